/* SPDX-License-Identifier: Apache-2.0 */
/* quant: what number formats cost the tensors of a model, and which mix of them is best.
 *
 * Owns: the plan (formats, algorithm, goal, seed; from a configuration file and from options),
 * which tensors are measured, the results of every tensor, mixes of one tensor or of all together,
 * the document "scruple.quant/1", what is written of quantised values.
 *
 * Does not own: errors of a format (quality.h), assignments (mix.h), the folder of results and its
 * files (report/quant_folder.h), words and colours.
 *
 * A run is used by one thread; it takes threads of its own while it measures.
 */
#ifndef SC_QUANT_H
#define SC_QUANT_H

#include "analyze/figures.h"
#include "analyze/mix.h"
#include "analyze/recipe.h"

#define SC_SCHEMA_QUANT "scruple.quant/1"

/* ----------------------------------------------------------------------------------- plan --- */
enum sc_algorithm {
    SC_ALGORITHM_NONE,      /* every format for the whole tensor; always done first */
    SC_ALGORITHM_TRANSPOSE, /* the same along the other of the last two axes */
    SC_ALGORITHM_THRESHOLD, /* mixes from here on */
    SC_ALGORITHM_GREEDY,
    SC_ALGORITHM_RANDOM,
    SC_ALGORITHM_OPTIMAL, /* the fewest bytes for which the goal holds */
    SC_ALGORITHM_BUDGET,  /* the least error within a number of bytes */
    SC_ALGORITHMS
};
extern const char *const sc_algorithm_names[]; /* "none", ... "budget", NULL */
enum sc_seed_source {
    SC_SEED_UNUSED,  /* nothing is random */
    SC_SEED_DEFAULT, /* nobody named one: SC_SEED_OF_NOBODY */
    SC_SEED_CONFIG,
    SC_SEED_PARAMS,
    SC_SEED_OPTION,
    SC_SEED_RANDOM, /* drawn by this run */
};
extern const char *const sc_seed_sources[]; /* NULL, "default", "config", ... */
#define SC_SEED_OF_NOBODY 1
#define SC_GENERATOR      "splitmix64" /* sc_random() */
enum sc_clustering { SC_CLUSTER_NOT, SC_CLUSTER_SINGLE, SC_CLUSTER_KMEANS };

/* The packed size wanted of a tensor or of all: a number of bytes, or bits a weight. */
struct sc_quant_budget {
    uint64_t bytes; /* when bits is 0 */
    double bits;
};
struct sc_quant_formats {
    struct sc_encoding f[SC_QUALITY_FORMATS];
    size_t n; /* 0: not said */
};
struct sc_quant_plan {
    uint8_t algorithm; /* enum sc_algorithm */
    bool has_algorithm;
    struct sc_quant_formats formats; /* that are tried for whole tensors */
    struct sc_quant_formats mix;     /* that a mix is made of; at most SC_QUANT_MIX */
    struct sc_mix_goal goal;
    bool has_metric, has_threshold;
    uint8_t grain; /* enum sc_grain; SC_GRAIN_NONE: not said */
    uint32_t group;
    struct sc_quant_budget budget;
    bool has_budget, model_wide;
    uint8_t cluster;   /* enum sc_clustering */
    uint64_t clusters; /* k */
    uint64_t trials;   /* iters */
    uint64_t seed;     /* once the plan is finished */
    uint8_t seed_source;
    bool wants_mix;       /* something was asked for that only a mix has */
    bool draw_seed;       /* asked for: a new seed each time */
    bool has_params_seed; /* of the algorithm, in the file; counts least */
    uint64_t params_seed;
};
enum { SC_QUANT_MIX = 16 };

/* A plan that says nothing. */
void sc_quant_plan_start(struct sc_quant_plan *p);
/* What the configuration file says (JSON, at most 64 MiB). SCRUPLE_EUSAGE with the path of the key
 * and what is allowed there. */
int sc_quant_plan_read(struct sc_quant_plan *p, const char *path, struct sc_error *e);
/* The same text in memory; `path` is for messages. */
int sc_quant_plan_parse(struct sc_quant_plan *p, const char *text, size_t n, const char *path,
                        struct sc_error *e);
/* Words of options; `what` is for messages ("--format"). All SCRUPLE_EUSAGE with a sentence.
 * Formats: a list with commas, settings of a format after its colon; "all": those of wq in its
 * order. Those that are in out already are not added again. */
int sc_quant_formats_add(struct sc_quant_formats *out, size_t most, struct sc_str text,
                         const char *what, struct sc_error *e);
/* Where a plan's own formats are added (`most` SC_QUALITY_FORMATS), recipes are formats, too:
 * codec/recipe.h. Such a one has a name and nothing else. */
bool sc_quant_is_recipe(const struct sc_encoding *f);
/* The same, but "all" is what it is in `we -c`: bfp8, bfp8.T, bfp4, bfp4.T. */
int sc_quant_formats_add_tree(struct sc_quant_formats *out, size_t most, struct sc_str text,
                              const char *what, struct sc_error *e);
int sc_quant_algorithm(struct sc_quant_plan *p, struct sc_str text, const char *what,
                       struct sc_error *e);
int sc_quant_metric(struct sc_quant_plan *p, struct sc_str text, const char *what,
                    struct sc_error *e);
int sc_quant_threshold(struct sc_quant_plan *p, struct sc_str text, const char *what,
                       struct sc_error *e);
/* "tile", "row", "group:N" */
int sc_quant_granularity(struct sc_quant_plan *p, struct sc_str text, const char *what,
                         struct sc_error *e);
/* "2.5bpw", "4GB", "1000000" */
int sc_quant_set_budget(struct sc_quant_plan *p, struct sc_str text, const char *what,
                        struct sc_error *e);
/* A number, 0 or "random": drawn. */
int sc_quant_set_seed(struct sc_quant_plan *p, struct sc_str text, const char *what,
                      struct sc_error *e);
/* Fills what nobody said, resolves the seed (and draws it), refuses what does not fit together. */
int sc_quant_plan_finish(struct sc_quant_plan *p, struct sc_error *e);
/* The plan as a configuration file, which makes the same plan again: appended to out. */
void sc_quant_plan_write(const struct sc_quant_plan *p, struct sc_buf *out);
static inline bool sc_quant_mixes(const struct sc_quant_plan *p)
{
    return p->algorithm >= SC_ALGORITHM_THRESHOLD;
}

/* ------------------------------------------------------------------------------------ run --- */
struct sc_quant_options {
    const struct sc_quant_plan *plan; /* finished */
    const struct sc_filter *filter;   /* NULL: all */
    bool all_tensors;                 /* not only names with "weight" */
    bool whole_numbers;               /* and of these integers, truth values and scalars too */
    uint64_t limit;                   /* the first tensors only; 0: all */
    uint64_t sample;                  /* values of a tensor to look at; 0: all */
    bool brief;                       /* figures of tables alone (quality.h), unless it mixes */
    bool keep;                        /* assignments (and trials): somebody will write them */
    bool keep_cells;                  /* and the tables of errors */
    uint64_t curve;                   /* points of the frontier of each tensor; 0: none */
    bool curve_all;                   /* and of that of all together */
    struct sc_pool *pool;             /* borrowed */
    uint64_t memory;                  /* budget in bytes, as sc_memory_budget() gives it */
    const char *cache;                /* folder of the store of results; NULL: none */
    struct sc_held_list held;         /* what recipes leave as it is */
    bool recompute;                   /* what is in the store does not count */
    const _Atomic int *cancel;
    void (*progress)(void *ctx, uint64_t done, uint64_t total, const char *tensor);
    void (*note)(void *ctx, const char *sentence);
    void *ctx; /* of both */
};

/* A whole tensor in one format, or in a mix. */
struct sc_quant_row {
    uint8_t algorithm;             /* enum sc_algorithm */
    const struct sc_encoding *f;   /* NULL: the mix */
    const struct sc_quality *cost; /* of a mix: what its totals tell, else NaN and UINT64_MAX */
    double seconds;                /* of the reading that measured it; of a mix: to find it */
};
struct sc_quant_tensor {
    uint32_t tensor; /* index into model->tensors */
    uint32_t same;   /* earlier position whose bytes these are, or SC_NO_NODE */
    bool measured;
    const char *why; /* not measured */
    bool unsupported;
    char *no_mix; /* measured, but a mix was asked for that it cannot have: why; else NULL */
    struct sc_value_facts facts;
    uint64_t sampled;                      /* values that were looked at; 0: all */
    struct sc_quality_interval *intervals; /* (n_plain) of a sample; NULL: none */
    bool has_mix;
    struct sc_mix_totals totals;
    bool good;                 /* the goal holds (budget: it is kept) */
    struct sc_cells *geometry; /* of the mix, without tables; with keep, else NULL */
    int8_t *assignment;        /* (geometry->n) likewise */
    struct sc_mix_totals *trials, *curve;
    size_t n_trials, n_curve;
    double seconds, mix_seconds;
    struct sc_cells *cells; /* with keep_cells, and while a mix of all is awaited */
    /* private */
    struct sc_mix mix;
};
struct sc_quant {
    const struct sc_model *model;     /* borrowed */
    const struct sc_quant_plan *plan; /* borrowed */
    bool filtered, only_weights;
    struct sc_quant_formats measured; /* plain formats, then those of the transpose */
    struct sc_quant_tensor *tensors;  /* (n) in the order of the model */
    size_t n;
    size_t n_rows;    /* results of a tensor: measured.n, and the mix */
    size_t n_skipped; /* matched, but hold no floats or have no dimension */
    size_t n_limited; /* matched, but beyond the limit */
    size_t n_measured, n_known, n_tied, n_unsupported, n_unreadable;
    size_t n_unreached; /* of the unreadable: the network, or what is elsewhere, failed */
    uint64_t opened_bytes, opened_requests, bytes_read;
    /* of a mix over all tensors */
    bool has_total;
    struct sc_mix_totals total;
    bool good;
    struct sc_mix_totals *curve;
    size_t n_curve;
    struct sc_records records; /* struct sc_quality, (n * n_rows) */
    struct sc_arena arena;
};

/* Measures, or takes from the store, then mixes. The model must have been opened with keep_repo. A
 * tensor that cannot be read is no failure. *out must be freed in every case but NULL. */
int sc_quant_run(const struct sc_model *m, const struct sc_quant_options *o, struct sc_quant **out,
                 struct sc_error *e);
void sc_quant_free(struct sc_quant *q); /* NULL is allowed */
/* Row k (below n_rows) of tensor i; false: it was not measured. */
bool sc_quant_row_at(const struct sc_quant *q, size_t i, size_t k, struct sc_quant_row *out);
/* "BFP8", "mix", ... as tables show it. */
const char *sc_quant_row_name(const struct sc_quant_row *r, char text[80]);
uint64_t sc_quant_bytes_read(const struct sc_quant *q);
uint64_t sc_quant_requests(const struct sc_quant *q);
/* The first whose values a twin has. */
static inline const struct sc_quant_tensor *sc_quant_first(const struct sc_quant *q, size_t i)
{
    const struct sc_quant_tensor *t = &q->tensors[i];

    return t->same == SC_NO_NODE ? t : &q->tensors[t->same];
}
/* wq's size of a row: elements times its bytes an element, of mixes of whole tiles; NaN for formats
 * that it does not know. */
double sc_quant_legacy_bytes(const struct sc_quant *q, size_t i, const struct sc_quant_row *r);

/* Over all measured tensors, tied ones once: of row k. */
struct sc_quant_mean {
    double pcc, mae, atol, sqnr_db, bytes;         /* of tensors, each once */
    double w_pcc, w_mae, w_mse, w_atol, w_sqnr_db; /* by parameters; w_atol: the largest */
    double legacy_bytes;                           /* of all; see sc_quant_legacy_bytes() */
    uint64_t total_bytes, parameters, cells[16];
    size_t n, n_good; /* n_good: mixes that meet their goal */
};
void sc_quant_mean_of(const struct sc_quant *q, size_t k, struct sc_quant_mean *out);

/* ------------------------------------------------------------------------------- document --- */
/* quant_document.c: adds "model", "io", "totals", "plan", "counts", "summary", "total", "curve",
 * "tensors". The run must outlive the document. */
int sc_analyze_quant(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                     bool legacy, struct sc_error *e);
/* Parts of it, for other documents: "facts" (t NULL, or not measured: null), "interval" of format
 * k, "counts" and "summary". */
void sc_quant_add_facts(struct sc_document *d, struct sc_field *into,
                        const struct sc_quant_tensor *t);
void sc_quant_add_interval(struct sc_document *d, struct sc_field *into,
                           const struct sc_quant_tensor *t, size_t k);
void sc_quant_add_summary(struct sc_document *d, struct sc_field *into, const struct sc_quant *q);
/* One row a result, for CSV: the key "results" of the document that is made here. */
int sc_analyze_quant_csv(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                         bool legacy, struct sc_error *e);
/* The same of all frontiers: the key "curves". */
int sc_analyze_quant_curves(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                            struct sc_error *e);
/* How good a figure is, by wq's bounds: pcc from 0.999 and 0.99 on, errors up to 1e-4 and 1e-3. */
uint8_t sc_quant_grade_pcc(double v);
uint8_t sc_quant_grade_error(double v);
/* quant_top.c: the results of tensor i, the means, the frontier, for a terminal; in the document's
 * arena. NULL: nothing to show. */
struct sc_quant_look {
    bool legacy, seconds, ascii;
};
const struct sc_table *sc_quant_table(struct sc_document *d, const struct sc_quant *q, size_t i,
                                      const struct sc_quant_look *look, struct sc_error *e);
const struct sc_table *sc_quant_summary_table(struct sc_document *d, const struct sc_quant *q,
                                              const struct sc_quant_look *look, struct sc_error *e);
const struct sc_table *sc_quant_curve_table(struct sc_document *d, const struct sc_quant *q,
                                            const struct sc_mix_totals *points, size_t n,
                                            const char *label, uint64_t parameters, bool ascii,
                                            struct sc_error *e);
uint64_t sc_quant_parameters(const struct sc_quant *q); /* of what was measured */

/* -------------------------------------------------------------------- quant_assignment.c --- */
/* An assignment as a file: NPY, |i1, one element a cell. Tiles: (matrices * tile rows, tile
 * columns); rows and groups: (rows, groups). The index is that in [bf16, bfp8, bfp4, bfp2] when the
 * mix is of these (wq's), else that in the mix; -1: none. */
void sc_quant_assignment_npy(const struct sc_cells *c, const int8_t *format, struct sc_buf *out);
/* What the indices mean, as JSON: wq's keys ("tile_hw", "format_to_int", "int_to_format",
 * "assignment_shape") and ours ("granularity", "group", "tensor", "shape"). */
void sc_quant_assignment_mapping(const struct sc_cells *c, const struct sc_tensor *t,
                                 struct sc_buf *out);
struct sc_quant_assignment {
    struct sc_cells geometry;
    int8_t *format;
};
/* The other direction, held against the tensor. mapping NULL: X_mapping.json beside X.npy, and when
 * there is none wq's formats. Free with sc_quant_assignment_clear(). */
int sc_quant_assignment_read(const char *path, const char *mapping, const struct sc_values *v,
                             struct sc_quant_assignment *out, struct sc_error *e);
void sc_quant_assignment_clear(struct sc_quant_assignment *a);
/* The header of an NPY file (version 1.0) of C order; data follows at a multiple of 64, for all
 * shapes of a few dimensions at byte 128. descr: "<f4". */
void sc_npy_put_header(struct sc_buf *out, const char *descr, const uint64_t *shape, size_t rank);

/* ------------------------------------------------------------------------- quant_write.c --- */
struct sc_quant_writing {
    const char *path;
    struct sc_held_list held; /* as in the run */
    uint64_t memory;
    bool folder; /* the whole model with its configuration; else a file with what was measured */
    uint64_t shard;
    const struct sc_parallel *p;
    const _Atomic int *cancel;
    void (*progress)(void *ctx, uint64_t done, uint64_t total, const char *tensor);
    void (*note)(void *ctx, const char *sentence);
    void (*place)(void *ctx, const char *temporary); /* what grows, of a file; NULL: done */
    void *ctx;
};
/* Values as one format keeps them (the only one of the plan), or as the mix of the run (with keep),
 * in safetensors. A tensor keeps its type when that holds these values exactly, else it becomes
 * BF16 or F32. Other tensors are copied. Nothing is left of what fails. */
int sc_quant_write(const struct sc_quant *q, const struct sc_quant_writing *w, struct sc_error *e);
/* Whether there is one thing to write: SCRUPLE_EUSAGE says what is missing. */
int sc_quant_may_write(const struct sc_quant_plan *p, struct sc_error *e);

#endif
