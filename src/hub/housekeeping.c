/* SPDX-License-Identifier: Apache-2.0 */
/* housekeeping: what is in the caches, is it sound, and removing it.
 *
 * Sees the shared cache, the tiers, and our own cache with the same eyes as those who use them, but
 * trusts nothing: names must look like names, links are looked at and never followed when
 * something is removed, and nothing outside the writable caches is touched.
 *
 * Does not own: how it is told (cli). */
#include "hub/cache.h"
#include "hub/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_KEPT  100000
#define MAX_REFS  20 /* named of one repository */
#define MIN_KEY   6  /* characters of a key that say which one is meant */
#define READ_SIZE ((size_t)1 << 20)

/* ---------------------------------------------------------------------------------- folders --- */
/* Calls each(ctx, name) for the entries of a folder; stops at a negative code. */
static int each_entry(const char *folder, int (*each)(void *ctx, const char *name), void *ctx)
{
    int code = 0;
    DIR *d = opendir(folder);
    for (struct dirent *en; d && code >= 0 && (en = readdir(d));)
        if (strcmp(en->d_name, ".") != 0 && strcmp(en->d_name, "..") != 0)
            code = each(ctx, en->d_name);
    if (d)
        closedir(d);
    return code;
}

/* "a/b", "a/b/c" in a new string; NULL: no memory. */
static char *join(const char *a, const char *b, const char *c)
{
    struct sc_buf path = {0};
    sc_buf_printf(&path, "%s/%s%s%s", a, b, c ? "/" : "", c ? c : "");
    if (path.failed)
        sc_buf_clear(&path);
    return path.p;
}

static bool is_link(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

static const char *root_at(const struct sc_hub_env *env, size_t i)
{
    return i == 0              ? (env->hf_cache ? env->hf_cache : "")
           : i <= env->n_tiers ? env->tiers[i - 1]
                               : NULL;
}

/* "models--org--name" to type and "org/name". */
static bool is_repo(const char *key, uint8_t *type, char id[256])
{
    for (*type = 0; *type <= SC_REPO_SPACE; ++*type) {
        size_t n = strlen(sc_repo_type_plural[*type]);
        if (strncmp(key, sc_repo_type_plural[*type], n) != 0 || strncmp(key + n, "--", 2) != 0)
            continue;
        const char *rest = key + n + 2, *cut = strstr(rest, "--");
        if (strlen(rest) >= 256)
            return false;
        snprintf(id, 256, "%.*s%s%s", (int)(cut ? cut - rest : (ptrdiff_t)strlen(rest)), rest,
                 cut ? "/" : "", cut ? cut + 2 : "");
        return sc_hub_is_id(sc_strz(id));
    }
    return false;
}

static bool is_key(const char *name)
{
    return sc_hub_is_hex(name, 64) || sc_hub_is_hex(name, 40);
}

/* "<64 hex>.json" */
static bool is_listing(const char *name)
{
    char hex[65];
    if (strlen(name) != 69 || strcmp(name + 64, ".json") != 0)
        return false;
    memcpy(hex, name, 64);
    hex[64] = '\0';
    return sc_hub_is_hex(hex, 64);
}

static uint64_t last_use(const struct stat *st)
{
    return (uint64_t)SC_MAX(SC_MAX(st->st_atime, st->st_mtime), 0);
}

/* ---------------------------------------------------------------------------------- looking --- */
struct look {
    struct sc_kept_list *list;
    const char *folder; /* that is being listed */
    size_t tier;
    struct sc_error *e;
};

static void note_file(struct sc_kept *k, const struct stat *st)
{
    k->bytes = sc_add_up(k->bytes, (uint64_t)st->st_blocks * 512);
    k->used = SC_MAX(k->used, last_use(st));
}

static int add_kept(struct look *w, struct sc_kept k, const char *id, const char *key,
                    const char *refs)
{
    struct sc_kept_list *l = w->list;
    if (l->n >= MAX_KEPT)
        return sc_fail(w->e, SCRUPLE_ELIMIT, "the caches hold more than %d things", MAX_KEPT);
    TRY(sc_grow(&l->items, &l->cap, l->n + 1, sizeof l->items[0], w->e));
    k.id = sc_arena_copy(&l->arena, id, strlen(id));
    k.key = sc_arena_copy(&l->arena, key, strlen(key));
    k.refs = sc_arena_copy(&l->arena, refs, strlen(refs));
    if (!k.id || !k.key || !k.refs)
        return sc_fail_memory(w->e);
    k.writable = w->tier == 0;
    k.tier = w->tier;
    l->items[l->n++] = k;
    l->bytes = sc_add_up(l->bytes, k.bytes);
    return 0;
}

static int count_content(void *ctx, const char *path, int dir, const char *name,
                         const struct stat *st)
{
    struct sc_kept *k = ctx;
    (void)path, (void)dir, (void)name;
    if (S_ISREG(st->st_mode)) {
        note_file(k, st);
        k->files++;
    }
    return 0;
}

struct refs {
    struct sc_buf text;
    size_t n;
};

static int collect_ref(void *ctx, const char *path, int dir, const char *name,
                       const struct stat *st)
{
    struct refs *r = ctx;
    (void)dir, (void)name;
    if (S_ISREG(st->st_mode) && r->n++ < MAX_REFS)
        sc_buf_printf(&r->text, "%s%s", r->text.n ? ", " : "", path);
    return 0;
}

static int count_snapshot(void *ctx, const char *name)
{
    struct sc_kept *k = ctx;
    k->revisions += sc_hub_is_hex(name, 40);
    return 0;
}

/* Blobs, and files that stand in snapshots themselves (without symlinks). */
static int look_at_content(struct sc_kept *k, const char *repo, struct refs *refs)
{
    static const char *const parts[] = {"blobs", "snapshots", "refs"};
    char *path[3] = {0};
    int code = 0;
    for (size_t i = 0; i < 3 && code == 0; i++)
        if (!(path[i] = join(repo, parts[i], NULL)))
            code = SCRUPLE_EMEMORY;
    if (code == 0)
        code = sc_walk(path[0], count_content, k);
    if (code == 0)
        code = sc_walk(path[1], count_content, k);
    if (code == 0)
        code = sc_walk(path[2], collect_ref, refs);
    if (code == 0)
        each_entry(path[1], count_snapshot, k);
    for (size_t i = 0; i < 3; i++)
        free(path[i]);
    return refs->text.failed ? SCRUPLE_EMEMORY : code;
}

static int look_at_repo(void *ctx, const char *name)
{
    struct look *w = ctx;
    struct sc_kept k = {.kind = SC_KEPT_REPO};
    struct refs refs = {0};
    char id[256];
    if (!is_repo(name, &k.type, id))
        return 0;
    char *repo = join(w->folder, name, NULL);
    int code = repo ? look_at_content(&k, repo, &refs) : SCRUPLE_EMEMORY;
    if (code < 0)
        sc_fail_memory(w->e);
    else
        code = add_kept(w, k, id, name, refs.text.n ? refs.text.p : "");
    sc_buf_clear(&refs.text);
    free(repo);
    return code;
}

/* The name that a part was fetched under; its type is in front of it. */
static void name_part(struct sc_kept *k, const char *name)
{
    for (size_t t = 0; t <= SC_REPO_SPACE; t++) {
        size_t n = strlen(sc_repo_type_plural[t]);
        if (strncmp(name, sc_repo_type_plural[t], n) == 0 && name[n] == '/')
            k->type = (uint8_t)t;
    }
}

/* "<key>.map" or "<key>.data"; the key. */
static bool is_part(const char *name, const char *end, char key[65])
{
    const char *dot = strchr(name, '.');
    if (!dot || dot - name > 64 || strcmp(dot, end) != 0)
        return false;
    memcpy(key, name, (size_t)(dot - name));
    key[dot - name] = '\0';
    return is_key(key);
}

static int look_at_part(void *ctx, const char *name)
{
    static const char *const ends[] = {".map", ".data"};
    struct look *w = ctx;
    struct sc_kept k = {.kind = SC_KEPT_RANGES, .files = 1};
    struct stat st[2];
    bool there[2] = {false, false};
    char key[65];
    if (!is_part(name, ends[0], key) && !is_part(name, ends[1], key))
        return 0;
    char *stem = join(w->folder, key, NULL);
    for (size_t i = 0; stem && i < 2; i++) {
        struct sc_buf path = {0};
        sc_buf_printf(&path, "%s%s", stem, ends[i]);
        there[i] = !path.failed && lstat(path.p, &st[i]) == 0;
        sc_buf_clear(&path);
        if (there[i])
            note_file(&k, &st[i]);
    }
    if (stem && there[0] && is_part(name, ends[1], key)) { /* its log stands for both */
        free(stem);
        return 0;
    }
    struct sc_ranges *r = stem ? sc_ranges_open_stem(stem) : NULL;
    const char *text = sc_ranges_name_of(r);
    k.total = sc_ranges_size(r);
    name_part(&k, text ? text : "");
    int code = stem ? add_kept(w, k, text ? text : key, key, "") : sc_fail_memory(w->e);
    sc_ranges_close(r);
    free(stem);
    return code;
}

static int look_at_listing(void *ctx, const char *name)
{
    struct look *w = ctx;
    struct sc_kept k = {.kind = SC_KEPT_LISTING, .files = 1};
    struct sc_hub_listing l;
    struct stat st;
    if (!is_listing(name))
        return 0;
    char *path = join(w->folder, name, NULL);
    if (!path)
        return sc_fail_memory(w->e);
    if (lstat(path, &st) == 0)
        note_file(&k, &st);
    bool sound = sc_listing_load_file(path, &l);
    free(path);
    k.type = sound ? l.type : 0;
    int code = add_kept(w, k, sound ? l.id : name, name, sound ? l.revision : "");
    if (sound)
        sc_hub_listing_clear(&l);
    return code;
}

static int look_into(struct look *w, const char *root, const char *below,
                     int (*each)(void *ctx, const char *name))
{
    char *folder = join(root, below, NULL);
    if (!folder)
        return sc_fail_memory(w->e);
    w->folder = folder;
    int code = each_entry(folder, each, w);
    free(folder);
    return code;
}

int sc_kept_look(const struct sc_hub_env *env, struct sc_kept_list *out, struct sc_error *e)
{
    struct look w = {.list = out, .e = e};
    const char *root;
    int code = 0;
    *out = (struct sc_kept_list){0};
    for (size_t i = 0; code >= 0 && (root = root_at(env, i)); i++) {
        w.tier = i;
        w.folder = root;
        if (*root)
            code = each_entry(root, look_at_repo, &w);
    }
    w.tier = 0;
    if (code >= 0 && env->cache)
        code = look_into(&w, env->cache, "ranges", look_at_part);
    if (code >= 0 && env->cache)
        code = look_into(&w, env->cache, "listings", look_at_listing);
    if (code < 0)
        sc_kept_clear(out);
    return code < 0 ? code : 0;
}

void sc_kept_clear(struct sc_kept_list *l)
{
    free(l->items);
    sc_arena_clear(&l->arena);
    *l = (struct sc_kept_list){0};
}

/* --------------------------------------------------------------------------------- matching --- */
size_t sc_kept_repo_length(const char *id)
{
    const char *p = id;
    if (strstr(id, "://"))
        return strlen(id);
    if (strncmp(p, "datasets/", 9) == 0)
        p += 9;
    else if (strncmp(p, "spaces/", 7) == 0)
        p += 7;
    const char *first = strchr(p, '/'), *second = first ? strchr(first + 1, '/') : NULL;
    return (size_t)((second ? second : first ? first : p + strlen(p)) - id);
}

bool sc_kept_matches(const struct sc_kept *k, const char *id)
{
    size_t n = strlen(id);
    if (k->kind != SC_KEPT_REPO && n >= MIN_KEY && strncmp(k->key, id, n) == 0)
        return true;
    if (strncmp(id, "models/", 7) == 0) {
        id += 7;
        n -= 7;
    }
    if (k->kind == SC_KEPT_RANGES)
        return n > 0 && (strcmp(k->id, id) == 0 ||
                         (sc_kept_repo_length(k->id) == n && strncmp(k->id, id, n) == 0));
    size_t skip = 0;
    if (k->type != SC_REPO_MODEL) {
        skip = strlen(sc_repo_type_plural[k->type]) + 1;
        if (n < skip || id[skip - 1] != '/' ||
            strncmp(id, sc_repo_type_plural[k->type], skip - 1) != 0)
            return false;
    }
    return strcmp(k->id, id + skip) == 0;
}

/* ------------------------------------------------------------------------------------ paths --- */
/* Where it stands (of parts: without the end); NULL: a name that cannot be, or no memory. `root` is
 * its cache. */
static char *path_of(const struct sc_hub_env *env, const struct sc_kept *k, const char *root)
{
    char id[256];
    uint8_t type;
    switch ((enum sc_kept_kind)k->kind) {
    case SC_KEPT_REPO:
        return is_repo(k->key, &type, id) ? join(root, k->key, NULL) : NULL;
    case SC_KEPT_RANGES:
        return is_key(k->key) && env->cache ? join(env->cache, "ranges", k->key) : NULL;
    case SC_KEPT_LISTING:
        return is_listing(k->key) && env->cache ? join(env->cache, "listings", k->key) : NULL;
    case SC_KEPT_RESULTS:
    case SC_KEPT_PYRAMIDS:
        break;
    }
    return NULL;
}

static bool is_below_link(const char *root, const char *name)
{
    char *path = join(root, name, NULL);
    bool yes = !path || is_link(path);
    free(path);
    return yes;
}

int sc_kept_remove(const struct sc_hub_env *env, const struct sc_kept *k, struct sc_error *e)
{
    struct sc_quoted q;
    if (!k->writable || (k->kind == SC_KEPT_REPO && (!env->hf_cache || !*env->hf_cache)))
        return sc_fail(e, SCRUPLE_EUSAGE, "%s is in a cache that is only read",
                       sc_quote(&q, sc_strz(k->id)));
    char *path = path_of(env, k, env->hf_cache);
    char *locks = k->kind == SC_KEPT_REPO ? join(env->hf_cache, ".locks", k->key) : NULL;
    int code = 0;
    if (!path)
        code = sc_fail(e, SCRUPLE_EUSAGE, "%s cannot be removed: not a name of ours",
                       sc_quote(&q, sc_strz(k->key)));
    else if (!(k->kind == SC_KEPT_RANGES ? sc_ranges_erase(path) : sc_remove_tree(path)))
        code = sc_fail(e, SCRUPLE_EWRITE, "%s cannot be removed: %s", sc_quote(&q, sc_strz(path)),
                       strerror(errno));
    else if (locks && !is_below_link(env->hf_cache, ".locks"))
        sc_remove_tree(locks);
    free(locks);
    free(path);
    return code;
}

/* -------------------------------------------------------------------------------- verifying --- */
struct verify {
    const struct sc_hub_env *env;
    bool repair; /* and may: the cache is writable */
    const _Atomic int *cancel;
    void (*tell)(void *ctx, const struct sc_kept_problem *p);
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
    struct sc_error *e;
    uint64_t done, total;
    int problems;
    const char *folder; /* that is being walked */
    uint8_t *buf;
};

static int is_cancelled(const struct verify *v)
{
    return v->cancel && atomic_load(v->cancel) ? sc_fail(v->e, SCRUPLE_EINTERRUPTED, "interrupted")
                                               : 0;
}

static void advance(struct verify *v, uint64_t n)
{
    v->done = SC_MIN(sc_add_up(v->done, n), v->total);
    if (v->progress)
        v->progress(v->ctx, v->done, v->total);
}

static void tell(struct verify *v, const char *id, const char *path, uint8_t severity,
                 const char *what, bool repaired)
{
    struct sc_kept_problem p = {id, path, what, severity, repaired};
    v->problems++;
    v->tell(v->ctx, &p);
}

/* The digest of what an open file holds, as its etag says it. *error: errno of a failed read.
 * Negative: interrupted, no library. */
static int hash_file(struct verify *v, int fd, enum sc_sha_kind kind, uint64_t size, char hex[65],
                     int *error)
{
    struct sc_sha *s;
    TRY(sc_sha_new(kind, size, &s, v->e));
    for (;;) {
        ssize_t n = read(fd, v->buf, READ_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            *error = errno;
        if (n <= 0)
            break;
        sc_sha_add(s, v->buf, (size_t)n);
        advance(v, (uint64_t)n);
        int code = is_cancelled(v);
        if (code < 0) {
            sc_sha_free(s);
            return code;
        }
    }
    sc_sha_end(s, hex);
    return 0;
}

/* Somebody has removed it since we looked. */
static bool is_gone(const char *path)
{
    struct stat st;
    return lstat(path, &st) != 0 && errno == ENOENT;
}

static int verify_blob(struct verify *v, const char *path, const char *name)
{
    enum sc_sha_kind kind;
    struct stat st;
    char hex[65] = "";
    if (!sc_sha_kind_of(name, &kind))
        return 0; /* of an older client, or of nobody: its name is no promise */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int unreadable = fd < 0 ? errno : 0;
    int code = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
                   ? hash_file(v, fd, kind, (uint64_t)st.st_size, hex, &unreadable)
                   : 0;
    if (fd >= 0)
        close(fd);
    if (code < 0 || strcmp(hex, name) == 0 || is_gone(path))
        return code;
    tell(v, "cache.corrupt-blob", path, 2,
         unreadable ? "the blob cannot be read" : "the content is not what its name promises",
         v->repair && !unreadable && unlink(path) == 0);
    return 0;
}

static bool is_leftover(const char *name, const struct stat *st)
{
    return (sc_str_ends(sc_strz(name), ".incomplete") || sc_str_ends(sc_strz(name), ".tmp")) &&
           sc_is_old(st);
}

static void tell_leftover(struct verify *v, const char *path)
{
    tell(v, "cache.leftover", path, 1, "a download left it behind more than a day ago",
         v->repair && sc_remove_tree(path));
}

static int visit_blob(void *ctx, const char *path, int dir, const char *name, const struct stat *st)
{
    struct verify *v = ctx;
    char *full = join(v->folder, path, NULL);
    (void)dir;
    if (!full)
        return sc_fail_memory(v->e);
    int code = 0;
    if (is_leftover(name, st))
        tell_leftover(v, full);
    else
        code = verify_blob(v, full, name);
    free(full);
    return code < 0 ? code : is_cancelled(v);
}

static int visit_link(void *ctx, const char *path, int dir, const char *name, const struct stat *st)
{
    struct verify *v = ctx;
    struct stat target;
    if (!S_ISLNK(st->st_mode) || fstatat(dir, name, &target, 0) == 0 ||
        (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)) /* perhaps it leads somewhere */
        return 0;
    char *full = join(v->folder, path, NULL);
    if (!full)
        return sc_fail_memory(v->e);
    if (!is_gone(full))
        tell(v, "cache.broken-link", full, 1, "the link leads to nothing",
             v->repair && unlinkat(dir, name, 0) == 0);
    free(full);
    return 0;
}

static int visit_ref(void *ctx, const char *path, int dir, const char *name, const struct stat *st)
{
    struct verify *v = ctx;
    size_t n = 0;
    (void)st;
    char *full = join(v->folder, path, NULL);
    if (!full)
        return sc_fail_memory(v->e);
    char *text = sc_read_file(full, 256, &n);
    if (text)
        text[strcspn(text, " \t\r\n")] = '\0';
    if ((!text || !sc_hub_is_hex(text, 40)) && !is_gone(full))
        tell(v, "cache.broken-ref", full, 1, "the file does not name a commit",
             v->repair && unlinkat(dir, name, 0) == 0);
    free(text);
    free(full);
    return 0;
}

/* What a link leads to is looked at, but nothing is removed there: it may be anything. */
static int verify_repo(struct verify *v, const char *repo)
{
    static const struct {
        const char *name;
        sc_visit *visit;
    } parts[] = {{"blobs", visit_blob}, {"snapshots", visit_link}, {"refs", visit_ref}};
    for (size_t i = 0; i < SC_COUNT(parts); i++) {
        char *folder = join(repo, parts[i].name, NULL);
        const bool repair = v->repair;
        if (!folder)
            return sc_fail_memory(v->e);
        v->folder = folder;
        v->repair = repair && !is_link(repo) && !is_link(folder);
        int code = sc_walk(folder, parts[i].visit, v);
        v->repair = repair;
        free(folder);
        TRY(code);
    }
    return 0;
}

static bool range_was_read(void *ctx, uint64_t n)
{
    struct verify *v = ctx;
    advance(v, n);
    return is_cancelled(v) == 0;
}

static bool has_part(const char *stem, const char *end)
{
    struct sc_buf path = {0};
    sc_buf_printf(&path, "%s%s", stem, end);
    const bool there = !path.failed && !is_gone(path.p);
    sc_buf_clear(&path);
    return there;
}

static int verify_range(struct verify *v, const char *stem)
{
    uint64_t junk = 0, lost = 0, left = 0;
    struct sc_ranges *r = sc_ranges_open_stem(stem);
    if (r) {
        lost = sc_ranges_check(r, &junk, range_was_read, v);
        left = sc_ranges_have(r, 0, sc_ranges_size(r));
    }
    if (!r && !has_part(stem, ".map") && !has_part(stem, ".data"))
        return 0; /* somebody has removed it since we looked */
    if (is_cancelled(v) == 0 && (!r || lost || junk))
        tell(v, "cache.corrupt-range", stem, 1,
             !r     ? "the log of what is kept is missing or damaged; nothing of it is used"
             : lost ? "parts do not fit their checksums; they are not used"
                    : "the log of what is kept has damaged records; they are not used",
             v->repair && (left == 0 ? sc_ranges_erase(stem) : sc_ranges_rewrite(r)));
    sc_ranges_close(r);
    return is_cancelled(v);
}

static void verify_listing(struct verify *v, const char *path)
{
    struct sc_hub_listing l;
    if (sc_listing_load_file(path, &l)) {
        sc_hub_listing_clear(&l);
        return;
    }
    if (is_gone(path))
        return;
    tell(v, "cache.corrupt-listing", path, 1, "the listing is damaged; it is not used",
         v->repair && unlink(path) == 0);
}

static int verify_one(struct verify *v, const struct sc_kept *k, const char *root)
{
    char *path = path_of(v->env, k, root);
    int code = 0;
    if (!path)
        return sc_fail_memory(v->e);
    if (k->kind == SC_KEPT_REPO)
        code = verify_repo(v, path);
    else if (k->kind == SC_KEPT_RANGES)
        code = verify_range(v, path);
    else
        verify_listing(v, path);
    free(path);
    return code;
}

/* "ranges/<2 hex>": where the first form of this cache had its parts, which nobody reads now. */
static bool is_old_part(const char *name, const struct stat *st)
{
    return S_ISDIR(st->st_mode) && sc_hub_is_hex(name, 2) && sc_is_old(st);
}

/* Folders that may hold temporary files of ours, after everything else. */
static int find_leftovers(void *ctx, const char *name)
{
    struct verify *v = ctx;
    struct stat st;
    char *path = join(v->folder, name, NULL);
    if (!path)
        return sc_fail_memory(v->e);
    if (lstat(path, &st) == 0 && (is_leftover(name, &st) || is_old_part(name, &st)))
        tell_leftover(v, path);
    free(path);
    return 0;
}

static int own_leftovers(struct verify *v)
{
    static const char *const below[] = {"ranges", "listings"};
    int code = 0;
    for (size_t i = 0; i < SC_COUNT(below) && code >= 0 && v->env->cache; i++) {
        char *folder = join(v->env->cache, below[i], NULL);
        if (!folder)
            return sc_fail_memory(v->e);
        v->folder = folder;
        if (!is_link(folder))
            code = each_entry(folder, find_leftovers, v);
        free(folder);
    }
    return code;
}

static int verify_all(struct verify *v, const struct sc_kept_list *l, const char *id, bool repair)
{
    struct sc_quoted q;
    size_t meant = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (id && !sc_kept_matches(&l->items[i], id))
            continue;
        v->total = sc_add_up(v->total, l->items[i].bytes);
        meant++;
    }
    if (id && !meant)
        return sc_fail(v->e, SCRUPLE_ENOTFOUND,
                       "nothing in the caches is called %s (scruple cache ls lists them)",
                       sc_quote(&q, sc_strz(id)));
    advance(v, 0);
    for (size_t i = 0; i < l->n; i++) {
        const struct sc_kept *k = &l->items[i];
        if (id && !sc_kept_matches(k, id))
            continue;
        v->repair = repair && k->writable;
        TRY(is_cancelled(v));
        TRY(verify_one(v, k, k->kind == SC_KEPT_REPO ? root_at(v->env, k->tier) : ""));
    }
    v->repair = repair;
    return id ? 0 : own_leftovers(v);
}

int sc_kept_verify(const struct sc_hub_env *env, const char *id, bool repair,
                   const _Atomic int *cancel,
                   void (*tell_one)(void *ctx, const struct sc_kept_problem *p),
                   void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx,
                   struct sc_error *e)
{
    struct verify v = {.env = env,
                       .cancel = cancel,
                       .tell = tell_one,
                       .progress = progress,
                       .ctx = ctx,
                       .e = e,
                       .buf = sc_alloc(READ_SIZE)};
    struct sc_kept_list list = {0};
    int code = v.buf ? sc_kept_look(env, &list, e) : sc_fail_memory(e);
    if (code == 0)
        code = verify_all(&v, &list, id, repair);
    sc_kept_clear(&list);
    free(v.buf);
    return code < 0 ? code : v.problems;
}
