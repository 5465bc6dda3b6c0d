/* SPDX-License-Identifier: Apache-2.0 */
/* elements: what the files of the pass over single values share. Private to them.
 *
 *   elements.c          the pass: from chunks to sums and counts, by one of four ways
 *   elements_gather.c   from these to an order
 *   elements_lines.c    rows and columns, and integers with a scale a row or a group
 *   elements_order.c    counted magnitudes: ranks, thresholds, and which counts are too coarse
 *   elements_figures.c  from all of these to struct sc_health
 *   elements_tables.c   what the figures are called
 */
#ifndef SC_ANALYZE_ELEMENTS_H
#define SC_ANALYZE_ELEMENTS_H

#include "analyze/health.h"

#include <math.h>

/* --------------------------------------------------------------------------------- lines --- */
/* More rows or columns than this are not told apart: nobody looks at a million figures, and the
 * memory for them would follow the file. */
#define SC_MAX_LINES (UINT64_C(1) << 20)
/* A longer row is taken in pieces, and its integers in a second visit. */
#define SC_MAX_WHOLE_ROW SC_CHUNK_VALUES
/* Rows whose columns are added together. */
#define SC_ROWS_TOGETHER 8

/* Sums over e = x - (x as integers). */
struct sc_int_sums {
    double square, abs, cross, most; /* e^2, |e|, x e, largest |e| */
};

/* What is known of rows and columns: of a segment, and of the tensor. */
struct sc_lines {
    const struct sc_lines_plan *plan;
    uint64_t first_row, n_rows; /* the rows that row_* have room for; n_rows: seen */
    uint64_t room;
    uint32_t *row_peak; /* bits of the largest |x| */
    double *row_square;
    uint32_t *column_peak; /* (cols); NULL: not asked for */
    double *column_square;
    struct sc_int_sums channel, group;
    float *head, *tail, *clean; /* units that another segment has the rest of; a unit */
    uint32_t *peaks;            /* of the groups of each unit of SC_ROWS_TOGETHER */
    float *inverse, *weight;
    uint64_t head_at, tail_at; /* position of their first values */
    size_t n_head, n_tail;
    bool absolute;                /* of all rows: first_row stays 0 */
    struct sc_counting *counting; /* codes that rounding may count meanwhile; NULL: none */
    bool tops;                    /* they are upper halves of floats */
};
/* How a tensor is cut, by its shape alone. */
struct sc_lines_plan {
    uint64_t rows, cols, count;
    uint64_t unit; /* values that are looked at together: a row, or a piece of a long one */
    bool whole;    /* chunks never cut a unit */
    bool want_rows, want_columns, want_errors;
    bool second; /* rows are longer than a unit: their integers need another visit */
    uint32_t group;
    float most_steps; /* 2^(bits - 1) - 1 */
    enum sc_cpu level;
};
void sc_lines_plan(const struct sc_measure *m, const struct sc_values *v,
                   struct sc_lines_plan *out);
/* Accumulators for at most `values` values (a segment), or of the whole tensor with UINT64_MAX. */
int sc_lines_new(const struct sc_lines_plan *plan, uint64_t values, struct sc_lines *out,
                 struct sc_error *e);
void sc_lines_reset(struct sc_lines *l);
void sc_lines_clear(struct sc_lines *l);
/* n values from position `at` on; without a gap to those before. Infinity and NaN count as 0. */
void sc_lines_add(struct sc_lines *l, uint64_t at, const float *x, size_t n);
/* BF16 codes of up to SC_ROWS_TOGETHER rows without making floats of them, and counts them on the
 * way, which `counting` is for. May be tried when take is true; false: nothing was done. */
bool sc_lines_take_bf16(const struct sc_lines *l);
bool sc_lines_add_bf16(struct sc_lines *l, uint64_t at, const uint8_t *codes, size_t n,
                       struct sc_counting *counting);
/* The same in the second visit. `peaks`: of all rows. */
void sc_lines_add_again(struct sc_lines *l, const uint32_t *peaks, uint64_t at, const float *x,
                        size_t n);
void sc_lines_merge(struct sc_lines *total, struct sc_lines *part);

/* Values as integers with one step, for a known largest |x| of a tensor or a row: adds to *sums. */
void sc_int_sums_add(const float *x, size_t n, uint32_t peak, float most_steps, enum sc_cpu level,
                     float *scratch, struct sc_int_sums *sums);

/* --------------------------------------------------------------------------------- order --- */
enum { SC_POSITIVE, SC_NEGATIVE, SC_SIDES }; /* by the sign bit: -0 is negative */

/* Magnitudes, ascending, and how many values of either sign have them. An entry is one magnitude,
 * or (low < high) all from low to below high. */
struct sc_order {
    size_t n;
    double *low, *high;        /* (n); high NULL: entries are single magnitudes */
    uint64_t *below[SC_SIDES]; /* (n + 1) values of entries before */
    uint32_t *bin;             /* (n) upper bits, with high */
    struct sc_finer *finer;    /* with high: what is known better */
    bool wide;                 /* keys have 63 bits, else 31 */
};
void sc_order_clear(struct sc_order *o); /* not finer, which is borrowed */
uint64_t sc_order_count(const struct sc_order *o);
/* Where the value of this rank (0: the smallest) lies: a point, or bounds when the entry must be
 * looked at more closely, which is then noted in finer. */
struct sc_bounds {
    double low, high;
};
struct sc_bounds sc_order_value(const struct sc_order *o, uint64_t rank);
struct sc_bounds sc_order_magnitude(const struct sc_order *o, uint64_t rank);
/* Values below / above t, and those with |x| <= t. */
uint64_t sc_order_below(const struct sc_order *o, double t);
uint64_t sc_order_above(const struct sc_order *o, double t);
uint64_t sc_order_within(const struct sc_order *o, double t);
/* Thresholds that will turn out to lie somewhere here. */
void sc_order_expect(const struct sc_order *o, struct sc_bounds threshold);

/* Which bins are too coarse, and what a further visit finds in them. */
struct sc_finer;
int sc_finer_new(bool wide, struct sc_finer **out, struct sc_error *e);
void sc_finer_free(struct sc_finer *f);
/* After all questions were asked: something is to be looked at; there was no memory for it. */
bool sc_finer_open(const struct sc_finer *f);
bool sc_finer_failed(const struct sc_finer *f);
const uint32_t *sc_finer_wanted(const struct sc_finer *f); /* (1024) a bit for each bin */
/* Values that fell into wanted bins, as bits. From many threads. */
void sc_finer_add(struct sc_finer *f, const uint32_t *bits, size_t n);
void sc_finer_add64(struct sc_finer *f, const uint64_t *bits, size_t n);
/* The visit is over. */
void sc_finer_close(struct sc_finer *f);

/* ------------------------------------------------------------------------------- figures --- */
/* What all ways lead to. */
struct sc_gathered {
    const struct sc_measure *measure;
    const struct sc_values *view;
    const struct sc_order *order;
    uint64_t nans, infinities, subnormals, zeros, negative_zeros, first_nan, first_infinity;
    uint64_t distinct;
    double entropy;
    double min, max, abs_max, sum, sum_abs, l2_norm;
    double central_square, central_third, central_fourth; /* over `unit`^2, ^3, ^4 */
    double unit;                                          /* a power of two near abs_max */
    struct sc_int_sums per_tensor;                        /* when order is coarse */
    const struct sc_lines *lines;
    char holds[16];
};
/* Figures that need the order of values only; may leave questions open in order->finer. */
void sc_figures_ask(const struct sc_gathered *g);
int sc_figures_fill(const struct sc_gathered *g, struct sc_health *h, struct sc_error *e);
/* Sums of an exact order. */
void sc_figures_sums(struct sc_gathered *g);

/* ----------------------------------------------------------------------------- one tensor --- */
enum {
    SC_FEW_VALUES = 16384,
    SC_CODE_RANGES = 8, /* of codes that are no finite values */
    SC_TOPS = 65536,
    SC_COUNTS_TOGETHER = 64, /* neighbours that are passed over when none of them occurs */
};
/* A sum and the sum of what its roundings lost (Neumaier), found without asking which of the two is
 * larger (Knuth, TAOCP 2, 4.2.2, theorem B): signs of weights are anybody's guess. */
struct sc_sum {
    double value, lost;
};
static inline void sc_sum_add(struct sc_sum *s, double x)
{
    const double next = s->value + x, added = next - s->value;
    s->lost += (s->value - (next - added)) + (x - added);
    s->value = next;
}
static inline void sc_sum_join(struct sc_sum *to, const struct sc_sum *from)
{
    sc_sum_add(to, from->value);
    sc_sum_add(to, from->lost);
}
static inline double sc_sum_total(struct sc_sum s)
{
    return s.value + s.lost;
}

enum sc_way { SC_WAY_FEW, SC_WAY_CODES, SC_WAY_FLOATS, SC_WAY_DOUBLES };

/* What a segment adds, and what the whole has. */
struct sc_tally {
    uint64_t nans, infinities, first_nan, first_infinity;
    uint64_t tiny[SC_SIDES]; /* not zero, but the upper 16 bits are */
    struct sc_sum sum, abs, square, central_square, central_third, central_fourth;
    double min, max;
    uint32_t any;  /* all bits */
    bool not_half; /* some value is no F16 */
    struct sc_int_sums per_tensor;
};

struct sc_elements {
    struct sc_measure measure;
    const struct sc_values *view;
    enum sc_way way;
    bool codes; /* chunks bring codes */
    bool bf16;
    unsigned code_bytes;  /* with codes: 1 or 2 */
    sc_decode_fn *decode; /* with codes */
    enum sc_cpu level;
    unsigned ranges; /* of codes that are not finite */
    uint32_t range[SC_CODE_RANGES][2];
    struct sc_lines_plan plan;
    struct sc_lines lines;
    struct sc_tally tally;
    uint64_t *few;
    size_t n_few;
    uint64_t *count; /* (n_counts) of codes, or of upper 16 bits */
    size_t n_counts;
    bool counted[SC_TOPS / SC_COUNTS_TOGETHER]; /* some of these occur */
    struct sc_order order;
    struct sc_finer *finer;
    struct sc_gathered gathered;
    uint32_t *row_peak; /* for the second visit */
    unsigned visit;
    bool no_memory;
};

/* After the first visit: counts become an order, and what is known of it. */
void sc_elements_gather(struct sc_elements *t);
/* After the second: central moments, errors of integers. */
void sc_elements_gather_central(struct sc_elements *t);
/* A narrower type that loses nothing. */
void sc_elements_find_holds(struct sc_elements *t);

#endif
