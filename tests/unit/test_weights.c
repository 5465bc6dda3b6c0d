/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of a folder are the model, and what an index promises. */
#include "test.h"

#include "support.h"

static char said[4096];
static void note(void *ctx, const char *sentence)
{
    (void)ctx;
    snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", sentence);
}

static struct sc_model *open_folder(const char *folder, const char *file, bool lenient,
                                    struct sc_error *e)
{
    const struct sc_open_options o = {.lenient = lenient, .note = note};
    struct sc_model *m;
    char path[4096];
    said[0] = '\0';
    snprintf(path, sizeof path, "%s%s%s", folder, file ? "/" : "", file ? file : "");
    sc_model_open(path, &o, &m, e);
    return m;
}

static bool has(const struct sc_model *m, const char *name)
{
    for (size_t i = 0; m && i < m->n_tensors; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return true;
    return false;
}

#define ONE(name) "{\"" name "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"

TEST(an_index_decides)
{
    char *d = make_folder();
    struct sc_error e;
    write_st(d, "m-1.safetensors", ONE("a"), 1);
    write_st(d, "m-2.safetensors", ONE("b"), 1);
    write_st(d, "old.safetensors", ONE("c"), 1);
    const char *index = "{\"metadata\":{\"total_size\":1.5},\"weight_map\":"
                        "{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}}";
    write_file(d, "model.safetensors.index.json", index, strlen(index));
    struct sc_model *m = open_folder(d, NULL, false, &e);
    REQUIRE(m != NULL);
    CHECK(m->n_tensors == 2 && has(m, "a") && has(m, "b"));
    CHECK(finding(m->catalog, "index.surplus") != NULL);
    sc_model_close(m);
    m = open_folder(d, "model.safetensors.index.json", false, &e);
    REQUIRE(m != NULL);
    CHECK_U64(m->n_tensors, 2);
    sc_model_close(m);
    m = open_folder(d, "m-2.safetensors", false, &e);
    REQUIRE(m != NULL);
    CHECK(m->n_tensors == 1 && has(m, "b"));
    sc_model_close(m);
    remove_folder(d);
}

static bool refuses(const char *index, const char *what)
{
    char *d = make_folder();
    struct sc_error e = {0};
    write_st(d, "m-1.safetensors", ONE("a"), 1);
    write_st(d, "m-2.safetensors", ONE("b"), 1);
    write_file(d, "model.safetensors.index.json", index, strlen(index));
    struct sc_model *m = open_folder(d, NULL, false, &e);
    const bool ok = !m && strstr(e.text, what);
    if (!ok)
        fprintf(stderr, "said: %s\n", m ? "(nothing)" : e.text);
    sc_model_close(m);
    m = open_folder(d, NULL, true, &e); /* leniently it is never fatal */
    CHECK(m != NULL && m->catalog->n_errors > 0);
    sc_model_close(m);
    remove_folder(d);
    return ok;
}

TEST(broken_promises_are_named)
{
    CHECK(refuses("{\"weight_map\":{\"a\":\"m-1.safetensors\",\"x\":\"m-1.safetensors\"}}",
                  "tensor \"x\" is said to be in \"m-1.safetensors\", but is not there"));
    CHECK(refuses("{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-1.safetensors\","
                  "\"c\":\"m-2.safetensors\"}}",
                  "\"b\" is said to be in \"m-1.safetensors\", but is in"));
    CHECK(refuses("{\"weight_map\":{\"a\":\"m-1.safetensors\",\"z\":\"m-3.safetensors\"}}",
                  "names the shard \"m-3.safetensors\", which is not there"));
    CHECK(refuses("{\"weight_map\":{\"a\":\"m-1.safetensors\",\"\\u0061\":\"m-1.safetensors\"}}",
                  "listed twice"));
    CHECK(refuses("{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}", "not a file below"));
    CHECK(refuses("{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "not a file below"));
    CHECK(refuses("{\"weight_map\":{\"a\":\"x//m-1.safetensors\"}}", "not a file below"));
    CHECK(refuses("{\"weight_map\":{\"a\":\"\"}}", "not a file below"));
    CHECK(refuses("{\"weight_map\":{\"a\":1}}", "expected a string"));
    CHECK(refuses("{\"weight_map\":[]}", "must be an object"));
    CHECK(refuses("{\"weight_map\":{},\"weight_map\":{}}", "duplicate"));
    CHECK(refuses("{\"other\":1}", "has no \"weight_map\""));
    CHECK(refuses("[", "not a valid index"));
    CHECK(refuses("", "not a valid index"));
}

TEST(unlisted_tensors_are_a_warning)
{
    char *d = make_folder();
    struct sc_error e;
    write_st(d, "m-1.safetensors", ONE("a"), 1);
    write_file(d, "model.safetensors.index.json", "{\"weight_map\":{}}", 17);
    struct sc_model *m = open_folder(d, NULL, true, &e);
    REQUIRE(m != NULL);
    CHECK_U64(m->n_tensors, 0);
    CHECK(finding(m->catalog, "index.empty") != NULL);
    sc_model_close(m);
    const char *two = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                      "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}";
    write_st(d, "m-1.safetensors", two, 2);
    const char *index = "{\"weight_map\":{\"a\":\"m-1.safetensors\"}}";
    write_file(d, "model.safetensors.index.json", index, strlen(index));
    m = open_folder(d, NULL, false, &e);
    REQUIRE(m != NULL);
    CHECK(finding(m->catalog, "index.unlisted") != NULL);
    sc_model_close(m);
    remove_folder(d);
}

TEST(components_prefix_their_names)
{
    char *d = make_folder();
    struct sc_error e;
    write_file(d, "model_index.json", "{}", 2);
    write_st(d, "unet/diffusion.safetensors", ONE("w"), 1);
    write_st(d, "unet/diffusion.fp16.safetensors", ONE("w"), 1);
    write_st(d, "vae/m.safetensors", ONE("w"), 1);
    write_st(d, "all-in-one.safetensors", ONE("unet.w"), 1);
    struct sc_model *m = open_folder(d, NULL, false, &e);
    REQUIRE(m != NULL);
    CHECK(m->n_tensors == 2 && has(m, "unet.w") && has(m, "vae.w"));
    CHECK(strstr(said, "variants") != NULL);
    CHECK(strstr(said, "model_index.json") != NULL);
    sc_model_close(m);
    remove_folder(d);
}

TEST(shards_without_index_are_one_model_and_must_be_complete)
{
    char *d = make_folder();
    struct sc_error e;
    write_st(d, "m-00001-of-00003.safetensors", ONE("a"), 1);
    write_st(d, "m-00003-of-00003.safetensors", ONE("c"), 1);
    CHECK(open_folder(d, NULL, false, &e) == NULL);
    CHECK(strstr(e.text, "part 2 of 3") != NULL);
    struct sc_model *m = open_folder(d, NULL, true, &e);
    REQUIRE(m != NULL);
    CHECK(m->n_tensors == 2 && finding(m->catalog, "shards.missing"));
    sc_model_close(m);
    write_st(d, "m-00002-of-00003.safetensors", ONE("b"), 1);
    m = open_folder(d, NULL, false, &e);
    REQUIRE(m != NULL);
    CHECK(m->n_tensors == 3 && has(m, "b"));
    sc_model_close(m);
    write_st(d, "m-00002-of-00003.safetensors", ONE("a"), 1);
    CHECK(open_folder(d, NULL, false, &e) == NULL);
    CHECK(strstr(e.text, "is also in \"m-00001-of-00003.safetensors\"") != NULL);
    remove_folder(d);
}

TEST(unrelated_files_become_components)
{
    char *d = make_folder();
    struct sc_error e;
    write_st(d, "adapter.safetensors", ONE("w"), 1);
    write_st(d, "base.safetensors", ONE("w"), 1);
    struct sc_model *m = open_folder(d, NULL, false, &e);
    REQUIRE(m != NULL);
    CHECK(has(m, "adapter.w") && has(m, "base.w"));
    sc_model_close(m);
    remove_folder(d);
}

TEST(include_and_exclude_choose)
{
    char *d = make_folder();
    struct sc_error e;
    struct sc_model *m;
    write_st(d, "a.safetensors", ONE("w"), 1);
    write_st(d, "b.safetensors", ONE("v"), 1);
    const char *only_b[] = {"b*", NULL}, *not_a[] = {"a.*", NULL}, *none[] = {"x*", NULL};
    const struct sc_open_options include = {.include = only_b}, exclude = {.exclude = not_a},
                                 nothing = {.include = none};
    REQUIRE(sc_model_open(d, &include, &m, &e) == 0);
    CHECK(m->n_tensors == 1 && has(m, "v"));
    sc_model_close(m);
    REQUIRE(sc_model_open(d, &exclude, &m, &e) == 0);
    CHECK(m->n_tensors == 1 && has(m, "v"));
    sc_model_close(m);
    CHECK_ERR(SCRUPLE_ENOTFOUND, sc_model_open(d, &nothing, &m, &e));
    CHECK(strstr(e.text, "--include") != NULL);
    remove_folder(d);
}

TEST(a_suffix_proves_nothing)
{
    char *d = make_folder();
    struct sc_error e;
    write_st(d, "pytorch_model.bin", ONE("w"), 1);
    struct sc_model *m = open_folder(d, NULL, false, &e);
    REQUIRE(m != NULL);
    CHECK_STR(m->catalog->files[0].format->name, "safetensors");
    sc_model_close(m);
    remove_folder(d);
    d = make_folder();
    write_st(d, "0badcafe", ONE("w"), 1); /* a blob of the Hub cache has no suffix */
    m = open_folder(d, NULL, false, &e);
    REQUIRE(m != NULL);
    CHECK(has(m, "w"));
    sc_model_close(m);
    remove_folder(d);
}

TEST(strangers_are_named)
{
    static const struct {
        const char *text, *is;
        size_t n;
    } rows[] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS", 0},
        {"\n <!DOCTYPE HTML><html>", "HTML", 0},
        {"<html lang=en>", "HTML", 0},
        {"<?xml version='1.0'?><Error>", "XML", 0},
        {"{\"error\":\"Invalid token\"}", "JSON", 0},
        {"", "empty", 0},
        {"\0\0\0\0\0\0\0\0\0\0\0\0", "all zeros", 12},
        {"\x1f\x8b\x08", "gzip", 0},
        {"7z\xbc\xaf\x27\x1c", "7-Zip", 0},
        {"hello, world", "text", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *d = make_folder();
        struct sc_error e = {0};
        write_file(d, "model.safetensors", rows[i].text,
                   rows[i].n ? rows[i].n : strlen(rows[i].text));
        CHECK(open_folder(d, NULL, false, &e) == NULL);
        if (!strstr(e.text, rows[i].is) || !strstr(e.text, "model.safetensors")) {
            fprintf(stderr, "said: %s\n", e.text);
            CHECK(false);
        }
        remove_folder(d);
    }
}

TEST(an_empty_folder_says_what_was_looked_for)
{
    char *d = make_folder();
    struct sc_error e;
    CHECK(open_folder(d, NULL, false, &e) == NULL);
    CHECK_U64(e.code, SCRUPLE_ENOTFOUND);
    CHECK(strstr(e.text, "no weights among 0 files") != NULL);
    write_file(d, "README.md", "x", 1);
    CHECK(open_folder(d, NULL, false, &e) == NULL);
    remove_folder(d);
}
