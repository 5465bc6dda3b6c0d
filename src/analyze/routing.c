/* SPDX-License-Identifier: Apache-2.0 */
/* routing: counting what routers choose while a model reads. */
#include "analyze/routing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/activations.h"
#include "analyze/routing_parts.h"

enum { DEFAULT_WINDOW = 2048 };

/* A value of the stream that is massive. */
struct massive {
    uint32_t stream, row, channel;
};
struct probing {
    const struct sc_forward *f;
    const struct sc_routing_options *o;
    struct sc_routing *out;
    struct sc_sequence *sequences; /* (n_windows) */
    size_t first, batch;           /* windows of this pass */
    struct massive *before;        /* of the layer that runs, between attention and MLP */
    size_t n_before, cap_before;
    double *scratch; /* (the larger of hidden size and experts) */
};

/* ------------------------------------------------------------------------------- counting --- */

static struct sc_routing_layer *find_layer(const struct sc_routing *r, int32_t layer)
{
    size_t low = 0, high = r->n_layers;

    while (low < high) {
        const size_t mid = (low + high) / 2;
        if ((int32_t)r->layers[mid].layer < layer)
            low = mid + 1;
        else
            high = mid;
    }
    return low < r->n_layers && (int32_t)r->layers[low].layer == layer ? &r->layers[low] : NULL;
}

/* Where a row of a stream is in the text. */
static size_t token_of(const struct probing *x, uint32_t stream, size_t row)
{
    return (x->first + stream) * x->out->window + row;
}

static void count_pairs(struct sc_routing_layer *l, size_t experts, const uint32_t *ids, size_t k)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++)
            l->together[ids[i] * experts + ids[j]]++;
}

static void see_route(struct probing *x, struct sc_routing_layer *l, const struct sc_hook_data *h)
{
    struct sc_routing *r = x->out;
    const size_t at = (size_t)(l - r->layers);

    for (size_t t = 0; t < h->n; t++) {
        const uint32_t *ids = h->ids + t * h->width;
        const float *weights = h->values + t * h->width;
        for (size_t i = 0; i < h->width; i++) {
            l->tokens[ids[i]]++;
            l->weight[ids[i]] += (double)weights[i];
        }
        if (l->together)
            count_pairs(l, r->n_experts, ids, h->width);
        if (!r->ids)
            continue;
        const size_t to = (at * r->n_tokens + token_of(x, h->stream, t)) * h->width;
        memcpy(r->ids + to, ids, h->width * sizeof *ids);
        memcpy(r->weights + to, weights, h->width * sizeof *weights);
    }
}

/* 1 - entropy over ln E of what the router thinks of all experts: softmax of its logits, or their
 * sigmoids divided by their sum. */
static double certainty_of(const struct probing *x, const float *logits, size_t n)
{
    const bool sigmoid = sc_forward_facts(x->f)->sigmoid_router;
    double most = -INFINITY, sum = 0, entropy = 0;

    for (size_t i = 0; i < n; i++)
        most = fmax(most, (double)logits[i]);
    for (size_t i = 0; i < n; i++) {
        x->scratch[i] = sigmoid ? 1 / (1 + exp(-(double)logits[i])) : exp((double)logits[i] - most);
        sum += x->scratch[i];
    }
    for (size_t i = 0; i < n; i++) {
        const double p = x->scratch[i] / sum;
        entropy -= p > 0 ? p * log(p) : 0;
    }
    return n > 1 ? 1 - entropy / log((double)n) : 1;
}

static void see_outputs(struct probing *x, struct sc_routing_layer *l, const struct sc_hook_data *h)
{
    const size_t e = (size_t)h->part;

    for (size_t i = 0; i < h->n * h->width; i++) {
        const float v = fabsf(h->values[i]);
        if (!isfinite(v) || v <= l->output[e]) /* which is NaN when nothing was seen */
            continue;
        const size_t row = i / h->width;
        l->output[e] = v;
        l->at_token[e] = (uint32_t)token_of(x, h->stream, h->positions ? h->positions[row] : row);
        l->at_channel[e] = (uint32_t)(i % h->width);
    }
}

/* ------------------------------------------------------------------- massive activations --- */

/* The list is in the order of streams, rows and channels. */
static bool was_massive(const struct probing *x, const struct massive *v)
{
    size_t low = 0, high = x->n_before;

    while (low < high) {
        const size_t mid = (low + high) / 2;
        const struct massive *m = &x->before[mid];
        const bool earlier = m->stream != v->stream ? m->stream < v->stream
                             : m->row != v->row     ? m->row < v->row
                                                    : m->channel < v->channel;
        low = earlier ? mid + 1 : low;
        high = earlier ? high : mid;
    }
    const struct massive *m = &x->before[low];
    return low < x->n_before && m->stream == v->stream && m->row == v->row &&
           m->channel == v->channel;
}

/* The size above which values of a row are massive; infinity: none can be. */
static double least_of(const struct probing *x, const float *row, size_t n)
{
    bool large = false;

    for (size_t i = 0; i < n; i++) {
        if (!isfinite(row[i]))
            return (double)INFINITY;
        large |= fabsf(row[i]) > 100;
    }
    return large ? sc_massive_least(row, n, x->scratch) : (double)INFINITY;
}

static void add_massive(struct probing *x, struct sc_routing_layer *l, const struct massive *v,
                        float value)
{
    if (was_massive(x, v))
        return;
    l->massive++;
    if (fabsf(value) <= fabsf(l->massive_value))
        return;
    l->massive_value = value;
    l->massive_token = (uint32_t)token_of(x, v->stream, v->row);
    l->massive_channel = v->channel;
}

static int see_stream(struct probing *x, struct sc_routing_layer *l, const struct sc_hook_data *h,
                      struct sc_error *e)
{
    const bool before = h->hook == SC_HOOK_RESIDUAL_MID;

    if (before && h->stream == 0)
        x->n_before = 0;
    for (size_t t = 0; t < h->n; t++) {
        const float *row = h->values + t * h->width;
        const double least = least_of(x, row, h->width);
        for (size_t c = 0; c < h->width && least < (double)INFINITY; c++) {
            const struct massive v = {h->stream, (uint32_t)t, (uint32_t)c};
            if (!(fabs((double)row[c]) > least))
                continue;
            if (!before) {
                add_massive(x, l, &v, row[c]);
                continue;
            }
            TRY(sc_grow(&x->before, &x->cap_before, x->n_before + 1, sizeof *x->before, e));
            x->before[x->n_before++] = v;
        }
    }
    return 0;
}

static int see(void *ctx, const struct sc_hook_data *h, struct sc_error *e)
{
    struct probing *x = ctx;
    struct sc_routing_layer *l = find_layer(x->out, h->layer);

    if (!l)
        return 0;
    if (h->hook == SC_HOOK_ROUTE)
        see_route(x, l, h);
    else if (h->hook == SC_HOOK_ROUTER)
        for (size_t t = 0; t < h->n; t++)
            l->certainty += certainty_of(x, h->values + t * h->width, h->width);
    else if (h->hook == SC_HOOK_DOWN_OUT && h->part >= 0)
        see_outputs(x, l, h);
    else if (h->hook != SC_HOOK_DOWN_OUT)
        return see_stream(x, l, h, e);
    return 0;
}

/* -------------------------------------------------------------------------------- running --- */

static void progress(void *ctx, uint32_t done, uint32_t of)
{
    const struct probing *x = ctx;

    if (x->o->progress)
        x->o->progress(x->o->ctx, x->first, x->out->n_windows, done, of);
}

static int run_batch(struct probing *x, struct sc_error *e)
{
    struct sc_run run = {.pool = x->o->pool,
                         .cancel = x->o->cancel,
                         .memory = x->o->memory,
                         .sequences = x->sequences + x->first,
                         .hooks = 1U << SC_HOOK_ROUTE | 1U << SC_HOOK_ROUTER |
                                  1U << SC_HOOK_DOWN_OUT | 1U << SC_HOOK_RESIDUAL_MID |
                                  1U << SC_HOOK_RESIDUAL,
                         .see = see,
                         .progress = progress,
                         .ctx = x};

    /* as many windows as fit half of the memory: each batch reads the model once */
    run.n_sequences = sc_forward_batch(x->f, &run, x->out->n_windows - x->first, x->o->memory / 2);
    x->batch = run.n_sequences;
    x->out->passes++;
    return sc_forward_run(x->f, &run, e);
}

/* All counts of all layers. */
static int make_layers(struct probing *x, struct sc_error *e)
{
    const struct sc_forward_facts *facts = sc_forward_facts(x->f);
    struct sc_routing *r = x->out;
    const size_t n = r->n_experts;
    uint64_t squares, cells;

    if (!sc_mul(r->n_layers, n, &cells) || !sc_mul(cells, n, &squares))
        return sc_fail(e, SCRUPLE_ELIMIT, "%zu layers of %zu experts are too many to count",
                       r->n_layers, n);
    const bool pairs = squares <= x->o->memory / 4 / sizeof(uint32_t);
    if (cells > x->o->memory / 4 / sizeof(struct sc_routing_output))
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "counts of %zu layers of %zu experts do not fit a quarter of the memory: "
                       "allow more (--memory)",
                       r->n_layers, n);
    r->layers = sc_calloc(r->n_layers, sizeof *r->layers);
    if (!r->layers)
        return sc_fail_memory(e);
    size_t at = 0;
    for (uint32_t i = 0; i < facts->layers; i++) {
        if (!sc_forward_is_sparse(x->f, i))
            continue;
        struct sc_routing_layer *l = &r->layers[at++];
        l->layer = i;
        l->tokens = sc_calloc(n, sizeof *l->tokens);
        l->weight = sc_calloc(n, sizeof *l->weight);
        l->output = sc_calloc(n, sizeof *l->output);
        l->at_token = sc_calloc(n, sizeof *l->at_token);
        l->at_channel = sc_calloc(n, sizeof *l->at_channel);
        l->together = pairs ? sc_calloc(n * n, sizeof *l->together) : NULL;
        if (!l->tokens || !l->weight || !l->output || !l->at_token || !l->at_channel ||
            (pairs && !l->together))
            return sc_fail_memory(e);
        for (size_t k = 0; k < n; k++)
            l->output[k] = NAN;
    }
    return 0;
}

static int make_trace(struct probing *x, struct sc_error *e)
{
    struct sc_routing *r = x->out;
    uint64_t n;

    if (!x->o->trace)
        return 0;
    if (!sc_mul(r->n_layers * r->n_tokens, r->per_token, &n) ||
        n > x->o->memory / 4 / (sizeof *r->ids + sizeof *r->weights))
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "the trace of %llu tokens does not fit a quarter of the memory: take fewer "
                       "tokens or more --memory",
                       (unsigned long long)r->n_tokens);
    r->ids = sc_calloc((size_t)n, sizeof *r->ids);
    r->weights = sc_calloc((size_t)n, sizeof *r->weights);
    return r->ids && r->weights ? 0 : sc_fail_memory(e);
}

size_t sc_routing_window(const struct sc_forward *f, const struct sc_routing_options *o)
{
    const uint64_t context = sc_forward_facts(f)->context;

    if (o->window)
        return o->window;
    return context && context < DEFAULT_WINDOW ? (size_t)context : DEFAULT_WINDOW;
}

static int cut_windows(struct probing *x, struct sc_error *e)
{
    struct sc_routing *r = x->out;
    size_t n = x->o->n;

    r->window = sc_routing_window(x->f, x->o);
    r->n_windows = (n + r->window - 1) / r->window;
    if (x->o->max_windows && r->n_windows > x->o->max_windows) {
        r->n_windows = x->o->max_windows;
        n = r->n_windows * r->window;
    }
    if (!n)
        return sc_fail(e, SCRUPLE_EUSAGE, "there are no tokens to run");
    r->n_tokens = n;
    x->sequences = sc_calloc(r->n_windows, sizeof *x->sequences);
    if (!x->sequences)
        return sc_fail_memory(e);
    for (size_t i = 0; i < r->n_windows; i++)
        x->sequences[i] = (struct sc_sequence){x->o->tokens + i * r->window,
                                               SC_MIN(r->window, n - i * r->window)};
    return 0;
}

int sc_routing_measure(const struct sc_forward *f, const struct sc_routing_options *o,
                       struct sc_routing *out, struct sc_error *e)
{
    const struct sc_forward_facts *facts = sc_forward_facts(f);
    struct probing x = {.f = f, .o = o, .out = out};
    int code = 0;

    memset(out, 0, sizeof *out);
    out->n_experts = facts->experts;
    out->per_token = facts->experts_per_token;
    for (uint32_t i = 0; i < facts->layers; i++)
        out->n_layers += sc_forward_is_sparse(f, i);
    if (!out->n_layers)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED, "%s has no experts, so nothing is routed",
                       sc_forward_model(f)->label);
    code = cut_windows(&x, e);
    if (code == 0)
        code = make_layers(&x, e);
    if (code == 0)
        code = make_trace(&x, e);
    x.scratch = sc_alloc(SC_MAX(facts->hidden, facts->experts) * sizeof *x.scratch);
    if (code == 0 && !x.scratch)
        code = sc_fail_memory(e);
    for (; code == 0 && x.first < out->n_windows; x.first += x.batch)
        code = run_batch(&x, e);
    if (code == 0)
        code = sc_routing_judge(out, e);
    free(x.sequences);
    free(x.before);
    free(x.scratch);
    return code;
}

void sc_routing_clear(struct sc_routing *r)
{
    for (size_t i = 0; r->layers && i < r->n_layers; i++) {
        struct sc_routing_layer *l = &r->layers[i];
        free(l->tokens);
        free(l->weight);
        free(l->output);
        free(l->at_token);
        free(l->at_channel);
        free(l->together);
    }
    free(r->layers);
    free(r->outputs);
    free(r->pairs);
    free(r->ids);
    free(r->weights);
    memset(r, 0, sizeof *r);
}
