/* SPDX-License-Identifier: Apache-2.0 */
/* test_colour: steps against their formulas, palettes that grow lighter, pictures that another
 * decoder reads back. */
#include "test.h"

#include "math/math.h"
#include "picture/avif.h"
#include "picture/colour.h"
#include "picture/deflate.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <zlib.h>

#include "st_maker.h"

static uint32_t bits_of(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return u;
}

static unsigned index_of(const struct sc_colours *c, uint32_t bits)
{
    uint8_t out = 0;

    sc_colours_apply(c, &bits, 1, &out);
    return out;
}

static struct sc_colours *colours(enum sc_colour_mode mode, float scale, const float *quantile)
{
    static struct sc_colours c;
    const struct sc_colour_scale s = {.mode = mode, .scale = scale, .quantile = quantile};

    sc_colours_make(&s, &c);
    return &c;
}

/* A step's number by the formula of colour.h, in double: right but next to an edge. */
static double formula(enum sc_colour_mode mode, double x, double scale)
{
    double share = fabs(x) / scale, t = share, side = 120;

    if (mode == SC_COLOURS_DIVERGING)
        t = log1p(1000 * share) / log(1001);
    if (mode == SC_COLOURS_MAGNITUDE) {
        t = 1 + log10(share) / SC_COLOUR_DECADES;
        return fmin(fmax(t * 240, 0), 239.999);
    }
    t = fmin(t * side, 119.999);
    return x > 0 ? 120 + t : 119.999 - t;
}

TEST(steps_follow_the_formulas)
{
    static const enum sc_colour_mode modes[] = {SC_COLOURS_DIVERGING, SC_COLOURS_LINEAR,
                                                SC_COLOURS_MAGNITUDE};
    static const float scales[] = {1, 0.0371f, 3e-30f, 6.02e23f};

    for (size_t m = 0; m < SC_COUNT(modes); m++)
        for (size_t k = 0; k < SC_COUNT(scales); k++) {
            const struct sc_colours *c = colours(modes[m], scales[k], NULL);
            CHECK_U64(c->n_edges, SC_COLOUR_STEPS - 1);
            size_t wrong = 0;
            for (uint64_t i = 0; i < 20000; i++) {
                uint64_t r = sc_random(7, i);
                double size = exp2(-(double)(r % 20) + (double)(r >> 40 & 0xffff) / 65536);
                float x = (float)(size * 2 * (double)scales[k]) * (r >> 63 ? -1.0f : 1.0f);
                double at = formula(modes[m], (double)x, (double)scales[k]);
                double edge = fabs(at - nearbyint(at));
                wrong += index_of(c, bits_of(x)) != (unsigned)at && edge > 1e-3;
            }
            CHECK_U64(wrong, 0);
        }
}

TEST(steps_never_fall)
{
    for (int mode = 0; mode <= SC_COLOURS_LINEAR; mode++) {
        const struct sc_colours *c = colours((enum sc_colour_mode)mode, 0.02f, NULL);
        unsigned before = 0;
        for (uint32_t u = 0x7f7fffff; u > 997; u -= 997) {
            unsigned at = index_of(c, u | 0x80000000);
            CHECK(at >= before && at < 120);
            before = at;
        }
        before = 120;
        for (uint32_t u = 1; u < 0x7f800000; u += 997) {
            unsigned at = index_of(c, u);
            CHECK(at >= before && at < 240);
            before = at;
        }
        CHECK_U64(before, 239);
    }
}

TEST(what_is_no_step)
{
    static const struct {
        uint32_t bits;
        unsigned index;
    } rows[] = {{0, SC_SPECIAL_ZERO},
                {0x80000000, SC_SPECIAL_ZERO},
                {SC_PIXEL_POS_INF, SC_SPECIAL_POS_INF},
                {SC_PIXEL_NEG_INF, SC_SPECIAL_NEG_INF},
                {SC_PIXEL_NAN, SC_SPECIAL_NAN},
                {0x7fc00000, SC_SPECIAL_NAN},
                {0xffc00000, SC_SPECIAL_NAN},
                {0x7f800001, SC_SPECIAL_NAN},
                {0xff812345, SC_SPECIAL_NAN},
                {0x7fffffff, SC_SPECIAL_NAN},
                {SC_PIXEL_OUTSIDE, SC_SPECIAL_OUTSIDE},
                {SC_PIXEL_UNKNOWN, SC_SPECIAL_UNKNOWN},
                {SC_PIXEL_WAITING, SC_SPECIAL_WAITING}};

    for (int mode = 0; mode < SC_COLOUR_MODES; mode++)
        for (size_t i = 0; i < SC_COUNT(rows); i++)
            CHECK_U64(index_of(colours((enum sc_colour_mode)mode, 1, NULL), rows[i].bits),
                      rows[i].index);
}

TEST(subnormal_values_of_the_stored_type)
{
    struct sc_colours c;
    struct sc_colour_scale s = {.mode = SC_COLOURS_DIVERGING, .scale = 1, .smallest = 0x1p-14f};

    sc_colours_make(&s, &c);
    CHECK_U64(index_of(&c, bits_of(0x1.fffffep-15f)), SC_SPECIAL_SUBNORMAL);
    CHECK_U64(index_of(&c, bits_of(-0x1p-24f)), SC_SPECIAL_SUBNORMAL);
    CHECK(index_of(&c, bits_of(0x1p-14f)) < 240);
    s.smallest = 0.3f; /* no power of two: inside of an entry of the table */
    sc_colours_make(&s, &c);
    CHECK_U64(index_of(&c, bits_of(0.29999998f)), SC_SPECIAL_SUBNORMAL);
    CHECK(index_of(&c, bits_of(0.3f)) < 240);
}

TEST(modes_of_bits)
{
    const struct sc_colours *c = colours(SC_COLOURS_SIGN, 1, NULL);
    CHECK(index_of(c, bits_of(-1e-30f)) < 120 && index_of(c, bits_of(1e30f)) >= 120);
    CHECK_U64(index_of(c, bits_of(-1)), index_of(c, bits_of(-1e9f)));
    c = colours(SC_COLOURS_EXPONENT, 1, NULL);
    CHECK_U64(index_of(c, bits_of(1)), index_of(c, bits_of(-1.99f)));
    CHECK(index_of(c, bits_of(1)) != index_of(c, bits_of(2)));
    CHECK_U64(index_of(c, bits_of(1)), index_of(c, bits_of(0x1p32f)));
    c = colours(SC_COLOURS_BITS, 1, NULL);
    CHECK_U64(index_of(c, bits_of(1)), 0x80 * 240 / 256);
    CHECK(isnan(sc_colours_value(c, 7)));
}

TEST(ranks)
{
    float q[SC_COLOUR_QUANTILES];

    for (int i = 0; i < SC_COLOUR_QUANTILES; i++)
        q[i] = (float)i * (float)i; /* 0 to 65536, quadratic */
    const struct sc_colours *c = colours(SC_COLOURS_RANK, 1, q);
    CHECK_U64(index_of(c, bits_of(-5)), 0);
    CHECK_U64(index_of(c, bits_of(1e9f)), 239);
    CHECK_U64(index_of(c, bits_of(128.5f * 128.5f)), 120); /* the median is step 120 */
    for (int i = 0; i < SC_COLOUR_QUANTILES; i++)
        q[i] = i % 2 ? NAN : (float)-i; /* nonsense gives some step */
    c = colours(SC_COLOURS_RANK, 1, q);
    CHECK(index_of(c, bits_of(3)) < 240);
}

/* The table against the edges, one by one: at both ends of each entry, and inside. */
static size_t wrong_entries(const struct sc_colours *c)
{
    static const uint32_t low[] = {0, 1, 0x7fff, 0xffff};
    size_t wrong = 0;
    for (uint32_t upper = 1; upper < 0xff80; upper++)
        for (size_t k = 0; k < SC_COUNT(low); k++) {
            const uint32_t bits = upper << 16 | low[k];
            float x;
            memcpy(&x, &bits, sizeof x);
            unsigned step = 0;
            if (!isfinite(x) || x == 0)
                continue;
            x = c->folded ? fabsf(x) : x;
            while (step < c->n_edges && c->edge[step] <= x)
                step++;
            wrong += index_of(c, bits) != step;
        }
    return wrong;
}

/* Many at once, with what asks among them, give what each gives. */
static size_t wrong_in_a_row(const struct sc_colours *c)
{
    enum { N = 4099 };
    static uint32_t pixels[N];
    static uint16_t halves[N];
    static uint8_t one[N], all[N];
    size_t wrong = 0;
    for (uint64_t i = 0; i < N; i++) {
        const uint64_t r = sc_random(17, i);
        pixels[i] = (uint32_t)r;
        if (i % 3) /* near the edges */
            pixels[i] = bits_of(c->n_edges ? c->edge[r % c->n_edges] : 1) + (uint32_t)(r >> 62) - 1;
        if (i % 97 == 0)
            pixels[i] = (uint32_t)(r & 0x807fffff); /* subnormal */
        halves[i] = (uint16_t)(pixels[i] >> 16);
        one[i] = (uint8_t)index_of(c, pixels[i]);
    }
    for (size_t from = 0; from < 40; from++) {
        sc_colours_apply(c, pixels + from, N - from, all);
        wrong += memcmp(all, one + from, N - from) != 0;
    }
    sc_colours_apply_halves(c, halves, N, all);
    for (size_t i = 0; i < N; i++)
        wrong += all[i] != index_of(c, (uint32_t)halves[i] << 16);
    return wrong;
}

TEST(every_entry_is_between_its_edges)
{
    static const enum sc_colour_mode modes[] = {SC_COLOURS_DIVERGING, SC_COLOURS_LINEAR,
                                                SC_COLOURS_MAGNITUDE, SC_COLOURS_VALUE};
    static const float scales[] = {1, 0.0371f, 1e-44f, 3.4e38f};
    static const uint32_t ends[] = {0, 0, 1, 0xffff, 0xfffe, 0x8000};
    float q[SC_COLOUR_QUANTILES];

    for (size_t m = 0; m < SC_COUNT(modes); m++)
        for (size_t k = 0; k < SC_COUNT(scales); k++) {
            const struct sc_colours *c = colours(modes[m], scales[k], NULL);
            CHECK_U64(wrong_entries(c), 0);
            CHECK_U64(wrong_in_a_row(c), 0);
        }
    for (uint64_t kind = 0; kind < 12; kind++) { /* on, before and behind the ends of entries */
        const bool zeros = kind % 3 == 0, infinite = kind % 4 == 1;
        for (uint64_t i = 0; i < SC_COLOUR_QUANTILES; i++) {
            const uint64_t size = i < 128 ? 127 - i : i - 128, r = sc_random(kind, i / 2);
            const uint32_t bits = (uint32_t)(i < 128) << 31 |
                                  (uint32_t)(0x3e00 + size / 2 * 3) << 16 |
                                  ends[r % SC_COUNT(ends)];
            memcpy(&q[i], &bits, sizeof q[i]);
            q[i] = zeros && size < 20 ? (i < 128 ? -0.0f : 0.0f) : q[i];
            q[i] = infinite && size > 100 ? (i < 128 ? -INFINITY : INFINITY) : q[i];
        }
        const struct sc_colours *c = colours(SC_COLOURS_RANK, 1, q);
        CHECK_U64(wrong_entries(c), 0);
        CHECK_U64(wrong_in_a_row(c), 0);
    }
}

TEST(values_of_steps)
{
    const struct sc_colours *c = colours(SC_COLOURS_LINEAR, 2, NULL);

    for (unsigned k = 1; k < 239; k++) {
        CHECK_NEAR(sc_colours_value(c, k), ((double)k - 119.5) / 60, 1e-6);
        CHECK_U64(index_of(c, bits_of((float)sc_colours_value(c, k))), k);
    }
    CHECK(isnan(sc_colours_value(c, 240)));
}

TEST(hostile_scales)
{
    static const float scales[] = {0, -1, NAN, INFINITY, 1e-45f, 3.4e38f};

    for (size_t i = 0; i < SC_COUNT(scales); i++)
        for (int mode = 0; mode < SC_COLOUR_MODES; mode++) {
            const struct sc_colours *c = colours((enum sc_colour_mode)mode, scales[i], NULL);
            CHECK(index_of(c, bits_of(1)) < 240 && index_of(c, bits_of(-1e-40f)) < 240);
        }
}

/* -------------------------------------------------------------------------------- palettes --- */

static double light(const uint8_t rgb[3])
{
    return 0.2126 * pow(rgb[0] / 255.0, 2.2) + 0.7152 * pow(rgb[1] / 255.0, 2.2) +
           0.0722 * pow(rgb[2] / 255.0, 2.2);
}

TEST(palettes_tell_size_by_lightness)
{
    for (int dark = 0; dark < 2; dark++) {
        struct sc_palette p;
        double sign = dark ? 1 : -1;
        sc_palette_make(SC_COLOURS_DIVERGING, dark, &p);
        for (int k = 121; k < 240; k++) {
            CHECK(sign * (light(p.rgb[k]) - light(p.rgb[k - 1])) > -1e-3);
            CHECK(sign * (light(p.rgb[239 - k]) - light(p.rgb[240 - k])) > -1e-3);
        }
        CHECK(p.rgb[20][2] > p.rgb[20][0] && p.rgb[219][0] > p.rgb[219][2]); /* blue, orange */
        sc_palette_make(SC_COLOURS_MAGNITUDE, dark, &p);
        for (int k = 1; k < 240; k++)
            CHECK(sign * (light(p.rgb[k]) - light(p.rgb[k - 1])) > -1e-3);
        for (int a = SC_COLOUR_STEPS; a < SC_SPECIAL_END; a++)
            for (int b = SC_COLOUR_STEPS; b < a; b++)
                CHECK(memcmp(p.rgb[a], p.rgb[b], 3) != 0);
    }
}

TEST(modes_have_names)
{
    enum sc_colour_mode m;

    for (int i = 0; i < SC_COLOUR_MODES; i++)
        CHECK(sc_colour_mode_find(sc_strz(sc_colour_modes[i]), &m) && (int)m == i);
    CHECK(!sc_colour_mode_find(sc_strz("rainbow"), &m));
}

/* --------------------------------------------------------------------------------- pictures --- */

static int collect(void *ctx, const void *p, size_t n)
{
    sc_buf_put(ctx, p, n);
    return 0;
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct decoder {
    uint32_t w, h, rows;
    unsigned depth;
    uint8_t rgb[256][3];
    z_stream z;
    uint8_t *row; /* filter byte first */
    size_t row_bytes;
    bool ended;
};

static bool same_row(const struct decoder *d, const uint8_t *want, const struct sc_palette *palette)
{
    if (d->row[0] != 0)
        return false;
    for (size_t x = 0; x < d->w; x++) {
        unsigned per_byte = 8 / d->depth, at = (unsigned)(x % per_byte);
        unsigned index = d->row[1 + x / per_byte] >> (8 - d->depth * (at + 1));
        if (memcmp(d->rgb[index & ((1u << d->depth) - 1)], palette->rgb[want[x]], 3) != 0)
            return false;
    }
    return true;
}

static bool take_data(struct decoder *d, const uint8_t *data, uint32_t n, const uint8_t *indices,
                      const struct sc_palette *palette)
{
    bool good = !d->ended;

    d->z.next_in = (Bytef *)(uintptr_t)data;
    d->z.avail_in = n;
    while (good && d->z.avail_in) {
        int code = inflate(&d->z, Z_NO_FLUSH);
        if (d->z.avail_out == 0) {
            good = d->rows < d->h && same_row(d, indices + (size_t)d->rows * d->w, palette);
            d->rows++;
            d->z.next_out = d->row;
            d->z.avail_out = (uInt)d->row_bytes;
        }
        d->ended = code == Z_STREAM_END;
        good = good && (code == Z_OK || (d->ended && d->z.avail_in == 0));
    }
    return good;
}

static bool take_chunk(struct decoder *d, const uint8_t *type, const uint8_t *data, uint32_t n,
                       const uint8_t *indices, const struct sc_palette *palette)
{
    if (memcmp(type, "IHDR", 4) == 0) {
        d->depth = data[8];
        d->row_bytes = 1 + ((size_t)d->w * d->depth + 7) / 8;
        d->row = sc_alloc(d->row_bytes);
        d->z.next_out = d->row;
        d->z.avail_out = (uInt)d->row_bytes;
        return u32_at(data) == d->w && u32_at(data + 4) == d->h && data[9] == 3;
    }
    if (memcmp(type, "PLTE", 4) == 0) {
        memcpy(d->rgb, data, n);
        return n % 3 == 0 && n / 3 <= 1u << d->depth;
    }
    return memcmp(type, "IDAT", 4) ? n == 0 : take_data(d, data, n, indices, palette);
}

/* Reads a PNG with zlib, checks every chunk, compares the colours. */
static bool reads_back(const struct sc_buf *b, uint32_t w, uint32_t h, const uint8_t *indices,
                       const struct sc_palette *palette)
{
    const uint8_t *p = (const uint8_t *)b->p, *end = p + b->n;
    struct decoder d = {.w = w, .h = h};
    bool good = b->n > 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0;

    CHECK(inflateInit(&d.z) == Z_OK);
    for (p += 8; good && p < end;) {
        uint32_t n = u32_at(p);
        good = n <= (size_t)(end - p) - 12 &&
               u32_at(p + 8 + n) == libdeflate_crc32(0, p + 4, n + 4) &&
               take_chunk(&d, p + 4, p + 8, n, indices, palette);
        p += n + 12;
    }
    inflateEnd(&d.z);
    free(d.row);
    return good && d.ended && d.rows == h && p == end;
}

enum filling { NOISE, NORMAL, CONSTANT, RUNS, RARE, FILLINGS };

static void fill(uint8_t *p, size_t n, enum filling how)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t r = sc_random(5, i);
        switch (how) {
        case NOISE:
            p[i] = (uint8_t)r;
            break;
        case NORMAL: /* four dice: about a bell */
            p[i] =
                (uint8_t)(((r & 63) + (r >> 8 & 63) + (r >> 16 & 63) + (r >> 24 & 63)) * 239 / 252);
            break;
        case RUNS:
            p[i] = (uint8_t)(i / 700 % 7 == 3 ? i / 97 : i / 700);
            break;
        case RARE: /* one colour in a million of another: the longest words */
            p[i] = (uint8_t)(r % 5 ? (r >> 20) % 2 : sc_random(6, i) % 4096 < 200 ? r >> 32 : 9);
            break;
        case CONSTANT:
        case FILLINGS:
            p[i] = 240;
        }
    }
}

/* Of the entropy of single pixels. Huffman's words have whole bits, which costs where one colour is
 * more frequent than all others together. */
static const double loss[FILLINGS] = {
    [NOISE] = 1.03, [NORMAL] = 1.04, [CONSTANT] = 1, [RUNS] = 1, [RARE] = 1.25};

static double entropy_bytes(const uint8_t *p, size_t n)
{
    double count[256] = {0}, bits = 0;

    for (size_t i = 0; i < n; i++)
        count[p[i]]++;
    for (int k = 0; k < 256; k++)
        if (count[k] > 0)
            bits += count[k] * log2((double)n / count[k]);
    return bits / 8;
}

TEST(pictures_read_back)
{
    static const uint32_t sizes[][2] = {{1, 1},     {1, 70000}, {70000, 1}, {256, 256},
                                        {255, 257}, {512, 300}, {3, 65535}, {131072, 2}};
    struct sc_palette palette;

    sc_palette_make(SC_COLOURS_DIVERGING, true, &palette);
    for (size_t s = 0; s < SC_COUNT(sizes); s++)
        for (int how = 0; how < FILLINGS; how++)
            for (int fast = 0; fast < 2; fast++) {
                uint32_t w = sizes[s][0], h = sizes[s][1];
                size_t n = (size_t)w * h;
                uint8_t *p = sc_alloc(n);
                struct sc_buf b = {0};
                struct sc_indexed_png *png = NULL;
                struct sc_error e;
                fill(p, n, (enum filling)how);
                CHECK(sc_indexed_png_new(w, h, &palette, fast, collect, &b, &png, &e) == 0);
                CHECK(sc_indexed_png_rows(png, p, h / 3, &e) == 0);
                CHECK(sc_indexed_png_rows(png, p + (size_t)(h / 3) * w, h - h / 3, &e) == 0);
                CHECK(sc_indexed_png_end(png, &e) == 0);
                sc_indexed_png_free(png);
                CHECK(reads_back(&b, w, h, p, &palette));
                CHECK(b.n <= sc_indexed_png_bound(w, h));
                if (!fast && w >= 255) /* narrow ones consist of filter bytes */
                    CHECK((double)b.n <= loss[how] * entropy_bytes(p, n) + 1500 + h);
                sc_buf_clear(&b);
                free(p);
            }
}

TEST(tiles_read_back)
{
    struct sc_palette palette;
    static uint8_t p[256 * 256];

    sc_palette_make(SC_COLOURS_MAGNITUDE, false, &palette);
    uint8_t *out = sc_alloc(sc_indexed_png_bound(256, 256));
    for (int how = 0; how < FILLINGS; how++) {
        fill(p, sizeof p, (enum filling)how);
        size_t n = sc_indexed_png_tile(p, 256, 256, &palette, false, out);
        struct sc_buf b = {.p = (char *)out, .n = n};
        CHECK(reads_back(&b, 256, 256, p, &palette));
        CHECK((double)n <= loss[how] * entropy_bytes(p, sizeof p) + 1024);
    }
    free(out);
}

static int refuse(void *ctx, const void *p, size_t n)
{
    (void)p;
    (void)n;
    return --*(int *)ctx < 0 ? 7 : 0;
}

TEST(wrong_use_and_full_disks)
{
    struct sc_palette palette = {0};
    struct sc_indexed_png *png = NULL;
    struct sc_error e;
    struct sc_buf b = {0};
    uint8_t row[64] = {0};

    CHECK(sc_indexed_png_new(0, 5, &palette, false, collect, &b, &png, &e) == SCRUPLE_ELIMIT);
    CHECK(sc_indexed_png_new(5, 0, &palette, false, collect, &b, &png, &e) == SCRUPLE_ELIMIT);
    CHECK(sc_indexed_png_new(1u << 31, 5, &palette, false, collect, &b, &png, &e) ==
          SCRUPLE_ELIMIT);
    CHECK(sc_indexed_png_new(64, 2, &palette, false, collect, &b, &png, &e) == 0);
    CHECK(sc_indexed_png_rows(png, row, 1, &e) == 0);
    CHECK(sc_indexed_png_end(png, &e) == SCRUPLE_EUSAGE);
    CHECK(sc_indexed_png_rows(png, row, 1, &e) == 0);
    CHECK(sc_indexed_png_rows(png, row, 1, &e) == SCRUPLE_EUSAGE);
    sc_indexed_png_free(png);
    sc_buf_clear(&b);
    for (int k = 0; k < 3; k++) {
        int left = k;
        CHECK(sc_indexed_png_new(64, 1, &palette, false, refuse, &left, &png, &e) == 0);
        int code = sc_indexed_png_rows(png, row, 1, &e);
        CHECK((code ? code : sc_indexed_png_end(png, &e)) == SCRUPLE_EWRITE);
        sc_indexed_png_free(png);
    }
}

/* --------------------------------------------------------------------- long runs, as in exports */

typedef void deflate_fn(struct sc_deflate *b, const uint8_t *p, size_t n, bool last);

/* Packs, unpacks with zlib, compares; its size. */
static size_t packed_size(deflate_fn *fn, const uint8_t *p, size_t n)
{
    static uint8_t out[3 * SC_DEFLATE_SPARSE], back[SC_DEFLATE_SPARSE + 1];
    struct sc_deflate b = {.to = out};
    z_stream z = {0};

    fn(&b, p, n, true);
    sc_deflate_align(&b);
    CHECK(inflateInit2(&z, -15) == Z_OK);
    z.next_in = out;
    z.avail_in = (uInt)(b.to - out);
    z.next_out = back;
    z.avail_out = sizeof back;
    CHECK(inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_in == 0);
    CHECK(z.total_out == n && memcmp(back, p, n) == 0);
    inflateEnd(&z);
    return (size_t)(b.to - out);
}

static size_t sparse_size(const uint8_t *p, size_t n)
{
    return packed_size(sc_deflate_sparse, p, n);
}

/* A code of a part of the bytes has words for all of them, also for those that occur once. */
TEST(codes_of_a_part_read_back)
{
    static uint8_t p[SC_DEFLATE_SPARSE];
    static const size_t sizes[] = {0, 1, 2, 15, 16, 17, 71, 72, 73, 255, 1000, 65535, 65536};
    for (int how = 0; how < FILLINGS; how++) {
        fill(p, sizeof p, (enum filling)how);
        for (size_t k = 0; k < SC_COUNT(sizes); k++)
            (void)packed_size(sc_deflate_nearly, p, sizes[k]);
        const size_t all = packed_size(sc_deflate_literals, p, sizeof p);
        CHECK((double)packed_size(sc_deflate_nearly, p, sizeof p) <= 1.01 * (double)all + 64);
        for (size_t at = 0; at < 73; at++) { /* a byte that is seen, or not */
            const uint8_t was = p[5000 + at];
            p[5000 + at] = (uint8_t)(at % 2 ? 0 : 255);
            (void)packed_size(sc_deflate_nearly, p, sizeof p);
            p[5000 + at] = was;
        }
    }
}

#if SC_HAVE_X86
/* Words of any length from any bit on, against one bit after the other. */
TEST(words_of_many_literals_are_those_of_each)
{
    static uint8_t p[1000], out[4096], want[4096];
    uint32_t table[256], state = 9;
    if (!sc_deflate_has_avx512())
        return;
    for (unsigned round = 0; round < 120; round++) {
        const unsigned most = 1 + round / 2 % SC_DEFLATE_LONGEST;
        for (size_t k = 0; k < 256; k++) {
            const uint32_t bits = 1 + st_random(&state) % most;
            table[k] = (st_random(&state) & ((1u << bits) - 1)) << 8 | bits;
        }
        for (size_t i = 0; i < sizeof p; i++)
            p[i] = (uint8_t)st_random(&state);
        const unsigned before = st_random(&state) % 8;
        const uint64_t held = st_random(&state) & ((1u << before) - 1);
        struct sc_deflate b = {.to = out, .held = held, .n = before};
        const size_t some = (round % 2 ? sizeof p : 320) - st_random(&state) % 300; /* two ways */
        const size_t n = sc_deflate_put_avx512(&b, table, p, some);
        size_t at = before;
        memset(want, 0, sizeof want);
        want[0] = (uint8_t)held;
        for (size_t i = 0; i < n; i++)
            for (uint32_t k = 0; k < (table[p[i]] & 255); k++, at++)
                want[at / 8] |= (uint8_t)((table[p[i]] >> (8 + k) & 1) << at % 8);
        REQUIRE(n + 128 > some && (size_t)(b.to - out) == at / 8 && b.n == at % 8);
        CHECK(memcmp(out, want, at / 8) == 0 && b.held == want[at / 8]);
    }
}
#endif

TEST(runs_are_looked_for_at_every_seventh_byte)
{
    static uint8_t p[5000];
    uint32_t state = 17;
    for (unsigned round = 0; round < 300; round++) {
        const size_t n = 1 + st_random(&state) % sizeof p;
        const uint32_t few = 1 + round % 9;
        size_t same = 0;
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)(st_random(&state) % few);
        for (size_t i = 1; i < n; i += 7)
            same += p[i] == p[i - 1];
        CHECK(sc_deflate_has_runs(p, n) == (same * 7 >= n / 4));
    }
}

TEST(long_runs_read_back)
{
    static uint8_t p[SC_DEFLATE_SPARSE];
    static const size_t sizes[] = {0, 1, 2, 15, 16, 17, 31, 32, 33, 48, 257, 258, 259, 1000, 65536};

    for (size_t k = 0; k < SC_COUNT(sizes); k++) {
        memset(p, 7, sizeof p);
        (void)sparse_size(p, sizes[k]);
        fill(p, sizes[k], NOISE);
        (void)sparse_size(p, sizes[k]);
    }
    /* Runs of each length around what one or two symbols take, at each place in a step. */
    for (size_t run = 1; run < 800; run += run == 40 ? 200 : run == 300 ? 200 : 1)
        for (size_t at = 0; at < 40; at += 3) {
            fill(p, 2000, NOISE);
            memset(p + at, p[at], run);
            memset(p + 1000, 0, run); /* one behind the other, of two bytes */
            memset(p + 1000 + run / 2, 9, run - run / 2);
            (void)sparse_size(p, 2000);
        }
    /* Rows of which the right half is outside: little more than the left halves take. */
    fill(p, sizeof p, NOISE);
    for (size_t y = 0; y < 256; y++)
        memset(p + 256 * y + 128, 0, 128);
    CHECK(sparse_size(p, sizeof p) < 128 * 256 + 256 * 4 + 1024);
}

/* ------------------------------------------------------------------------------------- AVIF --- */

/* Decoded by another program in tests/py/test_view_export.py. */
TEST(avif_is_written_or_says_why_not)
{
    static uint8_t indices[256 * 256];
    struct sc_palette palette;
    struct sc_error e = {0};
    uint8_t *a = NULL, *b = NULL;
    size_t n = 0, m = 0;

    sc_palette_make(SC_COLOURS_DIVERGING, true, &palette);
    fill(indices, sizeof indices, NORMAL);
    if (sc_avif_check(&e) < 0) {
        CHECK(e.code == SCRUPLE_EUNSUPPORTED && strstr(e.text, "avif"));
        CHECK_ERR(SCRUPLE_EUNSUPPORTED, sc_avif_tile(indices, 256, 256, &palette, &a, &n, &e));
        CHECK(!a && n == 0);
        return;
    }
    CHECK_ERR(0, sc_avif_tile(indices, 256, 256, &palette, &a, &n, &e));
    CHECK_ERR(0, sc_avif_tile(indices, 256, 256, &palette, &b, &m, &e));
    CHECK(n > 32 && memcmp(a + 4, "ftypavif", 8) == 0);
    CHECK(n == m && memcmp(a, b, n) == 0);
    free(a);
    free(b);
    CHECK_ERR(SCRUPLE_ELIMIT, sc_avif_tile(indices, 0, 256, &palette, &a, &n, &e));
    CHECK(!a);
}
