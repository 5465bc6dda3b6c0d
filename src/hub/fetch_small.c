/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_small: files of at most 1 MiB, up to 32 of them on their way at once.
 *
 * A repository can have ten thousand of them, and then only round trips count, and how long a disk
 * takes to say that a file is safe. A thread has eight requests out, checks what comes back and
 * puts it in place; there are four, because they wait for the disk more than for the network. Each
 * file is in memory as a whole.
 *
 * Locks: no file is waited for while another one is locked by us, so two processes that come from
 * opposite ends cannot wait for each other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hub/fetch.h"

enum { TRIES = 3 };

struct pump;
struct slot {
    struct pump *pump;
    struct sc_fetch_task *task; /* NULL: free */
    int lock;
    int expired, mismatched; /* how often */
    bool over;               /* the request is; under the pump's lock */
    struct sc_buf url, body, error_body;
    struct sc_http_request q;
};
struct pump {
    struct sc_fetch_job *job;
    struct sc_http *http;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    size_t busy;
    struct slot slots[SC_FETCH_AT_ONCE];
};

static void received(void *ctx, struct sc_http_request *q)
{
    struct slot *s = ctx;

    (void)q;
    pthread_mutex_lock(&s->pump->lock);
    s->over = true;
    pthread_cond_signal(&s->pump->moved);
    pthread_mutex_unlock(&s->pump->lock);
}

static void free_slot(struct slot *s)
{
    sc_buf_clear(&s->url);
    sc_buf_clear(&s->body);
    sc_buf_clear(&s->error_body);
    s->task = NULL;
    s->pump->busy--;
}

static int submit(struct slot *s, struct sc_error *e)
{
    const struct sc_hub_file *w = s->task->item->file;

    sc_buf_clear(&s->body);
    sc_buf_clear(&s->error_body);
    s->body = (struct sc_buf){.max = (size_t)w->bytes + 1};
    s->error_body = (struct sc_buf){.max = 4096};
    s->over = false;
    s->q = (struct sc_http_request){
        .url = s->url.p,
        .with_token = true,
        .body = &s->body,
        .error_body = &s->error_body,
        .expect_total = w->bytes,
        .expect_etag = w->etag,
        .expect_commit = s->pump->job->listing->commit,
    };
    return sc_http_submit(s->pump->http, &s->q, received, s, e);
}

static int start(struct pump *p, struct slot *s, struct sc_fetch_task *t, int lock,
                 struct sc_error *e)
{
    bool there = false;

    s->pump = p;
    s->task = t;
    s->lock = lock;
    s->expired = s->mismatched = 0;
    p->busy++;
    int code = sc_fetch_from_blob(p->job, t->item->file, &there, e);
    if (code < 0 || there)
        goto end;
    if (!p->http && (code = sc_fetch_http(p->job, &p->http, e)) < 0)
        goto end;
    sc_hub_file_url(&s->url, p->job->hub, p->job->listing, t->item->file->path);
    code = s->url.failed ? sc_fail_memory(e) : submit(s, e);
    if (code == 0)
        return 0;
end:
    free_slot(s);
    sc_fetch_release(p->job, t, lock, code, e);
    return code;
}

/* 1: ask once more. */
static int judge(struct slot *s, struct sc_error *e)
{
    struct sc_fetch_job *j = s->pump->job;
    const struct sc_hub_file *w = s->task->item->file;
    enum sc_sha_kind kind = SC_SHA256;
    char hex[65] = "";

    TRY(sc_http_wait(s->pump->http, &s->q, e));
    if (s->q.reply.status < 200 || s->q.reply.status > 299) {
        if (sc_fetch_expired(&s->q, s->url.p) && ++s->expired < TRIES)
            return 1;
        return sc_fetch_explain(j, &s->q.reply, &s->error_body, w, e);
    }
    if (s->body.failed)
        return sc_fail_memory(e);
    sc_fetch_received(j, s->task, s->body.n);
    (void)sc_sha_kind_of(w->etag, &kind);
    TRY(sc_sha_of(kind, s->body.p, s->body.n, hex, e));
    if (strcmp(hex, w->etag) == 0)
        return sc_fetch_place_bytes(j, w, s->body.p, s->body.n, e);
    sc_fetch_count(j, s->task, 0);
    return ++s->mismatched < 2 ? 1 : sc_fetch_mismatch(w, hex, e);
}

static void finish(struct slot *s)
{
    struct sc_error e = {0};
    struct sc_fetch_job *j = s->pump->job;
    struct sc_fetch_task *t = s->task;
    int lock = s->lock, code = judge(s, &e);

    sc_http_request_clear(s->pump->http, &s->q);
    if (code == 1 && (code = submit(s, &e)) == 0)
        return;
    free_slot(s);
    sc_fetch_release(j, t, lock, code, &e);
}

/* As many as there are slots. True: there may be more to do later. */
static bool fill(struct pump *p)
{
    struct sc_fetch_task *t = NULL;
    struct sc_error e = {0};
    int lock = -1;

    while (p->busy < p->job->at_once) {
        enum sc_fetch_claim claim =
            sc_fetch_claim(p->job, SC_FETCH_SMALLS, p->busy == 0, &t, &lock);
        if (claim != SC_CLAIM_GOT)
            return claim == SC_CLAIM_LATER;
        struct slot *s = p->slots;
        while (s->task)
            s++;
        if (start(p, s, t, lock, &e) < 0)
            return false;
    }
    return true;
}

static void finish_some(struct pump *p)
{
    pthread_mutex_lock(&p->lock);
    bool any = false;
    for (size_t i = 0; i < SC_FETCH_AT_ONCE; i++)
        any |= p->slots[i].task && p->slots[i].over;
    if (!any)
        sc_fetch_wait(&p->moved, &p->lock, 100);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < SC_FETCH_AT_ONCE; i++) {
        pthread_mutex_lock(&p->lock);
        bool over = p->slots[i].task && p->slots[i].over;
        pthread_mutex_unlock(&p->lock);
        if (over)
            finish(&p->slots[i]);
    }
}

/* Requests that nobody wants any more. */
static void stop_all(struct pump *p)
{
    struct sc_error e = {0};

    for (size_t i = 0; i < SC_FETCH_AT_ONCE; i++) {
        struct slot *s = &p->slots[i];
        if (!s->task)
            continue;
        struct sc_fetch_task *t = s->task;
        int lock = s->lock;
        sc_http_request_clear(p->http, &s->q);
        free_slot(s);
        sc_fail(&e, p->job->stop, "stopped");
        sc_fetch_release(p->job, t, lock, e.code, &e);
    }
}

void *sc_fetch_smalls(void *job)
{
    struct sc_fetch_job *j = job;
    struct pump *p = sc_calloc(1, sizeof *p);
    struct sc_error e = {0};

    if (!p || pthread_mutex_init(&p->lock, NULL) != 0) {
        sc_fail_memory(&e);
        (void)sc_fetch_fail(j, &e);
        free(p);
        return NULL;
    }
    p->job = j;
    if (sc_fetch_cond(&p->moved) < 0) {
        sc_fail_memory(&e);
        (void)sc_fetch_fail(j, &e);
    } else {
        while ((fill(p) || p->busy) && !sc_fetch_stopped(j))
            if (p->busy)
                finish_some(p);
        stop_all(p);
        pthread_cond_destroy(&p->moved);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}
