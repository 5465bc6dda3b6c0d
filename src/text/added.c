/* SPDX-License-Identifier: Apache-2.0 */
/* added: tokens that are found in a text before anything else happens to it.
 *
 * At each place the longest counts. `lstrip` and `rstrip` take the white space around them in,
 * `single_word` wants no letter beside them. Those that are `normalized` are looked for once the
 * normalizers are through, and are normalized themselves. */
#include "text/parts.h"

#include <stdlib.h>
#include <string.h>

const struct sc_added *sc_added_of(const struct sc_tokenizer *t, uint32_t id)
{
    return id < t->added_of_n && t->added_of[id] ? &t->added[t->added_of[id] - 1] : NULL;
}

int sc_added_put(struct sc_tokenizer *t, const struct sc_added *a, struct sc_error *e)
{
    const size_t before = t->added_of_n;
    if (a->id >= SC_MAX_TOKENS)
        return sc_fail(e, SCRUPLE_ELIMIT, "an added token has the id %u, the limit is %d", a->id,
                       SC_MAX_TOKENS);
    if (a->content.n > SC_MAX_ADDED_BYTES)
        return sc_fail(e, SCRUPLE_ELIMIT, "an added token has %zu bytes, the limit is %d",
                       a->content.n, SC_MAX_ADDED_BYTES);
    TRY(sc_grow(&t->added, &t->added_cap, t->n_added + 1, sizeof *t->added, e));
    if (a->id >= t->added_of_n) {
        TRY(sc_grow(&t->added_of, &t->added_of_cap, (size_t)a->id + 1, sizeof *t->added_of, e));
        memset(t->added_of + before, 0, ((size_t)a->id + 1 - before) * sizeof *t->added_of);
        t->added_of_n = (size_t)a->id + 1;
    }
    t->added[t->n_added++] = *a;
    t->added_of[a->id] = (uint32_t)t->n_added;
    return 0;
}

/* What an added token looks like in a text that is normalized. */
static int put_normalized(struct sc_encoder *en, struct sc_tokenizer *t, size_t i,
                          struct sc_error *e)
{
    const struct sc_str content = t->added[i].content;
    struct sc_slice s = {.p = content.p, .n = content.n, .room = content.n};
    TRY(sc_normalize(en, &s));
    if (en->too_slow)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "a regular expression of the normalizer takes too long on an added token");
    t->has_tries[1] |= s.n > 0;
    return sc_trie_put(&t->tries[1], sc_str(s.p, s.n), (uint32_t)i, e);
}

int sc_added_finish(struct sc_tokenizer *t, struct sc_error *e)
{
    struct sc_encoder *en;
    TRY(sc_encoder_new(t, &en, e));
    en->e = e;
    int code = 0;
    for (size_t i = 0; code == 0 && i < t->n_added; i++) {
        if (t->added[i].normalized) {
            code = put_normalized(en, t, i, e);
        } else {
            t->has_tries[0] = true;
            code = sc_trie_put(&t->tries[0], t->added[i].content, (uint32_t)i, e);
        }
    }
    sc_encoder_free(en);
    return code;
}

/* ------------------------------------------------------------------------------------ finding ---
 */
/* The longest string of the trie that begins at p: its end; 0: none. */
static size_t longest(const struct sc_trie *t, const char *p, size_t n, uint32_t *value)
{
    uint32_t node = 0;
    size_t end = 0;
    for (size_t i = 0; i < n; i++) {
        node = sc_trie_step(t, node, (uint8_t)p[i]);
        if (!node)
            break;
        if (t->value[node] != SC_NO_ID) {
            end = i + 1;
            *value = t->value[node];
        }
    }
    return end;
}

static size_t char_before(const struct sc_slice *s, size_t at)
{
    do
        at--;
    while (at && ((uint8_t)s->p[at] & 0xC0) == 0x80);
    return at;
}

static bool is_word_at(const struct sc_slice *s, size_t at)
{
    uint32_t c;
    sc_uc_next(s->p + at, &c);
    return (sc_uc_props(c) & SC_UC_WORD) || c == 0x200C || c == 0x200D;
}

static bool is_space_at(const struct sc_slice *s, size_t at)
{
    uint32_t c;
    sc_uc_next(s->p + at, &c);
    return sc_uc_props(c) & SC_UC_SPACE;
}

static bool stands_alone(const struct sc_slice *s, size_t from, size_t to)
{
    return (from == 0 || !is_word_at(s, char_before(s, from))) &&
           (to == s->n || !is_word_at(s, to));
}

static int append(struct sc_encoder *en, const struct sc_slice *s, uint32_t id, size_t from,
                  size_t to)
{
    struct sc_tokens *out = en->out;
    struct sc_token token = {.id = id};
    if (out->n == out->cap)
        TRY(sc_grow(&out->p, &out->cap, out->n + 1, sizeof *out->p, en->e));
    if (to > from) {
        token.from = sc_slice_align(s, from).from;
        token.to = sc_slice_align(s, to - 1).to;
    }
    out->p[out->n++] = token;
    return 0;
}

/* Where the next added token may begin. Mostly all begin with the same byte. */
static size_t next_begin(const struct sc_trie *trie, const struct sc_slice *s, size_t at)
{
    if (trie->n_first == 1) {
        const char *p = at < s->n ? memchr(s->p + at, trie->first, s->n - at) : NULL;
        return p ? (size_t)(p - s->p) : s->n;
    }
    while (at < s->n && !trie->root[(uint8_t)s->p[at]])
        at++;
    return at;
}

int sc_added_split(struct sc_encoder *en, const struct sc_slice *s, unsigned which,
                   int (*piece)(struct sc_encoder *en, const struct sc_slice *s))
{
    const struct sc_tokenizer *t = en->t;
    const struct sc_trie *trie = &t->tries[which];
    size_t done = 0;
    uint32_t c;

    if (!t->has_tries[which])
        return s->n ? piece(en, s) : 0;
    for (size_t at = 0; (at = next_begin(trie, s, at)) < s->n;) {
        uint32_t place = 0;
        const size_t length = longest(trie, s->p + at, s->n - at, &place);
        if (!length) {
            at++;
            continue;
        }
        const struct sc_added *a = &t->added[place];
        size_t from = at, to = at + length;
        at = to;
        if (a->single_word && !stands_alone(s, from, to))
            continue;
        while (a->lstrip && from > done && is_space_at(s, char_before(s, from)))
            from = char_before(s, from);
        from = SC_MAX(from, done);
        while (a->rstrip && to < s->n && is_space_at(s, to))
            to += sc_uc_next(s->p + to, &c);
        if (from > done) {
            const struct sc_slice part = sc_slice_part(s, done, from);
            TRY(piece(en, &part));
        }
        TRY(append(en, s, a->id, from, to));
        done = to;
    }
    if (done >= s->n)
        return 0;
    const struct sc_slice part = sc_slice_part(s, done, s->n);
    return piece(en, &part);
}
