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
    sc_windows_plan(k, p, 0, 2);
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
    sc_windows_plan(k, p, 0, (uint32_t)period);
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
