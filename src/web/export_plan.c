/* SPDX-License-Identifier: Apache-2.0 */
/* export_plan: which tiles of which levels an export has.
 *
 * Below zoom 0 a pixel belongs to one tensor at most, since tensors take whole units. Where all
 * that stands in a tile is shown element by element one level above, the tile is that level's,
 * each pixel as 2 x 2: it is not stored. So the deep levels, which only a few large tensors need,
 * are as small as these.
 *
 * A vector is drawn some units thick, which are thousands of pixels where each of its elements is
 * one. Tiles that it crosses from edge to edge are alike, so they share a body. */
#include <stdlib.h>
#include <string.h>

#include "web/export.h"

enum { LOG2_TILE = 8, MOST_TILES = 36 }; /* log2: so that a block has a number of 32 bits */
_Static_assert(SC_SCENE_TILE == 1 << LOG2_TILE, "a tile is 2^8 pixels");

/* The tile of a zoom that a unit is in: its first pixel. */
static int64_t tile_at(int64_t unit, int z)
{
    const int shift = z + LOG2_TILE;
    return shift >= 0 ? unit >> shift : (int64_t)((uint64_t)unit << -shift);
}

/* The last tile that [unit, unit + n) touches. */
static int64_t tile_of_end(int64_t unit, int64_t n, int z)
{
    const int shift = z + LOG2_TILE;
    return shift >= 0 ? (unit + n - 1) >> shift : (int64_t)((uint64_t)(unit + n) << -shift) - 1;
}

static bool is_exact(const struct sc_place *p, int z)
{
    return p->depth_x + z <= 0 && p->depth_y + z <= 0;
}

static bool is_needed(const struct sc_place *p, int z)
{
    return z >= 0 || !is_exact(p, z + 1);
}

struct range {
    int64_t x0, y0, x1, y1; /* tiles, inclusive */
};

static struct range tiles_of(const struct sc_place *p, int z)
{
    return (struct range){tile_at(p->x, z), tile_at(p->y, z), tile_of_end(p->x, p->w, z),
                          tile_of_end(p->y, p->h, z)};
}

/* ----------------------------------------------------------------------------------- blocks --- */

static int by_key(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct keys {
    uint64_t *p;
    size_t n, cap;
};

static void sort_keys(struct keys *k)
{
    size_t n = 0;
    if (k->n)
        qsort(k->p, k->n, sizeof *k->p, by_key);
    for (size_t i = 0; i < k->n; i++)
        if (n == 0 || k->p[n - 1] != k->p[i])
            k->p[n++] = k->p[i];
    k->n = n;
}

/* Blocks of a level, row by row, each once. */
static int find_blocks(const struct sc_scene *s, int z, struct keys *k, struct sc_error *e)
{
    size_t sorted = 4096;
    k->n = 0;
    for (size_t i = 0; i < s->n_places; i++) {
        const struct range r = tiles_of(&s->places[i], z);
        if (!is_needed(&s->places[i], z))
            continue;
        for (int64_t y = r.y0 >> SC_BLOCK_LOG2; y <= r.y1 >> SC_BLOCK_LOG2; y++)
            for (int64_t x = r.x0 >> SC_BLOCK_LOG2; x <= r.x1 >> SC_BLOCK_LOG2; x++) {
                TRY(sc_grow(&k->p, &k->cap, k->n + 1, sizeof *k->p, e));
                k->p[k->n++] = (uint64_t)y << 32 | (uint64_t)x;
            }
        if (k->n > sorted) { /* many places share a block */
            sort_keys(k);
            sorted = SC_MAX(2 * k->n, (size_t)4096);
        }
    }
    sort_keys(k);
    return 0;
}

static struct sc_export_block *block_at(const struct sc_export_plan *p,
                                        const struct sc_export_level *l, int64_t x, int64_t y)
{
    const uint64_t key = (uint64_t)y << 32 | (uint64_t)x;
    size_t low = 0, high = l->n_blocks;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        const struct sc_export_block *b = &p->blocks[l->first_block + mid];
        if (((uint64_t)b->y << 32 | b->x) < key)
            low = mid + 1;
        else
            high = mid;
    }
    struct sc_export_block *b = &p->blocks[l->first_block + low];
    return low < l->n_blocks && b->x == x && b->y == y ? b : NULL;
}

static uint32_t bits_between(int64_t first, int64_t last)
{
    const uint32_t all = UINT32_MAX;
    return (all << first) & (all >> (SC_BLOCK_SIDE - 1 - last));
}

/* A place in the blocks of its level. */
static void mark(const struct sc_export_plan *p, const struct sc_export_level *l,
                 const struct sc_place *place, bool alike)
{
    const struct range r = tiles_of(place, l->z);
    const bool mixed = !alike || l->z > 0 || !is_exact(place, l->z);
    for (int64_t by = r.y0 >> SC_BLOCK_LOG2; by <= r.y1 >> SC_BLOCK_LOG2; by++)
        for (int64_t bx = r.x0 >> SC_BLOCK_LOG2; bx <= r.x1 >> SC_BLOCK_LOG2; bx++) {
            struct sc_export_block *b = block_at(p, l, bx, by);
            const int64_t x = bx << SC_BLOCK_LOG2, y = by << SC_BLOCK_LOG2;
            const uint32_t bits = bits_between(SC_MAX(r.x0 - x, INT64_C(0)),
                                               SC_MIN(r.x1 - x, (int64_t)SC_BLOCK_SIDE - 1));
            if (!b)
                continue;
            b->thin = b->thin || place->rows == 1 || place->cols == 1;
            for (int64_t k = SC_MAX(r.y0 - y, INT64_C(0));
                 k <= SC_MIN(r.y1 - y, (int64_t)SC_BLOCK_SIDE - 1); k++) {
                b->need[k] |= bits;
                if (mixed)
                    b->mixed[k] |= bits;
            }
        }
}

static void set_bits(uint32_t *rows, int64_t x0, int64_t x1, int64_t y0, int64_t y1)
{
    x0 = SC_MAX(x0, INT64_C(0));
    x1 = SC_MIN(x1, (int64_t)SC_BLOCK_SIDE - 1);
    for (int64_t y = SC_MAX(y0, INT64_C(0)); y <= y1 && y < SC_BLOCK_SIDE && x0 <= x1; y++)
        rows[y] |= bits_between(x0, x1);
}

/* Tiles that [unit, unit + n) fills along an axis, but for the first: they are as the one before.
 * Counted from `first`, inclusive; *end < *start: none. */
static void filled(int64_t unit, int64_t n, int z, int64_t first, int64_t *start, int64_t *end)
{
    *start = tile_of_end(0, unit, z) + 2 - first;
    *end = tile_at(unit + n, z) - 1 - first;
}

/* Tiles of a block, one bit each, in both directions. */
struct likeness {
    uint32_t above[SC_BLOCK_SIDE], before[SC_BLOCK_SIDE];
};
struct comparing {
    int z;
    int64_t x, y;                  /* first tile of the block */
    struct likeness alike, unlike; /* as far as vectors go; what others make different */
};

/* The tile behind the end of a place differs from the last one in it, too. */
static int compare(void *ctx, const struct sc_place *pl)
{
    struct comparing *c = ctx;
    const struct range r = tiles_of(pl, c->z);
    const int64_t x0 = r.x0 - c->x, x1 = r.x1 - c->x, y0 = r.y0 - c->y, y1 = r.y1 - c->y;
    int64_t start = 0, end = -1;
    if (pl->rows == 1)
        filled(pl->y, pl->h, c->z, c->y, &start, &end);
    if (start > end) {
        set_bits(c->unlike.above, x0, x1, y0, y1 + 1);
    } else {
        set_bits(c->alike.above, x0, x1, start, end);
        set_bits(c->unlike.above, x0, x1, y0, start - 1);
        set_bits(c->unlike.above, x0, x1, end + 1, y1 + 1);
    }
    start = 0;
    end = -1;
    if (pl->cols == 1)
        filled(pl->x, pl->w, c->z, c->x, &start, &end);
    if (start > end) {
        set_bits(c->unlike.before, x0, x1 + 1, y0, y1);
    } else {
        set_bits(c->alike.before, start, end, y0, y1);
        set_bits(c->unlike.before, x0, start - 1, y0, y1);
        set_bits(c->unlike.before, end + 1, x1 + 1, y0, y1);
    }
    return 0;
}

/* Bodies that tiles of a block share: of two neighbours in which the same vectors stand from edge
 * to edge, and nothing else. */
static void share_bodies(const struct sc_scene *s, int z, struct sc_export_block *b)
{
    struct comparing c = {.z = z};
    const int64_t one = 1;
    const int log2 = z + LOG2_TILE; /* units of a tile */
    c.x = (int64_t)b->x << SC_BLOCK_LOG2;
    c.y = (int64_t)b->y << SC_BLOCK_LOG2;
    const int64_t x = log2 >= 0 ? c.x << log2 : c.x >> -log2;
    const int64_t y = log2 >= 0 ? c.y << log2 : c.y >> -log2;
    const int64_t n = log2 + SC_BLOCK_LOG2 >= 0 ? one << (log2 + SC_BLOCK_LOG2) : 1;
    (void)sc_scene_look(s, x, y, n, n, compare, &c);
    for (size_t k = 0; k < SC_BLOCK_SIDE; k++) {
        if (k > 0) /* the row above stands in another block */
            b->above[k] = c.alike.above[k] & ~c.unlike.above[k];
        b->before[k] = c.alike.before[k] & ~c.unlike.before[k] & ~UINT32_C(1);
    }
}

static unsigned count_bits(uint32_t v)
{
    return (unsigned)__builtin_popcount(v);
}

/* What follows from its bits. */
static void finish_block(struct sc_export_plan *p, struct sc_export_block *b)
{
    unsigned left = SC_BLOCK_SIDE, right = 0, top = SC_BLOCK_SIDE, bottom = 0;
    b->first = p->n_tiles;
    b->alike = true;
    for (unsigned k = 0; k < SC_BLOCK_SIDE; k++) {
        if (!b->need[k])
            continue;
        left = SC_MIN(left, (unsigned)__builtin_ctz(b->need[k]));
        right = SC_MAX(right, 31u - (unsigned)__builtin_clz(b->need[k]));
        top = SC_MIN(top, k);
        bottom = k;
        b->alike = b->alike && !b->mixed[k];
        p->n_tiles += count_bits(b->need[k]);
    }
    b->left = (uint8_t)left;
    b->top = (uint8_t)top;
    b->columns = (uint8_t)(right + 1 - left);
    b->rows = (uint8_t)(bottom + 1 - top);
}

static uint64_t table_bytes(const struct sc_export_plan *p, const struct sc_export_block *b)
{
    return (uint64_t)b->columns * b->rows * SC_ENTRY_BYTES * (b->alike ? 1 : p->n_planes);
}

static int add_level(struct sc_export_plan *p, const struct sc_scene *s, int z, struct keys *k,
                     struct sc_error *e)
{
    TRY(find_blocks(s, z, k, e));
    if (k->n == 0)
        return 0;
    TRY(sc_grow(&p->levels, &p->levels_cap, p->n_levels + 1, sizeof *p->levels, e));
    TRY(sc_grow(&p->blocks, &p->blocks_cap, p->n_blocks + k->n, sizeof *p->blocks, e));
    struct sc_export_level *l = &p->levels[p->n_levels++];
    *l = (struct sc_export_level){
        .z = z, .first_block = p->n_blocks, .n_blocks = k->n, .first = p->n_tiles};
    for (size_t i = 0; i < k->n; i++)
        p->blocks[p->n_blocks++] =
            (struct sc_export_block){.x = (uint32_t)k->p[i], .y = (uint32_t)(k->p[i] >> 32)};
    for (size_t i = 0; i < s->n_places; i++)
        if (is_needed(&s->places[i], z))
            mark(p, l, &s->places[i], s->shows != SC_SHOWS_BYTES); /* entropy is of many */
    for (size_t i = 0; i < k->n; i++) {
        struct sc_export_block *b = &p->blocks[l->first_block + i];
        finish_block(p, b);
        if (b->thin)
            share_bodies(s, z, b);
    }
    l->n = p->n_tiles - l->first;
    return 0;
}

/* ------------------------------------------------------------------------------------ index --- */

enum { HEAD_BYTES = 24, LEVEL_BYTES = 24, BLOCK_BYTES = 24 };

void sc_export_plan_place(struct sc_export_plan *p)
{
    uint64_t at = HEAD_BYTES + p->n_planes * ((uint64_t)p->n_levels * LEVEL_BYTES +
                                              (uint64_t)p->n_blocks * BLOCK_BYTES);
    for (size_t i = 0; i < p->n_levels; i++) {
        struct sc_export_level *l = &p->levels[i];
        for (size_t k = 0; k < l->n_blocks; k++) {
            struct sc_export_block *b = &p->blocks[l->first_block + k];
            b->table = at;
            at += table_bytes(p, b);
        }
        l->end = at;
    }
}

static void put_u32(struct sc_buf *b, uint64_t v)
{
    for (int i = 0; i < 4; i++)
        sc_buf_putc(b, (char)(v >> 8 * i & 255));
}

static void put_u64(struct sc_buf *b, uint64_t v)
{
    put_u32(b, v);
    put_u32(b, v >> 32);
}

int sc_export_head(const struct sc_export_plan *p, struct sc_buf *b)
{
    uint64_t blocks = HEAD_BYTES + (uint64_t)p->n_levels * p->n_planes * LEVEL_BYTES;
    uint64_t head = blocks;
    for (size_t i = 0; i < p->n_levels; i++)
        head += (uint64_t)p->levels[i].n_blocks * BLOCK_BYTES * p->n_planes;
    sc_buf_puts(b, "SCI1");
    put_u32(b, (uint64_t)p->n_levels * p->n_planes);
    put_u64(b, p->pack_bytes);
    put_u64(b, head);
    for (size_t i = 0; i < p->n_levels; i++)
        for (unsigned k = 0; k < p->n_planes; k++) {
            const struct sc_export_level *l = &p->levels[i];
            put_u32(b, (uint64_t)(int64_t)l->z);
            put_u32(b, p->planes[k]);
            put_u64(b, l->n_blocks);
            put_u64(b, blocks);
            blocks += (uint64_t)l->n_blocks * BLOCK_BYTES;
        }
    for (size_t i = 0; i < p->n_levels; i++)
        for (unsigned k = 0; k < p->n_planes; k++)
            for (size_t n = 0; n < p->levels[i].n_blocks; n++) {
                const struct sc_export_block *at = &p->blocks[p->levels[i].first_block + n];
                const uint64_t one = (uint64_t)at->columns * at->rows * SC_ENTRY_BYTES;
                put_u32(b, at->x);
                put_u32(b, at->y);
                put_u64(b, at->table + (at->alike ? 0 : k * one));
                sc_buf_putc(b, (char)at->left);
                sc_buf_putc(b, (char)at->top);
                sc_buf_putc(b, (char)at->columns);
                sc_buf_putc(b, (char)at->rows);
                put_u32(b, 0);
            }
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

uint64_t sc_export_entry(const struct sc_export_plan *p, const struct sc_export_at *at,
                         unsigned plane)
{
    const struct sc_export_block *b = &p->blocks[at->block];
    const uint64_t row = at->bit / SC_BLOCK_SIDE - b->top, col = at->bit % SC_BLOCK_SIDE - b->left;
    const uint64_t table = b->alike ? 0 : plane;
    return b->table + ((table * b->rows + row) * b->columns + col) * (uint64_t)SC_ENTRY_BYTES;
}

/* ------------------------------------------------------------------------------------ tiles --- */

static void set_at(const struct sc_export_plan *p, struct sc_export_at *at)
{
    const struct sc_export_block *b = &p->blocks[at->block];
    const unsigned row = at->bit / SC_BLOCK_SIDE, col = at->bit % SC_BLOCK_SIDE;
    at->x = ((int64_t)b->x << SC_BLOCK_LOG2) + col;
    at->y = ((int64_t)b->y << SC_BLOCK_LOG2) + row;
    at->mixed = b->mixed[row] >> col & 1;
    at->like = b->above[row] >> col & 1    ? SC_LIKE_ABOVE
               : b->before[row] >> col & 1 ? SC_LIKE_BEFORE
                                           : SC_LIKE_NONE;
}

void sc_export_tile_at(const struct sc_export_plan *p, uint64_t i, struct sc_export_at *out)
{
    size_t low = 0, high = p->n_blocks - 1;
    while (low < high) {
        const size_t mid = (low + high + 1) / 2;
        if (p->blocks[mid].first <= i)
            low = mid;
        else
            high = mid - 1;
    }
    const struct sc_export_block *b = &p->blocks[low];
    uint64_t left = i - b->first;
    unsigned row = 0;
    for (; left >= count_bits(b->need[row]); row++)
        left -= count_bits(b->need[row]);
    uint32_t bits = b->need[row];
    for (; left > 0; left--)
        bits &= bits - 1;
    out->block = low;
    out->bit = row * SC_BLOCK_SIDE + (unsigned)__builtin_ctz(bits);
    for (out->level = 0; low >= p->levels[out->level].first_block + p->levels[out->level].n_blocks;)
        out->level++;
    set_at(p, out);
}

bool sc_export_next(const struct sc_export_plan *p, struct sc_export_at *at)
{
    unsigned bit = at->bit + 1;
    for (size_t block = at->block; block < p->n_blocks; block++, bit = 0)
        for (; bit < SC_BLOCK_SIDE * SC_BLOCK_SIDE; bit++) {
            const uint32_t row = p->blocks[block].need[bit / SC_BLOCK_SIDE];
            if (!(row >> bit % SC_BLOCK_SIDE & 1))
                continue;
            at->block = block;
            at->bit = bit;
            while (block >= p->levels[at->level].first_block + p->levels[at->level].n_blocks)
                at->level++;
            set_at(p, at);
            return true;
        }
    return false;
}

/* ------------------------------------------------------------------------------------ walks --- */

/* The stored tile (x, y) of a level; false: it is none. */
static bool find_tile(const struct sc_export_plan *p, size_t level, int64_t x, int64_t y,
                      struct sc_export_at *out)
{
    const struct sc_export_block *b =
        block_at(p, &p->levels[level], x >> SC_BLOCK_LOG2, y >> SC_BLOCK_LOG2);
    const unsigned col = (unsigned)x % SC_BLOCK_SIDE, row = (unsigned)y % SC_BLOCK_SIDE;
    if (!b || !(b->need[row] >> col & 1))
        return false;
    *out = (struct sc_export_at){
        .level = level, .block = (size_t)(b - p->blocks), .bit = row * SC_BLOCK_SIDE + col};
    set_at(p, out);
    return true;
}

static bool find_above(const struct sc_export_plan *p, const struct sc_export_at *at,
                       struct sc_export_at *out)
{
    return at->level > 0 && p->levels[at->level - 1].z == p->levels[at->level].z + 1 &&
           find_tile(p, at->level - 1, at->x >> 1, at->y >> 1, out);
}

/* The first stored one of the four below, from number q on. */
static bool find_below(const struct sc_export_plan *p, const struct sc_export_at *at, unsigned q,
                       struct sc_export_at *out)
{
    if (at->level + 1 >= p->n_levels || p->levels[at->level + 1].z != p->levels[at->level].z - 1)
        return false;
    for (; q < 4; q++)
        if (find_tile(p, at->level + 1, 2 * at->x + (q & 1), 2 * at->y + (q >> 1), out))
            return true;
    return false;
}

bool sc_export_walk_start(struct sc_export_walk *w, const struct sc_export_plan *p)
{
    w->p = p;
    if (p->n_tiles == 0)
        return false;
    sc_export_tile_at(p, 0, &w->root);
    w->at = w->root;
    return true;
}

bool sc_export_walk_next(struct sc_export_walk *w)
{
    struct sc_export_at at = w->at, above;
    if (find_below(w->p, &at, 0, &w->at))
        return true;
    for (; find_above(w->p, &at, &above); at = above)
        if (find_below(w->p, &above, (unsigned)((at.x & 1) + 2 * (at.y & 1)) + 1, &w->at))
            return true;
    while (sc_export_next(w->p, &w->root))
        if (!find_above(w->p, &w->root, &above)) {
            w->at = w->root;
            return true;
        }
    return false;
}

void sc_export_plan_cut(struct sc_export_plan *p, size_t n_levels)
{
    if (n_levels >= p->n_levels)
        return;
    p->n_levels = n_levels;
    p->n_blocks =
        n_levels ? p->levels[n_levels - 1].first_block + p->levels[n_levels - 1].n_blocks : 0;
    p->n_tiles = n_levels ? p->levels[n_levels - 1].first + p->levels[n_levels - 1].n : 0;
}

int sc_export_plan_new(const struct sc_scene *s, unsigned planes, unsigned max_zoom,
                       uint64_t pack_bytes, struct sc_export_plan *out, struct sc_error *e)
{
    struct keys k = {0};
    int code = 0;

    memset(out, 0, sizeof *out);
    out->pack_bytes = pack_bytes;
    for (unsigned i = 0; i < SC_PLANES_ALL; i++)
        if (planes >> i & 1)
            out->planes[out->n_planes++] = (enum sc_plane)i;
    for (int z = s->top; z >= -s->deepest && (unsigned)(s->top - z) <= max_zoom && code == 0; z--) {
        if (SC_MAX(s->w, s->h) >> SC_MIN(MOST_TILES + z + LOG2_TILE, 62) > 0) {
            out->cut = true;
            break;
        }
        code = add_level(out, s, z, &k, e);
    }
    free(k.p);
    if (code < 0) {
        sc_export_plan_clear(out);
        return code;
    }
    sc_export_plan_place(out);
    return 0;
}

void sc_export_plan_clear(struct sc_export_plan *p)
{
    free(p->levels);
    free(p->blocks);
    memset(p, 0, sizeof *p);
}
