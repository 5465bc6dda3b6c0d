/* SPDX-License-Identifier: Apache-2.0 */
/* encode: what the files of encoders share. Private to codec.
 *
 *   encoding.c       names and settings: the table of formats, parsing
 *   encode.c         bytes, and which functions serve which scheme: the table below
 *   encode_float.c   small floats one by one: SC_SCHEME_ZERO and SC_SCHEME_CAST, elements
 *   encode_bfp.c     SC_SCHEME_BFP, tiles
 *   encode_mx.c      SC_SCHEME_MX
 *   encode_nvfp4.c   SC_SCHEME_NVFP4
 *   encode_x86.c     these and integers for AVX2 and AVX-512: encode_body.h, losses_body.h
 *   encode_int.c     SC_SCHEME_INT, its steps and the search for them (encode_int.h)
 *   encode_levels.c  SC_SCHEME_LEVELS
 *   encoder.c        SC_SCHEME_GGML, over encode_ggml.c and encode_fit.c (encode_ggml.h)
 *
 * A scheme is one row of functions. Each level of the processor gives the same bits, NaNs
 * included; plain C is the definition. */
#ifndef SC_CODEC_ENCODE_H
#define SC_CODEC_ENCODE_H

#include "codec/decode.h" /* no fused operations */
#include "codec/encoding.h"

#include <string.h>

struct sc_scheme_row {
    /* Never NULL for an encoding of this scheme. */
    sc_round_fn *(*rounder)(const struct sc_encoding *f, enum sc_cpu level);
    size_t (*pack)(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                   size_t n, uint8_t *dst);
    /* NULL: this scheme has no step. */
    void (*step)(const struct sc_encoding *f, struct sc_extent of, struct sc_step *out);
};
extern const struct sc_scheme_row sc_scheme_zero, sc_scheme_cast, sc_scheme_bfp, sc_scheme_mx,
    sc_scheme_nvfp4, sc_scheme_int, sc_scheme_levels, sc_scheme_ggml;

/* ------------------------------------------------------------------------------------ bits --- */
#define SC_SIGN     UINT32_C(0x80000000)
#define SC_INFINITE UINT32_C(0x7f800000) /* bits of +Infinity; of |x|: what is above is NaN */
#define SC_NAN      UINT32_C(0x7fc00000)

/* 2^e for e from -149 to 127. */
static inline float sc_power(int e)
{
    return sc_float_of(e >= -126 ? (uint32_t)(e + 127) << 23 : UINT32_C(1) << (e + 149));
}

/* floor(log2) of a finite magnitude that is not 0, from its bits; subnormal ones too. */
static inline int sc_log2_floor(uint32_t magnitude)
{
    if (magnitude >> 23)
        return (int)(magnitude >> 23) - 127;
    int e = -127;
    for (uint32_t m = magnitude << 9; !(m >> 31); m <<= 1)
        e--;
    return e;
}

/* The largest finite |x| as bits; *special: all bits above, or-ed into 1 (an infinity is there) and
 * 2 (a NaN). */
static inline uint32_t sc_peak_of(const float *x, size_t n, unsigned *special)
{
    uint32_t peak = 0;
    *special = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t m = sc_bits_of(x[i]) & ~SC_SIGN;
        if (m < SC_INFINITE)
            peak = SC_MAX(peak, m);
        else
            *special |= m > SC_INFINITE ? 2 : 1;
    }
    return peak;
}

/* -------------------------------------------------------------------------------- elements --- */
/* A float of few bits. */
struct sc_small {
    uint8_t bits;     /* 0: not a small float */
    uint8_t mantissa; /* bits */
    int16_t bias;
    uint32_t largest; /* code of the largest finite value */
    uint32_t above;   /* code of Infinity or NaN that stands for what is too large; 0: none */
    uint32_t nan;     /* code; 0: none */
    bool fnuz;        /* one NaN, no -0 */
};
extern const struct sc_small sc_smalls[SC_ELEMENT_COUNT];

/* |x| below 2^64 to the nearest value, ties to even, as if exponents had no end above. The last bit
 * of the sum is worth one step. Not for BF16. */
static inline float sc_small_nearest(const struct sc_small *s, float magnitude)
{
    const uint32_t least = (uint32_t)(128 - s->bias) << 23; /* 2^(1 - bias) */
    const uint32_t top = SC_MAX(sc_bits_of(magnitude) & SC_INFINITE, least);
    const float shift = sc_float_of(top + ((uint32_t)(23 - s->mantissa) << 23));
    return (magnitude + shift) - shift;
}

float sc_small_largest(const struct sc_small *s);
/* The code of a magnitude that is a value of the format. */
uint32_t sc_small_code(const struct sc_small *s, float magnitude);

/* ------------------------------------------------------------- what variants in SIMD fall back to
 * Blocks of up to 32 (MX) or 16 values. The exponent is -127 to 127, 128 for NaN; the scale of
 * NVFP4 a code of E4M3. Rounding returns how many finite values saturated. */
const struct sc_small *sc_mx_element(const struct sc_encoding *f);
int sc_mx_exponent(const struct sc_encoding *f, const float *x, size_t n);
size_t sc_mx_round_block(const struct sc_encoding *f, const float *x, size_t n, int e, float *y);
size_t sc_bfp_round_group(const struct sc_encoding *f, const float *x, size_t n, float *y);
uint32_t sc_nvfp4_scale(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                        size_t n);
size_t sc_nvfp4_round_block(const float *x, size_t n, uint32_t scale, float g, float *y);

/* The value of a code of E4M3 from 0 to 7E. */
static inline float sc_e4m3_scale(uint32_t code)
{
    return code < 8 ? (float)code * 0x1p-9F : sc_float_of((code << 20) + ((127 - 7) << 23));
}
/* The codes of E4M3 that `sse` tries for a block with this amax, the first one first; how many. */
enum { SC_NVFP4_TRIED = 9 };
size_t sc_nvfp4_candidates(const struct sc_encoding *f, const struct sc_step *step, float amax,
                           uint32_t codes[SC_NVFP4_TRIED]);

#if SC_HAVE_X86
#define SC_ENCODE_LEVELS(level)                                                                    \
    sc_round_fn sc_round_cast_##level, sc_round_bf16_##level, sc_round_f16_##level,                \
        sc_round_bfp_##level, sc_round_mx_##level, sc_round_nvfp4_##level;
SC_ENCODE_LEVELS(avx2)
SC_ENCODE_LEVELS(avx512)
#define SC_LOSSES_LEVELS(level)                                                                    \
    sc_losses_fn sc_losses_zero_##level, sc_losses_cast_##level, sc_losses_bfp_##level,            \
        sc_losses_mx_##level, sc_losses_nvfp4_##level, sc_losses_int_##level;                      \
    uint32_t sc_group_peaks_##level(const float *x, size_t n, uint32_t *peak);                     \
    void sc_column_peaks_##level(const float *x, size_t rows, size_t n, uint32_t *peak);
SC_LOSSES_LEVELS(avx2)
SC_LOSSES_LEVELS(avx512)
#define SC_AT_LEVEL(level, name)                                                                   \
    ((level) >= SC_CPU_AVX512 ? name##_avx512 : (level) >= SC_CPU_AVX2 ? name##_avx2 : NULL)
#else
#define SC_AT_LEVEL(level, name) ((sc_round_fn *)NULL)
#endif

/* levels[]: a sc_round_fn for each level of the processor, of round(level, f, x, n, y), which has
 * no step. */
#define SC_ROUND_AT(levels, level, round)                                                          \
    static size_t levels##_##level(const struct sc_encoding *f, const struct sc_step *step,        \
                                   const float *x, size_t n, float *y)                             \
    {                                                                                              \
        (void)step;                                                                                \
        return round(level, f, x, n, y);                                                           \
    }
#define SC_ROUND_LEVELS(levels, round)                                                             \
    SC_ROUND_AT(levels, SC_CPU_C, round)                                                           \
    SC_ROUND_AT(levels, SC_CPU_AVX2, round)                                                        \
    SC_ROUND_AT(levels, SC_CPU_AVX512, round)                                                      \
    static sc_round_fn *const levels[] = {levels##_SC_CPU_C, levels##_SC_CPU_AVX2,                 \
                                          levels##_SC_CPU_AVX512};

/* Codes of `bits` bits, densely, low bits first: n of them into ceil(n * bits / 8) bytes. */
void sc_pack_bits(const uint8_t *codes, size_t n, unsigned bits, uint8_t *dst);

#endif
