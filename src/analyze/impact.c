/* SPDX-License-Identifier: Apache-2.0 */
/* impact: logits of variants beside those of the model. */
#include "analyze/impact.h"

#include <math.h>
#include <stdlib.h>

#include "math/math.h"

enum { DRAWS = 2000 };

struct sc_impacts {
    const uint32_t *tokens;
    size_t n, vocab;
    float *base;    /* (n x vocab) log p of the model */
    double *sums;   /* (n) log of the sum of the model's exponentials */
    double *losses; /* (variants + 1) x n: -log p of the next token */
    double *kl;     /* (variants + 1) sums over positions, divided by n */
    double *moved;  /* (variants + 1) squared norm of the difference of logits; 0: of the logits */
    size_t *agreed; /* (variants + 1) */
};

int sc_impacts_new(const uint32_t *tokens, size_t n, size_t vocab, size_t variants,
                   struct sc_impacts **out, struct sc_error *e)
{
    struct sc_impacts *x = sc_calloc(1, sizeof *x);
    uint64_t cells, losses;

    *out = NULL;
    if (!x)
        return sc_fail_memory(e);
    if (!sc_mul(n, vocab, &cells) || cells > SIZE_MAX / sizeof *x->base ||
        !sc_mul(n, variants + 1, &losses)) {
        free(x);
        return sc_fail_memory(e);
    }
    x->tokens = tokens;
    x->n = n;
    x->vocab = vocab;
    x->base = sc_alloc((size_t)cells * sizeof *x->base);
    x->sums = sc_calloc(n, sizeof *x->sums);
    x->losses = sc_calloc((size_t)losses, sizeof *x->losses);
    x->kl = sc_calloc(variants + 1, sizeof *x->kl);
    x->moved = sc_calloc(variants + 1, sizeof *x->moved);
    x->agreed = sc_calloc(variants + 1, sizeof *x->agreed);
    if (!x->base || !x->sums || !x->losses || !x->kl || !x->moved || !x->agreed) {
        sc_impacts_free(x);
        return sc_fail_memory(e);
    }
    *out = x;
    return 0;
}

void sc_impacts_free(struct sc_impacts *x)
{
    if (!x)
        return;
    free(x->base);
    free(x->sums);
    free(x->losses);
    free(x->kl);
    free(x->moved);
    free(x->agreed);
    free(x);
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
static void take_base(struct sc_impacts *x, uint32_t position, const float *row, double sum)
{
    float *base = x->base + (size_t)position * x->vocab;
    double square = 0;

    for (size_t i = 0; i < x->vocab; i++) {
        base[i] = (float)((double)row[i] - sum);
        square += (double)row[i] * (double)row[i];
    }
    x->sums[position] = sum;
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
    return SC_MAX(kl, 0);
}

void sc_impacts_take(struct sc_impacts *x, size_t number, uint32_t position, const float *row)
{
    const float *base = x->base + (size_t)position * x->vocab;
    const double sum = sc_logits_log_sum(row, x->vocab);

    if (number == 0)
        take_base(x, position, row, sum);
    else
        x->kl[number] +=
            divergence(base, row, x->vocab, sum, x->sums[position], &x->moved[number]) /
            (double)x->n;
    x->agreed[number] += argmax(base, x->vocab) == argmax(row, x->vocab);
    if (position + 1 < x->n)
        x->losses[number * x->n + position] = sum - (double)row[x->tokens[position + 1]];
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Paired bootstrap over positions: 2.5 % and 97.5 % of the mean difference. */
static int find_interval(const struct sc_impacts *x, size_t number, struct sc_impact *out,
                         struct sc_error *e)
{
    const size_t n = x->n - 1;
    double *draws = sc_alloc(DRAWS * sizeof *draws);

    if (!draws)
        return sc_fail_memory(e);
    for (size_t k = 0; k < DRAWS; k++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            const size_t at = (size_t)sc_random_below(7, k * n + i, n);
            sum += x->losses[number * x->n + at] - x->losses[at];
        }
        draws[k] = sum / (double)n;
    }
    qsort(draws, DRAWS, sizeof *draws, ascending);
    out->low = draws[DRAWS / 40];
    out->high = draws[DRAWS - 1 - DRAWS / 40];
    free(draws);
    return 0;
}

static double mean_loss(const struct sc_impacts *x, size_t number)
{
    double sum = 0;

    for (size_t i = 0; i + 1 < x->n; i++)
        sum += x->losses[number * x->n + i];
    return x->n > 1 ? sum / (double)(x->n - 1) : (double)NAN;
}

int sc_impacts_finish(const struct sc_impacts *x, size_t number, struct sc_impact *out,
                      struct sc_error *e)
{
    const double nll = mean_loss(x, number);

    *out = (struct sc_impact){.kl = x->kl[number],
                              .nll = nll,
                              .perplexity_ratio = exp(nll - mean_loss(x, 0)),
                              .agree = (double)x->agreed[number] / (double)x->n,
                              .change = number ? sqrt(x->moved[number] / x->moved[0]) : 0};
    out->low = out->high = x->n > 1 ? 0 : (double)NAN;
    return number && x->n > 1 ? find_interval(x, number, out, e) : 0;
}
