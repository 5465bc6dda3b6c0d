/* SPDX-License-Identifier: Apache-2.0 */
/* pictures_parts: what the files of sets of pictures share, and what their pictures are drawn with.
 * Private to report. */
#ifndef SC_PICTURES_PARTS_H
#define SC_PICTURES_PARTS_H

#include "report/pictures.h"
#include "report/plots_draw.h"
#include "text/text.h"

size_t sc_picture_count(const struct sc_picture_set *s, const struct sc_picture_kind *k);
/* Appends an SVG to out. 1: drawn, 0: nothing to show, else an error. how->subject is not looked
 * at. */
int sc_picture_draw(const struct sc_picture_set *s, const struct sc_picture_kind *k, size_t item,
                    const struct sc_picture *how, struct sc_buf *out, struct sc_error *e);

/* ---------------------------------------------------------------------------- plots_layers.c ---
 * Panels whose x axis are the layers of a model, or columns that have names of their own. */
struct sc_layer_panel {
    struct sc_panel panel; /* y, titles: set by the caller; the rest by sc_layer_panel_draw() */
    size_t n;              /* columns */
    void (*label)(const void *ctx, size_t column, char text[24]); /* NULL: its number */
    const void *ctx;
    size_t before; /* columns in front of layer 0 */
    double step;   /* pixels of a column; set by sc_layer_panel_draw() */
};
void sc_layer_panel_draw(struct sc_svg *s, struct sc_layer_panel *p, const struct sc_box *outer);
double sc_layer_x(const struct sc_layer_panel *p, size_t column); /* its middle */
/* The width of a bar in a column that k of them share. */
double sc_layer_bar(const struct sc_layer_panel *p, size_t k);
/* An upright bar from 0 (or from the edge that is nearest to it) to v, either sign; what is not
 * finite is a cross at the edge. */
void sc_layer_bar_draw(struct sc_svg *s, const struct sc_layer_panel *p, double x, double w,
                       double v, enum sc_ink ink);
/* A line through columns, with marks while there is room for them. */
struct sc_layer_line {
    const char *name;
    enum sc_ink ink;
    enum sc_mark_shape shape;
    const double *v; /* (n) NaN: a gap */
    bool dashed;
};
void sc_layer_line_draw(struct sc_svg *s, const struct sc_layer_panel *p,
                        const struct sc_layer_line *l);

/* ------------------------------------------------------------------------------ plots_rows.c ---
 * Rows with a name, bars and intervals beside it. */
struct sc_row_bar {
    double v, low, high; /* low > high or NaN: no interval */
    enum sc_ink ink;
};
struct sc_row_panel {
    struct sc_panel panel; /* x, x_title and title: set by the caller */
    double row_h;          /* set by sc_row_panel_draw() */
};
/* `names` (n): safe or foreign text. Height: 22 a row and what the axis needs; returns y below. */
double sc_row_panel_draw(struct sc_svg *s, struct sc_row_panel *p, double x, double y, double w,
                         const struct sc_str *names, size_t n);
double sc_row_y(const struct sc_row_panel *p, size_t row); /* its middle */
void sc_row_bar_draw(struct sc_svg *s, const struct sc_row_panel *p, double y, double h,
                     const struct sc_row_bar *b);
/* A token as the vocabulary spells it, else its number: "▁the", "#17". tokenizer may be NULL. */
void sc_put_piece(struct sc_buf *b, const struct sc_tokenizer *tokenizer, uint32_t id);

/* plots_attention.c: rows of the table of kinds. */
bool sc_draw_sinks(const void *data, size_t item, struct sc_svg *s);
size_t sc_count_attention(const void *data);
void sc_put_attention(const void *data, size_t item, struct sc_buf *out);
bool sc_draw_attention(const void *data, size_t item, struct sc_svg *s);
bool sc_draw_next(const void *data, size_t item, struct sc_svg *s);

/* plots_effects.c: the same of what super weights do. */
/* "layer 2 expert 5 q_proj": what of it is there. */
void sc_put_matrix_name(struct sc_buf *b, uint32_t layer, int32_t expert, const char *kind);
bool sc_draw_super_perplexity(const void *data, size_t item, struct sc_svg *s);
bool sc_draw_super_divergence(const void *data, size_t item, struct sc_svg *s);
bool sc_draw_super_scale(const void *data, size_t item, struct sc_svg *s);
bool sc_draw_super_shift(const void *data, size_t item, struct sc_svg *s);

/* plots_formats.c: the same of quantised weights. */
bool sc_draw_ppl_formats(const void *data, size_t item, struct sc_svg *s);
bool sc_draw_ppl_blocks(const void *data, size_t item, struct sc_svg *s);

#endif
