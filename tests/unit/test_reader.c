/* SPDX-License-Identifier: Apache-2.0 */
/* The sequential reader: every boundary between windows, what it reads and what it must not. */
#include "test.h"

#include "source/source.h"

#include "scratch.h"

struct reads {
    unsigned n;
    uint64_t furthest; /* end of the furthest read */
    size_t len[64];
};

static void note_read(void *ctx, const char *name, uint64_t off, size_t len)
{
    struct reads *seen = ctx;
    (void)name;
    if (seen->n < SC_COUNT(seen->len))
        seen->len[seen->n] = len;
    seen->n++;
    seen->furthest = SC_MAX(seen->furthest, off + len);
}

/* n bytes 0, 1, 2, ... behind a counting layer. */
static uint8_t bytes[4 << 20];
static struct reads seen;
static struct sc_io io;

static struct sc_source *counted(size_t n)
{
    struct sc_source *s = NULL;
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)i;
    seen = (struct reads){0};
    io = (struct sc_io){.log = note_read, .log_ctx = &seen};
    if (sc_memory_open(bytes, n, "f", &s, NULL) < 0 || sc_source_count(s, &io, &s, NULL) < 0)
        return NULL;
    return s;
}

TEST(reader_crosses_every_window_boundary)
{
    enum { SIZE = 300 };
    struct sc_source *s = counted(SIZE);
    REQUIRE(s != NULL);
    for (size_t chunk = 0; chunk <= 70; chunk++)
        for (size_t item = 1; item <= 40; item++) {
            struct sc_reader r;
            const uint8_t *p;
            sc_reader_start(&r, s, 0, chunk);
            for (size_t pos = 0, k = 0; pos < SIZE; k++) {
                size_t n = SC_MIN(item + k % 3, SIZE - pos);
                CHECK_U64(r.pos, pos);
                CHECK_U64(sc_reader_left(&r), SIZE - pos);
                CHECK_ERR(0, sc_reader_take(&r, n, &p, "an item", NULL));
                CHECK_BITS(p, bytes + pos, n);
                pos += n;
            }
            CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_take(&r, 1, &p, "an item", NULL));
            CHECK_ERR(0, sc_reader_take(&r, 0, &p, "nothing", NULL));
            CHECK(p != NULL);
            sc_reader_clear(&r);
        }
    CHECK_U64(seen.furthest, SIZE);
    sc_source_close(s);
}

TEST(reader_skips_without_reading)
{
    struct sc_source *s = counted(10000);
    struct sc_reader r;
    const uint8_t *p;
    REQUIRE(s != NULL);
    sc_reader_start(&r, s, 100, 16);
    CHECK_ERR(0, sc_reader_skip(&r, 5000, "data", NULL));
    CHECK_U64(io.requests, 0);
    CHECK_ERR(0, sc_reader_take(&r, 4, &p, "a word", NULL));
    CHECK_BITS(p, bytes + 5100, 4);
    CHECK_U64(io.bytes_read, 16);
    /* Inside the window, and then a jump, which is no reason to read more at once. */
    CHECK_ERR(0, sc_reader_skip(&r, 4, "data", NULL));
    CHECK_ERR(0, sc_reader_take(&r, 8, &p, "a word", NULL));
    CHECK_BITS(p, bytes + 5108, 8);
    CHECK_U64(io.requests, 1);
    CHECK_ERR(0, sc_reader_skip(&r, 1000, "data", NULL));
    CHECK_ERR(0, sc_reader_take(&r, 4, &p, "a word", NULL));
    CHECK_BITS(p, bytes + 6116, 4);
    CHECK_U64(io.bytes_read, 32);
    /* To the very end, and not one byte further. */
    CHECK_ERR(0, sc_reader_skip(&r, sc_reader_left(&r), "data", NULL));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_skip(&r, 1, "data", NULL));
    CHECK_U64(r.pos, 10000);
    CHECK_U64(io.requests, 2);
    sc_reader_clear(&r);
    sc_source_close(s);
}

TEST(reader_goes_back_when_told_to)
{
    struct sc_source *s = counted(1000);
    struct sc_reader r;
    const uint8_t *p;
    REQUIRE(s != NULL);
    sc_reader_start(&r, s, 500, 64);
    CHECK_ERR(0, sc_reader_take(&r, 10, &p, "ten", NULL));
    r.pos = 20;
    CHECK_ERR(0, sc_reader_take(&r, 10, &p, "ten", NULL));
    CHECK_BITS(p, bytes + 20, 10);
    sc_reader_clear(&r);
    sc_source_close(s);
}

TEST(reader_refuses_before_it_allocates)
{
    struct sc_source *s = counted(100);
    struct sc_reader r;
    struct sc_error e = {0};
    const uint8_t *p = NULL;
    const uint64_t wrong[] = {101, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX};
    REQUIRE(s != NULL);
    sc_reader_start(&r, s, 0, 16);
    for (size_t i = 0; i < SC_COUNT(wrong); i++) {
        CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_take(&r, wrong[i], &p, "a string", &e));
        CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_skip(&r, wrong[i], "a string", NULL));
    }
    CHECK_STR(e.text, "f: ends inside a string: 18446744073709551615 bytes are needed at byte 0, "
                      "but 100 are left (truncated download?)");
    CHECK(e.has_offset && e.offset == 0);
    CHECK(r.window == NULL && io.requests == 0 && r.pos == 0);

    /* A part of the file that was declared too short is not a download that broke off. */
    r.end = 10;
    CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_take(&r, 11, &p, "a key", &e));
    CHECK_STR(e.text, "f: ends inside a key: 11 bytes are needed at byte 0, but 10 are left");
    CHECK_ERR(0, sc_reader_take(&r, 10, &p, "a key", &e));
    CHECK_U64(seen.furthest, 10);
    sc_reader_clear(&r);

    sc_reader_start(&r, s, 1000, 16);
    CHECK_U64(sc_reader_left(&r), 0);
    CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_take(&r, 1, &p, "a byte", NULL));
    sc_reader_clear(&r);
    sc_source_close(s);
}

TEST(reader_limits_one_item)
{
    struct sc_source *s = NULL;
    struct sc_reader r;
    struct sc_error e = {0};
    const uint8_t *p;
    REQUIRE(scratch_new());
    REQUIRE(scratch_file("hole", "", 0));
    REQUIRE(truncate(scratch_at("hole"), (off_t)3 << 30) == 0);
    REQUIRE(sc_file_open(scratch_at("hole"), NULL, &s, NULL) == 0);
    sc_reader_start(&r, s, 0, 16);
    CHECK_ERR(SCRUPLE_ELIMIT, sc_reader_take(&r, UINT64_C(2) << 30, &p, "a string", &e));
    CHECK(strstr(e.text, "hole: a string at byte 0 is 2147483648 bytes long; at most 1073741824 "
                         "are read at once") != NULL);
    CHECK(r.window == NULL);
    CHECK_ERR(0, sc_reader_skip(&r, UINT64_C(2) << 30, "a string", &e));
    CHECK_ERR(0, sc_reader_take(&r, 100, &p, "a string", &e));
    CHECK_U64(r.window_cap, 100);
    sc_reader_clear(&r);
    sc_source_close(s);
    scratch_remove();
}

TEST(reader_takes_larger_steps_while_reading_on)
{
    struct sc_source *s = counted(sizeof bytes);
    struct sc_reader r;
    uint64_t word;
    REQUIRE(s != NULL);
    sc_reader_start(&r, s, 0, 1 << 16);
    while (sc_reader_left(&r) > 0)
        REQUIRE(sc_reader_u64(&r, &word, "a word", NULL) == 0);
    /* 64, 128, 256, 512 KiB, three times 1 MiB, and the rest. */
    CHECK_U64(seen.n, 8);
    for (size_t i = 0; i < 4; i++)
        CHECK_U64(seen.len[i], (size_t)1 << (16 + i));
    for (size_t i = 4; i < 7; i++)
        CHECK_U64(seen.len[i], 1 << 20);
    CHECK_U64(io.bytes_read, sizeof bytes);
    CHECK_U64(r.window_cap, 1 << 20);

    /* One large item makes the window as large as itself, not larger. */
    sc_reader_clear(&r);
    const uint8_t *p;
    sc_reader_start(&r, s, 0, 64);
    CHECK_ERR(0, sc_reader_take(&r, 3000000, &p, "a string", NULL));
    CHECK_BITS(p, bytes, 3000000);
    CHECK_U64(r.window_cap, 3000000);
    sc_reader_clear(&r);
    sc_source_close(s);
}

TEST(reader_knows_both_byte_orders)
{
    static const uint8_t raw[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
                                  0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0xff};
    struct sc_source *s = NULL;
    REQUIRE(sc_memory_open(raw, sizeof raw, "raw", &s, NULL) == 0);
    for (int big = 0; big < 2; big++) {
        struct sc_reader r;
        uint8_t a;
        uint16_t b;
        uint32_t c;
        uint64_t d;
        sc_reader_start(&r, s, 0, 3);
        r.big_endian = big;
        REQUIRE(sc_reader_u64(&r, &d, "d", NULL) == 0 && sc_reader_u32(&r, &c, "c", NULL) == 0);
        REQUIRE(sc_reader_u16(&r, &b, "b", NULL) == 0 && sc_reader_u8(&r, &a, "a", NULL) == 0);
        CHECK_U64(a, 0xff);
        CHECK_U64(b, big ? 0x0d0e : 0x0e0d);
        CHECK_U64(c, big ? 0x090a0b0c : 0x0c0b0a09);
        CHECK_U64(d, big ? UINT64_C(0x0102030405060708) : UINT64_C(0x0807060504030201));
        CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_u8(&r, &a, "a", NULL));
        r.pos = sizeof raw - 1;
        CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_u16(&r, &b, "b", NULL));
        CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_u32(&r, &c, "c", NULL));
        CHECK_ERR(SCRUPLE_EFORMAT, sc_reader_u64(&r, &d, "d", NULL));
        CHECK_U64(r.pos, sizeof raw - 1);
        sc_reader_clear(&r);
    }
    sc_source_close(s);
}

/* A read that fails loses nothing: the same call succeeds when the source has recovered. */
TEST(reader_survives_a_fault_at_every_read)
{
    for (uint64_t k = 0;; k++) {
        struct sc_fault plan = {.fail_at = k};
        struct sc_source *s = counted(500);
        struct sc_reader r;
        const uint8_t *p;
        unsigned failures = 0;
        REQUIRE(s != NULL && sc_source_fault(s, &plan, &s, NULL) == 0);
        sc_reader_start(&r, s, 0, 8);
        for (size_t pos = 0; pos + 11 <= 500; pos += 11) {
            while (sc_reader_take(&r, 11, &p, "an item", NULL) == SCRUPLE_EIO)
                REQUIRE(++failures < 3);
            CHECK_BITS(p, bytes + pos, 11);
        }
        sc_reader_clear(&r);
        sc_source_close(s);
        CHECK_U64(failures, plan.fired ? 1 : 0);
        if (!plan.fired)
            break;
    }
}
