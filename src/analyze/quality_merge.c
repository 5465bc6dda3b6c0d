/* SPDX-License-Identifier: Apache-2.0 */
/* quality_merge: sums of panels, in their order, into those of the tensor, and the rows, columns,
 * heads and matrices where formats do worst. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quality_parts.h"

int sc_totals_make(struct sc_quality_pass *q, struct sc_error *e)
{
    const size_t n = q->n + 1;
    uint64_t columns;
    q->x = (struct sc_sums_x){.min = INFINITY, .max = -INFINITY};
    q->at_matrix = q->at_head = UINT64_MAX;
    q->d = sc_calloc(n, sizeof *q->d);
    if (!q->o->brief)
        q->rows = sc_calloc(n * q->cut.height, sizeof *q->rows);
    q->matrix = sc_calloc(n, sizeof *q->matrix);
    q->head = sc_calloc(n, sizeof *q->head);
    q->worst = sc_calloc(n * SC_WORSTS, sizeof *q->worst);
    q->columns_kept = !q->o->brief && q->cut.parts && !q->only && !sc_is_vector(q->v) &&
                      sc_mul(q->cut.cols, n * sizeof *q->cols, &columns) &&
                      columns <= q->o->memory / 4;
    if (q->columns_kept)
        q->cols = sc_calloc((size_t)q->cut.cols * n, sizeof *q->cols);
    if (q->n_blocks)
        q->blocks = sc_calloc(q->n_blocks * n, sizeof *q->blocks);
    if (!q->d || (!q->rows && !q->o->brief) || !q->matrix || !q->head || !q->worst ||
        (q->columns_kept && !q->cols) || (q->n_blocks && !q->blocks))
        return sc_fail_memory(e);
    for (size_t i = 0; i < n * SC_WORSTS; i++)
        q->worst[i].index = UINT64_MAX;
    for (size_t f = 0; f < q->n; f++)
        q->d[f].tile.index = UINT64_MAX;
    return 0;
}

void sc_totals_free(struct sc_quality_pass *q)
{
    free(q->d);
    free(q->rows);
    free(q->matrix);
    free(q->head);
    free(q->worst);
    free(q->cols);
    free(q->blocks);
}

/* Squares of formats and of x (last), `step` apart, as the part `index` of its kind. */
static void see(struct sc_quality_pass *q, int kind, uint64_t index, const double *squares,
                size_t step)
{
    for (size_t f = 0; f < q->n; f++)
        if (!q->formats[f].lossless || q->worst[f * SC_WORSTS + (size_t)kind].index == UINT64_MAX)
            sc_worst_see(&q->worst[f * SC_WORSTS + (size_t)kind], index, squares[f * step],
                         squares[q->n * step]);
}

static void add(double *to, const double *from, size_t n, size_t step)
{
    for (size_t f = 0; f < n; f++)
        to[f] += from[f * step];
}

static void end_head(struct sc_quality_pass *q)
{
    if (q->at_head != UINT64_MAX)
        see(q, SC_WORST_HEAD, q->at_head, q->head, 1);
    memset(q->head, 0, (q->n + 1) * sizeof *q->head);
}

static void add_head(struct sc_quality_pass *q, uint64_t head, const double *squares, size_t step)
{
    if (head != q->at_head) {
        end_head(q);
        q->at_head = head;
    }
    add(q->head, squares, q->n + 1, step);
}

static void end_matrix(struct sc_quality_pass *q)
{
    const uint64_t cols = q->cut.cols;
    const uint32_t wide = q->o->head_cols;
    if (q->at_matrix == UINT64_MAX || !q->cut.parts || q->only)
        return;
    if (q->cut.matrices > 1)
        see(q, SC_WORST_EXPERT, q->at_matrix, q->matrix, 1);
    memset(q->matrix, 0, (q->n + 1) * sizeof *q->matrix);
    if (!q->cols)
        return;
    for (uint64_t i = 0; i < cols; i++) {
        see(q, SC_WORST_COLUMN, q->at_matrix * cols + i, q->cols + i, (size_t)cols);
        if (wide && !q->o->head_rows && wide < cols)
            add_head(q, q->at_matrix * ((cols - 1) / wide + 1) + i / wide, q->cols + i,
                     (size_t)cols);
    }
    memset(q->cols, 0, (size_t)cols * (q->n + 1) * sizeof *q->cols);
}

static void end_band(struct sc_quality_pass *q)
{
    const uint32_t high = q->o->head_rows, height = q->cut.height;
    const uint64_t rows = q->cut.rows;
    const bool whole_rows = q->per_block == 0 || q->per_block > 1 || q->cut.whole_rows;
    for (uint32_t r = 0; r < q->band_rows; r++) {
        const uint64_t row = q->band_row + r;
        if (whole_rows)
            see(q, SC_WORST_ROW, row, q->rows + r, height);
        add(q->matrix, q->rows + r, q->n + 1, height);
        if (high && q->cut.parts && !q->only && high < rows)
            add_head(q, row / rows * ((rows - 1) / high + 1) + row % rows / high, q->rows + r,
                     height);
    }
    memset(q->rows, 0, (q->n + 1) * height * sizeof *q->rows);
    q->band_rows = 0;
}

void sc_totals_end(struct sc_quality_pass *q)
{
    if (!q->rows)
        return;
    end_band(q);
    end_matrix(q);
    end_head(q);
}

/* Squares of a panel into its rows and columns. */
static void add_lines(struct sc_quality_pass *q, const struct sc_rectangle *at,
                      const struct sc_look_sums *p)
{
    const struct sc_cut *c = &q->cut;
    const uint64_t row = at->matrix * c->rows + at->row;
    if (q->band_rows && row != q->band_row)
        end_band(q);
    if (at->matrix != q->at_matrix) {
        end_matrix(q);
        q->at_matrix = at->matrix;
    }
    q->band_row = row;
    q->band_rows = at->n_rows;
    for (size_t f = 0; f <= q->n; f++)
        for (size_t r = 0; r < at->n_rows; r++)
            q->rows[f * c->height + r] += p->rows[f * c->height + r];
    for (size_t f = 0; q->cols && f <= q->n; f++)
        for (size_t i = 0; i < at->n_cols; i++)
            q->cols[f * c->cols + at->col + i] += p->cols[f * c->width + i];
}

static void add_x(struct sc_sums_x *to, const struct sc_sums_x *x)
{
    to->nonfinite += x->nonfinite;
    to->sum += x->sum;
    to->square += x->square;
    to->min = SC_MIN(to->min, x->min);
    to->max = SC_MAX(to->max, x->max);
}

static void add_d(struct sc_sums_d *to, const struct sc_sums_d *d)
{
    to->d += d->d;
    to->abs += d->abs;
    to->square += d->square;
    to->values += d->values;
    to->cross += d->cross;
    to->relative = SC_MAX(to->relative, d->relative);
    to->most = SC_MAX(to->most, d->most);
    to->overflowed += d->overflowed;
    to->saturated += d->saturated;
    to->zeros += d->zeros;
    if (d->tile.index != UINT64_MAX &&
        (to->tile.index == UINT64_MAX || d->tile.relative_frobenius > to->tile.relative_frobenius))
        to->tile = d->tile;
}

static void add_block(struct sc_quality_pass *q, const struct sc_rectangle *at,
                      const struct sc_look_sums *p)
{
    struct sc_block_sums *b = q->blocks + q->merged / q->per_block * (q->n + 1);
    struct sc_block_sums *x = b + q->n;
    x->n += (double)((uint64_t)at->n_rows * at->n_cols - p->x->nonfinite);
    x->sum += p->x->sum;
    x->square += p->x->square;
    for (size_t f = 0; f < q->n; f++) {
        const bool same = q->formats[f].lossless;
        b[f].sum += p->d[f].d;
        b[f].abs += p->d[f].abs;
        b[f].square += p->d[f].square;
        b[f].values += same ? p->x->square : p->d[f].values;
        b[f].cross += p->d[f].cross;
    }
}

/* Cells that are rows may lie in several panels. */
static void add_rows(struct sc_cells *c, const struct sc_rectangle *at,
                     const struct sc_look_sums *p, bool x_too)
{
    for (uint32_t r = 0; r < at->n_rows; r++) {
        const uint64_t cell = sc_cell_at(c, at->matrix, at->row + r, 0);
        if (x_too) {
            c->values[cell].x += p->row_x[r].x;
            c->values[cell].xx += p->row_x[r].xx;
            c->values[cell].n += p->row_x[r].n;
        }
        for (size_t f = 0; f < c->n_formats; f++) {
            struct sc_cell_error *to = &c->errors[cell * c->n_formats + f];
            const struct sc_cell_error *from = &p->row_d[r * c->n_formats + f];
            to->y += from->y;
            to->yy += from->yy;
            to->dd += from->dd;
            to->abs += from->abs;
            to->most = SC_MAX(to->most, from->most);
        }
    }
}

void sc_totals_merge(void *ctx, const struct sc_rectangle *at, const void *part)
{
    struct sc_quality_pass *q = ctx;
    struct sc_look_sums p;
    if (q->look != SC_LOOK_ALL)
        return;
    (void)sc_look_lay(q, (void *)(uintptr_t)part, &p);
    add_x(&q->x, p.x);
    for (size_t f = 0; f < q->n; f++)
        add_d(&q->d[f], &p.d[f]);
    if (q->rows)
        add_lines(q, at, &p);
    if (p.row_x)
        add_rows(q->cells, at, &p, q->first);
    if (q->blocks)
        add_block(q, at, &p);
    q->merged++;
    if (q->o->progress)
        q->o->progress(q->o->ctx, q->before + q->of_all * (double)q->merged / (double)q->panels);
}
