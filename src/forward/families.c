/* SPDX-License-Identifier: Apache-2.0 */
/* families: which architectures can be run, and the settings that all of them share.
 *
 * A family is a row here and a function that says what differs; the equations themselves are in
 * run.c, attention.c and mlp.c, and are chosen by what the plan says, never by the family's name.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forward/engine.h"

static const struct sc_family *const families[] = {
    &sc_family_mixtral,   &sc_family_llama,    &sc_family_mistral, &sc_family_qwen2,
    &sc_family_qwen3,     &sc_family_olmo,     &sc_family_olmo2,   &sc_family_phi3,
    &sc_family_gemma,     &sc_family_gemma2,   &sc_family_gemma3,  &sc_family_gpt2,
    &sc_family_qwen2moe,  &sc_family_qwen3moe, &sc_family_olmoe,   &sc_family_deepseek2,
    &sc_family_deepseek3, &sc_family_olmo3,
};

/* ------------------------------------------------------------------------ which family it is */

static const struct sc_family *by_gguf(struct sc_keys *k)
{
    uint64_t experts = 0, window = 0;

    sc_key_uint(k, NULL, "expert_count", &experts);
    sc_key_uint(k, NULL, "attention.sliding_window", &window);
    if (sc_str_is(k->arch, "llama") && experts)
        return &sc_family_mixtral;
    if (sc_str_is(k->arch, "olmo2") && window) /* its name in llama.cpp, too */
        return &sc_family_olmo3;
    for (size_t i = 0; i < SC_COUNT(families); i++)
        if (families[i]->gguf && sc_str_is(k->arch, families[i]->gguf) &&
            families[i] != &sc_family_mixtral)
            return families[i];
    struct sc_quoted q;
    sc_keys_refuse(k, "nothing is known of the architecture %s", sc_quote(&q, k->arch));
    return NULL;
}

static bool is_called(const struct sc_family *f, struct sc_str name)
{
    for (size_t i = 0; i < SC_COUNT(f->hf) && f->hf[i]; i++)
        if (sc_str_is(name, f->hf[i]))
            return true;
    return false;
}

static const struct sc_family *by_config(struct sc_keys *k)
{
    const json_t *first = json_array_get(sc_key_list(k, "architectures"), 0);
    struct sc_quoted q;

    if (!json_is_string(first)) {
        sc_keys_refuse(k, "config.json names no architecture");
        return NULL;
    }
    const struct sc_str name = sc_str(json_string_value(first), json_string_length(first));
    for (size_t i = 0; i < SC_COUNT(families); i++)
        if (is_called(families[i], name))
            return families[i];
    sc_keys_refuse(k, "nothing is known of the architecture %s", sc_quote(&q, name));
    return NULL;
}

/* --------------------------------------------------------------------------- common settings */

/* 1..max; what is not there stays at its fallback, and 0 of a fallback means that it must be. */
static uint32_t size_of(struct sc_keys *k, const char *hf, const char *gguf, uint64_t max,
                        uint64_t fallback)
{
    uint64_t n = fallback;

    if (!sc_key_uint(k, hf, gguf, &n) && !fallback)
        sc_keys_refuse(k, "its configuration does not say %s", sc_key_called(k, hf, gguf).s);
    if (k->code == 0 && (n < 1 || n > max))
        sc_keys_refuse(k, "%s is %llu, allowed are 1 to %llu", sc_key_called(k, hf, gguf).s,
                       (unsigned long long)n, (unsigned long long)max);
    return k->code < 0 ? 1 : (uint32_t)SC_MAX(n, UINT64_C(1));
}

static void read_sizes(struct sc_keys *k, struct sc_plan *p)
{
    struct sc_forward_facts *f = &p->facts;
    uint64_t n = 0;

    f->layers = size_of(k, "num_hidden_layers n_layer", "block_count", 10000, 0);
    if (sc_key_uint(k, NULL, "nextn_predict_layers", &n) && n < f->layers)
        f->layers -= (uint32_t)n; /* they predict further tokens, and come last */
    n = 0;
    f->hidden = size_of(k, "hidden_size n_embd", "embedding_length", 1 << 20, 0);
    f->heads = size_of(k, "num_attention_heads n_head", "attention.head_count", 1 << 16, 0);
    f->kv_heads = size_of(k, "num_key_value_heads", "attention.head_count_kv", 1 << 16, f->heads);
    f->head_dim =
        size_of(k, "head_dim", "attention.key_length", 1 << 14, SC_MAX(f->hidden / f->heads, 1U));
    f->value_dim = f->head_dim;
    f->intermediate = size_of(k, "intermediate_size n_inner", "feed_forward_length", 1 << 24,
                              UINT64_C(4) * f->hidden);
    if (sc_key_uint(k, "max_position_embeddings n_positions n_ctx", "context_length", &n))
        f->context = n;
    if (k->code == 0 && f->heads % f->kv_heads)
        sc_keys_refuse(k, "%u heads cannot share %u key heads", f->heads, f->kv_heads);
}

static void read_activation(struct sc_keys *k, struct sc_plan *p)
{
    static const struct {
        const char *name;
        enum sc_activation act;
    } names[] = {{"silu", SC_ACT_SILU},
                 {"swish", SC_ACT_SILU},
                 {"gelu", SC_ACT_GELU},
                 {"gelu_new", SC_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", SC_ACT_GELU_TANH},
                 {"gelu_fast", SC_ACT_GELU_TANH}};
    const struct sc_str s =
        sc_key_text(k, "hidden_activation hidden_act activation_function", NULL);
    struct sc_quoted q;

    p->activation = SC_ACT_SILU;
    for (size_t i = 0; i < SC_COUNT(names); i++)
        if (sc_str_is(s, names[i].name)) {
            p->activation = names[i].act;
            return;
        }
    if (s.n)
        sc_keys_refuse(k, "its activation is %s", sc_quote(&q, s));
}

static void read_common(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;

    p->gguf = !k->root;
    p->gated = true;
    p->eps = 1e-6;
    p->qk_eps = 0;
    p->embed_scale = 1;
    read_sizes(k, p);
    sc_key_real(k, "rms_norm_eps layer_norm_epsilon layer_norm_eps norm_eps",
                "attention.layer_norm_rms_epsilon", &p->eps);
    sc_key_real(k, NULL, "attention.layer_norm_epsilon", &p->eps);
    if (k->code == 0 && p->eps < 0)
        sc_keys_refuse(k, "the epsilon of its norms is below 0");
    read_activation(k, p);
    p->untied = sc_key_bool(k, "tie_word_embeddings", NULL, &p->tied) && !p->tied;
    p->attention_scale = 1 / sqrt((double)p->facts.head_dim);
}

/* The rotation of families that have one kind of it. */
static void default_rope(struct sc_keys *k, struct sc_forward *f)
{
    struct sc_plan *p = &f->plan;
    double base = 10000, part = 1;
    uint64_t dims = 0;

    sc_key_real(k, "rope_theta rope_parameters.rope_theta", "rope.freq_base", &base);
    sc_key_real(k, "partial_rotary_factor rope_parameters.partial_rotary_factor", NULL, &part);
    if (k->code == 0 && !(part > 0 && part <= 1))
        sc_keys_refuse(k, "its partial_rotary_factor is not above 0 and up to 1");
    if (k->code < 0)
        return;
    dims = (uint64_t)((double)p->facts.head_dim * part);
    sc_key_uint(k, NULL, "rope.dimension_count", &dims);
    if (k->code == 0 && (dims < 2 || dims > p->facts.head_dim || dims % 2))
        sc_keys_refuse(k, "it rotates %llu of %u numbers of a head", (unsigned long long)dims,
                       p->facts.head_dim);
    p->ropes[0].adjacent = p->gguf_permuted;
    sc_rope_plan(k, f, &p->ropes[0], base, (uint32_t)dims, true);
}

/* "layer_types" of config.json, or GGUF's list. False: there is none. */
static bool listed_windows(struct sc_keys *k, uint32_t layers, bool *local)
{
    const json_t *types = sc_key_list(k, "layer_types");
    const json_t *given = json_object_get(k->text, "layer_types");

    for (size_t i = 0; i < json_array_size(types); i++)
        if (!json_is_string(json_array_get(types, i)))
            given = json_array_get(types, i);
    if (given && !json_is_null(given) && given != types)
        sc_keys_refuse(k, "its setting layer_types is no list of names");
    if (!types)
        return sc_key_flags(k, "attention.sliding_window_pattern", layers, local);
    if (json_array_size(types) != layers)
        sc_keys_refuse(k, "its layer types do not fit its layers");
    for (uint32_t i = 0; i < layers && k->code == 0; i++)
        local[i] = strcmp(json_string_value(json_array_get(types, i)), "sliding_attention") == 0;
    return k->code == 0;
}

void sc_windows_plan(struct sc_keys *k, struct sc_plan *p, uint64_t window, uint32_t period)
{
    const uint32_t layers = p->facts.layers;
    bool *local = sc_calloc(layers, sizeof *local);

    if (!local) {
        k->code = k->code < 0 ? k->code : sc_fail_memory(k->e);
        return;
    }
    sc_key_uint(k, "sliding_window", "attention.sliding_window", &window);
    if (k->code == 0 && window > UINT32_MAX)
        sc_keys_refuse(k, "its sliding window is %llu positions wide", (unsigned long long)window);
    const bool listed = k->code == 0 && window && listed_windows(k, layers, local);
    for (uint32_t i = 0; i < layers && k->code == 0; i++)
        p->layers[i].window = (listed ? local[i] : (i + 1) % period != 0) ? (uint32_t)window : 0;
    free(local);
}

int sc_forward_plan(struct sc_forward *f, struct sc_keys *k)
{
    struct sc_plan *p = &f->plan;
    const struct sc_family *family = k->root ? by_config(k) : by_gguf(k);

    if (k->code < 0)
        return k->code;
    read_common(k, f);
    p->facts.family = family->name;
    if (k->code < 0)
        return k->code;
    p->layers = SC_ARENA_NEW(&f->arena, struct sc_layer, p->facts.layers);
    if (!p->layers)
        return k->code = sc_fail_memory(k->e);
    memset(p->layers, 0, p->facts.layers * sizeof *p->layers);
    family->plan(k, f);
    p->facts.sigmoid_router = p->router == SC_ROUTER_SIGMOID;
    if (k->code == 0 && !p->learned_positions && !p->ropes[0].dims)
        default_rope(k, f);
    return k->code;
}
