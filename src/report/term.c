/* SPDX-License-Identifier: Apache-2.0 */
/* term: tables and fields as aligned, coloured text.
 *
 * A table is walked twice: once to measure its columns, once to print. Widths are display columns
 * of the text as it will appear (escaped), so wide characters and hostile names stay aligned.
 *
 * Owns: alignment, colours, and the escape sequences of the whole program.
 * Does not own: which columns there are (result), whether there is a terminal (cli).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/report.h"

/* Codes of the 256-colour palette that `we` uses; its users know a tensor by them. */
static const unsigned char palette[SC_COLOUR_COUNT] = {
    [SC_COLOUR_MODULE] = 15,   [SC_COLOUR_TENSOR] = 250,  [SC_COLOUR_SHAPE] = 153,
    [SC_COLOUR_SHAPE_X] = 67,  [SC_COLOUR_DTYPE] = 151,   [SC_COLOUR_SIZE] = 223,
    [SC_COLOUR_PERCENT] = 217, [SC_COLOUR_UNIT] = 242,    [SC_COLOUR_REPO] = 15,
    [SC_COLOUR_GOOD] = 114,    [SC_COLOUR_WARNING] = 221, [SC_COLOUR_ERROR] = 203,
    [SC_COLOUR_KEY] = 110,
};

void sc_colour_on(struct sc_buf *b, const struct sc_term *t, enum sc_colour c)
{
    char digits[24];

    if (!t->colour || c == SC_COLOUR_NONE)
        return;
    sc_buf_put(b, "\033[38;5;", 7);
    sc_buf_put(b, digits, sc_format_u64(palette[c], digits));
    sc_buf_putc(b, 'm');
}

void sc_colour_off(struct sc_buf *b, const struct sc_term *t)
{
    if (t->colour)
        sc_buf_put(b, "\033[0m", 4);
}

static void put_coloured(struct sc_out *o, const struct sc_term *t, enum sc_colour c, const char *p,
                         size_t n)
{
    if (!t->colour || c == SC_COLOUR_NONE) {
        sc_out_put(o, p, n);
        return;
    }
    sc_colour_on(&o->buf, t, c);
    sc_buf_put(&o->buf, p, n);
    sc_colour_off(&o->buf, t);
    sc_out_settle(o);
}

void sc_out_colour(struct sc_out *o, const struct sc_term *t, enum sc_colour c, const char *s)
{
    put_coloured(o, t, c, s, strlen(s));
}

/* ----------------------------------------------------------------------------- safe text --- */
static bool is_printable_ascii(struct sc_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)(s.p[i] - 0x20) >= 0x5f)
            return false;
    return true;
}

/* Memory that is used again from cell to cell. Making text ASCII starts from safe text, making
 * text safe from joined text: hence one buffer for each step. */
struct scratch {
    struct sc_buf joined, safe, ascii, cut;
};

/* The safe form of foreign text, at most max columns wide (0: any). *out is borrowed from `in` or
 * from the scratch until the next call. Returns its width. */
static size_t make_safe(struct scratch *s, const struct sc_term *t, struct sc_str in, size_t max,
                        struct sc_str *out)
{
    *out = in;
    if ((!max || in.n <= max) && is_printable_ascii(in))
        return in.n;
    s->safe.n = 0;
    size_t width = sc_put_safe(&s->safe, in, max);
    *out = sc_str(s->safe.n ? s->safe.p : "", s->safe.n);
    if (!t->ascii || is_printable_ascii(*out))
        return width;
    s->ascii.n = 0;
    for (size_t i = 0, n; i < s->safe.n; i += n) {
        uint32_t c;
        n = sc_utf8_decode(s->safe.p + i, s->safe.n - i, &c);
        if (n == 1)
            sc_buf_putc(&s->ascii, (char)c);
        else if (n)
            sc_buf_printf(&s->ascii, "\\u{%x}", (unsigned)c);
        else
            n = 1; /* sc_put_safe leaves no invalid bytes */
    }
    *out = sc_str(s->ascii.n ? s->ascii.p : "", s->ascii.n);
    return out->n;
}

static void scratch_clear(struct scratch *s, struct sc_out *o)
{
    if (s->joined.failed || s->safe.failed || s->ascii.failed || s->cut.failed)
        o->buf.failed = true;
    sc_buf_clear(&s->joined);
    sc_buf_clear(&s->safe);
    sc_buf_clear(&s->ascii);
    sc_buf_clear(&s->cut);
}

void sc_out_safe(struct sc_out *o, const struct sc_term *t, enum sc_colour c, struct sc_str text)
{
    struct scratch s = {0};
    struct sc_str safe;

    make_safe(&s, t, text, 0, &safe);
    put_coloured(o, t, c, safe.p, safe.n);
    scratch_clear(&s, o);
}

/* Names of tensors begin alike; what tells them apart, the layer and the role, stands at the end.
 * Where half a character could be left, the end is cut instead. */
size_t sc_put_safe_end(struct sc_buf *b, struct sc_str s, size_t max)
{
    enum { DOTS = 3 };
    size_t before = b->n, width = sc_put_safe(b, s, 0), n = b->n - before;

    if (!max || width <= max || b->failed)
        return width;
    if (max < 8 || width != n) {
        b->n = before;
        return sc_put_safe(b, s, max);
    }
    char *p = b->p + before;
    memmove(p + DOTS, p + n - (max - DOTS), max - DOTS);
    memset(p, '.', DOTS);
    b->n = before + max;
    b->p[b->n] = '\0';
    return max;
}

/* --------------------------------------------------------------------------------- cells --- */
/* What a cell shows: foreign or own text, then an own unit. */
struct shown {
    struct sc_str text;
    enum sc_colour colour;
    size_t indent, width; /* width includes indent and unit */
    size_t max;           /* text is cut there; 0: it is not. Set by the caller */
    char own[64];         /* storage of numbers */
    char unit[16];
};

static void show_number(struct shown *s, enum sc_colour colour, const char *unit)
{
    size_t n = 0;

    for (; unit[n] && n + 1 < sizeof s->unit; n++)
        s->unit[n] = unit[n];
    s->unit[n] = '\0';
    s->text = sc_strz(s->own);
    s->colour = colour;
    s->width = s->text.n + n;
}

static void show_bytes(struct shown *s, uint64_t bytes)
{
    sc_format_bytes(bytes, s->own);
    /* The unit starts at the blank; the number ends there. */
    size_t n = strcspn(s->own, " ");
    show_number(s, SC_COLOUR_SIZE, s->own + n);
    s->text.n = n;
    s->width = n + strlen(s->unit);
}

void sc_out_bytes(struct sc_out *o, const struct sc_term *t, enum sc_colour c, uint64_t bytes)
{
    struct shown s = {0};

    show_bytes(&s, bytes);
    put_coloured(o, t, c, s.text.p, s.text.n);
    put_coloured(o, t, SC_COLOUR_UNIT, s.unit, strlen(s.unit));
}

static size_t digits_of(uint64_t n)
{
    size_t digits = 1;

    for (; n >= 10; n /= 10)
        digits++;
    return digits;
}

static size_t shape_width(const struct sc_cell *cell)
{
    size_t width = cell->n_dims ? cell->n_dims - 1 : strlen("scalar");

    for (size_t i = 0; i < cell->n_dims; i++)
        width += digits_of(cell->dims[i]);
    return width;
}

static void put_shape(struct sc_out *o, const struct sc_term *t, const struct sc_cell *cell)
{
    char digits[24];

    if (!cell->n_dims)
        sc_out_colour(o, t, SC_COLOUR_SHAPE, "scalar");
    for (size_t i = 0; i < cell->n_dims; i++) {
        if (i)
            put_coloured(o, t, SC_COLOUR_SHAPE_X, "x", 1);
        put_coloured(o, t, SC_COLOUR_SHAPE, digits, sc_format_u64(cell->dims[i], digits));
    }
}

static void show_text(struct shown *s, struct scratch *scratch, const struct sc_term *t,
                      enum sc_colour colour, struct sc_str text)
{
    s->colour = colour;
    s->width = make_safe(scratch, t, text, 0, &s->text);
    if (!s->max || s->width <= s->max)
        return;
    scratch->cut.n = 0;
    s->width = sc_put_safe_end(&scratch->cut, s->text, s->max);
    s->text = sc_str(scratch->cut.n ? scratch->cut.p : "", scratch->cut.n);
}

/* Joined by blanks: the names folded into a tensor. */
static void show_list(struct shown *s, struct scratch *scratch, const struct sc_term *t,
                      const struct sc_cell *cell)
{
    struct sc_buf *joined = &scratch->joined;

    joined->n = 0;
    for (size_t i = 0; i < cell->n_list; i++) {
        if (i)
            sc_buf_putc(joined, ' ');
        sc_buf_put(joined, cell->list[i].p, cell->list[i].n);
    }
    show_text(s, scratch, t, SC_COLOUR_NONE, sc_str(joined->n ? joined->p : "", joined->n));
}

enum { LABEL_LEAST = 8 };

/* Everything of a cell but shapes, which have two colours. */
static void show(struct shown *s, struct scratch *scratch, const struct sc_term *t,
                 const struct sc_column *column, const struct sc_cell *cell)
{
    static const struct {
        const char *word;
        enum sc_colour colour;
    } severity[] = {
        {"info", SC_COLOUR_KEY}, {"warning", SC_COLOUR_WARNING}, {"error", SC_COLOUR_ERROR}};
    static const enum sc_colour grades[] = {SC_COLOUR_NONE, SC_COLOUR_GOOD, SC_COLOUR_WARNING,
                                            SC_COLOUR_ERROR};
    char unit[16] = "";

    s->text = sc_str("", 0);
    s->colour = SC_COLOUR_NONE;
    s->indent = s->width = 0;
    s->unit[0] = '\0';
    if (cell->null)
        return;
    switch ((enum sc_column_kind)column->kind) {
    case SC_COL_TEXT:
        show_text(s, scratch, t, SC_COLOUR_NONE, cell->text);
        break;
    case SC_COL_DTYPE:
        show_text(s, scratch, t, SC_COLOUR_DTYPE, cell->text);
        break;
    case SC_COL_KEY:
        show_text(s, scratch, t, SC_COLOUR_KEY, cell->text);
        break;
    case SC_COL_LABEL:
        /* A name may be empty; its row may not look it. */
        s->indent = (size_t)cell->depth * 2;
        if (s->max) /* of the whole column */
            s->max = s->max > s->indent + LABEL_LEAST ? s->max - s->indent : LABEL_LEAST;
        show_text(s, scratch, t, cell->strong ? SC_COLOUR_MODULE : SC_COLOUR_TENSOR,
                  cell->text.n ? cell->text : SC_STR("\"\""));
        s->width += s->indent;
        break;
    case SC_COL_SHAPE:
        s->width = shape_width(cell);
        break;
    case SC_COL_COUNT:
        sc_format_count(cell->u, s->own);
        show_number(s, SC_COLOUR_NONE, "");
        break;
    case SC_COL_OFFSET:
        sc_format_u64(cell->u, s->own);
        show_number(s, SC_COLOUR_NONE, "");
        break;
    case SC_COL_BYTES:
        if (cell->text.p) /* what stands in for a size: "tied" */
            show_text(s, scratch, t, SC_COLOUR_UNIT, cell->text);
        else
            show_bytes(s, cell->u);
        break;
    case SC_COL_PERCENT:
        sc_format_percent(cell->f, s->own);
        show_number(s, SC_COLOUR_PERCENT, " %");
        break;
    case SC_COL_NUMBER:
        sc_format_fixed(cell->f, column->digits, s->own);
        if (column->unit && (!cell->text.p || isfinite(cell->f)))
            snprintf(unit, sizeof unit, " %s", column->unit);
        show_number(s, SC_COLOUR_NONE, unit);
        if (cell->text.p) { /* more than a number: "0.9934 +- 0.0002" */
            s->width = make_safe(scratch, t, cell->text, 0, &s->text) + strlen(s->unit);
        }
        break;
    case SC_COL_TIMES:
        if (cell->u != 1) {
            s->own[0] = 'x';
            sc_format_u64(cell->u, s->own + 1);
            show_number(s, SC_COLOUR_UNIT, "");
        }
        break;
    case SC_COL_SEVERITY:
        s->text = sc_strz(severity[SC_MIN(cell->u, 2)].word);
        s->colour = severity[SC_MIN(cell->u, 2)].colour;
        s->width = s->text.n;
        break;
    case SC_COL_LIST:
        show_list(s, scratch, t, cell);
        break;
    }
    if (cell->grade)
        s->colour = grades[SC_MIN(cell->grade, SC_GRADE_POOR)];
}

static bool aligns_right(const struct sc_column *column)
{
    switch ((enum sc_column_kind)column->kind) {
    case SC_COL_COUNT:
    case SC_COL_OFFSET:
    case SC_COL_BYTES:
    case SC_COL_PERCENT:
    case SC_COL_NUMBER:
        return true;
    case SC_COL_TEXT:
    case SC_COL_LABEL:
    case SC_COL_SHAPE:
    case SC_COL_TIMES:
    case SC_COL_SEVERITY:
    case SC_COL_LIST:
    case SC_COL_DTYPE:
    case SC_COL_KEY:
        break;
    }
    return column->flags & SC_COL_RIGHT;
}

/* -------------------------------------------------------------------------------- tables --- */
/* One name of a thousand columns must not push every other row off the screen: what is wider than
 * this moves its own row only. */
#define ALIGN_MAX ((size_t)120)

enum { BAR = 3 }; /* "|  " */

struct layout {
    size_t width[SC_MAX_COLUMNS];
    size_t cut[SC_MAX_COLUMNS]; /* text is cut to so many columns; 0: it is not */
    bool hidden[SC_MAX_COLUMNS];
    uint8_t bar[SC_MAX_COLUMNS]; /* columns of the bar before it */
    bool titles;
    size_t n;
};

static size_t table_width(const struct layout *l)
{
    size_t width = 0, shown = 0;

    for (size_t i = 0; i < l->n; i++) {
        width += l->hidden[i] ? 0 : l->width[i] + l->bar[i];
        shown += !l->hidden[i];
    }
    return width + (shown ? 2 * (shown - 1) : 0);
}

/* Takes what is too much from columns that may be cut, as long as they keep `least`. */
static void shrink(struct layout *l, const struct sc_table *t, size_t room, size_t least)
{
    for (size_t i = 0; i < l->n; i++) {
        size_t width = table_width(l);
        if (width <= room || l->hidden[i] || !(t->columns[i].flags & SC_COL_SHRINK))
            continue;
        size_t spare = l->width[i] > least ? l->width[i] - least : 0;
        l->cut[i] = l->width[i] -= SC_MIN(spare, width - room);
    }
}

static void fit(struct layout *l, const struct sc_table *t, size_t room)
{
    enum { NAME_GOOD = 28, NAME_LEAST = 8 };

    if (!room)
        return;
    /* Figures of a tensor that cannot be told from the next are worth nothing: two thirds are for
     * names before the last figure goes, and what is left over then. */
    const struct layout whole = *l;
    shrink(l, t, room, SC_MAX(room * 2 / 3, NAME_GOOD));
    for (size_t i = l->n; i-- > 0 && table_width(l) > room;)
        l->hidden[i] = l->hidden[i] || (t->columns[i].flags & SC_COL_SPARE);
    memcpy(l->width, whole.width, sizeof l->width);
    memcpy(l->cut, whole.cut, sizeof l->cut);
    shrink(l, t, room, NAME_LEAST);
}

static void measure(const struct sc_table *t, const struct sc_term *term, struct scratch *scratch,
                    struct layout *l)
{
    struct shown shown;

    *l = (struct layout){.n = SC_MIN(t->n_columns, SC_MAX_COLUMNS)};
    shown.max = 0;
    for (size_t i = 0; i < l->n; i++) {
        l->hidden[i] = t->columns[i].flags & SC_COL_JSON_ONLY;
        l->bar[i] = t->columns[i].flags & SC_COL_BAR ? BAR : 0;
    }
    for (size_t row = 0; row < t->n_rows; row++) {
        for (size_t i = 0; i < l->n; i++) {
            if (l->hidden[i])
                continue;
            struct sc_cell cell = {0};
            t->cell(t->ctx, row, i, &cell);
            show(&shown, scratch, term, &t->columns[i], &cell);
            size_t width = SC_MIN(shown.width, ALIGN_MAX);
            l->width[i] = SC_MAX(l->width[i], width);
        }
    }
    for (size_t i = 0; i < l->n; i++) {
        const struct sc_column *column = &t->columns[i];
        if ((column->flags & SC_COL_OPTIONAL) && !l->width[i])
            l->hidden[i] = true;
        if (column->title && !l->hidden[i]) {
            l->titles = true;
            l->width[i] = SC_MAX(l->width[i], strlen(column->title));
        }
    }
    fit(l, t, term->width);
}

/* Blanks are held back until something follows them, so no line ends in blanks. */
struct line {
    size_t blanks;
    bool begun;
};

static void start_cell(struct sc_out *o, struct line *line, size_t before)
{
    sc_out_repeat(o, ' ', line->blanks + before);
    line->blanks = 0;
}

static void put_titles(struct sc_out *o, const struct sc_table *t, const struct sc_term *term,
                       const struct layout *l)
{
    struct line line = {0};

    for (size_t i = 0; i < l->n; i++) {
        if (l->hidden[i])
            continue;
        const char *title = t->columns[i].title ? t->columns[i].title : "";
        size_t pad = l->width[i] - SC_MIN(strlen(title), l->width[i]);
        line.blanks += l->bar[i];
        if (line.begun)
            line.blanks += 2;
        line.begun = true;
        if (*title) {
            bool right = aligns_right(&t->columns[i]);
            start_cell(o, &line, right ? pad : 0);
            sc_out_colour(o, term, SC_COLOUR_UNIT, title);
            pad = right ? 0 : pad;
        }
        line.blanks += pad;
    }
    sc_out_putc(o, '\n');
}

static void put_row(struct sc_out *o, const struct sc_table *t, size_t row,
                    const struct sc_term *term, struct scratch *scratch, const struct layout *l)
{
    struct line line = {0};
    struct shown shown;

    for (size_t i = 0; i < l->n; i++) {
        if (l->hidden[i])
            continue;
        struct sc_cell cell = {0};
        t->cell(t->ctx, row, i, &cell);
        shown.max = l->cut[i];
        show(&shown, scratch, term, &t->columns[i], &cell);
        size_t pad = l->width[i] - SC_MIN(shown.width, l->width[i]);
        if (line.begun)
            line.blanks += 2;
        line.begun = true;
        if (shown.width || shown.text.n) {
            bool right = aligns_right(&t->columns[i]);
            if (l->bar[i]) {
                start_cell(o, &line, 0);
                sc_out_colour(o, term, SC_COLOUR_UNIT, "|");
                line.blanks = BAR - 1;
            }
            start_cell(o, &line, (right ? pad : 0) + shown.indent);
            if (t->columns[i].kind == SC_COL_SHAPE)
                put_shape(o, term, &cell);
            else
                put_coloured(o, term, shown.colour, shown.text.p, shown.text.n);
            if (shown.unit[0])
                put_coloured(o, term, SC_COLOUR_UNIT, shown.unit, strlen(shown.unit));
            pad = right ? 0 : pad;
        } else {
            line.blanks += l->bar[i];
        }
        line.blanks += pad;
    }
    sc_out_putc(o, '\n');
}

void sc_report_table(struct sc_out *o, const struct sc_table *t, const struct sc_term *term)
{
    struct scratch scratch = {0};
    struct layout l;

    measure(t, term, &scratch, &l);
    if (l.titles && t->n_rows)
        put_titles(o, t, term, &l);
    for (size_t row = 0; row < t->n_rows && !o->status; row++)
        put_row(o, t, row, term, &scratch, &l);
    scratch_clear(&scratch, o);
}

/* -------------------------------------------------------------------------------- fields --- */
static bool is_shown(const struct sc_field *f)
{
    if (f->kind == SC_FIELD_LIST)
        for (const struct sc_field *c = f->as.children.first; c; c = c->next)
            if (c->kind == SC_FIELD_OBJECT || c->kind == SC_FIELD_LIST || c->kind == SC_FIELD_TABLE)
                return false;
    if (f->kind == SC_FIELD_LIST || f->kind == SC_FIELD_OBJECT)
        return f->as.children.first != NULL;
    return f->kind != SC_FIELD_NULL && f->kind != SC_FIELD_TABLE;
}

/* The words of one value, not yet safe. */
static void append_value(struct sc_buf *b, const struct sc_field *f)
{
    char text[40];

    switch ((enum sc_field_kind)f->kind) {
    case SC_FIELD_BOOL:
        sc_buf_puts(b, f->as.b ? "yes" : "no");
        break;
    case SC_FIELD_UINT:
        if (f->hint == SC_COL_BYTES)
            sc_format_bytes(f->as.u, text);
        else if (f->hint == SC_COL_COUNT)
            sc_format_count(f->as.u, text);
        else
            sc_format_u64(f->as.u, text);
        sc_buf_puts(b, text);
        break;
    case SC_FIELD_INT:
        if (f->as.i < 0)
            sc_buf_putc(b, '-');
        sc_format_u64(f->as.i < 0 ? 0 - (uint64_t)f->as.i : (uint64_t)f->as.i, text);
        sc_buf_puts(b, text);
        break;
    case SC_FIELD_NUMBER:
        sc_format_real(f->as.f, text);
        sc_buf_puts(b, text);
        break;
    case SC_FIELD_TEXT:
        sc_buf_put(b, f->as.s.p, f->as.s.n);
        break;
    case SC_FIELD_NULL:
    case SC_FIELD_OBJECT:
    case SC_FIELD_LIST:
    case SC_FIELD_TABLE:
        break;
    }
}

static void put_value(struct sc_out *o, const struct sc_field *f, const struct sc_term *term,
                      size_t column, struct scratch *scratch)
{
    struct sc_buf *raw = &scratch->joined;
    struct sc_str safe;

    raw->n = 0;
    if (f->kind == SC_FIELD_LIST) {
        for (const struct sc_field *c = f->as.children.first; c; c = c->next) {
            append_value(raw, c);
            if (c->next)
                sc_buf_puts(raw, ", ");
        }
    } else {
        append_value(raw, f);
    }
    /* However narrow the window, some of the value is shown. */
    size_t max = term->width ? (term->width > column + 24 ? term->width - column : 24) : 0;
    make_safe(scratch, term, sc_str(raw->n ? raw->p : "", raw->n), max, &safe);
    sc_out_put(o, safe.p, safe.n);
}

/* "head_size" as words; the name of an environment variable, in capitals, as it is. */
static void put_key(struct sc_out *o, const struct sc_term *term, struct sc_str key)
{
    char words[64];
    size_t n = SC_MIN(key.n, sizeof words);
    const bool is_name = n > 0 && key.p[0] >= 'A' && key.p[0] <= 'Z';

    for (size_t i = 0; i < n; i++) {
        words[i] = key.p[i];
        if (words[i] == '_' && !is_name)
            words[i] = ' ';
    }
    put_coloured(o, term, SC_COLOUR_KEY, words, n);
}

/* Keys are ours: ASCII, short. Recursion is as deep as our own documents nest. */
static void put_fields(struct sc_out *o, const struct sc_field *object, const struct sc_term *term,
                       size_t indent, struct scratch *scratch)
{
    size_t width = 0;

    for (const struct sc_field *f = object->as.children.first; f; f = f->next)
        if (is_shown(f) && f->kind != SC_FIELD_OBJECT)
            width = SC_MAX(width, f->key.n);
    for (const struct sc_field *f = object->as.children.first; f && !o->status; f = f->next) {
        if (!is_shown(f))
            continue;
        sc_out_repeat(o, ' ', indent);
        put_key(o, term, f->key);
        if (f->kind == SC_FIELD_OBJECT) {
            sc_out_putc(o, '\n');
            put_fields(o, f, term, indent + 2, scratch);
            continue;
        }
        sc_out_repeat(o, ' ', width - f->key.n + 2);
        put_value(o, f, term, indent + width + 2, scratch);
        sc_out_putc(o, '\n');
    }
}

void sc_report_fields(struct sc_out *o, const struct sc_field *object, const struct sc_term *term)
{
    struct scratch scratch = {0};

    if (object->kind == SC_FIELD_OBJECT)
        put_fields(o, object, term, 2, &scratch);
    scratch_clear(&scratch, o);
}
