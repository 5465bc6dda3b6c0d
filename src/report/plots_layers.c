/* SPDX-License-Identifier: Apache-2.0 */
/* plots_layers: panels whose x axis are the layers of a model: columns of equal width, with bars,
 * lines or whatever else stands in them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/pictures_parts.h"

static void label_of(const struct sc_layer_panel *p, size_t column, char text[24])
{
    if (p->label)
        p->label(p->ctx, column, text);
    else
        sc_format_u64(column, text);
}

/* Every so many columns a number: a round step, so that they read on. */
static size_t label_step(const struct sc_layer_panel *p)
{
    static const unsigned nice[] = {1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100};
    double widest = 0;
    char text[24];

    for (size_t i = 0; i < p->n; i++) {
        label_of(p, i, text);
        widest = SC_MAX(widest, sc_svg_text_width(sc_strz(text), SC_LOOK_TICK));
    }
    for (size_t i = 0; i < SC_COUNT(nice); i++)
        if (nice[i] * p->step >= widest + 8)
            return nice[i];
    return (size_t)ceil((widest + 8) / SC_MAX(p->step, 1e-3));
}

double sc_layer_x(const struct sc_layer_panel *p, size_t column)
{
    return p->panel.box.x + ((double)column + 0.5) * p->step;
}

/* Round numbers of layers have a label, and what stands before the first layer. */
static void draw_labels(struct sc_svg *s, const struct sc_layer_panel *p)
{
    const size_t step = label_step(p);
    const double bottom = p->panel.box.y + p->panel.box.h;
    double free_from = -1e9;

    for (size_t i = 0; i < p->n; i++) {
        const double x = sc_layer_x(p, i);
        char text[24];
        label_of(p, i, text);
        const double half = sc_svg_text_width(sc_strz(text), SC_LOOK_TICK) / 2;
        if ((i >= p->before && (i - p->before) % step) || x - half < free_from)
            continue;
        free_from = x + half + 4;
        sc_svg_line(s, x, bottom, x, bottom + 4, SC_INK_AXIS, 1, false);
        sc_svg_textz(s, x, bottom + 16, SC_MIDDLE, SC_LOOK_TICK, text);
    }
}

void sc_layer_panel_draw(struct sc_svg *s, struct sc_layer_panel *p, const struct sc_box *outer)
{
    p->panel.no_x_ticks = true;
    p->panel.x = (struct sc_scale){.low = -0.5, .high = (double)SC_MAX(p->n, 1) - 0.5};
    sc_panel_draw(s, &p->panel, outer);
    p->step = p->panel.box.w / (double)SC_MAX(p->n, 1);
    draw_labels(s, p);
    if (p->panel.y.low < 0 && p->panel.y.high > 0)
        sc_svg_line(s, p->panel.box.x, sc_panel_y(&p->panel, 0), p->panel.box.x + p->panel.box.w,
                    sc_panel_y(&p->panel, 0), SC_INK_AXIS, 1, false);
}

double sc_layer_bar(const struct sc_layer_panel *p, size_t k)
{
    return SC_MIN(p->step * 0.76 / (double)SC_MAX(k, 1), 26);
}

void sc_layer_bar_draw(struct sc_svg *s, const struct sc_layer_panel *p, double x, double w,
                       double v, enum sc_ink ink)
{
    const struct sc_scale *y = &p->panel.y;
    const double from = SC_MIN(SC_MAX(0, y->low), y->high);
    const double zero = y->log ? p->panel.box.y + p->panel.box.h : sc_panel_y(&p->panel, from);

    if (!isfinite(v)) {
        sc_svg_mark(s, SC_SHAPE_CROSS, x, p->panel.box.y + 8, 4.5, SC_INK_CRITICAL);
        return;
    }
    const double at = sc_panel_y(&p->panel, v), top = SC_MIN(at, zero);
    /* A value that is there is seen. */
    const double h = SC_MAX(fabs(at - zero), 1);
    sc_svg_rect(s, x - w / 2, top, w, h, ink);
    sc_svg_take(s, x - w / 2, top, w, h);
}

void sc_layer_line_draw(struct sc_svg *s, const struct sc_layer_panel *p,
                        const struct sc_layer_line *l)
{
    sc_svg_path(s, l->ink, 2, l->dashed);
    for (size_t i = 0; i < p->n; i++)
        sc_svg_to(s, sc_layer_x(p, i), sc_panel_y(&p->panel, l->v[i]));
    sc_svg_end_path(s);
    for (size_t i = 0; i < p->n; i++) {
        char tip[160], label[24];
        label_of(p, i, label);
        snprintf(tip, sizeof tip, "layer %s, %s: %s", label, l->name, sc_value_text(l->v[i]).s);
        sc_svg_item(s, UINT32_MAX, sc_strz(tip));
        sc_svg_mark(s, l->shape, sc_layer_x(p, i), sc_panel_y(&p->panel, l->v[i]),
                    p->step >= 9 ? 3.5 : 2, l->ink);
        sc_svg_end_item(s);
    }
}
