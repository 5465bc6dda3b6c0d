/* SPDX-License-Identifier: Apache-2.0 */
/* http_retry: what is tried again and when, limits of rate, and the words for what went wrong on
 * the way. Nobody sleeps here: a job gets a time to wake up, or its origin a pause. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/http_internal.h"

bool sc_http_is_transient(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

/* -------------------------------------------------------------------------------- waiting --- */

/* Base, doubling up to 16 times of it, and up to a quarter more, so that those who failed together
 * do not come back together. */
static uint64_t pause_ms(struct sc_http_job *j)
{
    struct sc_http *h = j->h;
    const unsigned doublings = SC_MIN(j->failures ? j->failures - 1 : 0, 4u);
    const uint64_t ms = (uint64_t)h->o.retry_ms << doublings;
    return ms + sc_hash_mix(h->seed, h->jitters++) % (ms / 4 + 1);
}

/* Counts a failure. Bytes that arrived start the count anew, if they are not so few that a server
 * could keep us busy with them for hours. false: it was one too many. */
static bool may_try_again(struct sc_http_job *j, unsigned tries)
{
    if (j->vague) /* a piece of some page must not become the beginning of a file */
        sc_http_restart(j);
    if (j->delivered >= j->furthest + SC_HTTP_PROGRESS) {
        j->furthest = j->delivered;
        j->failures = 0;
    }
    j->failures++;
    return j->failures <= tries && j->exchanges < SC_HTTP_MAX_EXCHANGES;
}

static void give_up(struct sc_http_job *j)
{
    struct sc_error *e = &j->error;
    const size_t n = strlen(e->text);
    if (j->failures > 1)
        snprintf(e->text + n, sizeof e->text - n, " (tried %u times)", j->failures);
    sc_http_finish(j, e->code);
}

static void sleep_or_give_up(struct sc_http_job *j, unsigned tries)
{
    if (!may_try_again(j, tries)) {
        give_up(j);
        return;
    }
    j->wake = sc_milliseconds() + pause_ms(j);
    sc_http_list_push(&j->h->sleeping, j);
}

/* ---------------------------------------------------------------------------------- words --- */

/* "not found"; "": there is no word for it. */
static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {400, "bad request"},
        {401, "not authorised"},
        {403, "forbidden"},
        {404, "not found"},
        {405, "method not allowed"},
        {407, "the proxy wants a password"},
        {408, "request timeout"},
        {410, "gone"},
        {416, "range not satisfiable"},
        {429, "too many requests"},
        {451, "not available for legal reasons"},
        {500, "internal server error"},
        {502, "bad gateway"},
        {503, "service unavailable"},
        {504, "gateway timeout"},
    };
    for (size_t i = 0; i < SC_COUNT(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "";
}

/* "404 (not found): message [request 123]". */
static void put_status(struct sc_buf *b, const struct sc_http_reply *r)
{
    struct sc_quoted q;
    const char *text = status_text(r->status);

    sc_buf_printf(b, "%d", r->status);
    if (text[0])
        sc_buf_printf(b, " (%s)", text);
    if (r->error_message[0])
        sc_buf_printf(b, ": %s", sc_quote(&q, sc_strz(r->error_message)));
    else if (r->error_code[0])
        sc_buf_printf(b, ": %s", sc_quote(&q, sc_strz(r->error_code)));
    if (r->request_id[0])
        sc_buf_printf(b, " [request %s]", sc_quote(&q, sc_strz(r->request_id)));
}

int sc_http_fail_status(const struct sc_http_reply *r, const char *what, struct sc_error *e)
{
    struct sc_buf b = {0};
    struct sc_quoted q;
    const int code = r->status == 404 || r->status == 410 ? SCRUPLE_ENOTFOUND : SCRUPLE_ENETWORK;

    put_status(&b, r);
    sc_fail(e, code, "%s: the server answered %s", sc_quote(&q, sc_strz(what)),
            b.failed ? "with an error" : b.p);
    sc_buf_clear(&b);
    return code;
}

/* The proxy that libcurl takes for this URL, by its rules; NULL: none. */
static const char *proxy_of(const struct sc_http_job *j)
{
    static const char *const secure[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    static const char *const plain[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    const char *const *names = j->place.secure ? secure : plain;
    const size_t n = j->place.secure ? SC_COUNT(secure) : SC_COUNT(plain);

    for (size_t i = 0; i < n; i++) {
        const char *value = getenv(names[i]);
        if (value && value[0])
            return value;
    }
    return NULL;
}

static void say_proxy(struct sc_http_job *j, const char *what)
{
    struct sc_quoted q;
    const char *proxy = proxy_of(j);
    sc_fail(&j->error, SCRUPLE_ENETWORK, "%s: the proxy %s %s; see the variable %s",
            j->place.origin, proxy ? sc_http_safe_url(&q, proxy) : "", what,
            j->place.secure ? "HTTPS_PROXY" : "http_proxy");
}

static void say_certificate(struct sc_http_job *j)
{
    struct sc_quoted q;
    sc_fail(&j->error, SCRUPLE_ENETWORK,
            "%s: the certificate of this host cannot be verified (%s); if your network has an "
            "authority of its own, name the file of its certificates in SSL_CERT_FILE",
            j->place.origin, sc_quote(&q, sc_strz(j->problem)));
}

static void say_ca_file(struct sc_http_job *j)
{
    struct sc_quoted q;
    const struct sc_http *h = j->h;
    sc_fail(&j->error, SCRUPLE_ENETWORK, "%s: the file of certificates %s cannot be read%s%s",
            j->place.origin,
            h->o.ca_bundle ? sc_quote(&q, sc_strz(h->o.ca_bundle)) : "of this system",
            h->ca_from ? "; see the variable " : "", h->ca_from ? h->ca_from : "");
}

static long connect_code(const struct sc_http_job *j)
{
    long code = 0;
    j->h->c->easy_getinfo(j->easy, CURLINFO_HTTP_CONNECTCODE, &code);
    return code;
}

enum verdict { FINAL, AGAIN, AGAIN_ONCE };

/* Failures of the proxy. */
static enum verdict explain_proxy(struct sc_http_job *j, CURLcode code, long answered)
{
    char what[96];
    if (code == CURLE_COULDNT_RESOLVE_PROXY) {
        say_proxy(j, "cannot be found");
        return AGAIN_ONCE;
    }
    if (answered == 407)
        say_proxy(j, "wants a password (407), or another one than it got: "
                     "http://USER:PASSWORD@HOST:PORT");
    else {
        snprintf(what, sizeof what, "refuses the connection (%ld)", answered);
        say_proxy(j, what);
    }
    return answered >= 500 ? AGAIN : FINAL;
}

/* Fills j->error. */
static enum verdict explain(struct sc_http_job *j, CURLcode code)
{
    struct sc_error *e = &j->error;
    struct sc_quoted q;
    const char *origin = j->place.origin;
    const long proxied = connect_code(j);

    if (code == CURLE_COULDNT_RESOLVE_PROXY || proxied >= 300)
        return explain_proxy(j, code, proxied);
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        sc_fail(e, SCRUPLE_ENETWORK, "%s: this host cannot be found; is there a network?", origin);
        return AGAIN_ONCE;
    case CURLE_COULDNT_CONNECT:
        sc_fail(e, SCRUPLE_ENETWORK, "%s: no connection: the host is not there or refuses it%s%s",
                origin, proxy_of(j) ? "; the proxy that is set is " : "",
                proxy_of(j) ? sc_http_safe_url(&q, proxy_of(j)) : "");
        /* Where nobody has answered yet, the name is more likely wrong than the server asleep. */
        return j->origin->answered ? AGAIN : AGAIN_ONCE;
    case CURLE_OPERATION_TIMEDOUT:
        sc_fail(e, SCRUPLE_ENETWORK, "%s: no connection within %u s", origin,
                (j->h->o.connect_ms + 999) / 1000);
        return AGAIN;
    case CURLE_PEER_FAILED_VERIFICATION:
        say_certificate(j);
        return FINAL;
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        say_ca_file(j);
        return FINAL;
    case CURLE_SSL_CONNECT_ERROR:
        sc_fail(e, SCRUPLE_ENETWORK, "%s: no encrypted connection (%s)", origin,
                sc_quote(&q, sc_strz(j->problem)));
        return AGAIN;
    case CURLE_OUT_OF_MEMORY:
        if (j->a.header_bytes > 0 && !j->judged) /* how libcurl calls a line without an end */
            sc_fail(e, SCRUPLE_ENETWORK, "%s: the header of the answer is too long",
                    sc_http_safe_url(&q, j->place.url));
        else
            sc_say_memory(e);
        return FINAL;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        sc_fail(e, SCRUPLE_ENETWORK, "%s: what answers there does not speak HTTP", origin);
        return FINAL;
    case CURLE_OK:
    case CURLE_PARTIAL_FILE:
        sc_fail(e, SCRUPLE_ENETWORK, "%s: the answer ended after %" PRIu64 " bytes of its body",
                sc_http_safe_url(&q, j->place.url), j->got);
        return AGAIN;
    default:
        sc_fail(e, SCRUPLE_ENETWORK, "%s: the connection broke (%s)",
                sc_http_safe_url(&q, j->place.url), j->h->c->easy_strerror(code));
        return AGAIN;
    }
}

/* ----------------------------------------------------------------------------- transitions --- */

void sc_http_after_break(struct sc_http_job *j, CURLcode code)
{
    const enum verdict verdict = explain(j, code);
    sc_http_exchange_end(j);
    j->fresh = code != CURLE_OK;
    if (verdict == FINAL)
        sc_http_finish(j, j->error.code);
    else
        sleep_or_give_up(j, verdict == AGAIN_ONCE || j->q->hasty ? SC_MIN(1u, j->h->o.tries)
                                                                 : j->h->o.tries);
}

void sc_http_after_proxy(struct sc_http_job *j)
{
    explain_proxy(j, CURLE_OK, 407);
    sc_http_finish(j, j->error.code);
}

/* Each of these has taken its time already; with all tries a server that accepts and says nothing
 * would hold somebody for minutes. */
void sc_http_after_timeout(struct sc_http_job *j)
{
    const unsigned tries = SC_MIN(2u, j->h->o.tries);
    struct sc_quoted q;
    const char *url = sc_http_safe_url(&q, j->place.url);
    if (j->judged)
        sc_fail(&j->error, SCRUPLE_ENETWORK,
                "%s: the answer stalled after %" PRIu64 " bytes (less than 1 KB/s for %u s)", url,
                j->got, (j->h->o.stall_ms + 999) / 1000);
    else
        sc_fail(&j->error, SCRUPLE_ENETWORK, "%s: no answer within %u s", url,
                (j->h->o.answer_ms + 999) / 1000);
    sc_http_exchange_end(j);
    j->fresh = true;
    sleep_or_give_up(j, j->q->hasty ? 0 : tries);
}

/* The pause that an answer asks for, in seconds; 0: none. A renewal in t seconds may be t and a
 * bit. */
static uint64_t asked_pause(const struct sc_http_answer *a)
{
    if (a->has_retry_after && sc_http_is_transient(a->status))
        return a->retry_after;
    if (a->has_rate && a->rest == 0 && (a->status == 429 || a->status < 400))
        return sc_add_up(a->renewal, 1);
    return 0;
}

static void pause_origin(struct sc_http_origin *o, uint64_t seconds)
{
    const uint64_t now = sc_milliseconds();
    if (o->paused_until <= now)
        o->next_note = 0;
    o->paused_until = SC_MAX(o->paused_until, now + seconds * 1000);
}

/* It makes no sense to ask again: neither for j nor for those who wait to ask the same. */
static void refuse(struct sc_http_job *j, uint64_t seconds)
{
    struct sc_http_origin *o = j->origin;
    const bool token = j->q->reply.token_sent;

    if (j->a.status == 429)
        sc_fail(&j->error, SCRUPLE_ENETWORK,
                "rate limited by %s: the limit renews in %" PRIu64 " s; try again then%s", o->name,
                seconds, token ? "" : ", or set HF_TOKEN: with an account the limit is higher");
    else
        sc_fail(&j->error, SCRUPLE_ENETWORK,
                "%s answers %d (%s) and asks to come back in %" PRIu64 " s; try again then",
                o->name, j->a.status, status_text(j->a.status), seconds);
    while (o->queue.first) {
        struct sc_http_job *other = o->queue.first;
        other->error = j->error;
        sc_http_finish(other, SCRUPLE_ENETWORK);
    }
    sc_http_finish(j, SCRUPLE_ENETWORK);
}

void sc_http_note_limits(struct sc_http_job *j)
{
    const struct sc_http_answer *a = &j->a;
    const uint64_t seconds = asked_pause(a);

    if (!j->judged || sc_http_is_transient(a->status))
        return;
    /* A quota of one kind of request may be used up while others are not: a long pause is left to
     * the next answer. */
    if (seconds && seconds <= SC_HTTP_MAX_WAIT_S)
        pause_origin(j->origin, seconds);
    if (a->has_rate && a->rest < j->h->o.connections) {
        j->origin->most = (unsigned)SC_MAX(a->rest, UINT64_C(1));
        j->origin->limit_until =
            sc_milliseconds() + SC_MIN(a->renewal, UINT64_C(3600)) * 1000 + 1000;
    }
}

static void say_status(struct sc_http_job *j)
{
    struct sc_buf b = {0};
    struct sc_quoted q;
    put_status(&b, &j->q->reply);
    sc_fail(&j->error, SCRUPLE_ENETWORK, "%s: the server answered %s",
            sc_http_safe_url(&q, j->place.url), b.failed ? "with an error" : b.p);
    sc_buf_clear(&b);
}

void sc_http_after_status(struct sc_http_job *j)
{
    const uint64_t seconds = asked_pause(&j->a);

    say_status(j);
    sc_http_exchange_end(j);
    j->fresh = false;
    if (seconds > SC_HTTP_MAX_WAIT_S) {
        refuse(j, seconds);
        return;
    }
    if (j->q->hasty) {
        give_up(j);
        return;
    }
    if (!seconds) {
        sleep_or_give_up(j, j->h->o.tries);
        return;
    }
    pause_origin(j->origin, seconds);
    if (!may_try_again(j, j->h->o.tries))
        give_up(j);
    else if (sc_http_queue(j, &j->error) < 0)
        sc_http_finish(j, j->error.code);
}
