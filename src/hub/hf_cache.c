/* SPDX-License-Identifier: Apache-2.0 */
/* hf_cache: the shared cache of the Hugging Face tools, in both directions.
 *
 *     models--org--name/refs/main                  the commit, 40 hex digits
 *     models--org--name/snapshots/COMMIT/a/b.json  -> ../../../blobs/ETAG
 *     models--org--name/blobs/ETAG                 content, named by its hash
 *     models--org--name/.no_exist/COMMIT/a.json    empty: the Hub has no such file
 *     .locks/models--org--name/ETAG.lock
 *
 * Reading asks the cache and then every tier. Writing goes to the cache only, with unique names and
 * rename(), and never through a link below the folder of the repository (but blobs may be one:
 * people move them to other disks). Temporary names stand where other programs do not look for
 * content: beside the blob as they name it themselves (ETAG.<8 hex>.incomplete), else in the
 * repository's own folder.
 *
 * Does not own: whether content is right; that was verified before. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* copy_file_range; NOLINT(bugprone-reserved-identifier,cert-dcl51-cpp) */
#endif
#include "hub/cache.h"
#include "hub/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PATH ((size_t)1024) /* bytes of a file's path, of a revision */
#define COPY     ((size_t)256 << 10)
#define INSTALLS 5 /* tries, while others remove */

/* ------------------------------------------------------------------------- what is sound --- */
static bool path_is_sound(const char *path)
{
    return path && strlen(path) <= MAX_PATH && sc_path_is_inside(sc_strz(path));
}

static bool etag_is_sound(const char *etag)
{
    enum sc_sha_kind kind;
    return etag && sc_sha_kind_of(etag, &kind);
}

bool sc_hf_folder(struct sc_buf *b, const char *root, uint8_t type, const char *id)
{
    if (!root || !id || type > SC_REPO_SPACE || !sc_hub_is_id(sc_strz(id)))
        return false;
    const char *slash = strchr(id, '/');
    sc_buf_printf(b, "%s/%s--", root, sc_repo_type_plural[type]);
    sc_buf_put(b, id, slash ? (size_t)(slash - id) : strlen(id));
    if (slash)
        sc_buf_printf(b, "--%s", slash + 1);
    return !b->failed;
}

/* --------------------------------------------------------------------------------- reading --- */
/* The cache is number 0, the tiers follow; NULL after the last. */
static const char *root_at(const struct sc_hub_env *env, size_t i)
{
    return i == 0              ? (env->hf_cache ? env->hf_cache : "")
           : i <= env->n_tiers ? env->tiers[i - 1]
                               : NULL;
}

/* ROOT/models--org--name/KIND/A/B; without B when it is NULL. */
static bool make_path(struct sc_buf *b, const char *root, uint8_t type, const char *id,
                      const char *kind, const char *a, const char *c)
{
    b->n = 0;
    if (!*root || !sc_hf_folder(b, root, type, id))
        return false;
    sc_buf_printf(b, "/%s/%s", kind, a);
    if (c)
        sc_buf_printf(b, "/%s", c);
    return !b->failed;
}

static bool is_file(const char *path, struct stat *st)
{
    return stat(path, st) == 0 && S_ISREG(st->st_mode);
}

static bool read_ref(const char *path, char commit[41])
{
    size_t n = 0;
    char *text = sc_read_file(path, 256, &n);
    const char *p = text ? text + strspn(text, " \t\r\n") : "";
    size_t k = strcspn(p, " \t\r\n");
    bool ok = k == 40 && strspn(p + k, " \t\r\n") == strlen(p + k);
    if (ok) {
        memcpy(commit, p, 40);
        commit[40] = '\0';
        ok = sc_hub_is_hex(commit, 40);
    }
    free(text);
    return ok;
}

bool sc_hf_ref(const struct sc_hub_env *env, uint8_t type, const char *id, const char *revision,
               char commit[41])
{
    struct sc_buf path = {0};
    const char *root;
    bool found = false;
    if (!path_is_sound(revision))
        return false;
    for (size_t i = 0; !found && (root = root_at(env, i)); i++)
        found =
            make_path(&path, root, type, id, "refs", revision, NULL) && read_ref(path.p, commit);
    sc_buf_clear(&path);
    return found;
}

enum sc_hf_found sc_hf_find(const struct sc_hub_env *env, uint8_t type, const char *id,
                            const char *commit, const char *file, struct sc_buf *path)
{
    struct stat st;
    const char *root;
    enum sc_hf_found found = SC_HF_MISS;
    if (!sc_hub_is_hex(commit, 40) || !path_is_sound(file))
        return SC_HF_MISS;
    for (size_t i = 0; found != SC_HF_HIT && (root = root_at(env, i)); i++) {
        if (make_path(path, root, type, id, "snapshots", commit, file) && is_file(path->p, &st))
            found = SC_HF_HIT;
        else if (make_path(path, root, type, id, ".no_exist", commit, file) &&
                 is_file(path->p, &st))
            found = SC_HF_ABSENT;
    }
    if (found != SC_HF_HIT)
        path->n = 0;
    return found;
}

bool sc_hf_find_at(const struct sc_hub_env *env, size_t root, const struct sc_hub_listing *l,
                   const char *file, struct sc_buf *path)
{
    struct stat st;
    const char *top = root_at(env, root);
    return top && sc_hub_is_hex(l->commit, 40) && path_is_sound(file) &&
           make_path(path, top, l->type, l->id, "snapshots", l->commit, file) &&
           is_file(path->p, &st);
}

bool sc_hf_blob(const struct sc_hub_env *env, uint8_t type, const char *id, const char *etag,
                struct sc_buf *path)
{
    struct stat st;
    const char *root;
    if (!etag_is_sound(etag))
        return false;
    for (size_t i = 0; (root = root_at(env, i)); i++)
        if (make_path(path, root, type, id, "blobs", etag, NULL) && is_file(path->p, &st))
            return true;
    path->n = 0;
    return false;
}

/* ------------------------------------------------------------------------------- snapshots --- */
struct snapshot {
    const struct sc_hub_env *env;
    uint8_t type;
    const char *id, *commit;
    size_t tier;
    int (*add)(void *ctx, const char *path, uint64_t bytes, const char *etag);
    void *ctx;
};

/* The name of the blob that a link leads to, or "". */
static void etag_of_link(int dir, const char *name, char etag[65])
{
    char target[MAX_PATH];
    ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
    etag[0] = '\0';
    if (n <= 0)
        return;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    if (slash && etag_is_sound(slash + 1))
        memcpy(etag, slash + 1, strlen(slash + 1) + 1);
}

/* Was it told of an earlier tier? */
static bool is_shadowed(const struct snapshot *s, const char *file)
{
    struct sc_buf path = {0};
    struct stat st;
    bool found = false;
    for (size_t i = 0; i < s->tier && !found; i++)
        found =
            make_path(&path, root_at(s->env, i), s->type, s->id, "snapshots", s->commit, file) &&
            is_file(path.p, &st);
    sc_buf_clear(&path);
    return found;
}

static int tell_file(void *ctx, const char *path, int dir, const char *name,
                     const struct stat *link)
{
    const struct snapshot *s = ctx;
    struct stat st;
    char etag[65];
    (void)link;
    if (fstatat(dir, name, &st, 0) != 0 || !S_ISREG(st.st_mode) || !path_is_sound(path) ||
        is_shadowed(s, path))
        return 0;
    etag_of_link(dir, name, etag);
    return s->add(s->ctx, path, (uint64_t)st.st_size, etag);
}

int sc_hf_snapshot(const struct sc_hub_env *env, uint8_t type, const char *id, const char *commit,
                   int (*add)(void *ctx, const char *path, uint64_t bytes, const char *etag),
                   void *ctx)
{
    struct snapshot s = {env, type, id, commit, 0, add, ctx};
    struct sc_buf path = {0};
    const char *root;
    int code = 0;
    if (!sc_hub_is_hex(commit, 40))
        return 0;
    for (; code == 0 && (root = root_at(env, s.tier)); s.tier++)
        if (make_path(&path, root, type, id, "snapshots", commit, NULL))
            code = sc_walk(path.p, tell_file, &s);
    sc_buf_clear(&path);
    return code;
}

/* -------------------------------------------------------------------------------- writing --- */
/* Folders below `repo` down to the one of repo/path. A link among them is refused. */
static bool make_inside(const char *repo, const char *path)
{
    struct sc_buf b = {0};
    struct stat st;
    bool ok = true;
    for (const char *slash = path; ok && (slash = strchr(slash, '/')); slash++) {
        b.n = 0;
        sc_buf_printf(&b, "%s/%.*s", repo, (int)(slash - path), path);
        ok = !b.failed && (mkdir(b.p, 0777) == 0 || (lstat(b.p, &st) == 0 && S_ISDIR(st.st_mode)));
    }
    sc_buf_clear(&b);
    return ok;
}

/* The folder of the listing's repository, made when it is not there. */
static bool make_repo(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                      struct sc_buf *repo)
{
    if (!env->hf_cache || !*env->hf_cache || !sc_hub_is_hex(l->commit, 40) ||
        !sc_hf_folder(repo, env->hf_cache, l->type, l->id) || !sc_make_cache(env->hf_cache) ||
        !sc_make_folders(repo->p))
        return false;
    return true;
}

/* repo/KIND/A/B with its folders. */
static bool make_place(struct sc_buf *b, const struct sc_buf *repo, const char *kind, const char *a,
                       const char *c)
{
    struct sc_buf inside = {0};
    sc_buf_printf(&inside, "%s/%s%s%s", kind, a, c ? "/" : "", c ? c : "");
    bool ok = !inside.failed && make_inside(repo->p, inside.p);
    if (ok)
        sc_buf_printf(b, "%s/%s", repo->p, inside.p);
    sc_buf_clear(&inside);
    return ok && !b->failed;
}

static bool copy_by_kernel(int from, int to)
{
#ifdef __linux__
    ssize_t n;
    off_t at = 0; /* the position of `from` stays, for the other way */
    while ((n = copy_file_range(from, &at, to, NULL, (size_t)1 << 30, 0)) > 0)
        ;
    struct stat st;
    return n == 0 && fstat(from, &st) == 0 && at == st.st_size;
#else
    (void)from, (void)to;
    return false;
#endif
}

static bool copy_file(int from, int to)
{
    if (copy_by_kernel(from, to))
        return true;
    char *buf = sc_alloc(COPY);
    bool ok = buf && lseek(to, 0, SEEK_SET) == 0 && ftruncate(to, 0) == 0;
    off_t at = 0;
    while (ok) {
        ssize_t n = pread(from, buf, COPY, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            ok = n == 0;
            break;
        }
        ok = sc_write_all(to, buf, (size_t)n);
        at += n;
    }
    free(buf);
    return ok;
}

/* Where content comes from: a file (moved when it may be), or memory. */
struct content {
    const char *path;
    bool keep; /* the file stays: it is a blob */
    const void *p;
    size_t n;
};

/* `data` itself takes the place, with the mode that `fd`, a new file there, was given. */
static bool move_data(const struct content *c, int from, int fd, const char *place)
{
    struct stat st;
    return !c->keep && fstat(fd, &st) == 0 && fchmod(from, st.st_mode & 0777) == 0 &&
           sc_sync(from) && rename(c->path, place) == 0;
}

/* true: *moved, or the open temporary file holds it now. */
static bool fill(const struct content *c, int fd, const char *place, bool *moved)
{
    if (!c->path)
        return sc_write_all(fd, c->p, c->n) && sc_sync(fd);
    int from = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (c->keep ? 0 : O_NOFOLLOW));
    struct stat st;
    if (from < 0)
        return false;
    bool ok = fstat(from, &st) == 0 && S_ISREG(st.st_mode);
    *moved = ok && move_data(c, from, fd, place);
    ok = ok && (*moved || (copy_file(from, fd) && sc_sync(fd)));
    close(from);
    return ok;
}

/* Content at `place`; under STEM.<8 hex>.incomplete until it is whole. */
static bool put_content(const char *stem, const char *place, const struct content *c)
{
    struct sc_buf temporary = {0};
    bool moved = false;
    int fd = sc_open_temporary(&temporary, stem, ".incomplete", 0666);
    bool ok = fd >= 0 && fill(c, fd, place, &moved);
    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    if (ok && !moved)
        ok = rename(temporary.p, place) == 0;
    if (fd >= 0 && (!ok || moved))
        unlink(temporary.p);
    if (ok && !moved && c->path && !c->keep)
        unlink(c->path);
    if (ok)
        sc_sync_folder_of(place);
    sc_buf_clear(&temporary);
    return ok;
}

/* The text of the link: up from the folder of the file to the repository's. */
static bool link_text(struct sc_buf *b, const char *file, const char *etag)
{
    sc_buf_puts(b, "../../");
    for (const char *slash = file; (slash = strchr(slash, '/')); slash++)
        sc_buf_puts(b, "../");
    sc_buf_printf(b, "blobs/%s", etag);
    return !b->failed;
}

static bool links_to(const char *place, const char *target)
{
    char is[MAX_PATH];
    ssize_t n = readlink(place, is, sizeof is);
    return n > 0 && (size_t)n == strlen(target) && memcmp(is, target, (size_t)n) == 0;
}

/* A link where something else stands: made beside, then renamed over it. */
static bool replace_link(const struct sc_buf *repo, const char *place, const char *target)
{
    struct sc_buf temporary = {0};
    sc_buf_printf(&temporary, "%s/.link.%08x.tmp", repo->p, sc_unique());
    bool made = !temporary.failed && symlink(target, temporary.p) == 0;
    bool ok = made && rename(temporary.p, place) == 0;
    if (made && !ok)
        unlink(temporary.p);
    sc_buf_clear(&temporary);
    return ok;
}

static bool put_link(const struct sc_buf *repo, const char *place, const char *file,
                     const char *etag)
{
    struct sc_buf target = {0};
    bool ok =
        link_text(&target, file, etag) &&
        (symlink(target.p, place) == 0 ||
         (errno == EEXIST && (links_to(place, target.p) || replace_link(repo, place, target.p))));
    sc_buf_clear(&target);
    return ok;
}

/* The blob, or with no_symlinks nothing: then the content goes straight to its place. */
static bool put_file(const struct sc_hub_env *env, const struct sc_buf *repo, const char *blob,
                     const char *place, const char *file, const char *etag,
                     const struct content *content)
{
    struct stat st;
    bool have = is_file(blob, &st);
    struct content c = {.path = blob, .keep = true};
    if (!content && !have)
        return false;
    if (env->no_symlinks)
        return put_content(blob, place, content ? content : &c);
    return (!content || put_content(blob, blob, content)) && put_link(repo, place, file, etag);
}

/* Looking for leftovers once a run is enough, and with ten thousand files all that one can afford.
 */
static void sweep_once(const char *blobs)
{
    static _Atomic uint64_t last;
    uint64_t now = sc_hash(blobs, strlen(blobs));
    if (atomic_exchange(&last, now) != now)
        sc_sweep(blobs);
}

static bool install_once(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                         const char *file, const char *etag, const struct content *content)
{
    struct sc_buf repo = {0}, blob = {0}, place = {0};
    bool ok = path_is_sound(file) && etag_is_sound(etag) && make_repo(env, l, &repo);
    if (ok) {
        sc_buf_printf(&blob, "%s/blobs", repo.p);
        ok = !blob.failed && sc_make_folders(blob.p);
    }
    if (ok) {
        sweep_once(blob.p);
        sc_buf_printf(&blob, "/%s", etag);
        ok = !blob.failed && make_place(&place, &repo, "snapshots", l->commit, file) &&
             put_file(env, &repo, blob.p, place.p, file, etag, content);
    }
    int error = errno;
    sc_buf_clear(&repo);
    sc_buf_clear(&blob);
    sc_buf_clear(&place);
    errno = error;
    return ok;
}

/* Somebody may remove the repository at the same time: its folders are made again. */
static bool install(const struct sc_hub_env *env, const struct sc_hub_listing *l, const char *file,
                    const char *etag, const struct content *content)
{
    bool ok = false;
    for (int i = 0; !ok && i < INSTALLS; i++) {
        errno = 0;
        if (!(ok = install_once(env, l, file, etag, content)) && errno != ENOENT)
            break;
    }
    if (ok)
        sc_hf_write_ref(env, l); /* the file is in its place, whatever becomes of the name */
    return ok;
}

bool sc_hf_install(const struct sc_hub_env *env, const struct sc_hub_listing *l, const char *file,
                   const char *etag, const char *data)
{
    struct content c = {.path = data};
    return install(env, l, file, etag, data ? &c : NULL);
}

bool sc_hf_install_copy(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                        const char *file, const char *etag, const char *from)
{
    struct content c = {.path = from, .keep = true};
    return install(env, l, file, etag, &c);
}

bool sc_hf_install_bytes(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                         const char *file, const char *etag, const void *p, size_t n)
{
    enum sc_sha_kind kind;
    char hex[65];
    struct content c = {.p = p, .n = n};
    return sc_sha_kind_of(etag, &kind) && sc_sha_of(kind, p, n, hex, NULL) == 0 &&
           strcmp(hex, etag) == 0 && install(env, l, file, etag, &c);
}

bool sc_hf_write_ref(const struct sc_hub_env *env, const struct sc_hub_listing *l)
{
    struct sc_buf repo = {0}, place = {0}, stem = {0};
    char now[41];
    if (!path_is_sound(l->revision) || sc_hub_is_hex(l->revision, 40))
        return false;
    bool ok = make_repo(env, l, &repo) && make_place(&place, &repo, "refs", l->revision, NULL);
    if (ok && !(read_ref(place.p, now) && strcmp(now, l->commit) == 0)) {
        sc_sweep(repo.p);
        sc_buf_printf(&stem, "%s/.ref", repo.p);
        ok = !stem.failed && sc_write_file_via(stem.p, place.p, l->commit, 40, 0666);
    }
    sc_buf_clear(&repo);
    sc_buf_clear(&place);
    sc_buf_clear(&stem);
    return ok;
}

bool sc_hf_mark_absent(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                       const char *file)
{
    struct sc_buf repo = {0}, place = {0};
    int fd = -1;
    if (path_is_sound(file) && make_repo(env, l, &repo) &&
        make_place(&place, &repo, ".no_exist", l->commit, file))
        fd = open(place.p, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd >= 0)
        close(fd);
    sc_buf_clear(&repo);
    sc_buf_clear(&place);
    return fd >= 0;
}

bool sc_hf_snapshot_path(const struct sc_hub_env *env, const struct sc_hub_listing *l, size_t root,
                         struct sc_buf *path)
{
    const char *top = root_at(env, root);
    return top && sc_hub_is_hex(l->commit, 40) &&
           make_path(path, top, l->type, l->id, "snapshots", l->commit, NULL);
}

int sc_hf_lock(const struct sc_hub_env *env, const struct sc_hub_listing *l, const char *etag,
               unsigned wait_ms, const _Atomic int *cancel)
{
    struct sc_buf path = {0}, locks = {0};
    int fd = -1;
    if (env->hf_cache && *env->hf_cache && etag_is_sound(etag) && sc_make_cache(env->hf_cache)) {
        sc_buf_printf(&locks, "%s/.locks", env->hf_cache);
        if (!locks.failed && sc_hf_folder(&path, locks.p, l->type, l->id)) {
            sc_buf_printf(&path, "/%s.lock", etag);
            fd = path.failed ? -1 : sc_lock_file(path.p, wait_ms, cancel);
        }
    }
    sc_buf_clear(&path);
    sc_buf_clear(&locks);
    return fd;
}
