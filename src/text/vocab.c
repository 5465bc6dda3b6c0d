/* SPDX-License-Identifier: Apache-2.0 */
/* vocab: tokens by id and by spelling, and tries. */
#include "text/parts.h"

#include <stdlib.h>
#include <string.h>

int sc_vocab_put(struct sc_vocab *v, struct sc_str piece, uint32_t id, struct sc_error *e)
{
    const size_t before = v->n;
    if (id >= SC_MAX_TOKENS)
        return sc_fail(e, SCRUPLE_ELIMIT, "a token has the id %u, the limit is %d", id,
                       SC_MAX_TOKENS);
    if (piece.n > SC_MAX_TOKEN_BYTES)
        return sc_fail(e, SCRUPLE_ELIMIT, "a token has %zu bytes, the limit is %d", piece.n,
                       SC_MAX_TOKEN_BYTES);
    if (id >= v->n) {
        TRY(sc_grow(&v->pieces, &v->cap, (size_t)id + 1, sizeof *v->pieces, e));
        memset(v->pieces + before, 0, ((size_t)id + 1 - before) * sizeof *v->pieces);
        v->n = (size_t)id + 1;
    }
    v->count += v->pieces[id].p == NULL;
    v->pieces[id] = piece;
    return sc_index_put(&v->index, sc_hash(piece.p, piece.n), id, e);
}

/* Of several with one spelling the one that was put last: so a list that repeats itself is read in
 * Rust. */
uint32_t sc_vocab_find(const struct sc_vocab *v, struct sc_str piece)
{
    uint32_t found = SC_NO_ID;
    size_t probe = 0;
    if (!v->n)
        return SC_NO_ID;
    const uint64_t hash = sc_hash(piece.p, piece.n);
    for (uint32_t id; (id = sc_index_next(&v->index, hash, &probe)) != UINT32_MAX;)
        if (sc_str_eq(v->pieces[id], piece))
            found = id;
    return found;
}

void sc_vocab_clear(struct sc_vocab *v)
{
    free(v->pieces);
    sc_index_clear(&v->index);
    *v = (struct sc_vocab){0};
}

/* --------------------------------------------------------------------------------------- tries ---
 */
static size_t place(const struct sc_trie *t, uint64_t key)
{
    return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 24) & (t->cap - 1);
}

static size_t look(const struct sc_trie *t, uint64_t key)
{
    size_t at = place(t, key);
    while (t->slot[at] && t->slot[at] >> 32 != key)
        at = (at + 1) & (t->cap - 1);
    return at;
}

uint32_t sc_trie_step(const struct sc_trie *t, uint32_t node, uint8_t byte)
{
    if (node == 0)
        return t->root[byte];
    if (!t->cap)
        return 0;
    return (uint32_t)t->slot[look(t, (uint64_t)node << 8 | byte)];
}

static int grow(struct sc_trie *t, struct sc_error *e)
{
    const struct sc_trie old = *t;
    if ((t->n_edges + 1) * 2 <= t->cap)
        return 0;
    t->cap = old.cap ? old.cap * 2 : 1024;
    t->slot = sc_calloc(t->cap, sizeof *t->slot);
    if (!t->slot) {
        *t = old;
        return sc_fail_memory(e);
    }
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i])
            t->slot[look(t, old.slot[i] >> 32)] = old.slot[i];
    free(old.slot);
    return 0;
}

static int new_node(struct sc_trie *t, uint32_t *out, struct sc_error *e)
{
    if (t->n_nodes == 0)
        t->n_nodes = 1; /* the root */
    if (t->n_nodes >= 1u << 24)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "the tokens of a vocabulary have more than 2^24 beginnings");
    TRY(sc_grow(&t->value, &t->value_cap, (size_t)t->n_nodes + 1, sizeof *t->value, e));
    t->value[0] = SC_NO_ID;
    t->value[t->n_nodes] = SC_NO_ID;
    *out = t->n_nodes++;
    return 0;
}

int sc_trie_put(struct sc_trie *t, struct sc_str s, uint32_t value, struct sc_error *e)
{
    uint32_t node = 0;
    if (!s.n)
        return 0;
    for (size_t i = 0; i < s.n; i++) {
        const uint8_t byte = (uint8_t)s.p[i];
        uint32_t next = sc_trie_step(t, node, byte);
        if (!next) {
            TRY(new_node(t, &next, e));
            if (node == 0) {
                t->root[byte] = next;
                t->first = byte;
                t->n_first++;
            } else {
                TRY(grow(t, e));
                const uint64_t key = (uint64_t)node << 8 | byte;
                t->slot[look(t, key)] = key << 32 | next;
                t->n_edges++;
            }
        }
        node = next;
    }
    t->value[node] = value;
    return 0;
}

void sc_trie_clear(struct sc_trie *t)
{
    free(t->slot);
    free(t->value);
    *t = (struct sc_trie){0};
}
