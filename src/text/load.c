/* SPDX-License-Identifier: Apache-2.0 */
/* load: opening a tokenizer, and what its two sources share.
 *
 *     load_json.c     tokenizer.json: vocabulary and merges, added tokens, tokenizer_config.json
 *     load_stages.c   its normalizers, pre-tokenizers, post-processors and decoders
 *     load_gguf.c     the keys of a GGUF file */
#include "text/parts.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void sc_load_note(const struct sc_load *l, const char *fmt, ...)
{
    va_list ap;
    if (!l->notes || !l->notes->note)
        return;
    va_start(ap, fmt);
    sc_note_v(l->notes->note, l->notes->ctx, fmt, ap);
    va_end(ap);
}

int sc_load_keep(const struct sc_load *l, struct sc_str s, struct sc_str *out)
{
    out->p = sc_arena_copy(&l->t->arena, s.n ? s.p : "", s.n);
    out->n = s.n;
    return out->p ? 0 : sc_fail_memory(l->e);
}

static void *too_many(const struct sc_load *l, const char *what)
{
    sc_fail(l->e, SCRUPLE_ELIMIT, "the tokenizer has more than %d %s", SC_MAX_STAGES, what);
    return NULL;
}

struct sc_norm_step *sc_load_norm(const struct sc_load *l, enum sc_norm_op op)
{
    struct sc_tokenizer *t = l->t;
    if (t->n_norm == SC_MAX_STAGES)
        return too_many(l, "normalizers");
    t->norm[t->n_norm].op = op;
    return &t->norm[t->n_norm++];
}

struct sc_pre_step *sc_load_pre(const struct sc_load *l, enum sc_pre_op op)
{
    struct sc_tokenizer *t = l->t;
    if (t->n_pre == SC_MAX_STAGES)
        return too_many(l, "pre-tokenizers");
    t->pre[t->n_pre].op = op;
    if (op == SC_PRE_METASPACE)
        t->pre[t->n_pre].chars = SC_CHARS_ONE;
    return &t->pre[t->n_pre++];
}

struct sc_post_step *sc_load_post(const struct sc_load *l, enum sc_post_op op)
{
    struct sc_tokenizer *t = l->t;
    if (t->n_post == SC_MAX_STAGES)
        return too_many(l, "post-processors");
    t->post[t->n_post].op = op;
    return &t->post[t->n_post++];
}

struct sc_decode_step *sc_load_decode(const struct sc_load *l, enum sc_decode_op op)
{
    struct sc_tokenizer *t = l->t;
    if (t->n_decode == SC_MAX_STAGES)
        return too_many(l, "decoders");
    t->has_decoder = true;
    t->decode[t->n_decode].op = op;
    return &t->decode[t->n_decode++];
}

int sc_load_ids(const struct sc_load *l, uint32_t **list, size_t *n, uint32_t id)
{
    if (*n >= 4096)
        return sc_fail(l->e, SCRUPLE_ELIMIT,
                       "the post-processor puts more than 4,096 tokens around a text");
    size_t cap = *n;
    TRY(sc_grow(list, &cap, *n + 1, sizeof **list, l->e));
    (*list)[(*n)++] = id;
    return 0;
}

/* u32 bytes of the trie, the trie, texts with a NUL behind each. */
int sc_load_charsmap(const struct sc_load *l, const uint8_t *p, size_t n, struct sc_norm_step *step)
{
    if (n < 4 || sc_le32(p) % 4 || sc_le32(p) > n - 4)
        return sc_fail(l->e, SCRUPLE_EFORMAT, "the charsmap of the normalizer is malformed");
    step->n_units = sc_le32(p) / 4;
    uint32_t *units = SC_ARENA_NEW(&l->t->arena, uint32_t, step->n_units + 1);
    if (!units)
        return sc_fail_memory(l->e);
    for (size_t i = 0; i < step->n_units; i++)
        units[i] = sc_le32(p + 4 + 4 * i);
    step->units = units;
    const struct sc_str texts =
        sc_str((const char *)p + 4 + 4 * step->n_units, n - 4 - 4 * step->n_units);
    if (!sc_utf8_valid(texts))
        return sc_fail(l->e, SCRUPLE_EFORMAT,
                       "the texts of the normalizer's charsmap are not valid UTF-8");
    return sc_load_keep(l, texts, &step->texts);
}

/* --------------------------------------------------------------------------------- repositories
 * --- */
struct text_file {
    struct sc_source *source;
    char *copy;
    struct sc_str s;
};

static void close_text(struct text_file *f)
{
    free(f->copy);
    sc_source_close(f->source);
}

/* 1: it is there; 0: it is not. */
static int open_text(struct sc_repo *repo, const char *path, struct text_file *f,
                     struct sc_error *e)
{
    struct sc_error why = {.code = 0};
    *f = (struct text_file){.s = {"", 0}};
    const int code = sc_repo_open_file(repo, path, &f->source, &why);
    if (code == SCRUPLE_ENOTFOUND)
        return 0;
    if (code < 0) {
        if (e)
            *e = why;
        return code;
    }
    if (f->source->size > SC_MAX_TOKENIZER_BYTES)
        return sc_fail(e, SCRUPLE_ELIMIT, "%s has more than 256 MiB", path);
    f->s.n = (size_t)f->source->size;
    f->s.p = (const char *)sc_source_map(f->source, 0, f->s.n);
    if (!f->s.p) {
        f->copy = sc_alloc(f->s.n + 1);
        if (!f->copy)
            return sc_fail_memory(e);
        f->s.p = f->copy;
        TRY(sc_source_read(f->source, 0, f->copy, f->s.n, e));
    }
    if (f->s.n >= 3 && memcmp(f->s.p, "\xef\xbb\xbf", 3) == 0)
        f->s = sc_str(f->s.p + 3, f->s.n - 3);
    return 1;
}

static int open_both(struct sc_repo *repo, const char *json, const char *config,
                     const struct sc_tokenizer_notes *notes, struct sc_tokenizer **out,
                     struct sc_error *e)
{
    struct text_file a, b = {.s = {"", 0}};
    int code = open_text(repo, json, &a, e);
    if (code == 0)
        code = sc_fail(e, SCRUPLE_ENOTFOUND, "%s has no tokenizer.json", repo->label);
    else if (code > 0)
        code = open_text(repo, config, &b, e);
    if (code >= 0)
        code = sc_tokenizer_parse(a.s, b.s, notes, out, e);
    if (code < 0 && code != SCRUPLE_ENOTFOUND && a.source)
        sc_error_prefix(e, "%s", json);
    close_text(&a);
    close_text(&b);
    return code;
}

int sc_tokenizer_open(struct sc_repo *repo, const struct sc_tokenizer_notes *notes,
                      struct sc_tokenizer **out, struct sc_error *e)
{
    if (repo->selected && sc_str_ends(sc_strz(repo->selected), ".json"))
        return open_both(repo, repo->selected, "tokenizer_config.json", notes, out, e);
    if (!sc_repo_find(repo, "tokenizer.json") && sc_repo_find(repo, "tokenizer/tokenizer.json"))
        return open_both(repo, "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", notes,
                         out, e);
    return open_both(repo, "tokenizer.json", "tokenizer_config.json", notes, out, e);
}

static bool has_gguf_keys(const struct sc_model *m)
{
    for (size_t i = 0; i < m->catalog->n_metas; i++)
        if (sc_str_is(m->catalog->metas[i].key, "tokenizer.ggml.tokens"))
            return true;
    return false;
}

int sc_tokenizer_of_model(const struct sc_model *m, const struct sc_tokenizer_notes *notes,
                          struct sc_tokenizer **out, struct sc_error *e)
{
    if (!has_gguf_keys(m))
        return m->repo ? sc_tokenizer_open(m->repo, notes, out, e)
                       : sc_fail(e, SCRUPLE_ENOTFOUND, "%s has no tokenizer", m->label);
    struct sc_tokenizer *t = sc_calloc(1, sizeof *t);
    const struct sc_load l = {t, notes, e};
    if (!t)
        return sc_fail_memory(e);
    t->unk = SC_NO_ID;
    t->source = "GGUF";
    const int code = sc_tokenizer_of_gguf(&l, m);
    if (code < 0)
        sc_tokenizer_close(t);
    else
        *out = t;
    return code < 0 ? code : 0;
}
