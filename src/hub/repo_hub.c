/* SPDX-License-Identifier: Apache-2.0 */
/* repo_hub: the files of a repository of the Hub.
 *
 * Owns: where the bytes of a file come from, in this order: the shared cache, our cache of ranges,
 * the network; which of its files the user named; the lock that lets processes that start together
 * fetch everything once; moving small files that are complete into the shared cache.
 *
 * Does not own: the list of files (api.c), moving bytes (source/remote.h), the caches (cache.h).
 *
 * A source of ours reads what is kept and asks for the network only when that is not enough; so
 * with everything at hand libcurl is not even loaded.
 *
 * Threads: a source may be read from many threads; `lock` guards what is made on first need.
 * Opening, expecting, settling and closing belong to one thread. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"
#include "hub/internal.h"
#include "source/internal.h"
#include "source/remote.h"

enum { LOCK_WAIT_MS = 30000, SAVERS = 2 };
#define SMALL_BYTES ((uint64_t)16 << 20) /* complete ones move into the shared cache */

/* One file that was looked for. */
struct file {
    struct hub_repo *owner;
    const struct sc_hub_file *about;
    struct sc_ranges *ranges;
    bool looked; /* for ranges, without creating any */
    bool made;   /* somebody creates them, has done so, or cannot */
    struct sc_remote *remote;
    size_t sources;
    bool was_read; /* and closed again */
    bool rejected; /* what is kept of it is dropped when the repository is closed */
};

struct hub_repo {
    struct sc_repo *repo;
    struct sc_hub *hub;
    struct sc_name name;
    struct sc_hub_listing listing;
    struct sc_hub_wire wire;
    char *prefix;                    /* "sub/" or ""; NULL: not opened so far */
    struct file **files;             /* as listing.files; NULL: not needed so far */
    struct sc_saver *savers[SAVERS]; /* of what comes over the network; a file has always the same,
                                        and each waits for the disk on its own */
    int fd;                          /* of the lock; -1: not ours */
    bool locked;                     /* we have had it, or given up waiting */
    atomic_bool settled;             /* what is read from here on is no header */
    pthread_mutex_t lock;
    pthread_mutex_t keeping; /* of ranges, looked and made; taken inside the other, never around */
};

struct hub_source {
    struct sc_source base;
    struct file *file;
    struct sc_source *inner; /* over the network; made on first need */
};

/* ----------------------------------------------------------------------------------- the lock ---
 */

/* Only who holds the same number waits for whom: a collision costs time, nothing else. */
static uint64_t number_of(const struct sc_hub *h, const struct sc_name *n)
{
    const char *const parts[] = {h->env.endpoint, sc_repo_type_plural[n->type], n->id};
    uint64_t x = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < SC_COUNT(parts); i++)
        for (const char *p = parts[i];; p++) {
            x = (x ^ (unsigned char)*p) * UINT64_C(1099511628211);
            if (!*p)
                break;
        }
    return x;
}

/* Before the first request. Returns whether others may have fetched meanwhile what we lack. */
static bool take_lock(struct hub_repo *r)
{
    struct sc_buf path = {0};
    if (r->locked || !r->hub->env.cache || r->hub->env.offline)
        return false;
    r->locked = true;
    sc_buf_printf(&path, "%s/locks/%016llx.lock", r->hub->env.cache,
                  (unsigned long long)number_of(r->hub, &r->name));
    if (!path.failed)
        r->fd = sc_lock_file(path.p, LOCK_WAIT_MS, r->hub->options.cancel);
    sc_buf_clear(&path);
    return r->fd >= 0;
}

static struct sc_saver *saver_of(const struct file *f)
{
    const struct hub_repo *r = f->owner;
    return r->savers[(size_t)(f->about - r->listing.files) % SAVERS];
}

static void start_savers(struct hub_repo *r)
{
    for (size_t i = 0; i < SAVERS && r->hub->env.cache; i++)
        if (!r->savers[i])
            r->savers[i] = sc_saver_new();
}

static void flush_savers(struct hub_repo *r)
{
    for (size_t i = 0; i < SAVERS; i++)
        sc_saver_flush(r->savers[i]);
}

/* They shall find what we have fetched. */
static void release_lock(struct hub_repo *r)
{
    if (r->fd >= 0) {
        flush_savers(r);
        close(r->fd);
    }
    r->fd = -1;
}

/* -------------------------------------------------------------------------------- what is kept ---
 */

static bool has_identity(const struct file *f)
{
    return f->about->etag[0] && f->about->bytes != UINT64_MAX;
}

/* "org/name/sub/a.gguf" */
static void put_name(struct sc_buf *b, const struct file *f)
{
    sc_hub_put_id(b, f->owner->listing.type, f->owner->listing.id);
    sc_buf_putc(b, '/');
    sc_buf_puts(b, f->about->path);
}

/* The ranges that are kept, or NULL. */
static struct sc_ranges *ranges_of(struct file *f)
{
    struct hub_repo *r = f->owner;
    if (!has_identity(f))
        return NULL;
    pthread_mutex_lock(&r->keeping);
    if (!f->ranges && !f->looked) {
        f->looked = true;
        f->ranges = sc_ranges_open(&r->hub->env, f->about->etag, f->about->bytes, false);
    }
    struct sc_ranges *ranges = f->ranges;
    pthread_mutex_unlock(&r->keeping);
    return ranges;
}

/* Is it on us to make them? Once for each file; the saver and a reader may both want to. */
static bool claim_making(struct file *f)
{
    pthread_mutex_lock(&f->owner->keeping);
    const bool ours = !f->made && !f->ranges;
    f->made = f->made || ours;
    pthread_mutex_unlock(&f->owner->keeping);
    return ours;
}

/* They will be written: only now are folders and files made. That takes a disk its time, so it is
 * done without the lock. */
static void make_ranges(struct file *f)
{
    struct sc_buf name = {0};
    if (ranges_of(f) || !claim_making(f))
        return;
    struct sc_ranges *ranges =
        sc_ranges_open(&f->owner->hub->env, f->about->etag, f->about->bytes, true);
    put_name(&name, f);
    if (ranges && !name.failed)
        sc_ranges_name(ranges, name.p);
    sc_buf_clear(&name);
    pthread_mutex_lock(&f->owner->keeping);
    if (!f->ranges) {
        f->ranges = ranges;
        ranges = NULL;
    }
    pthread_mutex_unlock(&f->owner->keeping);
    sc_ranges_close(ranges); /* others were found meanwhile */
}

static size_t load_range(void *ctx, uint64_t off, void *dst, size_t len)
{
    struct sc_ranges *ranges = ranges_of(ctx);
    return ranges ? sc_ranges_load(ranges, off, dst, len) : 0;
}

/* On the saver's thread, or on the reader's when the saver has too much to do. */
static void save_now(void *ctx, uint64_t off, const void *src, size_t len)
{
    make_ranges(ctx);
    sc_ranges_save(ranges_of(ctx), off, src, len);
}

/* A small file that has come whole goes where other tools find it; what cannot go there (another
 * hash, a cache that is only read) is a part like others. */
static void install_now(void *ctx, uint64_t off, const void *src, size_t len)
{
    const struct file *f = ctx;
    const struct hub_repo *r = f->owner;
    if (!sc_hf_install_bytes(&r->hub->env, &r->listing, f->about->path, f->about->etag, src, len))
        save_now(ctx, off, src, len);
}

static void save_range(void *ctx, uint64_t off, const void *src, size_t len)
{
    const struct file *f = ctx;
    const bool whole = off == 0 && len == f->about->bytes && len <= SMALL_BYTES;
    if (whole || !f->owner->settled)
        sc_saver_put(saver_of(f), whole ? install_now : save_now, ctx, off, src, len);
}

static bool range_gap(void *ctx, uint64_t from, uint64_t to, uint64_t *off, uint64_t *len)
{
    struct sc_ranges *ranges = ranges_of(ctx);
    if (ranges)
        return sc_ranges_gap(ranges, from, to, off, len);
    *off = from;
    *len = to - from;
    return from < to;
}

static bool is_kept(struct file *f, uint64_t off, uint64_t len)
{
    uint64_t gap_off, gap_len;
    struct sc_ranges *ranges = ranges_of(f);
    return ranges && !sc_ranges_gap(ranges, off, off + len, &gap_off, &gap_len);
}

/* The file in the shared cache, open; -1: it is not there, or not what the listing says. */
static int open_shared(struct hub_repo *r, const struct sc_hub_file *about, bool *absent)
{
    const struct sc_hub_env *env = &r->hub->env;
    const struct sc_hub_listing *l = &r->listing;
    struct sc_buf path = {0};
    struct stat st;
    int fd = -1;
    const enum sc_hf_found found = sc_hf_find(env, l->type, l->id, l->commit, about->path, &path);
    *absent = found == SC_HF_ABSENT;
    if (found == SC_HF_HIT ||
        (about->etag[0] && sc_hf_blob(env, l->type, l->id, about->etag, &path)))
        fd = open(path.p, O_RDONLY | O_CLOEXEC);
    sc_buf_clear(&path);
    if (fd >= 0 && about->bytes != UINT64_MAX &&
        (fstat(fd, &st) != 0 || (uint64_t)st.st_size != about->bytes)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool is_shared(struct hub_repo *r, const struct sc_hub_file *about)
{
    bool absent;
    const int fd = open_shared(r, about, &absent);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* -------------------------------------------------------------------------------- the network ---
 */

static int explain(void *ctx, const struct sc_http_reply *reply, const char *name,
                   struct sc_error *e)
{
    const struct file *f = ctx;
    const struct hub_repo *r = f->owner;
    (void)name;
    if (strcmp(reply->error_code, "EntryNotFound") == 0 && reply->url &&
        sc_http_same_origin(reply->url, r->hub->env.endpoint))
        sc_hf_mark_absent(&r->hub->env, &r->listing, f->about->path);
    return sc_hub_explain(r->hub, reply, NULL, &r->name, f->about->path, e);
}

static int fail_offline(const struct file *f, struct sc_error *e)
{
    const struct hub_repo *r = f->owner;
    struct sc_quoted q;
    return sc_fail(e, SCRUPLE_ENETWORK,
                   "%s/%s: not in the cache, or not these bytes of it, and offline because of %s "
                   "(run scruple fetch %s while online)",
                   r->listing.id, sc_quote(&q, sc_strz(f->about->path)), r->hub->env.offline,
                   r->listing.id);
}

/* With the mutex held. */
static int open_remote(struct file *f, struct sc_error *e)
{
    struct hub_repo *r = f->owner;
    struct sc_buf url = {0}, name = {0};
    struct sc_http *http;
    if (f->remote)
        return 0;
    if (r->hub->env.offline)
        return fail_offline(f, e);
    TRY(sc_hub_http(r->hub, &http, e));
    start_savers(r);
    sc_hub_file_url(&url, r->hub, &r->listing, f->about->path);
    put_name(&name, f);
    int rc = url.failed || name.failed ? sc_fail_memory(e) : 0;
    if (rc == 0) {
        struct sc_remote_options o = {
            .url = url.p,
            .name = name.p,
            .with_token = true,
            .size = f->about->bytes,
            .etag = f->about->etag[0] ? f->about->etag : NULL,
            .commit = r->listing.commit,
            .explain = explain,
            .explain_ctx = f,
        };
        if (has_identity(f) && r->hub->env.cache)
            o.store = (struct sc_store){f, load_range, save_range, range_gap};
        rc = sc_remote_open(http, &o, &f->remote, e);
    }
    sc_buf_clear(&url);
    sc_buf_clear(&name);
    return rc;
}

/* After waiting for the lock: somebody else may have put bytes into the ranges. */
static void look_again(struct file *f)
{
    struct sc_ranges *ranges = ranges_of(f);
    if (ranges) {
        sc_ranges_refresh(ranges);
        return;
    }
    pthread_mutex_lock(&f->owner->keeping);
    f->looked = false; /* this once */
    pthread_mutex_unlock(&f->owner->keeping);
}

/* Waits for processes that fetch the same; whether what is kept must be looked at again. */
static bool let_others_go_first(struct file *f)
{
    struct hub_repo *r = f->owner;
    pthread_mutex_lock(&r->lock);
    const bool again = take_lock(r);
    if (again)
        look_again(f);
    pthread_mutex_unlock(&r->lock);
    return again;
}

/* --------------------------------------------------------------------------------- the source ---
 */

/* Is there no remote yet, which would look at what is kept itself? */
static bool is_direct(struct hub_source *s)
{
    pthread_mutex_lock(&s->file->owner->lock);
    const bool direct = s->inner == NULL;
    pthread_mutex_unlock(&s->file->owner->lock);
    return direct;
}

/* All of it from what is kept? */
static bool read_kept(struct hub_source *s, uint64_t off, void *dst, size_t len)
{
    size_t done = 0;
    struct sc_ranges *ranges = is_direct(s) ? ranges_of(s->file) : NULL;
    while (ranges && done < len) {
        const size_t n = sc_ranges_load(ranges, off + done, (uint8_t *)dst + done, len - done);
        if (n == 0)
            break;
        done += n;
    }
    return done == len;
}

static int need_inner(struct hub_source *s, struct sc_error *e)
{
    struct hub_repo *r = s->file->owner;
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    if (!s->inner) {
        rc = open_remote(s->file, e);
        if (rc == 0)
            rc = sc_remote_source(s->file->remote, &s->inner, e);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static int hub_read(struct sc_source *base, uint64_t off, void *dst, size_t len, struct sc_error *e)
{
    struct hub_source *s = (struct hub_source *)base;
    if (read_kept(s, off, dst, len))
        return 0;
    if (let_others_go_first(s->file) && read_kept(s, off, dst, len))
        return 0;
    TRY(need_inner(s, e));
    return sc_source_read(s->inner, off, dst, len, e);
}

static void hub_prefetch(struct sc_source *base, const struct sc_span *spans, size_t n)
{
    struct hub_source *s = (struct hub_source *)base;
    bool kept = is_direct(s);
    for (size_t i = 0; i < n && kept; i++)
        kept = spans[i].off <= base->size && spans[i].len <= base->size - spans[i].off &&
               is_kept(s->file, spans[i].off, spans[i].len);
    if (kept || need_inner(s, NULL) < 0)
        return;
    sc_source_prefetch(s->inner, spans, n);
}

static bool hub_has(struct sc_source *base, struct sc_span span)
{
    struct hub_source *s = (struct hub_source *)base;
    if (span.off > base->size || span.len > base->size - span.off)
        return true; /* reading says why not */
    return is_direct(s) ? is_kept(s->file, span.off, span.len) : sc_source_has(s->inner, span);
}

static void hub_reject(struct sc_source *base)
{
    ((struct hub_source *)base)->file->rejected = true;
}

/* A small file that is here whole is a file of the shared cache: other tools find it there. */
static void promote(struct file *f)
{
    struct hub_repo *r = f->owner;
    const uint64_t size = f->about->bytes;
    if (size > SMALL_BYTES || !has_identity(f))
        return;
    if (f->remote) {
        sc_remote_forget(f->remote); /* all of it goes to the ranges now */
        sc_saver_flush(saver_of(f));
    }
    if (!f->ranges || sc_ranges_have(f->ranges, 0, size) != size)
        return;
    char *p = sc_alloc((size_t)size + 1);
    size_t done = 0, n;
    while (p && done < size &&
           (n = sc_ranges_load(f->ranges, done, p + done, (size_t)size - done)) > 0)
        done += n;
    if (p && done == size &&
        sc_hf_install_bytes(&r->hub->env, &r->listing, f->about->path, f->about->etag, p, done)) {
        sc_remote_close(f->remote);
        f->remote = NULL;
        sc_saver_flush(saver_of(f)); /* closing may have given it more */
        sc_ranges_remove(f->ranges);
        sc_ranges_close(f->ranges);
        f->ranges = NULL;
        f->looked = f->made = false;
    }
    free(p);
}

static void hub_source_close(struct sc_source *base)
{
    struct hub_source *s = (struct hub_source *)base;
    struct hub_repo *r = s->file->owner;
    sc_source_close(s->inner);
    s->file->was_read = true;
    if (--s->file->sources == 0 && r->settled) /* else at the end: others wait for their headers */
        promote(s->file);
    sc_hub_wire_tell(&r->wire, r->repo);
}

bool sc_hub_identity(const struct sc_hub_file *f, struct sc_buf *out)
{
    if (!f->etag[0])
        return false;
    sc_buf_printf(out, "hub %s %llu", f->etag, (unsigned long long)f->bytes);
    return !out->failed;
}

/* Known before anything is read. */
static bool hub_identity(struct sc_source *base, struct sc_buf *out)
{
    return sc_hub_identity(((struct hub_source *)base)->file->about, out);
}

static const struct sc_source_ops source_ops = {
    .scheme = "remote",
    .read_at = hub_read,
    .prefetch = hub_prefetch,
    .has = hub_has,
    .reject = hub_reject,
    .identity = hub_identity,
    .close = hub_source_close,
};

/* ------------------------------------------------------------------------------ the repository ---
 */

/* The listing's file of a path below the root, or of a path of the listing. */
static const struct sc_hub_file *about_path(const struct hub_repo *r, const char *path)
{
    struct sc_buf full = {0};
    const struct sc_hub_file *f = NULL;
    sc_buf_puts(&full, r->prefix);
    sc_buf_puts(&full, path);
    if (!full.failed && full.p)
        f = sc_hub_listing_find(&r->listing, full.p);
    sc_buf_clear(&full);
    return f || !r->prefix[0] ? f : sc_hub_listing_find(&r->listing, path);
}

static struct file *file_of(struct hub_repo *r, const struct sc_hub_file *about)
{
    struct file **at = &r->files[about - r->listing.files];
    if (!*at) {
        *at = sc_calloc(1, sizeof **at);
        if (*at)
            **at = (struct file){.owner = r, .about = about};
    }
    return *at;
}

static int fail_absent(const struct hub_repo *r, const char *path, struct sc_error *e)
{
    struct sc_quoted q;
    return sc_fail(e, SCRUPLE_ENOTFOUND, "%s: has no file \"%s\"%s", r->listing.id,
                   sc_quote(&q, sc_strz(path)),
                   r->listing.stale ? " as far as the cache knows" : "");
}

static int open_file(struct hub_repo *r, struct file *f, struct sc_source **out, struct sc_error *e)
{
    struct sc_buf name = {0};
    uint64_t size = f->about->bytes;
    if (size == UINT64_MAX) { /* the first answer tells */
        struct sc_remote_facts facts;
        pthread_mutex_lock(&r->lock);
        take_lock(r);
        int rc = open_remote(f, e);
        pthread_mutex_unlock(&r->lock);
        TRY(rc);
        sc_remote_facts(f->remote, &facts);
        size = facts.size;
    }
    put_name(&name, f);
    struct hub_source *s =
        name.failed ? NULL : sc_source_new(sizeof *s, &source_ops, name.p, size, e);
    const bool failed = name.failed;
    sc_buf_clear(&name);
    if (!s)
        return failed ? sc_fail_memory(e) : SCRUPLE_EMEMORY;
    s->base.remote = true;
    s->file = f;
    f->sources++;
    *out = &s->base;
    return 0;
}

static int hub_open(struct sc_repo *repo, const char *path, struct sc_source **out,
                    struct sc_error *e)
{
    struct hub_repo *r = repo->private_data;
    const struct sc_hub_file *about = about_path(r, path);
    bool absent;
    *out = NULL;
    if (!about)
        return fail_absent(r, path, e);
    struct file *f = file_of(r, about);
    if (f && f->was_read && f->sources == 0)
        sc_saver_flush(saver_of(f)); /* what was read of it before is on its way to a cache */
    const int fd = open_shared(r, about, &absent);
    if (fd >= 0) {
        struct sc_buf name = {0};
        const struct file shown = {.owner = r, .about = about};
        put_name(&name, &shown);
        int rc = 0;
        if (name.failed) {
            close(fd);
            rc = sc_fail_memory(e);
        } else {
            rc = sc_file_open_fd(fd, name.p, NULL, out, e);
        }
        sc_buf_clear(&name);
        return rc;
    }
    if (absent && r->listing.stale)
        return fail_absent(r, path, e);
    int rc = f ? open_file(r, f, out, e) : sc_fail_memory(e);
    sc_hub_wire_tell(&r->wire, repo);
    return rc;
}

/* Ends of the file, whole when they meet. */
static size_t ends(uint64_t size, uint64_t head, uint64_t tail, struct sc_span spans[2])
{
    size_t n = 0;
    head = SC_MIN(head, size);
    tail = SC_MIN(tail, size);
    if (head >= size - tail) {
        head = size;
        tail = 0;
    }
    if (head > 0)
        spans[n++] = (struct sc_span){0, head};
    if (tail > 0)
        spans[n++] = (struct sc_span){size - tail, tail};
    return n;
}

static bool spans_kept(struct file *f, const struct sc_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_kept(f, spans[i].off, spans[i].len))
            return false;
    return true;
}

static void hub_expect(struct sc_repo *repo, const char *path, uint64_t head, uint64_t tail)
{
    struct hub_repo *r = repo->private_data;
    const struct sc_hub_file *about = about_path(r, path);
    struct sc_span spans[2];
    if (!about || about->bytes == UINT64_MAX || r->hub->env.offline || is_shared(r, about))
        return;
    struct file *f = file_of(r, about);
    const size_t n = ends(about->bytes, head, tail, spans);
    if (!f || n == 0 || spans_kept(f, spans, n))
        return;
    if (let_others_go_first(f) && (is_shared(r, about) || spans_kept(f, spans, n)))
        return;
    pthread_mutex_lock(&r->lock);
    const int rc = open_remote(f, NULL); /* a failure shows when the file is read */
    pthread_mutex_unlock(&r->lock);
    if (rc == 0)
        sc_remote_prefetch(f->remote, spans, n);
    sc_hub_wire_tell(&r->wire, repo);
}

static void hub_settle(struct sc_repo *repo)
{
    struct hub_repo *r = repo->private_data;
    r->settled = true;
    r->locked = true; /* whoever reads on does not wait */
    release_lock(r);
    sc_hub_wire_tell(&r->wire, repo);
}

static void hub_close(struct sc_repo *repo)
{
    struct hub_repo *r = repo->private_data;
    if (!r)
        return;
    for (size_t i = 0; r->files && i < r->listing.n_files; i++)
        if (r->files[i]) {
            promote(r->files[i]);
            sc_remote_close(r->files[i]->remote);
        }
    for (size_t i = 0; i < SAVERS; i++) {
        sc_saver_stop(r->savers[i]);
        r->savers[i] = NULL;
    }
    for (size_t i = 0; r->files && i < r->listing.n_files; i++)
        if (r->files[i]) {
            if (r->files[i]->rejected)
                sc_ranges_remove(ranges_of(r->files[i]));
            sc_ranges_close(r->files[i]->ranges);
            free(r->files[i]);
        }
    free(r->files);
    release_lock(r);
    sc_hub_close(r->hub);
    sc_hub_wire_tell(&r->wire, repo);
    sc_hub_listing_clear(&r->listing);
    sc_name_clear(&r->name);
    free(r->prefix);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->keeping);
    free(r);
}

static const struct sc_repo_ops hub_ops = {
    .scheme = "hub",
    .open = hub_open,
    .close = hub_close,
    .expect = hub_expect,
    .settle = hub_settle,
};

static const struct hub_repo *as_hub(const struct sc_repo *r)
{
    return r->ops == &hub_ops ? r->private_data : NULL;
}

const struct sc_hub_listing *sc_repo_listing(const struct sc_repo *r)
{
    const struct hub_repo *h = as_hub(r);
    return h ? &h->listing : NULL;
}

struct sc_hub *sc_repo_hub(const struct sc_repo *r)
{
    const struct hub_repo *h = as_hub(r);
    return h ? h->hub : NULL;
}

const struct sc_hub_file *sc_repo_hub_file(const struct sc_repo *r, const char *path)
{
    const struct hub_repo *h = as_hub(r);
    return h ? about_path(h, path) : NULL;
}

/* ------------------------------------------------------------------------------------ opening ---
 */

static int fill_files(struct hub_repo *r, struct sc_error *e)
{
    const size_t n = strlen(r->prefix);
    for (size_t i = 0; i < r->listing.n_files; i++) {
        const struct sc_hub_file *f = &r->listing.files[i];
        if (strncmp(f->path, r->prefix, n) == 0)
            TRY(sc_repo_add_file(r->repo, f->path + n, f->bytes, e));
    }
    sc_repo_sort(r->repo);
    r->files = sc_calloc(r->listing.n_files + 1, sizeof *r->files);
    return r->files ? 0 : sc_fail_memory(e);
}

static int set_facts(struct hub_repo *r, struct sc_error *e)
{
    struct sc_repo *repo = r->repo;
    struct sc_buf label = {0};
    sc_hub_put_id(&label, r->listing.type, r->listing.id);
    if (r->prefix[0] || repo->selected)
        sc_buf_printf(&label, "/%s%s", r->prefix, repo->selected ? repo->selected : "");
    while (!label.failed && label.n > 0 && label.p[label.n - 1] == '/')
        label.n--;
    repo->origin = "hub";
    repo->counts_itself = true;
    repo->label = label.failed ? NULL : sc_str_copy(sc_str(label.p, label.n));
    repo->revision = sc_str_copy(sc_strz(r->listing.revision));
    repo->commit = sc_str_copy(sc_strz(r->listing.commit));
    sc_buf_clear(&label);
    return repo->label && repo->revision && repo->commit ? 0 : sc_fail_memory(e);
}

/* Whoever comes second finds what the first has fetched. */
static int list_files(struct hub_repo *r, struct sc_error *e)
{
    if (sc_hub_list_fresh(r->hub, &r->name, &r->listing))
        return 0;
    take_lock(r);
    return sc_hub_list(r->hub, &r->name, &r->listing, e);
}

static int open_steps(struct hub_repo *r, struct sc_error *e)
{
    TRY(list_files(r, e));
    struct sc_hub_choice choice;
    TRY(sc_hub_select(r->hub, &r->listing, &r->name, &choice, e));
    r->prefix = choice.prefix;
    r->repo->selected = choice.selected;
    TRY(fill_files(r, e));
    return set_facts(r, e);
}

static struct hub_repo *new_repo(struct sc_hub *h, struct sc_name *name)
{
    struct hub_repo *r = sc_calloc(1, sizeof *r);
    bool ok = r && pthread_mutex_init(&r->lock, NULL) == 0;
    if (ok && pthread_mutex_init(&r->keeping, NULL) != 0) {
        pthread_mutex_destroy(&r->lock);
        ok = false;
    }
    if (!ok) {
        free(r);
        return NULL;
    }
    r->fd = -1;
    r->hub = h;
    r->name = *name;
    memset(name, 0, sizeof *name);
    h->io = &r->wire.io;
    return r;
}

int sc_repo_open_hub(struct sc_hub *h, struct sc_name *name, struct sc_repo **out,
                     struct sc_error *e)
{
    *out = NULL;
    struct sc_repo *repo = sc_repo_new(e);
    struct hub_repo *r = repo ? new_repo(h, name) : NULL;
    if (!r) {
        sc_repo_close(repo);
        sc_hub_close(h);
        return sc_fail_memory(e);
    }
    r->repo = repo;
    repo->ops = &hub_ops;
    repo->private_data = r;
    int rc = open_steps(r, e);
    if (rc < 0)
        sc_repo_close(repo);
    else
        *out = repo;
    return rc;
}
