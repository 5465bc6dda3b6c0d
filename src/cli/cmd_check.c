/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_check: is this file what it says it is?
 *
 *     model-00003.safetensors: error: tensor "x" ends at byte 912384, ... [safetensors.range]
 *     1 error, 0 warnings in 3 files
 *
 * Owns: one line a finding, the last line, and the exit code. Does not own: the rules (format,
 * model).
 */
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const struct sc_option check_options[] = {
    {"no-data", 0, SC_OPTION_FLAG, 0, FIELD(no_data), NULL, NULL,
     "read headers only: do not verify the checksums of tensor data"},
};

static const struct sc_example check_examples[] = {
    {"scruple check model", "everything in a folder: shards, index, config"},
    {"scruple check download.gguf && mv download.gguf models/", "use what is sound only"},
    {"scruple check *.safetensors --json", "several, for a program"},
    {NULL, NULL},
};

/* A path that was checked: a model, or why it is none. */
struct checked {
    const char *path;
    struct sc_model *model;
    bool folder;
};
struct tally {
    uint64_t errors, warnings, files, tensors, bytes;
};

/* ------------------------------------------------------------------------------- one line --- */
/* The path of a file inside what the user named, so that it can be opened from here. */
static void put_location(struct sc_cli *c, const struct checked *k, const char *file)
{
    struct sc_buf b = {0};
    const char *slash = strrchr(k->path, '/');

    if (!file || !strcmp(k->path, "-")) {
        sc_buf_puts(&b, k->path);
    } else if (k->folder) {
        sc_buf_puts(&b, k->path);
        if (!slash || slash[1])
            sc_buf_putc(&b, '/');
        sc_buf_puts(&b, file);
    } else {
        if (slash)
            sc_buf_put(&b, k->path, (size_t)(slash + 1 - k->path));
        sc_buf_puts(&b, file);
    }
    if (b.failed)
        c->out.status = c->out.status ? c->out.status : SCRUPLE_EMEMORY;
    else
        sc_out_safe(&c->out, &c->term, SC_COLOUR_REPO, sc_strz(b.p));
    sc_buf_clear(&b);
}

/* What the sentence does not say itself: (tensor "x", byte 123). */
static void put_where(struct sc_cli *c, struct sc_str message, const struct sc_cell *tensor,
                      const struct sc_cell *offset)
{
    char byte[40];
    struct sc_out *o = &c->out;

    snprintf(byte, sizeof byte, "%llu", (unsigned long long)offset->u);
    bool name = !tensor->null && !sc_str_has_nocase(message, tensor->text);
    bool at = !offset->null && !sc_str_has_nocase(message, sc_strz(byte));
    if (!name && !at)
        return;
    sc_out_puts(o, " (");
    if (name) {
        sc_out_puts(o, "tensor \"");
        sc_out_safe(o, &c->term, SC_COLOUR_NONE, tensor->text);
        sc_out_putc(o, '"');
    }
    if (at) {
        sc_out_puts(o, name ? ", byte " : "byte ");
        sc_out_puts(o, byte);
    }
    sc_out_putc(o, ')');
}

static size_t column_of(const struct sc_table *t, const char *key)
{
    size_t i = 0;

    while (i + 1 < t->n_columns && strcmp(t->columns[i].key, key) != 0)
        i++;
    return i;
}

static void put_findings(struct sc_cli *c, const struct checked *k, const struct sc_table *t)
{
    static const char *const words[] = {"info", "warning", "error"};
    static const enum sc_colour colours[] = {SC_COLOUR_KEY, SC_COLOUR_WARNING, SC_COLOUR_ERROR};
    static const char *const keys[] = {"severity", "id", "file", "tensor", "offset", "message"};
    enum { SEVERITY, ID, FILE_NAME, TENSOR, OFFSET, MESSAGE, CELLS };
    struct sc_out *o = &c->out;

    for (size_t row = 0; row < t->n_rows && !o->status; row++) {
        struct sc_cell cell[CELLS] = {{.u = 0}};
        for (size_t i = 0; i < CELLS; i++)
            t->cell(t->ctx, row, column_of(t, keys[i]), &cell[i]);
        uint64_t severity = SC_MIN(cell[SEVERITY].u, 2);
        if (c->set.quiet && severity == SC_INFO)
            continue;
        bool named = !cell[FILE_NAME].null && k->model;
        put_location(c, k, named ? cell[FILE_NAME].text.p : NULL);
        sc_out_puts(o, ": ");
        sc_out_colour(o, &c->term, colours[severity], words[severity]);
        sc_out_puts(o, ": ");
        sc_out_safe(o, &c->term, SC_COLOUR_NONE, cell[MESSAGE].text);
        put_where(c, cell[MESSAGE].text, &cell[TENSOR], &cell[OFFSET]);
        sc_out_colour(o, &c->term, SC_COLOUR_UNIT, " [");
        sc_out_safe(o, &c->term, SC_COLOUR_UNIT, cell[ID].text);
        sc_out_colour(o, &c->term, SC_COLOUR_UNIT, "]");
        sc_out_putc(o, '\n');
    }
}

static void put_verdict(struct sc_cli *c, const struct tally *t)
{
    struct sc_out *o = &c->out;
    char text[160], size[32];

    if (!t->errors && !t->warnings) {
        sc_format_bytes(t->bytes, size);
        sc_out_colour(o, &c->term, SC_COLOUR_GOOD, "sound");
        snprintf(text, sizeof text, ": %llu file%s, %llu tensor%s, %s\n",
                 (unsigned long long)t->files, t->files == 1 ? "" : "s",
                 (unsigned long long)t->tensors, t->tensors == 1 ? "" : "s", size);
    } else {
        snprintf(text, sizeof text, "%llu error%s, %llu warning%s in %llu file%s\n",
                 (unsigned long long)t->errors, t->errors == 1 ? "" : "s",
                 (unsigned long long)t->warnings, t->warnings == 1 ? "" : "s",
                 (unsigned long long)t->files, t->files == 1 ? "" : "s");
    }
    sc_out_puts(o, text);
}

/* --------------------------------------------------------------------------------- running --- */
/* Open and judge one path. What cannot be opened as a model is a finding; what cannot be reached
 * at all (not there, no permission, no memory) is an error. Returns an exit code. */
static int check_path(struct sc_cli *c, struct checked *k, struct sc_document *d,
                      struct sc_field *into, struct tally *tally)
{
    struct sc_open_options o = sc_cli_open_options(c);
    struct sc_error why = {0}, e = {0};
    struct stat st;
    int code;

    k->folder = stat(k->path, &st) == 0 && S_ISDIR(st.st_mode);
    o.lenient = true;
    o.facts = true;
    o.check = true;
    o.verify = !c->set.no_data;
    code = sc_model_open(k->path, &o, &k->model, &why);
    if (code == SCRUPLE_EFORMAT || code == SCRUPLE_EUNSUPPORTED || code == SCRUPLE_ELIMIT) {
        code = sc_analyze_unreadable(d, into, k->path, &why, &e);
        tally->errors++;
        tally->files++;
        return code < 0 ? sc_fail_exit(c, &e) : 0;
    }
    if (code < 0)
        return sc_fail_exit(c, &why);
    code = sc_analyze_check(d, into, k->model, &e);
    if (code < 0)
        return sc_fail_exit(c, &e);
    const struct sc_catalog *cat = k->model->catalog;
    tally->errors += cat->n_errors;
    tally->warnings += cat->n_warnings;
    tally->files += cat->n_files;
    tally->tensors += cat->n_entries;
    for (size_t i = 0; i < cat->n_files; i++)
        tally->bytes = sc_add_up(tally->bytes, cat->files[i].bytes);
    return 0;
}

/* Text and CSV: one path after the other. */
static int check_each(struct sc_cli *c, struct tally *tally)
{
    int status = 0;

    for (size_t i = 0; i < c->operands.words.n && !status && !c->out.status; i++) {
        struct checked k = {.path = c->operands.words.p[i]};
        struct sc_document d;
        sc_document_start(&d, SC_SCHEMA_CHECK);
        status = check_path(c, &k, &d, &d.root, tally);
        const struct sc_table *findings = sc_find_table(&d.root, "findings");
        if (!status && c->set.csv)
            sc_report_csv(&c->out, findings);
        else if (!status)
            put_findings(c, &k, findings);
        sc_document_clear(&d);
        sc_model_close(k.model);
    }
    if (!status && !c->set.csv)
        put_verdict(c, tally);
    return status;
}

static int check_json(struct sc_cli *c, struct tally *tally)
{
    size_t n = c->operands.words.n;
    struct checked *all = sc_calloc(n, sizeof *all);
    struct sc_document d;
    int status = 0;

    if (!all) {
        struct sc_error e = {0};
        sc_fail_memory(&e);
        return sc_fail_exit(c, &e);
    }
    sc_document_start(&d, SC_SCHEMA_CHECK);
    struct sc_field *list = n > 1 ? sc_add_list(&d, &d.root, "models") : NULL;
    for (size_t i = 0; i < n && !status; i++) {
        all[i].path = c->operands.words.p[i];
        status = check_path(c, &all[i], &d, list ? sc_add_object(&d, list, NULL) : &d.root, tally);
    }
    if (!status)
        sc_report_json(&c->out, &d);
    sc_document_clear(&d);
    for (size_t i = 0; i < n; i++)
        sc_model_close(all[i].model);
    free(all);
    return status;
}

static int run_check(struct sc_cli *c)
{
    struct tally tally = {0};

    if (!c->operands.words.n)
        return sc_wrong_use(c, "check: PATH is missing");
    if (c->set.csv && c->operands.words.n > 1)
        return sc_wrong_use(c, "--csv lists one path, but %zu are given", c->operands.words.n);
    int status = c->set.json ? check_json(c, &tally) : check_each(c, &tally);
    return status ? status : tally.errors || tally.warnings ? SC_EXIT_FINDINGS : SC_EXIT_OK;
}

const struct sc_command sc_cmd_check = {
    .name = "check",
    .summary = "validate a model strictly; the exit code tells",
    .usage = "PATH...",
    .description =
        "Looks for everything that is wrong or suspicious in a weight file, or in all files of a "
        "model in a folder: structure, ranges, holes and overlaps, duplicate names, checksums, "
        "missing and surplus shards, the config against the tensors, and what a pickle would "
        "run. Each finding is one line: file, severity, sentence, and a name for it that does "
        "not change between versions.\n\n"
        "The exit code is 1 when there are errors or warnings, whatever their number. Remarks "
        "(severity info) do not count.",
    .options = check_options,
    .n_options = SC_COUNT(check_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .operands = UINT_MAX,
    .complete = SC_COMPLETE_PATH,
    .examples = check_examples,
    .run = run_check,
};
