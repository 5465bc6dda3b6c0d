/* SPDX-License-Identifier: Apache-2.0 */
/* plots_activations: what flows through the layers: extremes, spread, length of the stream. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/pictures_parts.h"
#include "report/plots_forward.h"

/* The figures of one hook in the order of layers; the stream begins with the embedding. */
struct column_list {
    const struct sc_activation **p;
    size_t n;
};

static const struct sc_activations *figures_of(const void *data)
{
    return ((const struct sc_activation_pictures *)data)->a;
}

static bool belongs(const struct sc_activation *a, enum sc_hook hook)
{
    return a->hook == hook || (hook == SC_HOOK_RESIDUAL && a->hook == SC_HOOK_EMBEDDING);
}

static struct column_list columns_of(struct sc_svg *s, const struct sc_activations *a,
                                     enum sc_hook hook)
{
    struct column_list l = {.p = sc_calloc(SC_MAX(a->n, (size_t)1), sizeof *l.p)};

    s->b.failed = s->b.failed || !l.p;
    for (size_t i = 0; l.p && i < a->n; i++)
        if (belongs(&a->list[i], hook))
            l.p[l.n++] = &a->list[i];
    return l;
}

static void put_layer(const struct sc_activation *a, char text[24])
{
    if (a->layer >= 0)
        sc_format_u64((uint64_t)a->layer, text);
    else
        snprintf(text, 24, "%s", a->hook == SC_HOOK_EMBEDDING ? "in" : "out");
}

static void put_label(const void *ctx, size_t column, char text[24])
{
    put_layer(((const struct column_list *)ctx)->p[column], text);
}

static size_t before_layers(const struct column_list *l)
{
    return l->n && l->p[0]->hook == SC_HOOK_EMBEDDING;
}

static bool is_measured(const struct sc_activations *a, enum sc_hook hook)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->list[i].hook == hook)
            return true;
    return false;
}

/* Hooks with a picture of their own; the embedding is the first column of the stream. */
static bool is_shown(const struct sc_activations *a, enum sc_hook hook)
{
    return hook != SC_HOOK_ROUTE && is_measured(a, hook) &&
           !(hook == SC_HOOK_EMBEDDING && is_measured(a, SC_HOOK_RESIDUAL));
}

static size_t count_hooks(const void *data)
{
    size_t n = 0;

    for (unsigned h = 0; h < SC_HOOKS; h++)
        n += is_shown(figures_of(data), (enum sc_hook)h);
    return n;
}

static enum sc_hook hook_at(const void *data, size_t item)
{
    for (unsigned h = 0; h < SC_HOOKS; h++)
        if (is_shown(figures_of(data), (enum sc_hook)h) && item-- == 0)
            return (enum sc_hook)h;
    return SC_HOOKS;
}

static void put_hook(const void *data, size_t item, struct sc_buf *out)
{
    sc_buf_puts(out, sc_hook_names[hook_at(data, item)]);
}

/* What cannot be drawn is said, and in which layers it is. */
static void note_nonfinite(struct sc_svg *s, const struct column_list *l, const char *hook)
{
    struct sc_buf where = {0};
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        char text[24];
        if (!l->p[i]->nonfinite)
            continue;
        put_layer(l->p[i], text);
        if (n < 8)
            sc_buf_printf(&where, "%s%s", n ? ", " : "", text);
        n++;
    }
    if (n)
        sc_svg_note(s, "%s: NaN or infinite values in %zu of %zu layers (%s%s); marked by a cross.",
                    hook, n, l->n, where.p ? where.p : "", n > 8 ? ", ..." : "");
    s->b.failed = s->b.failed || where.failed;
    sc_buf_clear(&where);
}

/* ------------------------------------------------------------------------------------ maxima ---
 */
static void put_place(struct sc_buf *b, const struct sc_activation_pictures *d,
                      const struct sc_activation *a)
{
    sc_buf_printf(b, ", token %u", (unsigned)a->token);
    if (a->token < d->tokens.n && d->tokens.tokenizer) {
        sc_buf_puts(b, " (");
        sc_put_piece(b, d->tokens.tokenizer, d->tokens.ids[a->token]);
        sc_buf_putc(b, ')');
    }
    sc_buf_printf(b, ", channel %u", (unsigned)a->channel);
    if (a->part >= 0)
        sc_buf_printf(b, ", expert %d", (int)a->part);
    else if (a->part == -2)
        sc_buf_puts(b, ", shared expert");
}

static void draw_maxima_of(struct sc_svg *s, const struct sc_activation_pictures *d,
                           enum sc_hook hook, const struct sc_box *box)
{
    struct column_list l = columns_of(s, d->a, hook);
    double low = 0, high = 0;
    size_t most = 0;

    for (size_t i = 0; i < l.n; i++) {
        low = SC_MIN(low, (double)l.p[i]->most);
        high = SC_MAX(high, (double)l.p[i]->most);
        if (fabsf(l.p[i]->most) > fabsf(l.p[most]->most))
            most = i;
    }
    struct sc_layer_panel p = {.panel = {.title = sc_hook_names[hook],
                                         .y = sc_scale_fit(false, low, high),
                                         .x_title = "layer",
                                         .y_title = "value of the largest size"},
                               .n = l.n,
                               .label = put_label,
                               .ctx = &l,
                               .before = before_layers(&l)};
    sc_layer_panel_draw(s, &p, box);
    for (size_t i = 0; i < l.n; i++) {
        struct sc_buf tip = {0};
        char text[24];
        const double x = sc_layer_x(&p, i);
        put_layer(l.p[i], text);
        sc_buf_printf(&tip, "layer %s: %s", text, sc_value_text((double)l.p[i]->most).s);
        put_place(&tip, d, l.p[i]);
        sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
        sc_layer_bar_draw(s, &p, x, sc_layer_bar(&p, 1), (double)l.p[i]->most,
                          i == most ? SC_INK_ORANGE : SC_INK_BLUE);
        if (l.p[i]->nonfinite)
            sc_layer_bar_draw(s, &p, x, 1, (double)NAN, SC_INK_CRITICAL);
        sc_svg_end_tip(s, &tip);
    }
    if (l.n && l.p[most]->most != 0) {
        char name[64];
        snprintf(name, sizeof name, "%s, channel %u", sc_value_text((double)l.p[most]->most).s,
                 (unsigned)l.p[most]->channel);
        const double x = sc_layer_x(&p, most), y = sc_panel_y(&p.panel, (double)l.p[most]->most);
        sc_svg_label(s, &p.panel.box, x, y + (l.p[most]->most > 0 ? 7 : -7),
                     3 + sc_layer_bar(&p, 1) / 2, sc_strz(name));
    } else if (l.n) {
        sc_svg_note(s, "%s: all values are 0.", sc_hook_names[hook]);
    }
    note_nonfinite(s, &l, sc_hook_names[hook]);
    free(l.p);
}

static bool draw_maxima(const void *data, size_t item, struct sc_svg *s)
{
    const size_t n = count_hooks(data);
    struct sc_rows rows = sc_rows_start(s, 0, SC_MIN(n, 2), 330, 260);

    (void)item;
    for (size_t i = 0; i < n; i++) {
        const struct sc_box box = sc_rows_next(&rows);
        draw_maxima_of(s, data, hook_at(data, i), &box);
    }
    s->h = sc_rows_end(&rows);
    return n > 0;
}

/* ------------------------------------------------------------------------------------ spread ---
 */
/* A panel that all columns fit, in a scale that shows both the crowd and what is far out. */
static bool start_spread(struct sc_svg *s, const struct column_list *l, struct sc_layer_panel *p)
{
    double low = INFINITY, high = -INFINITY;
    double *units = sc_calloc(SC_MAX(l->n, (size_t)1), sizeof *units);
    size_t n = 0;

    s->b.failed = s->b.failed || !units;
    for (size_t i = 0; units && i < l->n; i++) {
        if (isnan(l->p[i]->min))
            continue;
        low = SC_MIN(low, l->p[i]->min);
        high = SC_MAX(high, l->p[i]->max);
        units[n++] = l->p[i]->unit;
    }
    *p = (struct sc_layer_panel){
        .panel = {.y = sc_scale_fit_signed(n ? sc_median(units, n) : 0, low, high),
                  .x_title = "layer",
                  .y_title = "value, logarithmic away from zero"},
        .n = l->n,
        .label = put_label,
        .ctx = l,
        .before = before_layers(l)};
    free(units);
    const double h = SC_MIN(SC_MAX(s->w * 0.5, 320), 460);
    sc_layer_panel_draw(s, p, &(struct sc_box){0, 0, s->w, h});
    s->h = h;
    return l->n > 0;
}

static void start_column(struct sc_svg *s, const struct sc_activation *a)
{
    static const char *const names[SC_ACTIVATION_QUANTILES] = {"1 %",  "5 %",  "25 %", "median",
                                                               "75 %", "95 %", "99 %"};
    struct sc_buf tip = {0};
    char text[24];

    put_layer(a, text);
    sc_buf_printf(&tip, "layer %s: min %s", text, sc_value_text(a->min).s);
    for (size_t i = 0; i < SC_ACTIVATION_QUANTILES; i++)
        sc_buf_printf(&tip, ", %s %s", names[i], sc_value_text(a->quantile[i]).s);
    sc_buf_printf(&tip, ", max %s", sc_value_text(a->max).s);
    if (a->nonfinite)
        sc_buf_printf(&tip, ", %llu not finite", (unsigned long long)a->nonfinite);
    sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
    s->b.failed = s->b.failed || tip.failed;
    sc_buf_clear(&tip);
}

static void draw_extremes(struct sc_svg *s, const struct sc_layer_panel *p, double x,
                          const struct sc_activation *a)
{
    const double r = SC_MIN(SC_MAX(p->step * 0.18, 1.4), 3.2);

    sc_svg_mark(s, SC_SHAPE_CIRCLE, x, sc_panel_y(&p->panel, a->min), r, SC_INK_ORANGE);
    sc_svg_mark(s, SC_SHAPE_CIRCLE, x, sc_panel_y(&p->panel, a->max), r, SC_INK_ORANGE);
    if (a->nonfinite)
        sc_layer_bar_draw(s, p, x, 1, (double)NAN, SC_INK_CRITICAL);
}

static void draw_box(struct sc_svg *s, const struct sc_layer_panel *p, double x,
                     const struct sc_activation *a)
{
    const double w = sc_layer_bar(p, 1);
    double y[SC_ACTIVATION_QUANTILES];

    for (size_t i = 0; i < SC_ACTIVATION_QUANTILES; i++)
        y[i] = sc_panel_y(&p->panel, a->quantile[i]);
    sc_svg_line(s, x, y[0], x, y[6], SC_INK_RAMP0 + 4, SC_MIN(1, w / 2), false);
    sc_svg_line(s, x, y[1], x, y[5], SC_INK_RAMP0 + 6, SC_MIN(2, w / 2), false);
    sc_svg_rect(s, x - w / 2, y[4], w, SC_MAX(y[2] - y[4], 1), SC_INK_RAMP0 + 3);
    sc_svg_line(s, x - w / 2, y[3], x + w / 2, y[3], SC_INK_TEXT, 1.5, false);
}

/* As wide as values are dense along the axis; the widest place of each column has its width. */
static void draw_violin(struct sc_svg *s, const struct sc_layer_panel *p, double x,
                        const struct sc_activation *a)
{
    enum { N = SC_ACTIVATION_BINS };
    double y[2 * N], left[2 * N], right[2 * N], density[N], most = 0;
    const double w = sc_layer_bar(p, 1) / 2;

    if (!(a->max > a->min)) { /* one value */
        const double at = sc_panel_y(&p->panel, a->min);
        sc_svg_line(s, x - w, at, x + w, at, SC_INK_RAMP0 + 5, 2, false);
        return;
    }
    for (size_t i = 0; i < N; i++) {
        y[2 * i] = sc_panel_y(&p->panel, sc_activation_edge(a, i));
        y[2 * i + 1] = sc_panel_y(&p->panel, sc_activation_edge(a, i + 1));
        density[i] = (double)a->bins[i] / SC_MAX(y[2 * i] - y[2 * i + 1], 1e-3);
        most = SC_MAX(most, density[i]);
    }
    size_t n = 0;
    for (size_t i = 0; i < SC_COUNT(y); i++) {
        const double half = w * density[i / 2] / SC_MAX(most, 1e-300);
        /* A single value far out is seen, too. */
        const double seen = a->bins[i / 2] ? SC_MAX(half, 0.35) : 0;
        n -= n > 1 && right[n - 1] == x + seen && right[n - 2] == x + seen; /* a straight edge */
        y[n] = y[i];
        left[n] = x - seen;
        right[n++] = x + seen;
    }
    sc_svg_blob(s, y, left, right, n, SC_INK_RAMP0 + 4);
    const double middle = sc_panel_y(&p->panel, a->quantile[3]);
    sc_svg_line(s, x - w / 2, middle, x + w / 2, middle, SC_INK_TEXT, 1.5, false);
}

static bool draw_spread(const void *data, size_t item, struct sc_svg *s, bool violin)
{
    const enum sc_hook hook = hook_at(data, item);
    struct column_list l = columns_of(s, figures_of(data), hook);
    struct sc_layer_panel p;
    const bool any = start_spread(s, &l, &p);

    for (size_t i = 0; i < l.n; i++) {
        const double x = sc_layer_x(&p, i);
        start_column(s, l.p[i]);
        if (isnan(l.p[i]->min)) {
            sc_layer_bar_draw(s, &p, x, 1, (double)NAN, SC_INK_CRITICAL);
        } else {
            (violin ? draw_violin : draw_box)(s, &p, x, l.p[i]);
            draw_extremes(s, &p, x, l.p[i]);
        }
        sc_svg_end_item(s);
    }
    note_nonfinite(s, &l, sc_hook_names[hook]);
    free(l.p);
    return any;
}

static bool draw_boxes(const void *data, size_t item, struct sc_svg *s)
{
    return draw_spread(data, item, s, false);
}

static bool draw_violins(const void *data, size_t item, struct sc_svg *s)
{
    return draw_spread(data, item, s, true);
}

/* ------------------------------------------------------------------------------------- norms ---
 */
static bool draw_norms(const void *data, size_t item, struct sc_svg *s)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_ORANGE, SC_SHAPE_CIRCLE, "first token"},
        {SC_INK_BLUE, SC_SHAPE_SQUARE, "median of all tokens"},
        {SC_INK_VIOLET, SC_SHAPE_DIAMOND, "longest"},
    };
    struct column_list l = columns_of(s, figures_of(data), SC_HOOK_RESIDUAL);
    double *v = sc_calloc(3 * SC_MAX(l.n, (size_t)1), sizeof *v);

    (void)item;
    s->b.failed = s->b.failed || !v;
    for (size_t i = 0; v && i < l.n; i++) {
        v[i] = l.p[i]->norm_first;
        v[l.n + i] = l.p[i]->norm_median;
        v[2 * l.n + i] = l.p[i]->norm_most;
    }
    if (v && l.n) {
        const struct sc_range r = sc_range_of(v, sizeof *v, 3 * l.n, true);
        struct sc_layer_panel p = {.panel = {.y = sc_scale_fit(true, r.low, r.high),
                                             .x_title = "layer",
                                             .y_title = "length of the stream (L2 norm)",
                                             .zero_y = r.zeros > 0},
                                   .n = l.n,
                                   .label = put_label,
                                   .ctx = &l,
                                   .before = before_layers(&l)};
        const double top = sc_svg_legend(s, 0, 0, s->w, items, SC_COUNT(items));
        const double h = SC_MIN(SC_MAX(s->w * 0.42, 300), 400);
        sc_layer_panel_draw(s, &p, &(struct sc_box){0, top, s->w, h});
        s->h = top + h;
        for (size_t k = SC_COUNT(items); k-- > 0;)
            sc_layer_line_draw(s, &p,
                               &(struct sc_layer_line){items[k].text, items[k].ink, items[k].shape,
                                                       v + k * l.n, k == 2});
        note_nonfinite(s, &l, "stream");
    }
    const bool any = v && l.n;
    free(v);
    free(l.p);
    return any;
}

const struct sc_picture_kind sc_activation_kinds[] = {
    {"maxima", "Largest activations along the layers",
     "The value of the largest size in each layer, with its sign. A single bar that leaves the "
     "others in what goes into a down projection (down_in) and in what comes out of it (down_out) "
     "is how a super weight shows.",
     "Nothing was measured in a layer.", NULL, NULL, draw_maxima},
    {"norms", "Length of the stream",
     "The norm of the residual stream behind each layer; \"in\" is the embedding. Massive "
     "activations make that of single tokens, often the first, hundreds of times longer than "
     "that of the others.",
     "The stream was not measured: take --hook residual.", NULL, NULL, draw_norms},
    {"box", "Spread of the activations, as boxes",
     "The box holds the middle half of all values, the line in it is their median; whiskers reach "
     "from 5 to 95 % (strong) and from 1 to 99 % (thin), dots are the extremes.",
     "Nothing was measured in a layer.", count_hooks, put_hook, draw_boxes},
    {"violin", "Spread of the activations, as violins",
     "Each shape is as wide as values are dense at that height, the line is the median, dots are "
     "the extremes.",
     "Nothing was measured in a layer.", count_hooks, put_hook, draw_violins},
    {"sinks", "Where attention rests",
     "How much of their attention all later tokens give to the first one: mean over the heads, "
     "and the head that gives it most. Below: how spread attention is.",
     "Attention was not measured: take --hook attention.", NULL, NULL, sc_draw_sinks},
    {"attention", "Attention maps",
     "A row a token that looks, a column a token that it looks at; the darker, the more. The "
     "colours are equal steps of the square root.",
     "No map was asked for (--attention LAYER).", sc_count_attention, sc_put_attention,
     sc_draw_attention},
    {"next", "What the model expects next",
     "Probabilities of the likeliest tokens behind the last one.",
     "The model's output was not finite.", NULL, NULL, sc_draw_next},
};
const size_t sc_n_activation_kinds = SC_COUNT(sc_activation_kinds);
