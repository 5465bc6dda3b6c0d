/* SPDX-License-Identifier: Apache-2.0 */
/* facts: the document of `scruple info`, and the parts that all documents share.
 *
 * Owns: the keys under which facts of config, tokenizer, card, metadata and files appear. What a
 * file does not say is null, never 0 or "".
 *
 * Does not own: reading any of it (model, format).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyze/analyze.h"

void *sc_analyze_alloc(struct sc_document *d, size_t n, struct sc_error *e)
{
    void *p = sc_arena_alloc(&d->arena, n, _Alignof(max_align_t));
    if (!p)
        sc_fail_memory(e);
    return p;
}

int sc_analyze_done(const struct sc_document *d, struct sc_error *e)
{
    return d->failed ? sc_fail_memory(e) : 0;
}

/* --------------------------------------------------------------------------------- model --- */
enum weight_file_column { WEIGHT_FILE_PATH, WEIGHT_FILE_BYTES };
static const struct sc_column weight_file_columns[] = {
    [WEIGHT_FILE_PATH] = {"path", NULL, NULL, SC_COL_TEXT, 0, 0},
    [WEIGHT_FILE_BYTES] = {"bytes", NULL, "bytes", SC_COL_BYTES, 0, 0},
};

static void weight_file_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct sc_catalog *c = ctx;

    if (column == WEIGHT_FILE_PATH)
        out->text = sc_strz(c->files[row].path);
    else
        out->u = c->files[row].bytes;
}

int sc_analyze_model(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                     struct sc_error *e)
{
    return sc_analyze_model_read(d, into, m, m->io.bytes_read, m->io.requests, e);
}

int sc_analyze_model_read(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                          uint64_t bytes_read, uint64_t requests, struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;
    uint64_t bytes = 0;

    struct sc_field *model = sc_add_object(d, into, "model");
    sc_add_textz(d, model, "source", m->label);
    sc_add_textz(d, model, "revision", m->revision);
    sc_add_textz(d, model, "commit", m->commit);
    sc_add_textz(d, model, "format", c->weight_set);
    sc_add_table(d, model, "files",
                 &(struct sc_table){weight_file_columns, SC_COUNT(weight_file_columns), c->n_files,
                                    weight_file_cell, c});
    /* Of everything that may have been read: index, config and card as well as weights. */
    for (size_t i = 0; i < m->n_files; i++)
        bytes = sc_add_up(bytes, m->files[i].bytes);
    struct sc_field *io = sc_add_object(d, into, "io");
    sc_add_uint(d, io, "bytes_read", bytes_read, SC_COL_BYTES);
    sc_add_uint(d, io, "bytes_total", bytes, SC_COL_BYTES);
    sc_add_uint(d, io, "requests", requests, SC_COL_COUNT);
    return sc_analyze_done(d, e);
}

/* ----------------------------------------------------------------------------------- hub --- */
static void add_hub(struct sc_document *d, struct sc_field *into, const struct sc_model *m)
{
    if (!m->page) {
        sc_add_null(d, into, "hub");
        return;
    }
    struct sc_field *hub = sc_add_object(d, into, "hub");
    sc_add_textz(d, hub, "page", m->page);
    sc_add_textz(d, hub, "revision", m->revision);
    sc_add_textz(d, hub, "commit", m->commit);
    sc_add_bool(d, hub, "gated", m->gated);
    sc_add_bool(d, hub, "private", m->is_private);
}

/* -------------------------------------------------------------------------------- config --- */
static void add_known(struct sc_document *d, struct sc_field *into, const char *key, uint64_t v)
{
    if (v)
        sc_add_uint(d, into, key, v, SC_COL_COUNT);
    else
        sc_add_null(d, into, key);
}

static void add_number(struct sc_document *d, struct sc_field *into, const char *key, double v)
{
    if (v != 0)
        sc_add_number(d, into, key, v);
    else
        sc_add_null(d, into, key);
}

static void add_quantization(struct sc_document *d, struct sc_field *into,
                             const struct sc_config *c)
{
    if (!c->quant_method) {
        sc_add_null(d, into, "quantization");
        return;
    }
    struct sc_field *q = sc_add_object(d, into, "quantization");
    sc_add_textz(d, q, "method", c->quant_method);
    sc_add_textz(d, q, "format", c->quant_format);
    if (c->quant_bits)
        sc_add_int(d, q, "bits", c->quant_bits);
    else
        sc_add_null(d, q, "bits");
    if (c->quant_group)
        sc_add_int(d, q, "group_size", c->quant_group);
    else
        sc_add_null(d, q, "group_size");
    if (c->quant_block[0] && c->quant_block[1]) {
        struct sc_field *block = sc_add_list(d, q, "block");
        sc_add_uint(d, block, NULL, c->quant_block[0], SC_COL_OFFSET);
        sc_add_uint(d, block, NULL, c->quant_block[1], SC_COL_OFFSET);
    } else {
        sc_add_null(d, q, "block");
    }
}

static void add_facts(struct sc_document *d, struct sc_field *into, const struct sc_config *c)
{
    struct sc_field *f = sc_add_object(d, into, "facts");

    sc_add_textz(d, f, "architecture", c->architecture);
    sc_add_textz(d, f, "model_type", c->model_type);
    sc_add_textz(d, f, "dtype", c->dtype);
    add_known(d, f, "layers", c->layers);
    add_known(d, f, "hidden_size", c->hidden);
    add_known(d, f, "intermediate_size", c->intermediate);
    add_known(d, f, "heads", c->heads);
    add_known(d, f, "kv_heads", c->kv_heads);
    add_known(d, f, "head_size", c->head_dim);
    add_known(d, f, "vocabulary", c->vocab);
    add_known(d, f, "context", c->context);
    add_known(d, f, "experts", c->experts);
    add_known(d, f, "experts_per_token", c->experts_per_token);
    add_known(d, f, "shared_experts", c->shared_experts);
    add_known(d, f, "expert_intermediate_size", c->moe_intermediate);
    add_known(d, f, "mtp_layers", c->mtp_layers);
    add_number(d, f, "rope_theta", c->rope_theta);
    add_number(d, f, "norm_epsilon", c->norm_eps);
    if (c->has_tied_embeddings)
        sc_add_bool(d, f, "tied_embeddings", c->tied_embeddings);
    else
        sc_add_null(d, f, "tied_embeddings");
    add_quantization(d, f, c);
}

static void add_tokenizer(struct sc_document *d, struct sc_field *into,
                          const struct sc_tokenizer_facts *t)
{
    if (!t->type && !t->vocabulary && !t->bos && !t->eos && !t->chat_template) {
        sc_add_null(d, into, "tokenizer");
        return;
    }
    struct sc_field *f = sc_add_object(d, into, "tokenizer");
    sc_add_textz(d, f, "type", t->type);
    add_known(d, f, "vocabulary", t->vocabulary);
    add_known(d, f, "merges", t->merges);
    add_known(d, f, "added_tokens", t->added);
    add_known(d, f, "special_tokens", t->special);
    sc_add_textz(d, f, "bos", t->bos);
    sc_add_textz(d, f, "eos", t->eos);
    sc_add_textz(d, f, "pad", t->pad);
    sc_add_textz(d, f, "unk", t->unk);
    sc_add_bool(d, f, "chat_template", t->chat_template);
}

static void add_card(struct sc_document *d, struct sc_field *into, const struct sc_card_facts *c)
{
    if (!c->license && !c->license_name && !c->n_base_models && !c->pipeline && !c->library &&
        !c->languages && !c->tags) {
        sc_add_null(d, into, "card");
        return;
    }
    struct sc_field *f = sc_add_object(d, into, "card");
    sc_add_textz(d, f, "license", c->license);
    sc_add_textz(d, f, "license_name", c->license_name);
    struct sc_field *base = sc_add_list(d, f, "base_model");
    for (size_t i = 0; i < c->n_base_models && i < SC_COUNT(c->base_model); i++)
        sc_add_textz(d, base, NULL, c->base_model[i]);
    sc_add_textz(d, f, "base_model_relation", c->base_model_relation);
    sc_add_textz(d, f, "task", c->pipeline);
    sc_add_textz(d, f, "library", c->library);
    sc_add_textz(d, f, "languages", c->languages);
    sc_add_textz(d, f, "tags", c->tags);
}

/* ------------------------------------------------------------------------------ metadata --- */
static const char *const kind_names[] = {
    [SC_VALUE_NULL] = "null",   [SC_VALUE_BOOL] = "bool",   [SC_VALUE_INT] = "int",
    [SC_VALUE_UINT] = "uint",   [SC_VALUE_FLOAT] = "float", [SC_VALUE_STRING] = "string",
    [SC_VALUE_ARRAY] = "array",
};

/* Texts are borrowed from the catalog: a chat template or a vocabulary is not worth a copy. */
static void add_value(struct sc_document *d, struct sc_field *into, const char *key,
                      const struct sc_value *v)
{
    char text[32];

    switch ((enum sc_value_kind)v->kind) {
    case SC_VALUE_NULL:
        sc_add_null(d, into, key);
        break;
    case SC_VALUE_BOOL:
        sc_add_bool(d, into, key, v->as.b);
        break;
    case SC_VALUE_INT:
        sc_add_int(d, into, key, v->as.i);
        break;
    case SC_VALUE_UINT:
        sc_add_uint(d, into, key, v->as.u, SC_COL_OFFSET);
        break;
    case SC_VALUE_FLOAT:
        sc_add_number(d, into, key, v->as.f);
        break;
    case SC_VALUE_STRING:
        sc_add_borrowed(d, into, key, v->as.s);
        break;
    case SC_VALUE_ARRAY:
        /* An array inside an array: its size says enough. */
        snprintf(text, sizeof text, "[%" PRIu64 "]", v->as.a.count);
        sc_add_textz(d, into, key, text);
        break;
    }
}

static void add_metadata(struct sc_document *d, struct sc_field *into, const struct sc_catalog *c)
{
    struct sc_field *list = sc_add_list(d, into, "metadata");

    for (size_t i = 0; i < c->n_metas && !d->failed; i++) {
        const struct sc_meta *meta = &c->metas[i];
        const struct sc_value *v = &meta->value;
        struct sc_field *f = sc_add_object(d, list, NULL);
        sc_add_textz(d, f, "file", meta->file < c->n_files ? c->files[meta->file].path : NULL);
        sc_add_borrowed(d, f, "key", meta->key);
        sc_add_textz(d, f, "type", kind_names[v->kind]);
        if (v->kind != SC_VALUE_ARRAY) {
            add_value(d, f, "value", v);
            continue;
        }
        sc_add_textz(d, f, "element", kind_names[v->element]);
        sc_add_uint(d, f, "count", v->as.a.count, SC_COL_COUNT);
        struct sc_field *first = sc_add_list(d, f, "first");
        for (uint16_t k = 0; k < v->shown; k++)
            add_value(d, first, NULL, &v->as.a.items[k]);
    }
}

/* --------------------------------------------------------------------------------- files --- */
enum file_column {
    FILE_PATH,
    FILE_BYTES,
    FILE_FORMAT,
    FILE_HEADER,
    FILE_TENSORS,
    FILE_OTHER,
};
static const struct sc_column file_columns[] = {
    [FILE_PATH] = {"path", "file", NULL, SC_COL_TEXT, 0, 0},
    [FILE_BYTES] = {"bytes", "size", "bytes", SC_COL_BYTES, 0, 0},
    [FILE_FORMAT] = {"format", "format", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
    [FILE_HEADER] = {"header_bytes", "header", "bytes", SC_COL_BYTES, SC_COL_OPTIONAL, 0},
    [FILE_TENSORS] = {"tensor_bytes", "tensors", "bytes", SC_COL_BYTES, SC_COL_OPTIONAL, 0},
    [FILE_OTHER] = {"other_bytes", "other", "bytes", SC_COL_BYTES, SC_COL_OPTIONAL, 0},
};
struct file_view {
    const struct sc_model *model;
    uint32_t *weight; /* for each file of the repository: index in the catalog, or UINT32_MAX */
};

static void file_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct file_view *v = ctx;
    const struct sc_file *w =
        v->weight[row] == UINT32_MAX ? NULL : &v->model->catalog->files[v->weight[row]];

    if (!w && column != FILE_PATH && column != FILE_BYTES) {
        out->null = true;
        return;
    }
    switch ((enum file_column)column) {
    case FILE_PATH:
        out->text = sc_strz(v->model->files[row].path);
        break;
    case FILE_BYTES:
        out->u = v->model->files[row].bytes;
        out->null = out->u == UINT64_MAX;
        break;
    case FILE_FORMAT:
        out->null = !w->format;
        out->text = sc_strz(w->format ? w->format->name : "");
        break;
    case FILE_HEADER:
        out->u = w->header_bytes;
        break;
    case FILE_TENSORS:
        out->u = w->tensor_bytes;
        break;
    case FILE_OTHER:
        out->u = w->other_bytes;
        break;
    }
}

static int match_files(const struct sc_model *m, uint32_t *weight, struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;
    struct sc_index index = {0};
    int code = 0;

    for (size_t i = 0; i < c->n_files && !code; i++)
        code = sc_index_put(&index, sc_hash(c->files[i].path, strlen(c->files[i].path)),
                            (uint32_t)i, e);
    for (size_t i = 0; i < m->n_files && !code; i++) {
        size_t probe = 0;
        uint64_t hash = sc_hash(m->files[i].path, strlen(m->files[i].path));
        do
            weight[i] = sc_index_next(&index, hash, &probe);
        while (weight[i] != UINT32_MAX && strcmp(c->files[weight[i]].path, m->files[i].path) != 0);
    }
    sc_index_clear(&index);
    return code;
}

static int add_files(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                     struct sc_error *e)
{
    struct file_view *v = sc_analyze_alloc(d, sizeof *v, e);

    if (!v)
        return SCRUPLE_EMEMORY;
    *v = (struct file_view){m, sc_analyze_alloc(d, m->n_files * sizeof *v->weight, e)};
    if (!v->weight)
        return SCRUPLE_EMEMORY;
    TRY(match_files(m, v->weight, e));
    sc_add_table(
        d, into, "files",
        &(struct sc_table){file_columns, SC_COUNT(file_columns), m->n_files, file_cell, v});
    return sc_analyze_done(d, e);
}

/* -------------------------------------------------------------------- layouts and towers --- */
struct share {
    const char *name, *summary;
    uint64_t tensors, parameters, bytes;
    bool decodable;
};
struct share_view {
    uint64_t whole;
    struct share rows[];
};
enum share_column {
    SHARE_NAME,
    SHARE_TENSORS,
    SHARE_PARAMETERS,
    SHARE_BYTES,
    SHARE_PERCENT,
    SHARE_BITS,
    SHARE_VALUES,
    SHARE_SUMMARY,
};
static const struct sc_column layout_columns[] = {
    [SHARE_NAME] = {"layout", "layout", NULL, SC_COL_TEXT, 0, 0},
    [SHARE_TENSORS] = {"tensors", "tensors", NULL, SC_COL_COUNT, 0, 0},
    [SHARE_PARAMETERS] = {"parameters", "parameters", NULL, SC_COL_COUNT, 0, 0},
    [SHARE_BYTES] = {"bytes", "size", "bytes", SC_COL_BYTES, 0, 0},
    [SHARE_PERCENT] = {"percent", "share", NULL, SC_COL_PERCENT, 0, 0},
    [SHARE_BITS] = {"bits_per_weight", "bits", NULL, SC_COL_NUMBER, 0, 2},
    [SHARE_VALUES] = {"values", "values", NULL, SC_COL_TEXT, SC_COL_OPTIONAL, 0},
    [SHARE_SUMMARY] = {"summary", "what it is", NULL, SC_COL_TEXT, 0, 0},
};
/* A tower has no layout of its own: the first columns are the same, the last ones are not there. */
static const struct sc_column tower_columns[] = {
    [SHARE_NAME] = {"tower", "tower", NULL, SC_COL_TEXT, 0, 0},
    [SHARE_TENSORS] = {"tensors", "tensors", NULL, SC_COL_COUNT, 0, 0},
    [SHARE_PARAMETERS] = {"parameters", "parameters", NULL, SC_COL_COUNT, 0, 0},
    [SHARE_BYTES] = {"bytes", "size", "bytes", SC_COL_BYTES, 0, 0},
    [SHARE_PERCENT] = {"percent", "share", NULL, SC_COL_PERCENT, 0, 0},
};

static void share_cell(const void *ctx, size_t row, size_t column, struct sc_cell *out)
{
    const struct share_view *v = ctx;
    const struct share *r = &v->rows[row];

    switch ((enum share_column)column) {
    case SHARE_NAME:
        out->text = sc_strz(r->name);
        break;
    case SHARE_TENSORS:
        out->u = r->tensors;
        break;
    case SHARE_PARAMETERS:
        out->u = r->parameters;
        break;
    case SHARE_BYTES:
        out->u = r->bytes;
        break;
    case SHARE_PERCENT:
        out->f = sc_percent((double)r->bytes, v->whole);
        break;
    case SHARE_BITS:
        out->null = !r->parameters;
        out->f = sc_bits_per_weight(r->bytes, r->parameters);
        break;
    case SHARE_VALUES:
        out->text = sc_strz(r->decodable ? "known" : "listed only");
        break;
    case SHARE_SUMMARY:
        out->text = sc_strz(r->summary);
        break;
    }
}

static void count_share(struct share *s, const struct sc_model *m, const struct sc_tensor *t)
{
    s->tensors++;
    s->parameters = sc_add_up(s->parameters, sc_tensor_counted(m, t));
    s->bytes = sc_add_up(s->bytes, t->bytes);
}

static void add_shares(struct sc_document *d, struct sc_field *into, const char *key,
                       const struct sc_column *columns, size_t n_columns, struct share *all,
                       size_t n_all, uint64_t whole)
{
    size_t n = 0;

    for (size_t i = 0; i < n_all; i++)
        n += all[i].tensors != 0;
    struct share_view *v = sc_analyze_alloc(d, sizeof *v + n * sizeof v->rows[0], NULL);
    if (!v) {
        d->failed = true;
        return;
    }
    v->whole = whole;
    n = 0;
    for (size_t i = 0; i < n_all; i++)
        if (all[i].tensors)
            v->rows[n++] = all[i];
    sc_add_table(d, into, key, &(struct sc_table){columns, n_columns, n, share_cell, v});
}

static void add_layouts_and_towers(struct sc_document *d, struct sc_field *into,
                                   const struct sc_model *m)
{
    struct share layouts[SC_LAYOUT_COUNT] = {{0}}, towers[SC_TOWER_COUNT] = {{0}};

    for (size_t i = 0; i < SC_LAYOUT_COUNT; i++) {
        layouts[i].name = sc_layouts[i].name;
        layouts[i].summary = sc_layouts[i].summary;
        layouts[i].decodable = sc_layouts[i].decodable;
    }
    for (size_t i = 0; i < SC_TOWER_COUNT; i++)
        towers[i].name = sc_tower_names[i];
    for (size_t i = 0; i < m->n_tensors; i++) {
        count_share(&layouts[m->tensors[i].layout], m, &m->tensors[i]);
        count_share(&towers[m->tensors[i].tower], m, &m->tensors[i]);
    }
    add_shares(d, into, "layouts", layout_columns, SC_COUNT(layout_columns), layouts,
               SC_COUNT(layouts), m->bytes);
    add_shares(d, into, "towers", tower_columns, SC_COUNT(tower_columns), towers, SC_COUNT(towers),
               m->bytes);
}

/* ------------------------------------------------------------------------------ document --- */
int sc_analyze_info(struct sc_document *d, struct sc_field *into, const struct sc_model *m,
                    struct sc_error *e)
{
    TRY(sc_analyze_model(d, into, m, e));
    TRY(sc_analyze_totals(d, into, m, e));
    add_hub(d, into, m);
    add_facts(d, into, &m->config);
    add_tokenizer(d, into, &m->tokenizer);
    add_card(d, into, &m->card);
    TRY(sc_analyze_dtypes(d, into, m, e));
    add_layouts_and_towers(d, into, m);
    add_metadata(d, into, m->catalog);
    TRY(sc_analyze_pickle(d, into, m, e));
    TRY(add_files(d, into, m, e));
    return sc_analyze_findings(d, into, m, e);
}
