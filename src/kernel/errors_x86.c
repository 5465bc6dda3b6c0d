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
    __m256 d[2], abs[2], values[2], cross[2], square[2];
    __m256i most[2];
};

SC_TARGET_AVX2 static inline __m128 fold8(const __m256 v[2])
{
    const __m256 eight = _mm256_add_ps(v[0], v[1]);
    return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}

SC_TARGET_AVX2 static inline void put_columns_avx2(const __m256 v[2], double *columns)
{
    for (int i = 0; i < 4; i++) {
        const __m128 four =
            i & 1 ? _mm256_extractf128_ps(v[i / 2], 1) : _mm256_castps256_ps128(v[i / 2]);
        _mm256_storeu_pd(columns + 4 * i, _mm256_cvtps_pd(four));
    }
}

/* 16 elements. */
SC_TARGET_AVX2 static inline void add_avx2(const struct sc_error_block *b, const float *x,
                                           const float *y, struct group8 *g, float row[SC_LANES],
                                           __m256i zeros[2], struct sc_block_errors *out)
{
    const __m256 positive = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MAX));
    const __m256i above = _mm256_set1_epi32((int32_t)b->above);
    const __m256 most = _mm256_set1_ps(out->relative);
    uint32_t magnitudes[SC_LANES], found = 0;
    int larger = 0;
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
        g->square[i] = _mm256_add_ps(g->square[i], s);
        _mm256_storeu_ps(row + 8 * i, _mm256_add_ps(_mm256_loadu_ps(row + 8 * i), s));
        const __m256 zero = _mm256_cmp_ps(w, _mm256_setzero_ps(), _CMP_EQ_OQ);
        zeros[i] = _mm256_sub_epi32(zeros[i], _mm256_castps_si256(zero));
        if (b->tail) {
            const __m256i over = _mm256_cmpgt_epi32(magnitude, above);
            found |= (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(over)) << 8 * i;
            _mm256_storeu_si256((void *)(magnitudes + 8 * i), magnitude);
        }
        if (b->relative)
            larger |= _mm256_movemask_ps(
                _mm256_cmp_ps(a, _mm256_mul_ps(most, _mm256_and_ps(v, positive)), _CMP_GT_OQ));
    }
    for (; found; found &= found - 1)
        b->tail[out->tail++] = magnitudes[__builtin_ctz(found)];
    if (SC_UNLIKELY(larger))
        sc_errors_relative(x, y, &out->relative);
}

SC_TARGET_AVX2 static inline void add_group_avx2(struct group8 *to, const struct group8 *g,
                                                 __m256 square[2])
{
    for (int i = 0; i < 2; i++) {
        to->d[i] = _mm256_add_ps(to->d[i], g->d[i]);
        to->abs[i] = _mm256_add_ps(to->abs[i], g->abs[i]);
        to->values[i] = _mm256_add_ps(to->values[i], g->values[i]);
        to->cross[i] = _mm256_add_ps(to->cross[i], g->cross[i]);
        to->most[i] = _mm256_max_epu32(to->most[i], g->most[i]);
        square[i] = _mm256_add_ps(square[i], g->square[i]);
    }
}

SC_TARGET_AVX2 static inline void tile_avx2(const struct sc_error_block *b, size_t at,
                                            float rows[][SC_LANES], __m256i zeros[2],
                                            struct sc_block_errors *out)
{
    struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
    struct group8 tile;
    __m256 square[2][2];
    uint32_t lanes[8];
    memset(&tile, 0, sizeof tile);
    memset(square, 0, sizeof square);
    for (size_t half = 0; half < 2; half++) {
        const size_t col = at + half * SC_LANES;
        for (size_t first = 0; first < b->rows; first += SC_ERROR_TOGETHER) {
            const size_t end = SC_MIN(first + SC_ERROR_TOGETHER, b->rows);
            struct group8 g;
            memset(&g, 0, sizeof g);
            for (size_t r = first; r < end; r++)
                add_avx2(b, b->x + r * b->x_stride + col, b->y + r * b->y_stride + col, &g, rows[r],
                         zeros, out);
            add_group_avx2(&tile, &g, square[half]);
        }
        if (out->columns)
            put_columns_avx2(square[half], out->columns + col);
    }
    tile.square[0] = _mm256_add_ps(square[0][0], square[1][0]);
    tile.square[1] = _mm256_add_ps(square[0][1], square[1][1]);
    finish(fold8(tile.d), fold8(tile.abs), fold8(tile.square), fold8(tile.values), s);
    s->cross = sum4(fold8(tile.cross));
    _mm256_storeu_si256((void *)lanes, _mm256_max_epu32(tile.most[0], tile.most[1]));
    for (int i = 0; i < 8; i++)
        s->most = SC_MAX(s->most, lanes[i]);
    out->most = SC_MAX(out->most, s->most);
}

/* Four doubles of each of 16 lanes, while sums of y itself are added up. */
SC_TARGET_AVX2 static inline void add_double_avx2(const float *y, __m256d sum[4], __m256d square[4],
                                                  double row[SC_LANES])
{
    for (size_t i = 0; i < 4; i++) {
        const __m256d v = _mm256_cvtps_pd(_mm_loadu_ps(y + 4 * i));
        const __m256d v2 = _mm256_mul_pd(v, v);
        sum[i] = _mm256_add_pd(sum[i], v);
        square[i] = _mm256_add_pd(square[i], v2);
        _mm256_storeu_pd(row + 4 * i, _mm256_add_pd(_mm256_loadu_pd(row + 4 * i), v2));
    }
}

/* Least, largest, largest magnitude and zeros. */
struct seen8 {
    __m256 min, max;
    __m256i most, zeros;
};
SC_TARGET_AVX2 static inline void see_avx2(const float *y, struct seen8 *seen)
{
    for (size_t i = 0; i < 2; i++) {
        const __m256 w = _mm256_loadu_ps(y + 8 * i);
        const __m256 zero = _mm256_cmp_ps(w, _mm256_setzero_ps(), _CMP_EQ_OQ);
        const __m256i positive = _mm256_set1_epi32(INT32_MAX);
        seen->min = _mm256_min_ps(w, seen->min);
        seen->max = _mm256_max_ps(w, seen->max);
        seen->most =
            _mm256_max_epu32(seen->most, _mm256_and_si256(_mm256_castps_si256(w), positive));
        seen->zeros = _mm256_sub_epi32(seen->zeros, _mm256_castps_si256(zero));
    }
}

SC_TARGET_AVX2 static void finish_seen_avx2(const struct seen8 *seen, struct sc_block_errors *out)
{
    float least[8], largest[8];
    uint32_t zeros[8];
    _mm256_storeu_ps(least, seen->min);
    _mm256_storeu_ps(largest, seen->max);
    _mm256_storeu_si256((void *)zeros, seen->zeros);
    for (int i = 0; i < 8; i++) {
        out->min = SC_MIN(out->min, least[i]);
        out->max = SC_MAX(out->max, largest[i]);
        out->zeros += zeros[i];
    }
}

/* Without x: sums of y itself, all in double. */
SC_TARGET_AVX2 static void sums_avx2(const struct sc_error_block *b, struct sc_block_errors *out)
{
    double rows[SC_ERROR_ROWS][SC_LANES], lanes[SC_LANES];
    struct seen8 seen = {_mm256_set1_ps(out->min), _mm256_set1_ps(out->max), _mm256_setzero_si256(),
                         _mm256_setzero_si256()};
    uint32_t words[8];
    memset(rows, 0, sizeof rows);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        __m256d sum[4], square[2][4];
        memset(sum, 0, sizeof sum);
        memset(square, 0, sizeof square);
        seen.most = _mm256_setzero_si256();
        for (size_t half = 0; half < 2; half++)
            for (size_t r = 0; r < b->rows; r++) {
                const float *y = b->y + r * b->y_stride + at + half * SC_LANES;
                add_double_avx2(y, sum, square[half], rows[r]);
                see_avx2(y, &seen);
            }
        for (size_t i = 0; out->columns && i < 8; i++)
            _mm256_storeu_pd(out->columns + at + 4 * i, square[i / 4][i % 4]);
        for (size_t i = 0; i < 4; i++)
            _mm256_storeu_pd(lanes + 4 * i, sum[i]);
        s->d = sc_lanes_sum(lanes);
        for (size_t i = 0; i < 4; i++)
            _mm256_storeu_pd(lanes + 4 * i, _mm256_add_pd(square[0][i], square[1][i]));
        s->square = s->values = sc_lanes_sum(lanes);
        _mm256_storeu_si256((void *)words, seen.most);
        for (int i = 0; i < 8; i++)
            s->most = SC_MAX(s->most, words[i]);
        out->most = SC_MAX(out->most, s->most);
    }
    for (size_t r = 0; r < b->rows; r++)
        out->row_square[r] = sc_lanes_sum(rows[r]);
    finish_seen_avx2(&seen, out);
}

SC_TARGET_AVX2 void sc_errors_avx2(const struct sc_error_block *b, struct sc_block_errors *out)
{
    float rows[SC_ERROR_ROWS][SC_LANES];
    __m256i zeros[2];
    uint32_t count[8];
    if (!b->x) {
        sums_avx2(b, out);
        return;
    }
    memset(rows, 0, b->rows * sizeof rows[0]);
    zeros[0] = zeros[1] = _mm256_setzero_si256();
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS)
        tile_avx2(b, at, rows, zeros, out);
    for (size_t r = 0; r < b->rows; r++) {
        const __m256 row[2] = {_mm256_loadu_ps(rows[r]), _mm256_loadu_ps(rows[r] + 8)};
        out->row_square[r] = sum4(fold8(row));
    }
    _mm256_storeu_si256((void *)count, _mm256_add_epi32(zeros[0], zeros[1]));
    for (int i = 0; i < 8; i++)
        out->zeros += count[i];
}

/* --------------------------------------------------------------------------------- AVX-512 --- */
struct group16 {
    __m512 d, abs, values, cross, square;
    __m512i most;
};

SC_TARGET_AVX512 static inline __m128 fold16(__m512 v)
{
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}

SC_TARGET_AVX512 static inline void put_columns_avx512(__m512 v, double *columns)
{
    _mm512_storeu_pd(columns, _mm512_cvtps_pd(_mm512_castps512_ps256(v)));
    _mm512_storeu_pd(columns + 8, _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)));
}

SC_TARGET_AVX512 static inline struct group16 none_avx512(void)
{
    const __m512 zero = _mm512_setzero_ps();
    return (struct group16){zero, zero, zero, zero, zero, _mm512_setzero_si512()};
}

/* 16 elements. The tail is written without a branch, which would be taken by chance. Zeros are bits
 * that are counted later: two units do arithmetic, others store. */
SC_TARGET_AVX512 static inline __attribute__((always_inline)) void
add_avx512(const float *x, const float *y, __m512i above, uint32_t *tail, size_t *n_tail,
           bool relative, struct group16 *g, float row[SC_LANES], uint16_t *zeros, float *most)
{
    const __m512 v = _mm512_loadu_ps(x), w = _mm512_loadu_ps(y);
    const __m512 d = _mm512_sub_ps(w, v), a = _mm512_abs_ps(d), s = _mm512_mul_ps(d, d);
    g->d = _mm512_add_ps(g->d, d);
    g->abs = _mm512_add_ps(g->abs, a);
    g->square = _mm512_add_ps(g->square, s);
    _mm512_storeu_ps(row, _mm512_add_ps(_mm512_loadu_ps(row), s));
    g->values = _mm512_add_ps(g->values, _mm512_mul_ps(w, w));
    g->cross = _mm512_add_ps(g->cross, _mm512_mul_ps(v, d));
    g->most = _mm512_max_epu32(g->most, _mm512_castps_si512(a));
    *zeros = (uint16_t)_cvtmask16_u32(_mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_EQ_OQ));
    if (tail) {
        const __m512i magnitude = _mm512_castps_si512(a);
        const __mmask16 over = _mm512_cmpgt_epi32_mask(magnitude, above);
        _mm512_storeu_si512(tail + *n_tail, _mm512_maskz_compress_epi32(over, magnitude));
        *n_tail += (size_t)__builtin_popcount(_cvtmask16_u32(over));
    }
    if (relative) {
        const __m512 bound = _mm512_mul_ps(_mm512_set1_ps(*most), _mm512_abs_ps(v));
        if (SC_UNLIKELY(_mm512_cmp_ps_mask(a, bound, _CMP_GT_OQ)))
            sc_errors_relative(x, y, most);
    }
}

SC_TARGET_AVX512 static inline void add_group_avx512(struct group16 *to, const struct group16 *g)
{
    to->d = _mm512_add_ps(to->d, g->d);
    to->abs = _mm512_add_ps(to->abs, g->abs);
    to->values = _mm512_add_ps(to->values, g->values);
    to->cross = _mm512_add_ps(to->cross, g->cross);
    to->most = _mm512_max_epu32(to->most, g->most);
}

/* Bits that are set in `n` words. */
static inline uint64_t count_bits(const uint16_t *words, size_t n)
{
    uint64_t sum = 0, four;
    for (size_t i = 0; i < n; i += 4) {
        memcpy(&four, words + i, sizeof four);
        sum += (uint64_t)__builtin_popcountll(four);
    }
    return sum;
}

/* `with_tail`, `relative` and `full` (32 rows) are constants where this is inlined. */
SC_TARGET_AVX512 static inline __attribute__((always_inline)) void
block_avx512(const struct sc_error_block *b, struct sc_block_errors *out, bool full, bool with_tail,
             bool relative)
{
    enum { HALF = SC_ERROR_TOGETHER };
    const __m512i above = _mm512_set1_epi32((int32_t)b->above);
    const size_t n_rows = full ? SC_ERROR_ROWS : b->rows;
    const size_t x_stride = b->x_stride, y_stride = b->y_stride; /* stores could change them */
    uint32_t *const tail = with_tail ? b->tail : NULL;
    float rows[SC_ERROR_ROWS][SC_LANES], most = 0;
    uint16_t zeros[2][SC_ERROR_ROWS];
    size_t n_tail = 0;
    memset(rows, 0, n_rows * sizeof rows[0]);
    memset(zeros, 0, sizeof zeros);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        struct group16 tile = none_avx512();
        __m512 square[2];
        for (size_t half = 0; half < 2; half++) {
            const size_t col = at + half * SC_LANES;
            square[half] = _mm512_setzero_ps();
            for (size_t first = 0; first < n_rows; first += HALF) {
                const size_t end = full ? first + HALF : SC_MIN(first + HALF, n_rows);
                const float *x = b->x + first * x_stride + col;
                const float *y = b->y + first * y_stride + col;
                struct group16 g = none_avx512();
                for (size_t r = first; r < end; r++, x += x_stride, y += y_stride)
                    add_avx512(x, y, above, tail, &n_tail, relative, &g, rows[r], &zeros[half][r],
                               &most);
                add_group_avx512(&tile, &g);
                square[half] = _mm512_add_ps(square[half], g.square);
            }
            if (out->columns)
                put_columns_avx512(square[half], out->columns + col);
        }
        tile.square = _mm512_add_ps(square[0], square[1]);
        finish(fold16(tile.d), fold16(tile.abs), fold16(tile.square), fold16(tile.values), s);
        s->cross = sum4(fold16(tile.cross));
        s->most = _mm512_reduce_max_epu32(tile.most);
        out->most = SC_MAX(out->most, s->most);
        out->zeros += count_bits(zeros[0], SC_COUNT(zeros) * SC_ERROR_ROWS);
    }
    for (size_t r = 0; r < n_rows; r++)
        out->row_square[r] = sum4(fold16(_mm512_loadu_ps(rows[r])));
    out->tail = n_tail;
    out->relative = most;
}

/* 16 elements of y itself. */
struct sums16 {
    __m512d sum[2], square[2];
    __m512 min, max;
    __m512i most;
};

SC_TARGET_AVX512 static inline void see_avx512(const float *y, struct sums16 *g,
                                               double row[SC_LANES], uint16_t *zeros)
{
    const __m512 w = _mm512_loadu_ps(y);
    const __m512d wide[2] = {_mm512_cvtps_pd(_mm256_loadu_ps(y)),
                             _mm512_cvtps_pd(_mm256_loadu_ps(y + 8))};
    for (int i = 0; i < 2; i++) {
        const __m512d v2 = _mm512_mul_pd(wide[i], wide[i]);
        g->sum[i] = _mm512_add_pd(g->sum[i], wide[i]);
        g->square[i] = _mm512_add_pd(g->square[i], v2);
        _mm512_storeu_pd(row + 8 * i, _mm512_add_pd(_mm512_loadu_pd(row + 8 * i), v2));
    }
    g->min = _mm512_min_ps(w, g->min);
    g->max = _mm512_max_ps(w, g->max);
    g->most = _mm512_max_epu32(g->most, _mm512_castps_si512(_mm512_abs_ps(w)));
    *zeros = (uint16_t)_cvtmask16_u32(_mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_EQ_OQ));
}

/* Without x: sums of y itself, all in double. */
SC_TARGET_AVX512 static void sums_avx512(const struct sc_error_block *b,
                                         struct sc_block_errors *out)
{
    double rows[SC_ERROR_ROWS][SC_LANES], lanes[SC_LANES];
    uint16_t zeros[2][SC_ERROR_ROWS];
    struct sums16 g;
    memset(rows, 0, b->rows * sizeof rows[0]);
    memset(zeros, 0, sizeof zeros);
    g.min = _mm512_set1_ps(out->min);
    g.max = _mm512_set1_ps(out->max);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        __m512d both[2];
        g.most = _mm512_setzero_si512();
        g.sum[0] = g.sum[1] = both[0] = both[1] = _mm512_setzero_pd();
        for (size_t half = 0; half < 2; half++) {
            const float *y = b->y + at + half * SC_LANES;
            g.square[0] = g.square[1] = _mm512_setzero_pd();
            for (size_t r = 0; r < b->rows; r++, y += b->y_stride)
                see_avx512(y, &g, rows[r], &zeros[half][r]);
            for (size_t i = 0; i < 2; i++) {
                both[i] = _mm512_add_pd(both[i], g.square[i]);
                if (out->columns)
                    _mm512_storeu_pd(out->columns + at + half * SC_LANES + 8 * i, g.square[i]);
            }
        }
        _mm512_storeu_pd(lanes, g.sum[0]);
        _mm512_storeu_pd(lanes + 8, g.sum[1]);
        s->d = sc_lanes_sum(lanes);
        _mm512_storeu_pd(lanes, both[0]);
        _mm512_storeu_pd(lanes + 8, both[1]);
        s->square = s->values = sc_lanes_sum(lanes);
        s->most = _mm512_reduce_max_epu32(g.most);
        out->most = SC_MAX(out->most, s->most);
        out->zeros += count_bits(zeros[0], SC_COUNT(zeros) * SC_ERROR_ROWS);
    }
    for (size_t r = 0; r < b->rows; r++)
        out->row_square[r] = sc_lanes_sum(rows[r]);
    out->min = _mm512_reduce_min_ps(g.min);
    out->max = _mm512_reduce_max_ps(g.max);
}

SC_TARGET_AVX512 void sc_errors_avx512(const struct sc_error_block *b, struct sc_block_errors *out)
{
    const bool full = b->rows == SC_ERROR_ROWS;
    if (!b->x)
        sums_avx512(b, out);
    else if (full && b->tail && !b->relative)
        block_avx512(b, out, true, true, false);
    else if (full && b->tail)
        block_avx512(b, out, true, true, true);
    else if (full && !b->relative)
        block_avx512(b, out, true, false, false);
    else
        block_avx512(b, out, false, b->tail, b->relative);
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
