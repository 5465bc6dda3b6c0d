/* SPDX-License-Identifier: Apache-2.0 */
/* The zip directory reader: what it accepts, what it refuses and by which name, and that a member
 * never gives more than its size. Archives are made in memory, right and wrong. */
#include "test.h"

#include "format/zip.h"
#include "oom.h"
#include "zip_maker.h"

/* An archive opened; close() it whatever happened. */
struct opened {
    struct sc_catalog *c;
    struct sc_source *s;
    struct sc_arena arena;
    struct sc_zip zip;
    struct sc_error e;
    struct sc_open_options options;
    int code;
};

static bool start(struct opened *o, const void *p, size_t n)
{
    uint32_t file;
    o->c = calloc(1, sizeof *o->c);
    if (!o->c)
        return false;
    o->c->options = &o->options;
    o->code = sc_catalog_add_file(o->c, "test.zip", n, &file, &o->e);
    if (o->code == 0)
        o->code = sc_memory_open(p, n, "test.zip", &o->s, &o->e);
    return o->code == 0;
}

static void open_bytes(struct opened *o, const void *p, size_t n)
{
    if (start(o, p, n))
        o->code = sc_zip_open(o->c, 0, o->s, &o->arena, &o->zip, &o->e);
}

static void close_all(struct opened *o)
{
    sc_source_close(o->s);
    sc_arena_clear(&o->arena);
    sc_catalog_close(o->c);
    memset(o, 0, sizeof *o);
}

static const char *first_finding(const struct opened *o)
{
    return o->c->n_findings ? o->c->findings[0].id : "";
}

/* Opens what the maker made, strictly and leniently; the strict refusal must be this finding. */
static void check_refused(struct zip_maker *z, const char *id)
{
    struct opened o = {0};
    open_bytes(&o, z->out.p, z->out.n);
    CHECK_U64(o.code, SCRUPLE_EFORMAT);
    CHECK_STR(first_finding(&o), id);
    CHECK(strncmp(o.e.text, "test.zip: ", 10) == 0);
    close_all(&o);
    o.options.lenient = true;
    open_bytes(&o, z->out.p, z->out.n);
    CHECK_U64(o.code, 0);
    CHECK(o.c->n_errors > 0);
    close_all(&o);
    zm_clear(z);
}

static void check_warned(struct zip_maker *z, const char *id)
{
    struct opened o = {0};
    open_bytes(&o, z->out.p, z->out.n);
    CHECK_U64(o.code, 0);
    CHECK_STR(first_finding(&o), id);
    close_all(&o);
    zm_clear(z);
}

static const char hello[] = "hello, hello, hello, hello, hello, hello, hello";

static void check_content(struct opened *o, const char *name, const void *p, size_t n)
{
    uint8_t *got = NULL;
    size_t got_n = 0;
    const struct sc_zip_member *m = sc_zip_find(&o->zip, sc_strz(name));
    CHECK(m != NULL);
    if (!m)
        return;
    CHECK_U64(sc_zip_read(o->c, 0, o->s, m, 1 << 20, &got, &got_n, &o->e), 0);
    CHECK_U64(got_n, n);
    if (got && got_n == n)
        CHECK_BITS(got, p, n);
    free(got);
}

/* Three members; the sum of everything is the file. */
static void check_sound(struct zip_maker *z)
{
    struct opened o = {0};
    open_bytes(&o, z->out.p, z->out.n);
    CHECK_U64(o.code, 0);
    CHECK_STR(o.e.text, "");
    CHECK_STR(first_finding(&o), "");
    CHECK_U64(o.zip.n, 3);
    check_content(&o, "top/plain", hello, sizeof hello);
    check_content(&o, "top/packed", hello, sizeof hello);
    check_content(&o, "top/empty", "", 0);
    CHECK(sc_zip_find(&o.zip, SC_STR("top/none")) == NULL);
    uint64_t sum = o.zip.overhead;
    for (size_t i = 0; i < o.zip.n; i++)
        sum += o.zip.members[i].stored;
    CHECK_U64(sum, z->out.n);
    for (size_t i = 0; i < o.zip.n; i++)
        CHECK_U64(sc_zip_verify(o.c, 0, o.s, &o.zip.members[i], &o.e), 0);
    close_all(&o);
    zm_clear(z);
}

static struct zip_maker three(struct zip_how how)
{
    struct zip_maker z = {0};
    struct zip_how packed = how;
    packed.deflated = true;
    zm_add_how(&z, "top/plain", hello, sizeof hello, how);
    zm_add_how(&z, "top/packed", hello, sizeof hello, packed);
    zm_add_how(&z, "top/empty", "", 0, how);
    return z;
}

TEST(plain_archive)
{
    struct zip_maker z = three((struct zip_how){0});
    zm_end(&z);
    check_sound(&z);
}

TEST(archive_with_padding_and_descriptors)
{
    struct zip_maker z = three((struct zip_how){.extra = 40, .descriptor = true});
    zm_end(&z);
    check_sound(&z);
}

TEST(archive_with_zip64_members)
{
    struct zip_maker z = three((struct zip_how){.zip64 = true});
    zm_end_how(&z, (struct zip_end){.zip64 = true});
    check_sound(&z);
}

TEST(archive_with_comment)
{
    struct zip_maker z = three((struct zip_how){0});
    zm_end_how(&z, (struct zip_end){.comment = "PK\5\6 is not an end record here"});
    check_sound(&z);
}

TEST(archive_without_members)
{
    struct zip_maker z = {0};
    struct opened o = {0};
    zm_end(&z);
    open_bytes(&o, z.out.p, z.out.n);
    CHECK_U64(o.code, 0);
    CHECK_U64(o.zip.n, 0);
    CHECK(sc_zip_find(&o.zip, SC_STR("x")) == NULL);
    CHECK_U64(o.zip.overhead, z.out.n);
    close_all(&o);
    zm_clear(&z);
}

/* One way in which a member is wrong, and the name of the finding. */
static void check_member(struct zip_how how, const char *id, bool refused)
{
    struct zip_maker z = {0};
    zm_add_how(&z, "a", hello, sizeof hello, how);
    zm_add(&z, "b", hello, sizeof hello);
    zm_end(&z);
    if (refused)
        check_refused(&z, id);
    else
        check_warned(&z, id);
}

TEST(local_name_differs)
{
    check_member((struct zip_how){.local_name = "x"}, "zip.local-mismatch", true);
}
TEST(local_name_is_longer)
{
    check_member((struct zip_how){.local_name = "ab"}, "zip.local-mismatch", true);
}
TEST(stored_size_differs)
{
    check_member((struct zip_how){.bytes_off = 1}, "zip.size", true);
}
TEST(member_overlaps_next)
{
    check_member((struct zip_how){.bytes_off = 9, .stored_off = 9}, "zip.overlap", true);
}
TEST(member_beyond_directory)
{
    check_member((struct zip_how){.bytes_off = 4000, .stored_off = 4000}, "zip.range", true);
}
TEST(header_beyond_directory)
{
    check_member((struct zip_how){.header_off = 4000}, "zip.range", true);
}
TEST(header_is_none)
{
    check_member((struct zip_how){.header_off = 1}, "zip.local-mismatch", true);
}
TEST(method_unknown)
{
    check_member((struct zip_how){.method = 12}, "zip.method", false);
}
TEST(encryption_bit_is_told)
{
    check_member((struct zip_how){.flags = 1}, "zip.encrypted", false);
}
TEST(gap_before_member_is_told)
{
    check_member((struct zip_how){.gap = 5}, "zip.hole", false);
}

TEST(method_in_local_header_differs)
{
    struct zip_maker z = {0};
    zm_add(&z, "a", hello, sizeof hello);
    zm_end(&z);
    z.out.p[8] = 8; /* the local header says deflated */
    check_refused(&z, "zip.local-mismatch");
}

TEST(size_in_local_header_differs)
{
    struct zip_maker z = {0};
    zm_add(&z, "a", hello, sizeof hello);
    zm_end(&z);
    z.out.p[22]++;
    check_warned(&z, "zip.local-mismatch");
}

TEST(same_name_twice)
{
    struct zip_maker z = {0};
    zm_add(&z, "a", hello, sizeof hello);
    zm_add(&z, "a", hello, 3);
    zm_end(&z);
    check_refused(&z, "zip.duplicate");
}

static void check_end(struct zip_end how, const char *id)
{
    struct zip_maker z = three((struct zip_how){0});
    zm_end_how(&z, how);
    check_refused(&z, id);
}

TEST(end_counts_too_many)
{
    check_end((struct zip_end){.count_off = 1}, "zip.end");
}
TEST(end_counts_too_few)
{
    check_end((struct zip_end){.count_off = -1}, "zip.directory");
}
TEST(end_counts_absurdly_many)
{
    check_end((struct zip_end){.zip64 = true, .count_off = INT64_MAX}, "zip.end");
}
TEST(directory_too_long)
{
    check_end((struct zip_end){.bytes_off = 1}, "zip.end");
}
TEST(directory_too_short)
{
    check_end((struct zip_end){.bytes_off = -1}, "zip.end");
}
TEST(directory_elsewhere)
{
    check_end((struct zip_end){.place_off = -1}, "zip.end");
}
TEST(directory_beyond_the_file)
{
    check_end((struct zip_end){.zip64 = true, .place_off = INT64_MAX}, "zip.end");
}

TEST(bytes_in_front_of_the_directory_are_refused)
{
    /* Python would look for the directory 3 bytes further on than the end record says. */
    struct zip_maker z = three((struct zip_how){0});
    zm_end(&z);
    struct sc_buf moved = {0};
    sc_buf_put(&moved, "abc", 3);
    sc_buf_put(&moved, z.out.p, z.out.n);
    sc_buf_clear(&z.out);
    z.out = moved;
    check_refused(&z, "zip.end");
}

TEST(bytes_behind_the_end_are_refused)
{
    struct zip_maker z = three((struct zip_how){0});
    zm_end(&z);
    sc_buf_putc(&z.out, 'x');
    check_refused(&z, "zip.end");
}

TEST(cut_at_every_byte)
{
    struct zip_maker z = three((struct zip_how){.zip64 = true});
    zm_end_how(&z, (struct zip_end){.zip64 = true});
    for (size_t n = 0; n < z.out.n; n++) {
        uint8_t *copy = malloc(n + 1);
        struct opened o = {0};
        REQUIRE(copy != NULL);
        memcpy(copy, z.out.p, n);
        open_bytes(&o, copy, n);
        CHECK_U64(o.code, SCRUPLE_EFORMAT);
        close_all(&o);
        free(copy);
    }
    zm_clear(&z);
}

/* ------------------------------------------------------------------------------- contents --- */

/* Reads member "a" of a one-member archive. */
static int read_a(struct zip_maker *z, struct opened *o, uint64_t max)
{
    uint8_t *p = NULL;
    size_t n = 0;
    open_bytes(o, z->out.p, z->out.n);
    if (o->code < 0)
        return o->code;
    const int code = sc_zip_read(o->c, 0, o->s, &o->zip.members[0], max, &p, &n, &o->e);
    CHECK(code == 0 || !p);
    free(p);
    return code;
}

static void check_read(struct zip_how how, const char *id, int strict)
{
    struct zip_maker z = {0};
    struct opened o = {0};
    zm_add_how(&z, "a", hello, sizeof hello, how);
    zm_end(&z);
    CHECK_ERR(strict, read_a(&z, &o, 1000));
    CHECK_STR(first_finding(&o), id);
    close_all(&o);
    o.options.lenient = true;
    CHECK_ERR(0, read_a(&z, &o, 1000));
    CHECK_STR(first_finding(&o), id);
    close_all(&o);
    zm_clear(&z);
}

TEST(crc_mismatch_is_a_warning)
{
    check_read((struct zip_how){.crc_xor = 1}, "zip.crc", 0);
}
TEST(deflated_crc_mismatch_is_a_warning)
{
    check_read((struct zip_how){.crc_xor = 1, .deflated = true}, "zip.crc", 0);
}
TEST(unpacks_to_more)
{
    check_read((struct zip_how){.deflated = true, .bytes_off = -1}, "zip.data", SCRUPLE_EFORMAT);
}
TEST(unpacks_to_less)
{
    check_read((struct zip_how){.deflated = true, .bytes_off = 1}, "zip.data", SCRUPLE_EFORMAT);
}
TEST(larger_than_asked_for)
{
    check_read((struct zip_how){.deflated = true, .bytes_off = 5000}, "zip.size", SCRUPLE_EFORMAT);
}

TEST(crc_mismatch_is_an_error_when_verifying)
{
    struct zip_maker z = {0};
    struct opened o = {.options = {.verify = true}};
    zm_add_how(&z, "a", hello, sizeof hello, (struct zip_how){.crc_xor = 1});
    zm_end(&z);
    CHECK_ERR(SCRUPLE_EFORMAT, read_a(&z, &o, 1000));
    CHECK_ERR(SCRUPLE_EFORMAT, sc_zip_verify(o.c, 0, o.s, &o.zip.members[0], &o.e));
    close_all(&o);
    zm_clear(&z);
}

TEST(damaged_deflate_data)
{
    struct zip_maker z = {0};
    struct opened o = {0};
    zm_add_how(&z, "a", hello, sizeof hello, (struct zip_how){.deflated = true});
    zm_end(&z);
    z.out.p[31] = (char)0xff; /* a block type that does not exist */
    CHECK_ERR(SCRUPLE_EFORMAT, read_a(&z, &o, 1000));
    CHECK_STR(first_finding(&o), "zip.data");
    close_all(&o);
    zm_clear(&z);
}

TEST(a_bomb_costs_what_it_says)
{
    /* 64 MiB of zeros that claim to be 1000 bytes: 1000 are made, not 64 MiB. */
    const size_t real = (size_t)64 << 20;
    char *zeros = calloc(1, real);
    struct zip_maker z = {0};
    struct opened o = {0};
    REQUIRE(zeros != NULL);
    zm_add_how(&z, "a", zeros, real,
               (struct zip_how){.deflated = true, .bytes_off = 1000 - (int64_t)real});
    zm_end(&z);
    free(zeros);
    CHECK_ERR(SCRUPLE_EFORMAT, read_a(&z, &o, 1 << 20));
    CHECK_STR(first_finding(&o), "zip.data");
    close_all(&o);
    zm_clear(&z);
}

TEST(stream_in_pieces)
{
    const size_t n = 200000;
    uint8_t *data = malloc(n), piece[777];
    struct zip_maker z = {0};
    struct opened o = {0};
    REQUIRE(data != NULL);
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i * 31 + i / 100);
    zm_add_how(&z, "s", data, n, (struct zip_how){0});
    zm_add_how(&z, "d", data, n, (struct zip_how){.deflated = true});
    zm_end(&z);
    open_bytes(&o, z.out.p, z.out.n);
    for (size_t i = 0; i < o.zip.n; i++) {
        struct sc_zip_stream st;
        size_t at = 0, got = 1;
        CHECK_U64(sc_zip_stream_open(&st, o.c, 0, o.s, &o.zip.members[i], &o.e), 0);
        while (got > 0 && at <= n) {
            CHECK_U64(sc_zip_stream_read(&st, piece, sizeof piece, &got, &o.e), 0);
            CHECK(got <= n - at && memcmp(piece, data + at, got) == 0);
            at += got;
        }
        CHECK_U64(at, n);
        CHECK_U64(sc_zip_stream_check(&st, SC_ERROR, &o.e), 0);
        sc_zip_stream_close(&st);
    }
    CHECK_U64(o.zip.n, 2);
    close_all(&o);
    zm_clear(&z);
    free(data);
}

TEST(suffix_is_found_in_the_directory)
{
    struct zip_maker z = three((struct zip_how){0});
    struct opened o = {0};
    zm_end(&z);
    open_bytes(&o, z.out.p, z.out.n);
    CHECK(sc_zip_has_suffix(o.s, "/packed"));
    CHECK(!sc_zip_has_suffix(o.s, ".npy"));
    close_all(&o);
    CHECK(start(&o, "PK\3\4", 4));
    CHECK(!sc_zip_has_suffix(o.s, ".npy"));
    close_all(&o);
    zm_clear(&z);
}

TEST(many_members)
{
    struct zip_maker z = {0};
    struct opened o = {0};
    char name[32];
    for (int i = 0; i < 70000; i++) {
        snprintf(name, sizeof name, "archive/data/%d", i);
        zm_add(&z, name, &i, sizeof i);
    }
    zm_end_how(&z, (struct zip_end){.zip64 = true});
    open_bytes(&o, z.out.p, z.out.n);
    CHECK_U64(o.code, 0);
    CHECK_U64(o.zip.n, 70000);
    for (int i = 0; i < 70000; i += 9999) {
        snprintf(name, sizeof name, "archive/data/%d", i);
        check_content(&o, name, &i, sizeof i);
    }
    close_all(&o);
    zm_clear(&z);
}

/* -------------------------------------------------------------------------- over a network --- */

/* Counts the reads between the windows that are fetched anyway. */
struct far_reads {
    size_t n, size;
};

static void log_read(void *ctx, const char *name, uint64_t off, size_t len)
{
    struct far_reads *far = ctx;
    (void)name;
    far->n += off >= 65536 && off + len + 65536 < far->size;
}

/* How many reads lie in the middle when the archive is far away; it must be seen as it is from
 * near. */
static size_t check_from_afar(struct zip_maker *z)
{
    struct opened near = {0}, far = {0};
    struct far_reads reads = {.size = z->out.n};
    struct sc_io io = {.log = log_read, .log_ctx = &reads};
    open_bytes(&near, z->out.p, z->out.n);
    if (start(&far, z->out.p, z->out.n)) {
        far.s->remote = true;
        far.code = sc_source_count(far.s, &io, &far.s, &far.e);
        if (far.code == 0)
            far.code = sc_zip_open(far.c, 0, far.s, &far.arena, &far.zip, &far.e);
    }
    CHECK_U64(near.code, 0);
    CHECK_U64(far.code, 0);
    CHECK_U64(far.zip.n, near.zip.n);
    CHECK_U64(far.zip.overhead, near.zip.overhead);
    CHECK_U64(far.c->n_findings, near.c->n_findings);
    for (size_t i = 0; i < SC_MIN(near.zip.n, far.zip.n); i++)
        CHECK_U64(far.zip.members[i].data, near.zip.members[i].data);
    close_all(&near);
    close_all(&far);
    zm_clear(z);
    return reads.n;
}

/* 40 members of 100 KB; with `align` their data begin at multiples of 64, as torch has it. */
static struct zip_maker forty(struct zip_how how, bool align, const char *suffix)
{
    static uint8_t data[100003];
    struct zip_maker z = {0};
    char name[32];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "archive/data/%u%s", i, suffix);
        if (align)
            how.extra = (uint16_t)(64 - (z.out.n + 30 + strlen(name)) % 64);
        zm_add_how(&z, name, data, sizeof data - i % 7, how);
    }
    zm_end(&z);
    return z;
}

TEST(archive_of_torch_is_placed_without_local_headers)
{
    struct zip_maker z = forty((struct zip_how){.descriptor = true}, true, "");
    CHECK_U64(check_from_afar(&z), 0);
}

TEST(archive_without_descriptors_is_placed_without_local_headers)
{
    struct zip_maker z = forty((struct zip_how){0}, true, "");
    CHECK_U64(check_from_afar(&z), 0);
    z = forty((struct zip_how){.zip64 = true}, true, "");
    CHECK_U64(check_from_afar(&z), 0);
}

TEST(archive_that_leaves_doubt_is_looked_into)
{
    struct zip_maker z = forty((struct zip_how){.descriptor = true, .extra = 3}, false, "");
    CHECK(check_from_afar(&z) > 30);
    z = forty((struct zip_how){.extra = 3}, false, "");
    CHECK(check_from_afar(&z) > 30);
    z = forty((struct zip_how){.gap = 100}, true, ""); /* in front: not the padding of torch */
    CHECK(check_from_afar(&z) > 30);
    z = forty((struct zip_how){.deflated = true}, false, "");
    check_from_afar(&z);
    z = forty((struct zip_how){0}, false, ".npy"); /* its header is wanted anyway */
    CHECK(check_from_afar(&z) > 30);
}

TEST(small_archives_are_read_from_afar_as_from_near)
{
    struct zip_maker z = three((struct zip_how){.extra = 40, .descriptor = true});
    zm_end(&z);
    CHECK_U64(check_from_afar(&z), 0);
    z = three((struct zip_how){.zip64 = true});
    zm_end_how(&z, (struct zip_end){.zip64 = true});
    CHECK_U64(check_from_afar(&z), 0);
}

/* --------------------------------------------------------------------------------- failures --- */

static int read_everything(struct opened *o, const void *p, size_t n, struct sc_fault *fault)
{
    if (!start(o, p, n))
        return SCRUPLE_EMEMORY;
    if (fault && (o->code = sc_source_fault(o->s, fault, &o->s, &o->e)) < 0) {
        o->s = NULL;
        return o->code;
    }
    o->code = sc_zip_open(o->c, 0, o->s, &o->arena, &o->zip, &o->e);
    for (size_t i = 0; i < o->zip.n && o->code == 0; i++) {
        uint8_t *got = NULL;
        size_t got_n;
        o->code = sc_zip_read(o->c, 0, o->s, &o->zip.members[i], 1000, &got, &got_n, &o->e);
        free(got);
        if (o->code == 0)
            o->code = sc_zip_verify(o->c, 0, o->s, &o->zip.members[i], &o->e);
    }
    return o->code;
}

TEST(every_allocation_may_fail)
{
    struct zip_maker z = three((struct zip_how){0});
    zm_end_how(&z, (struct zip_end){.comment = "a comment, so that the tail is read"});
    for (uint64_t k = 0;; k++) {
        struct opened o = {0};
        sc_oom_fail_at(k);
        const int code = read_everything(&o, z.out.p, z.out.n, NULL);
        const bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        close_all(&o);
        if (!reached) {
            CHECK_U64(code, 0);
            CHECK(k > 10);
            break;
        }
        CHECK_U64(code, SCRUPLE_EMEMORY);
    }
    zm_clear(&z);
}

TEST(every_read_may_fail)
{
    struct zip_maker z = three((struct zip_how){0});
    zm_end(&z);
    for (uint64_t k = 0;; k++) {
        struct sc_fault fault = {.fail_at = k};
        struct opened o = {0};
        const int code = read_everything(&o, z.out.p, z.out.n, &fault);
        close_all(&o);
        if (!fault.fired) {
            CHECK_U64(code, 0);
            CHECK(k > 5);
            break;
        }
        CHECK_U64(code, SCRUPLE_EIO);
    }
    zm_clear(&z);
}
