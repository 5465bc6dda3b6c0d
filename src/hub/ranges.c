/* SPDX-License-Identifier: Apache-2.0 */
/* ranges: writing and reading the parts of one object; hub/ranges.h tells how they are kept. */
#include "hub/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CARRY_MOST ((size_t)256 << 10) /* the largest part that goes into the log */
#define CARRY_LOG  ((uint64_t)4 << 20) /* and the longest log that takes more of them */

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
    if (!r->dead && !sc_ranges_still_ours(r))
        r->dead = true;
    int fd = sc_ranges_take_data(r);
    int error = errno;
    pthread_mutex_unlock(&r->lock);
    if (fd < 0)
        return sc_ranges_note(r, error);
    bool ok = sc_write_at(fd, src, len, off);
    error = errno;
    pthread_mutex_lock(&r->lock);
    sc_ranges_give(&r->data);
    pthread_mutex_unlock(&r->lock);
    return ok || sc_ranges_note(r, error);
}

bool sc_ranges_record(struct sc_ranges *r, uint64_t off, uint64_t len, uint32_t crc)
{
    struct sc_unit u = {off, off + len, crc, 0};
    return r && fits(r, off, len) && !r->read_only && sc_ranges_append_record(r, &u);
}

static bool may_carry(struct sc_ranges *r, uint64_t n)
{
    pthread_mutex_lock(&r->lock);
    bool yes = n <= CARRY_MOST && r->map_at <= CARRY_LOG && !r->plain;
    pthread_mutex_unlock(&r->lock);
    return yes;
}

static bool save_unit(struct sc_ranges *r, uint64_t off, const void *src, size_t n)
{
    if (may_carry(r, n))
        return sc_ranges_append_bytes(r, off, src, n);
    return sc_ranges_write(r, off, src, n) && sc_ranges_record(r, off, n, sc_ranges_crc(src, n));
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
        n = SC_MIN(n, (uint64_t)SC_RANGES_UNIT);
        if (!save_unit(r, from, p + (from - off), (size_t)n))
            return;
    }
}

/* n bytes at off, which lie inside the extent x. */
static bool read_extent(int fd, const struct sc_extent *x, uint64_t off, void *dst, size_t n)
{
    const uint64_t at = sc_ranges_place_of(&x->unit, off);
    if (x->sound)
        return sc_read_at(fd, dst, n, at);
    if (off == x->unit.off && n == x->unit.end - x->unit.off)
        return sc_read_at(fd, dst, n, at) && sc_ranges_crc(dst, n) == x->unit.crc;
    return sc_ranges_check_unit(fd, &x->unit) && sc_read_at(fd, dst, n, at);
}

/* The extent that holds off; looks once for what others have added. With the lock held. */
static bool find_extent(struct sc_ranges *r, uint64_t off, bool look, struct sc_extent *out)
{
    size_t i = sc_extents_at(&r->extents, off);
    if ((i == r->extents.n || r->extents.p[i].off > off) && look) {
        sc_ranges_read_log(r);
        i = sc_extents_at(&r->extents, off);
    }
    if (i == r->extents.n || r->extents.p[i].off > off)
        return false;
    *out = r->extents.p[i];
    return true;
}

/* One extent's worth. 0: nothing is kept at off. */
static size_t load_some(struct sc_ranges *r, uint64_t off, void *dst, size_t len, bool look)
{
    struct sc_extent x;
    pthread_mutex_lock(&r->lock);
    while (find_extent(r, off, look, &x)) {
        struct sc_ranges_file *f = sc_ranges_file_of(r, &x.unit);
        int fd = sc_ranges_take(r, f);
        pthread_mutex_unlock(&r->lock);
        if (fd < 0)
            return 0;
        size_t n = (size_t)SC_MIN(x.end - off, (uint64_t)len);
        bool ok = read_extent(fd, &x, off, dst, n);
        pthread_mutex_lock(&r->lock);
        sc_ranges_give(f);
        if (ok) {
            if (!x.sound)
                sc_extents_sound(&r->extents, &x.unit);
            pthread_mutex_unlock(&r->lock);
            return n;
        }
        sc_extents_drop(&r->extents, &x.unit);
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
    for (size_t i = sc_extents_at(&r->extents, off);
         i < r->extents.n && r->extents.p[i].off < end && !r->dead; i++)
        sum += SC_MIN(r->extents.p[i].end, end) - SC_MAX(r->extents.p[i].off, off);
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
    size_t i = sc_extents_at(&r->extents, from);
    for (; i < r->extents.n && r->extents.p[i].off <= *off && !r->dead; i++)
        *off = r->extents.p[i].end;
    uint64_t end = i < r->extents.n && !r->dead ? SC_MIN(r->extents.p[i].off, to) : to;
    pthread_mutex_unlock(&r->lock);
    *len = *off < to ? end - *off : 0;
    return *off < to;
}

void sc_ranges_refresh(struct sc_ranges *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    sc_ranges_read_log(r);
    pthread_mutex_unlock(&r->lock);
}

int sc_ranges_fd(struct sc_ranges *r)
{
    if (!r)
        return -1;
    pthread_mutex_lock(&r->lock);
    int fd = sc_ranges_take(r, &r->data);
    if (fd >= 0) {
        r->data.pinned = true;
        sc_ranges_give(&r->data);
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
    sc_ranges_read_log(r);
    for (size_t i = 0; i < r->extents.n && !touched; i++)
        touched = !r->extents.p[i].sound;
    pthread_mutex_unlock(&r->lock);
    return touched;
}

bool sc_ranges_gone(struct sc_ranges *r)
{
    if (!r)
        return false;
    pthread_mutex_lock(&r->lock);
    if (!r->dead && !sc_ranges_still_ours(r))
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
    uint8_t p[SC_RANGES_RECORD];
    uint64_t end;
    size_t n = strlen(name);
    if (!r || r->read_only || n == 0 || n > SC_RANGES_NAME)
        return;
    sc_ranges_put_record(r, p, SC_RANGES_IS_NAME, n | SC_RANGES_CARRIES, sc_ranges_crc(name, n));
    pthread_mutex_lock(&r->lock);
    int fd = r->name ? -1 : sc_ranges_take(r, &r->map);
    if (fd >= 0 && sc_ranges_append(r, fd, p, name, n, &end))
        r->name = sc_str_copy(sc_str(name, n));
    if (fd >= 0)
        sc_ranges_give(&r->map);
    pthread_mutex_unlock(&r->lock);
}

const char *sc_ranges_name_of(const struct sc_ranges *r)
{
    return r ? r->name : NULL;
}

/* Takes the bytes of x over into `data`. Of a damaged one nothing is left to take. */
static bool move_extent(struct sc_ranges *r, const struct sc_extent *x, uint8_t *buf)
{
    const size_t n = (size_t)(x->end - x->off);
    pthread_mutex_lock(&r->lock);
    int fd = sc_ranges_take(r, &r->map);
    bool sound = fd >= 0 && read_extent(fd, x, x->off, buf, n);
    if (fd >= 0)
        sc_ranges_give(&r->map);
    if (!sound)
        sc_extents_drop(&r->extents, &x->unit);
    pthread_mutex_unlock(&r->lock);
    return !sound || (sc_ranges_write(r, x->off, buf, n) &&
                      sc_ranges_record(r, x->off, n, sc_ranges_crc(buf, n)));
}

static bool next_carried(struct sc_ranges *r, struct sc_extent *x)
{
    pthread_mutex_lock(&r->lock);
    size_t i = 0;
    while (i < r->extents.n && !r->extents.p[i].unit.at)
        i++;
    const bool any = i < r->extents.n;
    if (any)
        *x = r->extents.p[i];
    pthread_mutex_unlock(&r->lock);
    return any;
}

bool sc_ranges_gather(struct sc_ranges *r)
{
    struct sc_extent x;
    if (!r || r->read_only)
        return false;
    pthread_mutex_lock(&r->lock);
    r->plain = true;
    int fd = sc_ranges_take_data(r), error = errno;
    if (fd >= 0)
        sc_ranges_give(&r->data);
    pthread_mutex_unlock(&r->lock);
    uint8_t *buf = fd >= 0 ? sc_alloc(SC_RANGES_UNIT) : NULL;
    bool ok = buf || (fd < 0 && sc_ranges_note(r, error));
    while (ok && next_carried(r, &x))
        ok = move_extent(r, &x, buf);
    free(buf);
    return ok;
}
