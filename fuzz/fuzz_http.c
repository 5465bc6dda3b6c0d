/* SPDX-License-Identifier: Apache-2.0 */
/* http: the header of an answer, line by line, as a server sends it. What is read of it must hold
 * together, and where it leads must be what is then asked. */
#include "fuzz.h"

#include "source/http_internal.h"

static const char base[] = "https://hub.example/api/models?page=1";

static void check_text(const char *text, size_t size)
{
    FUZZ_CHECK(memchr(text, '\0', size));
}

static void check_answer(const struct sc_http_answer *a)
{
    FUZZ_CHECK(a->status == 0 || (a->status >= 100 && a->status <= 999));
    if (a->has_range && !a->unsatisfied)
        FUZZ_CHECK(a->begin < a->end && a->end <= a->total);
    if (a->unsatisfied)
        FUZZ_CHECK(a->begin == 0 && a->end == 0);
    if (a->has_range && a->unsatisfied)
        FUZZ_CHECK(a->total != UINT64_MAX);
    check_text(a->encoding, sizeof a->encoding);
    check_text(a->etag, sizeof a->etag);
    check_text(a->linked_etag, sizeof a->linked_etag);
    check_text(a->commit, sizeof a->commit);
    check_text(a->xet_hash, sizeof a->xet_hash);
    check_text(a->error_code, sizeof a->error_code);
    check_text(a->error_message, sizeof a->error_message);
    check_text(a->warning, sizeof a->warning);
    check_text(a->content_type, sizeof a->content_type);
    for (size_t i = 0; i < SC_COUNT(a->request_id); i++)
        check_text(a->request_id[i], sizeof a->request_id[i]);
}

/* What is shown of a URL has no query and no user. */
static void check_safe_url(const char *url)
{
    struct sc_quoted q;
    const char *safe = sc_http_safe_url(&q, url);
    fuzz_check_safe(sc_strz(safe), "");
    FUZZ_CHECK(!strchr(safe, '?') && !strchr(safe, '#'));
}

/* A target that is accepted is a fixed point: what was checked is what libcurl will ask. */
static void check_target(const char *from, const char *target)
{
    struct sc_http_place to, again;
    struct sc_error e = {0};

    check_safe_url(target);
    const int code = sc_http_place_parse(from, target, &to, &e);
    if (code < 0) {
        fuzz_check_error(code, &e);
        FUZZ_CHECK(code == SCRUPLE_EUSAGE && !to.url);
        return;
    }
    FUZZ_CHECK(strncmp(to.url, to.secure ? "https://" : "http://", to.secure ? 8 : 7) == 0);
    FUZZ_CHECK(!strchr(to.url, '#'));
    if (strlen(to.url) <= SC_HTTP_MAX_URL) {
        FUZZ_CHECK(sc_http_place_parse(NULL, to.url, &again, &e) == 0);
        FUZZ_CHECK(strcmp(to.origin, again.origin) == 0 && strcmp(to.url, again.url) == 0);
        FUZZ_CHECK(to.loopback == again.loopback && sc_http_same_origin(to.url, again.url));
        sc_http_place_clear(&again);
    }
    (void)sc_http_url_expires(to.url);
    sc_http_place_clear(&to);
}

static void check_value(struct sc_str value)
{
    uint64_t a, b, c;
    bool flag;
    struct sc_str url;

    if (sc_http_content_range(value, &a, &b, &c, &flag))
        FUZZ_CHECK(flag ? c != UINT64_MAX : a < b && b <= c);
    (void)sc_http_rate_limit(value, &a, &b);
    /* A date that lies ahead comes nearer by the second. */
    if (sc_http_retry_after(value, 0, &a) && sc_http_retry_after(value, 1, &b))
        FUZZ_CHECK(a == b || a == b + 1);
    if (sc_http_link_next(value, &url))
        FUZZ_CHECK(url.p >= value.p && url.p + url.n <= value.p + value.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sc_http_answer a = {0};
    const char *p = (const char *)data, *const end = p + size;

    sc_http_answer_clear(&a);
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        const size_t n = (size_t)((stop ? stop : end) - p);
        const char *colon = memchr(p, ':', n);
        FUZZ_CHECK(sc_http_header_line(&a, sc_str(p, n)) == 0);
        check_answer(&a);
        if (colon)
            check_value(sc_str(colon + 1, n - (size_t)(colon + 1 - p)));
        p += n + (stop != NULL);
    }
    if (a.location) {
        check_target(base, a.location);
        check_target(NULL, a.location);
    }
    if (a.next)
        check_target(base, a.next);
    sc_http_answer_clear(&a);
    return 0;
}
