/* SPDX-License-Identifier: Apache-2.0 */
/* curves: what becomes of a value x in a number format, as a function of x.
 *
 * Owns: the staircase of a format over 0..1 (synthetic), and the transfer curve of one tensor: its
 * own values in their own blocks, gathered by x; with it the histogram of errors, the picture of
 * (x, q(x)) and the error of each tile.
 *
 * Does not own: rounding (codec), pictures (report).
 *
 * Block formats round a value with its neighbours, so q(x) is not one number but a distribution:
 * curves hold its mean and its quantiles 5 % and 95 %. Deterministic: the same bits for any number
 * of threads and any processor.
 */
#ifndef SC_CURVES_H
#define SC_CURVES_H

#include "analyze/quality.h"
#include "result/result.h"

enum sc_curve_kind {
    SC_CURVE_VALUE,         /* the format rounds every value by itself */
    SC_CURVE_IDEAL,         /* x is the largest of its block: the best that the format can do */
    SC_CURVE_BLOCK,         /* x among normal neighbours */
    SC_CURVE_TENSOR,        /* x of a tensor, where it stands */
    SC_CURVE_LEGACY_IDEAL,  /* compare_reconstr_error: one bit too fine; see docs/curves.md */
    SC_CURVE_LEGACY_RANDOM, /* likewise: neighbours are smaller than x, always */
};
extern const char *const sc_curve_kinds[]; /* "value", "ideal", ..., NULL */

enum {
    SC_CURVE_FORMATS = 16,    /* at most */
    SC_CURVE_POINTS = 4096,   /* at most */
    SC_CURVE_HISTOGRAM = 128, /* bins of errors */
    SC_CURVE_CELLS = 120,     /* of the picture of (x, q(x)), each way */
    SC_CURVE_TILES = 128,     /* of the map of errors, at most each way */
};
struct sc_curve {
    struct sc_encoding format;
    uint8_t kind;              /* enum sc_curve_kind */
    double *mean, *low, *high; /* (points) of q(x); NaN: no value of x is there */
    /* over all values (of a tensor) or points (synthetic), finite ones */
    double mae, rmse, atol, bias, sqnr_db;
    uint64_t exact; /* d is 0 */
    /* |d| in equal bins of log10 from error_low to error_high (struct sc_curves); smaller ones are
     * in the first, larger ones in the last. And d in equal bins of -edge..edge. */
    uint64_t magnitude[SC_CURVE_HISTOGRAM], error[SC_CURVE_HISTOGRAM];
    double edge;
    uint32_t *cells; /* (SC_CURVE_CELLS squared) values by q(x), then x; both over low..high of x;
                        NULL: synthetic */
    float *tiles;    /* (down * across) ||d|| / ||x||; NaN: no values; NULL: synthetic */
};
struct sc_curves {
    size_t n_points, n;
    double *x; /* (n_points) ascending: points, or the middles of bins */
    struct sc_curve *curves;
    double low, high;             /* what the bins and cells span */
    double error_low, error_high; /* log10 of |d|: SC_CURVE_HISTOGRAM quarters of octaves */
    int error_top;                /* the upper end in such quarters */
    uint64_t values, nonfinite;   /* of the tensor; 0: synthetic */
    /* the map of errors: tiles of tile_rows x tile_cols values, matrices one below the other */
    uint64_t down, across, tile_rows, tile_cols;
    float *rms; /* (down * across) of x */
};
void sc_curves_clear(struct sc_curves *c);

struct sc_curves_synthetic {
    const struct sc_encoding *formats;
    size_t n;
    size_t points;  /* x: equal steps over 0..1, the ends included; at least 2 */
    size_t samples; /* blocks a point, for formats with blocks */
    uint64_t seed;
    bool legacy;
};
/* Ideal: x alone in its block (the others are 0), so that the scale is made for it. Block: x at a
 * random place of a block of normal values of standard deviation 1/4, so that 1 is about the
 * largest of a tensor; nothing makes x the largest of its block. Scales over a line: a line of 1024
 * values; over a tensor: of -1..1. Clear *out with sc_curves_clear(); after a failure there is
 * nothing in it. */
int sc_curves_synthesize(const struct sc_curves_synthetic *s, struct sc_curves *out,
                         struct sc_error *e);

struct sc_curves_measure {
    const struct sc_encoding *formats;
    size_t n;
    size_t points; /* equal bins of least..largest value */
    const struct sc_parallel *p;
    const _Atomic int *cancel;
};
/* Reads the tensor a few times: for its extent, then each format once. A tensor without finite
 * values gives curves without numbers. */
int sc_curves_measure(struct sc_values *v, const struct sc_curves_measure *m, struct sc_curves *out,
                      struct sc_error *e);

/* ------------------------------------------------------------------------------- documents --- */
#define SC_SCHEMA_CURVES "scruple.curves/1"
/* Adds x and all curves with their figures to `into`: of a tensor or of what is synthetic. */
void sc_analyze_curves(struct sc_document *d, struct sc_field *into, const struct sc_curves *c);
/* The figures of all curves as a table for a terminal; in the document's arena, `c` is borrowed. */
const struct sc_table *sc_curves_table(struct sc_document *d, const struct sc_curves *c);

#endif
