/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of files on disk: what was kept comes back, what was damaged does not, whoever else writes,
 * whoever is killed, whatever the disk says. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <libdeflate.h>

#include "hub/cache.h"
#include "scratch.h"

#define ETAG   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SIZE   ((uint64_t)3 << 20)
#define HEADER (28 + 64 + 4) /* of the log */

static struct sc_hub_env env;
static char cache[600];

static bool begin(void)
{
    if (!scratch_new())
        return false;
    snprintf(cache, sizeof cache, "%s/cache", scratch_root);
    env.cache = cache;
    return true;
}

static struct sc_ranges *open_size(uint64_t size)
{
    return sc_ranges_open(&env, ETAG, size, true);
}

static void save(struct sc_ranges *r, uint64_t off, size_t n)
{
    uint8_t *p = malloc(n);
    fill_pattern(p, off, n);
    sc_ranges_save(r, off, p, n);
    free(p);
}

/* As a download does: into `data`, whatever the size. */
static void write_down(struct sc_ranges *r, uint64_t off, size_t n)
{
    uint8_t *p = malloc(n);
    fill_pattern(p, off, n);
    CHECK(sc_ranges_write(r, off, p, n) && sc_ranges_record(r, off, n, libdeflate_crc32(0, p, n)));
    free(p);
}

/* How many bytes come back at off; fails the test when one of them is wrong. */
static size_t load(struct sc_ranges *r, uint64_t off, size_t n)
{
    uint8_t *p = malloc(n);
    size_t got = sc_ranges_load(r, off, p, n);
    CHECK(got <= n && is_pattern(p, off, got));
    free(p);
    return got;
}

static const char *in_range(const char *name)
{
    static char path[8][1024];
    static unsigned next;
    char *p = path[next++ % 8];
    snprintf(p, sizeof path[0], "%s/ranges/" ETAG ".%s", cache, name);
    return p;
}

/* ------------------------------------------------------------------------------------ plain --- */
TEST(nothing_without_a_cache)
{
    struct sc_hub_env none = {0};
    uint64_t off, len;
    char c;
    CHECK(sc_ranges_open(&none, ETAG, 10, true) == NULL);
    sc_ranges_close(NULL);
    CHECK_U64(sc_ranges_load(NULL, 0, &c, 1), 0);
    sc_ranges_save(NULL, 0, &c, 1);
    CHECK_U64(sc_ranges_have(NULL, 0, 10), 0);
    CHECK(sc_ranges_gap(NULL, 2, 9, &off, &len) && off == 2 && len == 7);
    sc_ranges_refresh(NULL);
    CHECK(!sc_ranges_write(NULL, 0, &c, 1));
    CHECK(!sc_ranges_record(NULL, 0, 1, 0));
    CHECK(sc_ranges_fd(NULL) < 0);
    CHECK(sc_ranges_error(NULL) == 0);
    sc_ranges_name(NULL, "x");
    sc_ranges_remove(NULL);
}

TEST(kept_and_found_again)
{
    uint64_t off, len;
    REQUIRE(begin());
    CHECK(sc_ranges_open(&env, ETAG, SIZE, false) == NULL);
    struct sc_ranges *r = open_size(SIZE);
    REQUIRE(r != NULL);
    save(r, 1000, 500);
    save(r, 2000, 100);
    save(r, 1400, 700); /* covers the end of one, the gap, and the other */
    CHECK_U64(load(r, 1000, 4000), 1100);
    CHECK_U64(load(r, 999, 10), 0);
    CHECK_U64(load(r, 2099, 10), 1);
    CHECK_U64(sc_ranges_have(r, 0, SIZE), 1100);
    CHECK(sc_ranges_gap(r, 0, SIZE, &off, &len) && off == 0 && len == 1000);
    CHECK(sc_ranges_gap(r, 1000, SIZE, &off, &len) && off == 2100 && len == SIZE - 2100);
    CHECK(!sc_ranges_gap(r, 1000, 2100, &off, &len));
    CHECK(sc_ranges_error(r) == 0);
    sc_ranges_close(r);

    r = sc_ranges_open(&env, ETAG, SIZE, false);
    REQUIRE(r != NULL);
    CHECK_U64(load(r, 1000, 4000), 1100);
    CHECK_U64(load(r, 1450, 100), 100);
    sc_ranges_close(r);
    CHECK(access(scratch_at("cache/CACHEDIR.TAG"), R_OK) == 0);
    scratch_remove();
}

TEST(beyond_the_end_nothing_is_kept)
{
    REQUIRE(begin());
    struct sc_ranges *r = open_size(100);
    save(r, 90, 11);
    sc_ranges_save(r, UINT64_MAX - 2, "abcd", 4);
    CHECK_U64(sc_ranges_have(r, 0, UINT64_MAX), 0);
    CHECK(!sc_ranges_record(r, 99, 2, 0));
    CHECK(!sc_ranges_record(r, UINT64_MAX, 2, 0));
    CHECK(!sc_ranges_record(r, 5, 0, 0));
    save(r, 0, 100);
    CHECK_U64(load(r, 0, 100), 100);
    sc_ranges_close(r);
    scratch_remove();
}

TEST(large_saves_are_units_of_a_mebibyte)
{
    REQUIRE(begin());
    struct stat st;
    struct sc_ranges *r = open_size(SIZE);
    save(r, 100, SIZE - 100);
    CHECK(stat(in_range("map"), &st) == 0);
    CHECK_U64(st.st_size, HEADER + 3 * 24);
    sc_ranges_close(r);
    r = open_size(SIZE);
    CHECK_U64(load(r, 100, SIZE - 100), SIZE - 100);
    sc_ranges_close(r);
    scratch_remove();
}

TEST(any_etag_has_a_place)
{
    REQUIRE(begin());
    static const char *const etags[] = {"../../../etc/passwd", "W/\"1\"", "\n", "a"};
    struct sc_ranges *r[4];
    for (size_t i = 0; i < 4; i++) {
        r[i] = sc_ranges_open(&env, etags[i], 1000, true);
        REQUIRE(r[i] != NULL);
        CHECK(strstr(sc_ranges_path(r[i]), "..") == NULL);
        CHECK(strlen(strrchr(sc_ranges_path(r[i]), '/')) == 65);
        sc_ranges_save(r[i], i, "abcd", 4);
    }
    for (size_t i = 0; i < 4; i++) {
        CHECK_U64(sc_ranges_have(r[i], 0, 1000), 4);
        sc_ranges_close(r[i]);
    }
    char *long_one = calloc(1, 5000);
    memset(long_one, 'a', 4999);
    CHECK(sc_ranges_open(&env, long_one, 10, true) == NULL);
    CHECK(sc_ranges_open(&env, "", 10, true) == NULL);
    CHECK(sc_ranges_open(&env, "a", UINT64_MAX, true) == NULL);
    free(long_one);
    scratch_remove();
}

TEST(a_download_records_what_it_wrote)
{
    REQUIRE(begin());
    uint8_t p[1000];
    fill_pattern(p, 500, sizeof p);
    struct sc_ranges *r = open_size(SIZE);
    CHECK(sc_ranges_write(r, 500, p, 600));
    CHECK(sc_ranges_write(r, 1100, p + 600, 400));
    CHECK_U64(sc_ranges_have(r, 0, SIZE), 0);
    CHECK(sc_ranges_record(r, 500, 1000, libdeflate_crc32(0, p, 1000)));
    CHECK_U64(sc_ranges_have(r, 0, SIZE), 1000);
    int fd = sc_ranges_fd(r);
    uint8_t q[1000];
    CHECK(fd >= 0 && pread(fd, q, 1000, 500) == 1000 && memcmp(p, q, 1000) == 0);
    sc_ranges_close(r);
    r = open_size(SIZE);
    CHECK_U64(load(r, 500, 2000), 1000);
    CHECK(sc_ranges_record(r, 5000, 10, 1)); /* whose bytes were never written */
    sc_ranges_close(r);
    r = open_size(SIZE);
    CHECK_U64(load(r, 5000, 10), 0);
    sc_ranges_close(r);
    scratch_remove();
}

TEST(the_name_stays)
{
    REQUIRE(begin());
    struct sc_ranges *r = open_size(10);
    CHECK(sc_ranges_name_of(r) == NULL && sc_ranges_name_of(NULL) == NULL);
    sc_ranges_name(r, "org/name/a.gguf");
    sc_ranges_name(r, "other/name/b.gguf");
    CHECK_STR(sc_ranges_name_of(r), "org/name/a.gguf");
    save(r, 0, 10);
    sc_ranges_close(r);
    r = open_size(10);
    sc_ranges_name(r, "other/name/b.gguf");
    CHECK_STR(sc_ranges_name_of(r), "org/name/a.gguf");
    CHECK_U64(load(r, 0, 10), 10);
    CHECK(sc_ranges_rewrite(r));
    sc_ranges_close(r);
    r = open_size(10);
    CHECK_STR(sc_ranges_name_of(r), "org/name/a.gguf");
    CHECK_U64(load(r, 0, 10), 10);
    sc_ranges_close(r);
    scratch_remove();
}

TEST(small_parts_take_one_file)
{
    REQUIRE(begin());
    struct sc_ranges *r = open_size(SIZE);
    save(r, 0, 90000);
    save(r, 90000, 10);
    CHECK(access(in_range("data"), F_OK) != 0);
    sc_ranges_close(r);
    r = open_size(SIZE);
    CHECK_U64(load(r, 100, SIZE - 100), 90010 - 100);
    save(r, 100000, 300 << 10);
    CHECK(access(in_range("data"), F_OK) == 0);
    CHECK_U64(load(r, 100000, SIZE - 100000), 300 << 10);
    sc_ranges_close(r);
    r = open_size(SIZE);
    CHECK_U64(sc_ranges_have(r, 0, SIZE), 90010 + (300 << 10));
    CHECK_U64(load(r, 0, SIZE), 90010);
    sc_ranges_close(r);
    scratch_remove();
}

/* What a download moves away must be whole, whatever others put into the log meanwhile. */
TEST(a_download_gathers_all_in_one_file)
{
    REQUIRE(begin());
    uint64_t off, len;
    struct sc_ranges *r = open_size(300), *other = open_size(300);
    save(r, 0, 100);
    save(r, 50, 100);
    sc_ranges_close(r);
    r = open_size(300);
    CHECK(sc_ranges_gather(r));
    save(other, 200, 100);
    sc_ranges_refresh(r);
    sc_ranges_refresh(other);
    CHECK_U64(sc_ranges_have(other, 0, 300), 250);
    CHECK_U64(sc_ranges_have(r, 0, 300), 150);
    CHECK(sc_ranges_gap(r, 0, 300, &off, &len) && off == 150 && len == 150);
    save(r, 150, 150);
    uint8_t p[300];
    int fd = sc_ranges_fd(r);
    CHECK(fd >= 0 && pread(fd, p, 300, 0) == 300 && is_pattern(p, 0, 300));
    CHECK(!sc_ranges_touched(r));
    sc_ranges_close(r);
    sc_ranges_close(other);

    CHECK(sc_ranges_erase(scratch_at("cache/ranges/" ETAG)));
    r = open_size(300);
    CHECK(sc_ranges_gather(r) && access(in_range("data"), F_OK) == 0); /* though it is empty */
    CHECK(!sc_ranges_gather(NULL));
    sc_ranges_close(r);
    scratch_remove();
}

TEST(removed_is_gone_for_all)
{
    REQUIRE(begin());
    struct sc_ranges *a = open_size(SIZE), *b = open_size(SIZE);
    save(a, 0, 1000);
    sc_ranges_refresh(b);
    CHECK_U64(sc_ranges_have(b, 0, 1000), 1000);
    sc_ranges_remove(a);
    CHECK(access(sc_ranges_path(a), F_OK) != 0);
    CHECK_U64(load(a, 0, 10), 0);
    save(b, 5000, 10); /* the folder is gone: nothing is kept, nothing fails */
    CHECK(access(sc_ranges_path(b), F_OK) != 0);
    sc_ranges_close(a);
    sc_ranges_close(b);
    struct sc_ranges *c = open_size(SIZE);
    CHECK_U64(sc_ranges_have(c, 0, SIZE), 0);
    sc_ranges_close(c);
    scratch_remove();
}

/* ---------------------------------------------------------------------------------- damage --- */
static void flip(const char *path, off_t at, uint8_t bits)
{
    uint8_t c = 0;
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0 && pread(fd, &c, 1, at) == 1);
    c ^= bits;
    CHECK(pwrite(fd, &c, 1, at) == 1);
    close(fd);
}

/* Loading gives right bytes or none; afterwards everything can be saved and found again. */
static void check_recovery(uint64_t size)
{
    struct sc_ranges *r = open_size(size);
    REQUIRE(r != NULL);
    for (uint64_t at = 0; at < size; at += 100)
        load(r, at, (size_t)SC_MIN(100, size - at));
    save(r, 0, (size_t)size);
    CHECK_U64(load(r, 0, (size_t)size), size);
    sc_ranges_close(r);
    r = open_size(size);
    CHECK_U64(load(r, 0, (size_t)size), size);
    sc_ranges_close(r);
}

TEST(every_flipped_bit_in_the_data)
{
    REQUIRE(begin());
    struct sc_ranges *r = open_size(300);
    write_down(r, 0, 100);
    write_down(r, 100, 100);
    write_down(r, 200, 100);
    sc_ranges_close(r);
    for (int bit = 0; bit < 300 * 8; bit++) {
        flip(in_range("data"), bit / 8, (uint8_t)(1u << bit % 8));
        r = open_size(300);
        size_t want = (size_t)(bit / 8 / 100) * 100;
        CHECK_U64(load(r, 0, 300), want);
        CHECK_U64(load(r, want, 1), 0);
        CHECK_U64(sc_ranges_have(r, 0, 300), 200);
        sc_ranges_close(r);
        flip(in_range("data"), bit / 8, (uint8_t)(1u << bit % 8));
    }
    flip(in_range("data"), 150, 1);
    check_recovery(300);
    scratch_remove();
}

TEST(every_flipped_byte_in_the_map)
{
    REQUIRE(begin());
    struct stat st;
    struct sc_ranges *r = open_size(300);
    write_down(r, 0, 100);
    write_down(r, 100, 100);
    write_down(r, 200, 100);
    sc_ranges_close(r);
    size_t n = 0;
    char *good = sc_read_file(in_range("map"), 4096, &n);
    REQUIRE(good && n == HEADER + 3 * 24);
    for (size_t at = 0; at < n; at++) {
        for (unsigned bits = 1; bits < 256; bits = bits * 2 + (bits == 64)) {
            CHECK(stat(in_range("map"), &st) == 0);
            int fd = open(in_range("map"), O_WRONLY | O_TRUNC);
            CHECK(write(fd, good, n) == (ssize_t)n);
            close(fd);
            flip(in_range("map"), (off_t)at, (uint8_t)bits);
            r = sc_ranges_open(&env, ETAG, 300, false);
            CHECK((r != NULL) == (at >= HEADER)); /* without its header it is nothing */
            CHECK_U64(sc_ranges_have(r, 0, 300), at < HEADER ? 0 : 200);
            sc_ranges_close(r);
            check_recovery(300);
        }
    }
    free(good);
    scratch_remove();
}

TEST(every_torn_tail_of_the_map)
{
    REQUIRE(begin());
    struct sc_ranges *r = open_size(300);
    write_down(r, 0, 100);
    write_down(r, 100, 100);
    write_down(r, 200, 100);
    sc_ranges_close(r);
    size_t n = 0;
    char *good = sc_read_file(in_range("map"), 4096, &n);
    REQUIRE(good != NULL);
    for (size_t cut = 0; cut < n; cut++) {
        int fd = open(in_range("map"), O_WRONLY | O_TRUNC);
        CHECK(write(fd, good, cut) == (ssize_t)cut);
        close(fd);
        r = sc_ranges_open(&env, ETAG, 300, false);
        CHECK_U64(sc_ranges_have(r, 0, 300), cut < HEADER ? 0 : (cut - HEADER) / 24 * 100);
        sc_ranges_close(r);
        check_recovery(300);
    }
    free(good);
    scratch_remove();
}

/* The log of three parts of 100 bytes, which carries them. */
static char *carried_map(size_t *n)
{
    struct sc_ranges *r = open_size(300);
    save(r, 0, 100);
    save(r, 100, 100);
    save(r, 200, 100);
    sc_ranges_close(r);
    return sc_read_file(in_range("map"), 4096, n);
}

static void put_map(const char *p, size_t n)
{
    int fd = open(in_range("map"), O_WRONLY | O_TRUNC);
    CHECK(write(fd, p, n) == (ssize_t)n);
    close(fd);
}

TEST(every_flipped_byte_of_a_map_with_bytes)
{
    REQUIRE(begin());
    size_t n = 0;
    char *good = carried_map(&n);
    REQUIRE(good && n == HEADER + 3 * 124);
    for (size_t at = HEADER; at < n; at++) {
        put_map(good, n);
        flip(in_range("map"), (off_t)at, (uint8_t)(1u << at % 8));
        struct sc_ranges *r = open_size(300);
        for (uint64_t i = 0; i < 3; i++)
            CHECK_U64(load(r, i * 100, 100), (at - HEADER) / 124 == i ? 0 : 100);
        CHECK_U64(sc_ranges_have(r, 0, 300), 200);
        sc_ranges_close(r);
        check_recovery(300);
    }
    free(good);
    scratch_remove();
}

TEST(every_torn_tail_of_a_map_with_bytes)
{
    REQUIRE(begin());
    size_t n = 0;
    char *good = carried_map(&n);
    REQUIRE(good != NULL);
    for (size_t cut = HEADER; cut < n; cut++) {
        const size_t whole = (cut - HEADER) / 124 * 100;
        put_map(good, cut);
        struct sc_ranges *r = open_size(300), *other = open_size(300);
        CHECK_U64(sc_ranges_have(r, 0, 300), whole);
        save(other, 299, 1); /* shorter than what is missing */
        sc_ranges_refresh(r);
        CHECK_U64(sc_ranges_have(r, 0, 300), whole + 1);
        sc_ranges_close(other);
        sc_ranges_close(r);
        r = open_size(300);
        CHECK_U64(load(r, 0, 299), whole);
        CHECK_U64(load(r, 299, 1), 1);
        sc_ranges_close(r);
        check_recovery(300);
    }
    free(good);
    scratch_remove();
}

/* A reader may see a part that is still being written, and later all of it. */
TEST(a_write_seen_half_way)
{
    REQUIRE(begin());
    size_t n = 0;
    uint64_t junk;
    char *good = carried_map(&n);
    REQUIRE(good != NULL);
    for (size_t cut = HEADER; cut < n; cut++) {
        put_map(good, cut);
        struct sc_ranges *r = open_size(300);
        int fd = open(in_range("map"), O_WRONLY | O_APPEND);
        CHECK(write(fd, good + cut, n - cut) == (ssize_t)(n - cut));
        close(fd);
        sc_ranges_refresh(r);
        CHECK_U64(sc_ranges_check(r, &junk, NULL, NULL), 0);
        CHECK_U64(junk, 0);
        CHECK_U64(load(r, 0, 300), 300);
        sc_ranges_close(r);
    }
    free(good);
    scratch_remove();
}

/* The bytes of a part can look like a record only of another log, for nobody knows the salt. */
TEST(bytes_that_look_like_a_record)
{
    REQUIRE(begin());
    size_t n = 0;
    char *good = carried_map(&n);
    REQUIRE(good != NULL);
    struct sc_ranges *r = open_size(300);
    sc_ranges_remove(r);
    sc_ranges_close(r);
    r = open_size(300);
    sc_ranges_save(r, 0, good + HEADER, 124); /* a record for 0..100, and these bytes */
    sc_ranges_close(r);
    free(good);
    good = sc_read_file(in_range("map"), 4096, &n);
    REQUIRE(good != NULL);
    put_map(good, n - 1); /* its last byte was not written: it is looked into */
    r = open_size(300);
    CHECK_U64(sc_ranges_have(r, 0, 300), 0);
    sc_ranges_close(r);
    free(good);
    scratch_remove();
}

TEST(what_is_no_map_is_absent)
{
    REQUIRE(begin());
    struct sc_ranges *r = open_size(300);
    save(r, 0, 300);
    sc_ranges_close(r);
    CHECK(sc_ranges_open(&env, ETAG, 299, false) == NULL); /* another size */
    unlink(in_range("map"));
    CHECK(mkdir(in_range("map"), 0700) == 0);
    CHECK(sc_ranges_open(&env, ETAG, 300, true) == NULL);
    rmdir(in_range("map"));
    CHECK(mkfifo(in_range("map"), 0600) == 0);
    CHECK(sc_ranges_open(&env, ETAG, 300, true) == NULL);
    unlink(in_range("map"));
    CHECK(symlink("/etc/passwd", in_range("map")) == 0);
    CHECK(sc_ranges_open(&env, ETAG, 300, true) == NULL);
    unlink(in_range("map"));
    check_recovery(300);
    unlink(in_range("map"));
    r = open_size(300);
    write_down(r, 0, 200);
    save(r, 200, 50);
    sc_ranges_close(r);
    unlink(in_range("data"));
    r = open_size(300);
    CHECK_U64(load(r, 0, 200), 0);
    CHECK_U64(load(r, 200, 100), 50);
    sc_ranges_close(r);
    check_recovery(300);
    scratch_remove();
}

TEST(another_size_leaves_no_tail)
{
    REQUIRE(begin());
    struct stat st;
    struct sc_ranges *r = open_size(300);
    write_down(r, 0, 300);
    sc_ranges_close(r);
    check_recovery(200);
    r = open_size(200);
    CHECK(sc_ranges_gather(r));
    sc_ranges_close(r);
    CHECK(stat(in_range("data"), &st) == 0);
    CHECK_U64(st.st_size, 200);
    scratch_remove();
}

TEST(a_check_finds_and_rewrites)
{
    REQUIRE(begin());
    struct sc_ranges *r = open_size(300);
    write_down(r, 0, 100);
    write_down(r, 100, 100);
    save(r, 200, 100);
    sc_ranges_close(r);
    flip(in_range("data"), 150, 1);
    int fd = open(in_range("map"), O_WRONLY | O_APPEND);
    CHECK(write(fd, "torn record, and more than one", 30) == 30);
    close(fd);
    CHECK(sc_ranges_open_stem(cache) == NULL);
    r = sc_ranges_open_stem(scratch_at("cache/ranges/" ETAG));
    REQUIRE(r != NULL);
    uint64_t junk = 0;
    CHECK_U64(sc_ranges_size(r), 300);
    CHECK_U64(sc_ranges_check(r, &junk, NULL, NULL), 100);
    CHECK(junk > 0);
    CHECK(sc_ranges_rewrite(r));
    sc_ranges_close(r);
    r = open_size(300);
    CHECK_U64(sc_ranges_have(r, 0, 300), 200);
    CHECK_U64(sc_ranges_check(r, &junk, NULL, NULL), 0);
    CHECK_U64(junk, 0);
    CHECK_U64(load(r, 200, 100), 100);
    sc_ranges_close(r);
    check_recovery(300);
    scratch_remove();
}

/* Whoever reads the log at once, and whoever reads each record as it comes, see the same. */
TEST(the_order_of_reading_does_not_matter)
{
    uint8_t whole[4096];
    uint32_t seed = 1;
    REQUIRE(begin());
    fill_pattern(whole, 0, sizeof whole);
    for (unsigned round = 0; round < 30; round++) {
        struct sc_ranges *w = open_size(sizeof whole), *one = open_size(sizeof whole);
        REQUIRE(w && one);
        CHECK(sc_ranges_write(w, 0, whole, sizeof whole));
        for (unsigned i = 0; i < 300; i++) {
            seed = seed * 1664525 + 1013904223;
            uint64_t off = (seed >> 8) % 4000, len = 1 + (seed >> 20) % (i % 8 ? 40 : 90);
            uint32_t crc = seed % 5 ? libdeflate_crc32(0, whole + off, len) : seed;
            CHECK(sc_ranges_record(w, off, len, crc));
            sc_ranges_refresh(one);
        }
        struct sc_ranges *all = open_size(sizeof whole);
        uint64_t off[3] = {0}, len[3] = {0};
        for (uint64_t at = 0; at < sizeof whole; at++) {
            bool gap = sc_ranges_gap(one, at, sizeof whole, &off[0], &len[0]);
            CHECK(sc_ranges_gap(all, at, sizeof whole, &off[1], &len[1]) == gap);
            CHECK(sc_ranges_gap(w, at, sizeof whole, &off[2], &len[2]) == gap);
            CHECK(off[0] == off[1] && len[0] == len[1] && off[0] == off[2] && len[0] == len[2]);
        }
        uint64_t junk;
        sc_ranges_check(one, &junk, NULL, NULL);
        sc_ranges_check(all, &junk, NULL, NULL);
        for (uint64_t at = 0; at < sizeof whole; at += 3) {
            size_t n = load(one, at, sizeof whole - at);
            CHECK_U64(load(all, at, sizeof whole - at), n);
        }
        sc_ranges_remove(w);
        sc_ranges_close(w);
        sc_ranges_close(one);
        sc_ranges_close(all);
    }
    scratch_remove();
}

/* A million records in the worst order; by insertion this would take minutes. */
TEST(a_long_log_is_read)
{
    REQUIRE(begin());
    enum { RECORDS = 1000000 };
    struct sc_ranges *r = open_size((uint64_t)RECORDS * 2);
    CHECK(sc_ranges_gather(r));
    sc_ranges_close(r);
    uint8_t *p = malloc((size_t)RECORDS * 24);
    char *head = sc_read_file(in_range("map"), 4096, NULL);
    REQUIRE(p != NULL && head != NULL);
    const uint32_t salt = sc_le32((const uint8_t *)head + 24);
    free(head);
    for (size_t i = 0; i < RECORDS; i++) {
        uint64_t v[2] = {(uint64_t)(RECORDS - 1 - i) * 2, 1 + i % 2};
        for (size_t k = 0; k < 16; k++)
            p[i * 24 + k] = (uint8_t)(v[k / 8] >> (k % 8 * 8));
        memset(p + i * 24 + 16, 0, 4);
        uint32_t crc = libdeflate_crc32(salt, p + i * 24, 20);
        for (size_t k = 0; k < 4; k++)
            p[i * 24 + 20 + k] = (uint8_t)(crc >> (8 * k));
    }
    int fd = open(in_range("map"), O_WRONLY | O_APPEND);
    CHECK(write(fd, p, (size_t)RECORDS * 24) == (ssize_t)RECORDS * 24);
    close(fd);
    free(p);
    r = open_size((uint64_t)RECORDS * 2);
    CHECK_U64(sc_ranges_have(r, 0, RECORDS * 2), RECORDS + RECORDS / 2);
    sc_ranges_close(r);
    scratch_remove();
}

/* ---------------------------------------------------------------------------------- a crowd --- */
#define PIECE 1000

static void *save_some(void *arg)
{
    struct sc_ranges *r = arg;
    static _Atomic unsigned next;
    unsigned id = next++;
    for (unsigned i = 0; i < 200; i++) {
        unsigned k = i % 2 ? i : (i * 8 + id) % 1600; /* some are the same for all */
        save(r, (uint64_t)k * PIECE, PIECE + 300);
        load(r, (uint64_t)(k ^ 1) * PIECE, 2 * PIECE);
        if (i % 50 == 0)
            sc_ranges_refresh(r);
    }
    return NULL;
}

TEST(eight_threads)
{
    REQUIRE(begin());
    struct sc_ranges *r = open_size(SIZE);
    pthread_t t[8];
    for (int i = 0; i < 8; i++)
        REQUIRE(pthread_create(&t[i], NULL, save_some, r) == 0);
    for (int i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
    uint64_t have = sc_ranges_have(r, 0, SIZE), junk;
    sc_ranges_close(r);
    r = open_size(SIZE);
    CHECK(have > 200 * PIECE);
    CHECK_U64(sc_ranges_have(r, 0, SIZE), have);
    CHECK_U64(sc_ranges_check(r, &junk, NULL, NULL), 0);
    CHECK_U64(junk, 0);
    for (unsigned k = 1; k < 200; k += 2)
        CHECK_U64(load(r, k * PIECE, PIECE), PIECE);
    sc_ranges_close(r);
    scratch_remove();
}

static pid_t start_child(void (*body)(void *), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        test_bad = 0;
        body(arg);
        _exit(test_bad ? 1 : 0);
    }
    return pid;
}

static int wait_child(pid_t pid)
{
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static void child_saves(void *arg)
{
    unsigned id = *(unsigned *)arg;
    struct sc_ranges *r = open_size(SIZE);
    REQUIRE(r != NULL);
    for (unsigned i = 0; i < 400; i++) {
        unsigned k = i % 4 == 0 ? i : i * 4 % 1600 + id;
        save(r, (uint64_t)k * PIECE, PIECE);
        CHECK_U64(load(r, (uint64_t)k * PIECE, PIECE), PIECE);
    }
    sc_ranges_close(r);
}

TEST(four_processes)
{
    REQUIRE(begin());
    pid_t pid[4];
    unsigned id[4] = {0, 1, 2, 3};
    for (int i = 0; i < 4; i++)
        pid[i] = start_child(child_saves, &id[i]);
    for (int i = 0; i < 4; i++)
        CHECK(wait_child(pid[i]) == 0);
    struct sc_ranges *r = open_size(SIZE);
    uint64_t junk;
    CHECK_U64(sc_ranges_check(r, &junk, NULL, NULL), 0);
    CHECK_U64(junk, 0);
    CHECK(sc_ranges_have(r, 0, SIZE) >= 1200 * PIECE);
    sc_ranges_close(r);
    scratch_remove();
}

static void child_saves_for_ever(void *arg)
{
    unsigned seed = *(unsigned *)arg;
    struct sc_ranges *r = open_size(SIZE);
    for (unsigned i = 0; r; i++) {
        seed = seed * 1664525 + 1013904223;
        save(r, (seed >> 8) % (SIZE - 70000), 1 + (seed >> 4) % 60000);
        if (i % 16 == 15) {
            sc_ranges_remove(r);
            sc_ranges_close(r);
            r = open_size(SIZE);
        }
    }
}

TEST(killed_at_any_moment)
{
    REQUIRE(begin());
    for (unsigned i = 0; i < 200; i++) {
        pid_t pid = start_child(child_saves_for_ever, &i);
        nanosleep(&(struct timespec){.tv_nsec = 200000 + (long)(i * 7919 % 4000) * 1000}, NULL);
        kill(pid, SIGKILL);
        wait_child(pid);
        struct sc_ranges *r = open_size(SIZE);
        REQUIRE(r != NULL);
        uint64_t junk;
        CHECK_U64(sc_ranges_check(r, &junk, NULL, NULL), 0); /* bytes come before their record */
        save(r, 4242, 100);
        CHECK_U64(load(r, 4242, 100), 100);
        sc_ranges_close(r);
    }
    scratch_remove();
}

/* ------------------------------------------------------------------------------ a bad disk --- */
static void full_disk(void *arg)
{
    (void)arg;
    struct rlimit limit = {200 << 10, 200 << 10};
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    struct sc_ranges *r = open_size(SIZE);
    save(r, 0, 100 << 10);
    CHECK(sc_ranges_error(r) == 0);
    save(r, 100 << 10, 200 << 10);
    CHECK(sc_ranges_error(r) == ENOSPC);
    CHECK_U64(load(r, 0, SIZE), 100 << 10);
    sc_ranges_close(r);
}

TEST(a_full_disk_stops_keeping)
{
    REQUIRE(begin());
    CHECK(wait_child(start_child(full_disk, NULL)) == 0);
    struct sc_ranges *r = open_size(SIZE);
    CHECK_U64(load(r, 0, SIZE), 100 << 10);
    save(r, 0, SIZE);
    CHECK_U64(load(r, 0, SIZE), SIZE);
    sc_ranges_close(r);
    scratch_remove();
}

static void few_descriptors(void *arg)
{
    (void)arg;
    struct rlimit limit = {16, 16};
    struct sc_ranges *r[40];
    char etag[8];
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(etag, sizeof etag, "e%u", i);
        r[i] = sc_ranges_open(&env, etag, 1000, true);
        CHECK(r[i] != NULL);
        save(r[i], i, 100);
    }
    for (unsigned i = 0; i < 40; i++)
        CHECK_U64(load(r[i], i, 200), 100);
    for (unsigned i = 0; i < 40; i++)
        sc_ranges_close(r[i]);
}

TEST(sixteen_descriptors_are_enough)
{
    REQUIRE(begin());
    CHECK(wait_child(start_child(few_descriptors, NULL)) == 0);
    scratch_remove();
}

TEST(no_place_is_no_failure)
{
    REQUIRE(begin());
    REQUIRE(scratch_file("cache", "x", 1)); /* a file where the folder should be */
    CHECK(open_size(10) == NULL);
    unlink(cache);
    REQUIRE(mkdir(cache, 0700) == 0);
    REQUIRE(scratch_file("cache/ranges", "x", 1));
    CHECK(open_size(10) == NULL);
    env.cache = (char *)(uintptr_t) "/proc/no/such/cache";
    CHECK(open_size(10) == NULL);
    scratch_remove();
}

static void as_somebody_else(void *arg)
{
    (void)arg;
    if (geteuid() == 0)
        REQUIRE(setgid(65534) == 0 && setuid(65534) == 0);
    struct sc_ranges *r = open_size(SIZE);
    REQUIRE(r != NULL);
    CHECK_U64(load(r, 0, 2000), 1000);
    save(r, 5000, 10);
    CHECK(sc_ranges_error(r) != 0);
    CHECK_U64(sc_ranges_have(r, 0, SIZE), 1000);
    CHECK_U64(load(r, 0, 2000), 1000);
    sc_ranges_close(r);
    CHECK(sc_ranges_open(&env, "another", 10, true) == NULL);
}

TEST(a_read_only_cache_is_read)
{
    REQUIRE(begin());
    chmod(scratch_root, 0755);
    struct sc_ranges *r = open_size(SIZE);
    save(r, 0, 500);
    write_down(r, 500, 500);
    sc_ranges_close(r);
    static const char *const names[] = {"data", "map"};
    for (size_t i = 0; i < 2; i++)
        chmod(in_range(names[i]), 0444);
    chmod(scratch_at("cache/ranges"), 0555);
    CHECK(wait_child(start_child(as_somebody_else, NULL)) == 0);
    scratch_remove();
}
