/* SPDX-License-Identifier: Apache-2.0 */
/* source: bytes at an offset, wherever they live.
 *
 * Owns: the `sc_source` interface (file, memory, standard input, HTTP), the layers that stack on
 * one (counting, fault injection), the sequential reader that parsers use, and `sc_repo`, the named
 * set of files that makes up a model folder or a Hub repository. HTTP itself is http.h, a file
 * behind a URL remote.h.
 *
 * Does not own: what the bytes mean (format).
 *
 * Threads: read_at may be called from many threads at once. Opening and closing belong to one.
 */
#ifndef SC_SOURCE_H
#define SC_SOURCE_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/base.h"

struct sc_source;

struct sc_span {
    uint64_t off, len;
};

/* A stretch of a file in memory for a while. */
struct sc_window {
    const uint8_t *bytes; /* NULL: there is none */
    void *mapped;
    size_t n_mapped;
    int guard;
};

struct sc_source_ops {
    const char *scheme; /* "file", "memory", "stdin", "remote", "count", "fault" */
    /* Read exactly len bytes at off; the caller has checked that they lie inside `size`. */
    int (*read_at)(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e);
    /* Optional: the bytes in memory, or NULL when they cannot be mapped. Valid until close. After
     * using them call sc_source_check(): a mapped file that shrank reads as zeros, not SIGBUS. */
    const uint8_t *(*map)(struct sc_source *s, uint64_t off, size_t len);
    /* Optional: see sc_source_open_window(). */
    void (*open_window)(struct sc_source *s, struct sc_span span, struct sc_window *out);
    int (*close_window)(struct sc_source *s, struct sc_window *w, struct sc_error *e);
    /* Optional: has the object changed underneath (shrunk, replaced)? */
    int (*check)(struct sc_source *s, struct sc_error *e);
    /* Optional: these bytes will be read soon. Returns at once; a failure shows when they are. */
    void (*prefetch)(struct sc_source *s, const struct sc_span *spans, size_t n);
    /* Optional: would a read of the span return without waiting for others? NULL: yes. */
    bool (*has)(struct sc_source *s, struct sc_span span);
    /* Optional: what was read is not what it should be, so it must not be kept for the next time.
     */
    void (*reject)(struct sc_source *s);
    /* Optional: the same for a long stretch that is read to its end; NULL: prefetch. */
    void (*read_ahead)(struct sc_source *s, struct sc_span span);
    /* Optional: the span will not be read again. */
    void (*drop)(struct sc_source *s, struct sc_span span);
    /* Optional: bytes that change when the content may have; see sc_source_identity(). */
    bool (*identity)(struct sc_source *s, struct sc_buf *out);
    /* Optional: release what is private; sc_source_close() then frees name and object. */
    void (*close)(struct sc_source *s);
};

struct sc_source {
    const struct sc_source_ops *ops;
    char *name;    /* path or URL for messages; owned */
    uint64_t size; /* bytes */
    bool remote;   /* every read may be a round trip: read neighbours together, nothing for fun */
    bool resident; /* all of it is in memory: mapping costs nothing, and never fails */
};

/* All of off..off+len or an error that names file, position and size. */
int sc_source_read(struct sc_source *s, uint64_t off, void *dst, size_t len, struct sc_error *e);
/* NULL when this source cannot map (network file systems, sockets, faults): read instead. */
const uint8_t *sc_source_map(struct sc_source *s, uint64_t off, size_t len);
int sc_source_check(struct sc_source *s, struct sc_error *e);
/* Before threads of ours are started: signals go to those that the host made, but for what a
 * thread's own instruction raises. Blocked, that would end the process, and SIGBUS is how a mapped
 * file tells that it shrank. *before: the mask to go back to. */
void sc_signals_block(sigset_t *before);
/* Starts a thread of ours with that mask; attr may be NULL. As pthread_create(). */
int sc_thread_start(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *ctx);
/* Maps off..off+len until the window is closed, so that neither pages nor page tables of a long
 * file pile up. False: read instead. Its bytes may change when the file does; what the file no
 * longer has reads as zeros, which closing reports: SCRUPLE_EIO. Costs some microseconds, beside
 * what each page costs. Close it before the source. */
bool sc_source_open_window(struct sc_source *s, uint64_t off, size_t len, struct sc_window *out);
int sc_source_close_window(struct sc_source *s, struct sc_window *w, struct sc_error *e);
/* Appends what names the content of this source: device, inode, size and times of change of a file,
 * the etag of a remote one. false: nothing does (memory, a pipe). */
bool sc_source_identity(struct sc_source *s, struct sc_buf *out);
/* A hint: the spans (any order, may overlap, must lie inside the source) will be read soon. Remote
 * sources merge neighbours and fetch all of them at once; others do nothing. */
void sc_source_prefetch(struct sc_source *s, const struct sc_span *spans, size_t n);
/* Would reading the span (inside the source) return without waiting for a network? */
bool sc_source_has(struct sc_source *s, struct sc_span span);
/* A hint: all of the span will be read soon. Local files, too, are read from the disk meanwhile. */
void sc_source_read_ahead(struct sc_source *s, struct sc_span span);
/* A hint: nobody here reads the span again; the system need not keep it in memory. */
void sc_source_drop(struct sc_source *s, struct sc_span span);
/* As sc_source_prefetch() for the first n bytes, as far as the source has them and up to 32 MiB:
 * beyond that, reading on finds its own pace. */
void sc_source_prefetch_head(struct sc_source *s, uint64_t n);
/* What was read makes no sense. Only a server's word binds bytes to a file; a source that keeps
 * them between runs forgets them, so that the next run asks again. */
void sc_source_reject(struct sc_source *s);
void sc_source_close(struct sc_source *s); /* NULL is allowed */

/* Regular files only: FIFOs, devices and folders are refused by name. Maps on local file systems
 * unless no_map. */
struct sc_file_options {
    bool no_map;
    bool temporary; /* nobody else's, and gone with its descriptor: it has no identity */
};
int sc_file_open(const char *path, const struct sc_file_options *o, struct sc_source **out,
                 struct sc_error *e);
/* The same for an open descriptor, which the source then owns; it is closed on failure too. */
int sc_file_open_fd(int fd, const char *name, const struct sc_file_options *o,
                    struct sc_source **out, struct sc_error *e);
/* Borrows the bytes; they must outlive the source. */
int sc_memory_open(const void *p, size_t n, const char *name, struct sc_source **out,
                   struct sc_error *e);
/* Standard input: a redirected file is read in place; a pipe is kept in memory up to 64 MiB and
 * beyond that in an unlinked file under $TMPDIR. */
int sc_stdin_open(struct sc_source **out, struct sc_error *e);
/* Anything that a descriptor (borrowed) gives until its end, kept in the same way. SCRUPLE_ELIMIT:
 * more than `most` bytes; SCRUPLE_EINTERRUPTED: *cancel. */
int sc_pipe_open(int fd, const char *name, uint64_t most, const _Atomic int *cancel,
                 struct sc_source **out, struct sc_error *e);

/* Bytes that come one after the other, in memory up to 64 MiB and beyond that in an unlinked file
 * under $TMPDIR; at last a source. Not to be shared by threads.
 *
 *     sc_spool_start(&sp, name, "");
 *     while (...) { sc_spool_room(&sp, &at, &room, e); n = get(at, room); sc_spool_take(&sp, n); }
 *     sc_spool_finish(&sp, &source, e);
 *     sc_spool_drop(&sp);                                in any case */
#define SC_SPOOL_STEP (1 << 20) /* the most room that is offered at once */
struct sc_spool {
    const char *name;   /* borrowed: of the source */
    const char *advice; /* borrowed: what else helps against a full disk; "" */
    uint8_t *p;         /* what has come, or with a file: what it does not have yet */
    size_t n, cap;
    int fd;         /* the file, or -1 */
    uint64_t filed; /* bytes in the file */
};
void sc_spool_start(struct sc_spool *sp, const char *name, const char *advice);
/* Where the next bytes may go: at least one. */
int sc_spool_room(struct sc_spool *sp, uint8_t **at, size_t *room, struct sc_error *e);
void sc_spool_take(struct sc_spool *sp, size_t n); /* so many are there now */
int sc_spool_finish(struct sc_spool *sp, struct sc_source **out, struct sc_error *e);
void sc_spool_drop(struct sc_spool *sp);
/* A copy of len bytes at `off`, in a spool. */
int sc_source_spool(struct sc_source *s, uint64_t off, uint64_t len, const _Atomic int *cancel,
                    struct sc_source **out, struct sc_error *e);

/* What went through a source. One may be shared by all files of a model. */
struct sc_io {
    _Atomic uint64_t bytes_read;
    _Atomic uint64_t requests;
    /* Optional: called for every read, e.g. to assert the exact ranges in a test. */
    void (*log)(void *ctx, const char *name, uint64_t off, size_t len);
    void *log_ctx;
};
/* Layers take over `inner` (and close it, on failure too). */
int sc_source_count(struct sc_source *inner, struct sc_io *io, struct sc_source **out,
                    struct sc_error *e);

/* Faults for tests. Read number `fail_at` (from 0, over all sources sharing the plan) fails. */
struct sc_fault {
    _Atomic uint64_t reads;
    uint64_t fail_at;
    bool sticky; /* every later read fails too */
    _Atomic bool fired;
};
int sc_source_fault(struct sc_source *inner, struct sc_fault *plan, struct sc_source **out,
                    struct sc_error *e);

/* ----------------------------------------------------------------------- sequential reader ---
 * A window that moves forward over a source. Parsers ask for n bytes; pointers stay valid until
 * the next call. The window grows only when one item needs it, so memory follows the largest
 * item, never a declared count. */
struct sc_reader {
    struct sc_source *source;
    uint64_t pos; /* file position of the next byte */
    uint64_t end; /* reading stops here (size of the source unless narrowed) */
    uint8_t *window;
    size_t window_cap;
    uint64_t window_off;
    size_t window_len;
    size_t chunk; /* bytes to fetch at once; doubles while reading on */
    bool big_endian;
};
void sc_reader_start(struct sc_reader *r, struct sc_source *s, uint64_t pos, size_t first_chunk);
void sc_reader_clear(struct sc_reader *r);
static inline uint64_t sc_reader_left(const struct sc_reader *r)
{
    return r->pos < r->end ? r->end - r->pos : 0;
}
/* Each fails with SCRUPLE_EFORMAT ("ends inside ...": truncated) when the source is too short;
 * `what` names the thing being read. An item above 1 GiB is SCRUPLE_ELIMIT. skip never reads. */
int sc_reader_take(struct sc_reader *r, uint64_t n, const uint8_t **out, const char *what,
                   struct sc_error *e);
int sc_reader_skip(struct sc_reader *r, uint64_t n, const char *what, struct sc_error *e);
int sc_reader_u8(struct sc_reader *r, uint8_t *out, const char *what, struct sc_error *e);
int sc_reader_u16(struct sc_reader *r, uint16_t *out, const char *what, struct sc_error *e);
int sc_reader_u32(struct sc_reader *r, uint32_t *out, const char *what, struct sc_error *e);
int sc_reader_u64(struct sc_reader *r, uint64_t *out, const char *what, struct sc_error *e);

/* ------------------------------------------------------------------------------- repository ---
 * A set of files under one root, by relative path with `/`. */
struct sc_repo_file {
    const char *path; /* relative to the root; borrowed from the repository */
    uint64_t bytes;   /* UINT64_MAX: not known yet */
};
struct sc_repo;
struct sc_repo_ops {
    const char *scheme;
    int (*open)(struct sc_repo *r, const char *path, struct sc_source **out, struct sc_error *e);
    void (*close)(struct sc_repo *r);
    /* Optional: see sc_repo_expect() and sc_repo_settle(). */
    void (*expect)(struct sc_repo *r, const char *path, uint64_t head, uint64_t tail);
    void (*settle)(struct sc_repo *r);
};
struct sc_repo {
    const struct sc_repo_ops *ops;
    char *label;                /* what to call it: absolute path, or org/name */
    char *selected;             /* relative path when the user named one file; else NULL */
    const char *origin;         /* "local", "hub" or "url"; constant */
    char *revision;             /* "main", "refs/pr/1": as asked for; NULL: has none */
    char *commit;               /* 40 hex digits that it was resolved to; NULL: has none */
    struct sc_repo_file *files; /* in natural order */
    size_t n_files, files_cap;
    struct sc_arena arena;
    struct sc_io *io;       /* optional; counts every source that is opened */
    bool counts_itself;     /* sc_io gets what went over the wire, not what was read from here */
    struct sc_fault *fault; /* optional, tests */
    void *private_data;
};
/* A local path: a folder (searched with limits, hidden entries skipped, links to files followed),
 * a file (its folder becomes the root and it is `selected`), or "-". */
int sc_repo_open_local(const char *path, struct sc_repo **out, struct sc_error *e);
/* `bytes` of memory as a repository with one file; for tests and fuzzing. */
int sc_repo_open_memory(const void *p, size_t n, const char *name, struct sc_repo **out,
                        struct sc_error *e);
/* ---- for those who make repositories: an empty one (NULL: no memory, and e says so), its files
 * (`path` must live as long as r: in its arena ...), and at last their natural order. */
struct sc_repo *sc_repo_new(struct sc_error *e);
int sc_repo_add_file(struct sc_repo *r, const char *path, uint64_t bytes, struct sc_error *e);
void sc_repo_sort(struct sc_repo *r);

/* Does every look cost a round trip? */
bool sc_repo_is_remote(const struct sc_repo *r);
/* NULL: no such file. */
const struct sc_repo_file *sc_repo_find(const struct sc_repo *r, const char *path);
/* Opens with the counting and fault layers of the repository on top. Close it before the
 * repository. A path that leaves the folder is refused, so names from index files may be passed. */
int sc_repo_open_file(struct sc_repo *r, const char *path, struct sc_source **out,
                      struct sc_error *e);
/* The same, but counted in `io` alone. */
int sc_repo_open_counted(struct sc_repo *r, const char *path, struct sc_io *io,
                         struct sc_source **out, struct sc_error *e);
/* A small text file whole, NUL-terminated, at most max bytes; caller frees *out. SCRUPLE_ENOTFOUND
 * when it is not there (e is not filled then). */
int sc_repo_read_text(struct sc_repo *r, const char *path, uint64_t max, char **out, size_t *n,
                      struct sc_error *e);
/* A hint: `path` will be opened soon, and its first `head` and last `tail` bytes read (as far as it
 * has them). A remote repository starts fetching; at most a few dozen such files should be
 * outstanding. */
void sc_repo_expect(struct sc_repo *r, const char *path, uint64_t head, uint64_t tail);
/* A hint: all headers are read. A remote repository lets other processes go ahead. */
void sc_repo_settle(struct sc_repo *r);
/* Relative, `/` only, no NUL, and no part empty, "." or "..": may be joined to a root. */
bool sc_path_is_inside(struct sc_str path);
void sc_repo_close(struct sc_repo *r);

#endif
