/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the page of a scan. What browsers and other readers make of it is looked at by
 * tests/py/test_report_pages.py, for which write_pages leaves some in $SCRUPLE_TEST_PAGES. */
#include <jansson.h>
#include <stdlib.h>

#include "fake_scan.h"
#include "oom.h"
#include "report/html.h"
#include "test.h"

static int collect(void *ctx, const char *p, size_t n)
{
    struct sc_buf *b = ctx;
    sc_buf_put(b, p, n);
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

static struct sc_buf page_of(const struct sc_scan_view *v, size_t n, int want)
{
    struct sc_buf page = {0};
    struct sc_out o = {.write = collect, .ctx = &page};
    struct sc_error e = {0};
    int code = sc_report_html(&o, v, n, &e);
    CHECK_ERR(want, code);
    if (code != want)
        fprintf(stderr, "%s\n", e.text);
    sc_out_finish(&o);
    return page;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; text && (text = strstr(text, what)); text++)
        n++;
    return n;
}

/* The data of the page's script, which every page has. */
static json_t *data_of(const struct sc_buf *page)
{
    static const char mark[] = "<script type=\"application/json\" id=\"data\">";
    const char *start = page->p ? strstr(page->p, mark) : NULL;
    if (!start)
        return NULL;
    start += sizeof mark - 1;
    const char *end = strstr(start, "</script>");
    json_error_t why;
    json_t *data = end ? json_loadb(start, (size_t)(end - start), 0, &why) : NULL;
    if (end && !data)
        fprintf(stderr, "data: %s at %d\n", why.text, why.position);
    return data;
}

static int refuse(void *ctx, const char *p, size_t n)
{
    (void)ctx, (void)p, (void)n;
    return SCRUPLE_EWRITE;
}

/* The output keeps what became of writing, and whoever opened it tells so once. */
TEST(a_full_disk_is_told_by_the_output)
{
    struct sc_out o = {.write = refuse};
    struct sc_error e = {0};
    struct fake_scan f;
    fake_decoder(&f, 1, 2, 16, 0);
    fake_finish(&f, "full");
    CHECK_ERR(0, sc_report_html(&o, &f.view, 1, &e));
    CHECK_ERR(SCRUPLE_EWRITE, sc_out_finish(&o));
    fake_free(&f);
}

TEST(every_number_of_the_summary_is_counted)
{
    struct fake_scan f;
    fake_decoder(&f, 4, 0, 64, 0);
    f.health[7].basic.nans = 5;
    f.health[9].basic.infinities = 2;
    fake_finish(&f, "example/counted");
    size_t errors = 0, warnings = 0;
    for (size_t i = 0; i < f.issues.n; i++) {
        errors += f.issues.p[i].severity == SC_ERROR;
        warnings += f.issues.p[i].severity == SC_WARNING;
    }
    struct sc_buf page = page_of(&f.view, 1, 0);
    char want[128];
    snprintf(want, sizeof want, "%zu errors and %zu warning%s. ", errors, warnings,
             warnings == 1 ? "" : "s");
    CHECK(strstr(page.p, want) != NULL);
    snprintf(want, sizeof want, "<b>%zu</b><span>of %zu</span>", f.n, f.n);
    CHECK(strstr(page.p, want) != NULL);
    CHECK(strstr(page.p, "NaN and infinite values</dt><dd><b>7</b>") != NULL);
    CHECK(strstr(page.p, "Singular matrices</dt><dd><b>1</b>") != NULL);
    CHECK_U64(count(page.p, "<tr data-severity="), f.issues.n);
    sc_buf_clear(&page);
    fake_free(&f);
}

TEST(a_healthy_model_is_said_to_be_one)
{
    struct fake_scan f = {0};
    fake_measure(&f, "w", 64, 32, &(struct fake_look){1, 0, 1, 1, 1});
    fake_finish(&f, "fine");
    f.issues.n = 0;
    struct sc_buf page = page_of(&f.view, 1, 0);
    CHECK(strstr(page.p, "No errors and no warnings in 1 measured tensor.") != NULL);
    CHECK(strstr(page.p, "No rule has found anything.") != NULL);
    sc_buf_clear(&page);
    fake_free(&f);
}

TEST(nothing_makes_a_page_too)
{
    struct fake_scan f = {0};
    fake_finish(&f, "");
    struct sc_buf page = page_of(&f.view, 1, 0);
    CHECK(strstr(page.p, "Nothing was measured.") != NULL);
    json_t *data = data_of(&page);
    CHECK(data != NULL);
    CHECK_U64(json_array_size(json_object_get(data, "tensors")), 0);
    json_decref(data);
    f.view.issues = NULL;
    f.view.groups = NULL;
    sc_buf_clear(&page);
    page = page_of(&f.view, 1, 0);
    CHECK(strstr(page.p, "No rules were applied") != NULL);
    sc_buf_clear(&page);
    fake_free(&f);
}

TEST(foreign_text_cannot_become_markup)
{
    static const char evil[] =
        "</script><script>alert(1)</script><!--\"'&\x1b]0;\x07\xff\xe2\x80\xa8";
    struct fake_scan f = {0};
    fake_measure(&f, evil, 8, 8, &(struct fake_look){1, 0.1, 30, 1, 0});
    fake_finish(&f, evil);
    snprintf(f.issues.p[0].message, sizeof f.issues.p[0].message, "%s", evil);
    f.tensors[0].dtype = evil;
    memcpy(f.health[0].basic.holds, "</script><!--\"x", 16);
    struct sc_document d;
    sc_document_start(&d, "x/1");
    sc_add_textz(&d, &d.root, evil, evil);
    f.view.facts = &d.root;
    struct sc_buf page = page_of(&f.view, 1, 0);
    CHECK_U64(count(page.p, "<script"), 3); /* data, tools and code */
    CHECK_U64(count(page.p, "</script"), 3);
    CHECK_U64(count(page.p, "<!--"), 0);
    CHECK_U64(count(page.p, "\x1b"), 0);
    CHECK(sc_utf8_valid(sc_str(page.p, page.n)));
    json_t *data = data_of(&page);
    REQUIRE(data != NULL);
    const char *name = json_string_value(
        json_object_get(json_array_get(json_object_get(data, "tensors"), 0), "name"));
    CHECK(name && strstr(name, "</script><script>alert(1)</script><!--\"'&\\u{1b}") == name);
    json_decref(data);
    sc_document_clear(&d);
    sc_buf_clear(&page);
    fake_free(&f);
}

TEST(data_has_the_figures_and_their_holes)
{
    struct fake_scan f = {0};
    fake_measure(&f, "model.layers.0.self_attn.q_proj.weight", 16, 16,
                 &(struct fake_look){0.125, 0, 1, 1, 0});
    fake_measure(&f, "model.norm.weight", 1, 16, &(struct fake_look){1, 0, 1, 0, 1});
    fake_tensor(&f, "unread", 4, 4);
    f.health[1].basic.kurtosis = NAN;
    f.health[1].basic.nans = UINT64_MAX;
    fake_finish(&f, "figures");
    struct sc_buf page = page_of(&f.view, 1, 0);
    json_t *data = data_of(&page);
    REQUIRE(data != NULL);
    json_t *tensors = json_object_get(data, "tensors");
    CHECK_U64(json_array_size(tensors), 3);
    CHECK_U64(json_array_size(json_object_get(data, "groups")), 3);
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        json_t *t = json_array_get(tensors, i), *m = json_object_get(t, "m");
        json_int_t at = json_integer_value(json_object_get(t, "i"));
        json_t *basic = json_array_get(m, 0), *spectral = json_array_get(m, 2);
        if (at == 0) { /* "Infinity" is the condition number of a singular matrix */
            CHECK_NEAR(json_number_value(json_array_get(basic, 2)), 0.125, 1e-7);
            CHECK_STR(json_string_value(json_array_get(spectral, 0)), "gram");
            CHECK_STR(json_string_value(json_array_get(spectral, 1)), "Infinity");
            CHECK(json_object_get(t, "e") && json_object_get(t, "h"));
        } else if (at == 1) {
            CHECK(json_is_null(json_array_get(basic, 7)) && json_is_null(json_array_get(basic, 9)));
            CHECK(json_is_null(spectral) && !json_object_get(t, "e"));
        } else {
            CHECK(json_is_null(basic) && !json_object_get(t, "h"));
        }
    }
    json_decref(data);
    sc_buf_clear(&page);
    fake_free(&f);
}

TEST(a_huge_model_is_cut_and_it_is_said)
{
    struct fake_scan f = {0};
    char name[80];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.up_proj.weight", i / 50,
                 i % 50);
        fake_measure(&f, name, 8, 8, &(struct fake_look){1, 0.01, 3, 1, 1});
    }
    f.health[4321].basic.nans = 1;
    fake_finish(&f, "huge");
    CHECK(f.issues.n >= 5000);
    struct sc_buf page = page_of(&f.view, 1, 0);
    CHECK(page.n < 10000000);
    CHECK(strstr(page.p, "figures of 2000 of 5000 tensors") != NULL);
    CHECK_U64(count(page.p, "<tr data-severity="), SC_HTML_ISSUES);
    json_t *data = data_of(&page);
    REQUIRE(data != NULL);
    json_t *tensors = json_object_get(data, "tensors");
    CHECK_U64(json_array_size(tensors), SC_HTML_TENSORS);
    CHECK_U64(json_integer_value(json_object_get(json_array_get(tensors, 0), "i")), 4321);
    json_decref(data);
    sc_buf_clear(&page);
    fake_free(&f);
}

TEST(the_same_scan_gives_the_same_bytes)
{
    struct sc_buf page[2];
    for (int i = 0; i < 2; i++) {
        struct fake_scan f;
        fake_decoder(&f, 3, 4, 32, 0);
        fake_finish(&f, "same");
        page[i] = page_of(&f.view, 1, 0);
        fake_free(&f);
    }
    CHECK_U64(page[0].n, page[1].n);
    CHECK(page[0].n && !memcmp(page[0].p, page[1].p, SC_MIN(page[0].n, page[1].n)));
    sc_buf_clear(&page[0]);
    sc_buf_clear(&page[1]);
}

TEST(memory_that_runs_out_is_an_error)
{
    struct fake_scan f;
    fake_decoder(&f, 1, 2, 16, 0);
    fake_finish(&f, "memory");
    for (uint64_t k = 0;; k += 1 + k / 8) {
        struct sc_buf page = {0};
        struct sc_out o = {.write = collect, .ctx = &page};
        struct sc_error e = {0};
        sc_oom_fail_at(k);
        int code = sc_report_html(&o, &f.view, 1, &e);
        bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        sc_out_finish(&o);
        sc_buf_clear(&page);
        if (!reached) {
            CHECK_ERR(0, code);
            break;
        }
        CHECK_ERR(SCRUPLE_EMEMORY, code);
    }
    fake_free(&f);
}

TEST(the_page_has_the_same_colours)
{
    struct sc_str css = sc_str((const char *)sc_asset_report_css, sc_asset_report_css_size);
    char *text = sc_str_copy(css);
    REQUIRE(text != NULL);
    for (size_t i = SC_INK_SURFACE; i < SC_INK_COUNT; i++) {
        char line[64];
        size_t light = 0, dark = 0;
        snprintf(line, sizeof line, "  --%s: %s;", sc_inks[i].name, sc_inks[i].light);
        for (const char *p = text; (p = strstr(p, line)); p++)
            light++;
        snprintf(line, sizeof line, "  --%s: %s;", sc_inks[i].name, sc_inks[i].dark);
        for (const char *p = text; (p = strstr(p, line)); p++)
            dark++;
        bool same = !strcmp(sc_inks[i].light, sc_inks[i].dark);
        CHECK_U64(light, same ? 4 : 2); /* screen and print */
        CHECK_U64(dark, same ? 4 : 2);  /* by the system, by the button */
        snprintf(line, sizeof line, ".f-%s { fill: var(--%s); }", sc_inks[i].name, sc_inks[i].name);
        CHECK(strstr(text, line) != NULL);
    }
    free(text);
}

static void write_page(const char *dir, const char *name, const struct sc_scan_view *v, size_t n)
{
    struct sc_buf page = page_of(v, n, 0);
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.html", dir, name);
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL);
    CHECK_U64(fwrite(page.p, 1, page.n, file), page.n);
    CHECK_U64(fclose(file), 0);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    struct sc_plots_written w = {0};
    struct sc_error e = {0};
    CHECK_ERR(0, sc_plots_write(path, v, n, SC_PLOT_SVG, 4, &w, &e));
    CHECK(w.svg > 5);
    sc_buf_clear(&page);
}

TEST(write_pages)
{
    const char *dir = getenv("SCRUPLE_TEST_PAGES");
    struct fake_scan f[3];
    if (!dir)
        return;
    fake_decoder(&f[0], 16, 0, 256, 0);
    f[0].health[12].basic.nans = 3;
    fake_finish(&f[0], "example/dense");
    fake_decoder(&f[1], 16, 0, 256, 0.08);
    fake_finish(&f[1], "example/dense-instruct");
    fake_decoder(&f[2], 4, 16, 64, 0);
    fake_measure(&f[2], "model.layers.1.</script><b>\"evil\" & 'odd'.weight", 16, 16,
                 &(struct fake_look){1, 0.1, 20, 1, 0});
    fake_finish(&f[2], "<i>example</i> & \"moe\"");
    struct sc_scan_view two[2] = {f[0].view, f[1].view};
    write_page(dir, "dense", &f[0].view, 1);
    write_page(dir, "two", two, 2);
    write_page(dir, "moe", &f[2].view, 1);
    for (int i = 0; i < 3; i++)
        fake_free(&f[i]);
}
