/* SPDX-License-Identifier: Apache-2.0 */
/* plots_super: super weights: the activations by which they are found, and where they stand. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/pictures_parts.h"
#include "report/plots_forward.h"

static const struct sc_super_pictures *data_of(const void *data)
{
    return data;
}

static const struct sc_legend_item rounds[] = {
    {SC_INK_BLUE, SC_SHAPE_BOX, "the model"},
    {SC_INK_ORANGE, SC_SHAPE_BOX, "the model, layers with super weights"},
    {SC_INK_AQUA, SC_SHAPE_DIAMOND, "with all that were found zeroed"},
};

/* ----------------------------------------------------------------------------------- maxima --- */
/* One hook along the layers, in the model and in the last round. */
struct course {
    const struct sc_super_maximum **before, **after; /* (n) NULL: not seen */
    size_t n;
    bool any_after;
};

static struct course course_of(struct sc_svg *s, const struct sc_super_list *l, enum sc_hook hook)
{
    struct course c = {0};

    for (size_t i = 0; i < l->n_maxima; i++)
        if (l->maxima[i].hook == hook)
            c.n = SC_MAX(c.n, (size_t)l->maxima[i].layer + 1);
    c.before = sc_calloc(2 * SC_MAX(c.n, (size_t)1), sizeof *c.before);
    s->b.failed = s->b.failed || !c.before;
    c.n = c.before ? c.n : 0;
    c.after = c.before ? c.before + c.n : NULL;
    for (size_t i = 0; c.n && i < l->n_maxima; i++) {
        const struct sc_super_maximum *m = &l->maxima[i];
        if (m->hook != hook)
            continue;
        (m->round ? c.after : c.before)[m->layer] = m;
        c.any_after = c.any_after || m->round;
    }
    return c;
}

static bool holds_one(const struct sc_super_list *l, size_t layer)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->p[i].layer == layer)
            return true;
    return false;
}

static void put_maximum(struct sc_buf *b, const struct sc_super_pictures *d,
                        const struct sc_super_maximum *m)
{
    sc_buf_printf(b, "%s, token %u", sc_value_text((double)m->value).s, (unsigned)m->token);
    if (m->token < d->tokens.n && d->tokens.tokenizer) {
        sc_buf_puts(b, " (");
        sc_put_piece(b, d->tokens.tokenizer, d->tokens.ids[m->token]);
        sc_buf_putc(b, ')');
    }
    sc_buf_printf(b, ", channel %u", (unsigned)m->channel);
    if (m->expert >= 0)
        sc_buf_printf(b, ", expert %d", (int)m->expert);
    else if (m->expert == -2)
        sc_buf_puts(b, ", shared expert");
    if (m->nonfinite)
        sc_buf_printf(b, ", %llu not finite", (unsigned long long)m->nonfinite);
}

static void put_layer_tip(struct sc_svg *s, const struct sc_super_pictures *d,
                          const struct course *c, size_t layer)
{
    struct sc_buf tip = {0};

    sc_buf_printf(&tip, "layer %zu: ", layer);
    if (c->before[layer])
        put_maximum(&tip, d, c->before[layer]);
    if (c->after[layer]) {
        sc_buf_puts(&tip, "; zeroed: ");
        put_maximum(&tip, d, c->after[layer]);
    }
    sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
    s->b.failed = s->b.failed || tip.failed;
    sc_buf_clear(&tip);
}

static void note_nonfinite(struct sc_svg *s, const struct course *c, enum sc_hook hook)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++)
        n += c->before[i] && c->before[i]->nonfinite;
    if (n)
        sc_svg_note(s, "%s: NaN or infinite values in %zu of %zu layers; marked by a cross.",
                    sc_hook_names[hook], n, c->n);
}

static void draw_course(struct sc_svg *s, const struct sc_super_pictures *d, enum sc_hook hook,
                        const char *title, const struct sc_box *box)
{
    struct course c = course_of(s, d->list, hook);
    double low = 0, high = 0;

    for (size_t i = 0; i < 2 * c.n; i++) {
        low = c.before[i] ? SC_MIN(low, (double)c.before[i]->value) : low;
        high = c.before[i] ? SC_MAX(high, (double)c.before[i]->value) : high;
    }
    struct sc_layer_panel p = {.panel = {.title = title,
                                         .y = sc_scale_fit(false, low, high),
                                         .x_title = "layer",
                                         .y_title = "value of the largest size"},
                               .n = c.n};
    sc_layer_panel_draw(s, &p, box);
    for (size_t i = 0; i < c.n; i++) {
        const double x = sc_layer_x(&p, i);
        put_layer_tip(s, d, &c, i);
        if (c.before[i])
            sc_layer_bar_draw(s, &p, x, sc_layer_bar(&p, 1), (double)c.before[i]->value,
                              holds_one(d->list, i) ? SC_INK_ORANGE : SC_INK_BLUE);
        if (c.before[i] && c.before[i]->nonfinite)
            sc_layer_bar_draw(s, &p, x, 1, (double)NAN, SC_INK_CRITICAL);
        if (c.after[i])
            sc_svg_mark(s, SC_SHAPE_DIAMOND, x, sc_panel_y(&p.panel, (double)c.after[i]->value),
                        SC_MIN(SC_MAX(p.step / 4, 1.6), 4), SC_INK_AQUA);
        sc_svg_end_item(s);
    }
    for (size_t i = 0; i < c.n; i++) {
        char name[64];
        if (!c.before[i] || !holds_one(d->list, i))
            continue;
        const double v = (double)c.before[i]->value;
        snprintf(name, sizeof name, "%s %u", hook == SC_HOOK_DOWN_IN ? "column" : "row",
                 (unsigned)c.before[i]->channel);
        sc_svg_label(s, &p.panel.box, sc_layer_x(&p, i), sc_panel_y(&p.panel, v) + (v > 0 ? 7 : -7),
                     3 + sc_layer_bar(&p, 1) / 2, sc_strz(name));
    }
    if (low >= 0 && high <= 0 && c.n)
        sc_svg_note(s, "%s: all values are 0.", sc_hook_names[hook]);
    note_nonfinite(s, &c, hook);
    free(c.before);
}

static void note_found(struct sc_svg *s, const struct sc_super_pictures *d)
{
    if (!d->list->n)
        sc_svg_note(s, "No super weight was found on these tokens.");
}

static bool any_after(const struct sc_super_list *l)
{
    for (size_t i = 0; i < l->n_maxima; i++)
        if (l->maxima[i].round)
            return true;
    return false;
}

static bool draw_maxima(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_super_pictures *d = data_of(data);

    (void)item;
    if (!d->list->n_maxima)
        return false;
    const double top = sc_svg_legend(s, 0, 0, s->w, rounds,
                                     !d->list->n          ? 1
                                     : any_after(d->list) ? 3
                                                          : 2);
    struct sc_rows rows = sc_rows_start(s, top + 6, 2, 330, 280);
    struct sc_box box = sc_rows_next(&rows);
    draw_course(s, d, SC_HOOK_DOWN_IN, "What goes into the down projection", &box);
    box = sc_rows_next(&rows);
    draw_course(s, d, SC_HOOK_DOWN_OUT, "What comes out of it", &box);
    s->h = sc_rows_end(&rows);
    note_found(s, d);
    return true;
}

/* ----------------------------------------------------------------------------------- stream --- */
static bool draw_stream(const void *data, size_t item, struct sc_svg *s)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_BLUE, SC_SHAPE_CIRCLE, "the model"},
        {SC_INK_ORANGE, SC_SHAPE_TRIANGLE, "with all that were found zeroed"},
    };
    const struct sc_super_pictures *d = data_of(data);
    struct course c = course_of(s, d->list, SC_HOOK_RESIDUAL);
    double *v = sc_calloc(2 * SC_MAX(c.n, (size_t)1), sizeof *v);

    (void)item;
    s->b.failed = s->b.failed || !v;
    for (size_t i = 0; v && i < 2 * c.n; i++)
        v[i] = c.before[i] ? fabs((double)c.before[i]->value) : (double)NAN;
    const bool any = v && c.n;
    if (any) {
        const struct sc_range r = sc_range_of(v, sizeof *v, 2 * c.n, true);
        struct sc_layer_panel p = {.panel = {.y = sc_scale_fit(true, r.low, r.high),
                                             .x_title = "layer",
                                             .y_title = "largest size in the stream",
                                             .zero_y = r.zeros > 0},
                                   .n = c.n};
        const double top = sc_svg_legend(s, 0, 0, s->w, items, c.any_after ? 2 : 1);
        const double h = SC_MIN(SC_MAX(s->w * 0.42, 300), 400);
        sc_layer_panel_draw(s, &p, &(struct sc_box){0, top, s->w, h});
        s->h = top + h;
        for (size_t k = c.any_after ? 2 : 1; k-- > 0;)
            sc_layer_line_draw(s, &p,
                               &(struct sc_layer_line){items[k].text, items[k].ink, items[k].shape,
                                                       v + k * c.n, false});
        note_nonfinite(s, &c, SC_HOOK_RESIDUAL);
        note_found(s, d);
    }
    free(v);
    free(c.before);
    return any;
}

/* ---------------------------------------------------------------------------------- weights --- */
enum { STEPS = 8 };

static size_t count_matrices(const void *data)
{
    return data_of(data)->matrices->n;
}

static void put_matrix(const void *data, size_t item, struct sc_buf *out)
{
    const struct sc_super_matrix *m = &data_of(data)->matrices->p[item];

    sc_put_matrix_name(out, m->layer, m->expert, m->kind);
}

static bool is_in(const struct sc_super_matrix *m, const struct sc_super_weight *w)
{
    return m->layer == w->layer && m->expert == w->expert && m->tensor == w->tensor;
}

/* Beyond this colours are full: two of a hundred squares are. */
static double edge_of(struct sc_svg *s, const float *v, size_t n)
{
    double *sizes = sc_calloc(SC_MAX(n, (size_t)1), sizeof *sizes), edge = 0, most = 0;
    size_t used = 0;

    s->b.failed = s->b.failed || !sizes;
    for (size_t i = 0; sizes && i < n; i++)
        if (isfinite(v[i])) {
            sizes[used++] = fabs((double)v[i]);
            most = SC_MAX(most, fabs((double)v[i]));
        }
    if (used)
        edge = sc_select(sizes, used, used - 1 - used / 50);
    free(sizes);
    return edge > 0 ? edge : most;
}

/* -STEPS..STEPS - 1: the side and how strong; INT8_MAX: not finite. */
static int8_t step_of(double v, double edge)
{
    if (!isfinite(v))
        return INT8_MAX;
    const double t = edge > 0 ? SC_MIN(fabs(v) / edge, 1) : 0;
    const int step = SC_MIN((int)(t * STEPS), STEPS - 1);
    return (int8_t)(v < 0 ? -1 - step : step);
}

static double opacity_of(int step)
{
    return 0.05 + 0.95 * step / (STEPS - 1);
}

static void draw_signed(struct sc_svg *s, const struct sc_tiling *t, const float *v, double edge)
{
    sc_svg_grid(s, t->box.x, t->box.y, t->w, t->h);
    for (int k = -STEPS; k <= STEPS; k++) {
        const int wanted = k == STEPS ? INT8_MAX : k;
        bool any = false;
        for (uint64_t i = 0; i < t->n_rows * t->n_cols; i++) {
            if (step_of((double)v[i], edge) != wanted)
                continue;
            if (!any && k == STEPS)
                sc_svg_runs(s, SC_INK_CRITICAL);
            else if (!any)
                sc_svg_faint_runs(s, k < 0 ? SC_INK_BLUE : SC_INK_ORANGE,
                                  opacity_of(k < 0 ? -1 - k : k));
            any = true;
            sc_svg_run(s, i % t->n_cols, i / t->n_cols, 1);
        }
        if (any)
            sc_svg_end_runs(s);
    }
    sc_svg_end_grid(s);
}

static void draw_signed_ramp(struct sc_svg *s, double x, double y, double edge)
{
    char text[80];

    snprintf(text, sizeof text, "≤ -%s", sc_value_text(edge).s);
    sc_svg_textz(s, x, y + 12, SC_START, SC_LOOK_TICK, text);
    x += sc_svg_text_width(sc_strz(text), SC_LOOK_TICK) + 8;
    sc_svg_grid(s, x, y, 11, 15);
    uint64_t col = 0;
    for (int k = -STEPS; k < STEPS; k++) {
        sc_svg_faint_runs(s, k < 0 ? SC_INK_BLUE : SC_INK_ORANGE, opacity_of(k < 0 ? -1 - k : k));
        sc_svg_run(s, col++, 0, 1);
        sc_svg_end_runs(s);
    }
    sc_svg_end_grid(s);
    snprintf(text, sizeof text, "≥ %s", sc_value_text(edge).s);
    sc_svg_textz(s, x + 2 * STEPS * 11 + 8, y + 12, SC_START, SC_LOOK_TICK, text);
}

/* What is under the pointer: a square of the matrix. */
static void put_hovers(struct sc_svg *s, const struct sc_tiling *t, const float *v)
{
    for (uint64_t i = 0; i < t->n_rows * t->n_cols && t->n_rows * t->n_cols <= 2500; i++) {
        const uint64_t row = i / t->n_cols, col = i % t->n_cols;
        const uint64_t from = row * t->by_rows, left = col * t->by_cols;
        char tip[160];
        if (t->by_rows > 1 || t->by_cols > 1)
            snprintf(tip, sizeof tip, "rows %llu to %llu, columns %llu to %llu: %s",
                     (unsigned long long)from,
                     (unsigned long long)SC_MIN(from + t->by_rows, t->down) - 1,
                     (unsigned long long)left,
                     (unsigned long long)SC_MIN(left + t->by_cols, t->across) - 1,
                     sc_value_text((double)v[i]).s);
        else
            snprintf(tip, sizeof tip, "[%llu, %llu]: %s", (unsigned long long)t->first_row + row,
                     (unsigned long long)t->first_col + col, sc_value_text((double)v[i]).s);
        sc_svg_item(s, UINT32_MAX, sc_strz(tip));
        sc_svg_hover(s, t->box.x + (double)col * t->w, t->box.y + (double)row * t->h, t->w, t->h);
        sc_svg_end_item(s);
    }
}

/* Found weights of this matrix that the squares show; circles first, so that names keep out of the
 * way of all of them. */
static void mark_found(struct sc_svg *s, const struct sc_super_pictures *d,
                       const struct sc_super_matrix *m, const struct sc_tiling *t)
{
    const uint64_t row0 = t->first_row, col0 = t->first_col;
    const double h = t->h / (double)t->by_rows, w = t->w / (double)t->by_cols;

    for (int names = 0; names < 2; names++)
        for (size_t i = 0; i < d->list->n; i++) {
            const struct sc_super_weight *f = &d->list->p[i];
            if (!is_in(m, f) || f->row < row0 || f->col < col0 || f->row - row0 >= t->down ||
                f->col - col0 >= t->across)
                continue;
            const double x = t->box.x + ((double)(f->col - col0) + 0.5) * w;
            const double y = t->box.y + ((double)(f->row - row0) + 0.5) * h;
            const double r = SC_MAX(SC_MAX(t->w, t->h) * 0.75, 7);
            char text[96];
            snprintf(text, sizeof text, "[%u, %u] %s", (unsigned)f->row, (unsigned)f->col,
                     sc_value_text((double)f->weight).s);
            if (names) {
                sc_svg_label(s, &(struct sc_box){t->box.x, t->box.y - 4, t->box.w, t->box.h + 4}, x,
                             y, r, sc_strz(text));
                continue;
            }
            sc_svg_item(s, UINT32_MAX, sc_strz(text));
            sc_svg_circle(s, x, y, r, SC_INK_TEXT, 2);
            sc_svg_end_item(s);
            sc_svg_take(s, x - r, y - r, 2 * r, 2 * r);
        }
}

static double draw_squares(struct sc_svg *s, const struct sc_super_pictures *d,
                           const struct sc_super_matrix *m, struct sc_tiling *t, const float *v,
                           struct sc_box box, bool near)
{
    const double edge = edge_of(s, v, (size_t)(t->n_rows * t->n_cols));

    t->first_row = near ? m->near_row : 0;
    t->first_col = near ? m->near_col : 0;
    const double left = sc_tiling_room(t) + 12;
    sc_svg_textz(s, box.x, box.y + 14, SC_START, SC_LOOK_HEAD,
                 near ? "Weights around the largest of them" : "The whole matrix");
    draw_signed_ramp(s, box.x + left, box.y + 26, edge);
    sc_tiling_place(t, box.x + left, box.y + 74, box.w - left - 8, box.h);
    draw_signed(s, t, v, edge);
    sc_tiling_ticks(s, t, d->by_size ? "column (input)" : "column (neuron)",
                    d->by_size ? "row (output)" : "row (channel)");
    put_hovers(s, t, v);
    mark_found(s, d, m, t);
    if (!(edge > 0))
        sc_svg_note(s, "All weights here are 0, or none is finite.");
    return t->box.y + t->box.h + 44;
}

static bool draw_weights(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_super_pictures *d = data_of(data);
    const struct sc_super_matrix *m = &d->matrices->p[item];

    if (!m->rows || !m->cols || !m->squares)
        return false;
    struct sc_tiling whole = sc_tiling_of(m->rows, m->cols, SC_SUPER_SQUARES);
    struct sc_tiling near = sc_tiling_of(m->near_rows, m->near_cols, SC_SUPER_NEAR);
    const bool beside = s->w >= 800;
    const double w = beside ? s->w * 0.56 : s->w;
    const double y =
        draw_squares(s, d, m, &whole, m->squares, (struct sc_box){0, 0, w, 460}, false);
    const struct sc_box box = beside ? (struct sc_box){w + 28, 0, s->w - w - 28, 460}
                                     : (struct sc_box){0, y + 8, s->w, 460};
    const double end = draw_squares(s, d, m, &near, m->near, box, true);
    s->h = SC_MAX(y, end);
    if (whole.by_rows > 1)
        sc_svg_note(s,
                    "A square of the whole matrix, %llu x %llu, is the weight of the largest "
                    "size among %llu x %llu.",
                    (unsigned long long)m->rows, (unsigned long long)m->cols,
                    (unsigned long long)whole.by_rows, (unsigned long long)whole.by_cols);
    if (m->nonfinite)
        sc_svg_note(s, "%llu weights are NaN or infinite; squares with no others are red.",
                    (unsigned long long)m->nonfinite);
    return true;
}

/* ------------------------------------------------------------------------------- histogram --- */
/* Found weights of this matrix at their values; marks first, so that names keep out of their way.
 */
static void mark_values(struct sc_svg *s, const struct sc_super_pictures *d,
                        const struct sc_super_matrix *m, const struct sc_panel *p)
{
    const double y = p->box.y + p->box.h * 0.62, bottom = p->box.y + p->box.h;

    for (int names = 0; names < 2; names++)
        for (size_t i = 0; i < d->list->n; i++) {
            const struct sc_super_weight *w = &d->list->p[i];
            char text[96];
            if (!is_in(m, w))
                continue;
            const double x = sc_panel_x(p, (double)w->weight);
            snprintf(text, sizeof text, "[%u, %u] %s", (unsigned)w->row, (unsigned)w->col,
                     sc_value_text((double)w->weight).s);
            if (names) {
                sc_svg_label(s, &p->box, x, y, 5, sc_strz(text));
                continue;
            }
            sc_svg_line(s, x, y, x, bottom, SC_INK_ORANGE, 1.5, true);
            sc_svg_item(s, UINT32_MAX, sc_strz(text));
            sc_svg_mark(s, SC_SHAPE_DROP, x, y, 5, SC_INK_ORANGE);
            sc_svg_end_item(s);
            sc_svg_take(s, x - 5, y - 5, 10, 10);
        }
}

static bool draw_histogram(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_super_pictures *d = data_of(data);
    const struct sc_super_matrix *m = &d->matrices->p[item];
    uint64_t most = 1;

    if (isnan(m->min))
        return false;
    for (size_t i = 0; i < SC_SUPER_BINS; i++)
        most = SC_MAX(most, m->bins[i]);
    struct sc_panel p = {.x = sc_scale_fit(false, m->min, m->max),
                         .y = sc_scale_fit(true, 1, (double)most),
                         .x_title = "weight",
                         .y_title = "weights in a bin, logarithmic"};
    p.y.low = 0.5; /* one weight alone is seen */
    s->h = SC_MIN(SC_MAX(s->w * 0.42, 300), 400);
    sc_panel_draw(s, &p, &(struct sc_box){0, 0, s->w, s->h});
    const double width = (m->max - m->min) / SC_SUPER_BINS, bottom = p.box.y + p.box.h;
    for (size_t i = 0; i < SC_SUPER_BINS; i++) {
        const double from = m->min + (double)i * width;
        char tip[120];
        if (!m->bins[i])
            continue;
        const double x = sc_panel_x(&p, from), top = sc_panel_y(&p, (double)m->bins[i]);
        const double right = sc_panel_x(&p, i + 1 < SC_SUPER_BINS ? from + width : m->max);
        snprintf(tip, sizeof tip, "%s to %s: %llu", sc_value_text(from).s,
                 sc_value_text(from + width).s, (unsigned long long)m->bins[i]);
        sc_svg_item(s, UINT32_MAX, sc_strz(tip));
        sc_svg_rect(s, x, top, SC_MAX(right - x - 0.6, 1), bottom - top, SC_INK_RAMP0 + 5);
        sc_svg_end_item(s);
        sc_svg_take(s, x, top, SC_MAX(right - x, 1), bottom - top);
    }
    mark_values(s, d, m, &p);
    if (m->nonfinite)
        sc_svg_note(s, "%llu weights are NaN or infinite and are left out.",
                    (unsigned long long)m->nonfinite);
    return true;
}

#define NONE        "No super weight was found on these tokens."
#define NONE_LISTED "No weight is in the list."
#define UNVERIFIED                                                                                 \
    "Nothing was verified: take --verify; where no super weight was found, there is nothing to "   \
    "verify."
#define PERPLEXITY                                                                                 \
    "The perplexity of the text in each variant of the model, on a logarithmic axis; the line is " \
    "the model itself. Whiskers: 95 % of the bootstrap over positions of the difference from "     \
    "the model."
#define DIVERGENCE                                                                                 \
    "The divergence of the model's next token from the variant's, mean over positions, in nats, "  \
    "on a logarithmic axis. What matters is beyond the line: ten times what weights of the same "  \
    "size elsewhere do, and at least 0.01."
#define UNVERIFIED_LISTED "Nothing was verified: take --verify and a text."
const struct sc_picture_kind sc_super_picture_kinds[] = {
    {"maxima", "Largest activations at the down projections",
     "The value of the largest size in each layer, with its sign. A layer that leaves the others "
     "on both sides has a super weight: its column is the channel of the spike that goes in, its "
     "row the channel of the one that comes out.",
     "The model was not run.", NULL, NULL, draw_maxima},
    {"stream", "Largest activation of the stream",
     "A super weight's output stays in the residual stream through all later layers; zeroing the "
     "weight takes it away.",
     "The model was not run.", NULL, NULL, draw_stream},
    {"perplexity", "Perplexity without them", PERPLEXITY, UNVERIFIED, NULL, NULL,
     sc_draw_super_perplexity},
    {"divergence", "Change of what the model says", DIVERGENCE, UNVERIFIED, NULL, NULL,
     sc_draw_super_divergence},
    {"scale", "Perplexity against scale",
     "All found weights times a factor: 0 is without them, 1 is the model. The band holds 95 % of "
     "the bootstrap over positions.",
     UNVERIFIED, NULL, NULL, sc_draw_super_scale},
    {"shift", "Which tokens become likelier",
     "How likely the model says a token is, as it is and with all found weights zeroed, and where "
     "the activations are put back that they had made. Left: mean over all positions. Right: "
     "behind the last token.",
     UNVERIFIED, NULL, NULL, sc_draw_super_shift},
    {"weights", "Where they stand",
     "The down projection that holds them, as rows (channels of the stream) and columns (neurons); "
     "blue is negative, orange positive. Colours are full beyond the size that two of a hundred "
     "squares pass. Circles are super weights.",
     NONE, count_matrices, put_matrix, draw_weights},
    {"histogram", "How large they are",
     "All weights of the matrix in bins of equal width, their numbers on a logarithmic axis.", NONE,
     count_matrices, put_matrix, draw_histogram},
};
const size_t sc_n_super_picture_kinds = SC_COUNT(sc_super_picture_kinds);

/* Of --by magnitude: what needs no text first. */
const struct sc_picture_kind sc_largest_picture_kinds[] = {
    {"weights", "Where they stand",
     "A matrix that holds listed weights, as rows (outputs) and columns (inputs); blue is "
     "negative, "
     "orange positive. Colours are full beyond the size that two of a hundred squares pass. "
     "Circles are listed weights.",
     NONE_LISTED, count_matrices, put_matrix, draw_weights},
    {"histogram", "How large they are",
     "All weights of the matrix in bins of equal width, their numbers on a logarithmic axis.",
     NONE_LISTED, count_matrices, put_matrix, draw_histogram},
    {"perplexity", "Perplexity without them", PERPLEXITY, UNVERIFIED_LISTED, NULL, NULL,
     sc_draw_super_perplexity},
    {"divergence", "Change of what the model says", DIVERGENCE, UNVERIFIED_LISTED, NULL, NULL,
     sc_draw_super_divergence},
    {"scale", "Perplexity against scale",
     "All listed weights times a factor: 0 is without them, 1 is the model. The band holds 95 % of "
     "the bootstrap over positions.",
     UNVERIFIED_LISTED, NULL, NULL, sc_draw_super_scale},
    {"shift", "Which tokens become likelier",
     "How likely the model says a token is, as it is and with all listed weights zeroed. Left: "
     "mean "
     "over all positions. Right: behind the last token.",
     UNVERIFIED_LISTED, NULL, NULL, sc_draw_super_shift},
};
const size_t sc_n_largest_picture_kinds = SC_COUNT(sc_largest_picture_kinds);
