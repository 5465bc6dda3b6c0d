/* SPDX-License-Identifier: Apache-2.0 */
/* svg: a small kit for pictures of numbers, as SVG text.
 *
 * Owns: colours, shapes, text in pictures, scales and their ticks, axes, legends, labels that keep
 * out of each other's way. A picture is a body that grows downwards; sc_svg_finish() wraps it when
 * its height is known. Two looks: inside a page the style sheet of the page gives the colours
 * (light and dark), a file carries both looks in a style sheet of its own.
 *
 * No coordinate is ever NaN or infinite: a shape with one is not drawn, a line has a gap there.
 * Foreign text is made safe and escaped here. Numbers are written without the locale.
 *
 * Does not own: what is drawn (plots_*.c). Nothing here fails visibly but by `failed` of buffers.
 */
#ifndef SC_SVG_H
#define SC_SVG_H

#include "base/base.h"

/* Colours by what they stand for. The categorical ones keep their order and are told apart by
 * colour-blind readers too; shapes and labels say the same again. */
enum sc_ink {
    SC_INK_NONE,
    SC_INK_SURFACE,
    SC_INK_TEXT,
    SC_INK_TEXT2,
    SC_INK_MUTED,
    SC_INK_GRID,
    SC_INK_AXIS,
    SC_INK_BLUE,
    SC_INK_ORANGE,
    SC_INK_AQUA,
    SC_INK_VIOLET,
    SC_INK_YELLOW,
    SC_INK_MAGENTA,
    SC_INK_GREEN,
    SC_INK_OTHER,
    SC_INK_GOOD,
    SC_INK_WARNING,
    SC_INK_SERIOUS,
    SC_INK_CRITICAL,
    SC_INK_RAMP0, /* sequential, from "little" to "much" */
    SC_INK_RAMP8 = SC_INK_RAMP0 + 8,
    SC_INK_COUNT
};
struct sc_ink_info {
    const char *name; /* the custom property of the page is --name */
    const char *light, *dark;
};
extern const struct sc_ink_info sc_inks[SC_INK_COUNT];
#define SC_RAMP_STEPS 9

enum sc_text_look {
    SC_LOOK_TICK,   /* numbers at axes */
    SC_LOOK_LABEL,  /* names beside marks */
    SC_LOOK_AXIS,   /* what an axis shows */
    SC_LOOK_HEAD,   /* above a panel */
    SC_LOOK_TITLE,  /* of a file */
    SC_LOOK_NOTE,   /* small print */
    SC_LOOK_CELL,   /* a value inside a light cell */
    SC_LOOK_INSIDE, /* a value inside a dark cell */
    SC_LOOK_COUNT
};
struct sc_look {
    double size; /* pixels */
    enum sc_ink ink;
    bool strong;
};
extern const struct sc_look sc_text_looks[SC_LOOK_COUNT];
enum sc_mark_shape {
    SC_SHAPE_CIRCLE,
    SC_SHAPE_RING,
    SC_SHAPE_SQUARE,
    SC_SHAPE_TRIANGLE,
    SC_SHAPE_DIAMOND,
    SC_SHAPE_DROP, /* triangle on its tip */
    SC_SHAPE_CROSS,
    SC_SHAPE_BOX,  /* legends: an area */
    SC_SHAPE_LINE, /* legends: a line */
    SC_SHAPE_DASH,
    SC_SHAPE_TICK, /* a short upright bar */
};
enum sc_anchor { SC_START, SC_MIDDLE, SC_END };

struct sc_box {
    double x, y, w, h;
};
enum { SC_SVG_LABELS = 1024 };
struct sc_svg {
    struct sc_buf b;     /* the body */
    struct sc_buf notes; /* sentences that say what was left out; plain text, safe, not escaped */
    double w, h;         /* h grows: what is drawn sets it */
    bool page;
    int run; /* points of the path since the last gap; 2: two and more */
    struct sc_box taken[SC_SVG_LABELS];
    size_t n_taken;
};

/* A picture of width w, in CSS pixels. Overwrites *s. */
void sc_svg_start(struct sc_svg *s, double w, bool page);
/* The whole picture: in a file under its title and above its notes. Appends to out and frees what
 * *s holds. `look` is the class of the svg element inside a page; NULL: none. */
void sc_svg_finish(struct sc_svg *s, const char *title, const char *what, struct sc_str subject,
                   const char *look, struct sc_buf *out);
void sc_svg_clear(struct sc_svg *s);
void sc_svg_note(struct sc_svg *s, const char *fmt, ...) SC_PRINTF(2, 3);

/* Foreign text as text or attribute of XML and HTML: made safe, then escaped. */
void sc_put_markup(struct sc_buf *b, struct sc_str text);
/* A coordinate: at most two decimals. */
void sc_put_coordinate(struct sc_buf *b, double v);
/* For people: three significant digits, K M B above 10,000, 10⁻⁵ style below 0.001. */
void sc_put_value(struct sc_buf *b, double v);
struct sc_short_text {
    char s[48];
};
struct sc_short_text sc_value_text(double v);

/* ---------------------------------------------------------------------------------- shapes --- */
/* What follows until sc_svg_end_item() belongs together and says `tip` when pointed at; in a page a
 * tensor below UINT32_MAX makes it lead to that tensor. */
void sc_svg_item(struct sc_svg *s, uint32_t tensor, struct sc_str tip);
void sc_svg_end_item(struct sc_svg *s);
/* A rectangle that is not seen, but is part of an item: what it covers says the tip. */
void sc_svg_hover(struct sc_svg *s, double x, double y, double w, double h);
void sc_svg_rect(struct sc_svg *s, double x, double y, double w, double h, enum sc_ink fill);
/* A bar that starts at (x, y); its far end is rounded. */
void sc_svg_hbar(struct sc_svg *s, double x, double y, double w, double h, enum sc_ink fill);
void sc_svg_vbar(struct sc_svg *s, double x, double bottom, double w, double h, enum sc_ink fill);
void sc_svg_line(struct sc_svg *s, double x1, double y1, double x2, double y2, enum sc_ink ink,
                 double width, bool dashed);
/* A line through points; a point that is not finite is a gap. */
void sc_svg_path(struct sc_svg *s, enum sc_ink ink, double width, bool dashed);
void sc_svg_to(struct sc_svg *s, double x, double y);
void sc_svg_end_path(struct sc_svg *s);
/* Area between two lines over the same x; stops at the first point that is not finite. Of one point
 * alone: 4 pixels wide. */
void sc_svg_area(struct sc_svg *s, const double *x, const double *low, const double *high, size_t n,
                 enum sc_ink fill);
/* An upright shape between two edges, from the first y to the last: a violin. Stops at the first
 * point that is not finite. */
void sc_svg_blob(struct sc_svg *s, const double *y, const double *left, const double *right,
                 size_t n, enum sc_ink fill);
void sc_svg_mark(struct sc_svg *s, enum sc_mark_shape shape, double x, double y, double r,
                 enum sc_ink ink);
/* A circle around something, which stays seen. */
void sc_svg_circle(struct sc_svg *s, double x, double y, double r, enum sc_ink ink, double width);
/* A disc in a colour of its own, the same in every look: for colours that are mixed of shares. */
void sc_svg_disc(struct sc_svg *s, double x, double y, double r, const unsigned char rgb[3]);
/* Many cells of a grid in little text: cells of w x h from the corner (x, y) on; between the ends
 * of the grid, one list of runs an ink; a run is n cells of a row. No gaps, sharp edges. */
void sc_svg_grid(struct sc_svg *s, double x, double y, double w, double h);
void sc_svg_runs(struct sc_svg *s, enum sc_ink fill);
void sc_svg_faint_runs(struct sc_svg *s, enum sc_ink fill, double opacity);
void sc_svg_run(struct sc_svg *s, uint64_t column, uint64_t row, uint64_t n);
void sc_svg_end_runs(struct sc_svg *s);
void sc_svg_end_grid(struct sc_svg *s);

/* ------------------------------------------------------------------------------------ text --- */
double sc_svg_text_width(struct sc_str text, enum sc_text_look look); /* an estimate, rather wide */
/* max 0: never cut; else the middle gives way to an ellipsis. */
void sc_svg_text(struct sc_svg *s, double x, double y, enum sc_anchor anchor,
                 enum sc_text_look look, struct sc_str text, double max);
void sc_svg_textz(struct sc_svg *s, double x, double y, enum sc_anchor anchor,
                  enum sc_text_look look, const char *text);
/* Space that labels keep out of. */
void sc_svg_take(struct sc_svg *s, double x, double y, double w, double h);
bool sc_svg_is_free(const struct sc_svg *s, const struct sc_box *b);
/* A name beside a mark, where there is room inside `within`; false: there is none. */
bool sc_svg_label(struct sc_svg *s, const struct sc_box *within, double x, double y, double r,
                  struct sc_str text);

/* ----------------------------------------------------------------------- scales and panels --- */
struct sc_scale {
    bool log;
    double low, high;   /* values */
    double first, last; /* pixels */
    double unit;        /* above 0: both signs, linear below this size and logarithmic above, as
                           asinh(v / unit) */
};
/* Round limits around min..max. A logarithmic scale wants min > 0; limits that are equal, in the
 * wrong order or not finite still give a usable scale. */
struct sc_scale sc_scale_fit(bool log, double min, double max);
/* The same of both signs; a unit that is not above 0 gives a linear scale. */
struct sc_scale sc_scale_fit_signed(double unit, double min, double max);
/* Not finite when v is not, or <= 0 on a logarithmic scale; else inside first..last. */
double sc_scale_at(const struct sc_scale *s, double v);
enum { SC_TICKS = 48 };
struct sc_tick {
    double v;
    bool major; /* has a text */
    char text[24];
};
size_t sc_scale_ticks(const struct sc_scale *s, unsigned about, struct sc_tick ticks[SC_TICKS]);

struct sc_panel {
    struct sc_box box; /* of the data */
    struct sc_scale x, y;
    const char *title, *x_title, *y_title;
    bool no_x_ticks; /* the caller writes them */
    /* y holds 1 - v of what is shown, on a logarithmic scale, best on top: 0.9, 0.99, 0.999 ... */
    bool nines_y;
    /* Lanes beside the scale for what it cannot show: zeros of a logarithm, infinities. */
    bool zero_x, infinite_x, infinite_y;
    bool zero_y; /* not together with infinite_y; the lane is on top with nines_y */
};
/* Place the panel inside `outer` (title, ticks and axis titles included), set the pixels of its
 * scales and draw grid and axes. */
void sc_panel_draw(struct sc_svg *s, struct sc_panel *p, const struct sc_box *outer);
/* The same for rows that the caller names: `box` is set, and only the axis below is drawn. */
void sc_panel_rows(struct sc_svg *s, struct sc_panel *p);
/* Where a value stands, in its lane if it has one; else as sc_scale_at(). */
double sc_panel_x(const struct sc_panel *p, double v);
double sc_panel_y(const struct sc_panel *p, double v);
/* A guide at a value with its name; `across`: at a value of y. */
void sc_panel_guide(struct sc_svg *s, const struct sc_panel *p, bool across, double v,
                    const char *name, enum sc_ink ink);

struct sc_legend_item {
    enum sc_ink ink;
    enum sc_mark_shape shape;
    const char *text;
};
/* In rows below y; returns the height that it took. */
double sc_svg_legend(struct sc_svg *s, double x, double y, double w,
                     const struct sc_legend_item *items, size_t n);
/* n values in equal bins of low..high (log: of their logarithms) into count; others are left out.
 */
void sc_bin(const double *v, size_t n, bool log, double low, double high, size_t n_bins,
            uint64_t *count);

#endif
