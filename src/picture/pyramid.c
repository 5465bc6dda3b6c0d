/* SPDX-License-Identifier: Apache-2.0 */
/* pyramid: the pass that makes a pyramid of a tensor's values.
 *
 * A segment is a stretch of values in row-major order. Its part has the sums of the bands (rows of
 * cells) that it touches. Merging adds them, in order, to the band that is open; a band that is
 * complete becomes cells of level 0, and its sums go on to the level above, which has half as many
 * cells, and so on: all levels come from sums, none from rounded cells, and what is in memory
 * beside the cells are two bands of level 0.
 *
 * Owns: geometry, the pass. Does not own: what is kept (pyramid_file.c). */
#include "picture/pyramid.h"

#include <stdlib.h>

#define MAX_CELLS (UINT64_C(1) << 32) /* of one tensor: four trillion elements */

/* ------------------------------------------------------------------------------- geometry --- */

void sc_cell_grid_make(uint64_t slices, uint64_t rows, uint64_t cols, int depth_y, int depth_x,
                       struct sc_cell_grid *out)
{
    const int least = -2 * SC_PYRAMID_BASE, most = 2 * SC_PYRAMID_BASE;
    const int d = SC_MAX(SC_MIN(depth_x - depth_y, most), least);
    *out = (struct sc_cell_grid){.slices = slices, .rows = rows, .cols = cols};
    out->bits_x = (uint8_t)((most + d + 1) / 2);
    out->bits_y = (uint8_t)(out->bits_x - d);
    if (rows == 1) {
        out->bits_x = (uint8_t)(cols > UINT64_C(1) << 20 ? most : SC_PYRAMID_BASE);
        out->bits_y = 0;
    }
    out->levels = 1;
    for (struct sc_level l = sc_cell_grid_level(out, 0); l.rows > 1 || l.cols > 1; out->levels++) {
        l.rows = (l.rows + 1) / 2;
        l.cols = (l.cols + 1) / 2;
    }
}

static uint64_t cells_of(uint64_t n, unsigned bits)
{
    return n ? ((n - 1) >> bits) + 1 : 0;
}

struct sc_level sc_cell_grid_level(const struct sc_cell_grid *g, unsigned level)
{
    struct sc_level l = {0, 0, 0};
    for (unsigned j = 0;; j++) {
        l.rows = cells_of(g->rows, g->bits_y + j);
        l.cols = cells_of(g->cols, g->bits_x + j);
        if (j == level)
            return l;
        l.first += l.rows * l.cols;
    }
}

bool sc_cell_grid_cells(const struct sc_cell_grid *g, uint64_t *slice, uint64_t *all)
{
    const struct sc_level base = sc_cell_grid_level(g, 0);
    uint64_t n;
    if (!sc_mul(base.rows, base.cols, &n) || n > MAX_CELLS)
        return false;
    const struct sc_level top = sc_cell_grid_level(g, g->levels - 1U);
    *slice = top.first + top.rows * top.cols;
    return sc_mul(*slice, g->slices, all) && *all <= 2 * MAX_CELLS;
}

void sc_pyramid_free(struct sc_pyramid *p)
{
    free(p);
}

struct sc_cell_stats sc_pyramid_cell(const struct sc_pyramid *p, uint64_t slice, unsigned level,
                                     uint64_t row, uint64_t col)
{
    const struct sc_level l = sc_cell_grid_level(&p->grid, level);
    return p->cells[slice * (p->n / p->grid.slices) + l.first + row * l.cols + col];
}

/* ------------------------------------------------------------------------------ its total --- */

struct total {
    const struct sc_pyramid_setup *setup;
    struct sc_pyramid *p;
    uint64_t band;          /* that is open, over all slices */
    uint64_t bands;         /* of a slice */
    uint64_t next;          /* value where the next merge begins */
    bool failed;            /* no memory in a part */
    unsigned rate;          /* of what is counted */
    float abs;              /* largest finite |x| */
    uint64_t count;         /* values */
    _Atomic uint32_t least; /* of `counts`, for parts that begin */
    struct sc_magnitudes *counts;
    struct sc_cell_sum *open[]; /* (levels) a band of each level */
};

/* The first value of a band, of all slices together. */
static uint64_t band_start(const struct sc_cell_grid *g, uint64_t bands, uint64_t band)
{
    const uint64_t row = (band / bands) * g->rows + ((band % bands) << g->bits_y);
    return row * g->cols;
}

/* Codes of BF16 go into sums as they are stored. */
static bool by_codes(const struct sc_pyramid_setup *s, const struct sc_values *v)
{
    return s->level == SC_CPU_AVX512 && sc_values_are_bf16(v);
}

static unsigned wants(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    const struct sc_pyramid_setup *s = ctx;
    struct sc_cell_grid g;
    uint64_t n, all;
    if (v->count == 0 || !s->grid(s->ctx, item, v, &g) || !sc_cell_grid_cells(&g, &n, &all))
        return 0;
    const uint64_t shape[] = {g.slices, g.rows, g.cols};
    if (!sc_product(shape, 3, &n) || n != v->count)
        return 0;
    return by_codes(s, v) ? SC_WANT_CODES : SC_WANT_VALUES;
}

static void drop(void *ctx, void *total)
{
    struct total *t = total;
    (void)ctx;
    for (unsigned j = 0; t->p && j < t->p->grid.levels; j++)
        free(t->open[j]);
    free(t->counts);
    sc_pyramid_free(t->p);
    free(t);
}

static int begin(void *ctx, const struct sc_item *item, const struct sc_values *v, void **total,
                 struct sc_error *e)
{
    const struct sc_pyramid_setup *s = ctx;
    struct sc_cell_grid g;
    uint64_t slice, all;
    if (!s->grid(s->ctx, item, v, &g) || !sc_cell_grid_cells(&g, &slice, &all))
        return sc_fail(e, SCRUPLE_EUSAGE, "a tensor has another shape than before");
    struct total *t = sc_calloc(1, sizeof *t + g.levels * sizeof t->open[0]);
    if (!t)
        return sc_fail_memory(e);
    t->p = sc_alloc(sizeof *t->p + (size_t)all * sizeof t->p->cells[0]);
    t->counts = sc_alloc(sizeof *t->counts);
    if (t->p) {
        t->p->grid = g;
        t->p->n = all;
    }
    bool made = t->p && t->counts;
    for (unsigned j = 0; made && j < g.levels; j++) {
        const size_t n = (size_t)sc_cell_grid_level(&g, j).cols;
        t->open[j] = sc_alloc(n * sizeof *t->open[0]);
        made = t->open[j] != NULL;
        if (made)
            sc_cells_clear(t->open[j], n);
    }
    if (!made) {
        drop(NULL, t);
        return sc_fail_memory(e);
    }
    t->setup = s;
    t->count = v->count;
    t->bands = sc_cell_grid_level(&g, 0).rows;
    t->rate = sc_magnitudes_rate(v->count);
    sc_magnitudes_start(t->counts, v->count, t->rate);
    *total = t;
    return 0;
}

/* ----------------------------------------------------------------------------------- parts --- */

struct part {
    uint64_t first, end;       /* values */
    uint64_t band, n_bands;    /* that they touch */
    struct sc_cell_sum *cells; /* (n_bands x columns of cells) */
    size_t cap;                /* in cells */
    float *floats;             /* of codes that do not fit cells */
    size_t floats_cap;
    bool failed;
    struct sc_magnitudes counts;
};

static int start_part(void *ctx, void *total, unsigned visit, void *reuse, void **out,
                      struct sc_error *e)
{
    struct part *p = reuse ? reuse : sc_calloc(1, sizeof *p);
    const struct total *t = total;
    (void)ctx, (void)visit;
    if (!p)
        return sc_fail_memory(e);
    p->first = p->end = UINT64_MAX;
    p->n_bands = 0;
    p->failed = false;
    sc_magnitudes_start(&p->counts, t->count, t->rate);
    p->counts.least = t->least;
    *out = p;
    return 0;
}

static void part_free(void *ctx, void *part)
{
    struct part *p = part;
    (void)ctx;
    free(p->cells);
    free(p->floats);
    free(p);
}

/* The sums of a band of cells. */
static struct sc_cell_sum *band_of(struct part *p, uint64_t band, size_t n_cols)
{
    if (p->n_bands == 0)
        p->band = band;
    const uint64_t need = band - p->band + 1;
    if (need > p->n_bands) {
        if (sc_grow(&p->cells, &p->cap, (size_t)need * n_cols, sizeof *p->cells, NULL) < 0) {
            p->failed = true;
            return NULL;
        }
        const size_t had = (size_t)p->n_bands * n_cols;
        sc_cells_clear(p->cells + had, (size_t)need * n_cols - had);
        p->n_bands = need;
    }
    return p->cells + (size_t)(band - p->band) * n_cols;
}

/* Rows of codes as floats, one behind the other; NULL: no memory. */
static const float *floats_of(struct part *p, const uint8_t *codes, size_t stride, size_t n_rows,
                              size_t n)
{
    if (sc_grow(&p->floats, &p->floats_cap, n_rows * n, sizeof *p->floats, NULL) < 0)
        return NULL;
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < n; i++)
            p->floats[r * n + i] = sc_bf16_value(sc_le16(codes + 2 * (r * stride + i)));
    return p->floats;
}

/* A part of one row, or several whole rows of one band: values, or their codes. */
static void add_rows(const struct total *t, struct part *p, uint64_t row, uint64_t col,
                     const float *x, const uint8_t *codes, uint64_t n_rows, uint64_t n)
{
    const struct sc_cell_grid *g = &t->p->grid;
    const uint64_t band = row / g->rows * t->bands + (row % g->rows >> g->bits_y);
    struct sc_cell_sum *cells = band_of(p, band, (size_t)cells_of(g->cols, g->bits_x));
    const size_t width = (size_t)1 << g->bits_x, skip = (size_t)(col & (width - 1));
    size_t stride = (size_t)g->cols;
    if (!cells)
        return;
    cells += col >> g->bits_x;
    if (codes && !skip && n % width == 0 && width % 16 == 0) {
        sc_cells_add_codes(codes, stride, (size_t)n_rows, (size_t)n / width, width, cells);
        return;
    }
    if (codes) {
        x = floats_of(p, codes, stride, (size_t)n_rows, (size_t)n);
        stride = (size_t)n;
    }
    if (x)
        sc_cells_add(x, stride, (size_t)n_rows, (size_t)n, width, skip, t->setup->level, cells);
    else
        p->failed = true;
}

/* Rows of the view need not be rows of the picture: only the order of values counts. */
static void chunk(void *ctx, void *total, void *part, const struct sc_chunk *c)
{
    const struct total *t = total;
    const struct sc_cell_grid *g = &t->p->grid;
    struct part *p = part;
    uint64_t at = c->row * c->view->cols + c->col, left = c->n_rows * c->n_cols;
    const uint8_t *codes = by_codes(t->setup, c->view) ? c->codes : NULL;
    const uint64_t first = at;
    const float *x = c->values;
    (void)ctx;
    if (p->first == UINT64_MAX)
        p->first = first;
    p->end = first + left;
    while (left > 0 && !p->failed) {
        const uint64_t row = at / g->cols, col = at % g->cols, in_slice = row % g->rows;
        uint64_t n_rows = 1, n = SC_MIN(left, g->cols - col);
        if (n == g->cols) {
            const uint64_t height = UINT64_C(1) << g->bits_y;
            const uint64_t band = SC_MIN(height - (in_slice & (height - 1)), g->rows - in_slice);
            n_rows = SC_MIN(left / n, band);
        }
        add_rows(t, p, row, col, x, codes, n_rows, n);
        at += n_rows * n;
        x = codes ? NULL : x + n_rows * n;
        codes = codes ? codes + 2 * n_rows * n : NULL;
        left -= n_rows * n;
    }
    /* Of what is in the cache now. */
    if (by_codes(t->setup, c->view))
        sc_magnitudes_take_codes(&p->counts, t->rate, first, c->codes, p->end - first,
                                 t->setup->level);
    else
        sc_magnitudes_take(&p->counts, t->rate, first, c->values, p->end - first, t->setup->level);
}

/* --------------------------------------------------------------------------------- merging --- */

/* The open band of a level is complete: it becomes cells, and part of the band above. */
static void close_band(struct total *t, uint64_t slice, uint64_t band)
{
    const struct sc_cell_grid *g = &t->p->grid;
    const uint64_t first = slice * (t->p->n / g->slices);
    for (unsigned j = 0; j < g->levels; j++) {
        const struct sc_level l = sc_cell_grid_level(g, j);
        struct sc_cell_stats *out = t->p->cells + first + l.first + band * l.cols;
        for (uint64_t i = 0; i < l.cols; i++) {
            sc_cell_stats(&t->open[j][i], &out[i]);
            if (j + 1U < g->levels)
                sc_cell_join(&t->open[j + 1][i / 2], &t->open[j][i]);
        }
        for (uint64_t i = 0; j + 1U == g->levels && i < l.cols; i++)
            if (t->open[j][i].n > 0)
                t->abs = SC_MAX(t->abs, SC_MAX(-t->open[j][i].min, t->open[j][i].max));
        sc_cells_clear(t->open[j], (size_t)l.cols);
        if (band % 2 == 0 && band + 1 < l.rows)
            return; /* the band above waits for another one */
        band /= 2;
    }
}

static void merge(void *ctx, void *total, void *part)
{
    struct total *t = total;
    struct part *p = part;
    const struct sc_cell_grid *g = &t->p->grid;
    const size_t n_cols = (size_t)cells_of(g->cols, g->bits_x);
    (void)ctx;
    t->failed = t->failed || p->failed || p->first != t->next;
    if (t->failed)
        return;
    for (uint64_t b = 0; b < p->n_bands; b++) {
        const struct sc_cell_sum *from = p->cells + (size_t)b * n_cols;
        for (size_t i = 0; i < n_cols; i++)
            sc_cell_join(&t->open[0][i], &from[i]);
        if (band_start(g, t->bands, p->band + b + 1) <= p->end)
            close_band(t, (p->band + b) / t->bands, (p->band + b) % t->bands);
    }
    sc_magnitudes_join(t->counts, &p->counts);
    t->least = t->counts->least;
    t->next = p->end;
}

static bool again(void *ctx, void *total, unsigned visit)
{
    (void)ctx, (void)total, (void)visit;
    return false;
}

static int end(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
               struct sc_error *e)
{
    const struct sc_pyramid_setup *s = ctx;
    struct total *t = total;
    struct sc_pyramid *p = t->p;
    const bool complete = !t->failed && t->next == v->count;
    p->range = (struct sc_scale_range){sc_magnitudes_robust(t->counts), t->abs};
    for (unsigned j = 0; j < p->grid.levels; j++)
        free(t->open[j]);
    free(t->counts);
    free(t);
    if (!complete)
        sc_pyramid_free(p);
    return complete ? s->take(s->ctx, item, p, e) : sc_fail_memory(e);
}

const struct sc_pass sc_pass_pyramid = {
    .name = "pyramid",
    .wants = wants,
    .begin = begin,
    .part = start_part,
    .chunk = chunk,
    .merge = merge,
    .part_free = part_free,
    .again = again,
    .end = end,
    .drop = drop,
};
