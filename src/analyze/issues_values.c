/* SPDX-License-Identifier: Apache-2.0 */
/* issues_values: rules about the values of one tensor: NaN, zeros, dead rows, tails, rounding.
 *
 * What a normal sample of the same size shows stands in the figures themselves (elements.c), so
 * each threshold here is a distance from that.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyze/issues.h"

typedef unsigned long long ull;

/* Where a value is: "row 12, column 345" of a matrix, "[7, 12, 345]" where there are more
 * dimensions. Complex elements have two values. */
static const char *place(const struct sc_tensor *t, const struct sc_basic *b, uint64_t at,
                         char out[256])
{
    uint64_t each = t->parameters ? b->values / t->parameters : 1, index[SC_MAX_RANK];
    size_t used = 0;

    at /= SC_MAX(each, (uint64_t)1);
    if (t->rank < 2) {
        snprintf(out, 256, "position %llu", (ull)at);
        return out;
    }
    for (size_t k = t->rank; k-- > 0;) {
        index[k] = at % SC_MAX(t->shape[k], (uint64_t)1);
        at /= SC_MAX(t->shape[k], (uint64_t)1);
    }
    if (t->rank == 2) {
        snprintf(out, 256, "row %llu, column %llu", (ull)index[0], (ull)index[1]);
        return out;
    }
    for (size_t k = 0; k < t->rank; k++)
        used += (size_t)snprintf(out + used, 256 - used, "%s%llu", k ? ", " : "[", (ull)index[k]);
    snprintf(out + used, 256 - used, "]");
    return out;
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* ----------------------------------------------------------------------- what is not a number ---
 */
static void judge_finite(struct sc_judge *j, size_t i, const struct sc_basic *b)
{
    const struct sc_tensor *t = sc_judge_tensor(j, i);
    char where[256];

    if (b->nans)
        sc_judge_add(j, i, SC_RULE_NAN, SC_ERROR, (double)b->nans, 0,
                     "%llu NaN among %llu values, the first at %s; sound weights have none",
                     (ull)b->nans, (ull)b->values, place(t, b, b->first_nan, where));
    if (b->infinities)
        sc_judge_add(j, i, SC_RULE_INFINITY, SC_ERROR, (double)b->infinities, 0,
                     "%llu infinite value%s among %llu, the first at %s; sound weights have none",
                     (ull)b->infinities, plural(b->infinities), (ull)b->values,
                     place(t, b, b->first_infinity, where));
}

/* An overflow that somebody clamped looks like this. Masks do, too: they have no role. */
static void judge_saturated(struct sc_judge *j, size_t i, const struct sc_basic *b)
{
    static const struct {
        const char *dtype;
        double largest;
    } types[] = {{"F16", 65504}, {"BF16", 0x1.fep127}, {"F32", 0x1.fffffep127}};
    const struct sc_tensor *t = sc_judge_tensor(j, i);

    for (size_t k = 0; k < SC_COUNT(types); k++)
        if (strcmp(t->dtype, types[k].dtype) == 0 && b->abs_max >= types[k].largest &&
            t->role != SC_ROLE_OTHER && t->layout == SC_LAYOUT_PLAIN)
            sc_judge_add(
                j, i, SC_RULE_SATURATED, SC_WARNING, b->abs_max, types[k].largest,
                "its largest magnitude is %g, the largest that %s has: values were clipped",
                b->abs_max, t->dtype);
}

/* ----------------------------------------------------------------------- zeros and constants ---
 */
/* Low-rank adapters start with one factor of zeros. */
static bool is_adapter(const struct sc_tensor *t)
{
    return sc_str_has_nocase(sc_str(t->name, t->name_len), SC_STR("lora_"));
}

/* True: nothing else is to be said. */
static bool judge_plain(struct sc_judge *j, size_t i, const struct sc_basic *b)
{
    const struct sc_tensor *t = sc_judge_tensor(j, i);
    bool matrix = t->rank >= 2 && t->role != SC_ROLE_BIAS && t->role != SC_ROLE_NORM;
    enum sc_severity severity = matrix && !is_adapter(t) ? SC_WARNING : SC_INFO;
    const char *finite = b->finite < b->values ? "finite " : "";

    if (b->finite && b->zeros == b->finite) {
        sc_judge_add(j, i, SC_RULE_ALL_ZERO, severity, 100, 100,
                     "all %llu %svalues are zero; it adds nothing to what passes through it",
                     (ull)b->finite, finite);
        return true;
    }
    if (b->finite > 1 && b->min >= b->max) {
        sc_judge_add(j, i, SC_RULE_CONSTANT, severity, b->min, NAN, "all %llu %svalues are %.6g",
                     (ull)b->finite, finite, b->min);
        return true;
    }
    return false;
}

/* Where `share` of all values are dead, some of n rows of `width` values are by chance (a weight of
 * few rows with three values, or one that was pruned): more than five standard errors of such
 * counts are no chance. */
static bool beyond_chance(uint64_t dead, uint64_t n, uint64_t width, double share)
{
    double expected = (double)n * pow(share, (double)width);

    return (double)dead > expected + 5 * sqrt(expected);
}

static const char *first_text(const char *what, uint64_t at, char out[64])
{
    snprintf(out, 64, "; the first is %s %llu", what, (ull)at);
    return out;
}

static void judge_dead(struct sc_judge *j, size_t i, const struct sc_health *h)
{
    const struct sc_tensor *t = sc_judge_tensor(j, i);
    const struct sc_sparsity *s = &h->sparsity;
    /* The threshold of 1e-6 is absolute; where values are as small, only exact zeros are dead. */
    bool tiny = h->basic.rms < 1e-4;
    uint64_t rows = tiny ? s->zero_rows : s->dead_rows;
    uint64_t columns = tiny ? s->zero_columns : s->dead_columns;
    /* Rows are measured as floats: doubles below their range look like zeros there. */
    uint64_t zeros = h->basic.zeros;
    const char *what = tiny ? "all zero" : "below 1e-6";
    double share = tiny ? (double)h->basic.zeros / (double)h->basic.finite
                        : s->level_percent[1] / 100; /* of 1e-6 */
    char first[64];
    /* Rows of an embedding that no token uses are padding. */
    bool padded =
        t->role == SC_ROLE_EMBEDDING || t->role == SC_ROLE_OUTPUT || t->role == SC_ROLE_POSITION;

    if (s->rows == UINT64_MAX || s->cols == UINT64_MAX || s->rows < 2 || s->cols < 2 ||
        s->dead_rows == UINT64_MAX || s->dead_columns == UINT64_MAX ||
        s->zero_rows > zeros / s->cols || s->zero_columns > zeros / s->rows)
        return;
    /* The first dead row is only known to be the first one of zeros where no others are dead. */
    double percent = 100 * (double)rows / (double)s->rows;
    if (rows && beyond_chance(rows, s->rows, s->cols, share))
        sc_judge_add(j, i, SC_RULE_DEAD_ROWS, percent >= 1 && !padded ? SC_WARNING : SC_INFO,
                     percent, 1, "%llu of %llu rows %s dead (%s), %.2f %%%s", (ull)rows,
                     (ull)s->rows, rows == 1 ? "is" : "are", what, percent,
                     rows == s->dead_rows ? first_text("row", s->first_dead_row, first) : "");
    percent = 100 * (double)columns / (double)s->cols;
    if (columns && beyond_chance(columns, s->cols, s->rows, share))
        sc_judge_add(j, i, SC_RULE_DEAD_COLUMNS, percent >= 1 ? SC_WARNING : SC_INFO, percent, 1,
                     "%llu of %llu columns %s dead (%s), %.2f %%%s", (ull)columns, (ull)s->cols,
                     columns == 1 ? "is" : "are", what, percent,
                     columns == s->dead_columns ? first_text("column", s->first_dead_column, first)
                                                : "");
}

static void judge_upcast(struct sc_judge *j, size_t i, const struct sc_basic *b)
{
    const struct sc_tensor *t = sc_judge_tensor(j, i);
    sc_codec_id narrow = sc_codec_find(sc_strz(b->holds));

    if (!b->holds[0] || t->layout != SC_LAYOUT_PLAIN || b->values < 1024 || narrow == SC_OPAQUE)
        return;
    double bits = sc_codec_bits(narrow), now = 8.0 * (double)t->bytes / (double)t->parameters;
    if (bits >= now)
        return;
    sc_judge_add(j, i, SC_RULE_UPCAST, SC_INFO, now, bits,
                 "is %s but every value fits %s: %.0f of %llu bytes are not needed", t->dtype,
                 b->holds, (double)t->bytes * (1 - bits / now), (ull)t->bytes);
}

static void judge_sparse(struct sc_judge *j, size_t i, const struct sc_basic *b)
{
    if (b->zeros_percent >= 50 && b->values >= 1024)
        sc_judge_add(j, i, SC_RULE_SPARSE, SC_INFO, b->zeros_percent, 50,
                     "%.1f %% of its values are exactly zero", b->zeros_percent);
}

void sc_judge_values(struct sc_judge *j, size_t i)
{
    const struct sc_health *h = j->tensors[i].health;
    const struct sc_basic *b = &h->basic;
    const struct sc_tensor *t = sc_judge_tensor(j, i);

    if (!(h->measured & SC_METHOD_BASIC) || !b->values)
        return;
    judge_finite(j, i, b);
    if (!sc_is_weight(j->model, t, h) || judge_plain(j, i, b))
        return;
    judge_saturated(j, i, b);
    judge_upcast(j, i, b);
    judge_sparse(j, i, b);
    if (h->measured & SC_METHOD_SPARSITY)
        judge_dead(j, i, h);
}

/* ----------------------------------------------------------------------------------- tails --- */
/* Expected maxima of normal samples are met within a few percent from a thousand values on, so
 * five times that is no chance; ten times is what no ordinary training leaves. */
#define MAX_INFO    5.0
#define MAX_WARNING 20.0

static void judge_maximum(struct sc_judge *j, size_t i, const struct sc_basic *b)
{
    const struct sc_tensor *t = sc_judge_tensor(j, i);
    double usual = b->max_over_sigma_normal;
    /* From the mean, since values around another one than zero are no outliers. */
    double out = fmax(b->max - b->mean, b->mean - b->min) / b->std;

    if (!(out > MAX_INFO * usual))
        return;
    if (t->role == SC_ROLE_DOWN) {
        sc_judge_add(
            j, i, SC_RULE_SUPER_WEIGHT, SC_INFO, out, MAX_INFO * usual,
            "one weight is %.1f sigma from the mean, where a normal sample reaches %.1f; a super "
            "weight would show as a spike of activations",
            out, usual);
        return;
    }
    bool far = out > MAX_WARNING * usual;
    sc_judge_add(
        j, i, SC_RULE_MAX_OVER_SIGMA, far ? SC_WARNING : SC_INFO, out,
        (far ? MAX_WARNING : MAX_INFO) * usual,
        "one value is %.1f sigma from the mean, where a normal sample of %llu reaches %.1f", out,
        (ull)b->finite, usual);
}

static void judge_kurtosis(struct sc_judge *j, size_t i, const struct sc_basic *b)
{
    double error = sqrt(24 / (double)b->finite);
    double info = fmax(10, 8 * error), warning = fmax(100, 8 * error);

    if (b->kurtosis > info)
        sc_judge_add(j, i, SC_RULE_KURTOSIS, b->kurtosis > warning ? SC_WARNING : SC_INFO,
                     b->kurtosis, b->kurtosis > warning ? warning : info,
                     "its excess kurtosis is %.1f; a normal sample of %llu has 0 +- %.2g",
                     b->kurtosis, (ull)b->finite, error);
}

static void judge_outliers(struct sc_judge *j, size_t i, const struct sc_quantization *q)
{
    double p = q->extreme_outlier_percent;

    /* Where more than half is one value, as in sparse weights, quartiles tell nothing. */
    if (!(q->iqr > 0) || q->extreme_outliers < 10 || !(p > 1))
        return;
    sc_judge_add(j, i, SC_RULE_OUTLIERS, p > 5 ? SC_WARNING : SC_INFO, p, p > 5 ? 5 : 1,
                 "%.2f %% of its values are beyond 3 IQR, %.0f times as many as in a normal sample",
                 p, q->extreme_ratio_normal);
}

/* Even with a scale a row, two bits of the INT are lost to outliers. */
static void judge_rounding(struct sc_judge *j, size_t i, const struct sc_quantization *q)
{
    double usual = q->sqnr_normal_db, floor_db = usual - 12;
    double tensor = q->per_tensor.sqnr_db, row = q->per_channel.sqnr_db;

    if (!(usual > 0) || !(tensor < floor_db))
        return;
    bool bad = row < floor_db;
    sc_judge_add(j, i, SC_RULE_QUANTIZATION, bad ? SC_WARNING : SC_INFO, bad ? row : tensor,
                 floor_db,
                 "INT%u keeps %.1f dB with one scale and %.1f dB with a scale a row; a normal "
                 "sample of this size keeps %.1f dB",
                 (unsigned)q->bits, tensor, row, usual);
}

void sc_judge_distribution(struct sc_judge *j, size_t i)
{
    const struct sc_health *h = j->tensors[i].health;
    const struct sc_basic *b = &h->basic;
    const struct sc_tensor *t = sc_judge_tensor(j, i);

    if (!(h->measured & SC_METHOD_BASIC) || !(b->std > 0) || !sc_is_matrix(t) ||
        !sc_is_weight(j->model, t, h))
        return;
    judge_maximum(j, i, b);
    judge_kurtosis(j, i, b);
    if (h->measured & SC_METHOD_QUANTIZATION) {
        judge_outliers(j, i, &h->quantization);
        judge_rounding(j, i, &h->quantization);
    }
}
