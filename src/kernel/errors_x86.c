/* SPDX-License-Identifier: Apache-2.0 */
/* errors_x86: errors.c for AVX2 and AVX-512, bit for bit. */
#include "kernel/errors.h"

#include <math.h>
#include <string.h>

#include "kernel/lanes_x86.h"

#if SC_HAVE_X86
#include "kernel/lanes_names.h"

/* ----------------------------------------------------------------------------------- blocks --- */
/* Where y lies. */
struct lying {
    const float *y;
    size_t stride;
};
/* The block of a level, with y from memory. */
#define BLOCKS                                                                                     \
    TARGET static inline __attribute__((always_inline)) LANES AT(lying)(                           \
        const void *how, LANES x, size_t r, size_t col, MASK *above)                               \
    {                                                                                              \
        const struct lying *l = how;                                                               \
        (void)x, (void)above;                                                                      \
        return load(l->y + r * l->stride + col);                                                   \
    }                                                                                              \
    TARGET static void AT(block)(const struct sc_error_block *b, struct sc_block_errors *out)      \
    {                                                                                              \
        const struct lying y = {b->y, b->y_stride};                                                \
        if (b->only_sums)                                                                          \
            AT(add_sums)(b, out, AT(lying), &y, false);                                            \
        else if (b->tail && !b->relative)                                                          \
            AT(add_block)(b, out, AT(lying), &y, (struct AT(error_wants)){.tail = true});          \
        else                                                                                       \
            AT(add_block)                                                                          \
        (b, out, AT(lying), &y,                                                                    \
         (struct AT(error_wants)){.tail = b->tail, .relative = b->relative});                      \
    }

#define LANES    struct sc_lanes2
#define MASK     struct sc_lanes2
#define TARGET   SC_TARGET_AVX2
#define AT(name) name##_avx2
#include "kernel/errors_body.h"
BLOCKS
#define SHORT(name)  short_##name##_avx2
#define SHORT_TARGET TARGET
#include "kernel/errors_short_body.h"
#undef SHORT
#undef SHORT_TARGET
#undef LANES
#undef MASK
#undef TARGET
#undef AT

#define LANES    __m512i
#define MASK     __mmask16
#define TARGET   SC_TARGET_AVX512
#define AT(name) name##_avx512
#include "kernel/errors_body.h"
BLOCKS
#define SHORT(name)  short_##name##_avx512
#define SHORT_TARGET TARGET
#include "kernel/errors_short_body.h"
#undef SHORT
#undef SHORT_TARGET
#undef LANES
#undef MASK
#undef TARGET
#undef AT

void sc_errors_short_x_avx2(const struct sc_error_block *b, struct sc_block_errors *out)
{
    short_add_x_avx2(b, out);
}

void sc_errors_short_x_avx512(const struct sc_error_block *b, struct sc_block_errors *out)
{
    short_add_x_avx512(b, out);
}

/* ------------------------------------------------------------------- AVX2: y itself --- */
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
    if (b->x)
        block_avx2(b, out);
    else if (b->brief)
        add_short_avx2(b, out);
    else
        sums_avx2(b, out);
}

/* ---------------------------------------------------------------- AVX-512: y itself --- */
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
    for (size_t i = 0; i < 2; i++) {
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
    if (b->x)
        block_avx512(b, out);
    else if (b->brief)
        add_short_avx512(b, out);
    else
        sums_avx512(b, out);
}

/* ------------------------------------------------------------- AVX-512: BF16 as it is stored ---
 * 32 codes at a time, and all columns of a row, whose sums stay in registers. */
enum { VECTORS = SC_BF16_COLUMNS / SC_LANES, WORDS = VECTORS / 2 };

/* While rows are added up: by columns, and what is seen of codes. */
struct brief16 {
    __m512 sum[VECTORS], square[VECTORS];
    __m512i high, far;         /* the largest code with a sign, and without one */
    uint64_t zeros[WORDS / 2]; /* of a row */
};

/* The largest magnitudes of 16 codes each of 2 rows, of 8 groups a row. */
SC_TARGET_AVX512 static inline __m512i peaks_of_rows(const __m512i a[WORDS], const __m512i b[WORDS])
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i *const rows[] = {a, b};
    __m512i eight[2];
    for (size_t r = 0; r < 2; r++) { /* groups become a quarter each, then an eighth */
        __m512i quarters[2];
        for (size_t i = 0; i < 2; i++) {
            const __m512i v = rows[r][2 * i], w = rows[r][2 * i + 1];
            quarters[i] = _mm512_max_epu16(_mm512_shuffle_i32x4(v, w, 0x88),
                                           _mm512_shuffle_i32x4(v, w, 0xdd));
        }
        eight[r] = _mm512_max_epu16(_mm512_unpacklo_epi64(quarters[0], quarters[1]),
                                    _mm512_unpackhi_epi64(quarters[0], quarters[1]));
    }
    const __m512 x = _mm512_castsi512_ps(eight[0]), y = _mm512_castsi512_ps(eight[1]);
    const __m512i two = _mm512_max_epu16(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)),
                                         _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xdd)));
    const __m512i one = _mm512_max_epu16(two, _mm512_slli_epi32(two, 16));
    return _mm512_permutexvar_epi32(order,
                                    _mm512_and_si512(one, _mm512_set1_epi32((int)0xffff0000)));
}

/* One row: widened, added up; magnitudes of its codes. */
SC_TARGET_AVX512 static inline __attribute__((always_inline)) void
row_bf16(const uint8_t *codes, const char *ahead, bool only_sums, float *x, struct brief16 *g,
         float row[SC_LANES], __m512i magnitudes[WORDS])
{
    const __m512i step = _mm512_set1_epi32(0x10000);
    const __m512i low = _mm512_mullo_epi32(
        step, _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(0x100000));
    const __m512i positive = _mm512_set1_epi16(INT16_MAX);
    __m512 of_row = _mm512_setzero_ps();
    for (size_t i = 0; i < WORDS; i++) {
        const __m512i v = _mm512_loadu_si512(codes + 64 * i);
        _mm_prefetch(ahead + 64 * i, _MM_HINT_T1);
        const __m512 w[2] = {
            _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, low, v)),
            _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, high, v))};
        for (size_t k = 0; k < 2; k++) {
            const size_t at = 2 * i + k;
            _mm512_storeu_ps(x + SC_LANES * at, w[k]);
            g->sum[at] = _mm512_add_ps(g->sum[at], w[k]);
            g->square[at] = _mm512_fmadd_ps(w[k], w[k], g->square[at]);
            if (!only_sums)
                of_row = _mm512_fmadd_ps(w[k], w[k], of_row);
        }
        g->high = _mm512_max_epi16(g->high, v);
        g->far = _mm512_max_epu16(g->far, v);
        magnitudes[i] = _mm512_and_si512(v, positive);
        if (only_sums)
            continue;
        const uint32_t zero = _cvtmask32_u32(_mm512_testn_epi16_mask(v, positive));
        g->zeros[i / 2] = i % 2 ? g->zeros[i / 2] | (uint64_t)zero << 32 : zero;
    }
    if (!only_sums)
        _mm512_storeu_ps(row, of_row);
}

SC_TARGET_AVX512 static inline uint16_t largest_of_32(__m512i v)
{
    const __m256i half =
        _mm256_max_epu16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    const __m128i quarter =
        _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(quarter, _mm_set1_epi16(-1)));
    return (uint16_t)~_mm_cvtsi128_si32(least);
}

/* Least and largest value, unless all have the same sign. */
SC_TARGET_AVX512 static bool extremes_of_codes(__m512i of_signed, __m512i of_all, float *min,
                                               float *max)
{
    const __m512i signs = _mm512_set1_epi16(INT16_MIN);
    const int16_t most = (int16_t)(largest_of_32(_mm512_xor_si512(of_signed, signs)) ^ 0x8000);
    const uint16_t least = largest_of_32(of_all);
    *min = sc_float_of((uint32_t)least << 16);
    *max = sc_float_of((uint32_t)(uint16_t)most << 16);
    return most >= 0 && least > INT16_MAX;
}

/* All tiles of a block end together; `lanes` beyond theirs are added up, too. */
SC_TARGET_AVX512 static inline void end_bf16(float lanes[SC_LANES][SC_LANES],
                                             struct sc_block_errors *out)
{
    float of[SC_LANES];
    for (size_t i = VECTORS; i < SC_LANES; i++)
        _mm512_storeu_ps(lanes[i], _mm512_setzero_ps());
    store_avx512(of, sums_of_16_avx512(lanes));
    for (size_t i = 0; i < VECTORS / 2; i++) {
        out->sums[i].d = (double)of[2 * i];
        out->sums[i].square = out->sums[i].values = (double)of[2 * i + 1];
    }
}

SC_TARGET_AVX512 static inline __attribute__((always_inline)) void
codes_bf16(const uint8_t *codes, size_t stride, size_t rows, const uint8_t *ahead, bool only_sums,
           float *x, uint32_t *peaks, struct sc_block_errors *out)
{
    enum { HALVES = SC_ERROR_ROWS / SC_ERROR_TOGETHER };
    const __m512 zero = _mm512_setzero_ps();
    float of_rows[SC_ERROR_ROWS][SC_LANES];
    __m512 sum[HALVES][VECTORS], square[HALVES][VECTORS];
    struct brief16 g;
    float lanes[SC_LANES][SC_LANES]; /* of a tile the sum, and that of squares */
    float *const begin = x;
    const char *next = (const char *)(ahead ? ahead : codes); /* of codes it does nothing */
    g.high = _mm512_set1_epi16(INT16_MIN);
    g.far = _mm512_setzero_si512();
    for (size_t half = 0; half < HALVES; half++) {
        const size_t end = SC_MIN(rows, (half + 1) * SC_ERROR_TOGETHER);
        for (size_t i = 0; i < VECTORS; i++)
            g.sum[i] = g.square[i] = zero;
        for (size_t r = half * SC_ERROR_TOGETHER; r < end; r += 2) {
            __m512i magnitudes[2][WORDS];
            for (size_t k = 0; k < 2; k++, codes += stride, x += SC_BF16_COLUMNS) {
                row_bf16(codes, next, only_sums, x, &g, of_rows[r + k], magnitudes[k]);
                next += stride;
                for (size_t i = 0; !only_sums && i < SC_COUNT(g.zeros); i++)
                    out->zeros += (uint64_t)__builtin_popcountll(g.zeros[i]);
            }
            _mm512_storeu_si512(peaks, peaks_of_rows(magnitudes[0], magnitudes[1]));
            peaks += (size_t)2 * VECTORS;
        }
        for (size_t i = 0; i < VECTORS; i++) {
            sum[half][i] = g.sum[i];
            square[half][i] = g.square[i];
        }
    }
    for (size_t i = 0; i < VECTORS; i += 2) {
        __m512 d = zero, squares[2];
        for (size_t k = 0; k < 2; k++) {
            squares[k] = zero;
            for (size_t half = 0; half * SC_ERROR_TOGETHER < rows; half++) {
                d = _mm512_add_ps(d, sum[half][i + k]);
                squares[k] = _mm512_add_ps(squares[k], square[half][i + k]);
            }
            if (!only_sums && out->columns)
                store_wide_avx512(out->columns + SC_LANES * (i + k),
                                  _mm512_castps_si512(squares[k]));
        }
        _mm512_storeu_ps(lanes[i], d);
        _mm512_storeu_ps(lanes[i + 1], _mm512_add_ps(squares[0], squares[1]));
    }
    end_bf16(lanes, out);
    if (!only_sums)
        end_rows_avx512(of_rows, rows, out->row_square);
    if (!extremes_of_codes(g.high, g.far, &out->min, &out->max))
        sc_extremes(begin, rows * SC_BF16_COLUMNS, SC_CPU_AVX512, &out->min, &out->max);
}

SC_TARGET_AVX512 void sc_errors_bf16_avx512(const uint8_t *codes, size_t stride, size_t rows,
                                            const uint8_t *ahead, bool only_sums, float *x,
                                            uint32_t *peaks, struct sc_block_errors *out)
{
    if (only_sums)
        codes_bf16(codes, stride, rows, ahead, true, x, peaks, out);
    else
        codes_bf16(codes, stride, rows, ahead, false, x, peaks, out);
}

/* ------------------------------------------------------------------- BF16 in the short order ---
 */
/* Least and largest, where all have one sign or some are not finite. */
static void extremes_of_rows(const uint8_t *codes, size_t stride, size_t rows, enum sc_cpu level,
                             struct sc_block_errors *out)
{
    for (size_t r = 0; r < rows; r++) {
        float min, max;
        sc_extremes_bf16(codes + r * stride, SC_SHORT_COLUMNS, level, &min, &max);
        out->min = SC_MIN(out->min, min);
        out->max = SC_MAX(out->max, max);
    }
}

/* What is added up of 32 codes meanwhile: into sums of values and of squares. */
typedef void add_word_fn(__m512i codes, __m512 *sum, __m512 *square);

SC_TARGET_AVX512 static inline __attribute__((always_inline)) bool
lay_avx512(const struct sc_short_codes *from, add_word_fn *add,
           __m512 sums[2][SC_ERROR_ROWS / SC_ERROR_TOGETHER][WORDS], struct sc_block_errors *out)
{
    enum { HALVES = SC_ERROR_ROWS / SC_ERROR_TOGETHER };
    const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    const __m512i step = _mm512_set1_epi32(0x10000);
    const __m512i low = _mm512_mullo_epi32(
        step, _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m512i upper = _mm512_add_epi32(low, _mm512_set1_epi32(0x100000));
    const __m512i positive = _mm512_set1_epi16(INT16_MAX);
    const uint8_t *codes = from->codes;
    const char *next = (const char *)(from->ahead ? from->ahead : codes); /* of codes: nothing */
    uint16_t *short_x = from->short_x;
    uint32_t *peaks = from->peaks;
    float *x = from->x;
    __m512i high = _mm512_set1_epi16(INT16_MIN), far = _mm512_setzero_si512();
    __m512i least = _mm512_set1_epi32(-1), most = far; /* least: of peaks - 1; 0 is the largest */
    for (size_t half = 0; half < HALVES; half++) {
        const size_t end = SC_MIN(from->rows, (half + 1) * SC_ERROR_TOGETHER);
        __m512 s[WORDS], q[WORDS];
        for (size_t i = 0; i < WORDS; i++)
            s[i] = q[i] = _mm512_setzero_ps();
        for (size_t r = half * SC_ERROR_TOGETHER; r < end; r += 2) {
            __m512i magnitudes[2][WORDS];
            for (size_t k = 0; k < 2; k++, codes += from->stride, next += from->stride)
                for (size_t i = 0; i < WORDS; i++, short_x += SC_ERROR_COLUMNS) {
                    const __m512i v = _mm512_loadu_si512(codes + 64 * i);
                    _mm_prefetch(next + 64 * i, _MM_HINT_T1);
                    add(v, &s[i], &q[i]);
                    high = _mm512_max_epi16(high, v);
                    far = _mm512_max_epu16(far, v);
                    magnitudes[k][i] = _mm512_and_si512(v, positive);
                    _mm512_storeu_si512(short_x, _mm512_permutexvar_epi32(order, v));
                    if (x) {
                        _mm512_storeu_si512(x, _mm512_maskz_permutexvar_epi16(0xaaaaaaaa, low, v));
                        _mm512_storeu_si512(x + SC_LANES,
                                            _mm512_maskz_permutexvar_epi16(0xaaaaaaaa, upper, v));
                        x += SC_ERROR_COLUMNS;
                    }
                }
            const __m512i peak = peaks_of_rows(magnitudes[0], magnitudes[1]);
            least = _mm512_min_epu32(least, _mm512_sub_epi32(peak, _mm512_set1_epi32(1)));
            most = _mm512_max_epu32(most, peak);
            _mm512_storeu_si512(peaks, peak);
            peaks += (size_t)2 * VECTORS;
        }
        for (size_t i = 0; i < WORDS; i++) {
            sums[0][half][i] = s[i];
            sums[1][half][i] = q[i];
        }
    }
    if (!extremes_of_codes(high, far, &out->min, &out->max)) {
        out->min = INFINITY;
        out->max = -INFINITY;
        extremes_of_rows(from->codes, from->stride, from->rows, SC_CPU_AVX512, out);
    }
    return sc_errors_good(_mm512_reduce_min_epu32(least) + 1) &&
           sc_errors_good(_mm512_reduce_max_epu32(most));
}

SC_TARGET_AVX512 static inline void add_no_word(__m512i codes, __m512 *sum, __m512 *square)
{
    (void)codes, (void)sum, (void)square;
}

SC_TARGET_AVX512 bool sc_lay_short_avx512(const struct sc_short_codes *from,
                                          struct sc_block_errors *out)
{
    __m512 unused[2][SC_ERROR_ROWS / SC_ERROR_TOGETHER][WORDS];
    return lay_avx512(from, add_no_word, unused, out);
}

SC_TARGET_BF16 static inline void add_word_bf16(__m512i codes, __m512 *sum, __m512 *square)
{
    *sum = _mm512_dpbf16_ps(*sum, (__m512bh)codes, (__m512bh)_mm512_set1_epi16(0x3f80));
    *square = _mm512_dpbf16_ps(*square, (__m512bh)codes, (__m512bh)codes);
}

SC_TARGET_BF16 static inline __attribute__((always_inline)) bool
read_short_bf16(const struct sc_short_codes *from, struct sc_block_errors *out)
{
    const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    __m512 sums[2][SC_ERROR_ROWS / SC_ERROR_TOGETHER][WORDS];
    float lanes[SC_LANES][SC_LANES]; /* of a tile the sum, and that of squares */
    const bool may = lay_avx512(from, add_word_bf16, sums, out);
    for (size_t i = 0; i < WORDS; i++)
        for (size_t k = 0; k < 2; k++) {
            const __m512 first = _mm512_add_ps(_mm512_setzero_ps(), sums[k][0][i]);
            const __m512 both = _mm512_add_ps(first, sums[k][1][i]);
            _mm512_storeu_si512(lanes[2 * i + k],
                                _mm512_permutexvar_epi32(order, _mm512_castps_si512(both)));
        }
    end_bf16(lanes, out);
    return may;
}

SC_TARGET_BF16 bool sc_read_short_bf16(const struct sc_short_codes *from,
                                       struct sc_block_errors *out)
{
    struct sc_short_codes own = *from;
    if (own.x)
        return read_short_bf16(&own, out);
    own.x = NULL;
    return read_short_bf16(&own, out);
}

/* The largest of 16 codes without a sign. */
SC_TARGET_AVX2 static inline uint16_t largest_of_16(__m256i v)
{
    const __m128i half = _mm_max_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return (uint16_t)~_mm_cvtsi128_si32(_mm_minpos_epu16(_mm_xor_si128(half, _mm_set1_epi16(-1))));
}

SC_TARGET_AVX2 bool sc_lay_short_avx2(const struct sc_short_codes *from,
                                      struct sc_block_errors *out)
{
    const __m256i positive = _mm256_set1_epi16(INT16_MAX), signs = _mm256_set1_epi16(INT16_MIN);
    const uint8_t *codes = from->codes;
    uint16_t *short_x = from->short_x;
    uint32_t *peaks = from->peaks, least = UINT32_MAX, most = 0;
    __m256i high = signs, far = _mm256_setzero_si256();
    float *x = from->x;
    for (size_t r = 0; r < from->rows; r++, codes += from->stride)
        for (size_t i = 0; i < SC_SHORT_COLUMNS; i += SC_ERROR_COLUMNS, peaks += 2) {
            const __m256i v[] = {_mm256_loadu_si256((const void *)(codes + 2 * i)),
                                 _mm256_loadu_si256((const void *)(codes + 2 * i + 32))};
            const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]),
                          b = _mm256_unpackhi_epi32(v[0], v[1]);
            _mm256_storeu_si256((void *)short_x, _mm256_permute2x128_si256(a, b, 0x20));
            _mm256_storeu_si256((void *)(short_x + 16), _mm256_permute2x128_si256(a, b, 0x31));
            short_x += SC_ERROR_COLUMNS;
            for (size_t k = 0; k < 2; k++) {
                high = _mm256_max_epi16(high, v[k]);
                far = _mm256_max_epu16(far, v[k]);
                peaks[k] = (uint32_t)largest_of_16(_mm256_and_si256(v[k], positive)) << 16;
                least = SC_MIN(least, peaks[k] - 1);
                most = SC_MAX(most, peaks[k]);
            }
            for (size_t k = 0; x && k < SC_ERROR_COLUMNS; k += 8, x += 8) {
                const __m128i eight = _mm_loadu_si128((const void *)(codes + 2 * (i + k)));
                _mm256_storeu_si256((void *)x, _mm256_slli_epi32(_mm256_cvtepu16_epi32(eight), 16));
            }
        }
    const int16_t largest = (int16_t)(largest_of_16(_mm256_xor_si256(high, signs)) ^ 0x8000);
    const uint16_t lowest = largest_of_16(far);
    if (largest >= 0 && lowest > INT16_MAX) {
        out->min = sc_float_of((uint32_t)lowest << 16);
        out->max = sc_float_of((uint32_t)(uint16_t)largest << 16);
    } else {
        extremes_of_rows(from->codes, from->stride, from->rows, SC_CPU_AVX2, out);
    }
    return sc_errors_good(least + 1) && sc_errors_good(most);
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

SC_TARGET_AVX2 size_t sc_code_extremes_avx2(const uint8_t *codes, size_t n, int16_t *high,
                                            uint16_t *far)
{
    enum { SOME = 64 };
    __m256i most[4], least[4];
    int16_t of_signed[16];
    uint16_t of_all[16];
    size_t i = 0;
    for (size_t j = 0; j < 4; j++) {
        most[j] = _mm256_set1_epi16(*high);
        least[j] = _mm256_set1_epi16((int16_t)*far);
    }
    for (; n - i >= SOME; i += SOME)
        for (size_t j = 0; j < 4; j++) {
            const __m256i v = _mm256_loadu_si256((const void *)(codes + 2 * i + 32 * j));
            most[j] = _mm256_max_epi16(most[j], v);
            least[j] = _mm256_max_epu16(least[j], v);
        }
    for (size_t j = 0; j < 4; j++) {
        _mm256_storeu_si256((void *)of_signed, most[j]);
        _mm256_storeu_si256((void *)of_all, least[j]);
        for (size_t k = 0; k < 16; k++) {
            *high = SC_MAX(*high, of_signed[k]);
            *far = SC_MAX(*far, of_all[k]);
        }
    }
    return i;
}

SC_TARGET_AVX512 size_t sc_code_extremes_avx512(const uint8_t *codes, size_t n, int16_t *high,
                                                uint16_t *far)
{
    enum { SOME = 128 };
    __m512i most[4], least[4];
    int16_t of_signed[32];
    uint16_t of_all[32];
    size_t i = 0;
    for (size_t j = 0; j < 4; j++) {
        most[j] = _mm512_set1_epi16(*high);
        least[j] = _mm512_set1_epi16((int16_t)*far);
    }
    for (; n - i >= SOME; i += SOME)
        for (size_t j = 0; j < 4; j++) {
            const __m512i v = _mm512_loadu_si512(codes + 2 * i + 64 * j);
            most[j] = _mm512_max_epi16(most[j], v);
            least[j] = _mm512_max_epu16(least[j], v);
        }
    for (size_t j = 0; j < 4; j++) {
        _mm512_storeu_si512(of_signed, most[j]);
        _mm512_storeu_si512(of_all, least[j]);
        for (size_t k = 0; k < 32; k++) {
            *high = SC_MAX(*high, of_signed[k]);
            *far = SC_MAX(*far, of_all[k]);
        }
    }
    return i;
}
#endif
