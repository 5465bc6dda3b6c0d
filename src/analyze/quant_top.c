/* SPDX-License-Identifier: Apache-2.0 */
/* quant_top: the tables of `quant` that are made for people: the results of a tensor, the means
 * over all, the frontier of sizes.
 *
 * Colours and marks follow wq: PCC from 0.999 and 0.99 on, errors up to 1e-4 and 1e-3. Numbers are
 * texts here; JSON and CSV have them exactly.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quant.h"

enum column {
    COLUMN_MARK,
    COLUMN_ALGORITHM,
    COLUMN_FORMAT,
    COLUMN_TENSORS,
    COLUMN_PCC,
    COLUMN_MAE,
    COLUMN_ATOL,
    COLUMN_SQNR,
    COLUMN_W_PCC,
    COLUMN_W_MAE,
    COLUMN_W_SQNR,
    COLUMN_SECONDS,
    COLUMN_BITS,
    COLUMN_SIZE,
    COLUMN_BYTES,
    COLUMN_LEGACY,
    COLUMN_GOAL,
    COLUMN_FIXED /* behind it the cells of each format of the mix */
};
#define RIGHT (SC_COL_RIGHT | SC_COL_OPTIONAL)
static const struct sc_column fixed_columns[COLUMN_FIXED] = {
    [COLUMN_MARK] = {"mark", "", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
    [COLUMN_ALGORITHM] = {"algorithm", "COMP", NULL, SC_COL_KEY, 0, 0},
    [COLUMN_FORMAT] = {"format", "FORMAT", NULL, SC_COL_TEXT, 0, 0},
    [COLUMN_TENSORS] = {"tensors", "TENSORS", NULL, SC_COL_COUNT, SC_COL_OPTIONAL, 0},
    [COLUMN_PCC] = {"pcc", "PCC", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_MAE] = {"mae", "MAE", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_ATOL] = {"atol", "ATOL", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_SQNR] = {"sqnr_db", "SQNR dB", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_W_PCC] = {"weighted_pcc", "w.PCC", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_W_MAE] = {"weighted_mae", "w.MAE", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_W_SQNR] = {"weighted_sqnr_db", "w.SQNR", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_SECONDS] = {"seconds", "TIME(s)", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_BITS] = {"bits_per_weight", "BITS", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_SIZE] = {"size", "SIZE", NULL, SC_COL_BYTES, SC_COL_OPTIONAL, 0},
    [COLUMN_BYTES] = {"bytes", "BYTES", NULL, SC_COL_COUNT, SC_COL_OPTIONAL, 0},
    [COLUMN_LEGACY] = {"legacy_bytes", "wq GB", NULL, SC_COL_TEXT, RIGHT, 0},
    [COLUMN_GOAL] = {"goal", "GOAL", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
};

/* One line of either table, before it is words. */
struct line {
    const char *algorithm;
    char format[80];
    double pcc, mae, atol, sqnr_db, w_pcc, w_mae, w_sqnr_db, seconds, bits, legacy;
    uint64_t tensors, bytes, cells[SC_QUANT_MIX];
    bool has_cells;
    int8_t goal; /* 1: met, 0: missed, -1: there is none */
};
struct view {
    bool ascii, summary;
    char text[80]; /* the cell that was asked for last */
    struct sc_column *columns;
    size_t n_lines;
    struct line *lines;
};

uint8_t sc_quant_grade_pcc(double v)
{
    return isnan(v)     ? SC_GRADE_NONE
           : v >= 0.999 ? SC_GRADE_GOOD
           : v >= 0.99  ? SC_GRADE_FAIR
                        : SC_GRADE_POOR;
}

uint8_t sc_quant_grade_error(double v)
{
    return isnan(v)    ? SC_GRADE_NONE
           : v <= 1e-4 ? SC_GRADE_GOOD
           : v <= 1e-3 ? SC_GRADE_FAIR
                       : SC_GRADE_POOR;
}

static void put_fixed(char text[80], struct sc_cell *out, int digits, double v)
{
    out->null = isnan(v);
    snprintf(text, 80, "%.*f", digits, v);
    if (text[0] == '-' && strspn(text + 1, "0.") == strlen(text + 1)) /* rounded to 0 */
        memmove(text, text + 1, strlen(text));
    out->text = sc_strz(out->null ? "" : text);
}

static void put_error(char text[80], struct sc_cell *out, double v)
{
    out->null = isnan(v);
    snprintf(text, 80, "%.3e", v);
    out->text = sc_strz(out->null ? "" : text);
    out->grade = sc_quant_grade_error(v);
}

/* No error at all: there is no ratio to it. */
static void put_decibels(char text[80], struct sc_cell *out, double v)
{
    put_fixed(text, out, 2, v);
    if (v > 0 && isinf(v))
        out->text = SC_STR("exact");
}

static void put_grade(const struct view *v, struct sc_cell *out, uint8_t grade)
{
    static const char *const marks[] = {"", "✓", "~", "✗"}, *const ascii[] = {"", "+", "~", "x"};

    out->grade = grade;
    out->text = sc_strz((v->ascii ? ascii : marks)[grade]);
    out->null = grade == SC_GRADE_NONE;
}

static void cells_cell(const struct line *l, size_t format, struct sc_cell *out)
{
    out->null = !l->has_cells;
    out->u = l->cells[format];
}

static void view_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    /* The scratch of a table is its own, whatever it is borrowed as. */
    struct view *v = (struct view *)(uintptr_t)ctx;
    const struct line *l = &v->lines[row];

    if (column >= COLUMN_FIXED) {
        cells_cell(l, column - COLUMN_FIXED, out);
        return;
    }
    switch ((enum column)column) {
    case COLUMN_MARK:
        put_grade(v, out, sc_quant_grade_pcc(l->pcc));
        break;
    case COLUMN_ALGORITHM:
        out->text = sc_strz(l->algorithm);
        break;
    case COLUMN_FORMAT:
        out->text = sc_strz(l->format);
        break;
    case COLUMN_TENSORS:
        out->null = !v->summary;
        out->u = l->tensors;
        break;
    case COLUMN_PCC:
        put_fixed(v->text, out, 5, l->pcc);
        out->grade = sc_quant_grade_pcc(l->pcc);
        break;
    case COLUMN_MAE:
        put_error(v->text, out, l->mae);
        break;
    case COLUMN_ATOL:
        put_error(v->text, out, l->atol);
        break;
    case COLUMN_SQNR:
        put_decibels(v->text, out, l->sqnr_db);
        break;
    case COLUMN_W_PCC:
        put_fixed(v->text, out, 5, l->w_pcc);
        out->grade = sc_quant_grade_pcc(l->w_pcc);
        break;
    case COLUMN_W_MAE:
        put_error(v->text, out, l->w_mae);
        break;
    case COLUMN_W_SQNR:
        put_decibels(v->text, out, l->w_sqnr_db);
        break;
    case COLUMN_SECONDS:
        put_fixed(v->text, out, 3, l->seconds);
        break;
    case COLUMN_BITS:
        put_fixed(v->text, out, 3, l->bits);
        break;
    case COLUMN_SIZE:
        out->null = l->bytes == UINT64_MAX;
        out->u = l->bytes;
        break;
    case COLUMN_BYTES:
        out->null = l->bytes == UINT64_MAX || !l->has_cells;
        out->u = l->bytes;
        break;
    case COLUMN_LEGACY:
        put_fixed(v->text, out, 6, l->legacy / 1e9);
        break;
    case COLUMN_GOAL:
        out->null = l->goal < 0;
        out->text = sc_strz(l->goal ? "met" : "missed");
        out->grade = l->goal ? SC_GRADE_GOOD : SC_GRADE_POOR;
        break;
    case COLUMN_FIXED:
        break;
    }
}

/* The columns, and for each format of the mix one more under its name. */
static struct view *make_view(struct sc_document *d, const struct sc_quant *q, size_t n_lines,
                              bool ascii, bool summary, struct sc_error *e)
{
    const size_t mix = sc_quant_mixes(q->plan) ? q->plan->mix.n : 0;
    struct view *v = sc_analyze_alloc(d, sizeof *v, e);

    if (!v)
        return NULL;
    *v = (struct view){.ascii = ascii, .summary = summary};
    v->columns = sc_analyze_alloc(d, (COLUMN_FIXED + mix) * sizeof *v->columns, e);
    v->lines = sc_analyze_alloc(d, SC_MAX(n_lines, (size_t)1) * sizeof *v->lines, e);
    if (!v->columns || !v->lines)
        return NULL;
    memcpy(v->columns, fixed_columns, sizeof fixed_columns);
    for (size_t i = 0; i < mix; i++) {
        const struct sc_quant_row row = {.f = &q->plan->mix.f[i]};
        char name[80];
        sc_quant_row_name(&row, name);
        char *title = sc_arena_copy(&d->arena, name, strlen(name));
        if (!title) {
            sc_fail_memory(e);
            return NULL;
        }
        v->columns[COLUMN_FIXED + i] =
            (struct sc_column){"cells", title, NULL, SC_COL_COUNT, SC_COL_OPTIONAL, 0};
    }
    return v;
}

static const struct sc_table *finish_view(struct sc_document *d, struct view *v,
                                          const struct sc_quant *q, struct sc_error *e)
{
    struct sc_table *t = sc_analyze_alloc(d, sizeof *t, e);

    if (t)
        *t = (struct sc_table){v->columns,
                               COLUMN_FIXED + (sc_quant_mixes(q->plan) ? q->plan->mix.n : 0),
                               v->n_lines, view_cell, v};
    return t;
}

const struct sc_table *sc_quant_table(struct sc_document *d, const struct sc_quant *q, size_t i,
                                      const struct sc_quant_look *look, struct sc_error *e)
{
    struct view *v = make_view(d, q, q->n_rows, look->ascii, false, e);

    for (size_t k = 0; v && k < q->n_rows; k++) {
        struct sc_quant_row row;
        if (!sc_quant_row_at(q, i, k, &row))
            continue;
        const struct sc_quality *c = row.cost;
        const struct sc_quant_tensor *t = sc_quant_first(q, i);
        struct line *l = &v->lines[v->n_lines++];
        *l = (struct line){.algorithm = sc_algorithm_names[row.algorithm],
                           .pcc = c->pcc,
                           .mae = c->mae,
                           .atol = c->atol,
                           .sqnr_db = c->sqnr_db,
                           .w_pcc = (double)NAN,
                           .w_mae = (double)NAN,
                           .w_sqnr_db = (double)NAN,
                           .seconds = look->seconds ? row.seconds : (double)NAN,
                           .bits = c->bits_per_weight,
                           .legacy = look->legacy ? sc_quant_legacy_bytes(q, i, &row) : (double)NAN,
                           .bytes = c->bytes,
                           .has_cells = !row.f,
                           .goal = (int8_t)(row.f ? -1 : t->good)};
        sc_quant_row_name(&row, l->format);
        if (c->bytes == UINT64_MAX) {
            const size_t n = strlen(l->format);
            snprintf(l->format + n, sizeof l->format - n, ": rows do not fit");
        }
        for (size_t f = 0; f < SC_QUANT_MIX && !row.f; f++)
            l->cells[f] = t->totals.cells[f];
    }
    return v ? finish_view(d, v, q, e) : NULL;
}

const struct sc_table *sc_quant_summary_table(struct sc_document *d, const struct sc_quant *q,
                                              const struct sc_quant_look *look, struct sc_error *e)
{
    struct view *v = make_view(d, q, q->n_rows, look->ascii, true, e);

    for (size_t k = 0; v && k < q->n_rows; k++) {
        struct sc_quant_row row = {.algorithm = q->plan->algorithm};
        struct sc_quant_mean m;
        for (size_t i = 0; i < q->n && !sc_quant_row_at(q, i, k, &row); i++)
            ;
        sc_quant_mean_of(q, k, &m);
        if (!m.n)
            continue;
        struct line *l = &v->lines[v->n_lines++];
        *l = (struct line){.algorithm = sc_algorithm_names[row.algorithm],
                           .tensors = m.n,
                           .pcc = m.pcc,
                           .mae = m.mae,
                           .atol = m.atol,
                           .sqnr_db = m.sqnr_db,
                           .w_pcc = m.w_pcc,
                           .w_mae = m.w_mae,
                           .w_sqnr_db = m.w_sqnr_db,
                           .seconds = (double)NAN,
                           .bits = m.total_bytes == UINT64_MAX
                                       ? (double)NAN
                                       : sc_bits_per_weight(m.total_bytes, m.parameters),
                           .legacy = look->legacy ? m.legacy_bytes : (double)NAN,
                           .bytes = m.total_bytes,
                           .has_cells = !row.f,
                           .goal = (int8_t)(row.f ? -1 : m.n_good == m.n)};
        sc_quant_row_name(&row, l->format);
        memcpy(l->cells, m.cells, sizeof l->cells);
    }
    return v ? finish_view(d, v, q, e) : NULL;
}

/* Of a mix of all tensors it is known; a point of a frontier has a threshold, or a budget, under
 * which everything is met somewhere. */
static int8_t goal_of(const struct sc_quant *q, const struct sc_mix_totals *p)
{
    if (p == &q->total)
        return (int8_t)q->good;
    if (q->plan->algorithm == SC_ALGORITHM_BUDGET)
        return -1;
    return (int8_t)sc_mix_good(&q->plan->goal, sc_mix_value(p, q->plan->goal.metric));
}

const struct sc_table *sc_quant_curve_table(struct sc_document *d, const struct sc_quant *q,
                                            const struct sc_mix_totals *points, size_t n,
                                            const char *label, uint64_t parameters, bool ascii,
                                            struct sc_error *e)
{
    struct view *v = make_view(d, q, n, ascii, false, e);

    for (size_t k = 0; v && k < n; k++) {
        const struct sc_mix_totals *p = &points[k];
        struct line *l = &v->lines[v->n_lines++];
        *l = (struct line){.algorithm = label,
                           .format = "MIX",
                           .pcc = p->pcc,
                           .mae = p->mae,
                           .atol = p->atol,
                           .sqnr_db = p->sqnr_db,
                           .w_pcc = (double)NAN,
                           .w_mae = (double)NAN,
                           .w_sqnr_db = (double)NAN,
                           .seconds = (double)NAN,
                           .bits = sc_bits_per_weight(p->bytes, parameters),
                           .legacy = (double)NAN,
                           .bytes = p->bytes,
                           .has_cells = true,
                           .goal = goal_of(q, p)};
        memcpy(l->cells, p->cells, sizeof l->cells);
    }
    return v ? finish_view(d, v, q, e) : NULL;
}
