/* SPDX-License-Identifier: Apache-2.0 */
/* range_server: one file of any size behind two ports of the loopback, for tests of what reads it.
 *
 * The first port is the one that is asked ("the hub"): it sends the bytes, or redirects to the
 * second one ("the CDN") with a signature that ends. The bytes are pattern_at() of scratch.h, so
 * an object of 700 GB needs no memory. Every request is logged. A thread a connection; what the
 * server shall do is set in struct range_server under range_lock(), at any time. */
#ifndef SC_TEST_RANGE_SERVER_H
#define SC_TEST_RANGE_SERVER_H

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "scratch.h"

#define RANGE_PERIOD ((size_t)16 << 20) /* pattern_at() repeats after it */

enum { RANGE_CONNECTIONS = 256, RANGE_LOG = 4096 };

struct range_seen {
    bool cdn, ranged, token;
    uint64_t off, len; /* ranged */
    int status;        /* that was answered */
};

struct range_server;

struct range_connection {
    struct range_server *s;
    int fd;
    bool cdn;
    pthread_t thread;
};

struct range_server {
    /* What it does. */
    uint64_t size;
    const char *etag, *commit; /* NULL: none */
    bool redirects;
    unsigned expires_in; /* seconds that a signature lasts, from when it was made */
    int signature;       /* of new redirects; the CDN refuses others with 403 */
    bool no_ranges;      /* 200 and everything, whatever is asked for */
    bool no_length;      /* ... without saying how much, until the connection closes */
    int refuse;          /* status for the next `refusals` requests */
    unsigned refusals;
    bool gate; /* answers wait until it is false */

    /* What it saw. */
    struct range_seen log[RANGE_LOG];
    size_t n_log;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int listener[2], port[2];
    pthread_t acceptor[2];
    struct range_connection connection[RANGE_CONNECTIONS];
    size_t n_connections;
    bool stopping;
};

static uint8_t *range_pattern; /* two periods; made once */

static void range_lock(struct range_server *s)
{
    pthread_mutex_lock(&s->lock);
}

static void range_unlock(struct range_server *s)
{
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static bool range_send(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t k = send(fd, at, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

static bool range_send_body(int fd, uint64_t off, uint64_t len)
{
    while (len > 0) {
        size_t n = len < RANGE_PERIOD ? (size_t)len : RANGE_PERIOD;
        if (!range_send(fd, range_pattern + off % RANGE_PERIOD, n))
            return false;
        off += n;
        len -= n;
    }
    return true;
}

/* The header up to the empty line; keeps nothing behind it (requests have no body). */
static bool range_receive(int fd, char *p, size_t room)
{
    size_t n = 0;
    p[0] = 0;
    while (!strstr(p, "\r\n\r\n")) {
        if (n + 1 >= room)
            return false;
        ssize_t k = recv(fd, p + n, room - 1 - n, 0);
        if (k <= 0)
            return false;
        n += (size_t)k;
        p[n] = 0;
    }
    return true;
}

static const char *range_header(const char *request, const char *name)
{
    for (const char *p = strstr(request, "\r\n"); p; p = strstr(p + 2, "\r\n"))
        if (strncasecmp(p + 2, name, strlen(name)) == 0)
            return p + 2 + strlen(name);
    return NULL;
}

struct range_plan {
    char head[2048];
    uint64_t off, len;
    bool closes;
};

/* Decides on the answer; the lock is held. */
static void range_decide(struct range_server *s, bool cdn, const char *request,
                         struct range_plan *plan)
{
    struct range_seen seen = {.cdn = cdn, .token = range_header(request, "authorization:") != NULL};
    const char *range = range_header(request, "range: bytes=");
    uint64_t first = 0, last = 0;
    seen.ranged = range && sscanf(range, "%" SCNu64 "-%" SCNu64, &first, &last) == 2;
    const char *signature = strstr(request, "sig=");
    char facts[256] = "", *at = facts;
    if (s->etag)
        at += snprintf(at, 100, "ETag: \"%s\"\r\n", s->etag);
    if (s->commit && !cdn)
        snprintf(at, 100, "X-Repo-Commit: %s\r\n", s->commit);

    memset(plan, 0, sizeof *plan);
    seen.off = first;
    seen.len = seen.ranged ? last - first + 1 : 0;
    if (s->refusals > 0) {
        s->refusals--;
        seen.status = s->refuse;
    } else if (cdn && (!signature || atoi(signature + 4) != s->signature)) {
        seen.status = 403;
    } else if (!cdn && s->redirects) {
        seen.status = 302;
    } else if (seen.ranged && !s->no_ranges) {
        seen.status = first < s->size ? 206 : 416;
    } else {
        seen.status = 200;
    }
    if (s->n_log < RANGE_LOG)
        s->log[s->n_log++] = seen;

    char *head = plan->head;
    size_t room = sizeof plan->head;
    if (seen.status == 302) {
        snprintf(head, room,
                 "HTTP/1.1 302 Found\r\n%s%s%s%sX-Linked-Size: %" PRIu64
                 "\r\nLocation: http://127.0.0.1:%d/object?Expires=%lld&sig=%d\r\n"
                 "Content-Length: 0\r\n\r\n",
                 facts, s->etag ? "X-Linked-Etag: \"" : "", s->etag ? s->etag : "",
                 s->etag ? "\"\r\n" : "", s->size, s->port[1],
                 (long long)time(NULL) + s->expires_in, s->signature);
    } else if (seen.status == 206) {
        plan->off = first;
        plan->len = (last < s->size ? last + 1 : s->size) - first;
        snprintf(head, room,
                 "HTTP/1.1 206 Partial Content\r\n%sContent-Range: bytes %" PRIu64 "-%" PRIu64
                 "/%" PRIu64 "\r\nContent-Length: %" PRIu64 "\r\n\r\n",
                 facts, first, first + plan->len - 1, s->size, plan->len);
    } else if (seen.status == 200) {
        plan->len = s->size;
        plan->closes = s->no_length;
        int n = snprintf(head, room, "HTTP/1.1 200 OK\r\n%s", facts);
        if (s->no_length)
            snprintf(head + n, room - (size_t)n, "Connection: close\r\n\r\n");
        else
            snprintf(head + n, room - (size_t)n, "Content-Length: %" PRIu64 "\r\n\r\n", s->size);
    } else if (seen.status == 416) {
        snprintf(head, room,
                 "HTTP/1.1 416 No\r\nContent-Range: bytes */%" PRIu64
                 "\r\nContent-Length: 0\r\n\r\n",
                 s->size);
    } else {
        snprintf(head, room, "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", seen.status);
    }
}

static void *range_serve(void *ctx)
{
    struct range_connection *c = ctx;
    struct range_server *s = c->s;
    char request[16384];
    struct range_plan plan;
    while (range_receive(c->fd, request, sizeof request)) {
        range_lock(s);
        range_decide(s, c->cdn, request, &plan);
        pthread_cond_broadcast(&s->changed);
        while (s->gate && !s->stopping)
            pthread_cond_wait(&s->changed, &s->lock);
        range_unlock(s);
        if (!range_send(c->fd, plan.head, strlen(plan.head)) ||
            !range_send_body(c->fd, plan.off, plan.len) || plan.closes)
            break;
    }
    shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

static void range_adopt(struct range_server *s, int fd, bool cdn)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    range_lock(s);
    if (s->stopping || s->n_connections == RANGE_CONNECTIONS) {
        close(fd);
    } else {
        struct range_connection *c = &s->connection[s->n_connections++];
        *c = (struct range_connection){.s = s, .fd = fd, .cdn = cdn};
        if (pthread_create(&c->thread, NULL, range_serve, c) != 0)
            abort();
    }
    range_unlock(s);
}

struct range_listener {
    struct range_server *s;
    int i;
};

static void *range_accept(void *ctx)
{
    struct range_listener l = *(struct range_listener *)ctx;
    free(ctx);
    for (;;) {
        int fd = accept(l.s->listener[l.i], NULL, NULL);
        if (fd < 0)
            return NULL;
        range_adopt(l.s, fd, l.i == 1);
    }
}

/* Aborts where a test cannot be set up. The URL is http://127.0.0.1:port[0]/... */
static struct range_server *range_start(uint64_t size)
{
    struct range_server *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    if (!range_pattern) {
        range_pattern = malloc(2 * RANGE_PERIOD);
        if (!range_pattern)
            abort();
        fill_pattern(range_pattern, 0, RANGE_PERIOD);
        memcpy(range_pattern + RANGE_PERIOD, range_pattern, RANGE_PERIOD);
    }
    s->size = size;
    s->etag = "e1";
    s->expires_in = 3600;
    s->signature = 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET};
        socklen_t n = sizeof a;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        s->listener[i] = socket(AF_INET, SOCK_STREAM, 0);
        struct range_listener *l = malloc(sizeof *l);
        if (!l || bind(s->listener[i], (struct sockaddr *)&a, sizeof a) != 0 ||
            listen(s->listener[i], 64) != 0 ||
            getsockname(s->listener[i], (struct sockaddr *)&a, &n) != 0)
            abort();
        s->port[i] = ntohs(a.sin_port);
        *l = (struct range_listener){s, i};
        if (pthread_create(&s->acceptor[i], NULL, range_accept, l) != 0)
            abort();
    }
    return s;
}

static void range_stop(struct range_server *s)
{
    range_lock(s);
    s->stopping = true;
    for (size_t i = 0; i < s->n_connections; i++)
        shutdown(s->connection[i].fd, SHUT_RDWR);
    range_unlock(s);
    for (int i = 0; i < 2; i++) {
        shutdown(s->listener[i], SHUT_RDWR);
        pthread_join(s->acceptor[i], NULL);
        close(s->listener[i]);
    }
    for (size_t i = 0; i < s->n_connections; i++) {
        pthread_join(s->connection[i].thread, NULL);
        close(s->connection[i].fd);
    }
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* How many requests came to the hub and to the CDN; a copy of the log in `log` if not NULL. */
static size_t range_seen(struct range_server *s, struct range_seen *log, size_t *hub, size_t *cdn)
{
    size_t count[2] = {0, 0};
    range_lock(s);
    size_t n = s->n_log;
    for (size_t i = 0; i < n; i++)
        count[s->log[i].cdn]++;
    if (log)
        memcpy(log, s->log, n * sizeof *log);
    range_unlock(s);
    if (hub)
        *hub = count[0];
    if (cdn)
        *cdn = count[1];
    return n;
}

static void range_forget_log(struct range_server *s)
{
    range_lock(s);
    s->n_log = 0;
    range_unlock(s);
}

/* Until n requests have come. */
static void range_await(struct range_server *s, size_t n)
{
    pthread_mutex_lock(&s->lock);
    while (s->n_log < n)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

#endif
