/* SPDX-License-Identifier: Apache-2.0 */
/* pyramids: which pyramids of a model are there, and making those that are not.
 *
 *     NONE --found in the cache--> KEPT --first use, checked--> READY
 *       \------------built------------------------------------> READY
 *        \-----------cannot be decoded------------------------> NEVER
 *
 * A state only grows, but for what turns out to be damaged (KEPT to NONE). Whoever reads a state
 * after READY was stored sees the cells.
 *
 * Owns: states, open views. Does not own: what is in a pyramid (pyramid.c), files (pyramid_file.c),
 * what finds and makes them (pyramids_build.c), pixels (tiles.c). */
#include "picture/pyramid.h"

#include <math.h>
#include <stdlib.h>

enum { VIEWS = 64, SOON_MS = 100 };

/* ------------------------------------------------------------------------- making, freeing --- */

/* The flag of pixels that are no values. */
static uint32_t instead_of(const struct sc_pyramids *p, uint32_t tensor)
{
    const struct sc_drawn_values *v = p->o.values;
    switch (v ? v->instead(v->ctx, tensor) : 0) {
    case 0:
        return 0;
    case SC_PIXEL_ONLY_A:
        return SC_IS_ONLY_A;
    case SC_PIXEL_ONLY_B:
        return SC_IS_ONLY_B;
    case SC_PIXEL_SHAPE:
        return SC_IS_SHAPE;
    default:
        return SC_IS_UNKNOWN;
    }
}

static int lay_out(struct sc_pyramids *p, struct sc_error *e)
{
    const struct sc_scene *s = p->scene;
    for (size_t i = 0; i < s->n_places; i++) {
        const struct sc_place *pl = &s->places[i];
        struct sc_pyramid_entry *t = &p->entries[pl->tensor];
        const uint64_t slices = SC_MAX(t->grid.slices, (uint64_t)pl->slice + 1);
        sc_cell_grid_make(slices, pl->rows, pl->cols, pl->depth_y, pl->depth_x, &t->grid);
        t->drawn = true;
    }
    for (size_t i = 0; i < p->model->n_tensors; i++) {
        struct sc_pyramid_entry *t = &p->entries[i];
        uint64_t all = 0;
        if (t->drawn && !sc_cell_grid_cells(&t->grid, &t->slice_cells, &all))
            t->drawn = false;
        if (t->drawn && t->grid.slices > UINT32_MAX - p->n_tops)
            return sc_fail(e, SCRUPLE_ELIMIT, "the picture has too many slices of tensors");
        t->first_top = (uint32_t)p->n_tops;
        p->n_tops += t->drawn ? (size_t)t->grid.slices : 0;
        t->instead = t->drawn ? instead_of(p, (uint32_t)i) : 0;
        if (t->instead)
            t->state = SC_PYRAMID_NEVER;
        else if (t->drawn)
            p->total_bytes += p->model->tensors[i].bytes;
    }
    p->tops = sc_calloc(p->n_tops, sizeof *p->tops);
    p->quick = sc_calloc(p->n_tops, sizeof *p->quick);
    return p->tops && p->quick ? 0 : sc_fail_memory(e);
}

int sc_pyramids_new(const struct sc_scene *s, const struct sc_pyramids_options *o,
                    struct sc_pyramids **out, struct sc_error *e)
{
    struct sc_pyramids *p = sc_calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return sc_fail_memory(e);
    pthread_mutex_init(&p->lock, NULL);
    p->scene = s;
    p->model = s->model;
    p->o = *o;
    p->entries = sc_calloc(s->model->n_tensors, sizeof *p->entries);
    p->views = sc_calloc(VIEWS, sizeof(struct sc_open_view));
    if (o->cache && *o->cache) {
        const size_t n = strlen(o->cache) + 1;
        p->cache = sc_alloc(n);
        if (p->cache)
            memcpy(p->cache, o->cache, n);
    }
    int code = p->entries && p->views ? lay_out(p, e) : sc_fail_memory(e);
    if (code < 0)
        sc_pyramids_free(p);
    else
        *out = p;
    return code;
}

static void free_entry(struct sc_pyramid_entry *t)
{
    if (t->paged)
        sc_pages_free(t->owned);
    else
        free(t->owned);
    free(t->why);
}

void sc_pyramids_free(struct sc_pyramids *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->entries && i < p->model->n_tensors; i++)
        free_entry(&p->entries[i]);
    for (size_t i = 0; p->views && i < VIEWS; i++)
        sc_values_close(p->views[i].view);
    sc_scratch_free(p->scratch);
    sc_pack_close(p->pack);
    free(p->pack_tensors);
    free(p->entries);
    free(p->views);
    free((void *)(uintptr_t)p->tops);
    free((void *)(uintptr_t)p->quick);
    free(p->cache);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void sc_pyramids_grow(struct sc_pyramids *p, bool soon)
{
    const uint64_t now = sc_milliseconds();
    uint64_t last = p->grew;
    if (soon && now < last + SOON_MS)
        return;
    if (atomic_compare_exchange_strong(&p->grew, &last, now) || !soon)
        p->epoch++;
}

double sc_pyramids_progress(const struct sc_pyramids *p, uint64_t *epoch)
{
    const uint64_t total = p->total_bytes, done = p->done_bytes;
    if (epoch)
        *epoch = p->epoch;
    return total ? fmin((double)done / (double)total, 1) : 1;
}

uint64_t sc_pyramids_bytes(const struct sc_pyramids *p)
{
    uint64_t n = 0;
    for (size_t i = 0; i < p->model->n_tensors; i++)
        if (p->entries[i].drawn)
            n += p->entries[i].slice_cells * p->entries[i].grid.slices;
    return n * sizeof(struct sc_cell_stats);
}

const char *sc_pyramids_why(const struct sc_pyramids *p, uint32_t tensor)
{
    return tensor < p->model->n_tensors ? p->entries[tensor].why : NULL;
}

void sc_pyramids_failed(struct sc_pyramids *p, uint32_t tensor, const struct sc_error *e,
                        bool never)
{
    struct sc_pyramid_entry *t = &p->entries[tensor];
    if (e->code == SCRUPLE_EINTERRUPTED || e->code == SCRUPLE_EMEMORY)
        return;
    pthread_mutex_lock(&p->lock);
    if (e->code == SCRUPLE_EIO && !p->lost) {
        p->unread = *e;
        p->lost = true;
    }
    pthread_mutex_unlock(&p->lock);
    const size_t n = strlen(e->text) + 1;
    char *copy = t->why ? NULL : sc_alloc(n), *none = NULL;
    if (copy) {
        memcpy(copy, e->text, n);
        if (!atomic_compare_exchange_strong(&t->why, &none, copy))
            free(copy);
    }
    uint8_t state = SC_PYRAMID_NONE;
    if (never)
        atomic_compare_exchange_strong(&t->state, &state, SC_PYRAMID_NEVER);
}

int sc_pyramids_check(const struct sc_pyramids *p, struct sc_error *e)
{
    if (!p->lost)
        return 0;
    *e = p->unread; /* never changes again */
    return e->code;
}

/* ---------------------------------------------------------------------------------- views --- */

unsigned sc_values_each(const struct sc_values *v, const struct sc_cell_grid *g)
{
    const uint64_t shape[] = {g->slices, g->rows, g->cols};
    uint64_t n;
    if (!sc_product(shape, 3, &n))
        return 0;
    return n == v->count ? 1 : n == v->count / 2 && v->count % 2 == 0 ? 2 : 0;
}

int sc_pyramids_open(struct sc_pyramids *p, uint32_t tensor, struct sc_values **out,
                     struct sc_error *e)
{
    const struct sc_drawn_values *v = p->o.values;
    return v ? v->open(v->ctx, tensor, out, e) : sc_values_open(p->model, tensor, out, e);
}

static int open_view(struct sc_pyramids *p, uint32_t tensor, struct sc_values **out,
                     struct sc_error *e)
{
    struct sc_quoted q;
    const struct sc_tensor *t = &p->model->tensors[tensor];
    TRY(sc_pyramids_open(p, tensor, out, e));
    if (sc_values_each(*out, &p->entries[tensor].grid) > 0)
        return 0;
    sc_values_close(*out);
    return sc_fail(e, SCRUPLE_EFORMAT, "tensor \"%s\" is drawn with another number of elements",
                   sc_quote(&q, sc_tensor_name(t)));
}

/* Somebody else's that is open, or the one that was left longest ago. With the lock held. */
static struct sc_open_view *find_view(struct sc_pyramids *p, uint32_t tensor)
{
    struct sc_open_view *oldest = NULL;
    for (size_t i = 0; i < VIEWS; i++) {
        struct sc_open_view *v = &p->views[i];
        if (v->view && v->tensor == tensor)
            return v;
        if (v->users == 0 && (!oldest || v->used < oldest->used))
            oldest = v;
    }
    return oldest;
}

int sc_pyramids_view(struct sc_pyramids *p, uint32_t tensor, struct sc_values **out,
                     struct sc_error *e)
{
    struct sc_values *mine = NULL, *old = NULL;
    pthread_mutex_lock(&p->lock);
    struct sc_open_view *v = find_view(p, tensor);
    if (!v || v->tensor != tensor || !v->view) {
        pthread_mutex_unlock(&p->lock);
        const int code = open_view(p, tensor, &mine, e);
        if (code < 0)
            return code;
        pthread_mutex_lock(&p->lock);
        v = find_view(p, tensor);
    }
    if (v && (!v->view || v->tensor != tensor)) {
        old = v->view;
        *v = (struct sc_open_view){.view = mine, .tensor = tensor};
        mine = NULL;
    }
    if (v) {
        v->users++;
        v->used = ++p->view_clock;
        *out = v->view;
    }
    pthread_mutex_unlock(&p->lock);
    sc_values_close(old);
    if (v)
        sc_values_close(mine); /* another thread was faster */
    else
        *out = mine; /* all are in use */
    return 0;
}

void sc_pyramids_release(struct sc_pyramids *p, uint32_t tensor, struct sc_values *view)
{
    bool kept = false;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < VIEWS && !kept; i++)
        if (p->views[i].view == view && p->views[i].tensor == tensor) {
            p->views[i].users--;
            kept = true;
        }
    pthread_mutex_unlock(&p->lock);
    if (!kept)
        sc_values_close(view);
}

/* ------------------------------------------------------------------------------- the cells --- */

static void set_tops(struct sc_pyramids *p, struct sc_pyramid_entry *t,
                     const struct sc_cell_stats *cells)
{
    for (uint64_t i = 0; i < t->grid.slices; i++)
        p->tops[t->first_top + i] =
            sc_cell_to_bits(&cells[i * t->slice_cells + t->slice_cells - 1]);
}

void sc_pyramids_set_ready(struct sc_pyramids *p, struct sc_pyramid_entry *t,
                           const struct sc_cell_stats *cells)
{
    set_tops(p, t, cells);
    t->cells = cells;
    t->state = SC_PYRAMID_READY;
    p->ranges++;
}

bool sc_pyramids_range(const struct sc_pyramids *p, uint32_t tensor, struct sc_scale_range *out,
                       bool *final)
{
    const struct sc_pyramid_entry *t = &p->entries[tensor];
    const uint8_t state = t->state;
    const bool known = state == SC_PYRAMID_KEPT || state == SC_PYRAMID_READY;
    *final = known || state == SC_PYRAMID_NEVER || t->left;
    const uint64_t bits = t->range;
    if (known)
        memcpy(out, &bits, sizeof *out);
    return known;
}

uint64_t sc_pyramids_ranges(const struct sc_pyramids *p)
{
    return p->ranges;
}

bool sc_pyramids_load(struct sc_pyramids *p, uint32_t tensor)
{
    struct sc_pyramid_entry *t = &p->entries[tensor];
    bool in_place = true;
    pthread_mutex_lock(&p->lock);
    if (t->state == SC_PYRAMID_KEPT) {
        const struct sc_cell_stats *cells = sc_pack_get(p->pack, tensor, &in_place);
        if (cells) {
            t->owned = in_place ? NULL : (void *)(uintptr_t)cells;
            sc_pyramids_set_ready(p, t, cells);
        } else {
            t->state = SC_PYRAMID_NONE;
            p->ranges++;
            p->done_bytes -= p->model->tensors[tensor].bytes;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return t->state == SC_PYRAMID_READY;
}

const struct sc_cell_stats *sc_pyramids_cells(struct sc_pyramids *p, uint32_t tensor,
                                              uint32_t slice)
{
    struct sc_pyramid_entry *t = &p->entries[tensor];
    if (t->state == SC_PYRAMID_READY ||
        (t->state == SC_PYRAMID_KEPT && sc_pyramids_load(p, tensor)))
        return t->cells + (uint64_t)slice * t->slice_cells;
    if (t->state == SC_PYRAMID_NONE)
        t->asked = ++p->clock;
    return NULL;
}

bool sc_pyramids_lost(struct sc_pyramids *p)
{
    if (!sc_pack_is_damaged(p->pack))
        return false;
    bool any = false;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->model->n_tensors; i++) {
        struct sc_pyramid_entry *t = &p->entries[i];
        if (t->state != SC_PYRAMID_KEPT && (t->state != SC_PYRAMID_READY || t->owned))
            continue;
        t->state = SC_PYRAMID_NONE;
        for (uint64_t k = 0; k < t->grid.slices; k++)
            p->tops[t->first_top + k] = 0;
        any = true;
    }
    p->ranges++;
    pthread_mutex_unlock(&p->lock);
    return any;
}
