/* SPDX-License-Identifier: Apache-2.0 */
/* experts: the weights of a mixture of experts, expert by expert.
 *
 * Owns: which matrices of which tensors belong to which expert, in every layout (single tensors,
 * stacks, gate and up in one, GGUF, quantised ones); their figures; which experts are dead, copies
 * of others, or stand out; maps of layers and experts, brought to 0..1.
 *
 * Does not own: what experts do on a text (forward), pixels (picture).
 */
#ifndef SC_EXPERTS_H
#define SC_EXPERTS_H

#include "result/result.h"
#include "stream/stream.h"

#define SC_SCHEMA_MOE "scruple.moe/1"

enum sc_expert_part {
    SC_EXPERT_GATE,
    SC_EXPERT_UP,
    SC_EXPERT_DOWN,
    SC_EXPERT_ROUTER, /* the expert's row of the router */
    SC_EXPERT_PARTS
};
extern const char *const sc_expert_parts[SC_EXPERT_PARTS + 1]; /* "gate_proj", ..., NULL */
enum sc_expert_stat {
    SC_EXPERT_RMS,
    SC_EXPERT_FROBENIUS,
    SC_EXPERT_MEAN_ABS,
    SC_EXPERT_SPARSITY,
    SC_EXPERT_STATS
};
extern const char *const sc_expert_stats[SC_EXPERT_STATS + 1]; /* "rms", ..., NULL */
struct sc_expert_figures {
    bool known;                   /* the matrix is there and was read */
    double stat[SC_EXPERT_STATS]; /* of finite values; sparsity: share of |x| < eps */
    double max_abs;
    uint64_t count, zeros, nonfinite;
    uint32_t tensor; /* that holds it, from value `first` on, in row-major order */
    uint64_t first;
    uint64_t
        content; /* equal values in equal order give equal numbers; others do but by accident */
};
struct sc_expert_layer {
    int32_t layer;
    uint8_t tower;                                    /* enum sc_tower */
    struct sc_expert_figures *cells;                  /* [part * n_experts + expert] */
    struct sc_expert_figures shared[SC_EXPERT_PARTS]; /* of the shared expert; its gate is ROUTER */
};
enum sc_expert_problem {
    SC_EXPERT_DEAD,      /* a matrix holds nothing but zeros */
    SC_EXPERT_UNROUTED,  /* its row of the router holds nothing but zeros */
    SC_EXPERT_DUPLICATE, /* all matrices hold the same values as those of an earlier one */
    SC_EXPERT_OUTLIER,   /* far from the others of its layer */
    SC_EXPERT_BROKEN,    /* NaN or infinity */
    SC_EXPERT_MISSING,   /* others of its layer have a matrix that it has not */
    SC_EXPERT_PROBLEMS
};
extern const char *const sc_expert_problems[SC_EXPERT_PROBLEMS + 1];
struct sc_expert_finding {
    enum sc_expert_problem problem;
    uint32_t at; /* of layers */
    uint32_t expert;
    uint8_t part;         /* enum sc_expert_part; SC_EXPERT_PARTS: all */
    uint32_t other;       /* duplicates: of whom */
    double value, median; /* outliers: root mean square, and of the layer */
};
struct sc_experts {
    struct sc_expert_layer *layers; /* in order of tower and number */
    size_t n_layers;
    uint32_t n_experts;
    struct sc_expert_finding *findings;
    size_t n_findings;
    size_t unread; /* matrices whose values could not be read */
    char why[256]; /* the first reason */
    struct sc_arena arena;
};
struct sc_experts_options {
    struct sc_pool *pool;
    const _Atomic int *cancel;
    const struct sc_filter *filter; /* NULL: all */
    double eps;                     /* what counts as zero in sparsity; below 0: 1e-6 */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* bytes; any thread */
    void *ctx;
};
/* Reads every expert once. n_layers of 0: the model has no experts, or the filter none of them.
 * Figures are the same bits for any number of threads. Clear *out, also after a failure. */
int sc_experts_measure(const struct sc_model *m, const struct sc_experts_options *o,
                       struct sc_experts *out, struct sc_error *e);
void sc_experts_clear(struct sc_experts *x);

/* How a map is brought to 0..1: by its largest value, from the least to the largest, or from the
 * 2 % to the 98 % value (nearest rank); a map whose range is less than 1e-12 by its largest. */
enum sc_expert_norm { SC_EXPERT_NORM_PERCENTILE, SC_EXPERT_NORM_MAX, SC_EXPERT_NORM_MIN_MAX };
extern const char *const sc_expert_norms[]; /* "percentile", "max", "min-max", NULL */
/* (n_layers x n_experts); NaN: not known. */
void sc_experts_map(const struct sc_experts *x, enum sc_expert_part part, enum sc_expert_stat stat,
                    float *out);
/* n values of a map, in place. *low and *high: what became 0 and 1. False: nothing is known. */
bool sc_experts_norm(float *map, size_t n, enum sc_expert_norm norm, double *low, double *high);

/* "experts", "layers", "maps", "shared", "findings"; x must outlive the document. */
void sc_analyze_moe(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                    const struct sc_experts *x, enum sc_expert_norm norm);
/* One sentence for a finding. */
void sc_expert_sentence(const struct sc_experts *x, const struct sc_expert_finding *f,
                        struct sc_buf *out);

#endif
