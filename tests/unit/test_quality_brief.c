/* SPDX-License-Identifier: Apache-2.0 */
/* Brief reports: what they tell has the bits of the whole report, and the rest is not known. Of
 * BF16 sums may be added up in another order (kernel.h, short errors): there it is near. */
#include "test.h"

#include "quality_set.h"

static const char *const names[] = {
    "mxfp4",       "nvfp4",       "bf16",    "bfp8",           "bfp4",
    "bfp2",        "fp0",         "fp32",    "fp16",           "fp8_e4m3",
    "bfp4.T",      "nvfp4.T",     "mxfp4.T", "fp8_e5m2:nosat", "int8",
    "int8:tensor", "int3:affine", "int8.T",  "int4:group=32",  "nf4",
    "mxfp8_e4m3",  "mxfp6_e3m2",  "mxint8",  "bfp8.T",         "bfp2.T",
    "q4_0",        "q8_0",
};
enum { FORMATS = sizeof names / sizeof *names };

/* What is left of the figures of a whole report. */
static struct sc_quality shortened(const struct sc_quality *whole)
{
    struct sc_quality want = *whole;
    const struct sc_worst none = {UINT64_MAX, NAN};
    want.saturated = want.zeroed = UINT64_MAX;
    want.max_relative = want.p99 = want.p999 = NAN;
    want.row = want.column = want.tile = want.head = want.expert = none;
    return want;
}

static void check_brief(const struct sc_quality *brief, const struct sc_quality *whole)
{
    const struct sc_quality want = shortened(whole);
    CHECK_BITS(brief, &want, sizeof want);
}

/* Bits but the last few of a float, `scale` being what was added up. */
static bool is_near(double a, double b, double scale)
{
    const double eps = 0x1p-24;
    return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 16 * eps * scale;
}

static void check_near(const struct sc_quality *brief, const struct sc_quality *whole)
{
    const struct sc_metric_group *g = &sc_metrics_quality;
    const struct sc_quality want = shortened(whole);
    for (size_t i = 0; i < g->n; i++) {
        double a, b;
        const struct sc_metric *m = &g->metrics[i];
        memcpy(&a, (const char *)brief + m->offset, sizeof a);
        memcpy(&b, (const char *)&want + m->offset, sizeof b);
        if (m->kind != SC_METRIC_DOUBLE)
            CHECK_BITS(&a, &b, sizeof a);
        else if (m->offset == offsetof(struct sc_quality, bias))
            CHECK(is_near(a, b, whole->mae));
        else
            CHECK(is_near(a, b, fabs(b)));
    }
}

static void check_facts(const struct sc_value_facts *a, const struct sc_value_facts *b)
{
    CHECK(a->values == b->values && a->nonfinite == b->nonfinite);
    CHECK(is_near(a->min, b->min, 0) && is_near(a->max, b->max, 0));
    CHECK(is_near(a->abs_max, b->abs_max, 0) && is_near(a->rms, b->rms, b->rms));
    CHECK(is_near(a->mean, b->mean, b->rms));
}

/* bits: sums are in the same order. */
static void check_both(const struct set *s, const char *what, struct sc_quality_options o,
                       bool bits)
{
    struct sc_quality_result whole, brief;
    struct sc_error e = {0};
    CHECK_ERR(0, sc_quality_measure(s->v, &o, &whole, &e));
    o.brief = true;
    CHECK_ERR(0, sc_quality_measure(s->v, &o, &brief, &e));
    if (bits)
        CHECK_BITS(&brief.facts, &whole.facts, sizeof brief.facts);
    check_facts(&brief.facts, &whole.facts);
    CHECK_U64(brief.sampled, whole.sampled);
    for (size_t i = 0; i < o.n && brief.formats && whole.formats; i++) {
        const unsigned before = test_bad;
        if (bits)
            check_brief(&brief.formats[i], &whole.formats[i]);
        check_near(&brief.formats[i], &whole.formats[i]);
        if (whole.intervals)
            CHECK_BITS(&brief.intervals[i], &whole.intervals[i], sizeof *brief.intervals);
        if (test_bad != before)
            fprintf(stderr, "  %s of %s\n", o.formats[i].name, what);
    }
    sc_quality_clear(&whole);
    sc_quality_clear(&brief);
}

/* All formats together; and each alone, since others change how a tensor is cut. */
static void check_all(const struct set *s, const char *what, uint64_t sample, bool alone, bool bits)
{
    struct sc_encoding f[FORMATS];
    parse_formats(names, FORMATS, f);
    struct sc_quality_options o = options_of(f, FORMATS);
    o.sample = sample;
    check_both(s, what, o, bits);
    o.n = 1;
    for (; alone && o.formats < f + FORMATS; o.formats++)
        check_both(s, what, o, bits);
}

static const struct shape {
    const char *text;
    uint64_t dims[3];
    unsigned rank;
} shapes[] = {
    {"[]", {0}, 0},
    {"[0,3]", {0, 3}, 2},
    {"[50]", {50}, 1},
    {"[70000]", {70000}, 1},
    {"[70,100]", {70, 100}, 2},
    {"[3,40,50]", {3, 40, 50}, 3},
    {"[221,333]", {221, 333}, 2},
    {"[192,384]", {192, 384}, 2},
    {"[3,110,200]", {3, 110, 200}, 3},
    {"[9000,3,3]", {9000, 3, 3}, 3},
};

TEST(brief_reports_have_the_bits_of_whole_ones)
{
    for (size_t k = 0; k < SC_COUNT(shapes); k++)
        for (int kind = (int)k % 3; kind < KINDS; kind += 3) {
            const struct shape *at = &shapes[k];
            char what[64];
            struct set s = open_set(at->text, at->dims, at->rank, kind);
            snprintf(what, sizeof what, "F32 %s, kind %d", at->text, kind);
            check_all(&s, what, 0, false, true);
            close_set(&s);
        }
}

TEST(brief_reports_of_stored_types)
{
    static const struct {
        const char *dtype;
        size_t size;
    } types[] = {{"BF16", 2}, {"F16", 2}, {"F8_E4M3", 1}};
    for (size_t k = 0; k < SC_COUNT(shapes); k++)
        for (size_t t = 0; t < SC_COUNT(types); t++)
            for (int kind = t ? NORMAL : (int)k % 3; kind < (t ? CONSTANT : KINDS); kind += 3) {
                const struct shape *at = &shapes[k];
                char what[64];
                struct set s =
                    open_codes(types[t].dtype, types[t].size, at->text, at->dims, at->rank, kind);
                snprintf(what, sizeof what, "%s %s, kind %d", types[t].dtype, at->text, kind);
                check_all(&s, what, 0, t == 0 && kind == NORMAL && at->dims[0] == 221, t > 0);
                close_set(&s);
            }
}

TEST(brief_reports_of_a_sample)
{
    static const uint64_t dims[] = {1000, 256};
    for (int kind = NORMAL; kind <= HOSTILE; kind += HOSTILE) {
        struct set s = open_codes("BF16", 2, "[1000,256]", dims, 2, kind);
        check_all(&s, "a sample", 70000, false, false);
        close_set(&s);
    }
}

TEST(brief_reports_have_no_cells_and_may_have_threads)
{
    static const uint64_t dims[] = {2, 150, 512};
    struct sc_encoding f[FORMATS];
    struct sc_quality_result one, many;
    struct sc_error e = {0};
    struct sc_pool *pool;
    struct set s = open_codes("BF16", 2, "[2,150,512]", dims, 3, NORMAL);
    parse_formats(names, FORMATS, f);
    struct sc_quality_options o = options_of(f, FORMATS);
    o.brief = true;
    o.grain = SC_GRAIN_TILE;
    CHECK_ERR(0, sc_quality_measure(s.v, &o, &one, &e));
    CHECK(!one.cells);
    if (sc_pool_new(4, &pool, &e) < 0)
        support_fail(e.text);
    const struct sc_parallel p = sc_pool_parallel(pool);
    o.p = &p;
    CHECK_ERR(0, sc_quality_measure(s.v, &o, &many, &e));
    sc_pool_free(pool);
    CHECK_BITS(many.formats, one.formats, FORMATS * sizeof *one.formats);
    CHECK_BITS(&many.facts, &one.facts, sizeof one.facts);
    sc_quality_clear(&one);
    sc_quality_clear(&many);
    close_set(&s);
}
