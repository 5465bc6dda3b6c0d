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

enum { PIXELS = SC_SCENE_TILE * SC_SCENE_TILE, HEAD = SC_TILE_HEAD, MOST_PLANES = 4, LEVEL = 1 };
enum { KIND_AT = 5, KIND_SPLIT = 4 }; /* kinds 4 and 5 are 0 and 1 in planes */

struct sc_body_work {
    uint8_t split[SC_TILE_BODY];
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

/* The upper 16 bits of pixels, or all, as planes, rotated; highest first. */
static inline __attribute__((always_inline)) void split(const uint32_t *restrict pixels,
                                                        unsigned planes, uint8_t *restrict out)
{
    for (size_t i = 0; i < PIXELS; i++) {
        const uint32_t v = pixels[i];
        out[i] = (uint8_t)(v >> 23);
        out[PIXELS + i] = (uint8_t)(planes == 2 ? (v >> 15 & 0xfe) | v >> 31 : v >> 15);
    }
    for (size_t i = 0; planes == 4 && i < PIXELS; i++) {
        const uint32_t v = pixels[i];
        out[i + 2 * (size_t)PIXELS] = (uint8_t)(v >> 7);
        out[i + 3 * (size_t)PIXELS] = (uint8_t)(v << 1 | v >> 31);
    }
}

/* The same of upper halves. */
static inline __attribute__((always_inline)) void split_two(const uint16_t *restrict halves,
                                                            uint8_t *restrict out)
{
    for (size_t i = 0; i < PIXELS; i++) {
        const unsigned v = halves[i];
        out[i] = (uint8_t)(v >> 7);
        out[PIXELS + i] = (uint8_t)(v << 1 | v >> 15);
    }
}

#if SC_HAVE_X86
SC_TARGET_AVX512 static void split_two_avx512(const uint16_t *halves, uint8_t *out)
{
    split_two(halves, out);
}

SC_TARGET_AVX512 static void split_avx512(const uint32_t *pixels, unsigned planes, uint8_t *out)
{
    split(pixels, planes, out);
}
#endif

static void split_pixels(const uint32_t *pixels, unsigned planes, uint8_t *out)
{
#if SC_HAVE_X86
    if (sc_cpu_level() == SC_CPU_AVX512) {
        split_avx512(pixels, planes, out);
        return;
    }
#endif
    split(pixels, planes, out);
}

static void split_halves(const uint16_t *halves, uint8_t *out)
{
#if SC_HAVE_X86
    if (sc_cpu_level() == SC_CPU_AVX512) {
        split_two_avx512(halves, out);
        return;
    }
#endif
    split_two(halves, out);
}

/* Whether a Huffman code would save something worth its time: as far as a sixteenth of the bytes
 * tells, from all columns, the sum of squares of frequencies is not that of noise. */
static bool is_noise(const uint8_t *p)
{
    enum { STEP = 61, TOGETHER = 4 };
    uint32_t count[TOGETHER][256] = {{0}};
    uint64_t squares = 0, n = 0;
    for (size_t i = 0; i + TOGETHER <= PIXELS; i += STEP, n += TOGETHER)
        for (size_t k = 0; k < TOGETHER; k++)
            count[k][p[i + k]]++;
    for (size_t k = 0; k < 256; k++) {
        const uint64_t all = (uint64_t)count[0][k] + count[1][k] + count[2][k] + count[3][k];
        squares += all * all;
    }
    return squares < n * n / 256 + n + n * n / 2048; /* noise has n * n / 256 + n */
}

/* Of the rows that are not of one pixel only: are many like the one above? `each`: bytes a pixel.
 */
static bool has_alike_rows(const void *pixels, size_t each)
{
    const size_t row = SC_SCENE_TILE * each;
    const uint8_t *at = pixels;
    size_t alike = 0, all = 0;
    for (size_t y = 1; y < SC_SCENE_TILE; y++) {
        at += row;
        if (memcmp(at, at + each, row - each) == 0)
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
        sc_deflate_nearly(b, p, PIXELS, last);
}

/* A head and planes, as they stand in w->split. */
static size_t pack_planes(struct sc_body_work *w, unsigned planes, bool alike_rows)
{
    const size_t n = HEAD + planes * (size_t)PIXELS;
    struct sc_deflate b = {.to = w->out};
    w->split[KIND_AT] |= KIND_SPLIT;
    if (alike_rows) {
        const size_t packed = libdeflate_deflate_compress(w->matches, w->split, n, w->out, w->cap);
        if (packed)
            return packed;
    }
    const bool runs = sc_deflate_has_runs(w->split + HEAD, PIXELS) &&
                      sc_deflate_has_runs(w->split + n - PIXELS, PIXELS);
    sc_deflate_stored(&b, w->split, HEAD, false);
    for (size_t k = 0; k < planes; k++)
        put_plane(&b, w->split + HEAD + k * PIXELS, runs, k + 1 == planes);
    sc_deflate_align(&b);
    return (size_t)(b.to - w->out);
}

size_t sc_body_pack(struct sc_body_work *w, const struct sc_tile *t, const uint8_t **out)
{
    unsigned planes;
    const size_t head = sc_tile_head(t, 0, w->split, &planes);
    struct sc_deflate b = {.to = w->out};

    *out = w->out;
    if (planes == 0) {
        sc_deflate_stored(&b, w->split, head, true);
        return (size_t)(b.to - w->out);
    }
    split_pixels(t->pixels, planes, w->split + HEAD);
    return pack_planes(w, planes, has_alike_rows(t->pixels, sizeof t->pixels[0]));
}

size_t sc_body_pack_halves(struct sc_body_work *w, struct sc_tile *t, const uint16_t *halves,
                           const uint8_t **out)
{
    unsigned planes;
    /* What the head says of pixels: are all the same? */
    t->pixels[0] = (uint32_t)halves[0] << 16;
    const bool alike = memcmp(halves, halves + 1, (PIXELS - 1) * sizeof *halves) == 0;
    for (size_t i = 1; i < (alike ? PIXELS : 2); i++)
        t->pixels[i] = alike ? t->pixels[0] : ~t->pixels[0];
    (void)sc_tile_head(t, 0, w->split, &planes);
    if (planes == 0)
        return sc_body_pack(w, t, out);
    *out = w->out;
    split_halves(halves, w->split + HEAD);
    return pack_planes(w, planes, has_alike_rows(halves, sizeof *halves));
}
