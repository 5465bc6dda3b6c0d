/* SPDX-License-Identifier: Apache-2.0 */
/* bpe: byte-pair encoding of one piece.
 *
 * Of all neighbours that may merge the pair with the lowest rank does, the leftmost of several,
 * until none is left. Short pieces look through all their pairs each time; longer ones keep them in
 * a heap, so that a piece of n symbols costs n log n. */
#include "text/parts.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT = 24 };
#define NONE UINT32_MAX

/* Sets of small numbers, a bit each. */
static bool has_bit(const uint8_t *set, size_t id)
{
    return set[id >> 3] >> (id & 7) & 1;
}

static void put_bit(uint8_t *set, size_t id)
{
    set[id >> 3] |= (uint8_t)(1u << (id & 7));
}

/* -------------------------------------------------------------------------------------- merges ---
 */
static uint64_t merge_hash(uint64_t key)
{
    return key * UINT64_C(0x9E3779B97F4A7C15);
}

static size_t merge_place(const struct sc_bpe *b, uint64_t key)
{
    return (size_t)(merge_hash(key) >> (64 - b->bits));
}

/* The bit of a pair in `maybe`: 8 bits a place of the table, so that most pairs that do not merge
 * are known without a look at the table, which is larger than what is near the processor. */
static size_t maybe_bit(const struct sc_bpe *b, uint64_t key)
{
    return (size_t)(merge_hash(key) >> (64 - b->bits - 3));
}

const struct sc_merge *sc_bpe_find(const struct sc_bpe *b, uint32_t left, uint32_t right)
{
    const uint64_t key = (uint64_t)left << 32 | right;
    if (!b->merges)
        return NULL;
    const size_t bit = maybe_bit(b, key);
    if (!has_bit(b->maybe, bit))
        return NULL;
    for (size_t at = merge_place(b, key);; at = (at + 1) & ((UINT64_C(1) << b->bits) - 1)) {
        if (b->merges[at].key == key)
            return &b->merges[at];
        if (b->merges[at].key == UINT64_MAX)
            return NULL;
    }
}

int sc_bpe_reserve(struct sc_bpe *b, size_t n, struct sc_error *e)
{
    b->bits = 4;
    while ((UINT64_C(1) << b->bits) < (uint64_t)n + n / 2)
        b->bits++;
    free(b->merges);
    free(b->maybe);
    b->merges = sc_alloc(sizeof *b->merges << b->bits);
    b->maybe = sc_calloc((size_t)1 << b->bits, 1);
    if (!b->merges || !b->maybe)
        return sc_fail_memory(e);
    memset(b->merges, 0xFF, sizeof *b->merges << b->bits);
    return 0;
}

void sc_bpe_put(struct sc_bpe *b, uint32_t left, uint32_t right, uint32_t rank, uint32_t id)
{
    const uint64_t key = (uint64_t)left << 32 | right;
    size_t at = merge_place(b, key);
    while (b->merges[at].key != key && b->merges[at].key != UINT64_MAX)
        at = (at + 1) & ((UINT64_C(1) << b->bits) - 1);
    b->n_merges += b->merges[at].key != key;
    b->merges[at] = (struct sc_merge){key, rank, id};
    const size_t bit = maybe_bit(b, key);
    put_bit(b->maybe, bit);
}

/* Whether a merge has a part of `unspelled`: tokens that do not stand in the text as they are
 * spelled. And which tokens merges make. */
static bool look_at_merges(const struct sc_bpe *b, const uint8_t *unspelled, uint8_t *made)
{
    bool found = false;
    for (size_t i = 0; b->merges && i < (size_t)1 << b->bits; i++) {
        const uint64_t key = b->merges[i].key;
        if (key == UINT64_MAX)
            continue;
        found |= has_bit(unspelled, (uint32_t)(key >> 32)) || has_bit(unspelled, (uint32_t)key);
        put_bit(made, b->merges[i].id);
    }
    return found;
}

/* What is next to each other in the pieces that merges make may meet; what is not never does. */
static void note_neighbours(struct sc_bpe *b, struct sc_str s)
{
    for (size_t k = 1; k < s.n; k++) {
        const uint8_t left = (uint8_t)s.p[k - 1], right = (uint8_t)s.p[k];
        if (left < 128 && right < 128)
            b->apart[left][right] = false;
        if (sc_is_blank_mark(s.p + k, s.n - k))
            b->crossed[left] = true;
    }
}

/* Where no merge reaches over, what is before and what is behind never meet, and are encoded one by
 * one: before the "▁" of most words, and between most letters and what is none. Only where each
 * character becomes a symbol whatever stands beside it: those that are known or, with a token for
 * each byte, all. */
static int find_cuts(struct sc_tokenizer *t, struct sc_error *e)
{
    struct sc_bpe *b = &t->bpe;
    const size_t bytes = t->vocab.n / 8 + 1;
    bool all_bytes = b->byte_fallback;

    for (unsigned i = 0; i < 256; i++)
        all_bytes &= b->byte_ids[i] != SC_NO_ID;
    if (t->bytes || b->suffix.n || b->prefix.n || b->ignore_merges ||
        (!all_bytes && t->unk == SC_NO_ID))
        return 0;
    uint8_t *made = sc_calloc(bytes, 2), *unspelled = made ? made + bytes : NULL;
    if (!made)
        return sc_fail_memory(e);
    for (unsigned i = 0; i < 256; i++)
        if (b->byte_ids[i] != SC_NO_ID)
            put_bit(unspelled, b->byte_ids[i]);
    if (t->unk < t->vocab.n)
        put_bit(unspelled, t->unk);
    b->cuts = !look_at_merges(b, unspelled, made);
    const bool mark_known = sc_vocab_find(&t->vocab, SC_STR(SC_BLANK_MARK)) != SC_NO_ID;
    for (unsigned i = 0; i < 256; i++)
        b->crossed[i] = !mark_known;
    for (unsigned i = 0; i < 128; i++)
        for (unsigned k = 0; k < 128; k++)
            b->apart[i][k] =
                all_bytes || (b->ascii_ids[i] != SC_NO_ID && b->ascii_ids[k] != SC_NO_ID);
    for (uint32_t id = 0; b->cuts && id < t->vocab.n; id++)
        if (has_bit(made, id))
            note_neighbours(b, t->vocab.pieces[id]);
    free(made);
    return 0;
}

int sc_bpe_finish(struct sc_tokenizer *t, struct sc_error *e)
{
    struct sc_bpe *b = &t->bpe;
    for (unsigned i = 0; i < 256; i++) {
        char name[8];
        static const char digits[] = "0123456789ABCDEF";
        if (t->bytes) {
            const size_t n = sc_utf8_encode(sc_byte_point((uint8_t)i), name);
            b->byte_ids[i] = sc_vocab_find(&t->vocab, sc_str(name, n));
        } else {
            memcpy(name, "<0x00>", 6);
            name[3] = digits[i >> 4];
            name[4] = digits[i & 15];
            b->byte_ids[i] = sc_vocab_find(&t->vocab, sc_str(name, 6));
        }
        if (i < 128) {
            name[0] = (char)i;
            b->ascii_ids[i] = sc_vocab_find(&t->vocab, sc_str(name, 1));
        }
    }
    return find_cuts(t, e);
}

/* ------------------------------------------------------------------------------------- symbols ---
 */
struct making {
    struct sc_encoder *en;
    size_t n;
    bool pending; /* an unknown token that may yet grow */
    uint32_t pending_length;
};

static int add(struct making *m, uint32_t id, uint32_t length)
{
    struct sc_encoder *en = m->en;
    if (m->n == en->symbols_cap)
        TRY(sc_grow(&en->symbols, &en->symbols_cap, m->n + 1, sizeof *en->symbols, en->e));
    en->symbols[m->n++] = (struct sc_symbol_part){.id = id, .length = length};
    return 0;
}

static int flush(struct making *m)
{
    const bool pending = m->pending;
    m->pending = false;
    return pending ? add(m, m->en->t->unk, m->pending_length) : 0;
}

/* A character that has no token: its bytes, if all of them have, else the unknown token. Bytes do
 * not flush an unknown token that is pending, as in the Rust tokenizers. */
static int unknown(struct making *m, struct sc_str s, uint32_t length)
{
    const struct sc_tokenizer *t = m->en->t;
    bool all = t->bpe.byte_fallback;
    for (size_t i = 0; all && i < s.n; i++)
        all = t->bpe.byte_ids[(uint8_t)s.p[i]] != SC_NO_ID;
    for (size_t i = 0; all && i < s.n; i++)
        TRY(add(m, t->bpe.byte_ids[(uint8_t)s.p[i]], 1));
    if (all || t->unk == SC_NO_ID)
        return 0;
    if (m->pending && t->bpe.fuse_unk) {
        m->pending_length += length;
        return 0;
    }
    TRY(flush(m));
    m->pending = true;
    m->pending_length = length;
    return 0;
}

/* A character with what stands around it in the vocabulary: "##x", "x</w>". */
static struct sc_str decorate(const struct sc_bpe *b, struct sc_str c, bool first, bool last,
                              char *out)
{
    size_t n = 0;
    if (!first && b->prefix.n) {
        memcpy(out, b->prefix.p, b->prefix.n);
        n = b->prefix.n;
    }
    memcpy(out + n, c.p, c.n);
    n += c.n;
    if (last && b->suffix.n) {
        memcpy(out + n, b->suffix.p, b->suffix.n);
        n += b->suffix.n;
    }
    return sc_str(out, n);
}

static int make_chars(struct making *m, struct sc_str s)
{
    const struct sc_tokenizer *t = m->en->t;
    const struct sc_bpe *b = &t->bpe;
    const bool decorated = b->prefix.n || b->suffix.n;
    char name[160]; /* prefix and suffix have at most 64 bytes */

    for (size_t i = 0; i < s.n;) {
        uint32_t c, id;
        const size_t length = sc_uc_next(s.p + i, &c);
        struct sc_str symbol = sc_str(s.p + i, length);
        if (decorated)
            symbol = decorate(b, symbol, i == 0, i + length == s.n, name);
        id = c < 128 && !decorated ? b->ascii_ids[c] : sc_vocab_find(&t->vocab, symbol);
        if (id != SC_NO_ID) {
            TRY(flush(m));
            TRY(add(m, id, (uint32_t)length));
        } else {
            TRY(unknown(m, symbol, (uint32_t)length));
        }
        i += length;
    }
    return flush(m);
}

/* Bytes in place of the characters that stand for them; those of one character are one when it is
 * unknown. */
static int make_bytes(struct making *m, struct sc_str s)
{
    const struct sc_tokenizer *t = m->en->t;
    for (size_t i = 0; i < s.n; i++) {
        const uint32_t id = t->bpe.byte_ids[(uint8_t)s.p[i]];
        if (id != SC_NO_ID) {
            TRY(flush(m));
            TRY(add(m, id, 1));
        } else if (t->unk != SC_NO_ID) {
            if (m->pending && t->bpe.fuse_unk) {
                m->pending_length++;
                continue;
            }
            TRY(flush(m));
            m->pending = true;
            m->pending_length = 1;
        }
    }
    return flush(m);
}

/* ------------------------------------------------------------------------------------- merging ---
 */
static size_t merge_short(struct sc_encoder *en, size_t n)
{
    const struct sc_bpe *b = &en->t->bpe;
    struct sc_symbol_part *p = en->symbols;
    const struct sc_merge *found[SHORT];

    for (size_t i = 0; i + 1 < n; i++)
        found[i] = sc_bpe_find(b, p[i].id, p[i + 1].id);
    for (;;) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i + 1 < n; i++)
            if (found[i] && (best == SIZE_MAX || found[i]->rank < found[best]->rank))
                best = i;
        if (best == SIZE_MAX)
            return n;
        p[best].id = found[best]->id;
        p[best].length += p[best + 1].length;
        memmove(p + best + 1, p + best + 2, (n - best - 2) * sizeof *p);
        if (best + 2 < n)
            memmove(found + best + 1, found + best + 2, (n - best - 3) * sizeof *found);
        n--;
        if (best + 1 < n)
            found[best] = sc_bpe_find(b, p[best].id, p[best + 1].id);
        if (best > 0)
            found[best - 1] = sc_bpe_find(b, p[best - 1].id, p[best].id);
    }
}

static bool sooner(struct sc_heap_item a, struct sc_heap_item b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static int heap_push(struct sc_encoder *en, size_t *n, struct sc_heap_item item)
{
    if (*n == en->heap_cap)
        TRY(sc_grow(&en->heap, &en->heap_cap, *n + 1, sizeof *en->heap, en->e));
    size_t at = (*n)++;
    for (; at && sooner(item, en->heap[(at - 1) / 2]); at = (at - 1) / 2)
        en->heap[at] = en->heap[(at - 1) / 2];
    en->heap[at] = item;
    return 0;
}

static struct sc_heap_item heap_pop(struct sc_encoder *en, size_t *n)
{
    const struct sc_heap_item top = en->heap[0], item = en->heap[--*n];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < *n; at = child) {
        if (child + 1 < *n && sooner(en->heap[child + 1], en->heap[child]))
            child++;
        if (!sooner(en->heap[child], item))
            break;
        en->heap[at] = en->heap[child];
    }
    en->heap[at] = item;
    return top;
}

static int consider(struct sc_encoder *en, size_t *n, uint32_t at)
{
    const struct sc_symbol_part *p = en->symbols;
    if (at == NONE || p[at].after == NONE)
        return 0;
    const struct sc_merge *m = sc_bpe_find(&en->t->bpe, p[at].id, p[p[at].after].id);
    return m ? heap_push(en, n, (struct sc_heap_item){m->rank, at, m->id}) : 0;
}

static int merge_long(struct sc_encoder *en, size_t *n_symbols)
{
    struct sc_symbol_part *p = en->symbols;
    const size_t n = *n_symbols;
    size_t n_heap = 0, kept = 0;

    for (size_t i = 0; i < n; i++) {
        p[i].before = i ? (uint32_t)i - 1 : NONE;
        p[i].after = i + 1 < n ? (uint32_t)i + 1 : NONE;
    }
    for (size_t i = 0; i + 1 < n; i++)
        TRY(consider(en, &n_heap, (uint32_t)i));
    while (n_heap) {
        const struct sc_heap_item top = heap_pop(en, &n_heap);
        const uint32_t at = top.at, next = p[at].after;
        if (p[at].length == 0 || next == NONE)
            continue;
        const struct sc_merge *m = sc_bpe_find(&en->t->bpe, p[at].id, p[next].id);
        if (!m || m->id != top.id || m->rank != top.rank)
            continue; /* one of the two has merged meanwhile */
        p[at].id = m->id;
        p[at].length += p[next].length;
        p[at].after = p[next].after;
        p[next].length = 0;
        if (p[at].after != NONE)
            p[p[at].after].before = at;
        TRY(consider(en, &n_heap, p[at].before));
        TRY(consider(en, &n_heap, at));
    }
    for (size_t i = 0; i < n; i++)
        if (p[i].length)
            p[kept++] = p[i];
    *n_symbols = kept;
    return 0;
}

/* The whole piece as one token, by its spelling. */
static int whole(struct sc_encoder *en, struct sc_str s, uint32_t *id)
{
    size_t n = 0;
    *id = SC_NO_ID;
    if (!en->t->bytes) {
        *id = sc_vocab_find(&en->t->vocab, s);
        return 0;
    }
    if (s.n > SC_MAX_TOKEN_BYTES)
        return 0;
    if (en->spelled_cap < 2 * s.n)
        TRY(sc_grow(&en->spelled, &en->spelled_cap, 2 * s.n, 1, en->e));
    for (size_t i = 0; i < s.n; i++)
        n += sc_utf8_encode(sc_byte_point((uint8_t)s.p[i]), en->spelled + n);
    *id = sc_vocab_find(&en->t->vocab, sc_str(en->spelled, n));
    return 0;
}

int sc_bpe_word(struct sc_encoder *en, struct sc_str s)
{
    struct making m = {.en = en};
    size_t end = 0;

    if (en->t->bpe.ignore_merges) {
        uint32_t id;
        TRY(whole(en, s, &id));
        if (id != SC_NO_ID)
            return sc_word_put(en, id, 0, s.n);
    }
    TRY(en->t->bytes ? make_bytes(&m, s) : make_chars(&m, s));
    if (m.n <= SHORT)
        m.n = m.n > 1 ? merge_short(en, m.n) : m.n;
    else
        TRY(merge_long(en, &m.n));
    for (size_t i = 0; i < m.n; i++) {
        const size_t begin = end;
        end = SC_MIN(end + en->symbols[i].length, s.n);
        TRY(sc_word_put(en, en->symbols[i].id, begin, end));
    }
    return 0;
}
