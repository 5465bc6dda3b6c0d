/* SPDX-License-Identifier: Apache-2.0 */
/* decode_ggml: GGML types of one scale a block (NVFP4: one for 16 values).
 *
 * Owns: their definition in C. The order of float operations is ggml's: one product, then at most
 * one sum. d and m are halves; "nibbles" are 16 bytes whose low halves are values 0..15 and whose
 * high halves are values 16..31.
 *
 *     type    values  bytes  layout                                value
 *     Q4_0        32     18  d, nibbles                            (q - 8) d
 *     Q4_1        32     20  d, m, nibbles                         q d + m
 *     Q5_0        32     22  d, 32 fifth bits, nibbles             (q - 16) d
 *     Q5_1        32     24  d, m, 32 fifth bits, nibbles          q d + m
 *     Q8_0        32     34  d, 32 int8                            q d
 *     Q8_1        32     36  d, d * sum of q, 32 int8              q d
 *     MXFP4       32     17  E8M0 scale, nibbles                   E2M1 * scale
 *     NVFP4       64     36  4 UE4M3 scales, 4 * 8 bytes:          E2M1 * scale
 *                            low halves values 0..7, high 8..15
 *     Q1_0       128     18  d, 128 bits                           bit ? d : -d
 *     Q2_0        64     18  d, 64 pairs of bits                   (q - 1) d
 *
 * Does not own: types of two levels of scales (decode_k.c), code books (decode_iq.c). */
#include "codec/decode_ggml.h"

static void q4_0(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 18, dst += 32) {
        const float d = sc_half_at(src);
        const uint8_t *q = src + 2;
        for (size_t j = 0; j < 16; j++) {
            dst[j] = (float)((q[j] & 15) - 8) * d;
            dst[j + 16] = (float)((q[j] >> 4) - 8) * d;
        }
    }
}

static void q4_1(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 20, dst += 32) {
        const float d = sc_half_at(src), less = sc_minus(sc_half_at(src + 2));
        const uint8_t *q = src + 4;
        for (size_t j = 0; j < 16; j++) {
            dst[j] = (float)(q[j] & 15) * d - less;
            dst[j + 16] = (float)(q[j] >> 4) * d - less;
        }
    }
}

/* Value j (below 16) and value j + 16 of 5 bits; 4 bytes of fifth bits precede the nibbles. */
static int low5(const uint8_t *high, size_t j)
{
    return (high[4 + j] & 15) | (high[j / 8] >> j % 8 & 1) << 4;
}
static int high5(const uint8_t *high, size_t j)
{
    return high[4 + j] >> 4 | (high[2 + j / 8] >> j % 8 & 1) << 4;
}

static void q5_0(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 22, dst += 32) {
        const float d = sc_half_at(src);
        for (size_t j = 0; j < 16; j++) {
            dst[j] = (float)(low5(src + 2, j) - 16) * d;
            dst[j + 16] = (float)(high5(src + 2, j) - 16) * d;
        }
    }
}

static void q5_1(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 24, dst += 32) {
        const float d = sc_half_at(src), less = sc_minus(sc_half_at(src + 2));
        for (size_t j = 0; j < 16; j++) {
            dst[j] = (float)low5(src + 4, j) * d - less;
            dst[j + 16] = (float)high5(src + 4, j) * d - less;
        }
    }
}

static void q8_0(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 34, dst += 32) {
        const float d = sc_half_at(src);
        for (size_t j = 0; j < 32; j++)
            dst[j] = (float)(int8_t)src[2 + j] * d;
    }
}

static void q8_1(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 36, dst += 32) {
        const float d = sc_half_at(src);
        for (size_t j = 0; j < 32; j++)
            dst[j] = (float)(int8_t)src[4 + j] * d;
    }
}

static const int8_t e2m1_twice[16] = {SC_E2M1_TWICE};

static void mxfp4(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 17, dst += 32) {
        const float d = sc_e8m0_half(src[0]);
        for (size_t j = 0; j < 16; j++) {
            dst[j] = (float)e2m1_twice[src[1 + j] & 15] * d;
            dst[j + 16] = (float)e2m1_twice[src[1 + j] >> 4] * d;
        }
    }
}

/* 4 bits of exponent of bias 7 (here 8, as this is the half), 3 of fraction. */
#define UE4M3(e, m)   (float)((e) ? 8 + (m) : 2 * (m)) * (float)(1 << (e)) / 2048
#define UE4M3_4(e, m) UE4M3(e, m), UE4M3(e, m + 1), UE4M3(e, m + 2), UE4M3(e, m + 3)
#define UE4M3_8(e)    UE4M3_4(e, 0), UE4M3_4(e, 4)
#define UE4M3_BELOW_15                                                                             \
    UE4M3_8(0), UE4M3_8(1), UE4M3_8(2), UE4M3_8(3), UE4M3_8(4), UE4M3_8(5), UE4M3_8(6),            \
        UE4M3_8(7), UE4M3_8(8), UE4M3_8(9), UE4M3_8(10), UE4M3_8(11), UE4M3_8(12), UE4M3_8(13),    \
        UE4M3_8(14)
#define UE4M3_15(last) UE4M3_4(15, 0), UE4M3(15, 4), UE4M3(15, 5), UE4M3(15, 6), last
const float sc_ue4m3_half[256] = {
    UE4M3_BELOW_15, UE4M3_15(0),            /* 0x00 to 0x7F */
    UE4M3_BELOW_15, UE4M3_15(UE4M3(15, 7)), /* 0x80 to 0xFF */
};

static void nvfp4(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 36) {
        for (size_t s = 0; s < 4; s++, dst += 16) {
            const float d = sc_ue4m3_half[src[s]];
            const uint8_t *q = src + 4 + 8 * s;
            for (size_t j = 0; j < 8; j++) {
                dst[j] = (float)e2m1_twice[q[j] & 15] * d;
                dst[j + 8] = (float)e2m1_twice[q[j] >> 4] * d;
            }
        }
    }
}

static void q1_0(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 18) {
        const float d = sc_half_at(src), values[2] = {-d, d};
        for (size_t i = 0; i < 16; i++, dst += 8)
            for (size_t j = 0; j < 8; j++)
                dst[j] = values[src[2 + i] >> j & 1];
    }
}

static void q2_0(const uint8_t *restrict src, float *restrict dst, size_t n)
{
    for (; n > 0; n--, src += 18, dst += 64) {
        const float d = sc_half_at(src);
        for (size_t j = 0; j < 64; j++)
            dst[j] = (float)((src[2 + j / 4] >> j % 4 * 2 & 3) - 1) * d;
    }
}

const struct sc_decoder_row sc_decode_ggml[] = {
    {"Q4_0", q4_0, SC_DECODE_X86(q4_0)},
    {"Q4_1", q4_1, SC_DECODE_X86(q4_1)},
    {"Q5_0", q5_0, SC_DECODE_X86(q5_0)},
    {"Q5_1", q5_1, SC_DECODE_X86(q5_1)},
    {"Q8_0", q8_0, SC_DECODE_X86(q8_0)},
    {"Q8_1", q8_1, SC_DECODE_X86(q8_1)},
    {"MXFP4", mxfp4, SC_DECODE_X86(mxfp4)},
    {"NVFP4", nvfp4, SC_DECODE_X86(nvfp4)},
    {"Q1_0", q1_0, SC_DECODE_X86(q1_0)},
    {"Q2_0", q2_0, SC_DECODE_X86(q2_0)},
    {NULL, NULL, NULL, NULL},
};
