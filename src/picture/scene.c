/* SPDX-License-Identifier: Apache-2.0 */
/* scene: from the plan to places and boxes.
 *
 * What will be a place is a "mark" first: a tensor, or one slice of a stack. Marks are put into the
 * order of reading by three rounds of counting (slot, expert, block), then one walk over them makes
 * boxes and places. */
#include "picture/scene.h"

#include <stdlib.h>
#include <string.h>

#include "picture/scene_parts.h"

struct mark {
    uint32_t item, slice;
    uint32_t expert;    /* SC_NO_PART: none */
    uint32_t container; /* block, or what stands above or below */
};
struct maker {
    const struct scene_parts *p;
    struct sc_scene *s;
    struct mark *marks;
    size_t n_marks;
    size_t boxes_cap;
    bool missing;   /* empty experts get boxes */
    size_t at;      /* the next mark */
    uint32_t tower; /* box of the section at hand */
};

/* ------------------------------------------------------------------------------------ marks --- */
/* Sections one after the other: above, blocks, below. */
static uint32_t find_container(const struct scene_parts *p, const struct scene_item *item)
{
    const struct scene_slot *slot = &p->slots[item->slot];
    const struct scene_section *s = &p->sections[slot->section];
    const uint32_t first = s->first_block + 2 * slot->section;
    if (slot->zone == ZONE_ABOVE)
        return first;
    if (slot->zone == ZONE_BELOW)
        return first + 1 + s->n_blocks;
    return first + 1 + item->block - s->first_block;
}

static uint32_t container_of(const struct scene_parts *p, const struct mark *m)
{
    (void)p;
    return m->container;
}
static uint32_t expert_of(const struct scene_parts *p, const struct mark *m)
{
    (void)p;
    return m->expert + 1; /* none: 0 */
}
static uint32_t slot_of(const struct scene_parts *p, const struct mark *m)
{
    return p->items[m->item].slot;
}

/* A stable sort by a key below `keys`. `spare` takes the result, and the two change places. */
static void sort_marks(struct maker *k, struct mark **spare, uint32_t *count, size_t keys,
                       uint32_t (*key)(const struct scene_parts *, const struct mark *))
{
    memset(count, 0, (keys + 1) * sizeof *count);
    for (size_t i = 0; i < k->n_marks; i++)
        count[key(k->p, &k->marks[i]) + 1]++;
    for (size_t i = 1; i <= keys; i++)
        count[i] += count[i - 1];
    for (size_t i = 0; i < k->n_marks; i++)
        (*spare)[count[key(k->p, &k->marks[i])]++] = k->marks[i];
    struct mark *sorted = *spare;
    *spare = k->marks;
    k->marks = sorted;
}

static int make_marks(struct maker *k, struct sc_error *e)
{
    const struct scene_parts *p = k->p;
    for (size_t i = 0; i < p->n_items; i++)
        k->n_marks +=
            p->slots[p->items[i].slot].stacked ? p->model->tensors[p->items[i].tensor].shape[0] : 1;
    const size_t containers = p->n_blocks + 2 * p->n_sections;
    const size_t keys = SC_MAX(SC_MAX(p->n_slots, p->n_experts + 1), containers);
    struct mark *spare = sc_alloc(k->n_marks * sizeof *spare);
    uint32_t *count = sc_alloc((keys + 1) * sizeof *count);
    k->marks = sc_alloc(k->n_marks * sizeof *k->marks);
    if (!k->marks || !spare || !count) {
        free(spare);
        free(count);
        return sc_fail_memory(e);
    }
    size_t n = 0;
    for (uint32_t i = 0; i < p->n_items; i++) {
        const struct scene_slot *slot = &p->slots[p->items[i].slot];
        const uint32_t container = find_container(p, &p->items[i]);
        if (!slot->stacked) {
            k->marks[n++] = (struct mark){i, 0, p->items[i].expert, container};
            continue;
        }
        const uint32_t slices = (uint32_t)p->model->tensors[p->items[i].tensor].shape[0];
        for (uint32_t slice = 0; slice < slices; slice++)
            k->marks[n++] =
                (struct mark){i, slice, p->groups[slot->group].first_expert + slice, container};
    }
    sort_marks(k, &spare, count, p->n_slots, slot_of);
    sort_marks(k, &spare, count, p->n_experts + 1, expert_of);
    sort_marks(k, &spare, count, containers, container_of);
    free(spare);
    free(count);
    return 0;
}

/* ------------------------------------------------------------------------------------ boxes --- */
static int add_box(struct maker *k, struct sc_scene_box box, uint32_t *id, struct sc_error *e)
{
    struct sc_scene *s = k->s;
    TRY(sc_grow(&s->boxes, &k->boxes_cap, s->n_boxes + 1, sizeof *s->boxes, e));
    *id = (uint32_t)s->n_boxes;
    s->boxes[s->n_boxes++] = box;
    return 0;
}

/* "a", "b" or "a/b" in the arena. */
static int make_label(struct maker *k, struct sc_str a, struct sc_str b, const char **out,
                      struct sc_error *e)
{
    char *text = SC_ARENA_NEW(&k->s->arena, char, a.n + b.n + 2);
    if (!text)
        return sc_fail_memory(e);
    size_t n = a.n;
    memcpy(text, a.p, a.n);
    if (a.n && b.n)
        text[n++] = '/';
    memcpy(text + n, b.p, b.n);
    n += b.n;
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    text[n] = '\0';
    *out = text;
    return 0;
}

static int make_labels(struct maker *k, struct sc_error *e)
{
    for (size_t i = 0; i < k->p->n_sections; i++) {
        struct scene_section *s = &k->p->sections[i];
        s->label = sc_tower_names[s->tower];
        s->block_label = "layers";
        if (s->folder.n || s->prefix.n)
            TRY(make_label(k, s->folder, s->prefix, &s->label, e));
        if (s->prefix.n)
            TRY(make_label(k, SC_STR(""), s->prefix, &s->block_label, e));
    }
    for (size_t i = 0; i < k->p->n_groups; i++) {
        struct scene_group *g = &k->p->groups[i];
        g->label = "experts";
        if (g->name.n)
            TRY(make_label(k, g->name, SC_STR(""), &g->label, e));
    }
    return 0;
}

static int add_tower(struct maker *k, const struct scene_section *s, struct sc_error *e)
{
    struct sc_scene_box box = {.kind = SC_BOX_TOWER,
                               .number = -1,
                               .x = s->x,
                               .y = s->y,
                               .w = s->w,
                               .h = s->h,
                               .label = s->label};
    return add_box(k, box, &k->tower, e);
}

/* Boxes of a group's experts in one block, as far as they are there or missing ones are shown.
 * The marks of the group begin at k->at. */
static int add_experts(struct maker *k, const struct scene_group *g, uint32_t block, int64_t x,
                       int64_t y, struct sc_error *e)
{
    const struct scene_parts *p = k->p;
    uint32_t group, id;
    struct sc_scene_box box = {.kind = SC_BOX_EXPERTS,
                               .number = -1,
                               .parent = block,
                               .x = x,
                               .y = y,
                               .w = g->w,
                               .h = g->h,
                               .label = g->label};
    TRY(add_box(k, box, &group, e));
    box = (struct sc_scene_box){.kind = SC_BOX_EXPERT,
                                .parent = group,
                                .w = g->expert_w,
                                .h = g->expert_h,
                                .label = "expert"};
    size_t at = k->at;
    const uint32_t container = k->marks[at].container;
    for (uint32_t i = 0; i < g->n_experts; i++) {
        const uint32_t expert = g->first_expert + i;
        while (at < k->n_marks && k->marks[at].expert < expert &&
               k->marks[at].container == container)
            at++;
        box.empty = at == k->n_marks || k->marks[at].expert != expert ||
                    k->marks[at].container != container;
        if (box.empty && !k->missing)
            continue;
        sc_scene_cell(i, g->columns, g->expert_w, g->expert_h, SC_SCENE_EXPERT_GAP, &box.x, &box.y);
        box.x += x;
        box.y += y;
        box.number = p->experts[expert].number;
        TRY(add_box(k, box, &id, e));
    }
    return 0;
}

/* ----------------------------------------------------------------------------------- places --- */
static void add_place(struct maker *k, const struct mark *m, uint32_t box, int64_t x, int64_t y)
{
    const struct scene_item *item = &k->p->items[m->item];
    struct scene_slot *slot = &k->p->slots[item->slot];
    struct sc_place *place = &k->s->places[k->s->n_places++];
    *place = *sc_scene_measure(slot, &k->p->model->tensors[item->tensor]);
    place->tensor = item->tensor;
    place->box = box;
    place->x = x + slot->x;
    place->y = y + slot->y;
    place->slice = m->slice;
    k->s->deepest = SC_MAX(k->s->deepest, SC_MAX(place->depth_x, place->depth_y));
}

/* Marks of one container: those without an expert, then expert by expert. */
static int add_places(struct maker *k, uint32_t container, uint32_t box, int64_t x, int64_t y,
                      struct sc_error *e)
{
    const struct scene_parts *p = k->p;
    uint32_t group = SC_NO_PART, expert_box = 0;
    for (; k->at < k->n_marks && k->marks[k->at].container == container; k->at++) {
        const struct mark *m = &k->marks[k->at];
        if (m->expert == SC_NO_PART) {
            add_place(k, m, box, x, y);
            continue;
        }
        const uint32_t its_group = p->experts[m->expert].group;
        const struct scene_group *g = &p->groups[its_group];
        if (its_group != group) {
            group = its_group;
            expert_box = (uint32_t)k->s->n_boxes + 1; /* behind the box of the group */
            TRY(add_experts(k, g, box, x + g->x, y + g->y, e));
        }
        while (k->s->boxes[expert_box].number != p->experts[m->expert].number)
            expert_box++;
        const struct sc_scene_box *b = &k->s->boxes[expert_box];
        add_place(k, m, expert_box, b->x, b->y);
    }
    return 0;
}

static int add_section(struct maker *k, uint32_t i, struct sc_error *e)
{
    const struct scene_parts *p = k->p;
    const struct scene_section *s = &p->sections[i];
    const uint32_t first = s->first_block + 2 * i;
    TRY(add_tower(k, s, e));
    TRY(add_places(k, first, k->tower, s->x, s->y, e));
    for (uint32_t b = 0; b < s->n_blocks; b++) {
        struct sc_scene_box box = {.kind = SC_BOX_BLOCK,
                                   .parent = k->tower,
                                   .number = p->blocks[s->first_block + b].layer,
                                   .w = s->block_w,
                                   .h = s->block_h,
                                   .label = s->block_label};
        uint32_t id;
        sc_scene_cell(b, s->columns, s->block_w, s->block_h, SC_SCENE_BLOCK_GAP, &box.x, &box.y);
        box.x += s->x;
        box.y += s->y + s->grid_y;
        box.empty = k->at == k->n_marks || k->marks[k->at].container != first + 1 + b;
        TRY(add_box(k, box, &id, e));
        TRY(add_places(k, first + 1 + b, id, box.x, box.y, e));
    }
    return add_places(k, first + 1 + s->n_blocks, k->tower, s->x, s->y + s->below_y, e);
}

/* How many boxes experts would have that are not there, at most. */
static uint64_t count_missing(const struct maker *k)
{
    const struct scene_parts *p = k->p;
    uint64_t boxes = 0;
    uint32_t container = SC_NO_PART, group = SC_NO_PART;
    for (size_t i = 0; i < k->n_marks; i++) {
        const struct mark *m = &k->marks[i];
        if (m->expert == SC_NO_PART)
            continue;
        const uint32_t its_container = m->container, its_group = p->experts[m->expert].group;
        if (its_container == container && its_group == group)
            continue;
        container = its_container;
        group = its_group;
        boxes += p->groups[group].n_experts;
    }
    return boxes - SC_MIN(boxes, k->n_marks);
}

/* ------------------------------------------------------------------------------------- all --- */
/* Places of each tensor, in the order of its slices: of marks they come in no other. */
static int list_places(struct sc_scene *s, struct sc_error *e)
{
    const size_t n = s->model->n_tensors;
    s->places_of = SC_ARENA_NEW(&s->arena, uint32_t, n + 2);
    s->list = SC_ARENA_NEW(&s->arena, uint32_t, s->n_places);
    if (!s->places_of || !s->list)
        return sc_fail_memory(e);
    memset(s->places_of, 0, (n + 2) * sizeof *s->places_of);
    for (size_t i = 0; i < s->n_places; i++)
        s->places_of[s->places[i].tensor + 2]++;
    for (size_t i = 2; i < n + 2; i++)
        s->places_of[i] += s->places_of[i - 1];
    for (size_t i = 0; i < s->n_places; i++)
        s->list[s->places_of[s->places[i].tensor + 1]++] = (uint32_t)i;
    return 0;
}

/* What follows from places and size. */
static int finish(struct sc_scene *s, struct sc_error *e)
{
    while ((int64_t)SC_SCENE_TILE << s->top < SC_MAX(s->w, s->h))
        s->top++;
    TRY(list_places(s, e));
    return sc_scene_index(s, e);
}

static int add_whole(struct maker *k, struct sc_error *e)
{
    uint32_t whole;
    const struct sc_scene_box box = {
        .kind = SC_BOX_MODEL, .number = -1, .w = k->s->w, .h = k->s->h, .label = "model"};
    return add_box(k, box, &whole, e);
}

static int make_scene(struct maker *k, struct sc_error *e)
{
    struct sc_scene *s = k->s;
    TRY(make_labels(k, e));
    TRY(make_marks(k, e));
    k->missing = count_missing(k) <= SC_SCENE_MISSING;
    s->places = sc_alloc(k->n_marks * sizeof *s->places);
    if (!s->places)
        return sc_fail_memory(e);
    TRY(add_whole(k, e));
    for (uint32_t i = 0; i < k->p->n_sections; i++)
        TRY(add_section(k, i, e));
    return finish(s, e);
}

int sc_scene_new(const struct sc_model *m, const struct sc_scene_options *o, struct sc_scene **out,
                 struct sc_error *e)
{
    static const struct sc_scene_options plain;
    struct sc_scene *s = sc_calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return sc_fail_memory(e);
    s->model = m;
    struct scene_parts parts = {.model = m, .options = o ? o : &plain, .arena = &s->arena};
    struct maker k = {.p = &parts, .s = s};
    int status = sc_scene_find_parts(&parts, e);
    if (status == 0)
        status = sc_scene_plan(&parts, &s->w, &s->h, e);
    if (status == 0)
        status = make_scene(&k, e);
    free(k.marks);
    sc_scene_clear_parts(&parts);
    if (status < 0) {
        sc_scene_free(s);
        return status;
    }
    *out = s;
    return 0;
}

int sc_scene_of_places(const struct sc_model *m, const struct sc_place *places, size_t n,
                       struct sc_scene **out, struct sc_error *e)
{
    struct sc_scene *s = sc_calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return sc_fail_memory(e);
    struct maker k = {.s = s};
    s->model = m;
    s->places = sc_alloc((n + 1) * sizeof *s->places);
    int status = s->places ? 0 : sc_fail_memory(e);
    for (; status == 0 && s->n_places < n; s->n_places++) {
        const struct sc_place *p = &places[s->n_places];
        s->places[s->n_places] = *p;
        s->w = SC_MAX(s->w, p->x + p->w);
        s->h = SC_MAX(s->h, p->y + p->h);
        s->deepest = SC_MAX(s->deepest, SC_MAX(p->depth_x, p->depth_y));
    }
    if (status == 0)
        status = add_whole(&k, e);
    if (status == 0)
        status = finish(s, e);
    if (status < 0)
        sc_scene_free(s);
    else
        *out = s;
    return status;
}

void sc_scene_free(struct sc_scene *s)
{
    if (!s)
        return;
    free(s->places);
    free(s->boxes);
    sc_arena_clear(&s->arena);
    free(s);
}
