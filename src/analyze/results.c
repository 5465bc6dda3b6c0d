/* SPDX-License-Identifier: Apache-2.0 */
/* results: the store of figures, a SQLite file.
 *
 *     results.db   results(key BLOB PRIMARY KEY, crc INTEGER, value BLOB), in WAL mode where the
 *                  file system can do that, else with a rollback journal
 *     results.db.broken   what SQLite could not read, moved aside (one; the last)
 *
 * The database only ever costs time: each value carries a CRC-32 over key and value, so what a bit
 * flip, a bug or another program left there is not used. Opened on first need. With an unusable
 * file every get misses and every put is dropped; `off` says so, and a note was given once.
 */
#include <errno.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyze/results.h"
#include "base/sqlite.h"
#include "hub/cache.h"

enum {
    BATCH = 64,         /* values that wait at most */
    WAIT_MS = 1000,     /* and how long */
    BUSY_MS = 5000,     /* for other processes that write */
    LAYOUT = 1,         /* user_version: of the table */
    NUMBER = 0x73637275 /* application_id: "scru" */
};
/* A whole batch may wait for a locked database once more; what comes then is dropped. */
#define WAITING_MAX ((size_t)8 * BATCH)

struct waiting {
    char *bytes; /* key, then value */
    size_t n_key, n_value;
};
struct sc_results {
    char *folder, *path;
    void (*note)(void *ctx, const char *sentence);
    void *note_ctx;
    pthread_mutex_t lock; /* of all below */
    const struct sc_sqlite *lib;
    sqlite3 *db;
    sqlite3_stmt *get, *put;
    struct waiting wait[WAITING_MAX];
    size_t n_wait;
    uint64_t since; /* when the first of them came */
    ino_t inode;    /* of the file that is open */
    bool tried, off, read_only, told, moved;
};

/* ----------------------------------------------------------------------------------- small --- */
static void tell(struct sc_results *r, const char *fmt, ...) SC_PRINTF(2, 3);
static void tell(struct sc_results *r, const char *fmt, ...)
{
    va_list ap;

    if (r->told)
        return;
    r->told = true;
    va_start(ap, fmt);
    sc_note_v(r->note, r->note_ctx, fmt, ap);
    va_end(ap);
}

static char *join(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    char *p = sc_alloc(n + m + 1);

    if (p) {
        memcpy(p, a, n);
        memcpy(p + n, b, m + 1);
    }
    return p;
}

static uint32_t checksum(struct sc_str key, const void *value, size_t n)
{
    return libdeflate_crc32(libdeflate_crc32(0, key.p, key.n), value, n);
}

static bool is_broken(int code)
{
    code &= 0xff;
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

static void close_database(struct sc_results *r)
{
    if (!r->lib)
        return;
    if (r->get)
        r->lib->finalize(r->get);
    if (r->put)
        r->lib->finalize(r->put);
    if (r->db)
        r->lib->close_v2(r->db);
    r->get = r->put = NULL;
    r->db = NULL;
}

/* --------------------------------------------------------------------------------- opening --- */
static int read_number(const struct sc_sqlite *lib, sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *s = NULL;
    int code = lib->prepare_v2(db, sql, -1, &s, NULL);

    *out = 0;
    if (code == SQLITE_OK && (code = lib->step(s)) == SQLITE_ROW) {
        *out = lib->column_int64(s, 0);
        code = SQLITE_OK;
    }
    if (s)
        lib->finalize(s);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* The table of an empty database. SQLITE_MISMATCH: a database of somebody else, or of a version
 * after ours; it is left alone. */
static int prepare_table(struct sc_results *r)
{
    static const char create[] =
        "BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS results"
        "(key BLOB PRIMARY KEY, crc INTEGER NOT NULL, value BLOB NOT NULL);"
        "PRAGMA application_id=1935897205;"
        "PRAGMA user_version=1;"
        "COMMIT";
    int64_t tables = 0, number = 0, layout = 0;

    int code = read_number(r->lib, r->db, "SELECT count(*) FROM sqlite_master", &tables);
    if (code == SQLITE_OK)
        code = read_number(r->lib, r->db, "PRAGMA application_id", &number);
    if (code == SQLITE_OK)
        code = read_number(r->lib, r->db, "PRAGMA user_version", &layout);
    if (code != SQLITE_OK)
        return code;
    if (tables && (number != NUMBER || layout != LAYOUT))
        return SQLITE_MISMATCH;
    if (!tables && r->read_only)
        return SQLITE_CANTOPEN;
    if (!tables && (code = r->lib->exec(r->db, create, NULL, NULL, NULL)) != SQLITE_OK)
        (void)r->lib->exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

static int open_with(struct sc_results *r, const char *name, int flags)
{
    int code = r->lib->open_v2(name, &r->db, flags | SQLITE_OPEN_NOMUTEX, NULL);

    r->read_only = flags & SQLITE_OPEN_READONLY;
    if (code == SQLITE_OK) {
        r->lib->busy_timeout(r->db, BUSY_MS);
        /* Where WAL cannot be (no shared memory on that file system), SQLite stays with its
         * journal. */
        if (!r->read_only)
            code = r->lib->exec(r->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL", NULL,
                                NULL, NULL);
        if (code != SQLITE_OK && !is_broken(code))
            code = r->lib->exec(r->db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    }
    if (code == SQLITE_OK)
        code = prepare_table(r);
    if (code == SQLITE_OK)
        code = r->lib->prepare_v2(r->db, "SELECT crc, value FROM results WHERE key = ?1", -1,
                                  &r->get, NULL);
    if (code == SQLITE_OK && !r->read_only)
        code = r->lib->prepare_v2(
            r->db, "INSERT OR REPLACE INTO results(key, crc, value) VALUES(?1, ?2, ?3)", -1,
            &r->put, NULL);
    if (code != SQLITE_OK)
        close_database(r);
    return code;
}

/* "file:/path?immutable=1", for a file in a folder where nothing can be written. */
static char *immutable_name(const char *path)
{
    static const char hex[] = "0123456789ABCDEF";
    struct sc_buf b = {0};

    sc_buf_puts(&b, "file:");
    for (const char *p = path; *p; p++) {
        unsigned char c = (unsigned char)*p;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("/._-", c);
        if (plain)
            sc_buf_putc(&b, (char)c);
        else
            sc_buf_put(&b, (const char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
    sc_buf_puts(&b, "?immutable=1");
    char *name = b.failed ? NULL : sc_str_copy(sc_str(b.p, b.n));
    sc_buf_clear(&b);
    return name;
}

static int open_file(struct sc_results *r)
{
    struct stat st;
    int code = open_with(r, r->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    int primary = code & 0xff;

    if (primary == SQLITE_CANTOPEN || primary == SQLITE_READONLY || primary == SQLITE_PERM ||
        primary == SQLITE_IOERR || primary == SQLITE_FULL) {
        int again = open_with(r, r->path, SQLITE_OPEN_READONLY);
        if (again != SQLITE_OK && stat(r->path, &st) == 0) {
            char *name = immutable_name(r->path);
            if (name)
                again = open_with(r, name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
            free(name);
        }
        code = again == SQLITE_OK ? again : code;
    }
    r->inode = stat(r->path, &st) == 0 ? st.st_ino : 0;
    return code;
}

static void remove_beside(const char *path, const char *suffix)
{
    char *name = join(path, suffix);

    if (name)
        (void)unlink(name);
    free(name);
}

/* Out of the way, unless somebody else has done that since we opened it. Once a process: a disk
 * that breaks one file after the other is not worth more. */
static bool move_aside(struct sc_results *r)
{
    struct stat st;

    if (r->moved || r->read_only)
        return false;
    r->moved = true;
    char *lock_name = join(r->path, ".lock"), *aside = join(r->path, ".broken");
    int lock = lock_name ? sc_lock_file(lock_name, BUSY_MS, NULL) : -1;
    bool ok = lock >= 0 && aside && stat(r->path, &st) == 0;
    if (ok && st.st_ino == r->inode) {
        ok = rename(r->path, aside) == 0;
        remove_beside(r->path, "-wal");
        remove_beside(r->path, "-shm");
        remove_beside(r->path, "-journal");
        if (ok)
            tell(r, "the store of results was damaged; it is now %s and a new one was begun",
                 aside);
    }
    if (lock >= 0)
        close(lock);
    free(lock_name);
    free(aside);
    return ok;
}

/* Whether there is a database to ask. */
static bool ready(struct sc_results *r)
{
    struct sc_error e = {0};

    if (r->db || r->off)
        return r->db;
    if (r->tried)
        return false;
    r->tried = true;
    r->lib = sc_sqlite(&e);
    if (!r->lib) {
        tell(r, "results are not kept: %s", e.text);
        r->off = true;
        return false;
    }
    (void)sc_make_cache(r->folder);
    int code = open_file(r);
    if (is_broken(code) && move_aside(r))
        code = open_file(r);
    if (code == SQLITE_OK)
        return true;
    r->off = true;
    if (code == SQLITE_MISMATCH)
        tell(r, "results are not kept: %s belongs to another program or version", r->path);
    else
        tell(r, "results are not kept: %s: %s", r->path, r->lib->errstr(code));
    return false;
}

/* After a failure in the middle: a broken file is replaced, everything else ends the store. */
static void give_up(struct sc_results *r, int code)
{
    /* Words first: the connection owns them. */
    const char *why = r->lib->errstr(code);

    close_database(r);
    if (is_broken(code) && move_aside(r) && open_file(r) == SQLITE_OK)
        return;
    r->off = true;
    tell(r, "results are not kept any more: %s: %s", r->path, why);
}

/* --------------------------------------------------------------------------------- writing --- */
static void drop_waiting(struct sc_results *r)
{
    for (size_t i = 0; i < r->n_wait; i++)
        free(r->wait[i].bytes);
    r->n_wait = 0;
}

static int write_one(struct sc_results *r, const struct waiting *w)
{
    const struct sc_sqlite *l = r->lib;
    struct sc_str key = sc_str(w->bytes, w->n_key);
    const char *value = w->bytes + w->n_key;

    l->reset(r->put);
    int code = l->bind_blob(r->put, 1, key.p, (int)key.n, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = l->bind_int64(r->put, 2, checksum(key, value, w->n_value));
    if (code == SQLITE_OK)
        code = l->bind_blob(r->put, 3, value, (int)w->n_value, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = l->step(r->put);
    l->reset(r->put);
    l->clear_bindings(r->put);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static void flush(struct sc_results *r)
{
    if (!r->n_wait)
        return;
    if (!ready(r) || !r->lib || r->read_only) {
        if (r->read_only)
            tell(r, "results are not kept: %s cannot be written", r->path);
        drop_waiting(r);
        return;
    }
    int code = r->lib->exec(r->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (size_t i = 0; i < r->n_wait && code == SQLITE_OK; i++)
        code = write_one(r, &r->wait[i]);
    if (code == SQLITE_OK)
        code = r->lib->exec(r->db, "COMMIT", NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        drop_waiting(r);
        return;
    }
    (void)r->lib->exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    r->since = sc_milliseconds();
    if ((code & 0xff) == SQLITE_BUSY && r->n_wait < WAITING_MAX)
        return; /* the next batch takes them along */
    if ((code & 0xff) != SQLITE_BUSY)
        give_up(r, code);
    if (!r->db || r->n_wait == WAITING_MAX)
        drop_waiting(r);
}

void sc_results_put(struct sc_results *r, struct sc_str key, const void *blob, size_t n)
{
    if (!r || key.n > INT32_MAX / 2 || n > INT32_MAX / 2)
        return;
    pthread_mutex_lock(&r->lock);
    char *bytes = r->off || r->n_wait == WAITING_MAX ? NULL : sc_alloc(key.n + n);
    if (bytes) {
        memcpy(bytes, key.p, key.n);
        memcpy(bytes + key.n, blob, n);
        if (!r->n_wait)
            r->since = sc_milliseconds();
        r->wait[r->n_wait++] = (struct waiting){bytes, key.n, n};
        if (r->n_wait % BATCH == 0 || sc_milliseconds() - r->since >= WAIT_MS)
            flush(r);
    }
    pthread_mutex_unlock(&r->lock);
}

/* --------------------------------------------------------------------------------- reading --- */
static bool is_waiting(const struct sc_results *r, struct sc_str key, void *dst, size_t n)
{
    for (size_t i = r->n_wait; i-- > 0;) {
        const struct waiting *w = &r->wait[i];
        if (!sc_str_eq(sc_str(w->bytes, w->n_key), key))
            continue;
        if (w->n_value == n)
            memcpy(dst, w->bytes + w->n_key, n);
        return w->n_value == n;
    }
    return false;
}

bool sc_results_get(struct sc_results *r, struct sc_str key, void *dst, size_t n)
{
    bool found = false;

    if (!r || key.n > INT32_MAX / 2)
        return false;
    pthread_mutex_lock(&r->lock);
    if (is_waiting(r, key, dst, n)) {
        found = true;
    } else if (ready(r)) {
        const struct sc_sqlite *l = r->lib;
        int code = l->bind_blob(r->get, 1, key.p, (int)key.n, SQLITE_STATIC);
        if (code == SQLITE_OK)
            code = l->step(r->get);
        if (code == SQLITE_ROW) {
            const void *value = l->column_blob(r->get, 1);
            found = value && (size_t)l->column_bytes(r->get, 1) == n &&
                    l->column_int64(r->get, 0) == (int64_t)checksum(key, value, n);
            if (found)
                memcpy(dst, value, n);
        }
        l->reset(r->get);
        l->clear_bindings(r->get);
        if (code != SQLITE_ROW && code != SQLITE_DONE && (code & 0xff) != SQLITE_BUSY)
            give_up(r, code);
    }
    pthread_mutex_unlock(&r->lock);
    return found;
}

/* --------------------------------------------------------------------------- start and end --- */
struct sc_results *sc_results_open(const char *cache, void (*note)(void *ctx, const char *sentence),
                                   void *note_ctx)
{
    struct sc_results *r = sc_calloc(1, sizeof *r);

    if (!r)
        return NULL;
    *r = (struct sc_results){.note = note, .note_ctx = note_ctx};
    r->folder = sc_str_copy(sc_strz(cache));
    r->path = join(cache, "/results.db");
    if (!r->folder || !r->path || pthread_mutex_init(&r->lock, NULL) != 0) {
        free(r->folder);
        free(r->path);
        free(r);
        return NULL;
    }
    return r;
}

void sc_results_close(struct sc_results *r)
{
    if (!r)
        return;
    flush(r);
    drop_waiting(r);
    close_database(r);
    pthread_mutex_destroy(&r->lock);
    free(r->folder);
    free(r->path);
    free(r);
}

/* ---------------------------------------------------------------------------- housekeeping --- */
static uint64_t size_of(const char *path, const char *suffix)
{
    struct stat st;
    char *name = join(path, suffix);
    uint64_t n = name && stat(name, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;

    free(name);
    return n;
}

static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", ".broken", ".lock"};

int sc_results_size(const char *cache, uint64_t *entries, uint64_t *bytes, struct sc_error *e)
{
    struct sc_results *r = sc_results_open(cache, NULL, NULL);
    struct stat st;
    int64_t n = 0;

    *entries = *bytes = 0;
    if (!r)
        return sc_fail_memory(e);
    for (size_t i = 0; i < SC_COUNT(suffixes); i++)
        *bytes = sc_add_up(*bytes, size_of(r->path, suffixes[i]));
    /* Looking must not make a store, nor move a broken one aside. */
    r->moved = true;
    if (stat(r->path, &st) == 0 && ready(r))
        (void)read_number(r->lib, r->db, "SELECT count(*) FROM results", &n);
    *entries = (uint64_t)n;
    sc_results_close(r);
    return 0;
}

uint64_t sc_results_used(const char *cache)
{
    struct stat st;
    char *path = join(cache, "/results.db");
    uint64_t used = path && stat(path, &st) == 0 ? (uint64_t)st.st_mtime : 0;

    free(path);
    return used;
}

/* True when no other process has the database open: only then SQLite leaves WAL mode. A file may
 * be unlinked then; below a process that goes on writing, it may not. */
static bool is_ours_alone(struct sc_results *r)
{
    r->moved = true;
    if (!ready(r))
        return true; /* broken, or nothing that SQLite can use */
    if (r->read_only)
        return false;
    r->lib->busy_timeout(r->db, 0);
    bool alone = r->lib->exec(r->db, "PRAGMA journal_mode=DELETE; BEGIN EXCLUSIVE; COMMIT", NULL,
                              NULL, NULL) == SQLITE_OK;
    r->lib->busy_timeout(r->db, BUSY_MS);
    if (!alone) { /* empty it, so that the others may go on */
        (void)r->lib->exec(r->db, "DELETE FROM results", NULL, NULL, NULL);
        (void)r->lib->exec(r->db, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
    }
    return alone;
}

int sc_results_remove(const char *cache, struct sc_error *e)
{
    struct sc_results *r = sc_results_open(cache, NULL, NULL);
    struct sc_quoted q;
    struct stat st;
    int code = 0;

    if (!r)
        return sc_fail_memory(e);
    bool alone = stat(r->path, &st) != 0 || is_ours_alone(r);
    if (r->lib)
        close_database(r);
    for (size_t i = 0; i < SC_COUNT(suffixes) && !code; i++) {
        char *name = alone || i > 3 ? join(r->path, suffixes[i]) : NULL;
        if (name && unlink(name) != 0 && errno != ENOENT)
            code = sc_fail(e, SCRUPLE_EWRITE, "%s cannot be removed: %s",
                           sc_quote(&q, sc_strz(name)), strerror(errno));
        free(name);
    }
    sc_results_close(r);
    return code;
}
