/* SPDX-License-Identifier: Apache-2.0 */
/* file: a regular file, read with pread() and, on a local file system, mapped when asked for.
 *
 * Owns the descriptor and the mapping. Reads never go through the mapping, so a parser that only
 * reads cannot meet a SIGBUS at all; what is mapped is watched by guard.c.
 *
 * Network file systems are read, never mapped: each page fault there is a round trip, which makes
 * mapping 10 to 50 times slower than reading, and a file can vanish on the server. */
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE 1 /* NOLINT: for fstatfs() and st_mtimespec */
#endif

#include "source/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/statfs.h>
#elif defined(__APPLE__)
#include <sys/mount.h>
#include <sys/param.h>
#endif

_Static_assert(sizeof(off_t) >= 8, "files above 2 GiB: compile with -D_FILE_OFFSET_BITS=64");

struct file {
    struct sc_source base;
    int fd;
    struct timespec modified; /* when it was opened */
    bool no_map, temporary;

    pthread_mutex_t lock; /* the first mapping */
    bool map_tried;
    int guard; /* slot of the mapping */
    _Atomic(uint8_t *) mapped;
    _Atomic int place;   /* where it lies: see may_map() */
    _Atomic bool broken; /* a window was */
};

static struct timespec modified_at(const struct stat *st)
{
#if defined(__APPLE__)
    return st->st_mtimespec;
#else
    return st->st_mtim;
#endif
}

static struct timespec changed_at(const struct stat *st)
{
#if defined(__APPLE__)
    return st->st_ctimespec;
#else
    return st->st_ctim;
#endif
}

static int fail_shrank(const struct sc_source *s, uint64_t now, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail_at(e, SCRUPLE_EIO, now, "%s: shrank from %llu to %llu bytes while being read",
                      sc_quote_path(&q, s->name), (unsigned long long)s->size,
                      (unsigned long long)now);
}

static int file_check(struct sc_source *s, struct sc_error *e)
{
    struct file *f = (struct file *)s;
    struct sc_quoted q;
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return sc_fail_errno(e, SCRUPLE_EIO, errno, s->name, "cannot be looked at");
    if ((uint64_t)st.st_size < s->size)
        return fail_shrank(s, (uint64_t)st.st_size, e);
    if (f->broken || (f->mapped && sc_guard_broken(f->guard)))
        return sc_fail(e, SCRUPLE_EIO, "%s: has a part that cannot be read (disk error?)",
                       sc_quote_path(&q, s->name));

    struct timespec now = modified_at(&st);
    if ((uint64_t)st.st_size != s->size || now.tv_sec != f->modified.tv_sec ||
        now.tv_nsec != f->modified.tv_nsec)
        return sc_fail(e, SCRUPLE_EIO, "%s: was changed while being read",
                       sc_quote_path(&q, s->name));
    return 0;
}

/* pread() returned 0 before the end that the file had when it was opened. */
static int fail_early_end(struct sc_source *s, uint64_t off, struct sc_error *e)
{
    struct stat st;
    struct sc_quoted q;
    if (fstat(((struct file *)s)->fd, &st) == 0 && (uint64_t)st.st_size < s->size)
        return fail_shrank(s, (uint64_t)st.st_size, e);
    return sc_fail_at(e, SCRUPLE_EIO, off, "%s: ends at byte %llu, although its size is %llu",
                      sc_quote_path(&q, s->name), (unsigned long long)off,
                      (unsigned long long)s->size);
}

static int file_read(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e)
{
    enum { MOST = 1 << 30 }; /* the kernel stops below 2 GiB, and macOS refuses more */
    struct file *f = (struct file *)s;
    uint8_t *p = dst;
    while (len > 0) {
        ssize_t n = pread(f->fd, p, SC_MIN(len, (size_t)MOST), (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            sc_fail_errno(e, SCRUPLE_EIO, errno, s->name, "cannot read");
            if (e) {
                e->has_offset = true;
                e->offset = off;
            }
            return SCRUPLE_EIO;
        }
        if (n == 0)
            return fail_early_end(s, off, e);
        p += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* -------------------------------------------------------------------------------- mapping --- */

#if defined(__linux__)
/* f_type of statfs(2), as the kernel and the vendors' modules set it. */
static const struct {
    uint32_t magic;
    const char *name;
} remote_file_systems[] = {
    {0x00006969, "nfs"},    {0x0000517b, "smb"},      {0xfe534d42, "smb2"},
    {0xff534d42, "cifs"},   {0x0000564c, "ncp"},      {0x65735546, "fuse"},
    {0x01021997, "9p"},     {0x5346414f, "afs"},      {0x6b414653, "kafs"},
    {0x73757245, "coda"},   {0x0bd00bd0, "lustre"},   {0x00c36400, "ceph"},
    {0x47504653, "gpfs"},   {0x19830326, "beegfs"},   {0x7461636f, "ocfs2"},
    {0x01161970, "gfs2"},   {0x20030528, "orangefs"}, {0xaad7aaea, "panfs"},
    {0x013111a8, "ibrix"},  {0x61636673, "acfs"},     {0xbeefdead, "snfs"},
    {0x18031977, "wekafs"}, {0x786f4256, "vboxsf"},   {0xbacbacbc, "vmhgfs"},
    {0x7c7c6673, "prl_fs"},
};

static bool on_local_disk(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return false;
    for (size_t i = 0; i < SC_COUNT(remote_file_systems); i++)
        if (remote_file_systems[i].magic == (uint32_t)fs.f_type)
            return false;
    return true;
}
#elif defined(__APPLE__)
static bool on_local_disk(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (fs.f_flags & MNT_LOCAL) != 0;
}
#else
static bool on_local_disk(int fd)
{
    (void)fd; /* no portable way to know: read */
    return false;
}
#endif

/* Where the file system is, which is asked once. */
static bool may_map(struct file *f)
{
    enum { UNKNOWN, LOCAL, REMOTE };
    if (f->no_map)
        return false;
    if (f->place == UNKNOWN)
        f->place = on_local_disk(f->fd) ? LOCAL : REMOTE;
    return f->place == LOCAL;
}

/* n bytes from `off` on, a whole number of pages; NULL: read instead. */
static void *map_guarded(struct file *f, uint64_t off, size_t n, int *guard)
{
    struct stat st;
    /* It shrank before it was mapped: reading finds that out with better words. */
    if (fstat(f->fd, &st) != 0 || (uint64_t)st.st_size < f->base.size)
        return NULL;
    void *p = mmap(NULL, n, PROT_READ, MAP_SHARED, f->fd, (off_t)off);
    if (p == MAP_FAILED)
        return NULL;
    *guard = sc_guard_add(p, n);
    if (*guard >= 0)
        return p;
    munmap(p, n);
    return NULL;
}

/* The whole file, or NULL. */
static uint8_t *map_whole(struct file *f)
{
    const uint64_t size = f->base.size;
    if (size == 0 || size > PTRDIFF_MAX || !may_map(f))
        return NULL;
    return map_guarded(f, 0, (size_t)size, &f->guard);
}

static void file_open_window(struct sc_source *s, struct sc_span span, struct sc_window *out)
{
    struct file *f = (struct file *)s;
    const long page = sysconf(_SC_PAGESIZE);
    const size_t before = page > 0 ? (size_t)(span.off % (uint64_t)page) : 0;
    if (page <= 0 || span.len > PTRDIFF_MAX - before || !may_map(f))
        return;
    out->n_mapped = (size_t)span.len + before;
    out->mapped = map_guarded(f, span.off - before, out->n_mapped, &out->guard);
    out->bytes = out->mapped ? (const uint8_t *)out->mapped + before : NULL;
}

static int file_close_window(struct sc_source *s, struct sc_window *w, struct sc_error *e)
{
    struct file *f = (struct file *)s;
    const bool broken = sc_guard_broken(w->guard);
    sc_guard_remove(w->guard);
    munmap(w->mapped, w->n_mapped);
    if (!broken)
        return 0;
    f->broken = true;
    return file_check(s, e);
}

static const uint8_t *file_map(struct sc_source *s, uint64_t off, size_t len)
{
    (void)len;
    struct file *f = (struct file *)s;
    const uint8_t *p = f->mapped;
    if (!p) {
        pthread_mutex_lock(&f->lock);
        if (!f->map_tried) {
            f->map_tried = true;
            f->mapped = map_whole(f);
        }
        p = f->mapped;
        pthread_mutex_unlock(&f->lock);
    }
    return p ? p + off : NULL;
}

/* ------------------------------------------------------------------------ opening, closing --- */

/* The kernel reads ahead by itself, but a little, and only once it has seen that reads follow each
 * other; threads that share a file do not look like that. */
static void file_read_ahead(struct sc_source *s, struct sc_span span)
{
#if defined(POSIX_FADV_WILLNEED)
    (void)posix_fadvise(((struct file *)s)->fd, (off_t)span.off, (off_t)span.len,
                        POSIX_FADV_WILLNEED);
#else
    (void)s, (void)span;
#endif
}

/* The system keeps what it read together in units of up to 2 MiB, and forgets only whole ones. So
 * as much before and behind is forgotten, too; it is read again when it is wanted. */
static void file_drop(struct sc_source *s, struct sc_span span)
{
#if defined(POSIX_FADV_DONTNEED)
    const uint64_t unit = UINT64_C(2) << 20, off = span.off - SC_MIN(span.off, unit);
    (void)posix_fadvise(((struct file *)s)->fd, (off_t)off,
                        (off_t)(span.off + span.len + unit - off), POSIX_FADV_DONTNEED);
#else
    (void)s, (void)span;
#endif
}

/* With the time of change, which no program can set back. */
static bool file_identity(struct sc_source *s, struct sc_buf *out)
{
    const struct file *f = (const struct file *)s;
    struct stat st;
    if (f->temporary || fstat(f->fd, &st) != 0)
        return false;
    const struct timespec modified = modified_at(&st), changed = changed_at(&st);
    sc_buf_printf(out, "file %llx %llx %llx %lld.%09ld %lld.%09ld", (unsigned long long)st.st_dev,
                  (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
                  (long long)modified.tv_sec, (long)modified.tv_nsec, (long long)changed.tv_sec,
                  (long)changed.tv_nsec);
    return !out->failed;
}

static void file_close(struct sc_source *s)
{
    struct file *f = (struct file *)s;
    uint8_t *p = f->mapped;
    if (p) {
        sc_guard_remove(f->guard);
        munmap(p, (size_t)s->size);
    }
    pthread_mutex_destroy(&f->lock);
    close(f->fd);
}

static const struct sc_source_ops file_ops = {
    .scheme = "file",
    .read_at = file_read,
    .map = file_map,
    .open_window = file_open_window,
    .close_window = file_close_window,
    .check = file_check,
    .read_ahead = file_read_ahead,
    .drop = file_drop,
    .identity = file_identity,
    .close = file_close,
};

int sc_file_open_fd(int fd, const char *name, const struct sc_file_options *o,
                    struct sc_source **out, struct sc_error *e)
{
    struct file *f = NULL;
    struct stat st;
    int rc = 0;

    *out = NULL;
    if (fstat(fd, &st) != 0)
        rc = sc_fail_errno(e, SCRUPLE_EIO, errno, name, "cannot be looked at");
    else if (!S_ISREG(st.st_mode))
        rc = sc_fail_kind(e, st.st_mode, name);
    if (rc < 0)
        goto done;
    f = sc_source_new(sizeof *f, &file_ops, name, (uint64_t)st.st_size, e);
    if (!f) {
        rc = SCRUPLE_EMEMORY;
        goto done;
    }
    f->fd = fd;
    f->modified = modified_at(&st);
    f->no_map = o && o->no_map;
    f->temporary = o && o->temporary;
    pthread_mutex_init(&f->lock, NULL);
    *out = &f->base;
done:
    if (rc < 0)
        close(fd);
    return rc;
}

int sc_file_open_at(int dir, const char *path, const char *name, const struct sc_file_options *o,
                    struct sc_source **out, struct sc_error *e)
{
    int fd;
    *out = NULL;
    /* O_NONBLOCK: a FIFO must not make us wait for its writer before we can refuse it. */
    do
        fd = openat(dir, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return sc_fail_open(e, errno, dir, path, name);
    TRY(sc_file_open_fd(fd, name, o, out, e));
    int flags = fcntl(fd, F_GETFL);
    if (flags != -1 && (flags & O_NONBLOCK))
        (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    return 0;
}

int sc_file_open(const char *path, const struct sc_file_options *o, struct sc_source **out,
                 struct sc_error *e)
{
    return sc_file_open_at(AT_FDCWD, path, path, o, out, e);
}
