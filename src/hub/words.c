/* SPDX-License-Identifier: Apache-2.0 */
/* words: the Hub's refusals as sentences.
 *
 * Owns: what each kind of refusal means and what to do about it. Does not own: failures on the way
 * (source/http.h words them), and when to go on with a copy (api.c).
 *
 * The Hub does not say whether a repository that it will not show is missing, private or gated. A
 * sentence must not say more than we know. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "hub/internal.h"

enum { MAX_NAMES = 2000, SHOWN = 5 };
#define MAX_REFS ((size_t)4 << 20) /* bytes of an answer that is built up in memory */

/* One sentence in the making. */
struct saying {
    struct sc_hub *hub;
    const struct sc_http_reply *reply;
    const struct sc_name *name;
    struct sc_buf text;
};

static void put_quoted(struct sc_buf *b, const char *s)
{
    struct sc_quoted q;
    sc_buf_puts(b, sc_quote(&q, sc_strz(s)));
}

/* "org/name" and what the refusal is about. */
static void put_subject(struct saying *s)
{
    struct sc_buf id = {0};
    sc_hub_put_id(&id, s->name->type, s->name->id);
    if (!id.failed)
        put_quoted(&s->text, id.p);
    sc_buf_clear(&id);
    sc_buf_puts(&s->text, ": ");
}

/* Was there a token, and whose? */
static void put_token(struct saying *s)
{
    const struct sc_hub_env *env = &s->hub->env;
    struct sc_buf *b = &s->text;
    if (s->reply->token_sent && env->token_source) {
        sc_buf_puts(b, "the token from ");
        put_quoted(b, env->token_source);
        sc_buf_puts(b, " was sent");
    } else if (env->token && env->token_source) {
        sc_buf_puts(b, "the token from ");
        put_quoted(b, env->token_source);
        sc_buf_puts(b, " was not sent to this address");
    } else if (env->token_hint) {
        sc_buf_printf(b, "no token was sent: %s", env->token_hint);
    } else {
        sc_buf_puts(b, "no token was sent: set HF_TOKEN or give --token");
    }
}

static int finish(struct saying *s, int code, struct sc_error *e)
{
    if (s->reply && s->reply->request_id[0]) {
        sc_buf_puts(&s->text, " (request ");
        put_quoted(&s->text, s->reply->request_id);
        sc_buf_putc(&s->text, ')');
    }
    if (s->text.failed)
        code = sc_fail_memory(e);
    else
        sc_fail(e, code, "%s", s->text.p);
    sc_buf_clear(&s->text);
    return code;
}

/* -------------------------------------------------------------------------------- near names ---
 */

struct near {
    const char *name;
    unsigned distance;
};

static int compare_near(const void *a, const void *b)
{
    const struct near *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* How far apart: edits, but a name that holds the other is near, whatever its length. */
static unsigned distance(const char *name, const char *wanted)
{
    const struct sc_str a = sc_strz(name), b = sc_strz(wanted);
    const char *slash = strrchr(name, '/');
    const unsigned limit = (unsigned)SC_MIN(SC_MAX(b.n / 3, 2), 12);
    unsigned d = sc_edit_distance(a, b, limit);
    if (slash)
        d = SC_MIN(d, sc_edit_distance(sc_strz(slash + 1), b, limit));
    if (d > limit && b.n >= 2 && sc_str_has_nocase(a, b))
        d = limit;
    return d > limit ? UINT32_MAX : d;
}

static void put_names(struct sc_buf *out, const struct near *near, size_t n)
{
    struct sc_quoted q;
    for (size_t i = 0; i < n; i++)
        sc_buf_printf(out, "%s\"%s\"", i ? ", " : "", sc_quote(&q, sc_strz(near[i].name)));
}

bool sc_hub_nearest(const char *const *names, size_t n, const char *wanted, struct sc_buf *out)
{
    struct near best[SHOWN + 1];
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        const struct near one = {names[i], distance(names[i], wanted)};
        if (one.distance == UINT32_MAX)
            continue;
        best[found] = one;
        qsort(best, found + 1, sizeof best[0], compare_near);
        found = SC_MIN(found + 1, SHOWN);
    }
    put_names(out, best, found);
    return found > 0;
}

/* Pull requests are called by their ref, the rest by their name. */
static size_t take_refs(const json_t *root, const char **names)
{
    static const char *const lists[] = {"branches", "tags", "converts", "pullRequests"};
    size_t n = 0;
    for (size_t k = 0; k < SC_COUNT(lists); k++) {
        const json_t *list = json_object_get(root, lists[k]);
        for (size_t i = 0; i < json_array_size(list) && n < MAX_NAMES; i++) {
            const json_t *item = json_array_get(list, i);
            const char *name = json_string_value(json_object_get(item, k < 2 ? "name" : "ref"));
            if (name && sc_hub_is_revision(sc_strz(name)))
                names[n++] = name;
        }
    }
    return n;
}

bool sc_hub_read_refs(const char *p, size_t n, const char *wanted, struct sc_buf *out)
{
    json_t *root = json_loadb(p, n, 0, NULL);
    const char **names = sc_calloc(MAX_NAMES, sizeof *names);
    const size_t count = root && names ? take_refs(root, names) : 0;
    bool some = sc_hub_nearest(names, count, wanted, out);
    if (!some && count > 0) {
        struct near first[SHOWN];
        const size_t shown = SC_MIN(count, SHOWN);
        for (size_t i = 0; i < shown; i++)
            first[i] = (struct near){names[i], 0};
        put_names(out, first, shown);
        some = true;
    }
    free(names);
    json_decref(root);
    return some;
}

/* -------------------------------------------------------------------------------- sentences --- */

static int say_not_found(struct saying *s, struct sc_error *e)
{
    struct sc_buf *b = &s->text;
    put_subject(s);
    if (s->reply->token_sent) {
        sc_buf_printf(b, "not found on %s, or not for you: ", s->hub->env.endpoint);
        put_token(s);
        sc_buf_puts(b, ", and it may lack access to a private or gated repository (check the "
                       "spelling, and what the token may read)");
    } else {
        sc_buf_printf(b,
                      "not found on %s: it does not exist (check the spelling), is private, or "
                      "is gated; ",
                      s->hub->env.endpoint);
        put_token(s);
    }
    return finish(s, SCRUPLE_ENOTFOUND, e);
}

static int say_gated(struct saying *s, struct sc_error *e)
{
    struct sc_buf *b = &s->text, page = {0};
    put_subject(s);
    sc_buf_puts(b, "this repository is gated; ask for access at ");
    sc_hub_put_id(&page, s->name->type, s->name->id);
    sc_buf_printf(b, "%s/%s", s->hub->env.endpoint, page.failed ? "" : page.p);
    sc_buf_clear(&page);
    if (s->reply->token_sent) {
        sc_buf_puts(b, " (");
        put_token(s);
        sc_buf_puts(b, ", but its owner has no access yet)");
    } else {
        sc_buf_puts(b, ", then try again with a token (");
        put_token(s);
        sc_buf_putc(b, ')');
    }
    return finish(s, SCRUPLE_ENETWORK, e);
}

static int say_disabled(struct saying *s, struct sc_error *e)
{
    put_subject(s);
    sc_buf_printf(&s->text, "access to this repository is disabled by %s; nobody can read it",
                  s->hub->env.endpoint);
    return finish(s, SCRUPLE_ENETWORK, e);
}

static int say_bad_token(struct saying *s, struct sc_error *e)
{
    put_subject(s);
    sc_buf_printf(&s->text, "%s refuses the token from ", s->hub->env.endpoint);
    put_quoted(&s->text, s->hub->env.token_source ? s->hub->env.token_source : "?");
    sc_buf_puts(&s->text, ": it is wrong, has expired or was revoked (give another one, or none)");
    return finish(s, SCRUPLE_ENETWORK, e);
}

static int say_no_access(struct saying *s, struct sc_error *e)
{
    put_subject(s);
    sc_buf_printf(&s->text, "%s refuses access", s->hub->env.endpoint);
    if (s->reply->error_message[0]) {
        sc_buf_puts(&s->text, " and says \"");
        put_quoted(&s->text, s->reply->error_message);
        sc_buf_putc(&s->text, '"');
    }
    sc_buf_puts(&s->text, "; it may be private; ");
    put_token(s);
    return finish(s, SCRUPLE_ENETWORK, e);
}

/* One more request, to be of help; when it fails, the sentence is shorter. */
static void put_near_revisions(struct saying *s, const char *revision)
{
    struct sc_buf url = {0}, body = {.max = MAX_REFS}, names = {0};
    sc_hub_api_url(&url, s->hub, s->name->type, s->name->id);
    sc_buf_puts(&url, "/refs");
    if (!url.failed && sc_hub_get(s->hub, url.p, &body, NULL) == 0 && body.p &&
        sc_hub_read_refs(body.p, body.n, revision, &names) && !names.failed)
        sc_buf_printf(&s->text, "; it has %s", names.p);
    sc_buf_clear(&url);
    sc_buf_clear(&body);
    sc_buf_clear(&names);
}

static int say_no_revision(struct saying *s, bool may_ask, struct sc_error *e)
{
    const char *revision = s->name->revision ? s->name->revision : "main";
    put_subject(s);
    sc_buf_puts(&s->text, "has no revision \"");
    put_quoted(&s->text, revision);
    sc_buf_putc(&s->text, '"');
    if (may_ask)
        put_near_revisions(s, revision);
    return finish(s, SCRUPLE_ENOTFOUND, e);
}

static int say_no_file(struct saying *s, const char *file, struct sc_error *e)
{
    put_subject(s);
    sc_buf_puts(&s->text, "has no file \"");
    put_quoted(&s->text, file);
    sc_buf_putc(&s->text, '"');
    return finish(s, SCRUPLE_ENOTFOUND, e);
}

static int say_rate_limit(struct saying *s, struct sc_error *e)
{
    put_subject(s);
    sc_buf_printf(&s->text, "%s limits how often it is asked, and the limit is reached",
                  s->hub->env.endpoint);
    if (s->reply->token_sent)
        sc_buf_puts(&s->text, "; try again in a few minutes");
    else
        sc_buf_puts(&s->text, "; try again in a few minutes, or set HF_TOKEN: with a token, more "
                              "is allowed");
    return finish(s, SCRUPLE_ENETWORK, e);
}

static int say_trouble(struct saying *s, struct sc_error *e)
{
    put_subject(s);
    sc_buf_printf(&s->text, "%s has trouble (it answers %d); try again later", s->hub->env.endpoint,
                  s->reply->status);
    return finish(s, SCRUPLE_ENETWORK, e);
}

/* Where the Hub has sent us for the bytes, something is wrong: that says nothing of the file. */
static int say_storage(struct saying *s, const char *file, struct sc_error *e)
{
    struct sc_quoted q;
    put_subject(s);
    sc_buf_printf(&s->text, "the storage behind the Hub answers %d for \"", s->reply->status);
    put_quoted(&s->text, file);
    sc_buf_printf(&s->text, "\" (%s); try again", sc_http_safe_url(&q, s->reply->url));
    return finish(s, SCRUPLE_ENETWORK, e);
}

static bool is_elsewhere(const struct saying *s)
{
    const char *url = s->reply->url;
    return url && s->reply->hops > 0 && !sc_http_same_origin(url, s->hub->env.endpoint);
}

static bool says(const char *text, const char *part)
{
    return sc_str_has_nocase(sc_strz(text), sc_strz(part));
}

static int explain_refusal(struct saying *s, const char *body, struct sc_error *e)
{
    const struct sc_http_reply *r = s->reply;
    const char *more = body ? body : "";
    if (strcmp(r->error_code, "GatedRepo") == 0)
        return say_gated(s, e);
    if (says(r->error_message, "is disabled") || says(more, "Access to this resource is disabled"))
        return say_disabled(s, e);
    if (r->token_sent &&
        (says(r->error_message, "Invalid credentials") || says(more, "Invalid credentials")))
        return say_bad_token(s, e);
    if (strcmp(r->error_code, "RepoNotFound") == 0 || r->status == 401)
        return say_not_found(s, e);
    return say_no_access(s, e);
}

int sc_hub_explain(struct sc_hub *h, const struct sc_http_reply *r, const char *body,
                   const struct sc_name *name, const char *file, struct sc_error *e)
{
    struct saying s = {.hub = h, .reply = r, .name = name};
    const char *code = r->error_code;
    if (file && is_elsewhere(&s))
        return say_storage(&s, file, e);
    if (strcmp(code, "RevisionNotFound") == 0)
        return say_no_revision(&s, file == NULL, e);
    if (strcmp(code, "EntryNotFound") == 0 && file)
        return say_no_file(&s, file, e);
    if (r->status == 401 || r->status == 403 || strcmp(code, "GatedRepo") == 0 ||
        strcmp(code, "RepoNotFound") == 0)
        return explain_refusal(&s, body, e);
    if (r->status == 404 || r->status == 410)
        return file ? say_no_file(&s, file, e) : say_not_found(&s, e);
    if (r->status == 429)
        return say_rate_limit(&s, e);
    if (r->status >= 500)
        return say_trouble(&s, e);
    return sc_http_fail_status(r, file ? file : name->id, e);
}

int sc_hub_say_disabled(struct sc_hub *h, const struct sc_name *name, struct sc_error *e)
{
    struct saying s = {.hub = h, .name = name};
    return say_disabled(&s, e);
}
