/* SPDX-License-Identifier: Apache-2.0 */
/* edit_write: a checkpoint copied with some bytes changed, and back.
 *
 * The copy grows under another name beside its own: a file under a temporary one, a folder in a
 * work folder, with everything in it. Files are streamed; what the patches expect is held against
 * what is read, so a file that changed meanwhile is refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analyze/edit_parts.h"
#include "format/safetensors_write.h"
#include "hub/cache.h"

enum { BUFFER = 1 << 20 };

struct copying {
    const struct sc_edit_copy *how;
    struct sc_buf place, name; /* where it grows; a file in it */
    int lock, fd;
    uint64_t done, total;
    uint8_t *buffer;
};

static int fail_write(struct sc_error *e, const char *path)
{
    struct sc_quoted q;
    const int error = errno;

    return sc_fail(e, SCRUPLE_EWRITE, "%s: cannot be written: %s", sc_quote(&q, sc_strz(path)),
                   strerror(error));
}

/* --------------------------------------------------------------------------------- patching --- */

/* Bytes off..off+n of a file, with the patches that fall into them. *next: the first that may. */
static int patch(const struct sc_edit_copy *how, const struct sc_edit_file *f, size_t *next,
                 uint64_t off, uint8_t *bytes, size_t n, struct sc_error *e)
{
    const struct sc_edit_patches *all = how->patches;
    struct sc_quoted q;

    while (*next < f->last && all->p[*next].offset < off + n) {
        const struct sc_edit_patch *p = &all->p[*next];
        const uint64_t from = SC_MAX(p->offset, off), to = SC_MIN(p->offset + p->n, off + n);
        const size_t at = p->at + (size_t)(from - p->offset), here = (size_t)(to - from);
        if (memcmp(bytes + (from - off), all->old + at, here) != 0)
            return sc_fail_at(e, SCRUPLE_EFORMAT, from, "%s: %s", sc_quote(&q, sc_strz(f->path)),
                              how->mismatch);
        memcpy(bytes + (from - off), all->new + at, here);
        if (p->offset + p->n > off + n)
            break;
        ++*next;
    }
    return 0;
}

static int go_on(struct copying *x, size_t n, const struct sc_edit_file *f, struct sc_error *e)
{
    const struct sc_edit_writing *w = x->how->writing;

    x->done += n;
    if (w->cancel && atomic_load(w->cancel))
        return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    if (w->progress)
        w->progress(w->ctx, x->done, x->total, f->path);
    return 0;
}

static int stream(struct copying *x, struct sc_source *s, const struct sc_edit_file *f,
                  struct sc_sha *sha, struct sc_error *e)
{
    size_t next = f->first;

    for (uint64_t at = 0; at < s->size; at += BUFFER) {
        const size_t n = (size_t)SC_MIN(s->size - at, (uint64_t)BUFFER);
        TRY(sc_source_read(s, at, x->buffer, n, e));
        if (sha && !x->how->undo)
            sc_sha_add(sha, x->buffer, n);
        TRY(patch(x->how, f, &next, at, x->buffer, n, e));
        if (sha && x->how->undo)
            sc_sha_add(sha, x->buffer, n);
        if (!sc_write_all(x->fd, x->buffer, n))
            return fail_write(e, x->how->writing->path);
        TRY(go_on(x, n, f, e));
    }
    return sc_source_check(s, e);
}

/* ------------------------------------------------------------------------------------ files --- */

static int open_target(struct copying *x, const struct sc_edit_file *f, struct sc_error *e)
{
    if (!x->how->folder)
        return 0;
    x->name.n = 0;
    sc_buf_printf(&x->name, "%s/%s", x->place.p, f->path);
    if (x->name.failed)
        return sc_fail_memory(e);
    char *slash = strrchr(x->name.p, '/');
    *slash = '\0';
    const bool made = sc_make_folders(x->name.p);
    *slash = '/';
    x->fd = made ? open(x->name.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666) : -1;
    return x->fd < 0 ? fail_write(e, x->how->writing->path) : 0;
}

static int close_target(struct copying *x, struct sc_error *e)
{
    const bool synced = sc_sync(x->fd);
    int error = errno;
    const bool closed = close(x->fd) == 0;

    errno = synced ? errno : error;
    x->fd = -1;
    return synced && closed ? 0 : fail_write(e, x->how->writing->path);
}

/* The digest of the original: what is read, or when undoing what is written. */
static int check_digest(const struct sc_edit_copy *how, struct sc_edit_file *f, const char *hex,
                        struct sc_error *e)
{
    struct sc_quoted q;

    if (how->undo && f->sha256[0] && strcmp(f->sha256, hex) != 0)
        return sc_fail(e, SCRUPLE_EFORMAT,
                       "%s: would not be what it was: it has changed elsewhere since the edit",
                       sc_quote(&q, sc_strz(f->path)));
    memcpy(f->sha256, hex, sizeof f->sha256);
    return 0;
}

static int copy_file(struct copying *x, struct sc_edit_file *f, struct sc_error *e)
{
    struct sc_source *s = NULL;
    struct sc_sha *sha = NULL;
    struct sc_error none = {0};
    struct sc_quoted q;
    char hex[65];

    TRY(sc_repo_open_file(x->how->repo, f->path, &s, e));
    int code = f->bytes == UINT64_MAX || s->size == f->bytes
                   ? open_target(x, f, e)
                   : sc_fail(e, SCRUPLE_EFORMAT, "%s: has %llu bytes, not the %llu that it had",
                             sc_quote(&q, sc_strz(f->path)), (unsigned long long)s->size,
                             (unsigned long long)f->bytes);
    /* Without its library there is no digest, and undoing has only the bytes to go by. */
    if (code == 0 && f->first < f->last &&
        sc_sha_new(SC_SHA256, s->size, &sha, &none) == SCRUPLE_EMEMORY)
        code = sc_fail_memory(e);
    if (code == 0)
        code = stream(x, s, f, sha, e);
    f->bytes = s->size;
    sc_source_close(s);
    if (code == 0 && sha) {
        sc_sha_end(sha, hex);
        code = check_digest(x->how, f, hex, e);
    } else {
        sc_sha_free(sha);
    }
    return code == 0 ? close_target(x, e) : code;
}

/* ---------------------------------------------------------------------------------- outside --- */

static int make_place(struct copying *x, struct sc_error *e)
{
    const struct sc_edit_writing *w = x->how->writing;

    TRY(sc_st_may_create(w->path, x->how->folder, e));
    if (x->how->folder)
        x->lock = sc_make_work_folder(&x->place, x->how->path);
    else
        x->fd = sc_open_temporary(&x->place, x->how->path, ".tmp", 0666);
    if (x->lock >= 0 || x->fd >= 0) {
        if (w->place && !x->how->folder)
            w->place(w->ctx, x->place.p);
        return 0;
    }
    x->place.n = 0;
    return fail_write(e, w->path);
}

/* Beside a file, or in the folder that grows; *path is where it will be found. */
static int write_record(struct copying *x, const struct sc_buf *text, struct sc_buf *path,
                        struct sc_error *e)
{
    sc_edit_record_path(path, x->how->path, x->how->folder);
    x->name.n = 0;
    if (x->how->folder)
        sc_buf_printf(&x->name, "%s/" SC_EDIT_RECORD_FOLDER, x->place.p);
    else
        sc_buf_puts(&x->name, path->failed ? "" : path->p);
    if (path->failed || x->name.failed)
        return sc_fail_memory(e);
    return sc_write_file(x->name.p, text->p, text->n, 0666) ? 0 : fail_write(e, path->p);
}

static int copy_all(struct copying *x, struct sc_edit_written *out, struct sc_error *e)
{
    const struct sc_edit_copy *how = x->how;
    struct sc_buf text = {0};

    x->buffer = sc_alloc(BUFFER);
    if (!x->buffer)
        return sc_fail_memory(e);
    TRY(make_place(x, e));
    for (size_t i = 0; i < how->n_files; i++)
        x->total = sc_add_up(x->total, how->files[i].bytes == UINT64_MAX ? 0 : how->files[i].bytes);
    for (size_t i = 0; i < how->n_files; i++) {
        TRY(copy_file(x, &how->files[i], e));
        out->bytes += how->files[i].bytes;
    }
    out->files = how->n_files;
    int code = how->record(how->ctx, &text, e);
    if (code == 0 && text.n)
        code = write_record(x, &text, &out->record, e);
    const bool recorded = code == 0 && text.n && !how->folder;
    sc_buf_clear(&text);
    if (code == 0 && !sc_put_in_place(&x->place, how->path, how->folder)) {
        code = fail_write(e, how->writing->path);
        if (recorded)
            (void)unlink(out->record.p);
    }
    return code;
}

int sc_edit_copy(const struct sc_edit_copy *how, struct sc_edit_written *out, struct sc_error *e)
{
    struct copying x = {.how = how, .lock = -1, .fd = -1};

    *out = (struct sc_edit_written){0};
    const int code = copy_all(&x, out, e);
    if (x.fd >= 0)
        close(x.fd);
    if (x.place.n)
        (void)sc_remove_tree(x.place.p);
    if (x.lock >= 0)
        close(x.lock);
    if (how->writing->place)
        how->writing->place(how->writing->ctx, NULL);
    sc_buf_clear(&x.place);
    sc_buf_clear(&x.name);
    free(x.buffer);
    return code;
}

void sc_edit_written_clear(struct sc_edit_written *w)
{
    sc_buf_clear(&w->record);
    *w = (struct sc_edit_written){0};
}
