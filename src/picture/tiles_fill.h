/* SPDX-License-Identifier: Apache-2.0 */
/* tiles_fill: what the files that fill tiles share. Private to the picture layer. */
#ifndef SC_PICTURE_TILES_FILL_H
#define SC_PICTURE_TILES_FILL_H

#include "picture/pyramid.h"
#include "picture/tiles_axis.h"

#define SC_SCRATCH_VALUES ((size_t)1 << 17) /* more than a tile and a pixel around it */
enum { SC_SAMPLE_MICROSECONDS = 3000 };     /* for the samples of a tile */

/* A place as a tile shows it. */
struct sc_shown {
    struct sc_pyramid_entry *entry;
    uint32_t tensor, slice;
    uint64_t cols, first; /* elements: of a row; where the slice begins */
    struct sc_axis_place place_x, place_y;
    struct sc_axis x, y; /* of its elements */
    struct sc_values *view;
    unsigned each;
};
/* A place that is sampled when all others of its tile are done. */
struct sc_later {
    const struct sc_place *place;
    uint32_t pixels;
    uint8_t step; /* pixels between the samples that are there; 0: none */
};
struct sc_scratch {
    struct sc_scratch *next;
    struct sc_cell_sum sums[SC_SCENE_TILE * SC_SCENE_TILE], strip[SC_SCENE_TILE + 2];
    struct sc_axis axes[2];
    struct sc_shown shown;
    float values[2 * SC_SCRATCH_VALUES], samples[SC_SCENE_TILE * SC_SCENE_TILE];
    struct sc_later *later;
    size_t n_later, later_cap;
};
struct sc_fill {
    struct sc_pyramids *p;
    struct sc_tile *t; /* the first of n, which differ in their planes */
    size_t n;
    struct sc_scratch *s;
    enum sc_cpu level;
    bool summed;  /* sums are in use */
    bool cleared; /* pixels are, or all of them have been filled */
    unsigned flags;
    uint64_t until, patient_until; /* microseconds */
    int code;
    struct sc_error why;
};
struct sc_cell_sum *sc_tile_sums(struct sc_fill *f);
/* Says of all pixels of a place that they wait or are unknown (SC_IS_*). */
void sc_tile_mark(struct sc_fill *f, const struct sc_axis *ax, const struct sc_axis *ay,
                  uint32_t flag);
/* ---- tiles_sample.c
 * Are the elements that are seen here? What is elsewhere is asked for, and waited for as long as
 * patience lasts. */
bool sc_tile_is_here(struct sc_fill *f, const struct sc_shown *sh);
/* Remembers a place for sc_tile_sample_all(). */
int sc_tile_later(struct sc_fill *f, const struct sc_place *pl, const struct sc_shown *sh,
                  struct sc_error *e);
/* Samples what was remembered: first a little of each, then finer and finer, while there is time.
 */
void sc_tile_sample_all(struct sc_fill *f);
/* ---- tiles.c
 * The tile in units, cut to the scene; false: they have nothing in common. */
bool sc_tile_area(const struct sc_fill *f, int64_t *x, int64_t *y, int64_t *w, int64_t *h);
/* Where a place stands in the tile; false: not there. */
bool sc_tile_shown(const struct sc_fill *f, const struct sc_place *pl, struct sc_shown *sh);
/* After an error of a place; 0, or what ends the tile. */
int sc_tile_failed(struct sc_fill *f, const struct sc_shown *sh, const struct sc_error *e);

#endif
