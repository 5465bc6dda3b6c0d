/* SPDX-License-Identifier: Apache-2.0 */
/* diff_document: the document of `scruple diff A B`.
 *
 * Owns: its keys and their order. Figures follow the metric tables: those of sc_metrics_change are
 * members of a pair itself, those of the spectrum of the difference an object. What was not
 * compared, or does not apply, is null.
 *
 * The table "pairs" is made row by row while it is printed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff.h"

/* ---------------------------------------------------------------------------------- pairs --- */
enum pair_column {
    PAIR_NAME,
    PAIR_NAME_B,
    PAIR_STATUS,
    PAIR_RULE,
    PAIR_TRANSFORM,
    PAIR_VERDICT,
    PAIR_CAST,
    PAIR_UNEXPLAINED,
    PAIR_WHY,
    PAIR_SAME_AS,
    PAIR_DTYPE,
    PAIR_DTYPE_B,
    PAIR_SHAPE,
    PAIR_SHAPE_B,
    PAIR_PARAMETERS,
    PAIR_ROLE,
    PAIR_LAYER,
    PAIR_EXPERT,
    PAIR_TOWER,
    PAIR_FRACTION,
    PAIR_FIXED
};
static const struct sc_column fixed_columns[PAIR_FIXED] = {
    [PAIR_NAME] = {"name", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_NAME_B] = {"name_b", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_STATUS] = {"status", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_RULE] = {"rule", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_TRANSFORM] = {"transform", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_VERDICT] = {"verdict", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_CAST] = {"cast_type", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_UNEXPLAINED] = {"unexplained", NULL, NULL, SC_COL_COUNT, 0, 0},
    [PAIR_WHY] = {"why", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_SAME_AS] = {"same_as", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_DTYPE] = {"dtype", NULL, NULL, SC_COL_DTYPE, 0, 0},
    [PAIR_DTYPE_B] = {"dtype_b", NULL, NULL, SC_COL_DTYPE, 0, 0},
    [PAIR_SHAPE] = {"shape", NULL, NULL, SC_COL_SHAPE, 0, 0},
    [PAIR_SHAPE_B] = {"shape_b", NULL, NULL, SC_COL_SHAPE, 0, 0},
    [PAIR_PARAMETERS] = {"parameters", NULL, NULL, SC_COL_COUNT, 0, 0},
    [PAIR_ROLE] = {"role", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_LAYER] = {"layer", NULL, NULL, SC_COL_COUNT, 0, 0},
    [PAIR_EXPERT] = {"expert", NULL, NULL, SC_COL_COUNT, 0, 0},
    [PAIR_TOWER] = {"tower", NULL, NULL, SC_COL_TEXT, 0, 0},
    [PAIR_FRACTION] = {"changed_fraction", NULL, NULL, SC_COL_NUMBER, 0, 0},
};

struct pair_view {
    const struct sc_diff *d;
    bool full;
    struct sc_column *columns;
    const struct sc_metric **metrics; /* what a column behind the fixed ones shows */
    size_t first_spectral;
    struct sc_health *scratch; /* metrics of a spectrum are places in it */
};

static void put_int(int32_t v, struct sc_cell *out)
{
    out->null = v < 0;
    out->u = out->null ? 0 : (uint64_t)v;
}

static bool has_cast(const struct sc_diff_pair *p)
{
    return p->change && p->change->cast_of != SC_CAST_NONE;
}

static void fixed_cell(const struct sc_diff *d, const struct sc_diff_pair *p,
                       enum pair_column column, struct sc_cell *out)
{
    const struct sc_tensor *t = sc_diff_tensor(d, p);
    const bool has_a = p->pair.a != SC_NO_NODE, has_b = p->pair.b != SC_NO_NODE;
    const struct sc_tensor *b = has_b ? &d->b->tensors[p->pair.b] : t;

    switch (column) {
    case PAIR_NAME:
        out->null = !has_a;
        out->text = sc_tensor_name(has_a ? &d->a->tensors[p->pair.a] : t);
        break;
    case PAIR_NAME_B:
        out->null = !has_b;
        out->text = sc_tensor_name(b);
        break;
    case PAIR_STATUS:
        out->text = sc_strz(sc_diff_status_names[p->status]);
        break;
    case PAIR_RULE:
        out->null = !has_a || !has_b;
        out->text = sc_strz(out->null ? "" : sc_pair_rule_names[p->pair.rule]);
        break;
    case PAIR_TRANSFORM:
        out->null = !has_a || !has_b || !p->pair.transform;
        out->text = sc_strz(out->null ? "" : p->pair.transform);
        break;
    case PAIR_VERDICT:
        out->null = !p->change;
        out->text = sc_strz(sc_change_kind_names[sc_change_kind(p->change)]);
        break;
    case PAIR_CAST:
        out->null = !has_cast(p);
        out->text = sc_strz(out->null ? "" : p->change->cast_type);
        break;
    case PAIR_UNEXPLAINED:
        out->null = !has_cast(p);
        out->u = out->null ? 0 : p->change->unexplained;
        break;
    case PAIR_WHY:
        out->null = !p->why;
        out->text = sc_strz(p->why ? p->why : "");
        break;
    case PAIR_SAME_AS:
        out->null = p->same == SC_NO_NODE;
        if (!out->null)
            out->text = sc_tensor_name(sc_diff_tensor(d, &d->pairs[p->same]));
        break;
    case PAIR_DTYPE:
        out->null = !has_a || !d->has_base;
        out->text = sc_strz(t->dtype);
        break;
    case PAIR_DTYPE_B:
        out->null = !has_b;
        out->text = sc_strz(b->dtype);
        break;
    case PAIR_SHAPE:
        out->null = !has_a;
        out->dims = t->shape;
        out->n_dims = t->rank;
        break;
    case PAIR_SHAPE_B:
        out->null = !has_b;
        out->dims = b->shape;
        out->n_dims = b->rank;
        break;
    case PAIR_PARAMETERS:
        out->u = t->parameters;
        break;
    case PAIR_ROLE:
        out->text = sc_strz(sc_role_names[t->role]);
        break;
    case PAIR_LAYER:
        put_int(t->layer, out);
        break;
    case PAIR_EXPERT:
        put_int(t->expert, out);
        break;
    case PAIR_TOWER:
        out->text = sc_strz(sc_tower_names[t->tower]);
        break;
    case PAIR_FRACTION:
        out->null = !p->change || !p->change->values;
        out->f = out->null ? 0 : (double)p->change->changed / (double)p->change->values;
        break;
    case PAIR_FIXED:
        break;
    }
}

static bool has_spectrum(const struct sc_diff_pair *p)
{
    return p->change && p->change->difference.method != SC_SPECTRUM_NONE;
}

static const void *spectrum_of(const struct pair_view *v, const struct sc_change *c)
{
    v->scratch->spectrum = c->difference;
    return v->scratch;
}

static void pair_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct pair_view *v = ctx;
    const struct sc_diff_pair *p = &v->d->pairs[row];
    const bool spectral = column >= v->first_spectral;

    if (column < PAIR_FIXED)
        fixed_cell(v->d, p, (enum pair_column)column, out);
    else if (!p->change || (spectral && !has_spectrum(p)))
        out->null = true;
    else
        sc_metric_cell(v->metrics[column], spectral ? spectrum_of(v, p->change) : p->change, out);
}

static void add_fixed(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d,
                      const struct sc_diff_pair *p, enum pair_column column)
{
    const char *key = fixed_columns[column].key;
    struct sc_cell cell = {0};

    fixed_cell(d, p, column, &cell);
    if (cell.null) {
        sc_add_null(doc, into, key);
    } else if (fixed_columns[column].kind == SC_COL_SHAPE) {
        struct sc_field *shape = sc_add_list(doc, into, key);
        for (size_t k = 0; k < cell.n_dims; k++)
            sc_add_uint(doc, shape, NULL, cell.dims[k], SC_COL_OFFSET);
    } else if (column == PAIR_FRACTION) {
        sc_add_number(doc, into, key, cell.f);
    } else if (cell.text.p) {
        sc_add_borrowed(doc, into, key, cell.text);
    } else {
        sc_add_uint(doc, into, key, cell.u, SC_COL_COUNT);
    }
}

static void add_update(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d,
                       const struct sc_update *u)
{
    struct sc_field *f = sc_add_object(doc, into, "update");

    sc_add_uint(doc, f, "rank", u->rank, SC_COL_OFFSET);
    sc_add_figure(doc, f, "alpha", u->alpha);
    sc_add_figure(doc, f, "scale", u->scale);
    sc_add_bool(doc, f, "transposed", u->transposed);
    const uint32_t parts[] = {u->up, u->down, u->alpha_at, u->magnitude};
    struct sc_field *list = sc_add_list(doc, f, "stored");
    for (size_t i = 0; i < SC_COUNT(parts); i++)
        if (parts[i] != SC_NO_NODE)
            sc_add_borrowed(doc, list, NULL, sc_tensor_name(&d->adapter->model->tensors[parts[i]]));
}

/* Which rounding explains most of the change. */
static void add_cast(struct sc_document *doc, struct sc_field *into, const struct sc_diff_pair *p)
{
    if (!has_cast(p)) {
        sc_add_null(doc, into, "cast");
        return;
    }
    struct sc_field *f = sc_add_object(doc, into, "cast");
    sc_add_borrowed(doc, f, "type", sc_strz(p->change->cast_type));
    sc_add_textz(doc, f, "of", p->change->cast_of == SC_CAST_OF_A ? "a" : "b");
    sc_add_bool(doc, f, "exact", p->change->cast_exact);
    sc_add_uint(doc, f, "unexplained", p->change->unexplained, SC_COL_COUNT);
    sc_add_figure(doc, f, "rounding_rms", p->change->rounding_rms);
}

static void add_ulp(struct sc_document *doc, struct sc_field *into, const struct sc_change *c)
{
    if (!c || c->max_ulp == UINT64_MAX) {
        sc_add_null(doc, into, "ulp");
        return;
    }
    struct sc_field *f = sc_add_object(doc, into, "ulp");
    sc_add_uint(doc, f, "max", c->max_ulp, SC_COL_COUNT);
    struct sc_field *list = sc_add_list(doc, f, "histogram");
    for (size_t i = 0; i < SC_ULP_BINS; i++)
        sc_add_uint(doc, list, NULL, c->ulp[i], SC_COL_COUNT);
}

/* One pair, nested. */
static void pair_object(const void *ctx, size_t row, struct sc_document *doc, struct sc_field *into)
{
    const struct pair_view *v = ctx;
    const struct sc_diff_pair *p = &v->d->pairs[row];

    for (size_t i = 0; i < PAIR_FIXED; i++) {
        if (i == PAIR_CAST)
            add_cast(doc, into, p);
        else if (i != PAIR_UNEXPLAINED)
            add_fixed(doc, into, v->d, p, (enum pair_column)i);
    }
    for (size_t i = 0; i < sc_metrics_change.n && !p->change; i++)
        sc_add_null(doc, into, sc_metrics_change.metrics[i].key);
    if (p->change)
        sc_metrics_add(doc, into, &sc_metrics_change, p->change, v->full);
    add_ulp(doc, into, v->d->methods & SC_METHOD_ULP ? p->change : NULL);
    if (v->d->adapter && p->update)
        add_update(doc, into, v->d, p->update);
    else
        sc_add_null(doc, into, "update");
    if (has_spectrum(p))
        sc_metrics_add(doc, sc_add_object(doc, into, "spectral"), &sc_metrics_spectral,
                       spectrum_of(v, p->change), v->full);
    else
        sc_add_null(doc, into, "spectral");
}

static int add_pairs(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d,
                     bool full, struct sc_error *e)
{
    const size_t n = PAIR_FIXED + sc_metrics_change.n + sc_metrics_spectral.n;
    struct pair_view *v = sc_analyze_alloc(doc, sizeof *v, e);
    size_t k = PAIR_FIXED;

    if (!v)
        return SCRUPLE_EMEMORY;
    *v = (struct pair_view){.d = d, .full = full};
    v->columns = sc_analyze_alloc(doc, n * sizeof *v->columns, e);
    v->metrics = sc_analyze_alloc(doc, n * sizeof *v->metrics, e);
    v->scratch = sc_analyze_alloc(doc, sizeof *v->scratch, e);
    if (!v->columns || !v->metrics || !v->scratch)
        return SCRUPLE_EMEMORY;
    memcpy(v->columns, fixed_columns, sizeof fixed_columns);
    for (size_t i = 0; i < sc_metrics_change.n; i++, k++) {
        const struct sc_metric *m = &sc_metrics_change.metrics[i];
        const bool real = m->kind == SC_METRIC_DOUBLE;
        v->columns[k] = (struct sc_column){
            m->key, NULL, m->unit, real ? SC_COL_NUMBER : SC_COL_COUNT, SC_COL_JSON_ONLY, 0};
        v->metrics[k] = m;
    }
    v->first_spectral = k;
    if (d->methods & SC_METHOD_SPECTRAL)
        TRY(sc_metric_columns(doc, &sc_metrics_spectral, v->columns, v->metrics, &k, e));
    sc_add_objects(doc, into, "pairs", &(struct sc_table){v->columns, k, d->n, pair_cell, v},
                   pair_object);
    return sc_analyze_done(doc, e);
}

/* ------------------------------------------------------------------------------- document --- */
static int add_side(struct sc_document *doc, struct sc_field *into, const char *key,
                    const struct sc_diff *d, const struct sc_model *m, size_t side,
                    struct sc_error *e)
{
    struct sc_field *f = sc_add_object(doc, into, key);

    TRY(sc_analyze_model_read(doc, f, m, d->opened_bytes[side], d->opened_requests[side], e));
    return sc_analyze_totals(doc, f, m, e);
}

static void add_io(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d)
{
    const struct sc_model *sides[] = {d->has_base ? d->a : NULL,
                                      d->adapter ? d->adapter->model : d->b};
    struct sc_field *io = sc_add_object(doc, into, "io");
    uint64_t total = 0, requests = 0, elsewhere = 0;
    uint64_t read = sc_add_up(sc_add_up(d->opened_bytes[0], d->opened_bytes[1]), d->bytes_read);
    bool local = true;

    for (size_t k = 0; k < SC_COUNT(sides); k++) {
        if (!sides[k])
            continue;
        local = local && strcmp(sides[k]->origin, "local") == 0;
        elsewhere = sc_add_up(elsewhere, sides[k]->io.bytes_read);
        requests = sc_add_up(requests, sides[k]->io.requests);
        for (size_t i = 0; i < sides[k]->n_files; i++)
            total = sc_add_up(total, sides[k]->files[i].bytes);
    }
    sc_add_uint(doc, io, "bytes_read", local ? read : elsewhere, SC_COL_BYTES);
    sc_add_uint(doc, io, "bytes_total", total, SC_COL_BYTES);
    sc_add_uint(doc, io, "requests", requests, SC_COL_COUNT);
}

static void add_adapter(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d)
{
    const struct sc_adapter *a = d->adapter;
    const struct sc_adapter_facts *facts = &a->model->adapter;
    struct sc_field *f = sc_add_object(doc, into, "adapter");

    sc_add_textz(doc, f, "kind", sc_adapter_kind_names[a->kind]);
    sc_add_textz(doc, f, "base", facts->base);
    if (facts->rank)
        sc_add_uint(doc, f, "rank", facts->rank, SC_COL_OFFSET);
    else
        sc_add_null(doc, f, "rank");
    sc_add_figure(doc, f, "alpha", facts->alpha);
    sc_add_bool(doc, f, "rank_stabilised", facts->rank_stabilised);
    sc_add_uint(doc, f, "updates", a->n_updates, SC_COL_COUNT);
    sc_add_uint(doc, f, "whole", a->n_whole, SC_COL_COUNT);
    sc_add_uint(doc, f, "untouched", d->n_untouched, SC_COL_COUNT);
    sc_add_textz(doc, f, "note", a->note);
    struct sc_field *left = sc_add_list(doc, f, "unused");
    for (size_t i = 0; i < a->n_left; i++) {
        struct sc_field *one = sc_add_object(doc, left, NULL);
        sc_add_borrowed(doc, one, "name", sc_tensor_name(&a->model->tensors[a->left[i].tensor]));
        sc_add_textz(doc, one, "why", a->left[i].why);
    }
}

static void add_summary(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d)
{
    const struct sc_diff_sums *s = &d->sums;
    struct sc_buf sentence = {0};

    sc_add_bool(doc, into, "identical", sc_diff_identical(d));
    sc_diff_sentence(d, &sentence);
    sc_add_text(doc, into, "sentence", sc_str(sentence.p ? sentence.p : "", sentence.n));
    doc->failed = doc->failed || sentence.failed;
    sc_buf_clear(&sentence);
    struct sc_field *f = sc_add_object(doc, into, "summary");
    sc_add_uint(doc, f, "pairs", d->n, SC_COL_COUNT);
    for (size_t i = 0; i < SC_DIFF_STATUSES; i++)
        sc_add_uint(doc, f, sc_diff_status_names[i], d->n_status[i], SC_COL_COUNT);
    struct sc_field *verdicts = sc_add_object(doc, f, "verdicts");
    for (size_t i = SC_CHANGE_IS_BITS; i < SC_CHANGE_KINDS; i++)
        sc_add_uint(doc, verdicts, sc_change_kind_names[i], d->n_verdict[i], SC_COL_COUNT);
    sc_add_uint(doc, f, "unsupported", d->n_unsupported, SC_COL_COUNT);
    sc_add_uint(doc, f, "tied", d->n_tied, SC_COL_COUNT);
    sc_add_uint(doc, f, "values", s->values, SC_COL_COUNT);
    sc_add_uint(doc, f, "compared", s->compared, SC_COL_COUNT);
    sc_add_uint(doc, f, "changed_values", s->changed, SC_COL_COUNT);
    sc_add_figure(doc, f, "max_abs", s->compared ? s->max_abs : (double)NAN);
    sc_add_figure(doc, f, "l2", s->compared ? sqrt(s->dd) : (double)NAN);
    const double one_minus = d->has_base ? sc_diff_one_minus_cosine(s) : (double)NAN;
    sc_add_figure(doc, f, "relative_l2", d->has_base ? sc_diff_relative(s) : (double)NAN);
    sc_add_figure(doc, f, "cosine", 1 - one_minus);
    sc_add_figure(doc, f, "one_minus_cosine", one_minus);
}

int sc_analyze_diff(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d,
                    size_t top, bool full, struct sc_error *e)
{
    static const struct {
        const char *key;
        enum sc_diff_table which;
    } tables[] = {
        {"roles", SC_DIFF_ROLES}, {"layers", SC_DIFF_LAYERS}, {"most_changed", SC_DIFF_MOST}};

    if (d->has_base)
        TRY(add_side(doc, into, "a", d, d->a, 0, e));
    else
        sc_add_null(doc, into, "a");
    TRY(add_side(doc, into, "b", d, d->adapter ? d->adapter->model : d->b, 1, e));
    add_io(doc, into, d);
    if (d->adapter)
        add_adapter(doc, into, d);
    else
        sc_add_null(doc, into, "adapter");
    sc_finetune_add(doc, into, d);
    struct sc_field *methods = sc_add_list(doc, into, "methods");
    sc_add_textz(doc, methods, NULL, "basic");
    if (d->methods & SC_METHOD_SPECTRAL)
        sc_add_textz(doc, methods, NULL, "spectral");
    if (d->methods & SC_METHOD_ULP)
        sc_add_textz(doc, methods, NULL, "ulp");
    add_summary(doc, into, d);
    for (size_t i = 0; i < SC_COUNT(tables); i++) {
        const struct sc_table *t = sc_diff_table(doc, d, tables[i].which, top, 0, true, e);
        if (doc->failed)
            return sc_fail_memory(e);
        if (t)
            sc_add_table(doc, into, tables[i].key, t);
        else
            (void)sc_add_list(doc, into, tables[i].key);
    }
    sc_files_add(doc, into, d->files);
    return add_pairs(doc, into, d, full, e);
}

/* ---------------------------------------------------------------------------- WeightScope --- */
static void add_names(struct sc_document *doc, struct sc_field *into, const char *key,
                      const struct sc_diff *d, enum sc_diff_status status)
{
    struct sc_field *list = sc_add_list(doc, into, key);

    for (size_t i = 0; i < d->n; i++)
        if (d->pairs[i].status == status)
            sc_add_borrowed(doc, list, NULL, sc_tensor_name(sc_diff_tensor(d, &d->pairs[i])));
}

/* Its keys, and beside its own figures those that it documents for two tensors; theirs is A minus B
 * there. */
int sc_diff_weightscope(struct sc_document *doc, struct sc_field *into, const struct sc_diff *d,
                        struct sc_error *e)
{
    size_t common = 0;

    for (size_t i = 0; i < d->n; i++)
        common += d->pairs[i].pair.a != SC_NO_NODE && d->pairs[i].pair.b != SC_NO_NODE;
    sc_add_uint(doc, into, "common_layers", common, SC_COL_COUNT);
    add_names(doc, into, "only_in_model1", d, SC_DIFF_ONLY_A);
    add_names(doc, into, "only_in_model2", d, SC_DIFF_ONLY_B);
    struct sc_field *all = sc_add_object(doc, into, "layer_comparisons");
    for (size_t i = 0; i < d->n; i++) {
        const struct sc_change *c = d->pairs[i].change;
        const struct sc_tensor *t = sc_diff_tensor(d, &d->pairs[i]);
        if (!c)
            continue;
        char *key = sc_arena_copy(&doc->arena, t->name, t->name_len);
        if (!key)
            return sc_fail_memory(e);
        struct sc_str module = sc_tensor_name(t);
        if (sc_str_ends(module, ".weight"))
            key[module.n - strlen(".weight")] = '\0';
        struct sc_field *f = sc_add_object(doc, all, key);
        sc_add_figure(doc, f, "mean_diff", c->mean_b - c->mean_a);
        sc_add_figure(doc, f, "std_diff", c->std_b - c->std_a);
        sc_add_figure(doc, f, "l2_norm_ratio", c->norm_b / (c->norm_a + 1e-10));
        sc_add_figure(doc, f, "max_abs_change", c->absmax_b - c->absmax_a);
        sc_add_figure(doc, f, "l2_distance", c->l2);
        sc_add_figure(doc, f, "relative_l2_distance", c->l2 / (c->norm_a + 1e-10));
        sc_add_figure(doc, f, "cosine_similarity", c->cosine);
        sc_add_figure(doc, f, "mean_absolute_difference", c->mean_abs);
        sc_add_figure(doc, f, "max_absolute_difference", c->max_abs);
        sc_add_figure(doc, f, "significant_change_percentage", c->significant_percent);
        struct sc_field *s = sc_add_object(doc, f, "difference_stats");
        sc_add_figure(doc, s, "mean", -c->mean_diff);
        sc_add_figure(doc, s, "std", c->std_diff);
        sc_add_figure(doc, s, "min", -c->max_diff);
        sc_add_figure(doc, s, "max", -c->min_diff);
    }
    return sc_analyze_done(doc, e);
}
