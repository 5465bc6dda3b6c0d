/* SPDX-License-Identifier: Apache-2.0 */
/* plots_quant: the risk of integers, and the dashboard of histograms. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plots_draw.h"

/* ------------------------------------------------------------------------------------ risk --- */
enum { LABELS = 12, CELLS_X = 44, CELLS_Y = 26 };
/* Percent of a normal sample beyond 3 IQR of its quartiles: 2 Phi(-4.7214). */
#define NORMAL_EXTREME 2.34e-4

struct risk {
    double x, y, score; /* extreme outliers in percent, dB */
    uint32_t at;
};

static int risk_down(const void *a, const void *b)
{
    const struct risk *x = a, *y = b;

    return x->score > y->score ? -1 : x->score < y->score ? 1 : (x->at > y->at) - (x->at < y->at);
}

static size_t collect_risks(const struct sc_scan_view *v, struct risk *r, double normal[2])
{
    size_t n = 0;

    normal[0] = INFINITY;
    normal[1] = -INFINITY;
    for (size_t i = 0; i < v->n; i++) {
        const struct sc_health *h = sc_view_health(v, i, SC_METHOD_QUANTIZATION);
        if (!h || isnan(h->quantization.extreme_outlier_percent) ||
            isnan(h->quantization.per_tensor.sqnr_db))
            continue;
        double x = h->quantization.extreme_outlier_percent, y = h->quantization.per_tensor.sqnr_db;
        double g = h->quantization.sqnr_normal_db;
        if (isfinite(g)) {
            normal[0] = SC_MIN(normal[0], g);
            normal[1] = SC_MAX(normal[1], g);
        }
        /* What the outliers cost, then how many there are. */
        double lost = isfinite(g) && isfinite(y) ? g - y : isfinite(y) ? -y : -1e9;
        r[n++] = (struct risk){x, y, lost + SC_MIN(x, 100), (uint32_t)i};
    }
    qsort(r, n, sizeof *r, risk_down);
    return n;
}

static void put_risk_tip(struct sc_buf *tip, const struct sc_scan_view *v, const struct risk *r)
{
    struct sc_str name = sc_plot_name(v, r->at);

    sc_buf_put(tip, name.p, name.n);
    sc_buf_printf(tip, ": extreme outliers %s %%, ", sc_value_text(r->x).s);
    sc_buf_printf(tip, "SQNR %s dB", sc_value_text(r->y).s);
}

static void draw_risk_mark(struct sc_svg *s, const struct sc_panel *p, const struct sc_scan_view *v,
                           const struct risk *r)
{
    const struct sc_legend_item *f = &sc_families[sc_family_of(sc_view_tensor(v, r->at))];
    struct sc_buf tip = {0};

    put_risk_tip(&tip, v, r);
    double x = sc_panel_x(p, r->x), y = sc_panel_y(p, r->y);
    sc_svg_item(s, r->at, sc_str(tip.p ? tip.p : "", tip.n));
    sc_svg_mark(s, f->shape, x, y, 4.5, f->ink);
    sc_svg_take(s, x - 3, y - 3, 6, 6);
    sc_svg_end_item(s);
    s->b.failed = s->b.failed || tip.failed;
    sc_buf_clear(&tip);
}

/* Many points as cells that get darker with the number in them. */
static void draw_crowd(struct sc_svg *s, const struct sc_panel *p, const struct risk *r, size_t n)
{
    uint32_t count[CELLS_Y][CELLS_X] = {{0}}, most = 1;
    const struct sc_box *b = &p->box;
    double w = b->w / CELLS_X, h = b->h / CELLS_Y;

    for (size_t i = 0; i < n; i++) {
        double x = (sc_panel_x(p, r[i].x) - b->x) / w, y = (sc_panel_y(p, r[i].y) - b->y) / h;
        if (!(x >= 0 && x <= CELLS_X && y >= 0 && y <= CELLS_Y))
            continue;
        uint32_t *c = &count[SC_MIN((size_t)y, CELLS_Y - 1)][SC_MIN((size_t)x, CELLS_X - 1)];
        most = SC_MAX(most, ++*c);
    }
    for (size_t y = 0; y < CELLS_Y; y++) {
        for (size_t x = 0; x < CELLS_X; x++) {
            if (!count[y][x])
                continue;
            double t = log(1.0 + count[y][x]) / log(1.0 + most);
            char tip[48];
            snprintf(tip, sizeof tip, "%u tensors", count[y][x]);
            sc_svg_item(s, UINT32_MAX, sc_strz(tip));
            sc_svg_rect(s, b->x + (double)x * w, b->y + (double)y * h, w - 0.5, h - 0.5,
                        (enum sc_ink)(SC_INK_RAMP0 + 1 + (int)(t * 7)));
            sc_svg_end_item(s);
        }
    }
}

static struct sc_panel risk_panel(const struct risk *r, size_t n, const double normal[2])
{
    struct sc_range x = sc_range_of(&r->x, sizeof *r, n, true);
    struct sc_range y = sc_range_of(&r->y, sizeof *r, n, false);

    return (struct sc_panel){
        .x = sc_scale_fit(true, SC_MIN(x.low, NORMAL_EXTREME / 2), SC_MAX(x.high, 2)),
        .y = sc_scale_fit(false, SC_MIN(SC_MIN(y.low, 28), normal[0]),
                          SC_MAX(SC_MAX(y.high, 42), normal[1])),
        .x_title = "extreme outliers: values beyond 3 IQR, %",
        .y_title = "SQNR with one scale a tensor, dB",
        .zero_x = x.zeros > 0,
        .infinite_y = y.infinite > 0};
}

static void draw_normal(struct sc_svg *s, const struct sc_panel *p, const double normal[2])
{
    if (normal[0] > normal[1])
        return;
    double top = sc_scale_at(&p->y, normal[1]), bottom = sc_scale_at(&p->y, normal[0]);

    sc_svg_rect(s, p->box.x, top, p->box.w, SC_MAX(bottom - top, 1.5), SC_INK_GRID);
    sc_svg_textz(s, p->box.x + p->box.w - 2, top - 4, SC_END, SC_LOOK_LABEL,
                 "normal values of these sizes");
    sc_svg_take(s, p->box.x + p->box.w - 180, top - 15, 180, 15);
    sc_panel_guide(s, p, false, NORMAL_EXTREME, "normal", SC_INK_MUTED);
    sc_panel_guide(s, p, false, 1, "1 %", SC_INK_MUTED);
}

bool sc_draw_risk(const struct sc_plot_input *in, struct sc_svg *s)
{
    const struct sc_scan_view *v = &in->views[0];
    struct risk *r = sc_calloc(SC_MAX(v->n, 1), sizeof *r);
    size_t n_points;
    struct sc_point *points = sc_points_of(s, v, sc_plot_metric("sqnr-tensor"), &n_points);
    double normal[2], y = 0;
    size_t n = 0;

    if (r && points)
        n = collect_risks(v, r, normal);
    s->b.failed = s->b.failed || !r;
    if (n) {
        y = sc_family_legend(s, v, points, n_points, 0);
        struct sc_box outer = {0, y, s->w, SC_MIN(SC_MAX(s->w * 0.5, 340), 440)};
        struct sc_panel p = risk_panel(r, n, normal);
        size_t alone = n <= SC_MANY_POINTS ? n : SC_MANY_POINTS / 4;
        sc_panel_draw(s, &p, &outer);
        draw_normal(s, &p, normal);
        if (alone < n)
            draw_crowd(s, &p, r + alone, n - alone);
        for (size_t i = alone; i-- > 0;) /* the worst on top */
            draw_risk_mark(s, &p, v, &r[i]);
        for (size_t i = 0; i < SC_MIN(n, LABELS) && r[i].score > 3; i++)
            sc_svg_label(s, &p.box, sc_panel_x(&p, r[i].x), sc_panel_y(&p, r[i].y), 5,
                         sc_plot_name(v, r[i].at));
        s->h = y + outer.h;
        if (alone < n)
            sc_svg_note(
                s, "The %zu riskiest of %zu tensors are marks, the others are counted in cells.",
                alone, n);
    }
    free(r);
    free(points);
    return n > 0;
}

/* ------------------------------------------------------------------------------- dashboard --- */
enum { BINS = 30 };
struct card {
    const char *metric, *title, *x_title;
    bool log;
};
static const struct card cards[] = {
    {"condition", "Condition number", "σ₁ / σᵣ", true},
    {"sqnr-tensor", "SQNR, one scale a tensor", "dB", false},
    {"extreme", "Extreme outliers", "% beyond 3 IQR", true},
    {"energy-rank", "Ranks with 99 % of the energy", "% of all ranks", false},
    {"near-zero", "Near zero", "% within 1e-6", false},
    {"max-sigma", "Largest magnitude", "standard deviations", true},
};

static void draw_bar(struct sc_svg *s, const struct sc_panel *p, double x, double w, uint64_t count,
                     const char *what, enum sc_ink ink)
{
    char tip[160];

    if (!count)
        return;
    double bottom = p->box.y + p->box.h, y = sc_scale_at(&p->y, (double)count);
    snprintf(tip, sizeof tip, "%llu tensors: %s", (unsigned long long)count, what);
    sc_svg_item(s, UINT32_MAX, sc_strz(tip));
    sc_svg_vbar(s, x, bottom, w, SC_MAX(bottom - y, 1.5), ink);
    sc_svg_end_item(s);
}

static void draw_card(struct sc_svg *s, const struct card *c, const double *v, size_t n,
                      const struct sc_box *box)
{
    struct sc_range r = sc_range_of(v, sizeof *v, n, c->log);
    uint64_t count[BINS], most = SC_MAX(r.infinite, c->log ? r.zeros : 0);
    struct sc_panel p = {.x = sc_scale_fit(c->log, r.low, r.high),
                         .title = c->title,
                         .x_title = c->x_title,
                         .y_title = "tensors",
                         .zero_x = c->log && r.zeros,
                         .infinite_x = r.infinite > 0};

    sc_bin(v, n, c->log, p.x.low, p.x.high, BINS, count);
    for (size_t i = 0; i < BINS; i++)
        most = SC_MAX(most, count[i]);
    p.y = sc_scale_fit(false, 0, (double)SC_MAX(most, 2));
    sc_panel_draw(s, &p, box);
    double step = (p.x.last - p.x.first) / BINS;
    for (size_t i = 0; i < BINS; i++) {
        double t = (double)i / BINS, u = (double)(i + 1) / BINS;
        double low =
            c->log ? p.x.low * pow(p.x.high / p.x.low, t) : p.x.low + t * (p.x.high - p.x.low);
        double high =
            c->log ? p.x.low * pow(p.x.high / p.x.low, u) : p.x.low + u * (p.x.high - p.x.low);
        char what[110];
        snprintf(what, sizeof what, "%s to %s", sc_value_text(low).s, sc_value_text(high).s);
        draw_bar(s, &p, p.x.first + (double)i * step + 0.75, step - 1.5, count[i], what,
                 SC_INK_BLUE);
    }
    if (p.zero_x)
        draw_bar(s, &p, sc_panel_x(&p, 0) - 8, 16, r.zeros, "zero", SC_INK_OTHER);
    if (p.infinite_x)
        draw_bar(s, &p, sc_panel_x(&p, INFINITY) - 8, 16, r.infinite, "infinite",
                 c->metric[0] == 'c' ? SC_INK_CRITICAL : SC_INK_OTHER);
}

bool sc_draw_dashboard(const struct sc_plot_input *in, struct sc_svg *s)
{
    const struct sc_scan_view *v = &in->views[0];
    double *values = sc_calloc(SC_MAX(v->n, 1), sizeof *values);
    struct sc_rows rows = sc_rows_start(s, 0, 3, 250, 210);

    if (!values) {
        s->b.failed = true;
        return false;
    }
    for (size_t c = 0; c < SC_COUNT(cards); c++) {
        const struct sc_plot_metric *m = sc_plot_metric(cards[c].metric);
        size_t n = 0;
        for (size_t i = 0; i < v->n; i++) {
            double x = sc_plot_value(v, i, m);
            if (!isnan(x))
                values[n++] = x;
        }
        if (!n)
            continue;
        struct sc_box box = sc_rows_next(&rows);
        draw_card(s, &cards[c], values, n, &box);
    }
    s->h = sc_rows_end(&rows);
    free(values);
    return rows.at > 0;
}
