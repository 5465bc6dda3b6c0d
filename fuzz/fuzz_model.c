/* SPDX-License-Identifier: Apache-2.0 */
/* model: files in, text out. The input is an archive (fuzz.h) that is opened strictly and
 * leniently; all three documents are made of it and printed in every way there is. Members that are
 * no files of the model, but what the user says, one word a line:
 *
 *   filter              which tensors to list
 *   include, exclude    globs for files
 *   selected            the file that was named, where it was not the folder */
#include "render.h"

#define WORDS_MAX 8

struct words {
    char text[512];
    const char *word[WORDS_MAX + 1]; /* NULL-terminated */
    size_t n;
};
struct request {
    struct words filter, include, exclude, selected;
};

static void read_words(const struct fuzz_archive *a, const char *member, struct words *w)
{
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->files[i].path, member) != 0)
            continue;
        const size_t n = SC_MIN(a->files[i].size, sizeof w->text - 1);
        memcpy(w->text, a->files[i].p, n);
        for (char *p = strtok(w->text, "\n"); p && w->n < WORDS_MAX; p = strtok(NULL, "\n"))
            if (strncmp(p, "re:", 3) != 0) /* libc's business, and slow */
                w->word[w->n++] = p;
        return;
    }
}

static void check_note(void *ctx, const char *sentence)
{
    (void)ctx;
    FUZZ_CHECK(sentence && sentence[0]);
}

/* The listing as JSON says what the model says. */
static void check_listing(const struct sc_model *m, const struct sc_outline *o,
                          const struct sc_document *d)
{
    json_t *json = fuzz_check_json(d, SC_SCHEMA_TREE);
    const json_t *tensors = json_object_get(json, "tensors");
    json_int_t bytes = 0;
    size_t i;
    json_t *t;

    if (!json) /* a number that jansson cannot hold */
        return;
    FUZZ_CHECK(json_array_size(tensors) == o->n_matched);
    FUZZ_CHECK(json_array_size(json_object_get(json, "rows")) == o->n_rows);
    FUZZ_CHECK(json_array_size(json_object_get(json, "findings")) == m->catalog->n_findings);
    json_array_foreach(tensors, i, t)
    {
        bytes += json_integer_value(json_object_get(t, "bytes"));
    }
    FUZZ_CHECK((uint64_t)bytes == o->matched_bytes);
    json_decref(json);
}

static void print_tree(const struct sc_model *m, const struct words *w, uint32_t choice,
                       const struct sc_term *term)
{
    struct sc_outline_options oo = {
        .depth = choice & 1 ? choice >> 1 & 3 : 0,
        .sort = choice & 8 ? SC_SORT_SIZE : SC_SORT_NAME,
        .flat = choice & 16,
    };
    struct sc_filter *filter = NULL;
    struct sc_outline outline = {0};
    struct sc_document d;
    struct sc_error e = {0};

    if (sc_filter_new(w->word, w->n, &filter, &e) < 0)
        fuzz_check_error(e.code, &e);
    oo.filter = filter;
    FUZZ_CHECK(sc_outline_make(m, &oo, &outline, &e) == 0);
    if (!filter) {
        FUZZ_CHECK(outline.n_matched == m->n_tensors);
        FUZZ_CHECK(outline.matched_bytes == m->bytes);
        FUZZ_CHECK(outline.matched_parameters == m->parameters);
    }
    fuzz_check_outline(m, &outline);
    sc_document_start(&d, SC_SCHEMA_TREE);
    FUZZ_CHECK(sc_analyze_tree(&d, &d.root, m, &outline, &oo, &e) == 0);
    if (!m->catalog->n_errors)
        check_listing(m, &outline, &d);
    fuzz_check_document(&d, SC_SCHEMA_TREE, term);
    sc_document_clear(&d);
    sc_outline_clear(&outline);
    sc_filter_free(filter);
}

static void print_rest(const struct sc_model *m, const struct sc_term *term)
{
    struct sc_document d;
    struct sc_error e = {0};

    sc_document_start(&d, SC_SCHEMA_INFO);
    FUZZ_CHECK(sc_analyze_info(&d, &d.root, m, &e) == 0);
    fuzz_check_document(&d, SC_SCHEMA_INFO, term);
    sc_document_clear(&d);
    sc_document_start(&d, SC_SCHEMA_CHECK);
    FUZZ_CHECK(sc_analyze_check(&d, &d.root, m, &e) == 0);
    fuzz_check_document(&d, SC_SCHEMA_CHECK, term);
    const struct sc_str verdict = sc_find_text(&d.root, "verdict");
    FUZZ_CHECK(sc_str_is(verdict, "errors") == (m->catalog->n_errors > 0));
    sc_document_clear(&d);
}

static void print_refusal(const struct sc_error *why, const struct sc_term *term)
{
    struct sc_document d;
    struct sc_error e = {0};

    sc_document_start(&d, SC_SCHEMA_CHECK);
    FUZZ_CHECK(sc_analyze_unreadable(&d, &d.root, "fuzz", why, &e) == 0);
    fuzz_check_document(&d, SC_SCHEMA_CHECK, term);
    sc_document_clear(&d);
}

static void open_model(struct fuzz_archive *a, const struct request *r, uint32_t choice,
                       bool lenient)
{
    const struct sc_term term = {
        .colour = choice & 32, .ascii = choice & 64, .width = choice & 128 ? 60 : 0};
    const struct sc_open_options o = {.include = r->include.word,
                                      .exclude = r->exclude.word,
                                      .lenient = lenient,
                                      .facts = choice & 256,
                                      .check = lenient && choice & 512,
                                      .note = check_note};
    struct sc_model *m;
    struct sc_error e = {0};
    const int code = sc_model_open_repo(fuzz_repo(a, r->selected.word[0]), &o, &m, &e);

    FUZZ_CHECK(!m == (code < 0));
    if (code < 0) {
        fuzz_check_refusal(code, &e, true);
        print_refusal(&e, &term);
        return;
    }
    FUZZ_CHECK(lenient || m->catalog->n_errors == 0);
    fuzz_check_model(m);
    print_tree(m, &r->filter, choice, &term);
    print_rest(m, &term);
    sc_model_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint32_t choice = fuzz_choice(data, size);
    static struct fuzz_archive archive;
    static struct request request;

    fuzz_archive_read(&archive, data, size);
    read_words(&archive, "filter", &request.filter);
    read_words(&archive, "include", &request.include);
    read_words(&archive, "exclude", &request.exclude);
    read_words(&archive, "selected", &request.selected);
    open_model(&archive, &request, choice, false);
    open_model(&archive, &request, choice, true);
    return 0;
}
