/* SPDX-License-Identifier: Apache-2.0 */
/* fake_cells: a table of errors of a made-up tensor, without any encoder.
 *
 * Cells are tiles of 32 x 32 normal values whose size changes along the columns, so that no one
 * format is right for all; errors are those of a uniform step a format. Everything follows from the
 * position of a cell, so tests know what must come out.
 */
#ifndef SC_FAKE_CELLS_H
#define SC_FAKE_CELLS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/mix.h"

static const struct {
    const char *name;
    uint64_t bytes;
    double step, bits; /* of a value of size 1 */
} fake_formats[] = {{"bf16", 2048, 0.004, 16},
                    {"bfp8", 1088, 0.015, 8.5},
                    {"bfp4", 576, 0.24, 4.5},
                    {"bfp2", 320, 0.9, 2.5}};
enum { FAKE_FORMATS = 4 };

static inline double fake_noise(uint64_t i)
{
    return (double)(sc_random(7, i) >> 11) / 9007199254740992.0;
}

static inline bool fake_cells(struct sc_cells *c, uint64_t matrices, uint64_t rows, uint64_t cols)
{
    *c = (struct sc_cells){.grain = SC_GRAIN_TILE,
                           .matrices = matrices,
                           .rows = rows,
                           .cols = cols,
                           .down = (rows + 31) / 32,
                           .across = (cols + 31) / 32,
                           .n_formats = FAKE_FORMATS};
    c->n = matrices * c->down * c->across;
    c->values = calloc(c->n + 1, sizeof *c->values);
    c->errors = calloc(c->n * FAKE_FORMATS + 1, sizeof *c->errors);
    for (size_t f = 0; f < FAKE_FORMATS; f++) {
        memcpy(c->formats[f].name, fake_formats[f].name, strlen(fake_formats[f].name) + 1);
        c->formats[f].bits = (uint8_t)fake_formats[f].bits;
        for (int part = 0; part < 4; part++)
            c->bytes[f][part] = fake_formats[f].bytes;
    }
    for (uint64_t i = 0; c->values && c->errors && i < c->n; i++) {
        uint64_t down = i / c->across % c->down, across = i % c->across;
        bool right = across + 1 == c->across && cols % 32, lower = down + 1 == c->down && rows % 32;
        uint32_t n = (uint32_t)((right ? cols % 32 : 32) * (lower ? rows % 32 : 32));
        double size = 0.02 * exp(1.2 * sin(0.35 * (double)across) + 0.8 * fake_noise(i)) *
                      (down % 7 == 3 ? 3 : 1);
        double mean = size * 0.1 * (fake_noise(i + 1000000) - 0.5);
        c->values[i] = (struct sc_cell_values){
            .x = mean * n, .xx = size * size * n, .n = n, .part = (uint32_t)(right + 2 * lower)};
        for (size_t f = 0; f < FAKE_FORMATS; f++) {
            double d = size * fake_formats[f].step * (0.4 + 0.6 * fake_noise(i * 8 + f)) / 3.5;
            double dd = d * d * n, drift = d * 0.05 * (fake_noise(i * 8 + f + 77) - 0.5);
            c->errors[i * FAKE_FORMATS + f] =
                (struct sc_cell_error){.y = (mean + drift) * n,
                                       .yy = size * size * n - 0.4 * dd,
                                       .dd = dd,
                                       .abs = 0.8 * d * n,
                                       .most = d * (2 + fake_noise(i * 8 + f + 99))};
        }
    }
    return c->values && c->errors;
}

static inline void fake_cells_clear(struct sc_cells *c)
{
    free(c->values);
    free(c->errors);
    *c = (struct sc_cells){0};
}

/* Sums written out again, for tests of what others make of them. */
static inline struct sc_mix_totals fake_totals(const struct sc_cells *c, const int8_t *format)
{
    struct sc_mix_totals t = {0};
    long double n = 0, x = 0, xx = 0, y = 0, yy = 0, dd = 0, abs = 0;
    double most = 0;

    for (uint64_t i = 0; i < c->n; i++) {
        const struct sc_cell_values *v = &c->values[i];
        const struct sc_cell_error *q = sc_cell_error(c, i, (size_t)format[i]);
        n += v->n;
        x += v->x;
        xx += v->xx;
        y += q->y;
        yy += q->yy;
        dd += q->dd;
        abs += q->abs;
        most = fmax(most, q->most);
        t.bytes += c->bytes[format[i]][v->part];
        t.cells[format[i]]++;
    }
    long double xy = (xx + yy - dd) / 2;
    long double vx = xx - x * x / n, vy = yy - y * y / n;
    t.pcc = (double)((xy - x * y / n) / sqrtl(vx * vy));
    t.one_minus_pcc = (double)(1 - (xy - x * y / n) / sqrtl(vx * vy));
    t.mae = (double)(abs / n);
    t.mse = (double)(dd / n);
    t.atol = most;
    t.sqnr_db = (double)(10 * log10l(xx / dd));
    t.cosine = (double)(xy / sqrtl(xx * yy));
    return t;
}

/* One cell by itself. */
static inline double fake_cell_metric(const struct sc_cells *c, uint64_t cell, size_t f,
                                      enum sc_mix_metric m)
{
    const struct sc_cell_values *v = &c->values[cell];
    const struct sc_cell_error *q = sc_cell_error(c, cell, f);
    double n = v->n, vx = v->xx - v->x * v->x / n, vy = q->yy - q->y * q->y / n;
    double xy = (v->xx + q->yy - q->dd) / 2;

    switch (m) {
    case SC_MIX_PCC:
        return (xy - v->x * q->y / n) / sqrt(vx * vy);
    case SC_MIX_MAE:
        return q->abs / n;
    case SC_MIX_ATOL:
        return q->most;
    case SC_MIX_MSE:
        return q->dd / n;
    case SC_MIX_SQNR:
        return 10 * log10(v->xx / q->dd);
    case SC_MIX_METRICS:
        break;
    }
    return NAN;
}

/* The smallest format that is good in each cell, else the largest: what the page does. */
static inline void fake_threshold(const struct sc_cells *c, enum sc_mix_metric m, double threshold,
                                  int8_t *format)
{
    for (uint64_t i = 0; i < c->n; i++) {
        format[i] = 0;
        for (int f = FAKE_FORMATS - 1; f >= 0; f--) {
            double v = fake_cell_metric(c, i, (size_t)f, m);
            if (m == SC_MIX_PCC || m == SC_MIX_SQNR ? v >= threshold : v <= threshold) {
                format[i] = (int8_t)f;
                break;
            }
        }
    }
}

#endif
