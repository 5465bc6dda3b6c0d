/* SPDX-License-Identifier: Apache-2.0 */
/* pool: what sweeps need of the pool beyond sc_pool_for(), and what tests look into. Private to the
 * stream layer. */
#ifndef SC_STREAM_POOL_H
#define SC_STREAM_POOL_H

#include <pthread.h>

#include "stream/stream.h"

/* A piece of work that threads are invited to. Every invitation is one call of fn(ctx, i), i
 * counting from 0, by any thread of the pool. While `open`, more invitations may follow. */
struct sc_job {
    void (*fn)(void *ctx, size_t i);
    void *ctx;
    size_t invitations; /* not taken up yet */
    bool open;

    /* the pool's own */
    struct sc_pool *pool;
    struct sc_job *parent; /* whose fn started this one */
    struct sc_job *older, *newer;
    size_t next;    /* number of the next call */
    size_t running; /* calls that have not returned */
    bool waiting;   /* whoever runs it sleeps on `changed` */
    pthread_cond_t changed;
};
/* Set fn, ctx, invitations and open; zero the rest. Returns when nothing is left to do: all calls
 * have returned and the job is not open. The caller takes part. */
void sc_pool_run(struct sc_pool *p, struct sc_job *job);
/* n more calls, but never more of them outstanding than there are threads. Only from inside fn. */
void sc_job_invite(struct sc_job *job, size_t n);
/* No more: invitations that nobody took up are withdrawn. Only from inside fn. */
void sc_job_close(struct sc_job *job);

/* What the machine and its control groups allow this process; 0: no limit is known. `root` is put
 * in front of /proc/self/cgroup and /sys/fs/cgroup: "" but in tests. */
struct sc_limits {
    double cpus;
    uint64_t memory;
};
void sc_limits_read(const char *root, struct sc_limits *out);

#endif
