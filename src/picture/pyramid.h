/* SPDX-License-Identifier: Apache-2.0 */
/* pyramid: what the files of pyramids and tiles share. Private to the picture layer.
 *
 *   values --> sums of cells (pyramid_cells.c) --> a pyramid (pyramid.c) --> a file
 * (pyramid_file.c)
 *                                                       |
 *                      which of them are there (pyramids*.c) --> tiles (tiles*.c)
 */
#ifndef SC_PICTURE_PYRAMID_H
#define SC_PICTURE_PYRAMID_H

#include <pthread.h>
#include <string.h>

#include "kernel/kernel.h"
#include "picture/scales.h"

/* ------------------------------------------------------------------------ pyramid_cells.c ---
 * Sums of the values of one cell or pixel. */
enum {
    SC_HAS_NAN = 1,
    SC_HAS_POS_INF = 2,
    SC_HAS_NEG_INF = 4,
    SC_IS_WAITING = 8,  /* of pixels alone: what they hold is not read yet, */
    SC_IS_UNKNOWN = 16, /* or cannot be, */
    SC_IS_ONLY_A = 32,  /* or is on one side alone, */
    SC_IS_ONLY_B = 64,
    SC_IS_SHAPE = 128 /* or has another shape there */
};
struct sc_cell_sum {
    double sum, square; /* of finite values */
    uint64_t n;         /* finite values */
    float min, max;     /* of them; Infinity and -Infinity: none */
    uint32_t flags;     /* SC_HAS_*, SC_IS_* */
};
void sc_cells_clear(struct sc_cell_sum *c, size_t n);
/* n pixels as sc_cell_pixel() has them, but for those in which nothing is: they stay. */
void sc_cells_pixels(const struct sc_cell_sum *c, size_t n, enum sc_plane plane, uint32_t *pixels);
void sc_cell_join(struct sc_cell_sum *to, const struct sc_cell_sum *from);
static inline void sc_cell_take(struct sc_cell_sum *c, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) >= 0x7f800000) {
        c->flags |= bits == 0x7f800000   ? (uint32_t)SC_HAS_POS_INF
                    : bits == 0xff800000 ? (uint32_t)SC_HAS_NEG_INF
                                         : (uint32_t)SC_HAS_NAN;
        return;
    }
    c->sum += (double)x;
    c->square += (double)x * (double)x;
    c->n++;
    c->min = x < c->min ? x : c->min;
    c->max = x > c->max ? x : c->max;
}
/* Adds `rows` rows of n values to cells of `width` (a power of two) columns: the first cell begins
 * `skip` columns (less than width) before x. Cells of 16 columns or more are summed in 16 lanes of
 * floats, which are then added as ((i, i + 8), (i, i + 4), ...), narrower ones in columns of
 * floats, which are added from left to right; where that would overflow or lose what is small, and
 * in cells that are cut, in double, row by row. The same bits on every level. */
void sc_cells_add(const float *x, size_t stride, size_t rows, size_t n, size_t width, size_t skip,
                  enum sc_cpu level, struct sc_cell_sum *cells);
/* The same of whole cells, of codes of BF16, whose width is a multiple of 16; level: AVX-512. */
void sc_cells_add_codes(const uint8_t *codes, size_t stride, size_t rows, size_t n_cells,
                        size_t width, struct sc_cell_sum *cells);
/* A row of pixels, each of which is one cell and nothing else: for each plane the bits that
 * sc_cells_clear(), sc_cells_add() and sc_cells_pixels() make, but without sums in memory. At most
 * a tile's width of them. */
struct sc_pixel_row {
    enum sc_plane plane;
    uint32_t *pixels;
};
void sc_cells_to_pixels(const float *x, size_t stride, size_t rows, size_t n, size_t width,
                        size_t skip, enum sc_cpu level, const struct sc_pixel_row *out,
                        size_t n_out);
/* The same of codes of BF16, wherever they stand, from which floats need not be made first. False:
 * nothing was done, for there is no fast way for cells of this shape. */
bool sc_codes_to_pixels(const uint8_t *codes, size_t stride, size_t rows, size_t n_cells,
                        size_t width, enum sc_cpu level, const struct sc_pixel_row *out,
                        size_t n_out);
void sc_cell_stats(const struct sc_cell_sum *c, struct sc_cell_stats *out);
/* What a cell of n elements adds. */
void sc_cell_unpack(const struct sc_cell_stats *s, uint64_t n, struct sc_cell_sum *out);
/* A cell as a number that is never 0: nothing but zeros is a pattern that no cell has. */
static inline uint64_t sc_cell_to_bits(const struct sc_cell_stats *s)
{
    uint64_t bits;
    memcpy(&bits, s, sizeof bits);
    return bits ? bits : UINT64_MAX;
}
static inline struct sc_cell_stats sc_cell_from_bits(uint64_t bits)
{
    struct sc_cell_stats s;
    bits = bits == UINT64_MAX ? 0 : bits;
    memcpy(&s, &bits, sizeof s);
    return s;
}
_Static_assert(sizeof(struct sc_cell_stats) == sizeof(uint64_t), "a cell is one number");
/* The pixel of a plane. What is no number is shown, whatever else there is. */
uint32_t sc_cell_pixel(const struct sc_cell_sum *c, enum sc_plane plane);

/* One cell after the other in SIMD: `width` is a multiple of 16. */
struct sc_cell_lanes {
    float sum, square, min, max;
    uint32_t most; /* bits of the largest magnitude; the rest holds only when it is good */
};
/* Columns, each by itself: row by row, `n` is a multiple of 16, at most SC_CELL_COLUMNS. */
enum { SC_CELL_COLUMNS = 256 };
struct sc_cell_columns {
    float sum[SC_CELL_COLUMNS], square[SC_CELL_COLUMNS], min[SC_CELL_COLUMNS], max[SC_CELL_COLUMNS];
    uint32_t most[SC_CELL_COLUMNS];
};
#if SC_HAVE_X86
void sc_cell_columns_avx2(const float *x, size_t stride, size_t rows, size_t n,
                          struct sc_cell_columns *out);
void sc_cell_columns_avx512(const float *x, size_t stride, size_t rows, size_t n,
                            struct sc_cell_columns *out);
/* sc_cells_to_pixels() of cells that are 2, 4 or 8 columns wide and of 2^k rows: 16 of them, first
 * pixel at `at`. The bits of those that are to be summed otherwise. x: floats, or codes of BF16,
 * in whatever place. */
uint32_t sc_cell_pixels_avx512(const void *x, bool bf16, size_t stride, size_t rows, size_t width,
                               const struct sc_pixel_row *out, size_t n, size_t at);
void sc_cells_avx2(const float *x, size_t stride, size_t rows, size_t width, size_t cells,
                   struct sc_cell_lanes *out);
void sc_cells_avx512(const float *x, size_t stride, size_t rows, size_t width, size_t cells,
                     struct sc_cell_lanes *out);
void sc_cells_bf16_avx512(const uint8_t *codes, size_t stride, size_t rows, size_t width,
                          size_t cells, struct sc_cell_lanes *out);
#endif

/* ---------------------------------------------------------------------------- tiles_facts.c ---
 * What finite elements of a row add: column i to lane i % SC_ROW_LANES. */
enum { SC_ROW_LANES = 8 };
struct sc_row_sums {
    double sum[SC_ROW_LANES], square[SC_ROW_LANES];
    float min[SC_ROW_LANES], max[SC_ROW_LANES];
    uint32_t any, zeros; /* bits that occur; zeros of either sign */
};
#if SC_HAVE_X86
/* Adds the first of n elements, as many as are returned, and their squares one by one. */
size_t sc_row_add_avx512(const float *x, size_t n, double *squares, struct sc_row_sums *out);
#endif

/* ---------------------------------------------------------------------------- magnitudes.c ---
 * How often |x| of finite values lies in each step: the exponent and five bits of the fraction. */
enum { SC_MAGNITUDE_SHIFT = 18, SC_MAGNITUDES = 0x7f800000 >> SC_MAGNITUDE_SHIFT };
struct sc_magnitudes {
    uint64_t n, most; /* values so far; a thousandth of all that will come */
    uint64_t fresh;   /* counted since `least` was looked for */
    uint32_t least;   /* bits of |x|: nothing below is counted */
    uint32_t of[1 << (31 - SC_MAGNITUDE_SHIFT)]; /* from SC_MAGNITUDES on: what is not finite */
};
/* Of a tensor of n elements one in 2^rate is counted: 0 below 2^20, at most 4 below 2^35, and then
 * so many that no counter overflows. */
unsigned sc_magnitudes_rate(uint64_t n);
void sc_magnitudes_start(struct sc_magnitudes *m, uint64_t n, unsigned rate);
/* Elements first..first+n, of which those at fixed places are counted: runs of 64, one in each
 * 64 * 2^rate. The same ones however a tensor is cut. */
void sc_magnitudes_take(struct sc_magnitudes *m, unsigned rate, uint64_t first, const float *x,
                        uint64_t n, enum sc_cpu level);
/* The same of codes of BF16. */
void sc_magnitudes_take_codes(struct sc_magnitudes *m, unsigned rate, uint64_t first,
                              const uint8_t *codes, uint64_t n, enum sc_cpu level);
#if SC_HAVE_X86
/* Below n: the first multiple of 16 of whose 16 values one is not below `least`, else the last. */
size_t sc_magnitudes_skip_avx2(const float *x, size_t n, uint32_t least);
#endif
/* Both of the same tensor. */
void sc_magnitudes_join(struct sc_magnitudes *to, const struct sc_magnitudes *from);
/* The largest step of which more than n / 1000 values (rounded down) are not below: the 99.9 %
 * quantile, rounded towards 0 to six binary digits. 0: nothing but zeros. */
float sc_magnitudes_robust(const struct sc_magnitudes *m);

/* ------------------------------------------------------------------------------ pyramid.c --- */
struct sc_pyramid {
    struct sc_cell_grid grid;
    uint64_t n; /* cells in all */
    struct sc_scale_range range;
    struct sc_cell_stats cells[];
};
/* Where a level lies in the cells of a slice; rows and columns of cells. */
struct sc_level {
    uint64_t first, rows, cols;
};
struct sc_level sc_cell_grid_level(const struct sc_cell_grid *g, unsigned level);
/* Cells of one slice; of all. False: too many to count. */
bool sc_cell_grid_cells(const struct sc_cell_grid *g, uint64_t *slice, uint64_t *all);

/* ------------------------------------------------------------------------- pyramid_file.c ---
 * The pyramids of one model in one file of the cache. */
struct sc_pack;
struct sc_pack_tensor {
    uint64_t first, n; /* cells, counted from the first tensor on */
};
/* `key` names model and method. NULL: there is no such file and none can be made. Everything
 * below accepts NULL. */
struct sc_pack *sc_pack_open(const char *cache, const char key[65],
                             const struct sc_pack_tensor *tensors, size_t n);
void sc_pack_close(struct sc_pack *p);
/* The cells of a tensor, until closing (`in_place`) or a copy to be freed; NULL: not there, or
 * damaged. Any thread. */
const struct sc_cell_stats *sc_pack_get(struct sc_pack *p, size_t i, bool *in_place);
/* They were written; whether well shows get(). */
bool sc_pack_has(struct sc_pack *p, size_t i, struct sc_scale_range *out);
/* Keeps them. Any thread. */
bool sc_pack_put(struct sc_pack *p, size_t i, const struct sc_cell_stats *cells,
                 const struct sc_scale_range *range);
bool sc_pack_is_writable(const struct sc_pack *p);
/* The file is shorter than it was: nothing that came from it is to be trusted. */
bool sc_pack_is_damaged(struct sc_pack *p);

/* ----------------------------------------------------------------------------- pyramids.c --- */
enum sc_pyramid_state { SC_PYRAMID_NONE, SC_PYRAMID_KEPT, SC_PYRAMID_READY, SC_PYRAMID_NEVER };
struct sc_pyramid_entry {
    struct sc_cell_grid grid;
    uint64_t slice_cells;
    uint32_t first_top;                        /* of its slices, in tops */
    bool drawn;                                /* stands in the scene */
    uint32_t instead;                          /* SC_IS_*, of all its pixels; 0: it has values */
    _Atomic bool left;                         /* nothing more will be built of it */
    _Atomic uint64_t range;                    /* struct sc_scale_range, from KEPT on */
    _Atomic uint8_t state;                     /* enum sc_pyramid_state */
    _Atomic uint64_t asked;                    /* when it was missed last; 0: never */
    const struct sc_cell_stats *_Atomic cells; /* READY */
    void *owned;                               /* what `cells` lies in, when that is ours */
    bool paged;                                /* owned by sc_pages_free() */
    char *_Atomic why;                         /* the first that failed of it, as a sentence */
};
struct sc_open_view {
    struct sc_values *view; /* NULL: free */
    uint32_t tensor;
    unsigned users;
    uint64_t used;
};
struct sc_scratch; /* what a tile is made in; tiles.c */
void sc_scratch_free(struct sc_scratch *s);
/* `tops`: the cell of each whole slice, as 64 bits; 0: not known. `quick`: the same from samples.
 */
struct sc_pyramids {
    const struct sc_scene *scene;
    const struct sc_model *model;
    struct sc_pyramids_options o;
    char *cache;
    struct sc_pyramid_entry *entries; /* (model->n_tensors) */
    size_t n_tops;
    _Atomic uint64_t *tops, *quick; /* (n_tops) */
    _Atomic uint64_t epoch, clock, done_bytes, total_bytes, memory;
    _Atomic uint64_t grew;   /* milliseconds: when the epoch did last */
    _Atomic uint64_t ranges; /* how often a range became known, or was lost */
    struct sc_pack *_Atomic pack;
    struct sc_pack_tensor *pack_tensors;
    pthread_mutex_t lock; /* of what follows */
    struct sc_open_view *views;
    uint64_t view_clock;
    struct sc_scratch *scratch;
    struct sc_error unread; /* the first error of a file, once `lost` is set */
    _Atomic bool lost;
};
/* A range as one number, which is never half changed. */
static inline uint64_t sc_range_to_bits(const struct sc_scale_range *r)
{
    uint64_t bits;
    memcpy(&bits, r, sizeof bits);
    return bits;
}
_Static_assert(sizeof(struct sc_scale_range) == sizeof(uint64_t), "a range is one number");
/* The cells are there, and stay. */
void sc_pyramids_set_ready(struct sc_pyramids *p, struct sc_pyramid_entry *t,
                           const struct sc_cell_stats *cells);
/* What the file has of a tensor (KEPT), checked; false: nothing good. */
bool sc_pyramids_load(struct sc_pyramids *p, uint32_t tensor);
/* Opens the file of earlier runs, or makes one: tensors that it has become KEPT. (pyramids_find.c)
 */
void sc_pyramids_find(struct sc_pyramids *p);
/* A pyramid's cells of one slice, or NULL. */
const struct sc_cell_stats *sc_pyramids_cells(struct sc_pyramids *p, uint32_t tensor,
                                              uint32_t slice);
/* How large the values of a tensor are, once its pyramid knows; false: it does not. *final: it
 * does, or never will. */
bool sc_pyramids_range(const struct sc_pyramids *p, uint32_t tensor, struct sc_scale_range *out,
                       bool *final);
/* Another number: one of them has changed. */
uint64_t sc_pyramids_ranges(const struct sc_pyramids *p);
/* ---- pyramids_far.c: of tensors that are elsewhere. */
struct sc_far;
bool sc_pyramids_is_far(const struct sc_pyramids *p, uint32_t tensor);
struct sc_far *sc_far_new(const struct sc_pyramids *p); /* free() ends it; NULL: no memory */
/* Fetches a little of some. *more: there was something to do. */
int sc_far_step(struct sc_far *f, struct sc_pyramids *p, bool *more, struct sc_error *e);
/* A view that stays open for a while, until it is released. */
int sc_pyramids_view(struct sc_pyramids *p, uint32_t tensor, struct sc_values **out,
                     struct sc_error *e);
void sc_pyramids_release(struct sc_pyramids *p, uint32_t tensor, struct sc_values *view);
/* Has the file of pyramids been damaged since? Then what came from it is forgotten. */
bool sc_pyramids_lost(struct sc_pyramids *p);
/* A view of values as they are drawn. */
int sc_pyramids_open(struct sc_pyramids *p, uint32_t tensor, struct sc_values **out,
                     struct sc_error *e);
/* Remembers a sentence; `never`: it will not be tried again. */
void sc_pyramids_failed(struct sc_pyramids *p, uint32_t tensor, const struct sc_error *e,
                        bool never);
/* Elements of a view as floats: complex ones as their modulus. */
/* `each` as from sc_values_each(); dst has room for each * n_runs * n floats. */
int sc_read_elements(struct sc_values *v, unsigned each, uint64_t first, uint64_t stride,
                     size_t n_runs, uint64_t n, float *dst, struct sc_error *e);
/* Values of an element: 1, or 2 of a complex one; 0: the view does not fit the grid. */
unsigned sc_values_each(const struct sc_values *v, const struct sc_cell_grid *g);
/* Pixels may look better now; `soon` is said often, and counts ten times a second at most. */
void sc_pyramids_grow(struct sc_pyramids *p, bool soon);

#endif
