/* SPDX-License-Identifier: Apache-2.0 */
/* largest_document: the largest weights as tables. */
#include <math.h>

#include "analyze/figures.h"
#include "analyze/largest.h"
#include "analyze/super.h"
#include "analyze/super_known.h"

static void put_number(double v, struct sc_cell *out)
{
    out->f = v;
    out->null = !isfinite(v);
}

static void put_index(int32_t v, struct sc_cell *out)
{
    out->u = v < 0 ? 0 : (uint64_t)v;
    out->null = v < 0;
}

static void put_text(const char *text, struct sc_cell *out)
{
    out->text = text ? sc_strz(text) : sc_str(NULL, 0);
    out->null = !text;
}

static struct sc_str name_of(const struct sc_largest_document *s, const struct sc_large_matrix *m)
{
    return sc_tensor_name(&s->model->tensors[m->tensor]);
}

/* The largest of a normal sample of this size, with this root mean square. */
static double normal_max(const struct sc_large_matrix *m)
{
    const uint64_t finite = m->count - m->nans - m->infinities;

    return finite ? m->rms * sc_normal_max(finite) : (double)NAN;
}

/* --------------------------------------------------------------------------------- weights --- */
enum {
    LAYER,
    EXPERT,
    KIND,
    ROW,
    COL,
    WEIGHT,
    RATIO,
    NORMAL,
    IN_ROW,
    IN_COL,
    KL,
    LABEL,
    TENSOR,
    STORED_ROW,
    STORED_COL,
    KNOWN,
    AT,
    LINK,
    COLUMNS
};
static const struct sc_column columns[COLUMNS] = {
    [LAYER] = {"layer", "LAYER", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
    [EXPERT] = {"expert", "EXPERT", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
    [KIND] = {"kind", "KIND", NULL, SC_COL_TEXT, 0, 0},
    [ROW] = {"row", "ROW", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [COL] = {"column", "COLUMN", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [WEIGHT] = {"weight", "WEIGHT", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 5},
    [RATIO] = {"over_rms", "x RMS", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 1},
    [NORMAL] = {"over_normal", "x NORMAL", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 2},
    [IN_ROW] = {"in_row", "IN ROW", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_SPARE, 0},
    [IN_COL] = {"in_column", "IN COLUMN", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_SPARE, 0},
    [KL] = {"alone_kl", "KL ALONE", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_OPTIONAL, 4},
    [LABEL] = {"label", "VERDICT", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
    [TENSOR] = {"tensor", "TENSOR", NULL, SC_COL_TEXT, SC_COL_SHRINK | SC_COL_SPARE, 0},
    [STORED_ROW] = {"stored_row", NULL, NULL, SC_COL_OFFSET, SC_COL_JSON_ONLY, 0},
    [STORED_COL] = {"stored_column", NULL, NULL, SC_COL_OFFSET, SC_COL_JSON_ONLY, 0},
    [KNOWN] = {"published", "PUBLISHED FOR", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
    [AT] = {"at", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [LINK] = {"link", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
};

static uint64_t stored_cols(const struct sc_tensor *t)
{
    return t->rank ? t->parameters / t->shape[0] : 1; /* what is ranked has elements */
}

static void get_weight(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_largest_document *s = ctx;
    const struct sc_large_weight *w = &s->found->weights[row];
    const struct sc_large_matrix *m = &s->found->matrices[w->matrix];
    const uint64_t cols = stored_cols(&s->model->tensors[m->tensor]);
    const struct sc_super_known *k;

    switch (column) {
    case LAYER:
        put_index(m->layer, out);
        break;
    case EXPERT:
        put_index(m->expert, out);
        break;
    case KIND:
        put_text(sc_role_names[w->role], out);
        break;
    case TENSOR:
        out->text = name_of(s, m);
        break;
    case KNOWN:
        k = sc_super_known_at(s->known, m->tensor, w->element);
        put_text(k ? k->model : NULL, out);
        break;
    case AT:
    case LINK:
        sc_spotter_cell(s->spotter, m->tensor, w->element, column == LINK, out);
        break;
    case WEIGHT:
        put_number((double)w->value, out);
        break;
    case RATIO:
        put_number(fabs((double)w->value) / m->rms, out);
        break;
    case NORMAL:
        put_number(fabs((double)w->value) / normal_max(m), out);
        break;
    case KL:
        put_number(s->effects ? s->list->p[row].alone_kl : (double)NAN, out);
        break;
    case LABEL:
        put_text(s->effects ? s->list->p[row].label : NULL, out);
        break;
    default:
        out->u = column == ROW          ? w->row
                 : column == COL        ? w->col
                 : column == IN_ROW     ? w->in_row
                 : column == IN_COL     ? w->in_col
                 : column == STORED_ROW ? w->element / cols
                                        : w->element % cols;
    }
}

/* ----------------------------------------------------------------------------------- lines --- */
enum { L_WHAT, L_AT, L_N, L_OF, L_CHANCE, L_LAYER, L_EXPERT, L_TENSOR, L_COLUMNS };
static const struct sc_column line_columns[L_COLUMNS] = {
    [L_WHAT] = {"what", "LINE", NULL, SC_COL_TEXT, 0, 0},
    [L_AT] = {"index", "NUMBER", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [L_N] = {"weights", "WEIGHTS", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [L_OF] = {"of", "OF", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [L_CHANCE] = {"chance", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [L_LAYER] = {"layer", "LAYER", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
    [L_EXPERT] = {"expert", "EXPERT", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
    [L_TENSOR] = {"tensor", "TENSOR", NULL, SC_COL_TEXT, SC_COL_SHRINK, 0},
};

static void get_line(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_largest_document *s = ctx;
    const struct sc_large_line *l = &s->found->lines[row];
    const struct sc_large_matrix *m = &s->found->matrices[l->matrix];

    switch (column) {
    case L_WHAT:
        put_text(l->column ? "column" : "row", out);
        break;
    case L_CHANCE:
        put_number(l->chance, out);
        break;
    case L_LAYER:
        put_index(m->layer, out);
        break;
    case L_EXPERT:
        put_index(m->expert, out);
        break;
    case L_TENSOR:
        out->text = name_of(s, m);
        break;
    default:
        out->u = column == L_AT ? l->at : column == L_N ? l->n : m->chosen;
    }
}

/* ---------------------------------------------------------------------------------- groups --- */
enum { G_TENSOR, G_EXPERT, G_LAYER, G_VALUES, G_ASKED, G_FOUND, G_TIES, G_COLUMNS };
static const struct sc_column group_columns[G_COLUMNS] = {
    [G_TENSOR] = {"tensor", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [G_EXPERT] = {"expert", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [G_LAYER] = {"layer", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [G_VALUES] = {"values", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [G_ASKED] = {"asked", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [G_FOUND] = {"weights", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [G_TIES] = {"ties", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
};

static enum sc_large_per per_of(const struct sc_largest_options *o)
{
    return o->by == SC_LARGE_ABOVE ? SC_LARGE_PER_MODEL : o->per;
}

static void get_group(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_largest_document *s = ctx;
    const struct sc_large_group *g = &s->found->groups[row];
    const struct sc_large_matrix *m = &s->found->matrices[g->first_matrix];
    const enum sc_large_per per = per_of(s->asked);

    switch (column) {
    case G_TENSOR:
        out->text = name_of(s, m);
        out->null = per < SC_LARGE_PER_TENSOR;
        break;
    case G_EXPERT:
        put_index(per == SC_LARGE_PER_MATRIX ? m->expert : -1, out);
        break;
    case G_LAYER:
        put_index(per == SC_LARGE_PER_MODEL ? -1 : m->layer, out);
        break;
    default:
        out->u = column == G_VALUES  ? g->values
                 : column == G_ASKED ? g->asked
                 : column == G_FOUND ? g->n
                                     : g->ties;
        out->null = column == G_ASKED && s->asked->by == SC_LARGE_ABOVE;
    }
}

/* -------------------------------------------------------------------------------- matrices --- */
enum {
    M_TENSOR,
    M_LAYER,
    M_EXPERT,
    M_KIND,
    M_ROWS,
    M_COLS,
    M_TRANSPOSED,
    M_VALUES,
    M_NANS,
    M_INFINITIES,
    M_RMS,
    M_MOST,
    M_NORMAL,
    M_FOUND,
    M_FOUND_ROWS,
    M_FOUND_COLS,
    M_COLUMNS
};
static const struct sc_column matrix_columns[M_COLUMNS] = {
    [M_TENSOR] = {"tensor", "TENSOR", NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [M_LAYER] = {"layer", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [M_EXPERT] = {"expert", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [M_KIND] = {"kind", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [M_ROWS] = {"rows", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [M_COLS] = {"columns", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [M_TRANSPOSED] = {"stored_as", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [M_VALUES] = {"values", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [M_NANS] = {"nans", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [M_INFINITIES] = {"infinities", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [M_RMS] = {"rms", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [M_MOST] = {"abs_max", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [M_NORMAL] = {"normal_max", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [M_FOUND] = {"weights", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [M_FOUND_ROWS] = {"weight_rows", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [M_FOUND_COLS] = {"weight_columns", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
};

static void get_matrix(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_largest_document *s = ctx;
    const struct sc_large_matrix *m = &s->found->matrices[row];
    const uint64_t counts[M_COLUMNS] = {[M_ROWS] = m->shape.rows,       [M_COLS] = m->shape.cols,
                                        [M_VALUES] = m->count,          [M_NANS] = m->nans,
                                        [M_FOUND] = m->chosen,          [M_FOUND_ROWS] = m->rows,
                                        [M_INFINITIES] = m->infinities, [M_FOUND_COLS] = m->cols};

    switch (column) {
    case M_TENSOR:
        out->text = name_of(s, m);
        break;
    case M_LAYER:
        put_index(m->layer, out);
        break;
    case M_EXPERT:
        put_index(m->expert, out);
        break;
    case M_KIND:
        put_text(sc_role_names[m->role], out);
        break;
    case M_TRANSPOSED:
        put_text(m->shape.transposed ? "in, out" : "out, in", out);
        break;
    case M_RMS:
        put_number(m->rms, out);
        break;
    case M_MOST:
        put_number(m->abs_max, out);
        break;
    case M_NORMAL:
        put_number(m->read ? normal_max(m) : (double)NAN, out);
        break;
    default:
        out->u = counts[column];
        out->null = !m->read && column >= M_VALUES;
    }
}

/* ------------------------------------------------------------------------------ the whole --- */

static void add_asked(struct sc_document *d, struct sc_field *into,
                      const struct sc_largest_document *s)
{
    static const char *const words[] = {"top", "percent", "above"};
    const struct sc_largest_options *a = s->asked;
    struct sc_field *o = sc_add_object(d, into, "asked");

    sc_add_textz(d, o, "by", words[a->by]);
    if (a->by == SC_LARGE_TOP)
        sc_add_uint(d, o, "least", a->top, SC_COL_COUNT);
    else
        sc_add_number(d, o, "least", a->by == SC_LARGE_ABOVE ? a->above : a->percent);
    sc_add_textz(d, o, "per", sc_large_pers[per_of(a)]);
    if (a->kinds == SC_LARGE_KINDS_DEFAULT) {
        sc_add_null(d, o, "kinds");
    } else {
        struct sc_field *kinds = sc_add_list(d, o, "kinds");
        for (size_t i = 0; i < SC_ROLE_COUNT; i++)
            if (a->kinds & SC_LARGE_KIND(i))
                sc_add_textz(d, kinds, NULL, sc_role_names[i]);
    }
    struct sc_field *layers = sc_add_list(d, o, "layers");
    for (size_t i = 0; a->layers && i < a->layers->n; i++) {
        struct sc_field *range = sc_add_list(d, layers, NULL);
        sc_add_uint(d, range, NULL, a->layers->p[i].first, SC_COL_COUNT);
        sc_add_uint(d, range, NULL, a->layers->p[i].last, SC_COL_COUNT);
    }
    struct sc_field *filters = sc_add_list(d, o, "filters");
    for (size_t i = 0; i < s->n_filters; i++)
        sc_add_textz(d, filters, NULL, s->filters[i]);
}

static void add_totals(struct sc_document *d, struct sc_field *into, const struct sc_largest *l)
{
    struct sc_field *o = sc_add_object(d, into, "totals");

    sc_add_uint(d, o, "matrices", l->n_matrices, SC_COL_COUNT);
    sc_add_uint(d, o, "values", l->values, SC_COL_COUNT);
    sc_add_uint(d, o, "nans", l->nans, SC_COL_COUNT);
    sc_add_uint(d, o, "infinities", l->infinities, SC_COL_COUNT);
    sc_add_uint(d, o, "weights", l->n, SC_COL_COUNT);
    sc_add_uint(d, o, "alone", l->alone, SC_COL_COUNT);
    sc_add_uint(d, o, "unread", l->unread, SC_COL_COUNT);
    sc_add_textz(d, o, "unread_why", l->unread ? l->why : NULL);
}

static bool is_found(const struct sc_largest *l, const struct sc_super_known *k)
{
    for (size_t i = 0; i < l->n && !k->impossible; i++)
        if (l->weights[i].element == k->element &&
            l->matrices[l->weights[i].matrix].tensor == k->tensor)
            return true;
    return false;
}

/* The value and the rank come of a probe: null when its tensor was not asked for or cannot be read.
 */
static void add_known(struct sc_document *d, struct sc_field *into,
                      const struct sc_largest_document *s)
{
    struct sc_field *list = sc_add_list(d, into, "published");
    size_t probe = 0;

    for (size_t i = 0; i < s->known->n; i++) {
        const struct sc_super_known *k = &s->known->p[i];
        struct sc_field *o = sc_add_object(d, list, NULL);
        const struct sc_large_probe *p =
            !k->impossible && probe < s->asked->n_probes ? &s->asked->probes[probe++] : NULL;
        bool read = false;
        for (size_t m = 0; p && m < s->found->n_matrices && !read; m++)
            read = s->found->matrices[m].tensor == p->tensor && s->found->matrices[m].read;
        sc_super_known_add(d, o, k);
        sc_add_figure(d, o, "weight", p && p->known ? (double)p->value : (double)NAN);
        if (p && p->known && read)
            sc_add_uint(d, o, "rank", p->larger + 1, SC_COL_COUNT);
        else
            sc_add_null(d, o, "rank");
        sc_add_bool(d, o, "found", is_found(s->found, k));
    }
}

void sc_analyze_largest(struct sc_document *d, struct sc_field *into,
                        const struct sc_largest_document *s)
{
    const struct sc_largest *l = s->found;
    add_asked(d, into, s);
    add_totals(d, into, l);
    const struct sc_table weights = {columns, COLUMNS, l->n, get_weight, s};
    const struct sc_table lines = {line_columns, L_COLUMNS, l->n_lines, get_line, s};
    const struct sc_table groups = {group_columns, G_COLUMNS, l->n_groups, get_group, s};
    const struct sc_table matrices = {matrix_columns, M_COLUMNS, l->n_matrices, get_matrix, s};
    sc_add_table(d, into, "weights", &weights);
    sc_add_table(d, into, "lines", &lines);
    sc_add_table(d, into, "groups", &groups);
    sc_add_table(d, into, "matrices", &matrices);
    add_known(d, into, s);
    if (!s->effects)
        return;
    sc_analyze_super_shift(d, into, s->effects);
    sc_analyze_super_effects(d, into, s->effects);
}

int sc_largest_list(const struct sc_model *m, const struct sc_largest *l, struct sc_super_list *out,
                    struct sc_error *e)
{
    *out = (struct sc_super_list){0};
    TRY(sc_grow(&out->p, &out->cap, SC_MAX(l->n, (size_t)1), sizeof *out->p, e));
    for (size_t i = 0; i < l->n; i++) {
        const struct sc_large_weight *w = &l->weights[i];
        const struct sc_large_matrix *at = &l->matrices[w->matrix];
        const uint64_t cols = stored_cols(&m->tensors[at->tensor]);
        out->p[out->n++] = (struct sc_super_weight){.layer = at->layer < 0 ? SC_SUPER_NO_LAYER
                                                                           : (uint32_t)at->layer,
                                                    .expert = at->expert < 0 ? -1 : at->expert,
                                                    .row = (uint32_t)w->row,
                                                    .col = (uint32_t)w->col,
                                                    .kind = sc_role_names[at->role],
                                                    .tensor = at->tensor,
                                                    .stored_row = w->element / cols,
                                                    .stored_col = w->element % cols,
                                                    .weight = w->value,
                                                    .alone_kl = (double)NAN,
                                                    .without_kl = (double)NAN};
    }
    return 0;
}
