/* SPDX-License-Identifier: Apache-2.0 */
/* What the files http*.c share, and nobody else needs.
 *
 *     http.c           the interface: submit, wait, start, stop
 *     http_engine.c    the thread: queues of origins, timers, which exchange goes next
 *     http_exchange.c  one request and one answer on a libcurl handle
 *     http_answer.c    may this answer be used, and which of its bytes go where?
 *     http_place.c     URLs: origins, redirects, where the token may go
 *     http_retry.c     what is tried again and when; limits of rate; words for failures
 *     http_headers.c   what stands in header fields
 *
 * A request is a *job* inside the engine. A job needs one *exchange* (request and answer) or more:
 * one for each redirect, retry and missing rest. Jobs wait in the queue of the *origin* (scheme,
 * host and port) that they ask next, since limits are limits of an origin. */
#ifndef SC_HTTP_INTERNAL_H
#define SC_HTTP_INTERNAL_H

#include <pthread.h>

#include "source/curl.h"
#include "source/http.h"

enum {
    SC_HTTP_MAX_URL = 8192,
    SC_HTTP_MAX_HOPS = 5,
    SC_HTTP_MAX_HEADERS = 256 << 10, /* bytes of all header lines of one answer */
    SC_HTTP_MAX_WAIT_S = 60,         /* a limit that takes longer is a failure */
    SC_HTTP_MAX_EXCHANGES = 1000,    /* of one job: a server must not keep us busy for ever */
};
#define SC_HTTP_PROGRESS   (UINT64_C(8) << 10)  /* bytes that make up for the failures before */
#define SC_HTTP_WASTE      (UINT64_C(1) << 20)  /* bytes read at most that nobody asked for */
#define SC_HTTP_ERROR_BODY (UINT64_C(64) << 10) /* bytes read of an answer that is no success */
#define SC_HTTP_STEP_MS    100                  /* how often somebody's cancel flag is looked at */

/* A URL that may be asked. */
struct sc_http_place {
    char *url;        /* normal form, owned */
    char origin[320]; /* "https://host", "http://host:8080" */
    bool secure, loopback;
};

/* The header fields of one answer. */
struct sc_http_answer {
    int status; /* 0: none yet */
    size_t header_bytes;
    bool has_range, unsatisfied, has_length, has_rate, has_retry_after;
    uint64_t begin, end, total; /* Content-Range */
    uint64_t length;            /* Content-Length */
    uint64_t rest, renewal;     /* RateLimit: r and t */
    uint64_t retry_after;       /* s */
    char encoding[64];
    char etag[136], linked_etag[136], commit[72], xet_hash[72];
    uint64_t linked_size;
    char error_code[64], error_message[256], warning[256], content_type[96];
    char request_id[3][128]; /* by preference */
    char *location, *next;   /* owned */
};

enum sc_http_mode { SC_HTTP_DROP, SC_HTTP_ERROR, SC_HTTP_DELIVER };

struct sc_http_job;
struct sc_http_list {
    struct sc_http_job *first, *last;
    size_t n;
};

struct sc_http_origin {
    struct sc_http_origin *next;
    char name[320];
    struct sc_http_list queue;
    unsigned running;      /* exchanges that are going on */
    unsigned most;         /* how many may go on until limit_until; UINT_MAX: any */
    uint64_t limit_until;  /* ms */
    uint64_t paused_until; /* ms; 0: not */
    uint64_t next_note;    /* ms; 0: nothing said about this pause */
    bool answered;         /* there is a server */
};

struct sc_http_job {
    struct sc_http_job *prev, *next; /* in `list` */
    struct sc_http_list *list;
    struct sc_http *h;
    struct sc_http_request *q;
    void (*done)(void *ctx, struct sc_http_request *q);
    void *done_ctx;

    /* Between the engine and those who wait. */
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool finished;
    _Atomic bool abort;
    bool orphan; /* its request was cleared by its own callback */
    int code;    /* becomes the result; negative: error says why */
    struct sc_error error;

    /* How far it is. */
    uint64_t number;            /* of all jobs, in the order of admission */
    struct sc_http_place place; /* what is asked next */
    struct sc_http_origin *origin;
    unsigned failures;  /* in a row */
    unsigned exchanges; /* so far */
    bool fresh;         /* a new connection next time */
    uint64_t wake;      /* ms, while it sleeps */
    uint64_t delivered; /* bytes handed over */
    uint64_t furthest;  /* the most that was delivered before a failure */
    uint64_t total;     /* of the object; UINT64_MAX: not known */
    size_t body_start, error_start;
    char first_etag[136], body_etag[136];

    /* The exchange that goes on. */
    CURL *easy;
    struct curl_slist *headers;
    struct sc_http_answer a;
    enum sc_http_mode mode;
    bool ask_range, judged, follow, whole, cut, closed;
    bool vague; /* nothing ties the body to the object: neither its length nor a Content-Range */
    uint64_t begin, end;              /* asked bytes of the object; end UINT64_MAX: to its end */
    uint64_t skip, left;              /* of the answer's body: not wanted, then wanted */
    uint64_t got;                     /* bytes of its body that came */
    uint64_t started, deadline, mark; /* ms, ms, got at the last deadline */
    char problem[CURL_ERROR_SIZE];
};

struct sc_http {
    const struct sc_curl *c;
    struct sc_http_options o; /* defaults filled in */
    char *owned[3];           /* its strings */
    unsigned n_owned;
    struct sc_http_place token_place;
    const char *ca_from; /* name of the variable that gave ca_bundle; NULL: an option */
    bool ca_is_folder;
    uint64_t seed, jitters;

    pthread_t thread;
    pthread_mutex_t lock; /* inbox, stopping */
    struct sc_http_list inbox;
    bool stopping;
    _Atomic bool aborts; /* a job has its abort flag set */

    /* The thread's own. */
    CURLM *multi;
    struct sc_http_list sleeping, running;
    uint64_t admitted; /* jobs so far */
    struct sc_http_origin *origins;
    CURL **spare; /* handles for the next exchange; room for o.connections */
    unsigned n_spare;
    struct sc_http_job *calling; /* whose callback runs */
    bool told_plain;
    bool counted; /* libcurl tells of each request that goes out */
};

/* -------------------------------------------------------------------------------- engine --- */
void *sc_http_thread(void *ctx);                                       /* the engine */
void sc_http_list_push(struct sc_http_list *l, struct sc_http_job *j); /* at the end */
/* The job is done: callback, waiters. j must not be used any more. */
void sc_http_finish(struct sc_http_job *j, int code);
/* Into the queue of the origin of j->place, in the order in which jobs were admitted: what was
 * asked for first is wanted first, also after redirects and failures. */
int sc_http_queue(struct sc_http_job *j, struct sc_error *e);
void sc_http_say(struct sc_http *h, const char *fmt, ...) SC_PRINTF(2, 3);
void sc_http_job_free(struct sc_http_job *j);

/* ------------------------------------------------------------------------------ exchange --- */
int sc_http_exchange_start(struct sc_http_job *j, struct sc_error *e);
/* Takes the handle from the multi handle and keeps it for the next. */
void sc_http_exchange_end(struct sc_http_job *j);
void sc_http_answer_clear(struct sc_http_answer *a);

/* -------------------------------------------------------------------------------- answer --- */
/* Which bytes are asked for next. */
void sc_http_plan(struct sc_http_job *j);
/* All header lines are here: decides what happens with the body. Negative: unusable. */
int sc_http_judge(struct sc_http_job *j, struct sc_error *e);
/* Bytes of the body; how many were taken, fewer than n to end the exchange (j->closed or j->code
 * tells why). */
size_t sc_http_deliver(struct sc_http_job *j, const uint8_t *p, size_t n);
/* Forget what was handed over, to begin again; false: it cannot be taken back. */
bool sc_http_restart(struct sc_http_job *j);
/* Is everything that was asked for here? */
bool sc_http_complete(const struct sc_http_job *j);

/* --------------------------------------------------------------------------------- place --- */
/* `text` on its own, or relative to `base`. SCRUPLE_EUSAGE and a sentence when it may not be asked
 * for what it is. */
int sc_http_place_parse(const char *base, const char *text, struct sc_http_place *out,
                        struct sc_error *e);
void sc_http_place_clear(struct sc_http_place *p);
/* The next hop of j, whose answer is a redirect: j->place is changed, or a sentence says why not.
 */
int sc_http_follow(struct sc_http_job *j, struct sc_error *e);
bool sc_http_is_redirect(const struct sc_http_answer *a);
/* May the token go to where j goes next? */
bool sc_http_may_see_token(struct sc_http_job *j);

/* --------------------------------------------------------------------------------- retry --- */
bool sc_http_is_transient(int status);
/* The exchange broke (code) or its answer's status is transient: later again, or the end. */
void sc_http_after_break(struct sc_http_job *j, CURLcode code);
void sc_http_after_status(struct sc_http_job *j);
/* A proxy answered 407. */
void sc_http_after_proxy(struct sc_http_job *j);
/* Time ran out: what for? */
void sc_http_after_timeout(struct sc_http_job *j);
/* What an answer says about limits that is not a failure. */
void sc_http_note_limits(struct sc_http_job *j);

/* ------------------------------------------------------------------------------- headers --- */
/* One line of the header, without its end. */
int sc_http_header_line(struct sc_http_answer *a, struct sc_str line);
/* The target of rel="next" in a Link header. */
bool sc_http_link_next(struct sc_str value, struct sc_str *url);
uint64_t sc_http_unix_time(void);

#endif
