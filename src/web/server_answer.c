/* SPDX-License-Identifier: Apache-2.0 */
/* server_answer: from a request to an answer.
 *
 * A document is made in memory and sent with its length; tiles that are exact, and the plan, are
 * kept. Only events have no end: their reader waits until there is something to say. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "web/page.h"
#include "web/server.h"

enum {
    PATIENCE_MS = 60,   /* for values that are elsewhere */
    MOST_HEAVY = 8,     /* answers at once that may take seconds of work, */
    MOST_VALUES = 16,   /* and that may wait for a network */
    MOST_TILES = 16,    /* being made at once */
    MOST_EVENTS = 16,   /* streams at once */
    EVENT_MS = 250,     /* between two events, at least */
    SIGN_OF_LIFE = 20,  /* of these without an event */
    MOST_FOUND = 10000, /* tensors of a search */
};
#define MOST_BYTES ((size_t)1 << 30) /* of a document */

/* --------------------------------------------------------------------------------- sending --- */

static enum MHD_Result send_body(struct sc_web_server *s, struct MHD_Connection *connection,
                                 unsigned status, const char *type, const char *caching,
                                 struct sc_body *b)
{
    const struct sc_microhttpd *http = s->http;
    struct MHD_Response *r =
        b ? http->create_response_from_buffer_with_free_callback_cls(b->n, b->p, sc_body_leave, b)
          : NULL;
    if (!r) {
        sc_body_leave(b);
        return MHD_NO;
    }
    http->add_response_header(r, "Content-Type", type);
    http->add_response_header(r, "Cache-Control", caching);
    http->add_response_header(r, "X-Content-Type-Options", "nosniff");
    http->add_response_header(r, "Referrer-Policy", "no-referrer");
    http->add_response_header(r, "Cross-Origin-Resource-Policy", "same-origin");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        http->add_response_header(r, "Allow", "GET, HEAD");
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        http->add_response_header(r, "Retry-After", "1");
    if (s->policy.p && strncmp(type, "text/html", 9) == 0)
        http->add_response_header(r, "Content-Security-Policy", s->policy.p);
    else
        http->add_response_header(r, "Content-Security-Policy", "default-src 'none'");
    const enum MHD_Result done = http->queue_response(connection, status, r);
    http->destroy_response(r);
    return done;
}

static int put_buf(void *ctx, const char *p, size_t n)
{
    struct sc_buf *b = ctx;
    sc_buf_put(b, p, n);
    return b->failed ? SCRUPLE_EMEMORY : 0;
}

/* What was written, as a body; NULL: no memory. */
static struct sc_body *take_body(struct sc_buf *b, int status)
{
    struct sc_body *body = NULL;
    if (status == 0 && !b->failed && b->p) {
        body = sc_body_new(b->p, b->n);
        *b = (struct sc_buf){0};
    }
    sc_buf_clear(b);
    return body;
}

static const char json[] = "application/json; charset=utf-8", fresh[] = "no-store";

enum MHD_Result sc_web_refuse(struct sc_web_server *s, struct MHD_Connection *connection,
                              unsigned status, const char *sentence)
{
    struct sc_buf b = {0};
    struct sc_out o = {.write = put_buf, .ctx = &b};
    sc_out_puts(&o, "{\"error\": ");
    sc_out_json_text(&o, sc_strz(sentence), false);
    sc_out_puts(&o, "}\n");
    return send_body(s, connection, status, json, fresh, take_body(&b, sc_out_finish(&o)));
}

static enum MHD_Result refuse_error(struct sc_web_server *s, struct MHD_Connection *connection,
                                    const struct sc_error *e)
{
    unsigned status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    if (e->code == SCRUPLE_EUSAGE)
        status = MHD_HTTP_BAD_REQUEST;
    else if (e->code == SCRUPLE_EINTERRUPTED || e->code == SCRUPLE_EMEMORY)
        status = MHD_HTTP_SERVICE_UNAVAILABLE;
    return sc_web_refuse(s, connection, status, e->text[0] ? e->text : sc_code_text(e->code));
}

/* ------------------------------------------------------------------------------- documents --- */

static struct sc_body *body_of(const void *p, size_t n)
{
    void *copy = sc_alloc(n);
    if (copy)
        memcpy(copy, p, n);
    return copy ? sc_body_new(copy, n) : NULL;
}

int sc_web_prepare(struct sc_web_server *s, struct sc_error *e)
{
    struct sc_buf page = {0}, text = {0};
    struct sc_out o = {.write = put_buf, .ctx = &text};
    const char *title = s->o->title ? s->o->title : s->views[0].title;
    const int code = sc_web_page(title, &page, &s->policy, e);
    s->page = take_body(&page, code);
    TRY(code);
    sc_web_colours(&o);
    s->colours = take_body(&text, sc_out_finish(&o));
    o = (struct sc_out){.write = put_buf, .ctx = &text};
    sc_web_views(&o, "live", title, s->o->start, s->views, s->n_views);
    s->view = take_body(&text, sc_out_finish(&o));
    return s->page && s->colours && s->view ? 0 : sc_fail_memory(e);
}

/* The plan does not change, and may have megabytes: it is made once, and who comes meanwhile waits
 * for it. */
struct sc_body *sc_web_scene(struct sc_web_server *s, uint32_t view)
{
    struct sc_buf text = {.max = MOST_BYTES};
    struct sc_out o = {.write = put_buf, .ctx = &text};
    pthread_mutex_lock(&s->planning);
    struct sc_body *b = s->scenes[view];
    if (!b) {
        s->views[view].kind->scene(s->views[view].ctx, &o, false);
        b = s->scenes[view] = take_body(&text, sc_out_finish(&o));
    }
    b = b ? sc_body_use(b) : NULL;
    pthread_mutex_unlock(&s->planning);
    return b;
}

static enum MHD_Result answer_asset(struct sc_web_server *s, struct MHD_Connection *connection,
                                    const char *name)
{
    const struct sc_web_asset *a = sc_web_asset_find(name);
    if (!a)
        return sc_web_refuse(s, connection, MHD_HTTP_NOT_FOUND, "there is no such file");
    return send_body(s, connection, MHD_HTTP_OK, sc_web_type_of(name), "no-cache",
                     body_of(a->p, a->n));
}

/* ----------------------------------------------------------------------------------- tiles --- */

/* A body of its own size. */
static struct sc_body *body_of_tile(const struct sc_tile *t, uint64_t epoch)
{
    const size_t most = t->bf16 ? SC_TILE_BODY / 2 + 16 : SC_TILE_BODY;
    uint8_t *p = sc_alloc(most);
    if (!p)
        return NULL;
    const size_t n = sc_tile_body(t, epoch, p);
    void *less = n < most / 2 ? realloc(p, n) : NULL;
    return sc_body_new(less ? less : p, n);
}

void sc_web_work_free(struct sc_web_work *list)
{
    while (list) {
        struct sc_web_work *next = list->next;
        free(list);
        list = next;
    }
}

/* A tile takes some megabytes while it is made: so many at once, the others wait. Its pixels are
 * those of an earlier one, since fresh memory would cost as much as filling it. NULL: none. */
static struct sc_web_work *begin_tile(struct sc_web_server *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->n_tiles >= MOST_TILES)
        pthread_cond_wait(&s->tile_done, &s->lock);
    s->n_tiles++;
    struct sc_web_work *w = s->idle;
    if (w)
        s->idle = w->next;
    pthread_mutex_unlock(&s->lock);
    return w ? w : sc_alloc(sizeof *w);
}

static void end_tile(struct sc_web_server *s, struct sc_web_work *w)
{
    pthread_mutex_lock(&s->lock);
    s->n_tiles--;
    s->tiles++;
    if (w) {
        w->next = s->idle;
        s->idle = w;
    }
    pthread_cond_signal(&s->tile_done);
    pthread_mutex_unlock(&s->lock);
}

static int make_tile(struct sc_web_server *s, const struct sc_web_request *r,
                     const struct sc_tile_key *key, struct sc_body **out, bool *exact,
                     struct sc_error *e)
{
    const struct sc_web_view *v = &s->views[r->view];
    uint64_t epoch = 0;
    struct sc_web_work *w = begin_tile(s);
    struct sc_tile *t = w ? &w->tile : NULL;
    if (!t) {
        end_tile(s, NULL);
        return sc_fail_memory(e);
    }
    (void)v->kind->progress(v->ctx, &epoch);
    t->z = (int)r->z;
    t->x = r->x;
    t->y = r->y;
    t->plane = (enum sc_plane)r->plane;
    int code = v->kind->tile(v->ctx, t, PATIENCE_MS, e);
    if (code == 0) {
        *exact = (t->flags & SC_TILE_EXACT) && !(t->flags & SC_TILE_MISSING);
        *out = body_of_tile(t, epoch);
        code = *out ? 0 : sc_fail_memory(e);
    }
    if (code == 0 && *exact)
        sc_tile_cache_put(s->kept, key, *out);
    end_tile(s, w);
    return code;
}

static enum MHD_Result answer_tile(struct sc_web_server *s, struct MHD_Connection *connection,
                                   const struct sc_web_request *r)
{
    const struct sc_tile_key key = {r->view, (int32_t)r->z, r->x, r->y, (uint32_t)r->plane};
    struct sc_error e = {0};
    bool exact = true;
    struct sc_body *b = sc_tile_cache_get(s->kept, &key);
    if (!b && make_tile(s, r, &key, &b, &exact, &e) < 0)
        return refuse_error(s, connection, &e);
    return send_body(s, connection, MHD_HTTP_OK, "application/octet-stream",
                     exact ? "private, max-age=31536000, immutable" : fresh, b);
}

/* ------------------------------------------------------------------------- what takes longer ---
 */

/* False: there are as many as there may be. */
static bool enter(struct sc_web_server *s, unsigned *n, unsigned most)
{
    pthread_mutex_lock(&s->lock);
    const bool may = *n < most;
    *n += may;
    pthread_mutex_unlock(&s->lock);
    return may;
}

static void leave(struct sc_web_server *s, unsigned *n)
{
    pthread_mutex_lock(&s->lock);
    --*n;
    pthread_mutex_unlock(&s->lock);
}

static int make_heavy(const struct sc_web_view *v, const struct sc_web_request *r, struct sc_out *o,
                      struct sc_error *e)
{
    const struct sc_web_shot shot = {.area = {r->x, r->y, r->w, r->h, (int)r->z},
                                     .mode = (enum sc_colour_mode)r->mode,
                                     .plane = (enum sc_plane)r->plane,
                                     .scale_of = (enum sc_scale_of)r->scale_of,
                                     .light = r->ground == 1};
    if (r->route == SC_ROUTE_VALUE)
        return v->kind->value(v->ctx, r->tensor, r->slice, r->row, r->col, o, e);
    if (r->route == SC_ROUTE_TENSOR)
        return v->kind->tensor(v->ctx, r->tensor, o, e);
    if (r->route == SC_ROUTE_SEARCH)
        return v->kind->search(v->ctx, sc_str(r->words, r->n_words),
                               (size_t)SC_MIN(r->limit, (uint64_t)MOST_FOUND), o, e);
    if (!v->kind->shot || r->z < INT8_MIN || r->z > INT8_MAX)
        return sc_fail(e, SCRUPLE_EUSAGE, "there are no such pictures of this view");
    return v->kind->shot(v->ctx, &shot, o, e);
}

static enum MHD_Result answer_heavy(struct sc_web_server *s, struct MHD_Connection *connection,
                                    const struct sc_web_request *r)
{
    struct sc_buf text = {.max = MOST_BYTES};
    struct sc_out o = {.write = put_buf, .ctx = &text};
    struct sc_error e = {0};
    const bool waits = r->route == SC_ROUTE_VALUE;
    unsigned *n = waits ? &s->n_values : &s->n_heavy;
    if (!enter(s, n, waits ? MOST_VALUES : MOST_HEAVY))
        return sc_web_refuse(s, connection, MHD_HTTP_TOO_MANY_REQUESTS,
                             "too much was asked for at once");
    const int code = make_heavy(&s->views[r->view], r, &o, &e);
    leave(s, n);
    struct sc_body *b = take_body(&text, sc_out_finish(&o));
    if (code < 0) {
        sc_body_leave(b);
        return refuse_error(s, connection, &e);
    }
    return send_body(s, connection, MHD_HTTP_OK, r->route == SC_ROUTE_SHOT ? "image/png" : json,
                     fresh, b);
}

static enum MHD_Result answer_scales(struct sc_web_server *s, struct MHD_Connection *connection,
                                     const struct sc_web_view *v)
{
    struct sc_buf text = {.max = MOST_BYTES};
    struct sc_out o = {.write = put_buf, .ctx = &text};
    v->kind->scales(v->ctx, &o);
    return send_body(s, connection, MHD_HTTP_OK, json, fresh, take_body(&text, sc_out_finish(&o)));
}

/* ---------------------------------------------------------------------------------- events --- */

struct events {
    struct sc_web_server *s;
    const struct sc_web_view *view;
    uint64_t epoch;
    double done;
    bool begun, over;
};

/* Up to EVENT_MS; false: the server is ending. */
static bool wait_a_little(struct sc_web_server *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += EVENT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&s->lock);
    while (!s->ending && pthread_cond_timedwait(&s->ended, &s->lock, &until) == 0)
        ;
    const bool going_on = !s->ending;
    pthread_mutex_unlock(&s->lock);
    return going_on;
}

/* Blocks its connection's thread only. */
static ssize_t next_event(void *ctx, uint64_t pos, char *buf, size_t room)
{
    struct events *ev = ctx;
    uint64_t epoch = ev->epoch;
    double done = ev->done;
    struct sc_buf text = {0};
    (void)pos;
    if (ev->over)
        return MHD_CONTENT_READER_END_OF_STREAM;
    for (unsigned i = 0; i < SIGN_OF_LIFE; i++) {
        if (ev->begun && !wait_a_little(ev->s))
            return MHD_CONTENT_READER_END_OF_STREAM;
        done = ev->view->kind->progress(ev->view->ctx, &epoch);
        if (!ev->begun || epoch != ev->epoch || done > ev->done)
            break;
    }
    char number[40];
    sc_format_double(done, number);
    if (ev->begun && epoch == ev->epoch && done <= ev->done)
        sc_buf_puts(&text, ":\n\n");
    else
        sc_buf_printf(&text, "data: {\"epoch\": %llu, \"done\": %s}\n\n", (unsigned long long)epoch,
                      number);
    ev->begun = true;
    ev->epoch = epoch;
    ev->done = done;
    const bool fits = !text.failed && text.n <= room;
    if (fits)
        memcpy(buf, text.p, text.n);
    const ssize_t n = fits ? (ssize_t)text.n : MHD_CONTENT_READER_END_WITH_ERROR;
    sc_buf_clear(&text);
    return n;
}

static void end_events(void *ctx)
{
    struct events *ev = ctx;
    leave(ev->s, &ev->s->n_events);
    free(ev);
}

static enum MHD_Result answer_events(struct sc_web_server *s, struct MHD_Connection *connection,
                                     struct sc_web_connection *c)
{
    enum { ROOM = 1024 };
    const struct sc_microhttpd *http = s->http;
    if (!enter(s, &s->n_events, MOST_EVENTS))
        return sc_web_refuse(s, connection, MHD_HTTP_TOO_MANY_REQUESTS,
                             "too many pages are open at once");
    struct events *ev = sc_calloc(1, sizeof *ev);
    if (ev)
        *ev = (struct events){.s = s, .view = &s->views[c->request.view]};
    struct MHD_Response *r =
        ev ? http->create_response_from_callback(MHD_SIZE_UNKNOWN, ROOM, next_event, ev, end_events)
           : NULL;
    if (!r) {
        free(ev);
        leave(s, &s->n_events);
        return MHD_NO;
    }
    pthread_mutex_lock(&s->lock);
    c->is_events = true;
    pthread_mutex_unlock(&s->lock);
    http->add_response_header(r, "Content-Type", "text/event-stream; charset=utf-8");
    http->add_response_header(r, "Cache-Control", fresh);
    http->add_response_header(r, "X-Content-Type-Options", "nosniff");
    const enum MHD_Result done = http->queue_response(connection, MHD_HTTP_OK, r);
    http->destroy_response(r);
    return done;
}

/* -------------------------------------------------------------------------------- all of it --- */

/* What is apart is built from now on. */
static void look_at(struct sc_web_server *s, uint32_t view)
{
    pthread_mutex_lock(&s->lock);
    if (!s->looked_at[view]) {
        s->looked_at[view] = true;
        pthread_cond_broadcast(&s->ended);
    }
    pthread_mutex_unlock(&s->lock);
}

static enum MHD_Result answer_view(struct sc_web_server *s, struct MHD_Connection *connection,
                                   struct sc_web_connection *c)
{
    const struct sc_web_request *r = &c->request;
    if (r->route == SC_ROUTE_TILE)
        return answer_tile(s, connection, r);
    if (r->route == SC_ROUTE_SCENE)
        look_at(s, r->view);
    if (r->route == SC_ROUTE_SCENE)
        return send_body(s, connection, MHD_HTTP_OK, json, fresh, sc_web_scene(s, r->view));
    if (r->route == SC_ROUTE_SCALES)
        return answer_scales(s, connection, &s->views[r->view]);
    if (r->route == SC_ROUTE_EVENTS)
        return answer_events(s, connection, c);
    return answer_heavy(s, connection, r);
}

enum MHD_Result sc_web_answer(struct sc_web_server *s, struct MHD_Connection *connection,
                              struct sc_web_connection *c)
{
    const struct sc_web_request *r = &c->request;
    const bool of_view = r->route >= SC_ROUTE_SCENE;
    if (r->route == SC_ROUTE_NONE || (of_view && r->view >= s->n_views))
        return sc_web_refuse(s, connection, MHD_HTTP_NOT_FOUND, "there is nothing at this address");
    if (r->problem)
        return sc_web_refuse(s, connection, MHD_HTTP_BAD_REQUEST, r->problem);
    if (of_view)
        return answer_view(s, connection, c);
    if (r->route == SC_ROUTE_ASSET)
        return answer_asset(s, connection, r->name);
    if (r->route == SC_ROUTE_PAGE)
        return send_body(s, connection, MHD_HTTP_OK, "text/html; charset=utf-8", fresh,
                         sc_body_use(s->page));
    return send_body(s, connection, MHD_HTTP_OK, json, fresh,
                     sc_body_use(r->route == SC_ROUTE_VIEW ? s->view : s->colours));
}
