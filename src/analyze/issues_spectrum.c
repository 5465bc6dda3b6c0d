/* SPDX-License-Identifier: Apache-2.0 */
/* issues_spectrum: rules about singular values, each against a random matrix of the same shape. */
#include <math.h>
#include <stdio.h>

#include "analyze/issues.h"

typedef unsigned long long ull;

static bool has_all_values(const struct sc_spectrum *s)
{
    return s->method == SC_SPECTRUM_GRAM || s->method == SC_SPECTRUM_REFINED;
}

/* "", or ", in slice 12 of 64" */
static const char *slice_text(const struct sc_spectrum *s, char out[64])
{
    out[0] = '\0';
    if (s->slices > 1)
        snprintf(out, 64, ", in slice %u of %u", (unsigned)s->slice, (unsigned)s->slices);
    return out;
}

/* How much of a lost rank rows and columns of zeros explain: no more directions are left than rows
 * or columns with something in them, whichever are fewer. */
static void put_empty(const struct sc_spectrum *s, const struct sc_sparsity *z, char out[96])
{
    if (z->rows != s->rows || z->cols != s->cols || z->zero_rows > z->rows ||
        z->zero_columns > z->cols)
        return; /* not measured, or of another matrix of the stack */
    uint64_t rows = z->rows - z->zero_rows, cols = z->cols - z->zero_columns;
    bool by_rows = rows <= cols;
    uint64_t left = SC_MIN(rows, cols), empty = by_rows ? z->zero_rows : z->zero_columns;
    if (left >= s->total_rank)
        return;
    const char *what = by_rows ? "row" : "column";
    if (left == s->numerical_rank)
        snprintf(out, 96, "; %llu %s%s of zeros %s the cause", (ull)empty, what,
                 empty == 1 ? "" : "s", empty == 1 ? "is" : "are");
    else
        snprintf(out, 96, "; %llu %s%s of zeros explain%s %llu of the %llu that are missing",
                 (ull)empty, what, empty == 1 ? "" : "s", empty == 1 ? "s" : "",
                 (ull)(s->total_rank - left), (ull)(s->total_rank - s->numerical_rank));
}

static void judge_rank(struct sc_judge *j, size_t i, const struct sc_health *h)
{
    const struct sc_spectrum *s = &h->spectrum;
    char slice[64], empty[96] = "";

    if (!has_all_values(s) || s->numerical_rank >= s->total_rank || !s->total_rank)
        return;
    if ((h->measured & SC_METHOD_SPARSITY) && s->slices == 1)
        put_empty(s, &h->sparsity, empty);
    sc_judge_add(j, i, SC_RULE_RANK_DEFICIENT, SC_WARNING, (double)s->numerical_rank,
                 (double)s->total_rank,
                 "is singular: its rank is %llu of %llu, so its condition number is infinite%s%s",
                 (ull)s->numerical_rank, (ull)s->total_rank, slice_text(s, slice), empty);
}

/* Square: the chance that an i.i.d. matrix is as bad, below 1e-6 a warning and below 1e-4 a
 * remark: a model has hundreds of matrices. Others: the ratio to the limit of their shape. */
static void judge_condition(struct sc_judge *j, size_t i, const struct sc_spectrum *s)
{
    char slice[64], chance[64] = "", rounding[96] = "";
    double random = s->condition_random, ratio = s->condition / random;
    bool square = !isnan(s->condition_p), bad, odd;

    if (!has_all_values(s) || !isfinite(s->condition) || !(random >= 1))
        return;
    bad = square ? s->condition_p < 1e-6 : ratio > 1e4;
    odd = square ? s->condition_p < 1e-4 : ratio > 100;
    if (!bad && !odd)
        return;
    if (square)
        snprintf(chance, sizeof chance, " (chance %.1g)", s->condition_p);
    if (s->condition > s->condition_resolution)
        snprintf(rounding, sizeof rounding,
                 "; beyond %.1e its type cannot tell it from rounding errors",
                 s->condition_resolution);
    /* The threshold of a square one is where Edelman's 2/x reaches the chance. */
    double limit = square ? random / 3.67 * (bad ? 2e6 : 2e4) : random * (bad ? 1e4 : 100);
    sc_judge_add(j, i, SC_RULE_CONDITION, bad ? SC_WARNING : SC_INFO, s->condition, limit,
                 "its condition number is %.3g, where a random %llux%llu matrix has %.3g%s%s%s",
                 s->condition, (ull)s->rows, (ull)s->cols, random, chance, slice_text(s, slice),
                 rounding);
}

/* The largest eigenvalue of the shuffled copy, in units of its own fluctuation: a shuffled matrix
 * has i.i.d. entries of the variance that the matrix has, so its law is Tracy's and Widom's. Their
 * tail beyond 8 is 1e-7; what lies there was put there by single elements. */
#define TRAP 8.0

static void judge_trap(struct sc_judge *j, size_t i, const struct sc_health *h)
{
    const struct sc_spectrum *s = &h->spectrum;
    if (!(s->shuffled_sigma_max > 0) || !(s->frobenius > 0) || SC_MIN(s->rows, s->cols) < 32)
        return;
    double sigma = s->frobenius / sqrt((double)s->rows * (double)s->cols);
    double tw = sc_tracy_widom(s->shuffled_sigma_max, sigma, s->rows, s->cols);
    /* A mean other than zero is a direction of its own, in whatever order the values are. */
    double of_mean = fabs(h->basic.mean) * sqrt((double)s->rows * (double)s->cols);
    bool mean = (h->measured & SC_METHOD_BASIC) && of_mean > 0.9 * s->shuffled_sigma_max;
    if (tw > TRAP)
        sc_judge_add(j, i, SC_RULE_CORRELATION_TRAP, SC_INFO, tw, TRAP,
                     "shuffled, its largest singular value still stands %.1f Tracy-Widom units "
                     "above the edge (by chance: below 2.0): %s",
                     tw, mean ? "its mean is far from zero" : "a few elements dominate");
}

static void judge_alpha(struct sc_judge *j, size_t i, const struct sc_spectrum *s)
{
    const struct sc_power_law *p = &s->power_law;
    bool baseline = isfinite(s->shuffled_alpha);
    char shuffled[64] = "";

    if (!isfinite(p->alpha) || p->alpha <= 1 || s->total_rank < 50 || p->in_tail < 10)
        return;
    if (baseline)
        snprintf(shuffled, sizeof shuffled, "; shuffled it has %.2f", s->shuffled_alpha);
    if (p->alpha < 2)
        /* A shape whose noise fits such a power law proves nothing; nor does one within its
         * standard error of 2. */
        sc_judge_add(
            j, i, SC_RULE_OVER_TRAINED,
            baseline && s->shuffled_alpha > 3 && p->alpha + 3 * p->sigma < 2 ? SC_WARNING : SC_INFO,
            p->alpha, 2, "its alpha is %.2f +- %.2f, below 2%s", p->alpha, p->sigma, shuffled);
    else if (p->alpha > 6)
        sc_judge_add(j, i, SC_RULE_UNDER_TRAINED, SC_INFO, p->alpha, 6,
                     "its alpha is %.2f +- %.2f, above 6%s%s", p->alpha, p->sigma, shuffled,
                     baseline && fabs(p->alpha - s->shuffled_alpha) < 2 * p->sigma
                         ? ": not to be told from noise"
                         : "");
}

void sc_judge_spectrum(struct sc_judge *j, size_t i)
{
    const struct sc_health *h = j->tensors[i].health;
    const struct sc_spectrum *s = &h->spectrum;

    if (!(h->measured & SC_METHOD_SPECTRAL) || s->method == SC_SPECTRUM_NONE ||
        !(s->sigma_max > 0) || !sc_is_weight(j->model, sc_judge_tensor(j, i), h) ||
        !sc_is_matrix(sc_judge_tensor(j, i)))
        return;
    /* Of a constant matrix everything was said. */
    if ((h->measured & SC_METHOD_BASIC) && h->basic.min >= h->basic.max)
        return;
    judge_rank(j, i, h);
    judge_condition(j, i, s);
    judge_trap(j, i, h);
    judge_alpha(j, i, s);
}
