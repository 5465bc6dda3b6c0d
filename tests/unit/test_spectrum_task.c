/* SPDX-License-Identifier: Apache-2.0 */
/* test_spectrum_task: spectra of tensors that lie in a file. */
#include "test.h"

#include <stdlib.h>

#include "analyze/health.h"
#include "st_maker.h"

enum { ROWS = 64, COLS = 48, VALUES = ROWS * COLS };

static const struct sc_measure exact = {.methods = SC_METHOD_SPECTRAL, .refine = true};

/* Uniform noise that BF16 holds exactly (7 bits of mantissa). */
static void noise(uint64_t seed, float *w)
{
    for (uint64_t i = 0; i < VALUES; i++)
        w[i] = (float)((int)(sc_random(seed, i) >> 56) - 128) / 1024;
}

static void to_bf16(const float *w, uint16_t *out)
{
    for (size_t i = 0; i < VALUES; i++) {
        uint32_t bits;
        memcpy(&bits, &w[i], 4);
        out[i] = (uint16_t)(bits >> 16);
    }
}

/* Memory that the task asks for; *h is as the task leaves it. */
static uint64_t run(const struct sc_model *m, const char *name, const struct sc_measure *how,
                    struct sc_health *h)
{
    const struct sc_item item = {
        .tensor = tensor_named(m, name), .tensor_b = SC_NO_NODE, .user = h};
    struct sc_values *v = NULL;
    struct sc_error e = {0};
    void *ctx = (void *)(uintptr_t)how;
    memset(h, 0, sizeof *h);
    CHECK_ERR(0, sc_values_open(m, item.tensor, &v, &e));
    const uint64_t memory = sc_task_spectrum.memory(ctx, &item, v);
    if (memory)
        CHECK_ERR(0, sc_task_spectrum.run(ctx, &item, v, NULL, &e));
    sc_values_close(v);
    return memory;
}

static struct sc_model *open_made(struct st_maker *maker, struct blob *b)
{
    *b = st_finish(maker);
    return open_kept(*b);
}

TEST(the_type_tells_what_a_condition_number_can_mean)
{
    static float w[VALUES];
    static uint16_t half[VALUES];
    struct st_maker maker = {0};
    struct sc_health f32, bf16, none;
    struct blob b;
    noise(1, w);
    to_bf16(w, half);
    st_add(&maker, "a.weight", "F32", "[64,48]", w, sizeof w);
    st_add(&maker, "b.weight", "BF16", "[48,64]", half, sizeof half);
    st_add(&maker, "c.bias", "F32", "[3072]", w, sizeof w);
    st_add(&maker, "d.weight", "F32", "[1,3072]", w, sizeof w);
    st_add(&maker, "e.weight", "C64", "[32,48]", w, sizeof w);
    struct sc_model *m = open_made(&maker, &b);
    CHECK(run(m, "a.weight", &exact, &f32) > 0);
    CHECK(run(m, "b.weight", &exact, &bf16) > 0);
    CHECK_U64(f32.measured, SC_METHOD_SPECTRAL);
    CHECK_U64(f32.spectrum.slices, 1);
    CHECK_U64(f32.spectrum.rows, 64);
    CHECK_U64(bf16.spectrum.rows, 48);
    CHECK_NEAR(bf16.spectrum.frobenius, f32.spectrum.frobenius, 1e-12);
    /* sigma_1 is about the norm of noise, so the ratio is that of the root mean squares. */
    CHECK_NEAR(bf16.spectrum.condition_resolution / (sqrt(12) * 128 / 0.7355), 1, 0.1);
    CHECK_NEAR(f32.spectrum.condition_resolution / 65536 /
                   (f32.spectrum.sigma_max / bf16.spectrum.sigma_max),
               bf16.spectrum.condition_resolution, 1e-9);
    /* Vectors, single rows and complex numbers have no spectrum; nor has what nobody asked for. */
    CHECK_U64(run(m, "c.bias", &exact, &none), 0);
    CHECK_U64(run(m, "d.weight", &exact, &none), 0);
    CHECK_U64(run(m, "e.weight", &exact, &none), 0);
    const struct sc_measure basic = {.methods = SC_METHOD_BASIC};
    CHECK_U64(run(m, "a.weight", &basic, &none), 0);
    sc_model_close(m);
    free(b.p);
}

TEST(spectra_keep_to_the_memory)
{
    enum { N = 320, LONG = 400 };
    float *w = malloc(sizeof *w * N * LONG);
    struct st_maker maker = {0};
    struct sc_health all, near;
    struct blob b;
    REQUIRE(w);
    for (uint64_t i = 0; i < N * LONG; i++)
        w[i] = (float)((int)(sc_random(5, i) >> 56) - 128) / 1024;
    st_add(&maker, "a.weight", "F32", "[400,320]", w, sizeof *w * N * LONG);
    struct sc_model *m = open_made(&maker, &b);
    struct sc_measure within = exact;
    const uint64_t whole = run(m, "a.weight", &exact, &all);
    within.memory = whole;
    CHECK_U64(run(m, "a.weight", &within, &near), whole);
    CHECK_U64(near.spectrum.method, SC_SPECTRUM_GRAM);
    within.memory = whole - 1;
    const uint64_t less = run(m, "a.weight", &within, &near);
    CHECK(less < whole);
    CHECK_U64(near.spectrum.method, SC_SPECTRUM_ESTIMATE);
    CHECK_NEAR(near.spectrum.sigma_max / all.spectrum.sigma_max, 1, 1e-3);

    within.memory = less - 1;
    const struct sc_item item = {
        .tensor = tensor_named(m, "a.weight"), .tensor_b = SC_NO_NODE, .user = &near};
    struct sc_values *v = NULL;
    struct sc_error e = {0};
    CHECK_ERR(0, sc_values_open(m, item.tensor, &v, &e));
    CHECK_U64(SCRUPLE_ELIMIT, sc_task_spectrum.run(&within, &item, v, NULL, &e));
    CHECK(strstr(e.text, "--memory") != NULL);
    CHECK_U64(near.spectrum.method, SC_SPECTRUM_NONE);
    sc_values_close(v);
    sc_model_close(m);
    free(b.p);
    free(w);
}

TEST(of_a_stack_the_worst_matrix_is_shown)
{
    static float w[3 * VALUES];
    struct st_maker maker = {0};
    struct sc_health h;
    struct blob b;
    for (int i = 0; i < 3; i++)
        noise((uint64_t)i, w + (size_t)i * VALUES);
    for (int r = 0; r < ROWS; r++) /* two equal columns */
        w[VALUES + r * COLS + 7] = w[VALUES + r * COLS + 30];
    st_add(&maker, "layers.0.mlp.experts.down_proj", "F32", "[3,64,48]", w, sizeof w);
    w[VALUES] = NAN;
    st_add(&maker, "layers.1.mlp.experts.down_proj", "F32", "[3,64,48]", w, sizeof w);
    w[0] = w[2 * VALUES] = INFINITY;
    st_add(&maker, "layers.2.mlp.experts.down_proj", "F32", "[3,64,48]", w, sizeof w);
    struct sc_model *m = open_made(&maker, &b);
    run(m, "layers.0.mlp.experts.down_proj", &exact, &h);
    CHECK_U64(h.spectrum.slices, 3);
    CHECK_U64(h.spectrum.slice, 1);
    CHECK_U64(h.spectrum.numerical_rank, 47);
    CHECK_NEAR(h.spectrum.condition, INFINITY, 0);
    /* What is not finite has no singular values; the others have. */
    run(m, "layers.1.mlp.experts.down_proj", &exact, &h);
    CHECK_U64(h.spectrum.slices, 2);
    CHECK(h.spectrum.slice != 1 && isfinite(h.spectrum.condition));
    run(m, "layers.2.mlp.experts.down_proj", &exact, &h);
    CHECK_U64(h.spectrum.slices, 0);
    CHECK_U64(h.spectrum.method, SC_SPECTRUM_NONE);
    CHECK(isnan(h.spectrum.sigma_max));
    CHECK_U64(h.measured, SC_METHOD_SPECTRAL);
    sc_model_close(m);
    free(b.p);
}

TEST(convolutions_are_one_matrix)
{
    static float w[VALUES];
    struct st_maker maker = {0};
    struct sc_health flat, conv;
    struct blob b;
    noise(5, w);
    st_add(&maker, "conv.weight", "F32", "[64,3,4,4]", w, sizeof w);
    st_add(&maker, "flat.weight", "F32", "[64,48]", w, sizeof w);
    struct sc_model *m = open_made(&maker, &b);
    run(m, "conv.weight", &exact, &conv);
    run(m, "flat.weight", &exact, &flat);
    CHECK_BITS(&conv.spectrum, &flat.spectrum, sizeof flat.spectrum);
    sc_model_close(m);
    free(b.p);
}

TEST(a_shuffled_copy_costs_memory_and_is_the_same_every_time)
{
    static float w[VALUES];
    struct st_maker maker = {0};
    struct sc_health once, again;
    struct blob b;
    struct sc_measure how = exact;
    noise(5, w);
    st_add(&maker, "a.weight", "F32", "[64,48]", w, sizeof w);
    struct sc_model *m = open_made(&maker, &b);
    const uint64_t without = run(m, "a.weight", &how, &once);
    CHECK(isnan(once.spectrum.shuffled_sigma_max));
    how.shuffled = true;
    CHECK_U64(run(m, "a.weight", &how, &once), without + VALUES * sizeof(float));
    run(m, "a.weight", &how, &again);
    CHECK_BITS(&again, &once, sizeof once);
    CHECK_NEAR(once.spectrum.shuffled_sigma_max / once.spectrum.sigma_max, 1,
               0.2); /* small: rough */
    sc_model_close(m);
    free(b.p);
}
