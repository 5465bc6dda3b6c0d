/* SPDX-License-Identifier: Apache-2.0 */
/* forward: running a language model over tokens, exactly, from its files.
 *
 * Owns: which architectures can be run and their equations (docs/forward.md), the pass over the
 * layers, edits of single weights while it runs, and what can be seen of it on the way (hooks).
 *
 * Does not own: tokens (text), reading and decoding weights (stream), what the numbers mean
 * (analyze).
 *
 * Weights are expanded exactly to floats, activations are floats, products are added in the order
 * of kernel/dots.h. (A run may ask for products of numbers rounded to bfloat16 instead, added in
 * the order of kernel/dots16.h: less exact, and faster for many tokens.) In either case means,
 * softmax and norms are summed in double. The same bits for any number of threads, any split of the
 * batch, and every processor level. Only the layer that is worked on is read: a model may be larger
 * than memory. What is not supported is refused with the reason.
 */
#ifndef SC_FORWARD_H
#define SC_FORWARD_H

#include "stream/stream.h"

/* What products of matrices with activations see. BF16: activations, and weights that are not
 * stored as bfloat16, are rounded to it (to nearest even) before each product, and sums are floats;
 * routers of experts, attention, norms and the stream stay in floats. */
enum sc_precision { SC_PRECISION_F32, SC_PRECISION_BF16 };
extern const char *const sc_precision_names[]; /* "f32", "bf16", NULL */

struct sc_forward; /* a model that can be run. Immutable: any thread, several runs at once */
struct sc_forward_facts {
    const char *family; /* "llama", "qwen2moe", ... */
    uint32_t layers, hidden, heads, kv_heads, head_dim, value_dim, vocab, intermediate;
    uint32_t experts, experts_per_token; /* 0: none */
    bool sigmoid_router;                 /* scores of experts are sigmoids, else one softmax */
    uint64_t context;                    /* positions that it was made for; 0: not said */
    enum sc_precision precision;         /* F32, unless sc_forward_set_precision() says else */
};
/* `m` must have been opened with keep_repo, and outlive it. SCRUPLE_EUNSUPPORTED: this architecture
 * or one of its settings cannot be run; SCRUPLE_EFORMAT: a tensor is missing or has another shape
 * than the configuration says. */
int sc_forward_open(const struct sc_model *m, struct sc_forward **out, struct sc_error *e);
void sc_forward_close(struct sc_forward *f); /* NULL is allowed */
/* Of all its runs. Before the first one. */
void sc_forward_set_precision(struct sc_forward *f, enum sc_precision precision);
const struct sc_forward_facts *sc_forward_facts(const struct sc_forward *f);
const struct sc_model *sc_forward_model(const struct sc_forward *f);
/* The tensor that is multiplied as the down projection of a layer's MLP (`expert` -1: the dense one
 * or the shared expert), and how: weight [row, col] of the product is element `first + row * cols +
 * col` of the tensor, or, when `transposed`, `first + col * stride + row`. False: there is none. */
struct sc_forward_matrix {
    uint32_t tensor;
    uint64_t first, rows, cols, stride;
    bool transposed;
};
bool sc_forward_down(const struct sc_forward *f, uint32_t layer, int32_t expert,
                     struct sc_forward_matrix *out);

/* --------------------------------------------------------------------------------- hooks ---
 * What is seen at a point of the pass: n rows of `width` floats, one for each position of a stream
 * (see below), or for those that an expert works on. Valid during the call. */
enum sc_hook {
    SC_HOOK_EMBEDDING, /* what goes into the first layer */
    SC_HOOK_ATTN_NORM, /* what attention sees */
    SC_HOOK_Q,         /* after its norm and rotation: heads x head_dim */
    SC_HOOK_K,
    SC_HOOK_V,
    SC_HOOK_ATTENTION,    /* probabilities of one head (`part`): a row of n keys for each query */
    SC_HOOK_ATTN_OUT,     /* after the output projection, before any norm */
    SC_HOOK_RESIDUAL_MID, /* the stream between attention and MLP */
    SC_HOOK_MLP_NORM,     /* what the MLP sees */
    SC_HOOK_ROUTER,       /* scores of all experts, as logits */
    SC_HOOK_ROUTE,        /* ids: chosen experts, heaviest first; values: their weights */
    SC_HOOK_DOWN_IN,      /* what the down projection sees; `part`: the expert, -1: the dense MLP,
                             -2: the shared expert */
    SC_HOOK_DOWN_OUT,     /* what it gives, before any norm; of an expert: before its weight */
    SC_HOOK_MLP_OUT,      /* the whole MLP, experts added up, before any norm */
    SC_HOOK_RESIDUAL,     /* the stream after the layer */
    SC_HOOK_FINAL_NORM,   /* what the output matrix sees */
    SC_HOOKS
};
extern const char *const sc_hook_names[SC_HOOKS + 1]; /* "embedding", ..., NULL */
struct sc_hook_data {
    enum sc_hook hook;
    int32_t layer; /* -1: outside of the layers */
    int32_t part;  /* head or expert; -1: none */
    uint32_t stream;
    size_t n, width;
    const uint32_t *positions; /* (n) of the rows; NULL: 0, 1, ... */
    const float *values;       /* (n x width) */
    const uint32_t *ids;       /* (n x width) of routes */
};

/* ---------------------------------------------------------------------------------- runs ---
 * A run takes some sequences of tokens and some variants of the model through all layers at once:
 * each weight is read once. A stream is one sequence in one variant: stream variant * n_sequences +
 * sequence. Variant 0 is the model as it is. A variant shares the work of variant 0 up to the first
 * layer in which it differs. */
struct sc_edit { /* of one weight: tensor[row, col] as stored (dimension 0, all others) */
    uint32_t tensor;
    uint64_t row, col;
    float value;
};
/* Puts an activation of the stream back to a value, after the given hook (SC_HOOK_RESIDUAL,
 * SC_HOOK_DOWN_OUT of the dense MLP, SC_HOOK_MLP_OUT). */
struct sc_restore {
    enum sc_hook hook;
    uint32_t layer, position, channel;
    float value;
};
/* Tensors that a variant multiplies with as another view shows them: quantised, say. It then does
 * not share the layers before, and has no edits. */
struct sc_substitutes {
    bool (*has)(void *ctx, uint32_t tensor);
    /* Of a tensor that it has: values first..first+n will be read. Borrowed until the next call.
     * One call at a time. */
    int (*view)(void *ctx, uint32_t tensor, uint64_t first, uint64_t n, struct sc_values **out,
                struct sc_error *e);
    void *ctx;
};
/* Takes an expert out: its part is left out of the sum and the others keep their weights, or, with
 * `reroute`, the router cannot choose it and takes the next. */
struct sc_drop {
    uint32_t layer, expert;
};
struct sc_variant {
    const struct sc_edit *edits;
    size_t n_edits;
    const struct sc_restore *restores;
    size_t n_restores;
    const struct sc_substitutes *substitutes; /* NULL: none */
    const struct sc_drop *drops;
    size_t n_drops;
    bool reroute;
};
struct sc_sequence {
    const uint32_t *tokens;
    size_t n; /* at least 1 */
};
struct sc_run {
    struct sc_pool *pool;
    const _Atomic int *cancel;
    /* Bytes for activations and what is read; 0: as sc_memory_budget(). A model whose files fit
     * beside the activations is mapped and stays; of another one the system keeps what is at work.
     */
    uint64_t memory;
    const struct sc_sequence *sequences;
    size_t n_sequences;
    const struct sc_variant *variants; /* after variant 0 */
    size_t n_variants;
    uint64_t hooks; /* 1 << enum sc_hook, those that are wanted */
    /* One call at a time, in a fixed order: layer by layer, hook by hook, stream by stream. A code
     * below 0 stops the run. */
    int (*see)(void *ctx, const struct sc_hook_data *h, struct sc_error *e);
    /* Logits of one position of a stream: every position from first_logit of its sequence on, or
     * only the last one. NULL: nobody wants them, and the output matrix is not read. */
    int (*logits)(void *ctx, uint32_t stream, uint32_t position, const float *row, size_t vocab,
                  struct sc_error *e);
    bool last_only;
    uint32_t first_logit;
    uint32_t layers; /* stop after so many; 0: all */
    void (*progress)(void *ctx, uint32_t done, uint32_t of);
    void *ctx;
    uint64_t
        *weight_bytes; /* adds the stored bytes of matrices that were read; NULL: nobody asks */
};
/* SCRUPLE_EUSAGE: a token that the model does not have, no tokens, an edit of what is no matrix of
 * the pass; SCRUPLE_ELIMIT: activations do not fit `memory`; SCRUPLE_EINTERRUPTED. */
int sc_forward_run(const struct sc_forward *f, const struct sc_run *r, struct sc_error *e);
/* log of the sum of exponentials of a row of logits, in double: log p of token i is row[i] minus
 * it. NaN when one of them is. */
double sc_logits_log_sum(const float *row, size_t vocab);
/* Bytes of activations that such a run takes. */
uint64_t sc_forward_memory(const struct sc_forward *f, const struct sc_run *r);
/* How many of the first n of r->sequences fit `memory` together with its variants: at least 1. */
size_t sc_forward_batch(const struct sc_forward *f, const struct sc_run *r, size_t n,
                        uint64_t memory);
/* SCRUPLE_EUSAGE: a variant drops an expert that is not there, or so many that a router which takes
 * others has too few. A run asks the same. */
int sc_forward_check_drops(const struct sc_forward *f, const struct sc_variant *v,
                           struct sc_error *e);
/* Does a layer have experts? */
bool sc_forward_is_sparse(const struct sc_forward *f, uint32_t layer);

#endif
