/* SPDX-License-Identifier: Apache-2.0 */
/* plots_models: several scans side by side: what differs between two, and how figures move. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/plots_draw.h"

static const char *const shown_metrics[] = {"std", "condition", "energy-rank", "sqnr-tensor"};
enum { PAIR_ROWS = 10, PAIR_ROW = 22, MAX_MODELS = 64 };

/* ------------------------------------------------------------------------------ comparison --- */
struct pair {
    uint32_t a, b; /* positions in the two views */
    double from, to, change;
};

static void canonical(const struct sc_scan_view *v, size_t i, struct sc_buf *name)
{
    const struct sc_tensor *t = sc_view_tensor(v, i);

    name->n = 0;
    sc_canonical_name(sc_str(t->name, t->name_len), name);
}

/* Tensors of the same canonical name; the caller frees. NULL: no memory. */
static struct pair *find_pairs(const struct sc_scan_view *a, const struct sc_scan_view *b,
                               size_t *n)
{
    struct pair *pairs = sc_calloc(SC_MAX(a->n, 1), sizeof *pairs);
    struct sc_index index = {0};
    struct sc_buf x = {0}, y = {0};
    bool ok = pairs && sc_index_reserve(&index, b->n, NULL) == 0;

    *n = 0;
    for (size_t i = 0; ok && i < b->n; i++) {
        canonical(b, i, &x);
        ok = !x.failed && sc_index_put(&index, sc_hash(x.p, x.n), (uint32_t)i, NULL) == 0;
    }
    for (size_t i = 0; ok && i < a->n; i++) {
        canonical(a, i, &x);
        size_t probe = 0;
        uint64_t hash = sc_hash(x.p, x.n);
        for (uint32_t at; (at = sc_index_next(&index, hash, &probe)) != UINT32_MAX;) {
            canonical(b, at, &y);
            ok = !x.failed && !y.failed;
            if (!ok || !sc_str_eq(sc_str(x.p, x.n), sc_str(y.p, y.n)))
                continue;
            pairs[(*n)++] = (struct pair){.a = (uint32_t)i, .b = at};
            break;
        }
    }
    sc_index_clear(&index);
    sc_buf_clear(&x);
    sc_buf_clear(&y);
    if (ok)
        return pairs;
    free(pairs);
    return NULL;
}

static int change_down(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;

    return x->change > y->change ? -1 : x->change < y->change ? 1 : (x->a > y->a) - (x->a < y->a);
}

static double change_of(double from, double to, bool log)
{
    if (isnan(from) || isnan(to))
        return -1;
    if (isinf(from) || isinf(to))
        return isinf(from) && isinf(to) ? 0 : INFINITY;
    return log ? (from > 0 && to > 0 ? fabs(log10(to / from))
                  : from == to       ? 0
                                     : INFINITY)
               : fabs(to - from);
}

/* Those that changed, most first; returns how many of them are worth a row. */
static size_t rank_pairs(const struct sc_scan_view *v, const struct sc_plot_metric *m,
                         struct pair *pairs, size_t n)
{
    size_t changed = 0;

    for (size_t i = 0; i < n; i++) {
        pairs[i].from = sc_plot_value(&v[0], pairs[i].a, m);
        pairs[i].to = sc_plot_value(&v[1], pairs[i].b, m);
        pairs[i].change = change_of(pairs[i].from, pairs[i].to, m->log);
        changed += pairs[i].change > 0;
    }
    qsort(pairs, n, sizeof *pairs, change_down);
    return SC_MIN(changed, PAIR_ROWS);
}

static void draw_pair(struct sc_svg *s, const struct sc_panel *p, const struct sc_scan_view *v,
                      const struct pair *pair, double y, double names)
{
    double from = sc_panel_x(p, pair->from), to = sc_panel_x(p, pair->to);
    struct sc_str name = sc_plot_name(&v[0], pair->a);
    struct sc_buf tip = {0};

    sc_buf_put(&tip, name.p, name.n);
    sc_buf_printf(&tip, ": %s", sc_value_text(pair->from).s);
    sc_buf_printf(&tip, " → %s", sc_value_text(pair->to).s);
    sc_svg_item(s, pair->a, sc_str(tip.p ? tip.p : "", tip.n));
    sc_svg_text(s, p->box.x - 8, y + 4, SC_END, SC_LOOK_LABEL, name, names - 10);
    sc_svg_line(s, from, y, to, y, SC_INK_OTHER, 2, false);
    sc_svg_mark(s, SC_SHAPE_RING, from, y, 5, SC_INK_OTHER);
    sc_svg_mark(s, SC_SHAPE_CIRCLE, to, y, 5, SC_INK_BLUE);
    sc_svg_end_item(s);
    s->b.failed = s->b.failed || tip.failed;
    sc_buf_clear(&tip);
}

static void draw_pairs(struct sc_svg *s, const struct sc_scan_view *v,
                       const struct sc_plot_metric *m, const struct pair *pairs, size_t n,
                       struct sc_box box)
{
    double names = SC_MIN(170, box.w * 0.42), ends[2 * PAIR_ROWS];
    char title[96];

    for (size_t i = 0; i < n; i++) {
        ends[2 * i] = pairs[i].from;
        ends[2 * i + 1] = pairs[i].to;
    }
    struct sc_range r = sc_range_of(ends, sizeof *ends, 2 * n, m->log);
    snprintf(title, sizeof title, "%s%s%s", m->title, m->unit ? ", " : "", m->unit ? m->unit : "");
    sc_svg_text(s, box.x, box.y + 14, SC_START, SC_LOOK_HEAD, sc_strz(title), box.w);
    struct sc_panel p = {
        .box = {box.x + names, box.y + 26, box.w - names - 14, (double)n * PAIR_ROW},
        .x = sc_scale_fit(m->log, r.low, r.high),
        .zero_x = m->log && r.zeros,
        .infinite_x = r.infinite > 0};
    sc_panel_rows(s, &p);
    for (size_t i = 0; i < n; i++)
        draw_pair(s, &p, v, &pairs[i], p.box.y + ((double)i + 0.5) * PAIR_ROW, names);
}

bool sc_draw_comparison(const struct sc_plot_input *in, struct sc_svg *s)
{
    static const struct sc_legend_item items[] = {{SC_INK_OTHER, SC_SHAPE_RING, "first scan"},
                                                  {SC_INK_BLUE, SC_SHAPE_CIRCLE, "second scan"}};
    size_t n;
    struct pair *pairs = find_pairs(&in->views[0], &in->views[1], &n);

    if (!pairs) {
        s->b.failed = true;
        return false;
    }
    double y = sc_svg_legend(s, 0, 0, s->w, items, SC_COUNT(items)) + 6;
    struct sc_rows rows = sc_rows_start(s, y, 2, 380, PAIR_ROWS * PAIR_ROW + 60);
    for (size_t k = 0; k < SC_COUNT(shown_metrics); k++) {
        const struct sc_plot_metric *m = sc_plot_metric(shown_metrics[k]);
        size_t changed = rank_pairs(in->views, m, pairs, n);
        if (changed)
            draw_pairs(s, in->views, m, pairs, changed, sc_rows_next(&rows));
    }
    s->h = sc_rows_end(&rows);
    sc_svg_note(s, "%zu tensors are in both scans, %zu only in the first, %zu only in the second.",
                n, in->views[0].n - n, in->views[1].n - SC_MIN(n, in->views[1].n));
    if (rows.at == 0) {
        s->h = y + 30;
        sc_svg_textz(s, 0, y + 18, SC_START, SC_LOOK_NOTE,
                     n ? "No figure differs." : "The scans have no tensor in common.");
    }
    free(pairs);
    return true;
}

/* ------------------------------------------------------------------------------- evolution --- */
struct movement {
    size_t n_models;
    double median[SC_FAMILY_COUNT][MAX_MODELS];
};

static bool medians_of_families(const struct sc_scan_view *v, const struct sc_plot_metric *m,
                                double out[SC_FAMILY_COUNT][MAX_MODELS], size_t model)
{
    double *values = sc_calloc(SC_MAX(v->n, 1), sizeof *values);

    for (size_t f = 0; values && f < SC_FAMILY_COUNT; f++) {
        size_t n = 0;
        for (size_t i = 0; i < v->n; i++) {
            double x = sc_plot_value(v, i, m);
            if (!isnan(x) && (size_t)sc_family_of(sc_view_tensor(v, i)) == f)
                values[n++] = x;
        }
        out[f][model] = sc_median(values, n);
    }
    free(values);
    return values != NULL;
}

static void draw_movement(struct sc_svg *s, const struct movement *mv,
                          const struct sc_plot_metric *m, const struct sc_box *box)
{
    double *all = (double *)(uintptr_t)&mv->median[0][0]; /* only read */
    double low = INFINITY, high = -INFINITY;
    char title[96];

    for (size_t i = 0; i < (size_t)SC_FAMILY_COUNT * MAX_MODELS; i++) {
        if (i % MAX_MODELS >= mv->n_models || !isfinite(all[i]) || (m->log && all[i] <= 0))
            continue;
        low = SC_MIN(low, all[i]);
        high = SC_MAX(high, all[i]);
    }
    snprintf(title, sizeof title, "%s%s%s", m->title, m->unit ? ", " : "", m->unit ? m->unit : "");
    struct sc_panel p = {.x = {.low = 0.5, .high = (double)mv->n_models + 0.5},
                         .y = sc_scale_fit(m->log, low, high),
                         .title = title,
                         .x_title = "scan",
                         .no_x_ticks = true};
    sc_panel_draw(s, &p, box);
    double free_from = -1e9;
    for (size_t i = 0; i < mv->n_models; i++) {
        char text[24];
        double x = sc_scale_at(&p.x, (double)i + 1);
        snprintf(text, sizeof text, "%zu", i + 1);
        if (x < free_from)
            continue;
        free_from = x + 26;
        sc_svg_textz(s, x, p.box.y + p.box.h + 16, SC_MIDDLE, SC_LOOK_TICK, text);
    }
    for (size_t f = 0; f < SC_FAMILY_COUNT; f++) {
        sc_svg_path(s, sc_families[f].ink, 2, false);
        for (size_t i = 0; i < mv->n_models; i++)
            sc_svg_to(s, sc_scale_at(&p.x, (double)i + 1), sc_scale_at(&p.y, mv->median[f][i]));
        sc_svg_end_path(s);
        for (size_t i = 0; i < mv->n_models; i++) {
            char tip[96];
            snprintf(tip, sizeof tip, "scan %zu, %s: %s", i + 1, sc_families[f].text,
                     sc_value_text(mv->median[f][i]).s);
            if (isnan(sc_scale_at(&p.y, mv->median[f][i])))
                continue;
            sc_svg_item(s, UINT32_MAX, sc_strz(tip));
            sc_svg_mark(s, sc_families[f].shape, sc_scale_at(&p.x, (double)i + 1),
                        sc_scale_at(&p.y, mv->median[f][i]), 4, sc_families[f].ink);
            sc_svg_end_item(s);
        }
    }
}

static double name_models(struct sc_svg *s, const struct sc_scan_view *v, size_t n, double y)
{
    for (size_t i = 0; i < n; i++, y += 16) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i + 1);
        sc_svg_textz(s, 16, y + 12, SC_END, SC_LOOK_LABEL, number);
        sc_svg_text(s, 24, y + 12, SC_START, SC_LOOK_LABEL, v[i].title, s->w - 24);
    }
    return y + 6;
}

static double legend_of_all(struct sc_svg *s, const struct sc_plot_input *in)
{
    struct sc_legend_item items[SC_FAMILY_COUNT];
    bool there[SC_FAMILY_COUNT] = {false};
    size_t used = 0;

    for (size_t k = 0; k < in->n_views; k++)
        for (size_t i = 0; i < in->views[k].n; i++)
            there[sc_family_of(sc_view_tensor(&in->views[k], i))] = true;
    for (size_t f = 0; f < SC_FAMILY_COUNT; f++)
        if (there[f])
            items[used++] = sc_families[f];
    return sc_svg_legend(s, 0, 0, s->w, items, used);
}

bool sc_draw_evolution(const struct sc_plot_input *in, struct sc_svg *s)
{
    struct movement mv = {.n_models = SC_MIN(in->n_views, MAX_MODELS)};
    double y = legend_of_all(s, in) + 6;
    bool any = false;

    y = name_models(s, in->views, SC_MIN(mv.n_models, 16), y);
    struct sc_rows rows = sc_rows_start(s, y, 2, 330, 250);
    for (size_t k = 0; k < SC_COUNT(shown_metrics); k++) {
        const struct sc_plot_metric *m = sc_plot_metric(shown_metrics[k]);
        bool there = false;
        for (size_t i = 0; i < mv.n_models; i++)
            if (!medians_of_families(&in->views[i], m, mv.median, i))
                s->b.failed = true;
        for (size_t f = 0; f < SC_FAMILY_COUNT && !s->b.failed; f++)
            for (size_t i = 0; i < mv.n_models; i++)
                there = there || !isnan(mv.median[f][i]);
        if (!there)
            continue;
        struct sc_box box = sc_rows_next(&rows);
        draw_movement(s, &mv, m, &box);
        any = true;
    }
    s->h = sc_rows_end(&rows);
    if (in->n_views > MAX_MODELS)
        sc_svg_note(s, "Shown are the first %d of %zu scans.", MAX_MODELS, in->n_views);
    return any;
}
