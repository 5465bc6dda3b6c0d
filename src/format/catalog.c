/* SPDX-License-Identifier: Apache-2.0 */
/* catalog: the tables that format parsers fill, and the one way to say that something is wrong.
 *
 * Memory follows what was really parsed: every table grows geometrically, names and shapes live in
 * one arena, and equal shapes are stored once (a model of 92,000 tensors has about thirty). */
#include "format/format.h"

#include <stdlib.h>
#include <string.h>

void sc_catalog_close(struct sc_catalog *c)
{
    if (!c)
        return;
    free(c->files);
    sc_pages_free(c->entries);
    sc_pages_free(c->views);
    sc_pages_free(c->storages);
    free(c->quantizers);
    free(c->metas);
    free(c->imports);
    free(c->findings);
    free(c->foreign_types);
    free(c->shapes);
    sc_index_clear(&c->shape_index);
    sc_index_clear(&c->import_index);
    sc_arena_clear(&c->arena);
    free(c);
}

const char *sc_entry_dtype(const struct sc_catalog *c, const struct sc_entry *en)
{
    if (en->dtype & SC_FOREIGN_TYPE)
        return c->foreign_types[en->dtype & ~SC_FOREIGN_TYPE].p;
    return sc_codec((sc_codec_id)en->dtype)->name;
}

uint64_t sc_entry_elements(const struct sc_entry *en)
{
    uint64_t n = 0;
    if (!sc_product(en->shape, en->rank, &n))
        return 0; /* cannot happen: sc_catalog_add refused it */
    return n;
}

static bool is_shape(const struct sc_shape *s, const uint64_t *dims, size_t rank)
{
    return s->rank == rank && memcmp(s->dims, dims, rank * sizeof dims[0]) == 0;
}

/* Position of a shape in c->shapes, added when new; UINT32_MAX when out of memory. */
static uint32_t find_shape(struct sc_catalog *c, const uint64_t *shape, size_t rank,
                           struct sc_error *e)
{
    const uint64_t hash = sc_hash(shape, rank * sizeof shape[0]);
    size_t probe = 0;
    for (uint32_t id; (id = sc_index_next(&c->shape_index, hash, &probe)) != UINT32_MAX;)
        if (is_shape(&c->shapes[id], shape, rank))
            return id;
    if (sc_grow(&c->shapes, &c->shapes_cap, c->n_shapes + 1, sizeof c->shapes[0], e) < 0)
        return UINT32_MAX;
    uint64_t *dims = SC_ARENA_NEW(&c->arena, uint64_t, rank);
    if (!dims) {
        sc_fail_memory(e);
        return UINT32_MAX;
    }
    memcpy(dims, shape, rank * sizeof shape[0]);
    if (sc_index_put(&c->shape_index, hash, (uint32_t)c->n_shapes, e) < 0)
        return UINT32_MAX;
    c->shapes[c->n_shapes++] = (struct sc_shape){dims, rank};
    return (uint32_t)c->n_shapes - 1;
}

/* The interned copy of a shape, or NULL when out of memory. The same few shapes come again and
 * again, so a handful of recent ones is looked at before anything is hashed. */
static const uint64_t *intern_shape(struct sc_catalog *c, const uint64_t *shape, size_t rank,
                                    struct sc_error *e)
{
    static const uint64_t scalar[1] = {0};
    if (rank == 0)
        return scalar;
    const uint64_t mixed = (shape[0] ^ shape[rank - 1] << 1) * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t *recent = &c->recent_shape[mixed >> 60];
    if (*recent == 0 || !is_shape(&c->shapes[*recent - 1], shape, rank)) {
        const uint32_t id = find_shape(c, shape, rank, e);
        if (id == UINT32_MAX)
            return NULL;
        *recent = id + 1;
    }
    return c->shapes[*recent - 1].dims;
}

int sc_catalog_add_borrowed(struct sc_catalog *c, struct sc_str name, const uint64_t *shape,
                            size_t rank, const struct sc_entry *proto, struct sc_error *e)
{
    uint64_t elements;
    if (rank > SC_MAX_RANK || !sc_product(shape, rank, &elements)) {
        struct sc_quoted q;
        return sc_problem(c, SC_ERROR, "tensor.shape", proto->file, name, SC_NO_OFFSET, e,
                          "the shape of tensor \"%s\" has more than %d dimensions or more than "
                          "2^64 elements",
                          sc_quote(&q, name), SC_MAX_RANK);
    }
    const uint64_t *dims = intern_shape(c, shape, rank, e);
    if (!dims)
        return SCRUPLE_EMEMORY;
    if (c->n_entries >= UINT32_MAX - 1)
        return sc_fail(e, SCRUPLE_ELIMIT, "more than %u tensors", UINT32_MAX - 1);
    TRY(sc_pages_grow(c->filed, &c->entries, &c->entries_cap, c->n_entries + 1,
                      sizeof c->entries[0], e));
    struct sc_entry *en = &c->entries[c->n_entries++];
    *en = *proto;
    en->name = name.p;
    en->name_len = (uint32_t)name.n;
    en->shape = dims;
    en->rank = (uint8_t)rank;
    return 0;
}

int sc_catalog_add(struct sc_catalog *c, struct sc_str name, const uint64_t *shape, size_t rank,
                   const struct sc_entry *proto, uint32_t *index, struct sc_error *e)
{
    char *copy = sc_arena_copy(&c->arena, name.p, name.n);
    if (!copy)
        return sc_fail_memory(e);
    const size_t before = c->n_entries;
    TRY(sc_catalog_add_borrowed(c, sc_str(copy, name.n), shape, rank, proto, e));
    if (index)
        *index = c->n_entries > before ? (uint32_t)before : UINT32_MAX;
    return 0;
}

int sc_catalog_adopt(struct sc_catalog *c, uint32_t file, const struct sc_catalog *from,
                     struct sc_error *e)
{
    struct sc_file *f = &c->files[file];
    const uint64_t *dims = NULL, *before = NULL; /* neighbours often have one shape */
    f->format = from->files[0].format;
    f->header_bytes = from->files[0].header_bytes;
    f->data_offset = from->files[0].data_offset;
    if (from->n_entries >= UINT32_MAX - 1 - c->n_entries)
        return sc_fail(e, SCRUPLE_ELIMIT, "more than %u tensors", UINT32_MAX - 1);
    TRY(sc_pages_grow(c->filed, &c->entries, &c->entries_cap, c->n_entries + from->n_entries,
                      sizeof c->entries[0], e));
    for (size_t i = 0; i < from->n_entries; i++) {
        struct sc_entry en = from->entries[i];
        if (en.shape != before) {
            dims = intern_shape(c, en.shape, en.rank, e);
            if (!dims)
                return SCRUPLE_EMEMORY;
            before = en.shape;
        }
        en.shape = dims;
        en.file = file;
        c->entries[c->n_entries++] = en;
    }
    for (size_t i = 0; i < from->n_metas; i++)
        TRY(sc_catalog_add_meta(c, file, from->metas[i].key, &from->metas[i].value, e));
    return 0;
}

int sc_catalog_foreign_type(struct sc_catalog *c, struct sc_str name, uint32_t *dtype,
                            struct sc_error *e)
{
    size_t i = 0;
    while (i < c->n_foreign_types && !sc_str_eq(c->foreign_types[i], name))
        i++;
    if (i == c->n_foreign_types) {
        if (i >= SC_MAX_FOREIGN_TYPES)
            return sc_fail(e, SCRUPLE_ELIMIT, "more than %d unknown element types",
                           SC_MAX_FOREIGN_TYPES);
        TRY(sc_grow(&c->foreign_types, &c->foreign_types_cap, i + 1, sizeof c->foreign_types[0],
                    e));
        const char *copy = sc_arena_copy(&c->arena, name.p, name.n);
        if (!copy)
            return sc_fail_memory(e);
        c->foreign_types[c->n_foreign_types++] = sc_str(copy, name.n);
    }
    *dtype = SC_FOREIGN_TYPE | (uint32_t)i;
    return 0;
}

int sc_catalog_add_file(struct sc_catalog *c, const char *path, uint64_t bytes, uint32_t *index,
                        struct sc_error *e)
{
    TRY(sc_grow(&c->files, &c->files_cap, c->n_files + 1, sizeof c->files[0], e));
    const char *copy = sc_arena_copy(&c->arena, path, strlen(path));
    if (!copy)
        return sc_fail_memory(e);
    *index = (uint32_t)c->n_files;
    c->files[c->n_files++] = (struct sc_file){.path = copy, .component = "", .bytes = bytes};
    return 0;
}

static int copy_text(struct sc_catalog *c, struct sc_str *s, struct sc_error *e)
{
    s->p = sc_arena_copy(&c->arena, s->p, s->n);
    return s->p ? 0 : sc_fail_memory(e);
}

int sc_catalog_add_meta(struct sc_catalog *c, uint32_t file, struct sc_str key,
                        const struct sc_value *value, struct sc_error *e)
{
    TRY(sc_grow(&c->metas, &c->metas_cap, c->n_metas + 1, sizeof c->metas[0], e));
    struct sc_meta m = {.key = key, .value = *value, .file = file};
    TRY(copy_text(c, &m.key, e));
    if (value->kind == SC_VALUE_STRING)
        TRY(copy_text(c, &m.value.as.s, e));
    if (value->kind == SC_VALUE_ARRAY && value->shown > 0) {
        struct sc_value *items = SC_ARENA_NEW(&c->arena, struct sc_value, value->shown);
        if (!items)
            return sc_fail_memory(e);
        for (size_t i = 0; i < value->shown; i++) {
            items[i] = value->as.a.items[i];
            if (items[i].kind == SC_VALUE_STRING)
                TRY(copy_text(c, &items[i].as.s, e));
        }
        m.value.as.a.items = items;
    }
    c->metas[c->n_metas++] = m;
    return 0;
}

int sc_catalog_add_view(struct sc_catalog *c, const struct sc_view *view, size_t rank,
                        uint32_t *index, struct sc_error *e)
{
    TRY(sc_pages_grow(c->filed, &c->views, &c->views_cap, c->n_views + 1, sizeof c->views[0], e));
    uint64_t *strides = SC_ARENA_NEW(&c->arena, uint64_t, rank + 1);
    if (!strides)
        return sc_fail_memory(e);
    if (rank)
        memcpy(strides, view->strides, rank * sizeof strides[0]);
    *index = (uint32_t)c->n_views;
    c->views[c->n_views] = *view;
    c->views[c->n_views++].strides = strides;
    return 0;
}

int sc_catalog_add_storage(struct sc_catalog *c, const struct sc_storage *s, struct sc_str key,
                           uint32_t *index, struct sc_error *e)
{
    TRY(sc_pages_grow(c->filed, &c->storages, &c->storages_cap, c->n_storages + 1,
                      sizeof c->storages[0], e));
    const char *copy = sc_arena_copy(&c->arena, key.p, key.n);
    if (!copy)
        return sc_fail_memory(e);
    *index = (uint32_t)c->n_storages;
    c->storages[c->n_storages] = *s;
    c->storages[c->n_storages++].key = copy;
    return 0;
}

int sc_catalog_add_quantizer(struct sc_catalog *c, const struct sc_quantizer *q, uint32_t *position,
                             struct sc_error *e)
{
    TRY(sc_grow(&c->quantizers, &c->quantizers_cap, c->n_quantizers + 1, sizeof c->quantizers[0],
                e));
    c->quantizers[c->n_quantizers++] = *q;
    *position = (uint32_t)c->n_quantizers;
    return 0;
}

const struct sc_quantizer *sc_entry_quantizer(const struct sc_catalog *c, const struct sc_entry *en)
{
    const uint32_t at = en->view == SC_NO_STORAGE ? 0 : c->views[en->view].quantizer;
    return at ? &c->quantizers[at - 1] : NULL;
}

int sc_catalog_add_import(struct sc_catalog *c, uint32_t file, struct sc_str name, bool called,
                          enum sc_verdict verdict, struct sc_error *e)
{
    const uint64_t hash = sc_hash_mix(sc_hash(name.p, name.n), file);
    size_t probe = 0;
    for (uint32_t id; (id = sc_index_next(&c->import_index, hash, &probe)) != UINT32_MAX;) {
        struct sc_import *known = &c->imports[id];
        if (known->file == file && sc_str_eq(sc_strz(known->name), name)) {
            known->count += !called;
            known->called += called;
            return 0;
        }
    }
    TRY(sc_grow(&c->imports, &c->imports_cap, c->n_imports + 1, sizeof c->imports[0], e));
    const char *copy = sc_arena_copy(&c->arena, name.p, name.n);
    if (!copy)
        return sc_fail_memory(e);
    TRY(sc_index_put(&c->import_index, hash, (uint32_t)c->n_imports, e));
    c->imports[c->n_imports++] = (struct sc_import){.name = copy,
                                                    .file = file,
                                                    .count = !called,
                                                    .called = called,
                                                    .verdict = (uint8_t)verdict};
    return 0;
}

/* The finding itself; called with the formatted message. */
static int record(struct sc_catalog *c, enum sc_severity severity, const char *id, uint32_t file,
                  struct sc_str tensor, uint64_t offset, const char *message, struct sc_error *e)
{
    c->n_errors += severity == SC_ERROR;
    c->n_warnings += severity == SC_WARNING;
    if (c->n_findings >= SC_MAX_FINDINGS) {
        c->findings_dropped++;
        return 0;
    }
    TRY(sc_grow(&c->findings, &c->findings_cap, c->n_findings + 1, sizeof c->findings[0], e));
    struct sc_finding f = {.id = id, .offset = offset, .file = file, .severity = (uint8_t)severity};
    struct sc_buf safe = {0}; /* paths stand in messages as they are */
    sc_put_safe(&safe, sc_strz(message), 0);
    f.message = safe.failed ? NULL : sc_arena_copy(&c->arena, safe.n ? safe.p : "", safe.n);
    sc_buf_clear(&safe);
    if (!f.message)
        return sc_fail_memory(e);
    if (tensor.p) {
        struct sc_quoted q;
        sc_quote(&q, tensor);
        f.tensor = sc_arena_copy(&c->arena, q.s, strlen(q.s));
        if (!f.tensor)
            return sc_fail_memory(e);
    }
    c->findings[c->n_findings++] = f;
    return 0;
}

int sc_problem(struct sc_catalog *c, enum sc_severity severity, const char *id, uint32_t file,
               struct sc_str tensor, uint64_t offset, struct sc_error *e, const char *fmt, ...)
{
    struct sc_error said;
    va_list ap;
    va_start(ap, fmt);
    sc_fail_v(&said, SCRUPLE_EFORMAT, fmt, ap);
    va_end(ap);
    TRY(record(c, severity, id, file, tensor, offset, said.text, e));
    if (severity != SC_ERROR || (c->options && c->options->lenient))
        return 0;
    if (e) {
        *e = said;
        e->has_offset = offset != SC_NO_OFFSET;
        e->offset = offset;
        if (file != UINT32_MAX) {
            struct sc_quoted q;
            sc_error_prefix(e, "%s", sc_quote(&q, sc_strz(c->files[file].path)));
        }
    }
    return SCRUPLE_EFORMAT;
}
