/* SPDX-License-Identifier: Apache-2.0 */
/* check_shapes: do the matrices of the layers have the sizes that the configuration promises?
 *
 *     config.intermediate  width of the feed-forward block, and that of an expert
 *     config.heads         rows of q_proj are no multiple of the heads, whatever the head size
 *     config.kv-heads      rows of k_proj: key and value heads x head size
 *     config.experts       experts are configured, but no tensor belongs to one
 *     config.embedding     a language model without a token embedding
 *
 * Families give sizes that vary from layer to layer, so one matrix that agrees is enough, and
 * nothing is said of shapes that are packed or of sizes that were not told. */
#include "model/check.h"

#include <inttypes.h>
#include <string.h>

/* What was seen of one promise. */
struct seen {
    const struct sc_tensor *wrong; /* the first that disagrees */
    bool right;                    /* one agrees */
};

struct shapes {
    struct sc_model *m;
    struct sc_catalog *c;
    struct sc_error *e;
    const char *source;
    bool partial;
    struct seen dense, experts, query, key;
    const struct sc_tensor *last_query; /* of the layer that is being looked at */
    bool gate;                          /* a gate of its own: up_proj is not two in one */
    bool latent;                        /* attention over a compressed cache: heads of two sizes */
    bool shared;                        /* shared experts */
    bool any_expert, embedding, output;
};

#define WARN(k, id, tensor, ...)                                                                   \
    sc_problem((k)->c, SC_WARNING, id, UINT32_MAX, tensor, SC_NO_OFFSET, (k)->e, __VA_ARGS__)

bool sc_shape_is_logical(const struct sc_tensor *t)
{
    if (t->layout == SC_LAYOUT_PLAIN)
        return t->dtype[0] == 'F' || t->dtype[0] == 'B';
    return sc_layouts[t->layout].decodable && (t->rank < 2 || t->shape[t->rank - 1] > 1);
}

static bool has_side(const struct sc_tensor *t, uint64_t side)
{
    for (unsigned i = t->rank - 2u; i < t->rank; i++)
        if (t->shape[i] == side)
            return true;
    return false;
}

static void note(struct seen *s, const struct sc_tensor *t, bool agrees)
{
    s->right |= agrees;
    if (!agrees && !s->wrong)
        s->wrong = t;
}

/* GPT-2 stores its matrices transposed, so either side may be the width. */
static void look_at_feed_forward(struct shapes *k, const struct sc_tensor *t, struct sc_str name)
{
    const struct sc_config *c = &k->m->config;
    const bool gate = sc_str_ends(name, "gate_proj.weight") || sc_str_ends(name, "gate_proj");
    const bool two = sc_str_has_nocase(name, SC_STR("gate_up_proj"));
    if (sc_str_has_nocase(name, SC_STR(".mlp.experts."))) {
        const uint64_t width = c->moe_intermediate ? c->moe_intermediate : c->intermediate;
        note(&k->experts, t, has_side(t, width) || has_side(t, 2 * width));
    } else if (sc_str_has_nocase(name, SC_STR("shared"))) {
        k->shared = true;
    } else if (sc_str_ends(name, ".mlp.gate_proj.weight") ||
               sc_str_ends(name, ".mlp.up_proj.weight") ||
               sc_str_ends(name, ".mlp.down_proj.weight")) {
        k->gate |= gate;
        note(&k->dense, t,
             has_side(t, c->intermediate) ||
                 (!k->gate && !two && has_side(t, 2 * c->intermediate)));
    }
}

static uint64_t head_size(const struct shapes *k)
{
    const struct sc_config *c = &k->m->config;
    if (c->head_dim || !k->last_query || !c->heads)
        return c->head_dim;
    return k->last_query->shape[0] / c->heads;
}

/* Names are in natural order: k_proj comes before q_proj, so a key is compared with the queries of
 * the layer before, which differ only in models where one key that agrees is enough. */
static void look_at_attention(struct shapes *k, const struct sc_tensor *t, struct sc_str name)
{
    const struct sc_config *c = &k->m->config;
    if (sc_str_ends(name, ".self_attn.q_proj.weight")) {
        k->last_query = t;
        if (c->heads && !c->head_dim && c->hidden % c->heads != 0)
            note(&k->query, t, t->shape[0] % c->heads == 0);
    } else if (sc_str_ends(name, ".self_attn.k_proj.weight") && c->kv_heads && head_size(k)) {
        /* Rows that are not whole heads say that keys have a size of their own. */
        const uint64_t size = head_size(k);
        if (t->shape[0] % size == 0)
            note(&k->key, t, c->kv_heads <= t->shape[0] && t->shape[0] == c->kv_heads * size);
    }
}

static int look_at(struct shapes *k, const struct sc_tensor *t, struct sc_buf *b)
{
    const struct sc_str name = sc_tensor_name(t);
    k->output |= t->role == SC_ROLE_OUTPUT;
    k->embedding |=
        t->role == SC_ROLE_EMBEDDING || (t->layer < 0 && (sc_str_has_nocase(name, SC_STR("emb")) ||
                                                          sc_str_has_nocase(name, SC_STR("wte"))));
    if (t->tower != SC_TOWER_MAIN)
        return 0;
    k->any_expert |=
        t->expert >= 0 || t->role == SC_ROLE_ROUTER || sc_str_has_nocase(name, SC_STR("expert")) ||
        sc_str_has_nocase(name, SC_STR("exps")) || sc_str_has_nocase(name, SC_STR("moe"));
    k->latent |= t->role == SC_ROLE_KV_A || t->role == SC_ROLE_KV_B;
    const bool feed_forward = t->role == SC_ROLE_GATE || t->role == SC_ROLE_UP ||
                              t->role == SC_ROLE_DOWN || t->role == SC_ROLE_GATE_UP;
    const bool attention = t->role == SC_ROLE_Q || t->role == SC_ROLE_K;
    if (t->layer < 0 || t->rank < 2 || t->rank > 3 || !(feed_forward || attention) ||
        !sc_shape_is_logical(t))
        return 0;
    b->n = 0;
    sc_canonical_name(name, b);
    if (b->failed)
        return sc_fail_memory(k->e);
    if (feed_forward)
        look_at_feed_forward(k, t, sc_str(b->p, b->n));
    else if (t->rank == 2)
        look_at_attention(k, t, sc_str(b->p, b->n));
    return 0;
}

/* Families whose blocks are not as wide as they say: LFM2 and Qwen 1 give the width before it is
 * cut, Llama 4 that of an expert. */
static bool width_is_another(const struct sc_config *c)
{
    const char *type = c->model_type ? c->model_type : "";
    return strncmp(type, "lfm2", 4) == 0 || strncmp(type, "llama4", 6) == 0 ||
           strcmp(type, "qwen") == 0;
}

/* The larger of the last two sides says nothing by itself, so the shape is shown. */
static int warn_of_width(struct shapes *k, const struct sc_tensor *t, const char *what,
                         uint64_t width)
{
    return WARN(k, "config.intermediate", sc_tensor_name(t),
                "%s says that %s is %" PRIu64 " wide, but the matrix is %" PRIu64 "x%" PRIu64,
                k->source, what, width, t->shape[t->rank - 2], t->shape[t->rank - 1]);
}

static int judge_widths(struct shapes *k)
{
    const struct sc_config *c = &k->m->config;
    const struct seen *d = &k->dense, *x = &k->experts;
    if (width_is_another(c))
        return 0;
    if (c->intermediate && d->wrong && !d->right)
        TRY(warn_of_width(k, d->wrong, "the feed-forward block", c->intermediate));
    /* Without a width of their own, experts have that of the block, unless there is one beside
     * them: then theirs is a list or is not told. */
    const bool alone = !d->wrong && !d->right && !k->shared &&
                       (!k->c->weight_set || strcmp(k->c->weight_set, "gguf") != 0);
    const uint64_t width = c->moe_intermediate ? c->moe_intermediate : alone ? c->intermediate : 0;
    return width && x->wrong && !x->right ? warn_of_width(k, x->wrong, "an expert", width) : 0;
}

static int judge_heads(struct shapes *k)
{
    const struct sc_config *c = &k->m->config;
    if (k->latent)
        return 0;
    if (k->query.wrong && !k->query.right)
        TRY(WARN(k, "config.heads", sc_tensor_name(k->query.wrong),
                 "%s says %" PRIu64 " heads, but q_proj has %" PRIu64 " rows, no multiple of them",
                 k->source, c->heads, k->query.wrong->shape[0]));
    if (k->key.wrong && !k->key.right && !k->query.wrong)
        TRY(WARN(k, "config.kv-heads", sc_tensor_name(k->key.wrong),
                 "%s says %" PRIu64 " key and value heads, so %" PRIu64 " rows of keys, but k_proj "
                 "has %" PRIu64,
                 k->source, c->kv_heads, c->kv_heads * head_size(k), k->key.wrong->shape[0]));
    return 0;
}

static int judge_what_is_missing(struct shapes *k)
{
    const struct sc_config *c = &k->m->config;
    const bool dense = k->dense.right || k->dense.wrong;
    const bool whole = dense || k->experts.right || k->experts.wrong; /* no mere adapter */
    if (k->partial || k->c->n_errors > 0)
        return 0; /* a file that is missing or broken was reported */
    if (c->experts > 1 && dense && !k->any_expert)
        TRY(WARN(k, "config.experts", SC_NO_TENSOR,
                 "%s says %" PRIu64 " experts, but no tensor belongs to one", k->source,
                 c->experts));
    /* Heads for speculative decoding have one layer and borrow the embedding; a tied one may be
     * stored as the output. */
    const bool gguf = k->c->weight_set && strcmp(k->c->weight_set, "gguf") == 0;
    const bool language = gguf || (c->architecture && strstr(c->architecture, "CausalLM"));
    if (language && c->layers > 1 && c->vocab && whole && !k->embedding &&
        !(k->output && c->tied_embeddings))
        return WARN(k, "config.embedding", SC_NO_TENSOR,
                    "%s says %" PRIu64 " words, but there is no token embedding", k->source,
                    c->vocab);
    return 0;
}

int sc_check_shapes(struct sc_model *m, const char *source, bool partial, struct sc_error *e)
{
    struct shapes k = {.m = m, .c = m->catalog, .e = e, .source = source, .partial = partial};
    struct sc_buf b = {.max = 1 << 17};
    int code = 0;
    if (!m->config.source)
        return 0;
    /* The first key of a model stands before its first queries. */
    for (size_t i = 0; i < m->n_tensors && code == 0 && !k.last_query; i++)
        if (m->tensors[i].role == SC_ROLE_Q)
            code = look_at(&k, &m->tensors[i], &b);
    for (size_t i = 0; i < m->n_tensors && code == 0; i++)
        code = look_at(&k, &m->tensors[i], &b);
    sc_buf_clear(&b);
    TRY(code);
    TRY(judge_widths(&k));
    TRY(judge_heads(&k));
    return judge_what_is_missing(&k);
}
