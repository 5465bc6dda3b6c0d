/* SPDX-License-Identifier: Apache-2.0 */
/* plots_formats: what a model expects of a text when its weights are quantised: format by format,
 * and against the size of the blocks that share a grid (Yu et al., arXiv 2411.07191, figure 7). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/pictures_parts.h"
#include "report/plots_forward.h"

static const struct sc_ppl_pictures *data_of(const void *data)
{
    return data;
}

static const struct sc_effect *effect_of(const struct sc_ppl_pictures *d, size_t format)
{
    return &d->ppl->effects[format + 1]; /* the first one is the model */
}

static void put_tip(struct sc_svg *s, const char *name, const struct sc_effect *x, bool model)
{
    const double base = x->nll;
    struct sc_buf tip = {0};

    sc_buf_printf(&tip, "%s: perplexity %s", name, sc_value_text(exp(base)).s);
    if (!model) {
        sc_buf_printf(&tip, ", NLL difference %s", sc_value_text(x->low).s);
        sc_buf_printf(&tip, " to %s (95 %%)", sc_value_text(x->high).s);
        sc_buf_printf(&tip, ", KL %s", sc_value_text(x->kl).s);
        sc_buf_printf(&tip, ", same likeliest token %s", sc_value_text(x->agree).s);
    }
    sc_svg_item(s, UINT32_MAX, sc_str(tip.p ? tip.p : "", tip.n));
    s->b.failed = s->b.failed || tip.failed;
    sc_buf_clear(&tip);
}

/* Perplexities of some effects, with their intervals. */
static void stretch(struct sc_range *r, const struct sc_effect *x, double base)
{
    const double ends[] = {exp(x->nll), exp(base + x->low), exp(base + x->high)};

    for (size_t i = 0; i < SC_COUNT(ends); i++)
        if (isfinite(ends[i])) {
            r->low = SC_MIN(r->low, ends[i]);
            r->high = SC_MAX(r->high, ends[i]);
        }
}

/* --------------------------------------------------------------------------------- formats --- */

bool sc_draw_ppl_formats(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_ppl_pictures *d = data_of(data);
    const size_t n = d->ppl->n_effects;
    struct sc_range r = {.low = INFINITY, .high = -INFINITY};

    (void)item;
    if (n < 2)
        return false;
    struct sc_str *names = sc_calloc(n, sizeof *names);
    s->b.failed = s->b.failed || !names;
    const double base = d->ppl->effects[0].nll;
    for (size_t i = 0; names && i < n; i++) {
        names[i] = sc_strz(i ? d->formats[i - 1].name : "as stored");
        stretch(&r, &d->ppl->effects[i], base);
    }
    struct sc_row_panel p = {
        .panel = {.x = sc_scale_fit(true, r.low / 1.2, r.high), .x_title = "perplexity"}};
    s->h = sc_row_panel_draw(s, &p, 0, 0, s->w, names, names ? n : 0);
    for (size_t i = 0; names && i < n; i++) {
        const struct sc_effect *x = &d->ppl->effects[i];
        put_tip(s, names[i].p, x, i == 0);
        sc_row_bar_draw(s, &p, sc_row_y(&p, i), 13,
                        &(struct sc_row_bar){exp(x->nll), i ? exp(base + x->low) : 1,
                                             i ? exp(base + x->high) : 0,
                                             i ? SC_INK_ORANGE : SC_INK_BLUE});
        sc_svg_end_item(s);
    }
    if (isfinite(base)) {
        const double x = sc_panel_x(&p.panel, exp(base));
        sc_svg_line(s, x, p.panel.box.y, x, p.panel.box.y + p.panel.box.h, SC_INK_TEXT2, 1.5, true);
    }
    free(names);
    return true;
}

/* ---------------------------------------------------------------------------------- blocks --- */
enum { NAME = 64 };
struct blocks {
    const struct sc_recipe *columns[SC_QUANTIZED_MOST]; /* an example of each block */
    size_t n_columns;
    char names[SC_QUANTIZED_MOST][NAME]; /* recipes without their blocks: a line each */
    size_t n_lines;
    size_t at[SC_QUANTIZED_MOST][SC_QUANTIZED_MOST]; /* [line][column]: format + 1; 0: none */
};

/* Small ones first, and behind all whose size is known those that are as long as the matrix. */
static int by_block(const void *a, const void *b)
{
    static const uint8_t order[] = {[SC_RECIPE_FLAT] = 0,
                                    [SC_RECIPE_TILE] = 0,
                                    [SC_RECIPE_COL] = 1,
                                    [SC_RECIPE_ROW] = 2,
                                    [SC_RECIPE_TENSOR] = 3};
    const struct sc_recipe *x = *(const struct sc_recipe *const *)a;
    const struct sc_recipe *y = *(const struct sc_recipe *const *)b;

    if (order[x->shape] != order[y->shape])
        return order[x->shape] < order[y->shape] ? -1 : 1;
    if (order[x->shape])
        return 0;
    const uint64_t n = (uint64_t)SC_MAX(x->height, 1U) * x->width;
    const uint64_t m = (uint64_t)SC_MAX(y->height, 1U) * y->width;
    if (n != m)
        return n < m ? -1 : 1;
    if (x->shape != y->shape)
        return x->shape == SC_RECIPE_TILE ? -1 : 1;
    return (x->height > y->height) - (x->height < y->height);
}

static void put_block(const void *ctx, size_t column, char text[24])
{
    const struct sc_recipe *r = ((const struct blocks *)ctx)->columns[column];

    if (r->shape == SC_RECIPE_TILE)
        snprintf(text, 24, "%ux%u", (unsigned)r->height, (unsigned)r->width);
    else if (r->shape == SC_RECIPE_FLAT)
        snprintf(text, 24, "%u", (unsigned)r->width);
    else
        snprintf(text, 24, "%s",
                 r->shape == SC_RECIPE_ROW   ? "row"
                 : r->shape == SC_RECIPE_COL ? "column"
                                             : "matrix");
}

/* "rtn4:block=16x16,nf" is "rtn4:nf". */
static void name_line(const char *recipe, char out[NAME])
{
    size_t n = strcspn(recipe, ":");
    const char *gap = ":";

    memcpy(out, recipe, n);
    for (const char *p = recipe + n; *p; p += 1 + strcspn(p + 1, ",")) {
        const size_t length = strcspn(p + 1, ",");
        if (strncmp(p + 1, "block=", 6) == 0)
            continue;
        out[n++] = *gap;
        memcpy(out + n, p + 1, length);
        n += length;
        gap = ",";
    }
    out[n] = '\0';
}

static void find_blocks(const struct sc_ppl_pictures *d, struct blocks *b)
{
    memset(b, 0, sizeof *b);
    for (size_t i = 0; i < d->n_formats; i++) {
        const struct sc_recipe *r = &d->formats[i].recipe;
        bool seen = !d->formats[i].is_recipe;
        for (size_t k = 0; k < b->n_columns && !seen; k++)
            seen = by_block(&b->columns[k], &r) == 0;
        if (!seen)
            b->columns[b->n_columns++] = r;
    }
    sc_sort(b->columns, b->n_columns, sizeof *b->columns, by_block);
    for (size_t i = 0; i < d->n_formats; i++) {
        const struct sc_recipe *r = &d->formats[i].recipe;
        size_t line = 0, column = 0;
        if (!d->formats[i].is_recipe)
            continue;
        name_line(d->formats[i].name, b->names[b->n_lines]);
        while (strcmp(b->names[line], b->names[b->n_lines]) != 0)
            line++;
        b->n_lines += line == b->n_lines;
        while (by_block(&b->columns[column], &r) != 0)
            column++;
        b->at[line][column] = i + 1;
    }
}

/* One line: whiskers under it, marks on it, beside those of the others where they would be on top
 * of each other. */
static void draw_line(struct sc_svg *s, const struct sc_layer_panel *p,
                      const struct sc_ppl_pictures *d, const struct blocks *b, size_t line)
{
    const double base = d->ppl->effects[0].nll;
    const double beside = SC_MIN(8, p->step / 4 / (double)SC_MAX(b->n_lines, 1));
    const double shift = ((double)line - (double)(b->n_lines - 1) / 2) * beside;
    const enum sc_ink ink = sc_line_ink(line + 1); /* blue is the model */

    sc_svg_path(s, ink, 2, false);
    for (size_t i = 0; i < b->n_columns; i++)
        sc_svg_to(s, sc_layer_x(p, i) + shift,
                  b->at[line][i] ? sc_panel_y(&p->panel, exp(effect_of(d, b->at[line][i] - 1)->nll))
                                 : (double)NAN);
    sc_svg_end_path(s);
    for (size_t i = 0; i < b->n_columns; i++) {
        if (!b->at[line][i])
            continue;
        const struct sc_effect *x = effect_of(d, b->at[line][i] - 1);
        const double at = sc_layer_x(p, i) + shift;
        const double low = sc_panel_y(&p->panel, exp(base + x->low));
        const double high = sc_panel_y(&p->panel, exp(base + x->high));
        put_tip(s, d->formats[b->at[line][i] - 1].name, x, false);
        if (isfinite(low) && isfinite(high))
            sc_svg_line(s, at, low, at, high, ink, 1, false);
        if (isfinite(x->nll))
            sc_svg_mark(s, SC_SHAPE_CIRCLE, at, sc_panel_y(&p->panel, exp(x->nll)), 4, ink);
        else
            sc_svg_mark(s, SC_SHAPE_CROSS, at, p->panel.box.y + 8, 4.5, SC_INK_CRITICAL);
        sc_svg_end_item(s);
    }
}

bool sc_draw_ppl_blocks(const void *data, size_t item, struct sc_svg *s)
{
    const struct sc_ppl_pictures *d = data_of(data);
    struct blocks *b = sc_calloc(1, sizeof *b);
    struct sc_legend_item items[SC_QUANTIZED_MOST];
    struct sc_range r = {.low = INFINITY, .high = -INFINITY};

    (void)item;
    s->b.failed = s->b.failed || !b;
    if (b && d->ppl->n_effects > 1)
        find_blocks(d, b);
    const bool any = b && b->n_columns > 1;
    if (any) {
        const double base = d->ppl->effects[0].nll;
        for (size_t i = 0; i <= d->n_formats; i++)
            if (i == 0 || d->formats[i - 1].is_recipe)
                stretch(&r, &d->ppl->effects[i], base);
        for (size_t i = 0; i < b->n_lines; i++)
            items[i] = (struct sc_legend_item){sc_line_ink(i + 1), SC_SHAPE_CIRCLE, b->names[i]};
        const bool log = r.high > 4 * r.low;
        const double top = sc_svg_legend(s, 0, 0, s->w, items, b->n_lines);
        const double h = SC_MIN(SC_MAX(s->w * 0.45, 300), 420);
        struct sc_layer_panel p = {
            .panel = {.y = sc_scale_fit(log, r.low, r.high),
                      .x_title = "values that share a grid",
                      .y_title = log ? "perplexity, logarithmic" : "perplexity"},
            .n = b->n_columns,
            .label = put_block,
            .ctx = b};
        sc_layer_panel_draw(s, &p, &(struct sc_box){0, top, s->w, h});
        if (isfinite(base))
            sc_panel_guide(s, &p.panel, true, exp(base), "the model", SC_INK_TEXT2);
        for (size_t i = 0; i < b->n_lines; i++)
            draw_line(s, &p, d, b, i);
        s->h = top + h;
        if (!isfinite(base))
            sc_svg_note(s, "The model's output is not finite on this text: no perplexity.");
    }
    free(b);
    return any;
}
