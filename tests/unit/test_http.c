/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP engine against a server that plays tricks. */
#include "test.h"

#include "source/http_internal.h"

#include <stdatomic.h>
#include <time.h>

#include "http_server.h"
#include "oom.h"

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

/* Plays the n-th answer to the n-th request, and the last one from then on. "!..." closes the
 * connection behind it. */
struct script {
    const char *answers[16];
    unsigned n;
};

static bool play(struct server_peer *p, const struct server_request *r, void *ctx)
{
    const struct script *s = ctx;
    const char *text = s->answers[SC_MIN(r->number, s->n - 1)];
    const bool close = text[0] == '!';
    server_send(p, text + close, strlen(text + close));
    return !close;
}

/* A server and an engine that is quick to try again. */
struct rig {
    struct server s;
    struct sc_http *h;
    struct script script;
    struct sc_io io;
    pthread_mutex_t lock;
    char notes[8192];
    unsigned n_notes;
};

static void take_note(void *ctx, const char *sentence)
{
    struct rig *g = ctx;
    pthread_mutex_lock(&g->lock);
    const size_t n = strlen(g->notes);
    snprintf(g->notes + n, sizeof g->notes - n, "%s\n", sentence);
    g->n_notes++;
    pthread_mutex_unlock(&g->lock);
}

static bool rig_start(struct rig *g,
                      bool (*handler)(struct server_peer *, const struct server_request *, void *),
                      void *ctx, struct sc_http_options o)
{
    struct sc_error e = {0};
    memset(g, 0, sizeof *g);
    if (handler == play) { /* it may have been made in the caller's expression */
        g->script = *(const struct script *)ctx;
        ctx = &g->script;
    }
    pthread_mutex_init(&g->lock, NULL);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    o.io = &g->io;
    o.note = take_note;
    o.note_ctx = g;
    if (!o.retry_ms)
        o.retry_ms = 1;
    if (!server_start(&g->s, handler, ctx))
        return false;
    if (o.token && !o.token_origin)
        o.token_origin = server_url(&g->s, "/some/path");
    if (sc_http_start(&o, &g->h, &e) == 0)
        return true;
    fprintf(stderr, "%s\n", e.text);
    server_free(&g->s);
    return false;
}

static void rig_stop(struct rig *g)
{
    sc_http_stop(g->h);
    server_free(&g->s);
    pthread_mutex_destroy(&g->lock);
}

#define OPTIONS(...) ((struct sc_http_options){__VA_ARGS__})
#define SCRIPT(...)                                                                                \
    (&(struct script){.answers = {__VA_ARGS__},                                                    \
                      .n = sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)})
#define OK_BODY(text) "HTTP/1.1 200 OK\r\nContent-Length: " text

/* Asks for a path, the body as text; the sentence or "" goes to e. */
static int get(struct rig *g, struct sc_http_request *q, const char *path, struct sc_buf *body,
               struct sc_error *e)
{
    *e = (struct sc_error){0};
    q->url = server_url(&g->s, path);
    q->body = q->dst || q->sink ? NULL : body;
    return sc_http_do(g->h, q, e);
}

static bool has(const char *text, const char *part)
{
    if (strstr(text, part))
        return true;
    fprintf(stderr, "    \"%s\"\n    lacks \"%s\"\n", text, part);
    return false;
}

static double seconds_now(void)
{
    return (double)sc_milliseconds() / 1000;
}

/* ---------------------------------------------------------------------------------- headers --- */

TEST(content_range)
{
    static const struct {
        const char *text;
        bool ok, unsatisfied;
        uint64_t begin, end, total;
    } cases[] = {
        {"bytes 0-99/1234", true, false, 0, 100, 1234},
        {"bytes 5-5/6", true, false, 5, 6, 6},
        {" Bytes 0-99/* ", true, false, 0, 100, UINT64_MAX},
        {"bytes */1234", true, true, 0, 0, 1234},
        {"bytes */*", false, true, 0, 0, UINT64_MAX},
        {"bytes 0-99/99", false, false, 0, 100, 99},
        {"bytes 9-8/99", false, false, 9, 0, 99},
        {"bytes 0-18446744073709551615/*", false, false, 0, 0, UINT64_MAX},
        {"bytes 0-18446744073709551614/*", true, false, 0, UINT64_MAX, UINT64_MAX},
        {"bytes -1-5/9", false, false, 0, 0, 9},
        {"bytes 0-5", false, false, 0, 0, 0},
        {"bytes 0 - 5/9", false, false, 0, 0, 0},
        {"bytes=0-5/9", false, false, 0, 0, 0},
        {"items 0-5/9", false, false, 0, 0, 0},
        {"bytes 0-5/9x", false, false, 0, 0, 0},
        {"", false, false, 0, 0, 0},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        uint64_t begin, end, total;
        bool unsatisfied;
        const bool ok =
            sc_http_content_range(sc_strz(cases[i].text), &begin, &end, &total, &unsatisfied);
        CHECK_U64(ok, cases[i].ok);
        if (!ok || !cases[i].ok)
            continue;
        CHECK_U64(begin, cases[i].begin);
        CHECK_U64(end, cases[i].end);
        CHECK_U64(total, cases[i].total);
        CHECK_U64(unsatisfied, cases[i].unsatisfied);
    }
}

TEST(rate_limit)
{
    uint64_t rest, seconds;
    CHECK(sc_http_rate_limit(SC_STR("\"api\";r=0;t=123"), &rest, &seconds));
    CHECK_U64(rest, 0);
    CHECK_U64(seconds, 123);
    CHECK(sc_http_rate_limit(SC_STR("\"pages\" ; t = 7 ; r=12, \"b\";r=0;t=9"), &rest, &seconds));
    CHECK_U64(rest, 12);
    CHECK_U64(seconds, 7);
    CHECK(!sc_http_rate_limit(SC_STR("\"api\";r=0"), &rest, &seconds));
    CHECK(!sc_http_rate_limit(SC_STR("\"api\";r=-1;t=2"), &rest, &seconds));
    CHECK(!sc_http_rate_limit(SC_STR("r=0;t=123"), &rest, &seconds));
    CHECK(!sc_http_rate_limit(SC_STR(""), &rest, &seconds));
}

TEST(retry_after)
{
    uint64_t s;
    CHECK(sc_http_retry_after(SC_STR("120"), 0, &s));
    CHECK_U64(s, 120);
    CHECK(sc_http_retry_after(SC_STR("Sun, 06 Nov 1994 08:49:37 GMT"), 784111770, &s));
    CHECK_U64(s, 7);
    CHECK(sc_http_retry_after(SC_STR("Sunday, 06-Nov-94 08:49:37 GMT"), 784111770, &s));
    CHECK_U64(s, 7);
    CHECK(sc_http_retry_after(SC_STR("Sun Nov  6 08:49:37 1994"), 784111770, &s));
    CHECK_U64(s, 7);
    CHECK(sc_http_retry_after(SC_STR("Thu, 29 Feb 2024 00:00:00 GMT"), 1709164799, &s));
    CHECK_U64(s, 1);
    CHECK(sc_http_retry_after(SC_STR("Sun, 06 Nov 1994 08:49:37 GMT"), 999999999, &s));
    CHECK_U64(s, 0);
    CHECK(!sc_http_retry_after(SC_STR("-5"), 0, &s));
    CHECK(!sc_http_retry_after(SC_STR("soon"), 0, &s));
    CHECK(!sc_http_retry_after(SC_STR("06 Nov 1994"), 0, &s));
    CHECK(!sc_http_retry_after(SC_STR("99 Nov 1994 08:49:37"), 0, &s));
    CHECK(!sc_http_retry_after(SC_STR(""), 0, &s));
}

static const char *next_of(const char *value)
{
    static char out[256];
    struct sc_str url;
    if (!sc_http_link_next(sc_strz(value), &url))
        return NULL;
    snprintf(out, sizeof out, "%.*s", (int)url.n, url.p);
    return out;
}

TEST(link_next)
{
    CHECK_STR(next_of("<https://a/b?c=1>; rel=\"next\""), "https://a/b?c=1");
    CHECK_STR(next_of("</x>; rel=prev, </y>; REL=Next"), "/y");
    CHECK_STR(next_of("</a,b;c>; title=\"x, <no>; rel=\\\"next\\\"\"; rel=\"last next\""),
              "/a,b;c");
    CHECK_STR(next_of("</x>; rel=first; rel=next"), NULL);
    CHECK_STR(next_of("</x>; rel=\"nextish\""), NULL);
    CHECK_STR(next_of("</x>"), NULL);
    CHECK_STR(next_of("</x; rel=next"), NULL);
    CHECK_STR(next_of("</x>; rel=\""), NULL);
    CHECK_STR(next_of(""), NULL);
}

TEST(url_expires)
{
    CHECK_U64(sc_http_url_expires("https://cdn/x?Expires=1700000000&Signature=s"), 1700000000);
    CHECK_U64(sc_http_url_expires("https://cdn/x?a=b&X-Amz-Date=20240229T000000Z&X-Amz-Expires=60"),
              1709164860);
    CHECK_U64(sc_http_url_expires("https://b/x?se=2024-02-29T00%3A00%3A00Z&sig=x"), 1709164800);
    CHECK_U64(sc_http_url_expires("https://b/x?se=2024-02-29T00:00:00Z"), 1709164800);
    CHECK_U64(sc_http_url_expires("https://b/x?X-Amz-Date=20240229T000000Z&X-Amz-Expires="
                                  "18446744073709551615"),
              UINT64_MAX);
    CHECK_U64(sc_http_url_expires("https://b/x?se=2024"), 0);
    CHECK_U64(sc_http_url_expires("https://b/x?Expires=soon"), 0);
    CHECK_U64(sc_http_url_expires("https://b/Expires=1"), 0);
    CHECK_U64(sc_http_url_expires("https://b/x#?Expires"), 0);
}

TEST(origins)
{
    CHECK(sc_http_same_origin("https://a.b/x", "https://A.B:443/y?z"));
    CHECK(sc_http_same_origin("http://a.b:80", "http://a.b/"));
    CHECK(!sc_http_same_origin("http://a.b", "https://a.b"));
    CHECK(!sc_http_same_origin("https://a.b", "https://a.b:444"));
    CHECK(!sc_http_same_origin("https://a.b", "https://a.b.c"));
    CHECK(!sc_http_same_origin("https://a.b", "https://a.b@evil/"));
    CHECK(!sc_http_same_origin("https://a.b", "https://a.b\\@evil/"));
    CHECK(!sc_http_same_origin("nonsense", "nonsense"));
    CHECK(!sc_http_same_origin(NULL, "https://a"));
    CHECK(!sc_http_same_origin("ftp://a", "ftp://a"));
}

TEST(safe_url)
{
    struct sc_quoted q;
    CHECK_STR(sc_http_safe_url(&q, "https://a/b?Signature=s#f"), "https://a/b");
    CHECK_STR(sc_http_safe_url(&q, "https://u:p@a:8/b"), "https://a:8/b");
    CHECK_STR(sc_http_safe_url(&q, "https://u@x@a/b@c"), "https://a/b@c");
    CHECK_STR(sc_http_safe_url(&q, "a/b?c"), "a/b");
    CHECK_STR(sc_http_safe_url(&q, "/p?to=http://x/y"), "/p");
    CHECK_STR(sc_http_safe_url(&q, ""), "");
}

/* --------------------------------------------------------------------------------- delivery --- */

TEST(whole_object)
{
    struct rig g;
    struct sc_error e;
    uint64_t size = 100000;
    struct sc_buf body = {0};
    struct sc_http_request q = {0};
    REQUIRE(rig_start(&g, honest, &size, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x?secret#f", &body, &e));
    CHECK_STR(e.text, "");
    CHECK_U64(q.reply.status, 200);
    CHECK(!q.reply.partial);
    CHECK_U64(q.reply.total, size);
    CHECK_U64(q.reply.received, size);
    CHECK_U64(body.n, size);
    CHECK_U64(first_wrong((uint8_t *)body.p, 0, body.n), size);
    CHECK_STR(q.reply.etag, "v1");
    CHECK_STR(q.reply.url, server_url(&g.s, "/x?secret"));
    CHECK(has(g.s.log[0].head, "Accept-Encoding: identity\r\n"));
    CHECK(has(g.s.log[0].head, "User-Agent: scruple/"));
    CHECK(!g.s.log[0].ranged && !g.s.log[0].token);
    CHECK_U64(g.io.requests, 1);
    CHECK_U64(g.io.bytes_read, size);
    sc_http_request_clear(g.h, &q);
    sc_buf_clear(&body);
    rig_stop(&g);
}

TEST(ranges)
{
    static const struct {
        uint64_t off, len, got;
    } cases[] = {
        {0, 1, 1}, {777, 5000, 5000}, {99999, 1, 1}, {99000, 5000, 1000}, {0, 200000, 100000}};
    struct rig g;
    struct sc_error e;
    uint64_t size = 100000;
    static uint8_t dst[200000];
    REQUIRE(rig_start(&g, honest, &size, OPTIONS(0)));
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct sc_http_request q = {
            .dst = dst, .ranged = true, .offset = cases[i].off, .length = cases[i].len};
        CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
        CHECK_STR(e.text, "");
        CHECK_U64(q.reply.status, 206);
        CHECK(q.reply.partial);
        CHECK_U64(q.reply.total, size);
        CHECK_U64(q.reply.received, cases[i].got);
        CHECK_U64(first_wrong(dst, cases[i].off, cases[i].got), cases[i].got);
        sc_http_request_clear(g.h, &q);
    }
    CHECK_U64(server_count(&g.s), SC_COUNT(cases));
    rig_stop(&g);
}

TEST(range_behind_the_end)
{
    struct rig g;
    struct sc_error e;
    uint64_t size = 100;
    uint8_t dst[10];
    REQUIRE(rig_start(&g, honest, &size, OPTIONS(0)));
    struct sc_http_request q = {.dst = dst, .ranged = true, .offset = 100, .length = 10};
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_U64(q.reply.status, 416);
    CHECK_U64(q.reply.total, 100);
    CHECK_U64(q.reply.received, 0);
    q.expect_total = 200;
    CHECK_ERR(SCRUPLE_EIO, get(&g, &q, "/x", NULL, &e));
    CHECK(has(e.text, "changed while being read"));
    q.length = UINT64_MAX;
    CHECK_ERR(SCRUPLE_EUSAGE, get(&g, &q, "/x", NULL, &e));
    q.length = 0;
    CHECK_ERR(SCRUPLE_EUSAGE, get(&g, &q, "/x", NULL, &e));
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

TEST(head)
{
    struct rig g;
    struct sc_error e;
    uint64_t size = UINT64_C(700) << 30;
    struct sc_http_request q = {.head = true};
    REQUIRE(rig_start(&g, honest, &size, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_U64(q.reply.total, size);
    CHECK_U64(q.reply.received, 0);
    CHECK_STR(g.s.log[0].method, "HEAD");
    CHECK_U64(g.io.bytes_read, 0);
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

/* Nothing is handed over of an answer that does not fit. */
TEST(wrong_answers)
{
    static const struct {
        const char *answer;
        int code;
        const char *words;
    } cases[] = {
        {"HTTP/1.1 206 P\r\nContent-Length: 4\r\n\r\nabcd", SCRUPLE_EIO, "no valid Content-Range"},
        {"HTTP/1.1 206 P\r\nContent-Range: bytes x\r\nContent-Length: 4\r\n\r\nabcd", SCRUPLE_EIO,
         "no valid Content-Range"},
        {"HTTP/1.1 206 P\r\nContent-Range: bytes */99\r\nContent-Length: 4\r\n\r\nabcd",
         SCRUPLE_EIO, "no valid Content-Range"},
        {"HTTP/1.1 206 P\r\nContent-Range: bytes 9-12/99\r\nContent-Length: 4\r\n\r\nabcd",
         SCRUPLE_EIO, "bytes from 10 on were asked for"},
        {"HTTP/1.1 206 P\r\nContent-Range: bytes 10-13/99\r\nContent-Length: 5\r\n\r\nabcde",
         SCRUPLE_EIO, "announces 4 bytes and sends 5"},
        {"HTTP/1.1 206 P\r\nContent-Range: bytes 10-13/98\r\nContent-Length: 4\r\n\r\nabcd",
         SCRUPLE_EIO, "changed while being read: it has 98 bytes, had 99"},
        {"HTTP/1.1 206 P\r\nContent-Range: bytes 10-13/99\r\nETag: \"b\"\r\nContent-Length: 4\r\n"
         "\r\nabcd",
         SCRUPLE_EIO, "its etag is b, was a"},
        {"HTTP/1.1 206 P\r\nContent-Range: bytes 10-13/99\r\nX-Repo-Commit: d\r\nContent-Length: "
         "4\r\n\r\nabcd",
         SCRUPLE_EIO, "its commit is d, was c"},
        {"HTTP/1.1 206 P\r\nContent-Encoding: gzip\r\nContent-Range: bytes 10-13/99\r\n"
         "Content-Length: 4\r\n\r\nabcd",
         SCRUPLE_EIO, "encoded as gzip"},
        {"HTTP/1.1 200 P\r\nContent-Length: 98\r\n\r\nabcd", SCRUPLE_EIO, "it has 98 bytes"},
        {"SSH-2.0-OpenSSH\r\n\r\n", SCRUPLE_ENETWORK, "does not speak HTTP"},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        struct rig g;
        struct sc_error e;
        char dst[4] = "...";
        struct sc_http_request q = {.dst = dst,
                                    .ranged = true,
                                    .offset = 10,
                                    .length = 4,
                                    .expect_total = 99,
                                    .expect_etag = "a",
                                    .expect_commit = "c"};
        REQUIRE(rig_start(&g, play, SCRIPT(cases[i].answer), OPTIONS(0)));
        CHECK_ERR(cases[i].code, get(&g, &q, "/x?sig=secret", NULL, &e));
        CHECK(has(e.text, cases[i].words));
        CHECK(!strstr(e.text, "secret"));
        CHECK_STR(dst, "...");
        CHECK_U64(server_count(&g.s), 1);
        sc_http_request_clear(g.h, &q);
        rig_stop(&g);
    }
}

TEST(part_as_200)
{
    struct rig g;
    struct sc_error e;
    char dst[5] = "";
    struct sc_http_request q = {.dst = dst, .ranged = true, .offset = 10, .length = 4};
    REQUIRE(rig_start(&g, play,
                      SCRIPT("HTTP/1.1 200 P\r\nContent-Range: bytes 10-13/99\r\n"
                             "Content-Length: 4\r\n\r\nabcd"),
                      OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_STR(dst, "abcd");
    CHECK_U64(q.reply.total, 99);
    CHECK(q.reply.partial);
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

/* Ignores ranges, and has more than anybody wants. */
static bool endless(struct server_peer *p, const struct server_request *r, void *ctx)
{
    const uint64_t size = *(uint64_t *)ctx;
    (void)r;
    server_say(p, "HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\n\r\n", size);
    send_bytes(p, 0, size);
    return false;
}

TEST(ranges_ignored)
{
    struct rig g;
    struct sc_error e;
    uint64_t size = UINT64_C(700) << 30;
    static uint8_t dst[1 << 20];
    struct sc_http_request q = {.dst = dst, .ranged = true, .offset = 500000, .length = 500000};
    REQUIRE(rig_start(&g, endless, &size, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_STR(e.text, "");
    CHECK_U64(q.reply.status, 200);
    CHECK_U64(q.reply.received, 500000);
    CHECK_U64(q.reply.total, size);
    CHECK(!q.reply.partial);
    CHECK_U64(first_wrong(dst, 500000, 500000), 500000);
    CHECK(g.io.bytes_read <= (1 << 20) + (64 << 10));
    q.offset = 1000000;
    CHECK_ERR(SCRUPLE_ENETWORK, get(&g, &q, "/x", NULL, &e));
    CHECK(has(e.text, "ignores byte ranges"));
    CHECK_U64(q.reply.received, 0);
    CHECK(g.io.bytes_read <= (1 << 20) + (64 << 10));
    sc_http_request_clear(g.h, &q);
    CHECK_U64(server_count(&g.s), 2);
    rig_stop(&g);

    /* The whole object by a range that covers it. */
    size = 3000000;
    struct sc_buf body = {0};
    REQUIRE(rig_start(&g, endless, &size, OPTIONS(0)));
    q = (struct sc_http_request){.ranged = true, .offset = 0, .length = 4000000};
    CHECK_ERR(0, get(&g, &q, "/x", &body, &e));
    CHECK_U64(body.n, size);
    CHECK_U64(first_wrong((uint8_t *)body.p, 0, body.n), size);
    sc_http_request_clear(g.h, &q);
    sc_buf_clear(&body);
    rig_stop(&g);
}

/* Of what is asked at most 1000 bytes come at once. */
static bool stingy(struct server_peer *p, const struct server_request *r, void *ctx)
{
    const uint64_t size = *(uint64_t *)ctx, end = SC_MIN(SC_MIN(r->end, r->begin + 1000), size);
    server_say(p,
               "HTTP/1.1 206 P\r\nContent-Length: %" PRIu64 "\r\nContent-Range: bytes %" PRIu64
               "-%" PRIu64 "/%" PRIu64 "\r\n\r\n",
               end - r->begin, r->begin, end - 1, size);
    send_bytes(p, r->begin, end);
    return true;
}

TEST(rest_is_asked_for)
{
    struct rig g;
    struct sc_error e;
    uint64_t size = 5000;
    uint8_t dst[4000];
    struct sc_http_request q = {.dst = dst, .ranged = true, .offset = 500, .length = 3500};
    REQUIRE(rig_start(&g, stingy, &size, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_U64(q.reply.received, 3500);
    CHECK_U64(first_wrong(dst, 500, 3500), 3500);
    CHECK_U64(server_count(&g.s), 4);
    CHECK_STR(g.s.log[0].range, "bytes=500-3999");
    CHECK_STR(g.s.log[3].range, "bytes=3500-3999");
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

TEST(more_than_asked)
{
    struct rig g;
    struct sc_error e;
    char dst[5] = "";
    struct sc_http_request q = {.dst = dst, .ranged = true, .offset = 10, .length = 4};
    REQUIRE(rig_start(&g, play,
                      SCRIPT("HTTP/1.1 206 P\r\nContent-Range: bytes 10-19/99\r\n"
                             "Content-Length: 10\r\n\r\nabcdefghij"),
                      OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_STR(dst, "abcd");
    CHECK_U64(q.reply.received, 4);
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

TEST(limits_of_room)
{
    struct rig g;
    struct sc_error e;
    char dst[4];
    struct sc_buf body = {.max = 4};
    struct sc_http_request q = {.dst = dst, .length = 4};
    REQUIRE(rig_start(&g, play,
                      SCRIPT(OK_BODY("5\r\n\r\nabcde"), OK_BODY("5\r\n\r\nabcde"),
                             "!HTTP/1.0 200 OK\r\n\r\nabcde"),
                      OPTIONS(0)));
    CHECK_ERR(SCRUPLE_ELIMIT, get(&g, &q, "/x", NULL, &e));
    CHECK(has(e.text, "has 5 bytes; at most 4 are read"));
    sc_http_request_clear(g.h, &q);
    q = (struct sc_http_request){0};
    CHECK_ERR(SCRUPLE_ELIMIT, get(&g, &q, "/x", &body, &e));
    CHECK(has(e.text, "has 5 bytes; at most 4 are read"));
    CHECK_ERR(SCRUPLE_ELIMIT, get(&g, &q, "/x", &body, &e));
    CHECK(has(e.text, "longer than the 4 bytes"));
    sc_buf_clear(&body);
    sc_http_request_clear(g.h, &q);
    q = (struct sc_http_request){.dst = dst, .length = 4};
    CHECK_ERR(SCRUPLE_ELIMIT, get(&g, &q, "/x", NULL, &e));
    CHECK(has(e.text, "longer than the 4 bytes"));
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

/* Nobody wants the body: little of it is read. */
TEST(dropped_body)
{
    struct rig g;
    struct sc_error e;
    uint64_t size = UINT64_C(1) << 40;
    struct sc_http_request q = {0};
    REQUIRE(rig_start(&g, endless, &size, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_U64(q.reply.status, 200);
    CHECK(g.io.bytes_read <= (1 << 20) + (512 << 10));
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

struct taker {
    uint64_t n, stop_at;
    bool wrong;
};

static int take(void *ctx, const uint8_t *p, size_t n)
{
    struct taker *t = ctx;
    t->wrong = t->wrong || first_wrong(p, t->n, n) != n;
    t->n += n;
    return t->stop_at && t->n >= t->stop_at ? SCRUPLE_EWRITE : 0;
}

TEST(sink)
{
    struct rig g;
    struct sc_error e;
    uint64_t size = 3000000;
    struct taker t = {0};
    struct sc_http_request q = {.sink = take, .sink_ctx = &t};
    REQUIRE(rig_start(&g, honest, &size, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_U64(t.n, size);
    CHECK(!t.wrong);
    t = (struct taker){.stop_at = 1000000};
    CHECK_ERR(SCRUPLE_EWRITE, get(&g, &q, "/x", NULL, &e));
    CHECK(t.n >= 1000000 && t.n < 2000000);
    sc_http_request_clear(g.h, &q);
    CHECK_U64(server_count(&g.s), 2);
    rig_stop(&g);
}

/* --------------------------------------------------------------------------------- answers --- */

TEST(answers_that_are_no_success)
{
    struct rig g;
    struct sc_error e;
    struct sc_buf body = {0}, error = {.max = 5};
    struct sc_http_request q = {.error_body = &error};
    REQUIRE(rig_start(&g, play,
                      SCRIPT("HTTP/1.1 404 No\r\nX-Error-Code: EntryNotFound\r\n"
                             "X-Error-Message: no such file\r\nX-Request-Id: r1\r\n"
                             "X-Amzn-Trace-Id: t1\r\nContent-Type: text/plain\r\n"
                             "Content-Length: 10\r\n\r\n0123456789"),
                      OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", &body, &e));
    CHECK_U64(q.reply.status, 404);
    CHECK_U64(body.n, 0);
    CHECK_STR(error.p, "01234");
    CHECK_STR(q.reply.error_code, "EntryNotFound");
    CHECK_STR(q.reply.error_message, "no such file");
    CHECK_STR(q.reply.request_id, "r1");
    CHECK_STR(q.reply.content_type, "text/plain");
    CHECK_U64(q.reply.received, 0);
    CHECK_ERR(SCRUPLE_ENOTFOUND, sc_http_fail_status(&q.reply, "org/name", &e));
    CHECK_STR(e.text, "org/name: the server answered 404 (not found): no such file [request r1]");
    sc_http_request_clear(g.h, &q);
    sc_buf_clear(&error);
    rig_stop(&g);
}

TEST(facts_of_the_answer)
{
    struct rig g;
    struct sc_error e;
    struct sc_buf body = {0};
    struct sc_http_request q = {0};
    REQUIRE(rig_start(&g, play,
                      SCRIPT("HTTP/1.1 103 Early\r\nX-Repo-Commit: no\r\nETag: \"no\"\r\n\r\n"
                             "HTTP/1.1 200 OK\r\netag: W/\"e1\"\r\nx-linked-etag: \"l1\"\r\n"
                             "X-Linked-Size: 42\r\nX-Repo-Commit: c1\r\nX-Xet-Hash: h1\r\n"
                             "X-HF-Warning: topic; text\r\nLink: </next?cursor=2>; rel=\"next\"\r\n"
                             "Content-Length: 2\r\n\r\nhi"),
                      OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/a/b", &body, &e));
    CHECK_STR(q.reply.etag, "e1");
    CHECK_STR(q.reply.linked_etag, "l1");
    CHECK_U64(q.reply.linked_size, 42);
    CHECK_STR(q.reply.commit, "c1");
    CHECK_STR(q.reply.xet_hash, "h1");
    CHECK_STR(q.reply.warning, "topic; text");
    CHECK_STR(q.reply.next, server_url(&g.s, "/next?cursor=2"));
    CHECK_U64(q.reply.expires, 0);
    CHECK_STR(body.p, "hi");
    sc_http_request_clear(g.h, &q);
    sc_buf_clear(&body);
    rig_stop(&g);
}

/* -------------------------------------------------------------------------------- redirects --- */

/* A hub in front of a store: /file leads to the store, /renamed to /file, /loop to itself. */
struct hub {
    struct server *store;
    const char *location;
};

static bool redirect(struct server_peer *p, const struct server_request *r, void *ctx)
{
    const struct hub *hub = ctx;
    char to[16000];

    if (strcmp(r->path, "/renamed") == 0)
        snprintf(to, sizeof to, "/file");
    else if (strcmp(r->path, "/loop") == 0)
        snprintf(to, sizeof to, "loop");
    else if (strcmp(r->path, "/file") == 0)
        snprintf(to, sizeof to, "%s",
                 server_url(hub->store, "/blob?Expires=1700000000&Signature=secret"));
    else
        snprintf(to, sizeof to, "%s", hub->location);
    return server_say(p,
                      "HTTP/1.1 302 F\r\nX-Linked-Etag: \"sha\"\r\nX-Linked-Size: 100000\r\n"
                      "ETag: \"pointer\"\r\nX-Repo-Commit: c1\r\nLocation: %s\r\n"
                      "Content-Length: 5\r\n\r\nmoved",
                      to);
}

TEST(redirects)
{
    struct rig g;
    struct server store;
    struct sc_error e;
    uint64_t size = 100000;
    uint8_t dst[100];
    struct hub hub = {.store = &store};
    struct sc_http_request q = {.dst = dst,
                                .ranged = true,
                                .offset = 50,
                                .length = 100,
                                .with_token = true,
                                .expect_etag = "sha",
                                .expect_body_etag = "v1",
                                .expect_commit = "c1"};
    REQUIRE(server_start(&store, honest, &size));
    REQUIRE(rig_start(&g, redirect, &hub, OPTIONS(.token = "hf_token")));
    CHECK_ERR(0, get(&g, &q, "/renamed", NULL, &e));
    CHECK_STR(e.text, "");
    CHECK_U64(q.reply.status, 206);
    CHECK_U64(q.reply.hops, 2);
    CHECK(q.reply.token_sent);
    CHECK_STR(q.reply.linked_etag, "sha");
    CHECK_STR(q.reply.etag, "v1");
    CHECK_U64(q.reply.linked_size, 100000);
    CHECK_STR(q.reply.commit, "c1");
    CHECK_U64(q.reply.expires, 1700000000);
    CHECK_STR(q.reply.url, server_url(&store, "/blob?Expires=1700000000&Signature=secret"));
    CHECK_U64(first_wrong(dst, 50, 100), 100);
    CHECK_U64(server_count(&g.s), 2);
    CHECK_U64(server_count(&store), 1);
    CHECK(has(g.s.log[0].head, "Authorization: Bearer hf_token\r\n"));
    CHECK(g.s.log[1].token && g.s.log[1].ranged);
    CHECK(!store.log[0].token && !strstr(store.log[0].head, "hf_token"));
    CHECK_STR(store.log[0].range, "bytes=50-149");
    CHECK_U64(g.io.requests, 3);

    /* The first answer decides, and nobody else is asked then. */
    q.expect_etag = "other";
    CHECK_ERR(SCRUPLE_EIO, get(&g, &q, "/file", NULL, &e));
    CHECK(has(e.text, "its etag is sha, was other"));
    CHECK_U64(server_count(&store), 1);

    /* The token was not asked for. */
    sc_http_request_clear(g.h, &q);
    q = (struct sc_http_request){.dst = dst, .ranged = true, .length = 1};
    CHECK_ERR(0, get(&g, &q, "/file", NULL, &e));
    CHECK(!q.reply.token_sent && !g.s.log[3].token);

    /* Staying: the redirect is the answer, a relative one is followed. */
    sc_http_request_clear(g.h, &q);
    q = (struct sc_http_request){.head = true, .stay = true};
    CHECK_ERR(0, get(&g, &q, "/renamed", NULL, &e));
    CHECK_U64(q.reply.status, 302);
    CHECK_U64(q.reply.hops, 1);
    CHECK_STR(q.reply.url, server_url(&g.s, "/file"));
    CHECK_U64(server_count(&store), 2);
    sc_http_request_clear(g.h, &q);
    server_free(&store);
    rig_stop(&g);
}

TEST(redirects_refused)
{
    static char long_url[9000];
    struct rig g;
    struct server store;
    struct sc_error e;
    uint64_t size = 10;
    memset(long_url, 'x', sizeof long_url - 1);
    memcpy(long_url, "http://127.0.0.1/", 17);
    const struct {
        const char *location, *words;
    } cases[] = {
        {"ftp://127.0.0.1/x?secret", "only http:// and https:// can be read"},
        {"file:///etc/passwd", "only http"},
        {"http://user:secret@127.0.0.1/x", "a URL with a user name"},
        {long_url, "too long"},
        {"http://", "is no URL"},
    };
    struct hub hub = {.store = &store};
    struct sc_http_request q = {.with_token = true};
    REQUIRE(server_start(&store, honest, &size));
    REQUIRE(rig_start(&g, redirect, &hub, OPTIONS(.token = "hf_token")));
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        hub.location = cases[i].location;
        CHECK_ERR(SCRUPLE_ENETWORK, get(&g, &q, "/evil", NULL, &e));
        CHECK_U64(e.code, SCRUPLE_ENETWORK);
        CHECK(has(e.text, cases[i].words));
        CHECK(!strstr(e.text, "secret"));
    }
    CHECK_U64(server_count(&g.s), SC_COUNT(cases));
    CHECK_ERR(SCRUPLE_ENETWORK, get(&g, &q, "/loop", NULL, &e));
    CHECK(has(e.text, "more than 5 redirects"));
    CHECK_U64(server_count(&g.s), SC_COUNT(cases) + 6);
    sc_http_request_clear(g.h, &q);
    server_free(&store);
    rig_stop(&g);
}

TEST(redirects_never_lose_encryption)
{
    struct sc_http h = {0};
    struct sc_http_request q = {0};
    struct sc_error e = {0};
    char location[] = "http://a.b/x?secret";
    struct sc_http_job j = {.h = &h, .q = &q, .a = {.status = 302, .location = location}};
    REQUIRE(sc_http_place_parse(NULL, "https://a.b/", &j.place, &e) == 0);
    CHECK_ERR(SCRUPLE_ENETWORK, sc_http_follow(&j, &e));
    CHECK_STR(e.text,
              "https://a.b/ leads to http://a.b/x, which is not encrypted; this is not followed");
    CHECK_STR(j.place.url, "https://a.b/");
    sc_http_place_clear(&j.place);
}

/* An endpoint without encryption gets the token, and the user is told once. */
TEST(token_in_the_open)
{
    struct rig g;
    uint64_t size = 1;
    REQUIRE(
        rig_start(&g, honest, &size, OPTIONS(.token = "t", .token_origin = "http://hub.example")));
    struct sc_http_request q = {.with_token = true};
    struct sc_http_job j = {.h = g.h, .q = &q};
    REQUIRE(sc_http_place_parse(NULL, "http://hub.example/x", &j.place, NULL) == 0);
    CHECK(sc_http_may_see_token(&j));
    CHECK(sc_http_may_see_token(&j));
    CHECK_U64(g.n_notes, 1);
    CHECK(has(g.notes, "the token goes to http://hub.example without encryption"));
    sc_http_place_clear(&j.place);
    REQUIRE(sc_http_place_parse(NULL, "https://hub.example/x", &j.place, NULL) == 0);
    CHECK(!sc_http_may_see_token(&j));
    sc_http_place_clear(&j.place);
    rig_stop(&g);
}

TEST(tokens_that_are_refused)
{
    struct sc_http *h;
    struct sc_error e = {0};
    CHECK_ERR(SCRUPLE_EUSAGE, sc_http_start(&OPTIONS(.token = "a\r\nX: y"), &h, &e));
    CHECK(!h && !strstr(e.text, "X: y"));
    CHECK_ERR(SCRUPLE_EUSAGE, sc_http_start(&OPTIONS(.token_origin = "nothing"), &h, &e));
    CHECK(!h);
}

/* ---------------------------------------------------------------------------------- retries --- */

#define BUSY   "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
#define FINE   OK_BODY("4\r\n\r\nfine")
#define SILENT "!"

TEST(five_faults_in_a_row)
{
    struct rig g;
    struct sc_error e;
    struct sc_buf body = {0};
    struct sc_http_request q = {0};
    REQUIRE(rig_start(&g, play,
                      SCRIPT(BUSY, SILENT, "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n",
                             "HTTP/1.1 408 T\r\nContent-Length: 0\r\n\r\n", SILENT, FINE),
                      OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", &body, &e));
    CHECK_U64(q.reply.status, 200);
    CHECK_STR(body.p, "fine");
    CHECK_U64(server_count(&g.s), 6);
    CHECK_U64(g.io.requests, 6);
    sc_http_request_clear(g.h, &q);
    sc_buf_clear(&body);
    rig_stop(&g);
}

TEST(six_faults_in_a_row)
{
    struct rig g;
    struct sc_error e;
    struct sc_buf body = {0}, error = {0};
    struct sc_http_request q = {.error_body = &error};
    REQUIRE(rig_start(&g, play, SCRIPT(BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, FINE), OPTIONS(0)));
    CHECK_ERR(SCRUPLE_ENETWORK, get(&g, &q, "/x", &body, &e));
    CHECK(has(e.text, "/x: the server answered 503 (service unavailable) (tried 6 times)"));
    CHECK_U64(q.reply.status, 503);
    CHECK_STR(error.p, "busy");
    CHECK_U64(server_count(&g.s), 6);
    sc_http_request_clear(g.h, &q);
    sc_buf_clear(&error);
    rig_stop(&g);

    REQUIRE(rig_start(&g, play, SCRIPT(SILENT), OPTIONS(.tries = 2)));
    CHECK_ERR(SCRUPLE_ENETWORK, get(&g, &q, "/x", &body, &e));
    CHECK(has(e.text, "(tried 3 times)"));
    CHECK_U64(q.reply.status, 0);
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

/* Sends so many bytes of what was asked, then hangs up. Unranged answers have a length if it is
 * `sized`. */
struct breaker {
    uint64_t size, piece;
    bool sized, deaf, twin; /* deaf: to ranges; twin: another etag from the second answer on */
};

static bool breaks(struct server_peer *p, const struct server_request *r, void *ctx)
{
    const struct breaker *b = ctx;
    const bool ranged = r->ranged && !b->deaf;
    const uint64_t begin = ranged ? r->begin : 0, end = SC_MIN(b->size, ranged ? r->end : b->size);
    if (ranged)
        server_say(p,
                   "HTTP/1.1 206 P\r\nContent-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
                   begin, end - 1, b->size);
    else
        server_say(p, "HTTP/1.1 200 OK\r\n");
    server_say(p, "ETag: \"%s\"\r\n", b->twin && r->number ? "v2" : "v1");
    if (b->sized || ranged)
        server_say(p, "Content-Length: %" PRIu64 "\r\n", end - begin);
    server_say(p, "\r\n");
    send_bytes(p, begin, SC_MIN(end, begin + b->piece * (b->deaf ? r->number + 1 : 1)));
    return false;
}

TEST(resumed_where_it_broke)
{
    struct rig g;
    struct sc_error e;
    static uint8_t dst[100000];
    struct breaker b = {.size = 200000, .piece = 10000};
    struct sc_http_request q = {.dst = dst, .ranged = true, .offset = 50, .length = 100000};
    REQUIRE(rig_start(&g, breaks, &b, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e)); /* ten pieces: progress starts the count anew */
    CHECK_STR(e.text, "");
    CHECK_U64(q.reply.received, 100000);
    CHECK_U64(first_wrong(dst, 50, 100000), 100000);
    CHECK_U64(server_count(&g.s), 10);
    CHECK_STR(g.s.log[1].range, "bytes=10050-100049");
    CHECK_STR(g.s.log[9].range, "bytes=90050-100049");
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

TEST(whole_object_resumed)
{
    struct rig g;
    struct sc_error e;
    struct breaker b = {.size = 100000, .piece = 30000, .sized = true};
    struct taker t = {0};
    struct sc_http_request q = {.sink = take, .sink_ctx = &t};
    REQUIRE(rig_start(&g, breaks, &b, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_U64(t.n, 100000);
    CHECK(!t.wrong);
    CHECK_U64(server_count(&g.s), 4);
    CHECK(!g.s.log[0].ranged);
    CHECK_STR(g.s.log[1].range, "bytes=30000-99999");
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

TEST(changed_midway)
{
    struct rig g;
    struct sc_error e;
    struct breaker b = {.size = 100000, .piece = 30000, .sized = true, .twin = true};
    struct taker t = {0};
    struct sc_http_request q = {.sink = take, .sink_ctx = &t};
    REQUIRE(rig_start(&g, breaks, &b, OPTIONS(0)));
    CHECK_ERR(SCRUPLE_EIO, get(&g, &q, "/x", NULL, &e));
    CHECK(has(e.text, "was changed while being read: its etag is v2, was v1"));
    CHECK_U64(t.n, 30000);
    CHECK_U64(server_count(&g.s), 2);
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

/* No ranges: what is here already is skipped, or all of it comes again. */
TEST(resumed_without_ranges)
{
    struct rig g;
    struct sc_error e;
    struct breaker b = {.size = 1000000, .piece = 400000, .sized = true, .deaf = true};
    struct taker t = {0};
    struct sc_http_request q = {.sink = take, .sink_ctx = &t};
    REQUIRE(rig_start(&g, breaks, &b, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_U64(t.n, b.size);
    CHECK(!t.wrong);
    CHECK_U64(server_count(&g.s), 3);
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);

    b.size = 5000000;
    b.piece = 2000000;
    t = (struct taker){0};
    REQUIRE(rig_start(&g, breaks, &b, OPTIONS(0)));
    CHECK_ERR(SCRUPLE_ENETWORK, get(&g, &q, "/x", NULL, &e));
    CHECK(has(e.text, "the connection broke after 2000000 bytes"));
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);

    struct sc_buf body = {0};
    sc_buf_puts(&body, "#");
    q = (struct sc_http_request){0};
    REQUIRE(rig_start(&g, breaks, &b, OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", &body, &e));
    CHECK_STR(e.text, "");
    CHECK_U64(q.reply.received, b.size);
    CHECK_U64(body.n, b.size + 1);
    CHECK_U64(first_wrong((uint8_t *)body.p + 1, 0, b.size), b.size);
    sc_http_request_clear(g.h, &q);
    sc_buf_clear(&body);
    rig_stop(&g);
}

TEST(nobody_there)
{
    struct rig g;
    struct server gone;
    struct sc_error e = {0};
    uint64_t size = 1;
    REQUIRE(rig_start(&g, honest, &size, OPTIONS(0)));
    REQUIRE(server_start(&gone, honest, &size));
    struct sc_http_request q = {.url = server_url(&gone, "/x?secret")};
    CHECK_ERR(0, sc_http_do(g.h, &q, &e));
    sc_http_request_clear(g.h, &q);
    server_stop(&gone); /* one that has answered may come back */
    q = (struct sc_http_request){.url = server_url(&gone, "/x?secret")};
    CHECK_ERR(SCRUPLE_ENETWORK, sc_http_do(g.h, &q, &e));
    CHECK(has(e.text, "refuses it (tried 6 times)"));
    sc_http_request_clear(g.h, &q);
    free(gone.log);
    REQUIRE(server_start(&gone, honest, &size));
    server_stop(&gone); /* one that never did is more likely misspelt */
    q = (struct sc_http_request){.url = server_url(&gone, "/x?secret")};
    CHECK_ERR(SCRUPLE_ENETWORK, sc_http_do(g.h, &q, &e));
    CHECK(has(e.text, "refuses it (tried 2 times)"));
    q.url = "http://no.such.host.invalid/x";
    CHECK_ERR(SCRUPLE_ENETWORK, sc_http_do(g.h, &q, &e));
    CHECK(has(e.text, "http://no.such.host.invalid: this host cannot be found; is there a network? "
                      "(tried 2 times)"));
    q.url = "ftp://x/";
    CHECK_ERR(SCRUPLE_EUSAGE, sc_http_do(g.h, &q, &e));
    q.url = "";
    CHECK_ERR(SCRUPLE_EUSAGE, sc_http_do(g.h, &q, &e));
    sc_http_request_clear(g.h, &q);
    free(gone.log);
    rig_stop(&g);
}

/* Answers the header after `ms`, then the body byte by byte. */
static bool slow(struct server_peer *p, const struct server_request *r, void *ctx)
{
    const int *ms = ctx;
    if (r->number == 0 && ms[0] && !server_hold(p, ms[0]))
        return false;
    server_say(p, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    if (r->number == 0 && ms[1]) {
        server_send(p, "f", 1);
        if (!server_hold(p, ms[1]))
            return false;
        server_send(p, "ine", 3);
    } else {
        server_send(p, "fine", 4);
    }
    return true;
}

TEST(timeouts)
{
    struct rig g;
    struct sc_error e;
    struct sc_buf body = {0};
    struct sc_http_request q = {0};
    static int late[] = {60000, 0}, stalling[] = {0, 60000};
    REQUIRE(rig_start(&g, slow, late, OPTIONS(.answer_ms = 50)));
    CHECK_ERR(0, get(&g, &q, "/x", &body, &e));
    CHECK_STR(body.p, "fine");
    CHECK(server_count(&g.s) >= 2); /* more when the machine is busy */
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
    sc_buf_clear(&body);

    char dst[4];
    q = (struct sc_http_request){.dst = dst, .length = 4};
    REQUIRE(rig_start(&g, slow, stalling, OPTIONS(.stall_ms = 100)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e)); /* the rest of it, without ranges */
    CHECK_BITS(dst, "fine", 4);
    CHECK(server_count(&g.s) >= 2);
    CHECK_STR(g.s.log[1].range, "bytes=1-3");
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

/* Any fault at any time, by the number of the request. */
static bool chaos(struct server_peer *p, const struct server_request *r, void *ctx)
{
    const uint64_t size = *(uint64_t *)ctx, dice = (r->number + 1) * UINT64_C(0x9E3779B97F4A7C15);
    const uint64_t begin = r->ranged ? r->begin : 0, end = SC_MIN(r->end, size);
    uint64_t send = end - begin, say = send;

    switch (dice >> 61) {
    case 0:
        return false;
    case 1:
        return server_say(p, BUSY);
    case 2:
        server_say(p, "HTTP/1.1 20");
        return false;
    case 3:
        send = (dice & 0xffff) % (send + 1); /* breaks */
        break;
    case 4:
        send = say = r->ranged ? (dice & 0xffff) % send + 1 : send; /* less than was asked */
        break;
    default:
        break;
    }
    if (r->ranged)
        server_say(p,
                   "HTTP/1.1 206 P\r\nContent-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
                   begin, begin + say - 1, size);
    else
        server_say(p, "HTTP/1.1 200 OK\r\n");
    server_say(p, "Content-Length: %" PRIu64 "\r\n\r\n", say);
    send_bytes(p, begin, begin + send);
    return send == say;
}

TEST(faults_of_every_kind)
{
    enum { N = 200, LENGTH = 40000 };
    struct rig g;
    struct sc_error e = {0};
    uint64_t size = 100000;
    static struct sc_http_request q[N];
    static uint8_t dst[N][LENGTH];
    static struct sc_buf body[N];
    char url[64];

    REQUIRE(rig_start(&g, chaos, &size, OPTIONS(.tries = 30)));
    snprintf(url, sizeof url, "%s", server_url(&g.s, "/x"));
    for (unsigned i = 0; i < N; i++) {
        q[i] = (struct sc_http_request){.url = url, .body = &body[i]};
        if (i % 4)
            q[i] = (struct sc_http_request){
                .url = url, .dst = dst[i], .ranged = true, .offset = i * 300, .length = LENGTH};
        CHECK_ERR(0, sc_http_submit(g.h, &q[i], NULL, NULL, &e));
    }
    for (unsigned i = 0; i < N; i++) {
        const uint64_t n = i % 4 ? LENGTH : size;
        CHECK_ERR(0, sc_http_wait(g.h, &q[i], &e));
        CHECK_STR(e.text, "");
        CHECK_U64(q[i].reply.received, n);
        CHECK_U64(first_wrong(i % 4 ? dst[i] : (uint8_t *)body[i].p, q[i].offset, n), n);
        sc_http_request_clear(g.h, &q[i]);
        sc_buf_clear(&body[i]);
    }
    rig_stop(&g);
}

/* ---------------------------------------------------------------------------- limits of rate ---
 */

TEST(rate_limited)
{
    struct rig g;
    struct sc_error e;
    struct sc_buf body = {0};
    struct sc_http_request q = {0};
    const double start = seconds_now();
    REQUIRE(rig_start(
        &g, play, SCRIPT("HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", FINE),
        OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", &body, &e));
    CHECK(seconds_now() - start >= 0.99);
    CHECK_U64(g.n_notes, 1);
    CHECK(has(g.notes, "rate limited by http://127.0.0.1:"));
    CHECK(has(g.notes, ": waiting 1 s\n"));
    CHECK_U64(server_count(&g.s), 2);
    sc_http_request_clear(g.h, &q);
    sc_buf_clear(&body);
    rig_stop(&g);
}

TEST(rate_limited_for_long)
{
    static const char *const answers[] = {
        "HTTP/1.1 429 Slow\r\nRetry-After: 61\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Slow\r\nRateLimit: \"api\";r=0;t=60\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 No\r\nRetry-After: 61\r\nContent-Length: 0\r\n\r\n",
    };
    static const char *const words[] = {
        "rate limited by http://127.0.0.1:", "rate limited by http://127.0.0.1:",
        " answers 503 (service unavailable) and asks to come back"};
    for (size_t i = 0; i < SC_COUNT(answers); i++) {
        struct rig g;
        struct sc_error e;
        struct sc_http_request q = {0};
        REQUIRE(rig_start(&g, play, SCRIPT(answers[i]), OPTIONS(0)));
        CHECK_ERR(SCRUPLE_ENETWORK, get(&g, &q, "/x", NULL, &e));
        CHECK(has(e.text, words[i]));
        CHECK(has(e.text, " 61 s"));
        CHECK_U64(!strstr(e.text, "HF_TOKEN"), i == 2);
        CHECK_U64(q.reply.status, i == 2 ? 503 : 429);
        CHECK_U64(server_count(&g.s), 1);
        sc_http_request_clear(g.h, &q);
        rig_stop(&g);
    }
}

/* A success that used up the quota makes the next one wait; the limit is for its origin only. */
TEST(quota_used_up)
{
    struct rig g;
    struct server other;
    struct sc_error e = {0};
    uint64_t size = 4;
    struct sc_http_request q = {0}, r = {0};
    REQUIRE(server_start(&other, honest, &size));
    REQUIRE(rig_start(&g, play,
                      SCRIPT("HTTP/1.1 200 OK\r\nRateLimit: \"api\";r=0;t=1\r\n"
                             "Content-Length: 0\r\n\r\n",
                             FINE),
                      OPTIONS(0)));
    CHECK_ERR(0, get(&g, &q, "/x", NULL, &e));
    CHECK_U64(g.n_notes, 0); /* nobody waits yet */
    sc_http_request_clear(g.h, &q);
    q.url = server_url(&g.s, "/y");
    CHECK_ERR(0, sc_http_submit(g.h, &q, NULL, NULL, &e));
    r.url = server_url(&other, "/z");
    CHECK_ERR(0, sc_http_do(g.h, &r, &e));
    CHECK(!sc_http_is_done(g.h, &q));
    CHECK_ERR(0, sc_http_wait(g.h, &q, &e));
    CHECK_U64(g.n_notes, 1);
    CHECK(has(g.notes, "waiting 2 s") || has(g.notes, "waiting 1 s"));
    sc_http_request_clear(g.h, &q);
    sc_http_request_clear(g.h, &r);
    server_free(&other);
    rig_stop(&g);
}

/* Says that three are left, and looks how many come at once. */
struct gate {
    atomic_uint inside, most;
};

static bool few_left(struct server_peer *p, const struct server_request *r, void *ctx)
{
    struct gate *gate = ctx;
    const unsigned now = ++gate->inside;
    if (r->number > 0 && now > gate->most)
        gate->most = now;
    if (r->number > 0)
        server_hold(p, 5);
    gate->inside--;
    return server_say(p, "HTTP/1.1 200 OK\r\nRateLimit: \"api\";r=3;t=100\r\n"
                         "Content-Length: 0\r\n\r\n");
}

TEST(few_left_few_sent)
{
    struct rig g;
    struct sc_error e = {0};
    struct gate gate = {0};
    enum { N = 30 };
    struct sc_http_request q[N] = {{0}};
    REQUIRE(rig_start(&g, few_left, &gate, OPTIONS(0)));
    q[0].url = server_url(&g.s, "/x");
    CHECK_ERR(0, sc_http_do(g.h, &q[0], &e));
    for (int i = 1; i < N; i++) {
        q[i].url = q[0].url;
        CHECK_ERR(0, sc_http_submit(g.h, &q[i], NULL, NULL, &e));
    }
    for (int i = 0; i < N; i++) {
        CHECK_ERR(0, sc_http_wait(g.h, &q[i], &e));
        sc_http_request_clear(g.h, &q[i]);
    }
    CHECK(gate.most >= 1 && gate.most <= 3);
    rig_stop(&g);
}

/* ------------------------------------------------------------------------------ many at once ---
 */

static void count_done(void *ctx, struct sc_http_request *q)
{
    atomic_uint *n = ctx;
    if (q->result == 0)
        ++*n;
}

TEST(hundreds_at_once)
{
    enum { N = 500 };
    struct rig g;
    struct sc_error e = {0};
    uint64_t size = 100000;
    static struct sc_http_request q[N];
    static uint8_t dst[N][100];
    atomic_uint done = 0;
    REQUIRE(rig_start(&g, honest, &size, OPTIONS(.connections = 16)));
    for (unsigned i = 0; i < N; i++) {
        q[i] = (struct sc_http_request){.url = server_url(&g.s, "/x"),
                                        .dst = dst[i],
                                        .ranged = true,
                                        .offset = i * 7,
                                        .length = 100};
        char *copy = malloc(strlen(q[i].url) + 1); /* server_url() has seven of them */
        strcpy(copy, q[i].url);
        q[i].url = copy;
        CHECK_ERR(0, sc_http_submit(g.h, &q[i], count_done, &done, &e));
    }
    for (unsigned i = 0; i < N; i++) {
        CHECK_ERR(0, sc_http_wait(g.h, &q[i], &e));
        CHECK(sc_http_is_done(g.h, &q[i]));
        CHECK_U64(first_wrong(dst[i], i * 7, 100), 100);
        sc_http_request_clear(g.h, &q[i]);
        free((void *)(uintptr_t)q[i].url);
    }
    CHECK_U64(done, N);
    CHECK_U64(server_count(&g.s), N);
    CHECK_U64(g.io.requests, N);
    CHECK_U64(g.io.bytes_read, N * 100);
    CHECK(g.s.n_peers <= 16); /* connections are used again */
    rig_stop(&g);
}

struct worker {
    struct rig *g;
    struct sc_http_request *shared;
    unsigned bad;
};

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct sc_error e = {0};
    w->bad += sc_http_wait(w->g->h, w->shared, &e) != 0;
    for (unsigned i = 0; i < 50; i++) {
        uint8_t dst[10];
        struct sc_http_request q = {.url = server_url(&w->g->s, "/y"),
                                    .dst = dst,
                                    .ranged = true,
                                    .offset = i,
                                    .length = 10};
        w->bad += sc_http_do(w->g->h, &q, &e) != 0 || first_wrong(dst, i, 10) != 10;
        sc_http_request_clear(w->g->h, &q);
    }
    return NULL;
}

TEST(many_threads)
{
    enum { N = 8 };
    struct rig g;
    struct sc_error e = {0};
    uint64_t size = 1000000;
    struct sc_buf body = {0};
    struct worker w[N];
    pthread_t t[N];
    REQUIRE(rig_start(&g, honest, &size, OPTIONS(0)));
    struct sc_http_request q = {.url = server_url(&g.s, "/x"), .body = &body};
    CHECK_ERR(0, sc_http_submit(g.h, &q, NULL, NULL, &e));
    for (unsigned i = 0; i < N; i++) {
        w[i] = (struct worker){.g = &g, .shared = &q};
        REQUIRE(pthread_create(&t[i], NULL, work, &w[i]) == 0);
    }
    for (unsigned i = 0; i < N; i++) {
        pthread_join(t[i], NULL);
        CHECK_U64(w[i].bad, 0);
    }
    CHECK_U64(body.n, size);
    sc_http_request_clear(g.h, &q);
    sc_buf_clear(&body);
    rig_stop(&g);
}

/* A callback may forget its own request and make the next. */
struct chain {
    struct sc_http *h;
    const char *url;
    atomic_uint left;
};

static void next_link(void *ctx, struct sc_http_request *q)
{
    struct chain *c = ctx;
    sc_http_request_clear(c->h, q);
    free(q);
    if (c->left > 1) {
        struct sc_http_request *r = calloc(1, sizeof *r);
        r->url = c->url;
        if (sc_http_submit(c->h, r, next_link, c, NULL) < 0)
            free(r);
    }
    c->left--;
}

TEST(callbacks_that_go_on)
{
    struct rig g;
    uint64_t size = 10;
    REQUIRE(rig_start(&g, honest, &size, OPTIONS(0)));
    struct chain c = {.h = g.h, .url = server_url(&g.s, "/x"), .left = 20};
    struct sc_http_request *q = calloc(1, sizeof *q);
    q->url = c.url;
    CHECK_ERR(0, sc_http_submit(g.h, q, next_link, &c, NULL));
    while (c.left)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    CHECK_U64(server_count(&g.s), 20);
    rig_stop(&g);
}

/* -------------------------------------------------------------------------------- stopping --- */

static bool hang(struct server_peer *p, const struct server_request *r, void *ctx)
{
    (void)ctx;
    if (r->number % 2)
        server_say(p, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    server_hold(p, 60000);
    return false;
}

TEST(cancelled)
{
    enum { N = 20 };
    struct rig g;
    struct sc_error e = {0};
    _Atomic int cancel = 0;
    struct sc_http_request q[N] = {{0}};
    REQUIRE(rig_start(&g, hang, NULL, OPTIONS(.cancel = &cancel, .connections = 8)));
    const char *url = server_url(&g.s, "/x?secret");
    for (int i = 0; i < N; i++) {
        q[i].url = url;
        CHECK_ERR(0, sc_http_submit(g.h, &q[i], NULL, NULL, &e));
    }
    while (server_count(&g.s) < 8)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cancel = 1;
    for (int i = 0; i < N; i++) {
        CHECK_ERR(SCRUPLE_EINTERRUPTED, sc_http_wait(g.h, &q[i], &e));
        CHECK(has(e.text, "interrupted"));
        CHECK(!strstr(e.text, "secret"));
        sc_http_request_clear(g.h, &q[i]);
    }
    rig_stop(&g);
}

TEST(stopped_and_cleared)
{
    enum { N = 20 };
    struct rig g;
    struct sc_error e = {0};
    struct sc_http_request q[N] = {{0}};
    REQUIRE(rig_start(&g, hang, NULL, OPTIONS(.connections = 8)));
    const char *url = server_url(&g.s, "/x");
    for (int i = 0; i < N; i++) {
        q[i].url = url;
        CHECK_ERR(0, sc_http_submit(g.h, &q[i], NULL, NULL, &e));
    }
    while (server_count(&g.s) < 8)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    sc_http_request_clear(g.h, &q[N - 1]); /* one that waits for its turn */
    sc_http_request_clear(g.h, &q[0]);     /* one that goes on */
    CHECK_ERR(SCRUPLE_EUSAGE, sc_http_wait(g.h, &q[0], &e));
    sc_http_stop(g.h);
    for (int i = 1; i < N - 1; i++) {
        CHECK_ERR(SCRUPLE_EINTERRUPTED, sc_http_wait(NULL, &q[i], &e));
        sc_http_request_clear(NULL, &q[i]);
    }
    g.h = NULL;
    rig_stop(&g);
}

/* ------------------------------------------------------------------------------ what is said ---
 */

TEST(trace)
{
    struct rig g;
    struct server store;
    struct sc_error e;
    char expected[2048];
    uint64_t size = 100;
    uint8_t dst[10];
    struct hub hub = {.store = &store};
    struct sc_http_request q = {
        .dst = dst, .ranged = true, .length = 10, .with_token = true, .accept = "a/b"};
    REQUIRE(server_start(&store, honest, &size));
    REQUIRE(rig_start(&g, redirect, &hub, OPTIONS(.token = "hf_secret", .trace = true)));
    CHECK_ERR(0, get(&g, &q, "/file?it's=x", NULL, &e) == 0 ? 0 : 0);
    hub.location = "/file";
    g.notes[0] = '\0';
    CHECK_ERR(0, get(&g, &q, "/a?it's=x", NULL, &e));
    snprintf(expected, sizeof expected,
             "curl -s -H 'Authorization: Bearer <token>' -H 'Accept: a/b' -H 'Range: bytes=0-9' "
             "'http://127.0.0.1:%u/a?it%%27s=x'\n"
             "curl -s -H 'Authorization: Bearer <token>' -H 'Accept: a/b' -H 'Range: bytes=0-9' "
             "'http://127.0.0.1:%u/file'\n"
             "curl -s -H 'Accept: a/b' -H 'Range: bytes=0-9' 'http://127.0.0.1:%u/blob?...'\n",
             g.s.port, g.s.port, store.port);
    CHECK_STR(g.notes, expected);
    sc_http_request_clear(g.h, &q);
    server_free(&store);
    rig_stop(&g);
}

TEST(proxy_wants_a_password)
{
    struct rig g;
    struct sc_error e;
    char proxy[64];
    struct sc_http_request q = {0};
    REQUIRE(rig_start(&g, play, SCRIPT("HTTP/1.1 407 P\r\nContent-Length: 0\r\n\r\n"), OPTIONS(0)));
    snprintf(proxy, sizeof proxy, "http://user:secret@127.0.0.1:%u", g.s.port);
    setenv("http_proxy", proxy, 1);
    setenv("https_proxy", proxy, 1);
    static const char *const urls[] = {"http://hub.example/x", "https://hub.example/x"};
    for (int i = 0; i < 2; i++) {
        q.url = urls[i];
        e = (struct sc_error){0};
        CHECK_ERR(SCRUPLE_ENETWORK, sc_http_do(g.h, &q, &e));
        CHECK(has(e.text, "//hub.example: the proxy http://127.0.0.1:"));
        CHECK(has(e.text, "407"));
        CHECK(!strstr(e.text, "secret"));
    }
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

TEST(no_encryption_there)
{
    struct rig g;
    struct sc_error e = {0};
    char url[64];
    REQUIRE(rig_start(&g, play, SCRIPT(FINE), OPTIONS(.tries = 1, .connect_ms = 50)));
    snprintf(url, sizeof url, "https://127.0.0.1:%u/x", g.s.port);
    struct sc_http_request q = {.url = url};
    CHECK_ERR(SCRUPLE_ENETWORK, sc_http_do(g.h, &q, &e)); /* it waits for a request */
    CHECK(has(e.text, ": no connection within 1 s (tried 2 times)"));
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);

    REQUIRE(rig_start(&g, play, SCRIPT(FINE), OPTIONS(.tries = 1)));
    g.s.rude = true;
    snprintf(url, sizeof url, "https://127.0.0.1:%u/x", g.s.port);
    CHECK_ERR(SCRUPLE_ENETWORK, sc_http_do(g.h, &q, &e));
    CHECK(has(e.text, ": no encrypted connection ("));
    sc_http_request_clear(g.h, &q);
    rig_stop(&g);
}

/* Every allocation of ours fails once, on either thread: an answer or "out of memory", and nobody
 * waits for ever. */
TEST(without_memory)
{
    static uint8_t dst[10];
    struct rig g;
    struct server store;
    uint64_t size = 100, k = 0;
    struct hub hub = {.store = &store};
    bool reached = true;
    char url[64];

    REQUIRE(server_start(&store, honest, &size));
    REQUIRE(rig_start(&g, redirect, &hub, OPTIONS(0)));
    snprintf(url, sizeof url, "http://127.0.0.1:%u/file", g.s.port);
    const struct sc_http_options o = {.token = "t", .token_origin = url, .retry_ms = 1};
    for (; reached && k < 1000; k++) {
        struct sc_http *h = NULL;
        struct sc_error e = {0};
        struct sc_buf error = {0};
        struct sc_http_request q = {.url = url,
                                    .dst = dst,
                                    .ranged = true,
                                    .length = 10,
                                    .with_token = true,
                                    .error_body = &error};
        sc_oom_fail_at(k);
        int code = sc_http_start(&o, &h, &e);
        if (code == 0)
            code = sc_http_do(h, &q, &e);
        reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK(code == 0 || code == SCRUPLE_EMEMORY);
        CHECK(code == 0 || e.text[0]);
        if (h)
            sc_http_request_clear(h, &q);
        sc_http_stop(h);
        sc_buf_clear(&error);
    }
    CHECK(k > 10 && k < 1000);
    server_free(&store);
    rig_stop(&g);
}
