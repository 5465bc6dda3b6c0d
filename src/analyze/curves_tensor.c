/* SPDX-License-Identifier: Apache-2.0 */
/* curves_tensor: what becomes of the values of one tensor, gathered by the value.
 *
 *   extent  -->  how large errors are (some rows)  -->  panels: x beside q(x) of every format
 *
 * q(x) comes from views of the tensor as each format keeps it (quality.h), so blocks, scales and
 * steps are the real ones. A panel gives counts and sums; they are merged in its order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/curves_parts.h"

enum {
    TILE = 32,
    HEIGHT = 128,
    WIDTH = 4096,
    /* d in a bin of x: quarters of octaves, either sign, and nothing at all in the middle. */
    SIDE = 88,
    SPREAD = 2 * SIDE + 1,
    SAMPLE_ROWS = 64,
    SAMPLE_VALUES = 2048,
};

/* Counts and sums of a panel, or of all of them, for one format. Arrays follow the struct. */
struct gather {
    struct sc_curve_sums sums;
    uint64_t magnitude[SC_CURVE_HISTOGRAM], error[SC_CURVE_HISTOGRAM];
};
/* How they lie in a part: first what is of x alone, then the formats, one like the other. */
struct layout {
    size_t n_points, n_formats, n_tiles;
    size_t counts, tiles_x, formats;        /* offsets */
    size_t y, spread, cells, tiles, format; /* offsets in a format, and its size */
};

struct tracing {
    struct sc_curves *out;
    struct sc_values *view;
    struct sc_values **kept; /* (n) as the formats have it */
    struct sc_matrices shape;
    struct layout layout;
    char *total; /* a part, of all panels; its tiles are not used */
    /* the map: sums of coarse tiles */
    uint64_t by;     /* tiles of 32 that one of the map stands for, each way */
    uint64_t down;   /* tiles of 32 in a matrix */
    double *xx, *dd; /* (down * across), (n * down * across) */
    uint64_t *n;
    _Atomic int failed;
    struct sc_error why;
};

static struct layout layout_of(size_t n_points, size_t n_formats)
{
    struct layout l = {.n_points = n_points,
                       .n_formats = n_formats,
                       .n_tiles = (size_t)(HEIGHT / TILE) * (WIDTH / TILE)};

    l.tiles_x = n_points * sizeof(uint64_t);
    l.formats = l.tiles_x + l.n_tiles * (sizeof(double) + sizeof(uint64_t));
    l.y = sizeof(struct gather);
    l.tiles = l.y + 3 * n_points * sizeof(double);
    l.spread = l.tiles + l.n_tiles * sizeof(double);
    l.cells = l.spread + n_points * SPREAD * sizeof(uint32_t);
    l.format = l.cells + (size_t)SC_CURVE_CELLS * SC_CURVE_CELLS * sizeof(uint32_t);
    l.format = (l.format + 7) & ~(size_t)7;
    return l;
}

static size_t part_size(const struct layout *l)
{
    return l->formats + l->n_formats * l->format;
}

/* The arrays of a part. */
struct part {
    uint64_t *counts;  /* (n_points) values of x */
    double *tiles_xx;  /* (n_tiles) */
    uint64_t *tiles_n; /* (n_tiles) */
};
struct format_part {
    struct gather *g;
    double *y, *least, *most; /* (n_points) of y: sum and extremes */
    double *tiles_dd;
    uint32_t *spread, *cells;
};

static struct part part_at(const struct layout *l, void *base)
{
    char *p = base;
    void *tiles = p + l->tiles_x, *n = p + l->tiles_x + l->n_tiles * sizeof(double);

    return (struct part){base, tiles, n};
}

static struct format_part format_at(const struct layout *l, void *base, size_t f)
{
    char *p = (char *)base + l->formats + f * l->format;
    void *g = p, *sums = p + l->y, *tiles = p + l->tiles, *spread = p + l->spread,
         *cells = p + l->cells;
    double *y = sums;

    return (struct format_part){g, y, y + l->n_points, y + 2 * l->n_points, tiles, spread, cells};
}

static void clear_extremes(struct format_part *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p->least[i] = INFINITY;
        p->most[i] = -INFINITY;
    }
}

/* ---------------------------------------------------------------------------------- extent --- */
struct extent {
    double low, high, most;
    uint64_t values, nonfinite;
};

static void look_extent(void *ctx, const struct sc_rectangle *at, void *scratch, void *part)
{
    struct extent *x = part;

    (void)ctx, (void)scratch;
    x->low = INFINITY;
    x->high = -INFINITY;
    x->values = (uint64_t)at->n_rows * at->n_cols;
    for (size_t i = 0; i < x->values; i++) {
        double v = (double)at->values[i];
        if (!isfinite(v)) {
            x->nonfinite++;
            continue;
        }
        x->low = fmin(x->low, v);
        x->high = fmax(x->high, v);
    }
}

static void merge_extent(void *ctx, const struct sc_rectangle *at, const void *part)
{
    struct extent *into = ctx;
    const struct extent *x = part;

    (void)at;
    into->low = fmin(into->low, x->low);
    into->high = fmax(into->high, x->high);
    into->values += x->values;
    into->nonfinite += x->nonfinite;
}

static struct sc_panels panels_of(const struct tracing *t, const struct sc_curves_measure *m)
{
    return (struct sc_panels){.view = t->view,
                              .matrices = t->shape.n,
                              .rows = t->shape.rows,
                              .cols = t->shape.cols,
                              .height = HEIGHT,
                              .width = WIDTH,
                              .p = m->p,
                              .cancel = m->cancel};
}

static int find_extent(struct tracing *t, const struct sc_curves_measure *m, struct sc_error *e)
{
    struct extent x = {.low = INFINITY, .high = -INFINITY};
    struct sc_panels p = panels_of(t, m);
    struct sc_curves *c = t->out;

    p.part = sizeof x;
    p.look = look_extent;
    p.merge = merge_extent;
    p.ctx = &x;
    TRY(sc_panels_visit(&p, e));
    c->values = x.values;
    c->nonfinite = x.nonfinite;
    if (x.low > x.high) /* no finite value: any range will do */
        x.low = x.high = 0;
    double most = fmax(fabs(x.low), fabs(x.high));
    if (x.low == x.high) {
        double room = fmax(most * 1e-6, 1e-6);
        x.low -= room;
        x.high += room;
    }
    c->low = x.low;
    c->high = x.high;
    sc_magnitudes_below(c, most);
    for (size_t i = 0; i < c->n_points; i++)
        c->x[i] = x.low + (x.high - x.low) * ((double)i + 0.5) / (double)c->n_points;
    return 0;
}

/* The largest error among some rows: where the picture of errors ends. */
static int find_edges(struct tracing *t, struct sc_error *e)
{
    const struct sc_matrices *s = &t->shape;
    uint64_t rows = s->n * s->rows, step = SC_MAX(rows / SAMPLE_ROWS, 1);
    uint64_t n = SC_MIN(s->cols, SAMPLE_VALUES);
    float x[SAMPLE_VALUES], y[SAMPLE_VALUES];

    for (uint64_t row = 0; row < rows && n; row += step) {
        TRY(sc_values_read(t->view, row * s->cols, n, x, e));
        for (size_t f = 0; f < t->out->n; f++) {
            struct sc_curve *c = &t->out->curves[f];
            TRY(sc_values_read(t->kept[f], row * s->cols, n, y, e));
            for (size_t i = 0; i < n; i++)
                if (isfinite((double)x[i]) && isfinite((double)y[i]))
                    c->edge = fmax(c->edge, fabs((double)y[i] - (double)x[i]));
        }
    }
    return 0;
}

/* ----------------------------------------------------------------------------------- a panel ---
 */
static size_t bin_of(double low, double high, size_t n, double v)
{
    double t = (v - low) / (high - low) * (double)n;

    return t > 0 ? (size_t)SC_MIN(t, (double)(n - 1)) : 0;
}

static size_t spread_bin(int top, double d)
{
    int below = d != 0 ? top - 1 - sc_quarter(d) : SIDE; /* 0: in the uppermost quarter */

    if (below >= SIDE)
        return SIDE;
    size_t k = SIDE - (size_t)SC_MAX(below, 0); /* 1..SIDE */
    return d < 0 ? SIDE - k : SIDE + k;
}

static void look_format(const struct tracing *t, const struct sc_rectangle *at, size_t f,
                        const float *q, void *part)
{
    const struct sc_curves *c = t->out;
    const struct layout *l = &t->layout;
    struct format_part p = format_at(l, part, f);

    clear_extremes(&p, l->n_points);
    for (uint32_t row = 0; row < at->n_rows; row++) {
        double *tiles = p.tiles_dd + (size_t)(row / TILE) * (WIDTH / TILE);
        for (uint32_t col = 0; col < at->n_cols; col++) {
            size_t i = (size_t)row * at->n_cols + col;
            double x = (double)at->values[i], y = isfinite((double)q[i]) ? (double)q[i] : 0;
            if (!isfinite(x))
                continue;
            double d = y - x;
            size_t bin = bin_of(c->low, c->high, c->n_points, x);
            sc_curve_add(&p.g->sums, x, d);
            tiles[col / TILE] += d * d;
            p.y[bin] += y;
            p.least[bin] = fmin(p.least[bin], y);
            p.most[bin] = fmax(p.most[bin], y);
            p.spread[bin * SPREAD + spread_bin(c->error_top, d)]++;
            p.cells[bin_of(c->low, c->high, SC_CURVE_CELLS, y) * SC_CURVE_CELLS +
                    bin_of(c->low, c->high, SC_CURVE_CELLS, x)]++;
            p.g->error[sc_error_bin(c->curves[f].edge, d)]++;
            if (d != 0)
                p.g->magnitude[sc_magnitude_bin(c->error_top, d)]++;
        }
    }
}

static void look(void *ctx, const struct sc_rectangle *at, void *scratch, void *part)
{
    struct tracing *t = ctx;
    struct part p = part_at(&t->layout, part);
    const struct sc_curves *c = t->out;
    uint64_t first = (at->matrix * t->shape.rows + at->row) * t->shape.cols + at->col;
    struct sc_error why = {0};

    for (uint32_t row = 0; row < at->n_rows; row++)
        for (uint32_t col = 0; col < at->n_cols; col++) {
            double x = (double)at->values[(size_t)row * at->n_cols + col];
            if (!isfinite(x))
                continue;
            size_t tile = row / TILE * (WIDTH / TILE) + col / TILE;
            p.tiles_xx[tile] += x * x;
            p.tiles_n[tile]++;
            p.counts[bin_of(c->low, c->high, c->n_points, x)]++;
        }
    for (size_t f = 0; f < c->n && !atomic_load(&t->failed); f++) {
        int code = sc_values_read_runs(t->kept[f], first, t->shape.cols, at->n_rows, at->n_cols,
                                       scratch, &why);
        int none = 0;
        if (code == 0)
            look_format(t, at, f, scratch, part);
        else if (atomic_compare_exchange_strong(&t->failed, &none, code))
            t->why = why; /* the first to fail tells; it is read when all are done */
    }
}

static void merge_tiles(struct tracing *t, const struct sc_rectangle *at, void *base)
{
    const struct layout *l = &t->layout;
    struct part p = part_at(l, base);
    struct sc_curves *c = t->out;
    uint64_t cells = c->down * c->across;

    for (size_t i = 0; i < l->n_tiles; i++) {
        uint64_t down = at->matrix * t->down + at->row / TILE + i / (WIDTH / TILE);
        uint64_t across = at->col / TILE + i % (WIDTH / TILE);
        if (!p.tiles_n[i])
            continue;
        uint64_t cell = down / t->by * c->across + across / t->by;
        t->xx[cell] += p.tiles_xx[i];
        t->n[cell] += p.tiles_n[i];
        for (size_t f = 0; f < c->n; f++)
            t->dd[f * cells + cell] += format_at(l, base, f).tiles_dd[i];
    }
}

static void merge(void *ctx, const struct sc_rectangle *at, const void *part)
{
    struct tracing *t = ctx;
    const struct layout *l = &t->layout;
    void *from = (void *)(uintptr_t)part; /* the walkers over a part serve both directions */
    struct part all = part_at(l, t->total), one = part_at(l, from);

    for (size_t i = 0; i < l->n_points; i++)
        all.counts[i] += one.counts[i];
    for (size_t f = 0; f < l->n_formats; f++) {
        struct format_part a = format_at(l, t->total, f), b = format_at(l, from, f);
        sc_curve_merge(&a.g->sums, &b.g->sums);
        for (size_t i = 0; i < SC_CURVE_HISTOGRAM; i++) {
            a.g->magnitude[i] += b.g->magnitude[i];
            a.g->error[i] += b.g->error[i];
        }
        for (size_t i = 0; i < l->n_points; i++) {
            a.y[i] += b.y[i];
            a.least[i] = fmin(a.least[i], b.least[i]);
            a.most[i] = fmax(a.most[i], b.most[i]);
        }
        for (size_t i = 0; i < l->n_points * SPREAD; i++)
            a.spread[i] = (uint32_t)SC_MIN((uint64_t)a.spread[i] + b.spread[i], UINT32_MAX);
        for (size_t i = 0; i < (size_t)SC_CURVE_CELLS * SC_CURVE_CELLS; i++)
            a.cells[i] = (uint32_t)SC_MIN((uint64_t)a.cells[i] + b.cells[i], UINT32_MAX);
    }
    merge_tiles(t, at, from);
}

/* --------------------------------------------------------------------------------- results --- */
/* Where a bin of d begins on its side nearer to zero, and where it ends. */
static double spread_value(int top, size_t bin, double part)
{
    if (bin == SIDE)
        return 0;
    double k = bin > SIDE ? (double)(bin - SIDE) : (double)(SIDE - bin);
    double outer = exp2((top + k - SIDE) / 4), inner = outer / exp2(0.25);

    return bin > SIDE ? inner + part * (outer - inner) : -outer + part * (outer - inner);
}

static double spread_quantile(const uint32_t *count, int top, double q)
{
    uint64_t n = 0, below = 0;

    for (size_t i = 0; i < SPREAD; i++)
        n += count[i];
    double wanted = q * (double)n;
    for (size_t i = 0; i < SPREAD; i++) {
        if (count[i] && (double)(below + count[i]) >= wanted)
            return spread_value(top, i, (wanted - (double)below) / count[i]);
        below += count[i];
    }
    return NAN;
}

/* One end of the band at point i. Errors are counted coarsely, but no value became less than the
 * least or more than the most: where all became one value, the band is that value. */
static double band_end(const struct sc_curves *c, const struct format_part *p, size_t i, double q)
{
    double y = c->x[i] + spread_quantile(p->spread + i * SPREAD, c->error_top, q);

    return fmin(fmax(y, p->least[i]), p->most[i]);
}

static void finish_format(struct tracing *t, size_t f)
{
    struct sc_curves *c = t->out;
    struct sc_curve *one = &c->curves[f];
    struct format_part p = format_at(&t->layout, t->total, f);
    const uint64_t *counts = part_at(&t->layout, t->total).counts;
    uint64_t cells = c->down * c->across;

    sc_curve_finish(&p.g->sums, one);
    memcpy(one->magnitude, p.g->magnitude, sizeof one->magnitude);
    memcpy(one->error, p.g->error, sizeof one->error);
    memcpy(one->cells, p.cells, (size_t)SC_CURVE_CELLS * SC_CURVE_CELLS * sizeof *one->cells);
    for (size_t i = 0; i < c->n_points; i++) {
        bool any = counts[i] > 0;
        one->mean[i] = any ? p.y[i] / (double)counts[i] : NAN;
        one->low[i] = any ? band_end(c, &p, i, 0.05) : NAN;
        one->high[i] = any ? band_end(c, &p, i, 0.95) : NAN;
    }
    for (uint64_t i = 0; i < cells; i++) {
        double dd = t->dd[f * cells + i];
        one->tiles[i] = !t->n[i]       ? NAN
                        : t->xx[i] > 0 ? (float)sqrt(dd / t->xx[i])
                        : dd > 0       ? INFINITY
                                       : 0;
    }
}

static void finish(struct tracing *t)
{
    struct sc_curves *c = t->out;

    for (size_t f = 0; f < c->n; f++)
        finish_format(t, f);
    for (uint64_t i = 0; i < c->down * c->across; i++)
        c->rms[i] = t->n[i] ? (float)sqrt(t->xx[i] / (double)t->n[i]) : NAN;
}

/* ----------------------------------------------------------------------------------- running ---
 */
static int start(struct tracing *t, const struct sc_curves_measure *m, struct sc_error *e)
{
    struct sc_curves *c = t->out;
    const struct sc_matrices *s = &t->shape;

    t->down = (s->rows + TILE - 1) / TILE;
    uint64_t down = s->n * t->down, across = (s->cols + TILE - 1) / TILE;
    t->by = SC_MAX((SC_MAX(down, across) + SC_CURVE_TILES - 1) / SC_CURVE_TILES, 1);
    c->down = (down + t->by - 1) / t->by;
    c->across = (across + t->by - 1) / t->by;
    c->tile_rows = c->tile_cols = t->by * TILE;
    size_t cells = (size_t)(c->down * c->across);
    t->layout = layout_of(c->n_points, c->n);
    t->total = sc_calloc(1, part_size(&t->layout));
    t->xx = sc_calloc(SC_MAX(cells, 1), sizeof *t->xx);
    t->n = sc_calloc(SC_MAX(cells, 1), sizeof *t->n);
    t->dd = sc_calloc(SC_MAX(cells * c->n, 1), sizeof *t->dd);
    t->kept = sc_calloc(SC_MAX(c->n, 1), sizeof(struct sc_values *));
    c->rms = sc_calloc(SC_MAX(cells, 1), sizeof *c->rms);
    if (!t->total || !t->xx || !t->n || !t->dd || !t->kept || !c->rms)
        return sc_fail_memory(e);
    for (size_t f = 0; f < c->n; f++) {
        struct sc_curve *one = &c->curves[f];
        struct format_part all = format_at(&t->layout, t->total, f);
        clear_extremes(&all, t->layout.n_points);
        one->format = m->formats[f];
        one->kind = SC_CURVE_TENSOR;
        one->cells = sc_calloc((size_t)SC_CURVE_CELLS * SC_CURVE_CELLS, sizeof *one->cells);
        one->tiles = sc_calloc(SC_MAX(cells, 1), sizeof *one->tiles);
        if (!one->cells || !one->tiles)
            return sc_fail_memory(e);
        TRY(sc_values_open_rounded(t->view, &m->formats[f], NULL, NULL, m->p, &t->kept[f], e));
    }
    return 0;
}

static int trace(struct tracing *t, const struct sc_curves_measure *m, struct sc_error *e)
{
    TRY(start(t, m, e));
    TRY(find_extent(t, m, e));
    TRY(find_edges(t, e));
    struct sc_panels p = panels_of(t, m);
    p.part = part_size(&t->layout);
    p.scratch = (size_t)HEIGHT * WIDTH * sizeof(float);
    p.look = look;
    p.merge = merge;
    p.ctx = t;
    TRY(sc_panels_visit(&p, e));
    if (atomic_load(&t->failed)) {
        if (e)
            *e = t->why;
        return atomic_load(&t->failed);
    }
    finish(t);
    return 0;
}

int sc_curves_measure(struct sc_values *v, const struct sc_curves_measure *m, struct sc_curves *out,
                      struct sc_error *e)
{
    struct tracing t = {.out = out, .view = v, .shape = sc_quality_matrices(v)};

    TRY(sc_curves_start(out, m->points, m->n, e));
    int code = trace(&t, m, e);
    for (size_t f = 0; t.kept && f < m->n; f++)
        sc_values_close(t.kept[f]);
    free(t.kept);
    free(t.total);
    free(t.xx);
    free(t.n);
    free(t.dd);
    if (code < 0)
        sc_curves_clear(out);
    return code;
}
