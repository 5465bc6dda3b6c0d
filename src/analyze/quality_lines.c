/* SPDX-License-Identifier: Apache-2.0 */
/* quality_lines: the sums of cells that are lines: rows, or groups of neighbours. */
#include <math.h>
#include <string.h>

#include "analyze/quality_desk.h"

/* Rows of cells of a segment: ROW has one a row, GROUP some. */
static size_t piece_width(const struct sc_desk *d, const struct sc_block *b)
{
    const struct sc_cells *c = d->q->cells;
    return c->grain == SC_GRAIN_ROW ? b->n : (size_t)SC_MIN(c->width, (uint64_t)b->n);
}

/* Sums of one line of n values. */
static void sum_line(const struct sc_desk *d, const float *x, const float *y, size_t n,
                     struct sc_tile *out)
{
    struct sc_block_errors e = {.sums = d->sums};
    struct sc_error_block k = {.x = x, .y = y, .rows = 1, .n = n};
    uint64_t overflowed;
    bool good = n % SC_ERROR_COLUMNS == 0 && !d->q->exact;
    if (good) {
        sc_errors(&k, d->q->level, &e);
        good = sc_errors_good(e.most);
    }
    if (good && x) { /* x may be larger than its errors */
        float min, max;
        sc_extremes(x, n, d->q->level, &min, &max);
        good = fmaxf(-min, max) < 0x1p55F;
        for (size_t i = 0; good && i < n; i++)
            good = isfinite(x[i]);
    }
    if (!good)
        sc_errors_exact(&k, &e, &overflowed);
    *out = (struct sc_tile){0};
    for (size_t g = 0; g * SC_ERROR_COLUMNS < n; g++)
        sc_tile_add(out, &d->sums[g]);
}

void sc_lines_of_x(struct sc_desk *d, const struct sc_block *b, bool keep)
{
    const struct sc_cells *c = d->q->cells;
    const size_t width = piece_width(d, b);
    size_t k = 0;
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i += width, k++) {
            const size_t n = SC_MIN(width, b->n - i);
            const float *x = b->x + r * b->whole + i;
            struct sc_piece *p = &d->pieces[k];
            struct sc_tile t;
            sum_line(d, NULL, x, n, &t);
            *p = (struct sc_piece){.x = t.d, .xx = t.square, .finite = (uint32_t)n};
            for (size_t j = 0; j < n; j++)
                p->finite -= !isfinite(x[j]);
            if (!keep)
                continue;
            struct sc_cell_values *v =
                c->grain == SC_GRAIN_ROW
                    ? &d->part.row_x[b->row + r]
                    : &c->values[sc_cell_at(c, d->at->matrix, d->at->row + b->row + r,
                                            d->at->col + b->col + i)];
            if (c->grain == SC_GRAIN_GROUP)
                *v = (struct sc_cell_values){.part = n < c->width};
            v->x += p->x;
            v->xx += p->xx;
            v->n += p->finite;
        }
}

void sc_lines_of_y(struct sc_desk *d, const struct sc_block *b, int mix, const float *y)
{
    const struct sc_cells *c = d->q->cells;
    const size_t width = piece_width(d, b);
    size_t k = 0;
    for (size_t r = 0; r < b->rows; r++)
        for (size_t i = 0; i < b->n; i += width, k++) {
            const size_t n = SC_MIN(width, b->n - i);
            struct sc_tile t = {.values = d->pieces[k].xx};
            struct sc_cell_error *out =
                c->grain == SC_GRAIN_ROW
                    ? &d->part.row_d[(b->row + r) * c->n_formats + (size_t)mix]
                    : &c->errors[sc_cell_at(c, d->at->matrix, d->at->row + b->row + r,
                                            d->at->col + b->col + i) *
                                     c->n_formats +
                                 (size_t)mix];
            float most;
            if (y)
                sum_line(d, b->x + r * b->whole + i, y + r * b->whole + i, n, &t);
            memcpy(&most, &t.most, sizeof most);
            if (c->grain == SC_GRAIN_GROUP)
                *out = (struct sc_cell_error){0};
            out->y += d->pieces[k].x + t.d;
            out->yy += t.values;
            out->dd += t.square;
            out->abs += t.abs;
            out->most = SC_MAX(out->most, (double)most);
        }
}
