/* SPDX-License-Identifier: Apache-2.0 */
/* svd: what the files behind sc_svd_values() share.
 *
 * A matrix is seen with its longer side first: `length` vectors of n values, n the smaller side,
 * whichever way it lies. All dense matrices are column-major, as LAPACK wants them, and start at a
 * multiple of 64 bytes; work is cut into pieces that depend on shapes alone, so that the bits of a
 * result do not depend on threads. */
#ifndef SC_SVD_H
#define SC_SVD_H

#include "math/lapack.h"
#include "math/math.h"

struct sc_svd_job {
    const struct sc_matrix *m;
    const struct sc_svd_options *o;
    const struct sc_parallel *p;
    const struct sc_lapack *la;
    uint64_t n, length; /* the smaller and the larger side */
    bool wide;          /* n counts rows */
};
/* SCRUPLE_EINTERRUPTED when the caller wants no more. */
int sc_svd_pause(const struct sc_svd_job *job, struct sc_error *e);
/* sc_parallel_run() of job->p; results too small for a normal number become 0 in fn, because a
 * matrix of low rank would otherwise spend its time on them. */
void sc_svd_run(const struct sc_svd_job *job, uint64_t n, void (*fn)(void *ctx, size_t i),
                void *ctx);
/* Whether this thread does so; returns the old answer. */
bool sc_svd_flush(bool on);
/* a * b items of `size` bytes at a multiple of 64 bytes, to be freed with free(). */
void *sc_svd_items(uint64_t a, uint64_t b, size_t size, struct sc_error *e);
static inline double *sc_svd_doubles(uint64_t a, uint64_t b, struct sc_error *e)
{
    return sc_svd_items(a, b, sizeof(double), e);
}
/* Uniform in [-1, 1): number i of the sequence `seed` (SplitMix64; Steele, Lea, Flood 2014). */
double sc_svd_random(uint64_t seed, uint64_t i);

/* ------------------------------------------------------------------------ panels.c: reading --- */
/* `count` neighbours of the longer side as a count x n matrix: x[i + j * depth]. */
struct sc_panel {
    double *x;
    uint64_t depth, first, count;
    void *raw;           /* as read, floats or doubles, before they are transposed or widened */
    double *chunk_norm2; /* sums of squares, one a chunk */
    double norm2;        /* sum of squares of the panel */
};
uint64_t sc_panel_depth(uint64_t n, uint64_t length);
int sc_panel_start(const struct sc_svd_job *job, struct sc_panel *panel, struct sc_error *e);
void sc_panel_clear(struct sc_panel *panel);
/* From `first` on, as many as there are up to depth. Refuses what is not finite. */
int sc_panel_read(const struct sc_svd_job *job, struct sc_panel *panel, uint64_t first,
                  struct sc_error *e);

/* ------------------------------------------------------------------------------- gram.c --- */
/* The lower triangle of the smaller Gram matrix into g (n x n), and the sum of all squares. */
int sc_gram(const struct sc_svd_job *job, double *g, double *norm2, struct sc_error *e);

/* ------------------------------------------------- symmetric.c, band.c, chase.c: eigenvalues ---
 */
/* Eigenvalues of the lower triangle of a (n x n, destroyed) in ascending order into w. */
int sc_symmetric_values(const struct sc_svd_job *job, double *a, uint64_t n, double *w,
                        struct sc_error *e);
/* Orthogonal similarity to a band of `width` below the diagonal; a is destroyed. band: see
 * sc_band_ld(); zeroed by the caller, (n + 2 * width) columns. */
int sc_band_reduce(const struct sc_svd_job *job, double *a, uint64_t n, uint64_t width,
                   double *band, struct sc_error *e);
/* Column j of a band starts with its diagonal; the rest leaves room for the bulge. */
static inline uint64_t sc_band_ld(uint64_t width)
{
    return 2 * width + 8;
}
enum { SC_BAND_WIDTH = 32 };
/* From a band of SC_BAND_WIDTH to a tridiagonal matrix: d (n), e1 (n - 1). */
int sc_band_chase(const struct sc_svd_job *job, double *band, uint64_t n, double *d, double *e1,
                  struct sc_error *e);

/* ---------------------------------------------------------------- refine.c: small values --- */
/* Replaces those of s (n of them, descending, from the Gram matrix) that it cannot tell, s[n -
 * n_small..n), by what a QR factorisation says. used[j]: column j is not zero. bound: relative
 * error of the smallest. */
int sc_svd_refine(const struct sc_svd_job *job, const uint32_t *used, uint64_t n, uint64_t n_small,
                  double *s, double *bound, struct sc_error *e);
/* In place: every singular value of the n x n matrix a, which is destroyed, descending into s. */
int sc_bidiagonal_values(const struct sc_svd_job *job, double *a, uint64_t n, double *s,
                         struct sc_error *e);

/* --------------------------------------------------------- lanczos.c: largest eigenvalues --- */
/* y = A x for a symmetric A; x and y are n x width. */
struct sc_operator {
    int (*apply)(void *ctx, const double *x, uint64_t width, double *y, struct sc_error *e);
    void *ctx;
    uint64_t n;
};
/* `width` Krylov spaces that grow side by side, each orthonormal to rounding. */
struct sc_krylov {
    struct sc_operator op;
    uint64_t width, max_steps, steps;
    double *basis; /* vector j of space k: n doubles at ((j * width) + k) * n */
    double *alpha; /* [k * (max_steps + 1) + j] */
    double *beta;  /* likewise: norm of what step j left over */
    double *h, *y; /* scratch */
    double scale;  /* the largest norm seen */
};
int sc_krylov_start(const struct sc_svd_job *job, struct sc_operator op, uint64_t width,
                    uint64_t max_steps, struct sc_krylov *k, struct sc_error *e);
void sc_krylov_clear(struct sc_krylov *k);
int sc_krylov_step(const struct sc_svd_job *job, struct sc_krylov *k, struct sc_error *e);
/* Ritz values of space `which` in ascending order, and the squares of the first and the last
 * component of their vectors (each `steps` doubles). z: steps^2 + 3 steps doubles of scratch. */
int sc_krylov_ritz(const struct sc_svd_job *job, const struct sc_krylov *k, uint64_t which,
                   double *theta, double *first2, double *last2, double *z, struct sc_error *e);

/* y = G x for the Gram matrix G of the smaller side, read from the matrix at each use; ctx is this
 * struct. */
struct sc_gram_stream {
    const struct sc_svd_job *job;
    struct sc_panel panel;
    uint64_t width; /* the largest */
    double *u;      /* panel times x */
    double *parts;  /* a sum for each piece of a panel */
    double norm2;   /* of the matrix, after the first use */
};
int sc_gram_stream_start(const struct sc_svd_job *job, uint64_t width, struct sc_gram_stream *g,
                         struct sc_error *e);
void sc_gram_stream_clear(struct sc_gram_stream *g);
int sc_gram_stream_apply(void *ctx, const double *x, uint64_t width, double *y, struct sc_error *e);

/* The largest out->n eigenvalues of op, descending, into out->s; out->residual and ->error_bound
 * are those of their square roots. */
int sc_lanczos_top(const struct sc_svd_job *job, struct sc_operator op, struct sc_svd *out,
                   struct sc_error *e);

/* ----------------------------------------------------- quadrature.c: the whole distribution --- */
int sc_svd_estimate(const struct sc_svd_job *job, struct sc_svd *out, struct sc_error *e);
/* Doubles that it takes beside a panel. */
uint64_t sc_svd_estimate_doubles(uint64_t n);

#endif
