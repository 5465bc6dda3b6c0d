/* SPDX-License-Identifier: Apache-2.0 */
/* word: one piece to tokens, from a cache of short words where it can.
 *
 * The cache has two places a hash and forgets what stood there before. What a word becomes depends
 * on its bytes alone, so the cache changes nothing but the time. */
#include "text/parts.h"

#include <string.h>

int sc_word_put(struct sc_encoder *en, uint32_t id, size_t begin, size_t end)
{
    if (en->n_word == en->word_cap)
        TRY(sc_grow(&en->word, &en->word_cap, en->n_word + 1, sizeof *en->word, en->e));
    en->word[en->n_word++] = (struct sc_word_token){id, begin, end};
    return 0;
}

static int append(struct sc_encoder *en, const struct sc_slice *s, uint32_t id, size_t begin,
                  size_t end)
{
    struct sc_tokens *out = en->out;
    struct sc_token token = {.id = id};

    if (out->n == out->cap)
        TRY(sc_grow(&out->p, &out->cap, out->n + 1, sizeof *out->p, en->e));
    if (end <= begin) {
        token.from = token.to =
            s->n ? sc_slice_align(s, SC_MIN(begin, s->n - 1)).to : (uint32_t)s->base;
    } else if (!s->align) {
        while (begin && ((uint8_t)s->p[begin] & 0xC0) == 0x80)
            begin--;
        while (end < s->n && ((uint8_t)s->p[end] & 0xC0) == 0x80)
            end++;
        token.from = (uint32_t)(s->base + begin);
        token.to = (uint32_t)(s->base + end);
    } else {
        token.from = s->align[begin].from;
        token.to = s->align[end - 1].to;
    }
    out->p[out->n++] = token;
    return 0;
}

static int encode(struct sc_encoder *en, struct sc_str s)
{
    en->n_word = 0;
    switch (en->t->kind) {
    case SC_KIND_BPE:
        return sc_bpe_word(en, s);
    case SC_KIND_WORDPIECE:
        return sc_wordpiece_word(en, s);
    case SC_KIND_UNIGRAM:
        return sc_unigram_word(en, s);
    case SC_KIND_WORDLEVEL:
        return sc_wordlevel_word(en, s);
    }
    return 0;
}

/* The bytes of a word of up to SC_CACHE_BYTES as three numbers; together with the length they tell
 * all words apart. Where the text goes on behind the word its bytes are read and masked away: no
 * branch depends on the length then. */
static inline uint64_t first_bytes(const uint8_t *p, size_t n, size_t room)
{
    if (n >= 8)
        return sc_le64(p);
    if (room >= 8)
        return sc_le64(p) & ((UINT64_C(1) << 8 * n) - 1);
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static inline void key_of(const struct sc_slice *s, uint64_t key[3])
{
    const uint8_t *p = (const uint8_t *)s->p;
    key[0] = first_bytes(p, s->n, s->room);
    key[1] = s->n > 8 ? first_bytes(p + 8, s->n - 8, s->room - 8) : 0;
    key[2] = s->n > 16 ? first_bytes(p + 16, s->n - 16, s->room - 16) : 0;
}

/* The set of a word: two places. */
static inline struct sc_cached *set_of(const struct sc_encoder *en, const uint64_t key[3], size_t n)
{
    uint64_t h = (key[0] ^ (uint64_t)n) * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ (h >> 32) ^ key[1]) * UINT64_C(0xC2B2AE3D27D4EB4F);
    h = (h ^ (h >> 29) ^ key[2]) * UINT64_C(0x165667B19E3779F9);
    return &en->cache[h >> (64 - SC_CACHE_BITS) & ~UINT64_C(1)];
}

/* The tokens of en->word. */
static int append_word(struct sc_encoder *en, const struct sc_slice *s)
{
    for (size_t i = 0; i < en->n_word; i++)
        TRY(append(en, s, en->word[i].id, en->word[i].begin, en->word[i].end));
    return 0;
}

static int encode_long(struct sc_encoder *en, const struct sc_slice *s)
{
    TRY(encode(en, sc_str(s->p, s->n)));
    return append_word(en, s);
}

/* Encodes a word and keeps it in *c where it fits. */
static int encode_new(struct sc_encoder *en, const struct sc_word_ahead *w, struct sc_cached *c)
{
    TRY(encode(en, sc_str(w->s.p, w->s.n)));
    const bool fits = en->n_word <= SC_CACHE_TOKENS;
    if (fits) {
        memcpy(c->key, w->key, sizeof c->key);
        c->length = (uint8_t)w->s.n;
        c->n = (uint8_t)en->n_word;
    }
    for (size_t i = 0; fits && i < en->n_word; i++) {
        c->ids[i] = en->word[i].id;
        c->begins[i] = (uint8_t)en->word[i].begin;
        c->ends[i] = (uint8_t)en->word[i].end;
    }
    return append_word(en, &w->s);
}

static inline bool is_kept(const struct sc_cached *c, const struct sc_word_ahead *w)
{
    return c->length == w->s.n && c->key[0] == w->key[0] && c->key[1] == w->key[1] &&
           c->key[2] == w->key[2];
}

static int encode_cached(struct sc_encoder *en, const struct sc_word_ahead *w)
{
    struct sc_cached *c = w->set;

    if (!is_kept(c, w)) { /* what was used last but one goes first, or out */
        const struct sc_cached second = c[1];
        c[1] = c[0];
        c[0] = second;
        if (!is_kept(c, w)) {
            c->length = 0;
            return encode_new(en, w, c);
        }
    }
    for (unsigned i = 0; i < c->n; i++)
        TRY(append(en, &w->s, c->ids[i], c->begins[i], c->ends[i]));
    if (w->place && c->n == 1 && c->begins[0] == 0 && c->ends[0] == w->s.n)
        *w->place = (struct sc_short_word){w->key[0], (uint32_t)w->s.n, c->ids[0]};
    return 0;
}

/* The caches are larger than what is near the processor: a word waits with others while its places
 * come, first the one that most words are found in, then, for those that are not, the other. */
int sc_word_flush(struct sc_encoder *en)
{
    const size_t n = en->n_ahead;
    en->n_ahead = 0;
    for (size_t i = 0; i < n; i++) {
        struct sc_word_ahead *w = &en->ahead[i];
        w->known = w->place && w->place->length == w->s.n && w->place->key == w->key[0];
        if (w->known) {
            w->id = w->place->id;
        } else if (w->s.n <= SC_CACHE_BYTES) {
            w->set = set_of(en, w->key, w->s.n);
            __builtin_prefetch(w->set);
            __builtin_prefetch(w->set + 1);
        }
    }
    for (size_t i = 0; i < n; i++) {
        const struct sc_word_ahead *w = &en->ahead[i];
        TRY(w->known                   ? append(en, &w->s, w->id, 0, w->s.n)
            : w->s.n <= SC_CACHE_BYTES ? encode_cached(en, w)
                                       : encode_long(en, &w->s));
    }
    return 0;
}

static int put_ahead(struct sc_encoder *en, const struct sc_slice *s, size_t from, size_t to)
{
    if (en->n_ahead == SC_WORDS_AHEAD)
        TRY(sc_word_flush(en));
    struct sc_word_ahead *w = &en->ahead[en->n_ahead++];
    w->s = sc_slice_part(s, from, to);
    w->place = NULL;
    if (to - from > SC_CACHE_BYTES)
        return 0;
    key_of(&w->s, w->key);
    if (to - from <= 8) {
        const uint64_t h = (w->key[0] + (to - from)) * UINT64_C(0x9E3779B97F4A7C15);
        w->place = &en->shorts[h >> (64 - SC_SHORT_BITS)];
        __builtin_prefetch(w->place);
    }
    return 0;
}

/* Whether what is before `at` and what is from there on never merge. */
static inline bool is_cut(const struct sc_bpe *b, const struct sc_slice *s, size_t at, size_t to)
{
    const uint8_t left = (uint8_t)s->p[at - 1], right = (uint8_t)s->p[at];
    if (right < 128)
        return left < 128 && b->apart[left][right];
    return sc_is_blank_mark(s->p + at, to - at) && !b->crossed[left];
}

int sc_word(struct sc_encoder *en, const struct sc_slice *s, size_t from, size_t to)
{
    const struct sc_bpe *b = &en->t->bpe;
    size_t begin = from;

    if (en->t->kind != SC_KIND_BPE || !b->cuts)
        return put_ahead(en, s, from, to);
    for (size_t at = from + 1; at < to; at++)
        if (is_cut(b, s, at, to)) {
            TRY(put_ahead(en, s, begin, at));
            begin = at;
        }
    return put_ahead(en, s, begin, to);
}
