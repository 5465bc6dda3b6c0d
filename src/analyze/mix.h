/* SPDX-License-Identifier: Apache-2.0 */
/* mix: which cell gets which format.
 *
 * Owns: the algorithms that assign formats to the cells of tensors (quality.h) so that a goal holds
 * or a budget is kept, and the curve of all best sizes. Everything that is reported of an
 * assignment is summed up again over its cells, in order, in double.
 *
 * Does not own: errors (quality.h), names of algorithms in files and their options (quant.h).
 *
 * Nothing here reads values, so a table of errors serves any number of goals. Deterministic:
 * randomness is sc_random() by seed, and threads do not change a bit. Tables are only read, so any
 * number of calls may share them. Beside the tables, memory is a few bytes a cell (clusters: 24).
 *
 * Functions that can fail return 0 or SCRUPLE_EMEMORY, SCRUPLE_EUSAGE (no formats, or more than 16)
 * or SCRUPLE_ELIMIT; then there is nothing in *out. Cells without a finite value (padding, or only
 * NaN) have no error: they get the format of fewest bytes.
 */
#ifndef SC_MIX_H
#define SC_MIX_H

#include "analyze/quality.h"

enum sc_mix_metric {
    SC_MIX_PCC, /* at least */
    SC_MIX_MAE, /* at most, as all below but SQNR */
    SC_MIX_ATOL,
    SC_MIX_MSE,
    SC_MIX_SQNR, /* dB, at least */
    SC_MIX_METRICS
};
extern const char *const sc_mix_metrics[]; /* "pcc", "mae", "atol", "mse", "sqnr_db", NULL */
struct sc_mix_goal {
    enum sc_mix_metric metric;
    double threshold;
};
/* Whether a value of the metric is good enough; NaN never is. */
bool sc_mix_good(const struct sc_mix_goal *g, double value);

/* What an assignment comes to. */
struct sc_mix_totals {
    double pcc, one_minus_pcc, mae, atol, mse, sqnr_db, cosine;
    uint64_t bytes;     /* true and packed */
    uint64_t cells[16]; /* of each format */
    uint64_t left;      /* cells without a format (-1): they stay as they are, exact, at 0 bytes */
};
double sc_mix_value(const struct sc_mix_totals *t, enum sc_mix_metric m);
struct sc_mix {
    int8_t *format; /* (cells->n) index into cells->formats; -1: none */
    void *records;  /* what holds it */
    struct sc_mix_totals totals;
    bool good; /* the goal holds (budget: it is kept) */
};
void sc_mix_clear(struct sc_mix *m);
void sc_mix_sum(const struct sc_cells *c, const int8_t *format, struct sc_mix_totals *out);
/* The formats of c from fewest bytes a full cell up, ties in their order. */
void sc_mix_order(const struct sc_cells *c, uint8_t order[16]);

/* All four: what can be said of a single table. Clear *out with sc_mix_clear(). A goal that cannot
 * be reached gives good = false (threshold with hold, optimal: and the best metric).
 *
 * Each cell by itself: the smallest format for which the cell's own metric is good (of real values
 * only, not of padding), else the largest. hold: when the tensor as a whole then misses the goal,
 * the cells' threshold is tightened (bisection) until it holds, if any does; where no pcc of cells
 * is enough, since whole cells have moved, their squared error is judged instead. */
int sc_mix_threshold(const struct sc_cells *c, const struct sc_mix_goal *g, bool hold,
                     struct sc_mix *out, struct sc_error *e);
/* As wq's greedy: all cells begin in the first format; then format by format in their order, the
 * cells that are not fixed in a random order: tried, kept if the whole stays good, else fixed. */
int sc_mix_greedy(const struct sc_cells *c, const struct sc_mix_goal *g, uint64_t seed,
                  struct sc_mix *out, struct sc_error *e);
/* As wq's older greedy: cells begin without a format; clusters of the best scores are put into
 * each format in turn. k 0: only the single best cell at a time. Where it stops, cells are left
 * without a format. seed: for centres that lose all their scores. */
int sc_mix_clusters(const struct sc_cells *c, const struct sc_mix_goal *g, size_t k, uint64_t seed,
                    struct sc_mix *out, struct sc_error *e);
/* The smallest of `trials` random assignments that is good, else the best. each: of every trial, in
 * order; NULL: nobody wants to know. */
int sc_mix_random(const struct sc_cells *c, const struct sc_mix_goal *g, size_t trials,
                  uint64_t seed,
                  void (*each)(void *ctx, size_t trial, const struct sc_mix_totals *t), void *ctx,
                  struct sc_mix *out, struct sc_error *e);
/* The fewest bytes for which the goal holds, over the n tables together (one: of a tensor; many: of
 * a model, the metric then of all their values): lower convex hull of (bytes, error) of every cell
 * and one price of a byte for all of them (Everett 1963; Shoham and Gersho 1988), the last price
 * spent cell by cell, or, where that is better, on combinations of the cells that are nearest to
 * another choice. atol: exact; mae, mse, sqnr: exact in small tables, else within the bytes of one
 * cell; pcc is made linear about the last solution, a few times. Never larger than all cells in one
 * format. out has n elements; good is of all together.
 * p: NULL, or threads. */
int sc_mix_optimal(struct sc_cells *const *c, size_t n, const struct sc_mix_goal *g,
                   const struct sc_parallel *p, struct sc_mix *out, struct sc_error *e);
/* The best metric (least squared error for pcc, mse and sqnr) within `budget` bytes; less than the
 * least: the smallest assignment, good = false. Of equals the smaller. */
int sc_mix_budget(struct sc_cells *const *c, size_t n, enum sc_mix_metric metric, uint64_t budget,
                  const struct sc_parallel *p, struct sc_mix *out, struct sc_error *e);
/* The frontier: totals of the best assignments between all-smallest and the least error, at most
 * `points` (2 to 4096) of them evenly over bytes, both ends included; each is larger and better
 * than the one before. Totals are of all tables together, cells[] by the number of a format in its
 * own table. The caller frees *out. */
int sc_mix_curve(struct sc_cells *const *c, size_t n, enum sc_mix_metric metric, size_t points,
                 const struct sc_parallel *p, struct sc_mix_totals **out, size_t *n_out,
                 struct sc_error *e);

#endif
