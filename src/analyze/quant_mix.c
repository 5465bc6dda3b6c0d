/* SPDX-License-Identifier: Apache-2.0 */
/* quant_mix: the plan's algorithm over the cells of one tensor, or of all together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/mix_set.h"
#include "analyze/quant_run.h"

void sc_quant_mix_forget(struct sc_quant_tensor *t)
{
    sc_cells_free(t->cells);
    t->cells = NULL;
    sc_mix_clear(&t->mix);
    t->mix = (struct sc_mix){0};
}

static struct sc_quant *run_of(const struct sc_quant_work *r)
{
    return r->q;
}

static uint64_t budget_of(const struct sc_quant_plan *p, uint64_t parameters)
{
    if (!(p->budget.bits > 0))
        return p->budget.bytes;
    const double bytes = p->budget.bits / 8 * (double)parameters;
    return bytes < 0x1p63 ? (uint64_t)bytes : UINT64_MAX;
}

/* ---------------------------------------------------------------------------- one tensor --- */
struct trials {
    struct sc_mix_totals *p; /* NULL: nobody wants them */
    size_t n;
};

static void keep_trial(void *ctx, size_t trial, const struct sc_mix_totals *t)
{
    struct trials *all = ctx;

    (void)trial;
    all->p[all->n++] = *t;
}

static int mix_random(const struct sc_quant_work *r, struct sc_quant_tensor *t, struct sc_error *e)
{
    const struct sc_quant_plan *p = r->o->plan;
    struct trials all = {0};

    if (r->o->keep) {
        all.p = sc_calloc((size_t)p->trials, sizeof *all.p);
        if (!all.p)
            return sc_fail_memory(e);
    }
    const int code = sc_mix_random(t->cells, &p->goal, (size_t)p->trials, p->seed,
                                   all.p ? keep_trial : NULL, &all, &t->mix, e);
    t->trials = all.p;
    t->n_trials = all.n;
    return code;
}

static int mix_one(const struct sc_quant_work *r, struct sc_quant_tensor *t,
                   const struct sc_parallel *p, struct sc_error *e)
{
    const struct sc_quant_plan *plan = r->o->plan;
    const struct sc_mix_goal *goal = &plan->goal;

    switch ((enum sc_algorithm)plan->algorithm) {
    case SC_ALGORITHM_THRESHOLD:
        return sc_mix_threshold(t->cells, goal, true, &t->mix, e);
    case SC_ALGORITHM_GREEDY:
        if (plan->cluster == SC_CLUSTER_NOT)
            return sc_mix_greedy(t->cells, goal, plan->seed, &t->mix, e);
        return sc_mix_clusters(t->cells, goal,
                               plan->cluster == SC_CLUSTER_SINGLE ? 0 : (size_t)plan->clusters,
                               plan->seed, &t->mix, e);
    case SC_ALGORITHM_RANDOM:
        return mix_random(r, t, e);
    case SC_ALGORITHM_OPTIMAL:
        return sc_mix_optimal(&t->cells, 1, goal, p, &t->mix, e);
    case SC_ALGORITHM_BUDGET:
        return sc_mix_budget(&t->cells, 1, goal->metric,
                             budget_of(plan, r->q->model->tensors[t->tensor].parameters), p,
                             &t->mix, e);
    case SC_ALGORITHM_NONE:
    case SC_ALGORITHM_TRANSPOSE:
    case SC_ALGORITHMS:
        break;
    }
    return 0;
}

/* What totals tell, in the place of what a format costs. */
static void put_cost(const struct sc_quant_work *r, size_t i)
{
    const struct sc_quant_tensor *t = &r->q->tensors[i];
    const struct sc_mix_totals *m = &t->totals;
    const struct sc_worst nowhere = {UINT64_MAX, (double)NAN};
    const uint64_t parameters = r->q->model->tensors[t->tensor].parameters;
    const double relative = pow(10, -m->sqnr_db / 20);

    *sc_quant_record(r->q, i, r->q->measured.n) = (struct sc_quality){
        .values = t->facts.values,
        .finite = t->facts.values - t->facts.nonfinite,
        .nonfinite = t->facts.nonfinite,
        .overflowed = UINT64_MAX,
        .saturated = UINT64_MAX,
        .zeroed = UINT64_MAX,
        .pcc = m->pcc,
        .one_minus_pcc = m->one_minus_pcc,
        .cosine = m->cosine,
        .mae = m->mae,
        .mse = m->mse,
        .rmse = sqrt(m->mse),
        .atol = m->atol,
        .sqnr_db = m->sqnr_db,
        .relative_frobenius = relative,
        .max_relative = (double)NAN,
        .bias = (double)NAN,
        .p99 = (double)NAN,
        .p999 = (double)NAN,
        .row = nowhere,
        .column = nowhere,
        .tile = nowhere,
        .head = nowhere,
        .expert = nowhere,
        .bytes = m->bytes,
        .bits_per_weight = sc_bits_per_weight(m->bytes, parameters),
    };
}

/* The result out of t->mix. */
static int take_mix(const struct sc_quant_work *r, struct sc_quant_tensor *t, struct sc_error *e)
{
    t->has_mix = true;
    t->totals = t->mix.totals;
    t->good = t->mix.good;
    put_cost(r, (size_t)(t - r->q->tensors));
    if (!r->o->keep)
        return 0;
    t->geometry = sc_alloc(sizeof *t->geometry);
    t->assignment = sc_alloc((size_t)SC_MAX(t->cells->n, UINT64_C(1)));
    if (!t->geometry || !t->assignment)
        return sc_fail_memory(e);
    memcpy(t->assignment, t->mix.format, (size_t)t->cells->n);
    *t->geometry = *t->cells;
    t->geometry->values = NULL;
    t->geometry->errors = NULL;
    t->geometry->records = NULL;
    return 0;
}

int sc_quant_mix_own(struct sc_quant_work *r, struct sc_quant_tensor *t,
                     const struct sc_parallel *p, struct sc_error *e)
{
    const double start = sc_quant_now();
    int code = 0;

    if (!r->o->plan->model_wide) {
        code = mix_one(r, t, p, e);
        if (code == 0)
            code = take_mix(r, t, e);
        sc_mix_clear(&t->mix);
        t->mix = (struct sc_mix){0};
    }
    if (code == 0 && r->o->curve)
        code = sc_mix_curve(&t->cells, 1, r->o->plan->goal.metric, (size_t)r->o->curve, p,
                            &t->curve, &t->n_curve, e);
    t->mix_seconds = sc_quant_now() - start;
    if (code < 0 || !(r->o->plan->model_wide || r->o->curve_all || r->o->keep_cells))
        sc_quant_mix_forget(t);
    return code;
}

/* ------------------------------------------------------------------------------ all of them --- */
/* The sums of a tensor as assigned, to those of all; the metrics of all values together follow. */
static void pool_mix(const struct sc_quant_tensor *t, struct sc_mix_totals *total,
                     struct sc_mix_sums *all)
{
    const struct sc_cells *c = t->cells;
    struct sc_mix_totals own;
    struct sc_mix_sums sums;

    sc_mix_sum_table(c, t->mix.format, &sums, &own);
    sc_mix_sums_join(all, &sums);
    total->bytes = sc_add_up(total->bytes, own.bytes);
    total->left += own.left;
    for (size_t f = 0; f < c->n_formats; f++)
        total->cells[f] += own.cells[f];
}

static int mix_together(struct sc_quant_work *r, struct sc_cells *const *cells,
                        const uint32_t *owner, size_t n, const struct sc_parallel *p)
{
    const struct sc_quant_plan *plan = r->o->plan;
    struct sc_quant *q = run_of(r);
    struct sc_mix *out = sc_calloc(n, sizeof *out);
    struct sc_mix_sums sums = {.n = 0};
    uint64_t parameters = 0;

    if (!out)
        return sc_fail_memory(r->e);
    for (size_t k = 0; k < n; k++)
        parameters =
            sc_add_up(parameters, q->model->tensors[q->tensors[owner[k]].tensor].parameters);
    int code =
        plan->algorithm == SC_ALGORITHM_BUDGET
            ? sc_mix_budget(cells, n, plan->goal.metric, budget_of(plan, parameters), p, out, r->e)
            : sc_mix_optimal(cells, n, &plan->goal, p, out, r->e);
    q->good = code == 0;
    for (size_t k = 0; k < n; k++) {
        struct sc_quant_tensor *t = &q->tensors[owner[k]];
        t->mix = out[k];
        if (code == 0) {
            pool_mix(t, &q->total, &sums);
            q->good = q->good && t->mix.good;
            code = take_mix(r, t, r->e);
        }
        sc_mix_clear(&t->mix);
        t->mix = (struct sc_mix){0};
    }
    free(out);
    sc_mix_sums_totals(&sums, &q->total);
    q->has_total = code == 0;
    return code;
}

int sc_quant_mix_all(struct sc_quant_work *r)
{
    struct sc_quant *q = r->q;
    struct sc_cells **cells = sc_alloc(SC_MAX(q->n, (size_t)1) * sizeof *cells);
    uint32_t *owner = sc_alloc(SC_MAX(q->n, (size_t)1) * sizeof *owner);
    const struct sc_parallel p = sc_pool_parallel(r->o->pool);
    size_t n = 0;
    int code = cells && owner ? 0 : sc_fail_memory(r->e);

    for (size_t i = 0; code == 0 && i < q->n; i++) {
        if (!q->tensors[i].cells || !q->tensors[i].measured)
            continue;
        owner[n] = (uint32_t)i;
        cells[n++] = q->tensors[i].cells;
    }
    if (code == 0 && n && r->o->plan->model_wide)
        code = mix_together(r, cells, owner, n, &p);
    if (code == 0 && n && r->o->curve_all)
        code = sc_mix_curve(cells, n, r->o->plan->goal.metric, (size_t)r->o->curve, &p, &q->curve,
                            &q->n_curve, r->e);
    free(cells);
    free(owner);
    return code;
}
