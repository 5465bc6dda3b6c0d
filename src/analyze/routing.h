/* SPDX-License-Identifier: Apache-2.0 */
/* routing: what the routers of a mixture of experts do on a text.
 *
 * Owns: how often each expert is chosen, with which weight, beside which others; how evenly; which
 * are never chosen and what that says; experts whose output is extreme (super experts); what the
 * model loses without an expert.
 *
 * Does not own: the pass and the choice itself (forward), tokens (text), the weights of experts
 * (experts.h), pixels and words (report).
 *
 * Formulas are in docs/moe.md. With T tokens, k of E experts a token, n_e of them through expert e:
 *
 *     frequency    n_e / T                      share of weight   sum of e's weights / of all
 *     balance      entropy of n_e / (k T) over ln E: 1 is even, ln k / ln E is always the same k
 *     lift of a, b n_ab T / (n_a n_b)           by chance: (k - 1) E / (k (E - 1)) if all n_e agree
 *     dead         n_e = 0; a uniform router leaves an expert out with (1 - k / E)^T
 */
#ifndef SC_ROUTING_H
#define SC_ROUTING_H

#include "analyze/variants.h"
#include "result/result.h"
#include "text/text.h"

/* Some short passages of ours, in prose, code, mathematics and several languages: what is read when
 * the user names no text. UTF-8. */
extern const char sc_routing_text[];

struct sc_routing_layer { /* pointers: (n_experts) */
    uint32_t layer;       /* of the model; dense layers are not there */
    uint64_t *tokens;     /* n_e */
    double *weight;       /* sum of the weights with which it was chosen */
    uint32_t *together;   /* (n_experts x n_experts) n_ab, n_e on the diagonal; NULL: not counted */
    float *output;        /* largest |value| behind its down projection; NaN: it never ran */
    uint32_t *at_token, *at_channel; /* where that is */
    /* of the layer */
    double entropy, balance; /* of n_e, in nats; and over ln E */
    double weight_balance;   /* likewise of weights */
    double certainty;        /* mean over tokens of 1 - entropy of all scores over ln E */
    double max_over_mean;    /* of n_e */
    double cv, cv_uniform;   /* deviation over mean of n_e, and what T tokens of a uniform
                                router would have */
    uint32_t busiest;        /* expert with the largest share of weight, the first of equals */
    uint32_t dead;
    /* massive activations (activations.h) that are there behind the MLP and not before it */
    uint64_t massive;
    float massive_value; /* the largest of them */
    uint32_t massive_token, massive_channel;
};
/* An expert with an extreme output. Su et al., arXiv 2507.23279, call one super when all of the
 * last three hold; outputs are compared over all experts of all layers that ran. */
struct sc_routing_output {
    uint32_t layer, expert, token, channel;
    float value;      /* its size */
    uint64_t tokens;  /* n_e */
    bool above_995;   /* above their 99.5 % quantile */
    bool above_tenth; /* above a tenth of the largest */
    bool forms;       /* massive activations form in its layer */
    bool super;
};
/* A pair of experts that are chosen together most unlike chance. */
struct sc_routing_pair {
    uint32_t layer, a, b;
    uint64_t count;
    double lift, chance; /* and of a router that chooses as often, but k to a token by chance */
};
struct sc_routing {
    struct sc_routing_layer *layers;
    size_t n_layers;
    uint32_t n_experts, per_token;
    uint64_t n_tokens;                /* T */
    size_t window, n_windows, passes; /* tokens of a sequence; sequences; readings of the model */
    uint64_t dead;                    /* of all layers */
    double dead_probability;          /* (1 - k / E)^T */
    double quantile_995;              /* of outputs */
    float largest;
    struct sc_routing_output *outputs; /* the largest, at most SC_ROUTING_OUTPUTS; super ones all */
    size_t n_outputs, n_super;
    struct sc_routing_pair *pairs; /* of each layer up to SC_ROUTING_PAIRS, by their surprise */
    size_t n_pairs;
    /* (n_layers x n_tokens x per_token) heaviest first; NULL: not asked for */
    uint32_t *ids;
    float *weights;
};
enum { SC_ROUTING_OUTPUTS = 10, SC_ROUTING_PAIRS = 3 };

struct sc_routing_options {
    struct sc_pool *pool;
    const _Atomic int *cancel;
    uint64_t memory; /* bytes */
    const uint32_t *tokens;
    size_t n;
    size_t window;      /* tokens of a sequence; 0: 2048, or what the model was made for if less */
    size_t max_windows; /* 0: all */
    bool trace;         /* keep ids and weights */
    void (*progress)(void *ctx, size_t done, size_t of, uint32_t layer, uint32_t layers);
    void *ctx;
};
/* Runs the model over the tokens, in windows one behind the other, without the output matrix: only
 * experts that are chosen are read. The same bits for any number of threads. SCRUPLE_EUNSUPPORTED:
 * the model has no experts; SCRUPLE_ELIMIT: counts do not fit a quarter of the memory. Clear *out
 * with sc_routing_clear(), also after a failure. */
int sc_routing_measure(const struct sc_forward *f, const struct sc_routing_options *o,
                       struct sc_routing *out, struct sc_error *e);
void sc_routing_clear(struct sc_routing *r);

/* What maps of layers and experts can show. */
enum sc_routing_stat { SC_ROUTING_FREQUENCY, SC_ROUTING_WEIGHT, SC_ROUTING_OUTPUT };
/* (n_layers x n_experts): share of tokens, share of the layer's weight, size of the largest output
 * (NaN: never ran). */
void sc_routing_map(const struct sc_routing *r, enum sc_routing_stat stat, float *out);
/* n_ab T / (n_a n_b) of a layer; NaN: one was never chosen, or pairs were not counted. */
double sc_routing_lift(const struct sc_routing *r, size_t at, uint32_t a, uint32_t b);

/* -------------------------------------------------------------------------- without experts ---
 * Experiments: the model without one or several experts, held against the model. */
struct sc_routing_drop {
    size_t first, n; /* of `experts`: those that are taken out together */
    struct sc_effect effect;
};
struct sc_routing_drops { /* zero-initialise; reroute is the caller's */
    bool reroute;         /* see struct sc_drop */
    struct sc_drop *experts;
    size_t n_experts, cap_experts;
    struct sc_routing_drop *list;
    size_t n, cap;
    size_t n_tokens; /* that were run: the first window, or what of it fits the memory */
    size_t passes;
    double nll; /* of the model */
};
/* One more experiment. */
int sc_routing_drops_add(struct sc_routing_drops *d, const struct sc_drop *experts, size_t n,
                         struct sc_error *e);
/* One for each layer: its busiest expert alone; one for each super expert; and one with all experts
 * of the experiments from `first` on, when these are several. */
int sc_routing_drops_add_top(struct sc_routing_drops *d, const struct sc_routing *r,
                             struct sc_error *e);
int sc_routing_drops_add_super(struct sc_routing_drops *d, const struct sc_routing *r,
                               struct sc_error *e);
int sc_routing_drops_add_all(struct sc_routing_drops *d, size_t first, struct sc_error *e);
/* Experiments are variants of one run, as many at once as fit three quarters of the memory: each
 * such pass reads the model once. SCRUPLE_EUSAGE: there is no such expert. o->trace is not looked
 * at. */
int sc_routing_drops_measure(const struct sc_forward *f, const struct sc_routing_options *o,
                             struct sc_routing_drops *d, struct sc_error *e);
void sc_routing_drops_clear(struct sc_routing_drops *d);

/* "routing": an object. Everything must outlive the document. */
struct sc_routing_document {
    const struct sc_routing *routing;
    const uint32_t *tokens;               /* ids that were read */
    const struct sc_tokenizer *spelling;  /* NULL: not known */
    bool matrices;                        /* all pairs of all layers, too */
    bool trace;                           /* and every token, which was kept */
    const struct sc_routing_drops *drops; /* NULL: none */
};
struct sc_field *sc_analyze_routing(struct sc_document *d, struct sc_field *into,
                                    const struct sc_routing_document *x);

#endif
