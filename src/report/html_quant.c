/* SPDX-License-Identifier: Apache-2.0 */
/* html_quant: the page of a mix: maps and sizes that follow a threshold.
 *
 * The page holds the table of errors of every cell, as floats, and its script (assets/quant.js)
 * chooses formats from it as sc_mix_threshold() does. What a float cannot hold well is stored as a
 * difference: the sum of y as that of d, the sum of y^2 as its distance from that of x^2. All is in
 * units of a power of two near the root mean square of the tensor, so that nothing underflows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"
#include "report/plots_draw.h"

static const struct sc_page_asset styles[] = {
    {sc_asset_report_css, &sc_asset_report_css_size},
    {sc_asset_quant_css, &sc_asset_quant_css_size},
};
static const struct sc_page_asset scripts[] = {
    {sc_asset_common_js, &sc_asset_common_js_size},
    {sc_asset_chart_js, &sc_asset_chart_js_size},
    {sc_asset_quant_js, &sc_asset_quant_js_size},
};
static const struct sc_page_frame frame = {"quant", styles, SC_COUNT(styles), scripts,
                                           SC_COUNT(scripts)};

/* ------------------------------------------------------------------------------------ tables ---
 */
/* A table of cells as the page holds it. */
struct coarse {
    const struct sc_cells *c;
    uint64_t by, down, across, n; /* cells of the page; `by` of the tensor's each way */
    double unit;                  /* power of two */
    size_t n_formats;
    float *values; /* x, xx, n: (n) each */
    float *errors; /* by format: d, yy - xx, dd, |d|, most: (n) each */
    uint64_t bytes[16][4];
};
enum { FIGURES = 5 };

static double unit_of(const struct sc_cells *c)
{
    double xx = 0, n = 0;

    for (uint64_t i = 0; i < c->n; i++) {
        xx += c->values[i].xx;
        n += c->values[i].n;
    }
    int exponent = 0;
    if (n > 0 && xx > 0 && isfinite(xx))
        (void)frexp(sqrt(xx / n), &exponent);
    return ldexp(1, exponent);
}

static void add_cell(const struct coarse *o, uint64_t cell, double *sums)
{
    const struct sc_cells *c = o->c;
    const struct sc_cell_values *v = &c->values[cell];

    sums[0] += v->x;
    sums[1] += v->xx;
    sums[2] += v->n;
    for (size_t f = 0; f < o->n_formats; f++) {
        const struct sc_cell_error *q = sc_cell_error(c, cell, f);
        double *s = sums + 3 + f * FIGURES;
        s[0] += q->y - v->x;
        s[1] += q->yy - v->xx;
        s[2] += q->dd;
        s[3] += q->abs;
        s[4] = fmax(s[4], q->most);
    }
}

/* One cell of the page: sums over those of the tensor, and their bytes, which are those of every
 * cell at the same edges. */
static void fill_cell(struct coarse *o, uint64_t at)
{
    const struct sc_cells *c = o->c;
    uint64_t matrix = at / (o->down * o->across), row = at / o->across % o->down;
    uint64_t col = at % o->across, bytes[16] = {0};
    double sums[3 + 16 * FIGURES] = {0}, u = o->unit;

    for (uint64_t y = row * o->by; y < SC_MIN((row + 1) * o->by, c->down); y++)
        for (uint64_t x = col * o->by; x < SC_MIN((col + 1) * o->by, c->across); x++) {
            uint64_t cell = (matrix * c->down + y) * c->across + x;
            add_cell(o, cell, sums);
            for (size_t f = 0; f < o->n_formats; f++)
                bytes[f] = sc_add_up(bytes[f], c->bytes[f][c->values[cell].part & 3]);
        }
    o->values[at] = (float)(sums[0] / u);
    o->values[o->n + at] = (float)(sums[1] / u / u);
    o->values[2 * o->n + at] = (float)sums[2];
    for (size_t f = 0; f < o->n_formats; f++) {
        static const unsigned char power[FIGURES] = {1, 2, 2, 1, 1};
        float *to = o->errors + f * FIGURES * o->n + at;
        for (size_t k = 0; k < FIGURES; k++)
            to[k * o->n] = (float)(sums[3 + f * FIGURES + k] / (power[k] == 2 ? u * u : u));
        o->bytes[f][(col + 1 == o->across) + 2 * (row + 1 == o->down)] = bytes[f];
    }
}

static int coarsen(const struct sc_cells *c, struct coarse *o, struct sc_error *e)
{
    *o = (struct coarse){.c = c, .by = 1, .n_formats = SC_MIN(c->n_formats, 16)};
    /* As much text for many formats as for four. */
    uint64_t most = (uint64_t)SC_PAGE_CELLS * 4 / SC_MAX(o->n_formats, 4);
    for (;; o->by++) {
        o->down = (c->down + o->by - 1) / o->by;
        o->across = (c->across + o->by - 1) / o->by;
        o->n = c->matrices * o->down * o->across;
        if (o->n <= most || (o->down <= 1 && o->across <= 1))
            break;
    }
    o->unit = unit_of(c);
    o->values = sc_calloc(SC_MAX(o->n, 1) * 3, sizeof *o->values);
    o->errors = sc_calloc(SC_MAX(o->n, 1) * FIGURES * SC_MAX(o->n_formats, 1), sizeof *o->errors);
    if (!o->values || !o->errors)
        return sc_fail_memory(e);
    for (uint64_t i = 0; i < o->n; i++)
        fill_cell(o, i);
    return 0;
}

static void put_floats(struct sc_buf *b, const float *v, size_t n)
{
    uint8_t bytes[4 * 768]; /* 768 floats are a multiple of three bytes */

    sc_buf_putc(b, '"');
    while (n) {
        size_t some = SC_MIN(n, (size_t)768);
        for (size_t i = 0; i < some; i++) {
            uint32_t u;
            memcpy(&u, &v[i], 4);
            for (size_t k = 0; k < 4; k++)
                bytes[4 * i + k] = (uint8_t)(u >> 8 * k);
        }
        sc_put_base64(b, bytes, 4 * some);
        v += some;
        n -= some;
    }
    sc_buf_putc(b, '"');
}

/* -------------------------------------------------------------------------------------- data ---
 */
static void put_key(struct sc_buf *b, const char *key)
{
    sc_buf_printf(b, "\"%s\":", key);
}

static void put_number(struct sc_buf *b, const char *key, double v)
{
    put_key(b, key);
    sc_put_script_number(b, v, 17);
    sc_buf_putc(b, ',');
}

static void put_count(struct sc_buf *b, const char *key, uint64_t v)
{
    put_key(b, key);
    sc_buf_printf(b, "%llu,", (unsigned long long)v);
}

static void put_totals(struct sc_buf *b, const struct sc_mix_totals *t)
{
    sc_buf_putc(b, '{');
    put_count(b, "bytes", t->bytes);
    put_number(b, "missing", t->one_minus_pcc);
    put_number(b, "mae", t->mae);
    put_number(b, "atol", t->atol);
    put_number(b, "mse", t->mse);
    put_key(b, "sqnr_db");
    sc_put_script_number(b, t->sqnr_db, 17);
    sc_buf_putc(b, '}');
}

static void put_formats(struct sc_buf *b, const struct coarse *o)
{
    sc_buf_puts(b, "\"formats\":[");
    for (size_t f = 0; f < o->n_formats; f++) {
        sc_buf_puts(b, f ? ",{\"name\":" : "{\"name\":");
        sc_put_script_text(b, sc_strz(o->c->formats[f].name));
        sc_buf_putc(b, ',');
        put_number(b, "bits", sc_encoding_bits(&o->c->formats[f]));
        put_count(b, "full", o->c->bytes[f][0]);
        put_count(b, "once", o->c->once[f]);
        sc_buf_puts(b, "\"bytes\":[");
        for (size_t k = 0; k < 4; k++)
            sc_buf_printf(b, "%s%llu", k ? "," : "", (unsigned long long)o->bytes[f][k]);
        sc_buf_puts(b, "],\"errors\":");
        put_floats(b, o->errors + f * FIGURES * o->n, FIGURES * (size_t)o->n);
        sc_buf_putc(b, '}');
    }
    sc_buf_puts(b, "],");
}

static void put_points(struct sc_buf *b, const struct sc_quant_page_tensor *t)
{
    sc_buf_puts(b, "\"points\":[");
    for (size_t i = 0; i < t->n_points; i++) {
        sc_buf_puts(b, i ? ",{\"name\":" : "{\"name\":");
        sc_put_script_text(b, t->points[i].name);
        sc_buf_putc(b, ',');
        put_number(b, "bytes", t->points[i].bytes);
        put_number(b, "value", t->points[i].value);
        sc_buf_printf(b, "\"mix\":%s}", t->points[i].mix ? "true" : "false");
    }
    sc_buf_puts(b, "],\"frontier\":[");
    for (size_t i = 0; i < t->n_frontier; i++) {
        if (i)
            sc_buf_putc(b, ',');
        put_totals(b, &t->frontier[i]);
    }
    sc_buf_puts(b, "],\"steps\":[");
    for (size_t i = 0; i < t->n_steps; i++) {
        sc_buf_puts(b, i ? ",{" : "{");
        put_number(b, "threshold", t->steps[i].threshold);
        put_key(b, "totals");
        put_totals(b, &t->steps[i].totals);
        sc_buf_putc(b, '}');
    }
    sc_buf_puts(b, "],");
}

static int put_tensor(struct sc_buf *b, const struct sc_quant_page_tensor *t, struct sc_error *e)
{
    static const char *const grains[] = {"none", "tile", "row", "group"};
    const struct sc_cells *c = t->cells;
    struct coarse o;
    int code = coarsen(c, &o, e);

    if (code == 0) {
        put_key(b, "name");
        sc_put_script_text(b, t->name);
        sc_buf_printf(b, ",\"grain\":\"%s\",", grains[c->grain & 3]);
        put_count(b, "rows", c->rows);
        put_count(b, "cols", c->cols);
        put_count(b, "matrices", c->matrices);
        put_count(b, "down", o.down);
        put_count(b, "across", o.across);
        put_count(b, "by", o.by);
        put_count(b, "cells", c->n);
        put_number(b, "unit", o.unit);
        put_formats(b, &o);
        put_points(b, t);
        if (t->chosen && o.by == 1) {
            put_key(b, "chosen");
            sc_buf_putc(b, '"');
            sc_put_base64(b, t->chosen, (size_t)c->n);
            sc_buf_puts(b, "\",");
        }
        if (t->chosen_totals) {
            put_key(b, "chosen_totals");
            put_totals(b, t->chosen_totals);
            sc_buf_putc(b, ',');
        }
        put_key(b, "values");
        put_floats(b, o.values, 3 * (size_t)o.n);
    }
    free(o.values);
    free(o.errors);
    return code;
}

/* -------------------------------------------------------------------------------------- page ---
 */
static void put_banner(struct sc_buf *b, const struct sc_quant_page *p)
{
    sc_buf_puts(
        b, "<a class=\"skip\" href=\"#mix\">Skip to the mix</a>\n<header class=\"banner\">\n"
           "<p class=\"brand\">scruple quant</p>\n<nav aria-label=\"Sections\">"
           "<a href=\"#mix\">Mix</a><a href=\"#size\">Size</a><a href=\"#about\">About</a></nav>\n"
           "<button type=\"button\" id=\"theme\" class=\"needs-script\" hidden>Theme: "
           "auto</button>\n</header>\n<main>\n<h1>");
    sc_put_markup(b, p->title);
    sc_buf_puts(b, "</h1>\n");
}

static void put_controls(struct sc_buf *b)
{
    static const char *const metrics[][2] = {
        {"pcc", "PCC"}, {"mae", "mean |error|"}, {"atol", "largest |error|"}, {"sqnr_db", "SQNR"}};

    sc_buf_puts(b, "<section id=\"mix\">\n<div class=\"controls needs-script\" hidden>"
                   "<label id=\"tensor-label\">Tensor <select id=\"tensor\"></select></label>"
                   "<fieldset class=\"choice\"><legend>Good is</legend>");
    for (size_t i = 0; i < SC_COUNT(metrics); i++)
        sc_buf_printf(b, "<label><input type=\"radio\" name=\"metric\" value=\"%s\"%s> %s</label>",
                      metrics[i][0], i ? "" : " checked", metrics[i][1]);
    sc_buf_puts(
        b,
        "</fieldset>\n<div class=\"slide\"><label for=\"slider\">Threshold</label>"
        "<input type=\"range\" id=\"slider\" min=\"0\" max=\"1000\" value=\"300\">"
        "<input type=\"text\" id=\"threshold\" inputmode=\"decimal\" aria-label=\"Threshold\" "
        "size=\"10\"></div>\n<label><input type=\"checkbox\" id=\"hold\"> hold the whole tensor to "
        "it</label><fieldset class=\"choice\" id=\"formats\"><legend>Formats</legend></fieldset>"
        "<button type=\"button\" id=\"chosen\" hidden>Show the run's choice</button></div>\n"
        "<dl class=\"tiles needs-script\" id=\"figures\" hidden></dl>\n"
        "<div class=\"needs-script\" hidden><table id=\"counts\"></table></div>\n"
        "<figure class=\"needs-script\" hidden><h3 id=\"map-title\">Which cell has which "
        "format</h3><div id=\"map\"><canvas id=\"canvas\" tabindex=\"0\"></canvas></div>"
        "<output id=\"cell\">Point at a cell to see its figures.</output><figcaption>The larger "
        "the format, the stronger the colour. <span class=\"note\" id=\"map-note\"></span>"
        "</figcaption></figure>\n");
}

static int put_pictures(struct sc_buf *b, const struct sc_quant_page *p, size_t n,
                        struct sc_error *e)
{
    sc_buf_puts(b, "<div class=\"without-script\">\n");
    for (size_t i = 0; i < n; i++) {
        const struct sc_quant_page_tensor *t = &p->tensors[i];
        struct sc_picture how = {.subject = t->name, .width = 1040, .page = true};
        struct sc_size_plot size = {p->goal.metric, t->points,     t->n_points,
                                    t->frontier,    t->n_frontier, p->goal.threshold};
        sc_buf_puts(b, "<h2>");
        sc_put_markup(b, t->name);
        sc_buf_puts(b, "</h2>\n<figure>");
        if (t->chosen)
            TRY(sc_picture_assignment(t->cells, t->chosen, &how, b, e));
        TRY(sc_picture_size(&size, &how, b, e));
        sc_buf_puts(b, "</figure>\n");
    }
    sc_buf_puts(b, "</div>\n</section>\n");
    return 0;
}

static void put_rest(struct sc_buf *b, const struct sc_quant_page *p, size_t n)
{
    sc_buf_puts(
        b, "<section id=\"size\" class=\"needs-script\" hidden>\n<h2>Size against accuracy</h2>\n"
           "<figure><div id=\"sizes\"></div><figcaption>Bytes are those of the packed tensor. "
           "Every threshold of the slider is a point of the thin line; the thick one is the best "
           "that a mix can do, where the run has found it. The large mark is what the map "
           "shows.</figcaption></figure>\n</section>\n"
           "<section id=\"about\">\n<h2>About this page</h2>\n<p>Made by scruple ");
    sc_put_markup(b, sc_strz(scruple_version()));
    sc_buf_puts(
        b, ". Each cell gets the smallest format that is good in the cell itself, or the largest "
           "if none is. The page computes this from the errors of every cell, which it holds in "
           "single precision and sums up in double: figures agree with those of the program to "
           "six digits, and a cell that is right at the threshold may fall on its other side. "
           "It asks nothing of any network.</p>\n");
    if (n < p->n)
        sc_buf_printf(b, "<p>The page holds the first %zu of %zu tensors.</p>\n", n, p->n);
    sc_buf_puts(b, "</section>\n</main>\n");
}

static int put_page(struct sc_buf *b, const struct sc_quant_page *p, struct sc_out *o,
                    struct sc_error *e)
{
    size_t n = SC_MIN(p->n, (size_t)SC_PAGE_TENSORS);

    TRY(sc_page_head(&frame, p->title, b, e));
    put_banner(b, p);
    put_controls(b);
    TRY(put_pictures(b, p, n, e));
    put_rest(b, p, n);
    sc_buf_puts(b, "<script type=\"application/json\" id=\"data\">{");
    sc_buf_printf(b, "\"metric\":\"%s\",", sc_mix_metrics[p->goal.metric]);
    put_number(b, "threshold", p->goal.threshold);
    put_key(b, "algorithm");
    sc_put_script_text(b, sc_strz(p->algorithm ? p->algorithm : ""));
    sc_buf_puts(b, ",\"tensors\":[");
    for (size_t i = 0; i < n; i++) {
        sc_buf_puts(b, i ? ",\n{" : "{");
        TRY(put_tensor(b, &p->tensors[i], e));
        sc_buf_putc(b, '}');
        if (b->failed)
            return sc_fail_memory(e);
        sc_out_put(o, b->p, b->n); /* a tensor at a time */
        b->n = 0;
    }
    sc_buf_puts(b, "]}</script>\n");
    sc_page_tail(&frame, b);
    if (b->failed)
        return sc_fail_memory(e);
    sc_out_put(o, b->p, b->n);
    return 0;
}

int sc_report_quant_page(struct sc_out *o, const struct sc_quant_page *p, struct sc_error *e)
{
    struct sc_buf b = {0};
    int code = put_page(&b, p, o, e);

    sc_buf_clear(&b);
    /* What became of writing is in the state of the output, as with every other report. */
    return code < 0 ? code : o->status == SCRUPLE_EMEMORY ? sc_fail_memory(e) : 0;
}
