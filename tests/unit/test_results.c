/* SPDX-License-Identifier: Apache-2.0 */
/* results: a store of figures that may be missing, broken, full, read-only or shared. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "analyze/results.h"
#include "support.h"
#include "test.h"

static char told[512];
static unsigned n_told;

static void note(void *ctx, const char *sentence)
{
    (void)ctx;
    n_told++;
    snprintf(told, sizeof told, "%s", sentence);
}

static struct sc_results *open_store(const char *folder)
{
    n_told = 0;
    told[0] = '\0';
    return sc_results_open(folder, note, NULL);
}

static struct sc_str key_of(unsigned i)
{
    static char text[64];
    /* A NUL inside: keys are bytes. */
    int n = snprintf(text, sizeof text, "key%c%u", 0, i);
    return sc_str(text, (size_t)n);
}

/* 1000 bytes that tell which key they belong to. */
static void fill(unsigned i, uint8_t out[1000])
{
    for (unsigned k = 0; k < 1000; k++)
        out[k] = (uint8_t)(i * 31 + k * 7 + (k >> 5));
}

static void put(struct sc_results *r, unsigned i)
{
    uint8_t value[1000];
    fill(i, value);
    sc_results_put(r, key_of(i), value, sizeof value);
}

/* 1: there and right, 0: not there, -1: wrong. */
static int look(struct sc_results *r, unsigned i)
{
    uint8_t want[1000], got[1000] = {0};
    fill(i, want);
    if (!sc_results_get(r, key_of(i), got, sizeof got))
        return 0;
    return memcmp(got, want, sizeof got) == 0 ? 1 : -1;
}

static unsigned count(struct sc_results *r, unsigned n)
{
    unsigned found = 0;
    for (unsigned i = 0; i < n; i++)
        found += look(r, i) == 1;
    return found;
}

static void path_of(char out[4200], const char *folder, const char *name)
{
    snprintf(out, 4200, "%s/%s", folder, name);
}

TEST(what_is_put_is_got)
{
    char *folder = make_folder();
    struct sc_results *r = open_store(folder);
    REQUIRE(r != NULL);
    uint8_t small[10];

    CHECK(look(r, 1) == 0);
    put(r, 1);
    CHECK(look(r, 1) == 1); /* before it is written */
    for (unsigned i = 2; i < 200; i++)
        put(r, i);
    sc_results_close(r);

    r = open_store(folder);
    CHECK_U64(count(r, 300), 199);
    CHECK(!sc_results_get(r, key_of(5), small, sizeof small)); /* another size */
    CHECK(!sc_results_get(r, sc_str("key", 3), small, sizeof small));
    put(r, 7); /* again */
    sc_results_close(r);
    CHECK_U64(n_told, 0);

    uint64_t entries = 0, bytes = 0;
    CHECK_ERR(0, sc_results_size(folder, &entries, &bytes, NULL));
    CHECK_U64(entries, 199);
    CHECK(bytes > 199 * 1000);
    CHECK_ERR(0, sc_results_remove(folder, NULL));
    CHECK_ERR(0, sc_results_size(folder, &entries, &bytes, NULL));
    CHECK_U64(entries, 0);
    CHECK_U64(bytes, 0);
    remove_folder(folder);
}

TEST(nothing_is_made_before_it_is_needed)
{
    char *folder = make_folder(), path[4200];
    struct stat st;
    uint64_t entries, bytes;

    path_of(path, folder, "results.db");
    sc_results_close(open_store(folder));
    CHECK(stat(path, &st) != 0);
    CHECK_ERR(0, sc_results_size(folder, &entries, &bytes, NULL));
    CHECK(stat(path, &st) != 0);
    CHECK_ERR(0, sc_results_remove(folder, NULL));
    sc_results_close(NULL);
    remove_folder(folder);
}

/* Every way to spoil the file costs what was in it and nothing else. */
static void spoil_and_go_on(const char *what, size_t at, size_t n, long cut)
{
    char *folder = make_folder(), path[4200], aside[4200];
    struct stat st;
    struct sc_results *r = open_store(folder);

    for (unsigned i = 0; i < 100; i++)
        put(r, i);
    sc_results_close(r);
    path_of(path, folder, "results.db");
    path_of(aside, folder, "results.db.broken");
    int fd = open(path, O_RDWR);
    uint8_t junk[8192];
    memset(junk, 0xa5, sizeof junk);
    CHECK(fd >= 0 && pwrite(fd, junk, n, (off_t)at) == (ssize_t)n);
    if (cut >= 0)
        CHECK(ftruncate(fd, (off_t)cut) == 0);
    close(fd);

    r = open_store(folder);
    for (unsigned i = 0; i < 100; i++)
        CHECK(look(r, i) >= 0); /* never a wrong value */
    for (unsigned i = 0; i < 100; i++)
        put(r, i);
    sc_results_close(r);
    r = open_store(folder);
    if (count(r, 100) != 100)
        fprintf(stderr, "%s: %u of 100\n", what, count(r, 100));
    CHECK_U64(count(r, 100), 100);
    sc_results_close(r);
    CHECK(cut != 700 || stat(aside, &st) == 0);
    remove_folder(folder);
}

TEST(a_broken_file_is_moved_aside)
{
    spoil_and_go_on("header", 0, 100, -1);
    spoil_and_go_on("text", 0, 5000, 700);
    spoil_and_go_on("schema", 100, 900, -1);
    spoil_and_go_on("pages", 4096, 8192, -1);
    spoil_and_go_on("tail", 40000, 100, 40960);
    spoil_and_go_on("short", 0, 1, 700);
}

/* A flipped bit in a value: SQLite does not see it, the checksum does. */
TEST(a_flipped_bit_is_a_miss)
{
    char *folder = make_folder(), path[4200];
    struct sc_results *r = open_store(folder);
    unsigned flipped = 0;

    put(r, 3);
    sc_results_close(r);
    path_of(path, folder, "results.db");
    struct blob b = read_blob(path);
    uint8_t value[1000];
    fill(3, value);
    for (size_t i = 0; i + 100 < b.n && !flipped; i++)
        if (memcmp(b.p + i, value + 400, 100) == 0) {
            b.p[i + 50] ^= 4;
            flipped++;
        }
    CHECK_U64(flipped, 1);
    write_file(folder, "results.db", b.p, b.n);
    free(b.p);
    r = open_store(folder);
    CHECK(look(r, 3) == 0);
    put(r, 3);
    sc_results_close(r);
    r = open_store(folder);
    CHECK(look(r, 3) == 1);
    sc_results_close(r);
    remove_folder(folder);
}

TEST(a_stranger_is_left_alone)
{
    char *folder = make_folder(), path[4200];
    path_of(path, folder, "results.db");
    /* A database of another version: user_version is at byte 60, big-endian. */
    struct sc_results *r = open_store(folder);
    put(r, 1);
    sc_results_close(r);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0 && pwrite(fd, "\0\0\0\x09", 4, 60) == 4);
    close(fd);
    struct blob before = read_blob(path);
    r = open_store(folder);
    CHECK(look(r, 1) == 0);
    put(r, 2);
    sc_results_close(r);
    CHECK_U64(n_told, 1);
    struct blob after = read_blob(path);
    CHECK(before.n == after.n && memcmp(before.p + 100, after.p + 100, before.n - 100) == 0);
    free(before.p);
    free(after.p);
    remove_folder(folder);
}

TEST(no_place_to_keep_anything)
{
    char *folder = make_folder(), path[4200];

    write_file(folder, "file", "x", 1);
    path_of(path, folder, "file");
    struct sc_results *r = open_store(path); /* a file is no folder */
    CHECK(look(r, 1) == 0);
    for (unsigned i = 0; i < 1000; i++)
        put(r, i);
    CHECK(look(r, 1) == 0);
    sc_results_close(r);
    CHECK_U64(n_told, 1);
    CHECK(strstr(told, "results are not kept") != NULL);
    remove_folder(folder);
}

/* In a child: what it does may be killed or limited. Returns its exit status, or -signal. */
static int in_child(void (*work)(const char *folder), const char *folder)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        work(folder);
        _exit(test_bad ? 1 : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 99;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void fill_the_disk(const char *folder)
{
    struct rlimit limit = {40000, 40000};

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    struct sc_results *r = open_store(folder);
    for (unsigned i = 0; i < 2000; i++)
        put(r, i);
    for (unsigned i = 0; i < 2000; i++)
        CHECK(look(r, i) >= 0);
    sc_results_close(r);
    CHECK_U64(n_told, 1);
}

TEST(a_full_disk_costs_time_only)
{
    char *folder = make_folder();

    CHECK_U64(in_child(fill_the_disk, folder), 0);
    struct sc_results *r = open_store(folder);
    for (unsigned i = 0; i < 2000; i++)
        CHECK(look(r, i) >= 0);
    for (unsigned i = 0; i < 100; i++)
        put(r, i);
    sc_results_close(r);
    r = open_store(folder);
    CHECK_U64(count(r, 100), 100);
    sc_results_close(r);
    remove_folder(folder);
}

/* Who is root may write everywhere: become nobody first. */
static void read_only(const char *folder)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return;
    struct sc_results *r = open_store(folder);
    CHECK_U64(count(r, 100), 50);
    put(r, 77);
    sc_results_close(r);
    CHECK_U64(n_told, 1);
    CHECK(strstr(told, "cannot be written") != NULL);
}

TEST(a_read_only_store_is_read)
{
    char *folder = make_folder(), path[4200];
    struct sc_results *r = open_store(folder);

    for (unsigned i = 0; i < 50; i++)
        put(r, i);
    sc_results_close(r);
    path_of(path, folder, "results.db");
    CHECK(chmod(path, 0444) == 0 && chmod(folder, 0555) == 0);
    CHECK_U64(in_child(read_only, folder), 0);
    chmod(folder, 0777);
    remove_folder(folder);
}

static void write_and_die(const char *folder)
{
    struct sc_results *r = open_store(folder);

    for (unsigned i = 0; i < 500; i++)
        put(r, i);
    kill(getpid(), SIGKILL);
}

TEST(a_killed_process_loses_a_batch_at_most)
{
    char *folder = make_folder();

    CHECK_U64(in_child(write_and_die, folder), (uint64_t)-SIGKILL);
    struct sc_results *r = open_store(folder);
    unsigned n = count(r, 500);
    CHECK(n >= 500 - 64);
    put(r, 499);
    sc_results_close(r);
    r = open_store(folder);
    CHECK(look(r, 499) == 1);
    sc_results_close(r);
    remove_folder(folder);
}

TEST(several_processes_share_it)
{
    enum { PROCESSES = 4, EACH = 150 };
    char *folder = make_folder();
    pid_t pid[PROCESSES];

    for (unsigned p = 0; p < PROCESSES; p++) {
        pid[p] = fork();
        if (pid[p] == 0) {
            struct sc_results *r = open_store(folder);
            for (unsigned i = 0; i < EACH; i++) {
                put(r, p * EACH + i);
                if (look(r, i * PROCESSES) < 0)
                    _exit(2);
            }
            sc_results_close(r);
            _exit(n_told ? 3 : 0);
        }
    }
    for (unsigned p = 0; p < PROCESSES; p++) {
        int status = 1;
        CHECK(waitpid(pid[p], &status, 0) == pid[p]);
        CHECK_U64(status, 0);
    }
    struct sc_results *r = open_store(folder);
    CHECK_U64(count(r, PROCESSES * EACH), PROCESSES * EACH);
    /* Removing below a process that has it open empties it and harms nobody. */
    CHECK_ERR(0, sc_results_remove(folder, NULL));
    CHECK_U64(count(r, PROCESSES * EACH), 0);
    put(r, 1);
    sc_results_close(r);
    r = open_store(folder);
    CHECK(look(r, 1) == 1);
    sc_results_close(r);
    CHECK_U64(n_told, 0);
    remove_folder(folder);
}
