/* SPDX-License-Identifier: Apache-2.0 */
/* arranged: views that show the values of another one in another order, computed while they are
 * read.
 *
 *   rows     some rows, in an order that three counters give
 *   turn     matrices that are transposed
 *   add      x + 1, as a converter computes it: in single precision, or in half
 *
 * Nothing of them is in memory but what one read asks for; a transposed piece needs as much once
 * more. Steps are views on views. */
#include "stream/values.h"

#include <stdlib.h>
#include <string.h>

#include "codec/encoding.h"

enum { PIECE = 2048, TURN_VALUES = 1 << 16 };

struct arranged {
    struct sc_values base;
    struct sc_values *inner;
    struct sc_arrange_step step;
};

static void close_arranged(struct sc_values *base)
{
    struct arranged *v = (struct arranged *)base;
    sc_values_close(v->inner);
    free(v);
}

/* ----------------------------------------------------------------------------------- rows --- */

/* n values of the inner view in runs that are `stride` apart. */
static int read_runs(struct sc_values *v, uint64_t first, uint64_t stride, uint64_t runs,
                     uint64_t n, float *floats, double *doubles, struct sc_error *e)
{
    if (floats)
        TRY(sc_values_read_runs(v, first, stride, (size_t)runs, n, floats, e));
    for (uint64_t i = 0; doubles && i < runs; i++)
        TRY(sc_values_read64(v, first + i * stride, n, doubles + i * n, e));
    return 0;
}

/* Part of one row, or whole rows of the innermost counter. */
static int read_rows(struct sc_values *base, uint64_t first, uint64_t n, float *floats,
                     double *doubles, struct sc_error *e)
{
    struct arranged *v = (struct arranged *)base;
    const struct sc_arrange_step *s = &v->step;
    while (n > 0) {
        const uint64_t row = first / s->cols, col = first % s->cols;
        const uint64_t k = row % s->n[2], j = row / s->n[2] % s->n[1], i = row / s->n[2] / s->n[1];
        const uint64_t at = s->first + i * s->stride[0] + j * s->stride[1] + k * s->stride[2];
        uint64_t runs = 1, take = SC_MIN(n, s->cols - col);
        if (col == 0 && n >= s->cols) {
            runs = SC_MIN(n / s->cols, s->n[2] - k);
            take = s->cols;
        }
        TRY(read_runs(v->inner, at * s->cols + col, s->stride[2] * s->cols, runs, take, floats,
                      doubles, e));
        take *= runs;
        floats = floats ? floats + take : NULL;
        doubles = doubles ? doubles + take : NULL;
        first += take;
        n -= take;
    }
    return 0;
}

/* ----------------------------------------------------------------------------------- turn --- */

static int turn_doubles(struct arranged *v, uint64_t at, uint64_t rows, uint64_t cols,
                        uint64_t width, double *dst, struct sc_error *e)
{
    double some[PIECE];
    for (uint64_t j = 0; j < width; j++)
        for (uint64_t i = 0; i < rows; i += PIECE) {
            const uint64_t take = SC_MIN(rows - i, (uint64_t)PIECE);
            TRY(sc_values_read64(v->inner, at + j * cols + i, take, some, e));
            for (uint64_t k = 0; k < take; k++)
                dst[(i + k) * width + j] = some[k];
        }
    return 0;
}

/* Column `at`, `at` + 1, ... of stored rows of `cols` values become rows of `width`. */
static int turn(struct arranged *v, uint64_t at, uint64_t rows, uint64_t cols, uint64_t width,
                float *floats, double *doubles, struct sc_error *e)
{
    if (doubles)
        TRY(turn_doubles(v, at, rows, cols, width, doubles, e));
    if (!floats)
        return 0;
    if (rows == 1)
        return sc_values_read_runs(v->inner, at, cols, (size_t)width, 1, floats, e);
    float *raw = sc_alloc((size_t)(rows * width) * sizeof *raw);
    if (!raw)
        return sc_fail_memory(e);
    const int code = sc_values_read_runs(v->inner, at, cols, (size_t)width, rows, raw, e);
    for (uint64_t j = 0; code == 0 && j < width; j++)
        for (uint64_t i = 0; i < rows; i++)
            floats[i * width + j] = raw[j * rows + i];
    free(raw);
    return code;
}

static int read_turned(struct sc_values *base, uint64_t first, uint64_t n, float *floats,
                       double *doubles, struct sc_error *e)
{
    struct arranged *v = (struct arranged *)base;
    const uint64_t height = v->step.height, cols = v->step.cols;
    while (n > 0) {
        const uint64_t row = first / height, col = first % height;
        const uint64_t matrix = row / cols, r = row % cols;
        uint64_t rows = 1, width = SC_MIN(n, height - col);
        if (col == 0 && n >= height) {
            rows = SC_MIN(SC_MIN(n / height, cols - r), SC_MAX(TURN_VALUES / height, UINT64_C(1)));
            width = height;
        }
        TRY(turn(v, (matrix * height + col) * cols + r, rows, cols, width, floats, doubles, e));
        const uint64_t take = rows * width;
        floats = floats ? floats + take : NULL;
        doubles = doubles ? doubles + take : NULL;
        first += take;
        n -= take;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ add --- */

static float plus_one(float x, bool half)
{
    const float sum = x + 1.0f;
    if (!half)
        return sum;
    return sc_element_value(SC_ELEMENT_F16, sc_element_encode(SC_ELEMENT_F16, sum, false));
}

static int read_added(struct sc_values *base, uint64_t first, uint64_t n, float *floats,
                      double *doubles, struct sc_error *e)
{
    struct arranged *v = (struct arranged *)base;
    float some[PIECE];
    for (uint64_t at = 0; at < n; at += PIECE) {
        const uint64_t take = SC_MIN(n - at, (uint64_t)PIECE);
        float *dst = some;
        if (floats)
            dst = floats + at;
        TRY(sc_values_read(v->inner, first + at, take, dst, e));
        for (uint64_t i = 0; i < take; i++) {
            dst[i] = plus_one(dst[i], v->step.half);
            if (doubles)
                doubles[at + i] = (double)dst[i];
        }
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- common --- */

static int prepare_arranged(struct sc_values *base, const _Atomic int *cancel, struct sc_error *e)
{
    return sc_values_prepare(((struct arranged *)base)->inner, cancel, e);
}

static int check_arranged(struct sc_values *base, bool all, struct sc_error *e)
{
    return sc_values_check(((struct arranged *)base)->inner, all, e);
}

static void prefetch_rows(struct sc_values *base, uint64_t first, uint64_t n)
{
    struct arranged *v = (struct arranged *)base;
    const struct sc_arrange_step *s = &v->step;
    if (s->kind == SC_STEP_ADD)
        sc_values_prefetch(v->inner, first, n);
    else if (s->kind == SC_STEP_ROWS && s->n[0] * s->n[1] == 1 && s->stride[2] == 1)
        sc_values_prefetch(v->inner, s->first * s->cols + first, n);
}

static bool identify_arranged(struct sc_values *base, struct sc_buf *out)
{
    struct arranged *v = (struct arranged *)base;
    const struct sc_arrange_step *s = &v->step;
    sc_buf_printf(out, "arranged %d %d %llu %llu %llu", s->kind, s->half,
                  (unsigned long long)s->cols, (unsigned long long)s->height,
                  (unsigned long long)s->first);
    for (size_t i = 0; i < 3; i++)
        sc_buf_printf(out, " %llu %llu", (unsigned long long)s->n[i],
                      (unsigned long long)s->stride[i]);
    sc_buf_putc(out, '\n');
    return sc_values_identity(v->inner, out);
}

static bool arranged_is_near(struct sc_values *base)
{
    return sc_values_are_near(((struct arranged *)base)->inner);
}

#define OPS(reader)                                                                                \
    {                                                                                              \
        .close = close_arranged, .read = reader, .prefetch = prefetch_rows,                        \
        .prepare = prepare_arranged, .check = check_arranged, .identity = identify_arranged,       \
        .near = arranged_is_near                                                                   \
    }
static const struct sc_values_ops step_ops[] = {
    [SC_STEP_ROWS] = OPS(read_rows),
    [SC_STEP_TURN] = OPS(read_turned),
    [SC_STEP_ADD] = OPS(read_added),
};

/* The last row that is read lies in the inner view, and everything can be counted. */
static bool fits(const struct sc_values *inner, const struct sc_arrange_step *s, uint64_t *rows,
                 uint64_t *cols)
{
    uint64_t last = s->first, matrix;
    *cols = s->cols;
    switch ((enum sc_step_kind)s->kind) {
    case SC_STEP_ADD:
        *rows = inner->rows;
        *cols = inner->cols;
        return true;
    case SC_STEP_TURN:
        *cols = s->height;
        *rows = s->height ? inner->count / s->height : 0;
        return sc_mul(s->height, s->cols, &matrix) && matrix > 0 && inner->count % matrix == 0;
    case SC_STEP_ROWS:
        *rows = 1;
        for (size_t i = 0; i < 3; i++) {
            uint64_t step;
            if (s->n[i] == 0 || !sc_mul(*rows, s->n[i], rows) ||
                !sc_mul(s->n[i] - 1, s->stride[i], &step) || !sc_add(last, step, &last))
                return false;
        }
        return s->cols > 0 && inner->count % s->cols == 0 && last < inner->count / s->cols;
    }
    return false;
}

static int open_step(struct sc_values *inner, const struct sc_arrange_step *s,
                     struct sc_values **out, struct sc_error *e)
{
    uint64_t rows, cols, count;
    struct sc_quoted q;
    *out = NULL;
    if (!fits(inner, s, &rows, &cols) || !sc_mul(rows, cols, &count))
        return sc_fail(e, SCRUPLE_EFORMAT, "tensor \"%s\" cannot be put into another order",
                       sc_quote(&q, sc_str(inner->tensor->name, inner->tensor->name_len)));
    struct arranged *v = sc_calloc(1, sizeof *v);
    if (!v)
        return sc_fail_memory(e);
    v->base = *inner;
    v->base.ops = &step_ops[s->kind];
    v->base.code_bytes = 0;
    v->base.rows = rows;
    v->base.cols = cols;
    v->base.count = count;
    v->base.is_double = inner->is_double && s->kind != SC_STEP_ADD;
    v->inner = inner;
    v->step = *s;
    *out = &v->base;
    return 0;
}

int sc_values_open_arranged(struct sc_values *inner, const struct sc_arrangement *how,
                            struct sc_values **out, struct sc_error *e)
{
    for (size_t i = 0; i < how->n; i++) {
        struct sc_values *next;
        const int code = open_step(inner, &how->step[i], &next, e);
        if (code < 0) {
            sc_values_close(inner);
            *out = NULL;
            return code;
        }
        inner = next;
    }
    *out = inner;
    return 0;
}

/* ----------------------------------------------------------------------------------- pairs --- */

static int open_side(const struct sc_model *m, uint32_t tensor, const struct sc_arrangement *how,
                     struct sc_values **out, struct sc_error *e)
{
    TRY(sc_values_open(m, tensor, out, e));
    return how ? sc_values_open_arranged(*out, how, out, e) : 0;
}

int sc_values_open_pair(const struct sc_model *a, const struct sc_model *b,
                        const struct sc_pair *pair, struct sc_values **of_a,
                        struct sc_values **of_b, struct sc_error *e)
{
    *of_a = *of_b = NULL;
    int code = open_side(a, pair->a, pair->how_a, of_a, e);
    if (code == 0)
        code = open_side(b, pair->b, pair->how_b, of_b, e);
    if (code != 0) {
        sc_values_close(*of_a);
        *of_a = *of_b = NULL;
        return code;
    }
    if ((*of_a)->count == (*of_b)->count) {
        /* of the one that is as stored: blocks lie in its rows */
        const bool second = pair->how_a && !pair->how_b;
        const struct sc_values *from = second ? *of_b : *of_a;
        struct sc_values *to = second ? *of_a : *of_b;
        to->rows = from->rows;
        to->cols = from->cols;
    }
    return 0;
}

uint64_t sc_arranged_at(const struct sc_arrangement *how, uint64_t at)
{
    for (size_t i = how ? how->n : 0; i-- > 0;) {
        const struct sc_arrange_step *s = &how->step[i];
        if (s->kind == SC_STEP_ROWS) {
            const uint64_t row = at / s->cols, col = at % s->cols;
            const uint64_t k = row % s->n[2], j = row / s->n[2] % s->n[1],
                           m = row / s->n[2] / s->n[1];
            at =
                (s->first + m * s->stride[0] + j * s->stride[1] + k * s->stride[2]) * s->cols + col;
        } else if (s->kind == SC_STEP_TURN) {
            const uint64_t row = at / s->height, col = at % s->height;
            at = (row / s->cols * s->height + col) * s->cols + row % s->cols;
        }
    }
    return at;
}
