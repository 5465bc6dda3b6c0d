/* SPDX-License-Identifier: Apache-2.0 */
/* Repositories: what is found in a folder, what is not, and what may be opened. */
#include "test.h"

#include "source/internal.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "oom.h"
#include "scratch.h"

/* The files of a repository, one per line, with their sizes. */
static const char *listing(const struct sc_repo *r)
{
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < r->n_files && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s %llu\n", r->files[i].path,
                              (unsigned long long)r->files[i].bytes);
    return text;
}

static struct sc_repo *opened(const char *path)
{
    struct sc_repo *r = NULL;
    struct sc_error e = {0};
    CHECK_ERR(0, sc_repo_open_local(path, &r, &e));
    if (!r)
        fprintf(stderr, "    %s\n", e.text);
    return r;
}

static void refused(const char *path, int code, const char *sentence)
{
    struct sc_repo *r = (struct sc_repo *)1;
    struct sc_error e = {0};
    CHECK_ERR(code, sc_repo_open_local(path, &r, &e));
    CHECK(r == NULL);
    CHECK_STR(e.text, sentence);
}

TEST(folder_is_listed_in_natural_order)
{
    REQUIRE(scratch_new());
    REQUIRE(scratch_file("w-10.bin", "0123456789", 10) && scratch_file("w-9.bin", "012345678", 9));
    REQUIRE(scratch_folder("unet") && scratch_file("unet/x.bin", "x", 1));
    REQUIRE(scratch_folder("unet/deep") && scratch_file("unet/deep/y.bin", "yy", 2));
    REQUIRE(scratch_file(".hidden", "", 0) && scratch_folder(".git"));
    REQUIRE(scratch_file(".git/z.bin", "z", 1) && scratch_folder("empty"));
    REQUIRE(scratch_file("config.json", "{}", 2) && mkfifo(scratch_at("fifo"), 0600) == 0);

    struct sc_repo *r = opened(scratch_root);
    REQUIRE(r != NULL);
    CHECK_STR(r->ops->scheme, "file");
    CHECK_STR(r->label, scratch_root);
    CHECK_STR(r->selected, NULL);
    CHECK_STR(listing(r),
              "config.json 2\nunet/deep/y.bin 2\nunet/x.bin 1\nw-9.bin 9\nw-10.bin 10\n");
    for (size_t i = 0; i < r->n_files; i++)
        CHECK(sc_repo_find(r, r->files[i].path) == &r->files[i]);
    CHECK(sc_repo_find(r, "w-11.bin") == NULL);
    CHECK(sc_repo_find(r, "unet") == NULL);
    CHECK(sc_repo_find(r, "") == NULL);
    sc_repo_close(r);
    sc_repo_close(NULL);
    scratch_remove();
}

TEST(file_brings_its_neighbours)
{
    REQUIRE(scratch_new());
    REQUIRE(scratch_file("m.gguf", "GGUF", 4) && scratch_file("config.json", "{}", 2));
    REQUIRE(scratch_file(".m.gguf", "hidden", 6));
    REQUIRE(scratch_folder("sub") && scratch_file("sub/x.bin", "x", 1));

    struct sc_repo *r = opened(scratch_at("m.gguf"));
    REQUIRE(r != NULL);
    CHECK_STR(r->selected, "m.gguf");
    CHECK_STR(r->label, scratch_at("m.gguf"));
    CHECK_STR(listing(r), "config.json 2\nm.gguf 4\n");
    sc_repo_close(r);

    r = opened(scratch_at("sub/.././/.m.gguf"));
    REQUIRE(r != NULL);
    CHECK_STR(r->selected, ".m.gguf");
    CHECK_STR(r->label, scratch_at(".m.gguf"));
    CHECK(sc_repo_find(r, ".m.gguf") != NULL && sc_repo_find(r, "config.json") != NULL);
    sc_repo_close(r);
    scratch_remove();
}

TEST(labels_are_absolute_paths)
{
    char want[1100], cwd[1024];
    REQUIRE(scratch_new());
    REQUIRE(scratch_folder("a") && scratch_folder("a/b") && scratch_folder("c"));
    REQUIRE(scratch_file("a/b/m.gguf", "GGUF", 4) && scratch_link("../a/b", "c/link"));
    REQUIRE(chdir(scratch_at("a")) == 0);
    REQUIRE(getcwd(cwd, sizeof cwd) != NULL);
    const struct {
        const char *path, *label;
    } cases[] = {
        {".", ""},
        {"./", ""},
        {"b", "/b"},
        {"b//m.gguf", "/b/m.gguf"},
        {"./b/../b/./m.gguf", "/b/m.gguf"},
        {"../a/b/", "/b"},
        {"../c/link", NULL},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_repo *r = opened(cases[i].path);
        REQUIRE(r != NULL);
        if (cases[i].label)
            snprintf(want, sizeof want, "%s%s", cwd, cases[i].label);
        else /* not what the link leads to */
            snprintf(want, sizeof want, "%s/c/link", scratch_root);
        CHECK_STR(r->label, want);
        sc_repo_close(r);
    }
    /* By text this would be c, which is another folder. */
    struct sc_repo *r = opened(scratch_at("c/link/.."));
    REQUIRE(r != NULL);
    CHECK_STR(r->label, scratch_at("c/link/.."));
    CHECK_STR(listing(r), "b/m.gguf 4\n");
    sc_repo_close(r);
    CHECK_ERR(0, chdir("/"));
    scratch_remove();
}

TEST(what_cannot_be_opened_is_named)
{
    REQUIRE(scratch_new());
    REQUIRE(chdir(scratch_root) == 0);
    REQUIRE(mkfifo("fifo", 0600) == 0 && scratch_link("gone", "dangling"));
    REQUIRE(scratch_file("file", "x", 1));
    refused("nothing", SCRUPLE_ENOTFOUND, "nothing: no such file or folder");
    refused("file/", SCRUPLE_ENOTFOUND, "file/: no such file or folder");
    refused("", SCRUPLE_EUSAGE, "the path of the model is empty");
    refused("dangling", SCRUPLE_ENOTFOUND,
            "dangling: is a link to something that does not exist (incomplete download?)");
    refused("fifo", SCRUPLE_EIO,
            "fifo: is a pipe (FIFO), not a file (pipe into \"scruple -\" to read one)");
    refused("/dev/null", SCRUPLE_EIO, "/dev/null: is a character device, not a file");
    REQUIRE(scratch_folder("locked") && chmod("locked", 0) == 0);
    if (geteuid() != 0)
        refused("locked", SCRUPLE_EIO, "locked: cannot open the folder: Permission denied");
    CHECK_ERR(0, chdir("/"));
    scratch_remove();
}

/* snapshots/REV/x -> ../../blobs/SHA, and a folder that is not all there. */
TEST(links_to_files_are_followed)
{
    char text[16];
    REQUIRE(scratch_new());
    REQUIRE(scratch_folder("blobs") && scratch_file("blobs/aa", "hello", 5));
    REQUIRE(scratch_folder("snapshots") && scratch_folder("snapshots/1"));
    REQUIRE(scratch_link("../../blobs/aa", "snapshots/1/config.json"));
    REQUIRE(scratch_link("../../blobs/bb", "snapshots/1/missing.bin"));
    REQUIRE(scratch_folder("snapshots/1/unet"));
    REQUIRE(scratch_link("../../../blobs/aa", "snapshots/1/unet/config.json"));
    struct sc_repo *r = opened(scratch_at("snapshots/1"));
    REQUIRE(r != NULL);
    CHECK_STR(listing(r), "config.json 5\nunet/config.json 5\n");

    struct sc_source *s = NULL;
    struct sc_error e = {0};
    REQUIRE(sc_repo_open_file(r, "unet/config.json", &s, &e) == 0);
    CHECK_STR(s->name, "unet/config.json");
    CHECK_ERR(0, sc_source_read(s, 0, text, 5, &e));
    CHECK_BITS(text, "hello", 5);
    sc_source_close(s);
    CHECK_ERR(SCRUPLE_ENOTFOUND, sc_repo_open_file(r, "missing.bin", &s, &e));
    CHECK_STR(e.text, "missing.bin: is a link to something that does not exist (incomplete "
                      "download?)");
    CHECK(s == NULL);
    sc_repo_close(r);
    scratch_remove();
}

TEST(linked_folders_are_searched_once_and_never_round)
{
    REQUIRE(scratch_new());
    REQUIRE(scratch_folder("other") && scratch_folder("other/sub"));
    REQUIRE(scratch_file("other/o.bin", "o", 1) && scratch_file("other/sub/s.bin", "s", 1));
    REQUIRE(scratch_folder("model") && scratch_file("model/m.bin", "m", 1));
    REQUIRE(scratch_folder("model/step-2") && scratch_file("model/step-2/w.bin", "ww", 2));
    REQUIRE(scratch_link("../other", "model/vae"));      /* found */
    REQUIRE(scratch_link("../other", "model/vae10"));    /* the same again */
    REQUIRE(scratch_link("../other/sub", "model/vae2")); /* was found below the first */
    REQUIRE(scratch_link("step-2", "model/latest"));     /* is there already */
    REQUIRE(scratch_link(".", "model/self"));            /* loops */
    REQUIRE(scratch_link("..", "model/up"));
    REQUIRE(scratch_link("/", "model/top"));
    REQUIRE(scratch_link("..", "model/step-2/back")); /* links further down are left alone */
    REQUIRE(scratch_link("../../other", "model/step-2/far"));
    REQUIRE(scratch_link("../model", "other/model"));
    REQUIRE(scratch_link("loop", "model/loop"));
    struct sc_repo *r = opened(scratch_at("model"));
    REQUIRE(r != NULL);
    CHECK_STR(listing(r), "m.bin 1\nstep-2/w.bin 2\nvae/o.bin 1\nvae/sub/s.bin 1\n");
    sc_repo_close(r);

    /* The root itself may be a link. */
    REQUIRE(scratch_link("model", "alias"));
    r = opened(scratch_at("alias"));
    REQUIRE(r != NULL);
    CHECK_STR(r->label, scratch_at("alias"));
    CHECK_U64(r->n_files, 4);
    sc_repo_close(r);
    scratch_remove();
}

TEST(search_ends_at_the_depth_limit)
{
    char path[256] = "";
    size_t n = 0;
    REQUIRE(scratch_new());
    for (unsigned depth = 0; depth <= SC_MAX_FOLDER_DEPTH + 2; depth++) {
        snprintf(path + n, sizeof path - n, "%sf%u", n ? "/" : "", depth);
        REQUIRE(scratch_file(path, "", 0));
        path[n + (n ? 1 : 0)] = 'd';
        REQUIRE(scratch_folder(path));
        n = strlen(path);
    }
    struct sc_repo *r = opened(scratch_root);
    REQUIRE(r != NULL);
    CHECK_U64(r->n_files, SC_MAX_FOLDER_DEPTH + 1);
    sc_repo_close(r);
    scratch_remove();
}

TEST(unreadable_sub_folders_are_left_out)
{
    REQUIRE(scratch_new());
    REQUIRE(scratch_folder("locked") && scratch_file("locked/x", "x", 1));
    REQUIRE(scratch_file("m.bin", "m", 1) && chmod(scratch_at("locked"), 0) == 0);
    struct sc_repo *r = opened(scratch_root);
    REQUIRE(r != NULL);
    if (geteuid() != 0)
        CHECK_STR(listing(r), "m.bin 1\n");
    sc_repo_close(r);
    /* A folder that may be passed through but not listed: the file alone. */
    if (geteuid() != 0) {
        char got[1];
        struct sc_source *s = NULL;
        chmod(scratch_at("locked"), 0100);
        r = opened(scratch_at("locked/x"));
        REQUIRE(r != NULL);
        CHECK_STR(listing(r), "x 1\n");
        REQUIRE(sc_repo_open_file(r, "x", &s, NULL) == 0);
        CHECK_ERR(0, sc_source_read(s, 0, got, 1, NULL));
        sc_source_close(s);
        sc_repo_close(r);
    }
    scratch_remove();
}

TEST(paths_that_leave_the_folder_are_refused)
{
    const char *const bad[] = {
        "",       "/",      "/etc/passwd", "..",        "../x",  "a/../../x",  "./m.bin", "sub/./x",
        "sub//x", "sub/x/", "sub/..",      "..\\..\\x", "C:\\x", "http://h/x", ".",       "a/",
    };
    struct sc_source *s = NULL;
    struct sc_error e = {0};
    REQUIRE(scratch_new());
    REQUIRE(scratch_folder("root") && scratch_folder("root/sub") && scratch_file("x", "x", 1));
    REQUIRE(scratch_file("root/sub/x", "x", 1) && scratch_file("root/back\\slash", "x", 1));
    REQUIRE(scratch_file("root/...", "x", 1));
    struct sc_repo *r = opened(scratch_at("root"));
    REQUIRE(r != NULL);
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        CHECK_ERR(SCRUPLE_EFORMAT, sc_repo_open_file(r, bad[i], &s, &e));
        CHECK(s == NULL && strstr(e.text, ": points outside the model folder") != NULL);
    }
    const char *const good[] = {"sub/x", "back\\slash", "..."};
    for (size_t i = 0; i < SC_COUNT(good); i++) {
        CHECK_ERR(0, sc_repo_open_file(r, good[i], &s, &e));
        sc_source_close(s);
    }
    CHECK_ERR(SCRUPLE_ENOTFOUND, sc_repo_open_file(r, "sub/y", &s, &e));
    CHECK_STR(e.text, "sub/y: no such file or folder");
    CHECK_ERR(SCRUPLE_EIO, sc_repo_open_file(r, "sub", &s, &e));
    CHECK_STR(e.text, "sub: is a folder, not a file");
    sc_repo_close(r);
    scratch_remove();
}

TEST(repository_outlives_the_working_directory_and_a_move)
{
    struct sc_source *s = NULL;
    REQUIRE(scratch_new());
    REQUIRE(scratch_folder("here") && scratch_file("here/m.bin", "m", 1));
    REQUIRE(chdir(scratch_at("here")) == 0);
    struct sc_repo *r = opened(".");
    REQUIRE(r != NULL);
    CHECK_ERR(0, chdir("/"));
    CHECK_ERR(0, rename(scratch_at("here"), scratch_at("there")));
    CHECK_ERR(0, sc_repo_open_file(r, "m.bin", &s, NULL));
    sc_source_close(s);
    sc_repo_close(r);
    scratch_remove();
}

TEST(working_directory_without_a_name)
{
    REQUIRE(scratch_new());
    REQUIRE(scratch_folder("gone") && chdir(scratch_at("gone")) == 0);
    REQUIRE(rmdir(scratch_at("gone")) == 0);
    struct sc_repo *r = opened(".");
    REQUIRE(r != NULL);
    CHECK_STR(r->label, ".");
    CHECK_U64(r->n_files, 0);
    sc_repo_close(r);
    CHECK_ERR(0, chdir("/"));
    scratch_remove();
}

TEST(text_is_read_whole_up_to_a_limit)
{
    struct sc_error e = {0};
    char *text = NULL;
    size_t n = 0;
    REQUIRE(scratch_new());
    REQUIRE(scratch_file("config.json", "{\"a\":1}", 7) && scratch_file("empty", "", 0));
    REQUIRE(scratch_folder("folder"));
    struct sc_repo *r = opened(scratch_root);
    REQUIRE(r != NULL);
    CHECK_ERR(0, sc_repo_read_text(r, "config.json", 7, &text, &n, &e));
    CHECK_STR(text, "{\"a\":1}");
    CHECK_U64(n, 7);
    free(text);
    CHECK_ERR(0, sc_repo_read_text(r, "empty", 0, &text, &n, &e));
    CHECK_STR(text, "");
    free(text);
    CHECK_ERR(SCRUPLE_ENOTFOUND, sc_repo_read_text(r, "nothing", 7, &text, &n, &e));
    CHECK(text == NULL && n == 0 && e.text[0] == '\0');
    CHECK_ERR(SCRUPLE_ELIMIT, sc_repo_read_text(r, "config.json", 6, &text, &n, &e));
    CHECK_STR(e.text, "config.json: has 7 bytes; at most 6 are read");
    CHECK_ERR(SCRUPLE_EIO, sc_repo_read_text(r, "folder", 6, &text, &n, &e));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_repo_read_text(r, "../x", 6, &text, &n, &e));
    CHECK(text == NULL);

    struct sc_fault plan = {.fail_at = 0};
    struct sc_io io = {0};
    r->fault = &plan;
    r->io = &io;
    CHECK_ERR(SCRUPLE_EIO, sc_repo_read_text(r, "config.json", 7, &text, &n, &e));
    CHECK(text == NULL && plan.fired);
    CHECK_ERR(0, sc_repo_read_text(r, "config.json", 7, &text, &n, &e));
    CHECK_U64(io.bytes_read, 7);
    CHECK_U64(io.requests, 2);
    free(text);
    sc_repo_close(r);
    scratch_remove();
}

TEST(memory_repository)
{
    struct sc_repo *r = NULL;
    struct sc_source *a = NULL, *b = NULL;
    struct sc_error e = {0};
    struct sc_io io = {0};
    char got[4];
    REQUIRE(sc_repo_open_memory("GGUF", 4, "fuzz/../input", &r, &e) == 0);
    r->io = &io;
    CHECK_STR(r->label, "fuzz/../input");
    CHECK_STR(r->selected, "fuzz/../input");
    CHECK_STR(listing(r), "fuzz/../input 4\n");
    REQUIRE(sc_repo_open_file(r, "fuzz/../input", &a, &e) == 0);
    REQUIRE(sc_repo_open_file(r, "fuzz/../input", &b, &e) == 0);
    CHECK(sc_source_map(a, 0, 4) != NULL);
    sc_source_close(a);
    CHECK_ERR(0, sc_source_read(b, 0, got, 4, &e));
    CHECK_BITS(got, "GGUF", 4);
    CHECK_ERR(0, sc_source_check(b, &e));
    sc_source_close(b);
    CHECK_U64(io.bytes_read, 4);
    CHECK_ERR(SCRUPLE_ENOTFOUND, sc_repo_open_file(r, "other", &a, &e));
    sc_repo_close(r);
}

TEST(standard_input_as_a_repository)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    REQUIRE(write(ends[1], "GGUF", 4) == 4);
    close(ends[1]);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char got[4] = "";
        dup2(ends[0], STDIN_FILENO);
        test_bad = 0;
        struct sc_repo *r = opened("-");
        struct sc_source *s = NULL;
        bool ok = r && strcmp(r->label, "<stdin>") == 0 && strcmp(r->selected, "<stdin>") == 0 &&
                  strcmp(listing(r), "<stdin> 4\n") == 0;
        for (int again = 0; ok && again < 2; again++) { /* may be opened more than once */
            ok = sc_repo_open_file(r, "<stdin>", &s, NULL) == 0 &&
                 sc_source_read(s, 0, got, 4, NULL) == 0 && memcmp(got, "GGUF", 4) == 0;
            sc_source_close(s);
        }
        sc_repo_close(r);
        _exit(ok && !test_bad ? 0 : 1);
    }
    close(ends[0]);
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK_U64(status, 0);
}

/* Everything once: list, open, map, read in small steps, read as text. */
static int use_all(const char *path)
{
    struct sc_repo *r = NULL;
    struct sc_io io = {0};
    struct sc_fault fault = {.fail_at = UINT64_MAX};
    struct sc_error e = {0};
    int rc = sc_repo_open_local(path, &r, &e);
    if (rc < 0) {
        CHECK(r == NULL && e.text[0] != '\0');
        return rc;
    }
    r->io = &io;
    r->fault = &fault;
    for (size_t i = 0; i < r->n_files && rc == 0; i++) {
        struct sc_source *s = NULL;
        struct sc_reader reader;
        const uint8_t *p;
        char *text = NULL;
        size_t n;
        rc = sc_repo_read_text(r, r->files[i].path, 100, &text, &n, &e);
        free(text);
        if (rc == 0)
            rc = sc_repo_open_file(r, r->files[i].path, &s, &e);
        if (rc < 0)
            break;
        sc_reader_start(&reader, s, 0, 1);
        while (rc == 0 && sc_reader_left(&reader) > 0)
            rc = sc_reader_take(&reader, 1, &p, "a byte", &e);
        sc_reader_clear(&reader);
        (void)sc_source_map(s, 0, 1);
        sc_source_close(s);
    }
    sc_repo_close(r);
    return rc;
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

TEST(repository_survives_every_failing_allocation)
{
    REQUIRE(scratch_new());
    REQUIRE(scratch_folder("other") && scratch_file("other/o.bin", "o", 1));
    REQUIRE(scratch_folder("model") && scratch_link("../other", "model/other"));
    for (unsigned i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "model/f%u", i);
        REQUIRE(scratch_file(name, "some text", 9));
    }
    const char *const paths[] = {"model", "model/f3", "other/../model/f4", "nothing"};
    REQUIRE(chdir(scratch_root) == 0);
    for (size_t i = 0; i < SC_COUNT(paths); i++) {
        const unsigned before = open_descriptors();
        for (uint64_t k = 0;; k++) {
            sc_oom_fail_at(k);
            int code = use_all(paths[i]);
            bool reached = sc_oom_failed() > 0;
            sc_oom_off();
            CHECK_U64(open_descriptors(), before);
            if (!reached) {
                CHECK_ERR(i == 3 ? SCRUPLE_ENOTFOUND : 0, code);
                break;
            }
            CHECK_ERR(SCRUPLE_EMEMORY, code);
        }
    }
    CHECK_ERR(0, chdir("/"));
    scratch_remove();
}

/* One descriptor for the root, and one for each source that is open at the moment. */
TEST(two_thousand_files_with_sixty_four_descriptors)
{
    enum { FILES = 2000, FOLDERS = 100 };
    char name[64];
    struct rlimit old, few;
    REQUIRE(scratch_new());
    for (unsigned i = 0; i < FOLDERS; i++) {
        snprintf(name, sizeof name, "part%u", i);
        REQUIRE(scratch_folder(name));
    }
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "part%u/m-%u.bin", i % FOLDERS, i);
        REQUIRE(scratch_file(name, "x", 1));
    }
    REQUIRE(getrlimit(RLIMIT_NOFILE, &old) == 0);
    few = old;
    few.rlim_cur = 64;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    struct sc_repo *r = opened(scratch_root);
    if (r) {
        CHECK_U64(r->n_files, FILES);
        unsigned read = 0;
        for (size_t i = 0; i < r->n_files; i++) {
            struct sc_source *s = NULL;
            char got[1];
            if (sc_repo_open_file(r, r->files[i].path, &s, NULL) == 0 &&
                sc_source_map(s, 0, 1) != NULL && sc_source_read(s, 0, got, 1, NULL) == 0)
                read++;
            sc_source_close(s);
        }
        CHECK_U64(read, FILES);
    }
    sc_repo_close(r);
    CHECK_ERR(0, setrlimit(RLIMIT_NOFILE, &old));
    scratch_remove();
}

TEST(folder_with_too_many_entries)
{
    struct sc_repo *r = NULL;
    struct sc_error e = {0};
    char name[32];
    REQUIRE(scratch_new());
    REQUIRE(scratch_file("f", "", 0));
    /* Hard links: entries without inodes. Several names are needed, a name has a limit of links. */
    for (unsigned i = 0; i < SC_MAX_FOLDER_FILES; i++) {
        if (i % 30000 == 0) {
            snprintf(name, sizeof name, "f%u", i);
            REQUIRE(scratch_file(name, "", 0));
        } else {
            char base[32];
            snprintf(base, sizeof base, "f%u", i / 30000 * 30000);
            snprintf(name, sizeof name, "f%u", i);
            REQUIRE(link(scratch_at(base), scratch_at(name)) == 0);
        }
    }
    CHECK_ERR(SCRUPLE_ELIMIT, sc_repo_open_local(scratch_root, &r, &e));
    CHECK(strstr(e.text, ": more than 100000 files and folders (name the model's own folder)"));
    CHECK(r == NULL);
    /* One file of it can still be looked at. */
    r = opened(scratch_at("f77"));
    REQUIRE(r != NULL);
    CHECK_U64(r->n_files, 1);
    sc_repo_close(r);
    REQUIRE(unlink(scratch_at("f")) == 0);
    r = opened(scratch_root);
    REQUIRE(r != NULL);
    CHECK_U64(r->n_files, SC_MAX_FOLDER_FILES);
    CHECK_STR(r->files[99999].path, "f99999");
    sc_repo_close(r);
    scratch_remove();
}
