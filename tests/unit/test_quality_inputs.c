/* SPDX-License-Identifier: Apache-2.0 */
/* What formats cost tensors of other types, in formats with steps, codebooks and blocks; and what
 * happens where it cannot be measured. */
#include "test.h"

#include "quality_set.h"

static const char *const steps[] = {
    "int8:tensor",
    "int4:tensor,clip",
    "int8",
    "int4:clip",
    "int3:affine",
    "int4:group=32",
    "int4:group=256,affine",
    "int8.T",
    "int4:group=32,clip.T",
    "nf4",
    "fp4",
    "nf4.T",
    "q4_0",
    "q8_0",
    "q5_1",
    "q4_0.T",
    "iq4_nl",
    "q4_k",
    "q6_k",
    "bf16",
    "fp16",
    "fp8",
    "bfp8",
    "bfp2.T",
};
enum { STEPS = sizeof steps / sizeof *steps };

TEST(stored_types_in_formats_of_every_kind)
{
    static const struct {
        const char *dtype, *shape;
        size_t size;
        uint64_t dims[3];
        unsigned rank;
    } cases[] = {
        {"BF16", "[96,256]", 2, {96, 256}, 2},
        {"F16", "[2,64,256]", 2, {2, 64, 256}, 3},
        {"F8_E4M3", "[64,512]", 1, {64, 512}, 2},
        {"BF16", "[280,256]", 2, {280, 256}, 2}, /* not all errors are kept */
    };
    struct sc_encoding f[STEPS];
    parse_formats(steps, STEPS, f);
    for (size_t k = 0; k < SC_COUNT(cases); k++) {
        struct set s = open_codes(cases[k].dtype, cases[k].size, cases[k].shape, cases[k].dims,
                                  cases[k].rank, NORMAL);
        /* Of what is not BF16 a clip over the tensor is chosen by 16 bits of the values; of 280
         * rows columns are no whole blocks; searches take long. */
        struct sc_encoding some[STEPS];
        const char *names[STEPS];
        size_t n = 0;
        for (size_t i = 0; i < STEPS; i++) {
            const bool about = f[i].clip && f[i].over == SC_OVER_TENSOR && k && k < 3;
            const bool slow =
                k == 3 && (f[i].unit == 256 || (f[i].clip && f[i].over != SC_OVER_TENSOR));
            if (about || slow || (f[i].scheme == SC_SCHEME_GGML && f[i].other_axis && s.rows % 32))
                continue;
            some[n] = f[i];
            names[n++] = steps[i];
        }
        const struct sc_quality_options o = options_of(some, n);
        check_set(&s, &o, names, cases[k].shape);
        close_set(&s);
    }
}

TEST(what_is_stored_so_already_loses_nothing)
{
    static const uint64_t dims[] = {300, 250};
    static const struct {
        const char *dtype, *format;
    } cases[] = {{"BF16", "bf16"}, {"F16", "fp16"}};
    for (size_t k = 0; k < SC_COUNT(cases); k++) {
        struct set s = open_codes(cases[k].dtype, 2, "[300,250]", dims, 2, NORMAL);
        struct sc_encoding f;
        struct sc_quality_result r;
        struct sc_error e = {0};
        parse_formats(&cases[k].format, 1, &f);
        const struct sc_quality_options o = options_of(&f, 1);
        CHECK_ERR(0, sc_quality_measure(s.v, &o, &r, &e));
        CHECK_NEAR(r.formats[0].mse, 0, 0);
        CHECK_NEAR(r.formats[0].pcc, 1, 0);
        CHECK_NEAR(r.formats[0].p999, 0, 0);
        CHECK_NEAR(r.formats[0].sqnr_db, INFINITY, 0);
        sc_quality_clear(&r);
        close_set(&s);
    }
}

/* Steps of lines come from a visit of their own then. */
TEST(lines_longer_than_a_panel)
{
    static const uint64_t dims[] = {2, 132000}, turned[] = {132000, 2};
    static const char *const across[] = {"int8", "mxfp4", "int4:affine"};
    static const char *const down[] = {"int8.T", "bfp4.T"};
    struct sc_encoding f[3];
    struct set s = open_codes("BF16", 2, "[2,132000]", dims, 2, NORMAL);
    parse_formats(across, 3, f);
    struct sc_quality_options o = options_of(f, 3);
    check_set(&s, &o, across, "[2,132000]");
    close_set(&s);
    s = open_codes("BF16", 2, "[132000,2]", turned, 2, NORMAL);
    parse_formats(down, 2, f);
    o = options_of(f, 2);
    check_set(&s, &o, down, "[132000,2]");
    close_set(&s);
}

/* Every third band of 8 rows, which the sample sees, is 1000 times larger than the others, so that
 * too few errors are above where the tail of the sample begins. */
TEST(a_tail_that_began_too_late_is_looked_for_again)
{
    static const uint64_t dims[] = {1536, 128};
    static const char *const names[] = {"mxfp4", "bfp8", "int8"};
    struct sc_encoding f[3];
    const size_t n = (size_t)(dims[0] * dims[1]);
    float *x = calloc(n, sizeof *x);
    parse_formats(names, 3, f);
    for (int late = 0; late < 2; late++) {
        for (size_t i = 0; i < n; i++)
            x[i] = value_of(i, NORMAL) * (i / 1024 % 3 == (size_t)late ? 1000 : 1);
        struct set s = open_stored("F32", "[1536,128]", dims, 2, x, sizeof *x);
        const struct sc_quality_options o = options_of(f, 3);
        check_set(&s, &o, names, "bands");
        close_set(&s);
    }
    free(x);
}

TEST(formats_that_do_not_fit_have_no_figures)
{
    static const uint64_t dims[] = {40, 100};
    static const char *const names[] = {"q4_k", "mxfp4", "q4_0", "q8_0.T"};
    struct set s = open_set("[40,100]", dims, 2, NORMAL);
    struct sc_encoding f[4];
    struct sc_quality_result r;
    struct sc_error e = {0};
    parse_formats(names, 4, f);
    const struct sc_quality_options o = options_of(f, 4);
    CHECK_ERR(0, sc_quality_measure(s.v, &o, &r, &e));
    for (size_t i = 0; i < 4; i++) {
        const bool fits = i == 1;
        CHECK(isnan(r.formats[i].mse) == !fits);
        CHECK(isnan(r.formats[i].bits_per_weight) == !fits);
        CHECK((r.formats[i].bytes == UINT64_MAX) == !fits);
    }
    sc_quality_clear(&r);
    close_set(&s);
}

TEST(it_can_be_stopped)
{
    static const uint64_t dims[] = {300, 300};
    static const char *const names[] = {"mxfp4"};
    struct set s = open_set("[300,300]", dims, 2, NORMAL);
    const _Atomic int cancel = 1;
    struct sc_encoding f;
    struct sc_quality_result r;
    struct sc_error e = {0};
    parse_formats(names, 1, &f);
    struct sc_quality_options o = options_of(&f, 1);
    o.cancel = &cancel;
    o.grain = SC_GRAIN_TILE;
    CHECK_ERR(SCRUPLE_EINTERRUPTED, sc_quality_measure(s.v, &o, &r, &e));
    CHECK(!r.formats && !r.cells);
    close_set(&s);
}

/* Read number k fails, for every k: an error, or all figures. */
TEST(failing_reads)
{
    static const char *const names[] = {"mxfp4", "int4:tensor,clip", "int8"};
    struct sc_encoding f[3];
    const struct sc_open_options keep = {.keep_repo = true};
    bool fired = true;
    parse_formats(names, 3, f);
    for (uint64_t k = 0; fired; k++) {
        struct sc_fault plan = {.fail_at = k};
        struct sc_repo *repo;
        struct sc_model *m = NULL;
        struct sc_values *v = NULL;
        struct sc_error e = {0};
        if (sc_repo_open_local(SC_FIXTURES "/llama-sharded", &repo, &e) < 0)
            support_fail(e.text);
        repo->fault = &plan;
        if (sc_model_open_repo(repo, &keep, &m, &e) == 0 && m->n_tensors &&
            sc_values_open(m, 0, &v, &e) == 0) {
            const struct sc_quality_options o = options_of(f, 3);
            struct sc_quality_result r;
            const int code = sc_quality_measure(v, &o, &r, &e);
            CHECK(code == SCRUPLE_EIO || (code == 0 && r.formats[0].mse > 0));
            CHECK(code == 0 || !r.formats);
            sc_quality_clear(&r);
        }
        fired = plan.fired;
        CHECK(fired || k > 1);
        sc_values_close(v);
        sc_model_close(m);
    }
}
