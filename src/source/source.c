/* SPDX-License-Identifier: Apache-2.0 */
/* source: the calls that every source shares. Owns the range check in front of each read and
 * mapping, the life of the object, and how paths and system errors are worded. Does not own any
 * bytes. */
#include "source/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void *sc_source_new(size_t bytes, const struct sc_source_ops *ops, const char *name, uint64_t size,
                    struct sc_error *e)
{
    size_t n = strlen(name) + 1;
    struct sc_source *s = sc_calloc(1, bytes);
    char *copy = sc_alloc(n);
    if (!s || !copy) {
        free(s);
        free(copy);
        sc_fail_memory(e);
        return NULL;
    }
    memcpy(copy, name, n);
    s->ops = ops;
    s->name = copy;
    s->size = size;
    return s;
}

int sc_source_read(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e)
{
    if (off > s->size || len > s->size - off) {
        struct sc_quoted q;
        return sc_fail_at(e, SCRUPLE_EFORMAT, off,
                          "%s: %zu bytes are needed at byte %llu, but the file has %llu "
                          "(truncated download?)",
                          sc_quote_path(&q, s->name), len, (unsigned long long)off,
                          (unsigned long long)s->size);
    }
    return len == 0 ? 0 : s->ops->read_at(s, off, dst, len, e);
}

const uint8_t *sc_source_map(struct sc_source *s, uint64_t off, size_t len)
{
    if (!s->ops->map || len == 0 || off > s->size || len > s->size - off)
        return NULL;
    return s->ops->map(s, off, len);
}

bool sc_source_open_window(struct sc_source *s, uint64_t off, size_t len, struct sc_window *out)
{
    *out = (struct sc_window){.guard = -1};
    if (s->ops->open_window && len > 0 && off <= s->size && len <= s->size - off)
        s->ops->open_window(s, (struct sc_span){off, len}, out);
    return out->bytes != NULL;
}

int sc_source_close_window(struct sc_source *s, struct sc_window *w, struct sc_error *e)
{
    const int code = w->bytes ? s->ops->close_window(s, w, e) : 0;
    w->bytes = NULL;
    return code;
}

int sc_source_check(struct sc_source *s, struct sc_error *e)
{
    return s->ops->check ? s->ops->check(s, e) : 0;
}

bool sc_source_identity(struct sc_source *s, struct sc_buf *out)
{
    return s->ops->identity && s->ops->identity(s, out);
}

bool sc_source_has(struct sc_source *s, struct sc_span span)
{
    return !s->ops->has || span.len == 0 || s->ops->has(s, span);
}

void sc_source_prefetch(struct sc_source *s, const struct sc_span *spans, size_t n)
{
    if (s->ops->prefetch && n > 0)
        s->ops->prefetch(s, spans, n);
}

void sc_source_read_ahead(struct sc_source *s, struct sc_span span)
{
    if (span.off > s->size || span.len > s->size - span.off || span.len == 0)
        return;
    if (s->ops->read_ahead)
        s->ops->read_ahead(s, span);
    else
        sc_source_prefetch(s, &span, 1);
}

void sc_source_drop(struct sc_source *s, struct sc_span span)
{
    if (s->ops->drop && span.off <= s->size && span.len <= s->size - span.off && span.len > 0)
        s->ops->drop(s, span);
}

void sc_source_prefetch_head(struct sc_source *s, uint64_t n)
{
    const struct sc_span span = {0, SC_MIN(SC_MIN(n, s->size), UINT64_C(32) << 20)};
    if (span.len)
        sc_source_prefetch(s, &span, 1);
}

void sc_source_reject(struct sc_source *s)
{
    if (s->ops->reject)
        s->ops->reject(s);
}

void sc_source_close(struct sc_source *s)
{
    if (!s)
        return;
    if (s->ops->close)
        s->ops->close(s);
    free(s->name);
    free(s);
}

/* -------------------------------------------------------------------------------- wording --- */

const char *sc_quote_path(struct sc_quoted *q, const char *path)
{
    enum { COLUMNS = 120, TAIL = COLUMNS - 3 };
    size_t n = strlen(path);
    if (n <= COLUMNS)
        return sc_quote(q, sc_str(path, n));

    /* Cut at a slash, so that neither a UTF-8 sequence nor a name is torn. */
    const char *tail = memchr(path + n - TAIL, '/', TAIL);
    if (!tail) {
        const char *slash = strrchr(path, '/');
        return sc_quote(q, sc_strz(slash ? slash + 1 : path));
    }
    char text[COLUMNS + 1] = "...";
    size_t kept = n - (size_t)(tail - path);
    memcpy(text + 3, tail, kept);
    return sc_quote(q, sc_str(text, 3 + kept));
}

int sc_fail_errno(struct sc_error *e, int code, int error, const char *path, const char *what)
{
    struct sc_quoted q;
    char text[128];
    if (strerror_r(error, text, sizeof text) != 0)
        memcpy(text, "unknown error", sizeof "unknown error");
    return sc_fail(e, code, "%s: %s: %s", sc_quote_path(&q, path), what, text);
}

int sc_fail_kind(struct sc_error *e, mode_t mode, const char *name)
{
    struct sc_quoted q;
    const char *kind = "not a regular file";
    if (S_ISDIR(mode))
        kind = "a folder, not a file";
    else if (S_ISFIFO(mode))
        kind = "a pipe (FIFO), not a file (pipe into \"scruple -\" to read one)";
    else if (S_ISSOCK(mode))
        kind = "a socket, not a file";
    else if (S_ISCHR(mode))
        kind = "a character device, not a file";
    else if (S_ISBLK(mode))
        kind = "a block device, not a file";
    return sc_fail(e, SCRUPLE_EIO, "%s: is %s", sc_quote_path(&q, name), kind);
}

int sc_fail_open(struct sc_error *e, int error, int dir, const char *path, const char *name)
{
    struct sc_quoted q;
    struct stat st;
    if (error == ENOENT && fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
        return sc_fail(e, SCRUPLE_ENOTFOUND,
                       "%s: is a link to something that does not exist (incomplete download?)",
                       sc_quote_path(&q, name));
    if (error == ENOENT || error == ENOTDIR)
        return sc_fail(e, SCRUPLE_ENOTFOUND, "%s: no such file or folder", sc_quote_path(&q, name));
    /* open() refuses a socket with a code that says nothing to a reader. */
    if (error == ENXIO && fstatat(dir, path, &st, 0) == 0 && S_ISSOCK(st.st_mode))
        return sc_fail_kind(e, st.st_mode, name);
    return sc_fail_errno(e, SCRUPLE_EIO, error, name, "cannot open");
}
