/* SPDX-License-Identifier: Apache-2.0 */
/* rmt: what random-matrix theory expects of a matrix with independent entries. */
#include "math/math.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static double longer(uint64_t rows, uint64_t cols)
{
    return (double)SC_MAX(rows, cols);
}
static double shorter(uint64_t rows, uint64_t cols)
{
    return (double)SC_MIN(rows, cols);
}

/* ------------------------------------------------------------------ Marchenko and Pastur ---
 * With x = 1 + beta + 2 sqrt(beta) cos(theta) the density becomes
 * (2 / pi) sin^2 / (1 + beta + 2 sqrt(beta) cos), whose integral from 0 to theta is elementary. */
static double above_angle(double theta, double beta)
{
    if (theta >= pi)
        return 1;
    const double root = sqrt(beta), r = (1 - root) / (1 + root);
    const double a = (1 + beta) / (4 * beta) * theta - sin(theta) / (2 * root);
    const double b = (1 - beta) / (2 * beta) * atan(r * tan(0.5 * theta));
    return SC_MIN(SC_MAX(2 / pi * (a - b), 0), 1);
}

double sc_mp_cdf(double x, double beta)
{
    const double cosine = (x - (1 + beta)) / (2 * sqrt(beta));
    if (isnan(cosine))
        return NAN;
    return 1 - above_angle(acos(SC_MIN(SC_MAX(cosine, -1), 1)), beta);
}

double sc_mp_median(double beta)
{
    double low = 0, high = pi; /* of the angle */
    for (int i = 0; i < 60; i++) {
        const double middle = 0.5 * (low + high);
        if (above_angle(middle, beta) < 0.5)
            low = middle;
        else
            high = middle;
    }
    return 1 + beta + 2 * sqrt(beta) * cos(0.5 * (low + high));
}

double sc_mp_sigma(const double *s, uint64_t rows, uint64_t cols)
{
    const double m = longer(rows, cols), n = shorter(rows, cols);
    const size_t k = (size_t)n;
    if (k == 0)
        return NAN;
    return 0.5 * (s[k / 2] + s[(k - 1) / 2]) / sqrt(m * sc_mp_median(n / m));
}

double sc_mp_edge(double sigma, uint64_t rows, uint64_t cols)
{
    return sigma * (sqrt(longer(rows, cols)) + sqrt(shorter(rows, cols)));
}

double sc_mp_distance(const double *s, uint64_t rows, uint64_t cols, double sigma)
{
    const double m = longer(rows, cols), n = shorter(rows, cols);
    const double edge = sc_mp_edge(sigma, rows, cols);
    const size_t all = (size_t)n;
    size_t first = 0;
    double worst = 0;

    if (!(sigma > 0))
        return NAN;
    while (first < all && s[first] > edge)
        first++;
    const double bulk = (double)(all - first);
    for (size_t i = first; i < all; i++) { /* from the largest down */
        const double expected = sc_mp_cdf(s[i] * s[i] / (sigma * sigma * m), n / m);
        const double to = (double)(all - i) / bulk, from = (double)(all - i - 1) / bulk;
        worst = fmax(worst, fmax(fabs(to - expected), fabs(expected - from)));
    }
    return bulk > 0 ? worst : NAN;
}

/* ------------------------------------------------------------------ thresholds and limits --- */
double sc_signal_threshold(double sigma, uint64_t rows, uint64_t cols)
{
    const double m = longer(rows, cols), beta = shorter(rows, cols) / m;
    const double root = sqrt(beta * beta + 14 * beta + 1);
    return sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + root)) * sqrt(m) * sigma;
}

double sc_tracy_widom(double s_max, double sigma, uint64_t rows, uint64_t cols)
{
    const double a = sqrt(longer(rows, cols) - 1), b = sqrt(shorter(rows, cols));
    if (!(sigma > 0) || !(a > 0))
        return NAN;
    const double scaled = s_max / sigma;
    return (scaled * scaled - (a + b) * (a + b)) / ((a + b) * cbrt(1 / a + 1 / b));
}

/* 1 - exp(-2/x - 2/x^2) = 1/2 is a quadratic equation in x. */
static double square_median(double n)
{
    const double ln2 = 0.69314718055994530942;
    return n * (1 + sqrt(1 + 2 * ln2)) / ln2;
}

double sc_condition_random(uint64_t rows, uint64_t cols)
{
    const double m = longer(rows, cols), n = shorter(rows, cols);
    const double square = square_median(n);
    if (rows == cols)
        return square;
    /* The limit does not know that one row more than square is still nearly square. */
    return fmin((sqrt(m) + sqrt(n)) / (sqrt(m) - sqrt(n)), square);
}

double sc_condition_p(double condition, uint64_t n)
{
    const double x = condition / (double)n;
    return x > 0 ? -expm1(-2 / x - 2 / (x * x)) : NAN;
}

double sc_stable_rank_random(uint64_t rows, uint64_t cols)
{
    const double edge = sc_mp_edge(1, rows, cols);
    return edge > 0 ? (double)rows * (double)cols / (edge * edge) : NAN;
}
