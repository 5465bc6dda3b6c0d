/* SPDX-License-Identifier: Apache-2.0 */
/* line: an assembly line, and the tools that those who work at it hand on.
 *
 *     next --> make, by all threads of the pool --> arrange, one after the other --> put, by a
 *              thread of its own
 *
 * Things come in batches: while the pool makes those of one, the other thread puts away those of
 * the one before. They are arranged and put in their order, so what comes out depends on no number
 * of threads.
 *
 * Owns: the batches, the thread that puts. Does not own: things, which are the caller's memory.
 */
#ifndef SC_STREAM_LINE_H
#define SC_STREAM_LINE_H

#include <pthread.h>

#include "stream/stream.h"

/* ----------------------------------------------------------------------------------- spares --- */
/* What threads work with, one each: who is done leaves it for the next. */
struct sc_spare { /* the first member of each */
    struct sc_spare *next;
};
struct sc_spares {
    pthread_mutex_t lock;
    struct sc_spare *first;
};
bool sc_spares_begin(struct sc_spares *s); /* false: no memory */
void *sc_spares_take(struct sc_spares *s); /* NULL: there is none */
void sc_spares_leave(struct sc_spares *s, void *spare);
/* Each by `end`; NULL stands for free(). */
void sc_spares_end(struct sc_spares *s, void (*end)(void *spare));

/* ------------------------------------------------------------------------------------- line --- */
struct sc_line {
    struct sc_pool *pool;
    size_t most;      /* things of a batch */
    size_t size;      /* bytes of one */
    void *batches[2]; /* (most * size) each */
    void *ctx;        /* of all functions */
    /* The next things: how many, at most `most`; 0: there are none any more. */
    size_t (*next)(void *ctx, void *things);
    void (*make)(void *ctx, void *thing); /* any thread; errors stay with the thing */
    /* Between batches: *n things were made, `done` have been put away. Negative ends the line;
     * otherwise the first *n, which may become less, will be put; 1: nothing comes behind them. */
    int (*arrange)(void *ctx, void *things, size_t *n, uint64_t done, struct sc_error *e);
    int (*put)(void *ctx, void *things, size_t n, struct sc_error *e);
    /* Once, between batches: the pool waits for puts most of the time. NULL: nobody cares. */
    void (*slow)(void *ctx);
};
/* Until nothing is left, or the first error, when everything is at rest. */
int sc_line_run(const struct sc_line *l, struct sc_error *e);

#endif
