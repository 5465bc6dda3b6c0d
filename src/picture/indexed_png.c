/* SPDX-License-Identifier: Apache-2.0 */
/* indexed_png: pictures of 8-bit indices as PNG (ISO/IEC 15948), written as they come.
 *
 * Weights look like noise: matches are rare and filters make noise larger, so rows are not filtered
 * and a strip becomes one block of deflate (deflate.c). */
#include "picture/colour.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "picture/deflate.h"

enum { STRIP = 1 << 16 /* bytes of a block, about */ };

/* --------------------------------------------------------------------------------- chunks --- */

static void put_u32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Length, type and checksum around n bytes that lie at chunk + 8; its size. */
static size_t close_chunk(uint8_t *chunk, const char *type, size_t n)
{
    put_u32(chunk, (uint32_t)n);
    memcpy(chunk + 4, type, 4);
    put_u32(chunk + 8 + n, libdeflate_crc32(0, chunk + 4, n + 4));
    return n + 12;
}

enum { HEAD = 8 + 25 + 12 + 768 };

/* What a picture is: rows of indices of `depth` bits into a palette of `colours` colours. */
struct shape {
    uint32_t width, height;
    unsigned depth, colours;
    uint8_t rgb[256][3];
};

static size_t bytes_of_row(const struct shape *s)
{
    return ((size_t)s->width * s->depth + 7) / 8;
}

/* Signature, size and palette. */
static size_t put_head(uint8_t *out, const struct shape *s)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t *to = out;

    memcpy(to, signature, 8);
    to += 8;
    put_u32(to + 8, s->width);
    put_u32(to + 12, s->height);
    to[16] = (uint8_t)s->depth;
    memcpy(to + 17, "\x03\0\0", 4); /* palette, deflate, filters, not interlaced */
    to += close_chunk(to, "IHDR", 13);
    memcpy(to + 8, s->rgb, (size_t)s->colours * 3);
    to += close_chunk(to, "PLTE", (size_t)s->colours * 3);
    return (size_t)(to - out);
}

/* What n bytes of rows take at most in one block, its chunk and what ends a picture around it. A
 * word has at most 14 bits, and literals are written only where they cost less than 9 each or
 * nearly so; runs take fewer. */
static size_t strip_bound(size_t n)
{
    return n + n * (SC_DEFLATE_LONGEST - 8) / 8 + n / 1000 + 1024;
}

struct sc_indexed_png {
    struct shape shape;
    uint32_t row;
    bool fast, begun;
    bool tile; /* one block, whose code may be a little worse than the best */
    int status;
    uint32_t adler;
    size_t in_strip; /* bytes of rows that wait, with their filter bytes */
    size_t rows_of_strip;
    uint8_t *strip;
    uint16_t *work;         /* of a strip with runs */
    uint8_t *chunk;         /* where the next one is made */
    uint8_t *owned;         /* what to free of it; NULL: it is the caller's, and moves on */
    struct sc_deflate bits; /* those of the last byte: `to` is set for each chunk */
    int (*put)(void *ctx, const void *p, size_t n);
    void *ctx;
};

/* Takes over shape, fast, tile, put, ctx and perhaps chunk of `like`. */
static int new_picture(const struct sc_indexed_png *like, struct sc_indexed_png **out,
                       struct sc_error *e)
{
    struct sc_indexed_png *p;
    uint32_t width = like->shape.width, height = like->shape.height;

    *out = NULL;
    if (!width || !height || width > INT32_MAX || height > INT32_MAX)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "a PNG has 1 to 2147483647 pixels a side, but this one would have %u x %u",
                       (unsigned)width, (unsigned)height);
    p = sc_alloc(sizeof *p);
    if (!p)
        return sc_fail_memory(e);
    *p = *like;
    p->adler = 1;
    p->rows_of_strip = SC_MAX(STRIP / (bytes_of_row(&p->shape) + 1), (size_t)1);
    if (p->tile) /* its caller has room for all of it */
        p->rows_of_strip = height;
    p->rows_of_strip = SC_MIN(p->rows_of_strip, (size_t)height);
    size_t bytes = p->rows_of_strip * (bytes_of_row(&p->shape) + 1);
    p->strip = sc_alloc(bytes);
    if (!p->chunk)
        p->chunk = p->owned = sc_alloc(SC_MAX(strip_bound(bytes), (size_t)HEAD) + 64);
    if (!p->strip || !p->chunk) {
        sc_indexed_png_free(p);
        return sc_fail_memory(e);
    }
    *out = p;
    return 0;
}

int sc_indexed_png_new(uint32_t width, uint32_t height, const struct sc_palette *palette, bool fast,
                       int (*put_bytes)(void *ctx, const void *p, size_t n), void *ctx,
                       struct sc_indexed_png **out, struct sc_error *e)
{
    struct sc_indexed_png like = {
        .shape = {.width = width, .height = height, .depth = 8, .colours = 256},
        .fast = fast,
        .put = put_bytes,
        .ctx = ctx};

    memcpy(like.shape.rgb, palette->rgb, sizeof like.shape.rgb);
    return new_picture(&like, out, e);
}

void sc_indexed_png_free(struct sc_indexed_png *p)
{
    if (!p)
        return;
    free(p->strip);
    free(p->work);
    free(p->owned);
    free(p);
}

/* n bytes at p->chunk are done. */
static int deliver(struct sc_indexed_png *p, size_t n, struct sc_error *e)
{
    if (!p->owned) {
        p->chunk += n;
        return 0;
    }
    if (!p->status)
        p->status = p->put(p->ctx, p->chunk, n);
    return p->status ? sc_fail(e, SCRUPLE_EWRITE, "the picture cannot be written") : 0;
}

/* The strip as a chunk. The last one also ends the stream of bits. */
static int end_strip(struct sc_indexed_png *p, bool last, struct sc_error *e)
{
    if (!p->begun && deliver(p, put_head(p->chunk, &p->shape), e) < 0)
        return e->code;
    bool runs = !p->fast && sc_deflate_has_runs(p->strip, p->in_strip);
    const bool sparse = runs && p->tile && sc_deflate_has_long_runs(p->strip, p->in_strip);
    if (runs && !sparse && !p->work)
        p->work = sc_alloc(p->rows_of_strip * (bytes_of_row(&p->shape) + 1) * sizeof *p->work);
    if (runs && !sparse && !p->work)
        return sc_fail_memory(e);
    uint8_t *start = p->chunk + 8;
    p->bits.to = start;
    if (!p->begun) {
        *p->bits.to++ = 0x78; /* deflate, a window of 32 KiB */
        *p->bits.to++ = 0x01;
        p->begun = true;
    }
    p->adler = libdeflate_adler32(p->adler, p->strip, p->in_strip);
    if (p->fast)
        sc_deflate_stored(&p->bits, p->strip, p->in_strip, last);
    else if (sparse)
        sc_deflate_sparse(&p->bits, p->strip, p->in_strip, last);
    else if (runs)
        sc_deflate_runs(&p->bits, p->strip, p->in_strip, last, p->work);
    else if (p->tile)
        sc_deflate_nearly(&p->bits, p->strip, p->in_strip, last);
    else
        sc_deflate_literals(&p->bits, p->strip, p->in_strip, last);
    p->in_strip = 0;
    if (last) {
        sc_deflate_align(&p->bits);
        put_u32(p->bits.to, p->adler);
        p->bits.to += 4;
    }
    return deliver(p, close_chunk(p->chunk, "IDAT", (size_t)(p->bits.to - start)), e);
}

int sc_indexed_png_rows(struct sc_indexed_png *p, const uint8_t *rows, size_t n_rows,
                        struct sc_error *e)
{
    size_t bytes = bytes_of_row(&p->shape);

    if (n_rows > p->shape.height - p->row)
        return sc_fail(e, SCRUPLE_EUSAGE, "more rows than the %u of the picture",
                       (unsigned)p->shape.height);
    for (size_t i = 0; i < n_rows; i++) {
        uint8_t *to = p->strip + p->in_strip;
        to[0] = 0; /* no filter */
        memcpy(to + 1, rows + i * bytes, bytes);
        p->in_strip += bytes + 1;
        p->row++;
        bool last = p->row == p->shape.height;
        if ((last || p->in_strip == p->rows_of_strip * (bytes + 1)) && end_strip(p, last, e) < 0)
            return e->code;
    }
    return 0;
}

int sc_indexed_png_end(struct sc_indexed_png *p, struct sc_error *e)
{
    if (p->row < p->shape.height)
        return sc_fail(e, SCRUPLE_EUSAGE, "%u of the picture's %u rows are missing",
                       (unsigned)(p->shape.height - p->row), (unsigned)p->shape.height);
    return deliver(p, close_chunk(p->chunk, "IEND", 0), e);
}

size_t sc_indexed_png_bound(uint32_t width, uint32_t height)
{
    return HEAD + strip_bound(((size_t)width + 1) * height) + 64;
}

/* ---------------------------------------------------------------------------------- tiles --- */

/* Colours that occur, when there are at most 16 of them, with the bits that they take; else all. */
static void choose_colours(const uint8_t *indices, size_t n, const struct sc_palette *palette,
                           struct shape *s, uint8_t rank[256])
{
    bool seen[256] = {false};
    unsigned many = 0;

    for (size_t i = 0; i < n && many <= 16; i++)
        if (!seen[indices[i]]) {
            seen[indices[i]] = true;
            many++;
        }
    s->colours = 0;
    for (unsigned k = 0; k < 256; k++) {
        rank[k] = (uint8_t)s->colours;
        if (seen[k])
            memcpy(s->rgb[s->colours++], palette->rgb[k], 3);
    }
    s->depth = s->colours <= 2 ? 1 : s->colours <= 4 ? 2 : s->colours <= 16 ? 4 : 8;
    if (s->depth == 8) {
        s->colours = 256;
        memcpy(s->rgb, palette->rgb, sizeof s->rgb);
    }
}

static void pack_row(const uint8_t *indices, const struct shape *s, const uint8_t rank[256],
                     uint8_t *to)
{
    unsigned per_byte = 8 / s->depth;

    for (size_t i = 0; i < s->width; i += per_byte) {
        unsigned byte = 0;
        for (size_t k = 0; k < per_byte; k++)
            byte = byte << s->depth | (i + k < s->width ? rank[indices[i + k]] : 0);
        *to++ = (uint8_t)byte;
    }
}

size_t sc_indexed_png_tile(const uint8_t *indices, uint32_t width, uint32_t height,
                           const struct sc_palette *palette, bool fast, uint8_t *out)
{
    uint8_t rank[256], *row = sc_alloc(width);
    struct sc_indexed_png *p = NULL;
    struct sc_indexed_png like = {.shape = {.width = width, .height = height},
                                  .fast = fast,
                                  .tile = ((size_t)width + 1) * height <= SC_DEFLATE_SPARSE,
                                  .chunk = out};
    struct sc_error e;
    size_t n = 0;

    choose_colours(indices, (size_t)width * height, palette, &like.shape, rank);
    bool packed = like.shape.depth < 8, good = row && new_picture(&like, &p, &e) == 0 && p;
    for (uint32_t y = 0; good && packed && y < height; y++) {
        pack_row(indices + (size_t)y * width, &p->shape, rank, row);
        good = sc_indexed_png_rows(p, row, 1, &e) == 0;
    }
    if (good && !packed)
        good = sc_indexed_png_rows(p, indices, height, &e) == 0;
    if (good && sc_indexed_png_end(p, &e) == 0)
        n = (size_t)(p->chunk - out);
    sc_indexed_png_free(p);
    free(row);
    return n;
}
