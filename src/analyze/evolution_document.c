/* SPDX-License-Identifier: Apache-2.0 */
/* evolution_document: the document of checkpoints in order, and its tables. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff.h"

/* --------------------------------------------------------------------------------- steps --- */
enum step_column {
    STEP_STEP,
    STEP_FROM,
    STEP_TO,
    STEP_CHANGED,
    STEP_SAME,
    STEP_RELATIVE,
    STEP_COSINE,
    STEP_MAX,
    STEP_FIRST,
    STEP_SHOWN_RELATIVE,
    STEP_SHOWN_COSINE,
    STEP_SHOWN_MAX,
    STEP_SHOWN_FIRST,
    STEP_MOST,
    STEP_SENTENCE,
    STEP_COLUMNS
};
#define SHOWN (SC_COL_TERM_ONLY | SC_COL_RIGHT | SC_COL_OPTIONAL)
static const struct sc_column step_columns[STEP_COLUMNS] = {
    [STEP_STEP] = {"step", "step", NULL, SC_COL_COUNT, 0, 0},
    [STEP_FROM] = {"from", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [STEP_TO] = {"to", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [STEP_CHANGED] = {"changed", "changed", NULL, SC_COL_COUNT, 0, 0},
    [STEP_SAME] = {"same", "same", NULL, SC_COL_COUNT, 0, 0},
    [STEP_RELATIVE] = {"relative_l2", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [STEP_COSINE] = {"one_minus_cosine", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [STEP_MAX] = {"max_abs", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [STEP_FIRST] = {"from_first", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [STEP_SHOWN_RELATIVE] = {"relative_l2", "relative", NULL, SC_COL_TEXT, SHOWN, 0},
    [STEP_SHOWN_COSINE] = {"one_minus_cosine", "1 - cosine", NULL, SC_COL_TEXT, SHOWN, 0},
    [STEP_SHOWN_MAX] = {"max_abs", "max |d|", NULL, SC_COL_TEXT, SHOWN, 0},
    [STEP_SHOWN_FIRST] = {"from_first", "from first", NULL, SC_COL_TEXT, SHOWN, 0},
    [STEP_MOST] = {"most_changed", "changed most", NULL, SC_COL_LABEL, SC_COL_SHRINK, 0},
    [STEP_SENTENCE] = {"sentence", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
};

struct step_view {
    const struct sc_evolution *v;
    char *number; /* (64) the cell that was asked for last */
    const char **sentences;
};

static double step_figure(const struct sc_diff_sums *s, size_t which)
{
    return which == 0    ? sc_diff_relative(s)
           : which == 1  ? sc_diff_one_minus_cosine(s)
           : s->compared ? s->max_abs
                         : (double)NAN;
}

static void step_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct step_view *w = ctx;
    const struct sc_evolution *v = w->v;
    const struct sc_diff *d = v->steps[row];

    switch ((enum step_column)column) {
    case STEP_STEP:
        out->u = row;
        break;
    case STEP_FROM:
    case STEP_TO:
        out->text = sc_strz(v->models[row + (column == STEP_TO)]->label);
        break;
    case STEP_CHANGED:
        out->u = d->n_status[SC_DIFF_CHANGED];
        break;
    case STEP_SAME:
        out->u = d->n_status[SC_DIFF_SAME];
        break;
    case STEP_RELATIVE:
    case STEP_COSINE:
    case STEP_MAX:
        out->f = step_figure(&d->sums, column - STEP_RELATIVE);
        out->null = isnan(out->f);
        break;
    case STEP_SHOWN_RELATIVE:
    case STEP_SHOWN_COSINE:
    case STEP_SHOWN_MAX:
        out->text = sc_short_number(step_figure(&d->sums, column - STEP_SHOWN_RELATIVE), w->number);
        out->null = !out->text.n;
        break;
    case STEP_FIRST:
        out->f = sc_diff_relative(&v->firsts[row]->sums);
        out->null = isnan(out->f);
        break;
    case STEP_SHOWN_FIRST:
        out->text = sc_short_number(sc_diff_relative(&v->firsts[row]->sums), w->number);
        out->null = !out->text.n;
        break;
    case STEP_MOST:
        out->null = !d->n_ranked;
        if (d->n_ranked) {
            const struct sc_tensor *t = sc_diff_tensor(d, &d->pairs[d->ranked[0]]);
            out->text = sc_str(t->name, t->name_len);
        }
        break;
    case STEP_SENTENCE:
        out->text = sc_strz(w->sentences[row]);
        break;
    case STEP_COLUMNS:
        break;
    }
}

static const struct sc_table *make_steps(struct sc_document *doc, const struct sc_evolution *v,
                                         struct sc_error *e)
{
    struct step_view *w = sc_analyze_alloc(doc, sizeof *w, e);
    struct sc_table *t = sc_analyze_alloc(doc, sizeof *t, e);

    if (w)
        *w = (struct step_view){.v = v,
                                .number = sc_analyze_alloc(doc, 64, e),
                                .sentences = sc_analyze_alloc(doc, v->n_steps * sizeof(char *), e)};
    if (!w || !t || !w->number || !w->sentences) {
        doc->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < v->n_steps; i++) {
        struct sc_buf b = {0};
        sc_diff_sentence(v->steps[i], &b);
        w->sentences[i] = b.failed ? NULL : sc_arena_copy(&doc->arena, b.p, b.n);
        doc->failed = doc->failed || !w->sentences[i];
        sc_buf_clear(&b);
    }
    *t = (struct sc_table){step_columns, STEP_COLUMNS, v->n_steps, step_cell, w};
    return doc->failed ? NULL : t;
}

/* ------------------------------------------------------------------------- tracks for people ---
 */
enum track_column {
    TRACK_NAME,
    TRACK_BARS,
    TRACK_LARGEST,
    TRACK_LAST,
    TRACK_TREND,
    TRACK_JUMP,
    TRACK_Z,
    TRACK_SHOWN
};
static const struct sc_column track_columns[TRACK_SHOWN] = {
    [TRACK_NAME] = {"name", "tensor", NULL, SC_COL_LABEL, SC_COL_SHRINK, 0},
    [TRACK_BARS] = {"by_step", "by step", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
    [TRACK_LARGEST] = {"largest", "largest", NULL, SC_COL_TEXT, SHOWN, 0},
    [TRACK_LAST] = {"last", "last", NULL, SC_COL_TEXT, SHOWN, 0},
    [TRACK_TREND] = {"trend", "norm %/step", NULL, SC_COL_TEXT, SHOWN, 0},
    [TRACK_JUMP] = {"jump", "jump at", NULL, SC_COL_TEXT, SHOWN, 0},
    [TRACK_Z] = {"jump_z", "z", NULL, SC_COL_TEXT, SHOWN, 0},
};
struct track_view {
    const struct sc_evolution *v;
    char *text; /* (64) */
    const char **bars;
    uint32_t row[];
};

static void track_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct track_view *w = ctx;
    const struct sc_track *t = &w->v->tracks[w->row[row]];

    switch ((enum track_column)column) {
    case TRACK_NAME:
        out->text = t->name;
        break;
    case TRACK_BARS:
        out->text = sc_strz(w->bars[row] ? w->bars[row] : "");
        break;
    case TRACK_LARGEST:
        out->text = sc_short_number(t->largest, w->text);
        break;
    case TRACK_LAST:
        out->text = sc_short_number(t->relative[w->v->n_steps - 1], w->text);
        break;
    case TRACK_TREND:
        if (!isnan(t->trend))
            snprintf(w->text, 64, "%+.2f", 100 * (exp2(t->trend) - 1));
        out->text = sc_strz(isnan(t->trend) ? "" : w->text);
        break;
    case TRACK_JUMP:
        if (t->jump != SC_NO_NODE)
            snprintf(w->text, 64, "%u", (unsigned)t->jump);
        out->text = sc_strz(t->jump == SC_NO_NODE ? "" : w->text);
        break;
    case TRACK_Z:
        if (!isnan(t->jump_z))
            snprintf(w->text, 64, isinf(t->jump_z) ? "only then" : "%.1f", t->jump_z);
        out->text = sc_strz(isnan(t->jump_z) ? "" : w->text);
        break;
    case TRACK_SHOWN:
        break;
    }
    out->null = !out->text.n;
}

struct ranked {
    double key;
    uint32_t track;
};

static int by_key(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->key < y->key || x->key > y->key)
        return x->key > y->key ? -1 : 1;
    return x->track < y->track ? -1 : x->track > y->track;
}

static const struct sc_table *make_tracks(struct sc_document *doc, const struct sc_evolution *v,
                                          bool jumps, size_t limit, bool ascii, struct sc_error *e)
{
    struct ranked *all = sc_alloc(SC_MAX(v->n, (size_t)1) * sizeof *all);
    double *work = sc_alloc((v->n_steps + 1) * sizeof *work);
    struct sc_table *t = sc_analyze_alloc(doc, sizeof *t, e);
    struct track_view *w = NULL;
    size_t n = 0;

    for (size_t i = 0; all && i < v->n; i++) {
        const struct sc_track *x = &v->tracks[i];
        if (jumps ? x->jump != SC_NO_NODE : x->largest > 0)
            all[n++] = (struct ranked){jumps ? x->jump_z : x->largest, (uint32_t)i};
    }
    if (n)
        qsort(all, n, sizeof *all, by_key);
    n = SC_MIN(n, limit);
    if (all && work && t)
        w = sc_analyze_alloc(doc, sizeof *w + n * sizeof w->row[0], e);
    if (w)
        *w = (struct track_view){v, sc_analyze_alloc(doc, 64, e),
                                 sc_analyze_alloc(doc, n * sizeof(char *), e)};
    if (w && w->text && w->bars) {
        for (size_t i = 0; i < n; i++) {
            w->row[i] = all[i].track;
            memcpy(work, v->tracks[w->row[i]].relative, v->n_steps * sizeof *work);
            w->bars[i] = sc_bars(doc, work, v->n_steps, 32, ascii);
        }
        *t = (struct sc_table){track_columns, TRACK_SHOWN, n, track_cell, w};
    } else {
        sc_fail_memory(e);
        doc->failed = true;
    }
    free(all);
    free(work);
    return doc->failed || !n ? NULL : t;
}

const struct sc_table *sc_evolution_table(struct sc_document *doc, const struct sc_evolution *v,
                                          enum sc_evolution_table which, size_t limit, bool ascii,
                                          struct sc_error *e)
{
    return which == SC_EVOLUTION_STEPS
               ? make_steps(doc, v, e)
               : make_tracks(doc, v, which == SC_EVOLUTION_JUMPS, limit, ascii, e);
}

/* ------------------------------------------------------------------------------- document --- */
enum tensor_column {
    TENSOR_NAME,
    TENSOR_ROLE,
    TENSOR_TOWER,
    TENSOR_LAYER,
    TENSOR_PARAMETERS,
    TENSOR_TREND,
    TENSOR_FROZEN,
    TENSOR_JUMP,
    TENSOR_Z,
    TENSOR_FIXED
};
static const struct sc_column tensor_columns[TENSOR_FIXED] = {
    [TENSOR_NAME] = {"name", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_ROLE] = {"role", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_TOWER] = {"tower", NULL, NULL, SC_COL_TEXT, 0, 0},
    [TENSOR_LAYER] = {"layer", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_PARAMETERS] = {"parameters", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_TREND] = {"norm_trend", NULL, NULL, SC_COL_NUMBER, 0, 0},
    [TENSOR_FROZEN] = {"frozen", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_JUMP] = {"jump", NULL, NULL, SC_COL_COUNT, 0, 0},
    [TENSOR_Z] = {"jump_z", NULL, NULL, SC_COL_NUMBER, 0, 0},
};
struct tensor_view {
    const struct sc_evolution *v;
    struct sc_column *columns; /* the fixed ones, a change for each step, a norm each checkpoint */
};

static void put_real(double x, struct sc_cell *out)
{
    out->f = x;
    out->null = isnan(x);
}

static void tensor_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct tensor_view *w = ctx;
    const struct sc_track *t = &w->v->tracks[row];

    switch ((enum tensor_column)SC_MIN(column, (size_t)TENSOR_FIXED)) {
    case TENSOR_NAME:
        out->text = t->name;
        break;
    case TENSOR_ROLE:
        out->text = sc_strz(sc_role_names[t->role]);
        break;
    case TENSOR_TOWER:
        out->text = sc_strz(sc_tower_names[t->tower]);
        break;
    case TENSOR_LAYER:
        out->null = t->layer < 0;
        out->u = out->null ? 0 : (uint64_t)t->layer;
        break;
    case TENSOR_PARAMETERS:
        out->u = t->parameters;
        break;
    case TENSOR_TREND:
        put_real(t->trend, out);
        break;
    case TENSOR_FROZEN:
        out->u = t->frozen;
        break;
    case TENSOR_JUMP:
        out->null = t->jump == SC_NO_NODE;
        out->u = t->jump;
        break;
    case TENSOR_Z:
        put_real(t->jump_z, out);
        break;
    case TENSOR_FIXED:
        put_real(t->relative[column - TENSOR_FIXED], out); /* what follows lies behind */
        break;
    }
}

static void tensor_object(const void *ctx, size_t row, struct sc_document *doc,
                          struct sc_field *into)
{
    const struct tensor_view *w = ctx;
    const struct sc_track *t = &w->v->tracks[row];

    sc_add_borrowed(doc, into, "name", t->name);
    sc_add_textz(doc, into, "role", sc_role_names[t->role]);
    sc_add_textz(doc, into, "tower", sc_tower_names[t->tower]);
    if (t->layer < 0)
        sc_add_null(doc, into, "layer");
    else
        sc_add_uint(doc, into, "layer", (uint64_t)t->layer, SC_COL_COUNT);
    sc_add_uint(doc, into, "parameters", t->parameters, SC_COL_COUNT);
    struct sc_field *list = sc_add_list(doc, into, "relative_l2");
    for (size_t i = 0; i < w->v->n_steps; i++)
        sc_add_figure(doc, list, NULL, t->relative[i]);
    list = sc_add_list(doc, into, "norm");
    for (size_t i = 0; i <= w->v->n_steps; i++)
        sc_add_figure(doc, list, NULL, t->norm[i]);
    list = sc_add_list(doc, into, "from_first");
    for (size_t i = 0; i < w->v->n_steps; i++)
        sc_add_figure(doc, list, NULL, t->first[i]);
    sc_add_figure(doc, into, "norm_trend", t->trend);
    sc_add_bool(doc, into, "frozen", t->frozen);
    if (t->jump == SC_NO_NODE)
        sc_add_null(doc, into, "jump");
    else
        sc_add_uint(doc, into, "jump", t->jump, SC_COL_COUNT);
    sc_add_figure(doc, into, "jump_z", t->jump_z);
}

static int add_tensors(struct sc_document *doc, struct sc_field *into, const struct sc_evolution *v,
                       struct sc_error *e)
{
    const size_t n = TENSOR_FIXED + 3 * v->n_steps + 1;
    struct tensor_view *w = sc_analyze_alloc(doc, sizeof *w, e);

    if (!w)
        return SCRUPLE_EMEMORY;
    *w = (struct tensor_view){v, sc_analyze_alloc(doc, n * sizeof *w->columns, e)};
    if (!w->columns)
        return SCRUPLE_EMEMORY;
    memcpy(w->columns, tensor_columns, sizeof tensor_columns);
    for (size_t i = TENSOR_FIXED; i < n; i++) {
        const size_t k = i - TENSOR_FIXED;
        char key[48];
        const bool norm = k >= v->n_steps, first = k > 2 * v->n_steps;
        const int len = snprintf(key, sizeof key, "%s.%zu",
                                 first  ? "from_first"
                                 : norm ? "norm"
                                        : "relative_l2",
                                 first  ? k - 2 * v->n_steps - 1
                                 : norm ? k - v->n_steps
                                        : k);
        const char *copy = sc_arena_copy(&doc->arena, key, (size_t)len);
        if (!copy)
            return sc_fail_memory(e);
        w->columns[i] = (struct sc_column){copy, NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0};
    }
    sc_add_objects(doc, into, "tensors", &(struct sc_table){w->columns, n, v->n, tensor_cell, w},
                   tensor_object);
    return sc_analyze_done(doc, e);
}

int sc_analyze_evolution(struct sc_document *doc, struct sc_field *into,
                         const struct sc_evolution *v, struct sc_error *e)
{
    struct sc_field *models = sc_add_list(doc, into, "models");
    struct sc_buf sentence = {0};

    for (size_t i = 0; i <= v->n_steps; i++) {
        struct sc_field *f = sc_add_object(doc, models, NULL);
        TRY(sc_analyze_model(doc, f, v->models[i], e));
        TRY(sc_analyze_totals(doc, f, v->models[i], e));
    }
    sc_add_bool(doc, into, "identical", sc_evolution_identical(v));
    sc_evolution_sentence(v, &sentence);
    sc_add_text(doc, into, "sentence", sc_str(sentence.p ? sentence.p : "", sentence.n));
    doc->failed = doc->failed || sentence.failed;
    sc_buf_clear(&sentence);
    struct sc_field *f = sc_add_object(doc, into, "summary");
    sc_add_uint(doc, f, "steps", v->n_steps, SC_COL_COUNT);
    sc_add_uint(doc, f, "tensors", v->n, SC_COL_COUNT);
    sc_add_uint(doc, f, "frozen", v->n_frozen, SC_COL_COUNT);
    sc_add_uint(doc, f, "jumped", v->n_jumps, SC_COL_COUNT);
    const struct sc_table *steps = make_steps(doc, v, e);
    if (!steps)
        return sc_fail_memory(e);
    sc_add_table(doc, into, "steps", steps);
    TRY(sc_evolution_add_drift(doc, into, v, e));
    return add_tensors(doc, into, v, e);
}
