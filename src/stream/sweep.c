/* SPDX-License-Identifier: Apache-2.0 */
/* sweep: many tensors, each read and decoded once for all passes that want it.
 *
 * Items are taken in the order of their files and positions. An item is a matrix that is cut by its
 * shape alone:
 *
 *     item      [ rows x cols ]
 *     segment   up to SC_SEGMENT_VALUES: whole rows, or a part of one row; one thread does it
 *     chunk     up to SC_CHUNK_VALUES: likewise; what passes see, in cache
 *
 * A thread that comes by takes, in this order: a task that fits the memory, the next segment of an
 * item that is open, the next item. So just as many items are open as keep the threads busy. Each
 * segment has accumulators of its own ("parts", one for each pass), which are merged in the order
 * of segments: a part that is early waits, and a thread that would run too far ahead takes other
 * work. Results are thus the same bits for any number of threads.
 *
 *     open --> begin --> segments, merged in order --> again? --> end --> task --> done
 *                             ^-------- next visit ------'
 *
 * Owns: that order, the buffers, reading ahead, progress, what happens after a failure. Does not
 * own: threads (pool.c), decoding (values.c). */
#include "stream/pool.h"
#include "stream/stored.h"
#include "stream/values.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ROWS_TOGETHER = 8,
    DOUBLE_CHUNK = 1 << 15, /* values of a chunk of doubles: its buffers are twice as large */
    TELL_EVERY = 50,        /* milliseconds between two words of progress */
};
#define AHEAD_BYTES (UINT64_C(32) << 20) /* that are asked for before they are needed */
#define AHEAD_STEP  (UINT64_C(8) << 20)
#define AHEAD_GAP   (UINT64_C(64) << 10) /* between neighbours that are asked for together */
/* An expanded view shows few stored elements as many. Beyond this it is read by nobody. */
#define EXPANDED_VALUES (UINT64_C(1) << 32)

/* ------------------------------------------------------------------------------- geometry --- */

/* How an item is cut. With wide rows, n_rows are 1 and each row is cut into `per_row` segments. */
struct cut {
    uint64_t rows, cols;
    uint64_t chunk_rows, chunk_cols; /* of a full chunk */
    uint64_t segment_rows, segment_cols, per_row;
    uint64_t n_segments;
};

static struct cut cut_of(uint64_t rows, uint64_t cols, uint64_t chunk)
{
    struct cut c = {.rows = rows, .cols = cols, .per_row = 1};
    if (rows == 0 || cols == 0)
        return c;
    c.chunk_cols = SC_MIN(cols, chunk);
    c.chunk_rows = chunk / cols;
    if (c.chunk_rows > ROWS_TOGETHER) /* as passes like to take them */
        c.chunk_rows -= c.chunk_rows % ROWS_TOGETHER;
    c.chunk_rows = SC_MAX(c.chunk_rows, UINT64_C(1));
    c.segment_cols = SC_MIN(cols, SC_SEGMENT_VALUES);
    c.segment_rows = SC_MAX(SC_SEGMENT_VALUES / cols, UINT64_C(1));
    if (c.segment_rows > c.chunk_rows)
        c.segment_rows -= c.segment_rows % c.chunk_rows;
    c.per_row = (cols - 1) / c.segment_cols + 1;
    c.n_segments = c.per_row > 1 ? rows * c.per_row : (rows - 1) / c.segment_rows + 1;
    return c;
}

/* A rectangle of the item. */
struct area {
    uint64_t row, col, n_rows, n_cols;
};

static struct area segment_area(const struct cut *c, uint64_t i)
{
    struct area a = {.row = i * c->segment_rows, .n_cols = c->cols};
    if (c->per_row > 1) {
        a.row = i / c->per_row;
        a.col = i % c->per_row * c->segment_cols;
        a.n_cols = SC_MIN(c->segment_cols, c->cols - a.col);
    }
    a.n_rows = SC_MIN(c->segment_rows, c->rows - a.row);
    return a;
}

/* -------------------------------------------------------------------------------- the items --- */

/* The accumulators of one segment. */
struct piece {
    struct piece *next;
    uint64_t segment;
    void *part[]; /* (n_passes) */
};

struct live {
    unsigned want; /* SC_WANT_*; 0: not interested */
    bool active;   /* in this visit */
    void *total;
};

/* An item that is open. */
struct work {
    struct work *next;
    size_t index; /* in items */
    const struct sc_item *item;
    struct sc_values *a, *b;
    struct cut cut;
    unsigned want, visit;   /* of all active passes */
    uint64_t taken, merged; /* segments */
    size_t running;         /* segments on their way */
    bool merging, closing;
    bool held_up;         /* a thread went away because it would have run too far ahead */
    bool wide;            /* one of the views does not fit floats */
    struct piece *early;  /* finished, and not merged */
    struct piece *spare;  /* merged, for new segments */
    uint64_t bytes, told; /* stored; of them told as read */
    uint64_t ahead;       /* of the main part, that were asked for and not taken yet */
    int status;
    struct sc_error why;
    uint64_t memory;    /* of its task */
    struct live live[]; /* (n_passes) */
};

/* What a thread decodes into. */
struct room {
    struct room *next;
    uint8_t *raw[2];
    float *values[2];
    double *values64[2];
    struct sc_stored_window window[2]; /* of the segment */
};

struct sweep {
    const struct sc_sweep *s;
    const struct sc_parallel *parallel;
    struct sc_job job;
    size_t *order; /* items by position */

    pthread_mutex_t lock; /* around all below, but `tell` */
    size_t next_item;     /* in order */
    size_t open;          /* items that are being opened or worked on */
    struct work *first, **last;
    struct work *tasks, **last_task; /* that wait for their task */
    size_t n_tasks;
    uint64_t task_memory;
    size_t tasks_running;
    struct room *rooms;
    int status; /* why it stops; 0: it does not */
    struct sc_error why;
    struct ahead {
        size_t item; /* in order */
        uint64_t at; /* bytes of it that were asked for */
        uint64_t asked, taken;
    } ahead;

    pthread_mutex_t tell; /* around done() and progress() */
    uint64_t bytes, bytes_done;
    uint64_t told; /* milliseconds */
};

static unsigned n_threads(const struct sweep *sw)
{
    return sc_pool_threads(sw->s->pool);
}

/* Items that may be open at once. Most of them wait for their tasks then. */
static size_t most_open(const struct sweep *sw)
{
    return 4 * (size_t)n_threads(sw);
}

static bool cancelled(const struct sweep *sw)
{
    return sw->s->cancel && *sw->s->cancel;
}

static int interrupted(struct sc_error *e)
{
    return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
}

/* With the lock held. The first reason counts. */
static void stop(struct sweep *sw, int status, const struct sc_error *why)
{
    if (sw->status == 0) {
        sw->status = status;
        if (why)
            sw->why = *why;
        sw->why.code = status;
    }
}

/* ------------------------------------------------------------------------------------ words --- */

static uint64_t bytes_of(const struct sc_model *m, uint32_t tensor)
{
    return m->tensors[tensor].bytes;
}

static uint64_t item_bytes(const struct sweep *sw, const struct sc_item *item)
{
    const uint64_t a = bytes_of(sw->s->model, item->tensor);
    return item->tensor_b == SC_NO_NODE ? a : sc_add_up(a, bytes_of(item->model_b, item->tensor_b));
}

static void tell_progress(struct sweep *sw, const struct work *w, uint64_t bytes, bool always)
{
    if (!sw->s->progress)
        return;
    pthread_mutex_lock(&sw->tell);
    sw->bytes_done = sc_add_up(sw->bytes_done, bytes);
    const uint64_t now = sc_milliseconds();
    if (always || now - sw->told >= TELL_EVERY) {
        sw->told = now;
        sw->s->progress(sw->s->ctx, SC_MIN(sw->bytes_done, sw->bytes), sw->bytes,
                        w ? w->a->tensor->name : NULL);
    }
    pthread_mutex_unlock(&sw->tell);
}

static void tell_done(struct sweep *sw, size_t item, const struct sc_error *why)
{
    if (!sw->s->done)
        return;
    pthread_mutex_lock(&sw->tell);
    const int rc = sw->s->done(sw->s->ctx, item, why);
    pthread_mutex_unlock(&sw->tell);
    if (rc != 0) {
        struct sc_error e = {0};
        interrupted(&e);
        pthread_mutex_lock(&sw->lock);
        stop(sw, rc < 0 ? rc : SCRUPLE_EINTERRUPTED, &e);
        pthread_mutex_unlock(&sw->lock);
    }
}

/* ------------------------------------------------------------------------------ read ahead --- */

/* The bytes of an item's main part in its file. */
static struct sc_span item_span(const struct sweep *sw, const struct sc_item *item, uint32_t *file)
{
    const struct sc_model *m = sw->s->model;
    const struct sc_catalog *c = m->catalog;
    const struct sc_entry *en = &c->entries[m->tensors[item->tensor].main];
    const struct sc_storage *s =
        en->view == SC_NO_STORAGE ? NULL : &c->storages[c->views[en->view].storage];
    *file = en->file;
    if (s && s->method != 0)
        return (struct sc_span){s->offset, en->flags & SC_ENTRY_TIED ? 0 : s->stored};
    /* With the local header, which is read before the data. */
    const uint64_t more = s && en->bytes > 0 && en->offset == s->offset ? s->unseen : 0;
    return (struct sc_span){en->offset - more, en->bytes + more};
}

/* The next stretch to ask for: of one item, or of small ones that are neighbours. With the lock
 * held. */
static bool next_stretch(struct sweep *sw, uint32_t *file, struct sc_span *span)
{
    struct ahead *a = &sw->ahead;
    *span = (struct sc_span){0};
    while (a->item < sw->s->n_items && span->len < AHEAD_STEP) {
        uint32_t its_file;
        const struct sc_span whole = item_span(sw, &sw->s->items[sw->order[a->item]], &its_file);
        const uint64_t left = whole.len - a->at, at = whole.off + a->at;
        if (left > 0) {
            const uint64_t end = span->off + span->len;
            if (span->len > 0 && (its_file != *file || at < end || at - end > AHEAD_GAP))
                break;
            if (span->len == 0)
                *span = (struct sc_span){at, 0};
            const uint64_t take = SC_MIN(left, AHEAD_STEP);
            span->len = at + take - span->off;
            *file = its_file;
            a->asked += take;
            a->at += take;
        }
        if (a->at == whole.len) {
            a->item++;
            a->at = 0;
        }
    }
    return span->len > 0;
}

/* Keeps between half a window and a whole one on its way. */
static void read_ahead(struct sweep *sw)
{
    struct sc_source *s;
    struct sc_span span;
    uint32_t file = 0;
    pthread_mutex_lock(&sw->lock);
    bool more = !sw->s->sparse && sw->ahead.asked < sw->ahead.taken + AHEAD_BYTES / 2;
    while (more) {
        more = next_stretch(sw, &file, &span);
        pthread_mutex_unlock(&sw->lock);
        if (more && sc_model_source(sw->s->model, file, &s, NULL) == 0) {
            sc_source_read_ahead(s, span);
            sc_model_release(sw->s->model, file);
        }
        pthread_mutex_lock(&sw->lock);
        more = more && sw->ahead.asked < sw->ahead.taken + AHEAD_BYTES;
    }
    pthread_mutex_unlock(&sw->lock);
}

/* ----------------------------------------------------------------------------- life of an item ---
 */

static void free_pieces(struct sweep *sw, struct piece *p)
{
    while (p) {
        struct piece *next = p->next;
        for (size_t i = 0; i < sw->s->n_passes; i++)
            if (p->part[i])
                sw->s->passes[i]->part_free(sw->s->pass_ctx[i], p->part[i]);
        free(p);
        p = next;
    }
}

static void free_work(struct sweep *sw, struct work *w)
{
    free_pieces(sw, w->early);
    free_pieces(sw, w->spare);
    for (size_t i = 0; i < sw->s->n_passes; i++)
        if (w->live[i].total)
            sw->s->passes[i]->drop(sw->s->pass_ctx[i], w->live[i].total);
    sc_values_close(w->a);
    sc_values_close(w->b);
    free(w);
}

/* The item leaves the sweep. */
static void finish(struct sweep *sw, struct work *w)
{
    const size_t index = w->index;
    const int status = w->status;
    struct sc_error why = w->why;
    const uint64_t ahead = w->ahead;
    tell_progress(sw, w->a ? w : NULL, w->bytes - w->told, false);
    free_work(sw, w);
    why.code = status;
    if (status != SCRUPLE_EINTERRUPTED && status != SCRUPLE_EMEMORY)
        tell_done(sw, index, status < 0 ? &why : NULL);
    pthread_mutex_lock(&sw->lock);
    if (status == SCRUPLE_EINTERRUPTED || status == SCRUPLE_EMEMORY)
        stop(sw, status, &why);
    sw->ahead.taken += ahead;
    const bool was_full = sw->open-- == most_open(sw);
    const bool over = sw->status || (sw->open == 0 && sw->next_item == sw->s->n_items);
    pthread_mutex_unlock(&sw->lock);
    if (over)
        sc_job_close(&sw->job);
    else if (was_full)
        sc_job_invite(&sw->job, 1);
}

static int end_passes(struct sweep *sw, struct work *w, struct sc_error *e)
{
    for (size_t i = 0; i < sw->s->n_passes; i++) {
        void *total = w->live[i].total;
        w->live[i].total = NULL;
        if (total)
            TRY(sw->s->passes[i]->end(sw->s->pass_ctx[i], w->item, w->a, total, e));
    }
    return 0;
}

/* Which passes want to see it once more. */
static bool ask_again(struct sweep *sw, struct work *w)
{
    bool any = false;
    w->want = 0;
    for (size_t i = 0; i < sw->s->n_passes; i++) {
        struct live *l = &w->live[i];
        l->active = l->active && w->cut.n_segments > 0 && sw->s->passes[i]->again &&
                    sw->s->passes[i]->again(sw->s->pass_ctx[i], l->total, w->visit);
        w->want |= l->active ? l->want : 0;
        any = any || l->active;
    }
    return any;
}

/* All segments of a visit are merged, or it failed and nobody works on it any more. By one thread;
 * the work may be gone afterwards. */
static void complete(struct sweep *sw, struct work *w)
{
    const struct sc_task *task = sw->s->task;
    if (w->status == 0 && ask_again(sw, w)) {
        pthread_mutex_lock(&sw->lock);
        w->visit++;
        w->taken = w->merged = 0;
        w->closing = false;
        const uint64_t n = w->cut.n_segments;
        pthread_mutex_unlock(&sw->lock);
        sc_job_invite(&sw->job, (size_t)SC_MIN(n, (uint64_t)n_threads(sw)));
        return;
    }
    pthread_mutex_lock(&sw->lock);
    for (struct work **at = &sw->first; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            if (sw->last == &w->next)
                sw->last = at;
            break;
        }
    w->next = NULL;
    pthread_mutex_unlock(&sw->lock);
    if (w->status == 0 && w->cut.n_segments > 0)
        w->status = sc_values_check(w->a, true, &w->why);
    if (w->status == 0 && w->cut.n_segments > 0 && w->b)
        w->status = sc_values_check(w->b, true, &w->why);
    if (w->status == 0)
        w->status = end_passes(sw, w, &w->why);
    if (w->status == 0 && task)
        w->memory = task->memory(sw->s->task_ctx, w->item, w->a);
    if (w->status < 0 || w->memory == 0) {
        finish(sw, w);
        return;
    }
    pthread_mutex_lock(&sw->lock);
    *sw->last_task = w;
    sw->last_task = &w->next;
    sw->n_tasks++;
    pthread_mutex_unlock(&sw->lock);
    sc_job_invite(&sw->job, 1);
}

/* -------------------------------------------------------------------------------- opening --- */

int sc_values_check_expanded(const struct sc_values *v, struct sc_error *e)
{
    const struct sc_tensor *t = v->tensor;
    const struct sc_entry *en = &v->model->catalog->entries[t->main];
    struct sc_quoted q;
    if (v->ops || en->view == SC_NO_STORAGE || v->count <= EXPANDED_VALUES)
        return 0;
    const struct sc_storage *s =
        &v->model->catalog->storages[v->model->catalog->views[en->view].storage];
    if (v->count / 2 <= s->bytes) /* at most two values in a byte: it shows none twice */
        return 0;
    return sc_fail(e, SCRUPLE_ELIMIT,
                   "tensor \"%s\" shows %llu stored bytes as %llu values; at most %llu are read "
                   "of such a view",
                   sc_quote(&q, sc_str(t->name, t->name_len)), (unsigned long long)s->bytes,
                   (unsigned long long)v->count, (unsigned long long)EXPANDED_VALUES);
}

static int open_views(struct sweep *sw, struct work *w)
{
    struct sc_error *e = &w->why;
    struct sc_quoted q;
    if (sw->s->open)
        TRY(sw->s->open(sw->s->ctx, w->item, &w->a, &w->b, e));
    else
        TRY(sc_values_open(sw->s->model, w->item->tensor, &w->a, e));
    if (!sw->s->open && w->item->tensor_b != SC_NO_NODE)
        TRY(sc_values_open(w->item->model_b, w->item->tensor_b, &w->b, e));
    w->wide = w->a->is_double || (w->b && w->b->is_double);
    w->cut = cut_of(w->a->rows, w->a->cols, w->wide ? DOUBLE_CHUNK : SC_CHUNK_VALUES);
    if (w->b && (w->b->rows != w->a->rows || w->b->cols != w->a->cols))
        return sc_fail(e, SCRUPLE_EFORMAT, "tensor \"%s\" has another shape in the other model",
                       sc_quote(&q, sc_str(w->a->tensor->name, w->a->tensor->name_len)));
    return 0;
}

static int begin_passes(struct sweep *sw, struct work *w)
{
    for (size_t i = 0; i < sw->s->n_passes; i++) {
        struct live *l = &w->live[i];
        const struct sc_pass *p = sw->s->passes[i];
        void *ctx = sw->s->pass_ctx[i];
        l->want = p->wants(ctx, w->item, w->a);
        if (!l->want)
            continue;
        TRY(p->begin(ctx, w->item, w->a, &l->total, &w->why));
        l->active = true;
        w->want |= l->want;
    }
    if (!w->want)
        return 0;
    TRY(sc_values_check_expanded(w->a, &w->why));
    TRY(sc_values_prepare(w->a, sw->s->cancel, &w->why));
    return w->b ? sc_values_prepare(w->b, sw->s->cancel, &w->why) : 0;
}

/* The number of the next segment. With the lock held. */
static uint64_t start_segment(struct sweep *sw, struct work *w)
{
    const uint64_t share = w->ahead / (w->cut.n_segments - w->taken);
    if (w->visit == 0) {
        sw->ahead.taken += share;
        w->ahead -= share;
    }
    w->running++;
    return w->taken++;
}

static void do_segment(struct sweep *sw, struct work *w, uint64_t i, struct piece *piece);

/* The next item, from its views to its first segment. */
static void open_item(struct sweep *sw, size_t index)
{
    uint32_t file;
    struct work *w = sc_calloc(1, sizeof *w + sw->s->n_passes * sizeof w->live[0]);
    if (!w) {
        struct sc_error e = {0};
        sc_fail_memory(&e);
        pthread_mutex_lock(&sw->lock);
        sw->open--;
        stop(sw, SCRUPLE_EMEMORY, &e);
        pthread_mutex_unlock(&sw->lock);
        sc_job_close(&sw->job);
        return;
    }
    w->index = index;
    w->item = &sw->s->items[index];
    w->bytes = item_bytes(sw, w->item);
    w->ahead = item_span(sw, w->item, &file).len;
    w->status = open_views(sw, w);
    if (w->status == 0)
        w->status = begin_passes(sw, w);
    const uint64_t n = w->want && w->status == 0 ? w->cut.n_segments : 0;
    if (n == 0) {
        w->cut.n_segments = 0;
        w->closing = true;
        complete(sw, w);
        return;
    }
    pthread_mutex_lock(&sw->lock);
    *sw->last = w;
    sw->last = &w->next;
    start_segment(sw, w);
    pthread_mutex_unlock(&sw->lock);
    if (n > 1)
        sc_job_invite(&sw->job, (size_t)SC_MIN(n - 1, (uint64_t)n_threads(sw)));
    do_segment(sw, w, 0, NULL);
}

/* -------------------------------------------------------------------------------- segments --- */

static struct room *take_room(struct sweep *sw)
{
    pthread_mutex_lock(&sw->lock);
    struct room *r = sw->rooms;
    if (r)
        sw->rooms = r->next;
    pthread_mutex_unlock(&sw->lock);
    return r ? r : sc_calloc(1, sizeof *r);
}

static void leave_room(struct sweep *sw, struct room *r)
{
    pthread_mutex_lock(&sw->lock);
    r->next = sw->rooms;
    sw->rooms = r;
    pthread_mutex_unlock(&sw->lock);
}

static void free_rooms(struct room *r)
{
    while (r) {
        struct room *next = r->next;
        for (size_t side = 0; side < 2; side++) {
            free(r->raw[side]);
            free(r->values[side]);
            free(r->values64[side]);
        }
        free(r);
        r = next;
    }
}

/* Buffers for one side of a chunk, made with the first that needs them. */
static int make_room(struct room *r, size_t side, bool wide, unsigned want, struct sc_error *e)
{
    if (!r->raw[side])
        r->raw[side] = sc_alloc(SC_RAW_BYTES);
    if (want & SC_WANT_VALUES && !r->values[side])
        r->values[side] = sc_alloc(SC_CHUNK_VALUES * sizeof *r->values[0]);
    if (want & SC_WANT_VALUES && wide && !r->values64[side])
        r->values64[side] = sc_alloc(DOUBLE_CHUNK * sizeof *r->values64[0]);
    const bool made = r->raw[side] && (!(want & SC_WANT_VALUES) || r->values[side]) &&
                      (!(want & SC_WANT_VALUES) || !wide || r->values64[side]);
    return made ? 0 : sc_fail_memory(e);
}

/* One side of a chunk. */
static int load(struct sc_values *v, unsigned want, bool wide, size_t side, struct room *r,
                const struct area *a, const void **codes, const float **values,
                const double **values64, struct sc_error *e)
{
    const bool codes_wanted = want & SC_WANT_CODES && v->code_bytes > 0;
    const bool values_wanted = want & SC_WANT_VALUES;
    const uint64_t n = a->n_rows * a->n_cols;
    TRY(make_room(r, side, wide, want, e));
    *values = NULL;
    *values64 = values_wanted && wide ? r->values64[side] : NULL;
    TRY(sc_values_load(v, &r->window[side], a->row * v->cols + a->col, n, r->raw[side],
                       codes_wanted ? codes : NULL, values_wanted ? r->values[side] : NULL, values,
                       *values64 && v->is_double ? r->values64[side] : NULL, e));
    for (uint64_t i = 0; *values64 && !v->is_double && i < n; i++)
        r->values64[side][i] = (double)(*values)[i];
    return 0;
}

static int do_chunk(struct sweep *sw, struct work *w, const struct area *a, struct piece *piece,
                    struct room *r, struct sc_error *e)
{
    struct sc_chunk c = {.view = w->a,
                         .row = a->row,
                         .col = a->col,
                         .n_rows = a->n_rows,
                         .n_cols = a->n_cols,
                         .view_b = w->b};
    if (cancelled(sw))
        return interrupted(e);
    TRY(load(w->a, w->want, w->wide, 0, r, a, &c.codes, &c.values, &c.values64, e));
    if (w->b)
        TRY(load(w->b, w->want, w->wide, 1, r, a, &c.codes_b, &c.values_b, &c.values64_b, e));
    for (size_t i = 0; i < sw->s->n_passes; i++)
        if (w->live[i].active)
            sw->s->passes[i]->chunk(sw->s->pass_ctx[i], w->live[i].total, piece->part[i], &c);
    return 0;
}

static int do_chunks(struct sweep *sw, struct work *w, const struct area *segment,
                     struct piece *piece, struct room *r, struct sc_error *e)
{
    const struct area s = *segment;
    for (uint64_t row = 0; row < s.n_rows; row += w->cut.chunk_rows)
        for (uint64_t col = 0; col < s.n_cols; col += w->cut.chunk_cols) {
            const struct area a = {s.row + row, s.col + col,
                                   SC_MIN(w->cut.chunk_rows, s.n_rows - row),
                                   SC_MIN(w->cut.chunk_cols, s.n_cols - col)};
            TRY(do_chunk(sw, w, &a, piece, r, e));
        }
    return 0;
}

/* A segment is one stretch of values, of which windows are opened. */
static int do_windows(struct sweep *sw, struct work *w, uint64_t i, struct piece *piece,
                      struct room *r, struct sc_error *e)
{
    const struct area s = segment_area(&w->cut, i);
    struct sc_values *views[2] = {w->a, w->b};
    for (size_t side = 0; side < 2 && views[side]; side++)
        sc_values_open_window(views[side], s.row * w->cut.cols + s.col, s.n_rows * s.n_cols,
                              &r->window[side]);
    int status = do_chunks(sw, w, &s, piece, r, e);
    for (size_t side = 0; side < 2 && views[side]; side++) {
        struct sc_error why = {0};
        const int code = sc_values_close_window(views[side], &r->window[side], &why);
        if (code < 0 && status == 0) {
            status = code;
            *e = why;
        }
    }
    return status;
}

static int start_parts(struct sweep *sw, struct work *w, struct piece *piece, struct sc_error *e)
{
    for (size_t i = 0; i < sw->s->n_passes; i++) {
        void *reuse = piece->part[i];
        if (!w->live[i].active)
            continue;
        piece->part[i] = NULL;
        TRY(sw->s->passes[i]->part(sw->s->pass_ctx[i], w->live[i].total, w->visit, reuse,
                                   &piece->part[i], e));
    }
    return 0;
}

static struct piece *new_piece(const struct sweep *sw)
{
    return sc_calloc(1, sizeof(struct piece) + sw->s->n_passes * sizeof(void *));
}

static void merge_piece(struct sweep *sw, struct work *w, struct piece *piece)
{
    for (size_t i = 0; i < sw->s->n_passes; i++)
        if (w->live[i].active)
            sw->s->passes[i]->merge(sw->s->pass_ctx[i], w->live[i].total, piece->part[i]);
}

/* The piece of the next segment to merge, or NULL. With the lock held. */
static struct piece *take_early(struct work *w)
{
    for (struct piece **at = &w->early; *at; at = &(*at)->next)
        if ((*at)->segment == w->merged) {
            struct piece *p = *at;
            *at = p->next;
            return p;
        }
    return NULL;
}

/* Merges what can be, unless somebody is at it. With the lock held, which is let go meanwhile. */
static void merge_early(struct sweep *sw, struct work *w)
{
    struct piece *p;
    if (w->merging)
        return;
    w->merging = true;
    while (w->status == 0 && (p = take_early(w)) != NULL) {
        pthread_mutex_unlock(&sw->lock);
        merge_piece(sw, w, p);
        pthread_mutex_lock(&sw->lock);
        p->next = w->spare;
        w->spare = p;
        w->merged++;
    }
    w->merging = false;
}

/* Its next segment would have to wait too long for being merged. With the lock held. */
static bool is_too_far(const struct sweep *sw, const struct work *w)
{
    return w->taken >= w->merged + 2 * (uint64_t)n_threads(sw);
}

/* With the lock held. */
static bool is_over(const struct work *w)
{
    if (w->running > 0 || w->merging || w->closing)
        return false;
    return w->status < 0 || w->merged == w->cut.n_segments;
}

static void do_segment(struct sweep *sw, struct work *w, uint64_t i, struct piece *piece)
{
    struct sc_error e = {0};
    struct room *r = take_room(sw);
    int status = 0;
    if (!piece)
        piece = new_piece(sw);
    if (!r || !piece)
        status = sc_fail_memory(&e);
    if (status == 0) {
        piece->segment = i;
        status = start_parts(sw, w, piece, &e);
    }
    if (status == 0)
        status = do_windows(sw, w, i, piece, r, &e);
    if (r)
        leave_room(sw, r);
    const uint64_t told = w->visit == 0 ? w->bytes / w->cut.n_segments : 0;
    if (told)
        tell_progress(sw, w, told, false);

    pthread_mutex_lock(&sw->lock);
    w->running--;
    w->told += told;
    if (status < 0 && w->status == 0) {
        w->status = status;
        w->why = e;
    }
    if (piece) {
        struct piece **list = status == 0 ? &w->early : &w->spare;
        piece->next = *list;
        *list = piece;
    }
    if (status == 0)
        merge_early(sw, w);
    const bool over = is_over(w);
    w->closing = w->closing || over;
    const bool goes_on = w->held_up && !over && !is_too_far(sw, w);
    w->held_up = w->held_up && !goes_on;
    pthread_mutex_unlock(&sw->lock);
    if (over)
        complete(sw, w);
    else if (goes_on)
        sc_job_invite(&sw->job, n_threads(sw));
}

/* ----------------------------------------------------------------------------------- tasks --- */

static void do_task(struct sweep *sw, struct work *w)
{
    const struct sc_task *task = sw->s->task;
    w->status = task->run(sw->s->task_ctx, w->item, w->a, sw->parallel, &w->why);
    pthread_mutex_lock(&sw->lock);
    sw->tasks_running--;
    sw->task_memory -= w->memory;
    pthread_mutex_unlock(&sw->lock);
    sc_job_invite(&sw->job, 1);
    finish(sw, w);
}

/* The first in line, when it fits or nothing else runs. With the lock held. */
static struct work *take_task(struct sweep *sw)
{
    struct work *w = sw->tasks;
    if (!w || (sw->tasks_running > 0 &&
               (w->memory > sw->s->memory || sw->task_memory > sw->s->memory - w->memory)))
        return NULL;
    sw->tasks = w->next;
    if (!sw->tasks)
        sw->last_task = &sw->tasks;
    w->next = NULL;
    sw->n_tasks--;
    sw->tasks_running++;
    sw->task_memory += w->memory;
    return w;
}

/* --------------------------------------------------------------------------------- threads --- */

/* An item with a segment that may be taken. With the lock held. */
static struct work *find_segment(struct sweep *sw)
{
    for (struct work *w = sw->first; w; w = w->next) {
        if (w->status < 0 || w->closing || w->taken == w->cut.n_segments)
            continue;
        if (!is_too_far(sw, w))
            return w;
        w->held_up = true;
    }
    return NULL;
}

static struct piece *take_spare(struct work *w)
{
    struct piece *p = w->spare;
    if (p)
        w->spare = p->next;
    return p;
}

/* One piece of work; false: there is none. */
static bool do_something(struct sweep *sw)
{
    struct work *w;
    struct piece *piece = NULL;
    size_t item = SIZE_MAX;
    uint64_t segment = 0;
    pthread_mutex_lock(&sw->lock);
    if (cancelled(sw) && sw->status == 0) {
        struct sc_error e = {0};
        stop(sw, interrupted(&e), &e);
    }
    const bool stopped = sw->status != 0;
    struct work *task = stopped ? NULL : take_task(sw);
    w = stopped || task ? NULL : find_segment(sw);
    if (w) {
        segment = start_segment(sw, w);
        piece = take_spare(w);
    } else if (!task && !stopped && sw->next_item < sw->s->n_items && sw->open < most_open(sw)) {
        item = sw->order[sw->next_item++];
        sw->open++;
    }
    pthread_mutex_unlock(&sw->lock);
    if (stopped) {
        sc_job_close(&sw->job);
        return false;
    }
    if (task)
        do_task(sw, task);
    else if (w)
        do_segment(sw, w, segment, piece);
    else if (item != SIZE_MAX)
        open_item(sw, item);
    return task || w || item != SIZE_MAX;
}

static void come_by(void *ctx, size_t i)
{
    struct sweep *sw = ctx;
    (void)i;
    do
        read_ahead(sw);
    while (do_something(sw));
}

/* ---------------------------------------------------------------------------------- whole --- */

struct place {
    uint32_t file;
    uint64_t at;
    size_t item;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

static int sort_items(struct sweep *sw, struct sc_error *e)
{
    const size_t n = sw->s->n_items;
    struct place *places = sc_pages_new(true, n, sizeof *places);
    sw->order = sc_pages_new(true, n, sizeof *sw->order);
    if (!places || !sw->order) {
        sc_pages_free(places);
        return sc_fail_memory(e);
    }
    for (size_t i = 0; i < n; i++) {
        places[i].at = item_span(sw, &sw->s->items[i], &places[i].file).off;
        places[i].item = i;
        sw->bytes = sc_add_up(sw->bytes, item_bytes(sw, &sw->s->items[i]));
    }
    sc_sort(places, n, sizeof *places, compare_places);
    for (size_t i = 0; i < n; i++)
        sw->order[i] = places[i].item;
    sc_pages_free(places);
    return 0;
}

static void clear(struct sweep *sw)
{
    struct work *lists[] = {sw->first, sw->tasks};
    for (size_t i = 0; i < SC_COUNT(lists); i++)
        for (struct work *w = lists[i], *next; w; w = next) {
            next = w->next;
            free_work(sw, w);
        }
    free_rooms(sw->rooms);
    sc_pages_free(sw->order);
    pthread_mutex_destroy(&sw->lock);
    pthread_mutex_destroy(&sw->tell);
}

int sc_sweep_run(const struct sc_sweep *s, struct sc_error *e)
{
    const struct sc_parallel parallel = sc_pool_parallel(s->pool);
    struct sweep sw = {.s = s, .parallel = &parallel};
    sw.last = &sw.first;
    sw.last_task = &sw.tasks;
    pthread_mutex_init(&sw.lock, NULL);
    pthread_mutex_init(&sw.tell, NULL);
    int status = sort_items(&sw, e);
    if (status == 0 && s->n_items > 0) {
        sw.job = (struct sc_job){
            .fn = come_by, .ctx = &sw, .invitations = sc_pool_threads(s->pool), .open = true};
        sc_pool_run(s->pool, &sw.job);
        status = sw.status;
        if (status < 0 && e)
            *e = sw.why;
    }
    if (status == 0)
        tell_progress(&sw, NULL, sw.bytes, true);
    clear(&sw);
    return status;
}
