/* SPDX-License-Identifier: Apache-2.0 */
/* ranges: a log of what is kept that anybody may have written, over data that are all there or cut
 * short. Whatever is served was checked; whatever is saved can be served again.
 *
 * Input: one byte of choices, then
 *     choice 2 not set   the log as it is
 *     choice 2           3 bytes a record of a sound log: offset and length in steps of 16 bytes,
 *                        and whether the checksum is that of the bytes
 * Choice 1: the data are cut. */
#include "fuzz.h"

#include <fcntl.h>
#include <libdeflate.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"

#define ETAG "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SIZE 4096

static char cache[64], data_path[200], map_path[210];
static struct sc_hub_env env = {.cache = cache};

static uint8_t content(size_t i)
{
    return (uint8_t)(i * 131 + (i >> 8) * 17 + 1);
}

static void fail(const char *what)
{
    fuzz_fail(what, __FILE__, __LINE__);
}

static void start(void)
{
    if (cache[0])
        return;
    snprintf(cache, sizeof cache, "%s/scruple-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(cache))
        fail("a folder");
    snprintf(data_path, sizeof data_path, "%s/ranges/ba/" ETAG, cache);
    snprintf(map_path, sizeof map_path, "%s/map", data_path);
    if (!sc_make_folders(data_path))
        fail("folders");
    strcat(data_path, "/data");
}

static void finish(void)
{
    if (!sc_remove_tree(cache))
        fail("removing the folder");
    cache[0] = '\0';
}

static void put(const char *path, const uint8_t *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n)
        fail(path);
    close(fd);
}

/* Nothing but what the log vouches for: with right data every byte is right. */
static void check_loads(struct sc_ranges *r)
{
    uint8_t p[SIZE];
    uint64_t off = 0, len = 0, have = sc_ranges_have(r, 0, SIZE), gaps = 0;
    for (uint64_t at = 0; sc_ranges_gap(r, at, SIZE, &off, &len); at = off + len) {
        FUZZ_CHECK(off >= at && len > 0 && off + len <= SIZE);
        gaps += len;
    }
    FUZZ_CHECK(have + gaps == SIZE);
    for (size_t at = 0; at < SIZE; at += 97) {
        size_t n = sc_ranges_load(r, at, p, SIZE - at);
        FUZZ_CHECK(n <= SIZE - at);
        for (size_t i = 0; i < n; i++)
            FUZZ_CHECK(p[i] == content(at + i));
    }
    FUZZ_CHECK(sc_ranges_have(r, 0, SIZE) <= have);
}

static size_t put_number(uint8_t *to, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(v >> (8 * i));
    return n;
}

/* A sound log of records that overlap as the input says. */
static void put_log(const uint8_t *p, size_t n, const uint8_t *whole)
{
    static uint8_t log[24 + 64 + 4 + 24 * 1000];
    size_t at = 0;
    memcpy(log, "scrpmap\n", 8);
    put_number(log + 8, 1, 4);
    put_number(log + 12, 64, 4);
    put_number(log + 16, SIZE, 8);
    memcpy(log + 24, ETAG, 64);
    at = 88 + put_number(log + 88, libdeflate_crc32(0, log, 88), 4);
    for (size_t i = 0; i + 3 <= n && i < 3000; i += 3) {
        uint64_t off = p[i] * 16u, len = p[i + 1] * 16u;
        bool inside = off + len <= SIZE;
        uint32_t crc = p[i + 2] & 1 && inside ? libdeflate_crc32(0, whole + off, len) : 7;
        put_number(log + at, off, 8);
        put_number(log + at + 8, len, 8);
        put_number(log + at + 16, crc, 4);
        put_number(log + at + 20, libdeflate_crc32(0, log + at, 20), 4);
        at += 24;
    }
    put(map_path, log, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t whole[SIZE], back[SIZE];
    if (size == 0)
        return 0;
    start();
    for (size_t i = 0; i < SIZE; i++)
        whole[i] = content(i);
    if (data[0] & 2)
        put_log(data + 1, size - 1, whole);
    else
        put(map_path, data + 1, size - 1);
    put(data_path, whole, data[0] & 1 ? SIZE / 2 : SIZE);
    struct sc_ranges *r = sc_ranges_open(&env, ETAG, SIZE, false);
    if (r) {
        check_loads(r);
        sc_ranges_close(r);
    }
    r = sc_ranges_open(&env, ETAG, SIZE, true);
    FUZZ_CHECK(r != NULL);
    sc_ranges_save(r, 1000, whole + 1000, 1500);
    sc_ranges_close(r);
    r = sc_ranges_open(&env, ETAG, SIZE, true);
    FUZZ_CHECK(r != NULL);
    check_loads(r);
    /* What is damaged shows when it is asked for; then it can be saved. */
    size_t got = 0;
    for (unsigned i = 0; got < SIZE && i < SIZE; i++) {
        sc_ranges_save(r, 0, whole, SIZE);
        got = sc_ranges_load(r, 0, back, SIZE);
    }
    FUZZ_CHECK(got == SIZE && memcmp(back, whole, SIZE) == 0);
    sc_ranges_close(r);
    finish();
    return 0;
}
