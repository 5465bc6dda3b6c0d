/* SPDX-License-Identifier: Apache-2.0 */
/* test_decode_iq: the decoders of IQ1 to IQ4 against what ggml gives for the same bytes, and the
 * variants of every processor level against the plain C. */
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/decode_iq.h"
#include "iq_blocks.h"

#define LEVELS     3u
#define MAX_BLOCKS 70u
#define MAX_BYTES  (MAX_BLOCKS * 136u)
#define MAX_VALUES (MAX_BLOCKS * 256u)

/* Check sums of what ggml gives for the blocks of 262144 elements whose bytes the generator made:
 * every scale and index, and dozens of blocks whose d is NaN or infinite. */
static const struct type {
    const char *name;
    uint32_t random_sum;
} types[] = {
    {"IQ1_S", 0x1d91b766},  {"IQ1_M", 0x40ba5f69},  {"IQ2_XXS", 0xda6f6438},
    {"IQ2_XS", 0x206d7a9f}, {"IQ2_S", 0x2578392b},  {"IQ3_XXS", 0xf8c1d3a0},
    {"IQ3_S", 0x8b58e0c7},  {"IQ4_NL", 0x8557d4c4}, {"IQ4_XS", 0x40905fcc},
};

static uint32_t fnv(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint32_t h = 2166136261U;

    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 16777619U;
    return h;
}

static void fill(uint8_t *p, size_t n, uint32_t *state)
{
    for (size_t i = 0; i < n; i++) {
        *state = *state * 1664525U + 1013904223U;
        p[i] = (uint8_t)(*state >> 24);
    }
}

static const struct sc_decoder_row *row_of(const char *name)
{
    const struct sc_decoder_row *r = sc_decode_iq;

    while (r->name && strcmp(r->name, name) != 0)
        r++;
    return r;
}

/* The decoder of a level; NULL: this processor has not that level. */
static sc_decode_fn *variant(const char *name, unsigned level)
{
    const struct sc_decoder_row *r = row_of(name);
    sc_decode_fn *const all[LEVELS] = {r->c, r->avx2, r->avx512};

    return level <= (unsigned)sc_cpu_level() ? all[level] : NULL;
}

static const struct sc_codec *codec_of(const char *name)
{
    return sc_codec(sc_codec_find(sc_strz(name)));
}

/* Sets d of block b, whose bytes IQ1_M keeps in four places. */
static void set_d(uint8_t *b, const char *name, unsigned d)
{
    if (strcmp(name, "IQ1_M") == 0) {
        for (unsigned i = 0; i < 4; i++)
            b[49 + 2 * i] = (uint8_t)((b[49 + 2 * i] & 15) | (d >> 4 * i & 15) << 4);
    } else {
        b[0] = (uint8_t)d;
        b[1] = (uint8_t)(d >> 8);
    }
}

TEST(every_type_has_a_decoder)
{
    size_t rows = 0;

    for (; sc_decode_iq[rows].name; rows++) {
        CHECK(codec_of(sc_decode_iq[rows].name)->kind == SC_KIND_BLOCK);
        CHECK(sc_decode_iq[rows].c);
    }
    CHECK_U64(rows, SC_COUNT(types));
    for (size_t t = 0; t < SC_COUNT(types); t++)
        CHECK(row_of(types[t].name)->name);
}

/* The sums are those of the codebooks as ggml stores them, a byte a component. */
TEST(codebooks_are_those_of_the_format)
{
    static const int8_t iq1[4] = {-1, 0, 1, 0}, iq2[4] = {8, 25, 43, 0};
    static const int8_t iq3xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    static const int8_t iq3s[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    static const struct {
        const uint16_t *grid;
        const int8_t *levels;
        size_t n;
        unsigned components, bits;
        uint32_t sum;
    } books[] = {
        {sc_iq1s_grid, iq1, 2048, 8, 2, 0x2fe8cbce},
        {sc_iq2xxs_grid, iq2, 256, 8, 2, 0x3db4a16e},
        {sc_iq2xs_grid, iq2, 512, 8, 2, 0xebeb17dd},
        {sc_iq2s_grid, iq2, 1024, 8, 2, 0x82981110},
        {sc_iq3xxs_grid, iq3xxs, 256, 4, 4, 0x49a45035},
        {sc_iq3s_grid, iq3s, 512, 4, 4, 0x71cc6c89},
    };

    for (size_t k = 0; k < SC_COUNT(books); k++) {
        static int8_t bytes[2048 * 8];
        const unsigned components = books[k].components, bits = books[k].bits;
        for (size_t i = 0; i < books[k].n; i++)
            for (unsigned j = 0; j < components; j++)
                bytes[i * components + j] =
                    books[k].levels[books[k].grid[i] >> bits * j & ((1U << bits) - 1)];
        CHECK_U64(fnv(bytes, books[k].n * components), books[k].sum);
    }
}

TEST(values_of_quantised_rows_are_those_of_ggml)
{
    for (size_t k = 0; k < SC_COUNT(iq_goldens); k++) {
        const struct iq_golden *g = &iq_goldens[k];
        static uint8_t blocks[1024];
        static float y[1024];
        REQUIRE(strlen(g->hex) == 2 * g->bytes && g->bytes <= sizeof blocks);
        for (size_t i = 0; i < g->bytes; i++) {
            const char digits[3] = {g->hex[2 * i], g->hex[2 * i + 1], 0};
            blocks[i] = (uint8_t)strtoul(digits, NULL, 16);
        }
        CHECK_U64(fnv(blocks, g->bytes), g->sum);
        for (unsigned level = 0; level < LEVELS; level++) {
            sc_decode_fn *decode = variant(g->name, level);
            if (!decode)
                continue;
            decode(blocks, y, g->bytes / codec_of(g->name)->bytes);
            CHECK_U64(fnv(y, sizeof y), g->values_sum);
        }
    }
}

TEST(values_of_random_blocks_are_those_of_ggml)
{
    enum { elements = 262144 };
    static float y[elements];
    static uint8_t blocks[elements / 32 * 18];

    for (size_t t = 0; t < SC_COUNT(types); t++) {
        const struct sc_codec *c = codec_of(types[t].name);
        const size_t n = elements / c->block;
        uint32_t state = 1;
        fill(blocks, n * c->bytes, &state);
        for (unsigned level = 0; level < LEVELS; level++) {
            sc_decode_fn *decode = variant(types[t].name, level);
            if (!decode)
                continue;
            decode(blocks, y, n);
            CHECK_U64(fnv(y, sizeof y), types[t].random_sum);
        }
    }
}

/* One value of each rule, by hand. */
TEST(small_examples)
{
    static float y[256];
    uint8_t b[136] = {0, 0x38, 0x0f, 0x80}; /* d = 0.5; nibbles 15 and 0, 0 and 8 */

    variant("IQ4_NL", 0)(b, y, 1);
    CHECK_NEAR(y[0], 56.5, 0);
    CHECK_NEAR(y[1], -63.5, 0);
    CHECK_NEAR(y[16], -63.5, 0);
    CHECK_NEAR(y[17], 0.5, 0);

    /* Signs of 7 bits: 1 makes the first of eight elements negative, and the last, to be even. */
    memset(b, 0, sizeof b);
    set_d(b, "IQ2_XXS", 0x3c00);
    b[6] = 1;
    b[9] = 0x30; /* scale 3 */
    variant("IQ2_XXS", 0)(b, y, 1);
    CHECK_NEAR(y[0], -8 * 3.5 / 4, 0);
    CHECK_NEAR(y[1], 8 * 3.5 / 4, 0);
    CHECK_NEAR(y[7], -8 * 3.5 / 4, 0);
    CHECK_NEAR(y[8], 8 * 3.5 / 4, 0);
    CHECK_NEAR(y[32], 8 * 0.5 / 4, 0);

    /* Shifts: all components of vector 0 are -1. */
    memset(b, 0, sizeof b);
    set_d(b, "IQ1_S", 0x3c00);
    b[35] = 0xa0; /* scale 2, shift down */
    variant("IQ1_S", 0)(b, y, 1);
    CHECK_NEAR(y[0], -5 * 1.125, 0);
    CHECK_NEAR(y[32], -0.875, 0);
}

/* Any block, whatever d: finite, subnormal, zero, infinite, NaN of either sign. */
TEST(variants_give_the_same_bits)
{
    enum { n = 64 };
    static uint8_t blocks[n * 136];
    static float want[n * 256], got[n * 256];
    uint32_t state = 7;

    for (size_t t = 0; t < SC_COUNT(types); t++) {
        const struct sc_codec *c = codec_of(types[t].name);
        for (unsigned d = 0; d < 0x10000; d += 5 * n) {
            fill(blocks, (size_t)n * c->bytes, &state);
            for (unsigned i = 0; i < n; i++)
                set_d(blocks + (size_t)i * c->bytes, types[t].name, d + 5 * i);
            variant(types[t].name, 0)(blocks, want, n);
            for (unsigned level = 1; level < LEVELS; level++) {
                if (!variant(types[t].name, level))
                    continue;
                variant(types[t].name, level)(blocks, got, n);
                CHECK_BITS(got, want, (size_t)n * c->block * sizeof *got);
            }
        }
    }
}

/* `bytes` of memory that end where no access is allowed; NULL: there is none. */
static uint8_t *fenced(size_t bytes)
{
    const size_t page = 65536, size = (bytes + page - 1) / page * page;
    const int zeros = open("/dev/zero", O_RDWR | O_CLOEXEC);
    uint8_t *p = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE, zeros, 0);

    if (zeros >= 0)
        (void)close(zeros);
    if (p == MAP_FAILED || mprotect(p + size, page, PROT_NONE) != 0)
        return NULL;
    return p + size;
}

/* Both ends at a fence, then both a byte (a value) off it: nothing beyond n blocks is touched, in
 * front nothing is written, and no alignment is needed. */
TEST(decoders_stay_inside_and_need_no_alignment)
{
    static float want[MAX_VALUES];
    uint8_t *src_end = fenced(MAX_BYTES + 1);
    uint8_t *dst_end = fenced((MAX_VALUES + 2) * sizeof(float));
    uint32_t state = 3;

    REQUIRE(src_end && dst_end);
    for (size_t t = 0; t < SC_COUNT(types); t++) {
        const struct sc_codec *c = codec_of(types[t].name);
        for (size_t n = 0; n <= MAX_BLOCKS; n++) {
            const size_t bytes = n * c->bytes, values = n * c->block;
            for (unsigned level = 0; level < LEVELS; level++) {
                sc_decode_fn *decode = variant(types[t].name, level);
                const unsigned off = (unsigned)n % 2; /* of the fence */
                uint8_t *src = src_end - bytes - off;
                float *dst = (void *)(dst_end - (values + off) * sizeof *dst);
                if (!decode)
                    continue;
                if (level == 0)
                    fill(src, bytes, &state);
                memset(dst - 1, 0x5a, (values + 1 + off) * sizeof *dst);
                decode(src, dst, n);
                if (level == 0)
                    memcpy(want, dst, values * sizeof *dst);
                CHECK_BITS(dst, want, values * sizeof *dst);
                CHECK_BITS(dst - 1, "ZZZZ", 4);
                if (off)
                    CHECK_BITS(dst + values, "ZZZZ", 4);
            }
        }
    }
}
