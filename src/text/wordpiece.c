/* SPDX-License-Identifier: Apache-2.0 */
/* wordpiece: the longest token that begins a word, then the longest that goes on, and so forth; a
 * word that does not come out is unknown as a whole. And whole words only, WordLevel. */
#include "text/parts.h"

#include <string.h>

static int unknown(struct sc_encoder *en, size_t end)
{
    if (en->t->unk == SC_NO_ID)
        return sc_fail(en->e, SCRUPLE_EFORMAT,
                       "a word has no token, and the vocabulary has none for what is unknown");
    en->n_word = 0;
    return sc_word_put(en, en->t->unk, 0, end);
}

int sc_wordlevel_word(struct sc_encoder *en, struct sc_str s)
{
    const uint32_t id = sc_vocab_find(&en->t->vocab, s);
    return id == SC_NO_ID ? unknown(en, s.n) : sc_word_put(en, id, 0, s.n);
}

static uint64_t count_chars(struct sc_str s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((uint8_t)s.p[i] & 0xC0) != 0x80;
    return n;
}

int sc_wordpiece_word(struct sc_encoder *en, struct sc_str s)
{
    const struct sc_tokenizer *t = en->t;
    const struct sc_str prefix = t->subword;

    if (count_chars(s) > t->max_word)
        return unknown(en, s.n);
    if (en->spelled_cap < prefix.n + s.n)
        TRY(sc_grow(&en->spelled, &en->spelled_cap, prefix.n + s.n, 1, en->e));
    memcpy(en->spelled, prefix.p, prefix.n);
    memcpy(en->spelled + prefix.n, s.p, s.n);
    for (size_t start = 0; start < s.n;) {
        uint32_t id = SC_NO_ID;
        size_t end = s.n;
        const char *from = en->spelled + prefix.n;
        if (start) { /* the prefix right before what is left of the word */
            from = en->spelled + start;
            memcpy(en->spelled + start, prefix.p, prefix.n);
        }
        for (; end > start; end--) {
            if (end < s.n && ((uint8_t)s.p[end] & 0xC0) == 0x80)
                continue;
            id = sc_vocab_find(&t->vocab, sc_str(from, end - start + (start ? prefix.n : 0)));
            if (id != SC_NO_ID)
                break;
        }
        if (id == SC_NO_ID)
            return unknown(en, s.n);
        TRY(sc_word_put(en, id, start, end));
        start = end;
    }
    return 0;
}
