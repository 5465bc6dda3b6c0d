/* SPDX-License-Identifier: Apache-2.0 */
/* api: what the Hub says of a repository.
 *
 * Owns: the questions, reading the answers, and the rule of one hour: when the Hub is asked, and
 * what stands in for it when it cannot be. Does not own: keeping answers (listing.c), wording
 * refusals (words.c).
 *
 * An answer can be as long as a repository has files, so it is read in one pass with the scanner
 * of base and not built up in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hub/cache.h"
#include "hub/internal.h"

enum {
    MAX_FILES = 200000,
    MAX_PATH_BYTES = 1024, /* as listing.c */
    MAX_PAGES = 1000,
    HOUR = 3600,
};
#define MAX_BODY  ((size_t)64 << 20)
#define MAX_BYTES ((uint64_t)1 << 60) /* of a file: more is no size */

/* ----------------------------------------------------------------------------- reading files ---
 */

static int compare_files(const void *a, const void *b)
{
    const struct sc_hub_file *x = a, *y = b;
    return sc_natural_cmp(sc_strz(x->path), sc_strz(y->path));
}

struct sc_hub_file *sc_hub_listing_find(const struct sc_hub_listing *l, const char *path)
{
    const struct sc_hub_file key = {.path = path};
    if (l->n_files == 0)
        return NULL;
    return bsearch(&key, l->files, l->n_files, sizeof l->files[0], compare_files);
}

/* Natural order, each path once. */
void sc_hub_listing_sort(struct sc_hub_listing *l)
{
    size_t n = 0;
    if (l->n_files < 2)
        return;
    qsort(l->files, l->n_files, sizeof l->files[0], compare_files);
    for (size_t i = 0; i < l->n_files; i++)
        if (n == 0 || strcmp(l->files[n - 1].path, l->files[i].path) != 0)
            l->files[n++] = l->files[i];
    l->n_files = n;
}

/* No control characters: such a path would spoil links, markers and messages. */
static bool is_sound_path(struct sc_str s)
{
    if (s.n == 0 || s.n > MAX_PATH_BYTES || !s.p)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

static const char *keep_text(struct sc_hub_listing *l, struct sc_str s)
{
    return s.n ? sc_arena_copy(&l->arena, s.p, s.n) : "";
}

/* What lies in a folder .git can make git run commands; no repository has such files. */
static bool is_in_git_folder(struct sc_str path)
{
    for (size_t at = 0, end; at < path.n; at = end + 1) {
        end = at;
        while (end < path.n && path.p[end] != '/')
            end++;
        if (sc_str_eq_nocase(sc_str(path.p + at, end - at), SC_STR(".git")))
            return true;
    }
    return false;
}

/* Returns 1 when it was taken, 0 when its path is not sound. */
static int add_file(struct sc_hub_listing *l, struct sc_str path, uint64_t bytes,
                    struct sc_str etag, struct sc_error *e)
{
    if (!is_sound_path(path))
        return 0;
    if (l->n_files == MAX_FILES)
        return sc_fail(e, SCRUPLE_ELIMIT, "the repository has more than %d files", (int)MAX_FILES);
    TRY(sc_grow(&l->files, &l->files_cap, l->n_files + 1, sizeof l->files[0], e));
    struct sc_hub_file f = {.path = keep_text(l, path), .bytes = bytes, .etag = ""};
    if (f.path && (etag.n == 40 || etag.n == 64))
        f.etag = keep_text(l, etag);
    if (!f.path || !f.etag)
        return sc_fail_memory(e);
    if (!sc_hub_is_hex(f.etag, strlen(f.etag)))
        f.etag = "";
    if (!sc_path_is_inside(sc_strz(f.path)) || is_in_git_folder(path))
        return 0;
    l->files[l->n_files++] = f;
    return 1;
}

/* --------------------------------------------------------------------------- reading answers ---
 */

/* One answer while it is read. */
struct answer {
    struct sc_json json;
    struct sc_arena arena; /* unescaped strings */
    struct sc_hub_listing *out;
    size_t strange; /* files that were left out */
    struct sc_str id, sha;
    bool disabled;
};

/* Walks the members of an object; `member` reads the value. */
static int each_member(struct answer *a,
                       int (*member)(struct answer *a, struct sc_str key, void *to,
                                     struct sc_error *e),
                       void *to, struct sc_error *e)
{
    struct sc_json *j = &a->json;
    char c;
    if (!sc_json_char(j, '{', "expected an object") || !sc_json_peek(j, &c))
        return SCRUPLE_EFORMAT;
    while (c != '}') {
        struct sc_str key;
        if (!sc_json_string(j, &key) || !sc_json_char(j, ':', "expected ':'"))
            return SCRUPLE_EFORMAT;
        TRY(member(a, key, to, e));
        if (!sc_json_peek(j, &c))
            return SCRUPLE_EFORMAT;
        if (c != '}' && !sc_json_char(j, ',', "expected ',' or '}'"))
            return SCRUPLE_EFORMAT;
    }
    return sc_json_char(j, '}', "expected '}'") ? 0 : SCRUPLE_EFORMAT;
}

/* A string, or anything else, which then is empty. */
static int take_text(struct answer *a, struct sc_str *out)
{
    char c;
    *out = SC_STR("");
    if (!sc_json_peek(&a->json, &c))
        return SCRUPLE_EFORMAT;
    return (c == '"' ? sc_json_string(&a->json, out) : sc_json_skip(&a->json)) ? 0
                                                                               : SCRUPLE_EFORMAT;
}

static int take_number(struct answer *a, uint64_t *out)
{
    char c;
    if (!sc_json_peek(&a->json, &c))
        return SCRUPLE_EFORMAT;
    if (c < '0' || c > '9')
        return sc_json_skip(&a->json) ? 0 : SCRUPLE_EFORMAT;
    const struct sc_json at = a->json;
    uint64_t n;
    if (sc_json_u64(&a->json, &n)) {
        if (n < MAX_BYTES)
            *out = n;
        return 0;
    }
    a->json = at; /* a fraction: strange, but no reason to give up */
    return sc_json_skip(&a->json) ? 0 : SCRUPLE_EFORMAT;
}

/* true; and any text: "auto", "manual". */
static int take_flag(struct answer *a, bool *out)
{
    char c;
    if (!sc_json_peek(&a->json, &c))
        return SCRUPLE_EFORMAT;
    *out = c == 't' || c == '"';
    return sc_json_skip(&a->json) ? 0 : SCRUPLE_EFORMAT;
}

struct row {
    struct sc_str path, blob, sha256, type;
    uint64_t bytes, lfs_bytes;
};

static int read_lfs(struct answer *a, struct sc_str key, void *to, struct sc_error *e)
{
    struct row *row = to;
    (void)e;
    if (sc_str_is(key, "sha256") || sc_str_is(key, "oid"))
        return take_text(a, &row->sha256);
    if (sc_str_is(key, "size"))
        return take_number(a, &row->lfs_bytes);
    return sc_json_skip(&a->json) ? 0 : SCRUPLE_EFORMAT;
}

/* The two shapes of a file: {rfilename, size, blobId, lfs} and {type, path, size, oid, lfs}. */
static int read_row(struct answer *a, struct sc_str key, void *to, struct sc_error *e)
{
    struct row *row = to;
    char c;
    if (sc_str_is(key, "rfilename") || sc_str_is(key, "path"))
        return take_text(a, &row->path);
    if (sc_str_is(key, "blobId") || sc_str_is(key, "oid"))
        return take_text(a, &row->blob);
    if (sc_str_is(key, "type"))
        return take_text(a, &row->type);
    if (sc_str_is(key, "size"))
        return take_number(a, &row->bytes);
    if (sc_str_is(key, "lfs") && sc_json_peek(&a->json, &c) && c == '{')
        return each_member(a, read_lfs, row, e);
    return sc_json_skip(&a->json) ? 0 : SCRUPLE_EFORMAT;
}

static int read_file(struct answer *a, struct sc_error *e)
{
    struct row row = {.bytes = UINT64_MAX, .lfs_bytes = UINT64_MAX};
    TRY(each_member(a, read_row, &row, e));
    if (row.type.n > 0 && !sc_str_is(row.type, "file"))
        return 0;
    const bool large = row.sha256.n == 64;
    const uint64_t bytes = large && row.lfs_bytes != UINT64_MAX ? row.lfs_bytes : row.bytes;
    int rc = add_file(a->out, row.path, bytes, large ? row.sha256 : row.blob, e);
    a->strange += rc == 0;
    return rc < 0 ? rc : 0;
}

static int read_files(struct answer *a, struct sc_error *e)
{
    struct sc_json *j = &a->json;
    char c;
    if (!sc_json_char(j, '[', "expected a list") || !sc_json_peek(j, &c))
        return SCRUPLE_EFORMAT;
    while (c != ']') {
        TRY(read_file(a, e));
        if (!sc_json_peek(j, &c))
            return SCRUPLE_EFORMAT;
        if (c != ']' && !sc_json_char(j, ',', "expected ',' or ']'"))
            return SCRUPLE_EFORMAT;
    }
    return sc_json_char(j, ']', "expected ']'") ? 0 : SCRUPLE_EFORMAT;
}

static int read_fact(struct answer *a, struct sc_str key, void *to, struct sc_error *e)
{
    const bool *with_files = to;
    char c;
    if (sc_str_is(key, "id"))
        return take_text(a, &a->id);
    if (sc_str_is(key, "sha"))
        return take_text(a, &a->sha);
    if (sc_str_is(key, "gated"))
        return take_flag(a, &a->out->gated);
    if (sc_str_is(key, "private"))
        return take_flag(a, &a->out->is_private);
    if (sc_str_is(key, "disabled"))
        return take_flag(a, &a->disabled);
    if (*with_files && sc_str_is(key, "siblings") && sc_json_peek(&a->json, &c) && c == '[')
        return read_files(a, e);
    return sc_json_skip(&a->json) ? 0 : SCRUPLE_EFORMAT;
}

/* SCRUPLE_EFORMAT: e is not filled. */
static int end_answer(struct answer *a, int rc, size_t *strange)
{
    if (rc == 0 && !sc_json_end(&a->json))
        rc = SCRUPLE_EFORMAT;
    *strange += a->strange;
    sc_arena_clear(&a->arena);
    return rc;
}

/* id (may stay NULL), commit, facts and files; not sorted. SCRUPLE_EFORMAT: not what a Hub says. */
int sc_hub_read_repo(const char *p, size_t n, bool with_files, struct sc_hub_listing *out,
                     bool *disabled, size_t *strange, struct sc_error *e)
{
    struct answer a = {.out = out};
    sc_json_start(&a.json, p, n, &a.arena);
    int rc = each_member(&a, read_fact, &with_files, e);
    if (rc == 0 && !sc_is_commit(a.sha))
        rc = SCRUPLE_EFORMAT;
    if (rc == 0) {
        memcpy(out->commit, a.sha.p, 40);
        out->commit[40] = '\0';
        if (sc_hub_is_id(a.id)) {
            out->id = sc_str_copy(a.id);
            if (!out->id)
                rc = sc_fail_memory(e);
        }
    }
    *disabled = a.disabled;
    return end_answer(&a, rc, strange);
}

/* One page of a tree. */
int sc_hub_read_tree(const char *p, size_t n, struct sc_hub_listing *out, size_t *strange,
                     struct sc_error *e)
{
    struct answer a = {.out = out};
    sc_json_start(&a.json, p, n, &a.arena);
    return end_answer(&a, read_files(&a, e), strange);
}

/* ----------------------------------------------------------------------------------- asking --- */

/* One GET. Returns 0 with a success in body, SCRUPLE_EFORMAT when the answer is a refusal (in
 * *error_body and q->reply, to be explained), else what went wrong on the way. */
static int get(struct sc_hub *h, const char *url, bool hasty, struct sc_http_request *q,
               struct sc_buf *body, struct sc_buf *error_body, struct sc_error *e)
{
    struct sc_http *http;
    if (!body->max)
        body->max = MAX_BODY;
    error_body->max = 16384;
    *q = (struct sc_http_request){
        .url = url,
        .accept = "application/json",
        .with_token = true,
        .hasty = hasty,
        .body = body,
        .error_body = error_body,
    };
    TRY(sc_hub_http(h, &http, e));
    TRY(sc_http_do(http, q, e));
    return q->reply.status >= 200 && q->reply.status < 300 ? 0 : SCRUPLE_EFORMAT;
}

int sc_hub_get(struct sc_hub *h, const char *url, struct sc_buf *body, struct sc_error *e)
{
    struct sc_http_request q;
    struct sc_buf refusal = {0};
    struct sc_http *http;
    TRY(sc_hub_http(h, &http, e));
    int rc = get(h, url, true, &q, body, &refusal, e);
    if (rc == SCRUPLE_EFORMAT)
        sc_http_fail_status(&q.reply, url, e);
    sc_http_request_clear(http, &q);
    sc_buf_clear(&refusal);
    return rc;
}

static bool is_transient(int status)
{
    return status == 0 || status == 408 || status == 429 || status >= 500;
}

static void put_revision(struct sc_buf *b, const struct sc_name *name)
{
    if (!name->revision)
        return;
    sc_buf_puts(b, "/revision/");
    sc_hub_encode(b, sc_strz(name->revision), false);
}

static int fail_answer(struct sc_hub *h, const struct sc_http_reply *r, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail(e, SCRUPLE_ENETWORK,
                   "%s does not answer like a Hub%s%s%s (is HF_ENDPOINT right? does this network "
                   "want a login in the browser first?)",
                   h->env.endpoint, r->content_type[0] ? ": it sent " : "",
                   r->content_type[0] ? sc_quote(&q, sc_strz(r->content_type)) : "",
                   r->content_type[0] ? " instead of what was asked for" : "");
}

/* The answer about the repository itself. *reached: the Hub has given its answer, so nothing that
 * is kept may take its place; hasty: something is kept. */
static int ask_repo(struct sc_hub *h, const struct sc_name *name, bool with_files, bool hasty,
                    struct sc_hub_listing *out, bool *reached, struct sc_error *e)
{
    struct sc_http_request q;
    struct sc_buf url = {0}, body = {0}, refusal = {0};
    struct sc_http *http;
    size_t strange = 0;
    bool disabled = false;

    *reached = false;
    TRY(sc_hub_http(h, &http, e));
    sc_hub_api_url(&url, h, name->type, name->id);
    put_revision(&url, name);
    if (with_files)
        sc_buf_puts(&url, "?blobs=true");
    if (url.failed)
        return sc_fail_memory(e);
    int rc = get(h, url.p, hasty, &q, &body, &refusal, e);
    if (rc == SCRUPLE_EFORMAT) {
        *reached = !is_transient(q.reply.status);
        rc = sc_hub_explain(h, &q.reply, refusal.p, name, NULL, e);
    } else if (rc == 0) {
        rc =
            sc_hub_read_repo(body.p ? body.p : "", body.n, with_files, out, &disabled, &strange, e);
        if (rc == SCRUPLE_EFORMAT)
            rc = fail_answer(h, &q.reply, e);
        else if (rc == 0)
            *reached = true;
        if (rc == 0 && disabled)
            rc = sc_hub_say_disabled(h, name, e);
    }
    if (rc == 0 && strange > 0)
        sc_hub_note(h, "%s: %zu file%s left out for a name that is not sound", name->id, strange,
                    strange == 1 ? " is" : "s are");
    sc_http_request_clear(http, &q);
    sc_buf_clear(&url);
    sc_buf_clear(&body);
    sc_buf_clear(&refusal);
    return rc;
}

/* Mirrors pass on links that lead to the Hub itself. */
static char *next_page(const struct sc_hub *h, const char *next)
{
    static const char home[] = "https://huggingface.co/";
    struct sc_buf b = {0};
    if (!next)
        return NULL;
    if (sc_http_same_origin(next, h->env.endpoint))
        return sc_str_copy(sc_strz(next));
    if (!sc_str_starts(sc_strz(next), home))
        return NULL;
    sc_buf_printf(&b, "%s/%s", h->env.endpoint, next + sizeof home - 1);
    return b.failed ? NULL : b.p;
}

static int walk_tree(struct sc_hub *h, const struct sc_hub_listing *l, struct sc_hub_listing *tree,
                     struct sc_error *e)
{
    struct sc_buf first = {0};
    struct sc_http *http;
    size_t strange = 0;
    int rc = 0;
    TRY(sc_hub_http(h, &http, e));
    sc_hub_api_url(&first, h, l->type, l->id);
    sc_buf_printf(&first, "/tree/%s?recursive=true", l->commit);
    if (first.failed)
        return sc_fail_memory(e);
    char *url = first.p;
    for (unsigned page = 0; url && rc == 0; page++) {
        struct sc_http_request q;
        struct sc_buf body = {0}, refusal = {0};
        rc = page < MAX_PAGES ? get(h, url, false, &q, &body, &refusal, e)
                              : sc_fail(e, SCRUPLE_ELIMIT,
                                        "the list of files has more than %d pages", (int)MAX_PAGES);
        if (page == MAX_PAGES)
            break;
        if (rc == 0)
            rc = sc_hub_read_tree(body.p ? body.p : "", body.n, tree, &strange, e);
        free(url);
        url = rc == 0 ? next_page(h, q.reply.next) : NULL;
        sc_http_request_clear(http, &q);
        sc_buf_clear(&body);
        sc_buf_clear(&refusal);
    }
    free(url);
    return rc;
}

/* Some mirrors leave sizes out of the first answer. Without them things still work, only slower:
 * each file is then asked for its own. */
static int fill_sizes(struct sc_hub *h, struct sc_hub_listing *l, struct sc_error *e)
{
    struct sc_hub_listing tree = {0};
    struct sc_error why = {0};
    bool missing = l->n_files == 0;
    for (size_t i = 0; i < l->n_files && !missing; i++)
        missing = l->files[i].bytes == UINT64_MAX;
    if (!missing)
        return 0;
    int rc = walk_tree(h, l, &tree, &why);
    sc_hub_listing_sort(&tree);
    const bool empty = l->n_files == 0;
    for (size_t i = 0; i < tree.n_files && rc == 0; i++) {
        const struct sc_hub_file *from = &tree.files[i];
        if (empty) {
            rc = add_file(l, sc_strz(from->path), from->bytes, sc_strz(from->etag), &why);
            rc = rc < 0 ? rc : 0;
            continue;
        }
        struct sc_hub_file *to = sc_hub_listing_find(l, from->path);
        const char *etag = keep_text(l, sc_strz(from->etag));
        if (!etag) {
            rc = sc_fail_memory(&why);
        } else if (to) {
            to->bytes = from->bytes;
            to->etag = etag;
        }
    }
    sc_hub_listing_clear(&tree);
    if (rc == SCRUPLE_EMEMORY || rc == SCRUPLE_EINTERRUPTED || rc == SCRUPLE_ELIMIT) {
        if (e)
            *e = why;
        return rc;
    }
    return 0;
}

static uint64_t now_unix(void)
{
    const time_t t = time(NULL);
    return t > 0 ? (uint64_t)t : 0;
}

static bool is_fixed(const struct sc_name *name)
{
    return name->revision && sc_is_commit(sc_strz(name->revision));
}

static int name_listing(struct sc_hub_listing *l, const struct sc_name *name, struct sc_error *e)
{
    l->type = name->type;
    if (!l->id)
        l->id = sc_str_copy(sc_strz(name->id));
    l->revision = sc_str_copy(sc_strz(name->revision ? name->revision : "main"));
    return l->id && l->revision ? 0 : sc_fail_memory(e);
}

/* One request, GET /api/models/{id}/revision/{rev}?blobs=true; where the answer lacks sizes, the
 * paged tree is walked, too. A renamed repository is followed. */
static int ask(struct sc_hub *h, const struct sc_name *name, bool hasty, struct sc_hub_listing *out,
               bool *reached, struct sc_error *e)
{
    memset(out, 0, sizeof *out);
    int rc = ask_repo(h, name, true, hasty, out, reached, e);
    if (rc == 0 && is_fixed(name) && strcmp(name->revision, out->commit) != 0)
        rc = sc_fail(e, SCRUPLE_ENETWORK, "%s: asked for commit %s, but the Hub sent %s", name->id,
                     name->revision, out->commit);
    if (rc == 0)
        rc = name_listing(out, name, e);
    if (rc == 0) {
        sc_hub_listing_sort(out);
        rc = fill_sizes(h, out, e);
    }
    out->checked = now_unix();
    if (rc < 0)
        sc_hub_listing_clear(out);
    return rc;
}

/* The cheap question, for a listing whose hour is over: which commit is the revision now? One
 * request without files. */
static int ask_commit(struct sc_hub *h, const struct sc_name *name, char commit[41], bool *reached,
                      struct sc_error *e)
{
    struct sc_hub_listing l = {0};
    int rc = ask_repo(h, name, false, true, &l, reached, e);
    if (rc == 0)
        memcpy(commit, l.commit, sizeof l.commit);
    sc_hub_listing_clear(&l);
    return rc;
}

/* ------------------------------------------------------------------------- the rule of an hour ---
 */

static bool is_fresh(const struct sc_name *name, const struct sc_hub_listing *l)
{
    const uint64_t now = now_unix();
    return is_fixed(name) || (l->checked <= now && now - l->checked < HOUR);
}

bool sc_hub_list_fresh(struct sc_hub *h, const struct sc_name *name, struct sc_hub_listing *out)
{
    memset(out, 0, sizeof *out);
    if (!sc_listing_load(&h->env, name, out))
        return false;
    sc_hub_listing_sort(out);
    if (is_fresh(name, out))
        return true;
    sc_hub_listing_clear(out);
    return false;
}

/* "2026-08-20 14:05 UTC" */
static const char *date(char text[40], uint64_t unix_time)
{
    const time_t t = (time_t)unix_time;
    struct tm tm;
    if (unix_time > (uint64_t)INT32_MAX * 4 || !gmtime_r(&t, &tm) ||
        strftime(text, 40, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        memcpy(text, "an unknown date", sizeof "an unknown date");
    return text;
}

struct walk {
    struct sc_hub_listing *l;
    struct sc_error *e;
};

static int add_found(void *ctx, const char *path, uint64_t bytes, const char *etag)
{
    struct walk *w = ctx;
    int rc = add_file(w->l, sc_strz(path), bytes, sc_strz(etag), w->e);
    return rc < 0 ? rc : 0;
}

/* What the shared cache holds of the revision; it may be less than the whole repository. */
static bool list_snapshot(struct sc_hub *h, const struct sc_name *name, struct sc_hub_listing *out)
{
    struct walk w = {.l = out};
    memset(out, 0, sizeof *out);
    if (is_fixed(name))
        memcpy(out->commit, name->revision, sizeof out->commit);
    else if (!sc_hf_ref(&h->env, name->type, name->id, name->revision ? name->revision : "main",
                        out->commit))
        return false;
    if (name_listing(out, name, NULL) < 0 ||
        sc_hf_snapshot(&h->env, name->type, name->id, out->commit, add_found, &w) < 0 ||
        out->n_files == 0) {
        sc_hub_listing_clear(out);
        return false;
    }
    sc_hub_listing_sort(out);
    return true;
}

/* The network is of no use. `kept` (may be empty) or the shared cache stand in, else `why`. */
static int list_stale(struct sc_hub *h, const struct sc_name *name, struct sc_hub_listing *kept,
                      struct sc_hub_listing *out, const struct sc_error *why, struct sc_error *e)
{
    char day[40];
    if (kept->commit[0]) {
        *out = *kept;
        memset(kept, 0, sizeof *kept);
        out->stale = !is_fresh(name, out);
        if (out->stale)
            sc_hub_note(h, "%s; showing %s as it was on %s", why->text, name->id,
                        date(day, out->checked));
        return 0;
    }
    if (list_snapshot(h, name, out)) {
        out->stale = !is_fixed(name);
        sc_hub_note(h, "%s; showing what the shared cache holds of %s", why->text, name->id);
        return 0;
    }
    if (e)
        *e = *why;
    if (h->env.offline)
        return sc_fail(e, SCRUPLE_ENETWORK,
                       "%s%s%s: not in the caches, and offline because of %s (name it once while "
                       "online, or scruple fetch it)",
                       name->id, name->revision ? " at revision " : "",
                       name->revision ? name->revision : "", h->env.offline);
    return why->code;
}

/* Is the network to blame, so that a copy may serve? */
static bool may_stand_in(int rc, bool reached)
{
    return !reached && rc != SCRUPLE_EMEMORY && rc != SCRUPLE_EINTERRUPTED && rc != SCRUPLE_EUSAGE;
}

/* A refusal stands, but a copy that is there may be looked at. */
static void mention_copy(const struct sc_hub_listing *kept, struct sc_error *e)
{
    char day[40], text[100];
    if (!e || !kept->commit[0])
        return;
    const int n = snprintf(text, sizeof text, " (a copy of %s is in the cache: --offline shows it)",
                           date(day, kept->checked));
    const size_t at = strlen(e->text);
    if (n > 0 && (size_t)n < sizeof text && at + (size_t)n < sizeof e->text)
        memcpy(e->text + at, text, (size_t)n + 1);
}

/* Something is kept and its hour is over. 1: it still holds, 0: ask again. */
static int confirm(struct sc_hub *h, const struct sc_name *name, struct sc_hub_listing *kept,
                   bool *reached, struct sc_error *e)
{
    char commit[41];
    TRY(ask_commit(h, name, commit, reached, e));
    if (strcmp(commit, kept->commit) != 0)
        return 0;
    kept->checked = now_unix();
    sc_listing_save(&h->env, name, kept);
    return 1;
}

int sc_hub_list(struct sc_hub *h, const struct sc_name *name, struct sc_hub_listing *out,
                struct sc_error *e)
{
    struct sc_hub_listing kept = {0};
    struct sc_error why = {0};
    struct sc_http *http;
    bool reached = false;
    int rc;

    memset(out, 0, sizeof *out);
    if (sc_listing_load(&h->env, name, &kept)) {
        sc_hub_listing_sort(&kept);
        if (is_fresh(name, &kept)) {
            *out = kept;
            return 0;
        }
    }
    rc = sc_hub_http(h, &http, &why);
    if (rc == 0 && kept.commit[0])
        rc = confirm(h, name, &kept, &reached, &why);
    if (rc == 1) {
        *out = kept;
        return 0;
    }
    if (rc == 0) {
        rc = ask(h, name, kept.commit[0] != '\0', out, &reached, &why);
        if (rc == 0)
            sc_listing_save(&h->env, name, out);
    }
    if (rc < 0 && may_stand_in(rc, reached)) {
        rc = list_stale(h, name, &kept, out, &why, e);
    } else if (rc < 0) {
        mention_copy(&kept, &why);
        if (e)
            *e = why;
    }
    sc_hub_listing_clear(&kept);
    return rc;
}
