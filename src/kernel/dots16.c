/* SPDX-License-Identifier: Apache-2.0 */
/* dots16: inner products of bfloat16 in plain C, and the cut into tiles.
 *
 * 32 rows of w are copied, so that a processor reads memory row by row, however far rows are from
 * each other, and what is missing at the edges is filled up with zeros. Packed x: groups of 16
 * rows; of a group blocks of 32 elements; of a block 16 pairs, each of all rows of the group. */
#include "kernel/dots16.h"
#include "kernel/dots.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
    ROWS = 32,   /* of w that are multiplied together */
    BLOCK = 32,  /* elements */
    BLOCKS = 64, /* that are copied together: what they take stays in the second cache */
    GROUPS = 16, /* of rows of x whose sums are kept together */
    GROUP = SC_DOTS16_GROUP,
    STRIDE = BLOCKS * BLOCK + BLOCK, /* rows do not fall upon each other in the first cache */
    TILE = SC_DOTS16_TILE,
    SUMS = SC_DOTS16_SUMS
};

struct scratch {
    uint16_t w[ROWS * STRIDE];
    float sums[GROUPS * 2 * SUMS];
    float turned[SUMS];
};
_Static_assert(sizeof(struct scratch) <= SC_DOTS16_SCRATCH * sizeof(float),
               "dots16.h says too little");

static size_t blocks_of(size_t n)
{
    return n / BLOCK + (n % BLOCK != 0);
}

/* ----------------------------------------------------------------------------------- numbers ---
 */

static inline uint16_t rounded(float x)
{
    const uint32_t bits = sc_bits_of(x);
    const uint32_t near = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;

    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 64 : near);
}

void sc_dots16_round(const float *x, size_t n, uint16_t *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = rounded(x[i]);
}

static inline float flushed(float x)
{
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

static inline float expanded(uint16_t code)
{
    return flushed(sc_float_of((uint32_t)code << 16));
}

/* a b + c of normal numbers or zeros. What would be below 2^-126 if the exponent had no end is a
 * zero, though fmaf(), which rounds to a multiple of 2^-149, may say 2^-126. */
static inline float step(float a, float b, float c)
{
    const float y = fmaf(a, b, c);

    if (fabsf(y) == FLT_MIN && fabsf(fmaf(a * 0x1p64F, b, c * 0x1p64F)) < FLT_MIN * 0x1p64F)
        return copysignf(0, y);
    return flushed(y);
}

/* ------------------------------------------------------------------------------------ tiles --- */

static void tile(const uint16_t *w, size_t stride, const uint16_t *x, float *sums)
{
    for (size_t r = 0; r < 16; r++)
        for (size_t t = 0; t < GROUP; t++) {
            float even = 0, odd = 0;
            for (size_t k = 0; k < BLOCK; k += 2) {
                const uint16_t *pair = x + k * GROUP + 2 * t;
                even = step(expanded(w[r * stride + k]), expanded(pair[0]), even);
                odd = step(expanded(w[r * stride + k + 1]), expanded(pair[1]), odd);
            }
            sums[r * GROUP + t] = flushed(sums[r * GROUP + t] + flushed(even + odd));
        }
}

static void tiles_c(const struct sc_dots16_tiles *t)
{
    if (!t->add)
        memset(t->sums, 0, t->n_x * 2 * SUMS * sizeof *t->sums);
    for (size_t x = 0; x < t->n_x; x++)
        for (size_t k = 0; k < t->n_k; k++)
            for (size_t w = 0; w < 2; w++)
                tile(t->w + w * 16 * t->w_stride + k * BLOCK, t->w_stride,
                     t->x + x * t->x_step + k * TILE, t->sums + (2 * x + w) * SUMS);
}

static void tiles(const struct sc_dots16_tiles *t, enum sc_dots16_unit unit)
{
#if SC_HAVE_X86
    if (unit == SC_DOTS16_AMX)
        sc_dots16_tiles_amx(t);
    else if (unit == SC_DOTS16_AVX512)
        sc_dots16_tiles_avx512(t);
    else if (unit == SC_DOTS16_AVX2)
        sc_dots16_tiles_avx2(t);
    else
#endif
        tiles_c(t);
    (void)unit;
}

/* 16 rows of 16 numbers become their columns. */
static void turn(const float *from, float *to, enum sc_dots16_unit unit)
{
#if SC_HAVE_X86
    if (unit >= SC_DOTS16_AVX512) {
        sc_turn16_avx512(from, 16, to, 16);
        return;
    }
    if (unit == SC_DOTS16_AVX2) {
        sc_turn16_avx2(from, 16, to, 16);
        return;
    }
#endif
    (void)unit;
    for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < 16; j++)
            to[i * 16 + j] = from[j * 16 + i];
}

/* ---------------------------------------------------------------------------------- packing --- */

size_t sc_dots16_packed(size_t n_x, size_t n)
{
    return (n_x + GROUP - 1) / GROUP * blocks_of(n) * TILE / 2;
}

void sc_dots16_pack(const float *x, size_t x_stride, size_t n_x, size_t n, size_t group, void *to,
                    enum sc_dots16_unit unit)
{
    const size_t first = group * GROUP, rows = SC_MIN(n_x - first, (size_t)GROUP);
    uint16_t codes[GROUP * BLOCK];
    float pairs[SUMS], turned[SUMS];
    char *at = (char *)to + group * blocks_of(n) * TILE * sizeof *codes;

    for (size_t k = 0; k < n; k += BLOCK, at += sizeof codes) {
        const size_t here = SC_MIN(n - k, (size_t)BLOCK);
        if (rows < GROUP || here < BLOCK)
            memset(codes, 0, sizeof codes);
        for (size_t t = 0; t < rows; t++)
            sc_dots16_round(x + (first + t) * x_stride + k, here, codes + t * BLOCK);
        memcpy(pairs, codes, sizeof pairs); /* two elements are as long as a float */
        turn(pairs, turned, unit);
        memcpy(at, turned, sizeof turned);
    }
}

/* --------------------------------------------------------------------------------- products --- */

/* Rows r..r+32 of w, blocks from..from+n_k. */
static void copy_rows(const struct sc_dots16 *d, size_t r, size_t from, size_t n_k, uint16_t *to)
{
    const size_t first = from * BLOCK, n = SC_MIN(d->n - first, n_k * BLOCK);

    for (size_t i = 0; i < ROWS; i++, to += STRIDE) {
        const size_t here = r + i < d->n_w ? n : 0;
        if (here)
            memcpy(to, d->w + (r + i) * d->w_stride + first, here * sizeof *to);
        memset(to + here, 0, (n_k * BLOCK - here) * sizeof *to);
    }
}

/* Sums of 32 rows of w and rows t.. of x, at most GROUPS groups. */
static void put(const struct sc_dots16 *d, size_t r, size_t t, size_t n_t, struct scratch *s,
                enum sc_dots16_unit unit)
{
    const size_t rows = SC_MIN(d->n_w - r, (size_t)ROWS);

    for (size_t g = 0; g * GROUP < n_t; g++)
        for (size_t w = 0; w * 16 < rows; w++) {
            const size_t here = SC_MIN(rows - w * 16, (size_t)16);
            turn(s->sums + (2 * g + w) * SUMS, s->turned, unit);
            for (size_t i = 0; i < SUMS; i++)
                s->turned[i] = isnan(s->turned[i]) ? sc_float_of(0x7fc00000) : s->turned[i];
            for (size_t i = 0; i < SC_MIN(n_t - g * GROUP, (size_t)GROUP); i++)
                memcpy(d->y + (t + g * GROUP + i) * d->y_stride + r + w * 16, s->turned + i * 16,
                       here * sizeof *d->y);
        }
}

static void multiply(const struct sc_dots16 *d, size_t r, size_t first, size_t n_t,
                     struct scratch *s, enum sc_dots16_unit unit)
{
    const size_t all = blocks_of(d->n), groups = (n_t + GROUP - 1) / GROUP;

    for (size_t k = 0; k < all; k += BLOCKS) {
        struct sc_dots16_tiles t = {.w = s->w,
                                    .w_stride = STRIDE,
                                    .n_k = SC_MIN(all - k, (size_t)BLOCKS),
                                    .x_step = all * TILE,
                                    .add = k > 0};
        copy_rows(d, r, k, t.n_k, s->w);
        for (size_t g = 0; g < groups; g += t.n_x) {
            t.n_x = SC_MIN(groups - g, (size_t)2);
            t.x = (const uint16_t *)d->packed + (first / GROUP + g) * t.x_step + k * TILE;
            t.sums = s->sums + g * 2 * SUMS;
            tiles(&t, unit);
        }
    }
    put(d, r, first, n_t, s, unit);
}

void sc_dots16(const struct sc_dots16 *d, enum sc_dots16_unit unit)
{
    struct scratch *s = d->scratch;

    for (size_t t = 0; d->n == 0 && t < d->n_x; t++)
        memset(d->y + t * d->y_stride, 0, d->n_w * sizeof *d->y);
    if (d->n == 0)
        return;
#if SC_HAVE_X86
    if (unit == SC_DOTS16_AMX)
        sc_dots16_begin_amx();
#endif
    for (size_t t = 0; t < d->n_x; t += (size_t)GROUPS * GROUP)
        for (size_t r = 0; r < d->n_w; r += ROWS)
            multiply(d, r, t, SC_MIN(d->n_x - t, (size_t)GROUPS * GROUP), s, unit);
#if SC_HAVE_X86
    if (unit == SC_DOTS16_AMX)
        sc_dots16_end_amx();
#endif
}

enum sc_dots16_unit sc_dots16_unit(void)
{
    return sc_cpu_has_tiles() ? SC_DOTS16_AMX : (enum sc_dots16_unit)sc_cpu_level();
}
