/* SPDX-License-Identifier: Apache-2.0 */
/* The cost of formats without memory: every allocation fails in turn. What comes is an error and
 * nothing else, or all figures. */
#include "oom.h"

#include "test.h"

#include "quality_set.h"

static void check_failing(const char *shape, const uint64_t *dims, enum sc_grain grain,
                          uint64_t sample)
{
    static const char *const names[] = {"mxfp4", "int4", "bfp4.T", "int4:tensor"};
    struct set s = open_set(shape, dims, 2, NORMAL);
    struct sc_encoding f[4];
    bool reached = true;
    parse_formats(names, 4, f);
    struct sc_quality_options o = options_of(f, 4);
    o.grain = grain;
    o.sample = sample;
    for (uint64_t k = 0; reached; k++) {
        struct sc_quality_result r;
        sc_oom_fail_at(k);
        const int code = sc_quality_measure(s.v, &o, &r, NULL);
        reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK(code == SCRUPLE_EMEMORY || (code == 0 && r.formats[3].mse > 0));
        CHECK(reached || code == 0);
        CHECK(code == 0 || (!r.formats && !r.cells && !r.intervals));
        sc_quality_clear(&r);
    }
    close_set(&s);
}

TEST(figures_without_memory)
{
    static const uint64_t small[] = {40, 64}, large[] = {1032, 64};
    check_failing("[40,64]", small, SC_GRAIN_TILE, 0);
    check_failing("[1032,64]", large, SC_GRAIN_NONE, 0);
    check_failing("[1032,64]", large, SC_GRAIN_NONE, 8192);
}

TEST(rounded_views_without_memory)
{
    static const uint64_t dims[] = {40, 64};
    static const char *const name = "bfp4.T";
    struct set s = open_set("[40,64]", dims, 2, NORMAL);
    struct sc_encoding f;
    static float y[40 * 64];
    bool reached = true;
    parse_formats(&name, 1, &f);
    for (uint64_t k = 0; reached; k++) {
        struct sc_values *v = NULL;
        sc_oom_fail_at(k);
        int code = sc_values_open_rounded(s.v, &f, NULL, NULL, NULL, &v, NULL);
        if (code == 0)
            code = sc_values_read(v, 0, SC_COUNT(y), y, NULL);
        reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK(code == 0 || code == SCRUPLE_EMEMORY);
        CHECK(reached || code == 0);
        sc_values_close(v);
    }
    close_set(&s);
}
