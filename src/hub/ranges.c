/* SPDX-License-Identifier: Apache-2.0 */
/* ranges: the parts of one object that were fetched.
 *
 *     ranges/<key>.map    what is there: a log, with the bytes of small parts in it
 *     ranges/<key>.data   sparse; the bytes of all others, every one at its place in the object
 *
 * The log, all numbers little-endian:
 *
 *     offset  0   8  "scrpmap\n"
 *             8   4  version (2)
 *            12   4  bytes of the etag, n
 *            16   8  bytes of the object
 *            24   4  salt: the checksums of records begin with it
 *            28   n  etag
 *        28 + n   4  CRC-32 of all before
 *     then records of 24 bytes, a unit each:
 *             0   8  offset       8   8  length
 *            16   4  CRC-32 of the unit's bytes
 *            20   4  CRC-32 of the 20 bytes before
 *     With the highest bit of the length set, the bytes themselves follow. Such a record whose
 *     offset is 2^64 - 1 is no unit but the name that people call the object by.
 *
 * A look at a model keeps a header of each of its files, and to create a file is what takes longest
 * of keeping one; so small parts cost one file, and `data` comes into being with the first large
 * one.
 *
 * Bytes are written first, their record after them, in one write() with O_APPEND; or both in one
 * write(), the record first. So processes may append at once, and one that is killed leaves at
 * worst a piece of a record or of its bytes. Whoever reads looks for the next record byte by byte
 * behind anything that is none, or whose bytes do not fit: the checksum finds the way back, and as
 * nobody who makes files knows the salt, no file can hold what looks like a record. Nothing is
 * fsynced, because a unit is held against its checksum before any of it is served; what does not
 * fit is absent.
 *
 * In memory: disjoint extents in order. Each is the visible part of one unit, newer units cover
 * older ones. `sound` says that the unit was checked, or was written by us.
 *
 * Descriptors are opened when needed and given back when many ranges are open. An object whose
 * files were replaced or moved away (promoted to the shared cache) is dead for this handle.
 */
#include "hub/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC        "scrpmap\n"
#define VERSION      2
#define HEAD         28 /* header without etag and checksum */
#define RECORD       24
#define MAX_ETAG     1024
#define MAX_NAME     4096
#define MAX_MAP      ((uint64_t)64 << 20)
#define UNIT         ((size_t)1 << 20) /* the largest that save writes */
#define CHUNK        ((size_t)64 << 10)
#define LOG_CHUNK    ((size_t)4 << 10)
#define CARRIES      (UINT64_C(1) << 63) /* in a length: the bytes follow the record */
#define IS_NAME      UINT64_MAX          /* as an offset */
#define CARRY_MOST   ((size_t)256 << 10) /* the largest part that goes into the log */
#define LOG_MOST     ((uint64_t)4 << 20) /* and the longest log that takes more of them */
#define FEW          32                  /* units that are added one by one */
#define HELD_AT_MOST 128                 /* descriptors kept open by all ranges together */

struct file {
    int fd;         /* -1: closed at the moment */
    unsigned users; /* operations that are using it */
    bool pinned;    /* handed out: stays open */
    bool seen;      /* device and inode are known */
    dev_t device;
    ino_t inode;
};
struct unit {
    uint64_t off, end;
    uint32_t crc;
    uint64_t at; /* where the log has its bytes; 0: they are in `data` */
};
struct extent {
    uint64_t off, end; /* what is visible of ... */
    struct unit unit;
    bool sound;
};
struct sc_ranges {
    pthread_mutex_t lock;
    char *stem, *etag, *name;
    uint64_t size;
    uint32_t salt;
    bool plain; /* what the log carries does not count: all must be in `data` */
    struct file data, map;
    bool read_only;
    bool dead;       /* removed, replaced or moved away: nothing is there, nothing is kept */
    uint64_t head;   /* bytes of the header */
    uint64_t map_at; /* how far the log was read */
    uint64_t junk;   /* bytes of it that were no records */
    struct extent *extents;
    size_t n, cap;
    _Atomic int error;
};

static _Atomic unsigned held; /* descriptors open at the moment */

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

static uint32_t crc_of(const void *p, size_t n)
{
    return libdeflate_crc32(0, p, n);
}

/* ----------------------------------------------------------------------------- descriptors --- */
/* A quarter of what the process may have, so that connections do not starve. */
static bool too_many_held(void)
{
    unsigned n = atomic_load(&held);
    struct rlimit r;
    return n > HELD_AT_MOST || (getrlimit(RLIMIT_NOFILE, &r) == 0 && n > r.rlim_cur / 4);
}

static bool path_of(struct sc_buf *b, const struct sc_ranges *r, const char *name)
{
    sc_buf_printf(b, "%s.%s", r->stem, name);
    return !b->failed;
}

static const char *name_of(const struct sc_ranges *r, const struct file *f)
{
    return f == &r->data ? "data" : "map";
}

/* Notes which file it is, or sees that it is another one than before. */
static bool is_same(struct file *f, const struct stat *st)
{
    if (!f->seen) {
        f->device = st->st_dev;
        f->inode = st->st_ino;
        f->seen = true;
    }
    return f->device == st->st_dev && f->inode == st->st_ino;
}

static int open_file(struct sc_ranges *r, struct file *f, int more)
{
    struct sc_buf path = {0};
    struct stat st;
    int flags = (r->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | more;
    if (f == &r->map && !r->read_only)
        flags |= O_APPEND;
    int fd = path_of(&path, r, name_of(r, f)) ? open(path.p, flags, 0666) : -1;
    int error = path.failed ? ENOMEM : errno;
    sc_buf_clear(&path);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !is_same(f, &st))) {
        close(fd);
        fd = -1;
        error = ESTALE;
    }
    if (fd >= 0)
        atomic_fetch_add(&held, 1);
    errno = error;
    return fd;
}

/* With the lock held. -1: not to be had now. */
static int take_file(struct sc_ranges *r, struct file *f)
{
    if (r->dead) {
        errno = ESTALE;
        return -1;
    }
    if (f->fd < 0) {
        f->fd = open_file(r, f, 0);
        if (f->fd < 0) {
            r->dead = errno == ESTALE || (errno == ENOENT && f->seen);
            return -1;
        }
    }
    f->users++;
    return f->fd;
}

static void close_file(struct file *f)
{
    if (f->fd < 0)
        return;
    close(f->fd);
    f->fd = -1;
    atomic_fetch_sub(&held, 1);
}

static void give_file(struct file *f)
{
    if (--f->users == 0 && !f->pinned && too_many_held())
        close_file(f);
}

/* -------------------------------------------------------------------------------- extents --- */
/* The first extent that ends behind off. */
static size_t extent_at(const struct sc_ranges *r, uint64_t off)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->extents[mid].end > off)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static bool same_unit(const struct unit *a, const struct unit *b)
{
    return a->off == b->off && a->end == b->end && a->crc == b->crc && a->at == b->at;
}

/* Replaces extents [from, to) by k others. */
static bool splice(struct sc_ranges *r, size_t from, size_t to, const struct extent *with, size_t k)
{
    size_t n = r->n - (to - from) + k;
    if (sc_grow(&r->extents, &r->cap, n, sizeof r->extents[0], NULL) < 0)
        return false;
    memmove(&r->extents[from + k], &r->extents[to], (r->n - to) * sizeof r->extents[0]);
    if (k)
        memcpy(&r->extents[from], with, k * sizeof with[0]);
    r->n = n;
    return true;
}

/* A new unit covers what older ones say of the same bytes. */
static bool add_unit(struct sc_ranges *r, struct unit u, bool sound)
{
    struct extent with[3];
    size_t from = extent_at(r, u.off), to = from, k = 0;
    struct extent *x = r->extents;
    if (from < r->n && same_unit(&x[from].unit, &u) && x[from].off == u.off &&
        x[from].end == u.end) {
        x[from].sound = x[from].sound || sound;
        return true;
    }
    while (to < r->n && x[to].off < u.end)
        to++;
    if (to > from && x[from].off < u.off) {
        with[k] = x[from];
        with[k++].end = u.off;
    }
    with[k++] = (struct extent){u.off, u.end, u, sound};
    if (to > from && x[to - 1].end > u.end) {
        with[k] = x[to - 1];
        with[k++].off = u.end;
    }
    return splice(r, from, to, with, k);
}

/* Many at once: one pass over all starts in order, with a heap of those that cover the place, the
 * newest on top. A log in any order costs n log n. */
struct sweep {
    const struct extent *in; /* older ones first */
    size_t *heap, n_heap;    /* their numbers */
};

static int by_start(const void *a, const void *b)
{
    const struct extent *x = *(const struct extent *const *)a,
                        *y = *(const struct extent *const *)b;
    return x->off != y->off ? (x->off < y->off ? -1 : 1) : x < y ? -1 : x > y;
}

static void heap_push(struct sweep *w, size_t item)
{
    size_t i = w->n_heap++;
    for (; i > 0 && w->heap[(i - 1) / 2] < item; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = item;
}

static void heap_pop(struct sweep *w)
{
    size_t last = w->heap[--w->n_heap], i = 0, child;
    for (; (child = 2 * i + 1) < w->n_heap; i = child) {
        child += child + 1 < w->n_heap && w->heap[child + 1] > w->heap[child];
        if (w->heap[child] <= last)
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
}

/* Appends [off, end) of item x; joins what belongs together. */
static void put_visible(struct sc_ranges *r, const struct extent *x, uint64_t off, uint64_t end)
{
    struct extent *last = r->n ? &r->extents[r->n - 1] : NULL;
    if (last && last->end == off && same_unit(&last->unit, &x->unit)) {
        last->end = end;
        last->sound = last->sound || x->sound;
        return;
    }
    r->extents[r->n] = *x; /* NOLINT(clang-analyzer-core.NullDereference): room was made */
    r->extents[r->n].off = off;
    r->extents[r->n++].end = end;
}

static void run_sweep(struct sc_ranges *r, struct sweep *w, const struct extent *const *starts,
                      size_t n)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n || w->n_heap > 0;) {
        if (w->n_heap == 0)
            at = starts[i]->off;
        for (; i < n && starts[i]->off <= at; i++)
            heap_push(w, (size_t)(starts[i] - w->in));
        const struct extent *top = &w->in[w->heap[0]];
        if (top->end <= at) {
            heap_pop(w);
            continue;
        }
        uint64_t end = i < n ? SC_MIN(top->end, starts[i]->off) : top->end;
        put_visible(r, top, at, end);
        at = end;
    }
}

/* Every start and every end makes at most one border: room for twice as many. */
static bool add_units(struct sc_ranges *r, const struct extent *units, size_t n)
{
    size_t all = r->n + n;
    struct extent *in = sc_calloc(all, sizeof *in);
    const struct extent **starts = sc_calloc(all, sizeof *starts);
    struct sweep w = {.in = in, .heap = sc_calloc(all, sizeof *w.heap)};
    bool ok = in && starts && w.heap &&
              sc_grow(&r->extents, &r->cap, 2 * all, sizeof r->extents[0], NULL) == 0 && r->extents;
    if (ok) {
        if (r->n)
            memcpy(in, r->extents, r->n * sizeof *in);
        memcpy(in + r->n, units, n * sizeof *in);
        for (size_t i = 0; i < all; i++)
            starts[i] = &in[i];
        qsort(starts, all, sizeof *starts, by_start);
        r->n = 0;
        run_sweep(r, &w, starts, all);
    }
    free(in);
    free(starts);
    free(w.heap);
    return ok;
}

/* After a checksum that does not fit: no part of the unit is there. */
static void drop_unit(struct sc_ranges *r, const struct unit *u)
{
    size_t from = extent_at(r, u->off), to = from;
    for (size_t i = from; i < r->n && r->extents[i].off < u->end; i++)
        to = i + 1;
    size_t kept = from;
    for (size_t i = from; i < to; i++)
        if (!same_unit(&r->extents[i].unit, u))
            r->extents[kept++] = r->extents[i];
    splice(r, kept, to, NULL, 0);
}

static void mark_sound(struct sc_ranges *r, const struct unit *u)
{
    for (size_t i = extent_at(r, u->off); i < r->n && r->extents[i].off < u->end; i++)
        if (same_unit(&r->extents[i].unit, u))
            r->extents[i].sound = true;
}

/* ------------------------------------------------------------------------------------ log --- */
static size_t make_header(uint8_t out[HEAD + MAX_ETAG + 4], const char *etag, uint64_t size,
                          uint32_t salt)
{
    size_t n = strlen(etag);
    memcpy(out, MAGIC, 8);
    put32(out + 8, VERSION);
    put32(out + 12, (uint32_t)n);
    put64(out + 16, size);
    put32(out + 24, salt);
    memcpy(out + HEAD, etag, n);
    put32(out + HEAD + n, crc_of(out, HEAD + n));
    return HEAD + n + 4;
}

static bool read_at(int fd, void *dst, size_t n, uint64_t off)
{
    for (char *at = dst; n > 0;) {
        ssize_t got = pread(fd, at, n, (off_t)off);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        off += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

/* What a log says of its object. false: it is none of ours, or damaged. */
static bool read_header(int fd, char etag[MAX_ETAG + 1], uint64_t *size, uint32_t *salt,
                        uint64_t *bytes)
{
    uint8_t h[HEAD + MAX_ETAG + 4];
    if (!read_at(fd, h, HEAD, 0) || memcmp(h, MAGIC, 8) != 0 || sc_le32(h + 8) != VERSION)
        return false;
    size_t n = sc_le32(h + 12);
    if (n > MAX_ETAG || !read_at(fd, h + HEAD, n + 4, HEAD) ||
        sc_le32(h + HEAD + n) != crc_of(h, HEAD + n))
        return false;
    memcpy(etag, h + HEAD, n);
    etag[n] = '\0';
    *size = sc_le64(h + 16);
    *salt = sc_le32(h + 24);
    *bytes = HEAD + n + 4;
    return strlen(etag) == n && *size <= INT64_MAX;
}

static void put_record(const struct sc_ranges *r, uint8_t p[RECORD], uint64_t off, uint64_t len,
                       uint32_t crc)
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
    struct extent *p;
    size_t n, cap;
};

/* `at`: as in struct unit. */
static bool take_record(const struct sc_ranges *r, const uint8_t *p, uint64_t at, struct batch *b)
{
    struct unit u = {.off = sc_le64(p), .crc = sc_le32(p + 16), .at = at};
    uint64_t len = sc_le64(p + 8) & ~CARRIES;
    if (len == 0 || !sc_add(u.off, len, &u.end) || u.end > r->size || (at && r->plain))
        return true; /* of another object: as if it were not there */
    if (sc_grow(&b->p, &b->cap, b->n + 1, sizeof b->p[0], NULL) < 0)
        return false;
    b->p[b->n++] = (struct extent){u.off, u.end, u, at != 0};
    return true;
}

static void take_batch(struct sc_ranges *r, struct batch *b)
{
    bool ok = b->n > FEW && add_units(r, b->p, b->n);
    for (size_t i = 0; i < b->n && !ok && b->n <= FEW; i++)
        add_unit(r, b->p[i].unit, b->p[i].sound);
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
        ok = read_at(fd, buf, n, from + done);
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
    size_t i = extent_at(r, off);
    return i < r->n && r->extents[i].unit.at == from && r->extents[i].sound;
}

static void take_name(struct sc_ranges *r, int fd, uint64_t from, uint64_t len)
{
    char *name = r->name || len > MAX_NAME ? NULL : sc_alloc((size_t)len + 1);
    if (!name)
        return;
    name[len] = '\0';
    if (read_at(fd, name, (size_t)len, from) && strlen(name) == len)
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
    const uint64_t len = sc_le64(p + 8) & ~CARRIES, from = r->map_at + at + RECORD;
    const uint32_t crc = sc_le32(p + 16);
    if (len > UNIT)
        return 0;
    if (len > w->end - from && !w->torn)
        w->torn = r->map_at + at;
    if (len > w->end - from ||
        (!is_known(r, sc_le64(p), from) && !check_bytes(w->fd, from, len, crc)))
        return 0;
    if (sc_le64(p) == IS_NAME)
        take_name(r, w->fd, from, len);
    else if (!take_record(r, p, from, b))
        return 0; /* no memory */
    return RECORD + len;
}

/* Moves on in the log. */
static void take_piece(struct sc_ranges *r, struct piece *w, struct batch *b)
{
    size_t at = 0;
    while (w->n - at >= RECORD) {
        const uint8_t *p = w->p + at;
        uint64_t used = 0;
        if (is_record(r, p)) {
            if (sc_le64(p + 8) & CARRIES)
                used = take_carrier(r, w, at, b);
            else if (take_record(r, p, 0, b))
                used = RECORD;
        }
        r->junk += used == 0;
        if (used > 0)
            w->torn = 0; /* somebody wrote behind it: nothing more comes */
        if (used > RECORD) {
            r->map_at += at + used;
            return;
        }
        at += used ? (size_t)used : 1;
    }
    r->map_at += at;
}

/* Reads what was appended since. With the lock held. */
static void read_log(struct sc_ranges *r)
{
    struct stat st;
    struct batch batch = {0};
    uint8_t buf[LOG_CHUNK];
    int fd = take_file(r, &r->map);
    if (fd < 0)
        return;
    struct piece w = {.fd = fd, .p = buf};
    w.end = fstat(fd, &st) == 0 ? SC_MIN((uint64_t)st.st_size, MAX_MAP) : 0;
    const uint64_t junk = r->junk;
    while (w.end >= r->map_at + RECORD) {
        w.n = (size_t)SC_MIN(w.end - r->map_at, (uint64_t)LOG_CHUNK);
        if (!read_at(fd, buf, w.n, r->map_at))
            break;
        take_piece(r, &w, &batch);
    }
    if (w.torn) { /* somebody may be writing the rest of it */
        r->map_at = w.torn;
        r->junk = junk;
    }
    take_batch(r, &batch);
    give_file(&r->map);
}

/* ------------------------------------------------------------------------------- writing --- */
static bool note_error(struct sc_ranges *r, int error)
{
    int none = 0;
    atomic_compare_exchange_strong(&r->error, &none, error == EFBIG ? ENOSPC : error);
    return false;
}

static bool is_in_place(const struct sc_ranges *r, const struct file *f)
{
    struct sc_buf path = {0};
    struct stat st;
    bool yes = path_of(&path, r, name_of(r, f)) && lstat(path.p, &st) == 0 &&
               st.st_dev == f->device && st.st_ino == f->inode;
    sc_buf_clear(&path);
    return yes;
}

/* Another process may have moved `data` into the shared cache; then it is not ours to write. */
static bool still_ours(const struct sc_ranges *r)
{
    return is_in_place(r, &r->map) && (!r->data.seen || is_in_place(r, &r->data));
}

/* An object of another size that went by the same etag must leave no tail behind. */
static bool cut_data(const struct sc_ranges *r, int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 &&
           ((uint64_t)st.st_size <= r->size || ftruncate(fd, (off_t)r->size) == 0);
}

/* `data`, which comes into being when it is first written. With the lock held. */
static int take_data(struct sc_ranges *r)
{
    if (r->dead || r->data.seen)
        return take_file(r, &r->data);
    int fd = open_file(r, &r->data, O_CREAT);
    if (fd < 0)
        return -1;
    r->data.fd = fd;
    r->data.users++;
    if (cut_data(r, fd))
        return fd;
    int error = errno;
    give_file(&r->data);
    errno = error;
    return -1;
}

static bool write_at(int fd, const void *src, size_t n, uint64_t off)
{
    for (const char *at = src; n > 0;) {
        ssize_t done = pwrite(fd, at, n, (off_t)off);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            return false;
        }
        at += done;
        off += (uint64_t)done;
        n -= (size_t)done;
    }
    return true;
}

static bool fits(const struct sc_ranges *r, uint64_t off, uint64_t len)
{
    uint64_t end;
    return len > 0 && sc_add(off, len, &end) && end <= r->size;
}

bool sc_ranges_write(struct sc_ranges *r, uint64_t off, const void *src, size_t len)
{
    if (!r || !fits(r, off, len) || r->read_only)
        return false;
    pthread_mutex_lock(&r->lock);
    if (!r->dead && !still_ours(r))
        r->dead = true;
    int fd = take_data(r);
    int error = errno;
    pthread_mutex_unlock(&r->lock);
    if (fd < 0)
        return note_error(r, error);
    bool ok = write_at(fd, src, len, off);
    error = errno;
    pthread_mutex_lock(&r->lock);
    give_file(&r->data);
    pthread_mutex_unlock(&r->lock);
    return ok || note_error(r, error);
}

/* One write: a record, and `n` bytes behind it. With the lock held. *end: where they end. */
static bool append(struct sc_ranges *r, int fd, const uint8_t record[RECORD], const void *src,
                   size_t n, uint64_t *end)
{
    union {
        const void *from;
        void *to; /* writev() does not write there */
    } bytes = {src};
    uint8_t copy[RECORD];
    memcpy(copy, record, RECORD);
    struct iovec parts[2] = {{copy, RECORD}, {bytes.to, n}};
    ssize_t done;
    while ((done = writev(fd, parts, n ? 2 : 1)) < 0 && errno == EINTR)
        ;
    if (done != (ssize_t)(RECORD + n))
        return note_error(r, done < 0 ? errno : ENOSPC);
    off_t at = lseek(fd, 0, SEEK_CUR);
    *end = at > 0 ? (uint64_t)at : 0;
    return at > 0;
}

static bool append_record(struct sc_ranges *r, const struct unit *u)
{
    uint8_t p[RECORD];
    uint64_t end;
    put_record(r, p, u->off, u->end - u->off, u->crc);
    pthread_mutex_lock(&r->lock);
    int fd = r->map_at + RECORD <= MAX_MAP ? take_file(r, &r->map) : -1;
    bool ok = fd >= 0 && append(r, fd, p, NULL, 0, &end) && add_unit(r, *u, true);
    if (fd >= 0)
        give_file(&r->map);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

/* A small part, which the log carries. */
static bool append_bytes(struct sc_ranges *r, uint64_t off, const void *src, size_t n)
{
    struct unit u = {off, off + n, crc_of(src, n), 0};
    uint8_t p[RECORD];
    uint64_t end = 0;
    put_record(r, p, off, n | CARRIES, u.crc);
    pthread_mutex_lock(&r->lock);
    if (!r->dead && !is_in_place(r, &r->map))
        r->dead = true;
    int fd = take_file(r, &r->map);
    bool ok = fd >= 0 && append(r, fd, p, src, n, &end);
    u.at = end - n;
    ok = ok && add_unit(r, u, true);
    if (fd >= 0)
        give_file(&r->map);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool sc_ranges_record(struct sc_ranges *r, uint64_t off, uint64_t len, uint32_t crc)
{
    struct unit u = {off, off + len, crc, 0};
    return r && fits(r, off, len) && !r->read_only && append_record(r, &u);
}

static bool may_carry(struct sc_ranges *r, uint64_t n)
{
    pthread_mutex_lock(&r->lock);
    bool yes = n <= CARRY_MOST && r->map_at <= LOG_MOST && !r->plain;
    pthread_mutex_unlock(&r->lock);
    return yes;
}

static bool save_unit(struct sc_ranges *r, uint64_t off, const void *src, size_t n)
{
    if (may_carry(r, n))
        return append_bytes(r, off, src, n);
    return sc_ranges_write(r, off, src, n) && sc_ranges_record(r, off, n, crc_of(src, n));
}

/* Only what is not kept yet, in units that are cheap to check. */
void sc_ranges_save(void *ctx, uint64_t off, const void *src, size_t len)
{
    struct sc_ranges *r = ctx;
    const uint8_t *p = src;
    uint64_t from, n;
    if (!r || !fits(r, off, len) || r->read_only || atomic_load(&r->error))
        return;
    for (uint64_t at = off; sc_ranges_gap(r, at, off + len, &from, &n); at = from + n) {
        n = SC_MIN(n, (uint64_t)UNIT);
        if (!save_unit(r, from, p + (from - off), (size_t)n))
            return;
    }
}

/* -------------------------------------------------------------------------------- reading --- */
static struct file *file_of(struct sc_ranges *r, const struct unit *u)
{
    return u->at ? &r->map : &r->data;
}

/* Where the file has the byte `off` of the object. */
static uint64_t place_of(const struct unit *u, uint64_t off)
{
    return u->at ? u->at + (off - u->off) : off;
}

/* Does the whole unit fit its checksum? */
static bool check_unit(int fd, const struct unit *u)
{
    return check_bytes(fd, place_of(u, u->off), u->end - u->off, u->crc);
}

/* n bytes at off, which lie inside the extent x. */
static bool read_extent(int fd, const struct extent *x, uint64_t off, void *dst, size_t n)
{
    const uint64_t at = place_of(&x->unit, off);
    if (x->sound)
        return read_at(fd, dst, n, at);
    if (off == x->unit.off && n == x->unit.end - x->unit.off)
        return read_at(fd, dst, n, at) && crc_of(dst, n) == x->unit.crc;
    return check_unit(fd, &x->unit) && read_at(fd, dst, n, at);
}

/* The extent that holds off; looks once for what others have added. With the lock held. */
static bool find_extent(struct sc_ranges *r, uint64_t off, bool look, struct extent *out)
{
    size_t i = extent_at(r, off);
    if ((i == r->n || r->extents[i].off > off) && look) {
        read_log(r);
        i = extent_at(r, off);
    }
    if (i == r->n || r->extents[i].off > off)
        return false;
    *out = r->extents[i];
    return true;
}

/* One extent's worth. 0: nothing is kept at off. */
static size_t load_some(struct sc_ranges *r, uint64_t off, void *dst, size_t len, bool look)
{
    struct extent x;
    pthread_mutex_lock(&r->lock);
    while (find_extent(r, off, look, &x)) {
        struct file *f = file_of(r, &x.unit);
        int fd = take_file(r, f);
        pthread_mutex_unlock(&r->lock);
        if (fd < 0)
            return 0;
        size_t n = (size_t)SC_MIN(x.end - off, (uint64_t)len);
        bool ok = read_extent(fd, &x, off, dst, n);
        pthread_mutex_lock(&r->lock);
        give_file(f);
        if (ok) {
            if (!x.sound)
                mark_sound(r, &x.unit);
            pthread_mutex_unlock(&r->lock);
            return n;
        }
        drop_unit(r, &x.unit);
    }
    pthread_mutex_unlock(&r->lock);
    return 0;
}

size_t sc_ranges_load(void *ctx, uint64_t off, void *dst, size_t len)
{
    struct sc_ranges *r = ctx;
    size_t done = 0, n;
    if (!r || !fits(r, off, len))
        return 0;
    while (done < len &&
           (n = load_some(r, off + done, (char *)dst + done, len - done, done == 0)) > 0)
        done += n;
    return done;
}

uint64_t sc_ranges_have(struct sc_ranges *r, uint64_t off, uint64_t len)
{
    uint64_t sum = 0, end;
    if (!r || !sc_add(off, len, &end))
        return 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = extent_at(r, off); i < r->n && r->extents[i].off < end && !r->dead; i++)
        sum += SC_MIN(r->extents[i].end, end) - SC_MAX(r->extents[i].off, off);
    pthread_mutex_unlock(&r->lock);
    return sum;
}

bool sc_ranges_gap(struct sc_ranges *r, uint64_t from, uint64_t to, uint64_t *off, uint64_t *len)
{
    if (from >= to)
        return false;
    *off = from;
    *len = to - from;
    if (!r)
        return true;
    pthread_mutex_lock(&r->lock);
    size_t i = extent_at(r, from);
    for (; i < r->n && r->extents[i].off <= *off && !r->dead; i++)
        *off = r->extents[i].end;
    uint64_t end = i < r->n && !r->dead ? SC_MIN(r->extents[i].off, to) : to;
    pthread_mutex_unlock(&r->lock);
    *len = *off < to ? end - *off : 0;
    return *off < to;
}

void sc_ranges_refresh(struct sc_ranges *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    read_log(r);
    pthread_mutex_unlock(&r->lock);
}

int sc_ranges_fd(struct sc_ranges *r)
{
    if (!r)
        return -1;
    pthread_mutex_lock(&r->lock);
    int fd = take_file(r, &r->data);
    if (fd >= 0) {
        r->data.pinned = true;
        give_file(&r->data);
    }
    pthread_mutex_unlock(&r->lock);
    return fd;
}

const char *sc_ranges_path(const struct sc_ranges *r)
{
    return r ? r->stem : NULL;
}

bool sc_ranges_touched(struct sc_ranges *r)
{
    bool touched = false;
    pthread_mutex_lock(&r->lock);
    read_log(r);
    for (size_t i = 0; i < r->n && !touched; i++)
        touched = !r->extents[i].sound;
    pthread_mutex_unlock(&r->lock);
    return touched;
}

bool sc_ranges_gone(struct sc_ranges *r)
{
    if (!r)
        return false;
    pthread_mutex_lock(&r->lock);
    if (!r->dead && !still_ours(r))
        r->dead = true;
    bool gone = r->dead;
    pthread_mutex_unlock(&r->lock);
    return gone;
}

int sc_ranges_error(const struct sc_ranges *r)
{
    return r ? atomic_load(&r->error) : 0;
}

uint64_t sc_ranges_size(const struct sc_ranges *r)
{
    return r ? r->size : 0;
}

void sc_ranges_name(struct sc_ranges *r, const char *name)
{
    uint8_t p[RECORD];
    uint64_t end;
    size_t n = strlen(name);
    if (!r || r->read_only || n == 0 || n > MAX_NAME)
        return;
    put_record(r, p, IS_NAME, n | CARRIES, crc_of(name, n));
    pthread_mutex_lock(&r->lock);
    int fd = r->name ? -1 : take_file(r, &r->map);
    if (fd >= 0 && append(r, fd, p, name, n, &end))
        r->name = sc_str_copy(sc_str(name, n));
    if (fd >= 0)
        give_file(&r->map);
    pthread_mutex_unlock(&r->lock);
}

const char *sc_ranges_name_of(const struct sc_ranges *r)
{
    return r ? r->name : NULL;
}

/* Takes the bytes of x over into `data`. Of a damaged one nothing is left to take. */
static bool move_extent(struct sc_ranges *r, const struct extent *x, uint8_t *buf)
{
    const size_t n = (size_t)(x->end - x->off);
    pthread_mutex_lock(&r->lock);
    int fd = take_file(r, &r->map);
    bool sound = fd >= 0 && read_extent(fd, x, x->off, buf, n);
    if (fd >= 0)
        give_file(&r->map);
    if (!sound)
        drop_unit(r, &x->unit);
    pthread_mutex_unlock(&r->lock);
    return !sound ||
           (sc_ranges_write(r, x->off, buf, n) && sc_ranges_record(r, x->off, n, crc_of(buf, n)));
}

static bool next_carried(struct sc_ranges *r, struct extent *x)
{
    pthread_mutex_lock(&r->lock);
    size_t i = 0;
    while (i < r->n && !r->extents[i].unit.at)
        i++;
    const bool any = i < r->n;
    if (any)
        *x = r->extents[i];
    pthread_mutex_unlock(&r->lock);
    return any;
}

bool sc_ranges_gather(struct sc_ranges *r)
{
    struct extent x;
    if (!r || r->read_only)
        return false;
    pthread_mutex_lock(&r->lock);
    r->plain = true;
    int fd = take_data(r), error = errno;
    if (fd >= 0)
        give_file(&r->data);
    pthread_mutex_unlock(&r->lock);
    uint8_t *buf = fd >= 0 ? sc_alloc(UNIT) : NULL;
    bool ok = buf || (fd < 0 && note_error(r, error));
    while (ok && next_carried(r, &x))
        ok = move_extent(r, &x, buf);
    free(buf);
    return ok;
}

/* ---------------------------------------------------------------------- opening, removing --- */
/* "<cache>/ranges/abcd...": an etag that is a hash is the key; others are hashed. */
static bool stem_for(struct sc_buf *b, const char *cache, const char *etag, uint64_t size)
{
    enum sc_sha_kind kind;
    struct sc_buf text = {0};
    char hex[65];
    if (!sc_sha_kind_of(etag, &kind)) {
        sc_buf_printf(&text, "%s\n%llu", etag, (unsigned long long)size);
        bool ok = !text.failed && sc_sha_of(SC_SHA256, text.p, text.n, hex, NULL) == 0;
        sc_buf_clear(&text);
        if (!ok)
            return false;
        etag = hex;
    }
    sc_buf_printf(b, "%s/ranges/%s", cache, etag);
    return !b->failed;
}

/* A log without records takes its place: by link() where nobody may be overtaken, so that all who
 * start at once write into the same one. */
static bool write_map(struct sc_ranges *r, bool replace)
{
    uint8_t h[HEAD + MAX_ETAG + 4];
    struct sc_buf path = {0}, temporary = {0};
    size_t n = make_header(h, r->etag, r->size, sc_unique());
    int fd = path_of(&path, r, "map") ? sc_open_temporary(&temporary, path.p, ".tmp", 0666) : -1;
    bool ok = fd >= 0 && sc_write_all(fd, h, n);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (ok && (replace || (link(temporary.p, path.p) != 0 && errno != EEXIST))) {
        ok = rename(temporary.p, path.p) == 0;
        error = errno;
    }
    if (fd >= 0)
        unlink(temporary.p);
    sc_buf_clear(&path);
    sc_buf_clear(&temporary);
    errno = error;
    return ok;
}

static bool may_only_read(int error)
{
    return error == EACCES || error == EPERM || error == EROFS;
}

static int open_map(struct sc_ranges *r)
{
    r->map.seen = false;
    r->map.fd = open_file(r, &r->map, 0);
    if (r->map.fd < 0 && !r->read_only && may_only_read(errno)) {
        r->read_only = true;
        r->map.fd = open_file(r, &r->map, 0);
    }
    return r->map.fd;
}

/* Is the log that is open the one of this object? */
static bool map_fits(struct sc_ranges *r)
{
    char etag[MAX_ETAG + 1];
    uint64_t size;
    return read_header(r->map.fd, etag, &size, &r->salt, &r->head) && size == r->size &&
           strcmp(etag, r->etag) == 0;
}

static bool make_map(struct sc_ranges *r, bool replace)
{
    close_file(&r->map);
    return !r->read_only && write_map(r, replace) && open_map(r) >= 0 && map_fits(r);
}

static bool open_log(struct sc_ranges *r, bool create)
{
    bool there = open_map(r) >= 0;
    if (!there && !(create && errno == ENOENT && make_map(r, false)))
        return false;
    if (there && !map_fits(r) && !(create && make_map(r, true)))
        return false;
    if (r->read_only)
        r->error = EROFS;
    return true;
}

/* Takes over stem. */
static struct sc_ranges *new_ranges(char *stem, const char *etag, uint64_t size)
{
    struct sc_ranges *r = sc_calloc(1, sizeof *r);
    char *copy = sc_alloc(strlen(etag) + 1);
    if (!r || !copy || pthread_mutex_init(&r->lock, NULL) != 0) {
        free(r);
        free(copy);
        free(stem);
        return NULL;
    }
    memcpy(copy, etag, strlen(etag) + 1);
    r->stem = stem;
    r->etag = copy;
    r->size = size;
    r->data.fd = r->map.fd = -1;
    return r;
}

/* The folder of all; one that is there is looked through for leftovers, once a process. */
static bool make_place(const struct sc_hub_env *env)
{
    static _Atomic bool swept;
    struct sc_buf folder = {0};
    struct stat st;
    sc_buf_printf(&folder, "%s/ranges", env->cache);
    bool ok = !folder.failed;
    if (ok && lstat(folder.p, &st) == 0) {
        ok = S_ISDIR(st.st_mode);
        if (ok && !atomic_exchange(&swept, true))
            sc_sweep(folder.p);
    } else if (ok) {
        ok = sc_make_cache(env->cache) && sc_make_folders(folder.p);
    }
    sc_buf_clear(&folder);
    return ok;
}

/* What `data` is said to hold is not there when somebody has moved it away. */
static void forget_moved(struct sc_ranges *r)
{
    struct sc_buf path = {0};
    struct stat st;
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++)
        kept += r->extents[i].unit.at != 0;
    if (kept < r->n && path_of(&path, r, "data") && lstat(path.p, &st) != 0 && errno == ENOENT) {
        kept = 0;
        for (size_t i = 0; i < r->n; i++)
            if (r->extents[i].unit.at)
                r->extents[kept++] = r->extents[i];
        r->n = kept;
    }
    sc_buf_clear(&path);
}

static struct sc_ranges *start(struct sc_ranges *r, bool create)
{
    if (!r)
        return NULL;
    if (!open_log(r, create)) {
        sc_ranges_close(r);
        return NULL;
    }
    r->map_at = r->head;
    r->map.users = 1; /* given back below, when there are too many */
    pthread_mutex_lock(&r->lock);
    read_log(r);
    forget_moved(r);
    give_file(&r->map);
    pthread_mutex_unlock(&r->lock);
    return r;
}

struct sc_ranges *sc_ranges_open(const struct sc_hub_env *env, const char *etag, uint64_t size,
                                 bool create)
{
    struct sc_buf stem = {0};
    if (!env->cache || !etag || !*etag || strlen(etag) > MAX_ETAG || size > INT64_MAX)
        return NULL;
    if (!stem_for(&stem, env->cache, etag, size) || (create && !make_place(env))) {
        sc_buf_clear(&stem);
        return NULL;
    }
    return start(new_ranges(stem.p, etag, size), create);
}

struct sc_ranges *sc_ranges_open_stem(const char *stem)
{
    char etag[MAX_ETAG + 1];
    uint64_t size, head;
    uint32_t salt;
    struct sc_buf path = {0};
    sc_buf_printf(&path, "%s.map", stem);
    int fd = path.failed ? -1 : open(path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ok = fd >= 0 && read_header(fd, etag, &size, &salt, &head);
    if (fd >= 0)
        close(fd);
    sc_buf_clear(&path);
    if (!ok)
        return NULL;
    sc_buf_puts(&path, stem);
    return path.failed ? NULL : start(new_ranges(path.p, etag, size), false);
}

void sc_ranges_close(struct sc_ranges *r)
{
    if (!r)
        return;
    close_file(&r->data);
    close_file(&r->map);
    pthread_mutex_destroy(&r->lock);
    free(r->extents);
    free(r->stem);
    free(r->etag);
    free(r->name);
    free(r);
}

bool sc_ranges_erase(const char *stem)
{
    static const char *const ends[] = {"map", "data"}; /* without the log, nothing is believed */
    bool ok = true;
    for (size_t i = 0; i < SC_COUNT(ends); i++) {
        struct sc_buf path = {0};
        sc_buf_printf(&path, "%s.%s", stem, ends[i]);
        ok = !path.failed && sc_remove_tree(path.p) && ok;
        sc_buf_clear(&path);
    }
    return ok;
}

void sc_ranges_remove(struct sc_ranges *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->dead = true;
    pthread_mutex_unlock(&r->lock);
    sc_ranges_erase(r->stem);
}

/* --------------------------------------------------------------------------- housekeeping --- */
static bool check_extent(struct sc_ranges *r, const struct extent *x)
{
    struct file *f = file_of(r, &x->unit);
    int fd = take_file(r, f);
    bool ok = fd >= 0 && check_unit(fd, &x->unit);
    if (fd >= 0)
        give_file(f);
    return ok;
}

uint64_t sc_ranges_check(struct sc_ranges *r, uint64_t *junk, bool (*more)(void *ctx, uint64_t n),
                         void *ctx)
{
    uint64_t lost = 0;
    size_t kept = 0;
    bool go_on = true;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++) {
        struct extent *x = &r->extents[i];
        uint64_t n = x->end - x->off;
        bool ok = !go_on || x->sound || check_extent(r, x);
        if (go_on)
            x->sound = ok;
        if (ok)
            r->extents[kept++] = *x;
        else
            lost += n;
        go_on = go_on && (!more || more(ctx, n));
    }
    r->n = kept;
    *junk = r->junk;
    pthread_mutex_unlock(&r->lock);
    return lost;
}

static void put_carried(const struct sc_ranges *r, uint64_t off, const void *bytes, size_t n,
                        struct sc_buf *out)
{
    uint8_t p[RECORD];
    put_record(r, p, off, n | CARRIES, crc_of(bytes, n));
    sc_buf_put(out, p, sizeof p);
    sc_buf_put(out, bytes, n);
}

/* The visible part of a unit becomes a unit of its own. What cannot be read is left out; false: no
 * memory. */
static bool put_extent(struct sc_ranges *r, const struct extent *x, struct sc_buf *out)
{
    const size_t n = (size_t)(x->end - x->off);
    const bool whole = x->off == x->unit.off && x->end == x->unit.end;
    uint32_t crc = x->unit.crc;
    uint8_t p[RECORD];
    if (!whole || x->unit.at) {
        struct file *f = file_of(r, &x->unit);
        uint8_t *buf = sc_alloc(n);
        int fd = take_file(r, f);
        bool ok = buf && fd >= 0 && read_at(fd, buf, n, place_of(&x->unit, x->off));
        crc = ok ? crc_of(buf, n) : 0;
        if (ok && x->unit.at)
            put_carried(r, x->off, buf, n, out);
        if (fd >= 0)
            give_file(f);
        free(buf);
        if (!ok || x->unit.at)
            return buf != NULL;
    }
    put_record(r, p, x->off, n, crc);
    sc_buf_put(out, p, sizeof p);
    return true;
}

bool sc_ranges_rewrite(struct sc_ranges *r)
{
    uint8_t h[HEAD + MAX_ETAG + 4];
    struct sc_buf log = {0}, path = {0};
    pthread_mutex_lock(&r->lock);
    sc_buf_put(&log, h, make_header(h, r->etag, r->size, r->salt));
    if (r->name)
        put_carried(r, IS_NAME, r->name, strlen(r->name), &log);
    bool ok = true;
    for (size_t i = 0; i < r->n && ok; i++)
        ok = put_extent(r, &r->extents[i], &log);
    ok = ok && !log.failed && path_of(&path, r, "map");
    r->dead = true; /* the log that is open is not the one that counts any more */
    pthread_mutex_unlock(&r->lock);
    ok = ok && sc_write_file(path.p, log.p, log.n, 0666);
    sc_buf_clear(&log);
    sc_buf_clear(&path);
    return ok;
}
