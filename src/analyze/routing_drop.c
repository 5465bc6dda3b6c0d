/* SPDX-License-Identifier: Apache-2.0 */
/* routing_drop: what the model loses without some of its experts. */
#include <stdlib.h>
#include <string.h>

#include "analyze/routing.h"
#include "analyze/routing_parts.h"

/* ----------------------------------------------------------------------------- experiments --- */

int sc_routing_drops_add(struct sc_routing_drops *d, const struct sc_drop *experts, size_t n,
                         struct sc_error *e)
{
    TRY(sc_grow(&d->experts, &d->cap_experts, d->n_experts + n, sizeof *d->experts, e));
    TRY(sc_grow(&d->list, &d->cap, d->n + 1, sizeof *d->list, e));
    memcpy(d->experts + d->n_experts, experts, n * sizeof *experts);
    d->list[d->n++] = (struct sc_routing_drop){.first = d->n_experts, .n = n};
    d->n_experts += n;
    return 0;
}

int sc_routing_drops_add_top(struct sc_routing_drops *d, const struct sc_routing *r,
                             struct sc_error *e)
{
    for (size_t i = 0; i < r->n_layers; i++) {
        const struct sc_drop one = {r->layers[i].layer, r->layers[i].busiest};
        TRY(sc_routing_drops_add(d, &one, 1, e));
    }
    return 0;
}

int sc_routing_drops_add_super(struct sc_routing_drops *d, const struct sc_routing *r,
                               struct sc_error *e)
{
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct sc_drop one = {r->outputs[i].layer, r->outputs[i].expert};
        if (r->outputs[i].super)
            TRY(sc_routing_drops_add(d, &one, 1, e));
    }
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct sc_drop *x = a, *y = b;

    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return (x->expert > y->expert) - (x->expert < y->expert);
}

int sc_routing_drops_add_all(struct sc_routing_drops *d, size_t first, struct sc_error *e)
{
    const size_t from = first < d->n ? d->list[first].first : d->n_experts;
    const size_t n = d->n_experts - from;
    size_t kept = 0;

    if (d->n < first + 2)
        return 0;
    struct sc_drop *all = sc_alloc(n * sizeof *all);
    if (!all)
        return sc_fail_memory(e);
    memcpy(all, d->experts + from, n * sizeof *all);
    sc_sort(all, n, sizeof *all, by_place);
    for (size_t i = 0; i < n; i++)
        if (!i || by_place(&all[i], &all[kept - 1]) != 0)
            all[kept++] = all[i];
    const int code = sc_routing_drops_add(d, all, kept, e);
    free(all);
    return code;
}

/* --------------------------------------------------------------------------------- running --- */

struct dropping {
    const struct sc_forward *f;
    const struct sc_routing_options *o;
    struct sc_routing_drops *d;
    struct sc_variant *variants; /* (d->n) */
    struct sc_rivals rivals;
    size_t first, batch; /* experiments of this pass */
};

static int take_logits(void *ctx, uint32_t stream, uint32_t position, const float *row,
                       size_t vocab, struct sc_error *e)
{
    struct dropping *x = ctx;
    const bool last = position + 1 == x->d->n_tokens;

    (void)vocab;
    (void)e;
    if (stream > 0 || x->first == 0)
        sc_rivals_take(&x->rivals, stream ? x->first + stream : 0, position, row,
                       last ? SC_NO_TOKEN : x->o->tokens[position + 1]);
    return 0;
}

static void progress(void *ctx, uint32_t done, uint32_t of)
{
    const struct dropping *x = ctx;

    if (x->o->progress)
        x->o->progress(x->o->ctx, x->first, x->d->n, done, of);
}

/* The rest is for the model's logits. */
static uint64_t for_activations(const struct dropping *x)
{
    return x->o->memory / 4 * 3;
}

/* How many of n variants fit; 0: not even one. */
static size_t fitting(const struct dropping *x, const struct sc_run *run, size_t n)
{
    struct sc_run some = *run;

    for (some.n_variants = n; some.n_variants > 0; some.n_variants--)
        if (sc_forward_memory(x->f, &some) <= for_activations(x))
            break;
    return some.n_variants;
}

static int run_batch(struct dropping *x, const struct sc_sequence *sequence, struct sc_error *e)
{
    struct sc_run run = {.pool = x->o->pool,
                         .cancel = x->o->cancel,
                         .memory = for_activations(x),
                         .sequences = sequence,
                         .n_sequences = 1,
                         .variants = x->variants + x->first,
                         .logits = take_logits,
                         .progress = progress,
                         .ctx = x};

    run.n_variants = SC_MAX(fitting(x, &run, x->d->n - x->first), (size_t)1);
    x->batch = run.n_variants;
    x->d->passes++;
    return sc_forward_run(x->f, &run, e);
}

/* As much of the first window as leaves room for one experiment and the model's logits. */
static size_t tokens_that_fit(const struct dropping *x)
{
    const uint64_t each = sc_forward_facts(x->f)->vocab * sizeof(float);
    size_t n = SC_MIN(x->o->n, sc_routing_window(x->f, x->o));

    n = (size_t)SC_MIN(n, SC_MAX(x->o->memory / 4 / each, 1));
    for (; n > 1; n -= n / 4 + 1) {
        const struct sc_sequence sequence = {x->o->tokens, n};
        const struct sc_run run = {.sequences = &sequence, .n_sequences = 1, .n_variants = 1};
        if (sc_forward_memory(x->f, &run) <= for_activations(x))
            break;
    }
    return n;
}

static int measure(struct dropping *x, struct sc_error *e)
{
    struct sc_routing_drops *d = x->d;
    struct sc_effect base;

    d->n_tokens = tokens_that_fit(x);
    const struct sc_sequence sequence = {x->o->tokens, d->n_tokens};
    TRY(sc_rivals_start(&x->rivals, d->n + 1, d->n_tokens, d->n_tokens,
                        sc_forward_facts(x->f)->vocab, x->o->memory, e));
    for (; x->first < d->n; x->first += x->batch)
        TRY(run_batch(x, &sequence, e));
    for (size_t i = 0; i < d->n; i++)
        TRY(sc_rivals_end(&x->rivals, i + 1, &d->list[i].effect, e));
    TRY(sc_rivals_end(&x->rivals, 0, &base, e));
    d->nll = base.nll;
    return 0;
}

int sc_routing_drops_measure(const struct sc_forward *f, const struct sc_routing_options *o,
                             struct sc_routing_drops *d, struct sc_error *e)
{
    struct dropping x = {.f = f, .o = o, .d = d};

    if (!d->n)
        return 0;
    x.variants = sc_calloc(d->n, sizeof *x.variants);
    if (!x.variants)
        return sc_fail_memory(e);
    for (size_t i = 0; i < d->n; i++)
        x.variants[i] = (struct sc_variant){
            .drops = d->experts + d->list[i].first, .n_drops = d->list[i].n, .reroute = d->reroute};
    const int code = measure(&x, e);
    sc_rivals_clear(&x.rivals);
    free(x.variants);
    return code;
}

void sc_routing_drops_clear(struct sc_routing_drops *d)
{
    free(d->experts);
    free(d->list);
    memset(d, 0, sizeof *d);
}
