/* SPDX-License-Identifier: Apache-2.0 */
/* http: requests, many at once, carried by libcurl on one thread of its own.
 *
 * Owns: the thread and its connections, byte ranges, redirects, where the token may go, retries
 * and waiting, limits of rate, and the words for what goes wrong on the way to a server. libcurl
 * is loaded when the first engine starts (curl.c).
 *
 * Does not own: what an answer means (hub), keeping bytes (remote.h, hub).
 *
 * Rules that hold for every request:
 *   - TLS 1.2 or later, peer and host verified; http and https only; https never becomes http.
 *   - The token goes to `token_origin` (scheme, host and port) and nowhere else. Decided anew at
 *     every hop, set for each request, never a sticky header. Over plain http it goes only to a
 *     loopback address, or with a note when the user has set that endpoint.
 *   - Redirects are followed by hand, at most 5, without user information, at most 8 KiB long.
 *   - `Accept-Encoding: identity` always: some servers ignore ranges otherwise.
 *   - What a message shows of a URL has no query: signatures are secrets.
 *   - Transient failures are tried again (connection, time, short body, 408, 429, 5xx), 5 times
 *     with 0.5 s doubling to 8 s and some jitter; bytes that arrived start the count anew, and only
 *     the missing ones are asked for; twice where time ran out. Retry-After and `RateLimit:
 * ...;r=0;t=N` are obeyed up to 60 s and fail with the number beyond that; a limit pauses every
 * request to that origin.
 *   - Time: 10 s to connect, 30 s to the first byte, then at least 1 KB/s over 30 s (settable).
 *
 * Threads: everything may be called from any thread; a request object belongs to one at a time.
 */
#ifndef SC_HTTP_H
#define SC_HTTP_H

#include "source/source.h"

struct sc_http;

struct sc_http_options {
    const char *user_agent;   /* NULL: "scruple/VERSION" */
    const char *token;        /* NULL: none. Copied; no control characters (SCRUPLE_EUSAGE) */
    const char *token_origin; /* URL whose origin may see the token; its path does not count */
    const char *ca_bundle;    /* file or folder of certificates; NULL: libcurl's and the
                                 environment's (SSL_CERT_FILE, CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE) */
    unsigned connections;     /* open at once in all; 0: 64 */
    unsigned connect_ms, answer_ms, stall_ms; /* 0: 10, 30 and 30 s */
    unsigned tries;                           /* again after a transient failure; 0: 5 */
    unsigned retry_ms; /* before the first of them; then it doubles, to 16 times this; 0: 500 */
    bool trace;        /* tell every request through `note` as a curl line, without secrets */
    const _Atomic int *cancel; /* optional; non-zero ends all requests with SCRUPLE_EINTERRUPTED
                                  within 200 ms */
    struct sc_io *io;          /* optional: bytes of bodies received, requests sent (every hop and
                                  retry counts) */
    /* Optional. "rate limited by https://...: waiting 12 s"; may come from the engine's thread. */
    void (*note)(void *ctx, const char *sentence);
    void *note_ctx;
};
/* SCRUPLE_EUNSUPPORTED: libcurl is not there. Strings are copied. */
int sc_http_start(const struct sc_http_options *o, struct sc_http **out, struct sc_error *e);
/* Ends what is still going on (such requests fail with SCRUPLE_EINTERRUPTED) and joins the thread.
 * NULL is allowed. */
void sc_http_stop(struct sc_http *h);

/* What came back. Strings are empty when the header was not there. */
struct sc_http_reply {
    int status;            /* of the last answer: 200, 206, 404 ...; 0: none came */
    bool partial;          /* the body is the range that was asked for */
    uint64_t total;        /* bytes of the whole object; UINT64_MAX: not said */
    uint64_t received;     /* bytes of the body that were handed over */
    char etag[136];        /* of the last answer, without W/ and quotes */
    char linked_etag[136]; /* X-Linked-Etag of the first answer that had one */
    uint64_t linked_size;  /* X-Linked-Size, likewise; UINT64_MAX: none */
    char commit[72];       /* X-Repo-Commit, likewise */
    char xet_hash[72];     /* X-Xet-Hash, likewise */
    char error_code[64];   /* X-Error-Code */
    char error_message[256];
    char request_id[128]; /* X-Request-Id, else X-Amzn-Trace-Id, else X-Amz-Cf-Id */
    char warning[256];    /* X-HF-Warning */
    char content_type[96];
    char *url;        /* the last one asked: after redirects the signed URL; owned by the reply */
    char *next;       /* Link: <...>; rel="next", made absolute; NULL: none; owned */
    uint64_t expires; /* unix time until which `url` is signed; 0: it is not */
    bool token_sent;  /* in any hop */
    unsigned hops;    /* redirects followed */
};

/* Zero-initialise; may be submitted again after it is done. */
struct sc_http_request {
    /* Asked. Everything pointed to must stay until the request is done. */
    const char *url;    /* http:// or https:// */
    const char *accept; /* NULL: any type */
    bool head;          /* HEAD instead of GET */
    bool with_token;    /* the token may go along, where the rules allow */
    bool hasty;         /* something can stand in for the answer: one more try after a broken
                           connection, none after anything else, and no waiting for a limit */
    bool stay;          /* do not follow a redirect to another host: its answer is the result */
    bool ranged;        /* bytes offset .. offset + length, length > 0 */
    uint64_t offset, length;
    /* Where the body goes; the first that is set. A status other than 2xx goes nowhere but to
     * `error_body`. None set: the body is read and dropped (at most 1 MiB). */
    void *dst; /* `length` bytes: fewer come only when the object ends before; not ranged: an object
                  that is longer fails with SCRUPLE_ELIMIT */
    struct sc_buf *body; /* all of it, up to body->max (SCRUPLE_ELIMIT beyond) */
    /* Called on the engine's thread in order; must not block for long; nonzero stops the request
     * with that negative code. After a retry it goes on where it was. */
    int (*sink)(void *ctx, const uint8_t *p, size_t n);
    void *sink_ctx;
    struct sc_buf *error_body; /* optional: first bytes of an answer that is no success */
    /* Expected; NULL, 0 or UINT64_MAX: anything. An answer that contradicts fails with SCRUPLE_EIO
     * ("changed while being read") before any byte of it is handed over. */
    uint64_t expect_total;
    const char *expect_etag;      /* linked_etag, else etag, of the first answer */
    const char *expect_body_etag; /* etag of the answer that carries the body */
    const char *expect_commit;

    /* Answered */
    struct sc_http_reply reply; /* sc_http_request_clear() frees what it owns */
    int result;                 /* 0 or a negative code, after sc_http_wait() */

    void *job; /* the engine's */
};
/* Hands the request over; it starts as soon as a connection is free. `done`, if not NULL, is
 * called on the engine's thread when the request is done (waiters are woken after it). Fails only
 * for want of memory. */
int sc_http_submit(struct sc_http *h, struct sc_http_request *q,
                   void (*done)(void *ctx, struct sc_http_request *q), void *done_ctx,
                   struct sc_error *e);
/* Until it is done. 0: an answer came and, if its status is 2xx, the body is complete and was
 * handed over; look at reply.status, for 404 is an answer too. Negative: no answer, or none that
 * can be used, and e says why (SCRUPLE_ENETWORK, EIO, ELIMIT, EINTERRUPTED, EMEMORY, EUSAGE for a
 * URL that cannot be asked). A status that stays transient (408, 429, 5xx) to the last try is such
 * a failure; reply.status then tells it. A ranged request for which the server sends the whole
 * object is served from its beginning when offset + length <= 1 MiB, else refused: "ignores byte
 * ranges". Several threads may wait for one request. */
int sc_http_wait(struct sc_http *h, struct sc_http_request *q, struct sc_error *e);
bool sc_http_is_done(struct sc_http *h, struct sc_http_request *q);
/* Stop it if it is still going on, wait for that, free what it owns. A `done` callback may clear
 * its own request, but no other one that is still going on. */
void sc_http_request_clear(struct sc_http *h, struct sc_http_request *q);
/* submit and wait. */
int sc_http_do(struct sc_http *h, struct sc_http_request *q, struct sc_error *e);

/* "https://host:port/path" without user, query and fragment, safe for messages. */
const char *sc_http_safe_url(struct sc_quoted *q, const char *url);
/* "404 (not found)" and what else the reply tells (X-Error-Message, request id): for an answer
 * that nobody can word better. The code is SCRUPLE_ENOTFOUND for 404 and 410, else
 * SCRUPLE_ENETWORK. `what`: the name of the thing. */
int sc_http_fail_status(const struct sc_http_reply *r, const char *what, struct sc_error *e);

/* ------------------------------------------------------------- parts that can be tested alone ---
 */
/* "bytes 0-99/1234", "bytes 0-99/ *", "bytes * /1234": false when malformed. *total UINT64_MAX:
 * unknown; *end is one past the last byte; *unsatisfied: there is no range. */
bool sc_http_content_range(struct sc_str value, uint64_t *begin, uint64_t *end, uint64_t *total,
                           bool *unsatisfied);
/* `"api";r=0;t=123`: rest of the quota, seconds to its renewal. */
bool sc_http_rate_limit(struct sc_str value, uint64_t *rest, uint64_t *seconds);
/* Seconds or an HTTP date (against `now`, unix time); dates in the past give 0; false: neither. */
bool sc_http_retry_after(struct sc_str value, uint64_t now, uint64_t *seconds);
/* When does a signed URL end? From Expires=, X-Amz-Date= with X-Amz-Expires=, or se=; 0: unsigned.
 */
uint64_t sc_http_url_expires(const char *url);
/* Same scheme, host and port (443 and 80 filled in)? false also for what cannot be parsed. */
bool sc_http_same_origin(const char *a, const char *b);

#endif
