/* SPDX-License-Identifier: Apache-2.0 */
/* export_body: a tile as packed bytes.
 *
 * Bytes of one significance stand together, behind each other, after a rotation by one bit that
 * brings the sign to the end: so the first plane is the exponent, which a Huffman code makes short,
 * and the others are noise that is kept as it is. */
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "picture/literals.h"
#include "web/export.h"

enum { PIXELS = SC_SCENE_TILE * SC_SCENE_TILE, HEAD = 16, MOST_PLANES = 4, LEVEL = 6 };
enum { KIND_EMPTY = 2, KIND_ALIKE = 3, KIND_SPLIT_16 = 4, KIND_SPLIT_32 = 5 };

struct sc_body_work {
    uint8_t body[HEAD + MOST_PLANES * PIXELS];
    struct libdeflate_compressor *matches;
    size_t cap;
    uint8_t out[];
};

struct sc_body_work *sc_body_work_new(void)
{
    const size_t cap = MOST_PLANES * sc_deflate_bound(PIXELS) + 1024;
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

static void put_u32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> 8 * i);
}

static void put_head(uint8_t *to, const struct sc_tile *t, unsigned kind)
{
    memcpy(to, "SCT1", 4);
    to[4] = (uint8_t)t->flags;
    to[5] = (uint8_t)kind;
    to[6] = to[7] = 0;
    put_u32(to + 8, (uint32_t)t->z);
    put_u32(to + 12, 0);
}

static void split_16(const uint32_t *pixels, uint8_t *high, uint8_t *low)
{
    for (size_t i = 0; i < PIXELS; i++) {
        const uint32_t v = pixels[i] >> 16, r = v << 1 | v >> 15;
        high[i] = (uint8_t)(r >> 8);
        low[i] = (uint8_t)r;
    }
}

static void split_32(const uint32_t *pixels, uint8_t *planes)
{
    for (size_t i = 0; i < PIXELS; i++) {
        const uint32_t r = pixels[i] << 1 | pixels[i] >> 31;
        planes[i] = (uint8_t)(r >> 24);
        planes[PIXELS + i] = (uint8_t)(r >> 16);
        planes[2 * PIXELS + i] = (uint8_t)(r >> 8);
        planes[3 * PIXELS + i] = (uint8_t)r;
    }
}

static bool are_alike(const uint32_t *pixels)
{
    return memcmp(pixels, pixels + 1, (PIXELS - 1) * sizeof *pixels) == 0;
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

size_t sc_body_pack(struct sc_body_work *w, const struct sc_tile *t, const uint8_t **out)
{
    unsigned planes = 0;
    struct sc_bits b = {.to = w->out};

    *out = w->out;
    if (t->flags & SC_TILE_EMPTY) {
        put_head(w->body, t, KIND_EMPTY);
        sc_deflate_stored(&b, w->body, HEAD, true);
        return (size_t)(b.to - w->out);
    }
    if (are_alike(t->pixels)) {
        put_head(w->body, t, KIND_ALIKE);
        put_u32(w->body + HEAD, t->pixels[0]);
        sc_deflate_stored(&b, w->body, HEAD + 4, true);
        return (size_t)(b.to - w->out);
    }
    if (t->bf16) {
        planes = 2;
        put_head(w->body, t, KIND_SPLIT_16);
        split_16(t->pixels, w->body + HEAD, w->body + HEAD + PIXELS);
    } else {
        planes = 4;
        put_head(w->body, t, KIND_SPLIT_32);
        split_32(t->pixels, w->body + HEAD);
    }
    if (sc_deflate_has_runs(w->body + HEAD, PIXELS) &&
        sc_deflate_has_runs(w->body + HEAD + (planes - 1) * PIXELS, PIXELS)) {
        const size_t n = libdeflate_deflate_compress(w->matches, w->body, HEAD + planes * PIXELS,
                                                     w->out, w->cap);
        if (n)
            return n;
    }
    sc_deflate_stored(&b, w->body, HEAD, false);
    for (unsigned k = 0; k < planes; k++) {
        const uint8_t *p = w->body + HEAD + k * PIXELS;
        if (is_noise(p))
            sc_deflate_stored(&b, p, PIXELS, k + 1 == planes);
        else
            sc_deflate_literals(&b, p, PIXELS, k + 1 == planes);
    }
    sc_deflate_align(&b);
    return (size_t)(b.to - w->out);
}
