/* SPDX-License-Identifier: Apache-2.0 */
/* pair_undo: what llama.cpp's converter does to weights, so that they can be compared with what
 * they were made from.
 *
 *     rows of q and k    halves of a head are woven into each other, for families whose rotary
 *                        embedding turns neighbours there: row 2 i + j is row j d / 2 + i of the
 *                        source, d rows a head
 *     norms              1 is added where the family computes with 1 + weight
 *     Conv1D             transposed
 *     fused qkv          of heads that each have their own q, k and v: all q, all k, all v
 *     names              that mean another tensor in one family than in most
 *
 * All of it is a table by architecture, from the converter's sources (llama.cpp, conversion/).
 * Where the source has the names of a release of Meta or Mistral (wq), its rows already stand as
 * GGUF wants them, and nothing is undone.
 *
 * Owns: the tables. Does not own: tensors that are fused or stacked in one only (pair_parts.c). */
#include "model/pair.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum family {
    WOVEN = 1,       /* rows of q and k, and their biases */
    PLUS_ONE = 2,    /* norms */
    CONV1D = 4,      /* c_attn, c_fc, c_proj */
    BY_HEAD = 8,     /* query_key_value: q, k, v of one head after the other */
    BY_GROUP = 16,   /* the same, of a group of heads that share k and v */
    INTERLEAVE = 32, /* gate and up of experts: row by row */
    TURNED = 64,     /* experts: transposed */
    QUOTIENT = 128,  /* k is woven in heads / heads of k, if these are fewer */
};
/* clang-format off */
static const struct {
    const char *arch;
    unsigned family;
} families[] = {
    {"llama", WOVEN},        {"mistral3", WOVEN},     {"smollm3", WOVEN},    {"granite", WOVEN},
    {"granitemoe", WOVEN},   {"arcee", WOVEN},        {"deci", WOVEN},       {"deepseek", WOVEN},
    {"minicpm", WOVEN},      {"olmo", WOVEN},         {"bailingmoe", WOVEN}, {"baichuan", WOVEN | QUOTIENT},
    {"xverse", WOVEN | QUOTIENT},       {"arctic", WOVEN},       {"llada", WOVEN},
    {"granitehybrid", WOVEN},
    {"internlm2", WOVEN | BY_GROUP},
    {"falcon", BY_GROUP},    {"bloom", BY_HEAD},      {"gptneox", BY_HEAD},
    {"gemma", PLUS_ONE},     {"gemma2", PLUS_ONE},    {"gemma3", PLUS_ONE},
    {"gemma-embedding", PLUS_ONE},                    {"nemotron", PLUS_ONE},
    {"qwen3next", PLUS_ONE}, {"qwen35", PLUS_ONE},    {"qwen35moe", PLUS_ONE},
    {"gpt2", CONV1D},        {"jais", CONV1D},
    {"gpt-oss", INTERLEAVE | TURNED},                 {"llama4", TURNED},
};

/* Canonical names without "layers.N." and, where the last word is weight or bias, without that.
 * The first row that fits counts. */
static const struct {
    const char *arch; /* of the GGUF; NULL: any, or none */
    bool gguf;        /* the side that is renamed: the GGUF, or one that is none */
    const char *from, *to;
} other_names[] = {
    {"glm4",            true,  "post_attention_norm",       "post_self_attn_layernorm"        },
    {"glm4",            true,  "post_feedforward_layernorm","post_mlp_layernorm"              },
    {"gemma2",          true,  "post_attention_layernorm",  "pre_feedforward_layernorm"       },
    {"gemma3",          true,  "post_attention_layernorm",  "pre_feedforward_layernorm"       },
    {"gemma3n",         true,  "post_attention_layernorm",  "pre_feedforward_layernorm"       },
    {"gemma4",          true,  "post_attention_layernorm",  "pre_feedforward_layernorm"       },
    {"gemma-embedding", true,  "post_attention_layernorm",  "pre_feedforward_layernorm"       },
    {NULL,              true,  "post_attention_norm",       "post_attention_layernorm"        },
    {"phi3",            true,  "mlp.up_proj",               "mlp.gate_up_proj"                },
    {"glm4",            true,  "mlp.up_proj",               "mlp.gate_up_proj"                },
    {"chatglm",         true,  "mlp.up_proj",               "mlp.gate_up_proj"                },
    {"qwen",            false, "mlp.w1",                    "mlp.up_proj"                     },
    {"qwen",            false, "mlp.w2",                    "mlp.gate_proj"                   },
    {"granitemoe",      false, "block_sparse_moe.input_linear",  "mlp.experts.gate_up_proj"   },
    {"granitemoe",      false, "block_sparse_moe.output_linear", "mlp.experts.down_proj"      },
    {"granitemoe",      false, "block_sparse_moe.router.layer",  "mlp.gate"                   },
    {NULL,              false, "self_attn.W_pack",          "self_attn.qkv_proj"              },
    {NULL,              false, "attention.wqkv",            "self_attn.qkv_proj"              },
    {NULL,              false, "self_attn.sinks",           "self_attn.sinks.weight"          },
    {NULL,              false, "mlp.experts.gate_up_proj",  "mlp.experts.gate_up_proj.weight" },
    {NULL,              false, "mlp.experts.down_proj",     "mlp.experts.down_proj.weight"    },
    {NULL,              false, "mlp.experts.gate_up_proj_bias", "mlp.experts.gate_up_proj.bias"},
    {NULL,              false, "mlp.experts.down_proj_bias","mlp.experts.down_proj.bias"      },
    {NULL,              false, "mlp.gate.e_score_correction_bias",
                                                            "mlp.gate.e_score_correction.bias"},
};

/* What only one side has: canonical names, or how they end. */
static const struct {
    bool gguf;
    const char *ending, *why;
} one_sided[] = {
    {true,  "rotary_emb.inv_freq.weight",   "written by the converter: factors of the rotary embedding"},
    {true,  "rope_factors_long.weight",     "written by the converter: factors of the rotary embedding"},
    {true,  "rope_factors_short.weight",    "written by the converter: factors of the rotary embedding"},
    {false, "rotary_emb.inv_freq",          "left out by the converter: it is computed"            },
    {false, ".attn.bias",                   "left out by the converter: a mask, no weight"         },
    {false, ".attn.masked_bias",            "left out by the converter: a mask, no weight"         },
};
/* clang-format on */

static unsigned family_of(const struct sc_pairing *p)
{
    for (size_t i = 0; p->arch && i < SC_COUNT(families); i++)
        if (strcmp(families[i].arch, p->arch) == 0)
            return families[i].family;
    return 0;
}

/* ---------------------------------------------------------------------------------- names --- */
/* "layers.3." in front of a name, or nothing. */
static size_t layer_prefix(struct sc_str name)
{
    size_t i = 7;

    if (!sc_str_starts(name, "layers."))
        return 0;
    while (i < name.n && name.p[i] >= '0' && name.p[i] <= '9')
        i++;
    return i < name.n && name.p[i] == '.' ? i + 1 : 0;
}

static size_t suffix_of(struct sc_str name)
{
    return sc_str_ends(name, ".weight") ? 7 : sc_str_ends(name, ".bias") ? 5 : 0;
}

int sc_undo_names(struct sc_pairing *p, struct sc_str *name, unsigned side)
{
    const size_t skip = layer_prefix(*name), cut = suffix_of(*name);
    const struct sc_str module = sc_str(name->p + skip, name->n - skip - cut);
    const bool gguf = p->gguf == (int)side;

    if (!skip || (p->gguf < 0 && side < SIDES && p->model[side]->n_tensors == 0))
        return 0;
    for (size_t i = 0; i < SC_COUNT(other_names); i++) {
        if (other_names[i].gguf != gguf || !sc_str_is(module, other_names[i].from) ||
            (other_names[i].arch && (!p->arch || strcmp(other_names[i].arch, p->arch) != 0)))
            continue;
        const size_t n = strlen(other_names[i].to), all = skip + n + cut;
        char *text = sc_arena_alloc(&p->arena, all + 1, 1);
        if (!text)
            return sc_fail_memory(p->e);
        memcpy(text, name->p, skip);
        memcpy(text + skip, other_names[i].to, n);
        memcpy(text + skip + n, name->p + name->n - cut, cut);
        text[all] = '\0';
        *name = sc_str(text, all);
        return 0;
    }
    return 0;
}

const char *sc_undo_why(const struct sc_pairing *p, unsigned side, uint32_t tensor)
{
    if (p->gguf < 0)
        return NULL;
    for (size_t i = 0; i < SC_COUNT(one_sided); i++)
        if (one_sided[i].gguf == (p->gguf == (int)side) &&
            sc_str_ends(p->canonical[side][tensor], one_sided[i].ending))
            return one_sided[i].why;
    return NULL;
}

/* --------------------------------------------------------------------------------- shapes --- */
uint64_t sc_pairing_cols(const struct sc_tensor *t)
{
    return t->rank > 1 ? t->shape[t->rank - 1] : 1;
}

uint64_t sc_pairing_rows(const struct sc_tensor *t)
{
    uint64_t n = 1;

    for (size_t i = 0; i < SC_MAX((size_t)t->rank, (size_t)1) - (t->rank > 1); i++)
        if (t->rank == 0 || !sc_mul(n, t->shape[i], &n))
            return t->rank ? 0 : 1;
    return n;
}

uint64_t sc_undo_kv_heads(const struct sc_pairing *p, uint64_t *heads)
{
    const unsigned first = p->gguf < 0 ? SIDE_A : (unsigned)p->gguf;
    const struct sc_config *c = &p->model[first]->config, *o = &p->model[!first]->config;

    *heads = c->heads ? c->heads : o->heads;
    return c->kv_heads ? c->kv_heads : o->kv_heads ? o->kv_heads : *heads;
}

const struct sc_arrangement *sc_undo_keep(struct sc_pairing *p, const struct sc_arrangement *how)
{
    struct sc_arrangement *kept = SC_ARENA_NEW(p->kept, struct sc_arrangement, 1);

    if (kept)
        *kept = *how;
    return kept;
}

static const char *keep_words(struct sc_pairing *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const char *keep_words(struct sc_pairing *p, const char *format, ...)
{
    char text[160];
    va_list args;

    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return sc_arena_copy(p->kept, text, SC_MIN((size_t)SC_MAX(n, 0), sizeof text - 1));
}

/* ---------------------------------------------------------------------------------- heads --- */
/* q_proj, k_proj of Hugging Face, alone or fused. */
static bool has_halves(const struct sc_tensor *t)
{
    static const char *const words[] = {"q_proj",          "k_proj", "qkv_proj",
                                        "query_key_value", "W_pack", "wqkv"};

    for (size_t i = 0; i < SC_COUNT(words); i++)
        if (sc_str_has_nocase(sc_str(t->name, t->name_len), sc_strz(words[i])))
            return true;
    return false;
}

/* How many heads the rows of q or k were woven in; 0: nobody says. Where each layer has its own
 * number, the size of a head tells. */
static uint64_t heads_of(const struct sc_pairing *p, uint64_t rows, bool q)
{
    const struct sc_config *c = &p->model[p->gguf]->config, *o = &p->model[!p->gguf]->config;
    uint64_t heads;
    const uint64_t kv_heads = sc_undo_kv_heads(p, &heads);

    if (q || heads == 0)
        return heads;
    if (c->kv_heads || o->kv_heads)
        return family_of(p) & QUOTIENT && kv_heads != heads ? heads / kv_heads : kv_heads;
    const uint64_t hidden = c->hidden ? c->hidden : o->hidden;
    const uint64_t d = c->head_dim ? c->head_dim : o->head_dim ? o->head_dim : hidden / heads;
    return d && rows % d == 0 ? rows / d : 0;
}

int sc_undo_heads(struct sc_pairing *p, const struct sc_tensor *t, const struct sc_tensor *other,
                  const struct sc_arrangement **out, const char **words)
{
    const bool q = sc_str_has_nocase(sc_str(t->name, t->name_len), sc_strz("attn_q."));
    const bool k = sc_str_has_nocase(sc_str(t->name, t->name_len), sc_strz("attn_k."));
    const uint64_t rows = sc_pairing_rows(t);

    *out = NULL;
    if (!(family_of(p) & WOVEN) || !(q || k) || !has_halves(other) ||
        (t->tower != SC_TOWER_MAIN && t->tower != SC_TOWER_TEXT))
        return 0;
    const uint64_t n = heads_of(p, rows, q);
    if (n == 0 || rows == 0 || rows % n != 0 || rows / n % 2 != 0)
        return 0;
    const uint64_t d = rows / n;
    *out = sc_undo_keep(p, &(struct sc_arrangement){{{.kind = SC_STEP_ROWS,
                                                      .cols = sc_pairing_cols(t),
                                                      .n = {n, 2, d / 2},
                                                      .stride = {d, 1, 2}}},
                                                    1});
    *words = keep_words(p, "rows of %llu heads put back", (unsigned long long)n);
    return *out && *words ? 0 : sc_fail_memory(p->e);
}

enum sc_qkv sc_undo_qkv(const struct sc_pairing *p, const struct sc_tensor *t)
{
    const unsigned family = family_of(p);
    const struct sc_str name = sc_str(t->name, t->name_len);

    if (family & BY_GROUP && (sc_str_has_nocase(name, sc_strz("query_key_value")) ||
                              sc_str_has_nocase(name, sc_strz("wqkv"))))
        return SC_QKV_BY_GROUP;
    return family & BY_HEAD && sc_str_has_nocase(name, sc_strz("query_key_value")) ? SC_QKV_BY_HEAD
                                                                                   : SC_QKV_IN_TURN;
}

bool sc_undo_interleaves(const struct sc_pairing *p)
{
    return family_of(p) & INTERLEAVE;
}

bool sc_undo_turns(const struct sc_pairing *p, const struct sc_tensor *experts)
{
    return family_of(p) & TURNED && experts->layout == SC_LAYOUT_PLAIN;
}

/* ---------------------------------------------------------------------------------- pairs --- */
struct at {
    uint32_t index; /* of A */
    const struct sc_tensor *gguf, *other;
};

/* The converter's step on one of the sides. */
static int put_step(struct sc_pairing *p, const struct at *at, bool gguf,
                    struct sc_arrange_step step, const char *words)
{
    struct sc_undone *u = &p->undone[at->index];
    const unsigned side = gguf ? (unsigned)p->gguf : !(unsigned)p->gguf;

    u->how[side] = sc_undo_keep(p, &(struct sc_arrangement){{step}, 1});
    u->words = words;
    return u->how[side] && words ? 0 : sc_fail_memory(p->e);
}

static bool is_conv1d(const struct sc_tensor *t)
{
    const struct sc_str name = sc_str(t->name, t->name_len);

    return t->rank == 2 &&
           (sc_str_ends(name, ".c_attn.weight") || sc_str_ends(name, ".c_fc.weight") ||
            sc_str_ends(name, ".c_proj.weight") || sc_str_ends(name, ".c_fc2.weight"));
}

static bool is_shifted_norm(const struct sc_tensor *t)
{
    const struct sc_str name = sc_str(t->name, t->name_len);

    return t->rank <= 1 && sc_str_ends(name, "norm.weight") &&
           !sc_str_ends(name, "linear_attn.norm.weight") &&
           (t->tower == SC_TOWER_MAIN || t->tower == SC_TOWER_TEXT || t->tower == SC_TOWER_MTP);
}

/* q, k and v of each head, where the GGUF has those of all heads. */
static int undo_by_head(struct sc_pairing *p, const struct at *at)
{
    const uint64_t rows = sc_pairing_rows(at->gguf);
    uint64_t heads;

    (void)sc_undo_kv_heads(p, &heads);
    if (heads == 0 || rows == 0 || rows % 3 != 0 || rows / 3 % heads != 0)
        return 0;
    const uint64_t d = rows / 3 / heads;
    return put_step(p, at, true,
                    (struct sc_arrange_step){.kind = SC_STEP_ROWS,
                                             .cols = sc_pairing_cols(at->gguf),
                                             .n = {heads, 3, d},
                                             .stride = {d, heads * d, 1}},
                    keep_words(p, "q, k and v of %llu heads put back", (unsigned long long)heads));
}

/* Words beyond the vocabulary that the converter left out, or filled in. */
static int undo_vocabulary(struct sc_pairing *p, const struct at *at)
{
    const uint64_t cols = sc_pairing_cols(at->gguf), there = sc_pairing_rows(at->other),
                   here = sc_pairing_rows(at->gguf), most = SC_MIN(here, there);

    if (at->gguf->rank != 2 || at->other->rank != 2 || cols != sc_pairing_cols(at->other) ||
        here == there || most == 0)
        return 0;
    return put_step(p, at, here > there,
                    (struct sc_arrange_step){
                        .kind = SC_STEP_ROWS, .cols = cols, .n = {1, 1, most}, .stride = {0, 0, 1}},
                    keep_words(p, "the first %llu of %llu rows", (unsigned long long)most,
                               (unsigned long long)SC_MAX(here, there)));
}

static int undo_pair(struct sc_pairing *p, const struct at *at)
{
    const unsigned family = family_of(p);
    const bool same = sc_same_shape(at->gguf, at->other);
    const struct sc_arrangement *heads = NULL;
    const char *words = NULL;

    if (same) {
        TRY(sc_undo_heads(p, at->gguf, at->other, &heads, &words));
        if (heads) {
            p->undone[at->index].how[p->gguf] = heads;
            p->undone[at->index].words = words;
            return 0;
        }
    }
    if (same && family & PLUS_ONE && is_shifted_norm(at->other)) {
        const sc_codec_id codec =
            (sc_codec_id)p->model[!p->gguf]->catalog->entries[at->other->main].dtype;
        return put_step(p, at, false,
                        (struct sc_arrange_step){.kind = SC_STEP_ADD,
                                                 .half = codec == sc_codec_find(sc_strz("F16"))},
                        "1 added");
    }
    if (family & CONV1D && is_conv1d(at->other) && at->gguf->rank == 2 &&
        at->gguf->shape[0] == at->other->shape[1] && at->gguf->shape[1] == at->other->shape[0])
        return put_step(p, at, false,
                        (struct sc_arrange_step){.kind = SC_STEP_TURN,
                                                 .cols = at->other->shape[1],
                                                 .height = at->other->shape[0]},
                        "transposed");
    if (same && sc_undo_qkv(p, at->other) == SC_QKV_BY_HEAD &&
        sc_str_has_nocase(sc_tensor_name(at->gguf), sc_strz("attn_qkv.")))
        return undo_by_head(p, at);
    if (!same && (at->gguf->role == SC_ROLE_EMBEDDING || at->gguf->role == SC_ROLE_OUTPUT))
        return undo_vocabulary(p, at);
    return 0;
}

int sc_undo_pairs(struct sc_pairing *p)
{
    const struct sc_model *a = p->model[SIDE_A], *b = p->model[SIDE_B];

    for (uint32_t i = 0; p->gguf >= 0 && i < a->n_tensors; i++) {
        const uint32_t mate = p->mate[SIDE_A][i];
        if (mate == SC_NO_NODE)
            continue;
        const struct sc_tensor *sides[SIDES] = {&a->tensors[i], &b->tensors[mate]};
        TRY(undo_pair(p, &(struct at){i, sides[p->gguf], sides[!p->gguf]}));
    }
    return 0;
}
