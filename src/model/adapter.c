/* SPDX-License-Identifier: Apache-2.0 */
/* adapter: the tensors of a low-rank adapter, put together by their names.
 *
 *     base_model.model.layers.0.q_proj.lora_A.weight           PEFT: down
 *     base_model.model.layers.0.q_proj.lora_B.default.weight   up; the adapter's name may follow
 *     base_model.model.embed_tokens.lora_embedding_A           rank x vocabulary: transposed
 *     base_model.model.layers.0.q_proj.lora_magnitude_vector   of DoRA
 *     base_model.model.lm_head.modules_to_save.weight          a whole weight
 *     lora_unet_mid_block_attentions_0_proj_in.lora_down.weight, .lora_up.weight, .alpha   kohya */
#include "model/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PEFT_ALPHA 8.0 /* where lora_alpha is not in the file */

const char *const sc_adapter_kind_names[] = {"peft", "kohya"};

/* ----------------------------------------------------------------------------------- names --- */
enum what { WHAT_UP, WHAT_DOWN, WHAT_ALPHA, WHAT_MAGNITUDE, WHAT_WHOLE, WHAT_LEFT };

struct read_name {
    struct sc_str module;
    enum what what;
    bool embedding, kohya;
};

static const struct marker {
    const char *text;
    enum what what;
    bool embedding, kohya;
    bool weight; /* ".weight" is the end of the name */
} markers[] = {
    {".lora_A.", WHAT_DOWN, false, false, true},
    {".lora_B.", WHAT_UP, false, false, true},
    {".lora_embedding_A", WHAT_DOWN, true, false, false},
    {".lora_embedding_B", WHAT_UP, true, false, false},
    {".lora_magnitude_vector", WHAT_MAGNITUDE, false, false, false},
    {".lora_down.", WHAT_DOWN, false, true, true},
    {".lora_up.", WHAT_UP, false, true, true},
    {".lora.down.", WHAT_DOWN, false, true, true},
    {".lora.up.", WHAT_UP, false, true, true},
};

/* Where `text` stands in s, or s.n. */
static size_t find(struct sc_str s, const char *text)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, text, n) == 0)
            return i;
    return s.n;
}

static struct sc_str without_prefix(struct sc_str name)
{
    static const char *const wrappers[] = {"base_model.model.", "base_model."};
    for (size_t i = 0; i < SC_COUNT(wrappers); i++)
        if (sc_str_starts(name, wrappers[i])) {
            const size_t n = strlen(wrappers[i]);
            return sc_str(name.p + n, name.n - n);
        }
    return name;
}

static struct read_name read_name(struct sc_str name)
{
    struct read_name r = {.what = WHAT_WHOLE};
    for (size_t i = 0; i < SC_COUNT(markers); i++) {
        const struct marker *m = &markers[i];
        const size_t at = find(name, m->text);
        if (at == name.n)
            continue;
        r.module = without_prefix(sc_str(name.p, at));
        r.embedding = m->embedding;
        r.kohya = m->kohya;
        r.what = !m->weight || sc_str_ends(name, ".weight") ? m->what : WHAT_LEFT;
        return r;
    }
    if (sc_str_ends(name, ".alpha")) {
        r.module = sc_str(name.p, name.n - strlen(".alpha"));
        r.what = WHAT_ALPHA;
        r.kohya = true;
    }
    return r;
}

/* "lm_head.modules_to_save.default.weight" -> "lm_head.weight" */
static struct sc_str whole_name(struct sc_arena *arena, struct sc_str name)
{
    static const char *const inside[] = {".modules_to_save.default.", ".modules_to_save.",
                                         ".base_layer."};
    name = without_prefix(name);
    for (size_t i = 0; i < SC_COUNT(inside); i++) {
        const size_t at = find(name, inside[i]), n = strlen(inside[i]);
        if (at == name.n)
            continue;
        char *p = sc_arena_copy(arena, name.p, name.n);
        if (!p)
            return sc_str(NULL, 0);
        memmove(p + at + 1, p + at + n, name.n - at - n + 1);
        return sc_str(p, name.n - n + 1);
    }
    return name;
}

/* -------------------------------------------------------------------------------- grouping --- */
struct named {
    struct read_name is;
    uint32_t tensor;
};

struct building {
    struct sc_adapter *a;
    struct named *named; /* (n) by module */
    size_t n;
    struct sc_filter **patterns; /* (model->adapter.n_alphas) NULL: compared as it is */
    struct sc_buf text;
    bool odd_pattern;
};

static int by_module(const void *x, const void *y)
{
    const struct named *a = x, *b = y;
    const int order = sc_str_cmp(a->is.module, b->is.module);
    if (order)
        return order;
    if (a->is.embedding != b->is.embedding)
        return a->is.embedding ? 1 : -1;
    return a->tensor < b->tensor ? -1 : a->tensor > b->tensor;
}

static void leave(struct sc_adapter *a, uint32_t tensor, const char *why)
{
    if (tensor != SC_NO_NODE)
        a->left[a->n_left++] = (struct sc_adapter_left){tensor, why};
}

/* Dimensions that an update has: those of up and down that are not the rank. */
static bool set_shape(const struct sc_model *m, struct sc_update *u)
{
    const struct sc_tensor *up = &m->tensors[u->up], *down = &m->tensors[u->down];
    uint64_t values;
    if (up->rank < 2 || down->rank < 2 || up->parameters == 0 || down->parameters == 0)
        return false;
    u->rank = down->shape[0];
    u->rows = up->shape[0];
    u->cols = down->parameters / u->rank;
    return sc_mul(u->rows, u->rank, &values) && values == up->parameters &&
           up->shape[1] == u->rank && sc_mul(u->rows, u->cols, &values);
}

/* The same as PEFT does: a pattern is searched at the end of the module's name, from a dot on. */
static bool pattern_fits(const struct building *b, size_t i, struct sc_str module)
{
    struct sc_str key = sc_strz(b->a->model->adapter.alphas[i].key);
    if (b->patterns[i])
        return sc_filter_match(b->patterns[i], module);
    if (key.n && key.p[0] == '^')
        return sc_str_eq(sc_str(key.p + 1, key.n - 1), module);
    return module.n >= key.n && sc_str_eq(key, sc_str(module.p + module.n - key.n, key.n)) &&
           (module.n == key.n || module.p[module.n - key.n - 1] == '.');
}

static double alpha_of(const struct building *b, struct sc_str module, uint64_t rank)
{
    const struct sc_adapter_facts *f = &b->a->model->adapter;
    for (size_t i = 0; i < f->n_alphas; i++)
        if (pattern_fits(b, i, module))
            return f->alphas[i].alpha;
    return !f->there ? (double)rank : isnan(f->alpha) ? PEFT_ALPHA : f->alpha;
}

void sc_adapter_set_alpha(struct sc_adapter *a, size_t update, double alpha)
{
    struct sc_update *u = &a->updates[update];
    const double rank = (double)u->rank;
    u->alpha = alpha;
    u->scale = alpha / (a->model->adapter.rank_stabilised ? sqrt(rank) : rank);
}

static int add_target(struct building *b, const struct sc_tensor *like, struct sc_str name,
                      const uint64_t *shape, size_t rank, uint64_t bytes, struct sc_error *e)
{
    struct sc_model *m = &b->a->target;
    struct sc_tensor *t = &m->tensors[m->n_tensors];
    uint64_t *dims = SC_ARENA_NEW(&b->a->arena, uint64_t, SC_MAX(rank, (size_t)1));
    char *text = sc_arena_copy(&b->a->arena, name.p, name.n);
    const struct sc_name_facts f = sc_name_facts(name, 0);
    if (!dims || !text)
        return sc_fail_memory(e);
    if (rank)
        memcpy(dims, shape, rank * sizeof *dims);
    *t = *like;
    t->name = text;
    t->name_len = (uint32_t)name.n;
    t->shape = dims;
    t->rank = (uint8_t)rank;
    t->bytes = bytes;
    t->role = (uint8_t)f.role;
    t->tower = (uint8_t)f.tower;
    t->layer = f.layer;
    t->expert = f.expert;
    if (!sc_product(dims, rank, &t->parameters))
        t->parameters = UINT64_MAX;
    m->n_tensors++;
    m->bytes = sc_add_up(m->bytes, bytes);
    m->parameters = sc_add_up(m->parameters, t->parameters);
    return 0;
}

static int add_update(struct building *b, const struct named *first, const struct sc_update *found,
                      struct sc_error *e)
{
    const struct sc_model *m = b->a->model;
    const struct sc_tensor *up = &m->tensors[found->up], *down = &m->tensors[found->down];
    uint64_t shape[SC_MAX_RANK] = {found->rows};
    size_t rank = down->rank;
    struct sc_update *u = &b->a->updates[b->a->n_updates];
    *u = *found;
    u->transposed = first->is.embedding || (!first->is.kohya && m->adapter.fan_in_fan_out);
    memcpy(shape + 1, down->shape + 1, (rank - 1) * sizeof *shape);
    if (u->transposed) {
        shape[0] = u->cols;
        shape[1] = u->rows;
        u->rows = shape[0];
        u->cols = shape[1];
        rank = 2;
    }
    u->alpha = u->scale = (double)NAN;
    if (u->alpha_at == SC_NO_NODE)
        sc_adapter_set_alpha(b->a, b->a->n_updates,
                             first->is.kohya ? (double)u->rank
                                             : alpha_of(b, first->is.module, u->rank));
    b->text.n = 0;
    sc_buf_put(&b->text, first->is.module.p, first->is.module.n);
    sc_buf_puts(&b->text, ".weight");
    if (b->text.failed)
        return sc_fail_memory(e);
    TRY(add_target(b, up, sc_str(b->text.p, b->text.n), shape, rank,
                   sc_add_up(up->bytes, down->bytes), e));
    b->a->n_updates++;
    b->a->n_magnitudes += u->magnitude != SC_NO_NODE;
    return 0;
}

/* All tensors of one module. */
static int add_module(struct building *b, const struct named *p, size_t n, struct sc_error *e)
{
    static const char again[] = "there is another one for the same weight";
    struct sc_update u = {SC_NO_NODE, SC_NO_NODE, SC_NO_NODE, SC_NO_NODE, 0, 0, 0, 0, 0, false};
    for (size_t i = 0; i < n; i++) {
        uint32_t *const places[] = {
            [WHAT_UP] = &u.up,
            [WHAT_DOWN] = &u.down,
            [WHAT_ALPHA] = &u.alpha_at,
            [WHAT_MAGNITUDE] = &u.magnitude,
        };
        if (p[i].is.what == WHAT_LEFT)
            leave(b->a, p[i].tensor, "biases of updates are not applied");
        else if (*places[p[i].is.what] != SC_NO_NODE)
            leave(b->a, p[i].tensor, again);
        else
            *places[p[i].is.what] = p[i].tensor;
    }
    if (u.up != SC_NO_NODE && u.down != SC_NO_NODE && set_shape(b->a->model, &u))
        return add_update(b, p, &u, e);
    const bool both = u.up != SC_NO_NODE && u.down != SC_NO_NODE;
    const char *why = both ? "the two factors cannot be multiplied" : "its other factor is missing";
    leave(b->a, u.up, why);
    leave(b->a, u.down, why);
    leave(b->a, u.alpha_at, "there is no update that it belongs to");
    leave(b->a, u.magnitude, "there is no update that it belongs to");
    return 0;
}

/* ------------------------------------------------------------------------------------ whole --- */
static bool is_expression(const char *key)
{
    return strpbrk(key, "*+?[](){}|\\$") != NULL;
}

static int make_patterns(struct building *b, struct sc_error *e)
{
    const struct sc_adapter_facts *f = &b->a->model->adapter;
    b->patterns = sc_calloc(f->n_alphas + 1, sizeof(struct sc_filter *));
    if (!b->patterns)
        return sc_fail_memory(e);
    for (size_t i = 0; i < f->n_alphas; i++) {
        const char *key = f->alphas[i].key;
        if (!is_expression(key))
            continue;
        b->text.n = 0;
        sc_buf_printf(&b->text, "re:^(.*\\.)?(%s)$", key + (key[0] == '^'));
        if (b->text.failed)
            return sc_fail_memory(e);
        const char *const words[] = {b->text.p};
        const int code = sc_filter_new(words, 1, &b->patterns[i], e);
        if (code == SCRUPLE_EMEMORY)
            return code;
        b->odd_pattern = b->odd_pattern || code < 0;
    }
    return 0;
}

static int make_note(struct building *b, struct sc_error *e)
{
    struct sc_adapter *a = b->a;
    const struct sc_adapter_facts *f = &a->model->adapter;
    struct sc_buf t = {0};
    if (a->n_magnitudes || f->dora)
        sc_buf_puts(&t, "DoRA's magnitudes are not applied: updates are scale B A alone");
    if (a->kind == SC_ADAPTER_PEFT && !f->there)
        sc_buf_printf(&t, "%sthere is no adapter_config.json: updates are taken as B A, unscaled",
                      t.n ? "; " : "");
    if (b->odd_pattern)
        sc_buf_printf(&t,
                      "%sa key of alpha_pattern is no regular expression of POSIX and was "
                      "compared as plain text",
                      t.n ? "; " : "");
    for (size_t i = 0; i < a->n_updates && f->rank && !f->n_ranks; i++)
        if (a->updates[i].rank != f->rank) {
            sc_buf_printf(&t,
                          "%sadapter_config.json says r = %llu, but there are factors of rank "
                          "%llu, which counts",
                          t.n ? "; " : "", (unsigned long long)f->rank,
                          (unsigned long long)a->updates[i].rank);
            break;
        }
    if (t.n)
        a->note = t.failed ? NULL : sc_arena_copy(&a->arena, t.p, t.n);
    const bool failed = t.failed || (t.n && !a->note);
    sc_buf_clear(&t);
    return failed ? sc_fail_memory(e) : 0;
}

static int build(struct building *b, struct sc_error *e)
{
    struct sc_adapter *a = b->a;
    const struct sc_model *m = a->model;
    TRY(make_patterns(b, e));
    if (b->n)
        qsort(b->named, b->n, sizeof *b->named, by_module);
    for (size_t i = 0, end; i < b->n; i = end) {
        for (end = i + 1; end < b->n && sc_str_eq(b->named[end].is.module, b->named[i].is.module) &&
                          b->named[end].is.embedding == b->named[i].is.embedding;)
            end++;
        TRY(add_module(b, b->named + i, end - i, e));
    }
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        if (read_name(sc_tensor_name(t)).what != WHAT_WHOLE)
            continue;
        const struct sc_str name = whole_name(&a->arena, sc_tensor_name(t));
        if (!name.p)
            return sc_fail_memory(e);
        TRY(add_target(b, t, name, t->shape, t->rank, t->bytes, e));
        a->whole[a->n_whole++] = i;
    }
    return make_note(b, e);
}

/* Whether the names are those of an adapter, and which kind. */
static bool recognise(struct building *b)
{
    const struct sc_model *m = b->a->model;
    size_t ups = 0, kohya = 0;
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct read_name r = read_name(sc_tensor_name(&m->tensors[i]));
        if (r.what == WHAT_WHOLE)
            continue;
        ups += r.what == WHAT_UP || r.what == WHAT_DOWN;
        kohya += r.kohya;
        b->named[b->n++] = (struct named){r, i};
    }
    b->a->kind = 2 * kohya > b->n ? SC_ADAPTER_KOHYA : SC_ADAPTER_PEFT;
    return ups > 0;
}

int sc_adapter_open(const struct sc_model *m, struct sc_adapter **out, struct sc_error *e)
{
    const size_t most = SC_MAX(m->n_tensors, (size_t)1);
    struct building b = {.a = sc_calloc(1, sizeof *b.a), .named = sc_alloc(most * sizeof *b.named)};
    struct sc_adapter *a = b.a;
    int code = 0;
    *out = NULL;
    if (a) {
        a->model = m;
        a->target =
            (struct sc_model){.catalog = m->catalog, .label = m->label, .origin = m->origin};
        a->target.tensors = sc_alloc(most * sizeof *a->target.tensors);
        a->updates = sc_alloc(most * sizeof *a->updates);
        a->whole = sc_alloc(most * sizeof *a->whole);
        a->left = sc_alloc(most * sizeof *a->left);
    }
    if (!a || !b.named || !a->target.tensors || !a->updates || !a->whole || !a->left)
        code = sc_fail_memory(e);
    bool found = code == 0 && recognise(&b);
    if (found)
        code = build(&b, e);
    for (size_t i = 0; b.patterns && i < m->adapter.n_alphas; i++)
        sc_filter_free(b.patterns[i]);
    free(b.patterns);
    free(b.named);
    sc_buf_clear(&b.text);
    if (code < 0 || !found)
        sc_adapter_free(a);
    else
        *out = a;
    return code < 0 ? code : found;
}

void sc_adapter_free(struct sc_adapter *a)
{
    if (!a)
        return;
    free(a->target.tensors);
    free(a->updates);
    free(a->whole);
    free(a->left);
    sc_arena_clear(&a->arena);
    free(a);
}

/* ------------------------------------------------------------------------- kohya's names --- */
struct flat_name {
    struct sc_str flat; /* underscores for dots */
    uint32_t tensor;
};

static int by_flat(const void *x, const void *y)
{
    const struct flat_name *a = x, *b = y;
    const int order = sc_str_cmp(a->flat, b->flat);
    return order ? order : a->tensor < b->tensor ? -1 : a->tensor > b->tensor;
}

/* The one tensor of that name, or SC_NO_NODE. */
static uint32_t find_flat(const struct flat_name *all, size_t n, struct sc_str name)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sc_str_cmp(all[middle].flat, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == n || !sc_str_eq(all[low].flat, name) ||
        (low + 1 < n && sc_str_eq(all[low + 1].flat, name)))
        return SC_NO_NODE;
    return all[low].tensor;
}

/* Weights of base without their first `drop` words. */
static size_t flatten(const struct sc_model *base, unsigned drop, struct sc_arena *arena,
                      struct flat_name *out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < base->n_tensors; i++) {
        struct sc_str s = sc_tensor_name(&base->tensors[i]);
        if (!sc_str_ends(s, ".weight"))
            continue;
        s.n -= strlen(".weight");
        for (unsigned k = 0; k < drop; k++) {
            const char *dot = s.n ? memchr(s.p, '.', s.n) : NULL;
            s = dot ? sc_str(dot + 1, s.n - (size_t)(dot + 1 - s.p)) : sc_str(s.p, 0);
        }
        char *p = s.n ? sc_arena_copy(arena, s.p, s.n) : NULL;
        if (!s.n)
            continue;
        if (!p)
            return SIZE_MAX;
        for (size_t k = 0; k < s.n; k++)
            p[k] = (char)(p[k] == '.' ? '_' : p[k]);
        out[n++] = (struct flat_name){sc_str(p, s.n), i};
    }
    if (n)
        qsort(out, n, sizeof *out, by_flat);
    return n;
}

/* "lora_te2_x" is "text_encoder_2_x" of a pipeline, or "x" of a model by itself. */
static void spell(struct sc_str name, bool component, struct sc_buf *out)
{
    static const char *const parts[][2] = {
        {"lora_unet_", "unet_"},          {"lora_transformer_", "transformer_"},
        {"lora_te_", "text_encoder_"},    {"lora_te1_", "text_encoder_"},
        {"lora_te2_", "text_encoder_2_"}, {"lora_te3_", "text_encoder_3_"},
    };
    out->n = 0;
    name.n -= sc_str_ends(name, ".weight") ? strlen(".weight") : 0;
    for (size_t i = 0; i < SC_COUNT(parts); i++)
        if (sc_str_starts(name, parts[i][0])) {
            const size_t n = strlen(parts[i][0]);
            if (component)
                sc_buf_puts(out, parts[i][1]);
            name = sc_str(name.p + n, name.n - n);
            break;
        }
    for (size_t i = 0; i < name.n; i++)
        sc_buf_putc(out, (char)(name.p[i] == '.' ? '_' : name.p[i]));
}

int sc_adapter_settle_names(struct sc_adapter *a, const struct sc_model *base, struct sc_error *e)
{
    static const struct {
        bool component;
        unsigned drop;
    } tries[] = {{true, 0}, {false, 0}, {false, 1}, {false, 2}};
    struct flat_name *all = sc_alloc(SC_MAX(base->n_tensors, (size_t)1) * sizeof *all);
    bool *settled = sc_calloc(a->n_updates + 1, sizeof *settled);
    struct sc_arena arena = {0};
    struct sc_buf spelled = {0};
    int code = all && settled ? 0 : sc_fail_memory(e);
    for (size_t k = 0; a->kind == SC_ADAPTER_KOHYA && code == 0 && k < SC_COUNT(tries); k++) {
        const size_t n = flatten(base, tries[k].drop, &arena, all);
        for (size_t i = 0; n != SIZE_MAX && i < a->n_updates; i++) {
            struct sc_tensor *t = &a->target.tensors[i];
            if (settled[i])
                continue;
            spell(sc_tensor_name(t), tries[k].component, &spelled);
            const uint32_t found =
                spelled.n ? find_flat(all, n, sc_str(spelled.p, spelled.n)) : SC_NO_NODE;
            if (found == SC_NO_NODE)
                continue;
            const struct sc_tensor *b = &base->tensors[found];
            char *name = sc_arena_copy(&a->arena, b->name, b->name_len);
            if (!name) {
                code = sc_fail_memory(e);
                break;
            }
            settled[i] = true;
            t->name = name;
            t->name_len = b->name_len;
            t->role = b->role;
            t->tower = b->tower;
            t->layer = b->layer;
            t->expert = b->expert;
        }
        if (n == SIZE_MAX || spelled.failed)
            code = sc_fail_memory(e);
    }
    sc_arena_clear(&arena);
    sc_buf_clear(&spelled);
    free(all);
    free(settled);
    return code;
}

/* ----------------------------------------------------------------------------------- pairs --- */

int sc_adapter_pair(const struct sc_adapter *a, const struct sc_model *base,
                    const struct sc_filter *filter, struct sc_pairs *out, struct sc_error *e)
{
    const struct sc_model *t = &a->target;

    if (base)
        return sc_models_pair(base, t, filter, out, e);
    *out = (struct sc_pairs){0};
    out->p = sc_calloc(SC_MAX(t->n_tensors, (size_t)1), sizeof *out->p);
    if (!out->p)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < t->n_tensors; i++) {
        const bool update = i < a->n_updates;
        const uint8_t status = update ? SC_PAIR_BOTH : SC_PAIR_ONLY_B;
        if (!sc_filter_match(filter, sc_tensor_name(&t->tensors[i])))
            continue;
        out->p[out->n++] = (struct sc_pair){
            .a = update ? i : SC_NO_NODE, .b = i, .status = status, .rule = SC_PAIR_BY_NAME};
        out->n_status[status]++;
    }
    return 0;
}
