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

enum { STEPS = 200 };

/* A router that chooses as often as this one but k to a token otherwise by chance has, for the
 * frequencies p, n_ab / T = p_a p_b - c_a c_b / sum c, where c_a - c_a^2 / sum c = p_a (1 - p_a):
 * then every expert has (k - 1) n_a neighbours (Deville and Tille's approximation for samples of a
 * fixed size; exact when all p are the same). Solved by repetition. c: (n_experts). The sum. */
static double find_chance(const struct sc_routing *r, const struct sc_routing_layer *l, double *c)
{
    double sum = 0;

    for (size_t i = 0; i < r->n_experts; i++) {
        const double p = (double)l->tokens[i] / (double)r->n_tokens;
        c[i] = p * (1 - p);
        sum += c[i];
    }
    for (unsigned step = 0; step < STEPS && sum > 0; step++) {
        double next = 0;
        for (size_t i = 0; i < r->n_experts; i++) {
            const double p = (double)l->tokens[i] / (double)r->n_tokens;
            c[i] = p * (1 - p) / fmax(1 - c[i] / sum, 0.5); /* one is never more than half */
            next += c[i];
        }
        sum = next;
    }
    return sum;
}

/* The lift of a pair under such a router, within what the two frequencies allow. */
static double chance_of(const struct sc_routing *r, const struct sc_routing_layer *l,
                        const double *c, double sum, uint32_t a, uint32_t b)
{
    const double p = (double)l->tokens[a] / (double)r->n_tokens;
    const double q = (double)l->tokens[b] / (double)r->n_tokens;
    const double both = p * q - (sum > 0 ? c[a] * c[b] / sum : 0);

    return fmin(fmax(both, fmax(p + q - 1, 0)), fmin(p, q)) / (p * q);
}

/* How much likelier, in nats, n_ab tokens are when so many are the rule than when the experts of a
 * token go together by chance: the log-likelihood ratio of Poisson counts. Rare experts make large
 * lifts by accident, but no large ratio. 0: no more than by chance. */
static double surprise(const struct sc_routing_pair *p)
{
    const double seen = (double)p->count, chance = seen * p->chance / p->lift;

    return seen > chance * (1 + 1e-9) ? seen * log(p->lift / p->chance) - (seen - chance) : 0;
}

/* The pairs with the largest surprise, the first of equals. */
struct best {
    struct sc_routing_pair *pairs; /* (SC_ROUTING_PAIRS) */
    double how[SC_ROUTING_PAIRS];
    size_t n;
};

static void keep_pair(struct best *best, const struct sc_routing_pair *p, double how)
{
    size_t i = best->n;

    if (!(how > 0) || (i == SC_ROUTING_PAIRS && !(how > best->how[i - 1])))
        return;
    i -= i == SC_ROUTING_PAIRS;
    for (; i > 0 && how > best->how[i - 1]; i--) {
        best->how[i] = best->how[i - 1];
        best->pairs[i] = best->pairs[i - 1];
    }
    best->how[i] = how;
    best->pairs[i] = *p;
    best->n = SC_MIN(best->n + 1, (size_t)SC_ROUTING_PAIRS);
}

static size_t judge_pairs_of(const struct sc_routing *r, size_t at, double *c,
                             struct sc_routing_pair *out)
{
    const struct sc_routing_layer *l = &r->layers[at];
    const double sum = find_chance(r, l, c);
    struct best best = {.pairs = out};

    for (uint32_t a = 0; a < r->n_experts; a++)
        for (uint32_t b = a + 1; b < r->n_experts; b++) {
            const uint64_t count = l->together[(size_t)a * r->n_experts + b];
            if (!count)
                continue;
            const struct sc_routing_pair p = {.layer = l->layer,
                                              .a = a,
                                              .b = b,
                                              .count = count,
                                              .lift = sc_routing_lift(r, at, a, b),
                                              .chance = chance_of(r, l, c, sum, a, b)};
            keep_pair(&best, &p, p.chance > 0 ? surprise(&p) : 0);
        }
    return best.n;
}

static int judge_pairs(struct sc_routing *r, double *scratch, struct sc_error *e)
{
    if (r->per_token < 2 || !r->layers[0].together)
        return 0;
    r->pairs = sc_calloc(r->n_layers * SC_ROUTING_PAIRS, sizeof *r->pairs);
    if (!r->pairs)
        return sc_fail_memory(e);
    for (size_t at = 0; at < r->n_layers; at++)
        r->n_pairs += judge_pairs_of(r, at, scratch, r->pairs + r->n_pairs);
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
    r->dead_probability = pow(1 - (double)r->per_token / (double)r->n_experts, (double)r->n_tokens);
    const int code = judge_pairs(r, scratch, e);
    free(scratch);
    return code == 0 ? judge_outputs(r, e) : code;
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
