/* SPDX-License-Identifier: Apache-2.0 */
/* recipe: matrices quantised by a recipe: where its blocks lie, which weights are held out by name.
 *
 * Owns: cutting a matrix into blocks, the view of a tensor after quantising, its figures and bytes.
 *
 * Does not own: a single block (codec/recipe.h).
 *
 * A matrix is worked on as a whole, because limits may be over all of it.
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
    const struct sc_recipe *r;
    struct sc_held_list held;
    const struct sc_parallel *p;
    const _Atomic int *cancel;
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

/* The tensor as it is after quantising by a recipe, or by another format (u->r NULL: `f`): a matrix
 * at a time is computed when it is first read, and kept. `v` is borrowed, and so is all of *u and
 * f. SCRUPLE_ELIMIT. */
int sc_values_open_quantised(struct sc_values *v, uint32_t tensor, const struct sc_recipe_use *u,
                             const struct sc_encoding *f, uint64_t memory, struct sc_values **out,
                             struct sc_error *e);
/* What it costs a tensor; the quantiles of errors and the worst parts are not told (NaN,
 * UINT64_MAX). SCRUPLE_ELIMIT: a matrix of it does not fit `memory`. */
int sc_recipe_measure(struct sc_values *v, uint32_t tensor, const struct sc_recipe_use *u,
                      uint64_t memory, struct sc_quality *out, struct sc_error *e);

#endif
