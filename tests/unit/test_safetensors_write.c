/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors_write: files that the reader takes, shards, and nothing left of what fails. */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"
#include "format/safetensors_write.h"
#include "scratch.h"
#include "test.h"

static const uint64_t shape_a[] = {2, 3}, shape_b[] = {4}, shape_c[] = {0, 7};
static const struct sc_st_item items[] = {
    {{"model.a", 7}, "F32", shape_a, 2, 24},
    {{"b \"\\\n\xc3\xa9", 8}, "BF16", shape_b, 1, 8},
    {{"empty", 5}, "I8", shape_c, 2, 0},
    {{"one", 3}, "F64", NULL, 0, 8},
};
enum { BYTES = 40 };

static void fill(uint8_t data[BYTES])
{
    for (int i = 0; i < BYTES; i++)
        data[i] = (uint8_t)(i * 7 + 1);
}

static size_t entries_of(const char *folder)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

/* What our own reader finds in it: every tensor with its bytes. */
static void check_model(const char *path, size_t n_files)
{
    const struct sc_open_options o = {.check = true};
    struct sc_repo *repo = NULL;
    struct sc_catalog *c = NULL;
    struct sc_error e = {0};
    uint8_t data[BYTES], got[BYTES];
    size_t at = 0;

    fill(data);
    CHECK_ERR(0, sc_repo_open_local(path, &repo, &e));
    REQUIRE(repo);
    CHECK_ERR(0, sc_catalog_open(repo, &o, &c, &e));
    REQUIRE(c);
    CHECK_U64(c->n_files, n_files);
    CHECK_U64(c->n_entries, SC_COUNT(items));
    CHECK_U64(c->n_errors, 0);
    for (size_t i = 0; i < SC_COUNT(items); i++) {
        const struct sc_entry *en = NULL;
        for (size_t k = 0; k < c->n_entries; k++)
            if (sc_str_eq(sc_str(c->entries[k].name, c->entries[k].name_len), items[i].name))
                en = &c->entries[k];
        REQUIRE(en);
        CHECK_STR(sc_codec((sc_codec_id)en->dtype)->name, items[i].dtype);
        CHECK_U64(en->rank, items[i].rank);
        CHECK_U64(en->bytes, items[i].bytes);
        struct sc_source *s = NULL;
        CHECK_ERR(0, sc_repo_open_file(repo, c->files[en->file].path, &s, &e));
        CHECK_ERR(0, sc_source_read(s, en->offset, got, (size_t)en->bytes, &e));
        CHECK(memcmp(got, data + at, (size_t)en->bytes) == 0);
        CHECK_U64(c->files[en->file].data_offset % 8, 0);
        sc_source_close(s);
        at += (size_t)en->bytes;
    }
    sc_catalog_close(c);
    sc_repo_close(repo);
}

static int write_to(const char *path, bool folder, uint64_t shard, size_t step, size_t most,
                    struct sc_error *e)
{
    struct sc_st_writer *w = NULL;
    uint8_t data[BYTES];
    int code = sc_st_create(path, folder, items, SC_COUNT(items), shard, &w, e);

    fill(data);
    for (size_t at = 0; code == 0 && at < most; at += step)
        code = sc_st_put(w, data + at, SC_MIN(step, most - at), e);
    if (code == 0)
        return sc_st_finish(w, e);
    sc_st_drop(w);
    return code;
}

TEST(one_file_holds_what_was_put)
{
    struct sc_error e = {0};
    REQUIRE(scratch_new());
    const char *path = scratch_at("x.safetensors");
    static const size_t steps[] = {1, 3, 40};
    for (size_t i = 0; i < SC_COUNT(steps); i++) {
        CHECK_ERR(0, write_to(path, false, SC_SHARD_BYTES, steps[i], BYTES, &e));
        check_model(path, 1);
        CHECK_U64(entries_of(scratch_root), 1);
        CHECK(unlink(path) == 0);
    }
    scratch_remove();
}

TEST(shards_never_cut_a_tensor)
{
    struct sc_error e = {0};
    REQUIRE(scratch_new());
    const char *path = scratch_at("model"), *slash = scratch_at("model/");
    /* 24 | 8 0 | 8: each at most 8, but the first, which is larger */
    CHECK_ERR(0, write_to(slash, true, 8, 5, BYTES, &e));
    CHECK_U64(entries_of(path), 4);
    check_model(path, 3);
    const char *index = scratch_at("model/model.safetensors.index.json");
    CHECK(access(index, R_OK) == 0);
    /* a folder that is there and empty is taken */
    const char *other = scratch_at("other");
    CHECK(mkdir(other, 0777) == 0);
    CHECK_ERR(0, write_to(other, true, SC_SHARD_BYTES, 40, BYTES, &e));
    check_model(other, 1);
    CHECK_U64(entries_of(other), 1);
    CHECK_U64(entries_of(scratch_root), 2);
    scratch_remove();
}

TEST(nothing_is_overwritten_and_nothing_is_left)
{
    struct sc_error e = {0};
    REQUIRE(scratch_new());
    const char *path = scratch_at("x.safetensors"), *folder = scratch_at("full");
    const char *inside = scratch_at("full/x.safetensors");
    CHECK_ERR(0, write_to(path, false, SC_SHARD_BYTES, 40, BYTES, &e));
    CHECK_ERR(SCRUPLE_EUSAGE, write_to(path, false, SC_SHARD_BYTES, 40, BYTES, &e));
    CHECK(strstr(e.text, "exists already"));
    CHECK(mkdir(folder, 0777) == 0);
    CHECK_ERR(0, write_to(inside, false, SC_SHARD_BYTES, 40, BYTES, &e));
    CHECK_ERR(SCRUPLE_EUSAGE, write_to(folder, true, SC_SHARD_BYTES, 40, BYTES, &e));
    CHECK(unlink(inside) == 0 && rmdir(folder) == 0 && unlink(path) == 0);
    /* too few bytes, too many bytes, no folder to write into */
    CHECK_ERR(SCRUPLE_EWRITE, write_to(path, false, SC_SHARD_BYTES, 39, 39, &e));
    CHECK_ERR(SCRUPLE_EWRITE, write_to(folder, true, 8, 30, 30, &e));
    struct sc_st_writer *w = NULL;
    uint8_t data[BYTES + 1] = {0};
    CHECK_ERR(0, sc_st_create(folder, true, items, SC_COUNT(items), 8, &w, &e));
    CHECK_ERR(SCRUPLE_EWRITE, sc_st_put(w, data, sizeof data, &e));
    sc_st_drop(w);
    CHECK_ERR(SCRUPLE_EWRITE, write_to(inside, false, SC_SHARD_BYTES, 40, BYTES, &e));
    CHECK_U64(entries_of(scratch_root), 0);
    /* what appears meanwhile stays as it is */
    CHECK_ERR(0, sc_st_create(path, false, items, SC_COUNT(items), SC_SHARD_BYTES, &w, &e));
    FILE *f = fopen(path, "w");
    REQUIRE(f);
    fputs("mine", f);
    fclose(f);
    CHECK_ERR(0, sc_st_put(w, data, BYTES, &e));
    CHECK_ERR(SCRUPLE_EWRITE, sc_st_finish(w, &e));
    struct stat st;
    CHECK(stat(path, &st) == 0 && st.st_size == 4);
    CHECK_U64(entries_of(scratch_root), 1);
    scratch_remove();
}

TEST(names_that_json_cannot_hold_are_refused)
{
    static const struct sc_st_item bad[] = {{{"\xff", 1}, "F32", shape_b, 1, 16}};
    struct sc_st_writer *w = NULL;
    struct sc_error e = {0};
    REQUIRE(scratch_new());
    const char *path = scratch_at("x.safetensors");
    CHECK_ERR(SCRUPLE_EUNSUPPORTED, sc_st_create(path, false, bad, 1, SC_SHARD_BYTES, &w, &e));
    CHECK(!w);
    CHECK_U64(entries_of(scratch_root), 0);
    scratch_remove();
}
