/* SPDX-License-Identifier: Apache-2.0 */
/* format: containers, and the catalog of what they say.
 *
 * Owns: recognising a file by evidence, parsing the headers of safetensors, GGUF, PyTorch, NPZ and
 * NPY, index files and weight sets of a folder, and `sc_catalog`: names, element types, shapes,
 * positions and metadata exactly as written, with everything found wrong on the way.
 *
 * Does not own: what a name means (model). Never reads tensor bytes, except to verify a checksum
 * when asked to. Nothing from a file is ever executed.
 *
 * A finished catalog is immutable and may be read from many threads.
 */
#ifndef SC_FORMAT_H
#define SC_FORMAT_H

#include "codec/codec.h"
#include "hub/hub.h"
#include "source/source.h"

struct sc_catalog;

/* -------------------------------------------------------------------------------- entries --- */
#define SC_NO_STORAGE        UINT32_MAX
#define SC_FOREIGN_TYPE      UINT32_C(0x10000)
#define SC_MAX_FOREIGN_TYPES 4096

/* One stored tensor. 56 bytes: a model can have a million. */
struct sc_entry {
    const char *name;      /* catalog arena, NUL-terminated; may hold NUL inside */
    const uint64_t *shape; /* (rank) outermost first; interned: equal shapes share a pointer */
    uint64_t offset;       /* absolute byte position in its file */
    uint64_t bytes;        /* stored bytes that belong to this row: rows add up to the file */
    uint32_t name_len;
    uint32_t file;  /* index into catalog->files */
    uint32_t dtype; /* sc_codec_id, or SC_FOREIGN_TYPE | index into foreign_types */
    uint32_t view;  /* index into catalog->views, or SC_NO_STORAGE: plain and contiguous */
    uint8_t rank;
    uint8_t flags;
};
enum sc_entry_flags {
    SC_ENTRY_BROKEN = 1, /* listed by --lenient: its bytes are not (all) there */
    SC_ENTRY_TIED = 2,   /* shares all its bytes with an earlier entry */
    SC_ENTRY_BIG_ENDIAN = 4,
    SC_ENTRY_FORTRAN = 8, /* NPY in column-major order */
    SC_ENTRY_PARAMETER = 16,
};

/* PyTorch: a tensor is a strided window on a storage, and storages can be shared. */
struct sc_view {
    uint32_t storage;        /* index into catalog->storages */
    uint32_t quantizer;      /* position + 1 in catalog->quantizers; 0: none */
    uint64_t first;          /* storage offset, in elements */
    const uint64_t *strides; /* (rank) in elements */
};
struct sc_storage {
    const char *key; /* "0", "140235...": as the pickle names it */
    uint64_t offset; /* byte position in the file of the stored (maybe compressed) bytes */
    uint64_t stored; /* bytes in the file */
    uint64_t bytes;  /* bytes when unpacked */
    uint32_t file;
    uint32_t crc32; /* of the unpacked bytes, if has_crc */
    sc_codec_id dtype;
    uint32_t unseen; /* zip: so many bytes before `offset` stands a local header that was not read
                        when the file was opened; 0: it was. See sc_zip_check_local() */
    uint8_t method;  /* 0 stored, 8 deflated */
    bool has_crc;
    bool referenced;
};

/* PyTorch: what turns the integers of one quantised tensor into values, as the pickle says it.
 * Nothing of it was held against the tensor. */
struct sc_quantizer {
    bool per_channel;
    double scale; /* per tensor */
    int64_t zero_point;
    int64_t axis;                 /* per channel; -1: it is no dimension that can be counted */
    uint32_t scales, zero_points; /* entries; SC_NO_ENTRY_YET: not listed as tensors */
};
#define SC_NO_ENTRY_YET UINT32_MAX

/* ------------------------------------------------------------------------------- metadata --- */
enum sc_value_kind {
    SC_VALUE_NULL,
    SC_VALUE_BOOL,
    SC_VALUE_INT,
    SC_VALUE_UINT,
    SC_VALUE_FLOAT,
    SC_VALUE_STRING,
    SC_VALUE_ARRAY,
};
#define SC_PREVIEW_ITEMS 8
struct sc_value {
    uint8_t kind;    /* enum sc_value_kind */
    uint8_t element; /* arrays: kind of the elements */
    uint16_t shown;  /* arrays: items in `items`, at most SC_PREVIEW_ITEMS */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double f;
        struct sc_str s;
        struct {
            uint64_t count;               /* all elements */
            uint64_t offset;              /* byte position of the first in the file */
            const struct sc_value *items; /* the first `shown` */
        } a;
    } as;
};
struct sc_meta {
    struct sc_str key;
    struct sc_value value;
    uint32_t file;
};

/* What a pickle would have imported and called. */
enum sc_verdict {
    SC_VERDICT_KNOWN,   /* part of ordinary checkpoints, interpreted as data */
    SC_VERDICT_UNKNOWN, /* a class or function that we do not know; not loaded */
    SC_VERDICT_DANGER,  /* can run code or touch the system */
};
struct sc_import {
    const char *name; /* "torch._utils._rebuild_tensor_v2" */
    uint32_t file;
    uint32_t count;  /* times it was named */
    uint32_t called; /* times the pickle would have called it */
    uint8_t verdict; /* enum sc_verdict */
};

/* ------------------------------------------------------------------------------- findings --- */
enum sc_severity { SC_INFO, SC_WARNING, SC_ERROR };
struct sc_finding {
    const char *id;      /* stable, constant: "safetensors.hole" */
    const char *message; /* one sentence, sanitised, without the file name */
    const char *tensor;  /* sanitised name, or NULL */
    uint64_t offset;     /* UINT64_MAX: none */
    uint32_t file;       /* UINT32_MAX: the model as a whole */
    uint8_t severity;    /* enum sc_severity */
};

/* -------------------------------------------------------------------------------- catalog --- */
struct sc_file {
    const char *path;      /* relative to the repository root */
    const char *component; /* "" or the sub-folder of a diffusers component: "unet" */
    const struct sc_format *format;
    uint64_t bytes;        /* of the file */
    uint64_t header_bytes; /* header, directory, pickle: everything read to list it */
    uint64_t tensor_bytes; /* sum of its entries */
    uint64_t other_bytes;  /* bytes - header_bytes - tensor_bytes: padding, unreferenced data */
    uint64_t data_offset;  /* where tensor data starts, 0 where that means nothing */
};

struct sc_open_options {
    const char *const *include; /* globs on relative paths; NULL-terminated or NULL */
    const char *const *exclude;
    bool lenient;    /* list what is sound, record what is not */
    bool verify;     /* also read tensor data to verify checksums (zip CRC) */
    bool facts;      /* also read what only `info` and `check` tell: tokenizer, card */
    bool check;      /* also hold config, names and pickles against the tensors */
    bool keep_repo;  /* the repository stays open with the model: its bytes will be read. Large
                        tables go to pages of a file, which leaves memory for values */
    bool quick;      /* tables stay in memory with keep_repo, too (some 300 bytes a tensor), and the
                        headers of the shards of an index come from the disk together: for whoever
                        must begin at once */
    bool names_only; /* leave roles, towers, layers and experts of names unread */
    /* Headers of many shards are parsed by so many threads, as far as there are processors for
     * them; 0 and 1: by the caller alone. The result is the same. */
    unsigned threads;
    uint64_t max_extra_memory; /* 0: the built-in ceilings */
    const _Atomic int *cancel; /* optional: non-zero stops with SCRUPLE_EINTERRUPTED */
    void (*note)(void *ctx, const char *sentence); /* "3 weight sets, showing safetensors" */
    void *note_ctx;
    const struct sc_hub_options *hub; /* for names of the Hub; its cancel and note may be NULL,
                                         then those above serve; NULL: defaults */
};

/* One of the distinct shapes of a model. */
struct sc_shape {
    const uint64_t *dims;
    size_t rank;
};

struct sc_catalog {
    struct sc_file *files;
    struct sc_entry *entries;
    struct sc_view *views;
    struct sc_storage *storages;
    struct sc_quantizer *quantizers;
    struct sc_meta *metas;
    struct sc_import *imports;
    struct sc_finding *findings;
    struct sc_str *foreign_types;
    struct sc_shape *shapes;   /* interned; found through shape_index */
    uint32_t recent_shape[16]; /* position + 1 in shapes, by a few bits of the dimensions */
    size_t n_files, files_cap, n_entries, entries_cap, n_views, views_cap, n_storages, storages_cap,
        n_quantizers, quantizers_cap, n_metas, metas_cap, n_imports, imports_cap, n_findings,
        findings_cap, n_foreign_types, foreign_types_cap, n_shapes, shapes_cap;
    size_t findings_dropped; /* beyond SC_MAX_FINDINGS */
    bool filed;              /* large tables are pages of a file: sc_pages_new() */
    size_t n_errors, n_warnings;
    struct sc_arena arena; /* names, shapes, values, messages */
    struct sc_index shape_index;
    struct sc_index import_index;
    const struct sc_open_options *options; /* while opening */
    const char *weight_set;                /* "safetensors", "gguf", ...: what was chosen */
};

/* Find out what the files of a repository are, choose the weight set, read all headers.
 * *out is NULL on failure. The catalog keeps no reference to the repository. */
int sc_catalog_open(struct sc_repo *repo, const struct sc_open_options *o, struct sc_catalog **out,
                    struct sc_error *e);
void sc_catalog_close(struct sc_catalog *c);

const char *sc_entry_dtype(const struct sc_catalog *c, const struct sc_entry *en);
/* Of a quantised tensor of PyTorch; NULL: it is none, or the pickle does not say. */
const struct sc_quantizer *sc_entry_quantizer(const struct sc_catalog *c,
                                              const struct sc_entry *en);
/* Elements of an entry; shapes were checked when it was added. */
uint64_t sc_entry_elements(const struct sc_entry *en);
static inline struct sc_str sc_entry_name(const struct sc_entry *en)
{
    return sc_str(en->name, en->name_len);
}

/* ---------------------------------------------------------------- for the format parsers --- */
/* Copies name and shape; bytes/offset/dtype/flags are taken from *proto. Refuses (as problem) a
 * shape whose product wraps. Returns the new index through *index (may be NULL). */
int sc_catalog_add(struct sc_catalog *c, struct sc_str name, const uint64_t *shape, size_t rank,
                   const struct sc_entry *proto, uint32_t *index, struct sc_error *e);
/* As sc_catalog_add with a name that already lives in c->arena (no copy). */
int sc_catalog_add_borrowed(struct sc_catalog *c, struct sc_str name, const uint64_t *shape,
                            size_t rank, const struct sc_entry *proto, struct sc_error *e);
/* Adds what a catalog of one file holds, which is nothing but entries and metadata, to `file` of c.
 * The names of entries stay where they are, and have to live as long as c. */
int sc_catalog_adopt(struct sc_catalog *c, uint32_t file, const struct sc_catalog *from,
                     struct sc_error *e);
/* dtype value for a type that has no codec row; it is listed under this name. */
int sc_catalog_foreign_type(struct sc_catalog *c, struct sc_str name, uint32_t *dtype,
                            struct sc_error *e);
int sc_catalog_add_file(struct sc_catalog *c, const char *path, uint64_t bytes, uint32_t *index,
                        struct sc_error *e);
/* key and strings inside value are copied. */
int sc_catalog_add_meta(struct sc_catalog *c, uint32_t file, struct sc_str key,
                        const struct sc_value *value, struct sc_error *e);
int sc_catalog_add_view(struct sc_catalog *c, const struct sc_view *view, size_t rank,
                        uint32_t *index, struct sc_error *e); /* copies strides */
int sc_catalog_add_storage(struct sc_catalog *c, const struct sc_storage *s, struct sc_str key,
                           uint32_t *index, struct sc_error *e);
/* *position is what goes into sc_view.quantizer. */
int sc_catalog_add_quantizer(struct sc_catalog *c, const struct sc_quantizer *q, uint32_t *position,
                             struct sc_error *e);
/* Counts a global named by a pickle. */
int sc_catalog_add_import(struct sc_catalog *c, uint32_t file, struct sc_str name, bool called,
                          enum sc_verdict verdict, struct sc_error *e);

/* Report something wrong. Records a finding. Returns 0 when parsing may go on (a warning, or
 * lenient mode), else SCRUPLE_EFORMAT with e filled as "FILE: MESSAGE": pass it up with TRY().
 * A parser in lenient mode must therefore be able to continue after every call, by skipping the
 * tensor or stopping with what it has. tensor may have p == NULL; offset UINT64_MAX: none. */
int sc_problem(struct sc_catalog *c, enum sc_severity severity, const char *id, uint32_t file,
               struct sc_str tensor, uint64_t offset, struct sc_error *e, const char *fmt, ...)
    SC_PRINTF(8, 9);
#define SC_NO_TENSOR ((struct sc_str){NULL, 0})
#define SC_NO_OFFSET UINT64_MAX

static inline bool sc_cancelled(const struct sc_catalog *c)
{
    return c->options && c->options->cancel && *c->options->cancel;
}

/* What bid() sees: the beginning and the end of the file. */
struct sc_probe {
    const uint8_t *head; /* first head_len bytes */
    size_t head_len;     /* at most SC_PROBE_HEAD */
    uint64_t size;
    const char *path;
    struct sc_source *source; /* to look further (zip: the tail), only after head gave evidence */
};
#define SC_PROBE_HEAD 512

struct sc_format {
    const char *name;    /* "safetensors", "gguf", "torch", "npz", "npy" */
    const char *summary; /* for `scruple formats` */
    /* Bits of evidence that were verified; 0: not mine. A magic number of n bytes gives 8 n. The
     * suffix counts for nothing. */
    int (*bid)(const struct sc_probe *p);
    /* Header bytes only. `file` is the index of the file in c->files (its path and bytes are set;
     * the parser sets header_bytes and data_offset; tensor_bytes and other_bytes are computed by
     * the caller from the entries). The source stays with the caller. */
    int (*open)(struct sc_catalog *c, uint32_t file, struct sc_source *s, struct sc_error *e);
};
extern const struct sc_format sc_format_safetensors, sc_format_gguf, sc_format_torch, sc_format_npz,
    sc_format_npy;
extern const struct sc_format *const sc_formats[]; /* NULL-terminated; formats.c */

/* *format: the one with the highest bid, or NULL. When NULL, *stranger names what the file is
 * instead ("a Git LFS pointer ...", "an HTML page ..."), or is NULL too: unknown. Fails only when
 * the file cannot be read. */
int sc_format_probe(struct sc_source *s, const struct sc_format **format, const char **stranger,
                    struct sc_error *e);

#endif
