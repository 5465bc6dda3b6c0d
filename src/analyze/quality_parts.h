/* SPDX-License-Identifier: Apache-2.0 */
/* quality_parts: what the files of quality share.
 *
 *   plan       formats that can be looked at together, and how the tensor is cut for them
 *   facts      extents of the tensor and of its lines, where a format asks for them
 *   look       one panel: rounding, sums of errors by blocks of 32 rows, tiles, rows, columns;
 *              quality_desk.h is what its files share
 *   tail       the largest |d|, for quantiles
 *   figures    metrics of the sums
 */
#ifndef SC_QUALITY_PARTS_H
#define SC_QUALITY_PARTS_H

#include <pthread.h>

#include "analyze/figures.h"
#include "analyze/quality.h"

enum {
    SC_TILE = 32,
    SC_VECTOR_TILE = SC_TILE * SC_TILE,
    SC_TAIL_BINS = 24 << 10, /* 24 octaves of 2^10 bins: 0.1 % */
    SC_TAIL_SHIFT = 13,      /* upper bits of a float that tell its bin */
    SC_TAIL_WAYS = 2,        /* each bin twice: counts of neighbours do not wait for each other */
    SC_COARSE_BINS = 16384,  /* of a sample: 3 %, and the first 0.1 % of each by themselves */
    SC_COARSE_SHIFT = 18,
    SC_SMALL_TENSOR = 1 << 16, /* values whose errors are all kept */
};

/* How a tensor is cut. */
struct sc_cut {
    uint64_t matrices, rows, cols; /* as they are looked at */
    uint32_t height, width;        /* of panels */
    uint32_t segment;              /* columns that are rounded at once */
    uint32_t tile_rows, tile_cols;
    bool whole_rows, whole_cols; /* panels hold whole lines */
    bool whole_segments;         /* segments too */
    bool parts;                  /* rows and matrices are those of the tensor: not fused */
};

/* A format in a plan. */
struct sc_planned {
    const struct sc_encoding *f;
    size_t index; /* in the options */
    int mix;      /* among the formats of cells; -1: none */
    sc_round_fn *round;
    sc_losses_fn *losses;    /* or NULL */
    bool turned;             /* lines are columns, and it matters */
    bool down;               /* ... and blocks of 32 rows hold whole units of them */
    bool lossless;           /* y is x */
    bool nearest;            /* |d| <= |x| always */
    bool keeps_zero;         /* 0 becomes 0 */
    uint32_t short_below;    /* sc_encoding_short_below() */
    bool active;             /* is looked at in this visit */
    bool tail;               /* its largest errors are looked for */
    struct sc_step step;     /* over the tensor */
    struct sc_extent *lines; /* over lines, narrowed; NULL: panels hold whole lines */
    uint32_t above;          /* bits of |d|: the tail begins behind it */
    uint32_t common; /* likewise: the first bin of the tail is counted alone; 0: it is not */
    float *errors;   /* (values) of a small tensor: all |d|; NULL: it is not small */
    uint64_t *bins;  /* (SC_TAIL_BINS) of the last visit; NULL: none yet */
};

/* Sums of x, and of the errors of a format. */
struct sc_sums_x {
    uint64_t nonfinite;
    double sum, square;
    float min, max;
};
struct sc_sums_d {
    double d, abs, square, values, cross; /* of d, |d|, d^2, y^2, x d */
    double relative;
    uint32_t most;
    uint64_t overflowed, saturated, zeros; /* zeros: values of y that are 0 */
    struct sc_worst tile;
};

/* Counts that do not depend on the order, of one thread. */
struct sc_book {
    struct sc_book *next;
    uint64_t *bins;   /* (formats * SC_TAIL_BINS * SC_TAIL_WAYS) */
    uint32_t *coarse; /* (formats * SC_COARSE_BINS) */
};

enum sc_look { SC_LOOK_ALL, SC_LOOK_TAIL, SC_LOOK_SAMPLE };

/* One set of formats over one tensor. */
struct sc_quality_pass {
    struct sc_values *v;
    const struct sc_quality_options *o;
    struct sc_cut cut;
    struct sc_planned *formats; /* (n) */
    size_t n;
    enum sc_cpu level;
    bool any_other_axis; /* of formats that look at whole columns of a panel */
    bool any_down;       /* a format is `down` */
    bool columns_kept;
    bool codes;           /* panels hold what is stored, which is decoded block by block: */
    sc_decode_fn *decode; /* by this; NULL: BF16 */
    bool first;           /* of the passes of this tensor */
    bool exact;           /* all sums in double: a small tensor */
    enum sc_look look;
    struct sc_cells *cells;
    const uint64_t *only; /* of a sample: panels of `cut` */
    size_t n_only;
    uint64_t per_block; /* panels of a block of the sample; 0: there is no sample */

    pthread_mutex_t lock; /* around the free books */
    struct sc_book *books, *free;
    size_t n_books;

    /* totals, in order */
    uint64_t merged;       /* panels */
    uint64_t panels;       /* that will be */
    double before, of_all; /* shares of the work: of earlier passes, of this one */
    struct sc_sums_x x;
    struct sc_sums_d *d;          /* (n) */
    double *rows;                 /* ((n + 1) * height) squares of the rows of this band; last: x;
                                     or NULL: nobody asks for worst parts */
    double *cols;                 /* ((n + 1) * cols) of this matrix; or NULL */
    double *matrix, *head;        /* (n + 1) of this matrix, of this head */
    uint64_t band_row;            /* of the tensor, where this band begins */
    uint32_t band_rows;           /* 0: there is none yet */
    uint64_t at_matrix, at_head;  /* which these are of; UINT64_MAX: none */
    struct sc_worst *worst;       /* (n * SC_WORSTS) */
    struct sc_block_sums *blocks; /* (n_blocks * (n + 1)) of a sample; x last */
    size_t n_blocks;
    double unseen; /* share of the tensor that the sample leaves out */
};
enum { SC_WORST_ROW, SC_WORST_COLUMN, SC_WORST_HEAD, SC_WORST_EXPERT, SC_WORSTS };
/* Of one block of a sample: x (the last) and each format. */
struct sc_block_sums {
    double n, sum, abs, square, values, cross; /* x: n, sum, square; d: d, |d|, d^2, y^2, x d */
};

/* plan */
bool sc_is_vector(const struct sc_values *v);
void sc_plan_format(const struct sc_values *v, const struct sc_encoding *f, struct sc_planned *out);
/* false: there is no panel that holds whole units of all of them. `sampled`: blocks as low as the
 * formats allow. */
bool sc_cut_of(const struct sc_quality_options *o, const struct sc_planned *formats, size_t n,
               const struct sc_values *v, struct sc_cut *out);

/* facts */
int sc_quality_facts(struct sc_quality_pass *q, struct sc_error *e);
void sc_quality_facts_free(struct sc_quality_pass *q);

/* look: what a part holds */
struct sc_look_sums {
    struct sc_sums_x *x;
    struct sc_sums_d *d;          /* (n) */
    double *rows;                 /* ((n + 1) * height) squares; of x last; NULL when brief */
    double *cols;                 /* ((n + 1) * width), or NULL */
    struct sc_cell_values *row_x; /* (height) of cells that are rows, else NULL */
    struct sc_cell_error *row_d;  /* (height * formats of cells) */
};
/* Sets *p to places behind `memory`, which may be NULL; returns their bytes. */
size_t sc_look_lay(const struct sc_quality_pass *q, void *memory, struct sc_look_sums *p);
size_t sc_look_scratch(const struct sc_quality_pass *q);
void sc_look(void *ctx, const struct sc_rectangle *at, void *scratch, void *part);
/* Lines of a panel in their format; y has the shape of the panel. `turned` and `back` have room for
 * the panel (formats of the other axis). Returns values that were too large. */
uint64_t sc_round_panel(const struct sc_planned *p, const struct sc_cut *cut,
                        const struct sc_rectangle *at, const float *turned, float *back, float *y);
void sc_turn(const float *src, size_t rows, size_t cols, float *dst);
void sc_worst_see(struct sc_worst *w, uint64_t index, double dd, double xx);

/* merge */
int sc_totals_make(struct sc_quality_pass *q, struct sc_error *e);
void sc_totals_free(struct sc_quality_pass *q);
void sc_totals_merge(void *ctx, const struct sc_rectangle *at, const void *part);
void sc_totals_end(struct sc_quality_pass *q); /* of rows, matrices, heads that are complete now */

/* tail: books of counts, a thread each; where tails begin; quantiles */
int sc_books_make(struct sc_quality_pass *q, struct sc_error *e);
void sc_books_free(struct sc_quality_pass *q);
struct sc_book *sc_book_take(struct sc_quality_pass *q);
void sc_book_return(struct sc_quality_pass *q, struct sc_book *b);
/* Before all values are looked at: chooses where tails begin, or where all errors go. */
int sc_tail_begin(struct sc_quality_pass *q, struct sc_error *e);
/* Afterwards: p99 and p999 of out[format], with more visits where a tail began too late. */
int sc_tail_end(struct sc_quality_pass *q, struct sc_quality *out, struct sc_error *e);
int sc_quality_visit(struct sc_quality_pass *q, enum sc_look look, struct sc_error *e);

/* figures */
struct sc_quality_sums {
    double n, x, xx, yy, d, dd, xd, abs;
    bool flat; /* x is one value */
};
void sc_quality_pearson(const struct sc_quality_sums *s, double *pcc, double *one_minus);
void sc_quality_figures(const struct sc_quality_pass *q, size_t format, struct sc_quality *out);
void sc_quality_none(struct sc_quality *out);      /* nothing is known */
void sc_quality_shorten(struct sc_quality *out);   /* nothing that a brief report leaves out is */
void sc_quality_no_errors(struct sc_quality *out); /* nothing but counts and bytes is */
void sc_quality_intervals(const struct sc_quality_pass *q, struct sc_quality_interval *out);

/* cells */
int sc_cells_make(const struct sc_quality_options *o, const struct sc_values *v,
                  struct sc_cells **out, struct sc_error *e);

#endif
