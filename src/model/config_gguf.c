/* SPDX-License-Identifier: Apache-2.0 */
/* config_gguf: facts of a GGUF model. Its keys are `general.*` and `ARCH.*`, where ARCH is the
 * value of general.architecture ("llama.block_count"). One pass over the keys; of a split model,
 * or of several files, the first to tell a thing counts. */
#include "model/config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define FACT(key, member, max)                                                                     \
    {                                                                                              \
        key, offsetof(struct sc_config, member), max                                               \
    }
static const struct {
    const char *key; /* behind "ARCH." */
    size_t offset;
    uint64_t max;
} facts[] = {
    FACT("block_count", layers, 100000),
    FACT("embedding_length", hidden, 1 << 24),
    FACT("feed_forward_length", intermediate, 1 << 28),
    FACT("attention.head_count", heads, 1 << 20),
    FACT("attention.head_count_kv", kv_heads, 1 << 20),
    FACT("attention.key_length", head_dim, 1 << 20),
    FACT("vocab_size", vocab, 1 << 30),
    FACT("context_length", context, UINT64_C(1) << 40),
    FACT("expert_count", experts, 1000000),
    FACT("expert_used_count", experts_per_token, 1000000),
    FACT("expert_shared_count", shared_experts, 1000000),
    FACT("expert_feed_forward_length", moe_intermediate, 1 << 28),
    FACT("nextn_predict_layers", mtp_layers, 1000),
};
#undef FACT
static const struct {
    const char *key;
    size_t offset;
} numbers[] = {
    {"rope.freq_base", offsetof(struct sc_config, rope_theta)},
    {"attention.layer_norm_rms_epsilon", offsetof(struct sc_config, norm_eps)},
    {"attention.layer_norm_epsilon", offsetof(struct sc_config, norm_eps)},
};

/* A whole number of 0 or more; false: something else. */
static bool whole(const struct sc_value *v, uint64_t *out)
{
    if (v->kind == SC_VALUE_UINT)
        *out = v->as.u;
    else if (v->kind == SC_VALUE_INT && v->as.i >= 0)
        *out = (uint64_t)v->as.i;
    else
        return false;
    return true;
}

static void read_fact(struct sc_reading *r, const char *key, const struct sc_value *v, uint64_t max,
                      uint64_t *out)
{
    uint64_t n;
    if (*out != 0 || v->kind == SC_VALUE_ARRAY) /* a list: one number a layer */
        return;
    if (!whole(v, &n))
        sc_config_warn(r, "\"%s\" is not a whole number of 0 or more; ignored", key);
    else if (n > max)
        sc_config_warn(r, "\"%s\" is %" PRIu64 ", allowed is at most %" PRIu64 "; ignored", key, n,
                       max);
    else
        *out = n;
}

static void read_key(struct sc_reading *r, struct sc_str key, const struct sc_value *v)
{
    char *config = (char *)&r->m->config;
    for (size_t i = 0; i < SC_COUNT(facts); i++)
        if (sc_str_is(key, facts[i].key))
            read_fact(r, facts[i].key, v, facts[i].max,
                      (uint64_t *)(void *)(config + facts[i].offset));
    for (size_t i = 0; i < SC_COUNT(numbers); i++) {
        double *out = (double *)(void *)(config + numbers[i].offset);
        if (sc_str_is(key, numbers[i].key) && *out == 0 && v->kind == SC_VALUE_FLOAT &&
            isfinite(v->as.f) && v->as.f > 0)
            *out = v->as.f;
    }
}

int sc_config_gguf(struct sc_model *m, struct sc_error *e)
{
    struct sc_catalog *c = m->catalog;
    struct sc_config *config = &m->config;
    struct sc_str arch = {NULL, 0};
    uint64_t tokens = 0;
    struct sc_reading r = {.m = m, .path = "GGUF keys", .e = e};
    for (size_t i = 0; i < c->n_metas && !arch.p; i++) {
        const struct sc_meta *meta = &c->metas[i];
        if (!sc_str_is(meta->key, "general.architecture") || meta->value.kind != SC_VALUE_STRING)
            continue;
        arch = meta->value.as.s;
        config->source = c->files[meta->file].path;
    }
    if (!arch.p || arch.n == 0)
        return 0;
    config->architecture = config->model_type = sc_config_keep(&r, arch.p, arch.n);
    for (size_t i = 0; i < c->n_metas && r.code == 0; i++) {
        const struct sc_meta *meta = &c->metas[i];
        const struct sc_str key = meta->key;
        if (sc_str_is(key, "tokenizer.ggml.tokens") && meta->value.kind == SC_VALUE_ARRAY)
            tokens = tokens ? tokens : meta->value.as.a.count;
        else if (key.n > arch.n + 1 && key.p[arch.n] == '.' && memcmp(key.p, arch.p, arch.n) == 0)
            read_key(&r, sc_str(key.p + arch.n + 1, key.n - arch.n - 1), &meta->value);
    }
    if (config->vocab == 0)
        config->vocab = tokens;
    /* Predictors are counted among the blocks; in config.json they are not. */
    if (config->layers > config->mtp_layers)
        config->layers -= config->mtp_layers;
    return r.code;
}
