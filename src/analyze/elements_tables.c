/* SPDX-License-Identifier: Apache-2.0 */
/* elements_tables: what the figures of single values are called. docs/metrics.md explains each. */
#include "analyze/health.h"

#define AT(field) (uint16_t) offsetof(struct sc_health, field)
#define DOUBLE(key, title, unit, field)                                                            \
    {                                                                                              \
        key, title, unit, SC_METRIC_DOUBLE, 0, 1, AT(field)                                        \
    }
#define UINT(key, title, field)                                                                    \
    {                                                                                              \
        key, title, NULL, SC_METRIC_UINT, 0, 1, AT(field)                                          \
    }
#define UINT32(key, title, unit, field)                                                            \
    {                                                                                              \
        key, title, unit, SC_METRIC_UINT32, 0, 1, AT(field)                                        \
    }
#define DOUBLES(key, title, unit, field, n)                                                        \
    {                                                                                              \
        key, title, unit, SC_METRIC_DOUBLES, 0, n, AT(field)                                       \
    }

static const struct sc_metric basic[] = {
    UINT("values", "Values", basic.values),
    UINT("finite", "Finite", basic.finite),
    UINT("zeros", "Zeros", basic.zeros),
    UINT("negative_zeros", "Negative zeros", basic.negative_zeros),
    UINT("subnormals", "Subnormals", basic.subnormals),
    UINT("nans", "NaN", basic.nans),
    UINT("infinities", "Infinities", basic.infinities),
    UINT("first_nan", "First NaN", basic.first_nan),
    UINT("first_infinity", "First infinity", basic.first_infinity),
    UINT("distinct", "Distinct codes", basic.distinct),
    DOUBLE("mean", "Mean", NULL, basic.mean),
    DOUBLE("std", "Std", NULL, basic.std),
    DOUBLE("min", "Min", NULL, basic.min),
    DOUBLE("max", "Max", NULL, basic.max),
    DOUBLE("abs_max", "Largest |x|", NULL, basic.abs_max),
    DOUBLE("mean_abs", "Mean |x|", NULL, basic.mean_abs),
    DOUBLE("rms", "RMS", NULL, basic.rms),
    DOUBLE("l2_norm", "L2 norm", NULL, basic.l2_norm),
    DOUBLE("skewness", "Skewness", NULL, basic.skewness),
    DOUBLE("kurtosis", "Excess kurtosis", NULL, basic.kurtosis),
    DOUBLE("zeros_percent", "Zeros", "%", basic.zeros_percent),
    DOUBLES("quantile", "Quantiles", NULL, basic.quantile, SC_QUANTILES),
    DOUBLE("entropy", "Entropy of the codes", "bits", basic.entropy),
    DOUBLE("max_over_sigma", "Largest |x| in std", NULL, basic.max_over_sigma),
    DOUBLE("max_over_sigma_normal", "Largest |x| in std, normal", NULL,
           basic.max_over_sigma_normal),
    DOUBLES("beyond", "Share beyond 3 4 5 6 std", NULL, basic.beyond, SC_SIGMAS),
    DOUBLES("beyond_normal", "Share beyond 3 4 5 6 std, normal", NULL, basic.beyond_normal,
            SC_SIGMAS),
    {"holds", "Holds", NULL, SC_METRIC_TEXT, 0, 1, AT(basic.holds)},
    {"histogram_edge", "Edge of the histogram", NULL, SC_METRIC_DOUBLE, SC_METRIC_PLOT, 1,
     AT(basic.histogram_edge)},
    {"histogram", "Histogram", NULL, SC_METRIC_UINTS, SC_METRIC_PLOT, SC_HISTOGRAM,
     AT(basic.histogram)},
};

static const struct sc_metric sparsity[] = {
    DOUBLES("level_percent", "Near zero", "%", sparsity.level_percent, SC_LEVELS),
    DOUBLES("magnitude", "Quantiles of |x|", NULL, sparsity.magnitude, SC_MAGNITUDES),
    DOUBLE("mean_abs", "Mean |x|", NULL, sparsity.mean_abs),
    DOUBLE("median_abs", "Median |x|", NULL, sparsity.median_abs),
    UINT("rows", "Rows", sparsity.rows),
    UINT("cols", "Columns", sparsity.cols),
    UINT("dead_rows", "Dead rows", sparsity.dead_rows),
    UINT("dead_columns", "Dead columns", sparsity.dead_columns),
    UINT("zero_rows", "Zero rows", sparsity.zero_rows),
    UINT("zero_columns", "Zero columns", sparsity.zero_columns),
    UINT("first_dead_row", "First dead row", sparsity.first_dead_row),
    UINT("first_dead_column", "First dead column", sparsity.first_dead_column),
    DOUBLE("dead_rows_percent", "Dead rows", "%", sparsity.dead_rows_percent),
    DOUBLE("dead_columns_percent", "Dead columns", "%", sparsity.dead_columns_percent),
    DOUBLE("row_absmax_median", "Largest |x| of a row, median", NULL, sparsity.row_absmax_median),
    DOUBLE("row_absmax_max", "Largest |x| of a row, largest", NULL, sparsity.row_absmax_max),
    DOUBLE("column_absmax_median", "Largest |x| of a column, median", NULL,
           sparsity.column_absmax_median),
    DOUBLE("column_absmax_max", "Largest |x| of a column, largest", NULL,
           sparsity.column_absmax_max),
    DOUBLE("row_norm_median", "Norm of a row, median", NULL, sparsity.row_norm_median),
    DOUBLE("row_norm_max", "Norm of a row, largest", NULL, sparsity.row_norm_max),
    DOUBLE("column_norm_median", "Norm of a column, median", NULL, sparsity.column_norm_median),
    DOUBLE("column_norm_max", "Norm of a column, largest", NULL, sparsity.column_norm_max),
    UINT("loudest_row", "Row of the largest norm", sparsity.loudest_row),
    UINT("loudest_column", "Column of the largest norm", sparsity.loudest_column),
};

#define INT_ERROR(name, title)                                                                     \
    DOUBLE(#name ".mse", title ", mean squared error", NULL, quantization.name.mse),               \
        DOUBLE(#name ".mae", title ", mean |error|", NULL, quantization.name.mae),                 \
        DOUBLE(#name ".max_abs", title ", largest |error|", NULL, quantization.name.max_abs),      \
        DOUBLE(#name ".sqnr_db", title ", SQNR", "dB", quantization.name.sqnr_db),                 \
        DOUBLE(#name ".cosine", title ", cosine", NULL, quantization.name.cosine),                 \
        DOUBLE(#name ".one_minus_cosine", title ", 1 - cosine", NULL,                              \
               quantization.name.one_minus_cosine)

static const struct sc_metric quantization[] = {
    UINT32("bits", "Bits", "bits", quantization.bits),
    UINT32("group", "Group", NULL, quantization.group),
    DOUBLE("q1", "First quartile", NULL, quantization.q1),
    DOUBLE("q3", "Third quartile", NULL, quantization.q3),
    DOUBLE("iqr", "Interquartile range", NULL, quantization.iqr),
    UINT("outliers", "Outliers", quantization.outliers),
    UINT("extreme_outliers", "Extreme outliers", quantization.extreme_outliers),
    DOUBLE("outlier_percent", "Outliers", "%", quantization.outlier_percent),
    DOUBLE("extreme_outlier_percent", "Extreme outliers", "%",
           quantization.extreme_outlier_percent),
    DOUBLE("outlier_ratio_normal", "Outliers over normal", NULL, quantization.outlier_ratio_normal),
    DOUBLE("extreme_ratio_normal", "Extreme outliers over normal", NULL,
           quantization.extreme_ratio_normal),
    UINT("zscore_outliers", "Beyond 3 std", quantization.zscore_outliers),
    DOUBLE("zscore_outlier_percent", "Beyond 3 std", "%", quantization.zscore_outlier_percent),
    DOUBLE("dynamic_range", "Dynamic range", NULL, quantization.dynamic_range),
    DOUBLE("abs_max", "Largest |x|", NULL, quantization.abs_max),
    DOUBLE("scale", "Scale", NULL, quantization.scale),
    INT_ERROR(per_tensor, "Per tensor"),
    INT_ERROR(per_channel, "Per channel"),
    INT_ERROR(per_group, "Per group"),
    DOUBLE("sqnr_normal_db", "SQNR per tensor, normal", "dB", quantization.sqnr_normal_db),
    DOUBLE("best_clip", "Best clip", NULL, quantization.best_clip),
    DOUBLE("best_clip_sqnr_db", "SQNR with the best clip", "dB", quantization.best_clip_sqnr_db),
};

const struct sc_metric_group sc_metrics_basic = {"basic", "Basic statistics", SC_METHOD_BASIC,
                                                 basic, SC_COUNT(basic)};
const struct sc_metric_group sc_metrics_sparsity = {"sparsity", "Sparsity", SC_METHOD_SPARSITY,
                                                    sparsity, SC_COUNT(sparsity)};
const struct sc_metric_group sc_metrics_quantization = {
    "quantization", "Quantization", SC_METHOD_QUANTIZATION, quantization, SC_COUNT(quantization)};
