/* SPDX-License-Identifier: Apache-2.0 */
/* ranges_files: the two files of ranges, their descriptors, reading and writing. */
#include "hub/ranges.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define HELD_AT_MOST 128 /* descriptors kept open by all ranges together */

static _Atomic unsigned held; /* descriptors open at the moment */

/* A quarter of what the process may have, so that connections do not starve. */
static bool too_many_held(void)
{
    unsigned n = atomic_load(&held);
    struct rlimit r;
    return n > HELD_AT_MOST || (getrlimit(RLIMIT_NOFILE, &r) == 0 && n > r.rlim_cur / 4);
}

bool sc_ranges_path_of(struct sc_buf *b, const struct sc_ranges *r, const char *name)
{
    sc_buf_printf(b, "%s.%s", r->stem, name);
    return !b->failed;
}

static const char *name_of(const struct sc_ranges *r, const struct sc_ranges_file *f)
{
    return f == &r->data ? "data" : "map";
}

/* Notes which file it is, or sees that it is another one than before. */
static bool is_same(struct sc_ranges_file *f, const struct stat *st)
{
    if (!f->seen) {
        f->device = st->st_dev;
        f->inode = st->st_ino;
        f->seen = true;
    }
    return f->device == st->st_dev && f->inode == st->st_ino;
}

int sc_ranges_open_file(struct sc_ranges *r, struct sc_ranges_file *f, int more)
{
    struct sc_buf path = {0};
    struct stat st;
    int flags = (r->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | more;
    if (f == &r->map && !r->read_only)
        flags |= O_APPEND;
    int fd = sc_ranges_path_of(&path, r, name_of(r, f)) ? open(path.p, flags, 0666) : -1;
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
int sc_ranges_take(struct sc_ranges *r, struct sc_ranges_file *f)
{
    if (r->dead) {
        errno = ESTALE;
        return -1;
    }
    if (f->fd < 0) {
        f->fd = sc_ranges_open_file(r, f, 0);
        if (f->fd < 0) {
            r->dead = errno == ESTALE || (errno == ENOENT && f->seen);
            return -1;
        }
    }
    f->users++;
    return f->fd;
}

void sc_ranges_shut(struct sc_ranges_file *f)
{
    if (f->fd < 0)
        return;
    close(f->fd);
    f->fd = -1;
    atomic_fetch_sub(&held, 1);
}

void sc_ranges_give(struct sc_ranges_file *f)
{
    if (--f->users == 0 && !f->pinned && too_many_held())
        sc_ranges_shut(f);
}

bool sc_ranges_is_in_place(const struct sc_ranges *r, const struct sc_ranges_file *f)
{
    struct sc_buf path = {0};
    struct stat st;
    bool yes = sc_ranges_path_of(&path, r, name_of(r, f)) && lstat(path.p, &st) == 0 &&
               st.st_dev == f->device && st.st_ino == f->inode;
    sc_buf_clear(&path);
    return yes;
}

/* Another process may have moved `data` into the shared cache; then it is not ours to write. */
bool sc_ranges_still_ours(const struct sc_ranges *r)
{
    return sc_ranges_is_in_place(r, &r->map) &&
           (!r->data.seen || sc_ranges_is_in_place(r, &r->data));
}

/* An object of another size that went by the same etag must leave no tail behind. */
static bool cut_data(const struct sc_ranges *r, int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 &&
           ((uint64_t)st.st_size <= r->size || ftruncate(fd, (off_t)r->size) == 0);
}

/* `data`, which comes into being when it is first written. With the lock held. */
int sc_ranges_take_data(struct sc_ranges *r)
{
    if (r->dead || r->data.seen)
        return sc_ranges_take(r, &r->data);
    int fd = sc_ranges_open_file(r, &r->data, O_CREAT);
    if (fd < 0)
        return -1;
    r->data.fd = fd;
    r->data.users++;
    if (cut_data(r, fd))
        return fd;
    int error = errno;
    sc_ranges_give(&r->data);
    errno = error;
    return -1;
}

bool sc_ranges_note(struct sc_ranges *r, int error)
{
    int none = 0;
    atomic_compare_exchange_strong(&r->error, &none, error == EFBIG ? ENOSPC : error);
    return false;
}
