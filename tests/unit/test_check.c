/* SPDX-License-Identifier: Apache-2.0 */
/* check: sizes, layers and GGUF keys that contradict each other, and models that only look so. */
#include "model/model.h"
#include "test.h"

#include <stdlib.h>

struct kit {
    struct sc_model m;
    struct sc_error e;
};

static void start(struct kit *k, const char *weight_set)
{
    *k = (struct kit){.e = {.code = 0}};
    k->m.catalog = sc_calloc(1, sizeof *k->m.catalog);
    k->m.catalog->weight_set = weight_set;
    uint32_t file;
    sc_catalog_add_file(k->m.catalog, "model.bin", 1 << 20, &file, &k->e);
}

static void judge(struct kit *k)
{
    CHECK_ERR(0, sc_model_fold(&k->m, &k->e));
    sc_model_classify(&k->m);
    CHECK_ERR(0, sc_model_build_tree(&k->m, &k->e));
    CHECK_ERR(0, sc_model_check(&k->m, &k->e));
}

static void finish(struct kit *k)
{
    sc_catalog_close(k->m.catalog);
    sc_pages_free(k->m.tensors);
    sc_pages_free(k->m.parts);
    sc_pages_free(k->m.nodes);
    sc_arena_clear(&k->m.arena);
}

/* The only finding: its id and sentence; NULL: there is none. */
static void expect(struct kit *k, const char *id, const char *message)
{
    judge(k);
    CHECK_U64(k->m.catalog->n_findings, id ? 1 : 0);
    if (id && k->m.catalog->n_findings > 0) {
        CHECK_STR(k->m.catalog->findings[0].id, id);
        CHECK_STR(k->m.catalog->findings[0].message, message);
        CHECK_U64(k->m.catalog->findings[0].severity, SC_WARNING);
    }
    finish(k);
}

static void add(struct kit *k, const char *name, uint64_t rows, uint64_t columns)
{
    const uint64_t dims[] = {rows, columns};
    struct sc_entry proto = {.dtype = sc_codec_find(SC_STR("BF16")), .view = SC_NO_STORAGE};
    CHECK(sc_codec_bytes((sc_codec_id)proto.dtype, dims, 2, &proto.bytes));
    CHECK_ERR(0, sc_catalog_add(k->m.catalog, sc_strz(name), dims, 2, &proto, NULL, &k->e));
}

static void add_in(struct kit *k, unsigned layer, const char *module, uint64_t rows,
                   uint64_t columns)
{
    char name[120];
    snprintf(name, sizeof name, "model.layers.%u.%s.weight", layer, module);
    add(k, name, rows, columns);
}

/* Two heads of 8 and one of keys; 24 wide. `skip`: the layer that lacks up_proj. `wide`: the
 * layer whose down_proj is wider. */
static void llama(struct kit *k, unsigned layers, unsigned skip, unsigned wide, bool embedding)
{
    start(k, "safetensors");
    if (embedding)
        add(k, "model.embed_tokens.weight", 100, 16);
    add(k, "lm_head.weight", 100, 16);
    for (unsigned i = 0; i < layers; i++) {
        add_in(k, i, "self_attn.q_proj", 16, 16);
        add_in(k, i, "self_attn.k_proj", 8, 16);
        add_in(k, i, "mlp.gate_proj", 24, 16);
        if (i != skip)
            add_in(k, i, "mlp.up_proj", 24, 16);
        add_in(k, i, "mlp.down_proj", 16, i == wide ? 25 : 24);
    }
    k->m.config = (struct sc_config){
        .source = "config.json",
        .architecture = "XForCausalLM",
        .model_type = "x",
        .layers = layers,
        .hidden = 16,
        .intermediate = 24,
        .heads = 2,
        .kv_heads = 1,
        .vocab = 100,
    };
}
static const unsigned none = 1000;

TEST(check_sizes_that_agree)
{
    struct kit k;
    llama(&k, 4, none, none, true);
    expect(&k, NULL, NULL);
    llama(&k, 4, none, none, true);
    k.m.config.head_dim = 8;
    expect(&k, NULL, NULL);
    llama(&k, 4, none, none, true);
    k.m.config = (struct sc_config){.source = NULL};
    expect(&k, NULL, NULL);
}

TEST(check_width_of_the_feed_forward_block)
{
    struct kit k;
    llama(&k, 4, none, none, true);
    k.m.config.intermediate = 48;
    expect(&k, "config.intermediate",
           "config.json says that the feed-forward block is 48 wide, "
           "but the matrix is 16x24");
    llama(&k, 4, none, none, true);
    k.m.config.intermediate = 36; /* before it is cut */
    k.m.config.model_type = "lfm2";
    expect(&k, NULL, NULL);
}

TEST(check_heads_that_do_not_divide)
{
    struct kit k;
    llama(&k, 4, none, none, true);
    k.m.config.heads = 3;
    expect(&k, "config.heads",
           "config.json says 3 heads, but q_proj has 16 rows, no multiple of them");
    llama(&k, 4, none, none, true);
    k.m.config.kv_heads = 2;
    expect(&k, "config.kv-heads",
           "config.json says 2 key and value heads, so 16 rows of keys, "
           "but k_proj has 8");
    llama(&k, 4, none, none, true);
    k.m.config.kv_heads = 2; /* heads of two sizes */
    add_in(&k, 0, "self_attn.kv_a_proj_with_mqa", 8, 16);
    expect(&k, NULL, NULL);
}

static void add_experts(struct kit *k, uint64_t width)
{
    char module[60];
    for (unsigned layer = 1; layer < 8; layer++)
        for (unsigned i = 0; i < 2; i++) {
            snprintf(module, sizeof module, "mlp.experts.%u.up_proj", i);
            add_in(k, layer, module, width, 16);
        }
    k->m.config.experts = 2;
    k->m.config.layers = 8;
}

TEST(check_width_of_experts)
{
    struct kit k;
    llama(&k, 1, none, none, true); /* the first layer is dense */
    add_experts(&k, 6);
    k.m.config.moe_intermediate = 6;
    expect(&k, NULL, NULL);
    llama(&k, 1, none, none, true);
    add_experts(&k, 6); /* width not told */
    expect(&k, NULL, NULL);
    llama(&k, 1, none, none, true);
    add_experts(&k, 6);
    k.m.config.moe_intermediate = 7;
    expect(&k, "config.intermediate",
           "config.json says that an expert is 7 wide, but the matrix is 6x16");
}

TEST(check_what_is_not_there_at_all)
{
    struct kit k;
    llama(&k, 4, none, none, true);
    k.m.config.experts = 8;
    expect(&k, "config.experts", "config.json says 8 experts, but no tensor belongs to one");
    llama(&k, 4, none, none, true);
    k.m.config.experts = 1;
    expect(&k, NULL, NULL);
    llama(&k, 4, none, none, false);
    expect(&k, "config.embedding", "config.json says 100 words, but there is no token embedding");
    llama(&k, 4, none, none, false);
    k.m.config.tied_embeddings = k.m.config.has_tied_embeddings = true;
    expect(&k, NULL, NULL);
    llama(&k, 1, none, none, false); /* a head for speculative decoding */
    expect(&k, NULL, NULL);
}

TEST(check_one_layer_unlike_the_others)
{
    struct kit k;
    llama(&k, 4, 2, none, true);
    expect(&k, "layers.uneven",
           "layer 2 of the main tower has no \"mlp.up_proj.weight\", which "
           "the other layers have");
    llama(&k, 4, none, 1, true);
    expect(&k, "layers.uneven", "the tensor is 16x25, but 16x24 in the other layers");
    for (unsigned i = 0; i < 4; i += 3) { /* the ends differ on purpose */
        llama(&k, 4, i, none, true);
        expect(&k, NULL, NULL);
    }
    llama(&k, 3, 1, none, true); /* too few to tell */
    expect(&k, NULL, NULL);
    llama(&k, 8, 3, 5, true); /* of several kinds */
    expect(&k, NULL, NULL);
}

TEST(check_layers_of_several_kinds_on_purpose)
{
    struct kit k;
    llama(&k, 8, none, none, true);
    add_in(&k, 4, "cross_attn.q_proj", 16, 16);
    expect(&k, NULL, NULL);
    llama(&k, 8, 4, none, true); /* lacks one, but has another instead */
    add_in(&k, 4, "mlp.special", 16, 16);
    expect(&k, NULL, NULL);
    llama(&k, 12, 5, 0, true); /* behind a first layer that is different anyway */
    expect(&k, "layers.uneven",
           "layer 5 of the main tower has no \"mlp.up_proj.weight\", which "
           "the other layers have");
}

/* ------------------------------------------------------------------------------------ GGUF --- */
static void put(struct kit *k, const char *key, struct sc_value value)
{
    CHECK_ERR(0, sc_catalog_add_meta(k->m.catalog, 0, sc_strz(key), &value, &k->e));
}

static struct sc_value list_of(uint64_t count)
{
    struct sc_value value = {.kind = SC_VALUE_ARRAY, .element = SC_VALUE_UINT};
    value.as.a.count = count;
    return value;
}

static struct sc_value number(uint64_t n)
{
    return (struct sc_value){.kind = SC_VALUE_UINT, .as = {.u = n}};
}

static void gguf(struct kit *k, uint64_t tokens)
{
    start(k, "gguf");
    add(k, "token_embd.weight", 100, 16);
    put(k, "general.architecture",
        (struct sc_value){.kind = SC_VALUE_STRING, .as = {.s = SC_STR("llama")}});
    put(k, "tokenizer.ggml.tokens", list_of(tokens));
}

TEST(check_gguf_tokenizer)
{
    struct kit k;
    gguf(&k, 100);
    put(&k, "tokenizer.ggml.scores", list_of(100));
    put(&k, "tokenizer.ggml.token_type", list_of(100));
    put(&k, "tokenizer.ggml.eos_token_id", number(99));
    put(&k, "tokenizer.ggml.padding_token_id", number(UINT32_MAX));
    put(&k, "tokenizer.ggml.seperator_token_id",
        (struct sc_value){.kind = SC_VALUE_INT, .as = {.i = -1}});
    expect(&k, NULL, NULL);
    gguf(&k, 99);
    expect(&k, "gguf.tokenizer",
           "the tokenizer has 99 tokens, but the token embedding has 100 rows");
    gguf(&k, 100);
    put(&k, "tokenizer.ggml.scores", list_of(7));
    expect(&k, "gguf.tokenizer", "\"tokenizer.ggml.scores\" has 7 items, but there are 100 tokens");
    gguf(&k, 100);
    put(&k, "tokenizer.ggml.token_type", list_of(101));
    expect(&k, "gguf.tokenizer",
           "\"tokenizer.ggml.token_type\" has 101 items, but there are 100 tokens");
    gguf(&k, 100);
    put(&k, "tokenizer.ggml.bos_token_id", number(100));
    expect(&k, "gguf.tokenizer",
           "\"tokenizer.ggml.bos_token_id\" is 100, but there are 100 tokens");
}

TEST(check_gguf_architecture)
{
    struct kit k;
    start(&k, "gguf");
    add(&k, "token_embd.weight", 100, 16);
    expect(&k, "gguf.architecture",
           "\"general.architecture\" is missing, so the keys of the model are unknown");
    start(&k, "gguf");
    put(&k, "general.architecture", number(3));
    expect(&k, "gguf.architecture",
           "\"general.architecture\" is not a name, so the keys of the model are unknown");
    start(&k, "gguf"); /* an importance matrix */
    add(&k, "token_embd.weight.in_sum2", 1, 16);
    expect(&k, NULL, NULL);
}
