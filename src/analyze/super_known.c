/* SPDX-License-Identifier: Apache-2.0 */
/* super_known: the directory of published super weights. */
#include "analyze/super_known.h"

#include <string.h>

#include "analyze/largest.h"

#define PAPER "arXiv 2411.07191"
#define CODE  "code of arXiv 2411.07191"

const char *const sc_super_hows[SC_SUPER_HOWS + 1] = {"name", "config", "shape", NULL};

/* 0: not looked at. `names` and `families` with commas; a family is config.json's model_type or
 * GGUF's architecture. */
static const struct published {
    const char *model, *names, *families;
    uint32_t layers, hidden, intermediate, vocab, context;
} models[] = {
    {"LLaMA-7B", "llama-7b,llama-1-7b,llama1-7b,llama-7b-hf", "llama", 32, 4096, 11008, 32000,
     2048},
    {"LLaMA-13B", "llama-13b,llama-1-13b,llama1-13b,llama-13b-hf", "llama", 40, 5120, 13824, 32000,
     2048},
    {"LLaMA-30B", "llama-30b,llama-1-30b,llama-33b,llama-30b-hf", "llama", 60, 6656, 17920, 32000,
     2048},
    {"Llama-2-7B", "llama-2-7b,llama-2-7b-hf,llama2-7b", "llama", 32, 4096, 11008, 32000, 4096},
    {"Llama-2-13B", "llama-2-13b,llama-2-13b-hf,llama2-13b", "llama", 40, 5120, 13824, 32000, 4096},
    {"Mistral-7B-v0.1", "mistral-7b-v0.1,mistral-7b-instruct-v0.1", "mistral,llama", 32, 4096,
     14336, 32000, 32768},
    {"OLMo-1B-0724", "olmo-1b-0724-hf,olmo-1b-0724", "olmo", 16, 2048, 8192, 50304, 4096},
    {"OLMo-7B-0724", "olmo-7b-0724-hf,olmo-7b-0724", "olmo", 32, 4096, 11008, 50304, 4096},
    {"Phi-3-mini-4k", "phi-3-mini-4k-instruct,phi-3-mini-4k", "phi3", 32, 3072, 8192, 32064, 4096},
    {"Llama-3-8B", "meta-llama-3-8b,llama-3-8b", "llama", 32, 4096, 14336, 128256, 8192},
    {"Gemma-7B", "gemma-7b,gemma-7b-it", "gemma", 28, 3072, 24576, 256000, 8192},
    {"Falcon-7B", "falcon-7b", "falcon,RefinedWebModel", 32, 4544, 18176, 65024, 0},
    {"Llama-3.2-1B", "llama-3.2-1b,llama-3.2-1b-instruct", "llama", 16, 2048, 8192, 128256, 131072},
    {"LLaVA-1.5-7B", "llava-1.5-7b,llava-1.5-7b-hf,llava-v1.5-7b", "llava", 32, 4096, 11008, 32064,
     4096},
    {"Qwen3-30B-A3B",
     "qwen3-30b-a3b,qwen3-30b-a3b-base,qwen3-30b-a3b-instruct-2507,"
     "qwen3-30b-a3b-thinking-2507",
     "qwen3_moe,qwen3moe", 48, 2048, 6144, 151936, 0},
};
enum {
    LLAMA_7B,
    LLAMA_13B,
    LLAMA_30B,
    LLAMA_2_7B,
    LLAMA_2_13B,
    MISTRAL_7B,
    OLMO_1B,
    OLMO_7B,
    PHI_3,
    LLAMA_3_8B,
    GEMMA_7B,
    FALCON_7B,
    LLAMA_32_1B,
    LLAVA_7B,
    QWEN3_30B
};
static const char olmo_note[] = "paper and code disagree on layer and column";
static const char falcon_note[] = "commented out in the code";
static const struct {
    uint8_t model;
    uint32_t layer, row, col;
    int32_t expert;
    const char *source, *note;
} places[] = {
    {LLAMA_7B, 2, 3968, 7003, -1, PAPER, NULL},
    {LLAMA_13B, 2, 2231, 2278, -1, PAPER, NULL},
    {LLAMA_13B, 2, 2231, 6939, -1, PAPER, NULL},
    {LLAMA_30B, 3, 5633, 12817, -1, PAPER, NULL},
    {LLAMA_30B, 3, 5633, 17439, -1, PAPER, NULL},
    {LLAMA_30B, 10, 5633, 14386, -1, PAPER, NULL},
    {LLAMA_2_7B, 1, 2533, 7890, -1, PAPER, "not in the code"},
    {LLAMA_2_13B, 3, 4743, 7678, -1, PAPER, "not in the code"},
    {MISTRAL_7B, 1, 2070, 7310, -1, PAPER, NULL},
    {OLMO_1B, 1, 1764, 1710, -1, PAPER, NULL},
    {OLMO_1B, 1, 1764, 8041, -1, PAPER, olmo_note},
    {OLMO_1B, 2, 1764, 8041, -1, CODE, olmo_note},
    {OLMO_7B, 1, 269, 7467, -1, PAPER, NULL},
    {OLMO_7B, 2, 269, 8275, -1, PAPER, NULL},
    {OLMO_7B, 7, 269, 453, -1, PAPER, NULL},
    {OLMO_7B, 24, 269, 2300, -1, PAPER, NULL},
    {PHI_3, 2, 525, 808, -1, PAPER, NULL},
    {PHI_3, 2, 1693, 808, -1, PAPER, NULL},
    {PHI_3, 2, 1113, 808, -1, PAPER, NULL},
    {PHI_3, 4, 525, 2723, -1, PAPER, NULL},
    {PHI_3, 4, 1113, 2723, -1, PAPER, NULL},
    {PHI_3, 4, 1693, 2723, -1, PAPER, NULL},
    {LLAMA_3_8B, 1, 788, 2427, -1, CODE, "not in the paper"},
    {LLAMA_3_8B, 1, 1384, 2427, -1, CODE, "not in the paper"},
    {LLAMA_3_8B, 1, 4062, 2427, -1, CODE, "not in the paper"},
    {GEMMA_7B, 0, 1995, 21041, -1, CODE, "called not sufficient there"},
    {FALCON_7B, 3, 2002, 10708, -1, CODE, falcon_note},
    {FALCON_7B, 4, 2002, 5921, -1, CODE, falcon_note},
    {LLAMA_32_1B, 1, 400, 1417, -1, "Su et al., table 8", NULL},
    {LLAMA_32_1B, 1, 698, 1417, -1, "Su et al., table 8", NULL},
    {LLAMA_32_1B, 1, 2029, 1417, -1, "Su et al., table 8", NULL},
    {LLAMA_32_1B, 1, 1159, 1417, -1, "Su et al., table 8", NULL},
    {LLAVA_7B, 1, 1415, 7890, -1, "Su et al.", NULL},
    {LLAVA_7B, 1, 2533, 7890, -1, "Su et al.", NULL},
    {QWEN3_30B, 1, 940, 711, 68, "arXiv 2507.23279", NULL},
    {QWEN3_30B, 2, 940, 59, 92, "arXiv 2507.23279", NULL},
    {QWEN3_30B, 3, 940, 423, 82, "arXiv 2507.23279", NULL},
};

/* ------------------------------------------------------------------------------ recognising --- */

/* Is `word` one of a list with commas? */
static bool is_listed(const char *list, struct sc_str word)
{
    for (const char *p = list;; p++) {
        const size_t n = strcspn(p, ",");
        if (sc_str_eq_nocase(sc_str(p, n), word))
            return true;
        p += n;
        if (!*p)
            return false;
    }
}

/* The last part of "org/name", "/models/name/", "name.gguf"; of GGUF without ".Q4_K_M" and the like
 * behind it, as far as the list has the rest. */
static bool is_called(const struct published *p, const char *label)
{
    struct sc_str s = sc_strz(label);

    while (s.n && s.p[s.n - 1] == '/')
        s.n--;
    size_t at = s.n;
    while (at && s.p[at - 1] != '/')
        at--;
    s = sc_str(s.p + at, s.n - at);
    for (; s.n; s.n--) { /* whole words from the left: "name", "name.Q4_K_M" */
        if (is_listed(p->names, s))
            return true;
        while (s.n && s.p[s.n - 1] != '.')
            s.n--;
        if (!s.n)
            return false;
    }
    return false;
}

struct sizes {
    uint64_t layers, hidden, intermediate;
};

/* What the configuration says, else what the down projections show. */
static struct sizes sizes_of(const struct sc_model *m)
{
    struct sizes s = {m->config.layers, m->config.hidden, m->config.intermediate};
    uint64_t layers = 0, hidden = 0, intermediate = 0;

    if (s.layers && s.hidden && s.intermediate)
        return s;
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        struct sc_large_shape shape;
        if (t->role != SC_ROLE_DOWN || t->layer < 0 || t->rank < 2)
            continue;
        sc_large_shape(m, i, &shape);
        layers = SC_MAX(layers, (uint64_t)t->layer + 1);
        hidden = shape.rows;
        intermediate = shape.cols;
    }
    s.layers = s.layers ? s.layers : layers;
    s.hidden = s.hidden ? s.hidden : hidden;
    s.intermediate = s.intermediate ? s.intermediate : intermediate;
    return s;
}

static bool agrees(uint64_t published, uint64_t own)
{
    return !published || published == own;
}

/* SC_SUPER_HOWS: it is another model. */
static enum sc_super_how recognise(const struct sc_model *m, const struct sizes *s,
                                   const struct published *p)
{
    const struct sc_config *c = &m->config;
    const char *family = c->model_type ? c->model_type : c->architecture;
    const bool sizes =
        s->layers == p->layers && s->hidden == p->hidden && s->intermediate == p->intermediate;

    if (m->label && is_called(p, m->label))
        return SC_SUPER_BY_NAME;
    if (!sizes)
        return SC_SUPER_HOWS;
    return family && is_listed(p->families, sc_strz(family)) && agrees(p->vocab, c->vocab) &&
                   agrees(p->context, c->context)
               ? SC_SUPER_BY_CONFIG
               : SC_SUPER_BY_SHAPE;
}

/* ---------------------------------------------------------------------------------- places --- */

/* Where it would be, or why it cannot be there. */
static void find_place(const struct sc_model *m, struct sc_super_known *k)
{
    struct sc_large_shape s = {.slices = 0};
    bool layer = false;

    k->tensor = SC_NO_NODE;
    for (uint32_t i = 0; i < m->n_tensors && k->tensor == SC_NO_NODE; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        if (t->role != SC_ROLE_DOWN || t->layer != (int32_t)k->layer || t->rank < 2 ||
            t->tower == SC_TOWER_VISION || t->tower == SC_TOWER_AUDIO)
            continue;
        layer = true;
        sc_large_shape(m, i, &s);
        if (s.slices > 1 ? k->expert >= 0 && (uint64_t)k->expert < s.slices
                         : t->expert == k->expert)
            k->tensor = i;
    }
    k->impossible = !layer                    ? "it has no down projection in this layer"
                    : k->tensor == SC_NO_NODE ? "its layer has no such expert"
                    : k->row >= s.rows        ? "its stream has no such channel"
                    : k->col >= s.cols        ? "its MLP has no such neuron"
                                              : NULL;
    if (k->impossible) {
        k->tensor = SC_NO_NODE;
        return;
    }
    const uint64_t slice = s.slices > 1 ? (uint64_t)k->expert : 0;
    k->element = slice * s.rows * s.cols + (s.transposed ? (uint64_t)k->col * s.width + k->row
                                                         : (uint64_t)k->row * s.width + k->col);
}

void sc_super_known_find(const struct sc_model *m, struct sc_super_knowns *out)
{
    const struct sizes sizes = sizes_of(m);
    enum sc_super_how how[SC_COUNT(models)], best = SC_SUPER_HOWS;

    out->n = 0;
    for (size_t i = 0; i < SC_COUNT(models); i++) {
        how[i] = recognise(m, &sizes, &models[i]);
        best = SC_MIN(best, how[i]);
    }
    for (size_t i = 0; i < SC_COUNT(places) && best < SC_SUPER_HOWS; i++) {
        if (how[places[i].model] != best || out->n == SC_SUPER_KNOWN_MOST)
            continue;
        struct sc_super_known *k = &out->p[out->n++];
        *k = (struct sc_super_known){.model = models[places[i].model].model,
                                     .layer = places[i].layer,
                                     .row = places[i].row,
                                     .col = places[i].col,
                                     .expert = places[i].expert,
                                     .source = places[i].source,
                                     .note = places[i].note,
                                     .how = best};
        find_place(m, k);
    }
}

const struct sc_super_known *sc_super_known_at(const struct sc_super_knowns *k, uint32_t tensor,
                                               uint64_t element)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->p[i].tensor == tensor && !k->p[i].impossible && k->p[i].element == element)
            return &k->p[i];
    return NULL;
}

void sc_super_known_add(struct sc_document *d, struct sc_field *into,
                        const struct sc_super_known *k)
{
    sc_add_textz(d, into, "model", k->model);
    sc_add_textz(d, into, "recognised_by", sc_super_hows[k->how]);
    sc_add_uint(d, into, "layer", k->layer, SC_COL_COUNT);
    sc_add_uint(d, into, "row", k->row, SC_COL_COUNT);
    sc_add_uint(d, into, "column", k->col, SC_COL_COUNT);
    if (k->expert < 0)
        sc_add_null(d, into, "expert");
    else
        sc_add_uint(d, into, "expert", (uint64_t)k->expert, SC_COL_COUNT);
    sc_add_textz(d, into, "source", k->source);
    sc_add_textz(d, into, "note", k->note);
    sc_add_textz(d, into, "impossible", k->impossible);
}
