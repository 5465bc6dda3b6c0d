/* SPDX-License-Identifier: Apache-2.0 */
/* decode_k: GGML types of 256 values a block: the K types, Q8_K and the ternary ones.
 *
 * Owns: their definition in C. The order of float operations is ggml's: scale times half first
 * (s below, rounded to a float), then times the code, then less the minimum. Every one of these
 * products is exact, so a product and a sum in one rounding would give the same numbers.
 *
 *     type   bytes  layout                                            value
 *     Q2_K      84  16 * (4-bit scale, 4-bit min), 64 B, d, dmin      q (d sc) - dmin mn
 *     Q3_K     110  32 B third bits, 64 B, 16 6-bit scales, d         (q - 4) (d (sc - 32))
 *     Q4_K     144  d, dmin, 8 * (6-bit scale, 6-bit min), 128 B      q (d sc) - dmin mn
 *     Q5_K     176  d, dmin, 8 * (6-bit scale, 6-bit min),            q (d sc) - dmin mn
 *                   32 B fifth bits, 128 B
 *     Q6_K     210  128 B low 4 bits, 64 B high 2, 16 int8 scales, d  (q - 32) (d sc)
 *     Q8_K     292  float d, 256 int8, 16 int16 sums                  q d
 *     TQ1_0     54  48 B of 5 trits, 4 B of 4 trits, d                (q - 1) d
 *     TQ2_0     66  64 B, d                                           (q - 1) d
 *
 * Scales serve 16 values in Q2_K, Q3_K and Q6_K, 32 in Q4_K and Q5_K. Codes of 2 bits come 32
 * bytes a half block: value 32 t + l is bits 2t of byte l.
 *
 * The loops take a group of one scale at a time, so that compilers can make vectors of them. */
#include "codec/decode_ggml.h"

/* 16 values of the 2 bits at `shift` of each byte. */
static inline void put_pairs(float *restrict dst, const uint8_t *restrict p, size_t shift, float s,
                             float less)
{
    for (size_t l = 0; l < 16; l++)
        dst[l] = s * (float)(p[l] >> shift & 3) - less;
}

static void q2_k(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 84) {
        const float d = sc_half_at(src + 80), dmin = sc_half_at(src + 82);
        for (size_t i = 0; i < 16; i++, dst += 16) { /* group 8 h + 2 t + half of the 32 bytes */
            const float s = d * (float)(src[i] & 15), less = dmin * (float)(src[i] >> 4);
            put_pairs(dst, src + 16 + i / 8 * 32 + i % 2 * 16, i / 2 % 4 * 2, s, less);
        }
    }
}

/* 6-bit scale i of 16: low nibbles in 8 bytes, then the top pairs in 4. */
static int scale_of_16(const uint8_t *p, size_t i)
{
    const int low = i < 8 ? p[i] & 15 : p[i - 8] >> 4;
    return low | (p[8 + i % 4] >> i / 4 * 2 & 3) << 4;
}

/* 16 values of the 2 bits at `shift` of each byte of p and the bit `third` of those of high. */
static inline void put_threes(float *restrict dst, const uint8_t *restrict p, size_t shift,
                              const uint8_t *restrict high, size_t third, float s)
{
    for (size_t l = 0; l < 16; l++)
        dst[l] = s * (float)(((p[l] >> shift & 3) | (high[l] >> third & 1) << 2) - 4);
}

static void q3_k(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 110) {
        const float d = sc_half_at(src + 108);
        for (size_t i = 0; i < 16; i++, dst += 16) {
            const float s = d * (float)(scale_of_16(src + 96, i) - 32);
            const uint8_t *high = src + i % 2 * 16, *p = high + 32 + i / 8 * 32;
            put_threes(dst, p, i / 2 % 4 * 2, high, i / 2, s);
        }
    }
}

/* Group i of 8: values are s q - less. */
struct line {
    float s, less;
};

/* 6-bit scales and minima, in 12 bytes: the first four of each have a byte of their own, whose top
 * pairs belong to the last four; these share a byte of nibbles. */
static struct line line_of_8(const uint8_t *block, size_t i)
{
    const float d = sc_half_at(block), dmin = sc_half_at(block + 2);
    const uint8_t *p = block + 4;

    if (i < 4)
        return (struct line){d * (float)(p[i] & 63), dmin * (float)(p[i + 4] & 63)};
    const int scale = (p[i + 4] & 15) | p[i - 4] >> 6 << 4;
    const int least = p[i + 4] >> 4 | p[i] >> 6 << 4;
    return (struct line){d * (float)scale, dmin * (float)least};
}

static void q4_k(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 144) {
        const uint8_t *p = src + 16;
        for (size_t i = 0; i < 8; i += 2, p += 32, dst += 64) {
            const struct line a = line_of_8(src, i), b = line_of_8(src, i + 1);
            for (size_t l = 0; l < 32; l++)
                dst[l] = a.s * (float)(p[l] & 15) - a.less;
            for (size_t l = 0; l < 32; l++)
                dst[l + 32] = b.s * (float)(p[l] >> 4) - b.less;
        }
    }
}

static void q5_k(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 176) {
        const uint8_t *p = src + 48, *fifth = src + 16;
        for (size_t i = 0; i < 8; i += 2, p += 32, dst += 64) {
            const struct line a = line_of_8(src, i), b = line_of_8(src, i + 1);
            const uint8_t bit = (uint8_t)(1u << i), next = (uint8_t)(2u << i);
            for (size_t l = 0; l < 32; l++)
                dst[l] = a.s * (float)((p[l] & 15) + (fifth[l] & bit ? 16 : 0)) - a.less;
            for (size_t l = 0; l < 32; l++)
                dst[l + 32] = b.s * (float)((p[l] >> 4) + (fifth[l] & next ? 16 : 0)) - b.less;
        }
    }
}

/* Half blocks: 64 bytes hold 128 low nibbles, the low ones of all bytes first; 32 bytes of `high`
 * hold the pairs above them in the order of Q2_K. */
static void q6_k(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 210) {
        const float d = sc_half_at(src + 208);
        for (size_t i = 0; i < 16; i++, dst += 16) {
            const uint8_t *p = src + i / 8 * 64 + i % 4 * 16;
            const uint8_t *high = src + 128 + i / 8 * 32 + i % 2 * 16;
            const size_t shift = i / 4 % 2 * 4, pair = i / 2 % 4 * 2;
            const float s = d * (float)(int8_t)src[192 + i];
            for (size_t l = 0; l < 16; l++)
                dst[l] = s * (float)(((p[l] >> shift & 15) | (high[l] >> pair & 3) << 4) - 32);
        }
    }
}

static void q8_k(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 292, dst += 256) {
        const union {
            uint32_t u;
            float f;
        } d = {src[0] | (uint32_t)src[1] << 8 | (uint32_t)src[2] << 16 | (uint32_t)src[3] << 24};
        for (size_t i = 0; i < 256; i++)
            dst[i] = d.f * (float)(int8_t)src[4 + i];
    }
}

/* Digit t of `width` bytes less 1, times d, for t = 0 ... digits - 1. A byte is a fraction of 256
 * in base 3: digit t is found by multiplying with 3^t, which drops the digits before it, and once
 * more by 3, whose carry it is. */
static inline float *put_trits(float *restrict dst, const uint8_t *restrict p, size_t width,
                               size_t digits, float d)
{
    static const uint8_t power[] = {1, 3, 9, 27, 81};
    for (size_t t = 0; t < digits; t++, dst += width)
        for (size_t m = 0; m < width; m++)
            dst[m] = (float)(((uint8_t)(p[m] * power[t]) * 3 >> 8) - 1) * d;
    return dst;
}

static void tq1_0(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 54) {
        const float d = sc_half_at(src + 52);
        dst = put_trits(dst, src, 32, 5, d);
        dst = put_trits(dst, src + 32, 16, 5, d);
        dst = put_trits(dst, src + 48, 4, 4, d);
    }
}

static void tq2_0(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 66) {
        const float d = sc_half_at(src + 64);
        for (size_t i = 0; i < 8; i++, dst += 32) {
            const uint8_t *p = src + i / 4 * 32;
            const size_t shift = i % 4 * 2;
            for (size_t m = 0; m < 32; m++)
                dst[m] = (float)((p[m] >> shift & 3) - 1) * d;
        }
    }
}

const struct sc_decoder_row sc_decode_k[] = {
    {"Q2_K", q2_k, SC_DECODE_X86(q2_k)},
    {"Q3_K", q3_k, SC_DECODE_X86(q3_k)},
    {"Q4_K", q4_k, SC_DECODE_X86(q4_k)},
    {"Q5_K", q5_k, SC_DECODE_X86(q5_k)},
    {"Q6_K", q6_k, SC_DECODE_X86(q6_k)},
    {"Q8_K", q8_k, SC_DECODE_X86(q8_k)},
    {"TQ1_0", tq1_0, SC_DECODE_X86(tq1_0)},
    {"TQ2_0", tq2_0, SC_DECODE_X86(tq2_0)},
    {NULL, NULL, NULL, NULL},
};
