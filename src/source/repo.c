/* SPDX-License-Identifier: Apache-2.0 */
/* repo: the files of a model under one root. Owns the list, lookup by path, the rule that no path
 * from an index leaves the root, and the repositories of one file (memory, standard input). Local
 * folders are folder.c. Keeps no file open. */
#include "source/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ------------------------------------------------------------------------------- the list --- */

int sc_repo_add_file(struct sc_repo *r, const char *path, uint64_t bytes, struct sc_error *e)
{
    TRY(sc_grow(&r->files, &r->files_cap, r->n_files + 1, sizeof r->files[0], e));
    r->files[r->n_files++] = (struct sc_repo_file){path, bytes};
    return 0;
}

static int compare_files(const void *a, const void *b)
{
    const struct sc_repo_file *x = a, *y = b;
    return sc_natural_cmp(sc_strz(x->path), sc_strz(y->path));
}

void sc_repo_sort(struct sc_repo *r)
{
    if (r->n_files > 1)
        qsort(r->files, r->n_files, sizeof r->files[0], compare_files);
}

const struct sc_repo_file *sc_repo_find(const struct sc_repo *r, const char *path)
{
    const struct sc_repo_file key = {path, 0};
    if (r->n_files == 0)
        return NULL;
    return bsearch(&key, r->files, r->n_files, sizeof r->files[0], compare_files);
}

struct sc_repo *sc_repo_new(struct sc_error *e)
{
    struct sc_repo *r = sc_calloc(1, sizeof *r);
    if (r)
        r->origin = "local";
    else
        sc_fail_memory(e);
    return r;
}

void sc_repo_close(struct sc_repo *r)
{
    if (!r)
        return;
    if (r->ops)
        r->ops->close(r);
    free(r->label);
    free(r->selected);
    free(r->revision);
    free(r->commit);
    free(r->files);
    sc_arena_clear(&r->arena);
    free(r);
}

/* ------------------------------------------------------------------------------- one file --- */

static int single_open(struct sc_repo *r, const char *path, struct sc_source **out,
                       struct sc_error *e)
{
    struct sc_quoted q;
    if (!sc_repo_find(r, path)) {
        *out = NULL;
        return sc_fail(e, SCRUPLE_ENOTFOUND, "%s: no such file or folder", sc_quote_path(&q, path));
    }
    return sc_source_borrow(r->private_data, out, e);
}

static void single_close(struct sc_repo *r)
{
    sc_source_close(r->private_data);
}

static const struct sc_repo_ops single_ops = {
    .scheme = "single", .open = single_open, .close = single_close};

/* Takes over the source, on failure too. */
static int open_single(struct sc_source *s, struct sc_repo **out, struct sc_error *e)
{
    struct sc_repo *r = sc_repo_new(e);
    if (!r) {
        sc_source_close(s);
        return SCRUPLE_EMEMORY;
    }
    r->ops = &single_ops;
    r->private_data = s;
    r->label = sc_str_copy(sc_strz(s->name));
    r->selected = sc_str_copy(sc_strz(s->name));
    int rc = r->label && r->selected ? 0 : sc_fail_memory(e);
    if (rc == 0)
        rc = sc_repo_add_file(r, s->name, s->size, e);
    if (rc < 0)
        sc_repo_close(r);
    else
        *out = r;
    return rc;
}

int sc_repo_open_memory(const void *p, size_t n, const char *name, struct sc_repo **out,
                        struct sc_error *e)
{
    struct sc_source *s;
    *out = NULL;
    TRY(sc_memory_open(p, n, name, &s, e));
    return open_single(s, out, e);
}

int sc_repo_open_local(const char *path, struct sc_repo **out, struct sc_error *e)
{
    *out = NULL;
    if (strcmp(path, "-") == 0) {
        struct sc_source *s;
        TRY(sc_stdin_open(&s, e));
        return open_single(s, out, e);
    }
    struct sc_repo *r = sc_repo_new(e);
    if (!r)
        return SCRUPLE_EMEMORY;
    int rc = sc_folder_open(path, r, e);
    if (rc < 0)
        sc_repo_close(r);
    else
        *out = r;
    return rc;
}

/* -------------------------------------------------------------------------------- opening --- */

/* Relative, and no part is empty, "." or "..". A backslash separates parts elsewhere, and a model
 * that is sound here should be so there. */
bool sc_path_is_inside(struct sc_str path)
{
    if (path.n == 0 || memchr(path.p, '\0', path.n) || memchr(path.p, '\\', path.n))
        return false;
    for (size_t i = 0; i <= path.n;) {
        const char *slash = memchr(path.p + i, '/', path.n - i);
        const size_t end = slash ? (size_t)(slash - path.p) : path.n;
        const struct sc_str part = sc_str(path.p + i, end - i);
        if (part.n == 0 || sc_str_is(part, ".") || sc_str_is(part, ".."))
            return false;
        i = end + 1;
    }
    return true;
}

int sc_repo_open_counted(struct sc_repo *r, const char *path, struct sc_io *io,
                         struct sc_source **out, struct sc_error *e)
{
    struct sc_quoted q;
    struct sc_source *s = NULL;
    *out = NULL;
    /* What is listed was found inside, whatever its name looks like. */
    if (!sc_repo_find(r, path) && !sc_path_is_inside(sc_strz(path))) {
        sc_fail(e, SCRUPLE_EFORMAT, "%s: points outside the model folder",
                path[0] ? sc_quote_path(&q, path) : "\"\"");
        return SCRUPLE_EFORMAT;
    }
    TRY(r->ops->open(r, path, &s, e));
    if (r->fault)
        TRY(sc_source_fault(s, r->fault, &s, e));
    if (io && !r->counts_itself)
        TRY(sc_source_count(s, io, &s, e));
    *out = s;
    return 0;
}

int sc_repo_open_file(struct sc_repo *r, const char *path, struct sc_source **out,
                      struct sc_error *e)
{
    return sc_repo_open_counted(r, path, r->io, out, e);
}

bool sc_repo_is_remote(const struct sc_repo *r)
{
    return r->origin && strcmp(r->origin, "local") != 0;
}

void sc_repo_expect(struct sc_repo *r, const char *path, uint64_t head, uint64_t tail)
{
    if (r->ops->expect)
        r->ops->expect(r, path, head, tail);
}

void sc_repo_settle(struct sc_repo *r)
{
    if (r->ops->settle)
        r->ops->settle(r);
}

int sc_repo_read_text(struct sc_repo *r, const char *path, uint64_t max, char **out, size_t *n,
                      struct sc_error *e)
{
    struct sc_source *s = NULL;
    struct sc_error why = {0};
    struct sc_quoted q;
    char *text = NULL;

    *out = NULL;
    *n = 0;
    int rc = sc_repo_open_file(r, path, &s, &why);
    if (rc == SCRUPLE_ENOTFOUND)
        return rc;
    if (rc < 0) {
        if (e)
            *e = why;
        return rc;
    }
    if (s->size > max || s->size >= SIZE_MAX) {
        rc = sc_fail(e, SCRUPLE_ELIMIT, "%s: has %llu bytes; at most %llu are read",
                     sc_quote_path(&q, s->name), (unsigned long long)s->size,
                     (unsigned long long)max);
        goto done;
    }
    text = sc_alloc((size_t)s->size + 1);
    if (!text) {
        rc = sc_fail_memory(e);
        goto done;
    }
    rc = sc_source_read(s, 0, text, (size_t)s->size, e);
    if (rc < 0)
        goto done;
    text[s->size] = '\0';
    *out = text;
    *n = (size_t)s->size;
    text = NULL;
done:
    free(text);
    sc_source_close(s);
    return rc;
}
