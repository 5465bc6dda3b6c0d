/* SPDX-License-Identifier: Apache-2.0 */
/* test_decode_ggml: the decoders of Q4_0 to Q8_K, TQ, MXFP4, NVFP4, Q1_0 and Q2_0 against check
 * sums of what ggml gives for the same bytes, at every level of the processor. (test_decode.c has
 * the levels against each other, and what they may touch.) */
#include "test.h"

#include <stdlib.h>

#include "codec/decode_ggml.h"
#include "ggml_blocks.h"

#define LEVELS     3u
#define MAX_VALUES ((size_t)262144)
#define MAX_BYTES  (MAX_VALUES / 256 * 292u) /* Q8_K takes most */

static uint32_t fnv(const void *p, size_t n)
{
    const uint8_t *b = p;
    uint32_t h = 2166136261U;

    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 16777619U;
    return h;
}

static void fill(uint8_t *p, size_t n, uint32_t state)
{
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525U + 1013904223U;
        p[i] = (uint8_t)(state >> 24);
    }
}

/* The decoder of a level; NULL: this processor has not that level, or it has none of its own. */
static sc_decode_fn *variant(const char *name, unsigned level)
{
    const struct sc_decoder_row *const tables[] = {sc_decode_ggml, sc_decode_k};

    for (size_t t = 0; t < SC_COUNT(tables); t++) {
        for (const struct sc_decoder_row *r = tables[t]; r->name; r++) {
            sc_decode_fn *const all[LEVELS] = {r->c, r->avx2, r->avx512};
            if (strcmp(r->name, name) == 0)
                return level <= (unsigned)sc_cpu_level() ? all[level] : NULL;
        }
    }
    return NULL;
}

static const struct sc_codec *codec_of(const char *name)
{
    return sc_codec(sc_codec_find(sc_strz(name)));
}

/* Which NaN comes of infinity times zero is the processor's choice. */
static void forget_nan(float *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(p[i]))
            p[i] = 0;
}

/* n blocks at every level: the sum of all bits where they are those of an x86, that of numbers
 * with 0 for NaN anywhere. Both ends are at odd addresses. */
static void check_sums(const char *name, const uint8_t *blocks, size_t n, uint32_t bits,
                       uint32_t numbers)
{
    static uint8_t odd_src[MAX_BYTES + 1], odd_dst[MAX_VALUES * sizeof(float) + 1];
    static float y[MAX_VALUES];
    const struct sc_codec *c = codec_of(name);
    const size_t values = n * c->block;

    REQUIRE(n * c->bytes <= MAX_BYTES && values <= MAX_VALUES);
    memcpy(odd_src + 1, blocks, n * c->bytes);
    for (unsigned level = 0; level < LEVELS; level++) {
        sc_decode_fn *decode = variant(name, level);
        if (!decode)
            continue;
        memset(odd_dst, 0xa5, sizeof odd_dst);
        decode(odd_src + 1, y, n);
        if (level > 0) { /* floats of plain C are aligned */
            decode(odd_src + 1, (float *)(void *)(odd_dst + 1), n);
            CHECK_BITS(odd_dst + 1, y, values * sizeof *y);
        }
        if (SC_HAVE_X86)
            CHECK_U64(fnv(y, values * sizeof *y), bits);
        forget_nan(y, values);
        CHECK_U64(fnv(y, values * sizeof *y), numbers);
    }
}

TEST(every_type_has_a_decoder)
{
    size_t rows = 0;

    for (; sc_decode_ggml[rows].name; rows++)
        CHECK(codec_of(sc_decode_ggml[rows].name)->kind == SC_KIND_BLOCK);
    for (size_t i = 0; sc_decode_k[i].name; i++, rows++)
        CHECK(codec_of(sc_decode_k[i].name)->kind == SC_KIND_BLOCK);
    CHECK_U64(rows, SC_COUNT(ggml_sums));
    for (size_t t = 0; t < SC_COUNT(ggml_sums); t++)
        CHECK(variant(ggml_sums[t].name, 0));
}

TEST(values_of_quantised_rows_are_those_of_ggml)
{
    for (size_t k = 0; k < SC_COUNT(ggml_goldens); k++) {
        const struct ggml_golden *g = &ggml_goldens[k];
        static uint8_t blocks[1024 * 9 / 8];
        const size_t bytes = strlen(g->hex) / 2;
        REQUIRE(bytes <= sizeof blocks);
        for (size_t i = 0; i < bytes; i++) {
            const char digits[3] = {g->hex[2 * i], g->hex[2 * i + 1], 0};
            blocks[i] = (uint8_t)strtoul(digits, NULL, 16);
        }
        CHECK_U64(fnv(blocks, bytes), g->sum);
        check_sums(g->name, blocks, bytes / codec_of(g->name)->bytes, g->values_sum, g->values_sum);
    }
}

/* As many values as there is room for, of any bytes: every scale and code, dozens of blocks whose d
 * is NaN. */
TEST(values_of_random_blocks_are_those_of_ggml)
{
    static uint8_t blocks[MAX_BYTES];

    for (size_t t = 0; t < SC_COUNT(ggml_sums); t++) {
        const struct ggml_sums *g = &ggml_sums[t];
        const size_t n = MAX_VALUES / codec_of(g->name)->block;
        fill(blocks, n * codec_of(g->name)->bytes, 1);
        check_sums(g->name, blocks, n, g->random_bits, g->random_numbers);
    }
}

/* 256 blocks of a type get every pair of these halves as their d and m (types of one float or of
 * bytes: each of 16 floats, all bytes). The NaNs among them meet zeros, infinities and each other.
 */
static void set_scales(const char *name, const struct ggml_sums *g, uint8_t *blocks)
{
    static const uint16_t halves[16] = {0,      0x8000, 1,      0x83ff, 0x0400, 0x3c00,
                                        0xbc00, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00,
                                        0xffff, 0x7c01, 0xfd55, 0x7f80};
    const size_t bytes = codec_of(name)->bytes;

    for (size_t b = 0; b < 256; b++, blocks += bytes) {
        const uint16_t d = halves[b % 16], m = halves[b / 16];
        if (g->d_at >= 0) {
            blocks[g->d_at] = (uint8_t)d;
            blocks[g->d_at + 1] = (uint8_t)(d >> 8);
        }
        if (g->m_at >= 0) {
            blocks[g->m_at] = (uint8_t)m;
            blocks[g->m_at + 1] = (uint8_t)(m >> 8);
        }
        for (size_t i = 0; i < g->scale_bytes; i++)
            blocks[i] = (uint8_t)(b + 64 * i);
    }
}

TEST(values_of_odd_scales_are_those_of_ggml)
{
    static uint8_t blocks[256 * 292];

    for (size_t t = 0; t < SC_COUNT(ggml_sums); t++) {
        const struct ggml_sums *g = &ggml_sums[t];
        fill(blocks, 256 * (size_t)codec_of(g->name)->bytes, 2);
        set_scales(g->name, g, blocks);
        check_sums(g->name, blocks, 256, g->odd_bits, g->odd_numbers);
    }
}

/* One value of each rule, by hand. */
TEST(small_examples)
{
    static float y[256];
    uint8_t b[292] = {0, 0x38, 0x0f, 0x80}; /* d = 0.5; nibbles 15 and 0, 0 and 8 */

    variant("Q4_0", 0)(b, y, 1);
    CHECK_NEAR(y[0], 3.5, 0);
    CHECK_NEAR(y[1], -4, 0);
    CHECK_NEAR(y[16], -4, 0);
    CHECK_NEAR(y[17], 0, 0);

    /* OCP MX: scale byte 122 is 1/32; 0x1f is -6 and 0.5. ggml has no -0. */
    memset(b, 0, sizeof b);
    b[0] = 122;
    b[1] = 0x1f;
    b[2] = 0x08;
    variant("MXFP4", 0)(b, y, 1);
    CHECK_NEAR(y[0], -0.1875, 0);
    CHECK_NEAR(y[16], 0.015625, 0);
    CHECK(!signbit(y[1]));

    /* E4M3: 0x38 is 1, 0x01 is 2^-9, 0x7f is NaN elsewhere. */
    memset(b, 0, sizeof b);
    b[0] = 0x38;
    b[1] = 0x01;
    b[2] = 0x7f;
    b[4] = b[12] = b[20] = 0x72;
    variant("NVFP4", 0)(b, y, 1);
    CHECK_NEAR(y[0], 1, 0);
    CHECK_NEAR(y[8], 6, 0);
    CHECK_NEAR(y[16], 1.0 / 512, 0);
    CHECK_NEAR(y[32], 0, 0);

    /* Trits of 255 are all 2, those of 0 are all 0: +d and -d. */
    memset(b, 0, sizeof b);
    b[0] = b[48] = 0xff;
    b[53] = 0x3c;
    variant("TQ1_0", 0)(b, y, 1);
    CHECK_NEAR(y[0], 1, 0);
    CHECK_NEAR(y[128], 1, 0);
    CHECK_NEAR(y[1], -1, 0);
    CHECK_NEAR(y[240], 1, 0);
    CHECK_NEAR(y[252], 1, 0);
    CHECK_NEAR(y[241], -1, 0);
}
