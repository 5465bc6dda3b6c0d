/* SPDX-License-Identifier: Apache-2.0 */
/* check_gguf: do the keys of a GGUF model fit each other and the token embedding?
 *
 *     gguf.architecture    a language model without the key that says which, or it is not a text
 *     gguf.tokenizer       lists of the tokenizer differ in length, the embedding has another
 *                          number of rows than there are tokens, or a token id is none of them
 *
 * Loaders read the lists side by side and take the shape of the embedding from them. */
#include "model/check.h"

#include <inttypes.h>
#include <string.h>

#define WARN(m, id, tensor, ...)                                                                   \
    sc_problem((m)->catalog, SC_WARNING, id, UINT32_MAX, tensor, SC_NO_OFFSET, e, __VA_ARGS__)

/* The first value of the key that has something to say; NULL: there is none. */
static const struct sc_value *value_of(const struct sc_catalog *c, const char *key)
{
    for (size_t i = 0; i < c->n_metas; i++)
        if (sc_str_is(c->metas[i].key, key))
            return &c->metas[i].value;
    return NULL;
}

static const struct sc_tensor *embedding_of(const struct sc_model *m)
{
    for (size_t i = 0; i < m->n_tensors; i++)
        if (sc_str_is(sc_str(m->tensors[i].name, m->tensors[i].name_len), "token_embd.weight"))
            return &m->tensors[i];
    return NULL;
}

static int check_architecture(struct sc_model *m, const struct sc_tensor *embedding,
                              struct sc_error *e)
{
    const struct sc_value *arch = value_of(m->catalog, "general.architecture");
    if (arch && (arch->kind != SC_VALUE_STRING || arch->as.s.n == 0))
        return WARN(m, "gguf.architecture", SC_NO_TENSOR,
                    "\"general.architecture\" is not a name, so the keys of the model are unknown");
    if (!arch && embedding)
        return WARN(m, "gguf.architecture", SC_NO_TENSOR,
                    "\"general.architecture\" is missing, so the keys of the model are unknown");
    return 0;
}

static int check_lists(struct sc_model *m, uint64_t tokens, struct sc_error *e)
{
    static const char *const keys[] = {"tokenizer.ggml.scores", "tokenizer.ggml.token_type"};
    for (size_t i = 0; i < SC_COUNT(keys); i++) {
        const struct sc_value *list = value_of(m->catalog, keys[i]);
        if (list && list->kind == SC_VALUE_ARRAY && list->as.a.count != tokens)
            TRY(WARN(m, "gguf.tokenizer", SC_NO_TENSOR,
                     "\"%s\" has %" PRIu64 " items, but there are %" PRIu64 " tokens", keys[i],
                     list->as.a.count, tokens));
    }
    return 0;
}

/* "tokenizer.ggml.bos_token_id" and its like. -1, also without a sign, is common for "none". */
static int check_ids(struct sc_model *m, uint64_t tokens, struct sc_error *e)
{
    for (size_t i = 0; i < m->catalog->n_metas; i++) {
        const struct sc_meta *meta = &m->catalog->metas[i];
        const struct sc_value *v = &meta->value;
        struct sc_quoted q;
        if (!sc_str_starts(meta->key, "tokenizer.ggml.") || !sc_str_ends(meta->key, "_token_id"))
            continue;
        const bool whole = v->kind == SC_VALUE_UINT || (v->kind == SC_VALUE_INT && v->as.i >= 0);
        const uint64_t id = v->kind == SC_VALUE_UINT ? v->as.u : (uint64_t)(whole ? v->as.i : 0);
        if (whole && id >= tokens && id != UINT32_MAX && id != UINT64_MAX)
            TRY(WARN(m, "gguf.tokenizer", SC_NO_TENSOR,
                     "\"%s\" is %" PRIu64 ", but there are %" PRIu64 " tokens",
                     sc_quote(&q, meta->key), id, tokens));
    }
    return 0;
}

int sc_check_gguf(struct sc_model *m, bool partial, struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;
    if (!c->weight_set || strcmp(c->weight_set, "gguf") != 0 || partial || c->n_errors > 0)
        return 0;
    const struct sc_tensor *embedding = embedding_of(m);
    TRY(check_architecture(m, embedding, e));
    const struct sc_value *tokens = value_of(c, "tokenizer.ggml.tokens");
    if (!tokens || tokens->kind != SC_VALUE_ARRAY)
        return 0;
    const uint64_t n = tokens->as.a.count;
    TRY(check_lists(m, n, e));
    TRY(check_ids(m, n, e));
    /* The embedding of Llama 3.2 Vision has eight rows more, for pictures. */
    const bool pictures = m->config.model_type && strcmp(m->config.model_type, "mllama") == 0;
    if (embedding && embedding->rank == 2 && embedding->shape[0] != n && !pictures)
        TRY(WARN(m, "gguf.tokenizer", sc_str(embedding->name, embedding->name_len),
                 "the tokenizer has %" PRIu64 " tokens, but the token embedding has %" PRIu64
                 " rows",
                 n, embedding->shape[0]));
    return 0;
}
