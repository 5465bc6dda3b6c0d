/* SPDX-License-Identifier: Apache-2.0 */
/* Standard input as a source: pipes of every size, redirected files, and what is no input. Each
 * case runs in a child, which has a standard input of its own. */
#include "test.h"

#include "source/internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "oom.h"
#include "scratch.h"

#define MIB (UINT64_C(1) << 20)

/* Runs body in a child whose standard input is `in` (-1: unchanged) and returns its wait status.
 * The child exits with 0 when none of its checks failed. */
static int in_child(void (*body)(void), int in)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (in >= 0 && in != STDIN_FILENO) {
            dup2(in, STDIN_FILENO);
            close(in);
        }
        test_bad = 0;
        body();
        fflush(stderr);
        _exit(test_bad ? 1 : 0);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static struct {
    int code;             /* expected of sc_stdin_open */
    const char *sentence; /* how its message must begin */
    const char *scheme;
    uint64_t size, first; /* the source must be the pattern from `first` on */
} expected;

static void open_stdin(void)
{
    struct sc_source *s = NULL;
    struct sc_error e = {0};
    CHECK_ERR(expected.code, sc_stdin_open(&s, &e));
    if (expected.code < 0) {
        CHECK(s == NULL);
        CHECK(strncmp(e.text, expected.sentence, strlen(expected.sentence)) == 0);
        if (test_bad)
            fprintf(stderr, "    %s\n", e.text);
        return;
    }
    REQUIRE(s != NULL);
    CHECK_STR(s->name, "<stdin>");
    CHECK_STR(s->ops->scheme, expected.scheme);
    CHECK_U64(s->size, expected.size);
    static uint8_t got[1 << 16];
    for (uint64_t off = 0; off < s->size; off += sizeof got) {
        size_t n = (size_t)SC_MIN((uint64_t)sizeof got, s->size - off);
        REQUIRE(sc_source_read(s, off, got, n, &e) == 0);
        REQUIRE(is_pattern(got, expected.first + off, n));
    }
    CHECK_ERR(0, sc_source_check(s, &e));
    sc_source_close(s);
}

/* Feeds n bytes of the pattern to open_stdin() in a child. A child that gives up is no reason to
 * die of SIGPIPE. */
static int feed_child(uint64_t n, bool non_blocking)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        if (non_blocking)
            fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
        test_bad = 0;
        open_stdin();
        fflush(stderr);
        _exit(test_bad ? 1 : 0);
    }
    close(ends[0]);
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    static uint8_t block[1 << 16];
    for (uint64_t off = 0; pid > 0 && off < n;) {
        size_t k = (size_t)SC_MIN((uint64_t)sizeof block, n - off);
        fill_pattern(block, off, k);
        if (non_blocking)
            nanosleep(&(struct timespec){0, 2000000}, NULL);
        ssize_t w = write(ends[1], block, k);
        if (w < 0)
            break;
        off += (uint64_t)w;
    }
    close(ends[1]);
    signal(SIGPIPE, old);
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

TEST(stdin_from_a_pipe_is_kept_in_memory)
{
    const uint64_t sizes[] = {0, 1, 65535, 65536, 65537, 3 * MIB + 1};
    for (size_t i = 0; i < SC_COUNT(sizes); i++) {
        expected.scheme = "memory";
        expected.size = sizes[i];
        CHECK_U64(feed_child(sizes[i], false), 0);
    }
    expected.size = 3 * 65536 + 100;
    CHECK_U64(feed_child(expected.size, true), 0);
}

TEST(stdin_beyond_the_ceiling_goes_to_a_file)
{
    REQUIRE(scratch_new());
    REQUIRE(setenv("TMPDIR", scratch_root, 1) == 0);
    expected.scheme = "memory";
    expected.size = 64 * MIB;
    CHECK_U64(feed_child(expected.size, false), 0);
    expected.scheme = "file";
    expected.size = 64 * MIB + 1;
    CHECK_U64(feed_child(expected.size, false), 0);
    expected.size = 67 * MIB + 12345;
    CHECK_U64(feed_child(expected.size, false), 0);
    CHECK(rmdir(scratch_root) == 0); /* nothing stayed behind */
    unsetenv("TMPDIR");
}

static void open_stdin_with_small_disk(void)
{
    struct rlimit small = {1 << 20, 1 << 20};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    open_stdin();
}

static void feed_much_and_exit(void)
{
    static uint8_t block[1 << 16] = {1}; /* zeros alone would be refused */
    signal(SIGPIPE, SIG_IGN);
    for (uint64_t n = 0; n < 70 * MIB; n += sizeof block)
        if (write(STDOUT_FILENO, block, sizeof block) < 0)
            break;
}

TEST(stdin_that_finds_no_room_says_so)
{
    REQUIRE(scratch_new());
    expected.code = SCRUPLE_EWRITE;
    REQUIRE(setenv("TMPDIR", scratch_at("missing"), 1) == 0);
    expected.sentence = "<stdin>: cannot be kept in /";
    CHECK_U64(feed_child(65 * MIB, false), 0);

    REQUIRE(setenv("TMPDIR", scratch_root, 1) == 0);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    fflush(NULL);
    pid_t feeder = fork();
    if (feeder == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        feed_much_and_exit();
        _exit(0);
    }
    close(ends[1]);
    CHECK_U64(in_child(open_stdin_with_small_disk, ends[0]), 0);
    close(ends[0]);
    waitpid(feeder, NULL, 0);
    CHECK(rmdir(scratch_root) == 0);
    unsetenv("TMPDIR");
    expected.code = 0;
}

TEST(stdin_from_a_file_is_read_in_place)
{
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", 100000));
    int fd = open(scratch_at("f"), O_RDONLY);
    expected.scheme = "file";
    expected.size = 100000;
    CHECK_U64(in_child(open_stdin, fd), 0);
    /* Somebody read the beginning: what is left is the input. */
    REQUIRE(lseek(fd, 99, SEEK_SET) == 99);
    expected.scheme = "memory";
    expected.size = 99901;
    expected.first = 99;
    CHECK_U64(in_child(open_stdin, fd), 0);
    expected.first = 0;
    close(fd);
    scratch_remove();
}

static void open_closed_stdin(void)
{
    close(STDIN_FILENO);
    open_stdin();
}

TEST(stdin_that_is_no_input_is_refused)
{
    const struct {
        const char *path;
        int code;
        const char *sentence;
    } cases[] = {
        {"/dev/ptmx", SCRUPLE_EUSAGE, "<stdin>: is a terminal; pipe a model into it"},
        {"/dev/zero", SCRUPLE_EIO, "<stdin>: is a character device, not a file"},
        {"/", SCRUPLE_EIO, "<stdin>: is a folder, not a file"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        int fd = open(cases[i].path, O_RDONLY | O_NOCTTY);
        if (fd < 0)
            continue; /* no terminals in this container */
        expected.code = cases[i].code;
        expected.sentence = cases[i].sentence;
        CHECK_U64(in_child(open_stdin, fd), 0);
        close(fd);
    }
    expected.code = SCRUPLE_EIO;
    expected.sentence = "<stdin>: standard input is closed: Bad file descriptor";
    CHECK_U64(in_child(open_closed_stdin, -1), 0);
    expected.code = 0;
}

static void refuse_endless(void)
{
    struct sc_source *s = NULL;
    struct sc_error e = {0};
    CHECK_ERR(SCRUPLE_EFORMAT, sc_stdin_open(&s, &e));
    CHECK(strstr(e.text, expected.sentence) != NULL);
}

/* `yes | scruple -` must not fill the disk. */
TEST(endless_text_and_zeros_are_refused_early)
{
    REQUIRE(scratch_new());
    REQUIRE(scratch_file("f", "", 0));
    FILE *f = fopen(scratch_at("f"), "wb");
    REQUIRE(f != NULL);
    for (int i = 0; i < 400000; i++)
        fputs("y\nyes\n", f);
    REQUIRE(fclose(f) == 0);
    REQUIRE(truncate(scratch_at("f"), (off_t)1 << 40) == 0); /* a tebibyte is never read */
    int fd = open(scratch_at("f"), O_RDONLY);
    REQUIRE(fd >= 0 && lseek(fd, 2, SEEK_SET) == 2); /* not at its start: it is spooled */
    expected.sentence = "text, and more than 1 MiB";
    CHECK_U64(in_child(refuse_endless, fd), 0);
    close(fd);
    scratch_remove();
}

/* The same input again and again, each time with another allocation that fails. */
static void sweep_stdin(void)
{
    for (uint64_t k = 0;; k++) {
        struct sc_source *s = NULL;
        struct sc_error e = {0};
        REQUIRE(lseek(STDIN_FILENO, 1, SEEK_SET) == 1);
        sc_oom_fail_at(k);
        int code = sc_stdin_open(&s, &e);
        bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        /* Giving memory back may fail without harm. */
        CHECK(code == 0 || (reached && code == SCRUPLE_EMEMORY && s == NULL));
        CHECK(code < 0 || s->size == expected.size);
        sc_source_close(s);
        if (!reached)
            break;
    }
}

TEST(stdin_survives_every_failing_allocation)
{
    REQUIRE(scratch_new());
    REQUIRE(setenv("TMPDIR", scratch_root, 1) == 0);
    REQUIRE(scratch_file("f", " GGUF", 5)); /* zeros alone would be refused */
    const uint64_t sizes[] = {200000, 65 * MIB};
    for (size_t i = 0; i < SC_COUNT(sizes); i++) {
        expected.size = sizes[i];
        REQUIRE(truncate(scratch_at("f"), (off_t)sizes[i] + 1) == 0);
        int fd = open(scratch_at("f"), O_RDONLY);
        CHECK_U64(in_child(sweep_stdin, fd), 0);
        close(fd);
    }
    scratch_remove();
    unsetenv("TMPDIR");
}
