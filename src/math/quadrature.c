/* SPDX-License-Identifier: Apache-2.0 */
/* quadrature: the distribution of singular values of a matrix that is too large for all of them.
 *
 * Stochastic Lanczos quadrature (Ubaru, Chen, Saad: Fast estimation of tr(f(A)), 2017): Lanczos
 * from random vectors gives Gauss quadratures of the spectral density, whose mean is the density to
 * within sampling error. Ritz values that have converged at the top are singular values and taken
 * as they are; the others are quantiles, and are scaled so that their squares sum to what they
 * must. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "math/svd.h"

enum { PROBES = 8, STEPS = 64 };

struct node {
    double theta, weight;
};

static int ascending(const void *a, const void *b)
{
    const struct node *x = a, *y = b;
    return (x->theta > y->theta) - (x->theta < y->theta);
}

uint64_t sc_svd_estimate_doubles(uint64_t n)
{
    const uint64_t steps = SC_MIN(STEPS, n);
    return n * PROBES * (steps + 2) + sc_panel_depth(n, UINT64_MAX) * PROBES + n * PROBES * 8 +
           steps * (steps + 6) + PROBES * steps * 2;
}

/* The largest converged Ritz values of the first probe into s, descending. Returns how many. */
static uint64_t converged(const double *theta, const double *last2, double beta, uint64_t m,
                          double *s, double *residual)
{
    uint64_t n = 0;
    *residual = 1;
    for (; n < m / 2; n++) {
        const double t = theta[m - 1 - n], r = beta * sqrt(last2[m - 1 - n]);
        const double bound = t > 0 ? fmin(1, r / (2 * t)) : 1;
        if (n == 0)
            *residual = bound;
        if (bound > 1e-6)
            break;
        s[n] = sqrt(t);
    }
    return n;
}

/* Singular value of quantile q of the nodes (ascending), between the middles of their weights. */
struct walk {
    const struct node *node;
    uint64_t n, i;
    double before, total; /* weight below node i */
};

static double quantile(struct walk *w, double q)
{
    const double target = q * w->total;
    while (w->i + 1 < w->n && w->before + w->node[w->i].weight / 2 < target) {
        w->before += w->node[w->i].weight;
        w->i++;
    }
    const double here = sqrt(fmax(w->node[w->i].theta, 0));
    const double middle = w->before + w->node[w->i].weight / 2;
    if (w->i == 0 || target >= middle)
        return here;
    const double lower = sqrt(fmax(w->node[w->i - 1].theta, 0));
    const double lower_middle = w->before - w->node[w->i - 1].weight / 2;
    return middle > lower_middle
               ? lower + (here - lower) * (target - lower_middle) / (middle - lower_middle)
               : here;
}

/* Ranks known..n from the nodes. */
static void fill(struct sc_svd *out, uint64_t known, struct node *node, uint64_t n_nodes)
{
    const double cut = known > 0 ? out->s[known - 1] * out->s[known - 1] * (1 - 1e-9) : INFINITY;
    uint64_t kept = 0;
    double total = 0;
    for (uint64_t i = 0; i < n_nodes; i++) {
        if (node[i].theta >= cut)
            continue;
        total += node[i].weight;
        node[kept++] = node[i];
    }
    const double ceiling = known > 0 ? out->s[known - 1] : INFINITY;
    const uint64_t rest = out->n - known;
    if (kept == 0 || total <= 0) {
        for (uint64_t i = known; i < out->n; i++)
            out->s[i] = 0;
        return;
    }
    qsort(node, (size_t)kept, sizeof *node, ascending);
    struct walk w = {.node = node, .n = kept, .total = total};
    double squares = 0, wanted = out->frobenius * out->frobenius;
    for (uint64_t i = 0; i < rest; i++) {
        double *s = &out->s[out->n - 1 - i];
        *s = fmin(quantile(&w, ((double)i + 0.5) / (double)rest), ceiling);
        squares += *s * *s;
    }
    for (uint64_t i = 0; i < known; i++)
        wanted -= out->s[i] * out->s[i];
    const double scale = squares > 0 && wanted > 0 ? sqrt(wanted / squares) : 1;
    if (scale > 0.5 && scale < 2)
        for (uint64_t i = known; i < out->n; i++)
            out->s[i] = fmin(out->s[i] * scale, ceiling);
}

static int probe(const struct sc_svd_job *job, struct sc_krylov *k, uint64_t steps,
                 struct sc_error *e)
{
    for (uint64_t i = 0; i < steps; i++)
        TRY(sc_krylov_step(job, k, e));
    return 0;
}

static int collect(const struct sc_svd_job *job, const struct sc_krylov *k, struct node *node,
                   double *z, uint64_t *known, struct sc_svd *out, struct sc_error *e)
{
    const uint64_t m = k->steps;
    double *theta = z + m * m + 3 * m, *first2 = theta + m, *last2 = first2 + m;
    for (uint64_t which = 0; which < PROBES; which++) {
        TRY(sc_krylov_ritz(job, k, which, theta, first2, last2, z, e));
        if (which == 0)
            *known = converged(theta, last2, m == k->op.n ? 0 : k->beta[m - 1], m, out->s,
                               &out->residual);
        for (uint64_t i = 0; i < m; i++)
            node[which * m + i] = (struct node){theta[i], first2[i]};
    }
    return 0;
}

int sc_svd_estimate(const struct sc_svd_job *job, struct sc_svd *out, struct sc_error *e)
{
    const uint64_t steps = SC_MIN(STEPS, job->n);
    struct sc_gram_stream g;
    struct sc_krylov k = {0};
    struct node *node = sc_svd_items(PROBES, steps, sizeof *node, e);
    double *z = sc_svd_doubles(steps + 6, steps, e);
    uint64_t known = 0;
    int status = sc_gram_stream_start(job, PROBES, &g, e);
    if (status == 0 && (!node || !z))
        status = SCRUPLE_EMEMORY;
    const struct sc_operator op = {sc_gram_stream_apply, &g, job->n};
    if (status == 0)
        status = sc_krylov_start(job, op, PROBES, steps, &k, e);
    if (status == 0)
        status = probe(job, &k, steps, e);
    if (status == 0) {
        out->frobenius = sqrt(g.norm2);
        status = collect(job, &k, node, z, &known, out, e);
    }
    if (status == 0) {
        fill(out, known, node, PROBES * steps);
        out->error_bound = 1; /* of the smallest nothing is known */
    }
    sc_krylov_clear(&k);
    sc_gram_stream_clear(&g);
    free(node);
    free(z);
    return status;
}
