/* SPDX-License-Identifier: Apache-2.0 */
/* names: what a tensor is, by its name: role, tower, layer and expert.
 *
 * Owns: reading the names of Hugging Face, GGUF, Meta, diffusers and plain torch checkpoints word
 * by word; the tables are in names_tables.h, one look-up a word and no state but the context, so a
 * prefix ("state_dict.", "module.") or an unknown word in between does no harm.
 *
 * Does not own: canonical names (names_canonical.c).
 *
 *     model.layers.3.mlp.experts.17.down_proj.weight
 *           |      | |   |       |  |
 *           |      | |   |       |  role in its context (mlp)
 *           |      | |   |       expert
 *           LAYERS layer context EXPERTS */
#include "model/names.h"
#include "model/names_tables.h"

#include <string.h>

const char *const sc_role_names[SC_ROLE_COUNT] = {
    [SC_ROLE_OTHER] = "other",
    [SC_ROLE_EMBEDDING] = "embedding",
    [SC_ROLE_POSITION] = "position",
    [SC_ROLE_OUTPUT] = "lm_head",
    [SC_ROLE_NORM] = "norm",
    [SC_ROLE_Q] = "q_proj",
    [SC_ROLE_K] = "k_proj",
    [SC_ROLE_V] = "v_proj",
    [SC_ROLE_O] = "o_proj",
    [SC_ROLE_QKV] = "qkv_proj",
    [SC_ROLE_KV] = "kv_proj",
    [SC_ROLE_Q_A] = "q_a_proj",
    [SC_ROLE_Q_B] = "q_b_proj",
    [SC_ROLE_KV_A] = "kv_a_proj",
    [SC_ROLE_KV_B] = "kv_b_proj",
    [SC_ROLE_GATE] = "gate_proj",
    [SC_ROLE_UP] = "up_proj",
    [SC_ROLE_DOWN] = "down_proj",
    [SC_ROLE_GATE_UP] = "gate_up_proj",
    [SC_ROLE_ROUTER] = "router",
    [SC_ROLE_CONV] = "conv",
    [SC_ROLE_SSM] = "ssm",
    [SC_ROLE_BIAS] = "bias",
};

const char *const sc_tower_names[SC_TOWER_COUNT] = {
    [SC_TOWER_MAIN] = "main",           [SC_TOWER_VISION] = "vision",
    [SC_TOWER_AUDIO] = "audio",         [SC_TOWER_TEXT] = "text",
    [SC_TOWER_ENCODER] = "encoder",     [SC_TOWER_DECODER] = "decoder",
    [SC_TOWER_PROJECTOR] = "projector", [SC_TOWER_MTP] = "mtp",
    [SC_TOWER_UNET] = "unet",           [SC_TOWER_VAE] = "vae",
};

static const struct word *find_word(struct sc_str s)
{
    if (s.n >= SC_COUNT(words_by_length))
        return NULL;
    const struct word *w = words_by_length[s.n].words;
    for (size_t i = 0; i < words_by_length[s.n].n; i++)
        if (w[i].text[0] == s.p[0] && memcmp(w[i].text, s.p, s.n) == 0)
            return &w[i];
    return NULL;
}

static inline char lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        c |= 0x20;
    return c;
}

/* "norm" anywhere, in any case. */
static bool has_norm(struct sc_str s)
{
    for (size_t i = 0; i + 4 <= s.n; i++)
        if (lower(s.p[i]) == 'n' && lower(s.p[i + 1]) == 'o' && lower(s.p[i + 2]) == 'r' &&
            lower(s.p[i + 3]) == 'm')
            return true;
    return false;
}

/* Roles of words that are in no table. */
static enum sc_role guess_role(struct sc_str s, enum does context)
{
    if (has_norm(s) || sc_str_starts(s, "ln_") || sc_str_ends(s, "_ln") ||
        (s.n == 3 && sc_str_starts(s, "ln") && s.p[2] >= '0' && s.p[2] <= '9'))
        return SC_ROLE_NORM;
    if (context == SSM || sc_str_starts(s, "ssm_"))
        return SC_ROLE_SSM;
    if (sc_str_starts(s, "conv") || sc_str_ends(s, "_conv"))
        return SC_ROLE_CONV;
    return SC_ROLE_OTHER;
}

static bool is_number(struct sc_str s)
{
    return s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9';
}

/* -1: no plain number, or larger than any layer or expert. */
static int32_t number(struct sc_str s)
{
    uint64_t v;
    return s.n <= 10 && sc_str_u64(s, &v) && v <= INT32_MAX ? (int32_t)v : -1;
}

bool sc_gguf_tower(struct sc_str first, struct sc_str next)
{
    static const char *const towers[] = {"v", "a", "mm", "enc", "dec"};
    bool known = false;
    for (size_t i = 0; i < SC_COUNT(towers); i++)
        known |= sc_str_is(first, towers[i]);
    if (!known || next.n == 0)
        return false;
    return sc_str_is(next, "blk") || memchr(next.p, '_', next.n) ||
           (sc_str_is(first, "mm") && (is_number(next) || sc_str_is(next, "model")));
}

struct reading {
    struct sc_name_facts facts;
    enum does context;  /* ATTN, MLP or SSM */
    enum does expected; /* of the last word: what a number would be */
    bool no_layer, top;
};

static enum sc_role role_in(const struct word *w, const struct reading *r)
{
    if (w->at_top && (r->top || (r->facts.layer < 0 && !r->context && !r->no_layer)))
        return (enum sc_role)w->at_top;
    if (w->in_attn && r->context == ATTN)
        return (enum sc_role)w->in_attn;
    if (w->in_mlp && r->context == MLP)
        return (enum sc_role)w->in_mlp;
    if (w->in_ssm && r->context == SSM)
        return (enum sc_role)w->in_ssm;
    return (enum sc_role)w->role;
}

/* The outermost tower counts, but a projector or predictor inside it is named for itself. */
static void enter_tower(struct reading *r, enum sc_tower tower)
{
    enum sc_tower *now = &r->facts.tower;
    if (tower == SC_TOWER_PROJECTOR || *now == SC_TOWER_MAIN) {
        const bool stack = tower == SC_TOWER_ENCODER || tower == SC_TOWER_DECODER;
        if (!stack || r->facts.layer < 0)
            *now = tower;
    }
}

static void read_number(struct reading *r, struct sc_str s)
{
    const int32_t n = number(s);
    if (r->expected == EXPERTS && r->facts.expert < 0)
        r->facts.expert = n;
    else if (r->expected == LAYERS && r->facts.layer < 0 && !r->no_layer)
        r->facts.layer = n;
    r->expected = NOTHING;
}

static void read_word(struct reading *r, struct sc_str s, bool gguf, bool last)
{
    r->expected = NOTHING;
    const struct word *w = find_word(s);
    if (!w) {
        enum sc_role role = guess_role(s, r->context);
        /* The name of the parameter itself says nothing of a module that is known by now, but a
         * bare one, as in "experts.gate_up_proj", can be all there is. */
        if (last && role == SC_ROLE_SSM && r->facts.role != SC_ROLE_OTHER)
            role = SC_ROLE_OTHER;
        if (role != SC_ROLE_OTHER)
            r->facts.role = role;
        return;
    }
    const enum sc_role role = role_in(w, r);
    if (role != SC_ROLE_OTHER)
        r->facts.role = role;
    else if (r->context == SSM && !w->does && !w->tower)
        r->facts.role = SC_ROLE_SSM;
    if (w->tower && (gguf || !w->gguf))
        enter_tower(r, (enum sc_tower)w->tower);
    switch ((enum does)w->does) {
    case NOTHING:
        break;
    case LAYERS:
    case EXPERTS:
        r->expected = (enum does)w->does;
        break;
    case NO_LAYER:
        r->no_layer = true;
        break;
    case ATTN:
    case MLP:
    case SSM:
        r->context = (enum does)w->does;
        break;
    case TOP:
        r->top = true;
        break;
    }
}

/* The word behind s and its dot. */
static struct sc_str next_word(struct sc_str s, const char *end)
{
    const char *p = s.p + s.n + 1, *dot = p;
    while (dot < end && *dot != '.')
        dot++;
    return sc_str(p, (size_t)(dot - p));
}

/* Neighbours share most of their path: what was known behind each dot of the name before is kept,
 * and reading goes on where the names part. */
enum { KEPT = 12 };
struct reader {
    struct sc_str before;
    size_t n;
    size_t at[KEPT];           /* bytes up to and with the dot */
    struct reading past[KEPT]; /* what they say */
};

static struct reading resume(struct reader *k, struct sc_str name, const char **p)
{
    const size_t most = SC_MIN(name.n, k->before.n);
    size_t same = 0;
    while (same < most && name.p[same] == k->before.p[same])
        same++;
    while (k->n > 0 && k->at[k->n - 1] > same)
        k->n--;
    k->before = name;
    *p = name.p + (k->n ? k->at[k->n - 1] : 0);
    return k->n ? k->past[k->n - 1] : (struct reading){.facts = {.layer = -1, .expert = -1}};
}

static struct sc_name_facts read_name(struct reader *k, struct sc_str name, uint64_t config_layers)
{
    const char *p, *end = name.p + name.n;
    struct reading r = resume(k, name, &p);
    struct sc_str s;
    for (;; p = s.p + s.n + 1) {
        const char *dot = p;
        while (dot < end && *dot != '.')
            dot++;
        s = sc_str(p, (size_t)(dot - p));
        const bool first = p == name.p, last = dot == end;
        if (is_number(s))
            read_number(&r, s);
        else if (s.n > 0 && !(last && sc_str_is(s, "weight")))
            read_word(&r, s, first && !last && sc_gguf_tower(s, next_word(s, end)), last);
        if (last)
            break;
        /* What a short first word means depends on the one behind it. */
        if (k->n < KEPT && !(first && s.n <= 3)) {
            k->at[k->n] = (size_t)(dot + 1 - name.p);
            k->past[k->n++] = r;
        }
    }
    /* "dt_bias" is a parameter of its own right. */
    if (sc_str_is(s, "bias") || (sc_str_ends(s, "_bias") && r.facts.role != SC_ROLE_SSM))
        r.facts.role = SC_ROLE_BIAS;
    if (r.facts.tower == SC_TOWER_MAIN && config_layers > 0 && r.facts.layer >= 0 &&
        (uint64_t)r.facts.layer >= config_layers)
        r.facts.tower = SC_TOWER_MTP;
    return r.facts;
}

struct sc_name_facts sc_name_facts(struct sc_str name, uint64_t config_layers)
{
    struct reader k;
    k.before = sc_str("", 0);
    k.n = 0;
    return read_name(&k, name, config_layers);
}

/* What the folder of a component says; MAIN: nothing. */
static enum sc_tower component_tower(const char *component)
{
    static const struct {
        const char *prefix;
        uint8_t tower;
    } known[] = {
        {"unet", SC_TOWER_UNET},         {"prior", SC_TOWER_UNET},
        {"controlnet", SC_TOWER_UNET},   {"vae", SC_TOWER_VAE},
        {"vqvae", SC_TOWER_VAE},         {"movq", SC_TOWER_VAE},
        {"text_encoder", SC_TOWER_TEXT}, {"image_encoder", SC_TOWER_VISION},
        {"vision", SC_TOWER_VISION},     {"safety_checker", SC_TOWER_VISION},
        {"vocoder", SC_TOWER_AUDIO},
    };
    for (size_t i = 0; i < SC_COUNT(known); i++)
        if (strncmp(component, known[i].prefix, strlen(known[i].prefix)) == 0)
            return (enum sc_tower)known[i].tower;
    return SC_TOWER_MAIN;
}

void sc_model_classify(struct sc_model *m)
{
    size_t towers[SC_TOWER_COUNT] = {0};
    struct reader k;
    k.before = sc_str("", 0);
    k.n = 0;
    /* Layers beyond the configured ones are predictors only where it speaks of predictors. */
    const uint64_t layers = m->config.mtp_layers ? m->config.layers : 0;
    const struct sc_file *files = m->catalog->files;
    for (size_t i = 0; i < m->n_tensors; i++) {
        struct sc_tensor *t = &m->tensors[i];
        const char *component = files[m->catalog->entries[t->main].file].component;
        const bool inside = component && component[0];
        const struct sc_name_facts facts =
            read_name(&k, sc_str(t->name, t->name_len), inside ? 0 : layers);
        enum sc_tower tower = inside ? component_tower(component) : SC_TOWER_MAIN;
        if (tower == SC_TOWER_MAIN)
            tower = facts.tower;
        t->role = (uint8_t)facts.role;
        t->tower = (uint8_t)tower;
        t->layer = facts.layer;
        t->expert = facts.expert;
        towers[tower]++;
    }
    /* An encoder without a decoder (BERT), or the reverse (OPT), is simply the model. */
    if ((towers[SC_TOWER_ENCODER] > 0) == (towers[SC_TOWER_DECODER] > 0))
        return;
    for (size_t i = 0; i < m->n_tensors; i++)
        if (m->tensors[i].tower == SC_TOWER_ENCODER || m->tensors[i].tower == SC_TOWER_DECODER)
            m->tensors[i].tower = SC_TOWER_MAIN;
}
