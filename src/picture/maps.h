/* SPDX-License-Identifier: Apache-2.0 */
/* maps: figures as pictures: a matrix of numbers each, whose rows and columns are layers, experts,
 * checkpoints.
 *
 * Owns: from matrices in memory to a scene whose tensors they are, so that all that draws weights
 * (tiles, pages, exports, pictures) draws maps. An element takes 8 x 8 units, or less where a map
 * would get longer than SC_MAP_LONG units.
 *
 * Does not own: what the figures mean (analyze), colours (colour.h).
 */
#ifndef SC_MAPS_H
#define SC_MAPS_H

#include "picture/scene.h"

/* Units: of a map, and at most and at least between two. */
enum { SC_MAP_LONG = 4096, SC_MAP_GAP = 72, SC_MAP_GAP_LEAST = 16 };

/* What a row or a column is: "layer" 7. */
struct sc_map_axis {
    const char *of;            /* one word */
    const char *const *labels; /* (rows or columns); NULL: 0, 1, 2 ... */
};
/* Where what a cell tells of is to be seen: behind `command` comes one of `at`, quoted for a shell.
 */
struct sc_map_spots {
    const char *command;   /* "scruple view 'model' --at" */
    const char *const *at; /* (rows * cols) "NAME[row,column]"; NULL: nowhere */
};
struct sc_map {
    const char *name;  /* UTF-8, other than that of any other map */
    const char *about; /* what a number is, for people */
    uint32_t rows, cols;
    const float *values; /* (rows * cols) by rows; NaN: not known */
    struct sc_map_axis down, across;
    float low, high; /* the ends of its colours; both NaN: the 2 % and 98 % values (nearest rank) */
    const struct sc_map_spots *spots; /* of several maps, if they are the same; NULL: none */
    uint32_t x, y; /* in the grid of maps: columns are as wide as their widest map */
};
/* Model, plan and values. */
struct sc_maps {
    struct sc_model *model;
    struct sc_scene *scene; /* shows maps: scene->maps has those of sc_maps_open() by tensor, with
                               their ends */
    struct sc_map *by_tensor;
    char *file; /* the values as a file in memory */
};
/* `maps` is borrowed until the end, with all it points to; values are copied. Without any map, or
 * with one that has no cells: SCRUPLE_EUSAGE. Clear *out, also after a failure. */
int sc_maps_open(const struct sc_map *maps, size_t n, const char *label, struct sc_maps *out,
                 struct sc_error *e);
void sc_maps_close(struct sc_maps *m);

#endif
