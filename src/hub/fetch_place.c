/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_place: where a verified file goes, and what the disk says to it.
 *
 *   shared cache      blobs/<etag> and a link from the snapshot (hf_cache.c)
 *   a folder DIR      DIR/<path>, and beside it what the Hugging Face tools write there, too:
 *                     DIR/.cache/huggingface/download/<path>.metadata   commit, etag, unix time
 *
 * A file of DIR counts as there when its metadata says so and it was not touched since, or when its
 * hash is right. Content appears under its final name whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "hub/fetch.h"

#define STEP         ((size_t)1 << 20)
#define METADATA_MAX 4096

/* --------------------------------------------------------------------------------- words --- */
static void put_size(char out[40], uint64_t bytes)
{
    if (bytes < 1000000)
        snprintf(out, 40, "%llu bytes", (unsigned long long)bytes);
    else
        snprintf(out, 40, "%.1f %s", (double)bytes / (bytes < 1000000000 ? 1e6 : 1e9),
                 bytes < 1000000000 ? "MB" : "GB");
}

int sc_fetch_disk_error(const struct sc_hub_env *env, const char *path, int error, uint64_t need,
                        struct sc_error *e)
{
    struct sc_quoted q;
    char size[40];
    const char *variable =
        env->hf_cache && !strncmp(path, env->hf_cache, strlen(env->hf_cache)) ? "HF_HUB_CACHE"
        : env->cache && !strncmp(path, env->cache, strlen(env->cache))        ? "SCRUPLE_CACHE"
                                                                              : NULL;

    put_size(size, need);
    sc_quote(&q, sc_strz(path));
    if (error == ENAMETOOLONG)
        variable = NULL;
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        return sc_fail(e, SCRUPLE_EWRITE,
                       "%s: cannot be written: %s (%s more are needed; what arrived is kept, and "
                       "the next try goes on from there)",
                       q.s, strerror(error), size);
    if (!variable)
        return sc_fail(e, SCRUPLE_EWRITE, "%s: cannot be written: %s", q.s,
                       strerror(error ? error : EIO));
    return sc_fail(e, SCRUPLE_EWRITE,
                   "%s: cannot be written: %s (set %s to a folder that can; %s are needed)", q.s,
                   strerror(error ? error : EIO), variable, size);
}

/* ---------------------------------------------------------------------------- a folder --- */
static void local_path(struct sc_buf *b, const char *dir, const char *path)
{
    sc_buf_printf(b, "%s/%s", dir, path);
}

/* Stem of temporary files: where the Hugging Face tools have theirs, too, so that a killed run
 * leaves nothing beside the files, and a long name stays one. */
static void stem_path(struct sc_buf *b, const char *dir, const struct sc_hub_file *f)
{
    sc_buf_printf(b, "%s/.cache/huggingface/download/%s", dir, f->etag);
}

static void metadata_path(struct sc_buf *b, const char *dir, const char *path)
{
    sc_buf_printf(b, "%s/.cache/huggingface/download/%s.metadata", dir, path);
}

/* Takes the first line off *text. */
static struct sc_str take_line(const char **text)
{
    const char *end = strchr(*text, '\n');
    struct sc_str line = sc_str(*text, end ? (size_t)(end - *text) : strlen(*text));

    *text += line.n + (end != NULL);
    return line;
}

/* Does the metadata say that the file has this etag, and was it not touched since? */
static bool is_recorded(const char *dir, const struct sc_hub_file *f, const struct stat *st,
                        const char *commit)
{
    struct sc_buf path = {0};
    bool yes = false;

    metadata_path(&path, dir, f->path);
    char *text = path.failed ? NULL : sc_read_file(path.p, METADATA_MAX, NULL);
    if (text) {
        const char *rest = text;
        struct sc_str at = take_line(&rest), etag = take_line(&rest);
        double when = strtod(rest, NULL);
        yes = sc_str_is(etag, f->etag) && (double)st->st_mtime - 1 <= when &&
              (!commit || sc_str_is(at, commit));
    }
    free(text);
    sc_buf_clear(&path);
    return yes;
}

static int cancelled(const struct sc_hub *hub, struct sc_error *e)
{
    const _Atomic int *cancel = hub->options.cancel;

    return cancel && *cancel ? sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted") : 0;
}

/* Hashes a file to its end, and copies it when `to` is a descriptor. *same: it has this etag. A
 * file that cannot be read is one that is not there; *error: errno of a failed write. */
static int hash_file(const struct sc_hub *hub, const char *path, const struct sc_hub_file *f,
                     int to, bool *same, int *error, struct sc_error *e)
{
    enum sc_sha_kind kind;
    struct sc_sha *sha = NULL;
    char hex[65];

    *same = false;
    *error = 0;
    if (!sc_sha_kind_of(f->etag, &kind))
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return 0;
    uint8_t *p = sc_alloc(STEP);
    int code = p ? sc_sha_new(kind, f->bytes, &sha, e) : sc_fail_memory(e);
    ssize_t n = 1;
    while (code == 0 && n > 0 && !*error && (code = cancelled(hub, e)) == 0) {
        n = read(fd, p, STEP);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        if (n > 0 && to >= 0 && !sc_write_all(to, p, (size_t)n))
            *error = errno ? errno : EIO;
        if (n > 0)
            sc_sha_add(sha, p, (size_t)n);
    }
    if (code == 0 && n == 0 && !*error) {
        sc_sha_end(sha, hex);
        sha = NULL;
        *same = !strcmp(hex, f->etag);
    }
    sc_sha_free(sha);
    free(p);
    close(fd);
    return code;
}

static int in_folder(const struct sc_hub *hub, const char *dir, const struct sc_hub_file *f,
                     bool *yes, struct sc_error *e)
{
    struct sc_buf path = {0};
    struct stat st;
    int code = 0, error;

    local_path(&path, dir, f->path);
    if (path.failed)
        code = sc_fail_memory(e);
    else if (stat(path.p, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == f->bytes) {
        *yes = is_recorded(dir, f, &st, NULL);
        if (!*yes)
            code = hash_file(hub, path.p, f, -1, yes, &error, e);
    }
    sc_buf_clear(&path);
    return code;
}

/* What others need to know of a folder that we fill; it may fail, for it only saves them time. */
void sc_fetch_record(struct sc_fetch_job *j, const struct sc_hub_file *f)
{
    struct sc_buf path = {0}, text = {0};
    struct timespec now = {0};
    struct stat st;

    local_path(&path, j->o->local_dir, f->path);
    if (!path.failed && stat(path.p, &st) == 0 &&
        !is_recorded(j->o->local_dir, f, &st, j->listing->commit)) {
        path.n = 0;
        metadata_path(&path, j->o->local_dir, f->path);
        clock_gettime(CLOCK_REALTIME, &now);
        sc_buf_printf(&text, "%s\n%s\n%lld.%06ld\n", j->listing->commit, f->etag,
                      (long long)now.tv_sec, now.tv_nsec / 1000);
        if (!path.failed && !text.failed)
            (void)sc_write_file(path.p, text.p, text.n, 0666);
    }
    sc_buf_clear(&path);
    sc_buf_clear(&text);
}

/* Git is to leave the folder's own records alone; leftovers among them go. */
static void tidy_records(const char *dir)
{
    struct sc_buf path = {0};

    sc_buf_printf(&path, "%s/.cache/huggingface/.gitignore", dir);
    if (!path.failed && access(path.p, F_OK) < 0)
        (void)sc_write_file(path.p, "*", 1, 0666);
    path.n = 0;
    sc_buf_printf(&path, "%s/.cache/huggingface/download", dir);
    if (!path.failed && sc_make_folders(path.p))
        sc_sweep(path.p);
    sc_buf_clear(&path);
}

static int local_error(struct sc_fetch_job *j, const char *path, int error, uint64_t need,
                       struct sc_error *e)
{
    return sc_fetch_disk_error(j->env, path, error, need, e);
}

static bool make_parents(const char *path)
{
    struct sc_buf b = {0};

    sc_buf_put(&b, path, (size_t)(strrchr(path, '/') - path));
    bool ok = !b.failed && sc_make_folders(b.p);
    sc_buf_clear(&b);
    return ok;
}

/* A copy below STEM that takes its place when its hash is right; *error: errno of a failure. */
static int copy_by(struct sc_fetch_job *j, const char *stem, const char *from, const char *to,
                   const struct sc_hub_file *f, bool *same, int *error, struct sc_error *e)
{
    struct sc_buf temporary = {0};
    int fd = sc_open_temporary(&temporary, stem, ".incomplete", j->mode);

    *same = false;
    *error = fd < 0 ? errno : 0;
    if (fd < 0) {
        sc_buf_clear(&temporary);
        return 0;
    }
    int code = hash_file(j->hub, from, f, fd, same, error, e);
    if (code == 0 && *same && !*error && !sc_sync(fd))
        *error = errno;
    if (close(fd) < 0 && !*error)
        *error = errno;
    if (code == 0 && *same && !*error && rename(temporary.p, to) < 0)
        *error = errno;
    if (code < 0 || !*same || *error)
        (void)unlink(temporary.p);
    else
        sc_sync_folder_of(to);
    sc_buf_clear(&temporary);
    return code;
}

/* Beside the target where that is on another disk than the records. */
static int copy_into(struct sc_fetch_job *j, const char *from, const char *to,
                     const struct sc_hub_file *f, bool *same, struct sc_error *e)
{
    struct sc_buf stem = {0};
    int error;

    stem_path(&stem, j->o->local_dir, f);
    int code = stem.failed ? sc_fail_memory(e) : copy_by(j, stem.p, from, to, f, same, &error, e);
    sc_buf_clear(&stem);
    TRY(code);
    if (error == EXDEV || error == ENOENT)
        TRY(copy_by(j, to, from, to, f, same, &error, e));
    return error ? local_error(j, to, error, f->bytes, e) : 0;
}

static bool write_into(struct sc_fetch_job *j, const char *to, const struct sc_hub_file *f,
                       const void *p, size_t n)
{
    struct sc_buf stem = {0};

    stem_path(&stem, j->o->local_dir, f);
    bool ok = !stem.failed && sc_write_file_via(stem.p, to, p, n, j->mode);
    if (!ok && (errno == EXDEV || errno == ENOENT))
        ok = sc_write_file(to, p, n, j->mode);
    int error = errno;
    sc_buf_clear(&stem);
    errno = error;
    return ok;
}

/* Moves, or copies from another file system. */
static int move_into(struct sc_fetch_job *j, const char *data, const char *to,
                     const struct sc_hub_file *f, struct sc_error *e)
{
    bool same = false;
    int fd = open(data, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fchmod(fd, (mode_t)j->mode);
        (void)sc_sync(fd);
        (void)close(fd);
    }
    if (rename(data, to) == 0) {
        sc_sync_folder_of(to);
        return 0;
    }
    if (errno != EXDEV)
        return local_error(j, to, errno, f->bytes, e);
    TRY(copy_into(j, data, to, f, &same, e));
    if (!same)
        return sc_fail(e, SCRUPLE_EIO, "%s: changed while it was copied", data);
    (void)unlink(data);
    return 0;
}

/* ------------------------------------------------------------------------ shared cache --- */
static bool has_size(const struct sc_buf *path, const struct sc_hub_file *f)
{
    struct stat st;

    return !path->failed && stat(path->p, &st) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == f->bytes;
}

/* A blob, or a file of the snapshot, of any cache. */
static bool find_blob(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                      const struct sc_hub_file *f, struct sc_buf *path)
{
    return (*f->etag && sc_hf_blob(env, l->type, l->id, f->etag, path) && has_size(path, f)) ||
           (sc_hf_find(env, l->type, l->id, l->commit, f->path, path) == SC_HF_HIT &&
            has_size(path, f));
}

bool sc_fetch_has_blob(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                       const struct sc_hub_file *f)
{
    struct sc_buf path = {0};
    bool yes = find_blob(env, l, f, &path);

    sc_buf_clear(&path);
    return yes;
}

static bool in_cache(const struct sc_hub_env *env, size_t root, const struct sc_hub_listing *l,
                     const struct sc_hub_file *f)
{
    struct sc_buf path = {0};
    bool yes = sc_hf_find_at(env, root, l, f->path, &path) && has_size(&path, f);

    sc_buf_clear(&path);
    return yes;
}

size_t sc_fetch_root(const struct sc_repo *r, const struct sc_fetch_item *items, size_t n)
{
    const struct sc_hub_env *env = &sc_repo_hub(r)->env;

    for (size_t root = 0; root <= env->n_tiers; root++) {
        bool all = n > 0;
        for (size_t i = 0; i < n && all; i++)
            all = !items[i].spans && in_cache(env, root, sc_repo_listing(r), items[i].file);
        if (all)
            return root;
    }
    return 0;
}

static int cache_error(struct sc_fetch_job *j, const struct sc_hub_file *f, int error,
                       struct sc_error *e)
{
    const char *path = error == ENAMETOOLONG ? f->path : j->env->hf_cache;

    return sc_fetch_disk_error(j->env, path, error, f->bytes, e);
}

int sc_fetch_in_place(const struct sc_repo *r, const struct sc_fetch_options *o, size_t root,
                      const struct sc_hub_file *f, bool *yes, struct sc_error *e)
{
    *yes = false;
    if (o->local_dir)
        return in_folder(sc_repo_hub(r), o->local_dir, f, yes, e);
    *yes = in_cache(&sc_repo_hub(r)->env, root, sc_repo_listing(r), f);
    return 0;
}

/* A link to a blob of the cache, or a copy of a file that another cache has; that is held against
 * its hash first. */
static int into_cache(struct sc_fetch_job *j, const char *from, const struct sc_hub_file *f,
                      bool *yes, struct sc_error *e)
{
    const char *cache = j->env->hf_cache;
    int error;

    errno = 0;
    if (cache && sc_str_starts(sc_strz(from), cache)) {
        *yes = sc_hf_install(j->env, j->listing, f->path, f->etag, NULL);
        return *yes ? 0 : cache_error(j, f, errno, e);
    }
    TRY(hash_file(j->hub, from, f, -1, yes, &error, e));
    if (!*yes)
        return 0;
    *yes = sc_hf_install_copy(j->env, j->listing, f->path, f->etag, from);
    return *yes ? 0 : cache_error(j, f, errno, e);
}

/* Where the file goes below local_dir, its folder made. */
static int local_place(struct sc_fetch_job *j, const struct sc_hub_file *f, struct sc_buf *to,
                       struct sc_error *e)
{
    local_path(to, j->o->local_dir, f->path);
    if (to->failed)
        return sc_fail_memory(e);
    return make_parents(to->p) ? 0 : local_error(j, to->p, errno, f->bytes, e);
}

int sc_fetch_from_blob(struct sc_fetch_job *j, const struct sc_hub_file *f, bool *yes,
                       struct sc_error *e)
{
    struct sc_buf blob = {0}, to = {0};
    int code = sc_fetch_in_place(j->repo, j->o, 0, f, yes, e); /* somebody else was quicker */

    if (code == 0 && !*yes && find_blob(j->env, j->listing, f, &blob)) {
        if (j->o->local_dir) {
            code = local_place(j, f, &to, e);
            if (code == 0)
                code = copy_into(j, blob.p, to.p, f, yes, e);
        } else {
            code = into_cache(j, blob.p, f, yes, e);
        }
    }
    if (code == 0 && *yes && j->o->local_dir)
        sc_fetch_record(j, f);
    sc_buf_clear(&blob);
    sc_buf_clear(&to);
    return code;
}

int sc_fetch_place_file(struct sc_fetch_job *j, const struct sc_hub_file *f, const char *data,
                        struct sc_error *e)
{
    struct sc_buf to = {0};
    int code = 0;

    if (!j->o->local_dir) {
        errno = 0;
        if (sc_hf_install(j->env, j->listing, f->path, f->etag, data))
            return 0;
        return cache_error(j, f, errno, e);
    }
    code = local_place(j, f, &to, e);
    if (code == 0)
        code = move_into(j, data, to.p, f, e);
    if (code == 0)
        sc_fetch_record(j, f);
    sc_buf_clear(&to);
    return code;
}

int sc_fetch_place_bytes(struct sc_fetch_job *j, const struct sc_hub_file *f, const void *p,
                         size_t n, struct sc_error *e)
{
    struct sc_buf to = {0};
    int code = 0;

    errno = 0;
    if (!j->o->local_dir) {
        if (sc_hf_install_bytes(j->env, j->listing, f->path, f->etag, p, n))
            return 0;
        return cache_error(j, f, errno, e);
    }
    local_path(&to, j->o->local_dir, f->path);
    if (to.failed)
        code = sc_fail_memory(e);
    else if (!write_into(j, to.p, f, p ? p : "", n))
        code = local_error(j, to.p, errno, n, e);
    if (code == 0)
        sc_fetch_record(j, f);
    sc_buf_clear(&to);
    return code;
}

/* ---------------------------------------------------------------------------------- room --- */
struct room {
    const char *path;
    uint64_t need;
    dev_t device;
    bool known;
};

/* Bytes that will be written: below `cache` while they arrive, below `target` in the end. */
static void add_needs(const struct sc_fetch_job *j, struct room *cache, struct room *target)
{
    bool one = cache->known && target->known && cache->device == target->device;
    uint64_t largest = 0; /* large files stay there until they are whole */

    for (size_t i = 0; i < j->n; i++) {
        const struct sc_fetch_task *t = &j->tasks[i];
        uint64_t missing = t->item->want - t->item->here;
        if (t->phase == SC_PHASE_OVER)
            continue;
        if (t->kind == SC_FETCH_PARTS)
            cache->need = sc_add_up(cache->need, missing);
        else if (t->kind == SC_FETCH_FILES && one)
            target->need = sc_add_up(target->need, missing);
        else
            target->need = sc_add_up(target->need, t->item->want);
        if (t->kind == SC_FETCH_FILES && !one)
            largest = SC_MAX(largest, missing);
    }
    cache->need = sc_add_up(cache->need, largest);
}

static int check_room(struct sc_fetch_job *j, const struct room *r, struct sc_error *e)
{
    struct statvfs v;
    struct sc_quoted q;
    char has[40], needs[40];
    uint64_t room;

    if (!r->need || !r->path || statvfs(r->path, &v) < 0 ||
        !sc_mul(v.f_bavail, v.f_frsize ? v.f_frsize : v.f_bsize, &room) || room >= r->need)
        return 0;
    (void)j;
    put_size(has, room);
    put_size(needs, r->need);
    return sc_fail(e, SCRUPLE_EWRITE, "%s: has room for %s, but %s are needed",
                   sc_quote(&q, sc_strz(r->path)), has, needs);
}

static int check_folder(struct sc_fetch_job *j, struct room *r, bool (*make)(const char *path),
                        uint64_t need, struct sc_error *e)
{
    struct stat st;

    if (!make(r->path) || access(r->path, W_OK) < 0)
        return sc_fetch_disk_error(j->env, r->path, errno, need, e);
    r->known = stat(r->path, &st) == 0;
    r->device = r->known ? st.st_dev : 0;
    return 0;
}

/* The shared cache may be writable only where this repository lies. */
static int check_shared(struct sc_fetch_job *j, struct room *r, uint64_t need, struct sc_error *e)
{
    struct sc_buf folder = {0};
    struct stat st;
    bool there = sc_hf_folder(&folder, j->env->hf_cache, j->listing->type, j->listing->id) &&
                 !folder.failed && access(folder.p, W_OK) == 0 && stat(folder.p, &st) == 0;

    sc_buf_clear(&folder);
    if (!there)
        return check_folder(j, r, sc_make_cache, need, e);
    r->known = true;
    r->device = st.st_dev;
    return 0;
}

int sc_fetch_room(struct sc_fetch_job *j, struct sc_error *e)
{
    struct room cache = {.path = j->env->cache};
    struct room target = {.path = j->o->local_dir ? j->o->local_dir : j->env->hf_cache};
    bool large = false, whole = false;
    uint64_t need = j->total - SC_MIN(j->done, j->total);

    for (size_t i = 0; i < j->n; i++) {
        bool todo = j->tasks[i].phase != SC_PHASE_OVER;
        large |= todo && j->tasks[i].kind != SC_FETCH_SMALLS;
        whole |= todo && j->tasks[i].kind != SC_FETCH_PARTS;
    }
    if ((whole && !target.path) || (large && !cache.path))
        return sc_fail(e, SCRUPLE_EWRITE,
                       "there is no folder to fetch into (no home): set %s to one",
                       large && !cache.path ? "SCRUPLE_CACHE" : "HF_HUB_CACHE");
    if (whole && j->o->local_dir) {
        TRY(check_folder(j, &target, sc_make_folders, need, e));
        tidy_records(j->o->local_dir);
    } else if (whole) {
        TRY(check_shared(j, &target, need, e));
    }
    if (large)
        TRY(check_folder(j, &cache, sc_make_cache, need, e));
    add_needs(j, &cache, &target);
    TRY(check_room(j, &target, e));
    return check_room(j, &cache, e);
}
