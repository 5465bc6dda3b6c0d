/* SPDX-License-Identifier: Apache-2.0 */
/* remote_spans: lists of spans, sorted, joined where they are near, cut to what is wanted. Knows
 * nothing of requests. */
#include "source/remote_internal.h"

#include <stdlib.h>

bool sc_remote_spans_add(struct sc_spans *l, uint64_t off, uint64_t len)
{
    if (len == 0)
        return true;
    if (sc_grow(&l->p, &l->cap, l->n + 1, sizeof *l->p, NULL) < 0)
        return false;
    l->p[l->n++] = (struct sc_span){off, len};
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct sc_span *x = a, *y = b;
    return x->off < y->off ? -1 : x->off > y->off;
}

/* Drops what lies outside of the file; afterwards off + len cannot overflow. */
static void clip(struct sc_spans *l, uint64_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct sc_span s = l->p[i];
        if (s.off >= size || s.len == 0)
            continue;
        s.len = SC_MIN(s.len, size - s.off);
        l->p[n++] = s;
    }
    l->n = n;
}

void sc_remote_spans_sort(struct sc_spans *l, uint64_t size, uint64_t slack)
{
    clip(l, size);
    if (l->n == 0)
        return;
    qsort(l->p, l->n, sizeof *l->p, compare);
    size_t last = 0;
    for (size_t i = 1; i < l->n; i++) {
        struct sc_span *to = &l->p[last], s = l->p[i];
        uint64_t end = to->off + to->len;
        if (s.off <= end || s.off - end < slack)
            to->len = SC_MAX(end, s.off + s.len) - to->off;
        else
            l->p[++last] = s;
    }
    l->n = last + 1;
}

size_t sc_remote_spans_at(const struct sc_spans *l, uint64_t off)
{
    size_t lo = 0, hi = l->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (l->p[mid].off + l->p[mid].len <= off)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool sc_remote_spans_trim(const struct sc_spans *l, struct sc_span *s)
{
    uint64_t end = s->off + s->len;
    size_t i = sc_remote_spans_at(l, s->off);
    if (s->len == 0 || i == l->n || l->p[i].off >= end)
        return false;
    uint64_t begin = SC_MAX(s->off, l->p[i].off);

    size_t last = sc_remote_spans_at(l, end - 1); /* ends behind the last byte, or is the end */
    if (last == l->n || l->p[last].off >= end)
        end = l->p[last - 1].off + l->p[last - 1].len;
    *s = (struct sc_span){begin, end - begin};
    return true;
}

void sc_remote_spans_clear(struct sc_spans *l)
{
    free(l->p);
    *l = (struct sc_spans){0};
}
