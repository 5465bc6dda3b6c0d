/* SPDX-License-Identifier: Apache-2.0 */
/* plots_sweeps: bytes against accuracy from threshold to threshold, of one tensor and of many. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plots_draw.h"

/* ------------------------------------------------------------------------------------ sweeps ---
 */
/* Red for shares of tiny formats, blue for middling ones, green for large ones; the root makes
 * small shares visible. */
static void mix_colour(const struct sc_threshold_sweep *s, const struct sc_mix_totals *t,
                       unsigned char rgb[3])
{
    double part[3] = {0}, all = 0;

    for (size_t i = 0; i < s->n_formats && i < 16; i++) {
        double bits = sc_encoding_bits(&s->formats[i]);
        part[bits > 6.5 ? 1 : bits > 3 ? 2 : 0] += (double)t->cells[i];
        all += (double)t->cells[i];
    }
    for (int i = 0; i < 3; i++)
        rgb[i] = (unsigned char)(all > 0 ? 235 * sqrt(part[i] / all) : 128);
}

static struct sc_size_extent sweep_extent(const struct sc_threshold_sweep *s, size_t n,
                                          enum sc_mix_metric metric, double *least)
{
    struct sc_size_extent x = {0};
    size_t points = 0;

    for (size_t i = 0; i < n; i++)
        points += s[i].n;
    x.y = sc_calloc(SC_MAX(points, 1), sizeof *x.y);
    *least = INFINITY;
    for (size_t i = 0; x.y && i < n; i++)
        for (size_t k = 0; k < s[i].n; k++) {
            const struct sc_mix_totals *t = &s[i].steps[k].totals;
            x.y[x.n++] = sc_metric_of(t, metric);
            x.most = SC_MAX(x.most, (double)t->bytes);
            *least = SC_MIN(*least, (double)t->bytes);
        }
    return x;
}

/* Not dominated: no other step is smaller and better. */
static bool leads(const struct sc_threshold_sweep *s, size_t i, enum sc_mix_metric metric)
{
    double sign = metric == SC_MIX_SQNR ? -1 : 1;
    double v = sign * sc_metric_of(&s->steps[i].totals, metric);

    for (size_t k = 0; k < s->n; k++) {
        const struct sc_mix_totals *t = &s->steps[k].totals;
        double w = sign * sc_metric_of(t, metric);
        bool no_worse = t->bytes <= s->steps[i].totals.bytes && w <= v;
        if (no_worse && (t->bytes < s->steps[i].totals.bytes || w < v))
            return false;
    }
    return !isnan(v);
}

static int step_up(const void *a, const void *b)
{
    const struct sc_threshold_step *const *x = a, *const *y = b;
    uint64_t p = (*x)->totals.bytes, q = (*y)->totals.bytes;

    return p != q ? (p > q) - (p < q) : (*x > *y) - (*x < *y);
}

static void draw_sweep_points(struct sc_svg *s, const struct sc_panel *p, double unit,
                              const struct sc_threshold_sweep *w, enum sc_mix_metric metric)
{
    const struct sc_threshold_step **front = sc_calloc(SC_MAX(w->n, 1), sizeof *front);
    size_t n = 0;

    s->b.failed = s->b.failed || !front;
    for (size_t i = 0; front && i < w->n; i++)
        if (leads(w, i, metric))
            front[n++] = &w->steps[i];
    if (n)
        qsort(front, n, sizeof *front, step_up);
    sc_svg_path(s, SC_INK_MUTED, 1.5, false);
    for (size_t i = 0; i < n; i++)
        sc_svg_to(s, sc_panel_x(p, (double)front[i]->totals.bytes / unit),
                  sc_panel_y(p, sc_metric_of(&front[i]->totals, metric)));
    sc_svg_end_path(s);
    free(front);
    for (size_t i = 0; i < w->n; i++) {
        const struct sc_threshold_step *step = &w->steps[i];
        struct sc_buf tip = {0};
        unsigned char rgb[3];
        char threshold[40];
        sc_format_real(step->threshold, threshold);
        sc_buf_printf(&tip, "threshold %s: ", threshold);
        sc_put_metric(&tip, metric, sc_metric_value(&step->totals, metric));
        sc_buf_puts(&tip, ", ");
        sc_put_size(&tip, (double)step->totals.bytes);
        sc_buf_puts(&tip, ", ");
        sc_put_shares(&tip, w->formats, w->n_formats, &step->totals);
        mix_colour(w, &step->totals, rgb);
        sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
        sc_svg_disc(s, sc_panel_x(p, (double)step->totals.bytes / unit),
                    sc_panel_y(p, sc_metric_of(&step->totals, metric)), 5, rgb);
        sc_svg_end_tip(s, &tip);
    }
}

/* Shares of the formats from step to step, as bars that are always full. */
static void draw_sweep_shares(struct sc_svg *s, const struct sc_threshold_sweep *w,
                              enum sc_mix_metric metric, const struct sc_box *b)
{
    double width = b->w / (double)w->n;
    char text[64];

    sc_svg_textz(s, b->x, b->y - 8, SC_START, SC_LOOK_AXIS, "share of the cells, step by step");
    for (size_t i = 0; i < w->n; i++) {
        const struct sc_mix_totals *t = &w->steps[i].totals;
        double all = 0, y = b->y + b->h;
        for (size_t k = 0; k < w->n_formats && k < 16; k++)
            all += (double)t->cells[k];
        for (size_t k = 0; k < w->n_formats && k < 16 && all > 0; k++) {
            double h = b->h * (double)t->cells[k] / all;
            y -= h;
            sc_svg_rect(s, b->x + (double)i * width, y, width + (i + 1 < w->n ? 0.3 : 0), h,
                        sc_line_ink(k));
        }
    }
    for (size_t i = 0; i < 5; i++) {
        size_t at = i * (w->n - 1) / 4;
        double v = w->steps[at].threshold, gap = fabs(1 - v);
        if (metric == SC_MIX_PCC && gap > 0) /* one digit behind the nines */
            sc_format_fixed(v, (unsigned)SC_MIN(SC_MAX(2, 1 + ceil(-log10(gap))), 12), text);
        else
            snprintf(text, sizeof text, "%s", sc_value_text(v).s);
        sc_svg_textz(s, b->x + ((double)at + 0.5) * width, b->y + b->h + 16, SC_MIDDLE,
                     SC_LOOK_TICK, text);
    }
    sc_svg_textz(s, b->x + b->w / 2, b->y + b->h + 34, SC_MIDDLE, SC_LOOK_AXIS, "threshold");
}

int sc_picture_sweep(const struct sc_threshold_sweep *w, enum sc_mix_metric metric,
                     const struct sc_picture *picture, struct sc_buf *out, struct sc_error *e)
{
    struct sc_svg s;
    double least;
    struct sc_size_extent x = sweep_extent(w, 1, metric, &least);
    struct sc_legend_item items[16];

    if (!x.y)
        return sc_fail_memory(e);
    struct sc_size_unit u = sc_size_unit_of(x.most);
    struct sc_panel p = {.x = sc_scale_fit(false, least / u.bytes, x.most / u.bytes),
                         .x_title = u.title};
    sc_metric_panel(&p, metric, x.y, x.n);
    free(x.y);
    if (!w->n)
        return 0;
    sc_picture_start(&s, picture);
    double h = SC_MIN(SC_MAX(s.w * 0.5, 320), 440);
    sc_panel_draw(&s, &p, &(struct sc_box){0, 0, s.w, h});
    draw_sweep_points(&s, &p, u.bytes, w, metric);
    size_t n = SC_MIN(w->n_formats, 16);
    for (size_t i = 0; i < n; i++)
        items[i] = (struct sc_legend_item){sc_line_ink(i), SC_SHAPE_BOX, w->formats[i].name};
    double y = h + 16;
    y += sc_svg_legend(&s, 0, y, s.w, items, n) + 24;
    draw_sweep_shares(&s, w, metric, &(struct sc_box){p.box.x, y, p.box.w, 110});
    s.h = y + 110 + 44;
    return sc_picture_finish(&s, true, "From threshold to threshold",
                             "Above: each disc is one threshold, its colour a mix of red for small "
                             "formats (below 3 bits), blue for those around 4 and green for 8 and "
                             "more; the line joins those that no other beats. Below: what the "
                             "cells are given.",
                             picture, out, e);
}

/* ---------------------------------------------------------------------------------- overlays ---
 */
enum { PANELS = 64 };

static struct sc_str weight_of(const struct sc_threshold_sweep *s)
{
    return s->weight.n ? s->weight : s->name;
}

/* The key by which panels are made, and the one by which lines are told apart in them. */
static bool same_panel(const struct sc_threshold_sweep *a, const struct sc_threshold_sweep *b,
                       bool by_layer)
{
    return by_layer ? a->layer == b->layer : sc_str_eq(weight_of(a), weight_of(b));
}

static enum sc_ink overlay_ink(const struct sc_threshold_sweep *all, size_t n, size_t at,
                               bool by_layer)
{
    int32_t low = INT32_MAX, high = INT32_MIN;
    size_t kind = 0;

    if (!by_layer) { /* early layers light, late ones dark */
        for (size_t i = 0; i < n; i++) {
            low = SC_MIN(low, all[i].layer);
            high = SC_MAX(high, all[i].layer);
        }
        double t = high > low ? (double)(all[at].layer - low) / (double)(high - low) : 1;
        return (enum sc_ink)(SC_INK_RAMP0 + 2 + (int)(t * 6));
    }
    for (size_t i = 0; i < n; i++) { /* the n-th name that is new */
        size_t first = 0;
        while (!sc_str_eq(weight_of(&all[first]), weight_of(&all[i])))
            first++;
        if (sc_str_eq(weight_of(&all[i]), weight_of(&all[at])))
            break;
        kind += first == i;
    }
    return sc_line_ink(kind);
}

static void draw_overlay(struct sc_svg *s, const struct sc_panel *p, double unit,
                         const struct sc_threshold_sweep *w, enum sc_mix_metric metric,
                         enum sc_ink ink)
{
    struct sc_buf tip = {0};

    sc_buf_put(&tip, w->name.p, w->name.n);
    sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
    sc_svg_path(s, ink, w->expert >= 0 ? 0.8 : 1.8, false);
    for (size_t i = 0; i < w->n; i++)
        sc_svg_to(s, sc_panel_x(p, (double)w->steps[i].totals.bytes / unit),
                  sc_panel_y(p, sc_metric_of(&w->steps[i].totals, metric)));
    sc_svg_end_path(s);
    sc_svg_end_tip(s, &tip);
}

int sc_picture_sweeps(const struct sc_threshold_sweep *all, size_t n, bool by_layer,
                      enum sc_mix_metric metric, const struct sc_picture *picture,
                      struct sc_buf *out, struct sc_error *e)
{
    struct sc_svg s;
    double least;
    struct sc_size_extent x = sweep_extent(all, n, metric, &least);
    size_t panels = 0, left_out = 0;

    if (!x.y)
        return sc_fail_memory(e);
    struct sc_size_unit u = sc_size_unit_of(x.most);
    struct sc_panel like = {.x = sc_scale_fit(false, least / u.bytes, x.most / u.bytes),
                            .x_title = u.title};
    sc_metric_panel(&like, metric, x.y, x.n);
    size_t points = x.n;
    free(x.y);
    if (!points)
        return 0;
    sc_picture_start(&s, picture);
    struct sc_rows rows = sc_rows_start(&s, 0, 3, 250, 230);
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        while (!same_panel(&all[first], &all[i], by_layer))
            first++;
        if (first != i)
            continue;
        if (panels == PANELS) {
            left_out++;
            continue;
        }
        panels++;
        char title[96];
        struct sc_str name = weight_of(&all[i]);
        if (!by_layer)
            snprintf(title, sizeof title, "%.*s", (int)SC_MIN(name.n, 90), name.p);
        else if (all[i].layer >= 0)
            snprintf(title, sizeof title, "layer %d", (int)all[i].layer);
        else
            snprintf(title, sizeof title, "outside of layers");
        struct sc_panel p = like;
        struct sc_box box = sc_rows_next(&rows);
        p.title = title;
        sc_panel_draw(&s, &p, &box);
        for (size_t k = i; k < n; k++)
            if (same_panel(&all[i], &all[k], by_layer))
                draw_overlay(&s, &p, u.bytes, &all[k], metric, overlay_ink(all, n, k, by_layer));
    }
    s.h = sc_rows_end(&rows);
    if (left_out)
        sc_svg_note(&s, "%zu more panels are left out.", left_out);
    return sc_picture_finish(&s, true,
                             by_layer ? "Sweeps, layer by layer" : "Sweeps, weight by weight",
                             by_layer ? "One line a weight; weights of experts are thin. A line "
                                        "says its name when pointed at."
                                      : "One line a layer: light for early ones, dark for late "
                                        "ones. A line says its name when pointed at.",
                             picture, out, e);
}
