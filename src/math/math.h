/* SPDX-License-Identifier: Apache-2.0 */
/* math: numbers about numbers.
 *
 * Owns: singular values by LAPACK and by Lanczos, what random-matrix theory expects of a matrix,
 * power-law fits, ranks, special functions, counter-based random numbers.
 *
 * Does not own: where a matrix lies (stream), what a figure is called and when it is bad (analyze),
 * threads: whoever has some lends them through struct sc_parallel.
 *
 * Every function gives the same bits for any number of threads. All of it is in double.
 */
#ifndef SC_MATH_H
#define SC_MATH_H

#include <stdatomic.h>

#include "kernel/kernel.h"

/* Threads of somebody else: run() calls fn(fn_ctx, i) for every i below n, in any order, at once if
 * it can, and returns when all are done; it may be called from inside fn. NULL: one after the
 * other. */
struct sc_parallel {
    void (*run)(void *ctx, size_t n, void (*fn)(void *fn_ctx, size_t i), void *fn_ctx);
    void *ctx;
    unsigned threads; /* at least 1 */
};
void sc_parallel_run(const struct sc_parallel *p, size_t n, void (*fn)(void *fn_ctx, size_t i),
                     void *fn_ctx);

/* A matrix that lies somewhere. read: rows row..row+n_rows, columns col..col+n_cols, row-major
 * without gaps into dst; from any thread. */
struct sc_matrix {
    uint64_t rows, cols;
    int (*read)(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols, float *dst,
                struct sc_error *e);
    void *ctx;
};

/* ------------------------------------------------------------------------ singular values --- */
enum sc_svd_method {
    SC_SVD_GRAM,     /* eigenvalues of the smaller Gram matrix */
    SC_SVD_REFINED,  /* and the smallest ones by QR and inverse Lanczos, where Gram loses them */
    SC_SVD_LANCZOS,  /* the largest `top` only */
    SC_SVD_ESTIMATE, /* stochastic Lanczos quadrature between Lanczos extremes */
};
struct sc_svd_options {
    bool quick;        /* Lanczos: the largest `top` only */
    size_t top;        /* 10 */
    bool refine;       /* spend a QR when Gram cannot tell the smallest to 1e-5 */
    uint64_t max_rank; /* above this smaller side: an estimate; 0: 16384 */
    uint64_t memory;   /* bytes that may be taken; 0: as needed (see sc_svd_memory) */
    const _Atomic int *cancel;
};
struct sc_svd {
    double *s; /* descending; all min(rows, cols) of them, `top` in quick mode. Estimates: one
                  value a rank, read off the estimated distribution */
    size_t n;
    enum sc_svd_method method;
    double error_bound; /* relative, of the smallest in s that is not 0; 1: it may be anything */
    double residual;    /* Lanczos: relative bound of the largest */
    double frobenius;   /* of the matrix, exact */
    double floor;       /* what is below is zero in double: s[0] max(rows, cols) eps */
};
/* The matrix is read once or a few times in panels; an estimate, and quick mode above max_rank,
 * read it some dozens of times. A matrix with NaN or infinity is refused (SCRUPLE_EFORMAT, "not
 * finite"). Zero matrices give zeros. May be called from any thread, for several matrices at once.
 * OpenBLAS is loaded on first need and runs with one thread; `p` gives the others. Clear *out with
 * sc_svd_clear(); after a failure there is nothing in it. */
int sc_svd_values(const struct sc_matrix *m, const struct sc_svd_options *o,
                  const struct sc_parallel *p, struct sc_svd *out, struct sc_error *e);
void sc_svd_clear(struct sc_svd *s);
/* Bytes that it takes at most: n^2 doubles, a panel, and 1000 vectors, n the smaller side. */
uint64_t sc_svd_memory(uint64_t rows, uint64_t cols, const struct sc_svd_options *o);

#endif
