/* SPDX-License-Identifier: Apache-2.0 */
/* stream: values of tensors, decoded once, within a budget, in parallel.
 *
 * Owns: the threads of the program (one pool), views (any stored tensor as its logical values,
 * whatever its container, element type and layout), and sweeps (many tensors, each read and decoded
 * once for all passes that want it, in file order).
 *
 * Does not own: what is computed of the values (analyze, picture), number formats (codec), bytes
 * (source).
 *
 * Results are the same bits for any number of threads: work is cut into segments by shape alone,
 * and segments are merged in their order.
 */
#ifndef SC_STREAM_H
#define SC_STREAM_H

#include "math/math.h"
#include "model/model.h"

/* ---------------------------------------------------------------------------------- pool --- */
struct sc_pool;
/* threads 0: as many as this process may use (affinity, cgroup quota). With one, everything runs in
 * the calling thread. */
int sc_pool_new(unsigned threads, struct sc_pool **out, struct sc_error *e);
void sc_pool_free(struct sc_pool *p); /* NULL is allowed; nothing may be running */
/* fn(ctx, i) for every i below n; the caller takes part. May be called from inside fn: idle threads
 * help with the innermost work first. No spinning. */
void sc_pool_for(struct sc_pool *p, size_t n, void (*fn)(void *ctx, size_t i), void *ctx);
unsigned sc_pool_threads(const struct sc_pool *p);
/* The pool as math wants it; borrowed. */
struct sc_parallel sc_pool_parallel(struct sc_pool *p);

/* Bytes that this process should take for itself: `asked` (--memory), else a quarter of the RAM or
 * of the cgroup's limit, whichever is less; at least 64 MiB. */
uint64_t sc_memory_budget(uint64_t asked);

/* ---------------------------------------------------------------------------------- views ---
 * One logical tensor as values in row-major order. Values: an element gives one, a complex one two
 * (real part first). Logical: scales, zero points and permutations applied, GPTQ and AWQ transposed
 * to [out, in]. Exact: float operations in the order that the layout's definition gives.
 * A view may be read from many threads. The model must have been opened with keep_repo. */
struct sc_values {
    const struct sc_model *model;
    const struct sc_tensor *tensor;
    uint64_t count;      /* of all values */
    uint64_t rows;       /* product of all dimensions but the last; 1 for vectors and scalars */
    uint64_t cols;       /* values of the last dimension; rows * cols == count */
    uint64_t first_byte; /* where its main part starts in its file: for the order of work */
    sc_codec_id codec;   /* of the main part */
    uint8_t code_bytes;  /* 1, 2 or 4: plain contiguous little-endian elements whose value is a
                            function of these bytes alone, so sc_values_codes() works. F4 and F6 are
                            not. 0: no */
    bool is_double;      /* values do not fit a float: read64 is exact, read rounds */
    const struct sc_values_ops *ops; /* of a view that is computed from others; NULL: of a file */
};
/* SCRUPLE_EUNSUPPORTED with a sentence (which layout or type, and that it is only listed) when
 * values cannot be computed; SCRUPLE_EFORMAT when parts do not fit each other (scales of a wrong
 * shape, an index out of range). Small parts (scales, zero points, maps) are read here, bounded by
 * the tensor's own size. */
int sc_values_open(const struct sc_model *m, uint32_t tensor, struct sc_values **out,
                   struct sc_error *e);
void sc_values_close(struct sc_values *base); /* NULL is allowed */
/* Values first..first+n. Any alignment; whole blocks are fastest. */
int sc_values_read(struct sc_values *base, uint64_t first, uint64_t n, float *dst,
                   struct sc_error *e);
int sc_values_read64(struct sc_values *base, uint64_t first, uint64_t n, double *dst,
                     struct sc_error *e);
/* They are BF16 as it is stored: so are the codes. */
bool sc_values_are_bf16(const struct sc_values *base);
/* Codes of n values from `first` on where they lie in memory, until the view is closed; NULL: they
 * do not, or are not to be mapped. sc_values_check() tells, afterwards, whether they were those. */
const uint8_t *sc_values_map_codes(struct sc_values *base, uint64_t first, uint64_t n);
/* n_runs runs of n values, `stride` values apart, without gaps into dst: a rectangle. */
int sc_values_read_runs(struct sc_values *base, uint64_t first, uint64_t stride, size_t n_runs,
                        uint64_t n, float *dst, struct sc_error *e);
/* One of many such, each behind the one before: whether the file has changed meanwhile is for
 * sc_values_check() to say, after the last of them. */
int sc_values_read_unchecked(struct sc_values *base, uint64_t first, uint64_t stride, size_t n_runs,
                             uint64_t n, float *dst, struct sc_error *e);
/* SCRUPLE_ELIMIT for an expanded view (PyTorch) that shows a few stored elements as more than 2^32
 * values: nobody reads it whole. Sweeps ask for their passes; a task has to ask itself. */
int sc_values_check_expanded(const struct sc_values *v, struct sc_error *e);
/* Elements as stored (code_bytes each), in place when the file can be mapped, else copied to
 * scratch (n * code_bytes). *out is valid until close or the next use of scratch. */
int sc_values_codes(struct sc_values *base, uint64_t first, uint64_t n, void *scratch,
                    const void **out, struct sc_error *e);
/* n_runs runs of such elements, `stride` elements apart, each `apart` bytes behind the one before.
 */
int sc_values_read_codes(struct sc_values *base, uint64_t first, uint64_t stride, size_t n_runs,
                         uint64_t n, void *dst, size_t apart, struct sc_error *e);
/* A hint: values first..first+n will be read soon (remote files). */
void sc_values_prefetch(struct sc_values *base, uint64_t first, uint64_t n);
/* From now on a plain tensor is read through a mapping of its whole file, where the file can be
 * mapped: what is read again is not copied again. Call it before the first read, and
 * sc_values_check() after the last one. */
void sc_values_map(struct sc_values *base);
/* Has a file changed while it was read? `all`: not only of those that were mapped. */
int sc_values_check(struct sc_values *base, bool all, struct sc_error *e);
/* Hints, of local files too: values first..first+n will be read soon and to their end, so that they
 * come from the disk meanwhile; or not again, so that the system need not keep them. */
void sc_values_read_ahead(struct sc_values *base, uint64_t first, uint64_t n);
void sc_values_drop(struct sc_values *base, uint64_t first, uint64_t n);
/* Bytes in their file that so many values take. */
uint64_t sc_values_bytes(const struct sc_values *base, uint64_t n);
/* Is every read a matter of this machine alone? False: it may wait for a network. */
bool sc_values_are_near(struct sc_values *base);
/* Would reading these runs (as in sc_values_read_runs()) return without waiting for a network? With
 * `ask`, what is not here is asked for. A guess for folded layouts, of whose parts only the main
 * one is looked at. */
bool sc_values_are_here(struct sc_values *base, uint64_t first, uint64_t stride, size_t n_runs,
                        uint64_t n, bool ask);
/* Bytes that name the content of this tensor, for keys of stored results: the identity of its files
 * (the Hub's hash; device, inode, size and time of change of local ones), positions, types and
 * shapes of its parts. Appends to out; false: there is none (standard input). */
bool sc_values_identity(struct sc_values *v, struct sc_buf *out);

/* Views that are computed from others, chunk by chunk: nothing of them is ever in memory as a
 * whole. Their arithmetic is double, read rounds its result once to float. They have no codes. They
 * own the views that they are made of: these are closed with them, or at once when there is an
 * error.
 *
 * b - a, with the name and the shape of a; both have the same rows and columns (SCRUPLE_EFORMAT).
 * is_double when one of them is. */
int sc_values_open_difference(struct sc_values *a, struct sc_values *b, struct sc_values **out,
                              struct sc_error *e);
/* base + update, likewise, but always is_double: a small update of a large value is not lost. */
int sc_values_open_sum(struct sc_values *base, struct sc_values *update, struct sc_values **out,
                       struct sc_error *e);
/* scale * up * down: the weight update of a low-rank adapter. up is rows x rank, down rank x cols;
 * `transposed`: the transpose of that product. The two factors are kept in memory as floats, which
 * must be less than `memory` bytes (SCRUPLE_ELIMIT). Sums are in double, in the order of the rank.
 * `tensor` gives name and shape (its product is that of rows and cols) and must outlive the view.
 */
struct sc_low_rank {
    const struct sc_model *model; /* of the factors */
    const struct sc_tensor *tensor;
    uint32_t up, down; /* tensors of the model */
    uint64_t rows, cols, rank;
    double scale;
    bool transposed;
    uint64_t memory;
};
int sc_values_open_low_rank(const struct sc_low_rank *l, struct sc_values **out,
                            struct sc_error *e);
/* The factors of such a view as they are multiplied: rows x rank and rank x cols, after transposing
 * and without the scale. Borrowed. */
void sc_values_factors(const struct sc_values *base, const float **up, const float **down);
/* Zeros in the shape of `like`, which stays the caller's. */
int sc_values_open_zeros(const struct sc_values *like, struct sc_values **out, struct sc_error *e);
/* Values that somebody else computes, in the shape of `like`, which stays the caller's: read()
 * writes n values from `first` on, from any thread; close() ends ctx. There are no codes and no
 * identity. */
struct sc_computed {
    int (*read)(void *ctx, uint64_t first, uint64_t n, float *dst, struct sc_error *e);
    void (*close)(void *ctx);
    void *ctx;
};
/* After an error ctx stays the caller's. */
int sc_values_open_computed(struct sc_values *like, const struct sc_computed *how,
                            struct sc_values **out, struct sc_error *e);

/* The values of `inner` in another order, as the pairing of two models asks for it. Owns inner,
 * also after an error. SCRUPLE_EFORMAT: it has no such rows. */
int sc_values_open_arranged(struct sc_values *inner, const struct sc_arrangement *how,
                            struct sc_values **out, struct sc_error *e);

/* Both sides of a pair that both models have, as they stand against each other: values stand in the
 * same order. Shapes are equal but for dimensions of 1, and rows are the same for both; counts may
 * still differ where files are odd. Both are the caller's to close; after an error there is
 * nothing to close. */
int sc_values_open_pair(const struct sc_model *a, const struct sc_model *b,
                        const struct sc_pair *pair, struct sc_values **of_a,
                        struct sc_values **of_b, struct sc_error *e);
/* Where value `at` of an arranged view is among the stored ones. NULL: there. */
uint64_t sc_arranged_at(const struct sc_arrangement *how, uint64_t at);

/* A matrix of this view for math: `rows` x `cols` of the values that start at `first`, row-major.
 * Borrowed; the view must outlive it. */
struct sc_values_matrix {
    struct sc_values *view;
    uint64_t first;
    struct sc_matrix matrix; /* matrix.ctx is this struct */
};
void sc_values_matrix(struct sc_values *v, uint64_t first, uint64_t rows, uint64_t cols,
                      struct sc_values_matrix *out);

/* --------------------------------------------------------------------------------- sweeps ---
 * What a pass sees of a tensor at a time: a rectangle in cache. Either whole rows (col == 0, n_cols
 * == view->cols) or a part of one row (n_rows == 1). At most SC_CHUNK_VALUES values. */
#define SC_CHUNK_VALUES   (UINT64_C(1) << 16)
#define SC_SEGMENT_VALUES (UINT64_C(1) << 22) /* one thread takes so many at a time */
struct sc_chunk {
    const struct sc_values *view;
    uint64_t row, col;
    uint64_t n_rows, n_cols;
    const void *codes;      /* code_bytes each, when view->code_bytes and a pass wants them */
    const float *values;    /* when a pass wants them */
    const double *values64; /* likewise, when one of the two views has is_double */
    /* the other side of a pair (diff): same shape; NULL when the item has one view */
    const struct sc_values *view_b;
    const void *codes_b;
    const float *values_b;
    const double *values64_b;
};
enum sc_want { SC_WANT_CODES = 1, SC_WANT_VALUES = 2 };

/* One tensor, or a pair of equal shapes. */
struct sc_item {
    uint32_t tensor, tensor_b;      /* SC_NO_NODE: no second */
    const struct sc_model *model_b; /* of tensor_b */
    void *user;                     /* the caller's: where results go */
};

/* A pass. `ctx` is the pass's own setup. All functions may be called from many threads for
 * different items; merge and end for one item never at once. */
struct sc_pass {
    const char *name;
    /* Of this view: SC_WANT_*; 0: this tensor does not interest it. */
    unsigned (*wants)(void *ctx, const struct sc_item *item, const struct sc_values *v);
    /* What is known of a tensor when nothing has been read. */
    int (*begin)(void *ctx, const struct sc_item *item, const struct sc_values *v, void **total,
                 struct sc_error *e);
    /* Accumulators of one thread for one segment of visit 0, 1, ... `reuse` is a part of the same
     * item that merge has emptied (or that saw a segment that failed), or NULL; it belongs to the
     * pass again, on failure, too. */
    int (*part)(void *ctx, void *total, unsigned visit, void *reuse, void **part,
                struct sc_error *e);
    void (*chunk)(void *ctx, void *total, void *part, const struct sc_chunk *c);
    /* In the order of segments. The part is then reused or freed by part_free. */
    void (*merge)(void *ctx, void *total, void *part);
    void (*part_free)(void *ctx, void *part);
    /* After the last segment of a visit: true asks for another one (quantiles of floats). */
    bool (*again)(void *ctx, void *total, unsigned visit);
    /* The result into item->user; frees total. */
    int (*end)(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
               struct sc_error *e);
    void (*drop)(void *ctx, void *total); /* given up: cancelled, or reading failed */
};
/* Work on a tensor as a whole, beside the passes: spectra. `memory` tells what it will take. */
struct sc_task {
    const char *name;
    uint64_t (*memory)(void *ctx, const struct sc_item *item,
                       const struct sc_values *v); /* 0: skip */
    int (*run)(void *ctx, const struct sc_item *item, struct sc_values *v,
               const struct sc_parallel *p, struct sc_error *e);
};

struct sc_sweep {
    struct sc_pool *pool;
    const struct sc_model *model;
    const struct sc_item *items;
    size_t n_items;
    const struct sc_pass *const *passes; /* with their ctx in the same place */
    void *const *pass_ctx;
    size_t n_passes;
    const struct sc_task *task; /* may be NULL */
    void *task_ctx;
    uint64_t memory; /* budget in bytes for tasks; one task always runs */
    bool sparse;     /* the task reads some of each item: nothing is fetched before it asks */
    const _Atomic int *cancel;
    /* Views of an item that are not simply its tensors; NULL: they are. *b may stay NULL. From any
     * thread; the sweep closes them. `tensor` tells when it is read (and how much). */
    int (*open)(void *ctx, const struct sc_item *item, struct sc_values **a, struct sc_values **b,
                struct sc_error *e);
    /* An item is finished, or cannot be read (why is not NULL; the sweep goes on, unless the code
     * is SCRUPLE_EINTERRUPTED or SCRUPLE_EMEMORY). One call at a time. Non-zero stops. */
    int (*done)(void *ctx, size_t item, const struct sc_error *why);
    /* Now and then: bytes of tensors that are read, of all. From any thread, one at a time. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total, const char *tensor);
    void *ctx;
};
/* All items, in file order. 0, or what stopped it (SCRUPLE_EINTERRUPTED after a cancel). */
int sc_sweep_run(const struct sc_sweep *s, struct sc_error *e);

/* --------------------------------------------------------------------------------- panels ---
 * One tensor in rectangles, for work that looks along both axes: block formats, tiles of hardware,
 * pictures of error. All panels are `height` x `width` but those at the edges of a matrix. They are
 * looked at by many threads and merged by one at a time in their order (by matrix, then rows, then
 * columns), so results do not depend on threads. Memory: a panel and its scratch for each thread,
 * four parts a thread. Values are floats (doubles are rounded). What will be looked at soon is
 * asked for ahead. */
struct sc_rectangle {
    uint64_t index;            /* in this order, of all panels of the tensor */
    uint64_t matrix, row, col; /* where its first value stands */
    uint32_t n_rows, n_cols;
    float *values; /* n_rows x n_cols without gaps; look() may change them */
    /* with sc_panels.codes, and values is NULL: elements as they are stored, rows `stride` bytes
     * apart */
    const uint8_t *codes;
    size_t stride;
};
struct sc_panels {
    struct sc_values *view;
    uint64_t matrices, rows, cols; /* their product is view->count */
    uint32_t height, width;        /* at least 1; height * width is at most SC_PANEL_VALUES */
    size_t part;                   /* bytes of what one panel gives, zeroed for look() */
    size_t scratch;                /* bytes that look() may use, 64-byte aligned, not cleared */
    bool codes; /* look() gets codes, in place where a mapping costs less: view->code_bytes */
    void (*look)(void *ctx, const struct sc_rectangle *at, void *scratch, void *part);
    void (*merge)(void *ctx, const struct sc_rectangle *at, const void *part); /* values is NULL */
    void *ctx;
    const struct sc_parallel *p; /* NULL: this thread alone */
    const _Atomic int *cancel;   /* NULL: nothing ends it; SCRUPLE_EINTERRUPTED */
    const uint64_t *only;        /* (n_only) ascending: these panels alone; NULL: all */
    size_t n_only;
};
#define SC_PANEL_VALUES (UINT32_C(1) << 20)
/* 0 when every panel was looked at and merged. Else what failed at the first panel that failed:
 * reading, memory, a cancel, a file that changed meanwhile, SCRUPLE_EUSAGE for shapes that do not
 * fit each other. The view may be shared with others that read. */
int sc_panels_visit(const struct sc_panels *p, struct sc_error *e);
/* How many panels there are; UINT64_MAX: the shape does not fit the view. */
uint64_t sc_panels_count(const struct sc_panels *p);

#endif
