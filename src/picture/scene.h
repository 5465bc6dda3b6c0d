/* SPDX-License-Identifier: Apache-2.0 */
/* scene: where every tensor of a model stands in the picture.
 *
 * Owns: the plan. One unit is a pixel of the overview ("unit" below); a tensor takes a whole number
 * of units, 2^depth elements a unit along each axis, so that some power of two above the overview
 * one pixel is exactly one element. Blocks of a tower have the same plan inside, whatever the
 * container calls their tensors.
 *
 * Does not own: values (pyramid), colours, what is visible (viewer).
 *
 * Deterministic: the same model, the same plan, in every container. Immutable; any thread.
 * docs/layout.md describes it for people.
 */
#ifndef SC_SCENE_H
#define SC_SCENE_H

#include "model/model.h"
#include "picture/colour.h" /* what pixels are of */

enum {
    SC_SCENE_TILE = 256,        /* pixels of a tile and axis */
    SC_SCENE_LONG = 2048,       /* units that the longer side of a tensor takes at most */
    SC_SCENE_THIN = 8,          /* units that the shorter side takes at least */
    SC_SCENE_ALIGN = 16,        /* x and y of a place are multiples: a pixel of up to 16 units is
                                   whole cells of a pyramid */
    SC_SCENE_GAP = 8,           /* units between neighbours, at least: of tensors, */
    SC_SCENE_EXPERT_GAP = 32,   /* experts, */
    SC_SCENE_BLOCK_GAP = 64,    /* blocks, */
    SC_SCENE_TOWER_GAP = 256,   /* towers */
    SC_SCENE_SHELF = 65536,     /* units of a row of tensors in a block */
    SC_SCENE_SLICES = 1 << 22,  /* matrices in stacks; with more, a stack is one matrix */
    SC_SCENE_MISSING = 1 << 20, /* empty boxes of experts; with more, there are none */
};
#define SC_SCENE_MOST (INT64_C(1) << 52) /* units of the picture, so that a double is exact */

struct sc_map; /* maps.h */

struct sc_place {
    uint32_t tensor;     /* index into model->tensors */
    uint32_t box;        /* index into boxes: the innermost that holds it */
    int64_t x, y;        /* units, of its upper left corner */
    uint64_t rows, cols; /* elements as drawn: dimension 0 x all others; vectors: one row; stacked
                            experts: dimension 1 x all others, see slice */
    uint32_t w, h;       /* units: ceil(cols / 2^depth_x), ceil(rows / 2^depth_y) */
    int8_t depth_x, depth_y; /* log2 of elements a unit; below 0: of units an element */
    uint32_t slice;          /* of a stack of matrices: which one, else 0. It begins at element
                                slice * rows * cols of the tensor */
};
/* What is framed and labelled: towers, blocks (layers), groups of experts, experts. */
enum sc_box_kind { SC_BOX_MODEL, SC_BOX_TOWER, SC_BOX_BLOCK, SC_BOX_EXPERTS, SC_BOX_EXPERT };
struct sc_scene_box {
    uint8_t kind; /* enum sc_box_kind */
    bool empty;   /* a layer or an expert that the configuration knows and the files lack */
    uint32_t parent;
    int32_t number; /* of the layer or the expert; -1: none */
    int64_t x, y, w, h;
    const char *label; /* "layers", "vision", "mlp.experts"; its number is not part of it. From the
                          file: may hold anything but NUL */
};
struct sc_scene {
    const struct sc_model *model;
    enum sc_shows shows;     /* weights, as sc_scene_new() makes it; whoever draws something else in
                                these places says so */
    struct sc_place *places; /* tower by tower, layer by layer, in the order of reading */
    size_t n_places;
    struct sc_scene_box *boxes; /* boxes[0] is the whole; a parent stands before what it holds */
    size_t n_boxes;
    int64_t w, h;        /* units */
    int deepest;         /* largest depth of a place, at least 0: zoom -deepest shows its elements
                            one to one */
    int top;             /* least zoom from 0 on at which all fits one tile */
    uint32_t *places_of; /* (model->n_tensors + 1) places of tensor t, by slice:
                            list[places_of[t]] to list[places_of[t + 1] - 1]. None: the filter left
                            it out, it has no elements, or its shape is impossible */
    uint32_t *list;
    const struct sc_map *maps;  /* by tensor, of a scene that shows maps; else NULL */
    struct sc_scene_tree *tree; /* scene_look.c */
    struct sc_arena arena;
};
struct sc_scene_options {
    const struct sc_filter *filter; /* NULL: all */
    bool vertical;                  /* one block above the other, not a near-square grid */
};
/* `m` must outlive the scene. SCRUPLE_ELIMIT: the picture would be larger than SC_SCENE_MOST. */
int sc_scene_new(const struct sc_model *m, const struct sc_scene_options *o, struct sc_scene **out,
                 struct sc_error *e);
/* A scene whose places somebody else has found: copied; in one box. Every tensor is in at most one
 * place. */
int sc_scene_of_places(const struct sc_model *m, const struct sc_place *places, size_t n,
                       struct sc_scene **out, struct sc_error *e);
void sc_scene_free(struct sc_scene *s); /* NULL is allowed */

/* Zoom z: a pixel is 2^z units (z <= 0: 2^-z pixels a unit). From -deepest to top. */
/* Places that touch the rectangle (units): calls fn for each, in their order; non-zero stops and is
 * returned. */
int sc_scene_look(const struct sc_scene *s, int64_t x, int64_t y, int64_t w, int64_t h,
                  int (*fn)(void *ctx, const struct sc_place *p), void *ctx);
/* The place at a point in units, or NULL. */
const struct sc_place *sc_scene_at(const struct sc_scene *s, double x, double y);
/* The element of a place at a point in units, clamped to the place. */
void sc_place_element(const struct sc_place *p, double x, double y, uint64_t *row, uint64_t *col);
/* Where an element stands: its upper left corner and its size, in units. Exact below 2^52. */
void sc_place_point(const struct sc_place *p, uint64_t row, uint64_t col, double *x, double *y,
                    double *w, double *h);

#endif
