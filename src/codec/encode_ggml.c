/* SPDX-License-Identifier: Apache-2.0 */
/* encode_ggml: values to GGML blocks that have one way to be made, as ggml's reference makes them.
 *
 * Layouts are those of decode_ggml.c and decode_k.c. Scales are computed as floats, their
 * reciprocal is what values are multiplied by, and the half of the scale is only stored:
 *
 *     Q4_0, Q5_0     d = x / -8, x / -16 of the first x of the largest |x|   q = x / d + 8, + 16
 *     Q4_1, Q5_1     d = (max - min) / 15, / 31; m = min                     q = (x - m) / d
 *     Q8_0           d = amax / 127                                          q = x / d, ties away
 *     MXFP4          2^(floor(log2 amax) - 2)                                nearest, ties to zero
 *     NVFP4          UE4M3(amax / 6) for 16 values                           nearest, ties to zero
 *     TQ1_0, TQ2_0   d = amax                                                q = x / d, ties away
 *     Q1_0           d = mean |x|, summed in order in a float                x >= 0
 *     Q2_0           d = amax                                                q = x / d + 1
 *
 * NaN. Where the largest is found by "is it larger?", a NaN is passed over; where the larger of two
 * is taken (Q8_0 and the ternary types), a NaN makes what came before it forgotten. Both as there.
 */
#include <float.h>
#include <math.h>

#include "codec/encode_ggml.h"

/* The first value of the largest |x|; 0 where there is none. */
static float first_largest(const float *x, size_t n)
{
    float most = 0, value = 0;
    for (size_t i = 0; i < n; i++)
        if (most < fabsf(x[i])) {
            most = fabsf(x[i]);
            value = x[i];
        }
    return value;
}

/* The largest |x|, passing over NaN. */
static float largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = most < fabsf(x[i]) ? fabsf(x[i]) : most;
    return most;
}

/* The same, but a NaN is taken, and lost to the next value. */
static float larger_of_all(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = most > fabsf(x[i]) ? most : fabsf(x[i]);
    return most;
}

static float inverse(float d)
{
    return d != 0 ? 1 / d : 0; /* of NaN: NaN */
}

/* Codes of 32 values, as signed bytes that are at most `most`. */
static void codes32(const float *x, float less, float scale, float plus, int most, uint8_t *q)
{
    for (size_t i = 0; i < 32; i++) {
        const uint8_t bits = (uint8_t)sc_truncate((x[i] - less) * scale + plus);
        const int code = bits < 128 ? bits : bits - 256;
        q[i] = (uint8_t)SC_MIN(most, code);
    }
}

static void put_nibbles(uint8_t *dst, const uint8_t *q)
{
    for (size_t j = 0; j < 16; j++)
        dst[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

static void put_fifths(uint8_t *dst, const uint8_t *q)
{
    memset(dst, 0, 4);
    for (size_t j = 0; j < 32; j++)
        dst[j / 8] |= (uint8_t)((q[j] >> 4 & 1) << j % 8);
}

/* Four bits of each code, behind the fifth ones where codes have five. */
static void put_codes(uint8_t *dst, const uint8_t *q, bool fives)
{
    if (fives)
        put_fifths(dst, q);
    put_nibbles(dst + (fives ? 4 : 0), q);
}

/* Q4_0 and Q5_0, which differ in how many codes there are on each side of 0. */
static void encode_scaled(const float *x, uint8_t *dst, size_t n, int half, bool fives)
{
    for (const size_t size = fives ? 22 : 18; n > 0; n--, x += 32, dst += size) {
        const float d = first_largest(x, 32) / (float)-half;
        uint8_t q[32];
        codes32(x, 0, inverse(d), (float)half + 0.5F, 2 * half - 1, q);
        sc_put_half(dst, d);
        put_codes(dst + 2, q, fives);
    }
}

void sc_encode_q4_0(const float *x, uint8_t *dst, size_t n)
{
    encode_scaled(x, dst, n, 8, false);
}

void sc_encode_q5_0(const float *x, uint8_t *dst, size_t n)
{
    encode_scaled(x, dst, n, 16, true);
}

/* Scale and minimum of types that have both. */
static float range(const float *x, float steps, float *min)
{
    float least = FLT_MAX, most = -FLT_MAX;
    for (size_t i = 0; i < 32; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    *min = least;
    return (most - least) / steps;
}

/* Q4_1 and Q5_1, which differ in their steps; ggml cuts off codes of the first alone. */
static void encode_ranged(const float *x, uint8_t *dst, size_t n, float steps, int most, bool fives)
{
    for (const size_t size = fives ? 24 : 20; n > 0; n--, x += 32, dst += size) {
        float min;
        const float d = range(x, steps, &min);
        uint8_t q[32];
        codes32(x, min, inverse(d), 0.5F, most, q);
        sc_put_half(dst, d);
        sc_put_half(dst + 2, min);
        put_codes(dst + 4, q, fives);
    }
}

void sc_encode_q4_1(const float *x, uint8_t *dst, size_t n)
{
    encode_ranged(x, dst, n, 15, 15, false);
}

void sc_encode_q5_1(const float *x, uint8_t *dst, size_t n)
{
    encode_ranged(x, dst, n, 31, 255, true);
}

void sc_encode_q8_0(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 34) {
        const float d = larger_of_all(x, 32) / 127, scale = inverse(d);
        sc_put_half(dst, d);
        for (size_t i = 0; i < 32; i++)
            dst[2 + i] = (uint8_t)sc_round_away(x[i] * scale);
    }
}

/* --------------------------------------------------------------------------- E2M1 with scales */

/* Code of the first level that is nearest in float arithmetic: that of least |level d - x|. */
static uint8_t nearest_e2m1(float x, float half_scale)
{
    static const int8_t twice[16] = {SC_E2M1_TWICE};
    float least = fabsf(x);
    uint8_t code = 0;
    for (uint8_t i = 1; i < 16; i++) {
        const float error = fabsf((float)twice[i] * half_scale - x);
        if (error < least) {
            least = error;
            code = i;
        }
    }
    return code;
}

uint8_t sc_mxfp4_scale(uint32_t amax_bits)
{
    const float amax = sc_float_of(amax_bits);
    int exponent; /* amax = fraction * 2^exponent, fraction in [1/2, 1) */
    const float fraction = frexpf(amax, &exponent);
    /* The logarithm is `exponent` less (1 - fraction) / ln 2, which is lost below half a step of
     * the floats on that side of it. The step is that of the integer next to it towards the
     * result, and 2^-24 at least. */
    const int away = exponent > 0 ? exponent - 1 : -exponent;
    int step = -24;
    for (int k = away; k > 0; k >>= 1)
        step++;
    const float lost = ldexpf(0x1.62e43p-1F, step - 1); /* ln 2 * half a step */
    const bool up = exponent != 0 && exponent != 1 && 1 - fraction < lost;
    return (uint8_t)(exponent - !up + 125);
}

void sc_encode_mxfp4(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 17) {
        const float amax = largest(x, 32);
        dst[0] = amax > 0 && amax <= FLT_MAX ? sc_mxfp4_scale(sc_bits_of(amax)) : 0;
        const float d = sc_e8m0_half(dst[0]);
        for (size_t j = 0; j < 16; j++)
            dst[1 + j] = (uint8_t)(nearest_e2m1(x[j], d) | nearest_e2m1(x[j + 16], d) << 4);
    }
}

uint8_t sc_ue4m3_nearest(float x)
{
    if (!(x > 0))
        return 0;
    if (x < 0x1p-6F) { /* below the normal numbers: counted in 2^-9 */
        const int32_t count = (int32_t)(x * 512 + 0.5F);
        return (uint8_t)SC_MIN(count, 7);
    }
    const uint32_t byte = ((sc_bits_of(SC_MIN(x, 448.0F)) + 0x80000) >> 20) - (120U << 3);
    return byte >= 0x78 ? 0x7e : (uint8_t)byte;
}

void sc_encode_nvfp4(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, dst += 36)
        for (size_t s = 0; s < 4; s++, x += 16) {
            uint8_t *q = dst + 4 + 8 * s;
            dst[s] = sc_ue4m3_nearest(largest(x, 16) / 6);
            const float d = sc_ue4m3_half[dst[s]];
            for (size_t j = 0; j < 8; j++)
                q[j] = (uint8_t)(nearest_e2m1(x[j], d) | nearest_e2m1(x[j + 8], d) << 4);
        }
}

/* ------------------------------------------------------------------------------ one or two bits */

/* Integers of n values (at most 256), ties away from 0, modulo 256. The first way is for what has
 * no NaN and no infinity, the second for all. */
static void round_all(const float *x, size_t n, float scale, bool plain, uint8_t *q)
{
    for (size_t i = 0; plain && i < n; i++) {
        const float y = x[i] * scale;
        q[i] = (uint8_t)(int32_t)(y + copysignf(SC_ALMOST_HALF, y));
    }
    for (size_t i = 0; !plain && i < n; i++)
        q[i] = (uint8_t)sc_round_away(x[i] * scale);
}

/* Whether no |x| is NaN or infinite, and one is large enough for its reciprocal to be a number. */
static bool is_plain(const float *x, size_t n, float *amax)
{
    int32_t most = 0; /* bits of numbers rise as they do, those of NaN are above all */
    for (size_t i = 0; i < n; i++) {
        const int32_t bits = (int32_t)(sc_bits_of(x[i]) & ~SC_SIGN);
        most = bits > most ? bits : most;
    }
    *amax = sc_float_of((uint32_t)most);
    return most >= 0x0d800000 && most < (int32_t)SC_INFINITE; /* 2^-100 */
}

static uint8_t *put_trits(uint8_t *dst, const uint8_t *q, size_t width, size_t digits)
{
    for (size_t m = 0; m < width; m++) {
        uint8_t v = 0; /* whose arithmetic is modulo 256, as that of ggml */
        for (size_t t = 0; t < 5; t++)
            v = (uint8_t)(v * 3U + (t < digits ? q[m + t * width] + 1U : 0));
        *dst++ =
            (uint8_t)((v * 256U + 242) / 243); /* as a fraction of 256 that does not fall short */
    }
    return dst;
}

static void tq1_0(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 256) {
        uint8_t q[256];
        float d;
        const bool plain = is_plain(x, 256, &d);
        if (!plain)
            d = larger_of_all(x, 256);
        round_all(x, 256, inverse(d), plain, q);
        dst = put_trits(dst, q, 32, 5);
        dst = put_trits(dst, q + 160, 16, 5);
        dst = put_trits(dst, q + 240, 4, 4);
        sc_put_half(dst, d);
        dst += 2;
    }
}

static void tq2_0(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 256, dst += 66) {
        uint8_t q[256];
        float d;
        const bool plain = is_plain(x, 256, &d);
        if (!plain)
            d = larger_of_all(x, 256);
        round_all(x, 256, inverse(d), plain, q);
        sc_put_half(dst + 64, d);
        for (size_t i = 0; i < 64; i++) {
            const uint8_t *four = q + i / 32 * 128 + i % 32;
            dst[i] = (uint8_t)(((four[0] + 1) & 3) | ((four[32] + 1) & 3) << 2 |
                               ((four[64] + 1) & 3) << 4 | ((four[96] + 1) & 3) << 6);
        }
    }
}

static void q1_0(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 128, dst += 18) {
        float sum = 0;
        memset(dst, 0, 18);
        for (size_t i = 0; i < 128; i++) {
            sum += fabsf(x[i]);
            dst[2 + i / 8] |= (uint8_t)((x[i] >= 0) << i % 8);
        }
        sc_put_half(dst, sum / 128);
    }
}

static void q2_0(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 64, dst += 18) {
        uint8_t q[64];
        float d;
        const bool plain = is_plain(x, 64, &d);
        if (!plain)
            d = largest(x, 64);
        const float scale = inverse(d);
        round_all(x, 64, scale, plain, q);
        for (size_t i = 0; !plain && i < 64; i++) {
            const int32_t code = sc_round_away(x[i] * scale);
            q[i] = (uint8_t)SC_MIN(SC_MAX(code, -1), 2);
        }
        sc_put_half(dst, d);
        for (size_t i = 0; i < 16; i++) {
            const uint8_t *four = q + 4 * i;
            dst[2 + i] = (uint8_t)(((four[0] + 1) & 3) | ((four[1] + 1) & 3) << 2 |
                                   ((four[2] + 1) & 3) << 4 | ((four[3] + 1) & 3) << 6);
        }
    }
}

/* ------------------------------------------------------------------------------- plain floats */

static void f16(const float *x, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sc_put_half(dst + 2 * i, x[i]);
}

static void bf16(const float *x, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = sc_bits_of(x[i]), high = bits >> 16;
        const bool nan = (bits & 0x7fffffff) > 0x7f800000;
        sc_put16(dst + 2 * i, (uint16_t)(nan ? high | 64 : (bits + 0x7fff + (high & 1)) >> 16));
    }
}

static void f32(const float *x, uint8_t *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = sc_bits_of(x[i]);
        sc_put16(dst + 4 * i, (uint16_t)bits);
        sc_put16(dst + 4 * i + 2, (uint16_t)(bits >> 16));
    }
}

const struct sc_encoder_row sc_encode_ggml[] = {
    {"F32", f32, NULL, NULL},
    {"F16", f16, NULL, NULL},
    {"BF16", bf16, NULL, NULL},
    {"Q4_0", sc_encode_q4_0, SC_ENCODE_X86(q4_0)},
    {"Q4_1", sc_encode_q4_1, SC_ENCODE_AVX2(q4_1)},
    {"Q5_0", sc_encode_q5_0, SC_ENCODE_X86(q5_0)},
    {"Q5_1", sc_encode_q5_1, SC_ENCODE_AVX2(q5_1)},
    {"Q8_0", sc_encode_q8_0, SC_ENCODE_X86(q8_0)},
    {"MXFP4", sc_encode_mxfp4, SC_ENCODE_X86(mxfp4)},
    {"NVFP4", sc_encode_nvfp4, SC_ENCODE_X86(nvfp4)},
    {"Q1_0", q1_0, NULL, NULL},
    {"Q2_0", q2_0, NULL, NULL},
    {"TQ1_0", tq1_0, NULL, NULL},
    {"TQ2_0", tq2_0, NULL, NULL},
    {NULL, NULL, NULL, NULL},
};
