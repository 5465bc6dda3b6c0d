/* SPDX-License-Identifier: Apache-2.0 */
/* largest: the largest weights of a model, by their size alone.
 *
 * Owns: which matrices there are and which way round they stand (Conv1D, stacked experts, fused q,
 * k, v and gate, up), ranking their weights in one pass, how many of those found stand in one row
 * or column.
 *
 * Does not own: what such weights do (super), reading (stream).
 *
 * Exact and the same for any number of threads: of equal sizes the one in the earlier matrix, row
 * and column of the product counts as larger, so a ranking has one answer. NaN and infinities are
 * counted, never ranked. Of 64-bit types the nearest floats are ranked.
 */
#ifndef SC_LARGEST_H
#define SC_LARGEST_H

#include "result/result.h"
#include "stream/stream.h"

#define SC_SCHEMA_LARGEST "scruple.super-magnitude/1"

/* ------------------------------------------------------------------------------- matrices ---
 * A tensor is one matrix, a stack of experts one for each. Rows and columns are those of the
 * product y = W x: row of the output, column of the input, however the matrix is stored. */
enum sc_large_fused {
    SC_FUSED_NOT,
    SC_FUSED_HALVES, /* rows of gate, then rows of up */
    SC_FUSED_TURNS,  /* gate and up take turns, row by row (gpt-oss) */
    SC_FUSED_QKV,    /* `groups` times: rows of q, of k, of v */
};
struct sc_large_shape {
    uint64_t slices;        /* matrices in the tensor */
    uint64_t height, width; /* of one, as stored */
    uint64_t rows, cols;    /* of the product: the same, or the other way round */
    bool transposed;        /* stored [in, out] */
    uint8_t fused;          /* enum sc_large_fused */
    uint64_t groups, q, kv; /* SC_FUSED_QKV: rows of each in a group */
};
void sc_large_shape(const struct sc_model *m, uint32_t tensor, struct sc_large_shape *out);
/* What a row of the product belongs to: q, k, v of a fused one, else the tensor's role. */
enum sc_role sc_large_role(const struct sc_large_shape *s, enum sc_role role, uint64_t row);

/* -------------------------------------------------------------------------------- ranking --- */
enum sc_large_per { /* what one ranking is of */
                    SC_LARGE_PER_MODEL,
                    SC_LARGE_PER_LAYER,
                    SC_LARGE_PER_TENSOR,
                    SC_LARGE_PER_MATRIX, /* as tensor, but experts of a stack one by one */
                    SC_LARGE_PERS
};
extern const char *const sc_large_pers[SC_LARGE_PERS + 1]; /* "model", "layer", ..., NULL */
enum sc_large_criterion {
    SC_LARGE_TOP,     /* the `top` largest of each ranking */
    SC_LARGE_PERCENT, /* the largest `percent` of each: floor(n percent / 100), at least 1 */
    SC_LARGE_ABOVE,   /* |w| > above; one ranking of all */
};
#define SC_LARGE_KIND(role) (UINT32_C(1) << (role))
/* Kinds by name, as sc_role_names has them, with commas; "all". SCRUPLE_EUSAGE. */
int sc_large_kinds(const char *text, uint32_t *out, struct sc_error *e);
/* All but embeddings, positions, the output matrix, norms and biases; and matrices only. */
#define SC_LARGE_KINDS_DEFAULT 0

struct sc_large_range {
    uint64_t first, last;
};
enum { SC_LARGE_RANGES = 64 };
struct sc_large_ranges {
    struct sc_large_range p[SC_LARGE_RANGES];
    size_t n; /* 0: all layers, and what is in none */
};
/* "0-3,7". SCRUPLE_EUSAGE. */
int sc_large_layers(const char *text, struct sc_large_ranges *out, struct sc_error *e);

/* A weight whose size and rank are asked for, whether or not it is among the largest. */
struct sc_large_probe {
    uint32_t tensor;
    uint64_t element;
    bool known; /* it was read, and is finite */
    float value;
    _Atomic uint64_t larger; /* in its matrix, that count as larger */
};
struct sc_largest_options {
    struct sc_pool *pool;
    const _Atomic int *cancel;
    uint64_t memory;
    const struct sc_filter *filter; /* NULL: all */
    uint32_t kinds;                 /* of SC_LARGE_KIND(); SC_LARGE_KINDS_DEFAULT */
    const struct sc_large_ranges *layers;
    enum sc_large_per per;
    enum sc_large_criterion by;
    uint64_t top;
    double percent, above;
    struct sc_large_probe *probes; /* filled */
    size_t n_probes;
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* bytes; any thread */
    void *ctx;
};

struct sc_large_weight {
    uint32_t matrix;   /* of sc_largest.matrices */
    uint32_t group;    /* of sc_largest.groups */
    uint64_t element;  /* of the tensor, in row-major order */
    uint64_t row, col; /* of the product */
    float value;
    uint32_t in_row, in_col; /* how many of the list stand in its row, its column; itself too */
    uint8_t role;            /* enum sc_role */
};
struct sc_large_matrix {
    uint32_t tensor;
    uint32_t slice;
    int32_t layer, expert; /* -1: none */
    uint8_t role;          /* of the tensor */
    struct sc_large_shape shape;
    bool read;
    uint64_t count, nans, infinities; /* all values; of them */
    double rms, abs_max;              /* of finite ones; NaN: there is none */
    size_t chosen, rows, cols;        /* of the list; rows and columns that these stand in */
};
struct sc_large_group {
    uint32_t first_matrix;
    uint64_t values, asked; /* that are ranked; how many of them are wanted */
    uint64_t ties;          /* not in the list, though as large as its last */
    size_t first, n;        /* in weights */
};
/* A row or a column in which more of the list stand than chance would put there. With n of a
 * matrix's weights thrown into its L rows, a row holds k or more with the chance of the binomial
 * tail (n, 1 / L); `chance` is that times the number of lines that were looked at, rows and columns
 * of all matrices with at least three: a bound for any of them. */
struct sc_large_line {
    uint32_t matrix;
    bool column;
    uint64_t at;
    size_t n;
    double chance; /* below 0.01 */
};
struct sc_largest {
    struct sc_large_matrix *matrices;
    size_t n_matrices;
    struct sc_large_group *groups;
    size_t n_groups;
    struct sc_large_weight *weights; /* group by group, the largest first */
    size_t n;
    struct sc_large_line *lines; /* matrix by matrix, rows first, the fullest first */
    size_t n_lines, alone;       /* alone: weights that share neither row nor column */
    uint64_t values, nans, infinities;
    size_t unread; /* tensors whose values could not be read */
    char why[256]; /* the first reason */
};
/* Reads what is wanted once. n_matrices of 0: nothing is. SCRUPLE_ELIMIT: the list would not fit
 * the memory. Clear *out, also after a failure. */
int sc_largest_find(const struct sc_model *m, const struct sc_largest_options *o,
                    struct sc_largest *out, struct sc_error *e);
void sc_largest_clear(struct sc_largest *l);

/* ------------------------------------------------------------------------------- document ---
 * "asked", "totals", "weights", "lines", "groups", "matrices", "published", and after verifying
 * "effects", "nulls", "label", "call", "shift". All of it must outlive the document. */
struct sc_spotter;
struct sc_super_effects;
struct sc_super_knowns;
struct sc_super_list;
struct sc_largest_document {
    const struct sc_model *model;
    const struct sc_largest_options *asked; /* probes: one for each that is known, in its order */
    const char *const *filters;             /* (n_filters) as they were given */
    size_t n_filters;
    const struct sc_largest *found;
    const struct sc_super_knowns *known;
    const struct sc_spotter *spotter; /* NULL: no links */
    /* What a model does without them, of sc_super_verify() of sc_largest_list(); NULL: not asked */
    const struct sc_super_list *list;
    const struct sc_super_effects *effects;
};
/* The weights that were found as a list that can be verified and looked at (super.h), in the same
 * order. Clear it with sc_super_clear(). */
int sc_largest_list(const struct sc_model *m, const struct sc_largest *l, struct sc_super_list *out,
                    struct sc_error *e);
void sc_analyze_largest(struct sc_document *d, struct sc_field *into,
                        const struct sc_largest_document *s);

#endif
