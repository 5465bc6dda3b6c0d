/* SPDX-License-Identifier: Apache-2.0 */
/* pair: what the files that pair tensors share. Private to the model layer. */
#ifndef SC_PAIR_H
#define SC_PAIR_H

#include "model/model.h"

enum { SIDE_A, SIDE_B, SIDES };

/* A tensor under the name that the rule at work gives it. */
struct sc_keyed {
    struct sc_str key;
    uint32_t tensor;
    uint8_t side;
};
/* What is done to the values of one pair. */
struct sc_undone {
    const struct sc_arrangement *how[SIDES];
    const char *words; /* NULL: nothing */
};
struct sc_pairing {
    const struct sc_model *model[SIDES];
    uint32_t *mate[SIDES]; /* by tensor; SC_NO_NODE: none yet */
    uint8_t *rule[SIDES];
    struct sc_str *canonical[SIDES];
    struct sc_keyed *keyed; /* room for every tensor of both */
    struct sc_arena arena;  /* of what is not needed afterwards */
    /* Only when conversions are undone: */
    bool undo;
    int gguf;                 /* the side that is a GGUF where the other is none; -1 */
    const char *arch;         /* its architecture; NULL: no side is, or it does not say */
    struct sc_undone *undone; /* by tensor of A */
    bool *parted[SIDES];      /* by tensor: it is in `parts` */
    struct sc_pair *parts;    /* (n_parts) */
    size_t n_parts, parts_cap;
    struct sc_keyed *sorted[SIDES]; /* (n_tensors) by canonical name */
    struct sc_arena *kept;          /* the result's */
    struct sc_error *e;
};

bool sc_same_shape(const struct sc_tensor *a, const struct sc_tensor *b);
/* The only tensor of a side with this canonical name; SC_NO_NODE: none, or several. */
uint32_t sc_pairing_find(const struct sc_pairing *p, unsigned side, struct sc_str name);
/* Rows and columns as conversions see them: a vector is a column. */
uint64_t sc_pairing_cols(const struct sc_tensor *t);
uint64_t sc_pairing_rows(const struct sc_tensor *t);

/* pair_undo.c. Other canonical names where the architecture has a tensor under another one. */
int sc_undo_names(struct sc_pairing *p, struct sc_str *name, unsigned side);
/* Of pairs that were found: what the converter did to them. */
int sc_undo_pairs(struct sc_pairing *p);
/* Rows of q or k that the converter permuted: NULL when it did not. `other`: the tensor of the
 * other side that holds them. */
int sc_undo_heads(struct sc_pairing *p, const struct sc_tensor *t, const struct sc_tensor *other,
                  const struct sc_arrangement **out, const char **words);
/* Why a tensor is in one of them only; NULL: nobody knows. */
const char *sc_undo_why(const struct sc_pairing *p, unsigned side, uint32_t tensor);
enum sc_qkv { SC_QKV_IN_TURN, SC_QKV_BY_HEAD, SC_QKV_BY_GROUP };
/* How the rows of a fused qkv stand in a model that is no GGUF. */
enum sc_qkv sc_undo_qkv(const struct sc_pairing *p, const struct sc_tensor *t);
bool sc_undo_interleaves(const struct sc_pairing *p); /* gate and up: row by row */
bool sc_undo_turns(const struct sc_pairing *p, const struct sc_tensor *experts);
uint64_t sc_undo_kv_heads(const struct sc_pairing *p, uint64_t *heads); /* 0: nobody says */
const struct sc_arrangement *sc_undo_keep(struct sc_pairing *p, const struct sc_arrangement *how);

/* pair_parts.c: fused and stacked tensors against their parts. */
int sc_pair_parts(struct sc_pairing *p);

#endif
