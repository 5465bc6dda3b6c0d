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
enum { RUNS = 1024, RUN = 4096, TOPS = 65536, NARROW = 32768 };
enum { STEP_LOG2 = 4, STEP = 1 << STEP_LOG2 };

/* A product that is not rounded before the sum gives other bits; see codec/decode.h. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

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
    uint32_t tops[TOPS], any;          /* how often upper halves occur; bits that do */
    uint64_t used[TOPS / STEP / 64];   /* parts of the table in which some may */
    uint64_t col_from[SC_PROFILE + 1]; /* the first column of each step of the profile */
    double row[SC_PROFILE], col[SC_PROFILE];
    uint64_t row_n[SC_PROFILE], col_n[SC_PROFILE];
    float values[2 * RUN];
    enum sc_cpu level;
    /* Sums of squares of `n_squares` columns from `first_col` on, of rows whose elements are all
     * finite, before they go to the profile; rows[i] more rows are in column i than in i - 1. */
    uint64_t first_col, n_squares;
    double *squares;
    int64_t *rows;
};

/* n elements of one row that are in one step of both profiles; some are not finite. */
static void gather_piece(struct gather *g, const float *x, size_t n, size_t r, size_t c)
{
    double sum = 0, square = 0;
    uint64_t finite = 0;
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i];
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        if ((bits & 0x7fffffff) >= 0x7f800000) {
            sc_cell_take(&g->sum, x[i]);
            g->nonfinite++;
            continue;
        }
        sum += v;
        square += v * v;
        finite++;
        g->sum.min = x[i] < g->sum.min ? x[i] : g->sum.min;
        g->sum.max = x[i] > g->sum.max ? x[i] : g->sum.max;
        g->zeros += x[i] == 0;
        g->tops[bits >> 16]++;
        g->any |= bits;
    }
    g->sum.sum += sum;
    g->sum.square += square;
    g->sum.n += finite;
    g->row[r] += square;
    g->col[c] += square;
    g->row_n[r] += finite;
    g->col_n[c] += finite;
}

/* To the profile of columns. */
static void fold_squares(struct gather *g)
{
    size_t c = (size_t)(g->first_col * g->out->n_cols / g->grid->cols);
    const uint64_t n = SC_MIN(g->n_squares, g->grid->cols - g->first_col);
    int64_t rows = 0;
    for (uint64_t i = 0; i < n; i++) {
        c += g->first_col + i == g->col_from[c + 1];
        rows += g->rows[i];
        g->col[c] += g->squares[i];
        g->col_n[c] += (uint64_t)rows;
    }
    memset(g->squares, 0, (size_t)g->n_squares * sizeof *g->squares);
    memset(g->rows, 0, ((size_t)g->n_squares + 1) * sizeof *g->rows);
}

enum { LANES = SC_ROW_LANES };

/* Elements first..n, each to the lane of its column. */
static void add_row_c(const float *x, size_t first, size_t n, double *squares,
                      struct sc_row_sums *out)
{
    for (size_t i = first; i < n; i++) {
        const size_t k = i % LANES;
        const double v = (double)x[i], square = v * v;
        out->any |= sc_bits_of(x[i]);
        out->zeros += x[i] == 0;
        out->sum[k] += v;
        out->square[k] += square;
        squares[i] += square;
        out->min[k] = x[i] < out->min[k] ? x[i] : out->min[k];
        out->max[k] = x[i] > out->max[k] ? x[i] : out->max[k];
    }
}

static void add_row(const float *x, size_t n, double *squares, enum sc_cpu level,
                    struct sc_row_sums *out)
{
    size_t done = 0;
    *out = (struct sc_row_sums){.any = 0};
    for (size_t k = 0; k < LANES; k++) {
        out->min[k] = INFINITY;
        out->max[k] = -INFINITY;
    }
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        done = sc_row_add_avx512(x, n, squares, out);
#else
    (void)level;
#endif
    add_row_c(x, done, n, squares, out);
}

static double sum_of_lanes(const double v[LANES])
{
    return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}

/* n finite elements of one row, from column `col` on; r: its step of the profile. */
static void gather_row(struct gather *g, const float *x, size_t n, uint64_t col, size_t r)
{
    struct sc_row_sums s;
    if (col < g->first_col || col + n > g->first_col + g->n_squares) {
        fold_squares(g);
        g->first_col = col;
    }
    const size_t at = (size_t)(col - g->first_col);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        g->tops[bits >> 16]++;
    }
    add_row(x, n, g->squares + at, g->level, &s);
    for (size_t k = 0; k < LANES; k++) {
        g->sum.min = s.min[k] < g->sum.min ? s.min[k] : g->sum.min;
        g->sum.max = s.max[k] > g->sum.max ? s.max[k] : g->sum.max;
    }
    const double square = sum_of_lanes(s.square);
    g->sum.sum += sum_of_lanes(s.sum);
    g->sum.square += square;
    g->sum.n += n;
    g->zeros += s.zeros;
    g->any |= s.any;
    g->row[r] += square;
    g->row_n[r] += n;
    g->rows[at]++;
    g->rows[at + n]--;
}

static void gather_values(struct gather *g, uint64_t first, uint64_t n)
{
    const uint64_t cols = g->grid->cols;
    uint64_t row = first / cols, col = first % cols;
    for (uint64_t i = 0; i < n; row++, col = 0) {
        const uint64_t end = SC_MIN(n, i + (cols - col));
        const size_t r = (size_t)(row * g->out->n_rows / g->n_rows), some = (size_t)(end - i);
        const float *x = g->values + i;
        uint32_t peak;
        if (sc_peaks(x, some, some, g->level, &peak) < 0x7f800000) {
            gather_row(g, x, some, col, r);
            i = end;
            continue;
        }
        for (size_t c = (size_t)(col * g->out->n_cols / cols); i < end; c++) {
            const uint64_t part = SC_MIN(g->col_from[c + 1] - col, end - i);
            gather_piece(g, g->values + i, (size_t)part, r, c);
            i += part;
            col += part;
        }
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

/* All elements, or the runs of the sample. */
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

static void count_in_bin(struct sc_tensor_facts *out, double x, uint32_t n)
{
    if (!isfinite(x) || fabs(x) > out->abs_max)
        return;
    const double bin = (x / out->abs_max + 1) / 2 * SC_TENSOR_BINS;
    out->histogram[SC_MIN((size_t)bin, (size_t)SC_TENSOR_BINS - 1)] += n;
}

static void gather_bins(struct gather *g, uint64_t first, uint64_t n)
{
    (void)first;
    for (uint64_t i = 0; i < n; i++)
        count_in_bin(g->out, (double)g->values[i], 1);
}

/* Of a small tensor few upper halves occur, and most of the table is not looked at. */
static void note_used(struct gather *g)
{
    const bool small = g->count <= RUN; /* then `values` has all */
    memset(g->used, small ? 0 : 0xff, sizeof g->used);
    for (size_t i = 0; i < g->count && small; i++) {
        const uint32_t part = sc_bits_of(g->values[i]) >> (16 + STEP_LOG2);
        g->used[part / 64] |= UINT64_C(1) << part % 64;
    }
}

/* STEP of the table, from one of them. */
static bool is_used(const struct gather *g, uint32_t top)
{
    return g->used[top / STEP / 64] >> (top / STEP % 64) & 1;
}

/* Where all values have 16 bits, their patterns are the values, and nothing is read again. */
static int fill_bins(struct gather *g, struct sc_error *e)
{
    if (!(g->out->abs_max > 0))
        return 0;
    if (g->any & 0xffff)
        return each_run(g, gather_bins, e);
    for (uint32_t top = 0; top < TOPS; top++)
        if (top % STEP == 0 && !is_used(g, top))
            top += STEP - 1;
        else if (g->tops[top])
            count_in_bin(g->out, (double)sc_bf16_value((uint16_t)top), g->tops[top]);
    return 0;
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
        if (i % STEP == 0 && !is_used(g, top)) {
            i += STEP - 1;
            continue;
        }
        seen += g->tops[top];
        for (; from <= steps && seen > from * (n - 1) / steps; from++)
            out->quantile[from] = sc_bf16_value((uint16_t)top);
    }
    uint64_t above = 0, most = n / 1000;
    for (uint32_t top = TOPS / 2; top-- > 0;) {
        if (top >= STEP && top % STEP == STEP - 1 && !is_used(g, top) &&
            !is_used(g, top | 0x8000)) {
            top -= STEP - 1;
            continue;
        }
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
    for (size_t c = 0; c <= out->n_cols; c++)
        g->col_from[c] = (c * g->grid->cols + out->n_cols - 1) / out->n_cols;
    sc_cells_clear(&g->sum, 1);
    g->n_squares = g->grid->cols <= NARROW ? g->grid->cols : RUN;
    g->squares = sc_calloc((size_t)g->n_squares, sizeof *g->squares);
    g->rows = sc_calloc((size_t)g->n_squares + 1, sizeof *g->rows);
    if (!g->squares || !g->rows)
        return sc_fail_memory(e);
    TRY(each_run(g, gather_values, e));
    note_used(g);
    fold_squares(g);
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
    return fill_bins(g, e);
}

static int measure_quantiles(struct sc_pyramids *p, uint32_t tensor, struct gather *g,
                             struct sc_error *e)
{
    (void)p, (void)tensor;
    TRY(each_run(g, gather_tops, e));
    note_used(g);
    find_quantiles(g);
    return 0;
}

/* What is read as a whole lies in a mapping, if it is here: it is read once, from end to end. */
static int open_view(struct sc_pyramids *p, uint32_t tensor, struct gather *g, bool mapped,
                     struct sc_error *e)
{
    if (!mapped)
        return sc_pyramids_view(p, tensor, &g->view, e);
    TRY(sc_pyramids_open(p, tensor, &g->view, e));
    sc_values_map(g->view);
    sc_values_read_ahead(g->view, 0, g->view->count);
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
    g->level = sc_cpu_level();
    g->grid = &p->entries[tensor].grid;
    g->n_rows = g->grid->slices * g->grid->rows;
    g->count = g->n_rows * g->grid->cols;
    out->sampled = g->count > WHOLE;
    const bool mapped = !out->sampled && !sc_pyramids_is_far(p, tensor);
    int code = open_view(p, tensor, g, mapped, e);
    if (code == 0) {
        g->each = sc_values_each(g->view, g->grid);
        code = fn(p, tensor, g, e);
        if (code == 0 && mapped)
            code = sc_values_check(g->view, false, e);
        if (mapped)
            sc_values_close(g->view);
        else
            sc_pyramids_release(p, tensor, g->view);
    }
    free(g->squares);
    free(g->rows);
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
