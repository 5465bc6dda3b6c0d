/* SPDX-License-Identifier: Apache-2.0 */
/* Headers that threads parse ahead: the same catalog, the same words and the same counts as without
 * them, whatever is wrong and wherever. */
#include "test.h"

#include "support.h"

enum { SHARDS = 40, TENSORS = 7 };

struct opened {
    struct sc_model *m;
    struct sc_error e;
    uint64_t bytes, requests;
};

static struct opened open_with(const char *folder, unsigned threads, bool lenient, bool quick)
{
    const struct sc_open_options o = {.lenient = lenient, .quick = quick, .threads = threads};
    struct opened r = {0};
    sc_model_open(folder, &o, &r.m, &r.e);
    if (r.m) {
        r.bytes = r.m->io.bytes_read;
        r.requests = r.m->io.requests;
    }
    return r;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_entries(const struct sc_catalog *a, const struct sc_catalog *b)
{
    bool same = a->n_entries == b->n_entries && a->n_shapes == b->n_shapes;
    for (size_t i = 0; same && i < a->n_entries; i++) {
        const struct sc_entry *x = &a->entries[i], *y = &b->entries[i];
        same = sc_str_eq(sc_entry_name(x), sc_entry_name(y)) && x->rank == y->rank &&
               memcmp(x->shape, y->shape, x->rank * sizeof x->shape[0]) == 0 &&
               x->offset == y->offset && x->bytes == y->bytes && x->file == y->file &&
               x->dtype == y->dtype && x->view == y->view && x->flags == y->flags;
        /* Equal shapes share a pointer. */
        for (size_t k = 0; same && k < i; k++)
            same = (x->shape == a->entries[k].shape) == (y->shape == b->entries[k].shape);
    }
    return same;
}

static bool same_rest(const struct sc_catalog *a, const struct sc_catalog *b)
{
    bool same = a->n_files == b->n_files && a->n_metas == b->n_metas &&
                a->n_findings == b->n_findings && a->n_errors == b->n_errors &&
                a->n_warnings == b->n_warnings && same_text(a->weight_set, b->weight_set);
    for (size_t i = 0; same && i < a->n_files; i++) {
        const struct sc_file *x = &a->files[i], *y = &b->files[i];
        same = same_text(x->path, y->path) && same_text(x->component, y->component) &&
               x->format == y->format && x->bytes == y->bytes &&
               x->header_bytes == y->header_bytes && x->tensor_bytes == y->tensor_bytes &&
               x->other_bytes == y->other_bytes && x->data_offset == y->data_offset;
    }
    for (size_t i = 0; same && i < a->n_metas; i++)
        same = sc_str_eq(a->metas[i].key, b->metas[i].key) &&
               sc_str_eq(a->metas[i].value.as.s, b->metas[i].value.as.s) &&
               a->metas[i].file == b->metas[i].file;
    for (size_t i = 0; same && i < a->n_findings; i++) {
        const struct sc_finding *x = &a->findings[i], *y = &b->findings[i];
        same = same_text(x->id, y->id) && same_text(x->message, y->message) &&
               same_text(x->tensor, y->tensor) && x->offset == y->offset && x->file == y->file;
    }
    return same;
}

/* Opened by 2 to 4 threads as by one, strictly and leniently. Returns the words of the error. */
static const char *check_same(const char *folder)
{
    static struct sc_error last;
    for (int lenient = 1; lenient >= 0; lenient--) {
        struct opened one = open_with(folder, 1, lenient, false);
        for (unsigned k = 0; k < 12; k++) {
            struct opened many = open_with(folder, 2 + k % 3, lenient, k % 2 == 1);
            CHECK(!one.m == !many.m);
            CHECK(strcmp(one.e.text, many.e.text) == 0);
            if (one.m && many.m) {
                CHECK(same_entries(one.m->catalog, many.m->catalog));
                CHECK(same_rest(one.m->catalog, many.m->catalog));
                CHECK_U64(many.bytes, one.bytes);
                CHECK_U64(many.requests, one.requests);
            }
            sc_model_close(many.m);
        }
        last = one.e;
        sc_model_close(one.m);
    }
    return last.text;
}

static void name_shard(char out[64], int i)
{
    snprintf(out, 64, "model-%05d-of-%06d.safetensors", i + 1, SHARDS);
}

static void write_shard(const char *folder, int i, const char *json)
{
    char name[64];
    name_shard(name, i);
    write_st(folder, name, json, 2 * TENSORS * 6);
}

/* Shards with three shapes, words in some of them, and the index. */
static char *make_shards(void)
{
    char *d = make_folder();
    struct sc_buf index = {0};
    sc_buf_puts(&index, "{\"weight_map\":{");
    for (int i = 0; i < SHARDS; i++) {
        struct sc_buf json = {0};
        char name[64];
        name_shard(name, i);
        sc_buf_puts(&json, "{");
        if (i % 3 == 0)
            sc_buf_printf(&json, "\"__metadata__\":{\"format\":\"pt\",\"shard\":\"%d\"},", i);
        for (int k = 0; k < TENSORS; k++) {
            static const char *const shape[] = {"[2,3]", "[3,2]", "[6]"};
            sc_buf_printf(&json,
                          "%s\"model.layers.%d.t%d\":{\"dtype\":\"BF16\",\"shape\":%s,"
                          "\"data_offsets\":[%d,%d]}",
                          k ? "," : "", i, k, shape[(i + k) % 3], 12 * k, 12 * (k + 1));
            sc_buf_printf(&index, "%s\"model.layers.%d.t%d\":\"%s\"", i + k ? "," : "", i, k, name);
        }
        sc_buf_puts(&json, "}");
        write_shard(d, i, json.p);
        sc_buf_clear(&json);
    }
    sc_buf_puts(&index, "}}");
    write_file(d, "model.safetensors.index.json", index.p, index.n);
    sc_buf_clear(&index);
    return d;
}

TEST(sound_shards)
{
    char *d = make_shards();
    CHECK(check_same(d)[0] == '\0');
    remove_folder(d);
}

/* A mapped file that shrinks while a thread of ours reads it must not end the process. */
TEST(faults_reach_the_thread_that_made_them)
{
    sigset_t before, now;
    sc_signals_block(&before);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, &now) == 0);
    CHECK(sigismember(&now, SIGINT) == 1 && sigismember(&now, SIGTERM) == 1);
    CHECK(sigismember(&now, SIGBUS) == 0 && sigismember(&now, SIGSEGV) == 0);
}

TEST(the_first_bad_shard_is_named)
{
    /* Of a wrong size; not JSON; a name that is there already; one that only warns. */
    static const char twice[] = "{\"model.layers.2.t1\":{\"dtype\":\"U8\",\"shape\":[84],"
                                "\"data_offsets\":[0,84]}}";
    static const char *const bad[] = {
        "{\"a\":{\"dtype\":\"BF16\",\"shape\":[6],\"data_offsets\":[0,10]}}",
        "{\"a\":{\"dtype\":\"BF16\",\"shape\":[6],\"data_offsets\":[0,",
        twice,
        "{\"a\":{\"dtype\":\"STRANGE\",\"shape\":[84],\"data_offsets\":[0,84]}}",
    };
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        char *d = make_shards();
        write_shard(d, 30, bad[1]);
        write_shard(d, 17, bad[i]);
        const char *said = check_same(d);
        CHECK(said[0] != '\0');
        if (i < 3)
            CHECK(strstr(said, "model-00018-of-000040.safetensors") != NULL);
        remove_folder(d);
    }
}

TEST(what_the_index_does_not_name)
{
    char *d = make_shards();
    char name[64], path[4200];
    write_shard(d, SHARDS, "{\"a\":{\"dtype\":\"U8\",\"shape\":[84],\"data_offsets\":[0,84]}}");
    check_same(d); /* one more than the index names */
    name_shard(name, 20);
    snprintf(path, sizeof path, "%s/%s", d, name);
    CHECK(remove(path) == 0);
    CHECK(strstr(check_same(d), name) != NULL); /* and one less */
    write_file(d, name, "no weights at all", 17);
    CHECK(strstr(check_same(d), name) != NULL);
    write_file(d, "model.safetensors.index.json", "{\"weight_map\":[", 15);
    CHECK(check_same(d)[0] != '\0');
    remove_folder(d);
}

TEST(components_are_prefixed)
{
    char *d = make_shards(), from[4200], to[4200];
    snprintf(to, sizeof to, "%s/unet", d);
    CHECK(mkdir(to, 0700) == 0);
    for (int i = -1; i < SHARDS; i++) {
        char name[64] = "model.safetensors.index.json";
        if (i >= 0)
            name_shard(name, i);
        snprintf(from, sizeof from, "%s/%s", d, name);
        snprintf(to, sizeof to, "%s/unet/%s", d, name);
        CHECK(rename(from, to) == 0);
    }
    write_file(d, "model_index.json", "{}", 2);
    CHECK(check_same(d)[0] == '\0');
    struct opened many = open_with(d, 4, false, true);
    REQUIRE(many.m != NULL);
    CHECK(strncmp(many.m->catalog->entries[0].name, "unet.model.layers.0.", 20) == 0);
    sc_model_close(many.m);
    remove_folder(d);
}

TEST(cancelled)
{
    char *d = make_shards();
    const _Atomic int cancel = 1;
    const struct sc_open_options o = {.threads = 4, .cancel = &cancel};
    struct sc_model *m;
    struct sc_error e = {0};
    CHECK(sc_model_open(d, &o, &m, &e) == SCRUPLE_EINTERRUPTED);
    remove_folder(d);
}
