/* SPDX-License-Identifier: Apache-2.0 */
/* test_encode_blocks: formats whose values share scales against doubles and a search over all
 * codes; what is packed against the decoders of scales and codes; what is not finite; all levels of
 * the processor against each other. */
#include "codec/encoding.h"
#include "encode_input.h"
#include "test.h"

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
static float shortened(float x, uint32_t kept)
{
    const uint32_t bits = bits_of(x) & kept;
    memcpy(&x, &bits, sizeof x);
    return x;
}

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
        for (size_t i = 0; round % 4 == 1 && i < N; i++) /* as from BF16, or just short enough */
            x[i] = shortened(x[i], round % 8 == 1 ? 0xffff0000 : 0xffffff80);
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

/* Quotients that lie on the boundary between two codes, or a unit in the last place beside it:
 * where a reciprocal in the place of a division would show. */
TEST(quotients_at_the_boundaries_of_nvfp4)
{
    static const float bounds[] = {0.25F, 0.75F, 1.25F, 1.75F, 2.5F, 3.5F, 5};
    const struct sc_encoding f = parsed("nvfp4");
    uint32_t state = 3;
    unsigned wrong = 0;
    for (size_t round = 0; round < 20000 && !wrong; round++) {
        float x[256], want[256], got[256];
        state = state * 1664525 + 1013904223;
        const struct sc_step step = {
            .scale = f32_of((100 + (uint32_t)round % 30) << 23 | state >> 9), .inverse = 1};
        for (size_t i = 0; i < 256; i++) {
            const float scale =
                sc_element_value(SC_ELEMENT_E4M3, (uint32_t)(40 + (round + i / 16) % 80));
            const float unit = scale * step.scale;
            const float at = i % 16 ? bounds[i % 16 % 7] * unit : 6 * unit;
            x[i] = f32_of(bits_of(at) + (i % 16 ? (uint32_t)(round + i / 7) % 5 - 2 : 0));
        }
        const size_t full = sc_rounder(&f, SC_CPU_C)(&f, &step, x, 256, want);
        for (int level = SC_CPU_AVX2; level <= (int)sc_cpu_level(); level++) {
            const size_t count = sc_rounder(&f, (enum sc_cpu)level)(&f, &step, x, 256, got);
            wrong += count != full || memcmp(got, want, sizeof got) != 0;
        }
        CHECK_U64(wrong, 0);
    }
}
