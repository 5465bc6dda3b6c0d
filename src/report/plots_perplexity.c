/* SPDX-License-Identifier: Apache-2.0 */
/* plots_perplexity: how well a model expects a text, window by window. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/pictures_parts.h"
#include "report/plots_forward.h"

enum { COLUMNS = 320 }; /* of a picture; more windows are put together */

struct columns {
    double *each, *so_far; /* (n) perplexity of the column, and of all up to it */
    size_t n, per;         /* windows of a column */
};

static struct columns columns_of(struct sc_svg *s, const struct sc_ppl *p)
{
    struct columns c = {.per = (p->n_windows + COLUMNS - 1) / COLUMNS};
    double nll = 0, scored = 0;

    c.per = SC_MAX(c.per, (size_t)1);
    c.n = (p->n_windows + c.per - 1) / c.per;
    c.each = sc_calloc(2 * SC_MAX(c.n, (size_t)1), sizeof *c.each);
    s->b.failed = s->b.failed || !c.each;
    c.n = c.each ? c.n : 0;
    c.so_far = c.each ? c.each + c.n : NULL;
    for (size_t i = 0; i < c.n; i++) {
        double sum = 0, n = 0;
        for (size_t k = i * c.per; k < SC_MIN((i + 1) * c.per, p->n_windows); k++) {
            sum += p->windows[k].nll;
            n += (double)p->windows[k].scored;
        }
        nll += sum;
        scored += n;
        c.each[i] = n > 0 ? exp(sum / n) : (double)NAN;
        c.so_far[i] = scored > 0 ? exp(nll / scored) : (double)NAN;
    }
    return c;
}

static void put_tip(struct sc_svg *s, const struct sc_ppl *p, const struct columns *c, size_t i)
{
    const size_t first = i * c->per, last = SC_MIN(first + c->per, p->n_windows) - 1;
    const struct sc_ppl_window *w = &p->windows[last];
    struct sc_buf tip = {0};

    if (last > first)
        sc_buf_printf(&tip, "windows %zu to %zu, ", first, last);
    else
        sc_buf_printf(&tip, "window %zu, ", first);
    sc_buf_printf(&tip, "tokens %zu to %zu: perplexity %s", p->windows[first].from,
                  w->from + w->n - 1, sc_value_text(c->each[i]).s);
    sc_buf_printf(&tip, ", up to here %s", sc_value_text(c->so_far[i]).s);
    sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
    s->b.failed = s->b.failed || tip.failed;
    sc_buf_clear(&tip);
}

static void put_label(const void *ctx, size_t column, char text[24])
{
    sc_format_u64(column * ((const struct columns *)ctx)->per, text);
}

static double draw_columns(struct sc_svg *s, const struct sc_ppl *p, const struct columns *c,
                           double top)
{
    const struct sc_range r = sc_range_of(c->each, sizeof *c->each, 2 * c->n, true);
    const bool log = r.high > 20 * r.low;
    const double h = SC_MIN(SC_MAX(s->w * 0.42, 300), 400);
    struct sc_layer_panel panel = {
        .panel = {.y = sc_scale_fit(log, log ? r.low / 2 : 0, r.low <= r.high ? r.high : 1),
                  .x_title = "window",
                  .y_title = log ? "perplexity, logarithmic" : "perplexity"},
        .n = c->n,
        .label = put_label,
        .ctx = c};

    sc_layer_panel_draw(s, &panel, &(struct sc_box){0, top, s->w, h});
    for (size_t i = 0; i < c->n; i++) {
        put_tip(s, p, c, i);
        sc_layer_bar_draw(s, &panel, sc_layer_x(&panel, i), sc_layer_bar(&panel, 1), c->each[i],
                          SC_INK_RAMP0 + 3);
        sc_svg_end_item(s);
    }
    sc_svg_path(s, SC_INK_ORANGE, 2, false);
    for (size_t i = 0; i < c->n; i++)
        sc_svg_to(s, sc_layer_x(&panel, i), sc_panel_y(&panel.panel, c->so_far[i]));
    sc_svg_end_path(s);
    /* So narrow that it is a line, mostly. */
    const double all = exp(p->nll), error = all * p->error;
    const double x[] = {panel.panel.box.x, panel.panel.box.x + panel.panel.box.w};
    const double low = sc_panel_y(&panel.panel, all - error);
    const double high = sc_panel_y(&panel.panel, all + error);
    const double under[] = {low, low}, over[] = {high, high};
    sc_svg_area(s, x, under, over, 2, SC_INK_TEXT);
    sc_svg_line(s, x[0], sc_panel_y(&panel.panel, all), x[1], sc_panel_y(&panel.panel, all),
                SC_INK_TEXT2, 1.5, true);
    return top + h;
}

static bool draw_windows(const void *data, size_t item, struct sc_svg *s)
{
    static const struct sc_legend_item items[] = {
        {SC_INK_RAMP0 + 3, SC_SHAPE_BOX, "a window"},
        {SC_INK_ORANGE, SC_SHAPE_LINE, "all up to here"},
        {SC_INK_TEXT2, SC_SHAPE_DASH, "the whole text, and its standard error"},
    };
    const struct sc_ppl *p = ((const struct sc_ppl_pictures *)data)->ppl;
    struct columns c = columns_of(s, p);

    (void)item;
    if (c.n) {
        s->h = draw_columns(s, p, &c, sc_svg_legend(s, 0, 0, s->w, items, SC_COUNT(items)));
        sc_svg_note(s, "%zu tokens count, in windows of %zu; protocol: %s.", p->scored, p->window,
                    sc_ppl_protocols[p->protocol]);
        if (isfinite(p->nll))
            sc_svg_note(s, "Perplexity %s ± %s.", sc_value_text(exp(p->nll)).s,
                        sc_value_text(exp(p->nll) * p->error).s);
        else
            sc_svg_note(s, "The model's output is not finite on this text: no perplexity. Windows "
                           "where it is not are marked by a cross.");
        if (c.per > 1)
            sc_svg_note(s, "A column is %zu windows.", c.per);
    }
    free(c.each);
    return c.n > 0;
}

const struct sc_picture_kind sc_ppl_picture_kinds[] = {
    {"windows", "Perplexity along the text",
     "A bar is the perplexity of a window, the line that of all windows up to it: where it has "
     "become level, more text would not change the figure much.",
     "There is no window.", NULL, NULL, draw_windows},
    {"formats", "Perplexity in number formats",
     "The perplexity of the text with weights as they are stored (the line) and quantised, on a "
     "logarithmic axis. Whiskers: 95 % of the bootstrap over tokens of the difference from the "
     "model.",
     "Nothing was quantised: take --quantize.", NULL, NULL, sc_draw_ppl_formats},
    {"blocks", "Perplexity against the size of blocks",
     "A grid of few levels over a large block is coarse when one weight of it is large. Lines are "
     "recipes that differ in their blocks alone; the dashed one is the model. Whiskers: 95 % of "
     "the bootstrap over tokens.",
     "It takes recipes with blocks of several sizes, such as --quantize "
     "rtn4:block=16x16,rtn4:block=64x64.",
     NULL, NULL, sc_draw_ppl_blocks},
};
const size_t sc_n_ppl_picture_kinds = SC_COUNT(sc_ppl_picture_kinds);
