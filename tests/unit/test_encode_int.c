/* SPDX-License-Identifier: Apache-2.0 */
/* test_encode_int: integers with steps and the 4-bit levels of bitsandbytes, against worked
 * examples, a search over all codes, and levels of the processor against each other. */
#include "encode_input.h"
#include "ggml_inputs.h"

enum { LEVELS = 3, VALUES = 1536 };

static const char *const forms[] = {
    "int8:tensor",
    "int8",
    "int7:row,clip",
    "int6:tensor,affine",
    "int5:group=32",
    "int4:group=128,affine",
    "int4:group=33,clip",
    "int3:group=9,affine,clip",
    "int2:group=64",
    "int2",
    "int8:row,affine",
    "int4:group=16,scale=bf16",
    "int4:row,scale=f16",
    "int3:tensor,clip",
    "int4:group=64,affine,scale=f32",
};

static void fill(enum input kind, float x[VALUES])
{
    static float all[INPUT_VALUES];
    input_fill(kind, all);
    memcpy(x, all, VALUES * sizeof *x);
}

static double error_of(const float *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += isfinite(x[i]) ? ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]) : 0;
    return sum;
}

/* Numbers of WeightScope: the step, its values, 40.823 dB. */
TEST(int8_of_common_values)
{
    const struct sc_encoding f = parsed("int8:tensor");
    static float x[1024], y[1024];
    double signal = 0;
    fill_common(x);
    const struct sc_step step = step_of(&f, x, 1024);
    CHECK_NEAR((double)step.scale, 0.0314811543, 1e-10);
    CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, &step, x, 1024, y), 0);
    CHECK_U64(fnv(y, sizeof y), 0xc5aa5ac9);
    for (size_t i = 0; i < 1024; i++)
        signal += (double)x[i] * (double)x[i];
    CHECK_NEAR(10 * log10(signal / error_of(x, y, 1024)), 40.823, 1e-3 / 40);
}

/* By hand. Symmetric: 7 codes a side, step 1/4; -2 is code -8. Affine: -1 to 2.75 in 15 steps. */
TEST(int4_by_hand)
{
    const float x[10] = {1.75F, -1.75F, -2, -9, 0.125F, 0.375F, 0.3F, NAN, INFINITY, -INFINITY};
    const float want[10] = {1.75F, -1.75F, -2, -2, 0, 0.5F, 0.25F, 0, 1.75F, -2};
    const float affine[10] = {1.75F, -1, -1, -1, 0, 0.5F, 0.25F, 0, 2.75F, -1};
    struct sc_encoding f = parsed("int4:tensor");
    struct sc_step step;
    uint8_t bytes[5];
    float y[10];
    sc_encoding_step(&f, (struct sc_extent){-1, 1.75F}, &step);
    CHECK_NEAR((double)step.scale, 0.25, 0);
    CHECK_U64(sc_rounder(&f, sc_cpu_level())(&f, &step, x, 10, y), 1);
    CHECK_BITS(y, want, sizeof y);
    CHECK_U64(sc_encoding_pack(&f, &step, x, 10, bytes), 5);
    CHECK_BITS(bytes, ((const uint8_t[]){0x97, 0x88, 0x20, 0x01, 0x87}), 5);

    f = parsed("int4:tensor,affine");
    sc_encoding_step(&f, (struct sc_extent){-1, 2.75F}, &step);
    CHECK_NEAR((double)step.scale, 0.25, 0);
    CHECK_U64((uint64_t)step.zero, 4);
    CHECK_U64(sc_rounder(&f, sc_cpu_level())(&f, &step, x, 10, y), 3);
    CHECK_BITS(y, affine, sizeof y);
    CHECK_U64(sc_encoding_pack(&f, &step, x, 10, bytes), 5);
    CHECK_BITS(bytes, ((const uint8_t[]){0x0b, 0x00, 0x64, 0x45, 0x0f}), 5);
}

TEST(steps_are_as_they_are_stored)
{
    struct sc_encoding f = parsed("int4:tensor,scale=f16");
    struct sc_step step;
    sc_encoding_step(&f, (struct sc_extent){-0.7F, 0.3F}, &step);
    CHECK_NEAR((double)step.scale, 0.0999755859375, 0); /* the half next to 0.1 */
    sc_encoding_step(&f, (struct sc_extent){-1e9F, 0}, &step);
    CHECK_NEAR((double)step.scale, 65504, 0);
    sc_encoding_step(&f, (struct sc_extent){-1e-9F, 0}, &step);
    CHECK(!(step.inverse > 0)); /* no half is that small */
    f = parsed("int4:tensor,scale=bf16");
    sc_encoding_step(&f, (struct sc_extent){-0.7F, 0.3F}, &step);
    CHECK_NEAR((double)step.scale, 0.10009765625, 0);
    f = parsed("int8:tensor");
    sc_encoding_step(&f, (struct sc_extent){INFINITY, -INFINITY}, &step);
    CHECK(!(step.inverse > 0));
    sc_encoding_step(&f, (struct sc_extent){0, 0}, &step);
    CHECK(!(step.inverse > 0));
    f = parsed("int8:tensor,affine");
    sc_encoding_step(&f, (struct sc_extent){-3e38F, 3e38F}, &step);
    CHECK(step.scale > 2e36F && step.scale < 3e36F && step.zero == 128);
    sc_encoding_step(&f, (struct sc_extent){1, 2}, &step); /* 0 belongs to the range */
    CHECK(step.zero == 0);
    sc_encoding_step(&f, (struct sc_extent){-2, -1}, &step);
    CHECK(step.zero == 255);
}

/* No code is nearer than the one that is taken. */
static void check_nearest(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                          const float *y, size_t n)
{
    const int low = f->affine ? -step->zero : -(1 << (f->bits - 1));
    size_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        double least = INFINITY;
        for (int q = low; q < low + (1 << f->bits); q++)
            least = SC_MIN(least, fabs((double)((float)q * step->scale) - (double)x[i]));
        /* A quotient is a float: what ties within its precision may go either way. */
        bad += fabs((double)x[i] - (double)y[i]) > least + 1e-6 * fabs((double)x[i]);
    }
    CHECK_U64(bad, 0);
}

TEST(codes_are_the_nearest)
{
    static float x[VALUES], y[VALUES];
    for (size_t i = 0; i < SC_COUNT(forms); i++) {
        const struct sc_encoding f = parsed(forms[i]);
        const size_t group = f.over == SC_OVER_NOTHING ? f.unit : VALUES;
        struct sc_encoding own = f; /* the same over one group */
        fill(INPUT_OUTLIERS, x);
        struct sc_step step = step_of(&f, x, VALUES);
        sc_rounder(&f, sc_cpu_level())(&f, &step, x, VALUES, y);
        for (size_t g = 0; g < VALUES; g += group) {
            const size_t n = SC_MIN(group, VALUES - g);
            struct sc_extent of = {INFINITY, -INFINITY};
            for (size_t k = g; k < g + n; k++) {
                of.min = SC_MIN(of.min, x[k]);
                of.max = SC_MAX(of.max, x[k]);
            }
            if (f.over == SC_OVER_NOTHING && f.clip)
                of = sc_encoding_clip(&own, of, x + g, NULL, n);
            sc_encoding_step(&own, of, &step);
            check_nearest(&f, &step, x + g, y + g, n);
        }
    }
}

TEST(a_clip_is_the_best_of_its_shares)
{
    static float x[VALUES], y[VALUES];
    uint32_t weight[VALUES];
    const struct sc_encoding f = parsed("int3:tensor,clip");
    struct sc_extent of = {0, 0};
    double least = INFINITY;
    float best = 0;
    fill(INPUT_HEAVY, x);
    for (size_t i = 0; i < VALUES; i++) {
        of.min = SC_MIN(of.min, x[i]);
        of.max = SC_MAX(of.max, x[i]);
        weight[i] = 1;
    }
    for (int percent = 100; percent >= 30; percent--) {
        const float share = (float)percent / 100;
        struct sc_step step;
        sc_encoding_step(&f, (struct sc_extent){of.min * share, of.max * share}, &step);
        sc_rounder(&f, SC_CPU_C)(&f, &step, x, VALUES, y);
        if (error_of(x, y, VALUES) < least) {
            least = error_of(x, y, VALUES);
            best = of.max * share;
        }
    }
    CHECK(best < of.max); /* it pays */
    struct sc_extent got = sc_encoding_clip(&f, of, x, NULL, VALUES);
    CHECK_BITS(&got.max, &best, sizeof best);
    got = sc_encoding_clip(&f, of, x, weight, VALUES);
    CHECK_BITS(&got.max, &best, sizeof best);
    /* What is there a million times weighs more: nothing is cut off from it. */
    for (size_t i = 0; i < VALUES; i++) {
        x[i] = fabsf(x[i]);
        weight[i] = x[i] >= SC_MAX(of.max, -of.min) ? 1000000 : 1;
    }
    of = (struct sc_extent){0, SC_MAX(of.max, -of.min)};
    got = sc_encoding_clip(&f, of, x, weight, VALUES);
    CHECK(got.max > 0.95F * of.max);
    /* Zeros and nothing keep what they have. */
    got = sc_encoding_clip(&f, of, x, NULL, 0);
    CHECK_BITS(&got, &of, sizeof of);
}

static unsigned code_at(const uint8_t *bytes, size_t i, unsigned bits)
{
    unsigned code = 0;
    for (unsigned b = 0; b < bits; b++)
        code |= (bytes[(i * bits + b) / 8] >> (i * bits + b) % 8 & 1U) << b;
    return code;
}

TEST(packed_integers_say_the_same)
{
    static float x[VALUES], y[VALUES];
    static uint8_t bytes[VALUES];
    for (size_t i = 0; i < SC_COUNT(forms); i++) {
        const struct sc_encoding f = parsed(forms[i]);
        const size_t n = VALUES - 3;
        fill(INPUT_BELL, x);
        const struct sc_step step = step_of(&f, x, VALUES);
        sc_rounder(&f, sc_cpu_level())(&f, &step, x, n, y);
        CHECK_U64(sc_encoding_pack(&f, &step, x, n, bytes), (n * f.bits + 7) / 8);
        size_t bad = 0;
        for (size_t k = 0; k < n && f.over != SC_OVER_NOTHING; k++) {
            const int code = (int)code_at(bytes, k, f.bits), half = 1 << (f.bits - 1);
            const int q = f.affine ? code - step.zero : code >= half ? code - 2 * half : code;
            bad += (float)q * step.scale != y[k];
        }
        /* Of groups: equal codes have equal values within a group, in rising order. */
        for (size_t k = 1; k < n && f.over == SC_OVER_NOTHING; k++) {
            const unsigned turn = f.affine ? 0 : 1U << (f.bits - 1);
            const unsigned a = code_at(bytes, k - 1, f.bits) ^ turn;
            const unsigned b = code_at(bytes, k, f.bits) ^ turn;
            bad += k % f.unit && ((a < b) != (y[k - 1] < y[k]) || (a == b) != (y[k - 1] == y[k]));
        }
        CHECK_U64(bad, 0);
    }
}

TEST(levels_round_alike)
{
    static float x[VALUES], want[VALUES], y[VALUES];
    static const char *const more[] = {"nf4", "fp4", "nf4:block=128", "fp4:block=17"};
    for (size_t i = 0; i < SC_COUNT(forms) + SC_COUNT(more); i++) {
        const struct sc_encoding f =
            parsed(i < SC_COUNT(forms) ? forms[i] : more[i - SC_COUNT(forms)]);
        for (size_t kind = 0; kind < INPUT_COUNT; kind++) {
            fill((enum input)kind, x);
            for (size_t n = VALUES; n > 0; n = n == VALUES ? 77 : n / 8) {
                const struct sc_step step = step_of(&f, x, n);
                const size_t full = sc_rounder(&f, SC_CPU_C)(&f, &step, x, n, want);
                for (unsigned l = 1; l < LEVELS && l <= (unsigned)sc_cpu_level(); l++) {
                    memcpy(y, x, sizeof y);
                    CHECK_U64(sc_rounder(&f, (enum sc_cpu)l)(&f, &step, y, n, y), full);
                    CHECK_BITS(y, want, n * sizeof *y);
                }
                size_t bad = 0;
                for (size_t k = 0; k < n; k++)
                    bad += !isfinite(want[k]);
                CHECK_U64(bad, 0);
            }
            CHECK_U64(sc_rounder(&f, SC_CPU_C)(&f, &(struct sc_step){1, 1, 0}, x, 0, y), 0);
        }
    }
}

TEST(bytes_of_integers)
{
    static const struct {
        const char *form;
        uint64_t rows, cols, bytes;
    } cases[] = {
        {"int8:tensor", 4, 256, 1024 + 4},
        {"int8:tensor,affine", 4, 256, 1024 + 4 + 1},
        {"int8:tensor,scale=f16", 4, 256, 1024 + 2},
        {"int8", 4, 256, 4 * (256 + 4)},
        {"int8:affine", 4, 256, 4 * (256 + 4 + 1)},
        {"int3", 4, 10, 4 * (4 + 4)},
        {"int4:group=128", 4, 256, 4 * (128 + 2 * 2)},
        {"int4:group=128,affine", 4, 256, 4 * (128 + 2 * 2 + 1)},
        {"int4:group=128,affine", 4, 257, 4 * (129 + 3 * 2 + 2)},
        {"int4:group=128,scale=f32", 4, 256, 4 * (128 + 2 * 4)},
        {"nf4", 4, 256, 4 * (128 + 4 * 4)},
        {"fp4:block=128", 2, 100, 2 * (50 + 4)},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        const struct sc_encoding f = parsed(cases[i].form);
        uint64_t bytes;
        CHECK(sc_encoding_bytes(&f, 1, cases[i].rows, cases[i].cols, &bytes, NULL));
        CHECK_U64(bytes, cases[i].bytes);
    }
    const struct sc_encoding f = parsed("int4:group=128,affine");
    CHECK_NEAR(sc_encoding_bits(&f), 4 + 20.0 / 128, 0);
}

TEST(names_of_integers)
{
    static const char *const same[][2] = {
        {"INT4:affine,GROUP=128", "int4:group=128,affine"},
        {"int4:group=128,scale=f16", "int4:group=128"},
        {"int4:scale=F32", "int4"},
        {"int4:scale=bf16,tensor,clip", "int4:tensor,clip,scale=bf16"},
        {"int8:group=4096,affine,clip,scale=bf16.t", "int8:group=4096,affine,clip,scale=bf16.T"},
    };
    for (size_t i = 0; i < SC_COUNT(same); i++) {
        CHECK_STR(parsed(same[i][0]).name, same[i][1]);
        CHECK_STR(parsed(same[i][1]).name, same[i][1]);
    }
    struct sc_encoding f;
    struct sc_error e = {0};
    CHECK_ERR(SCRUPLE_EUSAGE, sc_encoding_parse(sc_strz("int4:scale=f8"), &f, &e));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_encoding_parse(sc_strz("int4:scale"), &f, &e));
}

/* ---------------------------------------------------------------------------- bitsandbytes --- */
static const float nf4[16] = {-1.0F,        -0.6961928F,  -0.52507305F,  -0.39491749F,
                              -0.28444138F, -0.18477343F, -0.091050036F, 0,
                              0.0795803F,   0.1609302F,   0.2461123F,    0.33791524F,
                              0.44070983F,  0.562617F,    0.72295684F,   1};
static const float fp4[16] = {
    0,     0.0052083333F,  0.66666667F,  1,  0.33333333F,  0.5F,  0.16666667F,  0.25F,
    -0.0F, -0.0052083333F, -0.66666667F, -1, -0.33333333F, -0.5F, -0.16666667F, -0.25F};

/* The first bytes of a weight that bitsandbytes has packed, and what they stand for. */
TEST(nf4_of_a_known_weight)
{
    static const uint8_t bytes[8] = {0x6e, 0x5a, 0x58, 0x2c, 0xe4, 0xa3, 0x09, 0x19};
    static const double values[8] = {-.0028453, .0225924, -.0057742, .0076910,
                                     -.0057742, .0024869, -.0164085, .0137722};
    const struct sc_encoding f = parsed("nf4");
    float x[64] = {0}, y[64];
    uint8_t got[32];
    for (size_t i = 0; i < 16; i++)
        x[i] = nf4[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4] * 0.03125F;
    for (size_t i = 0; i < 8; i++)
        CHECK(fabs((double)x[i] - values[i]) < 6e-8);
    x[63] = -0.03125F;
    CHECK_U64(sc_encoding_pack(&f, NULL, x, 64, got), 32);
    CHECK_BITS(got, bytes, sizeof bytes);
    CHECK_U64(got[31], 0x70);
    CHECK_U64(sc_rounder(&f, sc_cpu_level())(&f, NULL, x, 64, y), 0);
    CHECK_BITS(y, x, sizeof x);
}

static void check_levels(const char *form, const float *table, enum input kind)
{
    const struct sc_encoding f = parsed(form);
    static float x[VALUES], y[VALUES];
    static uint8_t bytes[VALUES];
    size_t far = 0, other = 0;
    fill(kind, x);
    sc_rounder(&f, sc_cpu_level())(&f, NULL, x, VALUES, y);
    CHECK_U64(sc_encoding_pack(&f, NULL, x, VALUES, bytes), VALUES / 2);
    for (size_t b = 0; b < VALUES; b += f.unit) {
        float amax = 0;
        for (size_t i = b; i < SC_MIN(b + f.unit, VALUES); i++)
            amax = SC_MAX(amax, fabsf(x[i]));
        for (size_t i = b; i < SC_MIN(b + f.unit, VALUES); i++) {
            double least = INFINITY;
            for (size_t c = 0; c < 16; c++)
                least = SC_MIN(least, fabs((double)(table[c] * amax) - (double)x[i]));
            far += fabs((double)y[i] - (double)x[i]) > least + 1e-6 * (double)amax;
            const float level = table[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
            other += memcmp(&(float){level * amax}, &y[i], sizeof y[i]) != 0;
        }
    }
    CHECK_U64(far, 0);
    CHECK_U64(other, 0);
}

TEST(levels_are_the_nearest)
{
    check_levels("nf4", nf4, INPUT_BELL);
    check_levels("fp4", fp4, INPUT_BELL);
    check_levels("nf4", nf4, INPUT_SPARSE);
    check_levels("fp4", fp4, INPUT_SPARSE);
    check_levels("nf4:block=1024", nf4, INPUT_HEAVY);
    check_levels("fp4:block=24", fp4, INPUT_UNIFORM);
    check_levels("fp4:block=1024", fp4, INPUT_HEAVY);
}

/* Ties: to the lower level of NF4, to the smaller one of FP4. */
TEST(ties_between_levels)
{
    struct sc_encoding f = parsed("fp4");
    const float x[6] = {1, 0.375F, -0.375F, -0x1p-140F, 0.35F, NAN};
    /* Halfway between 1/3 and 1/2. */
    float z[3] = {1, (0.33333333F + 0.5F) / 2, -(0.33333333F + 0.5F) / 2}, y[6];
    uint8_t bytes[3];
    sc_encoding_pack(&f, NULL, x, 6, bytes);
    CHECK_BITS(bytes, ((const uint8_t[]){0x34, 0xc8, 0x40}), 3);
    sc_rounder(&f, SC_CPU_C)(&f, NULL, x, 6, y);
    CHECK_BITS(&y[3], &(float){-0.0F}, sizeof(float));
    sc_encoding_pack(&f, NULL, z, 3, bytes);
    CHECK_U64(bytes[0], 0x34);
    CHECK_U64(bytes[1], 0xc0);
    f = parsed("nf4");
    z[1] = 0.0795803F / 2;
    z[2] = -0.091050036F / 2;
    sc_encoding_pack(&f, NULL, z, 3, bytes);
    CHECK_U64(bytes[0], 0xf7);
    CHECK_U64(bytes[1], 0x60);
}

/* Subnormal numbers have a reciprocal that no float holds. */
TEST(levels_of_the_smallest_numbers)
{
    const struct sc_encoding f = parsed("nf4");
    const float x[4] = {0x1p-140F, -0x1p-140F, 0x1.cp-142F, 0};
    float y[4];
    sc_rounder(&f, sc_cpu_level())(&f, NULL, x, 4, y);
    CHECK_BITS(y, x, 2 * sizeof *x);
    CHECK(fabs((double)y[2] / (double)x[2] - 1) < 0.1);
    CHECK(!(y[3] > 0) && !(y[3] < 0));
}
