/* SPDX-License-Identifier: Apache-2.0 */
/* render: pictures of a scene as indices of a palette.
 *
 * Owns: which scale belongs to which pixel, frames of blocks, strips of any width in little memory.
 *
 * Does not own: values (tiles.h), what a step looks like (colour.h), files.
 */
#ifndef SC_RENDER_H
#define SC_RENDER_H

#include "picture/scales.h"

/* What one end of the colours stands for: the 99.9 % quantile of |x| of the tensor, the largest of
 * these in its role, or in the picture. The planes of extremes (min, max, abs), in which most
 * pixels of many weights would be beyond that, have the largest |x| instead. */
enum sc_scale_of { SC_SCALE_TENSOR, SC_SCALE_ROLE, SC_SCALE_MODEL, SC_SCALES };
extern const char *const sc_scale_names[SC_SCALES + 1]; /* "tensor", "role", "model", NULL */

struct sc_render_options {
    const struct sc_scene *scene;
    struct sc_pyramids *pyramids;
    struct sc_scales *scales; /* NULL: of its own */
    struct sc_pool *pool;
    enum sc_colour_mode mode;
    enum sc_plane plane;
    enum sc_scale_of scale_of;
    const _Atomic int *cancel;
    /* Pixels that are no weights: NULL pyramids, and this instead, as sc_tile_fill(). The scale is
     * 1 then. */
    int (*fill)(void *ctx, struct sc_tile *t, unsigned patience, struct sc_error *e);
    void *fill_ctx;
};
struct sc_render;
/* Takes the scales as they are known now, and estimates what is not. Ranks (SC_COLOURS_RANK) need
 * the quantiles of a tensor, which are measured when it is drawn. Everything is borrowed. */
int sc_render_new(const struct sc_render_options *o, struct sc_render **out, struct sc_error *e);
void sc_render_free(struct sc_render *r); /* NULL is allowed */
/* Tile (x, y) of zoom z as 256 x 256 indices. Any thread. */
int sc_render_tile(struct sc_render *r, int z, int64_t x, int64_t y, uint8_t *to,
                   struct sc_error *e);
/* Whether all that was drawn is good to be kept: as sc_pyramids_check(). */
int sc_render_check(const struct sc_render *r, struct sc_error *e);
/* Nothing stands in the tile but a part of one tensor. */
bool sc_render_is_covered(const struct sc_render *r, int z, int64_t x, int64_t y);
/* The scale of the whole picture, for a legend. */
const struct sc_colours *sc_render_colours(const struct sc_render *r);

/* A rectangle in units, and the zoom at which it is drawn. */
struct sc_render_area {
    int64_t x, y, w, h;
    int z;
};
/* The whole scene, as large as fits `width` x `height` pixels (0: any), never beyond one pixel an
 * element of the finest tensor. */
struct sc_render_area sc_render_fit(const struct sc_scene *s, uint64_t width, uint64_t height);
void sc_render_size(const struct sc_render_area *a, uint64_t *width, uint64_t *height);
/* From above, in strips of at most SC_SCENE_TILE rows; a non-zero answer stops and is returned
 * (e is then the caller's to fill). Memory: a strip, and a tile for each thread. */
int sc_render_rows(struct sc_render *r, const struct sc_render_area *a,
                   int (*rows)(void *ctx, const uint8_t *indices, size_t n_rows,
                               struct sc_error *e),
                   void *ctx, struct sc_error *e);

#endif
