/* SPDX-License-Identifier: Apache-2.0 */
/* math: numbers about numbers.
 *
 * Owns: singular values by LAPACK and by Lanczos, what random-matrix theory expects of a matrix,
 * power-law fits, ranks, special functions, counter-based random numbers.
 *
 * Does not own: where a matrix lies (stream), what a figure is called and when it is bad (analyze),
 * threads: whoever has some lends them through struct sc_parallel.
 *
 * Every function gives the same bits for any number of threads. All of it is in double.
 */
#ifndef SC_MATH_H
#define SC_MATH_H

#include <stdatomic.h>

#include "kernel/kernel.h"

/* Threads of somebody else: run() calls fn(fn_ctx, i) for every i below n, in any order, at once if
 * it can, and returns when all are done; it may be called from inside fn. NULL: one after the
 * other. */
struct sc_parallel {
    void (*run)(void *ctx, size_t n, void (*fn)(void *fn_ctx, size_t i), void *fn_ctx);
    void *ctx;
    unsigned threads; /* at least 1 */
};
void sc_parallel_run(const struct sc_parallel *p, size_t n, void (*fn)(void *fn_ctx, size_t i),
                     void *fn_ctx);

/* A matrix that lies somewhere. read: rows row..row+n_rows, columns col..col+n_cols, row-major
 * without gaps into dst; from any thread. */
struct sc_matrix {
    uint64_t rows, cols;
    int (*read)(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols, float *dst,
                struct sc_error *e);
    void *ctx;
    /* The same as doubles, where values do not fit floats; NULL: they do. */
    int (*read64)(void *ctx, uint64_t row, uint64_t n_rows, uint64_t col, uint64_t n_cols,
                  double *dst, struct sc_error *e);
};

/* ------------------------------------------------------------------------ singular values --- */
enum sc_svd_method {
    SC_SVD_GRAM,     /* eigenvalues of the smaller Gram matrix */
    SC_SVD_REFINED,  /* and the smallest ones by QR and inverse Lanczos, where Gram loses them */
    SC_SVD_LANCZOS,  /* the largest `top` only */
    SC_SVD_ESTIMATE, /* stochastic Lanczos quadrature between Lanczos extremes */
};
struct sc_svd_options {
    bool quick;        /* Lanczos: the largest `top` only */
    size_t top;        /* 10 */
    bool refine;       /* spend a QR when Gram cannot tell the smallest to 1e-5 */
    uint64_t max_rank; /* above this smaller side: an estimate; 0: 16384 */
    uint64_t memory;   /* bytes that may be taken; 0: as needed (see sc_svd_memory) */
    const _Atomic int *cancel;
};
struct sc_svd {
    double *s; /* descending; all min(rows, cols) of them, `top` in quick mode. Estimates: one
                  value a rank, read off the estimated distribution */
    size_t n;
    enum sc_svd_method method;
    double error_bound; /* relative, of the smallest in s that is not 0; 1: it may be anything */
    double residual;    /* Lanczos: relative bound of the largest */
    double frobenius;   /* of the matrix, exact */
    double floor;       /* what is below is zero in double: s[0] max(rows, cols) eps */
};
/* The matrix is read once or a few times in panels; an estimate, and quick mode above max_rank,
 * read it some dozens of times. A matrix with NaN or infinity is refused (SCRUPLE_EFORMAT, "not
 * finite"). Zero matrices give zeros. May be called from any thread, for several matrices at once.
 * OpenBLAS is loaded on first need and runs with one thread; `p` gives the others. Clear *out with
 * sc_svd_clear(); after a failure there is nothing in it. */
int sc_svd_values(const struct sc_matrix *m, const struct sc_svd_options *o,
                  const struct sc_parallel *p, struct sc_svd *out, struct sc_error *e);
void sc_svd_clear(struct sc_svd *s);
/* The values of scale * up * down (rows x rank and rank x cols, row-major) from factorisations of
 * the two factors: the product is not formed. All min(rows, cols) of them, zeros behind the rank.
 * Factors with NaN or infinity are refused (SCRUPLE_EFORMAT). O((rows + cols) rank^2 + rank^3) in
 * the calling thread. */
int sc_svd_product(const float *up, const float *down, uint64_t rows, uint64_t rank, uint64_t cols,
                   double scale, const _Atomic int *cancel, struct sc_svd *out, struct sc_error *e);
uint64_t sc_svd_product_memory(uint64_t rows, uint64_t rank, uint64_t cols);
/* Bytes that it takes at most: n^2 doubles, a panel, and 1000 vectors, n the smaller side. */
uint64_t sc_svd_memory(uint64_t rows, uint64_t cols, const struct sc_svd_options *o);

/* ------------------------------------------------------------------------- random numbers ---
 * By index, so that any thread may ask for any of them. SplitMix64 (Steele, Lea, Flood, OOPSLA
 * 2014): output `index` of the generator that starts at `seed`. */
uint64_t sc_random(uint64_t seed, uint64_t index);
/* The same brought into 0..n-1 (n of at least 1) by multiplication; uneven by at most n / 2^64. */
uint64_t sc_random_below(uint64_t seed, uint64_t index, uint64_t n);
/* All values of m into dst (rows * cols of them) in a random order, each order as likely as any
 * other. The matrix is read once, from several threads. */
int sc_shuffled_copy(const struct sc_matrix *m, uint64_t seed, const struct sc_parallel *p,
                     float *dst, struct sc_error *e);

/* ------------------------------------------------------------------- normal distribution ---
 * Mean 0, standard deviation 1; to a few units of the last place, tails included. NaN for what is
 * out of range. */
double sc_normal_cdf(double x);
double sc_normal_quantile(double p);
double sc_normal_beyond(double sigmas); /* P(|x| > sigmas) */
/* The largest |x| of n independent samples: its mean and its quantiles. */
double sc_normal_max(uint64_t n);
double sc_normal_max_quantile(uint64_t n, double p);

/* ------------------------------------------------------------------------ random matrices ---
 * What a matrix of this shape has when its entries are independent with standard deviation sigma.
 * Below, m is the longer side and n the shorter one, beta = n / m, s descends and holds all n
 * singular values. Limits of large matrices: good to a percent from n = 100 on. */
/* Marchenko and Pastur (Math. USSR Sb. 1 (1967) 457): share of x = s^2 / (sigma^2 m) below x. */
double sc_mp_cdf(double x, double beta);
double sc_mp_median(double beta); /* mu_beta: 0.6528 for square ones, to 1 for long ones */
/* sigma from median(s) / sqrt(m mu_beta) (Gavish and Donoho, IEEE Trans. Inf. Theory 60 (2014)
 * 5040), which up to half of the values being signal does not move much. NaN of an empty one. */
double sc_mp_sigma(const double *s, uint64_t rows, uint64_t cols);
/* sigma (sqrt m + sqrt n): where noise ends. */
double sc_mp_edge(double sigma, uint64_t rows, uint64_t cols);
/* Kolmogorov-Smirnov distance of all s^2 below the edge from Marchenko and Pastur. */
double sc_mp_distance(const double *s, uint64_t rows, uint64_t cols, double sigma);
/* lambda*(beta) sqrt(m) sigma: values above are worth keeping when the matrix is to be recovered
 * with the least squared error (Gavish and Donoho, as above, eq. 11). */
double sc_signal_threshold(double sigma, uint64_t rows, uint64_t cols);
/* The largest singular value centred and scaled so that noise follows the Tracy-Widom law of order
 * 1 (Johnstone, Ann. Stat. 29 (2001) 295): quantiles 95 % 0.979, 99 % 2.023. */
double sc_tracy_widom(double s_max, double sigma, uint64_t rows, uint64_t cols);
/* Condition number: median of square normal matrices, 3.67 n (Edelman, SIAM J. Matrix Anal. Appl. 9
 * (1988) 543), else the limit (sqrt m + sqrt n) / (sqrt m - sqrt n), but never above the former. */
double sc_condition_random(uint64_t rows, uint64_t cols);
/* Chance that a normal matrix n x n has at least this condition number (Edelman, as above):
 * 1 - exp(-2/x - 2/x^2), x = condition / n. */
double sc_condition_p(double condition, uint64_t n);
/* m n / (sqrt m + sqrt n)^2. */
double sc_stable_rank_random(uint64_t rows, uint64_t cols);

/* ----------------------------------------------------------------------------- power laws ---
 * x: positive, ascending; WeightWatcher's are eigenvalues s^2 above SC_POWER_LAW_SMALLEST. */
#define SC_POWER_LAW_SMALLEST 1e-5
struct sc_power_law {
    double alpha, xmin, xmax, distance, sigma; /* distance: Kolmogorov-Smirnov D */
    uint64_t in_tail;                          /* values >= xmin */
};
/* Density proportional to x^-alpha from xmin on: alpha by maximum likelihood for every xmin among
 * x but the largest, of which the one of the smallest D is taken (Clauset, Shalizi, Newman, SIAM
 * Review 51 (2009) 661), the first of equals. D looks at the lower steps of the empirical
 * distribution only and sigma is (alpha - 1) / sqrt(in_tail), both as WeightWatcher has them. All
 * NaN when no candidate has a larger value above it. The bits do not depend on `level`.
 * O(n^2) at worst, O(n) memory. */
int sc_power_law_fit(const double *x, size_t n, enum sc_cpu level, struct sc_power_law *out,
                     struct sc_error *e);
void sc_power_law_none(struct sc_power_law *out); /* no fit: NaN, UINT64_MAX */
/* The same alpha with xmin at the middle, x[n / 2] (Hill, Ann. Stat. 3 (1975) 1163). NaN: the upper
 * half is one value. */
double sc_hill_alpha(const double *x, size_t n);

/* ---------------------------------------------------------------------------------- ranks ---
 * s: singular values, descending, of which the largest n are given. */
/* How many are above; also of the largest only, when the last of them is not above. */
size_t sc_rank_above(const double *s, size_t n, double threshold);
/* exp(entropy of s / sum s): the effective rank of Roy and Vetterli (EUSIPCO 2007). */
double sc_rank_entropy(const double *s, size_t n);
double sc_participation_ratio(const double *s, size_t n); /* (sum s^2)^2 / sum s^4 */
/* The first k whose values (or their squares) sum to share * total; UINT64_MAX: none does. */
uint64_t sc_rank_of_share(const double *s, size_t n, bool squares, double total, double share);
/* ||W - W_k|| / ||W|| of the best approximation of rank k (Eckart and Young); s is complete. */
double sc_error_at_rank(const double *s, size_t n, double frobenius, size_t k);
/* Ranks that the extractors of LoRA adapters choose, between 1 and n - 1; s is complete. All
 * UINT64_MAX of a zero matrix. */
enum sc_lora_rule {
    SC_LORA_FROBENIUS_90, /* first k with sum s^2 >= 0.9^2 of all */
    SC_LORA_FROBENIUS_95,
    SC_LORA_RATIO_10, /* above a tenth of the largest */
    SC_LORA_SUM_90,   /* first k with sum s >= 0.9 of all */
    SC_LORA_KNEE,     /* the curve is furthest from the line between its ends */
    SC_LORA_RULES
};
void sc_lora_ranks(const double *s, size_t n, uint64_t out[SC_LORA_RULES]);
/* Spectrum (Hartford et al., arXiv 2406.06623): (1 + sqrt beta) (Q75 - Q25) / 1.349 of the singular
 * values, quantiles by linear interpolation; and the sum of those above a threshold over the sum of
 * the others over the largest (infinity when there are no others). */
double sc_spectrum_threshold(const double *s, size_t n, uint64_t rows, uint64_t cols);
double sc_spectrum_snr(const double *s, size_t n, double threshold);
/* WeightWatcher's: -sum p ln p / ln rank with p = s^2 / sum s^2 + 1e-10; the first k for which the
 * product of the k largest eigenvalues, scaled to a mean of 1, is below 1 (n: none); log10 of sum
 * s^(2 alpha); and the Jensen-Shannon distance of two spectra, each as shares of its sum of s^2. */
double sc_spectral_entropy(const double *s, size_t n, size_t rank);
size_t sc_detx_rank(const double *s, size_t n);
double sc_log_alpha_norm(const double *s, size_t n, double alpha);
double sc_spectra_distance(const double *a, const double *b, size_t n);

#endif
