/* SPDX-License-Identifier: Apache-2.0 */
/* What formats cost a tensor: against plain loops in double over the whole tensor, whose lines are
 * rounded one by one here. */
#include "test.h"

#include "quality_set.h"

/* ----------------------------------------------------------------------------------- tests --- */
static const char *const names[] = {"mxfp4",  "nvfp4",   "bf16",    "bfp8",          "bfp4",
                                    "bfp2",   "fp0",     "fp32",    "fp16",          "fp8_e4m3",
                                    "bfp4.T", "nvfp4.T", "mxfp4.T", "fp8_e5m2:nosat"};
enum { FORMATS = sizeof names / sizeof *names };

static size_t all_formats(struct sc_encoding *out)
{
    parse_formats(names, FORMATS, out);
    return FORMATS;
}

static const struct shape {
    const char *text;
    uint64_t dims[4];
    unsigned rank;
} shapes[] = {
    {"[]", {0}, 0},
    {"[1]", {1}, 1},
    {"[50]", {50}, 1},
    {"[1024]", {1024}, 1},
    {"[5000]", {5000}, 1},
    {"[1,1]", {1, 1}, 2},
    {"[70,100]", {70, 100}, 2},
    {"[33,257]", {33, 257}, 2},
    {"[3,32,64]", {3, 32, 64}, 3},
    {"[4,70,33]", {4, 70, 33}, 3},
    {"[2,3,40,50]", {2, 3, 40, 50}, 4},
    {"[1,9000]", {1, 9000}, 2},
    {"[9000,1]", {9000, 1}, 2},
    {"[250,300]", {250, 300}, 2},
    {"[33,4200]", {33, 4200}, 2},
};

TEST(metrics_are_those_of_plain_loops)
{
    struct sc_encoding f[FORMATS];
    const size_t n = all_formats(f);
    for (size_t k = 0; k < SC_COUNT(shapes); k++)
        for (int kind = 0; kind < KINDS; kind++) {
            const bool large = shapes[k].rank == 2 && shapes[k].dims[0] * shapes[k].dims[1] > 20000;
            if (large && kind != (k % 2 ? NORMAL : HOSTILE))
                continue;
            struct set s = open_set(shapes[k].text, shapes[k].dims, shapes[k].rank, kind);
            const struct sc_quality_options o = options_of(f, n);
            char what[64];
            snprintf(what, sizeof what, "%s, kind %d", shapes[k].text, kind);
            check_set(&s, &o, names, what);
            close_set(&s);
        }
}

/* Shares grow and stay below 1. */
struct told {
    double last;
    unsigned n;
};
static void take_share(void *ctx, double share)
{
    struct told *t = ctx;
    CHECK(share > t->last && share < 1);
    t->last = share;
    t->n++;
}

TEST(progress_is_told_while_a_tensor_is_looked_at)
{
    const uint64_t dims[] = {200, 4096};
    static const char *const names_of[] = {"bfp8", "int4", "q4_k"};
    struct sc_encoding f[SC_COUNT(names_of)];
    struct set s = open_set("[200,4096]", dims, 2, NORMAL);
    struct sc_quality_result r;
    struct sc_error e = {0};
    struct told t = {0};
    parse_formats(names_of, SC_COUNT(names_of), f);
    struct sc_quality_options o = options_of(f, SC_COUNT(names_of));
    o.progress = take_share;
    o.ctx = &t;
    CHECK_ERR(0, sc_quality_measure(s.v, &o, &r, &e));
    CHECK(t.n >= 6);
    CHECK(t.last > 0.8);
    sc_quality_clear(&r);
    close_set(&s);
}

TEST(without_a_finite_value_nothing_is_known)
{
    static const struct {
        const char *text;
        uint64_t dims[2];
    } of[] = {{"[40,50]", {40, 50}}, {"[300,300]", {300, 300}}};
    struct sc_encoding f[FORMATS];
    const size_t n = all_formats(f);
    for (size_t k = 0; k < SC_COUNT(of); k++) {
        struct sc_quality_result r;
        struct sc_error e = {0};
        const uint64_t count = of[k].dims[0] * of[k].dims[1];
        float *x = calloc(count, sizeof *x);
        for (uint64_t i = 0; i < count; i++)
            x[i] = i % 3 ? NAN : -INFINITY;
        struct set s = open_stored("F32", of[k].text, of[k].dims, 2, x, sizeof *x);
        const struct sc_quality_options o = options_of(f, n);
        CHECK_ERR(0, sc_quality_measure(s.v, &o, &r, &e));
        for (size_t i = 0; i < n; i++) {
            const struct sc_quality *g = &r.formats[i];
            CHECK_U64(g->values, count);
            CHECK_U64(g->nonfinite, count);
            CHECK_U64(g->finite, 0);
            CHECK(isnan(g->pcc) && isnan(g->one_minus_pcc) && isnan(g->cosine));
            CHECK(isnan(g->mae) && isnan(g->rmse) && isnan(g->atol) && isnan(g->sqnr_db));
            CHECK(isnan(g->p99) && isnan(g->p999) && isnan(g->max_relative));
            CHECK(g->bits_per_weight >= 0);
        }
        sc_quality_clear(&r);
        close_set(&s);
        free(x);
    }
}

TEST(threads_do_not_matter)
{
    static const uint64_t dims[] = {2, 150, 500};
    struct sc_encoding f[FORMATS];
    const size_t n = all_formats(f);
    struct set s = open_set("[2,150,500]", dims, 3, NORMAL);
    struct sc_quality_result first, r;
    struct sc_error e = {0};
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        struct sc_quality_options o = options_of(f, n);
        struct sc_pool *pool;
        if (sc_pool_new(threads, &pool, &e) < 0)
            support_fail(e.text);
        const struct sc_parallel p = sc_pool_parallel(pool);
        o.p = &p;
        o.grain = SC_GRAIN_TILE;
        o.head_rows = 50;
        CHECK_ERR(0, sc_quality_measure(s.v, &o, &r, &e));
        sc_pool_free(pool);
        if (threads == 1) {
            first = r;
            continue;
        }
        CHECK_BITS(r.formats, first.formats, n * sizeof *r.formats);
        CHECK_BITS(&r.facts, &first.facts, sizeof r.facts);
        CHECK_BITS(r.cells->values, first.cells->values, r.cells->n * sizeof *r.cells->values);
        CHECK_BITS(r.cells->errors, first.cells->errors, r.cells->n * n * sizeof *r.cells->errors);
        sc_quality_clear(&r);
    }
    CHECK(first.formats[0].head.index < 6);
    CHECK(first.formats[0].column.index < 1000);
    CHECK(first.formats[0].expert.index < 2);
    sc_quality_clear(&first);
    close_set(&s);
}

/* Sums of cells are those of the tensor, whatever the cells are; and one cell by hand. */
TEST(cells_add_up)
{
    static const uint64_t dims[] = {2, 70, 200};
    struct sc_encoding f[4];
    struct sc_error e = {0};
    static const char *const some[] = {"mxfp4", "bfp4", "fp0", "fp32"};
    for (size_t i = 0; i < 4; i++)
        CHECK_ERR(0, sc_encoding_parse(sc_strz(some[i]), &f[i], &e));
    for (int vector = 0; vector < 2; vector++)
        for (int grain = SC_GRAIN_TILE; grain <= SC_GRAIN_GROUP; grain++) {
            static const uint64_t long_dims[] = {28000};
            struct set s = vector ? open_set("[28000]", long_dims, 1, NORMAL)
                                  : open_set("[2,70,200]", dims, 3, NORMAL);
            struct sc_quality_options o = options_of(f, 4);
            struct sc_quality_result r;
            o.grain = (enum sc_grain)grain;
            o.group = 64;
            CHECK_ERR(0, sc_quality_measure(s.v, &o, &r, &e));
            if (!r.cells) {
                close_set(&s);
                return;
            }
            const struct sc_cells *c = r.cells;
            CHECK_U64(c->n, c->matrices * c->down * c->across);
            double x = 0, xx = 0, real_x = 0, real_xx = 0;
            uint64_t n = 0;
            for (uint64_t i = 0; i < c->n; i++) {
                x += c->values[i].x;
                xx += c->values[i].xx;
                n += c->values[i].n;
            }
            for (uint64_t i = 0; i < s.n; i++) {
                real_x += (double)s.x[i];
                real_xx += (double)s.x[i] * (double)s.x[i];
            }
            CHECK_U64(n, s.n);
            CHECK(fabs(x - real_x) < 1e-9 * real_xx);
            CHECK_NEAR(xx, real_xx, 1e-9 * real_xx);
            for (size_t k = 0; k < 4; k++) {
                double dd = 0, abs = 0, most = 0;
                uint64_t bytes = c->once[k];
                for (uint64_t i = 0; i < c->n; i++) {
                    const struct sc_cell_error *g = sc_cell_error(c, i, k);
                    dd += g->dd;
                    abs += g->abs;
                    most = fmax(most, g->most);
                    bytes += c->bytes[k][c->values[i].part];
                }
                const struct sc_quality *q = &r.formats[k];
                CHECK_NEAR(dd / (double)n, q->mse, 1e-6 * q->mse);
                CHECK_NEAR(abs / (double)n, q->mae, 1e-6 * q->mae);
                CHECK_NEAR(most, q->atol, 0);
                if (f[k].scheme != SC_SCHEME_BFP || grain == SC_GRAIN_TILE)
                    CHECK_U64(bytes, q->bytes);
            }
            sc_quality_clear(&r);
            close_set(&s);
        }
}

TEST(a_sample_reads_some_blocks_and_knows_how_far_it_is_off)
{
    static const uint64_t dims[] = {2000, 256};
    struct sc_encoding f[FORMATS];
    const size_t n = all_formats(f);
    struct set s = open_set("[2000,256]", dims, 2, NORMAL);
    struct sc_quality_options o = options_of(f, n);
    struct sc_quality_result all, some;
    struct sc_error e = {0};
    CHECK_ERR(0, sc_quality_measure(s.v, &o, &all, &e));
    CHECK_U64(all.sampled, 0);
    CHECK(!all.intervals);
    o.sample = 100000;
    CHECK_ERR(0, sc_quality_measure(s.v, &o, &some, &e));
    CHECK(some.sampled >= 95000 && some.sampled <= 120000);
    REQUIRE(some.intervals);
    for (size_t i = 0; i < n; i++) {
        const struct sc_quality_interval *w = &some.intervals[i];
        const struct sc_quality *a = &all.formats[i], *b = &some.formats[i];
        CHECK(w->mae >= 0 && w->mae < 0.5 * a->mae + 1e-30);
        CHECK(fabs(a->mae - b->mae) <= 2 * w->mae);
        CHECK(fabs(a->pcc - b->pcc) <= 3 * w->pcc + 1e-12);
        if (isfinite(a->sqnr_db))
            CHECK(fabs(a->sqnr_db - b->sqnr_db) <= 3 * w->sqnr_db + 1e-9);
    }
    sc_quality_clear(&all);
    sc_quality_clear(&some);
    close_set(&s);
}

/* What is written: a format, and a mix of formats cell by cell. */
TEST(rounded_views_hold_what_was_measured)
{
    static const uint64_t dims[] = {2, 70, 200};
    static const char *const some[] = {"mxfp4", "bfp4.T", "nvfp4", "fp0"};
    struct sc_encoding f[4];
    struct sc_error e = {0};
    struct set s = open_set("[2,70,200]", dims, 3, NORMAL);
    float *all[4], *got = calloc(s.n, sizeof *got);
    struct sc_values *v = NULL;
    uint64_t saturated;
    for (size_t k = 0; k < 4; k++) {
        CHECK_ERR(0, sc_encoding_parse(sc_strz(some[k]), &f[k], &e));
        all[k] = round_all(&s, &f[k], &saturated);
        CHECK_ERR(0, sc_values_open_rounded(s.v, &f[k], NULL, NULL, NULL, &v, &e));
        CHECK_ERR(0, sc_values_read(v, 0, s.n, got, &e));
        CHECK_BITS(got, all[k], s.n * sizeof *got);
        CHECK_ERR(0, sc_values_read(v, 13333, 777, got, &e));
        CHECK_BITS(got, all[k] + 13333, 777 * sizeof *got);
        sc_values_close(v);
    }
    struct sc_quality_options o = options_of(f, 4);
    struct sc_quality_result r;
    o.grain = SC_GRAIN_TILE;
    CHECK_ERR(0, sc_quality_measure(s.v, &o, &r, &e));
    int8_t *assignment = calloc(r.cells->n, 1);
    for (uint64_t i = 0; i < r.cells->n; i++)
        assignment[i] = (int8_t)((int)(i * 7 % 5) - 1);
    CHECK_ERR(0, sc_values_open_rounded(s.v, NULL, r.cells, assignment, NULL, &v, &e));
    CHECK_ERR(0, sc_values_read(v, 0, s.n, got, &e));
    for (uint64_t i = 0; i < s.n; i++) {
        const uint64_t cell = (i / 14000 * 3 + i / 200 % 70 / 32) * 7 + i % 200 / 32;
        const int k = assignment[cell];
        CHECK_BITS(&got[i], k < 0 ? &s.x[i] : &all[k][i], sizeof *got);
    }
    sc_values_close(v);
    sc_quality_clear(&r);
    for (size_t k = 0; k < 4; k++)
        free(all[k]);
    free(assignment);
    free(got);
    close_set(&s);
}
