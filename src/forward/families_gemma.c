/* SPDX-License-Identifier: Apache-2.0 */
/* families_gemma: Gemma 1 to 3. */
#include <math.h>
#include <string.h>

#include "forward/engine.h"

static void plan_gemma(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;

    p->norm = k->root ? SC_NORM_RMS_PLUS_ONE : SC_NORM_RMS; /* llama.cpp has added the 1 */
    p->activation = SC_ACT_GELU_TANH;                       /* whatever hidden_act says */
    p->embed_scale = sqrt((double)p->facts.hidden);
    p->tied = true;
}

static void read_scale(struct sc_keys *k, struct sc_plan *p)
{
    double scalar = 0;

    if (sc_key_real(k, "query_pre_attn_scalar", NULL, &scalar)) {
        if (scalar > 0)
            p->attention_scale = 1 / sqrt(scalar);
        else
            sc_keys_refuse(k, "query_pre_attn_scalar is not above 0");
    }
}

/* "layer_types" of config.json, where it is there; else every `period`-th layer sees all. */
static void read_windows(struct sc_keys *k, struct sc_plan *p, uint32_t period)
{
    const json_t *types = sc_key_list(k, "layer_types");
    const json_t *given = json_object_get(k->text, "layer_types");
    uint64_t window = 0;

    for (size_t i = 0; i < json_array_size(types); i++)
        if (!json_is_string(json_array_get(types, i)))
            given = json_array_get(types, i);
    if (given && !json_is_null(given) && given != types)
        sc_keys_refuse(k, "its setting layer_types is no list of names");

    if (!sc_key_uint(k, "sliding_window", "attention.sliding_window", &window) || !window)
        return;
    if (window > UINT32_MAX || (types && json_array_size(types) != p->facts.layers)) {
        sc_keys_refuse(k, "its sliding window and its layer types do not fit its layers");
        return;
    }
    for (uint32_t i = 0; i < p->facts.layers; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        const bool local = type ? strcmp(type, "sliding_attention") == 0 : (i + 1) % period != 0;
        p->layers[i].window = local ? (uint32_t)window : 0;
    }
}

static void plan_gemma2(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;

    plan_gemma(k, f);
    p->parallel_norms = true;
    read_scale(k, p);
    /* GGUF says it only through the size of the model: 27B has hidden / heads */
    if (!k->root && p->facts.layers == 46)
        p->attention_scale = 1 / sqrt((double)p->facts.hidden / p->facts.heads);
    sc_key_real(k, "attn_logit_softcapping", "attn_logit_softcapping", &p->attention_cap);
    sc_key_real(k, "final_logit_softcapping", "final_logit_softcapping", &p->logit_cap);
    read_windows(k, p, 2);
}

static void plan_gemma3(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;
    double global = 1000000, local = 10000;
    uint64_t period = 6;

    plan_gemma(k, f);
    p->parallel_norms = true;
    p->qk_norm_head = true;
    read_scale(k, p);
    if (!k->root && p->facts.layers == 62) /* 27B */
        p->attention_scale = 1 / sqrt((double)p->facts.hidden / p->facts.heads);
    sc_key_uint(k, "sliding_window_pattern", NULL, &period);
    if (k->code == 0 && (period < 1 || period > 1000))
        sc_keys_refuse(k, "its sliding_window_pattern is %llu", (unsigned long long)period);
    if (k->code < 0)
        return;
    read_windows(k, p, (uint32_t)period);
    sc_key_real(k, "rope_theta rope_parameters.full_attention.rope_theta", "rope.freq_base",
                &global);
    sc_key_real(k, "rope_local_base_freq rope_parameters.sliding_attention.rope_theta",
                "rope.freq_base_swa", &local);
    sc_rope_plan(k, f, &p->ropes[0], global, p->facts.head_dim, true);
    sc_rope_plan(k, f, &p->ropes[1], local, p->facts.head_dim, false);
    for (uint32_t i = 0; i < p->facts.layers; i++)
        p->layers[i].rope = p->layers[i].window ? 1 : 0;
}

const struct sc_family sc_family_gemma = {"gemma", {"GemmaForCausalLM"}, "gemma", plan_gemma};
const struct sc_family sc_family_gemma2 = {"gemma2", {"Gemma2ForCausalLM"}, "gemma2", plan_gemma2};
const struct sc_family sc_family_gemma3 = {
    "gemma3", {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"}, "gemma3", plan_gemma3};
