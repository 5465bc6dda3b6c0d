/* SPDX-License-Identifier: Apache-2.0 */
/* names: roles, towers, layers and experts by name, and canonical names. The names are those of
 * published models. */
#include "model/names_tables.h"
#include "test.h"

#include <stdlib.h>

struct fact {
    const char *name;
    enum sc_role role;
    enum sc_tower tower;
    int32_t layer, expert;
};
#define R(x) SC_ROLE_##x
#define T(x) SC_TOWER_##x

static void check_facts(const struct fact *facts, size_t n, uint64_t layers)
{
    for (size_t i = 0; i < n; i++) {
        const struct fact *f = &facts[i];
        const struct sc_name_facts got = sc_name_facts(sc_strz(f->name), layers);
        const unsigned before = test_bad;
        CHECK_STR(sc_role_names[got.role], sc_role_names[f->role]);
        CHECK_STR(sc_tower_names[got.tower], sc_tower_names[f->tower]);
        CHECK(got.layer == f->layer);
        CHECK(got.expert == f->expert);
        if (test_bad != before)
            fprintf(stderr, "    ... of %s (layer %d, expert %d)\n", f->name, (int)got.layer,
                    (int)got.expert);
    }
}

/* clang-format off */
TEST(names_of_decoders)
{
    static const struct fact facts[] = {
        {"model.embed_tokens.weight", R(EMBEDDING), T(MAIN), -1, -1},
        {"model.layers.0.input_layernorm.weight", R(NORM), T(MAIN), 0, -1},
        {"model.layers.3.self_attn.q_proj.weight", R(Q), T(MAIN), 3, -1},
        {"model.layers.3.self_attn.k_proj.weight", R(K), T(MAIN), 3, -1},
        {"model.layers.3.self_attn.v_proj.bias", R(BIAS), T(MAIN), 3, -1},
        {"model.layers.31.self_attn.o_proj.weight", R(O), T(MAIN), 31, -1},
        {"model.layers.0.self_attn.q_norm.weight", R(NORM), T(MAIN), 0, -1},
        {"model.layers.0.mlp.gate_proj.weight", R(GATE), T(MAIN), 0, -1},
        {"model.layers.0.mlp.up_proj.weight", R(UP), T(MAIN), 0, -1},
        {"model.layers.0.mlp.down_proj.weight", R(DOWN), T(MAIN), 0, -1},
        {"model.layers.0.post_feedforward_layernorm.weight", R(NORM), T(MAIN), 0, -1},
        {"model.norm.weight", R(NORM), T(MAIN), -1, -1},
        {"lm_head.weight", R(OUTPUT), T(MAIN), -1, -1},
        /* Phi-3 */
        {"model.layers.7.self_attn.qkv_proj.weight", R(QKV), T(MAIN), 7, -1},
        {"model.layers.7.mlp.gate_up_proj.weight", R(GATE_UP), T(MAIN), 7, -1},
        /* GPT-2 with and without prefix */
        {"transformer.h.11.attn.c_attn.weight", R(QKV), T(MAIN), 11, -1},
        {"h.11.attn.c_proj.weight", R(O), T(MAIN), 11, -1},
        {"h.11.mlp.c_fc.weight", R(UP), T(MAIN), 11, -1},
        {"h.11.mlp.c_proj.weight", R(DOWN), T(MAIN), 11, -1},
        {"h.11.ln_1.bias", R(BIAS), T(MAIN), 11, -1},
        {"h.11.ln_2.weight", R(NORM), T(MAIN), 11, -1},
        {"wte.weight", R(EMBEDDING), T(MAIN), -1, -1},
        {"wpe.weight", R(POSITION), T(MAIN), -1, -1},
        {"ln_f.weight", R(NORM), T(MAIN), -1, -1},
        /* GPT-NeoX, BLOOM, Falcon, OPT, MPT */
        {"gpt_neox.layers.2.attention.query_key_value.weight", R(QKV), T(MAIN), 2, -1},
        {"gpt_neox.layers.2.attention.dense.weight", R(O), T(MAIN), 2, -1},
        {"gpt_neox.layers.2.mlp.dense_h_to_4h.weight", R(UP), T(MAIN), 2, -1},
        {"gpt_neox.layers.2.mlp.dense_4h_to_h.weight", R(DOWN), T(MAIN), 2, -1},
        {"embed_out.weight", R(OUTPUT), T(MAIN), -1, -1},
        {"transformer.h.0.self_attention.dense.weight", R(O), T(MAIN), 0, -1},
        {"transformer.word_embeddings.weight", R(EMBEDDING), T(MAIN), -1, -1},
        {"model.decoder.layers.5.self_attn.out_proj.weight", R(O), T(DECODER), 5, -1},
        {"model.decoder.layers.5.fc1.weight", R(UP), T(DECODER), 5, -1},
        {"model.decoder.layers.5.fc2.weight", R(DOWN), T(DECODER), 5, -1},
        {"model.decoder.embed_positions.weight", R(POSITION), T(DECODER), -1, -1},
        {"transformer.blocks.4.attn.Wqkv.weight", R(QKV), T(MAIN), 4, -1},
        {"transformer.blocks.4.attn.out_proj.weight", R(O), T(MAIN), 4, -1},
        {"transformer.blocks.4.ffn.down_proj.weight", R(DOWN), T(MAIN), 4, -1},
        /* Meta, Mistral */
        {"tok_embeddings.weight", R(EMBEDDING), T(MAIN), -1, -1},
        {"layers.1.attention.wq.weight", R(Q), T(MAIN), 1, -1},
        {"layers.1.attention.wo.weight", R(O), T(MAIN), 1, -1},
        {"layers.1.feed_forward.w1.weight", R(GATE), T(MAIN), 1, -1},
        {"layers.1.feed_forward.w2.weight", R(DOWN), T(MAIN), 1, -1},
        {"layers.1.feed_forward.w3.weight", R(UP), T(MAIN), 1, -1},
        {"output.weight", R(OUTPUT), T(MAIN), -1, -1},
        /* torch wrappers */
        {"state_dict.module.model.layers.1.mlp.up_proj.weight", R(UP), T(MAIN), 1, -1},
        {"base_model.model.model.layers.9.self_attn.q_proj.lora_A.default.weight", R(Q), T(MAIN),
         9, -1},
        {"base_model.model.model.layers.9.mlp.down_proj.lora_B.weight", R(DOWN), T(MAIN), 9, -1},
        {"model.layers.0.self_attn.rotary_emb.inv_freq", R(POSITION), T(MAIN), 0, -1},
        {"model.layers.0.self_attn.sinks", R(OTHER), T(MAIN), 0, -1},
        {"weight", R(OTHER), T(MAIN), -1, -1},
        {"a.weight", R(OTHER), T(MAIN), -1, -1},
        {"enc.weight", R(OTHER), T(MAIN), -1, -1},
        {"", R(OTHER), T(MAIN), -1, -1},
        {"...", R(OTHER), T(MAIN), -1, -1},
        {"model.layers.99999999999999999999.mlp.up_proj.weight", R(UP), T(MAIN), -1, -1},
        {"model.layers.2147483648.mlp.up_proj.weight", R(UP), T(MAIN), -1, -1},
        {"model.layers.2147483647.mlp.up_proj.weight", R(UP), T(MAIN), 2147483647, -1},
        {"model.layers.x.mlp.up_proj.weight", R(UP), T(MAIN), -1, -1},
    };
    check_facts(facts, SC_COUNT(facts), 0);
}

TEST(names_of_experts)
{
    static const struct fact facts[] = {
        {"model.layers.3.mlp.experts.17.down_proj.weight", R(DOWN), T(MAIN), 3, 17},
        {"model.layers.3.mlp.shared_experts.up_proj.weight", R(UP), T(MAIN), 3, -1},
        {"model.layers.3.mlp.shared_expert.gate_proj.weight", R(GATE), T(MAIN), 3, -1},
        {"model.layers.3.mlp.shared_expert_gate.weight", R(ROUTER), T(MAIN), 3, -1},
        {"model.layers.3.mlp.gate.weight", R(ROUTER), T(MAIN), 3, -1},
        {"model.layers.3.mlp.gate.e_score_correction_bias", R(BIAS), T(MAIN), 3, -1},
        {"model.layers.0.block_sparse_moe.gate.weight", R(ROUTER), T(MAIN), 0, -1},
        {"model.layers.0.block_sparse_moe.experts.7.w1.weight", R(GATE), T(MAIN), 0, 7},
        {"model.layers.0.block_sparse_moe.experts.7.w2.weight", R(DOWN), T(MAIN), 0, 7},
        {"model.layers.0.mlp.experts.gate_up_proj", R(GATE_UP), T(MAIN), 0, -1},
        {"model.layers.0.mlp.experts.gate_up_proj_bias", R(BIAS), T(MAIN), 0, -1},
        {"model.layers.0.mlp.router.weight", R(ROUTER), T(MAIN), 0, -1},
        {"model.layers.0.feed_forward.router.layer.weight", R(ROUTER), T(MAIN), 0, -1},
        /* DeepSeek */
        {"model.layers.0.self_attn.q_a_proj.weight", R(Q_A), T(MAIN), 0, -1},
        {"model.layers.0.self_attn.q_a_layernorm.weight", R(NORM), T(MAIN), 0, -1},
        {"model.layers.0.self_attn.q_b_proj.weight", R(Q_B), T(MAIN), 0, -1},
        {"model.layers.0.self_attn.kv_a_proj_with_mqa.weight", R(KV_A), T(MAIN), 0, -1},
        {"model.layers.0.self_attn.kv_b_proj.weight", R(KV_B), T(MAIN), 0, -1},
        {"layers.2.ffn.experts.9.w3.weight", R(UP), T(MAIN), 2, 9},
        {"layers.2.attn.wq_b.weight", R(Q_B), T(MAIN), 2, -1},
        {"embed.weight", R(EMBEDDING), T(MAIN), -1, -1},
        {"head.weight", R(OUTPUT), T(MAIN), -1, -1},
    };
    check_facts(facts, SC_COUNT(facts), 0);
}

TEST(names_of_predictors)
{
    static const struct fact facts[] = {
        {"model.layers.60.mlp.gate.weight", R(ROUTER), T(MAIN), 60, -1},
        {"model.layers.61.eh_proj.weight", R(OTHER), T(MTP), 61, -1},
        {"model.layers.61.enorm.weight", R(NORM), T(MTP), 61, -1},
        {"model.layers.61.shared_head.head.weight", R(OUTPUT), T(MTP), 61, -1},
        {"model.layers.61.shared_head.norm.weight", R(NORM), T(MTP), 61, -1},
        {"model.layers.61.mlp.experts.3.up_proj.weight", R(UP), T(MTP), 61, 3},
        {"mtp.layers.0.self_attn.q_proj.weight", R(Q), T(MTP), 0, -1},
        {"mtp.fc.weight", R(OTHER), T(MTP), -1, -1},
        {"vision_tower.blocks.70.attn.qkv.weight", R(QKV), T(VISION), 70, -1},
    };
    check_facts(facts, SC_COUNT(facts), 61);
}

TEST(names_of_gguf)
{
    static const struct fact facts[] = {
        {"token_embd.weight", R(EMBEDDING), T(MAIN), -1, -1},
        {"output.weight", R(OUTPUT), T(MAIN), -1, -1},
        {"output_norm.weight", R(NORM), T(MAIN), -1, -1},
        {"rope_freqs.weight", R(POSITION), T(MAIN), -1, -1},
        {"blk.0.attn_norm.weight", R(NORM), T(MAIN), 0, -1},
        {"blk.0.attn_q.weight", R(Q), T(MAIN), 0, -1},
        {"blk.0.attn_q_norm.weight", R(NORM), T(MAIN), 0, -1},
        {"blk.0.attn_qkv.weight", R(QKV), T(MAIN), 0, -1},
        {"blk.0.attn_output.weight", R(O), T(MAIN), 0, -1},
        {"blk.0.attn_kv_a_mqa.weight", R(KV_A), T(MAIN), 0, -1},
        {"blk.0.attn_k_b.weight", R(KV_B), T(MAIN), 0, -1},
        {"blk.0.ffn_gate.weight", R(GATE), T(MAIN), 0, -1},
        {"blk.0.ffn_gate.3.weight", R(GATE), T(MAIN), 0, 3},
        {"blk.0.ffn_down.bias", R(BIAS), T(MAIN), 0, -1},
        {"blk.0.ffn_gate_inp.weight", R(ROUTER), T(MAIN), 0, -1},
        {"blk.0.ffn_gate_exps.weight", R(GATE), T(MAIN), 0, -1},
        {"blk.0.ffn_down_shexp.weight", R(DOWN), T(MAIN), 0, -1},
        {"blk.0.exp_probs_b.bias", R(BIAS), T(MAIN), 0, -1},
        {"blk.0.ssm_conv1d.weight", R(SSM), T(MAIN), 0, -1},
        {"blk.0.ssm_a", R(SSM), T(MAIN), 0, -1},
        {"blk.0.ssm_norm.weight", R(NORM), T(MAIN), 0, -1},
        {"blk.61.nextn.eh_proj.weight", R(OTHER), T(MTP), 61, -1},
        {"v.blk.5.attn_q.weight", R(Q), T(VISION), 5, -1},
        {"v.patch_embd.weight", R(EMBEDDING), T(VISION), -1, -1},
        {"v.post_ln.weight", R(NORM), T(VISION), -1, -1},
        {"mm.2.weight", R(OTHER), T(PROJECTOR), -1, -1},
        {"a.blk.0.ffn_up.weight", R(UP), T(AUDIO), 0, -1},
        {"enc.blk.2.attn_v.weight", R(V), T(ENCODER), 2, -1},
        {"dec.blk.2.cross_attn_k.weight", R(K), T(DECODER), 2, -1},
    };
    check_facts(facts, SC_COUNT(facts), 0);
}

TEST(names_of_towers)
{
    static const struct fact facts[] = {
        {"vision_tower.vision_model.encoder.layers.4.self_attn.out_proj.weight", R(O), T(VISION),
         4, -1},
        {"vision_tower.vision_model.embeddings.patch_embedding.weight", R(EMBEDDING), T(VISION),
         -1, -1},
        {"vision_tower.vision_model.embeddings.position_embedding.weight", R(POSITION), T(VISION),
         -1, -1},
        {"vision_tower.vision_model.pre_layrnorm.weight", R(NORM), T(VISION), -1, -1},
        {"visual.blocks.8.attn.proj.weight", R(O), T(VISION), 8, -1},
        {"visual.merger.mlp.0.weight", R(OTHER), T(PROJECTOR), -1, -1},
        {"multi_modal_projector.linear_1.weight", R(OTHER), T(PROJECTOR), -1, -1},
        {"language_model.model.layers.1.mlp.up_proj.weight", R(UP), T(MAIN), 1, -1},
        {"language_model.lm_head.weight", R(OUTPUT), T(MAIN), -1, -1},
        {"model.audio_tower.layers.3.fc1.weight", R(UP), T(AUDIO), 3, -1},
        {"text_model.encoder.layers.2.mlp.fc2.weight", R(DOWN), T(TEXT), 2, -1},
        /* T5, Whisper, BERT */
        {"shared.weight", R(EMBEDDING), T(MAIN), -1, -1},
        {"encoder.block.3.layer.0.SelfAttention.q.weight", R(Q), T(ENCODER), 3, -1},
        {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", R(POSITION),
         T(ENCODER), 0, -1},
        {"decoder.block.3.layer.1.EncDecAttention.o.weight", R(O), T(DECODER), 3, -1},
        {"decoder.block.3.layer.2.DenseReluDense.wo.weight", R(DOWN), T(DECODER), 3, -1},
        {"decoder.block.3.layer.2.DenseReluDense.wi_0.weight", R(GATE), T(DECODER), 3, -1},
        {"model.encoder.conv1.weight", R(CONV), T(ENCODER), -1, -1},
        {"model.decoder.layers.0.encoder_attn.q_proj.weight", R(Q), T(DECODER), 0, -1},
        {"bert.encoder.layer.7.attention.self.query.weight", R(Q), T(ENCODER), 7, -1},
        {"bert.encoder.layer.7.attention.output.dense.weight", R(O), T(ENCODER), 7, -1},
        {"bert.encoder.layer.7.intermediate.dense.weight", R(UP), T(ENCODER), 7, -1},
        {"bert.encoder.layer.7.output.dense.weight", R(DOWN), T(ENCODER), 7, -1},
        {"bert.encoder.layer.7.output.LayerNorm.weight", R(NORM), T(ENCODER), 7, -1},
        {"bert.embeddings.word_embeddings.weight", R(EMBEDDING), T(MAIN), -1, -1},
        /* Mamba, hybrids */
        {"backbone.embeddings.weight", R(EMBEDDING), T(MAIN), -1, -1},
        {"backbone.layers.0.mixer.in_proj.weight", R(SSM), T(MAIN), 0, -1},
        {"backbone.layers.0.mixer.out_proj.weight", R(SSM), T(MAIN), 0, -1},
        {"backbone.layers.0.mixer.conv1d.weight", R(SSM), T(MAIN), 0, -1},
        {"backbone.layers.0.mixer.conv1d.bias", R(BIAS), T(MAIN), 0, -1},
        {"backbone.layers.0.mixer.A_log", R(SSM), T(MAIN), 0, -1},
        {"backbone.layers.0.mixer.D", R(SSM), T(MAIN), 0, -1},
        {"backbone.layers.0.mixer.dt_bias", R(SSM), T(MAIN), 0, -1},
        {"backbone.layers.0.mixer.norm.weight", R(NORM), T(MAIN), 0, -1},
        {"backbone.layers.5.mixer.q_proj.weight", R(Q), T(MAIN), 5, -1},
        {"model.layers.0.linear_attn.in_proj_qkvz.weight", R(SSM), T(MAIN), 0, -1},
        /* diffusers: blocks of a U-Net are no layers */
        {"unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q.weight", R(Q), T(UNET),
         -1, -1},
        {"unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0.weight", R(O),
         T(UNET), -1, -1},
        {"unet.conv_in.weight", R(CONV), T(UNET), -1, -1},
        {"vae.encoder.down_blocks.0.resnets.0.norm1.weight", R(NORM), T(VAE), -1, -1},
        {"text_encoder.text_model.encoder.layers.0.self_attn.q_proj.weight", R(Q), T(TEXT), 0, -1},
        {"transformer.transformer_blocks.17.attn.add_k_proj.weight", R(K), T(MAIN), 17, -1},
        {"model.diffusion_model.input_blocks.0.0.weight", R(OTHER), T(UNET), -1, -1},
    };
    check_facts(facts, SC_COUNT(facts), 0);
}

/* clang-format on */
TEST(name_tables_are_complete)
{
    for (int i = 0; i < SC_ROLE_COUNT; i++)
        CHECK(sc_role_names[i] && sc_role_names[i][0]);
    for (int i = 0; i < SC_TOWER_COUNT; i++)
        CHECK(sc_tower_names[i] && sc_tower_names[i][0]);
    for (int i = 0; i < SC_LAYOUT_COUNT; i++)
        CHECK(sc_layouts[i].name && sc_layouts[i].summary);
    CHECK(sc_layouts[SC_LAYOUT_GPTQ].decodable && !sc_layouts[SC_LAYOUT_HQQ].decodable);
}

TEST(name_words_stand_under_their_length)
{
    for (size_t n = 0; n < SC_COUNT(words_by_length); n++)
        for (size_t i = 0; i < words_by_length[n].n; i++) {
            const struct word *w = &words_by_length[n].words[i];
            CHECK_U64(strlen(w->text), n);
            /* In order, so that none stands there twice. */
            CHECK(i == 0 || strcmp(w[-1].text, w->text) < 0);
        }
}

TEST(names_of_any_bytes_are_safe)
{
    char name[300];
    uint32_t state = 1;
    for (int round = 0; round < 20000; round++) {
        static const char letters[] = "aehklnorm.0123456789._vw\0\xff";
        size_t n = (size_t)round % sizeof name;
        for (size_t i = 0; i < n; i++) {
            state = state * 1664525 + 1013904223;
            name[i] = letters[(state >> 16) % (sizeof letters - 1)];
        }
        char *exact = malloc(n + 1); /* so that the sanitizer sees any step too far */
        REQUIRE(exact != NULL);
        memcpy(exact, name, n);
        const struct sc_name_facts f = sc_name_facts(sc_str(exact, n), 3);
        struct sc_buf b = {.max = 4096};
        sc_canonical_name(sc_str(exact, n), &b);
        CHECK(f.layer >= -1 && f.expert >= -1 && f.role < SC_ROLE_COUNT && !b.failed);
        sc_buf_clear(&b);
        free(exact);
    }
}

/* Classifying a model resumes where neighbouring names part; it must not matter. */
TEST(names_in_any_order_give_the_same)
{
    static const char *const names[] = {
        "v.blk.0.attn_q.weight",
        "v.weight",
        "v.blk.0.attn_k.weight",
        "v",
        "v.blk",
        "model.layers.3.mlp.experts.1.down_proj.weight",
        "model.layers.3.mlp.experts.1.up_proj.bias",
        "model.layers.3.mlp.experts.11.up_proj.weight",
        "model.layers.3.mlp.gate.weight",
        "model.layers.3",
        "model.layers.30.mlp.gate.weight",
        "model.layer",
        "mode",
        "",
        "encoder.a.b.c.d.e.f.g.h.i.j.k.l.m.n.layers.3.q_proj",
        "encoder.a.b.c.d.e.f.g.h.i.j.k.l.m.x",
        "backbone.layers.0.mixer.D",
        "backbone.layers.0.mixer.dt_bias",
        "a.blk.1.ffn_up.weight",
    };
    struct sc_model m = {.catalog = sc_calloc(1, sizeof *m.catalog)};
    struct sc_error e;
    uint32_t file;
    sc_catalog_add_file(m.catalog, "x", 1, &file, &e);
    const uint64_t one = 1;
    const struct sc_entry proto = {.view = SC_NO_STORAGE};
    for (size_t i = 0; i < SC_COUNT(names) * SC_COUNT(names); i++)
        CHECK_ERR(0, sc_catalog_add(m.catalog, sc_strz(names[i * 7 % SC_COUNT(names)]), &one, 1,
                                    &proto, NULL, &e) ||
                         sc_catalog_add(m.catalog, sc_strz(names[i / SC_COUNT(names)]), &one, 1,
                                        &proto, NULL, &e));
    CHECK_ERR(0, sc_model_fold(&m, &e));
    sc_model_classify(&m);
    for (size_t i = 0; i < m.n_tensors; i++) {
        const struct sc_tensor *t = &m.tensors[i];
        const struct sc_name_facts f = sc_name_facts(sc_str(t->name, t->name_len), 0);
        CHECK_STR(sc_role_names[t->role], sc_role_names[f.role]);
        CHECK(t->layer == f.layer && t->expert == f.expert);
        CHECK(t->tower == f.tower || f.tower == SC_TOWER_ENCODER); /* without decoder: main */
    }
    sc_catalog_close(m.catalog);
    sc_pages_free(m.tensors);
    sc_pages_free(m.parts);
    sc_arena_clear(&m.arena);
}

/* ------------------------------------------------------------------------------- canonical --- */
static void check_canonical(const char *const (*pairs)[2], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sc_buf b = {.max = 4096};
        sc_canonical_name(sc_strz(pairs[i][0]), &b);
        CHECK_STR(b.p ? b.p : "", pairs[i][1]);
        sc_buf_clear(&b);
    }
}

/* clang-format off */
TEST(canonical_names_join_gguf_and_hf)
{
    static const char *const pairs[][2] = {
        {"blk.3.ffn_down.weight", "layers.3.mlp.down_proj.weight"},
        {"model.layers.3.mlp.down_proj.weight", "layers.3.mlp.down_proj.weight"},
        {"language_model.model.layers.3.mlp.down_proj.weight", "layers.3.mlp.down_proj.weight"},
        {"model.language_model.layers.3.mlp.down_proj.weight", "layers.3.mlp.down_proj.weight"},
        {"state_dict.module.layers.3.mlp.down_proj.weight", "layers.3.mlp.down_proj.weight"},
        {"token_embd.weight", "embed_tokens.weight"},
        {"model.embed_tokens.weight", "embed_tokens.weight"},
        {"tok_embeddings.weight", "embed_tokens.weight"},
        {"transformer.wte.weight", "embed_tokens.weight"},
        {"output.weight", "lm_head.weight"},
        {"lm_head.weight", "lm_head.weight"},
        {"output_norm.weight", "norm.weight"},
        {"model.norm.weight", "norm.weight"},
        {"blk.0.attn_q.bias", "layers.0.self_attn.q_proj.bias"},
        {"model.layers.0.self_attn.q_proj.bias", "layers.0.self_attn.q_proj.bias"},
        {"layers.0.attention.wq.weight", "layers.0.self_attn.q_proj.weight"},
        {"blk.0.attn_norm.weight", "layers.0.input_layernorm.weight"},
        {"blk.0.ffn_norm.weight", "layers.0.post_attention_layernorm.weight"},
        {"blk.0.ffn_gate_exps.weight", "layers.0.mlp.experts.gate_proj.weight"},
        {"blk.0.ffn_gate.5.weight", "layers.0.mlp.experts.5.gate_proj.weight"},
        {"model.layers.0.block_sparse_moe.experts.5.w1.weight",
         "layers.0.mlp.experts.5.gate_proj.weight"},
        {"blk.0.ffn_gate_inp.weight", "layers.0.mlp.gate.weight"},
        {"model.layers.0.block_sparse_moe.gate.weight", "layers.0.mlp.gate.weight"},
        {"blk.0.attn_kv_a_mqa.weight", "layers.0.self_attn.kv_a_proj_with_mqa.weight"},
        {"h.7.attn.c_attn.weight", "layers.7.self_attn.qkv_proj.weight"},
        {"transformer.h.7.mlp.c_proj.bias", "layers.7.mlp.down_proj.bias"},
        {"enc.blk.1.attn_k.weight", "encoder.layers.1.self_attn.k_proj.weight"},
        {"encoder.block.1.layer.0.SelfAttention.k.weight",
         "encoder.layers.1.self_attn.k_proj.weight"},
        {"decoder.block.1.layer.1.EncDecAttention.k.weight",
         "decoder.layers.1.cross_attn.k_proj.weight"},
        {"dec.blk.1.cross_attn_k.weight", "decoder.layers.1.cross_attn.k_proj.weight"},
        {"v.blk.2.attn_q.weight", "vision.layers.2.self_attn.q_proj.weight"},
        {"vision_tower.vision_model.encoder.layers.2.self_attn.q_proj.weight",
         "vision.layers.2.self_attn.q_proj.weight"},
        {"model.vision_tower.vision_model.encoder.layers.2.layer_norm1.bias",
         "vision.layers.2.input_layernorm.bias"},
        {"v.blk.2.ln1.bias", "vision.layers.2.input_layernorm.bias"},
        {"v.patch_embd.weight", "vision.patch_embedding.weight"},
        {"mtp.layers.0.mlp.up_proj.weight", "mtp.layers.0.mlp.up_proj.weight"},
    };
    check_canonical(pairs, SC_COUNT(pairs));
}

TEST(canonical_names_leave_strangers_alone)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"weight", "weight"},
        {"model", "model"},
        {"model.", ""},
        {"a..b", "a..b"},
        {"a.weight", "a.weight"},
        {"v.0.weight", "v.0.weight"},
        {"model.layers.3.new_thing.weight", "layers.3.new_thing.weight"},
        {"blk.0.post_attention_norm.weight", "layers.0.post_attention_norm.weight"},
        {"down_blocks.0.resnets.0.conv1.weight", "down_blocks.0.resnets.0.conv1.weight"},
        {"v", "v"},
        {"layers.3", "layers.3"},
    };
    check_canonical(pairs, SC_COUNT(pairs));
}
/* clang-format on */
