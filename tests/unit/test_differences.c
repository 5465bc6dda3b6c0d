/* SPDX-License-Identifier: Apache-2.0 */
/* Two models as one picture: values, what only one side has, and the colours rms, abs-log and exact
 * against their formulas, computed value by value. */
#include "picture/differences.h"

#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "picture/scales.h"
#include "tiles_world.h"

enum { ROWS = 40, COLS = 50, MANY = ROWS * COLS, ODD = 81 };
#define BIG     "model.layers.0.mlp.up_proj.weight"
#define STRANGE "model.layers.0.self_attn.o_proj.weight"
#define OTHER   "model.layers.0.mlp.down_proj.weight"
#define MINE    "model.layers.0.input_layernorm.weight"
#define YOURS   "model.layers.1.mlp.gate_proj.weight"

/* A model and its twin: BIG is BF16 in A and F32 in B, STRANGE has all pairs of odd values. */
struct twins {
    struct blob blob[2];
    struct sc_model *model[2];
    struct sc_differences *d;
    float a[MANY], b[MANY], odd_a[ODD], odd_b[ODD];
};

static void make_values(struct twins *t)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0F, 1, -2.5F, 3e38F, 1e-42F};
    uint32_t state = 5;

    for (size_t i = 0; i < MANY; i++) {
        const uint32_t r = st_random(&state);
        const float x = ((float)(r % 2001) - 1000) / 20000;
        t->a[i] = sc_float_of(sc_bits_of(x) & 0xffff0000);
        /* nothing, much, and differences of all sizes from 1e-8 on */
        const double size = pow(10, -8 + (double)(r >> 8 & 0xff) / 32);
        t->b[i] = i % 5 == 0 ? t->a[i] : t->a[i] + (float)(r >> 16 & 1 ? size : -size);
    }
    for (size_t i = 0; i < ODD; i++) {
        t->odd_a[i] = odd[i / SC_COUNT(odd)];
        t->odd_b[i] = odd[i % SC_COUNT(odd)];
    }
}

static void open_twins(struct twins *t)
{
    static const float few[12] = {1, 2, 3};
    struct st_maker a = {0}, b = {0};
    uint16_t codes[MANY];
    struct sc_error e = {0};

    make_values(t);
    for (size_t i = 0; i < MANY; i++)
        codes[i] = (uint16_t)(sc_bits_of(t->a[i]) >> 16);
    st_add(&a, BIG, "BF16", "[40,50]", codes, sizeof codes);
    st_add(&a, STRANGE, "F32", "[9,9]", t->odd_a, sizeof t->odd_a);
    st_add(&a, OTHER, "F32", "[2,3]", few, 24);
    st_add(&a, MINE, "F32", "[7]", few, 28);
    st_add(&b, BIG, "F32", "[40,50]", t->b, sizeof t->b);
    st_add(&b, STRANGE, "F32", "[9,9]", t->odd_b, sizeof t->odd_b);
    st_add(&b, OTHER, "F32", "[3,4]", few, 48);
    st_add(&b, YOURS, "F32", "[1,5]", few, 20);
    t->blob[0] = st_finish(&a);
    t->blob[1] = st_finish(&b);
    t->model[0] = open_kept(t->blob[0]);
    t->model[1] = open_kept(t->blob[1]);
    const struct sc_differences_options o = {.a = t->model[0], .b = t->model[1]};
    if (sc_differences_new(&o, &t->d, &e) < 0)
        support_fail(e.text);
}

static struct twins *twins_new(void)
{
    struct twins *t = calloc(1, sizeof *t);

    if (!t)
        support_fail("no memory");
    open_twins(t);
    return t;
}

static void twins_free(struct twins *t)
{
    sc_differences_free(t->d);
    for (size_t k = 0; k < 2; k++) {
        sc_model_close(t->model[k]);
        free(t->blob[k].p);
    }
    free(t);
}

static uint32_t drawn(const struct twins *t, const char *name)
{
    return tensor_named(sc_differences_model(t->d), name);
}

static struct sc_values *open_drawn(const struct twins *t, const char *name)
{
    const struct sc_drawn_values *o = sc_differences_values(t->d);
    struct sc_values *v = NULL;
    struct sc_error e = {0};

    CHECK_U64(o->instead(o->ctx, drawn(t, name)), 0);
    if (o->open(o->ctx, drawn(t, name), &v, &e) < 0)
        support_fail(e.text);
    return v;
}

TEST(values_are_b_minus_a)
{
    struct twins *t = twins_new();
    struct sc_values *v = open_drawn(t, BIG);
    float *got = malloc(MANY * sizeof *got);
    double *wide = malloc(MANY * sizeof *wide);

    REQUIRE(got && wide);
    CHECK_U64(v->count, MANY);
    CHECK_ERR(0, sc_values_read(v, 0, MANY, got, NULL));
    CHECK_ERR(0, sc_values_read64(v, 0, MANY, wide, NULL));
    for (size_t i = 0; i < MANY; i++) {
        CHECK(wide[i] == (double)t->b[i] - (double)t->a[i]);
        CHECK(got[i] == (float)((long double)t->b[i] - (long double)t->a[i]));
    }
    CHECK_ERR(0, sc_values_read(v, 777, 3, got, NULL));
    CHECK(got[2] == (float)((long double)t->b[779] - (long double)t->a[779]));
    sc_values_close(v);
    free(got);
    free(wide);
    twins_free(t);
}

/* Where one side is NaN or infinity, there is no finite difference; the same infinity is none. */
TEST(odd_values_stay_odd)
{
    struct twins *t = twins_new();
    struct sc_values *v = open_drawn(t, STRANGE);
    const uint32_t tensor = drawn(t, STRANGE);
    double got[ODD];

    CHECK_ERR(0, sc_values_read64(v, 0, ODD, got, NULL));
    for (size_t i = 0; i < ODD; i++) {
        const float a = t->odd_a[i], b = t->odd_b[i];
        struct sc_two_elements x;
        if (!isfinite(a) || !isfinite(b))
            CHECK(!isfinite(got[i]));
        else
            CHECK(got[i] == (double)b - (double)a);
        if (isnan(a) || isnan(b))
            CHECK(isnan(got[i]));
        CHECK_ERR(0, sc_differences_at(t->d, tensor, i, &x, NULL));
        CHECK(x.has_a && x.has_b);
        CHECK(isnan(a) ? isnan(x.a.value) : x.a.value == (double)a);
        CHECK(isnan(b) ? isnan(x.b.value) : x.b.value == (double)b);
        CHECK(isnan(got[i]) ? isnan(x.difference) : x.difference == got[i]);
        CHECK((x.ulp == UINT64_MAX) == (!isfinite(a) || !isfinite(b)));
        if (a == b && isfinite(a))
            CHECK_U64(x.ulp, 0);
    }
    sc_values_close(v);
    twins_free(t);
}

TEST(what_has_no_pair_has_a_pixel_of_its_own)
{
    static const struct {
        const char *name;
        enum sc_pair_status status;
        uint32_t pixel, special;
        bool has_a, has_b;
    } all[] = {
        {MINE, SC_PAIR_ONLY_A, SC_PIXEL_ONLY_A, SC_SPECIAL_ONLY_A, true, false},
        {YOURS, SC_PAIR_ONLY_B, SC_PIXEL_ONLY_B, SC_SPECIAL_ONLY_B, false, true},
        {OTHER, SC_PAIR_SHAPE, SC_PIXEL_SHAPE, SC_SPECIAL_SHAPE, true, false},
    };
    struct twins *t = twins_new();
    const struct sc_drawn_values *o = sc_differences_values(t->d);
    const struct sc_model *m = sc_differences_model(t->d);

    CHECK_U64(m->n_tensors, 5);
    for (size_t k = 0; k < SC_COUNT(all); k++) {
        const uint32_t i = drawn(t, all[k].name);
        struct sc_values *v = NULL;
        struct sc_error e = {0};
        struct sc_two_elements x;
        CHECK_U64(sc_differences_pair(t->d, i)->status, all[k].status);
        CHECK_U64(o->instead(o->ctx, i), all[k].pixel);
        CHECK_ERR(SCRUPLE_EUNSUPPORTED, o->open(o->ctx, i, &v, &e));
        CHECK(!v && strstr(e.text, all[k].name));
        CHECK_ERR(0, sc_differences_at(t->d, i, 1, &x, NULL));
        CHECK(x.has_a == all[k].has_a && x.has_b == all[k].has_b);
        CHECK(isnan(x.difference) && x.ulp == UINT64_MAX);
        CHECK((all[k].has_a ? x.a.value : x.b.value) == 2);
        for (enum sc_colour_mode mode = SC_COLOURS_RMS; mode <= SC_COLOURS_EXACT; mode++) {
            const struct sc_colour_scale s = {.mode = mode, .shows = SC_SHOWS_DIFFERENCES};
            struct sc_colours c;
            uint8_t index;
            sc_colours_make(&s, &c);
            sc_colours_apply(&c, &all[k].pixel, 1, &index);
            CHECK_U64(index, all[k].special);
        }
    }
    /* A's shape is drawn, and B's of what only B has */
    CHECK_U64(m->tensors[drawn(t, OTHER)].parameters, 6);
    CHECK_U64(m->tensors[drawn(t, YOURS)].parameters, 5);
    twins_free(t);
}

/* How much of its side of the scale a difference takes, -1 to 1. */
static double share_of(enum sc_colour_mode mode, double d, double rms_a)
{
    if (mode == SC_COLOURS_RMS)
        return fmax(-1, fmin(1, d / (0.5 * fmax(rms_a, 1e-6))));
    if (mode == SC_COLOURS_EXACT)
        return d > 0 ? 1 : d < 0 ? -1 : 0;
    if (fabs(d) <= 1e-6)
        return 0;
    return copysign(fmin(fmax((log10(fabs(d)) + 6) / 5, 0), 1), d);
}

/* Steps of a share of one side: 120 on each, from the middle; an edge may be rounded either way. */
static bool suits(double d, double share, uint8_t index)
{
    enum { SIDE = SC_COLOUR_STEPS / 2 };
    const double at = fmin(fabs(share) * SIDE, SIDE - 1e-9);
    const int from_middle = d > 0 ? index - SIDE : SIDE - 1 - index;

    return from_middle >= (int)floor(at - 1e-3) && from_middle <= (int)floor(at + 1e-3);
}

TEST(colours_follow_the_formulas)
{
    static const enum sc_colour_mode modes[] = {SC_COLOURS_RMS, SC_COLOURS_ABS_LOG};
    struct twins *t = twins_new();
    struct sc_values *v = open_drawn(t, BIG);
    float *d = malloc(MANY * sizeof *d);
    uint8_t *index = malloc(MANY);
    struct world w;
    double squares = 0;

    REQUIRE(d && index);
    CHECK_ERR(0, sc_values_read(v, 0, MANY, d, NULL));
    for (size_t i = 0; i < MANY; i++)
        squares += (double)t->a[i] * (double)t->a[i];
    const double rms = sqrt(squares / MANY);
    struct sc_scales *scales = NULL;
    world_of(&w, shapes, TENSORS, 1, 0, 1);
    CHECK_ERR(0, sc_scales_new(w.p, &scales, NULL));
    CHECK(sc_scales_end(scales, 0) == 0);
    sc_scales_set_rms(scales, 1, 0);
    CHECK(sc_scales_end(scales, 1) == 0.5e-6F);
    sc_scales_set_rms(scales, 0, rms);
    for (size_t k = 0; k < SC_COUNT(modes); k++) {
        const bool by_rms = sc_colour_mode_end(modes[k]) == SC_END_RMS;
        const struct sc_colour_scale s = {.mode = modes[k],
                                          .shows = SC_SHOWS_DIFFERENCES,
                                          .scale = by_rms ? sc_scales_end(scales, 0) : 1};
        struct sc_colours c;
        size_t same = 0, ends = 0;
        sc_colours_make(&s, &c);
        sc_colours_apply(&c, (const uint32_t *)(const void *)d, MANY, index);
        for (size_t i = 0; i < MANY; i++) {
            const double share = share_of(modes[k], (double)d[i], rms);
            if (d[i] == 0)
                CHECK_U64(index[i], SC_SPECIAL_SAME);
            else
                CHECK(suits((double)d[i], share, index[i]));
            same += d[i] == 0;
            ends += fabs(share) == 1;
        }
        CHECK(same >= MANY / 5 && same < MANY && ends > 0);
    }
    sc_scales_free(scales);
    end_world(&w);
    sc_values_close(v);
    free(d);
    free(index);
    twins_free(t);
}

TEST(exact_shows_every_difference)
{
    static const float d[] = {1e-30F, -1e-30F, 1e-3F, -1e-3F, 3e38F, -3e38F, 0, -0.0F, 1e-44F, NAN};
    const struct sc_colour_scale s = {.mode = SC_COLOURS_EXACT, .shows = SC_SHOWS_DIFFERENCES};
    struct sc_colours c;
    uint8_t index[SC_COUNT(d)];

    sc_colours_make(&s, &c);
    sc_colours_apply(&c, (const uint32_t *)(const void *)d, SC_COUNT(d), index);
    for (size_t i = 0; i < SC_COUNT(d); i++) {
        const double share = share_of(SC_COLOURS_EXACT, (double)d[i], 1);
        if (isnan(d[i]))
            CHECK_U64(index[i], SC_SPECIAL_NAN);
        else if (share == 0)
            CHECK_U64(index[i], SC_SPECIAL_SAME);
        else
            CHECK_U64(index[i], index[share > 0 ? 0 : 1]);
    }
    CHECK(index[0] != index[1] && index[0] < SC_COLOUR_STEPS && index[1] < SC_COLOUR_STEPS);
}
