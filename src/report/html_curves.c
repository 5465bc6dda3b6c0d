/* SPDX-License-Identifier: Apache-2.0 */
/* html_curves: the page of curves. What the browser's script adds is in assets/curves.js; without
 * it the page still shows the pictures. */
#include <math.h>

#include "report/html.h"
#include "report/plots_draw.h"

static const struct sc_page_asset styles[] = {
    {sc_asset_report_css, &sc_asset_report_css_size},
    {sc_asset_quant_css, &sc_asset_quant_css_size},
};
static const struct sc_page_asset scripts[] = {
    {sc_asset_common_js, &sc_asset_common_js_size},
    {sc_asset_chart_js, &sc_asset_chart_js_size},
    {sc_asset_curves_js, &sc_asset_curves_js_size},
};
static const struct sc_page_frame frame = {"curves", styles, SC_COUNT(styles), scripts,
                                           SC_COUNT(scripts)};

static void put_top(struct sc_buf *b, const struct sc_curves_page *p)
{
    sc_buf_puts(
        b, "<a class=\"skip\" href=\"#chart\">Skip to the curves</a>\n<header class=\"banner\">\n"
           "<p class=\"brand\">scruple curves</p>\n<nav aria-label=\"Sections\">"
           "<a href=\"#chart\">Curves</a><a href=\"#pictures\">Pictures</a>"
           "<a href=\"#about\">About</a></nav>\n"
           "<button type=\"button\" id=\"theme\" class=\"needs-script\" hidden>Theme: "
           "auto</button>\n</header>\n<main>\n<h1>");
    sc_put_markup(b, p->title);
    sc_buf_puts(
        b, "</h1>\n<section id=\"chart\">\n<div class=\"controls needs-script\" hidden>"
           "<label id=\"item-label\">Tensor <select id=\"item\"></select></label>"
           "<label><input type=\"checkbox\" id=\"error\"> as errors</label>"
           "<label><input type=\"checkbox\" id=\"band\" checked> bands of nine in ten</label>"
           "<button type=\"button\" id=\"home\">Reset the view</button></div>\n"
           "<figure class=\"needs-script\" hidden><div class=\"toggles\" id=\"toggles\"></div>"
           "<div id=\"curves\"></div><p class=\"hint\">Wheel or pinch: zoom (with Shift: along x "
           "alone). Drag: move. Double click: everything again. Keys: + - 0 and arrows.</p>"
           "</figure>\n<div class=\"scroll needs-script\" tabindex=\"0\" role=\"region\" "
           "aria-label=\"Errors\" hidden><table id=\"table\"></table></div>\n</section>\n");
}

/* For wide screens and for narrow ones, as in the page of a scan. */
static int put_picture(struct sc_buf *b,
                       int (*draw)(const struct sc_curves *, const struct sc_picture *,
                                   struct sc_buf *, struct sc_error *),
                       const char *title, const struct sc_curves *c, struct sc_error *e)
{
    struct sc_picture how = {.width = 1040, .page = true};
    size_t start = b->n;

    sc_buf_printf(b, "<figure><h3>%s</h3><div class=\"wide\">", title);
    int code = draw(c, &how, b, e);
    if (code <= 0) {
        b->n = start;
        return code;
    }
    sc_buf_puts(b, "</div><div class=\"narrow\">");
    how.width = 400;
    TRY(draw(c, &how, b, e));
    sc_buf_puts(b, "</div></figure>\n");
    return 0;
}

static int draw_worst_tiles(const struct sc_curves *c, const struct sc_picture *how,
                            struct sc_buf *b, struct sc_error *e)
{
    int any = 0;

    for (size_t i = 0; i < c->n; i++) {
        const struct sc_curve *one = &c->curves[i];
        if (!one->tiles || one->format.scheme == SC_SCHEME_ZERO)
            continue;
        struct sc_error_map m = {c->down,      c->across,    one->tiles,      i ? NULL : c->rms,
                                 c->tile_rows, c->tile_cols, one->format.name};
        sc_buf_printf(b, "<h4>%s</h4>", one->format.name);
        int code = sc_picture_errors(&m, how, b, e);
        if (code < 0)
            return code;
        any |= code;
    }
    return any;
}

static int put_pictures(struct sc_buf *b, const struct sc_curves_page *p, struct sc_out *o,
                        struct sc_error *e)
{
    sc_buf_puts(b, "<section id=\"pictures\">\n<h2>Pictures</h2>\n");
    for (size_t i = 0; i < p->n; i++) {
        sc_buf_printf(b, "<div class=\"item\" data-item=\"%zu\">\n", i);
        if (p->names[i].n && p->n > 1) {
            sc_buf_puts(b, "<h3>");
            sc_put_markup(b, p->names[i]);
            sc_buf_puts(b, "</h3>\n");
        }
        TRY(put_picture(b, sc_picture_curves, "Curves and their errors", &p->curves[i], e));
        TRY(put_picture(b, sc_picture_transfer, "Values and what they become", &p->curves[i], e));
        TRY(put_picture(b, sc_picture_error_histogram, "How large the errors are", &p->curves[i],
                        e));
        TRY(put_picture(b, draw_worst_tiles, "Where the error is", &p->curves[i], e));
        sc_buf_puts(b, "</div>\n");
        if (b->failed)
            return sc_fail_memory(e);
        sc_out_put(o, b->p, b->n);
        b->n = 0;
    }
    sc_buf_puts(b, "</section>\n");
    return 0;
}

/* ------------------------------------------------------------------------------------- data --- */
static void put_list(struct sc_buf *b, const char *key, const double *v, size_t n)
{
    sc_buf_printf(b, "\"%s\":[", key);
    for (size_t i = 0; i < n; i++) {
        if (i)
            sc_buf_putc(b, ',');
        sc_put_script_number(b, isfinite(v[i]) ? v[i] : NAN, 7);
    }
    sc_buf_puts(b, "]");
}

static void put_figure(struct sc_buf *b, const char *key, double v)
{
    sc_buf_printf(b, ",\"%s\":", key);
    sc_put_script_number(b, v, 7);
}

static void put_curve(struct sc_buf *b, const struct sc_curves *c, const struct sc_curve *one)
{
    char name[96];

    sc_curve_name(one, name, sizeof name);
    sc_buf_puts(b, "{\"name\":");
    sc_put_script_text(b, sc_strz(name));
    sc_buf_puts(b, ",\"format\":");
    sc_put_script_text(b, sc_strz(one->format.name));
    sc_buf_printf(b, ",\"kind\":\"%s\"", sc_curve_kinds[one->kind]);
    put_figure(b, "bits", sc_encoding_bits(&one->format));
    put_figure(b, "mae", one->mae);
    put_figure(b, "rmse", one->rmse);
    put_figure(b, "atol", one->atol);
    put_figure(b, "bias", one->bias);
    put_figure(b, "sqnr_db", one->sqnr_db);
    sc_buf_putc(b, ',');
    put_list(b, "mean", one->mean, c->n_points);
    sc_buf_putc(b, ',');
    put_list(b, "low", one->low, c->n_points);
    sc_buf_putc(b, ',');
    put_list(b, "high", one->high, c->n_points);
    sc_buf_putc(b, '}');
}

static void put_data(struct sc_buf *b, const struct sc_curves_page *p)
{
    sc_buf_puts(b, "<script type=\"application/json\" id=\"data\">{\"items\":[");
    for (size_t i = 0; i < p->n; i++) {
        const struct sc_curves *c = &p->curves[i];
        sc_buf_puts(b, i ? ",\n{\"name\":" : "{\"name\":");
        sc_put_script_text(b, p->names[i]);
        put_figure(b, "low", c->low);
        put_figure(b, "high", c->high);
        sc_buf_putc(b, ',');
        put_list(b, "x", c->x, c->n_points);
        sc_buf_puts(b, ",\"curves\":[");
        for (size_t k = 0; k < c->n; k++) {
            if (k)
                sc_buf_putc(b, ',');
            put_curve(b, c, &c->curves[k]);
        }
        sc_buf_puts(b, "]}");
    }
    sc_buf_puts(b, "]}</script>\n");
}

static int put_page(struct sc_buf *b, const struct sc_curves_page *p, struct sc_out *o,
                    struct sc_error *e)
{
    TRY(sc_page_head(&frame, p->title, b, e));
    put_top(b, p);
    TRY(put_pictures(b, p, o, e));
    sc_buf_puts(b, "<section id=\"about\">\n<h2>About this page</h2>\n<p>Made by scruple ");
    sc_put_markup(b, sc_strz(scruple_version()));
    sc_buf_puts(b, ". Each format rounds as its definition says, in blocks where it has blocks; "
                   "docs/curves.md tells how the curves are made. The page is complete in itself "
                   "and asks nothing of any network.</p>\n</section>\n</main>\n");
    put_data(b, p);
    sc_page_tail(&frame, b);
    if (b->failed)
        return sc_fail_memory(e);
    sc_out_put(o, b->p, b->n);
    return 0;
}

int sc_report_curves_page(struct sc_out *o, const struct sc_curves_page *p, struct sc_error *e)
{
    struct sc_buf b = {0};
    int code = put_page(&b, p, o, e);

    sc_buf_clear(&b);
    return code < 0 ? code : o->status == SCRUPLE_EMEMORY ? sc_fail_memory(e) : 0;
}
