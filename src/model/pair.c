/* SPDX-License-Identifier: Apache-2.0 */
/* pair: which tensor of one model is which of another.
 *
 * Rules are tried one after the other, each on what the ones before it left over. A rule gives
 * every tensor a key; keys that exactly one tensor of either side has make a pair. */
#include "model/pair.h"

#include <stdlib.h>
#include <string.h>

/* Dimensions that are not 1, in their order. */
static size_t squeeze(const struct sc_tensor *t, uint64_t out[SC_MAX_RANK])
{
    size_t n = 0;

    for (size_t i = 0; i < t->rank; i++)
        if (t->shape[i] != 1)
            out[n++] = t->shape[i];
    return n;
}

bool sc_same_shape(const struct sc_tensor *a, const struct sc_tensor *b)
{
    uint64_t dims_a[SC_MAX_RANK], dims_b[SC_MAX_RANK];
    const size_t n = squeeze(a, dims_a);

    return n == squeeze(b, dims_b) && memcmp(dims_a, dims_b, n * sizeof *dims_a) == 0;
}

/* ---------------------------------------------------------------------------------- rules --- */
static int compare_keys(const void *x, const void *y)
{
    const struct sc_keyed *a = x, *b = y;
    const int by_key = sc_str_cmp(a->key, b->key);

    if (by_key)
        return by_key;
    if (a->side != b->side)
        return a->side < b->side ? -1 : 1;
    return a->tensor < b->tensor ? -1 : a->tensor > b->tensor;
}

/* The name without its first `words` words; empty: it has no more than those. */
static struct sc_str without_words(struct sc_str name, unsigned words)
{
    for (; words > 0; words--) {
        const char *dot = name.n ? memchr(name.p, '.', name.n) : NULL;
        if (!dot)
            return sc_str(NULL, 0);
        name = sc_str(dot + 1, (size_t)(name.p + name.n - dot - 1));
    }
    return name;
}

/* What one rule calls a tensor. */
struct naming {
    enum sc_pair_rule rule;
    unsigned drop[SIDES]; /* leading words */
};

static size_t collect(struct sc_pairing *p, const struct naming *by)
{
    size_t n = 0;

    for (unsigned side = 0; side < SIDES; side++)
        for (uint32_t i = 0; i < p->model[side]->n_tensors; i++) {
            if (p->mate[side][i] != SC_NO_NODE || (p->undo && p->parted[side][i]))
                continue;
            const struct sc_str key = by->rule == SC_PAIR_BY_NAME
                                          ? sc_tensor_name(&p->model[side]->tensors[i])
                                          : without_words(p->canonical[side][i], by->drop[side]);
            if (key.n > 0)
                p->keyed[n++] = (struct sc_keyed){key, i, (uint8_t)side};
        }
    return n;
}

static void join(struct sc_pairing *p, uint32_t a, uint32_t b, enum sc_pair_rule rule)
{
    p->mate[SIDE_A][a] = b;
    p->mate[SIDE_B][b] = a;
    p->rule[SIDE_A][a] = (uint8_t)rule;
}

static void apply(struct sc_pairing *p, const struct naming *by)
{
    const size_t n = collect(p, by);
    const struct sc_keyed *k = p->keyed;

    qsort(p->keyed, n, sizeof *p->keyed, compare_keys);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && sc_str_eq(k[i].key, k[end].key);)
            end++;
        if (end - i != 2 || k[i].side == k[i + 1].side)
            continue;
        if (by->rule == SC_PAIR_BY_ENDING &&
            !sc_same_shape(&p->model[SIDE_A]->tensors[k[i].tensor],
                           &p->model[SIDE_B]->tensors[k[i + 1].tensor]))
            continue;
        join(p, k[i].tensor, k[i + 1].tensor, by->rule);
    }
}

static uint32_t find_role(const struct sc_model *m, enum sc_role role)
{
    uint32_t found = SC_NO_NODE;

    for (uint32_t i = 0; i < m->n_tensors; i++)
        if (m->tensors[i].role == role && m->tensors[i].rank == 2 &&
            (m->tensors[i].tower == SC_TOWER_MAIN || m->tensors[i].tower == SC_TOWER_TEXT)) {
            if (found != SC_NO_NODE)
                return SC_NO_NODE;
            found = i;
        }
    return found;
}

/* An output matrix that only one side stores stands against the other side's embedding, unless
 * that side says that the two are not tied. The embedding keeps its own mate. */
static void apply_tying(struct sc_pairing *p)
{
    for (unsigned side = 0; side < SIDES; side++) {
        const struct sc_model *here = p->model[side], *there = p->model[!side];
        const uint32_t output = find_role(here, SC_ROLE_OUTPUT);
        const uint32_t embedding = find_role(there, SC_ROLE_EMBEDDING);
        if (output == SC_NO_NODE || embedding == SC_NO_NODE ||
            p->mate[side][output] != SC_NO_NODE || find_role(there, SC_ROLE_OUTPUT) != SC_NO_NODE ||
            (there->config.has_tied_embeddings && !there->config.tied_embeddings) ||
            !sc_same_shape(&here->tensors[output], &there->tensors[embedding]))
            continue;
        p->mate[side][output] = embedding;
        p->rule[side][output] = SC_PAIR_BY_TYING;
    }
}

/* --------------------------------------------------------------------------------- result --- */
static int name_canonically(struct sc_pairing *p, unsigned side, struct sc_error *e)
{
    const struct sc_model *m = p->model[side];
    struct sc_buf b = {0};
    int code = 0;

    for (size_t i = 0; code == 0 && i < m->n_tensors; i++) {
        b.n = 0;
        sc_canonical_name(sc_tensor_name(&m->tensors[i]), &b);
        const char *copy = b.failed ? NULL : sc_arena_copy(&p->arena, b.p, b.n);
        if (!copy) {
            code = sc_fail_memory(e);
        } else {
            p->canonical[side][i] = sc_str(copy, b.n);
            if (p->undo)
                code = sc_undo_names(p, &p->canonical[side][i], side);
        }
    }
    sc_buf_clear(&b);
    return code;
}

static bool is_gguf(const struct sc_model *m)
{
    return m->n_tensors > 0 &&
           m->catalog->files[m->catalog->entries[m->tensors[0].main].file].format ==
               &sc_format_gguf;
}

/* What undoing needs beside. */
static int prepare_undoing(struct sc_pairing *p, struct sc_error *e)
{
    const bool gguf[SIDES] = {is_gguf(p->model[SIDE_A]), is_gguf(p->model[SIDE_B])};

    p->e = e;
    p->gguf = gguf[SIDE_A] == gguf[SIDE_B] ? -1 : gguf[SIDE_A] ? SIDE_A : SIDE_B;
    p->arch = p->gguf < 0 ? NULL : p->model[p->gguf]->config.architecture;
    const size_t n = p->model[SIDE_A]->n_tensors;
    p->undone = SC_ARENA_NEW(&p->arena, struct sc_undone, n);
    if (!p->undone)
        return sc_fail_memory(e);
    memset(p->undone, 0, n * sizeof *p->undone);
    for (unsigned side = 0; side < SIDES; side++) {
        const size_t m = p->model[side]->n_tensors;
        p->parted[side] = SC_ARENA_NEW(&p->arena, bool, m);
        p->sorted[side] = SC_ARENA_NEW(&p->arena, struct sc_keyed, m);
        if (!p->parted[side] || !p->sorted[side])
            return sc_fail_memory(e);
        memset(p->parted[side], 0, m * sizeof *p->parted[side]);
    }
    return 0;
}

static int prepare(struct sc_pairing *p, struct sc_error *e)
{
    size_t all = 0;

    if (p->undo)
        TRY(prepare_undoing(p, e));
    for (unsigned side = 0; side < SIDES; side++) {
        const size_t n = p->model[side]->n_tensors;
        all += n;
        p->mate[side] = SC_ARENA_NEW(&p->arena, uint32_t, n);
        p->rule[side] = SC_ARENA_NEW(&p->arena, uint8_t, n);
        p->canonical[side] = SC_ARENA_NEW(&p->arena, struct sc_str, n);
        if (!p->mate[side] || !p->rule[side] || !p->canonical[side])
            return sc_fail_memory(e);
        memset(p->mate[side], 0xff, n * sizeof *p->mate[side]);
        memset(p->rule[side], 0, n);
        TRY(name_canonically(p, side, e));
        for (uint32_t i = 0; p->undo && i < n; i++)
            p->sorted[side][i] = (struct sc_keyed){p->canonical[side][i], i, (uint8_t)side};
        if (p->undo && n)
            qsort(p->sorted[side], n, sizeof *p->sorted[side], compare_keys);
    }
    p->keyed = SC_ARENA_NEW(&p->arena, struct sc_keyed, all);
    return p->keyed ? 0 : sc_fail_memory(e);
}

uint32_t sc_pairing_find(const struct sc_pairing *p, unsigned side, struct sc_str name)
{
    const struct sc_keyed *k = p->sorted[side];
    size_t low = 0, high = p->model[side]->n_tensors;
    const size_t n = high;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sc_str_cmp(k[middle].key, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == n || !sc_str_eq(k[low].key, name) ||
        (low + 1 < n && sc_str_eq(k[low + 1].key, name)))
        return SC_NO_NODE;
    return k[low].tensor;
}

static bool matches(const struct sc_pairing *p, const struct sc_filter *f,
                    const struct sc_pair *pair)
{
    return (pair->a != SC_NO_NODE &&
            sc_filter_match(f, sc_tensor_name(&p->model[SIDE_A]->tensors[pair->a]))) ||
           (pair->b != SC_NO_NODE &&
            sc_filter_match(f, sc_tensor_name(&p->model[SIDE_B]->tensors[pair->b])));
}

static void put(struct sc_pairing *p, const struct sc_filter *filter, struct sc_pairs *out,
                struct sc_pair pair)
{
    if (!matches(p, filter, &pair))
        return;
    if (p->undo && pair.status == SC_PAIR_ONLY_A)
        pair.transform = sc_undo_why(p, SIDE_A, pair.a);
    if (p->undo && pair.status == SC_PAIR_ONLY_B)
        pair.transform = sc_undo_why(p, SIDE_B, pair.b);
    out->p[out->n++] = pair;
    out->n_status[pair.status]++;
}

static int compare_parts(const void *x, const void *y)
{
    const struct sc_pair *a = x, *b = y;

    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    return a->b < b->b ? -1 : a->b > b->b;
}

static void list_first(struct sc_pairing *p, const struct sc_filter *filter, struct sc_pairs *out)
{
    const struct sc_model *a = p->model[SIDE_A], *b = p->model[SIDE_B];
    size_t part = 0;

    for (uint32_t i = 0; i < a->n_tensors; i++) {
        struct sc_pair pair = {
            .a = i, .b = p->mate[SIDE_A][i], .status = SC_PAIR_ONLY_A, .rule = p->rule[SIDE_A][i]};
        for (; part < p->n_parts && p->parts[part].a == i; part++)
            put(p, filter, out, p->parts[part]);
        if (p->undo && p->parted[SIDE_A][i])
            continue;
        if (pair.b != SC_NO_NODE)
            pair.status =
                sc_same_shape(&a->tensors[i], &b->tensors[pair.b]) ? SC_PAIR_BOTH : SC_PAIR_SHAPE;
        if (p->undo && pair.b != SC_NO_NODE && p->undone[i].words) {
            pair.status = SC_PAIR_BOTH;
            pair.how_a = p->undone[i].how[SIDE_A];
            pair.how_b = p->undone[i].how[SIDE_B];
            pair.transform = p->undone[i].words;
        }
        put(p, filter, out, pair);
    }
}

static int list(struct sc_pairing *p, const struct sc_filter *filter, struct sc_pairs *out,
                struct sc_error *e)
{
    const struct sc_model *a = p->model[SIDE_A], *b = p->model[SIDE_B];

    out->p = sc_alloc((a->n_tensors + b->n_tensors + p->n_parts) * sizeof *out->p);
    if (!out->p)
        return sc_fail_memory(e);
    if (p->n_parts)
        qsort(p->parts, p->n_parts, sizeof *p->parts, compare_parts);
    list_first(p, filter, out);
    for (uint32_t i = 0; i < b->n_tensors; i++) {
        struct sc_pair pair = {.a = SC_NO_NODE, .b = i, .status = SC_PAIR_ONLY_B};
        if (p->rule[SIDE_B][i] == SC_PAIR_BY_TYING && p->mate[SIDE_B][i] != SC_NO_NODE)
            pair = (struct sc_pair){
                .a = p->mate[SIDE_B][i], .b = i, .status = SC_PAIR_BOTH, .rule = SC_PAIR_BY_TYING};
        else if (p->mate[SIDE_B][i] != SC_NO_NODE || (p->undo && p->parted[SIDE_B][i]))
            continue;
        put(p, filter, out, pair);
    }
    return 0;
}

static int pair_models(struct sc_pairing *p, const struct sc_filter *filter, struct sc_pairs *out,
                       struct sc_error *e)
{
    static const struct naming rules[] = {
        {SC_PAIR_BY_NAME, {0, 0}},   {SC_PAIR_BY_CANONICAL, {0, 0}}, {SC_PAIR_BY_ENDING, {1, 0}},
        {SC_PAIR_BY_ENDING, {0, 1}}, {SC_PAIR_BY_ENDING, {1, 1}},    {SC_PAIR_BY_ENDING, {2, 0}},
        {SC_PAIR_BY_ENDING, {0, 2}},
    };

    memset(out, 0, sizeof *out);
    p->kept = &out->arena;
    TRY(prepare(p, e));
    for (size_t i = 0; i < SC_COUNT(rules); i++) {
        if (p->undo && i == 2) { /* names are known, and nothing was guessed yet */
            TRY(sc_undo_pairs(p));
            TRY(sc_pair_parts(p));
        }
        apply(p, &rules[i]);
    }
    apply_tying(p);
    return list(p, filter, out, e);
}

int sc_models_pair(const struct sc_model *a, const struct sc_model *b,
                   const struct sc_filter *filter, struct sc_pairs *out, struct sc_error *e)
{
    struct sc_pairing p = {.model = {a, b}, .gguf = -1};
    const int code = pair_models(&p, filter, out, e);

    sc_arena_clear(&p.arena);
    return code;
}

int sc_models_match(const struct sc_model *a, const struct sc_model *b,
                    const struct sc_filter *filter, struct sc_pairs *out, struct sc_error *e)
{
    struct sc_pairing p = {.model = {a, b}, .gguf = -1, .undo = true};
    const int code = pair_models(&p, filter, out, e);

    free(p.parts);
    sc_arena_clear(&p.arena);
    return code;
}

void sc_pairs_clear(struct sc_pairs *p)
{
    free(p->p);
    sc_arena_clear(&p->arena);
    memset(p, 0, sizeof *p);
}
