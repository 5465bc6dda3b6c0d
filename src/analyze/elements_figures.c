/* SPDX-License-Identifier: Apache-2.0 */
/* elements_figures: from counts and sums to struct sc_health. */
#include "analyze/elements.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const double sc_quantiles[SC_QUANTILES] = {.001, .01, .05, .25, .5, .75, .95, .99, .999};
const double sc_sigmas[SC_SIGMAS] = {3, 4, 5, 6};
const double sc_levels[SC_LEVELS] = {0, 1e-6, 1e-4, 1e-2};
const double sc_magnitudes[SC_MAGNITUDES] = {.10, .25, .50, .75, .90};

/* A normal distribution's quartile; its fences lie at 4 and 7 times that. */
static const double normal_quartile = 0.67448975019608174320;

static double share(uint64_t n, uint64_t of)
{
    return of ? (double)n / (double)of : NAN;
}

/* ------------------------------------------------------------------------------------ sums --- */
static uint64_t count_in(const struct sc_order *o, unsigned side, size_t entry)
{
    return o->below[side][entry + 1] - o->below[side][entry];
}

static double power_of_two_near(double x)
{
    return x > 0 ? ldexp(1, ilogb(x)) : 1;
}

/* The divisor is a power of two: a product is the same number, where there is such a factor. */
static inline double in_units(double x, double unit, double per_unit)
{
    return isnormal(per_unit) ? x * per_unit : x / unit;
}

static void central_sums(struct sc_gathered *g, double mean)
{
    const struct sc_order *o = g->order;
    const double unit = g->unit, per_unit = 1 / unit;
    struct sc_sum square = {0, 0}, third = {0, 0}, fourth = {0, 0};
    for (size_t i = 0; i < o->n; i++) {
        const double x = in_units(o->low[i], unit, per_unit);
        for (unsigned side = 0; side < SC_SIDES; side++) {
            const double n = (double)(int64_t)count_in(o, side, i);
            const double d = (side == SC_NEGATIVE ? -x : x) - mean, d2 = d * d;
            sc_sum_add(&square, n * d2);
            sc_sum_add(&third, n * d2 * d);
            sc_sum_add(&fourth, n * d2 * d2);
        }
    }
    g->central_square = sc_sum_total(square);
    g->central_third = sc_sum_total(third);
    g->central_fourth = sc_sum_total(fourth);
}

static void extremes(struct sc_gathered *g)
{
    const uint64_t n = sc_order_count(g->order);
    g->min = n ? sc_order_value(g->order, 0).low : NAN;
    g->max = n ? sc_order_value(g->order, n - 1).low : NAN;
    g->abs_max = n ? fmax(fabs(g->min), fabs(g->max)) : NAN;
}

void sc_figures_sums(struct sc_gathered *g)
{
    const struct sc_order *o = g->order;
    struct sc_sum sum = {0, 0}, sum_abs = {0, 0}, square = {0, 0};
    extremes(g);
    g->unit = power_of_two_near(g->abs_max);
    const double unit = g->unit, per_unit = 1 / unit;
    for (size_t i = 0; i < o->n; i++) { /* x and -x cancel as integers */
        const int64_t positive = (int64_t)count_in(o, SC_POSITIVE, i),
                      negative = (int64_t)count_in(o, SC_NEGATIVE, i);
        const double x = in_units(o->low[i], unit, per_unit), both = (double)(positive + negative);
        sc_sum_add(&sum, (double)(positive - negative) * x);
        sc_sum_add(&sum_abs, both * x);
        sc_sum_add(&square, both * (x * x));
    }
    const uint64_t n = sc_order_count(o);
    g->sum = sc_sum_total(sum) * g->unit;
    g->sum_abs = sc_sum_total(sum_abs) * g->unit;
    g->l2_norm = sqrt(sc_sum_total(square)) * g->unit;
    if (n)
        central_sums(g, sc_sum_total(sum) / (double)n);
}

/* -------------------------------------------------------------------------------- quantiles --- */
typedef struct sc_bounds rank_fn(const struct sc_order *o, uint64_t rank);

/* Linear interpolation between neighbours, in the way of numpy.percentile. */
static double between(double a, double b, double part)
{
    const double d = b - a;
    return part >= 0.5 ? b - d * (1 - part) : a + d * part;
}

static struct sc_bounds quantile(const struct sc_order *o, rank_fn *value, double q)
{
    const uint64_t n = sc_order_count(o);
    if (n == 0)
        return (struct sc_bounds){NAN, NAN};
    const double at = (double)(n - 1) * q;
    const uint64_t rank = SC_MIN((uint64_t)at, n - 1);
    const double part = at - (double)rank;
    const struct sc_bounds a = value(o, rank), b = rank + 1 < n ? value(o, rank + 1) : a;
    return (struct sc_bounds){between(a.low, b.low, part), between(a.high, b.high, part)};
}

static double middle(struct sc_bounds b)
{
    return b.low == b.high ? b.low : b.low + (b.high - b.low) / 2;
}

struct fences {
    struct sc_bounds low, high;
};
static struct fences fences(struct sc_bounds q1, struct sc_bounds q3, double times)
{
    /* Exact quartiles make both bounds the same number. */
    return (struct fences){
        {q1.low - times * (q3.high - q1.low), q1.high - times * (q3.low - q1.high)},
        {q3.low + times * (q3.low - q1.high), q3.high + times * (q3.high - q1.low)}};
}

static uint64_t outside(const struct sc_order *o, struct fences f)
{
    sc_order_expect(o, f.low);
    sc_order_expect(o, f.high);
    return sc_order_below(o, middle(f.low)) + sc_order_above(o, middle(f.high));
}

static uint64_t beyond(const struct sc_order *o, double mean, double distance)
{
    return sc_order_below(o, mean - distance) + sc_order_above(o, mean + distance);
}

/* ------------------------------------------------------------------------------------ basic --- */
static double mean_of(const struct sc_gathered *g)
{
    return g->sum / (double)sc_order_count(g->order); /* 0 / 0 is NaN: does not apply */
}

static double std_of(const struct sc_gathered *g)
{
    const uint64_t n = sc_order_count(g->order);
    return n > 1 ? g->unit * sqrt(g->central_square / (double)(n - 1)) : NAN;
}

static void shape_figures(const struct sc_gathered *g, struct sc_basic *b)
{
    const double n = (double)b->finite, variance = g->central_square / n;
    b->skewness = b->kurtosis = NAN;
    if (b->finite && variance > 0) {
        b->skewness = g->central_third / n / (variance * sqrt(variance));
        b->kurtosis = g->central_fourth / n / (variance * variance) - 3;
    }
}

/* An entry of a coarse order is spread evenly over the bins that it touches. */
static void put_in_bins(uint64_t *bins, double low, double high, uint64_t n, bool negative)
{
    enum { HALF = SC_HISTOGRAM / 2 };
    uint64_t done = 0;
    double edge = floor(low);
    while (done < n) {
        const double cell = edge++;
        uint64_t up_to = n;
        if (edge < high)
            up_to = SC_MIN(n, (uint64_t)((double)n * ((edge - low) / (high - low)) + 0.5));
        size_t bin;
        if (!negative)
            bin = HALF + (size_t)SC_MIN(cell, HALF - 1);
        else if (low == high) /* a lower edge belongs to its bin */
            bin = HALF - (size_t)SC_MIN(ceil(low), HALF);
        else
            bin = HALF - 1 - (size_t)SC_MIN(cell, HALF - 1);
        bins[bin] += SC_MAX(up_to, done) - done;
        done = SC_MAX(up_to, done);
    }
}

/* Of entries that are one magnitude, without branches. */
static void histogram_of_points(const struct sc_gathered *g, uint64_t *bins)
{
    enum { HALF = SC_HISTOGRAM / 2 };
    const struct sc_order *o = g->order;
    for (size_t i = 0; i < o->n; i++) {
        const double at = SC_MIN(o->low[i] / g->abs_max, 1) * HALF;
        const int cell = (int)at, above = cell + ((double)cell < at);
        bins[HALF + SC_MIN(cell, HALF - 1)] += count_in(o, SC_POSITIVE, i);
        bins[HALF - SC_MIN(above, HALF)] += count_in(o, SC_NEGATIVE, i);
    }
}

static void histogram(const struct sc_gathered *g, struct sc_basic *b)
{
    const struct sc_order *o = g->order;
    const double per_bin = SC_HISTOGRAM / 2.0;
    b->histogram_edge = g->abs_max;
    if (!o->high && g->abs_max > 0) {
        histogram_of_points(g, b->histogram);
        return;
    }
    for (size_t i = 0; i < o->n; i++) {
        double low = 0, high = 0;
        if (g->abs_max > 0) {
            low = SC_MIN(o->low[i] / g->abs_max, 1) * per_bin;
            high = o->high ? SC_MIN(o->high[i] / g->abs_max, 1) * per_bin : low;
        }
        put_in_bins(b->histogram, low, high, count_in(o, SC_POSITIVE, i), false);
        put_in_bins(b->histogram, low, high, count_in(o, SC_NEGATIVE, i), true);
    }
}

static void basic(const struct sc_gathered *g, struct sc_basic *b)
{
    const struct sc_order *o = g->order;
    b->values = g->view->count;
    b->finite = sc_order_count(o);
    b->zeros = g->zeros;
    b->negative_zeros = g->negative_zeros;
    b->subnormals = g->subnormals;
    b->nans = g->nans;
    b->infinities = g->infinities;
    b->first_nan = g->first_nan;
    b->first_infinity = g->first_infinity;
    b->distinct = g->distinct;
    b->entropy = g->entropy;
    b->mean = mean_of(g);
    b->std = std_of(g);
    b->min = g->min;
    b->max = g->max;
    b->abs_max = g->abs_max;
    b->mean_abs = g->sum_abs / (double)b->finite;
    b->l2_norm = b->finite ? g->l2_norm : NAN;
    b->rms = g->l2_norm / sqrt((double)b->finite);
    b->zeros_percent = 100 * share(b->zeros, b->values);
    shape_figures(g, b);
    for (size_t i = 0; i < SC_QUANTILES; i++)
        b->quantile[i] = middle(quantile(o, sc_order_value, sc_quantiles[i]));
    b->max_over_sigma = b->std > 0 ? b->abs_max / b->std : NAN;
    b->max_over_sigma_normal = sc_normal_max(b->finite);
    for (size_t i = 0; i < SC_SIGMAS; i++) {
        const bool known = b->std > 0;
        b->beyond[i] = known ? share(beyond(o, b->mean, sc_sigmas[i] * b->std), b->finite) : NAN;
        b->beyond_normal[i] = sc_normal_beyond(sc_sigmas[i]);
    }
    memcpy(b->holds, g->holds, sizeof b->holds);
    histogram(g, b);
}

/* ------------------------------------------------------------------------- rows and columns --- */
struct line_figures {
    uint64_t dead, zero, first_dead, loudest;
    double peak_median, peak_max, norm_median, norm_max;
};

static double median(double *v, size_t n)
{
    const double upper = sc_select(v, n, n / 2);
    if (n % 2)
        return upper;
    double lower = v[0];
    for (size_t i = 1; i < n / 2; i++)
        lower = SC_MAX(lower, v[i]);
    return lower + (upper - lower) / 2;
}

static double value_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Overwrites `square`. */
static struct line_figures line_figures(const uint32_t *peak, double *square, size_t n)
{
    const double dead = 1e-6;
    struct line_figures f = {.first_dead = UINT64_MAX, .norm_max = -1};
    for (size_t i = 0; i < n; i++) {
        const double most = value_of(peak[i]);
        f.zero += most == 0;
        if (most <= dead) {
            f.dead++;
            f.first_dead = SC_MIN(f.first_dead, i);
        }
        square[i] = sqrt(square[i]);
        if (square[i] > f.norm_max) {
            f.norm_max = square[i];
            f.loudest = i;
        }
        f.peak_max = SC_MAX(f.peak_max, most);
    }
    f.norm_median = median(square, n);
    for (size_t i = 0; i < n; i++)
        square[i] = value_of(peak[i]);
    f.peak_median = median(square, n);
    return f;
}

static void row_figures(const struct sc_lines *l, struct sc_sparsity *s)
{
    const struct line_figures f = line_figures(l->row_peak, l->row_square, (size_t)l->plan->rows);
    s->dead_rows = f.dead;
    s->zero_rows = f.zero;
    s->first_dead_row = f.first_dead;
    s->dead_rows_percent = 100 * share(f.dead, l->plan->rows);
    s->row_absmax_median = f.peak_median;
    s->row_absmax_max = f.peak_max;
    s->row_norm_median = f.norm_median;
    s->row_norm_max = f.norm_max;
    s->loudest_row = f.loudest;
}

static void column_figures(const struct sc_lines *l, struct sc_sparsity *s)
{
    const struct line_figures f =
        line_figures(l->column_peak, l->column_square, (size_t)l->plan->cols);
    s->dead_columns = f.dead;
    s->zero_columns = f.zero;
    s->first_dead_column = f.first_dead;
    s->dead_columns_percent = 100 * share(f.dead, l->plan->cols);
    s->column_absmax_median = f.peak_median;
    s->column_absmax_max = f.peak_max;
    s->column_norm_median = f.norm_median;
    s->column_norm_max = f.norm_max;
    s->loudest_column = f.loudest;
}

static void no_lines(struct sc_sparsity *s)
{
    s->rows = s->cols = UINT64_MAX;
    s->dead_rows = s->dead_columns = s->zero_rows = s->zero_columns = UINT64_MAX;
    s->first_dead_row = s->first_dead_column = s->loudest_row = s->loudest_column = UINT64_MAX;
    s->dead_rows_percent = s->dead_columns_percent = NAN;
    s->row_absmax_median = s->row_absmax_max = s->column_absmax_median = s->column_absmax_max = NAN;
    s->row_norm_median = s->row_norm_max = s->column_norm_median = s->column_norm_max = NAN;
}

/* Lines are measured as floats. */
static bool lines_hold(const struct sc_gathered *g)
{
    return g->lines->clean && g->abs_max <= FLT_MAX;
}

static void sparsity(const struct sc_gathered *g, struct sc_sparsity *s)
{
    const struct sc_order *o = g->order;
    for (size_t i = 0; i < SC_LEVELS; i++)
        s->level_percent[i] = 100 * share(sc_order_within(o, sc_levels[i]), g->view->count);
    for (size_t i = 0; i < SC_MAGNITUDES; i++)
        s->magnitude[i] = middle(quantile(o, sc_order_magnitude, sc_magnitudes[i]));
    s->mean_abs = g->sum_abs / (double)sc_order_count(o);
    s->median_abs = middle(quantile(o, sc_order_magnitude, 0.5));
    no_lines(s);
    const struct sc_lines_plan *p = g->lines->plan;
    if (g->view->tensor->rank >= 2) {
        s->rows = p->rows;
        s->cols = p->cols;
    }
    if (lines_hold(g) && p->want_rows)
        row_figures(g->lines, s);
    if (lines_hold(g) && p->want_columns)
        column_figures(g->lines, s);
}

/* ----------------------------------------------------------------------------- quantization --- */
static void fill_error(const struct sc_int_sums *e, double signal, uint64_t n,
                       struct sc_int_error *out)
{
    out->mse = e->square / (double)n;
    out->mae = e->abs / (double)n;
    out->max_abs = e->most;
    out->sqnr_db = e->square > 0 ? 10 * log10(signal / e->square) : INFINITY;
    out->cosine = 1;
    out->one_minus_cosine = 0;
    const double of_integers = signal - 2 * e->cross + e->square; /* their sum of squares */
    if (e->square > 0 && of_integers > 0) {
        /* 1 - c directly: 1 - c^2 without the difference of nearly equal numbers. */
        const double c = (signal - e->cross) / sqrt(signal) / sqrt(of_integers);
        const double one_minus_square = (e->square - e->cross * (e->cross / signal)) / of_integers;
        out->cosine = fmin(1, fmax(-1, c));
        out->one_minus_cosine = fmax(0, one_minus_square) / (1 + out->cosine);
    } else if (e->square > 0) {
        out->cosine = 0;
        out->one_minus_cosine = 1;
    }
}

static const struct sc_int_error no_error = {NAN, NAN, NAN, NAN, NAN, NAN};

/* In units. x is multiplied before it is divided, which keeps ties of short mantissas ties. */
static void exact_per_tensor(const struct sc_gathered *g, double most_steps,
                             struct sc_int_sums *out)
{
    const struct sc_order *o = g->order;
    struct sc_sum square = {0, 0}, sum_abs = {0, 0}, cross = {0, 0};
    const double unit = g->unit, per_unit = 1 / unit, top = g->abs_max / unit;
    *out = (struct sc_int_sums){0, 0, 0, 0};
    for (size_t i = 0; i < o->n && top > 0; i++) {
        const double n =
            (double)(int64_t)(count_in(o, SC_POSITIVE, i) + count_in(o, SC_NEGATIVE, i));
        const double x = in_units(o->low[i], unit, per_unit);
        const double e = x - rint(x * most_steps / top) * top / most_steps;
        sc_sum_add(&square, n * (e * e));
        sc_sum_add(&sum_abs, n * fabs(e));
        sc_sum_add(&cross, n * (x * e));
        out->most = SC_MAX(out->most, fabs(e));
    }
    out->square = sc_sum_total(square);
    out->abs = sc_sum_total(sum_abs);
    out->cross = sc_sum_total(cross);
}

/* What integers lose when they only reach a share of the largest magnitude, for many shares: sums
 * from either end leave only the entries between half a step and the clip to be looked at. All in
 * units. */
struct clip {
    const struct sc_order *o;
    double unit, most_steps;
    double *n, *low, *high;          /* (entries) values of both signs, and where they lie */
    double *count, *linear, *square; /* (entries + 1) sums of 1, |x|, x^2 of entries before */
};

static void clip_clear(struct clip *c)
{
    free(c->n);
}

static int clip_new(const struct sc_gathered *g, double most_steps, struct clip *c,
                    struct sc_error *e)
{
    const struct sc_order *o = g->order;
    double *p = sc_calloc(6 * o->n + 3, sizeof *p);
    if (!p)
        return sc_fail_memory(e);
    *c = (struct clip){o,
                       g->unit,
                       most_steps,
                       p,
                       p + o->n,
                       p + 2 * o->n,
                       p + 3 * o->n,
                       p + 4 * o->n + 1,
                       p + 5 * o->n + 2};
    const double unit = g->unit, per_unit = 1 / unit;
    for (size_t i = 0; i < o->n; i++) {
        const double a = in_units(o->low[i], unit, per_unit);
        const double b = o->high ? in_units(SC_MIN(o->high[i], g->abs_max), unit, per_unit) : a;
        const double n =
            (double)(int64_t)(count_in(o, SC_POSITIVE, i) + count_in(o, SC_NEGATIVE, i));
        c->n[i] = n;
        c->low[i] = a;
        c->high[i] = b;
        c->count[i + 1] = c->count[i] + n;
        c->linear[i + 1] = c->linear[i] + n * ((a + b) / 2);
        c->square[i + 1] = c->square[i] + n * ((a * a + a * b + b * b) / 3);
    }
    return 0;
}

/* Of entries that are one magnitude; in steps^2. */
static double error_of_points(const struct clip *c, size_t first, size_t last, double step)
{
    enum { LANES = 4 };
    const double inverse = 1 / step, magic = 0x1.8p52; /* rounds below 2^51, half to even */
    double lanes[LANES] = {0};
    size_t i = first;
    for (; i + LANES <= last; i += LANES)
        for (size_t j = 0; j < LANES; j++) {
            const double t = c->low[i + j] * inverse, q = (t + magic) - magic;
            const double r = t - (q < c->most_steps ? q : c->most_steps);
            lanes[j] += c->n[i + j] * (r * r);
        }
    for (; i < last; i++) {
        const double t = c->low[i] * inverse, q = (t + magic) - magic;
        const double r = t - (q < c->most_steps ? q : c->most_steps);
        lanes[0] += c->n[i] * (r * r);
    }
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

/* The integral of (v - v rounded)^2 from 0 to u. */
static double rounding_integral(double u)
{
    const double magic = 0x1.8p52, whole = (u + magic) - magic, rest = u - whole;
    return whole / 12 + rest * rest * rest / 3;
}

/* Of entries whose values are spread evenly. */
static double error_of_ranges(const struct clip *c, size_t first, size_t last, double step)
{
    const double turn = c->most_steps + 0.5;
    double sum = 0;
    for (size_t i = first; i < last; i++) {
        const double a = c->low[i] / step, b = c->high[i] / step;
        const double inner = SC_MIN(b, turn), outer = SC_MAX(a, turn);
        double part = 0;
        if (a < inner)
            part += rounding_integral(inner) - rounding_integral(a);
        if (outer < b) {
            const double from = outer - c->most_steps, to = b - c->most_steps;
            part += (to * to * to - from * from * from) / 3;
        }
        const double r = a - SC_MIN(rint(a), c->most_steps);
        sum += c->n[i] * (a < b ? part / (b - a) : r * r);
    }
    return sum;
}

/* The first entry whose values are all above x. Without branches, which nobody could foresee. */
static size_t first_above(const struct clip *c, double x)
{
    const double *low = c->low;
    size_t n = c->o->n;
    while (n > 1) {
        const size_t half = n / 2;
        low += (low[half - 1] <= x) * half;
        n -= half;
    }
    return (size_t)(low - c->low) + (n && *low <= x);
}

/* What values beyond the clip lose; `last`: the first of them. */
static double beyond_clip(const struct clip *c, double clip, size_t last)
{
    const size_t end = c->o->n;
    return (c->square[end] - c->square[last]) - 2 * clip * (c->linear[end] - c->linear[last]) +
           clip * clip * (c->count[end] - c->count[last]);
}

/* Infinity: more than `most`, as values beyond the clip alone lose that. */
static double clip_error(const struct clip *c, double clip, double most)
{
    const double step = clip / c->most_steps;
    size_t last = first_above(c, clip + step);
    const double beyond = beyond_clip(c, clip, last);
    if (beyond * (1 - 1e-9) > most)
        return INFINITY;
    size_t first = first_above(c, step / 2);
    while (first && c->high[first - 1] > step / 2)
        first--;
    if (last < first)
        return c->square[first] + beyond_clip(c, clip, first);
    const double inner =
        c->o->high ? error_of_ranges(c, first, last, step) : error_of_points(c, first, last, step);
    return c->square[first] + inner * step * step + beyond;
}

/* Shares of abs_max are powers of 2^(1/32): every fourth down to 1/128, then around the best. */
static void best_clip(const struct sc_gathered *g, const struct clip *c, struct sc_quantization *q)
{
    enum { PER_OCTAVE = 32, OCTAVES = 7 };
    const double top = g->abs_max / g->unit;
    int best = 0;
    double least = clip_error(c, top, INFINITY);
    for (int stride = 4; stride; stride /= 2) {
        const int low = stride == 4 ? 0 : best - stride,
                  high = stride == 4 ? OCTAVES * PER_OCTAVE : best + stride;
        for (int i = SC_MAX(low, 0); i <= high; i += stride) {
            const double error = clip_error(c, top * exp2(-(double)i / PER_OCTAVE), least);
            if (error < least) {
                least = error;
                best = i;
            }
        }
    }
    const double signal = g->l2_norm / g->unit * (g->l2_norm / g->unit);
    q->best_clip = exp2(-(double)best / PER_OCTAVE);
    q->best_clip_sqnr_db = best == 0   ? q->per_tensor.sqnr_db
                           : least > 0 ? 10 * log10(signal / least)
                                       : INFINITY;
}

static void outliers(const struct sc_gathered *g, struct sc_quantization *q)
{
    const struct sc_order *o = g->order;
    const uint64_t n = sc_order_count(o);
    const struct sc_bounds q1 = quantile(o, sc_order_value, 0.25);
    const struct sc_bounds q3 = quantile(o, sc_order_value, 0.75);
    q->q1 = middle(q1);
    q->q3 = middle(q3);
    q->iqr = q->q3 - q->q1;
    q->outliers = n ? outside(o, fences(q1, q3, 1.5)) : 0;
    q->extreme_outliers = n ? outside(o, fences(q1, q3, 3)) : 0;
    q->outlier_percent = 100 * share(q->outliers, n);
    q->extreme_outlier_percent = 100 * share(q->extreme_outliers, n);
    q->outlier_ratio_normal = q->outlier_percent / (100 * sc_normal_beyond(4 * normal_quartile));
    q->extreme_ratio_normal =
        q->extreme_outlier_percent / (100 * sc_normal_beyond(7 * normal_quartile));
    const double std = std_of(g);
    q->zscore_outliers = std > 0 ? beyond(o, mean_of(g), 3 * std) : 0;
    q->zscore_outlier_percent = 100 * share(q->zscore_outliers, n);
}

static void scaled_sums(struct sc_int_sums *s, double unit)
{
    s->square /= unit * unit;
    s->abs /= unit;
    s->cross /= unit * unit;
    s->most /= unit;
}

static void int_error(const struct sc_gathered *g, struct sc_int_sums sums, bool in_units,
                      struct sc_int_error *out)
{
    const uint64_t n = sc_order_count(g->order);
    *out = no_error;
    if (n == 0)
        return;
    if (!in_units)
        scaled_sums(&sums, g->unit);
    const double norm = g->l2_norm / g->unit;
    fill_error(&sums, norm * norm, n, out);
    out->mse *= g->unit * g->unit;
    out->mae *= g->unit;
    out->max_abs *= g->unit;
}

static void int_errors(const struct sc_gathered *g, double most_steps, struct sc_quantization *q)
{
    const struct sc_lines_plan *p = g->lines->plan;
    struct sc_int_sums sums;
    if (g->order->high)
        int_error(g, g->per_tensor, false, &q->per_tensor);
    else {
        exact_per_tensor(g, most_steps, &sums);
        int_error(g, sums, true, &q->per_tensor);
    }
    q->per_channel = q->per_group = no_error;
    if (!lines_hold(g))
        return;
    q->per_channel = q->per_tensor;
    if (p->rows > 1)
        int_error(g, g->lines->channel, false, &q->per_channel);
    q->per_group = q->per_channel;
    if (p->group)
        int_error(g, g->lines->group, false, &q->per_group);
}

static int quantization(const struct sc_gathered *g, struct sc_quantization *q, struct sc_error *e)
{
    const uint64_t n = sc_order_count(g->order);
    const double most_steps = (double)((UINT32_C(1) << (g->measure->bits - 1)) - 1);
    q->bits = g->measure->bits;
    q->group = g->measure->group;
    outliers(g, q);
    q->abs_max = g->abs_max;
    q->dynamic_range = g->abs_max / (g->sum_abs / (double)n + 1e-10);
    q->scale = g->abs_max / most_steps;
    const double normal_max = sc_normal_max(n);
    q->sqnr_normal_db = 10 * log10(12 * most_steps * most_steps / (normal_max * normal_max));
    int_errors(g, most_steps, q);
    q->best_clip = q->best_clip_sqnr_db = NAN;
    if (!(g->abs_max > 0))
        return 0;
    struct clip c;
    TRY(clip_new(g, most_steps, &c, e));
    best_clip(g, &c, q);
    clip_clear(&c);
    return 0;
}

/* -------------------------------------------------------------------------------------- all --- */
void sc_figures_ask(const struct sc_gathered *g)
{
    const struct sc_order *o = g->order;
    const unsigned methods = g->measure->methods;
    if (sc_order_count(o) == 0)
        return;
    if (methods & SC_METHOD_BASIC)
        for (size_t i = 0; i < SC_QUANTILES; i++)
            (void)quantile(o, sc_order_value, sc_quantiles[i]);
    if (methods & SC_METHOD_BASIC)
        for (size_t i = 0; i < SC_SIGMAS; i++)
            (void)beyond(o, mean_of(g), sc_sigmas[i] * std_of(g));
    if (methods & SC_METHOD_SPARSITY) {
        for (size_t i = 0; i < SC_LEVELS; i++)
            (void)sc_order_within(o, sc_levels[i]);
        for (size_t i = 0; i < SC_MAGNITUDES; i++)
            (void)quantile(o, sc_order_magnitude, sc_magnitudes[i]);
        (void)quantile(o, sc_order_magnitude, 0.5);
    }
    if (methods & SC_METHOD_QUANTIZATION) {
        struct sc_quantization q;
        outliers(g, &q);
    }
}

int sc_figures_fill(const struct sc_gathered *g, struct sc_health *h, struct sc_error *e)
{
    const unsigned methods = g->measure->methods & SC_METHODS_ELEMENTS;
    h->version = SC_HEALTH_VERSION;
    h->measured = (h->measured & ~(unsigned)SC_METHODS_ELEMENTS) | methods;
    memset(&h->basic, 0, sizeof h->basic);
    memset(&h->sparsity, 0, sizeof h->sparsity);
    memset(&h->quantization, 0, sizeof h->quantization);
    if (methods & SC_METHOD_BASIC)
        basic(g, &h->basic);
    if (methods & SC_METHOD_QUANTIZATION)
        TRY(quantization(g, &h->quantization, e));
    if (methods & SC_METHOD_SPARSITY)
        sparsity(g, &h->sparsity); /* uses up the lines */
    return 0;
}
