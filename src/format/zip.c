/* SPDX-License-Identifier: Apache-2.0 */
/* zip: the directory of a zip file, read from its tail and checked against every local header.
 *
 * Owns: finding the end records, the central directory, the ranges of the members. Reading what is
 * in a member is zip_stream.c.
 *
 *   local header           central directory        end of central directory
 *   0   4  PK\3\4          0   4  PK\1\2            0   4  PK\5\6
 *   6   2  flags           8   2  flags             4   2  this disk
 *   8   2  method          10  2  method            6   2  disk of the directory
 *   14  4  crc-32          16  4  crc-32            8   2  members on this disk
 *   18  4  stored size     20  4  stored size       10  2  members
 *   22  4  unpacked size   24  4  unpacked size     12  4  bytes of the directory
 *   26  2  length of name  28  2  length of name    16  4  position of the directory
 *   28  2  of extra field  30  2  of extra field    20  2  length of comment
 *   30     name, extra,    32  2  of comment        22     comment, up to the end of the file
 *          then the data   42  4  position of the
 *                                 local header      zip64: a locator of 20 bytes (PK\6\7, position
 *                          46     name, extra,      at 8) stands before PK\5\6 and points to a
 *                                 comment           record PK\6\6 with the same fields in 64 bits
 *
 * Two programs that read the same zip differently are how a scanner is fooled, so whatever can be
 * read in two ways is an error here: a directory that does not end where the end records begin, two
 * members of one name, a local header that contradicts the directory, members that overlap. */
#include "format/zip.h"

#include <stdlib.h>
#include <string.h>

enum {
    END_BYTES = 22,
    END_SEARCH = END_BYTES + 65535,
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    RECORD_BYTES = 46,
    LOCAL_BYTES = 30,
    FLAG_ENCRYPTED = 1,
    FLAG_DESCRIPTOR = 8, /* sizes and CRC follow the data */
    MAX_DESCRIPTOR = 24, /* signature, CRC, two sizes of 64 bits */
    PEEK_DIRECTORY = 4 << 20,
};

/* What the end records say. */
struct end {
    uint64_t members, directory, directory_bytes;
    uint64_t at; /* position of the first end record: the directory has to end there */
};

struct opening {
    struct sc_catalog *c;
    uint32_t file;
    struct sc_source *s;
    struct sc_arena *arena;
    struct sc_error *e;
    struct sc_zip_member *members;
    size_t n, cap;
    uint8_t *local; /* scratch for one local header and its name */
    size_t local_cap;
};

/* Reports about the directory or one member. Unlike a bare sc_problem() the result is 1 when the
 * file was only read leniently, so that the caller can leave the member out. */
#define BAD(o, id, at, ...)                                                                        \
    bad_result(sc_problem((o)->c, SC_ERROR, id, (o)->file, SC_NO_TENSOR, at, (o)->e, __VA_ARGS__))
#define WARN(o, id, at, ...)                                                                       \
    sc_problem((o)->c, SC_WARNING, id, (o)->file, SC_NO_TENSOR, at, (o)->e, __VA_ARGS__)

static int bad_result(int code)
{
    return code < 0 ? code : 1;
}

static bool is_signature(const uint8_t *p, char a, char b)
{
    return p[0] == 'P' && p[1] == 'K' && p[2] == (uint8_t)a && p[3] == (uint8_t)b;
}

/* ---------------------------------------------------------------------------- end records --- */

/* The last end record in `tail` whose comment reaches the end of the file, or NULL. */
static const uint8_t *search_end(const uint8_t *tail, size_t n)
{
    for (size_t left = END_BYTES; left <= n; left++) {
        const uint8_t *p = tail + n - left;
        if (is_signature(p, 5, 6) && sc_le16(p + 20) == left - END_BYTES)
            return p;
    }
    return NULL;
}

/* true when the field is spared (all ones: look in the zip64 record) or says the same. */
static bool agrees(uint64_t small, uint64_t all_ones, uint64_t large)
{
    return small == all_ones || small == large;
}

/* The zip64 record that the locator before the end record points to. *why stays NULL and *end
 * unchanged when there is none. */
static int read_end64(struct sc_source *s, const uint8_t *end_record, struct end *end,
                      const char **why, struct sc_error *e)
{
    uint8_t locator[LOCATOR_BYTES], p[END64_BYTES];
    if (end->at < LOCATOR_BYTES)
        return 0;
    const uint64_t locator_at = end->at - LOCATOR_BYTES;
    TRY(sc_source_read(s, locator_at, locator, sizeof locator, e));
    if (!is_signature(locator, 6, 7))
        return 0;

    const uint64_t at = sc_le64(locator + 8);
    *why = "its zip64 end record is damaged";
    if (locator_at < END64_BYTES || at > locator_at - END64_BYTES)
        return 0;
    TRY(sc_source_read(s, at, p, sizeof p, e));
    if (!is_signature(p, 6, 6) || sc_le64(p + 4) != locator_at - at - 12)
        return 0;
    *why = "it is one of several parts";
    if (sc_le32(locator + 4) || sc_le32(p + 16) || sc_le32(p + 20) ||
        sc_le64(p + 24) != sc_le64(p + 32))
        return 0;
    *why = "its two end records contradict each other";
    *end = (struct end){sc_le64(p + 32), sc_le64(p + 48), sc_le64(p + 40), at};
    if (!agrees(sc_le16(end_record + 10), UINT16_MAX, end->members) ||
        !agrees(sc_le32(end_record + 12), UINT32_MAX, end->directory_bytes) ||
        !agrees(sc_le32(end_record + 16), UINT32_MAX, end->directory))
        return 0;
    *why = NULL;
    return 0;
}

/* The checks that tie the directory to its place. NULL: fine. */
static const char *judge_end(const struct end *end)
{
    if (end->directory > end->at || end->directory_bytes != end->at - end->directory)
        return "its directory does not lie where the end record says";
    if (end->members > end->directory_bytes / RECORD_BYTES)
        return "it says it has more members than its directory can hold";
    return NULL;
}

/* Finds the directory. 0 with *why set: there is none that can be trusted, and why. */
static int locate(struct sc_source *s, struct end *end, const char **why, struct sc_error *e)
{
    uint8_t last[END_BYTES];
    uint8_t *tail = NULL;
    const uint8_t *p = NULL;
    int code = 0;

    *end = (struct end){0};
    *why = "it has no end record (a truncated download?)";
    if (s->size < END_BYTES)
        return 0;
    /* Nearly every archive ends without a comment: 22 bytes instead of 64 KiB. */
    TRY(sc_source_read(s, s->size - END_BYTES, last, sizeof last, e));
    if (is_signature(last, 5, 6) && sc_le16(last + 20) == 0) {
        p = last;
        end->at = s->size - END_BYTES;
    } else {
        const size_t n = (size_t)SC_MIN(s->size, (uint64_t)END_SEARCH);
        tail = sc_alloc(n);
        if (!tail)
            return sc_fail_memory(e);
        code = sc_source_read(s, s->size - n, tail, n, e);
        if (code < 0)
            goto done;
        p = search_end(tail, n);
        if (!p)
            goto done;
        end->at = s->size - n + (uint64_t)(p - tail);
    }
    *why = "it is one of several parts";
    if (sc_le16(p + 4) != sc_le16(p + 6) || sc_le16(p + 8) != sc_le16(p + 10) ||
        (sc_le16(p + 4) != 0 && sc_le16(p + 4) != UINT16_MAX))
        goto done;
    *why = NULL;
    end->members = sc_le16(p + 10);
    end->directory_bytes = sc_le32(p + 12);
    end->directory = sc_le32(p + 16);
    code = read_end64(s, p, end, why, e);
    if (code == 0 && !*why)
        *why = judge_end(end);
done:
    free(tail);
    return code;
}

bool sc_zip_has_suffix(struct sc_source *s, const char *suffix)
{
    struct end end;
    const char *why;
    bool found = false;
    if (locate(s, &end, &why, NULL) < 0 || why)
        return false;

    struct sc_reader r;
    sc_reader_start(&r, s, end.directory, 4096);
    r.end = end.directory + SC_MIN(end.directory_bytes, (uint64_t)PEEK_DIRECTORY);
    for (uint64_t i = 0; i < end.members && !found; i++) {
        const uint8_t *p, *name;
        if (sc_reader_take(&r, RECORD_BYTES, &p, "directory", NULL) < 0 || !is_signature(p, 1, 2))
            break;
        const size_t n = sc_le16(p + 28), rest = (size_t)sc_le16(p + 30) + sc_le16(p + 32);
        if (sc_reader_take(&r, n, &name, "directory", NULL) < 0)
            break;
        found = sc_str_ends(sc_str((const char *)name, n), suffix);
        if (sc_reader_skip(&r, rest, "directory", NULL) < 0)
            break;
    }
    sc_reader_clear(&r);
    return found;
}

/* ------------------------------------------------------------------------------ directory --- */

/* Replaces the fields that are all ones by those of the zip64 extra field. false: it should be
 * there and is not, or is too short. */
static bool widen(struct sc_zip_member *m, const uint8_t *extra, size_t n)
{
    uint64_t *const field[] = {&m->bytes, &m->stored, &m->header}; /* order is the format's */
    bool needed = false;
    for (size_t i = 0; i < SC_COUNT(field); i++)
        needed = needed || *field[i] == UINT32_MAX;
    if (!needed)
        return true;

    struct sc_cursor c = {.p = extra, .end = extra + n};
    uint16_t id, len;
    const uint8_t *body;
    while (sc_cursor_u16(&c, &id) && sc_cursor_u16(&c, &len) && sc_cursor_take(&c, len, &body)) {
        if (id != 1)
            continue;
        struct sc_cursor wide = {.p = body, .end = body + len};
        for (size_t i = 0; i < SC_COUNT(field); i++)
            if (*field[i] == UINT32_MAX && !sc_cursor_u64(&wide, field[i]))
                return false;
        return true;
    }
    return false;
}

/* One record of the directory. 1: it and what follows cannot be read (lenient). */
static int read_record(struct opening *o, struct sc_reader *r)
{
    const uint8_t *p;
    const uint64_t at = r->pos;
    if (sc_reader_left(r) < RECORD_BYTES)
        return BAD(o, "zip.directory", at, "the zip directory ends inside member %zu", o->n);
    TRY(sc_reader_take(r, RECORD_BYTES, &p, "the zip directory", o->e));
    if (!is_signature(p, 1, 2))
        return BAD(o, "zip.directory", at, "member %zu of the zip directory has no signature",
                   o->n);
    struct sc_zip_member m = {
        .flags = sc_le16(p + 8),
        .method = sc_le16(p + 10),
        .crc32 = sc_le32(p + 16),
        .stored = sc_le32(p + 20),
        .bytes = sc_le32(p + 24),
        .header = sc_le32(p + 42),
        .usable = true,
    };
    const size_t name = sc_le16(p + 28), extra = sc_le16(p + 30), comment = sc_le16(p + 32);
    if (sc_reader_left(r) < name + extra + comment)
        return BAD(o, "zip.directory", at, "the zip directory ends inside member %zu", o->n);
    TRY(sc_reader_take(r, name + extra + comment, &p, "the zip directory", o->e));
    m.name = sc_str(sc_arena_copy(o->arena, p, name), name);
    if (!m.name.p)
        return sc_fail_memory(o->e);
    if (!widen(&m, p + name, extra)) {
        struct sc_quoted q;
        const int code = BAD(o, "zip.directory", at,
                             "member \"%s\" lacks the zip64 sizes that its record refers to",
                             sc_quote(&q, m.name));
        if (code < 0)
            return code;
        m.usable = false;
    }
    TRY(sc_grow(&o->members, &o->cap, o->n + 1, sizeof o->members[0], o->e));
    o->members[o->n++] = m;
    return 0;
}

static int read_directory(struct opening *o, const struct end *end)
{
    struct sc_reader r;
    int code = 0;
    sc_reader_start(&r, o->s, end->directory,
                    (size_t)SC_MIN(end->directory_bytes, (uint64_t)65536));
    r.end = end->directory + end->directory_bytes;
    for (uint64_t i = 0; i < end->members && code == 0; i++) {
        if (sc_cancelled(o->c))
            code = sc_fail(o->e, SCRUPLE_EINTERRUPTED, "interrupted");
        else
            code = read_record(o, &r);
    }
    if (code == 0 && sc_reader_left(&r) > 0)
        code = BAD(o, "zip.directory", r.pos,
                   "%llu bytes follow the last of %llu members in the zip directory",
                   (unsigned long long)sc_reader_left(&r), (unsigned long long)end->members);
    sc_reader_clear(&r);
    return SC_MIN(code, 0);
}

/* --------------------------------------------------------------------------------- members --- */

/* What the record says by itself. 1: the member cannot be used. */
static int judge_record(struct opening *o, const struct sc_zip_member *m)
{
    struct sc_quoted q;
    if (m->method != 0 && m->method != 8) {
        TRY(WARN(o, "zip.method", m->header,
                 "member \"%s\" is packed with method %u; only 0 (stored) and 8 (deflated) can be "
                 "read",
                 sc_quote(&q, m->name), m->method));
        return 1;
    }
    if (m->method == 0 && m->stored != m->bytes)
        return BAD(o, "zip.size", m->header,
                   "member \"%s\" is stored plainly, but as %llu bytes of which it claims %llu",
                   sc_quote(&q, m->name), (unsigned long long)m->stored,
                   (unsigned long long)m->bytes);
    return 0;
}

/* The sizes of a local header are free when a data descriptor follows, and all ones in zip64. */
static bool local_sizes_agree(const struct sc_zip_member *m, const uint8_t *p)
{
    if (sc_le16(p + 6) & FLAG_DESCRIPTOR)
        return true;
    return sc_le32(p + 14) == m->crc32 && agrees(sc_le32(p + 18), UINT32_MAX, m->stored) &&
           agrees(sc_le32(p + 22), UINT32_MAX, m->bytes);
}

/* ------------------------------------------------------------------------ over a network --- */
/* A local header in front of every member means a round trip for each of hundreds. In the archives
 * of torch they can be done without: a member ends where the next begins, its length is known, and
 * its data begin at a multiple of 64, with just the padding in front that this takes. What fits
 * that in one way only is believed; all other local headers are read, and so is one that lies in
 * what was fetched anyway. */
enum {
    REMOTE_WINDOW = 64 << 10, /* at both ends of the file */
    REMOTE_LOCAL = 512,       /* a local header, and the header of an array after it */
    ALIGNMENT = 64,
    MAX_PADDING = ALIGNMENT + 4 + 20, /* with the head of an extra field, and zip64 sizes */
};

/* Where the data of m begin when they end before `next`: behind them stands nothing, or a data
 * descriptor of 16 bytes (24 in zip64) with its signature. 0: that cannot be told. */
static uint64_t data_before(const struct sc_zip_member *m, uint64_t next)
{
    static const unsigned behind[] = {0, 16, 24};
    const uint64_t first = m->header + LOCAL_BYTES + m->name.n;
    if (m->method != 0 || m->stored > next)
        return 0;
    for (size_t i = 0; i < SC_COUNT(behind); i++) {
        const uint64_t at = next - m->stored - behind[i]; /* at most one is a multiple */
        if ((behind[i] > 0) == ((m->flags & FLAG_DESCRIPTOR) != 0) && at % ALIGNMENT == 0 &&
            at >= first && at - first <= MAX_PADDING)
            return at;
    }
    return 0;
}

static bool read_anyway(const struct opening *o, const struct sc_zip_member *m)
{
    return m->header < REMOTE_WINDOW || o->s->size - m->header <= REMOTE_WINDOW ||
           sc_str_ends(m->name, ".npy") || sc_str_ends(m->name, ".pkl");
}

static int by_header(const void *a, const void *b)
{
    const struct sc_zip_member *x = *(const struct sc_zip_member *const *)a;
    const struct sc_zip_member *y = *(const struct sc_zip_member *const *)b;
    return (x->header > y->header) - (x->header < y->header);
}

/* Sets the data position of every member that needs no look, and has the local headers of all
 * others fetched at once. */
static int place_remote(struct opening *o, uint64_t limit)
{
    struct sc_zip_member **order = sc_alloc(o->n * sizeof(struct sc_zip_member *));
    struct sc_span *spans = sc_alloc(o->n * sizeof *spans);
    size_t n = 0;
    int code = order && spans ? 0 : sc_fail_memory(o->e);
    for (size_t i = 0; code == 0 && i < o->n; i++)
        order[i] = &o->members[i];
    if (code == 0 && o->n > 1)
        qsort(order, o->n, sizeof(struct sc_zip_member *), by_header);
    for (size_t i = 0; code == 0 && i < o->n; i++) {
        struct sc_zip_member *m = order[i];
        if (m->header > limit)
            continue; /* said later */
        const uint64_t next = i + 1 < o->n ? SC_MIN(order[i + 1]->header, limit) : limit;
        m->data = read_anyway(o, m) ? 0 : data_before(m, next);
        m->unseen = m->data != 0;
        if (!m->data)
            spans[n++] =
                (struct sc_span){m->header, SC_MIN((uint64_t)REMOTE_LOCAL, limit - m->header)};
    }
    if (code == 0)
        sc_source_prefetch(o->s, spans, n);
    free(order);
    free(spans);
    return code;
}

/* Reads the local header and finds where the data begin. 1: the member cannot be used. */
static int read_local(struct opening *o, struct sc_zip_member *m, uint64_t limit)
{
    struct sc_quoted q;
    const uint64_t need = LOCAL_BYTES + m->name.n;
    if (m->data)
        return 0; /* placed without it, inside the file */
    if (m->header > limit || need > limit - m->header)
        return BAD(o, "zip.range", m->header,
                   "member \"%s\" begins at byte %llu, but members end at byte %llu",
                   sc_quote(&q, m->name), (unsigned long long)m->header, (unsigned long long)limit);
    TRY(sc_grow(&o->local, &o->local_cap, (size_t)need, 1, o->e));
    uint8_t *p = o->local;
    TRY(sc_source_read(o->s, m->header, p, (size_t)need, o->e));
    if (!is_signature(p, 3, 4))
        return BAD(o, "zip.local-mismatch", m->header,
                   "member \"%s\" has no local header at byte %llu", sc_quote(&q, m->name),
                   (unsigned long long)m->header);
    if (sc_le16(p + 26) != m->name.n || memcmp(p + LOCAL_BYTES, m->name.p, m->name.n) != 0 ||
        sc_le16(p + 8) != m->method)
        return BAD(o, "zip.local-mismatch", m->header,
                   "the local header of member \"%s\" has another name or method than the "
                   "directory",
                   sc_quote(&q, m->name));
    if (!local_sizes_agree(m, p))
        TRY(WARN(o, "zip.local-mismatch", m->header,
                 "the local header of member \"%s\" has another size or CRC than the directory",
                 sc_quote(&q, m->name)));
    if ((m->flags | sc_le16(p + 6)) & FLAG_ENCRYPTED)
        TRY(WARN(o, "zip.encrypted", m->header,
                 "member \"%s\" is marked as encrypted; torch ignores that, and so do we",
                 sc_quote(&q, m->name)));
    m->data = m->header + need + sc_le16(p + 28);
    if (m->data > limit || m->stored > limit - m->data)
        return BAD(o, "zip.range", m->header,
                   "member \"%s\" needs %llu bytes from byte %llu on, but members end at byte %llu",
                   sc_quote(&q, m->name), (unsigned long long)m->stored,
                   (unsigned long long)m->data, (unsigned long long)limit);
    return 0;
}

static int judge_members(struct opening *o, uint64_t limit)
{
    if (o->s->remote && o->n > 0)
        TRY(place_remote(o, limit));
    for (size_t i = 0; i < o->n; i++) {
        struct sc_zip_member *m = &o->members[i];
        if (sc_cancelled(o->c))
            return sc_fail(o->e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (!m->usable)
            continue;
        int code = judge_record(o, m);
        if (code >= 0) {
            /* Also for a method that we cannot unpack: its range counts. */
            const int local = read_local(o, m, limit);
            code = local != 0 ? local : code;
        }
        if (code < 0)
            return code;
        m->usable = code == 0;
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- ranges --- */

struct range {
    uint64_t begin, end;
    size_t member;
};

static int compare_ranges(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* A stretch between two members: the data descriptor of the first, or nobody's. */
static int judge_gap(struct opening *o, const struct sc_zip_member *before, uint64_t from,
                     uint64_t to, uint64_t *overhead)
{
    const uint64_t gap = to - from;
    if (before && before->flags & FLAG_DESCRIPTOR && gap <= MAX_DESCRIPTOR) {
        *overhead += gap;
        return 0;
    }
    if (gap > 0)
        TRY(WARN(o, "zip.hole", from, "%llu bytes at byte %llu belong to no member",
                 (unsigned long long)gap, (unsigned long long)from));
    return 0;
}

/* Members may not overlap: that is how a small file unpacks to a huge one, and how one reader is
 * shown other bytes than the next. Adds what is not data to *overhead. */
static int judge_ranges(struct opening *o, uint64_t limit, uint64_t *overhead)
{
    struct range *ranges = NULL;
    size_t n = 0, cap = 0;
    int code = sc_grow(&ranges, &cap, o->n, sizeof ranges[0], o->e);
    if (code < 0)
        return code;
    for (size_t i = 0; i < o->n; i++) {
        const struct sc_zip_member *m = &o->members[i];
        if (m->data > 0 && m->data <= limit && m->stored <= limit - m->data)
            ranges[n++] = (struct range){m->header, m->data + m->stored, i};
    }
    if (n > 1)
        qsort(ranges, n, sizeof ranges[0], compare_ranges);

    uint64_t end = 0;
    const struct sc_zip_member *before = NULL;
    for (size_t i = 0; i < n && code >= 0; i++) {
        struct sc_zip_member *m = &o->members[ranges[i].member];
        struct sc_quoted q, r;
        if (before && ranges[i].begin < end) {
            code = BAD(o, "zip.overlap", ranges[i].begin,
                       "member \"%s\" overlaps member \"%s\", which ends at byte %llu",
                       sc_quote(&q, m->name), sc_quote(&r, before->name), (unsigned long long)end);
            m->usable = false;
            continue;
        }
        code = judge_gap(o, before, end, ranges[i].begin, overhead);
        *overhead += m->data - m->header;
        end = ranges[i].end;
        before = m;
    }
    if (code >= 0)
        code = judge_gap(o, before, end, limit, overhead);
    free(ranges);
    return SC_MIN(code, 0);
}

/* ----------------------------------------------------------------------------------- names --- */

struct named {
    struct sc_str name;
    uint32_t member;
};

static int compare_names(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    const int order = sc_str_cmp(x->name, y->name);
    return order ? order : (x->member > y->member) - (x->member < y->member);
}

static int sort_names(struct opening *o, struct sc_zip *zip)
{
    struct named *list = NULL;
    size_t cap = 0;
    int code = sc_grow(&list, &cap, o->n, sizeof list[0], o->e);
    if (code < 0)
        return code;
    uint32_t *by_name = SC_ARENA_NEW(o->arena, uint32_t, o->n);
    if (!by_name) {
        code = sc_fail_memory(o->e);
        goto done;
    }
    for (size_t i = 0; i < o->n; i++)
        list[i] = (struct named){o->members[i].name, (uint32_t)i};
    if (o->n > 1)
        qsort(list, o->n, sizeof list[0], compare_names);
    for (size_t i = 0; i < o->n && code >= 0; i++) {
        by_name[i] = list[i].member;
        if (i > 0 && sc_str_eq(list[i].name, list[i - 1].name)) {
            struct sc_quoted q;
            struct sc_zip_member *m = &o->members[list[i].member];
            code = BAD(o, "zip.duplicate", m->header, "member \"%s\" is there twice",
                       sc_quote(&q, m->name));
            m->usable = false;
        }
    }
    zip->by_name = by_name;
done:
    free(list);
    return SC_MIN(code, 0);
}

int sc_zip_check_local(struct sc_source *s, const struct sc_storage *storage, struct sc_error *e)
{
    uint8_t p[LOCAL_BYTES];
    char *name = NULL;
    struct sc_quoted q, r;
    bool fits = false;
    int code = 0;
    if (storage->unseen == 0)
        return 0;
    const uint64_t at = storage->offset - storage->unseen;
    TRY(sc_source_read(s, at, p, sizeof p, e));
    const size_t n = sc_le16(p + 26), extra = sc_le16(p + 28), key = strlen(storage->key);
    if (is_signature(p, 3, 4) && sc_le16(p + 8) == storage->method &&
        LOCAL_BYTES + n + extra == storage->unseen && n >= key) {
        name = sc_alloc(n);
        if (!name)
            return sc_fail_memory(e);
        code = sc_source_read(s, at + LOCAL_BYTES, name, n, e);
        fits = code == 0 && sc_str_ends(sc_str(name, n), storage->key) &&
               (n == key || name[n - key - 1] == '/');
        free(name);
    }
    if (code < 0 || fits)
        return code;
    return sc_fail_at(
        e, SCRUPLE_EFORMAT, at,
        "%s: the local header of member \"%s\" at byte %llu contradicts the directory "
        "of the archive",
        sc_quote(&q, sc_strz(s->name)), sc_quote(&r, sc_strz(storage->key)),
        (unsigned long long)at);
}

int sc_zip_open(struct sc_catalog *c, uint32_t file, struct sc_source *s, struct sc_arena *arena,
                struct sc_zip *zip, struct sc_error *e)
{
    struct opening o = {.c = c, .file = file, .s = s, .arena = arena, .e = e};
    struct end end;
    const char *why;
    *zip = (struct sc_zip){0};
    const uint64_t window = SC_MIN(s->size, (uint64_t)REMOTE_WINDOW);
    if (window > 0)
        sc_source_prefetch(s, &(struct sc_span){s->size - window, window}, 1);
    TRY(locate(s, &end, &why, e));
    if (why)
        return sc_problem(c, SC_ERROR, "zip.end", file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                          "this zip archive cannot be read: %s", why);
    if (end.members >= UINT32_MAX)
        return sc_fail(e, SCRUPLE_ELIMIT, "this zip archive has more than %u members",
                       UINT32_MAX - 1);
    const uint64_t directory = SC_MIN(end.directory_bytes, (uint64_t)PEEK_DIRECTORY);
    if (directory > 0)
        sc_source_prefetch(s, &(struct sc_span){end.directory, directory}, 1);
    zip->directory_offset = end.directory;
    zip->directory_bytes = s->size - end.directory;
    zip->overhead = zip->directory_bytes;

    int code = read_directory(&o, &end);
    if (code >= 0)
        code = judge_members(&o, end.directory);
    if (code >= 0)
        code = judge_ranges(&o, end.directory, &zip->overhead);
    if (code >= 0)
        code = sort_names(&o, zip);
    if (code >= 0) {
        zip->members = SC_ARENA_NEW(arena, struct sc_zip_member, o.n);
        if (zip->members && o.n > 0)
            memcpy(zip->members, o.members, o.n * sizeof o.members[0]);
        zip->n = zip->members ? o.n : 0;
        code = zip->members ? 0 : sc_fail_memory(e);
    }
    free(o.members);
    free(o.local);
    return code;
}

const struct sc_zip_member *sc_zip_find(const struct sc_zip *zip, struct sc_str name)
{
    size_t low = 0, high = zip->n;
    while (low < high) { /* the first that is not below name */
        const size_t mid = low + (high - low) / 2;
        if (sc_str_cmp(zip->members[zip->by_name[mid]].name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == zip->n)
        return NULL;
    const struct sc_zip_member *m = &zip->members[zip->by_name[low]];
    return sc_str_eq(m->name, name) ? m : NULL;
}
