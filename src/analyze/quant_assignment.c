/* SPDX-License-Identifier: Apache-2.0 */
/* quant_assignment: which cell has which format, as files that numpy and wq's tools read. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analyze/quality_parts.h"
#include "analyze/quant.h"
#include "hub/cache.h"

static const char *const grain_names[] = {NULL, "tile", "row", "group"};
static const char *const wq_formats[] = {"bf16", "bfp8", "bfp4", "bfp2"};

/* ------------------------------------------------------------------------------------ NPY --- */
void sc_npy_put_header(struct sc_buf *out, const char *descr, const uint64_t *shape, size_t rank)
{
    const size_t start = out->n, prefix = 10;

    sc_buf_put(out, "\x93NUMPY\x01\x00--", prefix);
    sc_buf_printf(out, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (size_t i = 0; i < rank; i++)
        sc_buf_printf(out, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    sc_buf_puts(out, rank == 1 ? ",), }" : "), }");
    while (!out->failed && (out->n - start + 1) % 64)
        sc_buf_putc(out, ' ');
    sc_buf_putc(out, '\n');
    if (out->failed)
        return;
    const size_t length = out->n - start - prefix; /* below 64 KiB: rank is at most SC_MAX_RANK */
    out->p[start + 8] = (char)(length & 0xff);
    out->p[start + 9] = (char)(length >> 8 & 0xff);
}

static void shape_of(const struct sc_cells *c, uint64_t shape[2])
{
    shape[0] = c->matrices * c->down;
    shape[1] = c->across;
}

/* Where a format of these cells stands in the files: wq's numbers where wq has them. */
static bool wq_index(const struct sc_cells *c, size_t n, int8_t index[SC_QUANT_MIX])
{
    for (size_t i = 0; i < n; i++) {
        index[i] = -1;
        for (size_t k = 0; k < SC_COUNT(wq_formats); k++)
            if (strcmp(c->formats[i].name, wq_formats[k]) == 0)
                index[i] = (int8_t)k;
    }
    bool all = c->grain == SC_GRAIN_TILE;
    for (size_t i = 0; i < n; i++)
        all = all && index[i] >= 0;
    for (size_t i = 0; i < n && !all; i++)
        index[i] = (int8_t)i;
    return all;
}

void sc_quant_assignment_npy(const struct sc_cells *c, const int8_t *format, struct sc_buf *out)
{
    int8_t index[SC_QUANT_MIX];
    uint64_t shape[2];

    wq_index(c, c->n_formats, index);
    shape_of(c, shape);
    sc_npy_put_header(out, "|i1", shape, 2);
    for (uint64_t i = 0; i < c->n; i++)
        sc_buf_putc(out, (char)(format[i] < 0 ? -1 : index[format[i]]));
}

void sc_quant_assignment_mapping(const struct sc_cells *c, const struct sc_tensor *t,
                                 struct sc_buf *out)
{
    int8_t index[SC_QUANT_MIX];
    uint64_t shape[2];
    const bool wq = wq_index(c, c->n_formats, index);
    const size_t n = wq ? SC_COUNT(wq_formats) : c->n_formats;
    json_t *o = json_object(), *to = json_object(), *from = json_object(), *dims = json_array();

    shape_of(c, shape);
    for (size_t i = 0; i < n; i++) {
        const char *name = wq ? wq_formats[i] : c->formats[i].name;
        char digits[24];
        snprintf(digits, sizeof digits, "%zu", i);
        json_object_set_new(to, name, json_integer((json_int_t)i));
        json_object_set_new(from, digits, json_string(name));
    }
    for (size_t i = 0; i < t->rank; i++)
        json_array_append_new(dims, json_integer((json_int_t)t->shape[i]));
    json_object_set_new(o, "tile_hw", json_integer(32));
    json_object_set_new(o, "format_to_int", to);
    json_object_set_new(o, "int_to_format", from);
    json_object_set_new(o, "assignment_shape",
                        json_pack("[I,I]", (json_int_t)shape[0], (json_int_t)shape[1]));
    json_object_set_new(o, "granularity", json_string(grain_names[c->grain]));
    json_object_set_new(o, "group",
                        c->grain == SC_GRAIN_GROUP ? json_integer(c->group) : json_null());
    json_t *name = json_stringn(t->name, t->name_len);
    json_object_set_new(o, "tensor", name ? name : json_null());
    json_object_set_new(o, "shape", dims);
    char *text = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(o);
    if (text)
        sc_buf_puts(out, text);
    else
        out->failed = true;
    sc_buf_putc(out, '\n');
    free(text);
}

/* -------------------------------------------------------------------------------- mapping --- */
struct mapping {
    struct sc_quant_formats formats; /* by index */
    uint8_t grain;
    uint32_t group;
};

static int wrong(struct sc_error *e, const char *path, const char *why)
{
    struct sc_quoted q;

    return sc_fail(e, SCRUPLE_EFORMAT, "%s: is no mapping of an assignment: %s",
                   sc_quote(&q, sc_strz(path)), why);
}

static int read_grain(struct mapping *m, json_t *root, const char *path, struct sc_error *e)
{
    json_t *grain = json_object_get(root, "granularity"), *group = json_object_get(root, "group");

    m->grain = SC_GRAIN_TILE;
    if (!grain)
        return 0;
    m->grain = SC_GRAIN_NONE;
    for (size_t i = SC_GRAIN_TILE; i < SC_COUNT(grain_names); i++)
        if (json_is_string(grain) && strcmp(json_string_value(grain), grain_names[i]) == 0)
            m->grain = (uint8_t)i;
    if (m->grain == SC_GRAIN_NONE)
        return wrong(e, path, "granularity is tile, row or group");
    if (m->grain != SC_GRAIN_GROUP)
        return 0;
    if (!json_is_integer(group) || json_integer_value(group) < 1 ||
        json_integer_value(group) > INT32_MAX)
        return wrong(e, path, "group is a number of values");
    m->group = (uint32_t)json_integer_value(group);
    return 0;
}

static int read_object(struct mapping *m, json_t *root, const char *path, struct sc_error *e)
{
    json_t *names = json_object_get(root, "int_to_format"),
           *tile = json_object_get(root, "tile_hw");

    if (!json_is_object(names) || !json_object_size(names) ||
        json_object_size(names) > SC_QUANT_MIX)
        return wrong(e, path, "int_to_format names 1 to 16 formats");
    if (tile && (!json_is_integer(tile) || json_integer_value(tile) != 32))
        return wrong(e, path, "tile_hw is 32");
    for (size_t i = 0; i < json_object_size(names); i++) {
        char digits[24];
        snprintf(digits, sizeof digits, "%zu", i);
        json_t *name = json_object_get(names, digits);
        if (!json_is_string(name))
            return wrong(e, path, "int_to_format names a format for 0, 1, ...");
        TRY(sc_encoding_parse(sc_str(json_string_value(name), json_string_length(name)),
                              &m->formats.f[i], e));
        m->formats.n++;
    }
    return read_grain(m, root, path, e);
}

static int read_mapping(const char *path, struct mapping *m, struct sc_error *e)
{
    enum { MOST = 1 << 20 };
    struct sc_quoted q;
    json_error_t at = {.line = 0};
    size_t n = 0;
    char *text = sc_read_file(path, MOST, &n);

    *m = (struct mapping){.grain = SC_GRAIN_NONE};
    if (!text)
        return sc_fail(e, SCRUPLE_EIO, "%s: cannot be read, or is larger than 1 MiB",
                       sc_quote(&q, sc_strz(path)));
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &at);
    free(text);
    const int code = json_is_object(root) ? read_object(m, root, path, e)
                                          : wrong(e, path, "it is not a JSON object");
    json_decref(root);
    return code;
}

/* As named; else what belongs to the file by its name; else what wq means by the numbers. */
static int find_mapping(const char *assignment, const char *named, struct mapping *m,
                        struct sc_error *e)
{
    struct sc_buf path = {0};
    const size_t n = strlen(assignment);
    int code = 0;

    if (named)
        return read_mapping(named, m, e);
    sc_buf_put(&path, assignment, sc_str_ends(sc_strz(assignment), ".npy") ? n - 4 : n);
    sc_buf_puts(&path, "_mapping.json");
    if (path.failed) {
        code = sc_fail_memory(e);
    } else if (access(path.p, F_OK) == 0) {
        code = read_mapping(path.p, m, e);
    } else {
        *m = (struct mapping){.grain = SC_GRAIN_TILE};
        for (size_t i = 0; i < SC_COUNT(wq_formats) && code == 0; i++)
            code = sc_encoding_parse(sc_strz(wq_formats[i]), &m->formats.f[m->formats.n++], e);
    }
    sc_buf_clear(&path);
    return code;
}

/* ---------------------------------------------------------------------------------- array --- */
static int read_array(const struct sc_model *m, const char *path, const struct mapping *map,
                      struct sc_quant_assignment *out, struct sc_error *e)
{
    enum { STEP = 4096 };
    const struct sc_tensor *t = m->n_tensors == 1 ? &m->tensors[0] : NULL;
    struct sc_values *v = NULL;
    struct sc_quoted q;
    uint64_t want[2];
    float part[STEP];

    shape_of(&out->geometry, want);
    if (!t || t->rank != 2 || strcmp(t->dtype, "I8") != 0)
        return sc_fail(e, SCRUPLE_EFORMAT,
                       "%s: an assignment is one array of int8 with two dimensions",
                       sc_quote(&q, sc_strz(path)));
    if (t->shape[0] != want[0] || t->shape[1] != want[1])
        return sc_fail(e, SCRUPLE_EFORMAT,
                       "%s: has shape %llux%llu, but the tensor has %llux%llu cells",
                       sc_quote(&q, sc_strz(path)), (unsigned long long)t->shape[0],
                       (unsigned long long)t->shape[1], (unsigned long long)want[0],
                       (unsigned long long)want[1]);
    out->format = sc_alloc((size_t)SC_MAX(out->geometry.n, UINT64_C(1)));
    if (!out->format)
        return sc_fail_memory(e);
    int code = sc_values_open(m, 0, &v, e);
    for (uint64_t at = 0; code >= 0 && at < out->geometry.n; at += STEP) {
        const uint64_t n = SC_MIN(out->geometry.n - at, (uint64_t)STEP);
        code = sc_values_read(v, at, n, part, e);
        for (uint64_t i = 0; code >= 0 && i < n; i++) {
            if (part[i] < -1 || part[i] >= (float)map->formats.n)
                code =
                    sc_fail(e, SCRUPLE_EFORMAT,
                            "%s: cell %llu has format %d, but there are %zu (from 0 on; -1: none)",
                            sc_quote(&q, sc_strz(path)), (unsigned long long)at + i, (int)part[i],
                            map->formats.n);
            else
                out->format[at + i] = (int8_t)part[i];
        }
    }
    sc_values_close(v);
    return code;
}

/* The cells of a tensor without their tables. */
static int geometry_of(const struct sc_values *v, const struct mapping *map, struct sc_cells *out,
                       struct sc_error *e)
{
    const struct sc_quality_options o = {.formats = map->formats.f,
                                         .n = map->formats.n,
                                         .grain = (enum sc_grain)map->grain,
                                         .group = map->group};
    struct sc_cells *c = NULL;

    TRY(sc_cells_make(&o, v, &c, e));
    *out = *c;
    out->values = NULL;
    out->errors = NULL;
    out->records = NULL;
    sc_cells_free(c);
    return 0;
}

int sc_quant_assignment_read(const char *path, const char *mapping, const struct sc_values *v,
                             struct sc_quant_assignment *out, struct sc_error *e)
{
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_model *m = NULL;
    struct mapping map;

    *out = (struct sc_quant_assignment){.format = NULL};
    TRY(find_mapping(path, mapping, &map, e));
    TRY(geometry_of(v, &map, &out->geometry, e));
    TRY(sc_model_open(path, &o, &m, e));
    const int code = read_array(m, path, &map, out, e);
    sc_model_close(m);
    if (code < 0)
        sc_quant_assignment_clear(out);
    return code;
}

void sc_quant_assignment_clear(struct sc_quant_assignment *a)
{
    free(a->format);
    *a = (struct sc_quant_assignment){.format = NULL};
}
