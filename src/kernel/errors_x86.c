/* SPDX-License-Identifier: Apache-2.0 */
/* errors_x86: errors.c for AVX2 and AVX-512, bit for bit. */
#include "kernel/errors.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <string.h>

/* The last steps for four sums at once: 4 x 4 lanes become (i, i + 2), then (i, i + 1). */
SC_TARGET_AVX2 static inline void finish(__m128 d, __m128 abs, __m128 square, __m128 values,
                                         struct sc_error_sums *s)
{
    const __m128 da = _mm_add_ps(_mm_movelh_ps(d, abs), _mm_movehl_ps(abs, d));
    const __m128 sc = _mm_add_ps(_mm_movelh_ps(square, values), _mm_movehl_ps(values, square));
    const __m128 sum = _mm_add_ps(_mm_shuffle_ps(da, sc, 0x88), _mm_shuffle_ps(da, sc, 0xdd));
    float four[4];
    _mm_storeu_ps(four, sum);
    s->d = (double)four[0];
    s->abs = (double)four[1];
    s->square = (double)four[2];
    s->values = (double)four[3];
}

/* Lanes as ((i, i + 8), (i, i + 4), ...): the last of it. */
SC_TARGET_AVX2 static inline double sum4(__m128 v)
{
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    v = _mm_add_ss(v, _mm_shuffle_ps(v, v, 1));
    return (double)_mm_cvtss_f32(v);
}

/* ------------------------------------------------------------------------------------ AVX2 --- */
struct group8 {
    __m256 d[2], abs[2], values[2], cross[2];
    __m256i most[2];
    __m256i zeros[2];
};

SC_TARGET_AVX2 static inline __m128 fold8(const __m256 v[2])
{
    const __m256 eight = _mm256_add_ps(v[0], v[1]);
    return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}

SC_TARGET_AVX2 static inline void add_columns_avx2(const __m256 v[2], double *columns)
{
    for (int i = 0; i < 4; i++) {
        const __m128 four =
            i & 1 ? _mm256_extractf128_ps(v[i / 2], 1) : _mm256_castps256_ps128(v[i / 2]);
        _mm256_storeu_pd(columns + 4 * i,
                         _mm256_add_pd(_mm256_loadu_pd(columns + 4 * i), _mm256_cvtps_pd(four)));
    }
}

/* 16 elements. */
SC_TARGET_AVX2 static inline void add_avx2(const struct sc_error_block *b, const float *x,
                                           const float *y, struct group8 *g, __m256 square[2],
                                           __m256 row[2], uint16_t *hits, float *relative)
{
    const __m256 positive = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MAX));
    const __m256i above = _mm256_set1_epi32((int32_t)b->above);
    const __m256 most = _mm256_set1_ps(*relative);
    int larger = 0, found = 0;
    for (int i = 0; i < 2; i++) {
        const __m256 v = _mm256_loadu_ps(x + 8 * i);
        const __m256 w = _mm256_loadu_ps(y + 8 * i), d = _mm256_sub_ps(w, v);
        const __m256 a = _mm256_and_ps(d, positive), s = _mm256_mul_ps(d, d);
        const __m256i magnitude = _mm256_castps_si256(a);
        g->d[i] = _mm256_add_ps(g->d[i], d);
        g->abs[i] = _mm256_add_ps(g->abs[i], a);
        g->values[i] = _mm256_add_ps(g->values[i], _mm256_mul_ps(w, w));
        g->cross[i] = _mm256_add_ps(g->cross[i], _mm256_mul_ps(v, d));
        g->most[i] = _mm256_max_epu32(g->most[i], magnitude);
        square[i] = _mm256_add_ps(square[i], s);
        row[i] = _mm256_add_ps(row[i], s);
        const __m256 zero = _mm256_cmp_ps(w, _mm256_setzero_ps(), _CMP_EQ_OQ);
        g->zeros[i] = _mm256_sub_epi32(g->zeros[i], _mm256_castps_si256(zero));
        if (hits)
            found |= _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(magnitude, above)))
                     << 8 * i;
        if (b->relative)
            larger |= _mm256_movemask_ps(
                _mm256_cmp_ps(a, _mm256_mul_ps(most, _mm256_and_ps(v, positive)), _CMP_GT_OQ));
    }
    if (hits)
        *hits = (uint16_t)found;
    if (SC_UNLIKELY(larger))
        sc_errors_relative(x, y, relative);
}

/* Without x: sums of y itself, all in double. */
SC_TARGET_AVX2 static void sums_avx2(const struct sc_error_block *b, struct sc_block_errors *out)
{
    __m256d rows[SC_ERROR_ROWS][4];
    __m256i zeros = _mm256_setzero_si256();
    double lanes[SC_LANES];
    uint32_t words[8];
    memset(rows, 0, sizeof rows);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        __m256d sum[4], square[2][4];
        __m256i most = _mm256_setzero_si256();
        memset(sum, 0, sizeof sum);
        memset(square, 0, sizeof square);
        for (size_t half = 0; half < 2; half++)
            for (size_t r = 0; r < b->rows; r++) {
                const float *y = b->y + r * b->y_stride + at + half * SC_LANES;
                for (size_t i = 0; i < 4; i++) {
                    const __m256d v = _mm256_cvtps_pd(_mm_loadu_ps(y + 4 * i));
                    const __m256d v2 = _mm256_mul_pd(v, v);
                    sum[i] = _mm256_add_pd(sum[i], v);
                    square[half][i] = _mm256_add_pd(square[half][i], v2);
                    rows[r][i] = _mm256_add_pd(rows[r][i], v2);
                }
                for (size_t i = 0; i < 2; i++) {
                    const __m256 w = _mm256_loadu_ps(y + 8 * i);
                    const __m256 zero = _mm256_cmp_ps(w, _mm256_setzero_ps(), _CMP_EQ_OQ);
                    most = _mm256_max_epu32(most, _mm256_and_si256(_mm256_castps_si256(w),
                                                                   _mm256_set1_epi32(INT32_MAX)));
                    zeros = _mm256_sub_epi32(zeros, _mm256_castps_si256(zero));
                }
            }
        for (size_t i = 0; b->columns && i < 8; i++) {
            double *c = b->columns + at + 4 * i;
            _mm256_storeu_pd(c, _mm256_add_pd(_mm256_loadu_pd(c), square[i / 4][i % 4]));
        }
        for (size_t i = 0; i < 4; i++)
            _mm256_storeu_pd(lanes + 4 * i, sum[i]);
        s->d = sc_lanes_sum(lanes);
        for (size_t i = 0; i < 4; i++)
            _mm256_storeu_pd(lanes + 4 * i, _mm256_add_pd(square[0][i], square[1][i]));
        s->square = s->values = sc_lanes_sum(lanes);
        _mm256_storeu_si256((void *)words, most);
        for (int i = 0; i < 8; i++)
            s->most = SC_MAX(s->most, words[i]);
        out->most = SC_MAX(out->most, s->most);
    }
    for (size_t r = 0; r < b->rows; r++) {
        for (size_t i = 0; i < 4; i++)
            _mm256_storeu_pd(lanes + 4 * i, rows[r][i]);
        out->row_square[r] = sc_lanes_sum(lanes);
    }
    _mm256_storeu_si256((void *)words, zeros);
    for (int i = 0; i < 8; i++)
        out->zeros += words[i];
}

SC_TARGET_AVX2 void sc_errors_avx2(const struct sc_error_block *b, struct sc_block_errors *out)
{
    __m256 rows[SC_ERROR_ROWS][2];
    struct group8 g;
    uint32_t lanes[8], count[8];
    if (!b->x) {
        sums_avx2(b, out);
        return;
    }
    memset(rows, 0, sizeof rows);
    g.zeros[0] = g.zeros[1] = _mm256_setzero_si256();
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        __m256 square[2][2], both[2];
        for (int i = 0; i < 2; i++) {
            g.d[i] = g.abs[i] = g.values[i] = g.cross[i] = _mm256_setzero_ps();
            square[0][i] = square[1][i] = _mm256_setzero_ps();
            g.most[i] = _mm256_setzero_si256();
        }
        for (int half = 0; half < 2; half++) {
            const size_t col = at + (size_t)half * SC_LANES;
            for (size_t r = 0; r < b->rows; r++)
                add_avx2(b, b->x + r * b->x_stride + col, b->y + r * b->y_stride + col, &g,
                         square[half], rows[r],
                         b->hits ? &b->hits[(r * b->n + col) / SC_LANES] : NULL, &out->relative);
            if (b->columns)
                add_columns_avx2(square[half], b->columns + col);
        }
        both[0] = _mm256_add_ps(square[0][0], square[1][0]);
        both[1] = _mm256_add_ps(square[0][1], square[1][1]);
        finish(fold8(g.d), fold8(g.abs), fold8(both), fold8(g.values), s);
        s->cross = sum4(fold8(g.cross));
        _mm256_storeu_si256((void *)lanes, _mm256_max_epu32(g.most[0], g.most[1]));
        for (int i = 0; i < 8; i++)
            s->most = SC_MAX(s->most, lanes[i]);
        out->most = SC_MAX(out->most, s->most);
    }
    for (size_t r = 0; r < b->rows; r++)
        out->row_square[r] = sum4(fold8(rows[r]));
    _mm256_storeu_si256((void *)count, _mm256_add_epi32(g.zeros[0], g.zeros[1]));
    for (int i = 0; i < 8; i++)
        out->zeros += count[i];
}

/* --------------------------------------------------------------------------------- AVX-512 --- */
struct group16 {
    __m512 d, abs, values, cross, square;
    __m512i most, zeros;
};

SC_TARGET_AVX512 static inline __m128 fold16(__m512 v)
{
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}

SC_TARGET_AVX512 static inline void add_columns_avx512(__m512 v, double *columns)
{
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    _mm512_storeu_pd(columns, _mm512_add_pd(_mm512_loadu_pd(columns), low));
    _mm512_storeu_pd(columns + 8, _mm512_add_pd(_mm512_loadu_pd(columns + 8), high));
}

/* 16 elements; `x` NULL, `hits` NULL and `relative` are constants where this is inlined. */
SC_TARGET_AVX512 static inline __attribute__((always_inline)) void
add_avx512(const float *x, const float *y, __m512i above, uint16_t *hits, bool relative,
           struct group16 *g, __m512 *row, float *most)
{
    const __m512 v = _mm512_loadu_ps(x), w = _mm512_loadu_ps(y);
    const __m512 d = _mm512_sub_ps(w, v), a = _mm512_abs_ps(d), s = _mm512_mul_ps(d, d);
    g->d = _mm512_add_ps(g->d, d);
    g->abs = _mm512_add_ps(g->abs, a);
    g->square = _mm512_add_ps(g->square, s);
    *row = _mm512_add_ps(*row, s);
    g->values = _mm512_add_ps(g->values, _mm512_mul_ps(w, w));
    g->cross = _mm512_add_ps(g->cross, _mm512_mul_ps(v, d));
    g->most = _mm512_max_epu32(g->most, _mm512_castps_si512(a));
    const __mmask16 zero = _mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_EQ_OQ);
    g->zeros = _mm512_mask_sub_epi32(g->zeros, zero, g->zeros, _mm512_set1_epi32(-1));
    if (hits)
        *hits = _cvtmask16_u32(_mm512_cmpgt_epi32_mask(_mm512_castps_si512(a), above)) & 0xffff;
    if (relative) {
        const __m512 bound = _mm512_mul_ps(_mm512_set1_ps(*most), _mm512_abs_ps(v));
        if (SC_UNLIKELY(_mm512_cmp_ps_mask(a, bound, _CMP_GT_OQ)))
            sc_errors_relative(x, y, most);
    }
}

SC_TARGET_AVX512 static inline __attribute__((always_inline)) void
block_avx512(const struct sc_error_block *b, struct sc_block_errors *out, size_t n_rows,
             bool with_hits, bool relative)
{
    const __m512i above = _mm512_set1_epi32((int32_t)b->above);
    const size_t per_row = b->n / SC_LANES;
    __m512 rows[SC_ERROR_ROWS];
    struct group16 g;
    for (size_t r = 0; r < SC_ERROR_ROWS; r++)
        rows[r] = _mm512_setzero_ps();
    g.zeros = _mm512_setzero_si512();
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        __m512 square[2];
        g.d = g.abs = g.values = g.cross = _mm512_setzero_ps();
        g.most = _mm512_setzero_si512();
        for (int half = 0; half < 2; half++) {
            const size_t col = at + (size_t)half * SC_LANES;
            g.square = _mm512_setzero_ps();
#pragma GCC unroll 8
            for (size_t r = 0; r < n_rows; r++)
                add_avx512(b->x + r * b->x_stride + col, b->y + r * b->y_stride + col, above,
                           with_hits ? b->hits + r * per_row + col / SC_LANES : NULL, relative, &g,
                           &rows[r], &out->relative);
            square[half] = g.square;
            if (b->columns)
                add_columns_avx512(g.square, b->columns + col);
        }
        finish(fold16(g.d), fold16(g.abs), fold16(_mm512_add_ps(square[0], square[1])),
               fold16(g.values), s);
        s->cross = sum4(fold16(g.cross));
        s->most = _mm512_reduce_max_epu32(g.most);
        out->most = SC_MAX(out->most, s->most);
    }
    for (size_t r = 0; r < n_rows; r++)
        out->row_square[r] = sum4(fold16(rows[r]));
    out->zeros += (uint64_t)(uint32_t)_mm512_reduce_add_epi32(g.zeros);
}

/* Without x: sums of y itself, all in double. */
SC_TARGET_AVX512 static void sums_avx512(const struct sc_error_block *b,
                                         struct sc_block_errors *out)
{
    __m512d rows[SC_ERROR_ROWS][2];
    __m512i zeros = _mm512_setzero_si512();
    double lanes[SC_LANES];
    for (size_t r = 0; r < SC_ERROR_ROWS; r++)
        rows[r][0] = rows[r][1] = _mm512_setzero_pd();
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        __m512d sum[2], square[2][2];
        __m512i most = _mm512_setzero_si512();
        sum[0] = sum[1] = _mm512_setzero_pd();
        for (size_t half = 0; half < 2; half++) {
            const float *y = b->y + at + half * SC_LANES;
            square[half][0] = square[half][1] = _mm512_setzero_pd();
            for (size_t r = 0; r < b->rows; r++) {
                const __m512 w = _mm512_loadu_ps(y + r * b->y_stride);
                const __m512d wide[2] = {_mm512_cvtps_pd(_mm512_castps512_ps256(w)),
                                         _mm512_cvtps_pd(_mm512_extractf32x8_ps(w, 1))};
                for (int i = 0; i < 2; i++) {
                    const __m512d v2 = _mm512_mul_pd(wide[i], wide[i]);
                    sum[i] = _mm512_add_pd(sum[i], wide[i]);
                    square[half][i] = _mm512_add_pd(square[half][i], v2);
                    rows[r][i] = _mm512_add_pd(rows[r][i], v2);
                }
                most = _mm512_max_epu32(most, _mm512_castps_si512(_mm512_abs_ps(w)));
                const __mmask16 zero = _mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_EQ_OQ);
                zeros = _mm512_mask_sub_epi32(zeros, zero, zeros, _mm512_set1_epi32(-1));
            }
            for (size_t i = 0; b->columns && i < 2; i++) {
                double *c = b->columns + at + half * SC_LANES + 8 * i;
                _mm512_storeu_pd(c, _mm512_add_pd(_mm512_loadu_pd(c), square[half][i]));
            }
        }
        _mm512_storeu_pd(lanes, sum[0]);
        _mm512_storeu_pd(lanes + 8, sum[1]);
        s->d = sc_lanes_sum(lanes);
        _mm512_storeu_pd(lanes, _mm512_add_pd(square[0][0], square[1][0]));
        _mm512_storeu_pd(lanes + 8, _mm512_add_pd(square[0][1], square[1][1]));
        s->square = s->values = sc_lanes_sum(lanes);
        s->most = _mm512_reduce_max_epu32(most);
        out->most = SC_MAX(out->most, s->most);
    }
    for (size_t r = 0; r < b->rows; r++) {
        _mm512_storeu_pd(lanes, rows[r][0]);
        _mm512_storeu_pd(lanes + 8, rows[r][1]);
        out->row_square[r] = sc_lanes_sum(lanes);
    }
    out->zeros = (uint64_t)(uint32_t)_mm512_reduce_add_epi32(zeros);
}

SC_TARGET_AVX512 void sc_errors_avx512(const struct sc_error_block *b, struct sc_block_errors *out)
{
    const bool full = b->rows == SC_ERROR_ROWS;
    if (!b->x)
        sums_avx512(b, out);
    else if (full && b->hits && !b->relative)
        block_avx512(b, out, SC_ERROR_ROWS, true, false);
    else if (full && b->hits)
        block_avx512(b, out, SC_ERROR_ROWS, true, true);
    else if (full && !b->relative)
        block_avx512(b, out, SC_ERROR_ROWS, false, false);
    else
        block_avx512(b, out, b->rows, b->hits, b->relative);
}

/* ------------------------------------------------------------------------------- extremes ---
 * NaN in the first place leaves what is in the second. */
SC_TARGET_AVX2 size_t sc_extremes_avx2(const float *x, size_t n, float *min, float *max)
{
    __m256 low[2], high[2];
    float lanes[8];
    size_t i = 0;
    low[0] = low[1] = _mm256_set1_ps(*min);
    high[0] = high[1] = _mm256_set1_ps(*max);
    for (; n - i >= 16; i += 16)
        for (size_t j = 0; j < 2; j++) {
            const __m256 v = _mm256_loadu_ps(x + i + 8 * j);
            low[j] = _mm256_min_ps(v, low[j]);
            high[j] = _mm256_max_ps(v, high[j]);
        }
    _mm256_storeu_ps(lanes, _mm256_min_ps(low[0], low[1]));
    for (size_t j = 0; j < 8; j++)
        *min = lanes[j] < *min ? lanes[j] : *min;
    _mm256_storeu_ps(lanes, _mm256_max_ps(high[0], high[1]));
    for (size_t j = 0; j < 8; j++)
        *max = lanes[j] > *max ? lanes[j] : *max;
    return i;
}

SC_TARGET_AVX512 size_t sc_extremes_avx512(const float *x, size_t n, float *min, float *max)
{
    __m512 low[2], high[2];
    size_t i = 0;
    low[0] = low[1] = _mm512_set1_ps(*min);
    high[0] = high[1] = _mm512_set1_ps(*max);
    for (; n - i >= 32; i += 32)
        for (size_t j = 0; j < 2; j++) {
            const __m512 v = _mm512_loadu_ps(x + i + 16 * j);
            low[j] = _mm512_min_ps(v, low[j]);
            high[j] = _mm512_max_ps(v, high[j]);
        }
    *min = _mm512_reduce_min_ps(_mm512_min_ps(low[0], low[1]));
    *max = _mm512_reduce_max_ps(_mm512_max_ps(high[0], high[1]));
    return i;
}
#endif
