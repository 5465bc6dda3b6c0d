/* SPDX-License-Identifier: Apache-2.0 */
/* config_quant: what the configuration says about quantisation.
 *
 *     quantization_config   quant_method and the parameters of that method, in several dialects
 *     compression_config    the same, early compressed-tensors
 *     quantization          MLX: group_size, bits, mode, and objects for modules that differ;
 *                           Mistral: qformat_weight
 *     quip_params           QuIP#
 *     hf_quant_config.json  ModelOpt
 *     quantize_config.json  GPTQ before it moved into config.json
 *
 * The words are hints: fold_*.c believes them only where names, types and shapes agree. */
#include "model/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BITS = 32, MAX_GROUP = 1 << 20 };

/* group_size: -1 is one group, which is legal; 0 and the rest are not. */
static void read_group(struct sc_reading *r, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    uint64_t group;
    if (r->m->config.quant_group)
        return;
    if (json_is_integer(value) && json_integer_value(value) == -1)
        r->m->config.quant_group = -1;
    else if (sc_config_uint(r, object, key, 1, MAX_GROUP, &group))
        r->m->config.quant_group = (int64_t)group;
}

static void read_bits(struct sc_reading *r, const json_t *object)
{
    static const char *const keys[] = {"bits", "w_bit", "num_bits", "nbits"};
    uint64_t bits;
    for (size_t i = 0; i < SC_COUNT(keys) && !r->m->config.quant_bits; i++) {
        const json_t *value = json_object_get(object, keys[i]);
        const double v = json_real_value(value);
        if (json_is_real(value) && v != floor(v))
            continue; /* EXL2 and EXL3 give an average, 4.25 say */
        if (sc_config_uint(r, object, keys[i], 1, MAX_BITS, &bits))
            r->m->config.quant_bits = (int64_t)bits;
    }
}

static void read_block(struct sc_reading *r, const json_t *list)
{
    uint64_t block[2];
    if (json_array_size(list) != 2)
        return;
    for (size_t i = 0; i < 2; i++) {
        const json_t *item = json_array_get(list, i);
        const json_int_t v = json_integer_value(item);
        if (!json_is_integer(item) || v < 1 || v > MAX_GROUP) {
            sc_config_warn(r, "\"weight_block_size\" is not two numbers from 1 to %d; ignored",
                           MAX_GROUP);
            return;
        }
        block[i] = (uint64_t)v;
    }
    memcpy(r->m->config.quant_block, block, sizeof block);
}

/* compressed-tensors: the weights of the first group. */
static const json_t *first_weights(const json_t *quant)
{
    json_t *groups = json_object_get(quant, "config_groups");
    return json_object_get(json_object_iter_value(json_object_iter(groups)), "weights");
}

static int by_name(const void *a, const void *b)
{
    const struct sc_quant_module *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* MLX: "module.path": {"bits": 8, "group_size": 64}. */
static void read_modules(struct sc_reading *r, json_t *quant)
{
    struct sc_config *c = &r->m->config;
    struct sc_quant_module *list;
    const char *key;
    json_t *value;
    size_t n = 0;
    json_object_foreach(quant, key, value) n += json_is_object(value);
    if (n == 0 || r->code < 0)
        return;
    list = SC_ARENA_NEW(&r->m->arena, struct sc_quant_module, n);
    if (!list) {
        r->code = sc_fail_memory(r->e);
        return;
    }
    n = 0;
    json_object_foreach(quant, key, value)
    {
        uint64_t bits = 0, group = 0;
        if (!json_is_object(value))
            continue;
        sc_config_uint(r, value, "bits", 1, MAX_BITS, &bits);
        sc_config_uint(r, value, "group_size", 1, MAX_GROUP, &group);
        list[n] = (struct sc_quant_module){sc_config_keep(r, key, strlen(key)), (uint32_t)bits,
                                           (uint32_t)group};
        if (!list[n++].name)
            return;
    }
    qsort(list, n, sizeof list[0], by_name);
    c->quant_modules = list;
    c->n_quant_modules = n;
}

static void read_bnb(struct sc_reading *r, const json_t *quant)
{
    struct sc_config *c = &r->m->config;
    bool yes = false;
    if (sc_config_bool(quant, "load_in_8bit", &yes) && yes) {
        c->quant_format = "int8";
        c->quant_bits = 8;
    } else if (sc_config_bool(quant, "load_in_4bit", &yes) && yes) {
        sc_config_text(r, quant, "bnb_4bit_quant_type", &c->quant_format);
        c->quant_bits = 4;
    }
}

/* One object in any dialect. What is known already stays. */
static void read_quant(struct sc_reading *r, const json_t *quant)
{
    struct sc_config *c = &r->m->config;
    const json_t *weights = first_weights(quant);
    const json_t *hqq =
        json_object_get(json_object_get(quant, "quant_config"), "weight_quant_params");
    const char *algo = NULL;
    if (!c->quant_method)
        sc_config_text(r, quant, "quant_method", &c->quant_method);
    sc_config_text(r, quant, "quant_algo", &algo);
    if (algo)
        c->quant_modelopt_awq |= strstr(algo, "AWQ") != NULL;
    if (!c->quant_format && !sc_config_text(r, quant,
                                            "format checkpoint_format quant_algo fmt "
                                            "mode qformat_weight linear_class",
                                            &c->quant_format))
        sc_config_text(r, quant, "version", &c->quant_format);
    read_bits(r, quant);
    read_bits(r, weights);
    read_bits(r, hqq);
    read_group(r, quant, "group_size");
    read_group(r, quant, "q_group_size");
    read_group(r, weights, "group_size");
    read_group(r, hqq, "group_size");
    read_block(r, json_object_get(quant, "weight_block_size"));
    read_block(r, json_object_get(weights, "block_structure"));
    read_bnb(r, quant);
}

static json_t *object_in(const json_t *root, const char *key)
{
    json_t *value = json_object_get(root, key);
    return json_is_object(value) ? value : NULL;
}

void sc_config_quantization(struct sc_reading *r, const json_t *root, const json_t *text)
{
    struct sc_config *c = &r->m->config;
    const json_t *quant = object_in(root, "quantization_config");
    if (!quant)
        quant = object_in(text, "quantization_config");
    if (!quant)
        quant = object_in(root, "compression_config");
    json_t *bare = object_in(root, "quantization");
    if (quant)
        read_quant(r, quant);
    if (bare) {
        if (!c->quant_method)
            c->quant_method = json_object_get(bare, "qformat_weight") ? "fp8" : "mlx";
        read_quant(r, bare);
        read_modules(r, bare);
    }
    if (!c->quant_method && object_in(root, "quip_params"))
        c->quant_method = "quip";
}

int sc_config_quant_files(struct sc_model *m, struct sc_repo *repo, struct sc_error *e)
{
    static const struct {
        const char *path, *inside, *method;
    } files[] = {
        {"hf_quant_config.json", "quantization", "modelopt"},
        {"quantize_config.json", NULL, "gptq"},
    };
    for (size_t i = 0; i < SC_COUNT(files); i++) {
        const char *method = m->config.quant_method;
        if (method && strcmp(method, files[i].method) != 0)
            continue;
        json_t *root;
        struct sc_reading r = {.m = m, .path = files[i].path, .e = e};
        const int code = sc_config_load(m, repo, files[i].path, SC_MAX_CONFIG_BYTES, &root, e);
        if (code < 0)
            return code;
        if (code == 0)
            continue;
        const json_t *quant = files[i].inside ? object_in(root, files[i].inside) : root;
        if (quant) {
            read_quant(&r, quant);
            if (!m->config.quant_method)
                m->config.quant_method = files[i].method;
        }
        json_decref(root);
        if (r.code < 0)
            return r.code;
    }
    return 0;
}
