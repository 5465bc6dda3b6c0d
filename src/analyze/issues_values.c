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

/* "[12, 345]", where the position is in a matrix. */
static const char *place(const struct sc_tensor *t, uint64_t at, char out[64])
{
    uint64_t cols = t->rank ? t->shape[t->rank - 1] : 1;

    if (t->rank >= 2 && cols)
        snprintf(out, 64, "row %llu, column %llu", (ull)(at / cols), (ull)(at % cols));
    else
        snprintf(out, 64, "position %llu", (ull)at);
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
    char where[64];

    if (b->nans)
        sc_judge_add(j, i, SC_RULE_NAN, SC_ERROR, (double)b->nans, 0,
                     "%llu NaN among %llu values, the first at %s; sound weights have none",
                     (ull)b->nans, (ull)b->values, place(t, b->first_nan, where));
    if (b->infinities)
        sc_judge_add(j, i, SC_RULE_INFINITY, SC_ERROR, (double)b->infinities, 0,
                     "%llu infinite value%s among %llu, the first at %s; sound weights have none",
                     (ull)b->infinities, plural(b->infinities), (ull)b->values,
                     place(t, b->first_infinity, where));
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

    if (b->finite && b->zeros == b->finite) {
        sc_judge_add(j, i, SC_RULE_ALL_ZERO, severity, 100, 100,
                     "all %llu values are zero; it adds nothing to what passes through it",
                     (ull)b->finite);
        return true;
    }
    if (b->finite > 1 && b->min >= b->max) {
        sc_judge_add(j, i, SC_RULE_CONSTANT, severity, b->min, NAN, "all %llu values are %.6g",
                     (ull)b->finite, b->min);
        return true;
    }
    return false;
}

static void judge_dead(struct sc_judge *j, size_t i, const struct sc_health *h)
{
    const struct sc_tensor *t = sc_judge_tensor(j, i);
    const struct sc_sparsity *s = &h->sparsity;
    /* The threshold of 1e-6 is absolute; where values are as small, only exact zeros are dead. */
    bool tiny = h->basic.rms < 1e-4;
    uint64_t rows = tiny ? s->zero_rows : s->dead_rows;
    uint64_t columns = tiny ? s->zero_columns : s->dead_columns;
    const char *what = tiny ? "all zero" : "below 1e-6";
    /* Rows of an embedding that no token uses are padding. */
    bool padded =
        t->role == SC_ROLE_EMBEDDING || t->role == SC_ROLE_OUTPUT || t->role == SC_ROLE_POSITION;

    if (s->rows == UINT64_MAX || s->cols == UINT64_MAX || s->rows < 2 || s->cols < 2 ||
        s->dead_rows == UINT64_MAX || s->dead_columns == UINT64_MAX)
        return;
    double percent = 100 * (double)rows / (double)s->rows;
    if (rows)
        sc_judge_add(j, i, SC_RULE_DEAD_ROWS, percent >= 1 && !padded ? SC_WARNING : SC_INFO,
                     percent, 1, "%llu of %llu rows are dead (%s), %.2f %%; the first is row %llu",
                     (ull)rows, (ull)s->rows, what, percent, (ull)s->first_dead_row);
    percent = 100 * (double)columns / (double)s->cols;
    if (columns)
        sc_judge_add(j, i, SC_RULE_DEAD_COLUMNS, percent >= 1 ? SC_WARNING : SC_INFO, percent, 1,
                     "%llu of %llu columns are dead (%s), %.2f %%; the first is column %llu",
                     (ull)columns, (ull)s->cols, what, percent, (ull)s->first_dead_column);
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

    if (!(b->max_over_sigma > MAX_INFO * usual))
        return;
    if (t->role == SC_ROLE_DOWN) {
        sc_judge_add(j, i, SC_RULE_SUPER_WEIGHT, SC_INFO, b->max_over_sigma, MAX_INFO * usual,
                     "one weight is %.1f sigma out, where a normal sample reaches %.1f; a super "
                     "weight would show as a spike of activations",
                     b->max_over_sigma, usual);
        return;
    }
    bool far = b->max_over_sigma > MAX_WARNING * usual;
    sc_judge_add(j, i, SC_RULE_MAX_OVER_SIGMA, far ? SC_WARNING : SC_INFO, b->max_over_sigma,
                 (far ? MAX_WARNING : MAX_INFO) * usual,
                 "its largest value is %.1f sigma out, where a normal sample of %llu reaches %.1f",
                 b->max_over_sigma, (ull)b->finite, usual);
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

    if (!(h->measured & SC_METHOD_BASIC) || !(b->std > 0) || !sc_is_matrix(t, h) ||
        !sc_is_weight(j->model, t, h))
        return;
    judge_maximum(j, i, b);
    judge_kurtosis(j, i, b);
    if (h->measured & SC_METHOD_QUANTIZATION) {
        judge_outliers(j, i, &h->quantization);
        judge_rounding(j, i, &h->quantization);
    }
}
