/* SPDX-License-Identifier: Apache-2.0 */
/* pool: the threads of the program.
 *
 * Owns: worker threads, and the stack of jobs that they work on. Does not own: what a job is.
 *
 * Jobs stand in a list, the newest first. A job has invitations: calls of its function that nobody
 * has taken up yet. An idle worker takes one of the newest job that has any, so that what was
 * started last, which somebody waits for, is done first. Whoever started a job works on it, too,
 * and when it has run out of invitations helps with the jobs that its own calls have started, and
 * only with those: whatever it did besides would keep it from returning.
 *
 *     sweep  -- call 0 --> task --> sc_pool_for: 40 calls     newest: idle workers go there
 *            -- call 1 --> segments ...
 *
 * No deadlock: a thread sleeps only when every call of its job was taken up by somebody who is
 * running it, and a running call needs nobody else, since it works on its own jobs itself.
 *
 * Everything is under one lock and condition variables: calls are meant to take 10 microseconds and
 * more. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity; NOLINT(bugprone-reserved-identifier,cert-dcl51-cpp) */
#endif

#include "stream/pool.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_THREADS = 1024, STACK_BYTES = 1 << 20 };

struct sc_pool {
    pthread_mutex_t lock;
    pthread_cond_t work; /* idle workers sleep here */
    struct sc_job *newest;
    size_t idle;
    bool stop;
    unsigned threads;    /* with the caller */
    unsigned n_workers;  /* that were started */
    pthread_t workers[]; /* (threads - 1) */
};

/* The job whose call this thread is in. */
static _Thread_local struct sc_job *current;

/* ---------------------------------------------------------------------------------- jobs --- */

static bool descends(const struct sc_job *job, const struct sc_job *from)
{
    while (job && job != from)
        job = job->parent;
    return job != NULL;
}

/* The newest job with an invitation, of all or of `root` and what its calls have started. */
static struct sc_job *find_job(struct sc_pool *p, const struct sc_job *root)
{
    for (struct sc_job *job = p->newest; job; job = job->older)
        if (job->invitations > 0 && (!root || descends(job, root)))
            return job;
    return NULL;
}

/* With the lock held, which is let go during the call. */
static void take_up(struct sc_pool *p, struct sc_job *job)
{
    struct sc_job *const outer = current;
    const size_t i = job->next++;
    job->invitations--;
    job->running++;
    pthread_mutex_unlock(&p->lock);
    current = job;
    job->fn(job->ctx, i);
    current = outer;
    pthread_mutex_lock(&p->lock);
    if (--job->running == 0 && job->waiting)
        pthread_cond_signal(&job->changed);
}

/* n calls can be taken up: wakes idle workers, and those who wait for jobs further out. */
static void call_for_help(struct sc_pool *p, struct sc_job *job, size_t n)
{
    if (n >= p->idle)
        pthread_cond_broadcast(&p->work);
    else
        for (size_t i = 0; i < n; i++)
            pthread_cond_signal(&p->work);
    for (; job && n > 0; job = job->parent)
        if (job->waiting)
            pthread_cond_signal(&job->changed);
}

static void push(struct sc_pool *p, struct sc_job *job)
{
    job->pool = p;
    job->parent = current && current->pool == p ? current : NULL;
    job->newer = NULL;
    job->older = p->newest;
    if (p->newest)
        p->newest->newer = job;
    p->newest = job;
}

static void pull(struct sc_pool *p, struct sc_job *job)
{
    if (job->newer)
        job->newer->older = job->older;
    else
        p->newest = job->older;
    if (job->older)
        job->older->newer = job->newer;
}

void sc_pool_run(struct sc_pool *p, struct sc_job *job)
{
    pthread_cond_init(&job->changed, NULL);
    pthread_mutex_lock(&p->lock);
    push(p, job);
    if (job->invitations > 1) /* the first is ours */
        call_for_help(p, job, job->invitations - 1);
    for (;;) {
        struct sc_job *next = find_job(p, job);
        if (next) {
            take_up(p, next);
        } else if (job->running == 0 && !job->open) {
            break;
        } else {
            job->waiting = true;
            pthread_cond_wait(&job->changed, &p->lock);
            job->waiting = false;
        }
    }
    pull(p, job);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_destroy(&job->changed);
}

void sc_job_invite(struct sc_job *job, size_t n)
{
    struct sc_pool *p = job->pool;
    pthread_mutex_lock(&p->lock);
    const size_t room = p->threads - SC_MIN((size_t)p->threads, job->invitations);
    n = job->open ? SC_MIN(n, room) : 0;
    job->invitations += n;
    if (n > 0)
        call_for_help(p, job, n);
    pthread_mutex_unlock(&p->lock);
}

void sc_job_close(struct sc_job *job)
{
    struct sc_pool *p = job->pool;
    pthread_mutex_lock(&p->lock);
    job->open = false;
    job->invitations = 0;
    if (job->waiting)
        pthread_cond_signal(&job->changed);
    pthread_mutex_unlock(&p->lock);
}

void sc_pool_for(struct sc_pool *p, size_t n, void (*fn)(void *ctx, size_t i), void *ctx)
{
    if (n > 1 && p->threads > 1) {
        struct sc_job job = {.fn = fn, .ctx = ctx, .invitations = n};
        sc_pool_run(p, &job);
        return;
    }
    for (size_t i = 0; i < n; i++)
        fn(ctx, i);
}

static void run_parallel(void *ctx, size_t n, void (*fn)(void *fn_ctx, size_t i), void *fn_ctx)
{
    sc_pool_for(ctx, n, fn, fn_ctx);
}

struct sc_parallel sc_pool_parallel(struct sc_pool *p)
{
    return (struct sc_parallel){run_parallel, p, p->threads};
}

/* -------------------------------------------------------------------------------- threads --- */

static void *work(void *arg)
{
    struct sc_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct sc_job *job = find_job(p, NULL);
        if (job) {
            take_up(p, job);
        } else {
            p->idle++;
            pthread_cond_wait(&p->work, &p->lock);
            p->idle--;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* As many as the system gives us. */
static void start_workers(struct sc_pool *p)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    while (p->n_workers + 1 < p->threads &&
           sc_thread_start(&p->workers[p->n_workers], &attr, work, p) == 0)
        p->n_workers++;
    pthread_attr_destroy(&attr);
}

/* Processors that this process may use. */
static unsigned usable_cpus(void)
{
    struct sc_limits limits;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
#endif
    sc_limits_read("", &limits);
    if (limits.cpus > 0 && limits.cpus < (double)n)
        n = (long)(limits.cpus + 0.999);
    return (unsigned)SC_MAX(1L, SC_MIN(n, (long)MOST_THREADS));
}

int sc_pool_new(unsigned threads, struct sc_pool **out, struct sc_error *e)
{
    *out = NULL;
    threads = threads ? SC_MIN(threads, (unsigned)MOST_THREADS) : usable_cpus();
    struct sc_pool *p = sc_calloc(1, sizeof *p + (threads - 1) * sizeof p->workers[0]);
    if (!p)
        return sc_fail_memory(e);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    p->threads = threads;
    start_workers(p);
    pthread_mutex_lock(&p->lock); /* workers are there already */
    p->threads = p->n_workers + 1;
    pthread_mutex_unlock(&p->lock);
    *out = p;
    return 0;
}

void sc_pool_free(struct sc_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n_workers; i++)
        pthread_join(p->workers[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

unsigned sc_pool_threads(const struct sc_pool *p)
{
    return p->threads;
}
