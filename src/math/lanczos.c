/* SPDX-License-Identifier: Apache-2.0 */
/* lanczos: the largest eigenvalues of a symmetric operator.
 *
 * Lanczos with full reorthogonalisation (Golub, Van Loan: Matrix Computations, chapter 10). On the
 * Gram matrix it is the bidiagonalisation of Golub and Kahan, squared: the largest values lose
 * nothing by that, and a step reads the matrix once, not twice. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "math/svd.h"

enum { PIECES = 8, CHECK_EVERY = 10, MOST_STEPS = 400 };
static const double one = 1, zero = 0, minus_one = -1;
static const int step1 = 1;

/* ---------------------------------------------------------------- the Gram matrix, unseen --- */
int sc_gram_stream_start(const struct sc_svd_job *job, uint64_t width, struct sc_gram_stream *g,
                         struct sc_error *e)
{
    *g = (struct sc_gram_stream){.job = job, .width = width};
    TRY(sc_panel_start(job, &g->panel, e));
    g->u = sc_svd_doubles(g->panel.depth, width, e);
    g->parts = sc_svd_doubles(job->n, PIECES * width, e);
    if (g->u && g->parts)
        return 0;
    sc_gram_stream_clear(g);
    return SCRUPLE_EMEMORY;
}

void sc_gram_stream_clear(struct sc_gram_stream *g)
{
    sc_panel_clear(&g->panel);
    free(g->u);
    free(g->parts);
    *g = (struct sc_gram_stream){0};
}

struct application {
    struct sc_gram_stream *g;
    const double *x;
    uint64_t width;
};

static void multiply(const struct sc_lapack *la, const char *trans, int m, int n, int k,
                     const double *a, int lda, const double *b, int ldb, const double *beta,
                     double *c, int ldc)
{
    if (n == 1) {
        const bool turned = *trans == 'T';
        la->dgemv(trans, turned ? &k : &m, turned ? &m : &k, &one, a, &lda, b, &step1, beta, c,
                  &step1, 1);
    } else {
        la->dgemm(trans, "N", &m, &n, &k, &one, a, &lda, b, &ldb, beta, c, &ldc, 1, 1);
    }
}

static void apply_piece(void *ctx, size_t piece)
{
    const struct application *ap = ctx;
    struct sc_gram_stream *g = ap->g;
    const struct sc_panel *panel = &g->panel;
    const uint64_t size = (panel->depth + PIECES - 1) / PIECES, from = (uint64_t)piece * size;
    if (from >= panel->count)
        return;
    const int rows = (int)SC_MIN(size, panel->count - from), n = (int)g->job->n;
    const int ld = (int)panel->depth, width = (int)ap->width;
    const double *x = panel->x + from;
    double *u = g->u + from;
    multiply(g->job->la, "N", rows, width, n, x, ld, ap->x, n, &zero, u, ld);
    multiply(g->job->la, "T", n, width, rows, x, ld, u, ld, &one,
             g->parts + piece * g->width * g->job->n, n);
}

int sc_gram_stream_apply(void *ctx, const double *x, uint64_t width, double *y, struct sc_error *e)
{
    struct sc_gram_stream *g = ctx;
    const uint64_t n = g->job->n;
    struct application ap = {.g = g, .x = x, .width = width};
    memset(g->parts, 0, (size_t)(n * PIECES * g->width) * sizeof *g->parts);
    g->norm2 = 0;
    for (uint64_t first = 0; first < g->job->length; first += g->panel.depth) {
        TRY(sc_panel_read(g->job, &g->panel, first, e));
        g->norm2 += g->panel.norm2;
        sc_svd_run(g->job, PIECES, apply_piece, &ap);
    }
    memset(y, 0, (size_t)(n * width) * sizeof *y);
    for (uint64_t piece = 0; piece < PIECES; piece++)
        for (uint64_t i = 0; i < n * width; i++)
            y[i] += g->parts[piece * g->width * n + i];
    return 0;
}

/* --------------------------------------------------------------------------- Krylov spaces --- */
static double norm(const double *x, uint64_t n)
{
    double lane[8] = {0}, sum = 0;
    for (uint64_t i = 0; i < n; i++)
        lane[i % 8] += x[i] * x[i];
    for (int k = 0; k < 8; k++)
        sum += lane[k];
    return sqrt(sum);
}

static double *vector(const struct sc_krylov *k, uint64_t which, uint64_t j)
{
    return k->basis + (j * k->width + which) * k->op.n;
}

/* y <- y minus its part in the first `vectors` of the space, twice, which is enough (Kahan). h:
 * `vectors` doubles of scratch. */
static void orthogonalise(const struct sc_svd_job *job, const struct sc_krylov *k, uint64_t which,
                          uint64_t vectors, double *y, double *h)
{
    const int n = (int)k->op.n, cols = (int)vectors;
    const uint64_t stride = k->width * k->op.n;
    const int ld = (int)stride;
    for (int twice = 0; twice < 2; twice++) {
        job->la->dgemv("T", &n, &cols, &one, k->basis + which * k->op.n, &ld, y, &step1, &zero, h,
                       &step1, 1);
        job->la->dgemv("N", &n, &cols, &minus_one, k->basis + which * k->op.n, &ld, h, &step1, &one,
                       y, &step1, 1);
    }
}

/* Vector j of a space: random, orthogonal to those before; zeros where the space is full. */
static void random_vector(const struct sc_svd_job *job, struct sc_krylov *k, uint64_t which,
                          uint64_t j)
{
    const uint64_t n = k->op.n;
    double *v = vector(k, which, j), *h = k->h;
    for (uint64_t i = 0; i < n; i++)
        v[i] = sc_svd_random(1 + which, j * n + i);
    const double before = norm(v, n);
    if (j > 0)
        orthogonalise(job, k, which, j, v, h);
    const double length = norm(v, n);
    const double scale = j < n && length > before * 1e-12 ? 1 / length : 0;
    for (uint64_t i = 0; i < n; i++)
        v[i] *= scale;
}

int sc_krylov_start(const struct sc_svd_job *job, struct sc_operator op, uint64_t width,
                    uint64_t max_steps, struct sc_krylov *k, struct sc_error *e)
{
    *k = (struct sc_krylov){.op = op, .width = width, .max_steps = max_steps};
    k->basis = sc_svd_doubles(op.n * width, max_steps + 1, e);
    k->alpha = sc_svd_doubles(width, max_steps + 1, e);
    k->beta = sc_svd_doubles(width, max_steps + 1, e);
    k->h = sc_svd_doubles(max_steps + 1, 1, e);
    k->y = sc_svd_doubles(op.n, width, e);
    if (!k->basis || !k->alpha || !k->beta || !k->h || !k->y) {
        sc_krylov_clear(k);
        return SCRUPLE_EMEMORY;
    }
    for (uint64_t which = 0; which < width; which++)
        random_vector(job, k, which, 0);
    return 0;
}

void sc_krylov_clear(struct sc_krylov *k)
{
    free(k->basis);
    free(k->alpha);
    free(k->beta);
    free(k->h);
    free(k->y);
    *k = (struct sc_krylov){0};
}

int sc_krylov_step(const struct sc_svd_job *job, struct sc_krylov *k, struct sc_error *e)
{
    const uint64_t n = k->op.n, j = k->steps;
    TRY(sc_svd_pause(job, e));
    TRY(k->op.apply(k->op.ctx, vector(k, 0, j), k->width, k->y, e));
    for (uint64_t which = 0; which < k->width; which++) {
        double *y = k->y + which * n, *next = vector(k, which, j + 1);
        const double *v = vector(k, which, j);
        const uint64_t at = which * (k->max_steps + 1) + j;
        double alpha = 0;
        for (uint64_t i = 0; i < n; i++)
            alpha += v[i] * y[i];
        k->scale = fmax(k->scale, norm(y, n));
        orthogonalise(job, k, which, j + 1, y, k->h);
        const double beta = norm(y, n);
        k->alpha[at] = alpha;
        k->beta[at] = beta;
        if (beta > k->scale * 1e-14) {
            for (uint64_t i = 0; i < n; i++)
                next[i] = y[i] / beta;
        } else { /* the space is invariant: go on with another that is orthogonal to it */
            k->beta[at] = 0;
            random_vector(job, k, which, j + 1);
        }
    }
    k->steps++;
    return 0;
}

int sc_krylov_ritz(const struct sc_svd_job *job, const struct sc_krylov *k, uint64_t which,
                   double *theta, double *first2, double *last2, double *z, struct sc_error *e)
{
    const int m = (int)k->steps;
    const uint64_t at = which * (k->max_steps + 1), mm = (uint64_t)m * (uint64_t)m;
    double *beta = z + mm, *work = beta + m;
    memcpy(theta, k->alpha + at, (size_t)m * sizeof *theta);
    memcpy(beta, k->beta + at, (size_t)m * sizeof *beta);
    int info = 0;
    job->la->dsteqr("I", &m, theta, beta, z, &m, work, &info, 1);
    if (info != 0)
        return sc_fail(e, SCRUPLE_EFORMAT, "the eigenvalues of a matrix do not converge");
    for (int i = 0; i < m; i++) {
        const double *column = z + (uint64_t)i * (uint64_t)m;
        first2[i] = column[0] * column[0];
        last2[i] = column[m - 1] * column[m - 1];
    }
    return 0;
}

/* ----------------------------------------------------------------------------- the largest --- */
/* Relative bound of the square root of Ritz value theta whose residual is r. */
static double root_bound(double theta, double r)
{
    return r == 0 ? 0 : theta > 0 ? fmin(1, r / (2 * theta)) : 1;
}

int sc_lanczos_top(const struct sc_svd_job *job, struct sc_operator op, struct sc_svd *out,
                   struct sc_error *e)
{
    struct sc_krylov k;
    const uint64_t most = SC_MIN(op.n, SC_MAX(MOST_STEPS, 4 * out->n)), top = out->n;
    TRY(sc_krylov_start(job, op, 1, most, &k, e));
    double *z = sc_svd_doubles(most + 6, most, e);
    int status = z ? 0 : SCRUPLE_EMEMORY;
    for (bool done = false; status == 0 && !done;) {
        status = sc_krylov_step(job, &k, e);
        const uint64_t m = k.steps;
        if (status < 0 || m < top || (m % CHECK_EVERY != 0 && m != most))
            continue;
        double *theta = z + m * m + 3 * m, *first2 = theta + m, *last2 = first2 + m;
        status = sc_krylov_ritz(job, &k, 0, theta, first2, last2, z, e);
        if (status < 0)
            break;
        const double beta = m == op.n ? 0 : k.beta[m - 1];
        const double ignored = theta[m - 1] * DBL_EPSILON * (double)op.n;
        out->error_bound = 0;
        for (uint64_t i = 0; i < top; i++) {
            const double t = theta[m - 1 - i], bound = root_bound(t, beta * sqrt(last2[m - 1 - i]));
            out->s[i] = fmax(t, 0);
            if (i == 0)
                out->residual = bound;
            if (t > ignored)
                out->error_bound = fmax(out->error_bound, bound);
        }
        done = m == most || (out->error_bound < 1e-6 && theta[m - 1] > 0) || theta[m - 1] <= 0;
    }
    free(z);
    sc_krylov_clear(&k);
    return status;
}
