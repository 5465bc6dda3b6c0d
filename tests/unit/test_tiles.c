/* SPDX-License-Identifier: Apache-2.0 */
/* Pyramids and tiles against brute force over all elements, and what happens to them when files
 * fail, change or lie. */
#include "picture/pyramid.h"

#include "test.h"

#include <float.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tiles_world.h"

/* ------------------------------------------------------------------------- the brute force --- */

struct truth {
    double sum, square;
    uint64_t n;
    float min, max;
    bool nan, pos, neg;
};

static void take_truth(struct truth *t, float x)
{
    if (isnan(x))
        t->nan = true;
    else if (isinf(x))
        *(x > 0 ? &t->pos : &t->neg) = true;
    else {
        t->min = t->n && t->min < x ? t->min : x;
        t->max = t->n && t->max > x ? t->max : x;
        t->sum += (double)x;
        t->square += (double)x * (double)x;
        t->n++;
    }
}

/* The pixel of a tile along one axis that holds a point in units; -1: another tile. */
static int pixel_of_point(double units, int z, int64_t tile)
{
    const double pixel = floor(ldexp(units, -z)) - 256.0 * (double)tile;
    return pixel >= 0 && pixel < 256 ? (int)pixel : -1;
}

static int64_t element_of_pixel(int pixel, int z, int64_t tile, int64_t at, int depth, uint64_t n)
{
    const double centre = ldexp(256.0 * (double)tile + pixel + 0.5, z);
    const double element = floor(ldexp(centre - (double)at, depth));
    return element >= 0 && element < (double)n ? (int64_t)element : -1;
}

/* Pixels of an element: one, or as many as it covers. */
static void spread(int z, int64_t tile, int64_t at, int depth, uint64_t n, uint64_t i, int *from,
                   int *to)
{
    *from = *to = 0;
    if (z + depth > 0) {
        const int p = pixel_of_point((double)at + ldexp((double)i + 0.5, -depth), z, tile);
        *from = SC_MAX(p, 0);
        *to = p < 0 ? *from : p + 1;
        return;
    }
    for (int p = 0; p < 256; p++)
        if (element_of_pixel(p, z, tile, at, depth, n) == (int64_t)i) {
            *from = *from == *to ? p : *from;
            *to = p + 1;
        }
}

static struct truth *truth_of(const struct world *w, const struct sc_tile *t)
{
    struct truth *out = calloc(65536, sizeof *out);
    for (size_t k = 0; k < w->scene->n_places; k++) {
        const struct sc_place *p = &w->scene->places[k];
        const float *x = w->values[p->tensor] + p->slice * p->rows * p->cols;
        int *from = calloc((size_t)p->cols, sizeof *from),
            *to = calloc((size_t)p->cols, sizeof *to);
        for (uint64_t c = 0; c < p->cols; c++)
            spread(t->z, t->x, p->x, p->depth_x, p->cols, c, &from[c], &to[c]);
        for (uint64_t r = 0; r < p->rows; r++) {
            int top, end;
            spread(t->z, t->y, p->y, p->depth_y, p->rows, r, &top, &end);
            for (int j = top; j < end; j++)
                for (uint64_t c = 0; c < p->cols; c++)
                    for (int i = from[c]; i < to[c]; i++)
                        take_truth(&out[j * 256 + i], x[r * p->cols + c]);
        }
        free(from);
        free(to);
    }
    return out;
}

static double pixel_value(const struct truth *t, enum sc_plane plane)
{
    return plane == SC_PLANE_MEAN  ? t->sum / (double)t->n
           : plane == SC_PLANE_RMS ? sqrt(t->square / (double)t->n)
           : plane == SC_PLANE_MIN ? (double)t->min
           : plane == SC_PLANE_MAX ? (double)t->max
                                   : fmax(fabs((double)t->min), fabs((double)t->max));
}

static bool is_right(uint32_t pixel, const struct truth *t, enum sc_plane plane, double tolerance)
{
    float got;
    memcpy(&got, &pixel, sizeof got);
    if (t->nan)
        return pixel == SC_PIXEL_NAN;
    if (t->pos || t->neg) {
        const bool pos = plane == SC_PLANE_MIN ? !t->neg : t->pos;
        return pixel == (pos ? SC_PIXEL_POS_INF : SC_PIXEL_NEG_INF);
    }
    if (t->n == 0)
        return pixel == SC_PIXEL_OUTSIDE;
    const double want = t->n == 1 ? (double)t->min : pixel_value(t, plane),
                 scale = sqrt(t->square / (double)t->n);
    const double most = fmax(fabs((double)t->min), fabs((double)t->max));
    if (t->n == 1)
        return fabs((double)got - want) <= tolerance * 3 * fabs(want) + 1e-45;
    if (plane == SC_PLANE_MIN || plane == SC_PLANE_MAX || plane == SC_PLANE_ABS)
        return tolerance < 1e-3 ? (double)got == want
                                : fabs((double)got - want) <= fabs(want) / 120 + 1e-40;
    return fabs((double)got - want) <= tolerance * fmax(scale, most * 1e-3) + 1e-38;
}

static size_t count_wrong(const struct world *w, const struct sc_tile *t, double tolerance)
{
    struct truth *want = truth_of(w, t);
    size_t wrong = 0;
    for (size_t i = 0; i < 65536; i++)
        if (!is_right(t->pixels[i], &want[i], t->plane, tolerance)) {
            float got;
            memcpy(&got, &t->pixels[i], sizeof got);
            if (wrong++ == 0)
                fprintf(stderr,
                        "zoom %d tile %d,%d plane %s pixel %zu,%zu: %08x %g, expected %g of %d\n",
                        t->z, (int)t->x, (int)t->y, sc_plane_names[t->plane], i % 256, i / 256,
                        t->pixels[i], (double)got, pixel_value(&want[i], t->plane), (int)want[i].n);
        }
    free(want);
    return wrong;
}

static void fill(struct world *w, struct sc_tile *t, int z, int64_t x, int64_t y, unsigned plane)
{
    struct sc_error e = {0};
    memset(t, 0xa5, sizeof *t);
    t->z = z;
    t->x = x;
    t->y = y;
    t->plane = (enum sc_plane)plane;
    CHECK_ERR(0, sc_tile_fill(w->p, t, 0, &e));
}

/* --------------------------------------------------------------------------------- kernels --- */

static bool same_sums(const struct sc_cell_sum *a, const struct sc_cell_sum *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i].sum, &b[i].sum, 8) != 0 || memcmp(&a[i].square, &b[i].square, 8) != 0 ||
            a[i].n != b[i].n || a[i].flags != b[i].flags || memcmp(&a[i].min, &b[i].min, 4) != 0 ||
            memcmp(&a[i].max, &b[i].max, 4) != 0)
            return false;
    return true;
}

TEST(sums_of_cells_are_the_same_bits_on_every_level)
{
    static float x[40 * 700];
    static struct sc_cell_sum c[300], got[300];
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e30F, 1e-42F, -0.0F, 0, 3e-20F};
    uint32_t state = 5;
    for (unsigned round = 0; round < 300; round++) {
        for (size_t i = 0; i < SC_COUNT(x); i++) {
            const uint32_t r = st_random(&state);
            x[i] = round % 3 && r % 3000 == 0 ? odd[r >> 13 & 7]
                   : round % 5 == 4           ? (r & 64 ? 0.0F : -0.0F)
                                              : ((float)(r % 2001) - 1000) / 512;
        }
        const size_t width = (size_t)1 << (st_random(&state) % 8), stride = 700;
        const size_t rows = 1 + st_random(&state) % 40, skip = st_random(&state) % width;
        const size_t n = 1 + st_random(&state) % 699, cells = (skip + n + width - 1) / width;
        const size_t used = SC_MIN(cells, SC_COUNT(c));
        if (cells > SC_COUNT(c))
            continue;
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
            sc_cells_clear(got, used);
            sc_cells_add(x, stride, rows, n, width, skip, level, got);
            if (level == SC_CPU_C)
                memcpy(c, got, sizeof c);
            REQUIRE(same_sums(c, got, used));
        }
        for (size_t k = 0; k < used; k++) {
            struct truth t = {0};
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < n; j++)
                    if ((j + skip) / width == k)
                        take_truth(&t, x[i * stride + j]);
            REQUIRE(c[k].n == t.n);
            REQUIRE(((c[k].flags & SC_HAS_NAN) != 0) == t.nan);
            REQUIRE(((c[k].flags & SC_HAS_POS_INF) != 0) == t.pos);
            REQUIRE(((c[k].flags & SC_HAS_NEG_INF) != 0) == t.neg);
            if (t.n == 0)
                continue;
            REQUIRE(c[k].min == t.min && c[k].max == t.max);
            REQUIRE(fabs(c[k].sum - t.sum) <= 1e-5 * sqrt(t.square * (double)t.n));
            REQUIRE(fabs(c[k].square - t.square) <= 1e-5 * t.square);
        }
    }
}

/* Rows of pixels that are cells of one tensor, against the sums of these cells. */
TEST(rows_of_pixels_are_those_of_their_sums)
{
    enum { STRIDE = SC_SCENE_TILE * 32 + 5, MOST_ROWS = 9 };
    static float x[MOST_ROWS * STRIDE];
    static struct sc_cell_sum c[SC_SCENE_TILE];
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e30F, 1e-42F, -0.0F, 0, 3e-20F};
    uint32_t state = 3, got[SC_PLANES][SC_SCENE_TILE], wanted[SC_SCENE_TILE];
    struct sc_pixel_row rows[SC_PLANES];
    for (unsigned plane = 0; plane < SC_PLANES; plane++)
        rows[plane] = (struct sc_pixel_row){(enum sc_plane)plane, got[plane]};
    for (unsigned round = 0; round < 60; round++) {
        const size_t width = (size_t)1 << round % 6, n_rows = 1 + st_random(&state) % MOST_ROWS;
        const size_t skip = round < 12 ? 0 : st_random(&state) % width;
        const size_t most = SC_SCENE_TILE * width - skip;
        const size_t n = round < 12 ? most : 1 + st_random(&state) % most;
        for (size_t i = 0; i < SC_COUNT(x); i++) {
            const uint32_t r = st_random(&state);
            x[i] = round % 3 && r % 300 == 0 ? odd[r >> 13 & 7]
                   : round % 5 == 4          ? (r & 64 ? 0.0F : -0.0F)
                                             : ((float)(r % 2001) - 1000) / 512;
        }
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
            memset(got, 0x55, sizeof got);
            sc_cells_to_pixels(x, STRIDE, n_rows, n, width, skip, level, rows, SC_PLANES);
            sc_cells_clear(c, SC_COUNT(c));
            sc_cells_add(x, STRIDE, n_rows, n, width, skip, SC_CPU_C, c);
            memset(wanted, 0x55, sizeof wanted);
            for (unsigned plane = 0; plane < SC_PLANES; plane++) {
                sc_cells_pixels(c, SC_COUNT(c), (enum sc_plane)plane, wanted);
                REQUIRE(memcmp(got[plane], wanted, sizeof wanted) == 0);
            }
        }
    }
}

/* Codes of BF16 at any place, against the floats that they are. */
TEST(codes_have_the_sums_of_their_values)
{
    enum { STRIDE = SC_SCENE_TILE * 32 + 3, MOST_ROWS = 16 };
    static float x[MOST_ROWS * STRIDE];
    static uint8_t
        bytes[2 * MOST_ROWS * STRIDE + 1 + 1024]; /* what is asked for ahead is no matter */
    static struct sc_cell_sum c[SC_SCENE_TILE], wanted[SC_SCENE_TILE];
    static const uint16_t odd[] = {0x7fc0, 0x7f80, 0xff80, 0x7149, 1, 0x8000, 0, 0x1f6c};
    uint8_t *const codes = bytes + 1;
    uint32_t state = 3, got[SC_PLANES][SC_SCENE_TILE], want[SC_PLANES][SC_SCENE_TILE];
    struct sc_pixel_row rows[SC_PLANES], by_values[SC_PLANES];
    for (unsigned plane = 0; plane < SC_PLANES; plane++) {
        rows[plane] = (struct sc_pixel_row){(enum sc_plane)plane, got[plane]};
        by_values[plane] = (struct sc_pixel_row){(enum sc_plane)plane, want[plane]};
    }
    for (unsigned round = 0; round < 40; round++) {
        for (size_t i = 0; i < SC_COUNT(x); i++) {
            const uint32_t r = st_random(&state);
            const uint16_t code = round % 3 && r % 300 == 0 ? odd[r >> 13 & 7]
                                  : round % 5 == 4          ? (uint16_t)(r << 15)
                                                            : (uint16_t)(0x3c00 + (r & 0x83ff));
            x[i] = sc_bf16_value(code);
            codes[2 * i] = (uint8_t)code;
            codes[2 * i + 1] = (uint8_t)(code >> 8);
        }
        const size_t width = (size_t)1 << round % 6, n_rows = (size_t)1 << round % 5;
        const size_t cells = SC_SCENE_TILE - round % 4 * 8;
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
            memset(got, 0x55, sizeof got);
            memset(want, 0x55, sizeof want);
            if (!sc_codes_to_pixels(codes, STRIDE, n_rows, cells, width, level, rows, SC_PLANES))
                continue;
            sc_cells_to_pixels(x, STRIDE, n_rows, cells * width, width, 0, SC_CPU_C, by_values,
                               SC_PLANES);
            REQUIRE(memcmp(got, want, sizeof got) == 0);
        }
        if (sc_cpu_level() != SC_CPU_AVX512)
            continue;
        for (size_t wide = 16; wide <= 64; wide *= 2) {
            const size_t n = SC_MIN(STRIDE / wide, (size_t)SC_SCENE_TILE);
            sc_cells_clear(c, n);
            sc_cells_clear(wanted, n);
            sc_cells_add_codes(codes, STRIDE, n_rows, n, wide, c);
            sc_cells_add(x, STRIDE, n_rows, n * wide, wide, 0, SC_CPU_C, wanted);
            REQUIRE(same_sums(c, wanted, n));
        }
    }
}

/* Many pixels at once, against one after the other. */
TEST(pixels_of_many_cells_are_those_of_each)
{
    static struct sc_cell_sum c[4096];
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e30F, 1e-42F, -0.0F, 0, -3.5F};
    static const uint32_t marks[] = {SC_IS_UNKNOWN, SC_IS_WAITING, SC_IS_SHAPE, SC_IS_ONLY_A};
    uint32_t pixels[SC_COUNT(c)], state = 11;
    sc_cells_clear(c, SC_COUNT(c));
    for (size_t i = 0; i < SC_COUNT(c); i++) {
        for (uint32_t k = st_random(&state) % 5; k > 0; k--) {
            const uint32_t r = st_random(&state);
            sc_cell_take(&c[i], r % 16 == 0 ? odd[r >> 8 & 7] : ((float)(r % 2001) - 1000) / 512);
        }
        if (st_random(&state) % 16 == 0)
            c[i].flags |= marks[i % SC_COUNT(marks)];
    }
    for (unsigned plane = 0; plane < SC_PLANES; plane++) {
        memset(pixels, 0x55, sizeof pixels);
        sc_cells_pixels(c, SC_COUNT(c), (enum sc_plane)plane, pixels);
        for (size_t i = 0; i < SC_COUNT(c); i++)
            REQUIRE(pixels[i] == (c[i].n || c[i].flags ? sc_cell_pixel(&c[i], (enum sc_plane)plane)
                                                       : UINT32_C(0x55555555)));
    }
}

TEST(what_is_kept_of_a_cell_encloses_it)
{
    uint32_t state = 99;
    for (unsigned i = 0; i < 200000; i++) {
        struct sc_cell_sum c, back;
        struct sc_cell_stats s;
        uint32_t a = st_random(&state), b = st_random(&state);
        float x, y;
        memcpy(&x, &a, sizeof x);
        memcpy(&y, &b, sizeof y);
        if (!isfinite(x) || !isfinite(y))
            continue;
        sc_cells_clear(&c, 1);
        sc_cell_take(&c, x);
        sc_cell_take(&c, y);
        sc_cell_stats(&c, &s);
        sc_cell_unpack(&s, 2, &back);
        REQUIRE(back.flags == 0 && back.n == 2);
        REQUIRE(back.min <= fminf(x, y) && back.max >= fmaxf(x, y));
        const double rms = sqrt(c.square / 2), got = sqrt(back.square / 2);
        REQUIRE(fabs(got - rms) <= rms / 250 + 1e-40);
        REQUIRE(rms == 0 || got > 0);
    }
}

TEST(cells_say_what_is_not_finite)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    for (unsigned mask = 1; mask < 8; mask++)
        for (unsigned with = 0; with < 2; with++) {
            struct sc_cell_sum c, back;
            struct sc_cell_stats s;
            sc_cells_clear(&c, 1);
            for (unsigned i = 0; i < 3; i++)
                if (mask >> i & 1)
                    sc_cell_take(&c, odd[i]);
            if (with)
                sc_cell_take(&c, 2.5F);
            sc_cell_stats(&c, &s);
            CHECK(isnan(sc_bf16_value(s.rms)));
            CHECK(!!isnan(sc_bf16_value(s.mean)) == !with);
            sc_cell_unpack(&s, 7, &back);
            CHECK_U64(back.flags, mask);
            CHECK_U64(back.n, with ? 7 : 0);
            CHECK(!with || (back.min == 2.5F && back.max == 2.5F));
        }
}

/* ------------------------------------------------------------------------------- pyramids --- */

static bool cell_fits(const struct sc_cell_stats *s, const struct truth *t)
{
    struct sc_cell_sum c;
    sc_cell_unpack(s, t->n, &c);
    if (t->nan != !!(c.flags & SC_HAS_NAN) || t->pos != !!(c.flags & SC_HAS_POS_INF) ||
        t->neg != !!(c.flags & SC_HAS_NEG_INF) || (t->n > 0) != (c.n > 0))
        return false;
    if (t->n == 0)
        return true;
    const double rms = sqrt(t->square / (double)t->n), mean = t->sum / (double)t->n;
    return c.min <= t->min && c.max >= t->max &&
           (double)c.max - (double)t->max <= fabs((double)t->max) / 120 + 1e-40 &&
           (double)t->min - (double)c.min <= fabs((double)t->min) / 120 + 1e-40 &&
           fabs(c.sum / (double)c.n - mean) <= fabs(mean) / 255 + rms * 1e-5 + 1e-40 &&
           (c.flags || fabs(sqrt(c.square / (double)c.n) - rms) <= rms / 255 + 1e-40);
}

static size_t wrong_cells(const struct world *w, uint32_t tensor)
{
    const struct sc_cell_grid *g = &w->p->entries[tensor].grid;
    size_t wrong = 0;
    for (uint32_t slice = 0; slice < g->slices; slice++) {
        const struct sc_cell_stats *cells = sc_pyramids_cells(w->p, tensor, slice);
        const float *x = w->values[tensor] + slice * g->rows * g->cols;
        if (!cells)
            return SIZE_MAX;
        for (unsigned j = 0; j < g->levels; j++) {
            const struct sc_level l = sc_cell_grid_level(g, j);
            for (uint64_t i = 0; i < l.rows * l.cols; i++) {
                const uint64_t y0 = i / l.cols << (g->bits_y + j);
                const uint64_t x0 = i % l.cols << (g->bits_x + j);
                const uint64_t y1 = SC_MIN(g->rows, y0 + (UINT64_C(1) << (g->bits_y + j)));
                const uint64_t x1 = SC_MIN(g->cols, x0 + (UINT64_C(1) << (g->bits_x + j)));
                struct truth t = {0};
                for (uint64_t r = y0; r < y1; r++)
                    for (uint64_t c = x0; c < x1; c++)
                        take_truth(&t, x[r * g->cols + c]);
                if (!cell_fits(&cells[l.first + i], &t) && wrong++ == 0)
                    fprintf(stderr,
                            "tensor %u level %u cell %d: %g %g %g %g, expected %g %g %g %g of %d\n",
                            tensor, j, (int)i, (double)sc_bf16_value(cells[l.first + i].mean),
                            (double)sc_bf16_value(cells[l.first + i].rms),
                            (double)sc_bf16_value(cells[l.first + i].min),
                            (double)sc_bf16_value(cells[l.first + i].max), t.sum / (double)t.n,
                            sqrt(t.square / (double)t.n), (double)t.min, (double)t.max, (int)t.n);
            }
        }
    }
    return wrong;
}

TEST(every_cell_of_every_level_is_that_of_its_values)
{
    for (uint32_t odd = 0; odd < 2; odd++) {
        struct world w;
        world_of(&w, shapes, TENSORS, 17, odd * 400, 2);
        build(&w);
        CHECK(sc_pyramids_progress(w.p, NULL) == 1);
        for (uint32_t i = 0; i < TENSORS; i++)
            if (strcmp(shapes[i].dtype, "C64") != 0)
                CHECK_U64(wrong_cells(&w, i), 0);
        end_world(&w);
    }
}

TEST(grids_have_the_shape_of_their_pixels)
{
    struct sc_cell_grid g;
    sc_cell_grid_make(1, 4096, 4096, 1, 1, &g);
    CHECK_U64(g.bits_x, 5);
    CHECK_U64(g.bits_y, 5);
    CHECK_U64(g.levels, 8);
    sc_cell_grid_make(1, 1, 4096, -3, 1, &g);
    CHECK_U64(g.bits_x, 5);
    CHECK_U64(g.bits_y, 0);
    sc_cell_grid_make(1, 64, 131072, 3, 6, &g);
    CHECK_U64(g.bits_x - g.bits_y, 3);
    for (int d = -24; d <= 24; d++) {
        uint64_t slice, all;
        sc_cell_grid_make(3, 1000, 1000, 0, d, &g);
        CHECK(g.bits_x + g.bits_y == 10 || g.bits_x + g.bits_y == 11);
        CHECK(abs(d) > 10 || g.bits_x - g.bits_y == d);
        REQUIRE(sc_cell_grid_cells(&g, &slice, &all));
        CHECK_U64(all, slice * 3);
        const struct sc_level top = sc_cell_grid_level(&g, g.levels - 1U);
        CHECK(top.rows == 1 && top.cols == 1 && top.first + 1 == slice);
    }
    uint64_t slice, all;
    sc_cell_grid_make(1, UINT64_C(1) << 40, UINT64_C(1) << 40, 0, 0, &g);
    CHECK(!sc_cell_grid_cells(&g, &slice, &all));
}

TEST(pyramids_do_not_depend_on_threads_or_segments)
{
    /* more than one segment, whose ends lie within rows of cells */
    static const struct shape big[] = {{"BF16", 1, 3000, 2999, 1, 1, 0, 0},
                                       {"F8_E4M3", 5, 999, 1003, 0, 0, 2000, 0}};
    struct world w[2];
    for (unsigned i = 0; i < 2; i++) {
        world_of(&w[i], big, 2, 3, 5000, i ? 3 : 1);
        build(&w[i]);
    }
    for (uint32_t k = 0; k < 2; k++) {
        const struct sc_pyramid_entry *a = &w[0].p->entries[k], *b = &w[1].p->entries[k];
        const size_t n = (size_t)(a->slice_cells * a->grid.slices);
        REQUIRE(a->cells && b->cells);
        CHECK_BITS(a->cells, b->cells, n * sizeof(struct sc_cell_stats));
        CHECK_U64(wrong_cells(&w[0], k), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        end_world(&w[i]);
}

/* ----------------------------------------------------------------------------------- tiles --- */

static int64_t n_tiles(int64_t units, int z)
{
    return z + 8 >= 0 ? (units >> (z + 8)) + 1 : units << -(z + 8);
}

TEST(pixels_are_elements_or_pooled_from_them)
{
    struct world w;
    struct sc_tile *t = calloc(1, sizeof *t);
    uint32_t state = 21;
    world_of(&w, shapes, TENSORS, 4, 300, 1);
    build(&w);
    for (int z = -6; z <= 2; z++) {
        const int64_t nx = n_tiles(w.scene->w, z), ny = n_tiles(w.scene->h, z);
        for (unsigned k = 0; k < 12; k++) {
            const int64_t x = st_random(&state) % nx, y = st_random(&state) % ny;
            fill(&w, t, z, x, y, st_random(&state) % SC_PLANES);
            /* Thin ones come from cells early. */
            CHECK_U64(count_wrong(&w, t, z < -1 ? 1e-5 : 0.02), 0);
            CHECK(t->flags & SC_TILE_EXACT || t->flags & SC_TILE_SAMPLED);
        }
    }
    free(t);
    end_world(&w);
}

/* All planes at once and each alone: also of tiles in which one tensor is all there is. */
TEST(planes_that_are_filled_together_are_those_of_each)
{
    struct world w;
    struct sc_tile *one = calloc(1, sizeof *one), *all = calloc(SC_PLANES, sizeof *all);
    static const struct {
        int z;
        int64_t x, y;
    } at[] = {{-3, 25, 0}, {-2, 13, 0}, {-1, 6, 0}, {-4, 50, 1}, {0, 0, 0}, {1, 1, 0}, {-2, 7, 2}};
    struct sc_error e = {0};
    world_of(&w, shapes, TENSORS, 4, 300, 1);
    build(&w);
    for (size_t k = 0; k < SC_COUNT(at); k++) {
        memset(all, 0xa5, SC_PLANES * sizeof *all);
        for (unsigned i = 0; i < SC_PLANES; i++)
            all[i].plane = (enum sc_plane)i;
        all->z = at[k].z;
        all->x = at[k].x;
        all->y = at[k].y;
        CHECK_ERR(0, sc_tile_fill_planes(w.p, all, SC_PLANES, 0, &e));
        for (unsigned i = 0; i < SC_PLANES; i++) {
            fill(&w, one, at[k].z, at[k].x, at[k].y, i);
            CHECK(memcmp(one, &all[i], sizeof *one) == 0);
            CHECK_U64(count_wrong(&w, one, at[k].z < -1 ? 1e-5 : 0.02), 0);
        }
    }
    free(one);
    free(all);
    end_world(&w);
}

/* Of tiles with one tensor, with the edges of some, with a NaN, with other formats. */
TEST(halves_that_are_copied_are_those_of_pixels)
{
    struct world w;
    struct sc_tile *want = calloc(1, sizeof *want), *t = calloc(1, sizeof *t);
    static uint16_t halves[SC_SCENE_TILE * SC_SCENE_TILE];
    size_t copied = 0;
    world_of(&w, shapes, TENSORS, 4, 300, 1);
    build(&w);
    for (int z = -5; z <= 1; z++)
        for (int64_t y = 0; y < n_tiles(w.scene->h, z); y++)
            for (int64_t x = 0; x < n_tiles(w.scene->w, z); x++) {
                t->z = z;
                t->x = x;
                t->y = y;
                t->flags = 0xff;
                t->bf16 = false;
                if (!sc_tile_fill_halves(w.p, t, halves))
                    continue;
                copied++;
                fill(&w, want, z, x, y, SC_PLANE_ABS);
                size_t wrong = 0;
                for (size_t i = 0; i < SC_COUNT(halves); i++)
                    wrong += (uint32_t)halves[i] << 16 != want->pixels[i];
                CHECK_U64(wrong, 0);
                CHECK(t->flags == want->flags && t->bf16 && want->bf16);
            }
    CHECK(copied > 10);
    free(want);
    free(t);
    end_world(&w);
}

TEST(pixels_from_cells_agree_where_they_hold_the_same_elements)
{
    /* places stand at multiples of 16 units, so to zoom 4 a pixel is made of whole cells */
    struct world w;
    struct sc_tile *t = calloc(1, sizeof *t);
    world_of(&w, shapes, TENSORS, 8, 900, 2);
    build(&w);
    for (int z = 1; z <= 4; z++)
        for (unsigned plane = 0; plane < SC_PLANES; plane++)
            for (int64_t x = 0; x < n_tiles(w.scene->w, z); x++) {
                fill(&w, t, z, x, 0, plane);
                CHECK_U64(count_wrong(&w, t, 0.02), 0);
            }
    free(t);
    end_world(&w);
}

TEST(without_a_pyramid_what_is_small_is_exact)
{
    struct world w;
    struct sc_tile *t = calloc(1, sizeof *t);
    world_of(&w, shapes, TENSORS, 5, 0, 1);
    for (int z = 0; z <= 3; z++) {
        fill(&w, t, z, 0, 0, SC_PLANE_MAX);
        if (!(t->flags & SC_TILE_SAMPLED))
            CHECK_U64(count_wrong(&w, t, 1e-5), 0);
    }
    free(t);
    end_world(&w);
}

/* The largest magnitude that any pixel of any tile of a zoom shows. */
static float most_seen(struct world *w, struct sc_tile *t, int z, unsigned plane)
{
    float most = 0;
    for (int64_t y = 0; y < n_tiles(w->scene->h, z); y++)
        for (int64_t x = 0; x < n_tiles(w->scene->w, z); x++) {
            fill(w, t, z, x, y, plane);
            for (size_t i = 0; i < SC_COUNT(t->pixels); i++) {
                float v;
                memcpy(&v, &t->pixels[i], sizeof v);
                most = isfinite(v) && fabsf(v) > most ? fabsf(v) : most;
            }
        }
    return most;
}

TEST(a_lone_outlier_is_seen_at_every_zoom)
{
    struct sc_tile *t = calloc(1, sizeof *t);
    uint32_t state = 77;
    for (unsigned round = 0; round < 6; round++) {
        const struct shape s[] = {
            {"F32", 1, 50 + st_random(&state) % 900, 50 + st_random(&state) % 900, 1, 1, 16, 32},
            {"F32", 1, 1, 300, -3, 0, 16, 560}};
        struct world w;
        world_of(&w, s, 2, round + 1, 0, 1);
        const size_t at = st_random(&state) % (size_t)count_of(&s[0]);
        const float planted = round % 2 ? -1000.0F : 1000.0F;
        memcpy(w.blob.p + w.blob.n - 4 * (size_t)count_of(&s[1]) - 4 * (size_t)count_of(&s[0]) +
                   4 * at,
               &planted, sizeof planted);
        build(&w);
        for (int z = -1; z <= w.scene->top + 3; z++) {
            const unsigned plane = round % 2 ? SC_PLANE_MIN : SC_PLANE_MAX;
            const float seen = most_seen(&w, t, z, plane);
            CHECK(seen >= 1000 && seen <= 1008);
            const float abs = most_seen(&w, t, z, SC_PLANE_ABS);
            CHECK(abs >= 1000 && abs <= 1008);
        }
        end_world(&w);
    }
    free(t);
}

TEST(elements_one_to_one_are_their_bits)
{
    struct world w;
    struct sc_tile *t = calloc(1, sizeof *t);
    world_of(&w, shapes, TENSORS, 6, 50, 1);
    const struct shape *s = &shapes[1]; /* BF16, depth 1 at 144, 0 */
    fill(&w, t, -1, 1, 0, SC_PLANE_MEAN);
    for (int j = 0; j < 256; j++)
        for (int i = 0; i < 256; i++) {
            const int col = 256 + i - 288;
            const uint32_t got = t->pixels[j * 256 + i];
            if (col < 0)
                continue; /* another one, or nothing */
            uint32_t want;
            memcpy(&want, &w.values[1][j * (int)s->cols + col], sizeof want);
            CHECK((want & 0x7fffffff) > 0x7f800000 ? got == SC_PIXEL_NAN : got == want);
        }
    CHECK(t->flags & SC_TILE_EXACT);
    /* all of what this one shows is bfloat16 */
    fill(&w, t, -1, 2, 0, SC_PLANE_MEAN);
    CHECK(t->bf16);
    fill(&w, t, -1, 0, 0, SC_PLANE_MEAN);
    CHECK(!t->bf16);
    free(t);
    end_world(&w);
}

TEST(nothing_stands_outside)
{
    struct world w;
    struct sc_tile *t = calloc(1, sizeof *t);
    struct sc_error e = {0};
    world_of(&w, shapes, TENSORS, 6, 0, 1);
    static const int64_t places[][2] = {{-1, 0},        {0, -1},   {INT64_MAX, 0},
                                        {0, INT64_MIN}, {5000, 3}, {INT64_MAX, INT64_MAX}};
    for (size_t i = 0; i < SC_COUNT(places); i++)
        for (int z = -20; z <= 40; z += 4) {
            if (z < -7 && places[i][0] == 5000)
                continue;
            fill(&w, t, z, places[i][0], places[i][1], SC_PLANE_MAX);
            CHECK(t->flags == (SC_TILE_EMPTY | SC_TILE_EXACT) && t->bf16);
            for (size_t k = 0; k < SC_COUNT(t->pixels); k += 97)
                CHECK_U64(t->pixels[k], SC_PIXEL_OUTSIDE);
        }
    for (int z = -20; z <= 40; z++) /* the first tile of any zoom */
        fill(&w, t, z, 0, 0, SC_PLANE_ABS);
    t->z = 41;
    CHECK_ERR(SCRUPLE_EUSAGE, sc_tile_fill(w.p, t, 0, &e));
    t->z = -21;
    CHECK_ERR(SCRUPLE_EUSAGE, sc_tile_fill(w.p, t, 0, &e));
    free(t);
    end_world(&w);
}

TEST(an_empty_scene_has_empty_tiles)
{
    struct world w;
    struct sc_tile *t = calloc(1, sizeof *t);
    uint64_t epoch;
    world_of(&w, shapes, 0, 6, 0, 1);
    fill(&w, t, 0, 0, 0, SC_PLANE_MAX);
    CHECK(t->flags & SC_TILE_EMPTY);
    build(&w);
    CHECK(sc_pyramids_progress(w.p, &epoch) == 1);
    free(t);
    end_world(&w);
}

/* --------------------------------------------------------------------------------- samples --- */

TEST(samples_are_elements_of_their_neighbourhood)
{
    static const struct shape big[] = {{"BF16", 1, 4096, 4096, 1, 1, 0, 0}};
    struct world w;
    struct sc_tile *t = calloc(1, sizeof *t);
    world_of(&w, big, 1, 3, 0, 2);
    uint64_t before, after;
    sc_pyramids_progress(w.p, &before);
    fill(&w, t, 3, 0, 0, SC_PLANE_MEAN); /* 16 x 16 elements a pixel, all of 2,048 / 8 pixels */
    CHECK(!(t->flags & SC_TILE_EMPTY));
    fill(&w, t, 4, 0, 0, SC_PLANE_MEAN); /* 32 x 32: from cells when they are there */
    CHECK(t->flags & SC_TILE_SAMPLED && !(t->flags & SC_TILE_EXACT));
    for (size_t i = 0; i < 128; i++) {
        float v;
        memcpy(&v, &t->pixels[i * 256 + i], sizeof v);
        CHECK(fabsf(v) < 1.5F);
    }
    CHECK_U64(t->pixels[255], SC_PIXEL_OUTSIDE);
    build(&w);
    sc_pyramids_progress(w.p, &after);
    CHECK(after > before);
    fill(&w, t, 4, 0, 0, SC_PLANE_MEAN);
    CHECK(t->flags & SC_TILE_EXACT && !(t->flags & SC_TILE_SAMPLED));
    CHECK_U64(count_wrong(&w, t, 0.02), 0);
    free(t);
    end_world(&w);
}

/* ----------------------------------------------------------------------------------- cache --- */

/* Bytes of the model that building read. */
static uint64_t build_cached(struct world *w, const char *folder)
{
    char cache[600];
    snprintf(cache, sizeof cache, "%s/cache", folder);
    open_pyramids(w, cache, NULL);
    const uint64_t before = w->model->io.bytes_read;
    (void)before;
    build(w);
    size_t built = 0;
    for (uint32_t i = 0; i < TENSORS; i++)
        built += w->p->entries[i].owned != NULL;
    return built;
}

static void check_all_cells(struct world *w)
{
    for (uint32_t i = 0; i < TENSORS; i++)
        if (strcmp(shapes[i].dtype, "C64") != 0)
            CHECK_U64(wrong_cells(w, i), 0);
}

/* How many tensors are there before anything was built, in what the cache has. */
static size_t kept_now(struct world *w, const char *folder)
{
    static _Atomic int cancel = 1;
    char cache[600];
    struct sc_error e = {0};
    snprintf(cache, sizeof cache, "%s/cache", folder);
    open_pyramids(w, cache, &cancel);
    CHECK_ERR(SCRUPLE_EINTERRUPTED, sc_pyramids_build(w->p, &e));
    size_t n = 0;
    for (uint32_t i = 0; i < TENSORS; i++)
        n += w->p->entries[i].state == SC_PYRAMID_KEPT && sc_pyramids_cells(w->p, i, 0) != NULL;
    return n;
}

TEST(what_was_built_once_is_found_again)
{
    struct world w;
    char *folder;
    struct stat st;
    file_world(&w, &folder);
    CHECK_U64(kept_now(&w, folder), 0);
    CHECK_U64(build_cached(&w, folder), 0); /* nothing stays in memory: all is mapped */
    check_all_cells(&w);
    REQUIRE(cache_file(folder) != NULL);
    CHECK_U64(kept_now(&w, folder), TENSORS - 1); /* complex ones have none */
    struct sc_tile *t = calloc(1, sizeof *t);
    fill(&w, t, 2, 0, 0, SC_PLANE_RMS);
    CHECK_U64(count_wrong(&w, t, 0.02), 0);
    free(t);
    /* another version of the model is another file */
    char path[600];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    REQUIRE(stat(path, &st) == 0);
    sc_pyramids_free(w.p);
    w.p = NULL;
    sc_scene_free(w.scene);
    sc_model_close(w.model);
    w.blob.p[w.blob.n - 1] ^= 1;
    unlink(path);
    write_file(folder, "model.safetensors", w.blob.p, w.blob.n);
    w.model = open_path(path);
    make_scene(&w);
    CHECK_U64(kept_now(&w, folder), 0);
    uint64_t files, bytes, used;
    char cache[600];
    snprintf(cache, sizeof cache, "%s/cache", folder);
    CHECK_ERR(0, sc_pyramids_size(cache, &files, &bytes, &used, NULL));
    CHECK(files == 2 && bytes > 0 && used > 0);
    CHECK_ERR(0, sc_pyramids_remove(cache, NULL));
    CHECK_ERR(0, sc_pyramids_remove(cache, NULL));
    CHECK_ERR(0, sc_pyramids_size(cache, &files, &bytes, &used, NULL));
    CHECK(files == 0 && bytes == 0 && used == 0);
    end_world(&w);
    remove_folder(folder);
}

TEST(a_damaged_cache_is_found_out_and_made_again)
{
    struct world w;
    char *folder;
    file_world(&w, &folder);
    build_cached(&w, folder);
    const long rows = 64 + 16 * TENSORS;
    for (long at = 0; at < rows; at++) {
        char path[1024];
        snprintf(path, sizeof path, "%s", cache_file(folder));
        flip(path, at, (uint8_t)(1 << at % 8));
        const size_t kept = kept_now(&w, folder);
        CHECK(at < 64 ? kept == 0 : kept >= TENSORS - 2);
        build_cached(&w, folder);
        CHECK_U64(kept_now(&w, folder), TENSORS - 1);
        if (at % 16 == 0)
            check_all_cells(&w);
    }
    end_world(&w);
    remove_folder(folder);
}

TEST(damaged_cells_and_short_files_are_found_out)
{
    struct world w;
    char *folder, path[1024];
    struct stat st;
    file_world(&w, &folder);
    build_cached(&w, folder);
    snprintf(path, sizeof path, "%s", cache_file(folder));
    REQUIRE(stat(path, &st) == 0);
    uint32_t state = 12;
    for (unsigned i = 0; i < 40; i++) {
        const long first = (64 + 16 * TENSORS + 63) / 64 * 64;
        flip(path, first + (long)(st_random(&state) % (uint32_t)(st.st_size - first)), 0x10);
        CHECK_U64(kept_now(&w, folder), TENSORS - 2);
        build_cached(&w, folder);
        CHECK_U64(kept_now(&w, folder), TENSORS - 1);
    }
    static const off_t sizes[] = {0, 1, 63, 64, 65, 300};
    for (size_t i = 0; i < SC_COUNT(sizes) + 1; i++) {
        const off_t size = i < SC_COUNT(sizes) ? sizes[i] : st.st_size - 1;
        REQUIRE(truncate(path, size) == 0);
        CHECK_U64(kept_now(&w, folder), 0);
        build_cached(&w, folder);
        check_all_cells(&w);
        CHECK_U64(kept_now(&w, folder), TENSORS - 1);
    }
    end_world(&w);
    remove_folder(folder);
}

TEST(a_cache_that_shrinks_while_it_is_read_does_not_kill)
{
    struct world w;
    char *folder;
    struct sc_tile *t = calloc(1, sizeof *t);
    file_world(&w, &folder);
    build_cached(&w, folder);
    REQUIRE(truncate(cache_file(folder), 128) == 0);
    for (int z = 0; z < 6; z++)
        fill(&w, t, z, 0, 0, SC_PLANE_MAX);
    free(t);
    end_world(&w);
    remove_folder(folder);
}

TEST(a_cache_that_cannot_be_used_costs_only_time)
{
    struct world w;
    char *folder, path[600];
    file_world(&w, &folder);
    write_file(folder, "cache", "no folder", 9);
    CHECK_U64(build_cached(&w, folder), TENSORS - 1); /* all in memory */
    check_all_cells(&w);
    snprintf(path, sizeof path, "%s/cache", folder);
    unlink(path);
    mkdir(path, 0500);
    build_cached(&w, folder); /* root may write there all the same */
    check_all_cells(&w);
    chmod(path, 0700);
    end_world(&w);
    remove_folder(folder);
}

/* ----------------------------------------------------------------------------- concurrency --- */

struct worker {
    struct world *w;
    uint32_t seed;
    bool builds;
    size_t wrong;
};

static void *work(void *ctx)
{
    struct worker *k = ctx;
    struct sc_error e = {0};
    uint32_t state = k->seed;
    if (k->builds) {
        k->wrong = sc_pyramids_build(k->w->p, &e) != 0;
        return NULL;
    }
    struct sc_tile *t = calloc(1, sizeof *t);
    for (unsigned i = 0; i < 60; i++) {
        struct sc_tensor_facts *facts = calloc(1, sizeof *facts);
        struct sc_element_facts one;
        *t = (struct sc_tile){.z = (int)(st_random(&state) % 10) - 4,
                              .plane = (enum sc_plane)(i % SC_PLANES)};
        t->x = st_random(&state) % (uint32_t)n_tiles(k->w->scene->w, t->z);
        t->y = st_random(&state) % (uint32_t)n_tiles(k->w->scene->h, t->z);
        k->wrong += sc_tile_fill(k->w->p, t, 0, &e) != 0;
        k->wrong += sc_element_at(k->w->p, i % TENSORS, 0, 0, 0, &one, &e) != 0;
        if (i % 16 == 0)
            k->wrong += sc_tensor_facts(k->w->p, i % TENSORS, facts, &e) != 0;
        free(facts);
    }
    free(t);
    return NULL;
}

TEST(tiles_are_filled_while_pyramids_are_built)
{
    struct world w;
    char *folder, cache[600];
    pthread_t threads[5];
    struct worker workers[5];
    file_world(&w, &folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    for (unsigned round = 0; round < 3; round++) { /* the second finds a cache */
        open_pyramids(&w, cache, NULL);
        for (unsigned i = 0; i < 5; i++) {
            workers[i] = (struct worker){&w, i + 1 + round, i == 0, 0};
            pthread_create(&threads[i], NULL, work, &workers[i]);
        }
        for (unsigned i = 0; i < 5; i++) {
            pthread_join(threads[i], NULL);
            CHECK_U64(workers[i].wrong, 0);
        }
        check_all_cells(&w);
    }
    end_world(&w);
    remove_folder(folder);
}

TEST(two_processes_share_a_cache)
{
    /* two of everything in one process see the same files as two processes do */
    struct world w[2];
    char *folder, cache[600], path[600];
    pthread_t threads[2];
    struct worker workers[2];
    file_world(&w[0], &folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    world_of(&w[1], shapes, TENSORS, 31, 500, 1);
    sc_pyramids_free(w[1].p);
    w[1].p = NULL;
    sc_scene_free(w[1].scene);
    sc_model_close(w[1].model);
    w[1].model = open_path(path);
    make_scene(&w[1]);
    for (unsigned i = 0; i < 2; i++) {
        open_pyramids(&w[i], cache, NULL);
        workers[i] = (struct worker){&w[i], 1, true, 0};
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        CHECK_U64(workers[i].wrong, 0);
        check_all_cells(&w[i]);
    }
    CHECK_U64(kept_now(&w[0], folder), TENSORS - 1);
    end_world(&w[0]);
    end_world(&w[1]);
    remove_folder(folder);
}

/* ---------------------------------------------------------------------------------- faults --- */

TEST(what_cannot_be_read_is_unknown_and_says_why)
{
    struct world w;
    struct sc_tile *t = calloc(1, sizeof *t);
    struct sc_error e = {0};
    world_of(&w, shapes, TENSORS, 9, 0, 1);
    struct sc_fault fault = {.fail_at = 0, .sticky = true};
    struct sc_repo *repo = NULL;
    struct sc_model *old = w.model;
    REQUIRE(sc_repo_open_memory(w.blob.p, w.blob.n, "test.bin", &repo, &e) == 0);
    repo->fault = &fault;
    fault.fail_at = UINT64_MAX;
    const struct sc_open_options o = {.keep_repo = true};
    REQUIRE(sc_model_open_repo(repo, &o, &w.model, &e) == 0);
    sc_scene_free(w.scene);
    make_scene(&w);
    open_pyramids(&w, NULL, NULL);
    fault.fail_at = fault.reads;
    fill(&w, t, 0, 0, 0, SC_PLANE_MEAN);
    CHECK(t->flags & SC_TILE_MISSING);
    CHECK_U64(t->pixels[0], SC_PIXEL_UNKNOWN);
    REQUIRE(sc_pyramids_why(w.p, 0) != NULL);
    CHECK(strlen(sc_pyramids_why(w.p, 0)) > 10);
    CHECK_ERR(0, sc_pyramids_build(w.p, &e)); /* the model goes on without them */
    CHECK(sc_pyramids_cells(w.p, 0, 0) == NULL);
    fill(&w, t, 5, 0, 0, SC_PLANE_MEAN);
    CHECK(t->flags & SC_TILE_MISSING);
    /* what was out of reach for a moment comes back */
    fault.fail_at = UINT64_MAX;
    fault.sticky = false;
    fault.fired = false;
    fault.reads = 0;
    fill(&w, t, 0, 0, 0, SC_PLANE_MEAN);
    CHECK(!(t->flags & SC_TILE_MISSING));
    CHECK_U64(count_wrong(&w, t, 1e-5), 0);
    free(t);
    sc_model_close(old);
    end_world(&w);
}

TEST(building_stops_when_it_is_cancelled)
{
    struct world w;
    struct sc_error e = {0};
    _Atomic int cancel = 1;
    world_of(&w, shapes, TENSORS, 9, 0, 2);
    open_pyramids(&w, NULL, &cancel);
    CHECK_ERR(SCRUPLE_EINTERRUPTED, sc_pyramids_build(w.p, &e));
    CHECK(sc_pyramids_progress(w.p, NULL) < 1);
    cancel = 0;
    CHECK_ERR(0, sc_pyramids_build(w.p, &e));
    check_all_cells(&w);
    end_world(&w);
}

/* ----------------------------------------------------------------------------------- facts --- */

TEST(single_elements_have_value_bytes_and_place)
{
    struct world w;
    struct sc_error e = {0};
    struct sc_element_facts f;
    world_of(&w, shapes, TENSORS, 14, 0, 1);
    CHECK_ERR(0, sc_element_at(w.p, 1, 0, 299, 516, &f, &e));
    CHECK(f.value == (double)w.values[1][300 * 517 - 1]);
    CHECK_U64(f.raw_bytes, 2);
    REQUIRE(f.offset < w.blob.n - 2);
    CHECK_BITS(f.raw, w.blob.p + f.offset, 2);
    CHECK_ERR(0, sc_element_at(w.p, 5, 1, 2, 3, &f, &e));
    CHECK(f.value == (double)w.values[5][(70 + 2) * 45 + 3]);
    CHECK_BITS(f.raw, w.blob.p + f.offset, 4);
    CHECK_ERR(0, sc_element_at(w.p, 8, 0, 32, 30, &f, &e));
    CHECK(f.value == (double)w.values[8][33 * 31 - 1]);
    CHECK_ERR(0, sc_element_at(w.p, 10, 0, 19, 29, &f, &e));
    CHECK_NEAR(f.value, (double)w.values[10][20 * 30 - 1], 1e-6);
    CHECK_ERR(SCRUPLE_EUSAGE, sc_element_at(w.p, 5, 2, 0, 0, &f, &e));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_element_at(w.p, 5, 0, 70, 0, &f, &e));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_element_at(w.p, 5, 0, 0, 45, &f, &e));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_element_at(w.p, TENSORS, 0, 0, 0, &f, &e));
    end_world(&w);
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void check_quantiles_alone(struct world *w, uint32_t tensor, const struct sc_tensor_facts *f)
{
    struct sc_error e = {0};
    struct sc_tensor_facts *q = calloc(1, sizeof *q);
    CHECK_ERR(0, sc_tensor_quantiles(w->p, tensor, q, &e));
    CHECK(memcmp(q->quantile, f->quantile, sizeof q->quantile) == 0);
    CHECK(q->robust == f->robust && q->sampled == f->sampled);
    free(q);
}

TEST(facts_of_a_small_tensor_are_those_of_its_values)
{
    struct world w;
    struct sc_error e = {0};
    struct sc_tensor_facts *f = calloc(1, sizeof *f);
    world_of(&w, shapes, TENSORS, 15, 100, 1);
    const struct shape *s = &shapes[1];
    const size_t n = (size_t)count_of(s);
    float *sorted = calloc(n, sizeof *sorted);
    size_t k = 0;
    struct truth t = {0};
    uint64_t zeros = 0;
    for (size_t i = 0; i < n; i++) {
        take_truth(&t, w.values[1][i]);
        zeros += w.values[1][i] == 0;
        if (isfinite(w.values[1][i]))
            sorted[k++] = w.values[1][i];
    }
    qsort(sorted, k, sizeof *sorted, by_value);
    CHECK_ERR(0, sc_tensor_facts(w.p, 1, f, &e));
    CHECK(!f->sampled);
    check_quantiles_alone(&w, 1, f);
    CHECK(f->min == (double)t.min && f->max == (double)t.max);
    CHECK_NEAR(f->mean, t.sum / (double)t.n, 1e-9);
    CHECK_NEAR(f->rms, sqrt(t.square / (double)t.n), 1e-9);
    CHECK_U64(f->zeros, zeros);
    CHECK_U64(f->nonfinite, n - k);
    uint64_t in_bins = 0;
    for (size_t i = 0; i < SC_TENSOR_BINS; i++)
        in_bins += f->histogram[i];
    CHECK_U64(in_bins, k);
    for (size_t i = 0; i < SC_TENSOR_QUANTILES; i++)
        CHECK(f->quantile[i] == sorted[i * (k - 1) / 256]);
    CHECK(f->robust > 1.4);
    CHECK_U64(f->n_rows, 300);
    CHECK_U64(f->n_cols, 512);
    struct truth row = {0};
    for (size_t i = 0; i < s->cols; i++)
        take_truth(&row, w.values[1][7 * s->cols + i]);
    CHECK_NEAR((double)f->row_rms[7], sqrt(row.square / (double)row.n), 1e-6);
    free(sorted);
    free(f);
    end_world(&w);
}

TEST(facts_of_a_large_tensor_are_sampled_and_completed_by_its_pyramid)
{
    static const struct shape big[] = {{"F8_E4M3", 1, 4100, 4200, 1, 1, 0, 0}};
    struct world w;
    struct sc_error e = {0};
    struct sc_tensor_facts *f = calloc(1, sizeof *f);
    world_of(&w, big, 1, 3, 0, 2);
    struct truth t = {0};
    for (size_t i = 0; i < 4100U * 4200U; i++)
        take_truth(&t, w.values[0][i]);
    build(&w);
    CHECK_ERR(0, sc_tensor_facts(w.p, 0, f, &e));
    CHECK(f->sampled);
    check_quantiles_alone(&w, 0, f);
    CHECK(f->zeros == UINT64_MAX && f->nonfinite == UINT64_MAX);
    CHECK(f->min == (double)t.min && f->max == (double)t.max);
    CHECK_NEAR(f->rms, sqrt(t.square / (double)t.n), 0.002);
    CHECK(f->row_rms[0] > 0 && f->row_rms[511] > 0 && f->col_rms[511] > 0);
    free(f);
    end_world(&w);
}
