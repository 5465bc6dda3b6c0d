/* SPDX-License-Identifier: Apache-2.0 */
/* names_tables: what the words between the dots of tensor names mean, one array a word length so
 * that a look-up compares about ten words. Private to names.c.
 *
 * `does` opens a context or announces a number; `tower` is where the word leads; the roles are
 * those of the last word that has one in its context, `role` where no context decides. */
#ifndef SC_MODEL_NAMES_TABLES_H
#define SC_MODEL_NAMES_TABLES_H

#include "model/model.h"

enum does {
    NOTHING,
    LAYERS,   /* the number that follows is a layer */
    NO_LAYER, /* the number that follows is none, nor is any after it */
    EXPERTS,  /* the number that follows is an expert */
    ATTN,     /* what follows is attention */
    MLP,      /* what follows is a feed-forward block */
    SSM,      /* what follows is a state space model */
    TOP,      /* what follows is as if it stood outside of any layer */
};

struct word {
    const char *text;
    uint8_t does;                                  /* enum does */
    uint8_t tower;                                 /* enum sc_tower; MAIN: none */
    uint8_t role, in_attn, in_mlp, in_ssm, at_top; /* enum sc_role; OTHER: none */
    bool gguf; /* the tower counts only where sc_gguf_tower() agrees */
};

/* clang-format off */
static const struct word words_1[] = {
    {"D", .in_ssm = SC_ROLE_SSM},
    {"a", .gguf = true, .tower = SC_TOWER_AUDIO},
    {"h", .does = LAYERS},
    {"k", .role = SC_ROLE_K},
    {"o", .in_attn = SC_ROLE_O},
    {"q", .role = SC_ROLE_Q},
    {"v", .gguf = true, .tower = SC_TOWER_VISION, .in_attn = SC_ROLE_V},
};
static const struct word words_2[] = {
    {"ff", .does = MLP},
    {"mm", .gguf = true, .tower = SC_TOWER_PROJECTOR},
    {"v1", .role = SC_ROLE_UP},
    {"w1", .role = SC_ROLE_GATE},
    {"w2", .role = SC_ROLE_DOWN},
    {"w3", .role = SC_ROLE_UP},
    {"wg", .role = SC_ROLE_ROUTER},
    {"wi", .role = SC_ROLE_UP},
    {"wk", .role = SC_ROLE_K},
    {"wo", .role = SC_ROLE_O, .in_mlp = SC_ROLE_DOWN},
    {"wq", .role = SC_ROLE_Q},
    {"wv", .role = SC_ROLE_V},
};
static const struct word words_3[] = {
    {"att", .does = ATTN},
    {"blk", .does = LAYERS},
    {"dec", .gguf = true, .tower = SC_TOWER_DECODER},
    {"emb", .role = SC_ROLE_EMBEDDING},
    {"enc", .gguf = true, .tower = SC_TOWER_ENCODER},
    {"fc1", .role = SC_ROLE_UP},
    {"fc2", .role = SC_ROLE_DOWN},
    {"ffn", .does = MLP},
    {"key", .role = SC_ROLE_K, .in_mlp = SC_ROLE_UP},
    {"mlp", .does = MLP},
    {"moe", .does = MLP},
    {"mtp", .tower = SC_TOWER_MTP},
    {"qkv", .role = SC_ROLE_QKV},
    {"ssm", .does = SSM},
    {"vae", .tower = SC_TOWER_VAE},
    {"vit", .tower = SC_TOWER_VISION},
    {"vpm", .tower = SC_TOWER_VISION},
    {"w13", .role = SC_ROLE_GATE_UP},
    {"wkv", .role = SC_ROLE_KV},
    {"wpe", .role = SC_ROLE_POSITION},
    {"wte", .role = SC_ROLE_EMBEDDING},
};
static const struct word words_4[] = {
    {"Wqkv", .role = SC_ROLE_QKV},
    {"attn", .does = ATTN},
    {"c_fc", .role = SC_ROLE_UP},
    {"exps", .does = EXPERTS},
    {"gate", .role = SC_ROLE_ROUTER},
    {"head", .at_top = SC_ROLE_OUTPUT},
    {"lin1", .role = SC_ROLE_UP},
    {"lin2", .role = SC_ROLE_DOWN},
    {"mlp1", .tower = SC_TOWER_PROJECTOR},
    {"proj", .in_attn = SC_ROLE_O},
    {"to_k", .role = SC_ROLE_K},
    {"to_q", .role = SC_ROLE_Q},
    {"to_v", .role = SC_ROLE_V},
    {"unet", .tower = SC_TOWER_UNET},
    {"wi_0", .role = SC_ROLE_GATE},
    {"wi_1", .role = SC_ROLE_UP},
    {"wq_a", .role = SC_ROLE_Q_A},
    {"wq_b", .role = SC_ROLE_Q_B},
    {"wqkv", .role = SC_ROLE_QKV},
};
static const struct word words_5[] = {
    {"A_log", .role = SC_ROLE_SSM},
    {"attn1", .does = ATTN},
    {"attn2", .does = ATTN},
    {"audio", .tower = SC_TOWER_AUDIO},
    {"block", .does = LAYERS},
    {"dense", .in_attn = SC_ROLE_O},
    {"embed", .role = SC_ROLE_EMBEDDING},
    {"k_lin", .role = SC_ROLE_K},
    {"layer", .does = LAYERS},
    {"mamba", .does = SSM},
    {"mixer", .does = SSM},
    {"nextn", .tower = SC_TOWER_MTP},
    {"q_lin", .role = SC_ROLE_Q},
    {"query", .role = SC_ROLE_Q},
    {"to_kv", .role = SC_ROLE_KV},
    {"v_lin", .role = SC_ROLE_V},
    {"value", .role = SC_ROLE_V, .in_mlp = SC_ROLE_DOWN},
    {"wkv_a", .role = SC_ROLE_KV_A},
    {"wkv_b", .role = SC_ROLE_KV_B},
};
static const struct word words_6[] = {
    {"W_pack", .role = SC_ROLE_QKV},
    {"attn_k", .role = SC_ROLE_K},
    {"attn_q", .role = SC_ROLE_Q},
    {"attn_v", .role = SC_ROLE_V},
    {"blocks", .does = LAYERS},
    {"c_attn", .role = SC_ROLE_QKV},
    {"c_proj", .in_attn = SC_ROLE_O, .in_mlp = SC_ROLE_DOWN},
    {"conv1d", .in_ssm = SC_ROLE_SSM},
    {"expert", .does = EXPERTS},
    {"ff_out", .role = SC_ROLE_DOWN, .at_top = SC_ROLE_OUTPUT},
    {"ffn_up", .does = EXPERTS, .role = SC_ROLE_UP},
    {"k_proj", .role = SC_ROLE_K},
    {"layers", .does = LAYERS},
    {"mamba2", .does = SSM},
    {"merger", .tower = SC_TOWER_PROJECTOR},
    {"o_proj", .role = SC_ROLE_O},
    {"output", .role = SC_ROLE_DOWN, .in_attn = SC_ROLE_O, .at_top = SC_ROLE_OUTPUT},
    {"q_attn", .role = SC_ROLE_Q},
    {"q_proj", .role = SC_ROLE_Q},
    {"router", .role = SC_ROLE_ROUTER},
    {"shared", .at_top = SC_ROLE_EMBEDDING},
    {"to_out", .role = SC_ROLE_O},
    {"to_qkv", .role = SC_ROLE_QKV},
    {"v_proj", .role = SC_ROLE_V},
    {"vision", .tower = SC_TOWER_VISION},
    {"visual", .tower = SC_TOWER_VISION},
    {"x_proj", .role = SC_ROLE_SSM},
};
static const struct word words_7[] = {
    {"aligner", .tower = SC_TOWER_PROJECTOR},
    {"bc_proj", .in_ssm = SC_ROLE_SSM},
    {"decoder", .tower = SC_TOWER_DECODER},
    {"dt_bias", .role = SC_ROLE_SSM},
    {"dt_proj", .role = SC_ROLE_SSM},
    {"encoder", .tower = SC_TOWER_ENCODER},
    {"experts", .does = EXPERTS},
    {"ff_proj", .role = SC_ROLE_GATE_UP},
    {"in_proj", .in_ssm = SC_ROLE_SSM},
    {"kv_proj", .role = SC_ROLE_KV},
    {"lm_head", .role = SC_ROLE_OUTPUT},
    {"out_lin", .role = SC_ROLE_O},
    {"pos_emb", .role = SC_ROLE_POSITION},
    {"qformer", .tower = SC_TOWER_PROJECTOR},
    {"up_proj", .role = SC_ROLE_UP},
};
static const struct word words_8[] = {
    {"att_proj", .role = SC_ROLE_QKV},
    {"attn_k_b", .role = SC_ROLE_KV_B},
    {"attn_out", .role = SC_ROLE_O},
    {"attn_q_a", .role = SC_ROLE_Q_A},
    {"attn_q_b", .role = SC_ROLE_Q_B},
    {"attn_qkv", .role = SC_ROLE_QKV},
    {"attn_v_b", .role = SC_ROLE_KV_B},
    {"embed_in", .role = SC_ROLE_EMBEDDING},
    {"ffn_down", .does = EXPERTS, .role = SC_ROLE_DOWN},
    {"ffn_gate", .does = EXPERTS, .role = SC_ROLE_GATE},
    {"k_linear", .role = SC_ROLE_K},
    {"key_proj", .role = SC_ROLE_K},
    {"linear_k", .role = SC_ROLE_K},
    {"linear_o", .in_attn = SC_ROLE_O},
    {"linear_q", .role = SC_ROLE_Q},
    {"linear_v", .role = SC_ROLE_V},
    {"out_proj", .in_attn = SC_ROLE_O, .in_ssm = SC_ROLE_SSM},
    {"q_a_proj", .role = SC_ROLE_Q_A},
    {"q_b_proj", .role = SC_ROLE_Q_B},
    {"q_linear", .role = SC_ROLE_Q},
    {"qkv_proj", .role = SC_ROLE_QKV},
    {"up_projs", .role = SC_ROLE_UP},
    {"v_linear", .role = SC_ROLE_V},
};
static const struct word words_9[] = {
    {"attention", .does = ATTN},
    {"attn_kv_b", .role = SC_ROLE_KV_B},
    {"bcdt_proj", .in_ssm = SC_ROLE_SSM},
    {"cls_token", .role = SC_ROLE_EMBEDDING},
    {"connector", .tower = SC_TOWER_PROJECTOR},
    {"down_proj", .role = SC_ROLE_DOWN},
    {"embed_out", .role = SC_ROLE_OUTPUT},
    {"embedding", .role = SC_ROLE_EMBEDDING},
    {"gate_proj", .role = SC_ROLE_GATE},
    {"in_proj_a", .in_ssm = SC_ROLE_SSM},
    {"in_proj_b", .in_ssm = SC_ROLE_SSM},
    {"in_proj_z", .in_ssm = SC_ROLE_SSM},
    {"kv_a_proj", .role = SC_ROLE_KV_A},
    {"kv_b_proj", .role = SC_ROLE_KV_B},
    {"mid_block", .does = NO_LAYER},
    {"mtp_block", .tower = SC_TOWER_MTP},
    {"pos_embed", .role = SC_ROLE_POSITION},
    {"qkv_layer", .role = SC_ROLE_QKV},
    {"resampler", .tower = SC_TOWER_PROJECTOR},
    {"resblocks", .does = LAYERS},
    {"self_attn", .does = ATTN},
    {"token2wav", .tower = SC_TOWER_AUDIO},
    {"up_blocks", .does = NO_LAYER},
};
static const struct word words_10[] = {
    {"add_k_proj", .role = SC_ROLE_K},
    {"add_q_proj", .role = SC_ROLE_Q},
    {"add_v_proj", .role = SC_ROLE_V},
    {"attn_rel_b", .role = SC_ROLE_POSITION},
    {"class_embd", .role = SC_ROLE_EMBEDDING},
    {"cross_attn", .does = ATTN},
    {"down_projs", .role = SC_ROLE_DOWN},
    {"embeddings", .role = SC_ROLE_EMBEDDING},
    {"ff_context", .does = MLP},
    {"gate_projs", .role = SC_ROLE_GATE},
    {"in_proj_ba", .in_ssm = SC_ROLE_SSM},
    {"linear_fc1", .role = SC_ROLE_UP},
    {"linear_fc2", .role = SC_ROLE_DOWN},
    {"linear_out", .in_attn = SC_ROLE_O},
    {"linear_qkv", .role = SC_ROLE_QKV},
    {"mtp_layers", .does = LAYERS, .tower = SC_TOWER_MTP},
    {"patch_embd", .role = SC_ROLE_EMBEDDING},
    {"query_proj", .role = SC_ROLE_Q},
    {"rope_freqs", .role = SC_ROLE_POSITION},
    {"rotary_emb", .role = SC_ROLE_POSITION},
    {"text_model", .tower = SC_TOWER_TEXT},
    {"text_tower", .tower = SC_TOWER_TEXT},
    {"to_add_out", .role = SC_ROLE_O},
    {"token_embd", .role = SC_ROLE_EMBEDDING},
    {"value_proj", .role = SC_ROLE_V},
};
static const struct word words_11[] = {
    {"attn_output", .role = SC_ROLE_O},
    {"audio_embed", .tower = SC_TOWER_AUDIO},
    {"audio_model", .tower = SC_TOWER_AUDIO},
    {"audio_tower", .tower = SC_TOWER_AUDIO},
    {"conditioner", .tower = SC_TOWER_TEXT},
    {"down_blocks", .does = NO_LAYER},
    {"embed_audio", .tower = SC_TOWER_PROJECTOR},
    {"encdec_attn", .does = ATTN},
    {"feedforward", .does = MLP},
    {"ffn_gate_up", .role = SC_ROLE_GATE_UP},
    {"ffn_up_exps", .role = SC_ROLE_UP},
    {"in_proj_qkv", .in_ssm = SC_ROLE_SSM},
    {"linear_attn", .does = SSM},
    {"output_proj", .in_attn = SC_ROLE_O},
    {"patch_embed", .role = SC_ROLE_EMBEDDING},
    {"shared_head", .does = TOP},
    {"token_types", .role = SC_ROLE_EMBEDDING},
};
static const struct word words_12[] = {
    {"cross_attn_k", .role = SC_ROLE_K},
    {"cross_attn_o", .role = SC_ROLE_O},
    {"cross_attn_q", .role = SC_ROLE_Q},
    {"cross_attn_v", .role = SC_ROLE_V},
    {"embed_tokens", .role = SC_ROLE_EMBEDDING},
    {"embed_vision", .tower = SC_TOWER_PROJECTOR},
    {"encoder_attn", .does = ATTN},
    {"feed_forward", .does = MLP},
    {"ffn_gate_inp", .role = SC_ROLE_ROUTER},
    {"ffn_up_shexp", .role = SC_ROLE_UP},
    {"gate_up_proj", .role = SC_ROLE_GATE_UP},
    {"in_proj_qkvz", .in_ssm = SC_ROLE_SSM},
    {"input_blocks", .does = NO_LAYER},
    {"intermediate", .role = SC_ROLE_UP},
    {"middle_block", .does = NO_LAYER},
    {"mm_projector", .tower = SC_TOWER_PROJECTOR},
    {"patch_merger", .tower = SC_TOWER_PROJECTOR},
    {"position_ids", .role = SC_ROLE_POSITION},
    {"text_encoder", .tower = SC_TOWER_TEXT},
    {"vision_model", .tower = SC_TOWER_VISION},
    {"vision_tower", .tower = SC_TOWER_VISION},
};
static const struct word words_13[] = {
    {"SelfAttention", .does = ATTN},
    {"attn_kv_a_mqa", .role = SC_ROLE_KV_A},
    {"audio_encoder", .tower = SC_TOWER_AUDIO},
    {"dense_4h_to_h", .role = SC_ROLE_DOWN},
    {"dense_h_to_4h", .role = SC_ROLE_UP},
    {"double_blocks", .does = LAYERS},
    {"ffn_down_exps", .role = SC_ROLE_DOWN},
    {"ffn_gate_exps", .role = SC_ROLE_GATE},
    {"ffn_up_chexps", .role = SC_ROLE_UP},
    {"image_encoder", .tower = SC_TOWER_VISION},
    {"img_processor", .tower = SC_TOWER_VISION},
    {"local_experts", .does = EXPERTS},
    {"output_blocks", .does = NO_LAYER},
    {"position_embd", .role = SC_ROLE_POSITION},
    {"shared_expert", .does = MLP},
    {"single_blocks", .does = LAYERS},
    {"text_encoders", .tower = SC_TOWER_TEXT},
};
static const struct word words_14[] = {
    {"DenseReluDense", .does = MLP},
    {"crossattention", .does = ATTN},
    {"decoder_layers", .does = LAYERS},
    {"encoder_layers", .does = LAYERS},
    {"ffn_down_shexp", .role = SC_ROLE_DOWN},
    {"ffn_gate_shexp", .role = SC_ROLE_GATE},
    {"in_proj_weight", .role = SC_ROLE_QKV},
    {"rotary_pos_emb", .role = SC_ROLE_POSITION},
    {"self_attention", .does = ATTN},
    {"shared_experts", .does = MLP},
    {"speech_encoder", .tower = SC_TOWER_AUDIO},
    {"text_encoder_2", .tower = SC_TOWER_TEXT},
    {"text_encoder_3", .tower = SC_TOWER_TEXT},
    {"tok_embeddings", .role = SC_ROLE_EMBEDDING},
    {"vision_encoder", .tower = SC_TOWER_VISION},
    {"visual_encoder", .tower = SC_TOWER_VISION},
};
static const struct word words_15[] = {
    {"EncDecAttention", .does = ATTN},
    {"audio_projector", .tower = SC_TOWER_PROJECTOR},
    {"class_embedding", .role = SC_ROLE_EMBEDDING},
    {"diffusion_model", .tower = SC_TOWER_UNET},
    {"embed_positions", .role = SC_ROLE_POSITION},
    {"patch_embedding", .role = SC_ROLE_EMBEDDING},
    {"query_key_value", .role = SC_ROLE_QKV},
    {"text_projection", .tower = SC_TOWER_PROJECTOR},
    {"token_embedding", .role = SC_ROLE_EMBEDDING},
    {"vision_backbone", .tower = SC_TOWER_VISION},
    {"word_embeddings", .role = SC_ROLE_EMBEDDING},
};
static const struct word words_16[] = {
    {"block_sparse_moe", .does = MLP},
    {"cond_stage_model", .tower = SC_TOWER_TEXT},
    {"ffn_gate_up_exps", .role = SC_ROLE_GATE_UP},
    {"gate_and_up_proj", .role = SC_ROLE_GATE_UP},
    {"patch_embeddings", .role = SC_ROLE_EMBEDDING},
};
static const struct word words_17[] = {
    {"cross_attn_output", .role = SC_ROLE_O},
    {"deepspeed_experts", .does = EXPERTS},
    {"first_stage_model", .tower = SC_TOWER_VAE},
    {"rope_factors_long", .role = SC_ROLE_POSITION},
    {"vision_projection", .tower = SC_TOWER_PROJECTOR},
    {"visual_projection", .tower = SC_TOWER_PROJECTOR},
};
static const struct word words_18[] = {
    {"ffn_gate_inp_shexp", .role = SC_ROLE_ROUTER},
    {"kv_a_proj_with_mqa", .role = SC_ROLE_KV_A},
    {"position_embedding", .role = SC_ROLE_POSITION},
    {"rope_factors_short", .role = SC_ROLE_POSITION},
    {"shared_expert_gate", .role = SC_ROLE_ROUTER},
    {"transformer_blocks", .does = LAYERS},
};
static const struct word words_19[] = {
    {"modality_projection", .tower = SC_TOWER_PROJECTOR},
    {"position_embeddings", .role = SC_ROLE_POSITION},
    {"vision_embed_tokens", .tower = SC_TOWER_VISION, .role = SC_ROLE_EMBEDDING},
};
static const struct word words_20[] = {
    {"multimodal_projector", .tower = SC_TOWER_PROJECTOR},
    {"per_layer_token_embd", .role = SC_ROLE_EMBEDDING},
    {"positional_embedding", .role = SC_ROLE_POSITION},
};
static const struct word words_21[] = {
    {"deepstack_merger_list", .tower = SC_TOWER_PROJECTOR},
    {"multi_modal_projector", .tower = SC_TOWER_PROJECTOR},
    {"token_type_embeddings", .role = SC_ROLE_EMBEDDING},
};
static const struct word words_22[] = {
    {"embed_tokens_per_layer", .role = SC_ROLE_EMBEDDING},
};
static const struct word words_23[] = {
    {"relative_attention_bias", .role = SC_ROLE_POSITION},
    {"vision_language_adapter", .tower = SC_TOWER_PROJECTOR},
};
static const struct word words_25[] = {
    {"single_transformer_blocks", .does = LAYERS},
};
static const struct word words_28[] = {
    {"MultiHeadDotProductAttention", .does = ATTN},
};
#define LIST(n) {words_##n, SC_COUNT(words_##n)}
static const struct {
    const struct word *words;
    size_t n;
} words_by_length[] = {
    [1] = LIST(1), [2] = LIST(2), [3] = LIST(3), [4] = LIST(4), [5] = LIST(5), [6] = LIST(6),
    [7] = LIST(7), [8] = LIST(8), [9] = LIST(9), [10] = LIST(10), [11] = LIST(11),
    [12] = LIST(12), [13] = LIST(13), [14] = LIST(14), [15] = LIST(15), [16] = LIST(16),
    [17] = LIST(17), [18] = LIST(18), [19] = LIST(19), [20] = LIST(20), [21] = LIST(21),
    [22] = LIST(22), [23] = LIST(23), [25] = LIST(25), [28] = LIST(28),
};
#undef LIST
/* clang-format on */

#endif
