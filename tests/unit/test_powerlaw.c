/* SPDX-License-Identifier: Apache-2.0 */
/* test_powerlaw: the tail of a distribution. The exact fit by another way: brute force with pow()
 * and no search that ends early. */
#include "test.h"

#include <stdlib.h>

#include "math/math.h"

static const double E = 2.71828182845904523536;

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Quantiles of x^-a from 1 on, with a value at the middle of each of n equal shares. */
static void pareto(double a, size_t n, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = pow(1 - ((double)i + 0.5) / (double)n, -1 / (a - 1));
}

static double unit(uint64_t seed, uint64_t i)
{
    return ((double)(sc_random(seed, i) >> 11) + 0.5) * 0x1p-53;
}

static struct sc_power_law fitted(const double *x, size_t n)
{
    struct sc_power_law p;
    CHECK_ERR(0, sc_power_law_fit(x, n, sc_cpu_level(), &p, NULL));
    return p;
}

static struct sc_power_law brute_force(const double *x, size_t n)
{
    struct sc_power_law best = {.distance = INFINITY};
    for (size_t i = 0; i + 1 < n; i++) {
        const double k = (double)(n - i);
        double spread = 0, worst = 0;
        for (size_t j = i; j < n; j++)
            spread += log(x[j] / x[i]);
        if (!(spread > 0))
            continue;
        const double alpha = 1 + k / spread;
        for (size_t j = i; j < n; j++)
            worst = fmax(worst, fabs(1 - pow(x[j] / x[i], 1 - alpha) - (double)(j - i) / k));
        if (worst < best.distance)
            best =
                (struct sc_power_law){alpha, x[i], x[n - 1], worst, (alpha - 1) / sqrt(k), n - i};
    }
    return best;
}

static void check_same(struct sc_power_law got, struct sc_power_law want)
{
    CHECK_NEAR(got.alpha, want.alpha, 1e-9);
    CHECK_NEAR(got.xmin, want.xmin, 0);
    CHECK_NEAR(got.xmax, want.xmax, 0);
    CHECK_NEAR(got.distance, want.distance, 1e-12);
    CHECK_NEAR(got.sigma, want.sigma, 1e-9);
    CHECK_U64(got.in_tail, want.in_tail);
}

TEST(pure_tails_give_their_exponent)
{
    double x[1000];
    pareto(2.5, 100, x);
    struct sc_power_law p = fitted(x, 100);
    CHECK_NEAR(p.alpha, 2.51281980306, 1e-11);
    CHECK_NEAR(p.xmin, 1.00334728423, 1e-11);
    CHECK_NEAR(p.distance, 0.00673281842207, 1e-13);
    pareto(3, 1000, x);
    p = fitted(x, 1000);
    CHECK_NEAR(p.alpha, 3.0016947488, 1e-10);
    CHECK_NEAR(p.distance, 6.72606043438e-4, 1e-14);
    pareto(4, 500, x);
    CHECK_NEAR(fitted(x, 500).alpha, 4.00508906077, 1e-11);
}

TEST(the_start_of_a_tail_is_found)
{
    double x[1000];
    for (int i = 0; i < 700; i++)
        x[i] = 0.2 + 0.8 * (i + 0.5) / 700;
    pareto(2.5, 300, x + 700);
    qsort(x, 1000, sizeof *x, ascending);
    const struct sc_power_law p = fitted(x, 1000);
    CHECK_NEAR(p.alpha, 2.50424624563, 1e-11);
    CHECK_NEAR(p.xmin, 1.00111265661, 1e-11);
    CHECK_NEAR(p.distance, 0.0022425961897, 1e-12);
    CHECK_U64(p.in_tail, 300);
    CHECK_NEAR(p.xmax, x[999], 0);
}

TEST(brute_force_agrees_on_random_values)
{
    double x[300];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        const size_t n = 2 + (size_t)sc_random_below(seed, 1000, 299);
        for (size_t i = 0; i < n; i++) {
            const double u = unit(seed, i);
            x[i] = seed % 3 == 0 ? 1e-5 + u : seed % 3 == 1 ? pow(u, -2) : exp(30 * u);
        }
        if (seed % 4 == 0) /* many equal values */
            for (size_t i = 0; i < n; i++)
                x[i] = 1 + floor(8 * unit(seed, i));
        qsort(x, n, sizeof *x, ascending);
        check_same(fitted(x, n), brute_force(x, n));
    }
}

TEST(levels_of_the_processor_give_the_same_bits)
{
    static double x[2000];
    for (size_t i = 0; i < 2000; i++)
        x[i] = pow(unit(7, i), -0.8);
    qsort(x, 2000, sizeof *x, ascending);
    for (size_t n = 2; n <= 2000; n += n < 40 ? 1 : 487) {
        struct sc_power_law plain, p;
        CHECK_ERR(0, sc_power_law_fit(x, n, SC_CPU_C, &plain, NULL));
        for (int level = SC_CPU_C; level <= (int)sc_cpu_level(); level++) {
            CHECK_ERR(0, sc_power_law_fit(x, n, (enum sc_cpu)level, &p, NULL));
            CHECK_BITS(&p, &plain, sizeof p);
        }
    }
}

TEST(values_far_apart_do_not_overflow)
{
    double x[64];
    for (int i = 0; i < 64; i++)
        x[i] = pow(10, i * 4 - 120);
    check_same(fitted(x, 64), brute_force(x, 64));
    for (int i = 0; i < 64; i++) /* further than a double can say how far */
        x[i] = pow(10, i * 9 - 290);
    CHECK_NEAR(fitted(x, 64).alpha, 1 + 64 / (9 * log(10) * 63 * 32), 1e-9);
    for (int i = 0; i < 64; i++)
        x[i] = 1 + i * 0x1p-52;
    CHECK(fitted(x, 64).alpha > 1e12);
}

TEST(without_a_spread_there_is_no_tail)
{
    double same[50];
    for (int i = 0; i < 50; i++)
        same[i] = 0.3;
    for (size_t n = 0; n <= 50; n += 25) {
        const struct sc_power_law p = fitted(same, n);
        CHECK(isnan(p.alpha) && isnan(p.xmin) && isnan(p.xmax) && isnan(p.distance) &&
              isnan(p.sigma));
        CHECK_U64(p.in_tail, UINT64_MAX);
    }
    CHECK(isnan(fitted(same, 1).alpha));
    const double two[] = {1, E};
    CHECK_NEAR(fitted(two, 2).alpha, 3, 1e-15);
    CHECK_U64(fitted(two, 2).in_tail, 2);
    CHECK(isnan(sc_hill_alpha(same, 50)) && isnan(sc_hill_alpha(same, 0)));
}

TEST(hill_looks_at_the_upper_half)
{
    const double x[] = {1e-9, 0.5, 1, E, E * E};
    CHECK_NEAR(sc_hill_alpha(x, 5), 1 + 3 / 3.0, 1e-15);
    CHECK_NEAR(sc_hill_alpha(x + 1, 4), 1 + 2 / 1.0, 1e-15);
}
