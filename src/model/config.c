/* SPDX-License-Identifier: Apache-2.0 */
/* config: facts of config.json and its relatives.
 *
 * Owns: which file speaks (GGUF keys; else config.json, params.json of Meta and Mistral,
 * model_index.json of a pipeline), loading JSON that may be broken, ranges of all numbers, the many
 * names of the same fact, and the nested objects of vision-language models.
 *
 * Does not own: quantisation (config_quant.c), GGUF keys (config_gguf.c).
 *
 * A config that cannot be used costs its facts, never the listing: it is ignored with a warning.
 * Only one that the network does not deliver is a failure: the model has it.
 * Nothing here sizes, loops over or divides by a number from the file. */
#include "model/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------- loading --- */
/* Python writes NaN and infinities, which are no JSON: each becomes an empty string of the same
 * length, which no number getter takes. */
static void blank_non_numbers(char *p, const char *end)
{
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    bool quoted = false;
    while (p < end) {
        if (*p == '"' || (quoted && *p == '\\')) {
            quoted ^= *p == '"';
            p += *p == '\\' ? 2 : 1;
            continue;
        }
        size_t n = 0;
        for (size_t i = 0; !quoted && !n && i < SC_COUNT(words); i++) {
            const size_t len = strlen(words[i]);
            if ((size_t)(end - p) >= len && memcmp(p, words[i], len) == 0)
                n = len;
        }
        if (n) {
            memset(p, ' ', n);
            p[0] = p[1] = '"';
        }
        p += n ? n : 1;
    }
}

/* An object or a list, as jansson takes it. */
static bool valid_json(const char *text, size_t n)
{
    struct sc_arena scratch = {.head = NULL};
    struct sc_json j;
    sc_json_start(&j, text, n, &scratch);
    char c;
    const bool ok =
        sc_json_peek(&j, &c) && (c == '{' || c == '[') && sc_json_skip(&j) && sc_json_end(&j);
    sc_arena_clear(&scratch);
    return ok;
}

int sc_config_parse(const char *text, size_t n, json_t **out, json_error_t *at)
{
    *at = (json_error_t){.line = 0}; /* jansson leaves the code alone when it knows none */
    *out = json_loadb(text, n, 0, at);
    if (*out)
        return 1;
    switch (json_error_code(at)) {
    case json_error_out_of_memory:
    case json_error_unknown:
        return SCRUPLE_EMEMORY;
    case json_error_invalid_syntax:
    case json_error_premature_end_of_input:
        /* An allocation that fails within a string is called a syntax error. */
        return valid_json(text, n) ? SCRUPLE_EMEMORY : 0;
    case json_error_stack_overflow:
    case json_error_cannot_open_file:
    case json_error_invalid_argument:
    case json_error_invalid_utf8:
    case json_error_end_of_input_expected:
    case json_error_invalid_format:
    case json_error_wrong_type:
    case json_error_null_character:
    case json_error_null_value:
    case json_error_null_byte_in_key:
    case json_error_duplicate_key:
    case json_error_numeric_overflow:
    case json_error_item_not_found:
    case json_error_index_out_of_range:
        break;
    }
    return 0;
}

static int ignored(struct sc_model *m, const char *why, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_problem(m->catalog, SC_WARNING, "config.ignored", UINT32_MAX, SC_NO_TENSOR,
                      SC_NO_OFFSET, e, "config ignored: %s", sc_quote(&q, sc_strz(why)));
}

static int parse(struct sc_model *m, const char *path, char *text, size_t n, json_t **out,
                 struct sc_error *e)
{
    json_error_t at;
    struct sc_error why = {.code = 0};
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    blank_non_numbers(text, text + n);
    const int code = sc_config_parse(text, n, out, &at);
    if (code < 0)
        return sc_fail_memory(e);
    if (json_is_object(*out))
        return 1;
    if (*out)
        sc_fail(&why, SCRUPLE_EFORMAT, "%s: the JSON is no object", path);
    else
        sc_fail(&why, SCRUPLE_EFORMAT, "%s: %s (line %d, column %d)", path, at.text, at.line,
                at.column);
    json_decref(*out);
    *out = NULL;
    return ignored(m, why.text, e);
}

/* Of a model on the Hub the file is there: when the network fails, the model is not what would be
 * shown without it. Offline and from an old listing what is here must do. */
static bool must_be_read(const struct sc_repo *repo, int code)
{
    const struct sc_hub_listing *l = sc_repo_listing(repo);
    return l && !l->stale && !sc_repo_hub(repo)->env.offline &&
           (code == SCRUPLE_ENETWORK || code == SCRUPLE_EIO);
}

int sc_config_load(struct sc_model *m, struct sc_repo *repo, const char *path, uint64_t max,
                   json_t **out, struct sc_error *e)
{
    struct sc_error why = {.code = 0};
    char *text = NULL;
    size_t n = 0;
    *out = NULL;
    int code = sc_repo_read_text(repo, path, max, &text, &n, &why);
    if (code == SCRUPLE_ENOTFOUND)
        return 0;
    if (code == SCRUPLE_EMEMORY || code == SCRUPLE_EINTERRUPTED ||
        (code < 0 && must_be_read(repo, code))) {
        if (e)
            *e = why;
        return code;
    }
    code = code < 0 ? ignored(m, why.text, e) : parse(m, path, text, n, out, e);
    free(text);
    return code;
}

/* --------------------------------------------------------------------------------- getters --- */
void sc_config_warn(struct sc_reading *r, const char *fmt, ...)
{
    struct sc_error said;
    va_list ap;
    if (r->code < 0)
        return;
    va_start(ap, fmt);
    sc_fail_v(&said, SCRUPLE_EFORMAT, fmt, ap);
    va_end(ap);
    const int code = sc_problem(r->m->catalog, SC_WARNING, "config.value", UINT32_MAX, SC_NO_TENSOR,
                                SC_NO_OFFSET, r->e, "%s: %s", r->path, said.text);
    r->code = SC_MIN(r->code, code);
}

const char *sc_config_keep(struct sc_reading *r, const char *text, size_t n)
{
    const char *copy = r->code < 0 ? NULL : sc_arena_copy(&r->m->arena, text, n);
    if (!copy && r->code == 0)
        r->code = sc_fail_memory(r->e);
    return copy;
}

/* The first of the keys that has a value; *key is its name. */
static const json_t *find(const json_t *object, const char *keys, char key[64])
{
    for (const char *p = keys; *p;) {
        const size_t n = strcspn(p, " ");
        memcpy(key, p, SC_MIN(n, 63));
        key[SC_MIN(n, 63)] = '\0';
        const json_t *value = json_object_get(object, key);
        if (value && !json_is_null(value))
            return value;
        p += n + (p[n] == ' ');
    }
    return NULL;
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return "text";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        break;
    }
    return "null";
}

bool sc_config_uint(struct sc_reading *r, const json_t *object, const char *keys, uint64_t min,
                    uint64_t max, uint64_t *out)
{
    char key[64];
    const json_t *value = find(object, keys, key);
    if (!value || json_is_array(value) || json_is_object(value))
        return false; /* one number a layer: true, but not one number */
    if (json_is_integer(value)) {
        const json_int_t v = json_integer_value(value);
        if (v >= 0 && (uint64_t)v >= min && (uint64_t)v <= max) {
            *out = (uint64_t)v;
            return true;
        }
        sc_config_warn(
            r, "\"%s\" is %" JSON_INTEGER_FORMAT ", allowed is %" PRIu64 " to %" PRIu64 "; ignored",
            key, v, min, max);
    } else if (json_is_real(value)) {
        const double v = json_real_value(value);
        if (v >= (double)min && v <= (double)max && v < 9e15 && v == floor(v)) {
            *out = (uint64_t)v;
            return true;
        }
        sc_config_warn(
            r, "\"%s\" is %g, allowed is a whole number from %" PRIu64 " to %" PRIu64 "; ignored",
            key, v, min, max);
    } else {
        sc_config_warn(r, "\"%s\" is %s, not a number; ignored", key, type_name(value));
    }
    return false;
}

bool sc_config_number(struct sc_reading *r, const json_t *object, const char *keys, double *out)
{
    char key[64];
    const json_t *value = find(object, keys, key);
    if (!value || json_is_array(value) || json_is_object(value))
        return false;
    const double v = json_number_value(value);
    if (json_is_number(value) && v > 0 && v < 1e30) {
        *out = v;
        return true;
    }
    if (json_is_number(value))
        sc_config_warn(r, "\"%s\" is %g, allowed is a number above 0; ignored", key, v);
    else
        sc_config_warn(r, "\"%s\" is %s, not a number; ignored", key, type_name(value));
    return false;
}

bool sc_config_text(struct sc_reading *r, const json_t *object, const char *keys, const char **out)
{
    char key[64];
    const json_t *value = find(object, keys, key);
    if (!json_is_string(value) || json_string_length(value) == 0)
        return false;
    const char *copy = sc_config_keep(r, json_string_value(value), json_string_length(value));
    if (copy)
        *out = copy;
    return copy != NULL;
}

bool sc_config_bool(const json_t *object, const char *key, bool *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value))
        return false;
    *out = json_is_true(value);
    return true;
}

/* ----------------------------------------------------------------------------------- facts --- */
/* One fact by all the names it goes by, newest families first. */
static const struct {
    size_t offset;
    uint64_t min, max;
    const char *keys;
} facts[] = {
#define FACT(member, min, max, keys)                                                               \
    {                                                                                              \
        offsetof(struct sc_config, member), min, max, keys                                         \
    }
    FACT(layers, 1, 100000,
         "num_hidden_layers n_layer num_layers n_layers num_decoder_layers "
         "decoder_layers"),
    FACT(hidden, 1, 1 << 24, "hidden_size n_embd d_model dim model_dim"),
    FACT(intermediate, 1, 1 << 28,
         "intermediate_size n_inner ffn_hidden_size d_ff ffn_dim "
         "decoder_ffn_dim hidden_dim"),
    FACT(heads, 1, 1 << 20, "num_attention_heads n_head n_heads num_heads decoder_attention_heads"),
    FACT(kv_heads, 1, 1 << 20,
         "num_key_value_heads n_kv_heads num_kv_heads "
         "multi_query_group_num"),
    FACT(head_dim, 1, 1 << 20, "head_dim d_kv kv_channels attention_head_dim"),
    FACT(vocab, 1, 1 << 30, "vocab_size padded_vocab_size"),
    FACT(context, 1, UINT64_C(1) << 40,
         "max_position_embeddings n_positions max_sequence_length "
         "max_seq_len seq_length n_ctx max_target_positions"),
    FACT(experts, 0, 1000000, "num_local_experts num_experts n_routed_experts moe_num_experts"),
    FACT(experts_per_token, 0, 1000000,
         "num_experts_per_tok num_experts_per_token moe_top_k "
         "experts_per_token top_k_experts"),
    FACT(shared_experts, 0, 1000000, "n_shared_experts num_shared_experts moe_num_shared_experts"),
    FACT(moe_intermediate, 1, 1 << 28,
         "moe_intermediate_size moe_ffn_hidden_size "
         "expert_ffn_hidden_size"),
    FACT(mtp_layers, 0, 1000,
         "num_nextn_predict_layers mtp_num_hidden_layers num_mtp_modules "
         "num_mtp_layers"),
#undef FACT
};

/* The language model's own object within the config of a larger one, or the root. */
static const json_t *text_scope(const json_t *root)
{
    static const char *const names[] = {"text_config", "llm_config", "language_config", "lm_config",
                                        "language_model_config"};
    const json_t *thinker = json_object_get(root, "thinker_config");
    if (json_is_object(thinker))
        root = thinker;
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        const json_t *inner = json_object_get(root, names[i]);
        if (json_is_object(inner))
            return inner;
    }
    return root;
}

static void read_facts(struct sc_reading *r, const json_t *object, struct sc_config *c)
{
    for (size_t i = 0; i < SC_COUNT(facts); i++) {
        uint64_t *out = (uint64_t *)(void *)((char *)c + facts[i].offset);
        if (*out == 0)
            sc_config_uint(r, object, facts[i].keys, facts[i].min, facts[i].max, out);
    }
    const json_t *moe = json_object_get(object, "moe");
    if (!json_is_object(moe))
        moe = json_object_get(object, "ffn_config");
    if (c->experts == 0)
        sc_config_uint(r, moe, "num_experts moe_num_experts", 0, 1000000, &c->experts);
    if (c->experts_per_token == 0)
        sc_config_uint(r, moe, "num_experts_per_tok moe_top_k", 0, 1000000, &c->experts_per_token);
    if (c->rope_theta == 0 &&
        !sc_config_number(r, object, "rope_theta rotary_emb_base", &c->rope_theta))
        sc_config_number(r, json_object_get(object, "rope_parameters"), "rope_theta",
                         &c->rope_theta);
    if (c->norm_eps == 0)
        sc_config_number(r, object,
                         "rms_norm_eps layer_norm_eps layer_norm_epsilon norm_eps "
                         "layernorm_epsilon norm_epsilon layer_norm_rms_epsilon",
                         &c->norm_eps);
    if (!c->has_tied_embeddings)
        c->has_tied_embeddings = sc_config_bool(object, "tie_word_embeddings", &c->tied_embeddings);
}

static void read_root(struct sc_reading *r, const json_t *root)
{
    struct sc_config *c = &r->m->config;
    const json_t *text = text_scope(root);
    const json_t *first = json_array_get(json_object_get(root, "architectures"), 0);
    if (json_is_string(first))
        c->architecture = sc_config_keep(r, json_string_value(first), json_string_length(first));
    else
        sc_config_text(r, root, "_class_name architecture", &c->architecture);
    sc_config_text(r, root, "model_type", &c->model_type);
    if (!sc_config_text(r, root, "torch_dtype dtype", &c->dtype))
        sc_config_text(r, text, "torch_dtype dtype", &c->dtype);
    read_facts(r, text, c);
    if (text != root)
        read_facts(r, root, c);
    sc_config_quantization(r, root, text);
}

int sc_model_read_config(struct sc_model *m, struct sc_repo *repo, struct sc_error *e)
{
    static const char *const files[] = {"config.json", "params.json", "model_index.json"};
    const char *set = m->catalog->weight_set;
    if (set && strcmp(set, "gguf") == 0)
        return sc_config_gguf(m, e);
    for (size_t i = 0; i < SC_COUNT(files) && !m->config.source; i++) {
        json_t *root;
        struct sc_reading r = {.m = m, .path = files[i], .e = e};
        r.code = sc_config_load(m, repo, files[i], SC_MAX_CONFIG_BYTES, &root, e);
        if (r.code < 0)
            return r.code;
        if (r.code == 0)
            continue;
        r.code = 0;
        m->config.source = files[i];
        read_root(&r, root);
        json_decref(root);
        if (r.code < 0)
            return r.code;
    }
    return sc_config_quant_files(m, repo, e);
}
