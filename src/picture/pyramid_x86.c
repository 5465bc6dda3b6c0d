/* SPDX-License-Identifier: Apache-2.0 */
/* pyramid_x86: sums of cells in AVX2 and AVX-512, bit for bit as in pyramid_cells.c. */
#include "picture/pyramid.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <math.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* Eight lanes of everything; lanes i and i + 8 of 16 have been joined. */
struct eight {
    __m256 sum, square, min, max;
    __m256i most;
};

SC_TARGET_AVX2 static inline float sum8(__m256 v)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

SC_TARGET_AVX2 static inline void finish8(const struct eight *e, struct sc_cell_lanes *out)
{
    __m128 low = _mm_min_ps(_mm256_castps256_ps128(e->min), _mm256_extractf128_ps(e->min, 1));
    __m128 high = _mm_max_ps(_mm256_castps256_ps128(e->max), _mm256_extractf128_ps(e->max, 1));
    __m128i most =
        _mm_max_epu32(_mm256_castsi256_si128(e->most), _mm256_extracti128_si256(e->most, 1));
    low = _mm_min_ps(low, _mm_movehl_ps(low, low));
    high = _mm_max_ps(high, _mm_movehl_ps(high, high));
    most = _mm_max_epu32(most, _mm_unpackhi_epi64(most, most));
    out->sum = sum8(e->sum);
    out->square = sum8(e->square);
    out->min = _mm_cvtss_f32(_mm_min_ss(low, _mm_movehdup_ps(low)));
    out->max = _mm_cvtss_f32(_mm_max_ss(high, _mm_movehdup_ps(high)));
    out->most = (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(most, _mm_shuffle_epi32(most, 1)));
}

/* Zeros of either sign are equal: which of them an extreme is must not depend on the order. */
static inline void settle(struct sc_cell_lanes *l)
{
    l->min = l->min == 0 ? 0.0F : l->min;
    l->max = l->max == 0 ? 0.0F : l->max;
}

SC_TARGET_AVX2 void sc_cells_avx2(const float *x, size_t stride, size_t rows, size_t width,
                                  size_t cells, struct sc_cell_lanes *out)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    for (size_t k = 0; k < cells; k++, x += width) {
        struct eight a = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_set1_ps(INFINITY),
                          _mm256_set1_ps(-INFINITY), _mm256_setzero_si256()};
        __m256 sum = a.sum, square = a.square;
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < width; i += 16) {
                const __m256 v = _mm256_loadu_ps(x + r * stride + i);
                const __m256 w = _mm256_loadu_ps(x + r * stride + i + 8);
                const __m256i p = _mm256_and_si256(_mm256_castps_si256(v), magnitude);
                const __m256i q = _mm256_and_si256(_mm256_castps_si256(w), magnitude);
                a.sum = _mm256_add_ps(a.sum, v);
                sum = _mm256_add_ps(sum, w);
                a.square = _mm256_add_ps(a.square, _mm256_mul_ps(v, v));
                square = _mm256_add_ps(square, _mm256_mul_ps(w, w));
                a.min = _mm256_min_ps(_mm256_min_ps(v, w), a.min);
                a.max = _mm256_max_ps(_mm256_max_ps(v, w), a.max);
                a.most = _mm256_max_epu32(a.most, _mm256_max_epu32(p, q));
            }
        a.sum = _mm256_add_ps(a.sum, sum);
        a.square = _mm256_add_ps(a.square, square);
        finish8(&a, &out[k]);
        settle(&out[k]);
    }
}

/* 16 values of which one stands at number `at`: floats, or codes of BF16. */
SC_TARGET_AVX512 static inline __attribute__((always_inline)) __m512 values16(const void *x,
                                                                              size_t at, bool bf16)
{
    if (!bf16)
        return _mm512_loadu_ps((const float *)x + at);
    const __m256i codes = _mm256_loadu_si256((const void *)((const uint8_t *)x + 2 * at));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(codes), 16));
}

enum { AHEAD = 512 }; /* bytes of a row */

SC_TARGET_AVX512 static inline __attribute__((always_inline)) void
cells512(const void *x, size_t stride, size_t rows, size_t width, size_t cells, bool bf16,
         struct sc_cell_lanes *out)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (size_t k = 0, at = 0; k < cells; k++, at += width) {
        __m512 sum = _mm512_setzero_ps(), square = sum;
        __m512 min = _mm512_set1_ps(INFINITY), max = _mm512_set1_ps(-INFINITY);
        __m512i most = _mm512_setzero_si512();
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < width; i += 16) {
                if (bf16 && i % 32 == 0) /* many rows at once are more than a processor follows */
                    __builtin_prefetch((const uint8_t *)x + 2 * (at + r * stride + i) + AHEAD, 0,
                                       2);
                const __m512 v = values16(x, at + r * stride + i, bf16);
                sum = _mm512_add_ps(sum, v);
                square = _mm512_add_ps(square, _mm512_mul_ps(v, v));
                min = _mm512_min_ps(v, min);
                max = _mm512_max_ps(v, max);
                most = _mm512_max_epu32(most, _mm512_and_si512(_mm512_castps_si512(v), magnitude));
            }
        const struct eight e = {
            _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps(sum, 1)),
            _mm256_add_ps(_mm512_castps512_ps256(square), _mm512_extractf32x8_ps(square, 1)),
            _mm256_min_ps(_mm512_castps512_ps256(min), _mm512_extractf32x8_ps(min, 1)),
            _mm256_max_ps(_mm512_castps512_ps256(max), _mm512_extractf32x8_ps(max, 1)),
            _mm256_max_epu32(_mm512_castsi512_si256(most), _mm512_extracti32x8_epi32(most, 1))};
        finish8(&e, &out[k]);
        settle(&out[k]);
    }
}

SC_TARGET_AVX512 void sc_cells_avx512(const float *x, size_t stride, size_t rows, size_t width,
                                      size_t cells, struct sc_cell_lanes *out)
{
    cells512(x, stride, rows, width, cells, false, out);
}

SC_TARGET_AVX512 void sc_cells_bf16_avx512(const uint8_t *codes, size_t stride, size_t rows,
                                           size_t width, size_t cells, struct sc_cell_lanes *out)
{
    cells512(codes, stride, rows, width, cells, true, out);
}

SC_TARGET_AVX2 void sc_cell_columns_avx2(const float *x, size_t stride, size_t rows, size_t n,
                                         struct sc_cell_columns *out)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    for (size_t i = 0; i < n; i += 8) {
        struct eight a = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_set1_ps(INFINITY),
                          _mm256_set1_ps(-INFINITY), _mm256_setzero_si256()};
        for (size_t r = 0; r < rows; r++) {
            const __m256 v = _mm256_loadu_ps(x + r * stride + i);
            a.sum = _mm256_add_ps(a.sum, v);
            a.square = _mm256_add_ps(a.square, _mm256_mul_ps(v, v));
            a.min = _mm256_min_ps(v, a.min);
            a.max = _mm256_max_ps(v, a.max);
            a.most = _mm256_max_epu32(a.most, _mm256_and_si256(_mm256_castps_si256(v), magnitude));
        }
        _mm256_storeu_ps(out->sum + i, a.sum);
        _mm256_storeu_ps(out->square + i, a.square);
        _mm256_storeu_ps(out->min + i, a.min);
        _mm256_storeu_ps(out->max + i, a.max);
        _mm256_storeu_si256((void *)(out->most + i), a.most);
    }
}

SC_TARGET_AVX512 void sc_cell_columns_avx512(const float *x, size_t stride, size_t rows, size_t n,
                                             struct sc_cell_columns *out)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (size_t i = 0; i < n; i += 16) {
        __m512 sum = _mm512_setzero_ps(), square = sum;
        __m512 min = _mm512_set1_ps(INFINITY), max = _mm512_set1_ps(-INFINITY);
        __m512i most = _mm512_setzero_si512();
        for (size_t r = 0; r < rows; r++) {
            const __m512 v = _mm512_loadu_ps(x + r * stride + i);
            sum = _mm512_add_ps(sum, v);
            square = _mm512_add_ps(square, _mm512_mul_ps(v, v));
            min = _mm512_min_ps(v, min);
            max = _mm512_max_ps(v, max);
            most = _mm512_max_epu32(most, _mm512_and_si512(_mm512_castps_si512(v), magnitude));
        }
        _mm512_storeu_ps(out->sum + i, sum);
        _mm512_storeu_ps(out->square + i, square);
        _mm512_storeu_ps(out->min + i, min);
        _mm512_storeu_ps(out->max + i, max);
        _mm512_storeu_si512(out->most + i, most);
    }
}

/* What 16 vectors of columns or of cells hold; the largest magnitude is that of an extreme, and
 * what is no number makes a sum that is none. */
struct sixteen {
    __m512 sum, square, min, max;
};

SC_TARGET_AVX512 static inline __attribute__((always_inline)) struct sixteen
column16(const void *x, size_t at, size_t stride, size_t rows, bool squares, bool bf16)
{
    struct sixteen s = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_set1_ps(INFINITY),
                        _mm512_set1_ps(-INFINITY)};
    for (size_t r = 0; r < rows; r++) {
        const __m512 v = values16(x, at + r * stride, bf16);
        if (bf16 && at % 32 == 0) /* rows of the next pixels */
            __builtin_prefetch((const uint8_t *)x + 2 * (at + (r + rows) * stride), 0, 2);
        s.sum = _mm512_add_ps(s.sum, v);
        if (squares)
            s.square = _mm512_add_ps(s.square, _mm512_mul_ps(v, v));
        s.min = _mm512_min_ps(v, s.min);
        s.max = _mm512_max_ps(v, s.max);
    }
    return s;
}

/* The numbers of even and of odd neighbours in two vectors. */
SC_TARGET_AVX512 static inline __m512i even_numbers(void)
{
    return _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
SC_TARGET_AVX512 static inline __m512i odd_numbers(void)
{
    return _mm512_add_epi32(even_numbers(), _mm512_set1_epi32(1));
}

/* Of `width` vectors of neighbours, 16 cells, the columns of each added from left to right. `first`
 * is 2 where even and odd columns stand in vectors of their own, the even ones first; else 1. */
SC_TARGET_AVX512 static inline __attribute__((always_inline)) __m512
add_columns(__m512 v[8], const size_t width, const size_t first)
{
    const __m512i even = even_numbers(), odd = odd_numbers();
    for (size_t step = first; step < width; step *= 2) {
        __m512 to[8];
        for (size_t i = 0; i < width / 2; i++) {
            to[i] = _mm512_permutex2var_ps(v[2 * i], even, v[2 * i + 1]);
            to[i + width / 2] = _mm512_permutex2var_ps(v[2 * i], odd, v[2 * i + 1]);
        }
        for (size_t i = 0; i < width; i++)
            v[i] = to[i];
    }
    __m512 sum = v[0];
    for (size_t i = 1; i < width; i++)
        sum = _mm512_add_ps(sum, v[i]);
    return sum;
}

/* 16 cells, their columns added from left to right. */
SC_TARGET_AVX512 static inline __attribute__((always_inline)) struct sixteen
cells16(const void *x, size_t stride, size_t rows, const size_t width, bool squares, bool bf16)
{
    const __m512i even = even_numbers(), odd = odd_numbers();
    __m512 sum[8], square[8], min[8], max[8];
    for (size_t i = 0; i < width; i++) {
        const struct sixteen c = column16(x, 16 * i, stride, rows, squares, bf16);
        sum[i] = c.sum;
        square[i] = c.square;
        min[i] = c.min;
        max[i] = c.max;
    }
    struct sixteen s = {.sum = add_columns(sum, width, 1), .square = _mm512_setzero_ps()};
    if (squares)
        s.square = add_columns(square, width, 1);
    /* Extremes do not depend on the order, once zeros have no sign: pairs, then pairs of these. */
    for (size_t n = width; n > 1; n /= 2)
        for (size_t i = 0; i < n / 2; i++) {
            const __m512 a = min[2 * i], b = min[2 * i + 1], c = max[2 * i], d = max[2 * i + 1];
            min[i] = _mm512_min_ps(_mm512_permutex2var_ps(a, even, b),
                                   _mm512_permutex2var_ps(a, odd, b));
            max[i] = _mm512_max_ps(_mm512_permutex2var_ps(c, even, d),
                                   _mm512_permutex2var_ps(c, odd, d));
        }
    const __mmask16 low0 = _mm512_cmpeq_ps_mask(min[0], _mm512_setzero_ps());
    const __mmask16 high0 = _mm512_cmpeq_ps_mask(max[0], _mm512_setzero_ps());
    s.min = _mm512_mask_blend_ps(low0, min[0], _mm512_setzero_ps());
    s.max = _mm512_mask_blend_ps(high0, max[0], _mm512_setzero_ps());
    return s;
}

/* The root of x * by in double, after 0 was added as sums begin with it. */
SC_TARGET_AVX512 static inline __m512 root16(__m512 x, double by)
{
    const __m512d scale = _mm512_set1_pd(by), zero = _mm512_setzero_pd();
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
    __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    low = _mm512_sqrt_pd(_mm512_mul_pd(_mm512_add_pd(low, zero), scale));
    high = _mm512_sqrt_pd(_mm512_mul_pd(_mm512_add_pd(high, zero), scale));
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high),
                              1);
}

/* Columns of 32 BF16 codes: those of even and of odd numbers, and the largest magnitudes. */
struct columns32 {
    __m512 sum[2], square[2];
    __m512i most;
};

SC_TARGET_AVX512 static inline __attribute__((always_inline)) struct columns32
columns_of_codes(const uint8_t *codes, size_t stride, size_t rows, bool squares)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    const __m512i magnitude = _mm512_set1_epi16(INT16_MAX);
    const __m512 zero = _mm512_setzero_ps(), one = _mm512_set1_ps(1);
    struct columns32 c = {{zero, zero}, {zero, zero}, _mm512_setzero_si512()};
    for (size_t r = 0; r < rows; r++) {
        const __m512i v = _mm512_loadu_si512(codes + 2 * r * stride);
        const __m512 w[2] = {_mm512_castsi512_ps(_mm512_slli_epi32(v, 16)),
                             _mm512_castsi512_ps(_mm512_and_si512(v, upper))};
        /* Rows of the next pixels. */
        __builtin_prefetch(codes + 2 * (r + rows) * stride, 0, 2);
        for (size_t i = 0; i < 2; i++) { /* x 1 is exact: what multiplies has less to do */
            c.sum[i] = _mm512_fmadd_ps(w[i], one, c.sum[i]);
            if (squares)
                c.square[i] = _mm512_add_ps(c.square[i], _mm512_mul_ps(w[i], w[i]));
        }
        c.most = _mm512_max_epu16(c.most, _mm512_and_si512(v, magnitude));
    }
    return c;
}

/* cells16() of BF16 codes, whose pairs stand beside each other as they are loaded; the extremes are
 * not told, but the largest magnitude in place of the largest. */
SC_TARGET_AVX512 static inline __attribute__((always_inline)) struct sixteen
cells_of_codes(const uint8_t *codes, size_t stride, size_t rows, const size_t width, bool squares)
{
    const __m512i even = even_numbers(), odd = odd_numbers();
    __m512 sum[8], square[8];
    __m512i most[4];
    for (size_t i = 0; i < width / 2; i++) {
        const struct columns32 c = columns_of_codes(codes + 64 * i, stride, rows, squares);
        for (size_t k = 0; k < 2; k++) {
            sum[i + k * width / 2] = c.sum[k];
            square[i + k * width / 2] = c.square[k];
        }
        most[i] = _mm512_max_epu16(c.most, _mm512_slli_epi32(c.most, 16));
    }
    struct sixteen s = {.sum = add_columns(sum, width, 2),
                        .square = _mm512_setzero_ps(),
                        .min = _mm512_setzero_ps()};
    if (squares)
        s.square = add_columns(square, width, 2);
    for (size_t n = width / 2; n > 1; n /= 2)
        for (size_t i = 0; i < n / 2; i++) {
            const __m512i a = most[2 * i], b = most[2 * i + 1];
            most[i] = _mm512_max_epu16(_mm512_permutex2var_epi32(a, even, b),
                                       _mm512_permutex2var_epi32(a, odd, b));
        }
    s.max = _mm512_castsi512_ps(_mm512_and_si512(most[0], _mm512_set1_epi32((int)0xffff0000)));
    return s;
}

/* Cells of a width that is known where this is inlined. */
SC_TARGET_AVX512 static inline __attribute__((always_inline)) struct sixteen
cells_of(const void *x, size_t stride, size_t rows, size_t width, bool squares, bool bf16)
{
    return width == 2   ? cells16(x, stride, rows, 2, squares, bf16)
           : width == 4 ? cells16(x, stride, rows, 4, squares, bf16)
                        : cells16(x, stride, rows, 8, squares, bf16);
}
SC_TARGET_AVX512 static inline __attribute__((always_inline)) struct sixteen
short_cells_of(const void *x, size_t stride, size_t rows, size_t width, bool squares)
{
    return width == 2   ? cells_of_codes(x, stride, rows, 2, squares)
           : width == 4 ? cells_of_codes(x, stride, rows, 4, squares)
                        : cells_of_codes(x, stride, rows, 8, squares);
}

SC_TARGET_AVX512 uint32_t sc_cell_pixels_avx512(const void *x, bool bf16, size_t stride,
                                                size_t rows, size_t width,
                                                const struct sc_pixel_row *out, size_t n, size_t at)
{
    struct sixteen s;
    bool squares = false, extremes = !bf16;
    for (size_t i = 0; i < n; i++) {
        squares = squares || out[i].plane == SC_PLANE_RMS;
        extremes = extremes || out[i].plane == SC_PLANE_MIN || out[i].plane == SC_PLANE_MAX;
    }
    if (!extremes)
        s = squares ? short_cells_of(x, stride, rows, width, true)
                    : short_cells_of(x, stride, rows, width, false);
    else if (squares)
        s = bf16 ? cells_of(x, stride, rows, width, true, true)
                 : cells_of(x, stride, rows, width, true, false);
    else
        s = bf16 ? cells_of(x, stride, rows, width, false, true)
                 : cells_of(x, stride, rows, width, false, false);
    const __m512 minus = _mm512_castsi512_ps(_mm512_set1_epi32((int)0x80000000));
    const __m512 abs = _mm512_max_ps(_mm512_xor_ps(s.min, minus), s.max);
    const double share = 1 / (double)(rows * width); /* exact: a power of two */
    for (size_t i = 0; i < n; i++) {
        __m512 v = s.min;
        if (out[i].plane == SC_PLANE_MAX)
            v = s.max;
        else if (out[i].plane == SC_PLANE_ABS)
            v = abs;
        else if (out[i].plane == SC_PLANE_RMS)
            v = root16(s.square, share);
        else if (out[i].plane == SC_PLANE_MEAN)
            v = _mm512_mul_ps(_mm512_add_ps(s.sum, _mm512_setzero_ps()),
                              _mm512_set1_ps((float)share));
        _mm512_storeu_si512(out[i].pixels + at, _mm512_castps_si512(v));
    }
    /* As sc_errors_good(). */
    const __m512i most = _mm512_castps_si512(abs);
    const __mmask16 number = _mm512_cmp_ps_mask(s.sum, s.sum, _CMP_ORD_Q);
    const __mmask16 good = _mm512_cmpge_epu32_mask(most, _mm512_set1_epi32(0x2b800000)) &
                           _mm512_cmplt_epu32_mask(most, _mm512_set1_epi32(0x5b000000));
    const __mmask16 none = _mm512_cmpeq_epi32_mask(most, _mm512_setzero_si512());
    return (uint32_t)(uint16_t) ~((good | none) & number);
}

SC_TARGET_AVX2 size_t sc_magnitudes_skip_avx2(const float *x, size_t n, uint32_t least)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    const __m256i below = _mm256_set1_epi32((int)least - 1); /* neither has the sign bit */
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i v = _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i)), magnitude);
        const __m256i w =
            _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i + 8)), magnitude);
        const __m256i any = _mm256_max_epi32(v, w);
        if (_mm256_movemask_epi8(_mm256_cmpgt_epi32(any, below)))
            break;
    }
    return i;
}

/* -------------------------------------------------------------------------- rows of a tensor ---
 */

SC_TARGET_AVX512 size_t sc_row_add_avx512(const float *x, size_t n, double *squares,
                                          struct sc_row_sums *out)
{
    __m512d sum = _mm512_loadu_pd(out->sum), square = _mm512_loadu_pd(out->square);
    __m256 min = _mm256_loadu_ps(out->min), max = _mm256_loadu_ps(out->max);
    __m256i any = _mm256_setzero_si256();
    uint32_t zeros = 0;
    size_t i = 0;
    for (; i + SC_ROW_LANES <= n; i += SC_ROW_LANES) {
        const __m256 v = _mm256_loadu_ps(x + i);
        const __m512d w = _mm512_cvtps_pd(v), s = _mm512_mul_pd(w, w);
        any = _mm256_or_si256(any, _mm256_castps_si256(v));
        zeros +=
            (uint32_t)__builtin_popcount(_mm256_cmp_ps_mask(v, _mm256_setzero_ps(), _CMP_EQ_OQ));
        sum = _mm512_add_pd(sum, w);
        square = _mm512_add_pd(square, s);
        _mm512_storeu_pd(squares + i, _mm512_add_pd(_mm512_loadu_pd(squares + i), s));
        min = _mm256_min_ps(v, min);
        max = _mm256_max_ps(v, max);
    }
    uint32_t lanes[SC_ROW_LANES];
    _mm512_storeu_pd(out->sum, sum);
    _mm512_storeu_pd(out->square, square);
    _mm256_storeu_ps(out->min, min);
    _mm256_storeu_ps(out->max, max);
    _mm256_storeu_si256((__m256i *)lanes, any);
    for (size_t k = 0; k < SC_ROW_LANES; k++)
        out->any |= lanes[k];
    out->zeros += zeros;
    return i;
}
#else
typedef int sc_no_x86; /* a file needs a declaration */
#endif
