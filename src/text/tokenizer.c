/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer: the whole way from a text to tokens, and what can be asked of a tokenizer. */
#include "text/parts.h"

#include <stdlib.h>
#include <string.h>

void sc_tokenizer_close(struct sc_tokenizer *t)
{
    if (!t)
        return;
    sc_vocab_clear(&t->vocab);
    free(t->bpe.merges);
    free(t->bpe.maybe);
    free(t->scores);
    free(t->added);
    free(t->added_of);
    free(t->blanks);
    sc_trie_clear(&t->trie);
    sc_trie_clear(&t->tries[0]);
    sc_trie_clear(&t->tries[1]);
    for (size_t i = 0; i < SC_MAX_STAGES; i++) {
        sc_regex_clear(&t->norm[i].regex);
        sc_regex_clear(&t->pre[i].regex);
        sc_regex_clear(&t->decode[i].regex);
        free(t->post[i].before);
        free(t->post[i].after);
    }
    sc_arena_clear(&t->arena);
    free(t);
}

const char *sc_tokenizer_kind(const struct sc_tokenizer *t)
{
    static const char *const names[] = {[SC_KIND_BPE] = "BPE",
                                        [SC_KIND_WORDPIECE] = "WordPiece",
                                        [SC_KIND_UNIGRAM] = "Unigram",
                                        [SC_KIND_WORDLEVEL] = "WordLevel"};
    return names[t->kind];
}

const char *sc_tokenizer_source(const struct sc_tokenizer *t)
{
    return t->source;
}

size_t sc_tokenizer_size(const struct sc_tokenizer *t)
{
    return SC_MAX(t->vocab.n, t->added_of_n);
}

struct sc_str sc_tokenizer_piece(const struct sc_tokenizer *t, uint32_t id)
{
    const struct sc_added *a = sc_added_of(t, id);
    if (a)
        return a->content;
    return id < t->vocab.n ? t->vocab.pieces[id] : sc_str(NULL, 0);
}

bool sc_tokenizer_special(const struct sc_tokenizer *t, uint32_t id)
{
    const struct sc_added *a = sc_added_of(t, id);
    return a && a->special;
}

bool sc_tokenizer_find(const struct sc_tokenizer *t, struct sc_str piece, uint32_t *id)
{
    for (size_t i = 0; i < t->n_added; i++)
        if (sc_str_eq(t->added[i].content, piece)) {
            *id = t->added[i].id;
            return true;
        }
    *id = sc_vocab_find(&t->vocab, piece);
    return *id != SC_NO_ID;
}

/* ------------------------------------------------------------------------------------ encoding ---
 */
void sc_tokens_clear(struct sc_tokens *t)
{
    free(t->p);
    *t = (struct sc_tokens){0};
}

int sc_encoder_new(const struct sc_tokenizer *t, struct sc_encoder **out, struct sc_error *e)
{
    struct sc_encoder *en = sc_calloc(1, sizeof *en);
    if (en) {
        en->shorts = sc_calloc((size_t)1 << SC_SHORT_BITS, sizeof *en->shorts);
        en->cache_block = sc_calloc(((size_t)1 << SC_CACHE_BITS) + 2, sizeof *en->cache);
    }
    if (!en || !en->shorts || !en->cache_block) {
        sc_encoder_free(en);
        return sc_fail_memory(e);
    }
    const size_t set = 2 * sizeof *en->cache; /* a set does not cross a pair of cache lines */
    en->cache = (struct sc_cached *)(void *)((char *)en->cache_block + set -
                                             (uintptr_t)en->cache_block % set);
    en->t = t;
    *out = en;
    return 0;
}

void sc_encoder_free(struct sc_encoder *en)
{
    if (!en)
        return;
    free(en->shorts);
    free(en->cache_block);
    sc_draft_clear(&en->drafts[0]);
    sc_draft_clear(&en->drafts[1]);
    sc_draft_clear(&en->joined);
    sc_draft_clear(&en->repaired);
    for (size_t i = 0; i < SC_MAX_STAGES; i++)
        sc_draft_clear(&en->stage[i]);
    free(en->changes);
    free(en->symbols);
    free(en->heap);
    free(en->best);
    free(en->word);
    free(en->spelled);
    free(en);
}

/* A piece without added tokens, as it is in the text. */
static int encode_raw(struct sc_encoder *en, const struct sc_slice *s)
{
    struct sc_slice normal = *s;
    TRY(sc_normalize(en, &normal));
    return sc_added_split(en, &normal, 1, sc_pretokenize);
}

int sc_encode(struct sc_encoder *en, struct sc_str text, bool special, struct sc_tokens *out,
              struct sc_error *e)
{
    struct sc_slice s = {.p = text.n ? text.p : "", .n = text.n, .room = text.n};
    const size_t from = out->n;

    if (text.n > SC_MAX_TEXT)
        return sc_fail(e, SCRUPLE_ELIMIT, "the text has %zu bytes, the limit is 1 GiB", text.n);
    en->e = e;
    en->out = out;
    en->too_slow = false;
    en->n_ahead = 0;
    if (!sc_utf8_valid(text)) {
        TRY(sc_draft_repair(&en->repaired, text, e));
        s = sc_draft_slice(&en->repaired);
    }
    TRY(sc_added_split(en, &s, 0, encode_raw));
    if (en->too_slow)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "a regular expression of the tokenizer takes too long on this text");
    return sc_postprocess(en->t, text, special, from, out, e);
}
