/* SPDX-License-Identifier: Apache-2.0 */
/* Inner products of bfloat16: against the order as dots16.h says it, worked out in integers and in
 * double; the same bits on every level and for every cut, whatever the numbers. */
#include <float.h>
#include <stdlib.h>

#include "kernel/dots16.h"
#include "math/math.h"
#include "test.h"

enum { MOST_W = 101, MOST_X = 290, LONG = 2048 + 32 + 13 };

/* ---------------------------------------------------------------------------------- numbers --- */

static uint32_t random32(uint64_t seed, uint64_t i)
{
    return (uint32_t)(sc_random(seed, i) >> 32);
}

/* Kinds of bfloat16: what a network has; products about 2^-126; subnormal ones; sums that overflow;
 * sums that cancel; any bits, with NaN and infinity. */
enum kind { PLAIN, TINY, SUBNORMAL, LARGE, CANCELLING, ANY, KINDS };
static uint16_t code(enum kind kind, uint64_t seed, uint64_t i)
{
    const uint32_t r = random32(seed, i), rest = r & 0x807f, exponent = r >> 20;

    switch (kind) {
    case PLAIN:
        return (uint16_t)(rest | (110 + exponent % 25) << 7);
    case TINY:
        return (uint16_t)(rest | (50 + exponent % 28) << 7);
    case SUBNORMAL:
        return (uint16_t)(rest | exponent % 3 << 7);
    case LARGE:
        return (uint16_t)(rest | (185 + exponent % 10) << 7);
    case CANCELLING:
        return exponent % 5 == 0 ? 0 : (uint16_t)((r & 0x8001) | 63 << 7 | (r >> 8 & 0x7f));
    case ANY:
        return (uint16_t)(exponent % 64 == 0 ? r : rest | (100 + exponent % 40) << 7);
    case KINDS:
        break;
    }
    return 0;
}

static float value(uint16_t c)
{
    return sc_float_of((uint32_t)c << 16);
}

static double plain(double x)
{
    return fabs(x) < (double)FLT_MIN ? copysign(0, x) : x;
}

/* A double that is known to be no exact result but on the right side of it (its last bit is odd
 * when it was rounded), as float; the exponent has no end, then what is too small is zero. */
static double as_float(double x)
{
    int exponent;

    if (!isfinite(x) || x == 0)
        return x;
    const double m = ldexp(frexp(x, &exponent), 24); /* 24 bits before the point */
    const double near = ldexp(nearbyint(m), exponent - 24);
    return fabs(near) > (double)FLT_MAX ? copysign((double)INFINITY, x) : plain(near);
}

/* a b is exact in double; its sum with c is rounded to odd. */
static double exact_step(double a, double b, double c)
{
    const double p = a * b, sum = p + c;
    const double back = sum - p, lost = (p - (sum - back)) + (c - back);

    if (!isfinite(sum) || lost == 0)
        return as_float(sum);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (!(bits & 1)) /* of both neighbours of the sum the one with an odd last bit */
        bits += (lost > 0) == (sum > 0) ? 1 : UINT64_MAX;
    double odd;
    memcpy(&odd, &bits, sizeof odd);
    return as_float(odd);
}

static uint32_t expected(const uint16_t *w, const uint16_t *x, size_t n)
{
    double sum = 0;

    for (size_t k = 0; k < n; k += 32) {
        double half[2] = {0, 0};
        for (size_t i = 0; i < 32; i++) {
            const double a = k + i < n ? plain((double)value(w[k + i])) : 0;
            const double b = k + i < n ? plain((double)value(x[k + i])) : 0;
            half[i % 2] = exact_step(a, b, half[i % 2]);
        }
        sum =
            as_float(sum + as_float(half[0] + half[1])); /* 24 + 24 bits: rounding twice is once */
    }
    return isnan(sum) ? 0x7fc00000 : sc_bits_of((float)sum);
}

/* ---------------------------------------------------------------------------------- products ---
 */

static uint16_t *w, *codes;
static float *x, *packed, *scratch, *y[2];

static float *aligned(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);

    if (!p)
        abort();
    return p;
}

static void begin(void)
{
    w = (uint16_t *)(void *)aligned(MOST_W * LONG / 2 + 1);
    codes = (uint16_t *)(void *)aligned(MOST_X * LONG / 2 + 1);
    x = aligned(MOST_X * LONG);
    packed = aligned(sc_dots16_packed(MOST_X, LONG));
    scratch = aligned(SC_DOTS16_SCRATCH);
    y[0] = aligned(MOST_W * MOST_X);
    y[1] = aligned(MOST_W * MOST_X);
}

static void end(void)
{
    free(w);
    free(codes);
    free(x);
    free(packed);
    free(scratch);
    free(y[0]);
    free(y[1]);
}

static void fill(enum kind kind)
{
    for (size_t i = 0; i < MOST_W * LONG; i++)
        w[i] = code(kind, 1, i);
    for (size_t i = 0; i < MOST_X * LONG; i++) {
        codes[i] = code(kind, 2, i);
        x[i] = value(codes[i]);
    }
}

static void product(size_t n_w, size_t n_x, size_t n, enum sc_dots16_unit unit, float *to)
{
    const struct sc_dots16 d = {.w = w,
                                .packed = packed,
                                .y = to,
                                .scratch = scratch,
                                .w_stride = LONG,
                                .y_stride = MOST_W,
                                .n_w = n_w,
                                .n_x = n_x,
                                .n = n};

    memset(to, 0, MOST_W * MOST_X * sizeof *to);
    memset(packed, 0xff, sc_dots16_packed(MOST_X, LONG) * sizeof *packed);
    memset(scratch, 0xff, SC_DOTS16_SCRATCH * sizeof *scratch);
    for (size_t g = 0; g * SC_DOTS16_GROUP < n_x; g++)
        sc_dots16_pack(x, LONG, n_x, n, g, packed, unit);
    sc_dots16(&d, unit);
}

TEST(products_are_added_in_the_order_that_is_promised)
{
    static const size_t lengths[] = {1, 2, 31, 32, 33, 100};
    begin();
    for (enum kind kind = PLAIN; kind < KINDS; kind++) {
        size_t wrong = 0;
        fill(kind);
        for (size_t l = 0; l < SC_COUNT(lengths); l++) {
            product(MOST_W, 40, lengths[l], SC_DOTS16_C, y[0]);
            for (size_t t = 0; t < 40; t++)
                for (size_t r = 0; r < MOST_W; r++)
                    wrong += sc_bits_of(y[0][t * MOST_W + r]) !=
                             expected(w + r * LONG, codes + t * LONG, lengths[l]);
        }
        CHECK_U64(wrong, 0);
    }
    end();
}

TEST(every_unit_gives_the_same_bits)
{
    static const size_t lengths[] = {1, 31, 32, 65, 511};
    begin();
    for (enum kind kind = PLAIN; kind < KINDS; kind++) {
        fill(kind);
        for (size_t l = 0; l < SC_COUNT(lengths); l++) {
            product(MOST_W, 35, lengths[l], SC_DOTS16_C, y[0]);
            for (int unit = SC_DOTS16_AVX2; unit <= (int)sc_dots16_unit(); unit++) {
                product(MOST_W, 35, lengths[l], (enum sc_dots16_unit)unit, y[1]);
                CHECK(memcmp(y[0], y[1], MOST_W * MOST_X * sizeof(float)) == 0);
            }
        }
    }
    end();
}

/* Rows at the edges of tiles, of what is kept together, and of what is copied together. */
TEST(every_cut_gives_the_same_bits)
{
    static const size_t counts[] = {1, 15, 16, 17, 32, 33, 256, MOST_X};
    static const size_t lengths[] = {1, 64, 2048, LONG};
    begin();
    fill(PLAIN);
    for (int unit = SC_DOTS16_C; unit <= (int)sc_dots16_unit(); unit++)
        for (size_t l = 0; l < SC_COUNT(lengths); l++) {
            if (unit == SC_DOTS16_C && lengths[l] > 64)
                continue;
            product(MOST_W, MOST_X, lengths[l], (enum sc_dots16_unit)unit, y[0]);
            for (size_t i = 0; i < SC_COUNT(counts); i++) {
                const size_t n_w = i % 2 ? 33 : 1 + 10 * i, n_x = counts[i];
                size_t wrong = 0;
                product(n_w, n_x, lengths[l], (enum sc_dots16_unit)unit, y[1]);
                for (size_t t = 0; t < MOST_X; t++)
                    for (size_t r = 0; r < MOST_W; r++) {
                        const float want = t < n_x && r < n_w ? y[0][t * MOST_W + r] : 0;
                        wrong += sc_bits_of(y[1][t * MOST_W + r]) != sc_bits_of(want);
                    }
                CHECK_U64(wrong, 0);
            }
        }
    end();
}

TEST(long_rows_have_the_bits_of_the_order_too)
{
    begin();
    fill(PLAIN);
    product(3, 2, LONG, sc_dots16_unit(), y[0]);
    for (size_t t = 0; t < 2; t++)
        for (size_t r = 0; r < 3; r++)
            CHECK_U64(sc_bits_of(y[0][t * MOST_W + r]),
                      expected(w + r * LONG, codes + t * LONG, LONG));
    end();
}

TEST(floats_are_rounded_to_the_nearest_even)
{
    static const struct {
        uint32_t bits;
        uint16_t code;
    } cases[] = {{0x3f800000, 0x3f80}, {0x3f807fff, 0x3f80}, {0x3f808000, 0x3f80},
                 {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82}, {0xbf818000, 0xbf82},
                 {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
                 {0x7f800001, 0x7fc0}, {0xffffffff, 0xffff}, {0x00000001, 0x0000},
                 {0x007fffff, 0x0080}, {0x80000000, 0x8000}};
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        const float v = sc_float_of(cases[i].bits);
        uint16_t got;
        sc_dots16_round(&v, 1, &got);
        CHECK_U64(got, cases[i].code);
    }
}

/* Activations are rounded while they are packed. */
TEST(packing_rounds)
{
    begin();
    fill(PLAIN);
    for (size_t i = 0; i < MOST_X * LONG; i++)
        x[i] = sc_float_of(sc_bits_of(x[i]) | (random32(3, i) & 0x7fff)); /* below half a step */
    for (int unit = SC_DOTS16_C; unit <= (int)sc_dots16_unit(); unit++) {
        size_t wrong = 0;
        product(5, 18, 77, (enum sc_dots16_unit)unit, y[0]);
        for (size_t t = 0; t < 18; t++)
            for (size_t r = 0; r < 5; r++)
                wrong += sc_bits_of(y[0][t * MOST_W + r]) !=
                         expected(w + r * LONG, codes + t * LONG, 77);
        CHECK_U64(wrong, 0);
    }
    end();
}

TEST(nothing_gives_zero)
{
    begin();
    fill(ANY);
    product(MOST_W, 3, 0, sc_dots16_unit(), y[0]);
    for (size_t i = 0; i < 3 * MOST_W; i++)
        CHECK_U64(sc_bits_of(y[0][i]), 0);
    end();
}
