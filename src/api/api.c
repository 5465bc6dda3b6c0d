/* SPDX-License-Identifier: Apache-2.0 */
/* api: include/scruple.h over the internal layers. Contracts stand in the public header. */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>

#include "analyze/analyze.h"
#include "model/model.h"
#include "report/report.h"

#define TEXT_OF(x)            #x
#define VERSION_TEXT(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)

struct scruple_model {
    struct sc_model *model;
    char *path; /* as it was opened */
};

const char *scruple_version(void)
{
    return VERSION_TEXT(SCRUPLE_VERSION_MAJOR, SCRUPLE_VERSION_MINOR, SCRUPLE_VERSION_PATCH);
}

/* Through the same door as the terminal: file names inside the sentence can hold anything. */
static int told(int code, const struct sc_error *e, struct scruple_message *message)
{
    if (code >= 0 || !message)
        return code;
    struct sc_buf b = {0};
    sc_put_safe(&b, sc_strz(e->text), 0);
    const char *text = b.failed || !b.p ? sc_code_text(code) : b.p;
    const size_t n = SC_MIN(strlen(text), sizeof message->text - 1);
    memcpy(message->text, text, n);
    message->text[n] = '\0';
    sc_buf_clear(&b);
    return code;
}

static int usage(struct scruple_message *message, const char *what)
{
    struct sc_error e;
    return told(sc_fail(&e, SCRUPLE_EUSAGE, "%s", what), &e, message);
}

int scruple_open(const char *path, scruple_model **out, struct scruple_message *message)
{
    struct sc_error e = {0};
    const struct sc_open_options options = {.facts = true};
    if (!out)
        return usage(message, "scruple_open: out is NULL");
    *out = NULL;
    if (!path)
        return usage(message, "scruple_open: path is NULL");
    scruple_model *m = sc_calloc(1, sizeof *m);
    if (!m)
        return told(sc_fail_memory(&e), &e, message);
    int status = sc_model_open(path, &options, &m->model, &e);
    if (status == 0) {
        const size_t n = strlen(path) + 1;
        m->path = sc_alloc(n);
        if (m->path)
            memcpy(m->path, path, n);
        else
            status = sc_fail_memory(&e);
    }
    if (status < 0) {
        scruple_close(m);
        return told(status, &e, message);
    }
    *out = m;
    return 0;
}

void scruple_close(scruple_model *m)
{
    if (!m)
        return;
    sc_model_close(m->model);
    free(m->path);
    free(m);
}

size_t scruple_tensor_count(const scruple_model *m)
{
    return m ? m->model->n_tensors : 0;
}

int scruple_tensor_at(const scruple_model *m, size_t i, struct scruple_tensor *out)
{
    if (!m || !out || i >= m->model->n_tensors)
        return SCRUPLE_EUSAGE;
    const struct sc_tensor *t = &m->model->tensors[i];
    const struct sc_entry *main = &m->model->catalog->entries[t->main];
    *out = (struct scruple_tensor){
        .name = t->name,
        .name_bytes = t->name_len,
        .dtype = t->dtype,
        .layout = sc_layouts[t->layout].name,
        .file = m->model->catalog->files[main->file].path,
        .shape = t->shape,
        .rank = t->rank,
        .parameters = t->parameters,
        .bytes = t->bytes,
        .offset = main->offset,
        .stored = t->n_parts,
    };
    return 0;
}

static int analyze(const struct sc_model *m, const char *command, struct sc_document *d,
                   struct sc_outline *outline, struct sc_error *e)
{
    if (strcmp(command, "tree") == 0) {
        const struct sc_outline_options options = {0};
        sc_document_start(d, SC_SCHEMA_TREE);
        TRY(sc_outline_make(m, &options, outline, e));
        return sc_analyze_tree(d, &d->root, m, outline, &options, e);
    }
    if (strcmp(command, "info") == 0) {
        sc_document_start(d, SC_SCHEMA_INFO);
        return sc_analyze_info(d, &d->root, m, e);
    }
    sc_document_start(d, SC_SCHEMA_CHECK);
    return sc_analyze_check(d, &d->root, m, e);
}

static int append(void *ctx, const char *p, size_t n)
{
    struct sc_buf *b = ctx;
    sc_buf_put(b, p, n);
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

static int render(const struct sc_model *m, const char *command, struct sc_buf *text,
                  struct sc_error *e)
{
    struct sc_document d = {0};
    struct sc_outline outline = {0};
    int status = analyze(m, command, &d, &outline, e);
    if (status == 0) {
        struct sc_out out = {.write = append, .ctx = text};
        sc_report_json(&out, &d);
        status = sc_out_finish(&out);
        if (status < 0)
            sc_fail_memory(e);
    }
    sc_document_clear(&d);
    sc_outline_clear(&outline);
    return status;
}

/* A check looks again, leniently and with every checksum: an open model is sound as far as opening
 * had to know. */
static int render_check(const char *path, struct sc_buf *text, struct sc_error *e)
{
    const struct sc_open_options options = {
        .lenient = true, .verify = true, .facts = true, .check = true};
    struct sc_model *m = NULL;
    int status = sc_model_open(path, &options, &m, e);
    if (status == 0)
        status = render(m, "check", text, e);
    sc_model_close(m);
    return status;
}

int scruple_report_json(const scruple_model *m, const char *command, char **json,
                        struct scruple_message *message)
{
    struct sc_error e = {0};
    struct sc_buf text = {.max = SIZE_MAX / 2};
    int status;
    if (!m || !command || !json)
        return usage(message, "scruple_report_json: an argument is NULL");
    *json = NULL;
    if (strcmp(command, "tree") == 0 || strcmp(command, "info") == 0)
        status = render(m->model, command, &text, &e);
    else if (strcmp(command, "check") == 0)
        status = render_check(m->path, &text, &e);
    else
        return usage(message, "\"tree\", \"info\" and \"check\" have a report");
    if (status == 0)
        *json = text.p;
    else
        sc_buf_clear(&text);
    return told(status, &e, message);
}

void scruple_free(void *p)
{
    free(p);
}
