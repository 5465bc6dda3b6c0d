/* SPDX-License-Identifier: Apache-2.0 */
/* test_pmtiles: numbers of tiles as the specification has them, and archives that a reader of its
 * own finds every tile in, however many there are. */
#include "test.h"
#include "web/export.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <unistd.h>

#include "scratch.h"

TEST(numbers_of_the_specification)
{
    static const struct {
        unsigned z;
        uint64_t x, y, id;
    } tiles[] = {{0, 0, 0, 0},
                 {1, 0, 0, 1},
                 {1, 0, 1, 2},
                 {1, 1, 1, 3},
                 {1, 1, 0, 4},
                 {2, 0, 0, 5},
                 {12, 3423, 1763, 19078479}};
    for (size_t i = 0; i < SC_COUNT(tiles); i++)
        CHECK_U64(sc_pmtiles_id(tiles[i].z, tiles[i].x, tiles[i].y), tiles[i].id);
    CHECK_U64(sc_pmtiles_id(31, (UINT64_C(1) << 31) - 1, 0),
              ((UINT64_C(1) << 62) - 1) / 3 + (UINT64_C(1) << 62) - 1);
}

/* ---------------------------------------------------------------------------------- reading --- */

struct entry {
    uint64_t id, run, size, offset;
};

static uint64_t varint(const uint8_t **p)
{
    uint64_t v = 0;
    unsigned shift = 0;
    for (; **p & 128; shift += 7)
        v |= (uint64_t)(*(*p)++ & 127) << shift;
    return v | (uint64_t) * (*p)++ << shift;
}

static struct entry *read_directory(const uint8_t *packed, size_t size, size_t *n)
{
    enum { MOST = 16 << 20 };
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    uint8_t *bytes = malloc(MOST);
    size_t got = 0;
    CHECK(libdeflate_gzip_decompress(d, packed, size, bytes, MOST, &got) == LIBDEFLATE_SUCCESS);
    const uint8_t *p = bytes;
    *n = (size_t)varint(&p);
    struct entry *e = calloc(*n + 1, sizeof *e);
    for (size_t i = 0; i < *n; i++)
        e[i].id = varint(&p) + (i ? e[i - 1].id : 0);
    for (size_t i = 0; i < *n; i++)
        e[i].run = varint(&p);
    for (size_t i = 0; i < *n; i++)
        e[i].size = varint(&p);
    for (size_t i = 0; i < *n; i++) {
        const uint64_t v = varint(&p);
        e[i].offset = v ? v - 1 : e[i - 1].offset + e[i - 1].size;
    }
    CHECK(p == bytes + got);
    free(bytes);
    libdeflate_free_decompressor(d);
    return e;
}

static uint64_t get(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

/* How many tiles of `file` are what make() wrote, in the order of their numbers. */
static size_t right_tiles(const uint8_t *file, size_t size, uint64_t *leaves)
{
    size_t n, right = 0, n_leaf;
    uint64_t before = 0;
    const uint8_t *const data = file + get(file + 56, 8);
    *leaves = 0;
    if (memcmp(file, "PMTiles\3", 8) != 0 || get(file + 8, 8) + get(file + 16, 8) > 16384)
        return 0;
    CHECK_U64(get(file + 40, 8) + get(file + 48, 8), size);
    struct entry *root = read_directory(file + get(file + 8, 8), (size_t)get(file + 16, 8), &n);
    for (size_t i = 0; i < n; i++) {
        struct entry *leaf = &root[i], *own = NULL;
        n_leaf = 1;
        if (root[i].run == 0) {
            leaf = own = read_directory(file + get(file + 40, 8) + root[i].offset,
                                        (size_t)root[i].size, &n_leaf);
            CHECK_U64(leaf[0].id, root[i].id);
            ++*leaves;
        }
        for (size_t k = 0; k < n_leaf; k++) {
            uint64_t said = 0;
            if (leaf[k].size >= 8)
                memcpy(&said, data + leaf[k].offset, 8);
            right += leaf[k].run == 1 && said == leaf[k].id && leaf[k].size == 8 + said % 5 &&
                     (right == 0 || leaf[k].id > before);
            before = leaf[k].id;
        }
        free(own);
    }
    free(root);
    return right;
}

/* Tiles of zoom 0.. row by row, each the number that it has, and some bytes. */
static int make(int fd, size_t n, uint64_t *bytes, struct sc_error *e)
{
    const struct sc_pmtiles_facts facts = {
        .path = "here", .format = SC_PICTURES_PNG, .wide = 1, .high = 0.5, .metadata = "{}"};
    struct sc_pmtiles *p = NULL;
    int code = sc_pmtiles_new(fd, &p, e);
    size_t done = 0;
    for (int zoom = 0; code == 0 && done < n; zoom++)
        for (int64_t i = 0; code == 0 && done < n && i < INT64_C(1) << 2 * zoom; i++, done++) {
            const int64_t x = i & ((INT64_C(1) << zoom) - 1), y = i >> zoom;
            const uint64_t id = sc_pmtiles_id((unsigned)zoom, (uint64_t)x, (uint64_t)y);
            uint8_t body[16] = {0};
            uint64_t offset;
            memcpy(body, &id, 8);
            code = sc_pmtiles_place(p, zoom, x, y, 8 + id % 5, &offset, e);
            if (code == 0)
                CHECK(sc_pmtiles_put(p, body, 8 + id % 5, offset));
        }
    if (code == 0)
        code = sc_pmtiles_end(p, &facts, bytes, e);
    sc_pmtiles_free(p);
    return code;
}

TEST(every_tile_is_found)
{
    static const size_t many[] = {1, 2, 21, 4096, 4097, 9000, 400000};
    struct sc_error e;

    REQUIRE(scratch_new());
    for (size_t i = 0; i < SC_COUNT(many); i++) {
        const int fd = open(scratch_at("a.pmtiles"), O_RDWR | O_CREAT | O_TRUNC, 0600);
        uint64_t bytes = 0, leaves = 0;
        REQUIRE(fd >= 0);
        CHECK_U64(make(fd, many[i], &bytes, &e), 0);
        uint8_t *file = malloc((size_t)bytes);
        CHECK(pread(fd, file, (size_t)bytes, 0) == (ssize_t)bytes);
        CHECK_U64((uint64_t)lseek(fd, 0, SEEK_END), bytes);
        CHECK_U64(right_tiles(file, (size_t)bytes, &leaves), many[i]);
        CHECK(many[i] > 4096 ? leaves > 1 : leaves <= 1);
        CHECK_U64(get(file + 72, 8), many[i]);
        CHECK(file[97] == 2 && file[98] == 1 && file[99] == 2 && file[100] == 0);
        /* The upper half of the world. */
        CHECK_U64((uint32_t)get(file + 102, 4), (uint32_t)-1800000000);
        CHECK_U64((uint32_t)get(file + 106, 4), 0);
        CHECK_U64((uint32_t)get(file + 110, 4), 1800000000);
        CHECK_U64((uint32_t)get(file + 114, 4), 850511288);
        free(file);
        close(fd);
    }
    scratch_remove();
}

TEST(what_has_no_place)
{
    struct sc_pmtiles *p = NULL;
    struct sc_error e;
    uint64_t offset;

    CHECK_U64(sc_pmtiles_new(-1, &p, &e), 0);
    CHECK(sc_pmtiles_place(p, 32, 0, 0, 1, &offset, &e) == SCRUPLE_ELIMIT);
    CHECK(sc_pmtiles_place(p, -1, 0, 0, 1, &offset, &e) == SCRUPLE_ELIMIT);
    CHECK(sc_pmtiles_place(p, 3, 8, 0, 1, &offset, &e) == SCRUPLE_ELIMIT);
    CHECK(sc_pmtiles_place(p, 3, 0, -1, 1, &offset, &e) == SCRUPLE_ELIMIT);
    const struct sc_pmtiles_facts facts = {.path = "here", .metadata = "{}"};
    CHECK(sc_pmtiles_end(p, &facts, &offset, &e) == SCRUPLE_EUSAGE); /* no tile */
    sc_pmtiles_free(p);
}
