/* SPDX-License-Identifier: Apache-2.0 */
/* plots_draw: what the files of plots share. Private to report. */
#ifndef SC_PLOTS_DRAW_H
#define SC_PLOTS_DRAW_H

#include "report/plots_quality.h"

/* plots_data.c: one value of a tensor, and where the tensor stands in its view. */
struct sc_point {
    double v;
    uint32_t at;
};
/* Tensors whose value is a number or infinite; the caller frees. NULL and *n 0: none, or no memory
 * (then s->b.failed). */
struct sc_point *sc_points_of(struct sc_svg *s, const struct sc_scan_view *v,
                              const struct sc_plot_metric *m, size_t *n);
int sc_point_up(const void *a, const void *b);   /* for qsort */
int sc_point_down(const void *a, const void *b); /* ties in the order of the view */
struct sc_range {
    double low, high; /* of the finite ones; low > high: there is none */
    size_t n, zeros, infinite;
};
/* `positive`: zeros and less do not stretch the range. */
struct sc_range sc_range_of(const double *v, size_t stride, size_t n, bool positive);
double sc_median(double *v, size_t n); /* sorts; NaN: n is 0 */
const struct sc_tensor *sc_view_tensor(const struct sc_scan_view *v, size_t i);
const struct sc_health *sc_view_health(const struct sc_scan_view *v, size_t i, unsigned method);
/* In pixels: where the data of many tensors would only be a blot, cells take their place. */
#define SC_MANY_POINTS 1200

/* Panels side by side where there is room, else one below the other. */
struct sc_rows {
    double x, y, w, h, gap;
    size_t per_row, at;
};
struct sc_rows sc_rows_start(const struct sc_svg *s, double y, size_t wanted, double least_width,
                             double h);
struct sc_box sc_rows_next(struct sc_rows *r);
double sc_rows_end(const struct sc_rows *r); /* y below the last row */

/* The nine steps of the ramp between two texts; returns the width that it took. */
double sc_draw_ramp(struct sc_svg *s, double x, double y, const char *low, const char *high);

/* A legend of the kinds of tensors that are among the points; returns its height. */
double sc_family_legend(struct sc_svg *s, const struct sc_scan_view *v, const struct sc_point *p,
                        size_t n, double y);

/* plots_picture.c: a picture without a row in the table of plots. `shown` false: nothing is
 * appended. Clears *s. */
void sc_picture_start(struct sc_svg *s, const struct sc_picture *p);
int sc_picture_finish(struct sc_svg *s, bool shown, const char *title, const char *what,
                      const struct sc_picture *p, struct sc_buf *out, struct sc_error *e);
/* A metric as an axis has it: what is plotted of totals, and how. */
struct sc_metric_axis {
    const char *title; /* with the direction: "PCC", "mean |error|, less is better" */
    bool log, nines;   /* nines: value is 1 - pcc */
    bool more;         /* more is better, as shown (of pcc, not of 1 - pcc) */
};
extern const struct sc_metric_axis sc_metric_axes[SC_MIX_METRICS];
double sc_metric_of(const struct sc_mix_totals *t, enum sc_mix_metric m); /* 1 - pcc for pcc */
double sc_metric_plotted(double value, enum sc_mix_metric m);             /* of a given figure */
/* The panel's y for values of a metric low..high; zeros: there are exact ones. */
void sc_metric_panel(struct sc_panel *p, enum sc_mix_metric m, const double *v, size_t n);
/* "bfp8 62 %, bfp4 38 %" */
void sc_put_shares(struct sc_buf *b, const struct sc_encoding *formats, size_t n,
                   const struct sc_mix_totals *t);

/* Sizes along an axis in a unit that fits all of them, as tables have it: decimal. */
struct sc_size_unit {
    double bytes;
    char title[24];
};
struct sc_size_unit sc_size_unit_of(double most);
/* Where bytes and the metric lie of all marks of a picture together; the caller frees y. */
struct sc_size_extent {
    double *y;
    size_t n;
    double most; /* bytes */
};
void sc_put_size(struct sc_buf *b, double bytes); /* "1.5 MB" */
void sc_put_metric(struct sc_buf *b, enum sc_mix_metric m, double value);
double sc_metric_value(const struct sc_mix_totals *t, enum sc_mix_metric m); /* as tables have it */
/* sc_svg_end_item(), and the end of what it says. */
void sc_svg_end_tip(struct sc_svg *s, struct sc_buf *tip);
/* Of the i-th of several lines; seven, then again from the first. */
enum sc_ink sc_line_ink(size_t i);

/* plots_tiling.c: a matrix as squares, each of which stands for by_rows x by_cols cells. */
enum { SC_SQUARE_NONE = -1 };
struct sc_tiling {
    uint64_t down, across;         /* cells of the matrix */
    uint64_t by_rows, by_cols;     /* of a square */
    uint64_t n_rows, n_cols;       /* squares */
    uint64_t first_row, first_col; /* numbers of the first cells, for ticks */
    struct sc_box box;             /* where they are drawn */
    double w, h;                   /* of a square */
};
/* At most `most` squares a side. */
struct sc_tiling sc_tiling_of(uint64_t down, uint64_t across, uint64_t most);
/* Squares as large as fit, but no larger than a thumb; a strip is stretched until it can be seen.
 */
void sc_tiling_place(struct sc_tiling *t, double x, double y, double w, double most_h);
double sc_tiling_room(const struct sc_tiling *t); /* left of it, for the numbers of rows */
/* Ticks count the cells of the matrix, not the squares of the picture. */
void sc_tiling_ticks(struct sc_svg *s, const struct sc_tiling *t, const char *x_title,
                     const char *y_title);
/* Thin lines between squares while these are few. */
void sc_tiling_mesh(struct sc_svg *s, const struct sc_tiling *t);
/* Squares by an index 0..n_inks-1 each, SC_SQUARE_NONE in `none`. */
void sc_tiling_squares(struct sc_svg *s, const struct sc_tiling *t, const int8_t *index,
                       const enum sc_ink *inks, size_t n_inks, enum sc_ink none);

/* plots_curves.c */
bool sc_curve_is_ideal(const struct sc_curve *c);
size_t sc_curve_place(const struct sc_curves *c, size_t at); /* its format among those drawn */
void sc_curve_name(const struct sc_curve *c, char *out, size_t size); /* "BFP8 (ideal)" */

/* One function a plot; the table in plots.c says what each shows. */
bool sc_draw_distribution(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_singular(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_esd(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_std(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_condition(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_risk(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_rank(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_dashboard(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_comparison(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_evolution(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_roles(const struct sc_plot_input *in, struct sc_svg *s);
bool sc_draw_experts(const struct sc_plot_input *in, struct sc_svg *s);

#endif
