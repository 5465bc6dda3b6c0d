/* SPDX-License-Identifier: Apache-2.0 */
/* ranks: how many directions a matrix has, by everybody's rule. All of it from singular values in
 * descending order. */
#include "math/math.h"

#include <math.h>

size_t sc_rank_above(const double *s, size_t n, double threshold)
{
    size_t k = 0;
    while (k < n && s[k] > threshold)
        k++;
    return k;
}

static double sum_of(const double *s, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += s[i];
    return sum;
}

double sc_rank_entropy(const double *s, size_t n)
{
    const double sum = sum_of(s, n);
    double h = 0;
    for (size_t i = 0; i < n && s[i] > 0; i++)
        h -= s[i] / sum * log(s[i] / sum);
    return sum > 0 ? exp(h) : NAN;
}

double sc_participation_ratio(const double *s, size_t n)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        const double r = s[i] / s[0]; /* fourth powers leave the range of a double early */
        sum += r * r;
        squares += r * r * r * r;
    }
    return n && s[0] > 0 ? sum * sum / squares : NAN;
}

uint64_t sc_rank_of_share(const double *s, size_t n, bool squares, double total, double share)
{
    double sum = 0;
    for (size_t i = 0; i < n && total > 0; i++) {
        sum += squares ? s[i] * s[i] : s[i];
        if (sum >= share * total)
            return i + 1;
    }
    return UINT64_MAX;
}

/* Where the curve from the first to the last value, both axes from 0 to 1, is furthest from the
 * straight line. */
static uint64_t rank_of_knee(const double *s, size_t n)
{
    const double low = s[n - 1], range = s[0] - low;
    double furthest = -1;
    size_t at = 0;
    if (n < 2 || !(range > 0))
        return UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)i / (double)(n - 1) + (s[i] - low) / range - 1);
        if (d > furthest) {
            furthest = d;
            at = i;
        }
    }
    return at + 1;
}

void sc_lora_ranks(const double *s, size_t n, uint64_t out[SC_LORA_RULES])
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += s[i] * s[i];
    for (int i = 0; i < SC_LORA_RULES; i++)
        out[i] = UINT64_MAX;
    if (!(squares > 0))
        return;
    out[SC_LORA_FROBENIUS_90] = sc_rank_of_share(s, n, true, squares, 0.9 * 0.9);
    out[SC_LORA_FROBENIUS_95] = sc_rank_of_share(s, n, true, squares, 0.95 * 0.95);
    out[SC_LORA_RATIO_10] = sc_rank_above(s, n, s[0] / 10);
    out[SC_LORA_SUM_90] = sc_rank_of_share(s, n, false, sum_of(s, n), 0.9);
    out[SC_LORA_KNEE] = rank_of_knee(s, n);
    for (int i = 0; i < SC_LORA_RULES; i++) {
        if (out[i] != UINT64_MAX)
            out[i] = SC_MAX(SC_MIN(out[i], n - 1), 1);
    }
}

double sc_error_at_rank(const double *s, size_t n, double frobenius, size_t k)
{
    double left = 0;
    for (size_t i = n; i-- > k;) /* small ones first */
        left += s[i] * s[i];
    return frobenius > 0 ? sqrt(left) / frobenius : NAN;
}

/* ------------------------------------------------------------- signal to noise, as Spectrum --- */
/* Linear interpolation between the neighbours, of values in descending order. */
static double quantile(const double *s, size_t n, double q)
{
    const double h = (double)(n - 1) * q;
    const size_t low = (size_t)h;
    const double a = s[n - 1 - low], b = s[n - 1 - SC_MIN(low + 1, n - 1)];
    return a + (b - a) * (h - (double)low);
}

double sc_spectrum_threshold(const double *s, size_t n, uint64_t rows, uint64_t cols)
{
    if (n == 0)
        return NAN;
    const double sigma = (quantile(s, n, 0.75) - quantile(s, n, 0.25)) / 1.349;
    const double beta = (double)SC_MIN(rows, cols) / (double)SC_MAX(rows, cols);
    return sigma * (1 + sqrt(beta));
}

double sc_spectrum_snr(const double *s, size_t n, double threshold)
{
    const size_t k = sc_rank_above(s, n, threshold);
    if (n == 0 || !(s[0] > 0))
        return NAN;
    return sum_of(s, k) / sum_of(s + k, n - k) / s[0];
}

/* -------------------------------------------------------------------------- WeightWatcher --- */
double sc_spectral_entropy(const double *s, size_t n, size_t rank)
{
    double sum = 0, h = 0;
    for (size_t i = 0; i < n; i++)
        sum += s[i] * s[i];
    if (!(sum > 0) || rank < 2)
        return NAN;
    for (size_t i = 0; i < n; i++) {
        const double p = s[i] * s[i] / sum + 1e-10;
        h -= p * log(p);
    }
    return h / log((double)rank);
}

size_t sc_detx_rank(const double *s, size_t n)
{
    double squares = 0, log_product = 0;
    for (size_t i = 0; i < n; i++)
        squares += s[i] * s[i];
    for (size_t i = 0; i < n && squares > 0; i++) {
        log_product += log(s[i] * s[i] / squares * (double)n);
        if (log_product < -1e-12 * (double)n) /* and not by rounding */
            return i + 1;
    }
    return squares > 0 ? n : 0;
}

double sc_log_alpha_norm(const double *s, size_t n, double alpha)
{
    double sum = 0;
    if (n == 0 || !(s[0] > 0))
        return NAN;
    for (size_t i = n; i-- > 0;)
        sum += pow(s[i] / s[0], 2 * alpha);
    return log10(sum) + 2 * alpha * log10(s[0]);
}

/* One half of a Jensen-Shannon divergence: p against the middle of p and q. */
static double divergence_part(double p, double q)
{
    return p > 0 ? p * log(2 * p / (p + q)) : 0;
}

double sc_spectra_distance(const double *a, const double *b, size_t n)
{
    double sum_a = 0, sum_b = 0, d = 0;
    for (size_t i = 0; i < n; i++) {
        sum_a += a[i] * a[i];
        sum_b += b[i] * b[i];
    }
    if (!(sum_a > 0) || !(sum_b > 0))
        return NAN;
    for (size_t i = 0; i < n; i++) {
        const double p = a[i] * a[i] / sum_a, q = b[i] * b[i] / sum_b;
        d += divergence_part(p, q) + divergence_part(q, p);
    }
    return sqrt(fmax(d / 2, 0));
}
