/* SPDX-License-Identifier: Apache-2.0 */
/* facts: what the tokenizer files (or the tokenizer keys of a GGUF) say, counted without building
 * a tokenizer.
 *
 *     tokenizer.json           model.type, model.vocab, model.merges, model.unk_token, added_tokens
 *     tokenizer_config.json    bos, eos, pad, unk token (text or object with `content`),
 *     special_tokens_map.json  chat_template
 *     chat_template.jinja      only that it is there
 *     vocab.json, merges.txt, vocab.txt, tokenizer.model, tekken.json
 *                              where there is no tokenizer.json
 *
 * tokenizer.json can have tens of megabytes: it is scanned in one pass in memory that does not
 * grow with it, the small files are read with jansson.
 *
 * Does not own: the card (facts_card.c). A file that cannot be used is ignored with a warning. */
#include "model/facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/config.h"

/* ------------------------------------------------------------------------------------ files --- */
int sc_facts_ignore(struct sc_model *m, const char *path, const char *why, struct sc_error *e)
{
    struct sc_quoted q, r;
    return sc_problem(m->catalog, SC_WARNING, "facts.ignored", UINT32_MAX, SC_NO_TENSOR,
                      SC_NO_OFFSET, e, "%s ignored: %s", sc_quote(&q, sc_strz(path)),
                      sc_quote(&r, sc_strz(why)));
}

void sc_text_clear(struct sc_text *t)
{
    free(t->copy);
    sc_source_close(t->source);
    *t = (struct sc_text){.p = ""};
}

static int text_bytes(struct sc_text *t, size_t n, struct sc_error *e)
{
    t->n = n;
    t->p = (const char *)sc_source_map(t->source, 0, n);
    if (t->p)
        return 0;
    t->copy = sc_alloc(n + 1);
    if (!t->copy)
        return sc_fail_memory(e);
    t->p = t->copy;
    return sc_source_read(t->source, 0, t->copy, n, e);
}

int sc_text_open(struct sc_model *m, struct sc_repo *repo, const char *path, uint64_t max,
                 bool whole, struct sc_text *t, struct sc_error *e)
{
    struct sc_error why = {.code = 0};
    *t = (struct sc_text){.p = ""};
    int code = sc_repo_open_file(repo, path, &t->source, &why);
    if (code == SCRUPLE_ENOTFOUND)
        return 0;
    if (code == 0 && whole && t->source->size > max)
        code =
            sc_fail(&why, SCRUPLE_ELIMIT, "it has %" PRIu64 " bytes, at most %" PRIu64 " are read",
                    t->source->size, max);
    if (code == 0)
        code = text_bytes(t, (size_t)SC_MIN(t->source->size, max), &why);
    if (code == SCRUPLE_EMEMORY || code == SCRUPLE_EINTERRUPTED) {
        if (e)
            *e = why;
        return code;
    }
    if (code < 0)
        return sc_facts_ignore(m, path, why.text, e);
    if (t->n >= 3 && memcmp(t->p, "\xef\xbb\xbf", 3) == 0) {
        t->p += 3;
        t->n -= 3;
    }
    return 1;
}

/* --------------------------------------------------------------------------- tokenizer.json --- */
/* Opens `{` or `[`; false: neither stands there (nothing is consumed) or the JSON is wrong. */
static bool walk_into(struct sc_json *j, struct sc_json_walk *w)
{
    char c;
    if (!sc_json_peek(j, &c) || (c != '{' && c != '['))
        return false;
    *w = (struct sc_json_walk){.closer = c == '{' ? '}' : ']'};
    return sc_json_char(j, c, "expected a list or an object");
}

/* Items of a list or object; 0 for any other value. */
static bool count_items(struct sc_json *j, uint64_t *n)
{
    struct sc_json_walk w;
    struct sc_str key;
    *n = 0;
    if (!walk_into(j, &w))
        return !j->problem && sc_json_skip(j);
    while (sc_json_on(j, &w, &key) && sc_json_skip(j))
        ++*n;
    return !j->problem;
}

struct tokenizer_scan {
    struct sc_json j;
    struct sc_arena scratch; /* unescaped strings */
    struct sc_tokenizer_facts *t;
    struct sc_str type, unk; /* in the document or in scratch */
};

static bool text_or_skip(struct sc_json *j, struct sc_str *out)
{
    char c;
    if (!sc_json_peek(j, &c))
        return false;
    return c == '"' ? sc_json_string(j, out) : sc_json_skip(j);
}

static bool scan_model(struct tokenizer_scan *s)
{
    struct sc_json_walk w;
    struct sc_str key;
    if (!walk_into(&s->j, &w))
        return !s->j.problem && sc_json_skip(&s->j);
    while (sc_json_on(&s->j, &w, &key)) {
        bool ok;
        if (sc_str_is(key, "vocab"))
            ok = count_items(&s->j, &s->t->vocabulary);
        else if (sc_str_is(key, "merges"))
            ok = count_items(&s->j, &s->t->merges);
        else if (sc_str_is(key, "type"))
            ok = text_or_skip(&s->j, &s->type);
        else if (sc_str_is(key, "unk_token"))
            ok = text_or_skip(&s->j, &s->unk);
        else
            ok = sc_json_skip(&s->j);
        if (!ok)
            return false;
    }
    return !s->j.problem;
}

static bool scan_added(struct tokenizer_scan *s)
{
    struct sc_json_walk list, token;
    struct sc_str key;
    char c;
    if (!walk_into(&s->j, &list))
        return !s->j.problem && sc_json_skip(&s->j);
    while (sc_json_on(&s->j, &list, &key)) {
        s->t->added++;
        if (!walk_into(&s->j, &token)) {
            if (s->j.problem || !sc_json_skip(&s->j))
                return false;
            continue;
        }
        while (sc_json_on(&s->j, &token, &key)) {
            if (!sc_json_peek(&s->j, &c))
                return false;
            s->t->special += c == 't' && sc_str_is(key, "special");
            if (!sc_json_skip(&s->j))
                return false;
        }
        if (s->j.problem)
            return false;
    }
    return !s->j.problem;
}

static bool scan_root(struct tokenizer_scan *s)
{
    struct sc_json_walk w;
    struct sc_str key = {NULL, 0};
    if (!walk_into(&s->j, &w))
        return false;
    while (sc_json_on(&s->j, &w, &key)) {
        const bool ok = sc_str_is(key, "model")          ? scan_model(s)
                        : sc_str_is(key, "added_tokens") ? scan_added(s)
                                                         : sc_json_skip(&s->j);
        if (!ok)
            return false;
    }
    return !s->j.problem && sc_json_end(&s->j);
}

static int keep_text(struct sc_model *m, struct sc_str s, const char **out, struct sc_error *e)
{
    if (!s.p)
        return 0;
    *out = sc_arena_copy(&m->arena, s.p, s.n);
    return *out ? 0 : sc_fail_memory(e);
}

static int scan_failed(struct sc_model *m, const char *path, const struct sc_json *j,
                       struct sc_error *e)
{
    char why[160];
    const char *problem = j->problem ? j->problem : "the JSON is no object";
    if (strcmp(problem, "out of memory") == 0)
        return sc_fail_memory(e);
    snprintf(why, sizeof why, "%s (byte %" PRIu64 ")", problem,
             sc_json_offset(j, j->problem ? j->problem_at : j->start));
    return sc_facts_ignore(m, path, why, e);
}

static int read_tokenizer_json(struct sc_model *m, struct sc_repo *repo, const char *path,
                               struct sc_error *e)
{
    struct sc_text text;
    struct sc_tokenizer_facts before = m->tokenizer;
    struct tokenizer_scan s = {.t = &m->tokenizer};
    int code = sc_text_open(m, repo, path, SC_MAX_CONFIG_BYTES, true, &text, e);
    if (code > 0) {
        sc_json_start(&s.j, text.p, text.n, &s.scratch);
        if (scan_root(&s)) {
            code = keep_text(m, s.type, &m->tokenizer.type, e);
            if (code == 0)
                code = keep_text(m, s.unk, &m->tokenizer.unk, e);
        } else {
            m->tokenizer = before;
            code = scan_failed(m, path, &s.j, e);
        }
    }
    sc_arena_clear(&s.scratch);
    sc_text_clear(&text);
    return code;
}

/* ------------------------------------------------------------------------------ small files --- */
/* "bos_token": "<s>" or {"content": "<s>", ...} */
static void read_token(struct sc_reading *r, const json_t *root, const char *key, const char **out)
{
    const json_t *value = json_object_get(root, key);
    if (*out)
        return;
    if (json_is_object(value))
        sc_config_text(r, value, "content", out);
    else
        sc_config_text(r, root, key, out);
}

static int read_special(struct sc_model *m, struct sc_repo *repo, const char *path,
                        struct sc_error *e)
{
    json_t *root;
    struct sc_tokenizer_facts *t = &m->tokenizer;
    struct sc_reading r = {.m = m, .path = path, .e = e};
    const int code = sc_config_load(m, repo, path, SC_MAX_CONFIG_BYTES, &root, e);
    if (code <= 0)
        return code;
    read_token(&r, root, "bos_token", &t->bos);
    read_token(&r, root, "eos_token", &t->eos);
    read_token(&r, root, "pad_token", &t->pad);
    read_token(&r, root, "unk_token", &t->unk);
    const json_t *chat = json_object_get(root, "chat_template");
    t->chat_template |= json_string_length(chat) > 0 || json_array_size(chat) > 0;
    json_decref(root);
    return r.code;
}

static uint64_t count_lines(const struct sc_text *t)
{
    uint64_t n = 0;
    const char *end = t->p + t->n;
    for (const char *p = t->p; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const size_t len = (size_t)((nl ? nl : end) - p);
        n += len > 0 && !(len >= 8 && memcmp(p, "#version", 8) == 0);
        p += len + 1;
    }
    return n;
}

/* Lines of a text file, or items of a JSON file. 1: it is there. */
static int count_file(struct sc_model *m, struct sc_repo *repo, const char *path, uint64_t *n,
                      struct sc_error *e)
{
    struct sc_text text;
    struct sc_arena scratch = {.head = NULL};
    struct sc_json j;
    int code = sc_text_open(m, repo, path, SC_MAX_CONFIG_BYTES, true, &text, e);
    if (code > 0 && sc_str_ends(sc_strz(path), ".json")) {
        sc_json_start(&j, text.p, text.n, &scratch);
        if (!count_items(&j, n)) {
            *n = 0;
            code = scan_failed(m, path, &j, e);
        }
    } else if (code > 0) {
        *n = count_lines(&text);
    }
    sc_arena_clear(&scratch);
    sc_text_clear(&text);
    return code;
}

/* Without tokenizer.json: the older files, each of which stands for a kind of tokenizer. */
static int read_older(struct sc_model *m, struct sc_repo *repo, struct sc_error *e)
{
    struct sc_tokenizer_facts *t = &m->tokenizer;
    int code = count_file(m, repo, "vocab.json", &t->vocabulary, e);
    if (code > 0) {
        t->type = "BPE";
        code = count_file(m, repo, "merges.txt", &t->merges, e);
        return SC_MIN(code, 0);
    }
    if (code == 0)
        code = count_file(m, repo, "vocab.txt", &t->vocabulary, e);
    if (code > 0)
        t->type = "WordPiece";
    else if (code == 0 && sc_repo_find(repo, "tokenizer.model"))
        t->type = "SentencePiece";
    else if (code == 0 && sc_repo_find(repo, "tekken.json"))
        t->type = "Tekken";
    return SC_MIN(code, 0);
}

static int read_tokenizer_files(struct sc_model *m, struct sc_repo *repo, struct sc_error *e)
{
    struct sc_tokenizer_facts *t = &m->tokenizer;
    const bool pipeline =
        !sc_repo_find(repo, "tokenizer.json") && sc_repo_find(repo, "tokenizer/tokenizer.json");
    TRY(read_tokenizer_json(m, repo, pipeline ? "tokenizer/tokenizer.json" : "tokenizer.json", e));
    if (!t->type && !t->vocabulary)
        TRY(read_older(m, repo, e));
    TRY(read_special(m, repo,
                     pipeline ? "tokenizer/tokenizer_config.json" : "tokenizer_config.json", e));
    TRY(read_special(
        m, repo, pipeline ? "tokenizer/special_tokens_map.json" : "special_tokens_map.json", e));
    t->chat_template |= sc_repo_find(repo, "chat_template.jinja") != NULL ||
                        sc_repo_find(repo, "chat_template.json") != NULL;
    return 0;
}

/* ----------------------------------------------------------------------------------- GGUF --- */
/* Token number n: its text if it is among the previewed ones. */
static int gguf_token(struct sc_model *m, const struct sc_value *tokens, uint64_t id,
                      const char **out, struct sc_error *e)
{
    char text[40];
    if (tokens && id < tokens->shown && tokens->as.a.items[id].kind == SC_VALUE_STRING)
        return keep_text(m, tokens->as.a.items[id].as.s, out, e);
    const int n = snprintf(text, sizeof text, "token %" PRIu64, id);
    return keep_text(m, sc_str(text, (size_t)n), out, e);
}

static int read_gguf_keys(struct sc_model *m, struct sc_error *e)
{
    struct sc_tokenizer_facts *t = &m->tokenizer;
    const struct {
        const char *key;
        const char **out;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", &t->bos},
        {"tokenizer.ggml.eos_token_id", &t->eos},
        {"tokenizer.ggml.padding_token_id", &t->pad},
        {"tokenizer.ggml.unknown_token_id", &t->unk},
    };
    const struct sc_catalog *c = m->catalog;
    const struct sc_value *tokens = NULL;
    for (size_t i = 0; i < c->n_metas; i++) {
        const struct sc_str key = c->metas[i].key;
        const struct sc_value *v = &c->metas[i].value;
        if (!sc_str_starts(key, "tokenizer."))
            continue;
        if (sc_str_is(key, "tokenizer.ggml.model") && v->kind == SC_VALUE_STRING && !t->type) {
            TRY(keep_text(m, v->as.s, &t->type, e));
        } else if (sc_str_is(key, "tokenizer.ggml.tokens") && v->kind == SC_VALUE_ARRAY) {
            tokens = v;
            t->vocabulary = v->as.a.count;
        } else if (sc_str_is(key, "tokenizer.ggml.merges") && v->kind == SC_VALUE_ARRAY) {
            t->merges = v->as.a.count;
        } else if (sc_str_is(key, "tokenizer.chat_template")) {
            t->chat_template = v->kind == SC_VALUE_STRING && v->as.s.n > 0;
        }
    }
    for (size_t i = 0; i < c->n_metas; i++) {
        const struct sc_value *v = &c->metas[i].value;
        for (size_t k = 0; k < SC_COUNT(ids); k++)
            if (v->kind == SC_VALUE_UINT && !*ids[k].out && sc_str_is(c->metas[i].key, ids[k].key))
                TRY(gguf_token(m, tokens, v->as.u, ids[k].out, e));
    }
    return 0;
}

int sc_model_read_facts(struct sc_model *m, struct sc_repo *repo, struct sc_error *e)
{
    const char *set = m->catalog->weight_set;
    if (set && strcmp(set, "gguf") == 0)
        TRY(read_gguf_keys(m, e));
    if (!m->tokenizer.type && !m->tokenizer.vocabulary)
        TRY(read_tokenizer_files(m, repo, e));
    return sc_facts_card(m, repo, e);
}
