/* SPDX-License-Identifier: Apache-2.0 */
/* scene_parts: what the files of the scene share.
 *
 *     tensors --scene_names--> slots, blocks, experts --scene_plan--> where they stand
 *             --scene--> places and boxes --scene_look--> which of them are in sight */
#ifndef SC_PICTURE_SCENE_PARTS_H
#define SC_PICTURE_SCENE_PARTS_H

#include "picture/scene.h"

#define SC_NO_PART UINT32_MAX

/* Where a slot stands in its section, in the order in which its places are listed. */
enum scene_zone { ZONE_ABOVE, ZONE_BLOCK, ZONE_EXPERTS, ZONE_BELOW };

/* The same tensor of every block of a section, or of every expert of them: one place in the plan.
 */
struct scene_slot {
    struct sc_str name; /* canonical, without tower, layer and ".weight"; `#` for the expert:
                           "self_attn.q_proj", "mlp.experts.#.up_proj" */
    uint32_t section;
    uint32_t group;       /* of experts; SC_NO_PART: none */
    uint32_t twin;        /* several tensors of a block may come to have one name: 0, 1, ... */
    bool stacked;         /* one tensor holds all experts */
    uint8_t zone;         /* enum scene_zone */
    uint8_t area;         /* attention, MLP, norms, others */
    uint8_t kind;         /* order within */
    uint8_t second;       /* cross attention, shared experts */
    uint8_t bias;         /* behind its weight */
    uint32_t module;      /* length of the module's name */
    uint32_t id;          /* when found; afterwards the table is in order */
    bool shared;          /* several names may lead here with one layer and expert */
    uint32_t w, h;        /* units: the largest of all blocks */
    struct sc_place like; /* the last that was measured: most of a slot are alike */
    int64_t x, y;         /* within the block, the expert, or what stands above or below */
};
/* A stack of layers, and what belongs to it without being in a layer. */
struct scene_section {
    uint8_t tower; /* enum sc_tower */
    const char *label, *block_label;
    struct sc_str folder; /* component of a pipeline */
    struct sc_str prefix; /* what its layers are called, where that is not "layers" */
    uint32_t id;
    uint32_t first_slot[5]; /* of each zone; the last: behind all */
    uint32_t first_group, n_groups;
    uint32_t first_block, n_blocks;
    int64_t zone_w[4], zone_h[4]; /* ABOVE, BLOCK (slots of its own only), -, BELOW */
    int64_t block_w, block_h;     /* all of it */
    uint32_t columns;             /* of blocks */
    int64_t x, y, grid_y, below_y, w, h;
};
/* Experts of a block that are told apart by one number: "mlp.experts". */
struct scene_group {
    uint32_t section, id;
    struct sc_str name; /* of slots, up to the number */
    const char *label;
    uint32_t dense; /* numbers 0 to dense - 1, from stacks and the configuration; */
    uint32_t first_expert, n_experts; /* of all blocks, by number */
    uint32_t first_slot, n_slots;
    int64_t expert_w, expert_h;
    uint32_t columns;
    int64_t x, y, w, h; /* within the block */
};
struct scene_block {
    uint32_t section;
    int32_t layer;
    uint32_t id;
};
struct scene_expert {
    uint32_t group;
    int32_t number;
    uint32_t id;
};
/* A tensor that is drawn. */
struct scene_item {
    uint32_t tensor, slot;
    uint32_t block;  /* SC_NO_PART: above or below */
    uint32_t expert; /* SC_NO_PART: none, or all */
    uint32_t twins;  /* of the first of several that come to have one name: how many more */
};
struct scene_parts {
    const struct sc_model *model;
    const struct sc_scene_options *options;
    struct sc_arena *arena; /* of the scene: names */
    struct scene_slot *slots;
    struct scene_section *sections;
    struct scene_group *groups;
    struct scene_block *blocks;
    struct scene_expert *experts;
    struct scene_item *items; /* in the order of tensors */
    size_t n_slots, n_sections, n_groups, n_blocks, n_experts, n_items;
    size_t slots_cap, sections_cap, groups_cap, blocks_cap, experts_cap;
};

/* scene_names.c: fills all but places. Tables come in order: sections by tower, blocks by section
 * and layer, groups by section and name, experts by group and number, slots in the order of
 * reading; items refer to that order. */
int sc_scene_find_parts(struct scene_parts *p, struct sc_error *e);
void sc_scene_clear_parts(struct scene_parts *p);
/* rows and columns of one place; false: nothing to draw, or more than there can be. */
bool sc_scene_matrix(const struct sc_tensor *t, bool stacked, uint64_t *rows, uint64_t *cols);

/* scene_order.c */
/* zone, area, kind, second, bias and module, by its name and group. */
int sc_scene_describe_slot(struct scene_slot *s, bool in_layer, struct sc_error *e);
/* Puts all tables into order, makes ids follow, fills the ranges of sections and groups. */
int sc_scene_order_parts(struct scene_parts *p, struct sc_error *e);

/* scene_plan.c */
/* The size of a tensor's place in its slot: rows, cols, w, h and depths. */
const struct sc_place *sc_scene_measure(struct scene_slot *s, const struct sc_tensor *t);
/* Places for slots, sizes of everything; *w, *h: of the whole. */
int sc_scene_plan(struct scene_parts *p, int64_t *w, int64_t *h, struct sc_error *e);
/* Corner of cell i of a grid. */
static inline void sc_scene_cell(uint32_t i, uint32_t columns, int64_t w, int64_t h, int64_t gap,
                                 int64_t *x, int64_t *y);
/* The next x or y behind something that ends at `end`. */
static inline int64_t sc_scene_behind(int64_t end, int64_t gap)
{
    return (end + gap + SC_SCENE_ALIGN - 1) / SC_SCENE_ALIGN * SC_SCENE_ALIGN;
}
static inline void sc_scene_cell(uint32_t i, uint32_t columns, int64_t w, int64_t h, int64_t gap,
                                 int64_t *x, int64_t *y)
{
    *x = (i % columns) * sc_scene_behind(w, gap);
    *y = (i / columns) * sc_scene_behind(h, gap);
}

/* scene_look.c: call when the places are there. */
int sc_scene_index(struct sc_scene *s, struct sc_error *e);

#endif
