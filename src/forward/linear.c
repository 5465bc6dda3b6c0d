/* SPDX-License-Identifier: Apache-2.0 */
/* linear: products with matrices that are read while they are used.
 *
 * Rows of a matrix are cut into panels. Each thread takes the next panel, expands it to floats and
 * multiplies it with all rows of activations. Which panel a row is in does not change its result.
 * An edited weight is no correction of the product: its row is multiplied again with the edit in
 * it, so a variant has the bits that the edited model would have.
 *
 * With SC_PRECISION_BF16 both factors are rounded to bfloat16 and multiplied by kernel/dots16.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forward/engine.h"

enum {
    PANEL = 1 << 16, /* floats that are expanded at a time: they stay in the second cache */
    MANY_ROWS = 96,  /* of a panel, where rows of activations are packed: a multiple of 6 */
    TILE_ROWS = 32,  /* that the products of bfloat16 take together */
    BRIEF_ROWS = 64, /* of a panel of them: a multiple of that */
    ALIGN = 64       /* bytes, of what vectors are loaded from */
};

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

static int weight_rows(struct sc_state *s, const struct sc_weight *w, uint64_t first, size_t n,
                       float *dst, struct sc_error *e)
{
    struct sc_values *v = NULL;
    float *turn = w->m.transposed ? sc_floats(n, (size_t)w->m.cols) : NULL;
    int code = w->m.transposed && !turn ? sc_fail_memory(e) : 0;

    if (code == 0)
        code = sc_views_get(s, w->m.tensor, &v, e);
    if (code == 0)
        code = read_rows(v, &w->m, first, n, turn, dst, e);
    free(turn);
    return code;
}

int sc_tensor_floats(struct sc_state *s, uint32_t tensor, uint64_t first, uint64_t n, float **out,
                     struct sc_error *e)
{
    struct sc_values *v = NULL;

    *out = NULL;
    if (tensor == SC_NO_TENSOR_HERE)
        return 0;
    *out = sc_floats((size_t)n, 1);
    int code = *out ? sc_views_get(s, tensor, &v, e) : sc_fail_memory(e);
    if (code == 0)
        code = sc_values_read(v, first, n, *out, e);
    if (code < 0) {
        free(*out);
        *out = NULL;
    }
    return code;
}

/* ---------------------------------------------------------------------------------- panels --- */

struct product {
    struct sc_state *s;
    const struct sc_linear *l;
    struct sc_values *view;
    const float *bias;
    const float *packed; /* rows of activations; NULL: they are few */
    size_t panel;        /* rows */
    bool direct;         /* bfloat16 as it lies in the file */
    bool brief;          /* factors are rounded to bfloat16 */
    _Atomic uint64_t next;
    _Atomic int failed;
    int *codes; /* of each worker */
    struct sc_error *errors;
};

_Static_assert((int)SC_DOTS16_SCRATCH <= (int)SC_DOTS_SCRATCH, "room for either");

/* The product of a panel whose factors are bfloat16. */
static int brief_panel(struct product *p, uint64_t row, size_t n, float *scratch,
                       struct sc_error *e)
{
    const struct sc_linear *l = p->l;
    const struct sc_forward_matrix *m = &l->w->m;
    float *weights = scratch + SC_DOTS_SCRATCH;
    const void *codes;

    if (p->direct) {
        TRY(sc_values_codes(p->view, m->first + row * m->cols, n * m->cols, weights, &codes, e));
    } else {
        float *behind = weights + p->panel * m->cols;
        TRY(read_rows(p->view, m, row, n, behind, weights, e));
        sc_dots16_round(weights, n * (size_t)m->cols, (uint16_t *)(void *)behind);
        codes = behind;
    }
    const struct sc_dots16 d = {.w = codes,
                                .packed = p->packed,
                                .y = l->y + row,
                                .scratch = scratch,
                                .w_stride = (size_t)m->cols,
                                .y_stride = l->y_stride,
                                .n_w = n,
                                .n_x = l->n,
                                .n = (size_t)m->cols};
    sc_dots16(&d, p->s->unit);
    return 0;
}

static int exact_panel(struct product *p, uint64_t row, size_t n, float *scratch,
                       struct sc_error *e)
{
    const struct sc_linear *l = p->l;
    const struct sc_forward_matrix *m = &l->w->m;
    float *weights = scratch + SC_DOTS_SCRATCH;
    const struct sc_dots d = {.w = weights,
                              .x = l->x,
                              .y = l->y + row,
                              .packed = p->packed,
                              .scratch = scratch,
                              .w_stride = (size_t)m->cols,
                              .x_stride = l->x_stride,
                              .y_stride = l->y_stride,
                              .n_w = n,
                              .n_x = l->n,
                              .n = (size_t)m->cols};
    const void *codes;

    if (p->direct) {
        TRY(sc_values_codes(p->view, m->first + row * m->cols, n * m->cols, weights, &codes, e));
        sc_dots_bf16(&d, codes, p->s->level);
    } else {
        TRY(read_rows(p->view, m, row, n, weights + p->panel * m->cols, weights, e));
        sc_dots(&d, p->s->level);
    }
    return 0;
}

/* n rows of weights from `row` on, times all rows of activations. scratch: a panel, and what
 * packed rows need. */
static int panel(struct product *p, uint64_t row, size_t n, float *scratch, struct sc_error *e)
{
    const struct sc_linear *l = p->l;

    TRY((p->brief ? brief_panel : exact_panel)(p, row, n, scratch, e));
    for (size_t y = 0; p->bias && y < l->n; y++)
        for (size_t r = 0; r < n; r++)
            l->y[y * l->y_stride + row + r] += p->bias[row + r];
    sc_views_used(p->s, l->w, row, n);
    return 0;
}

static float *aligned(float *p)
{
    return (float *)(void *)(((uintptr_t)p + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
}

static void work(void *ctx, size_t worker)
{
    struct product *p = ctx;
    const struct sc_forward_matrix *m = &p->l->w->m;
    const _Atomic int *cancel = p->s->r->cancel;
    uint64_t room, row;
    float *scratch = NULL;

    if (sc_mul(p->panel * (m->transposed || (p->brief && !p->direct) ? 2 : 1), m->cols, &room))
        scratch = sc_floats(1, (size_t)sc_add_up(room, SC_DOTS_SCRATCH + ALIGN));
    int code = scratch ? 0 : sc_fail_memory(&p->errors[worker]);
    while (code == 0 && !p->failed && (row = atomic_fetch_add(&p->next, p->panel)) < m->rows) {
        if (cancel && atomic_load(cancel))
            code = sc_fail(&p->errors[worker], SCRUPLE_EINTERRUPTED, "interrupted");
        else
            code = panel(p, row, (size_t)SC_MIN(m->rows - row, (uint64_t)p->panel),
                         aligned(scratch), &p->errors[worker]);
    }
    if (code < 0)
        p->failed = 1;
    p->codes[worker] = code;
    free(scratch);
}

/* Rows of a panel: as many as caches like, but every thread has some. */
static size_t rows_of_panel(const struct product *p, unsigned threads)
{
    const struct sc_forward_matrix *m = &p->l->w->m;
    const uint64_t shares = (uint64_t)4 * threads, fair = (m->rows + shares - 1) / shares;
    uint64_t n = SC_MAX(PANEL / m->cols, UINT64_C(4));

    if (p->brief) {
        n = SC_MIN(SC_MAX(n, (uint64_t)TILE_ROWS), (uint64_t)BRIEF_ROWS);
        n = (SC_MIN(n, fair) + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    } else if (p->packed) {
        n = p->direct ? MANY_ROWS : SC_MIN(SC_MAX(2 * n, UINT64_C(24)), (uint64_t)MANY_ROWS);
        n = (SC_MIN(n, fair) + 5) / 6 * 6;
    } else {
        n = SC_MIN(n, SC_MAX(fair, UINT64_C(4)));
    }
    return (size_t)SC_MIN(n, m->rows);
}

static int run_panels(struct product *p, struct sc_error *e)
{
    const unsigned threads = sc_pool_threads(p->s->r->pool);
    int code = 0;

    p->panel = rows_of_panel(p, threads);
    p->codes = sc_calloc(threads, sizeof *p->codes);
    p->errors = sc_calloc(threads, sizeof *p->errors);
    if (p->codes && p->errors)
        sc_pool_for(p->s->r->pool, threads, work, p);
    else
        code = sc_fail_memory(e);
    for (size_t i = 0; code == 0 && i < threads; i++)
        if (p->codes[i] < 0) {
            *e = p->errors[i];
            code = p->codes[i];
        }
    free(p->codes);
    free(p->errors);
    return code;
}

/* ----------------------------------------------------------------------------- many rows of x ---
 */

static void pack_group(void *ctx, size_t group)
{
    const struct product *p = ctx;
    const struct sc_linear *l = p->l;

    if (p->brief)
        sc_dots16_pack(l->x, l->x_stride, l->n, (size_t)l->w->m.cols, group, p->s->packed_at,
                       p->s->unit);
    else
        sc_dots_pack(l->x, l->x_stride, l->n, (size_t)l->w->m.cols, group, p->s->packed_at,
                     p->s->level);
}

/* Activations in the order that many rows are multiplied in. */
static int pack(struct product *p, struct sc_error *e)
{
    struct sc_state *s = p->s;
    const struct sc_linear *l = p->l;
    const size_t n = (size_t)l->w->m.cols, group = p->brief ? SC_DOTS16_GROUP : SC_DOTS_GROUP;
    const size_t need = p->brief ? sc_dots16_packed(l->n, n) : sc_dots_packed(l->n, n, s->level);

    if (need == 0)
        return 0;
    if (need > s->packed_room) {
        free(s->packed);
        s->packed_room = 0;
        s->packed = sc_floats(1, need + ALIGN);
        if (!s->packed)
            return sc_fail_memory(e);
        s->packed_room = need;
        s->packed_at = aligned(s->packed);
    } else if (l->same_x && s->packed_x == l->x && s->packed_n == l->n &&
               s->packed_brief == p->brief) {
        p->packed = s->packed_at;
        return 0;
    }
    p->packed = s->packed_at;
    s->packed_x = l->x;
    s->packed_n = l->n;
    s->packed_brief = p->brief;
    sc_pool_for(s->r->pool, (l->n + group - 1) / group, pack_group, p);
    return 0;
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
    if (at < m->first)
        return false;
    if (m->transposed) {
        *row = (at - m->first) % m->stride;
        *col = (at - m->first) / m->stride;
        return *row < m->rows && *col < m->cols;
    }
    if (at - m->first >= m->rows * m->cols)
        return false;
    *row = (at - m->first) / m->cols;
    *col = (at - m->first) % m->cols;
    return true;
}

static bool is_brief(const struct sc_state *s, const struct sc_linear *l)
{
    return s->f->plan.facts.precision == SC_PRECISION_BF16 && !l->exact;
}

/* Floats that one product takes: a row of weights and, rounded, both factors. */
static float *room_of_edit(const struct sc_state *s, const struct sc_linear *l)
{
    const size_t n = (size_t)l->w->m.cols;

    return sc_floats(1, is_brief(s, l) ? 2 * n + ALIGN + SC_DOTS16_SCRATCH + sc_dots16_packed(1, n)
                                       : n);
}

static float one_product(const struct sc_state *s, const struct sc_linear *l, float *weights,
                         const float *x)
{
    const size_t n = (size_t)l->w->m.cols;
    float y = 0;

    if (!is_brief(s, l))
        return sc_dot(weights, x, n, s->level);
    uint16_t *codes = (uint16_t *)(void *)(weights + n);
    float *scratch = aligned(weights + 2 * n), *packed = scratch + SC_DOTS16_SCRATCH;
    sc_dots16_round(weights, n, codes);
    sc_dots16_pack(x, n, 1, n, 0, packed, s->unit);
    const struct sc_dots16 d = {.w = codes,
                                .packed = packed,
                                .y = &y,
                                .scratch = scratch,
                                .w_stride = n,
                                .y_stride = 1,
                                .n_w = 1,
                                .n_x = 1,
                                .n = n};
    sc_dots16(&d, s->unit);
    return y;
}

/* One row again, with all edits of one variant in it, for the rows of that variant. */
static int edit_row(struct sc_state *s, const struct sc_linear *l, uint32_t variant, uint64_t row,
                    float *weights, struct sc_error *e)
{
    const struct sc_variant *v = &s->r->variants[variant - 1];
    const struct sc_weight *w = l->w;
    uint64_t r, c;
    float *bias = NULL;

    TRY(weight_rows(s, w, row, 1, weights, e));
    for (size_t i = 0; i < v->n_edits; i++)
        if (edit_at(s->f, &w->m, &v->edits[i], &r, &c) && r == row)
            weights[c] = v->edits[i].value;
    TRY(sc_tensor_floats(s, w->bias, w->bias_first + row, 1, &bias, e));
    for (size_t y = 0; y < l->n; y++) {
        if (s->streams[l->of[y]].variant != variant)
            continue;
        float *to = &l->y[y * l->y_stride + row];
        *to = one_product(s, l, weights, l->x + y * l->x_stride);
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
            if (!weights && !(weights = room_of_edit(s, l)))
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
    struct product p = {.s = s, .l = &some, .view = view, .bias = bias};

    some.x += from * l->x_stride;
    some.y += from * l->y_stride;
    some.n = n;
    p.brief = is_brief(s, l);
    p.direct = !l->w->m.transposed && view->code_bytes == 2 &&
               view->codec == sc_codec_find(sc_strz("BF16"));
    TRY(pack(&p, e));
    return run_panels(&p, e);
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
    int code = sc_views_get(s, w->m.tensor, &view, e);
    if (code == 0)
        code = sc_views_begin(s, w, e);
    if (code == 0)
        code = sc_tensor_floats(s, w->bias, w->bias_first, w->m.rows, &bias, e);
    if (code == 0)
        code =
            several ? run_variant(s, l, 0, view, bias, e) : run_rows(s, l, 0, l->n, view, bias, e);
    if (code == 0 && several)
        code = run_substitutes(s, l, bias, e);
    if (code == 0 && s->r->n_variants && l->of)
        code = run_edits(s, l, e);
    if (code == 0)
        sc_views_end(s, w);
    free(bias);
    return code;
}
