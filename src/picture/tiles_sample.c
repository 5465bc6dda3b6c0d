/* SPDX-License-Identifier: Apache-2.0 */
/* tiles_sample: pixels before the pyramid is there: single elements out of many.
 *
 * A place is sampled on grids of 32, 16, ... 1 pixels, each finer than the one before, until the
 * time of the tile is over; a pixel without a sample has that of its neighbour. So a tile comes in
 * time from a cold disk, too. Places of few pixels, of which a tile may have thousands, are sampled
 * once and remembered. */
#include "picture/tiles_fill.h"

#include <stdlib.h>
#include <time.h>

enum { COARSEST = 32, DOT_ROWS = 8, DOT_COLS = 16, POLL_US = 500 };

uint64_t sc_microseconds(void)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool sc_tile_is_here(struct sc_fill *f, const struct sc_shown *sh)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    const uint64_t row = ay->from[ay->first], col = ax->from[ax->first];
    const size_t n_rows = (size_t)(ay->to[ay->end - 1] - row);
    const uint64_t n_cols = ax->to[ax->end - 1] - col;
    const struct timespec nap = {0, POLL_US * 1000};
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

/* One grid; false in *done: the time was over before its end. */
static int sample_grid(struct sc_fill *f, const struct sc_shown *sh, unsigned step, bool *done,
                       struct sc_error *e)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    float row[2 * SC_SCENE_TILE];
    const size_t n = (ax->end - ax->first - 1) / step + 1;
    *done = true;
    for (unsigned j = ay->first; j < ay->end; j += step) {
        if (step < COARSEST && sc_microseconds() >= f->until) {
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

int sc_tile_sample(struct sc_fill *f, struct sc_shown *sh, struct sc_error *e)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    bool more = true;
    f->flags |= SC_TILE_SAMPLED;
    if (!sc_values_are_near(sh->view)) { /* every sample would be a round trip */
        sc_tile_mark(f, ax, ay, SC_IS_WAITING);
        return 0;
    }
    for (unsigned step = COARSEST; step > 0 && more; step /= 2)
        TRY(sample_grid(f, sh, step, &more, e));
    struct sc_cell_sum *sums = sc_tile_sums(f);
    for (unsigned j = ay->first; j < ay->end; j++)
        for (unsigned i = ax->first; i < ax->end; i++)
            sc_cell_take(&sums[j * SC_SCENE_TILE + i], f->s->samples[j * SC_SCENE_TILE + i]);
    return 0;
}

/* ------------------------------------------------------------------------------------- dots --- */

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
    *bits = 0;
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
        memcpy(bits, &cell, sizeof cell);
    }
    sc_pyramids_release(f->p, sh->tensor, sh->view);
    return code;
}

int sc_tile_dot(struct sc_fill *f, struct sc_shown *sh, struct sc_error *e)
{
    const struct sc_cell_grid *g = &sh->entry->grid;
    _Atomic uint64_t *known = &f->p->quick[sh->entry->first_top + sh->slice];
    uint64_t bits = *known;
    struct sc_cell_stats cell;
    struct sc_cell_sum sum;
    if (bits == 0 && (sc_microseconds() < f->until || f->sampled++ == 0)) {
        TRY(make_dot(f, sh, &bits, e));
        *known = bits;
    }
    if (bits == 0) {
        sc_tile_mark(f, &sh->x, &sh->y, SC_IS_WAITING);
        return 0;
    }
    f->flags |= SC_TILE_SAMPLED;
    memcpy(&cell, &bits, sizeof cell);
    const unsigned n_pixels = (sh->x.end - sh->x.first) * (sh->y.end - sh->y.first);
    sc_cell_unpack(&cell, g->rows * g->cols / n_pixels, &sum);
    struct sc_cell_sum *sums = sc_tile_sums(f);
    for (unsigned j = sh->y.first; j < sh->y.end; j++)
        for (unsigned i = sh->x.first; i < sh->x.end; i++)
            sc_cell_join(&sums[j * SC_SCENE_TILE + i], &sum);
    return 0;
}
