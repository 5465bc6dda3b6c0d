/* SPDX-License-Identifier: Apache-2.0 */
/* spool: bytes that come one after the other and are a source when all are there. They are kept in
 * memory up to 64 MiB, and beyond that in a file in $TMPDIR (or /tmp) that has no name any more, so
 * that nothing stays behind however the process ends. */
#include "source/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP_MAX ((size_t)64 << 20)
#define STEP_MIN ((size_t)64 << 10)

static int fail_spool(const struct sc_spool *sp, int error, struct sc_error *e)
{
    struct sc_quoted q, r;
    char text[128];
    if (strerror_r(error, text, sizeof text) != 0)
        memcpy(text, "unknown error", sizeof "unknown error");
    return sc_fail(e, SCRUPLE_EWRITE,
                   "%s: cannot be kept in %s: %s after %llu bytes (set TMPDIR to a folder with "
                   "more room%s)",
                   sc_quote_path(&r, sp->name), sc_quote_path(&q, sc_temporary_folder()), text,
                   (unsigned long long)sp->filed, sp->advice);
}

static int open_file(struct sc_spool *sp, struct sc_error *e)
{
    sp->fd = sc_open_unnamed();
    return sp->fd >= 0 ? 0 : errno == ENOMEM ? sc_fail_memory(e) : fail_spool(sp, errno, e);
}

/* Moves what is in memory to the file. */
static int flush(struct sc_spool *sp, struct sc_error *e)
{
    size_t done = 0;
    if (sp->fd < 0)
        TRY(open_file(sp, e));
    while (done < sp->n) {
        ssize_t n = write(sp->fd, sp->p + done, sp->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_spool(sp, errno, e);
        done += (size_t)n;
        sp->filed += (uint64_t)n;
    }
    sp->n = 0;
    return 0;
}

void sc_spool_start(struct sc_spool *sp, const char *name, const char *advice)
{
    *sp = (struct sc_spool){.name = name, .advice = advice, .fd = -1};
}

/* Room for at least one more byte. */
static int make_room(struct sc_spool *sp, struct sc_error *e)
{
    if (sp->n < sp->cap)
        return 0;
    if (sp->fd < 0 && sp->cap <= KEEP_MAX) {
        /* One byte more than is kept tells a full memory from the end of the input. */
        size_t cap = sp->cap ? SC_MIN(sp->cap * 2, KEEP_MAX + 1) : STEP_MIN;
        uint8_t *p = realloc(sp->p, cap);
        if (!p)
            return sc_fail_memory(e);
        sp->p = p;
        sp->cap = cap;
        return 0;
    }
    TRY(flush(sp, e));
    if (sp->cap > SC_SPOOL_STEP) {
        uint8_t *p = realloc(sp->p, SC_SPOOL_STEP);
        if (p) {
            sp->p = p;
            sp->cap = SC_SPOOL_STEP;
        }
    }
    return 0;
}

int sc_spool_room(struct sc_spool *sp, uint8_t **at, size_t *room, struct sc_error *e)
{
    TRY(make_room(sp, e));
    *at = sp->p + sp->n;
    *room = SC_MIN(sp->cap - sp->n, (size_t)SC_SPOOL_STEP);
    return 0;
}

void sc_spool_take(struct sc_spool *sp, size_t n)
{
    sp->n += n;
}

int sc_spool_finish(struct sc_spool *sp, struct sc_source **out, struct sc_error *e)
{
    *out = NULL;
    if (sp->fd >= 0) {
        const struct sc_file_options o = {.temporary = true};
        TRY(flush(sp, e));
        const int fd = sp->fd;
        sp->fd = -1;
        return sc_file_open_fd(fd, sp->name, &o, out, e);
    }
    uint8_t *fitting = realloc(sp->p, SC_MAX(sp->n, (size_t)1));
    uint8_t *p = fitting ? fitting : sp->p;
    sp->p = NULL;
    /* cppcheck-suppress memleak ; it is p, which the source owns */
    return sc_memory_open_owned(p, sp->n, sp->name, out, e);
}

void sc_spool_drop(struct sc_spool *sp)
{
    if (sp->fd >= 0)
        close(sp->fd);
    free(sp->p);
    sp->fd = -1;
    sp->p = NULL;
}

int sc_source_spool(struct sc_source *s, uint64_t off, uint64_t len, const _Atomic int *cancel,
                    struct sc_source **out, struct sc_error *e)
{
    struct sc_spool sp;
    int rc = 0;
    sc_spool_start(&sp, s->name, "");
    for (uint64_t done = 0; rc == 0 && done < len;) {
        uint8_t *at;
        size_t room;
        if (cancel && *cancel)
            rc = sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (rc == 0)
            rc = sc_spool_room(&sp, &at, &room, e);
        if (rc == 0) {
            room = (size_t)SC_MIN((uint64_t)room, len - done);
            rc = sc_source_read(s, off + done, at, room, e);
            sc_spool_take(&sp, room);
            done += room;
        }
    }
    if (rc == 0)
        rc = sc_spool_finish(&sp, out, e);
    sc_spool_drop(&sp);
    return rc;
}
