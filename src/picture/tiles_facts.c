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
enum { RUNS = 1024, RUN = 4096, TOPS = 65536, STEP_LOG2 = 4, STEP = 1 << STEP_LOG2 };

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
    double squares[RUN]; /* of some of them */
    enum sc_cpu level;
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

enum { LANES = 8 };
/* What a row adds: sums in LANES, all bits that occur. */
struct row_sums {
    double sum[LANES];
    float min[LANES], max[LANES];
    uint32_t any, zeros;
};

/* Loops that compilers make wide, at whatever level they are compiled for: each lane is a sum of
 * its own, so the bits are the same. */
static inline __attribute__((always_inline)) uint32_t look_for_largest(const float *x, size_t n)
{
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return most;
}

static inline __attribute__((always_inline)) void
add_row(const float *restrict x, size_t n, double *restrict squares, struct row_sums *restrict out)
{
    struct row_sums r = {.any = 0};
    const size_t whole = n / LANES * LANES;
    for (size_t k = 0; k < LANES; k++) {
        r.min[k] = INFINITY;
        r.max[k] = -INFINITY;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        r.any |= bits;
        r.zeros += x[i] == 0;
        squares[i] = (double)x[i] * (double)x[i];
    }
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            const float v = x[i + k];
            r.sum[k] += (double)v;
            r.min[k] = v < r.min[k] ? v : r.min[k];
            r.max[k] = v > r.max[k] ? v : r.max[k];
        }
    for (size_t k = 0; k < n - whole; k++) {
        const float v = x[whole + k];
        r.sum[k] += (double)v;
        r.min[k] = v < r.min[k] ? v : r.min[k];
        r.max[k] = v > r.max[k] ? v : r.max[k];
    }
    *out = r;
}

#if SC_HAVE_X86
SC_TARGET_AVX512 static uint32_t largest_avx512(const float *x, size_t n)
{
    return look_for_largest(x, n);
}
SC_TARGET_AVX512 static void add_row_avx512(const float *x, size_t n, double *squares,
                                            struct row_sums *out)
{
    add_row(x, n, squares, out);
}
#endif

static uint32_t largest_bits(const float *x, size_t n, enum sc_cpu level)
{
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        return largest_avx512(x, n);
#endif
    (void)level;
    return look_for_largest(x, n);
}

/* n finite elements of one row: all but the profiles. */
static void gather_row(struct gather *g, const float *x, size_t n)
{
    struct row_sums r;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        g->tops[bits >> 16]++;
    }
#if SC_HAVE_X86
    if (g->level == SC_CPU_AVX512)
        add_row_avx512(x, n, g->squares, &r);
    else
#endif
        add_row(x, n, g->squares, &r);
    for (size_t k = 0; k < LANES; k++) {
        g->sum.min = r.min[k] < g->sum.min ? r.min[k] : g->sum.min;
        g->sum.max = r.max[k] > g->sum.max ? r.max[k] : g->sum.max;
    }
    g->sum.sum += ((r.sum[0] + r.sum[4]) + (r.sum[1] + r.sum[5])) +
                  ((r.sum[2] + r.sum[6]) + (r.sum[3] + r.sum[7]));
    g->sum.n += n;
    g->zeros += r.zeros;
    g->any |= r.any;
}

/* The same of a part of that row: squares, for the profiles and as a whole. */
static void gather_squares(struct gather *g, size_t from, size_t n, size_t r, size_t c)
{
    double square = 0;
    for (size_t i = from; i < from + n; i++)
        square += g->squares[i];
    g->sum.square += square;
    g->row[r] += square;
    g->col[c] += square;
    g->row_n[r] += n;
    g->col_n[c] += n;
}

static void gather_values(struct gather *g, uint64_t first, uint64_t n)
{
    const uint64_t cols = g->grid->cols;
    uint64_t row = first / cols, col = first % cols;
    for (uint64_t i = 0; i < n; row++, col = 0) {
        const uint64_t end = SC_MIN(n, i + (cols - col));
        const size_t r = (size_t)(row * g->out->n_rows / g->n_rows), start = (size_t)i;
        const float *x = g->values + start;
        const bool finite = largest_bits(x, (size_t)(end - i), g->level) < 0x7f800000;
        if (finite)
            gather_row(g, x, (size_t)(end - i));
        for (size_t c = (size_t)(col * g->out->n_cols / cols); i < end; c++) {
            const uint64_t some = SC_MIN(g->col_from[c + 1] - col, end - i);
            if (finite)
                gather_squares(g, (size_t)i - start, (size_t)some, r, c);
            else
                gather_piece(g, g->values + i, (size_t)some, r, c);
            i += some;
            col += some;
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
    TRY(each_run(g, gather_values, e));
    note_used(g);
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
