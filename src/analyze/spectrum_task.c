/* SPDX-License-Identifier: Apache-2.0 */
/* spectrum_task: the spectra of a tensor during a sweep: which matrices it is, what their type can
 * resolve, and the same values in a random order. */
#include "analyze/health.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------- matrices --- */
enum { LARGEST_KERNEL = 16 }; /* what is smaller in the last of three dimensions is a kernel */

static bool is_stack(const struct sc_tensor *t)
{
    return t->rank == 3 && t->role != SC_ROLE_CONV && t->shape[2] >= LARGEST_KERNEL;
}

struct sc_matrices sc_matrices_of(const struct sc_values *v)
{
    const struct sc_tensor *t = v->tensor;
    if (t->rank < 2 || v->count == 0)
        return (struct sc_matrices){1, SC_MIN(v->count, 1), v->count};
    if (t->rank == 2)
        return (struct sc_matrices){1, v->rows, v->cols};
    if (is_stack(t))
        return (struct sc_matrices){t->shape[0], v->rows / t->shape[0], v->cols};
    return (struct sc_matrices){1, t->shape[0], v->count / t->shape[0]};
}

/* ------------------------------------------------------------------------------- rounding ---
 * An error of rounding is uniform over a step: step / sqrt(12). Where in its binade a value of a
 * float lies is uniform in the logarithm, so the root mean square of 2^exponent is
 * sqrt(3 / (8 ln 2)) of that of the values. */
static const double binade = 0.73553;

static const struct float_type {
    const char *name;
    int8_t mantissa;
    int16_t smallest; /* power of two: the step of subnormal numbers */
} float_types[] = {
    {"F64", 52, -1074},      {"F128", 52, -1074},  {"F32", 23, -149},       {"F16", 10, -24},
    {"BF16", 7, -133},       {"F8_E4M3", 3, -9},   {"F8_E4M3FNUZ", 3, -10}, {"F8_E5M2", 2, -16},
    {"F8_E5M2FNUZ", 2, -17}, {"F6_E2M3", 3, -3},   {"F6_E3M2", 2, -4},      {"F4", 1, -1},
    {"F4_X2", 1, -1},        {"F8_E8M0", 0, -127},
};

/* Scaled: a scale of its own takes subnormal numbers out of the way. */
static double float_step(const struct float_type *f, bool scaled, double rms)
{
    const double step = ldexp(rms * binade, -f->mantissa);
    return scaled ? step : fmax(step, ldexp(1, f->smallest));
}

/* Codes of some bits between -absmax and absmax of a group, if its values are normal. */
static double code_step(const struct sc_values *v, double rms)
{
    const struct sc_tensor *t = v->tensor;
    double bits = t->bits;
    uint64_t group = t->group ? t->group : v->count;
    if (t->group == UINT16_MAX)
        group = v->cols;
    if (t->layout == SC_LAYOUT_GGML) { /* a scale for a block or a part of one, among the bits */
        bits = floor(sc_codec_bits(v->codec));
        group = 32;
    }
    return bits >= 1 ? 2 * rms * sc_normal_max(group) * exp2(-bits) : NAN;
}

double sc_rounding_rms(const struct sc_values *v, double rms)
{
    const struct sc_codec *c = sc_codec(v->codec);
    const bool plain = v->tensor->layout == SC_LAYOUT_PLAIN;
    double step = NAN;
    if (plain && (c->kind == SC_KIND_INT || c->kind == SC_KIND_UINT || c->kind == SC_KIND_BOOL))
        step = 1;
    else if (!plain && v->tensor->layout != SC_LAYOUT_FP8)
        step = code_step(v, rms);
    for (size_t i = 0; i < SC_COUNT(float_types) && isnan(step); i++) {
        if (strcmp(c->name, float_types[i].name) == 0)
            step = float_step(&float_types[i], !plain, rms);
    }
    return step / sqrt(12);
}

/* The rounding error as a matrix has the norm of noise. */
static double resolution(const struct sc_values *v, const struct sc_spectrum *s)
{
    const double rms = s->frobenius / sqrt((double)s->rows * (double)s->cols);
    const double error = sc_mp_edge(sc_rounding_rms(v, rms), s->rows, s->cols);
    return s->sigma_max > 0 && error > 0 ? s->sigma_max / error : NAN;
}

/* ------------------------------------------------------------------------ in random order --- */
/* A copy in memory, so it must not be more than what singular values take anyway, or little: long
 * matrices (embeddings) go without. */
#define SMALL_COPY (UINT64_C(256) << 20)

static struct sc_svd_options options_of(const struct sc_measure *how)
{
    return (struct sc_svd_options){
        .quick = how->quick,
        .top = SC_TOP_SIGMA,
        .refine = how->refine,
        .max_rank = how->max_rank,
        .memory = how->memory,
        .cancel = how->cancel,
    };
}

/* Bytes; 0: no copy. */
static uint64_t copy_bytes(uint64_t rows, uint64_t cols, const struct sc_measure *how)
{
    const struct sc_svd_options o = options_of(how);
    uint64_t bytes;
    if (!how->shuffled || !sc_mul(rows, cols, &bytes) || !sc_mul(bytes, sizeof(float), &bytes))
        return 0;
    return bytes <= SC_MAX(SMALL_COPY, sc_svd_memory(rows, cols, &o)) ? bytes : 0;
}

struct copy {
    const float *values;
    uint64_t cols;
};

static int read_copy(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols,
                     float *dst, struct sc_error *e)
{
    const struct copy *c = ctx;
    (void)e;
    for (uint64_t r = 0; r < n_rows; r++)
        memcpy(dst + r * n_cols, c->values + (row + r) * c->cols + col, n_cols * sizeof *dst);
    return 0;
}

static int describe_shuffled(const struct sc_svd *original, const struct sc_svd *shuffled,
                             uint64_t rows, uint64_t cols, struct sc_spectrum *out,
                             struct sc_error *e)
{
    struct sc_spectrum s;
    TRY(sc_spectrum_describe(shuffled, rows, cols, &s, e));
    out->shuffled_sigma_max = s.sigma_max;
    out->shuffled_alpha = s.power_law.alpha;
    out->shuffled_spikes = s.above_edge;
    if (original->n == shuffled->n && original->n == out->total_rank)
        out->shuffled_distance = sc_spectra_distance(original->s, shuffled->s, original->n);
    return 0;
}

static int measure_shuffled(const struct sc_matrix *m, const struct sc_measure *how,
                            const struct sc_parallel *p, const struct sc_svd *original,
                            struct sc_spectrum *out, struct sc_error *e)
{
    const uint64_t bytes = copy_bytes(m->rows, m->cols, how), seed = 1;
    const struct sc_svd_options o = options_of(how);
    struct sc_svd svd = {0};
    if (bytes == 0 || bytes > SIZE_MAX)
        return 0;
    float *values = sc_alloc((size_t)bytes);
    if (!values)
        return sc_fail_memory(e);
    struct copy copy = {values, m->cols};
    const struct sc_matrix shuffled = {
        .rows = m->rows, .cols = m->cols, .read = read_copy, .ctx = &copy};
    int rc = sc_shuffled_copy(m, seed, p, values, e);
    if (rc == 0)
        rc = sc_svd_values(&shuffled, &o, p, &svd, e);
    if (rc == 0)
        rc = describe_shuffled(original, &svd, m->rows, m->cols, out, e);
    sc_svd_clear(&svd);
    free(values);
    return rc;
}

int sc_spectrum_measure(const struct sc_matrix *m, const struct sc_measure *how,
                        const struct sc_parallel *p, struct sc_spectrum *out, struct sc_error *e)
{
    const struct sc_svd_options o = options_of(how);
    struct sc_svd svd = {0};
    sc_spectrum_none(out);
    TRY(sc_svd_values(m, &o, p, &svd, e));
    int rc = sc_spectrum_describe(&svd, m->rows, m->cols, out, e);
    if (rc == 0 && how->shuffled)
        rc = measure_shuffled(m, how, p, &svd, out, e);
    if (rc == SCRUPLE_EFORMAT)
        rc = 0; /* doubles that no float of the copy can be: there is no baseline */
    sc_svd_clear(&svd);
    return rc;
}

/* ----------------------------------------------------------------------------------- task --- */
static bool has_spectrum(const struct sc_measure *how, const struct sc_values *v)
{
    const struct sc_matrices m = sc_matrices_of(v);
    return how->methods & SC_METHOD_SPECTRAL && m.rows >= 2 && m.cols >= 2 &&
           sc_codec(v->codec)->kind != SC_KIND_COMPLEX;
}

static uint64_t task_memory(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    const struct sc_measure *how = ctx;
    const struct sc_matrices m = sc_matrices_of(v);
    const struct sc_svd_options o = options_of(how);
    (void)item;
    if (!has_spectrum(how, v))
        return 0;
    return sc_add_up(sc_svd_memory(m.rows, m.cols, &o), copy_bytes(m.rows, m.cols, how));
}

/* Quick mode knows no condition numbers; the fewer directions the worse. */
static double badness(const struct sc_spectrum *s)
{
    if (!isnan(s->condition))
        return s->condition;
    return s->stable_rank > 0 ? 1 / s->stable_rank : INFINITY;
}

static int check_memory(const struct sc_measure *how, uint64_t bytes, struct sc_error *e)
{
    if (!how->memory || bytes <= how->memory)
        return 0;
    return sc_fail(e, SCRUPLE_ELIMIT,
                   "even an estimate takes %.0f MB, more than the %.0f MB of --memory",
                   ceil((double)bytes * 1e-6), (double)how->memory * 1e-6);
}

static int task_run(void *ctx, const struct sc_item *item, struct sc_values *v,
                    const struct sc_parallel *p, struct sc_error *e)
{
    const struct sc_measure *how = ctx;
    const struct sc_matrices all = sc_matrices_of(v);
    struct sc_health *health = item->user;
    struct sc_spectrum *worst = &health->spectrum, s;
    uint32_t measured = 0;

    sc_spectrum_none(worst);
    TRY(check_memory(how, task_memory(ctx, item, v), e));
    for (uint64_t i = 0; i < all.n && i < UINT32_MAX; i++) {
        struct sc_values_matrix m;
        sc_values_matrix(v, i * all.rows * all.cols, all.rows, all.cols, &m);
        int rc = sc_spectrum_measure(&m.matrix, how, p, &s, e);
        if (rc == SCRUPLE_EFORMAT)
            continue; /* not finite: counted among the elements */
        TRY(rc);
        measured++;
        s.condition_resolution = resolution(v, &s);
        s.slice = (uint32_t)i;
        if (measured == 1 || badness(&s) > badness(worst))
            *worst = s;
    }
    worst->slices = measured;
    health->measured |= SC_METHOD_SPECTRAL;
    return 0;
}

const struct sc_task sc_task_spectrum = {"spectral", task_memory, task_run};
