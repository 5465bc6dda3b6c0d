/* SPDX-License-Identifier: Apache-2.0 */
/* A model that is far away is the same model: every generated fixture, opened from its folder and
 * through a repository whose files say that they are remote, gives the same tensors; and what such
 * a repository is told beforehand is what is read. */
#include "test.h"

#include <dirent.h>

#include "support.h"

/* What expect() announced, and which reads were not announced. */
struct far {
    struct sc_repo *inner;
    struct sc_repo_file *expected; /* path, head; parallel: tail */
    uint64_t tail[512];
    size_t n, cap, settled;
};

static int far_open(struct sc_repo *r, const char *path, struct sc_source **out, struct sc_error *e)
{
    const struct far *far = r->private_data;
    TRY(sc_repo_open_file(far->inner, path, out, e));
    (*out)->remote = true;
    return 0;
}

static void far_expect(struct sc_repo *r, const char *path, uint64_t head, uint64_t tail)
{
    struct far *far = r->private_data;
    if (far->n == SC_COUNT(far->tail) ||
        sc_grow(&far->expected, &far->cap, far->n + 1, sizeof far->expected[0], NULL) < 0)
        support_fail("too many expected files");
    far->tail[far->n] = tail;
    far->expected[far->n++] = (struct sc_repo_file){path, head};
}

static void far_settle(struct sc_repo *r)
{
    ((struct far *)r->private_data)->settled++;
}

static void far_close(struct sc_repo *r)
{
    struct far *far = r->private_data;
    sc_repo_close(far->inner);
}

static const struct sc_repo_ops far_ops = {.scheme = "far",
                                           .open = far_open,
                                           .close = far_close,
                                           .expect = far_expect,
                                           .settle = far_settle};

static struct sc_repo *far_repo(const char *path, struct far *far)
{
    struct sc_error e = {0};
    struct sc_repo *r = sc_repo_new(&e);
    if (!r || sc_repo_open_local(path, &far->inner, &e) < 0)
        support_fail(e.text);
    r->ops = &far_ops;
    r->private_data = far;
    r->origin = "hub";
    r->label = strdup("org/name");
    for (size_t i = 0; i < far->inner->n_files; i++)
        if (sc_repo_add_file(r, far->inner->files[i].path, far->inner->files[i].bytes, &e) < 0)
            support_fail(e.text);
    return r;
}

static void compare_models(const struct sc_model *near, const struct sc_model *far)
{
    CHECK_U64(far->catalog->n_entries, near->catalog->n_entries);
    CHECK_U64(far->n_tensors, near->n_tensors);
    CHECK_U64(far->bytes, near->bytes);
    CHECK_U64(far->parameters, near->parameters);
    CHECK_U64(far->catalog->n_errors, near->catalog->n_errors);
    CHECK_U64(far->catalog->n_warnings, near->catalog->n_warnings);
    for (size_t i = 0; i < SC_MIN(near->catalog->n_entries, far->catalog->n_entries); i++) {
        CHECK_STR(far->catalog->entries[i].name, near->catalog->entries[i].name);
        CHECK_U64(far->catalog->entries[i].offset, near->catalog->entries[i].offset);
        CHECK_U64(far->catalog->entries[i].bytes, near->catalog->entries[i].bytes);
    }
    for (size_t i = 0; i < SC_MIN(near->n_tensors, far->n_tensors); i++) {
        CHECK_STR(far->tensors[i].name, near->tensors[i].name);
        CHECK_STR(far->tensors[i].dtype, near->tensors[i].dtype);
        CHECK_U64(far->tensors[i].parameters, near->tensors[i].parameters);
    }
}

TEST(every_fixture_is_the_same_from_afar)
{
    const struct sc_open_options o = {.facts = true, .lenient = true, .check = true};
    DIR *d = opendir(SC_FIXTURES);
    size_t compared = 0;
    REQUIRE(d != NULL);
    for (struct dirent *entry; (entry = readdir(d));) {
        struct sc_model *near = NULL, *away = NULL;
        struct far far = {0};
        struct sc_error e = {0}, f = {0};
        char path[4096];
        if (entry->d_name[0] == '.' || strstr(entry->d_name, ".json"))
            continue;
        snprintf(path, sizeof path, "%s/%s", SC_FIXTURES, entry->d_name);
        struct sc_repo *repo = NULL;
        int code = sc_repo_open_local(path, &repo, &e);
        if (code == 0)
            code = sc_model_open_repo(repo, &o, &near, &e);
        CHECK_U64(sc_model_open_repo(far_repo(path, &far), &o, &away, &f), code);
        if (near && away) {
            compare_models(near, away);
            CHECK_U64(far.settled, 1);
            compared++;
        }
        sc_model_close(near);
        sc_model_close(away);
        free(far.expected);
    }
    closedir(d);
    CHECK(compared > 100);
}

/* The header of every shard is announced, long enough and not much longer. */
TEST(headers_of_shards_are_announced)
{
    struct sc_model *m = NULL;
    struct far far = {0};
    struct sc_error e = {0};
    size_t shards = 0;
    const struct sc_open_options o = {.keep_repo = true}; /* its paths are looked at below */
    REQUIRE(sc_model_open_repo(far_repo(SC_FIXTURES "/llama-sharded", &far), &o, &m, &e) == 0);
    for (size_t i = 0; i < far.n; i++)
        for (size_t f = 0; f < m->catalog->n_files; f++) {
            const struct sc_file *file = &m->catalog->files[f];
            if (strcmp(file->path, far.expected[i].path) != 0)
                continue;
            CHECK(far.expected[i].bytes >= file->header_bytes);
            CHECK(far.expected[i].bytes <= 3 * file->header_bytes + 8192);
            shards++;
        }
    CHECK_U64(shards, m->catalog->n_files);
    CHECK(shards > 1);
    sc_model_close(m);
    free(far.expected);
}

/* Without an index the guess is a round number; for the zips of torch the tail is wanted, too. */
TEST(heads_and_tails_are_announced)
{
    struct sc_model *m = NULL;
    struct far far = {0};
    struct sc_error e = {0};
    const struct sc_open_options o = {.keep_repo = true}; /* its paths are looked at below */
    REQUIRE(sc_model_open_repo(far_repo(SC_FIXTURES "/torch-module", &far), &o, &m, &e) == 0);
    bool found = false;
    for (size_t i = 0; i < far.n; i++)
        if (strcmp(far.expected[i].path, m->catalog->files[0].path) == 0)
            found = far.expected[i].bytes == 65536 * 2 && far.tail[i] == 65536;
    CHECK(found);
    sc_model_close(m);
    free(far.expected);
}

/* The repository stays with the model when it is to be read on. */
TEST(repository_stays_open_when_asked)
{
    const struct sc_open_options o = {.keep_repo = true};
    struct sc_model *m = NULL;
    struct far far = {0};
    struct sc_error e = {0};
    struct sc_source *s = NULL;
    REQUIRE(sc_model_open_repo(far_repo(SC_FIXTURES "/llama-tiny", &far), &o, &m, &e) == 0);
    REQUIRE(m->repo != NULL);
    CHECK_U64(sc_repo_open_file(m->repo, m->catalog->files[0].path, &s, &e), 0);
    sc_source_close(s);
    sc_model_close(m);
    free(far.expected);
}
