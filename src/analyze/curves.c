/* SPDX-License-Identifier: Apache-2.0 */
/* curves: the staircase of a format over 0..1, and what both kinds of curves share. Those of a
 * tensor are in curves_tensor.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/curves_parts.h"

const char *const sc_curve_kinds[] = {"value",        "ideal",         "block", "tensor",
                                      "legacy_ideal", "legacy_random", NULL};

void sc_curves_clear(struct sc_curves *c)
{
    for (size_t i = 0; c->curves && i < c->n; i++) {
        free(c->curves[i].mean);
        free(c->curves[i].low);
        free(c->curves[i].high);
        free(c->curves[i].cells);
        free(c->curves[i].tiles);
    }
    free(c->curves);
    free(c->x);
    free(c->rms);
    *c = (struct sc_curves){0};
}

int sc_curves_start(struct sc_curves *c, size_t n_points, size_t n, struct sc_error *e)
{
    *c = (struct sc_curves){.n_points = n_points, .n = n};
    c->x = sc_calloc(SC_MAX(n_points, 1), sizeof *c->x);
    c->curves = sc_calloc(SC_MAX(n, 1), sizeof *c->curves);
    bool all = c->x && c->curves;
    for (size_t i = 0; i < n && all; i++) {
        struct sc_curve *one = &c->curves[i];
        one->mean = sc_calloc(SC_MAX(n_points, 1), sizeof *one->mean);
        one->low = sc_calloc(SC_MAX(n_points, 1), sizeof *one->low);
        one->high = sc_calloc(SC_MAX(n_points, 1), sizeof *one->high);
        all = one->mean && one->low && one->high;
    }
    if (all)
        return 0;
    sc_curves_clear(c);
    return sc_fail_memory(e);
}

/* ---------------------------------------------------------------------------------- errors --- */
void sc_curve_add(struct sc_curve_sums *s, double x, double d)
{
    s->n++;
    s->xx += x * x;
    s->d += d;
    s->dd += d * d;
    s->abs += fabs(d);
    s->most = fmax(s->most, fabs(d));
    s->exact += d == 0;
}

void sc_curve_merge(struct sc_curve_sums *into, const struct sc_curve_sums *s)
{
    into->n += s->n;
    into->exact += s->exact;
    into->xx += s->xx;
    into->d += s->d;
    into->dd += s->dd;
    into->abs += s->abs;
    into->most = fmax(into->most, s->most);
}

void sc_curve_finish(const struct sc_curve_sums *s, struct sc_curve *c)
{
    double n = (double)s->n;

    c->exact = s->exact;
    c->mae = s->n ? s->abs / n : NAN;
    c->rmse = s->n ? sqrt(s->dd / n) : NAN;
    c->bias = s->n ? s->d / n : NAN;
    c->atol = s->n ? s->most : NAN;
    c->sqnr_db = s->n ? 10 * log10(s->xx / s->dd) : NAN; /* Infinity: no error */
}

int sc_quarter(double d)
{
    static const double root[] = {1.189207115002721, 1.4142135623730951, 1.681792830507429};
    uint64_t bits;

    memcpy(&bits, &d, sizeof bits);
    int exponent = (int)(bits >> 52 & 2047) - 1023; /* subnormal: as if of the least exponent */
    bits = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1023) << 52;
    memcpy(&d, &bits, sizeof d);
    return 4 * exponent + (d >= root[0]) + (d >= root[1]) + (d >= root[2]);
}

void sc_magnitudes_below(struct sc_curves *c, double most)
{
    int exponent = 0;

    (void)frexp(most > 0 && isfinite(most) ? most : 1, &exponent);
    c->error_top = 4 * exponent;
    c->error_high = c->error_top * log10(2) / 4;
    c->error_low = (c->error_top - SC_CURVE_HISTOGRAM) * log10(2) / 4;
}

size_t sc_magnitude_bin(int top, double d)
{
    int bin = sc_quarter(d) - (top - SC_CURVE_HISTOGRAM);

    return (size_t)SC_MIN(SC_MAX(bin, 0), SC_CURVE_HISTOGRAM - 1);
}

size_t sc_error_bin(double edge, double d)
{
    double t = edge > 0 ? (d / edge + 1) / 2 * SC_CURVE_HISTOGRAM : SC_CURVE_HISTOGRAM / 2.0;

    return t > 0 ? (size_t)SC_MIN(t, SC_CURVE_HISTOGRAM - 1) : 0;
}

/* ------------------------------------------------------------------------------- synthetic --- */
enum { LINE = 1024 };
#define SIGMA 0.25

/* Blocks of normal values, drawn once for all points and formats: value j of block b is always the
 * same, whatever the size of a block is. */
struct blocks {
    float *normal; /* (samples * LINE) */
    size_t samples;
    uint64_t seed;
};

static int draw_blocks(struct blocks *b, size_t samples, uint64_t seed, struct sc_error *e)
{
    *b = (struct blocks){.normal = sc_calloc(SC_MAX(samples, 1), LINE * sizeof *b->normal),
                         .samples = samples,
                         .seed = seed};
    if (!b->normal)
        return sc_fail_memory(e);
    for (size_t i = 0; i < samples * LINE; i++) {
        double u = ((double)(sc_random(seed, i) >> 11) + 0.5) / 9007199254740992.0; /* 2^53 */
        b->normal[i] = (float)(SIGMA * sc_normal_quantile(u));
    }
    return 0;
}

static size_t block_of(const struct sc_encoding *f)
{
    return f->over == SC_OVER_LINE ? LINE : SC_MIN(SC_MAX(f->unit, 1), LINE);
}

static bool rounds_alone(const struct sc_encoding *f)
{
    return f->scheme == SC_SCHEME_ZERO || f->scheme == SC_SCHEME_CAST;
}

/* x as the format keeps it at place `at` of a block, which is overwritten. */
static double keep(const struct sc_encoding *f, float *block, size_t n, size_t at, float x)
{
    struct sc_step step = {0};
    struct sc_extent of = {-1, 1};

    block[at] = x;
    if (f->over == SC_OVER_LINE) {
        of = (struct sc_extent){block[0], block[0]};
        for (size_t i = 1; i < n; i++) {
            of.min = SC_MIN(of.min, block[i]);
            of.max = SC_MAX(of.max, block[i]);
        }
        if (f->clip)
            of = sc_encoding_clip(f, of, block, NULL, n);
    }
    if (f->over != SC_OVER_NOTHING)
        sc_encoding_step(f, of, &step);
    sc_rounder(f, sc_cpu_level())(f, f->over ? &step : NULL, block, n, block);
    return isfinite(block[at]) ? (double)block[at] : 0;
}

/* As compare_reconstr_error drew block floats: an exponent of its own for every value, and a step
 * of 2^-m of it over 0..2, twice as fine as that of the format. */
static double legacy_ideal(const struct sc_encoding *f, double x)
{
    int m = f->bits - 1;
    double most = 2 - ldexp(1, -m);

    if (x <= 0)
        return 0;
    int exponent = (int)ceil(log2(x / most));
    double step = ldexp(1, exponent - m);
    return SC_MIN(nearbyint(x / step) * step, ldexp(most, exponent));
}

/* And with neighbours of U(0,1) x: x is always the largest. */
static double legacy_random(const struct sc_encoding *f, const struct blocks *b, size_t sample,
                            float *block, float x)
{
    size_t n = block_of(f), at = (size_t)sc_random_below(b->seed ^ 1, sample, n);

    for (size_t i = 0; i < n; i++)
        block[i] = x * (float)((double)(sc_random(b->seed ^ 2, sample * LINE + i) >> 11) /
                               9007199254740992.0);
    return keep(f, block, n, at, x);
}

static double one_sample(const struct sc_curve *c, const struct blocks *b, size_t sample, double x)
{
    const struct sc_encoding *f = &c->format;
    size_t n = block_of(f);
    float block[LINE] = {0};

    switch ((enum sc_curve_kind)c->kind) {
    case SC_CURVE_LEGACY_IDEAL:
        return legacy_ideal(f, x);
    case SC_CURVE_LEGACY_RANDOM:
        return legacy_random(f, b, sample, block, (float)x);
    case SC_CURVE_BLOCK:
        memcpy(block, b->normal + sample * LINE, n * sizeof *block);
        return keep(f, block, n, (size_t)sc_random_below(b->seed ^ 1, sample, n), (float)x);
    case SC_CURVE_VALUE:
    case SC_CURVE_IDEAL:
    case SC_CURVE_TENSOR:
        break;
    }
    return keep(f, block, n, 0, (float)x);
}

static int number_up(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Of n sorted values, between neighbours by proportion. */
static double quantile(const double *v, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = SC_MIN((size_t)at, n - 1), next = SC_MIN(i + 1, n - 1);

    return v[i] + (at - (double)i) * (v[next] - v[i]);
}

/* All samples at all points: mean and band, then the errors, whose extent must be known first. */
static void trace(const struct sc_curves *all, struct sc_curve *c, const struct blocks *b,
                  double *y, double *sorted)
{
    bool many = c->kind == SC_CURVE_BLOCK || c->kind == SC_CURVE_LEGACY_RANDOM;
    size_t n = many ? b->samples : 1;
    struct sc_curve_sums sums = {0};

    for (size_t i = 0; i < all->n_points; i++) {
        double sum = 0;
        for (size_t k = 0; k < n; k++) {
            double q = y[i * n + k] = sorted[k] = one_sample(c, b, k, all->x[i]);
            sum += q;
            sc_curve_add(&sums, all->x[i], q - all->x[i]);
        }
        qsort(sorted, n, sizeof *sorted, number_up);
        c->mean[i] = sum / (double)n;
        c->low[i] = quantile(sorted, n, 0.05);
        c->high[i] = quantile(sorted, n, 0.95);
    }
    sc_curve_finish(&sums, c);
    c->edge = sums.most;
    for (size_t i = 0; i < all->n_points; i++)
        for (size_t k = 0; k < n; k++) {
            double d = y[i * n + k] - all->x[i];
            if (d != 0)
                c->magnitude[sc_magnitude_bin(all->error_top, d)]++;
            c->error[sc_error_bin(c->edge, d)]++;
        }
}

/* A curve, or two, for each format. */
static size_t list_kinds(const struct sc_encoding *f, bool legacy, uint8_t kinds[2])
{
    if (rounds_alone(f)) {
        kinds[0] = SC_CURVE_VALUE;
        return 1;
    }
    bool old = legacy && f->scheme == SC_SCHEME_BFP;
    kinds[0] = old ? SC_CURVE_LEGACY_IDEAL : SC_CURVE_IDEAL;
    kinds[1] = old ? SC_CURVE_LEGACY_RANDOM : SC_CURVE_BLOCK;
    return 2;
}

int sc_curves_synthesize(const struct sc_curves_synthetic *s, struct sc_curves *out,
                         struct sc_error *e)
{
    size_t n = 0, samples = SC_MAX(s->samples, 1);
    struct blocks b;
    uint8_t kinds[2];

    for (size_t i = 0; i < s->n; i++)
        n += list_kinds(&s->formats[i], s->legacy, kinds);
    TRY(sc_curves_start(out, s->points, n, e));
    int code = draw_blocks(&b, samples, s->seed, e);
    double *y = sc_calloc(s->points * samples, sizeof *y), *sorted = sc_calloc(samples, sizeof *y);
    if (code == 0 && (!y || !sorted))
        code = sc_fail_memory(e);
    out->high = 1;
    sc_magnitudes_below(out, 1);
    for (size_t i = 0; i < s->points; i++)
        out->x[i] = (double)i / (double)(s->points - 1);
    for (size_t i = 0, at = 0; i < s->n && code == 0; i++) {
        size_t of = list_kinds(&s->formats[i], s->legacy, kinds);
        for (size_t k = 0; k < of; k++, at++) {
            out->curves[at].format = s->formats[i];
            out->curves[at].kind = kinds[k];
            trace(out, &out->curves[at], &b, y, sorted);
        }
    }
    free(y);
    free(sorted);
    free(b.normal);
    if (code < 0)
        sc_curves_clear(out);
    return code;
}
