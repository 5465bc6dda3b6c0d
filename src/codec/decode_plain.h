/* SPDX-License-Identifier: Apache-2.0 */
/* decode_plain: what decode_plain.c and decode_plain_x86.c share. Private to them. */
#ifndef SC_CODEC_DECODE_PLAIN_H
#define SC_CODEC_DECODE_PLAIN_H

#include "codec/decode.h"

/* Decoders that have variants in SIMD:
 *
 *     name | values of a block | bytes of 16 values */
#define SC_PLAIN_X86(X)                                                                            \
    X(f16, 1, 32)                                                                                  \
    X(c32, 2, 32)                                                                                  \
    X(bf16, 1, 32)                                                                                 \
    X(u8, 1, 16)                                                                                   \
    X(i8, 1, 16)                                                                                   \
    X(u16, 1, 32)                                                                                  \
    X(i16, 1, 32)                                                                                  \
    X(bool, 1, 16)                                                                                 \
    X(f8_e4m3, 1, 16)                                                                              \
    X(f8_e5m2, 1, 16)                                                                              \
    X(f8_e4m3fnuz, 1, 16)                                                                          \
    X(f8_e5m2fnuz, 1, 16)                                                                          \
    X(f8_e8m0, 1, 16)                                                                              \
    X(f6_e2m3, 4, 12)                                                                              \
    X(f6_e3m2, 4, 12)                                                                              \
    X(f4, 2, 8)

#if SC_HAVE_X86
#define SC_PLAIN_DECLARE(name, values, bytes)                                                      \
    sc_decode_fn sc_decode_##name##_avx2, sc_decode_##name##_avx512;
SC_PLAIN_X86(SC_PLAIN_DECLARE)
#undef SC_PLAIN_DECLARE
#endif

/* A NaN that a format of few bits stands for, as float. */
#define SC_NAN_BITS UINT32_C(0x7fc00000)

#endif
