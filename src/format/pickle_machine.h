/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the pickle machine, shared by pickle.c and pickle_value.c only. */
#ifndef SC_PICKLE_MACHINE_H
#define SC_PICKLE_MACHINE_H

#include "format/pickle.h"

/* What an opcode returns besides an error code. */
enum {
    SC_PK_GO = 0,
    SC_PK_DONE = 1,   /* STOP */
    SC_PK_BROKEN = 2, /* a problem was reported, and the file is read leniently */
    SC_PK_MORE = 3,   /* the opcode is not whole in the window */
};

struct sc_pk_far {
    uint64_t key;
    struct sc_pk *value;
};

struct sc_pickle {
    struct sc_catalog *c;
    uint32_t file;
    struct sc_error *e; /* of the run in progress */
    const struct sc_pickle_input *in;
    uint64_t pos;       /* in the pickle, of the opcode in progress */

    struct sc_arena arena;
    uint64_t spent, limit; /* bytes of values, stack and memo */
    uint64_t nodes;

    struct sc_pk **stack;
    size_t n, cap;
    size_t *marks; /* stack heights at which MARK was seen */
    size_t n_marks, marks_cap;

    /* Memo: an index that continues the dense part extends it, all others are looked up. LONG_BINPUT
     * 2^32-1 therefore costs one slot, not a table. */
    struct sc_pk **near;
    size_t n_near, near_cap;
    struct sc_pk_far *far;
    size_t n_far, far_cap;
    struct sc_index far_index;
    uint64_t memo_size; /* distinct indices; MEMOIZE takes the next */

    struct sc_pk_global **globals;
    size_t n_globals, globals_cap;
    struct sc_index global_index;
    const char *danger; /* the first name that would run code, or NULL */

    struct sc_pk **persistent;
    size_t n_persistent, persistent_cap;

    struct sc_pk none, yes, no, empty; /* shared: None, True, False, () */
    struct sc_pk small[256];           /* shared: integers that fit in a byte */

    uint8_t *window;
    size_t window_len, window_cap;
    uint64_t fetched; /* bytes taken from the input */
    uint64_t kept;    /* of these, what was not skipped */
    uint64_t skip;    /* bytes of a long text still to be passed over */
};

/* Reports that the pickle is invalid at the opcode in progress. Negative, or SC_PK_BROKEN. */
int sc_pk_bad(struct sc_pickle *p, const char *fmt, ...) SC_PRINTF(2, 3);
/* n bytes from the arena within the limits, or NULL; *code then says why. */
void *sc_pk_alloc(struct sc_pickle *p, size_t n, size_t align, int *code);
int sc_pk_new(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_pk **out);
int sc_pk_new_text(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_str text, bool cut,
                   struct sc_pk **out);
int sc_pk_new_int(struct sc_pickle *p, int64_t i, struct sc_pk **out);
/* A sequence that holds a copy of these n references. */
int sc_pk_new_sequence(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_pk *const *items,
                       size_t n, struct sc_pk **out);
int sc_pk_append(struct sc_pickle *p, struct sc_pk *v, struct sc_pk *const *items, size_t n);
int sc_pk_new_object(struct sc_pickle *p, const struct sc_pk *func, struct sc_pk *args,
                     struct sc_pk **out);
int sc_pk_new_global(struct sc_pickle *p, struct sc_str module, struct sc_str name,
                     struct sc_pk **out);
int sc_pk_count_call(struct sc_pickle *p, const struct sc_pk *func);
int sc_pk_new_persistent(struct sc_pickle *p, struct sc_pk *id, struct sc_pk **out);

int sc_pk_push(struct sc_pickle *p, struct sc_pk *v);
int sc_pk_mark(struct sc_pickle *p);
int sc_pk_memo_put(struct sc_pickle *p, uint64_t key, struct sc_pk *v);
struct sc_pk *sc_pk_memo_get(const struct sc_pickle *p, uint64_t key);
/* Forget stack and memo, keep the values. */
void sc_pk_reset(struct sc_pickle *p);

#endif
