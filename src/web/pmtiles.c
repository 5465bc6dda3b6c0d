/* SPDX-License-Identifier: Apache-2.0 */
/* pmtiles: pictures of tiles in one file whose parts are read by ranges: PMTiles version 3
 * (https://github.com/protomaps/PMTiles, spec/v3).
 *
 *     header | root directory | tiles ... | metadata | other directories
 *
 * A directory names tiles by their place on the Hilbert curves of all zooms, one after the other.
 * The first 16 KiB hold the root: all tiles, or where the directories of some thousands each are.
 * The place of a tile is known once its size is, so bodies may be written while others are made. */
#include <libdeflate.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hub/cache.h"
#include "picture/curve.h"
#include "web/export.h"

enum {
    HEADER = 127,
    FRONT = 16384,   /* header and root: what a reader asks for first */
    DEEPEST = 31,    /* zoom whose tiles all have a number of 64 bits */
    KNOWN = 1 << 16, /* tiles whose places are at hand, by the last bits of their numbers */
    AT_ONCE = 4096,  /* entries of a directory, or twice as many, ... */
    PACKED = 6,      /* level of gzip, as gzip has it */
    MOST_VARINT = 10 /* bytes */
};
enum { PACKED_NONE = 1, PACKED_GZIP = 2, TYPE_PNG = 2, TYPE_AVIF = 5 };

struct entry {
    uint64_t id, offset;
    uint32_t size;
    bool directory; /* of entries from this id on */
};
struct sc_pmtiles {
    int fd;
    struct sc_stage *stage;
    struct entry *entries; /* pages */
    size_t n, cap;
    uint64_t n_bodies, bytes; /* of tiles */
    struct entry *known;      /* (KNOWN) size 0: none */
    int deepest;              /* zoom that has tiles */
    struct libdeflate_compressor *gzip;
};

int sc_pmtiles_new(int fd, struct sc_pmtiles **out, struct sc_error *e)
{
    struct sc_pmtiles *p = sc_calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return sc_fail_memory(e);
    p->fd = fd;
    p->stage = sc_stage_new();
    p->gzip = libdeflate_alloc_compressor(PACKED);
    p->known = sc_calloc(KNOWN, sizeof *p->known);
    if (!p->stage || !p->gzip || !p->known) {
        sc_pmtiles_free(p);
        return sc_fail_memory(e);
    }
    *out = p;
    return 0;
}

void sc_pmtiles_free(struct sc_pmtiles *p)
{
    if (!p)
        return;
    sc_stage_free(p->stage);
    sc_pages_free(p->entries);
    free(p->known);
    libdeflate_free_compressor(p->gzip);
    free(p);
}

/* ----------------------------------------------------------------------------------- tiles --- */

uint64_t sc_pmtiles_id(unsigned zoom, uint64_t x, uint64_t y)
{
    unsigned state = 0;
    return ((UINT64_C(1) << 2 * zoom) - 1) / 3 + sc_curve_index(zoom, x, y, &state);
}

static int add_entry(struct sc_pmtiles *p, const struct entry *x, struct sc_error *e)
{
    TRY(sc_pages_grow(true, &p->entries, &p->cap, p->n + 1, sizeof *p->entries, e));
    p->entries[p->n++] = *x;
    p->known[x->id % KNOWN] = *x;
    return 0;
}

int sc_pmtiles_place(struct sc_pmtiles *p, int zoom, int64_t x, int64_t y, size_t size,
                     uint64_t *offset, struct sc_error *e)
{
    if (zoom < 0 || zoom > DEEPEST || x < 0 || y < 0 || x >> zoom || y >> zoom)
        return sc_fail(
            e, SCRUPLE_ELIMIT,
            "PMTiles has zooms 0 to %d and tiles inside of the first, but not %d/%lld/%lld",
            (int)DEEPEST, zoom, (long long)x, (long long)y);
    const struct entry entry = {.id = sc_pmtiles_id((unsigned)zoom, (uint64_t)x, (uint64_t)y),
                                .offset = p->bytes,
                                .size = (uint32_t)size};
    TRY(add_entry(p, &entry, e));
    *offset = p->bytes;
    p->bytes += size;
    p->n_bodies++;
    p->deepest = SC_MAX(p->deepest, zoom);
    return 0;
}

bool sc_pmtiles_again(struct sc_pmtiles *p, int zoom, int64_t x, int64_t y, int64_t like_x,
                      int64_t like_y)
{
    const uint64_t like = sc_pmtiles_id((unsigned)zoom, (uint64_t)like_x, (uint64_t)like_y);
    struct entry entry = p->known[like % KNOWN];
    if (entry.size == 0 || entry.id != like)
        return false;
    entry.id = sc_pmtiles_id((unsigned)zoom, (uint64_t)x, (uint64_t)y);
    return add_entry(p, &entry, NULL) == 0;
}

bool sc_pmtiles_put(struct sc_pmtiles *p, const void *bytes, size_t n, uint64_t offset)
{
    return sc_stage_put(p->stage, p->fd, bytes, n, FRONT + offset);
}

void sc_pmtiles_slow(struct sc_pmtiles *p)
{
    sc_stage_plain(p->stage);
}

/* ----------------------------------------------------------------------------- directories --- */

static void put_varint(struct sc_buf *b, uint64_t v)
{
    char bytes[MOST_VARINT];
    size_t n = 0;
    for (; v > 127; v >>= 7)
        bytes[n++] = (char)((v & 127) | 128);
    bytes[n++] = (char)v;
    sc_buf_put(b, bytes, n);
}

static int pack(const struct sc_pmtiles *p, struct sc_buf *b, struct sc_error *e)
{
    const size_t most = libdeflate_gzip_compress_bound(p->gzip, b->n);
    char *to = b->failed ? NULL : sc_alloc(most);
    if (!to)
        return sc_fail_memory(e);
    const size_t n = libdeflate_gzip_compress(p->gzip, b->p, b->n, to, most);
    b->n = 0;
    sc_buf_put(b, to, n);
    free(to);
    return n && !b->failed ? 0 : sc_fail_memory(e);
}

/* Entries as columns: numbers, how many tiles each is of (0: it is a directory), sizes, places. */
static int put_directory(const struct sc_pmtiles *p, const struct entry *x, size_t n,
                         struct sc_buf *b, struct sc_error *e)
{
    b->n = 0;
    put_varint(b, n);
    for (size_t i = 0; i < n; i++)
        put_varint(b, x[i].id - (i ? x[i - 1].id : 0));
    for (size_t i = 0; i < n; i++)
        put_varint(b, !x[i].directory);
    for (size_t i = 0; i < n; i++)
        put_varint(b, x[i].size);
    for (size_t i = 0; i < n; i++)
        put_varint(b, i && x[i].offset == x[i - 1].offset + x[i - 1].size ? 0 : x[i].offset + 1);
    return pack(p, b, e);
}

/* Directories of `each` entries one behind the other, and the one that names them. */
static int put_leaves(const struct sc_pmtiles *p, size_t each, struct sc_buf *leaves,
                      struct sc_buf *root, struct sc_error *e)
{
    struct entry *names = NULL;
    struct sc_buf one = {0};
    size_t n = 0, cap = 0;
    int code = 0;
    leaves->n = 0;
    for (size_t i = 0; i < p->n && code == 0; i += each) {
        code = put_directory(p, p->entries + i, SC_MIN(each, p->n - i), &one, e);
        if (code == 0)
            code = sc_grow(&names, &cap, n + 1, sizeof *names, e);
        if (code == 0)
            names[n++] = (struct entry){p->entries[i].id, leaves->n, (uint32_t)one.n, true};
        sc_buf_put(leaves, one.p, one.n);
    }
    if (code == 0 && leaves->failed)
        code = sc_fail_memory(e);
    if (code == 0)
        code = put_directory(p, names, n, root, e);
    free(names);
    sc_buf_clear(&one);
    return code;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* The root, which fits in front, and what it names. */
static int make_directories(struct sc_pmtiles *p, struct sc_buf *root, struct sc_buf *leaves,
                            struct sc_error *e)
{
    sc_sort(p->entries, p->n, sizeof *p->entries, compare_entries);
    if (p->n <= AT_ONCE) {
        TRY(put_directory(p, p->entries, p->n, root, e));
        if (root->n <= FRONT - HEADER)
            return 0;
    }
    for (size_t each = AT_ONCE;; each *= 2) {
        TRY(put_leaves(p, each, leaves, root, e));
        if (root->n <= FRONT - HEADER)
            return 0;
    }
}

/* ---------------------------------------------------------------------------------- header --- */

/* Degrees of a place in the square of the world, 0 to 1 from its upper left corner. */
static void put_place(uint8_t *to, double x, double y)
{
    const double pi = 3.14159265358979323846;
    const double east = x * 360 - 180, north = atan(sinh(pi * (1 - 2 * y))) * 180 / pi;
    sc_put_le(to, (uint32_t)(int32_t)lrint(east * 1e7), 4);
    sc_put_le(to + 4, (uint32_t)(int32_t)lrint(north * 1e7), 4);
}

static void make_header(const struct sc_pmtiles *p, const struct sc_pmtiles_facts *f,
                        const struct sc_buf *root, const struct sc_buf *metadata,
                        const struct sc_buf *leaves, uint8_t h[HEADER])
{
    const uint64_t behind = FRONT + p->bytes;
    const uint64_t words[] = {HEADER,     root->n, behind,   metadata->n, behind + metadata->n,
                              leaves->n,  FRONT,   p->bytes, p->n,        p->n,
                              p->n_bodies};
    memset(h, 0, HEADER);
    memcpy(h, "PMTiles\3", 8);
    for (size_t i = 0; i < SC_COUNT(words); i++)
        sc_put_le(h + 8 + 8 * i, words[i], 8);
    h[96] = 0; /* tiles are not in the order of their numbers */
    h[97] = PACKED_GZIP;
    h[98] = PACKED_NONE;
    h[99] = f->format == SC_PICTURES_AVIF ? TYPE_AVIF : TYPE_PNG;
    h[100] = 0;
    h[101] = (uint8_t)p->deepest;
    put_place(h + 102, 0, f->high);
    put_place(h + 110, f->wide, 0);
    h[118] = 0;
    put_place(h + 119, f->wide / 2, f->high / 2);
}

static bool write_all(struct sc_pmtiles *p, const uint8_t *header, const struct sc_buf *root,
                      const struct sc_buf *metadata, const struct sc_buf *leaves)
{
    const uint64_t behind = FRONT + p->bytes;
    return sc_stage_flush(p->stage) && sc_write_at(p->fd, header, HEADER, 0) &&
           sc_write_at(p->fd, root->p, root->n, HEADER) &&
           sc_write_at(p->fd, metadata->p, metadata->n, behind) &&
           (!leaves->n || sc_write_at(p->fd, leaves->p, leaves->n, behind + metadata->n));
}

int sc_pmtiles_end(struct sc_pmtiles *p, const struct sc_pmtiles_facts *f, uint64_t *bytes,
                   struct sc_error *e)
{
    struct sc_buf root = {0}, leaves = {0}, metadata = {0};
    uint8_t header[HEADER];
    sc_buf_puts(&metadata, f->metadata);
    int code =
        p->n ? pack(p, &metadata, e) : sc_fail(e, SCRUPLE_EUSAGE, "there is nothing to draw");
    if (code == 0)
        code = make_directories(p, &root, &leaves, e);
    if (code == 0) {
        make_header(p, f, &root, &metadata, &leaves, header);
        if (!write_all(p, header, &root, &metadata, &leaves))
            code = sc_export_failed(f->path, e);
    }
    *bytes = FRONT + p->bytes + metadata.n + leaves.n;
    sc_buf_clear(&root);
    sc_buf_clear(&leaves);
    sc_buf_clear(&metadata);
    return code;
}
