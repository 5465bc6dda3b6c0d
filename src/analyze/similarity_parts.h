/* SPDX-License-Identifier: Apache-2.0 */
/* similarity_parts: what the files of similarity share. Private to analyze. */
#ifndef SC_SIMILARITY_PARTS_H
#define SC_SIMILARITY_PARTS_H

#include "analyze/experts_parts.h"
#include "analyze/similarity.h"

/* A Gram matrix is made and used in tiles of so many rows and columns. */
enum { SC_SIMILAR_TILE = 96 };

/* One weight of one expert. */
struct sc_similar_weight {
    struct sc_values *view; /* borrowed; NULL: there is none */
    struct sc_expert_piece piece;
    bool up;               /* of a cut piece: its second matrix */
    bool neurons_are_rows; /* as it lies in the file */
    uint64_t rows, cols;   /* of this matrix alone */
    uint64_t neurons, hidden;
    uint8_t state; /* enum sc_similarity_state */
    double square; /* sum of squares */
    uint32_t most; /* bits of the largest size */
    int shift;     /* values times 2^shift are below 1 */
    char *why;     /* it could not be read; NULL: not known */
};
/* One weight of all experts of a layer. */
struct sc_similar {
    const struct sc_similarity_options *o;
    enum sc_cpu level;
    struct sc_similar_weight *w; /* (n) */
    size_t n;
    uint64_t hidden, memory;
    double *inner; /* (n x n) <G_a, G_b>, of values times 2^shift; upper triangle */
    double *self;  /* (n) |G|^2 / (trace G)^2 */
    uint64_t seed;
    unsigned part;
    _Atomic uint64_t *done;
    uint64_t total; /* multiplications */
    uint64_t bytes; /* that progress calls all of them */
};
/* Multiplications were done. */
void sc_similar_count(const struct sc_similar *s, uint64_t macs);
bool sc_similar_stop(const struct sc_similar *s);
/* fn for every i below n in the pool; the first failure, by i. SCRUPLE_EINTERRUPTED after a cancel.
 */
int sc_similar_for(const struct sc_similar *s, size_t n,
                   int (*fn)(void *ctx, size_t i, struct sc_error *e), void *ctx,
                   struct sc_error *e);

/* After reading a weight: one that cannot be read is left out (0), running out of memory and a
 * signal end everything. */
int sc_similar_settle(struct sc_similar_weight *w, int code, const struct sc_error *e);

/* similarity_read.c. Lines first..first+n of a weight, times 2^shift: of neurons (each `hidden`
 * values) or of the hidden axis (each `neurons` values). */
int sc_similar_read(const struct sc_similar_weight *w, bool by_neuron, uint64_t first, uint64_t n,
                    float *dst, struct sc_error *e);
/* All of it, without the shift, and its square, most, shift and state. dst may be NULL. */
int sc_similar_measure(struct sc_similar_weight *w, bool by_neuron, float *dst,
                       const _Atomic int *cancel, struct sc_error *e);
/* n values times 2^shift, in place. */
void sc_similar_scale(float *x, size_t n, int shift);

/* similarity_gram.c. n vectors of `length` values, `stride` apart: inner products a <= b times
 * `weight` are added to inner (n x n), in tasks. */
struct sc_similar_vectors {
    const float *x;
    size_t n, length, stride;
    double weight;
    double *inner;
};
enum { SC_SIMILAR_ROWS = 8 }; /* of inner that one task takes */
void sc_similar_inner(const struct sc_similar_vectors *v, size_t first, enum sc_cpu level);
/* Multiplications of each way, and bytes that it takes; UINT64_MAX: too many to count. */
uint64_t sc_similar_cost(const struct sc_similar *s, enum sc_similarity_method how, uint64_t with);
/* Fill s->inner; weights that cannot be compared get their state. */
int sc_similar_grams(struct sc_similar *s, struct sc_error *e);
bool sc_similar_pairs_pay(const struct sc_similar *s); /* by shapes alone */
int sc_similar_pairs(struct sc_similar *s, struct sc_error *e);
/* similarity_sketch.c. Fill scores (n x n, upper triangle) and, of the sketch, errors of scores and
 * corrected scores, which are zero before, and s->self. */
int sc_similar_sketch(struct sc_similar *s, uint32_t probes, float *scores, double errors[2],
                      struct sc_error *e);
int sc_similar_original(struct sc_similar *s, uint32_t rank, float *scores, struct sc_error *e);
/* similarity_match.c. Neurons of experts a and b, each the row of `n_parts` weights beside one
 * another. */
int sc_similar_match(struct sc_similar_weight *const a[3], struct sc_similar_weight *const b[3],
                     size_t n_parts, const struct sc_similarity_options *o, uint64_t memory,
                     struct sc_similarity_pair *out, struct sc_error *e);
/* similarity_judge.c: joined scores, clusters, nearest, pairs, ranks. */
int sc_similar_judge(struct sc_similarity *s, struct sc_error *e);

#endif
