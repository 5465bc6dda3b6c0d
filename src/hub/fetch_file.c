/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_file: one large file, received, written and hashed at the same time.
 *
 *     engine's thread --> ring of pieces --+--> writer: data of the cache of ranges, then a record
 *                                          +--> worker: SHA-256
 *
 * A piece is free again when both have had it. The hash takes the bytes in the order of the file,
 * so what is kept from before is read from the disk first, up to the first gap, and so on. After
 * kill -9 nothing is lost but the piece that is being filled and those that are not written yet.
 *
 * Owns: gaps, the signed address between two of them, trying once more after a mismatch. Does not
 * own: retries and time limits (http), where the file goes (fetch_place).
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sync_file_range; NOLINT(bugprone-reserved-identifier,cert-dcl51-cpp) */
#endif
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hub/fetch.h"
#include "hub/internal.h"

#define PIECE ((size_t)512 << 10)
#define FLUSH ((uint64_t)4 << 20) /* handed to the disk at a time */
enum { PIECES = 12, RESOLVES = 4, RESTARTS = 5 };

struct file {
    struct sc_fetch_job *job;
    struct sc_fetch_task *task;
    const struct sc_hub_file *what;
    struct sc_http *http;
    struct sc_ranges *ranges;
    struct sc_sha *sha;
    struct sc_buf url;
    char *signed_url; /* where the last answer came from, while it may be used */
    char body_etag[136];

    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint8_t *memory; /* PIECES of PIECE bytes */
    struct {
        uint64_t off;
        size_t n;
    } piece[PIECES];
    uint64_t filled, hashed, written; /* pieces so far: written and hashed follow filled */
    size_t fill;                      /* bytes in the piece that is being filled */
    uint64_t pos;                     /* next byte from the wire */
    bool over;                        /* the request ended: no byte will come */
    bool quit;                        /* the writer is to end */
    int disk_error;                   /* errno, or -1 */
    bool failed;                      /* the writer could not */
};

/* -------------------------------------------------------------------------- receiving ---
 * On the engine's thread. */
static bool is_full(const struct file *f)
{
    return f->filled - SC_MIN(f->hashed, f->written) >= PIECES;
}

static int wait_for_room(struct file *f)
{
    int code = 0;

    pthread_mutex_lock(&f->lock);
    while (is_full(f) && !code) {
        sc_fetch_wait(&f->moved, &f->lock, 100);
        code = sc_fetch_stopped(f->job);
    }
    if (f->failed)
        code = SCRUPLE_EWRITE;
    pthread_mutex_unlock(&f->lock);
    return code;
}

/* The piece that was being filled goes to both. */
static void hand_over(struct file *f)
{
    pthread_mutex_lock(&f->lock);
    if (f->fill) {
        size_t i = (size_t)(f->filled % PIECES);
        f->piece[i].off = f->pos - f->fill;
        f->piece[i].n = f->fill;
        f->fill = 0;
        f->filled++;
        pthread_cond_broadcast(&f->moved);
    }
    pthread_mutex_unlock(&f->lock);
}

static int receive(void *ctx, const uint8_t *p, size_t n)
{
    struct file *f = ctx;
    int code = sc_fetch_stopped(f->job);

    sc_fetch_received(f->job, f->task, n);
    while (n && code >= 0) {
        if (f->fill == 0 && (code = wait_for_room(f)) < 0)
            break;
        size_t part = SC_MIN(n, PIECE - f->fill);
        memcpy(f->memory + (size_t)(f->filled % PIECES) * PIECE + f->fill, p, part);
        f->fill += part;
        f->pos += part;
        p += part;
        n -= part;
        if (f->fill == PIECE)
            hand_over(f);
    }
    return code;
}

static void received(void *ctx, struct sc_http_request *q)
{
    struct file *f = ctx;

    (void)q;
    hand_over(f);
    pthread_mutex_lock(&f->lock);
    f->over = true;
    pthread_cond_broadcast(&f->moved);
    pthread_mutex_unlock(&f->lock);
}

/* ---------------------------------------------------------------------------- writing --- */
/* The disk starts now, not at the end, when the whole file must be safe before it takes its place.
 */
static void start_disk(struct file *f, uint64_t off, size_t n)
{
#ifdef __linux__
    uint64_t from = off / FLUSH * FLUSH;
    if ((off + n) / FLUSH != off / FLUSH)
        (void)sync_file_range(sc_ranges_fd(f->ranges), (off_t)from, (off_t)FLUSH,
                              SYNC_FILE_RANGE_WRITE);
#else
    (void)f, (void)off, (void)n;
#endif
}

static bool write_piece(struct file *f, const uint8_t *p, uint64_t off, size_t n)
{
    bool ok = sc_ranges_write(f->ranges, off, p, n) &&
              sc_ranges_record(f->ranges, off, n, libdeflate_crc32(0, p, n));
    if (ok)
        start_disk(f, off, n);
    return ok;
}

static void *write_pieces(void *arg)
{
    struct file *f = arg;

    pthread_mutex_lock(&f->lock);
    for (;;) {
        while (f->written == f->filled && !f->quit)
            pthread_cond_wait(&f->moved, &f->lock);
        if (f->written == f->filled)
            break;
        size_t i = (size_t)(f->written % PIECES);
        bool ok = f->failed;
        pthread_mutex_unlock(&f->lock);
        if (!ok) /* after a failure nothing more is tried */
            ok = write_piece(f, f->memory + i * PIECE, f->piece[i].off, f->piece[i].n);
        int error = ok ? 0 : sc_ranges_error(f->ranges);
        pthread_mutex_lock(&f->lock);
        if (!ok) {
            f->failed = true;
            f->disk_error = error;
        }
        f->written++;
        pthread_cond_broadcast(&f->moved);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---------------------------------------------------------------------------- hashing --- */
/* Hashes what comes, until the request is over and all of it is hashed and written. */
static void hash_pieces(struct file *f, struct sc_http_request *q, bool *cleared)
{
    pthread_mutex_lock(&f->lock);
    while (!f->over || f->hashed < f->filled || f->written < f->filled) {
        if (f->hashed < f->filled) {
            size_t i = (size_t)(f->hashed % PIECES);
            pthread_mutex_unlock(&f->lock);
            sc_sha_add(f->sha, f->memory + i * PIECE, f->piece[i].n);
            pthread_mutex_lock(&f->lock);
            f->hashed++;
            pthread_cond_broadcast(&f->moved);
            continue;
        }
        sc_fetch_wait(&f->moved, &f->lock, 100);
        pthread_mutex_unlock(&f->lock);
        if (sc_fetch_stopped(f->job) && !*cleared) { /* the request may be waiting for an answer */
            sc_http_request_clear(f->http, q);
            *cleared = true;
            received(f, q);
        }
        pthread_mutex_lock(&f->lock);
    }
    pthread_mutex_unlock(&f->lock);
}

static int disk_failure(struct file *f, struct sc_error *e)
{
    int error = f->disk_error;
    uint64_t have = sc_ranges_have(f->ranges, 0, f->what->bytes);

    return sc_fetch_disk_error(f->job->env, sc_ranges_path(f->ranges), error, f->what->bytes - have,
                               e);
}

/* ------------------------------------------------------------------------------- gaps --- */
/* A signed address serves the next gap, too. */
static void keep_address(struct file *f, const struct sc_http_request *q)
{
    free(f->signed_url);
    f->signed_url = NULL;
    if (!q->reply.url || !q->reply.expires || sc_http_same_origin(q->reply.url, f->url.p))
        return;
    f->signed_url = sc_alloc(strlen(q->reply.url) + 1);
    if (f->signed_url)
        memcpy(f->signed_url, q->reply.url, strlen(q->reply.url) + 1);
    memcpy(f->body_etag, q->reply.etag, sizeof f->body_etag);
}

static void forget_address(struct file *f)
{
    free(f->signed_url);
    f->signed_url = NULL;
}

/* One request for f->pos .. end. 0: all of it came; 1: ask again, the signature ended. */
static int ask_once(struct file *f, uint64_t end, struct sc_error *e)
{
    struct sc_buf body = {.max = 4096};
    const struct sc_hub_file *w = f->what;
    struct sc_http_request q = {
        .url = f->signed_url ? f->signed_url : f->url.p,
        .with_token = !f->signed_url,
        .ranged = f->pos > 0 || end < w->bytes,
        .offset = f->pos,
        .length = end - f->pos,
        .sink = receive,
        .sink_ctx = f,
        .error_body = &body,
        .expect_total = w->bytes,
        .expect_etag = f->signed_url ? NULL : w->etag,
        .expect_body_etag = f->signed_url && *f->body_etag ? f->body_etag : NULL,
        .expect_commit = f->signed_url ? NULL : f->job->listing->commit,
    };
    bool was_signed = f->signed_url, cleared = false;
    f->over = false;
    int code = sc_http_submit(f->http, &q, received, f, e);
    if (code < 0)
        return code;
    hash_pieces(f, &q, &cleared);
    code = sc_fetch_stopped(f->job);
    if (code < 0) {
        sc_fail(e, code, "stopped");
    } else if (f->failed) {
        code = disk_failure(f, e);
    } else if ((code = sc_http_wait(f->http, &q, e)) >= 0) {
        if (q.reply.status >= 200 && q.reply.status < 300) {
            if (!was_signed)
                keep_address(f, &q);
        } else if (was_signed || sc_fetch_expired(&q, f->url.p)) {
            forget_address(f);
            code = 1;
        } else {
            code = sc_fetch_explain(f->job, &q.reply, &body, w, e);
        }
        if (code == 1 && !was_signed) /* the words, should it be the last time */
            (void)sc_http_fail_status(&q.reply, w->path, e);
    }
    if (!cleared)
        sc_http_request_clear(f->http, &q);
    sc_buf_clear(&body);
    return code;
}

/* Fills f->pos .. end; f->pos is where the hash stands. */
static int fill_gap(struct file *f, uint64_t end, struct sc_error *e)
{
    uint64_t last = f->pos;

    for (int tries = 0; f->pos < end;) {
        int code = ask_once(f, end, e);
        if (code < 0)
            return code;
        tries = f->pos > last ? 0 : tries + 1; /* what arrived starts the count anew */
        last = f->pos;
        if (tries >= RESOLVES) {
            struct sc_quoted q;
            if (!e || !e->code)
                sc_fail(e, SCRUPLE_ENETWORK, "%s: the server sends nothing of it",
                        sc_quote(&q, sc_strz(f->what->path)));
            return e ? e->code : SCRUPLE_ENETWORK;
        }
    }
    return 0;
}

/* Bytes that are kept from f->pos on, hashed. Their checksum is verified by the loading. */
static int hash_kept(struct file *f)
{
    int code = 0;

    while (f->pos < f->what->bytes && (code = sc_fetch_stopped(f->job)) == 0) {
        size_t n = (size_t)SC_MIN(f->what->bytes - f->pos, PIECE);
        n = sc_ranges_load(f->ranges, f->pos, f->memory, n);
        if (!n)
            break;
        sc_sha_add(f->sha, f->memory, n);
        f->pos += n;
        sc_fetch_count(f->job, f->task, SC_MAX(f->task->counted, f->pos));
    }
    return code;
}

/* All bytes, in the order of the file. *hex: the hash of what is there now. */
static int receive_file(struct file *f, enum sc_sha_kind kind, char hex[65], struct sc_error *e)
{
    const uint64_t size = f->what->bytes;

    TRY(sc_sha_new(kind, size, &f->sha, e));
    f->pos = 0;
    while (f->pos < size) {
        uint64_t off, len;
        int code = hash_kept(f);
        if (code < 0)
            return sc_fail(e, code, "stopped");
        if (f->pos >= size)
            break;
        if (!sc_ranges_gap(f->ranges, f->pos, size, &off, &len) || off != f->pos)
            len = SC_MIN(size - f->pos, PIECE); /* kept, but damaged */
        TRY(fill_gap(f, f->pos + len, e));
    }
    sc_sha_end(f->sha, hex);
    f->sha = NULL;
    return 0;
}

/* --------------------------------------------------------------------------- one file --- */
static int open_ranges(struct file *f, struct sc_error *e)
{
    const char *folder = f->job->env->cache;

    errno = 0;
    f->ranges = sc_ranges_open(f->job->env, f->what->etag, f->what->bytes, true);
    if (f->ranges) {
        struct sc_buf name = {0};
        sc_hub_put_id(&name, f->job->listing->type, f->job->listing->id);
        sc_buf_printf(&name, "/%s", f->what->path);
        if (!name.failed)
            sc_ranges_name(f->ranges, name.p);
        sc_buf_clear(&name);
        if (sc_ranges_gather(f->ranges))
            return 0;
        errno = sc_ranges_error(f->ranges);
    }
    return sc_fetch_disk_error(f->job->env, folder ? folder : "the cache", errno, f->what->bytes,
                               e);
}

/* As if nothing of it had come. */
static void forget_all(struct file *f)
{
    sc_ranges_close(f->ranges);
    f->ranges = NULL;
    sc_sha_free(f->sha);
    f->sha = NULL;
    f->failed = false;
    f->disk_error = 0;
    sc_fetch_count(f->job, f->task, 0);
}

/* What we hashed came from the network; when a process that only looks at the file has put its part
 * over it meanwhile, what counts is on the disk. */
static int hash_again(struct file *f, enum sc_sha_kind kind, char hex[65], struct sc_error *e)
{
    TRY(sc_sha_new(kind, f->what->bytes, &f->sha, e));
    f->pos = 0;
    int code = hash_kept(f);
    if (code < 0)
        return sc_fail(e, code, "stopped");
    sc_sha_end(f->sha, hex);
    f->sha = NULL;
    return 0;
}

/* Received twice at most, when the checksum is wrong; f->ranges is NULL when it stays wrong. */
static int receive_right(struct file *f, char hex[65], struct sc_error *e)
{
    enum sc_sha_kind kind = SC_SHA256;

    (void)sc_sha_kind_of(f->what->etag, &kind);
    for (int tries = 0; tries < 2; tries++) {
        TRY(open_ranges(f, e));
        TRY(receive_file(f, kind, hex, e));
        if (!strcmp(hex, f->what->etag) && sc_ranges_touched(f->ranges))
            TRY(hash_again(f, kind, hex, e));
        if (!strcmp(hex, f->what->etag))
            return 0;
        sc_ranges_remove(f->ranges);
        forget_all(f);
        forget_address(f);
    }
    return 0;
}

static int receive_and_place(struct file *f, struct sc_error *e)
{
    char hex[65] = "";
    struct sc_buf data = {0};
    int code = receive_right(f, hex, e);

    if (code < 0)
        return code;
    if (!f->ranges)
        return sc_fetch_mismatch(f->what, hex, e);
    if (sc_ranges_gone(f->ranges)) /* what has its name now was not hashed by us */
        return sc_fail(e, SCRUPLE_EWRITE, "%s: was removed while it was written",
                       sc_ranges_path(f->ranges));
    sc_buf_printf(&data, "%s.data", sc_ranges_path(f->ranges));
    code = data.failed ? sc_fail_memory(e) : sc_fetch_place_file(f->job, f->what, data.p, e);
    sc_buf_clear(&data);
    if (code == 0)
        sc_ranges_remove(f->ranges);
    return code;
}

/* The parts of a file belong to everybody: they may be removed, or another process that fetches the
 * same content for another repository was quicker and has moved them into its place. */
static int receive_in_spite(struct file *f, struct sc_error *e)
{
    for (int i = 0;; i++) {
        bool there = false;
        int code = receive_and_place(f, e);
        if (code >= 0 || !sc_ranges_gone(f->ranges) || i == RESTARTS || sc_fetch_stopped(f->job))
            return code;
        forget_all(f);
        TRY(sc_fetch_from_blob(f->job, f->what, &there, e));
        if (there)
            return 0;
    }
}

static int with_writer(struct file *f, struct sc_error *e)
{
    pthread_t writer;

    TRY(sc_fetch_http(f->job, &f->http, e));
    if (pthread_create(&writer, NULL, write_pieces, f) != 0)
        return sc_fail(e, SCRUPLE_EMEMORY, "no thread could be started: %s", strerror(EAGAIN));
    int code = receive_in_spite(f, e);
    pthread_mutex_lock(&f->lock);
    f->quit = true;
    pthread_cond_broadcast(&f->moved);
    pthread_mutex_unlock(&f->lock);
    (void)pthread_join(writer, NULL);
    return code;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): what comes is written there */
static int fetch_file(struct sc_fetch_job *j, struct sc_fetch_task *t, uint8_t *memory,
                      struct sc_error *e)
{
    struct file f = {.job = j, .task = t, .what = t->item->file, .memory = memory};
    bool there = false;

    TRY(sc_fetch_from_blob(j, f.what, &there, e));
    if (there)
        return 0;
    sc_hub_file_url(&f.url, j->hub, j->listing, f.what->path);
    if (f.url.failed || pthread_mutex_init(&f.lock, NULL) != 0) {
        sc_buf_clear(&f.url);
        return sc_fail_memory(e);
    }
    int code = sc_fetch_cond(&f.moved) < 0 ? sc_fail_memory(e) : 0;
    if (code == 0) {
        code = with_writer(&f, e);
        pthread_cond_destroy(&f.moved);
    }
    pthread_mutex_destroy(&f.lock);
    sc_ranges_close(f.ranges);
    sc_sha_free(f.sha);
    forget_address(&f);
    sc_buf_clear(&f.url);
    return code;
}

void *sc_fetch_files(void *job)
{
    struct sc_fetch_job *j = job;
    struct sc_fetch_task *t = NULL;
    struct sc_error e = {0};
    uint8_t *memory = sc_alloc(PIECES * PIECE);
    int lock = -1;

    if (!memory) {
        sc_fail_memory(&e);
        (void)sc_fetch_fail(j, &e);
    }
    while (memory && sc_fetch_claim(j, SC_FETCH_FILES, true, &t, &lock) == SC_CLAIM_GOT) {
        int code = fetch_file(j, t, memory, &e);
        sc_fetch_release(j, t, lock, code, &e);
    }
    free(memory);
    return NULL;
}
