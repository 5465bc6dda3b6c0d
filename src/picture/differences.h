/* SPDX-License-Identifier: Apache-2.0 */
/* differences: two models as one picture, B - A.
 *
 * Owns: the tensors of that picture, one for each pair of the two models, and their values: what
 * sc_models_match() pairs is B - A, computed while it is read; what only one side has, or both with
 * different shapes, has no values but a pixel of its own. Of an adapter B - A is the update, which
 * is computed from its factors; what it leaves alone is 0 everywhere.
 *
 * Does not own: the pairing (model), figures of pairs (analyze/diff.h), the plan and tiles, which
 * are those of any picture.
 *
 * A tensor of the picture stands where A's does, under A's name; what only B has, under B's. Where
 * one side stores whole what the other stores in parts, the parts are drawn. Immutable; any thread.
 */
#ifndef SC_DIFFERENCES_H
#define SC_DIFFERENCES_H

#include "picture/tiles.h"

struct sc_differences;
struct sc_differences_options {
    const struct sc_model *a; /* NULL: an adapter by itself */
    const struct sc_model *b;
    const struct sc_adapter *adapter; /* instead of b, settled by sc_diff_settle_adapter(); NULL */
    const struct sc_filter *filter;   /* as for sc_models_match() */
    uint64_t memory;                  /* bytes for the factors of one update */
};
/* Reads nothing but small parts. All models must outlive it, and have been opened with keep_repo.
 */
int sc_differences_new(const struct sc_differences_options *o, struct sc_differences **out,
                       struct sc_error *e);
void sc_differences_free(struct sc_differences *d); /* NULL is allowed */
/* The picture's tensors as a model: tensor i is pair i of sc_models_match(), and of a sc_diff of
 * the same two models and filter. It has no sources, tree and metadata of its own. */
const struct sc_model *sc_differences_model(const struct sc_differences *d);
const struct sc_pair *sc_differences_pair(const struct sc_differences *d, uint32_t tensor);
/* Where the pair of a tensor stands in sc_diff_run() of the same models; SC_NO_NODE: an adapter
 * does not touch it. And the other way round. */
uint32_t sc_differences_figures(const struct sc_differences *d, uint32_t tensor);
uint32_t sc_differences_tensor(const struct sc_differences *d, uint32_t pair);
/* For sc_pyramids_options; borrowed. */
const struct sc_drawn_values *sc_differences_values(const struct sc_differences *d);

struct sc_two_elements {
    bool has_a, has_b;
    struct sc_element_facts a, b; /* values as they stand against each other, bytes as stored */
    const char *file_a, *file_b;  /* that holds these bytes; NULL: B is computed */
    double difference;            /* b - a; NaN: there are not two */
    uint64_t ulp;                 /* sc_ulp_between(); UINT64_MAX: none */
};
/* Element `at` of a tensor of the picture, in row-major order; it must be there. Waits for the
 * network. */
int sc_differences_at(const struct sc_differences *d, uint32_t tensor, uint64_t at,
                      struct sc_two_elements *out, struct sc_error *e);

#endif
