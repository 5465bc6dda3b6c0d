/* SPDX-License-Identifier: Apache-2.0 */
/* adapter: low-rank updates of another model's weights, as PEFT and kohya's scripts store them.
 *
 *     W' = W + scale * up * down        up: rows x rank, down: rank x cols
 *
 * Owns: which tensors belong together, what they are called in the base model, their scale. Does
 * not own: values.
 *
 * Immutable once opened, but for sc_adapter_settle_names() and sc_adapter_set_alpha().
 */
#ifndef SC_ADAPTER_H
#define SC_ADAPTER_H

#include "model/model.h"

enum sc_adapter_kind { SC_ADAPTER_PEFT, SC_ADAPTER_KOHYA };
extern const char *const sc_adapter_kind_names[]; /* "peft", "kohya" */

struct sc_update {
    uint32_t up, down, alpha_at; /* tensors of the adapter; SC_NO_NODE: alpha is not stored */
    uint32_t magnitude;          /* of DoRA; SC_NO_NODE: none */
    uint64_t rows, cols, rank;   /* of the update, dimensions behind the first are taken together */
    double alpha, scale;         /* scale NaN: alpha is a tensor that was not read yet */
    bool transposed;             /* the update is the transpose of up * down */
};
struct sc_adapter {
    enum sc_adapter_kind kind;
    const struct sc_model *model; /* borrowed */
    /* What it changes, as a model: tensors with the base model's names and shapes, first n_updates
     * of them, then n_whole whole weights that take the place of the base's. */
    struct sc_model target;
    struct sc_update *updates; /* (n_updates) */
    uint32_t *whole;           /* (n_whole) tensors of the adapter */
    size_t n_updates, n_whole;
    struct sc_adapter_left { /* tensors that cannot be used, and why */
        uint32_t tensor;
        const char *why;
    } * left;
    size_t n_left, n_magnitudes;
    const char *note; /* a sentence about what is not applied; NULL: all is */
    bool settled;     /* names and scales are final: sc_diff_settle_adapter() */
    struct sc_arena arena;
};
/* 1: m is an adapter, *out must be freed. 0: it is none. Every tensor of m is in exactly one of
 * updates (as up, down, alpha or magnitude), whole and left. */
int sc_adapter_open(const struct sc_model *m, struct sc_adapter **out, struct sc_error *e);
void sc_adapter_free(struct sc_adapter *a); /* NULL is allowed */
/* kohya's names have underscores for dots: gives targets the names that `base` has for them, where
 * exactly one fits. */
int sc_adapter_settle_names(struct sc_adapter *a, const struct sc_model *base, struct sc_error *e);
/* Which tensor of `base` each target changes: pairs of base and target. Without a base (NULL)
 * targets that are updates stand for both sides; whole weights are those of B only. */
int sc_adapter_pair(const struct sc_adapter *a, const struct sc_model *base,
                    const struct sc_filter *filter, struct sc_pairs *out, struct sc_error *e);
/* Once the tensor with alpha was read. */
void sc_adapter_set_alpha(struct sc_adapter *a, size_t update, double alpha);

#endif
