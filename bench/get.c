/* SPDX-License-Identifier: Apache-2.0 */
/* get PORT HOST CONNECTIONS SECONDS TIMES < PATHS: asks a server of this machine for paths, over
 * connections that stay open, one after the other on each.
 *
 * TIMES 0: around and around until the seconds are over; 1: each path once. One line: answers a
 * second, megabytes of bodies a second, median and 99th percentile of the milliseconds from request
 * to last byte, answers, answers that were not 200. One thread, so that it leaves the other core to
 * the server. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum { MOST_CONNECTIONS = 64, MOST_PATHS = 1 << 20, HEAD = 8192, CHUNK = 1 << 18 };

struct client {
    int fd;
    double since;
    char head[HEAD + 1];
    size_t n_head;
    uint64_t left; /* of the body */
    int in_body, idle;
};
static struct client clients[MOST_CONNECTIONS];
static char *paths[MOST_PATHS];
static size_t n_paths, next_path, answers, bad;
static uint64_t body_bytes;
static float *times;
static char chunk[CHUNK];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void read_paths(void)
{
    char line[512];
    while (n_paths < MOST_PATHS && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        paths[n_paths++] = strdup(line);
    }
}

/* 0: there is nothing more to ask for. */
static int ask(struct client *c, const char *host, int once)
{
    char request[1024];
    if (once && next_path >= n_paths) {
        c->idle = 1;
        return 0;
    }
    const int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n",
                           paths[next_path++ % n_paths], host);
    c->since = now();
    c->n_head = 0;
    c->in_body = 0;
    if (write(c->fd, request, (size_t)n) != n)
        die("write");
    return 1;
}

/* Takes the head apart when it is whole; what came behind it belongs to the body. */
static size_t take_head(struct client *c, const char *p, size_t n)
{
    const size_t take = n < HEAD - c->n_head ? n : HEAD - c->n_head;
    memcpy(c->head + c->n_head, p, take);
    c->head[c->n_head + take] = '\0';
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) {
        c->n_head += take;
        return take;
    }
    const size_t used = (size_t)(end + 4 - c->head) - c->n_head;
    c->in_body = 1;
    c->left = 0;
    for (char *line = c->head; (line = strstr(line, "\r\n")); line += 2)
        if (strncasecmp(line + 2, "Content-Length:", 15) == 0)
            c->left = strtoull(line + 17, NULL, 10);
    bad += strncmp(c->head, "HTTP/1.1 200", 12) != 0;
    return used;
}

/* 1: the answer is complete. */
static int take(struct client *c)
{
    const ssize_t n = read(c->fd, chunk, sizeof chunk);
    if (n <= 0)
        die("read");
    for (size_t at = 0; at < (size_t)n;) {
        if (!c->in_body) {
            at += take_head(c, chunk + at, (size_t)n - at);
        } else {
            const uint64_t part = (size_t)n - at < c->left ? (size_t)n - at : c->left;
            c->left -= part;
            body_bytes += part;
            at += (size_t)part;
            if (part == 0)
                break;
        }
    }
    return c->in_body && c->left == 0;
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: get PORT HOST CONNECTIONS SECONDS TIMES < PATHS\n");
        return 2;
    }
    const int n = atoi(argv[3]), once = atoi(argv[5]);
    const double limit = atof(argv[4]);
    struct pollfd polls[MOST_CONNECTIONS];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    size_t room = 1 << 22;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    times = malloc(room * sizeof *times);
    read_paths();
    if (n < 1 || n > MOST_CONNECTIONS || n_paths == 0 || !times)
        return 2;
    for (int i = 0; i < n; i++) {
        clients[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(clients[i].fd, (struct sockaddr *)&at, sizeof at) < 0)
            die("connect");
        polls[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
    }
    const double start = now();
    int busy = 0;
    for (int i = 0; i < n; i++)
        busy += ask(&clients[i], argv[2], once);
    while (busy > 0 && now() < start + limit) {
        if (poll(polls, (nfds_t)n, 1000) < 0)
            die("poll");
        for (int i = 0; i < n; i++) {
            if (clients[i].idle || !polls[i].revents || !take(&clients[i]))
                continue;
            if (answers < room)
                times[answers] = (float)(now() - clients[i].since);
            answers++;
            busy -= !ask(&clients[i], argv[2], once);
        }
    }
    const double seconds = now() - start;
    const size_t kept = answers < room ? answers : room;
    qsort(times, kept, sizeof *times, by_size);
    printf("%.1f\t%.1f\t%.4f\t%.4f\t%zu\t%zu\n", (double)answers / seconds,
           (double)body_bytes / seconds * 1e-6, kept ? (double)times[kept / 2] * 1e3 : 0,
           kept ? (double)times[kept * 99 / 100] * 1e3 : 0, answers, bad);
    return 0;
}
