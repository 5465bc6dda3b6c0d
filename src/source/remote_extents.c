/* SPDX-License-Identifier: Apache-2.0 */
/* remote_extents: the sorted list of what is here and what is on its way, and how much memory that
 * may take. Every function wants the remote's lock held. */
#include "source/remote_internal.h"

#include <stdlib.h>
#include <string.h>

#define EXTENTS_MAX  ((uint64_t)64 << 20) /* bytes of one file that are kept in memory */
#define EXTENT_FIXED ((uint64_t)1 << 10)  /* what an extent costs beside its bytes, about */

/* Index of the first extent that ends behind `off`. */
static size_t position(const struct sc_remote *r, uint64_t off)
{
    size_t lo = 0, hi = r->n_extents;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->extents[mid]->off + r->extents[mid]->len <= off)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct extent *sc_remote_find(const struct sc_remote *r, uint64_t off, uint64_t *gap)
{
    size_t i = position(r, off);
    struct extent *x = i < r->n_extents ? r->extents[i] : NULL;
    if (x && x->off <= off)
        return x;
    *gap = x ? x->off : UINT64_MAX;
    return NULL;
}

struct extent *sc_remote_next_fresh(const struct sc_remote *r, uint64_t off)
{
    for (size_t i = position(r, off); i < r->n_extents; i++)
        if (r->extents[i]->fresh)
            return r->extents[i];
    return NULL;
}

static uint64_t cost_of(const struct extent *x)
{
    return x->len + EXTENT_FIXED;
}

struct extent *sc_remote_add_extent(struct sc_remote *r, uint64_t off, uint64_t len)
{
    if (len > SIZE_MAX ||
        sc_grow(&r->extents, &r->extents_cap, r->n_extents + 1, sizeof *r->extents, NULL) < 0)
        return NULL;
    struct extent *x = sc_calloc(1, sizeof *x);
    uint8_t *bytes = sc_alloc((size_t)len);
    if (!x || !bytes) {
        free(x);
        free(bytes);
        return NULL;
    }
    size_t i = position(r, off);
    memmove(r->extents + i + 1, r->extents + i, (r->n_extents - i) * sizeof *r->extents);
    r->extents[i] = x;
    r->n_extents++;
    *x = (struct extent){.off = off, .len = len, .bytes = bytes, .state = EXTENT_FAILED};
    x->listed = true;
    x->refs = 1;
    x->used = ++r->clock;
    r->cost += cost_of(x);
    return x;
}

void sc_remote_unref(struct sc_remote *r, struct extent *x)
{
    if (--x->refs > 0)
        return;
    if (x->fetch)
        sc_remote_unref_fetch(r, x->fetch);
    free(x->bytes);
    free(x);
}

/* Not by position(): an extent without bytes ends behind nothing. */
static size_t index_of(const struct sc_remote *r, const struct extent *x)
{
    size_t lo = 0, hi = r->n_extents;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->extents[mid]->off < x->off)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void sc_remote_drop_extent(struct sc_remote *r, struct extent *x)
{
    size_t i = index_of(r, x);
    memmove(r->extents + i, r->extents + i + 1, (r->n_extents - i - 1) * sizeof *r->extents);
    r->n_extents--;
    r->cost -= cost_of(x);
    r->n_fresh -= x->fresh;
    x->fresh = false;
    x->listed = false;
    sc_remote_unref(r, x);
}

/* Is it at rest, offered to the store, and used by nobody? */
static bool can_drop(const struct extent *x)
{
    return x->refs == 1 && !x->fresh && (x->state == EXTENT_HERE || x->state == EXTENT_FAILED);
}

bool sc_remote_make_room(struct sc_remote *r, uint64_t more, bool read_only)
{
    while (r->cost > EXTENTS_MAX || more > EXTENTS_MAX - r->cost) {
        struct extent *oldest = NULL;
        for (size_t i = 0; i < r->n_extents; i++) {
            struct extent *x = r->extents[i];
            if (can_drop(x) && (!read_only || x->touched) && (!oldest || x->used < oldest->used))
                oldest = x;
        }
        if (!oldest)
            return false;
        sc_remote_drop_extent(r, oldest);
    }
    return true;
}

void sc_remote_drop_all(struct sc_remote *r)
{
    for (size_t i = r->n_extents; i-- > 0;) {
        struct extent *x = r->extents[i];
        if (x->state == EXTENT_HERE || x->state == EXTENT_FAILED)
            sc_remote_drop_extent(r, x);
    }
}
