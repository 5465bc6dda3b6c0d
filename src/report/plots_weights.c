/* SPDX-License-Identifier: Apache-2.0 */
/* plots_weights: pictures of the values of tensors: histograms, and their spread along the layers.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/plots_draw.h"

/* ---------------------------------------------------------------------------- distribution --- */
static double normal_count(const struct sc_basic *b, double x, double width)
{
    double z = (x - b->mean) / b->std;

    return (double)b->finite * width / (b->std * 2.5066282746310002) * exp(-z * z / 2);
}

static void draw_histogram(struct sc_svg *s, const struct sc_box *box, const struct sc_basic *b,
                           bool log)
{
    double edge = b->histogram_edge, width = 2 * edge / SC_HISTOGRAM, top = 1;

    for (size_t i = 0; i < SC_HISTOGRAM; i++)
        top = SC_MAX(top, (double)b->histogram[i]);
    struct sc_panel p = {.x = {.low = -edge, .high = edge},
                         .y = sc_scale_fit(log, log ? 1 : 0, top),
                         .title = log ? "Logarithmic" : "Linear",
                         .x_title = "value",
                         .y_title = "values in a bin"};
    if (log)
        p.y.low = 0.7; /* a bin with one value is still to be seen */
    sc_panel_draw(s, &p, box);
    double step = p.box.w / SC_HISTOGRAM;
    for (size_t i = 0; i < SC_HISTOGRAM; i++) {
        double count = (double)b->histogram[i];
        double y = count > 0 ? sc_scale_at(&p.y, count) : NAN;
        sc_svg_rect(s, p.box.x + (double)i * step + 0.5, y, SC_MAX(step - 1, 0.5),
                    p.box.y + p.box.h - y, SC_INK_BLUE);
    }
    if (!(b->std > 0))
        return;
    sc_svg_path(s, SC_INK_ORANGE, 2, false);
    for (size_t i = 0; i <= 160; i++) {
        double x = -edge + 2 * edge * (double)i / 160, count = normal_count(b, x, width);
        bool shown = count >= p.y.low;
        sc_svg_to(s, sc_scale_at(&p.x, x), shown ? sc_scale_at(&p.y, count) : NAN);
    }
    sc_svg_end_path(s);
}

bool sc_draw_distribution(const struct sc_plot_input *in, struct sc_svg *s)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_BLUE, SC_SHAPE_BOX, "values"},
        {SC_INK_ORANGE, SC_SHAPE_LINE, "normal distribution of the same mean and deviation"}};
    const struct sc_health *h = sc_view_health(&in->views[0], in->tensor, SC_METHOD_BASIC);

    if (!h || !h->basic.finite || !(h->basic.histogram_edge > 0) || isinf(h->basic.histogram_edge))
        return false;
    double y = sc_svg_legend(s, 0, 0, s->w, items, SC_COUNT(items)) + 4;
    struct sc_rows rows = sc_rows_start(s, y, 2, 330, 270);
    for (int log = 0; log < 2; log++) {
        struct sc_box box = sc_rows_next(&rows);
        draw_histogram(s, &box, &h->basic, log);
    }
    s->h = sc_rows_end(&rows);
    if (h->basic.nans + h->basic.infinities) {
        char nans[32], infinities[32];
        sc_format_count(h->basic.nans, nans);
        sc_format_count(h->basic.infinities, infinities);
        sc_svg_note(s, "Not shown: NaN %s, infinite %s.", nans, infinities);
    }
    return true;
}

/* ------------------------------------------------------------------ deviation along layers --- */
enum { MAX_COLUMNS = 320 };
static const struct sc_legend_item line_looks[] = {
    {SC_INK_BLUE, SC_SHAPE_CIRCLE, NULL},   {SC_INK_ORANGE, SC_SHAPE_SQUARE, NULL},
    {SC_INK_AQUA, SC_SHAPE_TRIANGLE, NULL}, {SC_INK_VIOLET, SC_SHAPE_DIAMOND, NULL},
    {SC_INK_YELLOW, SC_SHAPE_DROP, NULL},   {SC_INK_MAGENTA, SC_SHAPE_CROSS, NULL}};
struct family_panel {
    const struct sc_grid *g;
    uint32_t row[SC_COUNT(line_looks)]; /* at most as many lines as can be told apart */
    size_t n_rows, left_out;
    double low, high;
};

static enum sc_family family_of_row(const struct sc_grid_line *row)
{
    struct sc_tensor t = {.role = row->role, .expert = row->expert ? 0 : -1};

    return sc_family_of(&t);
}

/* A tensor outside of the layers has no place on this axis. */
static bool in_layers(const struct sc_grid *g, const struct sc_cell_value *c)
{
    return g->columns[c->column].number >= 0;
}

static struct family_panel find_rows(const struct sc_grid *g, enum sc_family family)
{
    struct family_panel f = {.g = g, .low = INFINITY, .high = -INFINITY};

    for (size_t i = 0; i < g->n_cells; i++) {
        const struct sc_cell_value *c = &g->cells[i];
        if (family_of_row(&g->rows[c->row]) != family || !in_layers(g, c))
            continue;
        if (!f.n_rows || f.row[f.n_rows - 1] != c->row) {
            if (f.n_rows == SC_COUNT(f.row)) {
                f.left_out++;
                continue;
            }
            f.row[f.n_rows++] = c->row;
        }
        if (isfinite(c->median) && c->median > 0) {
            f.low = SC_MIN(f.low, c->median);
            f.high = SC_MAX(f.high, c->median);
        }
    }
    return f;
}

static void draw_row(struct sc_svg *s, const struct sc_panel *p, const struct sc_grid *g,
                     uint32_t row, const struct sc_legend_item *look)
{
    sc_svg_path(s, look->ink, 2, false);
    for (size_t i = 0; i < g->n_cells; i++)
        if (g->cells[i].row == row && in_layers(g, &g->cells[i]))
            sc_svg_to(s, sc_scale_at(&p->x, g->cells[i].column),
                      sc_scale_at(&p->y, g->cells[i].median));
    sc_svg_end_path(s);
    if (g->n_columns > 64)
        return;
    for (size_t i = 0; i < g->n_cells; i++) {
        const struct sc_cell_value *c = &g->cells[i];
        if (c->row != row || !in_layers(g, c))
            continue;
        char tip[160];
        snprintf(tip, sizeof tip, "layer %d %s: %s", g->columns[c->column].number,
                 sc_role_names[g->rows[row].role], sc_value_text(c->median).s);
        sc_svg_item(s, c->first, sc_strz(tip));
        sc_svg_mark(s, look->shape, sc_scale_at(&p->x, c->column), sc_scale_at(&p->y, c->median),
                    3.5, look->ink);
        sc_svg_end_item(s);
    }
}

/* Numbers of layers below their columns, and names of towers where there are several. */
static void draw_columns(struct sc_svg *s, const struct sc_panel *p, const struct sc_grid *g)
{
    double free_from = -1e9, y = p->box.y + p->box.h;

    for (size_t i = 0; i < g->n_columns; i++) {
        const struct sc_grid_line *c = &g->columns[i];
        double x = sc_scale_at(&p->x, (double)i);
        bool first = i && g->columns[i - 1].tower != c->tower;
        if (first)
            sc_svg_line(s, x - p->box.w / (double)g->n_columns / 2, p->box.y,
                        x - p->box.w / (double)g->n_columns / 2, y, SC_INK_AXIS, 1, true);
        if ((i == 0 || first) && g->columns[g->n_columns - 1].tower != g->columns[0].tower)
            sc_svg_textz(s, x, p->box.y + 10, SC_START, SC_LOOK_LABEL, sc_tower_names[c->tower]);
        char text[16];
        snprintf(text, sizeof text, "%d", c->number);
        double half = sc_svg_text_width(sc_strz(text), SC_LOOK_TICK) / 2;
        if (c->number < 0 || x - half < free_from)
            continue;
        free_from = x + half + 10;
        sc_svg_line(s, x, y, x, y + 4, SC_INK_AXIS, 1, false);
        sc_svg_textz(s, x, y + 16, SC_MIDDLE, SC_LOOK_TICK, text);
    }
}

static void draw_family(struct sc_svg *s, const struct family_panel *f, enum sc_family family,
                        struct sc_box box)
{
    struct sc_legend_item items[SC_COUNT(line_looks)];
    struct sc_buf names[SC_COUNT(line_looks)] = {{0}};
    const struct sc_grid *g = f->g;
    char title[64];

    snprintf(title, sizeof title, "%c%s", sc_families[family].text[0] & ~0x20,
             sc_families[family].text + 1);
    for (size_t i = 0; i < f->n_rows; i++) {
        sc_grid_row_name(&g->rows[f->row[i]], SC_GRID_ROLES, &names[i]);
        s->b.failed = s->b.failed || names[i].failed;
        items[i] = (struct sc_legend_item){line_looks[i].ink, line_looks[i].shape,
                                           names[i].p ? names[i].p : ""};
    }
    sc_svg_textz(s, box.x, box.y + 14, SC_START, SC_LOOK_HEAD, title);
    double used = 24 + sc_svg_legend(s, box.x, box.y + 22, box.w, items, f->n_rows);
    box.y += used;
    box.h -= used;
    struct sc_panel p = {.x = {.low = -0.5, .high = (double)g->n_columns - 0.5},
                         .y = sc_scale_fit(true, f->low, f->high),
                         .x_title = "layer",
                         .no_x_ticks = true};
    sc_panel_draw(s, &p, &box);
    draw_columns(s, &p, g);
    for (size_t i = 0; i < f->n_rows; i++)
        draw_row(s, &p, g, f->row[i], &line_looks[i]);
    for (size_t i = 0; i < f->n_rows; i++)
        sc_buf_clear(&names[i]);
}

bool sc_draw_std(const struct sc_plot_input *in, struct sc_svg *s)
{
    struct sc_grid g;
    struct family_panel panels[SC_FAMILY_COUNT];
    size_t n = 0, left_out = 0;

    if (sc_grid_make(&in->views[0], sc_plot_metric("std"), SC_GRID_ROLES, MAX_COLUMNS, 64, &g,
                     NULL) < 0) {
        s->b.failed = true;
        return false;
    }
    for (size_t f = 0; f < SC_FAMILY_COUNT; f++) {
        panels[f] = find_rows(&g, (enum sc_family)f);
        n += panels[f].low <= panels[f].high;
    }
    struct sc_rows rows = sc_rows_start(s, 0, SC_MIN(n, 2), 340, 290);
    for (size_t f = 0; f < SC_FAMILY_COUNT; f++) {
        left_out += panels[f].left_out;
        if (panels[f].low <= panels[f].high)
            draw_family(s, &panels[f], (enum sc_family)f, sc_rows_next(&rows));
    }
    s->h = sc_rows_end(&rows);
    if (g.per_column > 1)
        sc_svg_note(s, "There are many layers: each point is the median of %zu of them.",
                    g.per_column);
    if (left_out)
        sc_svg_note(s, "Only six roles of a kind are shown.");
    sc_grid_clear(&g);
    return n > 0;
}
