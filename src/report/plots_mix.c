/* SPDX-License-Identifier: Apache-2.0 */
/* plots_mix: bytes against accuracy: baselines, mixes, frontiers, random trials, sweeps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plots_draw.h"

/* Sizes along an axis in a unit that fits all of them, as tables have it: decimal. */
struct unit {
    double bytes;
    char title[24];
};
static struct unit unit_of(double most)
{
    static const char *const names[] = {"bytes", "KB", "MB", "GB", "TB", "PB"};
    struct unit u = {1, ""};
    size_t i = 0;

    while (most / u.bytes >= 1000 && i + 1 < SC_COUNT(names)) {
        u.bytes *= 1000;
        i++;
    }
    snprintf(u.title, sizeof u.title, "size, %s", names[i]);
    return u;
}

static void finish_item(struct sc_svg *s, struct sc_buf *tip)
{
    sc_svg_end_item(s);
    s->b.failed = s->b.failed || tip->failed;
    sc_buf_clear(tip);
}

static void put_bytes(struct sc_buf *b, double bytes)
{
    char text[32];

    sc_format_bytes(bytes < 1.8e19 ? (uint64_t)bytes : UINT64_MAX, text);
    sc_buf_puts(b, text);
}

static void put_metric(struct sc_buf *b, enum sc_mix_metric m, double value)
{
    char text[64];

    sc_buf_printf(b, "%s ", sc_mix_metrics[m]);
    if (m == SC_MIX_PCC) {
        sc_format_fixed(value, 7, text);
        sc_buf_puts(b, text);
    } else {
        sc_put_value(b, value);
        if (m == SC_MIX_SQNR)
            sc_buf_puts(b, " dB");
    }
}

static double value_of(const struct sc_mix_totals *t, enum sc_mix_metric m)
{
    return m == SC_MIX_PCC ? t->pcc : sc_metric_of(t, m);
}

static void guide_goal(struct sc_svg *s, const struct sc_panel *p, enum sc_mix_metric m,
                       double threshold)
{
    char name[80];

    if (isnan(threshold))
        return;
    sc_format_real(threshold, name + snprintf(name, sizeof name, "goal "));
    sc_panel_guide(s, p, true, sc_metric_plotted(threshold, m), name, SC_INK_MUTED);
}

/* -------------------------------------------------------------------- size against accuracy --- */
static void draw_size_point(struct sc_svg *s, const struct sc_panel *p, double unit,
                            const struct sc_size_point *pt, enum sc_mix_metric m)
{
    struct sc_buf tip = {0};
    double x = sc_panel_x(p, pt->bytes / unit);
    double y = sc_panel_y(p, sc_metric_plotted(pt->value, m));

    sc_buf_put(&tip, pt->name.p, pt->name.n);
    sc_buf_puts(&tip, ": ");
    put_metric(&tip, m, pt->value);
    sc_buf_puts(&tip, ", ");
    put_bytes(&tip, pt->bytes);
    if (pt->formats)
        sc_buf_printf(&tip, " [%s]", pt->formats);
    sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
    sc_svg_mark(s, pt->mix ? SC_SHAPE_DIAMOND : SC_SHAPE_CIRCLE, x, y, pt->mix ? 6 : 5,
                pt->mix ? SC_INK_ORANGE : SC_INK_BLUE);
    sc_svg_take(s, x - 5, y - 5, 10, 10);
    finish_item(s, &tip);
}

static void label_size_point(struct sc_svg *s, const struct sc_panel *p, double unit,
                             const struct sc_size_point *pt, enum sc_mix_metric m)
{
    struct sc_buf label = {0};
    double x = sc_panel_x(p, pt->bytes / unit);
    double y = sc_panel_y(p, sc_metric_plotted(pt->value, m));

    sc_buf_put(&label, pt->name.p, pt->name.n);
    sc_buf_puts(&label, ", ");
    put_bytes(&label, pt->bytes);
    if (!sc_svg_label(s, &p->box, x, y, 6, sc_str(label.p ? label.p : "", label.n)))
        sc_svg_label(s, &p->box, x, y, 6, pt->name);
    s->b.failed = s->b.failed || label.failed;
    sc_buf_clear(&label);
}

static void draw_frontier(struct sc_svg *s, const struct sc_panel *p, double unit,
                          const struct sc_mix_totals *t, size_t n, enum sc_mix_metric m,
                          enum sc_ink ink, double width)
{
    double last_x = NAN, last_y = NAN;

    sc_svg_path(s, ink, width, false);
    for (size_t i = 0; i < n; i++) {
        double x = sc_panel_x(p, (double)t[i].bytes / unit);
        double y = sc_panel_y(p, sc_metric_of(&t[i], m));
        sc_svg_to(s, x, y);
        /* Names keep out of its way. */
        double steps = ceil(fmax(fabs(x - last_x), fabs(y - last_y)) / 10);
        for (double k = 1; k <= steps; k++)
            sc_svg_take(s, last_x + (x - last_x) * k / steps - 3,
                        last_y + (y - last_y) * k / steps - 3, 6, 6);
        last_x = x;
        last_y = y;
    }
    sc_svg_end_path(s);
}

/* Where bytes and the metric lie of points and frontier together. */
struct extent {
    double *y;
    size_t n;
    double most; /* bytes */
};

static struct extent size_extent(const struct sc_size_plot *plot)
{
    struct extent x = {.y = sc_calloc(SC_MAX(plot->n + plot->n_frontier, 1), sizeof *x.y)};

    for (size_t i = 0; x.y && i < plot->n; i++) {
        x.y[x.n++] = sc_metric_plotted(plot->points[i].value, plot->metric);
        x.most = SC_MAX(x.most, plot->points[i].bytes);
    }
    for (size_t i = 0; x.y && i < plot->n_frontier; i++) {
        x.y[x.n++] = sc_metric_of(&plot->frontier[i], plot->metric);
        x.most = SC_MAX(x.most, (double)plot->frontier[i].bytes);
    }
    return x;
}

int sc_picture_size(const struct sc_size_plot *plot, const struct sc_picture *picture,
                    struct sc_buf *out, struct sc_error *e)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_BLUE, SC_SHAPE_CIRCLE, "one format"},
        {SC_INK_ORANGE, SC_SHAPE_DIAMOND, "mix of formats"},
        {SC_INK_AQUA, SC_SHAPE_LINE, "the best that a mix can do"},
    };
    struct sc_svg s;
    struct extent x = size_extent(plot);

    if (!x.y)
        return sc_fail_memory(e);
    if (!x.n) {
        free(x.y);
        return 0;
    }
    struct unit u = unit_of(x.most);
    sc_picture_start(&s, picture);
    struct sc_panel p = {.x = sc_scale_fit(false, 0, x.most / u.bytes), .x_title = u.title};
    sc_metric_panel(&p, plot->metric, x.y, x.n);
    free(x.y);
    double y = sc_svg_legend(&s, 0, 0, s.w, items, plot->n_frontier ? 3 : 2);
    sc_panel_draw(&s, &p, &(struct sc_box){0, y, s.w, SC_MIN(SC_MAX(s.w * 0.55, 320), 500)});
    s.h = y + SC_MIN(SC_MAX(s.w * 0.55, 320), 500);
    guide_goal(&s, &p, plot->metric, plot->threshold);
    draw_frontier(&s, &p, u.bytes, plot->frontier, plot->n_frontier, plot->metric, SC_INK_AQUA,
                  2.5);
    for (size_t i = 0; i < plot->n; i++)
        draw_size_point(&s, &p, u.bytes, &plot->points[i], plot->metric);
    for (int mix = 1; mix >= 0; mix--) /* of the mixes first: they are what is asked about */
        for (size_t i = 0; i < plot->n; i++)
            if (plot->points[i].mix == mix)
                label_size_point(&s, &p, u.bytes, &plot->points[i], plot->metric);
    return sc_picture_finish(&s, true, "Size against accuracy",
                             "Bytes are those of the packed tensor, scales and padding included. "
                             "Up and left is better; no mix lies beyond the line.",
                             picture, out, e);
}

/* -------------------------------------------------------------------------------- frontiers --- */
enum { NAMED = 12 };
static const enum sc_ink line_inks[] = {SC_INK_BLUE,   SC_INK_ORANGE,  SC_INK_AQUA, SC_INK_VIOLET,
                                        SC_INK_YELLOW, SC_INK_MAGENTA, SC_INK_GREEN};

static double bits_at(const struct sc_frontier *f, size_t i)
{
    return 8 * (double)f->points[i].bytes / (double)SC_MAX(f->values, 1);
}

static void draw_bits_line(struct sc_svg *s, const struct sc_panel *p, const struct sc_frontier *f,
                           enum sc_mix_metric m, enum sc_ink ink)
{
    struct sc_buf tip = {0};

    sc_buf_put(&tip, f->name.p, f->name.n);
    sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
    sc_svg_path(s, ink, f->model ? 3 : 1.5, false);
    for (size_t i = 0; i < f->n; i++)
        sc_svg_to(s, sc_panel_x(p, bits_at(f, i)), sc_panel_y(p, sc_metric_of(&f->points[i], m)));
    sc_svg_end_path(s);
    finish_item(s, &tip);
}

int sc_picture_frontiers(const struct sc_frontier *f, size_t n, enum sc_mix_metric metric,
                         const struct sc_picture *picture, struct sc_buf *out, struct sc_error *e)
{
    struct sc_svg s;
    size_t points = 0, used = 0, lines = 0, named = 0;
    double most = 0;

    for (size_t i = 0; i < n; i++) {
        points += f[i].n;
        lines += f[i].n > 0;
    }
    if (!points)
        return 0;
    double *y = sc_calloc(points, sizeof *y);
    if (!y)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < f[i].n; k++) {
            y[used++] = sc_metric_of(&f[i].points[k], metric);
            most = SC_MAX(most, bits_at(&f[i], k));
        }
    sc_picture_start(&s, picture);
    struct sc_panel p = {.x = sc_scale_fit(false, 0, most), .x_title = "bits a weight"};
    sc_metric_panel(&p, metric, y, points);
    free(y);
    struct sc_legend_item items[NAMED + 2];
    char text[NAMED + 2][96];
    for (size_t i = 0; i < n && (lines <= NAMED || f[i].model); i++) {
        if (!f[i].n || named >= NAMED + 1)
            continue;
        snprintf(text[named], sizeof *text, "%.*s", (int)SC_MIN(f[i].name.n, 90), f[i].name.p);
        items[named] =
            (struct sc_legend_item){f[i].model ? SC_INK_TEXT : line_inks[i % SC_COUNT(line_inks)],
                                    SC_SHAPE_LINE, text[named]};
        named++;
    }
    if (lines > NAMED)
        items[named++] = (struct sc_legend_item){SC_INK_RAMP0 + 4, SC_SHAPE_LINE, "tensors"};
    double top = sc_svg_legend(&s, 0, 0, s.w, items, named);
    double h = SC_MIN(SC_MAX(s.w * 0.55, 320), 500);
    sc_panel_draw(&s, &p, &(struct sc_box){0, top, s.w, h});
    s.h = top + h;
    for (int model = 0; model <= 1; model++) /* that of the model on top */
        for (size_t i = 0; i < n; i++)
            if (f[i].model == model && f[i].n)
                draw_bits_line(&s, &p, &f[i], metric,
                               model            ? SC_INK_TEXT
                               : lines <= NAMED ? line_inks[i % SC_COUNT(line_inks)]
                                                : SC_INK_RAMP0 + 4);
    if (lines > NAMED)
        sc_svg_note(&s,
                    "The %zu lines of tensors are not told apart; each says its name when "
                    "pointed at.",
                    lines);
    return sc_picture_finish(&s, true, "The best mixes of every size",
                             "One line a tensor: the best that its cells can be given, from the "
                             "fewest bits to the least error. Where a line is steep, bits pay.",
                             picture, out, e);
}

/* ------------------------------------------------------------------------------------ trials ---
 */
/* Met, nearly met (within ten times the distance), missed. */
static size_t bucket(const struct sc_mix_totals *t, const struct sc_mix_goal *goal)
{
    double v = sc_metric_of(t, goal->metric), g = sc_metric_plotted(goal->threshold, goal->metric);

    if (goal->metric == SC_MIX_SQNR)
        return v >= g ? 0 : v >= g - 10 ? 1 : 2;
    return v <= g ? 0 : v <= 10 * g ? 1 : 2;
}

int sc_picture_trials(const struct sc_mix_totals *trials, size_t n, const struct sc_mix_goal *goal,
                      size_t best, const struct sc_picture *picture, struct sc_buf *out,
                      struct sc_error *e)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_GREEN, SC_SHAPE_CIRCLE, "meets the goal"},
        {SC_INK_YELLOW, SC_SHAPE_TRIANGLE, "nearly (within ten times)"},
        {SC_INK_CRITICAL, SC_SHAPE_CROSS, "misses it"},
        {SC_INK_TEXT, SC_SHAPE_RING, "taken"},
    };
    struct sc_svg s;
    double *y = sc_calloc(SC_MAX(n, 1), sizeof *y), low = INFINITY, high = 0;

    if (!y)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++) {
        y[i] = sc_metric_of(&trials[i], goal->metric);
        low = SC_MIN(low, (double)trials[i].bytes);
        high = SC_MAX(high, (double)trials[i].bytes);
    }
    struct unit u = unit_of(high);
    struct sc_panel p = {.x = sc_scale_fit(false, low / u.bytes, high / u.bytes),
                         .x_title = u.title};
    sc_metric_panel(&p, goal->metric, y, n);
    free(y);
    if (!n)
        return 0;
    sc_picture_start(&s, picture);
    double top = sc_svg_legend(&s, 0, 0, s.w, items, best < n ? 4 : 3);
    double h = SC_MIN(SC_MAX(s.w * 0.5, 320), 460);
    sc_panel_draw(&s, &p, &(struct sc_box){0, top, s.w, h});
    s.h = top + h;
    guide_goal(&s, &p, goal->metric, goal->threshold);
    for (size_t i = 0; i < n; i++) {
        const struct sc_legend_item *look = &items[bucket(&trials[i], goal)];
        double px = sc_panel_x(&p, (double)trials[i].bytes / u.bytes);
        double py = sc_panel_y(&p, sc_metric_of(&trials[i], goal->metric));
        struct sc_buf tip = {0};
        sc_buf_printf(&tip, "trial %zu: ", i);
        put_metric(&tip, goal->metric, value_of(&trials[i], goal->metric));
        sc_buf_puts(&tip, ", ");
        put_bytes(&tip, (double)trials[i].bytes);
        sc_svg_item(&s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
        if (i == best)
            sc_svg_mark(&s, SC_SHAPE_RING, px, py, 9, SC_INK_TEXT);
        sc_svg_mark(&s, look->shape, px, py, 4.5, look->ink);
        finish_item(&s, &tip);
        sc_svg_take(&s, px - 5, py - 5, 10, 10);
    }
    for (size_t i = 0; i < n && n <= 200; i++) {
        char number[24];
        sc_format_u64(i, number);
        sc_svg_label(&s, &p.box, sc_panel_x(&p, (double)trials[i].bytes / u.bytes),
                     sc_panel_y(&p, sc_metric_of(&trials[i], goal->metric)), 3, sc_strz(number));
    }
    return sc_picture_finish(&s, true, "Random assignments",
                             "Each mark is one trial with a random format for every cell; the "
                             "numbers are those of the table.",
                             picture, out, e);
}

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

static struct extent sweep_extent(const struct sc_threshold_sweep *s, size_t n,
                                  enum sc_mix_metric metric, double *least)
{
    struct extent x = {0};
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
        put_metric(&tip, metric, value_of(&step->totals, metric));
        sc_buf_puts(&tip, ", ");
        put_bytes(&tip, (double)step->totals.bytes);
        sc_buf_puts(&tip, ", ");
        sc_put_shares(&tip, w->formats, w->n_formats, &step->totals);
        mix_colour(w, &step->totals, rgb);
        sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
        sc_svg_disc(s, sc_panel_x(p, (double)step->totals.bytes / unit),
                    sc_panel_y(p, sc_metric_of(&step->totals, metric)), 5, rgb);
        finish_item(s, &tip);
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
                        line_inks[k % SC_COUNT(line_inks)]);
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
    struct extent x = sweep_extent(w, 1, metric, &least);
    struct sc_legend_item items[16];

    if (!x.y)
        return sc_fail_memory(e);
    struct unit u = unit_of(x.most);
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
        items[i] = (struct sc_legend_item){line_inks[i % SC_COUNT(line_inks)], SC_SHAPE_BOX,
                                           w->formats[i].name};
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
    return line_inks[kind % SC_COUNT(line_inks)];
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
    finish_item(s, &tip);
}

int sc_picture_sweeps(const struct sc_threshold_sweep *all, size_t n, bool by_layer,
                      enum sc_mix_metric metric, const struct sc_picture *picture,
                      struct sc_buf *out, struct sc_error *e)
{
    struct sc_svg s;
    double least;
    struct extent x = sweep_extent(all, n, metric, &least);
    size_t panels = 0, left_out = 0;

    if (!x.y)
        return sc_fail_memory(e);
    struct unit u = unit_of(x.most);
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
