/* SPDX-License-Identifier: Apache-2.0 */
/* change: the pass that compares two tensors of equal shape, value by value. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/change_sums.h"
#include "analyze/diff.h"

#define ABOUT 1.5 /* times what our own rounding changes */

/* What is known of a tensor, or of one segment of it. */
struct change {
    struct sc_change_sums sums;
    uint64_t values, nonfinite_a, nonfinite_b, changed_bits, max_at;
    double max_abs;
    bool coded; /* the codes of both were there */
    bool other_bits;
    struct sc_trial_sums cast[SC_MAX_TRIALS];
    struct sc_change_ulps ulp;
    float *work; /* a chunk of rounded values; NULL: nothing is tried */
};
/* Of a tensor: with what all its segments share. */
struct total {
    struct change sum;
    struct sc_trials trials;
    struct sc_change_half half; /* decode NULL: values are compared */
    uint32_t ulp_inf;           /* code of infinity, or beyond; 0: codes are not counted */
    uint8_t ulp_bytes;          /* of a code */
};

static const struct sc_change_setup types_only = {.items = NULL};

static const struct sc_change_setup *setup_of(const void *ctx)
{
    return ctx ? ctx : &types_only;
}

static void trials_of(const void *ctx, const struct sc_item *item, const struct sc_values *v,
                      struct sc_trials *out)
{
    out->n = 0;
    if (item->tensor_b != SC_NO_NODE)
        sc_trials_of(&setup_of(ctx)->casts, v->tensor, &item->model_b->tensors[item->tensor_b],
                     v->cols, out);
}

/* Two tensors of one 16-bit float type, both as they are stored, need not be decoded. */
static struct sc_change_half half_of(const void *ctx, const struct sc_item *item,
                                     const struct sc_values *v)
{
    static const struct {
        const char *dtype;
        uint16_t inf;
    } types[] = {{"BF16", 0x7f80}, {"F16", 0x7c00}};
    const struct sc_change_setup *s = setup_of(ctx);
    struct sc_trials trials;

    if (!s->items || !s->stored[item - s->items] || v->ops || v->code_bytes != 2)
        return (struct sc_change_half){.inf = 0};
    const struct sc_tensor *a = v->tensor, *b = &item->model_b->tensors[item->tensor_b];
    trials_of(ctx, item, v, &trials);
    for (size_t i = 0; i < SC_COUNT(types) && !trials.n; i++)
        if (strcmp(a->dtype, types[i].dtype) == 0 && strcmp(b->dtype, types[i].dtype) == 0 &&
            (b->layout == SC_LAYOUT_PLAIN || b->layout == SC_LAYOUT_GGML))
            return (struct sc_change_half){sc_decoder(v->codec, sc_cpu_level()), types[i].inf};
    return (struct sc_change_half){.inf = 0};
}

/* Floats whose codes are in the order of their magnitudes. */
static const struct ulp_type {
    const char *dtype;
    uint32_t inf;
    uint8_t bytes;
} ulp_types[] = {{"BF16", 0x7f80, 2},
                 {"F16", 0x7c00, 2},
                 {"F32", 0x7f800000, 4},
                 {"F8_E4M3", 0x7f, 1},
                 {"F8_E5M2", 0x7c, 1}};

static const struct ulp_type *ulp_type_of(const struct sc_tensor *a, const struct sc_tensor *b,
                                          uint8_t bytes)
{
    for (size_t i = 0; i < SC_COUNT(ulp_types); i++)
        if (strcmp(a->dtype, ulp_types[i].dtype) == 0 &&
            strcmp(b->dtype, ulp_types[i].dtype) == 0 && bytes == ulp_types[i].bytes)
            return &ulp_types[i];
    return NULL;
}

static void choose_ulp(const void *ctx, const struct sc_item *item, const struct sc_values *v,
                       struct total *t)
{
    if (!setup_of(ctx)->ulp || item->tensor_b == SC_NO_NODE)
        return;
    const struct ulp_type *type =
        ulp_type_of(v->tensor, &item->model_b->tensors[item->tensor_b], v->code_bytes);
    if (type) {
        t->ulp_inf = type->inf;
        t->ulp_bytes = type->bytes;
    }
}

static unsigned change_wants(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    if (item->tensor_b == SC_NO_NODE)
        return 0;
    return half_of(ctx, item, v).decode ? SC_WANT_CODES : SC_WANT_VALUES | SC_WANT_CODES;
}

static int change_begin(void *ctx, const struct sc_item *item, const struct sc_values *v,
                        void **total, struct sc_error *e)
{
    struct total *t = sc_calloc(1, sizeof *t);

    if (!t)
        return sc_fail_memory(e);
    t->sum.max_at = UINT64_MAX;
    trials_of(ctx, item, v, &t->trials);
    t->half = half_of(ctx, item, v);
    choose_ulp(ctx, item, v, t);
    *total = t;
    return 0;
}

static int change_part(void *ctx, void *total, unsigned visit, void *reuse, void **part,
                       struct sc_error *e)
{
    const struct total *t = total;
    struct change *c = reuse ? reuse : sc_calloc(1, sizeof *c);

    (void)ctx, (void)visit;
    *part = c;
    if (!c)
        return sc_fail_memory(e);
    *c = (struct change){.max_at = UINT64_MAX, .work = c->work};
    if (t->trials.n && !c->work && !(c->work = sc_alloc(SC_CHUNK_VALUES * sizeof *c->work))) {
        free(c);
        *part = NULL;
        return sc_fail_memory(e);
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- chunks --- */
static void add_sums(struct sc_change_sums *to, const struct sc_change_sums *s)
{
    const bool first = to->compared == 0;

    if (s->compared) {
        to->min_d = first || s->min_d < to->min_d ? s->min_d : to->min_d;
        to->max_d = first || s->max_d > to->max_d ? s->max_d : to->max_d;
    }
    to->a += s->a;
    to->b += s->b;
    to->aa += s->aa;
    to->bb += s->bb;
    to->d += s->d;
    to->dd += s->dd;
    to->abs_d += s->abs_d;
    to->max_a = SC_MAX(to->max_a, s->max_a);
    to->max_b = SC_MAX(to->max_b, s->max_b);
    to->compared += s->compared;
    to->changed += s->changed;
    to->significant += s->significant;
    to->flips += s->flips;
}

/* The chunk has a difference above all before it: where it stands first. */
static void find_largest(struct change *p, const struct total *t, const struct sc_chunk *c,
                         size_t n, double magnitude, uint64_t at)
{
    size_t i = 0;

    p->max_abs = magnitude;
    if (t->half.decode)
        i = sc_change_find16(&t->half, c->codes, c->codes_b, n, sc_cpu_level(), magnitude);
    else if (c->values64 && c->values64_b)
        while (i < n && fabs(c->values64_b[i] - c->values64[i]) != magnitude)
            i++;
    else
        i = sc_change_find(c->values, c->values_b, n, sc_cpu_level(), magnitude);
    p->max_at = at + i;
}

/* What a float cannot hold on one of the sides is compared as double. */
static void sums_of(const struct total *t, const struct sc_chunk *c, size_t n,
                    struct sc_change_sums *s)
{
    if (t->half.decode)
        sc_change_sums16(&t->half, c->codes, c->codes_b, n, sc_cpu_level(), s);
    else if (c->values64 && c->values64_b)
        sc_change_sums64(c->values64, c->values64_b, n, s);
    else
        sc_change_sums(c->values, c->values_b, n, sc_cpu_level(), s);
}

static void try_casts(const struct total *t, struct change *p, const struct sc_chunk *c, size_t n)
{
    for (size_t i = 0; i < t->trials.n; i++)
        sc_trial_run(&t->trials.t[i], c->values, c->values_b, n, p->work, &p->cast[i]);
}

static int64_t place_of(const uint8_t *code, uint8_t bytes, uint32_t inf, bool *finite)
{
    uint32_t u = 0;

    for (uint8_t i = 0; i < bytes; i++)
        u |= (uint32_t)code[i] << 8 * i;
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): types have a byte */
    const uint32_t sign = UINT32_C(1) << (8 * bytes - 1), size = u & (sign - 1);
    *finite = *finite && size < inf;
    return u & sign ? -(int64_t)size : (int64_t)size;
}

uint64_t sc_ulp_between(const struct sc_tensor *a, const struct sc_tensor *b, const uint8_t *raw_a,
                        const uint8_t *raw_b, unsigned bytes)
{
    const struct ulp_type *type = ulp_type_of(a, b, (uint8_t)bytes);
    bool finite = true;

    if (!type)
        return UINT64_MAX;
    const int64_t x = place_of(raw_a, type->bytes, type->inf, &finite);
    const int64_t y = place_of(raw_b, type->bytes, type->inf, &finite);
    return !finite ? UINT64_MAX : (uint64_t)(x > y ? x - y : y - x);
}

static bool bits_differ(const struct sc_chunk *c, size_t n)
{
    if (c->values64 && c->values64_b)
        return memcmp(c->values64, c->values64_b, n * sizeof *c->values64) != 0;
    return memcmp(c->values, c->values_b, n * sizeof *c->values) != 0;
}

static void change_chunk(void *ctx, void *total, void *part, const struct sc_chunk *c)
{
    const struct total *t = total;
    struct change *p = part;
    struct sc_change_sums s;
    const size_t n = (size_t)(c->n_rows * c->n_cols);

    (void)ctx;
    sums_of(t, c, n, &s);
    add_sums(&p->sums, &s);
    p->values += n;
    p->nonfinite_a += s.nonfinite_a;
    p->nonfinite_b += s.nonfinite_b;
    const double largest = SC_MAX(s.max_d, -s.min_d);
    if (largest > p->max_abs)
        find_largest(p, t, c, n, largest, c->row * c->view->cols + c->col);
    p->coded = c->codes && c->codes_b && c->view->codec == c->view_b->codec;
    if (t->half.decode)
        p->changed_bits += s.bits;
    else if (p->coded)
        p->changed_bits +=
            sc_change_bits(c->codes, c->codes_b, n * c->view->code_bytes, sc_cpu_level());
    else
        p->other_bits = p->other_bits || s.changed || bits_differ(c, n);
    if (t->ulp_inf && p->coded)
        sc_change_ulps(c->codes, c->codes_b, n, t->ulp_bytes, t->ulp_inf, sc_cpu_level(), &p->ulp);
    try_casts(t, p, c, n);
}

static void change_merge(void *ctx, void *total, void *part)
{
    struct total *whole = total;
    struct change *t = &whole->sum;
    const struct change *p = part;

    (void)ctx;
    for (size_t i = 0; i < whole->trials.n; i++) {
        t->cast[i].unexplained += p->cast[i].unexplained;
        t->cast[i].squares += p->cast[i].squares;
    }
    for (size_t i = 0; i < SC_ULP_BINS; i++)
        t->ulp.bin[i] += p->ulp.bin[i];
    t->ulp.most = SC_MAX(t->ulp.most, p->ulp.most);
    t->other_bits = t->other_bits || p->other_bits;
    add_sums(&t->sums, &p->sums);
    t->values += p->values;
    t->nonfinite_a += p->nonfinite_a;
    t->nonfinite_b += p->nonfinite_b;
    t->changed_bits += p->changed_bits;
    t->coded = p->coded;
    if (p->max_abs > t->max_abs) {
        t->max_abs = p->max_abs;
        t->max_at = p->max_at;
    }
}

static void change_part_free(void *ctx, void *part)
{
    struct change *c = part;

    (void)ctx;
    if (c)
        free(c->work);
    free(c);
}

/* --------------------------------------------------------------------------------- figures --- */
static double percent_of(uint64_t part, uint64_t whole)
{
    return whole ? 100 * (double)part / (double)whole : (double)NAN;
}

/* Standard deviation with N - 1 from sums; rounding may leave a little less than zero. */
static double std_of(double sum, double squares, uint64_t n)
{
    if (n < 2)
        return (double)NAN;
    const double m2 = squares - sum * (sum / (double)n);
    return sqrt(SC_MAX(m2, 0.0) / (double)(n - 1));
}

static double ratio_of(double x, double y)
{
    if (y > 0)
        return x / y;
    return x > 0 ? (double)INFINITY : (double)NAN;
}

/* 1 - cos(a, b) = (|d|^2 - (|a| - |b|)^2) / (2 |a| |b|) with d = b - a: right to the last digits
 * also where a and b are nearly the same, which 1 - ab / (|a| |b|) is not. */
static double one_minus_cosine(const struct sc_change_sums *s, double norm_a, double norm_b)
{
    const double gap = norm_a + norm_b > 0 ? (s->bb - s->aa) / (norm_a + norm_b) : 0;

    if (!(norm_a > 0) || !(norm_b > 0))
        return (double)NAN;
    const double v = (s->dd - gap * gap) / (2 * norm_a * norm_b);
    return SC_MIN(SC_MAX(v, 0.0), 2.0);
}

static void describe(const struct change *t, struct sc_change *out)
{
    const struct sc_change_sums *s = &t->sums;
    const uint64_t n = s->compared;
    const double count = (double)n, nothing = (double)NAN;

    out->values = t->values;
    out->compared = n;
    out->changed = s->changed;
    out->identical = s->changed == 0;
    out->significant = s->significant;
    out->sign_flips = s->flips;
    out->nonfinite_a = t->nonfinite_a;
    out->nonfinite_b = t->nonfinite_b;
    out->max_at = t->max_at;
    out->changed_percent = percent_of(s->changed, t->values);
    out->significant_percent = percent_of(s->significant, n);
    out->max_abs = n ? t->max_abs : nothing;
    out->mean_abs = n ? s->abs_d / count : nothing;
    out->rms = n ? sqrt(s->dd / count) : nothing;
    out->l2 = n ? sqrt(s->dd) : nothing;
    out->norm_a = n ? sqrt(s->aa) : nothing;
    out->norm_b = n ? sqrt(s->bb) : nothing;
    out->relative_l2 = n && s->dd > 0 ? ratio_of(out->l2, out->norm_a) : n ? 0 : nothing;
    out->norm_ratio = n ? ratio_of(out->norm_b, out->norm_a) : nothing;
    out->one_minus_cosine = n ? one_minus_cosine(s, out->norm_a, out->norm_b) : nothing;
    out->cosine = 1 - out->one_minus_cosine;
    out->mean_diff = n ? s->d / count : nothing;
    out->std_diff = std_of(s->d, s->dd, n);
    out->min_diff = n ? s->min_d : nothing;
    out->max_diff = n ? s->max_d : nothing;
    out->mean_a = n ? s->a / count : nothing;
    out->mean_b = n ? s->b / count : nothing;
    out->std_a = std_of(s->a, s->aa, n);
    out->std_b = std_of(s->b, s->bb, n);
    out->absmax_a = n ? s->max_a : nothing;
    out->absmax_b = n ? s->max_b : nothing;
    out->change_score = 10 * fabs(out->mean_b - out->mean_a) + 10 * fabs(out->std_b - out->std_a) +
                        fabs(out->norm_b / (out->norm_a + 1e-10) - 1);
}

/* The rounding that leaves least; of equals the first. */
static void choose_cast(const struct total *t, struct sc_change *out)
{
    size_t best = 0;

    out->cast_of = SC_CAST_NONE;
    out->cast_exact = 0;
    out->unexplained = UINT64_MAX;
    out->rounding_rms = (double)NAN;
    memset(out->cast_type, 0, sizeof out->cast_type);
    if (!t->trials.n || out->identical)
        return;
    for (size_t i = 1; i < t->trials.n; i++)
        if (t->sum.cast[i].unexplained < t->sum.cast[best].unexplained)
            best = i;
    out->cast_of = t->trials.t[best].of_b ? SC_CAST_OF_B : SC_CAST_OF_A;
    out->cast_exact = sc_trial_exact(&t->trials.t[best]);
    out->unexplained = t->sum.cast[best].unexplained;
    sc_trial_name(&t->trials.t[best], out->cast_type, sizeof out->cast_type);
    if (out->compared)
        out->rounding_rms = sqrt(t->sum.cast[best].squares / (double)out->compared);
}

const char *const sc_change_kind_names[SC_CHANGE_KINDS] = {
    [SC_CHANGE_IS_NONE] = "none",     [SC_CHANGE_IS_BITS] = "bits",
    [SC_CHANGE_IS_VALUES] = "values", [SC_CHANGE_IS_CAST] = "cast",
    [SC_CHANGE_IS_ABOUT] = "about",   [SC_CHANGE_IS_CHANGED] = "changed",
};

enum sc_change_kind sc_change_kind(const struct sc_change *c)
{
    if (!c)
        return SC_CHANGE_IS_NONE;
    if (c->identical)
        return c->same_bits ? SC_CHANGE_IS_BITS : SC_CHANGE_IS_VALUES;
    if (c->cast_of != SC_CAST_NONE && c->unexplained == 0)
        return SC_CHANGE_IS_CAST;
    /* A fit of our own is not ggml's, but no fit of that type is far better. */
    return c->cast_of != SC_CAST_NONE && !c->cast_exact && c->rms <= ABOUT * c->rounding_rms
               ? SC_CHANGE_IS_ABOUT
               : SC_CHANGE_IS_CHANGED;
}

static int change_end(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
                      struct sc_error *e)
{
    const struct total *whole = total;
    const struct change *t = &whole->sum;
    struct sc_change *out = item->user;
    const bool stored = item->tensor_b != SC_NO_NODE;
    const bool one_type =
        stored && strcmp(v->tensor->dtype, item->model_b->tensors[item->tensor_b].dtype) == 0;

    (void)ctx, (void)e;
    describe(t, out);
    out->version = SC_CHANGE_VERSION;
    out->bits = out->changed_bits = UINT64_MAX;
    out->changed_bits_percent = (double)NAN;
    choose_cast(whole, out);
    memcpy(out->ulp, t->ulp.bin, sizeof out->ulp);
    out->max_ulp = whole->ulp_inf && t->coded ? t->ulp.most : UINT64_MAX;
    out->same_bits = one_type && (t->coded ? t->changed_bits == 0 : !t->other_bits);
    if (v->code_bytes && (t->coded || t->values == 0) && one_type &&
        item->model_b->tensors[item->tensor_b].layout == SC_LAYOUT_PLAIN) {
        out->bits = 8 * (uint64_t)v->code_bytes * t->values;
        out->changed_bits = t->changed_bits;
        out->changed_bits_percent = percent_of(out->changed_bits, out->bits);
    }
    free(total);
    return 0;
}

static void change_drop(void *ctx, void *total)
{
    (void)ctx;
    free(total);
}

const struct sc_pass sc_pass_change = {
    .name = "change",
    .wants = change_wants,
    .begin = change_begin,
    .part = change_part,
    .chunk = change_chunk,
    .merge = change_merge,
    .part_free = change_part_free,
    .end = change_end,
    .drop = change_drop,
};

/* ----------------------------------------------------------------------------------- table --- */
#define AT(field) (uint16_t) offsetof(struct sc_change, field)
#define DOUBLE(field, name, what)                                                                  \
    {                                                                                              \
#field, name, what, SC_METRIC_DOUBLE, 0, 1, AT(field)                                      \
    }
#define UINT(field, name)                                                                          \
    {                                                                                              \
#field, name, NULL, SC_METRIC_UINT, 0, 1, AT(field)                                        \
    }
static const struct sc_metric change_metrics[] = {
    UINT(values, "Values"),
    UINT(compared, "Compared"),
    UINT(changed, "Changed"),
    DOUBLE(changed_percent, "Changed", "%"),
    UINT(changed_bits, "Changed bits"),
    DOUBLE(changed_bits_percent, "Changed bits", "%"),
    UINT(significant, "Changed by 1 %"),
    DOUBLE(significant_percent, "Changed by 1 %", "%"),
    UINT(sign_flips, "Sign flips"),
    DOUBLE(max_abs, "Max |d|", NULL),
    UINT(max_at, "At"),
    DOUBLE(mean_abs, "Mean |d|", NULL),
    DOUBLE(rms, "RMS d", NULL),
    DOUBLE(l2, "L2", NULL),
    DOUBLE(relative_l2, "Relative L2", NULL),
    DOUBLE(cosine, "Cosine", NULL),
    DOUBLE(one_minus_cosine, "1 - cosine", NULL),
    DOUBLE(mean_diff, "Mean d", NULL),
    DOUBLE(std_diff, "Std d", NULL),
    DOUBLE(min_diff, "Min d", NULL),
    DOUBLE(max_diff, "Max d", NULL),
    DOUBLE(mean_a, "Mean A", NULL),
    DOUBLE(mean_b, "Mean B", NULL),
    DOUBLE(std_a, "Std A", NULL),
    DOUBLE(std_b, "Std B", NULL),
    DOUBLE(norm_a, "Norm A", NULL),
    DOUBLE(norm_b, "Norm B", NULL),
    DOUBLE(norm_ratio, "Norm ratio", NULL),
    DOUBLE(absmax_a, "Max |A|", NULL),
    DOUBLE(absmax_b, "Max |B|", NULL),
    UINT(nonfinite_a, "NaN or Inf in A"),
    UINT(nonfinite_b, "NaN or Inf in B"),
    DOUBLE(change_score, "Change score", NULL),
};
const struct sc_metric_group sc_metrics_change = {"change", "Change", 0, change_metrics,
                                                  SC_COUNT(change_metrics)};
