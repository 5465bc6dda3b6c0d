/* SPDX-License-Identifier: Apache-2.0 */
/* count: a layer that adds up what is read through it. A read that fails counts as a request
 * without bytes; what is mapped is not read by us and counts as neither. */
#include "source/internal.h"

struct count {
    struct sc_source base;
    struct sc_source *inner;
    struct sc_io *io;
};

static int count_read(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e)
{
    struct count *c = (struct count *)s;
    if (c->io->log)
        c->io->log(c->io->log_ctx, s->name, off, len);
    atomic_fetch_add(&c->io->requests, 1);
    TRY(sc_source_read(c->inner, off, dst, len, e));
    atomic_fetch_add(&c->io->bytes_read, len);
    return 0;
}

static const uint8_t *count_map(struct sc_source *s, uint64_t off, size_t len)
{
    return sc_source_map(((struct count *)s)->inner, off, len);
}

static void count_open_window(struct sc_source *s, struct sc_span span, struct sc_window *out)
{
    (void)sc_source_open_window(((struct count *)s)->inner, span.off, (size_t)span.len, out);
}

static int count_close_window(struct sc_source *s, struct sc_window *w, struct sc_error *e)
{
    return sc_source_close_window(((struct count *)s)->inner, w, e);
}

static int count_check(struct sc_source *s, struct sc_error *e)
{
    return sc_source_check(((struct count *)s)->inner, e);
}

static bool count_has(struct sc_source *s, struct sc_span span)
{
    return sc_source_has(((struct count *)s)->inner, span);
}

static void count_prefetch(struct sc_source *s, const struct sc_span *spans, size_t n)
{
    sc_source_prefetch(((struct count *)s)->inner, spans, n);
}

static void count_reject(struct sc_source *s)
{
    sc_source_reject(((struct count *)s)->inner);
}

static void count_drop(struct sc_source *s, struct sc_span span)
{
    sc_source_drop(((struct count *)s)->inner, span);
}

static void count_read_ahead(struct sc_source *s, struct sc_span span)
{
    sc_source_read_ahead(((struct count *)s)->inner, span);
}

static bool count_identity(struct sc_source *s, struct sc_buf *out)
{
    return sc_source_identity(((struct count *)s)->inner, out);
}

static void count_close(struct sc_source *s)
{
    sc_source_close(((struct count *)s)->inner);
}

static const struct sc_source_ops count_ops = {
    .scheme = "count",
    .read_at = count_read,
    .map = count_map,
    .open_window = count_open_window,
    .close_window = count_close_window,
    .check = count_check,
    .prefetch = count_prefetch,
    .has = count_has,
    .reject = count_reject,
    .read_ahead = count_read_ahead,
    .drop = count_drop,
    .identity = count_identity,
    .close = count_close,
};

int sc_source_count(struct sc_source *inner, struct sc_io *io, struct sc_source **out,
                    struct sc_error *e)
{
    *out = NULL;
    struct count *c = sc_source_new(sizeof *c, &count_ops, inner->name, inner->size, e);
    if (!c) {
        sc_source_close(inner);
        return SCRUPLE_EMEMORY;
    }
    c->inner = inner;
    c->base.remote = inner->remote;
    c->base.resident = inner->resident;
    c->io = io;
    *out = &c->base;
    return 0;
}
