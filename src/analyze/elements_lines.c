/* SPDX-License-Identifier: Apache-2.0 */
/* elements_lines: rows and columns, and integers with a scale a row or a group.
 *
 * A chunk is a run of values in row-major order, whatever the shape: convolutions are seen as
 * out x rest, so their rows may begin anywhere in a chunk. Rows are put together here: the front of
 * a segment whose row began in the one before waits in `head`, what is left at its end in `tail`,
 * and merging makes a unit of both. Every unit is thus added once, by values alone.
 *
 * A row longer than SC_MAX_WHOLE_ROW is a sequence of units; what its integers lose is added in a
 * second visit, when its largest value is known. */
#include "analyze/elements.h"
#include "kernel/tops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------- plan --- */
void sc_lines_plan(const struct sc_measure *m, const struct sc_values *v, struct sc_lines_plan *out)
{
    const struct sc_matrices shape = sc_matrices_of(v);
    struct sc_lines_plan p = {.rows = shape.n * shape.rows,
                              .cols = shape.cols,
                              .count = v->count,
                              .level = sc_cpu_level()};
    const bool matrix = v->tensor->rank >= 2 && p.rows && p.cols;
    const bool sparsity = (m->methods & SC_METHOD_SPARSITY) && matrix;
    p.want_rows = sparsity && p.rows <= SC_MAX_LINES;
    p.want_columns = sparsity && p.cols <= SC_MAX_LINES;
    p.want_errors = (m->methods & SC_METHOD_QUANTIZATION) && v->count;
    p.group = m->group && m->group < p.cols ? m->group : 0;
    p.most_steps = (float)((1U << (m->bits - 1)) - 1);
    p.unit = p.cols;
    if (p.cols > SC_MAX_WHOLE_ROW) {
        const uint64_t group = p.group && p.group <= SC_MAX_WHOLE_ROW ? p.group : 1;
        p.unit = SC_MAX_WHOLE_ROW / group * group;
        if (p.group > SC_MAX_WHOLE_ROW)
            p.group = 0; /* as good as a row */
        p.second = p.want_errors && p.rows > 1;
    }
    p.whole = v->cols == p.cols && p.cols <= SC_MAX_WHOLE_ROW;
    *out = p;
}

/* ----------------------------------------------------------------------------------- memory --- */
static int take(void *slot, uint64_t n, size_t size, struct sc_error *e)
{
    void *p = sc_calloc((size_t)n, size);
    memcpy(slot, &p, sizeof p);
    return p ? 0 : sc_fail_memory(e);
}

static size_t groups_of(const struct sc_lines_plan *p)
{
    return p->group ? (size_t)(p->unit / p->group + 1) : 1;
}

static int take_all(struct sc_lines *l, struct sc_error *e)
{
    const struct sc_lines_plan *p = l->plan;
    if (p->want_rows || p->second) {
        TRY(take(&l->row_peak, l->room, sizeof *l->row_peak, e));
        TRY(take(&l->row_square, l->room, sizeof *l->row_square, e));
    }
    if (p->want_columns) {
        TRY(take(&l->column_peak, p->cols, sizeof *l->column_peak, e));
        TRY(take(&l->column_square, p->cols, sizeof *l->column_square, e));
    }
    if (!p->whole) {
        TRY(take(&l->head, p->unit, sizeof *l->head, e));
        TRY(take(&l->tail, p->unit, sizeof *l->tail, e));
    }
    const size_t groups = groups_of(p);
    const uint64_t together = SC_MIN(SC_ROWS_TOGETHER, SC_CHUNK_VALUES / p->unit);
    TRY(take(&l->clean, p->unit, sizeof *l->clean, e));
    TRY(take(&l->peaks, groups * SC_MAX(together, 1), sizeof *l->peaks, e));
    TRY(take(&l->inverse, groups, sizeof *l->inverse, e));
    return take(&l->weight, groups, sizeof *l->weight, e);
}

int sc_lines_new(const struct sc_lines_plan *plan, uint64_t values, struct sc_lines *out,
                 struct sc_error *e)
{
    memset(out, 0, sizeof *out);
    out->plan = plan;
    if (!plan->want_rows && !plan->want_columns && !plan->want_errors)
        return 0;
    out->absolute = values >= plan->count;
    /* It may begin and end in a row; of columns of one there are as many as values. */
    out->room = SC_MIN(plan->rows, sc_add_up(values / plan->cols, 2));
    const int status = take_all(out, e);
    if (status < 0)
        sc_lines_clear(out);
    return status;
}

void sc_lines_reset(struct sc_lines *l)
{
    const struct sc_lines_plan *p = l->plan;
    if (l->row_peak) {
        memset(l->row_peak, 0, l->n_rows * sizeof *l->row_peak);
        memset(l->row_square, 0, l->n_rows * sizeof *l->row_square);
    }
    if (l->column_peak) {
        memset(l->column_peak, 0, p->cols * sizeof *l->column_peak);
        memset(l->column_square, 0, p->cols * sizeof *l->column_square);
    }
    l->channel = l->group = (struct sc_int_sums){0, 0, 0, 0};
    l->n_head = l->n_tail = 0;
    l->first_row = l->n_rows = 0;
}

void sc_lines_clear(struct sc_lines *l)
{
    free(l->row_peak);
    free(l->row_square);
    free(l->column_peak);
    free(l->column_square);
    free(l->head);
    free(l->tail);
    free(l->clean);
    free(l->peaks);
    free(l->inverse);
    free(l->weight);
    memset(l, 0, sizeof *l);
}

/* ---------------------------------------------------------------------------------- integers ---
 */
static void add_steps(const struct sc_steps *s, double step, struct sc_int_sums *to)
{
    to->square += step * step * s->square;
    to->abs += step * s->abs;
    to->cross += step * step * s->cross;
    to->most = SC_MAX(to->most, step * s->most);
}

/* Steps of extreme values leave the range of a float; those values are then brought near 1 by a
 * power of two, which is exact for all that matter beside the largest. */
static int exponent_to_remove(uint32_t peak)
{
    const int exponent = peak >> 23 ? (int)(peak >> 23) - 127 : ilogbf(sc_float_of(peak));
    return exponent < -60 || exponent > 60 ? exponent : 0;
}

static float without(uint32_t peak, int exponent)
{
    return exponent == 0 ? sc_float_of(peak) : (float)ldexp((double)sc_float_of(peak), -exponent);
}

static const float *scaled(const float *x, size_t n, int exponent, float *scratch)
{
    if (exponent == 0)
        return x;
    for (size_t i = 0; i < n; i++)
        scratch[i] = (float)ldexp((double)x[i], -exponent);
    return scratch;
}

/* One step for all: x is brought near 1, top is its largest magnitude. */
static void add_whole(const float *x, size_t n, float top, int exponent, float most_steps,
                      enum sc_cpu level, struct sc_int_sums *sums)
{
    const float inverse = most_steps / top, one = 1;
    struct sc_steps s;
    sc_steps(x, n, SC_STEPS_TOGETHER, &inverse, &one, 0, level, &s);
    add_steps(&s, ldexp((double)top / (double)most_steps, exponent), sums);
}

void sc_int_sums_add(const float *x, size_t n, uint32_t peak, float most_steps, enum sc_cpu level,
                     float *scratch, struct sc_int_sums *sums)
{
    if (peak == 0)
        return;
    const int exponent = exponent_to_remove(peak);
    add_whole(scaled(x, n, exponent, scratch), n, without(peak, exponent), exponent, most_steps,
              level, sums);
}

/* A step for each group, as its largest magnitude wants it, and weights relative to that of all. */
static void steps_of_groups(struct sc_lines *l, const uint32_t *peaks, size_t n, float top,
                            int exponent)
{
    const struct sc_lines_plan *p = l->plan;
    const size_t groups = (n + p->group - 1) / p->group;
    for (size_t i = 0; i < groups; i++) {
        const float own = without(peaks[i], exponent);
        /* What is so small beside the rest of the unit loses nothing that shows. */
        const bool counts = own > 0x1p-100F;
        l->inverse[i] = counts ? p->most_steps / own : 0;
        l->weight[i] = counts ? own / top : 0;
    }
}

static void add_groups(struct sc_lines *l, const float *x, size_t n, float top, int exponent,
                       bool and_whole)
{
    const struct sc_lines_plan *p = l->plan;
    const double step = ldexp((double)top / (double)p->most_steps, exponent);
    struct sc_steps s, whole;
    if (and_whole) {
        const struct sc_steps_of how = {p->group, l->inverse, l->weight, p->most_steps / top};
        if (l->counting && l->tops)
            sc_steps_tops(x, n, &how, p->level, l->counting, &s, &whole);
        else
            sc_steps_both(x, n, &how, p->level, l->counting, &s, &whole);
        add_steps(&whole, step, &l->channel);
    } else
        sc_steps(x, n, p->group, l->inverse, l->weight, 1, p->level, &s);
    add_steps(&s, step, &l->group);
}

/* ------------------------------------------------------------------------------------ units --- */
static const float *finite_only(struct sc_lines *l, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        l->clean[i] = isfinite(x[i]) ? x[i] : 0;
    return l->clean;
}

static void add_row(struct sc_lines *l, uint64_t row, uint32_t peak, double square)
{
    if (!l->row_peak)
        return;
    if (l->n_rows == 0 && !l->absolute)
        l->first_row = row;
    const uint64_t at = row - l->first_row;
    if (at >= l->room)
        return; /* a segment is never longer than SC_SEGMENT_VALUES and a chunk */
    l->n_rows = SC_MAX(l->n_rows, at + 1);
    l->row_peak[at] = SC_MAX(l->row_peak[at], peak);
    l->row_square[at] += square;
}

/* Rounds a unit whose largest magnitude, and those of its groups, are known. */
static void round_unit(struct sc_lines *l, const float *x, size_t n, uint32_t peak,
                       const uint32_t *peaks)
{
    const struct sc_lines_plan *p = l->plan;
    if (!p->want_errors || peak == 0)
        return;
    const int exponent = exponent_to_remove(peak);
    const float top = without(peak, exponent);
    x = scaled(x, n, exponent, l->clean);
    const bool whole = p->rows > 1 && !p->second;
    if (p->group) {
        steps_of_groups(l, peaks, n, top, exponent);
        add_groups(l, x, n, top, exponent, whole);
    } else if (whole)
        add_whole(x, n, top, exponent, p->most_steps, p->level, &l->channel);
}

static uint32_t peaks_of(const struct sc_lines *l, const float *x, size_t n, uint32_t *peaks)
{
    const size_t group = l->plan->group && l->plan->want_errors ? l->plan->group : n;
    return sc_peaks(x, n, group, l->plan->level, peaks);
}

static void add_unit(struct sc_lines *l, uint64_t row, uint64_t col, const float *x, size_t n)
{
    const struct sc_lines_plan *p = l->plan;
    uint32_t peak = peaks_of(l, x, n, l->peaks);
    if (peak >= 0x7f800000) {
        x = finite_only(l, x, n);
        peak = peaks_of(l, x, n, l->peaks);
    }
    double square = 0;
    if (p->want_columns)
        sc_columns(x, 1, n, p->level, l->column_peak + col, l->column_square + col, &square);
    else if (p->want_rows) {
        struct sc_sums sums;
        sc_sums(x, n, p->level, &sums);
        square = sums.square;
    }
    add_row(l, row, peak, square);
    round_unit(l, x, n, peak, l->peaks);
}

/* Squares of all but the least values are floats. */
static bool squares_fit(uint32_t peak)
{
    return peak == 0 || (peak >= (127U - 40) << 23 && peak < (127U + 40) << 23);
}

/* Rows whose columns are added together; false: not these. */
static bool add_block(struct sc_lines *l, uint64_t row, const float *x, size_t rows)
{
    const struct sc_lines_plan *p = l->plan;
    const size_t n = (size_t)p->cols, groups = groups_of(p);
    uint32_t peak[SC_ROWS_TOGETHER];
    double square[SC_ROWS_TOGETHER];
    for (size_t k = 0; k < rows; k++) {
        peak[k] = peaks_of(l, x + k * n, n, l->peaks + k * groups);
        if (!squares_fit(peak[k]))
            return false;
    }
    sc_columns(x, rows, n, p->level, l->column_peak, l->column_square, square);
    for (size_t k = 0; k < rows; k++) {
        add_row(l, row + k, peak[k], square[k]);
        round_unit(l, x + k * n, n, peak[k], l->peaks + k * groups);
    }
    return true;
}

/* Whole rows. Their columns are added several rows at a time where floats hold the squares. */
static void add_rows(struct sc_lines *l, uint64_t row, const float *x, size_t rows)
{
    const size_t n = (size_t)l->plan->cols;
    while (rows) {
        const size_t now = SC_MIN(rows, (size_t)SC_ROWS_TOGETHER);
        if (!l->plan->want_columns || now * n > SC_CHUNK_VALUES || !add_block(l, row, x, now))
            for (size_t k = 0; k < now; k++)
                add_unit(l, row + k, 0, x + k * n, n);
        row += now;
        x += now * n;
        rows -= now;
    }
}

/* ------------------------------------------------------------------------------------- BF16 --- */
bool sc_lines_take_bf16(const struct sc_lines *l)
{
    const struct sc_lines_plan *p = l->plan;
    return l->clean && p->whole && p->rows > 1 && p->want_rows && p->want_columns &&
           p->want_errors && p->group && sc_bf16_in_place((size_t)p->cols, p->group, p->level);
}

#if SC_HAVE_X86
bool sc_lines_add_bf16(struct sc_lines *l, uint64_t at, const uint8_t *codes, size_t n,
                       struct sc_counting *counting)
{
    const struct sc_lines_plan *p = l->plan;
    const size_t cols = (size_t)p->cols, rows = n / cols, groups = groups_of(p);
    const uint64_t row = at / cols;
    uint32_t peak[SC_ROWS_TOGETHER];
    double square[SC_ROWS_TOGETHER];
    if (at % cols || n % (2 * cols) || rows > SC_ROWS_TOGETHER)
        return false;
    for (size_t k = 0; k < rows; k++) {
        peak[k] = sc_peaks_bf16(codes + 2 * k * cols, cols, p->group, l->peaks + k * groups);
        if (!squares_fit(peak[k]))
            return false;
    }
    sc_columns_bf16(codes, rows, cols, l->column_peak, l->column_square, square);
    for (size_t k = 0; k < rows; k++) {
        const float top = sc_float_of(peak[k]);
        const double step = (double)top / (double)p->most_steps;
        struct sc_steps own, whole;
        add_row(l, row + k, peak[k], square[k]);
        if (peak[k] == 0) {
            sc_count_codes16(counting->codes, cols, counting->table);
            counting->codes += 2 * cols;
            counting->n -= cols;
            continue;
        }
        steps_of_groups(l, l->peaks + k * groups, cols, top, 0);
        const struct sc_steps_of how = {p->group, l->inverse, l->weight, p->most_steps / top};
        sc_steps_bf16(cols, &how, counting, &own, &whole);
        add_steps(&whole, step, &l->channel);
        add_steps(&own, step, &l->group);
    }
    return true;
}
#else
bool sc_lines_add_bf16(struct sc_lines *l, uint64_t at, const uint8_t *codes, size_t n,
                       struct sc_counting *counting)
{
    (void)l, (void)at, (void)codes, (void)n, (void)counting;
    return false;
}
#endif

/* A unit that is not here as a whole. */
static void put_off(struct sc_lines *l, uint64_t at, uint64_t row, uint64_t col, size_t unit,
                    size_t off, const float *x, size_t n)
{
    if (off && l->n_tail == 0) { /* its beginning was in the segment before */
        if (l->n_head == 0)
            l->head_at = at;
        memcpy(l->head + l->n_head, x, n * sizeof *x);
        l->n_head += n;
        return;
    }
    if (off == 0)
        l->tail_at = at;
    memcpy(l->tail + l->n_tail, x, n * sizeof *x);
    l->n_tail += n;
    if (l->n_tail == unit) {
        l->n_tail = 0;
        add_unit(l, row, col, l->tail, unit);
    }
}

void sc_lines_add(struct sc_lines *l, uint64_t at, const float *x, size_t n)
{
    const struct sc_lines_plan *p = l->plan;
    if (!l->clean || !p->cols)
        return;
    while (n) {
        const uint64_t row = at / p->cols, in_row = at % p->cols;
        const uint64_t col = in_row / p->unit * p->unit;
        const size_t unit = (size_t)SC_MIN(p->unit, p->cols - col), off = (size_t)(in_row - col);
        size_t now = SC_MIN(n, unit - off);
        if (now == p->cols) {
            now = n / unit * unit;
            add_rows(l, row, x, now / unit);
        } else if (now == unit)
            add_unit(l, row, col, x, unit);
        else
            put_off(l, at, row, col, unit, off, x, now);
        at += now;
        x += now;
        n -= now;
    }
}

void sc_lines_add_again(struct sc_lines *l, const uint32_t *peaks, uint64_t at, const float *x,
                        size_t n)
{
    const struct sc_lines_plan *p = l->plan;
    while (n) {
        const uint64_t row = at / p->cols, left = p->cols - at % p->cols;
        const size_t now = (size_t)SC_MIN(SC_MIN(n, left), p->unit);
        uint32_t peak;
        const bool finite = sc_peaks(x, now, now, p->level, &peak) < 0x7f800000;
        sc_int_sums_add(finite ? x : finite_only(l, x, now), now, peaks[row], p->most_steps,
                        p->level, l->clean, &l->channel);
        at += now;
        x += now;
        n -= now;
    }
}

/* ------------------------------------------------------------------------------------ merge --- */
static void add_sums(struct sc_int_sums *to, const struct sc_int_sums *from)
{
    to->square += from->square;
    to->abs += from->abs;
    to->cross += from->cross;
    to->most = SC_MAX(to->most, from->most);
}

void sc_lines_merge(struct sc_lines *total, struct sc_lines *part)
{
    if (!total->clean)
        return;
    if (part->n_head)
        sc_lines_add(total, part->head_at, part->head, part->n_head);
    if (total->row_peak && part->n_rows) {
        for (uint64_t i = 0; i < part->n_rows; i++) {
            const uint64_t row = part->first_row + i;
            total->row_peak[row] = SC_MAX(total->row_peak[row], part->row_peak[i]);
            total->row_square[row] += part->row_square[i];
        }
        total->n_rows = SC_MAX(total->n_rows, part->first_row + part->n_rows);
    }
    for (uint64_t i = 0; total->column_peak && i < total->plan->cols; i++) {
        total->column_peak[i] = SC_MAX(total->column_peak[i], part->column_peak[i]);
        total->column_square[i] += part->column_square[i];
    }
    add_sums(&total->channel, &part->channel);
    add_sums(&total->group, &part->group);
    if (part->n_tail)
        sc_lines_add(total, part->tail_at, part->tail, part->n_tail);
}
