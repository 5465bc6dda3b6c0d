/* SPDX-License-Identifier: Apache-2.0 */
/* ranges_log: the log of ranges; its layout is in hub/ranges.h. */
#include "hub/ranges.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC     "scrpmap\n"
#define VERSION   2
#define HEAD      28 /* header without etag and checksum */
#define CHUNK     ((size_t)64 << 10)
#define LOG_CHUNK ((size_t)4 << 10)
#define FEW       32 /* units that are added one by one */

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

uint32_t sc_ranges_crc(const void *p, size_t n)
{
    return libdeflate_crc32(0, p, n);
}

size_t sc_ranges_make_header(uint8_t out[SC_RANGES_HEADER], const char *etag, uint64_t size,
                             uint32_t salt)
{
    size_t n = strlen(etag);
    memcpy(out, MAGIC, 8);
    put32(out + 8, VERSION);
    put32(out + 12, (uint32_t)n);
    put64(out + 16, size);
    put32(out + 24, salt);
    memcpy(out + HEAD, etag, n);
    put32(out + HEAD + n, sc_ranges_crc(out, HEAD + n));
    return HEAD + n + 4;
}

/* What a log says of its object. false: it is none of ours, or damaged. */
bool sc_ranges_read_header(int fd, char etag[SC_RANGES_ETAG + 1], uint64_t *size, uint32_t *salt,
                           uint64_t *bytes)
{
    uint8_t h[SC_RANGES_HEADER];
    if (!sc_read_at(fd, h, HEAD, 0) || memcmp(h, MAGIC, 8) != 0 || sc_le32(h + 8) != VERSION)
        return false;
    size_t n = sc_le32(h + 12);
    if (n > SC_RANGES_ETAG || !sc_read_at(fd, h + HEAD, n + 4, HEAD) ||
        sc_le32(h + HEAD + n) != sc_ranges_crc(h, HEAD + n))
        return false;
    memcpy(etag, h + HEAD, n);
    etag[n] = '\0';
    *size = sc_le64(h + 16);
    *salt = sc_le32(h + 24);
    *bytes = HEAD + n + 4;
    return strlen(etag) == n && *size <= INT64_MAX;
}

void sc_ranges_put_record(const struct sc_ranges *r, uint8_t p[SC_RANGES_RECORD], uint64_t off,
                          uint64_t len, uint32_t crc)
{
    put64(p, off);
    put64(p + 8, len);
    put32(p + 16, crc);
    put32(p + 20, libdeflate_crc32(r->salt, p, 20));
}

static bool is_record(const struct sc_ranges *r, const uint8_t *p)
{
    return sc_le32(p + 20) == libdeflate_crc32(r->salt, p, 20);
}

/* Units that were read of the log and are not yet among the extents. */
struct batch {
    struct sc_extent *p;
    size_t n, cap;
};

/* `at`: as in struct sc_unit. */
static bool take_record(const struct sc_ranges *r, const uint8_t *p, uint64_t at, struct batch *b)
{
    struct sc_unit u = {.off = sc_le64(p), .crc = sc_le32(p + 16), .at = at};
    uint64_t len = sc_le64(p + 8) & ~SC_RANGES_CARRIES;
    if (len == 0 || !sc_add(u.off, len, &u.end) || u.end > r->size || (at && r->plain))
        return true; /* of another object: as if it were not there */
    if (sc_grow(&b->p, &b->cap, b->n + 1, sizeof b->p[0], NULL) < 0)
        return false;
    b->p[b->n++] = (struct sc_extent){u.off, u.end, u, at != 0};
    return true;
}

static void take_batch(struct sc_ranges *r, struct batch *b)
{
    bool ok = b->n > FEW && sc_extents_add_all(&r->extents, b->p, b->n);
    for (size_t i = 0; i < b->n && !ok && b->n <= FEW; i++)
        sc_extents_add(&r->extents, b->p[i].unit, b->p[i].sound);
    free(b->p);
}

/* Do the bytes from `from` on fit? Through a small buffer. */
static bool check_bytes(int fd, uint64_t from, uint64_t len, uint32_t want)
{
    uint8_t *buf = sc_alloc(CHUNK);
    uint32_t crc = 0;
    bool ok = buf != NULL;
    for (uint64_t done = 0; ok && done < len;) {
        size_t n = (size_t)SC_MIN(len - done, (uint64_t)CHUNK);
        ok = sc_read_at(fd, buf, n, from + done);
        if (ok)
            crc = libdeflate_crc32(crc, buf, n);
        done += n;
    }
    free(buf);
    return ok && crc == want;
}

/* Was what stands at `from` in the log checked before, or written by us? */
static bool is_known(const struct sc_ranges *r, uint64_t off, uint64_t from)
{
    size_t i = sc_extents_at(&r->extents, off);
    return i < r->extents.n && r->extents.p[i].unit.at == from && r->extents.p[i].sound;
}

static void take_name(struct sc_ranges *r, int fd, uint64_t from, uint64_t len)
{
    char *name = r->name || len > SC_RANGES_NAME ? NULL : sc_alloc((size_t)len + 1);
    if (!name)
        return;
    name[len] = '\0';
    if (sc_read_at(fd, name, (size_t)len, from) && strlen(name) == len)
        r->name = name;
    else
        free(name);
}

/* A piece of the log, read at r->map_at, up to the first record that carries bytes. */
struct piece {
    int fd;
    uint64_t end; /* of the log */
    const uint8_t *p;
    size_t n;
    uint64_t torn; /* where bytes are missing at the end of the log; perhaps they come; 0: none */
};

/* A record that carries bytes, which are checked here: whoever was killed wrote only some of them.
 * 0: it is as if it were none; else how long it is. */
static uint64_t take_carrier(struct sc_ranges *r, struct piece *w, size_t at, struct batch *b)
{
    const uint8_t *p = w->p + at;
    const uint64_t len = sc_le64(p + 8) & ~SC_RANGES_CARRIES,
                   from = r->map_at + at + SC_RANGES_RECORD;
    const uint32_t crc = sc_le32(p + 16);
    if (len > SC_RANGES_UNIT)
        return 0;
    if (len > w->end - from && !w->torn)
        w->torn = r->map_at + at;
    if (len > w->end - from ||
        (!is_known(r, sc_le64(p), from) && !check_bytes(w->fd, from, len, crc)))
        return 0;
    if (sc_le64(p) == SC_RANGES_IS_NAME)
        take_name(r, w->fd, from, len);
    else if (!take_record(r, p, from, b))
        return 0; /* no memory */
    return SC_RANGES_RECORD + len;
}

/* Moves on in the log. */
static void take_piece(struct sc_ranges *r, struct piece *w, struct batch *b)
{
    size_t at = 0;
    while (w->n - at >= SC_RANGES_RECORD) {
        const uint8_t *p = w->p + at;
        uint64_t used = 0;
        if (is_record(r, p)) {
            if (sc_le64(p + 8) & SC_RANGES_CARRIES)
                used = take_carrier(r, w, at, b);
            else if (take_record(r, p, 0, b))
                used = SC_RANGES_RECORD;
        }
        r->junk += used == 0;
        if (used > 0)
            w->torn = 0; /* somebody wrote behind it: nothing more comes */
        if (used > SC_RANGES_RECORD) {
            r->map_at += at + used;
            return;
        }
        at += used ? (size_t)used : 1;
    }
    r->map_at += at;
}

/* Reads what was appended since. With the lock held. */
void sc_ranges_read_log(struct sc_ranges *r)
{
    struct stat st;
    struct batch batch = {0};
    uint8_t buf[LOG_CHUNK];
    int fd = sc_ranges_take(r, &r->map);
    if (fd < 0)
        return;
    struct piece w = {.fd = fd, .p = buf};
    w.end = fstat(fd, &st) == 0 ? SC_MIN((uint64_t)st.st_size, SC_RANGES_LOG_MOST) : 0;
    const uint64_t junk = r->junk;
    while (w.end >= r->map_at + SC_RANGES_RECORD) {
        w.n = (size_t)SC_MIN(w.end - r->map_at, (uint64_t)LOG_CHUNK);
        if (!sc_read_at(fd, buf, w.n, r->map_at))
            break;
        take_piece(r, &w, &batch);
    }
    if (w.torn) { /* somebody may be writing the rest of it */
        r->map_at = w.torn;
        r->junk = junk;
    }
    take_batch(r, &batch);
    sc_ranges_give(&r->map);
}

/* One write: a record, and `n` bytes behind it. With the lock held. *end: where they end. */
bool sc_ranges_append(struct sc_ranges *r, int fd, const uint8_t record[SC_RANGES_RECORD],
                      const void *src, size_t n, uint64_t *end)
{
    union {
        const void *from;
        void *to; /* writev() does not write there */
    } bytes = {src};
    uint8_t copy[SC_RANGES_RECORD];
    memcpy(copy, record, SC_RANGES_RECORD);
    struct iovec parts[2] = {{copy, SC_RANGES_RECORD}, {bytes.to, n}};
    ssize_t done;
    while ((done = writev(fd, parts, n ? 2 : 1)) < 0 && errno == EINTR)
        ;
    if (done != (ssize_t)(SC_RANGES_RECORD + n))
        return sc_ranges_note(r, done < 0 ? errno : ENOSPC);
    off_t at = lseek(fd, 0, SEEK_CUR);
    *end = at > 0 ? (uint64_t)at : 0;
    return at > 0;
}

bool sc_ranges_append_record(struct sc_ranges *r, const struct sc_unit *u)
{
    uint8_t p[SC_RANGES_RECORD];
    uint64_t end;
    sc_ranges_put_record(r, p, u->off, u->end - u->off, u->crc);
    pthread_mutex_lock(&r->lock);
    int fd = r->map_at + SC_RANGES_RECORD <= SC_RANGES_LOG_MOST ? sc_ranges_take(r, &r->map) : -1;
    bool ok = fd >= 0 && sc_ranges_append(r, fd, p, NULL, 0, &end) &&
              sc_extents_add(&r->extents, *u, true);
    if (fd >= 0)
        sc_ranges_give(&r->map);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

/* A small part, which the log carries. */
bool sc_ranges_append_bytes(struct sc_ranges *r, uint64_t off, const void *src, size_t n)
{
    struct sc_unit u = {off, off + n, sc_ranges_crc(src, n), 0};
    uint8_t p[SC_RANGES_RECORD];
    uint64_t end = 0;
    sc_ranges_put_record(r, p, off, n | SC_RANGES_CARRIES, u.crc);
    pthread_mutex_lock(&r->lock);
    if (!r->dead && !sc_ranges_is_in_place(r, &r->map))
        r->dead = true;
    int fd = sc_ranges_take(r, &r->map);
    bool ok = fd >= 0 && sc_ranges_append(r, fd, p, src, n, &end);
    u.at = end - n;
    ok = ok && sc_extents_add(&r->extents, u, true);
    if (fd >= 0)
        sc_ranges_give(&r->map);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

struct sc_ranges_file *sc_ranges_file_of(struct sc_ranges *r, const struct sc_unit *u)
{
    return u->at ? &r->map : &r->data;
}

/* Where the file has the byte `off` of the object. */
uint64_t sc_ranges_place_of(const struct sc_unit *u, uint64_t off)
{
    return u->at ? u->at + (off - u->off) : off;
}

/* Does the whole unit fit its checksum? */
bool sc_ranges_check_unit(int fd, const struct sc_unit *u)
{
    return check_bytes(fd, sc_ranges_place_of(u, u->off), u->end - u->off, u->crc);
}
