/* SPDX-License-Identifier: Apache-2.0 */
/* health: what `scan` measures of one tensor, and the tables that name it.
 *
 * One struct without pointers a tensor, so that it can be stored as it is (results.h) and kept in
 * file pages. Every figure that leaves the program is a row of a metric table below: JSON, CSV,
 * SQLite, the report and the page of docs/metrics.md all follow these tables; a figure is added by
 * a field, a row and a paragraph there.
 *
 * All statistics are over the finite values of a tensor; NaN and infinities are counted apart. A
 * double that is NaN means: does not apply, or was not asked for (null in JSON). Counts are of
 * values; a row is dimension 0 and a column everything else of a matrix (rank 1: one row).
 */
#ifndef SC_HEALTH_H
#define SC_HEALTH_H

#include "stream/stream.h"

/* What may be asked for: --methods. */
enum sc_method {
    SC_METHOD_BASIC = 1,
    SC_METHOD_SPARSITY = 2,
    SC_METHOD_QUANTIZATION = 4,
    SC_METHOD_SPECTRAL = 8,
};
#define SC_METHODS_ELEMENTS (SC_METHOD_BASIC | SC_METHOD_SPARSITY | SC_METHOD_QUANTIZATION)

/* ---------------------------------------------------------------- elements.c: one value each ---
 */
enum { SC_QUANTILES = 9, SC_SIGMAS = 4, SC_LEVELS = 4, SC_MAGNITUDES = 5, SC_HISTOGRAM = 64 };
extern const double sc_quantiles[SC_QUANTILES];   /* .001 .01 .05 .25 .5 .75 .95 .99 .999 */
extern const double sc_sigmas[SC_SIGMAS];         /* 3 4 5 6 */
extern const double sc_levels[SC_LEVELS];         /* 0 1e-6 1e-4 1e-2 */
extern const double sc_magnitudes[SC_MAGNITUDES]; /* .10 .25 .50 .75 .90 */

struct sc_basic {
    uint64_t values, finite, zeros, negative_zeros, subnormals, nans, infinities;
    uint64_t first_nan, first_infinity; /* position in row-major order; UINT64_MAX: none */
    uint64_t distinct; /* bit patterns, exact up to 16 bits; UINT64_MAX: not counted */
    double mean, std, min, max, abs_max, mean_abs, rms, l2_norm;
    double skewness, kurtosis; /* population; excess over the normal distribution's 3 */
    double zeros_percent;
    double quantile[SC_QUANTILES]; /* linear interpolation, exact */
    double entropy;                /* bits, of the stored codes; NaN: not counted */
    double max_over_sigma;         /* abs_max / std */
    double max_over_sigma_normal;  /* what a normal sample of this size gives */
    double beyond[SC_SIGMAS];      /* share of values further than k sigma from the mean */
    double beyond_normal[SC_SIGMAS];
    char holds[16];                   /* narrower type that holds every value: "BF16"; "": none */
    double histogram_edge;            /* bins span -edge..edge: abs_max */
    uint64_t histogram[SC_HISTOGRAM]; /* of finite values */
};
struct sc_sparsity {
    double level_percent[SC_LEVELS]; /* 100 #(|x| <= level) / values */
    double magnitude[SC_MAGNITUDES]; /* quantiles of |x| */
    double mean_abs, median_abs;
    /* matrices only, else UINT64_MAX */
    uint64_t rows, cols;
    uint64_t dead_rows, dead_columns; /* every |x| <= 1e-6 */
    uint64_t zero_rows, zero_columns; /* every x == 0 */
    uint64_t first_dead_row, first_dead_column;
    double dead_rows_percent, dead_columns_percent;
    double row_absmax_median, row_absmax_max, column_absmax_median, column_absmax_max;
    double row_norm_median, row_norm_max, column_norm_median, column_norm_max;
    uint64_t loudest_row, loudest_column; /* of the largest norm */
};
/* One symmetric scheme: scale = absmax / (2^(bits-1) - 1), round half to even, clamp. */
struct sc_int_error {
    double mse, mae, max_abs, sqnr_db, cosine, one_minus_cosine;
};
struct sc_quantization {
    uint32_t bits, group;
    double q1, q3, iqr;
    uint64_t outliers, extreme_outliers; /* beyond 1.5 and 3 IQR */
    double outlier_percent, extreme_outlier_percent, outlier_ratio_normal,
        extreme_ratio_normal; /* percent over that of a normal sample */
    uint64_t zscore_outliers; /* |x - mean| > 3 std */
    double zscore_outlier_percent;
    double dynamic_range; /* abs_max / (mean_abs + 1e-10) */
    double abs_max, scale;
    struct sc_int_error per_tensor, per_channel, per_group; /* a row, `group` along a row */
    double sqnr_normal_db; /* per tensor, of a normal sample of this size */
    double best_clip;      /* share of abs_max with the least squared error per tensor */
    double best_clip_sqnr_db;
};

/* ------------------------------------------------------------ spectrum.c: singular values --- */
enum { SC_TOP_SIGMA = 10, SC_SIGMA_POINTS = 128, SC_ESD_BINS = 100 };
enum sc_spectrum_method {
    SC_SPECTRUM_NONE,
    SC_SPECTRUM_GRAM,     /* eigenvalues of the smaller Gram matrix, in double */
    SC_SPECTRUM_REFINED,  /* and the smallest by QR and inverse Lanczos */
    SC_SPECTRUM_LANCZOS,  /* quick: the largest only */
    SC_SPECTRUM_ESTIMATE, /* stochastic quadrature: too large for the rest */
    SC_SPECTRUM_FACTORS,  /* of a product of thin matrices, from these */
};
struct sc_spectrum {
    uint32_t method; /* enum sc_spectrum_method */
    uint32_t slices; /* matrices measured: experts of a stack; the worst is shown */
    uint32_t slice;  /* which one the figures below are of: that of the largest condition number */
    uint64_t rows, cols, total_rank;
    double error_bound; /* relative, of the smallest singular value */
    double residual;    /* quick mode: relative bound of the largest */
    double top[SC_TOP_SIGMA];
    double sigma_max, sigma_min, ratio;
    double condition;        /* Infinity: numerically rank-deficient */
    double condition_random; /* median (square) or limit of an i.i.d. matrix of this shape */
    double condition_p;      /* chance that an i.i.d. square matrix is at least as bad; or NaN */
    double condition_resolution; /* sigma_max over the norm of the rounding error of the type */
    uint64_t numerical_rank, rank_001;
    double stable_rank, stable_rank_random, roy_vetterli_rank, participation_ratio;
    uint64_t energy_rank[4]; /* 50 90 95 99 percent */
    double frobenius;
    /* random-matrix reference */
    double noise_sigma, edge;         /* by the median; sigma (sqrt m + sqrt n) */
    uint64_t above_edge, signal_rank; /* signal: Gavish and Donoho */
    double tracy_widom;               /* of the largest; 95 %: 0.979, 99 %: 2.023 */
    double mp_distance;               /* KS of the bulk against Marchenko and Pastur */
    /* WeightWatcher */
    struct sc_power_law power_law;
    double alpha_weighted, log_norm, log_spectral_norm, log_alpha_norm, entropy, hill_alpha;
    uint64_t rank_loss, weak_rank_loss, detx;
    /* the same matrix with its elements shuffled */
    double shuffled_sigma_max, shuffled_alpha, shuffled_distance;
    uint64_t shuffled_spikes;
    /* Spectrum */
    double spectrum_snr, mp_snr;
    uint64_t spectrum_count;
    /* ranks that LoRA tools would extract: fro .9, fro .95, ratio 10, sum .9, knee */
    uint64_t lora_rank[5];
    uint64_t break_even_rank; /* m n / (m + n) */
    double error_at_rank[8];  /* ||W - W_k|| / ||W|| at k = 1, 4, 8, 16, 32, 64, 128, 256 */
    /* for plots: singular values at evenly spread ranks, and log10 eigenvalues in bins */
    uint32_t n_points;
    float point[SC_SIGMA_POINTS];
    double esd_low, esd_high; /* log10 lambda */
    uint32_t esd[SC_ESD_BINS];
};

struct sc_health {
    uint32_t version;  /* SC_HEALTH_VERSION: figures of another version are computed anew */
    uint32_t measured; /* enum sc_method bits that are filled */
    struct sc_basic basic;
    struct sc_sparsity sparsity;
    struct sc_quantization quantization;
    struct sc_spectrum spectrum;
};
#define SC_HEALTH_VERSION 2

/* -------------------------------------------------------------------------- metric tables --- */
enum sc_metric_kind {
    SC_METRIC_DOUBLE, /* NaN: null */
    SC_METRIC_UINT,   /* u64; UINT64_MAX: null */
    SC_METRIC_UINT32,
    SC_METRIC_TEXT,    /* char[16]; "": null */
    SC_METRIC_DOUBLES, /* `count` of them: a JSON array; CSV leaves it out */
    SC_METRIC_FLOATS,
    SC_METRIC_UINTS,
    SC_METRIC_UINT32S,
    SC_METRIC_METHOD, /* u32, enum sc_spectrum_method, as its name */
};
enum sc_metric_flags {
    SC_METRIC_PLOT = 1, /* data of a picture: JSON only with --full */
};
struct sc_metric {
    const char *key;   /* "std"; inside an object: "per_channel.sqnr_db" makes a nested one */
    const char *title; /* "Std" */
    const char *unit;  /* "dB", "%", "bits", NULL */
    uint8_t kind;      /* enum sc_metric_kind */
    uint8_t flags;
    uint16_t count;  /* arrays */
    uint16_t offset; /* in struct sc_health */
};
struct sc_metric_group {
    const char *key;   /* "basic" */
    const char *title; /* "Basic statistics" */
    unsigned method;   /* enum sc_method */
    const struct sc_metric *metrics;
    size_t n;
};
/* In the order of the JSON: basic (elements.c), sparsity, quantization, spectral (spectrum.c). */
extern const struct sc_metric_group sc_metrics_basic, sc_metrics_sparsity, sc_metrics_quantization,
    sc_metrics_spectral;
extern const struct sc_metric_group *const sc_metric_groups[]; /* NULL-terminated; health.c */
extern const char *const sc_spectrum_method_names[]; /* "gram", "gram+qr", "lanczos", ... */

/* ---------------------------------------------------------------------- how it is measured --- */
struct sc_measure {
    unsigned methods;  /* enum sc_method */
    uint32_t bits;     /* 2 to 8; 8 */
    uint32_t group;    /* 128; 0: whole rows */
    bool quick;        /* spectra: the largest singular values only */
    bool shuffled;     /* spectra: also of a shuffled copy */
    bool refine;       /* spectra: exact condition numbers above 3e5; on by default */
    uint64_t max_rank; /* above this smaller side a spectrum is an estimate; 16384 */
    uint64_t memory;   /* bytes for a spectrum: where an exact one takes more it is an estimate,
                          and where that does, SCRUPLE_ELIMIT; 0: as needed */
    const _Atomic int *cancel; /* ends spectra between two steps; NULL: nothing does */
};
/* item->user is a struct sc_health. The context of both is a const struct sc_measure. */
extern const struct sc_pass sc_pass_elements; /* basic, sparsity, quantization */
extern const struct sc_task sc_task_spectrum;

/* How a tensor is seen as matrices: experts slice by slice, convolutions as out x rest, vectors as
 * one row. Spectra want rows and cols of at least 2. */
struct sc_matrices {
    uint64_t n, rows, cols;
};
struct sc_matrices sc_matrices_of(const struct sc_values *v);

/* The figures of one matrix, without a model. A matrix with NaN or infinity is refused
 * (SCRUPLE_EFORMAT). The shuffled copy lies in memory as floats, so it is left out (NaN) where it
 * would take more than the singular values do and more than 256 MiB: long embeddings.
 * condition_resolution is the task's, which knows the type. */
int sc_spectrum_measure(const struct sc_matrix *m, const struct sc_measure *how,
                        const struct sc_parallel *p, struct sc_spectrum *out, struct sc_error *e);
/* The same of singular values that are here already: all of them, or the largest. */
int sc_spectrum_describe(const struct sc_svd *svd, uint64_t rows, uint64_t cols,
                         struct sc_spectrum *out, struct sc_error *e);
void sc_spectrum_none(struct sc_spectrum *out); /* nothing is known: NaN, UINT64_MAX */
/* What rounding to the stored type has done to the values of v, as root mean square, when theirs is
 * rms: the relative step of a float (or its subnormal one), the step of integers, the step of codes
 * of this many bits that span a group of normal values. NaN: not known. */
double sc_rounding_rms(const struct sc_values *v, double rms);

/* ------------------------------------------------------------------------------- verdicts --- */
struct sc_issue {
    uint32_t tensor;  /* index into model->tensors */
    uint16_t rule;    /* index into sc_rules */
    uint8_t severity; /* enum sc_severity */
    double value, threshold;
    char message[240]; /* one sentence with the numbers and what they are compared with */
};
struct sc_rule {
    const char *id; /* "nan", "dead", "outliers", ... stable */
    const char *title;
    const char *reference; /* where threshold and formula come from */
};
extern const struct sc_rule sc_rules[];
extern const size_t sc_n_rules;
struct sc_issues {
    struct sc_issue *p; /* worst first, then by tensor */
    size_t n, cap;
};
/* What became of one tensor of a scan. */
struct sc_scanned {
    uint32_t tensor; /* index into model->tensors */
    uint32_t same; /* index in this list of an earlier one that holds the same values; SC_NO_NODE */
    bool tied;     /* same, and the file stores these bytes once */
    bool unsupported;               /* not measured: the layout or type is only listed */
    bool unreached;                 /* not measured: the network failed */
    const struct sc_health *health; /* NULL: not measured */
    const char *why;                /* why not: a sentence; NULL: it was not asked for */
};
/* All issues of n tensors of m, ranked. */
int sc_issues_find(const struct sc_model *m, const struct sc_scanned *tensors, size_t n,
                   struct sc_issues *out, struct sc_error *e);
void sc_issues_clear(struct sc_issues *s);

#endif
