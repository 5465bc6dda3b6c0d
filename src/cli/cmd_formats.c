/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_formats: what can be read: containers, number formats, and layouts of quantized weights; and
 * what values can be put into.
 *
 * All tables are those that are used when it is done, so this list cannot be wrong.
 */
#include "cli/cli.h"
#include "codec/encoding.h"

static const struct sc_example formats_examples[] = {
    {"scruple formats", "containers, number formats, layouts, and what values can be put into"},
    {"scruple formats --csv", "the number formats, for a spreadsheet"},
    {NULL, NULL},
};

/* ------------------------------------------------------------------------------ containers --- */
static const struct sc_column container_columns[] = {
    {"name", "container", NULL, SC_COL_KEY, 0, 0},
    {"summary", "what it is", NULL, SC_COL_TEXT, 0, 0},
};

static void container_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    (void)ctx;
    out->text = sc_strz(column ? sc_formats[row]->summary : sc_formats[row]->name);
}

/* -------------------------------------------------------------------------- number formats --- */
enum type_column { TYPE_NAME, TYPE_KIND, TYPE_BLOCK, TYPE_BYTES, TYPE_BITS };
static const struct sc_column type_columns[] = {
    [TYPE_NAME] = {"name", "type", NULL, SC_COL_DTYPE, 0, 0},
    [TYPE_KIND] = {"kind", "kind", NULL, SC_COL_TEXT, 0, 0},
    [TYPE_BLOCK] = {"block", "block", NULL, SC_COL_OFFSET, 0, 0},
    [TYPE_BYTES] = {"block_bytes", "bytes", NULL, SC_COL_OFFSET, 0, 0},
    [TYPE_BITS] = {"bits_per_weight", "bits", NULL, SC_COL_NUMBER, 0, 4},
};

static const char *const kind_names[] = {
    [SC_KIND_FLOAT] = "float",
    [SC_KIND_INT] = "integer",
    [SC_KIND_UINT] = "unsigned",
    [SC_KIND_BOOL] = "boolean",
    [SC_KIND_COMPLEX] = "complex",
    [SC_KIND_SCALE] = "power of two",
    [SC_KIND_QINT] = "quantized integer",
    [SC_KIND_BLOCK] = "GGML block",
    [SC_KIND_LOGICAL] = "folded",
    [SC_KIND_OPAQUE] = "unknown",
};

/* Row 0 of the table stands for what nobody knows. */
static void type_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    sc_codec_id id = (sc_codec_id)(row + 1);
    const struct sc_codec *codec = sc_codec(id);
    /* A folded layout has no bytes of its own: its parts have. */
    bool stored = codec->kind != SC_KIND_LOGICAL && codec->kind != SC_KIND_OPAQUE;

    (void)ctx;
    switch ((enum type_column)column) {
    case TYPE_NAME:
        out->text = sc_strz(codec->name);
        break;
    case TYPE_KIND:
        out->text = sc_strz(kind_names[codec->kind]);
        break;
    case TYPE_BLOCK:
        out->null = !stored;
        out->u = codec->block;
        break;
    case TYPE_BYTES:
        out->null = !stored;
        out->u = codec->bytes;
        break;
    case TYPE_BITS:
        out->null = !stored;
        out->f = sc_codec_bits(id);
        break;
    }
}

/* --------------------------------------------------------------------------------- layouts --- */
static const struct sc_column layout_columns[] = {
    {"name", "layout", NULL, SC_COL_KEY, 0, 0},
    {"values", "values", NULL, SC_COL_TEXT, 0, 0},
    {"summary", "what it is", NULL, SC_COL_TEXT, 0, 0},
};

static void layout_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_layout_info *l = &sc_layouts[row];

    (void)ctx;
    out->text = sc_strz(column == 0   ? l->name
                        : column == 1 ? l->decodable ? "known" : "listed only"
                                      : l->summary);
}

/* ------------------------------------------------------------------------------- encodings --- */
enum encoding_column {
    ENCODING_NAME,
    ENCODING_BITS,
    ENCODING_SETTINGS,
    ENCODING_SUMMARY,
    ENCODING_ALIASES,
    ENCODING_SOURCE
};
static const struct sc_column encoding_columns[] = {
    [ENCODING_NAME] = {"name", "format", NULL, SC_COL_KEY, 0, 0},
    [ENCODING_BITS] = {"bits_per_weight", "bits", NULL, SC_COL_NUMBER, 0, 4},
    [ENCODING_SETTINGS] = {"settings", "settings", NULL, SC_COL_TEXT, 0, 0},
    [ENCODING_SUMMARY] = {"summary", "what it is", NULL, SC_COL_TEXT, 0, 0},
    [ENCODING_ALIASES] = {"aliases", "also", NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
    [ENCODING_SOURCE] = {"source", "defined by", NULL, SC_COL_TEXT, SC_COL_JSON_ONLY, 0},
};

static void encoding_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_encoding_info *info = &sc_encodings[row];
    const char *text = NULL;
    struct sc_encoding f;

    (void)ctx;
    switch ((enum encoding_column)column) {
    case ENCODING_NAME:
        text = info->name;
        break;
    case ENCODING_BITS:
        out->null = sc_encoding_parse(sc_strz(info->name), &f, NULL) < 0;
        out->f = out->null ? 0 : sc_encoding_bits(&f);
        return;
    case ENCODING_SETTINGS:
        text = info->settings;
        break;
    case ENCODING_SUMMARY:
        text = info->summary;
        break;
    case ENCODING_ALIASES:
        text = info->alias;
        break;
    case ENCODING_SOURCE:
        text = info->source;
        break;
    }
    out->null = !text;
    out->text = sc_strz(text ? text : "");
}

/* --------------------------------------------------------------------------------- running --- */
static void put_section(struct sc_cli *c, const char *title, const struct sc_table *t)
{
    sc_out_colour(&c->out, &c->term, SC_COLOUR_MODULE, title);
    sc_out_putc(&c->out, '\n');
    sc_report_table(&c->out, t, &c->term);
}

static int run_formats(struct sc_cli *c)
{
    struct sc_table containers = {container_columns, SC_COUNT(container_columns), 0, container_cell,
                                  NULL};
    struct sc_table types = {type_columns, SC_COUNT(type_columns), sc_codec_count() - 1, type_cell,
                             NULL};
    struct sc_table layouts = {layout_columns, SC_COUNT(layout_columns), SC_LAYOUT_COUNT,
                               layout_cell, NULL};
    struct sc_table encodings = {encoding_columns, SC_COUNT(encoding_columns), sc_n_encodings,
                                 encoding_cell, NULL};

    while (sc_formats[containers.n_rows])
        containers.n_rows++;
    if (c->set.csv) {
        sc_report_csv(&c->out, &types);
    } else if (c->set.json) {
        struct sc_document d;
        sc_document_start(&d, "scruple.formats/1");
        sc_add_table(&d, &d.root, "containers", &containers);
        sc_add_table(&d, &d.root, "types", &types);
        sc_add_table(&d, &d.root, "layouts", &layouts);
        sc_add_table(&d, &d.root, "encodings", &encodings);
        sc_report_json(&c->out, &d);
        sc_document_clear(&d);
    } else {
        put_section(c, "containers", &containers);
        sc_out_putc(&c->out, '\n');
        put_section(c, "number formats (block: elements that are stored together)", &types);
        sc_out_putc(&c->out, '\n');
        put_section(c, "layouts: weights that are several tensors in the file", &layouts);
        sc_out_putc(&c->out, '\n');
        put_section(c, "formats that values can be put into: NAME[:SETTING,...][.T]", &encodings);
    }
    return SC_EXIT_OK;
}

const struct sc_command sc_cmd_formats = {
    .name = "formats",
    .summary = "list the containers, number formats and layouts it knows",
    .usage = "",
    .description = "The bits per weight of a number format include its scales. Types that a file "
                   "names and this list does not are shown under their own name, with the size "
                   "that the file gives them. The last list has the formats that values can be "
                   "put into, to see what they cost; \".T\" behind a name means along columns.",
    .groups = SC_GROUP_OUTPUT | SC_GROUP_CSV | SC_GROUP_COMMON,
    .complete = SC_COMPLETE_NOTHING,
    .examples = formats_examples,
    .run = run_formats,
};
