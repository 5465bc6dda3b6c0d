/* SPDX-License-Identifier: Apache-2.0 */
/* pyramids_build: making the pyramids that are not there, in file order, and first what somebody
 * looks at. */
#include "picture/pyramid.h"

#include <stdlib.h>

#define STEP_BYTES   (UINT64_C(64) << 20) /* of one sweep: what was asked for waits no longer */
#define STEP_TENSORS 256
enum { ASKED_TENSORS = 16 /* of a step, at most */ };

static bool grid_of(void *ctx, const struct sc_item *item, const struct sc_values *v,
                    struct sc_cell_grid *out)
{
    const struct sc_pyramids *p = ctx;
    *out = p->entries[item->tensor].grid;
    (void)v;
    return true;
}

/* Into memory, or a file without a name. */
static int keep_cells(struct sc_pyramids *p, struct sc_pyramid_entry *t, struct sc_pyramid *py,
                      struct sc_error *e)
{
    const uint64_t bytes = py->n * sizeof py->cells[0];
    if (p->memory + bytes <= p->o.memory) {
        p->memory += bytes;
        t->owned = py;
        sc_pyramids_set_ready(p, t, py->cells);
        return 0;
    }
    struct sc_cell_stats *cells = sc_pages_new(true, (size_t)py->n, sizeof *cells);
    if (!cells) {
        sc_pyramid_free(py);
        return sc_fail_memory(e);
    }
    memcpy(cells, py->cells, (size_t)bytes);
    sc_pyramid_free(py);
    t->owned = cells;
    t->paged = true;
    sc_pyramids_set_ready(p, t, cells);
    return 0;
}

static int take(void *ctx, const struct sc_item *item, struct sc_pyramid *py, struct sc_error *e)
{
    struct sc_pyramids *p = ctx;
    struct sc_pyramid_entry *t = &p->entries[item->tensor];
    bool in_place = false;
    int code = 0;
    const bool put = sc_pack_put(p->pack, item->tensor, py->cells, &py->range);
    pthread_mutex_lock(&p->lock);
    t->range = sc_range_to_bits(&py->range);
    const struct sc_cell_stats *kept = put ? sc_pack_get(p->pack, item->tensor, &in_place) : NULL;
    if (kept && in_place) {
        sc_pyramids_set_ready(p, t, kept);
        sc_pyramid_free(py);
    } else {
        if (kept)
            free((void *)(uintptr_t)kept);
        code = keep_cells(p, t, py, e);
    }
    pthread_mutex_unlock(&p->lock);
    return code;
}

/* ------------------------------------------------------------------------- somebody's sweep --- */

static bool grid_of_missing(void *ctx, const struct sc_item *item, const struct sc_values *v,
                            struct sc_cell_grid *out)
{
    const struct sc_pyramids *p = ctx;
    const struct sc_pyramid_entry *t = &p->entries[item->tensor];
    return t->drawn && t->state == SC_PYRAMID_NONE && grid_of(ctx, item, v, out);
}

static int take_to_cache(void *ctx, const struct sc_item *item, struct sc_pyramid *py,
                         struct sc_error *e)
{
    struct sc_pyramids *p = ctx;
    struct sc_pyramid_entry *t = &p->entries[item->tensor];
    (void)e;
    if (sc_pack_put(p->pack, item->tensor, py->cells, &py->range)) {
        t->range = sc_range_to_bits(&py->range);
        t->state = SC_PYRAMID_KEPT;
        p->ranges++;
    }
    sc_pyramid_free(py);
    return 0;
}

bool sc_pyramids_setup(struct sc_pyramids *p, struct sc_pyramid_setup *out)
{
    sc_pyramids_find(p);
    *out = (struct sc_pyramid_setup){
        .grid = grid_of_missing, .take = take_to_cache, .ctx = p, .level = sc_cpu_level()};
    return !p->o.values && sc_pack_is_writable(p->pack);
}

size_t sc_pyramids_there(const struct sc_pyramids *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->model->n_tensors; i++)
        n += p->entries[i].state == SC_PYRAMID_KEPT || p->entries[i].state == SC_PYRAMID_READY;
    return n;
}

/* ----------------------------------------------------------------------------------- a step --- */

struct step {
    struct sc_pyramids *p;
    struct sc_item items[STEP_TENSORS];
    size_t n;
};

static int is_done(void *ctx, size_t item, const struct sc_error *why)
{
    struct step *s = ctx;
    struct sc_pyramids *p = s->p;
    const uint32_t tensor = s->items[item].tensor;
    struct sc_pyramid_entry *t = &p->entries[tensor];
    if (why)
        sc_pyramids_failed(p, tensor, why, true);
    uint8_t none = SC_PYRAMID_NONE; /* complex ones have no pyramid, and are sampled always */
    atomic_compare_exchange_strong(&t->state, &none, SC_PYRAMID_NEVER);
    p->ranges++;
    p->done_bytes += p->model->tensors[tensor].bytes;
    sc_pyramids_grow(p, true);
    return 0;
}

static int open_item(void *ctx, const struct sc_item *item, struct sc_values **a,
                     struct sc_values **b, struct sc_error *e)
{
    const struct step *s = ctx;
    *b = NULL;
    return sc_pyramids_open(s->p, item->tensor, a, e);
}

static int run_step(struct step *s, struct sc_error *e)
{
    struct sc_pyramids *p = s->p;
    struct sc_pyramid_setup setup = {
        .grid = grid_of, .take = take, .ctx = p, .level = sc_cpu_level()};
    const struct sc_pass *passes[] = {&sc_pass_pyramid};
    void *const contexts[] = {&setup};
    const struct sc_sweep sweep = {.pool = p->o.pool,
                                   .model = p->model,
                                   .items = s->items,
                                   .n_items = s->n,
                                   .passes = passes,
                                   .pass_ctx = contexts,
                                   .n_passes = 1,
                                   .cancel = p->o.cancel,
                                   .open = open_item,
                                   .done = is_done,
                                   .ctx = s};
    return sc_sweep_run(&sweep, e);
}

struct order {
    uint64_t at;
    uint32_t file, tensor;
};

static int by_position(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

struct plan {
    struct order *order; /* by position */
    size_t n, next;
    uint64_t seen;    /* of the clock, when what was asked for was looked at last */
    uint64_t network; /* bytes that may still be fetched */
};

static uint64_t add_item(struct step *s, struct plan *plan, uint32_t tensor)
{
    const uint64_t bytes = s->p->model->tensors[tensor].bytes;
    if (sc_pyramids_is_far(s->p, tensor)) {
        if (bytes > plan->network)
            return 0;
        plan->network -= bytes;
    }
    s->items[s->n++] = (struct sc_item){.tensor = tensor, .tensor_b = SC_NO_NODE};
    return bytes;
}

/* Those that were missed since the last step, the last one first. */
static void take_asked(struct step *s, struct plan *plan)
{
    struct sc_pyramids *p = s->p;
    const uint64_t now = p->clock;
    uint64_t bytes = 0, below = UINT64_MAX;
    if (now == plan->seen)
        return;
    for (size_t k = 0; k < ASKED_TENSORS && bytes < STEP_BYTES; k++) {
        uint32_t best = SC_NO_NODE;
        uint64_t when = 0;
        for (uint32_t i = 0; i < p->model->n_tensors; i++) {
            const uint64_t asked = p->entries[i].asked;
            if (asked > when && asked < below && p->entries[i].state == SC_PYRAMID_NONE) {
                when = asked;
                best = i;
            }
        }
        if (best == SC_NO_NODE) {
            plan->seen = now;
            return;
        }
        below = when;
        bytes += add_item(s, plan, best);
    }
}

static void fill_step(struct step *s, struct plan *plan)
{
    s->n = 0;
    take_asked(s, plan);
    if (s->n > 0)
        return;
    uint64_t bytes = 0;
    for (; plan->next < plan->n && s->n < STEP_TENSORS && bytes < STEP_BYTES; plan->next++) {
        const uint32_t tensor = plan->order[plan->next].tensor;
        const uint8_t state = s->p->entries[tensor].state;
        /* What the file has is checked now: what is damaged is built like the rest. */
        if (state == SC_PYRAMID_NONE ||
            (state == SC_PYRAMID_KEPT && !sc_pyramids_load(s->p, tensor))) {
            const size_t had = s->n;
            bytes += add_item(s, plan, tensor);
            if (s->n == had && !s->p->entries[tensor].left) { /* nothing more will be done */
                s->p->entries[tensor].left = true;
                s->p->ranges++;
                s->p->done_bytes += s->p->model->tensors[tensor].bytes;
            }
        }
    }
}

static int make_plan(struct sc_pyramids *p, struct plan *plan, struct sc_error *e)
{
    const struct sc_model *m = p->model;
    plan->network = p->o.network - p->o.network / 4; /* the rest is for samples */
    plan->order = sc_calloc(m->n_tensors, sizeof *plan->order);
    if (!plan->order)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < m->n_tensors; i++)
        if (p->entries[i].drawn && !p->entries[i].instead) {
            const struct sc_entry *en = &m->catalog->entries[m->tensors[i].main];
            plan->order[plan->n++] = (struct order){en->offset, en->file, i};
        }
    sc_sort(plan->order, plan->n, sizeof *plan->order, by_position);
    return 0;
}

static bool is_cancelled(const struct sc_pyramids *p)
{
    return p->o.cancel && *p->o.cancel;
}

int sc_pyramids_build(struct sc_pyramids *p, struct sc_error *e)
{
    struct plan plan = {0};
    struct step *s = sc_calloc(1, sizeof *s);
    struct sc_far *far = sc_far_new(p);
    bool more = false;
    int code = s && far ? make_plan(p, &plan, e) : sc_fail_memory(e);
    if (code == 0) {
        s->p = p;
        sc_pyramids_find(p);
    }
    while (code == 0) {
        if (is_cancelled(p)) {
            code = sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
            break;
        }
        code = sc_far_step(far, p, &more, e);
        if (code < 0 || more)
            continue;
        fill_step(s, &plan);
        if (s->n > 0)
            code = run_step(s, e);
        else if (plan.next == plan.n)
            break;
    }
    sc_pyramids_grow(p, false);
    free(plan.order);
    free(s);
    free(far);
    return code;
}
