/* SPDX-License-Identifier: Apache-2.0 */
/* torch_share: which bytes of a storage belong to which row.
 *
 * Tensors may share a storage: tied weights, slices of one buffer, a transposed view. So that the
 * rows of a listing add up to the file, every byte belongs to the first tensor, in natural order
 * of names, whose span (first to last byte that it touches) covers it:
 *
 *   storage   0....................................100
 *   "a"       [======================]                    60 bytes
 *   "b"                    [===============]               25 of its 40: the rest is a's
 *   "c"            [====]                                  0: tied
 *
 * The spans of a storage are swept from left to right with a heap of those that are open, the
 * earliest name on top. A packed storage cannot be divided: its first tensor has it all. */
#include "format/torch.h"

#include <stdlib.h>

struct owner {
    struct sc_torch_span span;
    struct sc_str name;
    uint32_t rank; /* in natural order of names, within the storage */
};

struct sweep {
    struct owner *owners; /* of one storage, by low */
    size_t n;
    uint32_t *heap; /* indices into owners, by rank */
    size_t heap_n;
};

static int by_storage_and_name(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    if (x->span.storage != y->span.storage)
        return x->span.storage < y->span.storage ? -1 : 1;
    const int order = sc_natural_cmp(x->name, y->name);
    return order ? order : (x->span.entry > y->span.entry) - (x->span.entry < y->span.entry);
}

static int by_low(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    if (x->span.low != y->span.low)
        return x->span.low < y->span.low ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static bool before(const struct sweep *s, size_t i, size_t j)
{
    return s->owners[s->heap[i]].rank < s->owners[s->heap[j]].rank;
}

static void swap(struct sweep *s, size_t i, size_t j)
{
    const uint32_t kept = s->heap[i];
    s->heap[i] = s->heap[j];
    s->heap[j] = kept;
}

static void heap_push(struct sweep *s, uint32_t owner)
{
    size_t i = s->heap_n++;
    s->heap[i] = owner;
    for (; i > 0 && before(s, i, (i - 1) / 2); i = (i - 1) / 2)
        swap(s, i, (i - 1) / 2);
}

static void heap_pop(struct sweep *s)
{
    s->heap[0] = s->heap[--s->heap_n];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->heap_n; child++)
            if (before(s, child, least))
                least = child;
        if (least == i)
            return;
        swap(s, i, least);
        i = least;
    }
}

/* Gives every owner of one storage its bytes. */
static void divide(struct sc_catalog *c, struct sweep *s)
{
    uint64_t at = 0;
    size_t next = 0;
    qsort(s->owners, s->n, sizeof s->owners[0], by_low);
    s->heap_n = 0;
    while (s->heap && (next < s->n || s->heap_n > 0)) {
        while (s->heap_n > 0 && s->owners[s->heap[0]].span.high <= at)
            heap_pop(s);
        if (s->heap_n == 0) {
            if (next == s->n)
                break;
            at = SC_MAX(at, s->owners[next].span.low);
        }
        while (next < s->n && s->owners[next].span.low <= at)
            heap_push(s, (uint32_t)next++);
        /* Spans that ended before `at` may be anywhere in the heap; only the top matters. */
        const struct owner *top = &s->owners[s->heap[0]];
        if (top->span.high <= at)
            continue;
        uint64_t end = top->span.high;
        if (next < s->n)
            end = SC_MIN(end, s->owners[next].span.low);
        c->entries[top->span.entry].bytes += end - at;
        at = end;
    }
}

/* The owners of one storage, in natural order of names. */
static void give(struct sc_torch *t, struct sweep *s)
{
    const struct sc_torch_storage *storage = &t->storages[s->owners[0].span.storage];
    struct sc_catalog *c = t->c;
    if (storage->method != 0) {
        c->entries[s->owners[0].span.entry].bytes = storage->stored;
    } else {
        for (size_t i = 0; i < s->n; i++)
            s->owners[i].rank = (uint32_t)i;
        divide(c, s);
    }
    for (size_t i = 0; i < s->n; i++) {
        struct sc_entry *en = &c->entries[s->owners[i].span.entry];
        if (en->bytes == 0)
            en->flags |= SC_ENTRY_TIED;
    }
}

int sc_torch_share(struct sc_torch *t)
{
    struct owner *owners = NULL;
    uint32_t *heap = NULL;
    size_t owners_cap = 0, heap_cap = 0;
    const size_t n = t->n_spans;
    int code = 0;
    t->n_arrays = sc_pickle_arrays(t->pickle);
    sc_pickle_free(t->pickle); /* the values have done their work; make room */
    t->pickle = NULL;
    if (n == 0)
        return 0;
    code = sc_grow(&owners, &owners_cap, n, sizeof owners[0], t->e);
    if (code == 0)
        code = sc_grow(&heap, &heap_cap, n, sizeof heap[0], t->e);
    if (code < 0)
        goto done;
    for (size_t i = 0; i < n; i++)
        owners[i] = (struct owner){.span = t->spans[i],
                                   .name = sc_entry_name(&t->c->entries[t->spans[i].entry])};
    qsort(owners, n, sizeof owners[0], by_storage_and_name);
    for (size_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n; end++)
            if (owners[end].span.storage != owners[first].span.storage)
                break;
        struct sweep s = {.owners = owners + first, .n = end - first, .heap = heap};
        give(t, &s);
    }
done:
    free(owners);
    free(heap);
    return code;
}
