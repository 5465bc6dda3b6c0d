/* SPDX-License-Identifier: Apache-2.0 */
/* load_gguf: vocabularies of GGUF files.
 *
 *     tokenizer.ggml.model       llama: SentencePiece's BPE, merges follow from scores
 *                                gpt2: byte-level BPE with merges; `pre` names how texts are cut
 *                                bert: WordPiece, "▁" in front of what begins a word
 *                                t5: Unigram with a charsmap
 *     tokenizer.ggml.tokens, .scores, .merges, .token_type (1 normal, 2 unknown, 3 control, 4 of
 * the user, 5 unused, 6 byte), .bos_token_id and its like, .add_bos_token, .add_eos_token,
 *                                .add_space_prefix, .remove_extra_whitespaces,
 * .precompiled_charsmap
 *
 * The file has no expressions, no normalizers and no strip flags: what tokenizer.json of the same
 * models says is in load_gguf_pre.c, by name. Arrays are read again from the file, since the
 * catalog keeps only their beginnings. */
#include "text/load_gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, UNUSED = 5, BYTE = 6 };

struct gguf {
    const struct sc_load *l;
    const struct sc_model *m;
    struct sc_tokenizer *t;
    struct sc_str model, pre, architecture;
    uint8_t *types; /* (vocab.n) */
    float *scores;  /* (vocab.n), or NULL */
    size_t n;
};

static const struct sc_meta *meta(const struct gguf *g, const char *key)
{
    for (size_t i = 0; i < g->m->catalog->n_metas; i++)
        if (sc_str_is(g->m->catalog->metas[i].key, key))
            return &g->m->catalog->metas[i];
    return NULL;
}

static struct sc_str text(const struct gguf *g, const char *key)
{
    const struct sc_meta *k = meta(g, key);
    return k && k->value.kind == SC_VALUE_STRING ? k->value.as.s : sc_str("", 0);
}

static bool flag(const struct gguf *g, const char *key, bool otherwise)
{
    const struct sc_meta *k = meta(g, key);
    return k && k->value.kind == SC_VALUE_BOOL ? k->value.as.b : otherwise;
}

static uint32_t number(const struct gguf *g, const char *key)
{
    const struct sc_meta *k = meta(g, key);
    if (!k || k->value.kind != SC_VALUE_UINT || k->value.as.u >= g->n)
        return SC_NO_ID;
    return (uint32_t)k->value.as.u;
}

/* -------------------------------------------------------------------------------------- arrays ---
 */
/* An array of the file, read from its first element on. */
struct array {
    struct sc_reader r;
    uint32_t file, version;
    uint64_t count;
    uint8_t element;
};

static int open_array(const struct gguf *g, const struct sc_meta *k, struct array *a)
{
    struct sc_source *source;
    const uint8_t *head;
    uint32_t version;
    *a = (struct array){.file = k->file, .count = k->value.as.a.count, .element = k->value.element};
    TRY(sc_model_source(g->m, k->file, &source, g->l->e));
    sc_reader_start(&a->r, source, 4, 256 << 10);
    int code = sc_reader_take(&a->r, 4, &head, "the version", g->l->e);
    if (code == 0) {
        version = sc_le32(head);
        a->r.big_endian = version > 0xFFFF;
        a->version = a->r.big_endian ? __builtin_bswap32(version) : version;
        a->r.pos = k->value.as.a.offset;
    }
    return code;
}

static void close_array(const struct gguf *g, struct array *a)
{
    sc_reader_clear(&a->r);
    sc_model_release(g->m, a->file);
}

static int next_string(const struct gguf *g, struct array *a, struct sc_str *out)
{
    const uint8_t *p;
    uint64_t n;
    uint32_t n32;
    if (a->version > 1) {
        TRY(sc_reader_u64(&a->r, &n, "a token", g->l->e));
    } else {
        TRY(sc_reader_u32(&a->r, &n32, "a token", g->l->e));
        n = n32;
    }
    if (n > SC_MAX_TOKEN_BYTES)
        return sc_fail(g->l->e, SCRUPLE_ELIMIT, "a token has %" PRIu64 " bytes, the limit is %d", n,
                       SC_MAX_TOKEN_BYTES);
    TRY(sc_reader_take(&a->r, n, &p, "a token", g->l->e));
    *out = sc_str((const char *)p, (size_t)n);
    return 0;
}

/* Tokens that are no valid UTF-8 cannot be reached by any text; they keep a place of their own. */
static int read_tokens(struct gguf *g, const struct sc_meta *k)
{
    struct array a;
    int code = open_array(g, k, &a);
    for (uint32_t id = 0; code == 0 && id < a.count; id++) {
        struct sc_str s;
        code = next_string(g, &a, &s);
        if (code == 0)
            code = sc_load_keep(g->l, s, &s);
        if (code == 0)
            code = sc_vocab_put(&g->t->vocab, s, id, g->l->e);
    }
    g->n = g->t->vocab.n;
    close_array(g, &a);
    return code;
}

/* Numbers of 4 bytes, one a token. */
static int read_words(struct gguf *g, const char *key,
                      void (*put)(struct gguf *g, size_t i, uint32_t bits))
{
    const struct sc_meta *k = meta(g, key);
    struct array a;
    if (!k || k->value.kind != SC_VALUE_ARRAY)
        return 0;
    if (k->value.as.a.count != g->n)
        return sc_fail(g->l->e, SCRUPLE_EFORMAT, "%s has %" PRIu64 " elements for %zu tokens", key,
                       k->value.as.a.count, g->n);
    int code = open_array(g, k, &a);
    for (size_t i = 0; code == 0 && i < g->n; i++) {
        uint32_t bits = 0;
        code = sc_reader_u32(&a.r, &bits, key, g->l->e);
        if (code == 0)
            put(g, i, bits);
    }
    close_array(g, &a);
    return code;
}

static void put_type(struct gguf *g, size_t i, uint32_t bits)
{
    g->types[i] = bits < 256 ? (uint8_t)bits : 0;
}

static void put_score(struct gguf *g, size_t i, uint32_t bits)
{
    g->scores[i] = sc_float_of(bits);
}

/* -------------------------------------------------------------------------------------- merges ---
 */
static int read_merges(struct gguf *g)
{
    const struct sc_meta *k = meta(g, "tokenizer.ggml.merges");
    struct sc_tokenizer *t = g->t;
    struct array a;
    if (!k || k->value.kind != SC_VALUE_ARRAY || k->value.element != SC_VALUE_STRING)
        return sc_fail(g->l->e, SCRUPLE_EFORMAT, "the vocabulary has no merges");
    if (k->value.as.a.count > SC_MAX_TOKENS)
        return sc_fail(g->l->e, SCRUPLE_ELIMIT, "the vocabulary has more than %d merges",
                       SC_MAX_TOKENS);
    int code = open_array(g, k, &a);
    if (code == 0)
        code = sc_bpe_reserve(&t->bpe, (size_t)a.count, g->l->e);
    for (uint32_t rank = 0; code == 0 && rank < a.count; rank++) {
        struct sc_str s;
        struct sc_quoted q;
        char joined[SC_MAX_TOKEN_BYTES];
        code = next_string(g, &a, &s);
        const char *space = code == 0 && s.n ? memchr(s.p + 1, ' ', s.n - 1) : NULL;
        if (code < 0 || !space)
            break;
        const size_t n = (size_t)(space - s.p), rest = s.n - n - 1;
        memcpy(joined, s.p, n);
        memcpy(joined + n, space + 1, rest);
        const uint32_t left = sc_vocab_find(&t->vocab, sc_str(s.p, n)),
                       right = sc_vocab_find(&t->vocab, sc_str(space + 1, rest)),
                       id = sc_vocab_find(&t->vocab, sc_str(joined, n + rest));
        if (left == SC_NO_ID || right == SC_NO_ID || id == SC_NO_ID)
            code = sc_fail(g->l->e, SCRUPLE_EFORMAT,
                           "merge %" PRIu32 ", \"%s\", is not of tokens of the vocabulary", rank,
                           sc_quote(&q, s));
        else
            sc_bpe_put(&t->bpe, left, right, rank, id);
    }
    close_array(g, &a);
    return code;
}

/* Every way to cut a token in two tokens is a merge; the better its score, the sooner. Equal scores
 * have equal ranks, so that of these the leftmost merges. */
struct scored {
    float score;
    uint32_t id;
};

static int by_score(const void *x, const void *y)
{
    const struct scored *a = x, *b = y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int put_splits(struct gguf *g, const struct scored *order, size_t n)
{
    struct sc_tokenizer *t = g->t;
    size_t count = 0;
    uint32_t rank = 0;
    for (size_t i = 0; i < n; i++)
        count += t->vocab.pieces[order[i].id].n;
    TRY(sc_bpe_reserve(&t->bpe, SC_MIN(count, (size_t)SC_MAX_TOKENS * 8), g->l->e));
    for (size_t i = 0; i < n; i++) {
        const struct sc_str s = t->vocab.pieces[order[i].id];
        rank += i > 0 && order[i].score != order[i - 1].score;
        for (size_t k = 1; k < s.n; k++) {
            if (((uint8_t)s.p[k] & 0xC0) == 0x80)
                continue;
            const uint32_t left = sc_vocab_find(&t->vocab, sc_str(s.p, k));
            const uint32_t right =
                left == SC_NO_ID ? left : sc_vocab_find(&t->vocab, sc_str(s.p + k, s.n - k));
            if (right != SC_NO_ID)
                sc_bpe_put(&t->bpe, left, right, rank, order[i].id);
        }
    }
    return 0;
}

static int merges_of_scores(struct gguf *g)
{
    struct scored *order = sc_calloc(g->n + 1, sizeof *order);
    size_t n = 0, bytes = 0;
    if (!order)
        return sc_fail_memory(g->l->e);
    for (uint32_t id = 0; id < g->n; id++)
        if (g->types[id] == NORMAL && sc_utf8_valid(g->t->vocab.pieces[id])) {
            order[n++] = (struct scored){g->scores[id] == g->scores[id] ? g->scores[id] : 0, id};
            bytes += g->t->vocab.pieces[id].n;
        }
    qsort(order, n, sizeof *order, by_score);
    const int code =
        bytes > (size_t)SC_MAX_TOKENS * 8
            ? sc_fail(g->l->e, SCRUPLE_ELIMIT, "the tokens of the vocabulary have more than 32 MiB")
            : put_splits(g, order, n);
    free(order);
    return code;
}

/* ------------------------------------------------------------------------------------- the four
 * --- */
static int norm_text(const struct sc_load *l, enum sc_norm_op op, struct sc_str content,
                     struct sc_str literal)
{
    struct sc_norm_step *step = sc_load_norm(l, op);
    if (!step)
        return SCRUPLE_ELIMIT;
    step->content = content;
    step->literal = literal;
    return 0;
}

static int decode_text(const struct sc_load *l, enum sc_decode_op op, struct sc_str content)
{
    struct sc_decode_step *step = sc_load_decode(l, op);
    if (!step)
        return SCRUPLE_ELIMIT;
    step->content = content;
    step->prepended = true;
    step->cleanup = true;
    step->left = 1;
    return op == SC_DECODE_REPLACE ? sc_regex_literal(SC_STR(SC_BLANK_MARK), &step->regex, l->e)
                                   : 0;
}

/* As SentencePiece has a text: "▁" for blanks, with one in front where there is a prefix, and bytes
 * for what has no token. */
static int load_sentencepiece(struct gguf *g, bool prefix)
{
    const struct sc_str mark = SC_STR(SC_BLANK_MARK);
    g->t->kind = SC_KIND_BPE;
    g->t->bpe.byte_fallback = g->t->bpe.fuse_unk = true;
    if (prefix)
        TRY(norm_text(g->l, SC_NORM_PREPEND, mark, sc_str(NULL, 0)));
    TRY(norm_text(g->l, SC_NORM_REPLACE, mark, SC_STR(" ")));
    TRY(decode_text(g->l, SC_DECODE_REPLACE, SC_STR(" ")));
    TRY(decode_text(g->l, SC_DECODE_FALLBACK, sc_str("", 0)));
    TRY(decode_text(g->l, SC_DECODE_FUSE, sc_str("", 0)));
    return prefix ? decode_text(g->l, SC_DECODE_STRIP, SC_STR(" ")) : 0;
}

static int load_llama(struct gguf *g)
{
    if (!g->scores)
        return sc_fail(g->l->e, SCRUPLE_EFORMAT, "the vocabulary has no scores");
    TRY(load_sentencepiece(g, flag(g, "tokenizer.ggml.add_space_prefix", true)));
    return merges_of_scores(g);
}

/* Gemma 4: no blank in front, and merges that are listed. */
static int load_gemma4(struct gguf *g)
{
    TRY(load_sentencepiece(g, false));
    return read_merges(g);
}

static int load_gpt2(struct gguf *g)
{
    g->t->kind = SC_KIND_BPE;
    g->t->bytes = true;
    g->t->unk = SC_NO_ID;
    TRY(sc_gguf_pre(g->l, g->pre, g->architecture));
    TRY(decode_text(g->l, SC_DECODE_BYTES, sc_str("", 0)));
    return read_merges(g);
}

/* "▁the" is "the", "ing" is "##ing"; in place, since neither form collides with the other. */
static int load_bert(struct gguf *g)
{
    struct sc_tokenizer *t = g->t;
    struct sc_vocab v = {0};
    int code = 0;
    for (uint32_t id = 0; code >= 0 && id < g->n; id++) {
        struct sc_str s = t->vocab.pieces[id];
        struct sc_buf b = {.max = SC_MAX_TOKEN_BYTES + 8};
        if (sc_is_blank_mark(s.p, s.n))
            s = sc_str(s.p + 3, s.n - 3);
        else if (g->types[id] == NORMAL && !(s.n && s.p[0] == '['))
            sc_buf_puts(&b, "##");
        sc_buf_put(&b, s.p, s.n);
        code = b.failed ? sc_fail_memory(g->l->e)
                        : sc_load_keep(g->l, sc_str(b.p ? b.p : "", b.n), &s);
        if (code >= 0)
            code = sc_vocab_put(&v, s, id, g->l->e);
        sc_buf_clear(&b);
    }
    sc_vocab_clear(&t->vocab);
    t->vocab = v;
    t->kind = SC_KIND_WORDPIECE;
    t->subword = SC_STR("##");
    t->max_word = 100;
    if (code < 0)
        return code;
    struct sc_norm_step *step = sc_load_norm(g->l, SC_NORM_BERT);
    struct sc_pre_step *spaces = sc_load_pre(g->l, SC_PRE_CHARS),
                       *punct = sc_load_pre(g->l, SC_PRE_CHARS);
    if (!step || !spaces || !punct)
        return SCRUPLE_ELIMIT;
    step->clean = step->chinese = step->accents = step->lower = true;
    spaces->chars = SC_CHARS_SPACE;
    spaces->behaviour = SC_REMOVED;
    punct->chars = SC_CHARS_PUNCT;
    return decode_text(g->l, SC_DECODE_WORDPIECE, SC_STR("##"));
}

static int read_charsmap(struct gguf *g)
{
    const struct sc_meta *k = meta(g, "tokenizer.ggml.precompiled_charsmap");
    struct array a;
    const uint8_t *p;
    if (!k || k->value.kind != SC_VALUE_ARRAY || !k->value.as.a.count)
        return 0;
    struct sc_norm_step *step = sc_load_norm(g->l, SC_NORM_CHARSMAP);
    if (!step)
        return SCRUPLE_ELIMIT;
    int code = open_array(g, k, &a);
    if (code == 0)
        code = sc_reader_take(&a.r, a.count, &p, "the charsmap", g->l->e);
    if (code == 0)
        code = sc_load_charsmap(g->l, p, (size_t)a.count, step);
    close_array(g, &a);
    return code;
}

static int load_t5(struct gguf *g)
{
    struct sc_tokenizer *t = g->t;
    if (!g->scores)
        return sc_fail(g->l->e, SCRUPLE_EFORMAT, "the vocabulary has no scores");
    t->kind = SC_KIND_UNIGRAM;
    TRY(read_charsmap(g));
    if (flag(g, "tokenizer.ggml.remove_extra_whitespaces", false) &&
        !sc_load_norm(g->l, SC_NORM_SPACES))
        return SCRUPLE_ELIMIT;
    struct sc_pre_step *pre = sc_load_pre(g->l, SC_PRE_METASPACE);
    if (!pre)
        return SCRUPLE_ELIMIT;
    pre->replacement = SC_STR(SC_BLANK_MARK);
    pre->one = 0x2581;
    pre->split = true;
    pre->prepend =
        flag(g, "tokenizer.ggml.add_space_prefix", true) ? SC_PREPEND_ALWAYS : SC_PREPEND_NEVER;
    TRY(decode_text(g->l, SC_DECODE_METASPACE, SC_STR(SC_BLANK_MARK)));
    TRY(sc_grow(&t->scores, &t->scores_cap, g->n + 1, sizeof *t->scores, g->l->e));
    bool any = false;
    for (uint32_t id = 0; id < g->n; id++) {
        t->scores[id] = g->scores[id];
        if (g->types[id] != NORMAL)
            continue;
        t->min_score = any ? SC_MIN(t->min_score, t->scores[id]) : t->scores[id];
        any = true;
        TRY(sc_trie_put(&t->trie, t->vocab.pieces[id], id, g->l->e));
    }
    return 0;
}

/* ----------------------------------------------------------------------------- around the text ---
 */
static int put_added(struct gguf *g)
{
    /* Phi-3's own tokens take the white space behind them in. */
    const bool strip = sc_str_is(g->architecture, "phi3");
    for (uint32_t id = 0; id < g->n; id++) {
        const bool special =
            g->types[id] == CONTROL || (g->types[id] == UNKNOWN && !sc_str_is(g->model, "gpt2"));
        const struct sc_str s = g->t->vocab.pieces[id];
        struct sc_added a = {.content = s, .id = id, .special = special};
        if ((!special && g->types[id] != USER) || !s.n || s.n > SC_MAX_ADDED_BYTES)
            continue;
        a.rstrip = strip && !sc_str_is(s, "<unk>") && !sc_str_is(s, "<s>") &&
                   !sc_str_is(s, "<|endoftext|>");
        TRY(sc_added_put(g->t, &a, g->l->e));
    }
    sc_normalize_finish(g->t);
    return sc_added_finish(g->t, g->l->e);
}

static int put_around(struct gguf *g)
{
    const bool llama = sc_str_is(g->model, "llama") || sc_str_is(g->model, "gemma4"),
               bert = g->t->kind == SC_KIND_WORDPIECE;
    const bool llama3 = sc_str_is(g->pre, "llama-bpe") || sc_str_is(g->pre, "llama3");
    uint32_t before = number(g, "tokenizer.ggml.bos_token_id"),
             after = number(g, "tokenizer.ggml.eos_token_id");
    if (bert) {
        const uint32_t cls = number(g, "tokenizer.ggml.cls_token_id");
        before = cls == SC_NO_ID ? before : cls;
        after = number(g, "tokenizer.ggml.seperator_token_id"); /* so it is spelled */
        if (after == SC_NO_ID)
            after = number(g, "tokenizer.ggml.separator_token_id");
    }
    struct sc_post_step *step = sc_load_post(g->l, SC_POST_TEMPLATE);
    if (!step)
        return SCRUPLE_ELIMIT;
    if (flag(g, "tokenizer.ggml.add_bos_token", llama || bert || llama3) && before != SC_NO_ID)
        TRY(sc_load_ids(g->l, &step->before, &step->n_before, before));
    if (flag(g, "tokenizer.ggml.add_eos_token", bert || g->t->kind == SC_KIND_UNIGRAM) &&
        after != SC_NO_ID)
        TRY(sc_load_ids(g->l, &step->after, &step->n_after, after));
    return 0;
}

static int load_kind(struct gguf *g)
{
    struct sc_quoted q;
    if (sc_str_is(g->model, "llama"))
        return load_llama(g);
    if (sc_str_is(g->model, "gemma4"))
        return load_gemma4(g);
    if (sc_str_is(g->model, "gpt2"))
        return load_gpt2(g);
    if (sc_str_is(g->model, "bert"))
        return load_bert(g);
    if (sc_str_is(g->model, "t5"))
        return load_t5(g);
    return sc_fail(g->l->e, SCRUPLE_EUNSUPPORTED,
                   "the vocabulary is of the kind \"%s\", which is not supported",
                   sc_quote(&q, g->model));
}

static int load(struct gguf *g, const struct sc_meta *tokens)
{
    if (tokens->value.kind != SC_VALUE_ARRAY || tokens->value.element != SC_VALUE_STRING ||
        tokens->value.as.a.count > SC_MAX_TOKENS)
        return sc_fail(g->l->e, SCRUPLE_EFORMAT,
                       "tokenizer.ggml.tokens is no list of at most %d texts", SC_MAX_TOKENS);
    TRY(read_tokens(g, tokens));
    g->types = sc_calloc(g->n + 1, 1);
    if (!g->types)
        return sc_fail_memory(g->l->e);
    memset(g->types, NORMAL, g->n);
    TRY(read_words(g, "tokenizer.ggml.token_type", put_type));
    if (meta(g, "tokenizer.ggml.scores")) {
        g->scores = sc_calloc(g->n + 1, sizeof *g->scores);
        if (!g->scores)
            return sc_fail_memory(g->l->e);
        TRY(read_words(g, "tokenizer.ggml.scores", put_score));
    }
    g->t->unk = number(g, "tokenizer.ggml.unknown_token_id");
    for (uint32_t id = 0; id < g->n && g->t->unk == SC_NO_ID; id++)
        if (g->types[id] == UNKNOWN)
            g->t->unk = id;
    TRY(load_kind(g));
    if (g->t->kind == SC_KIND_BPE)
        TRY(sc_bpe_finish(g->t, g->l->e));
    TRY(put_added(g));
    TRY(put_around(g));
    sc_pre_finish(g->t);
    return sc_post_finish(g->t, g->l->e);
}

int sc_tokenizer_of_gguf(const struct sc_load *l, const struct sc_model *m)
{
    struct gguf g = {.l = l, .m = m, .t = l->t};
    g.model = text(&g, "tokenizer.ggml.model");
    g.pre = text(&g, "tokenizer.ggml.pre");
    g.architecture = text(&g, "general.architecture");
    const int code = load(&g, meta(&g, "tokenizer.ggml.tokens"));
    free(g.types);
    free(g.scores);
    return code;
}
