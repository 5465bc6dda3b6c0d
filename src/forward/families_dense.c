/* SPDX-License-Identifier: Apache-2.0 */
/* families_dense: Llama and its relatives without experts. */
#include <math.h>
#include <string.h>

#include "forward/engine.h"

/* Windows of all layers, or of those from `first` on. */
static void set_windows(struct sc_keys *k, struct sc_plan *p, uint64_t window, uint64_t first)
{
    if (window > UINT32_MAX)
        sc_keys_refuse(k, "its sliding window is %llu positions wide", (unsigned long long)window);
    for (uint64_t i = first; k->code == 0 && i < p->facts.layers; i++)
        p->layers[i].window = (uint32_t)window;
}

static void plan_llama(struct sc_keys *k, struct sc_forward *f)
{
    /* llama.cpp permutes rows of q and k of this architecture, so that pairs are neighbours */
    f->plan.gguf_permuted = !k->root;
}

static void plan_mistral(struct sc_keys *k, struct sc_forward *f)
{
    uint64_t window = 0;

    f->plan.gguf_permuted = !k->root;
    if (sc_key_uint(k, "sliding_window", "attention.sliding_window", &window))
        set_windows(k, &f->plan, window, 0);
}

static void plan_qwen2(struct sc_keys *k, struct sc_forward *f)
{
    uint64_t window = 0, first = 0;
    bool use = false;

    sc_key_bool(k, "use_sliding_window", NULL, &use);
    sc_key_uint(k, "max_window_layers", NULL, &first);
    if (use && sc_key_uint(k, "sliding_window", NULL, &window))
        set_windows(k, &f->plan, window, first);
}

static void plan_qwen3(struct sc_keys *k, struct sc_forward *f)
{
    plan_qwen2(k, f);
    f->plan.qk_norm_head = true;
}

static void plan_olmo(struct sc_keys *k, struct sc_forward *f)
{
    f->plan.norm = SC_NORM_PLAIN;
    f->plan.eps = 1e-5;
    f->plan.gguf_permuted = !k->root;
    sc_key_real(k, "clip_qkv", "attention.clamp_kqv", &f->plan.clip_qkv);
}

static void plan_olmo2(struct sc_keys *k, struct sc_forward *f)
{
    (void)k;
    f->plan.post_only = true;
    f->plan.parallel_norms = true;
    f->plan.qk_norm_full = true;
}

/* Layers with a window keep the rotation as it was before its lengths grew. */
static void plan_olmo3(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;
    double base = 10000;

    p->post_only = true;
    p->parallel_norms = true;
    p->qk_norm_full = true;
    sc_windows_plan(k, p, 0, 4);
    sc_key_real(k, "rope_theta rope_parameters.rope_theta", "rope.freq_base", &base);
    sc_rope_plan(k, f, &p->ropes[1], base, p->facts.head_dim, false);
    for (uint32_t i = 0; i < p->facts.layers; i++)
        p->layers[i].rope = p->layers[i].window ? 1 : 0;
}

static void plan_phi3(struct sc_keys *k, struct sc_forward *f)
{
    plan_mistral(k, f);
    f->plan.gguf_permuted = false;
}

static void plan_gpt2(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;
    bool by_layer = false;

    p->norm = SC_NORM_LAYER;
    p->learned_positions = true;
    p->gated = false;
    p->tied = true;
    p->conv1d = k->root != NULL; /* llama.cpp transposes them */
    if (!k->root)
        p->activation = SC_ACT_GELU_TANH;
    if (sc_key_bool(k, "scale_attn_by_inverse_layer_idx", NULL, &by_layer) && by_layer)
        sc_keys_refuse(k, "it scales attention by the number of the layer");
}

const struct sc_family sc_family_llama = {
    "llama", {"LlamaForCausalLM", "LLaMAForCausalLM"}, "llama", plan_llama};
const struct sc_family sc_family_mistral = {"mistral", {"MistralForCausalLM"}, NULL, plan_mistral};
const struct sc_family sc_family_qwen2 = {"qwen2", {"Qwen2ForCausalLM"}, "qwen2", plan_qwen2};
const struct sc_family sc_family_qwen3 = {"qwen3", {"Qwen3ForCausalLM"}, "qwen3", plan_qwen3};
const struct sc_family sc_family_olmo = {"olmo", {"OlmoForCausalLM"}, "olmo", plan_olmo};
const struct sc_family sc_family_olmo2 = {"olmo2", {"Olmo2ForCausalLM"}, "olmo2", plan_olmo2};
const struct sc_family sc_family_olmo3 = {"olmo3", {"Olmo3ForCausalLM"}, NULL, plan_olmo3};
const struct sc_family sc_family_phi3 = {"phi3", {"Phi3ForCausalLM"}, "phi3", plan_phi3};
const struct sc_family sc_family_gpt2 = {"gpt2", {"GPT2LMHeadModel"}, "gpt2", plan_gpt2};
