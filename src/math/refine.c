/* SPDX-License-Identifier: Apache-2.0 */
/* refine: the smallest singular values, which the Gram matrix squares away.
 *
 * A QR factorisation, panel by panel ([R; panel] = Q R', Q is not kept), then the bidiagonalisation
 * of Golub and Kahan on the inverse of R, whose largest singular values are wanted: two triangular
 * solves a step. The Gram matrix knows how many values there are below what it can tell, so that
 * nothing is missed where values coincide. Where there are many of them, R is reduced to a
 * bidiagonal instead. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "math/svd.h"

enum { PANEL = 32, COLUMNS = 128, MOST_WANTED = 48, CHECK_EVERY = 8 };
static const double one = 1, zero = 0, minus_one = -1;
static const int step1 = 1, none = 0;

/* ------------------------------------------------------------------------------ R of Q R --- */
struct factor {
    const struct sc_svd_job *job;
    const struct sc_panel *panel;
    double *r;        /* n x n, upper */
    uint64_t n, j, k; /* reflectors of columns j..j+k */
    double *t;        /* PANEL x PANEL */
    double *work;     /* PANEL x n */
};

/* Columns of block `task` to the right of those that were factored. */
static void apply_q(void *ctx, size_t task)
{
    const struct factor *f = ctx;
    const uint64_t from = f->j + f->k + (uint64_t)task * COLUMNS;
    const int m = (int)f->panel->count, cols = (int)SC_MIN(COLUMNS, f->n - from), k = (int)f->k;
    const int ld = (int)f->panel->depth, ldr = (int)f->n, ldt = PANEL;
    f->job->la->dtprfb("L", "T", "F", "C", &m, &cols, &k, &none,
                       f->panel->x + f->j * f->panel->depth, &ld, f->t, &ldt,
                       f->r + f->j + from * f->n, &ldr, f->panel->x + from * f->panel->depth, &ld,
                       f->work + (from - f->j) * PANEL, &k, 1, 1, 1, 1);
}

static void add_panel(struct factor *f)
{
    const int m = (int)f->panel->count, ld = (int)f->panel->depth, ldr = (int)f->n, ldt = PANEL;
    for (f->j = 0; f->j < f->n; f->j += f->k) {
        f->k = SC_MIN(PANEL, f->n - f->j);
        const int k = (int)f->k;
        int info = 0;
        f->job->la->dtpqrt2(&m, &k, &none, f->r + f->j * (f->n + 1), &ldr,
                            f->panel->x + f->j * f->panel->depth, &ld, f->t, &ldt, &info);
        const uint64_t right = f->n - f->j - f->k;
        sc_svd_run(f->job, (right + COLUMNS - 1) / COLUMNS, apply_q, f);
    }
}

/* R of the used columns of the matrix (longer side first). r: zeros. */
static int factorise(const struct sc_svd_job *job, const uint32_t *used, uint64_t n, double *r,
                     struct sc_error *e)
{
    struct sc_panel panel;
    TRY(sc_panel_start(job, &panel, e));
    double *work = sc_svd_doubles(PANEL, n + PANEL, e);
    struct factor f = {.job = job, .panel = &panel, .n = n, .t = work};
    f.r = r;
    int status = work ? 0 : SCRUPLE_EMEMORY;
    for (uint64_t first = 0; first < job->length && status == 0; first += panel.depth) {
        status = sc_panel_read(job, &panel, first, e);
        if (status < 0)
            break;
        f.work = work + (size_t)PANEL * PANEL;
        for (uint64_t j = 0; j < n; j++)
            if (used[j] != j)
                memcpy(panel.x + j * panel.depth, panel.x + used[j] * panel.depth,
                       (size_t)panel.count * sizeof *panel.x);
        add_panel(&f);
    }
    free(work);
    sc_panel_clear(&panel);
    return status;
}

/* ------------------------------------------------------------ the largest of the inverse --- */
struct inverse {
    const struct sc_svd_job *job;
    const double *r;
    uint64_t n, most, steps;
    double *u, *v;         /* n x most, n x (most + 1) */
    double *alpha, *beta;  /* diagonal, and above it */
    double *d, *e1, *last; /* of the small bidiagonal matrix: values, scratch, last components */
    double *work;
};

static double normalise(double *x, uint64_t n)
{
    double lane[8] = {0}, sum = 0;
    for (uint64_t i = 0; i < n; i++)
        lane[i % 8] += x[i] * x[i];
    for (int k = 0; k < 8; k++)
        sum += lane[k];
    const double norm = sqrt(sum), scale = norm > 0 ? 1 / norm : 0;
    for (uint64_t i = 0; i < n; i++)
        x[i] *= scale;
    return norm;
}

static void orthogonalise(const struct inverse *in, const double *basis, uint64_t vectors,
                          double *x)
{
    const int n = (int)in->n, cols = (int)vectors;
    for (int twice = 0; twice < 2 && cols > 0; twice++) {
        in->job->la->dgemv("T", &n, &cols, &one, basis, &n, x, &step1, &zero, in->work, &step1, 1);
        in->job->la->dgemv("N", &n, &cols, &minus_one, basis, &n, in->work, &step1, &one, x, &step1,
                           1);
    }
}

static void step(struct inverse *in)
{
    const uint64_t n = in->n, j = in->steps;
    const int order = (int)n;
    double *u = in->u + j * n, *v = in->v + j * n, *next = v + n;
    memcpy(u, v, (size_t)n * sizeof *u);
    in->job->la->dtrsv("U", "N", "N", &order, in->r, &order, u, &step1, 1, 1, 1);
    orthogonalise(in, in->u, j, u);
    in->alpha[j] = normalise(u, n);
    memcpy(next, u, (size_t)n * sizeof *u);
    in->job->la->dtrsv("U", "T", "N", &order, in->r, &order, next, &step1, 1, 1, 1);
    orthogonalise(in, in->v, j + 1, next);
    in->beta[j] = normalise(next, n);
    in->steps++;
}

/* Have the `wanted` largest converged? Values of the inverse, descending, into in->d. */
static bool converged(struct inverse *in, uint64_t wanted)
{
    const int m = (int)in->steps, one_row = 1;
    int info = 0;
    if (in->steps < wanted)
        return false;
    memcpy(in->d, in->alpha, (size_t)m * sizeof *in->d);
    memcpy(in->e1, in->beta, (size_t)m * sizeof *in->e1);
    memset(in->last, 0, (size_t)m * sizeof *in->last);
    in->last[m - 1] = 1;
    in->job->la->dbdsqr("U", &m, &none, &one_row, &none, in->d, in->e1, in->work, &one_row,
                        in->last, &one_row, in->work, &one_row, in->work, &info, 1);
    if (info != 0)
        return false;
    for (uint64_t i = 0; i < wanted; i++)
        if (!(in->beta[m - 1] * fabs(in->last[i]) <= 1e-10 * in->d[i]))
            return in->steps == in->n;
    return true;
}

/* The n_small smallest singular values of r, ascending, into small. 1: found, 0: not. */
static int smallest(const struct sc_svd_job *job, const double *r, uint64_t n, uint64_t n_small,
                    double *small, struct sc_error *e)
{
    struct inverse in = {.job = job, .r = r, .n = n, .most = SC_MIN(n, 100 + 8 * n_small)};
    double *scratch = sc_svd_doubles(2 * in.most + 1, n, e);
    double *rows = sc_svd_doubles(in.most + 1, 9, e);
    int status = scratch && rows ? 0 : SCRUPLE_EMEMORY;
    if (status == 0) {
        in.u = scratch, in.v = scratch + in.most * n;
        in.alpha = rows, in.beta = rows + in.most, in.d = in.beta + in.most;
        in.e1 = in.d + in.most, in.last = in.e1 + in.most, in.work = in.last + in.most;
        for (uint64_t i = 0; i < n; i++)
            in.v[i] = sc_svd_random(3, i);
        normalise(in.v, n);
    }
    while (status == 0 && in.steps < in.most) {
        status = sc_svd_pause(job, e);
        if (status < 0)
            break;
        step(&in);
        if (!isfinite(in.alpha[in.steps - 1]) || !isfinite(in.beta[in.steps - 1]))
            break;
        const bool look = in.steps % CHECK_EVERY == 0 || in.steps == in.most || n_small == 1;
        if (look && converged(&in, n_small)) {
            for (uint64_t i = 0; i < n_small; i++)
                small[i] = 1 / in.d[i];
            status = 1;
        }
    }
    free(scratch);
    free(rows);
    return status;
}

/* --------------------------------------------------------------------------- all together --- */
/* Do they agree with what the Gram matrix says of their squares, as far as it can tell? */
static bool agree(const double *small, const double *s, uint64_t n, uint64_t n_small)
{
    const double unsure = 64 * DBL_EPSILON * sqrt((double)n) * s[0] * s[0];
    for (uint64_t i = 0; i < n_small; i++) {
        const double other = s[n - 1 - i];
        if (!(fabs(small[i] * small[i] - other * other) <= unsure))
            return false;
    }
    return true;
}

/* No zeros on the diagonal of R, so that it can be solved: a change below rounding. */
static void lift_diagonal(double *r, uint64_t n, double least)
{
    for (uint64_t i = 0; i < n; i++)
        if (fabs(r[i * (n + 1)]) < least)
            r[i * (n + 1)] = least;
}

static int by_inverse(const struct sc_svd_job *job, const double *r, uint64_t n, uint64_t n_small,
                      double *s, struct sc_error *e)
{
    double *small = sc_svd_doubles(n_small, 1, e);
    if (!small)
        return SCRUPLE_EMEMORY;
    int status = smallest(job, r, n, n_small, small, e);
    if (status == 1 && !agree(small, s, n, n_small))
        status = 0;
    for (uint64_t i = 0; i < n_small && status == 1; i++)
        s[n - 1 - i] = small[i];
    free(small);
    return status;
}

static int by_bidiagonal(const struct sc_svd_job *job, double *r, uint64_t n, uint64_t n_small,
                         double *s, struct sc_error *e)
{
    double *all = sc_svd_doubles(n, 1, e);
    int status = all ? sc_bidiagonal_values(job, r, n, all, e) : SCRUPLE_EMEMORY;
    if (status == 0)
        memcpy(s + n - n_small, all + n - n_small, (size_t)n_small * sizeof *s);
    free(all);
    return status;
}

int sc_svd_refine(const struct sc_svd_job *job, const uint32_t *used, uint64_t n, uint64_t n_small,
                  double *s, double *bound, struct sc_error *e)
{
    double *r = sc_svd_doubles(n, n, e);
    if (!r)
        return SCRUPLE_EMEMORY;
    memset(r, 0, (size_t)(n * n) * sizeof *r);
    int status = factorise(job, used, n, r, e);
    if (status == 0) {
        int exponent;
        frexp(s[0], &exponent);
        const double scale = ldexp(1, -exponent), eps = DBL_EPSILON * (double)job->length;
        for (uint64_t i = 0; i < n * n; i++)
            r[i] *= scale;
        for (uint64_t i = 0; i < n; i++)
            s[i] *= scale;
        int found = 0;
        if (n_small <= MOST_WANTED) {
            lift_diagonal(r, n, s[0] * eps * 1e-3);
            found = by_inverse(job, r, n, n_small, s, e);
        }
        status = found != 0 ? SC_MIN(found, 0) : by_bidiagonal(job, r, n, n_small, s, e);
        for (uint64_t i = 0; i < n; i++)
            s[i] = ldexp(s[i], exponent);
    }
    free(r);
    *bound = 1;
    for (uint64_t i = n; i-- > 0 && *bound == 1;)
        if (s[i] > 0)
            *bound = fmin(1, 2 * DBL_EPSILON * s[0] / s[i]);
    return status;
}
