/* SPDX-License-Identifier: Apache-2.0 */
/* http_answer: may an answer be used, and which bytes of its body go where? Everything is decided
 * when the header is complete, so that nothing wrong is ever handed over.
 *
 * Of the object, bytes begin..end are asked for. The body of the answer holds
 *
 *     | skip: not wanted | left: handed over | what is more: not read, the connection is closed |
 */
#include <inttypes.h>
#include <string.h>

#include "source/http_internal.h"

static int fail_here(struct sc_http_job *j, struct sc_error *e, int code, const char *fmt, ...)
    SC_PRINTF(4, 5);

/* "URL: sentence". */
static int fail_here(struct sc_http_job *j, struct sc_error *e, int code, const char *fmt, ...)
{
    struct sc_quoted q;
    va_list ap;
    va_start(ap, fmt);
    sc_fail_v(e, code, fmt, ap);
    va_end(ap);
    sc_error_prefix(e, "%s", sc_http_safe_url(&q, j->place.url));
    return code;
}

static bool is_success(int status)
{
    return status >= 200 && status < 300;
}

static uint64_t first_byte(const struct sc_http_request *q)
{
    return q->ranged ? q->offset : 0;
}

/* One past the last byte that is wanted of the object; UINT64_MAX: all to its unknown end. */
static uint64_t last_byte(const struct sc_http_job *j)
{
    const struct sc_http_request *q = j->q;
    const uint64_t end = q->ranged ? q->offset + q->length : UINT64_MAX;
    return SC_MIN(end, j->total);
}

void sc_http_plan(struct sc_http_job *j)
{
    j->begin = first_byte(j->q) + j->delivered;
    j->end = last_byte(j);
    j->ask_range = !j->q->head && (j->q->ranged || j->delivered > 0);
    if (j->end <= j->begin) /* an object said to be shorter than where we ask: let it answer */
        j->end = j->q->ranged ? j->q->offset + j->q->length : UINT64_MAX;
    j->judged = j->follow = j->whole = j->cut = j->closed = j->vague = false;
    j->mode = SC_HTTP_DROP;
    j->skip = j->got = j->mark = 0;
    j->left = UINT64_MAX;
    if (j->q->error_body && j->q->error_body->p) {
        j->q->error_body->n = j->error_start;
        j->q->error_body->p[j->error_start] = '\0';
    }
}

/* ------------------------------------------------------------------------- what it says --- */

static void copy_text(char *out, size_t size, const char *text)
{
    const size_t n = SC_MIN(strlen(text), size - 1);
    memcpy(out, text, n);
    out[n] = '\0';
}
#define COPY(to, from) copy_text((to), sizeof(to), (from))
#define COPY_FIRST(to, from)                                                                       \
    do {                                                                                           \
        if (!(to)[0])                                                                              \
            COPY(to, from);                                                                        \
    } while (0)

/* Does the redirect lead to another origin? */
static bool leaves(struct sc_http_job *j)
{
    struct sc_http_place to;
    bool away = true;
    if (sc_http_place_parse(j->place.url, j->a.location, &to, NULL) == 0) {
        away = strcmp(to.origin, j->place.origin) != 0;
        sc_http_place_clear(&to);
    }
    return away;
}

/* What is said of the object with the first answer counts: later ones come from a store that
 * knows nothing of commits. The etag of a redirect within the hub may be that of its own page. */
static void note_answer(struct sc_http_job *j)
{
    const struct sc_http_answer *a = &j->a;
    struct sc_http_reply *r = &j->q->reply;

    r->status = a->status;
    COPY(r->etag, a->etag);
    COPY_FIRST(r->linked_etag, a->linked_etag);
    COPY_FIRST(r->commit, a->commit);
    COPY_FIRST(r->xet_hash, a->xet_hash);
    COPY_FIRST(r->warning, a->warning);
    if (r->linked_size == UINT64_MAX)
        r->linked_size = a->linked_size;
    COPY(r->error_code, a->error_code);
    COPY(r->error_message, a->error_message);
    COPY(r->content_type, a->content_type);
    COPY(r->request_id, a->request_id[0][0]   ? a->request_id[0]
                        : a->request_id[1][0] ? a->request_id[1]
                                              : a->request_id[2]);
    if (a->linked_etag[0])
        COPY_FIRST(j->first_etag, a->linked_etag);
    else if (is_success(a->status) || (sc_http_is_redirect(a) && leaves(j)))
        COPY_FIRST(j->first_etag, a->etag);
}

/* ---------------------------------------------------------------------- what is expected --- */

static int check_text(struct sc_http_job *j, const char *what, const char *got, const char *want,
                      struct sc_error *e)
{
    struct sc_quoted q, r;
    if (!want || !want[0] || !got[0] || strcmp(got, want) == 0)
        return 0;
    return fail_here(j, e, SCRUPLE_EIO, "was changed while being read: its %s is %s, was %s", what,
                     sc_quote(&q, sc_strz(got)), sc_quote(&r, sc_strz(want)));
}

static int check_first(struct sc_http_job *j, struct sc_error *e)
{
    TRY(check_text(j, "etag", j->first_etag, j->q->expect_etag, e));
    return check_text(j, "commit", j->q->reply.commit, j->q->expect_commit, e);
}

static int check_body(struct sc_http_job *j, uint64_t total, struct sc_error *e)
{
    TRY(check_text(j, "etag", j->a.etag, j->q->expect_body_etag, e));
    TRY(check_text(j, "etag", j->a.etag, j->body_etag, e));
    if (total != UINT64_MAX && j->total != UINT64_MAX && total != j->total)
        return fail_here(j, e, SCRUPLE_EIO,
                         "was changed while being read: it has %" PRIu64 " bytes, had %" PRIu64,
                         total, j->total);
    COPY_FIRST(j->body_etag, j->a.etag);
    if (total != UINT64_MAX)
        j->total = j->q->reply.total = total;
    return 0;
}

/* A page where a file of a known size was asked for: what networks send that want a login first. */
static int check_page(struct sc_http_job *j, uint64_t size, struct sc_error *e)
{
    const struct sc_str type = sc_strz(j->a.content_type);
    if (j->total == UINT64_MAX || size == j->total || !sc_str_has_nocase(type, SC_STR("text/html")))
        return 0;
    return fail_here(j, e, SCRUPLE_ENETWORK,
                     "a web page (text/html) came instead of the file; does this network want a "
                     "login in the browser first?");
}

/* Is there room for what will come? */
static int check_room(struct sc_http_job *j, struct sc_error *e)
{
    const struct sc_http_request *q = j->q;
    uint64_t room = UINT64_MAX;

    if (q->ranged || q->head || j->total == UINT64_MAX)
        return 0;
    if (q->dst)
        room = q->length;
    else if (q->body)
        room = (q->body->max ? q->body->max : (size_t)1 << 30) - j->body_start;
    if (j->total > room)
        return fail_here(j, e, SCRUPLE_ELIMIT,
                         "has %" PRIu64 " bytes; at most %" PRIu64 " are read", j->total, room);
    return 0;
}

/* -------------------------------------------------------------------------------- ranges --- */

static int take_part(struct sc_http_job *j, struct sc_error *e)
{
    const struct sc_http_answer *a = &j->a;
    const uint64_t n = a->end - a->begin;

    if (a->begin != j->begin)
        return fail_here(j, e, SCRUPLE_EIO,
                         "bytes from %" PRIu64 " on were asked for, and the server sent bytes from "
                         "%" PRIu64 " on",
                         j->begin, a->begin);
    if (a->has_length && a->length != n)
        return fail_here(j, e, SCRUPLE_EIO,
                         "the server announces %" PRIu64 " bytes and sends %" PRIu64, n, a->length);
    TRY(check_body(j, a->total, e));
    j->end = SC_MIN(j->end, last_byte(j));
    j->cut = a->end > j->end;
    j->left = j->end > j->begin ? SC_MIN(n, j->end - j->begin) : 0;
    j->q->reply.partial = true;
    return 0;
}

bool sc_http_restart(struct sc_http_job *j)
{
    if (j->q->sink || (!j->q->dst && !j->q->body))
        return false;
    if (!j->q->dst) {
        j->q->body->n = j->body_start;
        if (j->q->body->p)
            j->q->body->p[j->body_start] = '\0';
    }
    j->delivered = 0;
    j->q->reply.received = 0;
    return true;
}

/* The whole object came though a part of it was asked for. */
static int take_from_whole(struct sc_http_job *j, uint64_t size, struct sc_error *e)
{
    const struct sc_http_request *q = j->q;
    const bool to_end = size != UINT64_MAX && j->end >= size;

    j->whole = true;
    j->cut = !to_end && j->end != UINT64_MAX;
    j->skip = j->begin;
    if (q->ranged && !(to_end && q->offset <= SC_HTTP_WASTE)) {
        if (q->offset + q->length > SC_HTTP_WASTE)
            return fail_here(
                j, e, SCRUPLE_ENETWORK,
                "the server ignores byte ranges, and the whole object would have to be "
                "read");
    } else if (j->begin > SC_HTTP_WASTE) {
        if (!sc_http_restart(j))
            return fail_here(j, e, SCRUPLE_ENETWORK,
                             "the connection broke after %" PRIu64 " bytes, and the server ignores "
                             "byte ranges",
                             j->begin);
        j->skip = first_byte(q);
    }
    if (j->end != UINT64_MAX)
        j->left = j->end - first_byte(q) - j->delivered;
    return 0;
}

static int take_all(struct sc_http_job *j, struct sc_error *e)
{
    const uint64_t size = j->a.has_length ? j->a.length : UINT64_MAX;

    TRY(check_page(j, size, e));
    j->vague = size == UINT64_MAX && !j->a.etag[0];
    TRY(check_body(j, size, e));
    TRY(check_room(j, e));
    if (j->ask_range)
        return take_from_whole(j, size, e);
    j->whole = true;
    return 0;
}

static int judge_body(struct sc_http_job *j, struct sc_error *e)
{
    const struct sc_http_answer *a = &j->a;
    struct sc_quoted q;

    j->mode = SC_HTTP_DELIVER;
    if (a->encoding[0] && !sc_str_eq_nocase(sc_strz(a->encoding), SC_STR("identity")))
        return fail_here(j, e, SCRUPLE_EIO,
                         "the server sends it encoded as %s, which was not asked for",
                         sc_quote(&q, sc_strz(a->encoding)));
    if (a->status == 206 && !j->ask_range)
        return fail_here(j, e, SCRUPLE_EIO, "the server sends a part where all was asked for");
    if (a->status == 206 && (!a->has_range || a->unsatisfied))
        return fail_here(j, e, SCRUPLE_EIO,
                         "the server sends a part without saying which (no valid Content-Range)");
    /* Some servers send a part and say 200. */
    const bool part = a->has_range && !a->unsatisfied && j->ask_range;
    if (a->status == 206 || (part && a->begin == j->begin))
        TRY(take_part(j, e));
    else
        TRY(take_all(j, e));
    return check_room(j, e);
}

/* ---------------------------------------------------------------------------- the answer --- */

static int judge_head(struct sc_http_job *j, struct sc_error *e)
{
    const uint64_t size = j->a.has_length ? j->a.length : UINT64_MAX;
    return check_body(j, size, e);
}

int sc_http_judge(struct sc_http_job *j, struct sc_error *e)
{
    const struct sc_http_answer *a = &j->a;

    note_answer(j);
    j->origin->answered = true;
    if (sc_http_is_redirect(a)) {
        j->follow = !(j->q->stay && leaves(j));
        j->mode = j->follow ? SC_HTTP_DROP : SC_HTTP_ERROR;
        return check_first(j, e);
    }
    if (is_success(a->status)) {
        TRY(check_first(j, e));
        return j->q->head ? judge_head(j, e) : judge_body(j, e);
    }
    j->mode = SC_HTTP_ERROR;
    if (a->status == 416 && a->unsatisfied)
        return check_body(j, a->total, e);
    return 0;
}

bool sc_http_complete(const struct sc_http_job *j)
{
    const struct sc_http_request *q = j->q;
    const uint64_t end = last_byte(j);

    if (q->head || !is_success(j->a.status))
        return true;
    if (!q->dst && !q->body && !q->sink)
        return true;
    if (end == UINT64_MAX)
        return j->whole; /* it ended without a fault, and nobody knows better */
    return end <= first_byte(q) || j->delivered >= end - first_byte(q);
}

/* ------------------------------------------------------------------------------ the body --- */

/* An answer that did not say how long it is cannot be judged before it is too long. */
static int check_length(struct sc_http_job *j, size_t n)
{
    if (j->q->ranged || j->total == UINT64_MAX || n <= j->total - SC_MIN(j->delivered, j->total))
        return 0;
    return fail_here(j, &j->error, SCRUPLE_EIO,
                     "was changed while being read: it has more bytes than %" PRIu64, j->total);
}

static int hand_over(struct sc_http_job *j, const uint8_t *p, size_t n)
{
    struct sc_http_request *q = j->q;

    TRY(check_length(j, n));
    if (q->dst) {
        if (n > q->length - j->delivered)
            return fail_here(j, &j->error, SCRUPLE_ELIMIT,
                             "is longer than the %" PRIu64 " bytes that are read of it", q->length);
        memcpy((uint8_t *)q->dst + j->delivered, p, n);
    } else if (q->body) {
        sc_buf_put(q->body, p, n);
        if (q->body->failed)
            return q->body->max && q->body->n + n > q->body->max
                       ? fail_here(j, &j->error, SCRUPLE_ELIMIT,
                                   "is longer than the %zu bytes that are read of it", q->body->max)
                       : sc_fail_memory(&j->error);
    } else if (q->sink) {
        const int code = q->sink(q->sink_ctx, p, n);
        if (code)
            return fail_here(j, &j->error, code < 0 ? code : SCRUPLE_EIO,
                             "reading was stopped by the program");
    } else if (j->got > SC_HTTP_WASTE) {
        j->closed = true;
        return 0;
    } else {
        return 0;
    }
    j->delivered += n;
    q->reply.received = j->delivered;
    return 0;
}

static size_t deliver_success(struct sc_http_job *j, const uint8_t *p, size_t n)
{
    const size_t skip = (size_t)SC_MIN(j->skip, (uint64_t)n);
    const size_t take = (size_t)SC_MIN(j->left, (uint64_t)(n - skip));

    j->skip -= skip;
    if (take) {
        const int code = hand_over(j, p + skip, take);
        if (code < 0) {
            j->code = code;
            return 0;
        }
    }
    if (j->left != UINT64_MAX)
        j->left -= take;
    if (skip + take < n || (j->left == 0 && j->cut))
        j->closed = true;
    return j->closed ? 0 : n;
}

static size_t deliver_error(struct sc_http_job *j, const uint8_t *p, size_t n)
{
    struct sc_buf *b = j->q->error_body;
    uint64_t most = SC_HTTP_ERROR_BODY;

    if (b && j->mode == SC_HTTP_ERROR) {
        if (b->max)
            most = b->max;
        if (b->n < most)
            sc_buf_put(b, p, (size_t)SC_MIN(most - b->n, (uint64_t)n));
        if (b->n >= most)
            j->closed = true;
    }
    if (j->got > SC_MAX(most, SC_HTTP_ERROR_BODY))
        j->closed = true;
    return j->closed ? 0 : n;
}

size_t sc_http_deliver(struct sc_http_job *j, const uint8_t *p, size_t n)
{
    j->got += n;
    if (j->h->o.io)
        atomic_fetch_add_explicit(&j->h->o.io->bytes_read, n, memory_order_relaxed);
    return j->mode == SC_HTTP_DELIVER ? deliver_success(j, p, n) : deliver_error(j, p, n);
}
