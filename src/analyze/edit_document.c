/* SPDX-License-Identifier: Apache-2.0 */
/* edit_document: what was asked of single weights, and what their types could hold. */
#include <math.h>
#include <string.h>

#include "analyze/edit.h"

enum {
    PLACE,
    OPERATION,
    DTYPE,
    ELEMENTS,
    CHANGED,
    WAS,
    ASKED,
    HELD,
    WORST,
    NEIGHBOURS,
    NEIGHBOURS_WORST,
    TENSOR,
    COLUMNS
};
static const struct sc_column columns[COLUMNS] = {
    [PLACE] = {"place", "PLACE", NULL, SC_COL_TEXT, SC_COL_SHRINK, 0},
    [OPERATION] = {"operation", "DO", NULL, SC_COL_TEXT, 0, 0},
    [DTYPE] = {"dtype", "TYPE", NULL, SC_COL_DTYPE, SC_COL_SPARE, 0},
    [ELEMENTS] = {"elements", "ELEMENTS", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_SPARE, 0},
    [CHANGED] = {"changed", "CHANGED", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [WAS] = {"was", "WAS", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_OPTIONAL, 6},
    [ASKED] = {"asked", "ASKED", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_OPTIONAL, 6},
    [HELD] = {"held", "HELD", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_OPTIONAL, 6},
    [WORST] = {"largest_error", "OFF BY", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 6},
    [NEIGHBOURS] = {"neighbours", "OTHERS MOVED", NULL, SC_COL_COUNT,
                    SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
    [NEIGHBOURS_WORST] = {"neighbours_moved", "BY", NULL, SC_COL_NUMBER,
                          SC_COL_RIGHT | SC_COL_OPTIONAL, 6},
    [TENSOR] = {"tensor", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
};

struct table {
    const struct sc_model *m;
    const struct sc_edit_wishes *w;
};

static void put_number(double v, bool shown, struct sc_cell *out)
{
    out->f = v;
    out->null = !shown;
}

static void get(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct table *x = ctx;
    const struct sc_edit_wish *w = &x->w->p[row];
    const struct sc_tensor *t = &x->m->tensors[w->tensor];
    const bool one = w->elements == 1;

    switch (column) {
    case PLACE:
        out->text = sc_strz(w->place);
        break;
    case OPERATION:
        out->text = sc_strz(sc_edit_ops[w->op]);
        break;
    case DTYPE:
        out->text = sc_strz(t->dtype);
        break;
    case TENSOR:
        out->text = sc_tensor_name(t);
        break;
    case ELEMENTS:
        out->u = w->elements;
        break;
    case CHANGED:
        out->u = w->changed;
        break;
    case NEIGHBOURS:
        out->u = w->neighbours;
        out->null = !w->neighbours;
        break;
    case WAS:
        put_number(w->was, one, out);
        break;
    case ASKED: /* the same for all but when scaling */
        put_number(w->asked, one || w->op != SC_EDIT_SCALE, out);
        break;
    case HELD:
        put_number(w->held, one, out);
        break;
    case WORST:
        put_number(w->worst, true, out);
        break;
    default:
        put_number(w->neighbours_worst, w->neighbours > 0, out);
    }
}

void sc_analyze_edit_output(struct sc_document *d, struct sc_field *into, const char *path,
                            const struct sc_edit_written *written)
{
    struct sc_field *o = sc_add_object(d, into, "output");

    sc_add_textz(d, o, "path", path);
    sc_add_uint(d, o, "files", written->files, SC_COL_COUNT);
    sc_add_uint(d, o, "bytes", written->bytes, SC_COL_BYTES);
    sc_add_textz(d, o, "record", written->record.n ? written->record.p : NULL);
}

void sc_analyze_edit(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                     const struct sc_edit_wishes *w, const char *path,
                     const struct sc_edit_written *written)
{
    struct table *x = SC_ARENA_NEW(&d->arena, struct table, 1);

    if (!x) {
        d->failed = true;
        return;
    }
    *x = (struct table){m, w};
    const struct sc_table t = {columns, COLUMNS, w->n, get, x};
    sc_add_table(d, into, "edits", &t);
    if (written)
        sc_analyze_edit_output(d, into, path, written);
    else
        sc_add_null(d, into, "output");
}
