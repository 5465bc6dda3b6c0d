/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_tiles: pixels of a picture of bytes.
 *
 * Whatever the zoom, a tile is one run of bytes and each of its pixels a run of 4^zoom. Near, the
 * run is read and counted; farther away pixels are sums of cells that were counted before, and
 * until then what one window says of its neighbours, too. */
#include <stdlib.h>
#include <string.h>

#include "picture/bytes_parts.h"
#include "picture/curve.h"

enum {
    GROUP_LOG2 = 4, /* pixels come in squares of 16 x 16, */
    GROUP = SC_BYTE_GROUP,
    BLOCK = 1 << 16, /* bytes that are read at once */
    TILE_LOG2 = 8,
    MOST_ZOOM = 27 /* a pixel of 4^27 bytes is more than SC_BYTES_MOST */
};

/* A square of the picture in a tile: whole tiles are one. */
struct square {
    struct sc_bytes *b;
    struct sc_tile *t; /* n planes */
    size_t n;
    uint64_t begin; /* position of its first pixel */
    unsigned log2;  /* of its side in pixels, at most TILE_LOG2 */
    unsigned state;
    uint64_t x, y; /* its corner in the tile */
    unsigned z;
    uint64_t until;
    enum sc_cpu level;
    bool entropy; /* a plane wants it */
    bool sampled, waiting, missing;
};

/* ----------------------------------------------------------------------------------- place --- */

/* Where a run of 256 pixels stands, from pixel `first` of the square on; and how. */
static uint32_t *group_at(const struct square *q, struct sc_tile *t, uint64_t first,
                          unsigned *state)
{
    uint64_t x, y;
    *state = q->state;
    if (q->log2 == TILE_LOG2)
        sc_bytes_point(first / GROUP, &x, &y, state);
    else
        sc_curve_point(q->log2 - GROUP_LOG2, first / GROUP, &x, &y, state);
    return t->pixels + (q->y + (y << GROUP_LOG2)) * SC_SCENE_TILE + q->x + (x << GROUP_LOG2);
}

static void put_pixel(const struct square *q, struct sc_tile *t, uint64_t i, uint32_t v)
{
    unsigned state = q->state;
    uint64_t x, y;
    sc_curve_point(q->log2, i, &x, &y, &state);
    t->pixels[(q->y + y) * SC_SCENE_TILE + q->x + x] = v;
}

/* Pixels first to first + n - 1 of a square: a group, or the few of a small square. */
static void put(const struct square *q, struct sc_tile *t, uint64_t first, size_t n,
                const uint32_t *v)
{
    unsigned state;
    if (q->log2 >= GROUP_LOG2 && n == GROUP) {
        uint32_t *to = group_at(q, t, first, &state);
        sc_bytes_put_words(state, v, q->level, to);
        return;
    }
    for (size_t i = 0; i < n; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): n are there */
        put_pixel(q, t, first + i, v[i]);
}

/* The same of bytes. */
static void put_bytes(const struct square *q, struct sc_tile *t, uint64_t first, size_t n,
                      const uint8_t *p)
{
    unsigned state;
    if (q->log2 >= GROUP_LOG2 && n == GROUP) {
        uint32_t *to = group_at(q, t, first, &state);
        sc_bytes_put_bytes(state, p, q->level, to);
        return;
    }
    for (size_t i = 0; i < n; i++)
        put_pixel(q, t, first + i, sc_bits_of((float)p[i]));
}

/* The same of one value. */
static void put_same(const struct square *q, struct sc_tile *t, uint64_t first, size_t n,
                     uint32_t v)
{
    unsigned state;
    if (q->log2 >= GROUP_LOG2 && n == GROUP) {
        sc_bytes_put_same(v, q->level, group_at(q, t, first, &state));
        return;
    }
    for (size_t i = 0; i < n; i++)
        put_pixel(q, t, first + i, v);
}

/* ------------------------------------------------------------------------------------ near --- */

struct gaps {
    struct square *q;
    struct byte_stretch list[16];
    size_t n;
};

static void note_gap(void *ctx, const struct byte_stretch *gap)
{
    struct gaps *g = ctx;
    if (gap->how == BYTES_WAITING)
        g->q->waiting = true;
    else
        g->q->missing = true;
    if (g->n < SC_COUNT(g->list)) {
        g->list[g->n++] = *gap;
        return;
    }
    struct byte_stretch *last = &g->list[g->n - 1]; /* many small files: all between them, too */
    last->n = (size_t)(gap->at + gap->n - last->at);
}

/* What stands for 4^zoom bytes each. */
struct group {
    const uint8_t *p;
    size_t n;             /* bytes; fewer than those of 256 pixels at the end only */
    const uint64_t *bits; /* of its windows, when they are wanted */
    uint64_t first;       /* of its pixels */
};

static uint32_t entropy_at(const struct group *g, size_t at)
{
    const size_t n = SC_MIN(g->n - at, (size_t)SC_BYTE_WINDOW);
    return sc_bits_of(sc_byte_entropy(g->bits[at / SC_BYTE_WINDOW], n));
}

/* A group of pixels that are bytes. */
static void put_values(const struct square *q, const struct group *g)
{
    for (size_t k = 0; k < q->n; k++)
        if (q->t[k].plane == SC_PLANE_ENTROPY)
            put_same(q, &q->t[k], g->first, g->n, entropy_at(g, 0));
        else
            put_bytes(q, &q->t[k], g->first, g->n, g->p);
}

/* A group of pixels of 4 to 256 bytes; the last may have fewer. */
static void put_runs(const struct square *q, const struct group *g)
{
    const unsigned log2 = 2 * q->z;
    const size_t each = (size_t)1 << log2, pixels = g->n >> log2, rest = g->n - pixels * each;
    struct sc_byte_sum sum = sc_byte_sum_of_none();
    uint32_t v[GROUP];
    if (rest)
        sc_byte_sum_add(&sum, g->p + pixels * each, rest, false, q->level);
    for (size_t k = 0; k < q->n; k++) {
        const enum sc_plane plane = q->t[k].plane;
        if (plane == SC_PLANE_ENTROPY) {
            for (size_t at = 0, i = 0; at < g->n; at += SC_BYTE_WINDOW) {
                const size_t end = SC_MIN(at + SC_BYTE_WINDOW, g->n) + each - 1;
                for (const uint32_t h = entropy_at(g, at); i < end >> log2; i++)
                    v[i] = h;
            }
        } else {
            sc_byte_pixels(g->p, pixels, q->z, plane, q->level, v);
            if (rest)
                v[pixels] = sc_byte_pixel(&sum, plane);
        }
        put(q, &q->t[k], g->first, pixels + (rest > 0), v);
    }
}

static void blot(const struct square *q, const struct gaps *g)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct byte_stretch *gap = &g->list[i];
        const uint64_t first = (gap->at - q->begin) >> 2 * q->z;
        const uint64_t last = (gap->at + gap->n - 1 - q->begin) >> 2 * q->z;
        for (uint64_t at = first; at <= last; at++)
            for (size_t k = 0; k < q->n; k++)
                put_pixel(q, &q->t[k], at,
                          gap->how == BYTES_WAITING ? SC_PIXEL_WAITING : SC_PIXEL_UNKNOWN);
    }
}

static int fill_near(struct square *q, uint64_t end, struct sc_error *e)
{
    uint8_t *p = sc_alloc(BLOCK);
    uint64_t bits[BLOCK / SC_BYTE_WINDOW] = {0};
    const size_t group = (size_t)GROUP << 2 * q->z; /* bytes */
    if (!p)
        return sc_fail_memory(e);
    for (uint64_t at = q->begin; at < end; at += BLOCK) {
        const size_t n = (size_t)SC_MIN((uint64_t)BLOCK, end - at);
        struct gaps gaps = {.q = q};
        sc_bytes_get(q->b, at, n, p, q->until, note_gap, &gaps);
        if (q->entropy)
            sc_byte_entropies(p, n, q->level, bits);
        for (size_t from = 0; from < n; from += group) {
            const struct group g = {.p = p + from,
                                    .n = SC_MIN(group, n - from),
                                    .bits = bits + from / SC_BYTE_WINDOW,
                                    .first = (at + from - q->begin) >> 2 * q->z};
            if (q->z)
                put_runs(q, &g);
            else
                put_values(q, &g);
        }
        blot(q, &gaps);
    }
    free(p);
    return 0;
}

/* ------------------------------------------------------------------------------------- far --- */

static bool is_counted(const struct sc_bytes *b, uint64_t from, uint64_t to)
{
    const uint64_t step = UINT64_C(1) << 2 * b->chunk_log4;
    if (!b->cells)
        return false;
    for (uint64_t at = from & ~(step - 1); at < to; at += step)
        if (!sc_bytes_counted(b, at))
            return false;
    return true;
}

static void put_sum(const struct square *q, uint64_t first, size_t n, const struct sc_byte_sum *sum)
{
    for (size_t k = 0; k < q->n; k++) {
        const uint32_t v = sc_byte_pixel(sum, q->t[k].plane);
        for (size_t i = 0; i < n; i++)
            put_pixel(q, &q->t[k], first + i, v);
    }
}

/* One window for neighbours that are not counted yet. */
static void sample(struct square *q, uint64_t first, size_t n, uint64_t at, uint64_t end)
{
    uint8_t p[SC_BYTE_WINDOW];
    struct sc_byte_sum sum = sc_byte_sum_of_none();
    struct gaps gaps = {.q = q};
    const size_t some = (size_t)SC_MIN(end - at, (uint64_t)SC_BYTE_WINDOW);
    const bool waited = q->waiting;
    q->waiting = false;
    sc_bytes_get(q->b, at, some, p, q->until, note_gap, &gaps);
    q->sampled = true;
    if (!gaps.n)
        sc_byte_sum_add(&sum, p, some, q->entropy, q->level);
    if (q->waiting)
        for (size_t k = 0; k < q->n; k++)
            for (size_t i = 0; i < n; i++)
                put_pixel(q, &q->t[k], first + i, SC_PIXEL_WAITING);
    else
        put_sum(q, first, n, &sum);
    q->waiting = q->waiting || waited;
}

static void fill_far(struct square *q, uint64_t end)
{
    struct sc_bytes *b = q->b;
    const uint64_t each = UINT64_C(1) << 2 * q->z;
    const uint64_t most = UINT64_C(1) << 2 * q->log2;
    const uint64_t n_all = SC_MIN(((end - q->begin - 1) >> 2 * q->z) + 1, most);
    const uint64_t step =
        b->o.remote ? GROUP : GROUP / 16; /* squares of pixels that share a sample */
    for (uint64_t i = 0; i < n_all; i += step) {
        const uint64_t n = SC_MIN(step, n_all - i), from = q->begin + i * each;
        if (q->z < b->cell_log4 || !is_counted(b, from, SC_MIN(from + n * each, end))) {
            sample(q, i, (size_t)n, from, end);
            continue;
        }
        for (uint64_t k = i; k < i + n; k++) {
            struct sc_byte_sum sum = sc_byte_sum_of_none();
            const uint64_t first = (q->begin + k * each) >> 2 * b->cell_log4;
            const uint64_t last = (SC_MIN(q->begin + (k + 1) * each, end) - 1) >> 2 * b->cell_log4;
            for (uint64_t cell = first; cell <= last; cell++)
                if (!sc_bytes_join_cell(b, cell, &sum))
                    q->missing = true;
            put_sum(q, k, 1, &sum);
        }
    }
}

/* ------------------------------------------------------------------------------------ tile --- */

static int fill_square(struct square *q, struct sc_error *e)
{
    const uint64_t run = UINT64_C(1) << 2 * (q->log2 + q->z);
    const uint64_t end = SC_MIN(q->begin + run, q->b->total);
    for (size_t k = 0; k < q->n; k++)
        q->t[k].flags &= ~(unsigned)SC_TILE_EMPTY;
    /* Of files that are elsewhere not more than a little at once. */
    if (q->z <= (q->b->o.remote && !atomic_load(&q->b->over) ? 1 : BYTES_NEAR)) {
        if (q->b->o.remote)
            sc_bytes_announce(q->b, q->begin, end - q->begin);
        return fill_near(q, end, e);
    }
    fill_far(q, end);
    return 0;
}

/* The part of a square that a tile shows: all of the tile, or all of the square. False: none. */
static bool find_square(struct square *q, uint64_t slice)
{
    const unsigned side = q->b->order; /* log2, of the square in units */
    if (q->t->x < 0 || q->t->y < 0)
        return false;
    const uint64_t x = (uint64_t)q->t->x, y = (uint64_t)q->t->y;
    q->state = 0;
    q->x = q->y = 0;
    if (side >= q->z + TILE_LOG2) {
        const unsigned levels = side - q->z - TILE_LOG2; /* of tiles in the square */
        if (x >> levels != slice || y >> levels)
            return false;
        const uint64_t tile =
            sc_curve_index(levels, x & ((UINT64_C(1) << levels) - 1), y, &q->state);
        q->log2 = TILE_LOG2;
        q->begin = (slice << 2 * side) + (tile << 2 * (TILE_LOG2 + q->z));
    } else {
        if (x || y || (q->z > side && slice)) /* a pixel of all is of both squares */
            return false;
        q->log2 = q->z > side ? 0 : side - q->z;
        q->x = slice << q->log2;
        q->begin = slice << 2 * side;
    }
    return q->begin < q->b->total;
}

/* Is every pixel of the tile going to be written? */
static bool is_covered(struct square *q)
{
    for (uint64_t slice = 0; slice < q->b->scene->n_places; slice++)
        if (find_square(q, slice) && q->log2 == TILE_LOG2)
            return q->b->total - q->begin >= UINT64_C(1) << 2 * (TILE_LOG2 + q->z);
    return false;
}

static bool is_bf16(const struct sc_tile *t)
{
    uint32_t any = 0;
    for (size_t i = 0; i < SC_COUNT(t->pixels) && (any & 0xffff) == 0; i += SC_SCENE_TILE)
        for (size_t k = 0; k < SC_SCENE_TILE; k++)
            any |= t->pixels[i + k];
    return (any & 0xffff) == 0;
}

int sc_bytes_tiles(struct sc_bytes *b, struct sc_tile *t, size_t n, unsigned patience,
                   struct sc_error *e)
{
    struct square q = {.b = b, .t = t, .n = n};
    q.level = sc_cpu_level();
    q.until = sc_microseconds() + (uint64_t)patience * 1000;
    for (size_t i = 0; i < n; i++) {
        if (t->z < 0 || t->z > MOST_ZOOM || !sc_plane_suits(t[i].plane, SC_SHOWS_BYTES))
            return sc_fail(e, SCRUPLE_EUSAGE, "bytes have no tiles of zoom %d and plane %s", t->z,
                           (unsigned)t[i].plane < SC_PLANES_ALL ? sc_plane_names[t[i].plane] : "?");
        t[i].z = t->z;
        t[i].x = t->x;
        t[i].y = t->y;
        t[i].flags = SC_TILE_EMPTY;
        q.entropy = q.entropy || t[i].plane == SC_PLANE_ENTROPY;
    }
    q.z = (unsigned)t->z;
    for (size_t i = 0; i < n && !is_covered(&q); i++)
        for (size_t k = 0; k < SC_COUNT(t[i].pixels); k++)
            t[i].pixels[k] = SC_PIXEL_OUTSIDE;
    for (uint64_t slice = 0; slice < b->scene->n_places; slice++)
        if (find_square(&q, slice))
            TRY(fill_square(&q, e));
    for (size_t i = 0; i < n; i++) {
        t[i].flags |= q.sampled || q.waiting ? q.sampled ? SC_TILE_SAMPLED : 0 : SC_TILE_EXACT;
        if (q.missing)
            t[i].flags |= SC_TILE_MISSING;
        const bool fractions =
            t[i].plane == SC_PLANE_ENTROPY || (q.z && t[i].plane == SC_PLANE_MEAN);
        t[i].bf16 = !fractions || is_bf16(&t[i]);
    }
    return 0;
}
