/* SPDX-License-Identifier: Apache-2.0 */
/* special: the normal distribution, and the largest of many normal samples. */
#include "math/math.h"

#include <math.h>

static const double sqrt_half = 0.70710678118654752440;
static const double inv_sqrt_2pi = 0.39894228040143267794;

double sc_normal_cdf(double x)
{
    return 0.5 * erfc(-x * sqrt_half);
}

static double density(double x)
{
    return inv_sqrt_2pi * exp(-0.5 * x * x);
}

double sc_normal_quantile(double p)
{
    if (!(p >= 0 && p <= 1))
        return NAN;
    if (p > 0.5)
        return -sc_normal_quantile(1 - p);
    if (p == 0)
        return -INFINITY;
    /* Abramowitz and Stegun 26.2.23 to 4.5e-4, then Halley's steps, which cube the error. */
    const double t = sqrt(-2 * log(p));
    double x = (2.515517 + t * (0.802853 + t * 0.010328)) /
                   (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) -
               t;
    for (int i = 0; i < 3 && density(x) > 0; i++) {
        const double u = (sc_normal_cdf(x) - p) / density(x);
        x -= u / (1 + 0.5 * x * u);
    }
    return x;
}

double sc_normal_beyond(double sigmas)
{
    return erfc(sigmas * sqrt_half);
}

/* E max |x| is the integral of x times its density 2 n phi(x) erf(x / sqrt 2)^(n-1) over x > 0.
 * With x = exp(t) the integrand is smooth and vanishes at both ends, where the trapezoidal rule
 * converges faster than any power of its step. */
static double normal_max(uint64_t n)
{
    const double step = 1.0 / 128, others = (double)n - 1;
    double sum = 0;
    if (n == 0)
        return NAN;
    /* From above, where it rises from nothing (n < 2^64 samples do not reach 20), until what is
     * left below its peak no longer counts: some hundred steps, but for a few samples. */
    for (int i = 3 * 128; i >= -15 * 128; i--) {
        const double x = exp(i * step);
        const double log_inside = x < 0.5 ? log(erf(x * sqrt_half)) : log1p(-erfc(x * sqrt_half));
        const double term = x * x * density(x) * exp(others * log_inside);
        sum += term;
        if (term < sum * 1e-17)
            break;
    }
    return 2 * (double)n * sum * step;
}

/* Many tensors of a model have one size; what was found last is kept, for each thread. */
double sc_normal_max(uint64_t n)
{
    enum { KEPT = 64 };
    static _Thread_local struct {
        uint64_t n;
        double value;
    } kept[KEPT];
    const size_t at = (size_t)(n * UINT64_C(0x9e3779b97f4a7c15) >> 58);
    if (kept[at].n != n || n == 0) {
        kept[at].value = normal_max(n);
        kept[at].n = n;
    }
    return kept[at].value;
}

double sc_normal_max_quantile(uint64_t n, double p)
{
    return n > 0 ? -sc_normal_quantile(-0.5 * expm1(log(p) / (double)n)) : NAN;
}
