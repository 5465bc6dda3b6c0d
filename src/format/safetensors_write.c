/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors_write: headers, shards, an index; everything or nothing. */
#include "format/safetensors_write.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/cache.h"

enum { BUFFER = 1 << 20, ALIGN = 8 };

struct sc_st_writer {
    char *path; /* the target, without a slash at its end */
    bool folder;
    const struct sc_st_item *items;
    size_t n;
    size_t *first; /* (n_shards + 1) items of each shard */
    size_t n_shards;
    struct sc_buf place; /* where it grows */
    int lock;            /* on it, of a folder; -1: none */
    struct sc_buf name;  /* scratch: of a file */
    size_t shard;        /* that is being written */
    int fd;              /* -1: none */
    uint64_t left;       /* bytes of this shard that have to come */
    uint8_t *buffer;
    size_t used;
};

static int fail_write(struct sc_error *e, const char *path, int error)
{
    struct sc_quoted q;

    return sc_fail(e, SCRUPLE_EWRITE, "%s: cannot be written: %s", sc_quote(&q, sc_strz(path)),
                   strerror(error));
}

/* --------------------------------------------------------------------------------- target --- */
/* Nothing is overwritten; a folder may be there for us, empty. */
static int refuse_target(const char *path, bool folder, struct sc_error *e)
{
    struct sc_quoted q;
    struct stat st;
    bool empty = true;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : fail_write(e, path, errno);
    DIR *d = folder && S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    for (struct dirent *entry; d && (entry = readdir(d));)
        empty = empty && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."));
    if (d)
        closedir(d);
    if (d && empty)
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE, "%s: exists already, and nothing is overwritten",
                   sc_quote(&q, sc_strz(path)));
}

static int make_place(struct sc_st_writer *w, struct sc_error *e)
{
    if (!w->folder) {
        w->fd = sc_open_temporary(&w->place, w->path, ".tmp", 0666);
        return w->fd < 0 ? fail_write(e, w->path, errno) : 0;
    }
    w->lock = sc_make_work_folder(&w->place, w->path);
    if (w->lock >= 0)
        return 0;
    const int error = errno;
    w->place.n = 0;
    return fail_write(e, w->path, error);
}

/* --------------------------------------------------------------------------------- shards --- */
static int cut_shards(struct sc_st_writer *w, uint64_t shard, struct sc_error *e)
{
    uint64_t bytes = 0, all = 0;

    w->first = sc_alloc((w->n + 2) * sizeof *w->first);
    if (!w->first)
        return sc_fail_memory(e);
    w->first[0] = 0;
    w->n_shards = 1;
    for (size_t i = 0; i < w->n; i++) {
        if (!sc_add(all, w->items[i].bytes, &all) || all > INT64_MAX)
            return sc_fail(e, SCRUPLE_ELIMIT, "the tensors are too large for a file");
        if (w->folder && bytes && (bytes > shard || w->items[i].bytes > shard - bytes)) {
            w->first[w->n_shards++] = i;
            bytes = 0;
        }
        bytes += w->items[i].bytes;
    }
    w->first[w->n_shards] = w->n;
    return 0;
}

static const char *name_shard(struct sc_buf *b, const struct sc_st_writer *w, size_t shard)
{
    b->n = 0;
    if (w->n_shards == 1)
        sc_buf_puts(b, "model.safetensors");
    else
        sc_buf_printf(b, "model-%05zu-of-%05zu.safetensors", shard + 1, w->n_shards);
    return b->failed ? "" : b->p;
}

bool sc_put_json_text(struct sc_buf *b, struct sc_str name)
{
    json_t *s = json_stringn(name.p, name.n);
    char *text = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;

    if (text)
        sc_buf_puts(b, text);
    free(text);
    json_decref(s);
    return text != NULL;
}

/* {"name": {"dtype": ..., "shape": [...], "data_offsets": [from, to]}}, padded so that the data is
 * aligned; in front of it its length. */
int sc_st_header(const struct sc_st_item *items, size_t n, struct sc_buf *b, uint64_t *bytes,
                 struct sc_error *e)
{
    struct sc_quoted q;

    *bytes = 0;
    sc_buf_puts(b, "12345678{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < n; i++) {
        const struct sc_st_item *t = &items[i];
        sc_buf_putc(b, ',');
        if (!sc_utf8_valid(t->name))
            return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                           "tensor \"%s\": safetensors holds names in UTF-8 only",
                           sc_quote(&q, t->name));
        if (!sc_put_json_text(b, t->name))
            return sc_fail_memory(e);
        sc_buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", t->dtype);
        for (size_t k = 0; k < t->rank; k++)
            sc_buf_printf(b, "%s%llu", k ? "," : "", (unsigned long long)t->shape[k]);
        const unsigned long long start = *bytes, end = start + t->bytes;
        sc_buf_printf(b, "],\"data_offsets\":[%llu,%llu]}", start, end);
        *bytes = end;
    }
    sc_buf_putc(b, '}');
    while (b->n % ALIGN && !b->failed)
        sc_buf_putc(b, ' ');
    if (b->failed)
        return sc_fail_memory(e);
    for (size_t i = 0; i < 8; i++)
        b->p[i] = (char)((uint64_t)(b->n - 8) >> (8 * i) & 0xff);
    return b->n - 8 <= SC_MAX_SAFETENSORS_HEADER
               ? 0
               : sc_fail(e, SCRUPLE_ELIMIT, "a header has %zu bytes, safetensors allows %llu",
                         b->n - 8, (unsigned long long)SC_MAX_SAFETENSORS_HEADER);
}

static int flush(struct sc_st_writer *w, struct sc_error *e)
{
    if (w->used && !sc_write_all(w->fd, w->buffer, w->used))
        return fail_write(e, w->path, errno);
    w->used = 0;
    return 0;
}

static int open_shard(struct sc_st_writer *w, struct sc_error *e)
{
    struct sc_buf header = {0};

    if (w->folder) {
        struct sc_buf name = {0};
        name_shard(&name, w, w->shard);
        w->name.n = 0;
        sc_buf_printf(&w->name, "%s/%s", w->place.p, name.failed ? "" : name.p);
        const bool failed = name.failed || w->name.failed;
        sc_buf_clear(&name);
        if (failed)
            return sc_fail_memory(e);
        w->fd = open(w->name.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd < 0)
            return fail_write(e, w->path, errno);
    }
    const size_t first = w->first[w->shard];
    int code = sc_st_header(&w->items[first], w->first[w->shard + 1] - first, &header, &w->left, e);
    if (code == 0 && !sc_write_all(w->fd, header.p, header.n))
        code = fail_write(e, w->path, errno);
    sc_buf_clear(&header);
    return code;
}

static int close_shard(struct sc_st_writer *w, struct sc_error *e)
{
    TRY(flush(w, e));
    const bool synced = sc_sync(w->fd);
    int error = errno;
    const bool closed = close(w->fd) == 0;
    error = synced ? errno : error;
    w->fd = -1;
    return synced && closed ? 0 : fail_write(e, w->path, error);
}

/* To the next shard that has bytes, or behind the last. */
static int go_on(struct sc_st_writer *w, struct sc_error *e)
{
    while (w->left == 0) {
        TRY(close_shard(w, e));
        if (++w->shard == w->n_shards)
            return 0;
        TRY(open_shard(w, e));
    }
    return 0;
}

/* -------------------------------------------------------------------------------- outside --- */
int sc_st_keep_out(const char *source, const char *path, struct sc_error *e)
{
    size_t n = strlen(path);
    struct stat folder, here, before = {0};
    struct sc_buf above = {0};
    struct sc_quoted q;
    bool inside = false;

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n && path[n - 1] != '/')
        n--;
    sc_buf_put(&above, path, n);
    sc_buf_puts(&above, "."); /* what does not exist yet cannot be asked */
    /* Up to the root, which is above itself: whatever links lead there. */
    for (bool more = stat(source, &folder) == 0; more && !above.failed && !inside;) {
        if (stat(above.p, &here) < 0)
            break;
        inside = here.st_dev == folder.st_dev && here.st_ino == folder.st_ino;
        more = here.st_dev != before.st_dev || here.st_ino != before.st_ino;
        before = here;
        sc_buf_puts(&above, "/..");
    }
    sc_buf_clear(&above);
    return inside
               ? sc_fail(e, SCRUPLE_EUSAGE,
                         "%s: lies inside of the model that is read, and would become a part of it",
                         sc_quote(&q, sc_strz(path)))
               : 0;
}

int sc_st_may_create(const char *path, bool folder, struct sc_error *e)
{
    struct sc_buf above = {0};
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    sc_buf_put(&above, path, n);
    int code = above.failed ? sc_fail_memory(e) : refuse_target(above.p, folder, e);
    while (n && path[n - 1] != '/')
        n--;
    above.n = 0;
    if (code == 0) {
        sc_buf_put(&above, path, n);
        sc_buf_puts(&above, ".");
        code = above.failed                ? sc_fail_memory(e)
               : access(above.p, W_OK) < 0 ? fail_write(e, path, errno)
                                           : 0;
    }
    sc_buf_clear(&above);
    return code;
}

int sc_st_create(const char *path, bool folder, const struct sc_st_item *items, size_t n,
                 uint64_t shard, struct sc_st_writer **out, struct sc_error *e)
{
    struct sc_st_writer *w = sc_calloc(1, sizeof *w);
    size_t length = strlen(path);

    *out = NULL;
    if (!w)
        return sc_fail_memory(e);
    w->fd = w->lock = -1;
    w->folder = folder;
    w->items = items;
    w->n = n;
    while (length > 1 && path[length - 1] == '/')
        length--;
    w->path = sc_str_copy(sc_str(path, length));
    w->buffer = sc_alloc(BUFFER);
    int code = w->path && w->buffer ? refuse_target(w->path, folder, e) : sc_fail_memory(e);
    if (code == 0)
        code = cut_shards(w, SC_MAX(shard, UINT64_C(1)), e);
    if (code == 0)
        code = make_place(w, e);
    if (code == 0)
        code = open_shard(w, e);
    if (code < 0)
        sc_st_drop(w);
    else
        *out = w;
    return code;
}

const char *sc_st_place(const struct sc_st_writer *w)
{
    return w->place.p;
}

size_t sc_st_files(const struct sc_st_writer *w)
{
    return w->n_shards;
}

int sc_st_put(struct sc_st_writer *w, const void *p, size_t n, struct sc_error *e)
{
    const uint8_t *at = p;

    while (n) {
        if (w->left == 0 && w->shard < w->n_shards)
            TRY(go_on(w, e));
        if (w->shard == w->n_shards)
            return sc_fail(e, SCRUPLE_EWRITE, "%s: more bytes than its header says", w->path);
        const size_t take = (size_t)SC_MIN(SC_MIN(n, w->left), (uint64_t)(BUFFER - w->used));
        memcpy(w->buffer + w->used, at, take);
        w->used += take;
        w->left -= take;
        at += take;
        n -= take;
        if (w->used == BUFFER)
            TRY(flush(w, e));
    }
    return 0;
}

static int write_index(struct sc_st_writer *w, struct sc_error *e)
{
    struct sc_buf b = {0}, name = {0};
    uint64_t bytes = 0;

    for (size_t i = 0; i < w->n; i++)
        bytes += w->items[i].bytes;
    sc_buf_printf(&b, "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {",
                  (unsigned long long)bytes);
    for (size_t s = 0; s < w->n_shards; s++) {
        const char *file = name_shard(&name, w, s);
        for (size_t i = w->first[s]; i < w->first[s + 1]; i++) {
            sc_buf_puts(&b, i ? ",\n    " : "\n    ");
            (void)sc_put_json_text(&b, w->items[i].name); /* it was put once already */
            sc_buf_printf(&b, ": \"%s\"", file);
        }
    }
    sc_buf_puts(&b, "\n  }\n}\n");
    w->name.n = 0;
    sc_buf_printf(&w->name, "%s/model.safetensors.index.json", w->place.p);
    int code = b.failed || name.failed || w->name.failed ? sc_fail_memory(e) : 0;
    if (code == 0 && !sc_write_file(w->name.p, b.p, b.n, 0666))
        code = fail_write(e, w->path, errno);
    sc_buf_clear(&b);
    sc_buf_clear(&name);
    return code;
}

static int put_in_place(struct sc_st_writer *w, struct sc_error *e)
{
    return sc_put_in_place(&w->place, w->path, w->folder) ? 0 : fail_write(e, w->path, errno);
}

int sc_st_finish(struct sc_st_writer *w, struct sc_error *e)
{
    int code =
        w->left ? sc_fail(e, SCRUPLE_EWRITE, "%s: fewer bytes than its header says", w->path) : 0;

    if (code == 0 && w->shard < w->n_shards)
        code = go_on(w, e);
    if (code == 0 && w->n_shards > 1)
        code = write_index(w, e);
    if (code == 0)
        code = put_in_place(w, e);
    sc_st_drop(w);
    return code;
}

void sc_st_drop(struct sc_st_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->place.n)
        (void)sc_remove_tree(w->place.p);
    if (w->lock >= 0)
        close(w->lock);
    sc_buf_clear(&w->place);
    sc_buf_clear(&w->name);
    free(w->first);
    free(w->buffer);
    free(w->path);
    free(w);
}
