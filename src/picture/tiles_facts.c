/* SPDX-License-Identifier: Apache-2.0 */
/* tiles_facts: single elements, and what a panel shows of a tensor.
 *
 * A tensor of at most 16 Mi elements is read as a whole. Of a larger one 1,024 runs of 4,096
 * elements are, at even distances, the same every time; least and largest, mean and root of the
 * mean square, and the profiles then come from its pyramid, when there is one. Quantiles follow
 * from how often each bit pattern of 16 bits occurs, so they are exact for 16 bits, and to 8
 * binary digits else. */
#include "picture/pyramid.h"

#include <math.h>
#include <stdlib.h>

#define WHOLE ((uint64_t)16 << 20)
enum { RUNS = 1024, RUN = 4096, TOPS = 65536 };

/* --------------------------------------------------------------------------------- elements --- */

static int check_element(const struct sc_pyramids *p, uint32_t tensor, uint32_t slice, uint64_t row,
                         uint64_t col, struct sc_error *e)
{
    if (tensor >= p->model->n_tensors || !p->entries[tensor].drawn)
        return sc_fail(e, SCRUPLE_EUSAGE, "there is no tensor %u in this picture", tensor);
    const struct sc_cell_grid *g = &p->entries[tensor].grid;
    struct sc_quoted q;
    if (slice < g->slices && row < g->rows && col < g->cols)
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE,
                   "tensor \"%s\" has no row %llu, column %llu in slice %u: it is drawn as %llu "
                   "slices of %llu x %llu",
                   sc_quote(&q, sc_tensor_name(&p->model->tensors[tensor])),
                   (unsigned long long)row, (unsigned long long)col, slice,
                   (unsigned long long)g->slices, (unsigned long long)g->rows,
                   (unsigned long long)g->cols);
}

/* Its bytes, when it has some of its own; where they are, when that is one stretch of a file. */
static int read_raw(struct sc_values *v, uint64_t at, struct sc_element_facts *out,
                    struct sc_error *e)
{
    const struct sc_entry *en = &v->model->catalog->entries[v->tensor->main];
    uint8_t scratch[16];
    const void *raw;
    if (!v->code_bytes)
        return 0;
    TRY(sc_values_codes(v, at, 1, scratch, &raw, e));
    memcpy(out->raw, raw, v->code_bytes);
    out->raw_bytes = v->code_bytes;
    if (en->view == SC_NO_STORAGE && v->tensor->n_parts == 1 &&
        en->bytes == v->count * v->code_bytes)
        out->offset = v->first_byte + at * v->code_bytes;
    return 0;
}

int sc_element_read(struct sc_values *v, unsigned each, uint64_t at, struct sc_element_facts *out,
                    struct sc_error *e)
{
    double x[2] = {0};
    TRY(sc_values_read64(v, at * each, each, x, e));
    out->value = each == 2 ? hypot(x[0], x[1]) : x[0];
    return each == 1 ? read_raw(v, at, out, e) : 0;
}

int sc_element_at(struct sc_pyramids *p, uint32_t tensor, uint32_t slice, uint64_t row,
                  uint64_t col, struct sc_element_facts *out, struct sc_error *e)
{
    struct sc_values *v;
    *out = (struct sc_element_facts){.offset = UINT64_MAX};
    TRY(check_element(p, tensor, slice, row, col, e));
    const struct sc_cell_grid *g = &p->entries[tensor].grid;
    TRY(sc_pyramids_view(p, tensor, &v, e));
    const int code =
        sc_element_read(v, sc_values_each(v, g), (slice * g->rows + row) * g->cols + col, out, e);
    sc_pyramids_release(p, tensor, v);
    return code;
}

/* ------------------------------------------------------------------------------------- facts ---
 */

struct gather {
    struct sc_tensor_facts *out;
    const struct sc_cell_grid *grid;
    struct sc_values *view;
    unsigned each;
    uint64_t count, n_rows; /* elements; rows of all slices */
    struct sc_cell_sum sum;
    uint64_t zeros, nonfinite;
    uint32_t tops[TOPS];
    double row[SC_PROFILE], col[SC_PROFILE];
    uint64_t row_n[SC_PROFILE], col_n[SC_PROFILE];
    float values[2 * RUN];
};

/* Columns that go into one place of both profiles. */
static void gather_stretch(struct gather *g, size_t r, size_t c, const float *values, uint64_t n)
{
    struct sc_cell_sum sum = g->sum;
    double row = g->row[r], col = g->col[c];
    uint64_t zeros = 0, odd = 0;
    for (uint64_t i = 0; i < n; i++) {
        const float x = values[i];
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        if (SC_UNLIKELY((bits & 0x7fffffff) >= 0x7f800000)) {
            sc_cell_take(&sum, x);
            odd++;
            continue;
        }
        const double square = (double)x * (double)x;
        sum.sum += (double)x;
        sum.square += square;
        sum.min = x < sum.min ? x : sum.min;
        sum.max = x > sum.max ? x : sum.max;
        row += square;
        col += square;
        zeros += x == 0;
        g->tops[bits >> 16]++;
    }
    sum.n += n - odd;
    g->sum = sum;
    g->row[r] = row;
    g->col[c] = col;
    g->row_n[r] += n - odd;
    g->col_n[c] += n - odd;
    g->zeros += zeros;
    g->nonfinite += odd;
}

static void gather_values(struct gather *g, uint64_t first, uint64_t n)
{
    const uint64_t cols = g->grid->cols, n_cols = g->out->n_cols;
    uint64_t row = first / cols, col = first % cols;
    for (uint64_t i = 0; i < n;) {
        const size_t r = (size_t)(row * g->out->n_rows / g->n_rows);
        const uint64_t end = SC_MIN(cols, col + (n - i));
        while (col < end) {
            const uint64_t c = col * n_cols / cols;
            const uint64_t next = SC_MIN(((c + 1) * cols + n_cols - 1) / n_cols, end);
            gather_stretch(g, r, (size_t)c, g->values + i, next - col);
            i += next - col;
            col = next;
        }
        row++;
        col = 0;
    }
}

static void gather_tops(struct gather *g, uint64_t first, uint64_t n)
{
    (void)first;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &g->values[i], sizeof bits);
        const bool finite = (bits & 0x7fffffff) < 0x7f800000;
        g->tops[bits >> 16] += finite;
        g->sum.n += finite;
    }
}

/* All elements, or the runs of the sample; twice: `bins` is for the second time. */
static int each_run(struct gather *g, void (*fn)(struct gather *g, uint64_t first, uint64_t n),
                    struct sc_error *e)
{
    const uint64_t step = g->out->sampled ? g->count / RUNS : RUN;
    for (uint64_t at = 0; at < g->count; at += step) {
        const uint64_t n = SC_MIN((uint64_t)RUN, g->count - at);
        TRY(sc_read_elements(g->view, g->each, at, n, 1, n, g->values, e));
        fn(g, at, n);
    }
    return 0;
}

static void gather_bins(struct gather *g, uint64_t first, uint64_t n)
{
    const double most = g->out->abs_max;
    (void)first;
    for (uint64_t i = 0; i < n && most > 0; i++) {
        const double x = (double)g->values[i];
        if (!isfinite(x) || fabs(x) > most)
            continue;
        const double bin = (x / most + 1) / 2 * SC_TENSOR_BINS;
        g->out->histogram[SC_MIN((size_t)bin, (size_t)SC_TENSOR_BINS - 1)]++;
    }
}

/* The bit patterns from the least to the largest value. */
static uint32_t nth_top(uint32_t i)
{
    return i < TOPS / 2 ? TOPS - 1 - i : i - TOPS / 2;
}

static void find_quantiles(struct gather *g)
{
    struct sc_tensor_facts *out = g->out;
    uint64_t seen = 0, from = 0;
    const uint64_t n = g->sum.n, steps = SC_TENSOR_QUANTILES - 1;
    for (uint32_t i = 0; i < TOPS && n > 0; i++) {
        const uint32_t top = nth_top(i);
        seen += g->tops[top];
        for (; from <= steps && seen > from * (n - 1) / steps; from++)
            out->quantile[from] = sc_bf16_value((uint16_t)top);
    }
    uint64_t above = 0, most = n / 1000;
    for (uint32_t top = TOPS / 2; top-- > 0;) {
        above += g->tops[top] + g->tops[top | 0x8000];
        out->robust = (double)sc_bf16_value((uint16_t)top);
        if (above > most)
            return;
    }
}

static float root(double square, uint64_t n)
{
    return n ? (float)sqrt(square / (double)n) : 0;
}

/* The same of all elements, from a pyramid: its profiles have whole cells. Where some are not
 * finite, cells have no root of the mean square, and that of the sample stays. */
static void add_pyramid(struct sc_pyramids *p, uint32_t tensor, struct gather *g)
{
    const struct sc_level l = sc_cell_grid_level(g->grid, 0);
    const struct sc_cell_sum sampled = g->sum;
    struct sc_cell_sum cell, all;
    sc_cells_clear(&all, 1);
    for (uint32_t s = 0; s < g->grid->slices; s++) {
        const struct sc_cell_stats *cells = sc_pyramids_cells(p, tensor, s);
        if (!cells)
            return;
        const uint64_t top = p->entries[tensor].slice_cells - 1;
        sc_cell_unpack(&cells[top], g->grid->rows * g->grid->cols, &cell);
        sc_cell_join(&all, &cell);
    }
    g->sum = all;
    if (all.flags) {
        g->sum.sum = sampled.sum / (double)SC_MAX(sampled.n, UINT64_C(1)) * (double)all.n;
        g->sum.square = sampled.square / (double)SC_MAX(sampled.n, UINT64_C(1)) * (double)all.n;
        return;
    }
    memset(g->row, 0, sizeof g->row);
    memset(g->col, 0, sizeof g->col);
    memset(g->row_n, 0, sizeof g->row_n);
    memset(g->col_n, 0, sizeof g->col_n);
    for (uint64_t s = 0; s < g->grid->slices; s++) {
        const struct sc_cell_stats *cells = sc_pyramids_cells(p, tensor, (uint32_t)s);
        for (uint64_t i = 0; cells && i < l.rows * l.cols; i++) {
            const uint64_t y = i / l.cols << g->grid->bits_y, x = i % l.cols << g->grid->bits_x;
            const uint64_t h = SC_MIN(g->grid->rows - y, UINT64_C(1) << g->grid->bits_y);
            const uint64_t w = SC_MIN(g->grid->cols - x, UINT64_C(1) << g->grid->bits_x);
            const size_t r = (size_t)((s * g->grid->rows + y) * g->out->n_rows / g->n_rows);
            const size_t c = (size_t)(x * g->out->n_cols / g->grid->cols);
            sc_cell_unpack(&cells[i], h * w, &cell);
            g->row[r] += cell.square;
            g->col[c] += cell.square;
            g->row_n[r] += cell.n;
            g->col_n[c] += cell.n;
        }
    }
}

/* Where a profile has no cell of its own, it has that of its neighbour. */
static void put_profile(const double *square, const uint64_t *n, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = n[i] ? root(square[i], n[i]) : i ? out[i - 1] : 0;
}

static int measure(struct sc_pyramids *p, uint32_t tensor, struct gather *g, struct sc_error *e)
{
    struct sc_tensor_facts *out = g->out;
    out->n_rows = (uint32_t)SC_MIN(g->n_rows, (uint64_t)SC_PROFILE);
    out->n_cols = (uint32_t)SC_MIN(g->grid->cols, (uint64_t)SC_PROFILE);
    sc_cells_clear(&g->sum, 1);
    TRY(each_run(g, gather_values, e));
    find_quantiles(g);
    out->zeros = out->sampled ? UINT64_MAX : g->zeros;
    out->nonfinite = out->sampled ? UINT64_MAX : g->nonfinite;
    if (out->sampled && sc_pyramids_cells(p, tensor, 0))
        add_pyramid(p, tensor, g);
    if (g->sum.n > 0) {
        out->min = (double)g->sum.min;
        out->max = (double)g->sum.max;
        out->mean = g->sum.sum / (double)g->sum.n;
        out->rms = sqrt(g->sum.square / (double)g->sum.n);
        out->abs_max = fmax(-out->min, out->max);
    }
    put_profile(g->row, g->row_n, out->n_rows, out->row_rms);
    put_profile(g->col, g->col_n, out->n_cols, out->col_rms);
    return each_run(g, gather_bins, e);
}

static int measure_quantiles(struct sc_pyramids *p, uint32_t tensor, struct gather *g,
                             struct sc_error *e)
{
    (void)p, (void)tensor;
    TRY(each_run(g, gather_tops, e));
    find_quantiles(g);
    return 0;
}

static int look(struct sc_pyramids *p, uint32_t tensor,
                int (*fn)(struct sc_pyramids *p, uint32_t tensor, struct gather *g,
                          struct sc_error *e),
                struct sc_tensor_facts *out, struct sc_error *e)
{
    memset(out, 0, sizeof *out);
    TRY(check_element(p, tensor, 0, 0, 0, e));
    struct gather *g = sc_calloc(1, sizeof *g);
    if (!g)
        return sc_fail_memory(e);
    g->out = out;
    g->grid = &p->entries[tensor].grid;
    g->n_rows = g->grid->slices * g->grid->rows;
    g->count = g->n_rows * g->grid->cols;
    out->sampled = g->count > WHOLE;
    int code = sc_pyramids_view(p, tensor, &g->view, e);
    if (code == 0) {
        g->each = sc_values_each(g->view, g->grid);
        code = fn(p, tensor, g, e);
        sc_pyramids_release(p, tensor, g->view);
    }
    free(g);
    return code;
}

int sc_tensor_facts(struct sc_pyramids *p, uint32_t tensor, struct sc_tensor_facts *out,
                    struct sc_error *e)
{
    return look(p, tensor, measure, out, e);
}

int sc_tensor_quantiles(struct sc_pyramids *p, uint32_t tensor, struct sc_tensor_facts *out,
                        struct sc_error *e)
{
    return look(p, tensor, measure_quantiles, out, e);
}
