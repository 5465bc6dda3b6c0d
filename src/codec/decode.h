/* SPDX-License-Identifier: Apache-2.0 */
/* decode: what the files of decoders share. Private to codec.
 *
 *   decode.c         the table: which decoder serves which row, at which level; f64; swapping
 *   decode_plain.c   floats, integers, booleans, small floats (FP8, FP6, FP4, E8M0)
 *   decode_ggml.c    GGML types of one scale a block: Q4_0 ... Q8_1, MXFP4, NVFP4, Q1_0, Q2_0
 *   decode_k.c       the K types, TQ1_0, TQ2_0, Q8_K
 *   decode_iq.c      IQ1 to IQ4, with their codebooks (iq_tables.h)
 *   *_x86.c          the same for AVX2 and AVX-512
 */
#ifndef SC_CODEC_DECODE_H
#define SC_CODEC_DECODE_H

#include "codec/codec.h"

/* A product that is not rounded before the sum gives other bits. The build says -ffp-contract=off;
 * clang fuses by default, so whoever builds in one line without flags is told here. (gcc does not
 * fuse in ISO C, and does not know the pragma.) */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* One row of a file's table; ends with name == NULL. Levels may be NULL: then the one below is
 * taken. */
struct sc_decoder_row {
    const char *name; /* of the codec row */
    sc_decode_fn *c, *avx2, *avx512;
};
extern const struct sc_decoder_row sc_decode_plain[], sc_decode_ggml[], sc_decode_k[],
    sc_decode_iq[];

#endif
