/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_order: 256 neighbours on the curve, which are a square of 16 x 16 pixels, as its rows.
 *
 * Of such a square, a run of 16 is a square of 4 x 4. So a vector takes the four runs of four rows,
 * orders each within itself, which one shuffle does, and the rows are what stands at the same place
 * of all four. */
#include <pthread.h>
#include <string.h>

#include "picture/bytes_parts.h"
#include "picture/curve.h"

#if SC_HAVE_X86
#include <immintrin.h>
#endif

enum { LOG2 = 4, SIDE = 1 << LOG2, RUN = 16, RUNS = SIDE / 4 /* beside each other */ };
#define ROW ((size_t)SC_SCENE_TILE) /* pixels from one row of a tile to the next */

struct order {
    uint8_t of[SC_BYTE_GROUP];             /* by row and column: which of the run */
    _Alignas(64) uint8_t within[RUNS][64]; /* by row of runs: where in its run */
    uint8_t run[RUNS][RUNS];               /* likewise, which run of the 16 */
    struct {
        uint8_t x, y, state;
    } point[SC_BYTE_GROUP];
};
static struct order orders[SC_CURVE_STATES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_orders(void)
{
    for (unsigned state = 0; state < SC_CURVE_STATES; state++)
        for (unsigned d = 0; d < SC_BYTE_GROUP; d++) {
            struct order *o = &orders[state];
            unsigned at = state;
            uint64_t x, y;
            sc_curve_point(LOG2, d, &x, &y, &at);
            o->of[y * SIDE + x] = (uint8_t)d;
            o->within[y / 4][x / 4 * RUN + y % 4 * 4 + x % 4] = (uint8_t)(d % RUN);
            o->run[y / 4][x / 4] = (uint8_t)(d / RUN);
            o->point[d].x = (uint8_t)x;
            o->point[d].y = (uint8_t)y;
            o->point[d].state = (uint8_t)at;
        }
}

void sc_bytes_point(uint64_t d, uint64_t *x, uint64_t *y, unsigned *state)
{
    pthread_once(&once, make_orders);
    const struct order *o = &orders[*state];
    *x = o->point[d].x;
    *y = o->point[d].y;
    *state = o->point[d].state;
}

/* ------------------------------------------------------------------------------------- words ---
 */

static void put_words(const struct order *o, const uint32_t *v, uint32_t *to)
{
    const uint8_t *of = o->of;
    for (size_t row = 0; row < SIDE; row++, to += ROW, of += SIDE)
        for (size_t col = 0; col < SIDE; col++)
            to[col] = v[of[col]];
}

#if SC_HAVE_X86
SC_TARGET_AVX512 static void put_words_avx512(const struct order *o, const uint32_t *v,
                                              uint32_t *to)
{
    for (size_t band = 0; band < RUNS; band++, to += 4 * ROW) {
        __m512i x[RUNS]; /* of a run, its rows of 4 */
        for (size_t k = 0; k < RUNS; k++) {
            const __m128i within =
                _mm_load_si128((const __m128i *)(const void *)(o->within[band] + k * RUN));
            x[k] = _mm512_permutexvar_epi32(_mm512_cvtepu8_epi32(within),
                                            _mm512_loadu_si512(v + RUN * (size_t)o->run[band][k]));
        }
        const __m512i a = _mm512_shuffle_i32x4(x[0], x[1], 0x44);
        const __m512i b = _mm512_shuffle_i32x4(x[2], x[3], 0x44);
        const __m512i c = _mm512_shuffle_i32x4(x[0], x[1], 0xee);
        const __m512i d = _mm512_shuffle_i32x4(x[2], x[3], 0xee);
        _mm512_storeu_si512(to, _mm512_shuffle_i32x4(a, b, 0x88));
        _mm512_storeu_si512(to + ROW, _mm512_shuffle_i32x4(a, b, 0xdd));
        _mm512_storeu_si512(to + 2 * ROW, _mm512_shuffle_i32x4(c, d, 0x88));
        _mm512_storeu_si512(to + 3 * ROW, _mm512_shuffle_i32x4(c, d, 0xdd));
    }
}
#endif

void sc_bytes_put_words(unsigned state, const uint32_t v[SC_BYTE_GROUP], enum sc_cpu level,
                        uint32_t *to)
{
    pthread_once(&once, make_orders);
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX512) {
        put_words_avx512(&orders[state], v, to);
        return;
    }
#endif
    (void)level;
    put_words(&orders[state], v, to);
}

/* ---------------------------------------------------------------------------------- one word ---
 */

static void fill_square(uint32_t v, uint32_t *to)
{
    for (size_t row = 0; row < SIDE; row++, to += ROW)
        for (size_t col = 0; col < SIDE; col++)
            to[col] = v;
}

#if SC_HAVE_X86
SC_TARGET_AVX512 static void fill_square_avx512(uint32_t v, uint32_t *to)
{
    const __m512i row = _mm512_set1_epi32((int)v);
    for (size_t k = 0; k < SIDE; k++)
        _mm512_storeu_si512(to + k * ROW, row);
}
#endif

void sc_bytes_put_same(uint32_t v, enum sc_cpu level, uint32_t *to)
{
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX512) {
        fill_square_avx512(v, to);
        return;
    }
#endif
    (void)level;
    fill_square(v, to);
}

/* ------------------------------------------------------------------------------------- bytes ---
 */

static void put_bytes(const struct order *o, const uint8_t *p, uint32_t *to)
{
    const uint8_t *of = o->of;
    for (size_t row = 0; row < SIDE; row++, to += ROW, of += SIDE)
        for (size_t col = 0; col < SIDE; col++)
            to[col] = sc_bits_of((float)p[of[col]]);
}

#if SC_HAVE_X86
SC_TARGET_AVX2 static inline __m128i run_at(const uint8_t *p, const struct order *o, size_t band,
                                            size_t k)
{
    return _mm_loadu_si128((const __m128i *)(const void *)(p + RUN * (size_t)o->run[band][k]));
}

/* 16 bytes as floats. */
SC_TARGET_AVX2 static inline void put_row_avx2(__m128i row, uint32_t *to)
{
    const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(row));
    const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(row, 8)));
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_castps_si256(low));
    _mm256_storeu_si256((__m256i *)(void *)(to + 8), _mm256_castps_si256(high));
}

SC_TARGET_AVX2 static void put_bytes_avx2(const struct order *o, const uint8_t *p, uint32_t *to)
{
    for (size_t band = 0; band < RUNS; band++, to += 4 * ROW) {
        __m128i x[RUNS];
        for (size_t k = 0; k < RUNS; k++)
            x[k] = _mm_shuffle_epi8(
                run_at(p, o, band, k),
                _mm_load_si128((const __m128i *)(const void *)(o->within[band] + k * RUN)));
        const __m128i a = _mm_unpacklo_epi32(x[0], x[1]), b = _mm_unpacklo_epi32(x[2], x[3]);
        const __m128i c = _mm_unpackhi_epi32(x[0], x[1]), d = _mm_unpackhi_epi32(x[2], x[3]);
        put_row_avx2(_mm_unpacklo_epi64(a, b), to);
        put_row_avx2(_mm_unpackhi_epi64(a, b), to + ROW);
        put_row_avx2(_mm_unpacklo_epi64(c, d), to + 2 * ROW);
        put_row_avx2(_mm_unpackhi_epi64(c, d), to + 3 * ROW);
    }
}

SC_TARGET_AVX512 static inline void put_row_avx512(__m128i row, uint32_t *to)
{
    _mm512_storeu_si512(to, _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(row))));
}

SC_TARGET_AVX512 static void put_bytes_avx512(const struct order *o, const uint8_t *p, uint32_t *to)
{
    /* row r of run k, four bytes, to place k of lane r */
    const __m512i turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (size_t band = 0; band < RUNS; band++, to += 4 * ROW) {
        __m512i x = _mm512_castsi128_si512(run_at(p, o, band, 0));
        x = _mm512_inserti32x4(x, run_at(p, o, band, 1), 1);
        x = _mm512_inserti32x4(x, run_at(p, o, band, 2), 2);
        x = _mm512_inserti32x4(x, run_at(p, o, band, 3), 3);
        x = _mm512_shuffle_epi8(x, _mm512_load_si512(o->within[band]));
        x = _mm512_permutexvar_epi32(turn, x);
        put_row_avx512(_mm512_castsi512_si128(x), to);
        put_row_avx512(_mm512_extracti32x4_epi32(x, 1), to + ROW);
        put_row_avx512(_mm512_extracti32x4_epi32(x, 2), to + 2 * ROW);
        put_row_avx512(_mm512_extracti32x4_epi32(x, 3), to + 3 * ROW);
    }
}
#endif

void sc_bytes_put_bytes(unsigned state, const uint8_t p[SC_BYTE_GROUP], enum sc_cpu level,
                        uint32_t *to)
{
    void (*put)(const struct order *, const uint8_t *, uint32_t *) = put_bytes;
    pthread_once(&once, make_orders);
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX2)
        put = level >= SC_CPU_AVX512 ? put_bytes_avx512 : put_bytes_avx2;
#endif
    (void)level;
    put(&orders[state], p, to);
}
