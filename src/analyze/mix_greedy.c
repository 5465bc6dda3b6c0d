/* SPDX-License-Identifier: Apache-2.0 */
/* mix_greedy: cell by cell in a random order, as quantization-plots does (`mixed-tile-greedy`).
 *
 * The sums of the whole follow every move, so one costs the same in a table of any size. Of the
 * largest error only this is needed: how many cells are above the threshold. */
#include <stdlib.h>
#include <string.h>

#include "analyze/mix_set.h"

struct greedy {
    const struct sc_cells *c;
    const struct sc_mix_goal *goal;
    struct sc_mix_sums sums;
    uint64_t above; /* cells whose largest error is too large */
    int8_t *format;
    uint32_t *loose; /* (n_loose) cells that are not fixed */
    size_t n_loose;
};

static bool is_above(const struct greedy *g, const struct sc_cell_error *error)
{
    return !(error->most <= g->goal->threshold);
}

static bool is_good(const struct greedy *g)
{
    if (g->goal->metric == SC_MIX_ATOL)
        return g->above == 0;
    return sc_mix_good(g->goal, sc_mix_sums_value(&g->sums, g->goal->metric));
}

static void move(struct greedy *g, const struct sc_cell_error *from, const struct sc_cell_error *to)
{
    sc_mix_sums_move(&g->sums, from, to);
    g->above += is_above(g, to);
    g->above -= is_above(g, from);
}

/* Whether the cell stays loose. */
static bool visit(struct greedy *g, uint32_t cell, size_t f)
{
    const struct sc_cell_error *from = sc_cell_error(g->c, cell, (size_t)g->format[cell]);
    const struct sc_cell_error *to = sc_cell_error(g->c, cell, f);

    if ((size_t)g->format[cell] == f)
        return is_good(g);
    const struct sc_mix_sums before = g->sums;
    move(g, from, to);
    if (is_good(g)) {
        g->format[cell] = (int8_t)f;
        return true;
    }
    move(g, to, from);
    g->sums = before;
    return false;
}

/* R. A. Fisher and F. Yates; numbers by index, the next one at *drawn. */
static void shuffle(uint32_t *v, size_t n, uint64_t seed, uint64_t *drawn)
{
    for (size_t i = n; i > 1; i--) {
        const size_t k = (size_t)sc_random_below(seed, (*drawn)++, i);
        const uint32_t t = v[i - 1];
        v[i - 1] = v[k];
        v[k] = t;
    }
}

static void begin(struct greedy *g)
{
    for (uint64_t i = 0; i < g->c->n; i++) {
        const struct sc_cell_values *v = &g->c->values[i];
        g->format[i] = (int8_t)(v->n ? 0 : sc_mix_cheapest(g->c, v->part));
        if (v->n == 0)
            continue; /* nothing to decide */
        const struct sc_cell_error *error = sc_cell_error(g->c, i, 0);
        sc_mix_sums_add(&g->sums, v, error);
        g->above += is_above(g, error);
        g->loose[g->n_loose++] = (uint32_t)i;
    }
}

int sc_mix_greedy(const struct sc_cells *c, const struct sc_mix_goal *g, uint64_t seed,
                  struct sc_mix *out, struct sc_error *e)
{
    struct greedy job = {.c = c, .goal = g};
    uint64_t drawn = 0;

    if (c->n > UINT32_MAX)
        return sc_fail(e, SCRUPLE_ELIMIT, "greedy: %llu cells; it knows 2^32 - 1 of them",
                       (unsigned long long)c->n);
    TRY(sc_mix_make(c, out, e));
    job.format = out->format;
    job.loose = sc_alloc((size_t)c->n * sizeof *job.loose);
    if (!job.loose) {
        sc_mix_clear(out);
        return sc_fail_memory(e);
    }
    begin(&job);
    for (size_t f = 0; f < c->n_formats; f++) {
        size_t kept = 0;
        shuffle(job.loose, job.n_loose, seed, &drawn);
        for (size_t i = 0; i < job.n_loose; i++)
            if (visit(&job, job.loose[i], f))
                job.loose[kept++] = job.loose[i];
        job.n_loose = kept;
    }
    free(job.loose);
    sc_mix_sum(c, out->format, &out->totals);
    out->good = sc_mix_good(g, sc_mix_value(&out->totals, g->metric));
    return 0;
}
