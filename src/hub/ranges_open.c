/* SPDX-License-Identifier: Apache-2.0 */
/* ranges_open: opening, removing, checking and rewriting the parts of an object. */
#include "hub/ranges.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    uint8_t h[SC_RANGES_HEADER];
    struct sc_buf path = {0}, temporary = {0};
    size_t n = sc_ranges_make_header(h, r->etag, r->size, sc_unique());
    int fd = sc_ranges_path_of(&path, r, "map")
                 ? sc_open_temporary(&temporary, path.p, ".tmp", 0666)
                 : -1;
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
    r->map.fd = sc_ranges_open_file(r, &r->map, 0);
    if (r->map.fd < 0 && !r->read_only && may_only_read(errno)) {
        r->read_only = true;
        r->map.fd = sc_ranges_open_file(r, &r->map, 0);
    }
    return r->map.fd;
}

/* Is the log that is open the one of this object? */
static bool map_fits(struct sc_ranges *r)
{
    char etag[SC_RANGES_ETAG + 1];
    uint64_t size;
    return sc_ranges_read_header(r->map.fd, etag, &size, &r->salt, &r->head) && size == r->size &&
           strcmp(etag, r->etag) == 0;
}

static bool make_map(struct sc_ranges *r, bool replace)
{
    sc_ranges_shut(&r->map);
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
    for (size_t i = 0; i < r->extents.n; i++)
        kept += r->extents.p[i].unit.at != 0;
    if (kept < r->extents.n && sc_ranges_path_of(&path, r, "data") && lstat(path.p, &st) != 0 &&
        errno == ENOENT) {
        kept = 0;
        for (size_t i = 0; i < r->extents.n; i++)
            if (r->extents.p[i].unit.at)
                r->extents.p[kept++] = r->extents.p[i];
        r->extents.n = kept;
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
    sc_ranges_read_log(r);
    forget_moved(r);
    sc_ranges_give(&r->map);
    pthread_mutex_unlock(&r->lock);
    return r;
}

struct sc_ranges *sc_ranges_open(const struct sc_hub_env *env, const char *etag, uint64_t size,
                                 bool create)
{
    struct sc_buf stem = {0};
    if (!env->cache || !etag || !*etag || strlen(etag) > SC_RANGES_ETAG || size > INT64_MAX)
        return NULL;
    if (!stem_for(&stem, env->cache, etag, size) || (create && !make_place(env))) {
        sc_buf_clear(&stem);
        return NULL;
    }
    return start(new_ranges(stem.p, etag, size), create);
}

struct sc_ranges *sc_ranges_open_stem(const char *stem)
{
    char etag[SC_RANGES_ETAG + 1];
    uint64_t size, head;
    uint32_t salt;
    struct sc_buf path = {0};
    sc_buf_printf(&path, "%s.map", stem);
    int fd = path.failed ? -1 : open(path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ok = fd >= 0 && sc_ranges_read_header(fd, etag, &size, &salt, &head);
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
    sc_ranges_shut(&r->data);
    sc_ranges_shut(&r->map);
    pthread_mutex_destroy(&r->lock);
    free(r->extents.p);
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

static bool check_extent(struct sc_ranges *r, const struct sc_extent *x)
{
    struct sc_ranges_file *f = sc_ranges_file_of(r, &x->unit);
    int fd = sc_ranges_take(r, f);
    bool ok = fd >= 0 && sc_ranges_check_unit(fd, &x->unit);
    if (fd >= 0)
        sc_ranges_give(f);
    return ok;
}

uint64_t sc_ranges_check(struct sc_ranges *r, uint64_t *junk, bool (*more)(void *ctx, uint64_t n),
                         void *ctx)
{
    uint64_t lost = 0;
    size_t kept = 0;
    bool go_on = true;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->extents.n; i++) {
        struct sc_extent *x = &r->extents.p[i];
        uint64_t n = x->end - x->off;
        bool ok = !go_on || x->sound || check_extent(r, x);
        if (go_on)
            x->sound = ok;
        if (ok)
            r->extents.p[kept++] = *x;
        else
            lost += n;
        go_on = go_on && (!more || more(ctx, n));
    }
    r->extents.n = kept;
    *junk = r->junk;
    pthread_mutex_unlock(&r->lock);
    return lost;
}

static void put_carried(const struct sc_ranges *r, uint64_t off, const void *bytes, size_t n,
                        struct sc_buf *out)
{
    uint8_t p[SC_RANGES_RECORD];
    sc_ranges_put_record(r, p, off, n | SC_RANGES_CARRIES, sc_ranges_crc(bytes, n));
    sc_buf_put(out, p, sizeof p);
    sc_buf_put(out, bytes, n);
}

/* The visible part of a unit becomes a unit of its own. What cannot be read is left out; false: no
 * memory. */
static bool put_extent(struct sc_ranges *r, const struct sc_extent *x, struct sc_buf *out)
{
    const size_t n = (size_t)(x->end - x->off);
    const bool whole = x->off == x->unit.off && x->end == x->unit.end;
    uint32_t crc = x->unit.crc;
    uint8_t p[SC_RANGES_RECORD];
    if (!whole || x->unit.at) {
        struct sc_ranges_file *f = sc_ranges_file_of(r, &x->unit);
        uint8_t *buf = sc_alloc(n);
        int fd = sc_ranges_take(r, f);
        bool ok = buf && fd >= 0 && sc_read_at(fd, buf, n, sc_ranges_place_of(&x->unit, x->off));
        crc = ok ? sc_ranges_crc(buf, n) : 0;
        if (ok && x->unit.at)
            put_carried(r, x->off, buf, n, out);
        if (fd >= 0)
            sc_ranges_give(f);
        free(buf);
        if (!ok || x->unit.at)
            return buf != NULL;
    }
    sc_ranges_put_record(r, p, x->off, n, crc);
    sc_buf_put(out, p, sizeof p);
    return true;
}

bool sc_ranges_rewrite(struct sc_ranges *r)
{
    uint8_t h[SC_RANGES_HEADER];
    struct sc_buf log = {0}, path = {0};
    pthread_mutex_lock(&r->lock);
    sc_buf_put(&log, h, sc_ranges_make_header(h, r->etag, r->size, r->salt));
    if (r->name)
        put_carried(r, SC_RANGES_IS_NAME, r->name, strlen(r->name), &log);
    bool ok = true;
    for (size_t i = 0; i < r->extents.n && ok; i++)
        ok = put_extent(r, &r->extents.p[i], &log);
    ok = ok && !log.failed && sc_ranges_path_of(&path, r, "map");
    r->dead = true; /* the log that is open is not the one that counts any more */
    pthread_mutex_unlock(&r->lock);
    ok = ok && sc_write_file(path.p, log.p, log.n, 0666);
    sc_buf_clear(&log);
    sc_buf_clear(&path);
    return ok;
}
