/* SPDX-License-Identifier: Apache-2.0 */
/* views: the tensors that a run reads. Each is opened once and stays open while its layer works.
 *
 * A model that fits the memory of the run is mapped: a second pass copies nothing. Of a larger one
 * pieces are read as they are used, and the system forgets what is behind. Either way the disk
 * brings what comes next while a layer is computed: up to a window of bytes, in the order in which
 * matrices are used. */
#include <pthread.h>
#include <stdlib.h>

#include "forward/engine.h"

/* AHEAD_ROWS: with fewer rows a pass only waits for the disk, and reads of the system's own making
 * are in larger units than those that are asked for: measured, they are faster then. */
enum {
    AHEAD_ROWS = 16,
    DROP = 64 << 20,
    PIECE = 8 << 20,
    WINDOW_LEAST = 32 << 20,
    WINDOW_MOST = 256 << 20
};

/* A matrix of the pass in its turn. */
struct turn {
    const struct sc_weight *w;
    uint32_t layer;
    uint64_t before, bytes; /* of all turns before it; its own */
};
struct open_view {
    struct sc_values *v;
    uint32_t layer; /* that needs it last, as far as is known */
};
struct sc_views {
    struct open_view *of; /* (n_tensors) */
    uint32_t *open;       /* tensors that are */
    size_t n_open, cap;
    uint32_t now; /* the layer that is at work */
    bool map, ahead, drop;
    uint64_t window; /* bytes that are asked for ahead */
    struct turn *turns;
    size_t n_turns, at; /* `at`: the turn that is at work, or the last that was */

    pthread_mutex_t lock; /* around what follows */
    size_t turn;          /* the next that is asked for, */
    uint64_t row;         /* from this row on */
    uint64_t asked, used; /* bytes of turns, those before them included */
    uint64_t dropped;     /* rows of the turn at work that the system has been told to forget */
};

/* The order in which a layer uses its matrices. Which experts it needs is not known before. */
static const uint8_t order[] = {
    SC_SLOT_Q,         SC_SLOT_Q_A,        SC_SLOT_Q_B, SC_SLOT_KV_A, SC_SLOT_KV_B,
    SC_SLOT_K_B,       SC_SLOT_V_B,        SC_SLOT_K,   SC_SLOT_V,    SC_SLOT_O,
    SC_SLOT_ROUTER,    SC_SLOT_GATE,       SC_SLOT_UP,  SC_SLOT_DOWN, SC_SLOT_SHARED_GATE,
    SC_SLOT_SHARED_UP, SC_SLOT_SHARED_DOWN};

static uint64_t bytes_of_files(const struct sc_model *m)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < m->catalog->n_files; i++)
        n = sc_add_up(n, m->catalog->files[i].bytes);
    return n;
}

static uint64_t stored_bytes(const struct sc_model *m, const struct sc_forward_matrix *w)
{
    const struct sc_tensor *t = &m->tensors[w->tensor];
    const double share = (double)w->rows * (double)w->cols / (double)t->parameters;

    return (uint64_t)((double)t->bytes * share);
}

static int list_turns(const struct sc_state *s, struct sc_views *v, struct sc_error *e)
{
    const struct sc_plan *p = &s->f->plan;
    const uint32_t layers = s->r->layers ? SC_MIN(s->r->layers, p->facts.layers) : p->facts.layers;

    v->turns = sc_calloc((size_t)layers * SC_COUNT(order) + 1, sizeof *v->turns);
    if (!v->turns)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < layers; i++)
        for (size_t k = 0; k < SC_COUNT(order); k++)
            if (p->layers[i].w[order[k]].m.tensor != SC_NO_TENSOR_HERE)
                v->turns[v->n_turns++] = (struct turn){.w = &p->layers[i].w[order[k]], .layer = i};
    if (s->r->logits)
        v->turns[v->n_turns++] =
            (struct turn){.w = SC_TOP(p, SC_SLOT_OUTPUT), .layer = p->facts.layers};
    uint64_t before = 0;
    for (size_t i = 0; i < v->n_turns; i++) {
        v->turns[i].before = before;
        v->turns[i].bytes = SC_MAX(stored_bytes(s->f->m, &v->turns[i].w->m), UINT64_C(1));
        before = sc_add_up(before, v->turns[i].bytes);
    }
    return 0;
}

int sc_views_new(struct sc_state *s, struct sc_error *e)
{
    const uint64_t budget = s->r->memory ? s->r->memory : sc_memory_budget(0);
    const uint64_t needed = sc_forward_memory(s->f, s->r), rest = budget - SC_MIN(budget, needed);
    struct sc_views *v = sc_calloc(1, sizeof *v);

    if (!v)
        return sc_fail_memory(e);
    s->views = v;
    pthread_mutex_init(&v->lock, NULL);
    v->of = sc_calloc((size_t)s->f->m->n_tensors + 1, sizeof *v->of);
    if (!v->of)
        return sc_fail_memory(e);
    const bool remote = sc_repo_is_remote(s->f->m->repo);
    v->map = !remote && bytes_of_files(s->f->m) <= rest;
    v->drop = !remote && !v->map;
    v->ahead = remote || (s->n_rows >= AHEAD_ROWS && (v->drop || !atomic_load(s->f->seen)));
    v->window = remote ? WINDOW_LEAST
                       : SC_MIN(SC_MAX(rest / 4, (uint64_t)WINDOW_LEAST), (uint64_t)WINDOW_MOST);
    return list_turns(s, v, e);
}

void sc_views_free(struct sc_state *s)
{
    struct sc_views *v = s->views;

    if (!v)
        return;
    for (size_t i = 0; i < v->n_open; i++)
        sc_values_close(v->of[v->open[i]].v);
    pthread_mutex_destroy(&v->lock);
    free(v->of);
    free(v->open);
    free(v->turns);
    free(v);
    s->views = NULL;
}

int sc_views_get(struct sc_state *s, uint32_t tensor, struct sc_values **out, struct sc_error *e)
{
    struct sc_views *v = s->views;

    *out = v->of[tensor].v;
    if (*out)
        return 0;
    TRY(sc_grow(&v->open, &v->cap, v->n_open + 1, sizeof *v->open, e));
    TRY(sc_values_open(s->f->m, tensor, out, e));
    if (v->map)
        sc_values_map(*out);
    v->of[tensor] = (struct open_view){*out, 0};
    v->open[v->n_open++] = tensor;
    return 0;
}

/* ----------------------------------------------------------------------------- what comes next */

/* Values that rows first..first+n of a matrix take in their tensor: of a transposed one all that it
 * lies among. */
static void values_of(const struct sc_forward_matrix *m, uint64_t first, uint64_t n, uint64_t *from,
                      uint64_t *count)
{
    *from = m->transposed ? m->first - m->first % m->stride : m->first + first * m->cols;
    *count = m->transposed ? (first == 0 ? m->stride * m->cols : 0) : n * m->cols;
}

/* Opens what will be asked for. By the thread that runs the pass. */
static int open_next(struct sc_state *s, struct sc_error *e)
{
    struct sc_views *v = s->views;
    const uint64_t end = sc_add_up(v->turns[v->at].before, 2 * v->window);
    struct sc_values *view;

    for (size_t i = v->at; i < v->n_turns && v->turns[i].before < end; i++) {
        const uint32_t tensor = v->turns[i].w->m.tensor;
        TRY(sc_views_get(s, tensor, &view, e));
        v->of[tensor].layer = SC_MAX(v->of[tensor].layer, v->turns[i].layer);
    }
    return 0;
}

/* Under the lock. */
static void ask_more(struct sc_views *v)
{
    while (v->turn < v->n_turns && v->asked < v->used + v->window) {
        const struct turn *t = &v->turns[v->turn];
        const struct sc_forward_matrix *m = &t->w->m;
        struct sc_values *view = v->of[m->tensor].v;
        uint64_t first, n;
        if (!view) /* not yet open */
            return;
        const uint64_t piece =
            SC_MAX((uint64_t)((double)m->rows * PIECE / (double)t->bytes), UINT64_C(1));
        const uint64_t rows = SC_MIN(piece, m->rows - v->row);
        values_of(m, v->row, rows, &first, &n);
        sc_values_read_ahead(view, first, n);
        v->row += rows;
        v->asked =
            sc_add_up(t->before, (uint64_t)((double)t->bytes / (double)m->rows * (double)v->row));
        if (v->row == m->rows) {
            v->turn++;
            v->row = 0;
        }
    }
}

/* Everything before turn `at` is done, and so many bytes of it. Under the lock. */
static void set_used(struct sc_views *v, uint64_t of_turn)
{
    v->used = SC_MAX(v->used, sc_add_up(v->turns[v->at].before, of_turn));
    if (v->turn < v->at) { /* what was not asked for in time is read by now */
        v->turn = v->at;
        v->row = 0;
        v->asked = v->turns[v->at].before;
    }
}

int sc_views_begin(struct sc_state *s, const struct sc_weight *w, struct sc_error *e)
{
    struct sc_views *v = s->views;
    size_t i = v->at;

    if (!v->ahead)
        return 0;
    while (i < v->n_turns && v->turns[i].w != w)
        i++;
    if (i == v->n_turns) /* an expert */
        return 0;
    TRY(open_next(s, e));
    pthread_mutex_lock(&v->lock);
    v->at = i;
    v->dropped = 0;
    set_used(v, 0);
    ask_more(v);
    pthread_mutex_unlock(&v->lock);
    return 0;
}

/* Telling the system to forget takes about as long as reading some megabytes: only a matrix that is
 * larger than what is asked for ahead is forgotten piece by piece. Rows from `first` on are at
 * work, some before them maybe still, too. Under the lock. */
static void drop_behind(struct sc_views *v, struct sc_values *view, uint64_t first, uint64_t slack)
{
    const struct turn *t = &v->turns[v->at];
    const struct sc_forward_matrix *m = &t->w->m;
    const uint64_t done = first > slack ? first - slack : 0;
    uint64_t from, n;

    if (!v->drop || m->transposed || t->bytes < (uint64_t)2 * DROP || done <= v->dropped ||
        (double)(done - v->dropped) * (double)t->bytes < (double)DROP * (double)m->rows)
        return;
    values_of(m, v->dropped, done - v->dropped, &from, &n);
    sc_values_drop(view, from, n);
    v->dropped = done;
}

void sc_views_used(struct sc_state *s, const struct sc_weight *w, uint64_t first, uint64_t rows)
{
    struct sc_views *v = s->views;
    struct sc_values *view = v->of[w->m.tensor].v;

    atomic_fetch_add(&s->bytes, sc_values_bytes(view, rows * w->m.cols));
    if (!v->ahead || v->turns[v->at].w != w || pthread_mutex_trylock(&v->lock) != 0)
        return;
    set_used(v, (uint64_t)((double)v->turns[v->at].bytes / (double)w->m.rows * (double)first));
    drop_behind(v, view, first, (uint64_t)2 * sc_pool_threads(s->r->pool) * rows);
    ask_more(v);
    pthread_mutex_unlock(&v->lock);
}

/* An expert is forgotten at once, since a layer may have more of them than memory; other matrices
 * when their layer ends. */
void sc_views_end(struct sc_state *s, const struct sc_weight *w)
{
    const struct sc_plan *p = &s->f->plan;
    struct sc_views *v = s->views;
    bool expert = v->drop && v->now < p->facts.layers;
    uint64_t from, n;

    for (size_t i = 0; expert && i < SC_SLOTS_OF_LAYER; i++)
        expert = &p->layers[v->now].w[i] != w;
    if (!expert)
        return;
    values_of(&w->m, 0, w->m.rows, &from, &n);
    sc_values_drop(v->of[w->m.tensor].v, from, n);
}

int sc_views_ask(struct sc_state *s, const struct sc_weight *w, struct sc_error *e)
{
    struct sc_values *view;
    uint64_t first, n;

    if (!s->views->ahead)
        return 0;
    TRY(sc_views_get(s, w->m.tensor, &view, e));
    values_of(&w->m, 0, w->m.rows, &first, &n);
    sc_values_read_ahead(view, first, n);
    return 0;
}

/* ------------------------------------------------------------------------------ what is behind */

int sc_views_end_layer(struct sc_state *s, uint32_t layer, struct sc_error *e)
{
    struct sc_views *v = s->views;
    const uint32_t all = s->f->plan.facts.layers;
    size_t kept = 0;
    int code = 0;

    for (size_t i = 0; i < v->n_open; i++) {
        struct open_view *o = &v->of[v->open[i]];
        if (code == 0)
            code = sc_values_check(o->v, false, e);
        if (o->layer > layer && layer < all) {
            v->open[kept++] = v->open[i];
            continue;
        }
        if (v->drop)
            sc_values_drop(o->v, 0, o->v->count);
        sc_values_close(o->v);
        *o = (struct open_view){NULL, 0};
    }
    v->n_open = kept;
    v->now = layer + 1;
    return code;
}
