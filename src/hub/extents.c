/* SPDX-License-Identifier: Apache-2.0 */
/* extents: which bytes of an object are kept, and by which unit. */
#include "hub/extents.h"

#include <stdlib.h>
#include <string.h>

size_t sc_extents_at(const struct sc_extents *e, uint64_t off)
{
    size_t low = 0, high = e->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (e->p[mid].end > off)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

bool sc_unit_is(const struct sc_unit *a, const struct sc_unit *b)
{
    return a->off == b->off && a->end == b->end && a->crc == b->crc && a->at == b->at;
}

/* Replaces extents [from, to) by k others. */
static bool splice(struct sc_extents *e, size_t from, size_t to, const struct sc_extent *with,
                   size_t k)
{
    size_t n = e->n - (to - from) + k;
    if (sc_grow(&e->p, &e->cap, n, sizeof e->p[0], NULL) < 0)
        return false;
    if (to < e->n)
        memmove(&e->p[from + k], &e->p[to], (e->n - to) * sizeof e->p[0]);
    if (k)
        memcpy(&e->p[from], with, k * sizeof with[0]);
    e->n = n;
    return true;
}

bool sc_extents_add(struct sc_extents *e, struct sc_unit u, bool sound)
{
    struct sc_extent with[3];
    size_t from = sc_extents_at(e, u.off), to = from, k = 0;
    struct sc_extent *x = e->p;
    if (from < e->n && sc_unit_is(&x[from].unit, &u) && x[from].off == u.off &&
        x[from].end == u.end) {
        x[from].sound = x[from].sound || sound;
        return true;
    }
    while (to < e->n && x[to].off < u.end)
        to++;
    if (to > from && x[from].off < u.off) {
        with[k] = x[from];
        with[k++].end = u.off;
    }
    with[k++] = (struct sc_extent){u.off, u.end, u, sound};
    if (to > from && x[to - 1].end > u.end) {
        with[k] = x[to - 1];
        with[k++].off = u.end;
    }
    return splice(e, from, to, with, k);
}

/* Many at once: one pass over all starts in order, with a heap of those that cover the place, the
 * newest on top. A log in any order costs n log n. */
struct sweep {
    const struct sc_extent *in; /* older ones first */
    size_t *heap, n_heap;       /* their numbers */
};

static int by_start(const void *a, const void *b)
{
    const struct sc_extent *x = *(const struct sc_extent *const *)a,
                           *y = *(const struct sc_extent *const *)b;
    return x->off != y->off ? (x->off < y->off ? -1 : 1) : x < y ? -1 : x > y;
}

static void heap_push(struct sweep *w, size_t item)
{
    size_t i = w->n_heap++;
    for (; i > 0 && w->heap[(i - 1) / 2] < item; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = item;
}

static void heap_pop(struct sweep *w)
{
    size_t last = w->heap[--w->n_heap], i = 0, child;
    for (; (child = 2 * i + 1) < w->n_heap; i = child) {
        child += child + 1 < w->n_heap && w->heap[child + 1] > w->heap[child];
        if (w->heap[child] <= last)
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
}

/* Appends [off, end) of item x; joins what belongs together. */
static void put_visible(struct sc_extents *e, const struct sc_extent *x, uint64_t off, uint64_t end)
{
    struct sc_extent *last = e->n ? &e->p[e->n - 1] : NULL;
    if (last && last->end == off && sc_unit_is(&last->unit, &x->unit)) {
        last->end = end;
        last->sound = last->sound || x->sound;
        return;
    }
    e->p[e->n] = *x; /* NOLINT(clang-analyzer-core.NullDereference): room was made */
    e->p[e->n].off = off;
    e->p[e->n++].end = end;
}

static void run_sweep(struct sc_extents *e, struct sweep *w, const struct sc_extent *const *starts,
                      size_t n)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n || w->n_heap > 0;) {
        if (w->n_heap == 0)
            at = starts[i]->off;
        for (; i < n && starts[i]->off <= at; i++)
            heap_push(w, (size_t)(starts[i] - w->in));
        const struct sc_extent *top = &w->in[w->heap[0]];
        if (top->end <= at) {
            heap_pop(w);
            continue;
        }
        uint64_t end = i < n ? SC_MIN(top->end, starts[i]->off) : top->end;
        put_visible(e, top, at, end);
        at = end;
    }
}

/* Every start and every end makes at most one border: room for twice as many. */
bool sc_extents_add_all(struct sc_extents *e, const struct sc_extent *units, size_t n)
{
    size_t all = e->n + n;
    struct sc_extent *in = sc_calloc(all, sizeof *in);
    const struct sc_extent **starts = sc_calloc(all, sizeof *starts);
    struct sweep w = {.in = in, .heap = sc_calloc(all, sizeof *w.heap)};
    bool ok = in && starts && w.heap &&
              sc_grow(&e->p, &e->cap, 2 * all, sizeof e->p[0], NULL) == 0 && e->p;
    if (ok) {
        if (e->n)
            memcpy(in, e->p, e->n * sizeof *in);
        memcpy(in + e->n, units, n * sizeof *in);
        for (size_t i = 0; i < all; i++)
            starts[i] = &in[i];
        qsort(starts, all, sizeof *starts, by_start);
        e->n = 0;
        run_sweep(e, &w, starts, all);
    }
    free(in);
    free(starts);
    free(w.heap);
    return ok;
}

void sc_extents_drop(struct sc_extents *e, const struct sc_unit *u)
{
    size_t from = sc_extents_at(e, u->off), to = from;
    for (size_t i = from; i < e->n && e->p[i].off < u->end; i++)
        to = i + 1;
    size_t kept = from;
    for (size_t i = from; i < to; i++)
        if (!sc_unit_is(&e->p[i].unit, u))
            e->p[kept++] = e->p[i];
    splice(e, kept, to, NULL, 0);
}

void sc_extents_sound(struct sc_extents *e, const struct sc_unit *u)
{
    for (size_t i = sc_extents_at(e, u->off); i < e->n && e->p[i].off < u->end; i++)
        if (sc_unit_is(&e->p[i].unit, u))
            e->p[i].sound = true;
}
