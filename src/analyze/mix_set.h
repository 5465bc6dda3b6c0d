/* SPDX-License-Identifier: Apache-2.0 */
/* mix_set: several tables of cells as one, for the files of mix.
 *
 * Cells are numbered through all tables. A pass over them goes in pieces of a fixed length, whose
 * partial results are put together in order, so that threads do not change a bit.
 */
#ifndef SC_MIX_SET_H
#define SC_MIX_SET_H

#include <math.h>
#include <stdatomic.h>

#include "analyze/figures.h"
#include "analyze/mix.h"

enum { SC_MIX_FORMATS = 16, SC_MIX_PARTS = 4 };

/* ----------------------------------------------------------------------------------- sums ---
 * Each in two doubles, the sum and what rounding took from it (Knuth, TAOCP 2, 4.2.2, theorem B):
 * so the order of millions of cells does not show, and sums that cells enter and leave agree with
 * those that are made anew. */
struct sc_mix_sums {
    double x[2], xx[2], y[2], yy[2], dd[2], abs[2];
    double most;
    uint64_t n; /* values */
};
static inline void sc_mix_add(double sum[2], double v)
{
    const double s = sum[0] + v, b = s - sum[0];
    sum[1] += (sum[0] - (s - b)) + (v - b);
    sum[0] = s;
}
static inline double sc_mix_get(const double sum[2])
{
    return sum[0] + sum[1];
}
/* A cell in a format; error NULL: as it is. */
void sc_mix_sums_add(struct sc_mix_sums *s, const struct sc_cell_values *v,
                     const struct sc_cell_error *error);
/* What a move from one format to another changes, `most` excepted. */
static inline void sc_mix_sums_move(struct sc_mix_sums *s, const struct sc_cell_error *from,
                                    const struct sc_cell_error *to)
{
    sc_mix_add(s->y, to->y - from->y);
    sc_mix_add(s->yy, to->yy - from->yy);
    sc_mix_add(s->dd, to->dd - from->dd);
    sc_mix_add(s->abs, to->abs - from->abs);
}
void sc_mix_sums_join(struct sc_mix_sums *s, const struct sc_mix_sums *other);
/* All metrics; bytes and cells stay as they are. */
void sc_mix_sums_totals(const struct sc_mix_sums *s, struct sc_mix_totals *out);
/* One of them. */
double sc_mix_sums_value(const struct sc_mix_sums *s, enum sc_mix_metric m);
/* Of one cell in a format. */
double sc_mix_cell_value(const struct sc_cell_values *v, const struct sc_cell_error *error,
                         enum sc_mix_metric m);
/* Whether value a is better than b; NaN is worst. */
bool sc_mix_better(enum sc_mix_metric m, double a, double b);
/* n times the variance; what rounding leaves of equal values counts as none. */
double sc_mix_variance(double sum, double squares, double n);
/* Of one table, bytes and cells included; *sums is overwritten. */
void sc_mix_sum_table(const struct sc_cells *c, const int8_t *format, struct sc_mix_sums *sums,
                      struct sc_mix_totals *out);
/* Formats from fewest bytes for cells of a part up, ties in their order; and the first of them. */
void sc_mix_order_part(const struct sc_cells *c, uint32_t part, uint8_t order[SC_MIX_FORMATS]);
uint8_t sc_mix_cheapest(const struct sc_cells *c, uint32_t part);
/* Refused: more formats than an assignment or more cells than memory can name. */
int sc_mix_check(const struct sc_cells *c, struct sc_error *e);
/* *out for a table, every cell without a format. */
int sc_mix_make(const struct sc_cells *c, struct sc_mix *out, struct sc_error *e);

/* ------------------------------------------------------------------------------------ set --- */
struct sc_mix_set {
    const struct sc_cells **c; /* (n) borrowed tables */
    size_t n;
    uint64_t *base;                                 /* (n + 1) cells in front of each table */
    uint8_t (*order)[SC_MIX_PARTS][SC_MIX_FORMATS]; /* (n) formats from fewest bytes up */
    const struct sc_parallel *p;
    struct sc_mix_sums x; /* n, x and xx of all values */
};
int sc_mix_set_make(struct sc_mix_set *s, const struct sc_cells *const *c, size_t n,
                    const struct sc_parallel *p, struct sc_error *e);
void sc_mix_set_clear(struct sc_mix_set *s);
static inline uint64_t sc_mix_set_cells(const struct sc_mix_set *s)
{
    return s->base[s->n];
}

/* Neighbouring cells of one table. */
struct sc_mix_run {
    const struct sc_cells *c;
    const uint8_t (*order)[SC_MIX_FORMATS]; /* (parts) */
    size_t table;
    uint64_t first, n; /* cells of the table */
    uint64_t at;       /* number of the first among all cells */
};
/* The run that begins at cell `at` of all and ends at `end` at the latest; at < end. */
struct sc_mix_run sc_mix_run_at(const struct sc_mix_set *s, uint64_t at, uint64_t end);
struct sc_mix_pass {
    size_t partial; /* bytes of a partial result, which begins as zeros */
    /* may be called from several threads, for one partial result from one */
    void (*run)(void *ctx, const struct sc_mix_run *r, void *partial);
    void (*fold)(void *ctx, void *partial); /* in order; NULL: there is nothing to fold */
    void *ctx;
};
int sc_mix_set_pass(const struct sc_mix_set *s, const struct sc_mix_pass *pass, struct sc_error *e);

/* What an assignment of all cells comes to; once: what formats add once, which is in *bytes too
 * (NULL: nobody wants to know). */
int sc_mix_set_sum(const struct sc_mix_set *s, const int8_t *format, struct sc_mix_sums *sums,
                   uint64_t *bytes, uint64_t *once, struct sc_error *e);

/* --------------------------------------------------------------------------------- search ---
 * The best of several assignments: one that is good before one that is not, then the smaller, of
 * equals the better; of those that are not good the better. */
struct sc_mix_search {
    const struct sc_mix_set *s;
    const struct sc_mix_goal *goal; /* NULL: to be within `budget` is good, then `metric` counts */
    enum sc_mix_metric metric;
    uint64_t budget;
    int8_t *now, *best; /* (all cells) what is tried; the best so far */
    struct sc_mix_sums now_sums, best_sums;
    uint64_t now_bytes, now_once, best_bytes;
    bool now_good, best_good, any;
    bool best_is_now; /* the last that was tried is the best, or as good */
    struct sc_records records;
};
/* goal and budget, metric are set by the caller. */
int sc_mix_search_make(struct sc_mix_search *x, const struct sc_mix_set *s, struct sc_error *e);
void sc_mix_search_clear(struct sc_mix_search *x);
/* Sums up `now`, and keeps it if it is the best. */
int sc_mix_search_try(struct sc_mix_search *x, struct sc_error *e);
/* The best as results, (s->n) of them; nothing is left of them after a failure. */
int sc_mix_search_end(const struct sc_mix_search *x, struct sc_mix *out, struct sc_error *e);
/* Threshold of each cell (mix.h) as candidates of a search with a goal. halvings: how finely it is
 * tightened until the goal holds; -1: not at all. */
enum { SC_MIX_HALVINGS = 16 };
int sc_mix_search_threshold(struct sc_mix_search *x, int halvings, struct sc_error *e);

/* ------------------------------------------------------------------------ hulls and prices --- */
/* What counts as the error of a cell. */
enum sc_mix_error {
    SC_MIX_ERROR_ABS,
    SC_MIX_ERROR_DD,
    SC_MIX_ERROR_MOST,   /* no sum: the largest of all cells counts */
    SC_MIX_ERROR_LINEAR, /* dd / 2 + yy * weights + y * weights: a pcc, made linear */
};
struct sc_mix_price {
    enum sc_mix_error kind;
    double yy, y;  /* LINEAR: weights */
    uint32_t mask; /* formats that may be used; a table with none of them uses all */
};
enum sc_mix_error sc_mix_error_of(enum sc_mix_metric m); /* pcc: DD */
static inline double sc_mix_price_error(const struct sc_mix_price *p,
                                        const struct sc_cell_error *error)
{
    switch (p->kind) {
    case SC_MIX_ERROR_ABS:
        return error->abs;
    case SC_MIX_ERROR_DD:
        return error->dd;
    case SC_MIX_ERROR_MOST:
        return error->most;
    case SC_MIX_ERROR_LINEAR:
        return 0.5 * error->dd + p->yy * error->yy + p->y * error->y;
    }
    return 0;
}
/* The formats of a cell that can be best at some price of a byte, from fewest bytes up: the lower
 * convex hull of (bytes, error); MOST: every format with a smaller error than all cheaper ones.
 * key[k] is what the step from k - 1 to k is worth, as an integer in the order of the numbers:
 * error saved a byte (MOST: the error that it removes). It falls with k; key[0] is UINT64_MAX. */
struct sc_mix_hull {
    unsigned n;
    uint8_t format[SC_MIX_FORMATS];
    uint64_t key[SC_MIX_FORMATS], bytes[SC_MIX_FORMATS];
    double error[SC_MIX_FORMATS];
};
void sc_mix_hull_of(const struct sc_mix_price *p, const struct sc_mix_run *r, uint64_t cell,
                    struct sc_mix_hull *h);
uint64_t sc_mix_key(double worth); /* not negative, not NaN */
double sc_mix_worth(uint64_t key);

/* A price, or a narrow interval of prices: steps with a key above hi are taken, those of lo..hi
 * one by one in the order of the cells, as far as it goes. */
struct sc_mix_cut {
    uint64_t lo, hi;
    double error;   /* sum when only those above hi are taken */
    uint64_t bytes; /* likewise, without what formats add once */
    bool met;       /* error: the target can be met; bytes: it is not below the least */
};
struct sc_mix_targets {
    bool by_bytes;
    const uint64_t *bytes; /* at most */
    double error;          /* at most; one target only */
    size_t n;
};
/* Radix selection: the keys are never stored, tables are read once a digit. cuts: (n). */
int sc_mix_select(const struct sc_mix_set *s, const struct sc_mix_price *p,
                  const struct sc_mix_targets *targets, struct sc_mix_cut *cuts,
                  struct sc_error *e);
/* format: (all cells). target: where steps of lo..hi end; NULL: none of them is taken. */
int sc_mix_apply(const struct sc_mix_set *s, const struct sc_mix_price *p,
                 const struct sc_mix_cut *cut, const struct sc_mix_targets *target, int8_t *format,
                 struct sc_error *e);

/* ----------------------------------------------------------------------------------- core ---
 * The last bytes: cells whose second choice is nearly as good as their first at the price of the
 * cut are combined anew, by dynamic programming over lists of undominated (bytes, error), to the
 * fewest bytes with which the goal of the search holds, or the least error within `room` more
 * bytes. Everybody else stays. x->now changes, and what it comes to is not summed up. */
int sc_mix_core(struct sc_mix_search *x, const struct sc_mix_price *p, double error_per_byte,
                uint64_t room, struct sc_error *e);

#endif
