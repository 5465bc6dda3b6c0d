/* SPDX-License-Identifier: Apache-2.0 */
/* scan_document: the document of `scruple scan`.
 *
 * Owns: its keys and their order. Figures follow the metric tables: a key with a dot is nested in
 * JSON, and a column of its own where everything is flat. What was not measured, or does not apply,
 * is null.
 *
 * The table "tensors" is made row by row while it is printed.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/figures.h"
#include "analyze/scan.h"

static void add_group(struct sc_document *d, struct sc_field *into, const struct sc_health *h,
                      const struct sc_metric_group *g, bool full)
{
    if (h && (h->measured & g->method))
        sc_metrics_add(d, sc_add_object(d, into, g->key), g, h, full);
    else
        sc_add_null(d, into, g->key);
}

/* --------------------------------------------------------------------------------- tensors --- */
enum tensor_column {
    TENSOR_NAME,
    TENSOR_DTYPE,
    TENSOR_SHAPE,
    TENSOR_PARAMETERS,
    TENSOR_BYTES,
    TENSOR_ROLE,
    TENSOR_LAYER,
    TENSOR_EXPERT,
    TENSOR_TOWER,
    TENSOR_STATE,
    TENSOR_WHY,
    TENSOR_SAME_AS,
    TENSOR_ERRORS,
    TENSOR_WARNINGS,
    TENSOR_INFOS,
    TENSOR_FIXED
};
static const struct sc_column fixed_columns[TENSOR_FIXED] = {
    [TENSOR_NAME] = {"name", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_DTYPE] = {"dtype", NULL, NULL, SC_COL_DTYPE, 0, 0},
    [TENSOR_SHAPE] = {"shape", NULL, NULL, SC_COL_SHAPE, 0, 0},
    [TENSOR_PARAMETERS] = {"parameters", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_BYTES] = {"bytes", NULL, "bytes", SC_COL_BYTES, 0, 0},
    [TENSOR_ROLE] = {"role", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_LAYER] = {"layer", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_EXPERT] = {"expert", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_TOWER] = {"tower", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_STATE] = {"state", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_WHY] = {"why", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_SAME_AS] = {"same_as", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_ERRORS] = {"errors", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_WARNINGS] = {"warnings", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_INFOS] = {"infos", NULL, NULL, SC_COL_COUNT, 0, 0},
};

struct tensor_view {
    const struct sc_scan *s;
    bool full;
    struct sc_column *columns;
    const struct sc_metric **metrics; /* (n_columns) what a column behind the fixed ones shows */
    unsigned *methods;                /* (n_columns) enum sc_method that measures it */
};

static uint64_t count_issues(const struct sc_scan *s, size_t i, enum sc_severity severity)
{
    uint64_t n = 0;

    for (uint32_t k = s->first_issue[i]; k < s->first_issue[i + 1]; k++)
        n += s->issues.p[s->issue_of[k]].severity == severity;
    return n;
}

static const char *state_of(const struct sc_scanned *t)
{
    return t->tied          ? "tied"
           : t->health      ? "measured"
           : !t->why        ? "skipped"
           : t->unsupported ? "unsupported"
                            : "unreadable";
}

static void fixed_cell(const struct sc_scan *s, size_t row, enum tensor_column column,
                       struct sc_cell *out)
{
    const struct sc_tensor *t = &s->model->tensors[s->tensors[row]];
    const struct sc_scanned *what = &s->scanned[row];

    switch (column) {
    case TENSOR_NAME:
        out->text = sc_str(t->name, t->name_len);
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
    case TENSOR_ROLE:
        out->text = sc_strz(sc_role_names[t->role]);
        break;
    case TENSOR_LAYER:
        out->null = t->layer < 0;
        out->u = out->null ? 0 : (uint64_t)t->layer;
        break;
    case TENSOR_EXPERT:
        out->null = t->expert < 0;
        out->u = out->null ? 0 : (uint64_t)t->expert;
        break;
    case TENSOR_TOWER:
        out->text = sc_strz(sc_tower_names[t->tower]);
        break;
    case TENSOR_STATE:
        out->text = sc_strz(state_of(what));
        break;
    case TENSOR_WHY:
        out->null = !what->why;
        out->text = sc_strz(what->why ? what->why : "");
        break;
    case TENSOR_SAME_AS:
        out->null = what->same == SC_NO_NODE;
        if (!out->null) {
            const struct sc_tensor *other = &s->model->tensors[s->tensors[what->same]];
            out->text = sc_str(other->name, other->name_len);
        }
        break;
    case TENSOR_ERRORS:
        out->u = count_issues(s, row, SC_ERROR);
        break;
    case TENSOR_WARNINGS:
        out->u = count_issues(s, row, SC_WARNING);
        break;
    case TENSOR_INFOS:
        out->u = count_issues(s, row, SC_INFO);
        break;
    case TENSOR_FIXED:
        break;
    }
}

static void tensor_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct tensor_view *v = ctx;
    const struct sc_health *h = v->s->health[row];

    if (column < TENSOR_FIXED) {
        fixed_cell(v->s, row, (enum tensor_column)column, out);
        return;
    }
    if (h && (h->measured & v->methods[column]))
        sc_metric_cell(v->metrics[column], h, out);
    else
        out->null = true;
}

/* ---------------------------------------------------------------------------------- issues --- */
enum issue_column {
    ISSUE_SEVERITY,
    ISSUE_ID,
    ISSUE_TENSOR,
    ISSUE_MESSAGE,
    ISSUE_VALUE,
    ISSUE_THRESHOLD,
};
static const struct sc_column issue_columns[] = {
    [ISSUE_SEVERITY] = {"severity", "severity", NULL, SC_COL_SEVERITY, 0, 0},
    [ISSUE_ID] = {"id", "id", NULL, SC_COL_TEXT, 0, 0},
    [ISSUE_TENSOR] = {"tensor", "tensor", NULL, SC_COL_KEY, SC_COL_SHRINK, 0},
    [ISSUE_MESSAGE] = {"message", "what", NULL, SC_COL_TEXT, SC_COL_SHRINK, 0},
    [ISSUE_VALUE] = {"value", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 4},
    [ISSUE_THRESHOLD] = {"threshold", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 4},
};

static void issue_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_scan *s = ctx;
    const struct sc_issue *i = &s->issues.p[row];
    const struct sc_tensor *t = &s->model->tensors[i->tensor];

    switch ((enum issue_column)column) {
    case ISSUE_SEVERITY:
        out->u = i->severity;
        break;
    case ISSUE_ID:
        out->text = sc_strz(sc_rules[i->rule].id);
        break;
    case ISSUE_TENSOR:
        out->text = sc_str(t->name, t->name_len);
        break;
    case ISSUE_MESSAGE:
        out->text = sc_strz(i->message);
        break;
    case ISSUE_VALUE:
        out->f = i->value;
        out->null = isnan(i->value);
        break;
    case ISSUE_THRESHOLD:
        out->f = i->threshold;
        out->null = isnan(i->threshold);
        break;
    }
}

static void add_issues_of(struct sc_document *d, struct sc_field *into, const struct sc_scan *s,
                          size_t i)
{
    struct sc_field *list = sc_add_list(d, into, "issues");

    for (uint32_t k = s->first_issue[i]; k < s->first_issue[i + 1]; k++) {
        static const char *const severities[] = {"info", "warning", "error"};
        const struct sc_issue *issue = &s->issues.p[s->issue_of[k]];
        struct sc_field *f = sc_add_object(d, list, NULL);
        sc_add_textz(d, f, "id", sc_rules[issue->rule].id);
        sc_add_textz(d, f, "severity", severities[issue->severity]);
        sc_add_textz(d, f, "message", issue->message);
        sc_add_figure(d, f, "value", issue->value);
        sc_add_figure(d, f, "threshold", issue->threshold);
    }
}

/* One tensor, nested. */
static void tensor_object(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct tensor_view *v = ctx;
    const struct sc_scan *s = v->s;
    const struct sc_tensor *t = &s->model->tensors[s->tensors[row]];

    for (size_t i = 0; i < TENSOR_ERRORS; i++) {
        const char *key = fixed_columns[i].key;
        struct sc_cell cell = {0};
        fixed_cell(s, row, (enum tensor_column)i, &cell);
        if (i == TENSOR_SHAPE) {
            struct sc_field *shape = sc_add_list(d, into, key);
            for (size_t k = 0; k < t->rank; k++)
                sc_add_uint(d, shape, NULL, t->shape[k], SC_COL_OFFSET);
        } else if (cell.null) {
            sc_add_null(d, into, key);
        } else if (cell.text.p) {
            sc_add_borrowed(d, into, key, cell.text);
        } else {
            sc_add_uint(d, into, key, cell.u, SC_COL_COUNT);
        }
    }
    for (size_t g = 0; sc_metric_groups[g]; g++)
        add_group(d, into, s->health[row], sc_metric_groups[g], v->full);
    add_issues_of(d, into, s, row);
}

static int add_tensors(struct sc_document *d, struct sc_field *into, const struct sc_scan *s,
                       bool full, struct sc_error *e)
{
    size_t n = TENSOR_FIXED, k = TENSOR_FIXED;

    for (size_t g = 0; sc_metric_groups[g]; g++)
        n += sc_metric_groups[g]->n;
    struct tensor_view *v = sc_analyze_alloc(d, sizeof *v, e);
    if (!v)
        return SCRUPLE_EMEMORY;
    *v = (struct tensor_view){s, full, sc_analyze_alloc(d, n * sizeof *v->columns, e),
                              sc_analyze_alloc(d, n * sizeof *v->metrics, e),
                              sc_analyze_alloc(d, n * sizeof *v->methods, e)};
    if (!v->columns || !v->metrics || !v->methods)
        return SCRUPLE_EMEMORY;
    memcpy(v->columns, fixed_columns, sizeof fixed_columns);
    for (size_t g = 0; sc_metric_groups[g]; g++) {
        const struct sc_metric_group *group = sc_metric_groups[g];
        const size_t first = k;
        if (s->measure.methods & group->method)
            TRY(sc_metric_columns(d, group, v->columns, v->metrics, &k, e));
        for (size_t i = first; i < k; i++)
            v->methods[i] = group->method;
    }
    sc_add_objects(d, into, "tensors", &(struct sc_table){v->columns, k, s->n, tensor_cell, v},
                   tensor_object);
    return sc_analyze_done(d, e);
}

/* ----------------------------------------------------------------------------------- rules --- */
struct rule_view {
    const struct sc_rule *rule;
    uint64_t errors, warnings, infos;
};
enum rule_column { RULE_ID, RULE_TITLE, RULE_REFERENCE, RULE_ERRORS, RULE_WARNINGS, RULE_INFOS };
static const struct sc_column rule_columns[] = {
    [RULE_ID] = {"id", NULL, NULL, SC_COL_TEXT, 0, 0},
    [RULE_TITLE] = {"title", NULL, NULL, SC_COL_TEXT, 0, 0},
    [RULE_REFERENCE] = {"reference", NULL, NULL, SC_COL_TEXT, 0, 0},
    [RULE_ERRORS] = {"errors", NULL, NULL, SC_COL_COUNT, 0, 0},
    [RULE_WARNINGS] = {"warnings", NULL, NULL, SC_COL_COUNT, 0, 0},
    [RULE_INFOS] = {"infos", NULL, NULL, SC_COL_COUNT, 0, 0},
};

static void rule_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct rule_view *v = &((const struct rule_view *)ctx)[row];

    switch ((enum rule_column)column) {
    case RULE_ID:
        out->text = sc_strz(v->rule->id);
        break;
    case RULE_TITLE:
        out->text = sc_strz(v->rule->title);
        break;
    case RULE_REFERENCE:
        out->text = sc_strz(v->rule->reference);
        break;
    case RULE_ERRORS:
        out->u = v->errors;
        break;
    case RULE_WARNINGS:
        out->u = v->warnings;
        break;
    case RULE_INFOS:
        out->u = v->infos;
        break;
    }
}

/* Those that said something. */
static int add_rules(struct sc_document *d, struct sc_field *into, const struct sc_scan *s,
                     struct sc_error *e)
{
    struct rule_view *all = sc_analyze_alloc(d, sc_n_rules * sizeof *all, e);
    size_t n = 0;

    if (!all)
        return SCRUPLE_EMEMORY;
    for (size_t i = 0; i < sc_n_rules; i++) {
        all[n] = (struct rule_view){&sc_rules[i], 0, 0, 0};
        for (size_t k = 0; k < s->issues.n; k++) {
            const struct sc_issue *issue = &s->issues.p[k];
            if (issue->rule != i)
                continue;
            all[n].errors += issue->severity == SC_ERROR;
            all[n].warnings += issue->severity == SC_WARNING;
            all[n].infos += issue->severity == SC_INFO;
        }
        n += all[n].errors + all[n].warnings + all[n].infos != 0;
    }
    sc_add_table(d, into, "rules",
                 &(struct sc_table){rule_columns, SC_COUNT(rule_columns), n, rule_cell, all});
    return sc_analyze_done(d, e);
}

/* -------------------------------------------------------------------------------- document --- */
static void add_settings(struct sc_document *d, struct sc_field *into, const struct sc_measure *m)
{
    struct sc_field *methods = sc_add_list(d, into, "methods");

    for (size_t g = 0; sc_metric_groups[g]; g++)
        if (m->methods & sc_metric_groups[g]->method)
            sc_add_textz(d, methods, NULL, sc_metric_groups[g]->key);
    struct sc_field *f = sc_add_object(d, into, "settings");
    sc_add_uint(d, f, "bits", m->bits, SC_COL_OFFSET);
    sc_add_uint(d, f, "group", m->group, SC_COL_OFFSET);
    sc_add_bool(d, f, "quick", m->quick);
    sc_add_bool(d, f, "shuffled", m->shuffled);
}

static void add_matched(struct sc_document *d, struct sc_field *into, const struct sc_scan *s)
{
    uint64_t parameters = 0, bytes = 0;

    for (size_t i = 0; i < s->n; i++) {
        const struct sc_tensor *t = &s->model->tensors[s->tensors[i]];
        parameters = sc_add_up(parameters, sc_tensor_counted(s->model, t));
        bytes = sc_add_up(bytes, t->bytes);
    }
    struct sc_field *f = sc_add_object(d, into, "matched");
    sc_add_uint(d, f, "logical_tensors", s->n, SC_COL_COUNT);
    sc_add_uint(d, f, "parameters", parameters, SC_COL_COUNT);
    sc_add_uint(d, f, "bytes", bytes, SC_COL_BYTES);
}

static void add_summary(struct sc_document *d, struct sc_field *into, const struct sc_scan *s)
{
    struct sc_buf sentence = {0};

    sc_scan_sentence(s, &sentence);
    sc_add_textz(d, into, "verdict", sc_scan_verdict(s));
    sc_add_text(d, into, "sentence", sc_str(sentence.p ? sentence.p : "", sentence.n));
    d->failed = d->failed || sentence.failed;
    sc_buf_clear(&sentence);
    struct sc_field *f = sc_add_object(d, into, "summary");
    sc_add_uint(d, f, "errors", s->n_severity[SC_ERROR], SC_COL_COUNT);
    sc_add_uint(d, f, "warnings", s->n_severity[SC_WARNING], SC_COL_COUNT);
    sc_add_uint(d, f, "infos", s->n_severity[SC_INFO], SC_COL_COUNT);
    sc_add_uint(d, f, "tensors", s->n, SC_COL_COUNT);
    sc_add_uint(d, f, "measured", s->n_measured, SC_COL_COUNT);
    sc_add_uint(d, f, "tied", s->n_tied, SC_COL_COUNT);
    sc_add_uint(d, f, "unsupported", s->n_unsupported, SC_COL_COUNT);
    sc_add_uint(d, f, "unreadable", s->n_unreadable, SC_COL_COUNT);
}

int sc_analyze_scan(struct sc_document *d, struct sc_field *into, const struct sc_scan *s,
                    bool full, struct sc_error *e)
{
    const struct sc_model *m = s->model;

    TRY(sc_analyze_model_read(d, into, m, sc_scan_bytes_read(s), sc_scan_requests(s), e));
    TRY(sc_analyze_totals(d, into, m, e));
    if (s->filtered)
        add_matched(d, into, s);
    add_settings(d, into, &s->measure);
    add_summary(d, into, s);
    const struct sc_table *roles = sc_scan_table(d, s, SC_SCAN_ROLES, SIZE_MAX, 0, true, e);
    if (!roles && d->failed)
        return sc_fail_memory(e);
    if (roles)
        sc_add_table(d, into, "roles", roles);
    TRY(add_rules(d, into, s, e));
    sc_add_table(
        d, into, "issues",
        &(struct sc_table){issue_columns, SC_COUNT(issue_columns), s->issues.n, issue_cell, s});
    return add_tensors(d, into, s, full, e);
}
