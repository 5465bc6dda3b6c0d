/* SPDX-License-Identifier: Apache-2.0 */
/* variants: what variants of a model make of the same positions. */
#include "analyze/variants.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "math/math.h"

enum { DRAWS = 2000 };

int sc_rivals_start(struct sc_rivals *x, size_t variants, size_t positions, size_t window,
                    size_t vocab, uint64_t memory, struct sc_error *e)
{
    uint64_t n;

    *x = (struct sc_rivals){
        .variants = variants, .positions = positions, .window = window, .vocab = vocab};
    if (!sc_mul(window, vocab, &n) || n > memory / sizeof(float))
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "logits of %zu positions do not fit half of the memory: take fewer tokens "
                       "or more --memory",
                       window);
    x->base = sc_alloc((size_t)n * sizeof *x->base);
    x->sums = sc_calloc(window, sizeof *x->sums);
    x->losses = sc_calloc(variants * positions, sizeof *x->losses);
    x->moved = sc_calloc(variants, sizeof *x->moved);
    x->kl = sc_calloc(variants, sizeof *x->kl);
    x->agreed = sc_calloc(variants, sizeof *x->agreed);
    return x->base && x->sums && x->losses && x->moved && x->kl && x->agreed ? 0
                                                                             : sc_fail_memory(e);
}

void sc_rivals_clear(struct sc_rivals *x)
{
    free(x->base);
    free(x->sums);
    free(x->losses);
    free(x->moved);
    free(x->kl);
    free(x->agreed);
    *x = (struct sc_rivals){0};
}

static size_t argmax(const float *v, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (v[i] > v[best])
            best = i;
    return best;
}

/* Log-probabilities of the model are kept as floats: 1e-7 of their size. */
static void take_base(struct sc_rivals *x, size_t slot, const float *row, double sum)
{
    float *base = x->base + slot * x->vocab;
    double square = 0;

    for (size_t i = 0; i < x->vocab; i++) {
        base[i] = (float)((double)row[i] - sum);
        square += (double)row[i] * (double)row[i];
    }
    x->sums[slot] = sum;
    x->moved[0] += square;
}

static double divergence(const float *base, const float *row, size_t n, double sum, double base_sum,
                         double *moved)
{
    double kl = 0;

    for (size_t i = 0; i < n; i++) {
        const double p = (double)base[i], q = (double)row[i] - sum;
        const double d = (double)row[i] - (p + base_sum);
        kl += exp(p) * (p - q);
        *moved += d * d;
    }
    return kl < 0 ? 0 : kl; /* what is not a number stays none */
}

void sc_rivals_take(struct sc_rivals *x, size_t variant, size_t position, const float *row,
                    uint32_t next)
{
    const size_t slot = position - x->first;
    const float *base = x->base + slot * x->vocab;
    const double sum = sc_logits_log_sum(row, x->vocab);

    if (variant == 0)
        take_base(x, slot, row, sum);
    else
        x->kl[variant] += divergence(base, row, x->vocab, sum, x->sums[slot], &x->moved[variant]) /
                          (double)x->positions;
    /* Where nothing is finite no token is the likeliest. */
    x->agreed[variant] += isfinite(sum) && argmax(base, x->vocab) == argmax(row, x->vocab);
    if (next == SC_NO_TOKEN)
        return;
    x->losses[variant * x->positions + position] = sum - (double)row[next];
    x->scored += variant == 0;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Paired bootstrap over positions: 2.5 % and 97.5 % of the mean difference. */
static int find_interval(const struct sc_rivals *x, size_t variant, struct sc_effect *effect,
                         struct sc_error *e)
{
    const size_t n = x->scored;
    double *draws = sc_alloc(DRAWS * sizeof *draws);

    if (!draws)
        return sc_fail_memory(e);
    for (size_t k = 0; k < DRAWS; k++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            const size_t at = (size_t)sc_random_below(7, k * n + i, n);
            sum += x->losses[variant * x->positions + at] - x->losses[at];
        }
        draws[k] = sum / (double)n;
    }
    qsort(draws, DRAWS, sizeof *draws, ascending);
    effect->low = draws[DRAWS / 40];
    effect->high = draws[DRAWS - 1 - DRAWS / 40];
    free(draws);
    return 0;
}

static double mean_loss(const struct sc_rivals *x, size_t variant)
{
    double sum = 0;

    for (size_t i = 0; i < x->scored; i++)
        sum += x->losses[variant * x->positions + i];
    return x->scored ? sum / (double)x->scored : (double)NAN;
}

int sc_rivals_end(const struct sc_rivals *x, size_t variant, struct sc_effect *out,
                  struct sc_error *e)
{
    *out = (struct sc_effect){.kl = x->kl[variant], .nll = mean_loss(x, variant)};
    if (!isfinite(x->moved[0])) { /* the model itself gives no numbers: nothing to compare with */
        *out = (struct sc_effect){NAN, out->nll, NAN, NAN, NAN, NAN, NAN};
        return 0;
    }
    if (isnan(out->kl)) /* it does, but the variant does not */
        out->kl = INFINITY;
    out->perplexity_ratio = exp(out->nll - mean_loss(x, 0));
    out->agree = (double)x->agreed[variant] / (double)x->positions;
    out->change = variant ? sqrt(x->moved[variant] / x->moved[0]) : 0;
    out->low = out->high = x->scored ? 0 : (double)NAN;
    return variant && x->scored ? find_interval(x, variant, out, e) : 0;
}
