/* SPDX-License-Identifier: Apache-2.0 */
/* quant_document: the document of `scruple quant`.
 *
 * Owns: its keys and their order, and the flat table of results that is CSV. Figures follow the
 * metric table of quality.h. What was not measured, or does not apply, is null.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quant.h"

static const struct sc_tensor *tensor_of(const struct sc_quant *q, size_t i)
{
    return &q->model->tensors[q->tensors[i].tensor];
}

static void add_bytes(struct sc_document *d, struct sc_field *into, const char *key, uint64_t bytes)
{
    if (bytes == UINT64_MAX)
        sc_add_null(d, into, key);
    else
        sc_add_uint(d, into, key, bytes, SC_COL_BYTES);
}

/* ----------------------------------------------------------------------------------- plan --- */
static void add_names(struct sc_document *d, struct sc_field *into, const char *key,
                      const struct sc_quant_formats *f)
{
    struct sc_field *list = sc_add_list(d, into, key);

    for (size_t i = 0; i < f->n; i++)
        sc_add_textz(d, list, NULL, f->f[i].name);
}

static void add_goal(struct sc_document *d, struct sc_field *into, const struct sc_quant_plan *p)
{
    static const char *const grains[] = {NULL, "tile", "row", "group"};
    const bool mixes = sc_quant_mixes(p), budget = p->algorithm == SC_ALGORITHM_BUDGET;

    sc_add_textz(d, into, "metric", mixes ? sc_mix_metrics[p->goal.metric] : NULL);
    sc_add_figure(d, into, "threshold", mixes && !budget ? p->goal.threshold : (double)NAN);
    sc_add_textz(d, into, "granularity", mixes ? grains[p->grain] : NULL);
    if (mixes && p->grain == SC_GRAIN_GROUP)
        sc_add_uint(d, into, "group", p->group, SC_COL_OFFSET);
    else
        sc_add_null(d, into, "group");
    if (budget && !(p->budget.bits > 0))
        sc_add_uint(d, into, "budget_bytes", p->budget.bytes, SC_COL_BYTES);
    else
        sc_add_null(d, into, "budget_bytes");
    sc_add_figure(d, into, "budget_bits",
                  budget && p->budget.bits > 0 ? p->budget.bits : (double)NAN);
    sc_add_bool(d, into, "model_wide", p->model_wide);
}

static void add_plan(struct sc_document *d, struct sc_field *into, const struct sc_quant *q)
{
    static const char *const clusters[] = {NULL, "single", "kmeans"};
    const struct sc_quant_plan *p = q->plan;
    struct sc_field *f = sc_add_object(d, into, "plan");
    const bool greedy = p->algorithm == SC_ALGORITHM_GREEDY;

    sc_add_textz(d, f, "algorithm", sc_algorithm_names[p->algorithm]);
    add_names(d, f, "formats", &p->formats);
    if (sc_quant_mixes(p))
        add_names(d, f, "mix_formats", &p->mix);
    else
        sc_add_null(d, f, "mix_formats");
    add_goal(d, f, p);
    sc_add_textz(d, f, "cluster", greedy ? clusters[p->cluster] : NULL);
    if (greedy && p->cluster == SC_CLUSTER_KMEANS)
        sc_add_uint(d, f, "k", p->clusters, SC_COL_OFFSET);
    else
        sc_add_null(d, f, "k");
    if (p->algorithm == SC_ALGORITHM_RANDOM)
        sc_add_uint(d, f, "iters", p->trials, SC_COL_OFFSET);
    else
        sc_add_null(d, f, "iters");
    if (p->seed_source != SC_SEED_UNUSED)
        sc_add_uint(d, f, "seed", p->seed, SC_COL_OFFSET);
    else
        sc_add_null(d, f, "seed");
    sc_add_textz(d, f, "seed_source", sc_seed_sources[p->seed_source]);
    sc_add_textz(d, f, "generator", p->seed_source != SC_SEED_UNUSED ? SC_GENERATOR : NULL);
    sc_add_bool(d, f, "only_weights", q->only_weights);
}

/* ---------------------------------------------------------------------------------- mixes --- */
static void add_cells(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                      const uint64_t cells[SC_QUANT_MIX])
{
    struct sc_field *list = sc_add_list(d, into, "cells");

    for (size_t i = 0; i < q->plan->mix.n; i++) {
        struct sc_field *one = sc_add_object(d, list, NULL);
        sc_add_textz(d, one, "format", q->plan->mix.f[i].name);
        sc_add_uint(d, one, "cells", cells[i], SC_COL_COUNT);
    }
}

static void add_totals(struct sc_document *d, struct sc_field *f, const struct sc_quant *q,
                       const struct sc_mix_totals *t, uint64_t parameters)
{
    sc_add_figure(d, f, "pcc", t->pcc);
    sc_add_figure(d, f, "one_minus_pcc", t->one_minus_pcc);
    sc_add_figure(d, f, "mae", t->mae);
    sc_add_figure(d, f, "mse", t->mse);
    sc_add_figure(d, f, "atol", t->atol);
    sc_add_figure(d, f, "sqnr_db", t->sqnr_db);
    sc_add_figure(d, f, "cosine", t->cosine);
    add_bytes(d, f, "bytes", t->bytes);
    sc_add_figure(d, f, "bits_per_weight",
                  t->bytes == UINT64_MAX ? (double)NAN : sc_bits_per_weight(t->bytes, parameters));
    add_cells(d, f, q, t->cells);
    sc_add_uint(d, f, "left", t->left, SC_COL_COUNT);
}

static void add_curve(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                      const struct sc_mix_totals *points, size_t n, uint64_t parameters)
{
    if (!points) {
        sc_add_null(d, into, "curve");
        return;
    }
    struct sc_field *list = sc_add_list(d, into, "curve");
    for (size_t i = 0; i < n; i++)
        add_totals(d, sc_add_object(d, list, NULL), q, &points[i], parameters);
}

/* -------------------------------------------------------------------------------- tensors --- */
void sc_quant_add_interval(struct sc_document *d, struct sc_field *into,
                           const struct sc_quant_tensor *t, size_t k)
{
    if (!t->intervals) {
        sc_add_null(d, into, "interval");
        return;
    }
    struct sc_field *in = sc_add_object(d, into, "interval");
    sc_add_figure(d, in, "pcc", t->intervals[k].pcc);
    sc_add_figure(d, in, "sqnr_db", t->intervals[k].sqnr_db);
    sc_add_figure(d, in, "mae", t->intervals[k].mae);
}

static void add_result(struct sc_document *d, struct sc_field *list, const struct sc_quant *q,
                       size_t i, size_t k, bool legacy)
{
    const struct sc_quant_tensor *t = sc_quant_first(q, i);
    struct sc_quant_row row;

    if (!sc_quant_row_at(q, i, k, &row))
        return;
    struct sc_field *f = sc_add_object(d, list, NULL);
    sc_add_textz(d, f, "algorithm", sc_algorithm_names[row.algorithm]);
    sc_add_textz(d, f, "format", row.f ? row.f->name : "mix");
    sc_metrics_add(d, f, &sc_metrics_quality, row.cost, true);
    sc_add_figure(d, f, "legacy_bytes", legacy ? sc_quant_legacy_bytes(q, i, &row) : (double)NAN);
    if (row.f) {
        sc_quant_add_interval(d, f, t, k);
        sc_add_null(d, f, "mix");
        return;
    }
    sc_add_null(d, f, "interval");
    struct sc_field *mix = sc_add_object(d, f, "mix");
    sc_add_bool(d, mix, "good", t->good);
    add_cells(d, mix, q, t->totals.cells);
    sc_add_uint(d, mix, "left", t->totals.left, SC_COL_COUNT);
}

struct tensor_view {
    const struct sc_quant *q;
    bool legacy;
};

static const char *state_of(const struct sc_quant_tensor *t)
{
    return t->same != SC_NO_NODE ? "tied"
           : t->measured         ? "measured"
           : t->unsupported      ? "unsupported"
                                 : "unreadable";
}

static void add_number_or_null(struct sc_document *d, struct sc_field *f, const char *key,
                               int32_t v)
{
    if (v < 0)
        sc_add_null(d, f, key);
    else
        sc_add_uint(d, f, key, (uint64_t)v, SC_COL_OFFSET);
}

void sc_quant_add_facts(struct sc_document *d, struct sc_field *into,
                        const struct sc_quant_tensor *t)
{
    if (!t || !t->measured) {
        sc_add_null(d, into, "facts");
        return;
    }
    struct sc_field *f = sc_add_object(d, into, "facts");
    sc_add_uint(d, f, "values", t->facts.values, SC_COL_COUNT);
    sc_add_uint(d, f, "nonfinite", t->facts.nonfinite, SC_COL_COUNT);
    sc_add_figure(d, f, "min", t->facts.min);
    sc_add_figure(d, f, "mean", t->facts.mean);
    sc_add_figure(d, f, "max", t->facts.max);
    sc_add_figure(d, f, "abs_max", t->facts.abs_max);
    sc_add_figure(d, f, "rms", t->facts.rms);
    sc_add_uint(d, f, "sampled", t->sampled, SC_COL_COUNT);
}

static void tensor_object(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct tensor_view *v = ctx;
    const struct sc_quant *q = v->q;
    const struct sc_tensor *t = tensor_of(q, row);
    const struct sc_quant_tensor *what = &q->tensors[row], *first = sc_quant_first(q, row);

    sc_add_borrowed(d, into, "name", sc_tensor_name(t));
    sc_add_textz(d, into, "dtype", t->dtype);
    struct sc_field *shape = sc_add_list(d, into, "shape");
    for (size_t k = 0; k < t->rank; k++)
        sc_add_uint(d, shape, NULL, t->shape[k], SC_COL_OFFSET);
    sc_add_uint(d, into, "parameters", t->parameters, SC_COL_COUNT);
    sc_add_uint(d, into, "bytes", t->bytes, SC_COL_BYTES);
    sc_add_textz(d, into, "role", sc_role_names[t->role]);
    add_number_or_null(d, into, "layer", t->layer);
    add_number_or_null(d, into, "expert", t->expert);
    sc_add_textz(d, into, "state", state_of(what));
    sc_add_textz(d, into, "why", what->why ? what->why : what->no_mix);
    if (what->same != SC_NO_NODE)
        sc_add_borrowed(d, into, "same_as", sc_tensor_name(tensor_of(q, what->same)));
    else
        sc_add_null(d, into, "same_as");
    sc_quant_add_facts(d, into, first);
    struct sc_field *results = sc_add_list(d, into, "results");
    for (size_t k = 0; k < q->n_rows; k++)
        add_result(d, results, q, row, k, v->legacy);
    add_curve(d, into, q, first->curve, first->n_curve, t->parameters);
}

static void no_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct tensor_view *v = ctx;

    (void)column;
    out->text = sc_tensor_name(tensor_of(v->q, row));
}

static int add_tensors(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                       bool legacy, struct sc_error *e)
{
    static const struct sc_column columns[] = {{"name", NULL, NULL, SC_COL_TEXT, 0, 0}};
    struct tensor_view *v = sc_analyze_alloc(d, sizeof *v, e);

    if (!v)
        return SCRUPLE_EMEMORY;
    *v = (struct tensor_view){q, legacy};
    sc_add_objects(d, into, "tensors",
                   &(struct sc_table){columns, SC_COUNT(columns), q->n, no_cell, v}, tensor_object);
    return sc_analyze_done(d, e);
}

/* -------------------------------------------------------------------------------- summary --- */
static void add_mean(struct sc_document *d, struct sc_field *list, const struct sc_quant *q,
                     size_t k, bool legacy)
{
    struct sc_quant_row row = {.algorithm = q->plan->algorithm};
    struct sc_quant_mean m;

    for (size_t i = 0; i < q->n && !sc_quant_row_at(q, i, k, &row); i++)
        ;
    sc_quant_mean_of(q, k, &m);
    if (!m.n)
        return;
    struct sc_field *f = sc_add_object(d, list, NULL);
    sc_add_textz(d, f, "algorithm", sc_algorithm_names[row.algorithm]);
    sc_add_textz(d, f, "format", row.f ? row.f->name : "mix");
    sc_add_uint(d, f, "tensors", m.n, SC_COL_COUNT);
    sc_add_uint(d, f, "parameters", m.parameters, SC_COL_COUNT);
    struct sc_field *mean = sc_add_object(d, f, "mean");
    sc_add_figure(d, mean, "pcc", m.pcc);
    sc_add_figure(d, mean, "mae", m.mae);
    sc_add_figure(d, mean, "atol", m.atol);
    sc_add_figure(d, mean, "sqnr_db", m.sqnr_db);
    sc_add_figure(d, mean, "bytes", m.bytes);
    struct sc_field *weighted = sc_add_object(d, f, "weighted");
    sc_add_figure(d, weighted, "pcc", m.w_pcc);
    sc_add_figure(d, weighted, "mae", m.w_mae);
    sc_add_figure(d, weighted, "mse", m.w_mse);
    sc_add_figure(d, weighted, "sqnr_db", m.w_sqnr_db);
    sc_add_figure(d, f, "atol", m.w_atol);
    add_bytes(d, f, "bytes", m.total_bytes);
    sc_add_figure(d, f, "bits_per_weight",
                  m.total_bytes == UINT64_MAX ? (double)NAN
                                              : sc_bits_per_weight(m.total_bytes, m.parameters));
    sc_add_figure(d, f, "legacy_bytes", legacy ? m.legacy_bytes : (double)NAN);
    if (row.f) {
        sc_add_null(d, f, "good");
        sc_add_null(d, f, "cells");
    } else {
        sc_add_uint(d, f, "good", m.n_good, SC_COL_COUNT);
        add_cells(d, f, q, m.cells);
    }
}

uint64_t sc_quant_parameters(const struct sc_quant *q)
{
    uint64_t n = 0;

    for (size_t i = 0; i < q->n; i++)
        if (q->tensors[i].measured)
            n = sc_add_up(n, tensor_of(q, i)->parameters);
    return n;
}

static void add_counts(struct sc_document *d, struct sc_field *into, const struct sc_quant *q)
{
    struct sc_field *f = sc_add_object(d, into, "counts");

    sc_add_uint(d, f, "tensors", q->n, SC_COL_COUNT);
    sc_add_uint(d, f, "measured", q->n_measured, SC_COL_COUNT);
    sc_add_uint(d, f, "tied", q->n_tied, SC_COL_COUNT);
    sc_add_uint(d, f, "unsupported", q->n_unsupported, SC_COL_COUNT);
    sc_add_uint(d, f, "unreadable", q->n_unreadable, SC_COL_COUNT);
    sc_add_uint(d, f, "not_floats", q->n_skipped, SC_COL_COUNT);
    sc_add_uint(d, f, "beyond_limit", q->n_limited, SC_COL_COUNT);
}

static void add_summary(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                        bool legacy)
{
    struct sc_field *summary = sc_add_list(d, into, "summary");

    for (size_t k = 0; k < q->n_rows; k++)
        add_mean(d, summary, q, k, legacy);
}

void sc_quant_add_summary(struct sc_document *d, struct sc_field *into, const struct sc_quant *q)
{
    add_counts(d, into, q);
    add_summary(d, into, q, false);
}

int sc_analyze_quant(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                     bool legacy, struct sc_error *e)
{
    const uint64_t parameters = sc_quant_parameters(q);

    TRY(sc_analyze_model_read(d, into, q->model, sc_quant_bytes_read(q), sc_quant_requests(q), e));
    TRY(sc_analyze_totals(d, into, q->model, e));
    add_plan(d, into, q);
    add_counts(d, into, q);
    add_summary(d, into, q, legacy);
    if (q->has_total) {
        struct sc_field *total = sc_add_object(d, into, "total");
        sc_add_bool(d, total, "good", q->good);
        add_totals(d, total, q, &q->total, parameters);
    } else {
        sc_add_null(d, into, "total");
    }
    add_curve(d, into, q, q->curve, q->n_curve, parameters);
    return add_tensors(d, into, q, legacy, e);
}

/* ------------------------------------------------------------------------------------ CSV --- */
enum csv_column {
    CSV_NAME,
    CSV_DTYPE,
    CSV_SHAPE,
    CSV_PARAMETERS,
    CSV_ALGORITHM,
    CSV_FORMAT,
    CSV_GOOD,
    CSV_CELLS,
    CSV_LEGACY,
    CSV_FIXED
};
static const struct sc_column csv_columns[CSV_FIXED] = {
    [CSV_NAME] = {"name", NULL, NULL, SC_COL_TEXT, 0, 0},
    [CSV_DTYPE] = {"dtype", NULL, NULL, SC_COL_DTYPE, 0, 0},
    [CSV_SHAPE] = {"shape", NULL, NULL, SC_COL_SHAPE, 0, 0},
    [CSV_PARAMETERS] = {"parameters", NULL, NULL, SC_COL_COUNT, 0, 0},
    [CSV_ALGORITHM] = {"algorithm", NULL, NULL, SC_COL_TEXT, 0, 0},
    [CSV_FORMAT] = {"format", NULL, NULL, SC_COL_TEXT, 0, 0},
    [CSV_GOOD] = {"good", NULL, NULL, SC_COL_COUNT, 0, 0},
    [CSV_CELLS] = {"cells", NULL, NULL, SC_COL_TEXT, 0, 0},
    [CSV_LEGACY] = {"legacy_bytes", NULL, NULL, SC_COL_NUMBER, 0, 0},
};
struct csv_view {
    const struct sc_quant *q;
    bool legacy;
    struct sc_column *columns;
    const struct sc_metric **metrics; /* (columns) of those behind the fixed ones */
    char cells[1600];                 /* the text that was asked for last */
    size_t n_rows;
    struct {
        uint32_t tensor, row;
    } rows[];
};

/* "bfp8:115209 bfp4:13815" */
static struct sc_str cells_text(struct csv_view *v, const uint64_t cells[SC_QUANT_MIX])
{
    size_t n = 0;

    v->cells[0] = '\0';
    for (size_t i = 0; i < v->q->plan->mix.n; i++) {
        const int more = snprintf(v->cells + n, sizeof v->cells - n, "%s%s:%llu", i ? " " : "",
                                  v->q->plan->mix.f[i].name, (unsigned long long)cells[i]);
        n = SC_MIN(n + (size_t)SC_MAX(more, 0), sizeof v->cells - 1);
    }
    return sc_str(v->cells, n);
}

static void csv_cell(const void *ctx, size_t at, size_t column, struct sc_cell *out)
{
    /* The scratch of a table is its own, whatever it is borrowed as. */
    struct csv_view *v = (struct csv_view *)(uintptr_t)ctx;
    const size_t i = v->rows[at].tensor;
    const struct sc_tensor *t = tensor_of(v->q, i);
    const struct sc_quant_tensor *what = sc_quant_first(v->q, i);
    struct sc_quant_row row;

    if (!sc_quant_row_at(v->q, i, v->rows[at].row, &row)) {
        out->null = true;
        return;
    }
    if (column >= CSV_FIXED) {
        sc_metric_cell(v->metrics[column], row.cost, out);
        return;
    }
    switch ((enum csv_column)column) {
    case CSV_NAME:
        out->text = sc_tensor_name(t);
        break;
    case CSV_DTYPE:
        out->text = sc_strz(t->dtype);
        break;
    case CSV_SHAPE:
        out->dims = t->shape;
        out->n_dims = t->rank;
        break;
    case CSV_PARAMETERS:
        out->u = t->parameters;
        break;
    case CSV_ALGORITHM:
        out->text = sc_strz(sc_algorithm_names[row.algorithm]);
        break;
    case CSV_FORMAT:
        out->text = sc_strz(row.f ? row.f->name : "mix");
        break;
    case CSV_GOOD:
        out->null = row.f != NULL;
        out->u = what->good;
        break;
    case CSV_CELLS:
        out->null = row.f != NULL;
        out->text = row.f ? sc_strz("") : cells_text(v, what->totals.cells);
        break;
    case CSV_LEGACY:
        out->f = v->legacy ? sc_quant_legacy_bytes(v->q, i, &row) : (double)NAN;
        out->null = isnan(out->f);
        break;
    case CSV_FIXED:
        break;
    }
}

int sc_analyze_quant_csv(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                         bool legacy, struct sc_error *e)
{
    const size_t most = CSV_FIXED + sc_metrics_quality.n;
    size_t k = CSV_FIXED;
    struct csv_view *v = sc_analyze_alloc(d, sizeof *v + q->n * q->n_rows * sizeof v->rows[0], e);

    if (!v)
        return SCRUPLE_EMEMORY;
    *v = (struct csv_view){.q = q, .legacy = legacy};
    v->columns = sc_analyze_alloc(d, most * sizeof *v->columns, e);
    v->metrics = sc_analyze_alloc(d, most * sizeof *v->metrics, e);
    if (!v->columns || !v->metrics)
        return SCRUPLE_EMEMORY;
    memcpy(v->columns, csv_columns, sizeof csv_columns);
    for (size_t i = 0; i < sc_metrics_quality.n; i++) {
        const struct sc_metric *m = &sc_metrics_quality.metrics[i];
        if (sc_metric_is_list(m))
            continue;
        v->metrics[k] = m;
        v->columns[k++] = (struct sc_column){
            m->key, NULL, m->unit, m->kind == SC_METRIC_DOUBLE ? SC_COL_NUMBER : SC_COL_COUNT,
            0,      0};
    }
    for (size_t i = 0; i < q->n; i++)
        for (size_t row = 0; row < q->n_rows; row++) {
            struct sc_quant_row ignored;
            if (!sc_quant_row_at(q, i, row, &ignored))
                continue;
            v->rows[v->n_rows].tensor = (uint32_t)i;
            v->rows[v->n_rows++].row = (uint32_t)row;
        }
    sc_add_table(d, into, "results", &(struct sc_table){v->columns, k, v->n_rows, csv_cell, v});
    return sc_analyze_done(d, e);
}

/* The frontiers: of each tensor, and with no name that of all together. */
enum curve_column {
    CURVE_NAME,
    CURVE_BYTES,
    CURVE_BITS,
    CURVE_PCC,
    CURVE_MAE,
    CURVE_ATOL,
    CURVE_MSE,
    CURVE_SQNR,
    CURVE_CELLS,
    CURVE_COLUMNS
};
static const struct sc_column curve_columns[CURVE_COLUMNS] = {
    [CURVE_NAME] = {"name", NULL, NULL, SC_COL_TEXT, 0, 0},
    [CURVE_BYTES] = {"bytes", NULL, "bytes", SC_COL_COUNT, 0, 0},
    [CURVE_BITS] = {"bits_per_weight", NULL, "bits", SC_COL_NUMBER, 0, 0},
    [CURVE_PCC] = {"pcc", NULL, NULL, SC_COL_NUMBER, 0, 0},
    [CURVE_MAE] = {"mae", NULL, NULL, SC_COL_NUMBER, 0, 0},
    [CURVE_ATOL] = {"atol", NULL, NULL, SC_COL_NUMBER, 0, 0},
    [CURVE_MSE] = {"mse", NULL, NULL, SC_COL_NUMBER, 0, 0},
    [CURVE_SQNR] = {"sqnr_db", NULL, "dB", SC_COL_NUMBER, 0, 0},
    [CURVE_CELLS] = {"cells", NULL, NULL, SC_COL_TEXT, 0, 0},
};

static const struct sc_mix_totals *point_of(const struct csv_view *v, size_t at)
{
    return v->rows[at].tensor == UINT32_MAX
               ? &v->q->curve[v->rows[at].row]
               : &v->q->tensors[v->rows[at].tensor].curve[v->rows[at].row];
}

static void curve_cell(const void *ctx, size_t at, size_t column, struct sc_cell *out)
{
    struct csv_view *v = (struct csv_view *)(uintptr_t)ctx; /* as above */
    const struct sc_mix_totals *p = point_of(v, at);
    const uint32_t i = v->rows[at].tensor;

    switch ((enum curve_column)column) {
    case CURVE_NAME:
        out->null = i == UINT32_MAX;
        out->text = out->null ? sc_strz("") : sc_tensor_name(tensor_of(v->q, i));
        break;
    case CURVE_BYTES:
        out->u = p->bytes;
        break;
    case CURVE_BITS:
        out->f = sc_bits_per_weight(p->bytes, i == UINT32_MAX ? sc_quant_parameters(v->q)
                                                              : tensor_of(v->q, i)->parameters);
        break;
    case CURVE_PCC:
        out->f = p->pcc;
        break;
    case CURVE_MAE:
        out->f = p->mae;
        break;
    case CURVE_ATOL:
        out->f = p->atol;
        break;
    case CURVE_MSE:
        out->f = p->mse;
        break;
    case CURVE_SQNR:
        out->f = p->sqnr_db;
        break;
    case CURVE_CELLS:
        out->text = cells_text(v, p->cells);
        break;
    case CURVE_COLUMNS:
        break;
    }
    out->null = out->null || (column > CURVE_BYTES && column < CURVE_CELLS && isnan(out->f));
}

int sc_analyze_quant_curves(struct sc_document *d, struct sc_field *into, const struct sc_quant *q,
                            struct sc_error *e)
{
    size_t n = q->n_curve;

    for (size_t i = 0; i < q->n; i++)
        n += q->tensors[i].n_curve;
    struct csv_view *v = sc_analyze_alloc(d, sizeof *v + n * sizeof v->rows[0], e);
    if (!v)
        return SCRUPLE_EMEMORY;
    *v = (struct csv_view){.q = q};
    for (size_t i = 0; i <= q->n; i++) {
        const size_t points = i < q->n ? q->tensors[i].n_curve : q->n_curve;
        for (size_t k = 0; k < points; k++) {
            v->rows[v->n_rows].tensor = i < q->n ? (uint32_t)i : UINT32_MAX;
            v->rows[v->n_rows++].row = (uint32_t)k;
        }
    }
    sc_add_table(d, into, "curves",
                 &(struct sc_table){curve_columns, CURVE_COLUMNS, v->n_rows, curve_cell, v});
    return sc_analyze_done(d, e);
}
