/* SPDX-License-Identifier: Apache-2.0 */
/* test_gguf: GGUF files that are built byte by byte in memory, sound ones and every kind of broken
 * one, in strict and in lenient mode. */
#include "test.h"

#include "format/gguf.h"
#include "oom.h"

#include <stdlib.h>

/* -------------------------------------------------------------------------------- the maker --- */

struct maker {
    uint8_t *p;
    size_t n, cap;
    bool big;
    unsigned version;
};

static void put(struct maker *m, uint64_t value, size_t bytes)
{
    if (m->n + bytes > m->cap) {
        m->cap = m->cap ? m->cap * 2 : 4096;
        m->p = realloc(m->p, m->cap);
        if (!m->p)
            abort();
    }
    for (size_t i = 0; i < bytes; i++)
        m->p[m->n++] = (uint8_t)(value >> 8 * (m->big ? bytes - 1 - i : i));
}

static void put_bytes(struct maker *m, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(m, (uint8_t)p[i], 1);
}

static void put_length(struct maker *m, uint64_t n)
{
    put(m, n, m->version == 1 ? 4 : 8);
}

static void put_string(struct maker *m, const char *s)
{
    put_length(m, strlen(s));
    put_bytes(m, s, strlen(s));
}

static struct maker start(unsigned version, bool big, uint64_t n_tensors, uint64_t n_keys)
{
    struct maker m = {.version = version, .big = big};
    put_bytes(&m, "GGUF", 4);
    put(&m, version, 4);
    put_length(&m, n_tensors);
    put_length(&m, n_keys);
    return m;
}

static void put_key(struct maker *m, const char *key, uint32_t type)
{
    put_string(m, key);
    put(m, type, 4);
}

static void put_u32(struct maker *m, const char *key, uint32_t value)
{
    put_key(m, key, 4);
    put(m, value, 4);
}

static void put_array(struct maker *m, uint32_t type, uint64_t count)
{
    put(m, type, 4);
    put_length(m, count);
}

/* dims as in the file: innermost first */
static void put_tensor(struct maker *m, const char *name, const uint64_t *dims, uint32_t rank,
                       uint32_t type, uint64_t offset)
{
    put_string(m, name);
    put(m, rank, 4);
    for (uint32_t i = 0; i < rank; i++)
        put_length(m, dims[i]);
    put(m, type, 4);
    put(m, offset, 8);
}
#define DIMS(...) (const uint64_t[]){__VA_ARGS__}, SC_COUNT(((const uint64_t[]){__VA_ARGS__}))

static void pad(struct maker *m, size_t alignment)
{
    while (m->n % alignment)
        put(m, 0, 1);
}

static void put_data(struct maker *m, size_t n)
{
    while (n--)
        put(m, 0xAB, 1);
}

/* ------------------------------------------------------------------------------ opening --- */

struct opened {
    struct sc_catalog *c;
    struct sc_open_options options;
    struct sc_error e;
    int code;
};

static struct sc_catalog *new_catalog(struct sc_open_options *o)
{
    struct sc_catalog *c = sc_calloc(1, sizeof *c);
    if (c)
        c->options = o;
    return c;
}

static int open_part(struct sc_catalog *c, const char *path, const void *p, size_t n,
                     struct sc_fault *fault, struct sc_error *e)
{
    struct sc_source *s = NULL;
    uint32_t file;
    int code = sc_memory_open(p, n, path, &s, e);
    if (code == 0 && fault)
        code = sc_source_fault(s, fault, &s, e);
    if (code < 0)
        return code;
    code = sc_catalog_add_file(c, path, n, &file, e);
    if (code == 0) {
        c->files[file].format = &sc_format_gguf;
        code = sc_format_gguf.open(c, file, s, e);
    }
    sc_source_close(s);
    return code;
}

/* Parses p[0..n), then checks what must hold of any catalog. */
static void open_bytes(struct opened *o, const void *p, size_t n, bool lenient)
{
    *o = (struct opened){.options = {.lenient = lenient}};
    o->c = new_catalog(&o->options);
    if (!o->c)
        abort();
    o->code = open_part(o->c, "m.gguf", p, n, NULL, &o->e);
    CHECK(o->code == 0 || (!lenient && o->code == SCRUPLE_EFORMAT));
    if (o->code < 0)
        CHECK(strncmp(o->e.text, "m.gguf: ", 8) == 0);
    uint64_t sum = o->c->files[0].header_bytes;
    for (size_t i = 0; i < o->c->n_entries; i++)
        sum += o->c->entries[i].bytes;
    if (o->code == 0)
        CHECK(sum <= n);
}

static void open_made(struct opened *o, const struct maker *m, bool lenient)
{
    open_bytes(o, m->p, m->n, lenient);
}

static void done(struct opened *o)
{
    sc_catalog_close(o->c);
}

static size_t count_findings(const struct sc_catalog *c, const char *id)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_findings; i++)
        n += strcmp(c->findings[i].id, id) == 0;
    return n;
}

/* Strict: refused for `id`. Lenient: the same finding, and n tensors are listed. Frees m. */
static void check_refused(struct maker *m, const char *id, size_t n_listed)
{
    struct opened o;
    open_made(&o, m, false);
    CHECK_ERR(SCRUPLE_EFORMAT, o.code);
    REQUIRE(o.c->n_findings > 0);
    CHECK_STR(o.c->findings[o.c->n_findings - 1].id, id);
    done(&o);
    open_made(&o, m, true);
    CHECK_ERR(0, o.code);
    CHECK(count_findings(o.c, id) > 0);
    CHECK_U64(o.c->n_entries, n_listed);
    done(&o);
    free(m->p);
}

/* Accepted with exactly this finding (NULL: with none). Frees m. */
static void check_accepted(struct maker *m, const char *id)
{
    struct opened o;
    open_made(&o, m, false);
    CHECK_ERR(0, o.code);
    CHECK_U64(o.c->n_findings, id != NULL);
    if (id && o.c->n_findings)
        CHECK_STR(o.c->findings[0].id, id);
    done(&o);
    free(m->p);
}

static const struct sc_meta *meta(const struct sc_catalog *c, const char *key)
{
    for (size_t i = 0; i < c->n_metas; i++)
        if (sc_str_is(c->metas[i].key, key))
            return &c->metas[i];
    return NULL;
}

/* Two tensors: "a" F32 (2, 3) and "b" Q4_0 (2, 32), 64 bytes of data each with padding. */
static struct maker small(unsigned version, bool big)
{
    struct maker m = start(version, big, 2, 1);
    put_key(&m, "general.architecture", 8);
    put_string(&m, "llama");
    put_tensor(&m, "a", DIMS(3, 2), 0, 0);
    put_tensor(&m, "b", DIMS(32, 2), 2, 32);
    pad(&m, 32);
    put_data(&m, 32 + 36);
    pad(&m, 32);
    return m;
}

/* ---------------------------------------------------------------------------------- layout --- */

static void check_small(unsigned version, bool big)
{
    struct maker m = small(version, big);
    struct opened o;
    open_made(&o, &m, false);
    REQUIRE(o.code == 0 && o.c->n_entries == 2);
    const struct sc_entry *a = &o.c->entries[0], *b = &o.c->entries[1];
    const uint64_t data = m.n - 32 - 64;
    CHECK_STR(a->name, "a");
    CHECK_STR(sc_entry_dtype(o.c, a), "F32");
    CHECK_U64(a->rank, 2);
    CHECK_U64(a->shape[0], 2);
    CHECK_U64(a->shape[1], 3);
    CHECK_U64(a->offset, data);
    CHECK_U64(a->bytes, 24);
    CHECK_STR(b->name, "b");
    CHECK_STR(sc_entry_dtype(o.c, b), "Q4_0");
    CHECK_U64(b->offset, data + 32);
    CHECK_U64(b->bytes, 36);
    CHECK_U64(b->view, SC_NO_STORAGE);
    CHECK_U64(a->flags, big ? SC_ENTRY_BIG_ENDIAN : 0);
    CHECK_U64(o.c->files[0].header_bytes, data);
    CHECK_U64(o.c->files[0].data_offset, data);
    CHECK_U64(o.c->n_findings, big);
    if (big)
        CHECK_STR(o.c->findings[0].id, "gguf.big-endian");
    REQUIRE(o.c->n_metas == 1);
    CHECK(sc_str_is(o.c->metas[0].key, "general.architecture"));
    CHECK(sc_str_is(o.c->metas[0].value.as.s, "llama"));
    done(&o);
    free(m.p);
}

TEST(versions_and_byte_orders)
{
    for (unsigned version = 1; version <= 3; version++) {
        check_small(version, false);
        check_small(version, true);
    }
}

TEST(bid_is_the_magic_number)
{
    struct sc_probe p = {.head = (const uint8_t *)"GGUF\3\0\0\0", .head_len = 8, .size = 8};
    CHECK_U64(sc_format_gguf.bid(&p), 32);
    p.head = (const uint8_t *)"FUGG\0\0\0\3";
    CHECK_U64(sc_format_gguf.bid(&p), 32);
    p.head = (const uint8_t *)"GGML\3\0\0\0";
    CHECK_U64(sc_format_gguf.bid(&p), 0);
    p.head = (const uint8_t *)"GGUF";
    p.head_len = 3;
    CHECK_U64(sc_format_gguf.bid(&p), 0);
}

TEST(no_tensors_no_keys)
{
    struct maker m = start(3, false, 0, 0);
    struct opened o;
    open_made(&o, &m, false); /* 24 bytes, so that the padding is missing */
    CHECK_ERR(0, o.code);
    CHECK_U64(o.c->files[0].header_bytes, 24);
    CHECK_U64(o.c->n_findings, 0);
    done(&o);
    free(m.p);
}

TEST(scalars_and_empty_tensors)
{
    struct maker m = start(3, false, 3, 0);
    struct opened o;
    put_tensor(&m, "scalar", NULL, 0, 0, 0);
    put_tensor(&m, "empty", DIMS(32, 0, 5), 2, 32);
    put_tensor(&m, "last", DIMS(0), 0, 32);
    pad(&m, 32);
    put_data(&m, 4); /* the last padding is missing, and nothing is behind it */
    open_made(&o, &m, false);
    REQUIRE(o.code == 0 && o.c->n_entries == 3);
    CHECK_U64(o.c->entries[0].rank, 0);
    CHECK_U64(o.c->entries[0].bytes, 4);
    CHECK_U64(o.c->entries[1].bytes, 0);
    CHECK_U64(o.c->entries[1].shape[0], 5);
    CHECK_U64(o.c->entries[2].bytes, 0);
    CHECK_U64(o.c->n_findings, 0);
    done(&o);
    free(m.p);
}

TEST(not_gguf_at_all)
{
    struct opened o;
    open_bytes(&o, "GGUX\3\0\0\0\0\0\0\0", 12, false);
    CHECK_ERR(SCRUPLE_EFORMAT, o.code);
    CHECK_STR(o.c->findings[0].id, "gguf.magic");
    done(&o);
    open_bytes(&o, "", 0, false);
    CHECK_STR(o.c->findings[0].id, "gguf.truncated");
    done(&o);
}

TEST(versions_that_do_not_exist)
{
    static const uint32_t versions[] = {0, 4, 0x10000, 0x04000000, UINT32_MAX};
    for (size_t i = 0; i < SC_COUNT(versions); i++) {
        struct maker m = start(versions[i], false, 0, 0);
        check_refused(&m, "gguf.version", 0);
    }
}

TEST(counts_beyond_the_file)
{
    static const uint64_t counts[] = {
        UINT64_MAX, UINT64_C(1) << 63, UINT64_MAX / 88 + 1, UINT64_MAX / 24 + 1, 1u << 31, 6,
    };
    for (size_t i = 0; i < SC_COUNT(counts); i++) {
        struct maker m = start(3, false, counts[i], 0);
        put_data(&m, 120);
        check_refused(&m, "gguf.count", 0);
        m = start(3, false, 0, counts[i] < 100 ? 10 : counts[i]);
        put_data(&m, 120);
        check_refused(&m, "gguf.count", 0);
    }
}

/* ------------------------------------------------------------------------------------ keys --- */

static void check_values(bool big)
{
    struct maker m = start(3, big, 0, 14);
    struct opened o;
    put_key(&m, "u8", 0);
    put(&m, 200, 1);
    put_key(&m, "i8", 1);
    put(&m, 0x80, 1);
    put_key(&m, "u16", 2);
    put(&m, 65535, 2);
    put_key(&m, "i16", 3);
    put(&m, 0x8000, 2);
    put_key(&m, "u32", 4);
    put(&m, UINT32_MAX, 4);
    put_key(&m, "i32", 5);
    put(&m, 0x80000000, 4);
    put_key(&m, "f32", 6);
    put(&m, 0x3fc00000, 4);
    put_key(&m, "bool", 7);
    put(&m, 1, 1);
    put_key(&m, "odd bool", 7);
    put(&m, 2, 1);
    put_key(&m, "string", 8);
    put_length(&m, 4);
    put_bytes(&m, "a\0\xff\0", 4);
    put_key(&m, "u64", 10);
    put(&m, UINT64_MAX, 8);
    put_key(&m, "i64", 11);
    put(&m, UINT64_C(1) << 63, 8);
    put_key(&m, "f64", 12);
    put(&m, UINT64_C(0xc004000000000000), 8);
    put_key(&m, "no", 7);
    put(&m, 0, 1);
    open_made(&o, &m, false);
    REQUIRE(o.code == 0 && o.c->n_metas == 14);
    CHECK_U64(meta(o.c, "u8")->value.as.u, 200);
    CHECK(meta(o.c, "i8")->value.as.i == INT8_MIN);
    CHECK_U64(meta(o.c, "u16")->value.as.u, 65535);
    CHECK(meta(o.c, "i16")->value.as.i == INT16_MIN);
    CHECK_U64(meta(o.c, "u32")->value.as.u, UINT32_MAX);
    CHECK(meta(o.c, "i32")->value.as.i == INT32_MIN);
    CHECK_NEAR(meta(o.c, "f32")->value.as.f, 1.5, 0);
    CHECK(meta(o.c, "bool")->value.as.b);
    CHECK(meta(o.c, "odd bool")->value.as.b);
    CHECK(!meta(o.c, "no")->value.as.b);
    CHECK(sc_str_eq(meta(o.c, "string")->value.as.s, sc_str("a\0\xff\0", 4)));
    CHECK_U64(meta(o.c, "u64")->value.as.u, UINT64_MAX);
    CHECK(meta(o.c, "i64")->value.as.i == INT64_MIN);
    CHECK_NEAR(meta(o.c, "f64")->value.as.f, -2.5, 0);
    CHECK_U64(meta(o.c, "u8")->value.kind, SC_VALUE_UINT);
    CHECK_U64(meta(o.c, "i64")->value.kind, SC_VALUE_INT);
    CHECK_U64(count_findings(o.c, "gguf.bool"), 1);
    done(&o);
    free(m.p);
}

TEST(values_of_every_type)
{
    check_values(false);
    check_values(true);
}

TEST(arrays_show_their_beginning)
{
    struct maker m = start(3, false, 0, 4);
    struct opened o;
    put_key(&m, "long", 9);
    put_array(&m, 3, 1000);
    const uint64_t at = m.n;
    for (unsigned i = 0; i < 1000; i++)
        put(&m, 0u - i, 2);
    put_key(&m, "short", 9);
    put_array(&m, 12, 2);
    put(&m, UINT64_C(0x3ff0000000000000), 8);
    put(&m, UINT64_C(0x4000000000000000), 8);
    put_key(&m, "tokens", 9);
    put_array(&m, 8, 12);
    for (unsigned i = 0; i < 12; i++)
        put_string(&m, i == 3 ? "" : "token");
    put_key(&m, "none", 9);
    put_array(&m, 8, 0);
    open_made(&o, &m, false);
    REQUIRE(o.code == 0 && o.c->n_metas == 4);
    const struct sc_value *v = &meta(o.c, "long")->value;
    CHECK_U64(v->kind, SC_VALUE_ARRAY);
    CHECK_U64(v->element, SC_VALUE_INT);
    CHECK_U64(v->as.a.count, 1000);
    CHECK_U64(v->as.a.offset, at);
    REQUIRE(v->shown == SC_PREVIEW_ITEMS);
    CHECK(v->as.a.items[7].as.i == -7);
    v = &meta(o.c, "short")->value;
    REQUIRE(v->shown == 2);
    CHECK_NEAR(v->as.a.items[1].as.f, 2, 0);
    v = &meta(o.c, "tokens")->value;
    CHECK_U64(v->as.a.count, 12);
    REQUIRE(v->shown == SC_PREVIEW_ITEMS);
    CHECK(sc_str_is(v->as.a.items[3].as.s, ""));
    CHECK(sc_str_is(v->as.a.items[7].as.s, "token"));
    v = &meta(o.c, "none")->value;
    CHECK_U64(v->shown, 0);
    CHECK_U64(v->element, SC_VALUE_STRING);
    done(&o);
    free(m.p);
}

TEST(arrays_of_arrays)
{
    struct maker m = start(3, false, 0, 2);
    struct opened o;
    put_key(&m, "nested", 9);
    put_array(&m, 9, 3);
    put_array(&m, 4, 2);
    put(&m, 1, 4);
    put(&m, 2, 4);
    put_array(&m, 9, 1);
    put_array(&m, 8, 1);
    put_string(&m, "deep");
    put_array(&m, 0, 0);
    put_u32(&m, "after", 7);
    open_made(&o, &m, false);
    REQUIRE(o.code == 0 && o.c->n_metas == 2);
    const struct sc_value *v = &meta(o.c, "nested")->value;
    CHECK_U64(v->element, SC_VALUE_ARRAY);
    REQUIRE(v->shown == 3);
    CHECK_U64(v->as.a.items[0].as.a.count, 2);
    CHECK_U64(v->as.a.items[0].element, SC_VALUE_UINT);
    CHECK_U64(v->as.a.items[0].shown, 0);
    CHECK_U64(v->as.a.items[1].element, SC_VALUE_ARRAY);
    CHECK_U64(v->as.a.items[2].as.a.count, 0);
    CHECK_U64(meta(o.c, "after")->value.as.u, 7);
    done(&o);
    free(m.p);
}

/* `depth` arrays in each other; the innermost holds one byte. */
static struct maker nested(unsigned depth)
{
    struct maker m = start(3, false, 0, 1);
    put_key(&m, "n", 9);
    for (unsigned i = 1; i < depth; i++)
        put_array(&m, 9, 1);
    put_array(&m, 0, 1);
    put(&m, 5, 1);
    return m;
}

TEST(nesting_has_a_limit)
{
    for (unsigned depth = 1; depth <= 8; depth++) {
        struct maker m = nested(depth);
        check_accepted(&m, NULL);
    }
    for (unsigned depth = 9; depth < 2000; depth += 500) {
        struct maker m = nested(depth);
        check_refused(&m, "gguf.array.depth", 0);
    }
}

TEST(array_counts_beyond_the_file)
{
    static const uint64_t counts[] = {UINT64_MAX, UINT64_MAX / 2 + 1, UINT64_C(1) << 61, 1000};
    for (uint32_t type = 0; type <= 12; type++)
        for (size_t i = 0; i < SC_COUNT(counts); i++) {
            struct maker m = start(3, false, 0, 1);
            put_key(&m, "a", 9);
            put_array(&m, type, counts[i]);
            put_data(&m, 100);
            check_refused(&m, "gguf.array", 0);
        }
}

TEST(strings_beyond_the_file_or_the_limit)
{
    static const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 40, 101};
    for (size_t i = 0; i < SC_COUNT(lengths); i++) {
        struct maker m = start(3, false, 0, 1);
        put_length(&m, lengths[i]); /* of a key */
        put_data(&m, 100);
        check_refused(&m, "gguf.truncated", 0);
        m = start(3, false, 0, 1);
        put_key(&m, "k", 8);
        put_length(&m, lengths[i]); /* of a value */
        put_data(&m, 100);
        check_refused(&m, "gguf.truncated", 0);
        m = start(3, false, 1, 0);
        put_length(&m, lengths[i]); /* of a tensor name */
        put_data(&m, 100);
        check_refused(&m, "gguf.truncated", 0);
    }
    struct maker m = start(3, false, 0, 1);
    put_length(&m, 65536);
    put_data(&m, 70000);
    check_refused(&m, "gguf.string", 0);
}

TEST(keys_are_unique_and_not_empty)
{
    struct maker m = start(3, false, 0, 3);
    struct opened o;
    put_u32(&m, "twice", 1);
    put_u32(&m, "twice", 2);
    put_u32(&m, "more", 3);
    open_made(&o, &m, true);
    CHECK_U64(o.c->n_metas, 2);
    CHECK_U64(meta(o.c, "twice")->value.as.u, 1);
    done(&o);
    check_refused(&m, "gguf.key.duplicate", 0);
    m = start(3, false, 0, 1);
    put_u32(&m, "", 1);
    check_refused(&m, "gguf.key.empty", 0);
}

TEST(value_types_that_do_not_exist)
{
    struct maker m = start(3, false, 0, 1);
    put_key(&m, "k", 13);
    put_data(&m, 16);
    check_refused(&m, "gguf.value.type", 0);
    m = start(3, false, 0, 1);
    put_key(&m, "k", 9);
    put_array(&m, UINT32_MAX, 1);
    put_data(&m, 16);
    check_refused(&m, "gguf.value.type", 0);
}

/* One F32 of this alignment. */
static struct maker aligned(uint32_t type, uint64_t alignment)
{
    struct maker m = start(3, false, 1, 1);
    put_key(&m, "general.alignment", type);
    put(&m, alignment, type == 10 ? 8 : 4);
    put_tensor(&m, "t", DIMS(1), 0, 0);
    const bool good = alignment && !(alignment & (alignment - 1)) && alignment <= 1 << 20;
    pad(&m, good ? alignment : 32);
    put_data(&m, 4);
    return m;
}

TEST(alignment)
{
    static const uint32_t bad[] = {0, 3, 24, 1u << 21, UINT32_MAX};
    struct maker m;
    for (uint32_t good = 8; good <= 1 << 20; good *= 2) {
        m = aligned(4, good);
        check_accepted(&m, NULL);
    }
    for (uint32_t odd = 1; odd < 8; odd *= 2) {
        m = aligned(4, odd);
        check_accepted(&m, "gguf.alignment");
    }
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        m = aligned(4, bad[i]);
        check_refused(&m, "gguf.alignment", 1);
    }
    m = aligned(10, 64);
    check_refused(&m, "gguf.alignment", 1);
    m = aligned(5, 64);
    check_refused(&m, "gguf.alignment", 1);
}

/* --------------------------------------------------------------------------------- tensors --- */

static struct maker one_tensor(const uint64_t *dims, uint32_t rank, uint32_t type, uint64_t offset,
                               size_t data)
{
    struct maker m = start(3, false, 1, 0);
    put_tensor(&m, "t", dims, rank, type, offset);
    pad(&m, 32);
    put_data(&m, data);
    return m;
}

TEST(rank_has_a_limit)
{
    struct maker m = one_tensor(DIMS(1, 1, 1, 1), 0, 0, 4);
    check_accepted(&m, NULL);
    m = one_tensor(DIMS(1, 1, 1, 1, 1), 0, 0, 4);
    check_refused(&m, "gguf.rank", 1); /* it can still be followed */
    m = start(3, false, 1, 0);
    put_string(&m, "t");
    put(&m, UINT32_MAX, 4);
    put_data(&m, 4096);
    check_refused(&m, "gguf.rank", 0);
    m = start(3, false, 1, 0);
    put_string(&m, "t");
    put(&m, 65, 4);
    put_data(&m, 4096);
    check_refused(&m, "gguf.rank", 0);
}

TEST(dimensions_that_wrap)
{
    const uint64_t two63 = UINT64_C(1) << 63, two32 = UINT64_C(1) << 32;
    struct maker m = one_tensor(DIMS(two63), 0, 0, 64);
    check_refused(&m, "gguf.shape", 0);
    m = one_tensor(DIMS(UINT64_MAX), 0, 0, 64);
    check_refused(&m, "gguf.shape", 0);
    m = one_tensor(DIMS(two32, two32), 0, 0, 64); /* product 0 modulo 2^64 */
    check_refused(&m, "gguf.shape", 0);
    m = one_tensor(DIMS(two63 - 1, 2, 2), 0, 0, 64);
    check_refused(&m, "gguf.shape", 0);
    m = one_tensor(DIMS(two63 - 1, 2), 0, 0, 64); /* elements fit, bytes do not */
    check_refused(&m, "gguf.shape", 1);
    m = one_tensor(DIMS(two63 - 32), 2, 0, 64); /* bytes fit, but not in the file */
    check_refused(&m, "gguf.truncated", 1);
    m = one_tensor(DIMS(two63 - 1, 0, 4), 0, 0, 0);
    check_accepted(&m, NULL);
}

TEST(rows_are_whole_blocks)
{
    struct maker m = one_tensor(DIMS(128, 2), 12, 0, 288); /* 256 elements, but two half rows */
    check_refused(&m, "gguf.shape.block", 1);
    m = one_tensor(NULL, 0, 2, 0, 18);
    check_refused(&m, "gguf.shape.block", 1);
    m = one_tensor(DIMS(31), 2, 0, 18);
    check_refused(&m, "gguf.shape.block", 1);
}

TEST(unknown_types_reach_to_the_next_tensor)
{
    struct maker m = start(3, false, 4, 0);
    struct opened o;
    put_tensor(&m, "b", DIMS(7, 7), 250, 32);
    put_tensor(&m, "d", DIMS(7), UINT32_MAX, 160);
    put_tensor(&m, "a", DIMS(4), 0, 0);
    put_tensor(&m, "c", DIMS(7), 250, 96);
    pad(&m, 32);
    const uint64_t data = m.n;
    put_data(&m, 200);
    open_made(&o, &m, false);
    REQUIRE(o.code == 0 && o.c->n_entries == 4);
    CHECK_STR(sc_entry_dtype(o.c, &o.c->entries[0]), "TYPE_250");
    CHECK_U64(o.c->entries[0].bytes, 64);
    CHECK_STR(sc_entry_dtype(o.c, &o.c->entries[1]), "TYPE_4294967295");
    CHECK_U64(o.c->entries[1].bytes, 40);
    CHECK_U64(o.c->entries[1].offset, data + 160);
    CHECK_U64(o.c->entries[3].bytes, 64);
    CHECK_U64(count_findings(o.c, "gguf.type.unknown"), 2); /* once a type */
    CHECK_U64(o.c->n_findings, 2);
    done(&o);
    free(m.p);
}

TEST(removed_types_are_unknown_and_forks_are_known)
{
    static const uint32_t removed[] = {4, 5, 31, 32, 33, 36, 37, 38};
    struct maker m;
    struct opened o;
    for (size_t i = 0; i < SC_COUNT(removed); i++) {
        m = one_tensor(DIMS(256), removed[i], 0, 100);
        check_accepted(&m, "gguf.type.unknown");
    }
    m = one_tensor(DIMS(512, 3), 145, 0, 3 * (2 + 2 * 70));
    open_made(&o, &m, false);
    CHECK_ERR(0, o.code);
    CHECK_STR(sc_entry_dtype(o.c, &o.c->entries[0]), "IQ2_KS");
    CHECK_U64(o.c->entries[0].bytes, 3 * (2 + 2 * 70));
    CHECK_U64(o.c->n_findings, 0);
    done(&o);
    free(m.p);
}

TEST(unknown_types_have_a_limit)
{
    struct maker m = start(3, false, 5000, 0);
    char name[16];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "t%u", i);
        put_tensor(&m, name, DIMS(8), 1000 + i, UINT64_C(32) * i);
    }
    pad(&m, 32);
    put_data(&m, 32 * 5000);
    check_refused(&m, "gguf.limit", 5000);
}

TEST(names_are_unique)
{
    struct maker m = start(3, false, 2, 0);
    put_tensor(&m, "t", DIMS(8), 0, 0);
    put_tensor(&m, "t", DIMS(8), 0, 32);
    pad(&m, 32);
    put_data(&m, 64);
    check_refused(&m, "gguf.tensor.duplicate", 1);
}

TEST(long_names_are_noted_once)
{
    char name[200];
    struct maker m = start(3, false, 2, 0);
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    put_tensor(&m, name, DIMS(8), 0, 0);
    name[0] = 'y';
    put_tensor(&m, name, DIMS(8), 0, 32);
    pad(&m, 32);
    put_data(&m, 64);
    check_accepted(&m, "gguf.name.long");
    m = start(3, false, 1, 0);
    name[63] = '\0';
    put_tensor(&m, name, DIMS(8), 0, 0);
    pad(&m, 32);
    put_data(&m, 32);
    check_accepted(&m, NULL);
}

/* -------------------------------------------------------------------- where the bytes lie --- */

TEST(offsets_are_aligned)
{
    struct maker m = one_tensor(DIMS(4), 0, 4, 64);
    check_refused(&m, "gguf.offset.alignment", 1);
}

TEST(tensors_beyond_the_file)
{
    static const struct {
        uint64_t offset, dim;
    } rows[] = {
        {32, 16},     {64, 1}, {UINT64_C(1) << 40, 1}, {UINT64_MAX - 31, 1}, {UINT64_MAX - 127, 32},
        {0, 1 << 30}, {0, 17},
    };
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        struct maker m = one_tensor(DIMS(rows[i].dim), 0, rows[i].offset, 64);
        check_refused(&m, "gguf.truncated", 1);
    }
}

/* Two sizes that are sound alone, and whose sum is 2^64. */
TEST(sizes_whose_sum_wraps)
{
    const uint64_t half = (UINT64_C(1) << 63) - 64;
    struct maker m = start(3, false, 3, 0);
    put_tensor(&m, "a", DIMS(half), 24, 0);
    put_tensor(&m, "b", DIMS(half), 24, half);
    put_tensor(&m, "c", DIMS(32), 24, 2 * half);
    pad(&m, 32);
    put_data(&m, 64);
    check_refused(&m, "gguf.truncated", 3);
}

TEST(a_cut_file_is_named_once)
{
    struct maker m = start(3, false, 3, 0);
    struct opened o;
    put_tensor(&m, "c", DIMS(8), 0, 64);
    put_tensor(&m, "a", DIMS(8), 0, 0);
    put_tensor(&m, "b", DIMS(8), 0, 32);
    pad(&m, 32);
    const uint64_t data = m.n;
    put_data(&m, 40);
    open_made(&o, &m, false);
    CHECK_ERR(SCRUPLE_EFORMAT, o.code);
    CHECK(strstr(o.e.text, "tensor \"b\" ends at byte") != NULL);
    CHECK(strstr(o.e.text, "1 more are cut or missing (truncated download?)") != NULL);
    CHECK(o.e.has_offset && o.e.offset == data + 32);
    done(&o);
    open_made(&o, &m, true);
    CHECK_U64(count_findings(o.c, "gguf.truncated"), 1);
    REQUIRE(o.c->n_entries == 3);
    CHECK_U64(o.c->entries[0].flags, SC_ENTRY_BROKEN); /* c: all of it is missing */
    CHECK_U64(o.c->entries[0].bytes, 0);
    CHECK_U64(o.c->entries[1].flags, 0); /* a is whole */
    CHECK_U64(o.c->entries[1].bytes, 32);
    CHECK_U64(o.c->entries[2].flags, SC_ENTRY_BROKEN); /* b: 8 bytes are there */
    CHECK_U64(o.c->entries[2].bytes, 8);
    CHECK_STR(o.c->findings[0].tensor, "b");
    done(&o);
    free(m.p);
}

TEST(overlaps_are_refused_and_counted_once)
{
    struct maker m = start(3, false, 3, 0);
    struct opened o;
    put_tensor(&m, "a", DIMS(24), 0, 0);  /* 0..96 */
    put_tensor(&m, "b", DIMS(16), 0, 64); /* 64..128 */
    put_tensor(&m, "c", DIMS(4), 0, 32);  /* inside a */
    pad(&m, 32);
    put_data(&m, 128);
    open_made(&o, &m, true);
    CHECK_U64(count_findings(o.c, "gguf.overlap"), 2);
    REQUIRE(o.c->n_entries == 3);
    CHECK_U64(o.c->entries[0].bytes, 96);
    CHECK_U64(o.c->entries[1].bytes, 32);
    CHECK_U64(o.c->entries[1].flags, SC_ENTRY_BROKEN);
    CHECK_U64(o.c->entries[2].bytes, 0);
    CHECK_U64(o.c->entries[2].flags, SC_ENTRY_BROKEN);
    done(&o);
    check_refused(&m, "gguf.overlap", 3);
}

TEST(gaps_are_noted_once_with_their_sum)
{
    struct maker m = start(3, false, 2, 0);
    struct opened o;
    put_tensor(&m, "a", DIMS(1), 0, 64);  /* 64 bytes in front */
    put_tensor(&m, "b", DIMS(1), 0, 160); /* 64 between */
    pad(&m, 32);
    const uint64_t data = m.n;
    put_data(&m, 164 + 28 + 100); /* 100 behind the padding */
    open_made(&o, &m, false);
    CHECK_ERR(0, o.code);
    REQUIRE(o.c->n_findings == 1);
    CHECK_STR(o.c->findings[0].id, "gguf.gap");
    CHECK_U64(o.c->findings[0].offset, data);
    CHECK(strncmp(o.c->findings[0].message, "228 bytes ", 10) == 0);
    done(&o);
    free(m.p);
}

/* ------------------------------------------------------------------------------ everything --- */

/* Keys of all kinds and tensors of several, one of them of unknown type. */
static struct maker varied(unsigned version, bool big)
{
    struct maker m = start(version, big, 4, 5);
    put_key(&m, "general.architecture", 8);
    put_string(&m, "llama");
    put_u32(&m, "general.alignment", 16);
    put_key(&m, "tokens", 9);
    put_array(&m, 8, 3);
    put_string(&m, "one");
    put_string(&m, "");
    put_string(&m, "three");
    put_key(&m, "nested", 9);
    put_array(&m, 9, 2);
    put_array(&m, 5, 2);
    put(&m, 1, 4);
    put(&m, 2, 4);
    put_array(&m, 8, 1);
    put_string(&m, "x");
    put_key(&m, "flag", 7);
    put(&m, 1, 1);
    put_tensor(&m, "a", DIMS(3, 2), 0, 0);
    put_tensor(&m, "blk.0.weight", DIMS(32, 2), 2, 32);
    put_tensor(&m, "odd", DIMS(5), 99, 80);
    put_tensor(&m, "z", DIMS(4), 30, 96);
    pad(&m, 16);
    put_data(&m, 104);
    return m;
}

TEST(cut_at_every_byte)
{
    for (unsigned version = 1; version <= 3; version++) {
        struct maker m = varied(version, version == 2);
        struct opened o;
        open_made(&o, &m, false);
        CHECK_ERR(0, o.code);
        done(&o);
        for (size_t n = 0; n < m.n; n++) {
            uint8_t *copy = malloc(n ? n : 1); /* its own block, so that ASan sees its end */
            REQUIRE(copy);
            memcpy(copy, m.p, n);
            open_bytes(&o, copy, n, false);
            CHECK_ERR(SCRUPLE_EFORMAT, o.code);
            done(&o);
            open_bytes(&o, copy, n, true);
            CHECK(o.c->n_errors > 0);
            done(&o);
            free(copy);
        }
        free(m.p);
    }
}

TEST(every_byte_changed)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
    for (unsigned version = 1; version <= 3; version++) {
        struct maker m = varied(version, version == 2);
        for (size_t i = 0; i < m.n; i++) {
            const uint8_t before = m.p[i];
            for (size_t k = 0; k < SC_COUNT(values); k++) {
                struct opened o;
                m.p[i] = values[k];
                open_made(&o, &m, false);
                done(&o);
                open_made(&o, &m, true);
                done(&o);
            }
            m.p[i] = before;
        }
        free(m.p);
    }
}

TEST(every_field_set_to_its_extremes)
{
    static const uint64_t values[] = {
        0,          1, 255, 256, UINT32_MAX, UINT32_MAX + UINT64_C(1), INT64_MAX, UINT64_C(1) << 63,
        UINT64_MAX,
    };
    struct maker m = varied(3, false);
    uint8_t before[8];
    for (size_t i = 8; i + 8 <= m.n; i++) {
        memcpy(before, m.p + i, 8);
        for (size_t k = 0; k < SC_COUNT(values); k++) {
            struct opened o;
            for (size_t b = 0; b < 8; b++)
                m.p[i + b] = (uint8_t)(values[k] >> 8 * b);
            open_made(&o, &m, false);
            done(&o);
            open_made(&o, &m, true);
            done(&o);
        }
        memcpy(m.p + i, before, 8);
    }
    free(m.p);
}

TEST(the_kth_read_fails)
{
    struct maker m = varied(3, false);
    bool fired = true;
    for (uint64_t k = 0; fired; k++) {
        struct sc_open_options options = {.lenient = true};
        struct sc_fault fault = {.fail_at = k};
        struct sc_error e;
        struct sc_catalog *c = new_catalog(&options);
        REQUIRE(c);
        const int code = open_part(c, "m.gguf", m.p, m.n, &fault, &e);
        fired = fault.fired;
        CHECK_ERR(fired ? SCRUPLE_EIO : 0, code);
        /* A lenient caller keeps what is listed, so it must not claim bytes. */
        for (size_t i = 0; fired && i < c->n_entries; i++)
            CHECK(c->entries[i].bytes == 0 && c->entries[i].flags & SC_ENTRY_BROKEN);
        sc_catalog_close(c);
    }
    free(m.p);
}

TEST(the_kth_allocation_fails)
{
    struct maker m = varied(3, true);
    for (uint64_t k = 0;; k++) {
        struct sc_open_options options = {.lenient = k % 2 == 0};
        struct sc_error e;
        sc_oom_fail_at(k);
        struct sc_catalog *c = new_catalog(&options);
        int code = c ? open_part(c, "m.gguf", m.p, m.n, NULL, &e) : SCRUPLE_EMEMORY;
        if (code == 0)
            code = sc_gguf_check_split(c, &e);
        const bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        sc_catalog_close(c);
        CHECK_ERR(reached ? SCRUPLE_EMEMORY : 0, code);
        if (!reached)
            break;
    }
    free(m.p);
}

TEST(noise_ends_in_lenient_mode)
{
    struct maker m = start(3, false, 3000000, 0);
    struct opened o;
    m.p = realloc(m.p, 24 * UINT64_C(3000001));
    REQUIRE(m.p);
    m.cap = 24 * UINT64_C(3000001);
    memset(m.p + 24, 0, m.cap - 24); /* three million unnamed scalars at offset 0 */
    m.n = m.cap;
    open_made(&o, &m, true);
    CHECK_ERR(0, o.code);
    CHECK_U64(o.c->n_findings, SC_MAX_FINDINGS);
    CHECK(o.c->findings_dropped < 100);
    done(&o);
    free(m.p);
}

TEST(sixty_thousand_tensors)
{
    struct maker m = start(3, false, 60000, 0);
    struct opened o;
    char name[64];
    for (unsigned i = 0; i < 60000; i++) {
        snprintf(name, sizeof name, "blk.%u.ffn_%u.weight", i / 7, i % 7);
        put_tensor(&m, name, DIMS(16, 1 + i % 3), 0, UINT64_C(192) * (59999 - i));
    }
    pad(&m, 32);
    put_data(&m, 192 * 60000);
    open_made(&o, &m, false);
    CHECK_ERR(0, o.code);
    CHECK_U64(o.c->n_entries, 60000);
    CHECK_U64(o.c->n_shapes, 3);
    CHECK_U64(count_findings(o.c, "gguf.gap"), 1);
    done(&o);
    free(m.p);
}

/* ----------------------------------------------------------------------------- split models --- */

struct split {
    const char *path;
    int no, count, tensors; /* -1: no such key */
    unsigned n_tensors;
};

/* The code of the check; *id is the last finding. */
static int check_parts(const struct split *parts, size_t n, const char **id)
{
    struct sc_open_options options = {0};
    struct sc_catalog *c = new_catalog(&options);
    struct sc_error e;
    int code = 0;
    char name[64];

    *id = "";
    for (size_t i = 0; code == 0 && i < n; i++) {
        const struct split *s = &parts[i];
        struct maker m =
            start(3, false, s->n_tensors, (s->no >= 0) + (s->count >= 0) + (s->tensors >= 0));
        if (s->no >= 0) {
            put_key(&m, "split.no", 2);
            put(&m, (uint64_t)s->no, 2);
        }
        if (s->count >= 0) {
            put_key(&m, "split.count", 2);
            put(&m, (uint64_t)s->count, 2);
        }
        if (s->tensors >= 0) {
            put_key(&m, "split.tensors.count", 5);
            put(&m, (uint64_t)s->tensors, 4);
        }
        for (unsigned t = 0; t < s->n_tensors; t++) {
            snprintf(name, sizeof name, "part.%zu.%u", i, t);
            put_tensor(&m, name, DIMS(8), 0, UINT64_C(32) * t);
        }
        pad(&m, 32);
        put_data(&m, UINT64_C(32) * s->n_tensors);
        code = open_part(c, s->path, m.p, m.n, NULL, &e);
        free(m.p);
    }
    if (code == 0)
        code = sc_gguf_check_split(c, &e);
    static const char *const ids[] = {
        "gguf.split.missing", "gguf.split.number",  "gguf.split.count",
        "gguf.split.value",   "gguf.split.tensors", "gguf.split.duplicate",
    };
    for (size_t i = 0; c->n_findings && i < SC_COUNT(ids); i++)
        if (strcmp(c->findings[c->n_findings - 1].id, ids[i]) == 0)
            *id = ids[i];
    sc_catalog_close(c);
    return code;
}

TEST(split_models)
{
    static const struct split all[] = {
        {"m-00001-of-00003.gguf", 0, 3, 5, 0},
        {"m-00002-of-00003.gguf", 1, 3, 5, 2},
        {"m-00003-of-00003.gguf", 2, 3, 5, 3},
    };
    /* Neither the order of the files matters nor that only one of them has a key. */
    static const struct split turned[] = {
        {"b", 1, 2, -1, 1},
        {"a", 0, 2, 3, 2},
    };
    static const struct split no_split[] = {{"m.gguf", -1, -1, -1, 2}};
    static const struct split one_of_one[] = {{"m.gguf", 0, 1, 2, 2}};
    const char *id;

    CHECK_ERR(0, check_parts(all, 3, &id));
    CHECK_STR(id, "");
    CHECK_ERR(0, check_parts(turned, 2, &id));
    CHECK_STR(id, "");
    CHECK_ERR(0, check_parts(no_split, 1, &id));
    CHECK_STR(id, "");
    CHECK_ERR(0, check_parts(one_of_one, 1, &id));
    CHECK_STR(id, "");
}

TEST(split_models_that_do_not_fit)
{
    static const struct {
        struct split a, b; /* b without path: one part */
        const char *id;
    } cases[] = {
        {{"a", 0, 3, 5, 0}, {"c", 2, 3, 5, 3}, "gguf.split.missing"},
        {{"a", 0, 65535, 5, 0}, {0}, "gguf.split.missing"},
        {{"a", 0, 2, 2, 1}, {"b", 0, 2, 2, 1}, "gguf.split.duplicate"},
        {{"a", 0, 2, 2, 1}, {"b", 1, 3, 2, 1}, "gguf.split.count"},
        {{"a", 0, 2, 2, 1}, {"b", 2, 2, 2, 1}, "gguf.split.number"},
        {{"a", 0, 0, 2, 1}, {0}, "gguf.split.number"},
        {{"a", -1, 2, 2, 1}, {0}, "gguf.split.number"},
        {{"a", 0, 2, 3, 1}, {"b", 1, 2, 3, 1}, "gguf.split.tensors"},
        {{"a", 0, 2, 2, 1}, {"b", 1, 2, 3, 1}, "gguf.split.tensors"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        const struct split parts[] = {cases[i].a, cases[i].b};
        const char *id;
        CHECK_ERR(SCRUPLE_EFORMAT, check_parts(parts, cases[i].b.path ? 2 : 1, &id));
        CHECK_STR(id, cases[i].id);
    }
}

TEST(split_file_names_that_contradict_the_keys)
{
    static const struct split parts[] = {
        {"m-00002-of-00002.gguf", 0, 2, 2, 1},
        {"m-00001-of-00002.gguf", 1, 2, 2, 1},
    };
    const char *id;
    CHECK_ERR(0, check_parts(parts, 2, &id)); /* a warning: the keys are right */
    CHECK_STR(id, "gguf.split.number");
}

TEST(split_keys_must_be_numbers)
{
    struct sc_open_options options = {0};
    struct sc_catalog *c = new_catalog(&options);
    struct maker m = start(3, false, 0, 1);
    struct sc_error e;
    put_key(&m, "split.count", 8);
    put_string(&m, "two");
    CHECK_ERR(0, open_part(c, "a", m.p, m.n, NULL, &e));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_gguf_check_split(c, &e));
    CHECK_U64(count_findings(c, "gguf.split.value"), 1);
    sc_catalog_close(c);
    free(m.p);
}
