/* SPDX-License-Identifier: Apache-2.0 */
/* export_body: a tile as packed bytes.
 *
 * Bytes of one significance stand together, behind each other, after a rotation by one bit that
 * brings the sign to the end: so the first plane is the exponent, which a Huffman code makes short,
 * and the others are noise that is kept as it is. Runs are where nothing stands; rows that look
 * like the one above, of vectors that are drawn thick, are left to libdeflate's matches, which take
 * ten times as long. */
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "picture/deflate.h"
#include "web/export.h"

enum { PIXELS = SC_SCENE_TILE * SC_SCENE_TILE, HEAD = 16, MOST_PLANES = 4, LEVEL = 1 };
enum { KIND_AT = 5, KIND_SPLIT = 4 }; /* kinds 4 and 5 are 0 and 1 in planes */

struct sc_body_work {
    uint8_t body[SC_TILE_BODY], split[SC_TILE_BODY];
    struct libdeflate_compressor *matches;
    size_t cap;
    uint8_t out[];
};

struct sc_body_work *sc_body_work_new(void)
{
    const size_t cap = MOST_PLANES * (2 * (size_t)PIXELS) + 1024;
    struct sc_body_work *w = sc_alloc(sizeof *w + cap);
    if (!w)
        return NULL;
    w->cap = cap;
    w->matches = libdeflate_alloc_compressor(LEVEL);
    if (!w->matches) {
        free(w);
        return NULL;
    }
    return w;
}

void sc_body_work_free(struct sc_body_work *w)
{
    if (!w)
        return;
    libdeflate_free_compressor(w->matches);
    free(w);
}

/* Little-endian numbers of 2 or 4 bytes as planes, rotated; highest first. */
static void split_16(const uint8_t *from, uint8_t *high, uint8_t *low)
{
    for (size_t i = 0; i < PIXELS; i++) {
        const unsigned v = from[2 * i] | (unsigned)from[2 * i + 1] << 8;
        high[i] = (uint8_t)(v >> 7);
        low[i] = (uint8_t)(v << 1 | v >> 15);
    }
}

static void split_32(const uint8_t *from, uint8_t *planes)
{
    for (size_t i = 0; i < PIXELS; i++) {
        const uint32_t v = from[4 * i] | (uint32_t)from[4 * i + 1] << 8 |
                           (uint32_t)from[4 * i + 2] << 16 | (uint32_t)from[4 * i + 3] << 24;
        planes[i] = (uint8_t)(v >> 23);
        planes[PIXELS + i] = (uint8_t)(v >> 15);
        planes[2 * PIXELS + i] = (uint8_t)(v >> 7);
        planes[3 * PIXELS + i] = (uint8_t)(v << 1 | v >> 31);
    }
}

/* Whether a Huffman code would save something worth its time: as far as every fourth byte tells,
 * the sum of squares of frequencies is not that of noise. */
static bool is_noise(const uint8_t *p)
{
    uint32_t count[4][256] = {{0}};
    uint64_t squares = 0;
    for (size_t i = 0; i < PIXELS; i += 16)
        for (size_t k = 0; k < 4; k++)
            count[k][p[i + k]]++;
    for (size_t k = 0; k < 256; k++) {
        const uint64_t n = (uint64_t)count[0][k] + count[1][k] + count[2][k] + count[3][k];
        squares += n * n;
    }
    const uint64_t n = PIXELS / 4;
    return squares < n * n / 256 + n + n * n / 2048; /* noise has n * n / 256 + n */
}

/* Of the rows that are not of one pixel only: are many like the one above? */
static bool has_alike_rows(const uint8_t *body, size_t bytes)
{
    const size_t row = bytes / SC_SCENE_TILE, pixel = row / SC_SCENE_TILE;
    size_t alike = 0, all = 0;
    for (size_t y = 1; y < SC_SCENE_TILE; y++) {
        const uint8_t *at = body + y * row;
        if (memcmp(at, at + pixel, row - pixel) == 0)
            continue;
        all++;
        alike += memcmp(at, at - row, row) == 0;
    }
    return alike > 0 && alike >= all / 4;
}

static void put_plane(struct sc_deflate *b, const uint8_t *p, bool runs, bool last)
{
    if (is_noise(p))
        sc_deflate_stored(b, p, PIXELS, last);
    else if (runs && sc_deflate_has_runs(p, PIXELS))
        sc_deflate_sparse(b, p, PIXELS, last);
    else
        sc_deflate_literals(b, p, PIXELS, last);
}

size_t sc_body_pack(struct sc_body_work *w, const struct sc_tile *t, const uint8_t **out)
{
    const size_t n = sc_tile_body(t, 0, w->body);
    const size_t planes = (n - HEAD) / PIXELS;
    struct sc_deflate b = {.to = w->out};

    *out = w->out;
    if (planes == 0) {
        sc_deflate_stored(&b, w->body, n, true);
        return (size_t)(b.to - w->out);
    }
    memcpy(w->split, w->body, HEAD);
    w->split[KIND_AT] |= KIND_SPLIT;
    if (planes == 2)
        split_16(w->body + HEAD, w->split + HEAD, w->split + HEAD + PIXELS);
    else
        split_32(w->body + HEAD, w->split + HEAD);
    const bool runs = sc_deflate_has_runs(w->split + HEAD, PIXELS) &&
                      sc_deflate_has_runs(w->split + n - PIXELS, PIXELS);
    if (has_alike_rows(w->body + HEAD, n - HEAD)) {
        const size_t packed = libdeflate_deflate_compress(w->matches, w->split, n, w->out, w->cap);
        if (packed)
            return packed;
    }
    sc_deflate_stored(&b, w->split, HEAD, false);
    for (size_t k = 0; k < planes; k++)
        put_plane(&b, w->split + HEAD + k * PIXELS, runs, k + 1 == planes);
    sc_deflate_align(&b);
    return (size_t)(b.to - w->out);
}
