/* SPDX-License-Identifier: Apache-2.0 */
/* tiles_axis: which elements, or cells, of a place belong to which pixels of a tile, along one
 * axis. Private to the picture layer.
 *
 * An item (2^bits elements, fewer at the end) that is not larger than a pixel belongs to the one
 * pixel that holds its centre. A pixel that is smaller than an item shows the one at its own
 * centre. Both depend on the scene alone, not on the tile. */
#ifndef SC_PICTURE_TILES_AXIS_H
#define SC_PICTURE_TILES_AXIS_H

#include "picture/scene.h"

struct sc_axis {
    unsigned first, end; /* pixels of the tile that have items; first == end: none */
    bool scatter;        /* items are not larger than pixels */
    int log2;            /* of elements a pixel */
    unsigned bits;
    uint64_t from[SC_SCENE_TILE], to[SC_SCENE_TILE]; /* items of a pixel */
};
struct sc_axis_place {
    int64_t pixel; /* first of the tile, from the scene's edge */
    int z;
    int64_t at; /* units, of the place */
    int depth;  /* log2 of elements a unit */
    uint64_t n; /* elements */
};
void sc_axis_make(const struct sc_axis_place *p, unsigned bits, struct sc_axis *out);

#endif
