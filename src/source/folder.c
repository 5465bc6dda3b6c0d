/* SPDX-License-Identifier: Apache-2.0 */
/* folder: a repository that is a folder on this machine, or one file and its neighbours.
 *
 *   named by the user      root             selected     searched
 *   models/qwen            models/qwen      -            with sub-folders
 *   models/qwen/a.gguf     models/qwen      a.gguf       the folder alone (config.json matters)
 *
 * Hidden entries are skipped. Links to files are followed: the Hugging Face cache consists of
 * them (snapshots/REV/x -> ../../blobs/SHA). A link to a folder is followed only right below the
 * root, after everything real was searched, and only to what was not searched yet and does not
 * contain the root; so every folder is searched once, and the outcome does not depend on the order
 * of the directory. Whatever cannot be looked into below the root is left out.
 *
 * The root stays open as a descriptor: the working directory may change, the folder may be moved,
 * its parents may be closed to us. No other descriptor outlives its call. */
#include "source/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder {
    int fd;     /* the root; -1: it may be passed through but not opened */
    char *root; /* as the user named it, for that case */
};

/* ------------------------------------------------------------------------ names and labels --- */

/* "/a/./b//c/../d" to "/a/b/d" in place, by text alone. Tells whether there was a "..". */
static bool normalise(char *path)
{
    bool climbed = false;
    char *to = path;
    const char *from = path;
    while (*from) {
        from += strspn(from, "/");
        size_t n = strcspn(from, "/");
        if (n == 2 && from[0] == '.' && from[1] == '.') {
            climbed = true;
            while (to > path && *--to != '/')
                ;
        } else if (n > 0 && !(n == 1 && from[0] == '.')) {
            *to++ = '/';
            memmove(to, from, n);
            to += n;
        }
        from += n;
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
    return climbed;
}

/* *out is the working directory, or NULL when it has no name (any more). false: no memory. */
static bool working_directory(char **out)
{
    char *p = NULL;
    *out = NULL;
    for (size_t n = 1024; n <= ((size_t)1 << 20); n *= 2) {
        char *more = realloc(p, n);
        if (!more) {
            free(p);
            return false;
        }
        p = more;
        if (getcwd(p, n)) {
            *out = p;
            return true;
        }
        if (errno != ERANGE)
            break;
    }
    free(p);
    return true;
}

/* dir "/" name in a new string. */
static char *join(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    char *p = sc_alloc(n);
    if (p)
        snprintf(p, n, "%s/%s", dir, name);
    return p;
}

static char *copy_range(const char *p, size_t n)
{
    char *copy = sc_alloc(n + 1);
    if (!copy)
        return NULL;
    memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

/* The path from the top, with links as the user typed them. `is` is what the path leads to. NULL:
 * no memory. */
static char *absolute_path(const char *path, const struct stat *is)
{
    char *cwd = NULL;
    if (path[0] != '/' && !working_directory(&cwd))
        return NULL;
    char *full = cwd ? join(cwd, path) : copy_range(path, strlen(path));
    free(cwd);
    if (!full || full[0] != '/')
        return full;

    char *shown = copy_range(full, strlen(full));
    struct stat st;
    if (!shown || !normalise(shown) ||
        (stat(shown, &st) == 0 && st.st_dev == is->st_dev && st.st_ino == is->st_ino)) {
        free(full);
        return shown;
    }
    free(shown); /* ".." behind a link leads elsewhere than the text says */
    return full;
}

/* ------------------------------------------------------------------------------- searching --- */

struct identity {
    uint64_t device, inode;
};

struct subfolder {
    const char *path; /* from the root; "" is the root */
    struct identity id;
    unsigned depth;
};

struct subfolders {
    struct subfolder *p;
    size_t n, cap;
};

struct search {
    struct sc_repo *repo;
    int root;
    bool deep;             /* with sub-folders */
    struct sc_arena arena; /* their paths */
    struct subfolders open, links;
    struct identity *seen;
    size_t n_seen, seen_cap;
    struct sc_index seen_index;
    size_t entries;
};

static struct identity identity_of(const struct stat *st)
{
    return (struct identity){(uint64_t)st->st_dev, (uint64_t)st->st_ino};
}

static bool was_seen(const struct search *w, struct identity id)
{
    size_t probe = 0;
    uint64_t hash = sc_hash(&id, sizeof id);
    uint32_t i;
    while ((i = sc_index_next(&w->seen_index, hash, &probe)) != UINT32_MAX)
        if (w->seen[i].device == id.device && w->seen[i].inode == id.inode)
            return true;
    return false;
}

static int mark_seen(struct search *w, struct identity id, struct sc_error *e)
{
    TRY(sc_grow(&w->seen, &w->seen_cap, w->n_seen + 1, sizeof w->seen[0], e));
    TRY(sc_index_put(&w->seen_index, sc_hash(&id, sizeof id), (uint32_t)w->n_seen, e));
    w->seen[w->n_seen++] = id;
    return 0;
}

static int push(struct subfolders *list, struct subfolder f, struct sc_error *e)
{
    TRY(sc_grow(&list->p, &list->cap, list->n + 1, sizeof list->p[0], e));
    list->p[list->n++] = f;
    return 0;
}

/* Not there any more, not for us, or not what it was: no reason to give up the rest. */
static bool may_skip(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == EPERM ||
           error == ELOOP || error == ENAMETOOLONG || error == ESTALE;
}

static int fail_listing(const struct search *w, int error, const char *path, struct sc_error *e)
{
    return sc_fail_errno(e, SCRUPLE_EIO, error, path[0] ? path : w->repo->label,
                         "cannot list the folder");
}

/* Path of an entry from the root, or NULL: no memory. */
static const char *entry_path(struct sc_arena *a, const struct subfolder *at, const char *name)
{
    size_t n = strlen(at->path), m = strlen(name);
    char *p = sc_arena_alloc(a, n + m + 2, 1);
    if (!p)
        return NULL;
    char *to = p;
    if (n > 0) {
        memcpy(to, at->path, n);
        to[n] = '/';
        to += n + 1;
    }
    memcpy(to, name, m + 1);
    return p;
}

static int take_entry(struct search *w, const struct subfolder *at, int dir, const char *name,
                      struct sc_error *e)
{
    struct sc_quoted q;
    struct stat st;
    if (name[0] == '.')
        return 0;
    if (++w->entries > SC_MAX_FOLDER_FILES)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "%s: more than %d files and folders (name the model's own folder)",
                       sc_quote_path(&q, w->repo->label), (int)SC_MAX_FOLDER_FILES);

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return may_skip(errno) && (at->depth > 0 || errno != EACCES)
                   ? 0
                   : fail_listing(w, errno, at->path, e);
    bool link = S_ISLNK(st.st_mode);
    if (link && fstatat(dir, name, &st, 0) != 0)
        return may_skip(errno) ? 0 : fail_listing(w, errno, at->path, e);
    bool wanted =
        S_ISREG(st.st_mode) || (S_ISDIR(st.st_mode) && w->deep && at->depth < SC_MAX_FOLDER_DEPTH &&
                                (!link || at->depth == 0));
    if (!wanted)
        return 0;

    struct sc_arena *arena = S_ISREG(st.st_mode) ? &w->repo->arena : &w->arena;
    const char *path = entry_path(arena, at, name);
    if (!path)
        return sc_fail_memory(e);
    if (S_ISREG(st.st_mode))
        return sc_repo_add_file(w->repo, path, (uint64_t)st.st_size, e);
    return push(link ? &w->links : &w->open,
                (struct subfolder){path, identity_of(&st), at->depth + 1}, e);
}

static int list_folder(struct search *w, const struct subfolder *at, struct sc_error *e)
{
    int fd = openat(w->root, at->path[0] ? at->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return may_skip(errno) && at->depth > 0 ? 0 : fail_listing(w, errno, at->path, e);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int error = errno;
        close(fd);
        return error == ENOMEM ? sc_fail_memory(e) : fail_listing(w, error, at->path, e);
    }
    int rc = 0;
    while (rc == 0) {
        errno = 0;
        const struct dirent *entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe): own stream */
        if (!entry) {
            rc = errno ? fail_listing(w, errno, at->path, e) : 0;
            break;
        }
        rc = take_entry(w, at, fd, entry->d_name, e);
    }
    closedir(dir);
    return rc;
}

/* A link to a folder that contains the root would find the model a second time. */
static int mark_parents(struct search *w, struct identity root, struct sc_error *e)
{
    enum { LEVELS = 256 };
    char up[LEVELS * 3] = "..";
    struct identity below = root;
    for (size_t n = 2; n + 4 <= sizeof up; n += 3) {
        struct stat st;
        if (fstatat(w->root, up, &st, 0) != 0)
            return 0;
        struct identity id = identity_of(&st);
        if (id.device == below.device && id.inode == below.inode)
            return 0; /* the top is its own parent */
        TRY(mark_seen(w, id, e));
        below = id;
        memcpy(up + n, "/..", 4);
    }
    return 0;
}

static int compare_links(const void *a, const void *b)
{
    const struct subfolder *x = a, *y = b;
    return sc_natural_cmp(sc_strz(y->path), sc_strz(x->path)); /* the last is taken first */
}

/* Everything that is reachable from the folders that are open. */
static int drain(struct search *w, struct sc_error *e)
{
    while (w->open.n > 0) {
        struct subfolder at = w->open.p[--w->open.n];
        if (was_seen(w, at.id))
            continue;
        TRY(mark_seen(w, at.id, e));
        TRY(list_folder(w, &at, e));
    }
    return 0;
}

static int search_links(struct search *w, struct identity root, struct sc_error *e)
{
    if (w->links.n == 0)
        return 0;
    TRY(mark_parents(w, root, e));
    qsort(w->links.p, w->links.n, sizeof w->links.p[0], compare_links);
    while (w->links.n > 0) {
        TRY(push(&w->open, w->links.p[--w->links.n], e));
        TRY(drain(w, e));
    }
    return 0;
}

/* Fills repo->files. */
static int search(struct sc_repo *r, int root, bool deep, struct sc_error *e)
{
    struct search w = {.repo = r, .root = root, .deep = deep};
    struct stat st;
    int rc = 0;

    if (fstat(root, &st) != 0)
        return fail_listing(&w, errno, "", e);
    rc = push(&w.open, (struct subfolder){"", identity_of(&st), 0}, e);
    if (rc == 0)
        rc = drain(&w, e);
    if (rc == 0)
        rc = search_links(&w, identity_of(&st), e);
    sc_repo_sort(r);

    free(w.open.p);
    free(w.links.p);
    free(w.seen);
    sc_index_clear(&w.seen_index);
    sc_arena_clear(&w.arena);
    return rc;
}

/* --------------------------------------------------------------------------- the repository --- */

static int folder_open_file(struct sc_repo *r, const char *path, struct sc_source **out,
                            struct sc_error *e)
{
    const struct folder *f = r->private_data;
    if (f->fd >= 0)
        return sc_file_open_at(f->fd, path, path, NULL, out, e);
    char *full = join(f->root, path);
    if (!full)
        return sc_fail_memory(e);
    int rc = sc_file_open_at(AT_FDCWD, full, path, NULL, out, e);
    free(full);
    return rc;
}

/* Of a list of regular files: their ends come from the disk while others are read. */
static void folder_expect(struct sc_repo *r, const char *path, uint64_t head, uint64_t tail)
{
    const struct folder *f = r->private_data;
    const struct sc_repo_file *file = sc_repo_find(r, path);
    const int fd = file && f->fd >= 0
                       ? openat(f->fd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
                       : -1;
    if (fd < 0)
        return;
    head = SC_MIN(head, file->bytes);
    tail = SC_MIN(tail, file->bytes - head);
    if (head)
        (void)posix_fadvise(fd, 0, (off_t)head, POSIX_FADV_WILLNEED);
    if (tail)
        (void)posix_fadvise(fd, (off_t)(file->bytes - tail), (off_t)tail, POSIX_FADV_WILLNEED);
    close(fd);
}

static void folder_close(struct sc_repo *r)
{
    struct folder *f = r->private_data;
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    free(f->root);
    free(f);
}

static const struct sc_repo_ops folder_ops = {
    .scheme = "file", .open = folder_open_file, .close = folder_close, .expect = folder_expect};

/* The file alone is enough: its neighbours are a help when they can be had. */
static int list_neighbours(struct sc_repo *r, int root, uint64_t bytes, struct sc_error *e)
{
    int rc = root >= 0 ? search(r, root, false, NULL) : SCRUPLE_EIO;
    if (rc == SCRUPLE_EMEMORY)
        return sc_fail_memory(e);
    if (rc < 0)
        r->n_files = 0;
    if (!sc_repo_find(r, r->selected)) { /* a hidden file, or no list */
        TRY(sc_repo_add_file(r, r->selected, bytes, e));
        sc_repo_sort(r);
    }
    return 0;
}

int sc_folder_open(const char *path, struct sc_repo *r, struct sc_error *e)
{
    struct stat st;
    if (path[0] == '\0')
        return sc_fail(e, SCRUPLE_EUSAGE, "the path of the model is empty");
    if (stat(path, &st) != 0)
        return sc_fail_open(e, errno, AT_FDCWD, path, path);
    bool is_folder = S_ISDIR(st.st_mode);
    if (!is_folder && !S_ISREG(st.st_mode))
        return sc_fail_kind(e, st.st_mode, path);

    struct folder *f = sc_calloc(1, sizeof *f);
    if (!f)
        return sc_fail_memory(e);
    f->fd = -1;
    r->ops = &folder_ops;
    r->private_data = f;

    const char *slash = is_folder ? NULL : strrchr(path, '/');
    if (is_folder)
        f->root = copy_range(path, strlen(path));
    else if (slash) /* "/a.gguf": the root is "/" */
        f->root = copy_range(path, slash > path ? (size_t)(slash - path) : 1);
    else
        f->root = copy_range(".", 1);
    r->label = absolute_path(path, &st);
    if (!is_folder) {
        const char *name = slash ? slash + 1 : path;
        r->selected = copy_range(name, strlen(name));
    }
    if (!f->root || !r->label || (!is_folder && !r->selected))
        return sc_fail_memory(e);

    f->fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!is_folder)
        return list_neighbours(r, f->fd, (uint64_t)st.st_size, e);
    if (f->fd < 0)
        return sc_fail_errno(e, SCRUPLE_EIO, errno, path, "cannot open the folder");
    return search(r, f->fd, true, e);
}
