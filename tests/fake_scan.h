/* SPDX-License-Identifier: Apache-2.0 */
/* fake_scan: figures of models that do not exist, for tests of pictures and pages.
 *
 * Values are made up, but hang together: histograms follow a mixture of two normal distributions,
 * singular values the law of Marchenko and Pastur with some values above it, errors of integers
 * what the largest value gives. All from a seed, so that every run sees the same.
 *
 * Does not own: the truth. Nothing here may be compared with a real scan.
 */
#ifndef SC_FAKE_SCAN_H
#define SC_FAKE_SCAN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plots.h"

#define FAKE_METRIC(member, key_, title_, unit_)                                                   \
    {                                                                                              \
        .key = key_, .title = title_, .unit = unit_, .kind = SC_METRIC_DOUBLE,                     \
        .offset = offsetof(struct sc_health, member)                                               \
    }
#define FAKE_COUNT(member, key_, title_)                                                           \
    {                                                                                              \
        .key = key_, .title = title_, .kind = SC_METRIC_UINT,                                      \
        .offset = offsetof(struct sc_health, member)                                               \
    }
static const struct sc_metric fake_basic[] = {
    FAKE_COUNT(basic.values, "values", "Values"),
    FAKE_METRIC(basic.mean, "mean", "Mean", NULL),
    FAKE_METRIC(basic.std, "std", "Std", NULL),
    FAKE_METRIC(basic.min, "min", "Min", NULL),
    FAKE_METRIC(basic.max, "max", "Max", NULL),
    FAKE_METRIC(basic.abs_max, "abs_max", "Max |x|", NULL),
    FAKE_METRIC(basic.l2_norm, "l2_norm", "L2 norm", NULL),
    FAKE_METRIC(basic.kurtosis, "kurtosis", "Kurtosis", NULL),
    FAKE_METRIC(basic.zeros_percent, "zeros_percent", "Zeros", "%"),
    FAKE_COUNT(basic.nans, "nans", "NaN"),
    FAKE_COUNT(basic.infinities, "infinities", "Infinite"),
    {.key = "quantiles",
     .title = "Quantiles",
     .kind = SC_METRIC_DOUBLES,
     .count = SC_QUANTILES,
     .offset = offsetof(struct sc_health, basic.quantile)},
    {.key = "holds",
     .title = "Holds",
     .kind = SC_METRIC_TEXT,
     .offset = offsetof(struct sc_health, basic.holds)},
    {.key = "histogram",
     .title = "Histogram",
     .kind = SC_METRIC_UINTS,
     .flags = SC_METRIC_PLOT,
     .count = SC_HISTOGRAM,
     .offset = offsetof(struct sc_health, basic.histogram)},
};
static const struct sc_metric fake_quantization[] = {
    FAKE_METRIC(quantization.extreme_outlier_percent, "extreme_outlier_percent", "Extreme outliers",
                "%"),
    FAKE_METRIC(quantization.per_tensor.sqnr_db, "per_tensor.sqnr_db", "SQNR, tensor", "dB"),
    FAKE_METRIC(quantization.per_channel.sqnr_db, "per_channel.sqnr_db", "SQNR, row", "dB"),
    FAKE_METRIC(quantization.per_group.sqnr_db, "per_group.sqnr_db", "SQNR, group", "dB"),
    FAKE_METRIC(quantization.dynamic_range, "dynamic_range", "Dynamic range", NULL),
};
static const struct sc_metric fake_spectral[] = {
    {.key = "method",
     .title = "Method",
     .kind = SC_METRIC_METHOD,
     .offset = offsetof(struct sc_health, spectrum.method)},
    FAKE_METRIC(spectrum.condition, "condition_number", "Condition number", NULL),
    FAKE_METRIC(spectrum.condition_random, "condition_random", "Random matrix", NULL),
    FAKE_METRIC(spectrum.sigma_max, "max_singular_value", "Largest σ", NULL),
    FAKE_METRIC(spectrum.sigma_min, "min_singular_value", "Smallest σ", NULL),
    FAKE_METRIC(spectrum.stable_rank, "stable_rank", "Stable rank", NULL),
    FAKE_COUNT(spectrum.total_rank, "total_rank", "Total rank"),
    FAKE_COUNT(spectrum.signal_rank, "signal_rank", "Signal rank"),
    FAKE_METRIC(spectrum.power_law.alpha, "power_law.alpha", "α", NULL),
    {.key = "points",
     .title = "Points",
     .kind = SC_METRIC_FLOATS,
     .flags = SC_METRIC_PLOT,
     .count = SC_SIGMA_POINTS,
     .offset = offsetof(struct sc_health, spectrum.point)},
};
static const struct sc_metric_group fake_group_basic = {
    "basic", "Basic statistics", SC_METHOD_BASIC, fake_basic, SC_COUNT(fake_basic)};
static const struct sc_metric_group fake_group_quantization = {
    "quantization", "Quantization", SC_METHOD_QUANTIZATION, fake_quantization,
    SC_COUNT(fake_quantization)};
static const struct sc_metric_group fake_group_spectral = {
    "spectral", "Spectra", SC_METHOD_SPECTRAL, fake_spectral, SC_COUNT(fake_spectral)};
static const struct sc_metric_group *const fake_groups[] = {
    &fake_group_basic, &fake_group_quantization, &fake_group_spectral, NULL};
static const char *const fake_methods[] = {"none", "gram", "gram+qr", "lanczos", "estimate"};
static const struct sc_rule fake_rules[] = {
    {"nan", "Values that are not numbers", "IEEE 754"},
    {"singular", "Numerically rank-deficient", "Golub and Van Loan, Matrix Computations, 5.4"},
    {"outliers", "Outliers that cost integer precision", "Tukey, Exploratory Data Analysis"},
    {"condition", "Condition number above a random matrix of this shape", "Edelman 1988"},
};

struct fake_scan {
    struct sc_model model;
    struct sc_tensor *tensors;
    struct sc_health *health;
    const struct sc_health **measured;
    uint32_t *index;
    struct sc_issues issues;
    struct sc_scan_view view;
    size_t n, cap;
    uint64_t seed;
};

static inline double fake_uniform(struct fake_scan *f)
{
    uint64_t z = f->seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

static inline double fake_normal(struct fake_scan *f)
{
    return sqrt(-2 * log(1 - fake_uniform(f))) * cos(6.283185307179586 * fake_uniform(f));
}

static inline struct sc_tensor *fake_tensor(struct fake_scan *f, const char *name, uint64_t rows,
                                            uint64_t cols)
{
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 64;
        f->tensors = realloc(f->tensors, f->cap * sizeof *f->tensors);
        f->health = realloc(f->health, f->cap * sizeof *f->health);
        if (!f->tensors || !f->health)
            abort();
    }
    uint64_t *shape = malloc(2 * sizeof *shape);
    struct sc_str copy = sc_strz(name);
    struct sc_name_facts facts = sc_name_facts(copy, 0);
    if (!shape)
        abort();
    shape[0] = rows;
    shape[1] = cols;
    memset(&f->health[f->n], 0, sizeof *f->health);
    f->tensors[f->n] = (struct sc_tensor){.name = sc_str_copy(copy),
                                          .name_len = (uint32_t)copy.n,
                                          .shape = rows > 1 ? shape : shape + 1,
                                          .rank = rows > 1 ? 2 : 1,
                                          .dtype = "BF16",
                                          .parameters = rows * cols,
                                          .bytes = rows * cols * 2,
                                          .n_parts = 1,
                                          .role = (uint8_t)facts.role,
                                          .tower = (uint8_t)facts.tower,
                                          .layer = facts.layer,
                                          .expert = facts.expert};
    return &f->tensors[f->n++];
}

/* share of values in a second, wider component. */
struct fake_look {
    double std, share, wide;
    unsigned spikes;
    double weakest; /* smallest singular value over that of a random matrix; 0: singular */
};

static inline void fake_elements(struct fake_scan *f, struct sc_health *h, double n,
                                 const struct fake_look *look)
{
    double s1 = look->std / sqrt(1 - look->share + look->share * look->wide * look->wide);
    double s2 = s1 * look->wide, reach = sqrt(2 * log(n)) - 0.5 + 0.3 * fake_uniform(f);
    struct sc_basic *b = &h->basic;
    b->values = b->finite = (uint64_t)n;
    b->mean = look->std * 0.002 * fake_normal(f);
    b->std = b->rms = look->std;
    b->abs_max = look->share > 0 ? s2 * sqrt(2 * log(n * look->share + 3)) : s1 * reach;
    b->min = -b->abs_max * (0.9 + 0.1 * fake_uniform(f));
    b->max = b->abs_max;
    b->l2_norm = look->std * sqrt(n);
    b->mean_abs = look->std * 0.79;
    b->kurtosis = 3 * (look->share * pow(look->wide, 4) + 1 - look->share) /
                      pow(1 - look->share + look->share * look->wide * look->wide, 2) -
                  3;
    b->max_over_sigma = b->abs_max / b->std;
    b->max_over_sigma_normal = reach;
    b->entropy = 10.5 + fake_uniform(f);
    b->histogram_edge = b->abs_max;
    for (size_t i = 0; i < SC_HISTOGRAM; i++) {
        double x = -b->abs_max + (2 * (double)i + 1) / SC_HISTOGRAM * b->abs_max;
        double w = 2 * b->abs_max / SC_HISTOGRAM / 2.5066;
        double p = (1 - look->share) * w / s1 * exp(-x * x / (2 * s1 * s1)) +
                   look->share * w / s2 * exp(-x * x / (2 * s2 * s2));
        b->histogram[i] = (uint64_t)(n * p * (1 + 0.02 * fake_normal(f)));
    }
    h->sparsity = (struct sc_sparsity){.rows = 1, .cols = (uint64_t)n};
    h->sparsity.level_percent[1] = 0.01 * fake_uniform(f);
    struct sc_quantization *q = &h->quantization;
    q->extreme_outlier_percent =
        look->share > 0 ? 100 * look->share * 0.4
                        : (fake_uniform(f) < 0.1 ? 0 : 2.3e-4 * (0.6 + fake_uniform(f)));
    q->sqnr_normal_db = 10 * log10(12.0 * 127 * 127 / (reach * reach));
    q->per_tensor.sqnr_db = 10 * log10(12.0 * 127 * 127 / pow(b->max_over_sigma, 2));
    q->per_channel.sqnr_db = q->per_tensor.sqnr_db + 3 + 2 * fake_uniform(f);
    q->per_group.sqnr_db = q->per_tensor.sqnr_db + 6 + 2 * fake_uniform(f);
    q->dynamic_range = b->abs_max / b->mean_abs;
    q->abs_max = b->abs_max;
}

static inline void fake_spectrum(struct fake_scan *f, struct sc_health *h, double rows, double cols,
                                 const struct fake_look *look)
{
    double m = fmin(rows, cols), n = fmax(rows, cols), sigma = look->std * 0.9;
    double low = sigma * (sqrt(n) - sqrt(m)), high = sigma * (sqrt(n) + sqrt(m));
    struct sc_spectrum *sp = &h->spectrum;
    sp->method = SC_SPECTRUM_GRAM;
    sp->slices = 1;
    sp->rows = (uint64_t)rows;
    sp->cols = (uint64_t)cols;
    sp->total_rank = (uint64_t)m;
    low = fmax(low, high / (4 * m));
    sp->condition_random = n > m * 1.01 ? (sqrt(n / m) + 1) / (sqrt(n / m) - 1) : 3.67 * m;
    sp->edge = high;
    sp->noise_sigma = sigma;
    double *value = calloc((size_t)m, sizeof *value), sum = 0, so_far = 0;
    if (!value)
        abort();
    for (size_t i = 0; i < (size_t)m; i++) {
        double t = 1 - ((double)i + 0.5) / m; /* a quarter circle is near enough */
        value[i] = low + (high - low) * (t + 0.12 * sin(3.14159 * t) * (1 - t));
        if (i < look->spikes)
            value[i] = high * (1.02 + 0.4 * pow((double)(look->spikes - i), 0.8) *
                                          (0.7 + 0.1 * fake_uniform(f)));
    }
    value[(size_t)m - 1] *= look->weakest;
    for (size_t i = 0; i < (size_t)m; i++)
        sum += value[i] * value[i];
    double levels[4] = {.5, .9, .95, .99};
    for (size_t i = 0, k = 0; i < (size_t)m && k < 4; i++) {
        so_far += value[i] * value[i];
        while (k < 4 && so_far >= levels[k] * sum)
            sp->energy_rank[k++] = i + 1;
    }
    sp->sigma_max = value[0];
    sp->sigma_min = value[(size_t)m - 1];
    sp->numerical_rank = (uint64_t)m - (look->weakest == 0);
    sp->condition = look->weakest == 0 ? INFINITY : sp->sigma_max / sp->sigma_min;
    sp->condition_resolution = sp->sigma_max / (look->std * 0.0011 * (sqrt(m) + sqrt(n)));
    sp->stable_rank = sum / (value[0] * value[0]);
    sp->stable_rank_random = m * n / pow(sqrt(m) + sqrt(n), 2);
    sp->signal_rank = look->spikes;
    sp->frobenius = sqrt(sum);
    sp->power_law = (struct sc_power_law){.alpha = 2.5 + 2 * fake_uniform(f),
                                          .xmin = high * high,
                                          .xmax = value[0] * value[0],
                                          .distance = 0.06,
                                          .in_tail = look->spikes};
    sp->n_points = (uint32_t)fmin(m, SC_SIGMA_POINTS);
    for (uint32_t i = 0; i < sp->n_points; i++)
        sp->point[i] = (float)value[(size_t)((double)i * (m - 1) / fmax(sp->n_points - 1, 1))];
    sp->esd_low = 2 * log10(fmax(value[(size_t)m - 1], low / 3));
    sp->esd_high = 2 * log10(value[0]);
    for (size_t i = 0; i < (size_t)m; i++) {
        double t = (2 * log10(fmax(value[i], 1e-9)) - sp->esd_low) / (sp->esd_high - sp->esd_low);
        if (t >= 0 && t <= 1)
            sp->esd[(size_t)fmin(t * SC_ESD_BINS, SC_ESD_BINS - 1)]++;
    }
    free(value);
}

static inline void fake_measure(struct fake_scan *f, const char *name, uint64_t rows, uint64_t cols,
                                const struct fake_look *look)
{
    fake_tensor(f, name, rows, cols);
    struct sc_health *h = &f->health[f->n - 1];
    h->version = SC_HEALTH_VERSION;
    h->measured = SC_METHODS_ELEMENTS;
    fake_elements(f, h, (double)(rows * cols), look);
    if (rows > 1) {
        h->measured |= SC_METHOD_SPECTRAL;
        fake_spectrum(f, h, (double)rows, (double)cols, look);
    }
}

static inline void fake_issue(struct fake_scan *f, size_t tensor, unsigned rule, unsigned severity,
                              double value, double threshold, const char *message)
{
    struct sc_issues *s = &f->issues;
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->p = realloc(s->p, s->cap * sizeof *s->p);
        if (!s->p)
            abort();
    }
    s->p[s->n] = (struct sc_issue){.tensor = (uint32_t)tensor,
                                   .rule = (uint16_t)rule,
                                   .severity = (uint8_t)severity,
                                   .value = value,
                                   .threshold = threshold};
    snprintf(s->p[s->n++].message, sizeof s->p->message, "%s", message);
}

static inline int fake_worse(const void *a, const void *b)
{
    const struct sc_issue *x = a, *y = b;
    return x->severity != y->severity ? y->severity - x->severity
                                      : (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

/* Ties everything together; call once, when all tensors are there. */
static inline void fake_finish(struct fake_scan *f, const char *title)
{
    f->index = calloc(f->n + 1, sizeof *f->index);
    f->measured = calloc(f->n + 1, sizeof *f->measured);
    if (!f->index || !f->measured)
        abort();
    f->model.tensors = f->tensors;
    f->model.n_tensors = f->n;
    f->model.label = (char *)(uintptr_t)title;
    for (size_t i = 0; i < f->n; i++) {
        const struct sc_health *h = &f->health[i];
        char text[240];
        f->index[i] = (uint32_t)i;
        f->measured[i] = h->measured ? h : NULL;
        f->model.parameters += f->tensors[i].parameters;
        f->model.bytes += f->tensors[i].bytes;
        if (h->basic.nans)
            fake_issue(f, i, 0, SC_ERROR, (double)h->basic.nans, 0, "holds values that are NaN");
        if (h->spectrum.method && isinf(h->spectrum.condition))
            fake_issue(f, i, 1, SC_ERROR, INFINITY, 0,
                       "is numerically rank-deficient: a direction of the input is lost");
        if (h->quantization.extreme_outlier_percent > 0.1) {
            snprintf(text, sizeof text,
                     "%.2f %% of its values lie beyond 3 IQR; a normal sample has 0.0002 %%",
                     h->quantization.extreme_outlier_percent);
            fake_issue(f, i, 2, SC_WARNING, h->quantization.extreme_outlier_percent, 0.1, text);
        }
        if (h->spectrum.method && isfinite(h->spectrum.condition) &&
            h->spectrum.condition > 10 * h->spectrum.condition_random) {
            snprintf(text, sizeof text,
                     "condition number %.3g, %.0f times that of a random matrix of this shape",
                     h->spectrum.condition, h->spectrum.condition / h->spectrum.condition_random);
            fake_issue(f, i, 3,
                       h->spectrum.condition > 100 * h->spectrum.condition_random ? SC_WARNING
                                                                                  : SC_INFO,
                       h->spectrum.condition, 10 * h->spectrum.condition_random, text);
        }
    }
    if (f->issues.n)
        qsort(f->issues.p, f->issues.n, sizeof *f->issues.p, fake_worse);
    f->view = (struct sc_scan_view){.title = sc_strz(title),
                                    .model = &f->model,
                                    .tensors = f->index,
                                    .health = f->measured,
                                    .n = f->n,
                                    .issues = &f->issues,
                                    .rules = fake_rules,
                                    .n_rules = SC_COUNT(fake_rules),
                                    .groups = fake_groups,
                                    .spectrum_methods = fake_methods};
}

static inline void fake_free(struct fake_scan *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free((char *)(uintptr_t)f->tensors[i].name);
        free((uint64_t *)(uintptr_t)(f->tensors[i].rank > 1 ? f->tensors[i].shape
                                                            : f->tensors[i].shape - 1));
    }
    free(f->tensors);
    free(f->health);
    free(f->measured);
    free(f->index);
    free(f->issues.p);
}

/* A decoder with `layers` layers; `experts` 0: dense. `drift` shifts everything, for comparisons.
 */
static inline void fake_decoder(struct fake_scan *f, unsigned layers, unsigned experts,
                                uint64_t hidden, double drift)
{
    static const char *const attention[] = {"q", "k", "v", "o"};
    static const char *const mlp[] = {"gate", "up", "down"};
    char name[160];
    *f = (struct fake_scan){.seed = 7 + (uint64_t)(drift * 1000)};
    struct fake_look look = {0.02 * (1 + drift), 2e-5, 8, 24, 1};
    fake_measure(f, "model.embed_tokens.weight", hidden * 16, hidden, &look);
    for (unsigned l = 0; l < layers; l++) {
        double depth = layers > 1 ? (double)l / (layers - 1) : 0;
        for (unsigned k = 0; k < 4; k++) {
            look = (struct fake_look){
                (k < 2 ? 0.034 - 0.012 * depth : 0.016 + 0.008 * depth) *
                    (1 + drift + 0.03 * fake_normal(f)),
                l == 0 ? 2e-3 : 3e-5 * fake_uniform(f), 4 + 6 * fake_uniform(f),
                6 + (unsigned)(40 * fake_uniform(f)),
                k == 0 && l == layers / 2 ? 0 : pow(10, -1.5 * fake_uniform(f) * (k == 3))};
            snprintf(name, sizeof name, "model.layers.%u.self_attn.%s_proj.weight", l,
                     attention[k]);
            fake_measure(f, name, k == 1 || k == 2 ? hidden / 4 : hidden, hidden, &look);
        }
        for (unsigned x = 0; x < (experts ? experts : 1); x++) {
            for (unsigned k = 0; k < 3; k++) {
                bool odd = experts ? x == 3 && l % 3 == 1 : l == 1 && k == 2;
                look = (struct fake_look){(0.021 + 0.004 * depth + 0.002 * k) *
                                              (1 + drift + 0.02 * fake_normal(f)) *
                                              (odd && experts ? 1.5 : 1),
                                          odd ? 4e-3 : 1e-5 * fake_uniform(f), odd ? 18 : 5, 10, 1};
                if (experts)
                    snprintf(name, sizeof name, "model.layers.%u.mlp.experts.%u.%s_proj.weight", l,
                             x, mlp[k]);
                else
                    snprintf(name, sizeof name, "model.layers.%u.mlp.%s_proj.weight", l, mlp[k]);
                uint64_t inner = experts ? hidden / 2 : hidden * 3;
                fake_measure(f, name, k == 2 ? hidden : inner, k == 2 ? inner : hidden, &look);
            }
        }
        if (experts) {
            look = (struct fake_look){0.03, 0, 1, 4, 1};
            snprintf(name, sizeof name, "model.layers.%u.mlp.gate.weight", l);
            fake_measure(f, name, experts, hidden, &look);
        }
        for (unsigned k = 0; k < 2; k++) {
            look = (struct fake_look){0.05 + 0.2 * depth * (k + 1), 1e-3, 6, 0, 1};
            snprintf(name, sizeof name, "model.layers.%u.%s_layernorm.weight", l,
                     k ? "post_attention" : "input");
            fake_measure(f, name, 1, hidden, &look);
        }
    }
    look = (struct fake_look){0.3, 1e-3, 5, 0, 1};
    fake_measure(f, "model.norm.weight", 1, hidden, &look);
    look = (struct fake_look){0.019, 1e-5, 6, 30, 1};
    fake_measure(f, "lm_head.weight", hidden * 16, hidden, &look);
}

#endif
