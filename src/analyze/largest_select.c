/* SPDX-License-Identifier: Apache-2.0 */
/* largest_select: the largest of many, in room for twice as many as are wanted. */
#include <stdlib.h>

#include "analyze/largest_parts.h"

enum { LEAST_ROOM = 16 };

static void swap(struct sc_large_item *a, struct sc_large_item *b)
{
    const struct sc_large_item x = *a;

    *a = *b;
    *b = x;
}

static int by_order(const void *a, const void *b)
{
    return sc_large_order(a, b);
}

/* Puts the k largest of n > k in front, the last of them at k - 1. No two are alike, so there is
 * one answer. The pivot is the middle of three; should that go wrong often, a sort ends it. */
static void select_largest(struct sc_large_item *p, size_t n, size_t k)
{
    size_t low = 0, high = n;

    for (unsigned turn = 0; high - low > 16; turn++) {
        struct sc_large_item *a = &p[low], *b = &p[low + (high - low) / 2], *c = &p[high - 1];
        if (turn > 96)
            break;
        if (sc_large_order(b, a) < 0)
            swap(a, b);
        if (sc_large_order(c, b) < 0)
            swap(b, c);
        if (sc_large_order(b, a) < 0)
            swap(a, b);
        const struct sc_large_item pivot = *b;
        size_t i = low, j = high - 1;
        while (i <= j) {
            while (sc_large_order(&p[i], &pivot) < 0)
                i++;
            while (sc_large_order(&pivot, &p[j]) < 0)
                j--;
            if (i <= j) {
                swap(&p[i], &p[j]);
                i++;
                if (j == 0)
                    break;
                j--;
            }
        }
        if (k - 1 <= j)
            high = j + 1;
        else if (k - 1 >= i)
            low = i;
        else
            return;
    }
    sc_sort(p + low, high - low, sizeof *p, by_order);
}

/* Leaves `most`, and counts those of the floor's size among the rest. */
static void drop_rest(struct sc_large_ranking *r)
{
    const size_t k = (size_t)r->most;
    const uint32_t before = r->full ? sc_large_size(&r->floor) : 0;
    const bool was_full = r->full;

    select_largest(r->p, r->n, k);
    /* the last of the first k: selection leaves it at k - 1 only when it ended by a sort there */
    struct sc_large_item last = r->p[0];
    for (size_t i = 1; i < k; i++)
        if (sc_large_order(&last, &r->p[i]) < 0)
            last = r->p[i];
    r->floor = last;
    r->full = true;
    if (!was_full || before != sc_large_size(&last))
        r->ties = 0;
    for (size_t i = k; i < r->n; i++)
        r->ties += sc_large_size(&r->p[i]) == sc_large_size(&last);
    r->n = k;
}

static int make_room(struct sc_large_ranking *r, struct sc_error *e)
{
    const uint64_t all = r->most > UINT64_MAX / 4 ? UINT64_MAX / 4 : 2 * r->most;

    if (r->n < r->cap)
        return 0;
    if (r->cap < SC_MAX(all, (uint64_t)LEAST_ROOM)) {
        size_t wanted = (size_t)SC_MIN(SC_MAX((uint64_t)r->cap * 2, (uint64_t)LEAST_ROOM),
                                       SC_MAX(all, (uint64_t)LEAST_ROOM));
        return sc_grow(&r->p, &r->cap, wanted, sizeof *r->p, e);
    }
    drop_rest(r);
    return 0;
}

int sc_large_add(struct sc_large_ranking *r, const struct sc_large_item *items, size_t n,
                 uint32_t size, uint64_t dropped, struct sc_error *e)
{
    for (size_t i = 0; i < n; i++) {
        if (r->full && sc_large_order(&r->floor, &items[i]) < 0) {
            r->ties += sc_large_size(&items[i]) == sc_large_size(&r->floor);
            continue;
        }
        TRY(make_room(r, e));
        r->p[r->n++] = items[i];
    }
    if (r->full && size == sc_large_size(&r->floor))
        r->ties += dropped;
    return 0;
}

void sc_large_finish(struct sc_large_ranking *r)
{
    if (r->n > r->most && r->most)
        drop_rest(r);
    sc_sort(r->p, r->n, sizeof *r->p, by_order);
}
