/* SPDX-License-Identifier: Apache-2.0 */
/* repo: any MODEL as a repository.
 *
 * Owns: the order in which a text is tried (a path that exists, a name of the Hub, an address), and
 * what is said when it is nothing of all that. Does not own: the repositories themselves
 * (repo_hub.c, repo_url.c, source/repo.c). */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hub/internal.h"

static bool exists(const char *path)
{
    struct stat st;
    return strcmp(path, "-") == 0 || stat(path, &st) == 0;
}

/* ~/models/x that no shell has expanded (a quoted argument, a configuration file). */
static int open_local(const char *path, struct sc_repo **out, struct sc_error *e)
{
    if (path[0] != '~' || exists(path))
        return sc_repo_open_local(path, out, e);
    char *full = sc_hub_expand(path);
    int rc = full ? sc_repo_open_local(full, out, e) : sc_fail_memory(e);
    free(full);
    return rc;
}

/* A name that could as well be meant as a path: "org/name", not "hf://..." or a web address. */
static bool is_bare(const char *model, const struct sc_name *name)
{
    return name->kind == SC_NAME_HUB && name->type == SC_REPO_MODEL && name->id &&
           strncmp(model, name->id, strlen(name->id)) == 0;
}

static int set_revision(struct sc_name *name, const char *revision, struct sc_error *e)
{
    struct sc_buf b = {0};
    struct sc_quoted q;
    int rc = 0;
    if (!sc_hub_decode(&b, sc_strz(revision)) || b.failed ||
        !sc_hub_is_revision(sc_str(b.p, b.n))) {
        rc = sc_fail(e, SCRUPLE_EUSAGE,
                     "--revision: \"%s\" is not the name of a branch, tag or commit",
                     sc_quote(&q, sc_strz(revision)));
    } else {
        free(name->revision);
        name->revision = sc_str_copy(sc_str(b.p, b.n));
        rc = name->revision ? 0 : sc_fail_memory(e);
    }
    sc_buf_clear(&b);
    return rc;
}

static void append(struct sc_error *e, const char *text)
{
    const size_t at = strlen(e->text), n = strlen(text);
    if (at + n < sizeof e->text)
        memcpy(e->text + at, text, n + 1);
}

/* A sentence about the network names a host, and which model was meant must be told, too. */
static void name_model(struct sc_error *e, const char *model)
{
    struct sc_quoted q;
    const char *colon = strstr(e->text, ": ");
    const size_t n = colon ? (size_t)(colon - e->text) : 0;
    for (const char *p = model; n > 0 && strlen(p) >= n; p++)
        if (strncmp(p, e->text, n) == 0)
            return;
    sc_error_prefix(e, "%s", sc_quote(&q, sc_strz(model)));
}

/* Takes over the session. */
static int open_hub(struct sc_hub *h, const char *model, struct sc_name *name,
                    const struct sc_hub_options *o, struct sc_repo **out, struct sc_error *e)
{
    struct sc_error why = {0};
    /* With more than an id it was not meant as a path. */
    const bool bare = is_bare(model, name) && !name->revision && !name->path && !name->quant &&
                      !(o && o->revision);
    int rc = o && o->revision ? set_revision(name, o->revision, &why) : 0;
    if (rc < 0)
        sc_hub_close(h);
    else
        rc = sc_repo_open_hub(h, name, out, &why);
    if (rc < 0) {
        if (rc == SCRUPLE_ENETWORK)
            name_model(&why, model);
        if (bare && (rc == SCRUPLE_ENOTFOUND || rc == SCRUPLE_ENETWORK))
            append(&why, "; nor is there a file or folder of that name here");
        if (e)
            *e = why;
    }
    return rc;
}

/* "org/name/file.gguf" is no path here, and would be a file on the Hub. */
static bool could_be_inside(const char *path)
{
    const char *slash = strchr(path, '/'), *end = slash ? strchr(slash + 1, '/') : NULL;
    return end && end[1] && sc_hub_is_id(sc_str(path, (size_t)(end - path)));
}

static int open_path(const char *path, struct sc_repo **out, struct sc_error *e)
{
    struct sc_error why = {0};
    int rc = open_local(path, out, &why);
    if (rc == SCRUPLE_ENOTFOUND && !exists(path) && could_be_inside(path))
        append(&why, " (a part of a model on the Hub begins with hf://)");
    if (rc < 0 && e)
        *e = why;
    return rc;
}

/* What is here has no revisions: silence would show something else than was asked for. */
static void note_revision(const char *model, const struct sc_hub_options *o)
{
    struct sc_quoted q;
    struct sc_buf b = {0};
    if (!o || !o->revision || !o->note)
        return;
    sc_buf_printf(&b, "--revision does not count for %s, which is no model on the Hub",
                  sc_http_safe_url(&q, model));
    if (!b.failed)
        o->note(o->note_ctx, b.p);
    sc_buf_clear(&b);
}

static int open_named(const char *model, const struct sc_hub_options *o, struct sc_repo **out,
                      struct sc_error *e)
{
    struct sc_hub *h;
    struct sc_name name;
    TRY(sc_hub_open(o, NULL, &h, e));
    int rc = sc_name_parse(model, h->env.endpoint, &name, e);
    if (rc < 0) {
        sc_hub_close(h);
        return rc;
    }
    switch ((enum sc_name_kind)name.kind) {
    case SC_NAME_HUB:
        rc = open_hub(h, model, &name, o, out, e);
        break;
    case SC_NAME_URL:
        note_revision(model, o);
        rc = sc_repo_open_url(h, name.url, out, e);
        break;
    case SC_NAME_PATH:
        sc_hub_close(h);
        note_revision(model, o);
        rc = open_path(name.path, out, e);
        break;
    }
    sc_name_clear(&name);
    return rc;
}

int sc_repo_open(const char *model, const struct sc_hub_options *o, struct sc_repo **out,
                 struct sc_error *e)
{
    *out = NULL;
    /* What cannot be but a path needs no settings, and strange ones are no reason to refuse it. */
    if (exists(model) || model[0] == '\0' || strchr("/~.", model[0])) {
        note_revision(model, o);
        return open_local(model, out, e);
    }
    return open_named(model, o, out, e);
}

void sc_hub_wire_tell(struct sc_hub_wire *w, struct sc_repo *r)
{
    const uint64_t bytes = w->io.bytes_read, requests = w->io.requests;
    if (!r->io)
        return;
    r->io->bytes_read += bytes - w->bytes;
    r->io->requests += requests - w->requests;
    w->bytes = bytes;
    w->requests = requests;
}
