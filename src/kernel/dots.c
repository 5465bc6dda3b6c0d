/* SPDX-License-Identifier: Apache-2.0 */
/* dots: inner products in plain C, and the cut into blocks. */
#include "kernel/dots.h"

#include <math.h>

enum { MANY_AVX2 = 16, MANY_AVX512 = 64 }; /* rows of x that are worth packing */

static float lanes_sum(float v[SC_LANES])
{
    for (size_t half = SC_LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
}

static float block_sum(const float *a, const float *b, size_t n)
{
    float lanes[SC_LANES] = {0};

    for (size_t k = 0; k < n; k++)
        lanes[k % SC_LANES] = fmaf(a[k], b[k], lanes[k % SC_LANES]);
    return lanes_sum(lanes);
}

static void put(float *y, float sum, bool add)
{
    *y = add ? *y + sum : sum;
}

static void block_c(const struct sc_dots *d, bool add)
{
    for (size_t t = 0; t < d->n_x; t++)
        for (size_t r = 0; r < d->n_w; r++)
            put(&d->y[t * d->y_stride + r],
                block_sum(d->w + r * d->w_stride, d->x + t * d->x_stride, d->n), add);
}

static void bf16_block_c(const struct sc_dots *d, const uint16_t *w, bool add)
{
    float row[SC_DOT_BLOCK];

    for (size_t r = 0; r < d->n_w; r++) {
        for (size_t k = 0; k < d->n; k++)
            row[k] = sc_float_of((uint32_t)w[r * d->w_stride + k] << 16);
        for (size_t t = 0; t < d->n_x; t++)
            put(&d->y[t * d->y_stride + r], block_sum(row, d->x + t * d->x_stride, d->n), add);
    }
}

static void block(const struct sc_dots *d, bool add, enum sc_cpu level)
{
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512) {
        sc_dots_block_avx512(d, add);
        return;
    }
    if (level == SC_CPU_AVX2) {
        sc_dots_block_avx2(d, add);
        return;
    }
#endif
    (void)level;
    block_c(d, add);
}

static void bf16_block(const struct sc_dots *d, const uint16_t *w, bool add, enum sc_cpu level)
{
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512) {
        sc_dots_bf16_block_avx512(d, w, add);
        return;
    }
    if (level == SC_CPU_AVX2) {
        sc_dots_bf16_block_avx2(d, w, add);
        return;
    }
#endif
    (void)level;
    bf16_block_c(d, w, add);
}

size_t sc_dots_packed(size_t n_x, size_t n, enum sc_cpu level)
{
#if SC_HAVE_X86
    if (level != SC_CPU_C && n_x >= (level == SC_CPU_AVX2 ? MANY_AVX2 : MANY_AVX512))
        return sc_dots_packed_x86(n_x, n);
#endif
    (void)n_x, (void)n, (void)level;
    return 0;
}

void sc_dots_pack(const float *x, size_t x_stride, size_t n_x, size_t n, size_t group, float *to,
                  enum sc_cpu level)
{
#if SC_HAVE_X86
    if (level != SC_CPU_C)
        sc_dots_pack_x86(x, x_stride, n_x, n, group, to, level);
#endif
    (void)x, (void)x_stride, (void)n_x, (void)n, (void)group, (void)to, (void)level;
}

/* Rows that are packed; false: they are not. codes NULL: weights are floats. */
static bool many(const struct sc_dots *d, const uint16_t *codes, enum sc_cpu level)
{
#if SC_HAVE_X86
    if (d->packed && d->n > 0 && level == SC_CPU_AVX512) {
        sc_dots_many_avx512(d, codes);
        return true;
    }
    if (d->packed && d->n > 0 && level == SC_CPU_AVX2) {
        sc_dots_many_avx2(d, codes);
        return true;
    }
#endif
    (void)d, (void)codes, (void)level;
    return false;
}

void sc_dots(const struct sc_dots *d, enum sc_cpu level)
{
    struct sc_dots part = *d;
    size_t at = 0;

    if (many(d, NULL, level))
        return;
    do {
        part.n = SC_MIN(d->n - at, (size_t)SC_DOT_BLOCK);
        block(&part, at > 0, level);
        part.w += part.n;
        part.x += part.n;
        at += part.n;
    } while (at < d->n);
}

void sc_dots_bf16(const struct sc_dots *d, const uint16_t *w, enum sc_cpu level)
{
    struct sc_dots part = *d;
    size_t at = 0;

    if (many(d, w, level))
        return;
    do {
        part.n = SC_MIN(d->n - at, (size_t)SC_DOT_BLOCK);
        bf16_block(&part, w + at, at > 0, level);
        part.x += part.n;
        at += part.n;
    } while (at < d->n);
}

float sc_dot(const float *a, const float *b, size_t n, enum sc_cpu level)
{
    float y = 0;

    sc_dots(&(struct sc_dots){.w = a, .x = b, .y = &y, .n_w = 1, .n_x = 1, .n = n}, level);
    return y;
}

void sc_axpy(float a, const float *x, size_t n, float *y, enum sc_cpu level)
{
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512) {
        sc_axpy_avx512(a, x, n, y);
        return;
    }
    if (level == SC_CPU_AVX2) {
        sc_axpy_avx2(a, x, n, y);
        return;
    }
#endif
    (void)level;
    for (size_t i = 0; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}
