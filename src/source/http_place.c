/* SPDX-License-Identifier: Apache-2.0 */
/* http_place: URLs. What may be asked at all, whether two have the same origin, where a redirect
 * leads, and who may see the token. They are taken apart by libcurl, so that what is checked here
 * is what is asked there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/http_internal.h"

const char *sc_http_safe_url(struct sc_quoted *q, const char *url)
{
    url = url ? url : "";
    const char *scheme = strstr(url, "://");
    struct sc_buf b = {.max = (size_t)2 * SC_HTTP_MAX_URL};
    const size_t n = strcspn(url, "?#");
    const char *host = scheme && (size_t)(scheme - url) < n ? scheme + 3 : url;
    const size_t host_n = strcspn(host, "/?#");

    /* The user's part ends at the last @ in front of the path. */
    const char *from = host;
    for (size_t i = 0; i < host_n; i++)
        if (host[i] == '@')
            from = host + i + 1;
    sc_buf_put(&b, url, (size_t)(host - url));
    sc_buf_put(&b, from, (size_t)(url + n - from));
    sc_quote(q, b.failed || !b.p ? SC_STR("(URL)") : sc_str(b.p, b.n));
    sc_buf_clear(&b);
    return q->s;
}

/* Names and addresses that never leave this machine. */
static bool is_loopback(const char *host)
{
    const bool is_number = host[strspn(host, "0123456789.")] == '\0'; /* four parts, by libcurl */
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (is_number && strncmp(host, "127.", 4) == 0);
}

static void lower(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s + 32);
}

/* One part of a parsed URL; false when it is not there or too long. */
static bool part(const struct sc_curl *c, CURLU *u, CURLUPart what, unsigned flags, char *out,
                 size_t size)
{
    char *text = NULL;
    if (c->url_get(u, what, &text, flags) != CURLUE_OK || !text)
        return false;
    const int n = snprintf(out, size, "%s", text);
    c->free(text);
    return n >= 0 && (size_t)n < size;
}

static bool has_part(const struct sc_curl *c, CURLU *u, CURLUPart what)
{
    char *text = NULL;
    const bool there = c->url_get(u, what, &text, 0) == CURLUE_OK && text;
    c->free(text);
    return there;
}

static int fill(const struct sc_curl *c, CURLU *u, const char *text, struct sc_http_place *out,
                struct sc_error *e)
{
    struct sc_quoted q;
    char scheme[8], host[264], port[8], *url = NULL;

    if (has_part(c, u, CURLUPART_USER) || has_part(c, u, CURLUPART_PASSWORD))
        return sc_fail(e, SCRUPLE_EUSAGE, "%s: a URL with a user name in it is not asked",
                       sc_http_safe_url(&q, text));
    if (!part(c, u, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        return sc_fail(e, SCRUPLE_EUSAGE, "%s: only http:// and https:// can be read",
                       sc_http_safe_url(&q, text));
    if (!part(c, u, CURLUPART_HOST, 0, host, sizeof host) || !host[0] ||
        !part(c, u, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port))
        return sc_fail(e, SCRUPLE_EUSAGE, "%s: this URL names no host that can be asked",
                       sc_http_safe_url(&q, text));
    lower(host);
    c->url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    if (c->url_get(u, CURLUPART_URL, &url, 0) != CURLUE_OK || !url)
        return sc_fail_memory(e);
    out->url = sc_str_copy(sc_strz(url));
    c->free(url);
    if (!out->url)
        return sc_fail_memory(e);
    out->secure = strcmp(scheme, "https") == 0;
    const bool usual = strcmp(port, out->secure ? "443" : "80") == 0;
    snprintf(out->origin, sizeof out->origin, "%s://%s%s%s", scheme, host, usual ? "" : ":",
             usual ? "" : port);
    out->loopback = is_loopback(host);
    return 0;
}

static int parse(const struct sc_curl *c, CURLU *u, const char *base, const char *text,
                 struct sc_http_place *out, struct sc_error *e)
{
    struct sc_quoted q;

    if (strlen(text) > SC_HTTP_MAX_URL)
        return sc_fail(e, SCRUPLE_EUSAGE, "%s: a URL of %zu bytes is too long (the limit is %d)",
                       sc_http_safe_url(&q, text), strlen(text), SC_HTTP_MAX_URL);
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return sc_fail(e, SCRUPLE_EUSAGE, "%s: there are control characters in this URL",
                           sc_http_safe_url(&q, text));
    if ((base && c->url_set(u, CURLUPART_URL, base, 0) != CURLUE_OK) ||
        c->url_set(u, CURLUPART_URL, text,
                   CURLU_NON_SUPPORT_SCHEME | (base ? CURLU_URLENCODE : 0)) != CURLUE_OK)
        return sc_fail(e, SCRUPLE_EUSAGE, "%s: this is no URL", sc_http_safe_url(&q, text));
    return fill(c, u, text, out, e);
}

int sc_http_place_parse(const char *base, const char *text, struct sc_http_place *out,
                        struct sc_error *e)
{
    *out = (struct sc_http_place){0};
    const struct sc_curl *c = sc_curl(e);
    if (!c)
        return SCRUPLE_EUNSUPPORTED;
    CURLU *u = c->url();
    if (!u)
        return sc_fail_memory(e);
    const int code = parse(c, u, base, text, out, e);
    c->url_cleanup(u);
    return code;
}

void sc_http_place_clear(struct sc_http_place *p)
{
    free(p->url);
    p->url = NULL;
}

bool sc_http_same_origin(const char *a, const char *b)
{
    struct sc_http_place pa, pb;
    bool same = false;
    if (!a || !b || sc_http_place_parse(NULL, a, &pa, NULL) < 0)
        return false;
    if (sc_http_place_parse(NULL, b, &pb, NULL) == 0) {
        same = strcmp(pa.origin, pb.origin) == 0;
        sc_http_place_clear(&pb);
    }
    sc_http_place_clear(&pa);
    return same;
}

/* An http endpoint is one that the user has set, for the default is https; so it gets the token,
 * but the user is told once. */
bool sc_http_may_see_token(struct sc_http_job *j)
{
    struct sc_http *h = j->h;
    struct sc_quoted q;

    if (!j->q->with_token || !h->o.token || !h->token_place.url ||
        strcmp(j->place.origin, h->token_place.origin) != 0)
        return false;
    if (!j->place.secure && !j->place.loopback && !h->told_plain) {
        h->told_plain = true;
        sc_http_say(h,
                    "the token goes to %s without encryption; an https:// endpoint would keep "
                    "it secret",
                    sc_http_safe_url(&q, j->place.origin));
    }
    return true;
}

/* ------------------------------------------------------------------------------ redirects --- */

bool sc_http_is_redirect(const struct sc_http_answer *a)
{
    return a->location && (a->status == 301 || a->status == 302 || a->status == 303 ||
                           a->status == 307 || a->status == 308);
}

int sc_http_follow(struct sc_http_job *j, struct sc_error *e)
{
    struct sc_http_place to;
    struct sc_quoted q, r;
    const char *from = sc_http_safe_url(&q, j->place.url);

    if (j->q->reply.hops >= SC_HTTP_MAX_HOPS)
        return sc_fail(e, SCRUPLE_ENETWORK, "%s: more than %d redirects in a row", from,
                       SC_HTTP_MAX_HOPS);
    int code = sc_http_place_parse(j->place.url, j->a.location, &to, e);
    if (code < 0) {
        if (code != SCRUPLE_EUSAGE)
            return code;
        sc_error_prefix(e, "%s leads elsewhere", from);
        if (e)
            e->code = SCRUPLE_ENETWORK; /* the server's fault, not the user's */
        return SCRUPLE_ENETWORK;
    }
    if (j->place.secure && !to.secure) {
        code = sc_fail(e, SCRUPLE_ENETWORK,
                       "%s leads to %s, which is not encrypted; this is not followed", from,
                       sc_http_safe_url(&r, to.url));
        sc_http_place_clear(&to);
        return code;
    }
    sc_http_place_clear(&j->place);
    j->place = to;
    j->q->reply.hops++;
    return 0;
}
