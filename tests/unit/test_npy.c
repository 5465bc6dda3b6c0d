/* SPDX-License-Identifier: Apache-2.0 */
/* test_npy: numpy headers, .npy files and .npz archives, built byte by byte in memory. */
#include "test.h"

#include "format/npy.h"
#include "format/zip.h"
#include "oom.h"

#include <stdlib.h>
#include <zlib.h>

/* -------------------------------------------------------------------------------- the maker --- */

struct maker {
    uint8_t p[1 << 16];
    size_t n;
};

static void put(struct maker *m, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes && m->n < sizeof m->p; i++)
        m->p[m->n++] = (uint8_t)(value >> 8 * i);
}

static void put_bytes(struct maker *m, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(m, ((const uint8_t *)p)[i], 1);
}

static void put_zeros(struct maker *m, size_t n)
{
    while (n--)
        put(m, 0, 1);
}

/* A header of this version around a text, padded as numpy does. */
static void put_header(struct maker *m, unsigned version, const char *text)
{
    const size_t head = version == 1 ? 10 : 12, n = (head + strlen(text) + 1 + 63) / 64 * 64;
    put_bytes(m, "\x93NUMPY", 6);
    put(m, version, 1);
    put(m, 0, 1);
    put(m, n - head, head - 8);
    put_bytes(m, text, strlen(text));
    for (size_t i = head + strlen(text) + 1; i < n; i++)
        put(m, ' ', 1);
    put(m, '\n', 1);
}

/* {descr, fortran_order, shape} in numpy's own spelling. */
static void put_array(struct maker *m, const char *descr, const char *shape, size_t data)
{
    char text[4096];
    snprintf(text, sizeof text, "{'descr': %s, 'fortran_order': False, 'shape': %s, }", descr,
             shape);
    put_header(m, 1, text);
    put_zeros(m, data);
}

static bool parse(const char *text, struct sc_npy *npy)
{
    static struct maker m;
    m.n = 0;
    put_header(&m, 2, text);
    uint8_t *copy = malloc(m.n); /* its own block, so that ASan sees its end */
    if (!copy)
        return false;
    memcpy(copy, m.p, m.n);
    const bool good = sc_npy_parse(copy, m.n, npy);
    free(copy);
    CHECK(good == (npy->problem == NULL));
    return good;
}

/* ---------------------------------------------------------------------------------- headers --- */

TEST(headers_as_numpy_writes_them)
{
    struct sc_npy npy;
    REQUIRE(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", &npy));
    CHECK_STR(sc_codec(npy.codec)->name, "F32");
    CHECK_U64(npy.rank, 2);
    CHECK_U64(npy.shape[0], 2);
    CHECK_U64(npy.shape[1], 3);
    CHECK_U64(npy.bytes, 24);
    CHECK(npy.sized && !npy.fortran && !npy.big_endian && !npy.objects);
    REQUIRE(parse("{'descr': '>c16', 'fortran_order': True, 'shape': (), }", &npy));
    CHECK_STR(sc_codec(npy.codec)->name, "C128");
    CHECK(npy.fortran && npy.big_endian);
    CHECK_U64(npy.rank, 0);
    CHECK_U64(npy.bytes, 16);
    REQUIRE(parse("{'descr': '|u1', 'fortran_order': False, 'shape': (7,), }", &npy));
    CHECK_U64(npy.rank, 1);
    CHECK_U64(npy.bytes, 7);
}

TEST(headers_as_others_may_write_them)
{
    static const char *const texts[] = {
        "{'shape':(3,),'fortran_order':False,'descr':'<i2'}",
        "{\"descr\": \"<i2\", \"fortran_order\": False, \"shape\": (3,)}",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (3L,), }",
        "{u'descr': u'<i2', 'fortran_order': False, 'shape': (3 , ) , } \n",
        "  {\n'descr' :'<i2' ,'shape': ( 3,), 'fortran_order': False}",
        "{b'descr': b'<i2', 'fortran_order': False, 'shape': (3,)}",
    };
    struct sc_npy npy;
    for (size_t i = 0; i < SC_COUNT(texts); i++) {
        REQUIRE(parse(texts[i], &npy));
        CHECK_U64(npy.bytes, 6);
    }
}

TEST(headers_that_are_refused)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': false, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': [2]}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 2}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2.5,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)",
        "{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4\n', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': 4, 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '<f4'], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '<f4') ('b', '<f4')], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': ['<f4'], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '<f4', 3)], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', ('<f4',))], 'fortran_order': False, 'shape': (2,)}",
        "{'descr': [('a', '<f8', (4294967296, 4294967296))], 'fortran_order': False, 'shape': ()}",
        "{'descr': [('a', '<f8', (2305843009213693952,))], 'fortran_order': False, 'shape': ()}",
        "{'descr': '<U4611686018427387904', 'fortran_order': False, 'shape': ()}",
        "__import__('os').system('id')",
        "{'descr': eval('1'), 'fortran_order': False, 'shape': (2,)}",
    };
    struct sc_npy npy;
    for (size_t i = 0; i < SC_COUNT(texts); i++)
        if (parse(texts[i], &npy)) {
            CHECK(false); /* accepted */
            fprintf(stderr, "    %s\n", texts[i]);
        }
}

TEST(types_without_a_codec)
{
    static const struct {
        const char *descr, *type;
        uint64_t item;
        bool sized, objects;
    } rows[] = {
        {"'|S5'", "S5", 5, true, false},
        {"'<U5'", "U5", 20, true, false},
        {"'|V8'", "V8", 8, true, false},
        {"'|S0'", "S0", 0, true, false},
        {"'<M8[ns]'", "M8[ns]", 8, true, false},
        {"'<m8'", "m8", 8, true, false},
        {"'<f12'", "f12", 12, true, false},
        {"'|O'", "OBJECT", 0, false, true},
        {"'O8'", "OBJECT", 0, false, true},
        {"'bfloat16'", "bfloat16", 0, false, false},
        {"'<f4 '", "UNKNOWN", 0, false, false},
        {"'\x1b[2J'", "UNKNOWN", 0, false, false},
        {"''", "UNKNOWN", 0, false, false},
        {"'<'", "UNKNOWN", 0, false, false},
        {"'<f'", "f", 0, false, false},
        {"[]", "STRUCT0", 0, true, false},
        {"[('a', '<f4')]", "STRUCT4", 4, true, false},
        {"[('a', '<f4'), ('b', '|S3'), ]", "STRUCT7", 7, true, false},
        {"[('a', '<f4', (2, 3)), ('', '|V4')]", "STRUCT28", 28, true, false},
        {"[(('title', 'a'), '<i2', ())]", "STRUCT2", 2, true, false},
        {"[('it\\'s', '<i2',)]", "STRUCT2", 2, true, false},
        {"[('p', [('y', [('z', '|u1')], (3,))]), ('q', '<i4')]", "STRUCT7", 7, true, false},
        {"[('a', '<f4'), ('o', '|O')]", "OBJECT", 0, false, true},
        {"[('a', '<f4'), ('o', 'new')]", "STRUCT", 0, false, false},
    };
    struct sc_npy npy;
    char text[256];
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        snprintf(text, sizeof text, "{'descr': %s, 'fortran_order': False, 'shape': (2,), }",
                 rows[i].descr);
        if (!parse(text, &npy)) {
            CHECK(false); /* refused */
            fprintf(stderr, "    %s: %s at %zu\n", text, npy.problem, npy.problem_at);
            continue;
        }
        CHECK_U64(npy.codec, SC_OPAQUE);
        CHECK_STR(npy.type, rows[i].type);
        CHECK_U64(npy.item_bytes, rows[i].item);
        CHECK(npy.sized == rows[i].sized);
        CHECK(npy.objects == rows[i].objects);
    }
}

/* `depth` records in each other. */
static bool parse_nested(size_t depth)
{
    static char text[40000];
    struct sc_npy npy;
    size_t n = (size_t)snprintf(text, 64, "{'fortran_order': False, 'shape': (), 'descr': ");
    for (size_t i = 1; i < depth; i++)
        n += (size_t)snprintf(text + n, 16, "[('a', ");
    n += (size_t)snprintf(text + n, 32, "[('z', '<f4')]");
    for (size_t i = 1; i < depth; i++)
        n += (size_t)snprintf(text + n, 4, ")]");
    snprintf(text + n, 4, "}");
    return parse(text, &npy) && npy.item_bytes == 4;
}

TEST(records_nest_up_to_a_limit)
{
    CHECK(parse_nested(1));
    CHECK(parse_nested(16));
    CHECK(!parse_nested(17));
    CHECK(!parse_nested(3000));
}

TEST(rank_has_a_limit)
{
    struct sc_npy npy;
    char text[1024];
    for (unsigned rank = 63; rank <= 66; rank++) {
        size_t n = (size_t)snprintf(text, 64, "{'descr':'|u1','fortran_order':False,'shape':(");
        for (unsigned i = 0; i < rank; i++)
            n += (size_t)snprintf(text + n, 4, "1,");
        snprintf(text + n, 4, ")}");
        CHECK(parse(text, &npy) == (rank <= 64));
    }
}

TEST(header_lengths)
{
    struct sc_npy npy;
    uint64_t n;
    CHECK(sc_npy_header_bytes((const uint8_t *)"\x93NUMPY\1\0\x76\0", 10, &n, &npy) && n == 128);
    CHECK(sc_npy_header_bytes((const uint8_t *)"\x93NUMPY\2\0\x74\0\0\0", 12, &n, &npy));
    CHECK_U64(n, 128);
    CHECK(sc_npy_header_bytes((const uint8_t *)"\x93NUMPY\3\0\xf4\xff\x0f\0", 12, &n, &npy));
    CHECK_U64(n, SC_MAX_NPY_HEADER);
    CHECK(!sc_npy_header_bytes((const uint8_t *)"\x93NUMPY\3\0\xf5\xff\x0f\0", 12, &n, &npy));
    CHECK(!sc_npy_header_bytes((const uint8_t *)"\x93NUMPY\2\0\x74\0", 10, &n, &npy));
    CHECK(!sc_npy_header_bytes((const uint8_t *)"\x93NUMPY\1\0\x76", 9, &n, &npy));
    CHECK(!sc_npy_header_bytes((const uint8_t *)"\x93NUMPX\1\0\x76\0\0\0", 12, &n, &npy));
    CHECK(!sc_npy_header_bytes((const uint8_t *)"\x93NUMPY\0\0\x76\0\0\0", 12, &n, &npy));
    CHECK(!sc_npy_header_bytes((const uint8_t *)"\x93NUMPY\4\0\x76\0\0\0", 12, &n, &npy));
    CHECK(!sc_npy_header_bytes((const uint8_t *)"\x93NUMPY\1\1\x76\0\0\0", 12, &n, &npy));
    CHECK(!sc_npy_header_bytes((const uint8_t *)"", 0, &n, &npy));
}

/* ------------------------------------------------------------------------------------ files --- */

struct opened {
    struct sc_catalog *c;
    struct sc_open_options options;
    struct sc_error e;
    int code;
};

static int open_with(struct sc_catalog *c, const struct sc_format *format, const char *path,
                     const void *p, size_t n, struct sc_fault *fault, struct sc_error *e)
{
    struct sc_source *s = NULL;
    uint32_t file;
    int code = sc_memory_open(p, n, path, &s, e);
    if (code == 0 && fault)
        code = sc_source_fault(s, fault, &s, e);
    if (code < 0)
        return code;
    code = sc_catalog_add_file(c, path, n, &file, e);
    if (code == 0)
        code = format->open(c, file, s, e);
    sc_source_close(s);
    return code;
}

static void open_bytes(struct opened *o, const struct sc_format *format, const char *path,
                       const void *p, size_t n, bool lenient)
{
    *o = (struct opened){.options = {.lenient = lenient}};
    o->c = sc_calloc(1, sizeof *o->c);
    if (!o->c)
        abort();
    o->c->options = &o->options;
    o->code = open_with(o->c, format, path, p, n, NULL, &o->e);
    CHECK(o->code == 0 || (!lenient && o->code == SCRUPLE_EFORMAT));
    uint64_t sum = o->c->files[0].header_bytes;
    for (size_t i = 0; i < o->c->n_entries; i++)
        sum += o->c->entries[i].bytes;
    if (o->code == 0)
        CHECK(sum <= n);
}

static void open_npy(struct opened *o, const struct maker *m, bool lenient)
{
    open_bytes(o, &sc_format_npy, "sub/weights.npy", m->p, m->n, lenient);
}

static void done(struct opened *o)
{
    sc_catalog_close(o->c);
}

static const char *last_finding(const struct opened *o)
{
    return o->c->n_findings ? o->c->findings[o->c->n_findings - 1].id : "";
}

TEST(npy_bids)
{
    struct sc_probe p = {.head = (const uint8_t *)"\x93NUMPY\1\0", .head_len = 8};
    CHECK_U64(sc_format_npy.bid(&p), 64);
    p.head = (const uint8_t *)"\x93NUMPY\7\0";
    CHECK_U64(sc_format_npy.bid(&p), 48);
    p.head = (const uint8_t *)"NUMPY\1\0\0";
    CHECK_U64(sc_format_npy.bid(&p), 0);
    p.head_len = 0;
    CHECK_U64(sc_format_npy.bid(&p), 0);
}

TEST(an_npy_file)
{
    struct maker m = {.n = 0};
    struct opened o;
    put_header(&m, 1, "{'descr': '>f8', 'fortran_order': True, 'shape': (2, 3), }");
    put_zeros(&m, 48);
    open_npy(&o, &m, false);
    REQUIRE(o.code == 0 && o.c->n_entries == 1);
    const struct sc_entry *en = &o.c->entries[0];
    CHECK_STR(en->name, "weights");
    CHECK_STR(sc_entry_dtype(o.c, en), "F64");
    CHECK_U64(en->flags, SC_ENTRY_BIG_ENDIAN | SC_ENTRY_FORTRAN);
    CHECK_U64(en->offset, 128);
    CHECK_U64(en->bytes, 48);
    CHECK_U64(en->shape[1], 3);
    CHECK_U64(en->view, SC_NO_STORAGE);
    CHECK_U64(o.c->files[0].header_bytes, 128);
    CHECK_U64(o.c->files[0].data_offset, 128);
    CHECK_U64(o.c->n_findings, 0);
    done(&o);
}

TEST(npy_names)
{
    CHECK(sc_str_is(sc_npy_name(SC_STR("a/b.npy"), true), "b"));
    CHECK(sc_str_is(sc_npy_name(SC_STR("a/b.npy"), false), "a/b"));
    CHECK(sc_str_is(sc_npy_name(SC_STR("b"), true), "b"));
    CHECK(sc_str_is(sc_npy_name(SC_STR(".npy"), true), ".npy"));
    CHECK(sc_str_is(sc_npy_name(SC_STR("a/"), true), "a/"));
    CHECK(sc_str_is(sc_npy_name(SC_STR(""), true), ""));
}

TEST(npy_data_that_is_too_short_or_too_long)
{
    struct maker m = {.n = 0};
    struct opened o;
    put_array(&m, "'<f4'", "(5,)", 19);
    open_npy(&o, &m, false);
    CHECK_ERR(SCRUPLE_EFORMAT, o.code);
    CHECK_STR(o.e.text, "sub/weights.npy: array \"weights\" needs 20 bytes, but 19 follow its "
                        "header (truncated download?)");
    done(&o);
    open_npy(&o, &m, true);
    REQUIRE(o.code == 0 && o.c->n_entries == 1);
    CHECK_U64(o.c->entries[0].flags, SC_ENTRY_BROKEN);
    CHECK_U64(o.c->entries[0].bytes, 19);
    done(&o);
    put_zeros(&m, 2);
    open_npy(&o, &m, false);
    CHECK_ERR(0, o.code);
    CHECK_STR(last_finding(&o), "npy.trailing");
    CHECK_U64(o.c->entries[0].bytes, 20);
    done(&o);
}

TEST(npy_foreign_types)
{
    static const struct {
        const char *descr, *type, *id;
        uint64_t bytes;
    } rows[] = {
        {"'|S5'", "S5", "npy.trailing", 15},
        {"[('a', '<f4')]", "STRUCT4", "npy.trailing", 12},
        {"'|O'", "OBJECT", "npy.objects", 100},
        {"'bfloat16'", "bfloat16", "npy.type.unknown", 100},
    };
    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        struct maker m = {.n = 0};
        struct opened o;
        put_array(&m, rows[i].descr, "(3,)", 100);
        open_npy(&o, &m, false);
        REQUIRE(o.code == 0 && o.c->n_entries == 1);
        CHECK_STR(sc_entry_dtype(o.c, &o.c->entries[0]), rows[i].type);
        CHECK_U64(o.c->entries[0].bytes, rows[i].bytes);
        CHECK_U64(o.c->n_findings, 1);
        CHECK_STR(last_finding(&o), rows[i].id);
        done(&o);
    }
}

TEST(npy_header_longer_than_one_read)
{
    static struct maker m;
    static char text[5000];
    struct opened o;
    size_t n = (size_t)snprintf(text, 64, "{'fortran_order': False, 'shape': (2,), 'descr': [");
    for (unsigned i = 0; i < 200; i++)
        n += (size_t)snprintf(text + n, 32, "('f%u', '<f4'), ", i);
    snprintf(text + n, 4, "]}");
    m.n = 0;
    put_header(&m, 3, text);
    put_zeros(&m, 1600);
    open_npy(&o, &m, false);
    CHECK_ERR(0, o.code);
    CHECK_STR(sc_entry_dtype(o.c, &o.c->entries[0]), "STRUCT800");
    CHECK_U64(o.c->entries[0].bytes, 1600);
    CHECK_U64(o.c->n_findings, 0);
    done(&o);
    m.n = 2000; /* cut inside the header */
    open_npy(&o, &m, false);
    CHECK_STR(last_finding(&o), "npy.header");
    done(&o);
}

TEST(npy_cut_and_changed_at_every_byte)
{
    static const uint8_t values[] = {0, 1, '\'', '(', '[', '9', 0x80, 0xff};
    struct maker m = {.n = 0};
    struct opened o;
    put_array(&m, "[('a', '<f4', (2,)), ('b', [('c', '|S3')])]", "(2, 1)", 22);
    open_npy(&o, &m, false);
    CHECK_ERR(0, o.code);
    CHECK_U64(o.c->n_findings, 0);
    done(&o);
    for (size_t n = 0; n < m.n; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        REQUIRE(copy);
        memcpy(copy, m.p, n);
        for (int lenient = 0; lenient < 2; lenient++) {
            open_bytes(&o, &sc_format_npy, "x.npy", copy, n, lenient);
            CHECK_ERR(lenient ? 0 : SCRUPLE_EFORMAT, o.code);
            done(&o);
        }
        free(copy);
    }
    for (size_t i = 0; i < m.n; i++) {
        const uint8_t before = m.p[i];
        for (size_t k = 0; k < 2 * SC_COUNT(values); k++) {
            m.p[i] = values[k / 2];
            open_npy(&o, &m, k % 2);
            done(&o);
        }
        m.p[i] = before;
    }
}

/* --------------------------------------------------------------------------------- archives --- */

struct member {
    const char *name;
    struct maker content;
    bool deflate;
    size_t at; /* position of the local header */
    size_t stored;
    uint32_t crc;
    uint8_t packed[1 << 14];
};

static void pack(struct member *k)
{
    k->crc = (uint32_t)crc32(0, k->content.p, (unsigned)k->content.n);
    if (!k->deflate) {
        k->stored = k->content.n;
        return;
    }
    z_stream z = {0};
    z.next_in = k->content.p;
    z.avail_in = (unsigned)k->content.n;
    z.next_out = k->packed;
    z.avail_out = sizeof k->packed;
    if (deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    k->stored = z.total_out;
    deflateEnd(&z);
}

/* What a local header and a directory record have in common. */
static void put_record(struct maker *m, const struct member *k)
{
    put(m, 20, 2);
    put(m, 0, 2);
    put(m, k->deflate ? 8 : 0, 2);
    put(m, 0, 4);
    put(m, k->crc, 4);
    put(m, k->stored, 4);
    put(m, k->content.n, 4);
    put(m, strlen(k->name), 2);
    put(m, 0, 2);
}

static void put_zip(struct maker *m, struct member *members, size_t n)
{
    m->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct member *k = &members[i];
        pack(k);
        k->at = m->n;
        put_bytes(m, "PK\3\4", 4);
        put_record(m, k);
        put_bytes(m, k->name, strlen(k->name));
        put_bytes(m, k->deflate ? k->packed : k->content.p, k->stored);
    }
    const size_t directory = m->n;
    for (size_t i = 0; i < n; i++) {
        put_bytes(m, "PK\1\2", 4);
        put(m, 20, 2);
        put_record(m, &members[i]);
        put_zeros(m, 10);
        put(m, members[i].at, 4);
        put_bytes(m, members[i].name, strlen(members[i].name));
    }
    const size_t end = m->n;
    put_bytes(m, "PK\5\6", 4);
    put_zeros(m, 4);
    put(m, n, 2);
    put(m, n, 2);
    put(m, end - directory, 4);
    put(m, directory, 4);
    put(m, 0, 2);
}

static void open_npz(struct opened *o, const struct maker *m, bool lenient)
{
    open_bytes(o, &sc_format_npz, "w.npz", m->p, m->n, lenient);
}

/* A stored and a deflated array and a member that is none. */
static const struct maker *archive(struct member k[3])
{
    static struct maker m;
    memset(k, 0, 3 * sizeof *k);
    k[0].name = "layers/0/w.npy";
    put_array(&k[0].content, "'<f4'", "(4, 8)", 128);
    k[1].name = "b.npy";
    k[1].deflate = true;
    put_header(&k[1].content, 1, "{'descr': '<f2', 'fortran_order': True, 'shape': (10, 20, 5), }");
    put_zeros(&k[1].content, 2000);
    k[2].name = "readme.txt";
    put_bytes(&k[2].content, "hello", 5);
    put_zip(&m, k, 3);
    return &m;
}

TEST(an_npz_archive)
{
    static struct member k[3];
    const struct maker *m = archive(k);
    struct opened o;
    open_npz(&o, m, false);
    REQUIRE(o.code == 0 && o.c->n_entries == 2);
    const struct sc_entry *w = &o.c->entries[0], *b = &o.c->entries[1];
    CHECK_STR(w->name, "layers/0/w");
    CHECK_U64(w->offset, k[0].at + 30 + 14 + 128);
    CHECK_U64(w->bytes, 128);
    CHECK_U64(w->view, SC_NO_STORAGE);
    CHECK_STR(b->name, "b");
    CHECK_STR(sc_entry_dtype(o.c, b), "F16");
    CHECK_U64(b->offset, k[1].at + 30 + 5);
    CHECK_U64(b->bytes, k[1].stored);
    CHECK_U64(b->flags, SC_ENTRY_FORTRAN);
    REQUIRE(b->view < o.c->n_views);
    const struct sc_view *v = &o.c->views[b->view];
    CHECK_U64(v->strides[0], 1);
    CHECK_U64(v->strides[1], 10);
    CHECK_U64(v->strides[2], 200);
    const struct sc_storage *s = &o.c->storages[v->storage];
    CHECK_STR(s->key, "b.npy");
    CHECK_U64(s->offset, b->offset);
    CHECK_U64(s->stored, b->bytes);
    CHECK_U64(s->bytes, 128 + 2000);
    CHECK_U64(s->method, 8);
    CHECK_U64(o.c->n_findings, 1);
    CHECK_STR(last_finding(&o), "npz.member");
    /* What is neither header nor array is the text file. */
    CHECK_U64(o.c->files[0].header_bytes + w->bytes + b->bytes + 5, m->n);
    done(&o);
}

TEST(npz_bids)
{
    static struct member k[3];
    struct maker m = *archive(k);
    struct sc_source *s = NULL;
    struct sc_error e;
    REQUIRE(sc_memory_open(m.p, m.n, "w", &s, &e) == 0);
    struct sc_probe p = {.head = m.p, .head_len = SC_MIN(m.n, SC_PROBE_HEAD), .size = m.n};
    CHECK_U64(sc_format_npz.bid(&p), 64);
    p.source = s;
    /* The first name is a text file's: the directory tells. */
    static struct member turned[2];
    memset(turned, 0, sizeof turned);
    turned[0] = k[2];
    turned[1] = k[0];
    put_zip(&m, turned, 2);
    sc_source_close(s);
    REQUIRE(sc_memory_open(m.p, m.n, "w", &s, &e) == 0);
    p = (struct sc_probe){.head = m.p, .head_len = 64, .size = m.n, .source = s};
    CHECK_U64(sc_format_npz.bid(&p), 40);
    put_zip(&m, turned, 1);
    sc_source_close(s);
    REQUIRE(sc_memory_open(m.p, m.n, "w", &s, &e) == 0);
    p = (struct sc_probe){.head = m.p, .head_len = 64, .size = m.n, .source = s};
    CHECK_U64(sc_format_npz.bid(&p), 0);
    sc_source_close(s);
    p = (struct sc_probe){.head = (const uint8_t *)"PK\3\4", .head_len = 4, .size = 4};
    CHECK_U64(sc_format_npz.bid(&p), 0);
}

TEST(npz_members_that_are_no_arrays)
{
    static struct member k[2];
    static struct maker m;
    struct opened o;
    for (int deflate = 0; deflate < 2; deflate++) {
        memset(k, 0, sizeof k);
        k[0].name = "bad.npy";
        k[0].deflate = deflate;
        put_bytes(&k[0].content, "not an array at all", 19);
        k[1].name = "good.npy";
        put_array(&k[1].content, "'<f4'", "(4,)", 16);
        put_zip(&m, k, 2);
        open_npz(&o, &m, false);
        CHECK_ERR(SCRUPLE_EFORMAT, o.code);
        CHECK_STR(last_finding(&o), "npy.header");
        done(&o);
        open_npz(&o, &m, true);
        CHECK_U64(o.c->n_entries, 1);
        done(&o);
    }
}

TEST(npz_members_that_are_too_short)
{
    static struct member k[1];
    static struct maker m;
    struct opened o;
    for (int deflate = 0; deflate < 2; deflate++) {
        memset(k, 0, sizeof k);
        k[0].name = "w.npy";
        k[0].deflate = deflate;
        put_array(&k[0].content, "'<f4'", "(100,)", 399);
        put_zip(&m, k, 1);
        open_npz(&o, &m, false);
        CHECK_STR(last_finding(&o), "npy.truncated");
        done(&o);
        open_npz(&o, &m, true);
        REQUIRE(o.c->n_entries == 1);
        CHECK_U64(o.c->entries[0].flags, SC_ENTRY_BROKEN);
        CHECK_U64(o.c->entries[0].bytes, deflate ? k[0].stored : 399);
        done(&o);
    }
}

TEST(npz_changed_at_every_byte)
{
    static const uint8_t values[] = {0, 1, 0x7f, 0xff};
    static struct member k[3];
    struct maker m = *archive(k);
    struct opened o;
    for (size_t i = 0; i < m.n; i++) {
        const uint8_t before = m.p[i];
        for (size_t v = 0; v < 2 * SC_COUNT(values); v++) {
            m.p[i] = values[v / 2];
            open_npz(&o, &m, v % 2);
            done(&o);
        }
        m.p[i] = before;
    }
}

TEST(npz_the_kth_read_fails)
{
    static struct member k[3];
    const struct maker *m = archive(k);
    bool fired = true;
    for (uint64_t i = 0; fired; i++) {
        struct sc_open_options options = {.lenient = true};
        struct sc_fault fault = {.fail_at = i};
        struct sc_error e;
        struct sc_catalog *c = sc_calloc(1, sizeof *c);
        REQUIRE(c);
        c->options = &options;
        const int code = open_with(c, &sc_format_npz, "w.npz", m->p, m->n, &fault, &e);
        fired = fault.fired;
        CHECK_ERR(fired ? SCRUPLE_EIO : 0, code);
        sc_catalog_close(c);
    }
}

TEST(npz_the_kth_allocation_fails)
{
    static struct member k[3];
    const struct maker *m = archive(k);
    for (uint64_t i = 0;; i++) {
        struct sc_open_options options = {.lenient = i % 2 == 0};
        struct sc_error e;
        sc_oom_fail_at(i);
        struct sc_catalog *c = sc_calloc(1, sizeof *c);
        if (c)
            c->options = &options;
        const int code =
            c ? open_with(c, &sc_format_npz, "w.npz", m->p, m->n, NULL, &e) : SCRUPLE_EMEMORY;
        const bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        sc_catalog_close(c);
        CHECK_ERR(reached ? SCRUPLE_EMEMORY : 0, code);
        if (!reached)
            break;
    }
}
