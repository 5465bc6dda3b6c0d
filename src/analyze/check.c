/* SPDX-License-Identifier: Apache-2.0 */
/* check: findings, the verdict on a pickle, and the document of `scruple check`.
 *
 * Owns: how a model is judged from what the parsers found: "errors" if anything is wrong,
 * "warnings" if something is suspicious, else "sound". Remarks (severity info) change nothing.
 *
 * Does not own: finding anything (format, model).
 */
#include <string.h>

#include "analyze/analyze.h"

/* ------------------------------------------------------------------------------ findings --- */
enum finding_column {
    FINDING_SEVERITY,
    FINDING_ID,
    FINDING_FILE,
    FINDING_TENSOR,
    FINDING_OFFSET,
    FINDING_MESSAGE,
};
static const struct sc_column finding_columns[] = {
    [FINDING_SEVERITY] = {"severity", NULL, NULL, SC_COL_SEVERITY, 0, 0},
    [FINDING_ID] = {"id", NULL, NULL, SC_COL_TEXT, 0, 0},
    [FINDING_FILE] = {"file", NULL, NULL, SC_COL_TEXT, 0, 0},
    [FINDING_TENSOR] = {"tensor", NULL, NULL, SC_COL_TEXT, 0, 0},
    [FINDING_OFFSET] = {"offset", NULL, "bytes", SC_COL_OFFSET, 0, 0},
    [FINDING_MESSAGE] = {"message", NULL, NULL, SC_COL_TEXT, 0, 0},
};

static void put_finding(const struct sc_finding *f, const char *file, size_t column,
                        struct sc_cell *out)
{
    switch ((enum finding_column)column) {
    case FINDING_SEVERITY:
        out->u = f->severity;
        break;
    case FINDING_ID:
        out->text = sc_strz(f->id);
        break;
    case FINDING_FILE:
        out->null = !file;
        out->text = sc_strz(file ? file : "");
        break;
    case FINDING_TENSOR:
        out->null = !f->tensor;
        out->text = sc_strz(f->tensor ? f->tensor : "");
        break;
    case FINDING_OFFSET:
        out->null = f->offset == SC_NO_OFFSET;
        out->u = f->offset;
        break;
    case FINDING_MESSAGE:
        out->text = sc_strz(f->message);
        break;
    }
}

static void finding_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_catalog *c = ctx;
    const struct sc_finding *f = &c->findings[row];

    put_finding(f, f->file < c->n_files ? c->files[f->file].path : NULL, column, out);
}

int sc_analyze_findings(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                        struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;

    sc_add_table(d, into, "findings",
                 &(struct sc_table){finding_columns, SC_COUNT(finding_columns), c->n_findings,
                                    finding_cell, c});
    return sc_analyze_done(d, e);
}

/* -------------------------------------------------------------------------------- pickle --- */
enum import_column {
    IMPORT_NAME,
    IMPORT_FILE,
    IMPORT_SHOWN_FILE,
    IMPORT_COUNT,
    IMPORT_CALLED,
    IMPORT_VERDICT,
};
static const struct sc_column import_columns[] = {
    [IMPORT_NAME] = {"name", "name", NULL, SC_COL_TEXT, 0, 0},
    [IMPORT_FILE] = {"file", NULL, NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    /* On the terminal only where there is more than one. */
    [IMPORT_SHOWN_FILE] = {"file", "file", NULL, SC_COL_TEXT, SC_COL_TERM_ONLY | SC_COL_OPTIONAL,
                           0},
    [IMPORT_COUNT] = {"count", "named", NULL, SC_COL_COUNT, 0, 0},
    [IMPORT_CALLED] = {"called", "called", NULL, SC_COL_COUNT, 0, 0},
    [IMPORT_VERDICT] = {"verdict", "verdict", NULL, SC_COL_TEXT, 0, 0},
};
static const char *const verdict_names[] = {
    [SC_VERDICT_KNOWN] = "known",
    [SC_VERDICT_UNKNOWN] = "unknown",
    [SC_VERDICT_DANGER] = "dangerous",
};

static void import_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_catalog *c = ctx;
    const struct sc_import *i = &c->imports[row];

    switch ((enum import_column)column) {
    case IMPORT_NAME:
        out->text = sc_strz(i->name);
        break;
    case IMPORT_FILE:
    case IMPORT_SHOWN_FILE:
        out->null = i->file >= c->n_files || (column == IMPORT_SHOWN_FILE && c->n_files == 1);
        out->text = sc_strz(out->null ? "" : c->files[i->file].path);
        break;
    case IMPORT_COUNT:
        out->u = i->count;
        break;
    case IMPORT_CALLED:
        out->u = i->called;
        break;
    case IMPORT_VERDICT:
        out->text = sc_strz(verdict_names[i->verdict]);
        break;
    }
}

/* The names of one verdict, as many as fit a sentence. */
static void list_names(struct sc_buf *b, const struct sc_catalog *c, enum sc_verdict verdict)
{
    size_t listed = 0, n = 0;

    for (size_t i = 0; i < c->n_imports; i++) {
        if (c->imports[i].verdict != verdict)
            continue;
        n++;
        if (listed == 4)
            continue;
        if (listed++)
            sc_buf_puts(b, ", ");
        sc_put_safe(b, sc_strz(c->imports[i].name), 80);
    }
    if (n > listed)
        sc_buf_printf(b, " and %zu more", n - listed);
}

int sc_analyze_pickle(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                      struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;
    enum sc_verdict worst = SC_VERDICT_KNOWN;
    bool torch = false;
    struct sc_buf b = {0};

    for (size_t i = 0; i < c->n_files; i++)
        torch = torch || c->files[i].format == &sc_format_torch;
    for (size_t i = 0; i < c->n_imports; i++)
        worst = SC_MAX(worst, (enum sc_verdict)c->imports[i].verdict);
    if (!torch && !c->n_imports) {
        sc_add_null(d, into, "pickle");
        return sc_analyze_done(d, e);
    }
    switch (worst) {
    case SC_VERDICT_DANGER:
        sc_buf_puts(&b, "would run code if loaded with pickle: ");
        list_names(&b, c, worst);
        break;
    case SC_VERDICT_UNKNOWN:
        sc_buf_puts(&b, "names classes that are not loaded: ");
        list_names(&b, c, worst);
        break;
    case SC_VERDICT_KNOWN:
        sc_buf_puts(&b, "contains only tensors and plain data");
        break;
    }
    struct sc_field *pickle = sc_add_object(d, into, "pickle");
    sc_add_textz(d, pickle, "verdict", verdict_names[worst]);
    sc_add_textz(d, pickle, "sentence", b.failed ? NULL : b.p);
    sc_add_table(
        d, pickle, "imports",
        &(struct sc_table){import_columns, SC_COUNT(import_columns), c->n_imports, import_cell, c});
    d->failed = d->failed || b.failed;
    sc_buf_clear(&b);
    return sc_analyze_done(d, e);
}

/* ------------------------------------------------------------------------------ document --- */
static void add_summary(struct sc_document *d, struct sc_field *into, size_t errors,
                        size_t warnings, size_t infos, size_t dropped, size_t files)
{
    sc_add_textz(d, into, "verdict", errors ? "errors" : warnings ? "warnings" : "sound");
    struct sc_field *s = sc_add_object(d, into, "summary");
    sc_add_uint(d, s, "errors", errors, SC_COL_COUNT);
    sc_add_uint(d, s, "warnings", warnings, SC_COL_COUNT);
    sc_add_uint(d, s, "infos", infos, SC_COL_COUNT);
    sc_add_uint(d, s, "not_listed", dropped, SC_COL_COUNT);
    sc_add_uint(d, s, "files", files, SC_COL_COUNT);
}

int sc_analyze_check(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                     struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;
    size_t infos = 0;

    for (size_t i = 0; i < c->n_findings; i++)
        infos += c->findings[i].severity == SC_INFO;
    TRY(sc_analyze_model(d, into, m, e));
    TRY(sc_analyze_totals(d, into, m, e));
    add_summary(d, into, c->n_errors, c->n_warnings, infos, c->findings_dropped, c->n_files);
    TRY(sc_analyze_pickle(d, into, m, e));
    return sc_analyze_findings(d, into, m, e);
}

struct unreadable {
    struct sc_finding finding;
    const char *path;
};

static void unreadable_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct unreadable *u = ctx;

    (void)row;
    put_finding(&u->finding, u->path, column, out);
}

int sc_analyze_unreadable(struct sc_document *d, struct sc_field *into, const char *path,
                          const struct sc_error *why, struct sc_error *e)
{
    struct unreadable *u = sc_analyze_alloc(d, sizeof *u, e);

    if (!u)
        return SCRUPLE_EMEMORY;
    *u = (struct unreadable){
        {.id = "model.unreadable",
         .message = sc_arena_copy(&d->arena, why->text, strlen(why->text)),
         .offset = why->has_offset ? why->offset : SC_NO_OFFSET,
         .file = UINT32_MAX,
         .severity = SC_ERROR},
        sc_arena_copy(&d->arena, path, strlen(path)),
    };
    if (!u->finding.message || !u->path)
        return sc_fail_memory(e);
    struct sc_field *model = sc_add_object(d, into, "model");
    sc_add_textz(d, model, "source", path);
    sc_add_null(d, model, "revision");
    sc_add_null(d, model, "commit");
    sc_add_null(d, model, "format");
    (void)sc_add_list(d, model, "files");
    sc_add_null(d, into, "io");
    sc_add_null(d, into, "totals");
    add_summary(d, into, 1, 0, 0, 0, 1);
    sc_add_null(d, into, "pickle");
    sc_add_table(
        d, into, "findings",
        &(struct sc_table){finding_columns, SC_COUNT(finding_columns), 1, unreadable_cell, u});
    return sc_analyze_done(d, e);
}
