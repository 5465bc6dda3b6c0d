/* SPDX-License-Identifier: Apache-2.0 */
/* mix: what an assignment comes to, and the assignments that need no search.
 *
 * 1 - pcc is computed without taking anything from 1: with variances and covariance times n,
 *     1 - pcc = (D - (sqrt(X) - sqrt(Y))^2) / (2 sqrt(X) sqrt(Y)),   D = sum (d - mean d)^2,
 * which follows from D = X + Y - 2 XY. */
#include "analyze/mix_set.h"

#include <stdlib.h>
#include <string.h>

const char *const sc_mix_metrics[] = {"pcc", "mae", "atol", "mse", "sqnr_db", NULL};

bool sc_mix_good(const struct sc_mix_goal *g, double value)
{
    return g->metric == SC_MIX_PCC || g->metric == SC_MIX_SQNR ? value >= g->threshold
                                                               : value <= g->threshold;
}

bool sc_mix_better(enum sc_mix_metric m, double a, double b)
{
    if (isnan(a) || isnan(b))
        return !isnan(a) && isnan(b);
    return m == SC_MIX_PCC || m == SC_MIX_SQNR ? a > b : a < b;
}

/* ----------------------------------------------------------------------------------- sums --- */
void sc_mix_sums_add(struct sc_mix_sums *s, const struct sc_cell_values *v,
                     const struct sc_cell_error *error)
{
    s->n += v->n;
    sc_mix_add(s->x, v->x);
    sc_mix_add(s->xx, v->xx);
    sc_mix_add(s->y, error ? error->y : v->x);
    sc_mix_add(s->yy, error ? error->yy : v->xx);
    if (!error)
        return;
    sc_mix_add(s->dd, error->dd);
    sc_mix_add(s->abs, error->abs);
    if (!(error->most <= s->most))
        s->most = error->most;
}

static void join(double sum[2], const double other[2])
{
    sc_mix_add(sum, other[0]);
    sum[1] += other[1];
}

void sc_mix_sums_join(struct sc_mix_sums *s, const struct sc_mix_sums *other)
{
    s->n += other->n;
    join(s->x, other->x);
    join(s->xx, other->xx);
    join(s->y, other->y);
    join(s->yy, other->yy);
    join(s->dd, other->dd);
    join(s->abs, other->abs);
    if (!(other->most <= s->most))
        s->most = other->most;
}

double sc_mix_variance(double sum, double squares, double n)
{
    const double v = squares - sum * sum / n;
    return v > 1e-14 * squares ? v : isnan(v) ? v : 0;
}

static double one_minus_pcc(const struct sc_mix_sums *s)
{
    const double n = (double)s->n, x = sc_mix_get(s->x), y = sc_mix_get(s->y);
    const double dd = sc_mix_get(s->dd), mean = (y - x) / n;
    double vx, vy, root_x, root_y, apart;

    if (s->n == 0)
        return 0;
    vx = sc_mix_variance(x, sc_mix_get(s->xx), n);
    vy = sc_mix_variance(y, sc_mix_get(s->yy), n);
    root_x = sqrt(vx), root_y = sqrt(vy);
    if (root_x * root_y == 0)
        return dd == 0 ? 0 : 1;
    apart = (vx - vy) / (root_x + root_y);
    const double v = (dd - n * mean * mean - apart * apart) / (2 * root_x * root_y);
    return v < 0 ? 0 : v;
}

static double sqnr(double xx, double dd)
{
    return dd == 0 ? (double)INFINITY : 10 * log10(xx / dd);
}

double sc_mix_sums_value(const struct sc_mix_sums *s, enum sc_mix_metric m)
{
    const double n = s->n ? (double)s->n : 1;
    switch (m) {
    case SC_MIX_PCC:
        return 1 - one_minus_pcc(s);
    case SC_MIX_MAE:
        return sc_mix_get(s->abs) / n;
    case SC_MIX_ATOL:
        return s->most;
    case SC_MIX_MSE:
        return sc_mix_get(s->dd) / n;
    case SC_MIX_SQNR:
        return sqnr(sc_mix_get(s->xx), sc_mix_get(s->dd));
    case SC_MIX_METRICS:
        break;
    }
    return (double)NAN;
}

double sc_mix_cell_value(const struct sc_cell_values *v, const struct sc_cell_error *error,
                         enum sc_mix_metric m)
{
    const struct sc_mix_sums s = {{v->x},      {v->xx},      {error->y},  {error->yy},
                                  {error->dd}, {error->abs}, error->most, v->n};
    return sc_mix_sums_value(&s, m);
}

void sc_mix_sums_totals(const struct sc_mix_sums *s, struct sc_mix_totals *out)
{
    const double xx = sc_mix_get(s->xx), yy = sc_mix_get(s->yy), dd = sc_mix_get(s->dd);
    const double norms = sqrt(xx) * sqrt(yy);

    out->one_minus_pcc = one_minus_pcc(s);
    out->pcc = 1 - out->one_minus_pcc;
    out->mae = sc_mix_sums_value(s, SC_MIX_MAE);
    out->atol = s->most;
    out->mse = sc_mix_sums_value(s, SC_MIX_MSE);
    out->sqnr_db = sqnr(xx, dd);
    if (dd == 0)
        out->cosine = 1;
    else
        out->cosine = norms == 0 ? 0 : (xx + yy - dd) / (2 * norms);
}

double sc_mix_value(const struct sc_mix_totals *t, enum sc_mix_metric m)
{
    switch (m) {
    case SC_MIX_PCC:
        return t->pcc;
    case SC_MIX_MAE:
        return t->mae;
    case SC_MIX_ATOL:
        return t->atol;
    case SC_MIX_MSE:
        return t->mse;
    case SC_MIX_SQNR:
        return t->sqnr_db;
    case SC_MIX_METRICS:
        break;
    }
    return (double)NAN;
}

void sc_mix_sum_table(const struct sc_cells *c, const int8_t *format, struct sc_mix_sums *sums,
                      struct sc_mix_totals *out)
{
    memset(sums, 0, sizeof *sums);
    memset(out, 0, sizeof *out);
    for (uint64_t i = 0; i < c->n; i++) {
        const struct sc_cell_values *v = &c->values[i];
        if (format[i] < 0) {
            out->left++;
            sc_mix_sums_add(sums, v, NULL);
            continue;
        }
        const size_t f = (size_t)format[i];
        out->cells[f]++;
        out->bytes = sc_add_up(out->bytes, c->bytes[f][v->part]);
        sc_mix_sums_add(sums, v, sc_cell_error(c, i, f));
    }
    for (size_t f = 0; f < c->n_formats; f++)
        if (out->cells[f])
            out->bytes = sc_add_up(out->bytes, c->once[f]);
    sc_mix_sums_totals(sums, out);
}

void sc_mix_sum(const struct sc_cells *c, const int8_t *format, struct sc_mix_totals *out)
{
    struct sc_mix_sums sums;
    sc_mix_sum_table(c, format, &sums, out);
}

/* ------------------------------------------------------------------------ formats, results --- */
/* Insertion: there are 16 at most, and equals stay in their order. */
void sc_mix_order_part(const struct sc_cells *c, uint32_t part, uint8_t order[SC_MIX_FORMATS])
{
    for (size_t f = 0; f < c->n_formats; f++) {
        size_t k = f;
        for (; k > 0 && c->bytes[order[k - 1]][part] > c->bytes[f][part]; k--)
            order[k] = order[k - 1];
        order[k] = (uint8_t)f;
    }
}

void sc_mix_order(const struct sc_cells *c, uint8_t order[16])
{
    sc_mix_order_part(c, 0, order);
}

uint8_t sc_mix_cheapest(const struct sc_cells *c, uint32_t part)
{
    size_t best = 0;
    for (size_t f = 1; f < c->n_formats; f++)
        if (c->bytes[f][part] < c->bytes[best][part])
            best = f;
    return (uint8_t)best;
}

int sc_mix_check(const struct sc_cells *c, struct sc_error *e)
{
    if (c->n_formats == 0 || c->n_formats > SC_MIX_FORMATS)
        return sc_fail(e, SCRUPLE_EUSAGE, "a mix of %zu formats: there may be 1 to %d",
                       c->n_formats, SC_MIX_FORMATS);
    if (c->n > SIZE_MAX / sizeof(struct sc_cell_error))
        return sc_fail_memory(e);
    return 0;
}

int sc_mix_make(const struct sc_cells *c, struct sc_mix *out, struct sc_error *e)
{
    struct sc_records *r;

    memset(out, 0, sizeof *out);
    TRY(sc_mix_check(c, e));
    r = sc_calloc(1, sizeof *r);
    if (!r)
        return sc_fail_memory(e);
    const int rc = sc_records_make(r, (size_t)c->n, 1, e);
    if (rc < 0) {
        free(r);
        return rc;
    }
    out->records = r;
    out->format = r->p;
    memset(out->format, -1, (size_t)c->n);
    return 0;
}

void sc_mix_clear(struct sc_mix *m)
{
    if (m->records)
        sc_records_free(m->records);
    free(m->records);
    memset(m, 0, sizeof *m);
}
