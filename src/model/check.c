/* SPDX-License-Identifier: Apache-2.0 */
/* check: does the model agree with its configuration and with itself? Findings for `scruple check`.
 *
 *     layers.missing       error-free files, but a number is left out of 0, 1, 2, ...
 *     experts.missing      the same for the experts of a layer
 *     config.layers        number of layers
 *     config.experts       number of experts
 *     config.hidden        width of the token embedding
 *     config.vocab         rows of the token embedding: fewer than words
 *     config.heads         rows of q_proj: heads x head size (or twice that: gated attention)
 *     config.head          embeddings are not tied, but there is no lm_head
 *     config.dtype         no matrix has the configured type
 *     config.quantization  a method is configured that no tensor shows, or the reverse
 *     tensor.twice         two tensors would have one logical name
 *     pickle.danger        a pickle names something that can run code
 *     pickle.unknown-call  a pickle calls a stranger; pickle.unknown: it only names one
 *
 * check_shapes.c, check_layers.c and check_gguf.c have more.
 *
 * Configurations differ from family to family, so what contradicts one is a warning, one of each
 * kind, and nothing is said where the shape or the number is not known for sure. Of a single shard
 * only what it has can be judged. */
#include "model/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct checker {
    struct sc_model *m;
    struct sc_catalog *c;
    struct sc_error *e;
    const char *source; /* of the configuration, for messages */
    bool partial;       /* one shard of several was opened */
};

#define WARN(k, id, tensor, ...)                                                                   \
    sc_problem((k)->c, SC_WARNING, id, UINT32_MAX, tensor, SC_NO_OFFSET, (k)->e, __VA_ARGS__)

/* "model-00002-of-00004.safetensors": 4; 0: the name says nothing. */
static uint64_t shards_in_name(const char *path)
{
    uint64_t n;
    const char *of = strstr(path, "-of-");
    return of && sc_str_u64(sc_str(of + 4, strspn(of + 4, "0123456789")), &n) ? n : 0;
}

/* ------------------------------------------------------------------------------- sequences --- */
/* Sorted, unique numbers of what was seen. A key is (tower, layer) or (tower, layer, expert). */
struct keys {
    uint64_t *at;
    size_t n, cap;
};

static int add_key(struct keys *k, uint64_t key, struct sc_error *e)
{
    if (k->n > 0 && k->at[k->n - 1] == key)
        return 0; /* tensors of one layer follow each other */
    TRY(sc_pages_grow(true, &k->at, &k->cap, k->n + 1, sizeof k->at[0], e));
    k->at[k->n++] = key;
    return 0;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_keys(struct keys *k)
{
    size_t n = 0;
    if (k->n > 0)
        sc_sort(k->at, k->n, sizeof k->at[0], by_value);
    for (size_t i = 0; i < k->n; i++)
        if (n == 0 || k->at[n - 1] != k->at[i])
            k->at[n++] = k->at[i];
    k->n = n;
}

/* "3-5, 9" of the numbers left out among at[0..n) (low 32 bits, ascending); at most a few runs. */
static void put_gaps(struct sc_buf *b, const uint64_t *at, size_t n)
{
    unsigned runs = 0;
    for (size_t i = 1; i < n; i++) {
        const uint32_t low = (uint32_t)at[i - 1] + 1, high = (uint32_t)at[i] - 1;
        if (low > high)
            continue;
        if (++runs > 5) {
            sc_buf_puts(b, ", ...");
            return;
        }
        sc_buf_printf(b, runs > 1 ? ", %" PRIu32 : "%" PRIu32, low);
        if (high > low)
            sc_buf_printf(b, "-%" PRIu32, high);
    }
}

static bool has_gaps(const uint64_t *at, size_t n)
{
    return n > 0 && (uint32_t)at[n - 1] - (uint32_t)at[0] != n - 1;
}

/* The end of the run of keys that share all but the low 32 bits with at[i]. */
static size_t run_end(const struct keys *k, size_t i)
{
    const uint64_t high = k->at[i] >> 32;
    while (i < k->n && k->at[i] >> 32 == high)
        i++;
    return i;
}

static int judge_layers(struct checker *k, const struct keys *keys)
{
    const struct sc_config *config = &k->m->config;
    bool stacks = false;
    for (size_t i = 0, end; i < keys->n; i = end) {
        const enum sc_tower tower = (enum sc_tower)(keys->at[i] >> 32);
        end = run_end(keys, i);
        stacks |= tower == SC_TOWER_ENCODER || tower == SC_TOWER_DECODER;
        if (has_gaps(keys->at + i, end - i) && tower != SC_TOWER_UNET && tower != SC_TOWER_VAE) {
            struct sc_buf b = {.max = 200};
            put_gaps(&b, keys->at + i, end - i);
            const int code =
                WARN(k, "layers.missing", SC_NO_TENSOR, "layers %s of the %s tower are missing",
                     b.p ? b.p : "", sc_tower_names[tower]);
            sc_buf_clear(&b);
            TRY(code);
        }
        const uint64_t count = (uint64_t)(uint32_t)keys->at[end - 1] + 1;
        if (tower == SC_TOWER_MAIN && config->layers && !stacks && !k->partial &&
            count != config->layers)
            TRY(WARN(k, "config.layers", SC_NO_TENSOR,
                     "%s says %" PRIu64 " layers, but the tensors have %" PRIu64, k->source,
                     config->layers, count));
    }
    return 0;
}

static int check_layers(struct checker *k)
{
    struct keys keys = {.at = NULL};
    int code = 0;
    for (size_t i = 0; i < k->m->n_tensors && code == 0; i++) {
        const struct sc_tensor *t = &k->m->tensors[i];
        if (t->layer >= 0)
            code = add_key(&keys, (uint64_t)t->tower << 32 | (uint32_t)t->layer, k->e);
    }
    sort_keys(&keys);
    if (code == 0)
        code = judge_layers(k, &keys);
    sc_pages_free(keys.at);
    return code;
}

static int judge_experts(struct checker *k, const struct keys *keys)
{
    const uint64_t want = k->m->config.experts;
    bool missing = false, wrong = false;
    for (size_t i = 0, end; i < keys->n; i = end) {
        const int32_t layer = (int32_t)(keys->at[i] >> 32 & 0xfffffff);
        end = run_end(keys, i);
        if (!missing && has_gaps(keys->at + i, end - i)) {
            struct sc_buf b = {.max = 200};
            put_gaps(&b, keys->at + i, end - i);
            const int code =
                WARN(k, "experts.missing", SC_NO_TENSOR,
                     "experts %s of layer %" PRId32 " are missing", b.p ? b.p : "", layer);
            sc_buf_clear(&b);
            TRY(code);
            missing = true;
        }
        const uint64_t count = (uint64_t)(uint32_t)keys->at[end - 1] + 1;
        if (!wrong && want && !k->partial && count != want) {
            TRY(WARN(k, "config.experts", SC_NO_TENSOR,
                     "%s says %" PRIu64 " experts, but layer %" PRId32 " has %" PRIu64, k->source,
                     want, layer, count));
            wrong = true;
        }
    }
    return 0;
}

/* Layers fit 28 bits for any model that fits a disk; above that nothing is checked. */
static int check_experts(struct checker *k)
{
    struct keys keys = {.at = NULL};
    int code = 0;
    for (size_t i = 0; i < k->m->n_tensors && code == 0; i++) {
        const struct sc_tensor *t = &k->m->tensors[i];
        if (t->layer >= 0 && t->layer <= 0xfffffff && t->expert >= 0)
            code = add_key(&keys,
                           (uint64_t)t->tower << 60 | (uint64_t)(uint32_t)t->layer << 32 |
                               (uint32_t)t->expert,
                           k->e);
    }
    sort_keys(&keys);
    if (code == 0)
        code = judge_experts(k, &keys);
    sc_pages_free(keys.at);
    return code;
}

static bool is_stack_of_experts(const struct sc_tensor *t)
{
    const struct sc_str name = sc_tensor_name(t);
    return t->layer >= 0 && t->expert < 0 && t->rank == 3 &&
           (t->role == SC_ROLE_GATE || t->role == SC_ROLE_UP || t->role == SC_ROLE_DOWN ||
            t->role == SC_ROLE_GATE_UP) &&
           (sc_str_has_nocase(name, SC_STR(".experts.")) ||
            sc_str_has_nocase(name, SC_STR("_exps.")));
}

/* ---------------------------------------------------------------------------------- shapes --- */
/* The canonical name in a buffer that is used again and again. */
static int canonical(struct checker *k, const struct sc_tensor *t, struct sc_buf *b)
{
    b->n = 0;
    sc_canonical_name(sc_tensor_name(t), b);
    return b->failed ? sc_fail_memory(k->e) : 0;
}

static int check_embedding(struct checker *k, const struct sc_tensor *t)
{
    const struct sc_config *config = &k->m->config;
    if (config->hidden && t->shape[1] != config->hidden)
        TRY(WARN(k, "config.hidden", sc_tensor_name(t),
                 "%s says a hidden size of %" PRIu64 ", but the token embedding has %" PRIu64
                 " columns",
                 k->source, config->hidden, t->shape[1]));
    if (config->vocab && t->shape[0] < config->vocab)
        TRY(WARN(k, "config.vocab", sc_tensor_name(t),
                 "%s says %" PRIu64 " words, but the token embedding has %" PRIu64 " rows",
                 k->source, config->vocab, t->shape[0]));
    return 0;
}

/* Rows that q_proj must have; 0: not known. */
static uint64_t query_rows(const struct sc_config *c)
{
    if (c->heads == 0)
        return 0;
    if (c->head_dim)
        return c->heads * c->head_dim; /* at most 2^40 by their ranges */
    return c->hidden % c->heads == 0 ? c->hidden : 0;
}

static int check_shapes(struct checker *k)
{
    const struct sc_model *m = k->m;
    const struct sc_tensor *query = NULL; /* one with the wrong number of rows */
    const uint64_t rows = query_rows(&m->config);
    bool right = false, latent = false, stack = false;
    struct sc_buf b = {.max = 1 << 17};
    int code = 0;
    for (size_t i = 0; i < m->n_tensors && code == 0; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        if (t->tower != SC_TOWER_MAIN)
            continue;
        latent |= t->role == SC_ROLE_KV_A;
        if (!stack && m->config.experts && is_stack_of_experts(t) &&
            t->shape[0] != m->config.experts) {
            stack = true;
            code = WARN(k, "config.experts", sc_tensor_name(t),
                        "%s says %" PRIu64 " experts, but the tensor holds %" PRIu64, k->source,
                        m->config.experts, t->shape[0]);
        }
        if (t->rank != 2 || (t->role != SC_ROLE_EMBEDDING && t->role != SC_ROLE_Q))
            continue;
        if (t->role == SC_ROLE_Q && (right || t->layer < 0 || !rows))
            continue;
        if (code == 0)
            code = canonical(k, t, &b);
        if (code < 0)
            break;
        if (t->role == SC_ROLE_EMBEDDING && sc_str_is(sc_str(b.p, b.n), "embed_tokens.weight")) {
            code = check_embedding(k, t);
        } else if (sc_str_ends(sc_str(b.p, b.n), ".self_attn.q_proj.weight")) {
            right = t->shape[0] == rows || t->shape[0] == 2 * rows;
            query = t;
        }
    }
    sc_buf_clear(&b);
    /* Latent attention has heads of two sizes. Some models change the size from layer to layer:
     * one that agrees is enough. */
    if (code == 0 && query && !right && !latent)
        code = WARN(k, "config.heads", sc_tensor_name(query),
                    "%s says %" PRIu64 " heads, so %" PRIu64 " rows of queries, but q_proj has "
                    "%" PRIu64,
                    k->source, m->config.heads, rows, query->shape[0]);
    return code;
}

/* ------------------------------------------------------------------------------ head, types --- */
static int check_head(struct checker *k)
{
    const struct sc_config *config = &k->m->config;
    bool embedding = false, head = false;
    if (!config->has_tied_embeddings || config->tied_embeddings || k->partial ||
        !config->architecture || !strstr(config->architecture, "CausalLM"))
        return 0;
    for (size_t i = 0; i < k->m->n_tensors; i++) {
        embedding |= k->m->tensors[i].role == SC_ROLE_EMBEDDING;
        head |= k->m->tensors[i].role == SC_ROLE_OUTPUT;
    }
    return head || !embedding
               ? 0
               : WARN(k, "config.head", SC_NO_TENSOR,
                      "%s says that the embeddings are not tied, but there is no lm_head",
                      k->source);
}

static int check_dtype(struct checker *k)
{
    static const struct {
        const char *said, *dtype;
    } types[] = {{"bfloat16", "BF16"}, {"float16", "F16"}, {"half", "F16"},
                 {"float32", "F32"},   {"float", "F32"},   {"float64", "F64"}};
    const char *said = k->m->config.dtype, *want = NULL, *other = NULL;
    if (said && strncmp(said, "torch.", 6) == 0)
        said += 6;
    for (size_t i = 0; said && i < SC_COUNT(types); i++)
        if (strcmp(said, types[i].said) == 0)
            want = types[i].dtype;
    if (!want)
        return 0;
    for (size_t i = 0; i < k->m->n_tensors; i++) {
        const struct sc_tensor *t = &k->m->tensors[i];
        if (t->layout != SC_LAYOUT_PLAIN || strcmp(t->dtype, want) == 0)
            return 0; /* quantised, or as configured */
        if (t->rank >= 2)
            other = t->dtype;
    }
    struct sc_quoted q;
    return other ? WARN(k, "config.dtype", SC_NO_TENSOR,
                        "%s says %s, but no tensor is %s (matrices are %s)", k->source, said, want,
                        sc_quote(&q, sc_strz(other)))
                 : 0;
}

#define BIT(layout) (UINT32_C(1) << SC_LAYOUT_##layout)
static const struct {
    const char *method;
    uint32_t layouts;
} methods[] = {
    {"gptq", BIT(GPTQ) | BIT(AWQ)},
    {"auto-round", BIT(GPTQ) | BIT(AWQ)},
    {"intel/auto-round", BIT(GPTQ) | BIT(AWQ)},
    {"awq", BIT(GPTQ) | BIT(AWQ)},
    {"fp8", BIT(FP8) | BIT(MXFP4)},
    {"fbgemm_fp8", BIT(FP8)},
    {"compressed-tensors", BIT(CT_PACK) | BIT(CT_INT) | BIT(FP8) | BIT(NVFP4) | BIT(MXFP4)},
    {"modelopt", BIT(FP8) | BIT(NVFP4) | BIT(MXFP4) | BIT(CT_INT)},
    {"bitsandbytes", BIT(BNB_INT8) | BIT(BNB_4BIT)},
    {"mxfp4", BIT(MXFP4)},
    {"mlx", BIT(MLX)},
    {"bitnet", BIT(BITNET)},
    {"hqq", BIT(HQQ)},
    {"aqlm", BIT(AQLM)},
    {"quip", BIT(QUIP)},
    {"exl2", BIT(EXL2)},
    {"exl3", BIT(EXL3)},
};

static int check_quantization(struct checker *k)
{
    const struct sc_config *config = &k->m->config;
    uint32_t seen = 0;
    uint8_t one = SC_LAYOUT_PLAIN;
    struct sc_quoted q;
    for (size_t i = 0; i < k->m->n_tensors; i++) {
        const uint8_t layout = k->m->tensors[i].layout;
        seen |= UINT32_C(1) << layout;
        one = layout > SC_LAYOUT_GGML ? layout : one;
    }
    if (!config->quant_method) {
        /* Only a configuration that describes a model can be silent about this. */
        return one == SC_LAYOUT_PLAIN || !config->model_type
                   ? 0
                   : WARN(k, "config.quantization", SC_NO_TENSOR,
                          "tensors are stored as %s, but %s does not say so", sc_layouts[one].name,
                          k->source);
    }
    for (size_t i = 0; i < SC_COUNT(methods); i++)
        if (strcmp(methods[i].method, config->quant_method) == 0 && !(seen & methods[i].layouts) &&
            !k->partial && k->m->n_tensors > 0)
            return WARN(k, "config.quantization", SC_NO_TENSOR,
                        "%s says that the weights are quantised (%s), but no tensor is stored so",
                        k->source, sc_quote(&q, sc_strz(config->quant_method)));
    return 0;
}

/* ------------------------------------------------------------------------- names and pickle --- */
/* Tensors are in natural order, so equal names are neighbours. */
static int check_twins(struct checker *k)
{
    for (size_t i = 1; i < k->m->n_tensors; i++) {
        const struct sc_tensor *a = &k->m->tensors[i - 1], *b = &k->m->tensors[i];
        if (a->name_len != b->name_len || memcmp(a->name, b->name, a->name_len) != 0)
            continue;
        /* Two stored tensors with one name were reported when they were read. */
        const struct sc_str x = sc_entry_name(&k->c->entries[a->main]);
        const struct sc_str y = sc_entry_name(&k->c->entries[b->main]);
        struct sc_quoted q;
        if (!sc_str_eq(x, y))
            TRY(WARN(k, "tensor.twice", sc_tensor_name(a), "two tensors are \"%s\" when unpacked",
                     sc_quote(&q, sc_tensor_name(a))));
    }
    return 0;
}

/* The parser warned of what can run code, with its place in the file; here it is the verdict. */
static bool raise_warning(struct checker *k, uint32_t file, size_t n_findings)
{
    bool found = false;
    for (size_t i = 0; i < n_findings; i++) {
        struct sc_finding *f = &k->c->findings[i];
        if (f->file != file || strcmp(f->id, "pickle.danger") != 0)
            continue;
        found = true;
        if (f->severity == SC_WARNING) {
            f->severity = SC_ERROR;
            k->c->n_warnings--;
            k->c->n_errors++;
        }
    }
    return found;
}

static int check_pickles(struct checker *k)
{
    const size_t n_findings = k->c->n_findings; /* of the parsers and of the checks before */
    for (size_t i = 0; i < k->c->n_imports; i++) {
        const struct sc_import *im = &k->c->imports[i];
        struct sc_quoted q;
        sc_quote(&q, sc_strz(im->name));
        if (im->verdict == SC_VERDICT_DANGER && !raise_warning(k, im->file, n_findings))
            TRY(sc_problem(k->c, SC_ERROR, "pickle.danger", im->file, SC_NO_TENSOR, SC_NO_OFFSET,
                           k->e, "would run code if loaded with pickle: %s", q.s));
        else if (im->verdict == SC_VERDICT_UNKNOWN && im->called > 0)
            TRY(sc_problem(
                k->c, SC_WARNING, "pickle.unknown-call", im->file, SC_NO_TENSOR, SC_NO_OFFSET, k->e,
                "would call \"%s\", which is not known here, if loaded with pickle", q.s));
        else if (im->verdict == SC_VERDICT_UNKNOWN)
            TRY(sc_problem(k->c, SC_INFO, "pickle.unknown", im->file, SC_NO_TENSOR, SC_NO_OFFSET,
                           k->e, "the pickle names \"%s\", which is not loaded", q.s));
    }
    return 0;
}

int sc_model_check(struct sc_model *m, struct sc_error *e)
{
    static const struct sc_open_options lenient = {.lenient = true};
    struct sc_catalog *c = m->catalog;
    const struct sc_open_options *before = c->options;
    struct sc_quoted q;
    struct checker k = {.m = m, .c = c, .e = e};
    k.source = sc_quote(&q, sc_strz(m->config.source ? m->config.source : "the configuration"));
    for (size_t i = 0; i < c->n_files; i++)
        k.partial |= shards_in_name(c->files[i].path) > c->n_files;
    c->options = &lenient; /* findings are what is asked for: none of them ends the check */
    int (*const checks[])(struct checker *) = {check_layers,  check_experts,     check_shapes,
                                               check_head,    check_dtype,       check_twins,
                                               check_pickles, check_quantization};
    int code = 0;
    for (size_t i = 0; i < SC_COUNT(checks) && code == 0; i++)
        code = checks[i](&k);
    if (code == 0)
        code = sc_check_shapes(m, k.source, k.partial, e);
    if (code == 0)
        code = sc_check_layers(m, k.partial, e);
    if (code == 0)
        code = sc_check_gguf(m, k.partial, e);
    c->options = before;
    return code;
}
