/* SPDX-License-Identifier: Apache-2.0 */
/* Sources: files that behave and files that do not, mappings that lose their file, memory, and the
 * counting and fault layers. */
#include "test.h"

#include "source/internal.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "scratch.h"

/* Runs body in a child and returns its wait status: 0 when none of its checks failed. */
static int in_child(void (*body)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
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

/* -------------------------------------------------------------------- guard: other people's --- */

static sigjmp_buf after_fault;
static volatile sig_atomic_t old_handler_calls;

static void old_handler(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    old_handler_calls++;
    if (info->si_code > 0)
        siglongjmp(after_fault, 1);
}

static void install_guard(void)
{
    static uint8_t page[1];
    int slot = sc_guard_add(page, 1);
    REQUIRE(slot >= 0);
    sc_guard_remove(slot);
}

/* A mapping of one page that the guard does not know and that has no file behind it. */
static const volatile uint8_t *lost_page(void)
{
    int fd = open(scratch_at("lost"), O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, 4096) != 0)
        return NULL;
    void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    bool ok = ftruncate(fd, 0) == 0;
    close(fd);
    return ok && p != MAP_FAILED ? p : NULL;
}

static void keeps_old_handler(void)
{
    struct sigaction old = {.sa_sigaction = old_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &old, NULL);
    install_guard();
    raise(SIGBUS);
    CHECK_U64(old_handler_calls, 1);

    const volatile uint8_t *p = lost_page();
    REQUIRE(p != NULL);
    if (sigsetjmp(after_fault, 1) == 0)
        CHECK(*p == 77); /* not reached: the old handler jumps */
    CHECK_U64(old_handler_calls, 2);
}

static void keeps_ignoring(void)
{
    signal(SIGBUS, SIG_IGN);
    install_guard();
    raise(SIGBUS);
}

static void dies_when_sent(void)
{
    signal(SIGBUS, SIG_DFL);
    install_guard();
    raise(SIGBUS);
}

static void dies_when_touched(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGBUS, SIG_DFL);
    install_guard();
    const volatile uint8_t *p = lost_page();
    if (p)
        (void)*p;
}

/* First in the file: the children must be the first to install the guard. */
TEST(bus_errors_of_others_go_where_they_went_before)
{
    REQUIRE(scratch_new());
    CHECK_U64(in_child(keeps_old_handler), 0);
    CHECK_U64(in_child(keeps_ignoring), 0);
    int status = in_child(dies_when_sent);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    status = in_child(dies_when_touched);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    scratch_remove();
}

/* ------------------------------------------------------------------------------------ file --- */

TEST(file_reads_any_range)
{
    struct sc_source *s = NULL;
    struct sc_error e = {0};
    uint8_t got[600];
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", 500));
    CHECK_ERR(0, sc_file_open(scratch_at("f"), NULL, &s, &e));
    REQUIRE(s != NULL);
    CHECK_STR(s->ops->scheme, "file");
    CHECK_STR(s->name, scratch_at("f"));
    CHECK_U64(s->size, 500);
    for (size_t off = 0; off <= 500; off += 7)
        for (size_t len = 0; len <= 500 - off; len += 13) {
            CHECK_ERR(0, sc_source_read(s, off, got, len, &e));
            CHECK(is_pattern(got, off, len));
        }
    CHECK_ERR(0, sc_source_read(s, 0, got, 500, &e));
    CHECK_ERR(0, sc_source_read(s, 500, got, 0, &e));
    CHECK_ERR(0, sc_source_check(s, &e));
    sc_source_close(s);
    scratch_remove();
}

TEST(file_refuses_ranges_that_leave_it)
{
    struct sc_source *s = NULL;
    struct sc_error e = {0};
    uint8_t got[16];
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", 500) && chdir(scratch_root) == 0);
    CHECK_ERR(0, sc_file_open("f", NULL, &s, &e));
    REQUIRE(s != NULL);
    CHECK_ERR(SCRUPLE_EFORMAT, sc_source_read(s, 496, got, 5, &e));
    CHECK_STR(e.text,
              "f: 5 bytes are needed at byte 496, but the file has 500 (truncated download?)");
    CHECK(e.has_offset && e.offset == 496);
    CHECK_ERR(SCRUPLE_EFORMAT, sc_source_read(s, 501, got, 0, NULL));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_source_read(s, UINT64_MAX, got, 2, NULL));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_source_read(s, 499, got, SIZE_MAX, NULL));
    CHECK(sc_source_map(s, 0, 500) != NULL);
    CHECK(sc_source_map(s, 0, 501) == NULL);
    CHECK(sc_source_map(s, 500, 1) == NULL);
    CHECK(sc_source_map(s, UINT64_MAX, 2) == NULL);
    CHECK(sc_source_map(s, 500, 0) == NULL);
    sc_source_close(s);
    CHECK_ERR(0, chdir("/"));
    scratch_remove();
}

TEST(empty_file)
{
    struct sc_source *s = NULL;
    uint8_t got[1];
    REQUIRE(scratch_new());
    REQUIRE(scratch_file("empty", "", 0));
    CHECK_ERR(0, sc_file_open(scratch_at("empty"), NULL, &s, NULL));
    REQUIRE(s != NULL);
    CHECK_U64(s->size, 0);
    CHECK_ERR(0, sc_source_read(s, 0, got, 0, NULL));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_source_read(s, 0, got, 1, NULL));
    CHECK(sc_source_map(s, 0, 0) == NULL);
    CHECK(sc_source_map(s, 0, 1) == NULL);
    CHECK_ERR(0, sc_source_check(s, NULL));
    sc_source_close(s);
    scratch_remove();
}

static void refused(const char *name, int code, const char *sentence)
{
    struct sc_source *s = (struct sc_source *)1;
    struct sc_error e = {0};
    CHECK_ERR(code, sc_file_open(name, NULL, &s, &e));
    CHECK(s == NULL);
    CHECK_STR(e.text, sentence);
    CHECK_U64(e.code, code);
}

TEST(file_refuses_what_is_no_file_and_names_it)
{
    REQUIRE(scratch_new());
    REQUIRE(chdir(scratch_root) == 0 && scratch_folder("folder"));
    REQUIRE(mkfifo("fifo", 0600) == 0 && symlink("nowhere", "dangling") == 0);
    REQUIRE(symlink("loop", "loop") == 0 && scratch_file("file", "x", 1));
    int sock = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    REQUIRE(sock >= 0);
    REQUIRE(bind(sock, (const struct sockaddr *)&address, sizeof address) == 0);

    refused("folder", SCRUPLE_EIO, "folder: is a folder, not a file");
    refused("fifo", SCRUPLE_EIO,
            "fifo: is a pipe (FIFO), not a file (pipe into \"scruple -\" to read one)");
    refused("socket", SCRUPLE_EIO, "socket: is a socket, not a file");
    refused("/dev/zero", SCRUPLE_EIO, "/dev/zero: is a character device, not a file");
    refused("nothing", SCRUPLE_ENOTFOUND, "nothing: no such file or folder");
    refused("file/below", SCRUPLE_ENOTFOUND, "file/below: no such file or folder");
    refused("dangling", SCRUPLE_ENOTFOUND,
            "dangling: is a link to something that does not exist (incomplete download?)");
    refused("loop", SCRUPLE_EIO, "loop: cannot open: Too many levels of symbolic links");
    refused("a\033[2J", SCRUPLE_ENOTFOUND, "a\\u{1b}[2J: no such file or folder");

    close(sock);
    CHECK_ERR(0, chdir("/"));
    scratch_remove();
}

TEST(file_descriptor_blocks_and_is_not_inherited)
{
    struct sc_source *s = NULL;
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", 10));
    int fd = open("/dev/null", O_RDONLY); /* the number that comes next */
    close(fd);
    CHECK_ERR(0, sc_file_open(scratch_at("f"), NULL, &s, NULL));
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    sc_source_close(s);
    CHECK(fcntl(fd, F_GETFD) == -1);

    /* A descriptor that is handed over is closed when it is refused. */
    fd = open(scratch_root, O_RDONLY);
    CHECK_ERR(SCRUPLE_EIO, sc_file_open_fd(fd, "dir", NULL, &s, NULL));
    CHECK(fcntl(fd, F_GETFD) == -1);
    scratch_remove();
}

TEST(long_paths_keep_their_end_in_messages)
{
    struct sc_quoted q;
    char path[400];
    snprintf(path, sizeof path, "/home/%0120d/models/model-00001-of-00163.safetensors", 7);
    CHECK_STR(sc_quote_path(&q, path), ".../models/model-00001-of-00163.safetensors");
    snprintf(path, sizeof path, "/home/%0200d", 7);
    CHECK(strncmp(sc_quote_path(&q, path), "0000", 4) == 0);
    CHECK(strlen(q.s) <= 120);
    CHECK_STR(sc_quote_path(&q, "a/b"), "a/b");
    memset(path, '/', 300);
    path[300] = '\0';
    CHECK(strlen(sc_quote_path(&q, path)) <= 120);
}

/* --------------------------------------------------------------- files that change underneath ---
 */

TEST(file_that_shrank_is_an_error_of_reading)
{
    struct sc_source *s = NULL;
    struct sc_error e = {0};
    uint8_t got[1000];
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", 10000) && chdir(scratch_root) == 0);
    CHECK_ERR(0, sc_file_open("f", NULL, &s, &e));
    REQUIRE(s != NULL);
    REQUIRE(truncate("f", 400) == 0);
    CHECK_ERR(0, sc_source_read(s, 0, got, 400, &e));
    CHECK_ERR(SCRUPLE_EIO, sc_source_read(s, 0, got, 1000, &e));
    CHECK_STR(e.text, "f: shrank from 10000 to 400 bytes while being read");
    CHECK_ERR(SCRUPLE_EIO, sc_source_read(s, 9000, got, 1, &e));
    CHECK_STR(e.text, "f: shrank from 10000 to 400 bytes while being read");
    CHECK_ERR(SCRUPLE_EIO, sc_source_check(s, &e));
    CHECK_STR(e.text, "f: shrank from 10000 to 400 bytes while being read");
    CHECK(sc_source_map(s, 0, 1) == NULL); /* too late to map it */
    sc_source_close(s);
    CHECK_ERR(0, chdir("/"));
    scratch_remove();
}

TEST(windows_show_any_stretch)
{
    enum { SIZE = 100000 };
    static const size_t stretches[][2] = {{0, SIZE}, {0, 1},         {4095, 2},    {4096, 4096},
                                          {5000, 1}, {12345, 67890}, {SIZE - 1, 1}};
    static const size_t outside[][2] = {{0, 0}, {0, SIZE + 1}, {SIZE, 1}, {1, SIZE}};
    const struct sc_file_options unmapped = {.no_map = true};
    struct sc_source *s = NULL, *other = NULL;
    struct sc_error e = {0};
    struct sc_window a, b;
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", SIZE) && chdir(scratch_root) == 0);
    REQUIRE(sc_file_open("f", NULL, &s, &e) == 0 && sc_file_open("f", &unmapped, &other, &e) == 0);
    for (size_t i = 0; i < SC_COUNT(stretches); i++) {
        const size_t off = stretches[i][0], len = stretches[i][1];
        REQUIRE(sc_source_open_window(s, off, len, &a) && sc_source_open_window(s, 0, 9, &b));
        CHECK(is_pattern(a.bytes, off, len) && is_pattern(b.bytes, 0, 9));
        CHECK_ERR(0, sc_source_close_window(s, &a, &e));
        CHECK_ERR(0, sc_source_close_window(s, &b, &e));
        CHECK(!a.bytes && !sc_source_open_window(other, off, len, &a));
    }
    for (size_t i = 0; i < SC_COUNT(outside); i++)
        CHECK(!sc_source_open_window(s, outside[i][0], outside[i][1], &a) && !a.bytes);
    CHECK_ERR(0, sc_source_close_window(s, &a, &e)); /* there is none */
    sc_source_close(s);
    sc_source_close(other);
    scratch_remove();
}

TEST(window_on_a_file_that_shrank)
{
    enum { SIZE = 1 << 20, LEFT = 300 * 1024 + 5 };
    struct sc_source *s = NULL;
    struct sc_error e = {0};
    struct sc_window a, b;
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", SIZE) && chdir(scratch_root) == 0);
    REQUIRE(sc_file_open("f", NULL, &s, &e) == 0);
    REQUIRE(sc_source_open_window(s, 100, 5000, &a));
    REQUIRE(sc_source_open_window(s, 200 * 1024, SIZE - 200 * 1024, &b));
    REQUIRE(truncate("f", LEFT) == 0);
    CHECK(b.bytes[SIZE - 200 * 1024 - 1] == 0);
    CHECK(is_pattern(b.bytes, 200 * 1024, LEFT - 200 * 1024));
    CHECK(is_pattern(a.bytes, 100, 5000));
    CHECK_ERR(0, sc_source_close_window(s, &a, &e)); /* it is there to its end */
    CHECK_ERR(SCRUPLE_EIO, sc_source_close_window(s, &b, &e));
    CHECK_STR(e.text, "f: shrank from 1048576 to 307205 bytes while being read");
    CHECK(!sc_source_open_window(s, 0, 10, &a)); /* reading says why */
    REQUIRE(truncate("f", SIZE) == 0);
    CHECK_ERR(SCRUPLE_EIO, sc_source_check(s, &e));
    CHECK_STR(e.text, "f: has a part that cannot be read (disk error?)");
    sc_source_close(s);
    scratch_remove();
}

TEST(mapped_file_that_shrank_reads_as_zeros_and_says_so)
{
    enum { SIZE = 1 << 20, LEFT = 300 * 1024 + 5 };
    struct sc_source *s = NULL, *other = NULL;
    struct sc_error e = {0};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", SIZE) && scratch_pattern("other", SIZE) &&
            chdir(scratch_root) == 0);
    REQUIRE(sc_file_open("f", NULL, &s, &e) == 0 && sc_file_open("other", NULL, &other, &e) == 0);
    const uint8_t *p = sc_source_map(s, 0, SIZE), *o = sc_source_map(other, 100, SIZE - 100);
    REQUIRE(p != NULL && o != NULL);
    CHECK(is_pattern(p, 0, SIZE));
    CHECK_ERR(0, sc_source_check(s, &e));

    REQUIRE(truncate("f", LEFT) == 0);
    size_t last_page = sc_align_up(LEFT, page);
    CHECK(p[SIZE - 1] == 0); /* the last page first: the ones before it fault later */
    for (size_t i = last_page; i < SIZE; i += page)
        CHECK(p[i] == 0);
    CHECK(is_pattern(p, 0, LEFT));
    CHECK_ERR(SCRUPLE_EIO, sc_source_check(s, &e));
    CHECK_STR(e.text, "f: shrank from 1048576 to 307205 bytes while being read");

    /* Long again, but what was lost was seen as zeros. */
    REQUIRE(truncate("f", SIZE) == 0);
    CHECK_ERR(SCRUPLE_EIO, sc_source_check(s, &e));
    CHECK_STR(e.text, "f: has a part that cannot be read (disk error?)");

    CHECK(is_pattern(o, 100, SIZE - 100));
    CHECK_ERR(0, sc_source_check(other, &e));
    sc_source_close(s);
    sc_source_close(other);
    CHECK_ERR(0, chdir("/"));
    scratch_remove();
}

TEST(file_that_was_changed_is_noticed)
{
    struct sc_source *s = NULL;
    struct sc_error e = {0};
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", 100) && chdir(scratch_root) == 0);
    REQUIRE(sc_file_open("f", NULL, &s, &e) == 0);
    REQUIRE(sc_source_map(s, 0, 100) != NULL);
    CHECK_ERR(0, sc_source_check(s, &e));
    struct timespec times[2] = {{1000, 0}, {1000, 5}};
    REQUIRE(utimensat(AT_FDCWD, "f", times, 0) == 0);
    CHECK_ERR(SCRUPLE_EIO, sc_source_check(s, &e));
    CHECK_STR(e.text, "f: was changed while being read");
    sc_source_close(s);

    REQUIRE(sc_file_open("f", NULL, &s, &e) == 0);
    REQUIRE(truncate("f", 200) == 0);
    CHECK_ERR(SCRUPLE_EIO, sc_source_check(s, &e));
    CHECK_STR(e.text, "f: was changed while being read");
    sc_source_close(s);
    CHECK_ERR(0, chdir("/"));
    scratch_remove();
}

TEST(file_maps_only_when_it_may)
{
    struct sc_source *s = NULL;
    const struct sc_file_options no_map = {.no_map = true};
    uint8_t got[100];
    REQUIRE(scratch_new());
    REQUIRE(scratch_pattern("f", 100));
    REQUIRE(sc_file_open(scratch_at("f"), &no_map, &s, NULL) == 0);
    CHECK(sc_source_map(s, 0, 100) == NULL);
    CHECK_ERR(0, sc_source_read(s, 0, got, 100, NULL));
    sc_source_close(s);

    int slots[SC_GUARD_SLOTS];
    static uint8_t somewhere[1];
    for (size_t i = 0; i < SC_GUARD_SLOTS; i++) {
        slots[i] = sc_guard_add(somewhere, 1);
        CHECK(slots[i] >= 0);
    }
    CHECK(sc_guard_add(somewhere, 1) == -1);
    REQUIRE(sc_file_open(scratch_at("f"), NULL, &s, NULL) == 0);
    CHECK(sc_source_map(s, 0, 100) == NULL);
    CHECK_ERR(0, sc_source_read(s, 0, got, 100, NULL));
    CHECK(is_pattern(got, 0, 100));
    sc_source_close(s);
    for (size_t i = 0; i < SC_GUARD_SLOTS; i++)
        sc_guard_remove(slots[i]);
    REQUIRE(sc_file_open(scratch_at("f"), NULL, &s, NULL) == 0);
    CHECK(sc_source_map(s, 0, 100) != NULL);
    sc_source_close(s);
    scratch_remove();
}

/* ThreadSanitizer takes the mmap() of a repair for a write to the pages that others read. */
#if defined(__SANITIZE_THREAD__)
#define SC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SC_TSAN 1
#endif
#endif
#ifdef SC_TSAN
enum { MEET_MISSING_PAGES = 0 };
#else
enum { MEET_MISSING_PAGES = 1 };
#endif

struct mapper {
    struct sc_source *source;
    const uint8_t *seen;
    bool same;
};

static void *map_and_touch(void *arg)
{
    struct mapper *m = arg;
    m->seen = sc_source_map(m->source, 0, 1);
    m->same = m->seen != NULL;
    for (size_t i = 0; m->seen && i < m->source->size; i += 512)
        m->same = m->same && (m->seen[i] == pattern_at(i) || m->seen[i] == 0);
    return NULL;
}

TEST(threads_share_one_mapping)
{
    enum { THREADS = 4, SIZE = 1 << 18 };
    struct sc_source *s = NULL;
    REQUIRE(scratch_new());
    for (int round = 0; round < 10; round++) {
        struct mapper m[THREADS];
        pthread_t t[THREADS];
        REQUIRE(scratch_pattern("f", SIZE));
        REQUIRE(sc_file_open(scratch_at("f"), NULL, &s, NULL) == 0);
        bool cut = MEET_MISSING_PAGES && round % 2;
        if (cut) {
            REQUIRE(sc_source_map(s, 0, 1) != NULL);
            REQUIRE(truncate(scratch_at("f"), 5000) == 0);
        }
        for (size_t i = 0; i < THREADS; i++) {
            m[i] = (struct mapper){.source = s};
            REQUIRE(pthread_create(&t[i], NULL, map_and_touch, &m[i]) == 0);
        }
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(t[i], NULL);
        for (size_t i = 0; i < THREADS; i++)
            CHECK(m[i].same && m[i].seen == m[0].seen);
        CHECK_ERR(cut ? SCRUPLE_EIO : 0, sc_source_check(s, NULL));
        sc_source_close(s);
    }
    scratch_remove();
}

/* ------------------------------------------------------------------------ memory and layers --- */

TEST(memory_source)
{
    uint8_t bytes[64], got[64];
    struct sc_source *s = NULL;
    fill_pattern(bytes, 0, sizeof bytes);
    REQUIRE(sc_memory_open(bytes, sizeof bytes, "bytes", &s, NULL) == 0);
    CHECK_U64(s->size, 64);
    CHECK_ERR(0, sc_source_read(s, 10, got, 54, NULL));
    CHECK(is_pattern(got, 10, 54));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_source_read(s, 10, got, 55, NULL));
    CHECK(sc_source_map(s, 3, 4) == bytes + 3);
    CHECK_ERR(0, sc_source_check(s, NULL));
    sc_source_close(s);
    REQUIRE(sc_memory_open(NULL, 0, "nothing", &s, NULL) == 0);
    CHECK_ERR(0, sc_source_read(s, 0, got, 0, NULL));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_source_read(s, 0, got, 1, NULL));
    sc_source_close(s);
    sc_source_close(NULL);
}

struct seen_reads {
    unsigned n;
    uint64_t off[8];
    size_t len[8];
};

static void note_read(void *ctx, const char *name, uint64_t off, size_t len)
{
    struct seen_reads *seen = ctx;
    CHECK_STR(name, "bytes");
    if (seen->n < 8) {
        seen->off[seen->n] = off;
        seen->len[seen->n] = len;
    }
    seen->n++;
}

TEST(count_adds_up_and_logs)
{
    uint8_t bytes[64] = {0}, got[64];
    struct seen_reads seen = {0};
    struct sc_io io = {.log = note_read, .log_ctx = &seen};
    struct sc_source *s = NULL;
    REQUIRE(sc_memory_open(bytes, sizeof bytes, "bytes", &s, NULL) == 0);
    REQUIRE(sc_source_count(s, &io, &s, NULL) == 0);
    CHECK_U64(s->size, 64);
    CHECK_ERR(0, sc_source_read(s, 8, got, 16, NULL));
    CHECK_ERR(0, sc_source_read(s, 0, got, 64, NULL));
    CHECK_ERR(0, sc_source_read(s, 0, got, 0, NULL));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_source_read(s, 0, got, 65, NULL));
    CHECK(sc_source_map(s, 5, 5) == bytes + 5);
    CHECK_ERR(0, sc_source_check(s, NULL));
    CHECK_U64(io.bytes_read, 80);
    CHECK_U64(io.requests, 2);
    CHECK_U64(seen.n, 2);
    CHECK(seen.off[0] == 8 && seen.len[0] == 16 && seen.off[1] == 0 && seen.len[1] == 64);
    sc_source_close(s);
}

TEST(fault_hits_the_kth_read)
{
    uint8_t bytes[64] = {0}, got[4];
    for (uint64_t k = 0; k < 6; k++)
        for (int sticky = 0; sticky < 2; sticky++) {
            struct sc_fault plan = {.fail_at = k, .sticky = sticky != 0};
            struct sc_io io = {0};
            struct sc_source *s = NULL;
            struct sc_error e = {0};
            REQUIRE(sc_memory_open(bytes, sizeof bytes, "bytes", &s, NULL) == 0);
            REQUIRE(sc_source_fault(s, &plan, &s, NULL) == 0);
            REQUIRE(sc_source_count(s, &io, &s, NULL) == 0);
            CHECK(sc_source_map(s, 0, 4) == NULL);
            for (uint64_t i = 0; i < 5; i++) {
                bool fails = i == k || (sticky && i > k);
                CHECK_ERR(fails ? SCRUPLE_EIO : 0, sc_source_read(s, i, got, 4, &e));
            }
            CHECK(plan.fired == (k < 5));
            CHECK_U64(plan.reads, 5);
            CHECK_U64(io.requests, 5);
            CHECK_U64(io.bytes_read, 4 * (k >= 5 ? 5 : sticky ? k : 4));
            if (k == 2 && !sticky)
                CHECK_STR(e.text, "bytes: injected fault in read 2 (4 bytes at 2)");
            sc_source_close(s);
        }
}
