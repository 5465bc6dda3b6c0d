/* SPDX-License-Identifier: Apache-2.0 */
/* similarity_gram: inner products of Gram matrices, exactly.
 *
 * No Gram matrix is ever whole. Of each tile (bi, bj) of the lower triangle all experts make their
 * part, then every pair adds the inner product of its two; tiles beside the diagonal count twice.
 * Weights lie as lines of the hidden axis, neurons side by side. What fits into memory is read
 * once; else a stripe of lines of all experts stays, and the lines before it are read again, a tile
 * high. A row of tiles is summed over bj, then rows are added, both in ascending order, so memory
 * does not change a bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/similarity_parts.h"
#include "kernel/dots.h"

enum { TILE = SC_SIMILAR_TILE, TILE_VALUES = TILE * TILE, TASKS = 128 };

struct tile {
    size_t row, col; /* in tiles */
};
struct grams {
    struct sc_similar *s;
    size_t tiles;   /* along the hidden axis */
    size_t at_once; /* tiles of a group */
    size_t stripe;  /* tiles of the stripe that stays */
    float **left;   /* (n) lines of the stripe, from tile `first` on */
    float **right;  /* (n) lines of one tile, NULL: the stripe has all */
    size_t first;
    struct tile group[TASKS];
    size_t n_group;
    bool in_stripe; /* the columns of the group, too */
    size_t column;  /* that `right` holds */
    float *t;       /* (at_once, n, TILE_VALUES) */
    double *row;    /* (stripe, n x n) */
};

static size_t lines_of(const struct grams *g, size_t tile)
{
    return (size_t)SC_MIN(g->s->hidden - (uint64_t)tile * TILE, (uint64_t)TILE);
}

/* ---------------------------------------------------------------------------------- sums --- */
void sc_similar_inner(const struct sc_similar_vectors *v, size_t first, enum sc_cpu level)
{
    const size_t rows = SC_MIN(v->n - first, (size_t)SC_SIMILAR_ROWS), cols = v->n - first;
    float y[SC_SIMILAR_ROWS * (SC_SIMILARITY_MOST_EXPERTS + 1)];
    const float *x = v->x + first * v->stride;

    for (size_t k = 0; k < v->length; k += SC_DOT_BLOCK) {
        const struct sc_dots d = {.w = x + k,
                                  .x = x + k,
                                  .y = y,
                                  .w_stride = v->stride,
                                  .x_stride = v->stride,
                                  .y_stride = cols,
                                  .n_w = cols,
                                  .n_x = rows,
                                  .n = SC_MIN(v->length - k, (size_t)SC_DOT_BLOCK)};
        sc_dots(&d, level);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = r; c < cols; c++)
                v->inner[(first + r) * v->n + first + c] += v->weight * (double)y[r * cols + c];
    }
}

/* One expert's part of one tile of the group. */
static int make_tile(void *ctx, size_t i, struct sc_error *e)
{
    const struct grams *g = ctx;
    const struct sc_similar *s = g->s;
    const struct tile *at = &g->group[i / s->n];
    const size_t expert = i % s->n, m = (size_t)s->w[expert].neurons;
    const size_t rows = lines_of(g, at->row), cols = lines_of(g, at->col);
    float *y = g->t + i * TILE_VALUES;

    (void)e;
    if (s->w[expert].state != SC_SIMILARITY_COMPARED) {
        memset(y, 0, rows * cols * sizeof *y);
        return 0;
    }
    const float *right =
        g->in_stripe ? g->left[expert] + (at->col - g->first) * TILE * m : g->right[expert];
    const struct sc_dots d = {.w = right,
                              .x = g->left[expert] + (at->row - g->first) * TILE * m,
                              .y = y,
                              .w_stride = m,
                              .x_stride = m,
                              .y_stride = cols,
                              .n_w = cols,
                              .n_x = rows,
                              .n = m};
    sc_dots(&d, s->level);
    sc_similar_count(s, (uint64_t)rows * cols * m);
    return 0;
}

static int add_tile(void *ctx, size_t i, struct sc_error *e)
{
    const struct grams *g = ctx;
    const size_t n = g->s->n, blocks = (n + SC_SIMILAR_ROWS - 1) / SC_SIMILAR_ROWS;
    const struct tile *at = &g->group[i / blocks];
    const size_t length = lines_of(g, at->row) * lines_of(g, at->col);
    const struct sc_similar_vectors v = {.x = g->t + i / blocks * n * TILE_VALUES,
                                         .n = n,
                                         .length = length,
                                         .stride = TILE_VALUES,
                                         .weight = at->row == at->col ? 1 : 2,
                                         .inner = g->row + (at->row - g->first) * n * n};
    const size_t first = i % blocks * SC_SIMILAR_ROWS;

    (void)e;
    sc_similar_inner(&v, first, g->s->level);
    sc_similar_count(g->s,
                     (uint64_t)SC_MIN(n - first, (size_t)SC_SIMILAR_ROWS) * (n - first) * length);
    return 0;
}

static int work_off(struct grams *g, struct sc_error *e)
{
    const size_t n = g->s->n, blocks = (n + SC_SIMILAR_ROWS - 1) / SC_SIMILAR_ROWS;

    TRY(sc_similar_for(g->s, g->n_group * n, make_tile, g, e));
    TRY(sc_similar_for(g->s, g->n_group * blocks, add_tile, g, e));
    g->n_group = 0;
    return 0;
}

/* ------------------------------------------------------------------------------- reading --- */
static int measure_one(void *ctx, size_t i, struct sc_error *e)
{
    const struct grams *g = ctx;
    struct sc_similar_weight *w = &g->s->w[i];
    const bool whole = g->stripe == g->tiles;

    if (w->state != SC_SIMILARITY_COMPARED)
        return 0;
    int code = sc_similar_measure(w, false, whole ? g->left[i] : NULL, g->s->o->cancel, e);
    code = sc_similar_settle(w, code, e);
    if (code == 0 && whole && w->state == SC_SIMILARITY_COMPARED)
        sc_similar_scale(g->left[i], (size_t)(w->neurons * w->hidden), w->shift);
    return code;
}

static int read_stripe(void *ctx, size_t i, struct sc_error *e)
{
    const struct grams *g = ctx;
    struct sc_similar_weight *w = &g->s->w[i];
    const uint64_t from = (uint64_t)g->first * TILE;

    if (w->state != SC_SIMILARITY_COMPARED)
        return 0;
    const uint64_t n = SC_MIN((uint64_t)g->stripe * TILE, w->hidden - from);
    return sc_similar_settle(w, sc_similar_read(w, false, from, n, g->left[i], e), e);
}

static int read_column(void *ctx, size_t i, struct sc_error *e)
{
    const struct grams *g = ctx;
    struct sc_similar_weight *w = &g->s->w[i];

    if (w->state != SC_SIMILARITY_COMPARED)
        return 0;
    const int code = sc_similar_read(w, false, (uint64_t)g->column * TILE, lines_of(g, g->column),
                                     g->right[i], e);
    return sc_similar_settle(w, code, e);
}

/* ------------------------------------------------------------------------------- all of it --- */
static int run_stripe(struct grams *g, struct sc_error *e)
{
    struct sc_similar *s = g->s;
    const size_t end = SC_MIN(g->first + g->stripe, g->tiles), square = s->n * s->n;
    const bool whole = g->stripe == g->tiles;

    memset(g->row, 0, g->stripe * square * sizeof *g->row);
    if (!whole)
        TRY(sc_similar_for(s, s->n, read_stripe, g, e));
    for (size_t col = 0; col < end; col++) {
        g->in_stripe = col >= g->first;
        g->column = col;
        if (!g->in_stripe)
            TRY(sc_similar_for(s, s->n, read_column, g, e));
        for (size_t row = SC_MAX(g->first, col); row < end; row++) {
            g->group[g->n_group++] = (struct tile){row, col};
            if (g->n_group == g->at_once || row + 1 == end)
                TRY(work_off(g, e));
        }
    }
    for (size_t r = 0; r < end - g->first; r++)
        for (size_t i = 0; i < square; i++)
            s->inner[i] += g->row[r * square + i];
    return 0;
}

static uint64_t all_neurons(const struct sc_similar *s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s->n; i++)
        if (s->w[i].state == SC_SIMILARITY_COMPARED)
            sum += s->w[i].neurons;
    return sum;
}

/* Bytes with a stripe of so many tiles. */
static double memory_of(const struct grams *g, size_t stripe)
{
    const double n = (double)g->s->n,
                 lines = stripe == g->tiles ? (double)g->s->hidden : TILE * (double)(stripe + 1);

    return 4 * lines * (double)all_neurons(g->s) + 8 * (double)(stripe + 1) * n * n +
           4 * (double)g->at_once * n * TILE_VALUES;
}

static int make_room(struct grams *g, struct sc_error *e)
{
    const struct sc_similar *s = g->s;
    const double budget = .9 * (double)s->memory;

    g->at_once = SC_MAX(TASKS / s->n, (size_t)1);
    g->stripe = g->tiles;
    if (memory_of(g, g->tiles) > budget)
        for (g->stripe = g->tiles - 1; g->stripe > 1 && memory_of(g, g->stripe) > budget;)
            g->stripe--;
    if (g->stripe == 0 || memory_of(g, g->stripe) > budget)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "comparing %zu experts of %llu neurons takes %.0f MB of memory, but %.0f "
                       "are allowed (--memory)",
                       s->n, (unsigned long long)s->w[0].neurons, memory_of(g, 1) / .9e6,
                       (double)s->memory / 1e6);
    const size_t high = g->stripe == g->tiles ? (size_t)s->hidden : g->stripe * TILE;
    g->left = sc_calloc(2 * s->n, sizeof *g->left);
    g->t = sc_alloc(g->at_once * s->n * TILE_VALUES * sizeof *g->t);
    g->row = sc_alloc(g->stripe * s->n * s->n * sizeof *g->row);
    if (!g->left || !g->t || !g->row)
        return sc_fail_memory(e);
    g->right = g->left + s->n;
    for (size_t i = 0; i < s->n; i++) {
        const size_t m = s->w[i].state == SC_SIMILARITY_COMPARED ? (size_t)s->w[i].neurons : 0;
        g->left[i] = sc_alloc(high * m * sizeof **g->left);
        g->right[i] = sc_alloc((g->stripe == g->tiles ? 0 : TILE) * m * sizeof **g->right);
        if (!g->left[i] || !g->right[i])
            return sc_fail_memory(e);
    }
    return 0;
}

int sc_similar_grams(struct sc_similar *s, struct sc_error *e)
{
    struct grams g = {.s = s, .tiles = (size_t)((s->hidden + TILE - 1) / TILE)};
    int code = make_room(&g, e);

    if (code == 0)
        code = sc_similar_for(s, s->n, measure_one, &g, e);
    for (; g.first < g.tiles && code == 0; g.first += g.stripe)
        code = run_stripe(&g, e);
    for (size_t i = 0; g.left && i < 2 * s->n; i++)
        free(g.left[i]);
    free(g.left);
    free(g.t);
    free(g.row);
    return code;
}

/* -------------------------------------------------------------------------- pair by pair --- */
struct pairs {
    struct sc_similar *s;
    float **x; /* (n) lines of neurons */
};

static int measure_neurons(void *ctx, size_t i, struct sc_error *e)
{
    const struct pairs *p = ctx;
    struct sc_similar_weight *w = &p->s->w[i];

    if (w->state != SC_SIMILARITY_COMPARED)
        return 0;
    p->x[i] = sc_alloc((size_t)(w->neurons * w->hidden) * sizeof **p->x);
    if (!p->x[i])
        return sc_fail_memory(e);
    int code = sc_similar_measure(w, true, p->x[i], p->s->o->cancel, e);
    code = sc_similar_settle(w, code, e);
    if (code == 0 && w->state == SC_SIMILARITY_COMPARED)
        sc_similar_scale(p->x[i], (size_t)(w->neurons * w->hidden), w->shift);
    return code;
}

/* |W_a W_b^T|^2, in tiles. */
static int multiply(void *ctx, size_t i, struct sc_error *e)
{
    const struct pairs *p = ctx;
    struct sc_similar *s = p->s;
    const size_t a = i / s->n, b = i % s->n, h = (size_t)s->hidden;
    float y[TILE_VALUES];
    double sum = 0;

    (void)e;
    if (a > b || s->w[a].state != SC_SIMILARITY_COMPARED || s->w[b].state != SC_SIMILARITY_COMPARED)
        return 0;
    const size_t n_a = (size_t)s->w[a].neurons, n_b = (size_t)s->w[b].neurons;
    for (size_t r = 0; r < n_a && !sc_similar_stop(s); r += TILE)
        for (size_t c = 0; c < n_b; c += TILE) {
            const size_t rows = SC_MIN(n_a - r, (size_t)TILE), cols = SC_MIN(n_b - c, (size_t)TILE);
            const struct sc_dots d = {.w = p->x[b] + c * h,
                                      .x = p->x[a] + r * h,
                                      .y = y,
                                      .w_stride = h,
                                      .x_stride = h,
                                      .y_stride = cols,
                                      .n_w = cols,
                                      .n_x = rows,
                                      .n = h};
            struct sc_sums sums;
            sc_dots(&d, s->level);
            sc_sums(y, rows * cols, s->level, &sums);
            sum += sums.square;
        }
    s->inner[a * s->n + b] = sum;
    sc_similar_count(s, (uint64_t)n_a * n_b * h);
    return 0;
}

int sc_similar_pairs(struct sc_similar *s, struct sc_error *e)
{
    struct pairs p = {.s = s, .x = sc_calloc(s->n, sizeof *p.x)};
    int code = p.x ? sc_similar_for(s, s->n, measure_neurons, &p, e) : sc_fail_memory(e);

    if (code == 0)
        code = sc_similar_for(s, s->n * s->n, multiply, &p, e);
    for (size_t i = 0; p.x && i < s->n; i++)
        free(p.x[i]);
    free(p.x);
    return code;
}

bool sc_similar_pairs_pay(const struct sc_similar *s)
{
    enum { MEMORY = 1 << 26 }; /* what every budget has */

    return 4 * (double)s->hidden * (double)all_neurons(s) < MEMORY &&
           sc_similar_cost(s, SC_SIMILARITY_PAIRS, 0) < sc_similar_cost(s, SC_SIMILARITY_GRAMS, 0);
}

/* --------------------------------------------------------------------------------- costs --- */
static uint64_t to_u64(double x)
{
    return x < 1.8e19 ? (uint64_t)x : UINT64_MAX;
}

uint64_t sc_similar_cost(const struct sc_similar *s, enum sc_similarity_method how, uint64_t with)
{
    const double n = (double)s->n, h = (double)s->hidden, m = (double)all_neurons(s);
    double squares = 0, cost = 0;

    switch (how) {
    case SC_SIMILARITY_GRAMS:
        cost = h * (h + TILE) / 2 * (m + n * (n + SC_SIMILAR_ROWS) / 2);
        break;
    case SC_SIMILARITY_PAIRS:
        for (size_t i = 0; i < s->n; i++)
            if (s->w[i].state == SC_SIMILARITY_COMPARED)
                squares += (double)s->w[i].neurons * (double)s->w[i].neurons;
        cost = h * (m * m + squares) / 2;
        break;
    case SC_SIMILARITY_SKETCH:
        cost = (double)with * h * (2 * m + n * (n + SC_SIMILAR_ROWS) / 2);
        break;
    case SC_SIMILARITY_ORIGINAL:
        cost = (double)with * m * h + (double)with * (double)with * m * (n + 1) / 2;
        break;
    case SC_SIMILARITY_NONE:
    case SC_SIMILARITY_COSINES:
    case SC_SIMILARITY_MEAN:
        break;
    }
    return to_u64(cost);
}
