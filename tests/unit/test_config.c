/* SPDX-License-Identifier: Apache-2.0 */
/* config, facts, check: what the files beside the weights say, good and bad, from memory. */
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

static void finish(struct kit *k)
{
    sc_catalog_close(k->m.catalog);
    sc_pages_free(k->m.tensors);
    sc_pages_free(k->m.parts);
    sc_pages_free(k->m.nodes);
    sc_arena_clear(&k->m.arena);
}

/* Reads one file of the repository as configuration, or as facts. */
static void read_bytes(struct kit *k, const char *path, const void *p, size_t n, bool facts)
{
    struct sc_repo *repo = NULL;
    CHECK_ERR(0, sc_repo_open_memory(p, n, path, &repo, &k->e));
    if (facts)
        CHECK_ERR(0, sc_model_read_facts(&k->m, repo, &k->e));
    else
        CHECK_ERR(0, sc_model_read_config(&k->m, repo, &k->e));
    sc_repo_close(repo);
}

static void read_config(struct kit *k, const char *path, const char *text)
{
    start(k, "safetensors");
    read_bytes(k, path, text, strlen(text), false);
}

static void read_facts(struct kit *k, const char *path, const char *text)
{
    start(k, "safetensors");
    read_bytes(k, path, text, strlen(text), true);
}

static const char *finding(const struct kit *k, const char *id)
{
    for (size_t i = 0; i < k->m.catalog->n_findings; i++)
        if (strcmp(k->m.catalog->findings[i].id, id) == 0)
            return k->m.catalog->findings[i].message;
    return NULL;
}

/* ---------------------------------------------------------------------------------- config --- */
TEST(config_of_a_llama)
{
    struct kit k;
    read_config(&k, "config.json",
                "\xef\xbb\xbf{\"architectures\": [\"Qwen3MoeForCausalLM\"], \"model_type\": "
                "\"qwen3_moe\","
                "\"hidden_size\": 2048, \"intermediate_size\": 6144, \"num_hidden_layers\": 48,"
                "\"num_attention_heads\": 32, \"num_key_value_heads\": 4, \"head_dim\": 128,"
                "\"vocab_size\": 151936, \"max_position_embeddings\": 40960, \"num_experts\": 128,"
                "\"num_experts_per_tok\": 8, \"moe_intermediate_size\": 768, \"n_shared_experts\": "
                "null, \"rope_theta\": 1e6, \"rms_norm_eps\": 1e-06, "
                "\"tie_word_embeddings\": false,"
                "\"torch_dtype\": \"bfloat16\", \"num_nextn_predict_layers\": 1.0}");
    const struct sc_config *c = &k.m.config;
    CHECK_STR(c->source, "config.json");
    CHECK_STR(c->architecture, "Qwen3MoeForCausalLM");
    CHECK_STR(c->model_type, "qwen3_moe");
    CHECK_STR(c->dtype, "bfloat16");
    CHECK_U64(c->hidden, 2048);
    CHECK_U64(c->intermediate, 6144);
    CHECK_U64(c->layers, 48);
    CHECK_U64(c->heads, 32);
    CHECK_U64(c->kv_heads, 4);
    CHECK_U64(c->head_dim, 128);
    CHECK_U64(c->vocab, 151936);
    CHECK_U64(c->context, 40960);
    CHECK_U64(c->experts, 128);
    CHECK_U64(c->experts_per_token, 8);
    CHECK_U64(c->moe_intermediate, 768);
    CHECK_U64(c->shared_experts, 0);
    CHECK_U64(c->mtp_layers, 1);
    CHECK_NEAR(c->rope_theta, 1e6, 0);
    CHECK_NEAR(c->norm_eps, 1e-6, 1e-18);
    CHECK(c->has_tied_embeddings && !c->tied_embeddings);
    CHECK(c->quant_method == NULL);
    CHECK_U64(k.m.catalog->n_findings, 0);
    finish(&k);
}

TEST(config_of_a_vision_language_model)
{
    struct kit k;
    read_config(&k, "config.json",
                "{\"architectures\": [\"LlavaForConditionalGeneration\"], "
                "\"model_type\": \"llava\","
                "\"vocab_size\": 7, \"text_config\": {\"hidden_size\": 48, "
                "\"num_hidden_layers\": 2,"
                "\"vocab_size\": 128, \"dtype\": \"float16\"},"
                "\"vision_config\": {\"hidden_size\": 32, \"num_hidden_layers\": 9}}");
    CHECK_U64(k.m.config.hidden, 48);
    CHECK_U64(k.m.config.layers, 2);
    CHECK_U64(k.m.config.vocab, 128);
    CHECK_STR(k.m.config.dtype, "float16");
    finish(&k);
    read_config(&k, "config.json", "{\"thinker_config\": {\"text_config\": {\"n_layer\": 5}}}");
    CHECK_U64(k.m.config.layers, 5);
    finish(&k);
}

TEST(config_relatives)
{
    struct kit k;
    read_config(&k, "params.json",
                "{\"dim\": 64, \"n_layers\": 2, \"head_dim\": 16, \"hidden_dim\": 96, \"n_heads\": "
                "4, \"n_kv_heads\": 2, \"vocab_size\": 128, \"rope_theta\": 1e6, "
                "\"norm_eps\": 1e-5,"
                "\"moe\": {\"num_experts\": 8, \"num_experts_per_tok\": 2},"
                "\"quantization\": {\"qformat_weight\": \"fp8_e4m3\"}}");
    CHECK_STR(k.m.config.source, "params.json");
    CHECK_U64(k.m.config.hidden, 64);
    CHECK_U64(k.m.config.layers, 2);
    CHECK_U64(k.m.config.intermediate, 96);
    CHECK_U64(k.m.config.experts, 8);
    CHECK_U64(k.m.config.experts_per_token, 2);
    CHECK_STR(k.m.config.quant_method, "fp8");
    CHECK_STR(k.m.config.quant_format, "fp8_e4m3");
    finish(&k);
    read_config(&k, "model_index.json", "{\"_class_name\": \"StableDiffusionPipeline\"}");
    CHECK_STR(k.m.config.architecture, "StableDiffusionPipeline");
    CHECK_STR(k.m.config.source, "model_index.json");
    finish(&k);
    read_config(&k, "README.md", "nothing");
    CHECK(k.m.config.source == NULL);
    CHECK_U64(k.m.catalog->n_findings, 0);
    finish(&k);
}

/* What quantization_config says: method, format, bits, group. */
static void check_quant(const char *path, const char *text, const char *method, const char *format,
                        int bits, int group)
{
    struct kit k;
    read_config(&k, path, text);
    CHECK_STR(k.m.config.quant_method, method);
    CHECK_STR(k.m.config.quant_format, format);
    CHECK(k.m.config.quant_bits == bits);
    CHECK(k.m.config.quant_group == group);
    CHECK_U64(k.m.catalog->n_findings, 0);
    finish(&k);
}

TEST(config_quantization_dialects)
{
    check_quant("config.json",
                "{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4, "
                "\"group_size\":"
                " -1, \"checkpoint_format\": \"gptq_v2\"}}",
                "gptq", "gptq_v2", 4, -1);
    check_quant("config.json",
                "{\"quantization_config\": {\"quant_method\": \"awq\", \"w_bit\": 4, "
                "\"q_group_size\": 128, \"version\": \"gemm\"}}",
                "awq", "gemm", 4, 128);
    check_quant("config.json",
                "{\"compression_config\": {\"quant_method\": \"compressed-tensors\", \"format\": "
                "\"pack-quantized\", \"config_groups\": {\"group_0\": {\"weights\": {\"num_bits\": "
                "8, \"group_size\": 32}}}}}",
                "compressed-tensors", "pack-quantized", 8, 32);
    check_quant("config.json",
                "{\"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": "
                "true, \"load_in_8bit\": false, \"bnb_4bit_quant_type\": \"fp4\"}}",
                "bitsandbytes", "fp4", 4, 0);
    check_quant("config.json",
                "{\"quantization_config\": {\"quant_method\": \"hqq\", \"quant_config\": "
                "{\"weight_quant_params\": {\"nbits\": 4, \"group_size\": 64}}}}",
                "hqq", NULL, 4, 64);
    check_quant("config.json",
                "{\"quantization_config\": {\"quant_method\": \"exl2\", \"bits\": 4.25, "
                "\"version\": \"0.2.4\"}}",
                "exl2", "0.2.4", 0, 0);
    check_quant("config.json", "{\"quip_params\": {\"codebook\": \"E8P12\"}}", "quip", NULL, 0, 0);
    check_quant("hf_quant_config.json",
                "{\"producer\": {\"name\": \"modelopt\"}, \"quantization\": {\"quant_algo\": "
                "\"NVFP4\", \"group_size\": 16}}",
                "modelopt", "NVFP4", 0, 16);
    check_quant("quantize_config.json", "{\"bits\": 3, \"group_size\": 128}", "gptq", NULL, 3, 128);
}

TEST(config_quantization_blocks_and_awq_flag)
{
    struct kit k;
    read_config(&k, "config.json",
                "{\"quantization_config\": {\"quant_method\": \"fp8\", \"fmt\": \"e4m3\", "
                "\"weight_block_size\": [64, 128]}}");
    CHECK_U64(k.m.config.quant_block[0], 64);
    CHECK_U64(k.m.config.quant_block[1], 128);
    finish(&k);
    read_config(&k, "hf_quant_config.json", "{\"quantization\": {\"quant_algo\": \"NVFP4_AWQ\"}}");
    CHECK(k.m.config.quant_modelopt_awq);
    finish(&k);
}

TEST(config_quantization_of_mlx)
{
    struct kit k;
    read_config(&k, "config.json",
                "{\"quantization\": {\"group_size\": 64, \"bits\": 4, \"mode\": \"affine\","
                "\"model.z\": {\"bits\": 8, \"group_size\": 32}, \"model.a\": {\"bits\": 2}, "
                "\"model.off\": false},"
                "\"quantization_config\": {\"group_size\": 64, \"bits\": 4}}");
    const struct sc_config *c = &k.m.config;
    CHECK_STR(c->quant_method, "mlx");
    CHECK_STR(c->quant_format, "affine");
    CHECK(c->quant_bits == 4 && c->quant_group == 64);
    REQUIRE(c->n_quant_modules == 2);
    CHECK_STR(c->quant_modules[0].name, "model.a");
    CHECK_U64(c->quant_modules[0].bits, 2);
    CHECK_U64(c->quant_modules[0].group, 0);
    CHECK_STR(c->quant_modules[1].name, "model.z");
    CHECK_U64(c->quant_modules[1].bits, 8);
    CHECK_U64(c->quant_modules[1].group, 32);
    finish(&k);
}

TEST(config_numbers_are_range_checked)
{
    static const char *const values[] = {"-1",  "0",    "1000000000", "\"12\"", "true",
                                         "0.5", "-3.0", "100001",     "1e300"};
    for (size_t i = 0; i < SC_COUNT(values); i++) {
        struct kit k;
        char text[120];
        snprintf(text, sizeof text, "{\"num_hidden_layers\": %s, \"hidden_size\": 64}", values[i]);
        read_config(&k, "config.json", text);
        CHECK_U64(k.m.config.layers, 0);
        CHECK_U64(k.m.config.hidden, 64);
        CHECK_U64(k.m.catalog->n_warnings, 1);
        CHECK(finding(&k, "config.value") &&
              strstr(finding(&k, "config.value"), "config.json: "
                                                  "\"num_hidden_layers\" is "));
        finish(&k);
    }
    struct kit k;
    read_config(&k, "config.json",
                "{\"intermediate_size\": [1, 2], \"num_attention_heads\": null, \"vocab_size\": {},"
                "\"quantization_config\": {\"quant_method\": 7, \"bits\": 0, \"group_size\": 0, "
                "\"weight_block_size\": [0, 128]}, \"architectures\": [7], \"rope_theta\": -1}");
    CHECK(k.m.config.intermediate == 0 && k.m.config.heads == 0 && k.m.config.vocab == 0);
    CHECK(!k.m.config.quant_method && !k.m.config.quant_bits && !k.m.config.quant_group &&
          !k.m.config.quant_block[0] && !k.m.config.architecture);
    CHECK_U64(k.m.catalog->n_warnings, 4); /* bits, group, block, rope; lists and nulls are legal */
    finish(&k);
}

TEST(config_that_is_no_json_is_ignored)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[1]",
                                      "nothing",
                                      "{\"a\": 1e400}",
                                      "{\"a\": 99999999999999999999}",
                                      "{\"a\": 1} x",
                                      "\"text\"",
                                      "{\"a\": \"\xff\"}",
                                      "{\"a\": \"\\u0000\"}"};
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        struct kit k;
        read_config(&k, "config.json", bad[i]);
        CHECK(k.m.config.source == NULL);
        CHECK(finding(&k, "config.ignored") != NULL);
        finish(&k);
    }
    struct kit k;
    read_config(&k, "config.json", "{\n \"a\": ,}");
    CHECK(strstr(finding(&k, "config.ignored"), "config ignored: config.json: ") != NULL);
    CHECK(strstr(finding(&k, "config.ignored"), "(line 2, column 7)") != NULL);
    finish(&k);
}

TEST(config_with_the_numbers_of_python)
{
    struct kit k;
    read_config(&k, "config.json",
                "{\"time_step_limit\": [0.0, Infinity], \"a\": -Infinity, \"b\": NaN,"
                "\"c\": \"NaN \\\" Infinity\", \"model_type\": \"-Infinity\", \"n_layer\": 3,"
                "\"layer_norm_eps\": NaN}");
    CHECK_U64(k.m.config.layers, 3);
    CHECK_STR(k.m.config.model_type, "-Infinity");
    CHECK_NEAR(k.m.config.norm_eps, 0, 0);
    CHECK(finding(&k, "config.ignored") == NULL);
    finish(&k);
}

TEST(config_nested_deeply_is_safe)
{
    struct kit k;
    struct sc_buf b = {.max = 1 << 20};
    sc_buf_puts(&b, "{\"a\": ");
    sc_buf_repeat(&b, '[', 200000);
    read_config(&k, "config.json", b.p);
    CHECK(finding(&k, "config.ignored") != NULL);
    finish(&k);
    sc_buf_clear(&b);
}

/* ------------------------------------------------------------------------------------ GGUF --- */
static void meta_uint(struct kit *k, const char *key, uint64_t v)
{
    const struct sc_value value = {.kind = SC_VALUE_UINT, .as = {.u = v}};
    CHECK_ERR(0, sc_catalog_add_meta(k->m.catalog, 0, sc_strz(key), &value, &k->e));
}
static void meta_text(struct kit *k, const char *key, const char *v)
{
    const struct sc_value value = {.kind = SC_VALUE_STRING, .as = {.s = sc_strz(v)}};
    CHECK_ERR(0, sc_catalog_add_meta(k->m.catalog, 0, sc_strz(key), &value, &k->e));
}
static void meta_list(struct kit *k, const char *key, uint64_t count, const char *first)
{
    const struct sc_value item = {.kind = SC_VALUE_STRING, .as = {.s = sc_strz(first)}};
    struct sc_value value = {.kind = SC_VALUE_ARRAY, .element = SC_VALUE_STRING, .shown = 1};
    value.as.a.count = count;
    value.as.a.items = &item;
    CHECK_ERR(0, sc_catalog_add_meta(k->m.catalog, 0, sc_strz(key), &value, &k->e));
}

TEST(config_of_a_gguf)
{
    struct kit k;
    start(&k, "gguf");
    meta_uint(&k, "llama.rope.dimension_count", 64);
    meta_text(&k, "general.architecture", "llama");
    meta_uint(&k, "llama.block_count", 33);
    meta_uint(&k, "llama.nextn_predict_layers", 1);
    meta_uint(&k, "llama.embedding_length", 4096);
    meta_uint(&k, "llama.attention.head_count", UINT64_MAX);
    meta_text(&k, "llama.attention.head_count_kv", "8");
    meta_list(&k, "llama.feed_forward_length", 32, "x");
    meta_uint(&k, "llamas.context_length", 7);
    const struct sc_value eps = {.kind = SC_VALUE_FLOAT, .as = {.f = 1e-5}};
    sc_catalog_add_meta(k.m.catalog, 0, SC_STR("llama.attention.layer_norm_rms_epsilon"), &eps,
                        &k.e);
    meta_list(&k, "tokenizer.ggml.tokens", 32000, "<unk>");
    meta_list(&k, "tokenizer.ggml.merges", 100, "a b");
    meta_text(&k, "tokenizer.ggml.model", "gpt2");
    meta_uint(&k, "tokenizer.ggml.unknown_token_id", 0);
    meta_uint(&k, "tokenizer.ggml.eos_token_id", 2);
    meta_text(&k, "tokenizer.chat_template", "{{ x }}");
    read_bytes(&k, "config.json", "{\"n_layer\": 1}", 14, false);
    const struct sc_config *c = &k.m.config;
    CHECK_STR(c->architecture, "llama");
    CHECK_STR(c->source, "model.bin");
    CHECK_U64(c->layers, 32); /* predictors apart */
    CHECK_U64(c->mtp_layers, 1);
    CHECK_U64(c->hidden, 4096);
    CHECK_U64(c->heads, 0);
    CHECK_U64(c->kv_heads, 0);
    CHECK_U64(c->intermediate, 0);
    CHECK_U64(c->context, 0);
    CHECK_U64(c->vocab, 32000);
    CHECK_NEAR(c->norm_eps, 1e-5, 1e-18);
    CHECK_U64(k.m.catalog->n_warnings, 2);
    read_bytes(&k, "x", "", 0, true);
    const struct sc_tokenizer_facts *t = &k.m.tokenizer;
    CHECK_STR(t->type, "gpt2");
    CHECK_U64(t->vocabulary, 32000);
    CHECK_U64(t->merges, 100);
    CHECK_STR(t->unk, "<unk>");
    CHECK_STR(t->eos, "token 2");
    CHECK(t->bos == NULL && t->chat_template);
    finish(&k);
}

TEST(config_of_a_gguf_without_architecture)
{
    struct kit k;
    start(&k, "gguf");
    meta_uint(&k, ".block_count", 3);
    meta_text(&k, "general.architecture", "");
    read_bytes(&k, "x", "", 0, false);
    CHECK(k.m.config.architecture == NULL && k.m.config.layers == 0);
    finish(&k);
}

/* ----------------------------------------------------------------------------------- facts --- */
TEST(tokenizer_json_is_counted)
{
    struct kit k;
    read_facts(&k, "tokenizer.json",
               "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 0, \"content\": \"<s>\", "
               "\"special\": true}, {\"special\": false}, 7, {}], \"normalizer\": null,"
               "\"model\": {\"dropout\": null, \"type\": \"BPE\", \"unk_token\": \"<\\u0075nk>\","
               "\"vocab\": {\"a\": 0, \"b\\n\": 1, \"c\": 2}, \"merges\": [\"a b\", [\"b\", "
               "\"c\"]]}}");
    CHECK_STR(k.m.tokenizer.type, "BPE");
    CHECK_STR(k.m.tokenizer.unk, "<unk>");
    CHECK_U64(k.m.tokenizer.vocabulary, 3);
    CHECK_U64(k.m.tokenizer.merges, 2);
    CHECK_U64(k.m.tokenizer.added, 4);
    CHECK_U64(k.m.tokenizer.special, 1);
    CHECK_U64(k.m.catalog->n_findings, 0);
    finish(&k);
    read_facts(&k, "tokenizer.json",
               "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0], "
               "[\"b\", -1.5]]}}");
    CHECK_STR(k.m.tokenizer.type, "Unigram");
    CHECK_U64(k.m.tokenizer.vocabulary, 2);
    finish(&k);
}

TEST(tokenizer_json_that_is_broken_is_ignored)
{
    static const char good[] = "{\"added_tokens\": [{\"special\": true}], \"model\": {\"type\": "
                               "\"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}}";
    for (size_t n = 0; n < sizeof good - 1; n++) {
        struct kit k;
        start(&k, "safetensors");
        read_bytes(&k, "tokenizer.json", good, n, true);
        CHECK(k.m.tokenizer.type == NULL && k.m.tokenizer.vocabulary == 0 &&
              k.m.tokenizer.added == 0);
        CHECK(finding(&k, "facts.ignored") != NULL);
        finish(&k);
    }
    static const char *const odd[] = {"[]", "{\"model\": 3, \"added_tokens\": \"x\"}",
                                      "{\"model\": {\"vocab\": null, \"type\": 5}}"};
    for (size_t i = 0; i < SC_COUNT(odd); i++) {
        struct kit k;
        read_facts(&k, "tokenizer.json", odd[i]);
        CHECK(k.m.tokenizer.type == NULL && k.m.tokenizer.vocabulary == 0);
        finish(&k);
    }
}

TEST(tokenizer_config_and_older_files)
{
    struct kit k;
    read_facts(&k, "tokenizer_config.json",
               "{\"bos_token\": null, \"eos_token\": {\"content\": \"</s>\"}, \"pad_token\": "
               "\"<pad>\", \"chat_template\": [{\"name\": \"default\"}]}");
    CHECK_STR(k.m.tokenizer.eos, "</s>");
    CHECK_STR(k.m.tokenizer.pad, "<pad>");
    CHECK(k.m.tokenizer.bos == NULL && k.m.tokenizer.chat_template);
    finish(&k);
    read_facts(&k, "vocab.txt", "[PAD]\n[UNK]\n\na\nb");
    CHECK_STR(k.m.tokenizer.type, "WordPiece");
    CHECK_U64(k.m.tokenizer.vocabulary, 4);
    finish(&k);
    read_facts(&k, "vocab.json", "{\"a\": 0, \"b\": 1}");
    CHECK_STR(k.m.tokenizer.type, "BPE");
    CHECK_U64(k.m.tokenizer.vocabulary, 2);
    finish(&k);
    read_facts(&k, "tokenizer.model", "binary");
    CHECK_STR(k.m.tokenizer.type, "SentencePiece");
    finish(&k);
}

TEST(card_front_matter)
{
    struct kit k;
    read_facts(&k, "README.md",
               "---\r\nlicense: other\nlicense_name: 'my own'\nbase_model:\n- a/b\n- c/d\n"
               "base_model_relation: merge\nlanguage: [en, de]\ntags:\n  - x\n  - \"y z\"\n"
               "pipeline_tag: text-generation\nlibrary_name: transformers\nextra: {deep: [1, {a: "
               "2}]}\nmodel-index:\n- name: n\n  results: []\n---\n# Title\n");
    const struct sc_card_facts *c = &k.m.card;
    CHECK_STR(c->license, "other");
    CHECK_STR(c->license_name, "my own");
    CHECK_U64(c->n_base_models, 2);
    CHECK_STR(c->base_model[0], "a/b");
    CHECK_STR(c->base_model[1], "c/d");
    CHECK_STR(c->base_model_relation, "merge");
    CHECK_STR(c->languages, "en, de");
    CHECK_STR(c->tags, "x, y z");
    CHECK_STR(c->pipeline, "text-generation");
    CHECK_STR(c->library, "transformers");
    CHECK_U64(k.m.catalog->n_findings, 0);
    finish(&k);
}

TEST(card_without_front_matter)
{
    static const char *const none[] = {"",
                                       "---",
                                       "---\n",
                                       "# Title\n---\n",
                                       "---\nlicense: mit\n",
                                       "--- x\nlicense: mit\n---\n",
                                       "---\n---\n"};
    for (size_t i = 0; i < SC_COUNT(none); i++) {
        struct kit k;
        read_facts(&k, "README.md", none[i]);
        CHECK(k.m.card.license == NULL);
        CHECK_U64(k.m.catalog->n_findings, 0);
        finish(&k);
    }
}

TEST(card_that_cannot_be_used)
{
    static const char *const bad[] = {
        "license: [mit",        "- a\n- b",      "just text",
        "a: &x 1\nb: *x",       "[a, b]: c",     "a: \"\\q\"",
        "license: mit\n\tx: y", "? {a: b}\n: c",
    };
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        struct kit k;
        char text[200];
        snprintf(text, sizeof text, "---\n%s\n---\n", bad[i]);
        read_facts(&k, "README.md", text);
        CHECK(k.m.card.license == NULL && k.m.card.n_base_models == 0);
        CHECK(finding(&k, "facts.ignored") != NULL);
        finish(&k);
    }
}

TEST(card_that_is_hostile_ends_soon)
{
    static const char runs[] = "[{-?: ";
    for (size_t i = 0; i < sizeof runs - 1; i++) {
        struct kit k;
        struct sc_buf b = {.max = 2 << 20};
        sc_buf_puts(&b, "---\na: ");
        sc_buf_repeat(&b, runs[i], 1 << 19);
        sc_buf_puts(&b, "\n---\n");
        start(&k, "safetensors");
        read_bytes(&k, "README.md", b.p, b.n, true);
        CHECK(k.m.card.license == NULL);
        finish(&k);
        sc_buf_clear(&b);
    }
}

/* ----------------------------------------------------------------------------------- check --- */
static void add(struct kit *k, const char *name, const char *dtype, uint64_t n, uint64_t in)
{
    const uint64_t dims[] = {n, in};
    struct sc_entry proto = {.dtype = sc_codec_find(sc_strz(dtype)), .view = SC_NO_STORAGE};
    CHECK(sc_codec_bytes((sc_codec_id)proto.dtype, dims, in ? 2 : 1, &proto.bytes));
    CHECK_ERR(0,
              sc_catalog_add(k->m.catalog, sc_strz(name), dims, in ? 2 : 1, &proto, NULL, &k->e));
}

static void add_layer(struct kit *k, int layer, int experts)
{
    char name[100];
    snprintf(name, sizeof name, "model.layers.%d.self_attn.q_proj.weight", layer);
    add(k, name, "BF16", 64, 64);
    for (int i = 0; i < experts; i++) {
        snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.up_proj.weight", layer, i);
        add(k, name, "BF16", 32, 64);
    }
}

static void add_ends(struct kit *k)
{
    add(k, "model.embed_tokens.weight", "BF16", 100, 64);
    add(k, "lm_head.weight", "BF16", 100, 64);
    k->m.config = (struct sc_config){
        .source = "config.json",
        .architecture = "XForCausalLM",
        .model_type = "x",
        .dtype = "bfloat16",
        .layers = 3,
        .hidden = 64,
        .heads = 4,
        .head_dim = 16,
        .vocab = 100,
        .experts = 2,
        .has_tied_embeddings = true,
    };
}

static void judge(struct kit *k)
{
    CHECK_ERR(0, sc_model_fold(&k->m, &k->e));
    sc_model_classify(&k->m);
    CHECK_ERR(0, sc_model_build_tree(&k->m, &k->e));
    CHECK_ERR(0, sc_model_check(&k->m, &k->e));
}

TEST(check_of_a_sound_model_is_silent)
{
    struct kit k;
    start(&k, "safetensors");
    add_ends(&k);
    for (int i = 0; i < 3; i++)
        add_layer(&k, i, 2);
    judge(&k);
    CHECK_U64(k.m.catalog->n_findings, 0);
    finish(&k);
}

TEST(check_finds_what_contradicts_the_config)
{
    struct kit k;
    start(&k, "safetensors");
    add_ends(&k);
    for (int i = 0; i < 3; i++)
        add_layer(&k, i, 2);
    k.m.config.layers = 4;
    k.m.config.hidden = 65;
    k.m.config.vocab = 101;
    k.m.config.head_dim = 17;
    k.m.config.experts = 3;
    k.m.config.dtype = "float16";
    judge(&k);
    CHECK_STR(finding(&k, "config.layers"), "config.json says 4 layers, but the tensors have 3");
    CHECK_STR(finding(&k, "config.hidden"),
              "config.json says a hidden size of 65, but the token embedding has 64 columns");
    CHECK_STR(finding(&k, "config.vocab"),
              "config.json says 101 words, but the token embedding has 100 rows");
    CHECK_STR(finding(&k, "config.heads"),
              "config.json says 4 heads, so 68 rows of queries, but q_proj has 64");
    CHECK_STR(finding(&k, "config.experts"), "config.json says 3 experts, but layer 0 has 2");
    CHECK_STR(finding(&k, "config.dtype"),
              "config.json says float16, but no tensor is F16 (matrices are BF16)");
    CHECK_U64(k.m.catalog->n_warnings, 6);
    finish(&k);
}

TEST(check_finds_gaps)
{
    struct kit k;
    start(&k, "safetensors");
    add_ends(&k);
    add_layer(&k, 0, 1);
    add_layer(&k, 2, 0);
    add_layer(&k, 6, 0);
    add(&k, "model.layers.0.mlp.experts.3.up_proj.weight", "BF16", 32, 64);
    k.m.config.layers = 7;
    k.m.config.experts = 4;
    judge(&k);
    CHECK_STR(finding(&k, "layers.missing"), "layers 1, 3-5 of the main tower are missing");
    CHECK_STR(finding(&k, "experts.missing"), "experts 1-2 of layer 0 are missing");
    CHECK_U64(k.m.catalog->n_warnings, 2);
    finish(&k);
}

TEST(check_of_the_head)
{
    struct kit k;
    start(&k, "safetensors");
    add_ends(&k);
    k.m.config.layers = k.m.config.heads = 0;
    k.m.catalog->n_entries--; /* lm_head */
    judge(&k);
    CHECK_STR(finding(&k, "config.head"), "config.json says that the embeddings are not tied, but "
                                          "there is no lm_head");
    finish(&k);
}

TEST(check_of_quantization)
{
    struct kit k;
    start(&k, "safetensors");
    add_ends(&k);
    k.m.config.layers = 0;
    k.m.config.quant_method = "gptq";
    judge(&k);
    CHECK_STR(finding(&k, "config.quantization"),
              "config.json says that the weights are quantised (gptq), but no tensor is stored so");
    finish(&k);
    start(&k, "safetensors");
    add_ends(&k);
    k.m.config.layers = 0;
    add(&k, "x.weight", "F8_E4M3", 4, 4);
    add(&k, "x.weight_scale_inv", "F32", 1, 1);
    judge(&k);
    CHECK_STR(finding(&k, "config.quantization"),
              "tensors are stored as fp8, but config.json does not say so");
    finish(&k);
}

TEST(check_of_one_shard_judges_only_what_is_there)
{
    struct kit k;
    start(&k, "safetensors");
    k.m.catalog->files[0].path = "model-00002-of-00004.safetensors";
    add_ends(&k);
    k.m.catalog->n_entries--;
    add_layer(&k, 1, 1);
    judge(&k);
    CHECK_U64(k.m.catalog->n_findings, 0);
    finish(&k);
}

TEST(check_of_predictors_and_towers)
{
    struct kit k;
    start(&k, "safetensors");
    add_ends(&k);
    for (int i = 0; i < 3; i++)
        add_layer(&k, i, 2);
    add(&k, "model.layers.3.eh_proj.weight", "BF16", 64, 128);
    add(&k, "vision_tower.blocks.0.attn.qkv.weight", "BF16", 96, 32);
    k.m.config.mtp_layers = 1;
    judge(&k);
    CHECK_U64(k.m.catalog->n_findings, 0);
    finish(&k);
}

TEST(check_reports_what_a_pickle_would_do)
{
    struct kit k;
    start(&k, "torch");
    sc_catalog_add_import(k.m.catalog, 0, SC_STR("os.system"), true, SC_VERDICT_DANGER, &k.e);
    sc_catalog_add_import(k.m.catalog, 0, SC_STR("x.Y\x1b"), false, SC_VERDICT_UNKNOWN, &k.e);
    sc_catalog_add_import(k.m.catalog, 0, SC_STR("my.run"), true, SC_VERDICT_UNKNOWN, &k.e);
    sc_catalog_add_import(k.m.catalog, 0, SC_STR("__torch__.Net"), true, SC_VERDICT_KNOWN, &k.e);
    sc_catalog_add_import(k.m.catalog, 0, SC_STR("collections.OrderedDict"), true, SC_VERDICT_KNOWN,
                          &k.e);
    judge(&k);
    CHECK_STR(finding(&k, "pickle.danger"), "would run code if loaded with pickle: os.system");
    CHECK_STR(finding(&k, "pickle.unknown"),
              "the pickle names \"x.Y\\u{1b}\", which is not loaded");
    CHECK_STR(finding(&k, "pickle.unknown-call"),
              "would call \"my.run\", which is not known here, if loaded with pickle");
    CHECK_U64(k.m.catalog->n_warnings, 1);
    CHECK_U64(k.m.catalog->n_errors, 1);
    CHECK_U64(k.m.catalog->n_findings, 3);
    finish(&k);
}

TEST(check_raises_the_warning_of_the_parser)
{
    struct kit k;
    start(&k, "torch");
    sc_catalog_add_import(k.m.catalog, 0, SC_STR("os.system"), true, SC_VERDICT_DANGER, &k.e);
    sc_problem(k.m.catalog, SC_WARNING, "pickle.danger", 0, SC_NO_TENSOR, 7, &k.e, "os.system");
    judge(&k);
    CHECK_U64(k.m.catalog->n_findings, 1);
    CHECK_U64(k.m.catalog->n_errors, 1);
    CHECK_U64(k.m.catalog->n_warnings, 0);
    CHECK_U64(k.m.catalog->findings[0].offset, 7);
    finish(&k);
}
