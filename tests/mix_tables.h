/* SPDX-License-Identifier: Apache-2.0 */
/* mix_tables: tables of cells made by hand, for the test and the benchmark of mixes.
 *
 * Tensors of five kinds, in 32 x 32 tiles, rounded to block floats of 16 values with a shared
 * exponent by a few lines that have nothing to do with the encoders of the library. */
#ifndef SC_TEST_MIX_TABLES_H
#define SC_TEST_MIX_TABLES_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/mix.h"

enum made_kind { MADE_IID, MADE_ROWS, MADE_COLUMNS, MADE_OUTLIERS, MADE_BLOCKY, MADE_KINDS };
static const char *const made_names[MADE_KINDS] = {"iid normal", "log-normal rows", "column scales",
                                                   "outliers x20", "blocky mixture"};

static inline double made_uniform(uint64_t *state)
{
    return ((double)(sc_random(*state, 0) >> 11) + 0.5) * 0x1p-53 + 0 * (double)(*state += 0x9E37);
}

static inline double made_normal(uint64_t *state)
{
    const double u = made_uniform(state), v = made_uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* The scale of the value at (row, col); lines: log-normal scales of rows or columns. */
static inline double made_scale(enum made_kind kind, const double *lines, uint64_t row,
                                uint64_t col, uint64_t *state)
{
    switch (kind) {
    case MADE_ROWS:
        return lines[row];
    case MADE_COLUMNS:
        return lines[col];
    case MADE_OUTLIERS:
        return made_uniform(state) < 0.001 ? 20 : 1;
    case MADE_BLOCKY:
        return lines[row / 96 % 7 + col / 160 % 5];
    case MADE_IID:
    case MADE_KINDS:
        break;
    }
    return 1;
}

/* Magnitude bits, and bytes of a tile: bf16 (0: each value by itself), bfp8, bfp4, bfp2, fp0. */
static const struct made_format {
    const char *name;
    int bits;
    uint64_t bytes;
} made_formats[] = {
    {"bf16", 0, 2048}, {"bfp8", 7, 1088}, {"bfp4", 3, 576}, {"bfp2", 1, 320}, {"fp0", -1, 0},
};

static inline void made_round(int bits, const float x[16], float y[16])
{
    float most = 0;
    int exponent = 0;
    for (int i = 0; i < 16; i++)
        most = fmaxf(most, fabsf(x[i]));
    (void)frexpf(most, &exponent);
    for (int i = 0; i < 16; i++) {
        int own = 0;
        (void)frexpf(x[i], &own);
        const float step = ldexpf(1, bits ? exponent - bits : own - 8);
        const float top = bits ? ldexpf(1, bits) - 1 : 256;
        const float code = fminf(rintf(fabsf(x[i]) / step), top);
        y[i] = bits < 0 || x[i] == 0 ? 0 : copysignf(code * step, x[i]);
    }
}

static inline void made_add(struct sc_cell_error *to, double x, double y)
{
    const double d = y - x;
    to->y += y, to->yy += y * y, to->dd += d * d, to->abs += fabs(d);
    to->most = fmax(to->most, fabs(d));
}

static inline struct sc_cells *made_empty(uint64_t n, size_t n_formats)
{
    struct sc_cells *c = calloc(1, sizeof *c);
    c->n = n, c->n_formats = n_formats, c->down = 1, c->across = n, c->matrices = 1;
    c->values = calloc(n + 1, sizeof *c->values);
    c->errors = calloc(n * n_formats + 1, sizeof *c->errors);
    return c;
}

static inline void made_free(struct sc_cells *c)
{
    free(c->values);
    free(c->errors);
    free(c);
}

/* formats: indices of made_formats. Edges are padded with zeros, which are no values. */
static inline struct sc_cells *made_tensor(enum made_kind kind, uint64_t rows, uint64_t cols,
                                           uint64_t seed, const int *formats, size_t n_formats)
{
    const uint64_t down = (rows + 31) / 32, across = (cols + 31) / 32, lines = rows + cols + 16;
    struct sc_cells *c = made_empty(down * across, n_formats);
    double *scale = malloc(lines * sizeof *scale);
    uint64_t state = sc_random(seed, kind);

    c->grain = SC_GRAIN_TILE, c->rows = rows, c->cols = cols, c->down = down, c->across = across;
    for (uint64_t i = 0; i < lines; i++)
        scale[i] = exp(1.2 * made_normal(&state));
    for (size_t f = 0; f < n_formats; f++)
        for (int part = 0; part < 4; part++)
            c->bytes[f][part] = made_formats[formats[f]].bytes;
    for (uint64_t i = 0; i < c->n; i++) {
        struct sc_cell_values *v = &c->values[i];
        v->part = (uint32_t)(((i % across + 1) * 32 > cols) + 2 * ((i / across + 1) * 32 > rows));
        for (int block = 0; block < 64; block++) {
            const uint64_t row = i / across * 32 + (uint64_t)block / 2;
            const uint64_t col = i % across * 32 + (uint64_t)(block % 2) * 16;
            float x[16] = {0}, y[16];
            for (uint64_t k = 0; k < 16 && row < rows && col + k < cols; k++) {
                x[k] = (float)(0.02 * made_scale(kind, scale, row, col + k, &state) *
                               made_normal(&state));
                v->n++, v->x += x[k], v->xx += (double)x[k] * x[k];
            }
            for (size_t f = 0; f < n_formats; f++) {
                made_round(made_formats[formats[f]].bits, x, y);
                for (uint64_t k = 0; k < 16 && row < rows && col + k < cols; k++)
                    made_add(&c->errors[i * n_formats + f], x[k], y[k]);
            }
        }
    }
    free(scale);
    return c;
}

#endif
