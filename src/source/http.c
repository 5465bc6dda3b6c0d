/* SPDX-License-Identifier: Apache-2.0 */
/* http: starting and stopping an engine, and what other threads do with it: hand requests over,
 * wait for them, forget them. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "source/http_internal.h"

#define STRING_(x) #x
#define STRING(x)  STRING_(x)
#define USER_AGENT                                                                                 \
    "scruple/" STRING(SCRUPLE_VERSION_MAJOR) "." STRING(SCRUPLE_VERSION_MINOR) "." STRING(         \
        SCRUPLE_VERSION_PATCH)

enum { STACK_BYTES = 512 << 10 };

/* --------------------------------------------------------------------------------- options --- */

/* *to becomes a copy that lives as long as the engine. */
static int copy_option(struct sc_http *h, const char **to, const char *from, struct sc_error *e)
{
    *to = NULL;
    if (!from)
        return 0;
    char *copy = sc_str_copy(sc_strz(from));
    if (!copy)
        return sc_fail_memory(e);
    *to = h->owned[h->n_owned++] = copy;
    return 0;
}

static int check_token(const char *token, struct sc_error *e)
{
    for (const char *p = token; p && *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return sc_fail(e, SCRUPLE_EUSAGE,
                           "the token has a space or a control character in it; write it anew");
    return 0;
}

/* The variables that other programs obey, most specific first. */
static const char *ca_from_environment(const char **name)
{
    static const char *const names[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};
    for (size_t i = 0; i < SC_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value && value[0]) {
            *name = names[i];
            return value;
        }
    }
    return NULL;
}

static int take_ca(struct sc_http *h, const char *path, struct sc_error *e)
{
    struct stat st;
    if (!path)
        path = ca_from_environment(&h->ca_from);
    TRY(copy_option(h, &h->o.ca_bundle, path, e));
    h->ca_is_folder = path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    return 0;
}

/* A connection needs a descriptor, and up to three more while its host is looked up. */
static unsigned affordable(unsigned connections)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
        return connections;
    const uint64_t most = r.rlim_cur > 12 ? (r.rlim_cur - 8) / 4 : 1;
    return (unsigned)SC_MIN((uint64_t)connections, most);
}

static int take_options(struct sc_http *h, const struct sc_http_options *o, struct sc_error *e)
{
    h->o = *o;
    h->o.user_agent = h->o.token = h->o.token_origin = h->o.ca_bundle = NULL;
    h->o.connections = affordable(o->connections ? o->connections : 64);
    h->o.connect_ms = o->connect_ms ? o->connect_ms : 10000;
    h->o.answer_ms = o->answer_ms ? o->answer_ms : 30000;
    h->o.stall_ms = o->stall_ms ? o->stall_ms : 30000;
    h->o.tries = o->tries ? o->tries : 5;
    h->o.retry_ms = o->retry_ms ? o->retry_ms : 500;
    TRY(check_token(o->token, e));
    TRY(copy_option(h, &h->o.user_agent, o->user_agent ? o->user_agent : USER_AGENT, e));
    TRY(copy_option(h, &h->o.token, o->token && o->token[0] ? o->token : NULL, e));
    TRY(take_ca(h, o->ca_bundle, e));
    if (o->token_origin)
        TRY(sc_http_place_parse(NULL, o->token_origin, &h->token_place, e));
    h->spare = sc_calloc(h->o.connections, sizeof *h->spare);
    return h->spare ? 0 : sc_fail_memory(e);
}

/* ---------------------------------------------------------------------- starting, stopping --- */

static int start_multi(struct sc_http *h, struct sc_error *e)
{
    const struct sc_curl *c = h->c;
    const long n = (long)h->o.connections;

    h->multi = c->multi_init();
    if (!h->multi)
        return sc_fail_memory(e);
    c->multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    c->multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, n);
    c->multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, n);
    c->multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, n);
    return 0;
}

static int start_thread(struct sc_http *h, struct sc_error *e)
{
    pthread_attr_t attr;

    if (pthread_attr_init(&attr) != 0)
        return sc_fail_memory(e);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    const int error = sc_thread_start(&h->thread, &attr, sc_http_thread, h);
    pthread_attr_destroy(&attr);
    if (error)
        return sc_fail(e, SCRUPLE_EMEMORY, "no thread for the network can be started: %s",
                       strerror(error));
    return 0;
}

static void free_engine(struct sc_http *h)
{
    for (unsigned i = 0; i < h->n_spare; i++)
        h->c->easy_cleanup(h->spare[i]);
    if (h->multi)
        h->c->multi_cleanup(h->multi);
    for (struct sc_http_origin *o = h->origins, *next; o; o = next) {
        next = o->next;
        free(o);
    }
    free(h->spare);
    for (unsigned i = 0; i < h->n_owned; i++)
        free(h->owned[i]);
    sc_http_place_clear(&h->token_place);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static int begin(struct sc_http *h, const struct sc_http_options *o, struct sc_error *e)
{
    TRY(take_options(h, o, e));
    TRY(start_multi(h, e));
    return start_thread(h, e);
}

int sc_http_start(const struct sc_http_options *o, struct sc_http **out, struct sc_error *e)
{
    *out = NULL;
    const struct sc_curl *c = sc_curl(e);
    if (!c)
        return SCRUPLE_EUNSUPPORTED;
    struct sc_http *h = sc_calloc(1, sizeof *h);
    if (!h)
        return sc_fail_memory(e);
    h->c = c;
    h->seed = sc_hash_mix((uint64_t)(uintptr_t)h, sc_milliseconds());
    pthread_mutex_init(&h->lock, NULL);
    const int code = begin(h, o, e);
    if (code < 0)
        free_engine(h);
    else
        *out = h;
    return code;
}

void sc_http_stop(struct sc_http *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_mutex_unlock(&h->lock);
    h->c->multi_wakeup(h->multi);
    pthread_join(h->thread, NULL);
    free_engine(h);
}

/* -------------------------------------------------------------------------------- requests --- */

static struct sc_http_job *new_job(struct sc_http *h, struct sc_http_request *q)
{
    struct sc_http_job *j = sc_calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->h = h;
    j->q = q;
    j->total = q->expect_total ? q->expect_total : UINT64_MAX;
    j->body_start = q->body ? q->body->n : 0;
    j->error_start = q->error_body ? q->error_body->n : 0;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->change, NULL);
    sc_http_answer_clear(&j->a);
    return j;
}

int sc_http_submit(struct sc_http *h, struct sc_http_request *q,
                   void (*done)(void *ctx, struct sc_http_request *q), void *done_ctx,
                   struct sc_error *e)
{
    sc_http_request_clear(h, q);
    struct sc_http_job *j = new_job(h, q);
    if (!j)
        return sc_fail_memory(e);
    j->done = done;
    j->done_ctx = done_ctx;
    q->job = j;
    q->reply = (struct sc_http_reply){.total = UINT64_MAX, .linked_size = UINT64_MAX};
    q->result = 0;
    pthread_mutex_lock(&h->lock);
    const bool wake = h->inbox.n == 0;
    sc_http_list_push(&h->inbox, j);
    pthread_mutex_unlock(&h->lock);
    if (wake)
        h->c->multi_wakeup(h->multi);
    return 0;
}

int sc_http_wait(struct sc_http *h, struct sc_http_request *q, struct sc_error *e)
{
    struct sc_http_job *j = q->job;

    if (!j)
        return sc_fail(e, SCRUPLE_EUSAGE, "a request was waited for that was never made");
    if (!sc_http_is_done(h, q) && pthread_equal(pthread_self(), h->thread))
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "a callback waits for a request, which would be for ever");
    pthread_mutex_lock(&j->lock);
    while (!j->finished)
        pthread_cond_wait(&j->change, &j->lock);
    pthread_mutex_unlock(&j->lock);
    if (q->result < 0 && e)
        *e = j->error;
    return q->result;
}

bool sc_http_is_done(struct sc_http *h, struct sc_http_request *q)
{
    struct sc_http_job *j = q->job;

    (void)h;
    if (!j)
        return false;
    pthread_mutex_lock(&j->lock);
    const bool done = j->finished;
    pthread_mutex_unlock(&j->lock);
    return done;
}

/* Its own callback cannot wait for it: the engine then frees the job. */
static bool is_in_callback(struct sc_http *h, const struct sc_http_job *j)
{
    return pthread_equal(pthread_self(), h->thread) && h->calling == j;
}

static void stop_job(struct sc_http *h, struct sc_http_job *j)
{
    if (sc_http_is_done(h, j->q)) {
        sc_http_job_free(j);
        return;
    }
    if (is_in_callback(h, j)) {
        j->orphan = true;
        return;
    }
    atomic_store(&j->abort, true);
    atomic_store(&h->aborts, true);
    h->c->multi_wakeup(h->multi);
    sc_http_wait(h, j->q, NULL);
    sc_http_job_free(j);
}

void sc_http_request_clear(struct sc_http *h, struct sc_http_request *q)
{
    if (q->job)
        stop_job(h, q->job);
    q->job = NULL;
    free(q->reply.url);
    free(q->reply.next);
    q->reply.url = q->reply.next = NULL;
}

int sc_http_do(struct sc_http *h, struct sc_http_request *q, struct sc_error *e)
{
    TRY(sc_http_submit(h, q, NULL, NULL, e));
    return sc_http_wait(h, q, e);
}
