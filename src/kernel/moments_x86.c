/* SPDX-License-Identifier: Apache-2.0 */
/* moments_x86: moments.c for AVX2 and AVX-512, bit for bit. The last few values are copied in front
 * of zeros. */
#include "kernel/lanes.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <math.h>
#include <string.h>

/* What zeros at the end must not change. */
static void only_existing(const float *x, size_t n, struct sc_sums *s)
{
    for (size_t i = 0; i < n; i++) {
        s->min = x[i] < s->min ? x[i] : s->min;
        s->max = x[i] > s->max ? x[i] : s->max;
    }
}

/* ------------------------------------------------------------------------------------ AVX2 --- */
struct sums8 { /* 16 doubles are four registers */
    __m256d sum[4], abs[4], square[4];
    __m256 min, max;
    __m256i least, most, any;
};

SC_TARGET_AVX2 static inline void sums_x16_avx2(const float *x, struct sums8 *s)
{
    const __m256d positive = _mm256_castsi256_pd(_mm256_set1_epi64x(INT64_MAX));
    for (int i = 0; i < 2; i++) {
        const __m256i bits = _mm256_loadu_si256((const void *)(x + 8 * i));
        const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(INT32_MAX));
        s->most = _mm256_max_epu32(s->most, magnitude);
        s->least = _mm256_min_epu32(s->least, _mm256_sub_epi32(magnitude, _mm256_set1_epi32(1)));
        s->any = _mm256_or_si256(s->any, bits);
    }
    for (int i = 0; i < 4; i++) {
        const __m256d v = _mm256_cvtps_pd(_mm_loadu_ps(x + 4 * i));
        s->sum[i] = _mm256_add_pd(s->sum[i], v);
        s->abs[i] = _mm256_add_pd(s->abs[i], _mm256_and_pd(v, positive));
        s->square[i] = _mm256_add_pd(s->square[i], _mm256_mul_pd(v, v));
    }
}

SC_TARGET_AVX2 static inline double add_avx2(const __m256d v[4])
{
    double lanes[SC_LANES];
    for (int i = 0; i < 4; i++)
        _mm256_storeu_pd(lanes + 4 * i, v[i]);
    return sc_lanes_sum(lanes);
}

SC_TARGET_AVX2 void sc_sums_avx2(const float *x, size_t n, struct sc_sums *out)
{
    struct sums8 s;
    memset(&s, 0, sizeof s);
    s.min = _mm256_set1_ps(INFINITY);
    s.max = _mm256_set1_ps(-INFINITY);
    s.least = _mm256_set1_epi32(-1);
    size_t i = 0;
    for (; n - i >= SC_LANES; i += SC_LANES) {
        sums_x16_avx2(x + i, &s);
        for (size_t j = 0; j < SC_LANES; j += 8) {
            const __m256 v = _mm256_loadu_ps(x + i + j);
            s.min = _mm256_min_ps(v, s.min);
            s.max = _mm256_max_ps(v, s.max);
        }
    }
    float rest[SC_LANES] = {0};
    memcpy(rest, x + i, (n - i) * sizeof rest[0]);
    sums_x16_avx2(rest, &s);
    float low[8], high[8];
    uint32_t least[8], most[8], any[8];
    _mm256_storeu_ps(low, s.min);
    _mm256_storeu_ps(high, s.max);
    _mm256_storeu_si256((void *)least, s.least);
    _mm256_storeu_si256((void *)most, s.most);
    _mm256_storeu_si256((void *)any, s.any);
    struct sc_sums sums = {.min = INFINITY, .max = -INFINITY, .least = UINT32_MAX};
    for (size_t j = 0; j < 8; j++) {
        sums.min = low[j] < sums.min ? low[j] : sums.min;
        sums.max = high[j] > sums.max ? high[j] : sums.max;
        sums.least = SC_MIN(sums.least, least[j]);
        sums.most = SC_MAX(sums.most, most[j]);
        sums.any |= any[j];
    }
    only_existing(x + i, n - i, &sums);
    sums.sum = add_avx2(s.sum);
    sums.abs = add_avx2(s.abs);
    sums.square = add_avx2(s.square);
    *out = sums;
}

SC_TARGET_AVX2 void sc_central_avx2(const float *x, size_t n, double mean, struct sc_central *out)
{
    const __m256d m = _mm256_set1_pd(mean);
    __m256d square[4], third[4], fourth[4];
    for (int i = 0; i < 4; i++)
        square[i] = third[i] = fourth[i] = _mm256_setzero_pd();
    size_t i = 0;
    for (; n - i >= SC_LANES; i += SC_LANES)
        for (int j = 0; j < 4; j++) {
            const __m256d d =
                _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + i + 4 * (size_t)j)), m);
            const __m256d s = _mm256_mul_pd(d, d);
            square[j] = _mm256_add_pd(square[j], s);
            third[j] = _mm256_add_pd(third[j], _mm256_mul_pd(s, d));
            fourth[j] = _mm256_add_pd(fourth[j], _mm256_mul_pd(s, s));
        }
    double lanes[3][SC_LANES];
    for (int j = 0; j < 4; j++) {
        _mm256_storeu_pd(lanes[0] + 4 * j, square[j]);
        _mm256_storeu_pd(lanes[1] + 4 * j, third[j]);
        _mm256_storeu_pd(lanes[2] + 4 * j, fourth[j]);
    }
    for (size_t j = 0; i < n; i++, j++) {
        const double d = (double)x[i] - mean, s = d * d;
        lanes[0][j] += s;
        lanes[1][j] += s * d;
        lanes[2][j] += s * s;
    }
    out->square = sc_lanes_sum(lanes[0]);
    out->third = sc_lanes_sum(lanes[1]);
    out->fourth = sc_lanes_sum(lanes[2]);
}

/* --------------------------------------------------------------------------------- AVX-512 --- */
struct sums16 {
    __m512d sum[2], abs[2], square[2];
    __m512i least, most, any;
};

/* Widened as they are loaded, which two of the three vector units need not hear of. */
SC_TARGET_AVX512 static inline void sums_x16_avx512(const float *x, struct sums16 *s)
{
    const __m512i bits = _mm512_loadu_si512(x);
    const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(INT32_MAX));
    s->most = _mm512_max_epu32(s->most, magnitude);
    s->least = _mm512_min_epu32(s->least, _mm512_sub_epi32(magnitude, _mm512_set1_epi32(1)));
    s->any = _mm512_or_si512(s->any, bits);
    for (int i = 0; i < 2; i++) {
        const __m512d v = _mm512_cvtps_pd(_mm256_loadu_ps(x + 8 * i));
        s->sum[i] = _mm512_add_pd(s->sum[i], v);
        s->abs[i] = _mm512_add_pd(s->abs[i], _mm512_abs_pd(v));
        s->square[i] = _mm512_add_pd(s->square[i], _mm512_mul_pd(v, v));
    }
}

SC_TARGET_AVX512 static inline double add_avx512(__m512d low, __m512d high)
{
    double lanes[SC_LANES];
    _mm512_storeu_pd(lanes, low);
    _mm512_storeu_pd(lanes + 8, high);
    return sc_lanes_sum(lanes);
}

SC_TARGET_AVX512 void sc_sums_avx512(const float *x, size_t n, struct sc_sums *out)
{
    struct sums16 s;
    memset(&s, 0, sizeof s);
    s.least = _mm512_set1_epi32(-1);
    __m512 min = _mm512_set1_ps(INFINITY), max = _mm512_set1_ps(-INFINITY);
    size_t i = 0;
    for (; n - i >= SC_LANES; i += SC_LANES) {
        const __m512 v = _mm512_loadu_ps(x + i);
        min = _mm512_min_ps(v, min);
        max = _mm512_max_ps(v, max);
        sums_x16_avx512(x + i, &s);
    }
    float rest[SC_LANES] = {0};
    memcpy(rest, x + i, (n - i) * sizeof rest[0]);
    sums_x16_avx512(rest, &s);
    struct sc_sums sums = {.min = _mm512_reduce_min_ps(min),
                           .max = _mm512_reduce_max_ps(max),
                           .least = _mm512_reduce_min_epu32(s.least),
                           .most = _mm512_reduce_max_epu32(s.most),
                           .any = (uint32_t)_mm512_reduce_or_epi32(s.any)};
    only_existing(x + i, n - i, &sums);
    sums.sum = add_avx512(s.sum[0], s.sum[1]);
    sums.abs = add_avx512(s.abs[0], s.abs[1]);
    sums.square = add_avx512(s.square[0], s.square[1]);
    *out = sums;
}

struct central16 {
    __m512d square[2], third[2], fourth[2];
};

/* Those of the mask. */
SC_TARGET_AVX512 static inline void central_x16_avx512(const float *x, unsigned mask, __m512d mean,
                                                       struct central16 *c)
{
    for (int j = 0; j < 2; j++) { /* what is missing must be the mean, not zero */
        const __m512d v = _mm512_cvtps_pd(_mm256_loadu_ps(x + 8 * j));
        const __m512d d = _mm512_maskz_sub_pd((__mmask8)(mask >> 8 * j), v, mean);
        const __m512d s = _mm512_mul_pd(d, d);
        c->square[j] = _mm512_add_pd(c->square[j], s);
        c->third[j] = _mm512_add_pd(c->third[j], _mm512_mul_pd(s, d));
        c->fourth[j] = _mm512_add_pd(c->fourth[j], _mm512_mul_pd(s, s));
    }
}

SC_TARGET_AVX512 void sc_central_avx512(const float *x, size_t n, double mean,
                                        struct sc_central *out)
{
    const __m512d m = _mm512_set1_pd(mean);
    struct central16 c;
    memset(&c, 0, sizeof c);
    size_t i = 0;
    for (; n - i >= SC_LANES; i += SC_LANES)
        central_x16_avx512(x + i, 0xffff, m, &c);
    float rest[SC_LANES] = {0};
    memcpy(rest, x + i, (n - i) * sizeof rest[0]);
    central_x16_avx512(rest, (1U << (n - i)) - 1, m, &c);
    out->square = add_avx512(c.square[0], c.square[1]);
    out->third = add_avx512(c.third[0], c.third[1]);
    out->fourth = add_avx512(c.fourth[0], c.fourth[1]);
}
#endif
