/* SPDX-License-Identifier: Apache-2.0 */
/* export_write: bytes that follow each other, into files.
 *
 * An export is written once and read by nobody here, so its bytes go past the memory in which the
 * system keeps files, as far as they fill whole blocks: that memory stays with the weights, which
 * are read again and again, and need not be found for as much as the export is. Where a file system
 * does not do that, or the disk is slower than the threads, they are written like any others. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* O_DIRECT; NOLINT(bugprone-reserved-identifier,cert-dcl51-cpp) */
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hub/cache.h"
#include "web/export.h"

enum { BLOCK = 4096, ROOM = 1 << 20 };

struct sc_stage {
    uint8_t *bytes;  /* (ROOM) of blocks of the file, the first one that has some first */
    int fd;          /* -1: nothing is held */
    uint64_t at;     /* where bytes[0] stands in the file */
    size_t start, n; /* what is held: bytes[start..n) */
    bool direct;
};

struct sc_stage *sc_stage_new(void)
{
    struct sc_stage *s = sc_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->fd = -1;
    s->bytes = aligned_alloc(BLOCK, ROOM);
#if defined(O_DIRECT)
    s->direct = true;
#endif
    if (!s->bytes) {
        free(s);
        return NULL;
    }
    return s;
}

void sc_stage_free(struct sc_stage *s)
{
    if (!s)
        return;
    free(s->bytes);
    free(s);
}

void sc_stage_plain(struct sc_stage *s)
{
    s->direct = false;
}

int sc_stage_fd(const struct sc_stage *s)
{
    return s->fd;
}

/* Whole blocks, past the system's memory; false: not in that way. */
static bool write_blocks(struct sc_stage *s, size_t from, size_t n)
{
#if defined(O_DIRECT)
    const int flags = s->direct ? fcntl(s->fd, F_GETFL) : -1;
    if (flags == -1 || fcntl(s->fd, F_SETFL, flags | O_DIRECT) == -1)
        return false;
    const ssize_t done = pwrite(s->fd, s->bytes + from, n, (off_t)(s->at + from));
    (void)fcntl(s->fd, F_SETFL, flags);
    return done == (ssize_t)n;
#else
    (void)s, (void)from, (void)n;
    return false;
#endif
}

/* bytes[from..to). What cannot be done in one way is done in the other, which has words for what is
 * wrong. */
static bool write_part(struct sc_stage *s, size_t from, size_t to)
{
    const size_t first = (from + BLOCK - 1) / BLOCK * BLOCK, end = to / BLOCK * BLOCK;
    if (!s->direct || first >= end)
        return sc_write_at(s->fd, s->bytes + from, to - from, s->at + from);
    if (!write_blocks(s, first, end - first)) {
        s->direct = false;
        return sc_write_at(s->fd, s->bytes + from, to - from, s->at + from);
    }
    return sc_write_at(s->fd, s->bytes + from, first - from, s->at + from) &&
           sc_write_at(s->fd, s->bytes + end, to - end, s->at + end);
}

bool sc_stage_flush(struct sc_stage *s)
{
    const bool good = s->fd < 0 || s->n == s->start || write_part(s, s->start, s->n);
    s->fd = -1;
    return good;
}

bool sc_stage_put(struct sc_stage *s, int fd, const void *bytes, size_t n, uint64_t at)
{
    const uint8_t *p = bytes;
    if (s->fd != fd || s->at + s->n != at) {
        if (!sc_stage_flush(s))
            return false;
        s->fd = fd;
        s->start = s->n = (size_t)(at % BLOCK);
        s->at = at - s->n;
    }
    while (n > 0) {
        const size_t some = SC_MIN(n, (size_t)ROOM - s->n);
        memcpy(s->bytes + s->n, p, some);
        s->n += some;
        p += some;
        n -= some;
        if (s->n < ROOM)
            break;
        if (!write_part(s, s->start, ROOM))
            return false;
        s->at += ROOM;
        s->start = s->n = 0;
    }
    return true;
}
