/* SPDX-License-Identifier: Apache-2.0 */
/* diff: what changed between two checkpoints, in numbers.
 *
 * Owns: the figures of a pair of tensors, which pairs are measured and which are known already, the
 * documents "scruple.diff/1" and "scruple.evolution/1", the tables that a terminal shows.
 *
 * Does not own: the pairing of tensors (sc_models_pair), spectra (spectrum.c), words and colours.
 *
 * Differences are B minus A everywhere. A diff is used by one thread; it takes threads of its own
 * while it measures.
 */
#ifndef SC_DIFF_H
#define SC_DIFF_H

#include "analyze/analyze.h"
#include "analyze/cast.h"
#include "analyze/diff_files.h"
#include "analyze/figures.h"
#include "model/adapter.h"

#define SC_SCHEMA_DIFF      "scruple.diff/1"
#define SC_SCHEMA_EVOLUTION "scruple.evolution/1"

/* ----------------------------------------------------- change.c: two tensors of equal shape ---
 * Sums are over the values that are finite in both, in double, in an order that depends on the
 * shape alone. A double that is NaN does not apply. */
/* Of a diff only, beside those of health.h. */
enum { SC_METHOD_ULP = 256 };
enum { SC_ULP_BINS = 20 };
struct sc_change {
    uint32_t version;     /* SC_CHANGE_VERSION */
    uint32_t identical;   /* 1: no value differs (NaN equals NaN, -0 equals 0) */
    uint64_t values;      /* of either */
    uint64_t compared;    /* finite in both */
    uint64_t changed;     /* values that differ */
    uint64_t significant; /* |b - a| > 1 % of |a| + 1e-10 */
    uint64_t sign_flips;  /* a b < 0 */
    uint64_t nonfinite_a, nonfinite_b;
    uint64_t bits, changed_bits; /* of the stored codes, when both have the same plain type; else
                                    UINT64_MAX */
    uint64_t max_at;             /* position of the first largest |b - a|; UINT64_MAX: none */
    double changed_percent, significant_percent, changed_bits_percent;
    double max_abs, mean_abs, rms, l2, relative_l2; /* l2 / norm_a; Infinity when only a is 0 */
    double cosine, one_minus_cosine;
    double mean_diff, std_diff, min_diff, max_diff; /* of b - a; std with N - 1 */
    double mean_a, mean_b, std_a, std_b, norm_a, norm_b, absmax_a, absmax_b;
    double norm_ratio; /* norm_b / norm_a */
    double
        change_score;   /* WeightScope's: 10 |mean_b - mean_a| + 10 |std_b - std_a| + |ratio - 1| */
    uint32_t same_bits; /* 1: the same type, and the same bits in every value */
    uint32_t cast_of;   /* enum sc_cast_of: of the rounding that explains most */
    uint32_t cast_exact;  /* 1: that rounding is everybody's; 0: a fit of our own */
    char cast_type[28];   /* "Q8_0": the type, or the format that was asked about */
    uint64_t unexplained; /* values that are not what it gives; UINT64_MAX: none tried */
    double rounding_rms;  /* of what it changes */
    /* How many representable numbers lie between the two sides, of codes of one float type: ulp[0]
     * pairs are equal, ulp[k] are 2^(k-1) to 2^k - 1 apart, the last counts the rest. UINT64_MAX in
     * max_ulp: not measured. */
    uint64_t ulp[SC_ULP_BINS], max_ulp;
    struct sc_spectrum difference; /* of B - A; method SC_SPECTRUM_NONE: not measured */
};
#define SC_CHANGE_VERSION 3
enum sc_cast_of { SC_CAST_NONE, SC_CAST_OF_A, SC_CAST_OF_B };
/* What a change is. */
enum sc_change_kind {
    SC_CHANGE_IS_NONE,   /* not compared */
    SC_CHANGE_IS_BITS,   /* unchanged bit for bit */
    SC_CHANGE_IS_VALUES, /* all values are equal: another type, -0 and 0, NaN and NaN */
    SC_CHANGE_IS_CAST,   /* all of it is the rounding of one side */
    SC_CHANGE_IS_ABOUT,  /* about as much as our own rounding to that type changes */
    SC_CHANGE_IS_CHANGED,
    SC_CHANGE_KINDS
};
extern const char *const sc_change_kind_names[SC_CHANGE_KINDS]; /* "bits", "values", "cast", ... */
enum sc_change_kind sc_change_kind(const struct sc_change *c);  /* NULL: NONE */

/* What the pass has to know. */
struct sc_change_setup {
    struct sc_casts casts;
    bool ulp;                    /* count representable numbers in between, too */
    const struct sc_item *items; /* of the sweep; NULL: nobody says what is stored */
    const bool *stored;          /* by item: both views are tensors as they are stored */
};
/* item->user is a struct sc_change, and the item has a second tensor. Its context is a struct
 * sc_change_setup; NULL: all zeros. */
extern const struct sc_pass sc_pass_change;
/* How many representable numbers lie between two codes of `bytes` bytes: UINT64_MAX where the two
 * tensors are not of one float type, or one is not finite. */
uint64_t sc_ulp_between(const struct sc_tensor *a, const struct sc_tensor *b, const uint8_t *raw_a,
                        const uint8_t *raw_b, unsigned bytes);
/* The rows of its table; offsets are into struct sc_change. */
extern const struct sc_metric_group sc_metrics_change;

/* ------------------------------------------------------------------------- diff.c: two models ---
 */
enum sc_diff_status {
    SC_DIFF_SAME,
    SC_DIFF_CHANGED,
    SC_DIFF_SHAPE, /* in both, with another shape */
    SC_DIFF_ONLY_A,
    SC_DIFF_ONLY_B,
    SC_DIFF_UNREADABLE, /* or not decodable: `why` tells */
    SC_DIFF_STATUSES
};
extern const char *const sc_diff_status_names[]; /* "same", "changed", "shape", "only_a", ... */
extern const char *const sc_pair_rule_names[];   /* "name", "canonical", "ending", "tying", ... */

struct sc_diff_options {
    unsigned methods;               /* SC_METHOD_BASIC, SC_METHOD_SPECTRAL */
    const struct sc_filter *filter; /* NULL: all */
    const struct sc_casts *casts;   /* NULL: types of the two sides only */
    const char *casts_text;         /* what it was made of; NULL likewise */
    bool finetune;                  /* B has to keep A's names and shapes */
    const char *finetune_base;      /* what its card calls A; NULL: nobody says */
    struct sc_pool *pool;           /* borrowed */
    uint64_t memory;                /* budget in bytes */
    const char *cache;              /* folder of the store of results; NULL: none */
    const _Atomic int *cancel;
    void (*progress)(void *ctx, uint64_t done, uint64_t total, const char *tensor);
    void (*note)(void *ctx, const char *sentence);
    void *ctx; /* of both */
};
struct sc_diff_pair {
    struct sc_pair pair;
    uint8_t status;   /* enum sc_diff_status */
    bool unsupported; /* unreadable: nobody can */
    uint32_t same;    /* an earlier pair of the same bytes on both sides: counted there;
                         SC_NO_NODE: none */
    const char *why;  /* it could not be compared; NULL */
    const struct sc_change *change; /* NULL: not compared */
    const struct sc_update *update; /* of an adapter; NULL */
};
/* Over pairs that were compared, each stored tensor once. */
struct sc_diff_sums {
    uint64_t tensors, changed_tensors, values, compared, changed;
    double aa, bb, dd, max_abs;
};
struct sc_diff {
    const struct sc_model *a, *b; /* borrowed. Of an adapter b is what it changes; without a base
                                     a is the same */
    const struct sc_adapter *adapter; /* borrowed; NULL: two models */
    bool has_base;                    /* false: an adapter by itself */
    bool filtered;
    bool finetune; /* B is one of A */
    const char *finetune_base;
    unsigned methods;
    struct sc_diff_pair
        *pairs; /* (n) as sc_models_pair() gives them; of an adapter what it touches */
    size_t n;
    size_t n_status[SC_DIFF_STATUSES], n_verdict[SC_CHANGE_KINDS];
    size_t n_tied, n_known, n_unsupported;
    size_t n_untouched; /* tensors of a that an adapter leaves alone */
    struct sc_diff_sums sums;
    uint32_t *ranked; /* (n_ranked) pairs that changed: those that broke, then by relative_l2,
                         largest first */
    size_t n_ranked;
    uint64_t opened_bytes[2], opened_requests[2]; /* to open either model */
    uint64_t bytes_read;               /* stored bytes of the tensors that were read now */
    const struct sc_files_diff *files; /* other files; borrowed; NULL: not compared */
    struct sc_records records;         /* struct sc_change */
    struct sc_arena arena, pair_arena; /* pair_arena: arrangements of pairs */
};
/* Compares, or takes from the store. Models must have been opened with keep_repo; a is NULL for an
 * adapter by itself. Tensors that cannot be read are no failure. SCRUPLE_EINTERRUPTED: what was
 * compared so far is in the store. *out must be freed in every case but NULL. */
int sc_diff_run(const struct sc_model *a, const struct sc_model *b, struct sc_adapter *adapter,
                const struct sc_diff_options *o, struct sc_diff **out, struct sc_error *e);
void sc_diff_free(struct sc_diff *d); /* NULL is allowed */
/* Names and scales of an adapter's updates, for which a few numbers are read; once: calls after the
 * first change nothing, so that what was opened may be used by several threads afterwards. base:
 * NULL for an adapter by itself. */
int sc_diff_settle_adapter(struct sc_adapter *adapter, const struct sc_model *base,
                           struct sc_error *e);
/* Values of an update, computed from its factors while they are read; at least 64 MiB of factors
 * are taken whatever `memory` is. */
int sc_diff_open_update(const struct sc_adapter *a, size_t update, uint64_t memory,
                        struct sc_values **out, struct sc_error *e);
/* "basic", "spectral", "ulp", several of them, or "all"; SCRUPLE_EUSAGE with a sentence. */
int sc_diff_methods_parse(const char *text, unsigned *methods, struct sc_error *e);
/* Whether all values of both are the same, and nothing is in one of them only. */
bool sc_diff_identical(const struct sc_diff *d);
/* B has more values that are not finite than A: of an adapter, what it adds. */
bool sc_diff_broke(const struct sc_diff *d, const struct sc_diff_pair *p);
/* "92 of 201 tensors changed; relative change 0.013; ..." Appends. */
void sc_diff_sentence(const struct sc_diff *d, struct sc_buf *out);
/* sqrt(dd / aa); Infinity: only a is zero; NaN: nothing was compared. */
double sc_diff_relative(const struct sc_diff_sums *s);
double sc_diff_one_minus_cosine(const struct sc_diff_sums *s);
void sc_diff_add(struct sc_diff_sums *to, const struct sc_diff_pair *p);
/* Whether `tensor` of m, a side of the pair, is an embedding that stands for the output matrix
 * which m does not store. */
bool sc_diff_stands_in(const struct sc_model *m, const struct sc_pair *p, uint32_t tensor);
/* The tensor that a pair is shown as: of a, or of b where a has none of its own. */
const struct sc_tensor *sc_diff_tensor(const struct sc_diff *d, const struct sc_diff_pair *p);

/* diff_document.c: adds "a", "b", "io", ["adapter"], "methods", "identical", "sentence", "summary",
 * "roles", "layers", "most_changed", "pairs". The diff must outlive the document. */
int sc_analyze_diff(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d,
                    size_t top, bool full, struct sc_error *e);
/* What WeightScope's compare writes, with its keys, into `into`. */
int sc_diff_weightscope(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d,
                        struct sc_error *e);

/* diff_finetune.c: does the card of b name a as what it was fine-tuned from? *base: as it does. */
bool sc_is_finetune(const struct sc_model *a, const struct sc_model *b, const char **base);
/* The last part of a path or of "org/name", without slashes behind it. */
struct sc_str sc_last_part(const char *name);
size_t sc_diff_violations(const struct sc_diff *d); /* tensors that are not in both, alike */
void sc_finetune_add(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d);
void sc_finetune_sentence(const struct sc_diff *d, struct sc_buf *out); /* appends, or nothing */

/* diff_top.c: tables for people; NULL when there is nothing to show. bars: how many at most. */
enum sc_diff_table {
    SC_DIFF_ROLES,
    SC_DIFF_LAYERS,
    SC_DIFF_RANKED_ROLES, /* the same two, by change */
    SC_DIFF_RANKED_LAYERS,
    SC_DIFF_MOST,     /* most changed */
    SC_DIFF_SPECTRAL, /* the same, ranks and edges */
    SC_DIFF_SHAPES,
    SC_DIFF_TABLES
};
extern const char *const sc_diff_table_titles[SC_DIFF_TABLES];
const struct sc_table *sc_diff_table(struct sc_document *doc, const struct sc_diff *d,
                                     enum sc_diff_table which, size_t limit, size_t bars,
                                     bool ascii, struct sc_error *e);

/* ------------------------------------------------------- evolution.c: checkpoints in order ---
 * Each step is a diff of a checkpoint and the next one. */
struct sc_track {
    struct sc_str name;  /* in the first checkpoint that has it; in the arena */
    uint8_t role, tower; /* enum sc_role, enum sc_tower */
    int32_t layer;
    uint64_t parameters;
    double *relative; /* (n_steps) relative_l2; NaN: not compared in this step */
    double *norm;     /* (n_steps + 1) of each checkpoint, behind relative; NaN: unknown */
    double *first;  /* (n_steps) relative_l2 from the first checkpoint to each other, behind norm */
    double largest; /* of relative */
    double trend;   /* slope of log2(norm) over checkpoints; NaN: fewer than two norms */
    bool frozen;    /* compared in every step, and never changed */
    uint32_t jump;  /* the step that is far above the others; SC_NO_NODE: none */
    double jump_z;  /* its distance from their median, in robust standard deviations */
};
struct sc_evolution {
    size_t n_steps;
    const struct sc_model **models; /* (n_steps + 1) borrowed */
    struct sc_diff **steps;         /* (n_steps) owned */
    struct sc_diff **firsts;        /* (n_steps) the first checkpoint and each other; owned, but for
                                       the first, which is steps[0] */
    struct sc_track *tracks;        /* (n) in the order of the first checkpoint, then new ones */
    size_t n, n_frozen, n_jumps;
    struct sc_arena arena;
};
/* Runs all steps, and compares each checkpoint with the first. *out must be freed in every case but
 * NULL. */
int sc_evolution_run(const struct sc_model *const *models, size_t n,
                     const struct sc_diff_options *o, struct sc_evolution **out,
                     struct sc_error *e);
void sc_evolution_free(struct sc_evolution *v); /* NULL is allowed */
bool sc_evolution_identical(const struct sc_evolution *v);
void sc_evolution_sentence(const struct sc_evolution *v, struct sc_buf *out); /* appends */
int sc_analyze_evolution(struct sc_document *doc, struct sc_field *into,
                         const struct sc_evolution *v, struct sc_error *e);
/* evolution_drift.c: adds "roles" and "layers": how each kind of weight and each layer drifts. */
int sc_evolution_add_drift(struct sc_document *doc, struct sc_field *into,
                           const struct sc_evolution *v, struct sc_error *e);
enum sc_evolution_table { SC_EVOLUTION_STEPS, SC_EVOLUTION_TRACKS, SC_EVOLUTION_JUMPS };
const struct sc_table *sc_evolution_table(struct sc_document *doc, const struct sc_evolution *v,
                                          enum sc_evolution_table which, size_t limit, bool ascii,
                                          struct sc_error *e);

#endif
