/* SPDX-License-Identifier: Apache-2.0 */
/* pictures_page: a set of pictures as one file, with the tables of the document. What the script
 * adds, the theme and numbers under the pointer, is in assets/pictures.js; without it a browser
 * shows the numbers itself. */
#include <string.h>

#include "report/html.h"
#include "report/pictures_parts.h"

/* Rows of a table, members of an object: a page that nobody could read is none. */
enum { WIDE = 1040, NARROW = 380, ROWS = 500 };

static const struct sc_page_asset styles[] = {
    {sc_asset_report_css, &sc_asset_report_css_size},
    {sc_asset_quant_css, &sc_asset_quant_css_size},
};
static const struct sc_page_asset scripts[] = {
    {sc_asset_common_js, &sc_asset_common_js_size},
    {sc_asset_pictures_js, &sc_asset_pictures_js_size},
};

/* --------------------------------------------------------------------------------- pictures --- */
static int put_picture(struct sc_buf *b, const struct sc_picture_set *s,
                       const struct sc_picture_kind *k, size_t item, struct sc_error *e)
{
    struct sc_buf notes = {0};
    struct sc_picture how = {.width = WIDE, .page = true, .notes = &notes};
    const size_t start = b->n;

    sc_buf_puts(b, "<figure>");
    if (k->name) {
        struct sc_buf name = {0};
        k->name(s->data, item, &name);
        sc_buf_puts(b, "<h4>");
        sc_put_markup(b, sc_str(name.p ? name.p : "", name.n));
        sc_buf_puts(b, "</h4>");
        b->failed = b->failed || name.failed;
        sc_buf_clear(&name);
    }
    sc_buf_puts(b, "<div class=\"wide\">");
    int code = sc_picture_draw(s, k, item, &how, b, e);
    if (code == 1) {
        how.width = NARROW;
        how.notes = NULL;
        sc_buf_puts(b, "</div><div class=\"narrow\">");
        code = sc_picture_draw(s, k, item, &how, b, e);
        sc_buf_puts(b, "</div>");
    } else {
        b->n = start;
    }
    if (code == 1 && notes.n) {
        sc_buf_puts(b, "<figcaption>");
        sc_put_markup(b, sc_str(notes.p, notes.n));
        sc_buf_puts(b, "</figcaption>");
    }
    if (code == 1)
        sc_buf_puts(b, "</figure>\n");
    sc_buf_clear(&notes);
    return code;
}

static int put_kind(struct sc_buf *b, const struct sc_picture_set *s,
                    const struct sc_picture_kind *k, struct sc_out *o, struct sc_error *e)
{
    const size_t n = sc_picture_count(s, k);
    bool any = false;

    sc_buf_printf(b, "<section id=\"%s\">\n<h2>", k->id);
    sc_put_markup(b, sc_strz(k->title));
    sc_buf_puts(b, "</h2>\n<p class=\"hint\">");
    sc_put_markup(b, sc_strz(k->what));
    sc_buf_puts(b, "</p>\n");
    for (size_t i = 0; i < n; i++) {
        const int code = put_picture(b, s, k, i, e);
        if (code < 0)
            return code;
        any = any || code;
        if (b->failed)
            return sc_fail_memory(e);
        sc_out_put(o, b->p, b->n);
        b->n = 0;
    }
    if (!any) {
        sc_buf_puts(b, "<p class=\"verdict\">");
        sc_put_markup(b, sc_strz(k->needs));
        sc_buf_puts(b, "</p>\n");
    }
    sc_buf_puts(b, "</section>\n");
    return 0;
}

/* ----------------------------------------------------------------------------------- tables --- */
static bool is_number(const struct sc_column *c)
{
    return c->flags & SC_COL_RIGHT;
}

static bool is_empty(const struct sc_table *t, size_t column)
{
    for (size_t row = 0; row < t->n_rows; row++) {
        struct sc_cell cell = {0};
        t->cell(t->ctx, row, column, &cell);
        if (!cell.null)
            return false;
    }
    return true;
}

static bool is_shown(const struct sc_table *t, size_t column)
{
    const struct sc_column *c = &t->columns[column];

    return c->title && !(c->flags & SC_COL_JSON_ONLY) &&
           !((c->flags & SC_COL_OPTIONAL) && is_empty(t, column));
}

static void put_cell(struct sc_buf *b, const struct sc_column *c, const struct sc_cell *cell)
{
    char text[64];

    sc_buf_printf(b, is_number(c) ? "<td class=\"number\">" : "<td>");
    if (cell->null) {
        sc_buf_puts(b, "–");
    } else if (c->kind == SC_COL_NUMBER || c->kind == SC_COL_PERCENT) {
        sc_put_value(b, cell->f);
    } else if (c->kind == SC_COL_COUNT || c->kind == SC_COL_OFFSET) {
        if (c->kind == SC_COL_COUNT)
            sc_format_count(cell->u, text);
        else
            sc_format_u64(cell->u, text);
        sc_buf_puts(b, text);
    } else {
        sc_put_markup(b, cell->text);
    }
    sc_buf_puts(b, "</td>");
}

static void put_table(struct sc_buf *b, struct sc_str key, const struct sc_table *t)
{
    const size_t n = SC_MIN(t->n_rows, (size_t)ROWS);

    sc_buf_puts(b, "<h3>");
    sc_put_markup(b, key);
    sc_buf_puts(b, "</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"");
    sc_put_markup(b, key);
    sc_buf_puts(b, "\"><table>\n<thead><tr>");
    for (size_t i = 0; i < t->n_columns; i++) {
        if (!is_shown(t, i))
            continue;
        sc_buf_puts(b, is_number(&t->columns[i]) ? "<th class=\"number\">" : "<th>");
        sc_put_markup(b, sc_strz(t->columns[i].title));
        sc_buf_puts(b, "</th>");
    }
    sc_buf_puts(b, "</tr></thead>\n<tbody>\n");
    for (size_t row = 0; row < n; row++) {
        sc_buf_puts(b, "<tr>");
        for (size_t i = 0; i < t->n_columns; i++) {
            struct sc_cell cell = {0};
            if (!is_shown(t, i))
                continue;
            t->cell(t->ctx, row, i, &cell);
            put_cell(b, &t->columns[i], &cell);
        }
        sc_buf_puts(b, "</tr>\n");
    }
    sc_buf_puts(b, "</tbody></table></div>\n");
    if (n < t->n_rows)
        sc_buf_printf(b, "<p class=\"hint\">The first %zu of %zu rows.</p>\n", n, t->n_rows);
}

static void put_tables(struct sc_buf *b, const struct sc_field *root)
{
    bool any = false;

    for (const struct sc_field *f = root ? root->as.children.first : NULL; f; f = f->next) {
        if (f->kind != SC_FIELD_TABLE || !f->as.table->n_rows)
            continue;
        if (!any)
            sc_buf_puts(b, "<section id=\"tables\">\n<h2>Tables</h2>\n");
        any = true;
        put_table(b, f->key, f->as.table);
    }
    if (any)
        sc_buf_puts(b, "</section>\n");
}

/* ------------------------------------------------------------------------------------- page --- */
static void put_top(struct sc_buf *b, const struct sc_picture_set *s)
{
    sc_buf_printf(b,
                  "<a class=\"skip\" href=\"#%s\">Skip to the pictures</a>\n"
                  "<header class=\"banner\">\n<p class=\"brand\">scruple %s</p>\n"
                  "<nav aria-label=\"Sections\">",
                  s->kinds[0].id, s->command);
    for (size_t i = 0; i < s->n_kinds; i++)
        sc_buf_printf(b, "<a href=\"#%s\">%s</a>", s->kinds[i].id, s->kinds[i].id);
    sc_buf_puts(b, "<a href=\"#about\">about</a></nav>\n<button type=\"button\" id=\"theme\" "
                   "class=\"needs-script\" hidden>Theme: auto</button>\n</header>\n<main>\n<h1>");
    sc_put_markup(b, s->subject);
    sc_buf_puts(b, "</h1>\n");
    if (s->verdict) {
        sc_buf_puts(b, "<p class=\"verdict\">");
        sc_put_markup(b, sc_strz(s->verdict));
        sc_buf_puts(b, "</p>\n");
    }
}

static int put_page(struct sc_buf *b, const struct sc_picture_set *s, struct sc_out *o,
                    struct sc_error *e)
{
    const struct sc_page_frame frame = {s->command, styles, SC_COUNT(styles), scripts,
                                        SC_COUNT(scripts)};

    TRY(sc_page_head(&frame, s->subject, b, e));
    put_top(b, s);
    for (size_t i = 0; i < s->n_kinds; i++)
        TRY(put_kind(b, s, &s->kinds[i], o, e));
    put_tables(b, s->root);
    sc_buf_printf(b, "<section id=\"about\">\n<h2>About this page</h2>\n<p>Made by scruple ");
    sc_put_markup(b, sc_strz(scruple_version()));
    sc_buf_printf(b,
                  ". Point at a mark, or touch it, to see its numbers. What the pictures mean is "
                  "in %s. The page is complete in itself and asks nothing of any network.</p>\n"
                  "</section>\n</main>\n<p id=\"tip\" role=\"status\" hidden></p>\n",
                  s->document);
    sc_page_tail(&frame, b);
    if (b->failed)
        return sc_fail_memory(e);
    sc_out_put(o, b->p, b->n);
    return 0;
}

int sc_pictures_page(struct sc_out *o, const struct sc_picture_set *s, struct sc_error *e)
{
    struct sc_buf b = {0};
    const int code = put_page(&b, s, o, e);

    sc_buf_clear(&b);
    return code < 0 ? code : o->status == SCRUPLE_EMEMORY ? sc_fail_memory(e) : 0;
}
