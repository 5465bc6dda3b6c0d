/* SPDX-License-Identifier: Apache-2.0 */
/* test_encode: formats that values are put into, against worked examples and numbers of independent
 * code; floats of few bits against a search over all codes. */
#include "codec/encoding.h"
#include "encode_input.h"
#include "math/math.h"
#include "test.h"

#include <stdlib.h>

/* -------------------------------------------------------------------- numbers of other code --- */
static double sqnr_of(const float *x, const float *y, size_t n)
{
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        signal += (double)x[i] * (double)x[i];
        noise += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
    }
    return 10 * log10(signal / noise);
}

/* FNV-1a-32 of what decoding gives of the 1024 common values, -0 as +0, and the SQNR in dB. */
static const struct {
    const char *format;
    uint32_t hash;
    double db;
} common[] = {
    {"fp16", 0xc63ca393, 0},
    {"bf16", 0xf09bb964, 56.918},
    {"bfp8", 0xf961b8b7, 41.623},
    {"bfp4", 0x8453a65b, 18.335},
    {"bfp2", 0xd5bdd338, 6.680},
    {"fp8_e4m3", 0x26972c2c, 32.529},
    {"e5m2", 0xce92527d, 26.600},
    {"fp8_e4m3fnuz", 0xa0d02f7f, 32.529},
    {"e5m2fnuz", 0xce92527d, 26.6},
    {"mxfp8_e4m3", 0x0b0583ae, 26.460},
    {"mxfp8_e5m2", 0x7b4a0300, 24.463},
    {"mxfp6_e3m2", 0x0c58ba7c, 24.463},
    {"mxfp6_e2m3", 0x6d016352, 30.136},
    {"mxfp4", 0x20c6583b, 16.470},
    {"mxfp8_e4m3:rceil", 0xd7a1f4de, 32.530},
    {"mxfp8_e5m2:rceil", 0xce92527d, 26.600},
    {"mxfp6_e3m2:rceil", 0x50f2191e, 26.595},
    {"mxfp6_e2m3:rceil", 0xc793c24e, 30.267},
    {"mxfp4:rceil", 0xdf4100cb, 17.475},
    {"mxint8", 0x0149545b, 40.943},
    {"nvfp4", 0xac78c3e5, 20.562},
};

TEST(common_values_have_the_hashes_of_other_code)
{
    static float x[1024], y[1024];
    fill_common(x);
    CHECK_U64(fnv(x, sizeof x), 0xc05def2b);
    for (size_t i = 0; i < SC_COUNT(common); i++) {
        const struct sc_encoding f = parsed(common[i].format);
        const struct sc_step step = step_of(&f, x, 1024);
        sc_rounder(&f, SC_CPU_C)(&f, &step, x, 1024, y);
        for (size_t k = 0; k < 1024; k++)
            if (!(y[k] < 0) && !(y[k] > 0))
                y[k] = 0;
        if (!test_u64(fnv(y, sizeof y), common[i].hash, common[i].format, __FILE__, __LINE__))
            continue;
        if (common[i].db > 0)
            CHECK_NEAR(sqnr_of(x, y, 1024), common[i].db, 1e-3 / common[i].db);
    }
}

/* Twelve values of one group (the rest 0), their codes and what they stand for. */
static const struct {
    float x;
    uint8_t code8, code4, code2;
    float value8, value4, value2;
} worked[] = {
    {1.0F, 0x40, 4, 1, 1, 1, 1},
    {-0.5F, 0xa0, 0xa, 0, -0.5F, -0.5F, 0},
    {0.75F, 0x30, 3, 1, 0.75F, 0.75F, 1},
    {0.1F, 0x06, 0, 0, 0.09375F, 0, 0},
    {-0.0078125F, 0, 0, 0, 0, 0, 0},
    {0.01171875F, 1, 0, 0, 0.015625F, 0, 0},
    {1.9921875F, 0x7f, 7, 1, 1.984375F, 1.75F, 1},
    {-1.99F, 0xff, 0xf, 3, -1.984375F, -1.75F, -1},
    {0.3F, 0x13, 1, 0, 0.296875F, 0.25F, 0},
    {0.6484375F, 0x2a, 3, 1, 0.65625F, 0.75F, 1},
    {-0.99609375F, 0xc0, 0xc, 3, -1, -1, -1},
    {1.25F, 0x50, 5, 1, 1.25F, 1.25F, 1},
    {0.00781250093F, 0, 0, 0, 0, 0, 0}, /* above the tie, by a bit that alignment loses */
};

TEST(worked_group_of_block_floats)
{
    const char *const names[] = {"bfp8", "bfp4", "bfp2"};
    float x[16] = {0}, y[16];
    uint8_t packed[17];
    for (size_t i = 0; i < SC_COUNT(worked); i++)
        x[i] = worked[i].x;
    for (size_t k = 0; k < 3; k++) {
        const struct sc_encoding f = parsed(names[k]);
        /* 1.9921875 would become 2, which is too large, and -1.99 too where steps are coarser. */
        const size_t full = sc_rounder(&f, SC_CPU_C)(&f, NULL, x, 16, y);
        CHECK_U64(full, k == 0 ? 1 : 2);
        CHECK_U64(sc_encoding_pack(&f, NULL, x, 16, packed), 1 + 2 * f.bits);
        CHECK_U64(packed[0], 127);
        for (size_t i = 0; i < SC_COUNT(worked); i++) {
            const float want = k == 0   ? worked[i].value8
                               : k == 1 ? worked[i].value4
                                        : worked[i].value2;
            const unsigned code = k == 0   ? worked[i].code8
                                  : k == 1 ? worked[i].code4
                                           : worked[i].code2;
            CHECK_U64(bits_of(y[i]), bits_of(want));
            CHECK_U64(packed[1 + i * f.bits / 8] >> i * f.bits % 8 & ((1U << f.bits) - 1), code);
        }
    }
}

TEST(packed_tile)
{
    static const struct {
        const char *name;
        uint32_t hash, bytes;
        uint8_t first[8];
    } cases[] = {
        {"bfp8", 0x08e749c5, 1088, {0x40, 0xc1, 0x42, 0xc3, 0x44, 0xc5, 0x46, 0xc7}},
        {"bfp4", 0xc67eeac5, 576, {0xc4, 0xc4, 0xc4, 0xc4, 0xd4, 0xd5, 0xd5, 0xd5}},
        {"bfp2", 0x9b2b8ac5, 320, {0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd, 0xdd}},
    };
    enum { STRIDE = 37 };
    static float x[32 * STRIDE], y[32 * STRIDE], z[32 * STRIDE];
    for (int r = 0; r < 32; r++)
        for (int c = 0; c < 32; c++)
            x[r * STRIDE + c] = (float)((c % 2 ? -1 : 1) * (1 + c / 64.0) * ldexp(1, r % 4 - 2));
    for (size_t k = 0; k < SC_COUNT(cases); k++) {
        const struct sc_encoding f = parsed(cases[k].name);
        static const uint8_t exponents[] = {125, 126, 127, 128};
        uint8_t tile[1089];
        memset(tile, 0xee, sizeof tile);
        CHECK_U64(sc_bfp_pack_tile(&f, x, STRIDE, tile), cases[k].bytes);
        CHECK_U64(fnv(tile, cases[k].bytes), cases[k].hash);
        CHECK_BITS(tile, exponents, sizeof exponents);
        /* row 0 takes 4 bytes of BFP2; row 1 has the same codes */
        CHECK_BITS(tile + 64, cases[k].first, sizeof cases[k].first);
        CHECK_U64(tile[cases[k].bytes], 0xee);
        sc_bfp_unpack_tile(&f, tile, y, STRIDE);
        for (size_t r = 0; r < 32; r++)
            sc_rounder(&f, SC_CPU_C)(&f, NULL, x + r * STRIDE, 32, z + r * STRIDE);
        CHECK_BITS(y, z, sizeof y);
    }
}

/* Codes that no packer writes: exponents that go below 0. */
TEST(tiles_of_any_bytes_are_unpacked)
{
    const char *const names[] = {"bfp8", "bfp4", "bfp2"};
    static uint8_t tile[1088];
    static float x[1024];
    uint32_t state = 7;
    for (size_t k = 0; k < 300; k++) {
        const struct sc_encoding f = parsed(names[k % 3]);
        const unsigned m = f.bits - 1U;
        for (size_t i = 0; i < sizeof tile; i++)
            tile[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
        for (size_t i = 0; i < 64; i++)
            tile[i] = k < 100 ? tile[i] & 7 : tile[i];
        sc_bfp_unpack_tile(&f, tile, x, 32);
        for (unsigned i = 0; i < 1024; i++) {
            const unsigned face = i / 32 / 16 * 2 + i % 32 / 16, row = i / 32 % 16, col = i % 16;
            const size_t bit = (size_t)f.bits * (256 * face + 16 * row + col);
            const unsigned code = tile[64 + bit / 8] >> bit % 8 & ((1U << f.bits) - 1);
            const unsigned magnitude = code & ((1U << m) - 1), e = tile[16 * face + row];
            const double unit = ldexp(magnitude, (int)e - 127 - (int)m + 1);
            if (magnitude == 0 || (int)e < (int)m - 1 - ilogb(magnitude))
                CHECK_U64(bits_of(x[i]), 0);
            else if (e - (m - 1 - (unsigned)ilogb(magnitude)) > 0 && unit < ldexp(1, 128))
                CHECK_NEAR((double)x[i], code >> m ? -unit : unit, 0);
        }
    }
}

/* b[i] = (i - 15) 0.013 + (i mod 5) 0.0071 */
static void fill_block(float b[32])
{
    for (int i = 0; i < 32; i++)
        b[i] = (float)((i - 15) * 0.013 + i % 5 * 0.0071);
}

static void check_codes(const char *name, const uint8_t *packed, unsigned scale, unsigned bits,
                        const unsigned *want)
{
    static const unsigned at[] = {0, 1, 2, 3, 4, 5, 31};
    CHECK_U64(packed[0], scale);
    for (size_t i = 0; i < SC_COUNT(at); i++) {
        const size_t bit = 8 + (size_t)at[i] * bits;
        const unsigned two = packed[bit / 8] | (unsigned)packed[bit / 8 + 1] << 8;
        (void)test_u64(two >> bit % 8 & ((1U << bits) - 1), want[i], name, __FILE__, __LINE__);
    }
}

TEST(worked_block_of_microscaling)
{
    static const struct {
        const char *name;
        uint8_t scale;
        unsigned codes[7];
        double db;
    } cases[] = {
        {"mxfp8_e4m3", 0x74, {0xfc, 0xfb, 0xfa, 0xf9, 0xf7, 0xf8, 0x7e}, 30.680},
        {"mxfp8_e5m2", 0x6d, {0xfa, 0xfa, 0xf9, 0xf8, 0xf7, 0xf8, 0x7b}, 26.571},
        {"mxfp6_e3m2", 0x78, {0x3e, 0x3e, 0x3d, 0x3c, 0x3b, 0x3c, 0x1f}, 26.571},
        {"mxfp6_e2m3", 0x7a, {0x3c, 0x3b, 0x3a, 0x39, 0x37, 0x38, 0x1e}, 30.658},
        {"mxfp4", 0x7a, {0xf, 0xf, 0xe, 0xe, 0xe, 0xe, 7}, 19.921},
        {"mxint8", 124, {256 - 100, 256 - 90, 256 - 79, 256 - 69, 256 - 59, 256 - 67, 110}, 46.816},
    };
    float x[32], y[32];
    fill_block(x);
    for (size_t k = 0; k < SC_COUNT(cases); k++) {
        const struct sc_encoding f = parsed(cases[k].name);
        uint8_t packed[34] = {0};
        CHECK_U64(sc_encoding_pack(&f, NULL, x, 32, packed), 1 + 4 * f.bits);
        check_codes(cases[k].name, packed, cases[k].scale, f.bits, cases[k].codes);
        sc_rounder(&f, SC_CPU_C)(&f, NULL, x, 32, y);
        CHECK_NEAR(sqnr_of(x, y, 32), cases[k].db, 6e-4 / cases[k].db);
    }
}

TEST(worked_blocks_of_nvfp4)
{
    static const uint8_t codes[] = {0xf, 0xf, 0xe, 0xe, 0xd, 0xe, 0xd, 0xd, 0xc, 0xb, 0xc,
                                    0xb, 9,   8,   1,   0,   1,   2,   3,   4,   4,   4,
                                    5,   5,   6,   6,   6,   6,   7,   7,   7,   7};
    const struct sc_encoding f = parsed("nvfp4");
    float x[32], y[32];
    uint8_t packed[18];
    fill_block(x);
    const struct sc_step step = step_of(&f, x, 32);
    CHECK_NEAR((double)step.scale * 1e5, 8.00223206, 1e-8);
    CHECK_NEAR((double)step.inverse, 12496.5127, 1e-7);
    CHECK_U64(sc_encoding_pack(&f, &step, x, 32, packed), 18);
    CHECK_U64(packed[0], 0x7d);
    CHECK_U64(packed[9], 0x7e);
    for (size_t i = 0; i < 32; i++)
        CHECK_U64(packed[1 + i / 16 * 9 + i % 16 / 2] >> i % 2 * 4 & 15, codes[i]);
    sc_rounder(&f, SC_CPU_C)(&f, &step, x, 32, y);
    CHECK_NEAR(sqnr_of(x, y, 32), 20.436, 6e-4 / 20);
}

/* ------------------------------------------------------------------ a search over all codes --- */
/* What a cast to code must be, NaN and infinities included. */
static uint32_t cast_of(const struct element *t, const double *values, size_t n, float x,
                        bool saturate)
{
    const bool fnuz = strstr(t->codec, "FNUZ") != NULL;
    const uint32_t sign = signbit(x) ? 1U << (t->bits - 1) : 0;
    const double magnitude = fabs((double)x);
    if (isnan(x))
        return fnuz ? 0x80 : t->id == SC_ELEMENT_E4M3 ? sign | 0x7f : sign | 0x7e;
    /* A tie goes to the even code, which the largest is where the one above would be odd. */
    const bool over = n % 2 ? magnitude > too_large_from(t) : magnitude >= too_large_from(t);
    if (over && !saturate)
        return fnuz ? 0x80 : t->id == SC_ELEMENT_E4M3 ? sign | 0x7f : sign | (uint32_t)n;
    const uint32_t code = (uint32_t)nearest_code(values, n, SC_MIN(magnitude, t->largest));
    return fnuz && code == 0 ? 0 : code | sign;
}

TEST(elements_are_the_nearest_codes)
{
    static double values[32768];
    for (size_t k = 0; k < SC_COUNT(elements); k++) {
        const struct element *t = &elements[k];
        const size_t n = values_of(t, values);
        uint32_t state = 1;
        CHECK_NEAR(values[n - 1], t->largest, 0);
        CHECK_NEAR((double)sc_element_largest(t->id), t->largest, 0);
        for (uint32_t code = 0; code < n; code++) {
            CHECK_NEAR((double)sc_element_value(t->id, code), values[code], 0);
            CHECK_U64(sc_element_encode(t->id, (float)values[code], true), code);
        }
        for (size_t i = 0; i < 200000; i++) {
            float x = some_float(&state, i);
            const bool saturate = i & 1024 || t->bits < 8;
            if (i % 8 == 5) { /* a value, the middle between two, and their neighbours */
                const size_t at = state % (n - 1);
                x = (float)((values[at] + values[at + (state >> 20 & 1)]) / 2);
                x = f32_of(bits_of(x) + (state >> 21) % 3 - 1);
            }
            if (isnan(x) && t->bits != 8)
                continue;
            const uint32_t want = cast_of(t, values, n, x, saturate);
            if (sc_element_encode(t->id, x, saturate) != want) {
                fprintf(stderr, "%s of %a (%08x)\n", t->codec, (double)x, bits_of(x));
                CHECK_U64(sc_element_encode(t->id, x, saturate), want);
            }
        }
    }
    CHECK_U64(sc_element_encode(SC_ELEMENT_E2M1, NAN, false), 0);
    CHECK_U64(sc_element_encode(SC_ELEMENT_F16, NAN, false) & 0x7e00, 0x7e00);
}

TEST(examples_of_casts)
{
    static const struct {
        float x;
        uint32_t codes[4];
    } cases[] = {
        {0.1F, {0x1d, 0x2e, 0x25, 0x32}},
        {0.3F, {0x2a, 0x35, 0x32, 0x39}},
    };
    const enum sc_element kinds[] = {SC_ELEMENT_E4M3, SC_ELEMENT_E5M2, SC_ELEMENT_E4M3FNUZ,
                                     SC_ELEMENT_E5M2FNUZ};
    for (size_t i = 0; i < SC_COUNT(cases); i++)
        for (size_t k = 0; k < 4; k++)
            CHECK_U64(sc_element_encode(kinds[k], cases[i].x, true), cases[i].codes[k]);
    CHECK_U64(sc_element_encode(SC_ELEMENT_E4M3, 248, true), 0x78);
    CHECK_U64(sc_element_encode(SC_ELEMENT_E4M3, -0x1p-10F, true), 0x80);
    CHECK_U64(sc_element_encode(SC_ELEMENT_E4M3, -0.75F * 0x1p-9F, true), 0x81);
    CHECK_U64(sc_element_encode(SC_ELEMENT_E4M3FNUZ, -0.0F, true), 0);
    CHECK_U64(sc_element_encode(SC_ELEMENT_E4M3, 464, false), 0x7e);
    CHECK_U64(sc_element_encode(SC_ELEMENT_E4M3, 464.00003F, false), 0x7f);
    CHECK_U64(sc_element_encode(SC_ELEMENT_E5M2, 61439.996F, false), 0x7b);
    CHECK_U64(sc_element_encode(SC_ELEMENT_E5M2, 61440, false), 0x7c);
    CHECK_U64(sc_element_encode(SC_ELEMENT_F16, 65519.996F, false), 0x7bff);
    CHECK_U64(sc_element_encode(SC_ELEMENT_F16, -65520, false), 0xfc00);
    CHECK_U64(sc_element_encode(SC_ELEMENT_BF16, 3.4028235e38F, false), 0x7f80);
    CHECK_U64(sc_element_encode(SC_ELEMENT_BF16, f32_of(0x7fffffff), false), 0x7fff);
    CHECK_U64(sc_element_encode(SC_ELEMENT_BF16, f32_of(0xff800001), false), 0xffc0);
}

/* Rounding and sums of what is lost in one loop give the bits of one after the other. */
enum { LOSS_ROWS = SC_ERROR_ROWS, LOSS_COLUMNS = 128 };
struct loss {
    struct sc_error_sums sums[LOSS_COLUMNS / SC_ERROR_COLUMNS];
    double columns[LOSS_COLUMNS];
    uint32_t tail[LOSS_ROWS * LOSS_COLUMNS + SC_LANES];
    struct sc_block_errors e;
    uint64_t full;
};

/* Where E2M1 goes from one level to the next. */
static const float between[] = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5};

/* Such a place with the scales of NVFP4, and up to two floats beside it; the first of 16 is the
 * largest level. */
static float value_between_levels(size_t i)
{
    const float whole = 0.5F / 2688; /* as below */
    const float scale = ldexpf(8 + (float)(i / 16 % 8), (int)(i / 128 % 5) - 3),
                unit = scale * whole;
    if (i % 16 == 0)
        return 6 * unit;
    const float at = between[i % SC_COUNT(between)] * unit;
    return sc_float_of(sc_bits_of(at) + (uint32_t)(sc_random(13, i) % 5) - 2);
}

/* Kinds: 0 BF16, 1 any floats, 2 groups of zeros, 3 wild scales, 4 the same with infinitesimal
 * ones, 5 near to where something else is the nearest. */
static float lossy_value(size_t i, int kind)
{
    if (kind == 5)
        return value_between_levels(i);
    const double v = (double)(sc_random(11, i) >> 11) * 0x1p-53 - 0.5;
    const int e = (int)(sc_random(12, i / 16) % 40) - 20;
    if (kind == 2 && i / 16 % 3 == 1)
        return i % 2 ? 0.0F : -0.0F;
    const float x = (float)(kind < 3 ? v : ldexp(v, kind == 4 && i % 1000 == 5 ? -140 : e));
    return kind == 1 || kind == 3 ? x : sc_float_of(sc_bits_of(x) & 0xffff0000);
}

static int by_bits(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Lines are columns: turned, rounded, turned back. */
static size_t round_columns(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                            size_t rows, size_t n, float *y)
{
    float line[LOSS_ROWS];
    size_t full = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < rows; r++)
            line[r] = x[r * n + i];
        full += sc_rounder(f, SC_CPU_C)(f, f->over ? step : NULL, line, rows, line);
        for (size_t r = 0; r < rows; r++)
            y[r * n + i] = line[r];
    }
    return full;
}

/* flags: 1 relative errors, 2 columns, 4 lines are columns, 8 the first values are counted. */
static void check_losses(const struct sc_encoding *f, int kind, size_t rows, size_t n, int flags,
                         enum sc_cpu level, unsigned *done)
{
    const bool down = (flags & 4) != 0;
    static float x[LOSS_ROWS * LOSS_COLUMNS], y[LOSS_ROWS * LOSS_COLUMNS];
    static uint32_t peak[LOSS_ROWS * LOSS_COLUMNS / 16 + 16];
    static struct loss want, got;
    struct sc_step steps[LOSS_ROWS], step;
    sc_losses_fn *fn = sc_losses(f, level);
    if (!fn || (down && (f->unit > 32 || f->unit < 16)))
        return;
    for (size_t i = 0; i < rows * n; i++)
        x[i] = lossy_value(i, kind);
    sc_encoding_step(f, (struct sc_extent){-0.5F, 0.5F}, &step);
    for (size_t r = 0; r < rows; r++) {
        const float most = 0.4F + (float)r / 64;
        steps[r] = step;
        if (f->over == SC_OVER_LINE)
            sc_encoding_step(f, (struct sc_extent){-most, most}, &steps[r]);
    }
    struct sc_error_block b = {.x = x,
                               .y = y,
                               .x_stride = n,
                               .y_stride = n,
                               .rows = rows,
                               .n = n,
                               .above = 0x3b000000,
                               .common = flags & 8 ? 0x3b002000 : 0,
                               .tail = want.tail,
                               .relative = (flags & 1) != 0};
    if (flags & 2) /* a hint: any bytes do */
        b.ahead = (struct sc_ahead){(const uint8_t *)y, 2 * n};
    memset(&want, 0, sizeof want);
    memset(&got, 0, sizeof got);
    want.e = (struct sc_block_errors){.sums = want.sums, .columns = flags & 2 ? want.columns : 0};
    got.e = (struct sc_block_errors){.sums = got.sums, .columns = flags & 2 ? got.columns : 0};
    want.full = down ? round_columns(f, &step, x, rows, n, y) : 0;
    for (size_t r = 0; r < rows && !down; r++)
        want.full +=
            sc_rounder(f, SC_CPU_C)(f, f->over ? &steps[r] : NULL, x + r * n, n, y + r * n);
    sc_errors(&b, SC_CPU_C, &want.e);
    const uint32_t bits = sc_group_peaks(x, rows * n / 16, level, peak);
    if (down)
        sc_column_peaks(x, rows, n, level, peak);
    b.y = NULL;
    b.tail = got.tail;
    if (!fn(f, steps, &b, peak, bits, down, &got.e, &got.full)) {
        CHECK_U64(got.full, 0);
        return;
    }
    ++*done;
    CHECK_U64(got.full, want.full);
    CHECK_BITS(got.sums, want.sums, n / SC_ERROR_COLUMNS * sizeof *got.sums);
    CHECK_BITS(got.columns, want.columns, sizeof got.columns);
    CHECK_BITS(got.e.row_square, want.e.row_square, sizeof got.e.row_square);
    CHECK_BITS(&got.e.relative, &want.e.relative, sizeof got.e.relative);
    CHECK_U64(got.e.most, want.e.most);
    CHECK_U64(got.e.zeros, want.e.zeros);
    CHECK_U64(got.e.tail, want.e.tail);
    CHECK_U64(got.e.common, want.e.common);
    qsort(want.tail, want.e.tail, sizeof *want.tail, by_bits);
    qsort(got.tail, got.e.tail, sizeof *got.tail, by_bits);
    CHECK_BITS(got.tail, want.tail, SC_MIN(want.e.tail, got.e.tail) * sizeof *want.tail);
    b.tail = NULL; /* and once more, nothing but sums */
    b.relative = false;
    b.only_sums = true;
    memset(&got, 0, sizeof got);
    got.e = (struct sc_block_errors){.sums = got.sums};
    CHECK(fn(f, steps, &b, peak, bits, down, &got.e, &got.full));
    CHECK_U64(got.full, want.full);
    CHECK_BITS(got.sums, want.sums, n / SC_ERROR_COLUMNS * sizeof *got.sums);
    CHECK_U64(got.e.most, want.e.most);
    memset(&got, 0, sizeof got); /* the same where nobody asks what was too large */
    got.e = (struct sc_block_errors){.sums = got.sums};
    CHECK(fn(f, steps, &b, peak, bits, down, &got.e, NULL));
    CHECK_BITS(got.sums, want.sums, n / SC_ERROR_COLUMNS * sizeof *got.sums);
    CHECK_U64(got.e.most, want.e.most);
}

TEST(losses_are_those_of_rounding_first)
{
    static const char *const names[] = {
        "fp0",          "bfp8",           "bfp4",       "bfp2",       "mxfp4",
        "mxfp4:rceil",  "mxfp4:ceil",     "mxfp4:even", "mxfp8_e4m3", "mxfp8_e5m2",
        "mxfp6_e3m2",   "mxfp6_e2m3",     "mxint8",     "nvfp4",      "fp8_e4m3",
        "fp8_e5m2",     "fp8_e5m2:nosat", "int8",       "int4:row",   "int4:group=32",
        "int2:group=16"};
    for (size_t k = 0; k < SC_COUNT(names); k++) {
        struct sc_encoding f;
        struct sc_error e = {0};
        CHECK_ERR(0, sc_encoding_parse(sc_strz(names[k]), &f, &e));
        for (int level = SC_CPU_C; level <= (int)sc_cpu_level(); level++) {
            unsigned done = 0;
            for (int kind = 0; kind < 6; kind++)
                for (int flags = 0; flags < 16; flags++) {
                    check_losses(&f, kind, 32, 128, flags, (enum sc_cpu)level, &done);
                    check_losses(&f, kind, 5, 96, flags, (enum sc_cpu)level, &done);
                    check_losses(&f, kind, 32, 32, flags, (enum sc_cpu)level, &done);
                }
            CHECK(level == SC_CPU_C ? done == 0 : done >= 24);
        }
    }
}

/* Of a group of 16: 0 normal-like, 1 all bits of the largest set, 2 infinitesimal values among
 * others, 3 ties, 4 zeros, 5 wild scales. */
static uint16_t short_value(size_t i, int kind)
{
    const double v = (double)(sc_random(21, i) >> 11) * 0x1p-53 - 0.5;
    const int e = (int)(sc_random(22, i / 16) % 30) - 25;
    double x = v;
    if (kind == 1)
        x = i % 16 == 3 ? ldexp(255, -9) * (v < 0 ? -1 : 1) : v / 2;
    else if (kind == 2)
        x = i % 3 ? v : ldexp(v, -20 - (int)(i % 120));
    else if (kind == 3)
        x = rint(v * 32) / 64 * (i % 16 ? 1 : 1.984375);
    else if (kind == 4)
        x = i / 16 % 3 == 1 || i % 4 == 2 ? v * 0 : v;
    else if (kind == 5)
        x = ldexp(v, e);
    return (uint16_t)(sc_bits_of((float)x) >> 16);
}

/* Errors are short, and their sums are those of rounding first. */
static void check_short(const struct sc_encoding *f, int kind, size_t rows, bool down,
                        enum sc_cpu level, unsigned *done)
{
    enum { N = SC_SHORT_COLUMNS };
    static uint16_t codes[SC_SHORT_VALUES], short_x[SC_SHORT_VALUES];
    static float x[SC_SHORT_VALUES], y[SC_SHORT_VALUES];
    static uint32_t peak[SC_SHORT_VALUES / 16];
    static struct loss want, got;
    sc_losses_fn *fn = sc_losses(f, level);
    if (!fn || (down && (f->unit > 32 || f->unit < 16)))
        return;
    for (size_t i = 0; i < rows * N; i++) {
        codes[i] = short_value(i, kind);
        x[i] = sc_float_of((uint32_t)codes[i] << 16);
    }
    got.e = (struct sc_block_errors){.sums = got.sums};
    want.e = (struct sc_block_errors){.sums = want.sums};
    CHECK(sc_errors_short_bf16(&(struct sc_short_codes){(const uint8_t *)codes, NULL, 2 * (size_t)N,
                                                        rows, short_x, NULL, peak},
                               level, &got.e));
    CHECK(got.e.most < sc_encoding_short_below(f));
    if (down)
        sc_column_peaks(x, rows, N, level, peak);
    (void)(down ? round_columns(f, NULL, x, rows, N, y)
                : sc_rounder(f, SC_CPU_C)(f, NULL, x, rows * N, y));
    for (size_t i = 0; i < rows * N; i++)
        CHECK_U64(sc_bits_of(y[i] - x[i]) & 0xffff, 0);
    struct sc_error_block b = {.x = x,
                               .y = y,
                               .x_stride = N,
                               .y_stride = N,
                               .rows = rows,
                               .n = N,
                               .only_sums = true,
                               .short_x = short_x};
    sc_errors(&b, SC_CPU_C, &want.e);
    struct sc_block_errors other = {.sums = got.sums};
    sc_errors(&b, level, &other);
    CHECK_BITS(got.sums, want.sums, N / SC_ERROR_COLUMNS * sizeof *got.sums);
    b.x = b.y = NULL;
    if (rows % 4)
        b.ahead = (struct sc_ahead){(const uint8_t *)codes, 2 * N};
    memset(&got, 0, sizeof got);
    got.e = (struct sc_block_errors){.sums = got.sums};
    if (!fn(f, NULL, &b, peak, 0, down, &got.e, NULL))
        return;
    ++*done;
    CHECK_BITS(got.sums, want.sums, N / SC_ERROR_COLUMNS * sizeof *got.sums);
    CHECK_U64(got.e.most, want.e.most);
    double square = 0, all = 0;
    for (size_t i = 0; i < rows * N; i++)
        all += pow((double)y[i] - (double)x[i], 2);
    for (size_t i = 0; i < N / SC_ERROR_COLUMNS; i++)
        square += got.sums[i].square;
    CHECK(fabs(square - all) <= 4e-6 * all);
}

TEST(short_losses_are_those_of_rounding_first)
{
    unsigned n_short = 0;
    for (size_t k = 0; k < sc_n_encodings; k++) {
        static const char *const settings[] = {"", ":rceil", ":ceil", ":even", ":sse", ":nosat"};
        for (size_t s = 0; s < SC_COUNT(settings); s++) {
            struct sc_encoding f;
            struct sc_error e = {0};
            char name[80];
            snprintf(name, sizeof name, "%s%s", sc_encodings[k].name, settings[s]);
            if (sc_encoding_parse(sc_strz(name), &f, &e) < 0 || !sc_encoding_short_below(&f))
                continue;
            n_short++;
            for (int level = SC_CPU_AVX2; level <= (int)sc_cpu_level(); level++) {
                unsigned done = 0;
                CHECK(sc_losses(&f, (enum sc_cpu)level));
                for (int kind = 0; kind < 6; kind++)
                    for (int down = 0; down < 2; down++) {
                        check_short(&f, kind, 32, down, (enum sc_cpu)level, &done);
                        check_short(&f, kind, 16, down, (enum sc_cpu)level, &done);
                        check_short(&f, kind, 22, false, (enum sc_cpu)level, &done);
                        check_short(&f, kind, 2, false, (enum sc_cpu)level, &done);
                    }
                CHECK(done >= 24);
            }
        }
    }
    CHECK(n_short >= 20);
}

/* BF16 next to the middle between two levels of E2M1, with units for which the middle itself lies
 * beside a BF16 value: there a product with the inverse and a quotient may round to different
 * levels. */
TEST(losses_of_bf16_between_levels_of_nvfp4)
{
    static const uint32_t odd[] = {1, 3, 5, 7};
    enum { ROWS = 2, N = LOSS_COLUMNS };
    static float x[ROWS * N], y[ROWS * N];
    static uint32_t peak[ROWS * N / 16 + 16];
    struct sc_error_sums want_sums[N / SC_ERROR_COLUMNS], got_sums[N / SC_ERROR_COLUMNS];
    struct sc_encoding f;
    struct sc_error e = {0};
    CHECK_ERR(0, sc_encoding_parse(SC_STR("nvfp4"), &f, &e));
    unsigned done = 0;
    for (size_t round = 0; round < 4000; round++) {
        const float scale = 8 + (float)(round % 8), mantissa = 128 + (float)(round / 8 % 128);
        const float exact = mantissa / ((float)odd[round % 4] * scale) / 1024;
        const uint32_t off = (uint32_t)(round / 4 % 41);
        const struct sc_step step = {.scale = sc_float_of(sc_bits_of(exact) + off - 20)};
        const float unit = scale * step.scale;
        for (size_t i = 0; i < ROWS * N; i++) {
            const float at = i % 16 ? between[i % SC_COUNT(between)] * unit : 6 * unit;
            const uint32_t near = sc_bits_of(at) + ((uint32_t)(sc_random(15, i) % 3) << 15);
            x[i] = sc_float_of((near & 0xffff0000) | (uint32_t)(sc_random(16, i) & 1) << 31);
        }
        struct sc_error_block b = {
            .x = x, .y = y, .x_stride = N, .y_stride = N, .rows = ROWS, .n = N, .only_sums = true};
        struct sc_block_errors want = {.sums = want_sums}, got = {.sums = got_sums};
        const uint64_t full = sc_rounder(&f, SC_CPU_C)(&f, &step, x, (size_t)ROWS * N, y);
        sc_errors(&b, SC_CPU_C, &want);
        for (int level = SC_CPU_AVX2; level <= (int)sc_cpu_level(); level++) {
            sc_losses_fn *const fn = sc_losses(&f, (enum sc_cpu)level);
            const uint32_t bits =
                sc_group_peaks(x, (size_t)ROWS * N / 16, (enum sc_cpu)level, peak);
            uint64_t counted = 0;
            CHECK_U64(bits & 0xffff, 0);
            b.y = NULL;
            if (!fn(&f, &step, &b, peak, bits, false, &got, &counted))
                continue;
            done++;
            CHECK_U64(counted, full);
            CHECK_BITS(got_sums, want_sums, sizeof got_sums);
        }
    }
    CHECK(sc_cpu_level() == SC_CPU_C || done > 1000);
}
