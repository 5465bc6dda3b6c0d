/* SPDX-License-Identifier: Apache-2.0 */
/* routing_judge: how evenly routers choose, which experts are never chosen, which pairs belong
 * together, whose output is extreme. Formulas: docs/moe.md. */
#include <math.h>
#include <stdlib.h>

#include "analyze/activations.h"
#include "analyze/routing_parts.h"

/* --------------------------------------------------------------------------------- balance --- */

/* In nats; 0 when nothing was counted. */
static double entropy_of(const double *v, size_t n)
{
    double sum = 0, entropy = 0;

    for (size_t i = 0; i < n; i++)
        sum += v[i];
    for (size_t i = 0; i < n && sum > 0; i++)
        entropy -= v[i] > 0 ? v[i] / sum * log(v[i] / sum) : 0;
    return entropy;
}

static double over_most(double entropy, size_t n)
{
    return n > 1 ? entropy / log((double)n) : 1;
}

static void judge_layer(struct sc_routing *r, struct sc_routing_layer *l, double *scratch)
{
    const size_t n = r->n_experts;
    const double tokens = (double)r->n_tokens, k = (double)r->per_token;
    const double mean = tokens * k / (double)n;
    double most = 0, square = 0;

    for (size_t i = 0; i < n; i++) {
        const double d = (double)l->tokens[i] - mean;
        scratch[i] = (double)l->tokens[i];
        most = fmax(most, scratch[i]);
        square += d * d;
        l->dead += l->tokens[i] == 0;
        l->busiest = l->weight[i] > l->weight[l->busiest] ? (uint32_t)i : l->busiest;
    }
    l->entropy = entropy_of(scratch, n);
    l->balance = over_most(l->entropy, n);
    l->weight_balance = over_most(entropy_of(l->weight, n), n);
    l->certainty /= tokens;
    l->max_over_mean = most / mean;
    l->cv = sqrt(square / (double)n) / mean;
    /* each token takes an expert with k / n: a binomial count */
    l->cv_uniform = sqrt(((double)n / k - 1) / tokens);
    r->dead += l->dead;
}

/* ----------------------------------------------------------------------------------- pairs --- */

double sc_routing_lift(const struct sc_routing *r, size_t at, uint32_t a, uint32_t b)
{
    const struct sc_routing_layer *l = &r->layers[at];

    if (!l->together || !l->tokens[a] || !l->tokens[b])
        return (double)NAN;
    return (double)l->together[(size_t)a * r->n_experts + b] * (double)r->n_tokens /
           ((double)l->tokens[a] * (double)l->tokens[b]);
}

/* How many deviations of chance a pair is away from what independent experts of these frequencies,
 * k to a token, would give. Rare experts make large lifts by accident; this does not. */
static double surprise(const struct sc_routing *r, size_t at, uint32_t a, uint32_t b,
                       double uniform)
{
    const struct sc_routing_layer *l = &r->layers[at];
    const double expected =
        (double)l->tokens[a] * (double)l->tokens[b] / (double)r->n_tokens * uniform;
    const double seen = (double)l->together[(size_t)a * r->n_experts + b];

    return expected > 0 ? (seen - expected) / sqrt(expected) : 0;
}

static int judge_pairs(struct sc_routing *r, struct sc_error *e)
{
    const double n = (double)r->n_experts, k = (double)r->per_token;
    const double uniform = r->n_experts > 1 ? (k - 1) * n / (k * (n - 1)) : 1;

    if (r->per_token < 2 || !r->layers[0].together)
        return 0;
    r->pairs = sc_calloc(r->n_layers * SC_ROUTING_PAIRS, sizeof *r->pairs);
    if (!r->pairs)
        return sc_fail_memory(e);
    for (size_t at = 0; at < r->n_layers; at++) {
        struct sc_routing_pair *best = r->pairs + r->n_pairs;
        double how[SC_ROUTING_PAIRS];
        size_t n_best = 0;
        for (uint32_t a = 0; a < r->n_experts; a++)
            for (uint32_t b = a + 1; b < r->n_experts; b++) {
                const double s = surprise(r, at, a, b, uniform);
                size_t i = n_best;
                if (!(s > 0) || (i == SC_ROUTING_PAIRS && !(s > how[i - 1])))
                    continue;
                i -= i == SC_ROUTING_PAIRS;
                for (; i > 0 && s > how[i - 1]; i--) {
                    how[i] = how[i - 1];
                    best[i] = best[i - 1];
                }
                how[i] = s;
                best[i] = (struct sc_routing_pair){
                    .layer = r->layers[at].layer,
                    .a = a,
                    .b = b,
                    .count = r->layers[at].together[(size_t)a * r->n_experts + b],
                    .lift = sc_routing_lift(r, at, a, b),
                    .uniform = uniform};
                n_best = SC_MIN(n_best + 1, (size_t)SC_ROUTING_PAIRS);
            }
        r->n_pairs += n_best;
    }
    return 0;
}

/* --------------------------------------------------------------------------------- outputs --- */

static int by_size(const void *a, const void *b)
{
    const struct sc_routing_output *x = a, *y = b;

    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return (x->expert > y->expert) - (x->expert < y->expert);
}

static int judge_outputs(struct sc_routing *r, struct sc_error *e)
{
    const size_t cells = r->n_layers * r->n_experts;
    double *sizes = sc_alloc(cells * sizeof *sizes);
    size_t n = 0;

    r->outputs = sc_calloc(cells, sizeof *r->outputs);
    if (!sizes || !r->outputs) {
        free(sizes);
        return sc_fail_memory(e);
    }
    for (size_t at = 0; at < r->n_layers; at++)
        for (uint32_t i = 0; i < r->n_experts; i++) {
            const struct sc_routing_layer *l = &r->layers[at];
            if (isnan(l->output[i]))
                continue;
            sizes[n] = (double)l->output[i];
            r->outputs[n++] = (struct sc_routing_output){.layer = l->layer,
                                                         .expert = i,
                                                         .token = l->at_token[i],
                                                         .channel = l->at_channel[i],
                                                         .value = l->output[i],
                                                         .tokens = l->tokens[i],
                                                         .forms = l->massive > 0};
        }
    sc_sort(r->outputs, n, sizeof *r->outputs, by_size);
    r->quantile_995 = n ? sc_activation_quantile(sizes, n, 0.995) : (double)NAN;
    r->largest = n ? r->outputs[0].value : 0;
    free(sizes);
    for (size_t i = 0; i < n; i++) {
        struct sc_routing_output *o = &r->outputs[i];
        o->above_995 = (double)o->value > r->quantile_995;
        o->above_tenth = o->value > r->largest / 10;
        o->super = o->above_995 && o->above_tenth && o->forms;
        r->n_super += o->super;
    }
    /* super ones stand among the largest; of the others some are for comparison */
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (r->outputs[i].super || i < SC_ROUTING_OUTPUTS)
            r->outputs[kept++] = r->outputs[i];
    r->n_outputs = kept;
    return 0;
}

int sc_routing_judge(struct sc_routing *r, struct sc_error *e)
{
    double *scratch = sc_alloc(r->n_experts * sizeof *scratch);

    if (!scratch)
        return sc_fail_memory(e);
    for (size_t i = 0; i < r->n_layers; i++)
        judge_layer(r, &r->layers[i], scratch);
    free(scratch);
    r->dead_probability = pow(1 - (double)r->per_token / (double)r->n_experts, (double)r->n_tokens);
    TRY(judge_pairs(r, e));
    return judge_outputs(r, e);
}

/* ------------------------------------------------------------------------------------ maps --- */

void sc_routing_map(const struct sc_routing *r, enum sc_routing_stat stat, float *out)
{
    for (size_t at = 0; at < r->n_layers; at++) {
        const struct sc_routing_layer *l = &r->layers[at];
        double weight = 0;
        for (size_t i = 0; i < r->n_experts; i++)
            weight += l->weight[i];
        for (size_t i = 0; i < r->n_experts; i++)
            *out++ = stat == SC_ROUTING_OUTPUT ? l->output[i]
                     : stat == SC_ROUTING_WEIGHT
                         ? (float)(weight > 0 ? l->weight[i] / weight : 0)
                         : (float)((double)l->tokens[i] / (double)r->n_tokens);
    }
}
