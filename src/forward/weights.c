/* SPDX-License-Identifier: Apache-2.0 */
/* weights: which tensor is which matrix of the pass.
 *
 * Names are canonical ones (model/names_canonical.c), so that every container and wrapper binds in
 * the same way. Fused matrices become rows of one tensor, stacked experts slices of it. A tensor
 * that is not there, or has another shape than the plan wants, is refused; one that nobody asks for
 * is left alone. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forward/engine.h"

struct named {
    char *name; /* canonical */
    uint32_t tensor;
};
struct binder {
    struct sc_forward *f;
    struct named *list;
    size_t n;
    struct sc_error *e;
    int code;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static int list_names(struct binder *b)
{
    const struct sc_model *m = b->f->m;
    struct sc_buf name = {0};
    struct sc_arena *arena = &b->f->arena;

    b->list = sc_calloc(m->n_tensors, sizeof *b->list);
    if (!b->list)
        return sc_fail_memory(b->e);
    for (size_t i = 0; i < m->n_tensors; i++) {
        name.n = 0;
        sc_canonical_name(sc_tensor_name(&m->tensors[i]), &name);
        b->list[i].name = name.failed ? NULL : sc_arena_copy(arena, name.p, name.n);
        b->list[i].tensor = (uint32_t)i;
        if (!b->list[i].name)
            break;
        b->n = i + 1;
    }
    sc_buf_clear(&name);
    if (b->n < m->n_tensors)
        return sc_fail_memory(b->e);
    qsort(b->list, b->n, sizeof *b->list, by_name);
    return 0;
}

static uint32_t find(struct binder *b, const char *fmt, ...) SC_PRINTF(2, 3);
static uint32_t find(struct binder *b, const char *fmt, ...)
{
    char name[128];
    va_list args;

    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    const struct named key = {.name = name};
    const struct named *hit = bsearch(&key, b->list, b->n, sizeof key, by_name);
    if (!hit)
        return SC_NO_TENSOR_HERE;
    const bool before = hit > b->list && by_name(hit - 1, hit) == 0;
    const bool behind = hit + 1 < b->list + b->n && by_name(hit, hit + 1) == 0;
    if ((before || behind) && b->code == 0) {
        const struct sc_tensor *t = b->f->m->tensors;
        struct sc_quoted q, r;
        b->code =
            sc_fail(b->e, SCRUPLE_EFORMAT, "this model cannot be run: %s and %s mean the same",
                    sc_quote(&q, sc_tensor_name(&t[before ? hit[-1].tensor : hit->tensor])),
                    sc_quote(&r, sc_tensor_name(&t[before ? hit->tensor : hit[1].tensor])));
    }
    return hit->tensor;
}

static void refuse_shape(struct binder *b, uint32_t tensor, uint64_t rows, uint64_t cols)
{
    const struct sc_tensor *t = &b->f->m->tensors[tensor];
    struct sc_quoted q;

    if (b->code == 0)
        b->code = sc_fail(b->e, SCRUPLE_EFORMAT,
                          "%s does not have the shape that the configuration wants, [%" PRIu64
                          ", %" PRIu64 "]",
                          sc_quote(&q, sc_tensor_name(t)), rows, cols);
}

/* Whole numbers without a scale are codes of a format that is not known, not weights. */
static void refuse_codes(struct binder *b, const struct sc_tensor *t)
{
    static const char *const whole[] = {"I8",  "U8",  "I16", "U16", "I32",
                                        "U32", "I64", "U64", "BOOL"};
    struct sc_quoted q;

    for (size_t i = 0; i < SC_COUNT(whole) && b->code == 0; i++)
        if (t->n_parts == 1 && strcmp(t->dtype, whole[i]) == 0)
            b->code = sc_fail(b->e, SCRUPLE_EUNSUPPORTED,
                              "this model cannot be run: %s holds whole numbers (%s), and nothing "
                              "says what they stand for",
                              sc_quote(&q, sc_tensor_name(t)), t->dtype);
}

/* Rows first..first + rows of a matrix of `all` rows, which must be the whole tensor. */
static void bind_part(struct binder *b, struct sc_weight *w, uint32_t tensor, uint64_t all,
                      uint64_t first, uint64_t rows, uint64_t cols)
{
    const struct sc_tensor *t = &b->f->m->tensors[tensor];
    const bool transposed = b->f->plan.conv1d && t->rank == 2;
    uint64_t n;

    refuse_codes(b, t);
    if (!sc_mul(all, cols, &n) || t->parameters != n ||
        (t->rank >= 2 && t->shape[t->rank - 1] != (transposed ? all : cols))) {
        refuse_shape(b, tensor, all, cols);
        return;
    }
    w->m = (struct sc_forward_matrix){.tensor = tensor,
                                      .first = transposed ? first : first * cols,
                                      .rows = rows,
                                      .cols = cols,
                                      .stride = transposed ? all : cols,
                                      .transposed = transposed};
}

static void bind_bias(struct binder *b, struct sc_weight *w, uint32_t tensor, uint64_t all,
                      uint64_t first)
{
    if (tensor == SC_NO_TENSOR_HERE)
        return;
    if (b->f->m->tensors[tensor].parameters != all) {
        refuse_shape(b, tensor, 1, all);
        return;
    }
    w->bias = tensor;
    w->bias_first = first;
}

static void missing(struct binder *b, const char *name)
{
    if (b->code == 0)
        b->code =
            sc_fail(b->e, SCRUPLE_EFORMAT, "this model cannot be run: it has no tensor %s", name);
}

/* A tensor of its own, with `n_bias` numbers in its bias. */
static void bind_both(struct binder *b, struct sc_weight *w, const char *name, uint64_t rows,
                      uint64_t cols, uint64_t n_bias, bool must)
{
    const uint32_t tensor = find(b, "%s.weight", name);

    if (b->code < 0)
        return;
    if (tensor == SC_NO_TENSOR_HERE) {
        if (must)
            missing(b, name);
        return;
    }
    bind_part(b, w, tensor, rows, 0, rows, cols);
    bind_bias(b, w, find(b, "%s.bias", name), n_bias, 0);
}

static void bind(struct binder *b, struct sc_weight *w, const char *name, uint64_t rows,
                 uint64_t cols, bool must)
{
    bind_both(b, w, name, rows, cols, rows, must);
}

/* A norm: a vector, which may have several names; none: there must be none. */
static void bind_vector(struct binder *b, struct sc_weight *w, uint32_t layer,
                        const char *const *names, uint64_t n, bool must)
{
    char name[96];

    for (size_t i = 0; names[i]; i++) {
        snprintf(name, sizeof name, "layers.%u.%s", layer, names[i]);
        if (find(b, "%s.weight", name) != SC_NO_TENSOR_HERE) {
            bind_both(b, w, name, 1, n, n, must);
            return;
        }
    }
    snprintf(name, sizeof name, "layers.%u.%s", layer, names[0]);
    if (must)
        missing(b, name);
}

/* ------------------------------------------------------------------------------ attention --- */

static void bind_qkv(struct binder *b, struct sc_layer *l, uint32_t layer)
{
    const struct sc_forward_facts *facts = &b->f->plan.facts;
    const uint64_t q = (uint64_t)facts->heads * facts->head_dim;
    const uint64_t k = (uint64_t)facts->kv_heads * facts->head_dim, all = q + 2 * k;
    const uint64_t rows[3] = {q, k, k}, first[3] = {0, q, q + k};
    static const char *const names[3] = {"q_proj", "k_proj", "v_proj"};
    const uint32_t fused = find(b, "layers.%u.self_attn.qkv_proj.weight", layer);
    char name[96];

    for (unsigned i = 0; i < 3; i++) {
        struct sc_weight *w = &l->w[SC_SLOT_Q + i];
        if (fused != SC_NO_TENSOR_HERE) {
            bind_part(b, w, fused, all, first[i], rows[i], facts->hidden);
            bind_bias(b, w, find(b, "layers.%u.self_attn.qkv_proj.bias", layer), all, first[i]);
            continue;
        }
        snprintf(name, sizeof name, "layers.%u.self_attn.%s", layer, names[i]);
        bind(b, w, name, rows[i], facts->hidden, true);
    }
}

static void bind_latent(struct binder *b, struct sc_layer *l, uint32_t layer)
{
    const struct sc_plan *p = &b->f->plan;
    const struct sc_forward_facts *facts = &p->facts;
    const uint64_t q = (uint64_t)facts->heads * facts->head_dim;
    static const char *const q_norm[] = {"self_attn.q_a_layernorm", NULL};
    static const char *const kv_norm[] = {"self_attn.kv_a_layernorm", NULL};
    char name[96];

#define NAMED(part) (snprintf(name, sizeof name, "layers.%u.self_attn." part, layer), name)
    if (p->q_rank) {
        bind(b, &l->w[SC_SLOT_Q_A], NAMED("q_a_proj"), p->q_rank, facts->hidden, true);
        bind_vector(b, &l->w[SC_SLOT_Q_A_NORM], layer, q_norm, p->q_rank, true);
        bind(b, &l->w[SC_SLOT_Q_B], NAMED("q_b_proj"), q, p->q_rank, true);
    } else {
        bind(b, &l->w[SC_SLOT_Q], NAMED("q_proj"), q, facts->hidden, true);
    }
    bind(b, &l->w[SC_SLOT_KV_A], NAMED("kv_a_proj_with_mqa"), (uint64_t)p->kv_rank + p->rope_dim,
         facts->hidden, true);
    bind_vector(b, &l->w[SC_SLOT_KV_A_NORM], layer, kv_norm, p->kv_rank, true);
    const uint64_t heads = facts->heads;
    const uint32_t k = find(b, "layers.%u.attn_k_b.weight", layer);
    const uint32_t v = find(b, "layers.%u.attn_v_b.weight", layer);
    if (k != SC_NO_TENSOR_HERE && v != SC_NO_TENSOR_HERE) {
        /* llama.cpp turns those of k, so that queries can be multiplied with them */
        bind_part(b, &l->w[SC_SLOT_K_B], k, heads * p->kv_rank, 0, heads * p->kv_rank, p->nope_dim);
        bind_part(b, &l->w[SC_SLOT_V_B], v, heads * facts->value_dim, 0, heads * facts->value_dim,
                  p->kv_rank);
        return;
    }
    bind(b, &l->w[SC_SLOT_KV_B], NAMED("kv_b_proj"), heads * (p->nope_dim + facts->value_dim),
         p->kv_rank, true);
#undef NAMED
}

static void bind_attention(struct binder *b, struct sc_layer *l, uint32_t layer)
{
    const struct sc_plan *p = &b->f->plan;
    const struct sc_forward_facts *facts = &p->facts;
    const uint64_t q = (uint64_t)facts->heads * facts->head_dim;
    const uint64_t kv = (uint64_t)facts->kv_heads * facts->head_dim;
    static const char *const q_norm[] = {"self_attn.q_norm", NULL};
    static const char *const k_norm[] = {"self_attn.k_norm", NULL};
    char name[96];

    if (p->kv_rank)
        bind_latent(b, l, layer);
    else
        bind_qkv(b, l, layer);
    snprintf(name, sizeof name, "layers.%u.self_attn.o_proj", layer);
    bind(b, &l->w[SC_SLOT_O], name, facts->hidden, (uint64_t)facts->heads * facts->value_dim, true);
    if (p->qk_norm_full || p->qk_norm_head) {
        bind_vector(b, &l->w[SC_SLOT_Q_NORM], layer, q_norm, p->qk_norm_full ? q : facts->head_dim,
                    true);
        bind_vector(b, &l->w[SC_SLOT_K_NORM], layer, k_norm, p->qk_norm_full ? kv : facts->head_dim,
                    true);
    }
}

/* ------------------------------------------------------------------------------------ MLP --- */

static void bind_mlp(struct binder *b, struct sc_layer *l, uint32_t layer)
{
    const struct sc_plan *p = &b->f->plan;
    const uint64_t hidden = p->facts.hidden, wide = p->facts.intermediate;
    const uint32_t fused = find(b, "layers.%u.mlp.gate_up_proj.weight", layer);
    const uint32_t up = find(b, "layers.%u.mlp.up_proj.weight", layer);
    char name[96];

#define NAMED(part) (snprintf(name, sizeof name, "layers.%u.mlp." part, layer), name)
    /* llama.cpp keeps the fused matrix of Phi-3 under the name of one half */
    const uint32_t both =
        fused != SC_NO_TENSOR_HERE ? fused
        : p->gated && up != SC_NO_TENSOR_HERE && p->gguf &&
                find(b, "layers.%u.mlp.gate_proj.weight", layer) == SC_NO_TENSOR_HERE
            ? up
            : SC_NO_TENSOR_HERE;
    if (p->gated && both != SC_NO_TENSOR_HERE) {
        bind_part(b, &l->w[SC_SLOT_GATE], both, 2 * wide, 0, wide, hidden);
        bind_part(b, &l->w[SC_SLOT_UP], both, 2 * wide, wide, wide, hidden);
    } else {
        if (p->gated)
            bind(b, &l->w[SC_SLOT_GATE], NAMED("gate_proj"), wide, hidden, true);
        bind(b, &l->w[SC_SLOT_UP], NAMED("up_proj"), wide, hidden, true);
    }
    bind(b, &l->w[SC_SLOT_DOWN], NAMED("down_proj"), hidden, wide, true);
#undef NAMED
}

/* One matrix of an expert: its own tensor, or a slice of a stack; `rows` of a slice of `all`. */
static void bind_expert(struct binder *b, struct sc_weight *w, uint32_t layer, uint32_t expert,
                        const char *part, uint64_t rows, uint64_t cols)
{
    const uint64_t experts = b->f->plan.facts.experts;
    uint32_t tensor = find(b, "layers.%u.mlp.experts.%u.%s.weight", layer, expert, part);
    char name[96];

    if (tensor != SC_NO_TENSOR_HERE) {
        bind_part(b, w, tensor, rows, 0, rows, cols);
        return;
    }
    tensor = find(b, "layers.%u.mlp.experts.%s.weight", layer, part);
    if (tensor == SC_NO_TENSOR_HERE)
        tensor = find(b, "layers.%u.mlp.experts.%s", layer, part);
    if (tensor != SC_NO_TENSOR_HERE) {
        bind_part(b, w, tensor, experts * rows, expert * rows, rows, cols);
        return;
    }
    snprintf(name, sizeof name, "layers.%u.mlp.experts.%u.%s", layer, expert, part);
    missing(b, name);
}

/* gate above up in one stack. */
static bool bind_fused_expert(struct binder *b, struct sc_expert *x, uint32_t layer,
                              uint32_t expert)
{
    const struct sc_plan *p = &b->f->plan;
    const uint64_t wide = p->moe_intermediate, all = 2 * wide * p->facts.experts;
    uint32_t tensor = find(b, "layers.%u.mlp.experts.gate_up_proj", layer);

    if (tensor == SC_NO_TENSOR_HERE)
        tensor = find(b, "layers.%u.mlp.experts.gate_up_proj.weight", layer);
    if (tensor == SC_NO_TENSOR_HERE)
        return false;
    bind_part(b, &x->gate, tensor, all, 2 * wide * expert, wide, p->facts.hidden);
    bind_part(b, &x->up, tensor, all, 2 * wide * expert + wide, wide, p->facts.hidden);
    return true;
}

static void bind_experts(struct binder *b, struct sc_layer *l, uint32_t layer)
{
    const struct sc_plan *p = &b->f->plan;
    const uint64_t hidden = p->facts.hidden, wide = p->moe_intermediate;
    const uint64_t shared = p->shared_intermediate;
    char name[96];

#define NAMED(part) (snprintf(name, sizeof name, "layers.%u.mlp." part, layer), name)
    bind(b, &l->w[SC_SLOT_ROUTER], NAMED("gate"), p->facts.experts, hidden, true);
    const uint32_t router_bias = l->w[SC_SLOT_ROUTER].bias;
    l->w[SC_SLOT_ROUTER].bias = SC_NO_TENSOR_HERE;
    if (router_bias != SC_NO_TENSOR_HERE)
        missing(b, "that means a bias of its router: mlp.gate.bias is not understood");
    uint32_t correction = find(b, "layers.%u.mlp.gate.e_score_correction_bias", layer);
    if (correction == SC_NO_TENSOR_HERE)
        correction = find(b, "layers.%u.mlp.gate.e_score_correction.bias", layer);
    if (correction != SC_NO_TENSOR_HERE)
        bind_part(b, &l->w[SC_SLOT_ROUTER_BIAS], correction, 1, 0, 1, p->facts.experts);
    for (uint32_t i = 0; i < p->facts.experts && b->code == 0; i++) {
        struct sc_expert *x = &l->experts[i];
        if (!bind_fused_expert(b, x, layer, i)) {
            bind_expert(b, &x->gate, layer, i, "gate_proj", wide, hidden);
            bind_expert(b, &x->up, layer, i, "up_proj", wide, hidden);
        }
        bind_expert(b, &x->down, layer, i, "down_proj", hidden, wide);
    }
    if (!shared && find(b, "%s.weight", NAMED("shared_expert.down_proj")) != SC_NO_TENSOR_HERE &&
        b->code == 0)
        b->code = sc_fail(b->e, SCRUPLE_EFORMAT,
                          "this model cannot be run: layer %u has a shared expert, but the "
                          "configuration does not say how wide it is",
                          layer);
    if (shared) {
        bind(b, &l->w[SC_SLOT_SHARED_GATE], NAMED("shared_expert.gate_proj"), shared, hidden, true);
        bind(b, &l->w[SC_SLOT_SHARED_UP], NAMED("shared_expert.up_proj"), shared, hidden, true);
        bind(b, &l->w[SC_SLOT_SHARED_DOWN], NAMED("shared_expert.down_proj"), hidden, shared, true);
        bind(b, &l->w[SC_SLOT_SHARED_SWITCH], NAMED("shared_expert_gate"), 1, hidden, false);
    }
#undef NAMED
}

/* ------------------------------------------------------------------------------------ all --- */

static void bind_layer(struct binder *b, struct sc_layer *l, uint32_t layer)
{
    const struct sc_plan *p = &b->f->plan;
    const bool must = p->norm != SC_NORM_PLAIN;
    static const char *const before[] = {"input_layernorm", NULL};
    /* between the two halves: Gemma's own name; in GGUF ffn_norm, whatever it is called there */
    static const char *const between_hf[] = {"pre_feedforward_layernorm", NULL};
    static const char *const between[] = {"post_attention_layernorm", NULL};
    static const char *const behind_hf[] = {"post_attention_layernorm", "post_attention_norm",
                                            NULL};
    static const char *const behind_gguf[] = {"post_attention_norm", NULL};
    static const char *const last[] = {"post_feedforward_layernorm", "post_ffw_norm", NULL};
    const uint64_t n = p->facts.hidden;

    if (!p->post_only) {
        bind_vector(b, &l->w[SC_SLOT_ATTN_NORM], layer, before, n, must);
        bind_vector(b, &l->w[SC_SLOT_MLP_NORM], layer,
                    p->parallel_norms && !p->gguf ? between_hf : between, n, must);
    }
    if (p->parallel_norms) {
        bind_vector(b, &l->w[SC_SLOT_POST_ATTN_NORM], layer, p->gguf ? behind_gguf : behind_hf, n,
                    true);
        bind_vector(b, &l->w[SC_SLOT_POST_MLP_NORM], layer, last, n, true);
    }
    bind_attention(b, l, layer);
    if (l->experts)
        bind_experts(b, l, layer);
    else
        bind_mlp(b, l, layer);
}

static void bind_top(struct binder *b)
{
    struct sc_plan *p = &b->f->plan;
    const uint32_t embed = find(b, "embed_tokens.weight");
    const uint64_t hidden = p->facts.hidden;
    const bool conv1d = p->conv1d;

    p->conv1d = false; /* embeddings are as everywhere */
    if (embed == SC_NO_TENSOR_HERE) {
        missing(b, "embed_tokens");
    } else {
        const struct sc_tensor *t = &b->f->m->tensors[embed];
        const uint64_t vocab = t->parameters / hidden;
        if (vocab < 1 || vocab > UINT32_C(1) << 28)
            refuse_shape(b, embed, p->facts.vocab, hidden);
        p->facts.vocab = (uint32_t)vocab;
        bind_part(b, SC_TOP(p, SC_SLOT_EMBED), embed, vocab, 0, vocab, hidden);
    }
    if (p->learned_positions && b->code == 0) {
        const uint32_t wpe = find(b, "embed_positions.weight");
        const uint64_t n = wpe == SC_NO_TENSOR_HERE ? 0 : b->f->m->tensors[wpe].parameters / hidden;
        bind(b, SC_TOP(p, SC_SLOT_POSITIONS), "embed_positions", n, hidden, true);
        p->facts.context = n;
    }
    bind_both(b, SC_TOP(p, SC_SLOT_FINAL_NORM), "norm", 1, hidden, hidden,
              p->norm != SC_NORM_PLAIN);
    if (!p->tied)
        bind(b, SC_TOP(p, SC_SLOT_OUTPUT), "lm_head", p->facts.vocab, hidden, p->untied);
    if (SC_TOP(p, SC_SLOT_OUTPUT)->m.tensor == SC_NO_TENSOR_HERE)
        *SC_TOP(p, SC_SLOT_OUTPUT) = *SC_TOP(p, SC_SLOT_EMBED);
    p->conv1d = conv1d;
}

static void clear_weight(struct sc_weight *w)
{
    *w = (struct sc_weight){.m = {.tensor = SC_NO_TENSOR_HERE}, .bias = SC_NO_TENSOR_HERE};
}

int sc_weights_bind(struct sc_forward *f, struct sc_error *e)
{
    struct sc_plan *p = &f->plan;
    struct binder b = {.f = f, .e = e};

    b.code = list_names(&b);
    for (size_t i = 0; i < SC_COUNT(p->top); i++)
        clear_weight(&p->top[i]);
    if (b.code == 0)
        bind_top(&b);
    for (uint32_t i = 0; i < p->facts.layers && b.code == 0; i++) {
        struct sc_layer *l = &p->layers[i];
        for (size_t s = 0; s < SC_COUNT(l->w); s++)
            clear_weight(&l->w[s]);
        for (uint32_t x = 0; l->experts && x < p->facts.experts; x++) {
            clear_weight(&l->experts[x].gate);
            clear_weight(&l->experts[x].up);
            clear_weight(&l->experts[x].down);
        }
        bind_layer(&b, l, i);
    }
    free(b.list);
    return b.code;
}
