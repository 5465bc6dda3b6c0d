/* SPDX-License-Identifier: Apache-2.0 */
/* diff_top: the tables of a diff that are made for people.
 *
 *   roles      how much each kind of weight changed, and how that goes along the layers
 *   layers     how much each layer changed
 *   most       the tensors that changed most
 *   spectral   the same: ranks of what was added, and what is above noise
 *   shapes     tensors that have another shape
 *
 * Numbers that span decades are texts of four digits here; JSON has them exactly. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff.h"

const char *const sc_diff_table_titles[SC_DIFF_TABLES] = {
    [SC_DIFF_ROLES] = "Kinds of weights",
    [SC_DIFF_LAYERS] = "Layers",
    [SC_DIFF_RANKED_ROLES] = "Kinds of weights that changed most",
    [SC_DIFF_RANKED_LAYERS] = "Layers that changed most",
    [SC_DIFF_MOST] = "Changed most",
    [SC_DIFF_SPECTRAL] = "What was added",
    [SC_DIFF_SHAPES] = "Other shapes",
};

#define SHOWN (SC_COL_TERM_ONLY | SC_COL_RIGHT | SC_COL_OPTIONAL)

/* ------------------------------------------------------------------------- roles, layers --- */
enum group_column {
    GROUP_ROLE,
    GROUP_TOWER,
    GROUP_LAYER,
    GROUP_SHOWN_TOWER, /* on a terminal only where there is more than one */
    GROUP_TENSORS,
    GROUP_CHANGED,
    GROUP_VALUES,
    GROUP_CHANGED_VALUES,
    GROUP_BARS,
    GROUP_RELATIVE,
    GROUP_COSINE,
    GROUP_MAX,
    GROUP_SHOWN_RELATIVE,
    GROUP_SHOWN_COSINE,
    GROUP_SHOWN_MAX,
    GROUP_SHOWN_PERCENT,
    GROUP_COLUMNS
};
#define GROUP_REST                                                                                 \
    [GROUP_SHOWN_TOWER] =                                                                          \
        {"tower", "tower", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_OPTIONAL, 0},              \
    [GROUP_TENSORS] = {"tensors", "tensors", NULL, SC_COL_COUNT, 0, 0},                            \
    [GROUP_CHANGED] = {"changed", "changed", NULL, SC_COL_COUNT, 0, 0},                            \
    [GROUP_VALUES] = {"values", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},                    \
    [GROUP_CHANGED_VALUES] = {"changed_values", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},    \
    [GROUP_BARS] = {"by_layer", "by layer", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_OPTIONAL, \
                    0},                                                                            \
    [GROUP_RELATIVE] = {"relative_l2", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},            \
    [GROUP_COSINE] = {"one_minus_cosine", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},         \
    [GROUP_MAX] = {"max_abs", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},                     \
    [GROUP_SHOWN_RELATIVE] = {"relative_l2", "relative", NULL, SC_COL_TEXT, SHOWN, 0},             \
    [GROUP_SHOWN_COSINE] = {"one_minus_cosine", "1 - cosine",         NULL,                        \
                            SC_COL_TEXT,        SHOWN | SC_COL_SPARE, 0},                          \
    [GROUP_SHOWN_MAX] = {"max_abs", "max |d|", NULL, SC_COL_TEXT, SHOWN | SC_COL_SPARE, 0},        \
    [GROUP_SHOWN_PERCENT] = {"changed_percent", "values %",           NULL,                        \
                             SC_COL_TEXT,       SHOWN | SC_COL_SPARE, 0}

static const struct sc_column role_columns[GROUP_COLUMNS] = {
    [GROUP_ROLE] = {"role", "kind", NULL, SC_COL_KEY, 0, 0},
    [GROUP_TOWER] = {"tower", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [GROUP_LAYER] = {"layer", NULL, NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_OPTIONAL, 0},
    GROUP_REST,
};
static const struct sc_column layer_columns[GROUP_COLUMNS] = {
    [GROUP_ROLE] = {"role", NULL, NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_OPTIONAL, 0},
    [GROUP_TOWER] = {"tower", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [GROUP_LAYER] = {"layer", "layer", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    GROUP_REST,
};

struct group {
    uint32_t kind;
    int32_t layer;
    struct sc_diff_sums sums;
    const char *bars; /* NULL: none */
    double relative;  /* set where they are ranked */
};
struct group_view {
    bool has_base, towers, roles;
    char *text; /* (64) the cell that was asked for last */
    struct group group[];
};

static double group_relative(const struct group_view *v, const struct sc_diff_sums *s)
{
    return v->has_base ? sc_diff_relative(s) : s->compared ? sqrt(s->dd) : (double)NAN;
}

static void group_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct group_view *v = ctx;
    const struct group *g = &v->group[row];
    const struct sc_diff_sums *s = &g->sums;
    const enum sc_tower tower = (enum sc_tower)(v->roles ? g->kind >> 8 : g->kind);

    switch ((enum group_column)column) {
    case GROUP_ROLE:
        out->null = !v->roles;
        out->text = sc_strz(v->roles ? sc_role_names[g->kind & 0xff] : "");
        break;
    case GROUP_TOWER:
    case GROUP_SHOWN_TOWER:
        out->text = sc_strz(sc_tower_names[tower]);
        out->null = column == GROUP_SHOWN_TOWER && !v->towers;
        break;
    case GROUP_LAYER:
        out->null = v->roles;
        out->u = (uint64_t)g->layer;
        break;
    case GROUP_TENSORS:
        out->u = s->tensors;
        break;
    case GROUP_CHANGED:
        out->u = s->changed_tensors;
        break;
    case GROUP_VALUES:
        out->u = s->values;
        break;
    case GROUP_CHANGED_VALUES:
        out->u = s->changed;
        break;
    case GROUP_BARS:
        out->null = !g->bars;
        out->text = sc_strz(g->bars ? g->bars : "");
        break;
    case GROUP_RELATIVE:
        out->f = v->has_base ? sc_diff_relative(s) : (double)NAN;
        out->null = isnan(out->f);
        break;
    case GROUP_COSINE:
        out->f = v->has_base ? sc_diff_one_minus_cosine(s) : (double)NAN;
        out->null = isnan(out->f);
        break;
    case GROUP_MAX:
        out->f = s->max_abs;
        out->null = !s->compared;
        break;
    case GROUP_SHOWN_RELATIVE:
        out->text = sc_short_number(group_relative(v, s), v->text);
        break;
    case GROUP_SHOWN_COSINE:
        out->text =
            sc_short_number(v->has_base ? sc_diff_one_minus_cosine(s) : (double)NAN, v->text);
        break;
    case GROUP_SHOWN_MAX:
        out->text = sc_short_number(s->compared ? s->max_abs : (double)NAN, v->text);
        break;
    case GROUP_SHOWN_PERCENT:
        out->text = sc_short_number(
            s->values ? 100 * (double)s->changed / (double)s->values : (double)NAN, v->text);
        break;
    case GROUP_COLUMNS:
        break;
    }
    out->null = out->null || (column >= GROUP_SHOWN_RELATIVE && !out->text.n);
}

struct member {
    uint32_t kind; /* tower, role; or the tower alone */
    int32_t layer;
    uint32_t pair;
};

static int by_kind(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return x->pair < y->pair ? -1 : x->pair > y->pair;
}

/* The relative change of each layer of one kind as bars. work holds n. */
static const char *layer_bars(struct sc_document *doc, const struct sc_diff *d,
                              const struct group_view *v, const struct member *m, size_t n,
                              double *work, size_t bars, bool ascii)
{
    size_t layers = 0;

    for (size_t i = 0, end; i < n; i = end) {
        struct sc_diff_sums s = {0};
        for (end = i; end < n && m[end].layer == m[i].layer; end++)
            sc_diff_add(&s, &d->pairs[m[end].pair]);
        if (m[i].layer >= 0)
            work[layers++] = group_relative(v, &s);
    }
    return bars && layers > 1 ? sc_bars(doc, work, layers, bars, ascii) : NULL;
}

/* Whether member b belongs to the group that a starts. */
static bool is_one(const struct member *a, const struct member *b, bool roles)
{
    return a->kind == b->kind && (roles || a->layer == b->layer);
}

/* Largest change first; of equals the first. */
static int by_change(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    const double u = isnan(x->relative) ? -1 : x->relative,
                 v = isnan(y->relative) ? -1 : y->relative;

    if (u < v || u > v)
        return u > v ? -1 : 1;
    return x->layer != y->layer ? (x->layer < y->layer ? -1 : 1)
                                : (x->kind > y->kind) - (x->kind < y->kind);
}

static const struct sc_table *make_groups(struct sc_document *doc, const struct sc_diff *d,
                                          bool roles, size_t bars, bool ascii, struct sc_error *e)
{
    const size_t most = SC_MAX(d->n, (size_t)1);
    struct member *all = sc_alloc(most * sizeof *all);
    double *work = sc_alloc(most * sizeof *work);
    struct sc_table *t = sc_analyze_alloc(doc, sizeof *t, e);
    struct group_view *v = NULL;
    size_t n = 0, groups = 0;

    for (size_t i = 0; all && i < d->n; i++) {
        const struct sc_diff_pair *p = &d->pairs[i];
        const struct sc_tensor *x = sc_diff_tensor(d, p);
        if (!p->change || p->same != SC_NO_NODE || (!roles && x->layer < 0))
            continue;
        all[n++] = (struct member){roles ? (uint32_t)x->tower << 8 | x->role : x->tower, x->layer,
                                   (uint32_t)i};
    }
    if (n)
        qsort(all, n, sizeof *all, by_kind);
    for (size_t i = 0; i < n; i++)
        groups += !i || !is_one(&all[i - 1], &all[i], roles);
    if (t && all && work)
        v = sc_analyze_alloc(doc, sizeof *v + groups * sizeof v->group[0], e);
    if (v) {
        *v = (struct group_view){.has_base = d->has_base, .roles = roles};
        v->text = sc_analyze_alloc(doc, 64, e);
        v->towers = n && all[0].kind >> (roles ? 8 : 0) != all[n - 1].kind >> (roles ? 8 : 0);
    }
    if (v && v->text) {
        size_t row = 0;
        for (size_t i = 0, end; i < n; i = end) {
            struct group *g = &v->group[row++];
            *g = (struct group){.kind = all[i].kind, .layer = all[i].layer};
            for (end = i; end < n && is_one(&all[i], &all[end], roles); end++)
                sc_diff_add(&g->sums, &d->pairs[all[end].pair]);
            if (roles)
                g->bars = layer_bars(doc, d, v, all + i, end - i, work, bars, ascii);
        }
        *t = (struct sc_table){roles ? role_columns : layer_columns, GROUP_COLUMNS, row, group_cell,
                               v};
    } else {
        sc_fail_memory(e);
        doc->failed = true;
        t = NULL;
    }
    free(all);
    free(work);
    return t && t->n_rows ? t : NULL;
}

/* ------------------------------------------------------------------------------ most changed ---
 */
#define NUMBER(key)                                                                                \
    {                                                                                              \
        key, NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0                                        \
    }
#define TEXT(key, title)                                                                           \
    {                                                                                              \
        key, title, NULL, SC_COL_TEXT, SHOWN, 0                                                    \
    }
#define MORE(key, title)                                                                           \
    {                                                                                              \
        key, title, NULL, SC_COL_TEXT, SHOWN | SC_COL_SPARE, 0                                     \
    }
#define NAME                                                                                       \
    {                                                                                              \
        "name", "tensor", NULL, SC_COL_LABEL, SC_COL_SHRINK, 0                                     \
    }

enum most_column {
    MOST_NAME,
    MOST_RELATIVE,
    MOST_L2,
    MOST_COSINE,
    MOST_MAX,
    MOST_PERCENT,
    MOST_SHOWN_RELATIVE,
    MOST_SHOWN_L2,
    MOST_SHOWN_COSINE,
    MOST_SHOWN_MAX,
    MOST_SHOWN_PERCENT,
    MOST_SHOWN_SIGNIFICANT,
    MOST_SHOWN_CAST,
    MOST_SHOWN_BROKEN,
    MOST_COLUMNS
};
static const struct sc_column most_columns[MOST_COLUMNS] = {
    [MOST_NAME] = NAME,
    [MOST_RELATIVE] = NUMBER("relative_l2"),
    [MOST_L2] = NUMBER("l2"),
    [MOST_COSINE] = NUMBER("one_minus_cosine"),
    [MOST_MAX] = NUMBER("max_abs"),
    [MOST_PERCENT] = NUMBER("changed_percent"),
    [MOST_SHOWN_RELATIVE] = TEXT("relative_l2", "relative"),
    [MOST_SHOWN_L2] = MORE("l2", "norm"),
    [MOST_SHOWN_COSINE] = TEXT("one_minus_cosine", "1 - cosine"),
    [MOST_SHOWN_MAX] = TEXT("max_abs", "max |d|"),
    [MOST_SHOWN_PERCENT] = TEXT("changed_percent", "changed %"),
    [MOST_SHOWN_SIGNIFICANT] = MORE("significant_percent", "by >1 %"),
    [MOST_SHOWN_CAST] = {"cast", "rounding", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_OPTIONAL,
                         0},
    [MOST_SHOWN_BROKEN] = TEXT("nonfinite", "not finite"),
};
static const struct sc_column spectral_columns[] = {
    NAME,
    TEXT("rank", "rank"),
    TEXT("signal_rank", "signal"),
    TEXT("sigma_max", "largest"),
    TEXT("stable_rank", "stable rank"),
    MORE("edge", "noise edge"),
    TEXT("lora_rank", "LoRA rank"),
    MORE("break_even", "break even"),
};
static const struct sc_column shape_columns[] = {
    NAME,
    {"shape", "shape", NULL, SC_COL_SHAPE, 0, 0},
    {"shape_b", "in B", NULL, SC_COL_SHAPE, 0, 0},
};

struct row_view {
    const struct sc_diff *d;
    char *text; /* (64) */
    uint32_t row[];
};

static const struct sc_change *row_change(const struct row_view *v, size_t row, struct sc_cell *out,
                                          size_t column)
{
    const struct sc_diff_pair *p = &v->d->pairs[v->row[row]];
    const struct sc_tensor *t = sc_diff_tensor(v->d, p);

    if (column == 0)
        out->text = sc_str(t->name, t->name_len);
    return p->change;
}

static void most_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct row_view *v = ctx;
    const struct sc_change *c = row_change(v, row, out, column);
    const double figures[] = {
        [MOST_RELATIVE] = c->relative_l2,    [MOST_L2] = c->l2,
        [MOST_COSINE] = c->one_minus_cosine, [MOST_MAX] = c->max_abs,
        [MOST_PERCENT] = c->changed_percent,
    };

    if (column == MOST_NAME)
        return;
    if (column < MOST_SHOWN_RELATIVE) {
        out->f = figures[column];
        out->null = isnan(out->f);
        return;
    }
    if (column == MOST_SHOWN_CAST) {
        const enum sc_change_kind kind = sc_change_kind(c);
        out->null = kind != SC_CHANGE_IS_CAST && kind != SC_CHANGE_IS_ABOUT;
        if (!out->null)
            snprintf(v->text, 64, "%s%s", kind == SC_CHANGE_IS_ABOUT ? "about " : "", c->cast_type);
        out->text = sc_strz(out->null ? "" : v->text);
        return;
    }
    if (column == MOST_SHOWN_BROKEN) {
        const uint64_t a = v->d->has_base ? c->nonfinite_a : 0;
        out->null = !a && !c->nonfinite_b;
        if (!out->null)
            snprintf(v->text, 64, "%llu -> %llu", (unsigned long long)a,
                     (unsigned long long)c->nonfinite_b);
        out->text = sc_strz(out->null ? "" : v->text);
        return;
    }
    double x = column == MOST_SHOWN_SIGNIFICANT ? c->significant_percent
                                                : figures[column - MOST_SHOWN_RELATIVE + 1];
    if (column == MOST_SHOWN_L2 && v->d->has_base)
        x = (double)NAN;
    out->text = sc_short_number(x, v->text);
    out->null = !out->text.n;
}

static void put_rank(const struct row_view *v, uint64_t rank, struct sc_cell *out)
{
    out->null = rank == UINT64_MAX;
    if (!out->null)
        snprintf(v->text, 64, "%llu", (unsigned long long)rank);
    out->text = sc_strz(out->null ? "" : v->text);
}

static void spectral_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct row_view *v = ctx;
    const struct sc_spectrum *s = &row_change(v, row, out, column)->difference;

    switch (column) {
    case 0:
        return;
    case 1:
        if (s->numerical_rank == UINT64_MAX)
            out->null = true;
        else
            snprintf(v->text, 64, "%llu/%llu", (unsigned long long)s->numerical_rank,
                     (unsigned long long)s->total_rank);
        out->text = sc_strz(out->null ? "" : v->text);
        return;
    case 2:
        put_rank(v, s->signal_rank, out);
        return;
    case 3:
        out->text = sc_short_number(s->sigma_max, v->text);
        break;
    case 4:
        out->text = sc_short_number(s->stable_rank, v->text);
        break;
    case 5:
        out->text = sc_short_number(s->edge, v->text);
        break;
    case 6:
        put_rank(v, s->lora_rank[0], out);
        return;
    default:
        put_rank(v, s->break_even_rank, out);
        return;
    }
    out->null = !out->text.n;
}

static void shape_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct row_view *v = ctx;
    const struct sc_diff_pair *p = &v->d->pairs[v->row[row]];
    const struct sc_tensor *t =
        column == 2 ? &v->d->b->tensors[p->pair.b] : &v->d->a->tensors[p->pair.a];

    out->text = sc_str(t->name, t->name_len);
    out->dims = t->shape;
    out->n_dims = t->rank;
}

static bool is_row(const struct sc_diff *d, uint32_t pair, enum sc_diff_table which)
{
    const struct sc_diff_pair *p = &d->pairs[pair];

    return which == SC_DIFF_SHAPES     ? p->status == SC_DIFF_SHAPE
           : which == SC_DIFF_SPECTRAL ? p->change->difference.method != SC_SPECTRUM_NONE
                                       : true;
}

static const struct sc_table *make_rows(struct sc_document *doc, const struct sc_diff *d,
                                        enum sc_diff_table which, size_t limit, struct sc_error *e)
{
    const bool all = which == SC_DIFF_SHAPES;
    const size_t n = all ? d->n : d->n_ranked;
    const size_t most = SC_MIN(n, limit);
    struct row_view *v = sc_analyze_alloc(doc, sizeof *v + most * sizeof v->row[0], e);
    struct sc_table *t = sc_analyze_alloc(doc, sizeof *t, e);
    size_t rows = 0;

    if (v)
        *v = (struct row_view){d, sc_analyze_alloc(doc, 64, e)};
    if (!v || !t || !v->text) {
        doc->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < n && rows < most; i++) {
        const uint32_t pair = all ? (uint32_t)i : d->ranked[i];
        if (is_row(d, pair, which))
            v->row[rows++] = pair;
    }
    *t = which == SC_DIFF_SHAPES
             ? (struct sc_table){shape_columns, SC_COUNT(shape_columns), rows, shape_cell, v}
         : which == SC_DIFF_SPECTRAL
             ? (struct sc_table){spectral_columns, SC_COUNT(spectral_columns), rows, spectral_cell,
                                 v}
             : (struct sc_table){most_columns, MOST_COLUMNS, rows, most_cell, v};
    return rows ? t : NULL;
}

/* The same, the most changed first, at most `limit` of them. */
static const struct sc_table *rank_groups(struct sc_document *doc, const struct sc_diff *d,
                                          bool roles, size_t limit, bool ascii, struct sc_error *e)
{
    const struct sc_table *made = make_groups(doc, d, roles, 0, ascii, e);
    struct sc_table *t = made ? sc_analyze_alloc(doc, sizeof *t, e) : NULL;

    if (!t)
        return NULL;
    struct group_view *v = (struct group_view *)(uintptr_t)made->ctx; /* made above */
    for (size_t i = 0; i < made->n_rows; i++)
        v->group[i].relative = group_relative(v, &v->group[i].sums);
    qsort(v->group, made->n_rows, sizeof v->group[0], by_change);
    *t = *made;
    t->n_rows = SC_MIN(t->n_rows, limit);
    return t;
}

const struct sc_table *sc_diff_table(struct sc_document *doc, const struct sc_diff *d,
                                     enum sc_diff_table which, size_t limit, size_t bars,
                                     bool ascii, struct sc_error *e)
{
    if (which == SC_DIFF_ROLES || which == SC_DIFF_LAYERS)
        return make_groups(doc, d, which == SC_DIFF_ROLES, bars, ascii, e);
    if (which == SC_DIFF_RANKED_ROLES || which == SC_DIFF_RANKED_LAYERS)
        return rank_groups(doc, d, which == SC_DIFF_RANKED_ROLES, limit, ascii, e);
    return make_rows(doc, d, which, limit, e);
}
