/* SPDX-License-Identifier: Apache-2.0 */
/* change_sums: sums over pairs of values, in eight lanes.
 *
 * Products of two floats are exact in double, and the order of all additions is fixed, so every
 * level gives the same bits. A pair that is not finite is taken as two zeros, which add nothing to
 * any sum; pieces with such pairs are left to plain C. */
#include "analyze/change_sums.h"

#include <math.h>
#include <string.h>

enum { LANES = SC_CHANGE_LANES };

static void start(struct sc_change_lanes *l)
{
    memset(l, 0, sizeof *l);
    for (size_t i = 0; i < LANES; i++) {
        l->min_d[i] = (double)INFINITY;
        l->max_d[i] = -(double)INFINITY;
    }
}

static inline double larger(double x, double y)
{
    return x > y ? x : y;
}

static inline double smaller(double x, double y)
{
    return x < y ? x : y;
}

static inline void add(struct sc_change_lanes *l, size_t i, double a, double b)
{
    const double d = b - a, abs_d = fabs(d), abs_a = fabs(a);

    l->a[i] += a;
    l->b[i] += b;
    l->aa[i] += a * a;
    l->bb[i] += b * b;
    l->ab[i] += a * b;
    l->d[i] += d;
    l->dd[i] += d * d;
    l->abs_d[i] += abs_d;
    l->min_d[i] = smaller(d, l->min_d[i]);
    l->max_d[i] = larger(d, l->max_d[i]);
    l->max_a[i] = larger(abs_a, l->max_a[i]);
    l->max_b[i] = larger(fabs(b), l->max_b[i]);
    l->compared++;
    l->changed += a != b;
    l->significant += abs_d > 0.01 * (abs_a + 1e-10);
    l->flips += a * b < 0;
}

/* Either side is not finite. */
static void add_apart(struct sc_change_lanes *l, double a, double b)
{
    l->changed += !(isnan(a) && isnan(b)) && a != b;
}

/* Halves onto halves. */
static double sum_of(const double x[LANES])
{
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

static double largest_of(const double x[LANES])
{
    double most = x[0];

    for (size_t i = 1; i < LANES; i++)
        most = larger(x[i], most);
    return most;
}

static double smallest_of(const double x[LANES])
{
    double least = x[0];

    for (size_t i = 1; i < LANES; i++)
        least = smaller(x[i], least);
    return least;
}

static void reduce(const struct sc_change_lanes *l, struct sc_change_sums *out)
{
    *out = (struct sc_change_sums){
        .a = sum_of(l->a),
        .b = sum_of(l->b),
        .aa = sum_of(l->aa),
        .bb = sum_of(l->bb),
        .ab = sum_of(l->ab),
        .d = sum_of(l->d),
        .dd = sum_of(l->dd),
        .abs_d = sum_of(l->abs_d),
        .min_d = l->compared ? smallest_of(l->min_d) : 0,
        .max_d = l->compared ? largest_of(l->max_d) : 0,
        .max_a = largest_of(l->max_a),
        .max_b = largest_of(l->max_b),
        .compared = l->compared,
        .changed = l->changed,
        .significant = l->significant,
        .flips = l->flips,
    };
}

/* Exponents that are all ones, in any of them. */
static bool all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        bad |= (u & 0x7f800000u) == 0x7f800000u;
    }
    return bad == 0;
}

/* How many of the first pairs a level above C takes. */
static size_t add_fast(const float *a, const float *b, size_t n, enum sc_cpu level,
                       struct sc_change_lanes *l)
{
#if SC_HAVE_X86
    const size_t whole = n - n % LANES;
    if (level == SC_CPU_C || !all_finite(a, whole) || !all_finite(b, whole))
        return 0;
    if (level >= SC_CPU_AVX512)
        sc_change_lanes_avx512(a, b, whole, l);
    else
        sc_change_lanes_avx2(a, b, whole, l);
    return whole;
#else
    (void)a, (void)b, (void)n, (void)level, (void)l, (void)all_finite;
    return 0;
#endif
}

void sc_change_sums(const float *a, const float *b, size_t n, enum sc_cpu level,
                    struct sc_change_sums *out)
{
    struct sc_change_lanes l;

    start(&l);
    for (size_t i = add_fast(a, b, n, level, &l); i < n; i++) {
        if (isfinite(a[i]) && isfinite(b[i]))
            add(&l, i % LANES, (double)a[i], (double)b[i]);
        else
            add_apart(&l, (double)a[i], (double)b[i]);
    }
    reduce(&l, out);
}

void sc_change_sums64(const double *a, const double *b, size_t n, struct sc_change_sums *out)
{
    struct sc_change_lanes l;

    start(&l);
    for (size_t i = 0; i < n; i++) {
        if (isfinite(a[i]) && isfinite(b[i]))
            add(&l, i % LANES, a[i], b[i]);
        else
            add_apart(&l, a[i], b[i]);
    }
    reduce(&l, out);
}
