/* SPDX-License-Identifier: Apache-2.0 */
/* linear: products with matrices that are read while they are used.
 *
 * Rows of a matrix are cut into strips, one task each; a strip expands a panel of rows at a time to
 * floats and multiplies it with all rows of activations. Which strip a row is in does not change
 * its result. An edited weight is no correction of the product: its row is multiplied again with
 * the edit in it, so a variant has the bits that the edited model would have. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forward/engine.h"

enum { PANEL = 1 << 16 }; /* floats that a task expands at a time: they stay in the second cache */

float *sc_floats(size_t rows, size_t width)
{
    uint64_t n;

    if (!sc_mul(rows, width, &n) || n > SIZE_MAX / sizeof(float) / 2)
        return NULL;
    return sc_alloc((size_t)SC_MAX(n, UINT64_C(1)) * sizeof(float));
}

/* ---------------------------------------------------------------------------------- reading --- */

/* n rows of weights as floats. `turn` has room for n * cols when the matrix is transposed. */
static int read_rows(struct sc_values *v, const struct sc_forward_matrix *m, uint64_t first,
                     size_t n, float *turn, float *dst, struct sc_error *e)
{
    if (!m->transposed)
        return sc_values_read(v, m->first + first * m->cols, n * m->cols, dst, e);
    TRY(sc_values_read_runs(v, m->first + first, m->stride, m->cols, n, turn, e));
    for (size_t c = 0; c < m->cols; c++)
        for (size_t r = 0; r < n; r++)
            dst[r * m->cols + c] = turn[c * n + r];
    return 0;
}

static int weight_rows(const struct sc_forward *f, const struct sc_weight *w, uint64_t first,
                       size_t n, float *dst, struct sc_error *e)
{
    struct sc_values *v = NULL;
    float *turn = w->m.transposed ? sc_floats(n, (size_t)w->m.cols) : NULL;
    int code = w->m.transposed && !turn ? sc_fail_memory(e) : 0;

    if (code == 0)
        code = sc_values_open(f->m, w->m.tensor, &v, e);
    if (code == 0)
        code = read_rows(v, &w->m, first, n, turn, dst, e);
    sc_values_close(v);
    free(turn);
    return code;
}

int sc_tensor_floats(const struct sc_forward *f, uint32_t tensor, uint64_t first, uint64_t n,
                     float **out, struct sc_error *e)
{
    struct sc_values *v = NULL;

    *out = NULL;
    if (tensor == SC_NO_TENSOR_HERE)
        return 0;
    *out = sc_floats((size_t)n, 1);
    int code = *out ? sc_values_open(f->m, tensor, &v, e) : sc_fail_memory(e);
    if (code == 0)
        code = sc_values_read(v, first, n, *out, e);
    sc_values_close(v);
    if (code < 0) {
        free(*out);
        *out = NULL;
    }
    return code;
}

/* ---------------------------------------------------------------------------------- strips --- */

struct strips {
    const struct sc_state *s;
    const struct sc_linear *l;
    struct sc_values *view;
    const float *bias;
    size_t n;     /* strips */
    size_t panel; /* rows */
    bool direct;  /* bfloat16 as it lies in the file */
    int *codes;
    struct sc_error *errors;
};

/* n rows of weights from `row` on, times all rows of activations. */
static int panel(const struct strips *t, uint64_t row, size_t n, float *scratch, struct sc_error *e)
{
    const struct sc_linear *l = t->l;
    const struct sc_forward_matrix *m = &l->w->m;
    const struct sc_dots d = {.w = scratch,
                              .x = l->x,
                              .y = l->y + row,
                              .w_stride = (size_t)m->cols,
                              .x_stride = l->x_stride,
                              .y_stride = l->y_stride,
                              .n_w = n,
                              .n_x = l->n,
                              .n = (size_t)m->cols};
    const void *codes;

    if (t->direct) {
        TRY(sc_values_codes(t->view, m->first + row * m->cols, n * m->cols, scratch, &codes, e));
        sc_dots_bf16(&d, codes, t->s->level);
        return 0;
    }
    TRY(read_rows(t->view, m, row, n, scratch + t->panel * m->cols, scratch, e));
    sc_dots(&d, t->s->level);
    return 0;
}

static void strip(void *ctx, size_t i)
{
    const struct strips *t = ctx;
    const struct sc_linear *l = t->l;
    const struct sc_forward_matrix *m = &l->w->m;
    const uint64_t from = m->rows * i / t->n, to = m->rows * (i + 1) / t->n;
    float *scratch = sc_floats(t->panel * (m->transposed ? 2 : 1), (size_t)m->cols);

    if (!scratch)
        t->codes[i] = sc_fail_memory(&t->errors[i]);
    for (uint64_t row = from; row < to && t->codes[i] == 0; row += t->panel) {
        const size_t n = (size_t)SC_MIN(to - row, (uint64_t)t->panel);
        if (t->s->r->cancel && atomic_load(t->s->r->cancel))
            t->codes[i] = sc_fail(&t->errors[i], SCRUPLE_EINTERRUPTED, "interrupted");
        else
            t->codes[i] = panel(t, row, n, scratch, &t->errors[i]);
        for (size_t y = 0; t->bias && t->codes[i] == 0 && y < l->n; y++)
            for (size_t r = 0; r < n; r++)
                l->y[y * l->y_stride + row + r] += t->bias[row + r];
    }
    free(scratch);
}

static int run_strips(struct strips *t, struct sc_error *e)
{
    const unsigned threads = sc_pool_threads(t->s->r->pool);
    const struct sc_forward_matrix *m = &t->l->w->m;
    int code = 0;

    t->panel = (size_t)SC_MAX(PANEL / m->cols, UINT64_C(4));
    t->panel = (size_t)SC_MIN((uint64_t)t->panel, m->rows);
    t->n = (size_t)SC_MIN((m->rows + t->panel - 1) / t->panel, (uint64_t)threads * 8);
    t->codes = sc_calloc(t->n, sizeof *t->codes);
    t->errors = sc_calloc(t->n, sizeof *t->errors);
    if (t->codes && t->errors)
        sc_pool_for(t->s->r->pool, t->n, strip, t);
    else
        code = sc_fail_memory(e);
    for (size_t i = 0; code == 0 && i < t->n; i++)
        if (t->codes[i] < 0) {
            *e = t->errors[i];
            code = t->codes[i];
        }
    free(t->codes);
    free(t->errors);
    return code;
}

/* ----------------------------------------------------------------------------------- edits --- */

/* Where an edit of a tensor falls in a matrix. */
static bool edit_at(const struct sc_forward *f, const struct sc_forward_matrix *m,
                    const struct sc_edit *edit, uint64_t *row, uint64_t *col)
{
    const struct sc_tensor *t = &f->m->tensors[edit->tensor];
    const uint64_t width = t->rank ? t->parameters / t->shape[0] : 1;
    const uint64_t at = edit->row * width + edit->col;

    if (edit->tensor != m->tensor)
        return false;
    if (m->transposed) {
        *row = at % m->stride - m->first;
        *col = at / m->stride;
        return at % m->stride >= m->first && *row < m->rows;
    }
    if (at < m->first || at - m->first >= m->rows * m->cols)
        return false;
    *row = (at - m->first) / m->cols;
    *col = (at - m->first) % m->cols;
    return true;
}

/* One row again, with all edits of one variant in it, for the rows of that variant. */
static int edit_row(struct sc_state *s, const struct sc_linear *l, uint32_t variant, uint64_t row,
                    float *weights, struct sc_error *e)
{
    const struct sc_variant *v = &s->r->variants[variant - 1];
    const struct sc_weight *w = l->w;
    uint64_t r, c;
    float *bias = NULL;

    TRY(weight_rows(s->f, w, row, 1, weights, e));
    for (size_t i = 0; i < v->n_edits; i++)
        if (edit_at(s->f, &w->m, &v->edits[i], &r, &c) && r == row)
            weights[c] = v->edits[i].value;
    TRY(sc_tensor_floats(s->f, w->bias, w->bias_first + row, 1, &bias, e));
    for (size_t y = 0; y < l->n; y++) {
        if (s->streams[l->of[y]].variant != variant)
            continue;
        float *to = &l->y[y * l->y_stride + row];
        *to = sc_dot(weights, l->x + y * l->x_stride, (size_t)w->m.cols, s->level);
        if (bias)
            *to += *bias;
    }
    free(bias);
    return 0;
}

static int run_edits(struct sc_state *s, const struct sc_linear *l, struct sc_error *e)
{
    float *weights = NULL;
    int code = 0;
    uint64_t row, other, c;

    for (uint32_t v = 1; v <= s->r->n_variants && code == 0; v++) {
        const struct sc_variant *variant = &s->r->variants[v - 1];
        for (size_t i = 0; i < variant->n_edits && code == 0; i++) {
            if (!edit_at(s->f, &l->w->m, &variant->edits[i], &row, &c))
                continue;
            bool done = false; /* an earlier edit of the same row has applied this one, too */
            for (size_t j = 0; j < i && !done; j++)
                done = edit_at(s->f, &l->w->m, &variant->edits[j], &other, &c) && other == row;
            if (done)
                continue;
            if (!weights && !(weights = sc_floats((size_t)l->w->m.cols, 1)))
                code = sc_fail_memory(e);
            else
                code = edit_row(s, l, v, row, weights, e);
        }
    }
    free(weights);
    return code;
}

/* ------------------------------------------------------------------------------------ run --- */

/* Rows from..from+n of the batch, with a view of the matrix. */
static int run_rows(struct sc_state *s, const struct sc_linear *l, size_t from, size_t n,
                    struct sc_values *view, const float *bias, struct sc_error *e)
{
    struct sc_linear some = *l;
    struct strips t = {.s = s, .l = &some, .view = view, .bias = bias};

    some.x += from * l->x_stride;
    some.y += from * l->y_stride;
    some.n = n;
    t.direct = !l->w->m.transposed && view->code_bytes == 2 &&
               view->codec == sc_codec_find(sc_strz("BF16"));
    return run_strips(&t, e);
}

static const struct sc_substitutes *substitutes_of(const struct sc_state *s, uint32_t variant,
                                                   uint32_t tensor)
{
    const struct sc_substitutes *other = variant ? s->r->variants[variant - 1].substitutes : NULL;

    return other && other->has(other->ctx, tensor) ? other : NULL;
}

/* The runs of rows whose variants multiply with the stored matrix (variant 0), or with that of one
 * variant. */
static int run_variant(struct sc_state *s, const struct sc_linear *l, uint32_t variant,
                       struct sc_values *view, const float *bias, struct sc_error *e)
{
    const uint32_t tensor = l->w->m.tensor;

    for (size_t from = 0, to; from < l->n; from = to) {
        uint32_t of = s->streams[l->of[from]].variant;
        for (to = from + 1; to < l->n && s->streams[l->of[to]].variant == of; to++)
            continue;
        of = substitutes_of(s, of, tensor) ? of : 0;
        while (of == 0 && to < l->n && !substitutes_of(s, s->streams[l->of[to]].variant, tensor))
            to++;
        if (of == variant)
            TRY(run_rows(s, l, from, to - from, view, bias, e));
    }
    return 0;
}

/* Each variant that has a view of its own, one after the other. */
static int run_substitutes(struct sc_state *s, const struct sc_linear *l, const float *bias,
                           struct sc_error *e)
{
    const struct sc_forward_matrix *m = &l->w->m;
    const uint64_t n = m->transposed ? (m->cols - 1) * m->stride + m->rows : m->rows * m->cols;
    struct sc_values *view;

    for (uint32_t v = 1; v <= s->r->n_variants; v++) {
        const struct sc_substitutes *other = substitutes_of(s, v, m->tensor);
        if (!other)
            continue;
        TRY(other->view(other->ctx, m->tensor, m->first, n, &view, e));
        TRY(run_variant(s, l, v, view, bias, e));
    }
    return 0;
}

static bool any_substitute(const struct sc_state *s, const struct sc_linear *l)
{
    bool any = false;

    for (uint32_t v = 1; l->of && v <= s->r->n_variants && !any; v++)
        any = substitutes_of(s, v, l->w->m.tensor) != NULL;
    return any;
}

int sc_linear_run(struct sc_state *s, const struct sc_linear *l, struct sc_error *e)
{
    const struct sc_weight *w = l->w;
    struct sc_values *view = NULL;
    float *bias = NULL;

    if (l->n == 0)
        return 0;
    const bool several = any_substitute(s, l);
    int code = sc_values_open(s->f->m, w->m.tensor, &view, e);
    if (code == 0)
        code = sc_tensor_floats(s->f, w->bias, w->bias_first, w->m.rows, &bias, e);
    if (code == 0)
        code =
            several ? run_variant(s, l, 0, view, bias, e) : run_rows(s, l, 0, l->n, view, bias, e);
    if (code == 0 && several)
        code = run_substitutes(s, l, bias, e);
    if (code == 0 && s->r->n_variants && l->of)
        code = run_edits(s, l, e);
    free(bias);
    sc_values_close(view);
    return code;
}
