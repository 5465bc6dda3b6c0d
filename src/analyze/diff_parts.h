/* SPDX-License-Identifier: Apache-2.0 */
/* diff_parts: what the files of diff share. Private to analyze. */
#ifndef SC_DIFF_PARTS_H
#define SC_DIFF_PARTS_H

#include "analyze/diff.h"
#include "analyze/results.h"

/* What is left to measure of a pair. */
enum sc_diff_todo { SC_DIFF_TODO_CHANGE = 1, SC_DIFF_TODO_SPECTRUM = 2 };

/* A diff on its way. */
struct sc_diff_work {
    struct sc_diff *d;
    const struct sc_diff_options *o;
    struct sc_results *results; /* NULL: nothing is kept */
    struct sc_measure measure;  /* of spectra */
    uint8_t *todo;              /* (n) enum sc_diff_todo bits */
    struct sc_item *items;      /* of one sweep; item k is pair at[k] */
    uint32_t *at;
    bool *stored;                 /* of an item: both sides are read as they are */
    const struct sc_casts *casts; /* what is tried */
    bool spectra;                 /* this sweep is for them */
    size_t refused;               /* spectra that do not fit the memory; and about the first */
    struct sc_buf refusal;
    uint64_t before, total; /* bytes of earlier sweeps, of all */
    struct sc_buf key;      /* scratch of diff_known.c */
    struct sc_error *e;
};

/* What is wrong is not of one pair: the diff ends. */
static inline bool sc_diff_ends(int code)
{
    return code == SCRUPLE_EINTERRUPTED || code == SCRUPLE_EMEMORY;
}

/* The figures of pair i. */
static inline struct sc_change *sc_diff_change(const struct sc_diff_work *r, size_t i)
{
    return sc_record(&r->d->records, i);
}

/* --------------------------------------------------------------------------- diff_pairs.c --- */
/* Fills pairs of the diff, none of them measured. */
int sc_diff_pair_up(struct sc_diff_work *r);
/* Sets `same` of pairs that both sides store once: the first of them is where they count. */
int sc_diff_find_twins(struct sc_diff_work *r);
/* A pair of parts, or in another order: it is no twin of another one. */
bool sc_diff_is_arranged(const struct sc_diff_pair *p);
/* The stored tensor behind side b of a pair, and its model; of an update one of its factors. */
uint32_t sc_diff_stored_b(const struct sc_diff *d, const struct sc_diff_pair *p);
const struct sc_model *sc_diff_stored_model_b(const struct sc_diff *d);
/* Both sides of pair i, to be closed by the caller, after an error, too. Shapes are equal but for
 * dimensions of 1, so that the values stand in the same order whatever the rows are. */
int sc_diff_open_pair(struct sc_diff_work *r, size_t i, struct sc_values **a, struct sc_values **b,
                      struct sc_error *e);
/* What its spectrum is of: b - a, or an update. */
int sc_diff_open_difference(struct sc_diff_work *r, size_t i, struct sc_values **out,
                            struct sc_error *e);

/* --------------------------------------------------------------------------- diff_known.c --- */
/* Its spectrum is an estimate only because an exact one does not fit the memory. */
bool sc_diff_is_limited(const struct sc_diff_work *r, const struct sc_change *c);
/* Takes figures of an earlier run, or says in todo[i] what has to be measured and adds its bytes to
 * the total; a pair that cannot be opened is given up on. */
int sc_diff_look_up(struct sc_diff_work *r, size_t i);
/* Keeps what was measured. */
void sc_diff_remember(struct sc_diff_work *r, size_t i, enum sc_diff_todo part);
/* It cannot be compared, and why. */
int sc_diff_give_up_on(struct sc_diff_work *r, size_t i, const struct sc_error *why);
/* Bytes of both sides that are read. */
uint64_t sc_diff_bytes_of(const struct sc_diff_work *r, size_t i);

#endif
