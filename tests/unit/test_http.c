/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP engine against a server that plays tricks. */
#include "test.h"

#include "source/http_internal.h"

#include <stdatomic.h>
#include <time.h>

#include "http_server.h"

/* The object of most tests: every byte tells its place. */
static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 131 + (i >> 8) * 17 + (i >> 16) * 7 + 1);
}

static void send_bytes(struct server_peer *p, uint64_t from, uint64_t to)
{
    uint8_t block[16384];
    while (from < to && !p->broken) {
        const size_t n = (size_t)SC_MIN(to - from, (uint64_t)sizeof block);
        for (size_t i = 0; i < n; i++)
            block[i] = byte_at(from + i);
        server_send(p, block, n);
        from += n;
    }
}

static size_t first_wrong(const uint8_t *p, uint64_t from, size_t n)
{
    size_t i = 0;
    while (i < n && p[i] == byte_at(from + i))
        i++;
    return i;
}

/* An honest file server; the object's size is *ctx. */
static bool honest(struct server_peer *p, const struct server_request *r, void *ctx)
{
    const uint64_t size = *(uint64_t *)ctx;
    uint64_t begin = 0, end = size;

    if (r->ranged && r->begin >= size)
        return server_say(
            p, "HTTP/1.1 416 No\r\nContent-Range: bytes */%" PRIu64 "\r\nContent-Length: 0\r\n\r\n",
            size);
    if (r->ranged) {
        begin = r->begin;
        end = SC_MIN(size, r->end);
        server_say(
            p, "HTTP/1.1 206 Part\r\nContent-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
            begin, end - 1, size);
    } else {
        server_say(p, "HTTP/1.1 200 OK\r\n");
    }
    server_say(p, "ETag: \"v1\"\r\nContent-Length: %" PRIu64 "\r\n\r\n", end - begin);
    if (strcmp(r->method, "HEAD") != 0)
        send_bytes(p, begin, end);
    return true;
}

TEST(whole_object)
{
    struct server s;
    struct sc_http *h = NULL;
    struct sc_error e = {0};
    uint64_t size = 100000;
    struct sc_buf body = {0};
    REQUIRE(server_start(&s, honest, &size));
    REQUIRE(sc_http_start(&(struct sc_http_options){0}, &h, &e) == 0);
    struct sc_http_request q = {.url = server_url(&s, "/x?secret#f"), .body = &body};
    CHECK_ERR(0, sc_http_do(h, &q, &e));
    CHECK_STR(e.text, "");
    CHECK_U64(q.reply.status, 200);
    CHECK_U64(q.reply.total, size);
    CHECK_U64(q.reply.received, size);
    CHECK_U64(body.n, size);
    CHECK_U64(first_wrong((uint8_t *)body.p, 0, body.n), size);
    CHECK_STR(q.reply.etag, "v1");
    CHECK_STR(q.reply.url, server_url(&s, "/x?secret"));
    sc_http_request_clear(h, &q);
    sc_buf_clear(&body);
    sc_http_stop(h);
    server_free(&s);
}
TEST(range)
{
    struct server s;
    struct sc_http *h = NULL;
    struct sc_error e = {0};
    uint64_t size = 100000;
    uint8_t dst[5000];
    REQUIRE(server_start(&s, honest, &size));
    REQUIRE(sc_http_start(&(struct sc_http_options){0}, &h, &e) == 0);
    struct sc_http_request q = {
        .url = server_url(&s, "/x"), .dst = dst, .ranged = true, .offset = 777, .length = 5000};
    CHECK_ERR(0, sc_http_do(h, &q, &e));
    CHECK_STR(e.text, "");
    CHECK_U64(q.reply.status, 206);
    CHECK_U64(q.reply.total, size);
    CHECK_U64(q.reply.received, 5000);
    CHECK_U64(first_wrong(dst, 777, 5000), 5000);
    sc_http_request_clear(h, &q);
    sc_http_stop(h);
    server_free(&s);
}
