/* SPDX-License-Identifier: Apache-2.0 */
/* errors: what is lost between values and what a format keeps of them.
 *
 * A block is taken 32 columns at a time, and these row by row, so that sums of columns stay in
 * registers and sums of rows are a few registers too. */
#include "kernel/errors.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A group of 32 columns while it is added up. */
struct group {
    float d[SC_LANES], abs[SC_LANES], values[SC_LANES], cross[SC_LANES];
    float square[2][SC_LANES]; /* of each column */
    uint32_t most[SC_LANES];
};

static uint32_t bits_of(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* 16 elements; returns those of |d| that are above. */
static uint16_t add_c(const struct sc_error_block *b, const float *x, const float *y,
                      struct group *g, int half, float row[SC_LANES], struct sc_block_errors *out)
{
    float relative = out->relative;
    uint32_t hits = 0;
    bool larger = false;
    for (int i = 0; i < SC_LANES; i++) {
        const float v = x[i], d = y[i] - v, a = fabsf(d);
        const float square = d * d, value = y[i] * y[i];
        const uint32_t magnitude = bits_of(a);
        g->d[i] += d;
        g->abs[i] += a;
        g->values[i] += value;
        g->cross[i] += v * d;
        g->square[half][i] += square;
        row[i] += square;
        g->most[i] = SC_MAX(g->most[i], magnitude);
        hits |= (uint32_t)(magnitude > b->above) << i;
        out->zeros += y[i] == 0;
        larger = larger || (v != 0 && a > relative * fabsf(v));
    }
    if (b->relative && larger)
        sc_errors_relative(x, y, &out->relative);
    return (uint16_t)hits;
}

/* Lanes as ((i, i + 8), (i, i + 4), ...). */
static double sum_float(const float lanes[SC_LANES])
{
    float v[SC_LANES];
    memcpy(v, lanes, sizeof v);
    for (size_t half = SC_LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            v[i] += v[i + half];
    return (double)v[0];
}

static void errors_c(const struct sc_error_block *b, struct sc_block_errors *out)
{
    float rows[SC_ERROR_ROWS][SC_LANES];
    memset(rows, 0, sizeof rows);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct group g;
        memset(&g, 0, sizeof g);
        for (int half = 0; half < 2; half++)
            for (size_t r = 0; r < b->rows; r++) {
                const size_t col = at + (size_t)half * SC_LANES;
                const uint16_t hits = add_c(b, b->x ? b->x + r * b->x_stride + col : NULL,
                                            b->y + r * b->y_stride + col, &g, half, rows[r], out);
                if (b->hits)
                    b->hits[(r * b->n + col) / SC_LANES] = hits;
            }
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        float squares[SC_LANES];
        for (int i = 0; i < SC_LANES; i++) {
            squares[i] = g.square[0][i] + g.square[1][i];
            s->most = SC_MAX(s->most, g.most[i]);
        }
        s->d = sum_float(g.d);
        s->abs = sum_float(g.abs);
        s->square = sum_float(squares);
        s->values = sum_float(g.values);
        s->cross = sum_float(g.cross);
        out->most = SC_MAX(out->most, s->most);
        for (int i = 0; b->columns && i < SC_ERROR_COLUMNS; i++)
            b->columns[at + (size_t)i] += (double)g.square[i / SC_LANES][i % SC_LANES];
    }
    for (size_t r = 0; r < b->rows; r++)
        out->row_square[r] = sum_float(rows[r]);
}

/* Without x: sums of y itself, all in double. */
static void sums_c(const struct sc_error_block *b, struct sc_block_errors *out)
{
    double rows[SC_ERROR_ROWS][SC_LANES];
    memset(rows, 0, sizeof rows);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        double sum[SC_LANES] = {0}, square[2][SC_LANES] = {{0}};
        for (size_t i = 0; i < SC_ERROR_COLUMNS; i++)
            for (size_t r = 0; r < b->rows; r++) {
                const float y = b->y[r * b->y_stride + at + i];
                const double v = (double)y, v2 = v * v;
                sum[i % SC_LANES] += v;
                square[i / SC_LANES][i % SC_LANES] += v2;
                rows[r][i % SC_LANES] += v2;
                s->most = SC_MAX(s->most, bits_of(fabsf(y)));
                out->zeros += y == 0;
            }
        for (size_t i = 0; b->columns && i < SC_ERROR_COLUMNS; i++)
            b->columns[at + i] += square[i / SC_LANES][i % SC_LANES];
        for (size_t i = 0; i < SC_LANES; i++)
            square[0][i] += square[1][i];
        s->d = sc_lanes_sum(sum);
        s->square = s->values = sc_lanes_sum(square[0]);
        out->most = SC_MAX(out->most, s->most);
    }
    for (size_t r = 0; r < b->rows; r++)
        out->row_square[r] = sc_lanes_sum(rows[r]);
}

/* Largest |d| / |x| of 16 elements; rare, since it seldom grows. */
void sc_errors_relative(const float *x, const float *y, float *most)
{
    for (int i = 0; i < SC_LANES; i++) {
        const float quotient = fabsf(y[i] - x[i]) / fabsf(x[i]);
        *most = x[i] != 0 && quotient > *most ? quotient : *most; /* NaN is not larger */
    }
}

static void clear(const struct sc_error_block *b, struct sc_block_errors *out)
{
    struct sc_error_sums *sums = out->sums;
    *out = (struct sc_block_errors){.sums = sums};
    memset(sums, 0, (b->n + SC_ERROR_COLUMNS - 1) / SC_ERROR_COLUMNS * sizeof *sums);
}

void sc_errors(const struct sc_error_block *b, enum sc_cpu level, struct sc_block_errors *out)
{
    clear(b, out);
    switch (level) {
#if SC_HAVE_X86
    case SC_CPU_AVX512:
        sc_errors_avx512(b, out);
        return;
    case SC_CPU_AVX2:
        sc_errors_avx2(b, out);
        return;
#else
    case SC_CPU_AVX512:
    case SC_CPU_AVX2:
#endif
    case SC_CPU_C:
        if (b->x)
            errors_c(b, out);
        else
            sums_c(b, out);
        return;
    }
}

/* -------------------------------------------------------------------------- one by one --- */

void sc_errors_exact(const struct sc_error_block *b, struct sc_block_errors *out,
                     uint64_t *overflowed)
{
    double relative = 0;
    clear(b, out);
    out->exact = true;
    *overflowed = 0;
    if (b->hits)
        memset(b->hits, 0, b->rows * ((b->n + SC_LANES - 1) / SC_LANES) * sizeof *b->hits);
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i++) {
            const float v = b->x ? b->x[r * b->x_stride + i] : 0.0F;
            float y = b->y[r * b->y_stride + i];
            struct sc_error_sums *s = &out->sums[i / SC_ERROR_COLUMNS];
            if (!isfinite(v) || (!b->x && !isfinite(y)))
                continue;
            out->zeros += y == 0;
            if (!isfinite(y)) {
                ++*overflowed;
                y = 0;
            }
            const double d = (double)y - (double)v, a = fabs(d), square = d * d;
            const uint32_t magnitude = bits_of((float)a);
            s->d += d;
            s->abs += b->x ? a : 0;
            s->square += square;
            s->values += (double)y * (double)y;
            s->cross += (double)v * d;
            s->most = SC_MAX(s->most, magnitude);
            out->row_square[r] += square;
            if (b->columns)
                b->columns[i] += square;
            if (b->hits && magnitude > b->above)
                b->hits[r * ((b->n + SC_LANES - 1) / SC_LANES) + i / SC_LANES] |=
                    (uint16_t)(1U << i % SC_LANES);
            if (v != 0 && a > relative * fabs((double)v))
                relative = a / fabs((double)v);
        }
    for (size_t i = 0; i * SC_ERROR_COLUMNS < b->n; i++)
        out->most = SC_MAX(out->most, out->sums[i].most);
    out->relative = (float)relative;
}

/* ---------------------------------------------------------------------------- extremes --- */

static void extremes_c(const float *x, size_t n, float *min, float *max)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) {
            *min = x[i] < *min ? x[i] : *min;
            *max = x[i] > *max ? x[i] : *max;
        }
}

void sc_extremes(const float *x, size_t n, enum sc_cpu level, float *min, float *max)
{
    float low = INFINITY, high = -INFINITY;
    size_t done = 0;
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        done = sc_extremes_avx512(x, n, &low, &high);
    else if (level == SC_CPU_AVX2)
        done = sc_extremes_avx2(x, n, &low, &high);
#endif
    (void)level;
    if (done && (low < -FLT_MAX || high > FLT_MAX)) { /* the infinite ones are left out */
        low = INFINITY;
        high = -INFINITY;
        done = 0;
    }
    extremes_c(x + done, n - done, &low, &high);
    *min = low + 0.0F; /* -0 and 0 are the same extreme, whichever came first */
    *max = high + 0.0F;
}
