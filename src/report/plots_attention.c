/* SPDX-License-Identifier: Apache-2.0 */
/* plots_attention: where attention goes, and what the model expects next. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/pictures_parts.h"
#include "report/plots_forward.h"

/* Squares a side; what has more tokens is shrunk. Names of tokens, and numbers of single squares,
 * are there while there are few. */
enum { SQUARES = 96, NAMED = 48, SINGLE = 32 };

static const struct sc_activation_pictures *data_of(const void *data)
{
    return data;
}

/* ------------------------------------------------------------------------------------- sinks ---
 */
static double draw_lines(struct sc_svg *s, const struct sc_activations *a, double y, bool entropy)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_BLUE, SC_SHAPE_CIRCLE, "mean of the heads"},
        {SC_INK_ORANGE, SC_SHAPE_TRIANGLE, "the head with most"},
    };
    const size_t n = a->n_sinks, lines = entropy ? 1 : 2;
    double *v = sc_calloc(2 * SC_MAX(n, (size_t)1), sizeof *v), high = entropy ? 0 : 1;

    s->b.failed = s->b.failed || !v;
    for (size_t i = 0; v && i < n; i++) {
        v[i] = entropy ? a->sinks[i].entropy : a->sinks[i].mass;
        v[n + i] = a->sinks[i].most;
        high = entropy && v[i] > high ? v[i] : high;
    }
    struct sc_layer_panel p = {
        .panel = {.y = entropy ? sc_scale_fit(false, 0, high) : (struct sc_scale){.high = 1},
                  .x_title = "layer",
                  .y_title = entropy ? "entropy of attention, nats"
                                     : "share of attention that goes to the first token"},
        .n = n};
    const double h = SC_MIN(SC_MAX(s->w * 0.32, 230), 300);
    if (!entropy)
        y += sc_svg_legend(s, 0, y, s->w, items, SC_COUNT(items));
    sc_layer_panel_draw(s, &p, &(struct sc_box){0, y, s->w, h});
    for (size_t k = lines; v && k-- > 0;)
        sc_layer_line_draw(s, &p,
                           &(struct sc_layer_line){entropy ? "entropy" : items[k].text,
                                                   entropy ? SC_INK_AQUA : items[k].ink,
                                                   items[k].shape, v + k * n, false});
    free(v);
    return y + h + 8;
}

bool sc_draw_sinks(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_activations *a = data_of(data)->a;

    (void)item;
    if (!a->n_sinks)
        return false;
    s->h = draw_lines(s, a, draw_lines(s, a, 0, false), true);
    if (data_of(data)->tokens.n == 1)
        sc_svg_note(s, "There is one token: it can look at nothing but itself.");
    return true;
}

/* ------------------------------------------------------------------------------------- maps --- */
size_t sc_count_attention(const void *data)
{
    return data_of(data)->a->n_maps;
}

void sc_put_attention(const void *data, size_t item, struct sc_buf *out)
{
    const struct sc_attention_map *m = &data_of(data)->a->maps[item];

    sc_buf_printf(out, "layer %u", (unsigned)m->layer);
    if (m->head >= 0)
        sc_buf_printf(out, " head %d", (int)m->head);
}

/* The largest of what a square stands for: a sink is a single column. */
static double square_of(const struct sc_attention_map *m, const struct sc_tiling *t, uint64_t row,
                        uint64_t col)
{
    double most = 0;
    bool good = true;

    for (uint64_t q = row * t->by_rows; q < SC_MIN((row + 1) * t->by_rows, t->down); q++)
        for (uint64_t k = col * t->by_cols; k < SC_MIN((col + 1) * t->by_cols, t->across); k++) {
            const double v = m->p[q * m->n + k];
            good = good && isfinite(v);
            most = v > most ? v : most;
        }
    return good ? most : (double)NAN;
}

static void draw_squares(struct sc_svg *s, const struct sc_attention_map *m,
                         const struct sc_tiling *t)
{
    enum sc_ink inks[SC_RAMP_STEPS];
    int8_t *index = sc_calloc((size_t)(t->n_rows * t->n_cols), 1);
    bool odd = false;

    s->b.failed = s->b.failed || !index;
    for (size_t i = 0; i < SC_RAMP_STEPS; i++)
        inks[i] = (enum sc_ink)(SC_INK_RAMP0 + i);
    for (uint64_t i = 0; index && i < t->n_rows * t->n_cols; i++) {
        const uint64_t row = i / t->n_cols, col = i % t->n_cols;
        const double v = square_of(m, t, row, col);
        odd = odd || isnan(v);
        /* what lies behind a token is not seen by it */
        const bool seen = col * t->by_cols <= SC_MIN((row + 1) * t->by_rows, t->down) - 1;
        index[i] = SC_SQUARE_NONE;
        if (seen && !isnan(v))
            index[i] = (int8_t)SC_MIN((int)(sqrt(v) * SC_RAMP_STEPS), SC_RAMP_STEPS - 1);
    }
    if (index)
        sc_tiling_squares(s, t, index, inks, SC_RAMP_STEPS, SC_INK_GRID);
    sc_tiling_mesh(s, t);
    if (odd)
        sc_svg_note(s, "Where attention is not finite, squares are grey.");
    free(index);
}

static void put_token(struct sc_buf *b, const struct sc_picture_tokens *t, size_t at)
{
    sc_buf_printf(b, "%zu", at);
    if (at < t->n && t->tokenizer) {
        sc_buf_puts(b, " (");
        sc_put_piece(b, t->tokenizer, t->ids[at]);
        sc_buf_putc(b, ')');
    }
}

/* The three keys that a query looks at most. */
static void put_top(struct sc_buf *b, const struct sc_picture_tokens *t,
                    const struct sc_attention_map *m, size_t q)
{
    size_t taken[3] = {SIZE_MAX, SIZE_MAX, SIZE_MAX};

    for (size_t i = 0; i < 3 && i <= q; i++) {
        size_t best = SIZE_MAX;
        for (size_t k = 0; k <= q; k++)
            if (k != taken[0] && k != taken[1] && isfinite(m->p[q * m->n + k]) &&
                (best == SIZE_MAX || m->p[q * m->n + k] > m->p[q * m->n + best]))
                best = k;
        if (best == SIZE_MAX)
            break;
        taken[i] = best;
        sc_buf_puts(b, i ? "; " : ": ");
        put_token(b, t, best);
        sc_buf_printf(b, " %s", sc_value_text(m->p[q * m->n + best]).s);
    }
}

static void draw_hovers(struct sc_svg *s, const struct sc_picture_tokens *t,
                        const struct sc_attention_map *m, const struct sc_tiling *g)
{
    const double h = g->h / (double)g->by_rows, w = g->w / (double)g->by_cols;

    for (size_t q = 0; q < m->n; q++) {
        const size_t cells = m->n <= SINGLE ? q + 1 : 1;
        for (size_t k = 0; k < cells; k++) {
            struct sc_buf tip = {0};
            sc_buf_puts(&tip, "token ");
            put_token(&tip, t, q);
            if (m->n <= SINGLE) {
                sc_buf_puts(&tip, " looks at ");
                put_token(&tip, t, k);
                sc_buf_printf(&tip, ": %s", sc_value_text(m->p[q * m->n + k]).s);
            } else {
                put_top(&tip, t, m, q);
            }
            sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
            sc_svg_hover(s, g->box.x + (double)k * w, g->box.y + (double)q * h,
                         m->n <= SINGLE ? w : g->box.w, h);
            sc_svg_end_tip(s, &tip);
        }
    }
}

/* Tokens at the left, while each has a line. */
static double name_room(const struct sc_picture_tokens *t, const struct sc_attention_map *m,
                        double w, struct sc_buf *names)
{
    double room = 0;

    for (size_t i = 0; i < m->n && i < t->n; i++) {
        sc_put_piece(&names[i], t->tokenizer, t->ids[i]);
        room = SC_MAX(room, sc_svg_text_width(sc_str(names[i].p ? names[i].p : "", names[i].n),
                                              SC_LOOK_LABEL));
    }
    return SC_MIN(room + 30, w * 0.35);
}

bool sc_draw_attention(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_attention_map *m = &data_of(data)->a->maps[item];
    const struct sc_picture_tokens *t = &data_of(data)->tokens;
    struct sc_buf names[NAMED] = {{0}};

    if (!m->heads || !m->n)
        return false;
    struct sc_tiling g = sc_tiling_of(m->n, m->n, SQUARES);
    const bool named = m->n <= NAMED && t->n == m->n && t->tokenizer;
    const double left = named ? name_room(t, m, s->w, names) : sc_tiling_room(&g) + 8;
    sc_draw_ramp(s, left, 0, "0", "1");
    sc_tiling_place(&g, left, 56, s->w - left - 8, SC_MIN(s->w * 0.8, 640));
    draw_squares(s, m, &g);
    if (named) { /* names take the place of numbers at the left */
        struct sc_tiling below = g;
        below.down = 0;
        sc_tiling_ticks(s, &below, "token that is looked at", "token that looks");
        for (size_t i = 0; i < m->n && g.h >= 10; i++)
            sc_svg_text(s, left - 7, g.box.y + ((double)i + 0.5) * g.h + 4, SC_END, SC_LOOK_LABEL,
                        sc_str(names[i].p ? names[i].p : "", names[i].n), left - 10);
    } else {
        sc_tiling_ticks(s, &g, "token that is looked at", "token that looks");
    }
    draw_hovers(s, t, m, &g);
    s->h = g.box.y + g.box.h + 44;
    if (m->head < 0)
        sc_svg_note(s, "The mean of %zu head%s.", m->heads, m->heads == 1 ? "" : "s");
    if (g.by_rows > 1)
        sc_svg_note(s, "One square stands for %llu x %llu pairs of tokens: the largest of them.",
                    (unsigned long long)g.by_rows, (unsigned long long)g.by_cols);
    for (size_t i = 0; i < NAMED; i++) {
        s->b.failed = s->b.failed || names[i].failed;
        sc_buf_clear(&names[i]);
    }
    return true;
}

/* -------------------------------------------------------------------------------- next token ---
 */
bool sc_draw_next(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_activations *a = data_of(data)->a;
    struct sc_buf text[SC_NEXT_TOKENS] = {{0}};
    struct sc_str names[SC_NEXT_TOKENS];
    double high = 0;
    const size_t n = a->n_next;

    (void)item;
    for (size_t i = 0; i < n; i++) {
        sc_put_piece(&text[i], data_of(data)->tokens.tokenizer, a->next[i].id);
        names[i] = sc_str(text[i].p ? text[i].p : "", text[i].n);
        if (isfinite(a->next[i].probability))
            high = SC_MAX(high, a->next[i].probability);
    }
    struct sc_row_panel p = {
        .panel = {.x = sc_scale_fit(false, 0, high), .x_title = "probability"}};
    s->h = n ? sc_row_panel_draw(s, &p, 0, 0, s->w, names, n) : 0;
    for (size_t i = 0; i < n; i++) {
        struct sc_buf tip = {0};
        sc_buf_put(&tip, names[i].p, names[i].n);
        sc_buf_printf(&tip, " (%u): probability %s, logit %s", (unsigned)a->next[i].id,
                      sc_value_text(a->next[i].probability).s,
                      sc_value_text((double)a->next[i].logit).s);
        sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
        sc_row_bar_draw(s, &p, sc_row_y(&p, i), 13,
                        &(struct sc_row_bar){a->next[i].probability, 1, 0, SC_INK_BLUE});
        sc_svg_end_tip(s, &tip);
    }
    for (size_t i = 0; i < n; i++) {
        s->b.failed = s->b.failed || text[i].failed;
        sc_buf_clear(&text[i]);
    }
    return n > 0 && high > 0;
}
