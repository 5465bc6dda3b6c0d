/* SPDX-License-Identifier: Apache-2.0 */
/* Singular values against LAPACK's dgesdd on the same matrix in double, against one-sided Jacobi in
 * long double where dgesdd is not sure enough, and against numbers that scipy gave for matrices
 * that anybody can make again. */
#include "test.h"

#include "oom.h"

#include <dlfcn.h>
#include <float.h>
#include <pthread.h>
#include <stdlib.h>

#include "math/math.h"

/* ------------------------------------------------------------------------------- matrices --- */
struct sample {
    uint64_t rows, cols;
    float *x;
    uint64_t reads;
    uint64_t fail_at;   /* the read that fails; 0: none */
    uint64_t cancel_at; /* the read that cancels; 0: none */
    _Atomic int *cancel;
    pthread_mutex_t lock;
};

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "test: no memory\n");
        abort();
    }
    return p;
}

static struct sample make(uint64_t rows, uint64_t cols)
{
    struct sample s = {.rows = rows, .cols = cols, .lock = PTHREAD_MUTEX_INITIALIZER};
    s.x = must(calloc(rows * cols + 1, sizeof *s.x));
    return s;
}

/* Number i >= 1 of sequence `seed`: uniform in [-1, 1) in steps of 2^-23. */
static double uniform(uint64_t seed, uint64_t i)
{
    uint64_t z = i * UINT64_C(0x9E3779B97F4A7C15) + seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return ((double)(z >> 40) - 8388608.0) / 8388608.0;
}

static struct sample noise(uint64_t rows, uint64_t cols, uint64_t seed)
{
    struct sample s = make(rows, cols);
    for (uint64_t i = 0; i < rows * cols; i++)
        s.x[i] = (float)uniform(seed, i + 1);
    return s;
}

/* Small integers, so that products of a few such matrices are exact. */
static void integers(double *x, uint64_t n, uint64_t seed, double size)
{
    for (uint64_t i = 0; i < n; i++)
        x[i] = rint(uniform(seed, i + 1) * size);
}

static void multiply(const double *a, const double *b, double *c, uint64_t m, uint64_t k,
                     uint64_t n)
{
    memset(c, 0, m * n * sizeof *c);
    for (uint64_t i = 0; i < m; i++)
        for (uint64_t l = 0; l < k; l++)
            for (uint64_t j = 0; j < n; j++)
                c[i * n + j] += a[i * k + l] * b[l * n + j];
}

static int read_sample(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols,
                       float *dst, struct sc_error *e)
{
    struct sample *s = ctx;
    pthread_mutex_lock(&s->lock);
    const uint64_t number = ++s->reads;
    pthread_mutex_unlock(&s->lock);
    if (number == s->fail_at)
        return sc_fail(e, SCRUPLE_EIO, "the disk is gone");
    if (number == s->cancel_at)
        atomic_store(s->cancel, 1);
    if (row + n_rows > s->rows || col + n_cols > s->cols)
        abort();
    static const volatile float scale = 1; /* read as a decoder would: by arithmetic */
    const float one = scale;
    for (uint64_t i = 0; i < n_rows; i++)
        for (uint64_t j = 0; j < n_cols; j++)
            dst[i * n_cols + j] = s->x[(row + i) * s->cols + col + j] * one;
    return 0;
}

static int values_of(struct sample *s, const struct sc_svd_options *o, const struct sc_parallel *p,
                     struct sc_svd *out, struct sc_error *e)
{
    const struct sc_matrix m = {s->rows, s->cols, read_sample, s, NULL};
    return sc_svd_values(&m, o, p, out, e);
}

static struct sc_svd values(struct sample *s, const struct sc_svd_options *o)
{
    struct sc_svd out;
    struct sc_error e = {0};
    if (values_of(s, o, NULL, &out, &e) < 0) {
        fprintf(stderr, "test: %s\n", e.text);
        abort();
    }
    return out;
}

static const struct sc_svd_options plain, refine = {.refine = true}, quick = {.quick = true};

/* -------------------------------------------------------------------------------- oracles --- */
typedef void dgesdd_fn(const char *job, const int *m, const int *n, double *a, const int *lda,
                       double *s, double *u, const int *ldu, double *vt, const int *ldvt,
                       double *work, const int *lwork, int *iwork, int *info, size_t);

/* All values, descending, by dgesdd; freed by the caller. */
static double *oracle(const struct sample *s)
{
    static dgesdd_fn *dgesdd;
    if (!dgesdd) {
        void *handle = must(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL));
        void *at = must(dlsym(handle, "dgesdd_"));
        memcpy(&dgesdd, &at, sizeof at);
    }
    const int m = (int)s->cols, n = (int)s->rows, one = 1; /* row-major: the transpose */
    const uint64_t k = SC_MIN(s->rows, s->cols), l = SC_MAX(s->rows, s->cols);
    const int size = (int)(20 * k * 8 + 80 * l + 1000);
    double *a = must(malloc(s->rows * s->cols * sizeof *a)), *values = must(malloc(k * sizeof *a));
    double *work = must(malloc((size_t)size * sizeof *work)), unused;
    int *iwork = must(malloc(8 * k * sizeof *iwork)), info = 0;
    for (uint64_t i = 0; i < s->rows * s->cols; i++)
        a[i] = (double)s->x[i];
    dgesdd("N", &m, &n, a, &m, values, &unused, &one, &unused, &one, work, &size, iwork, &info, 1);
    if (info != 0)
        abort();
    free(a);
    free(work);
    free(iwork);
    return values;
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* All values, by one-sided Jacobi in long double. */
static double *jacobi(const struct sample *s)
{
    const bool wide = s->rows < s->cols;
    const uint64_t n = SC_MIN(s->rows, s->cols), m = SC_MAX(s->rows, s->cols);
    long double *a = must(malloc(m * n * sizeof *a)); /* n vectors of m */
    for (uint64_t j = 0; j < n; j++)
        for (uint64_t i = 0; i < m; i++)
            a[j * m + i] = (long double)(wide ? s->x[j * m + i] : s->x[i * n + j]);
    for (int sweep = 0; sweep < 40; sweep++) {
        bool quiet = true;
        for (uint64_t p = 0; p < n; p++) {
            for (uint64_t q = p + 1; q < n; q++) {
                long double pp = 0, qq = 0, pq = 0;
                for (uint64_t i = 0; i < m; i++) {
                    pp += a[p * m + i] * a[p * m + i];
                    qq += a[q * m + i] * a[q * m + i];
                    pq += a[p * m + i] * a[q * m + i];
                }
                if (fabsl(pq) <= 1e-18L * sqrtl(pp * qq) || pq == 0)
                    continue;
                quiet = false;
                const long double zeta = (qq - pp) / (2 * pq);
                const long double t = (zeta > 0 ? 1 : -1) / (fabsl(zeta) + sqrtl(1 + zeta * zeta));
                const long double c = 1 / sqrtl(1 + t * t), z = c * t;
                for (uint64_t i = 0; i < m; i++) {
                    const long double x = a[p * m + i], y = a[q * m + i];
                    a[p * m + i] = c * x - z * y;
                    a[q * m + i] = z * x + c * y;
                }
            }
        }
        if (quiet)
            break;
    }
    double *values = must(malloc(n * sizeof *values));
    for (uint64_t j = 0; j < n; j++) {
        long double sum = 0;
        for (uint64_t i = 0; i < m; i++)
            sum += a[j * m + i] * a[j * m + i];
        values[j] = (double)sqrtl(sum);
    }
    qsort(values, n, sizeof *values, descending);
    free(a);
    return values;
}

/* |got - want| <= tolerance * s[0] for every rank. */
static bool close_to(const double *got, const double *want, uint64_t n, double tolerance)
{
    for (uint64_t i = 0; i < n; i++) {
        if (!(fabs(got[i] - want[i]) <= tolerance * want[0])) {
            fprintf(stderr,
                    "value %" PRIu64 " of %" PRIu64 " is %.17g, expected %.17g (largest %g)\n", i,
                    n, got[i], want[i], want[0]);
            return false;
        }
    }
    return true;
}

/* What the Gram matrix promises: eps kappa, relative to the value, squared away. */
static bool gram_close(const double *got, const double *want, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        const double kappa = want[0] / want[i];
        const double tolerance = fmax(1e-12, 2 * DBL_EPSILON * kappa * kappa);
        if (!(fabs(got[i] - want[i]) <= tolerance * want[i])) {
            fprintf(stderr, "value %" PRIu64 " of %" PRIu64 " is %.17g, expected %.17g within %g\n",
                    i, n, got[i], want[i], tolerance);
            return false;
        }
    }
    return true;
}

/* -------------------------------------------------------------------- matrices anybody can make */
static struct sample golden(char which)
{
    struct sample s = which == 'C'   ? make(300, 300)
                      : which == 'D' ? make(500, 250)
                                     : make(600, 400);
    for (uint64_t i = 0; i < s.rows * s.cols; i++) {
        const double u = uniform(which == 'D' ? 6 : (uint64_t)(which - 'A' + 1), i + 1);
        double x = u;
        if (which == 'A')
            x = 0.0625 * u;
        else if (which == 'B')
            x = 0.001 * (u + 1e-300 > 0 ? 1.0 : -1.0) / (fabs(u) + 1 / 256.0);
        else if (which == 'D') {
            const uint64_t row = i / 250, col = i % 250;
            x = 0;
            for (uint64_t j = 0; j < 20; j++)
                x += uniform(4, row * 20 + j + 1) * uniform(5, j * 250 + col + 1) *
                     (0.5 / ((double)j + 1));
            x += 0.01 * u;
        }
        s.x[i] = (float)x;
    }
    return s;
}

static void check_golden(char which, double largest, double least, double stable_rank)
{
    struct sample s = golden(which);
    struct sc_svd v = values(&s, &plain);
    double *want = oracle(&s);
    REQUIRE(v.n == SC_MIN(s.rows, s.cols));
    CHECK(v.method == SC_SVD_GRAM);
    CHECK_NEAR(v.s[0] / largest, 1, 1e-11);
    CHECK_NEAR(v.s[v.n - 1] / least, 1, 1e-10);
    CHECK_NEAR(v.frobenius * v.frobenius / (v.s[0] * v.s[0]) / stable_rank, 1, 1e-11);
    CHECK_NEAR(v.s[0] / want[0], 1, 1e-12);
    CHECK(gram_close(v.s, want, v.n));
    double squares = 0;
    for (size_t i = 0; i < v.n; i++)
        squares += v.s[i] * v.s[i];
    CHECK_NEAR(sqrt(squares) / v.frobenius, 1, 1e-13);
    free(want);
    free(s.x);
    sc_svd_clear(&v);
}
TEST(golden_uniform)
{
    check_golden('A', 1.59256846912, .160492256993, 123.476022499);
}
TEST(golden_heavy_tails)
{
    check_golden('B', .787889626275, .0626248999171, 98.4221823582);
}
TEST(golden_square)
{
    check_golden('C', 19.6793150131, .0508740820595, 77.2063334544);
}
TEST(golden_low_rank_and_noise)
{
    check_golden('D', 57.7973830702, .0402187361801, 1.63153220742);
}

/* ----------------------------------------------------------------------------------- shapes --- */
TEST(any_shape_agrees_with_lapack)
{
    static const uint64_t shapes[][2] = {{1, 1},     {1, 7},     {9, 1},     {2, 2},     {3, 5},
                                         {17, 4},    {64, 64},   {33, 100},  {100, 33},  {63, 5000},
                                         {5000, 5},  {256, 256}, {321, 400}, {322, 322}, {400, 340},
                                         {353, 353}, {384, 700}, {601, 383}};
    for (size_t i = 0; i < SC_COUNT(shapes); i++) {
        struct sample s = noise(shapes[i][0], shapes[i][1], 100 + i);
        struct sc_svd v = values(&s, &plain);
        double *want = oracle(&s);
        CHECK_U64(v.n, SC_MIN(s.rows, s.cols));
        if (!gram_close(v.s, want, v.n)) {
            fprintf(stderr, "  of %" PRIu64 " x %" PRIu64 "\n", s.rows, s.cols);
            CHECK(false);
        }
        CHECK(v.error_bound > 0 || v.n == 1);
        free(want);
        free(s.x);
        sc_svd_clear(&v);
    }
}

TEST(nothing_has_no_values)
{
    struct sample s = make(0, 5);
    struct sc_svd v = values(&s, &plain);
    CHECK_U64(v.n, 0);
    sc_svd_clear(&v);
    free(s.x);
}

TEST(zeros_are_zeros)
{
    struct sample s = make(300, 290);
    const struct sc_svd_options *all[] = {&plain, &refine, &quick};
    for (size_t k = 0; k < SC_COUNT(all); k++) {
        struct sc_svd v = values(&s, all[k]);
        CHECK_U64(v.n, k == 2 ? 10 : 290);
        for (size_t i = 0; i < v.n; i++)
            CHECK(v.s[i] == 0);
        CHECK(v.frobenius == 0 && v.floor == 0);
        sc_svd_clear(&v);
    }
    free(s.x);
}

TEST(scale_by_a_power_of_two_is_exact)
{
    struct sample s = noise(330, 340, 7), t = noise(330, 340, 7);
    const int powers[] = {100, -100, 3, -120};
    struct sc_svd want = values(&s, &plain);
    for (size_t k = 0; k < SC_COUNT(powers); k++) {
        for (uint64_t i = 0; i < s.rows * s.cols; i++)
            t.x[i] = ldexpf(s.x[i], powers[k]);
        struct sc_svd got = values(&t, &refine);
        for (size_t i = 0; i < want.n; i++)
            got.s[i] = ldexp(got.s[i], -powers[k]);
        CHECK_BITS(got.s, want.s, want.n * sizeof *want.s);
        CHECK_NEAR(ldexp(got.frobenius, -powers[k]), want.frobenius, 1e-15);
        sc_svd_clear(&got);
    }
    sc_svd_clear(&want);
    free(s.x);
    free(t.x);
}

TEST(tiny_numbers_of_the_file_are_seen)
{
    struct sample s = make(40, 30); /* subnormal floats */
    for (uint64_t i = 0; i < s.rows * s.cols; i++)
        s.x[i] = (float)(uniform(9, i + 1) * 1e-40);
    struct sc_svd v = values(&s, &refine);
    double *want = oracle(&s);
    CHECK(gram_close(v.s, want, v.n));
    free(want);
    free(s.x);
    sc_svd_clear(&v);
}

/* --------------------------------------------------------------------------- small values --- */
/* A product of `factors` random integer matrices: exact in float, and the more, the worse. */
static struct sample product(uint64_t rows, uint64_t cols, unsigned factors, double size)
{
    const uint64_t n = SC_MAX(rows, cols);
    double *a = must(malloc(n * n * sizeof *a)), *b = must(malloc(n * n * sizeof *b));
    double *c = must(malloc(n * n * sizeof *c)), *swap;
    integers(a, rows * cols, 1, size);
    for (unsigned k = 1; k < factors; k++) {
        integers(b, cols * cols, 10 + k, size);
        multiply(a, b, c, rows, cols, cols);
        swap = a, a = c, c = swap;
    }
    struct sample s = make(rows, cols);
    for (uint64_t i = 0; i < rows * cols; i++) {
        s.x[i] = (float)a[i];
        if ((double)s.x[i] != a[i])
            abort();
    }
    free(a);
    free(b);
    free(c);
    return s;
}

static void check_refined(struct sample *s)
{
    struct sc_svd v = values(s, &refine);
    double *want = jacobi(s);
    CHECK(v.method == SC_SVD_REFINED);
    for (size_t i = 0; i < v.n; i++) {
        const double kappa = want[0] / want[i];
        if (want[i] <= v.floor) {
            CHECK(v.s[i] == 0);
            continue;
        }
        /* 1e-5 where the Gram matrix was trusted, and what QR can give below */
        const double tolerance = kappa < 3e5 ? fmax(1e-12, 2 * DBL_EPSILON * kappa * kappa)
                                             : fmax(1e-8, 4 * DBL_EPSILON * kappa);
        if (fabs(v.s[i] - want[i]) > tolerance * want[i]) {
            fprintf(stderr, "value %zu: %.17g, expected %.17g (kappa %g)\n", i, v.s[i], want[i],
                    kappa);
            CHECK(false);
        }
    }
    if (want[v.n - 1] > v.floor)
        CHECK(fabs(v.s[v.n - 1] / want[v.n - 1] - 1) <= 4 * v.error_bound + 1e-12);
    free(want);
    sc_svd_clear(&v);
}

TEST(one_small_value_is_refined)
{
    struct sample s = noise(90, 60, 3);
    /* the last column is nearly the sum of two others, exactly so far as floats go */
    for (uint64_t i = 0; i < s.rows; i++) {
        float *row = s.x + i * s.cols;
        row[3] = ldexpf(rintf(ldexpf(row[3], 10)), -10);
        row[7] = ldexpf(rintf(ldexpf(row[7], 10)), -10);
        row[59] = row[3] + row[7] + (i % 2 ? 0x1p-22f : 0);
    }
    check_refined(&s);
    free(s.x);
}

TEST(several_small_values_are_refined)
{
    static const uint64_t shapes[][2] = {{24, 24}, {30, 24}, {24, 31}};
    for (size_t i = 0; i < SC_COUNT(shapes); i++) {
        struct sample s = product(shapes[i][0], shapes[i][1] < 25 ? shapes[i][1] : 24, 5, 2.4);
        check_refined(&s);
        free(s.x);
    }
}

TEST(graded_columns_are_refined)
{
    struct sample s = noise(120, 80, 12);
    for (uint64_t i = 0; i < s.rows * s.cols; i++)
        s.x[i] = ldexpf(s.x[i], -(int)(i % s.cols) / 3); /* to 2^-26 */
    check_refined(&s);
    for (uint64_t i = 0; i < s.rows * s.cols; i++)
        s.x[i] = ldexpf((float)uniform(12, i + 1), -(int)(i % s.cols)); /* more than can be told */
    check_refined(&s);
    free(s.x);
}

TEST(many_small_values_go_another_way)
{
    struct sample s = noise(210, 200, 13);
    for (uint64_t i = 0; i < s.rows * s.cols; i++)
        if (i % s.cols >= 80)
            s.x[i] = ldexpf(s.x[i], -24);
    struct sc_svd v = values(&s, &refine);
    double *want = oracle(&s);
    CHECK(v.method == SC_SVD_REFINED);
    for (size_t i = 0; i < v.n; i++)
        if (fabs(v.s[i] / want[i] - 1) > 1e-7) {
            fprintf(stderr, "value %zu: %.17g, expected %.17g\n", i, v.s[i], want[i]);
            CHECK(false);
        }
    free(want);
    free(s.x);
    sc_svd_clear(&v);
}

TEST(equal_small_values_are_all_found)
{
    static const double sizes[] = {0x1p-19, 0x1p-24}; /* the first: Lanczos misses some of them */
    for (size_t k = 0; k < SC_COUNT(sizes); k++) {
        struct sample s = make(70, 60);
        for (uint64_t i = 0; i < 60; i++)
            s.x[((i * 3 + 1) % 70) * 60 + (i * 13 + 5) % 60] = i < 52 ? 1 : (float)sizes[k];
        struct sc_svd v = values(&s, &refine);
        for (size_t i = 0; i < 60; i++)
            CHECK_NEAR(v.s[i] / (i < 52 ? 1 : sizes[k]), 1, 1e-8);
        free(s.x);
        sc_svd_clear(&v);
    }
}

TEST(small_values_without_a_gap_are_refined)
{
    struct sample s = noise(150, 100, 15); /* the limit goes through a cloud of them */
    for (uint64_t i = 0; i < s.rows * s.cols; i++)
        if (i % s.cols >= 40)
            s.x[i] = ldexpf(s.x[i], -17);
    check_refined(&s);
    free(s.x);
}

static uint64_t rank_of(const struct sc_svd *v)
{
    uint64_t rank = 0;
    while (rank < v->n && v->s[rank] > 0)
        rank++;
    return rank;
}

TEST(numerical_rank_is_that_of_lapack)
{
    static const uint64_t cases[][3] = {{50, 60, 7}, {60, 50, 49}, {80, 80, 79}, {300, 270, 200}};
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        const uint64_t m = cases[i][0], n = cases[i][1], k = cases[i][2];
        double *a = must(malloc(m * k * sizeof *a)), *b = must(malloc(k * n * sizeof *b));
        double *c = must(malloc(m * n * sizeof *c));
        integers(a, m * k, 1, 9);
        integers(b, k * n, 2, 9);
        multiply(a, b, c, m, k, n);
        struct sample s = make(m, n);
        for (uint64_t j = 0; j < m * n; j++)
            s.x[j] = (float)c[j];
        struct sc_svd v = values(&s, &refine);
        CHECK_U64(rank_of(&v), k);
        double *want = oracle(&s);
        CHECK(close_to(v.s, want, v.n, 2e-11)); /* 1e-5 of values above 1 / 3e5 */
        free(want);
        free(a);
        free(b);
        free(c);
        free(s.x);
        sc_svd_clear(&v);
    }
}

TEST(dead_rows_and_columns_are_exact_zeros)
{
    const struct sc_svd_options *all[] = {&plain, &refine};
    for (int turned = 0; turned < 2; turned++) {
        struct sample s = turned ? make(70, 90) : make(90, 70);
        for (uint64_t i = 0; i < s.rows * s.cols; i++) {
            const uint64_t row = i / s.cols, col = i % s.cols, short_side = turned ? row : col;
            s.x[i] = short_side % 5 == 2 || row == 11 ? 0 : (float)uniform(4, i + 1);
        }
        double *want = oracle(&s);
        for (size_t k = 0; k < 2; k++) {
            struct sc_svd v = values(&s, all[k]);
            CHECK_U64(rank_of(&v), turned ? 55 : 56); /* row 11 is one of the short side there */
            CHECK(close_to(v.s, want, v.n, 1e-13));
            CHECK(v.method == SC_SVD_GRAM);
            sc_svd_clear(&v);
        }
        free(want);
        free(s.x);
    }
}

TEST(constant_matrices_have_rank_one)
{
    struct sample s = make(400, 390);
    for (uint64_t i = 0; i < s.rows * s.cols; i++)
        s.x[i] = 0.3f;
    struct sc_svd v = values(&s, &refine);
    CHECK_U64(rank_of(&v), 1);
    CHECK_NEAR(v.s[0], (double)0.3f * sqrt(400.0 * 390.0), 1e-13);
    sc_svd_clear(&v);
    free(s.x);
}

/* ----------------------------------------------------------------------------- other methods ---
 */
TEST(quick_finds_the_largest)
{
    static const uint64_t shapes[][2] = {{600, 400}, {300, 500}, {12, 40}, {5, 5}};
    for (size_t k = 0; k < 2 * SC_COUNT(shapes); k++) {
        struct sample s = noise(shapes[k / 2][0], shapes[k / 2][1], 21 + k);
        struct sc_svd_options o = quick;
        o.max_rank = k % 2 ? 4 : 0; /* by reading again and again */
        struct sc_svd v = values(&s, &o);
        double *want = oracle(&s);
        CHECK(v.method == SC_SVD_LANCZOS);
        CHECK_U64(v.n, SC_MIN(10, SC_MIN(s.rows, s.cols)));
        for (size_t i = 0; i < v.n; i++)
            CHECK(fabs(v.s[i] / want[i] - 1) <= v.error_bound + 1e-12);
        CHECK(fabs(v.s[0] / want[0] - 1) <= v.residual + 1e-12);
        CHECK(v.error_bound < 1e-6);
        double squares = 0;
        for (uint64_t i = 0; i < SC_MIN(s.rows, s.cols); i++)
            squares += want[i] * want[i];
        CHECK_NEAR(v.frobenius / sqrt(squares), 1, 1e-13);
        free(want);
        free(s.x);
        sc_svd_clear(&v);
    }
}

TEST(quick_of_low_rank_ends)
{
    struct sample s = make(100, 80);
    for (uint64_t i = 0; i < 3; i++)
        s.x[i * 80 + i] = (float)(i + 1);
    struct sc_svd v = values(&s, &quick);
    CHECK_NEAR(v.s[0], 3, 1e-12);
    CHECK_NEAR(v.s[1], 2, 1e-12);
    CHECK_NEAR(v.s[2], 1, 1e-12);
    for (size_t i = 3; i < 10; i++)
        CHECK(v.s[i] == 0);
    sc_svd_clear(&v);
    free(s.x);
}

TEST(estimate_follows_the_distribution)
{
    for (int spiked = 0; spiked < 2; spiked++) {
        struct sample s = noise(700, 500, 31);
        if (spiked)
            for (uint64_t i = 0; i < s.rows * s.cols; i++)
                s.x[i] += (float)(0.4 * uniform(1, i / s.cols + 1) * uniform(2, i % s.cols + 1));
        struct sc_svd_options o = {.max_rank = 100};
        struct sc_svd v = values(&s, &o);
        double *want = oracle(&s);
        CHECK(v.method == SC_SVD_ESTIMATE);
        CHECK_U64(v.n, 500);
        CHECK_NEAR(v.s[0] / want[0], 1, spiked ? 1e-8 : 1e-3);
        double squares = 0, worst = 0;
        for (size_t i = 0; i < v.n; i++) {
            squares += v.s[i] * v.s[i];
            worst = fmax(worst, fabs(v.s[i] - want[i]) / want[v.n / 2]);
            CHECK(i == 0 || v.s[i] <= v.s[i - 1]);
        }
        CHECK(worst < 0.05);
        CHECK_NEAR(sqrt(squares) / v.frobenius, 1, 1e-3);
        CHECK(v.error_bound == 1);
        free(want);
        free(s.x);
        sc_svd_clear(&v);
    }
}

TEST(short_memory_makes_it_an_estimate)
{
    struct sample s = noise(500, 450, 32);
    struct sc_svd_options o = {0};
    o.memory = sc_svd_memory(s.rows, s.cols, &o);
    struct sc_svd v = values(&s, &o);
    CHECK(v.method == SC_SVD_GRAM);
    sc_svd_clear(&v);
    o.memory--;
    v = values(&s, &o);
    CHECK(v.method == SC_SVD_ESTIMATE);
    sc_svd_clear(&v);
    free(s.x);
}

TEST(memory_is_three_squares_and_panels)
{
    const struct sc_svd_options o = {0};
    for (uint64_t n = 2048; n <= 16384; n *= 2)
        CHECK(sc_svd_memory(n, 3 * n, &o) <= 24 * n * n);
    CHECK(sc_svd_memory(UINT64_MAX, UINT64_MAX, &o) > 0);
}

/* ---------------------------------------------------------------------------------- threads --- */
struct share {
    size_t n;
    _Atomic size_t next;
    void (*fn)(void *ctx, size_t i);
    void *ctx;
};
static void *take(void *arg)
{
    struct share *s = arg;
    for (size_t i; (i = atomic_fetch_add(&s->next, 1)) < s->n;)
        s->fn(s->ctx, s->n - 1 - i); /* backwards: no order is promised */
    return NULL;
}
static void run_threads(void *ctx, size_t n, void (*fn)(void *fn_ctx, size_t i), void *fn_ctx)
{
    const size_t threads = SC_MIN(*(size_t *)ctx, n);
    struct share s = {.n = n, .fn = fn, .ctx = fn_ctx};
    pthread_t t[8];
    for (size_t i = 1; i < threads; i++)
        if (pthread_create(&t[i], NULL, take, &s) != 0)
            abort();
    take(&s);
    for (size_t i = 1; i < threads; i++)
        pthread_join(t[i], NULL);
}

TEST(any_number_of_threads_gives_the_same_bits)
{
    struct sample s = noise(700, 610, 41);
    for (uint64_t i = 0; i < s.rows; i++) /* three values that want refining */
        for (uint64_t j = 0; j < 3; j++)
            s.x[i * s.cols + j] = s.x[i * s.cols + 5 + j] + ldexpf(s.x[i * s.cols + j], -20);
    struct sc_svd_options o[] = {plain, refine, quick, quick, {.max_rank = 50}};
    o[3].max_rank = 50;
    static const enum sc_svd_method methods[] = {SC_SVD_GRAM, SC_SVD_REFINED, SC_SVD_LANCZOS,
                                                 SC_SVD_LANCZOS, SC_SVD_ESTIMATE};
    for (size_t k = 0; k < SC_COUNT(o); k++) {
        struct sc_svd want = values(&s, &o[k]);
        CHECK_U64(want.method, methods[k]);
        for (size_t threads = 2; threads <= 5; threads += 3) {
            struct sc_parallel p = {run_threads, &threads, (unsigned)threads};
            struct sc_svd got;
            REQUIRE(values_of(&s, &o[k], &p, &got, NULL) == 0);
            CHECK_U64(got.n, want.n);
            CHECK_BITS(got.s, want.s, want.n * sizeof *want.s);
            CHECK(got.frobenius == want.frobenius && got.error_bound == want.error_bound);
            sc_svd_clear(&got);
        }
        sc_svd_clear(&want);
    }
    free(s.x);
}

struct one_of_many {
    struct sample s;
    struct sc_svd v;
    int status;
};
static void *one_of_many(void *arg)
{
    struct one_of_many *o = arg;
    o->status = values_of(&o->s, &refine, NULL, &o->v, NULL);
    return NULL;
}
TEST(several_matrices_at_once)
{
    struct one_of_many o[4];
    pthread_t t[4];
    for (size_t i = 0; i < 4; i++) {
        o[i].s = noise(350, 330 + i / 2, 51);
        REQUIRE(pthread_create(&t[i], NULL, one_of_many, &o[i]) == 0);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    for (size_t i = 0; i < 4; i++)
        REQUIRE(o[i].status == 0);
    CHECK_BITS(o[0].v.s, o[1].v.s, o[0].v.n * sizeof(double));
    CHECK_BITS(o[2].v.s, o[3].v.s, o[2].v.n * sizeof(double));
    for (size_t i = 0; i < 4; i++) {
        free(o[i].s.x);
        sc_svd_clear(&o[i].v);
    }
}

/* ---------------------------------------------------------------------------------- refusals ---
 */
TEST(what_is_not_finite_is_refused)
{
    static const uint64_t shapes[][2] = {{40, 300}, {300, 40}, {1, 1}};
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct sc_svd_options o[] = {plain, refine, quick, {.max_rank = 1}};
    for (size_t k = 0; k < SC_COUNT(shapes) * SC_COUNT(bad) * SC_COUNT(o); k++) {
        const uint64_t *shape = shapes[k % 3];
        struct sample s = noise(shape[0], shape[1], 61);
        s.x[s.rows * s.cols - 1] = bad[k / 3 % 3];
        struct sc_svd v;
        struct sc_error e = {0};
        CHECK_ERR(SCRUPLE_EFORMAT, values_of(&s, &o[k / 9], NULL, &v, &e));
        CHECK(strstr(e.text, "not finite") != NULL);
        CHECK(v.s == NULL && v.n == 0);
        free(s.x);
    }
}

TEST(a_failed_read_is_passed_on)
{
    struct sample s = noise(300, 280, 62);
    struct sc_svd v;
    struct sc_error e = {0};
    s.fail_at = 3;
    CHECK_ERR(SCRUPLE_EIO, values_of(&s, &plain, NULL, &v, &e));
    CHECK_STR(e.text, "the disk is gone");
    free(s.x);
}

TEST(cancel_stops_every_method)
{
    struct sc_svd_options o[] = {plain, refine, quick, {.max_rank = 1}};
    for (size_t k = 0; k < SC_COUNT(o); k++) {
        struct sample s = noise(300, 280, 63);
        _Atomic int cancel = 0;
        struct sc_svd v;
        s.cancel = o[k].cancel ? NULL : &cancel;
        s.cancel_at = 2;
        o[k].cancel = &cancel;
        CHECK_ERR(SCRUPLE_EINTERRUPTED, values_of(&s, &o[k], NULL, &v, NULL));
        CHECK(v.s == NULL);
        free(s.x);
    }
}

TEST(every_allocation_may_fail)
{
    struct sample s = noise(340, 330, 64);
    for (uint64_t i = 0; i < s.rows; i++)
        s.x[i * s.cols] = s.x[i * s.cols + 5] + ldexpf(s.x[i * s.cols], -20);
    struct sc_svd_options o[] = {refine, quick, {.max_rank = 1}, {.quick = true, .max_rank = 1}};
    for (size_t k = 0; k < SC_COUNT(o); k++) {
        struct sc_svd v = values(&s, &o[k]); /* the library is loaded */
        sc_svd_clear(&v);
        for (uint64_t at = 0;; at++) {
            struct sc_error e = {0};
            sc_oom_fail_at(at);
            const int status = values_of(&s, &o[k], NULL, &v, &e);
            const bool reached = sc_oom_failed() > 0;
            sc_oom_off();
            if (!reached) {
                CHECK(at >= 4 && status == 0);
                sc_svd_clear(&v);
                break;
            }
            CHECK_ERR(SCRUPLE_EMEMORY, status);
            CHECK(e.code == SCRUPLE_EMEMORY && v.s == NULL);
        }
    }
    free(s.x);
}
