/* SPDX-License-Identifier: Apache-2.0 */
/* http_exchange: one request and its answer on a libcurl handle. Nothing is sticky: header fields
 * are made anew for every exchange, so a token cannot travel to where it does not belong. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/http_internal.h"

/* --------------------------------------------------------------------------- what comes --- */

static size_t on_header(char *p, size_t size, size_t count, void *ctx)
{
    struct sc_http_job *j = ctx;
    const size_t n = size * count;
    struct sc_str line = sc_str(p, n);

    j->a.header_bytes += n;
    if (j->a.header_bytes > SC_HTTP_MAX_HEADERS) {
        struct sc_quoted q;
        j->code = sc_fail(&j->error, SCRUPLE_ENETWORK, "%s: the header of the answer is too long",
                          sc_http_safe_url(&q, j->place.url));
        return 0;
    }
    if (j->judged) /* trailers */
        return n;
    while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    if (line.n) {
        j->code = sc_http_header_line(&j->a, line);
        if (j->code < 0)
            sc_say_memory(&j->error);
    } else if (j->a.status >= 200) {
        j->judged = true;
        j->code = sc_http_judge(j, &j->error);
        j->deadline = sc_milliseconds() + j->h->o.stall_ms;
    }
    return j->code < 0 ? 0 : n;
}

static size_t on_body(char *p, size_t size, size_t count, void *ctx)
{
    return sc_http_deliver(ctx, (const uint8_t *)p, size * count);
}

#if LIBCURL_VERSION_NUM >= 0x075000
/* The connection stands, and the request goes out; libcurl may do so twice when the first was on a
 * connection that the server had closed meanwhile. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's */
static int on_request(void *ctx, char *remote, char *local, int remote_port, int local_port)
{
    struct sc_http_job *j = ctx;
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    atomic_fetch_add_explicit(&j->h->o.io->requests, 1, memory_order_relaxed);
    return CURL_PREREQFUNC_OK;
}
#endif

/* ------------------------------------------------------------------------- what is asked --- */

static int add_header(struct sc_http_job *j, const char *fmt, ...) SC_PRINTF(2, 3);
static int add_header(struct sc_http_job *j, const char *fmt, ...)
{
    struct curl_slist *longer = NULL;
    va_list ap;
    char line[256];

    va_start(ap, fmt);
    const int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof line) {
        longer = j->h->c->slist_append(j->headers, line);
    } else if (n >= 0) { /* a long token */
        char *text = sc_alloc((size_t)n + 1);
        if (!text)
            return SCRUPLE_EMEMORY;
        va_start(ap, fmt);
        vsnprintf(text, (size_t)n + 1, fmt, ap);
        va_end(ap);
        longer = j->h->c->slist_append(j->headers, text);
        free(text);
    }
    if (!longer)
        return SCRUPLE_EMEMORY;
    j->headers = longer;
    return 0;
}

/* "bytes=0-99", "bytes=100-". */
static const char *range_text(const struct sc_http_job *j, char out[64])
{
    if (j->end == UINT64_MAX)
        snprintf(out, 64, "bytes=%" PRIu64 "-", j->begin);
    else
        snprintf(out, 64, "bytes=%" PRIu64 "-%" PRIu64, j->begin, j->end - 1);
    return out;
}

static int add_headers(struct sc_http_job *j, bool token)
{
    char range[64];
    TRY(add_header(j, "Accept-Encoding: identity"));
    if (j->q->accept)
        TRY(add_header(j, "Accept: %s", j->q->accept));
    if (j->ask_range)
        TRY(add_header(j, "Range: %s", range_text(j, range)));
    if (token)
        TRY(add_header(j, "Authorization: Bearer %s", j->h->o.token));
    return 0;
}

/* A URL for the trace: queries are kept for the API of the token's own host only, and there not if
 * they are signatures. An apostrophe would end the shell's. */
static void put_url(struct sc_buf *b, const struct sc_http_job *j)
{
    const char *url = j->place.url;
    const bool own = j->h->token_place.url &&
                     strcmp(j->h->token_place.origin, j->place.origin) == 0 &&
                     sc_http_url_expires(url) == 0;
    const size_t n = own ? strlen(url) : strcspn(url, "?");

    for (size_t i = 0; i < n; i++)
        if (url[i] == '\'')
            sc_buf_puts(b, "%27");
        else
            sc_put_safe(b, sc_str(url + i, 1), 0);
    if (url[n])
        sc_buf_puts(b, "?...");
}

static void trace(struct sc_http_job *j, bool token)
{
    struct sc_buf b = {0};
    char range[64];

    sc_buf_puts(&b, "curl -s");
    if (j->q->head)
        sc_buf_puts(&b, " -I");
    if (token)
        sc_buf_puts(&b, " -H 'Authorization: Bearer <token>'");
    if (j->q->accept)
        sc_buf_printf(&b, " -H 'Accept: %s'", j->q->accept);
    if (j->ask_range)
        sc_buf_printf(&b, " -H 'Range: %s'", range_text(j, range));
    sc_buf_puts(&b, " '");
    put_url(&b, j);
    sc_buf_puts(&b, "'");
    if (!b.failed)
        j->h->o.note(j->h->o.note_ctx, b.p);
    sc_buf_clear(&b);
}

/* -------------------------------------------------------------------------------- handles --- */

/* What is the same for all exchanges of an engine. */
static void set_always(struct sc_http *h, CURL *easy)
{
    const struct sc_curl *c = h->c;
    c->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    c->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
#if LIBCURL_VERSION_NUM >= 0x075500
    c->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    c->easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    c->easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a lookup that is stopped */
#endif
    c->easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    c->easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    c->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    c->easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    c->easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    c->easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    c->easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (h->o.ca_bundle && h->ca_is_folder)
        c->easy_setopt(easy, CURLOPT_CAPATH, h->o.ca_bundle);
    else if (h->o.ca_bundle)
        c->easy_setopt(easy, CURLOPT_CAINFO, h->o.ca_bundle);
    c->easy_setopt(easy, CURLOPT_USERAGENT, h->o.user_agent);
    c->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)h->o.connect_ms);
    c->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    c->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
#if LIBCURL_VERSION_NUM >= 0x075000
    if (h->o.io)
        h->counted = c->easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request) == CURLE_OK;
#endif
}

static CURL *take_handle(struct sc_http *h)
{
    if (h->n_spare)
        return h->spare[--h->n_spare];
    CURL *easy = h->c->easy_init();
    if (easy)
        set_always(h, easy);
    return easy;
}

/* What differs from one to the next: all of it is set every time. */
static bool set_now(struct sc_http_job *j)
{
    const struct sc_curl *c = j->h->c;
    const bool large = j->end == UINT64_MAX ? !j->q->head && (j->q->sink || j->q->dst)
                                            : j->end - j->begin >= SC_HTTP_WASTE;

    c->easy_setopt(j->easy, CURLOPT_NOBODY, j->q->head ? 1L : 0L);
    if (!j->q->head)
        c->easy_setopt(j->easy, CURLOPT_HTTPGET, 1L);
    c->easy_setopt(j->easy, CURLOPT_FRESH_CONNECT, j->fresh ? 1L : 0L);
    c->easy_setopt(j->easy, CURLOPT_PIPEWAIT, j->place.secure && !j->fresh ? 1L : 0L);
    c->easy_setopt(j->easy, CURLOPT_BUFFERSIZE, large ? 512L << 10 : 64L << 10);
    c->easy_setopt(j->easy, CURLOPT_HEADERDATA, (void *)j);
    c->easy_setopt(j->easy, CURLOPT_WRITEDATA, (void *)j);
    c->easy_setopt(j->easy, CURLOPT_PRIVATE, (void *)j);
#if LIBCURL_VERSION_NUM >= 0x075000
    c->easy_setopt(j->easy, CURLOPT_PREREQDATA, (void *)j);
#endif
    c->easy_setopt(j->easy, CURLOPT_ERRORBUFFER, j->problem);
    return c->easy_setopt(j->easy, CURLOPT_HTTPHEADER, j->headers) == CURLE_OK &&
           c->easy_setopt(j->easy, CURLOPT_URL, j->place.url) == CURLE_OK;
}

int sc_http_exchange_start(struct sc_http_job *j, struct sc_error *e)
{
    struct sc_http *h = j->h;

    sc_http_answer_clear(&j->a);
    j->a.header_bytes = 0;
    j->problem[0] = '\0';
    sc_http_plan(j);
    const bool token = sc_http_may_see_token(j);
    j->easy = take_handle(h);
    if (!j->easy)
        return sc_fail_memory(e);
    if (add_headers(j, token) < 0 || !set_now(j) ||
        h->c->multi_add_handle(h->multi, j->easy) != CURLM_OK) {
        h->c->slist_free_all(j->headers);
        h->c->easy_cleanup(j->easy);
        j->headers = NULL;
        j->easy = NULL;
        return sc_fail_memory(e);
    }
    j->exchanges++;
    j->started = sc_milliseconds();
    j->deadline = j->started + h->o.answer_ms;
    j->q->reply.token_sent = j->q->reply.token_sent || token;
    if (h->o.io && !h->counted)
        atomic_fetch_add_explicit(&h->o.io->requests, 1, memory_order_relaxed);
    if (h->o.trace && h->o.note)
        trace(j, token);
    return 0;
}

void sc_http_exchange_end(struct sc_http_job *j)
{
    struct sc_http *h = j->h;
    if (!j->easy)
        return;
    h->c->multi_remove_handle(h->multi, j->easy);
    h->c->easy_setopt(j->easy, CURLOPT_HTTPHEADER, NULL);
    h->c->easy_setopt(j->easy, CURLOPT_ERRORBUFFER, NULL);
    h->c->slist_free_all(j->headers);
    h->spare[h->n_spare++] = j->easy;
    j->headers = NULL;
    j->easy = NULL;
}
