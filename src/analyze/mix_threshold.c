/* SPDX-License-Identifier: Apache-2.0 */
/* mix_threshold: each cell by itself, and assignments at random. */
#include <stdlib.h>
#include <string.h>

#include "analyze/mix_set.h"

/* ------------------------------------------------------------------------------- threshold --- */
struct job {
    struct sc_mix_goal goal; /* of a cell */
    bool squared;            /* pcc: by the squared error, which sees offsets */
    int8_t *format;
};

/* A pcc does not see that a whole cell moves, the whole does: sum d^2 / (2 sum (x - mean)^2) is
 * 1 - pcc where nothing moves, and more where something does. */
static bool is_good(const struct job *job, const struct sc_cell_values *v,
                    const struct sc_cell_error *error)
{
    if (!job->squared)
        return sc_mix_good(&job->goal, sc_mix_cell_value(v, error, job->goal.metric));
    return error->dd <= 2 * (1 - job->goal.threshold) * sc_mix_variance(v->x, v->xx, v->n);
}

static void choose(void *ctx, const struct sc_mix_run *r, void *partial)
{
    const struct job *job = ctx;
    const struct sc_cells *c = r->c;

    (void)partial;
    for (uint64_t i = 0; i < r->n; i++) {
        const uint64_t cell = r->first + i;
        const struct sc_cell_values *v = &c->values[cell];
        const uint8_t *order = r->order[v->part];
        size_t k = 0;
        for (; v->n && k + 1 < c->n_formats; k++) {
            if (is_good(job, v, sc_cell_error(c, cell, order[k])))
                break;
        }
        job->format[r->at + i] = (int8_t)order[k];
    }
}

/* The goal with its distance from no error times `factor`. */
static struct sc_mix_goal tightened(const struct sc_mix_goal *g, double factor)
{
    struct sc_mix_goal t = *g;
    switch (g->metric) {
    case SC_MIX_PCC:
        t.threshold = 1 - (1 - g->threshold) * factor;
        break;
    case SC_MIX_SQNR:
        t.threshold -= 10 * log10(factor);
        break;
    case SC_MIX_MAE:
    case SC_MIX_ATOL:
    case SC_MIX_MSE:
        t.threshold *= factor;
        break;
    case SC_MIX_METRICS:
        break;
    }
    return t;
}

static int attempt(struct sc_mix_search *x, bool squared, double factor, struct sc_error *e)
{
    struct job job = {factor < 1 ? tightened(x->goal, factor) : *x->goal, squared, x->now};
    const struct sc_mix_pass pass = {0, choose, NULL, &job};
    TRY(sc_mix_set_pass(x->s, &pass, e));
    return sc_mix_search_try(x, e);
}

/* From the goal itself to ever closer ones, until the whole is good, then back by halves. */
static int tighten(struct sc_mix_search *x, bool squared, int halvings, struct sc_error *e)
{
    enum { STEPS = 40 };      /* to 4^-40 */
    double good = 0, bad = 0; /* logarithms of factors, base 1/4 */

    TRY(attempt(x, squared, 1, e));
    if (halvings < 0 || x->now_good)
        return 0;
    while (good < STEPS && !x->now_good) {
        bad = good;
        good += 1;
        TRY(attempt(x, squared, pow(0.25, good), e));
    }
    if (!x->now_good)
        return attempt(x, squared, 0, e);
    for (int k = 0; k < halvings; k++) {
        const double middle = (good + bad) / 2;
        TRY(attempt(x, squared, pow(0.25, middle), e));
        if (x->now_good)
            good = middle;
        else
            bad = middle;
    }
    return 0;
}

int sc_mix_search_threshold(struct sc_mix_search *x, int halvings, struct sc_error *e)
{
    const bool before = x->best_good;

    TRY(tighten(x, false, halvings, e));
    if (halvings < 0 || x->metric != SC_MIX_PCC || (x->best_good && !before) || x->now_good)
        return 0;
    return tighten(x, true, halvings, e);
}

int sc_mix_threshold(const struct sc_cells *c, const struct sc_mix_goal *g, bool hold,
                     struct sc_mix *out, struct sc_error *e)
{
    struct sc_mix_set s = {0};
    struct sc_mix_search x = {.goal = g, .metric = g->metric};
    int rc = sc_mix_set_make(&s, &c, 1, NULL, e);

    if (rc == 0)
        rc = sc_mix_search_make(&x, &s, e);
    if (rc == 0)
        rc = sc_mix_search_threshold(&x, hold ? SC_MIX_HALVINGS : -1, e);
    if (rc == 0)
        rc = sc_mix_search_end(&x, out, e);
    sc_mix_search_clear(&x);
    sc_mix_set_clear(&s);
    return rc;
}

/* ---------------------------------------------------------------------------------- random --- */
static void draw(const struct sc_cells *c, uint64_t seed, size_t trial, int8_t *format)
{
    for (uint64_t i = 0; i < c->n; i++) {
        const struct sc_cell_values *v = &c->values[i];
        const uint64_t f = sc_random_below(seed, trial * c->n + i, c->n_formats);
        format[i] = (int8_t)(v->n ? f : sc_mix_cheapest(c, v->part));
    }
}

int sc_mix_random(const struct sc_cells *c, const struct sc_mix_goal *g, size_t trials,
                  uint64_t seed,
                  void (*each)(void *ctx, size_t trial, const struct sc_mix_totals *t), void *ctx,
                  struct sc_mix *out, struct sc_error *e)
{
    struct sc_mix_totals best = {0}, t;
    bool best_good = false;
    size_t best_trial = 0;

    TRY(sc_mix_make(c, out, e));
    for (size_t trial = 0; trial < SC_MAX(trials, (size_t)1); trial++) {
        draw(c, seed, trial, out->format);
        sc_mix_sum(c, out->format, &t);
        if (each)
            each(ctx, trial, &t);
        const double value = sc_mix_value(&t, g->metric);
        const bool good = sc_mix_good(g, value);
        const bool better = good != best_good ? good
                            : good
                                ? t.bytes < best.bytes
                                : sc_mix_better(g->metric, value, sc_mix_value(&best, g->metric));
        if (trial > 0 && !better)
            continue;
        best = t;
        best_good = good;
        best_trial = trial;
    }
    draw(c, seed, best_trial, out->format);
    out->totals = best;
    out->good = best_good;
    return 0;
}
