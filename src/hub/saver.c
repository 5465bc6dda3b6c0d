/* SPDX-License-Identifier: Apache-2.0 */
/* saver: writes to a cache on a thread of its own.
 *
 * To create a file takes a disk up to milliseconds, and a cold look at a model creates hundreds of
 * small ones. Done between the answers of a server, that would be most of the time; done beside
 * them, none. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "hub/cache.h"

#define QUEUE_MAX                                                                                  \
    ((size_t)64 << 20) /* bytes that may wait; what comes then is saved by its giver */

struct item {
    struct item *next;
    void (*save)(void *ctx, uint64_t off, const void *p, size_t n);
    void *ctx;
    uint64_t off;
    size_t n;
    uint8_t bytes[];
};

struct sc_saver {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct item *first, **last;
    size_t waiting; /* bytes in the queue and in work */
    bool busy, stop;
};

static void *work(void *ctx)
{
    struct sc_saver *s = ctx;
    pthread_mutex_lock(&s->lock);
    while (s->first || !s->stop) {
        struct item *i = s->first;
        if (!i) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        s->first = i->next;
        if (!s->first)
            s->last = &s->first;
        s->busy = true;
        pthread_mutex_unlock(&s->lock);
        i->save(i->ctx, i->off, i->bytes, i->n);
        pthread_mutex_lock(&s->lock);
        s->busy = false;
        s->waiting -= i->n;
        free(i);
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static bool start_thread(struct sc_saver *s)
{
    return sc_thread_start(&s->thread, NULL, work, s) == 0;
}

struct sc_saver *sc_saver_new(void)
{
    struct sc_saver *s = sc_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->last = &s->first;
    if (pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s);
        return NULL;
    }
    if (pthread_cond_init(&s->changed, NULL) != 0) {
        pthread_mutex_destroy(&s->lock);
        free(s);
        return NULL;
    }
    if (!start_thread(s)) {
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
        free(s);
        return NULL;
    }
    return s;
}

void sc_saver_put(struct sc_saver *s,
                  void (*save)(void *ctx, uint64_t off, const void *p, size_t n), void *ctx,
                  uint64_t off, const void *p, size_t n)
{
    struct item *i = s && n < QUEUE_MAX ? sc_alloc(sizeof *i + n) : NULL;
    if (i) {
        *i = (struct item){.save = save, .ctx = ctx, .off = off, .n = n};
        memcpy(i->bytes, p, n);
        pthread_mutex_lock(&s->lock);
        if (s->waiting + n <= QUEUE_MAX) {
            s->waiting += n;
            *s->last = i;
            s->last = &i->next;
            i = NULL;
            pthread_cond_broadcast(&s->changed);
        }
        pthread_mutex_unlock(&s->lock);
        if (!i)
            return;
        free(i);
    }
    save(ctx, off, p, n);
}

void sc_saver_flush(struct sc_saver *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    while (s->first || s->busy)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void sc_saver_stop(struct sc_saver *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
