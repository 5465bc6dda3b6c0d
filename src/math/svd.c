/* SPDX-License-Identifier: Apache-2.0 */
/* svd: which way singular values are found, and what all ways share. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "math/svd.h"

/* Above it the Gram matrix does not give the smallest value to 1e-5: its relative error is about
 * eps kappa^2. */
#define GRAM_KAPPA 3e5

enum { DEFAULT_TOP = 10, DEFAULT_MAX_RANK = 16384 };

/* --------------------------------------------------------------------- small things shared --- */
int sc_svd_pause(const struct sc_svd_job *job, struct sc_error *e)
{
    if (job->o->cancel && atomic_load_explicit(job->o->cancel, memory_order_relaxed))
        return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    return 0;
}

void *sc_svd_items(uint64_t a, uint64_t b, size_t size, struct sc_error *e)
{
    uint64_t n, bytes;
    void *p = NULL;
    if (!sc_mul(a, b, &n) || !sc_mul(SC_MAX(n, 1), size, &bytes) || bytes > SIZE_MAX - 64 ||
        posix_memalign(&p, 64, (size_t)bytes) != 0) {
        sc_say_memory(e);
        return NULL;
    }
    return p;
}

double sc_svd_random(uint64_t seed, uint64_t i)
{
    return (double)(int64_t)(sc_random(seed << 48, i) >> 11) * 0x1p-52 - 1;
}

#if SC_HAVE_X86
enum { FLUSH_TO_ZERO = 0x8000 };
bool sc_svd_flush(bool on)
{
    const unsigned state = __builtin_ia32_stmxcsr(), rest = state & ~(unsigned)FLUSH_TO_ZERO;
    __builtin_ia32_ldmxcsr(on ? rest | FLUSH_TO_ZERO : rest);
    return state != rest;
}
#else
bool sc_svd_flush(bool on)
{
    (void)on;
    return false;
}
#endif

struct flushed {
    void (*fn)(void *ctx, size_t i);
    void *ctx;
};

static void run_flushed(void *ctx, size_t i)
{
    const struct flushed *f = ctx;
    const bool before = sc_svd_flush(true);
    f->fn(f->ctx, i);
    sc_svd_flush(before);
}

void sc_svd_run(const struct sc_svd_job *job, uint64_t n, void (*fn)(void *ctx, size_t i),
                void *ctx)
{
    struct flushed f = {fn, ctx};
    sc_parallel_run(job->p, (size_t)n, run_flushed, &f);
}

/* ---------------------------------------------------------------------------- by Gram matrix ---
 */
/* Rows and columns of g that are zero are values that are zero: leave them out. Their number is n
 * minus what is returned. */
static uint64_t squeeze(double *g, uint64_t n, uint32_t *used)
{
    uint64_t kept = 0;
    for (uint64_t j = 0; j < n; j++)
        if (g[j * (n + 1)] > 0)
            used[kept++] = (uint32_t)j;
    for (uint64_t j = 0; j < kept && kept < n; j++)
        for (uint64_t i = j; i < kept; i++)
            g[i + j * kept] = g[used[i] + used[j] * n];
    return kept;
}

/* By a power of two, so that the largest entry is near 1. Returns the power for square roots. */
static int scale_to_one(double *g, uint64_t n)
{
    double largest = 0;
    int exponent;
    for (uint64_t j = 0; j < n; j++)
        largest = fmax(largest, g[j * (n + 1)]);
    frexp(largest, &exponent);
    exponent += exponent & 1;
    const double scale = ldexp(1, -exponent);
    for (uint64_t j = 0; j < n; j++)
        for (uint64_t i = j; i < n; i++)
            g[i + j * n] *= scale;
    return exponent / 2;
}

struct dense {
    const struct sc_lapack *la;
    const double *g;
    int n;
};

static int multiply(void *ctx, const double *x, uint64_t width, double *y, struct sc_error *e)
{
    const struct dense *d = ctx;
    const double one = 1, zero = 0;
    const int step = 1;
    (void)width, (void)e; /* one vector at a time */
    d->la->dsymv("L", &d->n, &one, d->g, &d->n, x, &step, &zero, y, &step, 1);
    return 0;
}

static void to_roots(struct sc_svd *out, uint64_t n, int exponent)
{
    for (uint64_t i = 0; i < n; i++)
        out->s[i] = ldexp(sqrt(fmax(out->s[i], 0)), exponent);
}

static int quick_of_gram(const struct sc_svd_job *job, const double *g, uint64_t n, int exponent,
                         struct sc_svd *out, struct sc_error *e)
{
    struct dense dense = {job->la, g, (int)n};
    const size_t wanted = out->n;
    out->method = SC_SVD_LANCZOS;
    out->n = SC_MIN(wanted, n);
    const int status = sc_lanczos_top(job, (struct sc_operator){multiply, &dense, n}, out, e);
    to_roots(out, out->n, exponent);
    out->n = wanted;
    return status;
}

/* How many of n values, descending, the Gram matrix cannot tell. */
static uint64_t count_unsure(const double *s, uint64_t n)
{
    uint64_t unsure = 0;
    while (unsure < n && !(s[n - 1 - unsure] * GRAM_KAPPA >= s[0]))
        unsure++;
    return unsure;
}

/* The values of the kept part of the Gram matrix, which is freed. */
static int all_of_gram(const struct sc_svd_job *job, double **g, const uint32_t *used, uint64_t n,
                       int exponent, struct sc_svd *out, struct sc_error *e)
{
    const int status = sc_symmetric_values(job, *g, n, out->s, e);
    free(*g);
    *g = NULL;
    if (status < 0)
        return status;
    for (uint64_t i = 0; i < n / 2; i++) {
        const double lower = out->s[i];
        out->s[i] = out->s[n - 1 - i];
        out->s[n - 1 - i] = lower;
    }
    to_roots(out, n, exponent);
    const double kappa = out->s[0] / out->s[n - 1];
    out->method = SC_SVD_GRAM;
    out->error_bound = kappa < 1e8 ? fmin(1, 2 * DBL_EPSILON * kappa * kappa) : 1;
    const uint64_t unsure = count_unsure(out->s, n);
    if (unsure == 0 || !job->o->refine)
        return 0;
    out->method = SC_SVD_REFINED;
    return sc_svd_refine(job, used, n, unsure, out->s, &out->error_bound, e);
}

static int by_gram(const struct sc_svd_job *job, struct sc_svd *out, struct sc_error *e)
{
    const uint64_t n = job->n;
    double norm2 = 0, *g = sc_svd_doubles(n, n, e);
    uint32_t *used = sc_svd_items(n, 1, sizeof *used, e);
    int status = g && used ? sc_gram(job, g, &norm2, e) : SCRUPLE_EMEMORY;
    if (status == 0) {
        out->frobenius = sqrt(norm2);
        out->method = job->o->quick ? SC_SVD_LANCZOS : SC_SVD_GRAM;
        const uint64_t kept = squeeze(g, n, used);
        if (kept > 0) {
            const int exponent = scale_to_one(g, kept);
            status = job->o->quick ? quick_of_gram(job, g, kept, exponent, out, e)
                                   : all_of_gram(job, &g, used, kept, exponent, out, e);
        }
    }
    free(g);
    free(used);
    return status;
}

static int quick_of_stream(const struct sc_svd_job *job, struct sc_svd *out, struct sc_error *e)
{
    struct sc_gram_stream g;
    TRY(sc_gram_stream_start(job, 1, &g, e));
    out->method = SC_SVD_LANCZOS;
    const int status =
        sc_lanczos_top(job, (struct sc_operator){sc_gram_stream_apply, &g, job->n}, out, e);
    out->frobenius = sqrt(g.norm2);
    to_roots(out, out->n, 0);
    sc_gram_stream_clear(&g);
    return status;
}

/* --------------------------------------------------------------------------------- the door --- */
static bool fits(uint64_t rows, uint64_t cols, const struct sc_svd_options *o)
{
    const uint64_t n = SC_MIN(rows, cols), most = o->max_rank ? o->max_rank : DEFAULT_MAX_RANK;
    if (n > most)
        return false;
    struct sc_svd_options whole = *o;
    whole.memory = 0;
    return o->memory == 0 || sc_svd_memory(rows, cols, &whole) <= o->memory;
}

static int choose(const struct sc_svd_job *job, struct sc_svd *out, struct sc_error *e)
{
    if (fits(job->m->rows, job->m->cols, job->o))
        return by_gram(job, out, e);
    if (job->o->quick)
        return quick_of_stream(job, out, e);
    out->method = SC_SVD_ESTIMATE;
    return sc_svd_estimate(job, out, e);
}

int sc_svd_values(const struct sc_matrix *m, const struct sc_svd_options *o,
                  const struct sc_parallel *p, struct sc_svd *out, struct sc_error *e)
{
    struct sc_svd_job job = {.m = m, .o = o, .p = p, .wide = m->rows < m->cols};
    job.n = SC_MIN(m->rows, m->cols);
    job.length = SC_MAX(m->rows, m->cols);
    *out = (struct sc_svd){.n = (size_t)job.n};
    if (o->quick)
        out->n = (size_t)SC_MIN(o->top ? o->top : DEFAULT_TOP, job.n);
    if (job.n > INT32_MAX)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED, "a matrix has more than 2^31 rows and columns");
    if (job.n == 0)
        return 0;
    job.la = sc_lapack(e);
    out->s = sc_svd_doubles(out->n, 1, e);
    if (!job.la || !out->s) {
        sc_svd_clear(out);
        return job.la ? SCRUPLE_EMEMORY : SCRUPLE_EUNSUPPORTED;
    }
    memset(out->s, 0, out->n * sizeof *out->s);
    const bool before = sc_svd_flush(true);
    const int status = choose(&job, out, e);
    sc_svd_flush(before);
    if (status < 0) {
        sc_svd_clear(out);
        return status;
    }
    out->floor = out->s[0] * (double)job.length * DBL_EPSILON;
    for (size_t i = 0; i < out->n; i++)
        if (out->s[i] <= out->floor)
            out->s[i] = 0;
    return 0;
}

void sc_svd_clear(struct sc_svd *s)
{
    free(s->s);
    *s = (struct sc_svd){0};
}

uint64_t sc_svd_memory(uint64_t rows, uint64_t cols, const struct sc_svd_options *o)
{
    const uint64_t n = SC_MIN(rows, cols), length = SC_MAX(rows, cols);
    const double depth = (double)sc_panel_depth(n, length), m = (double)n;
    const double panel = depth * m * 2 + m; /* read as doubles, at most */
    double doubles;
    if (!fits(rows, cols, o))
        doubles = o->quick ? m * 420 + 400 * 406 : (double)sc_svd_estimate_doubles(n);
    else
        doubles = m * m + 1000 * m; /* the most that any step has beside a square and a panel */
    const double bytes = 8 * (doubles + panel);
    return bytes < 0x1p63 ? (uint64_t)bytes : UINT64_MAX;
}
