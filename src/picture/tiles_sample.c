/* SPDX-License-Identifier: Apache-2.0 */
/* tiles_sample: pixels before the pyramid is there: single elements out of many.
 *
 * First a little is read of each place of the tile, once: its mean and size are remembered, and it
 * is drawn in one colour. Then large places are sampled on grids of 32, 16, ... 1 pixels, each
 * finer than the one before, all of them on one before any on the next, until the time of the tile
 * is over; a pixel without a sample has that of its neighbour. So a tile comes in time from a cold
 * disk, too, and the next time goes on where this one ended. */
#include "picture/tiles_fill.h"

#include <stdlib.h>
#include <time.h>

enum {
    COARSEST = 32,
    LEAST_SAMPLES = 16, /* of a grid, to be better than one colour */
    LARGE = 256,        /* pixels of places that come first */
    DOT_ROWS = 2,
    DOT_COLS = 64,
    POLL_US = 500
};

bool sc_tile_is_here(struct sc_fill *f, const struct sc_shown *sh)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    const uint64_t row = ay->from[ay->first], col = ax->from[ax->first];
    const size_t n_rows = (size_t)(ay->to[ay->end - 1] - row);
    const uint64_t n_cols = ax->to[ax->end - 1] - col;
    const struct timespec nap = {0, POLL_US * 1000L};
    for (bool ask = true;; ask = false) {
        if (sc_values_are_here(sh->view, (sh->first + row * sh->cols + col) * sh->each,
                               sh->cols * sh->each, n_rows, n_cols * sh->each, ask))
            return true;
        if (sc_microseconds() >= f->patient_until)
            return false;
        nanosleep(&nap, NULL);
    }
}

static uint64_t middle(const struct sc_axis *a, unsigned pixel)
{
    return a->from[pixel] + (a->to[pixel] - a->from[pixel]) / 2;
}

/* Samples of one row, every `step` pixels, into `out`: n of them. */
static int sample_row(const struct sc_shown *sh, uint64_t row, unsigned step, size_t n, float *out,
                      struct sc_error *e)
{
    const struct sc_axis *ax = &sh->x;
    const uint64_t start = sh->first + row * sh->cols;
    if (ax->log2 <= 0) { /* neighbours, or the same again */
        float some[2 * (SC_SCENE_TILE + 2)];
        const uint64_t left = ax->from[ax->first];
        TRY(sc_read_elements(sh->view, sh->each, start + left, sh->cols, 1,
                             ax->to[ax->end - 1] - left, some, e));
        for (size_t k = 0; k < n; k++)
            out[k] = some[ax->from[ax->first + k * step] - left];
        return 0;
    }
    /* The pixels at the edges may have fewer elements. */
    const uint64_t stride = (uint64_t)step << (unsigned)ax->log2;
    const uint64_t first = middle(ax, n > 1 ? ax->first + step : ax->first);
    TRY(sc_read_elements(sh->view, sh->each, start + middle(ax, ax->first), 1, 1, 1, out, e));
    if (n < 2)
        return 0;
    const uint64_t last = middle(ax, (unsigned)(ax->first + (n - 1) * step));
    if (n > 2)
        TRY(sc_read_elements(sh->view, sh->each, start + first, stride, n - 2, 1, out + 1, e));
    return sc_read_elements(sh->view, sh->each, start + last, 1, 1, 1, out + n - 1, e);
}

/* One grid; false: the time was over before its end. What it has replaces what a coarser one had.
 */
static int sample_grid(struct sc_fill *f, const struct sc_shown *sh, unsigned step, bool *done,
                       struct sc_error *e)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    float row[2 * SC_SCENE_TILE];
    const size_t n = (ax->end - ax->first - 1) / step + 1;
    *done = true;
    for (unsigned j = ay->first; j < ay->end; j += step) {
        if (sc_microseconds() >= f->until) {
            *done = false;
            return 0;
        }
        TRY(sample_row(sh, middle(ay, j), step, n, row, e));
        for (unsigned jj = j; jj < SC_MIN(j + step, ay->end); jj++)
            for (unsigned i = ax->first; i < ax->end; i++)
                f->s->samples[jj * SC_SCENE_TILE + i] = row[(i - ax->first) / step];
    }
    return 0;
}

/* ------------------------------------------------------------------------- a little of each --- */

/* A few runs of a few elements, spread over the slice. */
static int make_dot(struct sc_fill *f, struct sc_shown *sh, uint64_t *bits, struct sc_error *e)
{
    const struct sc_cell_grid *g = &sh->entry->grid;
    const uint64_t n_rows = SC_MIN(g->rows, (uint64_t)DOT_ROWS);
    const uint64_t n_cols = SC_MIN(g->cols, (uint64_t)DOT_COLS);
    float some[2 * DOT_COLS];
    struct sc_cell_sum sum;
    struct sc_cell_stats cell;
    TRY(sc_pyramids_view(f->p, sh->tensor, &sh->view, e));
    sh->each = sc_values_each(sh->view, g);
    sc_cells_clear(&sum, 1);
    int code = 0;
    if (sc_values_are_near(sh->view)) {
        for (uint64_t k = 0; k < n_rows && code == 0; k++) {
            const uint64_t row = (2 * k + 1) * g->rows / (2 * n_rows);
            const uint64_t col = (g->cols - n_cols) * (2 * k + 1) / (2 * n_rows);
            code = sc_read_elements(sh->view, sh->each, sh->first + row * g->cols + col, g->cols, 1,
                                    n_cols, some, e);
            if (code == 0)
                sc_cells_add(some, n_cols, 1, n_cols, DOT_COLS, 0, f->level, &sum);
        }
        sc_cell_stats(&sum, &cell);
        *bits = sc_cell_to_bits(&cell);
    }
    sc_pyramids_release(f->p, sh->tensor, sh->view);
    return code;
}

static _Atomic uint64_t *dot_of(const struct sc_fill *f, const struct sc_shown *sh)
{
    return &f->p->quick[sh->entry->first_top + sh->slice];
}

static int look_at_dot(struct sc_fill *f, struct sc_shown *sh, struct sc_error *e)
{
    uint64_t bits = 0;
    TRY(make_dot(f, sh, &bits, e));
    if (bits)
        *dot_of(f, sh) = bits;
    return 0;
}

static void paint_dot(struct sc_fill *f, const struct sc_shown *sh, uint64_t bits)
{
    const struct sc_cell_grid *g = &sh->entry->grid;
    const struct sc_cell_stats cell = sc_cell_from_bits(bits);
    struct sc_cell_sum sum;
    const uint64_t n_pixels = (uint64_t)(sh->x.end - sh->x.first) * (sh->y.end - sh->y.first);
    sc_cell_unpack(&cell, SC_MAX(g->rows * g->cols / n_pixels, UINT64_C(2)), &sum);
    struct sc_cell_sum *sums = sc_tile_sums(f);
    for (unsigned j = sh->y.first; j < sh->y.end; j++)
        for (unsigned i = sh->x.first; i < sh->x.end; i++)
            sc_cell_join(&sums[j * SC_SCENE_TILE + i], &sum);
}

static void paint_samples(struct sc_fill *f, const struct sc_shown *sh)
{
    struct sc_cell_sum *sums = sc_tile_sums(f);
    for (unsigned j = sh->y.first; j < sh->y.end; j++)
        for (unsigned i = sh->x.first; i < sh->x.end; i++)
            sc_cell_take(&sums[j * SC_SCENE_TILE + i], f->s->samples[j * SC_SCENE_TILE + i]);
}

/* ------------------------------------------------------------------------------------ order --- */

int sc_tile_later(struct sc_fill *f, const struct sc_place *pl, const struct sc_shown *sh,
                  struct sc_error *e)
{
    struct sc_scratch *s = f->s;
    TRY(sc_grow(&s->later, &s->later_cap, s->n_later + 1, sizeof *s->later, e));
    const uint32_t pixels = (sh->x.end - sh->x.first) * (sh->y.end - sh->y.first);
    s->later[s->n_later++] = (struct sc_later){pl, pixels, 0};
    return 0;
}

/* Which one comes k-th: large ones as they are, the others so that any first part of them is spread
 * over the tile. */
static size_t stride_of(size_t n)
{
    for (size_t stride = n * 5 / 8 | 1;; stride += 2) {
        size_t a = n, b = stride;
        while (b > 0) {
            const size_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a <= 1)
            return stride;
    }
}

typedef int step_fn(struct sc_fill *f, struct sc_later *l, struct sc_shown *sh, unsigned step,
                    struct sc_error *e);

static int one_step(struct sc_fill *f, struct sc_later *l, step_fn *fn, unsigned step)
{
    struct sc_shown *sh = &f->s->shown;
    struct sc_error e = {0};
    if (!l->place || !sc_tile_shown(f, l->place, sh) || fn(f, l, sh, step, &e) == 0)
        return 0;
    l->place = NULL;
    return sc_tile_failed(f, sh, &e);
}

/* Until the time is over. */
static int each_later(struct sc_fill *f, step_fn *fn, unsigned step)
{
    const struct sc_scratch *s = f->s;
    const size_t n = s->n_later, stride = stride_of(n);
    for (size_t k = 0, at = 0; k < 2 * n; k++, at = (at + stride) % n) {
        struct sc_later *l = &s->later[k < n ? k : at];
        if ((k < n) != (l->pixels >= LARGE))
            continue;
        if (sc_microseconds() >= f->until)
            return 0;
        TRY(one_step(f, l, fn, step));
    }
    return 0;
}

static int dot_step(struct sc_fill *f, struct sc_later *l, struct sc_shown *sh, unsigned step,
                    struct sc_error *e)
{
    (void)l, (void)step;
    if (*dot_of(f, sh))
        return 0;
    if (!sc_pyramids_is_far(f->p, sh->tensor))
        return look_at_dot(f, sh, e);
    sh->entry->asked = ++f->p->clock; /* somebody else fetches it */
    return 0;
}

static int grid_step(struct sc_fill *f, struct sc_later *l, struct sc_shown *sh, unsigned step,
                     struct sc_error *e)
{
    const unsigned nx = (sh->x.end - sh->x.first - 1) / step + 1;
    const unsigned ny = (sh->y.end - sh->y.first - 1) / step + 1;
    bool done = false;
    if (nx * ny < LEAST_SAMPLES || sc_pyramids_is_far(f->p, sh->tensor))
        return 0;
    TRY(sc_pyramids_view(f->p, sh->tensor, &sh->view, e));
    sh->each = sc_values_each(sh->view, &sh->entry->grid);
    const int code = sc_values_are_near(sh->view) ? sample_grid(f, sh, step, &done, e) : 0;
    sc_pyramids_release(f->p, sh->tensor, sh->view);
    if (code == 0 && done)
        l->step = (uint8_t)step;
    return code;
}

static int paint_step(struct sc_fill *f, struct sc_later *l, struct sc_shown *sh, unsigned step,
                      struct sc_error *e)
{
    const uint64_t bits = *dot_of(f, sh);
    (void)step, (void)e;
    f->flags |= SC_TILE_SAMPLED;
    if (l->step)
        paint_samples(f, sh);
    else if (bits)
        paint_dot(f, sh, bits);
    else
        sc_tile_mark(f, &sh->x, &sh->y, SC_IS_WAITING);
    return 0;
}

void sc_tile_sample_all(struct sc_fill *f)
{
    struct sc_scratch *s = f->s;
    if (s->n_later == 0)
        return;
    /* Something is done each time, or it would never end. */
    f->until = SC_MAX(f->until, sc_microseconds() + SC_SAMPLE_MICROSECONDS / 4);
    int code = each_later(f, dot_step, 0);
    for (unsigned step = COARSEST; step > 0 && code == 0; step /= 2)
        code = each_later(f, grid_step, step);
    for (size_t k = 0; k < s->n_later && code == 0; k++)
        code = one_step(f, &s->later[k], paint_step, 0);
}
