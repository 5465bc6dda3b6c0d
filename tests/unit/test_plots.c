/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the pictures of a scan: every plot over ordinary, empty, huge and hostile figures. */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fake_scan.h"
#include "markup.h"
#include "oom.h"
#include "scratch.h"
#include "test.h"

/* fontconfig keeps what it read of the machine's fonts until the program ends. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig\n";
}

static struct sc_buf notes;

/* The picture, or an empty buffer where there is nothing to show. */
static struct sc_buf draw(const char *id, const struct sc_scan_view *v, size_t n,
                          const char *metric, size_t tensor, double width)
{
    struct sc_buf out = {0};
    struct sc_error e = {0};
    struct sc_plot_input in = {.views = v,
                               .n_views = n,
                               .tensor = tensor,
                               .metric = metric ? sc_plot_metric(metric) : NULL};
    notes.n = 0;
    int code = sc_plot_svg(sc_plot(id), &in, width, false, &out, &notes, &e);
    CHECK(code == 0 || code == 1);
    CHECK((code == 1) == (out.n > 0));
    if (out.n) {
        const char *problem = markup_problem(out.p);
        if (problem)
            fprintf(stderr, "%s: %s\n", id, problem);
        CHECK(problem == NULL);
    }
    return out;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; text && (text = strstr(text, what)); text++)
        n++;
    return n;
}

/* All plots of a view, all metrics and a tensor; returns how many had something to show. */
static size_t draw_all(const struct sc_scan_view *v, size_t n, double width)
{
    size_t shown = 0;
    for (size_t i = 0; i < sc_n_plots; i++) {
        bool by_metric = sc_plots[i].kind == SC_PLOT_METRIC;
        for (size_t m = 0; m < (by_metric ? sc_n_plot_metrics : 1); m++) {
            struct sc_buf out = draw(sc_plots[i].id, v, n, by_metric ? sc_plot_metrics[m].id : NULL,
                                     v->n / 2, width);
            shown += out.n > 0;
            sc_buf_clear(&out);
        }
    }
    sc_buf_clear(&notes);
    return shown;
}

TEST(ids_are_unique_and_found)
{
    for (size_t i = 0; i < sc_n_plots; i++)
        CHECK(sc_plot(sc_plots[i].id) == &sc_plots[i]);
    for (size_t i = 0; i < sc_n_plot_metrics; i++)
        CHECK(sc_plot_metric(sc_plot_metrics[i].id) == &sc_plot_metrics[i]);
    CHECK(sc_plot("nothing") == NULL && sc_plot_metric("nothing") == NULL);
}

TEST(a_dense_model_has_every_plot_but_the_experts)
{
    struct fake_scan f[2];
    for (int i = 0; i < 2; i++) {
        fake_decoder(&f[i], 16, 0, 256, 0.1 * i);
        fake_finish(&f[i], "example/dense");
    }
    struct sc_scan_view v[2] = {f[0].view, f[1].view};
    for (size_t i = 0; i < sc_n_plots; i++) {
        struct sc_buf out = draw(sc_plots[i].id, v, 2, "std", 5, 960);
        CHECK((out.n > 0) == (strcmp(sc_plots[i].id, "experts") != 0));
        sc_buf_clear(&out);
    }
    CHECK(draw_all(v, 2, 400) > 20);
    fake_free(&f[0]);
    fake_free(&f[1]);
}

TEST(a_moe_shows_its_experts)
{
    struct fake_scan f;
    fake_decoder(&f, 4, 8, 64, 0);
    fake_finish(&f, "example/moe");
    struct sc_buf out = draw("experts", &f.view, 1, "std", 0, 960);
    CHECK_U64(count(out.p, "<title>expert "), 4 * 8);
    CHECK_U64(count(out.p, "<title>expert 3, layer 1:"), 1);
    sc_buf_clear(&out);
    sc_buf_clear(&notes);
    fake_free(&f);
}

TEST(nothing_gives_nothing)
{
    struct fake_scan f = {0};
    fake_finish(&f, "");
    struct sc_scan_view v[2] = {f.view, f.view};
    CHECK_U64(draw_all(v, 1, 960), 0);
    /* Of two scans it can at least be said that they have nothing in common. */
    CHECK_U64(draw_all(v, 2, 960), 1);
    fake_free(&f);
}

TEST(a_tensor_that_was_not_measured_is_no_tensor)
{
    struct fake_scan f = {0};
    fake_tensor(&f, "model.layers.0.self_attn.q_proj.weight", 8, 8);
    fake_finish(&f, "x");
    CHECK_U64(draw_all(&f.view, 1, 960), 0);
    fake_free(&f);
}

TEST(one_tensor_is_enough)
{
    struct fake_scan f = {0};
    fake_measure(&f, "w", 16, 8, &(struct fake_look){1, 0, 1, 1, 1});
    fake_finish(&f, "one");
    CHECK(draw_all(&f.view, 1, 960) > 10);
    CHECK(draw_all(&f.view, 1, 320) > 10);
    fake_free(&f);
}

/* Every double of a tensor is the same; counts are wild, too. */
static void fill(struct sc_health *h, double v)
{
    struct sc_health *p = h;
    double *d = (double *)(void *)&p->basic.mean;
    for (size_t i = 0;
         i < (offsetof(struct sc_basic, holds) - offsetof(struct sc_basic, mean)) / sizeof *d; i++)
        d[i] = v;
    h->basic.histogram_edge = v;
    for (size_t i = 0; i < SC_LEVELS; i++)
        h->sparsity.level_percent[i] = v;
    h->sparsity.dead_rows_percent = h->sparsity.dead_columns_percent = v;
    struct sc_quantization *q = &h->quantization;
    q->extreme_outlier_percent = q->dynamic_range = q->sqnr_normal_db = v;
    q->per_tensor.sqnr_db = q->per_channel.sqnr_db = q->per_group.sqnr_db = v;
    struct sc_spectrum *s = &h->spectrum;
    s->condition = s->condition_random = s->condition_resolution = s->sigma_max = v;
    s->stable_rank = s->stable_rank_random = s->edge = s->noise_sigma = v;
    s->power_law = (struct sc_power_law){v, v, v, v, v, UINT64_MAX};
    s->esd_low = -v;
    s->esd_high = v;
    s->n_points = UINT32_MAX;
    s->signal_rank = s->energy_rank[0] = s->energy_rank[3] = UINT64_MAX;
    for (size_t i = 0; i < SC_SIGMA_POINTS; i++)
        s->point[i] = (float)v;
}

TEST(wild_figures_place_nothing_outside_of_numbers)
{
    static const double wild[] = {NAN,   INFINITY, -INFINITY, 0,      -1,
                                  1e308, -1e308,   5e-324,    1e-300, 1};
    for (size_t k = 0; k < SC_COUNT(wild); k++) {
        struct fake_scan f[2];
        for (int i = 0; i < 2; i++) {
            fake_decoder(&f[i], 3, 2, 32, 0);
            for (size_t t = 0; t < f[i].n; t++)
                if (i == 0 || t % 2)
                    fill(&f[i].health[t], wild[k]);
            fake_finish(&f[i], "wild");
        }
        struct sc_scan_view v[2] = {f[0].view, f[1].view}, back[2] = {f[1].view, f[0].view};
        draw_all(v, 2, 960);
        draw_all(back, 2, 300);
        fake_free(&f[0]);
        fake_free(&f[1]);
    }
}

TEST(singular_matrices_are_in_the_picture)
{
    struct fake_scan f = {0};
    for (int i = 0; i < 60; i++) {
        char name[64];
        snprintf(name, sizeof name, "model.layers.%d.self_attn.q_proj.weight", i);
        fake_measure(&f, name, 32, 32, &(struct fake_look){1, 0, 1, 1, i < 25 ? 0 : 1});
    }
    fake_finish(&f, "singular");
    struct sc_buf out = draw("condition", &f.view, 1, NULL, 0, 960);
    CHECK_U64(count(out.p, ": ∞;"), 20); /* the tips of their bars */
    CHECK(strstr(notes.p, "Shown are 55 of 60 matrices, the worst first (25 singular in all).") !=
          NULL);
    sc_buf_clear(&out);
    out = draw("dashboard", &f.view, 1, NULL, 0, 960);
    CHECK(strstr(out.p, "25 tensors: infinite") != NULL);
    sc_buf_clear(&out);
    out = draw("layers", &f.view, 1, "condition", 0, 960);
    CHECK_U64(count(out.p, ": ∞"), 25);
    CHECK(count(out.p, "class=\"f-critical\"") >= 25);
    sc_buf_clear(&out);
    sc_buf_clear(&notes);
    fake_free(&f);
}

TEST(what_is_far_above_noise_is_not_hidden_by_square_matrices)
{
    struct fake_scan f = {0};
    for (int i = 0; i < 60; i++) {
        char name[64];
        snprintf(name, sizeof name, "model.layers.%d.self_attn.q_proj.weight", i);
        fake_measure(&f, name, 32, 32, &(struct fake_look){1, 0, 1, 1, 1});
        f.health[i].spectrum.condition = f.health[i].spectrum.condition_random = 5000;
    }
    fake_measure(&f, "model.layers.0.mlp.up_proj.weight", 128, 32,
                 &(struct fake_look){1, 0, 1, 1, 1});
    f.health[60].spectrum.condition = 400;
    f.health[60].spectrum.condition_random = 3;
    fake_finish(&f, "excess");
    struct sc_buf out = draw("condition", &f.view, 1, NULL, 0, 960);
    const char *odd = strstr(out.p, "up_proj: 400;"), *usual = strstr(out.p, "q_proj: 5000;");
    CHECK(odd != NULL && usual != NULL && odd < usual);
    sc_buf_clear(&out);
    sc_buf_clear(&notes);
    fake_free(&f);
}

TEST(zeros_have_a_lane_on_logarithmic_axes)
{
    struct fake_scan f;
    fake_decoder(&f, 4, 0, 64, 0);
    for (size_t i = 0; i < f.n; i += 2)
        f.health[i].quantization.extreme_outlier_percent = 0;
    fake_finish(&f, "zeros");
    size_t zeros = (f.n + 1) / 2;
    char want[64];
    snprintf(want, sizeof want, "%zu tensors: zero", zeros);
    struct sc_buf out = draw("dashboard", &f.view, 1, NULL, 0, 960);
    CHECK(strstr(out.p, want) != NULL);
    sc_buf_clear(&out);
    out = draw("quantization-risk", &f.view, 1, NULL, 0, 960);
    CHECK_U64(count(out.p, "extreme outliers 0 %, SQNR"), zeros);
    sc_buf_clear(&out);
    sc_buf_clear(&notes);
    fake_free(&f);
}

TEST(hostile_names_stay_text)
{
    static const char *const names[] = {
        "model.layers.0.self_attn.q_proj.weight\"/><script>alert(1)</script>",
        "model.layers.2000000000.mlp.up_proj.weight",
        "]]>&lt;<!--",
        "../../etc/passwd",
        "\x1b]0;x\x07\xff\xfe",
        "model.layers.1.\xe2\x80\xae.weight"};
    struct fake_scan f = {0};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        fake_measure(&f, names[i], 16, 16, &(struct fake_look){1, 0.01, 20, 1, 0});
    fake_finish(&f, "<img src=x onerror=alert(1)>");
    for (size_t i = 0; i < sc_n_plots; i++) {
        for (size_t t = 0; t < f.n; t++) {
            struct sc_buf out = draw(sc_plots[i].id, &f.view, 1, "std", t, 960);
            CHECK_U64(count(out.p, "<script"), 0);
            CHECK_U64(count(out.p, "<img"), 0);
            CHECK_U64(count(out.p, "\x1b"), 0);
            sc_buf_clear(&out);
        }
    }
    sc_buf_clear(&notes);
    fake_free(&f);
}

TEST(thousands_of_layers_are_put_together_and_it_is_said)
{
    struct fake_scan f = {0};
    char name[64];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "model.layers.%d.mlp.up_proj.weight", i * 400);
        fake_measure(&f, name, 4, 4,
                     &(struct fake_look){1 + i * 1e-3, 0.001, 3, 1, i == 77 ? 0 : 1});
    }
    fake_finish(&f, "deep");
    static const char *const ids[] = {"std", "layers", "condition", "quantization-risk"};
    for (size_t i = 0; i < SC_COUNT(ids); i++) {
        struct sc_buf out = draw(ids[i], &f.view, 1, "std", 0, 960);
        CHECK(out.n > 1000 && out.n < 400000);
        CHECK(notes.n > 0); /* what was left out */
        sc_buf_clear(&out);
    }
    /* Of the risks, each tensor is a mark or counted in a cell. */
    struct sc_buf out = draw("quantization-risk", &f.view, 1, NULL, 0, 960);
    size_t counted = 0;
    for (const char *p = out.p; p && (p = strstr(p, "<g><title>")); p++)
        counted += (size_t)strtoul(p + 10, NULL, 10);
    CHECK_U64(count(out.p, ": extreme outliers "), 300);
    CHECK_U64(counted, 5000 - 300);
    sc_buf_clear(&out);
    CHECK(draw_all(&f.view, 1, 400) > 10);
    fake_free(&f);
}

TEST(grids_hold_medians)
{
    struct fake_scan f = {0};
    static const double std[] = {5, 1, 3};
    char name[64];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "model.layers.4.mlp.experts.%d.up_proj.weight", i);
        fake_measure(&f, name, 4, 4, &(struct fake_look){std[i], 0, 1, 0, 1});
    }
    fake_measure(&f, "model.layers.9.mlp.up_proj.weight", 4, 4, &(struct fake_look){7, 0, 1, 0, 1});
    fake_measure(&f, "lm_head.weight", 4, 4, &(struct fake_look){2, 0, 1, 0, 1});
    fake_finish(&f, "grid");
    struct sc_grid g;
    struct sc_error e;
    REQUIRE(sc_grid_make(&f.view, sc_plot_metric("std"), SC_GRID_ROLES, 10, 10, &g, &e) == 0);
    CHECK_U64(g.n_columns, 3); /* none, 4, 9 */
    CHECK_U64(g.n_rows, 3);    /* output, up, up of experts */
    CHECK_U64(g.n_cells, 3);
    for (size_t i = 0; i < g.n_cells; i++) {
        if (g.cells[i].n == 3) {
            CHECK(g.rows[g.cells[i].row].expert);
            CHECK_NEAR(g.cells[i].median, 3, 1e-12);
            CHECK_NEAR(g.cells[i].low, 1, 1e-12);
            CHECK_NEAR(g.cells[i].high, 5, 1e-12);
        }
    }
    sc_grid_clear(&g);
    REQUIRE(sc_grid_make(&f.view, sc_plot_metric("std"), SC_GRID_ROLES, 2, 10, &g, &e) == 0);
    CHECK_U64(g.n_columns, 2);
    CHECK_U64(g.per_column, 2);
    sc_grid_clear(&g);
    fake_free(&f);
}

TEST(the_worst_come_first)
{
    struct fake_scan f;
    fake_decoder(&f, 8, 0, 64, 0);
    f.health[20].basic.nans = 1;
    fake_finish(&f, "order");
    uint32_t *order = calloc(f.n, sizeof *order);
    REQUIRE(order != NULL);
    CHECK_U64(sc_plot_worst(&f.view, order, NULL), 0);
    bool *seen = calloc(f.n, sizeof *seen);
    REQUIRE(seen != NULL);
    for (size_t i = 0; i < f.n; i++) {
        REQUIRE(order[i] < f.n && !seen[order[i]]);
        seen[order[i]] = true;
    }
    /* 20 has NaN, and one matrix is singular: the two errors. */
    CHECK(order[0] == 20 || order[1] == 20);
    free(order);
    free(seen);
    fake_free(&f);
}

TEST(comparisons_pair_tensors_by_what_they_are)
{
    struct fake_scan a = {0}, b = {0};
    struct fake_look look = {1, 0, 1, 1, 1}, other = {2, 0, 1, 1, 1};
    fake_measure(&a, "model.layers.3.mlp.down_proj.weight", 8, 8, &look);
    fake_measure(&a, "model.norm.weight", 1, 8, &look);
    fake_measure(&b, "blk.3.ffn_down.weight", 8, 8, &other); /* the same one in GGUF */
    fake_measure(&b, "blk.4.ffn_down.weight", 8, 8, &other);
    fake_finish(&a, "a");
    fake_finish(&b, "b");
    struct sc_scan_view v[2] = {a.view, b.view};
    struct sc_buf out = draw("comparison", v, 2, NULL, 0, 960);
    CHECK(strstr(notes.p,
                 "1 tensors are in both scans, 1 only in the first, 1 only in the second.") !=
          NULL);
    CHECK(strstr(out.p, "layers.3.mlp.down_proj: 1 → 2") != NULL);
    sc_buf_clear(&out);
    sc_buf_clear(&notes);
    fake_free(&a);
    fake_free(&b);
}

/* ------------------------------------------------------------------------------------ files --- */
static size_t sentences;
static void keep(void *ctx, const char *sentence)
{
    (void)ctx;
    sentences += *sentence != '\0';
}

TEST(files_land_in_the_folder_and_nowhere_else)
{
    struct fake_scan f = {0};
    static const char *const names[] = {"../../../etc/passwd", "..",        ".", "/tmp/x", "a\0b",
                                        "ok_name.weight",      "con:aux*?", "ä"};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        fake_measure(&f, names[i], 16, 16, &(struct fake_look){1, 0, 1, 1, 1});
    fake_finish(&f, "files");
    struct sc_plots_written w = {.note = keep};
    struct sc_error e = {0};
    REQUIRE(scratch_new());
    REQUIRE(scratch_folder("outer"));
    sentences = 0;
    CHECK_U64(sc_plots_write(scratch_at("outer/inner/plots"), &f.view, 1, SC_PLOT_SVG, 100, &w, &e),
              0);
    CHECK_U64(w.png, 0);
    CHECK(w.svg > 20);
    CHECK(sentences >= 1); /* there are no experts */
    DIR *d = opendir(scratch_at("outer/inner/plots"));
    REQUIRE(d != NULL);
    size_t files = 0;
    for (struct dirent *en; (en = readdir(d));) {
        if (!strcmp(en->d_name, ".") || !strcmp(en->d_name, ".."))
            continue;
        files++;
        CHECK_U64(
            strspn(en->d_name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"),
            strlen(en->d_name));
        CHECK(en->d_name[0] != '.');
    }
    closedir(d);
    CHECK_U64(files, w.svg);
    struct stat st;
    CHECK(stat(scratch_at("outer/inner/plots/esd-ok_name.weight.svg"), &st) == 0);
    CHECK(stat(scratch_at("outer/inner/plots/dashboard.svg"), &st) == 0 && st.st_size > 1000);
    scratch_remove();
    fake_free(&f);
}

TEST(a_folder_that_cannot_be_made_is_an_error)
{
    struct fake_scan f;
    fake_decoder(&f, 1, 0, 32, 0);
    fake_finish(&f, "x");
    struct sc_plots_written w = {0};
    struct sc_error e = {0};
    REQUIRE(scratch_new());
    REQUIRE(scratch_file("file", "x", 1));
    CHECK_ERR(SCRUPLE_EWRITE,
              sc_plots_write(scratch_at("file/below"), &f.view, 1, SC_PLOT_SVG, 1, &w, &e));
    CHECK(strstr(e.text, "file/below") != NULL);
    scratch_remove();
    fake_free(&f);
}

TEST(png_is_made_where_the_libraries_are)
{
    struct fake_scan f;
    struct sc_buf png = {0};
    struct sc_error e = {0};
    fake_decoder(&f, 2, 0, 32, 0);
    fake_finish(&f, "png");
    struct sc_buf svg = draw("dashboard", &f.view, 1, NULL, 0, 600);
    int code = sc_png_from_svg(sc_str(svg.p, svg.n), &png, &e);
    if (code < 0) {
        CHECK_ERR(SCRUPLE_EUNSUPPORTED, code);
        CHECK(strstr(e.text, "librsvg") != NULL);
    } else {
        REQUIRE(png.n > 1000);
        CHECK(memcmp(png.p, "\x89PNG\r\n\x1a\n", 8) == 0);
        unsigned w = (unsigned char)png.p[18] << 8 | (unsigned char)png.p[19];
        CHECK(w >= 2 * 648 && w <= 2 * 650); /* the margins of a file, and rounding */
    }
    CHECK(sc_png_from_svg(SC_STR("<svg width=\"99999999\" height=\"5\">"), &png, &e) < 0);
    CHECK(sc_png_from_svg(SC_STR("no picture"), &png, &e) < 0);
    sc_buf_clear(&svg);
    sc_buf_clear(&png);
    sc_buf_clear(&notes);
    fake_free(&f);
}

TEST(memory_that_runs_out_is_an_error_and_nothing_else)
{
    struct fake_scan f[2];
    for (int i = 0; i < 2; i++) {
        fake_decoder(&f[i], 2, 2, 32, 0.1 * i);
        fake_finish(&f[i], "memory");
    }
    struct sc_scan_view v[2] = {f[0].view, f[1].view};
    for (size_t i = 0; i < sc_n_plots; i++) {
        struct sc_plot_input in = {
            .views = v, .n_views = 2, .tensor = 3, .metric = sc_plot_metric("std")};
        for (uint64_t k = 0;; k += 1 + k / 16) {
            struct sc_buf out = {0};
            sc_oom_fail_at(k);
            int code = sc_plot_svg(&sc_plots[i], &in, 500, false, &out, NULL, NULL);
            bool reached = sc_oom_failed() > 0;
            sc_oom_off();
            sc_buf_clear(&out);
            if (!reached) {
                CHECK(code == 1);
                break;
            }
            CHECK(code == SCRUPLE_EMEMORY);
        }
    }
    fake_free(&f[0]);
    fake_free(&f[1]);
}
