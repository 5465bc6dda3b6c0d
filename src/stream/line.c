/* SPDX-License-Identifier: Apache-2.0 */
/* line: batches by the pool, and a thread beside it that mostly waits, for a disk. */
#include "stream/line.h"

#include <stdlib.h>

#include "source/source.h"

/* ----------------------------------------------------------------------------------- spares --- */

bool sc_spares_begin(struct sc_spares *s)
{
    s->first = NULL;
    return pthread_mutex_init(&s->lock, NULL) == 0;
}

void *sc_spares_take(struct sc_spares *s)
{
    pthread_mutex_lock(&s->lock);
    struct sc_spare *spare = s->first;
    if (spare)
        s->first = spare->next;
    pthread_mutex_unlock(&s->lock);
    return spare;
}

void sc_spares_leave(struct sc_spares *s, void *spare)
{
    struct sc_spare *one = spare;
    pthread_mutex_lock(&s->lock);
    one->next = s->first;
    s->first = one;
    pthread_mutex_unlock(&s->lock);
}

void sc_spares_end(struct sc_spares *s, void (*end)(void *spare))
{
    for (struct sc_spare *one = s->first, *next; one; one = next) {
        next = one->next;
        (end ? end : free)(one);
    }
    pthread_mutex_destroy(&s->lock);
}

/* ------------------------------------------------------------------------------------- line --- */

#define SLOW UINT64_C(1000000) /* microseconds of waiting for puts */

struct batch {
    char *things;
    size_t n;
};
struct run {
    const struct sc_line *l;
    struct batch now, before;
    uint64_t done;
    struct sc_error failed; /* of the last put */
    uint64_t began, waited; /* microseconds */
    bool told;              /* that it is slow */
    bool has_thread;
    pthread_t thread;
    pthread_cond_t turn;
    pthread_mutex_t lock; /* of what follows */
    enum putting { IDLE, BUSY, OVER } putting;
};

static void make_one(void *ctx, size_t i)
{
    const struct run *r = ctx;
    r->l->make(r->l->ctx, r->now.things + i * r->l->size);
}

static void put_batch(struct run *r)
{
    r->failed.code = 0;
    if (r->before.n)
        r->l->put(r->l->ctx, r->before.things, r->before.n, &r->failed);
}

static void *put_batches(void *ctx)
{
    struct run *r = ctx;
    pthread_mutex_lock(&r->lock);
    while (r->putting != OVER) {
        if (r->putting == IDLE) {
            pthread_cond_wait(&r->turn, &r->lock);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        put_batch(r);
        pthread_mutex_lock(&r->lock);
        r->putting = IDLE;
        pthread_cond_broadcast(&r->turn);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* Without a thread, batches are put in between. */
static void start_thread(struct run *r)
{
    r->has_thread = sc_thread_start(&r->thread, NULL, put_batches, r) == 0;
}

static void turn(struct run *r, enum putting to)
{
    pthread_mutex_lock(&r->lock);
    r->putting = to;
    pthread_cond_broadcast(&r->turn);
    pthread_mutex_unlock(&r->lock);
}

static void await(struct run *r)
{
    const uint64_t before = sc_microseconds();
    pthread_mutex_lock(&r->lock);
    while (r->putting == BUSY)
        pthread_cond_wait(&r->turn, &r->lock);
    pthread_mutex_unlock(&r->lock);
    const uint64_t now = sc_microseconds();
    r->waited += now - before;
    if (!r->told && r->l->slow && r->waited > SLOW && r->waited > (now - r->began) / 4) {
        r->told = true;
        r->l->slow(r->l->ctx);
    }
}

/* The batch before is put away, the things of the next are made. */
static int work(struct run *r, struct sc_error *e)
{
    if (r->has_thread)
        turn(r, BUSY);
    else
        put_batch(r);
    sc_pool_for(r->l->pool, r->now.n, make_one, r);
    await(r);
    if (r->failed.code)
        *e = r->failed;
    r->done += r->before.n;
    return r->failed.code;
}

static int run_batches(struct run *r, struct sc_error *e)
{
    const struct sc_line *l = r->l;
    for (bool more = true; more || r->before.n;) {
        r->now.n = more ? l->next(l->ctx, r->now.things) : 0;
        TRY(work(r, e));
        const int last = l->arrange(l->ctx, r->now.things, &r->now.n, r->done, e);
        if (last < 0)
            return last;
        more = more && r->now.n && !last;
        const struct batch swap = r->now;
        r->now = r->before;
        r->before = swap;
    }
    return 0;
}

int sc_line_run(const struct sc_line *l, struct sc_error *e)
{
    struct run r = {.l = l,
                    .now = {l->batches[0], 0},
                    .before = {l->batches[1], 0},
                    .began = sc_microseconds()};
    if (pthread_mutex_init(&r.lock, NULL) != 0)
        return sc_fail_memory(e);
    pthread_cond_init(&r.turn, NULL);
    start_thread(&r);
    const int code = run_batches(&r, e);
    if (r.has_thread) {
        turn(&r, OVER);
        pthread_join(r.thread, NULL);
    }
    pthread_cond_destroy(&r.turn);
    pthread_mutex_destroy(&r.lock);
    return code;
}
