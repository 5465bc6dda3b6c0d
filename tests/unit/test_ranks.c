/* SPDX-License-Identifier: Apache-2.0 */
/* test_ranks: rules for ranks, on singular values that one can follow by hand. What they give for
 * real matrices stands in test_spectrum. */
#include "test.h"

#include "math/math.h"

static const double halves[8] = {16, 8, 4, 2, 1, 0.5, 0.25, 0.125};
static const double same[5] = {3, 3, 3, 3, 3};
static const double zeros[3] = {0, 0, 0};

TEST(counting)
{
    CHECK_U64(sc_rank_above(halves, 8, 0.5), 5);
    CHECK_U64(sc_rank_above(halves, 8, -1), 8);
    CHECK_U64(sc_rank_above(halves, 8, NAN), 0);
    CHECK_U64(sc_rank_above(zeros, 3, 0), 0);
}

TEST(effective_ranks)
{
    CHECK_NEAR(sc_rank_entropy(same, 5), 5, 1e-14);
    CHECK_NEAR(sc_participation_ratio(same, 5), 5, 1e-14);
    const double one[] = {7, 0, 0};
    CHECK_NEAR(sc_rank_entropy(one, 3), 1, 1e-15);
    CHECK_NEAR(sc_participation_ratio(one, 3), 1, 1e-15);
    const double two[] = {3, 1}; /* shares 3/4 and 1/4; squares 9 and 1 */
    CHECK_NEAR(sc_rank_entropy(two, 2), exp(-0.75 * log(0.75) - 0.25 * log(0.25)), 1e-15);
    CHECK_NEAR(sc_participation_ratio(two, 2), 100.0 / 82, 1e-15);
    const double huge[] = {1e200, 1e200}, tiny[] = {1e-200, 1e-200};
    CHECK_NEAR(sc_participation_ratio(huge, 2), 2, 1e-15);
    CHECK_NEAR(sc_participation_ratio(tiny, 2), 2, 1e-15);
    CHECK(isnan(sc_rank_entropy(zeros, 3)) && isnan(sc_participation_ratio(zeros, 3)) &&
          isnan(sc_participation_ratio(zeros, 0)));
}

TEST(shares)
{
    CHECK_U64(sc_rank_of_share(same, 5, true, 45, 0.4), 2);
    CHECK_U64(sc_rank_of_share(same, 5, true, 45, 0.41), 3);
    CHECK_U64(sc_rank_of_share(same, 5, false, 15, 1), 5);
    CHECK_U64(sc_rank_of_share(same, 2, true, 45, 0.5), UINT64_MAX); /* of the largest two */
    CHECK_U64(sc_rank_of_share(zeros, 3, true, 0, 0.5), UINT64_MAX);
}

TEST(errors_of_low_rank)
{
    CHECK_NEAR(sc_error_at_rank(same, 5, sqrt(45), 1), sqrt(0.8), 1e-15);
    CHECK_NEAR(sc_error_at_rank(same, 5, sqrt(45), 0), 1, 1e-15);
    CHECK_NEAR(sc_error_at_rank(same, 5, sqrt(45), 5), 0, 0);
    CHECK_NEAR(sc_error_at_rank(same, 5, sqrt(45), 256), 0, 0);
    CHECK(isnan(sc_error_at_rank(zeros, 3, 0, 1)));
}

TEST(adapters)
{
    uint64_t r[SC_LORA_RULES];
    sc_lora_ranks(halves, 8, r); /* squares: 256 64 16 4 ... of 341.33 */
    CHECK_U64(r[SC_LORA_FROBENIUS_90], 2);
    CHECK_U64(r[SC_LORA_FROBENIUS_95], 2);
    CHECK_U64(r[SC_LORA_RATIO_10], 4);
    CHECK_U64(r[SC_LORA_SUM_90], 4); /* 30 of 31.875 */
    CHECK_U64(r[SC_LORA_KNEE],
              3); /* 2/7 + 3.875/15.875 - 1 = -0.470; its neighbours -0.361, -0.453 */
    sc_lora_ranks(same, 5, r);
    CHECK_U64(r[SC_LORA_RATIO_10], 4); /* 5, but never all */
    CHECK_U64(r[SC_LORA_SUM_90], 4);
    CHECK_U64(r[SC_LORA_KNEE], UINT64_MAX); /* a straight line has none */
    sc_lora_ranks(zeros, 3, r);
    for (int i = 0; i < SC_LORA_RULES; i++)
        CHECK_U64(r[i], UINT64_MAX);
    sc_lora_ranks(same, 1, r);
    CHECK_U64(r[SC_LORA_FROBENIUS_90], 1);
    CHECK_U64(r[SC_LORA_RATIO_10], 1);
    sc_lora_ranks(zeros, 0, r);
    CHECK_U64(r[0], UINT64_MAX);
}

TEST(spectrum)
{
    const double s[] = {5, 4, 3, 2, 1}; /* quartiles 2 and 4 */
    CHECK_NEAR(sc_spectrum_threshold(s, 5, 5, 5), 2 * 2 / 1.349, 1e-15);
    CHECK_NEAR(sc_spectrum_threshold(s, 5, 20, 5), 1.5 * 2 / 1.349, 1e-15);
    CHECK_NEAR(sc_spectrum_threshold(s, 4, 4, 4), 2 * 1.5 / 1.349, 1e-15); /* 2.75 and 4.25 */
    CHECK_NEAR(sc_spectrum_snr(s, 5, 2.5), 12.0 / 3 / 5, 1e-15);
    CHECK_NEAR(sc_spectrum_snr(s, 5, 0.5), INFINITY, 0);
    CHECK_NEAR(sc_spectrum_snr(s, 5, 9), 0, 0);
    CHECK(isnan(sc_spectrum_snr(zeros, 3, 0)) && isnan(sc_spectrum_threshold(s, 0, 0, 0)));
    CHECK_NEAR(sc_spectrum_threshold(s, 1, 1, 7), 0, 0);
}

TEST(weightwatcher)
{
    CHECK_NEAR(sc_spectral_entropy(same, 5, 5), 1, 1e-8);
    CHECK(isnan(sc_spectral_entropy(same, 1, 1)) && isnan(sc_spectral_entropy(zeros, 3, 0)));
    /* Squares 9 and 1: scaled to 1.8 and 0.2, whose product is 0.36. */
    const double two[] = {3, 1};
    CHECK_U64(sc_detx_rank(two, 2), 2);
    /* 4 1 1 over 2: 2 * 0.5 is not below 1, the next is. */
    const double three[] = {2, 1, 1};
    CHECK_U64(sc_detx_rank(three, 3), 3);
    const double flat[] = {1, 1, 1, 0};
    CHECK_U64(sc_detx_rank(flat, 4), 4);
    CHECK_U64(sc_detx_rank(zeros, 3), 0);
    CHECK_NEAR(sc_log_alpha_norm(two, 2, 2), log10(81 + 1), 1e-15);
    const double huge[] = {1e150, 1e149};
    CHECK_NEAR(sc_log_alpha_norm(huge, 2, 6), 1800, 1e-12);
    CHECK(isnan(sc_log_alpha_norm(zeros, 3, 2)) && isnan(sc_log_alpha_norm(two, 2, NAN)));
    /* scipy.spatial.distance.jensenshannon([0.9, 0.1], [0.5, 0.5]) */
    const double even[] = {1, 1};
    CHECK_NEAR(sc_spectra_distance(two, even, 2), 0.31898154347735663, 1e-14);
    CHECK_NEAR(sc_spectra_distance(even, two, 2), 0.31898154347735663, 1e-14);
    CHECK_NEAR(sc_spectra_distance(two, two, 2), 0, 0);
    const double left[] = {1, 0}, right[] = {0, 1}; /* nothing in common */
    CHECK_NEAR(sc_spectra_distance(left, right, 2), sqrt(log(2)), 1e-15);
    CHECK(isnan(sc_spectra_distance(zeros, same, 3)));
}
