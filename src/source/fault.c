/* SPDX-License-Identifier: Apache-2.0 */
/* fault: a layer for tests that makes the k-th read fail, as a disk or a network would. It never
 * maps, so that no byte reaches the caller without passing the plan. */
#include "source/internal.h"

struct fault {
    struct sc_source base;
    struct sc_source *inner;
    struct sc_fault *plan;
};

static int fault_read(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e)
{
    struct fault *f = (struct fault *)s;
    uint64_t k = atomic_fetch_add(&f->plan->reads, 1);
    if (k == f->plan->fail_at || (f->plan->sticky && k > f->plan->fail_at)) {
        struct sc_quoted q;
        f->plan->fired = true;
        return sc_fail_at(
            e, SCRUPLE_EIO, off, "%s: injected fault in read %llu (%zu bytes at %llu)",
            sc_quote_path(&q, s->name), (unsigned long long)k, len, (unsigned long long)off);
    }
    return sc_source_read(f->inner, off, dst, len, e);
}

static int fault_check(struct sc_source *s, struct sc_error *e)
{
    return sc_source_check(((struct fault *)s)->inner, e);
}

static bool fault_has(struct sc_source *s, struct sc_span span)
{
    return sc_source_has(((struct fault *)s)->inner, span);
}

static void fault_prefetch(struct sc_source *s, const struct sc_span *spans, size_t n)
{
    sc_source_prefetch(((struct fault *)s)->inner, spans, n);
}

static void fault_reject(struct sc_source *s)
{
    sc_source_reject(((struct fault *)s)->inner);
}

static void fault_drop(struct sc_source *s, struct sc_span span)
{
    sc_source_drop(((struct fault *)s)->inner, span);
}

static void fault_read_ahead(struct sc_source *s, struct sc_span span)
{
    sc_source_read_ahead(((struct fault *)s)->inner, span);
}

static bool fault_identity(struct sc_source *s, struct sc_buf *out)
{
    return sc_source_identity(((struct fault *)s)->inner, out);
}

static void fault_close(struct sc_source *s)
{
    sc_source_close(((struct fault *)s)->inner);
}

static const struct sc_source_ops fault_ops = {
    .scheme = "fault",
    .read_at = fault_read,
    .check = fault_check,
    .prefetch = fault_prefetch,
    .has = fault_has,
    .reject = fault_reject,
    .read_ahead = fault_read_ahead,
    .drop = fault_drop,
    .identity = fault_identity,
    .close = fault_close,
};

int sc_source_fault(struct sc_source *inner, struct sc_fault *plan, struct sc_source **out,
                    struct sc_error *e)
{
    *out = NULL;
    struct fault *f = sc_source_new(sizeof *f, &fault_ops, inner->name, inner->size, e);
    if (!f) {
        sc_source_close(inner);
        return SCRUPLE_EMEMORY;
    }
    f->inner = inner;
    f->base.remote = inner->remote;
    f->plan = plan;
    *out = &f->base;
    return 0;
}
