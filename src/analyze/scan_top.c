/* SPDX-License-Identifier: Apache-2.0 */
/* scan_top: the tables of a scan that are made for people, worst first.
 *
 *   roles      medians of each kind of weight, and how its spread goes along the layers
 *   condition  singular matrices, then the largest condition numbers for their shape
 *   rounding   what loses most when it becomes INT8
 *   sparse     zeros and dead rows
 *
 * Numbers that span decades are texts of four digits here; JSON has them exactly.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/figures.h"
#include "analyze/scan.h"

const char *const sc_scan_table_titles[SC_SCAN_TABLES] = {
    [SC_SCAN_ROLES] = "Kinds of weights (medians)",
    [SC_SCAN_CONDITION] = "Condition numbers, worst for their shape first",
    [SC_SCAN_ROUNDING] = "Sensitivity to rounding, largest loss first",
    [SC_SCAN_SPARSE] = "Zeros, most first",
};

/* ----------------------------------------------------------------------------------- roles --- */
static const struct role_figure {
    unsigned method;
    size_t offset; /* of a double in struct sc_health */
} role_figures[] = {
    {SC_METHOD_BASIC, offsetof(struct sc_health, basic.std)},
    {SC_METHOD_BASIC, offsetof(struct sc_health, basic.abs_max)},
    {SC_METHOD_BASIC, offsetof(struct sc_health, basic.max_over_sigma)},
    {SC_METHOD_BASIC, offsetof(struct sc_health, basic.kurtosis)},
    {SC_METHOD_BASIC, offsetof(struct sc_health, basic.zeros_percent)},
    {SC_METHOD_QUANTIZATION, offsetof(struct sc_health, quantization.per_tensor.sqnr_db)},
    {SC_METHOD_QUANTIZATION, offsetof(struct sc_health, quantization.per_channel.sqnr_db)},
    {SC_METHOD_SPECTRAL, offsetof(struct sc_health, spectrum.condition)},
    {SC_METHOD_SPECTRAL, offsetof(struct sc_health, spectrum.stable_rank)},
    {SC_METHOD_SPECTRAL, offsetof(struct sc_health, spectrum.power_law.alpha)},
};
enum { ROLE_FIGURES = SC_COUNT(role_figures) };

enum role_column {
    ROLE_NAME,
    ROLE_TOWER,
    ROLE_SHOWN_TOWER, /* on a terminal only where there is more than one */
    ROLE_TENSORS,
    ROLE_PARAMETERS,
    ROLE_BARS,
    ROLE_FIXED
};
/* Each figure twice: exact, and as a person reads it. */
#define FIGURE(key, title)                                                                         \
    {key, NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},                                         \
    {                                                                                              \
        key, title, NULL, SC_COL_TEXT,                                                             \
            SC_COL_TERM_ONLY | SC_COL_RIGHT | SC_COL_OPTIONAL | SC_COL_SPARE, 0                    \
    }
static const struct sc_column role_columns[] = {
    [ROLE_NAME] = {"role", "kind", NULL, SC_COL_KEY, 0, 0},
    [ROLE_TOWER] = {"tower", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [ROLE_SHOWN_TOWER] = {"tower", "tower", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_OPTIONAL,
                          0},
    [ROLE_TENSORS] = {"tensors", "tensors", NULL, SC_COL_COUNT, 0, 0},
    [ROLE_PARAMETERS] = {"parameters", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [ROLE_BARS] = {"std_by_layer", "std by layer", NULL, SC_COL_TEXT,
                   SC_COL_TERM_ONLY | SC_COL_OPTIONAL, 0},
    FIGURE("std", "std"),
    FIGURE("abs_max", "max |x|"),
    FIGURE("max_over_sigma", "max/sigma"),
    FIGURE("kurtosis", "kurtosis"),
    FIGURE("zeros_percent", "zeros %"),
    FIGURE("sqnr_db", "INT dB"),
    FIGURE("sqnr_channel_db", "by row dB"),
    FIGURE("condition", "condition"),
    FIGURE("stable_rank", "stable rank"),
    FIGURE("alpha", "alpha"),
};

struct role_row {
    uint8_t role, tower;
    uint64_t tensors, parameters;
    double figure[ROLE_FIGURES];
    const char *bars; /* NULL: none */
};
struct role_view {
    char *text; /* (64) the cell that was asked for last */
    bool towers;
    struct role_row row[];
};

static void role_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct role_view *v = ctx;
    const struct role_row *r = &v->row[row];

    if (column >= ROLE_FIXED) {
        size_t figure = (column - ROLE_FIXED) / 2;
        bool exact = (column - ROLE_FIXED) % 2 == 0;
        out->null = isnan(r->figure[figure]);
        if (exact)
            out->f = r->figure[figure];
        else
            out->text = sc_short_number(r->figure[figure], v->text);
        return;
    }
    switch ((enum role_column)column) {
    case ROLE_NAME:
        out->text = sc_strz(sc_role_names[r->role]);
        break;
    case ROLE_TOWER:
    case ROLE_SHOWN_TOWER:
        out->text = sc_strz(sc_tower_names[r->tower]);
        out->null = column == ROLE_SHOWN_TOWER && !v->towers;
        break;
    case ROLE_TENSORS:
        out->u = r->tensors;
        break;
    case ROLE_PARAMETERS:
        out->u = r->parameters;
        break;
    case ROLE_BARS:
        out->null = !r->bars;
        out->text = sc_strz(r->bars ? r->bars : "");
        break;
    case ROLE_FIXED:
        break;
    }
}

struct role_member {
    uint32_t kind; /* tower, role */
    int32_t layer;
    uint32_t index;
};

static int by_kind(const void *a, const void *b)
{
    const struct role_member *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static double figure_of(const struct sc_health *h, const struct role_figure *f)
{
    double x;

    if (!h || !(h->measured & f->method))
        return NAN;
    memcpy(&x, (const char *)h + f->offset, sizeof x);
    return x;
}

/* Members of one kind, by layer. work holds n. */
static struct role_row sum_up(struct sc_document *d, const struct sc_scan *s,
                              const struct role_member *m, size_t n, double *work, size_t bars,
                              bool ascii)
{
    struct role_row r = {.role = (uint8_t)m->kind, .tower = (uint8_t)(m->kind >> 8), .tensors = n};
    size_t layers = 0;

    for (size_t i = 0; i < n; i++)
        r.parameters =
            sc_add_up(r.parameters, s->model->tensors[s->tensors[m[i].index]].parameters);
    for (size_t f = 0; f < ROLE_FIGURES; f++) {
        for (size_t i = 0; i < n; i++)
            work[i] = figure_of(s->health[m[i].index], &role_figures[f]);
        r.figure[f] = sc_figures_median(work, n);
    }
    for (size_t i = 0; i < n && bars;) {
        size_t end = i;
        while (end < n && m[end].layer == m[i].layer)
            end++;
        for (size_t k = i; k < end; k++)
            work[k] = figure_of(s->health[m[k].index], &role_figures[0]);
        double middle = sc_figures_median(work + i, end - i);
        if (m[i].layer >= 0)
            work[layers++] = middle;
        i = end;
    }
    if (bars && layers > 1)
        r.bars = sc_bars(d, work, layers, bars, ascii);
    return r;
}

static const struct sc_table *make_roles(struct sc_document *d, const struct sc_scan *s,
                                         size_t bars, bool ascii, struct sc_error *e)
{
    size_t most = SC_MAX(s->n, (size_t)1), kinds = 0, n = 0;
    struct role_member *all = sc_pages_new(true, most, sizeof *all);
    double *work = sc_pages_new(true, most, sizeof *work);
    struct sc_table *t = sc_analyze_alloc(d, sizeof *t, e);
    struct role_view *v = NULL;

    for (size_t i = 0; all && i < s->n; i++) {
        const struct sc_tensor *x = &s->model->tensors[s->tensors[i]];
        if (s->scanned[i].tied || !s->health[i])
            continue;
        all[n++] = (struct role_member){(uint32_t)x->tower << 8 | x->role, x->layer, (uint32_t)i};
    }
    if (n)
        sc_sort(all, n, sizeof *all, by_kind);
    for (size_t i = 0; i < n; i++)
        kinds += !i || all[i].kind != all[i - 1].kind;
    if (t && all && work)
        v = sc_analyze_alloc(d, sizeof *v + kinds * sizeof v->row[0], e);
    if (v)
        *v = (struct role_view){sc_analyze_alloc(d, 64, e),
                                n && all[0].kind >> 8 != all[n - 1].kind >> 8};
    if (v && v->text) {
        size_t row = 0;
        for (size_t i = 0, end; i < n; i = end) {
            for (end = i; end < n && all[end].kind == all[i].kind;)
                end++;
            v->row[row++] = sum_up(d, s, all + i, end - i, work, bars, ascii);
        }
        *t = (struct sc_table){role_columns, SC_COUNT(role_columns), row, role_cell, v};
    } else {
        sc_fail_memory(e);
        d->failed = true;
        t = NULL;
    }
    sc_pages_free(all);
    sc_pages_free(work);
    return t;
}

/* ---------------------------------------------------------------------------------- worst --- */
#define TEXT(key, title)                                                                           \
    {                                                                                              \
        key, title, NULL, SC_COL_TEXT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0                           \
    }
#define MORE(key, title)                                                                           \
    {                                                                                              \
        key, title, NULL, SC_COL_TEXT, SC_COL_RIGHT | SC_COL_OPTIONAL | SC_COL_SPARE, 0            \
    }
#define NAME                                                                                       \
    {                                                                                              \
        "tensor", "tensor", NULL, SC_COL_LABEL, SC_COL_SHRINK, 0                                   \
    }

static const struct sc_column condition_columns[] = {
    NAME,
    TEXT("condition", "condition"),
    TEXT("condition_random", "random"),
    MORE("rank", "rank"),
    MORE("condition_resolution", "resolution"),
    MORE("stable_rank", "stable rank"),
    MORE("alpha", "alpha"),
};
static const struct sc_column rounding_columns[] = {
    NAME,
    TEXT("sqnr_db", "INT dB"),
    TEXT("sqnr_channel_db", "by row"),
    MORE("sqnr_group_db", "by group"),
    MORE("sqnr_normal_db", "normal"),
    MORE("extreme_percent", "extreme %"),
    MORE("max_over_sigma", "max/sigma"),
    MORE("dynamic_range", "range"),
};
static const struct sc_column sparse_columns[] = {
    NAME,
    TEXT("zeros_percent", "zero %"),
    TEXT("near_zero_percent", "<=1e-6 %"),
    MORE("dead_rows", "dead rows"),
    MORE("dead_columns", "dead columns"),
};

struct ranked {
    double key;
    uint32_t index;
};
struct top_view {
    const struct sc_scan *s;
    char *text; /* (64) */
    struct ranked rows[];
};

static const struct sc_tensor *top_tensor(const struct top_view *v, size_t row, struct sc_cell *out)
{
    const struct sc_tensor *t = &v->s->model->tensors[v->s->tensors[v->rows[row].index]];

    out->text = sc_str(t->name, t->name_len);
    return t;
}

static void put_short(const struct top_view *v, double x, struct sc_cell *out)
{
    out->null = isnan(x);
    out->text = sc_short_number(x, v->text);
}

static void put_fixed(const struct top_view *v, double x, int digits, struct sc_cell *out)
{
    out->null = isnan(x);
    if (!out->null)
        snprintf(v->text, 64, "%.*f", digits, x);
    out->text = sc_strz(out->null ? "" : v->text);
}

static void condition_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct top_view *v = ctx;
    const struct sc_spectrum *s = &v->s->health[v->rows[row].index]->spectrum;

    switch (column) {
    case 0:
        (void)top_tensor(v, row, out);
        break;
    case 1:
        put_short(v, s->condition, out);
        if (isinf(s->condition))
            out->text = SC_STR("singular");
        break;
    case 2:
        put_short(v, s->condition_random, out);
        break;
    case 3:
        snprintf(v->text, 64, "%llu/%llu", (unsigned long long)s->numerical_rank,
                 (unsigned long long)s->total_rank);
        out->text = sc_strz(v->text);
        break;
    case 4:
        put_short(v, s->condition_resolution, out);
        break;
    case 5:
        put_short(v, s->stable_rank, out);
        break;
    default:
        put_fixed(v, s->power_law.alpha, 2, out);
        break;
    }
}

static void rounding_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct top_view *v = ctx;
    const struct sc_health *h = v->s->health[v->rows[row].index];
    const struct sc_quantization *q = &h->quantization;

    switch (column) {
    case 0:
        (void)top_tensor(v, row, out);
        break;
    case 1:
        put_fixed(v, q->per_tensor.sqnr_db, 1, out);
        break;
    case 2:
        put_fixed(v, q->per_channel.sqnr_db, 1, out);
        break;
    case 3:
        put_fixed(v, q->per_group.sqnr_db, 1, out);
        break;
    case 4:
        put_fixed(v, q->sqnr_normal_db, 1, out);
        break;
    case 5:
        put_fixed(v, q->extreme_outlier_percent, 3, out);
        break;
    case 6:
        put_fixed(v, h->measured & SC_METHOD_BASIC ? h->basic.max_over_sigma : NAN, 1, out);
        break;
    default:
        put_short(v, q->dynamic_range, out);
        break;
    }
}

static void put_dead(const struct top_view *v, uint64_t dead, uint64_t of, struct sc_cell *out)
{
    out->null = dead == UINT64_MAX || of == UINT64_MAX;
    if (!out->null)
        snprintf(v->text, 64, "%llu", (unsigned long long)dead);
    out->text = sc_strz(out->null ? "" : v->text);
}

static void sparse_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct top_view *v = ctx;
    const struct sc_sparsity *p = &v->s->health[v->rows[row].index]->sparsity;

    switch (column) {
    case 0:
        (void)top_tensor(v, row, out);
        break;
    case 1:
        put_fixed(v, p->level_percent[0], 2, out);
        break;
    case 2:
        put_fixed(v, p->level_percent[1], 2, out);
        break;
    case 3:
        put_dead(v, p->dead_rows, p->rows, out);
        break;
    default:
        put_dead(v, p->dead_columns, p->cols, out);
        break;
    }
}

/* How bad; NaN: not in this table. */
static double condition_key(const struct sc_health *h)
{
    const struct sc_spectrum *s = &h->spectrum;

    if (!(h->measured & SC_METHOD_SPECTRAL) || isnan(s->condition) || s->total_rank < 2)
        return NAN;
    return s->condition_random >= 1 ? s->condition / s->condition_random : s->condition;
}

static double rounding_key(const struct sc_health *h)
{
    const struct sc_quantization *q = &h->quantization;

    if (!(h->measured & SC_METHOD_QUANTIZATION) || h->basic.values < 1024 ||
        !isfinite(q->per_channel.sqnr_db))
        return NAN;
    return -q->per_channel.sqnr_db;
}

static double sparse_key(const struct sc_health *h)
{
    const struct sc_sparsity *p = &h->sparsity;

    if (!(h->measured & SC_METHOD_SPARSITY))
        return NAN;
    double dead = p->dead_rows == UINT64_MAX ? 0 : (double)(p->dead_rows + p->dead_columns);
    /* A zero among a thousand values is rounding. */
    return p->level_percent[0] > 0.1 || dead > 0 ? p->level_percent[0] : NAN;
}

static int by_key(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->key < y->key || x->key > y->key)
        return x->key > y->key ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static const struct {
    double (*key)(const struct sc_health *h);
    const struct sc_column *columns;
    size_t n;
    void (*cell)(const void *ctx, size_t row, size_t column, struct sc_cell *out);
} tops[] = {
    [SC_SCAN_CONDITION] = {condition_key, condition_columns, SC_COUNT(condition_columns),
                           condition_cell},
    [SC_SCAN_ROUNDING] = {rounding_key, rounding_columns, SC_COUNT(rounding_columns),
                          rounding_cell},
    [SC_SCAN_SPARSE] = {sparse_key, sparse_columns, SC_COUNT(sparse_columns), sparse_cell},
};

static const struct sc_table *make_top(struct sc_document *d, const struct sc_scan *s,
                                       enum sc_scan_table which, size_t limit, struct sc_error *e)
{
    struct ranked *all = sc_pages_new(true, s->n, sizeof *all);
    size_t n = 0;

    if (!all) {
        sc_fail_memory(e);
        d->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < s->n; i++) {
        /* A counter or a temperature ranks nowhere. */
        if (s->scanned[i].tied || !s->health[i] || s->model->tensors[s->tensors[i]].parameters < 2)
            continue;
        double key = tops[which].key(s->health[i]);
        if (!isnan(key))
            all[n++] = (struct ranked){key, (uint32_t)i};
    }
    if (n)
        sc_sort(all, n, sizeof *all, by_key);
    n = SC_MIN(n, limit);
    struct sc_table *t = n ? sc_analyze_alloc(d, sizeof *t, e) : NULL;
    struct top_view *v = n ? sc_analyze_alloc(d, sizeof *v + n * sizeof v->rows[0], e) : NULL;
    if (v)
        *v = (struct top_view){s, sc_analyze_alloc(d, 64, e)};
    if (t && v && v->text) {
        memcpy(v->rows, all, n * sizeof *all);
        *t = (struct sc_table){tops[which].columns, tops[which].n, n, tops[which].cell, v};
    } else {
        d->failed = d->failed || n;
        t = NULL;
    }
    sc_pages_free(all);
    return t;
}

const struct sc_table *sc_scan_table(struct sc_document *d, const struct sc_scan *s,
                                     enum sc_scan_table which, size_t limit, size_t bars,
                                     bool ascii, struct sc_error *e)
{
    return which == SC_SCAN_ROLES ? make_roles(d, s, bars, ascii, e)
                                  : make_top(d, s, which, limit, e);
}
