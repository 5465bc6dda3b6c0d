/* SPDX-License-Identifier: Apache-2.0 */
/* memory: allocation, growing arrays, arenas, buffers with a ceiling, and the checked product that
 * their sizes come from.
 *
 * Three lifetimes exist: what sc_alloc() and sc_grow() return dies by free(), what an arena gives
 * dies with the arena, and a buffer owns its bytes until sc_buf_clear().
 *
 * An arena is a list of chunks, the newest first; each new chunk is twice the last, so a small
 * model costs 4 KiB and a large one few calls:
 *
 *     head -> [ next | cap | used | bytes ... free ... ] -> [ next | ... full ... ] -> NULL
 *
 * Under AddressSanitizer the free part is poisoned and allocations keep 8 poisoned bytes between
 * each other, so that an overrun inside a chunk is reported as one of malloc's would be.
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* madvise; NOLINT(bugprone-reserved-identifier,cert-dcl51-cpp) */
#endif
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SC_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SC_ASAN 1
#endif
#endif
#ifdef SC_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#define RED_ZONE       ((size_t)8)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define RED_ZONE       ((size_t)0)
#endif

#define CHUNK_MIN ((size_t)4 << 10)
#define CHUNK_MAX ((size_t)1 << 20)
#define BUF_MAX   ((size_t)1 << 30)
/* Blocks from this size on are asked to lie in huge pages: the tables of a million tensors cost
 * 25,000 page faults otherwise, a fifth of the time to read their headers. */
#define HUGE_FROM ((size_t)8 << 20)
#define HUGE_PAGE ((uintptr_t)2 << 20)
/* Chunks of an arena that goes to a file once it has that much in memory. */
#define FILED_CHUNK ((size_t)4 << 20)

struct sc_arena_chunk {
    struct sc_arena_chunk *next;
    size_t cap, used; /* of bytes[] */
    bool filed;       /* came from sc_pages_new() */
    _Alignas(max_align_t) unsigned char bytes[];
};

bool sc_product(const uint64_t *dims, size_t n, uint64_t *out)
{
    uint64_t product = 1;
    bool fits = true;
    for (size_t i = 0; i < n; i++) {
        if (dims[i] == 0) { /* whatever overflowed before does not matter */
            *out = 0;
            return true;
        }
        fits = fits && sc_mul(product, dims[i], &product);
    }
    *out = product;
    return fits;
}

/* ------------------------------------------------------------------------------- malloc --- */

/* Advice: nothing depends on it. Gives p back. */
static void *prefer_huge_pages(void *p, size_t n)
{
#ifdef MADV_HUGEPAGE
    if (p && n >= HUGE_FROM) {
        const uintptr_t at = (uintptr_t)p;
        const uintptr_t first = (at + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
        const uintptr_t end = (at + n) & ~(HUGE_PAGE - 1);
        if (end > first)
            (void)madvise((unsigned char *)p + (first - at), end - first, MADV_HUGEPAGE);
    }
#else
    (void)n;
#endif
    return p;
}

void *sc_alloc(size_t n)
{
    return malloc(n ? n : 1);
}

void *sc_calloc(size_t n, size_t size)
{
    return n && size ? prefer_huge_pages(calloc(n, size), n * size) : calloc(1, 1);
}

int sc_grow(void *array_ptr, size_t *cap, size_t need, size_t size, struct sc_error *e)
{
    if (need <= *cap)
        return 0;
    /* Half as much again: the old and the new block together stay below three times the data. */
    size_t items = *cap <= SIZE_MAX / 2 ? *cap + *cap / 2 : SIZE_MAX;
    items = SC_MAX(items, SC_MAX(need, (size_t)8));
    if (size == 0 || items > (size_t)PTRDIFF_MAX / size) {
        items = need;
        if (size == 0 || items > (size_t)PTRDIFF_MAX / size)
            return sc_fail_memory(e);
    }
    /* The caller's pointer has a type of its own; only its bytes may be touched here. */
    void *p;
    memcpy(&p, array_ptr, sizeof p);
    /* Only a fresh block: moving one that lies in huge pages would split them. */
    p = p ? realloc(p, items * size) : prefer_huge_pages(malloc(items * size), items * size);
    if (!p)
        return sc_fail_memory(e);
    memcpy(array_ptr, &p, sizeof p);
    *cap = items;
    return 0;
}

/* -------------------------------------------------------------------------------- arena --- */

/* A chunk of at least `need` bytes that respects the limit, not linked yet. */
static struct sc_arena_chunk *new_chunk(struct sc_arena *a, size_t need)
{
    size_t header = sizeof(struct sc_arena_chunk);
    if (need > (size_t)PTRDIFF_MAX - header)
        return NULL;

    const bool filed = a->filed && a->total >= SC_PAGES_FROM;
    const size_t max = filed ? FILED_CHUNK : a->total < 2 * HUGE_FROM ? CHUNK_MAX : HUGE_FROM;
    size_t size = a->head ? SC_MIN((a->head->cap + header) * 2, max) : CHUNK_MIN;
    size = SC_MAX(size, CHUNK_MIN);
    size = SC_MAX(size, need + header);
    if (a->limit) {
        size_t left = a->limit > a->total ? a->limit - a->total : 0;
        if (size > left)
            size = need + header;
        if (size > left)
            return NULL;
    }
    struct sc_arena_chunk *c = filed ? sc_pages_new(true, 1, size)
                               : size == HUGE_FROM
                                   ? prefer_huge_pages(aligned_alloc(HUGE_PAGE, size), size)
                                   : malloc(size);
    if (!c)
        return NULL;
    c->filed = filed;
    c->cap = size - header;
    c->used = 0;
    POISON(c->bytes, c->cap);
    a->total += size;
    return c;
}

/* n bytes of the chunk, or NULL when they do not fit. */
static void *carve(struct sc_arena_chunk *c, size_t n, size_t align)
{
    size_t pad = (size_t)(-(uintptr_t)(c->bytes + c->used) & (align - 1));
    size_t left = c->cap - c->used;
    if (pad > left || n > left - pad)
        return NULL;
    unsigned char *p = c->bytes + c->used + pad;
    UNPOISON(p, n);
    c->used += pad + n;
    c->used += SC_MIN(RED_ZONE, c->cap - c->used);
    return p;
}

void *sc_arena_alloc(struct sc_arena *a, size_t n, size_t align)
{
    n = n ? n : 1;
#ifdef SC_ASAN
    align = SC_MAX(align, (size_t)8); /* the sanitizer's granule: byte-exact ends */
#endif
    void *p = a->head ? carve(a->head, n, align) : NULL;
    if (p)
        return p;
    if (n > (size_t)PTRDIFF_MAX - align)
        return NULL;

    size_t need = n + align - 1;
    struct sc_arena_chunk *c = new_chunk(a, need);
    if (!c)
        return NULL;
    if (a->head && need > CHUNK_MAX / 4) {
        /* A block of its own: what is left in the current chunk stays in use. */
        c->next = a->head->next;
        a->head->next = c;
    } else {
        c->next = a->head;
        a->head = c;
    }
    return carve(c, n, align);
}

char *sc_arena_copy(struct sc_arena *a, const void *p, size_t n)
{
    if (n == SIZE_MAX)
        return NULL;
    char *copy = sc_arena_alloc(a, n + 1, 1);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

void sc_arena_join(struct sc_arena *a, struct sc_arena *from)
{
    struct sc_arena_chunk *last = from->head;
    while (last && last->next)
        last = last->next;
    if (last && a->head) { /* what is left in the current chunk stays in use */
        last->next = a->head->next;
        a->head->next = from->head;
    } else if (last) {
        a->head = from->head;
    }
    a->total += from->total;
    from->head = NULL;
    from->total = 0;
}

void sc_arena_clear(struct sc_arena *a)
{
    struct sc_arena_chunk *c = a->head;
    while (c) {
        struct sc_arena_chunk *next = c->next;
        UNPOISON(c->bytes, c->cap);
        if (c->filed)
            sc_pages_free(c);
        else
            free(c);
        c = next;
    }
    a->head = NULL;
    a->total = 0;
}

/* -------------------------------------------------------------------------------- buffer --- */

/* Room for n more bytes and the NUL. */
static bool buf_room(struct sc_buf *b, size_t n)
{
    size_t max = b->max ? b->max : BUF_MAX;
    if (b->failed)
        return false;
    if (b->n > max || n > max - b->n) {
        b->failed = true;
        return false;
    }
    if (n < b->cap - b->n) /* cap == n == 0 at first: false */
        return true;
    if (b->n + n == SIZE_MAX || sc_grow(&b->p, &b->cap, b->n + n + 1, 1, NULL) < 0) {
        b->failed = true;
        return false;
    }
    return true;
}

void sc_buf_put(struct sc_buf *b, const void *p, size_t n)
{
    if (!buf_room(b, n))
        return;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void sc_buf_puts(struct sc_buf *b, const char *s)
{
    sc_buf_put(b, s, strlen(s));
}

void sc_buf_putc(struct sc_buf *b, char c)
{
    sc_buf_put(b, &c, 1);
}

void sc_buf_printf(struct sc_buf *b, const char *fmt, ...)
{
    if (b->failed)
        return;

    size_t spare = b->cap - b->n;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(b->p ? b->p + b->n : NULL, spare, fmt, ap);
    va_end(ap);
    if (n < 0 || !buf_room(b, (size_t)n)) {
        b->failed = true;
        if (b->p)
            b->p[b->n] = '\0'; /* take back what was written */
        return;
    }
    if ((size_t)n >= spare) {
        va_start(ap, fmt);
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    b->n += (size_t)n;
}

void sc_buf_repeat(struct sc_buf *b, char c, size_t n)
{
    if (!buf_room(b, n))
        return;
    memset(b->p + b->n, c, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void sc_buf_clear(struct sc_buf *b)
{
    free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
    b->failed = false;
}
