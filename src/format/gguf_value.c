/* SPDX-License-Identifier: Apache-2.0 */
/* gguf_value: numbers, strings and key values of a GGUF file.
 *
 *     value types: 0 u8  1 i8  2 u16  3 i16  4 u32  5 i32  6 f32  7 bool  8 string  9 array
 *                  10 u64  11 i64  12 f64
 *     string:      length, then that many bytes (any bytes, no terminator)
 *     array:       u32 element type, length, then the elements; arrays of arrays are legal
 *
 * Of an array only the first SC_PREVIEW_ITEMS elements are kept. Elements of a fixed size behind
 * them are stepped over without being read; strings have to be walked. */
#include "format/gguf.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_DEPTH = 8 };

enum value_type {
    TYPE_U8,
    TYPE_I8,
    TYPE_U16,
    TYPE_I16,
    TYPE_U32,
    TYPE_I32,
    TYPE_F32,
    TYPE_BOOL,
    TYPE_STRING,
    TYPE_ARRAY,
    TYPE_U64,
    TYPE_I64,
    TYPE_F64,
    TYPE_COUNT
};

/* bytes 0: the element carries its own length. */
static const struct {
    uint8_t bytes;
    uint8_t kind;
} types[TYPE_COUNT] = {
    [TYPE_U8] = {1, SC_VALUE_UINT},       [TYPE_I8] = {1, SC_VALUE_INT},
    [TYPE_U16] = {2, SC_VALUE_UINT},      [TYPE_I16] = {2, SC_VALUE_INT},
    [TYPE_U32] = {4, SC_VALUE_UINT},      [TYPE_I32] = {4, SC_VALUE_INT},
    [TYPE_F32] = {4, SC_VALUE_FLOAT},     [TYPE_BOOL] = {1, SC_VALUE_BOOL},
    [TYPE_STRING] = {0, SC_VALUE_STRING}, [TYPE_ARRAY] = {0, SC_VALUE_ARRAY},
    [TYPE_U64] = {8, SC_VALUE_UINT},      [TYPE_I64] = {8, SC_VALUE_INT},
    [TYPE_F64] = {8, SC_VALUE_FLOAT},
};

static bool need(struct sc_gguf *g, uint64_t n, const char *what)
{
    const uint64_t left = sc_reader_left(&g->r);

    if (n <= left)
        return true;
    return sc_gguf_stop(
        g, sc_problem(g->c, SC_ERROR, "gguf.truncated", g->file, SC_NO_TENSOR, g->r.pos, g->e,
                      "the file ends inside %s at byte %" PRIu64 ", which needs %" PRIu64
                      " bytes, but %" PRIu64 " are left (truncated download?)",
                      what, g->r.pos, n, left));
}

bool sc_gguf_u32(struct sc_gguf *g, uint32_t *out, const char *what)
{
    return need(g, 4, what) && sc_gguf_ok(g, sc_reader_u32(&g->r, out, what, g->e));
}

bool sc_gguf_u64(struct sc_gguf *g, uint64_t *out, const char *what)
{
    return need(g, 8, what) && sc_gguf_ok(g, sc_reader_u64(&g->r, out, what, g->e));
}

bool sc_gguf_length(struct sc_gguf *g, uint64_t *out, const char *what)
{
    /* Everything that repeats begins with a length, so this bounds every loop over the file. */
    if (g->r.pos > SC_MAX_GGUF_HEADER)
        return sc_gguf_stop(
            g, sc_problem(g->c, SC_ERROR, "gguf.limit", g->file, SC_NO_TENSOR, g->r.pos, g->e,
                          "metadata and tensor list are longer than the limit of %" PRIu64 " bytes",
                          SC_MAX_GGUF_HEADER));
    if (g->version > 1)
        return sc_gguf_u64(g, out, what);
    uint32_t n;
    if (!sc_gguf_u32(g, &n, what))
        return false;
    *out = n;
    return true;
}

/* The length of a string, checked against the file and the limit. */
static bool string_length(struct sc_gguf *g, uint64_t max, uint64_t *out, const char *what)
{
    if (!sc_gguf_length(g, out, what) || !need(g, *out, what))
        return false;
    if (*out <= max)
        return true;
    return sc_gguf_stop(
        g, sc_problem(g->c, SC_ERROR, "gguf.string", g->file, SC_NO_TENSOR, g->r.pos, g->e,
                      "%s at byte %" PRIu64 " is %" PRIu64 " bytes long, the limit is %" PRIu64,
                      what, g->r.pos, *out, max));
}

bool sc_gguf_string(struct sc_gguf *g, uint64_t max, struct sc_str *out, const char *what)
{
    uint64_t n;
    const uint8_t *p;

    if (!string_length(g, max, &n, what) ||
        !sc_gguf_ok(g, sc_reader_take(&g->r, n, &p, what, g->e)))
        return false;
    *out = sc_str((const char *)p, (size_t)n);
    return true;
}

static bool read_string(struct sc_gguf *g, struct sc_str *out, const char *what)
{
    if (!sc_gguf_string(g, SC_MAX_GGUF_STRING, out, what))
        return false;
    out->p = sc_arena_copy(&g->scratch, out->p, out->n);
    return out->p || sc_gguf_stop(g, sc_fail_memory(g->e));
}

static bool skip_string(struct sc_gguf *g, const char *what)
{
    uint64_t n;

    return string_length(g, SC_MAX_GGUF_STRING, &n, what) &&
           sc_gguf_ok(g, sc_reader_skip(&g->r, n, what, g->e));
}

/* The value of a type with a fixed size, at p. */
static void decode(const struct sc_gguf *g, uint32_t type, const uint8_t *p, struct sc_value *out)
{
    const size_t n = types[type].bytes;
    const uint64_t sign = n ? UINT64_C(1) << (8 * n - 1) : 0;
    uint64_t u = 0;
    float f;

    for (size_t i = 0; i < n; i++)
        u |= (uint64_t)p[g->r.big_endian ? n - 1 - i : i] << 8 * i;
    *out = (struct sc_value){.kind = types[type].kind};
    switch ((enum value_type)type) {
    case TYPE_BOOL:
        out->as.b = u != 0;
        break;
    case TYPE_I8:
    case TYPE_I16:
    case TYPE_I32:
    case TYPE_I64:
        out->as.i = (int64_t)((u ^ sign) - sign);
        break;
    case TYPE_F32: {
        const uint32_t bits = (uint32_t)u;
        memcpy(&f, &bits, sizeof f);
        out->as.f = f;
        break;
    }
    case TYPE_F64:
        memcpy(&out->as.f, &u, sizeof out->as.f);
        break;
    case TYPE_U8:
    case TYPE_U16:
    case TYPE_U32:
    case TYPE_U64:
    case TYPE_STRING:
    case TYPE_ARRAY:
    case TYPE_COUNT:
        out->as.u = u;
        break;
    }
}

static bool read_scalar(struct sc_gguf *g, struct sc_str key, uint32_t type, struct sc_value *out,
                        const char *what)
{
    const uint64_t at = g->r.pos;
    const uint8_t *p;
    struct sc_quoted q;

    if (!need(g, types[type].bytes, what) ||
        !sc_gguf_ok(g, sc_reader_take(&g->r, types[type].bytes, &p, what, g->e)))
        return false;
    decode(g, type, p, out);
    if (type != TYPE_BOOL || *p <= 1)
        return true;
    return sc_gguf_ok(g, sc_problem(g->c, SC_INFO, "gguf.bool", g->file, SC_NO_TENSOR, at, g->e,
                                    "the boolean of key \"%s\" is stored as %u and taken as true",
                                    sc_quote(&q, key), *p));
}

static bool check_type(struct sc_gguf *g, struct sc_str key, uint32_t type)
{
    struct sc_quoted q;

    if (type < TYPE_COUNT)
        return true;
    return sc_gguf_stop(g, sc_problem(g->c, SC_ERROR, "gguf.value.type", g->file, SC_NO_TENSOR,
                                      g->r.pos - 4, g->e,
                                      "key \"%s\" has value type %" PRIu32 ", known are 0 to %d",
                                      sc_quote(&q, key), type, TYPE_COUNT - 1));
}

/* Type and count of an array. The count is held against the bytes that are left, so that nothing
 * is ever allocated or repeated because of a number alone. */
static bool array_head(struct sc_gguf *g, struct sc_str key, uint32_t *type, struct sc_value *out)
{
    struct sc_quoted q;
    uint64_t count, least;

    if (!sc_gguf_u32(g, type, "an array") || !check_type(g, key, *type) ||
        !sc_gguf_length(g, &count, "an array"))
        return false;
    least = g->version > 1 ? 8 : 4;
    least = types[*type].bytes ? types[*type].bytes : *type == TYPE_ARRAY ? 4 + least : least;
    if (count > sc_reader_left(&g->r) / least)
        return sc_gguf_stop(
            g, sc_problem(g->c, SC_ERROR, "gguf.array", g->file, SC_NO_TENSOR, g->r.pos, g->e,
                          "the array of key \"%s\" has %" PRIu64 " elements, but only %" PRIu64
                          " bytes are left (truncated download?)",
                          sc_quote(&q, key), count, sc_reader_left(&g->r)));
    *out = (struct sc_value){.kind = SC_VALUE_ARRAY, .element = types[*type].kind};
    out->as.a.count = count;
    out->as.a.offset = g->r.pos;
    return true;
}

/* The elements of an array of anything but arrays; the first `keep` go to items. */
static bool read_elements(struct sc_gguf *g, struct sc_str key, uint32_t type, uint64_t count,
                          struct sc_value *items, size_t keep)
{
    uint64_t i = 0;

    for (; i < keep; i++) {
        items[i] = (struct sc_value){.kind = types[type].kind};
        if (type == TYPE_STRING ? !read_string(g, &items[i].as.s, "a string of an array")
                                : !read_scalar(g, key, type, &items[i], "an array"))
            return false;
    }
    if (type != TYPE_STRING)
        return sc_gguf_ok(g,
                          sc_reader_skip(&g->r, (count - i) * types[type].bytes, "an array", g->e));
    for (; i < count; i++)
        if (!skip_string(g, "a string of an array"))
            return false;
    return true;
}

/* Arrays of arrays: the first inner arrays are previewed with their counts, what is inside them is
 * only walked. `left` counts the arrays that are still to come on each level; levels above the
 * first keep nothing. */
static bool read_nested(struct sc_gguf *g, struct sc_str key, uint64_t count,
                        struct sc_value *items, size_t keep)
{
    struct sc_quoted q;
    struct sc_value inner;
    uint64_t left[MAX_DEPTH] = {count};
    size_t depth = 1, kept = 0;
    uint32_t type;

    while (depth > 0) {
        if (left[depth - 1] == 0) {
            depth--;
            continue;
        }
        left[depth - 1]--;
        if (!array_head(g, key, &type, &inner))
            return false;
        if (depth == 1 && kept < keep)
            items[kept++] = inner;
        if (type != TYPE_ARRAY) {
            if (!read_elements(g, key, type, inner.as.a.count, NULL, 0))
                return false;
            continue;
        }
        if (depth == MAX_DEPTH - 1)
            return sc_gguf_stop(
                g, sc_problem(g->c, SC_ERROR, "gguf.array.depth", g->file, SC_NO_TENSOR, g->r.pos,
                              g->e, "the arrays of key \"%s\" are nested more than %d deep",
                              sc_quote(&q, key), MAX_DEPTH));
        left[depth++] = inner.as.a.count;
    }
    return true;
}

static bool read_array(struct sc_gguf *g, struct sc_str key, struct sc_value *out)
{
    struct sc_value *items;
    uint32_t type;

    if (!array_head(g, key, &type, out))
        return false;
    const uint64_t count = out->as.a.count;
    const size_t keep = (size_t)SC_MIN(count, SC_PREVIEW_ITEMS);
    items = SC_ARENA_NEW(&g->scratch, struct sc_value, SC_PREVIEW_ITEMS);
    if (!items)
        return sc_gguf_stop(g, sc_fail_memory(g->e));
    out->shown = (uint16_t)keep;
    out->as.a.items = items;
    return type == TYPE_ARRAY ? read_nested(g, key, count, items, keep)
                              : read_elements(g, key, type, count, items, keep);
}

bool sc_gguf_value(struct sc_gguf *g, struct sc_str key, uint32_t type, struct sc_value *out)
{
    if (!check_type(g, key, type))
        return false;
    if (type == TYPE_ARRAY)
        return read_array(g, key, out);
    if (type != TYPE_STRING)
        return read_scalar(g, key, type, out, "the value of a key");
    *out = (struct sc_value){.kind = SC_VALUE_STRING};
    return read_string(g, &out->as.s, "the value of a key");
}
