/* SPDX-License-Identifier: Apache-2.0 */
/* scene_names: which tensors are the same tensor of different blocks.
 *
 * The canonical name of a tensor without its tower, layer and expert names a slot; so the name that
 * a container gives it does not matter:
 *
 *     model.layers.3.mlp.experts.17.up_proj.weight  \
 *                                                    >  mlp.experts.#.up_proj   layer 3, expert 17
 *     blk.3.ffn_up_exps.weight, slice 17            /
 *
 * A model has few such names, however many layers and experts: names that differ in these numbers
 * only (a "pattern") are worked out once. Order comes last, when everything is known. */
#include <stdlib.h>
#include <string.h>

#include "picture/scene_parts.h"

/* What a pattern comes to; its key is in the arena. */
struct pattern {
    struct sc_str key;
    uint32_t tensor; /* the first of them */
    uint32_t last;   /* and the latest */
    bool stack;      /* a stack of experts */
    bool twins;      /* two of them may have one layer and expert */
    uint32_t slot;
};
struct finder {
    struct scene_parts *p;
    struct pattern *patterns;
    size_t n_patterns, patterns_cap;
    uint32_t *pattern_of;                                 /* (n_tensors) SC_NO_PART: not drawn */
    struct sc_index by_key, by_name, by_prefix;           /* patterns, slots, sections */
    struct sc_index by_group, by_layer, by_number, taken; /* groups, blocks, experts, items */
    struct sc_arena arena;
    struct sc_buf name;
    char *key; /* of the tensor at hand */
    size_t key_cap;
    uint32_t block, expert; /* of the latest tensor */
};

static const char *folder_of(const struct sc_model *m, const struct sc_tensor *t)
{
    const char *folder = m->catalog->files[m->catalog->entries[t->main].file].component;
    return folder ? folder : "";
}

/* ------------------------------------------------------------------------------- matrices --- */
bool sc_scene_matrix(const struct sc_tensor *t, bool stacked, uint64_t *rows, uint64_t *cols)
{
    const uint64_t *shape = t->shape + (stacked ? 1 : 0);
    const size_t rank = t->rank - (stacked ? 1U : 0U);
    *rows = rank > 1 ? shape[0] : 1;
    if (!sc_product(shape + (rank > 1 ? 1 : 0), rank > 1 ? rank - 1 : rank, cols))
        return false;
    return *rows > 0 && *cols > 0 && (!stacked || t->shape[0] > 0);
}

/* ------------------------------------------------------------------------------- patterns --- */
static bool is_number(struct sc_str s, int32_t wanted)
{
    uint64_t v;
    return wanted >= 0 && sc_str_u64(s, &v) && v == (uint64_t)wanted;
}

/* The words of a name, one after the other; false: there are no more. */
static bool next_word(struct sc_str name, size_t *at, struct sc_str *word)
{
    if (*at > name.n)
        return false;
    const char *p = name.p + *at;
    const char *dot = name.n > *at ? memchr(p, '.', name.n - *at) : NULL; /* "" has no bytes */
    *word = sc_str(p, dot ? (size_t)(dot - p) : name.n - *at);
    *at += word->n + 1;
    return true;
}

/* Whether all experts may stand in one tensor, as far as its shape tells. */
static bool stack_shape(const struct sc_model *m, const struct sc_tensor *t)
{
    if (t->expert >= 0 || t->layer < 0)
        return false;
    return t->rank >= 3 || (t->rank == 2 && t->role == SC_ROLE_BIAS) ||
           (t->rank == 2 && m->config.experts > 1 && t->shape[0] == m->config.experts);
}

/* Whether the digits say `wanted`; *zeros: with zeros in front. */
static bool says(const char *p, size_t n, int32_t wanted, bool *zeros)
{
    if (n == 0 || wanted < 0 || !is_number(sc_str(p, n), wanted))
        return false;
    *zeros |= n > 1 && p[0] == '0';
    return true;
}

/* The name with `#` for its layer and expert, behind everything else that a slot depends on;
 * *zeros: a number begins with a zero, so that another name may have the same. */
static int pattern_key(struct finder *f, const struct sc_tensor *t, struct sc_str *key, bool *zeros,
                       struct sc_error *e)
{
    const struct sc_model *m = f->p->model;
    const bool stack = stack_shape(m, t);
    const char *folder = folder_of(m, t);
    const size_t folder_n = strlen(folder);
    bool layer = t->layer >= 0, expert = t->expert >= 0;
    *zeros = false;
    TRY(sc_grow(&f->key, &f->key_cap, folder_n + t->name_len + 8, 1, e));
    char *out = f->key;
    *out++ = (char)('A' + t->tower);
    *out++ = layer ? 'l' : '-';
    *out++ = expert ? 'e' : '-';
    *out++ = (char)(!stack ? '-' : t->rank >= 3 ? '3' : '2');
    *out++ = stack && m->config.experts > 1 && t->shape[0] == m->config.experts ? 'c' : '-';
    memcpy(out, folder, folder_n);
    out += folder_n;
    *out++ = '/';
    char *word = out;
    for (size_t i = 0; i <= t->name_len; i++) {
        const char c = (char)(i < t->name_len ? t->name[i] : '.');
        if (c != '.') {
            *out++ = c;
            continue;
        }
        bool *what = NULL;
        if (out > word && *word >= '0' && *word <= '9') {
            const size_t n = (size_t)(out - word);
            what = layer && says(word, n, t->layer, zeros)     ? &layer
                   : expert && says(word, n, t->expert, zeros) ? &expert
                                                               : NULL;
        }
        *zeros |= out == word + 1 && *word == '#'; /* as if it were a number */
        if (what) {
            out = word;
            *out++ = '#';
            *what = false;
        }
        *out++ = '.';
        word = out;
    }
    *key = sc_str(f->key, (size_t)(out - f->key));
    return 0;
}

static bool has_word(struct sc_str name, const char *wanted)
{
    struct sc_str word;
    for (size_t at = 0; next_word(name, &at, &word);)
        if (sc_str_is(word, wanted))
            return true;
    return false;
}

/* Whether all experts stand in one tensor, by its canonical name and shape. */
static bool is_stack(struct finder *f, const struct sc_tensor *t)
{
    if (!stack_shape(f->p->model, t))
        return false;
    f->name.n = 0;
    sc_canonical_name(sc_tensor_name(t), &f->name);
    if (has_word(sc_str(f->name.p, f->name.n), "experts"))
        return t->rank >= 3 || t->role == SC_ROLE_BIAS;
    return t->rank >= 3 && f->p->model->config.experts == t->shape[0] && t->shape[0] > 1 &&
           (t->role == SC_ROLE_GATE || t->role == SC_ROLE_UP || t->role == SC_ROLE_DOWN ||
            t->role == SC_ROLE_GATE_UP);
}

static int find_pattern(struct finder *f, uint32_t tensor, uint32_t *out, struct sc_error *e)
{
    const struct sc_tensor *t = &f->p->model->tensors[tensor];
    struct sc_str key;
    bool zeros;
    TRY(pattern_key(f, t, &key, &zeros, e));
    const uint64_t hash = sc_hash(key.p, key.n);
    size_t probe = 0;
    while ((*out = sc_index_next(&f->by_key, hash, &probe)) != UINT32_MAX) {
        struct pattern *x = &f->patterns[*out];
        if (!sc_str_eq(x->key, key))
            continue;
        const struct sc_tensor *last = &f->p->model->tensors[x->last];
        x->twins |= zeros || (last->layer == t->layer && last->expert == t->expert);
        x->last = tensor;
        return 0;
    }
    TRY(sc_grow(&f->patterns, &f->patterns_cap, f->n_patterns + 1, sizeof *f->patterns, e));
    const char *copy = sc_arena_copy(&f->arena, key.p, key.n);
    if (!copy)
        return sc_fail_memory(e);
    f->patterns[f->n_patterns] = (struct pattern){.key = sc_str(copy, key.n),
                                                  .tensor = tensor,
                                                  .last = tensor,
                                                  .stack = is_stack(f, t),
                                                  .twins = zeros};
    *out = (uint32_t)f->n_patterns++;
    return sc_index_put(&f->by_key, hash, *out, e);
}

/* First round: the pattern of every tensor that is drawn, and how many matrices stacks hold. */
static int read_patterns(struct finder *f, struct sc_error *e)
{
    const struct sc_model *m = f->p->model;
    uint64_t slices = 0, rows, cols;
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        f->pattern_of[i] = SC_NO_PART;
        if (!sc_filter_match(f->p->options->filter, sc_tensor_name(t)) ||
            !sc_scene_matrix(t, false, &rows, &cols))
            continue;
        TRY(find_pattern(f, i, &f->pattern_of[i], e));
        if (f->patterns[f->pattern_of[i]].stack)
            slices = sc_add_up(slices, t->shape[0]);
    }
    for (size_t i = 0; slices > SC_SCENE_SLICES && i < f->n_patterns; i++)
        f->patterns[i].stack = false;
    return 0;
}

/* --------------------------------------------------------------------------------- slots --- */
/* A name in three pieces: what its layers are called ("" where they are "layers"), and the rest
 * before and behind the expert. */
struct pieces {
    struct sc_str prefix, rest;
};

static bool is_tower(struct sc_str word)
{
    for (size_t i = 0; i < SC_TOWER_COUNT; i++)
        if (sc_str_is(word, sc_tower_names[i]))
            return true;
    return false;
}

static struct sc_str without_tower(struct sc_str name)
{
    struct sc_str word;
    size_t at = 0;
    if (next_word(name, &at, &word) && at < name.n && is_tower(word))
        return sc_str(name.p + at, name.n - at);
    return name;
}

static struct pieces take_apart(struct sc_str canonical, int32_t layer)
{
    struct sc_str word;
    struct pieces out = {.prefix = {"", 0}, .rest = without_tower(canonical)};
    for (size_t at = 0; layer >= 0 && next_word(canonical, &at, &word);)
        if (is_number(word, layer)) {
            const size_t n = (size_t)(word.p - canonical.p);
            out.prefix = without_tower(sc_str(canonical.p, n ? n - 1 : 0));
            out.rest = at < canonical.n ? sc_str(canonical.p + at, canonical.n - at) : word;
            if (sc_str_is(out.prefix, "layers"))
                out.prefix = sc_str("", 0);
            break;
        }
    if (sc_str_ends(out.rest, ".weight"))
        out.rest.n -= strlen(".weight");
    return out;
}

/* Puts the name of a slot into f->name, `#` in the place of the expert, and tells the length of
 * what stands before it. false: it has none. */
static bool put_slot_name(struct finder *f, struct sc_str rest, int32_t expert, bool stack,
                          size_t *group_n)
{
    struct sc_str word;
    size_t before = 0, behind = 0; /* the piece that `#` replaces */
    bool found = stack;
    for (size_t at = 0; (expert >= 0 || stack) && next_word(rest, &at, &word);) {
        const size_t from = (size_t)(word.p - rest.p);
        if (stack && sc_str_is(word, "experts")) {
            before = behind = SC_MIN(at, rest.n);
            break;
        }
        if (stack) { /* else in front of the last word */
            before = behind = from;
        } else if (is_number(word, expert)) {
            before = from;
            behind = SC_MIN(at, rest.n);
            found = true;
            break;
        }
    }
    f->name.n = 0;
    sc_buf_put(&f->name, rest.p, found ? before : rest.n);
    if (found && before == rest.n)
        sc_buf_putc(&f->name, '.');
    *group_n = f->name.n ? f->name.n - 1 : 0;
    if (found) {
        sc_buf_puts(&f->name, "#.");
        sc_buf_put(&f->name, rest.p + behind, rest.n - behind);
    }
    return found;
}

static int find_section(struct finder *f, uint8_t tower, const char *folder, struct sc_str prefix,
                        uint32_t *out, struct sc_error *e)
{
    struct scene_parts *p = f->p;
    const uint64_t hash = sc_hash_mix(sc_hash_mix(sc_hash(prefix.p, prefix.n), tower),
                                      sc_hash(folder, strlen(folder)));
    size_t probe = 0;
    while ((*out = sc_index_next(&f->by_prefix, hash, &probe)) != UINT32_MAX) {
        const struct scene_section *s = &p->sections[*out];
        if (s->tower == tower && sc_str_is(s->folder, folder) && sc_str_eq(s->prefix, prefix))
            return 0;
    }
    TRY(sc_grow(&p->sections, &p->sections_cap, p->n_sections + 1, sizeof *p->sections, e));
    const char *copy = sc_arena_copy(p->arena, prefix.p, prefix.n);
    if (!copy)
        return sc_fail_memory(e);
    *out = (uint32_t)p->n_sections++;
    p->sections[*out] = (struct scene_section){
        .tower = tower, .folder = sc_strz(folder), .prefix = sc_str(copy, prefix.n), .id = *out};
    return sc_index_put(&f->by_prefix, hash, *out, e);
}

static int find_group(struct finder *f, uint32_t section, struct sc_str name, uint32_t *out,
                      struct sc_error *e)
{
    struct scene_parts *p = f->p;
    const uint64_t hash = sc_hash_mix(sc_hash(name.p, name.n), section);
    size_t probe = 0;
    while ((*out = sc_index_next(&f->by_group, hash, &probe)) != UINT32_MAX)
        if (p->groups[*out].section == section && sc_str_eq(p->groups[*out].name, name))
            return 0;
    TRY(sc_grow(&p->groups, &p->groups_cap, p->n_groups + 1, sizeof *p->groups, e));
    *out = (uint32_t)p->n_groups++;
    p->groups[*out] = (struct scene_group){.section = section, .name = name, .id = *out};
    return sc_index_put(&f->by_group, hash, *out, e);
}

/* The slot as it is described, made when there is none. */
static int find_slot(struct finder *f, const struct scene_slot *wanted, uint32_t *out,
                     struct sc_error *e)
{
    struct scene_parts *p = f->p;
    const uint64_t hash = sc_hash_mix(sc_hash(wanted->name.p, wanted->name.n),
                                      (uint64_t)wanted->section << 33 |
                                          (uint64_t)wanted->stacked << 32 | wanted->twin);
    size_t probe = 0;
    while ((*out = sc_index_next(&f->by_name, hash, &probe)) != UINT32_MAX) {
        const struct scene_slot *s = &p->slots[*out];
        if (s->section == wanted->section && s->stacked == wanted->stacked &&
            s->twin == wanted->twin && s->zone == wanted->zone && sc_str_eq(s->name, wanted->name))
            return 0;
    }
    TRY(sc_grow(&p->slots, &p->slots_cap, p->n_slots + 1, sizeof *p->slots, e));
    *out = (uint32_t)p->n_slots;
    p->slots[p->n_slots] = *wanted;
    p->slots[p->n_slots++].id = *out;
    return sc_index_put(&f->by_name, hash, *out, e);
}

static int make_slot(struct finder *f, const struct sc_tensor *t, bool stack, uint32_t *out,
                     struct sc_error *e)
{
    struct scene_parts *p = f->p;
    struct scene_slot s = {.group = SC_NO_PART, .stacked = stack};
    struct sc_buf canonical = {0};
    sc_canonical_name(sc_tensor_name(t), &canonical);
    const struct pieces in = take_apart(sc_str(canonical.p, canonical.n), t->layer);
    size_t group_n;
    const bool grouped = put_slot_name(f, in.rest, t->layer < 0 ? -1 : t->expert, stack, &group_n);
    const char *name = sc_arena_copy(p->arena, f->name.p, f->name.n);
    int status = canonical.failed || f->name.failed || !name ? sc_fail_memory(e) : 0;
    if (status == 0)
        status = find_section(f, t->tower, folder_of(p->model, t), in.prefix, &s.section, e);
    if (status == 0) {
        s.name = sc_str(name, f->name.n);
        if (grouped)
            status = find_group(f, s.section, sc_str(name, group_n), &s.group, e);
    }
    if (status == 0)
        status = sc_scene_describe_slot(&s, t->layer >= 0, e);
    if (status == 0)
        status = find_slot(f, &s, out, e);
    sc_buf_clear(&canonical);
    return status;
}

/* --------------------------------------------------------------------- blocks and experts --- */
static int find_block(struct finder *f, uint32_t section, int32_t layer, uint32_t *out,
                      struct sc_error *e)
{
    struct scene_parts *p = f->p;
    *out = f->block; /* neighbours are mostly in one block */
    if (*out < p->n_blocks && p->blocks[*out].section == section && p->blocks[*out].layer == layer)
        return 0;
    const uint64_t hash = sc_hash_mix(section, (uint64_t)layer);
    size_t probe = 0;
    while ((*out = sc_index_next(&f->by_layer, hash, &probe)) != UINT32_MAX)
        if (p->blocks[*out].section == section && p->blocks[*out].layer == layer) {
            f->block = *out;
            return 0;
        }
    TRY(sc_grow(&p->blocks, &p->blocks_cap, p->n_blocks + 1, sizeof *p->blocks, e));
    *out = (uint32_t)p->n_blocks++;
    p->blocks[*out] = (struct scene_block){section, layer, *out};
    return sc_index_put(&f->by_layer, hash, *out, e);
}

static int find_expert(struct finder *f, uint32_t group, int32_t number, uint32_t *out,
                       struct sc_error *e)
{
    struct scene_parts *p = f->p;
    *out = f->expert;
    if (*out < p->n_experts && p->experts[*out].group == group && p->experts[*out].number == number)
        return 0;
    const uint64_t hash = sc_hash_mix(group, (uint64_t)number);
    size_t probe = 0;
    while ((*out = sc_index_next(&f->by_number, hash, &probe)) != UINT32_MAX)
        if (p->experts[*out].group == group && p->experts[*out].number == number) {
            f->expert = *out;
            return 0;
        }
    TRY(sc_grow(&p->experts, &p->experts_cap, p->n_experts + 1, sizeof *p->experts, e));
    *out = (uint32_t)p->n_experts++;
    p->experts[*out] = (struct scene_expert){group, number, *out};
    return sc_index_put(&f->by_number, hash, *out, e);
}

/* No two items stand in one place: the second of a name gets a slot of its own. Names are different
 * and so are places, unless several patterns share a slot. */
static int take_place(struct finder *f, struct scene_item *item, struct sc_error *e)
{
    struct scene_item *items = f->p->items;
    if (!f->p->slots[item->slot].shared)
        return 0;
    const uint64_t hash = sc_hash_mix(sc_hash_mix(item->slot, item->block), item->expert);
    size_t probe = 0;
    uint32_t id;
    while ((id = sc_index_next(&f->taken, hash, &probe)) != UINT32_MAX)
        if (items[id].slot == item->slot && items[id].block == item->block &&
            items[id].expert == item->expert)
            break;
    if (id == UINT32_MAX)
        return sc_index_put(&f->taken, hash, (uint32_t)f->p->n_items, e);
    struct scene_slot twin = f->p->slots[item->slot];
    twin.twin = ++items[id].twins;
    return find_slot(f, &twin, &item->slot, e);
}

/* Every pattern has a slot; several may have the same. */
static int make_slots(struct finder *f, struct sc_error *e)
{
    struct scene_parts *p = f->p;
    for (size_t i = 0; i < f->n_patterns; i++) {
        struct pattern *x = &f->patterns[i];
        const size_t before = p->n_slots;
        TRY(make_slot(f, &p->model->tensors[x->tensor], x->stack, &x->slot, e));
        p->slots[x->slot].shared |= x->twins || p->n_slots == before;
    }
    return 0;
}

/* Second round: slot, block and expert of every tensor. */
static int read_items(struct finder *f, struct sc_error *e)
{
    struct scene_parts *p = f->p;
    for (uint32_t i = 0; i < p->model->n_tensors; i++) {
        const struct sc_tensor *t = &p->model->tensors[i];
        if (f->pattern_of[i] == SC_NO_PART)
            continue;
        const struct pattern *x = &f->patterns[f->pattern_of[i]];
        const bool stack = x->stack;
        struct scene_item item = {i, x->slot, SC_NO_PART, SC_NO_PART, 0};
        const uint32_t group = p->slots[item.slot].group;
        if (t->layer >= 0)
            TRY(find_block(f, p->slots[item.slot].section, t->layer, &item.block, e));
        if (group != SC_NO_PART && !stack)
            TRY(find_expert(f, group, t->expert, &item.expert, e));
        if (stack)
            p->groups[group].dense = (uint32_t)SC_MAX(p->groups[group].dense, t->shape[0]);
        TRY(take_place(f, &item, e));
        p->items[p->n_items++] = item;
    }
    return 0;
}

/* ---------------------------------------------------------- what the configuration knows --- */
/* The section whose layers the configuration counts; SC_NO_PART: none. */
static uint32_t main_section(const struct scene_parts *p)
{
    uint32_t found = SC_NO_PART;
    for (uint32_t i = 0; i < p->n_sections; i++) {
        const struct scene_section *s = &p->sections[i];
        if (s->folder.n || s->prefix.n)
            continue;
        if (s->tower == SC_TOWER_MAIN || (s->tower == SC_TOWER_TEXT && found == SC_NO_PART))
            found = i;
    }
    return found;
}

/* Only where some of them are there: a file that holds no layer at all has no plan for one. */
static int add_missing(struct finder *f, struct sc_error *e)
{
    struct scene_parts *p = f->p;
    const uint32_t section = main_section(p);
    uint32_t group = SC_NO_PART, id;
    bool any = false;
    if (section == SC_NO_PART || p->options->filter)
        return 0;
    for (size_t i = 0; i < p->n_blocks && !any; i++)
        any = p->blocks[i].section == section;
    for (uint64_t i = 0; any && i < p->model->config.layers; i++)
        TRY(find_block(f, section, (int32_t)i, &id, e));
    for (uint32_t i = 0; i < p->n_groups; i++)
        if (p->groups[i].section == section)
            group = group == SC_NO_PART ? i : SC_NO_PART - 1;
    if (group < SC_NO_PART - 1)
        p->groups[group].dense = (uint32_t)SC_MAX(p->groups[group].dense, p->model->config.experts);
    return 0;
}

/* ----------------------------------------------------------------------------------- all --- */
static int find_parts(struct finder *f, struct sc_error *e)
{
    struct scene_parts *p = f->p;
    const size_t n = p->model->n_tensors;
    f->pattern_of = sc_alloc(n * sizeof *f->pattern_of);
    p->items = sc_alloc(n * sizeof *p->items);
    if (!f->pattern_of || !p->items)
        return sc_fail_memory(e);
    TRY(read_patterns(f, e));
    TRY(make_slots(f, e));
    TRY(read_items(f, e));
    TRY(add_missing(f, e));
    for (uint32_t g = 0; g < p->n_groups; g++) {
        uint32_t id;
        for (uint32_t i = 0; i < p->groups[g].dense; i++)
            TRY(find_expert(f, g, (int32_t)i, &id, e));
    }
    return sc_scene_order_parts(p, e);
}

int sc_scene_find_parts(struct scene_parts *p, struct sc_error *e)
{
    struct finder f = {.p = p};
    const int status = find_parts(&f, e);
    free(f.patterns);
    free(f.pattern_of);
    sc_index_clear(&f.by_key);
    sc_index_clear(&f.by_name);
    sc_index_clear(&f.by_prefix);
    sc_index_clear(&f.by_group);
    sc_index_clear(&f.by_layer);
    sc_index_clear(&f.by_number);
    sc_index_clear(&f.taken);
    sc_arena_clear(&f.arena);
    free(f.key);
    sc_buf_clear(&f.name);
    return status;
}

void sc_scene_clear_parts(struct scene_parts *p)
{
    free(p->slots);
    free(p->sections);
    free(p->groups);
    free(p->blocks);
    free(p->experts);
    free(p->items);
}
