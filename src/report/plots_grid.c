/* SPDX-License-Identifier: Apache-2.0 */
/* plots_grid: heat maps of a metric over layers and roles, or layers and experts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/plots_draw.h"

enum { MAX_COLUMNS = 200, MAX_ROWS = 128 };

/* The colours span the middle 96 % of the cells, so that one outlier does not bleach the rest. */
struct colours {
    struct sc_scale scale;
    bool clipped;
};

static struct colours choose_colours(struct sc_svg *s, const struct sc_grid *g, bool log)
{
    struct colours c = {.scale = {log, 1, 10, 0, SC_RAMP_STEPS}};
    double *v = sc_calloc(SC_MAX(g->n_cells, 1), sizeof *v);
    size_t n = 0;

    s->b.failed = s->b.failed || !v;
    for (size_t i = 0; v && i < g->n_cells; i++)
        if (isfinite(g->cells[i].median) && (!log || g->cells[i].median > 0))
            v[n++] = g->cells[i].median;
    if (n) {
        sc_median(v, n); /* sorts */
        size_t cut = n / 50;
        c.scale.low = v[cut];
        c.scale.high = v[n - 1 - cut];
        c.clipped = v[0] < c.scale.low || v[n - 1] > c.scale.high;
        if (!(c.scale.high > c.scale.low)) {
            struct sc_scale wide = sc_scale_fit(log, c.scale.low, c.scale.low);
            c.scale.low = wide.low;
            c.scale.high = wide.high;
        }
    }
    free(v);
    return c;
}

static enum sc_ink cell_ink(const struct colours *c, double v)
{
    if (isinf(v))
        return SC_INK_CRITICAL;
    if (c->scale.log && v <= 0)
        return SC_INK_RAMP0;
    double t = sc_scale_at(&c->scale, v);
    return (enum sc_ink)(SC_INK_RAMP0 + SC_MIN((int)t, SC_RAMP_STEPS - 1));
}

static double draw_key(struct sc_svg *s, const struct colours *c, const struct sc_plot_metric *m,
                       bool singular)
{
    double x = 0;
    struct sc_buf low = {0}, high = {0};

    sc_buf_puts(&low, c->clipped ? "≤ " : "");
    sc_put_value(&low, c->scale.low);
    sc_buf_puts(&high, c->clipped ? "≥ " : "");
    sc_put_value(&high, c->scale.high);
    if (m->unit)
        sc_buf_printf(&high, " %s", m->unit);
    if (low.p && high.p) {
        x += sc_draw_ramp(s, x, 4, low.p, high.p) + 20;
    }
    if (singular) {
        sc_svg_rect(s, x, 4, 13, 13, SC_INK_CRITICAL);
        sc_svg_textz(s, x + 19, 14, SC_START, SC_LOOK_LABEL, "∞");
    }
    s->b.failed = s->b.failed || low.failed || high.failed;
    sc_buf_clear(&low);
    sc_buf_clear(&high);
    return 28;
}

static void put_cell_tip(struct sc_buf *tip, const struct sc_scan_view *v, const struct sc_grid *g,
                         const struct sc_cell_value *c, enum sc_grid_kind kind)
{
    const struct sc_grid_line *column = &g->columns[c->column];

    if (kind == SC_GRID_EXPERTS)
        sc_buf_puts(tip, "expert ");
    sc_grid_row_name(&g->rows[c->row], kind, tip);
    if (column->number >= 0)
        sc_buf_printf(tip, ", layer %d", column->number);
    sc_buf_printf(tip, ": %s", sc_value_text(c->median).s);
    if (c->n > 1) {
        sc_buf_printf(tip, " (%u tensors, %s", c->n, sc_value_text(c->low).s);
        sc_buf_printf(tip, " to %s)", sc_value_text(c->high).s);
    } else {
        struct sc_str name = sc_plot_name(v, c->first);
        sc_buf_puts(tip, ", ");
        sc_buf_put(tip, name.p, name.n);
    }
}

struct heat {
    const struct sc_grid *g;
    struct sc_box box;
    double w, h; /* of a cell */
};

static void draw_cells(struct sc_svg *s, const struct sc_scan_view *v, const struct heat *h,
                       const struct colours *colours, enum sc_grid_kind kind)
{
    const struct sc_grid *g = h->g;
    double gap = h->w > 6 ? 1.5 : h->w > 3 ? 0.5 : 0;

    for (size_t i = 0; i < g->n_cells; i++) {
        const struct sc_cell_value *c = &g->cells[i];
        double x = h->box.x + c->column * h->w, y = h->box.y + c->row * h->h;
        enum sc_ink ink = cell_ink(colours, c->median);
        struct sc_buf tip = {0};
        put_cell_tip(&tip, v, g, c, kind);
        sc_svg_item(s, c->first, sc_str(tip.p ? tip.p : "", tip.n));
        sc_svg_rect(s, x, y, h->w - gap, h->h - SC_MIN(gap, h->h / 4), ink);
        struct sc_short_text text = sc_value_text(c->median);
        bool dark = ink >= SC_INK_RAMP0 + 6 || ink == SC_INK_CRITICAL;
        if (h->h >= 14 && sc_svg_text_width(sc_strz(text.s), SC_LOOK_INSIDE) + 4 < h->w)
            sc_svg_textz(s, x + (h->w - gap) / 2, y + h->h / 2 + 3, SC_MIDDLE,
                         dark ? SC_LOOK_INSIDE : SC_LOOK_CELL, text.s);
        sc_svg_end_item(s);
        s->b.failed = s->b.failed || tip.failed;
        sc_buf_clear(&tip);
    }
}

static void draw_row_names(struct sc_svg *s, const struct heat *h, enum sc_grid_kind kind)
{
    double free_from = -1e9;

    for (size_t i = 0; i < h->g->n_rows; i++) {
        double y = h->box.y + ((double)i + 0.5) * h->h;
        struct sc_buf name = {0};
        if (y - 6 < free_from)
            continue;
        free_from = y + 6;
        sc_grid_row_name(&h->g->rows[i], kind, &name);
        sc_svg_text(s, h->box.x - 8, y + 4, SC_END, SC_LOOK_LABEL,
                    sc_str(name.p ? name.p : "", name.n), h->box.x - 10);
        s->b.failed = s->b.failed || name.failed;
        sc_buf_clear(&name);
    }
}

static void draw_column_names(struct sc_svg *s, const struct heat *h)
{
    const struct sc_grid *g = h->g;
    double free_from = -1e9, y = h->box.y + h->box.h;

    for (size_t i = 0; i < g->n_columns; i++) {
        const struct sc_grid_line *c = &g->columns[i];
        double x = h->box.x + ((double)i + 0.5) * h->w;
        char text[16] = "–"; /* what stands outside of the layers */
        if (c->number >= 0)
            snprintf(text, sizeof text, "%d", c->number);
        double half = sc_svg_text_width(sc_strz(text), SC_LOOK_TICK) / 2;
        if ((i && g->columns[i - 1].tower != c->tower) ||
            (!i && g->columns[g->n_columns - 1].tower != c->tower))
            sc_svg_textz(s, h->box.x + (double)i * h->w, y + 32, SC_START, SC_LOOK_LABEL,
                         sc_tower_names[c->tower]);
        if (x - half < free_from)
            continue;
        free_from = x + half + 8;
        sc_svg_textz(s, x, y + 15, SC_MIDDLE, SC_LOOK_TICK, text);
    }
    sc_svg_textz(s, h->box.x + h->box.w / 2, y + 34, SC_MIDDLE, SC_LOOK_AXIS, "layer");
}

/* Cells that nothing fills, so that "none" and "little" are not the same. */
static void draw_empty(struct sc_svg *s, const struct heat *h)
{
    for (size_t i = 0; i < h->g->n_rows; i++) {
        double y = h->box.y + ((double)i + 0.5) * h->h;
        sc_svg_line(s, h->box.x, y, h->box.x + h->box.w, y, SC_INK_GRID, 1, false);
    }
}

static void draw_heat(struct sc_svg *s, const struct sc_scan_view *v, const struct sc_grid *g,
                      const struct sc_plot_metric *m, enum sc_grid_kind kind)
{
    /* Zeros on a logarithmic scale take the lightest colour. */
    struct colours colours = choose_colours(s, g, m->log);
    bool singular = false;
    double names = kind == SC_GRID_EXPERTS ? 44 : SC_MIN(150, s->w * 0.3);

    for (size_t i = 0; i < g->n_cells; i++)
        singular = singular || isinf(g->cells[i].median);
    double y = draw_key(s, &colours, m, singular);
    if (kind == SC_GRID_EXPERTS) {
        sc_svg_textz(s, 0, y + 10, SC_START, SC_LOOK_AXIS, "expert");
        y += 18;
    }
    struct heat h = {.g = g};
    h.w = (s->w - names - 4) / (double)g->n_columns;
    h.w = SC_MIN(h.w, 64);
    h.h = kind == SC_GRID_EXPERTS ? SC_MAX(SC_MIN(420.0 / (double)g->n_rows, 20), 3) : 24;
    h.box = (struct sc_box){names, y, h.w * (double)g->n_columns, h.h * (double)g->n_rows};
    draw_empty(s, &h);
    draw_cells(s, v, &h, &colours, kind);
    draw_row_names(s, &h, kind);
    draw_column_names(s, &h);
    s->h = y + h.box.h + 42;
    if (g->per_column > 1)
        sc_svg_note(s, "There are many layers: each column is the median of %zu of them.",
                    g->per_column);
    if (g->per_row > 1)
        sc_svg_note(s, "There are many experts: each row is the median of %zu of them.",
                    g->per_row);
}

static bool draw_grid(const struct sc_plot_input *in, struct sc_svg *s, enum sc_grid_kind kind)
{
    struct sc_grid g;
    size_t columns = (size_t)SC_MIN(SC_MAX(s->w / 4, 8), MAX_COLUMNS);

    if (sc_grid_make(&in->views[0], in->metric, kind, columns, MAX_ROWS, &g, NULL) < 0) {
        s->b.failed = true;
        return false;
    }
    bool any = g.n_cells > 0;
    if (any)
        draw_heat(s, &in->views[0], &g, in->metric, kind);
    sc_grid_clear(&g);
    return any;
}

bool sc_draw_roles(const struct sc_plot_input *in, struct sc_svg *s)
{
    return draw_grid(in, s, SC_GRID_ROLES);
}

bool sc_draw_experts(const struct sc_plot_input *in, struct sc_svg *s)
{
    return draw_grid(in, s, SC_GRID_EXPERTS);
}
