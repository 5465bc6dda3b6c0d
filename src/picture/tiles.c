/* SPDX-License-Identifier: Apache-2.0 */
/* tiles: values for the pixels of a tile.
 *
 * Each place that the tile touches is done in one of these ways:
 *
 *     exact     a pixel is an element, or a part of one: its value
 *     pooled    from all elements, where a pixel is smaller than a cell of the pyramid, or the
 *               tensor has none and little is to be read
 *     cells     from the pyramid, of cells that are at most half a pixel wide where there are such
 *     sampled   single elements at even distances, as many as the time allows, until the pyramid is
 *               there (tiles_sample.c)
 *
 * All but the first end as sums in the pixels of a scratch tile, so that several small tensors may
 * share a pixel. Above zoom 0 exact ones do, too. */
#include <math.h>
#include <stdlib.h>

#include "picture/tiles_fill.h"

const char *const sc_plane_names[SC_PLANES_ALL + 1] = {"mean", "rms",  "min",     "max",
                                                       "abs",  "main", "entropy", NULL};

bool sc_plane_suits(enum sc_plane plane, enum sc_shows shows)
{
    if (shows != SC_SHOWS_BYTES)
        return plane < SC_PLANES;
    return plane == SC_PLANE_MEAN || plane == SC_PLANE_MIN || plane == SC_PLANE_MAX ||
           plane == SC_PLANE_MAIN || plane == SC_PLANE_ENTROPY;
}

enum { MOST_ZOOM = 40 };
#define POOLED_VALUES  (UINT64_C(32) << 20) /* that are read for one place of a tile at most, */
#define PATIENT_VALUES (UINT64_C(1) << 20)  /* and while its pyramid is on its way */
#define MOST_ELEMENTS  (UINT64_C(1) << 48)  /* along an axis */
#define TOGETHER       ((size_t)1 << 13)    /* values that are read and pooled in the cache */

/* --------------------------------------------------------------------------------- scratch --- */

void sc_scratch_free(struct sc_scratch *s)
{
    while (s) {
        struct sc_scratch *next = s->next;
        free(s->later);
        free(s);
        s = next;
    }
}

static struct sc_scratch *take_scratch(struct sc_pyramids *p)
{
    pthread_mutex_lock(&p->lock);
    struct sc_scratch *s = p->scratch;
    if (s)
        p->scratch = s->next;
    pthread_mutex_unlock(&p->lock);
    if (!s && (s = sc_alloc(sizeof *s))) {
        s->later = NULL;
        s->later_cap = 0;
    }
    return s;
}

static void leave_scratch(struct sc_pyramids *p, struct sc_scratch *s)
{
    pthread_mutex_lock(&p->lock);
    s->next = p->scratch;
    p->scratch = s;
    pthread_mutex_unlock(&p->lock);
}

/* Before anything that may leave pixels as they are. */
static void clear_pixels(struct sc_fill *f)
{
    for (size_t k = 0; k < f->n && !f->cleared; k++)
        for (size_t i = 0; i < SC_COUNT(f->t->pixels); i++)
            f->t[k].pixels[i] = SC_PIXEL_OUTSIDE;
    f->cleared = true;
}

struct sc_cell_sum *sc_tile_sums(struct sc_fill *f)
{
    clear_pixels(f);
    if (!f->summed)
        sc_cells_clear(f->s->sums, SC_COUNT(f->s->sums));
    f->summed = true;
    return f->s->sums;
}

void sc_tile_mark(struct sc_fill *f, const struct sc_axis *ax, const struct sc_axis *ay,
                  uint32_t flag)
{
    struct sc_cell_sum *sums = sc_tile_sums(f);
    f->flags |= flag == SC_IS_UNKNOWN   ? SC_TILE_MISSING
                : flag == SC_IS_WAITING ? SC_TILE_SAMPLED
                                        : 0;
    for (unsigned j = ay->first; j < ay->end; j++)
        for (unsigned i = ax->first; i < ax->end; i++)
            sums[j * SC_SCENE_TILE + i].flags |= flag;
}

/* ----------------------------------------------------------------------------------- values --- */

/* Complex numbers become their modulus. */
static void fold_elements(unsigned each, size_t n, float *x)
{
    for (size_t i = 0; each == 2 && i < n; i++)
        x[i] = hypotf(x[2 * i], x[2 * i + 1]);
}

int sc_read_elements(struct sc_values *v, unsigned each, uint64_t first, uint64_t stride,
                     size_t n_runs, uint64_t n, float *dst, struct sc_error *e)
{
    TRY(sc_values_read_runs(v, first * each, stride * each, n_runs, n * each, dst, e));
    fold_elements(each, n_runs * n, dst);
    return 0;
}

/* The same for rows of a place, which is looked at when all are read. */
static int read_rows(const struct sc_shown *sh, uint64_t row, uint64_t col, uint64_t n_rows,
                     uint64_t n, float *dst, struct sc_error *e)
{
    const unsigned each = sh->each;
    TRY(sc_values_read_unchecked(sh->view, (sh->first + row * sh->cols + col) * each,
                                 sh->cols * each, (size_t)n_rows, n * each, dst, e));
    fold_elements(each, (size_t)(n_rows * n), dst);
    return 0;
}

static uint32_t pixel_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7fffffff) > 0x7f800000 ? SC_PIXEL_NAN : bits;
}

/* A row of pixels that are elements one by one. Loops that compilers make wide. */
static inline __attribute__((always_inline)) void put_elements(const float *restrict x, size_t n,
                                                               uint32_t *restrict pixels)
{
    for (size_t i = 0; i < n; i++)
        pixels[i] = pixel_of(x[i]);
}

static inline __attribute__((always_inline)) uint32_t bits_in(const uint32_t *pixels, size_t n)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= pixels[i];
    return any;
}

#if SC_HAVE_X86
SC_TARGET_AVX512 static void put_elements_avx512(const float *x, size_t n, uint32_t *pixels)
{
    put_elements(x, n, pixels);
}

SC_TARGET_AVX512 static uint32_t bits_in_avx512(const uint32_t *pixels, size_t n)
{
    return bits_in(pixels, n);
}
#endif

static void put_elements_of(enum sc_cpu level, const float *x, size_t n, uint32_t *pixels)
{
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512) {
        put_elements_avx512(x, n, pixels);
        return;
    }
#endif
    (void)level;
    put_elements(x, n, pixels);
}

/* Rows of pixels j..end, of elements from `row` and `col` on. */
static void put_rows(struct sc_fill *f, const struct sc_shown *sh, const float *values,
                     uint64_t row, unsigned j, unsigned end)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    const uint64_t col = ax->from[ax->first], n_cols = ax->to[ax->end - 1] - col;
    struct sc_cell_sum *sums = f->t->z > 0 ? sc_tile_sums(f) : NULL;
    const size_t n_pixels = ax->end - ax->first;
    const bool alike = !sums && ax->log2 == 0 && n_pixels == n_cols;
    for (; j < end; j++) {
        const float *from = values + (ay->from[j] - row) * n_cols;
        const size_t at = (size_t)j * SC_SCENE_TILE;
        if (alike)
            put_elements_of(f->level, from, n_pixels, f->t->pixels + at + ax->first);
        for (unsigned i = ax->first; i < ax->end && !alike; i++)
            if (sums)
                sc_cell_take(&sums[at + i], from[ax->from[i] - col]);
            else
                f->t->pixels[at + i] = pixel_of(from[ax->from[i] - col]);
        for (size_t k = 1; k < f->n && !sums; k++)
            memcpy(f->t[k].pixels + at + ax->first, f->t->pixels + at + ax->first,
                   n_pixels * sizeof f->t->pixels[0]);
    }
}

/* Every pixel is an element, or a part of one. */
static int fill_exact(struct sc_fill *f, const struct sc_shown *sh, struct sc_error *e)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    const uint64_t col = ax->from[ax->first], n_cols = ax->to[ax->end - 1] - col;
    if (ax->end - ax->first < SC_SCENE_TILE || ay->end - ay->first < SC_SCENE_TILE)
        clear_pixels(f);
    for (unsigned j = ay->first, end; j < ay->end; j = end) {
        const uint64_t row = ay->from[j];
        for (end = j + 1; end < ay->end && (ay->to[end] - row) * n_cols <= TOGETHER;)
            end++;
        TRY(read_rows(sh, row, col, ay->to[end - 1] - row, n_cols, f->s->values, e));
        put_rows(f, sh, f->s->values, row, j, end);
    }
    f->cleared = true;
    return 0;
}

/* The pixel that a column belongs to. */
static unsigned pixel_at(const struct sc_axis *a, uint64_t item)
{
    unsigned low = a->first, high = a->end - 1;
    while (low < high) {
        const unsigned mid = (low + high) / 2;
        if (a->to[mid] > item)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* Adds rows of elements to the cells of a strip: one a pixel, or one a column where those are
 * larger than pixels. */
static void add_to_strip(struct sc_fill *f, const struct sc_axis *ax, uint64_t col, const float *x,
                         size_t n_rows, size_t n)
{
    struct sc_cell_sum *strip = f->s->strip;
    if (!ax->scatter) {
        sc_cells_add(x, n, n_rows, n, 1, 0, f->level, strip + (col - ax->from[ax->first]));
        return;
    }
    const unsigned pixel = pixel_at(ax, col);
    const uint64_t width = UINT64_C(1) << (unsigned)ax->log2;
    const uint64_t skip =
        pixel + 1 == ax->end ? col - ax->from[pixel] : width - (ax->to[pixel] - col);
    sc_cells_add(x, n, n_rows, n, (size_t)width, (size_t)skip, f->level, strip + pixel - ax->first);
}

/* The strip of elements row..end of the columns that are seen. */
static int pool_strip(struct sc_fill *f, const struct sc_shown *sh, uint64_t row, uint64_t end,
                      struct sc_error *e)
{
    const struct sc_axis *ax = &sh->x;
    const uint64_t left = ax->from[ax->first], right = ax->to[ax->end - 1];
    const uint64_t n_cols = SC_MIN(right - left, (uint64_t)SC_SCRATCH_VALUES);
    const uint64_t n_rows = SC_MAX(SC_SCRATCH_VALUES / n_cols, UINT64_C(1));
    sc_cells_clear(f->s->strip, SC_COUNT(f->s->strip));
    for (uint64_t c = left; c < right; c += n_cols)
        for (uint64_t r = row; r < end; r += n_rows) {
            const uint64_t n = SC_MIN(n_cols, right - c), m = SC_MIN(n_rows, end - r);
            TRY(read_rows(sh, r, c, m, n, f->s->values, e));
            add_to_strip(f, ax, c, f->s->values, (size_t)m, (size_t)n);
        }
    return 0;
}

/* A row of pixels fits into memory, and each holds elements as a whole along the row. */
static bool is_direct(const struct sc_axis *ax, const struct sc_axis *ay)
{
    const uint64_t n_cols = ax->to[ax->end - 1] - ax->from[ax->first];
    return ax->scatter && n_cols <= SC_SCRATCH_VALUES &&
           UINT64_C(1) << (unsigned)SC_MAX(ay->log2, 0) <= SC_SCRATCH_VALUES / n_cols;
}

/* Pixels first..end that no other tensor can be in: below zoom 0 all, above it those that lie in
 * the place as a whole. */
static void own_pixels(const struct sc_axis_place *p, int64_t units, const struct sc_axis *a,
                       unsigned *first, unsigned *end)
{
    *first = a->first;
    *end = a->end;
    if (p->z <= 0)
        return;
    const int64_t before = -((-p->at) >> p->z) - p->pixel;
    const int64_t behind = ((p->at + units) >> p->z) - p->pixel;
    *first = (unsigned)SC_MAX(before, (int64_t)a->first);
    *end = (unsigned)SC_MAX(SC_MIN(behind, (int64_t)a->end), (int64_t)*first);
}

/* Where the planes of row k of pixels are made. */
static void rows_of_planes(const struct sc_fill *f, size_t at, struct sc_pixel_row *out)
{
    for (size_t i = 0; i < f->n; i++)
        out[i] = (struct sc_pixel_row){f->t[i].plane, f->t[i].pixels + at};
}

/* The row of pixels above, of the same elements: these are thick. */
static void repeat_row(const struct sc_fill *f, size_t at, size_t n)
{
    for (size_t i = 0; i < f->n; i++) {
        uint32_t *to = f->t[i].pixels + at;
        memcpy(to, to - SC_SCENE_TILE, n * sizeof *to);
    }
}

/* Stored BF16 that is in memory as it is: pixels are made of codes. False: it is not so, and
 * nothing was done. */
static bool fill_from_codes(struct sc_fill *f, const struct sc_shown *sh)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    const uint64_t left = ax->from[ax->first], top = ay->from[ay->first];
    const size_t n_pixels = ax->end - ax->first, width = (size_t)1 << ax->log2;
    const uint64_t all = (ay->to[ay->end - 1] - top - 1) * sh->cols + n_pixels * width;
    struct sc_pixel_row out[SC_PLANES];
    if (sh->each != 1 || !sc_values_are_bf16(sh->view) ||
        ax->to[ax->end - 1] - left != n_pixels * width)
        return false;
    const uint8_t *const codes =
        sc_values_map_codes(sh->view, sh->first + top * sh->cols + left, all);
    for (unsigned k = ay->first; codes && k < ay->end; k++) {
        const size_t at = (size_t)k * SC_SCENE_TILE + ax->first;
        const size_t rows = (size_t)(ay->to[k] - ay->from[k]), stride = (size_t)sh->cols;
        const uint8_t *const from = codes + 2 * (ay->from[k] - top) * stride;
        if (k > ay->first && ay->from[k] == ay->from[k - 1]) {
            repeat_row(f, at, n_pixels);
            continue;
        }
        rows_of_planes(f, at, out);
        if (!sc_codes_to_pixels(from, stride, rows, n_pixels, width, f->level, out, f->n))
            return false; /* those that are there are made once more */
    }
    return codes != NULL;
}

/* The pixels that fill_pooled() makes, of all planes. Several rows of them are read at once. */
static int fill_direct(struct sc_fill *f, const struct sc_shown *sh, struct sc_error *e)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    const uint64_t left = ax->from[ax->first];
    const size_t n_cols = (size_t)(ax->to[ax->end - 1] - left), width = (size_t)1 << ax->log2;
    const size_t own = (size_t)(ax->to[ax->first] - left); /* columns of the first pixel */
    const size_t skip = ax->first + 1 == ax->end ? 0 : width - own;
    struct sc_pixel_row out[SC_PLANES];
    clear_pixels(f);
    if (fill_from_codes(f, sh))
        return 0;
    for (unsigned j = ay->first, end; j < ay->end; j = end) {
        const uint64_t row = ay->from[j];
        for (end = j + 1; end < ay->end && ay->to[end] - row <= TOGETHER / n_cols;)
            end++;
        TRY(read_rows(sh, row, left, ay->to[end - 1] - row, n_cols, f->s->values, e));
        for (unsigned k = j; k < end; k++) {
            const float *x = f->s->values + (ay->from[k] - row) * n_cols;
            const size_t at = (size_t)k * SC_SCENE_TILE + ax->first;
            if (k > j && ay->from[k] == ay->from[k - 1]) {
                repeat_row(f, at, ax->end - ax->first);
                continue;
            }
            rows_of_planes(f, at, out);
            sc_cells_to_pixels(x, n_cols, (size_t)(ay->to[k] - ay->from[k]), n_cols, width, skip,
                               f->level, out, f->n);
        }
    }
    return 0;
}

static int fill_pooled(struct sc_fill *f, const struct sc_shown *sh, struct sc_error *e)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    struct sc_cell_sum *sums = sc_tile_sums(f);
    for (unsigned j = ay->first; j < ay->end; j++) {
        if (j == ay->first || ay->from[j] != ay->from[j - 1])
            TRY(pool_strip(f, sh, ay->from[j], ay->to[j], e));
        for (unsigned i = ax->first; i < ax->end; i++) {
            const uint64_t k = ax->scatter ? i - ax->first : ax->from[i] - ax->from[ax->first];
            sc_cell_join(&sums[j * SC_SCENE_TILE + i], &f->s->strip[k]);
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ cells --- */

static uint64_t length_of(uint64_t cell, unsigned bits, uint64_t n)
{
    const uint64_t start = cell << bits;
    return SC_MIN(UINT64_C(1) << bits, n - start);
}

static void fill_cells(struct sc_fill *f, const struct sc_shown *sh, unsigned level,
                       const struct sc_cell_stats *cells)
{
    const struct sc_cell_grid *g = &sh->entry->grid;
    const struct sc_level l = sc_cell_grid_level(g, level);
    const unsigned bits_y = g->bits_y + level, bits_x = g->bits_x + level;
    struct sc_cell_sum *sums = sc_tile_sums(f), sum;
    struct sc_axis *ax = &f->s->axes[0], *ay = &f->s->axes[1];
    sc_axis_make(&sh->place_x, bits_x, ax);
    sc_axis_make(&sh->place_y, bits_y, ay);
    for (unsigned j = ay->first; j < ay->end; j++)
        for (uint64_t r = ay->from[j]; r < ay->to[j]; r++) {
            const struct sc_cell_stats *row = cells + l.first + r * l.cols;
            const uint64_t height = length_of(r, bits_y, g->rows);
            for (unsigned i = ax->first; i < ax->end; i++)
                for (uint64_t c = ax->from[i]; c < ax->to[i]; c++) {
                    sc_cell_unpack(&row[c], height * length_of(c, bits_x, g->cols), &sum);
                    sc_cell_join(&sums[j * SC_SCENE_TILE + i], &sum);
                }
        }
}

/* The level whose cells are at most half a pixel, else the finest; -1: all are larger than a pixel.
 * An axis with a single element shows the same whatever its cells are. */
static int level_of(const struct sc_cell_grid *g, const struct sc_axis *ax,
                    const struct sc_axis *ay)
{
    int most = INT8_MAX;
    if (g->cols > 1)
        most = SC_MIN(most, ax->log2 - g->bits_x);
    if (g->rows > 1)
        most = SC_MIN(most, ay->log2 - g->bits_y);
    return most < 0 ? -1 : SC_MIN(SC_MAX(most - 1, 0), g->levels - 1);
}

/* A place that is no more than a pixel: all of it, at once. */
static bool fill_top(struct sc_fill *f, const struct sc_shown *sh)
{
    const struct sc_cell_grid *g = &sh->entry->grid;
    const uint64_t bits = f->p->tops[sh->entry->first_top + sh->slice];
    struct sc_cell_sum sum;
    if (bits == 0 || sh->x.end - sh->x.first > 1 || sh->y.end - sh->y.first > 1)
        return false;
    const struct sc_cell_stats cell = sc_cell_from_bits(bits);
    sc_cell_unpack(&cell, g->rows * g->cols, &sum);
    sc_cell_join(&sc_tile_sums(f)[sh->y.first * SC_SCENE_TILE + sh->x.first], &sum);
    return true;
}

/* ----------------------------------------------------------------------------------- a place ---
 */

/* All of it is seen in this tile: else a pixel of it stands at the edge of the tile. */
static bool is_whole(const struct sc_shown *sh)
{
    const struct sc_cell_grid *g = &sh->entry->grid;
    return sh->x.from[sh->x.first] == 0 && sh->x.to[sh->x.end - 1] == g->cols &&
           sh->y.from[sh->y.first] == 0 && sh->y.to[sh->y.end - 1] == g->rows;
}

static uint64_t n_seen(const struct sc_axis *a)
{
    return a->to[a->end - 1] - a->from[a->first];
}

/* Pixels of its own are made directly, those at its edges may be shared. */
static int fill_parts(struct sc_fill *f, const struct sc_place *pl, struct sc_shown *sh,
                      struct sc_error *e)
{
    const unsigned x0 = sh->x.first, x1 = sh->x.end, y0 = sh->y.first, y1 = sh->y.end;
    unsigned left, right, top, bottom;
    own_pixels(&sh->place_x, pl->w, &sh->x, &left, &right);
    own_pixels(&sh->place_y, pl->h, &sh->y, &top, &bottom);
    if (left == right || top == bottom)
        return fill_pooled(f, sh, e);
    const struct {
        unsigned x0, x1, y0, y1;
    } parts[] = {{left, right, top, bottom},
                 {x0, x1, y0, top},
                 {x0, left, top, bottom},
                 {right, x1, top, bottom},
                 {x0, x1, bottom, y1}};
    int code = 0;
    for (size_t i = 0; i < SC_COUNT(parts) && code == 0; i++) {
        sh->x.first = parts[i].x0;
        sh->x.end = parts[i].x1;
        sh->y.first = parts[i].y0;
        sh->y.end = parts[i].y1;
        if (sh->x.first < sh->x.end && sh->y.first < sh->y.end)
            code = i == 0 ? fill_direct(f, sh, e) : fill_pooled(f, sh, e);
    }
    sh->x.first = x0;
    sh->x.end = x1;
    sh->y.first = y0;
    sh->y.end = y1;
    return code;
}

static int read_place(struct sc_fill *f, const struct sc_place *pl, struct sc_shown *sh, bool exact,
                      struct sc_error *e)
{
    TRY(sc_pyramids_view(f->p, sh->tensor, &sh->view, e));
    sh->each = sc_values_each(sh->view, &sh->entry->grid);
    int code = 0;
    if (!sc_tile_is_here(f, sh))
        sc_tile_mark(f, &sh->x, &sh->y, SC_IS_WAITING);
    else if (exact)
        code = fill_exact(f, sh, e);
    else if (is_direct(&sh->x, &sh->y))
        code = fill_parts(f, pl, sh, e);
    else
        code = fill_pooled(f, sh, e);
    if (code == 0)
        code = sc_values_check(sh->view, false, e);
    sc_pyramids_release(f->p, sh->tensor, sh->view);
    return code;
}

static int show(struct sc_fill *f, const struct sc_place *pl, struct sc_shown *sh,
                struct sc_error *e)
{
    const bool exact = sh->x.log2 <= 0 && sh->y.log2 <= 0;
    const int level = level_of(&sh->entry->grid, &sh->x, &sh->y);
    uint64_t n;
    if (sh->entry->instead) {
        sc_tile_mark(f, &sh->x, &sh->y, sh->entry->instead);
        return 0;
    }
    if (!sc_mul(n_seen(&sh->x), n_seen(&sh->y), &n))
        n = UINT64_MAX;
    if (exact)
        return read_place(f, pl, sh, true, e);
    if (is_whole(sh) && fill_top(f, sh))
        return 0;
    /* Of a file that nobody has read yet, that could take long. */
    if (level < 0 && n <= (sh->entry->state == SC_PYRAMID_NONE ? PATIENT_VALUES : POOLED_VALUES))
        return read_place(f, pl, sh, false, e);
    /* What is seen as a dot need not be first. */
    const bool dot = sh->x.end - sh->x.first <= 2 && sh->y.end - sh->y.first <= 2;
    const struct sc_cell_stats *cells = dot && sh->entry->state == SC_PYRAMID_NONE
                                            ? NULL
                                            : sc_pyramids_cells(f->p, sh->tensor, sh->slice);
    if (cells) {
        fill_cells(f, sh, (unsigned)SC_MAX(level, 0), cells);
        return 0;
    }
    if (n <= (dot ? PATIENT_VALUES / 16 : PATIENT_VALUES) &&
        sc_microseconds() + SC_SAMPLE_MICROSECONDS / 2 < f->until)
        return read_place(f, pl, sh, false, e);
    return sc_tile_later(f, pl, sh, e);
}

bool sc_tile_shown(const struct sc_fill *f, const struct sc_place *pl, struct sc_shown *sh)
{
    const struct sc_tile *t = f->t;
    if (pl->rows == 0 || pl->cols == 0 || pl->rows > MOST_ELEMENTS || pl->cols > MOST_ELEMENTS)
        return false;
    sh->entry = &f->p->entries[pl->tensor];
    sh->tensor = pl->tensor;
    sh->slice = pl->slice;
    sh->cols = pl->cols;
    sh->first = pl->slice * pl->rows * pl->cols;
    const int64_t size = SC_SCENE_TILE;
    sh->place_x = (struct sc_axis_place){t->x * size, t->z, pl->x, pl->depth_x, pl->cols};
    sh->place_y = (struct sc_axis_place){t->y * size, t->z, pl->y, pl->depth_y, pl->rows};
    sc_axis_make(&sh->place_x, 0, &sh->x);
    if (sh->x.first == sh->x.end)
        return false;
    sc_axis_make(&sh->place_y, 0, &sh->y);
    return sh->y.first != sh->y.end;
}

int sc_tile_failed(struct sc_fill *f, const struct sc_shown *sh, const struct sc_error *e)
{
    if (e->code == SCRUPLE_EMEMORY || e->code == SCRUPLE_EINTERRUPTED) {
        f->why = *e;
        return f->code = e->code;
    }
    sc_pyramids_failed(f->p, sh->tensor, e,
                       e->code == SCRUPLE_EUNSUPPORTED || e->code == SCRUPLE_EFORMAT);
    sc_tile_mark(f, &sh->x, &sh->y, SC_IS_UNKNOWN);
    return 0;
}

static int fill_place(void *ctx, const struct sc_place *pl)
{
    struct sc_fill *f = ctx;
    struct sc_shown *sh = &f->s->shown;
    struct sc_error e = {0};
    if (!sc_tile_shown(f, pl, sh))
        return 0;
    f->flags &= ~(unsigned)SC_TILE_EMPTY;
    const int code = sh->entry->drawn
                         ? show(f, pl, sh, &e)
                         : sc_fail(&e, SCRUPLE_ELIMIT, "a tensor is too large to be drawn");
    return code < 0 ? sc_tile_failed(f, sh, &e) : 0;
}

/* ------------------------------------------------------------------------------------ a tile ---
 */

static bool is_bf16(const struct sc_tile *t, enum sc_cpu level)
{
    const size_t n = SC_COUNT(t->pixels);
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        return (bits_in_avx512(t->pixels, n) & 0xffff) == 0;
#endif
    (void)level;
    return (bits_in(t->pixels, n) & 0xffff) == 0;
}

static int check_zoom(const struct sc_tile *t, struct sc_error *e)
{
    if (t->z < -MOST_ZOOM / 2 || t->z > MOST_ZOOM || (unsigned)t->plane >= SC_PLANES)
        return sc_fail(e, SCRUPLE_EUSAGE, "there are no tiles of zoom %d and plane %d", t->z,
                       (int)t->plane);
    return 0;
}

bool sc_tile_area(const struct sc_fill *f, int64_t *x, int64_t *y, int64_t *w, int64_t *h)
{
    const struct sc_tile *t = f->t;
    const struct sc_scene *s = f->p->scene;
    const int log2 = t->z + 8; /* units of a tile */
    _Static_assert(SC_SCENE_TILE == 1 << 8, "a tile is 2^8 pixels");
    const int64_t one = 1, n = log2 >= 0 ? one << log2 : 1;
    const int64_t most_x = log2 >= 0 ? s->w / n : s->w * (one << -log2);
    const int64_t most_y = log2 >= 0 ? s->h / n : s->h * (one << -log2);
    if (t->x < 0 || t->y < 0 || t->x > most_x || t->y > most_y)
        return false;
    *x = log2 >= 0 ? t->x * n : t->x / (one << -log2);
    *y = log2 >= 0 ? t->y * n : t->y / (one << -log2);
    *w = *h = n;
    return true;
}

/* All but what comes of sums. */
static void fill_tile(struct sc_fill *f)
{
    int64_t x, y, w, h;
    f->flags = SC_TILE_EMPTY;
    f->summed = f->cleared = false;
    f->until = sc_microseconds() + SC_SAMPLE_MICROSECONDS;
    f->s->n_later = 0;
    if (sc_tile_area(f, &x, &y, &w, &h) &&
        sc_scene_look(f->p->scene, x, y, w, h, fill_place, f) == 0)
        sc_tile_sample_all(f);
    clear_pixels(f);
}

int sc_tile_fill_planes(struct sc_pyramids *p, struct sc_tile *t, size_t n, unsigned patience,
                        struct sc_error *e)
{
    if (n > SC_PLANES)
        return sc_fail(e, SCRUPLE_EUSAGE, "a tile has %d planes at most", (int)SC_PLANES);
    for (size_t i = 0; i < n; i++) {
        t[i].z = t->z;
        t[i].x = t->x;
        t[i].y = t->y;
        TRY(check_zoom(&t[i], e));
    }
    struct sc_fill f = {.p = p, .t = t, .n = n, .level = sc_cpu_level(), .s = take_scratch(p)};
    if (!f.s)
        return sc_fail_memory(e);
    f.patient_until = sc_microseconds() + (uint64_t)patience * 1000;
    fill_tile(&f);
    if (f.code == 0 && sc_pyramids_lost(p))
        fill_tile(&f); /* once more, without them */
    for (size_t i = 0; i < n && f.summed; i++)
        sc_cells_pixels(f.s->sums, SC_COUNT(f.s->sums), t[i].plane, t[i].pixels);
    leave_scratch(p, f.s);
    if (f.code < 0) {
        *e = f.why;
        return f.code;
    }
    if (f.flags & SC_TILE_SAMPLED)
        sc_pyramids_grow(p, true);
    else
        f.flags |= SC_TILE_EXACT;
    for (size_t i = 0; i < n; i++) {
        t[i].flags = f.flags;
        t[i].bf16 = is_bf16(&t[i], f.level);
    }
    return 0;
}

int sc_tile_fill(struct sc_pyramids *p, struct sc_tile *t, unsigned patience, struct sc_error *e)
{
    return sc_tile_fill_planes(p, t, 1, patience, e);
}
