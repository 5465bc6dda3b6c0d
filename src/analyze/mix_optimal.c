/* SPDX-License-Identifier: Apache-2.0 */
/* mix_optimal: fewest bytes for a goal, least error for a budget.
 *
 * mae, mse and sqnr are sums over cells: one price and the last bytes (mix_hull.h, mix_core.c).
 * atol asks each cell by itself. A pcc of at least t is, with sums of centred values,
 *
 *     XY - t sqrt(XX) sqrt(YY) >= 0,
 *
 * and the left side is convex in the sums of y, y^2 and d^2 (t >= 0): its tangent at any point lies
 * below it. So whatever holds the tangent's bound holds the goal, and the point of contact, if it
 * is good, stays allowed: taking the tangent at the last solution again and again gives smaller and
 * smaller ones (the convex-concave procedure; A. Yuille and A. Rangarajan, Neural Computation 15
 * (2003) 915). The first point is y = x. */
#include <stdlib.h>
#include <string.h>

#include "analyze/mix_set.h"

enum {
    SMALL = 4096, /* cells: in so small tables what formats add once may decide */
    MAX_MASKS = 18,
    TRIES = 12, /* of a tangent or of a bound that rounding has missed */
};

static const struct sc_cells *const *as_const(struct sc_cells *const *c)
{
    return (const struct sc_cells *const *)c;
}

/* --------------------------------------------------------------------------------- formats ---
 * What a format adds once is not a matter of cells: sets of such formats are tried instead, all of
 * them where there are few. A set stands for its formats and all those that add nothing. */
static size_t make_masks(const struct sc_mix_set *s, bool all, uint32_t masks[MAX_MASKS])
{
    uint32_t once = 0;
    uint32_t list[SC_MIX_FORMATS];
    size_t n_once = 0, n = 0;

    for (size_t i = 0; i < s->n; i++)
        for (size_t f = 0; f < s->c[i]->n_formats; f++)
            if (s->c[i]->once[f])
                once |= UINT32_C(1) << f;
    for (unsigned f = 0; f < SC_MIX_FORMATS; f++)
        if (once >> f & 1)
            list[n_once++] = UINT32_C(1) << f;
    masks[n++] = UINT32_MAX;
    if (n_once == 0 || (!all && sc_mix_set_cells(s) > SMALL))
        return n;
    masks[n++] = ~once;
    if (n_once <= 4) {
        for (uint32_t k = 1; k + 1 < UINT32_C(1) << n_once; k++) {
            masks[n] = ~once;
            for (size_t i = 0; i < n_once; i++)
                masks[n] |= k >> i & 1 ? list[i] : 0;
            n++;
        }
        return n;
    }
    for (size_t i = 0; i < n_once; i++)
        masks[n++] = ~list[i];
    return n;
}

/* What the formats of a mask may add once, in all tables. */
static uint64_t once_of(const struct sc_mix_set *s, uint32_t mask)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        const uint32_t all = (UINT32_C(1) << s->c[i]->n_formats) - 1;
        for (size_t f = 0; f < s->c[i]->n_formats; f++)
            if (!(mask & all) || mask >> f & 1)
                sum = sc_add_up(sum, s->c[i]->once[f]);
    }
    return sum;
}

/* ------------------------------------------------------------------------------------- goal --- */
/* The last bytes of what was tried last, which came of this price. */
static int polish(struct sc_mix_search *x, const struct sc_mix_price *p,
                  const struct sc_mix_cut *cut, struct sc_error *e)
{
    if (!x->now_good || cut->lo == 0 || cut->lo == UINT64_MAX)
        return 0;
    TRY(sc_mix_core(x, p, sc_mix_worth(cut->hi), 0, e));
    return sc_mix_search_try(x, e);
}

static int attempt(struct sc_mix_search *x, const struct sc_mix_price *p, double bound,
                   struct sc_mix_cut *cut, struct sc_error *e)
{
    const struct sc_mix_targets target = {.error = bound, .n = 1};
    TRY(sc_mix_select(x->s, p, &target, cut, e));
    TRY(sc_mix_apply(x->s, p, cut, &target, x->now, e));
    return sc_mix_search_try(x, e);
}

static int additive(struct sc_mix_search *x, uint32_t mask, struct sc_error *e)
{
    const struct sc_mix_price p = {.kind = sc_mix_error_of(x->metric), .mask = mask};
    const double n = (double)x->s->x.n, t = x->goal->threshold;
    double bound = x->metric == SC_MIX_SQNR ? sc_mix_get(x->s->x.xx) / pow(10, t / 10) : n * t;
    struct sc_mix_cut cut = {0};

    for (int k = 0; k < TRIES; k++) {
        TRY(attempt(x, &p, bound, &cut, e));
        if (x->now_good || !cut.met)
            break;
        bound -= fabs(bound) * ldexp(1, 4 * k - 52);
    }
    return polish(x, &p, &cut, e);
}

/* atol: the cheapest format that is close enough, of every cell. Exact. */
static int each_cell(struct sc_mix_search *x, uint32_t mask, struct sc_error *e)
{
    const struct sc_mix_price p = {.kind = SC_MIX_ERROR_MOST, .mask = mask};
    const double t = x->goal->threshold;
    const struct sc_mix_cut cut = {.hi = t > 0 ? sc_mix_key(t) : 0};
    TRY(sc_mix_apply(x->s, &p, &cut, NULL, x->now, e));
    return sc_mix_search_try(x, e);
}

/* The tangent at a point: errors of cells and what their sum may be. false: there is none. */
static bool tangent(const struct sc_mix_search *x, const struct sc_mix_sums *at, uint32_t mask,
                    struct sc_mix_price *p, double *bound)
{
    const struct sc_mix_sums *all = &x->s->x;
    const double n = (double)all->n, sum = sc_mix_get(all->x), xx = sc_mix_get(all->xx);
    const double y = sc_mix_get(at->y), yy = sc_mix_get(at->yy);

    if (all->n == 0)
        return false;
    const double vx = sc_mix_variance(sum, xx, n), vy = sc_mix_variance(y, yy, n);
    if (!(vx > 0) || !(vy > 0) || !isfinite(vx) || !isfinite(vy))
        return false;
    const double slope = SC_MIN(x->goal->threshold, 1.0) * sqrt(vx) / sqrt(vy);
    *p = (struct sc_mix_price){
        .kind = SC_MIX_ERROR_LINEAR,
        .yy = -0.5 * (1 - slope),
        .y = (sum - slope * y) / n,
        .mask = mask,
    };
    *bound = 0.5 * (xx - slope * yy);
    return true;
}

/* Tangents from a point on, as long as that helps. */
static int tangents(struct sc_mix_search *x, struct sc_mix_sums at, uint32_t mask,
                    struct sc_error *e)
{
    struct sc_mix_price p;
    struct sc_mix_cut cut = {0};
    double bound, missed = 0, value = 0;
    uint64_t bytes = UINT64_MAX;
    bool good = false;

    x->now_good = false;
    for (int k = 0; k < TRIES && tangent(x, &at, mask, &p, &bound); k++) {
        TRY(attempt(x, &p, bound - missed, &cut, e));
        if (cut.met && !x->now_good) { /* by rounding: with a bound that is a little closer */
            missed = missed > 0 ? 16 * missed : ldexp(sc_mix_get(x->s->x.xx), -52);
            continue;
        }
        const double now = sc_mix_sums_value(&x->now_sums, x->metric);
        if (k > 0 && (x->now_good ? good && x->now_bytes >= bytes
                                  : good || !sc_mix_better(x->metric, now, value)))
            break;
        const uint64_t saved = k > 0 && good && x->now_good ? bytes - x->now_bytes : UINT64_MAX;
        if (sc_mix_set_cells(x->s) > SMALL && saved < x->now_bytes >> 16)
            break; /* the next one would save still less */
        good = x->now_good;
        bytes = x->now_bytes;
        value = now;
        at = x->now_sums;
    }
    return polish(x, &p, &cut, e);
}

struct all_in {
    size_t f;
    int8_t *format;
};

/* All cells in format f, where there is one; those without values in the cheapest. */
static void put_all(void *ctx, const struct sc_mix_run *r, void *partial)
{
    const struct all_in *job = ctx;
    const size_t f = SC_MIN(job->f, r->c->n_formats - 1);

    (void)partial;
    for (uint64_t i = 0; i < r->n; i++) {
        const struct sc_cell_values *v = &r->c->values[r->first + i];
        job->format[r->at + i] = (int8_t)(v->n ? f : r->order[v->part][0]);
    }
}

static int uniform(struct sc_mix_search *x, size_t f, struct sc_error *e)
{
    struct all_in job = {f, x->now};
    const struct sc_mix_pass pass = {0, put_all, NULL, &job};
    TRY(sc_mix_set_pass(x->s, &pass, e));
    return sc_mix_search_try(x, e);
}

/* What is good or close to it without much work. */
static int simple(struct sc_mix_search *x, struct sc_error *e)
{
    size_t most = 0;
    for (size_t t = 0; t < x->s->n; t++)
        most = SC_MAX(most, x->s->c[t]->n_formats);
    for (size_t f = 0; f < most; f++)
        TRY(uniform(x, f, e));
    /* the least error of each cell: if this is not good, mostly nothing is */
    const struct sc_mix_price p = {.kind = sc_mix_error_of(x->metric), .mask = UINT32_MAX};
    const struct sc_mix_cut all = {0};
    TRY(sc_mix_apply(x->s, &p, &all, NULL, x->now, e));
    TRY(sc_mix_search_try(x, e));
    return sc_mix_search_threshold(x, sc_mix_set_cells(x->s) > SMALL ? 3 : SC_MIX_HALVINGS, e);
}

static int fewest(struct sc_mix_search *x, struct sc_error *e)
{
    uint32_t masks[MAX_MASKS];
    const size_t n = make_masks(x->s, x->metric == SC_MIX_ATOL, masks);

    if (x->metric != SC_MIX_ATOL)
        TRY(simple(x, e));
    for (size_t i = 0; i < n; i++) {
        if (x->metric == SC_MIX_ATOL) {
            TRY(each_cell(x, masks[i], e));
        } else if (x->metric != SC_MIX_PCC) {
            TRY(additive(x, masks[i], e));
        } else {
            TRY(tangents(x, x->s->x, masks[i], e));
            if (sc_mix_set_cells(x->s) > SMALL && x->best_is_now)
                continue; /* the last tangent was taken there */
            for (uint64_t before = UINT64_MAX; x->best_bytes < before;) {
                before = x->best_bytes;
                TRY(tangents(x, x->best_sums, masks[i], e));
            }
        }
    }
    return 0;
}

static int optimal(const struct sc_cells *const *c, size_t n, const struct sc_mix_goal *g,
                   const struct sc_parallel *p, struct sc_mix *out, struct sc_error *e)
{
    struct sc_mix_set s = {0};
    struct sc_mix_search x = {.goal = g, .metric = g->metric};
    int rc = sc_mix_set_make(&s, c, n, p, e);

    if (rc == 0)
        rc = sc_mix_search_make(&x, &s, e);
    if (rc == 0)
        rc = fewest(&x, e);
    if (rc == 0)
        rc = sc_mix_search_end(&x, out, e);
    sc_mix_search_clear(&x);
    sc_mix_set_clear(&s);
    return rc;
}

/* atol of several tables: each by itself, since what a format adds once is a matter of one. */
static int optimal_atol(const struct sc_cells *const *c, size_t n, const struct sc_mix_goal *g,
                        const struct sc_parallel *p, struct sc_mix *out, struct sc_error *e)
{
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        const int rc = optimal(c + i, 1, g, p, &out[i], e);
        if (rc < 0) {
            while (i-- > 0)
                sc_mix_clear(&out[i]);
            return rc;
        }
        good = good && out[i].good;
    }
    for (size_t i = 0; i < n; i++)
        out[i].good = good;
    return 0;
}

int sc_mix_optimal(struct sc_cells *const *c, size_t n, const struct sc_mix_goal *g,
                   const struct sc_parallel *p, struct sc_mix *out, struct sc_error *e)
{
    return (g->metric == SC_MIX_ATOL ? optimal_atol : optimal)(as_const(c), n, g, p, out, e);
}

/* ----------------------------------------------------------------------------------- budget --- */
static int within(struct sc_mix_search *x, uint32_t mask, struct sc_error *e)
{
    const struct sc_mix_price p = {.kind = sc_mix_error_of(x->metric), .mask = mask};
    const uint64_t once = once_of(x->s, mask), budget = x->budget > once ? x->budget - once : 0;
    const struct sc_mix_targets target = {.by_bytes = true, .bytes = &budget, .n = 1};
    const bool sums = p.kind != SC_MIX_ERROR_MOST;
    struct sc_mix_cut cut;

    TRY(sc_mix_select(x->s, &p, &target, &cut, e));
    TRY(sc_mix_apply(x->s, &p, &cut, sums ? &target : NULL, x->now, e));
    TRY(sc_mix_search_try(x, e));
    if (!sums) { /* the same largest error in the fewest bytes */
        cut.hi = sc_mix_key(x->now_sums.most);
        TRY(sc_mix_apply(x->s, &p, &cut, NULL, x->now, e));
        TRY(sc_mix_search_try(x, e));
    }
    const uint64_t bytes = x->now_bytes - x->now_once;
    if (!sums || cut.lo == 0 || cut.lo == UINT64_MAX || bytes > budget)
        return 0;
    TRY(sc_mix_core(x, &p, sc_mix_worth(cut.hi), budget - bytes, e));
    return sc_mix_search_try(x, e);
}

int sc_mix_budget(struct sc_cells *const *c, size_t n, enum sc_mix_metric metric, uint64_t budget,
                  const struct sc_parallel *p, struct sc_mix *out, struct sc_error *e)
{
    struct sc_mix_set s = {0};
    /* the least squared error is the best mse, and what a pcc is judged by */
    struct sc_mix_search x = {.metric = metric == SC_MIX_PCC || metric == SC_MIX_SQNR ? SC_MIX_MSE
                                                                                      : metric,
                              .budget = budget};
    uint32_t masks[MAX_MASKS];
    int rc = sc_mix_set_make(&s, as_const(c), n, p, e);

    if (rc == 0)
        rc = sc_mix_search_make(&x, &s, e);
    const size_t n_masks = rc == 0 ? make_masks(&s, false, masks) : 0;
    for (size_t i = 0; rc == 0 && i < n_masks; i++)
        rc = within(&x, masks[i], e);
    if (rc == 0)
        rc = sc_mix_search_end(&x, out, e);
    sc_mix_search_clear(&x);
    sc_mix_set_clear(&s);
    return rc;
}
