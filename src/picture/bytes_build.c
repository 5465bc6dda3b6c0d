/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_build: cells, so that pixels of many bytes are exact: everything is read once. */
#include <math.h>
#include <stdlib.h>

#include "picture/bytes_parts.h"

enum {
    STEP = 1 << 18,                     /* bytes that are read at once */
    BATCH = 4,                          /* chunks a thread between two looks */
    WINDOWS = 1 << 2 * (BYTES_NEAR + 1) /* the smallest cell */
};

bool sc_bytes_join_cell(const struct sc_bytes *b, uint64_t cell, struct sc_byte_sum *sum)
{
    const struct byte_cell *c = &b->cells[cell];
    struct sc_byte_sum one = {.entropy = c->entropy, .min = c->min, .max = c->max};
    for (unsigned k = 0; k < SC_BYTE_CLASSES; k++)
        one.count[k] = c->count[k];
    for (unsigned k = 0; k < SC_COUNT(c->sum); k++)
        one.sum[k] = c->sum[k];
    sc_byte_sum_join(sum, &one);
    return !c->lost;
}

static void keep_cell(struct byte_cell *c, const struct sc_byte_sum *sum)
{
    for (unsigned k = 0; k < SC_BYTE_CLASSES; k++)
        c->count[k] = (uint32_t)SC_MIN(sum->count[k], (uint64_t)UINT32_MAX);
    for (unsigned k = 0; k < SC_COUNT(sum->sum); k++)
        c->sum[k] = (uint32_t)SC_MIN(sum->sum[k], (uint64_t)UINT32_MAX);
    c->entropy = sum->entropy;
    c->min = sum->min;
    c->max = sum->max;
}

struct lost {
    struct byte_stretch *list;
    size_t n, cap;
    bool failed;
};

static void note_lost(void *ctx, const struct byte_stretch *gap)
{
    struct lost *l = ctx;
    if (sc_grow(&l->list, &l->cap, l->n + 1, sizeof *l->list, NULL) < 0)
        l->failed = true;
    else
        l->list[l->n++] = *gap;
}

/* The part of [at, at + n) before the next gap, or 0 inside of one; *skip: what to go on by. */
static size_t sound(const struct lost *l, uint64_t at, size_t n, size_t *skip)
{
    *skip = n;
    for (size_t i = 0; i < l->n; i++) {
        const struct byte_stretch *g = &l->list[i];
        if (g->at + g->n <= at || g->at >= at + *skip)
            continue;
        if (g->at <= at) {
            *skip = (size_t)SC_MIN((uint64_t)*skip, g->at + g->n - at);
            return 0;
        }
        *skip = (size_t)(g->at - at);
    }
    return *skip;
}

struct chunk {
    struct sc_bytes *b;
    uint64_t at, end;
    uint8_t *p;
    struct lost lost;
    struct sc_byte_sum sum;
    bool torn; /* some of the cell cannot be read */
    enum sc_cpu level;
};

/* What was read, window by window, into cells. */
static void count(struct chunk *c, uint64_t at, size_t n)
{
    const uint64_t cell_mask = (UINT64_C(1) << 2 * c->b->cell_log4) - 1;
    const uint8_t *p = c->p;
    for (size_t some, skip; n; at += skip, p += skip, n -= skip) {
        const size_t most = c->lost.n ? SC_BYTE_WINDOW : WINDOWS;
        const size_t window = SC_MIN(n, most - (size_t)(at % most));
        some = c->lost.n ? sound(&c->lost, at, window, &skip) : (skip = window);
        if (some)
            sc_byte_sum_add(&c->sum, p, some, true, c->level);
        else
            c->torn = true;
        if (((at + skip) & cell_mask) == 0 || at + skip == c->end) {
            struct byte_cell *cell = &c->b->cells[at >> 2 * c->b->cell_log4];
            keep_cell(cell, &c->sum);
            cell->lost = c->torn;
            c->sum = sc_byte_sum_of_none();
            c->torn = false;
        }
    }
}

struct work {
    struct sc_bytes *b;
    size_t first;
    _Atomic bool no_memory;
};

static void count_chunk(void *ctx, size_t i)
{
    struct work *w = ctx;
    struct sc_bytes *b = w->b;
    const unsigned log2 = 2 * b->chunk_log4;
    const size_t k = w->first + i;
    struct chunk c = {
        .b = b, .sum = sc_byte_sum_of_none(), .p = sc_alloc(STEP), .level = sc_cpu_level()};
    c.end = SC_MIN((uint64_t)(k + 1) << log2, b->total);
    if (!c.p) {
        atomic_store(&w->no_memory, true);
        return;
    }
    for (c.at = (uint64_t)k << log2; c.at < c.end && !atomic_load(b->o.cancel); c.at += STEP) {
        const size_t n = (size_t)SC_MIN((uint64_t)STEP, c.end - c.at);
        c.lost.n = 0;
        sc_bytes_get(b, c.at, n, c.p, UINT64_MAX, note_lost, &c.lost);
        count(&c, c.at, n);
    }
    if (c.at >= c.end && !c.lost.failed) {
        atomic_store_explicit(&b->done[k], 1, memory_order_release);
        atomic_fetch_add(&b->n_done, 1);
    }
    free(c.lost.list);
    free(c.p);
}

int sc_bytes_build(struct sc_bytes *b, struct sc_error *e)
{
    struct work w = {.b = b};
    if (!b->cells || (b->o.remote && b->total > b->o.network)) {
        atomic_store(&b->n_done, b->n_chunks);
        return 0;
    }
    const size_t batch = BATCH * (size_t)sc_pool_threads(b->o.pool);
    for (; w.first < b->n_chunks; w.first += batch) {
        sc_pool_for(b->o.pool, SC_MIN(batch, b->n_chunks - w.first), count_chunk, &w);
        if (atomic_load(b->o.cancel))
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        if (atomic_load(&w.no_memory))
            return sc_fail_memory(e);
        atomic_fetch_add(&b->epoch, 1);
    }
    atomic_store(&b->over, true);
    return 0;
}

double sc_bytes_progress(const struct sc_bytes *b, uint64_t *epoch)
{
    const uint64_t done = atomic_load(&b->n_done);
    *epoch = atomic_load(&b->epoch);
    return done >= b->n_chunks ? 1 : (double)done / (double)b->n_chunks;
}

void sc_bytes_count(const struct sc_bytes *b, uint64_t from, uint64_t to,
                    struct sc_byte_counts *out)
{
    const unsigned log2 = 2 * b->cell_log4;
    struct sc_byte_sum sum = sc_byte_sum_of_none();
    const uint64_t first = (from + (UINT64_C(1) << log2) - 1) >> log2;
    const uint64_t end = to == b->total ? ((to - 1) >> log2) + 1 : to >> log2;
    for (uint64_t cell = first; cell < end && b->cells; cell++)
        if (sc_bytes_counted(b, cell << log2))
            (void)sc_bytes_join_cell(b, cell, &sum);
    out->bytes = sc_byte_sum_bytes(&sum);
    for (unsigned k = 0; k < SC_BYTE_CLASSES; k++)
        out->classes[k] = sum.count[k];
    out->mean = out->bytes ? sc_byte_sum_mean(&sum) : (double)NAN;
    out->entropy = out->bytes ? sc_byte_sum_entropy(&sum) : (double)NAN;
}
