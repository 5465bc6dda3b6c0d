/* SPDX-License-Identifier: Apache-2.0 */
/* remote_fetch: the requests that fill extents.
 *
 * Owns: where a request goes (the first URL, or the signed one that it led to), what its answer
 * must agree with, what happens when it comes, and the words for when it does not.
 *
 * One question for the way: while the first URL is being asked, everybody else's extents are held,
 * and go to the signed URL as soon as it is known. So one file costs one resolve request, however
 * many spans are wanted at once. Where there is no signed URL, nothing is held after the first
 * answer.
 *
 * An answer is looked at on the engine's thread (on_done), under the lock. A request cannot be
 * freed there: it is put on the list of the retired, which the next caller empties. */
#include "source/remote_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPIRES_EARLY 60 /* seconds before its end from which a signature is not used any more */

/* ---------------------------------------------------------------------------------- lives --- */

void sc_remote_unref_fetch(struct sc_remote *r, struct fetch *f)
{
    if (--f->refs > 0)
        return;
    f->next_retired = r->retired;
    r->retired = f;
}

static void free_fetch(struct fetch *f)
{
    if (!f->cleared)
        sc_http_request_clear(f->r->http, &f->q);
    free(f->url);
    free(f);
}

void sc_remote_reap(struct sc_remote *r)
{
    pthread_mutex_lock(&r->lock);
    struct fetch *f = r->retired;
    r->retired = NULL;
    pthread_mutex_unlock(&r->lock);
    while (f) {
        struct fetch *next = f->next_retired;
        free_fetch(f);
        f = next;
    }
}

static void set_fetch(struct sc_remote *r, struct extent *x, struct fetch *f)
{
    struct fetch *old = x->fetch;
    if (f)
        f->refs++;
    x->fetch = f;
    if (old)
        sc_remote_unref_fetch(r, old);
}

static void fail_extent(struct sc_remote *r, struct extent *x, struct fetch *why)
{
    set_fetch(r, x, why);
    x->state = EXTENT_FAILED;
}

/* ------------------------------------------------------------------------------ the answer --- */

static bool covers_all(const struct sc_remote *r, const struct extent *x)
{
    return x->off == 0 && x->len == r->size;
}

static uint64_t received(const struct fetch *f)
{
    return f->q.reply.received;
}

/* Is the answer what was asked for? Sets f->changed where it is about other bytes. */
static bool is_good(const struct sc_remote *r, struct fetch *f)
{
    const struct sc_http_reply *reply = &f->q.reply;
    if (f->q.result < 0) {
        f->changed = f->q.result == SCRUPLE_ELIMIT; /* longer than it was said to be */
        return false;
    }
    if (reply->status == 416) {
        f->changed = r->size != UINT64_MAX; /* it had these bytes before */
        return false;
    }
    if (reply->status != 200 && reply->status != 206)
        return false;
    uint64_t want = f->x->len;
    if (r->size == UINT64_MAX) /* a total that is not said is dealt with when opening */
        want = reply->total == UINT64_MAX ? received(f) : SC_MIN(want, reply->total);
    f->changed = received(f) != want; /* a whole file of another length */
    return !f->changed;
}

static void copy_text(char *to, size_t room, const char *from)
{
    size_t n = strlen(from);
    if (n < room)
        memcpy(to, from, n + 1);
}

/* The first answer says what the object is. What the caller said, goes. */
static void pin(struct sc_remote *r, const struct sc_http_reply *reply)
{
    const char *etag = *reply->linked_etag ? reply->linked_etag : reply->etag;
    r->pinned = true;
    r->facts.size = r->size != UINT64_MAX ? r->size : reply->total;
    copy_text(r->facts.etag, sizeof r->facts.etag, etag);
    copy_text(r->facts.commit, sizeof r->facts.commit, reply->commit);
    if (!*r->commit)
        copy_text(r->commit, sizeof r->commit, reply->commit);
    if (!*r->etag) {
        copy_text(r->etag, sizeof r->etag, etag);
        r->etag_is_body = !*reply->linked_etag && reply->hops > 0;
    }
}

/* Where did the first URL lead to, and for how long? */
static void learn_route(struct sc_remote *r, const struct sc_http_reply *reply)
{
    bool elsewhere = reply->url && !sc_http_same_origin(reply->url, r->url);
    uint64_t soon = (uint64_t)time(NULL) + EXPIRES_EARLY;
    char *copy = NULL;
    if (elsewhere && reply->expires > soon)
        copy = sc_str_copy(sc_strz(reply->url));
    free(r->direct_url);
    r->direct_url = copy;
    r->direct_expires = reply->expires;
    memcpy(r->direct_etag, reply->etag, sizeof r->direct_etag);
    r->route = copy ? ROUTE_SIGNED : ROUTE_PLAIN;
}

static void learn(struct sc_remote *r, const struct fetch *f)
{
    const struct sc_http_reply *reply = &f->q.reply;
    if (!r->pinned)
        pin(r, reply);
    if (f->q.ranged && reply->status == 200 && !reply->partial)
        r->no_ranges = true;
    if (!f->direct)
        learn_route(r, reply);
}

/* All that are held; what is held from now on is another list. */
static struct extent *take_held(struct sc_remote *r)
{
    struct extent *list = r->held;
    r->held = NULL;
    r->held_end = &r->held;
    return list;
}

static struct extent *next_held(struct extent **list)
{
    struct extent *x = *list;
    *list = x->next_held;
    x->next_held = NULL;
    return x;
}

static void release_held(struct sc_remote *r)
{
    struct extent *list = take_held(r);
    while (list)
        sc_remote_start(r, next_held(&list));
}

/* What stopped the leader would stop them, too. */
static void fail_held(struct sc_remote *r, struct fetch *why)
{
    struct extent *list = take_held(r);
    while (list)
        fail_extent(r, next_held(&list), why);
}

/* Did the signature end? Even a new one may be refused once, where clocks differ. */
static bool is_refused(const struct sc_remote *r, const struct fetch *f)
{
    const struct sc_http_reply *reply = &f->q.reply;
    if (f->q.result < 0)
        return false;
    if (f->direct)
        return reply->status == 400 || reply->status == 401 || reply->status == 403;
    return reply->status == 403 && reply->url && !sc_http_same_origin(reply->url, r->url);
}

static void forget_direct(struct sc_remote *r, const struct fetch *f)
{
    if (f->direct && r->direct_url && strcmp(r->direct_url, f->url) == 0) {
        free(r->direct_url);
        r->direct_url = NULL;
    }
}

static void arrive(struct sc_remote *r, struct extent *x, const struct fetch *f)
{
    uint64_t n = received(f);
    x->state = EXTENT_HERE;
    if (!x->listed)
        return;
    r->cost -= x->len - n; /* less only where the size was not known */
    x->len = n;
    if (r->store.save && n > 0) {
        x->fresh = true;
        r->n_fresh++;
    }
}

static void finish(struct sc_remote *r, struct fetch *f)
{
    struct extent *x = f->x;
    if (is_refused(r, f) && !x->again && !x->abandoned && !r->closing) {
        x->again = true;
        forget_direct(r, f);
        if (r->leader == f)
            r->leader = NULL;
        sc_remote_start(r, x);
        return;
    }
    bool led = r->leader == f, good = is_good(r, f), abandoned = x->abandoned;
    if (led)
        r->leader = NULL;
    if (good) {
        learn(r, f);
        arrive(r, x, f);
    } else {
        x->state = EXTENT_FAILED;
    }
    if (led && (good || abandoned))
        release_held(r);
    else if (led)
        fail_held(r, f);
    if (good)
        set_fetch(r, x, NULL);
}

static void on_done(void *ctx, struct sc_http_request *q)
{
    struct fetch *f = ctx;
    struct sc_remote *r = f->r;
    (void)q;
    pthread_mutex_lock(&r->lock);
    finish(r, f);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* ----------------------------------------------------------------------------- the question --- */

static const char *text_or_null(const char *s)
{
    return *s ? s : NULL;
}

static void expect(struct sc_remote *r, struct fetch *f)
{
    struct sc_http_request *q = &f->q;
    q->expect_total = r->size;
    if (f->direct) {
        memcpy(f->body_etag, r->direct_etag, sizeof f->body_etag);
        q->expect_body_etag = text_or_null(f->body_etag);
        return;
    }
    q->expect_commit = text_or_null(r->commit);
    if (r->etag_is_body)
        q->expect_body_etag = text_or_null(r->etag);
    else
        q->expect_etag = text_or_null(r->etag);
}

static struct fetch *new_fetch(struct sc_remote *r, struct extent *x, bool direct)
{
    struct fetch *f = sc_calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->r = r;
    f->x = x;
    f->direct = direct;
    if (direct && !(f->url = sc_str_copy(sc_strz(r->direct_url)))) {
        free(f);
        return NULL;
    }
    struct sc_http_request *q = &f->q;
    q->url = direct ? f->url : r->url;
    q->with_token = r->with_token && !direct;
    q->ranged = !covers_all(r, x);
    q->offset = x->off;
    q->length = x->len;
    q->dst = x->bytes;
    expect(r, f);
    return f;
}

static bool direct_is_good(const struct sc_remote *r)
{
    return r->direct_url && r->direct_expires > (uint64_t)time(NULL) + EXPIRES_EARLY;
}

static void hold(struct sc_remote *r, struct extent *x)
{
    set_fetch(r, x, NULL);
    x->state = EXTENT_HELD;
    *r->held_end = x;
    r->held_end = &x->next_held;
}

void sc_remote_start(struct sc_remote *r, struct extent *x)
{
    if (r->closing) {
        fail_extent(r, x, NULL);
        return;
    }
    bool direct = direct_is_good(r);
    bool asks_way = !direct && r->route != ROUTE_PLAIN;
    if (asks_way && r->leader) {
        hold(r, x);
        return;
    }
    struct fetch *f = new_fetch(r, x, direct);
    set_fetch(r, x, f);
    if (!f) {
        x->state = EXTENT_FAILED;
        return;
    }
    x->state = EXTENT_MOVING;
    r->asked = true;
    if (asks_way)
        r->leader = f;
    if (sc_http_submit(r->http, &f->q, on_done, f, NULL) < 0) {
        if (asks_way)
            r->leader = NULL;
        fail_extent(r, x, NULL);
    }
}

/* -------------------------------------------------------------------------------- the wait --- */

void sc_remote_wait(struct sc_remote *r, struct extent *x)
{
    while (x->state == EXTENT_HELD || x->state == EXTENT_MOVING)
        pthread_cond_wait(&r->changed, &r->lock);
}

static void unhold(struct sc_remote *r, struct extent *x)
{
    struct extent **at = &r->held;
    while (*at != x)
        at = &(*at)->next_held;
    *at = x->next_held;
    if (r->held_end == &x->next_held)
        r->held_end = at;
    x->next_held = NULL;
    fail_extent(r, x, NULL);
}

void sc_remote_stop(struct sc_remote *r, struct extent *x)
{
    x->abandoned = true;
    if (x->state == EXTENT_HELD)
        unhold(r, x);
    if (x->state != EXTENT_MOVING)
        return;
    struct fetch *f = x->fetch;
    f->refs++;
    f->cleared = true;
    pthread_mutex_unlock(&r->lock);
    sc_http_request_clear(r->http, &f->q); /* calls on_done, if it has not been called */
    pthread_mutex_lock(&r->lock);
    sc_remote_wait(r, x);
    sc_remote_unref_fetch(r, f);
}

/* --------------------------------------------------------------------------------- words --- */

/* `detail`: what the engine says of it, or NULL. */
static int fail_changed(const struct sc_remote *r, const char *detail, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail(e, SCRUPLE_EIO, "%s: %s (try again)", sc_quote_path(&q, r->name),
                   detail ? detail : "was changed while being read: its size is another one");
}

/* There is no answer that can be used, and the engine has said why of a URL. */
static int fail_transport(const struct sc_remote *r, int rc, const struct sc_error *why,
                          struct sc_error *e)
{
    struct sc_quoted q;
    const char *changed = strstr(why->text, "was changed while being read");
    if (rc == SCRUPLE_EIO && changed)
        return fail_changed(r, changed, e);
    if (e) {
        *e = *why;
        sc_error_prefix(e, "%s", sc_quote_path(&q, r->name));
    }
    return rc;
}

static int fail_answer(struct sc_remote *r, const struct sc_http_reply *reply, struct sc_error *e)
{
    struct sc_quoted q;
    if (reply->status >= 200 && reply->status < 400)
        return sc_fail(e, SCRUPLE_ENETWORK,
                       "%s: the server answered %d where the bytes of a file were expected (is the "
                       "URL right?)",
                       sc_quote_path(&q, r->name), reply->status);
    if (r->explain)
        return r->explain(r->explain_ctx, reply, r->name, e);
    return sc_http_fail_status(reply, r->name, e);
}

int sc_remote_fail(struct sc_remote *r, struct extent *x, struct sc_error *e)
{
    struct fetch *f = x->fetch;
    if (!f)
        return sc_fail_memory(e);
    f->refs++;
    pthread_mutex_unlock(&r->lock);
    struct sc_error why = {0};
    int rc = sc_http_wait(r->http, &f->q, &why); /* it is done; this is for the words */
    if (f->changed)
        rc = fail_changed(r, NULL, e);
    else if (rc < 0)
        rc = fail_transport(r, rc, &why, e);
    else
        rc = fail_answer(r, &f->q.reply, e);
    pthread_mutex_lock(&r->lock);
    sc_remote_unref_fetch(r, f);
    return rc;
}
