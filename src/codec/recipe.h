/* SPDX-License-Identifier: Apache-2.0 */
/* recipe: quantising to a grid that is made of the values themselves, with outliers kept out of it.
 *
 * Owns: what a recipe is and how it is spelt; grids of one block: which of its values are held out,
 * where the others are clipped, which levels there are, rounding to them.
 *
 * Does not own: where the blocks of a matrix lie (analyze/recipe.h).
 *
 * Round to nearest over minimum and maximum is what Yu et al. (arXiv 2411.07191) quantise with;
 * clipping and held-out weights are theirs, too. Everything is computed in double and rounded to a
 * float once. A block of one value is kept exactly; values that are not finite stay what they are,
 * and belong to no grid. Pure. */
#ifndef SC_RECIPE_H
#define SC_RECIPE_H

#include "codec/codec.h"

/* What shares a grid. Of a tensor of more than two dimensions each matrix (the last two) is by
 * itself. */
enum sc_recipe_shape {
    SC_RECIPE_ROW,
    SC_RECIPE_COL,
    SC_RECIPE_TENSOR, /* a whole matrix */
    SC_RECIPE_TILE,   /* height x width, less at the edges */
    SC_RECIPE_FLAT, /* `width` values one after the other, whatever the rows are; less at the end */
};
/* Where |x| is cut off (CLIP), or from where on a value is held out (HOLD). */
enum sc_recipe_limit {
    SC_LIMIT_NONE,
    SC_LIMIT_ABS,   /* |x| above `at` */
    SC_LIMIT_SHARE, /* the floor(at n) largest of n; of equals the first */
    SC_LIMIT_STD,   /* above mean + at * deviation of the |x|, (n - 1) below the root */
    SC_LIMIT_IQR,   /* above q3 + at (q3 - q1) of the |x|, quantiles between neighbours linear */
    SC_LIMIT_MSE, /* clip only: the share 1, .99, ... .30 of the largest |x| with the least squared
                     error, of equals the largest */
};
struct sc_recipe_cut {
    uint8_t how; /* enum sc_recipe_limit */
    bool whole;  /* over the matrix, not the block */
    double at;
};
struct sc_recipe {
    char name[64];  /* canonical */
    uint8_t bits;   /* 1 to 8: 2^bits levels */
    bool symmetric; /* levels k max|x| / (2^(bits - 1) - 1), k from -2^(bits - 1) on; else from the
                       minimum to the maximum in equal steps */
    bool shift;     /* the minimum plus (k + .49) steps of (max - min) / (2^bits - .01) */
    bool normal;    /* the levels of NF3 or NF4 between minimum and maximum */
    uint8_t shape;  /* enum sc_recipe_shape */
    uint32_t height, width;
    struct sc_recipe_cut clip, hold;
    double restore; /* what was held out comes back times this */
    bool bare;      /* nothing is held out by name */
};
/* "rtn4", "rtn3:block=128x128,clip=std:9,hold=share:0.0001", "rtn4:nf,block=flat:64". Does it begin
 * as one? */
bool sc_recipe_is(struct sc_str text);
int sc_recipe_parse(struct sc_str text, struct sc_recipe *out, struct sc_error *e);
/* The words, for help. */
extern const char *const sc_recipe_grammar;

/* |x| at which values are cut off, of n finite values of which some are held out (`held` NULL: none
 * is): INFINITY when none is; MSE, NONE: INFINITY. scratch: n floats. */
double sc_recipe_limit(const struct sc_recipe_cut *c, const float *x, const uint8_t *held, size_t n,
                       float *scratch);
/* Marks what is held out in held[n] (1; what is marked stays so); returns how many were added. */
size_t sc_recipe_hold(const struct sc_recipe_cut *c, const float *x, uint8_t *held, size_t n,
                      float *scratch);
/* One block. held (NULL: none) values are left out of the grid and come back times `restore`;
 * `limit`: what is larger is cut off. Returns how many were. x and y may be the same. */
size_t sc_recipe_round(const struct sc_recipe *r, double limit, const float *x, const uint8_t *held,
                       size_t n, float *y);
/* Bits of what a block of n values takes: codes; a float for the minimum and one for the step
 * (symmetric: only the step). */
uint64_t sc_recipe_bits(const struct sc_recipe *r, uint64_t n);

#endif
