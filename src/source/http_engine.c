/* SPDX-License-Identifier: Apache-2.0 */
/* http_engine: the thread. It owns the multi handle, all queues and all timers; other threads only
 * put jobs into the inbox, set flags and wait.
 *
 *     inbox --> queue of an origin --> running --> finished
 *                  ^          ^           |
 *                  |          +- redirect, rest, pause
 *                  +- sleeping <- failure-+
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "source/http_internal.h"

uint64_t sc_http_unix_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec;
}

void sc_http_say(struct sc_http *h, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sc_note_v(h->o.note, h->o.note_ctx, fmt, ap);
    va_end(ap);
}

/* ---------------------------------------------------------------------------------- lists --- */

static void list_drop(struct sc_http_job *j)
{
    struct sc_http_list *l = j->list;
    if (!l)
        return;
    if (l == &j->h->running)
        j->origin->running--;
    *(j->prev ? &j->prev->next : &l->first) = j->next;
    *(j->next ? &j->next->prev : &l->last) = j->prev;
    l->n--;
    j->prev = j->next = NULL;
    j->list = NULL;
}

/* Behind `before`, which is in l (NULL: in front of all). j is in no list. */
static void list_insert(struct sc_http_list *l, struct sc_http_job *j, struct sc_http_job *before)
{
    j->list = l;
    j->prev = before;
    j->next = before ? before->next : l->first;
    *(j->prev ? &j->prev->next : &l->first) = j;
    *(j->next ? &j->next->prev : &l->last) = j;
    l->n++;
}

void sc_http_list_push(struct sc_http_list *l, struct sc_http_job *j)
{
    list_drop(j);
    list_insert(l, j, l->last);
}

/* -------------------------------------------------------------------------------- finished --- */

void sc_http_job_free(struct sc_http_job *j)
{
    pthread_cond_destroy(&j->change);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static void fill_reply(struct sc_http_job *j, int code)
{
    struct sc_http_reply *r = &j->q->reply;

    j->q->result = code;
    r->url = j->place.url;
    r->expires = sc_http_url_expires(r->url);
    if (j->a.next && code == 0) {
        struct sc_http_place next;
        if (sc_http_place_parse(j->place.url, j->a.next, &next, NULL) == 0)
            r->next = next.url;
    }
    j->place.url = NULL;
    sc_http_answer_clear(&j->a);
}

void sc_http_finish(struct sc_http_job *j, int code)
{
    struct sc_http *h = j->h;

    sc_http_exchange_end(j);
    list_drop(j);
    fill_reply(j, code);
    h->calling = j;
    if (j->done)
        j->done(j->done_ctx, j->q);
    h->calling = NULL;
    if (j->orphan) {
        sc_http_job_free(j);
        return;
    }
    pthread_mutex_lock(&j->lock);
    j->finished = true;
    pthread_cond_broadcast(&j->change);
    pthread_mutex_unlock(&j->lock);
}

static void interrupt(struct sc_http_job *j)
{
    struct sc_quoted q;
    sc_fail(&j->error, SCRUPLE_EINTERRUPTED, "%s: interrupted",
            sc_http_safe_url(&q, j->place.url ? j->place.url : j->q->url));
    sc_http_finish(j, SCRUPLE_EINTERRUPTED);
}

static void interrupt_list(struct sc_http_list *l, bool all)
{
    struct sc_http_job *next;
    for (struct sc_http_job *j = l->first; j; j = next) {
        next = j->next;
        if (all || atomic_load(&j->abort))
            interrupt(j);
    }
}

/* All jobs, or those that somebody does not want any more. */
static void interrupt_jobs(struct sc_http *h, bool all)
{
    interrupt_list(&h->running, all);
    interrupt_list(&h->sleeping, all);
    for (struct sc_http_origin *o = h->origins; o; o = o->next)
        interrupt_list(&o->queue, all);
}

/* --------------------------------------------------------------------------------- queues --- */

static struct sc_http_origin *find_origin(struct sc_http *h, const char *name)
{
    struct sc_http_origin *o = h->origins;
    while (o && strcmp(o->name, name) != 0)
        o = o->next;
    if (o)
        return o;
    o = sc_calloc(1, sizeof *o);
    if (!o)
        return NULL;
    memcpy(o->name, name, strlen(name) + 1);
    o->most = UINT_MAX;
    o->next = h->origins;
    h->origins = o;
    return o;
}

int sc_http_queue(struct sc_http_job *j, struct sc_error *e)
{
    struct sc_http_origin *o = find_origin(j->h, j->place.origin);
    list_drop(j); /* counts with the origin that it leaves */
    if (!o)
        return sc_fail_memory(e);
    j->origin = o;
    struct sc_http_job *before = o->queue.last;
    while (before && before->number > j->number)
        before = before->prev;
    list_insert(&o->queue, j, before);
    return 0;
}

static void admit(struct sc_http_job *j)
{
    struct sc_http_request *q = j->q;
    struct sc_error *e = &j->error;
    uint64_t end;
    int code = 0;

    j->number = j->h->admitted++;
    if (atomic_load(&j->abort)) { /* in the inbox it was not seen by interrupt_jobs() */
        interrupt(j);
        return;
    }
    if (q->ranged && (!q->length || !sc_add(q->offset, q->length, &end)))
        code = sc_fail(e, SCRUPLE_EUSAGE, "an empty or endless range of bytes was asked for");
    if (code == 0)
        code = sc_http_place_parse(NULL, q->url, &j->place, e);
    if (code == 0)
        code = sc_http_queue(j, e);
    if (code < 0)
        sc_http_finish(j, code);
}

/* false: the engine stops. */
static bool take_inbox(struct sc_http *h)
{
    struct sc_http_list jobs;

    pthread_mutex_lock(&h->lock);
    const bool stopping = h->stopping;
    jobs = h->inbox;
    h->inbox = (struct sc_http_list){0};
    pthread_mutex_unlock(&h->lock);
    for (struct sc_http_job *j = jobs.first, *next; j; j = next) {
        next = j->next;
        j->list = NULL;
        j->prev = j->next = NULL;
        if (stopping)
            interrupt(j);
        else
            admit(j);
    }
    return !stopping;
}

static bool has_mail(struct sc_http *h)
{
    pthread_mutex_lock(&h->lock);
    const bool any = h->inbox.n > 0;
    pthread_mutex_unlock(&h->lock);
    if (any)
        take_inbox(h);
    return any;
}

static void start(struct sc_http *h, struct sc_http_job *j)
{
    sc_http_list_push(&h->running, j);
    j->origin->running++;
    const int code = sc_http_exchange_start(j, &j->error);
    if (code < 0)
        sc_http_finish(j, code);
}

static bool may_start(struct sc_http *h, struct sc_http_origin *o, uint64_t now)
{
    if (!o->queue.first || o->paused_until > now)
        return false;
    if (o->limit_until <= now)
        o->most = UINT_MAX;
    return o->running < o->most && h->running.n < h->o.connections;
}

/* Origins take turns, so that one with a long queue does not starve another. */
static void start_waiting(struct sc_http *h, uint64_t now)
{
    bool any = true;
    while (any && h->running.n < h->o.connections) {
        any = false;
        for (struct sc_http_origin *o = h->origins; o; o = o->next)
            if (may_start(h, o, now)) {
                start(h, o->queue.first);
                any = true;
            }
    }
}

static void wake_sleepers(struct sc_http *h, uint64_t now)
{
    struct sc_http_job *next;
    for (struct sc_http_job *j = h->sleeping.first; j; j = next) {
        next = j->next;
        if (j->wake <= now && sc_http_queue(j, &j->error) < 0)
            sc_http_finish(j, j->error.code);
    }
}

/* "rate limited by https://...: waiting 12 s", at the beginning and then each 10 s. */
static void tell_pauses(struct sc_http *h, uint64_t now)
{
    for (struct sc_http_origin *o = h->origins; o; o = o->next) {
        if (!o->queue.first || o->paused_until <= now || o->next_note > now)
            continue;
        o->next_note = now + 10000;
        sc_http_say(h, "rate limited by %s: waiting %u s", o->name,
                    (unsigned)((o->paused_until - now + 999) / 1000));
    }
}

/* ------------------------------------------------------------------------------- exchanges --- */

static void go_on(struct sc_http_job *j)
{
    sc_http_exchange_end(j);
    if (sc_http_queue(j, &j->error) < 0)
        sc_http_finish(j, j->error.code);
}

static void follow(struct sc_http_job *j)
{
    const int code = sc_http_follow(j, &j->error);
    j->fresh = false;
    if (code < 0)
        sc_http_finish(j, code);
    else
        go_on(j);
}

/* After a resumed read of unknown length: nothing was missing. */
static bool ended_before(struct sc_http_job *j)
{
    if (j->a.status != 416 || !j->delivered || !j->a.unsatisfied || j->a.total != j->begin)
        return false;
    j->q->reply.status = j->q->ranged ? 206 : 200;
    return true;
}

/* A success whose body has come to an end, though perhaps not to the one that was asked for. */
static void after_body(struct sc_http_job *j)
{
    if (j->whole && !j->closed && j->total == UINT64_MAX && !j->q->head)
        j->total = j->q->reply.total = j->got;
    if (sc_http_complete(j)) {
        sc_http_finish(j, 0);
    } else if (j->q->reply.partial && j->left == 0 && j->exchanges < SC_HTTP_MAX_EXCHANGES) {
        j->fresh = false; /* honest, but shorter than asked: the rest, at once */
        go_on(j);
    } else {
        sc_http_after_break(j, CURLE_PARTIAL_FILE);
    }
}

static void after_exchange(struct sc_http_job *j, CURLcode code)
{
    if (j->code < 0) {
        sc_http_finish(j, j->code);
        return;
    }
    sc_http_note_limits(j);
    if (j->judged && j->follow)
        follow(j);
    else if (j->judged && j->a.status == 407)
        sc_http_after_proxy(j);
    else if (j->judged && sc_http_is_transient(j->a.status))
        sc_http_after_status(j);
    else if (j->closed)
        after_body(j);
    else if (code != CURLE_OK)
        sc_http_after_break(j, code);
    else if (!j->judged)
        sc_http_after_break(j, CURLE_GOT_NOTHING);
    else if (ended_before(j))
        sc_http_finish(j, 0);
    else
        after_body(j);
}

static void collect(struct sc_http *h)
{
    CURLMsg *m;
    int left;
    while ((m = h->c->multi_info_read(h->multi, &left))) {
        char *job = NULL;
        const CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        h->c->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &job);
        after_exchange((struct sc_http_job *)(void *)job, code);
    }
}

/* Deadlines. In front of the first byte it counts from when the request was sent; after it, each
 * stall_ms must bring 1 KB/s. */
static void check_time(struct sc_http_job *j, uint64_t now)
{
    struct sc_http *h = j->h;
    double sent = 0;

    if (now < j->deadline)
        return;
    if (!j->judged) {
        h->c->easy_getinfo(j->easy, CURLINFO_PRETRANSFER_TIME, &sent);
        j->deadline =
            j->started + (sent > 0 ? (uint64_t)(sent * 1000) : h->o.connect_ms) + h->o.answer_ms;
        if (now >= j->deadline)
            sc_http_after_timeout(j);
    } else if (j->got - j->mark < h->o.stall_ms) {
        sc_http_after_timeout(j);
    } else {
        j->mark = j->got;
        j->deadline = now + h->o.stall_ms;
    }
}

static void check_times(struct sc_http *h, uint64_t now)
{
    struct sc_http_job *next;
    for (struct sc_http_job *j = h->running.first; j; j = next) {
        next = j->next;
        check_time(j, now);
    }
}

/* ----------------------------------------------------------------------------------- loop --- */

static bool has_jobs(const struct sc_http *h)
{
    if (h->running.n || h->sleeping.n)
        return true;
    for (const struct sc_http_origin *o = h->origins; o; o = o->next)
        if (o->queue.n)
            return true;
    return false;
}

/* ms until something is due that libcurl does not know of. */
static int next_step(struct sc_http *h, uint64_t now)
{
    uint64_t at = now + 60000;

    if (h->o.cancel && has_jobs(h))
        at = now + SC_HTTP_STEP_MS;
    for (const struct sc_http_job *j = h->running.first; j; j = j->next)
        at = SC_MIN(at, j->deadline);
    for (const struct sc_http_job *j = h->sleeping.first; j; j = j->next)
        at = SC_MIN(at, j->wake);
    for (struct sc_http_origin *o = h->origins; o; o = o->next) {
        if (!o->queue.first)
            continue;
        if (may_start(h, o, now))
            return 0;
        if (o->paused_until > now)
            at = SC_MIN(at, SC_MIN(o->paused_until, o->next_note));
        else if (o->most != UINT_MAX)
            at = SC_MIN(at, o->limit_until);
    }
    return at <= now ? 0 : (int)(at - now);
}

static bool is_cancelled(const struct sc_http *h)
{
    return h->o.cancel && atomic_load(h->o.cancel);
}

static void step(struct sc_http *h)
{
    const uint64_t now = sc_milliseconds();
    int going;

    if (atomic_exchange(&h->aborts, false))
        interrupt_jobs(h, false);
    if (is_cancelled(h))
        interrupt_jobs(h, true);
    wake_sleepers(h, now);
    start_waiting(h, now);
    tell_pauses(h, now);
    h->c->multi_perform(h->multi, &going);
    collect(h);
    check_times(h, now);
}

void *sc_http_thread(void *ctx)
{
    struct sc_http *h = ctx;
    while (take_inbox(h)) {
        step(h);
        const int ms = next_step(h, sc_milliseconds());
        if (ms > 0)
            h->c->multi_poll(h->multi, NULL, 0, ms, NULL);
    }
    /* What callbacks hand over now is interrupted as well. */
    do
        interrupt_jobs(h, true);
    while (has_mail(h));
    return NULL;
}
