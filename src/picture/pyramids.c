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
 * Owns: states, open views, the order of building. Does not own: what is in a pyramid (pyramid.c),
 * files (pyramid_file.c), pixels (tiles.c). */
#include "picture/pyramid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hub/cache.h"

#define STEP_BYTES   (UINT64_C(64) << 20) /* of one sweep: what was asked for waits no longer */
#define STEP_TENSORS 256
enum { VIEWS = 64, SOON_MS = 100, ASKED_TENSORS = 16 /* of a step, at most */ };
/* Of what is computed: another number makes older files useless. */
#define METHOD "pyramid 1"

uint64_t sc_milliseconds(void)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------------- making, freeing --- */

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
        if (t->drawn)
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

/* ---------------------------------------------------------------------------------- views --- */

unsigned sc_values_each(const struct sc_values *v, const struct sc_cell_grid *g)
{
    const uint64_t shape[] = {g->slices, g->rows, g->cols};
    uint64_t n;
    if (!sc_product(shape, 3, &n))
        return 0;
    return n == v->count ? 1 : n == v->count / 2 && v->count % 2 == 0 ? 2 : 0;
}

static int open_view(struct sc_pyramids *p, uint32_t tensor, struct sc_values **out,
                     struct sc_error *e)
{
    struct sc_quoted q;
    const struct sc_tensor *t = &p->model->tensors[tensor];
    TRY(sc_values_open(p->model, tensor, out, e));
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

static uint64_t bits_of_cell(const struct sc_cell_stats *s)
{
    uint64_t bits;
    memcpy(&bits, s, sizeof bits);
    return bits;
}
_Static_assert(sizeof(struct sc_cell_stats) == sizeof(uint64_t), "a cell is one number");

static void set_tops(struct sc_pyramids *p, struct sc_pyramid_entry *t,
                     const struct sc_cell_stats *cells)
{
    for (uint64_t i = 0; i < t->grid.slices; i++)
        p->tops[t->first_top + i] = bits_of_cell(&cells[i * t->slice_cells + t->slice_cells - 1]);
}

static void set_ready(struct sc_pyramids *p, struct sc_pyramid_entry *t,
                      const struct sc_cell_stats *cells)
{
    set_tops(p, t, cells);
    t->cells = cells;
    t->state = SC_PYRAMID_READY;
    p->ranges++;
}

/* As one number, which is never half changed. */
static uint64_t bits_of_range(const struct sc_scale_range *r)
{
    uint64_t bits;
    memcpy(&bits, r, sizeof bits);
    return bits;
}
_Static_assert(sizeof(struct sc_scale_range) == sizeof(uint64_t), "a range is one number");

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

/* From the file, checked. */
static bool load(struct sc_pyramids *p, uint32_t tensor)
{
    struct sc_pyramid_entry *t = &p->entries[tensor];
    bool in_place = true;
    pthread_mutex_lock(&p->lock);
    if (t->state == SC_PYRAMID_KEPT) {
        const struct sc_cell_stats *cells = sc_pack_get(p->pack, tensor, &in_place);
        if (cells) {
            t->owned = in_place ? NULL : (void *)(uintptr_t)cells;
            set_ready(p, t, cells);
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
    if (t->state == SC_PYRAMID_READY || (t->state == SC_PYRAMID_KEPT && load(p, tensor)))
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

/* -------------------------------------------------------------------------------- the cache --- */

/* What a layout takes from the configuration, beside the tensors. */
static void put_config(const struct sc_config *c, struct sc_buf *b)
{
    sc_buf_printf(b, "%s %s %lld %lld %llu %llu %d\n", c->quant_method ? c->quant_method : "-",
                  c->quant_format ? c->quant_format : "-", (long long)c->quant_bits,
                  (long long)c->quant_group, (unsigned long long)c->quant_block[0],
                  (unsigned long long)c->quant_block[1], c->quant_modelopt_awq);
    for (size_t i = 0; i < c->n_quant_modules; i++)
        sc_buf_printf(b, "%s %u %u\n", c->quant_modules[i].name, c->quant_modules[i].bits,
                      c->quant_modules[i].group);
}

static void put_entry(const struct sc_model *m, uint32_t entry, struct sc_buf *b)
{
    const struct sc_entry *en = &m->catalog->entries[entry];
    const struct sc_quantizer *q = sc_entry_quantizer(m->catalog, en);
    sc_buf_printf(b, " %u:%llu+%llu/%u/%u", en->file, (unsigned long long)en->offset,
                  (unsigned long long)en->bytes, en->dtype, en->flags);
    if (en->view != SC_NO_STORAGE) {
        const struct sc_view *v = &m->catalog->views[en->view];
        sc_buf_printf(b, " view %u %llu", v->storage, (unsigned long long)v->first);
        for (uint8_t i = 0; i < en->rank; i++)
            sc_buf_printf(b, " %llu", (unsigned long long)v->strides[i]);
    }
    if (q)
        sc_buf_printf(b, " quantizer %d %a %lld %lld", q->per_channel, q->scale,
                      (long long)q->zero_point, (long long)q->axis);
}

static void put_tensor(const struct sc_pyramids *p, size_t i, struct sc_buf *b)
{
    const struct sc_model *m = p->model;
    const struct sc_tensor *t = &m->tensors[i];
    const struct sc_cell_grid *g = &p->entries[i].grid;
    if (!p->entries[i].drawn)
        return;
    sc_buf_put(b, t->name, t->name_len);
    sc_buf_printf(b, " %s %s %u %u %llux%llux%llu %u %u", sc_layouts[t->layout].name, t->dtype,
                  t->group, t->bits, (unsigned long long)g->slices, (unsigned long long)g->rows,
                  (unsigned long long)g->cols, g->bits_y, g->bits_x);
    for (size_t k = 0; k < t->rank; k++)
        sc_buf_printf(b, " %llu", (unsigned long long)t->shape[k]);
    for (size_t k = 0; k < t->n_parts; k++)
        put_entry(m, m->parts[t->first_part + k].entry, b);
    sc_buf_putc(b, '\n');
}

/* What names the content of all tensors, as sc_values_identity() does for one, but without opening
 * them: their files, and what is said of them. */
bool sc_pyramids_key(const struct sc_pyramids *p, char key[65])
{
    const struct sc_model *m = p->model;
    struct sc_buf b = {0};
    bool known = true;
    sc_buf_puts(&b, METHOD "\n");
    put_config(&m->config, &b);
    for (uint32_t i = 0; i < m->catalog->n_files && known; i++) {
        struct sc_source *s;
        known = sc_model_source(m, i, &s, NULL) == 0;
        if (!known)
            break;
        known = sc_source_identity(s, &b);
        sc_model_release(m, i);
        sc_buf_putc(&b, '\n');
    }
    for (size_t i = 0; i < m->n_tensors && known; i++)
        put_tensor(p, i, &b);
    known = known && !b.failed && sc_sha_of(SC_SHA256, b.p, b.n, key, NULL) == 0;
    sc_buf_clear(&b);
    return known;
}

static void find_kept(struct sc_pyramids *p)
{
    const size_t n = p->model->n_tensors;
    char key[65];
    uint64_t at = 0;
    if (!p->cache || p->pack || !sc_pyramids_key(p, key))
        return;
    p->pack_tensors = sc_calloc(n, sizeof *p->pack_tensors);
    for (size_t i = 0; p->pack_tensors && i < n; i++) {
        const struct sc_pyramid_entry *t = &p->entries[i];
        const uint64_t cells = t->drawn ? t->slice_cells * t->grid.slices : 0;
        p->pack_tensors[i] = (struct sc_pack_tensor){at, cells};
        at = sc_add_up(at, cells);
    }
    if (!p->pack_tensors || at > UINT64_MAX / 64)
        return;
    p->pack = sc_pack_open(p->cache, key, p->pack_tensors, n);
    for (size_t i = 0; i < n && p->pack; i++) {
        struct sc_pyramid_entry *t = &p->entries[i];
        uint8_t none = SC_PYRAMID_NONE;
        struct sc_scale_range range;
        if (!t->drawn || t->state != SC_PYRAMID_NONE || !sc_pack_has(p->pack, i, &range))
            continue;
        t->range = bits_of_range(&range);
        if (atomic_compare_exchange_strong(&t->state, &none, SC_PYRAMID_KEPT))
            p->done_bytes += p->model->tensors[i].bytes;
    }
    p->ranges++;
    sc_pyramids_grow(p, false);
}

/* -------------------------------------------------------------------------------- building --- */

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
        set_ready(p, t, py->cells);
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
    set_ready(p, t, cells);
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
    t->range = bits_of_range(&py->range);
    const struct sc_cell_stats *kept = put ? sc_pack_get(p->pack, item->tensor, &in_place) : NULL;
    if (kept && in_place) {
        set_ready(p, t, kept);
        sc_pyramid_free(py);
    } else {
        if (kept)
            free((void *)(uintptr_t)kept);
        code = keep_cells(p, t, py, e);
    }
    pthread_mutex_unlock(&p->lock);
    return code;
}

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

static bool is_remote(const struct sc_pyramids *p, uint32_t tensor)
{
    struct sc_source *s;
    const struct sc_model *m = p->model;
    const uint32_t file = m->catalog->entries[m->tensors[tensor].main].file;
    if (sc_model_source(m, file, &s, NULL) < 0)
        return false;
    const bool remote = s->remote;
    sc_model_release(m, file);
    return remote;
}

static uint64_t add_item(struct step *s, struct plan *plan, uint32_t tensor)
{
    const uint64_t bytes = s->p->model->tensors[tensor].bytes;
    if (is_remote(s->p, tensor)) {
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
        if (state == SC_PYRAMID_NONE || (state == SC_PYRAMID_KEPT && !load(s->p, tensor))) {
            const size_t had = s->n;
            bytes += add_item(s, plan, tensor);
            if (s->n == had) { /* nothing more will be done about it */
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
    plan->network = p->o.network;
    plan->order = sc_calloc(m->n_tensors, sizeof *plan->order);
    if (!plan->order)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < m->n_tensors; i++)
        if (p->entries[i].drawn) {
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
    int code = s ? make_plan(p, &plan, e) : sc_fail_memory(e);
    if (code == 0) {
        s->p = p;
        find_kept(p);
    }
    while (code == 0) {
        if (is_cancelled(p)) {
            code = sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
            break;
        }
        fill_step(s, &plan);
        if (s->n > 0)
            code = run_step(s, e);
        else if (plan.next == plan.n)
            break;
    }
    sc_pyramids_grow(p, false);
    free(plan.order);
    free(s);
    return code;
}
