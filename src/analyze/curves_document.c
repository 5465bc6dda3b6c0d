/* SPDX-License-Identifier: Apache-2.0 */
/* curves_document: curves as a document, and their figures as a table. */
#include <math.h>
#include <string.h>

#include "analyze/curves.h"
#include "analyze/figures.h"

static void add_numbers(struct sc_document *d, struct sc_field *into, const char *key,
                        const double *v, size_t n)
{
    struct sc_field *list = sc_add_list(d, into, key);

    for (size_t i = 0; i < n; i++)
        sc_add_figure(d, list, NULL, v[i]);
}

static void add_counts(struct sc_document *d, struct sc_field *into, const char *key,
                       const uint64_t *count)
{
    struct sc_field *list = sc_add_list(d, into, key);

    for (size_t i = 0; i < SC_CURVE_HISTOGRAM; i++)
        sc_add_uint(d, list, NULL, count[i], SC_COL_COUNT);
}

static void add_tiles(struct sc_document *d, struct sc_field *into, const char *key, const float *v,
                      uint64_t down, uint64_t across)
{
    struct sc_field *rows = sc_add_list(d, into, key);

    for (uint64_t y = 0; y < down; y++) {
        struct sc_field *row = sc_add_list(d, rows, NULL);
        for (uint64_t x = 0; x < across; x++)
            sc_add_figure(d, row, NULL, (double)v[y * across + x]);
    }
}

static void add_curve(struct sc_document *d, struct sc_field *list, const struct sc_curves *c,
                      const struct sc_curve *one)
{
    struct sc_field *o = sc_add_object(d, list, NULL);

    sc_add_textz(d, o, "format", one->format.name);
    sc_add_textz(d, o, "kind", sc_curve_kinds[one->kind]);
    sc_add_figure(d, o, "bits_per_weight", sc_encoding_bits(&one->format));
    sc_add_figure(d, o, "mae", one->mae);
    sc_add_figure(d, o, "rmse", one->rmse);
    sc_add_figure(d, o, "atol", one->atol);
    sc_add_figure(d, o, "bias", one->bias);
    sc_add_figure(d, o, "sqnr_db", one->sqnr_db);
    sc_add_uint(d, o, "exact", one->exact, SC_COL_COUNT);
    add_numbers(d, o, "mean", one->mean, c->n_points);
    add_numbers(d, o, "low", one->low, c->n_points);
    add_numbers(d, o, "high", one->high, c->n_points);
    struct sc_field *h = sc_add_object(d, o, "magnitudes");
    sc_add_number(d, h, "low_log10", c->error_low);
    sc_add_number(d, h, "high_log10", c->error_high);
    add_counts(d, h, "counts", one->magnitude);
    h = sc_add_object(d, o, "errors");
    sc_add_number(d, h, "edge", one->edge);
    add_counts(d, h, "counts", one->error);
    if (one->tiles)
        add_tiles(d, o, "tiles", one->tiles, c->down, c->across);
}

void sc_analyze_curves(struct sc_document *d, struct sc_field *into, const struct sc_curves *c)
{
    sc_add_number(d, into, "low", c->low);
    sc_add_number(d, into, "high", c->high);
    if (c->values) {
        sc_add_uint(d, into, "values", c->values, SC_COL_COUNT);
        sc_add_uint(d, into, "nonfinite", c->nonfinite, SC_COL_COUNT);
        sc_add_uint(d, into, "tile_rows", c->tile_rows, SC_COL_COUNT);
        sc_add_uint(d, into, "tile_columns", c->tile_cols, SC_COL_COUNT);
    }
    add_numbers(d, into, "x", c->x, c->n_points);
    struct sc_field *list = sc_add_list(d, into, "curves");
    for (size_t i = 0; i < c->n; i++)
        add_curve(d, list, c, &c->curves[i]);
}

/* ------------------------------------------------------------------------------------ table --- */
enum { FORMAT, KIND, BITS, MAE, RMSE, ATOL, BIAS, SQNR, COLUMNS };
static const struct sc_column columns[COLUMNS] = {
    [FORMAT] = {"format", "FORMAT", NULL, SC_COL_TEXT, 0, 0},
    [KIND] = {"kind", "CURVE", NULL, SC_COL_TEXT, 0, 0},
    [BITS] = {"bits_per_weight", "BITS", "bits", SC_COL_TEXT, SC_COL_RIGHT, 0},
    [MAE] = {"mae", "MAE", NULL, SC_COL_TEXT, SC_COL_RIGHT, 0},
    [RMSE] = {"rmse", "RMSE", NULL, SC_COL_TEXT, SC_COL_RIGHT, 0},
    [ATOL] = {"atol", "ATOL", NULL, SC_COL_TEXT, SC_COL_RIGHT, 0},
    [BIAS] = {"bias", "BIAS", NULL, SC_COL_TEXT, SC_COL_RIGHT, 0},
    [SQNR] = {"sqnr_db", "SQNR dB", "dB", SC_COL_TEXT, SC_COL_RIGHT, 0},
};
struct lines {
    const struct sc_curves *c;
    char text[64];
};

static void get_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    /* The text is valid until the next cell is asked for. */
    struct lines *l = (struct lines *)(uintptr_t)ctx;
    const struct sc_curve *one = &l->c->curves[row];
    const double figures[COLUMNS] = {[BITS] = sc_encoding_bits(&one->format),
                                     [MAE] = one->mae,
                                     [RMSE] = one->rmse,
                                     [ATOL] = one->atol,
                                     [BIAS] = one->bias,
                                     [SQNR] = one->sqnr_db};

    if (column == FORMAT)
        out->text = sc_strz(one->format.name);
    else if (column == KIND)
        out->text = sc_strz(sc_curve_kinds[one->kind]);
    else
        out->text = sc_short_number(figures[column], l->text);
    out->null = !out->text.n;
}

const struct sc_table *sc_curves_table(struct sc_document *d, const struct sc_curves *c)
{
    struct lines *l = SC_ARENA_NEW(&d->arena, struct lines, 1);
    struct sc_table *t = SC_ARENA_NEW(&d->arena, struct sc_table, 1);

    if (!l || !t) {
        d->failed = true;
        return NULL;
    }
    l->c = c;
    *t = (struct sc_table){columns, COLUMNS, c->n, get_cell, l};
    return t;
}
