/* SPDX-License-Identifier: Apache-2.0 */
/* No memory: allocation number k fails, for every k, alone or with all that follow, while a model
 * of each format is opened and while its documents are made and printed. The answer is
 * SCRUPLE_EMEMORY with a sentence, or, where something else would do as well, exactly what is said
 * with all memory there. A sanitizer adds that nothing leaks. */
#include "test.h"

#include "oom.h"
#include "support.h"

#include <jansson.h>

#include "analyze/analyze.h"
#include "analyze/quant.h"
#include "report/report.h"

enum { SWEEP_MAX = 200000 };

struct job {
    int (*run)(struct job *j, struct sc_error *e);
    char path[1024];
    struct sc_open_options options;
    struct sc_model *model;     /* of jobs that start with one */
    const char *const *filters; /* (n_filters) */
    size_t n_filters;
    uint64_t said; /* hash of everything that was said */
};

/* ------------------------------------------------------------------------- what was said --- */
static int hash_text(void *ctx, const char *p, size_t n)
{
    uint64_t *h = ctx;
    for (size_t i = 0; i < n; i++)
        *h = (*h ^ (unsigned char)p[i]) * UINT64_C(1099511628211);
    return 0;
}

static int say_json(struct job *j, const struct sc_document *d)
{
    struct sc_out out = {.write = hash_text, .ctx = &j->said};
    sc_report_json(&out, d);
    return sc_out_finish(&out);
}

static int say_tables(struct job *j, const struct sc_document *d)
{
    const struct sc_term term = {.colour = true, .ascii = true, .width = 80};
    struct sc_out out = {.write = hash_text, .ctx = &j->said};
    for (const struct sc_field *f = d->root.as.children.first; f; f = f->next) {
        if (f->kind == SC_FIELD_TABLE) {
            sc_report_table(&out, f->as.table, &term);
            sc_report_csv(&out, f->as.table);
        } else if (f->kind == SC_FIELD_OBJECT) {
            sc_report_fields(&out, f, &term);
        }
    }
    return sc_out_finish(&out);
}

/* Prints a finished document in every way and gives it up. */
static int say(struct job *j, struct sc_document *d, int code, struct sc_error *e)
{
    if (code == 0 && say_json(j, d) < 0)
        code = sc_fail_memory(e);
    if (code == 0 && say_tables(j, d) < 0)
        code = sc_fail_memory(e);
    sc_document_clear(d);
    return code;
}

/* ---------------------------------------------------------------------------------- jobs --- */
static int run_open(struct job *j, struct sc_error *e)
{
    struct sc_model *m = NULL;
    const int code = sc_model_open(j->path, &j->options, &m, e);
    if (code == 0) {
        hash_text(&j->said, (const char *)&m->n_tensors, sizeof m->n_tensors);
        hash_text(&j->said, (const char *)&m->catalog->n_findings, sizeof m->catalog->n_findings);
        hash_text(&j->said, (const char *)&m->n_nodes, sizeof m->n_nodes);
        for (size_t i = 0; i < m->n_tensors; i++)
            hash_text(&j->said, m->tensors[i].name, m->tensors[i].name_len);
    }
    sc_model_close(m);
    return code;
}

static int run_tree(struct job *j, struct sc_error *e)
{
    struct sc_outline_options options = {0};
    struct sc_outline outline = {0};
    struct sc_filter *filter = NULL;
    struct sc_document d;

    int code = sc_filter_new(j->filters, j->n_filters, &filter, e);
    options.filter = filter;
    if (code == 0)
        code = sc_outline_make(j->model, &options, &outline, e);
    sc_document_start(&d, SC_SCHEMA_TREE);
    if (code == 0)
        code = sc_analyze_tree(&d, &d.root, j->model, &outline, &options, e);
    code = say(j, &d, code, e);
    sc_outline_clear(&outline);
    sc_filter_free(filter);
    return code;
}

/* No tensor is measured: what is left are the columns and objects around figures. */
static int run_tree_quality(struct job *j, struct sc_error *e)
{
    static const struct sc_quant_plan plan = {.algorithm = SC_ALGORITHM_NONE};
    const struct sc_outline_options options = {.members = true};
    struct sc_quant q = {.model = j->model, .plan = &plan, .measured = {.n = 2}};
    struct sc_outline outline = {0};
    int code = 0;

    memcpy(q.measured.f[0].name, "bfp8", 5);
    memcpy(q.measured.f[1].name, "int4:group=32", 14);
    for (int flat = 0; flat < 2 && code == 0; flat++) {
        const struct sc_tree_look look = {&q, false, flat};
        struct sc_document d;
        code = sc_outline_make(j->model, &options, &outline, e);
        sc_document_start(&d, SC_SCHEMA_TREE);
        if (code == 0)
            code = sc_analyze_tree_quality(&d, &d.root, j->model, &outline, &options, &look, e);
        code = say(j, &d, code, e);
        sc_outline_clear(&outline);
    }
    return code;
}

static int run_info(struct job *j, struct sc_error *e)
{
    struct sc_document d;
    sc_document_start(&d, SC_SCHEMA_INFO);
    const int code = sc_analyze_info(&d, &d.root, j->model, e);
    return say(j, &d, code, e);
}

static int run_check(struct job *j, struct sc_error *e)
{
    struct sc_document d;
    sc_document_start(&d, SC_SCHEMA_CHECK);
    const int code = sc_analyze_check(&d, &d.root, j->model, e);
    return say(j, &d, code, e);
}

static int run_api(struct job *j, struct sc_error *e)
{
    static const char *const commands[] = {"tree", "info", "check"};
    struct scruple_message message = {""};
    scruple_model *m = NULL;
    int code = scruple_open(j->path, &m, &message);
    for (size_t i = 0; code == 0 && i < SC_COUNT(commands); i++) {
        char *json = NULL;
        code = scruple_report_json(m, commands[i], &json, &message);
        if (code == 0)
            hash_text(&j->said, json, strlen(json));
        else
            CHECK(!json);
        scruple_free(json);
    }
    scruple_close(m);
    if (code < 0)
        sc_fail(e, code, "%s", message.text);
    return code;
}

/* --------------------------------------------------------------------------------- sweep --- */
void *__real_malloc(size_t n); /* the linker's name for the true one, see oom.c */

/* jansson cannot be made to fail: when the buffer of a string of 16 bytes or more does not grow,
 * its scanner (2.14) drops the byte and goes on, and without the closing quote it runs off the end
 * of the heap block. */
static void arm(uint64_t k, bool sticky)
{
    if (sticky)
        sc_oom_fail_from(k);
    else
        sc_oom_fail_at(k);
    json_set_alloc_funcs(__real_malloc, free);
}

static int attempt(struct job *j, struct sc_error *e)
{
    *e = (struct sc_error){0};
    j->said = UINT64_C(14695981039346656037);
    return j->run(j, e);
}

/* `want` and `said`: what it was with all memory there, which can be a refusal. */
static void judge(const struct job *j, uint64_t k, bool sticky, int code, const struct sc_error *e,
                  int want, uint64_t said)
{
    const bool same = code == want && j->said == said;
    const bool refused = code == SCRUPLE_EMEMORY && e->code == code && strstr(e->text, "memory");
    if (same || refused)
        return;
    fprintf(stderr, "%s: allocation %llu%s: code %d, \"%s\"%s\n", j->path, (unsigned long long)k,
            sticky ? " and all after it" : "", code, e->text,
            code == 0 ? "; it succeeded, but said something else" : "");
    CHECK(same || refused);
}

/* Returns what the job says with all memory there. */
static int sweep(struct job *j, int (*run)(struct job *j, struct sc_error *e))
{
    struct sc_error e;
    j->run = run;
    const int want = attempt(j, &e);
    const uint64_t said = j->said;
    for (int sticky = 0; sticky < 2; sticky++) {
        bool reached = true;
        for (uint64_t k = 0; reached && !test_bad; k++) {
            arm(k, sticky);
            const int code = attempt(j, &e);
            reached = sc_oom_failed() > 0;
            sc_oom_off();
            judge(j, k, sticky, code, &e, want, said);
            CHECK(reached || k > 0); /* the sweep did something */
            CHECK(k < SWEEP_MAX);
        }
    }
    return want;
}

/* Everything there is to do with one model. */
static void sweep_all(const char *path, bool lenient)
{
    static const char *const filters[] = {"norm", "*.weight", "layers.0-1"};
    struct job j = {.options = {.lenient = lenient, .verify = true, .facts = true, .check = true}};
    struct sc_error e = {0};

    snprintf(j.path, sizeof j.path, "%s", path);
    if (sweep(&j, run_open) < 0)
        return;
    if (sc_model_open(j.path, &j.options, &j.model, &e) < 0)
        support_fail(e.text);
    sweep(&j, run_tree);
    if (strstr(path, "-tiny")) /* these columns do not depend on the kind of model */
        sweep(&j, run_tree_quality);
    j.filters = filters;
    j.n_filters = SC_COUNT(filters);
    sweep(&j, run_tree);
    sweep(&j, run_info);
    sweep(&j, run_check);
    sc_model_close(j.model);
}

/* Every folder below `folder` whose name starts with first..last. */
static size_t sweep_folders(const char *folder, char first, char last, bool lenient)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    if (!d)
        support_fail(folder);
    for (struct dirent *de; (de = readdir(d)) && !test_bad;) {
        char path[1024];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", folder, de->d_name);
        if (de->d_name[0] < first || de->d_name[0] > last || stat(path, &st) != 0 ||
            !S_ISDIR(st.st_mode))
            continue;
        sweep_all(path, lenient);
        n++;
    }
    closedir(d);
    return n;
}

TEST(fixtures_a_to_c)
{
    CHECK(sweep_folders(SC_FIXTURES, 'a', 'c', false) > 10);
}
TEST(fixtures_d_to_f)
{
    CHECK(sweep_folders(SC_FIXTURES, 'd', 'f', false) > 10);
}
TEST(fixtures_g_to_h)
{
    CHECK(sweep_folders(SC_FIXTURES, 'g', 'h', false) > 10);
}
TEST(fixtures_i_to_r)
{
    CHECK(sweep_folders(SC_FIXTURES, 'i', 'r', false) > 10);
}
TEST(fixtures_s_to_z)
{
    CHECK(sweep_folders(SC_FIXTURES, 's', 'z', false) > 10);
}
TEST(strangers)
{
    CHECK(sweep_folders(SC_FIXTURES "/strangers", 'a', 'z', false) > 10);
}
TEST(strangers_leniently)
{
    CHECK(sweep_folders(SC_FIXTURES "/strangers", 'a', 'z', true) > 10);
}
TEST(broken_index_leniently)
{
    sweep_all(SC_FIXTURES "/index-broken", true);
}
TEST(dangerous_pickle_leniently)
{
    sweep_all(SC_FIXTURES "/torch-evil", true);
}
TEST(file_by_name)
{
    sweep_all(SC_FIXTURES "/llama-sharded/model-00002-of-00003.safetensors", false);
}
TEST(index_by_name)
{
    sweep_all(SC_FIXTURES "/llama-sharded/model.safetensors.index.json", false);
}
TEST(files_of_other_programs)
{
    sweep_all(SC_TESTDATA "/torch/zip.pt", false);
    sweep_all(SC_TESTDATA "/torch/exotic.pt", false);
    sweep_all(SC_TESTDATA "/torch/exotic-legacy.pt", false);
    sweep_all(SC_TESTDATA "/torch/numpy-compressed.npz", false);
}
TEST(path_that_is_not_there)
{
    sweep_all(SC_FIXTURES "/no-such-model", false);
}

TEST(public_interface)
{
    struct job j = {.path = SC_FIXTURES "/llama-tiny"};
    CHECK_ERR(0, sweep(&j, run_api));
}
