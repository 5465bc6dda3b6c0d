/* SPDX-License-Identifier: Apache-2.0 */
/* quality: what number formats cost one tensor.
 *
 * Owns: the errors of a tensor in any number of formats, from one pass over its values (two when a
 * format needs the extent of the tensor or of its lines first), and the table of the errors of its
 * cells (tiles, rows, groups), of which mix.h chooses formats.
 *
 * Sums of x are in double, and all sums of a tensor of at most 65,536 values; else those of d are
 * of blocks of floats (kernel.h, errors.c), then in double: good to 1e-6. d = y - x, x as stored, y
 * what the format keeps of it. Values that are not finite are counted and left out; a finite value
 * that the format turns into infinity or NaN is counted and taken as 0.
 *
 * The figures of a format are one struct without pointers and a metric table, as in health.h.
 */
#ifndef SC_QUALITY_H
#define SC_QUALITY_H

#include "analyze/health.h"
#include "codec/encoding.h"

/* The part of a tensor where a format does worst: of all rows (columns, ...) the one with the
 * largest ||d|| / ||x||, of equals the first. UINT64_MAX: there are none. */
struct sc_worst {
    uint64_t index; /* tiles: row-major, see cells */
    double relative_frobenius;
};
struct sc_quality {
    uint64_t values, finite, nonfinite; /* of x */
    uint64_t overflowed;                /* finite x, y is not */
    uint64_t saturated;                 /* too large for their scale */
    uint64_t zeroed;                    /* x is not 0, y is */
    double pcc, one_minus_pcc, cosine;
    double mae, mse, rmse, atol; /* atol: largest |d| */
    double sqnr_db;              /* 10 log10(sum x^2 / sum d^2); Infinity: no error */
    double relative_frobenius;   /* ||d|| / ||x|| */
    double max_relative;         /* largest |d| / |x|, x not 0 */
    double bias;                 /* mean d */
    double p99, p999;            /* quantiles of |d| */
    struct sc_worst row, column, tile, head, expert;
    uint64_t bytes;         /* packed, true; UINT64_MAX: does not fit the shape */
    double bits_per_weight; /* NaN likewise */
};
extern const struct sc_metric_group sc_metrics_quality; /* offsets in struct sc_quality */

/* Of x alone. */
struct sc_value_facts {
    uint64_t values, nonfinite;
    double min, mean, max, abs_max, rms;
};

/* ---------------------------------------------------------------------------------- cells ---
 * A tensor in the parts that a mix may give formats of their own. Tiles: 32 x 32 of each matrix
 * (what is missing at the edges is padding and no value; a vector fills its tiles in order: 1024
 * values each). Rows: the last dimension. Groups: `group` neighbours of a row. */
enum sc_grain { SC_GRAIN_NONE, SC_GRAIN_TILE, SC_GRAIN_ROW, SC_GRAIN_GROUP };
struct sc_cell_values {
    double x, xx;
    uint32_t n, part; /* finite values; n of a full cell: see part, 0: full, 1: right edge,
                         2: lower edge, 3: both */
};
struct sc_cell_error {
    double y, yy, dd, abs; /* sums of y, y^2, d^2, |d|; x y is (xx + yy - dd) / 2 */
    double most;           /* largest |d| */
};
struct sc_cells {
    uint8_t grain; /* enum sc_grain */
    uint32_t group;
    uint64_t matrices, rows, cols; /* of the tensor */
    uint64_t height, width;        /* of a full cell */
    uint64_t down, across;         /* cells of one matrix */
    uint64_t n;                    /* matrices * down * across, in this order */
    size_t n_formats;
    struct sc_encoding formats[16];
    uint64_t bytes[16][4];         /* of one cell, by format and part */
    uint64_t once[16];             /* what a tensor adds as soon as one cell has this format */
    struct sc_cell_values *values; /* (n) */
    struct sc_cell_error *errors;  /* (n * n_formats): errors[cell * n_formats + format] */
    void *records;                 /* what holds both, in pages of a file when it is large */
};
void sc_cells_free(struct sc_cells *c); /* NULL is allowed; what it points to */
/* The cell where a value stands. */
static inline uint64_t sc_cell_at(const struct sc_cells *c, uint64_t matrix, uint64_t row,
                                  uint64_t col)
{
    return (matrix * c->down + row / c->height) * c->across + col / c->width;
}
static inline const struct sc_cell_error *sc_cell_error(const struct sc_cells *c, uint64_t cell,
                                                        size_t format)
{
    return &c->errors[cell * c->n_formats + format];
}

/* ------------------------------------------------------------------------------- measuring --- */
struct sc_quality_options {
    const struct sc_encoding *formats; /* (n), at most SC_QUALITY_FORMATS */
    size_t n;
    /* Nothing but what follows from sums over the tensor and its largest |d|, in half of the time:
     * saturated, zeroed, max_relative, p99, p999 and the worst parts are not known (UINT64_MAX,
     * NaN). All else is what it is without it, but for the order in which sums of BF16 values are
     * added up, which shows in the seventh digit. There are no cells. */
    bool brief;
    enum sc_grain grain; /* cells for a mix of the formats with in_mix; SC_GRAIN_NONE: none */
    uint32_t group;
    const bool *in_mix;            /* (n) at most 16 of them; NULL: all */
    uint32_t head_rows, head_cols; /* rows or columns of one attention head; 0: none */
    uint64_t memory;               /* budget in bytes */
    uint64_t sample; /* values to look at: whole row blocks at even distances; 0: all */
    const struct sc_parallel *p;
    const _Atomic int *cancel;
    /* Now and then, one call at a time: the share of the work that is done, below 1. NULL: nobody
     * asks. */
    void (*progress)(void *ctx, double share);
    void *ctx;
};
enum { SC_QUALITY_FORMATS = 64 };
struct sc_quality_result {
    struct sc_value_facts facts;
    struct sc_quality *formats; /* (n) in the order of the options */
    struct sc_cells *cells;     /* NULL: none were asked for */
    /* of a sample: half the width of the 95 % interval of each; 0: everything was looked at */
    uint64_t sampled;
    struct sc_quality_interval {
        double pcc, sqnr_db, mae;
    } * intervals; /* (n) NULL: no sample */
};
/* A tensor as matrices for formats: all leading dimensions count matrices, vectors are one row.
 * (health.h's sc_matrices_of() is for spectra: it flattens convolutions.) */
struct sc_matrices sc_quality_matrices(const struct sc_values *v);
/* Of a tensor without a finite value nothing but counts is known: all else is NaN. Of an empty one
 * nothing is lost. Clear *out with sc_quality_clear(); after a failure there is nothing in it. */
int sc_quality_measure(struct sc_values *v, const struct sc_quality_options *o,
                       struct sc_quality_result *out, struct sc_error *e);
void sc_quality_clear(struct sc_quality_result *r);

/* -------------------------------------------------------------------------- reconstruction ---
 * x as the format keeps it: a view that is computed panel by panel from `v` (borrowed), for writing
 * and for pictures. With cells and an assignment (-1: stays as it is) each cell in its format. */
int sc_values_open_rounded(struct sc_values *v, const struct sc_encoding *f,
                           const struct sc_cells *cells, const int8_t *assignment,
                           const struct sc_parallel *p, struct sc_values **out, struct sc_error *e);

#endif
