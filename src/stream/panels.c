/* SPDX-License-Identifier: Apache-2.0 */
/* panels: one tensor in rectangles.
 *
 *   next panel --> read --> look, many at once --> part --> merge, one at a time, in order
 *
 * Every thread has a room for values and scratch. Parts lie in a ring, four for each thread: a part
 * that is early waits there, and a thread that would run too far ahead waits for the others. Who
 * finishes the part that is next in order merges it and all that wait behind it.
 *
 * Owns: that order, the rooms, asking ahead. Does not own: threads (pool.c), reading (values.c). */
#include "stream/stored.h"
#include "stream/values.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS_A_THREAD = 4, ALIGN = 64, MOST_THREADS = 1024 };
#define AHEAD_VALUES  (UINT64_C(16) << 20) /* that are asked for before they are needed */
#define WINDOW_VALUES (UINT64_C(4) << 20)  /* that a thread maps at once */

/* How a tensor is cut. */
struct grid {
    uint64_t down, across; /* panels of one matrix */
    uint64_t n;            /* of all */
};

struct visit {
    const struct sc_panels *p;
    struct grid grid;
    uint64_t todo; /* panels, of `only` or of all */
    size_t slots;  /* of the ring */
    char *rooms, *parts;
    size_t room, part; /* bytes of one */
    bool *ready;       /* (slots) looked at, not merged */

    pthread_mutex_t lock; /* around all below */
    pthread_cond_t moved; /* `merged` has grown, or it ends */
    uint64_t next, merged;
    bool merging;
    uint64_t asked;  /* panels that were asked for ahead */
    uint64_t failed; /* of the panels that failed, the first; UINT64_MAX: none did */
    int status;
    struct sc_error why;
};

/* ------------------------------------------------------------------------------- geometry --- */

static bool grid_of(const struct sc_panels *p, struct grid *out)
{
    const uint64_t shape[] = {p->matrices, p->rows, p->cols};
    uint64_t count, one;
    *out = (struct grid){0};
    if (p->height == 0 || p->width == 0 ||
        (uint64_t)p->height * p->width > (uint64_t)SC_PANEL_VALUES ||
        !sc_product(shape, SC_COUNT(shape), &count) || count != p->view->count)
        return false;
    if (count == 0)
        return true;
    out->down = (p->rows - 1) / p->height + 1;
    out->across = (p->cols - 1) / p->width + 1;
    return sc_mul(out->down, out->across, &one) && sc_mul(one, p->matrices, &out->n);
}

uint64_t sc_panels_count(const struct sc_panels *p)
{
    struct grid g;
    return grid_of(p, &g) ? g.n : UINT64_MAX;
}

/* The k-th panel of this visit. */
static struct sc_rectangle place_of(const struct visit *v, uint64_t k)
{
    const struct sc_panels *p = v->p;
    struct sc_rectangle r = {.index = p->only ? p->only[k] : k};
    const uint64_t band = r.index / v->grid.across;
    r.matrix = band / v->grid.down;
    r.row = band % v->grid.down * p->height;
    r.col = r.index % v->grid.across * p->width;
    r.n_rows = (uint32_t)SC_MIN(p->rows - r.row, (uint64_t)p->height);
    r.n_cols = (uint32_t)SC_MIN(p->cols - r.col, (uint64_t)p->width);
    return r;
}

static uint64_t first_value(const struct sc_panels *p, const struct sc_rectangle *r)
{
    return (r->matrix * p->rows + r->row) * p->cols + r->col;
}

/* ----------------------------------------------------------------------------- asking ahead ---
 * Panels of whole rows, and bands (all panels of the same rows) whose panels are all wanted, are
 * one run of values. What is wanted of a band in part is asked for when it is read. */
static void ask_ahead(struct visit *v, uint64_t taken)
{
    const struct sc_panels *p = v->p;
    const uint64_t size = (uint64_t)p->height * p->width, across = v->grid.across;
    const uint64_t ahead = SC_MAX(AHEAD_VALUES / size, UINT64_C(2));
    if (v->asked > taken + ahead / 2)
        return;
    uint64_t k = SC_MAX(v->asked, taken);
    const uint64_t end = SC_MIN(v->todo, taken + ahead);
    v->asked = SC_MAX(v->asked, end);
    while (k < end) {
        const struct sc_rectangle from = place_of(v, k);
        uint64_t n = 1;
        struct sc_rectangle last = from;
        while (k + n < end) { /* neighbours are one run */
            const struct sc_rectangle next = place_of(v, k + n);
            if (next.index != last.index + 1)
                break;
            last = next;
            n++;
        }
        if (across == 1 || n >= across) {
            const uint64_t begin = first_value(p, &from) - from.col;
            const uint64_t stop = first_value(p, &last) - last.col + last.n_rows * p->cols;
            sc_values_prefetch(p->view, begin, stop - begin);
            if (p->codes) /* what is mapped is read by the page, unless the system knows */
                sc_values_read_ahead(p->view, begin, stop - begin);
        }
        k += n;
    }
}

/* -------------------------------------------------------------------------------- the work --- */

/* Under the lock. Of several failures the first in order is told. */
static void fail(struct visit *v, uint64_t k, int code, const struct sc_error *why)
{
    if (k > v->failed || (k == v->failed && v->status < 0))
        return;
    v->failed = k;
    v->status = code;
    v->why = *why;
}

/* Under the lock, which is let go while merge() runs. */
static void merge_ready(struct visit *v)
{
    if (v->merging)
        return;
    v->merging = true;
    while (v->merged < v->todo && v->merged < v->failed && v->ready[v->merged % v->slots]) {
        const size_t slot = v->merged % v->slots;
        const struct sc_rectangle at = place_of(v, v->merged);
        pthread_mutex_unlock(&v->lock);
        v->p->merge(v->p->ctx, &at, v->parts + slot * v->part);
        pthread_mutex_lock(&v->lock);
        v->ready[slot] = false;
        v->merged++;
        pthread_cond_broadcast(&v->moved);
    }
    v->merging = false;
}

/* Under the lock: the next panel for this thread; false: there is nothing left for it. */
static bool take(struct visit *v, uint64_t *k)
{
    const _Atomic int *cancel = v->p->cancel;
    while (v->status == 0 && v->next < v->todo && v->next - v->merged >= v->slots)
        pthread_cond_wait(&v->moved, &v->lock);
    if (v->status == 0 && v->next < v->todo && cancel && atomic_load(cancel)) {
        struct sc_error why = {0};
        fail(v, v->next, sc_fail(&why, SCRUPLE_EINTERRUPTED, "interrupted"), &why);
    }
    if (v->status < 0 || v->next >= v->todo) {
        pthread_cond_broadcast(&v->moved);
        return false;
    }
    *k = v->next++;
    ask_ahead(v, *k);
    return true;
}

/* Codes of a panel: in a window that begins with it, or with one before it. Values that are not
 * looked at are mapped too, which costs nothing until somebody touches them. */
static int find_codes(const struct visit *v, struct sc_rectangle *at,
                      struct sc_stored_window *window, char *room, struct sc_error *e)
{
    const struct sc_panels *p = v->p;
    const uint64_t first = first_value(p, at);
    const uint64_t n = (at->n_rows - 1) * p->cols + at->n_cols;
    if (!window->window.bytes || first < window->first || first + n > window->first + window->n) {
        TRY(sc_values_close_window(p->view, window, e));
        sc_values_open_window(p->view, first,
                              SC_MIN(SC_MAX(n, WINDOW_VALUES), p->view->count - first), window);
    }
    return sc_values_load_runs(p->view, window, first, p->cols, at->n_rows, at->n_cols,
                               (uint8_t *)room, &at->codes, &at->stride, e);
}

/* One thread: panels until there are none. */
static void work(void *ctx, size_t i)
{
    struct visit *v = ctx;
    const struct sc_panels *p = v->p;
    struct sc_stored_window window = {.n = 0};
    char *room = v->rooms + i * v->room;
    const size_t values = v->room - (size_t)sc_align_up(p->scratch, ALIGN);
    uint64_t k;
    pthread_mutex_lock(&v->lock);
    while (take(v, &k)) {
        struct sc_rectangle at = place_of(v, k);
        struct sc_error why = {0};
        void *part = v->parts + k % v->slots * v->part;
        pthread_mutex_unlock(&v->lock);
        at.values = p->codes ? NULL : (float *)(void *)room;
        memset(part, 0, v->part);
        const int code = p->codes ? find_codes(v, &at, &window, room, &why)
                                  : sc_values_read_runs(p->view, first_value(p, &at), p->cols,
                                                        at.n_rows, at.n_cols, at.values, &why);
        if (code == 0)
            p->look(p->ctx, &at, room + values, part);
        pthread_mutex_lock(&v->lock);
        if (code < 0)
            fail(v, k, code, &why);
        else
            v->ready[k % v->slots] = true;
        merge_ready(v);
    }
    pthread_mutex_unlock(&v->lock);
    struct sc_error why = {0};
    const int code = sc_values_close_window(p->view, &window, &why);
    if (code < 0) {
        pthread_mutex_lock(&v->lock);
        fail(v, v->todo - 1, code, &why);
        pthread_mutex_unlock(&v->lock);
    }
}

/* n pieces of `size` bytes that begin at multiples of ALIGN. */
static char *aligned(size_t n, size_t size, char **memory)
{
    uint64_t bytes;
    if (!sc_mul(n, size, &bytes) || bytes > SIZE_MAX / 2 || !(*memory = sc_alloc(bytes + ALIGN)))
        return NULL;
    return *memory + (ALIGN - (uintptr_t)*memory % ALIGN) % ALIGN;
}

static int visit_all(struct visit *v, unsigned threads, struct sc_error *e)
{
    const struct sc_panels *p = v->p;
    char *memory[2] = {NULL, NULL};
    int code = 0;
    v->slots = threads > 1 ? (size_t)threads * PARTS_A_THREAD : 1;
    v->slots = (size_t)SC_MIN((uint64_t)v->slots, v->todo);
    v->ready = sc_calloc(v->slots, sizeof *v->ready);
    v->rooms = aligned(threads, v->room, &memory[0]);
    v->parts = aligned(v->slots, v->part, &memory[1]);
    if (!v->ready || !v->rooms || !v->parts)
        code = sc_fail_memory(e);
    if (code == 0) {
        pthread_mutex_init(&v->lock, NULL);
        pthread_cond_init(&v->moved, NULL);
        sc_parallel_run(threads > 1 ? p->p : NULL, threads, work, v);
        pthread_cond_destroy(&v->moved);
        pthread_mutex_destroy(&v->lock);
        code = v->status;
        if (code < 0 && e)
            *e = v->why;
    }
    free(memory[0]);
    free(memory[1]);
    free(v->ready);
    return code;
}

int sc_panels_visit(const struct sc_panels *p, struct sc_error *e)
{
    struct visit v = {.p = p, .failed = UINT64_MAX};
    if (p->codes && !p->view->code_bytes)
        return sc_fail(e, SCRUPLE_EUSAGE, "these values have no codes of their own");
    if (!grid_of(p, &v.grid) || p->scratch > SIZE_MAX / 8 || p->part > SIZE_MAX / 8)
        return sc_fail(e, SCRUPLE_EUSAGE, "%u x %u panels do not fit a tensor of %llu values",
                       p->height, p->width, (unsigned long long)p->view->count);
    v.todo = p->only ? p->n_only : v.grid.n;
    for (size_t i = 0; p->only && i < p->n_only; i++)
        if (p->only[i] >= v.grid.n || (i && p->only[i] <= p->only[i - 1]))
            return sc_fail(e, SCRUPLE_EUSAGE, "panels must be in order, below %llu",
                           (unsigned long long)v.grid.n);
    if (v.todo == 0)
        return 0;
    const unsigned most = p->p ? SC_MAX(SC_MIN(p->p->threads, (unsigned)MOST_THREADS), 1U) : 1;
    const size_t values = (size_t)SC_MIN((uint64_t)p->height, p->rows) *
                          (size_t)SC_MIN((uint64_t)p->width, p->cols) *
                          (p->codes ? p->view->code_bytes : sizeof(float));
    v.room = (size_t)sc_align_up(values, ALIGN) + (size_t)sc_align_up(p->scratch, ALIGN);
    v.part = (size_t)sc_align_up(SC_MAX(p->part, (size_t)1), ALIGN);
    TRY(sc_values_prepare(p->view, p->cancel, e));
    TRY(visit_all(&v, (unsigned)SC_MIN((uint64_t)most, v.todo), e));
    return sc_values_check(p->view, true, e);
}
