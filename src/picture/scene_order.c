/* SPDX-License-Identifier: Apache-2.0 */
/* scene_order: the order in which one reads a picture.
 *
 * Attention, MLP, norms, others; within them q, k, v, o and gate, up, down; a bias behind its
 * weight; names in natural order. Roles are read from the canonical name, so that the spelling of a
 * container cannot change the order. */
#include <stdlib.h>
#include <string.h>

#include "picture/scene_parts.h"

enum area { AREA_ATTENTION, AREA_MLP, AREA_NORM, AREA_OTHER };

static const uint8_t kinds[SC_ROLE_COUNT] = {
    [SC_ROLE_Q] = 1,     [SC_ROLE_Q_A] = 2,   [SC_ROLE_Q_B] = 3,      [SC_ROLE_K] = 4,
    [SC_ROLE_KV] = 5,    [SC_ROLE_KV_A] = 6,  [SC_ROLE_KV_B] = 7,     [SC_ROLE_V] = 8,
    [SC_ROLE_QKV] = 9,   [SC_ROLE_O] = 10,    [SC_ROLE_GATE] = 11,    [SC_ROLE_UP] = 12,
    [SC_ROLE_DOWN] = 14, [SC_ROLE_CONV] = 16, [SC_ROLE_GATE_UP] = 13, [SC_ROLE_ROUTER] = 15,
    [SC_ROLE_SSM] = 17,  [SC_ROLE_NORM] = 18, [SC_ROLE_OTHER] = 19,
};

static enum area area_of(enum sc_role role, struct sc_str name)
{
    const uint8_t kind = kinds[role];
    if (role == SC_ROLE_NORM)
        return AREA_NORM;
    if (kind >= kinds[SC_ROLE_Q] && kind <= kinds[SC_ROLE_O])
        return AREA_ATTENTION;
    if (kind >= kinds[SC_ROLE_GATE] && kind <= kinds[SC_ROLE_ROUTER])
        return AREA_MLP;
    if (role != SC_ROLE_OTHER)
        return AREA_OTHER;
    if (sc_str_has_nocase(name, SC_STR("attn")) || sc_str_has_nocase(name, SC_STR("attention")))
        return AREA_ATTENTION;
    if (sc_str_has_nocase(name, SC_STR("mlp")) || sc_str_has_nocase(name, SC_STR("ffn")) ||
        sc_str_has_nocase(name, SC_STR("feed_forward")))
        return AREA_MLP;
    return AREA_OTHER;
}

/* What the weight of a module does: its name is completed to that of a tensor. */
static int role_of(struct sc_str module, bool in_layer, enum sc_role *out, struct sc_error *e)
{
    struct sc_buf name = {0};
    sc_buf_puts(&name, in_layer ? "layers.0." : "");
    for (size_t i = 0; i < module.n; i++)
        sc_buf_putc(&name, (char)(module.p[i] == '#' ? '0' : module.p[i]));
    sc_buf_puts(&name, ".weight");
    const bool failed = name.failed;
    *out = failed ? SC_ROLE_OTHER : sc_name_facts(sc_str(name.p, name.n), 0).role;
    sc_buf_clear(&name);
    return failed ? sc_fail_memory(e) : 0;
}

int sc_scene_describe_slot(struct scene_slot *s, bool in_layer, struct sc_error *e)
{
    struct sc_str module = s->name;
    enum sc_role role;
    s->bias = module.n > strlen("_bias") &&
              (sc_str_ends(module, ".bias") || sc_str_ends(module, "_bias"));
    if (s->bias)
        module.n -= strlen(".bias");
    s->module = (uint32_t)module.n;
    TRY(role_of(module, in_layer, &role, e));
    s->area = (uint8_t)area_of(role, module);
    s->kind = kinds[role];
    s->second =
        sc_str_has_nocase(module, SC_STR("cross")) || sc_str_has_nocase(module, SC_STR("shared"));
    if (s->group != SC_NO_PART)
        s->zone = ZONE_EXPERTS;
    else if (in_layer)
        s->zone = ZONE_BLOCK;
    else
        s->zone = role == SC_ROLE_EMBEDDING || role == SC_ROLE_POSITION ||
                          (role != SC_ROLE_OUTPUT && sc_str_has_nocase(module, SC_STR("embed")))
                      ? ZONE_ABOVE
                      : ZONE_BELOW;
    return 0;
}

/* ------------------------------------------------------------------------------- comparing --- */
#define ORDER(a, b)                                                                                \
    do {                                                                                           \
        if ((a) != (b))                                                                            \
            return (a) < (b) ? -1 : 1;                                                             \
    } while (0)
#define ORDER_NAMES(a, b)                                                                          \
    do {                                                                                           \
        const int by_name_ = sc_natural_cmp((a), (b));                                             \
        if (by_name_)                                                                              \
            return by_name_;                                                                       \
    } while (0)

static int compare_sections(const void *x, const void *y)
{
    const struct scene_section *a = x, *b = y;
    ORDER(a->tower, b->tower);
    ORDER_NAMES(a->folder, b->folder);
    ORDER_NAMES(a->prefix, b->prefix);
    return 0;
}

static int compare_groups(const void *x, const void *y)
{
    const struct scene_group *a = x, *b = y;
    ORDER(a->section, b->section);
    ORDER_NAMES(a->name, b->name);
    return 0;
}

static int compare_blocks(const void *x, const void *y)
{
    const struct scene_block *a = x, *b = y;
    ORDER(a->section, b->section);
    ORDER(a->layer, b->layer);
    return 0;
}

static int compare_experts(const void *x, const void *y)
{
    const struct scene_expert *a = x, *b = y;
    ORDER(a->group, b->group);
    ORDER(a->number, b->number);
    return 0;
}

static int compare_slots(const void *x, const void *y)
{
    const struct scene_slot *a = x, *b = y;
    ORDER(a->section, b->section);
    ORDER(a->zone, b->zone);
    ORDER(a->group, b->group);
    ORDER(a->area, b->area);
    ORDER(a->second, b->second);
    ORDER(a->kind, b->kind);
    ORDER_NAMES(sc_str(a->name.p, a->module), sc_str(b->name.p, b->module));
    ORDER(a->bias, b->bias);
    ORDER_NAMES(a->name, b->name);
    ORDER(a->twin, b->twin);
    ORDER(a->stacked, b->stacked);
    return 0;
}

/* --------------------------------------------------------------------------------- ordering --- */
/* Sorts a table and tells where what had an id has gone: new_of[id]. */
static void order(void *table, size_t n, size_t size, size_t id_at,
                  int (*compare)(const void *, const void *), uint32_t *new_of)
{
    bool in_order = true;
    for (size_t i = 1; i < n && in_order; i++)
        in_order = compare((char *)table + (i - 1) * size, (char *)table + i * size) < 0;
    if (!in_order)
        qsort(table, n, size, compare);
    for (size_t i = 0; i < n; i++) {
        uint32_t id;
        memcpy(&id, (char *)table + i * size + id_at, sizeof id);
        new_of[id] = (uint32_t)i;
    }
}

static void order_upper(struct scene_parts *p, uint32_t *new_of)
{
    order(p->sections, p->n_sections, sizeof *p->sections, offsetof(struct scene_section, id),
          compare_sections, new_of);
    for (size_t i = 0; i < p->n_groups; i++)
        p->groups[i].section = new_of[p->groups[i].section];
    for (size_t i = 0; i < p->n_blocks; i++)
        p->blocks[i].section = new_of[p->blocks[i].section];
    for (size_t i = 0; i < p->n_slots; i++)
        p->slots[i].section = new_of[p->slots[i].section];
    order(p->groups, p->n_groups, sizeof *p->groups, offsetof(struct scene_group, id),
          compare_groups, new_of);
    for (size_t i = 0; i < p->n_experts; i++)
        p->experts[i].group = new_of[p->experts[i].group];
    for (size_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].group != SC_NO_PART)
            p->slots[i].group = new_of[p->slots[i].group];
}

static void order_lower(struct scene_parts *p, uint32_t *new_of)
{
    order(p->blocks, p->n_blocks, sizeof *p->blocks, offsetof(struct scene_block, id),
          compare_blocks, new_of);
    for (size_t i = 0; i < p->n_items; i++)
        if (p->items[i].block != SC_NO_PART)
            p->items[i].block = new_of[p->items[i].block];
    order(p->experts, p->n_experts, sizeof *p->experts, offsetof(struct scene_expert, id),
          compare_experts, new_of);
    for (size_t i = 0; i < p->n_items; i++)
        if (p->items[i].expert != SC_NO_PART)
            p->items[i].expert = new_of[p->items[i].expert];
    order(p->slots, p->n_slots, sizeof *p->slots, offsetof(struct scene_slot, id), compare_slots,
          new_of);
    for (size_t i = 0; i < p->n_items; i++)
        p->items[i].slot = new_of[p->items[i].slot];
}

/* Which pieces of the tables belong to whom. */
static void find_ranges(struct scene_parts *p)
{
    uint32_t slot = 0, group = 0, block = 0, expert = 0;
    for (uint32_t i = 0; i < p->n_sections; i++) {
        struct scene_section *s = &p->sections[i];
        for (uint8_t zone = 0; zone < 4; zone++) {
            s->first_slot[zone] = slot;
            while (slot < p->n_slots && p->slots[slot].section == i && p->slots[slot].zone == zone)
                slot++;
        }
        s->first_slot[4] = slot;
        s->first_group = group;
        while (group < p->n_groups && p->groups[group].section == i)
            group++;
        s->n_groups = group - s->first_group;
        s->first_block = block;
        while (block < p->n_blocks && p->blocks[block].section == i)
            block++;
        s->n_blocks = block - s->first_block;
    }
    slot = 0;
    for (uint32_t i = 0; i < p->n_groups; i++) {
        struct scene_group *g = &p->groups[i];
        while (slot < p->n_slots && p->slots[slot].group != i)
            slot++;
        g->first_slot = slot;
        while (slot < p->n_slots && p->slots[slot].group == i)
            slot++;
        g->n_slots = slot - g->first_slot;
        g->first_expert = expert;
        while (expert < p->n_experts && p->experts[expert].group == i)
            expert++;
        g->n_experts = expert - g->first_expert;
    }
}

int sc_scene_order_parts(struct scene_parts *p, struct sc_error *e)
{
    size_t most = SC_MAX(p->n_sections, p->n_groups);
    most = SC_MAX(most, SC_MAX(p->n_blocks, SC_MAX(p->n_experts, p->n_slots)));
    uint32_t *new_of = sc_alloc(most * sizeof *new_of);
    if (!new_of)
        return sc_fail_memory(e);
    order_upper(p, new_of);
    order_lower(p, new_of);
    free(new_of);
    find_ranges(p);
    return 0;
}
