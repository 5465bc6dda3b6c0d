/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_info: what the files of a model say about it, beside the tensors.
 *
 * Owns: the order of the sections on the terminal and which are worth showing. Does not own: the
 * facts (analyze) and their keys.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define FIELD(name) ((uint16_t)offsetof(struct sc_settings, name))

static const struct sc_option info_options[] = {
    {"lenient", 0, SC_OPTION_FLAG, 0, FIELD(lenient), NULL, NULL,
     "tell what is sound of a broken model, and say what is not"},
};

static const struct sc_example info_examples[] = {
    {"scruple info model.gguf", "keys of a GGUF file, its tokenizer and sizes"},
    {"scruple info pytorch_model.bin", "whether loading this pickle would run code"},
    {"scruple info model -v", "with long values in full"},
    {NULL, NULL},
};

/* -------------------------------------------------------------------------------- sections --- */
static void put_heading(struct sc_cli *c, const char *title)
{
    sc_out_putc(&c->out, '\n');
    sc_out_colour(&c->out, &c->term, SC_COLOUR_MODULE, title);
    sc_out_putc(&c->out, '\n');
}

/* A heading and key-value lines, if there is anything to tell. */
static void put_fields_of(struct sc_cli *c, const char *title, const struct sc_field *object)
{
    if (!object || object->kind != SC_FIELD_OBJECT)
        return;
    for (const struct sc_field *f = object->as.children.first; f; f = f->next) {
        if (f->kind == SC_FIELD_NULL || (f->kind == SC_FIELD_LIST && !f->as.children.first))
            continue;
        put_heading(c, title);
        sc_report_fields(&c->out, object, &c->term);
        return;
    }
}

static void put_table_of(struct sc_cli *c, const char *title, const struct sc_table *t,
                         size_t least_rows)
{
    if (!t || t->n_rows < least_rows)
        return;
    put_heading(c, title);
    sc_report_table(&c->out, t, &c->term);
}

/* The model in one paragraph: what tree has in its header. */
static void put_summary(struct sc_cli *c, const struct sc_model *m)
{
    struct sc_document d;
    struct sc_buf files = {0};
    char parameters[32], count[32];
    uint64_t other = 0;

    sc_document_start(&d, SC_SCHEMA_INFO);
    struct sc_field *f = sc_add_object(&d, &d.root, "summary");
    sc_buf_printf(&files, "%zu (%s)", m->catalog->n_files,
                  m->catalog->weight_set ? m->catalog->weight_set : "no weights");
    sc_format_parameters(m->parameters, parameters);
    sc_format_count(m->parameters, count);
    for (size_t i = 0; i < m->catalog->n_files; i++)
        other = sc_add_up(
            other, sc_add_up(m->catalog->files[i].header_bytes, m->catalog->files[i].other_bytes));
    sc_add_text(&d, f, "weight files", sc_str(files.n ? files.p : "", files.n));
    sc_add_uint(&d, f, "tensors", m->catalog->n_entries, SC_COL_COUNT);
    if (m->catalog->n_entries != m->n_tensors)
        sc_add_uint(&d, f, "logical tensors", m->n_tensors, SC_COL_COUNT);
    files.n = 0;
    sc_buf_printf(&files, "%s (%s)", parameters, count);
    sc_add_text(&d, f, "parameters", sc_str(files.n ? files.p : "", files.n));
    sc_add_uint(&d, f, "tensor bytes", m->bytes, SC_COL_BYTES);
    sc_add_uint(&d, f, "headers and padding", other, SC_COL_BYTES);
    if (m->parameters) {
        char bits[64];
        sc_format_fixed(sc_bits_per_weight(m->bytes, m->parameters), 2, bits);
        sc_add_textz(&d, f, "bits per weight", bits);
    }
    if (d.failed || files.failed)
        c->out.status = c->out.status ? c->out.status : SCRUPLE_EMEMORY;
    else
        sc_report_fields(&c->out, f, &c->term);
    sc_buf_clear(&files);
    sc_document_clear(&d);
}

/* -------------------------------------------------------------------------------- metadata --- */
/* "[151936 strings] "!", "#", ..." */
static void put_array(struct sc_buf *b, const struct sc_field *entry)
{
    const struct sc_field *first = sc_find_field(entry, "first");
    struct sc_str element = sc_find_text(entry, "element");
    uint64_t count = sc_find_uint(entry, "count"), shown = 0;

    sc_buf_printf(b, "[%llu %.*s%s]", (unsigned long long)count, (int)element.n, element.p,
                  count == 1 ? "" : "s");
    for (const struct sc_field *f = first ? first->as.children.first : NULL; f; f = f->next) {
        char text[40];
        sc_buf_puts(b, shown++ ? ", " : " ");
        switch ((enum sc_field_kind)f->kind) {
        case SC_FIELD_TEXT:
            sc_buf_putc(b, '"');
            sc_buf_put(b, f->as.s.p, SC_MIN(f->as.s.n, 200));
            sc_buf_putc(b, '"');
            break;
        case SC_FIELD_UINT:
            sc_buf_printf(b, "%llu", (unsigned long long)f->as.u);
            break;
        case SC_FIELD_INT:
            sc_buf_printf(b, "%lld", (long long)f->as.i);
            break;
        case SC_FIELD_NUMBER:
            sc_format_real(f->as.f, text);
            sc_buf_puts(b, text);
            break;
        case SC_FIELD_BOOL:
            sc_buf_puts(b, f->as.b ? "yes" : "no");
            break;
        case SC_FIELD_NULL:
        case SC_FIELD_OBJECT:
        case SC_FIELD_LIST:
        case SC_FIELD_TABLE:
            sc_buf_puts(b, "null");
            break;
        }
    }
    if (shown < count)
        sc_buf_puts(b, shown ? ", ..." : "");
}

#define KEY_MAX   60  /* columns of a key */
#define VALUE_MAX 120 /* columns of a value where no terminal limits it */

/* Metadata of one file as a table of two columns, because keys and values are foreign. */
struct meta_rows {
    const struct sc_field **entry;
    size_t n, cap;
    size_t value_max;           /* columns; 0: all */
    struct sc_buf *key, *value; /* the cell that was asked for last */
};
static const struct sc_column meta_columns[] = {
    {"key", NULL, NULL, SC_COL_KEY, 0, 0},
    {"value", NULL, NULL, SC_COL_TEXT, 0, 0},
};

static void append_value(struct sc_buf *b, const struct sc_field *entry)
{
    const struct sc_field *v = sc_find_field(entry, "value");
    char text[40];

    if (!v) {
        put_array(b, entry);
    } else if (v->kind == SC_FIELD_TEXT) {
        sc_buf_put(b, v->as.s.p, v->as.s.n);
    } else if (v->kind == SC_FIELD_UINT) {
        sc_buf_printf(b, "%llu", (unsigned long long)v->as.u);
    } else if (v->kind == SC_FIELD_INT) {
        sc_buf_printf(b, "%lld", (long long)v->as.i);
    } else if (v->kind == SC_FIELD_NUMBER) {
        sc_format_real(v->as.f, text);
        sc_buf_puts(b, text);
    } else if (v->kind == SC_FIELD_BOOL) {
        sc_buf_puts(b, v->as.b ? "yes" : "no");
    }
}

static void meta_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct meta_rows *r = ctx;
    struct sc_buf *b = column ? r->value : r->key;
    struct sc_buf raw = {0};

    b->n = 0;
    if (column) {
        append_value(&raw, r->entry[row]);
        b->failed = b->failed || raw.failed;
        sc_put_safe(b, sc_str(raw.n ? raw.p : "", raw.n), r->value_max);
        sc_buf_clear(&raw);
    } else {
        sc_put_safe(b, sc_find_text(r->entry[row], "key"), KEY_MAX);
    }
    out->text = sc_str(b->n ? b->p : "", b->n);
}

static bool same_scalar(const struct sc_field *a, const struct sc_field *b)
{
    const struct sc_field *x = sc_find_field(a, "value"), *y = sc_find_field(b, "value");

    if (!x || !y || x->kind != y->kind)
        return false;
    if (x->kind == SC_FIELD_TEXT)
        return sc_str_eq(x->as.s, y->as.s);
    return x->kind == SC_FIELD_UINT && x->as.u == y->as.u;
}

/* What the first file said: a shard that repeats it is not worth a line. */
struct meta_seen {
    struct sc_index index;
    const struct sc_field **entry;
    size_t n, cap;
};

static int remember_entry(struct meta_seen *seen, const struct sc_field *entry, struct sc_error *e)
{
    struct sc_str key = sc_find_text(entry, "key");

    TRY(sc_grow(&seen->entry, &seen->cap, seen->n + 1, sizeof(void *), e));
    TRY(sc_index_put(&seen->index, sc_hash(key.p, key.n), (uint32_t)seen->n, e));
    seen->entry[seen->n++] = entry;
    return 0;
}

static bool was_seen(const struct meta_seen *seen, const struct sc_field *entry)
{
    struct sc_str key = sc_find_text(entry, "key");
    uint64_t hash = sc_hash(key.p, key.n);
    size_t probe = 0;
    uint32_t id;

    while (seen->entry && (id = sc_index_next(&seen->index, hash, &probe)) != UINT32_MAX)
        if (sc_str_eq(sc_find_text(seen->entry[id], "key"), key) &&
            same_scalar(seen->entry[id], entry))
            return true;
    return false;
}

static void put_meta_rows(struct sc_cli *c, struct meta_rows *r, struct sc_str file, bool name_file,
                          bool *begun)
{
    struct sc_table t = {meta_columns, SC_COUNT(meta_columns), r->n, meta_cell, r};
    size_t widest = 0;

    if (!r->n)
        return;
    if (!*begun)
        put_heading(c, "metadata");
    *begun = true;
    if (name_file) {
        sc_out_safe(&c->out, &c->term, SC_COLOUR_UNIT, file);
        sc_out_putc(&c->out, '\n');
    }
    for (size_t i = 0; i < r->n; i++)
        widest = SC_MAX(widest, sc_safe_width(sc_find_text(r->entry[i], "key")));
    widest = SC_MIN(widest, KEY_MAX) + 2;
    r->value_max = c->set.verbose                ? 0
                   : !c->term.width              ? VALUE_MAX
                   : c->term.width > widest + 24 ? c->term.width - widest
                                                 : 24;
    sc_report_table(&c->out, &t, &c->term);
    r->n = 0;
}

static int put_metadata(struct sc_cli *c, const struct sc_field *list, size_t n_files,
                        struct sc_error *e)
{
    struct sc_buf key = {0}, value = {0};
    struct meta_rows rows = {.key = &key, .value = &value};
    struct meta_seen seen = {.n = 0};
    struct sc_str file = sc_str(NULL, 0), first = file;
    bool begun = false;
    int code = 0;

    for (const struct sc_field *f = list ? list->as.children.first : NULL; f && !code;
         f = f->next) {
        struct sc_str of = sc_find_text(f, "file");
        if (file.p && !sc_str_eq(of, file))
            put_meta_rows(c, &rows, file, n_files > 1, &begun);
        file = of;
        if (!first.p)
            first = file;
        if (sc_str_eq(file, first))
            code = remember_entry(&seen, f, e);
        else if (was_seen(&seen, f))
            continue;
        if (!code)
            code = sc_grow(&rows.entry, &rows.cap, rows.n + 1, sizeof(void *), e);
        if (!code)
            rows.entry[rows.n++] = f;
    }
    if (!code)
        put_meta_rows(c, &rows, file, n_files > 1, &begun);
    if (key.failed || value.failed)
        code = sc_fail_memory(e);
    sc_index_clear(&seen.index);
    free(seen.entry);
    free(rows.entry);
    sc_buf_clear(&key);
    sc_buf_clear(&value);
    return code;
}

/* --------------------------------------------------------------------------------- running --- */
static int put_info(struct sc_cli *c, const struct sc_model *m, const struct sc_field *result,
                    struct sc_error *e)
{
    const struct sc_field *pickle = sc_find_field(result, "pickle");
    const struct sc_table *layouts = sc_find_table(result, "layouts");
    struct sc_str sentence = sc_find_text(pickle, "sentence");

    sc_out_safe(&c->out, &c->term, SC_COLOUR_REPO, sc_strz(m->label));
    sc_out_putc(&c->out, '\n');
    put_summary(c, m);
    put_fields_of(c, "hub", sc_find_field(result, "hub"));
    put_fields_of(c, "architecture", sc_find_field(result, "facts"));
    put_fields_of(c, "tokenizer", sc_find_field(result, "tokenizer"));
    put_fields_of(c, "model card", sc_find_field(result, "card"));
    put_table_of(c, "element types", sc_find_table(result, "dtypes"), 1);
    put_table_of(c, "towers", sc_find_table(result, "towers"), 2);
    /* A model of plain tensors has one layout, and nothing to say about it. */
    if (layouts && (layouts->n_rows > 1 || m->catalog->n_entries != m->n_tensors))
        put_table_of(c, "layouts", layouts, 1);
    TRY(put_metadata(c, sc_find_field(result, "metadata"), m->catalog->n_files, e));
    if (sentence.p) {
        put_heading(c, "pickle");
        sc_out_safe(&c->out, &c->term, SC_COLOUR_NONE, sentence);
        sc_out_putc(&c->out, '\n');
        const struct sc_table *imports = sc_find_table(pickle, "imports");
        if (imports)
            sc_report_table(&c->out, imports, &c->term);
    }
    put_table_of(c, "files", sc_find_table(result, "files"), 1);
    return 0;
}

static int run_info(struct sc_cli *c)
{
    struct sc_open_options o = sc_cli_open_options(c);
    struct sc_model *m = NULL;
    struct sc_document d;
    struct sc_error e = {0};

    if (!c->operands.words.n)
        return sc_wrong_use(c, "info: MODEL is missing");
    o.facts = true;
    /* The unit of text is a line: as wide as the window, unless everything was asked for. */
    c->term.width = c->set.verbose ? 0 : c->term.width ? c->term.width : VALUE_MAX;
    sc_document_start(&d, SC_SCHEMA_INFO);
    int status = sc_cli_open_with(c, c->operands.words.p[0], &o, &m);
    if (!status) {
        int code = sc_analyze_info(&d, &d.root, m, &e);
        if (!code && c->set.json)
            sc_report_json(&c->out, &d);
        else if (!code)
            code = put_info(c, m, &d.root, &e);
        status = code < 0 ? sc_fail_exit(c, &e) : 0;
    }
    sc_document_clear(&d);
    sc_model_close(m);
    return status;
}

const struct sc_command sc_cmd_info = {
    .name = "info",
    .summary = "tell what the files of a model say about it",
    .usage = "MODEL",
    .description =
        "Shows the architecture and sizes of config.json or of the GGUF keys, the tokenizer, "
        "license and base model of the model card, element types, quantization layouts, the "
        "metadata of each weight file (long arrays summarised), and all files with their sizes.\n\n"
        "Of a PyTorch file it tells what its pickle would import and call if a program loaded it, "
        "with a verdict. scruple itself never runs a pickle.",
    .options = info_options,
    .n_options = SC_COUNT(info_options),
    .groups = SC_GROUP_INPUT | SC_GROUP_OUTPUT | SC_GROUP_COMMON,
    .operands = 1,
    .complete = SC_COMPLETE_PATH,
    .examples = info_examples,
    .run = run_info,
};
