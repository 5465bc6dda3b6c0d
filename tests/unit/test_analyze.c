/* SPDX-License-Identifier: Apache-2.0 */
/* analyze: the documents of tree, info and check, for every fixture. */
#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "analyze/analyze.h"
#include "oom.h"
#include "report/report.h"
#include "test.h"

/* ------------------------------------------------------------------------------ scaffolding --- */
static int catch_text(void *ctx, const char *p, size_t n)
{
    struct sc_buf *b = ctx;

    sc_buf_put(b, p, n);
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

enum what { TREE, TREE_FILTERED, TREE_FLAT, INFO, CHECK_IT, N_WHAT };

/* One document of a model, as the text that --json prints. */
static int render(const struct sc_model *m, enum what what, struct sc_buf *text, struct sc_error *e)
{
    static const char *const word = "a";
    struct sc_out o = {.write = catch_text, .ctx = text};
    struct sc_outline_options oo = {.flat = what == TREE_FLAT};
    struct sc_outline outline = {0};
    struct sc_filter *filter = NULL;
    struct sc_document d;
    int code = 0;

    sc_document_start(&d, "test/1");
    if (what == TREE_FILTERED)
        code = sc_filter_new(&word, 1, &filter, e);
    oo.filter = filter;
    if (!code && what <= TREE_FLAT)
        code = sc_outline_make(m, &oo, &outline, e);
    if (!code)
        code = what == INFO       ? sc_analyze_info(&d, &d.root, m, e)
               : what == CHECK_IT ? sc_analyze_check(&d, &d.root, m, e)
                                  : sc_analyze_tree(&d, &d.root, m, &outline, &oo, e);
    if (!code) {
        sc_report_json(&o, &d);
        code = sc_out_finish(&o);
    }
    sc_buf_clear(&o.buf);
    sc_document_clear(&d);
    sc_outline_clear(&outline);
    sc_filter_free(filter);
    return code;
}

static json_t *parse(const struct sc_model *m, enum what what)
{
    struct sc_buf text = {0};
    struct sc_error e = {0};
    json_error_t why;

    CHECK_ERR(0, render(m, what, &text, &e));
    /* A name may hold NUL; metadata may hold integers that jansson's do not reach. */
    size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    flags |= what == INFO ? JSON_DECODE_INT_AS_REAL : 0;
    json_t *j = json_loads(text.p ? text.p : "", flags, &why);
    if (!j)
        fprintf(stderr, "%s: %s\n", m->label, why.text);
    CHECK(j != NULL);
    sc_buf_clear(&text);
    return j;
}

static uint64_t number(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static struct sc_model *open_fixture(const char *name)
{
    struct sc_open_options o = {.lenient = true, .facts = true};
    struct sc_model *m = NULL;
    struct sc_error e = {0};
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", SC_FIXTURES, name);
    return sc_model_open(path, &o, &m, &e) < 0 ? NULL : m;
}

/* Calls check() for every fixture that can be opened at all; returns how many. */
static size_t for_each_fixture(void (*check)(const struct sc_model *m))
{
    DIR *dir = opendir(SC_FIXTURES);
    size_t n = 0;

    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct sc_model *m = entry->d_name[0] == '.' || strchr(entry->d_name, '.')
                                 ? NULL
                                 : open_fixture(entry->d_name);
        if (!m)
            continue;
        check(m);
        sc_model_close(m);
        n++;
    }
    if (dir)
        closedir(dir);
    return n;
}

/* ---------------------------------------------------------------------------------- the tree ---
 */
static uint64_t sum(const json_t *rows, const char *key)
{
    uint64_t all = 0;

    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        /* Module rows repeat what stands below them. */
        if (!json_is_null(json_object_get(row, "dtype")))
            all += number(row, key);
    }
    return all;
}

static void check_tree(const struct sc_model *m)
{
    for (int what = TREE; what <= TREE_FLAT; what++) {
        json_t *j = parse(m, (enum what)what);
        const json_t *totals = json_object_get(j, "totals"), *rows = json_object_get(j, "rows");
        const json_t *tensors = json_object_get(j, "tensors");
        const json_t *dtypes = json_object_get(j, "dtypes");
        const json_t *of = what == TREE_FILTERED ? json_object_get(j, "matched") : totals;
        CHECK_U64(sum(rows, "total_bytes"), number(of, "bytes"));
        CHECK_U64(sum(tensors, "bytes"), number(of, "bytes"));
        CHECK_U64(sum(dtypes, "parameters"), number(totals, "parameters"));
        CHECK_U64(json_array_size(tensors), number(of, "logical_tensors"));
        CHECK_U64(sum(dtypes, "bytes"), number(totals, "bytes"));
        CHECK_U64(sum(dtypes, "tensors"), number(totals, "logical_tensors"));
        CHECK_U64(number(totals, "tensors"), m->catalog->n_entries);
        if (!m->catalog->n_errors) /* a truncated file has less than its tensors need */
            CHECK_U64(number(totals, "bytes") + number(totals, "header_bytes") +
                          number(totals, "other_bytes"),
                      number(totals, "file_bytes"));
        json_decref(j);
    }
}

TEST(rows_of_every_fixture_add_up_to_the_file)
{
    CHECK(for_each_fixture(check_tree) > 50);
}

/* Every stored tensor is told of exactly once. */
static void check_stored(const struct sc_model *m)
{
    json_t *j = parse(m, TREE_FLAT);
    const json_t *tensors = json_object_get(j, "tensors");
    size_t stored = 0;

    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *t = json_array_get(tensors, i);
        size_t parts = json_array_size(json_object_get(t, "stored"));
        CHECK(parts != 1);
        stored += parts ? parts : 1;
        CHECK(json_is_string(json_object_get(t, "layout")));
        CHECK(json_is_string(json_object_get(t, "role")));
        CHECK(json_is_string(json_object_get(t, "file")));
    }
    CHECK_U64(stored, m->catalog->n_entries);
    json_decref(j);
}

TEST(no_stored_tensor_is_lost)
{
    CHECK(for_each_fixture(check_stored) > 50);
}

/* ------------------------------------------------------------------------------ info and check ---
 */
static void check_others(const struct sc_model *m)
{
    json_t *info = parse(m, INFO), *check = parse(m, CHECK_IT);
    const json_t *summary = json_object_get(check, "summary");
    const char *verdict = json_string_value(json_object_get(check, "verdict"));

    CHECK_U64(json_array_size(json_object_get(info, "metadata")), m->catalog->n_metas);
    CHECK_U64(json_array_size(json_object_get(info, "files")), m->n_files);
    CHECK_U64(json_array_size(json_object_get(check, "findings")), m->catalog->n_findings);
    CHECK_U64(number(summary, "errors"), m->catalog->n_errors);
    CHECK_STR(verdict, m->catalog->n_errors     ? "errors"
                       : m->catalog->n_warnings ? "warnings"
                                                : "sound");
    json_decref(info);
    json_decref(check);
}

TEST(info_and_check_of_every_fixture)
{
    CHECK(for_each_fixture(check_others) > 50);
}

TEST(pickle_verdicts)
{
    static const struct {
        const char *fixture, *verdict;
    } cases[] = {{"torch-zip", "known"}, {"torch-evil", "dangerous"}, {"llama-tiny", NULL}};

    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_model *m = open_fixture(cases[i].fixture);
        REQUIRE(m);
        json_t *j = parse(m, INFO);
        CHECK_STR(json_string_value(json_object_get(json_object_get(j, "pickle"), "verdict")),
                  cases[i].verdict);
        json_decref(j);
        sc_model_close(m);
    }
}

TEST(what_cannot_be_opened_is_one_finding)
{
    struct sc_buf text = {0};
    struct sc_out o = {.write = catch_text, .ctx = &text};
    struct sc_error why, e = {0};
    struct sc_document d;

    sc_fail_at(&why, SCRUPLE_EFORMAT, 12, "x: broken");
    sc_document_start(&d, SC_SCHEMA_CHECK);
    CHECK_ERR(0, sc_analyze_unreadable(&d, &d.root, "a/x", &why, &e));
    sc_report_json(&o, &d);
    CHECK_ERR(0, sc_out_finish(&o));
    sc_document_clear(&d);
    CHECK(text.p &&
          strstr(text.p, "{\"severity\": \"error\", \"id\": \"model.unreadable\", \"file\": "
                         "\"a/x\", \"tensor\": null, \"offset\": 12, \"message\": "
                         "\"x: broken\"}"));
    CHECK(text.p && strstr(text.p, "\"verdict\": \"errors\""));
    sc_buf_clear(&text);
}

/* ------------------------------------------------------------------------------------ faults ---
 */
TEST(every_allocation_may_fail)
{
    struct sc_model *m = open_fixture("torch-evil");

    REQUIRE(m);
    for (int what = 0; what < N_WHAT; what++) {
        bool reached = true;
        for (uint64_t k = 0; reached && k < 2000; k++) {
            struct sc_buf text = {0};
            struct sc_error e = {0};
            sc_oom_fail_at(k);
            int code = render(m, (enum what)what, &text, &e);
            reached = sc_oom_failed() > 0;
            sc_oom_off();
            CHECK_ERR(reached ? SCRUPLE_EMEMORY : 0, code);
            sc_buf_clear(&text);
        }
        CHECK(!reached);
    }
    sc_model_close(m);
}
