/* SPDX-License-Identifier: Apache-2.0 */
/* quality_figures: metrics of sums of errors, their table, and how far those of a sample may be
 * off. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/quality_parts.h"

/* ----------------------------------------------------------------------------------- table --- */
#define AT(field) (uint16_t) offsetof(struct sc_quality, field)
#define UINT(key, title, field)                                                                    \
    {                                                                                              \
        key, title, NULL, SC_METRIC_UINT, 0, 1, AT(field)                                          \
    }
#define DOUBLE(key, title, unit, field)                                                            \
    {                                                                                              \
        key, title, unit, SC_METRIC_DOUBLE, 0, 1, AT(field)                                        \
    }
#define WORST(key, title, field)                                                                   \
    UINT(key ".index", title, field.index),                                                        \
        DOUBLE(key ".relative_frobenius", title ", relative error", NULL,                          \
               field.relative_frobenius)

static const struct sc_metric quality[] = {
    UINT("values", "Values", values),
    UINT("finite", "Finite values", finite),
    UINT("nonfinite", "NaN and infinities", nonfinite),
    UINT("overflowed", "Became infinite or NaN", overflowed),
    UINT("saturated", "Too large for their scale", saturated),
    UINT("zeroed", "Became zero", zeroed),
    DOUBLE("pcc", "Pearson correlation", NULL, pcc),
    DOUBLE("one_minus_pcc", "1 - correlation", NULL, one_minus_pcc),
    DOUBLE("cosine", "Cosine", NULL, cosine),
    DOUBLE("mae", "Mean |error|", NULL, mae),
    DOUBLE("mse", "Mean squared error", NULL, mse),
    DOUBLE("rmse", "Root mean squared error", NULL, rmse),
    DOUBLE("atol", "Largest |error|", NULL, atol),
    DOUBLE("sqnr_db", "SQNR", "dB", sqnr_db),
    DOUBLE("relative_frobenius", "Relative error, Frobenius", NULL, relative_frobenius),
    DOUBLE("max_relative", "Largest relative error", NULL, max_relative),
    DOUBLE("bias", "Mean error", NULL, bias),
    DOUBLE("p99_abs_error", "|error|, 99 %", NULL, p99),
    DOUBLE("p999_abs_error", "|error|, 99.9 %", NULL, p999),
    WORST("worst_row", "Worst row", row),
    WORST("worst_column", "Worst column", column),
    WORST("worst_tile", "Worst tile", tile),
    WORST("worst_head", "Worst head", head),
    WORST("worst_expert", "Worst matrix of a stack", expert),
    UINT("bytes", "Packed bytes", bytes),
    DOUBLE("bits_per_weight", "Bits a weight", "bits", bits_per_weight),
};
const struct sc_metric_group sc_metrics_quality = {"quality", "Quality of a format", 0, quality,
                                                   SC_COUNT(quality)};

/* ------------------------------------------------------------------------------- one format --- */

void sc_quality_none(struct sc_quality *out)
{
    const struct sc_worst none = {UINT64_MAX, NAN};
    *out = (struct sc_quality){.row = none,
                               .column = none,
                               .tile = none,
                               .head = none,
                               .expert = none,
                               .bytes = UINT64_MAX};
    for (size_t i = 0; i < SC_COUNT(quality); i++) {
        const double unknown = NAN;
        const uint64_t no_count = UINT64_MAX;
        char *at = (char *)out + quality[i].offset;
        if (quality[i].kind == SC_METRIC_DOUBLE)
            memcpy(at, &unknown, sizeof unknown);
        else
            memcpy(at, &no_count, sizeof no_count);
    }
}

void sc_quality_shorten(struct sc_quality *out)
{
    const struct sc_worst none = {UINT64_MAX, NAN};
    out->saturated = out->zeroed = UINT64_MAX;
    out->max_relative = out->p99 = out->p999 = NAN;
    out->row = out->column = out->tile = out->head = out->expert = none;
}

void sc_quality_no_errors(struct sc_quality *out)
{
    for (size_t i = 0; i < SC_COUNT(quality); i++) {
        const double unknown = NAN;
        if (quality[i].kind == SC_METRIC_DOUBLE &&
            quality[i].offset != offsetof(struct sc_quality, bits_per_weight))
            memcpy((char *)out + quality[i].offset, &unknown, sizeof unknown);
    }
}

/* Next to nothing is left of the norm: what the sums tell of it is rounding. */
static bool too_little(const struct sc_quality_sums *s)
{
    return s->yy > 0 && s->yy < 1e-8 * s->xx;
}

/* With centred sums sxx, sxd, sdd: syy = sxx + 2 sxd + sdd, pcc = (sxx + sxd) / (sx sy), and 1 -
 * pcc = (sdd - (sx - sy)^2) / (2 sx sy) with sx - sy = -(2 sxd + sdd) / (sx + sy), which has no
 * cancellation where y is near x. Where little is left of x, syy is taken from y. */
void sc_quality_pearson(const struct sc_quality_sums *s, double *pcc, double *one_minus)
{
    const double n = s->n, y = s->x + s->d;
    if (n == 0 || s->dd <= 0) {
        *pcc = 1;
        *one_minus = 0;
        return;
    }
    const double sxx = s->xx - s->x * s->x / n, sxd = s->xd - s->x * s->d / n;
    const double sdd = s->dd - s->d * s->d / n, own = s->yy - y * y / n;
    const double near = sxx + 2 * sxd + sdd, syy = near > 0.01 * sxx ? near : own;
    if (s->flat || !(sxx > 1e-15 * s->xx) || !(own > 4e-7 * s->yy || near > 0.01 * sxx) ||
        !(syy > 0)) {
        *pcc = 0;
        *one_minus = 1;
        return;
    }
    if (too_little(s)) {
        *pcc = *one_minus = NAN;
        return;
    }
    const double sx = sqrt(sxx), sy = sqrt(syy);
    const double apart = near > 0.01 * sxx ? (2 * sxd + sdd) / (sx + sy) : sx - sy;
    if (near > 0.5 * sxx && near < 2 * sxx) {
        *one_minus = SC_MIN(SC_MAX((sdd - apart * apart) / (2 * sx * sy), 0), 2);
        *pcc = 1 - *one_minus;
    } else {
        *pcc = SC_MIN(SC_MAX((sxx + sxd) / sx / sy, -1), 1);
        *one_minus = 1 - *pcc;
    }
}

static double sqnr(double xx, double dd)
{
    return dd > 0 ? 10 * log10(xx / dd) : INFINITY;
}

static double cosine_of(const struct sc_quality_sums *s)
{
    const double scale = sqrt(s->xx) * sqrt(s->yy);
    if (s->dd <= 0)
        return 1;
    if (too_little(s))
        return NAN;
    return scale > 0 ? SC_MAX(SC_MIN((s->xx + s->xd) / scale, 1), -1) : 0;
}

void sc_quality_figures(const struct sc_quality_pass *q, size_t format, struct sc_quality *out)
{
    const struct sc_sums_d *d = &q->d[format];
    const struct sc_sums_x *x = &q->x;
    const bool same = q->formats[format].lossless;
    const struct sc_worst *w = &q->worst[format * SC_WORSTS];
    const double n = (double)out->finite;
    const struct sc_quality_sums s = {.n = n,
                                      .x = x->sum,
                                      .xx = x->square,
                                      .yy = same ? x->square : d->values,
                                      .d = d->d,
                                      .dd = d->square,
                                      .xd = d->cross,
                                      .abs = d->abs,
                                      .flat = x->min >= x->max};
    float most;
    memcpy(&most, &d->most, sizeof most);
    out->overflowed = d->overflowed;
    out->saturated = d->saturated;
    out->zeroed = d->zeros;
    sc_quality_pearson(&s, &out->pcc, &out->one_minus_pcc);
    out->cosine = cosine_of(&s);
    out->mae = n > 0 ? s.abs / n : 0;
    out->mse = n > 0 ? s.dd / n : 0;
    out->rmse = sqrt(out->mse);
    out->atol = (double)most;
    out->sqnr_db = sqnr(s.xx, s.dd);
    out->relative_frobenius = s.xx > 0 ? sqrt(s.dd / s.xx) : s.dd > 0 ? INFINITY : 0;
    out->max_relative = d->relative;
    out->bias = n > 0 ? s.d / n : 0;
    out->row = w[SC_WORST_ROW];
    out->column = w[SC_WORST_COLUMN];
    out->head = w[SC_WORST_HEAD];
    out->expert = w[SC_WORST_EXPERT];
    out->tile = d->tile;
    struct sc_worst *all[] = {&out->row, &out->column, &out->head, &out->expert, &out->tile};
    if (same && x->square > 0 && q->cut.parts && q->n_only == 0)
        out->tile = (struct sc_worst){0, 0};
    for (size_t i = 0; i < SC_COUNT(all); i++)
        if (all[i]->index == UINT64_MAX)
            all[i]->relative_frobenius = NAN;
}

/* ------------------------------------------------------------------------------- intervals --- */

/* Of Student's t with nu degrees of freedom, 97.5 %: Cornish and Fisher's expansion. */
static double student(double nu)
{
    const double z = 1.959963984540054, z3 = z * z * z, z5 = z3 * z * z;
    return z + (z3 + z) / (4 * nu) + (5 * z5 + 16 * z3 + 3 * z) / (96 * nu * nu);
}

enum { PCC, SQNR, MAE, FIGURES };
static void figures_of(const struct sc_block_sums *x, const struct sc_block_sums *d,
                       double out[FIGURES])
{
    const struct sc_quality_sums s = {.n = x->n,
                                      .x = x->sum,
                                      .xx = x->square,
                                      .yy = d->values,
                                      .d = d->sum,
                                      .dd = d->square,
                                      .xd = d->cross,
                                      .abs = d->abs};
    double unused;
    sc_quality_pearson(&s, &out[PCC], &unused);
    out[SQNR] = sqnr(s.xx, s.dd);
    out[MAE] = s.n > 0 ? s.abs / s.n : 0;
}

static void step(struct sc_block_sums *to, const struct sc_block_sums *by, double sign)
{
    to->n += sign * by->n;
    to->sum += sign * by->sum;
    to->abs += sign * by->abs;
    to->square += sign * by->square;
    to->values += sign * by->values;
    to->cross += sign * by->cross;
}

/* The jackknife: each block left out in turn; a sample without replacement is off by less. */
void sc_quality_intervals(const struct sc_quality_pass *q, struct sc_quality_interval *out)
{
    const size_t k = q->n_blocks, wide = q->n + 1;
    for (size_t f = 0; f < q->n; f++) {
        struct sc_block_sums x = {0}, d = {0};
        double mean[FIGURES] = {0}, square[FIGURES] = {0};
        struct sc_quality_interval *to = &out[q->formats[f].index];
        for (size_t i = 0; i < k; i++) {
            step(&x, &q->blocks[i * wide + q->n], 1);
            step(&d, &q->blocks[i * wide + f], 1);
        }
        for (int round = 0; round < 2; round++)
            for (size_t i = 0; i < k; i++) {
                struct sc_block_sums less_x = x, less_d = d;
                double v[FIGURES];
                step(&less_x, &q->blocks[i * wide + q->n], -1);
                step(&less_d, &q->blocks[i * wide + f], -1);
                figures_of(&less_x, &less_d, v);
                for (int j = 0; j < FIGURES; j++) {
                    if (round == 0)
                        mean[j] += v[j] / (double)k;
                    else
                        square[j] += (v[j] - mean[j]) * (v[j] - mean[j]);
                }
            }
        for (int j = 0; j < FIGURES; j++)
            square[j] = k > 1 ? student((double)k - 1) *
                                    sqrt((double)(k - 1) / (double)k * square[j] * q->unseen)
                              : NAN;
        if (d.square <= 0) /* nothing was lost */
            square[SQNR] = 0;
        *to = (struct sc_quality_interval){
            .pcc = square[PCC], .sqnr_db = square[SQNR], .mae = square[MAE]};
    }
}
