/* SPDX-License-Identifier: Apache-2.0 */
/* largest_matrix: which way round matrices stand, and what is fused in them.
 *
 *     Conv1D             GPT-2 and its relatives store c_attn, c_fc and c_proj as [in, out]; GGUF
 *                        does not
 *     stacked experts    [expert, out, in]; gpt-oss and Llama 4: [expert, in, out]
 *     gate and up        one after the other; of gpt-oss row by row
 *     q, k and v         one after the other; of Falcon, GPT-NeoX, Bloom and InternLM2 group by
 *                        group of heads
 *
 * By names, shapes and the configuration: no engine is needed. */
#include <string.h>

#include "analyze/largest.h"

static bool is_one_of(const char *word, const char *const *words)
{
    for (; word && *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static bool is_gguf(const struct sc_model *m, const struct sc_tensor *t)
{
    return m->catalog->files[m->catalog->entries[t->main].file].format == &sc_format_gguf;
}

/* The last word of a name before ".weight". */
static struct sc_str module_of(const struct sc_tensor *t)
{
    struct sc_str s = sc_tensor_name(t);

    if (sc_str_ends(s, ".weight"))
        s.n -= 7;
    size_t at = s.n;
    while (at > 0 && s.p[at - 1] != '.')
        at--;
    return sc_str(s.p + at, s.n - at);
}

static bool is_conv1d(const struct sc_model *m, const struct sc_tensor *t)
{
    static const char *const types[] = {"gpt2", "openai-gpt",           "imagegpt", "jais",
                                        "ctrl", "decision_transformer", "clvp",     NULL};
    const struct sc_str module = module_of(t);

    if (t->rank != 2 || is_gguf(m, t) ||
        !(sc_str_is(module, "c_attn") || sc_str_is(module, "c_fc") || sc_str_is(module, "c_proj") ||
          sc_str_is(module, "q_attn")))
        return false;
    if (m->config.model_type)
        return is_one_of(m->config.model_type, types);
    if (m->config.architecture)
        return strstr(m->config.architecture, "GPT2") != NULL;
    /* A file alone: q, k and v side by side tell. */
    for (size_t i = 0; i < m->n_tensors; i++)
        if (m->tensors[i].rank == 2 && sc_str_is(module_of(&m->tensors[i]), "c_attn"))
            return m->tensors[i].shape[1] == 3 * m->tensors[i].shape[0];
    return false;
}

static bool is_stack(const struct sc_tensor *t)
{
    return t->rank == 3 && t->expert < 0 && t->layer >= 0 &&
           (t->role == SC_ROLE_GATE || t->role == SC_ROLE_UP || t->role == SC_ROLE_DOWN ||
            t->role == SC_ROLE_GATE_UP);
}

/* The hidden size tells; where a matrix is square, the family does. */
static bool is_turned(const struct sc_model *m, const struct sc_tensor *t)
{
    static const char *const types[] = {"gpt_oss", "llama4", "llama4_text", NULL};
    const uint64_t hidden = m->config.hidden;
    const bool first = t->shape[1] == hidden, last = t->shape[2] == hidden;

    if (is_gguf(m, t))
        return false;
    if (!hidden || first == last)
        return t->layout == SC_LAYOUT_PLAIN && is_one_of(m->config.model_type, types);
    return t->role == SC_ROLE_DOWN ? last : first;
}

static void find_qkv(const struct sc_model *m, const struct sc_tensor *t,
                     struct sc_large_shape *out)
{
    static const char *const by_group[] = {"falcon",    "RefinedWeb", "RefinedWebModel",
                                           "gpt_neox",  "bloom",      "gpt_neox_japanese",
                                           "internlm2", NULL};
    const uint64_t heads = m->config.heads, kv = m->config.kv_heads ? m->config.kv_heads : heads;
    uint64_t all;

    if (!heads && out->transposed && out->rows % 3 == 0) { /* GPT-2's file alone */
        out->fused = SC_FUSED_QKV;
        out->groups = 1;
        out->q = out->kv = out->rows / 3;
        return;
    }
    if (!heads || !sc_mul(kv, 2, &all) || !sc_add(heads, all, &all) || out->rows % all != 0)
        return;
    const uint64_t dim = out->rows / all;
    const bool groups = !is_gguf(m, t) && is_one_of(m->config.model_type, by_group);
    if (groups && heads % kv != 0)
        return;
    out->fused = SC_FUSED_QKV;
    out->groups = groups ? kv : 1;
    out->q = groups ? heads / kv * dim : heads * dim;
    out->kv = groups ? dim : kv * dim;
}

void sc_large_shape(const struct sc_model *m, uint32_t tensor, struct sc_large_shape *out)
{
    const struct sc_tensor *t = &m->tensors[tensor];
    const bool stack = is_stack(t);

    *out = (struct sc_large_shape){.slices = stack ? t->shape[0] : 1, .height = 1};
    if (t->rank > 1)
        out->height = t->shape[stack ? 1 : 0];
    const uint64_t before = out->slices * out->height; /* divides the number of elements */
    out->width = before ? t->parameters / before : 0;
    out->transposed = stack ? is_turned(m, t) : is_conv1d(m, t);
    out->rows = out->transposed ? out->width : out->height;
    out->cols = out->transposed ? out->height : out->width;
    const char *type = m->config.model_type;
    const bool up = t->role == SC_ROLE_UP && m->config.intermediate && t->rank == 2 &&
                    t->expert < 0 && is_gguf(m, t) && out->rows == 2 * m->config.intermediate;
    if (t->role == SC_ROLE_GATE_UP || up) /* as llama.cpp calls both */
        out->fused = type && strcmp(type, "gpt_oss") == 0 ? SC_FUSED_TURNS : SC_FUSED_HALVES;
    else if (t->role == SC_ROLE_QKV && t->rank == 2)
        find_qkv(m, t, out);
}

enum sc_role sc_large_role(const struct sc_large_shape *s, enum sc_role role, uint64_t row)
{
    if (s->fused == SC_FUSED_HALVES)
        return row < s->rows / 2 ? SC_ROLE_GATE : SC_ROLE_UP;
    if (s->fused == SC_FUSED_TURNS)
        return row % 2 == 0 ? SC_ROLE_GATE : SC_ROLE_UP;
    if (s->fused != SC_FUSED_QKV)
        return role;
    const uint64_t at = row % (s->q + 2 * s->kv);
    return at < s->q ? SC_ROLE_Q : at < s->q + s->kv ? SC_ROLE_K : SC_ROLE_V;
}
