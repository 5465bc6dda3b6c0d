/* SPDX-License-Identifier: Apache-2.0 */
/* indexed_png: pictures of 8-bit indices as PNG (ISO/IEC 15948), written as they come.
 *
 * Weights look like noise: matches are rare and filters make noise larger, so rows are not filtered
 * and a strip becomes one deflate block (RFC 1951) with a Huffman code of its own for literals, and
 * runs of one colour where there are many. That is close to the entropy of the colours and runs at
 * the speed of memory's neighbour, the cache. */
#include "picture/colour.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

enum {
    STRIP = 1 << 16,  /* bytes of a block, about */
    LONGEST = 14,     /* bits of a code: four of them fit a word beside 7 that are left */
    SYMBOLS = 286,    /* literals, end, lengths */
    END = 256,        /* end of block */
    LENGTHS = 19,     /* symbols of the code of code lengths */
    RUN_LONGEST = 258 /* bytes of one run */
};

/* -------------------------------------------------------------------------------- Huffman --- */

struct code {
    uint32_t n;             /* symbols */
    uint8_t bits[SYMBOLS];  /* 0: does not occur */
    uint16_t word[SYMBOLS]; /* first bit lowest */
};

struct leaf {
    uint64_t count;
    uint16_t symbol;
};

static int by_count(const void *a, const void *b)
{
    const struct leaf *x = a, *y = b;

    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    return x->symbol < y->symbol ? -1 : 1;
}

/* Depths of the leaves of a Huffman tree over n counts that ascend: two queues. */
static void depths_of(const struct leaf *leaf, size_t n, uint8_t *depth)
{
    uint64_t weight[2 * SYMBOLS];
    uint16_t parent[2 * SYMBOLS];
    size_t next_leaf = 0, next_node = n, made = n;

    for (size_t i = 0; i < n; i++)
        weight[i] = leaf[i].count;
    for (; made < 2 * n - 1; made++) {
        uint64_t sum = 0;
        for (int k = 0; k < 2; k++) {
            bool from_leaf =
                next_leaf < n && (next_node >= made || weight[next_leaf] <= weight[next_node]);
            size_t child = from_leaf ? next_leaf++ : next_node++;
            sum += weight[child];
            parent[child] = (uint16_t)made;
        }
        weight[made] = sum;
    }
    uint8_t deep[2 * SYMBOLS];
    deep[2 * n - 2] = 0;
    for (size_t i = 2 * n - 2; i-- > 0;) {
        deep[i] = (uint8_t)(deep[parent[i]] + 1);
        if (i < n)
            depth[i] = deep[i];
    }
}

/* Makes depths at most `longest` and keeps the code complete: leaves that are too deep move up, and
 * for each two of them one that is not becomes deeper. */
static void limit_depths(uint8_t *depth, size_t n, unsigned longest)
{
    uint32_t room = (uint32_t)1 << longest, used = 0;

    for (size_t i = 0; i < n; i++) {
        if (depth[i] > longest)
            depth[i] = (uint8_t)longest;
        used += room >> depth[i];
    }
    while (used > room)
        for (size_t i = 0; i < n && used > room; i++) /* rare symbols first */
            if (depth[i] < longest) {
                used -= room >> (depth[i] + 1);
                depth[i]++;
            }
    for (size_t i = n; i-- > 0;) /* what is left goes to the frequent ones */
        while (depth[i] > 1 && used + (room >> depth[i]) <= room) {
            used += room >> depth[i];
            depth[i]--;
        }
}

static uint16_t reversed(uint16_t word, unsigned bits)
{
    uint16_t out = 0;

    for (unsigned i = 0; i < bits; i++)
        out = (uint16_t)(out << 1 | (word >> i & 1));
    return out;
}

/* A code for n symbols of which those that occur have a count; at least two get a word, as deflate
 * wants it. */
static void make_code(const uint32_t *count, size_t n, unsigned longest, struct code *c)
{
    struct leaf leaf[SYMBOLS] = {{0}};
    uint8_t depth[SYMBOLS];
    uint16_t next[LONGEST + 2] = {0}, of_length[LONGEST + 2] = {0};
    size_t used = 0;

    memset(c, 0, sizeof *c);
    c->n = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        if (count[i])
            leaf[used++] = (struct leaf){count[i], (uint16_t)i};
    for (size_t i = 0; used < 2; i++)
        if (!count[i])
            leaf[used++] = (struct leaf){0, (uint16_t)i};
    qsort(leaf, used, sizeof *leaf, by_count);
    depths_of(leaf, used, depth);
    limit_depths(depth, used, longest);
    for (size_t i = 0; i < used; i++) {
        c->bits[leaf[i].symbol] = depth[i];
        of_length[depth[i]]++;
    }
    for (unsigned k = 1; k <= longest; k++)
        next[k + 1] = (uint16_t)((next[k] + of_length[k]) << 1);
    for (size_t i = 0; i < n; i++)
        if (c->bits[i])
            c->word[i] = reversed(next[c->bits[i]]++, c->bits[i]);
}

/* ----------------------------------------------------------------------------------- bits --- */

/* Bits into bytes; `to` has room for 8 more than are asked for. */
struct bits {
    uint8_t *to;
    uint64_t held;
    unsigned n;
};

static inline void flush(struct bits *b)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(b->to, &b->held, 8);
#else
    for (int i = 0; i < 8; i++)
        b->to[i] = (uint8_t)(b->held >> 8 * i);
#endif
    b->to += b->n >> 3;
    b->held >>= b->n & ~7u;
    b->n &= 7;
}

/* At most 57 bits between two flushes. */
static inline void add(struct bits *b, uint64_t word, unsigned n)
{
    b->held |= word << b->n;
    b->n += n;
}

static void put(struct bits *b, uint64_t word, unsigned n)
{
    add(b, word, n);
    flush(b);
}

/* --------------------------------------------------------------------------------- blocks --- */

/* Length of a run, and its symbol with extra bits. */
struct length {
    uint16_t symbol;
    uint8_t extra, n_extra;
};

static struct length length_of(unsigned run)
{
    static const uint16_t base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                      15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                      67, 83, 99, 115, 131, 163, 195, 227, 258};
    unsigned k = 28;

    while (base[k] > run)
        k--;
    unsigned n_extra = k < 8 || k == 28 ? 0 : k / 4 - 1;
    return (struct length){(uint16_t)(257 + k), (uint8_t)(run - base[k]), (uint8_t)n_extra};
}

/* A strip as literals and runs (0x8000 | length of what repeats the byte before). */
static size_t find_runs(const uint8_t *p, size_t n, uint16_t *out)
{
    size_t k = 0;

    for (size_t i = 0; i < n;) {
        size_t run = 1;
        while (i + run < n && p[i + run] == p[i])
            run++;
        out[k++] = p[i];
        i += run;
        run--;
        while (run >= 3) {
            size_t some = SC_MIN(run, (size_t)RUN_LONGEST);
            out[k++] = (uint16_t)(0x8000 | some);
            run -= some;
        }
        while (run-- > 0)
            out[k++] = p[i - 1];
    }
    return k;
}

/* The header of a dynamic block: how many words there are, and their lengths in a code of their
 * own. Distances: only 1, in one bit. */
static void put_header(struct bits *b, const struct code *c, bool last)
{
    static const uint8_t order[LENGTHS] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                           11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t bits[SYMBOLS + 1];
    uint32_t count[LENGTHS] = {0};
    struct code lengths;
    unsigned n_literals = SYMBOLS, n_lengths = LENGTHS;

    while (n_literals > 257 && !c->bits[n_literals - 1])
        n_literals--;
    memcpy(bits, c->bits, n_literals);
    bits[n_literals] = 1;
    for (unsigned i = 0; i <= n_literals; i++)
        count[bits[i]]++;
    make_code(count, LENGTHS, 7, &lengths);
    while (n_lengths > 4 && !lengths.bits[order[n_lengths - 1]])
        n_lengths--;
    put(b, (uint64_t)last | 2 << 1, 3);
    put(b, n_literals - 257, 5);
    put(b, 0, 5); /* one distance */
    put(b, n_lengths - 4, 4);
    for (unsigned i = 0; i < n_lengths; i++)
        put(b, lengths.bits[order[i]], 3);
    for (unsigned i = 0; i <= n_literals; i++)
        put(b, lengths.word[bits[i]], lengths.bits[bits[i]]);
}

static void put_literals(struct bits *out, const struct code *c, const uint8_t *p, size_t n)
{
    uint32_t table[256];
    struct bits b = *out;
    size_t i = 0;

    for (unsigned k = 0; k < 256; k++)
        table[k] = (uint32_t)c->word[k] << 8 | c->bits[k];
    for (; i + 4 <= n; i += 4) {
        for (unsigned k = 0; k < 4; k++) {
            uint32_t t = table[p[i + k]];
            add(&b, t >> 8, t & 255);
        }
        flush(&b);
    }
    for (; i < n; i++)
        put(&b, table[p[i]] >> 8, table[p[i]] & 255);
    *out = b;
}

static void put_runs(struct bits *b, const struct code *c, const uint16_t *run, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!(run[i] & 0x8000)) {
            put(b, c->word[run[i]], c->bits[run[i]]);
            continue;
        }
        struct length l = length_of(run[i] & 0x7fff);
        add(b, c->word[l.symbol], c->bits[l.symbol]);
        add(b, l.extra, l.n_extra);
        put(b, 0, 1); /* distance 1 */
    }
}

static void count_bytes(const uint8_t *p, size_t n, uint32_t count[SYMBOLS])
{
    uint32_t part[4][256] = {{0}};
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            part[k][p[i + (size_t)k]]++;
    for (; i < n; i++)
        part[0][p[i]]++;
    for (int k = 0; k < 256; k++)
        count[k] = part[0][k] + part[1][k] + part[2][k] + part[3][k];
}

/* Whether runs are worth looking for: a quarter of the pixels, as far as every seventh tells, are
 * equal to the one before. */
static bool has_runs(const uint8_t *p, size_t n)
{
    size_t same = 0;

    for (size_t i = 1; i < n; i += 7)
        same += p[i] == p[i - 1];
    return same * 7 >= n / 4;
}

static void put_literals_block(struct bits *b, const uint8_t *p, size_t n, bool last)
{
    uint32_t count[SYMBOLS] = {0};
    struct code c;

    count_bytes(p, n, count);
    count[END] = 1;
    make_code(count, SYMBOLS, LONGEST, &c);
    put_header(b, &c, last);
    put_literals(b, &c, p, n);
    put(b, c.word[END], c.bits[END]);
}

/* `work` has room for n. */
static void put_runs_block(struct bits *b, const uint8_t *p, size_t n, bool last, uint16_t *work)
{
    uint32_t count[SYMBOLS] = {0};
    struct code c;
    size_t k = find_runs(p, n, work);

    for (size_t i = 0; i < k; i++)
        count[work[i] & 0x8000 ? length_of(work[i] & 0x7fff).symbol : work[i]]++;
    count[END] = 1;
    make_code(count, SYMBOLS, LONGEST, &c);
    put_header(b, &c, last);
    put_runs(b, &c, work, k);
    put(b, c.word[END], c.bits[END]);
}

/* The same as bytes as they are: the bits that are held end first. */
static void put_stored(struct bits *b, const uint8_t *p, size_t n, bool last)
{
    for (size_t done = 0; done < n || n == 0;) {
        size_t some = SC_MIN(n - done, (size_t)65535);
        put(b, last && done + some == n, 3);
        if (b->n)
            put(b, 0, 8 - b->n);
        uint8_t size[4] = {(uint8_t)some, (uint8_t)(some >> 8), (uint8_t)~some,
                           (uint8_t)(~some >> 8)};
        memcpy(b->to, size, 4);
        memcpy(b->to + 4, p + done, some);
        b->to += 4 + some;
        done += some;
        if (n == 0)
            return;
    }
}

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
    return n + n * (LONGEST - 8) / 8 + n / 1000 + 1024;
}

struct sc_indexed_png {
    struct shape shape;
    uint32_t row;
    bool fast, begun;
    int status;
    uint32_t adler;
    size_t in_strip; /* bytes of rows that wait, with their filter bytes */
    size_t rows_of_strip;
    uint8_t *strip;
    uint16_t *work;   /* of a strip with runs */
    uint8_t *chunk;   /* where the next one is made */
    uint8_t *owned;   /* what to free of it; NULL: it is the caller's, and moves on */
    struct bits bits; /* those of the last byte: `to` is set for each chunk */
    int (*put)(void *ctx, const void *p, size_t n);
    void *ctx;
};

/* Takes over shape, fast, put, ctx and perhaps chunk of `like`. */
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
    bool runs = !p->fast && has_runs(p->strip, p->in_strip);
    if (runs && !p->work)
        p->work = sc_alloc(p->rows_of_strip * (bytes_of_row(&p->shape) + 1) * sizeof *p->work);
    if (runs && !p->work)
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
        put_stored(&p->bits, p->strip, p->in_strip, last);
    else if (runs)
        put_runs_block(&p->bits, p->strip, p->in_strip, last, p->work);
    else
        put_literals_block(&p->bits, p->strip, p->in_strip, last);
    p->in_strip = 0;
    if (last) {
        if (p->bits.n)
            put(&p->bits, 0, 8 - p->bits.n);
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
    struct sc_indexed_png like = {
        .shape = {.width = width, .height = height}, .fast = fast, .chunk = out};
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
