/* SPDX-License-Identifier: Apache-2.0 */
/* families_moe: mixtures of experts: Mixtral, Qwen, OLMoE, DeepSeek. */
#include <math.h>
#include <string.h>

#include "forward/engine.h"

static uint32_t count_of(struct sc_keys *k, const char *hf, const char *gguf, uint64_t max,
                         uint64_t fallback)
{
    uint64_t n = fallback;

    sc_key_uint(k, hf, gguf, &n);
    if (k->code == 0 && n > max)
        sc_keys_refuse(k, "%s is %llu, allowed are up to %llu", sc_key_called(k, hf, gguf).s,
                       (unsigned long long)n, (unsigned long long)max);
    return k->code < 0 ? 0 : (uint32_t)n;
}

/* Layers that have experts get room for them. */
static void add_experts(struct sc_keys *k, struct sc_forward *f, bool (*has)(void *, uint32_t),
                        void *ctx)
{
    struct sc_plan *p = &f->plan;
    struct sc_forward_facts *facts = &p->facts;

    facts->experts =
        count_of(k, "num_local_experts num_experts n_routed_experts", "expert_count", 1 << 16, 0);
    facts->experts_per_token = count_of(k, "num_experts_per_tok", "expert_used_count", 1 << 16, 0);
    if (k->code == 0 &&
        (!facts->experts || !facts->experts_per_token || facts->experts_per_token > facts->experts))
        sc_keys_refuse(k, "%u of %u experts work on a token", facts->experts_per_token,
                       facts->experts);
    p->moe_intermediate = count_of(k, "moe_intermediate_size", "expert_feed_forward_length",
                                   1 << 24, facts->intermediate);
    /* each has a tensor of its own, or a row of a stack at least */
    if (k->code == 0 && facts->experts > f->m->parameters / facts->layers)
        sc_keys_refuse(k, "%u experts in %u layers are more than its files have numbers for",
                       facts->experts, facts->layers);
    for (uint32_t i = 0; k->code == 0 && i < facts->layers; i++) {
        if (has && !has(ctx, i))
            continue;
        p->layers[i].experts = SC_ARENA_NEW(&f->arena, struct sc_expert, facts->experts);
        if (!p->layers[i].experts)
            k->code = sc_fail_memory(k->e);
    }
}

static void plan_mixtral(struct sc_keys *k, struct sc_forward *f)
{
    uint64_t window = 0;

    f->plan.gguf_permuted = !k->root;
    f->plan.renormalise = true;
    if (sc_key_uint(k, "sliding_window", NULL, &window) && window < UINT32_MAX)
        for (uint32_t i = 0; i < f->plan.facts.layers; i++)
            f->plan.layers[i].window = (uint32_t)window;
    add_experts(k, f, NULL, NULL);
    f->plan.moe_intermediate = f->plan.facts.intermediate;
}

/* Which layers of Qwen's are sparse. */
struct sparse {
    uint64_t step;
    const json_t *dense;
};

static bool is_sparse(void *ctx, uint32_t layer)
{
    const struct sparse *s = ctx;

    for (size_t i = 0; i < json_array_size(s->dense); i++)
        if (json_integer_value(json_array_get(s->dense, i)) == (json_int_t)layer)
            return false;
    return (layer + 1) % s->step == 0;
}

static void plan_qwen_experts(struct sc_keys *k, struct sc_forward *f)
{
    struct sparse s = {1, sc_key_list(k, "mlp_only_layers")};

    sc_key_uint(k, "decoder_sparse_step", NULL, &s.step);
    if (k->code == 0 && s.step < 1)
        sc_keys_refuse(k, "its decoder_sparse_step is 0");
    sc_key_bool(k, "norm_topk_prob", "expert_weights_norm", &f->plan.renormalise);
    if (k->code == 0)
        add_experts(k, f, is_sparse, &s);
}

static void plan_qwen2moe(struct sc_keys *k, struct sc_forward *f)
{
    sc_family_qwen2.plan(k, f);
    plan_qwen_experts(k, f);
    f->plan.shared_intermediate = count_of(k, "shared_expert_intermediate_size",
                                           "expert_shared_feed_forward_length", 1 << 24, 0);
}

static void plan_qwen3moe(struct sc_keys *k, struct sc_forward *f)
{
    f->plan.renormalise = !k->root; /* llama.cpp has no key for it, and does so */
    sc_family_qwen3.plan(k, f);
    plan_qwen_experts(k, f);
}

static void plan_olmoe(struct sc_keys *k, struct sc_forward *f)
{
    f->plan.qk_norm_full = true;
    sc_key_real(k, "clip_qkv", "attention.clamp_kqv", &f->plan.clip_qkv);
    sc_key_bool(k, "norm_topk_prob", NULL, &f->plan.renormalise);
    add_experts(k, f, NULL, NULL);
    f->plan.moe_intermediate = f->plan.facts.intermediate;
}

/* ------------------------------------------------------------------------------- DeepSeek --- */

static bool is_behind_first(void *ctx, uint32_t layer)
{
    return layer >= *(const uint32_t *)ctx;
}

/* What the two containers say of the length of heads is not the same thing. */
static void read_latent(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;
    struct sc_forward_facts *facts = &p->facts;

    p->q_rank = count_of(k, "q_lora_rank", "attention.q_lora_rank", 1 << 20, 0);
    p->kv_rank = count_of(k, "kv_lora_rank", "attention.kv_lora_rank", 1 << 20, 0);
    p->rope_dim = count_of(k, "qk_rope_head_dim", "rope.dimension_count", 1 << 14, 0);
    if (k->root) {
        p->nope_dim = count_of(k, "qk_nope_head_dim", NULL, 1 << 14, 0);
        facts->value_dim = count_of(k, "v_head_dim", NULL, 1 << 14, 0);
    } else {
        const uint32_t key = count_of(k, NULL, "attention.key_length_mla", 1 << 14,
                                      count_of(k, NULL, "attention.key_length", 1 << 14, 0));
        p->nope_dim = key > p->rope_dim ? key - p->rope_dim : 0;
        facts->value_dim = count_of(k, NULL, "attention.value_length_mla", 1 << 14,
                                    count_of(k, NULL, "attention.value_length", 1 << 14, 0));
    }
    if (k->code == 0 &&
        (!p->kv_rank || !p->rope_dim || p->rope_dim % 2 || !p->nope_dim || !facts->value_dim))
        sc_keys_refuse(k, "the sizes of its latent attention are not all there");
    facts->kv_heads = facts->heads;
    facts->head_dim = p->nope_dim + p->rope_dim;
    p->attention_scale = 1 / sqrt((double)facts->head_dim);
}

static void plan_latent(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;
    double base = 10000, factor = 1, all = 0, log_multiplier = 0, temperature = 0;

    read_latent(k, f);
    sc_key_real(k, "rope_theta rope_parameters.rope_theta", "rope.freq_base", &base);
    sc_key_real(k, NULL, "attention.temperature_scale", &temperature);
    if (temperature != 0)
        sc_keys_refuse(k, "its attention grows sharper with the position");
    p->ropes[0].adjacent = true;
    sc_rope_plan(k, f, &p->ropes[0], base, p->rope_dim, true);
    sc_key_real(k, "rope_scaling.factor rope_parameters.factor", "rope.scaling.factor", &factor);
    sc_key_real(k, "rope_scaling.mscale_all_dim rope_parameters.mscale_all_dim", NULL, &all);
    if (sc_key_real(k, NULL, "rope.scaling.yarn_log_multiplier", &log_multiplier))
        all = log_multiplier / 0.1;
    if (all != 0)
        p->attention_scale *= sc_yarn_magnitude(factor, all) * sc_yarn_magnitude(factor, all);
}

static void plan_routes(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;
    uint64_t gate = 0;
    const struct sc_str method = sc_key_text(k, "topk_method", NULL);

    p->first_dense = count_of(k, "first_k_dense_replace", "leading_dense_block_count", 10000, 0);
    p->route_scale = 1;
    sc_key_real(k, "routed_scaling_factor", "expert_weights_scale", &p->route_scale);
    sc_key_bool(k, "norm_topk_prob", "expert_weights_norm", &p->renormalise);
    p->groups = count_of(k, "n_group", "expert_group_count", SC_MAX_GROUPS, 1);
    p->groups_kept = count_of(k, "topk_group", "expert_group_used_count", 1 << 16, 1);
    if (sc_str_is(method, "greedy"))
        p->groups = p->groups_kept = 1;
    if (sc_key_uint(k, NULL, "expert_gating_func", &gate) && gate == 2)
        p->router = SC_ROUTER_SIGMOID;
    add_experts(k, f, is_behind_first, &p->first_dense);
    const uint32_t shared = count_of(k, "n_shared_experts", "expert_shared_count", 1 << 10, 0);
    uint64_t width;
    if (!sc_mul(shared, p->moe_intermediate, &width) || width > 1 << 24)
        sc_keys_refuse(k, "its shared expert is too wide");
    else
        p->shared_intermediate = (uint32_t)width;
    if (k->code == 0 && (!p->groups || p->facts.experts % p->groups || !p->groups_kept ||
                         p->groups_kept > p->groups))
        sc_keys_refuse(k, "%u of %u groups of %u experts", p->groups_kept, p->groups,
                       p->facts.experts);
    p->group_top2 = p->router == SC_ROUTER_SIGMOID;
}

static void plan_deepseek2(struct sc_keys *k, struct sc_forward *f)
{
    plan_latent(k, f);
    plan_routes(k, f);
}

static void plan_deepseek3(struct sc_keys *k, struct sc_forward *f)
{
    f->plan.router = SC_ROUTER_SIGMOID;
    plan_deepseek2(k, f);
}

const struct sc_family sc_family_mixtral = {"mixtral", {"MixtralForCausalLM"}, NULL, plan_mixtral};
const struct sc_family sc_family_qwen2moe = {
    "qwen2moe", {"Qwen2MoeForCausalLM"}, "qwen2moe", plan_qwen2moe};
const struct sc_family sc_family_qwen3moe = {
    "qwen3moe", {"Qwen3MoeForCausalLM"}, "qwen3moe", plan_qwen3moe};
const struct sc_family sc_family_olmoe = {"olmoe", {"OlmoeForCausalLM"}, "olmoe", plan_olmoe};
const struct sc_family sc_family_deepseek2 = {
    "deepseek2", {"DeepseekV2ForCausalLM"}, "deepseek2", plan_deepseek2};
const struct sc_family sc_family_deepseek3 = {
    "deepseek3", {"DeepseekV3ForCausalLM"}, NULL, plan_deepseek3};
