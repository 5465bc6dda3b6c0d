/* SPDX-License-Identifier: Apache-2.0 */
/* spectrum: from singular values to the figures that people ask for, and their table. */
#include "analyze/health.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------------------- table --- */
const char *const sc_spectrum_method_names[] = {
    [SC_SPECTRUM_NONE] = "none",         [SC_SPECTRUM_GRAM] = "gram",
    [SC_SPECTRUM_REFINED] = "gram+qr",   [SC_SPECTRUM_LANCZOS] = "lanczos",
    [SC_SPECTRUM_ESTIMATE] = "estimate", [SC_SPECTRUM_FACTORS] = "factors",
};

#define ROW(kind, key, title, unit, field, count, flags)                                           \
    {key, title, unit, SC_METRIC_##kind, flags, count, offsetof(struct sc_health, spectrum.field)},
#define DOUBLE(key, title, unit, field) ROW(DOUBLE, key, title, unit, field, 1, 0)
#define UINT(key, title, unit, field)   ROW(UINT, key, title, unit, field, 1, 0)
#define UINT32(key, title, field)       ROW(UINT32, key, title, NULL, field, 1, 0)

/* clang-format off */
static const struct sc_metric metrics[] = {
    ROW(METHOD, "method", "Method", NULL, method, 1, 0)
    UINT32("slices", "Matrices", slices)
    UINT32("slice", "Worst matrix", slice)
    UINT("rows", "Rows", NULL, rows)
    UINT("cols", "Columns", NULL, cols)
    UINT("total_rank", "Total rank", NULL, total_rank)
    DOUBLE("error_bound", "Error bound", NULL, error_bound)
    DOUBLE("residual", "Residual", NULL, residual)
    /* of the field's first tools */
    DOUBLE("max_singular_value", "Largest singular value", NULL, sigma_max)
    DOUBLE("min_singular_value", "Smallest singular value", NULL, sigma_min)
    DOUBLE("singular_value_ratio", "Smallest over largest", NULL, ratio)
    ROW(DOUBLES, "top_singular_values", "Largest singular values", NULL, top, SC_TOP_SIGMA, 0)
    DOUBLE("condition_number", "Condition number", NULL, condition)
    DOUBLE("condition_random", "Condition number of noise", NULL, condition_random)
    DOUBLE("condition_p", "Chance of it in noise", NULL, condition_p)
    DOUBLE("condition_resolution", "What the type resolves", NULL, condition_resolution)
    /* ranks */
    UINT("numerical_rank", "Numerical rank", NULL, numerical_rank)
    UINT("rank_at_001", "Rank at 0.01", NULL, rank_001)
    DOUBLE("stable_rank", "Stable rank", NULL, stable_rank)
    DOUBLE("stable_rank_random", "Stable rank of noise", NULL, stable_rank_random)
    DOUBLE("roy_vetterli_rank", "Effective rank", NULL, roy_vetterli_rank)
    DOUBLE("participation_ratio", "Participation ratio", NULL, participation_ratio)
    UINT("energy_rank.p50", "Rank of 50 % energy", NULL, energy_rank[0])
    UINT("energy_rank.p90", "Rank of 90 % energy", NULL, energy_rank[1])
    UINT("energy_rank.p95", "Rank of 95 % energy", NULL, energy_rank[2])
    UINT("energy_rank.p99", "Rank of 99 % energy", NULL, energy_rank[3])
    DOUBLE("frobenius_norm", "Frobenius norm", NULL, frobenius)
    /* against noise */
    DOUBLE("noise_sigma", "Noise", NULL, noise_sigma)
    DOUBLE("mp_edge", "Edge of noise", NULL, edge)
    UINT("above_edge", "Above the edge", NULL, above_edge)
    UINT("signal_rank", "Signal rank", NULL, signal_rank)
    DOUBLE("tracy_widom", "Tracy-Widom", NULL, tracy_widom)
    DOUBLE("mp_distance", "Bulk from Marchenko-Pastur", NULL, mp_distance)
    /* WeightWatcher */
    DOUBLE("alpha", "Alpha", NULL, power_law.alpha)
    DOUBLE("xmin", "Tail from", NULL, power_law.xmin)
    DOUBLE("xmax", "Tail to", NULL, power_law.xmax)
    DOUBLE("D", "Distance of the fit", NULL, power_law.distance)
    DOUBLE("sigma", "Error of alpha", NULL, power_law.sigma)
    UINT("num_pl_spikes", "Eigenvalues in the tail", NULL, power_law.in_tail)
    DOUBLE("alpha_weighted", "Weighted alpha", NULL, alpha_weighted)
    DOUBLE("log_norm", "Log norm", "log10", log_norm)
    DOUBLE("log_spectral_norm", "Log spectral norm", "log10", log_spectral_norm)
    DOUBLE("log_alpha_norm", "Log alpha norm", "log10", log_alpha_norm)
    DOUBLE("entropy", "Spectral entropy", NULL, entropy)
    DOUBLE("hill_alpha", "Hill alpha", NULL, hill_alpha)
    UINT("rank_loss", "Rank loss", NULL, rank_loss)
    UINT("weak_rank_loss", "Weak rank loss", NULL, weak_rank_loss)
    UINT("detx_num", "Eigenvalues of detX", NULL, detx)
    DOUBLE("shuffled.max_singular_value", "Shuffled: largest", NULL, shuffled_sigma_max)
    DOUBLE("shuffled.alpha", "Shuffled: alpha", NULL, shuffled_alpha)
    DOUBLE("shuffled.distance", "Shuffled: distance", NULL, shuffled_distance)
    UINT("shuffled.above_edge", "Shuffled: above the edge", NULL, shuffled_spikes)
    /* Spectrum */
    DOUBLE("spectrum_snr", "Spectrum SNR", NULL, spectrum_snr)
    UINT("spectrum_count", "Above Spectrum's threshold", NULL, spectrum_count)
    DOUBLE("mp_snr", "SNR at the edge", NULL, mp_snr)
    /* low rank */
    UINT("lora_rank.frobenius_90", "LoRA rank, norm 0.9", NULL, lora_rank[SC_LORA_FROBENIUS_90])
    UINT("lora_rank.frobenius_95", "LoRA rank, norm 0.95", NULL, lora_rank[SC_LORA_FROBENIUS_95])
    UINT("lora_rank.ratio_10", "LoRA rank, ratio 10", NULL, lora_rank[SC_LORA_RATIO_10])
    UINT("lora_rank.sum_90", "LoRA rank, sum 0.9", NULL, lora_rank[SC_LORA_SUM_90])
    UINT("lora_rank.knee", "LoRA rank, knee", NULL, lora_rank[SC_LORA_KNEE])
    UINT("break_even_rank", "Break-even rank", NULL, break_even_rank)
    DOUBLE("error_at_rank.k1", "Error at rank 1", NULL, error_at_rank[0])
    DOUBLE("error_at_rank.k4", "Error at rank 4", NULL, error_at_rank[1])
    DOUBLE("error_at_rank.k8", "Error at rank 8", NULL, error_at_rank[2])
    DOUBLE("error_at_rank.k16", "Error at rank 16", NULL, error_at_rank[3])
    DOUBLE("error_at_rank.k32", "Error at rank 32", NULL, error_at_rank[4])
    DOUBLE("error_at_rank.k64", "Error at rank 64", NULL, error_at_rank[5])
    DOUBLE("error_at_rank.k128", "Error at rank 128", NULL, error_at_rank[6])
    DOUBLE("error_at_rank.k256", "Error at rank 256", NULL, error_at_rank[7])
    /* plots */
    ROW(FLOATS, "singular_values", "Singular values", NULL, point, SC_SIGMA_POINTS, SC_METRIC_PLOT)
    ROW(DOUBLE, "esd_low", "Histogram from", "log10", esd_low, 1, SC_METRIC_PLOT)
    ROW(DOUBLE, "esd_high", "Histogram to", "log10", esd_high, 1, SC_METRIC_PLOT)
    ROW(UINT32S, "esd", "Eigenvalues in bins", NULL, esd, SC_ESD_BINS, SC_METRIC_PLOT)
};
/* clang-format on */

const struct sc_metric_group sc_metrics_spectral = {
    "spectral", "Singular values", SC_METHOD_SPECTRAL, metrics, SC_COUNT(metrics),
};

void sc_spectrum_none(struct sc_spectrum *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < SC_COUNT(metrics); i++) {
        char *at = (char *)out + (metrics[i].offset - offsetof(struct sc_health, spectrum));
        for (size_t k = 0; k < metrics[i].count; k++) {
            if (metrics[i].kind == SC_METRIC_DOUBLE || metrics[i].kind == SC_METRIC_DOUBLES)
                ((double *)(void *)at)[k] = NAN;
            else if (metrics[i].kind == SC_METRIC_FLOATS)
                ((float *)(void *)at)[k] = NAN;
            else if (metrics[i].kind == SC_METRIC_UINT)
                ((uint64_t *)(void *)at)[k] = UINT64_MAX;
        }
    }
}

/* ---------------------------------------------------------- what the largest values tell ---
 * All figures below stay as sc_spectrum_none() left them where they cannot be told. */
static const double energy_shares[4] = {0.5, 0.9, 0.95, 0.99};
static const size_t error_ranks[8] = {1, 4, 8, 16, 32, 64, 128, 256};

/* NaN instead of minus infinity. */
static double log10_or_nan(double x)
{
    return x > 0 ? log10(x) : NAN;
}

static void describe_shape(uint64_t rows, uint64_t cols, struct sc_spectrum *out)
{
    out->rows = rows;
    out->cols = cols;
    out->total_rank = SC_MIN(rows, cols);
    out->condition_random = sc_condition_random(rows, cols);
    out->stable_rank_random = sc_stable_rank_random(rows, cols);
    out->break_even_rank = (uint64_t)((double)rows * (double)cols / ((double)rows + (double)cols));
}

static void describe_largest(const struct sc_svd *svd, struct sc_spectrum *out)
{
    const double *s = svd->s, squares = svd->frobenius * svd->frobenius;
    for (size_t i = 0; i < SC_MIN(svd->n, (size_t)SC_TOP_SIGMA); i++)
        out->top[i] = s[i];
    out->sigma_max = s[0];
    out->frobenius = svd->frobenius;
    out->stable_rank = s[0] > 0 ? squares / (s[0] * s[0]) : 0;
    out->log_norm = log10_or_nan(squares);
    out->log_spectral_norm = log10_or_nan(s[0] * s[0]);
}

/* Quick: whatever the tail cannot change. */
static void describe_from_top(const struct sc_svd *svd, struct sc_spectrum *out)
{
    const double *s = svd->s, squares = svd->frobenius * svd->frobenius;
    double left = squares;
    size_t k = 0;
    if (s[svd->n - 1] <= 0.01 * s[0])
        out->rank_001 = sc_rank_above(s, svd->n, 0.01 * s[0]);
    for (size_t i = 0; i < SC_COUNT(energy_shares); i++)
        out->energy_rank[i] = sc_rank_of_share(s, svd->n, true, squares, energy_shares[i]);
    for (size_t i = 0; i < SC_COUNT(error_ranks) && error_ranks[i] <= svd->n; i++) {
        for (; k < error_ranks[i]; k++)
            left -= s[k] * s[k];
        if (squares > 0)
            out->error_at_rank[i] = sqrt(fmax(left, 0) / squares);
    }
}

/* ------------------------------------------------------------------- what all values tell --- */
static void describe_ranks(const struct sc_svd *svd, struct sc_spectrum *out)
{
    const double *s = svd->s;
    const size_t n = svd->n;
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += s[i] * s[i];
    out->sigma_min = s[n - 1];
    out->ratio = s[0] > 0 ? s[n - 1] / s[0] : NAN;
    out->numerical_rank = sc_rank_above(s, n, svd->floor);
    out->condition = out->numerical_rank < n ? INFINITY : s[0] / s[n - 1];
    if (out->rows == out->cols)
        out->condition_p = isinf(out->condition) ? 0 : sc_condition_p(out->condition, n);
    out->rank_001 = sc_rank_above(s, n, 0.01 * s[0]);
    out->roy_vetterli_rank = sc_rank_entropy(s, n);
    out->participation_ratio = sc_participation_ratio(s, n);
    for (size_t i = 0; i < SC_COUNT(energy_shares); i++)
        out->energy_rank[i] = sc_rank_of_share(s, n, true, squares, energy_shares[i]);
    for (size_t i = 0; i < SC_COUNT(error_ranks); i++)
        out->error_at_rank[i] = sc_error_at_rank(s, n, sqrt(squares), error_ranks[i]);
    sc_lora_ranks(s, n, out->lora_rank);
}

static void describe_noise(const struct sc_svd *svd, struct sc_spectrum *out)
{
    const double *s = svd->s;
    const size_t n = svd->n;
    const double sigma = sc_mp_sigma(s, out->rows, out->cols);
    const double edge = sc_mp_edge(sigma, out->rows, out->cols);
    const double signal = sc_signal_threshold(sigma, out->rows, out->cols);
    const double snr_threshold = sc_spectrum_threshold(s, n, out->rows, out->cols);

    out->noise_sigma = sigma;
    out->edge = edge;
    /* When more than half of the values are zero so is the noise; what is left of them by rounding
     * is no signal. */
    out->above_edge = sc_rank_above(s, n, fmax(edge, svd->floor));
    out->signal_rank = sc_rank_above(s, n, fmax(signal, svd->floor));
    if (edge > svd->floor) {
        out->tracy_widom = sc_tracy_widom(s[0], sigma, out->rows, out->cols);
        out->mp_distance = sc_mp_distance(s, out->rows, out->cols, sigma);
    }
    out->mp_snr = sc_spectrum_snr(s, n, edge);
    out->spectrum_snr = sc_spectrum_snr(s, n, snr_threshold);
    if (s[0] > 0)
        out->spectrum_count = sc_rank_above(s, n, snr_threshold);
}

/* WeightWatcher skips what has fewer eigenvalues. */
enum { FEWEST_FOR_A_TAIL = 10 };

static int describe_tail(const struct sc_svd *svd, struct sc_spectrum *out, struct sc_error *e)
{
    const size_t n = svd->n;
    size_t used = 0;
    double *x = sc_calloc(n, sizeof *x);
    if (!x)
        return sc_fail_memory(e);
    for (size_t i = n; i-- > 0;) {
        const double lambda = svd->s[i] * svd->s[i];
        if (lambda > SC_POWER_LAW_SMALLEST)
            x[used++] = lambda;
    }
    sc_power_law_none(&out->power_law);
    int rc = 0;
    if (used >= FEWEST_FOR_A_TAIL) {
        rc = sc_power_law_fit(x, used, sc_cpu_level(), &out->power_law, e);
        out->hill_alpha = sc_hill_alpha(x, used);
    }
    free(x);
    return rc;
}

static int describe_weightwatcher(const struct sc_svd *svd, struct sc_spectrum *out,
                                  struct sc_error *e)
{
    const double *s = svd->s;
    const size_t n = svd->n;
    TRY(describe_tail(svd, out, e));
    out->alpha_weighted = out->power_law.alpha * out->log_spectral_norm;
    out->log_alpha_norm = sc_log_alpha_norm(s, n, out->power_law.alpha);
    out->entropy = sc_spectral_entropy(s, n, (size_t)out->numerical_rank);
    out->rank_loss = n - out->numerical_rank;
    out->weak_rank_loss = n - sc_rank_above(s, n, sqrt(1e-6));
    out->detx = sc_detx_rank(s, n);
    return 0;
}

static void describe_plots(const struct sc_svd *svd, struct sc_spectrum *out)
{
    const double *s = svd->s;
    const size_t n = svd->n, points = SC_MIN(n, (size_t)SC_SIGMA_POINTS);
    const size_t positive = sc_rank_above(s, n, svd->floor);

    out->n_points = (uint32_t)points;
    for (size_t i = 0; i < points; i++)
        out->point[i] =
            (float)s[points > 1 ? (2 * i * (n - 1) + points - 1) / (2 * (points - 1)) : 0];
    if (positive == 0)
        return;
    out->esd_low = 2 * log10(s[positive - 1]);
    out->esd_high = 2 * log10(s[0]);
    if (out->esd_high - out->esd_low < 1e-9) { /* all the same: in the middle */
        out->esd_low -= 0.5;
        out->esd_high += 0.5;
    }
    for (size_t i = 0; i < positive; i++) {
        const double at = (2 * log10(s[i]) - out->esd_low) / (out->esd_high - out->esd_low);
        const double bin = floor(at * SC_ESD_BINS);
        out->esd[(size_t)fmin(fmax(bin, 0), SC_ESD_BINS - 1)]++;
    }
}

/* ------------------------------------------------------------------------------ together --- */
static uint32_t method_of(enum sc_svd_method m)
{
    switch (m) {
    case SC_SVD_GRAM:
        return SC_SPECTRUM_GRAM;
    case SC_SVD_REFINED:
        return SC_SPECTRUM_REFINED;
    case SC_SVD_LANCZOS:
        return SC_SPECTRUM_LANCZOS;
    case SC_SVD_ESTIMATE:
        return SC_SPECTRUM_ESTIMATE;
    }
    return SC_SPECTRUM_NONE;
}

int sc_spectrum_describe(const struct sc_svd *svd, uint64_t rows, uint64_t cols,
                         struct sc_spectrum *out, struct sc_error *e)
{
    sc_spectrum_none(out);
    describe_shape(rows, cols, out);
    if (svd->n == 0)
        return 0;
    out->method = method_of(svd->method);
    out->slices = 1;
    describe_largest(svd, out);
    if (svd->method == SC_SVD_LANCZOS)
        out->residual = svd->residual;
    if (svd->n < out->total_rank) {
        describe_from_top(svd, out);
        return 0;
    }
    out->error_bound = svd->error_bound;
    describe_ranks(svd, out);
    describe_noise(svd, out);
    describe_plots(svd, out);
    return describe_weightwatcher(svd, out, e);
}
