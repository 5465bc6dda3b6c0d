/* SPDX-License-Identifier: Apache-2.0 */
/* csv: a table as comma-separated values.
 *
 *   name,dtype,shape,bytes
 *   model.norm.weight,BF16,4096,8192
 *   "odd, name",BF16,64x64,8192
 *
 * Quoting follows RFC 4180; lines end in LF, as the tools beside us write and read them. Cells are
 * safe where they usually end up: text is escaped as for a terminal (so a row is always one line),
 * and a text that a spreadsheet would take for a formula gets a leading apostrophe.
 */
#include <string.h>

#include "report/report.h"

static bool is_formula(struct sc_str s)
{
    return s.n && s.p[0] && strchr("=+-@\t\r", s.p[0]);
}

static void put_text(struct sc_out *o, struct sc_str text, struct sc_buf *scratch)
{
    scratch->n = 0;
    if (is_formula(text))
        sc_buf_putc(scratch, '\'');
    sc_put_safe(scratch, text, 0);
    if (scratch->failed) {
        o->buf.failed = true;
        return;
    }
    /* An empty buffer need not have memory yet. */
    if (!scratch->n)
        return;
    if (!memchr(scratch->p, '"', scratch->n) && !memchr(scratch->p, ',', scratch->n) &&
        scratch->p[0] != ' ' && scratch->p[scratch->n - 1] != ' ') {
        sc_out_put(o, scratch->p, scratch->n);
        return;
    }
    sc_out_putc(o, '"');
    for (size_t i = 0; i < scratch->n; i++) {
        if (scratch->p[i] == '"')
            sc_out_putc(o, '"');
        sc_out_putc(o, scratch->p[i]);
    }
    sc_out_putc(o, '"');
}

static void put_list(struct sc_out *o, const struct sc_cell *cell, struct sc_buf *scratch)
{
    struct sc_buf joined = {0};

    for (size_t i = 0; i < cell->n_list; i++) {
        if (i)
            sc_buf_putc(&joined, ' ');
        sc_buf_put(&joined, cell->list[i].p, cell->list[i].n);
    }
    if (joined.failed)
        o->buf.failed = true;
    else
        put_text(o, sc_str(joined.n ? joined.p : "", joined.n), scratch);
    sc_buf_clear(&joined);
}

static void put_cell(struct sc_out *o, const struct sc_column *column, const struct sc_cell *cell,
                     struct sc_buf *scratch)
{
    static const char *const severity[] = {"info", "warning", "error"};
    char number[40];

    if (cell->null)
        return;
    switch ((enum sc_column_kind)column->kind) {
    case SC_COL_TEXT:
    case SC_COL_LABEL:
    case SC_COL_DTYPE:
    case SC_COL_KEY:
        put_text(o, cell->text, scratch);
        break;
    case SC_COL_SHAPE:
        for (size_t i = 0; i < cell->n_dims; i++) {
            if (i)
                sc_out_putc(o, 'x');
            sc_out_u64(o, cell->dims[i]);
        }
        if (!cell->n_dims)
            sc_out_puts(o, "scalar");
        break;
    case SC_COL_COUNT:
    case SC_COL_BYTES:
    case SC_COL_OFFSET:
    case SC_COL_TIMES:
        sc_out_u64(o, cell->u);
        break;
    case SC_COL_PERCENT:
    case SC_COL_NUMBER:
        sc_format_double(cell->f, number);
        sc_out_puts(o, number);
        break;
    case SC_COL_SEVERITY:
        sc_out_puts(o, severity[SC_MIN(cell->u, 2)]);
        break;
    case SC_COL_LIST:
        put_list(o, cell, scratch);
        break;
    }
}

void sc_report_csv(struct sc_out *o, const struct sc_table *t)
{
    struct sc_buf scratch = {0};
    bool first = true;

    for (size_t i = 0; i < t->n_columns; i++) {
        if (t->columns[i].flags & SC_COL_TERM_ONLY)
            continue;
        if (!first)
            sc_out_putc(o, ',');
        put_text(o, sc_strz(t->columns[i].key), &scratch);
        first = false;
    }
    sc_out_putc(o, '\n');
    for (size_t row = 0; row < t->n_rows && !o->status; row++) {
        first = true;
        for (size_t i = 0; i < t->n_columns; i++) {
            if (t->columns[i].flags & SC_COL_TERM_ONLY)
                continue;
            struct sc_cell cell = {0};
            t->cell(t->ctx, row, i, &cell);
            if (!first)
                sc_out_putc(o, ',');
            put_cell(o, &t->columns[i], &cell, &scratch);
            first = false;
        }
        sc_out_putc(o, '\n');
    }
    sc_buf_clear(&scratch);
}
