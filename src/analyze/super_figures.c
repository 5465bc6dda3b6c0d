/* SPDX-License-Identifier: Apache-2.0 */
/* super_figures: what pictures of super weights are drawn from, as tables: largest activations,
 * matrices, how likely tokens are. */
#include <math.h>
#include <stdio.h>

#include "analyze/figures.h"
#include "analyze/super.h"

enum { TEXT_SIZE = 24 };
/* Texts of numbers that may be absent live until the next cell is asked for. */
struct table {
    const struct sc_super_document *s;
    char *text; /* (TEXT_SIZE) */
};

static void put_number(double v, struct sc_cell *out)
{
    out->f = v;
    out->null = !isfinite(v);
}

/* The name of an expert; NULL: none. */
static const char *expert_name(int32_t expert, char text[TEXT_SIZE])
{
    snprintf(text, TEXT_SIZE, "%d", (int)expert);
    return expert == -2 ? "shared" : expert < 0 ? NULL : text;
}

/* --------------------------------------------------------------------------------- maxima --- */
enum { M_ROUND, M_LAYER, M_HOOK, M_VALUE, M_TOKEN, M_CHANNEL, M_EXPERT, M_NONFINITE, M_COLUMNS };
static const struct sc_column maximum_columns[M_COLUMNS] = {
    [M_ROUND] = {"round", "ROUND", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [M_LAYER] = {"layer", "LAYER", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [M_HOOK] = {"hook", "HOOK", NULL, SC_COL_TEXT, 0, 0},
    [M_VALUE] = {"most", "LARGEST", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [M_TOKEN] = {"token", "TOKEN", NULL, SC_COL_COUNT, SC_COL_RIGHT, 0},
    [M_CHANNEL] = {"channel", "CHANNEL", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [M_EXPERT] = {"expert", "EXPERT", NULL, SC_COL_TEXT, SC_COL_RIGHT | SC_COL_OPTIONAL, 0},
    [M_NONFINITE] = {"nonfinite", "NOT FINITE", NULL, SC_COL_COUNT, SC_COL_RIGHT | SC_COL_OPTIONAL,
                     0},
};

static void get_maximum(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct table *t = ctx;
    const struct sc_super_maximum *m = &t->s->list->maxima[row];
    const uint64_t counts[M_COLUMNS] = {[M_ROUND] = m->round,
                                        [M_LAYER] = m->layer,
                                        [M_TOKEN] = m->token,
                                        [M_CHANNEL] = m->channel,
                                        [M_NONFINITE] = m->nonfinite};

    if (column == M_HOOK) {
        out->text = sc_strz(sc_hook_names[m->hook]);
    } else if (column == M_VALUE) {
        put_number((double)m->value, out);
    } else if (column == M_EXPERT) {
        const char *name = expert_name(m->expert, t->text);
        out->text = name ? sc_strz(name) : sc_str(NULL, 0);
        out->null = !name;
    } else {
        out->u = counts[column];
        out->null = column == M_NONFINITE && !m->nonfinite;
    }
}

/* ------------------------------------------------------------------------------- matrices --- */
static void add_rows(struct sc_document *d, struct sc_field *into, const char *key, const float *v,
                     uint64_t rows, uint64_t cols)
{
    struct sc_field *list = sc_add_list(d, into, key);

    for (uint64_t i = 0; i < rows; i++) {
        struct sc_field *row = sc_add_list(d, list, NULL);
        for (uint64_t k = 0; k < cols; k++)
            sc_add_figure(d, row, NULL, (double)v[i * cols + k]);
    }
}

static void add_matrices(struct sc_document *d, struct sc_field *into,
                         const struct sc_super_document *s)
{
    struct sc_field *list = sc_add_list(d, into, "matrices");

    for (size_t i = 0; i < s->matrices->n; i++) {
        const struct sc_super_matrix *m = &s->matrices->p[i];
        struct sc_field *o = sc_add_object(d, list, NULL);
        char expert[TEXT_SIZE];
        sc_add_uint(d, o, "layer", m->layer, SC_COL_COUNT);
        sc_add_textz(d, o, "expert", m->expert == -2 ? "shared" : m->expert < 0 ? NULL : expert);
        sc_add_text(d, o, "tensor", sc_tensor_name(&s->model->tensors[m->tensor]));
        sc_add_uint(d, o, "rows", m->rows, SC_COL_COUNT);
        sc_add_uint(d, o, "columns", m->cols, SC_COL_COUNT);
        sc_add_figure(d, o, "min", m->min);
        sc_add_figure(d, o, "max", m->max);
        sc_add_uint(d, o, "nonfinite", m->nonfinite, SC_COL_COUNT);
        struct sc_field *counts = sc_add_list(d, o, "histogram");
        for (size_t k = 0; k < SC_SUPER_BINS; k++)
            sc_add_uint(d, counts, NULL, m->bins[k], SC_COL_COUNT);
        sc_add_uint(d, o, "square", m->by, SC_COL_COUNT);
        add_rows(d, o, "squares", m->squares, m->down, m->across);
        struct sc_field *near = sc_add_object(d, o, "near");
        sc_add_uint(d, near, "row", m->near_row, SC_COL_COUNT);
        sc_add_uint(d, near, "column", m->near_col, SC_COL_COUNT);
        add_rows(d, near, "weights", m->near, m->near_rows, m->near_cols);
    }
}

/* ---------------------------------------------------------------------------------- shift --- */
enum { T_ID, T_BASE, T_ALL, T_RESTORED, T_LAST_BASE, T_LAST_ALL, T_LAST_RESTORED, T_COLUMNS };
static const struct sc_column token_columns[T_COLUMNS] = {
    [T_ID] = {"id", "TOKEN", NULL, SC_COL_OFFSET, SC_COL_RIGHT, 0},
    [T_BASE] = {"base", "MEAN P", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [T_ALL] = {"all", "ZEROED", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [T_RESTORED] = {"restored", "RESTORED", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [T_LAST_BASE] = {"last_base", "LAST P", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [T_LAST_ALL] = {"last_all", "ZEROED", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
    [T_LAST_RESTORED] = {"last_restored", "RESTORED", NULL, SC_COL_NUMBER, SC_COL_RIGHT, 4},
};

static void get_token(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_super_token *x = &((const struct sc_super_effects *)ctx)->tokens[row];
    const double figures[T_COLUMNS] = {
        [T_BASE] = x->base,         [T_ALL] = x->all,
        [T_RESTORED] = x->restored, [T_LAST_BASE] = x->last_base,
        [T_LAST_ALL] = x->last_all, [T_LAST_RESTORED] = x->last_restored};

    if (column == T_ID)
        out->u = x->id;
    else
        put_number(figures[column], out);
}

void sc_analyze_super_shift(struct sc_document *d, struct sc_field *into,
                            const struct sc_super_effects *x)
{
    const struct sc_table tokens = {token_columns, T_COLUMNS, x->n_tokens, get_token, x};

    sc_add_table(d, into, "shift", &tokens);
}

void sc_analyze_super_figures(struct sc_document *d, struct sc_field *into,
                              const struct sc_super_document *s)
{
    struct table *t = SC_ARENA_NEW(&d->arena, struct table, 1);
    char *text = SC_ARENA_NEW(&d->arena, char, TEXT_SIZE);

    if (!t || !text) {
        d->failed = true;
        return;
    }
    *t = (struct table){s, text};
    const struct sc_table maxima = {maximum_columns, M_COLUMNS, s->list->n_maxima, get_maximum, t};
    sc_add_table(d, into, "maxima", &maxima);
    if (s->matrices)
        add_matrices(d, into, s);
    if (s->effects)
        sc_analyze_super_shift(d, into, s->effects);
}
