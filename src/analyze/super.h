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

struct sc_super_weight {
    uint32_t layer;
    int32_t expert;    /* -1: the dense MLP, -2: the shared expert */
    uint32_t row, col; /* of the down projection: channel of the stream, neuron of the MLP */
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
struct sc_super_list {
    struct sc_super_weight *p;
    size_t n, cap;
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
    SC_SUPER_NULL,     /* weights of nearly the same size elsewhere in the same tensors zeroed */
    /* those zeroed that share something with weight `index`, where these are several but not all:
     */
    SC_SUPER_COLUMN, /* layer, expert and column: one neuron */
    SC_SUPER_ROW,    /* layer, expert and row: one channel, as that expert writes it */
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
struct sc_super_effects {
    struct sc_super_effect *p;
    size_t n;
    const char *label; /* of all together: a constant sentence */
    const char *call;  /* "single": one alone makes more than half of what all do; "joint": they
                          matter, but none does so; "inert" */
};
/* How many of the list share layer, expert and row (column: true: column) with weight i; itself
 * too. */
size_t sc_super_mates(const struct sc_super_list *l, size_t i, bool column);
/* Fills labels and figures of the list. The list must not be empty. */
int sc_super_verify(const struct sc_forward *f, const struct sc_super_options *o,
                    struct sc_super_list *l, struct sc_super_effects *out, struct sc_error *e);
void sc_super_effects_clear(struct sc_super_effects *x);

/* ---------------------------------------------------------------------------- document --- */
/* "forward", "tokens", "weights", "known", and after verifying "effects", "label". Everything must
 * outlive the document. */
struct sc_super_document {
    const struct sc_model *model;
    const struct sc_forward *forward;
    const struct sc_super_list *list;
    const struct sc_super_effects *effects; /* NULL: not verified */
    const struct sc_spotter *spotter;       /* NULL: no links */
};
void sc_analyze_super(struct sc_document *d, struct sc_field *into,
                      const struct sc_super_document *s);

#endif
