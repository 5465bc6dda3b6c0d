/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the pickle machine, shared by the pickle*.c files only. */
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
    uint64_t pos; /* in the pickle, of the opcode in progress */

    struct sc_arena arena;
    uint64_t spent, limit; /* bytes of values, stack and memo */
    uint64_t tensors;      /* see sc_pickle_tensors() */
    uint64_t arrays;       /* see sc_pickle_arrays() */
    uint64_t nodes;

    struct sc_pk **stack;
    size_t n, cap;
    size_t *marks; /* stack heights at which MARK was seen */
    size_t n_marks, marks_cap;

    /* Memo: an index that continues the dense part extends it, all others are looked up.
     * LONG_BINPUT 2^32-1 therefore costs one slot, not a table. */
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

/* An opcode with its argument, as it stands in the window. */
struct sc_pk_operation {
    uint8_t opcode;
    bool cut;                 /* the text is too long to keep: `skip` bytes follow */
    uint64_t number;          /* one number; a signed one by its bits */
    struct sc_str text, more; /* a line or a text; the second of two lines */
    size_t len;               /* bytes of the window that it takes */
    uint64_t skip;            /* bytes after these that it takes too */
};

static inline uint64_t sc_pk_number(const uint8_t *little_endian, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)little_endian[i] << 8 * i;
    return v;
}

/* What follows an opcode in the stream. */
struct sc_pk_shape {
    unsigned lines; /* lines of text */
    size_t bytes;   /* then so many bytes */
    bool text;      /* which are the length of a text */
};
/* false: no opcode. */
bool sc_pk_shape(uint8_t opcode, struct sc_pk_shape *out);

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

/* Values above the last MARK. */
static inline size_t sc_pk_above_mark(const struct sc_pickle *p)
{
    return p->n - (p->n_marks ? p->marks[p->n_marks - 1] : 0);
}
/* So many values must be there to be taken. */
#define SC_PK_NEED(p, count)                                                                       \
    do {                                                                                           \
        if (sc_pk_above_mark(p) < (count))                                                         \
            return sc_pk_bad(p, "the stack is empty");                                             \
    } while (0)
/* Takes the last MARK away; first becomes where its values begin. */
#define SC_PK_TAKE_MARK(p, first)                                                                  \
    do {                                                                                           \
        if ((p)->n_marks == 0)                                                                     \
            return sc_pk_bad(p, "there is no MARK");                                               \
        (first) = (p)->marks[--(p)->n_marks];                                                      \
    } while (0)

/* The opcodes. Each returns SC_PK_GO, SC_PK_BROKEN or an error code. */
int sc_pk_op_int(struct sc_pickle *p, struct sc_str s);
int sc_pk_op_long_text(struct sc_pickle *p, struct sc_str s);
int sc_pk_op_long(struct sc_pickle *p, const struct sc_pk_operation *op);
int sc_pk_op_float_text(struct sc_pickle *p, struct sc_str s);
int sc_pk_op_float(struct sc_pickle *p, uint64_t little);
int sc_pk_op_text(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_str s, bool cut);
int sc_pk_op_string(struct sc_pickle *p, struct sc_str s);
int sc_pk_op_unicode(struct sc_pickle *p, struct sc_str s);

int sc_pk_op_pop(struct sc_pickle *p);
int sc_pk_op_pop_mark(struct sc_pickle *p);
int sc_pk_op_dup(struct sc_pickle *p);
int sc_pk_op_fold_marked(struct sc_pickle *p, enum sc_pk_kind kind);
int sc_pk_op_tuple(struct sc_pickle *p, size_t n);
int sc_pk_op_put_one(struct sc_pickle *p, enum sc_pk_kind kind);
int sc_pk_op_put_marked(struct sc_pickle *p, enum sc_pk_kind kind);
int sc_pk_op_put(struct sc_pickle *p, uint64_t key);
int sc_pk_op_get(struct sc_pickle *p, uint64_t key);
int sc_pk_op_memo_text(struct sc_pickle *p, struct sc_str s, bool put);

int sc_pk_op_global(struct sc_pickle *p, struct sc_str module, struct sc_str name);
int sc_pk_op_stack_global(struct sc_pickle *p);
int sc_pk_op_call(struct sc_pickle *p);
int sc_pk_op_call_keywords(struct sc_pickle *p);
int sc_pk_op_inst(struct sc_pickle *p, const struct sc_pk_operation *op);
int sc_pk_op_obj(struct sc_pickle *p);
int sc_pk_op_build(struct sc_pickle *p);
int sc_pk_op_persistent_text(struct sc_pickle *p, struct sc_str s);
int sc_pk_op_persistent(struct sc_pickle *p);

#endif
