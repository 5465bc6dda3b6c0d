/* SPDX-License-Identifier: Apache-2.0 */
/* gguf: header and tensor list of GGUF files, versions 1 to 3, in either byte order.
 *
 *     "GGUF"                        4 bytes
 *     version                       u32; a swapped number means that the file is big-endian
 *     tensors, keys                 two lengths (u32 in version 1, u64 later)
 *     keys times                    string key, u32 value type, value        (gguf_value.c)
 *     tensors times                 string name, u32 rank, rank lengths (innermost first),
 *                                   u32 element type, u64 offset from the data
 *     zeros up to general.alignment (32 unless a key of that name says otherwise)
 *     data                          every tensor begins at a multiple of the alignment
 *
 * Nothing in the file says how large a tensor is: its bytes follow from type and shape, and for a
 * type that has no codec row they reach up to the next tensor.
 *
 * Owns: reading that, and how the tensors lie in the file. Does not own: split models
 * (gguf_split.c), nor what keys and names mean (model).
 *
 * In lenient mode the rows still add up: a tensor whose bytes are cut, or claimed by an earlier
 * one, is listed as broken with the bytes that are really its own. */
#include "format/gguf.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    FIRST_CHUNK = 256 << 10, /* most headers without a vocabulary fit */
    DEFAULT_ALIGNMENT = 32,
    MAX_ALIGNMENT = 1 << 20,
    GGML_MAX_NAME = 63,
};
/* Bytes of a tensor whose type has no codec row, until the layout is known. */
#define UNSIZED UINT64_MAX

struct tensor_list {
    struct sc_index names; /* of entries, by name */
    uint32_t first;        /* entry of the first tensor */
    uint64_t n_long_names;
    struct sc_str long_name; /* the first of them */
};

static bool interrupted(struct sc_gguf *g)
{
    return sc_cancelled(g->c) &&
           !sc_gguf_stop(g, sc_fail(g->e, SCRUPLE_EINTERRUPTED, "interrupted"));
}

/* A lenient reading of noise must end: after this many errors nothing new is being said. */
static bool hopeless(struct sc_gguf *g)
{
    return g->c->n_errors > SC_MAX_FINDINGS && !sc_gguf_stop(g, 0);
}

/* --------------------------------------------------------------------------------- header --- */

static bool read_version(struct sc_gguf *g)
{
    const uint8_t *magic;
    uint32_t version, swapped;

    if (sc_reader_left(&g->r) < 8)
        return sc_gguf_stop(g, sc_problem(g->c, SC_ERROR, "gguf.truncated", g->file, SC_NO_TENSOR,
                                          0, g->e,
                                          "the file has %" PRIu64
                                          " bytes, too few for a GGUF header (truncated download?)",
                                          sc_reader_left(&g->r)));
    if (!sc_gguf_ok(g, sc_reader_take(&g->r, 4, &magic, "the magic number", g->e)))
        return false;
    const uint32_t word = sc_le32(magic);
    if (word != UINT32_C(0x46554747) && word != UINT32_C(0x47475546))
        return sc_gguf_stop(g, sc_problem(g->c, SC_ERROR, "gguf.magic", g->file, SC_NO_TENSOR, 0,
                                          g->e, "the file does not begin with \"GGUF\""));
    if (!sc_gguf_u32(g, &version, "the version"))
        return false;
    swapped = __builtin_bswap32(version);
    if (swapped >= 1 && swapped <= 3) {
        g->r.big_endian = true;
        version = swapped;
    }
    g->version = version;
    if (version < 1 || version > 3)
        return sc_gguf_stop(g, sc_problem(g->c, SC_ERROR, "gguf.version", g->file, SC_NO_TENSOR, 4,
                                          g->e, "GGUF version %" PRIu32 ", known are 1 to 3",
                                          version));
    return !g->r.big_endian ||
           sc_gguf_ok(g, sc_problem(g->c, SC_INFO, "gguf.big-endian", g->file, SC_NO_TENSOR, 4,
                                    g->e, "the file is big-endian"));
}

/* Each tensor and key takes some bytes, so a count can be refused before anything is read. */
static bool check_counts(struct sc_gguf *g, uint64_t n_tensors, uint64_t n_keys)
{
    const uint64_t width = g->version > 1 ? 8 : 4;
    const uint64_t tensor = width + 4 + 4 + 8; /* name, rank, type, offset */
    const uint64_t key = width + 4 + 1;        /* key, value type, value */
    const uint64_t left = sc_reader_left(&g->r);

    if (n_tensors <= left / tensor && n_keys <= (left - n_tensors * tensor) / key)
        return true;
    return sc_gguf_ok(g,
                      sc_problem(g->c, SC_ERROR, "gguf.count", g->file, SC_NO_TENSOR, 8, g->e,
                                 "the header promises %" PRIu64 " tensors and %" PRIu64
                                 " keys, but only %" PRIu64 " bytes are left (truncated download?)",
                                 n_tensors, n_keys, left));
}

/* ----------------------------------------------------------------------------------- keys --- */

static bool set_alignment(struct sc_gguf *g, uint32_t type, const struct sc_value *v)
{
    const uint64_t u = v->kind == SC_VALUE_UINT ? v->as.u : 0;

    if (type != 4 || u == 0 || u > MAX_ALIGNMENT || (u & (u - 1)) != 0)
        return sc_gguf_ok(g, sc_problem(g->c, SC_ERROR, "gguf.alignment", g->file, SC_NO_TENSOR,
                                        SC_NO_OFFSET, g->e,
                                        "general.alignment must be a u32 (type 4) that is a power "
                                        "of two from 1 to %d; it has type %" PRIu32
                                        " and value %" PRIu64,
                                        MAX_ALIGNMENT, type, u));
    g->alignment = u;
    return u % 8 == 0 || sc_gguf_ok(g, sc_problem(g->c, SC_WARNING, "gguf.alignment", g->file,
                                                  SC_NO_TENSOR, SC_NO_OFFSET, g->e,
                                                  "general.alignment is %" PRIu64
                                                  ", the specification asks for a multiple of 8",
                                                  u));
}

/* The key is copied to scratch: its value is read before it reaches the catalog. */
static bool read_key_name(struct sc_gguf *g, struct sc_str *key)
{
    if (!sc_gguf_string(g, SC_MAX_NAME, key, "a key"))
        return false;
    if (key->n == 0)
        return sc_gguf_stop(g, sc_problem(g->c, SC_ERROR, "gguf.key.empty", g->file, SC_NO_TENSOR,
                                          g->r.pos, g->e, "a key is empty at byte %" PRIu64,
                                          g->r.pos));
    key->p = sc_arena_copy(&g->scratch, key->p, key->n);
    return key->p || sc_gguf_stop(g, sc_fail_memory(g->e));
}

static bool is_duplicate_key(const struct sc_gguf *g, const struct sc_index *keys, uint64_t hash,
                             struct sc_str key)
{
    size_t probe = 0;

    for (uint32_t id; (id = sc_index_next(keys, hash, &probe)) != UINT32_MAX;)
        if (sc_str_eq(g->c->metas[id].key, key))
            return true;
    return false;
}

static bool read_key(struct sc_gguf *g, struct sc_index *keys)
{
    const uint64_t at = g->r.pos;
    struct sc_value value;
    struct sc_quoted q;
    struct sc_str key;
    uint32_t type;

    if (!read_key_name(g, &key) || !sc_gguf_u32(g, &type, "the value type of a key") ||
        !sc_gguf_value(g, key, type, &value))
        return false;
    const uint64_t hash = sc_hash(key.p, key.n);
    if (is_duplicate_key(g, keys, hash, key))
        return sc_gguf_ok(g,
                          sc_problem(g->c, SC_ERROR, "gguf.key.duplicate", g->file, SC_NO_TENSOR,
                                     at, g->e, "key \"%s\" is there twice, again at byte %" PRIu64,
                                     sc_quote(&q, key), at));
    if (sc_str_is(key, "general.alignment") && !set_alignment(g, type, &value))
        return false;
    return sc_gguf_ok(g, sc_index_put(keys, hash, (uint32_t)g->c->n_metas, g->e)) &&
           sc_gguf_ok(g, sc_catalog_add_meta(g->c, g->file, key, &value, g->e));
}

static bool read_keys(struct sc_gguf *g, uint64_t n)
{
    struct sc_index keys = {0};
    bool good = true;

    for (uint64_t i = 0; good && i < n; i++) {
        good = !interrupted(g) && !hopeless(g) && read_key(g, &keys);
        sc_arena_clear(&g->scratch);
    }
    sc_index_clear(&keys);
    return good;
}

/* -------------------------------------------------------------------------------- tensors --- */

/* Name, rank and dimensions (outermost first), as far as they make sense. A rank above what GGML
 * allows is an error, but the record can still be followed. */
static bool read_tensor_head(struct sc_gguf *g, struct sc_str *name, uint64_t *shape,
                             uint32_t *rank)
{
    struct sc_quoted q;

    if (!sc_gguf_string(g, SC_MAX_NAME, name, "a tensor name"))
        return false;
    name->p = sc_arena_copy(&g->c->arena, name->p, name->n);
    if (!name->p)
        return sc_gguf_stop(g, sc_fail_memory(g->e));
    if (!sc_gguf_u32(g, rank, "the rank of a tensor"))
        return false;
    if (*rank > SC_MAX_GGUF_RANK) {
        const int code = sc_problem(g->c, SC_ERROR, "gguf.rank", g->file, *name, g->r.pos - 4, g->e,
                                    "tensor \"%s\" has %" PRIu32 " dimensions, the limit is %d",
                                    sc_quote(&q, *name), *rank, SC_MAX_GGUF_RANK);
        if (code < 0 || *rank > SC_MAX_RANK)
            return sc_gguf_stop(g, code);
    }
    for (uint32_t i = *rank; i-- > 0;)
        if (!sc_gguf_length(g, &shape[i], "the shape of a tensor"))
            return false;
    return true;
}

/* Once a model, not once a tensor: a file of such a type has hundreds. */
static int unknown_type(struct sc_gguf *g, struct sc_str name, uint32_t type, uint32_t *dtype)
{
    static const struct {
        uint32_t type;
        const char *name;
    } removed[] = {
        {4, "Q4_2, removed from GGML"},        {5, "Q4_3, removed from GGML"},
        {31, "Q4_0_4_4, removed from GGML"},   {32, "Q4_0_4_8, removed from GGML"},
        {33, "Q4_0_8_8, removed from GGML"},   {36, "IQ4_NL_4_4, removed, or I2_S of BitNet"},
        {37, "IQ4_NL_4_8, removed from GGML"}, {38, "IQ4_NL_8_8, removed from GGML"},
    };
    const size_t known = g->c->n_foreign_types;
    const char *about = "unknown";
    struct sc_buf label = {.max = 64};
    struct sc_quoted q;
    int code;

    sc_buf_printf(&label, "TYPE_%" PRIu32, type);
    code = label.failed ? sc_fail_memory(g->e)
                        : sc_catalog_foreign_type(g->c, sc_str(label.p, label.n), dtype, g->e);
    sc_buf_clear(&label);
    if (code == SCRUPLE_ELIMIT)
        return sc_problem(g->c, SC_ERROR, "gguf.limit", g->file, name, SC_NO_OFFSET, g->e,
                          "tensor \"%s\" has element type %" PRIu32
                          ", which is one unknown type too many; the limit is %d",
                          sc_quote(&q, name), type, SC_MAX_FOREIGN_TYPES);
    if (code < 0 || g->c->n_foreign_types == known)
        return code;
    for (size_t i = 0; i < SC_COUNT(removed); i++)
        if (removed[i].type == type)
            about = removed[i].name;
    return sc_problem(g->c, SC_WARNING, "gguf.type.unknown", g->file, name, SC_NO_OFFSET, g->e,
                      "tensor \"%s\" has element type %" PRIu32
                      " (%s); such tensors are listed with the bytes up to the next one",
                      sc_quote(&q, name), type, about);
}

/* Type and size of a tensor. *listed is false when its shape means nothing. */
static int measure(struct sc_gguf *g, struct sc_str name, uint32_t type, const uint64_t *shape,
                   uint32_t rank, struct sc_entry *proto, bool *listed)
{
    const sc_codec_id codec = sc_codec_ggml(type);
    const uint64_t row = rank ? shape[rank - 1] : 1;
    struct sc_quoted q;
    uint64_t elements;

    *listed = false;
    for (uint32_t i = 0; i < rank; i++)
        if (shape[i] > INT64_MAX)
            return sc_problem(g->c, SC_ERROR, "gguf.shape", g->file, name, SC_NO_OFFSET, g->e,
                              "a dimension of tensor \"%s\" is %" PRIu64 ", the limit is 2^63 - 1",
                              sc_quote(&q, name), shape[i]);
    if (!sc_product(shape, rank, &elements))
        return sc_problem(g->c, SC_ERROR, "gguf.shape", g->file, name, SC_NO_OFFSET, g->e,
                          "the shape of tensor \"%s\" has more than 2^64 elements",
                          sc_quote(&q, name));
    *listed = true;
    proto->dtype = codec;
    if (codec == SC_OPAQUE) {
        proto->bytes = UNSIZED;
        return unknown_type(g, name, type, &proto->dtype);
    }
    if (sc_codec_bytes(codec, shape, rank, &proto->bytes) && proto->bytes <= INT64_MAX)
        return 0;
    proto->bytes = UNSIZED;
    proto->flags |= SC_ENTRY_BROKEN;
    if (row % sc_codec(codec)->block != 0)
        return sc_problem(g->c, SC_ERROR, "gguf.shape.block", g->file, name, SC_NO_OFFSET, g->e,
                          "the rows of tensor \"%s\" have %" PRIu64
                          " elements, but %s comes in blocks of %u",
                          sc_quote(&q, name), row, sc_codec(codec)->name, sc_codec(codec)->block);
    return sc_problem(g->c, SC_ERROR, "gguf.shape", g->file, name, SC_NO_OFFSET, g->e,
                      "tensor \"%s\" has %" PRIu64 " elements of type %s, more than 2^63 bytes",
                      sc_quote(&q, name), elements, sc_codec(codec)->name);
}

static bool is_duplicate_name(const struct sc_gguf *g, const struct tensor_list *list,
                              uint64_t hash, struct sc_str name)
{
    size_t probe = 0;

    for (uint32_t id; (id = sc_index_next(&list->names, hash, &probe)) != UINT32_MAX;)
        if (sc_str_eq(sc_entry_name(&g->c->entries[id]), name))
            return true;
    return false;
}

/* Until lay_out() the offset of an entry counts from the data. */
static bool add_tensor(struct sc_gguf *g, struct tensor_list *list, struct sc_str name,
                       const uint64_t *shape, uint32_t rank, uint32_t type, uint64_t offset)
{
    const uint64_t hash = sc_hash(name.p, name.n);
    struct sc_entry proto = {.file = g->file, .view = SC_NO_STORAGE, .offset = offset};
    struct sc_quoted q;
    bool listed;

    if (is_duplicate_name(g, list, hash, name))
        return sc_gguf_ok(g, sc_problem(g->c, SC_ERROR, "gguf.tensor.duplicate", g->file, name,
                                        SC_NO_OFFSET, g->e, "tensor \"%s\" is there twice",
                                        sc_quote(&q, name)));
    if (g->r.big_endian)
        proto.flags = SC_ENTRY_BIG_ENDIAN;
    if (!sc_gguf_ok(g, measure(g, name, type, shape, rank, &proto, &listed)))
        return false;
    if (!listed)
        return true;
    if (offset % g->alignment != 0 &&
        !sc_gguf_ok(g, sc_problem(g->c, SC_ERROR, "gguf.offset.alignment", g->file, name,
                                  SC_NO_OFFSET, g->e,
                                  "tensor \"%s\" has offset %" PRIu64
                                  ", which is not a multiple of the alignment %" PRIu64,
                                  sc_quote(&q, name), offset, g->alignment)))
        return false;
    if (name.n > GGML_MAX_NAME && list->n_long_names++ == 0)
        list->long_name = name;
    return sc_gguf_ok(g, sc_index_put(&list->names, hash, (uint32_t)g->c->n_entries, g->e)) &&
           sc_gguf_ok(g, sc_catalog_add_borrowed(g->c, name, shape, rank, &proto, g->e));
}

static bool read_tensor(struct sc_gguf *g, struct tensor_list *list)
{
    uint64_t shape[SC_MAX_RANK], offset;
    uint32_t rank, type;
    struct sc_str name;

    return read_tensor_head(g, &name, shape, &rank) &&
           sc_gguf_u32(g, &type, "the element type of a tensor") &&
           sc_gguf_u64(g, &offset, "the offset of a tensor") &&
           add_tensor(g, list, name, shape, rank, type, offset);
}

static bool read_tensors(struct sc_gguf *g, struct tensor_list *list, uint64_t n)
{
    struct sc_quoted q;

    for (uint64_t i = 0; i < n; i++)
        if (interrupted(g) || hopeless(g) || !read_tensor(g, list))
            return false;
    return list->n_long_names == 0 ||
           sc_gguf_ok(g, sc_problem(g->c, SC_WARNING, "gguf.name.long", g->file, list->long_name,
                                    SC_NO_OFFSET, g->e,
                                    "%" PRIu64 " tensor name%s longer than the %d bytes that GGML "
                                    "allows, the first is \"%s\"",
                                    list->n_long_names, list->n_long_names == 1 ? " is" : "s are",
                                    GGML_MAX_NAME, sc_quote(&q, list->long_name)));
}

/* --------------------------------------------------------------------------------- layout --- */

struct span {
    uint64_t offset;
    uint32_t entry;
};

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/* The tensors of the file in the order of their bytes; nearly every file has them in order. NULL:
 * out of memory. */
static struct span *sort_spans(const struct sc_catalog *c, uint32_t first)
{
    const size_t n = c->n_entries - first;
    struct span *spans = sc_pages_new(c->filed, n, sizeof *spans);
    bool sorted = true;

    for (size_t i = 0; spans && i < n; i++) {
        spans[i] = (struct span){c->entries[first + i].offset, first + (uint32_t)i};
        sorted = sorted && (i == 0 || spans[i - 1].offset <= spans[i].offset);
    }
    if (spans && !sorted)
        qsort(spans, n, sizeof *spans, compare_spans);
    return spans;
}

/* A tensor of unknown size reaches up to the next one. */
static void size_unsized(struct sc_catalog *c, const struct span *spans, size_t n, uint64_t size)
{
    uint64_t next = size;

    for (size_t i = n; i-- > 0;) {
        struct sc_entry *en = &c->entries[spans[i].entry];
        if (en->bytes == UNSIZED)
            en->bytes = next > en->offset ? next - en->offset : 0;
        next = SC_MIN(next, en->offset);
    }
}

/* Tensors that end behind the file. One finding, however many are cut: it is one mishap. */
static int check_ends(struct sc_gguf *g, const struct span *spans, size_t n, uint64_t size)
{
    const struct sc_entry *first = NULL;
    const uint64_t padded = sc_align_up(size, g->alignment);
    uint64_t end = 0, n_cut = 0;
    struct sc_quoted q;

    for (size_t i = 0; i < n; i++) {
        struct sc_entry *en = &g->c->entries[spans[i].entry];
        if (en->offset <= size && en->bytes <= size - en->offset)
            continue;
        if (en->bytes == 0 && en->offset <= padded) /* the last padding may be missing */
            continue;
        if (n_cut++ == 0) {
            first = en;
            if (!sc_add(en->offset, en->bytes, &end))
                end = UINT64_MAX;
        }
        en->flags |= SC_ENTRY_BROKEN;
        en->bytes = en->offset < size ? size - en->offset : 0;
    }
    if (!first)
        return 0;
    sc_quote(&q, sc_entry_name(first));
    if (n_cut == 1)
        return sc_problem(g->c, SC_ERROR, "gguf.truncated", g->file, sc_entry_name(first),
                          first->offset, g->e,
                          "tensor \"%s\" ends at byte %" PRIu64 ", but the file has %" PRIu64
                          " (truncated download?)",
                          q.s, end, size);
    return sc_problem(g->c, SC_ERROR, "gguf.truncated", g->file, sc_entry_name(first),
                      first->offset, g->e,
                      "tensor \"%s\" ends at byte %" PRIu64 ", but the file has %" PRIu64
                      ", and %" PRIu64 " more are cut or missing (truncated download?)",
                      q.s, end, size, n_cut - 1);
}

static int overlap(struct sc_gguf *g, struct sc_entry *en, const struct sc_entry *before,
                   uint64_t claimed)
{
    const uint64_t end = en->offset + en->bytes;
    struct sc_quoted a, b;

    TRY(sc_problem(g->c, SC_ERROR, "gguf.overlap", g->file, sc_entry_name(en), en->offset, g->e,
                   "tensor \"%s\" begins at byte %" PRIu64 ", but tensor \"%s\" ends at %" PRIu64,
                   sc_quote(&a, sc_entry_name(en)), en->offset, sc_quote(&b, sc_entry_name(before)),
                   claimed));
    en->flags |= SC_ENTRY_BROKEN;
    en->bytes = end > claimed ? end - claimed : 0;
    return 0;
}

/* Bytes that two tensors claim, and bytes that none does. */
static int check_order(struct sc_gguf *g, const struct span *spans, size_t n, uint64_t start,
                       uint64_t size)
{
    const struct sc_entry *last = NULL;
    uint64_t at = SC_MIN(start, size), gap = 0, gap_at = 0;

    for (size_t i = 0; i <= n; i++) {
        struct sc_entry *en = i < n ? &g->c->entries[spans[i].entry] : NULL;
        const uint64_t begin = en ? en->offset : size;
        if (en && en->bytes == 0)
            continue;
        if (en && last && begin < at) {
            const uint64_t end = begin + en->bytes;
            TRY(overlap(g, en, last, at));
            if (end > at) {
                at = end;
                last = en;
            }
            continue;
        }
        const uint64_t padded = sc_align_up(at, g->alignment);
        if (begin > padded) {
            gap_at = gap ? gap_at : padded;
            gap += begin - padded;
        }
        if (en) {
            at = begin + en->bytes;
            last = en;
        }
    }
    if (gap == 0)
        return 0;
    return sc_problem(g->c, SC_WARNING, "gguf.gap", g->file, SC_NO_TENSOR, gap_at, g->e,
                      "%" PRIu64 " bytes belong to no tensor, the first at byte %" PRIu64, gap,
                      gap_at);
}

/* From offsets in the data to positions in the file, and what is wrong with them. */
static int lay_out(struct sc_gguf *g, uint32_t first)
{
    const uint64_t size = g->r.end, start = sc_align_up(g->r.pos, g->alignment);
    const size_t n = g->c->n_entries - first;
    struct span *spans;
    int code;

    g->c->files[g->file].header_bytes = SC_MIN(start, size);
    g->c->files[g->file].data_offset = SC_MIN(start, size);
    for (size_t i = first; i < g->c->n_entries; i++)
        if (!sc_add(g->c->entries[i].offset, start, &g->c->entries[i].offset))
            g->c->entries[i].offset = UINT64_MAX;
    spans = sort_spans(g->c, first);
    if (!spans)
        return sc_fail_memory(g->e);
    size_unsized(g->c, spans, n, size);
    code = check_ends(g, spans, n, size);
    if (code >= 0)
        code = check_order(g, spans, n, start, size);
    sc_pages_free(spans);
    return code;
}

/* The tensor list broke off: where its data would begin is not known. Done after a failing read
 * too, because a lenient caller keeps what was listed. */
static void give_up(struct sc_gguf *g, uint32_t first)
{
    const uint64_t at = SC_MIN(g->r.pos, g->r.end);

    g->c->files[g->file].header_bytes = at;
    for (size_t i = first; i < g->c->n_entries; i++) {
        g->c->entries[i].flags |= SC_ENTRY_BROKEN;
        g->c->entries[i].offset = at;
        g->c->entries[i].bytes = 0;
    }
}

/* ------------------------------------------------------------------------------------------- */

static bool read_header(struct sc_gguf *g, struct tensor_list *list)
{
    uint64_t n_tensors, n_keys;

    return read_version(g) && sc_gguf_length(g, &n_tensors, "the number of tensors") &&
           sc_gguf_length(g, &n_keys, "the number of keys") && check_counts(g, n_tensors, n_keys) &&
           read_keys(g, n_keys) && read_tensors(g, list, n_tensors);
}

static int gguf_open(struct sc_catalog *c, uint32_t file, struct sc_source *s, struct sc_error *e)
{
    struct sc_gguf g = {.c = c, .e = e, .alignment = DEFAULT_ALIGNMENT, .file = file};
    struct tensor_list list = {.first = (uint32_t)c->n_entries, .names.filed = c->filed};

    sc_reader_start(&g.r, s, 0, FIRST_CHUNK);
    if (read_header(&g, &list))
        g.code = lay_out(&g, list.first);
    else
        give_up(&g, list.first);
    sc_index_clear(&list.names);
    sc_arena_clear(&g.scratch);
    sc_reader_clear(&g.r);
    return g.code;
}

static int gguf_bid(const struct sc_probe *p)
{
    if (p->head_len < 4)
        return 0;
    const uint32_t word = sc_le32(p->head);
    return word == UINT32_C(0x46554747) || word == UINT32_C(0x47475546) ? 32 : 0;
}

const struct sc_format sc_format_gguf = {
    .name = "gguf",
    .summary = "GGUF of llama.cpp, versions 1 to 3, little and big endian, split files",
    .bid = gguf_bid,
    .open = gguf_open,
};
