/* SPDX-License-Identifier: Apache-2.0 */
/* activations_document: figures of activations as tables. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyze/activations.h"
#include "analyze/figures.h"

enum {
    LAYER,
    HOOK,
    VALUE,
    TOKEN,
    CHANNEL,
    PART,
    MIN,
    MAX,
    MEAN,
    MEAN_ABS,
    RMS,
    MEDIAN,
    KURTOSIS,
    RATIO,
    COUNT,
    NONFINITE,
    MASSIVE,
    COLUMNS
};
static const struct sc_column columns[COLUMNS] = {
    [LAYER] = {"layer", "LAYER", NULL, SC_COL_TEXT, SC_COL_RIGHT, 0},
    [HOOK] = {"hook", "HOOK", NULL, SC_COL_TEXT, 0, 0},
    [VALUE] = {"most", "LARGEST", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [TOKEN] = {"token", "TOKEN", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [CHANNEL] = {"channel", "CHANNEL", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [PART] = {"expert", "EXPERT", NULL, SC_COL_TEXT, SC_COL_OPTIONAL | SC_COL_RIGHT, 0},
    [MIN] = {"min", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [MAX] = {"max", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [MEAN] = {"mean", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [MEAN_ABS] = {"mean_abs", NULL, NULL, SC_COL_NUMBER, SC_COL_JSON_ONLY, 0},
    [RMS] = {"rms", "RMS", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [MEDIAN] = {"median_abs", "MEDIAN", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [KURTOSIS] = {"kurtosis", "KURTOSIS", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 1},
    [RATIO] = {"ratio", "RATIO", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 1},
    [COUNT] = {"count", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [NONFINITE] = {"nonfinite", "NOT FINITE", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_OPTIONAL,
                   0},
    [MASSIVE] = {"massive", "MASSIVE", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
};

static void put_number(double v, struct sc_cell *out)
{
    out->f = v;
    out->null = !isfinite(v);
}

static void put_count(uint64_t v, bool empty, struct sc_cell *out)
{
    out->u = v;
    out->null = empty;
}

enum { TEXT_SIZE = 24 };
/* Texts of numbers that may be absent live until the next cell is asked for. */
struct table {
    const struct sc_activations *a;
    char *text; /* (TEXT_SIZE) */
};

static void get_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct table *t = ctx;
    const struct sc_activation *a = &t->a->list[row];

    switch (column) {
    case LAYER:
        snprintf(t->text, TEXT_SIZE, "%d", (int)a->layer);
        out->text = sc_strz(t->text);
        out->null = a->layer < 0;
        break;
    case HOOK:
        out->text = sc_strz(sc_hook_names[a->hook]);
        break;
    case VALUE:
        put_number((double)a->most, out);
        break;
    case TOKEN:
        put_count(a->token, false, out);
        break;
    case CHANNEL:
        put_count(a->channel, false, out);
        break;
    case PART:
        snprintf(t->text, TEXT_SIZE, "%d", (int)a->part);
        out->text = a->part == -2 ? SC_STR("shared") : sc_strz(t->text);
        out->null = a->part == -1;
        break;
    case COUNT:
        put_count(a->count, false, out);
        break;
    case NONFINITE:
        put_count(a->nonfinite, a->nonfinite == 0, out);
        break;
    case MASSIVE:
        put_count(a->massive, a->massive == 0, out);
        break;
    default: {
        const double figures[COLUMNS] = {
            [MIN] = a->min,           [MAX] = a->max,
            [MEAN] = a->mean,         [MEAN_ABS] = a->mean_abs,
            [RMS] = a->rms,           [MEDIAN] = a->median_abs,
            [KURTOSIS] = a->kurtosis, [RATIO] = fabs((double)a->most) / a->median_abs};
        put_number(figures[column], out);
    }
    }
}

/* What pictures are drawn from: null where there is nothing. */
static void add_spread(struct sc_document *d, struct sc_field *into, const struct sc_activation *a)
{
    struct sc_field *o;

    if (isnan(a->min)) {
        sc_add_null(d, into, "histogram");
    } else {
        o = sc_add_object(d, into, "histogram");
        sc_add_figure(d, o, "unit", a->unit);
        struct sc_field *list = sc_add_list(d, o, "counts");
        for (size_t i = 0; i < SC_ACTIVATION_BINS; i++)
            sc_add_uint(d, list, NULL, a->bins[i], SC_COL_COUNT);
    }
    if (isnan(a->norm_most)) {
        sc_add_null(d, into, "norms");
    } else {
        o = sc_add_object(d, into, "norms");
        sc_add_figure(d, o, "first", a->norm_first);
        sc_add_figure(d, o, "median", a->norm_median);
        sc_add_figure(d, o, "most", a->norm_most);
        sc_add_uint(d, o, "token", a->norm_at, SC_COL_COUNT);
    }
}

static void add_more(const void *ctx, size_t row, struct sc_document *d, struct sc_field *into)
{
    const struct table *t = ctx;
    struct sc_field *list = sc_add_list(d, into, "quantiles");

    for (size_t i = 0; i < SC_ACTIVATION_QUANTILES; i++)
        sc_add_figure(d, list, NULL, t->a->list[row].quantile[i]);
    add_spread(d, into, &t->a->list[row]);
}

static void add_maps(struct sc_document *d, struct sc_field *into, const struct sc_activations *a)
{
    struct sc_field *list = sc_add_list(d, into, "attention");

    for (size_t i = 0; i < a->n_maps; i++) {
        const struct sc_attention_map *m = &a->maps[i];
        struct sc_field *o = sc_add_object(d, list, NULL);
        sc_add_uint(d, o, "layer", m->layer, SC_COL_COUNT);
        if (m->head < 0)
            sc_add_null(d, o, "head");
        else
            sc_add_uint(d, o, "head", (uint64_t)m->head, SC_COL_COUNT);
        struct sc_field *rows = sc_add_list(d, o, "rows");
        for (size_t q = 0; q < m->n && m->heads; q++) {
            struct sc_field *row = sc_add_list(d, rows, NULL);
            for (size_t k = 0; k <= q; k++)
                sc_add_figure(d, row, NULL, m->p[q * m->n + k]);
        }
    }
}

/* ---------------------------------------------------------------------------------- sinks --- */
enum { S_LAYER, S_MASS, S_MOST, S_HEAD, S_ENTROPY, S_COLUMNS };
static const struct sc_column sink_columns[S_COLUMNS] = {
    [S_LAYER] = {"layer", "LAYER", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [S_MASS] = {"mass", "SINK", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [S_MOST] = {"most", "MOST", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [S_HEAD] = {"head", "IN HEAD", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [S_ENTROPY] = {"entropy", "ENTROPY", "nats", SC_COL_NUMBER, SC_COL_RIGHT, 3},
};

static void get_sink(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_attention_sink *s = &((const struct table *)ctx)->a->sinks[row];

    if (column == S_LAYER)
        put_count((uint64_t)s->layer, false, out);
    else if (column == S_HEAD)
        put_count(s->head, false, out);
    else
        put_number(column == S_MASS ? s->mass : column == S_MOST ? s->most : s->entropy, out);
}

/* ------------------------------------------------------------------------------- document --- */

void sc_analyze_forward(struct sc_document *d, struct sc_field *into, const struct sc_forward *f)
{
    const struct sc_forward_facts *facts = sc_forward_facts(f);
    struct sc_field *o = sc_add_object(d, into, "forward");

    sc_add_textz(d, o, "family", facts->family);
    sc_add_uint(d, o, "layers", facts->layers, SC_COL_COUNT);
    sc_add_uint(d, o, "hidden", facts->hidden, SC_COL_COUNT);
    sc_add_uint(d, o, "heads", facts->heads, SC_COL_COUNT);
    sc_add_uint(d, o, "kv_heads", facts->kv_heads, SC_COL_COUNT);
    sc_add_uint(d, o, "vocabulary", facts->vocab, SC_COL_COUNT);
    sc_add_uint(d, o, "experts", facts->experts, SC_COL_COUNT);
    sc_add_uint(d, o, "experts_per_token", facts->experts_per_token, SC_COL_COUNT);
    sc_add_uint(d, o, "context", facts->context, SC_COL_COUNT);
    sc_add_textz(d, o, "precision", sc_precision_names[facts->precision]);
}

void sc_analyze_activations(struct sc_document *d, struct sc_field *into,
                            const struct sc_activations *a)
{
    struct table *t = SC_ARENA_NEW(&d->arena, struct table, 1);
    char *text = SC_ARENA_NEW(&d->arena, char, TEXT_SIZE);

    if (!t || !text) {
        d->failed = true;
        return;
    }
    *t = (struct table){a, text};
    const struct sc_table all = {columns, COLUMNS, a->n, get_cell, t};
    sc_add_table_more(d, into, "activations", &all, add_more);
    const struct sc_table sinks = {sink_columns, S_COLUMNS, a->n_sinks, get_sink, t};
    sc_add_table(d, into, "sinks", &sinks);
    add_maps(d, into, a);
    struct sc_field *next = sc_add_list(d, into, "next");
    for (size_t i = 0; i < a->n_next; i++) {
        struct sc_field *o = sc_add_object(d, next, NULL);
        sc_add_uint(d, o, "id", a->next[i].id, SC_COL_COUNT);
        sc_add_figure(d, o, "logit", (double)a->next[i].logit);
        sc_add_figure(d, o, "probability", a->next[i].probability);
    }
}
