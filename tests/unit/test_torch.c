/* SPDX-License-Identifier: Apache-2.0 */
/* PyTorch files: those that torch itself wrote (tests/data/torch, against their expect files) and
 * those that it never would, made here byte by byte. */
#include "test.h"

#include <dirent.h>
#include <jansson.h>

#include "format/torch.h"
#include "oom.h"
#include "support.h"
#include "zip_maker.h"

/* --------------------------------------------------------------------------- a small pickler ---
 */

static void p_text(struct sc_buf *b, const char *s)
{
    sc_buf_putc(b, 'X');
    zm_put(b, strlen(s), 4);
    sc_buf_puts(b, s);
}

static void p_int(struct sc_buf *b, int64_t i)
{
    sc_buf_puts(b, "\x8a\x08");
    zm_put(b, (uint64_t)i, 8);
}

static void p_dims(struct sc_buf *b, const int64_t *dims, size_t n)
{
    sc_buf_putc(b, '(');
    for (size_t i = 0; i < n; i++)
        p_int(b, dims[i]);
    sc_buf_putc(b, 't');
}

static void p_storage(struct sc_buf *b, const char *class, const char *key, int64_t numel)
{
    sc_buf_putc(b, '(');
    p_text(b, "storage");
    sc_buf_printf(b, "ctorch\n%s\n", class);
    p_text(b, key);
    p_text(b, "cpu");
    p_int(b, numel);
    sc_buf_puts(b, "tQ");
}

struct tensor {
    const char *class, *key;
    int64_t numel, first;
    size_t rank;
    int64_t sizes[4], strides[4];
};

static void p_tensor(struct sc_buf *b, struct tensor t)
{
    sc_buf_puts(b, "ctorch._utils\n_rebuild_tensor_v2\n(");
    p_storage(b, t.class ? t.class : "FloatStorage", t.key ? t.key : "0", t.numel);
    p_int(b, t.first);
    p_dims(b, t.sizes, t.rank);
    p_dims(b, t.strides, t.rank);
    sc_buf_puts(b, "\x89"
                   "ccollections\nOrderedDict\n)RtR");
}

/* "name": tensor, inside of a dict that is being filled. */
static void p_named(struct sc_buf *b, const char *name, struct tensor t)
{
    p_text(b, name);
    p_tensor(b, t);
}

static struct sc_buf p_start(void)
{
    struct sc_buf b = {0};
    sc_buf_puts(&b, "\x80\x02}(");
    return b;
}

/* A one-dimensional tensor of n floats at `first` of a storage of `numel`. */
static struct tensor flat(const char *key, int64_t numel, int64_t first, int64_t n)
{
    return (struct tensor){
        .key = key, .numel = numel, .first = first, .rank = 1, .sizes = {n}, .strides = {1}};
}

/* ------------------------------------------------------------------------------------- files ---
 */

struct made {
    struct sc_open_options options;
    struct sc_catalog *c;
    struct sc_source *s;
    struct sc_error e;
    struct sc_fault fault;
    int code;
};

static int open_bytes(struct made *m, const void *p, size_t n)
{
    uint32_t file;
    m->c = calloc(1, sizeof *m->c);
    if (!m->c)
        return m->code = SCRUPLE_EMEMORY;
    m->c->options = &m->options;
    m->code = sc_catalog_add_file(m->c, "model.pt", n, &file, &m->e);
    if (m->code == 0)
        m->code = sc_memory_open(p, n, "model.pt", &m->s, &m->e);
    if (m->code == 0 && m->fault.fail_at)
        m->code = sc_source_fault(m->s, &m->fault, &m->s, &m->e);
    if (m->code == 0)
        m->code = sc_format_torch.open(m->c, file, m->s, &m->e);
    return m->code;
}

static void close_made(struct made *m)
{
    sc_source_close(m->s);
    sc_catalog_close(m->c);
    memset(m, 0, sizeof *m);
}

/* Closes the dict and packs it with one storage "0" of so many bytes. */
static void pack(struct zip_maker *z, struct sc_buf *pickle, size_t storage_bytes,
                 struct zip_how how)
{
    char *zeros = calloc(1, storage_bytes + 1);
    if (!zeros)
        abort();
    sc_buf_puts(pickle, "u.");
    zm_add_how(z, "archive/data.pkl", pickle->p, pickle->n, how);
    zm_add_how(z, "archive/data/0", zeros, storage_bytes, how);
    zm_add(z, "archive/version", "3\n", 2);
    zm_end(z);
    free(zeros);
    sc_buf_clear(pickle);
}

static const struct sc_entry *entry(const struct made *m, const char *name)
{
    for (size_t i = 0; i < m->c->n_entries; i++)
        if (sc_str_is(sc_entry_name(&m->c->entries[i]), name))
            return &m->c->entries[i];
    return NULL;
}

static void check_entry(const struct made *m, const char *name, uint64_t bytes, bool tied)
{
    const struct sc_entry *en = entry(m, name);
    if (!en) {
        CHECK_STR(NULL, name);
        return;
    }
    CHECK_U64(en->bytes, bytes);
    CHECK_U64(en->flags & SC_ENTRY_TIED ? 1 : 0, tied);
}

/* Strictly: refused with this finding, or fine. Leniently: opened, and the finding is there. */
static void check_archive(struct zip_maker *z, const char *id, bool refused)
{
    struct made m = {0};
    CHECK_ERR(refused ? SCRUPLE_EFORMAT : 0, open_bytes(&m, z->out.p, z->out.n));
    if (id)
        CHECK(finding(m.c, id) != NULL);
    else
        CHECK_U64(m.c->n_findings, 0);
    close_made(&m);
    m.options.lenient = true;
    CHECK_ERR(0, open_bytes(&m, z->out.p, z->out.n));
    if (id)
        CHECK(finding(m.c, id) != NULL);
    close_made(&m);
    zm_clear(z);
}

/* One tensor "w" in a storage of so many bytes. */
static void check_tensor(struct tensor t, size_t bytes, const char *id, bool refused)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    p_named(&b, "w", t);
    pack(&z, &b, bytes, (struct zip_how){0});
    check_archive(&z, id, refused);
}

/* ------------------------------------------------------------------------ written by torch --- */

static uint64_t json_u64(const json_t *o, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(o, key));
}

static void check_row(const struct made *m, const json_t *row)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    const struct sc_entry *en = entry(m, name);
    const json_t *shape = json_object_get(row, "shape"), *stride = json_object_get(row, "stride");
    const json_t *dtype = json_object_get(row, "dtype"), *bytes = json_object_get(row, "bytes");
    if (!en) {
        CHECK_STR(NULL, name);
        return;
    }
    if (json_is_string(dtype))
        CHECK_STR(sc_entry_dtype(m->c, en), json_string_value(dtype));
    CHECK_U64(en->rank, json_array_size(shape));
    for (size_t i = 0; i < en->rank && i < json_array_size(shape); i++)
        CHECK_U64(en->shape[i], json_integer_value(json_array_get(shape, i)));
    const bool alone = json_array_size(json_object_get(row, "stored")) == 0;
    if (json_is_integer(bytes) && alone)
        CHECK_U64(en->bytes, json_integer_value(bytes));
    if (!stride || en->view == SC_NO_STORAGE)
        return;
    const struct sc_view *v = &m->c->views[en->view];
    CHECK_U64(v->first, json_u64(row, "storage_offset"));
    for (size_t i = 0; i < en->rank; i++)
        CHECK_U64(v->strides[i], json_integer_value(json_array_get(stride, i)));
    /* The first value, where it is a float that can be read by hand. */
    const json_t *head = json_array_get(json_object_get(row, "head"), 0);
    float f;
    if (head && strcmp(sc_entry_dtype(m->c, en), "F32") == 0 && sc_entry_elements(en) > 0) {
        CHECK_U64(sc_source_read(m->s, en->offset, &f, sizeof f, NULL), 0);
        CHECK_NEAR(f, strtod(json_string_value(head), NULL), 1e-7);
    }
}

static void check_expected(const char *folder, const char *expect)
{
    char path[4096];
    json_error_t je;
    snprintf(path, sizeof path, "%s/%s", folder, expect);
    json_t *root = json_load_file(path, 0, &je);
    REQUIRE(root != NULL);
    snprintf(path, sizeof path, "%s/%s", folder, json_string_value(json_object_get(root, "path")));
    struct blob b = read_blob(path);
    struct made m = {.options = {.verify = true}};
    CHECK_ERR(0, open_bytes(&m, b.p, b.n));
    CHECK_STR(m.e.text, "");
    if (m.code < 0)
        fprintf(stderr, "%s: %s\n", path, m.e.text);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "tensors"), i, row) check_row(&m, row);
    uint64_t sum = m.c->files[0].header_bytes;
    for (i = 0; i < m.c->n_entries; i++)
        sum += m.c->entries[i].bytes;
    CHECK(sum <= b.n);
    CHECK_U64(m.c->n_errors + m.c->n_warnings, 0);
    for (i = 0; i < m.c->n_imports; i++)
        CHECK(m.c->imports[i].verdict != SC_VERDICT_DANGER);
    close_made(&m);
    free(b.p);
    json_decref(root);
}

TEST(files_written_by_torch)
{
    const char *folder = SC_TESTDATA "/torch";
    DIR *d = opendir(folder);
    int n = 0;
    REQUIRE(d != NULL);
    for (struct dirent *de; (de = readdir(d)) != NULL;)
        if (sc_str_ends(sc_strz(de->d_name), ".pt.expect.json")) {
            check_expected(folder, de->d_name);
            n++;
        }
    closedir(d);
    CHECK(n >= 15);
}

/* ------------------------------------------------------------------------------ recognition --- */

static int bid(const void *p, size_t n)
{
    struct sc_source *s = NULL;
    if (sc_memory_open(p, n, "x", &s, NULL) < 0)
        return -1;
    const struct sc_probe probe = {
        .head = p, .head_len = SC_MIN(n, (size_t)SC_PROBE_HEAD), .size = n, .source = s};
    const int got = sc_format_torch.bid(&probe);
    sc_source_close(s);
    return got;
}

TEST(recognised_by_content)
{
    struct zip_maker z = {0};
    zm_add(&z, "a/data.pkl", "N.", 2);
    zm_end(&z);
    CHECK(bid(z.out.p, z.out.n) > 64);
    zm_clear(&z);
    zm_add(&z, "a/first", "x", 1); /* as torch.jit.save does, the pickle is not the first */
    zm_add(&z, "a/data.pkl", "N.", 2);
    zm_end(&z);
    CHECK(bid(z.out.p, z.out.n) > 64);
    CHECK(bid(z.out.p, z.out.n - 1) == 0); /* and without a directory there is no telling */
    zm_clear(&z);
    zm_add(&z, "a/other.pkl", "N.", 2);
    zm_end(&z);
    CHECK_U64(bid(z.out.p, z.out.n), 0);
    zm_clear(&z);
    CHECK(bid("\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.", 15) > 64);
    CHECK(bid("L119547037146038801333356L\n.", 28) > 64);
    CHECK(bid("\x80\2}q\0.", 6) > 0 && bid("\x80\2}q\0.", 6) < 20);
    CHECK_U64(bid("\x80\7}q\0.", 6), 0);
    CHECK(bid("cos\nsystem\n(S'id'\ntR.", 22) > 0);
    CHECK(bid("cos\nsystem\n(S'id'\ntR.", 22) < 12);
    CHECK_U64(bid("cat\ndog\nhorse\n", 14), 0);
    CHECK_U64(bid("PK\3\4", 4), 0);
    CHECK_U64(bid("", 0), 0);
}

/* ------------------------------------------------------------------------------ tensor rules ---
 */

TEST(tensor_fits_exactly)
{
    check_tensor(flat("0", 6, 2, 4), 24, NULL, false);
}
TEST(tensor_reaches_beyond)
{
    check_tensor(flat("0", 6, 3, 4), 24, "torch.range", true);
}
TEST(tensor_begins_beyond)
{
    check_tensor(flat("0", 6, 6, 1), 24, "torch.range", true);
}
TEST(offset_negative)
{
    check_tensor(flat("0", 6, -1, 1), 24, "torch.tensor", true);
}
TEST(size_negative)
{
    check_tensor(flat("0", 6, 0, -1), 24, "torch.tensor", true);
}
TEST(storage_shorter_than_its_numel)
{
    check_tensor(flat("0", 6, 0, 1), 23, "torch.storage-short", true);
}
TEST(storage_longer_than_its_numel)
{
    check_tensor(flat("0", 6, 0, 6), 25, "torch.storage-longer", false);
}
TEST(storage_missing)
{
    check_tensor(flat("1", 6, 0, 6), 24, "torch.storage-missing", true);
}
TEST(storage_key_is_no_path)
{
    check_tensor(flat("../version", 1, 0, 1), 4, "torch.storage-missing", true);
}
TEST(storage_numel_wraps)
{
    check_tensor(flat("0", INT64_MAX, 0, 1), 4, "torch.storage", true);
}
TEST(empty_tensor_skips_strides)
{
    check_tensor((struct tensor){.numel = 1, .rank = 2, .sizes = {0, 5}, .strides = {INT64_MAX, 9}},
                 4, NULL, false);
}
TEST(stride_negative)
{
    check_tensor((struct tensor){.numel = 6, .rank = 1, .sizes = {2}, .strides = {-1}}, 24,
                 "torch.tensor", true);
}
TEST(stride_wraps)
{
    check_tensor(
        (struct tensor){.numel = 6, .rank = 2, .sizes = {3, 3}, .strides = {INT64_MAX, INT64_MAX}},
        24, "torch.range", true);
}
TEST(expanded_to_a_billion_squared)
{
    check_tensor((struct tensor){.numel = 1, .rank = 2, .sizes = {1000000000, 1000000000}}, 4, NULL,
                 false);
}
TEST(expanded_beyond_64_bits)
{
    check_tensor((struct tensor){.numel = 1, .rank = 2, .sizes = {10000000000, 10000000000}}, 4,
                 "tensor.shape", true);
}

TEST(strides_of_another_rank)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    const int64_t one[] = {1, 1};
    p_text(&b, "w");
    sc_buf_puts(&b, "ctorch._utils\n_rebuild_tensor_v2\n(");
    p_storage(&b, "FloatStorage", "0", 1);
    p_int(&b, 0);
    p_dims(&b, one, 2);
    p_dims(&b, one, 1);
    sc_buf_puts(&b, "tR");
    pack(&z, &b, 4, (struct zip_how){0});
    check_archive(&z, "torch.tensor", true);
}

TEST(too_few_arguments)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    p_text(&b, "w");
    sc_buf_puts(&b, "ctorch._utils\n_rebuild_tensor_v2\n(");
    p_storage(&b, "FloatStorage", "0", 1);
    sc_buf_puts(&b, "tR");
    pack(&z, &b, 4, (struct zip_how){0});
    check_archive(&z, "torch.tensor", true);
}

TEST(one_key_with_two_types)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    p_named(&b, "a", flat("0", 2, 0, 2));
    struct tensor t = flat("0", 2, 0, 2);
    t.class = "IntStorage";
    p_named(&b, "b", t);
    pack(&z, &b, 8, (struct zip_how){0});
    check_archive(&z, "torch.storage", true);
}

TEST(broken_tensors_are_listed_leniently)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {.options = {.lenient = true}};
    p_named(&b, "good", flat("0", 6, 0, 4));
    p_named(&b, "bad", flat("0", 6, 4, 4));
    p_named(&b, "gone", flat("7", 6, 0, 6));
    pack(&z, &b, 24, (struct zip_how){0});
    CHECK_ERR(0, open_bytes(&m, z.out.p, z.out.n));
    CHECK_U64(m.c->n_entries, 3);
    check_entry(&m, "good", 16, false);
    CHECK(entry(&m, "bad") && entry(&m, "bad")->flags & SC_ENTRY_BROKEN);
    CHECK(entry(&m, "gone") && entry(&m, "gone")->flags & SC_ENTRY_BROKEN);
    CHECK(finding(m.c, "torch.range") && strcmp(finding(m.c, "torch.range")->tensor, "bad") == 0);
    close_made(&m);
    zm_clear(&z);
}

TEST(types_without_a_storage_class)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {0};
    static const char *const dtypes[] = {"float8_e4m3fn", "uint4", "bits16", "float9_unheard_of"};
    for (size_t i = 0; i < SC_COUNT(dtypes); i++) {
        const int64_t two[] = {2}, one[] = {1};
        p_text(&b, dtypes[i]);
        sc_buf_puts(&b, "ctorch._utils\n_rebuild_tensor_v3\n(");
        p_storage(&b, "UntypedStorage", "0", 4);
        p_int(&b, 0);
        p_dims(&b, two, 1);
        p_dims(&b, one, 1);
        sc_buf_printf(&b, "\x89}ctorch\n%s\ntR", dtypes[i]);
    }
    pack(&z, &b, 4, (struct zip_how){0});
    CHECK_ERR(0, open_bytes(&m, z.out.p, z.out.n));
    REQUIRE(m.c->n_entries == 4);
    CHECK_STR(sc_entry_dtype(m.c, &m.c->entries[0]), "F8_E4M3");
    CHECK_STR(sc_entry_dtype(m.c, &m.c->entries[1]), "uint4");
    CHECK_STR(sc_entry_dtype(m.c, &m.c->entries[2]), "bits16");
    CHECK_STR(sc_entry_dtype(m.c, &m.c->entries[3]), "torch.float9_unheard_of");
    close_made(&m);
    zm_clear(&z);
}

/* --------------------------------------------------------------------------- shared storages ---
 */

TEST(bytes_belong_to_the_first_name)
{
    /* The picture in torch_share.c, in floats. */
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {0};
    p_named(&b, "c", flat("0", 25, 5, 5));
    p_named(&b, "b", flat("0", 25, 10, 10));
    p_named(&b, "a", flat("0", 25, 0, 15));
    p_named(&b, "d", flat("0", 25, 23, 1));
    p_named(&b, "e", flat("0", 25, 0, 0));
    pack(&z, &b, 100, (struct zip_how){0});
    CHECK_ERR(0, open_bytes(&m, z.out.p, z.out.n));
    check_entry(&m, "a", 60, false);
    check_entry(&m, "b", 20, false);
    check_entry(&m, "c", 0, true);
    check_entry(&m, "d", 4, false);
    check_entry(&m, "e", 0, false);
    CHECK_U64(entry(&m, "b")->offset - entry(&m, "a")->offset, 40);
    close_made(&m);
    zm_clear(&z);
}

TEST(natural_order_decides)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {0};
    p_named(&b, "layer.10", flat("0", 4, 0, 4));
    p_named(&b, "layer.9", flat("0", 4, 0, 4));
    pack(&z, &b, 16, (struct zip_how){0});
    CHECK_ERR(0, open_bytes(&m, z.out.p, z.out.n));
    check_entry(&m, "layer.9", 16, false);
    check_entry(&m, "layer.10", 0, true);
    close_made(&m);
    zm_clear(&z);
}

TEST(packed_storage_has_one_owner)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {0};
    p_named(&b, "b", flat("0", 1000, 500, 500));
    p_named(&b, "a", flat("0", 1000, 0, 500));
    pack(&z, &b, 4000, (struct zip_how){.deflated = true});
    CHECK_ERR(0, open_bytes(&m, z.out.p, z.out.n));
    const struct sc_entry *a = entry(&m, "a");
    REQUIRE(a != NULL && m.c->n_storages == 1);
    CHECK_U64(a->bytes, m.c->storages[0].stored);
    CHECK(a->bytes < 4000);
    check_entry(&m, "b", 0, true);
    CHECK_U64(m.c->files[0].header_bytes + a->bytes, z.out.n);
    close_made(&m);
    zm_clear(&z);
}

TEST(many_views_of_one_storage)
{
    /* Interleaved and nested spans; their parts add up to the whole. */
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {0};
    char name[32];
    uint64_t sum = 0;
    const int64_t n = 3000;
    for (int64_t i = 0; i < n; i++) {
        const int64_t first = i * 7919 % n, len = 1 + i * 31 % (n - first);
        snprintf(name, sizeof name, "v.%d", (int)i);
        p_named(&b, name, flat("0", n, first, len));
    }
    pack(&z, &b, (size_t)n * 4, (struct zip_how){0});
    CHECK_ERR(0, open_bytes(&m, z.out.p, z.out.n));
    for (size_t i = 0; i < m.c->n_entries; i++)
        sum += m.c->entries[i].bytes;
    CHECK_U64(m.c->n_entries, n);
    CHECK_U64(sum, n * 4);
    close_made(&m);
    zm_clear(&z);
}

/* ------------------------------------------------------------------------------------- names ---
 */

/* Packs this value with storage "0" of 4 bytes and opens it. */
static void open_value(struct made *m, struct zip_maker *z, struct sc_buf *b)
{
    zm_add(z, "archive/data.pkl", b->p, b->n);
    zm_add(z, "archive/data/0", "\0\0\0", 4);
    zm_end(z);
    open_bytes(m, z->out.p, z->out.n);
    sc_buf_clear(b);
}

TEST(keys_of_every_kind)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {0};
    static const struct {
        const char *pickle, *name;
    } keys[] = {
        {"K\1", "1"},  {"X\1\0\0\0k", "k"},         {"U\1b", "b"},    {"\x88", "True"},
        {"N", "None"}, {"J\xff\xff\xff\xff", "-1"}, {"G?\xf8", NULL},
    };
    for (size_t i = 0; i + 1 < SC_COUNT(keys); i++) {
        sc_buf_put(&b, keys[i].pickle, i == 1 ? 6 : strlen(keys[i].pickle));
        p_tensor(&b, flat("0", 1, 0, 1));
    }
    sc_buf_puts(&b, "u.");
    open_value(&m, &z, &b);
    CHECK_U64(m.code, 0);
    for (size_t i = 0; i + 1 < SC_COUNT(keys); i++)
        CHECK(entry(&m, keys[i].name) != NULL);
    close_made(&m);
    zm_clear(&z);
}

TEST(two_keys_that_read_the_same)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {0};
    sc_buf_put(&b, "K\1", 2);
    p_tensor(&b, flat("0", 1, 0, 1));
    p_named(&b, "1", flat("0", 1, 0, 1));
    sc_buf_puts(&b, "u.");
    open_value(&m, &z, &b);
    CHECK_U64(m.code, 0);
    CHECK(entry(&m, "1") && entry(&m, "1#2"));
    CHECK(finding(m.c, "torch.duplicate-name") != NULL);
    close_made(&m);
    zm_clear(&z);
}

TEST(a_tensor_alone)
{
    struct sc_buf b = {0};
    struct zip_maker z = {0};
    struct made m = {0};
    p_tensor(&b, flat("0", 1, 0, 1));
    sc_buf_puts(&b, ".");
    open_value(&m, &z, &b);
    CHECK_U64(m.code, 0);
    check_entry(&m, "tensor", 4, false);
    close_made(&m);
    zm_clear(&z);
}

TEST(shared_dicts_keep_both_names)
{
    struct sc_buf b = {0};
    struct zip_maker z = {0};
    struct made m = {0};
    sc_buf_puts(&b, "}(");
    p_text(&b, "a");
    sc_buf_puts(&b, "}r\x01\x01\x01\x01(");
    p_named(&b, "w", flat("0", 1, 0, 1));
    sc_buf_puts(&b, "u");
    p_text(&b, "b");
    sc_buf_puts(&b, "j\x01\x01\x01\x01u.");
    open_value(&m, &z, &b);
    CHECK_U64(m.code, 0);
    check_entry(&m, "a.w", 4, false);
    check_entry(&m, "b.w", 0, true);
    close_made(&m);
    zm_clear(&z);
}

TEST(cycles_end)
{
    struct sc_buf b = {0};
    struct zip_maker z = {0};
    struct made m = {0};
    sc_buf_puts(&b, "]r\x01\x01\x01\x01(j\x01\x01\x01\x01");
    p_tensor(&b, flat("0", 1, 0, 1));
    sc_buf_puts(&b, "j\x01\x01\x01\x01"
                    "e.");
    open_value(&m, &z, &b);
    CHECK_U64(m.code, 0);
    CHECK_U64(m.c->n_entries, 1);
    CHECK(entry(&m, "1") != NULL);
    close_made(&m);
    zm_clear(&z);
}

TEST(a_billion_laughs_end)
{
    struct sc_buf b = {0};
    struct zip_maker z = {0};
    struct made m = {0};
    sc_buf_puts(&b, "](");
    p_tensor(&b, flat("0", 1, 0, 1));
    sc_buf_put(&b, "eq\0", 3);
    for (int i = 0; i < 40; i++) {
        sc_buf_puts(&b, "](");
        for (int k = 0; k < 10; k++) {
            sc_buf_putc(&b, 'h');
            sc_buf_putc(&b, (char)i);
        }
        sc_buf_puts(&b, "eq");
        sc_buf_putc(&b, (char)(i + 1));
    }
    sc_buf_puts(&b, ".");
    open_value(&m, &z, &b);
    CHECK_U64(m.code, 0);
    CHECK(m.c->n_entries > 1 && m.c->n_entries < 100000);
    CHECK(finding(m.c, "torch.shared") != NULL);
    close_made(&m);
    zm_clear(&z);
}

TEST(depth_is_bounded)
{
    struct sc_buf b = {0};
    struct zip_maker z = {0};
    p_tensor(&b, flat("0", 1, 0, 1));
    sc_buf_repeat(&b, '\x85', 20000);
    sc_buf_puts(&b, ".");
    zm_add(&z, "archive/data.pkl", b.p, b.n);
    zm_add(&z, "archive/data/0", "\0\0\0", 4);
    zm_end(&z);
    sc_buf_clear(&b);
    check_archive(&z, "torch.depth", true);
}

TEST(names_are_bounded)
{
    struct sc_buf b = {0};
    struct zip_maker z = {0};
    char *key = calloc(1, 40001);
    REQUIRE(key != NULL);
    memset(key, 'k', 40000);
    sc_buf_puts(&b, "}");
    p_text(&b, key);
    sc_buf_puts(&b, "}");
    p_text(&b, key);
    p_tensor(&b, flat("0", 1, 0, 1));
    sc_buf_puts(&b, "ss.");
    zm_add(&z, "archive/data.pkl", b.p, b.n);
    zm_add(&z, "archive/data/0", "\0\0\0", 4);
    zm_end(&z);
    sc_buf_clear(&b);
    free(key);
    check_archive(&z, "torch.name", true);
}

TEST(plain_values_are_noted)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {0};
    p_text(&b, "epoch");
    p_int(&b, 7);
    p_text(&b, "hparams");
    sc_buf_puts(&b, "}");
    p_text(&b, "arch");
    p_text(&b, "resnet50");
    sc_buf_puts(&b, "su.");
    open_value(&m, &z, &b);
    CHECK_U64(m.code, 0);
    int seen = 0;
    for (size_t i = 0; i < m.c->n_metas; i++) {
        const struct sc_meta *meta = &m.c->metas[i];
        if (sc_str_is(meta->key, "epoch"))
            seen += meta->value.kind == SC_VALUE_INT && meta->value.as.i == 7;
        if (sc_str_is(meta->key, "hparams.arch"))
            seen += meta->value.kind == SC_VALUE_STRING && sc_str_is(meta->value.as.s, "resnet50");
    }
    CHECK_U64(seen, 2);
    close_made(&m);
    zm_clear(&z);
}

/* ---------------------------------------------------------------------------------- archives ---
 */

static void check_members(const char *const names[], const char *id)
{
    struct zip_maker z = {0};
    for (size_t i = 0; names[i]; i++)
        zm_add(&z, names[i], "\x80\2}.", 4);
    zm_end(&z);
    check_archive(&z, id, id != NULL);
}

TEST(one_pickle_exactly)
{
    check_members((const char *const[]){"a/data.pkl", "b/data.pkl", NULL}, "torch.ambiguous");
    check_members((const char *const[]){"data.pkl", NULL}, "torch.no-pickle");
    check_members((const char *const[]){"/data.pkl", NULL}, "torch.no-pickle");
    check_members((const char *const[]){"a/b/data.pkl", NULL}, "torch.no-pickle");
    check_members((const char *const[]){"a/data.pkl", "a/data/data.pkl", NULL}, NULL);
}

static void check_byteorder(const char *order, const char *id, bool big)
{
    struct sc_buf b = {0};
    struct zip_maker z = {0};
    struct made m = {0};
    p_tensor(&b, flat("0", 1, 0, 1));
    sc_buf_puts(&b, ".");
    zm_add(&z, "a/data.pkl", b.p, b.n);
    zm_add(&z, "a/data/0", "\0\0\0", 4);
    zm_add(&z, "a/byteorder", order, strlen(order));
    zm_end(&z);
    sc_buf_clear(&b);
    if (id) {
        check_archive(&z, id, true);
        return;
    }
    CHECK_ERR(0, open_bytes(&m, z.out.p, z.out.n));
    CHECK(entry(&m, "tensor") && !(entry(&m, "tensor")->flags & SC_ENTRY_BIG_ENDIAN) == !big);
    close_made(&m);
    zm_clear(&z);
}

TEST(byteorder)
{
    check_byteorder("little", NULL, false);
    check_byteorder("big", NULL, true);
    check_byteorder("middle", "torch.byteorder", false);
}

TEST(bytes_after_the_pickle_are_told)
{
    struct zip_maker z = {0};
    zm_add(&z, "a/data.pkl", "\x80\2}.garbage", 11);
    zm_end(&z);
    check_archive(&z, "pickle.trailing", false);
}

TEST(crc_of_the_pickle_is_always_checked)
{
    struct zip_maker z = {0};
    struct made m = {.options = {.verify = true}};
    zm_add_how(&z, "a/data.pkl", "\x80\2}.", 4, (struct zip_how){.crc_xor = 1});
    zm_end(&z);
    CHECK_ERR(SCRUPLE_EFORMAT, open_bytes(&m, z.out.p, z.out.n));
    close_made(&m);
    check_archive(&z, "zip.crc", false);
}

TEST(crc_of_storages_is_checked_on_request)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    struct made m = {0};
    p_named(&b, "w", flat("0", 1, 0, 1));
    sc_buf_puts(&b, "u.");
    zm_add(&z, "a/data.pkl", b.p, b.n);
    zm_add_how(&z, "a/data/0", "\0\0\0", 4, (struct zip_how){.crc_xor = 1});
    zm_end(&z);
    sc_buf_clear(&b);
    CHECK_ERR(0, open_bytes(&m, z.out.p, z.out.n));
    CHECK_U64(m.c->n_findings, 0);
    close_made(&m);
    m.options.verify = true;
    CHECK_ERR(SCRUPLE_EFORMAT, open_bytes(&m, z.out.p, z.out.n));
    close_made(&m);
    zm_clear(&z);
}

TEST(a_packed_bomb_stops_early)
{
    /* 200 MB of None in 200 KB. */
    const size_t n = 200000000;
    char *p = malloc(n);
    struct zip_maker z = {0};
    struct made m = {0};
    REQUIRE(p != NULL);
    memset(p, 'N', n);
    zm_add_how(&z, "a/data.pkl", p, n, (struct zip_how){.deflated = true});
    zm_end(&z);
    free(p);
    CHECK_ERR(SCRUPLE_ELIMIT, open_bytes(&m, z.out.p, z.out.n));
    CHECK(strncmp(m.e.text, "model.pt: ", 10) == 0);
    close_made(&m);
    m.options.lenient = true;
    CHECK_ERR(0, open_bytes(&m, z.out.p, z.out.n));
    CHECK(finding(m.c, "torch.limit") != NULL);
    close_made(&m);
    zm_clear(&z);
}

TEST(a_pickle_of_more_than_256_mib_is_refused)
{
    struct zip_maker z = {0};
    struct made m = {0};
    zm_add_how(&z, "a/data.pkl", "\x80\2}.", 4,
               (struct zip_how){.deflated = true, .bytes_off = INT64_C(257) << 20});
    zm_end(&z);
    CHECK_ERR(SCRUPLE_ELIMIT, open_bytes(&m, z.out.p, z.out.n));
    close_made(&m);
    zm_clear(&z);
}

/* ------------------------------------------------------------------------------------ stream ---
 */

static const char stream_head[] = "\x80\2\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\2M\xe9\3.";

/* The four pickles in front of the storages; `keys` as a pickled list. */
static struct sc_buf stream(struct sc_buf *object, bool little, const char *const keys[])
{
    struct sc_buf b = {0};
    sc_buf_put(&b, stream_head, sizeof stream_head - 1);
    sc_buf_puts(&b, "\x80\2}");
    p_text(&b, "little_endian");
    sc_buf_puts(&b, little ? "\x88s." : "\x89s.");
    sc_buf_puts(object, "u.");
    sc_buf_put(&b, object->p, object->n);
    sc_buf_clear(object);
    sc_buf_puts(&b, "\x80\2](");
    for (size_t i = 0; keys[i]; i++)
        p_text(&b, keys[i]);
    sc_buf_puts(&b, "e.");
    return b;
}

static void put_storage(struct sc_buf *b, uint64_t count, size_t bytes)
{
    zm_put(b, count, 8);
    sc_buf_repeat(b, 's', bytes);
}

static void check_stream(struct sc_buf *b, const char *id, bool refused)
{
    struct zip_maker z = {.out = *b};
    check_archive(&z, id, refused);
    *b = (struct sc_buf){0};
}

TEST(stream_is_read)
{
    struct sc_buf o = p_start();
    struct made m = {0};
    p_named(&o, "a", flat("k1", 2, 0, 2));
    p_named(&o, "b", flat("k0", 3, 1, 2));
    struct sc_buf b = stream(&o, true, (const char *const[]){"k0", "k1", NULL});
    put_storage(&b, 3, 12);
    const size_t second = b.n + 8;
    put_storage(&b, 2, 8);
    CHECK_ERR(0, open_bytes(&m, b.p, b.n));
    check_entry(&m, "a", 8, false);
    check_entry(&m, "b", 8, false);
    REQUIRE(m.c->n_entries == 2);
    CHECK_U64(entry(&m, "a")->offset, second);
    CHECK_U64(m.c->files[0].header_bytes, b.n - 20);
    close_made(&m);
    for (size_t n = 0; n < b.n; n++) { /* cut anywhere it is refused */
        uint8_t *copy = malloc(n + 1);
        REQUIRE(copy != NULL);
        memcpy(copy, b.p, n);
        CHECK(open_bytes(&m, copy, n) == (n == 15 ? SCRUPLE_EFORMAT : m.code) && m.code < 0);
        close_made(&m);
        free(copy);
    }
    sc_buf_clear(&b);
}

TEST(stream_of_a_big_endian_machine)
{
    struct sc_buf o = p_start();
    struct made m = {0};
    p_named(&o, "a", flat("k", 1, 0, 1));
    struct sc_buf b = stream(&o, false, (const char *const[]){"k", NULL});
    put_storage(&b, 1, 4);
    CHECK_ERR(0, open_bytes(&m, b.p, b.n));
    CHECK(entry(&m, "a") && entry(&m, "a")->flags & SC_ENTRY_BIG_ENDIAN);
    close_made(&m);
    sc_buf_clear(&b);
}

TEST(stream_leaves_a_storage_out)
{
    struct sc_buf o = p_start();
    p_named(&o, "a", flat("k", 1, 0, 1));
    p_named(&o, "b", flat("gone", 1, 0, 1));
    struct sc_buf b = stream(&o, true, (const char *const[]){"k", NULL});
    put_storage(&b, 1, 4);
    check_stream(&b, "torch.storage-missing", true);
}

TEST(stream_has_a_key_for_nothing)
{
    struct sc_buf o = p_start();
    p_named(&o, "a", flat("k", 1, 0, 1));
    struct sc_buf b = stream(&o, true, (const char *const[]){"what", "k", NULL});
    put_storage(&b, 1, 4);
    check_stream(&b, "torch.keys", true);
}

TEST(stream_has_a_key_twice)
{
    struct sc_buf o = p_start();
    p_named(&o, "a", flat("k", 1, 0, 1));
    struct sc_buf b = stream(&o, true, (const char *const[]){"k", "k", NULL});
    put_storage(&b, 1, 4);
    put_storage(&b, 1, 4);
    check_stream(&b, "torch.keys", true);
}

TEST(stream_count_differs)
{
    struct sc_buf o = p_start();
    p_named(&o, "a", flat("k", 1, 0, 1));
    struct sc_buf b = stream(&o, true, (const char *const[]){"k", NULL});
    put_storage(&b, 2, 8);
    check_stream(&b, "torch.storage", true);
}

TEST(stream_has_bytes_behind)
{
    struct sc_buf o = p_start();
    p_named(&o, "a", flat("k", 1, 0, 1));
    struct sc_buf b = stream(&o, true, (const char *const[]){"k", NULL});
    put_storage(&b, 1, 4);
    sc_buf_puts(&b, "more");
    check_stream(&b, "torch.trailing", false);
}

TEST(stream_of_another_protocol)
{
    struct sc_buf b = {0};
    sc_buf_put(&b, stream_head, sizeof stream_head - 1);
    b.p[b.n - 2] = 9;
    check_stream(&b, "torch.protocol", true);
}

/* A view on a storage: (key, offset, size) as the last part of the persistent id. */
static struct sc_buf stream_with_view(int64_t offset, int64_t size)
{
    struct sc_buf o = p_start();
    const int64_t two[] = {2}, one[] = {1};
    p_text(&o, "v");
    sc_buf_puts(&o, "ctorch._utils\n_rebuild_tensor\n((");
    p_text(&o, "storage");
    sc_buf_puts(&o, "ctorch\nFloatStorage\n");
    p_text(&o, "k");
    p_text(&o, "cpu");
    p_int(&o, 10);
    sc_buf_puts(&o, "(");
    p_text(&o, "view");
    p_int(&o, offset);
    p_int(&o, size);
    sc_buf_puts(&o, "ttQ");
    p_int(&o, 1);
    p_dims(&o, two, 1);
    p_dims(&o, one, 1);
    sc_buf_puts(&o, "tR");
    struct sc_buf b = stream(&o, true, (const char *const[]){"k", NULL});
    put_storage(&b, 10, 40);
    return b;
}

TEST(stream_views)
{
    struct made m = {0};
    struct sc_buf b = stream_with_view(4, 3);
    CHECK_ERR(0, open_bytes(&m, b.p, b.n));
    REQUIRE(m.c->n_entries == 1);
    CHECK_U64(m.c->views[0].first, 5);
    CHECK_U64(m.c->entries[0].offset, b.n - 40 + 20);
    close_made(&m);
    sc_buf_clear(&b);
    b = stream_with_view(4, 2); /* elements 5 and 6 of 4..5 */
    check_stream(&b, "torch.range", true);
    b = stream_with_view(8, 3);
    check_stream(&b, "torch.tensor", true);
    b = stream_with_view(-1, 3);
    check_stream(&b, "torch.tensor", true);
}

TEST(bare_pickles)
{
    struct made m = {0};
    static const char two[] = "\x80\2}.\x80\2cos\nsystem\n.";
    CHECK_ERR(0, open_bytes(&m, two, sizeof two - 1));
    CHECK_U64(m.c->n_entries, 0);
    CHECK(finding(m.c, "pickle.danger") != NULL); /* also in the one that is never loaded */
    CHECK_U64(m.c->files[0].header_bytes, sizeof two - 1);
    close_made(&m);
    CHECK_ERR(0, open_bytes(&m, "\x80\2}.rest", 8));
    CHECK(finding(m.c, "pickle.trailing") != NULL);
    close_made(&m);
}

TEST(bare_pickles_of_protocol_0)
{
    struct made m = {0};
    static const char evil[] = "cos\nsystem\n(S'id'\ntR.";
    CHECK_ERR(0, open_bytes(&m, evil, sizeof evil - 1));
    CHECK(finding(m.c, "pickle.danger") != NULL);
    close_made(&m);
}

/* pickle.dump of a tensor: its storage pickles itself. */
TEST(tensors_without_torch_save)
{
    struct made m = {0};
    static const char dumped[] = "\x80\2}U\1wctorch._utils\n_rebuild_tensor_v2\n"
                                 "(ctorch.storage\n_load_from_bytes\nU\1x\x85RK\0K\2\x85K\1\x85"
                                 "\x89}tRs.";
    CHECK(open_bytes(&m, dumped, sizeof dumped - 1) == SCRUPLE_EFORMAT);
    CHECK(strstr(m.e.text, "was written by pickle.dump") != NULL);
    close_made(&m);
}

TEST(numpy_arrays_are_counted)
{
    struct made m = {0};
    static const char arrays[] = "\x80\2](cnumpy.core.multiarray\n_reconstruct\n"
                                 "cnumpy\nndarray\nK\0\x85U\1b\x87R}b"
                                 "cnumpy._core.multiarray\n_reconstruct\n)Re.";
    CHECK_ERR(0, open_bytes(&m, arrays, sizeof arrays - 1));
    CHECK(finding(m.c, "torch.numpy") != NULL);
    if (finding(m.c, "torch.numpy"))
        CHECK_STR(finding(m.c, "torch.numpy")->message,
                  "2 numpy arrays inside the pickle are not listed");
    close_made(&m);
}

/* --------------------------------------------------------------------------------------- tar ---
 */

static void put_member(struct sc_buf *tar, const char *name, struct sc_buf *data)
{
    char h[512] = {0};
    unsigned sum = 0;
    snprintf(h, 100, "%s", name);
    snprintf(h + 100, 8, "%07o", 0644);
    snprintf(h + 124, 12, "%011o", (unsigned)data->n);
    memset(h + 148, ' ', 8);
    h[156] = '0';
    for (size_t i = 0; i < sizeof h; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    sc_buf_put(tar, h, sizeof h);
    sc_buf_put(tar, data->p, data->n);
    while (tar->n % 512)
        sc_buf_putc(tar, '\0');
    sc_buf_clear(data);
}

/* One storage of 6 floats, a part of it, and two tensors of rank 1 and offset 1: on the whole and
 * on the part. */
static struct sc_buf tar_file(uint32_t rank, int64_t size)
{
    struct sc_buf tar = {0}, d = {0};
    sc_buf_puts(&d, "\x80\2K\1.\x80\2(K\x0b");
    p_text(&d, "cpu");
    sc_buf_puts(&d, "ctorch\nFloatStorage\nt.");
    zm_put(&d, 6, 8);
    sc_buf_repeat(&d, 'f', 24);
    sc_buf_puts(&d, "\x80\2](");
    sc_buf_puts(&d, "(K\x0cK\x0bK\2K\3te."); /* part 12 of 11: from 2, 3 elements */
    put_member(&tar, "storages", &d);

    sc_buf_puts(&d, "\x80\2K\2.");
    for (int i = 0; i < 2; i++) {
        sc_buf_printf(&d, "\x80\2(K%cK%cctorch\nFloatTensor\nt.", 21 + i, 11 + i);
        zm_put(&d, rank, 4);
        zm_put(&d, 0, 4);
        zm_put(&d, (uint64_t)size, 8);
        zm_put(&d, 1, 8);
        zm_put(&d, 1, 8); /* offset */
    }
    put_member(&tar, "tensors", &d);

    sc_buf_puts(&d, "\x80\2}(");
    p_text(&d, "whole");
    sc_buf_puts(&d, "K\x15Q");
    p_text(&d, "part");
    sc_buf_puts(&d, "U\2"
                    "22Q");
    p_text(&d, "storage");
    sc_buf_puts(&d, "K\x0bQu.");
    put_member(&tar, "pickle", &d);
    sc_buf_repeat(&tar, '\0', 1024);
    return tar;
}

TEST(tar_is_read)
{
    struct sc_buf b = tar_file(1, 2);
    struct made m = {0};
    CHECK_U64(bid(b.p, b.n), 96);
    CHECK_ERR(0, open_bytes(&m, b.p, b.n));
    CHECK_STR(m.e.text, "");
    CHECK_U64(m.c->n_entries, 3);
    REQUIRE(entry(&m, "whole") && entry(&m, "part") && entry(&m, "storage"));
    CHECK_U64(m.c->views[entry(&m, "whole")->view].first, 1);
    CHECK_U64(m.c->views[entry(&m, "part")->view].first, 3);
    CHECK_U64(entry(&m, "storage")->shape[0], 6);
    uint64_t sum = m.c->files[0].header_bytes;
    for (size_t i = 0; i < 3; i++)
        sum += m.c->entries[i].bytes;
    CHECK_U64(sum, b.n);
    close_made(&m);
    for (size_t n = 512; n < b.n - 1024; n += 7) {
        uint8_t *copy = malloc(n);
        REQUIRE(copy != NULL);
        memcpy(copy, b.p, n);
        open_bytes(&m, copy, n); /* within the padding at the end nothing is lost, but it is told */
        CHECK(m.code == SCRUPLE_EFORMAT || finding(m.c, "tar.end"));
        close_made(&m);
        free(copy);
    }
    sc_buf_clear(&b);
}

TEST(tar_tables_are_checked)
{
    struct sc_buf b = tar_file(1, 3); /* the part has elements 2, 3, 4; the tensor wants 3, 4, 5 */
    check_stream(&b, "torch.range", true);
    b = tar_file(65, 2);
    check_stream(&b, "tar.table", true);
    b = tar_file(1, -1);
    check_stream(&b, "tar.table", true);
    b = tar_file(1, 2);
    memcpy(b.p + 512 + 40, "\xff\xff\xff\xff\0\0\0", 8);
    check_stream(&b, "tar.table", true);
}

/* ---------------------------------------------------------------------------------- failures ---
 */

static struct zip_maker a_bit_of_everything(void)
{
    struct sc_buf b = p_start();
    struct zip_maker z = {0};
    p_named(&b, "a", flat("0", 4, 0, 4));
    p_named(&b, "b", flat("0", 4, 2, 2));
    p_text(&b, "n");
    sc_buf_puts(&b, "](");
    p_tensor(&b, flat("0", 4, 1, 1));
    p_int(&b, 12345);
    sc_buf_puts(&b, "e");
    p_text(&b, "o");
    sc_buf_puts(&b, "cmy\nNet\n)\x81}");
    p_text(&b, "_parameters");
    sc_buf_puts(&b, "}");
    p_named(&b, "w", flat("0", 4, 0, 1));
    sc_buf_puts(&b, "ssb");
    p_text(&b, "text");
    p_text(&b, "value");
    pack(&z, &b, 16, (struct zip_how){0});
    return z;
}

TEST(every_allocation_may_fail)
{
    struct zip_maker z = a_bit_of_everything();
    for (uint64_t k = 0;; k++) {
        struct made m = {.options = {.verify = true}};
        sc_oom_fail_at(k);
        const int code = open_bytes(&m, z.out.p, z.out.n);
        const bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK_U64(code, reached ? SCRUPLE_EMEMORY : 0);
        if (!reached)
            CHECK_U64(m.c->n_entries, 4);
        close_made(&m);
        if (!reached) {
            CHECK(k > 30);
            break;
        }
    }
    zm_clear(&z);
}

TEST(every_read_may_fail)
{
    struct zip_maker z = a_bit_of_everything();
    for (uint64_t k = 1;; k++) {
        struct made m = {.fault = {.fail_at = k}};
        const int code = open_bytes(&m, z.out.p, z.out.n);
        const bool fired = m.fault.fired;
        CHECK_U64(code, fired ? SCRUPLE_EIO : 0);
        close_made(&m);
        if (!fired) {
            CHECK(k > 5);
            break;
        }
    }
    zm_clear(&z);
}

TEST(cut_or_damaged_anywhere)
{
    struct zip_maker z = a_bit_of_everything();
    for (size_t n = 0; n < z.out.n; n++) {
        struct made m = {.options = {.lenient = n % 2}};
        uint8_t *copy = malloc(z.out.n);
        REQUIRE(copy != NULL);
        memcpy(copy, z.out.p, z.out.n);
        copy[n] ^= 0xff;
        open_bytes(&m, copy, z.out.n);
        CHECK(m.code == 0 || m.e.text[0]);
        close_made(&m);
        open_bytes(&m, copy, n);
        close_made(&m);
        free(copy);
    }
    zm_clear(&z);
}
