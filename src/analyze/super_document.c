/* SPDX-License-Identifier: Apache-2.0 */
/* super_document: super weights and what they do, as tables. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyze/activations.h"
#include "analyze/figures.h"
#include "analyze/super.h"
#include "analyze/super_known.h"

enum { TEXT_SIZE = 24 };
/* Texts of numbers that may be absent live until the next cell is asked for. */
struct table {
    const struct sc_super_document *s;
    struct sc_super_knowns known;
    char *text; /* (TEXT_SIZE) */
};

/* --------------------------------------------------------------------------------- weights --- */
enum {
    LAYER,
    EXPERT,
    ROW,
    COL,
    WEIGHT,
    INPUT,
    OUTPUT,
    SHARE,
    RATIO,
    TOKEN,
    ROUND,
    KL,
    LABEL,
    TENSOR,
    STORED_ROW,
    STORED_COL,
    KNOWN,
    AT,
    LINK,
    IN_ROW,
    IN_COL,
    COLUMNS
};
static const struct sc_column columns[COLUMNS] = {
    [LAYER] = {"layer", "LAYER", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [EXPERT] = {"expert", "EXPERT", NULL, SC_COL_TEXT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
    [ROW] = {"row", "ROW", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [COL] = {"column", "COLUMN", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [WEIGHT] = {"weight", "WEIGHT", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [INPUT] = {"input", "INPUT", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 2},
    [OUTPUT] = {"output", "OUTPUT", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 2},
    [SHARE] = {"share", "SHARE", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 3},
    [RATIO] = {"ratio", "x MEDIAN", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 0},
    [TOKEN] = {"token", "AT", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_SPARE, 0},
    [ROUND] = {"round", "ROUND", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_SPARE, 0},
    [KL] = {"alone_kl", "KL ALONE", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_OPTIONAL, 4},
    [LABEL] = {"label", "VERDICT", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
    [TENSOR] = {"tensor", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [STORED_ROW] = {"stored_row", NULL, NULL, SC_COL_OFFSET, SC_COL_JSON_ONLY, 0},
    [STORED_COL] = {"stored_column", NULL, NULL, SC_COL_OFFSET, SC_COL_JSON_ONLY, 0},
    [KNOWN] = {"published", "PUBLISHED FOR", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
    [AT] = {"at", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [LINK] = {"link", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [IN_ROW] = {"in_row", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
    [IN_COL] = {"in_column", NULL, NULL, SC_COL_COUNT, SC_COL_JSON_ONLY, 0},
};

static void put_number(double v, struct sc_cell *out)
{
    out->f = v;
    out->null = !isfinite(v);
}

/* Of its tensor, in row-major order. */
static uint64_t element_of(const struct table *t, const struct sc_super_weight *w)
{
    const struct sc_tensor *tensor = &t->s->model->tensors[w->tensor];
    const uint64_t cols = tensor->rank ? tensor->parameters / tensor->shape[0] : 1;

    return w->stored_row * cols + w->stored_col;
}

static const char *published(const struct table *t, const struct sc_super_weight *w)
{
    const struct sc_super_known *k = sc_super_known_at(&t->known, w->tensor, element_of(t, w));

    return k ? k->model : NULL;
}

static void put_text(const char *text, struct sc_cell *out)
{
    out->text = text ? sc_strz(text) : sc_str(NULL, 0);
    out->null = !text;
}

static void get_weight(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct table *t = ctx;
    const struct sc_super_weight *w = &t->s->list->p[row];
    const uint64_t counts[COLUMNS] = {
        [LAYER] = w->layer,          [ROW] = w->row,     [COL] = w->col,
        [TOKEN] = w->token,          [ROUND] = w->round, [STORED_ROW] = w->stored_row,
        [STORED_COL] = w->stored_col};
    const double figures[COLUMNS] = {
        [WEIGHT] = (double)w->weight, [INPUT] = (double)w->input,
        [OUTPUT] = (double)w->output, [SHARE] = w->share,
        [RATIO] = w->ratio,           [KL] = t->s->effects ? w->alone_kl : (double)NAN};

    switch (column) {
    case EXPERT:
        snprintf(t->text, TEXT_SIZE, "%d", (int)w->expert);
        put_text(w->expert == -2 ? "shared" : w->expert < 0 ? NULL : t->text, out);
        break;
    case LABEL:
        put_text(w->label, out);
        break;
    case TENSOR:
        out->text = sc_tensor_name(&t->s->model->tensors[w->tensor]);
        break;
    case KNOWN:
        put_text(published(t, w), out);
        break;
    case IN_ROW:
    case IN_COL:
        out->u = sc_super_mates(t->s->list, row, column == IN_COL);
        break;
    case AT:
    case LINK:
        sc_spotter_cell(t->s->spotter, w->tensor, element_of(t, w), column == LINK, out);
        break;
    case WEIGHT:
    case INPUT:
    case OUTPUT:
    case SHARE:
    case RATIO:
    case KL:
        put_number(figures[column], out);
        break;
    default:
        out->u = counts[column];
    }
}

/* --------------------------------------------------------------------------------- effects --- */
enum {
    E_KIND,
    E_INDEX,
    E_FACTOR,
    E_KL,
    E_NLL,
    E_RATIO,
    E_LOW,
    E_HIGH,
    E_AGREE,
    E_CHANGE,
    E_COLUMNS
};
static const struct sc_column effect_columns[E_COLUMNS] = {
    [E_KIND] = {"kind", "WHAT", NULL, SC_COL_TEXT, 0, 0},
    [E_INDEX] = {"weight", "WEIGHT", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
    [E_FACTOR] = {"factor", "FACTOR", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 2},
    [E_KL] = {"kl", "KL", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 5},
    [E_NLL] = {"nll", "NLL", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [E_RATIO] = {"perplexity_ratio", "x PPL", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 3},
    [E_LOW] = {"nll_low", "95 % FROM", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 4},
    [E_HIGH] = {"nll_high", "TO", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 4},
    [E_AGREE] = {"agree", "SAME TOP", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 3},
    [E_CHANGE] = {"change", "CHANGE", NULL, SC_COL_NUMBER, SC_COL_RIGHT | SC_COL_SPARE, 4},
};

static void get_effect(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_super_effect *x = &((const struct sc_super_effects *)ctx)->p[row];
    const double figures[E_COLUMNS] = {[E_FACTOR] = x->factor, [E_KL] = x->kl,
                                       [E_NLL] = x->nll,       [E_RATIO] = x->perplexity_ratio,
                                       [E_LOW] = x->low,       [E_HIGH] = x->high,
                                       [E_AGREE] = x->agree,   [E_CHANGE] = x->change};

    if (column == E_KIND) {
        out->text = sc_strz(sc_super_kinds[x->kind]);
    } else if (column == E_INDEX) {
        out->u = x->index;
        out->null =
            x->kind != SC_SUPER_ALONE && x->kind != SC_SUPER_WITHOUT && x->kind < SC_SUPER_COLUMN;
    } else {
        put_number(figures[column], out);
    }
}

void sc_analyze_super_effects(struct sc_document *d, struct sc_field *into,
                              const struct sc_super_effects *x)
{
    const struct sc_table effects = {effect_columns, E_COLUMNS, x->n, get_effect, x};

    sc_add_table(d, into, "effects", &effects);
    struct sc_field *nulls = sc_add_object(d, into, "nulls");
    sc_add_uint(d, nulls, "asked", SC_SUPER_NULLS, SC_COL_COUNT);
    sc_add_uint(d, nulls, "drawn", x->nulls, SC_COL_COUNT);
    sc_add_uint(d, nulls, "unmatched", x->unmatched, SC_COL_COUNT);
    sc_add_textz(d, into, "label", x->label);
    sc_add_textz(d, into, "call", x->call);
}

/* --------------------------------------------------------------------------------- known ---- */
static void add_known(struct sc_document *d, struct sc_field *into, const struct table *t)
{
    struct sc_field *list = sc_add_list(d, into, "published");

    for (size_t i = 0; i < t->known.n; i++) {
        const struct sc_super_known *k = &t->known.p[i];
        struct sc_field *o = sc_add_object(d, list, NULL);
        bool found = false;
        for (size_t w = 0; w < t->s->list->n && !found; w++)
            found = !k->impossible && t->s->list->p[w].tensor == k->tensor &&
                    element_of(t, &t->s->list->p[w]) == k->element;
        sc_super_known_add(d, o, k);
        sc_add_bool(d, o, "found", found);
    }
}

void sc_analyze_super(struct sc_document *d, struct sc_field *into,
                      const struct sc_super_document *s)
{
    struct table *t = SC_ARENA_NEW(&d->arena, struct table, 1);
    char *text = SC_ARENA_NEW(&d->arena, char, TEXT_SIZE);

    if (!t || !text) {
        d->failed = true;
        return;
    }
    t->s = s;
    t->text = text;
    sc_super_known_find(s->model, &t->known);
    sc_analyze_forward(d, into, s->forward);
    const struct sc_table weights = {columns, COLUMNS, s->list->n, get_weight, t};
    sc_add_table(d, into, "weights", &weights);
    add_known(d, into, t);
    sc_analyze_super_figures(d, into, s);
    if (s->effects)
        sc_analyze_super_effects(d, into, s->effects);
}
