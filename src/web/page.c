/* SPDX-License-Identifier: Apache-2.0 */
/* page: index.html, view.json, colours.json. */
#include "web/page.h"

#include <string.h>

#include "report/html.h"
#include "report/svg.h"

const struct sc_web_asset *sc_web_asset_find(const char *name)
{
    for (const struct sc_web_asset *a = sc_web_assets; a->name; a++)
        if (strcmp(a->name, name) == 0)
            return a;
    return NULL;
}

const char *sc_web_type_of(const char *name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {{".mjs", "text/javascript; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".json", "application/json; charset=utf-8"},
                 {".html", "text/html; charset=utf-8"},
                 {".png", "image/png"}};
    for (size_t i = 0; i < SC_COUNT(types); i++)
        if (sc_str_ends(sc_strz(name), types[i].ending))
            return types[i].type;
    return "application/octet-stream";
}

/* Modules know each other by names, which are resolved here: an export has others. */
static void put_import_map(struct sc_buf *b)
{
    const char *before = "";
    sc_buf_puts(b, "{\"imports\": {");
    for (const struct sc_web_asset *a = sc_web_assets; a->name; a++)
        if (sc_str_ends(sc_strz(a->name), ".mjs")) {
            sc_buf_printf(b, "%s\"scruple/%s\": \"./%s\"", before, a->name, a->name);
            before = ", ";
        }
    sc_buf_puts(b, "}}");
}

static void put_styles(struct sc_buf *b)
{
    for (const struct sc_web_asset *a = sc_web_assets; a->name; a++)
        if (sc_str_ends(sc_strz(a->name), ".css"))
            sc_buf_printf(b, "<link rel=\"stylesheet\" href=\"%s\">\n", a->name);
}

int sc_web_page(const char *title, struct sc_buf *page, struct sc_buf *policy, struct sc_error *e)
{
    struct sc_buf map = {0};
    put_import_map(&map);
    sc_buf_puts(policy, "default-src 'none'; script-src 'self'");
    const int code = map.failed ? sc_fail_memory(e) : sc_page_hash(map.p, map.n, policy, e);
    sc_buf_puts(policy, "; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
                        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    sc_buf_puts(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                      "<meta name=\"referrer\" content=\"no-referrer\">\n"
                      "<meta name=\"color-scheme\" content=\"dark light\">\n<title>");
    sc_put_markup(page, sc_strz(title));
    sc_buf_puts(page, " – scruple</title>\n<link rel=\"icon\" href=\"data:,\">\n");
    put_styles(page);
    sc_buf_puts(page, "<script type=\"importmap\">");
    if (map.n)
        sc_buf_put(page, map.p, map.n);
    sc_buf_puts(page, "</script>\n<script type=\"module\" src=\"main.mjs\"></script>\n</head>\n"
                      "<body>\n<noscript>This page draws with a script.</noscript>\n"
                      "<p class=\"asleep\">This page has not started. Browsers take its modules "
                      "from a web server only, not from a disk: in its folder, "
                      "<code>python3 -m http.server</code> is one. Or the browser is too old "
                      "for modules.</p>\n</body>\n</html>\n");
    sc_buf_clear(&map);
    if (code == 0 && (page->failed || policy->failed))
        return sc_fail_memory(e);
    return code;
}

static void put_text(struct sc_out *o, const char *s)
{
    if (s)
        sc_out_json_text(o, sc_strz(s), false);
    else
        sc_out_puts(o, "null");
}

void sc_web_views(struct sc_out *o, const char *mode, const char *title, const char *start,
                  const struct sc_web_view *views, size_t n_views)
{
    sc_out_puts(o, "{\n  \"schema\": \"scruple.view/1\",\n  \"scruple\": ");
    put_text(o, scruple_version());
    sc_out_puts(o, ",\n  \"mode\": ");
    put_text(o, mode);
    sc_out_puts(o, ",\n  \"title\": ");
    put_text(o, title);
    sc_out_puts(o, ",\n  \"views\": [");
    for (size_t i = 0; i < n_views; i++) {
        sc_out_puts(o, i ? ",\n    {\"title\": " : "\n    {\"title\": ");
        put_text(o, views[i].title);
        sc_out_puts(o, ", \"scene\": \"");
        sc_out_u64(o, i);
        sc_out_puts(o, views[i].apart ? "/\", \"apart\": true}" : "/\"}");
    }
    sc_out_puts(o, "\n  ],\n  \"start\": ");
    put_text(o, start);
    sc_out_puts(o, "\n}\n");
}

/* --------------------------------------------------------------------------------- colours --- */

static void put_palette(struct sc_out *o, enum sc_colour_mode mode, bool dark)
{
    struct sc_palette palette;
    struct sc_buf b = {0};
    sc_palette_make(mode, dark, &palette);
    sc_put_base64(&b, palette.rgb, sizeof palette.rgb);
    if (b.failed && !o->status)
        o->status = SCRUPLE_EMEMORY;
    sc_out_putc(o, '"');
    if (b.n)
        sc_out_put(o, b.p, b.n);
    sc_out_putc(o, '"');
    sc_buf_clear(&b);
}

static void put_mode(struct sc_out *o, enum sc_colour_mode mode)
{
    double shares[SC_COLOUR_STEPS - 1];
    sc_out_puts(o, "    {\"name\": ");
    put_text(o, sc_colour_modes[mode]);
    sc_out_puts(o, ", \"label\": ");
    put_text(o, sc_colour_labels[mode]);
    sc_out_puts(o, ", \"folded\": ");
    sc_out_puts(o, mode == SC_COLOURS_MAGNITUDE ? "true" : "false");
    sc_out_puts(o, ", \"end\": ");
    put_text(o, sc_colour_ends[sc_colour_mode_end(mode)]);
    sc_out_puts(o, ", \"shows\": ");
    char mark = '[';
    for (int i = 0; i < SC_SHOWS_COUNT; i++)
        if (sc_colour_mode_suits(mode, (enum sc_shows)i)) {
            sc_out_putc(o, mark);
            put_text(o, sc_shows_names[i]);
            mark = ',';
        }
    sc_out_puts(o, mark == '[' ? "[]" : "]");
    sc_out_puts(o, ",\n     \"shares\": ");
    const bool scaled = sc_colour_shares(mode, shares);
    for (size_t k = 0; k < SC_COUNT(shares) && scaled; k++) {
        sc_out_putc(o, k ? ',' : '[');
        sc_out_json_number(o, shares[k]);
    }
    sc_out_puts(o, scaled ? "],\n     \"dark\": " : "null,\n     \"dark\": ");
    put_palette(o, mode, true);
    sc_out_puts(o, ",\n     \"light\": ");
    put_palette(o, mode, false);
    sc_out_puts(o, mode + 1 < SC_COLOUR_MODES ? "},\n" : "}\n");
}

void sc_web_colours(struct sc_out *o)
{
    static const char *const special[] = {"outside",   "zero",    "nan",     "pos_inf", "neg_inf",
                                          "subnormal", "unknown", "waiting", "frame",   "text",
                                          "only_a",    "only_b",  "shape",   "same"};
    _Static_assert(SC_COUNT(special) == SC_SPECIAL_END - SC_COLOUR_STEPS, "each has a name");

    sc_out_puts(o, "{\n  \"steps\": ");
    sc_out_u64(o, SC_COLOUR_STEPS);
    sc_out_puts(o, ",\n  \"special\": {");
    for (size_t i = 0; i < SC_COUNT(special); i++) {
        sc_out_puts(o, i ? ", " : "");
        put_text(o, special[i]);
        sc_out_puts(o, ": ");
        sc_out_u64(o, SC_COLOUR_STEPS + i);
    }
    sc_out_puts(o, "},\n  \"modes\": [\n");
    for (int mode = 0; mode < SC_COLOUR_MODES; mode++)
        put_mode(o, (enum sc_colour_mode)mode);
    sc_out_puts(o, "  ]\n}\n");
}
