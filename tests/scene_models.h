/* SPDX-License-Identifier: Apache-2.0 */
/* scene_models: models of the shapes of published ones, made without files: names and shapes are
 * given by hand, the rest is worked out as when a model is opened. Their elements are nowhere. */
#ifndef SC_TEST_SCENE_MODELS_H
#define SC_TEST_SCENE_MODELS_H

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

#include <stdio.h>

#if defined(__GNUC__)
#define HAND_UNUSED __attribute__((unused))
#else
#define HAND_UNUSED
#endif

struct hand {
    struct sc_model m; /* first */
    struct sc_catalog catalog;
    struct sc_file file;
    struct sc_entry entry;
    size_t cap;
};

HAND_UNUSED static struct sc_model *hand_new(void)
{
    struct hand *h = calloc(1, sizeof *h);
    if (!h)
        abort();
    h->m.catalog = &h->catalog;
    h->catalog.files = &h->file;
    h->catalog.entries = &h->entry;
    h->catalog.n_files = h->catalog.n_entries = 1;
    h->file.component = "";
    return &h->m;
}

/* Dimensions up to the first 0; HAND_EMPTY for one that is 0. */
#define HAND_EMPTY UINT64_MAX
HAND_UNUSED static void hand_put(struct sc_model *m, const char *name, const uint64_t *dims,
                                 size_t rank)
{
    struct hand *h = (struct hand *)(void *)m;
    uint64_t *shape = SC_ARENA_NEW(&m->arena, uint64_t, rank);
    const size_t n = strlen(name);
    if (sc_grow(&m->tensors, &h->cap, m->n_tensors + 1, sizeof *m->tensors, NULL) < 0 || !shape)
        abort();
    struct sc_tensor *t = &m->tensors[m->n_tensors++];
    *t = (struct sc_tensor){.name = sc_arena_copy(&m->arena, name, n),
                            .name_len = (uint32_t)n,
                            .shape = shape,
                            .rank = (uint8_t)rank,
                            .dtype = "BF16",
                            .n_parts = 1};
    for (size_t i = 0; i < rank; i++)
        shape[i] = dims[i] == HAND_EMPTY ? 0 : dims[i];
    if (!sc_product(shape, rank, &t->parameters))
        t->parameters = UINT64_MAX;
    t->bytes = 2 * t->parameters;
}

HAND_UNUSED SC_PRINTF(5, 6) static void hand_add(struct sc_model *m, uint64_t a, uint64_t b,
                                                 uint64_t c, const char *name, ...)
{
    const uint64_t dims[] = {a, b, c};
    char text[512];
    size_t rank = 0;
    va_list ap;
    va_start(ap, name);
    vsnprintf(text, sizeof text, name, ap);
    va_end(ap);
    while (rank < 3 && dims[rank])
        rank++;
    hand_put(m, text, dims, rank);
}

/* Roles, towers, layers and the natural order. */
HAND_UNUSED static struct sc_model *hand_done(struct sc_model *m)
{
    sc_model_classify(m);
    if (sc_model_build_tree(m, NULL) < 0)
        abort();
    return m;
}

HAND_UNUSED static void hand_free(struct sc_model *m)
{
    free(m->tensors);
    sc_pages_free(m->nodes);
    sc_arena_clear(&m->arena);
    free(m);
}

/* ------------------------------------------------------------------------------ decoders --- */
struct hand_decoder {
    unsigned layers, hidden, inter, heads_rows, kv_rows, vocab;
    unsigned experts, expert_inter, dense; /* experts in layers from `dense` on */
    bool tied;
};
static const struct hand_decoder hand_smollm2_135m HAND_UNUSED = {.layers = 30,
                                                                  .hidden = 576,
                                                                  .inter = 1536,
                                                                  .heads_rows = 576,
                                                                  .kv_rows = 192,
                                                                  .vocab = 49152,
                                                                  .tied = true};
static const struct hand_decoder hand_llama32_1b HAND_UNUSED = {.layers = 16,
                                                                .hidden = 2048,
                                                                .inter = 8192,
                                                                .heads_rows = 2048,
                                                                .kv_rows = 512,
                                                                .vocab = 128256,
                                                                .tied = true};
static const struct hand_decoder hand_llama3_8b HAND_UNUSED = {.layers = 32,
                                                               .hidden = 4096,
                                                               .inter = 14336,
                                                               .heads_rows = 4096,
                                                               .kv_rows = 1024,
                                                               .vocab = 128256};
static const struct hand_decoder hand_llama3_70b HAND_UNUSED = {.layers = 80,
                                                                .hidden = 8192,
                                                                .inter = 28672,
                                                                .heads_rows = 8192,
                                                                .kv_rows = 1024,
                                                                .vocab = 128256};
static const struct hand_decoder hand_mixtral HAND_UNUSED = {.layers = 32,
                                                             .hidden = 4096,
                                                             .inter = 14336,
                                                             .heads_rows = 4096,
                                                             .kv_rows = 1024,
                                                             .vocab = 32000,
                                                             .experts = 8,
                                                             .expert_inter = 14336};

/* As Hugging Face names them. */
HAND_UNUSED static struct sc_model *hand_decoder_hf(const struct hand_decoder *d)
{
    struct sc_model *m = hand_new();
    hand_add(m, d->vocab, d->hidden, 0, "model.embed_tokens.weight");
    for (unsigned i = 0; i < d->layers; i++) {
        hand_add(m, d->hidden, 0, 0, "model.layers.%u.input_layernorm.weight", i);
        hand_add(m, d->hidden, 0, 0, "model.layers.%u.post_attention_layernorm.weight", i);
        hand_add(m, d->heads_rows, d->hidden, 0, "model.layers.%u.self_attn.q_proj.weight", i);
        hand_add(m, d->kv_rows, d->hidden, 0, "model.layers.%u.self_attn.k_proj.weight", i);
        hand_add(m, d->kv_rows, d->hidden, 0, "model.layers.%u.self_attn.v_proj.weight", i);
        hand_add(m, d->hidden, d->heads_rows, 0, "model.layers.%u.self_attn.o_proj.weight", i);
        const bool sparse = d->experts && i >= d->dense;
        if (sparse)
            hand_add(m, d->experts, d->hidden, 0, "model.layers.%u.block_sparse_moe.gate.weight",
                     i);
        for (unsigned x = 0; sparse && x < d->experts; x++) {
            hand_add(m, d->expert_inter, d->hidden, 0,
                     "model.layers.%u.block_sparse_moe.experts.%u.w1.weight", i, x);
            hand_add(m, d->hidden, d->expert_inter, 0,
                     "model.layers.%u.block_sparse_moe.experts.%u.w2.weight", i, x);
            hand_add(m, d->expert_inter, d->hidden, 0,
                     "model.layers.%u.block_sparse_moe.experts.%u.w3.weight", i, x);
        }
        if (!sparse) {
            hand_add(m, d->inter, d->hidden, 0, "model.layers.%u.mlp.gate_proj.weight", i);
            hand_add(m, d->inter, d->hidden, 0, "model.layers.%u.mlp.up_proj.weight", i);
            hand_add(m, d->hidden, d->inter, 0, "model.layers.%u.mlp.down_proj.weight", i);
        }
    }
    hand_add(m, d->hidden, 0, 0, "model.norm.weight");
    if (!d->tied)
        hand_add(m, d->vocab, d->hidden, 0, "lm_head.weight");
    m->config.layers = d->layers;
    m->config.experts = d->experts;
    return hand_done(m);
}

/* As GGUF names them, experts stacked. */
HAND_UNUSED static struct sc_model *hand_decoder_gguf(const struct hand_decoder *d)
{
    struct sc_model *m = hand_new();
    hand_add(m, d->vocab, d->hidden, 0, "token_embd.weight");
    for (unsigned i = 0; i < d->layers; i++) {
        hand_add(m, d->hidden, 0, 0, "blk.%u.attn_norm.weight", i);
        hand_add(m, d->hidden, 0, 0, "blk.%u.ffn_norm.weight", i);
        hand_add(m, d->heads_rows, d->hidden, 0, "blk.%u.attn_q.weight", i);
        hand_add(m, d->kv_rows, d->hidden, 0, "blk.%u.attn_k.weight", i);
        hand_add(m, d->kv_rows, d->hidden, 0, "blk.%u.attn_v.weight", i);
        hand_add(m, d->hidden, d->heads_rows, 0, "blk.%u.attn_output.weight", i);
        if (d->experts && i >= d->dense) {
            hand_add(m, d->experts, d->hidden, 0, "blk.%u.ffn_gate_inp.weight", i);
            hand_add(m, d->experts, d->expert_inter, d->hidden, "blk.%u.ffn_gate_exps.weight", i);
            hand_add(m, d->experts, d->expert_inter, d->hidden, "blk.%u.ffn_up_exps.weight", i);
            hand_add(m, d->experts, d->hidden, d->expert_inter, "blk.%u.ffn_down_exps.weight", i);
        } else {
            hand_add(m, d->inter, d->hidden, 0, "blk.%u.ffn_gate.weight", i);
            hand_add(m, d->inter, d->hidden, 0, "blk.%u.ffn_up.weight", i);
            hand_add(m, d->hidden, d->inter, 0, "blk.%u.ffn_down.weight", i);
        }
    }
    hand_add(m, d->hidden, 0, 0, "output_norm.weight");
    if (!d->tied)
        hand_add(m, d->vocab, d->hidden, 0, "output.weight");
    m->config.layers = d->layers;
    m->config.experts = d->experts;
    return hand_done(m);
}

/* DeepSeek-V3: latent attention, 256 experts and a shared one, a layer that predicts further. */
HAND_UNUSED static struct sc_model *hand_deepseek_v3(void)
{
    const uint64_t hidden = 7168, q = 1536, kv = 512, dense = 18432, wide = 2048;
    struct sc_model *m = hand_new();
    hand_add(m, 129280, hidden, 0, "model.embed_tokens.weight");
    for (unsigned i = 0; i < 62; i++) {
        char at[64];
        snprintf(at, sizeof at, "model.layers.%u", i);
        hand_add(m, hidden, 0, 0, "%s.input_layernorm.weight", at);
        hand_add(m, q, hidden, 0, "%s.self_attn.q_a_proj.weight", at);
        hand_add(m, q, 0, 0, "%s.self_attn.q_a_layernorm.weight", at);
        hand_add(m, 24576, q, 0, "%s.self_attn.q_b_proj.weight", at);
        hand_add(m, kv + 64, hidden, 0, "%s.self_attn.kv_a_proj_with_mqa.weight", at);
        hand_add(m, kv, 0, 0, "%s.self_attn.kv_a_layernorm.weight", at);
        hand_add(m, 32768, kv, 0, "%s.self_attn.kv_b_proj.weight", at);
        hand_add(m, hidden, 16384, 0, "%s.self_attn.o_proj.weight", at);
        hand_add(m, hidden, 0, 0, "%s.post_attention_layernorm.weight", at);
        if (i == 61) {
            hand_add(m, 129280, hidden, 0, "%s.embed_tokens.weight", at);
            hand_add(m, hidden, 0, 0, "%s.enorm.weight", at);
            hand_add(m, hidden, 0, 0, "%s.hnorm.weight", at);
            hand_add(m, hidden, 2 * hidden, 0, "%s.eh_proj.weight", at);
            hand_add(m, hidden, 0, 0, "%s.shared_head.norm.weight", at);
            hand_add(m, 129280, hidden, 0, "%s.shared_head.head.weight", at);
        }
        if (i < 3) {
            hand_add(m, dense, hidden, 0, "%s.mlp.gate_proj.weight", at);
            hand_add(m, dense, hidden, 0, "%s.mlp.up_proj.weight", at);
            hand_add(m, hidden, dense, 0, "%s.mlp.down_proj.weight", at);
            continue;
        }
        hand_add(m, 256, hidden, 0, "%s.mlp.gate.weight", at);
        hand_add(m, 256, 0, 0, "%s.mlp.gate.e_score_correction_bias", at);
        for (int x = -1; x < 256; x++) {
            char to[96];
            if (x < 0)
                snprintf(to, sizeof to, "%s.mlp.shared_experts", at);
            else
                snprintf(to, sizeof to, "%s.mlp.experts.%d", at, x);
            hand_add(m, wide, hidden, 0, "%s.gate_proj.weight", to);
            hand_add(m, wide, hidden, 0, "%s.up_proj.weight", to);
            hand_add(m, hidden, wide, 0, "%s.down_proj.weight", to);
        }
    }
    hand_add(m, hidden, 0, 0, "model.norm.weight");
    hand_add(m, 129280, hidden, 0, "lm_head.weight");
    m->config.layers = 61;
    m->config.mtp_layers = 1;
    m->config.experts = 256;
    return hand_done(m);
}

#endif
