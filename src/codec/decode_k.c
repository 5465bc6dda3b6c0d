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
 * bytes a half block: value 32 t + l is bits 2t of byte l. */
#include "codec/decode_ggml.h"

/* Value i of 128 that 32 bytes hold. */
static int two_bits(const uint8_t *p, size_t i)
{
    return p[i % 32] >> i / 32 * 2 & 3;
}

static void q2_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 84, dst += 256) {
        const float d = sc_half_at(src + 80), dmin = sc_half_at(src + 82);
        for (size_t i = 0; i < 256; i++) {
            const uint8_t both = src[i / 16];
            const float s = d * (float)(both & 15), less = dmin * (float)(both >> 4);
            dst[i] = s * (float)two_bits(src + 16 + i / 128 * 32, i % 128) - less;
        }
    }
}

/* 6-bit scale i of 16: low nibbles in 8 bytes, then the top pairs in 4. */
static int scale_of_16(const uint8_t *p, size_t i)
{
    const int low = i < 8 ? p[i] & 15 : p[i - 8] >> 4;
    return low | (p[8 + i % 4] >> i / 4 * 2 & 3) << 4;
}

static void q3_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 110, dst += 256) {
        const float d = sc_half_at(src + 108);
        for (size_t i = 0; i < 256; i++) {
            const float s = d * (float)(scale_of_16(src + 96, i / 16) - 32);
            const int high = src[i % 32] >> i / 32 & 1;
            const int q = two_bits(src + 32 + i / 128 * 32, i % 128) | high << 2;
            dst[i] = s * (float)(q - 4);
        }
    }
}

/* 6-bit scale and minimum i of 8, in 12 bytes: the first four of each have a byte of their own,
 * whose top pairs belong to the last four; these share a byte of nibbles. */
static void scale_of_8(const uint8_t *p, size_t i, int *scale, int *least)
{
    if (i < 4) {
        *scale = p[i] & 63;
        *least = p[i + 4] & 63;
    } else {
        *scale = (p[i + 4] & 15) | p[i - 4] >> 6 << 4;
        *least = p[i + 4] >> 4 | p[i] >> 6 << 4;
    }
}

/* Q4_K and Q5_K from group i of 32 on: low bytes of nibbles, and fifth bits if there are any. */
static void decode_group_of_32(const uint8_t *block, const uint8_t *low, const uint8_t *fifth,
                               size_t i, float *dst)
{
    int scale, least;
    scale_of_8(block + 4, i, &scale, &least);
    const float s = sc_half_at(block) * (float)scale, less = sc_half_at(block + 2) * (float)least;
    for (size_t l = 0; l < 32; l++) {
        const int nibble = low[i / 2 * 32 + l] >> i % 2 * 4 & 15;
        const int bit = fifth ? fifth[l] >> i & 1 : 0;
        dst[l] = s * (float)(nibble | bit << 4) - less;
    }
}

static void q4_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 144, dst += 256)
        for (size_t i = 0; i < 8; i++)
            decode_group_of_32(src, src + 16, NULL, i, dst + 32 * i);
}

static void q5_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 176, dst += 256)
        for (size_t i = 0; i < 8; i++)
            decode_group_of_32(src, src + 48, src + 16, i, dst + 32 * i);
}

/* Code i of 256: half blocks of 64 bytes, whose low nibbles come before their high ones. */
static int q6_code(const uint8_t *block, size_t i)
{
    const uint8_t *low = block + i / 128 * 64, *high = block + 128 + i / 128 * 32;
    const int nibble = low[i % 64] >> i % 128 / 64 * 4 & 15;
    return (nibble | two_bits(high, i % 128) << 4) - 32;
}

static void q6_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 210, dst += 256) {
        const float d = sc_half_at(src + 208);
        for (size_t i = 0; i < 256; i++) {
            const float s = d * (float)(int8_t)src[192 + i / 16];
            dst[i] = s * (float)q6_code(src, i);
        }
    }
}

static void q8_k(const uint8_t *src, float *dst, size_t n)
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

/* A byte is a fraction of 256 in base 3: digit t is found by multiplying with 3^t, which drops
 * the digits before it, and once more by 3, whose carry it is. Less 1. */
static float trit(uint8_t byte, size_t t)
{
    static const uint8_t power[] = {1, 3, 9, 27, 81};
    return (float)(((uint8_t)(byte * power[t]) * 3 >> 8) - 1);
}

static void tq1_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 54, dst += 256) {
        const float d = sc_half_at(src + 52);
        for (size_t i = 0; i < 160; i++)
            dst[i] = trit(src[i % 32], i / 32) * d;
        for (size_t i = 0; i < 80; i++)
            dst[160 + i] = trit(src[32 + i % 16], i / 16) * d;
        for (size_t i = 0; i < 16; i++)
            dst[240 + i] = trit(src[48 + i % 4], i / 4) * d;
    }
}

static void tq2_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 66, dst += 256) {
        const float d = sc_half_at(src + 64);
        for (size_t i = 0; i < 256; i++)
            dst[i] = (float)(two_bits(src + i / 128 * 32, i % 128) - 1) * d;
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
