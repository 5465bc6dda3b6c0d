/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_spans: parts of a file, into the cache of ranges.
 *
 * They are read through the repository, which knows how to ask for many spans at once: here is only
 * which bytes are missing, and whether they could be kept.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hub/fetch.h"

#define STEP     ((uint64_t)32 << 20) /* read at once */
#define RESTARTS 5
/* Shorter spans are announced: they are fetched side by side. */
#define LITTLE ((uint64_t)1 << 20)

struct parts {
    struct sc_fetch_job *job;
    struct sc_fetch_task *task;
    struct sc_source *source;
    struct sc_span *gap; /* what is missing, at most STEP bytes each */
    size_t n, cap;
    uint8_t *memory; /* STEP bytes */
};

static int add_gap(struct parts *p, uint64_t off, uint64_t len, struct sc_error *e)
{
    while (len) {
        uint64_t n = SC_MIN(len, STEP);
        TRY(sc_grow(&p->gap, &p->cap, p->n + 1, sizeof *p->gap, e));
        p->gap[p->n++] = (struct sc_span){off, n};
        off += n;
        len -= n;
    }
    return 0;
}

static int find_gaps(struct parts *p, struct sc_ranges *r, struct sc_error *e)
{
    const struct sc_fetch_item *it = p->task->item;
    uint64_t off, len;

    p->n = 0;
    for (size_t i = 0; i < it->n_spans; i++) {
        uint64_t at = it->spans[i].off, end = at + it->spans[i].len;
        for (; sc_ranges_gap(r, at, end, &off, &len); at = off + len)
            TRY(add_gap(p, off, len, e));
    }
    return 0;
}

/* The next spans that are read together. */
static size_t announce(struct parts *p, size_t from)
{
    uint64_t bytes = 0;
    size_t n = from;

    while (n < p->n && p->gap[n].len < LITTLE && bytes + p->gap[n].len <= STEP)
        bytes += p->gap[n++].len;
    if (n > from + 1)
        sc_source_prefetch(p->source, p->gap + from, n - from);
    return SC_MAX(n, from + 1);
}

static int read_gaps(struct parts *p, struct sc_ranges *r, struct sc_error *e)
{
    for (size_t i = 0; i < p->n;) {
        for (size_t end = announce(p, i); i < end; i++) {
            int code = sc_fetch_stopped(p->job);
            if (code < 0)
                return sc_fail(e, code, "stopped");
            const struct sc_span *g = &p->gap[i];
            TRY(sc_source_read(p->source, g->off, p->memory, (size_t)g->len, e));
            sc_ranges_save(r, g->off, p->memory, (size_t)g->len);
            sc_fetch_received(p->job, p->task, g->len);
        }
    }
    return 0;
}

/* A repository opens and closes for one thread at a time. */
static int open_source(struct parts *p, struct sc_error *e)
{
    pthread_mutex_lock(&p->job->opening);
    int code = sc_repo_open_file(p->job->repo, p->task->item->file->path, &p->source, e);
    pthread_mutex_unlock(&p->job->opening);
    return code;
}

static void close_source(struct parts *p)
{
    pthread_mutex_lock(&p->job->opening);
    sc_source_close(p->source);
    pthread_mutex_unlock(&p->job->opening);
    p->source = NULL;
}

static int fetch_once(struct parts *p, bool *gone, struct sc_error *e)
{
    const struct sc_hub_file *w = p->task->item->file;
    const struct sc_hub_env *env = p->job->env;

    errno = 0;
    struct sc_ranges *r = sc_ranges_open(env, w->etag, w->bytes, true);
    if (!r)
        return sc_fetch_disk_error(env, env->cache ? env->cache : "the cache", errno,
                                   p->task->item->want, e);
    int code = find_gaps(p, r, e);
    if (code == 0 && p->n) {
        sc_fetch_count(p->job, p->task, sc_fetch_kept(r, p->task->item));
        code = open_source(p, e);
        if (code == 0)
            code = read_gaps(p, r, e);
        close_source(p);
        sc_ranges_refresh(r);
        uint64_t kept = sc_fetch_kept(r, p->task->item);
        /* A small file that is complete now has moved into the shared cache. */
        if (code == 0 && kept < p->task->item->want && !sc_fetch_has_blob(env, p->job->listing, w))
            code = sc_fetch_disk_error(env, sc_ranges_path(r), sc_ranges_error(r),
                                       p->task->item->want - kept, e);
    }
    *gone = sc_ranges_gone(r);
    sc_ranges_close(r);
    return code;
}

/* Somebody may remove the cache meanwhile. */
static int fetch_parts(struct parts *p, struct sc_error *e)
{
    bool gone = false;
    int code = fetch_once(p, &gone, e);

    for (int i = 0; i < RESTARTS && code == SCRUPLE_EWRITE && gone; i++)
        code = fetch_once(p, &gone, e);
    return code;
}

void *sc_fetch_parts(void *job)
{
    struct sc_fetch_job *j = job;
    struct parts p = {.job = j, .memory = sc_alloc((size_t)STEP)};
    struct sc_error e = {0};
    int lock = -1;

    if (!p.memory) {
        sc_fail_memory(&e);
        (void)sc_fetch_fail(j, &e);
    }
    while (p.memory && sc_fetch_claim(j, SC_FETCH_PARTS, true, &p.task, &lock) == SC_CLAIM_GOT) {
        int code = fetch_parts(&p, &e);
        sc_fetch_release(j, p.task, lock, code, &e);
    }
    free(p.gap);
    free(p.memory);
    return NULL;
}
