/* SPDX-License-Identifier: Apache-2.0 */
/* encode_ggml: what the encoders of GGML blocks share. Private to codec.
 *
 *   encoder.c          the table: which encoder serves which row, at which level; rounding by it
 *   encode_ggml.c      types with one way to be encoded: ggml's reference bytes
 *   encode_ggml_x86.c  the fast ones of them with AVX2 and AVX-512
 *   encode_fit.c       types whose scales are searched: our own fits (encode_fit.h)
 *   encode_fit_x86.c   the same with AVX2 and AVX-512
 *
 * "ggml's bytes" are those of its reference quantisers built for x86-64 without FMA, for any input:
 * also where its C converts a NaN or a number out of range to an integer, which the language leaves
 * open and the processor answers with INT_MIN (sc_truncate).
 */
#ifndef SC_CODEC_ENCODE_GGML_H
#define SC_CODEC_ENCODE_GGML_H

#include <string.h>

#include "codec/decode_ggml.h"
#include "codec/encode.h"

/* One row of a file's table; ends with name == NULL. Levels may be NULL: then the one below is
 * taken. */
struct sc_encoder_row {
    const char *name; /* of the codec row */
    sc_encode_fn *c, *avx2, *avx512;
};
extern const struct sc_encoder_row sc_encode_ggml[], sc_encode_fits[];

/* Nearest half, ties to even; every NaN becomes the first quiet one of its sign. */
static inline uint16_t sc_f16_bits(float x)
{
    const uint32_t bits = sc_bits_of(x), sign = bits >> 16 & 0x8000, a = bits & 0x7fffffff;
    if (a >= 0x47800000) /* 2^16 and above */
        return (uint16_t)(sign | (a > 0x7f800000 ? 0x7e00 : 0x7c00));
    if (a < 0x38800000) /* below 2^-14: counted in 2^-24, which is the step of floats at 1/2 */
        return (uint16_t)(sign | (sc_bits_of(sc_float_of(a) + 0.5F) - 0x3f000000));
    return (uint16_t)(sign | ((a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13));
}

static inline void sc_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void sc_put_half(uint8_t *p, float x)
{
    sc_put16(p, sc_f16_bits(x));
}

/* Towards zero; INT_MIN for what is no int: the answer of an x86. */
static inline int32_t sc_truncate(float x)
{
    return x >= -2147483648.0F && x < 2147483648.0F ? (int32_t)x : INT32_MIN;
}
/* To nearest, ties away from zero: what is added is the largest float below 1/2. */
#define SC_ALMOST_HALF 0x1.fffffep-2F
static inline int32_t sc_round_away(float x)
{
    return sc_truncate(x < 0 ? x - SC_ALMOST_HALF : x + SC_ALMOST_HALF);
}

/* Byte of the scale of MXFP4 by the bits of the largest |x| (finite, not 0): floor(log2 amax) + 125
 * modulo 256, where the logarithm is a float. That makes the last few floats below a power of two
 * round up to its exponent: the further the exponent is from 0, the coarser the logarithm. */
uint8_t sc_mxfp4_scale(uint32_t amax_bits);
/* Byte of the unsigned E4M3 scale of NVFP4: ties up, 256 and above become 448. */
uint8_t sc_ue4m3_nearest(float x);

/* The encoders in C, for blocks that a faster one leaves to them. */
sc_encode_fn sc_encode_q4_0, sc_encode_q4_1, sc_encode_q5_0, sc_encode_q5_1, sc_encode_q8_0,
    sc_encode_mxfp4, sc_encode_nvfp4;

#if SC_HAVE_X86
#define SC_ENCODE_X86(id)  sc_encode_##id##_avx2, sc_encode_##id##_avx512
#define SC_ENCODE_AVX2(id) sc_encode_##id##_avx2, NULL
sc_encode_fn SC_ENCODE_X86(q4_0), SC_ENCODE_X86(q5_0), SC_ENCODE_X86(q8_0), SC_ENCODE_X86(mxfp4),
    SC_ENCODE_X86(nvfp4), sc_encode_q4_1_avx2, sc_encode_q5_1_avx2;
#else
#define SC_ENCODE_X86(id)  NULL, NULL
#define SC_ENCODE_AVX2(id) NULL, NULL
#endif

#endif
