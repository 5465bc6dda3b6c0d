/* SPDX-License-Identifier: Apache-2.0 */
/* test_elements: figures of single values against sorting and long double, for types, shapes and
 * distributions; and that segments and levels of the processor change no bit. */
#include "unit/elements_feed.h"
#include "kernel/lanes.h"
#include "test.h"

static const struct sc_measure all = {.methods = SC_METHODS_ELEMENTS, .bits = 8, .group = 128};

/* ----------------------------------------------------------------------------- reproducible --- */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
/* Uniform in [-1, 1), the i-th (from 1) of a seed. */
static double uniform(uint64_t seed, uint64_t i)
{
    const uint64_t z = mix(i * UINT64_C(0x9e3779b97f4a7c15) + seed);
    return ((double)(z >> 40) - 8388608.0) / 8388608.0;
}
static double normal(uint64_t seed, uint64_t i)
{
    double sum = 0; /* of twelve: close enough to be interesting */
    for (uint64_t k = 0; k < 12; k++)
        sum += uniform(seed, 12 * i + k + 1);
    return sum / 2;
}

/* ----------------------------------------------------------------------------------- oracle --- */
struct oracle {
    double *sorted, *magnitude; /* (n) finite values */
    size_t n;
    long double mean, std, square, abs, m2, m3, m4;
    double abs_max;
};

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct oracle oracle_of(const double *x, size_t n)
{
    struct oracle o = {.sorted = malloc((n + 1) * sizeof(double)),
                       .magnitude = malloc((n + 1) * sizeof(double))};
    long double sum = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) {
            o.sorted[o.n] = x[i];
            o.magnitude[o.n++] = fabs(x[i]);
            sum += x[i];
            o.square += (long double)x[i] * x[i];
            o.abs += fabs(x[i]);
        }
    qsort(o.sorted, o.n, sizeof(double), ascending);
    qsort(o.magnitude, o.n, sizeof(double), ascending);
    o.mean = sum / o.n;
    for (size_t i = 0; i < o.n; i++) {
        const long double d = o.sorted[i] - o.mean;
        o.m2 += d * d;
        o.m3 += d * d * d;
        o.m4 += d * d * d * d;
    }
    o.std = o.n > 1 ? sqrtl(o.m2 / (o.n - 1)) : NAN;
    o.abs_max = o.n ? o.magnitude[o.n - 1] : NAN;
    return o;
}

static void oracle_free(struct oracle *o)
{
    free(o->sorted);
    free(o->magnitude);
}

static double percentile(const double *sorted, size_t n, double q)
{
    const double h = (double)(n - 1) * q, part = h - floor(h);
    const size_t low = (size_t)h, high = SC_MIN(low + 1, n - 1);
    const double d = sorted[high] - sorted[low];
    return part >= 0.5 ? sorted[high] - d * (1 - part) : sorted[low] + d * part;
}

/* Equal to `tolerance` of the larger one; NaN is NaN. */
static bool close_to(double got, long double want, double tolerance)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want))
        return got == want;
    return fabsl(got - want) <= tolerance * fmaxl(fabsl(want), 1e-300L);
}
#define CLOSE(got, want, tolerance)                                                                \
    do {                                                                                           \
        const double got_ = (got);                                                                 \
        const long double want_ = (want);                                                          \
        if (!close_to(got_, want_, tolerance)) {                                                   \
            fprintf(stderr, "%s:%d: %s is %.17g, not %.17Lg\n", __FILE__, __LINE__, #got, got_,    \
                    want_);                                                                        \
            test_bad++;                                                                            \
        }                                                                                          \
    } while (0)

static uint64_t outside(const struct oracle *o, double low, double high)
{
    uint64_t n = 0;
    for (size_t i = 0; i < o->n; i++)
        n += o->sorted[i] < low || o->sorted[i] > high;
    return n;
}

static void check_basic(const struct sc_basic *b, const struct oracle *o)
{
    CHECK_U64(b->finite, o->n);
    if (o->n == 0) {
        CHECK(isnan(b->mean) && isnan(b->min) && isnan(b->quantile[0]) && isnan(b->l2_norm));
        return;
    }
    CHECK(fabsl(b->mean - o->mean) <= 1e-15L * o->abs / o->n);
    CLOSE(b->std, o->std, 1e-12);
    CLOSE(b->min, o->sorted[0], 0);
    CLOSE(b->max, o->sorted[o->n - 1], 0);
    CLOSE(b->abs_max, o->abs_max, 0);
    CLOSE(b->mean_abs, o->abs / o->n, 1e-13);
    CLOSE(b->l2_norm, sqrtl(o->square), 1e-13);
    CLOSE(b->rms, sqrtl(o->square / o->n), 1e-13);
    if (o->m2 > 0) {
        const long double v = o->m2 / o->n;
        CLOSE(b->kurtosis + 3, o->m4 / o->n / (v * v), 1e-12);
        /* A mean that is rounded to a double moves the third moment. */
        const long double skewness = o->m3 / o->n / (v * sqrtl(v));
        CHECK(fabsl(b->skewness - skewness) <
              1e-12L * fmaxl(1, fabsl(skewness)) + 1e-15L * fabsl(o->mean) / o->std);
    } else
        CHECK(isnan(b->kurtosis) && isnan(b->skewness));
    for (size_t i = 0; i < SC_QUANTILES; i++)
        CLOSE(b->quantile[i], percentile(o->sorted, o->n, sc_quantiles[i]), 0);
    for (size_t i = 0; i < SC_SIGMAS && o->std > 0; i++)
        CLOSE(b->beyond[i],
              (long double)outside(o, b->mean - sc_sigmas[i] * b->std,
                                   b->mean + sc_sigmas[i] * b->std) /
                  o->n,
              1e-15);
    uint64_t in_bins = 0;
    for (size_t i = 0; i < SC_HISTOGRAM; i++)
        in_bins += b->histogram[i];
    CHECK_U64(in_bins, o->n);
}

static long double step_errors(const double *x, size_t n, long double top, long double steps,
                               long double *abs, long double *most, long double *cross)
{
    long double square = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i]) && top > 0) {
            const long double e = x[i] - nearbyintl(x[i] * steps / top) * top / steps;
            square += e * e;
            *abs += fabsl(e);
            *cross += x[i] * e;
            *most = fmaxl(*most, fabsl(e));
        }
    return square;
}

static void check_int(const struct sc_int_error *got, const struct oracle *o, long double square,
                      long double abs, long double most, long double cross, double tolerance)
{
    if (o->n == 0) {
        CHECK(isnan(got->mse) && isnan(got->sqnr_db));
        return;
    }
    /* What is left of values that are whole steps is rounding of one part in 10^7 of a value. */
    const long double noise = (long double)o->abs_max * o->abs_max * 1e-13L * (tolerance > 1e-9);
    if (square / o->n <= noise) {
        CHECK(got->mse <= 2 * noise && got->sqnr_db > 100);
        return;
    }
    CLOSE(got->mse, square / o->n, tolerance);
    CLOSE(got->mae, abs / o->n, tolerance);
    CLOSE(got->max_abs, most, fmax(tolerance, 1e-4));
    CHECK(fabsl(got->sqnr_db - 10 * log10l(o->square / square)) < 20 * tolerance);
    const long double integers = o->square - 2 * cross + square;
    if (integers <= 0)
        return;
    const long double cosine = (o->square - cross) / sqrtl(o->square * integers);
    CHECK(fabsl(got->cosine - cosine) < 1e-9L + tolerance);
    /* Ties may go either way where a step is a float: that changes the cosine in second order. */
    const long double slack = tolerance > 1e-5 ? 0.02L : tolerance;
    CHECK(fabsl(got->one_minus_cosine - (1 - cosine)) < 1e-9L + slack * (1 - cosine));
}

static void check_quantization(const struct sc_quantization *q, const double *x, size_t n,
                               uint64_t rows, uint64_t cols, const struct oracle *o)
{
    if (o->n == 0)
        return;
    const double q1 = percentile(o->sorted, o->n, .25), q3 = percentile(o->sorted, o->n, .75);
    CLOSE(q->q1, q1, 0);
    CLOSE(q->q3, q3, 0);
    CHECK_U64(q->outliers, outside(o, q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)));
    CHECK_U64(q->extreme_outliers, outside(o, q1 - 3 * (q3 - q1), q3 + 3 * (q3 - q1)));
    CLOSE(q->dynamic_range, o->abs_max / (o->abs / o->n + 1e-10L), 1e-12);
    const long double steps = (1 << (q->bits - 1)) - 1;
    long double abs = 0, most = 0, cross = 0, square;
    square = step_errors(x, n, o->abs_max, steps, &abs, &most, &cross);
    check_int(&q->per_tensor, o, square, abs, most, cross, 1e-6);
    for (int scheme = 0; scheme < 2; scheme++) {
        const uint64_t width = scheme && q->group ? SC_MIN(q->group, cols) : cols;
        abs = most = cross = square = 0;
        for (uint64_t row = 0; row < rows; row++)
            for (uint64_t c = 0; c < cols; c += width) {
                const size_t len = (size_t)SC_MIN(width, cols - c);
                const double *p = x + row * cols + c;
                double top = 0;
                for (size_t i = 0; i < len; i++)
                    top = isfinite(p[i]) ? fmax(top, fabs(p[i])) : top;
                square += step_errors(p, len, top, steps, &abs, &most, &cross);
            }
        check_int(scheme ? &q->per_group : &q->per_channel, o, square, abs, most, cross, 2e-4);
    }
}

static double median_of(double *v, size_t n)
{
    qsort(v, n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Lines of n_lines; value k of a line is x[line * stride + k * step]. */
static void check_lines(const double *x, uint64_t n_lines, uint64_t len, uint64_t stride,
                        uint64_t step, uint64_t dead, uint64_t zero, uint64_t loudest,
                        const double figure[4], double tolerance)
{
    double *peak = calloc(n_lines, sizeof *peak), *norm = calloc(n_lines, sizeof *norm);
    uint64_t want_dead = 0, want_zero = 0;
    for (uint64_t i = 0; i < n_lines; i++) {
        long double square = 0;
        for (uint64_t k = 0; k < len; k++) {
            const double v = x[i * stride + k * step];
            if (isfinite(v)) {
                peak[i] = fmax(peak[i], fabs(v));
                square += (long double)v * v;
            }
        }
        norm[i] = (double)sqrtl(square);
        want_dead += peak[i] <= 1e-6;
        want_zero += peak[i] == 0;
    }
    CHECK_U64(dead, want_dead);
    CHECK_U64(zero, want_zero);
    double norm_max = 0, peak_max = 0;
    for (uint64_t i = 0; i < n_lines; i++) {
        norm_max = fmax(norm_max, norm[i]);
        peak_max = fmax(peak_max, peak[i]);
    }
    /* Squares of neighbours are added as floats. */
    CLOSE(norm[loudest], norm_max, fmax(tolerance, 1e-6));
    CLOSE(figure[0], median_of(peak, n_lines), tolerance);
    CLOSE(figure[1], peak_max, tolerance);
    CLOSE(figure[2], median_of(norm, n_lines), fmax(tolerance, 1e-6));
    CLOSE(figure[3], norm_max, fmax(tolerance, 1e-6));
    free(peak);
    free(norm);
}

static void check_sparsity(const struct sc_sparsity *s, const double *x, size_t n, uint64_t rows,
                           uint64_t cols, const struct oracle *o, double tolerance)
{
    for (size_t i = 0; i < SC_LEVELS && n; i++) {
        uint64_t within = 0;
        for (size_t k = 0; k < o->n; k++)
            within += o->magnitude[k] <= sc_levels[i];
        CLOSE(s->level_percent[i], 100.0L * within / n, 1e-15);
    }
    for (size_t i = 0; i < SC_MAGNITUDES && o->n; i++)
        CLOSE(s->magnitude[i], percentile(o->magnitude, o->n, sc_magnitudes[i]), 0);
    if (s->dead_rows != UINT64_MAX && o->n) {
        const double r[4] = {s->row_absmax_median, s->row_absmax_max, s->row_norm_median,
                             s->row_norm_max};
        const double c[4] = {s->column_absmax_median, s->column_absmax_max, s->column_norm_median,
                             s->column_norm_max};
        CHECK_U64(s->rows, rows);
        CHECK_U64(s->cols, cols);
        check_lines(x, rows, cols, cols, 1, s->dead_rows, s->zero_rows, s->loudest_row, r,
                    tolerance);
        check_lines(x, cols, rows, 1, cols, s->dead_columns, s->zero_columns, s->loudest_column, c,
                    tolerance);
    }
}

static void check_all(const struct feed *f, const struct sc_health *h, const double *x)
{
    const size_t n = (size_t)f->view.count;
    struct oracle o = oracle_of(x, n);
    const struct sc_matrices m = sc_matrices_of(&f->view);
    CHECK_U64(h->measured, SC_METHODS_ELEMENTS);
    CHECK_U64(h->basic.values, n);
    uint64_t nans = 0, infinities = 0, zeros = 0, negative = 0;
    for (size_t i = 0; i < n; i++) {
        nans += isnan(x[i]) != 0;
        infinities += isinf(x[i]) != 0;
        zeros += x[i] == 0;
        negative += x[i] == 0 && signbit(x[i]);
        if (isnan(x[i]) && nans == 1)
            CHECK_U64(h->basic.first_nan, i);
        if (isinf(x[i]) && infinities == 1)
            CHECK_U64(h->basic.first_infinity, i);
    }
    CHECK_U64(h->basic.nans, nans);
    CHECK_U64(h->basic.infinities, infinities);
    CHECK_U64(h->basic.zeros, zeros);
    CHECK_U64(h->basic.negative_zeros, negative);
    CHECK(nans || h->basic.first_nan == UINT64_MAX);
    check_basic(&h->basic, &o);
    /* Rows and columns are measured as floats. */
    check_sparsity(&h->sparsity, x, n, m.n * m.rows, m.cols, &o,
                   f->view.is_double ? fmax(1e-7, 2e-45 / o.abs_max) : 1e-12);
    check_quantization(&h->quantization, x, n, m.n * m.rows, m.cols, &o);
    oracle_free(&o);
}

/* ------------------------------------------------------------------------------------- runs --- */
enum shape_of_values { NORMAL, HEAVY, BROKEN, TINY, CONSTANT, ZERO, SHIFTED, WIDE, KINDS };

static double sample(enum shape_of_values kind, uint64_t seed, uint64_t i)
{
    const double x = normal(seed, i) * 0.02;
    switch (kind) {
    case NORMAL:
    case KINDS:
        return x;
    case HEAVY:
        return i % 1013 == 5 ? x * 700 : x * fabs(x) * 50;
    case BROKEN:
        return i % 977 == 3 ? NAN : i % 1999 == 700 ? INFINITY : i % 31 == 0 ? -0.0 : x;
    case TINY:
        return x * 0x1p-120;
    case CONSTANT:
        return 0.375;
    case ZERO:
        return i % 3 ? 0.0 : -0.0;
    case SHIFTED:
        return 3 + x;
    case WIDE:
        return x * ldexp(1, (int)(mix(seed + i) % 200) - 100);
    }
    return 0;
}

static uint16_t to_bf16(double x)
{
    const float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* A tensor of some type: its stored codes, and what they mean as doubles. */
struct made {
    uint8_t *codes;
    float *floats;
    double *values, *doubles;
};

static void make(struct feed *f, enum shape_of_values kind, uint64_t seed, struct made *m)
{
    const size_t n = (size_t)f->view.count;
    const unsigned bytes = f->view.code_bytes;
    *m = (struct made){calloc(n + 1, 8), calloc(n + 1, 4), calloc(n + 1, 8), NULL};
    for (size_t i = 0; i < n; i++) {
        const double x = sample(kind, seed, i);
        const uint64_t noise = mix(seed * 77 + i);
        if (f->view.is_double)
            m->values[i] = x;
        else if (bytes == 1)
            m->codes[i] = (uint8_t)noise;
        else if (bytes == 2) {
            const uint16_t code = kind == BROKEN ? (uint16_t)noise : to_bf16(x);
            m->codes[2 * i] = (uint8_t)code;
            m->codes[2 * i + 1] = (uint8_t)(code >> 8);
        } else
            m->floats[i] = (float)x;
    }
    if (bytes == 1 || bytes == 2) {
        sc_decoder(f->view.codec, SC_CPU_C)(m->codes, m->floats, n);
        f->codes = m->codes;
    } else if (f->view.is_double)
        f->values64 = m->values;
    else
        f->values = m->floats;
    for (size_t i = 0; i < n && !f->view.is_double; i++)
        m->values[i] = m->floats[i];
}

static void unmake(struct made *m)
{
    free(m->codes);
    free(m->floats);
    free(m->values);
}

static void run_one(const char *codec, const uint64_t *shape, uint8_t rank,
                    enum shape_of_values kind, const struct sc_measure *measure)
{
    struct feed f;
    struct made m;
    struct sc_health h, other;
    const unsigned bad = test_bad;
    feed_open(&f, codec, shape, rank);
    make(&f, kind, 11 + (uint64_t)kind, &m);
    CHECK_U64(feed_run(&f, measure, false, &h), 0);
    check_all(&f, &h, m.values);
    CHECK_U64(feed_run(&f, measure, true, &other), 0);
    CHECK_BITS(&other, &h, sizeof h);
    f.segment = SC_CHUNK_VALUES; /* many segments, which cut rows where rows are long */
    if (f.view.count > f.segment) {
        CHECK_U64(feed_run(&f, measure, false, &h), 0);
        check_all(&f, &h, m.values);
        CHECK_U64(feed_run(&f, measure, true, &other), 0);
        CHECK_BITS(&other, &h, sizeof h);
    }
    unmake(&m);
    if (test_bad != bad)
        fprintf(stderr, "  in %s, %zu values, kind %d, %u visits\n", codec, (size_t)f.view.count,
                (int)kind, f.visits);
}

/* The first three go through all distributions. */
enum { FULL = 3 };
static const char *const types[] = {"BF16", "F32", "F64", "F16", "F8_E4M3", "F8_E5M2",
                                    "I8",   "U8",  "I16", "U16", "BOOL"};

TEST(small_tensors)
{
    static const uint64_t shapes[][2] = {{1, 1}, {1, 2}, {4, 1}, {3, 5}, {40, 33}, {128, 127}};
    for (size_t t = 0; t < SC_COUNT(types); t++)
        for (size_t s = 0; s < SC_COUNT(shapes); s++)
            for (int kind = 0; kind < (t < FULL ? KINDS : BROKEN + 1); kind++)
                run_one(types[t], shapes[s], 2, (enum shape_of_values)kind, &all);
}

TEST(matrices)
{
    static const uint64_t shapes[][2] = {{150, 257}, {7, 9000}};
    for (size_t t = 0; t < SC_COUNT(types); t++)
        for (size_t s = 0; s < SC_COUNT(shapes); s++)
            for (int kind = 0; kind < (t < FULL ? KINDS : BROKEN + 1); kind++)
                run_one(types[t], shapes[s], 2, (enum shape_of_values)kind, &all);
}

TEST(other_ranks)
{
    static const uint64_t vector[] = {70001}, conv[] = {37, 31, 3, 3}, stack[] = {5, 61, 67},
                          line[] = {3, 100003}, scalar[] = {1};
    static const char *const few[] = {"BF16", "F32", "F64"};
    for (size_t t = 0; t < SC_COUNT(few); t++)
        for (int kind = 0; kind < KINDS; kind++) {
            run_one(few[t], vector, 1, (enum shape_of_values)kind, &all);
            run_one(few[t], conv, 4, (enum shape_of_values)kind, &all);
            run_one(few[t], stack, 3, (enum shape_of_values)kind, &all);
            run_one(few[t], line, 2, (enum shape_of_values)kind, &all);
            run_one(few[t], scalar, 0, (enum shape_of_values)kind, &all);
        }
}

TEST(other_schemes)
{
    static const uint64_t shape[] = {61, 515};
    static const uint32_t groups[] = {0, 1, 3, 16, 100, 514, 515, 1000};
    for (uint32_t bits = 2; bits <= 8; bits += 2)
        for (size_t g = 0; g < SC_COUNT(groups); g++) {
            const struct sc_measure m = {
                .methods = SC_METHODS_ELEMENTS, .bits = bits, .group = groups[g]};
            run_one("BF16", shape, 2, HEAVY, &m);
            run_one("F32", shape, 2, NORMAL, &m);
        }
}

TEST(empty_tensor)
{
    static const uint64_t shape[] = {0, 5};
    struct feed f;
    struct sc_health h;
    feed_open(&f, "BF16", shape, 2);
    CHECK_U64(feed_run(&f, &all, false, &h), 0);
    CHECK_U64(h.basic.values, 0);
    CHECK(isnan(h.basic.mean) && isnan(h.basic.std) && isnan(h.basic.max_over_sigma_normal));
    CHECK(isnan(h.quantization.per_tensor.mse) && isnan(h.sparsity.level_percent[0]));
}

/* ----------------------------------------------------------------------------------- levels --- */
/* Two steps in one loop, while codes are counted: as one after the other. */
static void check_both(const float *x, size_t n, size_t group, size_t to_count)
{
    enum { CODES = 50000 };
    static float inverse[3000], weight[3000];
    static uint8_t codes[2 * CODES];
    static uint32_t table[2][65536];
    const float one = 1;
    const struct sc_steps_of how = {group, inverse, weight, 77.0F};
    struct sc_steps separate[2];
    for (size_t i = 0; i < SC_COUNT(inverse); i++) {
        inverse[i] = 3.0F + (float)(i % 90);
        weight[i] = 1 / (1 + (float)(i % 7));
    }
    for (size_t i = 0; i < SC_COUNT(codes); i++)
        codes[i] = (uint8_t)mix(i / 3);
    CHECK(n / group < SC_COUNT(inverse) && to_count <= CODES);
    sc_steps(x, n, group, inverse, weight, 1, SC_CPU_C, &separate[0]);
    sc_steps(x, n, SC_STEPS_TOGETHER, &how.inverse_of_all, &one, 0, SC_CPU_C, &separate[1]);
    memset(table, 0, sizeof table);
    sc_count_codes16(codes, to_count, table[0]);
    for (int level = 0; level <= (int)sc_cpu_level(); level++) {
        struct sc_counting counting = {codes, to_count, table[1], 1 << 20};
        struct sc_steps both[2], alone[2];
        memset(table[1], 0, sizeof table[1]);
        sc_steps_both(x, n, &how, (enum sc_cpu)level, &counting, &both[0], &both[1]);
        CHECK(counting.n <= to_count && counting.codes == codes + 2 * (to_count - counting.n));
        sc_counting_finish(&counting);
        sc_steps_both(x, n, &how, (enum sc_cpu)level, NULL, &alone[0], &alone[1]);
        CHECK_BITS(both, separate, sizeof separate);
        CHECK_BITS(alone, separate, sizeof separate);
        CHECK_BITS(table[1], table[0], sizeof table[0]);
    }
}

TEST(two_steps_in_one_loop)
{
    static const size_t sizes[] = {1, 15, 16, 100, 512, 520, 4096, 16384, 40001};
    static const size_t groups[] = {16, 32, 40, 48, 128, 512, 1024};
    static float x[40001];
    for (size_t i = 0; i < SC_COUNT(x); i++)
        x[i] = (float)normal(3, i);
    for (size_t i = 0; i < SC_COUNT(sizes); i++)
        for (size_t g = 0; g < SC_COUNT(groups); g++) {
            check_both(x, sizes[i], groups[g], sizes[i]);
            check_both(x, sizes[i], groups[g], sizes[i] / 2);
        }
    check_both(x, 1000, 128, 50000);
}

#if SC_HAVE_X86
/* Loops over codes against those over floats, in plain C. */
static void check_bf16(const uint8_t *codes, const float *x, size_t rows, size_t n, size_t group)
{
    enum { MOST = 8 * 4096 };
    static uint32_t table[2][65536], peaks[2][MOST / 32], column_peak[2][4096];
    static double square[2][4096];
    double row[2][8];
    float inverse[MOST / 32];
    for (size_t i = 0; i < n / group + 2; i++)
        inverse[i] = 40.0F + (float)i;
    const struct sc_steps_of how = {group, inverse, inverse + 1, 33.0F};
    CHECK(rows * n <= MOST && n <= 4096 && rows <= 8 && n / group + 2 <= SC_COUNT(inverse));
    memset(table, 0, sizeof table);
    memset(peaks, 0, sizeof peaks);
    for (size_t i = 0; i < n; i++) {
        column_peak[0][i] = column_peak[1][i] = (uint32_t)i << 18;
        square[0][i] = square[1][i] = (double)i;
    }
    sc_columns(x, rows, n, SC_CPU_C, column_peak[0], square[0], row[0]);
    sc_columns_bf16(codes, rows, n, column_peak[1], square[1], row[1]);
    struct sc_counting counting = {codes, rows * n, table[1], 1 << 20};
    sc_count_codes16(codes, rows * n, table[0]);
    for (size_t k = 0; k < rows; k++) {
        struct sc_steps steps[2][2];
        CHECK_U64(sc_peaks_bf16(codes + 2 * k * n, n, group, peaks[1]),
                  sc_peaks(x + k * n, n, group, SC_CPU_C, peaks[0]));
        CHECK_BITS(peaks[1], peaks[0], sizeof peaks[0]);
        sc_steps_both(x + k * n, n, &how, SC_CPU_C, NULL, &steps[0][0], &steps[0][1]);
        sc_steps_bf16(n, &how, &counting, &steps[1][0], &steps[1][1]);
        CHECK_BITS(steps[1], steps[0], sizeof steps[0]);
        CHECK_U64(counting.n, (rows - 1 - k) * n);
    }
    CHECK_BITS(table[1], table[0], sizeof table[0]);
    CHECK_BITS(column_peak[1], column_peak[0], n * sizeof column_peak[0][0]);
    CHECK_BITS(square[1], square[0], n * sizeof square[0][0]);
    CHECK_BITS(row[1], row[0], rows * sizeof row[0][0]);
}
#endif

TEST(codes_as_the_floats_they_are)
{
    CHECK(!sc_bf16_in_place(64, 64, SC_CPU_C) && !sc_bf16_in_place(48, 16, SC_CPU_AVX512));
#if SC_HAVE_X86
    static float x[8 * 4096];
    static uint8_t codes[2 * 8 * 4096];
    static const size_t sizes[][3] = {{2, 32, 32},   {8, 64, 32},    {8, 4096, 128}, {6, 544, 64},
                                      {4, 1056, 32}, {8, 2048, 512}, {2, 4096, 256}};
    if (sc_cpu_level() < SC_CPU_AVX512)
        return;
    for (size_t scale = 0; scale < 3; scale++) {
        for (size_t i = 0; i < SC_COUNT(x); i++) {
            const float v = (float)ldexp(normal(4, i) * (i % 97 == 0 ? 30 : 1), (int)scale * 9 - 9);
            uint32_t bits;
            memcpy(&bits, &v, sizeof bits);
            bits &= i % 61 == 0 ? 0x80000000U : 0xffff0000U;
            memcpy(x + i, &bits, sizeof bits);
            codes[2 * i] = (uint8_t)(bits >> 16);
            codes[2 * i + 1] = (uint8_t)(bits >> 24);
        }
        for (size_t i = 0; i < SC_COUNT(sizes); i++)
            check_bf16(codes, x, sizes[i][0], sizes[i][1], sizes[i][2]);
    }
#endif
}

/* Whole structs, whose lanes every level must fill alike. */
static void check_levels(const float *x, size_t n, size_t group)
{
    float inverse[64], weight[64], few_steps[600];
    uint32_t peaks[3][64], column_peak[3][600];
    double square[3][600], row[3][16];
    struct sc_sums sums[3];
    struct sc_central central[3];
    struct sc_steps steps[3][2];
    const int best = (int)sc_cpu_level();
    for (int i = 0; i < 64; i++) {
        inverse[i] = 90.0F + (float)i;
        weight[i] = 1 / (1 + (float)i);
    }
    for (size_t i = 0; i < n; i++)
        few_steps[i] = fminf(fmaxf(x[i], -4096), 4096);
    for (int level = 0; level <= best; level++) {
        const enum sc_cpu cpu = (enum sc_cpu)level;
        memset(&sums[level], 0, sizeof sums[level]);
        sc_sums(x, n, cpu, &sums[level]);
        sc_central(x, n, 0.01, cpu, &central[level]);
        sc_steps(few_steps, n, group, inverse, weight, 1, cpu, &steps[level][0]);
        sc_steps(few_steps, n, 48, inverse, weight, 0, cpu, &steps[level][1]);
        memset(peaks[level], 0, sizeof peaks[level]);
        sc_peaks(x, n, group, cpu, peaks[level]);
        for (size_t i = 0; i < 600; i++) {
            column_peak[level][i] = (uint32_t)i << 20;
            square[level][i] = (double)i;
        }
        memset(row[level], 0, sizeof row[level]);
        sc_columns(x, 1, n, cpu, column_peak[level], square[level], row[level]);
        sc_columns(x, 15, n / 15, cpu, column_peak[level], square[level], row[level] + 1);
        CHECK_BITS(&sums[level], &sums[0], sizeof sums[0]);
        CHECK_BITS(&central[level], &central[0], sizeof central[0]);
        CHECK_BITS(steps[level], steps[0], sizeof steps[0]);
        CHECK_BITS(peaks[level], peaks[0], sizeof peaks[0]);
        CHECK_BITS(column_peak[level], column_peak[0], sizeof column_peak[0]);
        CHECK_BITS(square[level], square[0], sizeof square[0]);
        CHECK_BITS(row[level], row[0], sizeof row[0]);
    }
}

TEST(levels_give_the_same_bits)
{
    float x[600];
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t n = 0; n < 600; n += n < 70 ? 1 : 53) {
            for (size_t i = 0; i < n; i++) {
                x[i] = (float)sample((enum shape_of_values)kind, 5, i + n);
                x[i] = isfinite(x[i]) ? x[i] : 0;
            }
            check_levels(x, n, 16);
            check_levels(x, n, 100);
            check_levels(x + (n > 0), n ? n - 1 : 0, 37);
        }
}

TEST(levels_add_wide_rows_alike)
{
    enum { COLS = 1101, ROWS = 11 };
    static float x[ROWS * COLS];
    static uint32_t peak[3][COLS];
    static double square[3][COLS], row[3][ROWS];
    for (size_t i = 0; i < SC_COUNT(x); i++)
        x[i] = (float)normal(3, i);
    for (int level = 0; level <= (int)sc_cpu_level(); level++) {
        sc_columns(x, ROWS, COLS, (enum sc_cpu)level, peak[level], square[level], row[level]);
        CHECK_BITS(peak[level], peak[0], sizeof peak[0]);
        CHECK_BITS(square[level], square[0], sizeof square[0]);
        CHECK_BITS(row[level], row[0], sizeof row[0]);
    }
    for (size_t k = 0; k < ROWS; k++) {
        long double sum = 0;
        for (size_t i = 0; i < COLS; i++)
            sum += (long double)x[k * COLS + i] * x[k * COLS + i];
        CLOSE(row[0][k], sum, 1e-6);
    }
}

TEST(levels_find_what_is_not_finite)
{
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t k = 0; k < SC_COUNT(bad); k++)
        for (size_t at = 0; at < 40; at++)
            for (int level = 0; level <= (int)sc_cpu_level(); level++) {
                float x[40] = {1};
                struct sc_sums s;
                uint32_t peaks[1];
                x[at] = bad[k];
                sc_sums(x, 40, (enum sc_cpu)level, &s);
                CHECK(s.most >= 0x7f800000);
                CHECK(sc_peaks(x, 40, 40, (enum sc_cpu)level, peaks) >= 0x7f800000);
            }
}

TEST(counting)
{
    enum { N = 1003 };
    static uint32_t table[65536], want[65536];
    uint8_t bytes[2 * N + 1];
    float x[N];
    uint32_t wanted[1024] = {0}, picked[N + 16];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(mix(i) & (i % 2 ? 0x83 : 0xff));
    sc_count_codes16(bytes + 1, N, table); /* any alignment */
    for (size_t i = 0; i < N; i++)
        want[sc_le16(bytes + 1 + 2 * i)]++;
    CHECK_BITS(table, want, sizeof want);
    /* Equal neighbours: runs of 1, 2, 3, ... and some that differ in one byte. */
    for (size_t i = 0, run = 1, left = 1; i < N; i++, left--) {
        left = left ? left : ++run;
        bytes[2 * i] = (uint8_t)(run % 4);
        bytes[2 * i + 1] = (uint8_t)(run % 3 ? 0 : 0xff);
        bytes[2 * i] ^= i % 97 == 96;
    }
    memset(table, 0, sizeof table);
    memset(want, 0, sizeof want);
    sc_count_codes16(bytes, N, table);
    for (size_t i = 0; i < N; i++)
        want[sc_le16(bytes + 2 * i)]++;
    CHECK_BITS(table, want, sizeof want);
    memset(table, 0, sizeof table);
    memset(want, 0, sizeof want);
    sc_count_codes8(bytes, N, table);
    for (size_t i = 0; i < N; i++)
        want[bytes[i]]++;
    CHECK_BITS(table, want, sizeof want);
    memset(table, 0, sizeof table);
    memset(want, 0, sizeof want);
    wanted[0x3f80 / 32] |= 1U << 0x3f80 % 32;
    wanted[0x3e80 / 32] |= 1U << 0x3e80 % 32;
    uint32_t want_picked[N];
    size_t n = 0;
    for (size_t i = 0; i < N; i++) {
        x[i] = (float)(i % 3 ? 1 : 0.25) * (i % 2 ? -1.0F : 1.0F) * (i % 5 ? 1 : 3);
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        want[bits >> 16]++;
        want_picked[n] = bits;
        n += i % 5 != 0;
    }
    sc_count_tops(x, N, table);
    CHECK_BITS(table, want, sizeof want);
    for (int level = 0; level <= (int)sc_cpu_level(); level++) {
        CHECK_U64(sc_pick_tops(x, N, wanted, (enum sc_cpu)level, picked), n);
        CHECK_BITS(picked, want_picked, n * sizeof picked[0]);
    }
}

/* ----------------------------------------------------------------------------------- golden --- */
struct golden {
    double mean, std, l2, kurtosis, sqnr, p10, p50, p90;
    uint64_t outliers, extreme;
};
/* Computed with numpy and scipy in double. */
static const struct golden goldens[] = {
    {1.56649475048e-4, .0361227353135, 17.6965834581, -1.203571235, 48.0980, .00627534, .03132306,
     .05624218, 0, 0},
    {3.67560356201e-5, .0159553380165, 7.81649181935, 82.39196098, 28.0420, .00110622, .00198525,
     .00961044, 29234, 16333},
    {-2.98799082703e-3, .576383797695, 172.916502139, -1.19428627, 48.0918, .1000335, .4972372,
     .9001791, 0, 0},
    {-1.77843431578e-4, .208810615688, 73.8254326412, .1725254084, 39.9887, .02438199, .1338414,
     .3490867, 1534, 0},
};

static double golden_value(int which, uint64_t i)
{
    const double u = uniform((uint64_t)which + 1, i + 1);
    if (which == 0)
        return 0.0625 * u;
    if (which == 1)
        return 0.001 * (u + 1e-300 < 0 ? -1 : 1) / (fabs(u) + 1.0 / 256);
    if (which == 2)
        return u;
    double sum = 0; /* rank 20 and noise */
    for (uint64_t j = 0; j < 20; j++)
        sum += uniform(4, i / 250 * 20 + j + 1) * uniform(5, j * 250 + i % 250 + 1) *
               (0.5 / (double)(j + 1));
    return sum + 0.01 * uniform(6, i + 1);
}

TEST(golden_matrices)
{
    static const uint64_t shapes[][2] = {{600, 400}, {600, 400}, {300, 300}, {500, 250}};
    for (int which = 0; which < 4; which++) {
        const struct golden *g = &goldens[which];
        struct feed f;
        struct sc_health h;
        feed_open(&f, "F32", shapes[which], 2);
        float *x = malloc((size_t)f.view.count * sizeof *x);
        for (uint64_t i = 0; i < f.view.count; i++)
            x[i] = (float)golden_value(which, i);
        f.values = x;
        CHECK_U64(feed_run(&f, &all, false, &h), 0);
        CHECK_U64(f.visits, 2);
        CLOSE(h.basic.mean, g->mean, 1e-11);
        CLOSE(h.basic.std, g->std, 1e-11);
        CLOSE(h.basic.l2_norm, g->l2, 1e-11);
        CLOSE(h.basic.kurtosis, g->kurtosis, 1e-8);
        CHECK_U64(h.quantization.outliers, g->outliers);
        CHECK_U64(h.quantization.extreme_outliers, g->extreme);
        CHECK(fabs(h.quantization.per_tensor.sqnr_db - g->sqnr) < 6e-5);
        CLOSE(h.sparsity.magnitude[0], g->p10, 1e-5);
        CLOSE(h.sparsity.magnitude[2], g->p50, 1e-5);
        CLOSE(h.sparsity.magnitude[4], g->p90, 1e-5);
        free(x);
    }
}

/* ------------------------------------------------------------------------------------- facts ---
 */
static void of_floats(const float *x, uint64_t n, struct sc_health *h)
{
    struct feed f;
    feed_open(&f, "F32", &n, 1);
    f.values = x;
    CHECK_U64(feed_run(&f, &all, false, h), 0);
}

TEST(narrower_types_are_noticed)
{
    enum { N = 40000 };
    float *x = malloc(N * sizeof *x);
    struct sc_health h;
    for (size_t i = 0; i < N; i++)
        x[i] = sc_bf16_value(to_bf16(normal(3, i)));
    of_floats(x, N, &h);
    CHECK_STR(h.basic.holds, "BF16");
    CHECK(h.basic.distinct > 1000 && h.basic.distinct < 65536);
    of_floats(x, 1000, &h);
    CHECK_STR(h.basic.holds, "BF16");
    for (size_t i = 0; i < N; i++)
        x[i] = sc_f16_value((uint16_t)(mix(i) & 0x87ff)); /* subnormal halves among them */
    of_floats(x, N, &h);
    CHECK_STR(h.basic.holds, "F16");
    x[77] = 1.0F / 3;
    of_floats(x, N, &h);
    CHECK_STR(h.basic.holds, "");
    x[77] = 0x1p-25F;
    of_floats(x, N, &h);
    CHECK_STR(h.basic.holds, "");
    for (size_t i = 0; i < N; i++)
        x[i] = (float)(i % 3) - 1;
    of_floats(x, N, &h);
    CHECK_STR(h.basic.holds, "F8_E4M3");
    CHECK_U64(h.basic.distinct, 3);
    free(x);
}

TEST(clip_that_loses_least)
{
    /* One value far out: integers that do not reach it keep the rest. */
    enum { N = 60000 };
    float *x = malloc(N * sizeof *x);
    struct sc_health h;
    for (int fine = 0; fine < 2; fine++) {
        for (size_t i = 0; i < N; i++)
            x[i] = fine ? (float)normal(9, i) : sc_bf16_value(to_bf16(normal(9, i)));
        x[5] = 60;
        of_floats(x, N, &h);
        const struct sc_quantization *q = &h.quantization;
        double best = INFINITY, best_share = 0;
        for (double share = 1; share > 0.01; share *= 0.99) {
            double error = 0, step = 60 * share / 127;
            for (size_t i = 0; i < N; i++) {
                const double r = nearbyint(x[i] / step);
                const double e = x[i] - fmax(-127, fmin(127, r)) * step;
                error += e * e;
            }
            if (error < best) {
                best = error;
                best_share = share;
            }
        }
        const double best_db = 20 * log10(h.basic.l2_norm) - 10 * log10(best);
        CHECK(fabs(log(q->best_clip / best_share)) < 0.05);
        CHECK(fabs(q->best_clip_sqnr_db - best_db) < 0.01);
        CHECK(q->best_clip_sqnr_db > q->per_tensor.sqnr_db + 0.5);
    }
    free(x);
}

TEST(normal_references)
{
    CHECK_NEAR(sc_normal_max(1), 0.79788456080286541, 1e-9); /* sqrt(2 / pi) */
    CHECK_NEAR(sc_normal_max(2), 1.12837916709551258, 1e-9); /* 2 / sqrt(pi) */
    CHECK(isnan(sc_normal_max(0)));
    CHECK_NEAR(100 * sc_normal_beyond(2.69795900078439), 0.6976602, 1e-6);
    CHECK_NEAR(sc_normal_beyond(3), 0.0026997960632601866, 1e-15);
    CHECK_NEAR(sc_normal_max(10000), 4.01879549053042, 1e-9); /* scipy.integrate.quad */
    CHECK_NEAR(sc_normal_max(1000000000), 6.19784609336907, 1e-9);
}

/* ------------------------------------------------------------------------------------- names ---
 */
TEST(every_figure_is_documented)
{
    static char text[1 << 17];
    FILE *f = fopen(SC_TESTDATA "/../../docs/metrics.md", "rb");
    REQUIRE(f);
    const size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    CHECK(n > 1000 && n < sizeof text - 1);
    const struct sc_metric_group *const groups[] = {&sc_metrics_basic, &sc_metrics_sparsity,
                                                    &sc_metrics_quantization};
    const char *at = text; /* the page has the order of the tables */
    for (size_t g = 0; g < SC_COUNT(groups); g++)
        for (size_t i = 0; i < groups[g]->n; i++) {
            char heading[100];
            snprintf(heading, sizeof heading, "\n### %s.%s\n", groups[g]->key,
                     groups[g]->metrics[i].key);
            const char *found = strstr(at, heading);
            if (!found)
                fprintf(stderr, "docs/metrics.md lacks%s", heading);
            CHECK(found != NULL);
            at = found ? found : at;
        }
}
