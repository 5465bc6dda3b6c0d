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

#endif
