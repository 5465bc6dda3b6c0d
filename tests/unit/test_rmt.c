/* SPDX-License-Identifier: Apache-2.0 */
/* test_rmt: random numbers, the normal distribution, random matrices. Constants are from scipy
 * (quad, norm, brentq): tests/oracle/make_spectra.py prints them. */
#include "test.h"

#include <stdlib.h>

#include "math/math.h"
#include "oom.h"

#define CHECK_RELATIVE(got, want, tolerance) CHECK_NEAR((got) / (want), 1, tolerance)

/* ------------------------------------------------------------------------------- random --- */
TEST(random_numbers_are_those_of_splitmix64)
{
    /* What its authors' program gives for seed 1234567. */
    CHECK_U64(sc_random(1234567, 0), UINT64_C(6457827717110365317));
    CHECK_U64(sc_random(1234567, 1), UINT64_C(3203168211198807973));
    CHECK_U64(sc_random(1234567, 4), UINT64_C(16408922859458223821));
}

TEST(bounded_numbers_are_products)
{
    CHECK_U64(sc_random_below(1, 1, 1), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        const uint64_t n = sc_random(9, i) >> (i % 64);
        if (n == 0)
            continue;
        const unsigned __int128 product = (unsigned __int128)sc_random(3, i) * n;
        CHECK_U64(sc_random_below(3, i, n), product >> 64);
    }
}

struct grid {
    uint64_t cols;
    float scale;
    uint64_t fails_from;
};

static int read_grid(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols,
                     float *dst, struct sc_error *e)
{
    const struct grid *g = ctx;
    if (row + n_rows > g->fails_from)
        return sc_fail(e, SCRUPLE_EIO, "row %d", (int)row);
    for (uint64_t r = 0; r < n_rows; r++)
        for (uint64_t c = 0; c < n_cols; c++)
            *dst++ = (float)((row + r) * g->cols + col + c) * g->scale;
    return 0;
}

static float *shuffled(uint64_t rows, uint64_t cols, uint64_t seed, const struct sc_parallel *p)
{
    struct grid g = {cols, 1, UINT64_MAX};
    const struct sc_matrix m = {rows, cols, read_grid, &g, NULL};
    float *v = malloc(rows * cols * sizeof *v);
    CHECK_ERR(0, sc_shuffled_copy(&m, seed, p, v, NULL));
    return v;
}

static void backwards(void *ctx, size_t n, void (*fn)(void *fn_ctx, size_t i), void *fn_ctx)
{
    (void)ctx;
    while (n-- > 0)
        fn(fn_ctx, n);
}

TEST(a_shuffle_keeps_every_value)
{
    static const uint64_t shapes[][2] = {{1, 1}, {3, 5}, {1, 200000}, {1500, 1100}, {200000, 7}};
    const struct sc_parallel other = {backwards, NULL, 4};
    for (size_t k = 0; k < 5; k++) {
        const uint64_t n = shapes[k][0] * shapes[k][1];
        float *v = shuffled(shapes[k][0], shapes[k][1], 5, NULL);
        float *w = shuffled(shapes[k][0], shapes[k][1], 5, &other);
        char *seen = calloc(n, 1);
        CHECK_BITS(w, v, n * sizeof *v);
        uint64_t fixed = 0;
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t at = (uint64_t)v[i];
            if (at < n && (float)at == v[i])
                seen[at]++;
            fixed += at == i;
        }
        CHECK(memchr(seen, 0, n) == NULL); /* n values, each seen: each once */
        CHECK(n < 100 || fixed < 20);      /* Poisson with mean 1 */
        free(seen);
        free(v);
        free(w);
    }
}

/* All 24 orders of four values: chi squared with 23 degrees of freedom is below 50 but for one in
 * a thousand. Across buckets: where the first value of a large matrix goes, in 16 parts. */
TEST(all_orders_are_equally_likely)
{
    unsigned count[256] = {0}, part[16] = {0};
    double chi = 0, chi_part = 0;
    for (uint64_t seed = 0; seed < 24000; seed++) {
        float *v = shuffled(2, 2, seed, NULL);
        count[(int)(v[0] * 64 + v[1] * 16 + v[2] * 4 + v[3])]++;
        free(v);
    }
    for (int i = 0; i < 256; i++)
        chi += count[i] ? (count[i] - 1000.0) * (count[i] - 1000.0) / 1000 : 0;
    CHECK(chi > 5 && chi < 50);
    float *v = shuffled(1000, 600, 1, NULL);
    for (int i = 0; i < 600000; i++) /* how much of the first sixteenth goes where */
        if (v[i] < 37500)
            part[i / 37500]++;
    for (int i = 0; i < 16; i++)
        chi_part += (part[i] - 37500 / 16.0) * (part[i] - 37500 / 16.0) / (37500 / 16.0);
    CHECK(chi_part > 2 && chi_part < 38);
    free(v);
}

TEST(a_shuffle_says_what_cannot_be_read)
{
    struct grid g = {1000, 1, 1500};
    const struct sc_matrix m = {3000, 1000, read_grid, &g, NULL};
    struct sc_error e = {0};
    float *v = malloc(3000 * 1000 * sizeof *v);
    CHECK_ERR(SCRUPLE_EIO, sc_shuffled_copy(&m, 1, NULL, v, &e));
    CHECK(strncmp(e.text, "row 1", 5) == 0);
    CHECK_ERR(SCRUPLE_EIO, sc_shuffled_copy(&m, 1, NULL, v, NULL));
    free(v);
}

TEST(a_shuffle_says_when_memory_ends)
{
    struct grid g = {1000, 1, UINT64_MAX};
    const struct sc_matrix m = {2500, 1000, read_grid, &g, NULL};
    float *v = malloc(2500 * 1000 * sizeof *v);
    uint64_t k = 0;
    for (bool reached = true; reached; k++) {
        struct sc_error e = {0};
        sc_oom_fail_at(k);
        const int code = sc_shuffled_copy(&m, 1, NULL, v, &e);
        reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK_ERR(reached ? SCRUPLE_EMEMORY : 0, code);
        CHECK_ERR(reached ? SCRUPLE_EMEMORY : 0, e.code);
    }
    CHECK(k > 5);
    free(v);
}

/* ------------------------------------------------------------------------------- normal --- */
TEST(normal_distribution)
{
    CHECK_RELATIVE(sc_normal_cdf(-37), 5.725571222524577e-300, 1e-13);
    CHECK_RELATIVE(sc_normal_cdf(-6), 9.865876450376946e-10, 1e-14);
    CHECK_RELATIVE(sc_normal_cdf(-1), 0.15865525393145707, 1e-15);
    CHECK_RELATIVE(sc_normal_cdf(0.5), 0.6914624612740131, 1e-15);
    CHECK_RELATIVE(sc_normal_cdf(3), 0.9986501019683699, 1e-15);
    CHECK_RELATIVE(sc_normal_quantile(1e-300), -37.0470962993612, 1e-14);
    CHECK_RELATIVE(sc_normal_quantile(1e-12), -7.034483825301131, 1e-14);
    CHECK_RELATIVE(sc_normal_quantile(0.01), -2.3263478740408408, 1e-14);
    CHECK_RELATIVE(sc_normal_quantile(0.3), -0.5244005127080409, 1e-14);
    CHECK_RELATIVE(sc_normal_quantile(0.75), 0.6744897501960817, 1e-14);
    CHECK_RELATIVE(sc_normal_quantile(1 - 1e-9), 5.997807019601637, 1e-14);
    CHECK_NEAR(sc_normal_quantile(0.5), 0, 1e-16);
    CHECK_NEAR(sc_normal_quantile(0), -INFINITY, 0);
    CHECK_NEAR(sc_normal_quantile(1), INFINITY, 0);
    CHECK(isnan(sc_normal_quantile(-0.1)) && isnan(sc_normal_quantile(1.1)) &&
          isnan(sc_normal_quantile(NAN)));
}

TEST(largest_of_many_normal_samples)
{
    CHECK_RELATIVE(sc_normal_max(1), 0.7978845608028654, 1e-12); /* sqrt(2 / pi) */
    CHECK_RELATIVE(sc_normal_max(2), 1.1283791670955123, 1e-12);
    CHECK_RELATIVE(sc_normal_max(32), 2.3470791988047175, 1e-11);
    CHECK_RELATIVE(sc_normal_max(1000), 3.4354101908077066, 1e-11);
    CHECK_RELATIVE(sc_normal_max(1000000), 4.998561418452982, 1e-11);
    CHECK_RELATIVE(sc_normal_max(UINT64_C(1000000000000)), 7.207534600826578, 1e-9);
    /* Quantiles by their definition. */
    CHECK_RELATIVE(pow(erf(sc_normal_max_quantile(50, 0.95) / sqrt(2)), 50), 0.95, 1e-12);
    CHECK(isnan(sc_normal_max(0)) && isnan(sc_normal_max_quantile(0, 0.5)) &&
          isnan(sc_normal_max_quantile(5, 1.5)));
    CHECK_RELATIVE(sc_normal_beyond(1), 0.31731050786291415, 1e-14);
    CHECK_RELATIVE(sc_normal_beyond(6), 1.973175290075389e-09, 1e-14);
}

/* ----------------------------------------------------------------------- random matrices --- */
TEST(marchenko_pastur)
{
    static const double median[][2] = {
        {1e-4, 0.9999666665678986},      {0.01, 0.9966656763386579},  {0.5, 0.8304658815813636},
        {2.0 / 3.0, 0.7723759763911815}, {0.999, 0.6531432045145762}, {1, 0.6527759416335701},
    };
    static const double cdf[][3] = {
        {0.01, 1.0, 0.06363544145683331},
        {1.5, 1.0, 0.7277715987755835},
        {0.2, 0.5, 0.0921518032160025},
        {0.9, 0.5, 0.5323341839302915},
        {2.9, 0.5, 0.9997921826946149},
        {0.99, 1e-4, 0.19549879580984234},
        {1.01, 1e-4, 0.8045011715167955},
        {1e-5, 0.999, 0.0015394274499827742},
        {3.9, 0.999, 0.9983582625283922},
        {5, 0.5, 1},
        {0.08, 0.5, 0}, /* outside */
    };
    for (size_t i = 0; i < SC_COUNT(median); i++)
        CHECK_NEAR(sc_mp_median(median[i][0]), median[i][1], 1e-11);
    for (size_t i = 0; i < SC_COUNT(cdf); i++)
        CHECK_NEAR(sc_mp_cdf(cdf[i][0], cdf[i][1]), cdf[i][2], 1e-11);
    CHECK_NEAR(sc_mp_cdf(0, 1), 0, 0);
    CHECK_NEAR(sc_mp_cdf(4, 1), 1, 0);
    CHECK_NEAR(sc_mp_median(1e-8), 1, 1e-6);
    CHECK(isnan(sc_mp_cdf(NAN, 0.5)));
}

/* Singular values that are quantiles of the law itself. */
TEST(perfect_noise_is_recognised)
{
    enum { N = 500 };
    const uint64_t rows = 800, cols = N;
    const double beta = (double)N / (double)rows, sigma = 0.02;
    double s[N];
    for (int i = 0; i < N; i++) {
        const double share = 1 - (i + 0.5) / N;
        double low = 0, high = 4;
        for (int k = 0; k < 60; k++) {
            const double middle = (low + high) / 2;
            if (sc_mp_cdf(middle, beta) < share)
                low = middle;
            else
                high = middle;
        }
        s[i] = sigma * sqrt((double)rows * low);
    }
    CHECK_RELATIVE(sc_mp_sigma(s, rows, cols), sigma, 1e-3);
    CHECK_RELATIVE(sc_mp_sigma(s, cols, rows), sigma, 1e-3); /* either side may be longer */
    CHECK_NEAR(sc_mp_distance(s, rows, cols, sigma), 0.5 / N, 1e-9);
    CHECK(sc_mp_distance(s, rows, cols, sigma * 1.2) > 0.1);
    CHECK(s[0] < sc_mp_edge(sigma, rows, cols));
    /* Half of them replaced by signal: the other half still tells. */
    s[0] = s[1] = 1e3;
    CHECK_RELATIVE(sc_mp_sigma(s, rows, cols), sigma, 1e-3);
    CHECK_NEAR(sc_mp_distance(s, rows, cols, sigma), 2.0 / N, 1.0 / N);
}

TEST(thresholds)
{
    /* Square: the hard threshold of known noise is 4 / sqrt(3) sqrt(n) sigma. */
    CHECK_RELATIVE(sc_signal_threshold(2, 100, 100), 2 * 40 / sqrt(3), 1e-14);
    CHECK_RELATIVE(sc_signal_threshold(1, 900, 9), sc_signal_threshold(1, 9, 900), 1e-15);
    CHECK_RELATIVE(sc_mp_edge(0.5, 900, 400), 25, 1e-15);
    /* At its centre the statistic is zero, one scale above it is one. */
    const double a = sqrt(599), b = sqrt(400), scale = (a + b) * pow(1 / a + 1 / b, 1.0 / 3);
    CHECK_NEAR(sc_tracy_widom(0.3 * (a + b), 0.3, 600, 400), 0, 1e-12);
    CHECK_NEAR(sc_tracy_widom(sqrt((a + b) * (a + b) + scale), 1, 400, 600), 1, 1e-12);
    CHECK(isnan(sc_tracy_widom(1, 0, 10, 10)) && isnan(sc_tracy_widom(1, 1, 1, 1)));
    CHECK_RELATIVE(sc_stable_rank_random(64, 64), 16, 1e-15);
    CHECK_RELATIVE(sc_stable_rank_random(400, 100), 400.0 / 9, 1e-14);
}

TEST(condition_numbers_of_noise)
{
    /* P(kappa / n > x) = 1 - exp(-2/x - 2/x^2) */
    CHECK_NEAR(sc_condition_p(1000, 768), 0.93, 0.005);
    CHECK_NEAR(sc_condition_p(1e4, 4096), 0.68, 0.005);
    CHECK_NEAR(sc_condition_p(1e5, 4096), 0.08, 0.005);
    CHECK_RELATIVE(sc_condition_p(386.8239822017853, 300), 0.9363297550902329, 1e-12);
    CHECK_NEAR(sc_condition_p(sc_condition_random(768, 768), 768), 0.5, 1e-12);
    CHECK_RELATIVE(sc_condition_p(1e300, 10), 2e-299, 1e-12);
    CHECK_NEAR(sc_condition_random(3072, 768), 3, 1e-12);
    CHECK_NEAR(sc_condition_random(768, 1024), 13.93, 0.005);
    CHECK(sc_condition_random(4097, 4096) <= sc_condition_random(4096, 4096));
    CHECK(isnan(sc_condition_p(NAN, 5)));
}

/* A matrix of uniform noise really behaves like that: its largest singular value by power
 * iteration. Of 20 matrices, about one is beyond the 95 % quantile. */
TEST(real_noise_follows)
{
    enum { M = 120, N = 80 };
    static double w[M][N];
    int beyond = 0;
    double mean = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        double v[N], u[M], length = 0;
        for (uint64_t i = 0; i < M * N; i++) /* variance 1 */
            w[i / N][i % N] = ((double)(sc_random(seed, i) >> 11) * 0x1p-52 - 1) * sqrt(3);
        for (int j = 0; j < N; j++)
            v[j] = 1 + (double)(sc_random(~seed, (uint64_t)j) >> 60);
        for (int k = 0; k < 2000; k++) {
            length = 0;
            for (int i = 0; i < M; i++) {
                u[i] = 0;
                for (int j = 0; j < N; j++)
                    u[i] += w[i][j] * v[j];
            }
            for (int j = 0; j < N; j++) {
                v[j] = 0;
                for (int i = 0; i < M; i++)
                    v[j] += w[i][j] * u[i];
                length += v[j] * v[j];
            }
            for (int j = 0; j < N; j++)
                v[j] /= sqrt(length);
        }
        const double tw = sc_tracy_widom(sqrt(sqrt(length)), 1, M, N);
        mean += tw / 20;
        beyond += tw > 0.979;
    }
    CHECK_NEAR(mean, -1.2065, 0.8); /* of the Tracy-Widom law: standard error 0.28 */
    CHECK(beyond <= 4);
}
