/* SPDX-License-Identifier: Apache-2.0 */
/* What formats cost a tensor: against plain loops in double over the whole tensor, whose lines are
 * rounded one by one here. */
#include "analyze/quality.h"

#include "test.h"

#include <stdlib.h>

#include "st_maker.h"

/* ------------------------------------------------------------------------------ a tensor --- */
enum { NORMAL, CONSTANT, SPARSE, HOSTILE, TINY, HUGE_ONES, KINDS };

static double uniform(uint64_t i)
{
    return (double)(sc_random(7, i) >> 11) * 0x1p-53;
}
static float value_of(uint64_t i, int kind)
{
    const double v = uniform(3 * i) + uniform(3 * i + 1) + uniform(3 * i + 2) - 1.5;
    switch (kind) {
    case CONSTANT:
        return 0.37F;
    case SPARSE:
        return i % 5 ? 0 : (float)v;
    case HOSTILE:
        return i % 97 == 3 ? NAN : i % 389 == 5 ? -INFINITY : i % 211 == 7 ? 3e38F : (float)v;
    case TINY:
        return (float)(v * 1e-30);
    case HUGE_ONES:
        return (float)(v * 1e25);
    default:
        return (float)(v * (i % 1013 == 0 ? 30 : 1) * (1 + (double)(i / 5000 % 7)));
    }
}

struct set {
    struct blob blob;
    struct sc_model *model;
    struct sc_values *v;
    uint64_t matrices, rows, cols, n;
    float *x;
    bool vector;
};

static struct set open_set(const char *shape, const uint64_t *dims, unsigned rank, int kind)
{
    struct set s = {.matrices = 1, .rows = 1, .cols = 1, .vector = rank < 2};
    struct st_maker m = {0};
    struct sc_error e = {0};
    for (unsigned i = 0; i < rank; i++) {
        uint64_t *of = i + 1 == rank ? &s.cols : i + 2 == rank ? &s.rows : &s.matrices;
        *of *= dims[i];
    }
    s.n = s.matrices * s.rows * s.cols;
    s.x = calloc(s.n + 1, sizeof *s.x);
    for (uint64_t i = 0; i < s.n; i++)
        s.x[i] = value_of(i, kind);
    st_add(&m, "w", "F32", shape, s.x, s.n * sizeof *s.x);
    s.blob = st_finish(&m);
    s.model = open_kept(s.blob);
    if (sc_values_open(s.model, 0, &s.v, &e) < 0)
        support_fail(e.text);
    return s;
}

static void close_set(struct set *s)
{
    sc_values_close(s->v);
    sc_model_close(s->model);
    free(s->blob.p);
    free(s->x);
}

/* --------------------------------------------------------------------------------- oracle --- */
struct oracle {
    float *y;
    uint64_t saturated;
};

/* All lines of the tensor in one format. */
static float *round_all(const struct set *s, const struct sc_encoding *f, uint64_t *saturated)
{
    sc_round_fn *fn = sc_rounder(f, SC_CPU_C);
    struct sc_step step;
    struct sc_extent of = {INFINITY, -INFINITY};
    const bool turned = f->other_axis && !s->vector;
    const uint64_t n = turned ? s->rows : s->cols, stride = turned ? s->cols : 1;
    float *y = calloc(s->n + 1, sizeof *y), *line = calloc(n + 1, sizeof *line);
    *saturated = 0;
    for (uint64_t i = 0; i < s->n; i++)
        if (isfinite(s->x[i])) {
            of.min = fminf(of.min, s->x[i]);
            of.max = fmaxf(of.max, s->x[i]);
        }
    if (f->over == SC_OVER_TENSOR)
        sc_encoding_step(f, of, &step);
    for (uint64_t k = 0; n && k < s->n / n; k++) {
        const uint64_t from = turned ? k / s->cols * s->rows * s->cols + k % s->cols : k * n;
        of = (struct sc_extent){INFINITY, -INFINITY};
        for (uint64_t i = 0; i < n; i++) {
            line[i] = s->x[from + i * stride];
            if (isfinite(line[i])) {
                of.min = fminf(of.min, line[i]);
                of.max = fmaxf(of.max, line[i]);
            }
        }
        if (f->over == SC_OVER_LINE)
            sc_encoding_step(f, of, &step);
        *saturated += fn(f, f->over == SC_OVER_NOTHING ? NULL : &step, line, n, line);
        for (uint64_t i = 0; i < n; i++)
            y[from + i * stride] = line[i];
    }
    free(line);
    return y;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, uint64_t n, double share)
{
    const double at = share * (double)(n - 1);
    const uint64_t i = (uint64_t)at;
    return n == 0 ? 0 : sorted[i] + (at - (double)i) * (sorted[i + 1 < n ? i + 1 : i] - sorted[i]);
}

/* The worst of parts: part_of(i) tells which one value i belongs to. */
static double worst(const struct set *s, const float *y, uint64_t parts, uint64_t down,
                    uint64_t across, uint64_t *index)
{
    double *dd = calloc(parts + 1, sizeof *dd), *xx = calloc(parts + 1, sizeof *xx), most = -1;
    const uint64_t per_row = across ? (s->cols - 1) / across + 1 : 1;
    const uint64_t per_matrix = (down ? (s->rows - 1) / down + 1 : 1) * per_row;
    *index = UINT64_MAX;
    for (uint64_t i = 0; i < s->n; i++) {
        const uint64_t m = i / (s->rows * s->cols), r = i / s->cols % s->rows, c = i % s->cols;
        const uint64_t part =
            m * per_matrix + (down ? r / down : 0) * per_row + (across ? c / across : 0);
        if (!isfinite(s->x[i]))
            continue;
        const double d = (isfinite(y[i]) ? (double)y[i] : 0) - (double)s->x[i];
        dd[part] += d * d;
        xx[part] += (double)s->x[i] * (double)s->x[i];
    }
    for (uint64_t i = 0; i < parts; i++) {
        const double share = xx[i] > 0 ? sqrt(dd[i] / xx[i]) : dd[i] > 0 ? INFINITY : 0;
        if (share > most * (1 + 1e-6)) {
            most = share;
            *index = i;
        }
    }
    free(dd);
    free(xx);
    return most;
}

static void check_worst(const struct set *s, const float *y, const struct sc_worst *got,
                        uint64_t down, uint64_t across)
{
    const uint64_t parts = s->matrices * (down ? (s->rows - 1) / down + 1 : 1) *
                           (across ? (s->cols - 1) / across + 1 : 1);
    uint64_t index;
    const double want = worst(s, y, parts, down, across, &index);
    if (got->index == UINT64_MAX)
        return;
    CHECK_NEAR(got->relative_frobenius, want, 2e-6);
    CHECK(got->index < parts);
}

static void check_format(const struct set *s, const struct sc_encoding *f,
                         const struct sc_quality *g)
{
    uint64_t saturated, n = 0, zeroed = 0, overflowed = 0, bytes;
    float *y = round_all(s, f, &saturated);
    double *errors = calloc(s->n + 1, sizeof *errors);
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0, dd = 0, abs = 0, bias = 0, most = 0, rel = 0;
    double cxx = 0, cyy = 0, cxy = 0, cdd = 0;
    for (uint64_t i = 0; i < s->n; i++) {
        const double x = (double)s->x[i];
        if (!isfinite(s->x[i]))
            continue;
        overflowed += !isfinite(y[i]);
        zeroed += x != 0 && y[i] == 0;
        if (!isfinite(y[i]))
            y[i] = 0;
        const double v = (double)y[i], d = v - x;
        mx += x;
        my += v;
        xx += x * x;
        yy += v * v;
        xy += x * v;
        dd += d * d;
        abs += fabs(d);
        bias += d;
        most = fmax(most, fabs(d));
        rel = x != 0 ? fmax(rel, fabs(d) / fabs(x)) : rel;
        errors[n++] = fabs(d);
    }
    qsort(errors, n, sizeof *errors, compare);
    const double count = n ? (double)n : 1;
    mx /= count;
    my /= count;
    for (uint64_t i = 0; i < s->n; i++)
        if (isfinite(s->x[i])) {
            const double a = (double)s->x[i] - mx, b = (double)y[i] - my;
            cxx += a * a;
            cyy += b * b;
            cxy += a * b;
            cdd += (b - a) * (b - a);
        }
    const bool flat = !(cxx > 1e-14 * xx) || !(cyy > 1e-11 * yy);
    const double scale = sqrt(cxx) * sqrt(cyy);
    CHECK_U64(g->values, s->n);
    CHECK_U64(g->finite, n);
    CHECK_U64(g->nonfinite, s->n - n);
    CHECK_U64(g->overflowed, overflowed);
    CHECK_U64(g->saturated, saturated);
    CHECK_U64(g->zeroed, zeroed);
    const bool little = yy > 0 && yy < 1e-8 * xx;
    if (!little || flat)
        CHECK_NEAR(g->pcc, flat ? (dd > 0 ? 0 : 1) : cxy / scale, 2e-6);
    /* Without cancellation; and once more with it, so that the formula is not its own proof. */
    const double apart = sqrt(cxx) - sqrt(cyy);
    if (!flat && !little) {
        CHECK(fabs(g->one_minus_pcc - (cdd - apart * apart) / 2 / scale) <
              1e-5 * g->one_minus_pcc + 1e-11);
        CHECK_NEAR(g->one_minus_pcc, 1 - cxy / scale, 1e-6);
    }
    CHECK_NEAR(g->cosine,
               little        ? NAN
               : xx * yy > 0 ? xy / sqrt(xx) / sqrt(yy)
               : dd > 0      ? 0
                             : 1,
               1e-6);
    CHECK(fabs(g->mae - abs / count) <= 1e-6 * abs / count);
    CHECK(fabs(g->mse - dd / count) <= 1e-6 * dd / count);
    CHECK(fabs(g->rmse - sqrt(dd / count)) <= 1e-6 * sqrt(dd / count));
    CHECK(fabs(g->atol - most) <= 1e-7 * most);
    CHECK_NEAR(g->sqnr_db, dd > 0 ? 10 * log10(xx / dd) : INFINITY, 1e-5);
    CHECK_NEAR(g->relative_frobenius, xx > 0 ? sqrt(dd / xx) : 0, 1e-6);
    CHECK_NEAR(g->max_relative, rel, 1e-6);
    CHECK(fabs(g->bias - bias / count) <= 1e-6 * abs / count);
    if (s->n <= 65536) { /* exact */
        CHECK_NEAR(g->p99, quantile(errors, n, 0.99), 1e-6 * g->p99);
        CHECK_NEAR(g->p999, quantile(errors, n, 0.999), 1e-6 * g->p999);
    } else { /* a bin of 0.1 % */
        const double share[] = {0.99, 0.999}, got[] = {g->p99, g->p999};
        for (size_t k = 0; k < 2; k++) {
            const uint64_t rank = (uint64_t)(share[k] * (double)(n - 1));
            CHECK(got[k] >= errors[rank] * (1 - 1e-3));
            CHECK(got[k] <= errors[rank] * (1 + 1e-3));
        }
    }
    check_worst(s, y, &g->row, 1, 0);
    check_worst(s, y, &g->column, 0, 1);
    if (!s->vector)
        check_worst(s, y, &g->tile, 32, 32);
    else
        check_worst(s, y, &g->tile, 1, 1024);
    if (s->matrices > 1)
        check_worst(s, y, &g->expert, 0, 0);
    struct sc_encoding as_is = *f;
    as_is.other_axis = f->other_axis && !s->vector;
    CHECK(sc_encoding_bytes(&as_is, s->matrices, s->rows, s->cols, &bytes, NULL));
    if (f->scheme == SC_SCHEME_BFP && s->vector) /* rows of 32: 1024 values a tile */
        bytes = (s->n + 1023) / 1024 * (64 + 128 * f->bits);
    CHECK_U64(g->bytes, bytes);
    free(errors);
    free(y);
}

/* ----------------------------------------------------------------------------------- tests --- */
static const char *const names[] = {"mxfp4",  "nvfp4",   "bf16",    "bfp8",          "bfp4",
                                    "bfp2",   "fp0",     "fp32",    "fp16",          "fp8_e4m3",
                                    "bfp4.T", "nvfp4.T", "mxfp4.T", "fp8_e5m2:nosat"};
enum { FORMATS = sizeof names / sizeof *names };

static size_t all_formats(struct sc_encoding *out)
{
    struct sc_error e = {0};
    for (size_t i = 0; i < FORMATS; i++)
        if (sc_encoding_parse(sc_strz(names[i]), &out[i], &e) < 0)
            support_fail(e.text);
    return FORMATS;
}

static struct sc_quality_options options_of(const struct sc_encoding *formats, size_t n)
{
    return (struct sc_quality_options){.formats = formats, .n = n, .memory = UINT64_C(64) << 20};
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
            struct sc_quality_options o = options_of(f, n);
            struct sc_quality_result r;
            struct sc_error e = {0};
            CHECK_ERR(0, sc_quality_measure(s.v, &o, &r, &e));
            const unsigned before = test_bad;
            for (size_t i = 0; r.formats && i < n; i++) {
                check_format(&s, &f[i], &r.formats[i]);
                if (test_bad != before) {
                    fprintf(stderr, "  %s of %s, kind %d\n", names[i], shapes[k].text, kind);
                    sc_quality_clear(&r);
                    close_set(&s);
                    return;
                }
            }
            sc_quality_clear(&r);
            close_set(&s);
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
