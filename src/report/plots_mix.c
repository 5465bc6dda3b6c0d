/* SPDX-License-Identifier: Apache-2.0 */
/* plots_mix: bytes against accuracy: baselines, mixes, frontiers, random trials. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plots_draw.h"

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
    sc_put_metric(&tip, m, pt->value);
    sc_buf_puts(&tip, ", ");
    sc_put_size(&tip, pt->bytes);
    if (pt->formats)
        sc_buf_printf(&tip, " [%s]", pt->formats);
    sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
    sc_svg_mark(s, pt->mix ? SC_SHAPE_DIAMOND : SC_SHAPE_CIRCLE, x, y, pt->mix ? 6 : 5,
                pt->mix ? SC_INK_ORANGE : SC_INK_BLUE);
    sc_svg_take(s, x - 5, y - 5, 10, 10);
    sc_svg_end_tip(s, &tip);
}

static void label_size_point(struct sc_svg *s, const struct sc_panel *p, double unit,
                             const struct sc_size_point *pt, enum sc_mix_metric m)
{
    struct sc_buf label = {0};
    double x = sc_panel_x(p, pt->bytes / unit);
    double y = sc_panel_y(p, sc_metric_plotted(pt->value, m));

    sc_buf_put(&label, pt->name.p, pt->name.n);
    sc_buf_puts(&label, ", ");
    sc_put_size(&label, pt->bytes);
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
        const double steps = ceil(fmax(fabs(x - last_x), fabs(y - last_y)) / 10);
        for (uint64_t k = 1; (double)k <= steps; k++)
            sc_svg_take(s, last_x + (x - last_x) * (double)k / steps - 3,
                        last_y + (y - last_y) * (double)k / steps - 3, 6, 6);
        last_x = x;
        last_y = y;
    }
    sc_svg_end_path(s);
}

static struct sc_size_extent size_extent(const struct sc_size_plot *plot)
{
    struct sc_size_extent x = {.y = sc_calloc(SC_MAX(plot->n + plot->n_frontier, 1), sizeof *x.y)};

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
    struct sc_size_extent x = size_extent(plot);

    if (!x.y)
        return sc_fail_memory(e);
    if (!x.n) {
        free(x.y);
        return 0;
    }
    struct sc_size_unit u = sc_size_unit_of(x.most);
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
    sc_svg_end_tip(s, &tip);
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
        items[named] = (struct sc_legend_item){f[i].model ? SC_INK_TEXT : sc_line_ink(i),
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
                               : lines <= NAMED ? sc_line_ink(i)
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
    struct sc_size_unit u = sc_size_unit_of(high);
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
        sc_put_metric(&tip, goal->metric, sc_metric_value(&trials[i], goal->metric));
        sc_buf_puts(&tip, ", ");
        sc_put_size(&tip, (double)trials[i].bytes);
        sc_svg_item(&s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
        if (i == best)
            sc_svg_mark(&s, SC_SHAPE_RING, px, py, 9, SC_INK_TEXT);
        sc_svg_mark(&s, look->shape, px, py, 4.5, look->ink);
        sc_svg_end_tip(&s, &tip);
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
