/* SPDX-License-Identifier: Apache-2.0 */
/* encode_int: integers of 2 to 8 bits times a step.
 *
 *     symmetric   step = amax / (2^(b-1) - 1)          code = x / step, from -2^(b-1) on
 *     affine      step = (max - min) / (2^b - 1)       code = x / step + zero, from 0 on
 *                 zero = -min / step, where 0 belongs to the range
 *
 * The step is computed as a float, then rounded to what it is stored as, and codes and values are
 * those of the stored step. Quotients are floats, rounded to nearest even, as numpy has it. A step
 * of 0 makes everything 0. NaN becomes 0, an infinity the largest of its sign. A product that no
 * float holds becomes the largest float. */
#include <float.h>
#include <math.h>

#include "codec/encode_int.h"

/* ------------------------------------------------------------------------------------- steps ---
 */
/* The least and largest quotient that has a code. */
struct sc_int_range sc_int_range(const struct sc_encoding *f, const struct sc_step *step)
{
    const int half = 1 << (f->bits - 1);
    const int32_t low = f->affine ? -step->zero : -half;
    return (struct sc_int_range){(float)low, (float)(low + 2 * half - 1)};
}

/* A positive number as it is stored; what a half cannot hold becomes its largest. */
static float stored(const struct sc_encoding *f, float v)
{
    const enum sc_element element = (enum sc_element)f->scale;
    if (element != SC_ELEMENT_F16 && element != SC_ELEMENT_BF16)
        return v;
    const float near = sc_element_value(element, sc_element_encode(element, v, true));
    return near <= sc_element_largest(element) ? near : sc_element_largest(element);
}

static void int_step(const struct sc_encoding *f, struct sc_extent of, struct sc_step *out)
{
    const double min = SC_MIN((double)of.min, 0.0), max = SC_MAX((double)of.max, 0.0);
    const double codes = (double)((1 << f->bits) - 1), most = (double)((1 << (f->bits - 1)) - 1);
    *out = (struct sc_step){0};
    if (of.min > of.max)
        return;
    const float amax = (float)SC_MAX(-min, max);
    out->scale = stored(f, f->affine ? (float)((max - min) / codes) : amax / (float)most);
    if (!(out->scale > 0))
        return;
    out->inverse = 1 / out->scale;
    if (f->affine)
        out->zero = (int32_t)SC_MIN(rint(-min / (double)out->scale), codes);
}

static struct sc_extent extent_of(const float *x, size_t n)
{
    struct sc_extent of = {INFINITY, -INFINITY};
    for (size_t i = 0; i < n; i++)
        if (fabsf(x[i]) < INFINITY) {
            of.min = SC_MIN(of.min, x[i]);
            of.max = SC_MAX(of.max, x[i]);
        }
    return of;
}

/* The step of a group. */
static void step_of(const struct sc_encoding *f, const float *x, size_t n, struct sc_step *out)
{
    struct sc_extent of = extent_of(x, n);
    if (f->clip)
        of = sc_encoding_clip(f, of, x, NULL, n);
    int_step(f, of, out);
}

/* ---------------------------------------------------------------------------------- rounding ---
 */
/* To nearest even, of numbers below 2^22. */
static float nearest(float v)
{
    return (v + 0x1.8p23F) - 0x1.8p23F;
}

/* The quotient as the code that it gets, less the zero point; *full: it was larger than any. */
static float code_of(float x, float scale, struct sc_int_range r, bool *full)
{
    const float limit = 0x1p20F, q = x / scale;
    if (q != q) {
        *full = false;
        return 0;
    }
    const float code = nearest(q > limit ? limit : q < -limit ? -limit : q);
    *full = code < r.low || code > r.high;
    return code < r.low ? r.low : code > r.high ? r.high : code;
}

size_t sc_int_round_c(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                      size_t n, float *y)
{
    const struct sc_int_range r = sc_int_range(f, step);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        bool full = false;
        const bool finite = fabsf(x[i]) < INFINITY;
        const float v = step->inverse > 0 ? code_of(x[i], step->scale, r, &full) * step->scale : 0;
        y[i] = v > FLT_MAX ? FLT_MAX : v < -FLT_MAX ? -FLT_MAX : v;
        count += full && finite;
    }
    return count;
}

static sc_round_fn *with_one_step(enum sc_cpu level)
{
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX2)
        return level >= SC_CPU_AVX512 ? sc_int_round_avx512 : sc_int_round_avx2;
#endif
    (void)level;
    return sc_int_round_c;
}

/* Group by group. */
static size_t round_groups(enum sc_cpu level, const struct sc_encoding *f, const float *x, size_t n,
                           float *y)
{
    size_t full = 0;
    for (size_t i = 0; i < n; i += f->unit) {
        struct sc_step own;
        const size_t some = SC_MIN(n - i, f->unit);
        step_of(f, x + i, some, &own);
        full += with_one_step(level)(f, &own, x + i, some, y + i);
    }
    return full;
}

SC_ROUND_LEVELS(of_groups, round_groups)

static sc_round_fn *rounder(const struct sc_encoding *f, enum sc_cpu level)
{
    return f->over == SC_OVER_NOTHING ? of_groups[level] : with_one_step(level);
}

/* ------------------------------------------------------------------------------------ the clip */

/* Squared error of n values, or more than `enough` when it is known to be. */
static double error_of(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                       const uint32_t *weight, size_t n, double enough)
{
    enum { PIECE = 256 };
    const size_t pieces = n / PIECE + (n % PIECE != 0);
    sc_round_fn *round = with_one_step(sc_cpu_level());
    double sum = 0;
    for (size_t k = 0; k < pieces && sum <= enough; k++) {
        float y[PIECE];
        const size_t from = k * PIECE, some = SC_MIN(n - from, PIECE);
        round(f, step, x + from, some, y);
        for (size_t i = 0; i < some; i++) {
            const double off = (double)x[from + i] - (double)y[i];
            const double square = weight ? off * off * weight[from + i] : off * off;
            sum += fabsf(x[from + i]) < INFINITY ? square : 0;
        }
    }
    return sum;
}

struct sc_extent sc_encoding_clip(const struct sc_encoding *f, struct sc_extent of, const float *x,
                                  const uint32_t *weight, size_t n)
{
    struct sc_extent best = of;
    double least = INFINITY;
    for (int percent = 100; percent >= 30; percent--) {
        const float share = (float)percent / 100;
        const struct sc_extent trial = {of.min * share, of.max * share};
        struct sc_step step;
        int_step(f, trial, &step);
        const double error = error_of(f, &step, x, weight, n, least);
        if (error < least) {
            least = error;
            best = trial;
        }
    }
    return best;
}

/* ----------------------------------------------------------------------------------- packing ---
 */
/* Symmetric codes are two's complement, affine ones count from 0. */
static size_t pack(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                   size_t n, uint8_t *dst)
{
    enum { PIECE = 512 }; /* codes of any width fill whole bytes */
    const unsigned mask = (1U << f->bits) - 1;
    const uint8_t *start = dst;
    struct sc_step own = {0};
    uint8_t codes[PIECE];
    for (size_t i = 0; i < n; i++) {
        bool full;
        if (f->over != SC_OVER_NOTHING)
            own = *step;
        else if (i % f->unit == 0)
            step_of(f, x + i, SC_MIN(n - i, f->unit), &own);
        const struct sc_int_range r = sc_int_range(f, &own);
        const float q = own.inverse > 0 ? code_of(x[i], own.scale, r, &full) : 0;
        codes[i % PIECE] = (uint8_t)((unsigned)((int32_t)q + own.zero) & mask);
        if (i % PIECE == PIECE - 1 || i + 1 == n) {
            sc_pack_bits(codes, i % PIECE + 1, f->bits, dst);
            dst += (i % PIECE * f->bits + f->bits + 7) / 8;
        }
    }
    return (size_t)(dst - start);
}

const struct sc_scheme_row sc_scheme_int = {rounder, pack, int_step};
