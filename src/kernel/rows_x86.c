/* SPDX-License-Identifier: Apache-2.0 */
/* rows_x86: rows.c for AVX2 and AVX-512, bit for bit. */
#include "kernel/lanes.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <string.h>

#define AVX2   SC_TARGET_AVX2 static inline
#define AVX512 SC_TARGET_AVX512 static inline

AVX512 __mmask16 first_of(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffU : (1U << n) - 1);
}

/* n < 8: what exists, then zeros. */
AVX2 __m256i mask8(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

AVX2 __m256 load_up_to_8(const float *x, size_t n)
{
    return n >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, mask8(n));
}

/* ----------------------------------------------------------------------------------- peaks --- */
AVX2 uint32_t largest8(__m256i v)
{
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

AVX2 uint32_t peak_avx2(const float *x, size_t n)
{
    const __m256i positive = _mm256_set1_epi32(INT32_MAX);
    __m256i a = _mm256_setzero_si256(), b = a;
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        a = _mm256_max_epu32(a,
                             _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i)), positive));
        b = _mm256_max_epu32(
            b, _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i + 8)), positive));
    }
    for (; i < n; i += SC_MIN(n - i, (size_t)8))
        a = _mm256_max_epu32(
            a, _mm256_and_si256(_mm256_castps_si256(load_up_to_8(x + i, n - i)), positive));
    return largest8(_mm256_max_epu32(a, b));
}

SC_TARGET_AVX2 uint32_t sc_peaks_avx2(const float *x, size_t n, size_t group, uint32_t *peaks)
{
    uint32_t all = 0;
    for (size_t i = 0; i < n; i += SC_MIN(group, n - i)) {
        const uint32_t peak = peak_avx2(x + i, SC_MIN(group, n - i));
        *peaks++ = peak;
        all = SC_MAX(all, peak);
    }
    return all;
}

AVX512 uint32_t peak_avx512(const float *x, size_t n)
{
    const __m512i positive = _mm512_set1_epi32(INT32_MAX);
    __m512i a = _mm512_setzero_si512(), b = a;
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        a = _mm512_max_epu32(a, _mm512_and_si512(_mm512_loadu_si512(x + i), positive));
        b = _mm512_max_epu32(b, _mm512_and_si512(_mm512_loadu_si512(x + i + 16), positive));
    }
    for (; i < n; i += SC_MIN(n - i, (size_t)16))
        a = _mm512_max_epu32(
            a, _mm512_and_si512(_mm512_maskz_loadu_epi32(first_of(n - i), x + i), positive));
    a = _mm512_max_epu32(a, b);
    return largest8(_mm256_max_epu32(_mm512_castsi512_si256(a), _mm512_extracti32x8_epi32(a, 1)));
}

SC_TARGET_AVX512 uint32_t sc_peaks_avx512(const float *x, size_t n, size_t group, uint32_t *peaks)
{
    uint32_t all = 0;
    for (size_t i = 0; i < n; i += SC_MIN(group, n - i)) {
        const uint32_t peak = peak_avx512(x + i, SC_MIN(group, n - i));
        *peaks++ = peak;
        all = SC_MAX(all, peak);
    }
    return all;
}

/* --------------------------------------------------------------------------------- columns --- */
SC_TARGET_AVX2 double sc_columns_avx2(const float *x, size_t n, uint32_t *peak, double *square)
{
    const __m256i positive = _mm256_set1_epi32(INT32_MAX);
    __m256d row[4];
    for (int i = 0; i < 4; i++)
        row[i] = _mm256_setzero_pd();
    size_t i = 0;
    for (; n - i >= SC_LANES; i += SC_LANES) {
        for (size_t j = i; j < i + SC_LANES; j += 8) {
            const __m256i v = _mm256_and_si256(_mm256_loadu_si256((const void *)(x + j)), positive);
            __m256i *to = (void *)(peak + j);
            _mm256_storeu_si256(to, _mm256_max_epu32(_mm256_loadu_si256(to), v));
        }
        for (int j = 0; j < 4; j++) {
            const size_t at = i + 4 * (size_t)j;
            const __m256d v = _mm256_cvtps_pd(_mm_loadu_ps(x + at)), s = _mm256_mul_pd(v, v);
            _mm256_storeu_pd(square + at, _mm256_add_pd(_mm256_loadu_pd(square + at), s));
            row[j] = _mm256_add_pd(row[j], s);
        }
    }
    double lanes[SC_LANES];
    for (int j = 0; j < 4; j++)
        _mm256_storeu_pd(lanes + 4 * j, row[j]);
    for (size_t j = 0; i < n; i++, j++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= INT32_MAX;
        const double v = x[i];
        peak[i] = SC_MAX(peak[i], bits);
        square[i] += v * v;
        lanes[j] += v * v;
    }
    return sc_lanes_sum(lanes);
}

SC_TARGET_AVX512 double sc_columns_avx512(const float *x, size_t n, uint32_t *peak, double *square)
{
    const __m512i positive = _mm512_set1_epi32(INT32_MAX);
    __m512d row[2] = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (size_t i = 0; i < n; i += SC_LANES) {
        const __mmask16 mask = first_of(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        const __m512i bits = _mm512_and_si512(_mm512_castps_si512(v), positive);
        _mm512_mask_storeu_epi32(peak + i, mask,
                                 _mm512_max_epu32(_mm512_maskz_loadu_epi32(mask, peak + i), bits));
        const __m512d half[2] = {_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                                 _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))};
        for (int j = 0; j < 2; j++) {
            const __mmask8 there = (__mmask8)(mask >> 8 * j);
            double *to = square + i + 8 * j;
            const __m512d s = _mm512_mul_pd(half[j], half[j]);
            _mm512_mask_storeu_pd(to, there, _mm512_add_pd(_mm512_maskz_loadu_pd(there, to), s));
            row[j] = _mm512_add_pd(row[j], s);
        }
    }
    double lanes[SC_LANES];
    _mm512_storeu_pd(lanes, row[0]);
    _mm512_storeu_pd(lanes + 8, row[1]);
    return sc_lanes_sum(lanes);
}

/* Rows one after the other, a strip of columns at a time, so that their float sums stay in cache.
 */
AVX2 __m256 strip_of_8(const float *x, size_t n, float *sum, uint32_t *peak, bool first)
{
    const __m256 v = load_up_to_8(x, n);
    const __m256 s = _mm256_mul_ps(v, v);
    const __m256i bits = _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(INT32_MAX));
    _mm256_storeu_ps(sum, first ? s : _mm256_add_ps(_mm256_loadu_ps(sum), s));
    if (n >= 8) {
        const __m256i old = _mm256_loadu_si256((const void *)peak);
        _mm256_storeu_si256((void *)peak, _mm256_max_epu32(old, bits));
    } else {
        const __m256i old = _mm256_maskload_epi32((const void *)peak, mask8(n));
        _mm256_maskstore_epi32((void *)peak, mask8(n), _mm256_max_epu32(old, bits));
    }
    return s;
}

SC_TARGET_AVX2 void sc_columns_block_avx2(const float *x, size_t rows, size_t n, uint32_t *peak,
                                          double *square, double lanes[][SC_LANES])
{
    float sum[SC_COLUMNS_IN_FLOAT];
    for (size_t from = 0; from < n; from += SC_COLUMNS_IN_FLOAT) {
        const size_t now = SC_MIN(n - from, (size_t)SC_COLUMNS_IN_FLOAT);
        for (size_t k = 0; k < rows; k++) {
            const float *row = x + k * n + from;
            __m256 half[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
            for (size_t i = 0, j = 0; i < now; i += 8, j ^= 1)
                half[j] = _mm256_add_ps(
                    half[j], strip_of_8(row + i, now - i, sum + i, peak + from + i, k == 0));
            float part[SC_LANES];
            _mm256_storeu_ps(part, half[0]);
            _mm256_storeu_ps(part + 8, half[1]);
            for (size_t i = 0; i < SC_LANES; i++)
                lanes[k][i] += part[i];
        }
        size_t i = 0;
        for (; now - i >= 4; i += 4) {
            const __m256d s = _mm256_cvtps_pd(_mm_loadu_ps(sum + i));
            double *to = square + from + i;
            _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), s));
        }
        for (; i < now; i++)
            square[from + i] += sum[i];
    }
}

AVX512 void add_wide(__m512 v, double *to, __mmask16 there)
{
    const __mmask8 low = (__mmask8)there, high = (__mmask8)(there >> 8);
    const __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    const __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    _mm512_mask_storeu_pd(to, low, _mm512_add_pd(_mm512_maskz_loadu_pd(low, to), a));
    _mm512_mask_storeu_pd(to + 8, high, _mm512_add_pd(_mm512_maskz_loadu_pd(high, to + 8), b));
}

/* 16 columns of all rows; their sums of this strip are in `part`. */
AVX512 void block_x16(const float *x, size_t rows, size_t stride, __mmask16 there, uint32_t *peak,
                      double *square, __m512 *part)
{
    const __m512i positive = _mm512_set1_epi32(INT32_MAX);
    __m512i most = _mm512_maskz_loadu_epi32(there, peak);
    __m512 sum = _mm512_setzero_ps();
    for (size_t k = 0; k < rows; k++) {
        const __m512 v = _mm512_maskz_loadu_ps(there, x + k * stride);
        const __m512 s = _mm512_mul_ps(v, v);
        most = _mm512_max_epu32(most, _mm512_and_si512(_mm512_castps_si512(v), positive));
        sum = _mm512_add_ps(sum, s);
        part[k] = _mm512_add_ps(part[k], s);
    }
    _mm512_mask_storeu_epi32(peak, there, most);
    add_wide(sum, square, there);
}

/* Called with a constant number of rows, whose sums then are registers. */
AVX512 void block_avx512(const float *x, size_t rows, size_t n, uint32_t *peak, double *square,
                         double lanes[][SC_LANES])
{
    for (size_t from = 0; from < n; from += SC_COLUMNS_IN_FLOAT) {
        const size_t end = SC_MIN(n, from + SC_COLUMNS_IN_FLOAT);
        __m512 part[SC_ROWS_IN_FLOAT];
        for (size_t k = 0; k < rows; k++)
            part[k] = _mm512_setzero_ps();
        size_t i = from;
        for (; end - i >= SC_LANES; i += SC_LANES)
            block_x16(x + i, rows, n, 0xffff, peak + i, square + i, part);
        if (i < end)
            block_x16(x + i, rows, n, first_of(end - i), peak + i, square + i, part);
        for (size_t k = 0; k < rows; k++)
            add_wide(part[k], lanes[k], 0xffff);
    }
}

SC_TARGET_AVX512 void sc_columns_block_avx512(const float *x, size_t rows, size_t n, uint32_t *peak,
                                              double *square, double lanes[][SC_LANES])
{
    if (rows == 8)
        block_avx512(x, 8, n, peak, square, lanes);
    else if (rows == 4)
        block_avx512(x, 4, n, peak, square, lanes);
    else
        block_avx512(x, 2, n, peak, square, lanes);
}

/* ----------------------------------------------------------------------------------- steps --- */
struct steps8 {
    __m256 square, abs, cross, most;
};

AVX2 void step_avx2(__m256 x, __m256 inverse, struct steps8 *s)
{
    const __m256 magic = _mm256_set1_ps(SC_ROUND_MAGIC);
    const __m256 t = _mm256_mul_ps(x, inverse);
    const __m256 r = _mm256_sub_ps(t, _mm256_sub_ps(_mm256_add_ps(t, magic), magic));
    const __m256 a = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), r);
    s->square = _mm256_add_ps(s->square, _mm256_mul_ps(r, r));
    s->abs = _mm256_add_ps(s->abs, a);
    s->cross = _mm256_add_ps(s->cross, _mm256_mul_ps(t, r));
    s->most = _mm256_max_ps(a, s->most);
}

AVX2 void weigh_avx2(const struct steps8 *s, float weight, struct steps8 *to)
{
    const __m256 w = _mm256_set1_ps(weight), w2 = _mm256_mul_ps(w, w);
    to->square = _mm256_add_ps(to->square, _mm256_mul_ps(w2, s->square));
    to->abs = _mm256_add_ps(to->abs, _mm256_mul_ps(w, s->abs));
    to->cross = _mm256_add_ps(to->cross, _mm256_mul_ps(w2, s->cross));
    to->most = _mm256_max_ps(_mm256_mul_ps(w, s->most), to->most);
}

AVX2 void flush_avx2(struct steps8 to[2], struct sc_steps *out)
{
    struct sc_step_lanes lanes;
    for (int i = 0; i < 2; i++) {
        _mm256_storeu_ps(lanes.square + 8 * i, to[i].square);
        _mm256_storeu_ps(lanes.abs + 8 * i, to[i].abs);
        _mm256_storeu_ps(lanes.cross + 8 * i, to[i].cross);
        _mm256_storeu_ps(lanes.most + 8 * i, to[i].most);
    }
    sc_steps_flush(&lanes, out);
    memset(to, 0, 2 * sizeof *to);
}

SC_TARGET_AVX2 void sc_steps_avx2(const float *x, size_t n, size_t group, const float *inverse,
                                  const float *weight, size_t stride, struct sc_steps *out)
{
    struct steps8 to[2];
    unsigned groups = 0;
    memset(to, 0, sizeof to);
    for (; n; inverse += stride, weight += stride) {
        const size_t now = SC_MIN(n, group);
        const __m256 inv = _mm256_set1_ps(*inverse);
        struct steps8 s[2];
        memset(s, 0, sizeof s);
        size_t i = 0;
        for (; now - i >= 16; i += 16) {
            step_avx2(_mm256_loadu_ps(x + i), inv, s);
            step_avx2(_mm256_loadu_ps(x + i + 8), inv, s + 1);
        }
        for (struct steps8 *half = s; i < now; i += SC_MIN(now - i, (size_t)8))
            step_avx2(load_up_to_8(x + i, now - i), inv, half++);
        weigh_avx2(s, *weight, to);
        weigh_avx2(s + 1, *weight, to + 1);
        x += now;
        n -= now;
        if (++groups % SC_GROUPS_IN_FLOAT == 0 || n == 0)
            flush_avx2(to, out);
    }
}

struct steps16 {
    __m512 square, abs, cross, most;
};

AVX512 void step_avx512(__m512 x, __m512 inverse, struct steps16 *s)
{
    const __m512 t = _mm512_mul_ps(x, inverse);
    const __m512 r = _mm512_reduce_ps(t, 8); /* what rounding to even takes away, exactly */
    const __m512 a = _mm512_abs_ps(r);
    s->square = _mm512_add_ps(s->square, _mm512_mul_ps(r, r));
    s->abs = _mm512_add_ps(s->abs, a);
    s->cross = _mm512_add_ps(s->cross, _mm512_mul_ps(t, r));
    s->most = _mm512_max_ps(a, s->most);
}

/* sc_lanes_sum_float() in its order. */
AVX512 double lanes_avx512(__m512 v)
{
    const __m512d a = _mm512_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                                    _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)));
    const __m256d b = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    const __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
    return _mm_cvtsd_f64(c) + _mm_cvtsd_f64(_mm_unpackhi_pd(c, c));
}

AVX512 void flush_avx512(struct steps16 *to, struct sc_steps *out)
{
    out->square += lanes_avx512(to->square);
    out->abs += lanes_avx512(to->abs);
    out->cross += lanes_avx512(to->cross);
    out->most = SC_MAX(out->most, (double)_mm512_reduce_max_ps(to->most));
    to->square = to->abs = to->cross = to->most = _mm512_setzero_ps();
}

AVX512 void weigh_avx512(const struct steps16 *s, float weight, struct steps16 *to)
{
    const __m512 w = _mm512_set1_ps(weight), w2 = _mm512_mul_ps(w, w);
    to->square = _mm512_add_ps(to->square, _mm512_mul_ps(w2, s->square));
    to->abs = _mm512_add_ps(to->abs, _mm512_mul_ps(w, s->abs));
    to->cross = _mm512_add_ps(to->cross, _mm512_mul_ps(w2, s->cross));
    to->most = _mm512_max_ps(_mm512_mul_ps(w, s->most), to->most);
}

AVX512 struct steps16 no_steps(void)
{
    const __m512 zero = _mm512_setzero_ps();
    return (struct steps16){zero, zero, zero, zero};
}

SC_TARGET_AVX512 void sc_steps_avx512(const float *x, size_t n, size_t group, const float *inverse,
                                      const float *weight, size_t stride, struct sc_steps *out)
{
    struct steps16 to = no_steps();
    unsigned groups = 0;
    for (; n; inverse += stride, weight += stride) {
        const size_t now = SC_MIN(n, group);
        const __m512 inv = _mm512_set1_ps(*inverse);
        struct steps16 s = no_steps();
        size_t i = 0;
        for (; now - i >= 16; i += 16)
            step_avx512(_mm512_loadu_ps(x + i), inv, &s);
        if (i < now)
            step_avx512(_mm512_maskz_loadu_ps(first_of(now - i), x + i), inv, &s);
        weigh_avx512(&s, *weight, &to);
        x += now;
        n -= now;
        if (++groups % SC_GROUPS_IN_FLOAT == 0 || n == 0)
            flush_avx512(&to, out);
    }
}

/* A load each: the loops around it have loads to spare, but no shifts. */
AVX512 void count_8(const uint8_t *codes, uint32_t *table)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        uint16_t code;
        memcpy(&code, codes + 2 * i, sizeof code);
        table[code]++;
    }
}

/* A group, for its own step and for that of all. Scalar and vector units share the work. */
AVX512 void step_group(const float *x, size_t n, float inverse, __m512 inverse_of_all,
                       struct sc_counting *c, struct steps16 *own, struct steps16 *all)
{
    const __m512 inv = _mm512_set1_ps(inverse);
    const uint8_t *codes = c ? c->codes : NULL;
    const size_t counted = c ? SC_MIN(n, c->n) / 16 * 16 : 0;
    size_t i = 0;
    for (; i < counted; i += 16) {
        const __m512 v = _mm512_loadu_ps(x + i);
        _mm_prefetch((const void *)((uintptr_t)(codes + 2 * i) + c->ahead), _MM_HINT_T1);
        step_avx512(v, inv, own);
        count_8(codes + 2 * i, c->table);
        step_avx512(v, inverse_of_all, all);
        count_8(codes + 2 * i + 16, c->table);
    }
    if (c) {
        c->codes += 2 * counted;
        c->n -= counted;
    }
    for (; i < n; i += SC_MIN(n - i, (size_t)16)) {
        const __m512 v = _mm512_maskz_loadu_ps(first_of(n - i), x + i);
        step_avx512(v, inv, own);
        step_avx512(v, inverse_of_all, all);
    }
}

SC_TARGET_AVX512 void sc_steps_both_avx512(const float *x, size_t n, const struct sc_steps_of *how,
                                           struct sc_counting *counting, struct sc_steps *groups,
                                           struct sc_steps *all)
{
    const __m512 inverse_of_all = _mm512_set1_ps(how->inverse_of_all);
    const size_t per_block = SC_STEPS_TOGETHER / how->group;
    struct steps16 of_groups = no_steps(), of_all = no_steps(), block = no_steps();
    *groups = *all = (struct sc_steps){0, 0, 0, 0};
    for (size_t i = 0; n; i++) {
        const size_t now = SC_MIN(n, how->group);
        struct steps16 own = no_steps();
        step_group(x, now, how->inverse[i], inverse_of_all, counting, &own, &block);
        weigh_avx512(&own, how->weight[i], &of_groups);
        x += now;
        n -= now;
        if ((i + 1) % SC_GROUPS_IN_FLOAT == 0 || n == 0)
            flush_avx512(&of_groups, groups);
        if ((i + 1) % per_block && n)
            continue;
        weigh_avx512(&block, 1, &of_all);
        block = no_steps();
        if ((i + 1) / per_block % SC_GROUPS_IN_FLOAT == 0 || n == 0)
            flush_avx512(&of_all, all);
    }
}
#endif
