/* SPDX-License-Identifier: Apache-2.0 */
/* tiles: values for pixels.
 *
 * Owns: the pyramid of statistics of every tensor (built while reading, kept on disk by content),
 * and tiles: 256 x 256 pixels of the scene as values, at any zoom, pooled from values and never
 * from colours.
 *
 * A pixel that is larger than an element pools all elements whose centre falls into it: mean, root
 * of the mean square, least, largest, of finite values; plus whether it holds NaN, infinity, or
 * nothing but zeros. A pixel that is an element, a part of one, or holds a single one, has its
 * value on every plane.
 *
 * Does not own: colours (colour.h), transport (web), the plan (scene.h).
 */
#ifndef SC_TILES_H
#define SC_TILES_H

#include "kernel/kernel.h"
#include "picture/colour.h" /* what pixels are */
#include "picture/scene.h"
#include "stream/stream.h"

/* ------------------------------------------------------------------------------- pyramid ---
 * A tensor as it is drawn is a stack of slices of rows x cols elements. Level j of a slice: cells
 * of 2^(bits_y + j) x 2^(bits_x + j) elements (smaller at the right and lower edges), from j = 0 up
 * to one cell. Where both axes are drawn at the same scale, level 0 has 32 x 32 elements; thin
 * tensors have cells of the shape of their pixels, 1024 elements or 2048; vectors 1 x 32, or of
 * more than a million elements 1 x 1024. Four numbers of 16 bits a cell: 0.5 % of a bfloat16 model,
 * 1.9 % of one with 4.5 bits an element. */
enum { SC_PYRAMID_BASE = 5 };
struct sc_cell_grid {
    uint64_t slices, rows, cols;
    uint8_t bits_y, bits_x;
    uint8_t levels;
};
/* depth_y, depth_x as of a place: log2 of elements a unit. */
void sc_cell_grid_make(uint64_t slices, uint64_t rows, uint64_t cols, int depth_y, int depth_x,
                       struct sc_cell_grid *out);
struct sc_cell_stats {
    uint16_t mean, rms; /* bfloat16 of finite values, nearest (what is not 0 stays so). NaN in mean:
                           no finite value; NaN in rms: some are not finite, and its lowest bits say
                           which: 1 NaN, 2 Infinity, 4 -Infinity */
    uint16_t min, max;  /* of finite values, rounded so that they enclose all of them; Infinity and
                           -Infinity: there is none */
};
struct sc_pyramid; /* of one tensor, all its slices; immutable when complete */
void sc_pyramid_free(struct sc_pyramid *p);
/* Row and column count cells. */
struct sc_cell_stats sc_pyramid_cell(const struct sc_pyramid *p, uint64_t slice, unsigned level,
                                     uint64_t row, uint64_t col);
/* A pass of a sweep that builds pyramids, so that any scan can give them on its way. Its ctx is a
 * struct sc_pyramid_setup. Values are taken as floats. */
struct sc_pyramid_setup {
    /* How the item is drawn; slices * rows * cols must be the number of its values. False: no
     * pyramid of it. From any thread. */
    bool (*grid)(void *ctx, const struct sc_item *item, const struct sc_values *v,
                 struct sc_cell_grid *out);
    /* A pyramid is complete, and the caller's to free (on failure, too). From any thread. */
    int (*take)(void *ctx, const struct sc_item *item, struct sc_pyramid *p, struct sc_error *e);
    void *ctx;
    enum sc_cpu level;
};
extern const struct sc_pass sc_pass_pyramid;

/* Values that are not simply those of the tensors of the scene: differences, say. All from any
 * thread. */
struct sc_drawn_values {
    /* What all pixels of a tensor are instead of values (SC_PIXEL_ONLY_A, ...); 0: it has some. */
    uint32_t (*instead)(void *ctx, uint32_t tensor);
    /* As many as the tensor has elements; the caller closes them. */
    int (*open)(void *ctx, uint32_t tensor, struct sc_values **out, struct sc_error *e);
    bool (*is_far)(void *ctx, uint32_t tensor);      /* a read may wait for a network */
    bool (*identify)(void *ctx, struct sc_buf *out); /* appends what names all; false: nothing */
    void *ctx;
};
/* Appends what names the files of a model and how their codes are read; false: not known. */
bool sc_pyramids_identify(const struct sc_model *m, struct sc_buf *b);
/* Is the main file of a tensor elsewhere? */
bool sc_tensor_is_far(const struct sc_model *m, uint32_t tensor);
/* All pyramids of a model: from the cache, or built in the background, or sampled until then. */
struct sc_pyramids;
struct sc_pyramids_options {
    const struct sc_drawn_values *values; /* NULL: those of the scene's tensors */
    struct sc_pool *pool;
    const char *cache; /* folder; NULL: none */
    uint64_t memory;   /* bytes for what is kept in memory; pyramids of a file are mapped, and those
                          beyond it lie in a file without a name */
    uint64_t network;  /* bytes of files that are elsewhere which may be fetched for pyramids; a
                          quarter of it for samples of many */
    const _Atomic int *cancel;
    void (*note)(void *ctx, const char *sentence);
    void *ctx;
};
/* The scene and its model must outlive it. Reads nothing. */
int sc_pyramids_new(const struct sc_scene *s, const struct sc_pyramids_options *o,
                    struct sc_pyramids **out, struct sc_error *e);
void sc_pyramids_free(struct sc_pyramids *p); /* NULL is allowed; nothing of it may be running */
/* Finds those of earlier runs, then builds what is missing, in file order (first what was asked for
 * last), in steps of some 64 MiB; of tensors that are elsewhere first fetches a little, of those
 * that are looked at before the others; returns when all are there, or SCRUPLE_EINTERRUPTED after a
 * cancel. Call it from a thread of its own, one at a time; tiles may be asked for meanwhile. A
 * tensor that cannot be read does not fail it: see sc_pyramids_why(). */
int sc_pyramids_build(struct sc_pyramids *p, struct sc_error *e);
/* For a sweep of somebody else over tensors of the model, as they are stored: finds those of
 * earlier runs, and says how sc_pass_pyramid makes the others, which go to the cache and not into
 * memory. False: there is no cache that can be written, or other values are drawn. `out` is good
 * for as long as p is. */
bool sc_pyramids_setup(struct sc_pyramids *p, struct sc_pyramid_setup *out);
/* Tensors whose pyramids are there. */
size_t sc_pyramids_there(const struct sc_pyramids *p);
/* Share of the bytes that are done, 0 to 1; its epoch grows when tiles may look better now. */
double sc_pyramids_progress(const struct sc_pyramids *p, uint64_t *epoch);
/* What names the weights and how they are pooled: another one for other files. False: not known, as
 * of standard input. */
bool sc_pyramids_key(const struct sc_pyramids *p, char key[65]);
/* Bytes of all pyramids, whether they are there or not. */
uint64_t sc_pyramids_bytes(const struct sc_pyramids *p);
/* Why pixels of a tensor are unknown, as a sentence; NULL: they are not. Until sc_pyramids_free().
 */
const char *sc_pyramids_why(const struct sc_pyramids *p, uint32_t tensor);
/* SCRUPLE_EIO once a file could not be read any more, or was found to be cut off: what it held may
 * have been drawn as unknown. To be asked when something is drawn that is to be kept. */
int sc_pyramids_check(const struct sc_pyramids *p, struct sc_error *e);
/* Files of pyramids in a cache, their bytes on disk and the Unix time of the last write, for `cache
 * ls`; and removal of everything, for `cache rm`. 0 or an error. */
int sc_pyramids_size(const char *cache, uint64_t *files, uint64_t *bytes, uint64_t *used,
                     struct sc_error *e);
int sc_pyramids_remove(const char *cache, struct sc_error *e);

/* --------------------------------------------------------------------------------- tiles --- */
enum sc_plane {
    SC_PLANE_MEAN,
    SC_PLANE_RMS,
    SC_PLANE_MIN,
    SC_PLANE_MAX,
    SC_PLANE_ABS,
    SC_PLANES, /* of weights; those that follow are of bytes only (bytes.h) */
    SC_PLANE_MAIN = SC_PLANES,
    SC_PLANE_ENTROPY,
    SC_PLANES_ALL
};
extern const char *const sc_plane_names[SC_PLANES_ALL + 1]; /* "mean", "rms", "min", "max", "abs",
                                                               "main", "entropy", NULL */
bool sc_plane_suits(enum sc_plane plane, enum sc_shows shows);
enum sc_tile_flags {
    SC_TILE_EXACT = 1,   /* every pixel is an element, or pooled from all of its elements; or from
                            all of its cells, when it is larger than those of the pyramid */
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

/* The same of several planes at once, for little more than one: t[0] says which tile, the others
 * differ in their planes only. */
int sc_tile_fill_planes(struct sc_pyramids *p, struct sc_tile *t, size_t n, unsigned patience,
                        struct sc_error *e);

/* The same for a tile in which nothing stands but elements that are stored as bfloat16, a pixel
 * each, in files that are here: the upper halves of its pixels (the lower ones are 0), copied from
 * the file. Takes z, x and y of t, and sets flags and bf16, not t->pixels. False: there is
 * something else, or it cannot be read; sc_tile_fill() tells. */
bool sc_tile_fill_halves(struct sc_pyramids *p, struct sc_tile *t,
                         uint16_t halves[SC_SCENE_TILE * SC_SCENE_TILE]);

/* ---------------------------------------------------------------------- single elements --- */
struct sc_element_facts {
    double value;
    uint8_t raw[16]; /* its bytes as stored, when it has bytes of its own */
    unsigned raw_bytes;
    uint64_t offset; /* of the first raw byte in its file; UINT64_MAX: not one stretch of it */
};
/* row, col in a slice of the tensor as it is drawn. SCRUPLE_EUSAGE when there is no such element.
 * Waits for the network. A complex number is its modulus. */
int sc_element_at(struct sc_pyramids *p, uint32_t tensor, uint32_t slice, uint64_t row,
                  uint64_t col, struct sc_element_facts *out, struct sc_error *e);
/* The same of a view of stored values, its element `at`: `each` values are one (2: a complex one).
 * `out` says before that nothing is known. */
int sc_element_read(struct sc_values *v, unsigned each, uint64_t at, struct sc_element_facts *out,
                    struct sc_error *e);
/* What a panel shows of a tensor: from its pyramid, or from its values when it is small. */
enum { SC_PROFILE = 512, SC_TENSOR_BINS = 128, SC_TENSOR_QUANTILES = 257 };
/* A tensor of more than 16 Mi elements is sampled: quantiles, histogram and `robust` are then of 4
 * Mi elements at fixed places, and the rest comes from its pyramid, when that is there (min and max
 * as wide as bfloat16 rounds them). Quantiles are rounded to bfloat16, towards 0. Figures are of
 * finite values. Waits for the network. */
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
/* Of these only `quantile`, `robust` and `sampled`, in a fraction of the time. */
int sc_tensor_quantiles(struct sc_pyramids *p, uint32_t tensor, struct sc_tensor_facts *out,
                        struct sc_error *e);

#endif
