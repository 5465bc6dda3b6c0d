/* SPDX-License-Identifier: Apache-2.0 */
/* json: a document as strict JSON.
 *
 *   object      one key a line, indented by two blanks
 *   table       one row a line: {"name": "...", "bytes": 1}
 *   list        scalars on one line; objects that hold nothing nested one a line
 *
 * Strings are valid UTF-8 whatever the file held (each wrong byte becomes U+FFFD). Control
 * characters, and the invisible ones that could reorder or hide text, are written as \uXXXX, so
 * that a document may be looked at in a terminal. Integers stay exact; doubles round-trip.
 */
#include <math.h>
#include <string.h>

#include "report/report.h"

/* Percentages and bits repeat from row to row, and finding the shortest text of a double costs a
 * microsecond. */
#define CACHE_SLOTS 64
struct number_text {
    uint64_t bits;
    char text[40]; /* "": free slot */
};
struct json {
    struct sc_out *o;
    struct number_text cache[CACHE_SLOTS];
};

/* Code points that must not reach a terminal as they are. */
static bool needs_escape(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0xad || c == 0x61c ||
           (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
}

static void put_unit(struct sc_out *o, uint32_t c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', hex[c >> 12 & 15], hex[c >> 8 & 15], hex[c >> 4 & 15], hex[c & 15]};

    sc_out_put(o, text, sizeof text);
}

static void put_escaped(struct sc_out *o, uint32_t c)
{
    static const char short_form[] = "b\bf\fn\nr\rt\t";

    for (size_t i = 0; short_form[i]; i += 2) {
        if ((uint32_t)short_form[i + 1] == c) {
            sc_out_put(o, (const char[2]){'\\', short_form[i]}, 2);
            return;
        }
    }
    if (c >= 0x10000) {
        put_unit(o, 0xd800 + ((c - 0x10000) >> 10));
        c = 0xdc00 + ((c - 0x10000) & 0x3ff);
    }
    put_unit(o, c);
}

static bool is_markup(uint32_t c)
{
    return c == '<' || c == '>' || c == '&';
}

static bool plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void sc_out_json_text(struct sc_out *o, struct sc_str s, bool in_page)
{
    const char *p = s.p, *end = s.p + s.n;

    sc_out_putc(o, '"');
    while (p < end) {
        const char *run = p;
        while (p < end && plain((unsigned char)*p) && !(in_page && is_markup((unsigned char)*p)))
            p++;
        if (p > run)
            sc_out_put(o, run, (size_t)(p - run));
        if (p == end)
            break;
        if (*p == '"' || *p == '\\') {
            sc_out_put(o, (const char[2]){'\\', *p++}, 2);
            continue;
        }
        uint32_t c;
        size_t n = sc_utf8_decode(p, (size_t)(end - p), &c);
        if (!n)
            sc_out_put(o, "\xef\xbf\xbd", 3);
        else if (needs_escape(c) || is_markup(c))
            put_escaped(o, c); /* of markup only what is not plain here comes this far */
        else
            sc_out_put(o, p, n);
        p += n ? n : 1;
    }
    sc_out_putc(o, '"');
}

void sc_json_number(double v, char out[40])
{
    if (isfinite(v))
        sc_format_double(v, out);
    else
        memcpy(out, "null", 5);
}

void sc_out_json_number(struct sc_out *o, double v)
{
    char text[40];

    sc_json_number(v, text);
    sc_out_puts(o, text);
}

void sc_out_i64(struct sc_out *o, int64_t v)
{
    if (v < 0)
        sc_out_putc(o, '-');
    sc_out_u64(o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static void put_string(struct sc_out *o, struct sc_str s)
{
    sc_out_json_text(o, s, false);
}

static void put_number(struct json *j, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    struct number_text *slot = &j->cache[(bits ^ bits >> 29 ^ bits >> 47) % CACHE_SLOTS];
    if (!slot->text[0] || slot->bits != bits) {
        slot->bits = bits;
        sc_format_double(v, slot->text);
    }
    char last = slot->text[strlen(slot->text) - 1];
    if (last >= '0' && last <= '9')
        sc_out_puts(j->o, slot->text);
    else
        put_string(j->o, sc_strz(slot->text)); /* NaN, Infinity */
}

static void put_cell(struct json *j, const struct sc_column *column, const struct sc_cell *cell)
{
    static const char *const severity[] = {"info", "warning", "error"};

    if (cell->null) {
        sc_out_put(j->o, "null", 4);
        return;
    }
    switch ((enum sc_column_kind)column->kind) {
    case SC_COL_TEXT:
    case SC_COL_LABEL:
    case SC_COL_DTYPE:
    case SC_COL_KEY:
        put_string(j->o, cell->text);
        break;
    case SC_COL_SHAPE:
        sc_out_putc(j->o, '[');
        for (size_t i = 0; i < cell->n_dims; i++) {
            if (i)
                sc_out_put(j->o, ", ", 2);
            sc_out_u64(j->o, cell->dims[i]);
        }
        sc_out_putc(j->o, ']');
        break;
    case SC_COL_COUNT:
    case SC_COL_BYTES:
    case SC_COL_OFFSET:
    case SC_COL_TIMES:
        sc_out_u64(j->o, cell->u);
        break;
    case SC_COL_PERCENT:
    case SC_COL_NUMBER:
        put_number(j, cell->f);
        break;
    case SC_COL_SEVERITY:
        put_string(j->o, sc_strz(severity[SC_MIN(cell->u, 2)]));
        break;
    case SC_COL_LIST:
        sc_out_putc(j->o, '[');
        for (size_t i = 0; i < cell->n_list; i++) {
            if (i)
                sc_out_put(j->o, ", ", 2);
            put_string(j->o, cell->list[i]);
        }
        sc_out_putc(j->o, ']');
        break;
    }
}

static void put_children(struct json *j, const struct sc_field *f, size_t indent, bool one_line);
static void put_field(struct json *j, const struct sc_field *f, size_t indent, bool one_line);

/* Made for one row, then forgotten. */
static void put_more(struct json *j, const struct sc_table *t, sc_row_object *more, size_t row)
{
    struct sc_document d = {.root = {.kind = SC_FIELD_OBJECT}};

    more(t->ctx, row, &d, &d.root);
    if (d.failed)
        j->o->status = j->o->status ? j->o->status : SCRUPLE_EMEMORY;
    for (const struct sc_field *f = d.root.as.children.first; f && !d.failed; f = f->next) {
        sc_out_put(j->o, ", ", 2);
        put_string(j->o, f->key);
        sc_out_put(j->o, ": ", 2);
        put_field(j, f, 0, true);
    }
    sc_document_clear(&d);
}

static void put_cells(struct json *j, const struct sc_table *t, sc_row_object *more, size_t row)
{
    struct sc_out *o = j->o;
    bool first = true;

    sc_out_putc(o, '{');
    for (size_t i = 0; i < t->n_columns; i++) {
        const struct sc_column *column = &t->columns[i];
        if (column->flags & SC_COL_TERM_ONLY)
            continue;
        struct sc_cell cell = {0};
        t->cell(t->ctx, row, i, &cell);
        sc_out_puts(o, first ? "\"" : ", \"");
        sc_out_puts(o, column->key);
        sc_out_put(o, "\": ", 3);
        put_cell(j, column, &cell);
        first = false;
    }
    if (more)
        put_more(j, t, more, row);
    sc_out_putc(o, '}');
}

/* One row is in memory at a time. */
static void put_object(struct json *j, const struct sc_table *t, sc_row_object *object, size_t row)
{
    struct sc_document d = {.root = {.kind = SC_FIELD_OBJECT}};

    object(t->ctx, row, &d, &d.root);
    if (d.failed)
        j->o->status = j->o->status ? j->o->status : SCRUPLE_EMEMORY;
    else
        put_children(j, &d.root, 0, true);
    sc_document_clear(&d);
}

static void put_table(struct json *j, const struct sc_field *f, size_t indent)
{
    const struct sc_table *t = f->as.table;
    struct sc_out *o = j->o;

    sc_out_putc(o, '[');
    for (size_t row = 0; row < t->n_rows && !o->status; row++) {
        sc_out_puts(o, row ? ",\n" : "\n");
        sc_out_repeat(o, ' ', indent + 2);
        if (f->object)
            put_object(j, t, f->object, row);
        else
            put_cells(j, t, f->more, row);
    }
    if (t->n_rows) {
        sc_out_putc(o, '\n');
        sc_out_repeat(o, ' ', indent);
    }
    sc_out_putc(o, ']');
}

static bool is_container(const struct sc_field *f)
{
    return f->kind == SC_FIELD_OBJECT || f->kind == SC_FIELD_LIST || f->kind == SC_FIELD_TABLE;
}

/* Fits on one line: no objects or tables below, and lists of scalars only. */
static bool is_flat(const struct sc_field *f)
{
    for (const struct sc_field *c = f->as.children.first; c; c = c->next) {
        if (c->kind == SC_FIELD_OBJECT || c->kind == SC_FIELD_TABLE)
            return false;
        if (c->kind == SC_FIELD_LIST)
            for (const struct sc_field *item = c->as.children.first; item; item = item->next)
                if (is_container(item))
                    return false;
    }
    return true;
}

/* Recursion is as deep as our own documents nest, which no file decides. */
static void put_children(struct json *j, const struct sc_field *f, size_t indent, bool one_line)
{
    struct sc_out *o = j->o;
    bool object = f->kind == SC_FIELD_OBJECT;

    sc_out_putc(o, object ? '{' : '[');
    for (const struct sc_field *c = f->as.children.first; c && !o->status; c = c->next) {
        bool first = c == f->as.children.first;
        if (one_line) {
            if (!first)
                sc_out_put(o, ", ", 2);
        } else {
            sc_out_puts(o, first ? "\n" : ",\n");
            sc_out_repeat(o, ' ', indent + 2);
        }
        if (object) {
            put_string(o, c->key);
            sc_out_put(o, ": ", 2);
        }
        bool child_line = one_line || (c->kind == SC_FIELD_LIST && is_flat(c)) ||
                          (c->kind == SC_FIELD_OBJECT && !object && is_flat(c));
        put_field(j, c, indent + 2, child_line);
    }
    if (!one_line && f->as.children.first) {
        sc_out_putc(o, '\n');
        sc_out_repeat(o, ' ', indent);
    }
    sc_out_putc(o, object ? '}' : ']');
}

static void put_field(struct json *j, const struct sc_field *f, size_t indent, bool one_line)
{
    switch ((enum sc_field_kind)f->kind) {
    case SC_FIELD_NULL:
        sc_out_put(j->o, "null", 4);
        break;
    case SC_FIELD_BOOL:
        sc_out_puts(j->o, f->as.b ? "true" : "false");
        break;
    case SC_FIELD_UINT:
        sc_out_u64(j->o, f->as.u);
        break;
    case SC_FIELD_INT:
        if (f->as.i < 0)
            sc_out_putc(j->o, '-');
        sc_out_u64(j->o, f->as.i < 0 ? 0 - (uint64_t)f->as.i : (uint64_t)f->as.i);
        break;
    case SC_FIELD_NUMBER:
        put_number(j, f->as.f);
        break;
    case SC_FIELD_TEXT:
        put_string(j->o, f->as.s);
        break;
    case SC_FIELD_OBJECT:
    case SC_FIELD_LIST:
        put_children(j, f, indent, one_line);
        break;
    case SC_FIELD_TABLE:
        put_table(j, f, indent);
        break;
    }
}

void sc_report_json_field(struct sc_out *o, const struct sc_field *f, size_t indent)
{
    struct json j = {.o = o};

    if (f->key.n) {
        put_string(o, f->key);
        sc_out_put(o, ": ", 2);
    }
    put_field(&j, f, indent, false);
}

void sc_report_json(struct sc_out *o, const struct sc_document *d)
{
    struct json j = {.o = o};

    if (d->failed && !o->status)
        o->status = SCRUPLE_EMEMORY;
    if (o->status)
        return;
    put_field(&j, &d->root, 0, false);
    sc_out_putc(o, '\n');
}
