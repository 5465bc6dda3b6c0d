/* SPDX-License-Identifier: Apache-2.0 */
/* recipe: matrices quantised by a recipe: where its blocks lie, which weights are held out by name.
 *
 * Owns: cutting a matrix into blocks, the view of a tensor after quantising, its figures and bytes.
 *
 * Does not own: a single block (codec/recipe.h).
 *
 * Where blocks and limits allow it a matrix is worked on some rows at a time, else as a whole.
 */
#ifndef SC_ANALYZE_RECIPE_H
#define SC_ANALYZE_RECIPE_H

#include "analyze/quality.h"
#include "codec/recipe.h"

/* Weights that are held out by name, in the order of tensors and places. */
struct sc_held {
    uint32_t tensor;
    uint64_t at; /* value of the tensor */
};
struct sc_held_list {
    const struct sc_held *p;
    size_t n;
};
struct sc_recipe_use {
    const struct sc_recipe *r; /* NULL: another format */
    struct sc_held_list held;
    const struct sc_parallel *p;
    const _Atomic int *cancel;
    unsigned parts; /* the memory that is allowed is one of so many parts of --memory; 0: 1 */
};
struct sc_recipe_counts {
    uint64_t blocks, clipped, held;
    uint64_t bits; /* codes and grids; of each held weight a float and its place in 32 bits */
};
/* rows x cols values at x to y. `first`: which value of tensor x[0] is, for the list. scratch: a
 * byte a value. Counts are added to *counts. SCRUPLE_EINTERRUPTED, SCRUPLE_EMEMORY. */
int sc_recipe_matrix(const struct sc_recipe_use *u, uint32_t tensor, uint64_t first, uint64_t rows,
                     uint64_t cols, const float *x, float *y, uint8_t *scratch,
                     struct sc_recipe_counts *counts, struct sc_error *e);
/* Bytes that a matrix takes while it is worked on. */
uint64_t sc_recipe_memory(const struct sc_recipe *r, const struct sc_parallel *p, uint64_t rows,
                          uint64_t cols);
/* How many rows of it are worked on at a time within `memory`: all, if they fit, else so many that
 * a block begins behind them. 0: not even those fit. The results are the same bits. */
uint64_t sc_recipe_rows(const struct sc_recipe *r, const struct sc_parallel *p, uint64_t rows,
                        uint64_t cols, uint64_t memory);

/* The tensor as it is after quantising by a recipe, or by another format (u->r NULL: `f`): a
 * matrix, or some rows of it, is computed when it is read, and kept until another is. `v` is
 * borrowed, and so is all of *u and f. SCRUPLE_ELIMIT. */
int sc_values_open_quantised(struct sc_values *v, uint32_t tensor, const struct sc_recipe_use *u,
                             const struct sc_encoding *f, uint64_t memory, struct sc_values **out,
                             struct sc_error *e);
/* What it costs a tensor; the quantiles of errors and the worst parts are not told (NaN,
 * UINT64_MAX). SCRUPLE_ELIMIT: a matrix of it does not fit `memory`. */
int sc_recipe_measure(struct sc_values *v, uint32_t tensor, const struct sc_recipe_use *u,
                      uint64_t memory, struct sc_quality *out, struct sc_error *e);

#endif
