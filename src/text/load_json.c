/* SPDX-License-Identifier: Apache-2.0 */
/* load_json: tokenizer.json in one pass.
 *
 * The vocabulary and the merges, which can have tens of megabytes, are read with the scanner of
 * base; everything else is small and goes to jansson. The order of members is free, as JSON says.
 */
#include "text/load_stages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    const struct sc_load *l;
    struct sc_tokenizer *t;
    struct sc_json j;
    struct sc_str type, unk_token, prefix, suffix;
    struct sc_str vocab, merges; /* as they stand in the document */
    struct sc_str added, normalizer, pretokenizer, postprocessor, decoder;
    uint64_t unk_id, max_word;
    bool has_unk_id, has_max_word, fuse_unk, byte_fallback, ignore_merges;
};

static int json_failed(struct reading *r, const struct sc_json *j)
{
    if (j->problem && strcmp(j->problem, "out of memory") == 0)
        return sc_fail_memory(r->l->e);
    return sc_fail_at(r->l->e, SCRUPLE_EFORMAT, (uint64_t)(j->problem_at - r->j.start),
                      "%s (byte %" PRIu64 ")", j->problem ? j->problem : "the JSON is wrong",
                      (uint64_t)(j->problem_at - r->j.start));
}

/* Passes over a value and remembers where it stands; null counts as nothing. */
static bool extent(struct sc_json *j, struct sc_str *out)
{
    char c;
    if (!sc_json_peek(j, &c))
        return false;
    const char *from = j->p;
    if (!sc_json_skip(j))
        return false;
    *out = c == 'n' ? sc_str(NULL, 0) : sc_str(from, (size_t)(j->p - from));
    return true;
}

static bool text(struct sc_json *j, struct sc_str *out)
{
    char c;
    if (!sc_json_peek(j, &c))
        return false;
    return c == '"' ? sc_json_string(j, out) : sc_json_skip(j);
}

static bool flag(struct sc_json *j, bool *out)
{
    char c;
    if (!sc_json_peek(j, &c))
        return false;
    *out = c == 't';
    return sc_json_skip(j);
}

static bool number(struct sc_json *j, uint64_t *out, bool *has)
{
    char c;
    if (!sc_json_peek(j, &c))
        return false;
    *has = c >= '0' && c <= '9';
    return *has ? sc_json_u64(j, out) : sc_json_skip(j);
}

static bool scan_model(struct reading *r)
{
    struct sc_json *j = &r->j;
    struct sc_str key = {NULL, 0};
    struct sc_json_walk w;
    bool ok = sc_json_into(j, &w, '{');
    while (ok && sc_json_on(j, &w, &key)) {
        if (sc_str_is(key, "vocab"))
            ok = extent(j, &r->vocab);
        else if (sc_str_is(key, "merges"))
            ok = extent(j, &r->merges);
        else if (sc_str_is(key, "type"))
            ok = text(j, &r->type);
        else if (sc_str_is(key, "unk_token"))
            ok = text(j, &r->unk_token);
        else if (sc_str_is(key, "continuing_subword_prefix"))
            ok = text(j, &r->prefix);
        else if (sc_str_is(key, "end_of_word_suffix"))
            ok = text(j, &r->suffix);
        else if (sc_str_is(key, "unk_id"))
            ok = number(j, &r->unk_id, &r->has_unk_id);
        else if (sc_str_is(key, "max_input_chars_per_word"))
            ok = number(j, &r->max_word, &r->has_max_word);
        else if (sc_str_is(key, "fuse_unk"))
            ok = flag(j, &r->fuse_unk);
        else if (sc_str_is(key, "byte_fallback"))
            ok = flag(j, &r->byte_fallback);
        else if (sc_str_is(key, "ignore_merges"))
            ok = flag(j, &r->ignore_merges);
        else
            ok = sc_json_skip(j);
    }
    return ok && !j->problem;
}

static bool scan_root(struct reading *r)
{
    const struct {
        const char *key;
        struct sc_str *out;
    } parts[] = {
        {"added_tokens", &r->added},
        {"normalizer", &r->normalizer},
        {"pre_tokenizer", &r->pretokenizer},
        {"post_processor", &r->postprocessor},
        {"decoder", &r->decoder},
    };
    struct sc_str key = {NULL, 0}, other = {NULL, 0};
    struct sc_json_walk w;
    bool ok = sc_json_into(&r->j, &w, '{');
    while (ok && sc_json_on(&r->j, &w, &key)) {
        struct sc_str *out = &other;
        if (sc_str_is(key, "model")) {
            ok = scan_model(r);
            continue;
        }
        for (size_t i = 0; i < SC_COUNT(parts); i++)
            if (sc_str_is(key, parts[i].key))
                out = parts[i].out;
        ok = extent(&r->j, out);
        if (ok && out == &other && other.p &&
            (sc_str_is(key, "truncation") || sc_str_is(key, "padding")))
            sc_load_note(r->l, "the file asks for %s, which is not done",
                         sc_str_is(key, "padding") ? "padding" : "truncation");
    }
    return ok && !r->j.problem && sc_json_end(&r->j);
}

/* A value of the document, anew. */
static void again(struct reading *r, struct sc_str s, struct sc_json *j)
{
    sc_json_start(j, s.p ? s.p : "null", s.p ? s.n : 4, &r->t->arena);
    j->start = r->j.start;
}

/* ---------------------------------------------------------------------------------- vocabulary ---
 */
static size_t count_items(struct sc_str s)
{
    size_t n = 0; /* of commas: more than there are items, which only costs a little room */
    for (const char *p = s.p, *end = s.p + s.n; p < end && (p = memchr(p, ',', (size_t)(end - p)));
         p++)
        n++;
    return n + 1;
}

/* Strings with escapes are in the arena already. */
static int keep(struct reading *r, struct sc_str s, struct sc_str *out)
{
    *out = s;
    return s.p >= r->j.start && s.p < r->j.end ? sc_load_keep(r->l, s, out) : 0;
}

static int put_token(struct reading *r, struct sc_str s, uint64_t id)
{
    struct sc_str kept;
    if (id >= SC_MAX_TOKENS)
        return sc_fail(r->l->e, SCRUPLE_ELIMIT, "a token has the id %" PRIu64 ", the limit is %d",
                       id, SC_MAX_TOKENS);
    TRY(keep(r, s, &kept));
    return sc_vocab_put(&r->t->vocab, kept, (uint32_t)id, r->l->e);
}

static int read_vocab(struct reading *r)
{
    struct sc_str key = {NULL, 0};
    struct sc_json j;
    struct sc_json_walk w;
    uint64_t id;
    again(r, r->vocab, &j);
    if (!sc_json_into(&j, &w, '{'))
        return json_failed(r, &j);
    TRY(sc_index_reserve(&r->t->vocab.index, SC_MIN(count_items(r->vocab), (size_t)SC_MAX_TOKENS),
                         r->l->e));
    while (sc_json_on(&j, &w, &key)) {
        if (!sc_json_u64(&j, &id))
            break;
        TRY(put_token(r, key, id));
    }
    return j.problem ? json_failed(r, &j) : 0;
}

/* The number that is next. */
static bool real(struct sc_json *j, double *out)
{
    struct sc_str s;
    if (!extent(j, &s))
        return false;
    if (!s.p || !(s.p[0] == '-' || (s.p[0] >= '0' && s.p[0] <= '9'))) {
        j->problem = "expected a number";
        j->problem_at = j->p;
        return false;
    }
    *out = sc_serde_number(s);
    return true;
}

static int read_scores(struct reading *r)
{
    struct sc_tokenizer *t = r->t;
    struct sc_str unused, piece;
    struct sc_json j;
    struct sc_json_walk list, pair;
    again(r, r->vocab, &j);
    if (!sc_json_into(&j, &list, '['))
        return json_failed(r, &j);
    for (uint32_t id = 0; sc_json_on(&j, &list, &unused); id++) {
        double score;
        if (!sc_json_into(&j, &pair, '[') || !sc_json_string(&j, &piece) ||
            !sc_json_char(&j, ',', "expected a score") || !real(&j, &score) ||
            !sc_json_char(&j, ']', "expected the end of a pair"))
            break;
        TRY(put_token(r, piece, id));
        TRY(sc_grow(&t->scores, &t->scores_cap, (size_t)id + 1, sizeof *t->scores, r->l->e));
        t->scores[id] = score;
        t->min_score = id ? SC_MIN(t->min_score, score) : score;
        TRY(sc_trie_put(&t->trie, t->vocab.pieces[id], id, r->l->e));
    }
    return j.problem ? json_failed(r, &j) : 0;
}

/* -------------------------------------------------------------------------------------- merges ---
 */
/* The pairs of a list of "a b" or ["a", "b"]. */
static bool next_merge(struct sc_json *j, struct sc_str *left, struct sc_str *right)
{
    char c;
    struct sc_json_walk w;
    if (!sc_json_peek(j, &c))
        return false;
    if (c == '[')
        return sc_json_into(j, &w, '[') && sc_json_string(j, left) &&
               sc_json_char(j, ',', "expected ','") && sc_json_string(j, right) &&
               sc_json_char(j, ']', "expected the end of a pair");
    const char *at = j->p;
    if (!sc_json_string(j, left))
        return false;
    const char *space = memchr(left->p, ' ', left->n);
    if (!space || memchr(space + 1, ' ', left->n - (size_t)(space + 1 - left->p))) {
        j->problem = "a merge is not two tokens with a space between";
        j->problem_at = at;
        return false;
    }
    *right = sc_str(space + 1, left->n - (size_t)(space + 1 - left->p));
    left->n = (size_t)(space - left->p);
    return true;
}

/* The token that two become. Files have them in the order of their merges, mostly. */
static uint32_t joined(const struct sc_vocab *v, struct sc_str a, struct sc_str b, uint32_t guess,
                       char *room)
{
    if (guess < v->n && v->pieces[guess].p && v->pieces[guess].n == a.n + b.n &&
        memcmp(v->pieces[guess].p, a.p, a.n) == 0 &&
        memcmp(v->pieces[guess].p + a.n, b.p, b.n) == 0)
        return guess;
    memcpy(room, a.p, a.n);
    memcpy(room + a.n, b.p, b.n);
    return sc_vocab_find(v, sc_str(room, a.n + b.n));
}

struct pair {
    struct sc_str left, right;
};

static int put_merge(struct reading *r, const struct pair *p, uint32_t rank, uint32_t *guess,
                     char *room)
{
    struct sc_tokenizer *t = r->t;
    const uint32_t a = sc_vocab_find(&t->vocab, p->left), b = sc_vocab_find(&t->vocab, p->right);
    const size_t cut = r->prefix.n;
    struct sc_quoted q;
    uint32_t id = SC_NO_ID;
    if (a != SC_NO_ID && b != SC_NO_ID && p->right.n >= cut)
        id = joined(&t->vocab, p->left, sc_str(p->right.p + cut, p->right.n - cut), *guess, room);
    if (id == SC_NO_ID)
        return sc_fail(r->l->e, SCRUPLE_EFORMAT,
                       "merge %" PRIu32
                       ": \"%s\" and the token behind it make none that is in the vocabulary",
                       rank, sc_quote(&q, p->left));
    sc_bpe_put(&t->bpe, a, b, rank, id);
    *guess = id + 1;
    return 0;
}

/* Some at a time, so that the memory of one is on its way while others are read. */
enum { BATCH = 64 };

static int put_merges(struct reading *r, struct sc_json *j, char *room)
{
    const struct sc_vocab *v = &r->t->vocab;
    struct pair pairs[BATCH];
    struct sc_str unused;
    struct sc_json_walk w;
    uint32_t guess = 0;
    size_t n = BATCH;
    if (!sc_json_into(j, &w, '['))
        return json_failed(r, j);
    for (uint32_t rank = 0; n == BATCH; rank += BATCH) {
        for (n = 0; n < BATCH && sc_json_on(j, &w, &unused); n++) {
            if (!next_merge(j, &pairs[n].left, &pairs[n].right))
                break;
            if (v->n) {
                sc_index_prefetch(&v->index, sc_hash(pairs[n].left.p, pairs[n].left.n));
                sc_index_prefetch(&v->index, sc_hash(pairs[n].right.p, pairs[n].right.n));
            }
        }
        for (size_t i = 0; i < n; i++)
            TRY(put_merge(r, &pairs[i], rank + (uint32_t)i, &guess, room));
    }
    return j->problem ? json_failed(r, j) : 0;
}

static int read_merges(struct reading *r)
{
    struct sc_json j;
    if (!r->merges.p)
        return sc_bpe_reserve(&r->t->bpe, 0, r->l->e);
    TRY(sc_bpe_reserve(&r->t->bpe, count_items(r->merges), r->l->e));
    char *room = sc_alloc((size_t)2 * SC_MAX_TOKEN_BYTES);
    if (!room)
        return sc_fail_memory(r->l->e);
    again(r, r->merges, &j);
    const int code = put_merges(r, &j, room);
    free(room);
    return code;
}

/* ---------------------------------------------------------------------------------------- model
 * --- */
static int find_kind(struct reading *r)
{
    static const char *const names[] = {[SC_KIND_BPE] = "BPE",
                                        [SC_KIND_WORDPIECE] = "WordPiece",
                                        [SC_KIND_UNIGRAM] = "Unigram",
                                        [SC_KIND_WORDLEVEL] = "WordLevel"};
    struct sc_quoted q;
    if (!r->vocab.p)
        return sc_fail(r->l->e, SCRUPLE_EFORMAT, "it has no model with a vocabulary");
    for (size_t i = 0; i < SC_COUNT(names); i++)
        if (r->type.p && sc_str_is(r->type, names[i])) {
            r->t->kind = (enum sc_model_kind)i;
            return 0;
        }
    if (r->type.p)
        return sc_fail(r->l->e, SCRUPLE_EUNSUPPORTED, "the model \"%s\" is not supported",
                       sc_quote(&q, r->type));
    r->t->kind = r->merges.p            ? SC_KIND_BPE /* files before `type` was written */
                 : r->vocab.p[0] == '[' ? SC_KIND_UNIGRAM
                 : r->has_max_word      ? SC_KIND_WORDPIECE
                                        : SC_KIND_WORDLEVEL;
    return 0;
}

static int read_model(struct reading *r)
{
    struct sc_tokenizer *t = r->t;
    TRY(find_kind(r));
    TRY(t->kind == SC_KIND_UNIGRAM ? read_scores(r) : read_vocab(r));
    t->byte_fallback = t->bpe.byte_fallback = r->byte_fallback;
    t->bpe.fuse_unk = r->fuse_unk;
    t->bpe.ignore_merges = r->ignore_merges;
    t->max_word = r->has_max_word ? r->max_word : 100;
    if (t->kind == SC_KIND_UNIGRAM) {
        if (r->has_unk_id && r->unk_id >= t->vocab.n)
            return sc_fail(r->l->e, SCRUPLE_EFORMAT,
                           "unk_id is %" PRIu64 ", but there are %zu tokens", r->unk_id,
                           t->vocab.n);
        t->unk = r->has_unk_id ? (uint32_t)r->unk_id : SC_NO_ID;
        return 0;
    }
    if (r->unk_token.p || t->kind != SC_KIND_BPE)
        t->unk = sc_vocab_find(&t->vocab, r->unk_token.p ? r->unk_token : SC_STR("[UNK]"));
    if (t->kind == SC_KIND_WORDPIECE)
        return keep(r, r->prefix.p ? r->prefix : SC_STR("##"), &t->subword);
    if (t->kind != SC_KIND_BPE)
        return 0;
    if (r->prefix.n > 64 || r->suffix.n > 64)
        return sc_fail(r->l->e, SCRUPLE_ELIMIT,
                       "the prefix or suffix of words has more than 64 bytes");
    TRY(keep(r, r->prefix, &t->bpe.prefix));
    TRY(keep(r, r->suffix, &t->bpe.suffix));
    return read_merges(r);
}

/* -------------------------------------------------------------------------------- added tokens ---
 */
static int put_added(struct reading *r, const json_t *item, struct sc_vocab *known)
{
    struct sc_tokenizer *t = r->t;
    const json_t *declared = json_object_get(item, "id");
    struct sc_quoted q;
    struct sc_added a = {
        .content = sc_json_text(item, "content"),
        .special = sc_json_flag(item, "special", false),
        .single_word = sc_json_flag(item, "single_word", false),
        .lstrip = sc_json_flag(item, "lstrip", false),
        .rstrip = sc_json_flag(item, "rstrip", false),
    };
    a.normalized = sc_json_flag(item, "normalized", !a.special);
    if (!a.content.p)
        return sc_fail(r->l->e, SCRUPLE_EFORMAT, "an added token has no content");
    if (!a.content.n || sc_vocab_find(known, a.content) != SC_NO_ID)
        return 0;
    /* Its id is that of the vocabulary, or the next that is free: what the file says counts for
     * nothing, as in the Rust tokenizers. */
    a.id = sc_vocab_find(&t->vocab, a.content);
    if (a.id == SC_NO_ID)
        a.id = (uint32_t)SC_MAX(t->added_of_n, t->vocab.count);
    if (json_is_integer(declared) && json_integer_value(declared) != a.id)
        sc_load_note(r->l, "the added token \"%s\" says that its id is %lld, but gets %" PRIu32,
                     sc_quote(&q, a.content), (long long)json_integer_value(declared), a.id);
    TRY(sc_load_keep(r->l, a.content, &a.content));
    TRY(sc_vocab_put(known, a.content, (uint32_t)t->n_added, r->l->e));
    return sc_added_put(t, &a, r->l->e);
}

static int parse(struct reading *r, struct sc_str s, const char *what, json_t **out)
{
    json_error_t why;
    *out = NULL;
    if (!s.p)
        return 0;
    *out = json_loadb(s.p, s.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    return *out ? 0 : sc_fail(r->l->e, SCRUPLE_EFORMAT, "%s: %s", what, why.text);
}

static int read_added(struct reading *r)
{
    struct sc_vocab known = {0};
    json_t *list;
    TRY(parse(r, r->added, "added_tokens", &list));
    int code = 0;
    for (size_t i = 0; code == 0 && i < json_array_size(list); i++)
        code = put_added(r, json_array_get(list, i), &known);
    sc_vocab_clear(&known);
    json_decref(list);
    return code;
}

static int read_stages(struct reading *r)
{
    const struct {
        struct sc_str text;
        const char *what;
        int (*load)(const struct sc_load *l, const json_t *value);
    } parts[] = {
        {r->normalizer, "normalizer", sc_load_normalizer},
        {r->pretokenizer, "pre_tokenizer", sc_load_pretokenizer},
        {r->postprocessor, "post_processor", sc_load_postprocessor},
        {r->decoder, "decoder", sc_load_decoder},
    };
    for (size_t i = 0; i < SC_COUNT(parts); i++) {
        json_t *value;
        TRY(parse(r, parts[i].text, parts[i].what, &value));
        const int code = parts[i].load(r->l, value);
        json_decref(value);
        if (code < 0)
            return code;
    }
    if (r->t->bytes && r->t->kind != SC_KIND_BPE)
        return sc_fail(r->l->e, SCRUPLE_EUNSUPPORTED,
                       "ByteLevel before a model that is not BPE is not supported");
    return 0;
}

/* -------------------------------------------------------------------- tokenizer_config.json --- */
static int put_config_token(struct reading *r, const json_t *config, const char *key,
                            uint32_t **list, size_t *n)
{
    const json_t *v = json_object_get(config, key);
    const struct sc_str s = json_is_string(v) ? sc_str(json_string_value(v), json_string_length(v))
                                              : sc_json_text(v, "content");
    uint32_t id;
    if (!s.p || !sc_tokenizer_find(r->t, s, &id))
        return 0;
    return sc_load_ids(r->l, list, n, id);
}

/* The classes that write their post-processor anew when they are loaded, from these two settings.
 */
static int read_config(struct reading *r, struct sc_str text_)
{
    static const char *const classes[] = {"LlamaTokenizer",         "LlamaTokenizerFast",
                                          "CodeLlamaTokenizer",     "GemmaTokenizer",
                                          "CodeLlamaTokenizerFast", "GemmaTokenizerFast",
                                          "CohereTokenizer",        "CohereTokenizerFast"};
    struct sc_tokenizer *t = r->t;
    json_t *config;
    bool listed = false;
    if (!text_.n)
        return 0;
    TRY(parse(r, text_, "tokenizer_config.json", &config));
    const struct sc_str class = sc_json_text(config, "tokenizer_class");
    for (size_t i = 0; class.p && i < SC_COUNT(classes); i++)
        listed |= sc_str_is(class, classes[i]);
    int code = 0;
    if (listed && (json_is_boolean(json_object_get(config, "add_bos_token")) ||
                   json_is_boolean(json_object_get(config, "add_eos_token")))) {
        for (size_t i = 0; i < t->n_post; i++) {
            free(t->post[i].before);
            free(t->post[i].after);
        }
        memset(t->post, 0, sizeof t->post);
        t->n_post = 0;
        struct sc_post_step *step = sc_load_post(r->l, SC_POST_TEMPLATE);
        if (sc_json_flag(config, "add_bos_token", true))
            code = put_config_token(r, config, "bos_token", &step->before, &step->n_before);
        if (code == 0 && sc_json_flag(config, "add_eos_token", false))
            code = put_config_token(r, config, "eos_token", &step->after, &step->n_after);
    }
    json_decref(config);
    return code;
}

static int read_all(struct reading *r, struct sc_str config)
{
    TRY(read_model(r));
    TRY(read_stages(r));
    if (r->t->kind == SC_KIND_BPE || r->t->byte_fallback)
        TRY(sc_bpe_finish(r->t, r->l->e));
    TRY(read_added(r));
    sc_normalize_finish(r->t);
    TRY(sc_added_finish(r->t, r->l->e));
    TRY(read_config(r, config));
    sc_pre_finish(r->t);
    return sc_post_finish(r->t, r->l->e);
}

int sc_tokenizer_parse(struct sc_str json, struct sc_str config,
                       const struct sc_tokenizer_notes *notes, struct sc_tokenizer **out,
                       struct sc_error *e)
{
    struct sc_tokenizer *t = sc_calloc(1, sizeof *t);
    const struct sc_load l = {t, notes, e};
    struct reading r = {.l = &l, .t = t};
    if (!t)
        return sc_fail_memory(e);
    t->unk = SC_NO_ID;
    t->source = "tokenizer.json";
    sc_json_start(&r.j, json.n ? json.p : "", json.n, &t->arena);
    const int code = scan_root(&r) ? read_all(&r, config) : json_failed(&r, &r.j);
    if (code < 0)
        sc_tokenizer_close(t);
    else
        *out = t;
    return code;
}
