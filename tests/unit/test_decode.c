/* SPDX-License-Identifier: Apache-2.0 */
/* test_decode: every number format against its definition, computed here another way (ldexp() of
 * the fields, in double); all decoders of all tables at all levels of the processor against plain C
 * on random bytes, between pages that must not be touched. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS; NOLINT: a feature test macro */
#endif
#include "codec/decode.h"
#include "test.h"

#include <sys/mman.h>
#include <unistd.h>

static sc_codec_id named(const char *name)
{
    const sc_codec_id id = sc_codec_find(sc_strz(name));
    CHECK(id != SC_OPAQUE);
    return id;
}

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static uint64_t bits64_of(double d)
{
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u;
}

/* The best level last. */
static const struct {
    enum sc_cpu level;
    const char *name;
} levels[] = {{SC_CPU_C, "c"}, {SC_CPU_AVX2, "avx2"}, {SC_CPU_AVX512, "avx512"}};

static size_t n_levels(void)
{
    return (size_t)sc_cpu_level() + 1;
}

/* Decodes at every level, which must agree; the result of the last one stays. */
static void decode(const char *name, const void *src, float *dst, size_t blocks)
{
    for (size_t l = 0; l < n_levels(); l++) {
        sc_decode_fn *fn = sc_decoder(named(name), levels[l].level);
        CHECK(fn);
        if (fn)
            fn(src, dst, blocks);
    }
}

/* A quiet NaN of the sign, or the value with this sign, also of zero. */
static bool is_value(float got, double want, bool negative)
{
    if (isnan(want))
        return bits_of(got) == (negative ? 0xffc00000 : 0x7fc00000);
    return (double)got == (negative ? -want : want) && !signbit(got) == !negative;
}

/* ------------------------------------------------------------------------------ the formulas ---
 */
/* Magnitude of a code of exponent and mantissa, without special codes. */
static double formula(unsigned mag, int mantissa_bits, int bias)
{
    const int exponent = (int)(mag >> mantissa_bits);
    const double fraction = (double)(mag & ((1U << mantissa_bits) - 1)) / (1 << mantissa_bits);
    return exponent ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias);
}

TEST(all_halves)
{
    static uint16_t codes[65536];
    static float got[65536];
    unsigned wrong = 0;
    for (unsigned i = 0; i < 65536; i++)
        codes[i] = (uint16_t)i;
    decode("F16", codes, got, 65536);
    for (unsigned i = 0; i < 65536; i++) {
        const unsigned mag = i & 0x7fff, sign = i >> 15;
        const double want = mag == 0x7c00 ? INFINITY : formula(mag, 10, 15);
        bool right = bits_of(got[i]) == bits_of(sc_f16_value((uint16_t)i));
        if (mag > 0x7c00) /* quiet, with its payload */
            right = right && bits_of(got[i]) == ((sign << 31 | 0x7fc00000) | (mag & 0x3ff) << 13);
        else
            right = right && is_value(got[i], want, sign);
        wrong += !right;
    }
    CHECK_U64(wrong, 0);
}

TEST(all_bfloats)
{
    static uint16_t codes[65536];
    static float got[65536];
    unsigned wrong = 0;
    for (unsigned i = 0; i < 65536; i++)
        codes[i] = (uint16_t)i;
    decode("BF16", codes, got, 65536);
    for (unsigned i = 0; i < 65536; i++) {
        const unsigned mag = i & 0x7fff, sign = i >> 15;
        bool right = bits_of(got[i]) == i << 16 && bits_of(sc_bf16_value((uint16_t)i)) == i << 16;
        if (mag <= 0x7f80)
            right =
                right && is_value(got[i], mag == 0x7f80 ? INFINITY : formula(mag, 7, 127), sign);
        else
            right = right && isnan(got[i]);
        wrong += !right;
    }
    CHECK_U64(wrong, 0);
}

/* What each of the 256 codes means. */
static double e4m3(unsigned mag)
{
    return mag == 0x7f ? NAN : formula(mag, 3, 7);
}

static double e4m3fnuz(unsigned mag)
{
    return formula(mag, 3, 8);
}

static double e5m2fnuz(unsigned mag)
{
    return formula(mag, 2, 16);
}

static void all_codes(const char *name, double (*value)(unsigned mag), bool fnuz)
{
    uint8_t codes[256];
    float got[256];
    for (unsigned i = 0; i < 256; i++)
        codes[i] = (uint8_t)i;
    decode(name, codes, got, 256);
    for (unsigned i = 0; i < 256; i++)
        CHECK(fnuz && i == 0x80 ? bits_of(got[i]) == 0x7fc00000
                                : is_value(got[i], value(i & 0x7f), i >= 0x80));
}

TEST(all_codes_of_fp8)
{
    all_codes("F8_E4M3", e4m3, false);
    all_codes("F8_E4M3FNUZ", e4m3fnuz, true);
    all_codes("F8_E5M2FNUZ", e5m2fnuz, true);
}

/* Infinity and NaNs with payload, as the F16 whose upper byte it is. */
TEST(all_codes_of_e5m2)
{
    for (unsigned i = 0; i < 256; i++) {
        const uint8_t code = (uint8_t)i;
        const unsigned mag = i & 0x7f;
        float got;
        decode("F8_E5M2", &code, &got, 1);
        if (mag > 0x7c)
            CHECK_U64(bits_of(got), (i >> 7) << 31 | 0x7fc00000 | (mag & 3) << 21);
        else
            CHECK(is_value(got, mag == 0x7c ? INFINITY : formula(mag, 2, 15), i >= 0x80));
    }
}

TEST(all_codes_of_e8m0)
{
    for (unsigned i = 0; i < 256; i++) {
        const uint8_t code = (uint8_t)i;
        float got;
        decode("F8_E8M0", &code, &got, 1);
        CHECK(is_value(got, i == 255 ? NAN : ldexp(1, (int)i - 127), false));
    }
}

/* Numbers of the definitions: largest, smallest normal, smallest subnormal. */
TEST(corners_of_small_floats)
{
    static const struct {
        const char *name;
        uint8_t code;
        double value;
    } rows[] = {
        {"F8_E4M3", 0x7e, 448},
        {"F8_E4M3", 0x08, 0x1p-6},
        {"F8_E4M3", 0x01, 0x1p-9},
        {"F8_E4M3", 0x1d, 0.1015625},
        {"F8_E4M3", 0x78, 256},
        {"F8_E4M3", 0x81, -0x1p-9},
        {"F8_E5M2", 0x7b, 57344},
        {"F8_E5M2", 0x04, 0x1p-14},
        {"F8_E5M2", 0x01, 0x1p-16},
        {"F8_E5M2", 0x2e, 0.09375},
        {"F8_E4M3FNUZ", 0x7f, 240},
        {"F8_E4M3FNUZ", 0x08, 0x1p-7},
        {"F8_E4M3FNUZ", 0x01, 0x1p-10},
        {"F8_E4M3FNUZ", 0x25, 0.1015625},
        {"F8_E5M2FNUZ", 0x7f, 57344},
        {"F8_E5M2FNUZ", 0x04, 0x1p-15},
        {"F8_E5M2FNUZ", 0x01, 0x1p-17},
        {"F8_E5M2FNUZ", 0x32, 0.09375},
        {"F8_E8M0", 0x00, 0x1p-127},
        {"F8_E8M0", 0x7f, 1},
        {"F8_E8M0", 0xfe, 0x1p127},
        {"BOOL", 0, 0},
        {"BOOL", 1, 1},
        {"BOOL", 0x80, 1},
        {"I8", 0x80, -128},
        {"U8", 0xff, 255},
    };
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        float got;
        decode(rows[i].name, &rows[i].code, &got, 1);
        CHECK_NEAR(got, rows[i].value, 0);
    }
}

/* The first value lies in the lowest bits. */
TEST(all_codes_of_fp6)
{
    static const struct {
        const char *name;
        int mantissa_bits, bias;
        double largest;
    } kinds[] = {{"F6_E2M3", 3, 1, 7.5}, {"F6_E3M2", 2, 3, 28}};
    for (size_t k = 0; k < SC_COUNT(kinds); k++) {
        uint8_t bytes[48] = {0};
        float got[64], largest = 0;
        for (unsigned i = 0; i < 64; i++)
            for (unsigned bit = 0; bit < 6; bit++)
                if (i >> bit & 1)
                    bytes[(6 * i + bit) / 8] |= (uint8_t)(1 << (6 * i + bit) % 8);
        decode(kinds[k].name, bytes, got, 16);
        for (unsigned i = 0; i < 64; i++) {
            CHECK(
                is_value(got[i], formula(i & 31, kinds[k].mantissa_bits, kinds[k].bias), i >= 32));
            largest = fmaxf(largest, got[i]);
        }
        CHECK_NEAR(largest, kinds[k].largest, 0);
    }
}

/* The first value of a byte is in its lower half, in both. */
TEST(all_bytes_of_fp4)
{
    static const double e2m1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    static const char *const names[] = {"F4", "F4_X2"};
    uint8_t bytes[256];
    float got[512];
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    for (size_t k = 0; k < SC_COUNT(names); k++) {
        decode(names[k], bytes, got, 256);
        for (size_t i = 0; i < 256; i++) {
            CHECK(is_value(got[2 * i], e2m1[i & 7], i >> 3 & 1));
            CHECK(is_value(got[2 * i + 1], e2m1[i >> 4 & 7], i >> 7));
        }
    }
}

TEST(integers_of_16_bits)
{
    static uint16_t codes[65536];
    static float i16[65536], u16[65536];
    unsigned wrong = 0;
    for (unsigned i = 0; i < 65536; i++)
        codes[i] = (uint16_t)i;
    decode("I16", codes, i16, 65536);
    decode("U16", codes, u16, 65536);
    for (unsigned i = 0; i < 65536; i++)
        wrong += !(u16[i] == (float)i) + !(i16[i] == (float)(i < 32768 ? (int)i : (int)i - 65536));
    CHECK_U64(wrong, 0);
}

/* Floats keep all their bits, also those of signalling NaNs. */
TEST(floats_as_they_are)
{
    const uint32_t in[] = {0, 0x80000000, 1, 0x7f800000, 0xff800001, 0x7fc12345, 0x3f800000};
    float out[SC_COUNT(in)];
    decode("F32", in, out, SC_COUNT(in));
    CHECK_BITS(out, in, sizeof in);
    decode("C64", in, out, 3);
    CHECK_BITS(out, in, 24);
}

TEST(complex_types_give_two_values)
{
    const uint8_t half[] = {0x00, 0x3c, 0x00, 0xc0,
                            0x00, 0x80, 0x01, 0x00}; /* 1 - 2i, -0 + 2^-24i */
    const double wide[] = {1.5, -2.5, 1e300, -0.0};
    float f[4] = {0};
    double d[4];
    decode("C32", half, f, 2);
    CHECK(is_value(f[0], 1, false) && is_value(f[1], 2, true));
    CHECK(is_value(f[2], 0, true) && is_value(f[3], 0x1p-24, false));
    sc_decoder64(named("C128"))((const uint8_t *)wide, d, 2);
    CHECK_BITS(d, wide, sizeof wide);
    for (size_t i = 0; i < sc_codec_count(); i++) {
        const struct sc_codec *c = sc_codec((sc_codec_id)i);
        CHECK_U64(sc_codec_values((sc_codec_id)i),
                  c->name[0] == 'C' || strcmp(c->name, "F4_X2") == 0 ? 2 : 1);
    }
}

/* ------------------------------------------------------------------------------- as doubles --- */
TEST(integers_are_exact_as_doubles)
{
    const uint64_t in[] = {0,
                           1,
                           UINT64_MAX,
                           UINT64_C(1) << 63,
                           (UINT64_C(1) << 53) - 1,
                           (UINT64_C(1) << 53) + 1, /* between two: to the even one */
                           (UINT64_C(1) << 53) + 3,
                           (UINT64_C(1) << 63) - 512, /* the same at the upper end */
                           (UINT64_C(1) << 63) - 511};
    const double as_unsigned[] = {0,      1,          0x1p64, 0x1p63, 0x1p53 - 1,
                                  0x1p53, 0x1p53 + 4, 0x1p63, 0x1p63},
                 as_signed[] = {0, 1, -1, -0x1p63, 0x1p53 - 1, 0x1p53, 0x1p53 + 4, 0x1p63, 0x1p63};
    const uint32_t small[] = {0, 0x7fffffff, 0x80000000, 0xffffffff, 16777217};
    double out[SC_COUNT(in)];
    sc_decoder64(named("U64"))((const uint8_t *)in, out, SC_COUNT(in));
    for (size_t i = 0; i < SC_COUNT(in); i++)
        CHECK_NEAR(out[i], as_unsigned[i], 0);
    sc_decoder64(named("I64"))((const uint8_t *)in, out, SC_COUNT(in));
    for (size_t i = 0; i < SC_COUNT(in); i++)
        CHECK_NEAR(out[i], as_signed[i], 0);
    sc_decoder64(named("U32"))((const uint8_t *)small, out, SC_COUNT(small));
    for (size_t i = 0; i < SC_COUNT(small); i++)
        CHECK_NEAR(out[i], small[i], 0);
    sc_decoder64(named("I32"))((const uint8_t *)small, out, SC_COUNT(small));
    for (size_t i = 0; i < SC_COUNT(small); i++)
        CHECK_NEAR(out[i], (double)small[i] - (small[i] >> 31 ? 0x1p32 : 0), 0);
}

TEST(doubles_as_they_are)
{
    const uint64_t in[] = {0,
                           UINT64_C(1) << 63,
                           1,
                           UINT64_C(0x7ff0000000000001),
                           UINT64_C(0xfff0000000000000),
                           UINT64_C(0x3ff123456789abcd)};
    double out[SC_COUNT(in)];
    sc_decoder64(named("F64"))((const uint8_t *)in, out, SC_COUNT(in));
    CHECK_BITS(out, in, sizeof in);
}

/* --------------------------------------------------------------------------------- the table ---
 */
/* What cannot be decoded, and why: decode.c says it in words. */
static bool only_as_double(const char *name)
{
    static const char *const names[] = {"F64", "I32", "U32", "I64", "U64", "C128"};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool not_at_all(const struct sc_codec *c)
{
    static const char *const names[] = {"F128",  "C256",  "Q6_0",  "IQ2_K",
                                        "IQ3_K", "IQ4_K", "IQ5_K", "IQ6_K"};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        if (strcmp(c->name, names[i]) == 0)
            return true;
    return c->kind == SC_KIND_OPAQUE || c->kind == SC_KIND_QINT || c->kind == SC_KIND_LOGICAL ||
           c->row_bytes > 0;
}

static const struct sc_decoder_row *const tables[] = {sc_decode_plain, sc_decode_ggml, sc_decode_k,
                                                      sc_decode_iq};

TEST(every_row_decodes_or_is_known_not_to)
{
    for (size_t i = 0; i < sc_codec_count() + 2; i++) {
        const sc_codec_id id = (sc_codec_id)i;
        const struct sc_codec *c = sc_codec(id);
        const bool no = not_at_all(c), wide = only_as_double(c->name);
        if (!sc_decoder(id, SC_CPU_C) != (no || wide) || !sc_decoder64(id) != no)
            fprintf(stderr, "    of %s:\n", c->name);
        CHECK(!sc_decoder(id, SC_CPU_C) == (no || wide));
        CHECK(!sc_decoder64(id) == no);
        CHECK(c->block * sc_codec_values(id) <= 512); /* what decode.c has room for */
    }
    CHECK(!sc_decoder(UINT16_MAX, SC_CPU_C) && !sc_decoder64(UINT16_MAX));
}

TEST(tables_name_rows_that_exist_and_each_once)
{
    for (size_t t = 0; t < SC_COUNT(tables); t++)
        for (const struct sc_decoder_row *row = tables[t]; row->name; row++) {
            const sc_codec_id id = named(row->name);
            CHECK(row->c);
            CHECK(sc_decoder(id, SC_CPU_C) == row->c); /* a twin would hide */
            CHECK(sc_decoder(id, SC_CPU_AVX2) == (row->avx2 ? row->avx2 : row->c));
            CHECK(sc_decoder(id, SC_CPU_AVX512) == (row->avx512 ? row->avx512
                                                    : row->avx2 ? row->avx2
                                                                : row->c));
        }
}

/* --------------------------------------------------- levels agree, and stay within their bounds
 * --- Buffers that end where a page that cannot be touched begins. */
enum { ROUNDS = 3 };
#define MOST_BLOCKS ((size_t)70)

struct guarded {
    uint8_t *map, *end;
    size_t bytes;
};

static bool guarded_open(struct guarded *g, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    g->bytes = room + 2 * page;
    g->map = mmap(NULL, g->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->map == MAP_FAILED)
        return false;
    g->end = g->map + page + room;
    return mprotect(g->map, page, PROT_NONE) == 0 && mprotect(g->end, page, PROT_NONE) == 0;
}

static void guarded_close(struct guarded *g)
{
    munmap(g->map, g->bytes);
}

static uint64_t random_state = 1;

static uint32_t random_bits(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33);
}

/* Random bytes, of which some rounds make many extremes: all bits of a byte, or none. */
static void random_bytes(uint8_t *p, size_t n, unsigned round)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t r = random_bits();
        p[i] = (uint8_t)(round == 1 && (r & 0x300) ? (r & 0x400 ? 0xff : 0) : r);
    }
}

static void check_levels(sc_codec_id id, const struct guarded *in, const struct guarded *out,
                         float *want)
{
    const struct sc_codec *c = sc_codec(id);
    const size_t values = c->block * (size_t)sc_codec_values(id);
    for (size_t n = 0; n <= MOST_BLOCKS; n++) {
        const size_t in_bytes = n * c->bytes, out_bytes = n * values * sizeof *want;
        uint8_t *src = in->end - in_bytes;
        void *dst = out->end - out_bytes;
        random_bytes(src, in_bytes, (unsigned)n % ROUNDS);
        for (size_t l = 0; l < n_levels(); l++) {
            memset(dst, 0xa5, out_bytes);
            if (n) /* a byte in front of the values stays */
                ((uint8_t *)dst)[-1] = 0x5a;
            sc_decoder(id, levels[l].level)(src, dst, n);
            if (l == 0) {
                memcpy(want, dst, out_bytes);
            } else if (memcmp(dst, want, out_bytes) != 0) {
                fprintf(stderr, "    %s, %s, %zu blocks:\n", c->name, levels[l].name, n);
                CHECK_BITS(dst, want, out_bytes);
                return;
            }
            CHECK(!n || ((uint8_t *)dst)[-1] == 0x5a);
        }
    }
}

TEST(levels_give_the_same_bits_and_stay_inside)
{
    static float want[MOST_BLOCKS * 512];
    struct guarded in, out;
    REQUIRE(guarded_open(&in, MOST_BLOCKS * 512));
    REQUIRE(guarded_open(&out, sizeof want));
    for (size_t i = 0; i < sc_codec_count(); i++)
        if (sc_decoder((sc_codec_id)i, SC_CPU_C)) {
            REQUIRE(sc_codec((sc_codec_id)i)->bytes <= 512);
            check_levels((sc_codec_id)i, &in, &out, want);
        }
    guarded_close(&in);
    guarded_close(&out);
}

/* Any two bytes may be a scale: at every even place of a block random halves, many of them
 * subnormal, infinite or NaN, among random codes. */
TEST(levels_agree_on_odd_scales)
{
    enum { AT_ONCE = 16 };
    static uint8_t bytes[AT_ONCE * 512];
    static float want[AT_ONCE * 512], got[AT_ONCE * 512];
    for (size_t i = 0; i < sc_codec_count(); i++) {
        const sc_codec_id id = (sc_codec_id)i;
        const struct sc_codec *c = sc_codec(id);
        const size_t values = c->block * (size_t)sc_codec_values(id);
        if (c->kind != SC_KIND_BLOCK || !sc_decoder(id, SC_CPU_C) || n_levels() == 1)
            continue;
        random_bytes(bytes, (size_t)AT_ONCE * c->bytes, 0);
        for (size_t at = 0; at + 2 <= c->bytes; at += 2) {
            for (unsigned k = 0; k < 8; k++) {
                for (size_t b = 0; b < AT_ONCE; b++) {
                    const unsigned scale = k < 2   ? random_bits() & 0x83ff
                                           : k < 4 ? random_bits() | 0x7c00
                                                   : random_bits();
                    bytes[b * c->bytes + at] = (uint8_t)scale;
                    bytes[b * c->bytes + at + 1] = (uint8_t)(scale >> 8);
                }
                sc_decoder(id, SC_CPU_C)(bytes, want, AT_ONCE);
                for (size_t l = 1; l < n_levels(); l++) {
                    sc_decoder(id, levels[l].level)(bytes, got, AT_ONCE);
                    if (memcmp(got, want, AT_ONCE * values * sizeof *got) == 0)
                        continue;
                    fprintf(stderr, "    %s, %s, bytes %zu:\n", c->name, levels[l].name, at);
                    CHECK_BITS(got, want, AT_ONCE * values * sizeof *got);
                    return;
                }
            }
        }
    }
}

TEST(doubles_are_the_floats)
{
    enum { BLOCKS = 9 };
    static uint8_t bytes[BLOCKS * 512 + 1];
    static float narrow[BLOCKS * 512];
    static double wide[BLOCKS * 512 + 1];
    for (size_t i = 0; i < sc_codec_count(); i++) {
        const sc_codec_id id = (sc_codec_id)i;
        const struct sc_codec *c = sc_codec(id);
        const size_t values = (size_t)BLOCKS * c->block * (size_t)sc_codec_values(id);
        unsigned wrong = 0;
        if (!sc_decoder(id, SC_CPU_C))
            continue;
        random_bytes(bytes, sizeof bytes, 0);
        wide[values] = 42;
        sc_decoder(id, SC_CPU_C)(bytes + 1, narrow, BLOCKS);
        sc_decoder64(id)(bytes + 1, wide, BLOCKS);
        for (size_t k = 0; k < values; k++)
            wrong += isnan(narrow[k]) ? !isnan(wide[k])
                                      : bits64_of(wide[k]) != bits64_of((double)narrow[k]);
        CHECK_U64(wrong, 0);
        CHECK_NEAR(wide[values], 42, 0);
    }
}

/* More than fits into one piece of the way through floats. */
TEST(doubles_of_many)
{
    static uint16_t codes[5000];
    static double got[5000];
    unsigned wrong = 0;
    for (unsigned i = 0; i < 5000; i++)
        codes[i] = (uint16_t)(i * 6);
    sc_decoder64(named("F16"))((const uint8_t *)codes, got, 5000);
    for (unsigned i = 0; i < 5000; i++)
        wrong += !(got[i] == formula(codes[i], 10, 15));
    CHECK_U64(wrong, 0);
}

/* ------------------------------------------------------------------------------------ goldens ---
 * Input T of 1024 floats, encoded here in a few lines, decoded, hashed with -0 as +0: hashes that
 * other code gave (F16 and BF16: ggml). */
static float input_t(unsigned i)
{
    static uint32_t state;
    state = i ? state * 1664525 + 1013904223 : 1664525U + 1013904223U;
    return (float)(((double)(state >> 8) / 0x1p24 - 0.5) * ldexp(1, (int)(i % 7) - 3));
}

static uint32_t fnv(const float *p, size_t n)
{
    uint32_t h = 2166136261U;
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = p[i] == 0 ? 0 : bits_of(p[i]);
        for (unsigned b = 0; b < 4; b++)
            h = (h ^ (u >> 8 * b & 0xff)) * 16777619U;
    }
    return h;
}

/* The code whose value is nearest, among `n`; ties go to the even one. Slow, and right by sight. */
static unsigned nearest(float x, const float *value_of, unsigned n)
{
    unsigned best = 0;
    for (unsigned code = 1; code < n; code++) {
        const double now = fabs((double)value_of[code] - (double)x),
                     before = fabs((double)value_of[best] - (double)x);
        if (now < before || (now == before && code % 2 == 0 && best % 2 == 1))
            best = code;
    }
    return best;
}

TEST(goldens_of_input_t)
{
    static const struct {
        const char *name;
        unsigned finite; /* codes from 0 upward whose values are finite */
        uint32_t hash;
    } rows[] = {
        {"F16", 0x7c00, 0xc63ca393},       {"BF16", 0x7f80, 0xf09bb964},
        {"F8_E4M3", 0x7f, 0x26972c2c},     {"F8_E5M2", 0x7c, 0xce92527d},
        {"F8_E4M3FNUZ", 0x80, 0xa0d02f7f}, {"F8_E5M2FNUZ", 0x80, 0xce92527d},
    };
    static float t[1024], values[0x8000], got[1024];
    for (unsigned i = 0; i < 1024; i++)
        t[i] = input_t(i);
    CHECK_U64(fnv(t, 1024), 0xc05def2b);
    for (size_t k = 0; k < SC_COUNT(rows); k++) {
        const sc_codec_id id = named(rows[k].name);
        const unsigned bytes = sc_codec(id)->bytes, top = 1U << (8 * bytes - 1);
        uint8_t code[2];
        for (unsigned i = 0; i < rows[k].finite; i++) {
            code[0] = (uint8_t)i;
            code[1] = (uint8_t)(i >> 8);
            decode(rows[k].name, code, &values[i], 1);
        }
        for (unsigned i = 0; i < 1024; i++) {
            unsigned c = nearest(fabsf(t[i]), values, rows[k].finite);
            c |= t[i] < 0 && c ? top : 0;
            code[0] = (uint8_t)c;
            code[1] = (uint8_t)(c >> 8);
            decode(rows[k].name, code, &got[i], 1);
        }
        CHECK_U64(fnv(got, 1024), rows[k].hash);
    }
}

/* ---------------------------------------------------------------------------------- byte order ---
 */
TEST(big_endian_elements_turn_around)
{
    uint8_t b[32], want[32];
    for (unsigned i = 0; i < 32; i++)
        b[i] = (uint8_t)i;
    static const struct {
        const char *name;
        unsigned bytes;
    } rows[] = {{"F16", 2}, {"BF16", 2},  {"I16", 2},     {"U16", 2},   {"F32", 4}, {"I32", 4},
                {"U32", 4}, {"QI32", 4},  {"F64", 8},     {"I64", 8},   {"U64", 8}, {"C32", 2},
                {"C64", 4}, {"C128", 8},  {"C256", 16},   {"F128", 16}, {"U8", 1},  {"BOOL", 1},
                {"F4", 1},  {"F4_X2", 1}, {"F8_E4M3", 1}, {"QU4", 1}};
    for (size_t k = 0; k < SC_COUNT(rows); k++) {
        const sc_codec_id id = named(rows[k].name);
        const unsigned size = rows[k].bytes;
        for (unsigned i = 0; i < 32; i++)
            want[i] = (uint8_t)(i / size * size + (size - 1 - i % size));
        CHECK(sc_codec_swap(id, b, 32 / sc_codec(id)->bytes));
        CHECK_BITS(b, want, 32);
        CHECK(sc_codec_swap(id, b, 32 / sc_codec(id)->bytes));
    }
    CHECK(sc_codec_swap(named("F32"), b, 0) && b[0] == 0);
    CHECK(sc_codec_swap(named("I16"), b + 1, 1) && b[1] == 2 && b[2] == 1 && b[3] == 3);
}

TEST(blocks_have_no_byte_order)
{
    uint8_t b[512] = {1, 2, 3};
    for (size_t i = 0; i < sc_codec_count(); i++) {
        const struct sc_codec *c = sc_codec((sc_codec_id)i);
        if (c->kind == SC_KIND_BLOCK || c->kind == SC_KIND_OPAQUE || c->bytes == 3)
            CHECK(!sc_codec_swap((sc_codec_id)i, b, 1));
        else
            CHECK(sc_codec_swap((sc_codec_id)i, b, 0));
    }
    CHECK(b[0] == 1 && b[1] == 2 && b[2] == 3);
}
