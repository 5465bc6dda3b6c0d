/* SPDX-License-Identifier: Apache-2.0 */
/* plots_quality: the pictures and the page of what number formats cost.
 *
 * Owns: maps of formats and of errors over the cells of a tensor, size against accuracy, frontiers,
 * random trials, sweeps over thresholds, curves, histograms of errors; the page with a threshold
 * that moves, and the page of curves.
 *
 * Does not own: figures (analyze), where files go (cli). Everything passed in is borrowed. All
 * functions are pure and may run in many threads; the same input gives the same bytes.
 */
#ifndef SC_PLOTS_QUALITY_H
#define SC_PLOTS_QUALITY_H

#include "analyze/curves.h"
#include "analyze/mix.h"
#include "report/plots.h"

/* How a picture is wanted. */
struct sc_picture {
    struct sc_str subject; /* foreign text: what it is of; empty: nothing */
    double width;          /* CSS pixels; 0: 960 */
    bool page;             /* inside a page: its style sheet gives the colours */
    struct sc_buf *notes;  /* sentences that say what was left out; NULL: nobody wants them apart.
                              In a file they stand below the picture, too */
};
/* Each sc_picture_x() appends one SVG to out. 1: done, 0: nothing to show (out is as it was), else
 * an error. sc_png_from_svg() makes a PNG of a file's. */

/* ----------------------------------------------------------------------------------- maps --- */
/* Which cell has which format: one square a cell, dark for large formats and light for small ones,
 * grey for none. Matrices stand one below the other. What is larger than the picture is shrunk: a
 * square then is the most frequent format of its cells. */
int sc_picture_assignment(const struct sc_cells *c, const int8_t *format,
                          const struct sc_picture *p, struct sc_buf *out, struct sc_error *e);
/* A figure of each cell of a tensor, beside the picture of its weights. */
struct sc_error_map {
    uint64_t down, across;         /* cells, row-major */
    const float *error;            /* ||d|| / ||x||; NaN: nothing to say */
    const float *rms;              /* of the weights; NULL: no picture of them */
    uint64_t cell_rows, cell_cols; /* values that a cell stands for */
    const char *format;            /* of which it is; NULL: a mix */
};
int sc_picture_errors(const struct sc_error_map *m, const struct sc_picture *p, struct sc_buf *out,
                      struct sc_error *e);
/* The same of a table of cells, with all cells in one format, or as assigned (format NULL: all in
 * formats[one]). */
int sc_picture_cell_errors(const struct sc_cells *c, const int8_t *format, size_t one,
                           const struct sc_picture *p, struct sc_buf *out, struct sc_error *e);

/* ------------------------------------------------------------------------------- trade-offs --- */
struct sc_size_point {
    struct sc_str name;  /* "BFP8", "optimal" */
    const char *formats; /* "bfp8:115209 bfp4:13815"; NULL: one format */
    double bytes, value; /* value: of the metric */
    bool mix;            /* else a whole tensor in one format */
};
struct sc_size_plot {
    enum sc_mix_metric metric;
    const struct sc_size_point *points;
    size_t n;
    const struct sc_mix_totals *frontier; /* of sc_mix_curve(), by bytes */
    size_t n_frontier;
    double threshold; /* of the goal; NaN: none */
};
int sc_picture_size(const struct sc_size_plot *plot, const struct sc_picture *picture,
                    struct sc_buf *out, struct sc_error *e);
/* Frontiers of several tensors over bits a weight, that of the model among them. */
struct sc_frontier {
    struct sc_str name;
    const struct sc_mix_totals *points; /* by bytes */
    size_t n;
    uint64_t values; /* weights that it is of */
    bool model;      /* of all of them together */
};
int sc_picture_frontiers(const struct sc_frontier *f, size_t n, enum sc_mix_metric metric,
                         const struct sc_picture *p, struct sc_buf *out, struct sc_error *e);
/* Random trials: metric against bytes, coloured by whether and how nearly the goal is met. best:
 * the trial that was taken; SIZE_MAX: none. */
int sc_picture_trials(const struct sc_mix_totals *trials, size_t n, const struct sc_mix_goal *goal,
                      size_t best, const struct sc_picture *p, struct sc_buf *out,
                      struct sc_error *e);
/* One tensor (or model) over many thresholds. */
struct sc_threshold_step {
    double threshold;
    struct sc_mix_totals totals;
};
struct sc_threshold_sweep {
    struct sc_str name;
    struct sc_str weight;  /* "mlp.down_proj": what it is beside its layer; empty: name */
    int32_t layer, expert; /* -1: none */
    const struct sc_threshold_step *steps;
    size_t n;
    const struct sc_encoding *formats; /* of totals.cells */
    size_t n_formats;
};
int sc_picture_sweep(const struct sc_threshold_sweep *w, enum sc_mix_metric metric,
                     const struct sc_picture *picture, struct sc_buf *out, struct sc_error *e);
/* One panel a weight with a line a layer, or one panel a layer with a line a weight. */
int sc_picture_sweeps(const struct sc_threshold_sweep *all, size_t n, bool by_layer,
                      enum sc_mix_metric metric, const struct sc_picture *picture,
                      struct sc_buf *out, struct sc_error *e);

/* ---------------------------------------------------------------------------------- curves --- */
int sc_picture_curves(const struct sc_curves *c, const struct sc_picture *p, struct sc_buf *out,
                      struct sc_error *e);
/* (x, q(x)) of a tensor as a picture a format, with mean and band. */
int sc_picture_transfer(const struct sc_curves *c, const struct sc_picture *p, struct sc_buf *out,
                        struct sc_error *e);
int sc_picture_error_histogram(const struct sc_curves *c, const struct sc_picture *p,
                               struct sc_buf *out, struct sc_error *e);

/* ----------------------------------------------------------------------------------- pages --- */
enum { SC_PAGE_CELLS = 200000, SC_PAGE_TENSORS = 16 };
struct sc_quant_page_tensor {
    struct sc_str name;
    const struct sc_cells *cells;
    const int8_t *chosen; /* what the run chose; NULL: nothing */
    const struct sc_mix_totals *chosen_totals;
    const struct sc_size_point *points; /* baselines and mixes; marks in the picture of sizes */
    size_t n_points;
    const struct sc_mix_totals *frontier; /* of goal.metric; NULL: none */
    size_t n_frontier;
    const struct sc_threshold_step *steps; /* a sweep over thresholds; NULL: none */
    size_t n_steps;
};
struct sc_quant_page {
    struct sc_str title; /* foreign text: the model */
    struct sc_mix_goal goal;
    const char *algorithm; /* what `chosen` comes from */
    const struct sc_quant_page_tensor *tensors;
    size_t n;
};
/* One file, no network: maps, sizes and figures that follow a slider, computed in the browser from
 * the table of errors that the page holds (float, summed up in double). At most SC_PAGE_TENSORS
 * tensors; tables above SC_PAGE_CELLS cells are coarsened, and the page says so. Needs libcrypto
 * for the hashes of its policy. */
int sc_report_quant_page(struct sc_out *o, const struct sc_quant_page *p, struct sc_error *e);

struct sc_curves_page {
    struct sc_str title;
    const struct sc_str *names; /* (n) of tensors; one empty: synthetic */
    const struct sc_curves *curves;
    size_t n;
};
int sc_report_curves_page(struct sc_out *o, const struct sc_curves_page *p, struct sc_error *e);

/* ----------------------------------------------------------------------------------- files --- */
/* A name as that of a file, as wq has it: runs outside of [A-Za-z0-9._-] become one '_', those at
 * the ends go; "tensor" when nothing is left. Cut to 120 bytes. */
void sc_picture_slug(struct sc_str name, struct sc_buf *out);
/* The SVG as DIR/NAME.svg and, where formats (SC_PLOT_SVG | SC_PLOT_PNG) say so, as DIR/NAME.png;
 * DIR is made when needed. Files appear whole or not at all. Without libraries for PNG a note says
 * so (once: formats loses SC_PLOT_PNG) and SVG is written. */
int sc_picture_write(const char *dir, const char *name, struct sc_str svg, unsigned *formats,
                     struct sc_plots_written *w, struct sc_error *e);

/* Files that appear together: each is written under another name beside its own until all are. */
struct sc_staged {
    struct sc_staged_file {
        char *temporary, *path;
    } * p;
    size_t n, cap;
    char *made; /* the folder, if it was not there before; NULL */
};
/* Zero-initialised; makes `dir`. SCRUPLE_EWRITE. */
int sc_staged_begin(struct sc_staged *s, const char *dir, struct sc_error *e);
/* Gives all files their names, or with a code below 0 removes them, and the folder when it is new;
 * returns code, or SCRUPLE_EWRITE. Always to be called. */
int sc_staged_end(struct sc_staged *s, int code, struct sc_error *e);

#endif
