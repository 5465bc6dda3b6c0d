/* SPDX-License-Identifier: Apache-2.0 */
/* diff: what changed between two checkpoints, in numbers.
 *
 * The pairing of tensors is model's (sc_models_pair); spectra of differences are spectrum.c's.
 * Differences are B minus A everywhere.
 */
#ifndef SC_DIFF_H
#define SC_DIFF_H

#include "analyze/analyze.h"
#include "analyze/health.h"

/* ----------------------------------------------------- change.c: two tensors of equal shape ---
 * Sums are over the values that are finite in both, in double, in an order that depends on the
 * shape alone. A double that is NaN does not apply. */
struct sc_change {
    uint32_t version;     /* SC_CHANGE_VERSION */
    uint32_t identical;   /* 1: no value differs (NaN equals NaN, -0 equals 0) */
    uint64_t values;      /* of either */
    uint64_t compared;    /* finite in both */
    uint64_t changed;     /* values that differ */
    uint64_t significant; /* |b - a| > 1 % of |a| + 1e-10 */
    uint64_t sign_flips;  /* a b < 0 */
    uint64_t nonfinite_a, nonfinite_b;
    uint64_t bits, changed_bits; /* of the stored codes, when both have the same plain type; else
                                    UINT64_MAX */
    uint64_t max_at;             /* position of the first largest |b - a|; UINT64_MAX: none */
    double changed_percent, significant_percent, changed_bits_percent;
    double max_abs, mean_abs, rms, l2, relative_l2; /* l2 / norm_a; Infinity when only a is 0 */
    double cosine, one_minus_cosine;
    double mean_diff, std_diff, min_diff, max_diff; /* of b - a; std with N - 1 */
    double mean_a, mean_b, std_a, std_b, norm_a, norm_b, absmax_a, absmax_b;
    double norm_ratio; /* norm_b / norm_a */
    double
        change_score; /* WeightScope's: 10 |mean_b - mean_a| + 10 |std_b - std_a| + |ratio - 1| */
    struct sc_spectrum difference; /* of B - A; method SC_SPECTRUM_NONE: not measured */
};
#define SC_CHANGE_VERSION 1

/* item->user is a struct sc_change, and the item has a second tensor. No context. */
extern const struct sc_pass sc_pass_change;
/* The rows of its table; offsets are into struct sc_change. */
extern const struct sc_metric_group sc_metrics_change;

#endif
