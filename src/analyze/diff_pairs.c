/* SPDX-License-Identifier: Apache-2.0 */
/* diff_pairs: which tensors of two sides are compared, and the views of them.
 *
 * An adapter's update is never formed: W is compared with a view of W + s B A. Without a base, W is
 * zero. */
#include <stdlib.h>

#include "analyze/diff_parts.h"

#define FACTORS_LEAST (UINT64_C(64) << 20)

bool sc_diff_stands_in(const struct sc_model *m, const struct sc_pair *p, uint32_t tensor)
{
    return p->rule == SC_PAIR_BY_TYING && p->a != SC_NO_NODE && p->b != SC_NO_NODE &&
           m->tensors[tensor].role != SC_ROLE_OUTPUT;
}

const struct sc_tensor *sc_diff_tensor(const struct sc_diff *d, const struct sc_diff_pair *p)
{
    if (p->pair.a != SC_NO_NODE && !sc_diff_stands_in(d->a, &p->pair, p->pair.a))
        return &d->a->tensors[p->pair.a];
    return &d->b->tensors[p->pair.b];
}

uint32_t sc_diff_stored_b(const struct sc_diff *d, const struct sc_diff_pair *p)
{
    if (!d->adapter)
        return p->pair.b;
    return p->update ? p->update->up : d->adapter->whole[p->pair.b - d->adapter->n_updates];
}

const struct sc_model *sc_diff_stored_model_b(const struct sc_diff *d)
{
    return d->adapter ? d->adapter->model : d->b;
}

/* ----------------------------------------------------------------------------------- views --- */
int sc_diff_open_update(const struct sc_adapter *a, size_t update, uint64_t memory,
                        struct sc_values **out, struct sc_error *e)
{
    const struct sc_update *u = &a->updates[update];
    const struct sc_low_rank l = {
        .model = a->model,
        .tensor = &a->target.tensors[update],
        .up = u->up,
        .down = u->down,
        .rows = u->rows,
        .cols = u->cols,
        .rank = u->rank,
        .scale = u->scale,
        .transposed = u->transposed,
        .memory = SC_MAX(memory, FACTORS_LEAST),
    };

    return sc_values_open_low_rank(&l, out, e);
}

static int open_update(struct sc_diff_work *r, const struct sc_diff_pair *p, struct sc_values **out,
                       struct sc_error *e)
{
    return sc_diff_open_update(r->d->adapter, p->pair.b, r->o->memory / 4, out, e);
}

/* The stored tensors of both sides, as sc_values_open_pair() has them. */
static struct sc_pair stored_pair(const struct sc_diff *d, const struct sc_diff_pair *p)
{
    struct sc_pair pair = p->pair;

    pair.b = sc_diff_stored_b(d, p);
    return pair;
}

/* A weight, and itself with its update; nothing, and the update. */
static int open_updated(struct sc_diff_work *r, const struct sc_diff_pair *p, struct sc_values **a,
                        struct sc_values **b, struct sc_error *e)
{
    struct sc_values *update = NULL, *base = NULL;

    if (r->d->has_base)
        TRY(sc_values_open(r->d->a, p->pair.a, a, e));
    TRY(open_update(r, p, &update, e));
    if (!r->d->has_base) {
        *b = update;
        return sc_values_open_zeros(update, a, e);
    }
    if ((*a)->count == update->count) {
        update->rows = (*a)->rows;
        update->cols = (*a)->cols;
    }
    const int code = sc_values_open(r->d->a, p->pair.a, &base, e);
    if (code < 0)
        sc_values_close(update);
    return code < 0 ? code : sc_values_open_sum(base, update, b, e);
}

int sc_diff_open_pair(struct sc_diff_work *r, size_t i, struct sc_values **a, struct sc_values **b,
                      struct sc_error *e)
{
    const struct sc_diff_pair *p = &r->d->pairs[i];
    const struct sc_pair pair = stored_pair(r->d, p);

    *a = *b = NULL;
    return p->update ? open_updated(r, p, a, b, e)
                     : sc_values_open_pair(r->d->a, sc_diff_stored_model_b(r->d), &pair, a, b, e);
}

int sc_diff_open_difference(struct sc_diff_work *r, size_t i, struct sc_values **out,
                            struct sc_error *e)
{
    const struct sc_diff_pair *p = &r->d->pairs[i];
    struct sc_values *a, *b;

    *out = NULL;
    if (p->update)
        return open_update(r, p, out, e);
    const int code = sc_diff_open_pair(r, i, &a, &b, e);
    if (code == 0)
        return sc_values_open_difference(a, b, out, e);
    sc_values_close(a);
    sc_values_close(b);
    return code;
}

/* -------------------------------------------------------------------------------- pairing --- */
static void put_pair(struct sc_diff *d, struct sc_pair pair, enum sc_diff_status status)
{
    struct sc_diff_pair *p = &d->pairs[d->n++];

    *p = (struct sc_diff_pair){.pair = pair, .status = (uint8_t)status, .same = SC_NO_NODE};
    if (d->adapter && pair.b < d->adapter->n_updates)
        p->update = &d->adapter->updates[pair.b];
    if (pair.status == SC_PAIR_ONLY_A || pair.status == SC_PAIR_ONLY_B)
        p->why = pair.transform;
}

int sc_diff_pair_up(struct sc_diff_work *r)
{
    static const uint8_t statuses[] = {
        [SC_PAIR_BOTH] = SC_DIFF_SAME,
        [SC_PAIR_SHAPE] = SC_DIFF_SHAPE,
        [SC_PAIR_ONLY_A] = SC_DIFF_ONLY_A,
        [SC_PAIR_ONLY_B] = SC_DIFF_ONLY_B,
    };
    struct sc_diff *d = r->d;
    struct sc_pairs pairs = {0};
    int code = 0;

    code = d->adapter
               ? sc_adapter_pair(d->adapter, d->has_base ? d->a : NULL, r->o->filter, &pairs, r->e)
               : sc_models_match(d->a, d->b, r->o->filter, &pairs, r->e);
    if (code == 0) {
        d->pairs = sc_alloc(SC_MAX(pairs.n, (size_t)1) * sizeof *d->pairs);
        if (!d->pairs)
            code = sc_fail_memory(r->e);
    }
    d->pair_arena = pairs.arena;
    pairs.arena = (struct sc_arena){0};
    for (size_t i = 0; code == 0 && i < pairs.n; i++) {
        if (d->adapter && pairs.p[i].status == SC_PAIR_ONLY_A)
            d->n_untouched++;
        else
            put_pair(d, pairs.p[i], (enum sc_diff_status)statuses[pairs.p[i].status]);
    }
    sc_pairs_clear(&pairs);
    return code;
}

/* Indices of one side of all pairs that have both. */
static int twins_of(struct sc_diff_work *r, bool second, uint32_t *tensors, const uint32_t *pairs,
                    size_t n, uint32_t *twin)
{
    const struct sc_diff *d = r->d;

    for (size_t k = 0; k < n; k++)
        tensors[k] = second ? d->pairs[pairs[k]].pair.b : d->pairs[pairs[k]].pair.a;
    return sc_find_twins(second ? d->b : d->a, tensors, n, twin, r->e);
}

bool sc_diff_is_arranged(const struct sc_diff_pair *p)
{
    return p->pair.how_a || p->pair.how_b;
}

/* The first pair whose sides have the same bytes on both sides is where a pair counts. */
int sc_diff_find_twins(struct sc_diff_work *r)
{
    struct sc_diff *d = r->d;
    const size_t most = SC_MAX(d->n, (size_t)1);
    uint32_t *pairs = sc_alloc(most * sizeof *pairs), *tensors = sc_alloc(most * sizeof *tensors);
    uint32_t *a = sc_alloc(most * sizeof *a), *b = sc_alloc(most * sizeof *b);
    struct sc_index index = {0};
    size_t n = 0;
    int code = pairs && tensors && a && b ? 0 : sc_fail_memory(r->e);

    for (size_t i = 0; code == 0 && i < d->n; i++)
        if (d->pairs[i].status == SC_DIFF_SAME && !d->pairs[i].update &&
            !sc_diff_is_arranged(&d->pairs[i]))
            pairs[n++] = (uint32_t)i;
    if (code == 0)
        code = twins_of(r, false, tensors, pairs, n, a);
    if (code == 0 && !d->adapter)
        code = twins_of(r, true, tensors, pairs, n, b);
    for (size_t k = 0; code == 0 && k < n && !d->adapter; k++) {
        const uint32_t first_a = a[k] == SC_NO_NODE ? (uint32_t)k : a[k];
        /* A tensor that stands in two pairs (a tied output matrix) is a twin of itself. */
        const uint32_t first_b = b[k] == SC_NO_NODE ? (uint32_t)k : b[k];
        const uint32_t places[] = {d->pairs[pairs[first_a]].pair.a,
                                   d->pairs[pairs[first_b]].pair.b};
        const uint64_t hash = sc_hash(places, sizeof places);
        size_t probe = 0;
        uint32_t found;
        while ((found = sc_index_next(&index, hash, &probe)) != UINT32_MAX) {
            const uint32_t fa = a[found] == SC_NO_NODE ? found : a[found];
            const uint32_t fb = b[found] == SC_NO_NODE ? found : b[found];
            if (d->pairs[pairs[fa]].pair.a == places[0] && d->pairs[pairs[fb]].pair.b == places[1])
                break;
        }
        if (found != UINT32_MAX)
            d->pairs[pairs[k]].same = pairs[found];
        else
            code = sc_index_put(&index, hash, (uint32_t)k, r->e);
    }
    sc_index_clear(&index);
    free(pairs);
    free(tensors);
    free(a);
    free(b);
    return code;
}
