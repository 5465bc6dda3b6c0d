/* SPDX-License-Identifier: Apache-2.0 */
/* dots16_x86: dots16.c with vectors and with the matrix unit, bit for bit.
 *
 * A vector holds a number of as many rows of x. A weight is expanded to a float and broadcast to
 * them; the processor is told to take small numbers for zeros. */
#include "kernel/dots16.h"

#if SC_HAVE_X86
#include <immintrin.h>

enum {
    PAIRS = 16,     /* of a block */
    ZEROS = 0x8040, /* of the control register: results, and operands, that are too small */
    LINE = 64
};

/* Elements of 16 rows of w: 0, 2, ..., 30 of a row, then 1, 3, ..., 31. */
struct halves {
    float even[16][PAIRS], odd[16][PAIRS];
};

/* ---------------------------------------------------------------------------------- AVX-512 --- */

SC_TARGET_AVX512 static void split_avx512(const uint16_t *w, size_t stride, struct halves *to)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);
    for (size_t r = 0; r < 16; r++) {
        const __m512i pairs = _mm512_loadu_si512(w + r * stride);
        _mm512_storeu_si512(to->even[r], _mm512_slli_epi32(pairs, 16));
        _mm512_storeu_si512(to->odd[r], _mm512_and_si512(pairs, high));
    }
}

/* 8 rows of w, 16 of x. */
SC_TARGET_AVX512 static void rows_avx512(const struct halves *w, size_t r, const uint16_t *x,
                                         float *sums)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);
    __m512 even[8], odd[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++)
        even[i] = odd[i] = _mm512_setzero_ps();
    for (size_t k = 0; k < PAIRS; k++) {
        const __m512i pairs = _mm512_loadu_si512(x + k * 32);
        const __m512 a = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
        const __m512 b = _mm512_castsi512_ps(_mm512_and_si512(pairs, high));
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++) {
            even[i] = _mm512_fmadd_ps(_mm512_set1_ps(w->even[r + i][k]), a, even[i]);
            odd[i] = _mm512_fmadd_ps(_mm512_set1_ps(w->odd[r + i][k]), b, odd[i]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        float *to = sums + (r + i) * 16;
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_add_ps(even[i], odd[i])));
    }
}

/* ------------------------------------------------------------------------------------- AVX2 --- */

SC_TARGET_AVX2 static void split_avx2(const uint16_t *w, size_t stride, struct halves *to)
{
    const __m256i high = _mm256_set1_epi32((int)0xffff0000);
    for (size_t r = 0; r < 16; r++)
        for (size_t k = 0; k < PAIRS; k += 8) {
            const __m256i pairs = _mm256_loadu_si256((const void *)(w + r * stride + 2 * k));
            _mm256_storeu_si256((void *)(to->even[r] + k), _mm256_slli_epi32(pairs, 16));
            _mm256_storeu_si256((void *)(to->odd[r] + k), _mm256_and_si256(pairs, high));
        }
}

/* 4 rows of w, 8 of x. */
SC_TARGET_AVX2 static void rows_avx2(const struct halves *w, size_t r, const uint16_t *x,
                                     float *sums)
{
    const __m256i high = _mm256_set1_epi32((int)0xffff0000);
    __m256 even[4], odd[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++)
        even[i] = odd[i] = _mm256_setzero_ps();
    for (size_t k = 0; k < PAIRS; k++) {
        const __m256i pairs = _mm256_loadu_si256((const void *)(x + k * 32));
        const __m256 a = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
        const __m256 b = _mm256_castsi256_ps(_mm256_and_si256(pairs, high));
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            even[i] = _mm256_fmadd_ps(_mm256_broadcast_ss(&w->even[r + i][k]), a, even[i]);
            odd[i] = _mm256_fmadd_ps(_mm256_broadcast_ss(&w->odd[r + i][k]), b, odd[i]);
        }
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        float *to = sums + (r + i) * 16;
        _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), _mm256_add_ps(even[i], odd[i])));
    }
}

/* ------------------------------------------------------------------------------ both of them ---
 */

SC_TARGET_AVX512 static void tile_avx512(const struct halves *w, const uint16_t *x, float *sums)
{
    rows_avx512(w, 0, x, sums);
    rows_avx512(w, 8, x, sums);
}

SC_TARGET_AVX2 static void tile_avx2(const struct halves *w, const uint16_t *x, float *sums)
{
    for (size_t r = 0; r < 16; r += 4) {
        rows_avx2(w, r, x, sums);
        rows_avx2(w, r, x + 16, sums + 8);
    }
}

typedef void split_fn(const uint16_t *w, size_t stride, struct halves *to);
typedef void tile_fn(const struct halves *w, const uint16_t *x, float *sums);

static void run(const struct sc_dots16_tiles *t, split_fn *split, tile_fn *tile)
{
    const unsigned control = _mm_getcsr();
    struct halves w;

    if (!t->add)
        for (size_t i = 0; i < t->n_x * 2 * SC_DOTS16_SUMS; i++)
            t->sums[i] = 0;
    _mm_setcsr(control | ZEROS);
    for (size_t k = 0; k < t->n_k; k++)
        for (size_t half = 0; half < 2; half++) {
            split(t->w + half * 16 * t->w_stride + k * 2 * PAIRS, t->w_stride, &w);
            for (size_t x = 0; x < t->n_x; x++)
                tile(&w, t->x + x * t->x_step + k * SC_DOTS16_TILE,
                     t->sums + (2 * x + half) * SC_DOTS16_SUMS);
        }
    _mm_setcsr(control);
}

void sc_dots16_tiles_avx512(const struct sc_dots16_tiles *t)
{
    run(t, split_avx512, tile_avx512);
}

void sc_dots16_tiles_avx2(const struct sc_dots16_tiles *t)
{
    run(t, split_avx2, tile_avx2);
}

/* -------------------------------------------------------------------------------------- AMX --- */
#define TARGET_AMX __attribute__((target("amx-tile,amx-bf16")))
/* What the compiler has written is in memory before the matrix unit loads it. */
#define WRITTEN() __asm__ volatile("" ::: "memory")

/* Of all eight registers: 16 rows of 64 bytes. */
static const struct {
    uint8_t palette, start, zero[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} shape = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

TARGET_AMX void sc_dots16_begin_amx(void)
{
    _tile_loadconfig(&shape);
}

TARGET_AMX void sc_dots16_end_amx(void)
{
    _tile_release();
}

TARGET_AMX static void two_by_two(const struct sc_dots16_tiles *t)
{
    const uint16_t *w = t->w, *below = w + 16 * t->w_stride, *x = t->x, *beside = x + t->x_step;
    const size_t stride = t->w_stride * sizeof *w;
    float *sums = t->sums;

    _tile_loadd(0, sums, LINE);
    _tile_loadd(1, sums + SC_DOTS16_SUMS, LINE);
    _tile_loadd(2, sums + 2 * SC_DOTS16_SUMS, LINE);
    _tile_loadd(3, sums + 3 * SC_DOTS16_SUMS, LINE);
    for (size_t k = 0; k < t->n_k; k++) {
        _tile_loadd(4, w + k * 2 * PAIRS, stride);
        _tile_loadd(6, x + k * SC_DOTS16_TILE, LINE);
        _tile_loadd(5, below + k * 2 * PAIRS, stride);
        _tile_loadd(7, beside + k * SC_DOTS16_TILE, LINE);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 5, 6);
        _tile_dpbf16ps(2, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, LINE);
    _tile_stored(1, sums + SC_DOTS16_SUMS, LINE);
    _tile_stored(2, sums + 2 * SC_DOTS16_SUMS, LINE);
    _tile_stored(3, sums + 3 * SC_DOTS16_SUMS, LINE);
}

TARGET_AMX static void two_by_one(const struct sc_dots16_tiles *t)
{
    const uint16_t *w = t->w, *below = w + 16 * t->w_stride;
    const size_t stride = t->w_stride * sizeof *w;
    float *sums = t->sums;

    _tile_loadd(0, sums, LINE);
    _tile_loadd(1, sums + SC_DOTS16_SUMS, LINE);
    for (size_t k = 0; k < t->n_k; k++) {
        _tile_loadd(4, w + k * 2 * PAIRS, stride);
        _tile_loadd(5, below + k * 2 * PAIRS, stride);
        _tile_loadd(6, t->x + k * SC_DOTS16_TILE, LINE);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 5, 6);
    }
    _tile_stored(0, sums, LINE);
    _tile_stored(1, sums + SC_DOTS16_SUMS, LINE);
}

void sc_dots16_tiles_amx(const struct sc_dots16_tiles *t)
{
    if (!t->add)
        for (size_t i = 0; i < t->n_x * 2 * SC_DOTS16_SUMS; i++)
            t->sums[i] = 0;
    WRITTEN();
    if (t->n_x == 2)
        two_by_two(t);
    else
        two_by_one(t);
    WRITTEN();
}
#endif
