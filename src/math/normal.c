/* SPDX-License-Identifier: Apache-2.0 */
/* normal: what a sample of a normal distribution would show. */
#include "math/math.h"

#include <math.h>

/* 1 - P(max |x| <= t) of n values. */
static double exceeds(double n, double t)
{
    return -expm1(n * log1p(-erfc(t * 0.70710678118654752440)));
}

double sc_normal_max(uint64_t n)
{
    /* The mean of a positive quantity is the integral of how often it exceeds t; beyond 12 nothing
     * is left for any n below 2^64. Simpson's rule: the integrand is smooth, 1024 steps give 1e-9.
     */
    enum { STEPS = 1024 };
    const double end = 12, step = end / STEPS;
    double sum = 0;
    if (n == 0)
        return NAN;
    for (int i = 0; i <= STEPS; i++)
        sum += exceeds((double)n, i * step) * (i == 0 || i == STEPS ? 1 : i % 2 ? 4 : 2);
    return sum * step / 3;
}

double sc_normal_beyond(double sigmas)
{
    return erfc(sigmas * 0.70710678118654752440);
}
