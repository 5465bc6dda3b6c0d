/* SPDX-License-Identifier: Apache-2.0 */
/* test_spectrum: from singular values to figures. The four matrices, their singular values
 * (LAPACK's, tests/data/spectra) and every expected number are from tests/oracle/make_spectra.py.
 */
#include "test.h"

#include <stdlib.h>

#include "analyze/health.h"
#include "oom.h"

/* As make_spectra.py prints them: describe(). */
static const struct golden {
    const char *name;
    uint64_t rows, cols;
    double sigma_max, sigma_min, condition, stable_rank;
    uint64_t rank_001;
    double roy_vetterli_rank, participation_ratio;
    uint64_t energy_rank[4];
    double noise_sigma, edge;
    uint64_t above_edge, signal_rank;
    double tracy_widom, mp_distance;
    double alpha, xmin, xmax, distance, sigma;
    uint64_t in_tail;
    double alpha_weighted, log_norm, log_spectral_norm, log_alpha_norm, entropy, hill_alpha;
    uint64_t detx;
    double spectrum_snr;
    uint64_t spectrum_count;
    double mp_snr;
    uint64_t lora_rank[5];
    double error_at_16, error_at_64, condition_p;
} golden[] = {
    {"a",
     600,
     400,
     1.5925684691153357,
     0.16049225699251315,
     9.923023695714042,
     123.47602249874046,
     400,
     357.59704130577705,
     239.92001445654293,
     {88, 243, 288, 354},
     0.03605262727984488,
     1.6041579528205478,
     0,
     0,
     -1.3347245312158174,
     0.008193745603418678,
     6.978060727351479,
     1.7315806829250273,
     2.536274328820364,
     0.12787638691664904,
     0.8911566773319828,
     45,
     2.820505810544644,
     2.495778857183493,
     0.4041962259642252,
     3.9973867828552425,
     0.9443691032177992,
     2.450452544540839,
     315,
     1.2858253435045248,
     190,
     0.0,
     {191, 245, 399, 305, 99},
     0.9387567534849931,
     0.7784839330527504,
     NAN},
    {"b",
     600,
     400,
     0.7878896262751757,
     0.06262489991705186,
     12.581091982881471,
     98.4221823581665,
     400,
     351.1227957137922,
     222.14599277716766,
     {81, 233, 279, 349},
     0.015347162270685166,
     0.6828704110424264,
     14,
     0,
     32.88940276493375,
     0.027703538826498897,
     5.572155839587302,
     0.33997680134405533,
     0.620770063192036,
     0.12142086853878864,
     0.6466004797627708,
     50,
     -1.153822048209709,
     1.786023755390272,
     -0.20706923521635856,
     -0.18126560481062853,
     0.9356707935211174,
     2.3142987038499063,
     305,
     2.1438739309365458,
     167,
     0.0984093560077871,
     {180, 235, 395, 300, 99},
     0.9309045622276588,
     0.7594286866275644,
     NAN},
    {"c",
     300,
     300,
     19.679315013106873,
     0.050874082059475904,
     386.8239822017853,
     77.20633345441104,
     296,
     241.617321469828,
     149.94642314180365,
     {55, 153, 183, 232},
     0.5757261811781684,
     19.943739940963848,
     0,
     0,
     -1.756227251344687,
     0.0077535538771904555,
     4.533163947928459,
     203.3650350021525,
     387.27543938509353,
     0.13238213757330236,
     0.48080271389011553,
     54,
     11.731918758087525,
     4.4756728835492385,
     2.588019955344592,
     12.934464808159325,
     0.9122194070401359,
     2.123056427590954,
     220,
     0.040980634428277526,
     72,
     0.0,
     {119, 154, 262, 202, 76},
     0.9039401927521792,
     0.6633212686535469,
     0.9363297550902329},
    {"d",
     500,
     250,
     57.79738307023088,
     0.04021873618011371,
     1437.076063538988,
     1.6315322074232286,
     20,
     24.605485263684052,
     2.434074432137472,
     {1, 5, 8, 15},
     0.005997190811078723,
     0.2289251759042979,
     20,
     20,
     5112097.458921226,
     0.06170327774694684,
     1.5607398431611295,
     9.891340805251652,
     3340.537489767011,
     0.06628030584844946,
     0.13216764852690527,
     18,
     5.4997605775258736,
     3.7364120015047253,
     3.5238163500629507,
     5.578128763426941,
     0.2580547347242543,
     1.5806939406564453,
     23,
     0.5801661685114333,
     157,
     0.13327066127252732,
     {3, 5, 9, 38, 21},
     0.08411166199665096,
     0.020024731625061715,
     NAN},
};

/* ----------------------------------------------------------------------------- the matrices --- */
static double unit(uint64_t seed, uint64_t i)
{
    return ((double)(sc_random(seed, i) >> 40) - 0x1p23) / 0x1p23;
}

static float *matrix(char name)
{
    const struct golden *g = &golden[name - 'a'];
    const uint64_t n = g->rows * g->cols;
    float *w = malloc(n * sizeof *w);
    for (uint64_t i = 0; i < n; i++) {
        double v;
        if (name == 'a') {
            v = 0.0625 * unit(1, i);
        } else if (name == 'b') {
            const double u = unit(2, i) + 1e-300;
            v = 0.001 * (u < 0 ? -1 : 1) / (fabs(unit(2, i)) + 1.0 / 256);
        } else if (name == 'c') {
            v = unit(3, i);
        } else {
            v = 0;
            for (uint64_t j = 0; j < 20; j++)
                v = v +
                    unit(4, i / 250 * 20 + j) * unit(5, j * 250 + i % 250) * 0.5 / (double)(j + 1);
            v = v + 0.01 * unit(6, i);
        }
        w[i] = (float)v;
    }
    return w;
}

struct memory {
    const float *values;
    uint64_t cols;
};

static int read_memory(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols,
                       float *dst, struct sc_error *e)
{
    const struct memory *m = ctx;
    (void)e;
    for (uint64_t r = 0; r < n_rows; r++)
        memcpy(dst + r * n_cols, m->values + (row + r) * m->cols + col, n_cols * sizeof *dst);
    return 0;
}

static const struct sc_measure exact = {.methods = SC_METHOD_SPECTRAL, .refine = true};

static struct sc_spectrum measured(const float *w, uint64_t rows, uint64_t cols,
                                   const struct sc_measure *how)
{
    struct memory memory = {w, cols};
    const struct sc_matrix m = {rows, cols, read_memory, &memory, NULL};
    struct sc_spectrum s;
    struct sc_error e = {0};
    CHECK_ERR(0, sc_spectrum_measure(&m, how, NULL, &s, &e));
    return s;
}

/* --------------------------------------------------------------------------- known values --- */
static struct sc_spectrum described(const double *s, size_t n, uint64_t rows, uint64_t cols)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += s[i] * s[i];
    double *copy = malloc((n ? n : 1) * sizeof *copy);
    memcpy(copy, s, n * sizeof *copy);
    struct sc_svd svd = {
        .s = copy,
        .n = n,
        .method = SC_SVD_REFINED,
        .error_bound = 1e-13,
        .frobenius = sqrt(squares),
        .floor = n ? s[0] * (double)SC_MAX(rows, cols) * 0x1p-52 : 0,
    };
    struct sc_spectrum out;
    CHECK_ERR(0, sc_spectrum_describe(&svd, rows, cols, &out, NULL));
    free(copy);
    return out;
}

static void check_golden(const struct golden *g, const struct sc_spectrum *s, double smallest)
{
    CHECK_U64(s->rows, g->rows);
    CHECK_U64(s->cols, g->cols);
    CHECK_U64(s->total_rank, SC_MIN(g->rows, g->cols));
    CHECK_NEAR(s->sigma_max / g->sigma_max, 1, 1e-12);
    CHECK_NEAR(s->top[0], s->sigma_max, 0);
    CHECK_NEAR(s->sigma_min / g->sigma_min, 1, smallest);
    CHECK_NEAR(s->ratio * g->condition, 1, smallest);
    CHECK_NEAR(s->condition / g->condition, 1, smallest);
    CHECK_NEAR(s->condition_p, g->condition_p, 1e-10);
    CHECK_U64(s->numerical_rank, s->total_rank);
    CHECK_U64(s->rank_001, g->rank_001);
    CHECK_NEAR(s->stable_rank, g->stable_rank, 1e-12);
    CHECK_NEAR(s->roy_vetterli_rank, g->roy_vetterli_rank, 1e-11);
    CHECK_NEAR(s->participation_ratio, g->participation_ratio, 1e-12);
    for (int i = 0; i < 4; i++)
        CHECK_U64(s->energy_rank[i], g->energy_rank[i]);
    CHECK_NEAR(s->noise_sigma / g->noise_sigma, 1, 1e-10);
    CHECK_NEAR(s->edge / g->edge, 1, 1e-10);
    CHECK_U64(s->above_edge, g->above_edge);
    CHECK_U64(s->signal_rank, g->signal_rank);
    CHECK_NEAR(s->tracy_widom, g->tracy_widom, 1e-8);
    CHECK_NEAR(s->mp_distance, g->mp_distance, 1e-9);
    CHECK_NEAR(s->power_law.alpha, g->alpha, 1e-9);
    CHECK_NEAR(s->power_law.xmin / g->xmin, 1, 1e-9);
    CHECK_NEAR(s->power_law.xmax / g->xmax, 1, 1e-9);
    CHECK_NEAR(s->power_law.distance, g->distance, 1e-10);
    CHECK_NEAR(s->power_law.sigma, g->sigma, 1e-9);
    CHECK_U64(s->power_law.in_tail, g->in_tail);
    CHECK_NEAR(s->alpha_weighted, g->alpha_weighted, 1e-9);
    CHECK_NEAR(s->log_norm, g->log_norm, 1e-12);
    CHECK_NEAR(s->log_spectral_norm, g->log_spectral_norm, 1e-12);
    CHECK_NEAR(s->log_alpha_norm, g->log_alpha_norm, 1e-9);
    CHECK_NEAR(s->entropy, g->entropy, 1e-12);
    CHECK_NEAR(s->hill_alpha, g->hill_alpha, 1e-10);
    CHECK_U64(s->detx, g->detx);
    CHECK_NEAR(s->spectrum_snr, g->spectrum_snr, 1e-11);
    CHECK_U64(s->spectrum_count, g->spectrum_count);
    CHECK_NEAR(s->mp_snr, g->mp_snr, 1e-10);
    for (int i = 0; i < 5; i++)
        CHECK_U64(s->lora_rank[i], g->lora_rank[i]);
    CHECK_NEAR(s->error_at_rank[3], g->error_at_16, 1e-12);
    CHECK_NEAR(s->error_at_rank[5], g->error_at_64, 1e-12);
    CHECK_U64(s->break_even_rank, g->rows * g->cols / (g->rows + g->cols));
    CHECK_U64(s->rank_loss, 0);
    CHECK_NEAR(s->frobenius, sqrt(s->stable_rank) * s->sigma_max, 1e-12);
}

TEST(figures_of_four_matrices)
{
    for (size_t k = 0; k < SC_COUNT(golden); k++) {
        const struct golden *g = &golden[k];
        char path[200];
        double s[400];
        snprintf(path, sizeof path, "%s/spectra/%s.f64", SC_TESTDATA, g->name);
        FILE *f = fopen(path, "rb");
        REQUIRE(f);
        const size_t n = fread(s, sizeof *s, 400, f);
        fclose(f);
        REQUIRE(n == SC_MIN(g->rows, g->cols));
        const struct sc_spectrum out = described(s, n, g->rows, g->cols);
        check_golden(g, &out, 1e-13);
        CHECK_U64(out.method, SC_SPECTRUM_REFINED);
        CHECK_U64(out.slices, 1);
    }
}

TEST(figures_of_the_matrices_themselves)
{
    for (size_t k = 0; k < SC_COUNT(golden); k++) {
        const struct golden *g = &golden[k];
        float *w = matrix(g->name[0]);
        const struct sc_spectrum s = measured(w, g->rows, g->cols, &exact);
        check_golden(g, &s, SC_MAX(1e-10, 2 * 0x1p-52 * g->condition * g->condition));
        CHECK(isnan(s.shuffled_sigma_max) && s.shuffled_spikes == UINT64_MAX);
        free(w);
    }
}

/* ------------------------------------------------------------------------------- the plots --- */
TEST(points_are_spread_evenly_and_bins_hold_all)
{
    double s[400];
    for (int i = 0; i < 400; i++)
        s[i] = 400 - i;
    const struct sc_spectrum out = described(s, 400, 400, 500);
    uint64_t sum = 0;
    CHECK_U64(out.n_points, 128);
    CHECK_NEAR(out.point[0], 400, 0);
    CHECK_NEAR(out.point[127], 1, 0);
    for (int i = 1; i < 128; i++) {
        const double step = (double)out.point[i - 1] - (double)out.point[i];
        CHECK(step == 3 || step == 4);
    }
    for (int i = 0; i < SC_ESD_BINS; i++)
        sum += out.esd[i];
    CHECK_U64(sum, 400);
    CHECK_NEAR(out.esd_low, 0, 1e-15);
    CHECK_NEAR(out.esd_high, log10(160000), 1e-14);
    CHECK_U64(out.esd[0], 1);
    CHECK(out.esd[SC_ESD_BINS - 1] > 20);
}

/* --------------------------------------------------------------------------- what is little --- */
TEST(nothing_is_known_of_zeros_but_their_rank)
{
    const double zeros[12] = {0};
    const struct sc_spectrum s = described(zeros, 12, 12, 20);
    CHECK_NEAR(s.condition, INFINITY, 0);
    CHECK_U64(s.numerical_rank, 0);
    CHECK_U64(s.rank_001, 0);
    CHECK_U64(s.rank_loss, 12);
    CHECK_U64(s.weak_rank_loss, 12);
    CHECK_NEAR(s.stable_rank, 0, 0);
    CHECK_NEAR(s.sigma_max, 0, 0);
    CHECK_U64(s.above_edge, 0);
    CHECK_U64(s.signal_rank, 0);
    CHECK_U64(s.energy_rank[0], UINT64_MAX);
    CHECK_U64(s.lora_rank[0], UINT64_MAX);
    CHECK_U64(s.spectrum_count, UINT64_MAX);
    CHECK_U64(s.power_law.in_tail, UINT64_MAX);
    CHECK(isnan(s.ratio) && isnan(s.roy_vetterli_rank) && isnan(s.participation_ratio) &&
          isnan(s.log_norm) && isnan(s.log_spectral_norm) && isnan(s.tracy_widom) &&
          isnan(s.mp_distance) && isnan(s.power_law.alpha) && isnan(s.alpha_weighted) &&
          isnan(s.entropy) && isnan(s.spectrum_snr) && isnan(s.mp_snr) && isnan(s.hill_alpha) &&
          isnan(s.error_at_rank[0]) && isnan(s.esd_low) && isnan(s.log_alpha_norm));
}

TEST(equal_values_are_a_scaled_rotation)
{
    double same[16];
    for (int i = 0; i < 16; i++)
        same[i] = 0.7;
    const struct sc_spectrum s = described(same, 16, 16, 16);
    CHECK_NEAR(s.condition, 1, 0);
    CHECK_NEAR(s.condition_p, 1, 1e-12);
    CHECK_NEAR(s.stable_rank, 16, 1e-13);
    CHECK_NEAR(s.roy_vetterli_rank, 16, 1e-13);
    CHECK_NEAR(s.entropy, 1, 1e-7);
    CHECK(isnan(s.power_law.alpha) && isnan(s.hill_alpha));
    CHECK_U64(s.esd[SC_ESD_BINS / 2], 16);
    CHECK_U64(s.detx, 16);
}

TEST(few_values_have_no_tail)
{
    const double two[] = {3, 1}, one[] = {2};
    struct sc_spectrum s = described(two, 2, 2, 5);
    CHECK_NEAR(s.condition, 3, 0);
    CHECK_NEAR(s.error_at_rank[0], sqrt(0.1), 1e-15);
    CHECK_NEAR(s.error_at_rank[1], 0, 0);
    CHECK_U64(s.n_points, 2);
    CHECK_NEAR(s.point[1], 1, 0);
    CHECK(isnan(s.point[2]) && isnan(s.top[2]) && isnan(s.power_law.alpha));
    CHECK(isnan(s.condition_p)); /* not square */
    s = described(one, 1, 1, 1);
    CHECK_NEAR(s.condition, 1, 0);
    CHECK_U64(s.energy_rank[3], 1);
    CHECK(isnan(s.tracy_widom) && isnan(s.entropy));
    s = described(one, 0, 0, 7);
    CHECK_U64(s.method, SC_SPECTRUM_NONE);
    CHECK(isnan(s.sigma_max));
}

TEST(missing_directions_are_counted)
{
    double s[20];
    for (int i = 0; i < 20; i++)
        s[i] = i < 13 ? 20 - i : 1e-15;
    const struct sc_spectrum out = described(s, 20, 20, 20);
    CHECK_NEAR(out.condition, INFINITY, 0);
    CHECK_NEAR(out.condition_p, 0, 0);
    CHECK_U64(out.numerical_rank, 13);
    CHECK_U64(out.rank_loss, 7);
    for (int i = 3; i < 20; i++)
        s[i] = 1e-15;
    const struct sc_spectrum low = described(s, 20, 20, 20);
    CHECK_U64(low.signal_rank, 3); /* more than half is zero: so is the noise */
    CHECK_U64(low.above_edge, 3);
    CHECK(isnan(low.tracy_widom) && isnan(low.mp_distance));
}

TEST(the_largest_values_tell_something)
{
    double top[10];
    for (int i = 0; i < 10; i++)
        top[i] = pow(2, -i);
    struct sc_svd svd = {
        .s = top, .n = 10, .method = SC_SVD_LANCZOS, .residual = 1e-9, .frobenius = sqrt(1.5)};
    struct sc_spectrum s;
    CHECK_ERR(0, sc_spectrum_describe(&svd, 300, 200, &s, NULL));
    CHECK_U64(s.method, SC_SPECTRUM_LANCZOS);
    CHECK_NEAR(s.stable_rank, 1.5, 1e-15);
    CHECK_NEAR(s.residual, 1e-9, 0);
    CHECK_NEAR(s.top[9], pow(2, -9), 0);
    CHECK_U64(s.energy_rank[0], 1); /* 1 of 1.5 */
    CHECK_U64(s.energy_rank[1], UINT64_MAX);
    CHECK_U64(s.rank_001, 7);
    CHECK_NEAR(s.error_at_rank[1], sqrt((1.5 - 1.328125) / 1.5), 1e-14);
    CHECK(isnan(s.error_at_rank[3]) && isnan(s.condition) && isnan(s.sigma_min) &&
          isnan(s.power_law.alpha) && isnan(s.noise_sigma) && isnan(s.error_bound));
    CHECK_U64(s.numerical_rank, UINT64_MAX);
    CHECK_U64(s.n_points, 0);
    const struct sc_measure quick = {.methods = SC_METHOD_SPECTRAL, .quick = true};
    float *w = matrix('d');
    const struct sc_spectrum d = measured(w, 500, 250, &quick);
    CHECK_NEAR(d.sigma_max / golden[3].sigma_max, 1, 1e-5);
    CHECK_NEAR(d.stable_rank, golden[3].stable_rank, 1e-4);
    CHECK_U64(d.energy_rank[2], golden[3].energy_rank[2]);
    CHECK(isnan(d.condition));
    free(w);
}

TEST(memory_that_ends_is_said)
{
    double s[30];
    for (int i = 0; i < 30; i++)
        s[i] = 30 - i;
    struct sc_svd svd = {.s = s, .n = 30, .method = SC_SVD_GRAM, .frobenius = 100, .floor = 1e-12};
    struct sc_spectrum out;
    uint64_t k = 0;
    for (bool reached = true; reached; k++) {
        sc_oom_fail_at(k);
        const int code = sc_spectrum_describe(&svd, 30, 30, &out, NULL);
        reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK_ERR(reached ? SCRUPLE_EMEMORY : 0, code);
    }
    CHECK_U64(k, 3);
}

/* -------------------------------------------------------------------------- random order --- */
TEST(a_shuffled_copy_tells_structure_from_values)
{
    struct sc_measure how = exact;
    how.shuffled = true;
    float *d = matrix('d'), *c = matrix('c');
    /* Twenty directions: gone. */
    struct sc_spectrum s = measured(d, 500, 250, &how);
    const double std = golden[3].sigma_max * sqrt(golden[3].stable_rank / (500.0 * 250.0));
    CHECK_NEAR(s.shuffled_sigma_max / sc_mp_edge(std, 500, 250), 1, 0.05);
    CHECK(s.shuffled_spikes <= 1);
    CHECK(s.shuffled_distance > 0.3);
    CHECK(s.shuffled_alpha > 3);
    /* Noise stays noise. */
    s = measured(c, 300, 300, &how);
    CHECK_NEAR(s.shuffled_sigma_max / s.sigma_max, 1, 0.05);
    CHECK(s.shuffled_distance < 0.05 && s.shuffled_distance > 0);
    free(d);
    free(c);
}

TEST(what_is_not_finite_is_refused)
{
    float w[4] = {1, 2, NAN, 4};
    struct memory memory = {w, 2};
    const struct sc_matrix m = {2, 2, read_memory, &memory, NULL};
    struct sc_spectrum s;
    CHECK_ERR(SCRUPLE_EFORMAT, sc_spectrum_measure(&m, &exact, NULL, &s, NULL));
    CHECK_U64(s.method, SC_SPECTRUM_NONE);
    CHECK(isnan(s.sigma_max));
}

/* ------------------------------------------------------------------------------- tensors --- */
static struct sc_matrices seen(uint8_t role, size_t rank, const uint64_t *shape)
{
    const struct sc_tensor t = {.shape = shape, .rank = (uint8_t)rank, .role = role};
    struct sc_values v = {.tensor = &t};
    sc_product(shape, rank, &v.count);
    v.cols = rank ? shape[rank - 1] : 1;
    v.rows = v.cols ? v.count / v.cols : 0;
    return sc_matrices_of(&v);
}

#define SEEN(role, n_, rows_, cols_, ...)                                                          \
    do {                                                                                           \
        const uint64_t shape_[] = {__VA_ARGS__};                                                   \
        const struct sc_matrices m_ = seen(role, SC_COUNT(shape_), shape_);                        \
        CHECK_U64(m_.n, n_);                                                                       \
        CHECK_U64(m_.rows, rows_);                                                                 \
        CHECK_U64(m_.cols, cols_);                                                                 \
    } while (0)

TEST(tensors_are_seen_as_matrices)
{
    SEEN(SC_ROLE_Q, 1, 64, 32, 64, 32);
    SEEN(SC_ROLE_NORM, 1, 1, 64, 64);
    SEEN(SC_ROLE_UP, 8, 64, 32, 8, 64, 32);      /* experts */
    SEEN(SC_ROLE_CONV, 1, 8, 2048, 8, 64, 32);   /* a long kernel */
    SEEN(SC_ROLE_OTHER, 1, 96, 4, 96, 1, 4);     /* a short one, whatever its name */
    SEEN(SC_ROLE_CONV, 1, 96, 147, 96, 3, 7, 7); /* out x (in, kernel) */
    SEEN(SC_ROLE_OTHER, 1, 96, 147, 96, 3, 7, 7);
    SEEN(SC_ROLE_UP, 1, 0, 0, 8, 0, 32);
    const struct sc_matrices scalar = seen(SC_ROLE_OTHER, 0, NULL);
    CHECK_U64(scalar.rows * scalar.cols, 1);
}

static double rounding(const char *codec, uint8_t layout, uint8_t bits, uint16_t group, double rms)
{
    const struct sc_tensor t = {.rank = 2, .layout = layout, .bits = bits, .group = group};
    const struct sc_values v = {.tensor = &t,
                                .count = 1 << 20,
                                .rows = 1024,
                                .cols = 1024,
                                .codec = sc_codec_find(sc_strz(codec))};
    return sc_rounding_rms(&v, rms);
}

/* What rounding 4 million normal samples really does (numpy 1.24; bfloat16 by hand); blocks by
 * numpy's absmax quantiser. The formula is good to a few percent. */
TEST(rounding_errors_of_types)
{
    CHECK_NEAR(rounding("F16", SC_LAYOUT_PLAIN, 0, 0, 0.02) / 4.149e-06, 1, 0.05);
    CHECK_NEAR(rounding("BF16", SC_LAYOUT_PLAIN, 0, 0, 0.02) / 3.317e-05, 1, 0.05);
    CHECK_NEAR(rounding("F16", SC_LAYOUT_PLAIN, 0, 0, 1e-6) / 1.72e-08, 1, 0.05);
    CHECK_NEAR(rounding("Q8_0", SC_LAYOUT_GGML, 0, 0, 0.02) / 0.0001069, 1, 0.05);
    CHECK_NEAR(rounding("I32", SC_LAYOUT_GPTQ, 4, 128, 0.02) / 0.002346, 1, 0.15);
    CHECK_NEAR(rounding("I8", SC_LAYOUT_PLAIN, 0, 0, 3), 1 / sqrt(12), 1e-15);
    CHECK_NEAR(rounding("F8_E4M3", SC_LAYOUT_FP8, 8, 0, 1e-5) / 1e-5,
               rounding("F8_E4M3", SC_LAYOUT_FP8, 8, 0, 1), 1e-15);
    CHECK(isnan(rounding("opaque", SC_LAYOUT_EXL2, 0, 0, 1)));
}

TEST(rows_of_the_table_are_whole)
{
    const struct sc_metric_group *g = &sc_metrics_spectral;
    size_t bytes = offsetof(struct sc_health, spectrum);
    CHECK_STR(g->key, "spectral");
    for (size_t i = 0; i < g->n; i++) {
        const struct sc_metric *m = &g->metrics[i];
        CHECK(m->key && m->title && m->count >= 1);
        CHECK(m->offset >= bytes && m->offset < bytes + sizeof(struct sc_spectrum));
        for (size_t k = 0; k < i; k++) {
            CHECK(strcmp(m->key, g->metrics[k].key) != 0);
            CHECK(m->offset != g->metrics[k].offset);
        }
    }
    CHECK_STR(sc_spectrum_method_names[SC_SPECTRUM_REFINED], "gram+qr");
}

TEST(every_figure_is_explained)
{
    static char text[1 << 17];
    FILE *f = fopen(SC_TESTDATA "/../../docs/metrics.md", "r");
    REQUIRE(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    for (size_t i = 0; i < sc_metrics_spectral.n; i++) {
        char heading[100];
        snprintf(heading, sizeof heading, "\n### spectral.%s\n",
                 sc_metrics_spectral.metrics[i].key);
        if (!strstr(text, heading))
            fprintf(stderr, "docs/metrics.md lacks%s", heading);
        CHECK(strstr(text, heading) != NULL);
    }
}
