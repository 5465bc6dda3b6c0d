/* SPDX-License-Identifier: Apache-2.0 */
/* powerlaw: the tail of a distribution as x^-alpha.
 *
 * Every value but the last is tried as xmin, so n^2 / 2 exponentials are asked for. Most candidates
 * are given up after a few, since one point that is further off than the best fit so far is enough,
 * and neighbours are furthest off at the same point. The exponential is our own: it goes through
 * SIMD, and has the same bits wherever it runs. */
#include "math/math.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64, EVERY = 64 };

/* Compiled anew for every level. */
#if defined(__GNUC__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE static inline
#endif

/* exp(x) of -708 <= x <= 0, to an ulp or two. x = k ln 2 + r. */
ALWAYS_INLINE double exp_of_negative(double x)
{
    const double shift = 0x1.8p52;
    const double biased = x * 1.44269504088896340736 + shift; /* k in the lowest bits */
    const double k = biased - shift;
    const double r = (x - k * 0x1.62e42fefap-1) - k * 0x1.cf79abc9e3b39p-40;
    double p = 1.0 / 6227020800.0; /* 1/13!; what follows is below 4e-18 */
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits;
    double scale;
    memcpy(&bits, &biased, sizeof bits);
    bits = (bits + 1023) << 52;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* max |n (1 - (x_j / x_0)^slope) - j| over at most BLOCK values of j from `first` on, from
 * logarithms. */
ALWAYS_INLINE double block_distance(const double *logs, size_t first, size_t n, double slope)
{
    double d[BLOCK], padded[BLOCK];
    const double count = (double)n, base = logs[0], from = (double)first;
    const double *at = logs + first;
    if (n - first < BLOCK) {
        for (size_t j = 0; j < BLOCK; j++)
            padded[j] = logs[SC_MIN(first + j, n - 1)];
        at = padded;
    }
    for (int j = 0; j < BLOCK; j++)
        d[j] = slope * (at[j] - base);
    for (int j = 0; j < BLOCK; j++)
        d[j] = isgreater(d[j], -708) ? d[j] : -708; /* unlike >, SIMD may do it for all */
    for (int j = 0; j < BLOCK; j++)
        d[j] = fabs(count * (1 - exp_of_negative(d[j])) - (from + j));
    for (size_t j = n - first; j < BLOCK; j++)
        d[j] = 0;
    for (size_t half = BLOCK / 2; half > 0; half /= 2) {
        for (size_t j = 0; j < half; j++)
            d[j] = isgreater(d[half + j], d[j]) ? d[half + j] : d[j];
    }
    return d[0];
}

/* The same over all j below n. What is above `limit` may be any such number: the search ends there.
 * It starts at *hint, and leaves there where the block of the largest one starts. */
ALWAYS_INLINE double distance(const double *logs, size_t n, double slope, double limit,
                              size_t *hint)
{
    size_t at = *hint < n ? *hint : 0;
    double worst = block_distance(logs, at, n, slope);
    for (size_t i = 0; i < n && worst <= limit; i += BLOCK) {
        const double d = block_distance(logs, i, n, slope);
        if (d > worst) {
            worst = d;
            at = i;
        }
    }
    *hint = at;
    return worst;
}

typedef double distance_fn(const double *logs, size_t n, double slope, double limit, size_t *hint);

static double distance_c(const double *logs, size_t n, double slope, double limit, size_t *hint)
{
    return distance(logs, n, slope, limit, hint);
}
#if SC_HAVE_X86
SC_TARGET_AVX2 static double distance_avx2(const double *logs, size_t n, double slope, double limit,
                                           size_t *hint)
{
    return distance(logs, n, slope, limit, hint);
}
SC_TARGET_AVX512 static double distance_avx512(const double *logs, size_t n, double slope,
                                               double limit, size_t *hint)
{
    return distance(logs, n, slope, limit, hint);
}
#endif

static distance_fn *best_distance(enum sc_cpu level)
{
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        return distance_avx512;
    if (level == SC_CPU_AVX2)
        return distance_avx2;
#endif
    (void)level;
    return distance_c;
}

void sc_power_law_none(struct sc_power_law *out)
{
    *out = (struct sc_power_law){NAN, NAN, NAN, NAN, NAN, UINT64_MAX};
}

/* Only differences of logarithms matter, and those of values that are nearly equal would be lost in
 * the logarithms of the values themselves. */
static double log_ratio(double x, double largest)
{
    const double ratio = x / largest;
    return ratio >= DBL_MIN ? log(ratio) : log(x) - log(largest);
}

struct search {
    const double *x, *logs, *sums; /* sums[i]: of logs[i] and all behind it */
    size_t n, first;               /* first: the candidate of *best */
    size_t worst_at;               /* where the last one was furthest off */
    distance_fn *distance;
    struct sc_power_law *best;
};

static void try_candidate(struct search *s, size_t i)
{
    const double k = (double)(s->n - i), spread = s->sums[i] - k * s->logs[i];
    const double alpha = 1 + k / spread;
    if (!(s->logs[i] < 0) || !(spread > 0) || isinf(alpha))
        return; /* all values above are this one */
    /* A little more, so that rounding does not hide what is just as good. */
    const double limit =
        isnan(s->best->distance) ? INFINITY : s->best->distance * k * (1 + 0x1p-50);
    size_t hint = s->worst_at - i; /* huge when it is below i */
    const double d = s->distance(s->logs + i, s->n - i, 1 - alpha, limit, &hint) / k;
    s->worst_at = i + hint;
    if (!(d > s->best->distance) && (d != s->best->distance || i < s->first)) {
        *s->best = (struct sc_power_law){alpha,   s->x[i], s->x[s->n - 1], d, (alpha - 1) / sqrt(k),
                                         s->n - i};
        s->first = i;
    }
}

/* A few candidates of all regions come first: with a fit that is nearly the best, most of the
 * others are given up at once. */
static void search(struct search *s)
{
    for (size_t i = 0; i + 1 < s->n; i += EVERY)
        try_candidate(s, i);
    for (size_t i = 0; i + 1 < s->n; i++) {
        if (i % EVERY != 0)
            try_candidate(s, i);
    }
}

int sc_power_law_fit(const double *x, size_t n, enum sc_cpu level, struct sc_power_law *out,
                     struct sc_error *e)
{
    sc_power_law_none(out);
    if (n < 2)
        return 0;
    double *logs = sc_calloc(n, 2 * sizeof *logs);
    if (!logs)
        return sc_fail_memory(e);
    double *sums = logs + n, sum = 0;
    for (size_t i = n; i-- > 0;) {
        logs[i] = log_ratio(x[i], x[n - 1]);
        sums[i] = sum += logs[i];
    }
    struct search s = {x, logs, sums, n, 0, 0, best_distance(level), out};
    search(&s);
    free(logs);
    return 0;
}

double sc_hill_alpha(const double *x, size_t n)
{
    const size_t first = n / 2;
    double spread = 0;
    for (size_t i = first; i < n; i++)
        spread += log(x[i] / x[first]);
    return spread > 0 ? 1 + (double)(n - first) / spread : NAN;
}
