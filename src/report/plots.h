/* SPDX-License-Identifier: Apache-2.0 */
/* plots: the pictures of a scan.
 *
 * Owns: the table of plots, the metrics that heat maps can show, and writing pictures as files.
 * Every plot is a function from figures (analyze/health.h) to SVG (svg.h); what it says under the
 * picture is true of every model, and what it leaves out of a huge one it says in a note. Singular
 * matrices (an infinite condition number) and zeros on logarithmic axes have lanes of their own.
 *
 * Does not own: the figures, the page (html.h). A heat map of the elements themselves is not drawn
 * here: the figures hold no elements.
 */
#ifndef SC_PLOTS_H
#define SC_PLOTS_H

#include "analyze/health.h"
#include "report/report.h"
#include "report/svg.h"

/* One scan, as pictures and pages want it. Everything is borrowed. */
struct sc_scan_view {
    struct sc_str title; /* foreign text: what was scanned */
    const struct sc_model *model;
    const uint32_t *tensors;               /* (n) indices into model->tensors */
    const struct sc_health *const *health; /* (n) NULL: not measured */
    size_t n;
    const struct sc_issues *issues; /* NULL: none were looked for */
    const struct sc_rule *rules;    /* of the issues: sc_rules */
    size_t n_rules;
    size_t file_errors; /* of a model that was opened leniently: what could not be read */
    const struct sc_metric_group *const *groups; /* NULL-terminated: sc_metric_groups */
    const char *const *spectrum_methods;         /* sc_spectrum_method_names */
    const struct sc_field *facts; /* the document's root: its scalars are listed; NULL: none */
};

/* ---------------------------------------------------------------------------------- metrics ---
 * What one number of a tensor can be plotted. NaN: was not measured, or does not apply. */
struct sc_plot_metric {
    const char *id, *title, *unit; /* unit NULL: none */
    double (*get)(const struct sc_health *h);
    unsigned method; /* enum sc_method that measures it */
    bool log;        /* spans decades */
    signed char bad; /* 1: large is worse, -1: small is worse, 0: neither */
};
extern const struct sc_plot_metric sc_plot_metrics[];
extern const size_t sc_n_plot_metrics;
const struct sc_plot_metric *sc_plot_metric(const char *id); /* NULL: there is none */
/* Of the i-th tensor of a view. */
double sc_plot_value(const struct sc_scan_view *v, size_t i, const struct sc_plot_metric *m);

/* Kinds of tensors: a colour and a shape each. */
enum sc_family {
    SC_FAMILY_ATTENTION,
    SC_FAMILY_MLP,
    SC_FAMILY_EXPERT,
    SC_FAMILY_EMBEDDING,
    SC_FAMILY_NORM,
    SC_FAMILY_ROUTER,
    SC_FAMILY_SSM,
    SC_FAMILY_OTHER,
    SC_FAMILY_COUNT
};
extern const struct sc_legend_item sc_families[SC_FAMILY_COUNT];
enum sc_family sc_family_of(const struct sc_tensor *t);

/* Layers and roles as a grid: columns are layers (in order of towers; -1: outside of layers), rows
 * are roles. A cell sums up the tensors in it. */
struct sc_cell_value {
    uint32_t row, column, n;
    uint32_t first;           /* position in the view of its worst tensor */
    double median, low, high; /* infinities count as large */
};
struct sc_grid_line {
    int32_t number; /* layer or expert; -1: none */
    uint8_t role, tower;
    bool expert; /* rows: weights of experts */
};
struct sc_grid {
    struct sc_grid_line *rows, *columns;
    struct sc_cell_value *cells; /* by row, then column */
    size_t n_rows, n_columns, n_cells;
    size_t per_column, per_row; /* layers or experts that were put together; 1: none were */
};
enum sc_grid_kind { SC_GRID_ROLES, SC_GRID_EXPERTS /* rows: experts */ };
/* At most max_columns columns and max_rows rows. */
int sc_grid_make(const struct sc_scan_view *v, const struct sc_plot_metric *m,
                 enum sc_grid_kind kind, size_t max_columns, size_t max_rows, struct sc_grid *out,
                 struct sc_error *e);
void sc_grid_clear(struct sc_grid *g);
/* "q_proj", "gate_proj (experts)" */
void sc_grid_row_name(const struct sc_grid_line *line, enum sc_grid_kind kind, struct sc_buf *out);

/* ------------------------------------------------------------------------------------ plots --- */
enum sc_plot_kind {
    SC_PLOT_MODEL,  /* of one view */
    SC_PLOT_METRIC, /* of one view and a metric */
    SC_PLOT_TENSOR, /* of one tensor of a view */
    SC_PLOT_MODELS, /* of two views or more */
};
struct sc_plot_input {
    const struct sc_scan_view *views;
    size_t n_views;
    size_t tensor; /* position in the view */
    const struct sc_plot_metric *metric;
};
struct sc_plot {
    const char *id, *title;
    const char *what;  /* how to read it, in a sentence or two */
    const char *needs; /* why there may be nothing to show */
    enum sc_plot_kind kind;
    bool (*draw)(const struct sc_plot_input *in, struct sc_svg *s); /* false: nothing to show */
};
extern const struct sc_plot sc_plots[];
extern const size_t sc_n_plots;
const struct sc_plot *sc_plot(const char *id); /* NULL: there is none */
/* Appends a picture of `width` pixels to out and its notes (plain text) to notes, which may be
 * NULL. 1: done, 0: nothing to show, else an error. Pure: may run in many threads. */
int sc_plot_svg(const struct sc_plot *p, const struct sc_plot_input *in, double width, bool page,
                struct sc_buf *out, struct sc_buf *notes, struct sc_error *e);
/* A line without axes through the medians of a role along the layers, for tables. */
void sc_plot_spark(const struct sc_grid *g, uint32_t row, bool log, struct sc_buf *out);
/* "layers.3.mlp.down_proj": a name without what all names share. Borrowed. */
struct sc_str sc_plot_name(const struct sc_scan_view *v, size_t i);
/* Positions of the view's tensors, the most remarkable first: by the findings about them (most
 * severe first), then by how far the largest value lies beyond that of a normal sample. `order` has
 * room for v->n. */
/* For every tensor of the model its position in the view, UINT32_MAX: none. The caller frees; NULL:
 * no memory. */
uint32_t *sc_plot_positions(const struct sc_scan_view *v);
int sc_plot_worst(const struct sc_scan_view *v, uint32_t *order, struct sc_error *e);

/* ------------------------------------------------------------------------------------ files --- */
enum { SC_PLOT_SVG = 1, SC_PLOT_PNG = 2 };
struct sc_plots_written {
    /* A sentence for whoever wants notes: what was left out and why. NULL: nobody does. */
    void (*note)(void *ctx, const char *sentence);
    void *note_ctx;
    size_t svg, png; /* files that were written */
    /* Where files wait for the others (plots_quality.h); NULL: each appears by itself. */
    struct sc_staged *staged;
};
/* Every plot that has something to show, into the folder `dir` (made when needed): ID.svg for
 * models, ID-METRIC.svg for metrics, ID-NAME.svg for the `n_tensors` most remarkable tensors of the
 * first view. Names of files are made of [A-Za-z0-9._-], so nothing lands outside of dir. They
 * appear whole and when all are written, else none does. PNG needs librsvg and cairo, which are
 * loaded on first need; without them only SVG is written and a note says so. SCRUPLE_EWRITE with
 * the path that failed. */
int sc_plots_write(const char *dir, const struct sc_scan_view *views, size_t n_views,
                   unsigned formats, size_t n_tensors, struct sc_plots_written *w,
                   struct sc_error *e);
/* An SVG picture as PNG, two pixels a CSS pixel. SCRUPLE_EUNSUPPORTED with what to install. */
int sc_png_from_svg(struct sc_str svg, struct sc_buf *out, struct sc_error *e);

#endif
