/* SPDX-License-Identifier: Apache-2.0 */
/* server: listening, connections, and who may ask.
 *
 * Each connection has a thread, so that one which waits for a slow disk or a slow Hub makes nobody
 * else wait, and there is no more than `connections` of them: a browser has six. A connection that
 * sends no whole request in time, or takes an answer too slowly, is ended; when there are as many
 * as there may be, the one that has waited longest is.
 *
 * Who may ask: whoever knows the token, under a name that nobody else's DNS can give to this
 * address, from no page but ours. */
#include "web/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS = 64,
    ENDING = 8,             /* times as many, while some are being ended: nobody is turned away */
    TICK_MS = 100,          /* how often is looked at what must end */
    REQUEST_MS = 15000,     /* from accept, or the answer before, to the end of a request's head */
    ANSWER_MS = 600000,     /* until an answer is taken; */
    LONG_ANSWER_MS = 10000, /* while others wait */
    IDLE_S = 60,            /* without a byte */
    HEAD_BYTES = 32 << 10,  /* of a request's head, and of what is behind it in memory */
    MOST_TARGET = 4096,     /* bytes of an address */
    STACK = 1 << 20,        /* of a connection's thread */
    FIRST_SCALES = 2048,    /* tensors whose scales are estimated before the first picture */
};

/* ----------------------------------------------------------------------------- connections --- */

/* With the lock held. The thread of the connection sees its end; its descriptor is still open, as
 * it is told to leave before it closes it. */
static void end_connection(struct sc_web_connection *c)
{
    c->ended = true;
    (void)shutdown(c->fd, SHUT_RDWR);
}

/* With the lock held. When there are as many as there may be, whoever has said nothing for longest
 * goes, or whose answer takes longer than any should. */
static void make_room(struct sc_web_server *s)
{
    struct sc_web_connection *oldest = NULL;
    const uint64_t now = sc_milliseconds();
    size_t n = 0;
    for (size_t i = 0; i < s->n_connections; i++) {
        struct sc_web_connection *c = &s->connections[i];
        if (!c->used || c->ended)
            continue;
        n++;
        if (c->is_events || (c->busy && now < c->since + LONG_ANSWER_MS))
            continue;
        if (!oldest || (oldest->busy && !c->busy) ||
            (oldest->busy == c->busy && c->since < oldest->since))
            oldest = c;
    }
    if (n >= s->most && oldest)
        end_connection(oldest);
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct sc_web_server *s = ctx;
    pthread_mutex_lock(&s->lock);
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        struct sc_web_connection *c = *socket_context;
        if (c)
            c->used = false;
    } else {
        const union MHD_ConnectionInfo *info =
            s->http->get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        make_room(s);
        *socket_context = NULL;
        for (size_t i = 0; i < s->n_connections; i++) {
            struct sc_web_connection *c = &s->connections[i];
            if (c->used)
                continue;
            c->used = true;
            c->busy = c->is_events = c->ended = false;
            c->fd = info ? info->connect_fd : -1;
            c->since = sc_milliseconds();
            *socket_context = c;
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
}

static struct sc_web_connection *connection_of(const struct sc_web_server *s,
                                               struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        s->http->get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void set_busy(struct sc_web_server *s, struct sc_web_connection *c, bool busy)
{
    pthread_mutex_lock(&s->lock);
    c->busy = busy;
    c->is_events = false;
    c->since = sc_milliseconds();
    pthread_mutex_unlock(&s->lock);
}

/* What takes too long ends. */
static void watch(struct sc_web_server *s)
{
    const uint64_t now = sc_milliseconds();
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_connections; i++) {
        struct sc_web_connection *c = &s->connections[i];
        const uint64_t most = c->busy ? ANSWER_MS : REQUEST_MS;
        if (c->used && !c->ended && !c->is_events && now > c->since + most)
            end_connection(c);
    }
    pthread_mutex_unlock(&s->lock);
}

/* -------------------------------------------------------------------------------- requests --- */

/* The address as it came, before libmicrohttpd takes it apart. */
static void *on_target(void *ctx, const char *target, struct MHD_Connection *connection)
{
    struct sc_web_server *s = ctx;
    struct sc_web_connection *c = connection_of(s, connection);
    if (c && strlen(target) <= MOST_TARGET)
        sc_web_parse(target, s->token, &c->request);
    else if (c)
        memset(&c->request, 0, sizeof c->request);
    return NULL;
}

static size_t leave_escaped(void *ctx, struct MHD_Connection *connection, char *text)
{
    (void)ctx, (void)connection;
    return strlen(text);
}

struct head {
    const char *host, *origin, *site, *mode, *destination, *length, *coding;
    unsigned n_hosts;
};

static enum MHD_Result on_header(void *ctx, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct head *h = ctx;
    const struct {
        const char *key;
        const char **at;
    } wanted[] = {{"Host", &h->host},
                  {"Origin", &h->origin},
                  {"Sec-Fetch-Site", &h->site},
                  {"Sec-Fetch-Mode", &h->mode},
                  {"Sec-Fetch-Dest", &h->destination},
                  {"Content-Length", &h->length},
                  {"Transfer-Encoding", &h->coding}};
    (void)kind;
    for (size_t i = 0; i < SC_COUNT(wanted); i++)
        if (sc_str_eq_nocase(sc_strz(key), sc_strz(wanted[i].key)))
            *wanted[i].at = value ? value : "";
    h->n_hosts += sc_str_eq_nocase(sc_strz(key), SC_STR("Host"));
    return MHD_YES;
}

/* Who asks, and what for; 0, or a status with its sentence. */
static unsigned refuse_head(const struct sc_web_server *s, const struct sc_web_connection *c,
                            const struct head *h, const char *method, const char **sentence)
{
    *sentence = "this server has another name than the one it was called by";
    if (h->n_hosts != 1 || !sc_web_host_is_ours(&s->place, h->host))
        return MHD_HTTP_FORBIDDEN;
    *sentence = "pages from elsewhere may not read from here";
    if (!sc_web_origin_is_ours(h->host, h->origin, h->site, h->mode, h->destination,
                               c->request.route == SC_ROUTE_PAGE))
        return MHD_HTTP_FORBIDDEN;
    *sentence = "only GET and HEAD";
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    *sentence = "a request has no body here";
    return h->coding || (h->length && strcmp(h->length, "0") != 0) ? MHD_HTTP_BAD_REQUEST : 0;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_context)
{
    struct sc_web_server *s = ctx;
    struct sc_web_connection *c = connection_of(s, connection);
    struct head h = {0};
    const char *sentence;
    (void)url, (void)version, (void)upload;
    if (!c || *upload_size > 0)
        return MHD_NO;
    if (*request_context) /* the second time: an answer to the first would end the connection */
        return sc_web_answer(s, connection, c);
    *request_context = c;
    set_busy(s, c, true);
    s->http->get_connection_values(connection, MHD_HEADER_KIND, on_header, &h);
    const unsigned status = refuse_head(s, c, &h, method, &sentence);
    return status ? sc_web_refuse(s, connection, status, sentence) : MHD_YES;
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode why)
{
    struct sc_web_server *s = ctx;
    struct sc_web_connection *c = connection_of(s, connection);
    (void)request_context, (void)why;
    if (c)
        set_busy(s, c, false);
}

static void say_nothing(void *ctx, const char *fmt, va_list ap)
{
    (void)ctx, (void)fmt, (void)ap;
}

/* ------------------------------------------------------------------------------- listening --- */

static int make_token(struct sc_web_server *s, struct sc_error *e)
{
    uint8_t bytes[SC_WEB_TOKEN / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return sc_fail(e, SCRUPLE_EIO, "the system gives no random numbers: %s", strerror(errno));
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(s->token + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static int open_socket(const struct addrinfo *a)
{
    const int yes = 1;
    const int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 128) == 0)
        return fd;
    const int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static void look_at_address(struct sc_web_server *s, int fd, bool *loopback)
{
    struct sockaddr_storage at;
    socklen_t n = sizeof at;
    memset(&at, 0, sizeof at);
    (void)getsockname(fd, (struct sockaddr *)&at, &n);
    if (at.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&at;
        s->place.port = ntohs(v6->sin6_port);
        s->place.any = IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
        *loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&at;
        s->place.port = ntohs(v4->sin_port);
        s->place.any = v4->sin_addr.s_addr == htonl(INADDR_ANY);
        *loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
}

static int start_listening(struct sc_web_server *s, int *fd, struct sc_error *e)
{
    const char *name = s->o->bind ? s->o->bind : "127.0.0.1";
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    struct sc_quoted q;
    char port[8];
    bool loopback = true;
    snprintf(port, sizeof port, "%u", (unsigned)s->o->port);
    const int unknown = getaddrinfo(name, port, &hints, &list);
    if (unknown)
        return sc_fail(e, SCRUPLE_EIO, "%s: %s", sc_quote(&q, sc_strz(name)),
                       gai_strerror(unknown));
    *fd = -1;
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next)
        *fd = open_socket(a);
    const int why = errno;
    freeaddrinfo(list);
    if (*fd < 0)
        return sc_fail(e, SCRUPLE_EIO, "cannot listen at %s, port %u: %s",
                       sc_quote(&q, sc_strz(name)), (unsigned)s->o->port, strerror(why));
    s->place.name = s->o->bind;
    look_at_address(s, *fd, &loopback);
    if (!loopback && s->o->note)
        s->o->note(s->o->ctx, "everybody who can reach this address and is told the page's address "
                              "can see the weights; what is sent is not encrypted");
    return 0;
}

static struct MHD_Daemon *start_daemon(struct sc_web_server *s, int fd, struct sc_error *e)
{
    struct MHD_Daemon *d = s->http->start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
            MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->n_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEAD_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)STACK, MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_escaped, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
    if (!d)
        sc_fail(e, SCRUPLE_EIO, "the server cannot be started");
    return d;
}

/* -------------------------------------------------------------------------------- building --- */

struct builder {
    struct sc_web_server *s;
    const struct sc_web_view *view;
    pthread_t thread;
    bool started;
};

/* The first picture goes before statistics: those want all processors, and it is made of samples.
 * So what is more than a few scales waits until tiles were asked for and no more are for a moment,
 * or for a second without any. */
static void let_first_picture_go(struct sc_web_server *s)
{
    enum { STEP_MS = 50, QUIET = 4, MOST = 20 };
    uint64_t seen = 0;
    unsigned quiet = 0;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < MOST && quiet < QUIET && !s->ending; i++) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += STEP_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&s->ended, &s->lock, &until);
        const bool busy = s->n_tiles || s->tiles != seen;
        quiet = busy || !s->tiles ? 0 : quiet + 1;
        if (busy)
            i = 0;
        seen = s->tiles;
    }
    pthread_mutex_unlock(&s->lock);
}

/* False: the server ends, and nobody has looked. */
static bool wait_for_eyes(struct sc_web_server *s, const struct sc_web_view *view)
{
    const size_t i = (size_t)(view - s->views);
    pthread_mutex_lock(&s->lock);
    while (view->apart && !s->looked_at[i] && !s->ending)
        pthread_cond_wait(&s->ended, &s->lock);
    const bool go_on = !s->ending;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void *build(void *ctx)
{
    struct builder *b = ctx;
    if (!wait_for_eyes(b->s, b->view))
        return NULL;
    const struct sc_web_options *o = b->s->o;
    const struct sc_web_view_kind *kind = b->view->kind;
    struct sc_error e = {0};
    sc_body_leave(sc_web_scene(b->s, (uint32_t)(b->view - b->s->views))); /* asked for soon */
    int code = kind->sample(b->view->ctx, FIRST_SCALES, &e);
    if (code == 0) {
        let_first_picture_go(b->s);
        code = kind->sample(b->view->ctx, SIZE_MAX, &e);
    }
    if (code == 0)
        code = kind->build(b->view->ctx, &e);
    if (code < 0 && e.code != SCRUPLE_EINTERRUPTED && o->note)
        o->note(o->ctx, e.text);
    return NULL;
}

static struct builder *start_building(struct sc_web_server *s)
{
    struct builder *b = sc_calloc(s->n_views, sizeof *b);
    for (size_t i = 0; b && i < s->n_views; i++) {
        b[i].s = s;
        b[i].view = &s->views[i];
        b[i].started = pthread_create(&b[i].thread, NULL, build, &b[i]) == 0;
    }
    return b;
}

static void end_building(const struct sc_web_server *s, struct builder *b)
{
    for (size_t i = 0; b && i < s->n_views; i++)
        if (b[i].started)
            pthread_join(b[i].thread, NULL);
    free(b);
}

/* ----------------------------------------------------------------------------- from outside --- */

static int say_ready(struct sc_web_server *s)
{
    char url[400];
    const char *name = s->place.name && !s->place.any ? s->place.name : "127.0.0.1";
    const bool colons = strchr(name, ':') != NULL;
    snprintf(url, sizeof url, "http://%s%s%s:%u/%s/", colons ? "[" : "", name, colons ? "]" : "",
             (unsigned)s->place.port, s->token);
    return s->o->ready ? s->o->ready(s->o->ctx, url) : 0;
}

static int serve(struct sc_web_server *s, struct sc_error *e)
{
    const struct timespec tick = {0, TICK_MS * 1000000L};
    int fd;
    TRY(start_listening(s, &fd, e));
    struct MHD_Daemon *d = start_daemon(s, fd, e);
    if (!d) {
        close(fd);
        return e->code;
    }
    struct builder *builders = NULL;
    const int code = say_ready(s);
    if (code == 0)
        builders = start_building(s);
    while (code == 0 && !*s->o->cancel) {
        nanosleep(&tick, NULL); /* a signal ends it */
        watch(s);
    }
    if (s->o->ending)
        s->o->ending(s->o->ctx);
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_broadcast(&s->ended);
    pthread_mutex_unlock(&s->lock);
    s->http->stop_daemon(d); /* and its socket */
    end_building(s, builders);
    return code;
}

int sc_web_serve(const struct sc_web_options *o, const struct sc_web_view *views, size_t n_views,
                 struct sc_error *e)
{
    struct sc_web_server s = {.o = o, .views = views, .n_views = n_views};
    s.http = sc_microhttpd(e);
    if (!s.http)
        return SCRUPLE_EUNSUPPORTED;
    s.most = o->connections ? o->connections : CONNECTIONS;
    s.n_connections = s.most * ENDING;
    s.connections = sc_calloc(s.n_connections, sizeof *s.connections);
    s.scenes = sc_calloc(n_views, sizeof(struct sc_body *));
    s.looked_at = sc_calloc(n_views, sizeof *s.looked_at);
    s.kept = sc_tile_cache_new(o->memory);
    pthread_mutex_init(&s.lock, NULL);
    pthread_mutex_init(&s.planning, NULL);
    pthread_cond_init(&s.ended, NULL);
    pthread_cond_init(&s.tile_done, NULL);
    int code =
        s.connections && s.scenes && s.looked_at && s.kept ? make_token(&s, e) : sc_fail_memory(e);
    if (code == 0)
        code = sc_web_prepare(&s, e);
    if (code == 0)
        code = serve(&s, e);
    for (size_t i = 0; s.scenes && i < n_views; i++)
        sc_body_leave(s.scenes[i]);
    sc_body_leave(s.page);
    sc_body_leave(s.colours);
    sc_body_leave(s.view);
    sc_buf_clear(&s.policy);
    sc_tile_cache_free(s.kept);
    sc_web_work_free(s.idle);
    pthread_cond_destroy(&s.tile_done);
    pthread_cond_destroy(&s.ended);
    pthread_mutex_destroy(&s.lock);
    pthread_mutex_destroy(&s.planning);
    free(s.connections);
    free(s.scenes);
    free(s.looked_at);
    return code;
}
