/* SPDX-License-Identifier: Apache-2.0 */
/* quality_rounded: a tensor as a format, or a mix of them, keeps it.
 *
 * Formats look at whole units of lines, so a band of panels is computed at a time and kept: who
 * reads in order computes each value once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quality_parts.h"

#define BAND_VALUES (UINT64_C(16) << 20) /* kept at a time; a longer row is kept panel by panel */

struct rounded {
    struct sc_quality_pass q; /* its facts and its cut */
    struct sc_quality_options o;
    struct sc_planned formats[16];
    struct sc_encoding one;
    const struct sc_cells *cells;
    const int8_t *assignment;
    uint64_t kept_cols, per_row;  /* columns of what is kept; how many of them a row has */
    pthread_mutex_t lock;         /* around all below */
    uint64_t at;                  /* which is kept; UINT64_MAX: none */
    float *kept;                  /* (height * kept_cols) */
    float *x, *y, *turned, *back; /* (panel) */
};

static void close_rounded(void *ctx)
{
    struct rounded *r = ctx;
    sc_quality_facts_free(&r->q);
    pthread_mutex_destroy(&r->lock);
    free(r->kept);
    free(r->x);
    free(r->y);
    free(r->turned);
    free(r->back);
    free(r);
}

/* Cells of the k-th format inside a panel, from y into x. */
static void take_cells(const struct rounded *r, const struct sc_rectangle *at, int k)
{
    const struct sc_cells *c = r->cells;
    for (uint64_t i = 0; i < at->n_rows; i++)
        for (uint64_t j = 0; j < at->n_cols;) {
            const uint64_t col = at->col + j;
            const uint64_t n = SC_MIN(c->width - col % c->width, at->n_cols - j);
            if (r->assignment[sc_cell_at(c, at->matrix, at->row + i, col)] == k)
                memcpy(r->turned + i * at->n_cols + j, r->y + i * at->n_cols + j,
                       (size_t)n * sizeof *r->y);
            j += n;
        }
}

static bool is_used(const struct rounded *r, const struct sc_rectangle *at, int k)
{
    const struct sc_cells *c = r->cells;
    for (uint64_t i = 0; i < at->n_rows; i += c->height - (at->row + i) % c->height)
        for (uint64_t j = 0; j < at->n_cols; j += c->width - (at->col + j) % c->width)
            if (r->assignment[sc_cell_at(c, at->matrix, at->row + i, at->col + j)] == k)
                return true;
    return false;
}

/* One panel into what is kept, `offset` columns from its left edge. */
static int compute_panel(struct rounded *r, struct sc_rectangle *at, uint64_t offset,
                         struct sc_error *e)
{
    const struct sc_cut *c = &r->q.cut;
    const size_t values = (size_t)at->n_rows * at->n_cols;
    const float *out = r->y;
    float *side = r->turned + r->q.cut.height * (size_t)r->q.cut.width; /* x turned */
    at->values = r->x;
    TRY(sc_values_read_runs(r->q.v, (at->matrix * c->rows + at->row) * c->cols + at->col, c->cols,
                            at->n_rows, at->n_cols, r->x, e));
    if (r->q.any_other_axis)
        sc_turn(r->x, at->n_rows, at->n_cols, side);
    if (r->cells) {
        memcpy(r->turned, r->x, values * sizeof *r->x);
        out = r->turned;
    }
    for (size_t k = 0; k < r->q.n; k++) {
        if (r->cells && !is_used(r, at, (int)k))
            continue;
        (void)sc_round_panel(&r->formats[k], c, at, side, r->back, r->y);
        if (r->cells)
            take_cells(r, at, (int)k);
    }
    for (size_t i = 0; i < at->n_rows; i++)
        memcpy(r->kept + i * r->kept_cols + offset, out + i * at->n_cols, at->n_cols * sizeof *out);
    return 0;
}

/* Number `index` of what can be kept. */
static int compute(struct rounded *r, uint64_t index, struct sc_error *e)
{
    const struct sc_cut *c = &r->q.cut;
    const uint64_t down = (c->rows - 1) / c->height + 1, band = index / r->per_row;
    const uint64_t from = index % r->per_row * r->kept_cols;
    const uint64_t to = SC_MIN(from + r->kept_cols, c->cols);
    struct sc_rectangle at = {.matrix = band / down, .row = band % down * c->height};
    at.n_rows = (uint32_t)SC_MIN(c->rows - at.row, (uint64_t)c->height);
    r->at = UINT64_MAX;
    for (at.col = from; at.col < to; at.col += c->width) {
        at.n_cols = (uint32_t)SC_MIN(to - at.col, (uint64_t)c->width);
        TRY(compute_panel(r, &at, at.col - from, e));
    }
    r->at = index;
    return 0;
}

static int read_rounded(void *ctx, uint64_t first, uint64_t n, float *dst, struct sc_error *e)
{
    struct rounded *r = ctx;
    const struct sc_cut *c = &r->q.cut;
    const uint64_t down = n ? (c->rows - 1) / c->height + 1 : 0;
    int code = 0;
    pthread_mutex_lock(&r->lock);
    while (code == 0 && n > 0) {
        const uint64_t row = first / c->cols, col = first % c->cols;
        const uint64_t in = row % c->rows;
        const uint64_t index =
            (row / c->rows * down + in / c->height) * r->per_row + col / r->kept_cols;
        const uint64_t at = col % r->kept_cols;
        const uint64_t take = SC_MIN(SC_MIN(n, r->kept_cols - at), c->cols - col);
        if (index != r->at)
            code = compute(r, index, e);
        if (code == 0)
            memcpy(dst, r->kept + in % c->height * r->kept_cols + at, (size_t)take * sizeof *dst);
        dst += take;
        first += take;
        n -= take;
    }
    pthread_mutex_unlock(&r->lock);
    return code;
}

static int plan(struct rounded *r, struct sc_error *e)
{
    struct sc_quality_pass *q = &r->q;
    struct sc_quality_options low = r->o;
    low.sample = 1;                                      /* panels as low as the formats allow */
    low.grain = r->cells ? SC_GRAIN_ROW : SC_GRAIN_NONE; /* matrices stay what they are */
    for (size_t k = 0; k < q->n; k++) {
        const struct sc_encoding *f = r->cells ? &r->cells->formats[k] : &r->one;
        sc_plan_format(q->v, f, &r->formats[k]);
        q->any_other_axis = q->any_other_axis || r->formats[k].turned;
    }
    if (!sc_cut_of(&low, r->formats, q->n, q->v, &q->cut) || (r->cells && !q->cut.parts))
        return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                       "these formats fit no common panel of a tensor of rows of %llu",
                       (unsigned long long)q->v->cols);
    const uint64_t values = (uint64_t)q->cut.height * q->cut.width;
    r->kept_cols = q->cut.height * q->cut.cols <= BAND_VALUES ? q->cut.cols : q->cut.width;
    r->per_row = (q->cut.cols - 1) / r->kept_cols + 1;
    r->kept = sc_alloc((size_t)(q->cut.height * r->kept_cols) * sizeof *r->kept);
    r->x = sc_alloc((size_t)values * sizeof *r->x);
    r->y = sc_alloc((size_t)values * sizeof *r->y);
    r->turned = sc_alloc((size_t)values * 2 * sizeof *r->turned);
    r->back = sc_alloc((size_t)values * sizeof *r->back);
    if (!r->kept || !r->x || !r->y || !r->turned || !r->back)
        return sc_fail_memory(e);
    return sc_quality_facts(q, e);
}

int sc_values_open_rounded(struct sc_values *v, const struct sc_encoding *f,
                           const struct sc_cells *cells, const int8_t *assignment,
                           const struct sc_parallel *p, struct sc_values **out, struct sc_error *e)
{
    struct rounded *r = sc_calloc(1, sizeof *r);
    *out = NULL;
    if (!r)
        return sc_fail_memory(e);
    pthread_mutex_init(&r->lock, NULL);
    r->at = UINT64_MAX;
    r->cells = cells;
    r->assignment = assignment;
    r->o = (struct sc_quality_options){.memory = UINT64_C(1) << 30, .p = p};
    r->q = (struct sc_quality_pass){.v = v,
                                    .o = &r->o,
                                    .formats = r->formats,
                                    .n = cells ? cells->n_formats : 1,
                                    .level = sc_cpu_level()};
    if (!cells)
        r->one = *f;
    const struct sc_computed how = {read_rounded, close_rounded, r};
    int code = v->count ? plan(r, e) : 0;
    r->o.p = NULL; /* borrowed for the facts */
    if (code == 0)
        code = sc_values_open_computed(v, &how, out, e);
    if (code < 0)
        close_rounded(r);
    return code;
}
