/* SPDX-License-Identifier: Apache-2.0 */
/* memory: bytes that are already here, borrowed from the caller or owned; and the borrowed handle,
 * a second source on the bytes of another one. */
#include "source/internal.h"

#include <stdlib.h>
#include <string.h>

struct memory {
    struct sc_source base;
    const uint8_t *p;
    void *owned; /* NULL: borrowed */
};

static int memory_read(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e)
{
    (void)e;
    memcpy(dst, ((struct memory *)s)->p + off, len);
    return 0;
}

static const uint8_t *memory_map(struct sc_source *s, uint64_t off, size_t len)
{
    (void)len;
    return ((struct memory *)s)->p + off;
}

static void memory_close(struct sc_source *s)
{
    free(((struct memory *)s)->owned);
}

static const struct sc_source_ops memory_ops = {
    .scheme = "memory",
    .read_at = memory_read,
    .map = memory_map,
    .close = memory_close,
};

int sc_memory_open(const void *p, size_t n, const char *name, struct sc_source **out,
                   struct sc_error *e)
{
    *out = NULL;
    struct memory *m = sc_source_new(sizeof *m, &memory_ops, name, n, e);
    if (!m)
        return SCRUPLE_EMEMORY;
    m->p = p;
    m->base.resident = true;
    *out = &m->base;
    return 0;
}

int sc_memory_open_owned(void *p, size_t n, const char *name, struct sc_source **out,
                         struct sc_error *e)
{
    int rc = sc_memory_open(p, n, name, out, e);
    if (rc < 0)
        free(p);
    else
        ((struct memory *)*out)->owned = p;
    return rc;
}

/* ------------------------------------------------------------------------------- borrowed --- */

struct borrowed {
    struct sc_source base;
    struct sc_source *inner;
};

static int borrowed_read(struct sc_source *s, uint64_t off, void *dst, size_t len,
                         struct sc_error *e)
{
    return sc_source_read(((struct borrowed *)s)->inner, off, dst, len, e);
}

static const uint8_t *borrowed_map(struct sc_source *s, uint64_t off, size_t len)
{
    return sc_source_map(((struct borrowed *)s)->inner, off, len);
}

static int borrowed_check(struct sc_source *s, struct sc_error *e)
{
    return sc_source_check(((struct borrowed *)s)->inner, e);
}

static bool borrowed_identity(struct sc_source *s, struct sc_buf *out)
{
    return sc_source_identity(((struct borrowed *)s)->inner, out);
}

static const struct sc_source_ops borrowed_ops = {
    .scheme = "borrowed",
    .read_at = borrowed_read,
    .map = borrowed_map,
    .check = borrowed_check,
    .identity = borrowed_identity,
};

int sc_source_borrow(struct sc_source *inner, struct sc_source **out, struct sc_error *e)
{
    *out = NULL;
    struct borrowed *b = sc_source_new(sizeof *b, &borrowed_ops, inner->name, inner->size, e);
    if (!b)
        return SCRUPLE_EMEMORY;
    b->inner = inner;
    b->base.resident = inner->resident;
    *out = &b->base;
    return 0;
}
