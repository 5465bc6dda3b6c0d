/* SPDX-License-Identifier: Apache-2.0 */
/* largest_pass: the pass over values.
 *
 * A ranking is shared by all threads. Each looks at 256 values at a time and takes only those
 * apart whose largest could still be wanted; what it finds waits in its own room and is handed over
 * together. Which of them are kept depends on their sizes and places alone.
 */
#include <math.h>
#include <stdlib.h>

#include "analyze/largest_parts.h"

enum { WAITING = 4096, BLOCK = 256, INFINITE = SC_LARGE_INFINITE };

/* What a segment adds to one matrix. */
struct sums {
    uint32_t matrix;
    uint64_t count, nans, infinities;
    double square;
    uint32_t most;
};
struct part {
    struct sums *sums;
    size_t n_sums, cap;
    struct sc_large_item waiting[WAITING];
    size_t n;
    uint32_t group;
    bool full; /* of the ranking, when it was last looked at */
    struct sc_large_item floor;
    uint64_t dropped;
    int status;
    struct sc_error why;
};
static unsigned wants(void *ctx, const struct sc_item *item, const struct sc_values *v)
{
    (void)ctx, (void)item, (void)v;
    return SC_WANT_VALUES;
}

static int begin(void *ctx, const struct sc_item *item, const struct sc_values *v, void **total,
                 struct sc_error *e)
{
    struct sc_large_finding *x = ctx;
    struct sc_large_source *s = &x->sources[item - x->items];
    const struct sc_large_shape *shape = &x->out->matrices[s->first].shape;

    if (v->count != shape->slices * shape->rows * shape->cols)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED, "its values are pairs of numbers");
    s->begun = true;
    *total = s;
    return 0;
}

static int new_part(void *ctx, void *total, unsigned visit, void *reuse, void **out,
                    struct sc_error *e)
{
    struct part *p = reuse ? reuse : sc_calloc(1, sizeof *p);

    (void)ctx, (void)total, (void)visit;
    if (!p)
        return sc_fail_memory(e);
    p->n = p->n_sums = 0;
    p->status = 0;
    p->group = UINT32_MAX;
    *out = p;
    return 0;
}

static void part_free(void *ctx, void *part)
{
    struct part *p = part;

    (void)ctx;
    free(p->sums);
    free(p);
}

static void drop(void *ctx, void *total)
{
    (void)ctx, (void)total;
}

/* Hands over what waits, and looks at what is still wanted of this group. */
static void settle(struct sc_large_finding *x, struct part *p, uint32_t group)
{
    if (p->status == 0) {
        pthread_mutex_lock(&x->lock);
        if (p->group != UINT32_MAX) {
            struct sc_large_ranking *r = &x->rankings[p->group];
            p->status =
                sc_large_add(r, p->waiting, p->n, sc_large_size(&p->floor), p->dropped, &p->why);
        }
        p->full = group != UINT32_MAX && x->rankings[group].full;
        if (p->full)
            p->floor = x->rankings[group].floor;
        pthread_mutex_unlock(&x->lock);
    }
    p->n = 0;
    p->dropped = 0;
    p->group = group;
}

static struct sums *sums_of(struct part *p, uint32_t matrix)
{
    if (p->n_sums && p->sums[p->n_sums - 1].matrix == matrix)
        return &p->sums[p->n_sums - 1];
    if (p->status == 0)
        p->status = sc_grow(&p->sums, &p->cap, p->n_sums + 1, sizeof *p->sums, &p->why);
    if (p->status < 0)
        return NULL;
    p->sums[p->n_sums] = (struct sums){.matrix = matrix};
    return &p->sums[p->n_sums++];
}

static void add_one_by_one(struct sums *s, const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t size = sc_bits_of(v[i]) & UINT32_C(0x7fffffff);
        s->nans += size > INFINITE;
        s->infinities += size == INFINITE;
        if (size < INFINITE) {
            s->square += (double)v[i] * (double)v[i];
            s->most = SC_MAX(s->most, size);
        }
    }
}

static void add_sums(struct sc_large_finding *x, struct sums *s, const float *v, size_t n)
{
    struct sc_sums k;

    s->count += n;
    sc_sums(v, n, x->level, &k);
    if (k.most >= INFINITE) {
        add_one_by_one(s, v, n);
        return;
    }
    s->square += k.square;
    s->most = SC_MAX(s->most, k.most);
}

/* Is a place of this matrix in a part of it that is wanted? */
static bool is_of(const struct sc_large_matrix *m, const struct sc_large_source *s, uint64_t place)
{
    return s->parts &
           SC_LARGE_KIND(sc_large_role(&m->shape, (enum sc_role)m->role, place / m->shape.cols));
}

/* Up to BLOCK values that may hold something. */
static void take_block(struct sc_large_finding *x, struct part *p, const struct sc_large_source *s,
                       uint32_t matrix, uint64_t element, const float *v, size_t n)
{
    const struct sc_large_matrix *m = &x->out->matrices[matrix];

    for (size_t i = 0; i < n; i++) {
        struct sc_large_item item = {sc_bits_of(v[i]), matrix, 0};
        const uint32_t size = sc_large_size(&item);
        if (size >= INFINITE || size < x->least || (p->full && size < sc_large_size(&p->floor)))
            continue;
        item.place = sc_large_place(&m->shape, element + i);
        if (s->parts && !is_of(m, s, item.place))
            continue;
        if (p->full && sc_large_order(&p->floor, &item) < 0) {
            p->dropped++;
            continue;
        }
        if (p->n == WAITING)
            settle(x, p, p->group);
        p->waiting[p->n++] = item;
    }
}

/* Values of one matrix: those that count as larger than a probe in it. */
static void count_larger(struct sc_large_finding *x, const struct sc_large_matrix *m,
                         uint64_t element, const float *v, size_t n)
{
    const uint64_t each = m->shape.rows * m->shape.cols;

    for (size_t k = 0; k < x->o->n_probes; k++) {
        struct sc_large_probe *p = &x->o->probes[k];
        const uint32_t own = sc_bits_of(p->value) & UINT32_C(0x7fffffff);
        const uint64_t place = sc_large_place(&m->shape, p->element);
        uint64_t larger = 0;
        if (p->tensor != m->tensor || p->element / each != m->slice || !p->known)
            continue;
        for (size_t i = 0; i < n; i++) {
            const uint32_t size = sc_bits_of(v[i]) & UINT32_C(0x7fffffff);
            larger +=
                size < INFINITE &&
                (size > own || (size == own && sc_large_place(&m->shape, element + i) < place));
        }
        atomic_fetch_add_explicit(&p->larger, larger, memory_order_relaxed);
    }
}

/* Values of one matrix that follow each other. */
static void take_run(struct sc_large_finding *x, struct part *p, const struct sc_large_source *s,
                     uint32_t matrix, uint64_t element, const float *v, size_t n)
{
    uint32_t peaks[SC_CHUNK_VALUES / BLOCK];
    struct sums *sums = sums_of(p, matrix);
    const uint32_t group = x->group_of[matrix];

    if (!sums)
        return;
    add_sums(x, sums, v, n);
    if (group != p->group)
        settle(x, p, group);
    (void)sc_peaks(v, n, BLOCK, x->level, peaks);
    for (size_t i = 0; i < n; i += BLOCK) {
        const uint32_t least = p->full ? sc_large_size(&p->floor) : 0;
        if (peaks[i / BLOCK] >= SC_MAX(least, x->least))
            take_block(x, p, s, matrix, element + i, v + i, SC_MIN(n - i, (size_t)BLOCK));
    }
}

static void chunk(void *ctx, void *total, void *part, const struct sc_chunk *c)
{
    struct sc_large_finding *x = ctx;
    struct sc_large_source *s = total;
    struct part *p = part;
    const struct sc_large_shape *h = &x->out->matrices[s->first].shape;
    const uint64_t first = c->row * c->view->cols + c->col, each = h->rows * h->cols;
    const uint64_t n = c->n_rows * c->n_cols;

    if (p->status < 0)
        return;
    for (uint64_t at = 0, here; at < n && p->status == 0; at += here) {
        const uint64_t slice = (first + at) / each;
        here = SC_MIN(n - at, (slice + 1) * each - (first + at));
        const uint32_t matrix = s->first + (uint32_t)slice;
        take_run(x, p, s, matrix, first + at, c->values + at, (size_t)here);
        if (x->o->n_probes)
            count_larger(x, &x->out->matrices[matrix], first + at, c->values + at, (size_t)here);
    }
    settle(x, p, p->group); /* others learn what was found, and so does this one */
}

static void merge(void *ctx, void *total, void *part)
{
    struct sc_large_finding *x = ctx;
    struct sc_large_source *s = total;
    struct part *p = part;

    s->failed |= p->status < 0;
    for (size_t i = 0; i < p->n_sums; i++) {
        const struct sums *from = &p->sums[i];
        struct sc_large_matrix *to = &x->out->matrices[from->matrix];
        const double most = (double)sc_float_of(from->most);
        to->count += from->count;
        to->nans += from->nans;
        to->infinities += from->infinities;
        to->rms = (isnan(to->rms) ? 0 : to->rms) + from->square; /* until the end */
        to->abs_max = isnan(to->abs_max) ? most : fmax(to->abs_max, most);
    }
}

static int end(void *ctx, const struct sc_item *item, const struct sc_values *v, void *total,
               struct sc_error *e)
{
    struct sc_large_finding *x = ctx;
    const struct sc_large_source *s = total;
    const uint64_t slices = x->out->matrices[s->first].shape.slices;

    (void)item, (void)v;
    if (s->failed)
        return sc_fail_memory(e);
    for (uint64_t i = 0; i < slices; i++) {
        struct sc_large_matrix *m = &x->out->matrices[s->first + i];
        const uint64_t finite = m->count - m->nans - m->infinities;
        m->read = true;
        m->rms = finite ? sqrt(m->rms / (double)finite) : (double)NAN;
        m->abs_max = finite ? m->abs_max : (double)NAN;
    }
    return 0;
}

const struct sc_pass sc_large_pass = {.name = "largest",
                                      .wants = wants,
                                      .begin = begin,
                                      .part = new_part,
                                      .chunk = chunk,
                                      .merge = merge,
                                      .part_free = part_free,
                                      .end = end,
                                      .drop = drop};
