/* SPDX-License-Identifier: Apache-2.0 */
/* tiles: values for pixels.
 *
 * Owns: the pyramid of statistics of every tensor (built while reading, kept on disk by content),
 * and tiles: 256 x 256 pixels of the scene as values, at any zoom, pooled from values and never
 * from colours.
 *
 * A pixel that is larger than an element pools all elements whose centre falls into it: mean, root
 * of the mean square, least, largest, of finite values; plus whether it holds NaN, infinity, or
 * nothing but zeros. A pixel that is an element, or a part of one, has its value.
 *
 * Does not own: colours (colour.h), transport (web), the plan (scene.h).
 */
#ifndef SC_TILES_H
#define SC_TILES_H

#include "picture/colour.h" /* what pixels are */
#include "picture/scene.h"
#include "stream/stream.h"

/* ------------------------------------------------------------------------------- pyramid ---
 * Level j of a matrix: cells of 2^j x 2^j elements (smaller at the right and lower edges), from
 * SC_PYRAMID_BASE up to one cell. Four numbers of 16 bits a cell (bfloat16, rounded so that least
 * and largest enclose all values): at 32 x 32 elements a cell 1 % of a bfloat16 model. */
enum { SC_PYRAMID_BASE = 5 };
struct sc_cell_stats {
    uint16_t mean, rms, min, max; /* bfloat16 of finite values. NaN in mean: no finite value;
                                     NaN in rms: some are not finite; min = +Infinity, max =
                                     -Infinity: padding only */
};
struct sc_pyramid; /* of one tensor, all its slices; immutable when complete */
/* A pass of a sweep that builds pyramids (item->user is a struct sc_pyramid **), so that any scan
 * can give them on its way. */
extern const struct sc_pass sc_pass_pyramid;

/* All pyramids of a model: from the cache, or built in the background, or sampled until then. */
struct sc_pyramids;
struct sc_pyramids_options {
    struct sc_pool *pool;
    const char *cache; /* folder; NULL: none */
    uint64_t memory;   /* bytes for what is kept in memory; pyramids of a file are mapped */
    const _Atomic int *cancel;
    void (*note)(void *ctx, const char *sentence);
    void *ctx;
};
int sc_pyramids_new(const struct sc_scene *s, const struct sc_pyramids_options *o,
                    struct sc_pyramids **out, struct sc_error *e);
void sc_pyramids_free(struct sc_pyramids *p);
/* Builds what is missing, in file order (first what was asked for last); returns when all are there
 * or after a cancel. Call it from a thread of its own; tiles may be asked for meanwhile. */
int sc_pyramids_build(struct sc_pyramids *p, struct sc_error *e);
/* Share of the bytes that are done, 0 to 1; its epoch grows when tiles may look better now. */
double sc_pyramids_progress(const struct sc_pyramids *p, uint64_t *epoch);

/* --------------------------------------------------------------------------------- tiles --- */
enum sc_plane { SC_PLANE_MEAN, SC_PLANE_RMS, SC_PLANE_MIN, SC_PLANE_MAX, SC_PLANE_ABS, SC_PLANES };
extern const char *const sc_plane_names[SC_PLANES]; /* "mean", "rms", "min", "max", "abs" */
enum sc_tile_flags {
    SC_TILE_EXACT = 1,   /* every pixel is an element, or pooled from all of its elements */
    SC_TILE_SAMPLED = 2, /* some are single elements out of many: better later */
    SC_TILE_EMPTY = 4,   /* nothing stands here */
    SC_TILE_MISSING = 8, /* some tensors cannot be decoded or read */
};
struct sc_tile {
    int z;
    int64_t x, y; /* in tiles of this zoom */
    enum sc_plane plane;
    unsigned flags;
    bool bf16; /* every pixel is exact in its upper 16 bits */
    uint32_t pixels[SC_SCENE_TILE * SC_SCENE_TILE];
};
/* Fills t->pixels for z, x, y, plane. Never waits for more than `patience` milliseconds of network
 * (SC_PIXEL_WAITING then; what was asked for goes on arriving). Any thread. */
int sc_tile_fill(struct sc_pyramids *p, struct sc_tile *t, unsigned patience, struct sc_error *e);

/* ---------------------------------------------------------------------- single elements --- */
struct sc_element_facts {
    double value;
    uint8_t raw[16]; /* its bytes as stored, when it has bytes of its own */
    unsigned raw_bytes;
    uint64_t offset; /* of the first raw byte in its file */
};
int sc_element_at(struct sc_pyramids *p, uint32_t tensor, uint64_t row, uint64_t col,
                  struct sc_element_facts *out, struct sc_error *e);
/* What a panel shows of a tensor: from its pyramid, or from its values when it is small. */
enum { SC_PROFILE = 512, SC_TENSOR_BINS = 128, SC_TENSOR_QUANTILES = 257 };
struct sc_tensor_facts {
    double min, max, mean, rms, abs_max, robust; /* robust: the 99.9 % quantile of |x| */
    uint64_t zeros, nonfinite;                   /* UINT64_MAX: not counted */
    bool sampled;
    uint32_t histogram[SC_TENSOR_BINS]; /* -abs_max .. abs_max */
    float quantile[SC_TENSOR_QUANTILES];
    uint32_t n_rows, n_cols; /* of the profiles: neighbours are put together */
    float row_rms[SC_PROFILE], col_rms[SC_PROFILE];
};
int sc_tensor_facts(struct sc_pyramids *p, uint32_t tensor, struct sc_tensor_facts *out,
                    struct sc_error *e);

#endif
