/* SPDX-License-Identifier: Apache-2.0 */
/* derived: views whose values are computed from those of other views while they are read.
 *
 *   difference   b - a
 *   sum          base + update
 *   low rank     scale * up * down, the update of an adapter
 *   zeros        what a value is compared with when there is nothing else
 *   computed     whatever somebody else computes, as floats
 *
 * Owns: their arithmetic, in double, and its rounding. Does not own: bytes and codes (values.c).
 *
 * Each kind computes doubles; a few thousand of them on the stack are what is rounded to floats. */
#include "stream/values.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 2048 }; /* values: what a stack has room for, twice */

struct derived {
    struct sc_values base;
    struct sc_values *a, *b;
    /* Values first..first+n; n is at most PIECE. */
    int (*compute)(struct derived *v, uint64_t first, uint64_t n, double *dst, struct sc_error *e);
    struct sc_buf identity; /* of what was read when it was opened; empty: the views tell theirs */
    float *up, *down;
    uint64_t rank, width; /* width: columns of down; those of the view are whatever is asked for */
    double scale;
    bool of_floats;   /* a difference whose sides fit floats */
    const char *name; /* of the kind */
};

/* ---------------------------------------------------------------------------------- common --- */

static void close_derived(struct sc_values *base)
{
    struct derived *v = (struct derived *)base;
    sc_values_close(v->a);
    sc_values_close(v->b);
    sc_buf_clear(&v->identity);
    free(v->up);
    free(v->down);
    free(v);
}

/* b - a of floats, rounded once: the bits that a difference in double, rounded to float, has, since
 * 53 digits are more than twice 24 and two (Figueroa 1995). */
static int subtract_floats(struct derived *v, uint64_t first, uint64_t n, float *dst,
                           struct sc_error *e)
{
    /* What stands in another order is read at once: pieces of it would lie all over the file. */
    const uint64_t piece = v->a->ops ? n : PIECE;
    float some[PIECE], *a = some;
    int code = sc_values_read(v->b, first, n, dst, e);
    if (code == 0 && piece > PIECE && !(a = sc_alloc((size_t)piece * sizeof *a)))
        code = sc_fail_memory(e);
    for (uint64_t at = 0; at < n && code == 0; at += piece) {
        const uint64_t take = SC_MIN(n - at, piece);
        code = sc_values_read(v->a, first + at, take, a, e);
        for (uint64_t i = 0; i < take && code == 0; i++)
            dst[at + i] -= a[i];
    }
    if (a != some)
        free(a);
    return code;
}

static int read_derived(struct sc_values *base, uint64_t first, uint64_t n, float *floats,
                        double *doubles, struct sc_error *e)
{
    struct derived *v = (struct derived *)base;
    double piece[PIECE];
    if (v->of_floats && !doubles)
        return subtract_floats(v, first, n, floats, e);
    for (uint64_t at = 0; at < n; at += PIECE) {
        const uint64_t take = SC_MIN(n - at, (uint64_t)PIECE);
        double *dst = piece;
        if (doubles)
            dst = doubles + at;
        TRY(v->compute(v, first + at, take, dst, e));
        for (uint64_t i = 0; floats && i < take; i++)
            floats[at + i] = (float)dst[i];
    }
    return 0;
}

static void prefetch_derived(struct sc_values *base, uint64_t first, uint64_t n)
{
    struct derived *v = (struct derived *)base;
    if (v->a)
        sc_values_prefetch(v->a, first, n);
    if (v->b)
        sc_values_prefetch(v->b, first, n);
}

static int prepare_derived(struct sc_values *base, const _Atomic int *cancel, struct sc_error *e)
{
    struct derived *v = (struct derived *)base;
    if (v->a)
        TRY(sc_values_prepare(v->a, cancel, e));
    return v->b ? sc_values_prepare(v->b, cancel, e) : 0;
}

static int check_derived(struct sc_values *base, bool all, struct sc_error *e)
{
    struct derived *v = (struct derived *)base;
    if (v->a)
        TRY(sc_values_check(v->a, all, e));
    return v->b ? sc_values_check(v->b, all, e) : 0;
}

static bool identify_derived(struct sc_values *base, struct sc_buf *out)
{
    struct derived *v = (struct derived *)base;
    sc_buf_printf(out, "%s\n", v->name);
    if (v->rank) {
        sc_buf_put(out, v->identity.p, v->identity.n);
        return v->identity.n && !v->identity.failed && !out->failed;
    }
    return (!v->a || sc_values_identity(v->a, out)) && (!v->b || sc_values_identity(v->b, out)) &&
           !out->failed;
}

static bool derived_is_near(struct sc_values *base)
{
    const struct derived *v = (const struct derived *)base;
    return (!v->a || sc_values_are_near(v->a)) && (!v->b || sc_values_are_near(v->b));
}

/* Both sides are asked, so that both are on their way. */
static bool derived_is_here(struct sc_values *base, uint64_t first, uint64_t stride, size_t n_runs,
                            uint64_t n, bool ask)
{
    const struct derived *v = (const struct derived *)base;
    const bool a = !v->a || sc_values_are_here(v->a, first, stride, n_runs, n, ask);
    return (!v->b || sc_values_are_here(v->b, first, stride, n_runs, n, ask)) && a;
}

static const struct sc_values_ops ops = {
    .close = close_derived,
    .read = read_derived,
    .prefetch = prefetch_derived,
    .prepare = prepare_derived,
    .check = check_derived,
    .identity = identify_derived,
    .near = derived_is_near,
    .here = derived_is_here,
};

static struct derived *new_derived(const struct sc_values *like, const char *name)
{
    struct derived *v = sc_calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->base = *like;
    v->base.ops = &ops;
    v->base.code_bytes = 0;
    v->name = name;
    return v;
}

/* ----------------------------------------------------------------------- sums, differences --- */

static int compute_difference(struct derived *v, uint64_t first, uint64_t n, double *dst,
                              struct sc_error *e)
{
    double a[PIECE];
    TRY(sc_values_read64(v->b, first, n, dst, e));
    TRY(sc_values_read64(v->a, first, n, a, e));
    for (uint64_t i = 0; i < n; i++)
        dst[i] -= a[i];
    return 0;
}

static int compute_sum(struct derived *v, uint64_t first, uint64_t n, double *dst,
                       struct sc_error *e)
{
    double b[PIECE];
    TRY(sc_values_read64(v->a, first, n, dst, e));
    TRY(sc_values_read64(v->b, first, n, b, e));
    for (uint64_t i = 0; i < n; i++)
        dst[i] += b[i];
    return 0;
}

static int open_two(struct sc_values *a, struct sc_values *b, const char *name,
                    struct derived **out, struct sc_error *e)
{
    struct sc_quoted q;
    int code = 0;
    *out = NULL;
    if (a->rows != b->rows || a->cols != b->cols)
        code = sc_fail(e, SCRUPLE_EFORMAT, "tensor \"%s\" has another shape on the other side",
                       sc_quote(&q, sc_str(a->tensor->name, a->tensor->name_len)));
    else if (!(*out = new_derived(a, name)))
        code = sc_fail_memory(e);
    if (code < 0 || !*out) {
        sc_values_close(a);
        sc_values_close(b);
        return code;
    }
    (*out)->a = a;
    (*out)->b = b;
    return 0;
}

int sc_values_open_difference(struct sc_values *a, struct sc_values *b, struct sc_values **out,
                              struct sc_error *e)
{
    struct derived *v;
    *out = NULL;
    TRY(open_two(a, b, "difference", &v, e));
    v->base.is_double = a->is_double || b->is_double;
    v->of_floats = !v->base.is_double;
    v->compute = compute_difference;
    *out = &v->base;
    return 0;
}

int sc_values_open_sum(struct sc_values *base, struct sc_values *update, struct sc_values **out,
                       struct sc_error *e)
{
    struct derived *v;
    *out = NULL;
    TRY(open_two(base, update, "sum", &v, e));
    v->base.is_double = true;
    v->compute = compute_sum;
    *out = &v->base;
    return 0;
}

/* ----------------------------------------------------------------------------------- zeros --- */

static int compute_zeros(struct derived *v, uint64_t first, uint64_t n, double *dst,
                         struct sc_error *e)
{
    (void)v, (void)first, (void)e;
    memset(dst, 0, (size_t)n * sizeof *dst);
    return 0;
}

int sc_values_open_zeros(const struct sc_values *like, struct sc_values **out, struct sc_error *e)
{
    struct derived *v = new_derived(like, "zeros");
    *out = NULL;
    if (!v)
        return sc_fail_memory(e);
    v->base.is_double = false;
    v->compute = compute_zeros;
    *out = &v->base;
    return 0;
}

/* -------------------------------------------------------------------------------- low rank --- */

enum {
    COLUMNS = 256
}; /* sums that stay in the first cache; a constant, so that they are vectors */

/* Columns col..col+n of one row; n is at most COLUMNS. */
static void multiply(const struct derived *v, uint64_t row, uint64_t col, size_t n, double *dst)
{
    double sum[COLUMNS] = {0};
    const float *up = v->up + row * v->rank, *down = v->down + col;
    for (uint64_t k = 0; k < v->rank; k++, down += v->width) {
        const double factor = (double)up[k];
        if (n == COLUMNS)
            for (size_t i = 0; i < COLUMNS; i++)
                sum[i] += factor * (double)down[i];
        else
            for (size_t i = 0; i < n; i++)
                sum[i] += factor * (double)down[i];
    }
    for (size_t i = 0; i < n; i++)
        dst[i] = v->scale * sum[i];
}

static int compute_low_rank(struct derived *v, uint64_t first, uint64_t n, double *dst,
                            struct sc_error *e)
{
    (void)e;
    while (n > 0) {
        const uint64_t row = first / v->width, col = first % v->width;
        const uint64_t take = SC_MIN(SC_MIN(n, v->width - col), (uint64_t)COLUMNS);
        multiply(v, row, col, (size_t)take, dst);
        first += take;
        dst += take;
        n -= take;
    }
    return 0;
}

static void transpose(const float *src, uint64_t rows, uint64_t cols, float *dst)
{
    for (uint64_t i = 0; i < rows; i++)
        for (uint64_t j = 0; j < cols; j++)
            dst[j * rows + i] = src[i * cols + j];
}

/* One factor, rows x cols as stored, or transposed; its identity is appended. */
static int load_factor(const struct sc_low_rank *l, uint32_t tensor, uint64_t rows, uint64_t cols,
                       float **out, struct sc_buf *identity, struct sc_error *e)
{
    struct sc_values *v = NULL;
    struct sc_quoted q;
    uint64_t count, bytes;
    const struct sc_tensor *t = &l->model->tensors[tensor];
    *out = NULL;
    if (!sc_mul(rows, cols, &count) || !sc_mul(count, 2 * sizeof(float), &bytes) ||
        bytes > l->memory)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "tensor \"%s\" is too large for a factor of a product: at most %llu bytes "
                       "are taken",
                       sc_quote(&q, sc_str(t->name, t->name_len)), (unsigned long long)l->memory);
    TRY(sc_values_open(l->model, tensor, &v, e));
    int code = 0;
    float *raw = NULL;
    if (v->count != count)
        code = sc_fail(e, SCRUPLE_EFORMAT, "tensor \"%s\" has %llu values, not %llu x %llu",
                       sc_quote(&q, sc_str(t->name, t->name_len)), (unsigned long long)v->count,
                       (unsigned long long)rows, (unsigned long long)cols);
    if (code == 0 && !(raw = sc_alloc((size_t)count * sizeof *raw)))
        code = sc_fail_memory(e);
    if (code == 0)
        code = sc_values_read(v, 0, count, raw, e);
    if (code == 0)
        code = sc_values_check(v, true, e);
    if (code == 0 && l->transposed) {
        float *turned = sc_alloc((size_t)count * sizeof *turned);
        if (turned)
            transpose(raw, rows, cols, turned);
        else
            code = sc_fail_memory(e);
        free(raw);
        raw = turned;
    }
    if (!sc_values_identity(v, identity))
        identity->failed = true;
    sc_values_close(v);
    *out = raw;
    return code;
}

int sc_values_open_low_rank(const struct sc_low_rank *l, struct sc_values **out, struct sc_error *e)
{
    const struct sc_values like = {.model = l->model, .tensor = l->tensor};
    struct derived *v = new_derived(&like, "low rank");
    /* Of the product as it is stored. */
    const uint64_t rows = l->transposed ? l->cols : l->rows;
    const uint64_t cols = l->transposed ? l->rows : l->cols;
    float *up = NULL, *down = NULL;
    struct sc_quoted q;
    *out = NULL;
    if (!v)
        return sc_fail_memory(e);
    v->compute = compute_low_rank;
    v->rank = l->rank;
    v->scale = l->scale;
    v->base.rows = l->rows;
    v->base.cols = v->width = l->cols;
    v->base.codec = (sc_codec_id)l->model->catalog->entries[l->model->tensors[l->up].main].dtype;
    int code = 0;
    if (l->rank == 0 || !sc_mul(l->rows, l->cols, &v->base.count))
        code = sc_fail(e, SCRUPLE_EFORMAT, "the update of \"%s\" has no shape",
                       sc_quote(&q, sc_str(l->tensor->name, l->tensor->name_len)));
    sc_buf_printf(&v->identity, "%a %d\n", l->scale, l->transposed);
    if (code == 0)
        code = load_factor(l, l->up, rows, l->rank, &up, &v->identity, e);
    if (code == 0)
        code = load_factor(l, l->down, l->rank, cols, &down, &v->identity, e);
    v->up = l->transposed ? down : up;
    v->down = l->transposed ? up : down;
    if (code < 0)
        close_derived(&v->base);
    else
        *out = &v->base;
    return code;
}

void sc_values_factors(const struct sc_values *base, const float **up, const float **down)
{
    const struct derived *v = (const struct derived *)base;
    *up = v->up;
    *down = v->down;
}

/* -------------------------------------------------------------------------------- computed --- */

struct computed {
    struct sc_values base;
    struct sc_values *like;
    struct sc_computed how;
};

static void close_computed(struct sc_values *base)
{
    struct computed *v = (struct computed *)base;
    v->how.close(v->how.ctx);
    free(v);
}

static int read_computed(struct sc_values *base, uint64_t first, uint64_t n, float *floats,
                         double *doubles, struct sc_error *e)
{
    struct computed *v = (struct computed *)base;
    float piece[PIECE];
    if (floats)
        TRY(v->how.read(v->how.ctx, first, n, floats, e));
    for (uint64_t at = 0; doubles && at < n; at += PIECE) {
        const uint64_t take = SC_MIN(n - at, (uint64_t)PIECE);
        const float *src = floats ? floats + at : piece;
        if (!floats)
            TRY(v->how.read(v->how.ctx, first + at, take, piece, e));
        for (uint64_t i = 0; i < take; i++)
            doubles[at + i] = (double)src[i];
    }
    return 0;
}

static void prefetch_computed(struct sc_values *base, uint64_t first, uint64_t n)
{
    sc_values_prefetch(((struct computed *)base)->like, first, n);
}

static int prepare_computed(struct sc_values *base, const _Atomic int *cancel, struct sc_error *e)
{
    return sc_values_prepare(((struct computed *)base)->like, cancel, e);
}

static int check_computed(struct sc_values *base, bool all, struct sc_error *e)
{
    return sc_values_check(((struct computed *)base)->like, all, e);
}

static const struct sc_values_ops computed_ops = {
    .close = close_computed,
    .read = read_computed,
    .prefetch = prefetch_computed,
    .prepare = prepare_computed,
    .check = check_computed,
};

int sc_values_open_computed(struct sc_values *like, const struct sc_computed *how,
                            struct sc_values **out, struct sc_error *e)
{
    struct computed *v = sc_calloc(1, sizeof *v);
    *out = NULL;
    if (!v)
        return sc_fail_memory(e);
    v->base = *like;
    v->base.ops = &computed_ops;
    v->base.code_bytes = 0;
    v->base.is_double = false;
    v->like = like;
    v->how = *how;
    *out = &v->base;
    return 0;
}
