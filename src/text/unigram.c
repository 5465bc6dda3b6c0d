/* SPDX-License-Identifier: Apache-2.0 */
/* unigram: the way through a piece whose tokens have the largest sum of scores (Viterbi). Unknown
 * characters cost 10 more than the worst token; neighbours that are unknown are one. Of equal ways
 * the first that is found stays, sums are in the order of the text: as in SentencePiece and the
 * Rust tokenizers. */
#include "text/parts.h"

#include <string.h>

#define UNKNOWN_PENALTY 10.0
#define NOWHERE         UINT32_MAX

static void offer(struct sc_best *b, double score, size_t from, uint32_t id)
{
    if (b->from == NOWHERE || score > b->score)
        *b = (struct sc_best){score, (uint32_t)from, id};
}

static int find_ways(struct sc_encoder *en, struct sc_str s)
{
    const struct sc_tokenizer *t = en->t;
    struct sc_best *best = en->best;

    for (size_t start = 0; start < s.n;) {
        uint32_t c, node = 0;
        const double here = best[start].score;
        const size_t length = sc_uc_next(s.p + start, &c);
        bool single = false;
        for (size_t i = start; i < s.n; i++) {
            node = sc_trie_step(&t->trie, node, (uint8_t)s.p[i]);
            if (!node)
                break;
            const uint32_t id = t->trie.value[node];
            if (id == SC_NO_ID)
                continue;
            offer(&best[i + 1], t->scores[id] + here, start, id);
            single |= i + 1 - start == length;
        }
        if (!single) {
            if (t->unk == SC_NO_ID)
                return sc_fail(
                    en->e, SCRUPLE_EFORMAT,
                    "a character has no token, and the vocabulary has none for what is unknown");
            offer(&best[start + length], t->min_score - UNKNOWN_PENALTY + here, start, t->unk);
        }
        start += length;
    }
    return 0;
}

/* A stretch that is unknown: a token that is spelled so, its bytes, or the unknown token. */
static int put(struct sc_encoder *en, struct sc_str s, size_t from, size_t to)
{
    const struct sc_tokenizer *t = en->t;
    const uint32_t id = sc_vocab_find(&t->vocab, sc_str(s.p + from, to - from));
    bool bytes = id == SC_NO_ID && t->byte_fallback;
    for (size_t i = from; bytes && i < to; i++)
        bytes = t->bpe.byte_ids[(uint8_t)s.p[i]] != SC_NO_ID;
    if (!bytes)
        return sc_word_put(en, id == SC_NO_ID ? t->unk : id, from, to);
    for (size_t i = from; i < to; i++)
        TRY(sc_word_put(en, t->bpe.byte_ids[(uint8_t)s.p[i]], from, to));
    return 0;
}

int sc_unigram_word(struct sc_encoder *en, struct sc_str s)
{
    const struct sc_tokenizer *t = en->t;
    size_t n = 0;

    TRY(sc_grow(&en->best, &en->best_cap, s.n + 1, sizeof *en->best, en->e));
    for (size_t i = 0; i <= s.n; i++)
        en->best[i] = (struct sc_best){0, NOWHERE, 0};
    TRY(find_ways(en, s));
    /* The way goes from the end to the begin; its cuts are kept in the symbols, and read backwards.
     */
    for (size_t at = s.n; at > 0; at = en->best[at].from) {
        if (n == en->symbols_cap)
            TRY(sc_grow(&en->symbols, &en->symbols_cap, n + 1, sizeof *en->symbols, en->e));
        en->symbols[n++] = (struct sc_symbol_part){.id = en->best[at].id, .length = (uint32_t)at};
    }
    for (size_t from = 0; n--;) {
        const bool unknown = t->unk != SC_NO_ID && en->symbols[n].id == t->unk;
        while (unknown && n && en->symbols[n - 1].id == t->unk)
            n--;
        const size_t to = en->symbols[n].length;
        TRY(put(en, s, from, to));
        from = to;
    }
    return 0;
}
