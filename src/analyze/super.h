/* SPDX-License-Identifier: Apache-2.0 */
/* super: single weights on which a model depends.
 *
 * Owns: finding them by what they do (a spike behind a down projection of which one weight makes
 * the most); telling what happens without them, in one reading of the model.
 *
 * Does not own: the pass (forward), tokens (text), words (report), weights that are only large
 * (largest), coordinates that were published (super_known).
 *
 * Super weights are those of Yu et al., arXiv 2411.07191: their detector looks at the largest input
 * and output of each down projection; this one computes what each weight adds. With output
 * Y[t, r] = sum over k of W[r, k] X[t, k], the share of weight [r, k] is W[r, k] X[t, k] / Y[t, r],
 * exactly. Found ones are zeroed and the model is run again until nothing new is found, because one
 * can hide another.
 */
#ifndef SC_SUPER_H
#define SC_SUPER_H

#include "forward/forward.h"
#include "result/result.h"

struct sc_spotter;

#define SC_SCHEMA_SUPER "scruple.super/1"

#define SC_SUPER_NO_LAYER UINT32_MAX
struct sc_super_weight {
    uint32_t layer;    /* SC_SUPER_NO_LAYER: it is in none */
    int32_t expert;    /* -1: the dense MLP, -2: the shared expert */
    uint32_t row, col; /* of the down projection: channel of the stream, neuron of the MLP */
    const char *kind;  /* of another matrix: what it is, "q_proj", a constant; NULL: down */
    uint32_t tensor;   /* and where it is stored: dimension 0, all others */
    uint64_t stored_row, stored_col;
    float weight, input, output; /* W[row, col], X[token, col], Y[token, row] */
    double share;                /* of the output that this weight makes */
    double ratio;                /* |output| over the median size of this layer's outputs */
    uint32_t token, round; /* position of the spike; how many were zeroed before it was seen */
    float stream;          /* residual stream behind the layer at [token, row] */
    /* after sc_super_verify(): */
    double alone_kl, without_kl; /* zeroed alone; all others zeroed but not this one */
    const char *label;           /* a constant sentence, see below; NULL: not verified */
};
/* The value of the largest size at a point of a layer, in the model as it is (round 0) and in the
 * last round, with everything zeroed that earlier ones had found. */
struct sc_super_maximum {
    unsigned round;
    uint32_t layer;
    enum sc_hook hook; /* down_in, down_out, residual */
    int32_t expert;    /* -1: none, -2: the shared one */
    uint32_t token, channel;
    float value;        /* of the finite ones; 0: there is none */
    uint64_t nonfinite; /* values that are NaN or infinite */
};
struct sc_super_list {
    struct sc_super_weight *p;
    size_t n, cap;
    struct sc_super_maximum *maxima; /* by round, layer, hook */
    size_t n_maxima, cap_maxima;
};
void sc_super_clear(struct sc_super_list *l);

struct sc_super_options {
    struct sc_pool *pool;
    const _Atomic int *cancel;
    uint64_t memory;
    const uint32_t *tokens;
    size_t n;
    double ratio;    /* least |output| / median of a spike; 0: 30 */
    double share;    /* least share of one weight; 0: 0.5 */
    unsigned rounds; /* at most; 0: 8 */
    size_t most;     /* weights; 0: 64 */
    /* Of sc_super_verify(): weights that were chosen by their size, of whatever matrix. Which
     * spikes they make is not known, so nothing is put back. */
    bool by_size;
    void (*progress)(void *ctx, unsigned round, uint32_t done, uint32_t of);
    void *ctx;
};
/* By what they do. In the order of layers, rows and columns within a round. */
int sc_super_find(const struct sc_forward *f, const struct sc_super_options *o,
                  struct sc_super_list *out, struct sc_error *e);

/* ---------------------------------------------------------------------------- what they do ---
 * Variants of the model that are run together with it, on the same tokens. KL: mean over positions
 * of the divergence of the model's next token from the variant's, in nats; nll: mean of -log p of
 * the tokens of the text; agree: share of positions whose likeliest token is the same; change:
 * Frobenius norm of the difference of logits over that of the logits. */
enum sc_super_kind {
    SC_SUPER_BASE,
    SC_SUPER_ALONE,    /* weight `index` zeroed */
    SC_SUPER_WITHOUT,  /* all zeroed but weight `index` */
    SC_SUPER_ALL,      /* all zeroed */
    SC_SUPER_MEAN,     /* all set to the mean of their tensor */
    SC_SUPER_SCALED,   /* all times `factor` */
    SC_SUPER_RESTORED, /* all zeroed, but the stream is put back where they had acted */
    SC_SUPER_NULL,     /* weights of nearly the same size elsewhere in the same tensors zeroed, no
                          weight in two draws */
    /* those zeroed that share something with weight `index`, where these are several but not all:
     */
    SC_SUPER_COLUMN, /* matrix and column: one neuron */
    SC_SUPER_ROW,    /* matrix and row: one channel, as that expert writes it */
    SC_SUPER_EXPERT, /* layer and expert */
    SC_SUPER_KINDS
};
extern const char *const sc_super_kinds[SC_SUPER_KINDS + 1]; /* "base", "alone", ..., NULL */
struct sc_super_effect {
    enum sc_super_kind kind;
    uint32_t index;
    double factor;
    double kl, nll, perplexity_ratio, agree, change;
    double low, high; /* 95 % interval of the difference of nll from the model's: bootstrap over
                         positions, 2000 draws */
};
/* How likely the model says a token is: mean over positions, and behind the last token. */
struct sc_super_token {
    uint32_t id;
    double base, all, restored; /* in the model, in the variants of these names */
    double last_base, last_all, last_restored;
};
enum { SC_SUPER_TOKENS = 8 };
enum { SC_SUPER_NULLS = 4 }; /* draws that are wanted */
struct sc_super_effects {
    struct sc_super_effect *p;
    size_t n;
    /* Draws that were made: fewer, where matrices have too few other weights for so many that
     * share none. In the last one as many as `unmatched` found weights have no match. */
    unsigned nulls;
    size_t unmatched;
    struct sc_super_token *tokens; /* the likeliest SC_SUPER_TOKENS by base, all, last_base,
                                      last_all; by base, then id */
    size_t n_tokens;
    const char *label; /* of all together: a constant sentence */
    const char *call;  /* "single": one alone makes more than half of what all do; "joint": they
                          matter, but none does so; "inert"; NULL: the model's own output is not
                          finite, nothing is known */
};
/* How many of the list share matrix and row (column: true: column) with weight i; itself too. */
size_t sc_super_mates(const struct sc_super_list *l, size_t i, bool column);
/* Fills labels and figures of the list. The list must not be empty. SCRUPLE_EUSAGE: a weight is in
 * no matrix that the pass multiplies with. */
int sc_super_verify(const struct sc_forward *f, const struct sc_super_options *o,
                    struct sc_super_list *l, struct sc_super_effects *out, struct sc_error *e);
void sc_super_effects_clear(struct sc_super_effects *x);

/* ------------------------------------------------------------------------- where they stand ---
 * The matrices that hold found weights, as the product has them: of a down projection rows are
 * channels of the stream, columns are neurons. */
enum { SC_SUPER_SQUARES = 64, SC_SUPER_BINS = 64, SC_SUPER_NEAR = 25 };
struct sc_super_matrix {
    uint32_t layer, tensor;
    int32_t expert;
    const char *kind; /* as of its weights */
    uint64_t rows, cols;
    uint64_t by, down, across; /* squares of by x by weights, at most SC_SUPER_SQUARES a side */
    float *squares;  /* (down x across) the weight of the largest size, with its sign; NaN: none is
                        finite */
    double min, max; /* of the finite weights; NaN: there is none */
    uint64_t nonfinite;
    uint64_t bins[SC_SUPER_BINS]; /* of equal width from min to max */
    /* Around the found weight of the largest size: weights of rows and columns from here on. */
    uint64_t near_row, near_col, near_rows, near_cols;
    float near[SC_SUPER_NEAR * SC_SUPER_NEAR]; /* (near_rows x near_cols) */
};
struct sc_super_matrices {
    struct sc_super_matrix *p;
    size_t n;
};
enum { SC_SUPER_MATRICES = 8 }; /* at most so many, in the order of the list */
/* Reads each of them twice. `l`: of sc_super_find(), or with `f` NULL of weights chosen by their
 * size. Clear *out, also after a failure. */
int sc_super_look(const struct sc_model *m, const struct sc_forward *f,
                  const struct sc_super_list *l, const _Atomic int *cancel,
                  struct sc_super_matrices *out, struct sc_error *e);
void sc_super_matrices_clear(struct sc_super_matrices *m);

/* ---------------------------------------------------------------------------- document --- */
/* "forward", "tokens", "weights", "known", "maxima", where they are there "matrices", and after
 * verifying "effects", "shift", "label". Everything must
 * outlive the document. */
struct sc_super_document {
    const struct sc_model *model;
    const struct sc_forward *forward;
    const struct sc_super_list *list;
    const struct sc_super_effects *effects;   /* NULL: not verified */
    const struct sc_super_matrices *matrices; /* NULL: not looked at */
    const struct sc_spotter *spotter;         /* NULL: no links */
};
void sc_analyze_super(struct sc_document *d, struct sc_field *into,
                      const struct sc_super_document *s);
/* Its part from which pictures are drawn: "maxima", "matrices", "shift". */
void sc_analyze_super_figures(struct sc_document *d, struct sc_field *into,
                              const struct sc_super_document *s);
/* "shift"; "effects", "nulls", "label", "call". */
void sc_analyze_super_shift(struct sc_document *d, struct sc_field *into,
                            const struct sc_super_effects *x);
void sc_analyze_super_effects(struct sc_document *d, struct sc_field *into,
                              const struct sc_super_effects *x);

#endif
