/* SPDX-License-Identifier: Apache-2.0 */
/* experts_sums: what is added up of a row of an expert, in one look at it.
 *
 * Value i goes into lane i mod 16, and lanes are added as those of sc_sums(). Squares of floats are
 * exact in double, so a fused multiplication changes nothing: every level gives the same bits. */
#include <math.h>
#include <string.h>

#include "analyze/experts_parts.h"
#include "kernel/lanes.h"

#if SC_HAVE_X86
#include <immintrin.h>
#endif

/* Values `from` to n - 1 onto lanes. */
static void add_rest(const float *x, size_t from, size_t n, uint32_t below, double abs[SC_LANES],
                     double square[SC_LANES], struct sc_expert_sums *s)
{
    for (size_t i = from; i < n; i++) {
        const uint32_t magnitude = sc_bits_of(x[i]) & 0x7fffffff;
        const double v = fabs((double)x[i]);
        abs[i % SC_LANES] += v;
        square[i % SC_LANES] += v * v;
        s->most = SC_MAX(s->most, magnitude);
        s->small += magnitude < below;
        s->zeros += magnitude == 0;
    }
}

static void finish(double abs[SC_LANES], double square[SC_LANES], struct sc_expert_sums *s)
{
    s->abs = sc_lanes_sum(abs);
    s->square = sc_lanes_sum(square);
}

#if SC_HAVE_X86
enum { AT_ONCE = 1 << 24 }; /* counters of 32 bits a lane do not overflow */

SC_TARGET_AVX512 static uint64_t sum_of_512(__m512i x)
{
    uint32_t lane[16];
    uint64_t sum = 0;

    _mm512_storeu_si512(lane, x);
    for (size_t i = 0; i < SC_COUNT(lane); i++)
        sum += lane[i];
    return sum;
}

/* n is a multiple of 16 and at most AT_ONCE. */
SC_TARGET_AVX512 static void add_512(const float *x, size_t n, uint32_t below, double *abs,
                                     double *square, struct sc_expert_sums *s)
{
    const __m512i least = _mm512_set1_epi32((int)below), one = _mm512_set1_epi32(1);
    const __m512 positive = _mm512_castsi512_ps(_mm512_set1_epi32(INT32_MAX));
    __m512d a = _mm512_loadu_pd(abs), b = _mm512_loadu_pd(abs + 8);
    __m512d c = _mm512_loadu_pd(square), d = _mm512_loadu_pd(square + 8);
    __m512i most = _mm512_setzero_si512(), small = most, zeros = most;

    for (size_t i = 0; i < n; i += SC_LANES) {
        const __m512 v = _mm512_and_ps(_mm512_loadu_ps(x + i), positive);
        const __m512i bits = _mm512_castps_si512(v);
        const __m512d lower = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
        const __m512d upper = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
        a = _mm512_add_pd(a, lower);
        b = _mm512_add_pd(b, upper);
        c = _mm512_fmadd_pd(lower, lower, c);
        d = _mm512_fmadd_pd(upper, upper, d);
        most = _mm512_max_epu32(most, bits);
        small = _mm512_mask_add_epi32(small, _mm512_cmplt_epu32_mask(bits, least), small, one);
        zeros = _mm512_mask_add_epi32(zeros, _mm512_testn_epi32_mask(bits, bits), zeros, one);
    }
    _mm512_storeu_pd(abs, a);
    _mm512_storeu_pd(abs + 8, b);
    _mm512_storeu_pd(square, c);
    _mm512_storeu_pd(square + 8, d);
    s->most = SC_MAX(s->most, _mm512_reduce_max_epu32(most));
    s->small += sum_of_512(small);
    s->zeros += sum_of_512(zeros);
}

SC_TARGET_AVX2 static void add_256(const float *x, size_t n, uint32_t below, double *abs,
                                   double *square, struct sc_expert_sums *s)
{
    /* magnitudes are below 2^31: signed comparisons do */
    const __m256i least = _mm256_set1_epi32((int)SC_MIN(below, (uint32_t)INT32_MAX));
    const __m256i zero = _mm256_setzero_si256();
    const __m256 positive = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MAX));
    __m256i most = zero, small = zero, zeros = zero;
    __m256d a[4], c[4];
    uint32_t lane[3][8];

    for (size_t k = 0; k < 4; k++) {
        a[k] = _mm256_loadu_pd(abs + 4 * k);
        c[k] = _mm256_loadu_pd(square + 4 * k);
    }
    for (size_t i = 0; i < n; i += SC_LANES)
        for (size_t k = 0; k < 2; k++) {
            const __m256 v = _mm256_and_ps(_mm256_loadu_ps(x + i + 8 * k), positive);
            const __m256i bits = _mm256_castps_si256(v);
            const __m256d lower = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
            const __m256d upper = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
            a[2 * k] = _mm256_add_pd(a[2 * k], lower);
            a[2 * k + 1] = _mm256_add_pd(a[2 * k + 1], upper);
            c[2 * k] = _mm256_fmadd_pd(lower, lower, c[2 * k]);
            c[2 * k + 1] = _mm256_fmadd_pd(upper, upper, c[2 * k + 1]);
            most = _mm256_max_epu32(most, bits);
            small = _mm256_sub_epi32(small, _mm256_cmpgt_epi32(least, bits));
            zeros = _mm256_sub_epi32(zeros, _mm256_cmpeq_epi32(bits, zero));
        }
    for (size_t k = 0; k < 4; k++) {
        _mm256_storeu_pd(abs + 4 * k, a[k]);
        _mm256_storeu_pd(square + 4 * k, c[k]);
    }
    _mm256_storeu_si256((void *)lane[0], most);
    _mm256_storeu_si256((void *)lane[1], small);
    _mm256_storeu_si256((void *)lane[2], zeros);
    for (size_t k = 0; k < 8; k++) {
        s->most = SC_MAX(s->most, lane[0][k]);
        s->small += lane[1][k];
        s->zeros += lane[2][k];
    }
}
#endif

void sc_expert_sums(const float *x, size_t n, uint32_t below, enum sc_cpu level,
                    struct sc_expert_sums *out)
{
    double abs[SC_LANES] = {0}, square[SC_LANES] = {0};
    size_t at = 0;

    memset(out, 0, sizeof *out);
#if SC_HAVE_X86
    const size_t whole = level == SC_CPU_C ? 0 : n - n % SC_LANES;
    for (; at < whole; at += SC_MIN(whole - at, (size_t)AT_ONCE))
        (level >= SC_CPU_AVX512 ? add_512 : add_256)(x + at, SC_MIN(whole - at, (size_t)AT_ONCE),
                                                     below, abs, square, out);
#endif
    (void)level;
    add_rest(x, at, n, below, abs, square, out);
    finish(abs, square, out);
}
