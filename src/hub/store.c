/* SPDX-License-Identifier: Apache-2.0 */
/* store: files that appear whole or not at all, advisory locks, folders.
 *
 * A file is written under a name nobody else uses and takes its place by rename(), so readers see
 * the old or the new content, whoever is killed and whenever. Locks save work, never correctness:
 * where there are none, callers go on without.
 *
 * Does not own: what is in the files. Nothing here prints or fails a run; errno tells why. */
#include "hub/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAY        86400
#define POLL_MS    50
#define TRIES      100     /* names for a temporary file */
#define MAX_REMOVE 1000000 /* folders below one that is removed */
#define REMOVES    10      /* times, while others put things into what is removed */

static const char cache_tag[] =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is a cache, and this file tells backup programs so.\n"
    "# See https://bford.info/cachedir/\n";

/* --------------------------------------------------------------------------------- folders --- */
static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* mkdir() fails in several ways where the folder is there: a parent that is read-only, a race. */
static bool make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0)
        return true;
    int error = errno;
    if (is_folder(path))
        return true;
    errno = error == EEXIST ? ENOTDIR : error;
    return false;
}

bool sc_make_folders(const char *path)
{
    /* Mostly only the last one is missing, if any. */
    if (is_folder(path) || (*path && make_folder(path)))
        return true;
    size_t n = strlen(path);
    char *p = sc_alloc(n + 1);
    if (!p)
        return false;
    memcpy(p, path, n + 1);
    bool ok = n > 0;
    for (char *slash = p; ok && (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        ok = make_folder(p);
        *slash = '/';
    }
    ok = ok && make_folder(p);
    int error = errno;
    free(p);
    errno = error;
    return ok;
}

/* The folder of a path, in a new string. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);
    char *p = sc_alloc(n + 1);
    if (p) {
        memcpy(p, slash ? path : ".", n);
        p[n] = '\0';
    }
    return p;
}

bool sc_make_cache(const char *root)
{
    struct sc_buf tag = {0};
    struct stat st;
    if (!sc_make_folders(root))
        return false;
    sc_buf_printf(&tag, "%s/CACHEDIR.TAG", root);
    if (!tag.failed && lstat(tag.p, &st) != 0 && errno == ENOENT)
        sc_write_file(tag.p, cache_tag, sizeof cache_tag - 1, 0666);
    sc_buf_clear(&tag);
    return true;
}

static void sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* some file systems cannot; then it is as safe as it gets there */
        close(fd);
    }
}

void sc_sync_folder_of(const char *path)
{
    char *folder = folder_of(path);
    if (folder)
        sync_folder(folder);
    free(folder);
}

/* A file is linked under its name, which fails where one has appeared meanwhile; file systems
 * without links rename. An empty folder gives way to a rename, any other does not. */
bool sc_put_in_place(struct sc_buf *place, const char *path, bool folder)
{
    bool ok = false;

    if (!folder && link(place->p, path) == 0) {
        (void)unlink(place->p);
        ok = true;
    } else if (folder || (errno != EEXIST && access(path, F_OK) < 0)) {
        ok = rename(place->p, path) == 0;
    }
    if (!ok)
        return false;
    place->n = 0;
    sc_sync_folder_of(path);
    return true;
}

/* --------------------------------------------------------------------------- temporary files ---
 */
uint32_t sc_unique(void)
{
    static _Atomic uint64_t counter;
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t n = atomic_fetch_add(&counter, 1);
    return (uint32_t)sc_hash_mix((uint64_t)getpid() << 32 ^ n,
                                 (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

int sc_open_temporary(struct sc_buf *path, const char *stem, const char *suffix, unsigned mode)
{
    for (int i = 0; i < TRIES; i++) {
        path->n = 0;
        sc_buf_printf(path, "%s.%08x%s", stem, sc_unique(), suffix);
        if (path->failed) {
            errno = ENOMEM;
            return -1;
        }
        int fd = open(path->p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

bool sc_write_all(int fd, const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        ssize_t done = write(fd, at, SC_MIN(n, (size_t)1 << 30));
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? EIO : errno;
            return false;
        }
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool sc_read_at(int fd, void *dst, size_t n, uint64_t off)
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

bool sc_write_at(int fd, const void *src, size_t n, uint64_t off)
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

/* Some file systems have no fsync; a real failure to store is reported by it, though. */
bool sc_sync(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == ENOSYS;
}

static bool write_under(const char *stem, const char *path, const void *p, size_t n, unsigned mode)
{
    struct sc_buf temporary = {0};
    int fd = sc_open_temporary(&temporary, stem, ".tmp", mode);
    bool ok = fd >= 0 && sc_write_all(fd, p, n) && sc_sync(fd);
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        error = errno;
        ok = false;
    }
    if (ok && rename(temporary.p, path) != 0) {
        error = errno;
        ok = false;
    }
    if (fd >= 0 && !ok)
        unlink(temporary.p);
    if (ok)
        sc_sync_folder_of(path);
    sc_buf_clear(&temporary);
    errno = error;
    return ok;
}

bool sc_write_file_via(const char *stem, const char *path, const void *p, size_t n, unsigned mode)
{
    char *folder = folder_of(path);
    bool ok = folder && sc_make_folders(folder) && write_under(stem, path, p, n, mode);
    int error = errno;
    free(folder);
    errno = error;
    return ok;
}

bool sc_write_file(const char *path, const void *p, size_t n, unsigned mode)
{
    return sc_write_file_via(path, path, p, n, mode);
}

/* -------------------------------------------------------------------------------- reading --- */
/* A regular file of at most max bytes, opened without waiting for anybody. */
static int open_small(const char *path, size_t max, size_t *n)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > max) {
        close(fd);
        return -1;
    }
    *n = (size_t)st.st_size;
    return fd;
}

char *sc_read_file(const char *path, size_t max, size_t *n)
{
    size_t size = 0, got = 0;
    int fd = open_small(path, max, &size);
    if (fd < 0)
        return NULL;
    char *p = sc_alloc(size + 1);
    while (p && got < size) {
        ssize_t done = read(fd, p + got, size - got);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            break;
        got += (size_t)done;
    }
    close(fd);
    if (!p || got < size) { /* it shrank meanwhile: as if it were not there */
        free(p);
        return NULL;
    }
    p[got] = '\0';
    if (n)
        *n = got;
    return p;
}

/* ---------------------------------------------------------------------------------- locks --- */
static bool wait_for_lock(int fd, unsigned wait_ms, const _Atomic int *cancel)
{
    uint64_t start = sc_milliseconds();
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        uint64_t waited = sc_milliseconds() - start;
        if (errno != EWOULDBLOCK || waited >= wait_ms || (cancel && atomic_load(cancel)))
            return false;
        unsigned ms = (unsigned)SC_MIN((uint64_t)POLL_MS, wait_ms - waited);
        nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000000}, NULL);
    }
    return true;
}

int sc_lock_file(const char *path, unsigned wait_ms, const _Atomic int *cancel)
{
    char *folder = folder_of(path);
    bool there = folder && sc_make_folders(folder);
    free(folder);
    if (!there)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0664);
    if (fd < 0 && errno == EACCES) /* somebody else made it; one may still lock what one reads */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && !wait_for_lock(fd, wait_ms, cancel)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* --------------------------------------------------------------------------------- walking --- */
#define MAX_DEEP 4096 /* bytes of a path below the folder that is walked */

struct walk {
    const char *folder;
    char **open; /* folders still to be listed, from the folder */
    size_t n, cap, entries;
    sc_visit *visit;
    void *ctx;
};

static int push_open(struct walk *w, char *path)
{
    if (!path || sc_grow(&w->open, &w->cap, w->n + 1, sizeof w->open[0], NULL) < 0) {
        free(path);
        return SCRUPLE_EMEMORY;
    }
    w->open[w->n++] = path;
    return 0;
}

/* Takes over path. */
static int walk_entry(struct walk *w, int dir, const char *name, char *path)
{
    struct stat st;
    int code = 0;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(st.st_mode) && strlen(path) <= MAX_DEEP)
            return push_open(w, path);
        if (!S_ISDIR(st.st_mode))
            code = w->visit(w->ctx, path, dir, name, &st);
    }
    free(path);
    return code;
}

static int walk_one(struct walk *w, const char *at)
{
    struct sc_buf full = {0};
    int code = 0;
    sc_buf_printf(&full, "%s/%s", w->folder, at);
    DIR *d = full.failed ? NULL : opendir(full.p);
    sc_buf_clear(&full);
    for (struct dirent *en; d && code == 0 && (en = readdir(d));) {
        struct sc_buf path = {0};
        if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0)
            continue;
        if (++w->entries > SC_MAX_FOLDER_FILES)
            break;
        sc_buf_printf(&path, "%s%s%s", at, *at ? "/" : "", en->d_name);
        code = path.failed ? SCRUPLE_EMEMORY : walk_entry(w, dirfd(d), en->d_name, path.p);
    }
    if (d)
        closedir(d);
    return code;
}

int sc_walk(const char *folder, sc_visit *visit, void *ctx)
{
    struct walk w = {.folder = folder, .visit = visit, .ctx = ctx};
    int code = push_open(&w, sc_calloc(1, 1));
    while (code == 0 && w.n > 0) {
        char *at = w.open[--w.n];
        code = walk_one(&w, at);
        free(at);
    }
    while (w.n > 0)
        free(w.open[--w.n]);
    free(w.open);
    return code;
}

/* -------------------------------------------------------------------------------- removing --- */
struct paths {
    char **p;
    size_t n, cap;
};

static bool push_path(struct paths *list, const char *folder, const char *name)
{
    struct sc_buf b = {0};
    sc_buf_printf(&b, *name ? "%s/%s" : "%s%s", folder, name);
    if (b.failed || list->n >= MAX_REMOVE ||
        sc_grow(&list->p, &list->cap, list->n + 1, sizeof list->p[0], NULL) < 0) {
        sc_buf_clear(&b);
        return false;
    }
    list->p[list->n++] = b.p;
    return true;
}

/* Removes what is no folder and notes what is one. */
static bool empty_folder(struct paths *list, size_t i)
{
    int fd = open(list->p[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = d || (fd < 0 && errno == ENOENT); /* somebody else removes it, too */
    if (!d && fd >= 0)
        close(fd);
    for (struct dirent *en; d && ok && (en = readdir(d));) {
        struct stat st;
        if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0)
            continue;
        if (fstatat(fd, en->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            ok = errno == ENOENT;
        else if (S_ISDIR(st.st_mode))
            ok = push_path(list, list->p[i], en->d_name);
        else
            ok = unlinkat(fd, en->d_name, 0) == 0 || errno == ENOENT;
    }
    if (d) {
        int error = errno;
        closedir(d);
        errno = error;
    }
    return ok;
}

static bool remove_once(const char *path)
{
    struct stat st;
    struct paths list = {0};
    if (lstat(path, &st) != 0)
        return errno == ENOENT;
    if (!S_ISDIR(st.st_mode))
        return unlink(path) == 0 || errno == ENOENT;
    bool ok = push_path(&list, path, "");
    for (size_t i = 0; ok && i < list.n; i++)
        ok = empty_folder(&list, i);
    for (size_t i = list.n; ok && i-- > 0;)
        ok = rmdir(list.p[i]) == 0 || errno == ENOENT;
    int error = errno;
    for (size_t i = 0; i < list.n; i++)
        free(list.p[i]);
    free(list.p);
    errno = error;
    return ok;
}

bool sc_remove_tree(const char *path)
{
    bool ok = false;
    for (int i = 0; !ok && i < REMOVES; i++)
        if (!(ok = remove_once(path)) && errno != ENOTEMPTY && errno != EEXIST)
            break;
    return ok;
}

bool sc_is_old(const struct stat *st)
{
    return st->st_mtime < time(NULL) - DAY;
}

/* NAME.<8 hex>.tmp or NAME.<8 hex>.incomplete */
static bool is_temporary(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (!dot || (strcmp(dot, ".tmp") != 0 && strcmp(dot, ".incomplete") != 0) || dot - name < 9 ||
        dot[-9] != '.')
        return false;
    return strspn(dot - 8, "0123456789abcdef") == 8;
}

void sc_sweep(const char *folder)
{
    DIR *d = opendir(folder);
    for (struct dirent *en; d && (en = readdir(d));) {
        struct stat st;
        struct sc_buf path = {0};
        if (!is_temporary(en->d_name) ||
            fstatat(dirfd(d), en->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !sc_is_old(&st))
            continue;
        sc_buf_printf(&path, "%s/%s", folder, en->d_name);
        if (!path.failed)
            sc_remove_tree(path.p);
        sc_buf_clear(&path);
    }
    if (d)
        closedir(d);
}

/* What forced ends left of folders NAME.<8 hex>.tmp: those that nobody holds a lock on. Where there
 * are no locks, none is taken for left behind. */
static void remove_unlocked(const char *folder, const char *name)
{
    const size_t n = strlen(name);
    DIR *d = opendir(folder);

    for (struct dirent *en; d && (en = readdir(d));) {
        struct sc_buf path = {0};
        if (strncmp(en->d_name, name, n) != 0 ||
            strlen(en->d_name) != n + strlen(".01234567.tmp") || !is_temporary(en->d_name))
            continue;
        const int fd =
            openat(dirfd(d), en->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        sc_buf_printf(&path, "%s/%s", folder, en->d_name);
        if (fd >= 0 && !path.failed && flock(fd, LOCK_EX | LOCK_NB) == 0)
            sc_remove_tree(path.p);
        if (fd >= 0)
            close(fd);
        sc_buf_clear(&path);
    }
    if (d)
        closedir(d);
}

/* A folder that was made and is locked; *gone: somebody took it for left behind before that. */
static int lock_work_folder(const char *path, bool *gone)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0)
        (void)flock(fd, LOCK_EX | LOCK_NB); /* where there are no locks, without */
    *gone = fd < 0 ? errno == ENOENT : lstat(path, &st) != 0;
    return fd;
}

int sc_make_work_folder(struct sc_buf *path, const char *stem)
{
    char *folder = folder_of(stem);
    const char *slash = strrchr(stem, '/');

    if (folder)
        remove_unlocked(folder, slash ? slash + 1 : stem);
    free(folder);
    for (int i = 0; i < TRIES; i++) {
        bool gone = false;
        path->n = 0;
        sc_buf_printf(path, "%s.%08x.tmp", stem, sc_unique());
        if (path->failed) {
            errno = ENOMEM;
            return -1;
        }
        if (mkdir(path->p, 0777) != 0) {
            if (errno == EEXIST)
                continue;
            return -1;
        }
        const int fd = lock_work_folder(path->p, &gone);
        if (!gone)
            return fd;
        if (fd >= 0)
            close(fd);
    }
    return -1;
}
