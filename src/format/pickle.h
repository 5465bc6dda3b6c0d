/* SPDX-License-Identifier: Apache-2.0 */
/* pickle: Python pickles read as data. Private to format.
 *
 * A pickle is a program for a stack machine: it pushes values, names classes and functions, and
 * calls them. This machine has the stack and the values, but no import and no call: a class or
 * function is a name, and calling it makes an object that remembers what was called with what.
 * Every name is counted in the catalog with a verdict, also one whose result is thrown away.
 *
 * Owns: all opcodes of protocols 0 to 5 (pickle.c lists the files), values and their limits, the
 * table of names. Does not own: what a tensor is (torch_tensor.c).
 *
 * The bytes are read once, front to back, in a window of some KiB; text longer than a tensor name
 * may be is skipped, so a pickle that carries megabytes of arrays costs nothing. Values form a
 * graph: what was memoised is shared by reference, and lists and dicts may contain themselves, so
 * nothing that walks them may recurse, or trust that a walk ends. */
#ifndef SC_PICKLE_H
#define SC_PICKLE_H

#include "format/format.h"

enum sc_pk_kind {
    SC_PK_NONE,
    SC_PK_BOOL,
    SC_PK_INT,    /* fits in 64 bits */
    SC_PK_BIGINT, /* as text: decimal, or "0x..." when the file has it in binary */
    SC_PK_FLOAT,
    SC_PK_BYTES, /* also the str of Python 2 */
    SC_PK_STR,   /* UTF-8, not validated */
    SC_PK_TUPLE,
    SC_PK_LIST,
    SC_PK_DICT, /* items are key, value, key, value; a key may be there twice */
    SC_PK_SET,
    SC_PK_GLOBAL,     /* a class or function, by name */
    SC_PK_OBJECT,     /* the result of calling something */
    SC_PK_PERSISTENT, /* a reference to something outside of the pickle: a storage */
};

/* What a global means to the reader of torch files. */
enum sc_pk_role {
    SC_PK_ROLE_NONE,
    SC_PK_ROLE_ORDERED_DICT,
    SC_PK_ROLE_ENCODE,        /* _codecs.encode(text, "latin1"): bytes in protocol 2 */
    SC_PK_ROLE_NEWOBJ,        /* copyreg.__newobj__(class, ...) */
    SC_PK_ROLE_RECONSTRUCTOR, /* copyreg._reconstructor(class, base, state) */
    SC_PK_ROLE_SIZE,
    SC_PK_ROLE_STORAGE,                     /* torch.FloatStorage ... */
    SC_PK_ROLE_DTYPE,                       /* torch.float32 ... */
    SC_PK_ROLE_THROUGH,                     /* stands for its first argument */
    SC_PK_ROLE_ARRAY,                       /* a numpy array */
    SC_PK_ROLE_BUILDER,                     /* from here on: calling it makes a tensor */
    SC_PK_ROLE_TENSOR = SC_PK_ROLE_BUILDER, /* (storage, offset, size, stride, ...) */
    SC_PK_ROLE_TENSOR_V3,                   /* the same with a dtype as argument 6 */
    SC_PK_ROLE_QTENSOR,                     /* the same with quantizer parameters as argument 4 */
    SC_PK_ROLE_PARAMETER,                   /* (tensor, ...) */
    SC_PK_ROLE_COPY,                        /* (tensor, ...), moved to a device */
    SC_PK_ROLE_TENSOR_CLASS,                /* Parameter or Variable, called as a class: (tensor) */
    SC_PK_ROLE_FROM_TYPE,                   /* (builder, type, arguments, state) */
    SC_PK_ROLE_SPARSE,                      /* (layout, (indices, ..., values, size)) */
    SC_PK_ROLE_NESTED,                      /* (buffer, sizes, strides, offsets) */
    SC_PK_ROLE_META,                        /* (dtype, size, stride, requires_grad): no bytes */
    SC_PK_ROLE_WRAPPER, /* (class, dtype, size, stride, ...): bytes are in its state */
};

struct sc_pk_global {
    struct sc_str module, name;
    struct sc_str dotted; /* "module.name", safe to print; NUL-terminated */
    uint8_t verdict;      /* enum sc_verdict */
    uint8_t role;         /* enum sc_pk_role */
};

struct sc_pk {
    uint8_t kind; /* enum sc_pk_kind */
    bool cut;     /* text: longer than SC_MAX_NAME, not kept */
    bool ordered; /* dict: an OrderedDict, which may have attributes */
    uint8_t walk; /* for those who walk the graph; starts at 0 */
    uint32_t n;   /* items of a sequence; twice the pairs of a dict; free in SC_PK_PERSISTENT */
    union {
        bool b;
        int64_t i;
        double f;
        struct sc_str s;
        struct {
            struct sc_pk **item;
            size_t cap;
        } seq;
        const struct sc_pk_global *global;
        struct sc_pk_object *object;
        struct sc_pk *id; /* the persistent id: a tuple or text */
    } as;
};

struct sc_pk_object {
    const struct sc_pk *func; /* SC_PK_GLOBAL or SC_PK_OBJECT */
    struct sc_pk *args;       /* SC_PK_TUPLE */
    struct sc_pk *state;      /* what BUILD gave it, or NULL; after several, a tuple of two */
    struct sc_pk *dict;       /* what SETITEM(S) put into it, or NULL */
    struct sc_pk *list;       /* what APPEND(S) and ADDITEMS put into it, or NULL */
};

/* Which persistent ids a pickle may use. */
enum sc_pk_ids {
    SC_PK_IDS_NONE,
    SC_PK_IDS_STORAGE, /* ("storage", class, key, location, numel[, view]) */
    SC_PK_IDS_STREAM,  /* the same, and ("module", class, file, source), which is its class */
    SC_PK_IDS_TAR,     /* a number, and (class, file, source), which is its class */
};

struct sc_pickle;

/* All pickles of one file run in one machine, and their values live until it is freed. `memory`
 * bounds what values, stack and memo may take; beyond it, or beyond SC_MAX_PICKLE_NODES values, a
 * run fails with SCRUPLE_ELIMIT. */
int sc_pickle_new(struct sc_catalog *c, uint32_t file, uint64_t memory, struct sc_pickle **out,
                  struct sc_error *e);
void sc_pickle_free(struct sc_pickle *p);
/* The bound that a pickle of so many bytes in the file deserves: real ones need some 20 bytes a
 * byte, so a small file that unpacks to a large pickle is not given half a gigabyte. Below it, what
 * a run may take grows with the tensors that it meets. */
uint64_t sc_pickle_memory(uint64_t stored_bytes);

/* Where the bytes of a pickle come from. */
struct sc_pickle_input {
    /* *got is less than want only at the end; dst NULL: the bytes are skipped. */
    int (*read)(void *ctx, void *dst, size_t want, size_t *got, struct sc_error *e);
    void *ctx;
    uint64_t size;    /* bytes up to the end of the data; the pickle may end before */
    uint64_t offset;  /* file position of the first byte, or SC_NO_OFFSET (packed) */
    const char *what; /* for messages: "data.pkl" */
    enum sc_pk_ids ids;
};
/* Reads one pickle. *result is its value, owned by the machine, or NULL when a problem was
 * reported in lenient mode. *used is what it took, its STOP included. */
int sc_pickle_run(struct sc_pickle *p, const struct sc_pickle_input *in, struct sc_pk **result,
                  uint64_t *used, struct sc_error *e);

/* An input that reads a stretch of a source, without fetching what is skipped. */
struct sc_pickle_stretch {
    struct sc_source *source;
    uint64_t pos, end;
};
int sc_pickle_read_stretch(void *stretch, void *dst, size_t want, size_t *got, struct sc_error *e);

/* Every persistent reference made so far, in order, also those that the result does not reach. */
struct sc_pk *const *sc_pickle_persistent(const struct sc_pickle *p, size_t *n);
/* References to storages made so far, and calls that make a tensor without one. */
uint64_t sc_pickle_tensors(const struct sc_pickle *p);
/* Calls that make a numpy array. */
uint64_t sc_pickle_arrays(const struct sc_pickle *p);
/* Values made so far. */
uint64_t sc_pickle_nodes(const struct sc_pickle *p);

/* Are the first n of `size` bytes those of a pickle? Looks at opcodes only; text is none. */
bool sc_pickle_sniff(const uint8_t *sample, size_t n, uint64_t size);

/* ------------------------------------------------------------------------------- accessors --- */
/* Text of a STR or BYTES that was kept. */
static inline bool sc_pk_text(const struct sc_pk *v, struct sc_str *out)
{
    if (!v || (v->kind != SC_PK_STR && v->kind != SC_PK_BYTES) || v->cut)
        return false;
    *out = v->as.s;
    return true;
}
static inline bool sc_pk_is_sequence(const struct sc_pk *v)
{
    return v && (v->kind == SC_PK_TUPLE || v->kind == SC_PK_LIST);
}
/* Item i of a tuple or list, or NULL. */
static inline const struct sc_pk *sc_pk_item(const struct sc_pk *v, size_t i)
{
    return sc_pk_is_sequence(v) && i < v->n ? v->as.seq.item[i] : NULL;
}
static inline enum sc_pk_role sc_pk_role(const struct sc_pk *v)
{
    return v && v->kind == SC_PK_GLOBAL ? (enum sc_pk_role)v->as.global->role : SC_PK_ROLE_NONE;
}
/* Role of what was called to make v. */
static inline enum sc_pk_role sc_pk_made_by(const struct sc_pk *v)
{
    return v && v->kind == SC_PK_OBJECT ? sc_pk_role(v->as.object->func) : SC_PK_ROLE_NONE;
}

/* What is known about a name, without running anything. */
enum sc_verdict sc_pk_judge(struct sc_str module, struct sc_str name, enum sc_pk_role *role);

#endif
