/* SPDX-License-Identifier: Apache-2.0 */
/* test_encode: formats that values are put into, against worked examples and numbers of independent
 * code, against a search over all codes, and against the decoders of the codes they pack. */
#include "codec/encoding.h"
#include "encode_input.h"
#include "test.h"

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

static float f32_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
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
static const struct element {
    enum sc_element id;
    const char *codec;
    unsigned bits, mantissa;
    double largest;
} elements[] = {
    {SC_ELEMENT_F16, "F16", 16, 10, 65504},
    {SC_ELEMENT_E4M3, "F8_E4M3", 8, 3, 448},
    {SC_ELEMENT_E5M2, "F8_E5M2", 8, 2, 57344},
    {SC_ELEMENT_E4M3FNUZ, "F8_E4M3FNUZ", 8, 3, 240},
    {SC_ELEMENT_E5M2FNUZ, "F8_E5M2FNUZ", 8, 2, 57344},
    {SC_ELEMENT_E3M2, "F6_E3M2", 6, 2, 28},
    {SC_ELEMENT_E2M3, "F6_E2M3", 6, 3, 7.5},
    {SC_ELEMENT_E2M1, "F4", 4, 1, 6},
};

/* Values of the codes 0, 1, ... without sign, by the decoder of their type, until they end. */
static size_t values_of(const struct element *t, double *out)
{
    const size_t n = (size_t)1 << (t->bits - 1);
    const sc_codec_id id = sc_codec_find(sc_strz(t->codec));
    const struct sc_codec *c = sc_codec(id);
    static uint8_t bytes[65536];
    static float values[32768];
    size_t kept = 0;
    memset(bytes, 0, sizeof bytes);
    for (size_t i = 0; i < n; i++)
        for (unsigned b = 0; b < t->bits; b++) {
            const size_t bit = i * t->bits + b;
            bytes[bit / 8] |= (uint8_t)((i >> b & 1) << bit % 8);
        }
    sc_decoder(id, SC_CPU_C)(bytes, values, n / c->block);
    while (kept < n && isfinite(values[kept])) {
        out[kept] = (double)values[kept];
        kept++;
    }
    return kept;
}

/* The code of the nearest value; of two as near the even code. */
static size_t nearest_code(const double *values, size_t n, double x)
{
    size_t low = 0, high = n - 1;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        *(values[middle] <= x ? &low : &high) = middle;
    }
    const double below = x - values[low], over = values[high] - x;
    return below < over || (below <= over && low % 2 == 0) ? low : high;
}

/* Random bits, values near the steps of elements, and what is special. */
static float some_float(uint32_t *state, size_t i)
{
    static const uint32_t special[] = {0,          0x80000000, 1,          0x80000001, 0x007fffff,
                                       0x00800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
                                       0x7fc00000, 0xffc00001, 0x7f800001, 0xff801000};
    *state = *state * 1664525 + 1013904223;
    const uint32_t a = *state >> 8;
    *state = *state * 1664525 + 1013904223;
    const uint32_t b = *state >> 8;
    if (i % 64 == 63)
        return f32_of(special[a % SC_COUNT(special)]);
    if (i % 8 == 3)
        return f32_of(a << 16 ^ b);
    if (i % 2) /* few bits of mantissa, and perhaps one unit beside */
        return f32_of(((a & 0x800fff) << 8 & 0x800f8000) + ((100 + b % 48) << 23) + (b >> 16) % 3 -
                      1);
    return f32_of((a & 0x800000) << 8 | (105 + b % 40) << 23 | (a & 0x7fffff));
}

static double too_large_from(const struct element *t)
{
    return t->largest + ldexp(1, ilogb(t->largest) - (int)t->mantissa - 1);
}

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

/* ---------------------------------------------------------- blocks, by doubles and searching ---
 */
static double peak_of(const float *x, size_t n, bool *nan, bool *infinite)
{
    double peak = 0;
    for (size_t i = 0; i < n; i++) {
        *nan = *nan || isnan(x[i]);
        *infinite = *infinite || isinf(x[i]);
        if (isfinite(x[i]))
            peak = fmax(peak, fabs((double)x[i]));
    }
    return peak;
}

/* The scaled integers of MXINT8 are one more list of values. */
static size_t list_of(const struct sc_encoding *f, struct element *t, double *values)
{
    size_t n = 0;
    for (size_t i = 0; i < SC_COUNT(elements); i++)
        if (elements[i].id == f->element) {
            *t = elements[i];
            return values_of(t, values);
        }
    *t = (struct element){SC_ELEMENT_INT, "I8", 8, 6, 127.0 / 64};
    for (; n < 128; n++)
        values[n] = (double)n / 64;
    return n;
}

static int shared_exponent(const struct sc_encoding *f, const struct element *t, double peak)
{
    int e = ilogb(peak) - ilogb(t->largest);
    if (f->rule == SC_RULE_RCEIL)
        for (e = -200; peak > ldexp(t->largest, e);)
            e++;
    if (f->rule == SC_RULE_CEIL)
        for (e = -300; peak > ldexp(1, e + ilogb(t->largest));)
            e++;
    if (f->rule == SC_RULE_EVEN) {
        const double unit = ldexp(1, ilogb(peak) - (int)t->mantissa);
        e = ilogb(rint(peak / unit) * unit) - ilogb(t->largest);
    }
    return SC_MAX(-127, SC_MIN(127, e));
}

static double round_value(const struct element *t, const double *values, size_t n, double x, int e)
{
    const double magnitude = fabs(ldexp(x, -e));
    const double y = ldexp(values[nearest_code(values, n, SC_MIN(magnitude, t->largest))], e);
    return signbit(x) && (y > 0 || t->id != SC_ELEMENT_INT) ? -y : y;
}

static double error_at(const struct element *t, const double *values, size_t n, const float *x,
                       size_t count, int e)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(x[i]))
            continue;
        const float y = (float)round_value(t, values, n, (double)x[i], e);
        const double d = (double)y - (double)x[i];
        sum += d * d;
    }
    return sum;
}

static void expect_mx(const struct sc_encoding *f, const float *x, size_t count, float *y,
                      size_t *full)
{
    static double values[32768];
    struct element t;
    bool nan = false, infinite = false;
    const size_t n = list_of(f, &t, values);
    const double peak = peak_of(x, count, &nan, &infinite);
    int e = peak > 0 ? shared_exponent(f, &t, peak) : infinite ? 127 : -127;
    if (f->rule == SC_RULE_SSE && peak > 0) {
        double least = error_at(&t, values, n, x, count, e);
        const int first = e;
        for (int k = 1; k >= -1; k -= 2)
            if (first + k <= 127 && first + k >= -127 &&
                error_at(&t, values, n, x, count, first + k) < least) {
                e = first + k;
                least = error_at(&t, values, n, x, count, e);
            }
    }
    for (size_t i = 0; i < count; i++) {
        const double over = ldexp(too_large_from(&t), e), magnitude = fabs((double)x[i]);
        *full += !nan && isfinite(x[i]) && (n % 2 ? magnitude > over : magnitude >= over);
        y[i] = nan ? NAN : (float)round_value(&t, values, n, (double)x[i], e);
    }
}

static void expect_bfp(const struct sc_encoding *f, const float *x, size_t n, float *y,
                       size_t *full)
{
    const int m = f->bits - 1;
    const double most = ldexp(1, m) - 1;
    double errors[2] = {0, 0}, rounded[2][16], excess[2] = {0, 0};
    int e = 0;
    for (size_t i = 0; i < n; i++)
        e = SC_MAX(e, (int)(bits_of(x[i]) >> 23 & 255));
    for (int low = 0; low < 2; low++)
        for (size_t i = 0; i < n; i++) {
            const double unit = ldexp(1, e - low - 127 - (m - 1)), fine = ldexp(1, e - low - 150);
            const double magnitude = fabs((double)x[i]);
            /* alignment cuts, then to nearest even */
            double k = rint(floor(magnitude / fine) * fine / unit);
            if (magnitude < ldexp(1, -126))
                k = 0;
            excess[low] += k > most;
            rounded[low][i] = copysign(SC_MIN(k, most) * unit, (double)x[i]) + 0.0;
            errors[low] += (rounded[low][i] - (double)x[i]) * (rounded[low][i] - (double)x[i]);
        }
    const int low = f->rule == SC_RULE_SSE && e > m && errors[1] < errors[0];
    for (size_t i = 0; i < n; i++)
        y[i] = rounded[low][i] < 0 || rounded[low][i] > 0 ? (float)rounded[low][i] : 0;
    *full += (size_t)excess[low];
}

/* NVFP4 by floats that are computed as doubles and rounded: one step is exactly rounded that way.
 */
static double nvfp4_value(double x, float unit)
{
    static const double levels[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    const double t = (double)(float)(fabs(x) / (double)unit);
    const float y = (float)(levels[nearest_code(levels, 8, SC_MIN(t, 6))] * (double)unit);
    return copysign((double)y, x);
}

static double nvfp4_error(const float *x, size_t n, float unit)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            continue;
        const double d = (unit > 0 ? nvfp4_value((double)x[i], unit) : 0) - (double)x[i];
        sum += d * d;
    }
    return sum;
}

static void expect_nvfp4(const struct sc_encoding *f, float g, const float *x, size_t n, float *y,
                         size_t *full)
{
    static double values[32768];
    const struct element *t = &elements[1]; /* E4M3 */
    const size_t n_values = values_of(t, values);
    bool nan = false, infinite = false;
    const double peak = peak_of(x, n, &nan, &infinite);
    const float sixth = (float)(peak / 6), r = (float)((double)sixth / (double)g);
    const double wanted = fmax(fmin((double)r, 448), (double)f->floor);
    size_t code = infinite && !(peak > 0) ? 0x7e : nearest_code(values, n_values, wanted);
    if (f->rule == SC_RULE_SSE && peak > 0) {
        const int first = (int)code,
                  floor_code = (int)nearest_code(values, n_values, (double)f->floor);
        double least = nvfp4_error(x, n, (float)(values[code] * (double)g));
        static const int steps[] = {1, 2, 3, 4, 5, -1, -2, -3};
        for (size_t k = 0; k < SC_COUNT(steps); k++) {
            const int other = first + steps[k];
            if (other < SC_MAX(1, floor_code) || other > 0x7e)
                continue;
            const double error = nvfp4_error(x, n, (float)(values[other] * (double)g));
            if (error < least) {
                least = error;
                code = (size_t)other;
            }
        }
    }
    const float unit = (float)(values[code] * (double)g);
    for (size_t i = 0; i < n; i++) {
        const double units = (double)(float)(fabs((double)x[i]) / (double)unit);
        y[i] = nan ? NAN : unit > 0 ? (float)nvfp4_value((double)x[i], unit) : 0;
        *full += !nan && unit > 0 && isfinite(x[i]) && units >= 7;
    }
}

/* What happens in weights, and what does not: small and huge, one large beside small ones, zeros.
 */
static void fill_some(float *x, size_t n, uint32_t *state, size_t round)
{
    for (size_t i = 0; i < n; i++) {
        const float any = some_float(state, i + round);
        const bool finite = isfinite(any);
        switch (round % 7) {
        case 0:
            x[i] = any;
            break;
        case 1:
            x[i] = finite ? any : 0;
            break;
        case 2: /* like weights */
            x[i] = (float)(ldexp((double)(int32_t)*state, -36) * (i % 16 == round % 16 ? 4 : 1));
            break;
        case 3:
            x[i] = f32_of((bits_of(any) & 0x807fffff) | (uint32_t)(round % 250 + i % 6) << 23);
            break;
        case 4: /* subnormal */
            x[i] = f32_of(bits_of(any) & 0x80ffffff);
            break;
        case 5:
            x[i] = i % 3 ? 0.0F : -0.0F;
            break;
        default: /* multiples of a quarter: many ties */
            x[i] = (float)((int)(*state >> 24) - 128) / 4;
        }
    }
    if (round % 41 == 40)
        x[round % n] = round % 2 ? INFINITY : -INFINITY;
}

static void expect(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                   size_t n, float *y, size_t *full)
{
    for (size_t i = 0; i < n; i += f->unit) {
        const size_t some = SC_MIN(n - i, f->unit);
        if (f->scheme == SC_SCHEME_BFP)
            expect_bfp(f, x + i, some, y + i, full);
        else if (f->scheme == SC_SCHEME_MX)
            expect_mx(f, x + i, some, y + i, full);
        else
            expect_nvfp4(f, step->scale, x + i, some, y + i, full);
    }
}

static bool has_special(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return true;
    return false;
}

static bool is_same(float got, float want)
{
    return bits_of(got) == bits_of(want) || (isnan(got) && isnan(want));
}

static const char *const blocked[] = {
    "bfp8",
    "bfp4",
    "bfp2",
    "bfp8:sse",
    "bfp4:sse",
    "bfp2:sse",
    "nvfp4",
    "nvfp4:sse",
    "nvfp4:floor=0",
    "nvfp4:floor=0.0156",
    "mxfp8_e4m3",
    "mxfp8_e5m2",
    "mxfp6_e3m2",
    "mxfp6_e2m3",
    "mxfp4",
    "mxint8",
    "mxfp8_e4m3:rceil",
    "mxfp8_e5m2:rceil",
    "mxfp6_e3m2:rceil",
    "mxfp6_e2m3:rceil",
    "mxfp4:rceil",
    "mxint8:rceil",
    "mxfp8_e4m3:ceil",
    "mxfp8_e5m2:ceil",
    "mxfp6_e3m2:ceil",
    "mxfp6_e2m3:ceil",
    "mxfp4:ceil",
    "mxint8:ceil",
    "mxfp8_e4m3:even",
    "mxfp8_e5m2:even",
    "mxfp6_e3m2:even",
    "mxfp6_e2m3:even",
    "mxfp4:even",
    "mxint8:even",
    "mxfp8_e4m3:sse",
    "mxfp8_e5m2:sse",
    "mxfp6_e3m2:sse",
    "mxfp6_e2m3:sse",
    "mxfp4:sse",
    "mxint8:sse",
};

TEST(blocks_are_rounded_as_a_search_over_all_codes_does)
{
    enum { N = 96 };
    for (size_t k = 0; k < SC_COUNT(blocked); k++) {
        const struct sc_encoding f = parsed(blocked[k]);
        uint32_t state = (uint32_t)k + 1;
        unsigned wrong = 0;
        for (size_t round = 0; round < 210 && wrong == 0; round++) {
            float x[N], y[N], want[N];
            const size_t n = N - round % 37;
            size_t full = 0;
            fill_some(x, n, &state, round);
            const struct sc_step step = step_of(&f, x, n);
            if ((f.scheme == SC_SCHEME_BFP && has_special(x, n)) ||
                (f.scheme == SC_SCHEME_NVFP4 && !(step.scale > 0)))
                continue; /* have tests of their own */
            expect(&f, &step, x, n, want, &full);
            CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, &step, x, n, y), full);
            for (size_t i = 0; i < n; i++)
                if (!is_same(y[i], want[i]) && !wrong++) {
                    fprintf(stderr, "%s, round %zu, value %zu: %a becomes %a, not %a\n", blocked[k],
                            round, i, (double)x[i], (double)y[i], (double)want[i]);
                    CHECK(false);
                }
        }
    }
}

/* ------------------------------------------------------------- what is packed is what is kept ---
 */
static size_t bytes_of_unit(const struct sc_encoding *f)
{
    return f->unit * (size_t)f->bits / 8 + (f->scheme != SC_SCHEME_CAST);
}

static float decoded(const char *codec, const uint8_t *code)
{
    float y[8];
    sc_decoder(sc_codec_find(sc_strz(codec)), SC_CPU_C)(code, y, 1);
    return y[0];
}

/* One unit back to values, by the decoders of scales and codes. */
static void unpack(const struct sc_encoding *f, const struct sc_step *step, const uint8_t *packed,
                   float *y)
{
    if (f->scheme == SC_SCHEME_BFP) {
        static uint8_t tile[1088];
        static float values[1024];
        tile[0] = packed[0];
        memcpy(tile + 64, packed + 1, 2 * f->bits);
        sc_bfp_unpack_tile(f, tile, values, 32);
        memcpy(y, values, 16 * sizeof *y);
        return;
    }
    const float scale = f->scheme == SC_SCHEME_MX      ? decoded("F8_E8M0", packed)
                        : f->scheme == SC_SCHEME_NVFP4 ? decoded("F8_E4M3", packed) * step->scale
                                                       : 1;
    const struct sc_codec *c = sc_codec(f->codec);
    sc_decoder(f->codec, SC_CPU_C)(packed + (f->scheme != SC_SCHEME_CAST), y, f->unit / c->block);
    for (size_t i = 0; i < f->unit && f->scheme != SC_SCHEME_CAST; i++)
        y[i] = (f->element == SC_ELEMENT_INT ? y[i] / 64 : y[i]) * scale;
}

static const char *const casts[] = {
    "fp32",
    "bf16",
    "fp16",
    "fp8_e4m3",
    "fp8_e5m2",
    "fp8_e4m3fnuz",
    "fp8_e5m2fnuz",
    "fp8_e4m3:nosat",
    "fp8_e5m2:nosat",
    "fp8_e4m3fnuz:nosat",
    "fp8_e5m2fnuz:nosat",
    "fp0",
};

/* Signs of zeros and NaNs too; a signalling NaN of FP32 stays one. */
static void check_packed(const char *name, size_t rounds)
{
    enum { N = 96 };
    const struct sc_encoding f = parsed(name);
    uint32_t state = 99;
    for (size_t round = 0; round < rounds; round++) {
        float x[N], y[N], back[N + 32];
        uint8_t packed[N * 4 + 96];
        const size_t n = N - round % 33;
        fill_some(x, n, &state, round);
        const struct sc_step step = step_of(&f, x, n);
        memset(packed, 0xee, sizeof packed);
        const size_t bytes = sc_encoding_pack(&f, &step, x, n, packed);
        const size_t unit = bytes_of_unit(&f), units = (n + f.unit - 1) / f.unit;
        sc_rounder(&f, SC_CPU_C)(&f, &step, x, n, y);
        CHECK_U64(bytes, units * unit);
        CHECK_U64(packed[bytes], 0xee);
        for (size_t i = 0; i < units; i++)
            unpack(&f, &step, packed + i * unit, back + i * f.unit);
        for (size_t i = 0; i < n; i++)
            if (bits_of(back[i]) != bits_of(y[i])) {
                fprintf(stderr, "%s: round %zu, value %zu: %a\n", name, round, i, (double)x[i]);
                CHECK_U64(bits_of(back[i]), bits_of(y[i]));
                return;
            }
    }
}

TEST(packed_values_decode_to_rounded_ones)
{
    for (size_t k = 0; k < SC_COUNT(blocked); k++)
        check_packed(blocked[k], 210);
    for (size_t k = 0; k + 1 < SC_COUNT(casts); k++)
        check_packed(casts[k], 210);
    const struct sc_encoding f = parsed("fp0");
    const float x[2] = {1, NAN};
    uint8_t byte = 7;
    float y[2] = {3, 4};
    CHECK_U64(sc_encoding_pack(&f, NULL, x, 2, &byte), 0);
    CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, NULL, x, 2, y), 0);
    CHECK(byte == 7 && bits_of(y[0]) == 0 && bits_of(y[1]) == 0);
}

/* ----------------------------------------------------------------------- what is not finite --- */
TEST(infinities_and_nan_in_block_floats)
{
    float x[16] = {0}, y[16];
    const char *const names[] = {"bfp8", "bfp4", "bfp2"};
    for (size_t k = 0; k < 3; k++) {
        const struct sc_encoding f = parsed(names[k]);
        x[0] = INFINITY, x[1] = -INFINITY, x[2] = NAN, x[3] = 1, x[4] = -0x1p100F, x[5] = 1e-40F;
        CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, NULL, x, 16, y), 0);
        CHECK(isinf(y[0]) && y[0] > 0 && isinf(y[1]) && y[1] < 0);
        CHECK(k < 2 ? isnan(y[2]) : isinf(y[2])); /* BFP2 has no bit for it */
        for (size_t i = 3; i < 16; i++)
            CHECK_U64(bits_of(y[i]), 0);
    }
}

TEST(infinities_and_nan_under_a_scale)
{
    const char *const names[] = {"mxfp4", "mxfp8_e4m3", "mxint8", "nvfp4"};
    for (size_t k = 0; k < SC_COUNT(names); k++) {
        const struct sc_encoding f = parsed(names[k]);
        const size_t n = f.unit;
        const struct sc_step step = {.scale = 1, .inverse = 1};
        float x[32], y[32], plain[32];
        for (size_t i = 0; i < n; i++)
            x[i] = (float)i;
        sc_rounder(&f, SC_CPU_C)(&f, &step, x, n, plain);
        x[0] = -INFINITY;
        CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, &step, x, n, y),
                  sc_rounder(&f, SC_CPU_C)(&f, &step, x + 1, n - 1, y + 1));
        sc_rounder(&f, SC_CPU_C)(&f, &step, x, n, y);
        CHECK_BITS(y + 1, plain + 1, (n - 1) * sizeof *y);
        CHECK(isfinite(y[0]) && y[0] <= -plain[n - 1]);
        x[3] = NAN;
        sc_rounder(&f, SC_CPU_C)(&f, &step, x, n, y);
        for (size_t i = 0; i < n; i++)
            CHECK_U64(bits_of(y[i]), 0x7fc00000);
    }
}

TEST(tensors_of_zeros_and_of_next_to_nothing)
{
    const struct sc_encoding f = parsed("nvfp4");
    float x[32] = {0}, y[32];
    struct sc_step step = step_of(&f, x, 0);
    CHECK_NEAR((double)step.scale, 0, 0);
    CHECK_NEAR((double)step.inverse, 0, 0);
    x[0] = 1, x[16] = NAN;
    CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, &step, x, 32, y), 0);
    for (size_t i = 0; i < 32; i++)
        CHECK_U64(bits_of(y[i]), i < 16 ? 0 : 0x7fc00000);
    memset(x, 0, sizeof x);
    x[5] = -1e-44F;
    step = step_of(&f, x, 32);
    CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, &step, x, 32, y), 0);
    for (size_t i = 0; i < 32; i++)
        CHECK_U64(bits_of(y[i]), 0);
}

/* A smaller exponent clips what is largest, and serves the rest better. */
TEST(exponent_search_as_tt_metal_shows_it)
{
    static const struct {
        const char *name;
        float small, ordinary, clipped;
    } cases[] = {{"bfp4:sse", 0.13F, 0.125F, 0.875F}, {"bfp8:sse", 0.008F, 0.0078125F, 0.9921875F}};
    for (size_t k = 0; k < 2; k++) {
        const struct sc_encoding f = parsed(cases[k].name);
        float x[16], y[16];
        for (size_t i = 0; i < 16; i++)
            x[i] = i ? cases[k].small : 1;
        CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, NULL, x, 16, y), 1);
        CHECK_NEAR((double)y[0], (double)cases[k].clipped, 0);
        CHECK_NEAR((double)y[1], (double)cases[k].ordinary, 0);
    }
}

/* ----------------------------------------------------------------------------------- levels --- */
static void check_levels(const char *name, size_t rounds)
{
    enum { N = 259, GUARD = 8 };
    const struct sc_encoding f = parsed(name);
    uint32_t state = 5;
    for (size_t round = 0; round < rounds; round++) {
        float x[N], want[N + GUARD], got[N + GUARD];
        const size_t n = round < 2 * 80 ? round / 2 : N - round % 67;
        for (size_t i = 0; i < N; i += 32) /* kinds of blocks beside each other */
            fill_some(x + i, SC_MIN(N - i, 32), &state, round + (round % 3 ? i / 32 : 0));
        const struct sc_step step = step_of(&f, x, n);
        memset(want, 0x5a, sizeof want);
        const size_t full = sc_rounder(&f, SC_CPU_C)(&f, &step, x, n, want);
        for (int level = SC_CPU_AVX2; level <= (int)sc_cpu_level(); level++) {
            memset(got, 0x5a, sizeof got);
            if (round % 2) /* in place */
                memcpy(got, x, n * sizeof *x);
            const size_t count =
                sc_rounder(&f, (enum sc_cpu)level)(&f, &step, round % 2 ? got : x, n, got);
            if (count == full && memcmp(got, want, sizeof got) == 0)
                continue;
            fprintf(stderr, "%s at level %d, round %zu, %zu values:\n", name, level, round, n);
            CHECK_U64(count, full);
            for (size_t i = 0; i < N + GUARD; i++)
                if (bits_of(got[i]) != bits_of(want[i])) {
                    fprintf(stderr, "value %zu: %a\n", i, i < n ? (double)x[i] : 0.0);
                    CHECK_U64(bits_of(got[i]), bits_of(want[i]));
                    return;
                }
        }
    }
}

TEST(all_levels_give_the_same_bits_of_blocks)
{
    for (size_t k = 0; k < SC_COUNT(blocked); k++)
        check_levels(blocked[k], 900);
}

TEST(all_levels_give_the_same_bits_of_casts)
{
    for (size_t k = 0; k < SC_COUNT(casts); k++)
        check_levels(casts[k], 900);
}
