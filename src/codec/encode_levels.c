/* SPDX-License-Identifier: Apache-2.0 */
/* encode_levels: the 4-bit types of bitsandbytes: the nearest of 16 levels of x / amax, times amax,
 * the largest |x| of a block (64 values unless told otherwise), a float.
 *
 * The quotient is x times the reciprocal of amax, as its kernels have it. A tie goes to the lower
 * level of NF4 and to the smaller |level| of FP4. NaN becomes 0; an infinity becomes the largest
 * finite value of its block. */
#include <math.h>

#include "codec/encode_int.h"

/* Quantiles of a normal distribution, scaled to -1 ... 1, with a 0 (arXiv 2305.14314). */
#define NF4_0     -1.0F
#define NF4_1     -0.6961928009986877F
#define NF4_2     -0.5250730514526367F
#define NF4_3     -0.39491748809814453F
#define NF4_4     -0.28444138169288635F
#define NF4_5     -0.18477343022823334F
#define NF4_6     -0.09105003625154495F
#define NF4_7     0.0F
#define NF4_8     0.07958029955625534F
#define NF4_9     0.16093020141124725F
#define NF4_10    0.24611230194568634F
#define NF4_11    0.33791524171829224F
#define NF4_12    0.44070982933044434F
#define NF4_13    0.5626170039176941F
#define NF4_14    0.7229568362236023F
#define NF4_15    1.0F
#define MID(a, b) ((a) + (b)) / 2

const struct sc_levels sc_levels_nf4 = {
    .level = {NF4_0, NF4_1, NF4_2, NF4_3, NF4_4, NF4_5, NF4_6, NF4_7, NF4_8, NF4_9, NF4_10, NF4_11,
              NF4_12, NF4_13, NF4_14, NF4_15},
    .above = {MID(NF4_0, NF4_1), MID(NF4_1, NF4_2), MID(NF4_2, NF4_3), MID(NF4_3, NF4_4),
              MID(NF4_4, NF4_5), MID(NF4_5, NF4_6), MID(NF4_6, NF4_7), MID(NF4_7, NF4_8),
              MID(NF4_8, NF4_9), MID(NF4_9, NF4_10), MID(NF4_10, NF4_11), MID(NF4_11, NF4_12),
              MID(NF4_12, NF4_13), MID(NF4_13, NF4_14), MID(NF4_14, NF4_15)},
    .code = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .zero = 7,
};

/* A sign and 0, 1/192, 1/6, 1/4, 1/3, 1/2, 2/3, 1, with codes in another order. What is negative
 * has the sign also where it becomes 0. */
#define FP4_1 0.005208333333F
#define FP4_2 0.16666667F
#define FP4_3 0.25F
#define FP4_4 0.33333333F
#define FP4_5 0.5F
#define FP4_6 0.66666667F
#define FP4_7 1.0F
/* The float below -MID, so that a tie is above it and goes to the smaller level. */
#define BELOW(mid) (float)((double)(mid) * -(1 + 0x1.4p-24))

const struct sc_levels sc_levels_fp4 = {
    .level = {-FP4_7, -FP4_6, -FP4_5, -FP4_4, -FP4_3, -FP4_2, -FP4_1, -0.0F, 0, FP4_1, FP4_2, FP4_3,
              FP4_4, FP4_5, FP4_6, FP4_7},
    .above = {BELOW(MID(FP4_6, FP4_7)), BELOW(MID(FP4_5, FP4_6)), BELOW(MID(FP4_4, FP4_5)),
              BELOW(MID(FP4_3, FP4_4)), BELOW(MID(FP4_2, FP4_3)), BELOW(MID(FP4_1, FP4_2)),
              BELOW(FP4_1 / 2), -0x1p-149F, FP4_1 / 2, MID(FP4_1, FP4_2), MID(FP4_2, FP4_3),
              MID(FP4_3, FP4_4), MID(FP4_4, FP4_5), MID(FP4_5, FP4_6), MID(FP4_6, FP4_7)},
    .code = {11, 10, 13, 12, 15, 14, 9, 8, 0, 1, 6, 7, 4, 5, 2, 3},
    .zero = 8,
};

static const struct sc_levels *levels_of(const struct sc_encoding *f)
{
    return f->element == SC_ELEMENT_NF4 ? &sc_levels_nf4 : &sc_levels_fp4;
}

/* What values are multiplied by: 1 / amax, or 2^24 / amax if that alone would be infinite. */
struct scale {
    float amax, up, inverse;
};

static struct scale scale_of(const float *x, size_t n)
{
    struct scale s = {0, 1, 0};
    int32_t most = 0; /* bits of numbers rise as they do */
    for (size_t i = 0; i < n; i++) {
        const int32_t bits = (int32_t)(sc_bits_of(x[i]) & ~SC_SIGN);
        const int32_t finite = bits < (int32_t)SC_INFINITE ? bits : 0;
        most = finite > most ? finite : most;
    }
    s.amax = sc_float_of((uint32_t)most);
    if (s.amax < 0x1p-126F)
        s.up = 0x1p24F;
    if (s.amax > 0)
        s.inverse = 1 / (s.amax * s.up);
    return s;
}

/* Of a number; a NaN has the level of 0. */
static size_t nearest(const struct sc_levels *t, float v)
{
    size_t i = 0;
    if (v != v)
        return t->zero;
    for (size_t step = 8; step; step /= 2)
        i += v > t->above[i + step - 1] ? step : 0;
    return i;
}

void sc_levels_round_c(const struct sc_levels *t, const float *x, size_t n, float by, float scale,
                       float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = t->level[nearest(t, x[i] * by)] * scale;
}

static size_t round_blocks(sc_levels_fn *round, const struct sc_encoding *f, const float *x,
                           size_t n, float *y)
{
    const struct sc_levels *t = levels_of(f);
    for (size_t i = 0; i < n; i += f->unit) {
        const size_t some = SC_MIN(n - i, f->unit);
        const struct scale s = scale_of(x + i, some);
        if (s.up > 1 || !(s.inverse > 0)) /* subnormal numbers, or nothing to divide by */
            for (size_t k = 0; k < some; k++) {
                const float v = s.amax > 0 ? x[i + k] * s.up * s.inverse : 0;
                y[i + k] = t->level[nearest(t, v)] * s.amax;
            }
        else
            round(t, x + i, some, s.inverse, s.amax, y + i);
    }
    return 0; /* the scale is that of the largest */
}

#define LEVEL(level)                                                                               \
    static size_t round_##level(const struct sc_encoding *f, const struct sc_step *step,           \
                                const float *x, size_t n, float *y)                                \
    {                                                                                              \
        (void)step;                                                                                \
        return round_blocks(sc_levels_round_##level, f, x, n, y);                                  \
    }
LEVEL(c)
#if SC_HAVE_X86
LEVEL(avx2)
LEVEL(avx512)
#endif

static sc_round_fn *rounder(const struct sc_encoding *f, enum sc_cpu level)
{
    (void)f;
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX2)
        return level >= SC_CPU_AVX512 ? round_avx512 : round_avx2;
#endif
    (void)level;
    return round_c;
}

static size_t pack(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                   size_t n, uint8_t *dst)
{
    const struct sc_levels *t = levels_of(f);
    struct scale s = {0};
    (void)step;
    for (size_t i = 0; i < n; i++) {
        if (i % f->unit == 0)
            s = scale_of(x + i, SC_MIN(n - i, f->unit));
        const float v = s.amax > 0 ? x[i] * s.up * s.inverse : 0;
        const uint8_t code = t->code[nearest(t, v)];
        dst[i / 2] = (uint8_t)(i % 2 ? dst[i / 2] | code : code << 4);
    }
    return n / 2 + n % 2;
}

const struct sc_scheme_row sc_scheme_levels = {rounder, pack, NULL};
