/* SPDX-License-Identifier: Apache-2.0 */
/* http_server: a server for tests, on a port of 127.0.0.1 that the system chooses. Each test says
 * what is answered to which request; the server writes down what it was asked.
 *
 *     struct server s;
 *     REQUIRE(server_start(&s, handler, ctx));
 *     ... server_url(&s, "/file") ...
 *     server_stop(&s);
 *
 * The handler runs on the thread of a connection, a thread each. */
#ifndef SC_TEST_HTTP_SERVER_H
#define SC_TEST_HTTP_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVER_CONNECTIONS = 2048, SERVER_LOG = 8192 };

struct server_request {
    char method[8], path[512], range[64];
    char head[4096];     /* all of it */
    uint64_t begin, end; /* of the range; end UINT64_MAX: open */
    bool ranged, token;
    unsigned number;     /* from 0, over all connections */
    unsigned connection; /* from 0 */
};

struct server;
struct server_peer {
    struct server *s;
    int fd;
    unsigned connection;
    pthread_t thread;
    uint64_t sent; /* bytes that the client's side took */
    bool broken;
};

struct server {
    int fd;
    unsigned port;
    pthread_t thread;
    pthread_mutex_t lock;
    bool stopping;
    /* false: close the connection. */
    bool (*handler)(struct server_peer *p, const struct server_request *r, void *ctx);
    void *ctx;
    bool quiet;        /* log no requests: there are too many */
    _Atomic bool rude; /* speaks before it is asked, and hangs up */
    struct server_peer *peers[SERVER_CONNECTIONS];
    unsigned n_peers, n_requests;
    struct server_request *log; /* SERVER_LOG of them; look after server_stop() or when idle */
    _Atomic uint64_t sent;
};

static inline bool server_send(struct server_peer *p, const void *data, size_t n)
{
    const char *at = data;
    while (n && !p->broken) {
        const ssize_t k = send(p->fd, at, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            p->broken = true;
            break;
        }
        at += k;
        n -= (size_t)k;
        p->sent += (uint64_t)k;
        p->s->sent += (uint64_t)k;
    }
    return !p->broken;
}

__attribute__((format(printf, 2, 3))) static inline bool server_say(struct server_peer *p,
                                                                    const char *fmt, ...)
{
    char text[16384];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return n >= 0 && (size_t)n < sizeof text && server_send(p, text, (size_t)n);
}

/* Waits for ms, or until the client hangs up or the server stops: false then. */
static inline bool server_hold(struct server_peer *p, int ms)
{
    struct pollfd f = {.fd = p->fd, .events = POLLIN | POLLHUP};
    char c;
    if (poll(&f, 1, ms) > 0 && recv(p->fd, &c, 1, MSG_PEEK) <= 0)
        return false;
    return true;
}

static inline void server_field(const char *head, const char *name, char *out, size_t size)
{
    const size_t n = strlen(name);
    out[0] = '\0';
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':') {
            const char *v = line + 3 + n;
            v += strspn(v, " ");
            const size_t k = strcspn(v, "\r\n");
            snprintf(out, size, "%.*s", (int)k, v);
            return;
        }
}

static inline void server_parse(struct server_request *r)
{
    char token[256];
    const char *space = strchr(r->head, ' ');
    const size_t method = space ? (size_t)(space - r->head) : 0;
    snprintf(r->method, sizeof r->method, "%.*s", (int)method, r->head);
    if (space)
        snprintf(r->path, sizeof r->path, "%.*s", (int)strcspn(space + 1, " "), space + 1);
    server_field(r->head, "Range", r->range, sizeof r->range);
    server_field(r->head, "Authorization", token, sizeof token);
    r->token = token[0] != '\0';
    r->end = UINT64_MAX;
    if (strncmp(r->range, "bytes=", 6) == 0) {
        char *rest;
        r->ranged = true;
        r->begin = strtoull(r->range + 6, &rest, 10);
        if (rest[0] == '-' && rest[1])
            r->end = strtoull(rest + 1, NULL, 10) + 1;
    }
}

/* One request's header from the connection; keeps what follows in `rest`. */
static inline bool server_receive(struct server_peer *p, struct server_request *r, char *rest,
                                  size_t *n)
{
    memset(r, 0, sizeof *r);
    for (;;) {
        rest[*n] = '\0';
        char *end = strstr(rest, "\r\n\r\n");
        if (end) {
            const size_t k = (size_t)(end - rest) + 4;
            memcpy(r->head, rest, k);
            r->head[k] = '\0';
            memmove(rest, rest + k, *n - k);
            *n -= k;
            server_parse(r);
            return true;
        }
        if (*n >= sizeof r->head - 1)
            return false;
        const ssize_t got = recv(p->fd, rest + *n, sizeof r->head - 1 - *n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        *n += (size_t)got;
    }
}

static inline void *server_connection(void *ctx)
{
    struct server_peer *p = ctx;
    struct server *s = p->s;
    struct server_request r;
    char rest[sizeof r.head];
    size_t n = 0;

    if (s->rude)
        server_say(p, "HTTP/1.1 400 Bad\r\n\r\n");
    while (!s->rude && server_receive(p, &r, rest, &n)) {
        pthread_mutex_lock(&s->lock);
        r.number = s->n_requests++;
        r.connection = p->connection;
        if (!s->quiet && r.number < SERVER_LOG)
            s->log[r.number] = r;
        pthread_mutex_unlock(&s->lock);
        if (!s->handler(p, &r, s->ctx) || p->broken)
            break;
    }
    shutdown(p->fd, SHUT_RDWR);
    return NULL;
}

static inline void *server_accept(void *ctx)
{
    struct server *s = ctx;
    for (;;) {
        const int fd = accept(s->fd, NULL, NULL);
        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0)
            return NULL;
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pthread_mutex_lock(&s->lock);
        struct server_peer *p =
            s->n_peers < SERVER_CONNECTIONS && !s->stopping ? calloc(1, sizeof *p) : NULL;
        if (p) {
            *p = (struct server_peer){.s = s, .fd = fd, .connection = s->n_peers};
            if (pthread_create(&p->thread, NULL, server_connection, p) == 0) {
                s->peers[s->n_peers++] = p;
            } else {
                free(p);
                p = NULL;
            }
        }
        pthread_mutex_unlock(&s->lock);
        if (!p)
            close(fd);
    }
}

static inline bool server_start(struct server *s,
                                bool (*handler)(struct server_peer *p,
                                                const struct server_request *r, void *ctx),
                                void *ctx)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof at;

    memset(s, 0, sizeof *s);
    s->handler = handler;
    s->ctx = ctx;
    s->log = calloc(SERVER_LOG, sizeof *s->log);
    pthread_mutex_init(&s->lock, NULL);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(s->fd, 1024) != 0 || getsockname(s->fd, (struct sockaddr *)&at, &n) != 0)
        return false;
    s->port = ntohs(at.sin_port);
    return s->log && pthread_create(&s->thread, NULL, server_accept, s) == 0;
}

/* How many requests came so far. */
static inline unsigned server_count(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    const unsigned n = s->n_requests;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* Ends it, but keeps what was asked until server_free(). */
static inline void server_stop(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    for (unsigned i = 0; i < s->n_peers; i++)
        shutdown(s->peers[i]->fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    for (unsigned i = 0; i < s->n_peers; i++) {
        pthread_join(s->peers[i]->thread, NULL);
        close(s->peers[i]->fd);
        free(s->peers[i]);
    }
    s->n_peers = 0;
}

static inline void server_free(struct server *s)
{
    server_stop(s);
    free(s->log);
    pthread_mutex_destroy(&s->lock);
}

/* "http://127.0.0.1:PORT/path"; good for the next seven calls of this thread. */
static inline const char *server_url(const struct server *s, const char *path)
{
    static _Thread_local char urls[8][1024];
    static _Thread_local unsigned next;
    char *p = urls[next++ % 8];
    snprintf(p, sizeof urls[0], "http://127.0.0.1:%u%s", s->port, path);
    return p;
}

#endif
