/* SPDX-License-Identifier: Apache-2.0 */
/* plots_effects: what happens without super weights: perplexity, divergence, scales, tokens. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/pictures_parts.h"
#include "report/plots_forward.h"

/* Variants with one weight alone, or all but one, of which so many have a row. */
enum { SINGLES = 16 };

static const struct sc_super_pictures *data_of(const void *data)
{
    return data;
}

void sc_put_matrix_name(struct sc_buf *b, uint32_t layer, int32_t expert, const char *kind)
{
    const char *gap = "";

    if (layer != SC_SUPER_NO_LAYER) {
        sc_buf_printf(b, "layer %u", (unsigned)layer);
        gap = " ";
    }
    if (expert >= 0)
        sc_buf_printf(b, "%sexpert %d", gap, (int)expert);
    else if (expert == -2)
        sc_buf_printf(b, "%sshared expert", gap);
    if (kind)
        sc_buf_printf(b, "%s%s", expert == -1 ? gap : " ", kind);
}

/* ---------------------------------------------------------------------------------- variants ---
 */
static const struct sc_super_weight *put_matrix(struct sc_buf *b, const struct sc_super_list *l,
                                                uint32_t index)
{
    static const struct sc_super_weight none;
    const struct sc_super_weight *w = index < l->n ? &l->p[index] : &none;

    sc_put_matrix_name(b, w->layer, index < l->n ? w->expert : -1, w->kind);
    return w;
}

static void put_weight(struct sc_buf *b, const struct sc_super_list *l, uint32_t index)
{
    const struct sc_super_weight *w = put_matrix(b, l, index);

    sc_buf_printf(b, " [%u, %u]", (unsigned)w->row, (unsigned)w->col);
}

static void put_name(struct sc_buf *b, const struct sc_super_pictures *d,
                     const struct sc_super_effect *x)
{
    switch (x->kind) {
    case SC_SUPER_BASE:
        sc_buf_puts(b, "the model");
        break;
    case SC_SUPER_ALL:
        sc_buf_puts(b, "all zeroed");
        break;
    case SC_SUPER_ALONE:
        sc_buf_puts(b, "zeroed: ");
        put_weight(b, d->list, x->index);
        break;
    case SC_SUPER_WITHOUT:
        sc_buf_puts(b, "kept: ");
        put_weight(b, d->list, x->index);
        break;
    case SC_SUPER_MEAN:
        sc_buf_puts(b, "all set to the mean");
        break;
    case SC_SUPER_SCALED:
        sc_buf_printf(b, "all times %s", sc_value_text(x->factor).s);
        break;
    case SC_SUPER_RESTORED:
        sc_buf_puts(b, "zeroed, stream put back");
        break;
    case SC_SUPER_NULL:
        sc_buf_printf(b, "others of this size, %u", (unsigned)x->index + 1);
        break;
    case SC_SUPER_COLUMN:
        sc_buf_puts(b, "zeroed: ");
        sc_buf_printf(b, " column %u", (unsigned)put_matrix(b, d->list, x->index)->col);
        break;
    case SC_SUPER_ROW:
        sc_buf_puts(b, "zeroed: ");
        sc_buf_printf(b, " row %u", (unsigned)put_matrix(b, d->list, x->index)->row);
        break;
    case SC_SUPER_EXPERT:
        sc_buf_puts(b, "zeroed: all of ");
        put_matrix(b, d->list, x->index);
        break;
    case SC_SUPER_KINDS:
        break;
    }
}

/* The variants that have a row, in their order. Scales have a picture of their own. */
struct rows {
    const struct sc_super_effect **p;
    struct sc_buf *text;
    struct sc_str *names;
    size_t n, left_out;
};

static struct rows rows_of(struct sc_svg *s, const struct sc_super_pictures *d)
{
    const struct sc_super_effects *x = d->effects;
    struct rows r = {.p = sc_calloc(SC_MAX(x->n, (size_t)1), sizeof *r.p),
                     .text = sc_calloc(SC_MAX(x->n, (size_t)1), sizeof *r.text),
                     .names = sc_calloc(SC_MAX(x->n, (size_t)1), sizeof *r.names)};

    if (!r.p || !r.text || !r.names) {
        s->b.failed = true;
        return r;
    }
    for (size_t i = 0; i < x->n; i++) {
        const bool single = x->p[i].kind == SC_SUPER_ALONE || x->p[i].kind == SC_SUPER_WITHOUT;
        if (x->p[i].kind == SC_SUPER_SCALED)
            continue;
        if (single && x->p[i].index >= SINGLES) {
            r.left_out++;
            continue;
        }
        struct sc_buf *b = &r.text[r.n];
        put_name(b, d, &x->p[i]);
        s->b.failed = s->b.failed || b->failed;
        r.names[r.n] = sc_str(b->p ? b->p : "", b->n);
        r.p[r.n++] = &x->p[i];
    }
    return r;
}

static void free_rows(struct sc_svg *s, struct rows *r)
{
    if (r->left_out)
        sc_svg_note(s, "%zu more variants with single weights are in the table.", r->left_out);
    for (size_t i = 0; i < r->n; i++)
        sc_buf_clear(&r->text[i]);
    free(r->p);
    free(r->text);
    free(r->names);
}

static enum sc_ink ink_of(const struct sc_super_effect *x)
{
    return x->kind == SC_SUPER_BASE       ? SC_INK_BLUE
           : x->kind == SC_SUPER_NULL     ? SC_INK_OTHER
           : x->kind == SC_SUPER_RESTORED ? SC_INK_AQUA
                                          : SC_INK_ORANGE;
}

static void start_tip(struct sc_svg *s, struct sc_str name, const struct sc_super_effect *x)
{
    struct sc_buf tip = {0};

    sc_buf_put(&tip, name.p, name.n);
    sc_buf_printf(&tip, ": perplexity %s", sc_value_text(exp(x->nll)).s);
    sc_buf_printf(&tip, ", NLL %s", sc_value_text(x->nll).s);
    if (x->kind != SC_SUPER_BASE) {
        sc_buf_printf(&tip, ", difference %s", sc_value_text(x->low).s);
        sc_buf_printf(&tip, " to %s (95 %%)", sc_value_text(x->high).s);
        sc_buf_printf(&tip, ", KL %s", sc_value_text(x->kl).s);
        sc_buf_printf(&tip, ", same likeliest token %s", sc_value_text(x->agree).s);
    }
    sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
    s->b.failed = s->b.failed || tip.failed;
    sc_buf_clear(&tip);
}

bool sc_draw_super_perplexity(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_super_pictures *d = data_of(data);

    (void)item;
    if (!d->effects->n)
        return false;
    struct rows r = rows_of(s, d);
    double low = INFINITY, high = -INFINITY;
    const double base = d->effects->p[0].nll;
    for (size_t i = 0; i < r.n; i++) {
        const double ends[] = {exp(r.p[i]->nll), exp(base + r.p[i]->low), exp(base + r.p[i]->high)};
        for (size_t k = 0; k < SC_COUNT(ends); k++)
            if (isfinite(ends[k])) {
                low = SC_MIN(low, ends[k]);
                high = SC_MAX(high, ends[k]);
            }
    }
    struct sc_row_panel p = {
        .panel = {.x = sc_scale_fit(true, low / 1.2, high), .x_title = "perplexity"}};
    s->h = sc_row_panel_draw(s, &p, 0, 0, s->w, r.names, r.n);
    for (size_t i = 0; i < r.n; i++) {
        const bool model = r.p[i]->kind == SC_SUPER_BASE;
        start_tip(s, r.names[i], r.p[i]);
        sc_row_bar_draw(s, &p, sc_row_y(&p, i), 13,
                        &(struct sc_row_bar){exp(r.p[i]->nll), model ? 1 : exp(base + r.p[i]->low),
                                             model ? 0 : exp(base + r.p[i]->high), ink_of(r.p[i])});
        sc_svg_end_item(s);
    }
    const double x = sc_panel_x(&p.panel, exp(base));
    sc_svg_line(s, x, p.panel.box.y, x, p.panel.box.y + p.panel.box.h, SC_INK_TEXT2, 1.5, true);
    if (!isfinite(base))
        sc_svg_note(s, "The perplexity of the model is not finite on these tokens, or there is "
                       "only one of them.");
    free_rows(s, &r);
    return true;
}

bool sc_draw_super_divergence(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_super_pictures *d = data_of(data);

    (void)item;
    if (!d->effects->n)
        return false;
    struct rows r = rows_of(s, d);
    double null = 0, low = INFINITY, high = 0;
    for (size_t i = 0; i < r.n; i++) {
        const double kl = r.p[i]->kl;
        if (r.p[i]->kind == SC_SUPER_NULL && kl > null)
            null = kl;
        if (!isfinite(kl) || kl <= 0)
            continue;
        low = SC_MIN(low, kl);
        high = SC_MAX(high, kl);
    }
    const double least = SC_MAX(10 * null, 0.01);
    struct sc_row_panel p = {
        .panel = {.x = sc_scale_fit(true, SC_MIN(low, least) / 2, SC_MAX(high, least)),
                  .x_title = "KL divergence, nats"}};
    s->h = sc_row_panel_draw(s, &p, 0, 0, s->w, r.names, r.n);
    for (size_t i = 0; i < r.n; i++) {
        start_tip(s, r.names[i], r.p[i]);
        if (r.p[i]->kind != SC_SUPER_BASE)
            sc_row_bar_draw(s, &p, sc_row_y(&p, i), 13,
                            &(struct sc_row_bar){r.p[i]->kl, 1, 0, ink_of(r.p[i])});
        sc_svg_end_item(s);
    }
    const double x = sc_panel_x(&p.panel, least);
    sc_svg_line(s, x, p.panel.box.y, x, p.panel.box.y + p.panel.box.h, SC_INK_TEXT2, 1.5, true);
    sc_svg_note(s, "The line is at %s. All together: %s.", sc_value_text(least).s,
                d->effects->label);
    free_rows(s, &r);
    return true;
}

/* ------------------------------------------------------------------------------------ scales ---
 */
static double factor_of(const struct sc_super_effect *x)
{
    return x->kind == SC_SUPER_BASE     ? 1
           : x->kind == SC_SUPER_ALL    ? 0
           : x->kind == SC_SUPER_SCALED ? x->factor
                                        : (double)NAN;
}

static int by_factor(const void *a, const void *b)
{
    const double x = factor_of(*(const struct sc_super_effect *const *)a);
    const double y = factor_of(*(const struct sc_super_effect *const *)b);

    return (x > y) - (x < y);
}

static void draw_scale(struct sc_svg *s, const struct sc_super_effect **e, size_t n, double base,
                       bool by_size)
{
    enum { MOST = 64 };
    double x[MOST], low[MOST], high[MOST], least = INFINITY, most = -INFINITY;

    n = SC_MIN(n, (size_t)MOST);
    for (size_t i = 0; i < n; i++) {
        low[i] = exp(base + e[i]->low);
        high[i] = exp(base + e[i]->high);
        least = fmin(least, fmin(exp(e[i]->nll), low[i]));
        most = fmax(most, fmax(exp(e[i]->nll), high[i]));
    }
    struct sc_panel p = {.x = sc_scale_fit(false, 0, n ? factor_of(e[n - 1]) : 1),
                         .y = sc_scale_fit(most > 4 * least, least, most),
                         .x_title =
                             by_size ? "all listed weights times" : "all found weights times",
                         .y_title = most > 4 * least ? "perplexity, logarithmic" : "perplexity"};
    s->h = SC_MIN(SC_MAX(s->w * 0.45, 300), 420);
    sc_panel_draw(s, &p, &(struct sc_box){0, 0, s->w, s->h});
    sc_panel_guide(s, &p, true, exp(base), "the model", SC_INK_TEXT2);
    for (size_t i = 0; i < n; i++) {
        x[i] = sc_panel_x(&p, factor_of(e[i]));
        low[i] = sc_panel_y(&p, low[i]);
        high[i] = sc_panel_y(&p, high[i]);
    }
    sc_svg_area(s, x, low, high, n, SC_INK_BLUE);
    sc_svg_path(s, SC_INK_BLUE, 2, false);
    for (size_t i = 0; i < n; i++)
        sc_svg_to(s, x[i], sc_panel_y(&p, exp(e[i]->nll)));
    sc_svg_end_path(s);
    for (size_t i = 0; i < n; i++) {
        struct sc_buf tip = {0};
        sc_buf_printf(&tip, "times %s", sc_value_text(factor_of(e[i])).s);
        sc_buf_printf(&tip, ": perplexity %s", sc_value_text(exp(e[i]->nll)).s);
        sc_buf_printf(&tip, ", 95 %%: %s", sc_value_text(exp(base + e[i]->low)).s);
        sc_buf_printf(&tip, " to %s", sc_value_text(exp(base + e[i]->high)).s);
        sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
        sc_svg_mark(s, e[i]->kind == SC_SUPER_BASE ? SC_SHAPE_RING : SC_SHAPE_CIRCLE, x[i],
                    sc_panel_y(&p, exp(e[i]->nll)), 4.5, SC_INK_BLUE);
        sc_svg_end_tip(s, &tip);
    }
    if (!isfinite(least) || !isfinite(most))
        sc_svg_note(s, "No perplexity is finite, or there is only one token.");
}

bool sc_draw_super_scale(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_super_effects *x = data_of(data)->effects;
    const struct sc_super_effect **e = sc_calloc(SC_MAX(x->n, (size_t)1), sizeof *e);
    size_t n = 0;

    (void)item;
    s->b.failed = s->b.failed || !e;
    for (size_t i = 0; e && i < x->n; i++)
        if (!isnan(factor_of(&x->p[i])))
            e[n++] = &x->p[i];
    if (n > 1) {
        sc_sort(e, n, sizeof *e, by_factor);
        draw_scale(s, e, n, x->p[0].nll, data_of(data)->by_size);
    }
    free(e);
    return n > 1;
}

/* ------------------------------------------------------------------------------------- shift ---
 */
enum { SHOWN = 12 };

static void values_of(const struct sc_super_token *t, bool last, double v[3])
{
    v[0] = last ? t->last_base : t->base;
    v[1] = last ? t->last_all : t->all;
    v[2] = last ? t->last_restored : t->restored;
}

/* Those that are likeliest in the model or without super weights, in the order of the model. */
static size_t choose(const struct sc_super_effects *x, bool last,
                     const struct sc_super_token *out[SHOWN])
{
    bool taken[4 * SC_SUPER_TOKENS] = {false};
    size_t n = 0;

    for (size_t side = 0; side < 2; side++)
        for (size_t k = 0; k < SHOWN / 2; k++) {
            size_t best = SIZE_MAX;
            double most = -1;
            for (size_t i = 0; i < x->n_tokens && i < SC_COUNT(taken); i++) {
                double v[3];
                values_of(&x->tokens[i], last, v);
                if (!taken[i] && v[side] > most) {
                    most = v[side];
                    best = i;
                }
            }
            if (best == SIZE_MAX)
                break;
            taken[best] = true;
        }
    for (size_t i = 0; i < x->n_tokens && i < SC_COUNT(taken) && n < SHOWN; i++)
        if (taken[i])
            out[n++] = &x->tokens[i];
    for (size_t i = 1; i < n; i++) /* by the model's, stable */
        for (size_t k = i; k > 0; k--) {
            double a[3], b[3];
            values_of(out[k - 1], last, a);
            values_of(out[k], last, b);
            if (!(b[0] > a[0]))
                break;
            const struct sc_super_token *swap = out[k];
            out[k] = out[k - 1];
            out[k - 1] = swap;
        }
    return n;
}

static double draw_shift(struct sc_svg *s, const struct sc_super_pictures *d, bool last, double x,
                         double y, double w)
{
    const struct sc_super_token *t[SHOWN];
    struct sc_buf text[SHOWN] = {{0}};
    struct sc_str names[SHOWN];
    const size_t n = choose(d->effects, last, t);
    double high = 0, v[3];

    for (size_t i = 0; i < n; i++) {
        sc_put_piece(&text[i], d->tokens.tokenizer, t[i]->id);
        names[i] = sc_str(text[i].p ? text[i].p : "", text[i].n);
        values_of(t[i], last, v);
        for (size_t k = 0; k < 3; k++)
            high = isfinite(v[k]) ? SC_MAX(high, v[k]) : high;
    }
    struct sc_row_panel p = {
        .panel = {.title = last ? "Behind the last token" : "Mean over all positions",
                  .x = sc_scale_fit(false, 0, high),
                  .x_title = "probability"}};
    const double end = sc_row_panel_draw(s, &p, x, y, w, names, n);
    for (size_t i = 0; i < n; i++) {
        struct sc_buf tip = {0};
        const double at = sc_row_y(&p, i);
        values_of(t[i], last, v);
        sc_buf_put(&tip, names[i].p, names[i].n);
        sc_buf_printf(&tip, " (%u): %s", (unsigned)t[i]->id, sc_value_text(v[0]).s);
        sc_buf_printf(&tip, ", zeroed %s", sc_value_text(v[1]).s);
        if (!d->by_size)
            sc_buf_printf(&tip, ", put back %s", sc_value_text(v[2]).s);
        sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
        sc_row_bar_draw(s, &p, at - 4, 7, &(struct sc_row_bar){v[0], 1, 0, SC_INK_BLUE});
        sc_row_bar_draw(s, &p, at + 4, 7, &(struct sc_row_bar){v[1], 1, 0, SC_INK_ORANGE});
        if (!d->by_size)
            sc_svg_mark(s, SC_SHAPE_DIAMOND, sc_panel_x(&p.panel, v[2]), at, 3.5, SC_INK_AQUA);
        sc_svg_end_tip(s, &tip);
    }
    for (size_t i = 0; i < n; i++) {
        s->b.failed = s->b.failed || text[i].failed;
        sc_buf_clear(&text[i]);
    }
    return end;
}

bool sc_draw_super_shift(const void *data, size_t item, struct sc_svg *s)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_BLUE, SC_SHAPE_BOX, "the model"},
        {SC_INK_ORANGE, SC_SHAPE_BOX, "all zeroed"},
        {SC_INK_AQUA, SC_SHAPE_DIAMOND, "zeroed, stream put back"},
    };
    const struct sc_super_pictures *d = data_of(data);

    (void)item;
    if (!d->effects->n_tokens)
        return false;
    const double top = sc_svg_legend(s, 0, 0, s->w, items, d->by_size ? 2 : 3) + 6;
    const bool beside = s->w >= 700;
    const double w = beside ? (s->w - 28) / 2 : s->w;
    const double end = draw_shift(s, d, false, 0, top, w);
    s->h = draw_shift(s, d, true, beside ? w + 28 : 0, beside ? top : end + 10, w);
    s->h = SC_MAX(s->h, end);
    if (d->tokens.n == 1)
        sc_svg_note(s, "There is one token.");
    return true;
}
