/* SPDX-License-Identifier: Apache-2.0 */
/* activations: what flows through a model while it reads a text.
 *
 * Owns: figures of every hook of every layer (extremes and where they are, spread, shape),
 * attention sinks, the tokens that the model expects next; the same values as NPY files.
 *
 * Does not own: the pass (forward), tokens (text).
 *
 * Massive activations are those above 100 that are 1000 times the median of their hidden state (Sun
 * et al., arXiv 2402.17762). */
#ifndef SC_ACTIVATIONS_H
#define SC_ACTIVATIONS_H

#include "forward/forward.h"
#include "result/result.h"

#define SC_SCHEMA_ACTIVATIONS "scruple.activations/1"

enum { SC_ACTIVATION_QUANTILES = 7, SC_NEXT_TOKENS = 10 };
extern const double sc_activation_quantiles[SC_ACTIVATION_QUANTILES]; /* .01 .05 .25 .5 ... */
struct sc_activation { /* of one hook in one layer, all heads and experts together */
    enum sc_hook hook;
    int32_t layer;
    uint64_t count, nonfinite;
    double min, max, mean, mean_abs, rms, kurtosis, median_abs; /* of finite values; NaN: none */
    double quantile[SC_ACTIVATION_QUANTILES];
    float most;     /* the value whose size is largest */
    uint32_t token; /* its position, */
    uint32_t channel;
    int32_t part;     /* and expert; -1: none, -2: the shared one */
    uint64_t massive; /* values that are massive, in rows of their own */
};
struct sc_attention_sink {
    int32_t layer;
    double mass; /* share of attention that goes to the first token: mean over heads and all
                    later queries */
    double most; /* of the head in which it is largest */
    uint32_t head;
    double entropy; /* of rows, in nats: mean over heads and queries */
};
struct sc_next_token {
    uint32_t id;
    float logit;
    double probability;
};
struct sc_activations {
    struct sc_activation *list;
    size_t n, cap;
    struct sc_attention_sink *sinks;
    size_t n_sinks, sinks_cap;
    struct sc_next_token next[SC_NEXT_TOKENS];
    size_t n_next;
};
struct sc_activations_options {
    struct sc_pool *pool;
    const _Atomic int *cancel;
    uint64_t memory;
    const uint32_t *tokens;
    size_t n;
    uint64_t hooks; /* 1 << enum sc_hook; 0: embedding, down_in, down_out, residual, attention */
    const char *folder; /* every value as HOOK.LAYER[.PART].npy and logits.npy; NULL: none */
    void (*progress)(void *ctx, uint32_t done, uint32_t of);
    void *ctx;
};
/* Clear *out with sc_activations_clear(), also after a failure. */
int sc_activations_measure(const struct sc_forward *f, const struct sc_activations_options *o,
                           struct sc_activations *out, struct sc_error *e);
void sc_activations_clear(struct sc_activations *a);
/* Values of this row of the stream whose size is above it are massive. n numbers of scratch. */
double sc_massive_least(const float *row, size_t n, double *scratch);
/* By linear interpolation, of n > 0 numbers without NaN, which are left in another order. */
double sc_activation_quantile(double *v, size_t n, double q);
/* "activations", "sinks", "next"; `a` must outlive the document. */
void sc_analyze_activations(struct sc_document *d, struct sc_field *into,
                            const struct sc_activations *a);
/* "forward": what is run. */
void sc_analyze_forward(struct sc_document *d, struct sc_field *into, const struct sc_forward *f);

#endif
