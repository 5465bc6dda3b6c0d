/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the pictures of number formats: maps, sizes, sweeps, curves. What they are made of is
 * filled in by hand, so nothing here depends on an encoder but the synthetic curves. write_pictures
 * leaves all of them in $SCRUPLE_TEST_PAGES. */
#include <stdlib.h>

#include "fake_cells.h"
#include "markup.h"
#include "oom.h"
#include "report/plots_quality.h"
#include "scratch.h"
#include "test.h"

__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig\n"; /* keeps what it read of the machine's fonts */
}

/* ------------------------------------------------------------------------------ what is drawn ---
 */
struct drawing {
    struct sc_cells cells;
    int8_t *format;
    struct sc_mix_totals frontier[40], trials[50];
    struct sc_threshold_step steps[6][30];
    struct sc_threshold_sweep sweeps[6];
    struct sc_size_point points[FAKE_FORMATS + 2];
    struct sc_frontier frontiers[3];
    struct sc_curves synthetic, tensor;
};

static void fill_trade_offs(struct drawing *d)
{
    static const char *const names[] = {"BF16", "BFP8", "BFP4", "BFP2"};
    static const char *const weights[] = {"mlp.down_proj", "self_attn.q_proj"};
    int8_t *all = calloc(d->cells.n, 1);

    for (size_t f = 0; f < FAKE_FORMATS; f++) {
        memset(all, (int)f, d->cells.n);
        struct sc_mix_totals t = fake_totals(&d->cells, all);
        d->points[f] =
            (struct sc_size_point){sc_strz(names[f]), NULL, (double)t.bytes, t.pcc, false};
    }
    fake_threshold(&d->cells, SC_MIX_PCC, 0.99, d->format);
    struct sc_mix_totals chosen = fake_totals(&d->cells, d->format);
    d->points[4] = (struct sc_size_point){SC_STR("threshold"), "bfp8:210 bfp4:390",
                                          (double)chosen.bytes, chosen.pcc, true};
    d->points[5] = (struct sc_size_point){SC_STR("optimal"), "bfp8:180 bfp4:420",
                                          (double)chosen.bytes * 0.93, chosen.pcc, true};
    for (size_t i = 0; i < SC_COUNT(d->frontier); i++) {
        fake_threshold(&d->cells, SC_MIX_MSE, 1e-9 * pow(1e6, (double)i / 39), all);
        d->frontier[39 - i] = fake_totals(&d->cells, all);
    }
    for (size_t i = 0; i < SC_COUNT(d->trials); i++) {
        for (uint64_t k = 0; k < d->cells.n; k++)
            all[k] = (int8_t)sc_random_below(i, k, 1 + i % FAKE_FORMATS);
        d->trials[i] = fake_totals(&d->cells, all);
    }
    for (size_t w = 0; w < 6; w++) {
        for (size_t i = 0; i < 30; i++) {
            double threshold = 1 - pow(10, -5 + 4.5 * (double)i / 29) * (1 + 0.3 * (double)w);
            fake_threshold(&d->cells, SC_MIX_PCC, threshold, all);
            d->steps[w][i] = (struct sc_threshold_step){threshold, fake_totals(&d->cells, all)};
        }
        d->sweeps[w] = (struct sc_threshold_sweep){.name = SC_STR("model.layers.0.mlp.down_proj"),
                                                   .weight = sc_strz(weights[w % 2]),
                                                   .layer = (int32_t)(w / 2),
                                                   .expert = -1,
                                                   .steps = d->steps[w],
                                                   .n = 30,
                                                   .formats = d->cells.formats,
                                                   .n_formats = FAKE_FORMATS};
    }
    for (size_t i = 0; i < 3; i++)
        d->frontiers[i] = (struct sc_frontier){.name = i ? SC_STR("a.weight") : SC_STR("model"),
                                               .points = d->frontier + 3 * i,
                                               .n = 40 - 6 * i,
                                               .values = d->cells.rows * d->cells.cols,
                                               .model = i == 0};
    free(all);
}

/* What a measured tensor looks like, without measuring one: 40 bins, two formats. */
static bool fill_tensor(struct sc_curves *c)
{
    enum { N = 300, TILES = 24 };
    *c = (struct sc_curves){.n_points = N,
                            .n = 2,
                            .low = -0.4,
                            .high = 0.5,
                            .error_low = -8,
                            .error_high = 0,
                            .error_top = 0,
                            .values = 1000000,
                            .nonfinite = 3,
                            .down = TILES,
                            .across = 2 * TILES,
                            .tile_rows = 64,
                            .tile_cols = 64};
    c->x = calloc(N, sizeof *c->x);
    c->curves = calloc(2, sizeof *c->curves);
    c->rms = calloc(2 * TILES * TILES, sizeof *c->rms);
    if (!c->x || !c->curves || !c->rms)
        return false;
    for (size_t f = 0; f < 2; f++) {
        struct sc_curve *one = &c->curves[f];
        double step = f ? 0.06 : 0.004;
        one->kind = SC_CURVE_TENSOR;
        one->mean = calloc(N, sizeof(double));
        one->low = calloc(N, sizeof(double));
        one->high = calloc(N, sizeof(double));
        one->cells = calloc(SC_CURVE_CELLS * SC_CURVE_CELLS, sizeof *one->cells);
        one->tiles = calloc(2 * TILES * TILES, sizeof *one->tiles);
        if (!one->mean || !one->low || !one->high || !one->cells || !one->tiles)
            return false;
        memcpy(one->format.name, f ? "bfp4" : "bfp8", 5);
        one->mae = step / 4;
        one->bias = step / 1000;
        one->edge = step;
        one->exact = f ? 7 : 0;
        for (size_t i = 0; i < N; i++) {
            double x = c->x[i] = c->low + (c->high - c->low) * ((double)i + 0.5) / N;
            double y = nearbyint(x / step) * step;
            one->mean[i] = i % 97 == 13 ? NAN : 0.7 * x + 0.3 * y;
            one->low[i] = i % 97 == 13 ? NAN : x - step / 2;
            one->high[i] = i % 97 == 13 ? NAN : x + step / 2;
            size_t col = i * SC_CURVE_CELLS / N;
            double t = (y - c->low) / (c->high - c->low) * SC_CURVE_CELLS;
            size_t row = t < 0 ? 0 : t > SC_CURVE_CELLS - 1 ? SC_CURVE_CELLS - 1 : (size_t)t;
            one->cells[row * SC_CURVE_CELLS + col] += (uint32_t)(10000 * exp(-x * x * 40));
        }
        for (size_t i = 0; i < SC_CURVE_HISTOGRAM; i++) {
            double t = ((double)i - (f ? 90 : 70)) / 8, u = (double)i / 64 - 1;
            one->magnitude[i] = (uint64_t)(1000 * exp(-t * t));
            one->error[i] = (uint64_t)(1000 * (1 - u * u));
        }
        for (size_t i = 0; i < 2 * TILES * TILES; i++) {
            one->tiles[i] = i == 5 ? NAN : (float)(step * (1 + fake_noise(i)));
            c->rms[i] = i == 5 ? NAN : (float)(0.1 * (1 + sin((double)(i % 48) / 5)));
        }
    }
    return true;
}

static bool fill(struct drawing *d)
{
    static const char *const names[] = {"mxfp4", "nvfp4", "bf16", "bfp8", "bfp4", "bfp2", "fp0"};
    struct sc_encoding formats[SC_COUNT(names)];

    memset(d, 0, sizeof *d);
    if (!fake_cells(&d->cells, 1, 600, 1000) || !fill_tensor(&d->tensor))
        return false;
    d->format = calloc(d->cells.n, 1);
    if (!d->format)
        return false;
    fill_trade_offs(d);
    for (size_t i = 0; i < SC_COUNT(names); i++)
        if (sc_encoding_parse(sc_strz(names[i]), &formats[i], NULL) < 0)
            return false;
    struct sc_curves_synthetic how = {
        .formats = formats, .n = SC_COUNT(names), .points = 400, .samples = 100, .seed = 1};
    return sc_curves_synthesize(&how, &d->synthetic, NULL) == 0;
}

static void clear(struct drawing *d)
{
    fake_cells_clear(&d->cells);
    sc_curves_clear(&d->synthetic);
    sc_curves_clear(&d->tensor);
    free(d->format);
}

/* ------------------------------------------------------------------------------- all pictures ---
 */
enum {
    MAP,
    ERRORS,
    TILES,
    SIZE,
    FRONTIERS,
    TRIALS,
    SWEEP,
    BY_WEIGHT,
    BY_LAYER,
    CURVES,
    TENSOR_CURVES,
    TRANSFER,
    HISTOGRAM,
    PICTURES
};
static const char *const names[PICTURES] = {
    "map",       "errors",   "tiles",  "size",          "frontiers", "trials",   "sweep",
    "by-weight", "by-layer", "curves", "tensor-curves", "transfer",  "histogram"};

static int draw_one(const struct drawing *d, int which, const struct sc_picture *p,
                    struct sc_buf *out, struct sc_error *e)
{
    const struct sc_mix_goal goal = {SC_MIX_PCC, 0.99};
    const struct sc_size_plot size = {
        SC_MIX_PCC, d->points, SC_COUNT(d->points), d->frontier, SC_COUNT(d->frontier), 0.99};
    const struct sc_curves *t = &d->tensor;
    const struct sc_error_map map = {
        t->down, t->across, t->curves[1].tiles, t->rms, t->tile_rows, t->tile_cols, "bfp4"};

    switch (which) {
    case MAP:
        return sc_picture_assignment(&d->cells, d->format, p, out, e);
    case ERRORS:
        return sc_picture_cell_errors(&d->cells, d->format, 0, p, out, e);
    case TILES:
        return sc_picture_errors(&map, p, out, e);
    case SIZE:
        return sc_picture_size(&size, p, out, e);
    case FRONTIERS:
        return sc_picture_frontiers(d->frontiers, 3, SC_MIX_PCC, p, out, e);
    case TRIALS:
        return sc_picture_trials(d->trials, SC_COUNT(d->trials), &goal, 4, p, out, e);
    case SWEEP:
        return sc_picture_sweep(&d->sweeps[0], SC_MIX_PCC, p, out, e);
    case BY_WEIGHT:
    case BY_LAYER:
        return sc_picture_sweeps(d->sweeps, 6, which == BY_LAYER, SC_MIX_PCC, p, out, e);
    case CURVES:
        return sc_picture_curves(&d->synthetic, p, out, e);
    case TENSOR_CURVES:
        return sc_picture_curves(t, p, out, e);
    case TRANSFER:
        return sc_picture_transfer(t, p, out, e);
    default:
        return sc_picture_error_histogram(t, p, out, e);
    }
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; text && (text = strstr(text, what)); text++)
        n++;
    return n;
}

TEST(every_picture_is_well_formed_and_the_same_again)
{
    static const double widths[] = {960, 400, 240};
    struct drawing d;
    REQUIRE(fill(&d));
    for (int i = 0; i < PICTURES; i++)
        for (size_t w = 0; w < SC_COUNT(widths); w++)
            for (int page = 0; page < 2; page++) {
                struct sc_buf one = {0}, two = {0};
                struct sc_picture p = {
                    .subject = SC_STR("a <b>&\"'\x1b[31m"), .width = widths[w], .page = page};
                CHECK_U64(draw_one(&d, i, &p, &one, NULL), 1);
                CHECK_U64(draw_one(&d, i, &p, &two, NULL), 1);
                const char *problem = markup_problem(one.p);
                if (problem)
                    fprintf(stderr, "%s: %s\n", names[i], problem);
                CHECK(problem == NULL);
                CHECK(one.n == two.n && memcmp(one.p, two.p, one.n) == 0);
                CHECK_U64(count(one.p, "nan") + count(one.p, "\"inf"), 0);
                sc_buf_clear(&one);
                sc_buf_clear(&two);
            }
    clear(&d);
}

/* ------------------------------------------------------------------------------- odd figures ---
 */
static struct sc_buf map_of(const struct sc_cells *c, const int8_t *format, struct sc_buf *notes)
{
    struct sc_buf out = {0};
    struct sc_picture p = {.notes = notes};
    CHECK_U64(sc_picture_assignment(c, format, &p, &out, NULL), 1);
    CHECK(markup_problem(out.p) == NULL);
    return out;
}

/* 3000 x 400 tiles: squares of 12 x 12, of which each shows what most of its tiles have. */
TEST(a_huge_map_shows_majorities)
{
    struct sc_cells c;
    struct sc_buf notes = {0};
    REQUIRE(fake_cells(&c, 1, 3000 * 32, 400 * 32));
    int8_t *format = malloc(c.n);
    REQUIRE(format);
    for (uint64_t i = 0; i < c.n; i++) /* five of twelve columns are bf16, seven bfp2 */
        format[i] = i % 400 % 12 < 5 ? 0 : 3;
    struct sc_buf out = map_of(&c, format, &notes);
    CHECK(strstr(notes.p, "One square stands for 12 x 12 cells of the 3000 x 400") != NULL);
    /* Only the square at the right edge, of the last four columns, has more of bf16. */
    const char *dark = strstr(out.p, "<path class=\"f-ramp8\" d=\"M33 0H34V1H33ZM33 1");
    const char *light = strstr(out.p, "<path class=\"f-ramp0\" d=\"M0 0H33V1H0ZM0 1");
    CHECK(dark && light);
    CHECK(strstr(out.p, "bf16: 507,000 (42.") != NULL);
    CHECK(out.n < 40000);
    sc_buf_clear(&out);
    sc_buf_clear(&notes);
    free(format);
    fake_cells_clear(&c);
}

TEST(maps_of_strips_stacks_and_cells_without_a_format)
{
    static const uint64_t shapes[][3] = {
        {1, 1, 1}, {1, 1, 100000}, {1, 100000, 1}, {40, 33, 65}, {1, 32, 32}};
    for (size_t k = 0; k < SC_COUNT(shapes); k++) {
        struct sc_cells c;
        struct sc_buf notes = {0};
        REQUIRE(fake_cells(&c, shapes[k][0], shapes[k][1], shapes[k][2]));
        int8_t *format = malloc(c.n);
        REQUIRE(format);
        for (uint64_t i = 0; i < c.n; i++)
            format[i] = (int8_t)(i % 5) - 1;
        struct sc_buf out = map_of(&c, format, &notes), heat = {0};
        CHECK(strstr(out.p, "none: ") != NULL);
        CHECK((k == 3) == (notes.p && strstr(notes.p, "40 matrices")));
        CHECK_U64(sc_picture_cell_errors(&c, format, 0, &(struct sc_picture){0}, &heat, NULL), 1);
        CHECK(markup_problem(heat.p) == NULL);
        sc_buf_clear(&out);
        sc_buf_clear(&heat);
        sc_buf_clear(&notes);
        free(format);
        fake_cells_clear(&c);
    }
}

/* Exact, undefined, infinite and negative figures: nothing of them is a coordinate. */
TEST(figures_that_no_axis_has)
{
    static const double odd[] = {0, NAN, INFINITY, -1, 1e-300, 1e300, 2};
    struct sc_mix_totals t[SC_COUNT(odd)] = {{0}};
    struct sc_size_point points[SC_COUNT(odd)];
    for (size_t i = 0; i < SC_COUNT(odd); i++) {
        t[i].pcc = 1 - odd[i];
        t[i].one_minus_pcc = t[i].mae = t[i].atol = t[i].mse = t[i].sqnr_db = odd[i];
        t[i].bytes = i ? UINT64_MAX / i : 0;
        points[i] = (struct sc_size_point){SC_STR("p"), NULL, (double)t[i].bytes, odd[i], i % 2};
    }
    for (int m = 0; m < SC_MIX_METRICS; m++) {
        const enum sc_mix_metric metric = (enum sc_mix_metric)m;
        struct sc_size_plot size = {metric, points, SC_COUNT(odd), t, SC_COUNT(odd), NAN};
        struct sc_mix_goal goal = {metric, 0.5};
        struct sc_frontier f = {SC_STR("f"), t, SC_COUNT(odd), 0, true};
        struct sc_picture p = {0};
        struct sc_buf out[3] = {{0}};
        CHECK_U64(sc_picture_size(&size, &p, &out[0], NULL), 1);
        CHECK_U64(sc_picture_frontiers(&f, 1, metric, &p, &out[1], NULL), 1);
        CHECK_U64(sc_picture_trials(t, SC_COUNT(odd), &goal, 99, &p, &out[2], NULL), 1);
        for (size_t i = 0; i < 3; i++) {
            const char *problem = markup_problem(out[i].p);
            if (problem)
                fprintf(stderr, "%s\n", problem);
            CHECK(problem == NULL);
            sc_buf_clear(&out[i]);
        }
    }
}

TEST(nothing_to_show_appends_nothing)
{
    struct sc_buf out = {0};
    struct sc_picture p = {0};
    struct sc_curves none = {0};
    struct sc_size_plot size = {.threshold = NAN};
    struct sc_threshold_sweep sweep = {.n = 0};
    CHECK_U64(sc_picture_assignment(&(struct sc_cells){0}, NULL, &p, &out, NULL), 0);
    CHECK_U64(sc_picture_errors(&(struct sc_error_map){0}, &p, &out, NULL), 0);
    CHECK_U64(sc_picture_size(&size, &p, &out, NULL), 0);
    CHECK_U64(sc_picture_frontiers(NULL, 0, SC_MIX_PCC, &p, &out, NULL), 0);
    CHECK_U64(sc_picture_trials(NULL, 0, &(struct sc_mix_goal){0}, 0, &p, &out, NULL), 0);
    CHECK_U64(sc_picture_sweep(&sweep, SC_MIX_PCC, &p, &out, NULL), 0);
    CHECK_U64(sc_picture_sweeps(&sweep, 1, true, SC_MIX_PCC, &p, &out, NULL), 0);
    CHECK_U64(sc_picture_curves(&none, &p, &out, NULL), 0);
    CHECK_U64(sc_picture_transfer(&none, &p, &out, NULL), 0);
    CHECK_U64(sc_picture_error_histogram(&none, &p, &out, NULL), 0);
    CHECK_U64(out.n, 0);
    sc_buf_clear(&out);
}

TEST(names_become_names_of_files)
{
    static const char *const pairs[][2] = {{"model.layers.0.weight", "model.layers.0.weight"},
                                           {"a/b c", "a_b_c"},
                                           {"a//b", "a_b"},
                                           {"__a__b__", "a__b"},
                                           {"../../etc/passwd", "etc_passwd"},
                                           {"..", "tensor"},
                                           {"", "tensor"},
                                           {"\xff\xfe", "tensor"}};
    for (size_t i = 0; i < SC_COUNT(pairs); i++) {
        struct sc_buf out = {0};
        sc_picture_slug(sc_strz(pairs[i][0]), &out);
        CHECK_STR(out.p, pairs[i][1]);
        sc_buf_clear(&out);
    }
}

TEST(every_allocation_of_a_picture_may_fail)
{
    struct drawing d;
    REQUIRE(fill(&d));
    for (int i = 0; i < PICTURES; i++)
        for (uint64_t k = 0;; k++) {
            struct sc_buf out = {0};
            struct sc_picture p = {.subject = SC_STR("t"), .width = 400};
            sc_oom_fail_at(k);
            int code = draw_one(&d, i, &p, &out, NULL);
            bool reached = sc_oom_failed() > 0;
            sc_oom_off();
            sc_buf_clear(&out);
            CHECK(code == 1 || code == SCRUPLE_EMEMORY);
            CHECK(reached || code == 1);
            if (!reached)
                break;
            k += k > 40 ? k / 8 : 0; /* early ones all, later ones here and there */
        }
    clear(&d);
}

TEST(write_pictures)
{
    const char *dir = getenv("SCRUPLE_TEST_PAGES");
    struct drawing d;
    unsigned formats = SC_PLOT_SVG | SC_PLOT_PNG;
    struct sc_plots_written w = {0};
    if (!dir)
        return;
    REQUIRE(fill(&d));
    for (int i = 0; i < PICTURES; i++)
        for (int narrow = 0; narrow < 2; narrow++) {
            struct sc_buf out = {0};
            struct sc_picture p = {.subject = SC_STR("model.layers.3.mlp.down_proj.weight"),
                                   .width = narrow ? 400 : 0};
            char name[64];
            snprintf(name, sizeof name, "%s%s", names[i], narrow ? "-narrow" : "");
            CHECK_U64(draw_one(&d, i, &p, &out, NULL), 1);
            CHECK_ERR(0, sc_picture_write(dir, name, sc_str(out.p, out.n), &formats, &w, NULL));
            sc_buf_clear(&out);
        }
    clear(&d);
}

/* ------------------------------------------------------------------------------------- pages ---
 */
static int collect(void *ctx, const char *p, size_t n)
{
    struct sc_buf *b = ctx;
    sc_buf_put(b, p, n);
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

static struct sc_buf quant_page(const struct sc_quant_page *p)
{
    struct sc_buf page = {0};
    struct sc_out o = {.write = collect, .ctx = &page};
    CHECK_ERR(0, sc_report_quant_page(&o, p, NULL));
    sc_out_finish(&o);
    return page;
}

/* Pages for tests/py/test_quality_pages.py, and beside each what must come out of it. */
TEST(write_pages)
{
    const char *dir = getenv("SCRUPLE_TEST_PAGES");
    struct drawing d;
    struct sc_cells large;
    if (!dir)
        return;
    REQUIRE(fill(&d) && fake_cells(&large, 1, 7168, 18432));
    struct sc_mix_totals chosen = fake_totals(&d.cells, d.format);
    int8_t *format = calloc(large.n, 1);
    REQUIRE(format);
    struct sc_quant_page_tensor tensors[] = {
        {.name = SC_STR("model.layers.3.mlp.</script><b>evil.weight"),
         .cells = &d.cells,
         .chosen = d.format,
         .chosen_totals = &chosen,
         .points = d.points,
         .n_points = SC_COUNT(d.points),
         .frontier = d.frontier,
         .n_frontier = SC_COUNT(d.frontier)},
        {.name = SC_STR("model.layers.0.mlp.down_proj.weight"), .cells = &large},
    };
    struct sc_quant_page p = {
        SC_STR("example/model <&>"), {SC_MIX_PCC, 0.99}, "threshold", tensors, 2};
    struct sc_buf page = quant_page(&p), path = {0};
    sc_buf_printf(&path, "%s/quant.html", dir);
    FILE *f = fopen(path.p, "wb");
    REQUIRE(f);
    fwrite(page.p, 1, page.n, f);
    fclose(f);
    sc_buf_clear(&page);
    path.n = 0;
    sc_buf_printf(&path, "%s/quant.txt", dir);
    f = fopen(path.p, "w");
    REQUIRE(f);
    static const struct {
        enum sc_mix_metric metric;
        double threshold;
    } goals[] = {{SC_MIX_PCC, 0.9},   {SC_MIX_PCC, 0.99},  {SC_MIX_PCC, 0.9999},
                 {SC_MIX_MAE, 1e-3},  {SC_MIX_MAE, 1e-4},  {SC_MIX_ATOL, 1e-2},
                 {SC_MIX_ATOL, 1e-3}, {SC_MIX_SQNR, 20.5}, {SC_MIX_SQNR, 60}};
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < SC_COUNT(goals); i++) {
            const struct sc_cells *c = t ? &large : &d.cells;
            fake_threshold(c, goals[i].metric, goals[i].threshold, format);
            struct sc_mix_totals all = fake_totals(c, format);
            fprintf(f, "%zu %s %.17g %" PRIu64 " %.17g %.17g %.17g %.17g", t,
                    sc_mix_metrics[goals[i].metric], goals[i].threshold, all.bytes,
                    all.one_minus_pcc, all.mae, all.atol, all.sqnr_db);
            for (size_t k = 0; k < FAKE_FORMATS; k++)
                fprintf(f, " %s:%" PRIu64, c->formats[k].name, all.cells[k]);
            fprintf(f, "\n");
        }
    fclose(f);
    sc_buf_clear(&path);
    free(format);
    fake_cells_clear(&large);
    clear(&d);
}
