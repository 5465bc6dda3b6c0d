/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the Hub's API, read from memory: what is taken, what is left out, what is refused. */
#include "hub/internal.h"
#include "test.h"

#define SHA  "0123456789abcdef0123456789abcdef01234567"
#define SHA2 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int read_repo(const char *text, struct sc_hub_listing *l, size_t *strange)
{
    bool disabled = false;
    memset(l, 0, sizeof *l);
    *strange = 0;
    return sc_hub_read_repo(text, strlen(text), true, l, &disabled, strange, NULL);
}

TEST(a_repository)
{
    static const char text[] =
        "{\"_id\": \"x\", \"id\": \"org/name\", \"sha\": \"" SHA "\", \"gated\": \"auto\","
        "\"private\": false, \"cardData\": {\"a\": [1, {\"siblings\": []}]}, \"siblings\": ["
        "{\"rfilename\": \"model.safetensors\", \"size\": 700000000000, \"blobId\": \"" SHA "\","
        " \"lfs\": {\"sha256\": \"" SHA2 "\", \"size\": 700000000000, \"pointerSize\": 135}},"
        "{\"rfilename\": \"a\\/\\u00e9.json\", \"size\": 5, \"blobId\": \"" SHA
        "\", \"lfs\": null},"
        "{\"rfilename\": \"unknown\"}]}";
    struct sc_hub_listing l;
    size_t strange;
    REQUIRE(read_repo(text, &l, &strange) == 0);
    sc_hub_listing_sort(&l);
    CHECK_STR(l.id, "org/name");
    CHECK_STR(l.commit, SHA);
    CHECK(l.gated && !l.is_private);
    CHECK_U64(strange, 0);
    REQUIRE(l.n_files == 3);
    const struct sc_hub_file *f = sc_hub_listing_find(&l, "model.safetensors");
    REQUIRE(f);
    CHECK_U64(f->bytes, 700000000000);
    CHECK_STR(f->etag, SHA2);
    f = sc_hub_listing_find(&l, "a/\xC3\xA9.json");
    REQUIRE(f);
    CHECK_STR(f->etag, SHA);
    f = sc_hub_listing_find(&l, "unknown");
    REQUIRE(f);
    CHECK_U64(f->bytes, UINT64_MAX);
    CHECK_STR(f->etag, "");
    CHECK(!sc_hub_listing_find(&l, "nothing"));
    sc_hub_listing_clear(&l);
}

TEST(paths_that_are_not_sound_are_left_out)
{
    static const char text[] =
        "{\"sha\": \"" SHA "\", \"siblings\": ["
        "{\"rfilename\": \"../a\"}, {\"rfilename\": \"/etc/passwd\"}, {\"rfilename\": \"\"},"
        "{\"rfilename\": \"a/../b\"}, {\"rfilename\": \"a\\\\b\"}, {\"rfilename\": \"a\\u0000b\"},"
        "{\"rfilename\": \"a\\nb\"}, {\"rfilename\": \"a//b\"}, {\"rfilename\": 5}, {},"
        "{\"rfilename\": \"twice\", \"size\": 1}, {\"rfilename\": \"twice\", \"size\": 1}]}";
    struct sc_hub_listing l;
    size_t strange;
    REQUIRE(read_repo(text, &l, &strange) == 0);
    sc_hub_listing_sort(&l);
    CHECK_U64(strange, 10);
    REQUIRE(l.n_files == 1);
    CHECK_STR(l.files[0].path, "twice");
    CHECK_STR(l.id, NULL);
    sc_hub_listing_clear(&l);
}

TEST(numbers_and_hashes_that_are_none)
{
    static const char text[] = "{\"sha\": \"" SHA "\", \"id\": \"../x\", \"siblings\": ["
                               "{\"rfilename\": \"a\", \"size\": -1, \"blobId\": \"../../x\"},"
                               "{\"rfilename\": \"b\", \"size\": 1.5, \"blobId\": "
                               "\"0123456789ABCDEF0123456789abcdef01234567\"},"
                               "{\"rfilename\": \"c\", \"size\": 18446744073709551615},"
                               "{\"rfilename\": \"d\", \"size\": 99999999999999999999999},"
                               "{\"rfilename\": \"e\", \"size\": \"5\"}]}";
    struct sc_hub_listing l;
    size_t strange;
    REQUIRE(read_repo(text, &l, &strange) == 0);
    CHECK_U64(l.n_files, 5);
    CHECK_STR(l.id, NULL);
    for (size_t i = 0; i < l.n_files; i++) {
        CHECK_U64(l.files[i].bytes, UINT64_MAX);
        CHECK_STR(l.files[i].etag, "");
    }
    sc_hub_listing_clear(&l);
}

TEST(what_is_no_answer_of_a_hub)
{
    static const char *const texts[] = {"",
                                        "null",
                                        "[]",
                                        "{}",
                                        "<html></html>",
                                        "{\"sha\": \"main\"}",
                                        "{\"sha\": \"" SHA "\"",
                                        "{\"sha\": \"" SHA "\"} x",
                                        "{\"sha\": \"" SHA "\", \"siblings\": [1]}",
                                        "{\"sha\": \"" SHA "\", \"siblings\": [{}",
                                        "{\"sha\": \"" SHA2 "\"}"};
    struct sc_hub_listing l;
    size_t strange;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CHECK_ERR(SCRUPLE_EFORMAT, read_repo(texts[i], &l, &strange));
        sc_hub_listing_clear(&l);
    }
}

TEST(a_page_of_a_tree)
{
    static const char text[] =
        "[{\"type\": \"directory\", \"oid\": \"x\", \"size\": 0, \"path\": \"sub\"},"
        "{\"type\": \"file\", \"oid\": \"" SHA "\", \"size\": 7, \"path\": \"sub/a.json\"},"
        "{\"type\": \"file\", \"oid\": \"" SHA "\", \"size\": 9, \"path\": \"b.bin\","
        " \"lfs\": {\"oid\": \"" SHA2 "\", \"size\": 9}, \"xetHash\": \"x\"}]";
    struct sc_hub_listing l = {0};
    size_t strange = 0;
    REQUIRE(sc_hub_read_tree(text, strlen(text), &l, &strange, NULL) == 0);
    REQUIRE(l.n_files == 2);
    CHECK_STR(l.files[0].path, "sub/a.json");
    CHECK_STR(l.files[1].etag, SHA2);
    sc_hub_listing_clear(&l);
}

TEST(the_nearest_names)
{
    static const char *const names[] = {"config.json", "model.safetensors", "sub/tokenizer.json",
                                        "tokenizer.json", "x"};
    struct sc_buf b = {0};
    CHECK(sc_hub_nearest(names, 5, "model.safetensor", &b));
    CHECK_STR(b.p, "\"model.safetensors\"");
    b.n = 0;
    CHECK(sc_hub_nearest(names, 5, "tokeniser.json", &b));
    CHECK_STR(b.p, "\"sub/tokenizer.json\", \"tokenizer.json\"");
    b.n = 0;
    CHECK(!sc_hub_nearest(names, 5, "something else", &b));
    sc_buf_clear(&b);
}

TEST(names_of_revisions)
{
    static const char text[] = "{\"branches\": [{\"name\": \"main\"}, {\"name\": \"bad name\"}], "
                               "\"tags\": [{\"name\": \"v1\"}],"
                               "\"pullRequests\": [{\"ref\": \"refs/pr/3\"}], \"converts\": 5}";
    struct sc_buf b = {0};
    CHECK(sc_hub_read_refs(text, strlen(text), "mian", &b));
    CHECK_STR(b.p, "\"main\"");
    b.n = 0;
    CHECK(sc_hub_read_refs(text, strlen(text), "something", &b));
    CHECK_STR(b.p, "\"main\", \"v1\", \"refs/pr/3\"");
    CHECK(!sc_hub_read_refs("[]", 2, "x", &b));
    CHECK(!sc_hub_read_refs("{", 1, "x", &b));
    sc_buf_clear(&b);
}
