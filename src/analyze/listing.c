/* SPDX-License-Identifier: Apache-2.0 */
/* listing: the document of `scruple tree`.
 *
 *   totals    of the whole model, whatever is filtered
 *   matched   what the filter let through
 *   dtypes    one row an element type, largest first
 *   tensors   one row a logical tensor, natural order
 *   rows      the collapsed view: what the terminal shows
 *
 * Owns: the columns of these tables. Does not own: collapsing and filtering (model).
 */
#include <stdlib.h>
#include <string.h>

#include "analyze/analyze.h"
#include "analyze/tree_quality.h"

/* ------------------------------------------------------------------------------- tensors --- */
enum tensor_column {
    TENSOR_NAME,
    TENSOR_FILE,
    TENSOR_DTYPE,
    TENSOR_SHAPE,
    TENSOR_PARAMETERS,
    TENSOR_BYTES,
    TENSOR_OFFSET,
    TENSOR_STORED,
    TENSOR_LAYOUT,
    TENSOR_BITS,
    TENSOR_ROLE,
    TENSOR_LAYER,
    TENSOR_EXPERT,
    TENSOR_TOWER,
    TENSOR_FLAGS,
};
static const struct sc_column tensor_columns[] = {
    [TENSOR_NAME] = {"name", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_FILE] = {"file", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_DTYPE] = {"dtype", NULL, NULL, SC_COL_DTYPE, 0, 0},
    [TENSOR_SHAPE] = {"shape", NULL, NULL, SC_COL_SHAPE, 0, 0},
    [TENSOR_PARAMETERS] = {"parameters", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_BYTES] = {"bytes", NULL, "bytes", SC_COL_BYTES, 0, 0},
    [TENSOR_OFFSET] = {"offset", NULL, "bytes", SC_COL_OFFSET, 0, 0},
    [TENSOR_STORED] = {"stored", NULL, NULL, SC_COL_LIST, 0, 0},
    [TENSOR_LAYOUT] = {"layout", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_BITS] = {"bits_per_weight", NULL, "bits", SC_COL_NUMBER, 0, 2},
    [TENSOR_ROLE] = {"role", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_LAYER] = {"layer", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_EXPERT] = {"expert", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_TOWER] = {"tower", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_FLAGS] = {"flags", NULL, NULL, SC_COL_LIST, 0, 0},
};

enum { TENSOR_FLAGS_MAX = 4 };
struct tensor_view {
    const struct sc_model *model;
    const uint32_t *matched;               /* NULL: all */
    struct sc_str *parts;                  /* names of the tensor that was asked for last */
    struct sc_str *flags;                  /* (TENSOR_FLAGS_MAX) and its flags */
    const struct sc_tree_quality *quality; /* NULL: none */
};

static uint32_t tensor_at(const struct tensor_view *v, size_t row)
{
    return v->matched ? v->matched[row] : (uint32_t)row;
}

static const struct sc_entry *main_entry(const struct sc_model *m, const struct sc_tensor *t)
{
    return &m->catalog->entries[t->main];
}

static struct sc_str main_file(const struct sc_model *m, const struct sc_tensor *t)
{
    return sc_strz(m->catalog->files[main_entry(m, t)->file].path);
}

/* What is special about its bytes: "broken": not (all) there; "tied": in an earlier tensor;
 * "big-endian"; "fortran": column-major. */
static void list_flags(unsigned flags, struct sc_str *room, struct sc_cell *out)
{
    static const struct {
        unsigned flag;
        struct sc_str name;
    } known[TENSOR_FLAGS_MAX] = {
        {SC_ENTRY_BROKEN, {"broken", 6}},
        {SC_ENTRY_TIED, {"tied", 4}},
        {SC_ENTRY_BIG_ENDIAN, {"big-endian", 10}},
        {SC_ENTRY_FORTRAN, {"fortran", 7}},
    };
    out->list = room;
    for (size_t i = 0; i < TENSOR_FLAGS_MAX; i++)
        if (flags & known[i].flag)
            room[out->n_list++] = known[i].name;
}

static void tensor_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct tensor_view *v = ctx;
    const struct sc_model *m = v->model;
    const struct sc_tensor *t = &m->tensors[tensor_at(v, row)];

    if (column >= SC_COUNT(tensor_columns)) {
        sc_tree_quality_tensor_cell(v->quality, tensor_at(v, row),
                                    column - SC_COUNT(tensor_columns), out);
        return;
    }
    switch ((enum tensor_column)column) {
    case TENSOR_NAME:
        out->text = sc_str(t->name, t->name_len);
        break;
    case TENSOR_FILE:
        out->text = main_file(m, t);
        break;
    case TENSOR_DTYPE:
        out->text = sc_strz(t->dtype);
        break;
    case TENSOR_SHAPE:
        out->dims = t->shape;
        out->n_dims = t->rank;
        break;
    case TENSOR_PARAMETERS:
        out->u = t->parameters;
        break;
    case TENSOR_BYTES:
        out->u = t->bytes;
        break;
    case TENSOR_OFFSET:
        out->u = main_entry(m, t)->offset;
        break;
    case TENSOR_STORED:
        /* A plain tensor is stored under its own name: nothing to list. */
        out->list = v->parts;
        out->n_list = t->n_parts > 1 ? t->n_parts : 0;
        for (size_t i = 0; i < out->n_list; i++)
            v->parts[i] = sc_entry_name(&m->catalog->entries[m->parts[t->first_part + i].entry]);
        break;
    case TENSOR_LAYOUT:
        out->text = sc_strz(sc_layouts[t->layout].name);
        break;
    case TENSOR_BITS:
        out->null = !sc_tensor_counted(m, t);
        out->f = sc_bits_per_weight(t->bytes, t->parameters);
        break;
    case TENSOR_ROLE:
        out->text = sc_strz(sc_role_names[t->role]);
        break;
    case TENSOR_LAYER:
        out->null = t->layer < 0;
        out->u = (uint64_t)t->layer;
        break;
    case TENSOR_EXPERT:
        out->null = t->expert < 0;
        out->u = (uint64_t)t->expert;
        break;
    case TENSOR_TOWER:
        out->text = sc_strz(sc_tower_names[t->tower]);
        break;
    case TENSOR_FLAGS:
        list_flags(sc_tensor_flags(m, t), v->flags, out);
        break;
    }
}

static void tensor_more(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct tensor_view *v = ctx;

    sc_tree_quality_add_tensor(v->quality, tensor_at(v, row), d, into);
}

static int add_tensors(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                       const struct sc_outline *outline, const struct sc_filter *filter,
                       const struct sc_tree_quality *quality, bool flat, struct sc_error *e)
{
    const struct sc_column *columns = tensor_columns;
    size_t n_columns = SC_COUNT(tensor_columns);

    struct tensor_view *v = sc_analyze_alloc(d, sizeof *v, e);
    size_t most_parts = 1, n = m->n_tensors;

    if (!v)
        return SCRUPLE_EMEMORY;
    *v = (struct tensor_view){.model = m, .quality = quality};
    for (size_t i = 0; i < m->n_tensors; i++)
        most_parts = SC_MAX(most_parts, m->tensors[i].n_parts);
    v->parts = sc_analyze_alloc(d, most_parts * sizeof *v->parts, e);
    v->flags = sc_analyze_alloc(d, TENSOR_FLAGS_MAX * sizeof *v->flags, e);
    if (!v->parts || !v->flags)
        return SCRUPLE_EMEMORY;
    if (filter) {
        uint32_t *matched = sc_analyze_alloc(d, outline->n_matched * sizeof *matched, e);
        if (!matched)
            return SCRUPLE_EMEMORY;
        n = 0;
        for (size_t i = 0; i < m->n_tensors && n < outline->n_matched; i++)
            if (sc_filter_match(filter, sc_str(m->tensors[i].name, m->tensors[i].name_len)))
                matched[n++] = (uint32_t)i;
        v->matched = matched;
    }
    if (quality && flat)
        TRY(sc_tree_quality_columns(d, quality, true, &columns, &n_columns, e));
    sc_add_table_more(d, into, "tensors", &(struct sc_table){columns, n_columns, n, tensor_cell, v},
                      quality ? tensor_more : NULL);
    return sc_analyze_done(d, e);
}

/* ------------------------------------------------------------------------ collapsed rows --- */
/* Sizes stand twice: the terminal leaves them out at modules, unless --depth closed them, so that
 * what one sees adds up; JSON has them everywhere. Both are of one member, total_bytes of all. */
enum row_column {
    ROW_LABEL,
    ROW_DEPTH,
    ROW_COUNT,
    ROW_SHAPE,
    ROW_DTYPE,
    ROW_PARAMETERS,
    ROW_BITS,
    ROW_BYTES,
    ROW_TOTAL,
    ROW_SHOWN_BYTES,
    ROW_SHOWN_COUNT,
    ROW_SHOWN_PERCENT,
    ROW_PERCENT,
    ROW_FILE,
};
static const struct sc_column row_columns[] = {
    [ROW_LABEL] = {"label", NULL, NULL, SC_COL_LABEL, 0, 0},
    [ROW_DEPTH] = {"depth", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [ROW_COUNT] = {"count", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [ROW_SHAPE] = {"shape", NULL, NULL, SC_COL_SHAPE, 0, 0},
    [ROW_DTYPE] = {"dtype", NULL, NULL, SC_COL_DTYPE, 0, 0},
    [ROW_PARAMETERS] = {"parameters", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [ROW_BITS] = {"bits_per_weight", NULL, "bpw", SC_COL_NUMBER, SC_COL_OPTIONAL | SC_COL_TERM_ONLY,
                  2},
    [ROW_BYTES] = {"bytes", NULL, "bytes", SC_COL_BYTES, SC_COL_JSON_ONLY, 0},
    [ROW_TOTAL] = {"total_bytes", NULL, "bytes", SC_COL_BYTES, SC_COL_JSON_ONLY, 0},
    [ROW_SHOWN_BYTES] = {"bytes", NULL, "bytes", SC_COL_BYTES, SC_COL_TERM_ONLY, 0},
    [ROW_SHOWN_COUNT] = {"count", NULL, NULL, SC_COL_TIMES, SC_COL_OPTIONAL | SC_COL_TERM_ONLY, 0},
    [ROW_SHOWN_PERCENT] = {"percent", NULL, NULL, SC_COL_PERCENT, SC_COL_TERM_ONLY, 0},
    [ROW_PERCENT] = {"percent", NULL, NULL, SC_COL_PERCENT, SC_COL_JSON_ONLY, 0},
    [ROW_FILE] = {"file", NULL, NULL, SC_COL_TEXT, SC_COL_OPTIONAL | SC_COL_TERM_ONLY, 0},
};

struct row_view {
    const struct sc_model *model;
    const struct sc_outline *outline;
    bool files;                            /* name the file of each row */
    const struct sc_tree_quality *quality; /* NULL: none */
};

/* The terminal says sizes where JSON always does: at tensors and at what --depth closed. */
static bool has_size(const struct sc_row *r)
{
    return r->tensor != SC_NO_NODE || r->closed;
}

static double row_total(const struct sc_row *r)
{
    return (double)r->bytes * (double)r->count;
}

static void row_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct row_view *v = ctx;
    const struct sc_row *r = &v->outline->rows[row];
    const struct sc_tensor *t = r->tensor == SC_NO_NODE ? NULL : &v->model->tensors[r->tensor];

    if (column >= SC_COUNT(row_columns)) {
        sc_tree_quality_row_cell(v->quality, row, column - SC_COUNT(row_columns), out);
        return;
    }
    switch ((enum row_column)column) {
    case ROW_LABEL:
        out->text = sc_str(r->label, r->label_len);
        out->depth = r->depth;
        out->strong = !t;
        break;
    case ROW_DEPTH:
        out->u = r->depth;
        break;
    case ROW_COUNT:
        out->u = r->count;
        break;
    case ROW_SHAPE:
        out->null = !t;
        out->dims = t ? t->shape : NULL;
        out->n_dims = t ? t->rank : 0;
        break;
    case ROW_DTYPE:
        out->null = !t;
        out->text = sc_strz(t ? t->dtype : "");
        break;
    case ROW_PARAMETERS:
        out->u = r->parameters;
        break;
    case ROW_BITS:
        out->null = !t || t->layout == SC_LAYOUT_PLAIN || !t->parameters;
        out->f = t ? sc_bits_per_weight(t->bytes, t->parameters) : 0;
        break;
    case ROW_SHOWN_BYTES:
        out->null = !has_size(r);
        out->u = r->bytes;
        if (t && sc_tensor_flags(v->model, t) & SC_ENTRY_BROKEN)
            out->text = SC_STR("broken");
        else if (t && sc_tensor_flags(v->model, t) & SC_ENTRY_TIED)
            out->text = SC_STR("tied"); /* its bytes are in an earlier row */
        break;
    case ROW_BYTES:
        out->u = r->bytes;
        break;
    case ROW_TOTAL:
        if (!sc_mul(r->bytes, r->count, &out->u))
            out->u = UINT64_MAX;
        break;
    case ROW_SHOWN_COUNT:
        out->null = !has_size(r);
        out->u = r->count;
        break;
    case ROW_SHOWN_PERCENT:
        out->null = !has_size(r);
        out->f = sc_percent(row_total(r), v->model->bytes);
        break;
    case ROW_PERCENT:
        out->f = sc_percent(row_total(r), v->model->bytes);
        break;
    case ROW_FILE:
        out->null = !t || !v->files;
        out->text = out->null ? sc_str("", 0) : main_file(v->model, t);
        break;
    }
}

static void row_more(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct row_view *v = ctx;

    sc_tree_quality_add_row(v->quality, row, d, into);
}

static int add_rows(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                    const struct sc_outline *outline, bool flat,
                    const struct sc_tree_quality *quality, struct sc_error *e)
{
    const struct sc_column *columns = row_columns;
    size_t n_columns = SC_COUNT(row_columns);
    struct row_view *v = sc_analyze_alloc(d, sizeof *v, e);

    if (!v)
        return SCRUPLE_EMEMORY;
    *v = (struct row_view){m, outline, flat && m->catalog->n_files > 1, quality};
    if (quality)
        TRY(sc_tree_quality_columns(d, quality, false, &columns, &n_columns, e));
    sc_add_table_more(d, into, "rows",
                      &(struct sc_table){columns, n_columns, outline->n_rows, row_cell, v},
                      quality ? row_more : NULL);
    return sc_analyze_done(d, e);
}

/* -------------------------------------------------------------------------------- dtypes --- */
struct dtype_row {
    const char *dtype;
    uint64_t tensors, parameters, bytes;
};
struct dtype_view {
    struct dtype_row *rows;
    uint64_t whole;
};
enum dtype_column { DTYPE_NAME, DTYPE_TENSORS, DTYPE_PARAMETERS, DTYPE_BYTES, DTYPE_PERCENT };
static const struct sc_column dtype_columns[] = {
    [DTYPE_NAME] = {"dtype", "dtype", NULL, SC_COL_DTYPE, 0, 0},
    [DTYPE_TENSORS] = {"tensors", "tensors", NULL, SC_COL_COUNT, 0, 0},
    [DTYPE_PARAMETERS] = {"parameters", "parameters", NULL, SC_COL_COUNT, 0, 0},
    [DTYPE_BYTES] = {"bytes", "size", "bytes", SC_COL_BYTES, 0, 0},
    [DTYPE_PERCENT] = {"percent", "share", NULL, SC_COL_PERCENT, 0, 0},
};

static void dtype_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct dtype_view *v = ctx;
    const struct dtype_row *r = &v->rows[row];

    switch ((enum dtype_column)column) {
    case DTYPE_NAME:
        out->text = sc_strz(r->dtype);
        break;
    case DTYPE_TENSORS:
        out->u = r->tensors;
        break;
    case DTYPE_PARAMETERS:
        out->u = r->parameters;
        break;
    case DTYPE_BYTES:
        out->u = r->bytes;
        break;
    case DTYPE_PERCENT:
        out->f = sc_percent((double)r->bytes, v->whole);
        break;
    }
}

/* Largest first; names break ties, so the order does not depend on the file. */
static int by_size(const void *a, const void *b)
{
    const struct dtype_row *x = a, *y = b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return strcmp(x->dtype, y->dtype);
}

/* Rows while they are counted. A file can make up as many type names as it has tensors, hence the
 * index. */
struct dtype_list {
    struct dtype_row *rows;
    size_t n, cap;
    struct sc_index index;
};

/* The row of a dtype, made if it is new; NULL: no memory. */
static struct dtype_row *dtype_row(struct dtype_list *l, const char *dtype, struct sc_error *e)
{
    uint64_t hash = sc_hash(dtype, strlen(dtype));
    size_t probe = 0;
    uint32_t row;

    while (l->rows && (row = sc_index_next(&l->index, hash, &probe)) != UINT32_MAX)
        if (!strcmp(l->rows[row].dtype, dtype))
            return &l->rows[row];
    if (sc_grow(&l->rows, &l->cap, l->n + 1, sizeof *l->rows, e) < 0 ||
        sc_index_put(&l->index, hash, (uint32_t)l->n, e) < 0)
        return NULL;
    l->rows[l->n] = (struct dtype_row){.dtype = dtype};
    return &l->rows[l->n++];
}

static int count_dtypes(const struct sc_model *m, struct dtype_list *l, struct sc_error *e)
{
    struct dtype_row *r = NULL;

    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        /* Neighbours mostly agree, and then even by pointer. */
        if (!r || r->dtype != t->dtype)
            r = dtype_row(l, t->dtype, e);
        if (!r)
            return SCRUPLE_EMEMORY;
        r->tensors++;
        r->parameters = sc_add_up(r->parameters, sc_tensor_counted(m, t));
        r->bytes = sc_add_up(r->bytes, t->bytes);
    }
    return 0;
}

int sc_analyze_dtypes(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                      struct sc_error *e)
{
    struct dtype_list list = {.n = 0};
    struct dtype_view *v = sc_analyze_alloc(d, sizeof *v, e);
    int code = v ? count_dtypes(m, &list, e) : SCRUPLE_EMEMORY;

    if (code < 0)
        goto done;
    v->whole = m->bytes;
    v->rows = sc_analyze_alloc(d, list.n * sizeof *v->rows, e);
    if (!v->rows) {
        code = SCRUPLE_EMEMORY;
        goto done;
    }
    if (list.n) {
        qsort(list.rows, list.n, sizeof *list.rows, by_size);
        memcpy(v->rows, list.rows, list.n * sizeof *list.rows);
    }
    sc_add_table(d, into, "dtypes",
                 &(struct sc_table){dtype_columns, SC_COUNT(dtype_columns), list.n, dtype_cell, v});
    code = sc_analyze_done(d, e);
done:
    sc_index_clear(&list.index);
    free(list.rows);
    return code;
}

/* ------------------------------------------------------------------------------ document --- */
int sc_analyze_totals(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                      struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;
    uint64_t file_bytes = 0, header_bytes = 0, other_bytes = 0;

    for (size_t i = 0; i < c->n_files; i++) {
        file_bytes = sc_add_up(file_bytes, c->files[i].bytes);
        header_bytes = sc_add_up(header_bytes, c->files[i].header_bytes);
        other_bytes = sc_add_up(other_bytes, c->files[i].other_bytes);
    }
    struct sc_field *totals = sc_add_object(d, into, "totals");
    sc_add_uint(d, totals, "tensors", c->n_entries, SC_COL_COUNT);
    sc_add_uint(d, totals, "logical_tensors", m->n_tensors, SC_COL_COUNT);
    sc_add_uint(d, totals, "parameters", m->parameters, SC_COL_COUNT);
    sc_add_uint(d, totals, "bytes", m->bytes, SC_COL_BYTES);
    sc_add_uint(d, totals, "file_bytes", file_bytes, SC_COL_BYTES);
    sc_add_uint(d, totals, "header_bytes", header_bytes, SC_COL_BYTES);
    sc_add_uint(d, totals, "other_bytes", other_bytes, SC_COL_BYTES);
    return sc_analyze_done(d, e);
}

int sc_analyze_tree(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                    const struct sc_outline *outline, const struct sc_outline_options *oo,
                    struct sc_error *e)
{
    static const struct sc_tree_look plain = {.quality = NULL};

    return sc_analyze_tree_quality(d, into, m, outline, oo, &plain, e);
}

int sc_analyze_tree_quality(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                            const struct sc_outline *outline, const struct sc_outline_options *oo,
                            const struct sc_tree_look *look, struct sc_error *e)
{
    const struct sc_quant *q = look->quality;
    struct sc_tree_quality *quality = NULL;

    if (q) {
        TRY(sc_tree_quality_make(d, q, outline, look->ascii, &quality, e));
        TRY(sc_analyze_model_read(d, into, m, sc_quant_bytes_read(q), sc_quant_requests(q), e));
        sc_tree_quality_add(quality, d, into);
    } else {
        TRY(sc_analyze_model(d, into, m, e));
    }
    TRY(sc_analyze_totals(d, into, m, e));
    if (oo->filter) {
        struct sc_field *matched = sc_add_object(d, into, "matched");
        sc_add_uint(d, matched, "logical_tensors", outline->n_matched, SC_COL_COUNT);
        sc_add_uint(d, matched, "parameters", outline->matched_parameters, SC_COL_COUNT);
        sc_add_uint(d, matched, "bytes", outline->matched_bytes, SC_COL_BYTES);
    }
    TRY(sc_analyze_dtypes(d, into, m, e));
    TRY(add_tensors(d, into, m, outline, oo->filter, quality, look->flat, e));
    TRY(add_rows(d, into, m, outline, oo->flat, quality, e));
    return sc_analyze_findings(d, into, m, e);
}
