/* SPDX-License-Identifier: Apache-2.0 */
/* similarity: how alike the experts of a layer are, whatever the order of their neurons.
 *
 * Owns: scores of pairs of experts, weight by weight and joined; what chance gives and what is left
 * of a score without it; groups of alike experts, a ranking of those that others could replace, and
 * which neurons of two alike experts are one another's.
 *
 * Does not own: where experts are in a file (experts), pixels (picture).
 *
 * An expert's weight is W, one row a neuron (I of them), one column an element of the hidden state
 * (H of them): gate_proj and up_proj as they are, down_proj transposed. Its Gram matrix
 * G = W^T W (H x H) does not know the order of neurons. The score of two experts is
 *
 *     c = <G_a, G_b> / (|G_a| |G_b|),   <G_a, G_b> = |W_a W_b^T|^2   (Frobenius)
 *
 * which is linear CKA (Kornblith et al., ICML 2019) of the two sets of neurons without centring.
 * Unrelated experts do not have 0: Gram matrices are positive. What c would be if the directions of
 * one were turned at random is b = sqrt(b_a b_b), b_e = (trace G_e)^2 / (H |G_e|^2); for normal
 * weights that is I / (I + H + 1). The corrected score
 *
 *     (c - b) / sqrt((1 - b_a) (1 - b_b)),   which is (c - b) / (1 - b) when b_a = b_b,
 *
 * is the cosine of G_a and G_b less their traces: over all such turns its mean is 0 and its
 * standard deviation 1 / sqrt(H (H + 1) / 2 - 1), about sqrt(2) / H, whatever the two are (they are
 * vectors of an irreducible representation of that dimension). It is 1 for copies in any order of
 * neurons and of any size. Experts that look at the same directions score above 0 though they share
 * no neuron; only matching neurons tells (struct sc_similarity_pair).
 *
 * Products are sums of floats in the order of kernel/dots, sums of squares of them are in double:
 * scores are good to 1e-6 and the same bits for any number of threads, memory and level of CPU.
 */
#ifndef SC_SIMILARITY_H
#define SC_SIMILARITY_H

#include "analyze/experts.h"

#define SC_SCHEMA_SIMILARITY "scruple.moe-similarity/1"

/* Parts: gate, up, down and router as enum sc_expert_part, and the first three together. */
enum { SC_SIMILARITY_JOINED = SC_EXPERT_PARTS, SC_SIMILARITY_PARTS };
extern const char *const sc_similarity_parts[]; /* "gate_proj", ..., "router", "joined", NULL */

enum sc_similarity_method {
    SC_SIMILARITY_NONE,     /* no such weight, or nothing to compare */
    SC_SIMILARITY_GRAMS,    /* exact, by a Gram matrix an expert */
    SC_SIMILARITY_PAIRS,    /* exact, by a product a pair: cheaper for few experts of few neurons */
    SC_SIMILARITY_SKETCH,   /* estimated, with its error */
    SC_SIMILARITY_ORIGINAL, /* modelweightvis' definition: see sc_similarity_options */
    SC_SIMILARITY_COSINES,  /* of rows of the router */
    SC_SIMILARITY_MEAN,     /* of the parts: joined */
};
extern const char *const sc_similarity_methods[];

enum sc_similarity_state {
    SC_SIMILARITY_COMPARED,
    SC_SIMILARITY_MISSING,    /* it has no such weight */
    SC_SIMILARITY_DEAD,       /* zeros only: no direction to compare */
    SC_SIMILARITY_BROKEN,     /* NaN or infinity */
    SC_SIMILARITY_UNREADABLE, /* its values could not be read */
    SC_SIMILARITY_SHAPE,      /* of another hidden size than the others */
};
extern const char *const sc_similarity_states[]; /* "compared", ..., NULL */

/* One weight of all experts of a layer. Arrays have n = sc_similarity.n entries; memory is the
 * arena's. */
struct sc_similarity_matrix {
    uint8_t method;    /* enum sc_similarity_method; NONE: nothing below is there */
    float *score;      /* (n x n) c, symmetric, 1 on the diagonal; NaN: one is not compared */
    double *base;      /* (n) b_e; b of a pair is the geometric mean; NULL for joined */
    uint8_t *state;    /* (n) enum sc_similarity_state; NULL for joined */
    double *norm;      /* (n) Frobenius norm of the weight; NaN: not known; NULL for joined */
    uint32_t *neurons; /* (n) I; NULL for joined and the router */
    uint64_t hidden;   /* H */
    double spread;     /* of the corrected score of unrelated experts; NaN: not known */
    double error[2];   /* of scores of a sketch (see options), and of corrected ones; 0: exact */
    uint64_t macs;     /* multiplications that it took */
};
struct sc_similarity_layer {
    int32_t layer;
    uint8_t tower; /* enum sc_tower */
    struct sc_similarity_matrix part[SC_SIMILARITY_PARTS];
    uint32_t *cluster;   /* (n) the lowest number in its cluster; itself: alone */
    uint32_t *nearest;   /* (n) the expert that it is most like; SC_NO_NODE: none to compare */
    uint32_t n_clusters; /* of two or more */
};

/* What two experts above the threshold are to one another, by their neurons. */
enum sc_similarity_kind {
    SC_SIMILARITY_ALIKE,    /* fewer than half of the neurons have a counterpart */
    SC_SIMILARITY_PARTLY,   /* half or more have */
    SC_SIMILARITY_NEAR,     /* nine in ten or more have */
    SC_SIMILARITY_SHUFFLED, /* all have, exactly, in another order */
    SC_SIMILARITY_COPY,     /* all have, exactly, in the same places */
    SC_SIMILARITY_UNKNOWN,  /* neurons were not matched */
};
extern const char *const sc_similarity_kinds[];
struct sc_similarity_pair {
    uint32_t at; /* of layers */
    uint32_t a, b;
    uint8_t kind;
    double score;      /* corrected, joined */
    double scale;      /* |b| / |a|, geometric mean over parts */
    uint32_t neurons;  /* of the one that has fewer, without those that are zero */
    uint32_t matched;  /* one to one, with a cosine of SC_SIMILARITY_COSINE or more */
    uint32_t in_place; /* of these: with the same number */
    double cosine;     /* of these: mean; NaN: there are none */
};
#define SC_SIMILARITY_COSINE .9

struct sc_similarity_rank {
    uint32_t at, expert, nearest;
    double score; /* corrected, joined, with nearest */
};
struct sc_similarity {
    struct sc_similarity_layer *layers; /* in order of tower and number */
    size_t n_layers;
    uint32_t n_experts;
    uint32_t n; /* experts and, as the last one, the shared expert */
    bool original;
    double threshold;
    struct sc_similarity_pair *pairs; /* above the threshold, by layer, best first */
    size_t n_pairs;
    size_t n_more;                    /* pairs that are left out: above the most of a layer */
    size_t n_unmatched;               /* pairs whose neurons are not: too many, or too large */
    struct sc_similarity_rank *ranks; /* all that can be compared, most redundant first */
    size_t n_ranks;
    uint64_t macs;
    size_t unread;
    char why[256]; /* the first reason */
    struct sc_arena arena;
};

enum { SC_SIMILARITY_EXACT = -1, SC_SIMILARITY_AUTO = 0 };
struct sc_similarity_options {
    struct sc_pool *pool;
    const _Atomic int *cancel;
    const struct sc_filter *filter; /* NULL: all */
    uint64_t memory;                /* bytes; 0: as sc_memory_budget() says */
    /* How many random directions a sketch takes. AUTO: exact as long as that takes no more than
     * `limit` multiplications for the whole model (0: 1e14), else SC_SIMILARITY_PROBES. EXACT:
     * always exact. At least SC_SIMILARITY_LEAST_PROBES.
     *
     * With x_1..x_p of independent random signs, <G_a x_q, G_b x_q> has the expectation
     * <G_a, G_b> (Hutchinson, Commun. Stat. Simul. 18 (1989) 1059). The score is the ratio of sums
     * over q, rid of its bias by the jackknife, whose standard error s it also gives (Efron and
     * Stein, Ann. Stat. 9 (1981) 586). `error` of a matrix is the largest 4 s of its pairs. */
    int32_t probes;
    uint64_t limit;
    /* modelweightvis' scores: A = W R^T of the weight as stored ([out, in]), R rank x in with
     * normal entries of variance 1 / rank, |A^T B|^2 / (|A^T A| |B^T B|). It pairs rows by their
     * number, so for gate and up it depends on the order of neurons; and its expectation for
     * unrelated experts is 1 / (1 + out (1 / rank + 1 / in)), far below that of the same without a
     * sketch. */
    bool original;
    uint32_t rank;    /* 0: 128 */
    double threshold; /* corrected joined score of clusters and pairs; NaN: .5 */
    bool no_match;    /* leave neurons alone */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* of all bytes, the share whose
                                                                   work is done; any thread */
    void *ctx;
};
enum {
    SC_SIMILARITY_PROBES = 64,
    SC_SIMILARITY_LEAST_PROBES = 16,
    SC_SIMILARITY_MOST_EXPERTS = 1024,
    SC_SIMILARITY_MOST_PAIRS = 1024, /* that are kept of a layer */
    SC_SIMILARITY_MATCHES = 64,      /* pairs a layer whose neurons are matched */
};
/* n_layers of 0: the model has no experts, or the filter none of them. SCRUPLE_ELIMIT: more than
 * SC_SIMILARITY_MOST_EXPERTS experts, or too little memory for a layer. Clear *out, also after a
 * failure. */
int sc_similarity_measure(const struct sc_model *m, const struct sc_similarity_options *o,
                          struct sc_similarity *out, struct sc_error *e);
void sc_similarity_clear(struct sc_similarity *s);

/* b, and the corrected score; of joined: the mean over the parts that the layer has. NaN: not
 * compared. */
double sc_similarity_baseline(const struct sc_similarity *s, size_t layer, unsigned part,
                              uint32_t a, uint32_t b);
double sc_similarity_corrected(const struct sc_similarity *s, size_t layer, unsigned part,
                               uint32_t a, uint32_t b);
/* "7", or "shared". */
struct sc_str sc_similarity_name(const struct sc_similarity *s, uint32_t expert, char text[16]);
/* One sentence for a pair. */
void sc_similarity_sentence(const struct sc_similarity *s, const struct sc_similarity_pair *p,
                            struct sc_buf *out);
/* "similarity", "layers", "matrices", "clusters", "pairs", "ranking"; s must outlive the document.
 */
void sc_analyze_similarity(struct sc_document *d, struct sc_field *into,
                           const struct sc_similarity *s);

#endif
