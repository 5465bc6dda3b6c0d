/* SPDX-License-Identifier: Apache-2.0 */
/* repo_url: a repository that is one file behind an address of any server.
 *
 * Owns: its name, and which of its neighbours are worth a request: the shards that an index names,
 * and config.json. There is no list of files, so a neighbour is there when the server has it.
 * Sends no token: the address is not the Hub's.
 *
 * Nothing is kept: what another server calls an etag does not say that bytes are the same. */
#include <stdlib.h>
#include <string.h>

#include "hub/internal.h"
#include "source/remote.h"

struct neighbour {
    char *path;
    struct sc_remote *remote; /* NULL: it is not there */
    struct neighbour *next;
};

struct url_repo {
    struct sc_hub *hub;
    char *base;      /* "https://host/a/", without query */
    bool signed_url; /* a signature holds for one file only */
    bool is_index;
    struct neighbour *known;
    struct sc_hub_wire wire;
};

/* -------------------------------------------------------------------------------------- names ---
 */

static size_t path_length(const char *url)
{
    return strcspn(url, "?#");
}

/* The last part of the path, as a file name that can do no harm. */
static char *file_name(const char *url)
{
    size_t end = path_length(url), begin;
    struct sc_buf b = {0};
    while (end > 0 && url[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && url[begin - 1] != '/';)
        begin--;
    bool sound = sc_hub_decode(&b, sc_str(url + begin, end - begin)) && b.n > 0 && b.n <= 255 &&
                 !b.failed && sc_utf8_valid(sc_str(b.p, b.n));
    for (size_t i = 0; sound && i < b.n; i++)
        if ((unsigned char)b.p[i] < ' ' || b.p[i] == 0x7f || b.p[i] == '/' || b.p[i] == '\\')
            b.p[i] = '_';
    sound = sound && sc_path_is_inside(sc_strz(b.p));
    char *name = sc_str_copy(sound ? sc_str(b.p, b.n) : SC_STR("download"));
    sc_buf_clear(&b);
    return name;
}

static char *base_of(const char *url)
{
    size_t n = path_length(url);
    const char *host = strstr(url, "://");
    const size_t least = host ? (size_t)(host + 3 - url) : 0;
    while (n > least && url[n - 1] != '/')
        n--;
    if (n > least)
        return sc_str_copy(sc_str(url, n));
    struct sc_buf b = {0}; /* "https://host" */
    sc_buf_put(&b, url, path_length(url));
    sc_buf_putc(&b, '/');
    char *base = b.failed ? NULL : sc_str_copy(sc_str(b.p, b.n));
    sc_buf_clear(&b);
    return base;
}

/* -------------------------------------------------------------------------------------- files ---
 */

static struct neighbour *find(const struct url_repo *r, const char *path)
{
    struct neighbour *n = r->known;
    while (n && strcmp(n->path, path) != 0)
        n = n->next;
    return n;
}

static int explain(void *ctx, const struct sc_http_reply *reply, const char *name,
                   struct sc_error *e)
{
    (void)ctx;
    return sc_http_fail_status(reply, name, e);
}

/* A server that does not want to tell whether there is a neighbour does not have it for us. */
static int explain_neighbour(void *ctx, const struct sc_http_reply *reply, const char *name,
                             struct sc_error *e)
{
    const int rc = explain(ctx, reply, name, e);
    return reply->status == 401 || reply->status == 403 ? SCRUPLE_ENOTFOUND : rc;
}

/* Asks for the first bytes, and remembers the answer. */
static int add(struct url_repo *r, const char *path, const char *url, bool neighbour,
               struct neighbour **out, struct sc_error *e)
{
    struct sc_http *http;
    struct sc_quoted q;
    TRY(sc_hub_http(r->hub, &http, e));
    struct neighbour *n = sc_calloc(1, sizeof *n);
    char *copy = n ? sc_str_copy(sc_strz(path)) : NULL;
    if (!copy) {
        free(n);
        return sc_fail_memory(e);
    }
    const struct sc_remote_options o = {
        .url = url,
        .name = sc_http_safe_url(&q, url),
        .size = UINT64_MAX,
        .explain = neighbour ? explain_neighbour : explain,
    };
    int rc = sc_remote_open(http, &o, &n->remote, e);
    if (rc < 0 && rc != SCRUPLE_ENOTFOUND) {
        free(copy);
        free(n);
        return rc;
    }
    n->path = copy;
    n->next = r->known;
    r->known = n;
    *out = n;
    return rc;
}

static bool may_have(const struct url_repo *r, const char *path)
{
    static const char *const ends[] = {".safetensors", ".bin", ".pt", ".pth"};
    if (r->signed_url || !sc_path_is_inside(sc_strz(path)))
        return false;
    if (strcmp(path, "config.json") == 0)
        return true;
    for (size_t i = 0; i < SC_COUNT(ends) && r->is_index; i++)
        if (sc_str_ends(sc_strz(path), ends[i]))
            return true;
    return false;
}

static int fail_absent(const char *path, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail(e, SCRUPLE_ENOTFOUND, "%s: no such file beside it", sc_quote(&q, sc_strz(path)));
}

static int url_open(struct sc_repo *repo, const char *path, struct sc_source **out,
                    struct sc_error *e)
{
    struct url_repo *r = repo->private_data;
    struct neighbour *n = find(r, path);
    int rc = 0;
    *out = NULL;
    if (!n && !may_have(r, path))
        return fail_absent(path, e);
    if (!n) {
        struct sc_buf url = {0};
        sc_buf_puts(&url, r->base);
        sc_hub_encode(&url, sc_strz(path), true);
        rc = url.failed ? sc_fail_memory(e) : add(r, path, url.p, true, &n, e);
        sc_buf_clear(&url);
        sc_hub_wire_tell(&r->wire, repo);
        TRY(rc);
    }
    return n->remote ? sc_remote_source(n->remote, out, e) : fail_absent(path, e);
}

static void url_settle(struct sc_repo *repo)
{
    struct url_repo *r = repo->private_data;
    sc_hub_wire_tell(&r->wire, repo);
}

static void url_close(struct sc_repo *repo)
{
    struct url_repo *r = repo->private_data;
    if (!r)
        return;
    while (r->known) {
        struct neighbour *n = r->known;
        r->known = n->next;
        sc_remote_close(n->remote);
        free(n->path);
        free(n);
    }
    sc_hub_close(r->hub);
    sc_hub_wire_tell(&r->wire, repo);
    free(r->base);
    free(r);
}

static const struct sc_repo_ops url_ops = {
    .scheme = "url", .open = url_open, .close = url_close, .settle = url_settle};

static int open_steps(struct sc_repo *repo, const char *url, struct sc_error *e)
{
    struct url_repo *r = repo->private_data;
    struct sc_remote_facts facts;
    struct neighbour *n;
    struct sc_quoted q;
    repo->origin = "url";
    repo->counts_itself = true;
    r->base = base_of(url);
    r->signed_url = url[path_length(url)] == '?';
    repo->selected = file_name(url);
    repo->label = sc_str_copy(sc_strz(sc_http_safe_url(&q, url)));
    if (!r->base || !repo->selected || !repo->label)
        return sc_fail_memory(e);
    r->is_index = sc_str_ends(sc_strz(repo->selected), ".index.json");
    TRY(add(r, repo->selected, url, false, &n, e));
    sc_remote_facts(n->remote, &facts);
    return sc_repo_add_file(repo, repo->selected, facts.size, e);
}

int sc_repo_open_url(struct sc_hub *h, const char *url, struct sc_repo **out, struct sc_error *e)
{
    *out = NULL;
    struct sc_repo *repo = sc_repo_new(e);
    struct url_repo *r = repo ? sc_calloc(1, sizeof *r) : NULL;
    if (!r) {
        sc_repo_close(repo);
        sc_hub_close(h);
        return sc_fail_memory(e);
    }
    r->hub = h;
    h->io = &r->wire.io;
    repo->ops = &url_ops;
    repo->private_data = r;
    int rc = open_steps(repo, url, e);
    if (rc < 0)
        sc_repo_close(repo);
    else
        *out = repo;
    return rc;
}
