/* SPDX-License-Identifier: Apache-2.0 */
/* word: one piece to tokens, from a cache of short words where it can.
 *
 * The cache has one place a hash and forgets what stood there before. What a word becomes depends
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

/* The bytes of a short word as three numbers; together with the length they tell all words apart.
 */
static inline void key_of(struct sc_str s, uint64_t key[3])
{
    const uint8_t *p = (const uint8_t *)s.p;
    const size_t n = s.n;
    key[0] = key[1] = key[2] = 0;
    if (n >= 8) {
        key[0] = sc_le64(p);
        if (n >= 16) {
            key[1] = sc_le64(p + 8);
            if (n > 16)
                key[2] = sc_le64(p + n - 8) >> (8 * (24 - n));
        } else if (n > 8) {
            key[1] = sc_le64(p + n - 8) >> (8 * (16 - n));
        }
    } else if (n >= 4) {
        key[0] = sc_le32(p) | (uint64_t)sc_le32(p + n - 4) << (8 * (n - 4));
    } else {
        key[0] = p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) | (uint64_t)p[n - 1] << (8 * (n - 1));
    }
}

static inline struct sc_cached *place_of(struct sc_encoder *en, const uint64_t key[3], size_t n)
{
    uint64_t h = (key[0] ^ (uint64_t)n) * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ (h >> 32) ^ key[1]) * UINT64_C(0xC2B2AE3D27D4EB4F);
    h = (h ^ (h >> 29) ^ key[2]) * UINT64_C(0x165667B19E3779F9);
    return &en->cache[h >> (64 - SC_CACHE_BITS)];
}

static int encode_cached(struct sc_encoder *en, const struct sc_slice *s)
{
    uint64_t key[3];

    key_of(sc_str(s->p, s->n), key);
    struct sc_cached *c = place_of(en, key, s->n);
    if (c->length == s->n && c->key[0] == key[0] && c->key[1] == key[1] && c->key[2] == key[2]) {
        for (unsigned i = 0; i < c->n; i++)
            TRY(append(en, s, c->ids[i], c->begins[i], c->ends[i]));
        return 0;
    }
    TRY(encode(en, sc_str(s->p, s->n)));
    const bool fits = en->n_word <= SC_CACHE_TOKENS;
    if (fits) {
        memcpy(c->key, key, sizeof c->key);
        c->length = (uint8_t)s->n;
        c->n = (uint8_t)en->n_word;
    }
    for (size_t i = 0; i < en->n_word; i++) {
        if (fits) {
            c->ids[i] = en->word[i].id;
            c->begins[i] = (uint8_t)en->word[i].begin;
            c->ends[i] = (uint8_t)en->word[i].end;
        }
        TRY(append(en, s, en->word[i].id, en->word[i].begin, en->word[i].end));
    }
    return 0;
}

static int encode_any(struct sc_encoder *en, const struct sc_slice *s)
{
    if (s->n <= SC_CACHE_BYTES)
        return encode_cached(en, s);
    TRY(encode(en, sc_str(s->p, s->n)));
    for (size_t i = 0; i < en->n_word; i++)
        TRY(append(en, s, en->word[i].id, en->word[i].begin, en->word[i].end));
    return 0;
}

int sc_word(struct sc_encoder *en, const struct sc_slice *s)
{
    static const char space[] = "\xe2\x96\x81";
    const struct sc_bpe *b = &en->t->bpe;
    size_t begin = 0;

    if (en->t->kind != SC_KIND_BPE || !b->cut_spaces)
        return encode_any(en, s);
    for (const char *p = s->p; (p = memchr(p, space[0], s->n - (size_t)(p - s->p))); p++) {
        const size_t at = (size_t)(p - s->p);
        if (at == begin || s->n - at < 3 || memcmp(p, space, 3) != 0 || b->crossed[(uint8_t)p[-1]])
            continue;
        const struct sc_slice part = sc_slice_part(s, begin, at);
        TRY(encode_any(en, &part));
        begin = at;
    }
    const struct sc_slice part = sc_slice_part(s, begin, s->n);
    return part.n ? encode_any(en, &part) : 0;
}
