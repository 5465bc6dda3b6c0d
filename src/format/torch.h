/* SPDX-License-Identifier: Apache-2.0 */
/* torch: what the readers of PyTorch files share. Private to format.
 *
 *   torch.c         recognition; zip archives (1.6 and later, TorchScript)
 *   torch_stream.c  the stream before 1.6, and bare pickles
 *   torch_tar.c     the tar archive of 0.1
 *       all three: pickle -> table of storages -> where each storage lies
 *   torch_walk.c    from the object in the pickle to names
 *   torch_tensor.c  from a call of _rebuild_... to storage, type, shape, strides; checks
 *   torch_share.c   whose bytes are whose when tensors share a storage */
#ifndef SC_TORCH_H
#define SC_TORCH_H

#include "format/pickle.h"

#define SC_MAX_PICKLE_NAMES 1000000 /* tensors of one file */
enum {
    SC_MAX_PICKLE_DEPTH = 16384, /* nesting of values that is walked for names */
    SC_MAX_PICKLE_METAS = 512,   /* plain values of a checkpoint that are kept: "epoch" */
    SC_MAX_PEEL = 64,            /* builders around builders */
};

/* A storage as the pickle refers to it, and where it lies. */
struct sc_torch_storage {
    struct sc_str key;
    uint32_t space;    /* names of one file may come from two places: data/ and constants/ */
    uint32_t index;    /* into catalog->storages, or SC_NO_STORAGE: not in the file */
    uint32_t dtype;    /* as in sc_entry */
    sc_codec_id codec; /* SC_OPAQUE: a class that we do not know */
    bool untyped;      /* numel counts bytes, the type comes with the tensor */
    bool conflict;     /* referred to in contradicting ways; reported */
    uint64_t numel;    /* as the reference has it */
    uint64_t need;     /* bytes that this takes; 0 where that is not known */
    uint64_t bytes;    /* bytes that the file has for it, unpacked */
    uint64_t offset;   /* file position of its stored bytes */
    uint64_t stored;
    uint8_t method;
};

struct sc_torch_tensor {
    uint32_t storage;   /* index into sc_torch.storages, or SC_NO_STORAGE: on no device */
    uint32_t dtype;     /* as in sc_entry */
    uint16_t block;     /* elements in ... */
    uint16_t unit;      /* ... so many bytes; 0: not known */
    uint32_t quantizer; /* as in sc_view */
    bool parameter;
    bool broken; /* a problem was reported, it is listed all the same (lenient) */
    size_t rank;
    uint64_t first;    /* in elements */
    uint64_t capacity; /* elements of the storage, or of the part that this tensor may see */
    uint64_t sizes[SC_MAX_RANK], strides[SC_MAX_RANK];
};

/* The bytes of a storage that one entry touches, from the first to the last. */
struct sc_torch_span {
    uint64_t low, high;
    uint32_t entry;
    uint32_t storage;
};

/* A tensor of the tar format, which describes tensors outside of the pickle. */
struct sc_torch_record {
    uint64_t key;
    uint32_t storage;
    uint32_t rank;
    uint64_t first, capacity;
    const uint64_t *dims; /* (2 * rank) sizes, then strides */
};

struct sc_torch {
    struct sc_catalog *c;
    uint32_t file;
    struct sc_source *s;
    struct sc_error *e;
    struct sc_pickle *pickle;
    struct sc_arena arena; /* what is needed until the file is listed */
    struct sc_torch_storage *storages;
    size_t n_storages, storages_cap;
    struct sc_index storage_index;
    struct sc_torch_span *spans;
    size_t n_spans, spans_cap;
    struct sc_torch_record *records;
    size_t n_records, records_cap;
    struct sc_index record_index;
    /* The last quantised tensor whose scales are tensors: its parameters are listed next. */
    uint32_t quantizer;                       /* as in sc_view; 0: none */
    const struct sc_pk *scales, *zero_points; /* arguments of their builders */
    bool tar;                                 /* persistent references are records */
    bool big_endian;
    struct sc_index names; /* entries of this file */
    size_t first_entry, n_names, n_twins, n_metas;
    uint64_t name_bytes; /* taken by names */
    uint64_t n_arrays;   /* numpy arrays, known once the pickle is freed */
};

/* How many bytes of names the tensors met so far deserve. Real ones take a tenth of it, and a deep
 * pickle can make long names of few bytes. */
static inline uint64_t sc_torch_name_memory(const struct sc_torch *t)
{
    return (UINT64_C(8) << 20) + 512 * sc_pickle_tensors(t->pickle);
}

/* Whole containers. Each reads the file and fills the catalog. */
int sc_torch_open_stream(struct sc_torch *t);
int sc_torch_open_tar(struct sc_torch *t);
/* Is the first header of this file one of such a tar? */
bool sc_torch_is_tar(const uint8_t *head, size_t n);

/* Problems of this file that are about one tensor, or none (tensor.p == NULL). Evaluates to 0 in
 * lenient mode. */
#define SC_TORCH_BAD(t, id, tensor, ...)                                                           \
    sc_problem((t)->c, SC_ERROR, id, (t)->file, tensor, SC_NO_OFFSET, (t)->e, __VA_ARGS__)
#define SC_TORCH_WARN(t, id, tensor, ...)                                                          \
    sc_problem((t)->c, SC_WARNING, id, (t)->file, tensor, SC_NO_OFFSET, (t)->e, __VA_ARGS__)

/* Enters every storage that the pickle refers to, from reference number `first` on, into the table
 * and its index into the reference (v->n). */
int sc_torch_collect(struct sc_torch *t, size_t first, uint32_t space);
/* The bytes of storage i were found: puts it into the catalog. */
int sc_torch_found(struct sc_torch *t, size_t i, const struct sc_storage *place);
int sc_torch_new_storage(struct sc_torch *t, const struct sc_torch_storage *s, uint32_t *index);
/* The storage with this key, or SC_NO_STORAGE. */
uint32_t sc_torch_find_storage(const struct sc_torch *t, struct sc_str key, uint32_t space);
/* Element type of a storage class: fills dtype, codec, untyped, need (from numel). */
int sc_torch_classify(struct sc_torch *t, const struct sc_pk_global *class,
                      struct sc_torch_storage *s);

/* Lists every tensor under `root`; prefix is put in front of the names ("" or "constants"). */
int sc_torch_walk(struct sc_torch *t, struct sc_pk *root, const char *prefix);
/* After all walks: gives every entry the bytes that are its own, and frees the pickle. */
int sc_torch_share(struct sc_torch *t);

/* What stands behind builders that only wrap another one. */
struct sc_torch_peeled {
    enum sc_pk_role role; /* TENSOR, TENSOR_V3, QTENSOR, SPARSE, NESTED, META or WRAPPER */
    struct sc_pk *args;
    struct sc_pk *state; /* attributes that travelled along, or NULL */
    bool parameter;
};
/* false: not a tensor after all. */
bool sc_torch_peel(const struct sc_pk *v, struct sc_torch_peeled *out);
/* Understands the arguments, checks them against the storage, and lists the tensor. */
int sc_torch_list(struct sc_torch *t, const struct sc_torch_peeled *peeled, struct sc_str name);
/* A persistent reference on its own: a bare storage, or a tensor of a tar. */
int sc_torch_list_reference(struct sc_torch *t, const struct sc_pk *v, struct sc_str name);

/* One pickle of a file that is read in place, from *pos on; *pos moves behind it. *root is NULL
 * when a problem was reported (lenient). */
int sc_torch_run(struct sc_torch *t, uint64_t *pos, uint64_t end, enum sc_pk_ids ids,
                 const char *what, struct sc_pk **root);
/* What sys_info says about the byte order. */
int sc_torch_read_sys_info(struct sc_torch *t, const struct sc_pk *sys_info);

/* A fact about the file, for `info`. */
int sc_torch_note(struct sc_torch *t, const char *key, struct sc_str text);

#endif
