/* SPDX-License-Identifier: Apache-2.0 */
/* fetch: what the files of a download share. Private to hub.
 *
 *   fetch.c        looking at what is here; who does what, and what is left
 *   fetch_file.c   one large file: receiving, writing and hashing at once
 *   fetch_small.c  many small ones: requests side by side, each file whole in memory
 *   fetch_spans.c  parts of a file, into the cache of ranges
 *   fetch_place.c  where a verified file goes: shared cache or a folder; room, refusals of the disk
 */
#ifndef SC_HUB_FETCH_H
#define SC_HUB_FETCH_H

#include <pthread.h>

#include "hub/cache.h"
#include "hub/hub.h"

#define SC_FETCH_SMALL ((uint64_t)1 << 20)         /* up to here a file is fetched into memory */
enum { SC_FETCH_PUMPS = 4, SC_FETCH_AT_ONCE = 8 }; /* threads for those, and requests of each */
enum { SC_FETCH_THREADS = 64 };                    /* of each other kind, at most */

enum sc_fetch_kind { SC_FETCH_FILES, SC_FETCH_SMALLS, SC_FETCH_PARTS };
enum sc_fetch_phase { SC_PHASE_TODO, SC_PHASE_LATER, SC_PHASE_BUSY, SC_PHASE_OVER };

/* An item while it is being fetched. */
struct sc_fetch_task {
    struct sc_fetch_item *item;
    uint8_t kind;     /* enum sc_fetch_kind */
    uint8_t phase;    /* enum sc_fetch_phase; under the job's lock */
    uint64_t counted; /* bytes of it that the progress counts */
};

/* One call of sc_fetch(). */
struct sc_fetch_job {
    struct sc_repo *repo;
    struct sc_hub *hub;
    const struct sc_hub_env *env;
    const struct sc_hub_listing *listing;
    const struct sc_fetch_options *o;
    struct sc_fetch_task *tasks;
    size_t n;
    uint64_t total;
    unsigned mode; /* of new files: 0666 less the umask */

    pthread_mutex_t opening; /* files of the repository */
    pthread_mutex_t lock;
    pthread_cond_t moved; /* a task changed its phase, or all must stop */
    pthread_cond_t ended; /* no thread is running any more */
    size_t at_once;       /* small files of a thread */
    size_t first[3];      /* of each kind: no task before it is to do */
    size_t running;       /* threads */
    struct sc_fetch_task *busy[2 * SC_FETCH_THREADS + SC_FETCH_PUMPS * SC_FETCH_AT_ONCE];
    size_t n_busy;         /* tasks whose phase is SC_PHASE_BUSY, in no order */
    struct sc_error error; /* the first */
    size_t files_done;

    _Atomic int stop; /* the negative code of that error: everybody leaves */
    _Atomic uint64_t done, fetched;
    const char *_Atomic file; /* that moved last, for the progress */
};

/* ---- fetch.c */
/* A condition that waits by the clock that nobody sets. */
int sc_fetch_cond(pthread_cond_t *c);
void sc_fetch_wait(pthread_cond_t *c, pthread_mutex_t *lock, unsigned ms);
/* The first failure of a job ends it; returns its code. */
int sc_fetch_fail(struct sc_fetch_job *j, const struct sc_error *e);
/* Non-zero: leave, with that code. */
int sc_fetch_stopped(struct sc_fetch_job *j);
/* The engine, when the first request needs it; refused offline. */
int sc_fetch_http(struct sc_fetch_job *j, struct sc_http **out, struct sc_error *e);
enum sc_fetch_claim { SC_CLAIM_NONE, SC_CLAIM_GOT, SC_CLAIM_LATER };
/* The next task of a kind, locked against other processes: *lock is the descriptor to close, or
 * -1 where there are no locks. LATER (only without `wait`): all that are left are being fetched by
 * somebody else, in this process or another. */
enum sc_fetch_claim sc_fetch_claim(struct sc_fetch_job *j, enum sc_fetch_kind kind, bool wait,
                                   struct sc_fetch_task **out, int *lock);
/* Ends what was claimed; fails the job when code is negative. */
void sc_fetch_release(struct sc_fetch_job *j, struct sc_fetch_task *t, int lock, int code,
                      const struct sc_error *e);
/* Bytes of the task that are here now; goes back after a mismatch. */
void sc_fetch_count(struct sc_fetch_job *j, struct sc_fetch_task *t, uint64_t here);
void sc_fetch_received(struct sc_fetch_job *j, struct sc_fetch_task *t, uint64_t n);

/* Bytes of the item that the cache of ranges has. */
uint64_t sc_fetch_kept(struct sc_ranges *r, const struct sc_fetch_item *it);

/* ---- fetch_file.c, fetch_small.c, fetch_spans.c: threads, which claim until nothing is left */
void *sc_fetch_files(void *job);
void *sc_fetch_smalls(void *job);
void *sc_fetch_parts(void *job);

/* Turns an answer that is no success into an error. */
int sc_fetch_explain(struct sc_fetch_job *j, const struct sc_http_reply *r,
                     const struct sc_buf *body, const struct sc_hub_file *file, struct sc_error *e);
/* A signed URL that led elsewhere and is not accepted (any more). */
bool sc_fetch_expired(const struct sc_http_request *q, const char *url);
int sc_fetch_mismatch(const struct sc_hub_file *file, const char *got, struct sc_error *e);

/* ---- fetch_place.c */
/* The cache that has all of these files: 0 is the one we write to (also when none has), then the
 * tiers, which are only read. */
size_t sc_fetch_root(const struct sc_repo *r, const struct sc_fetch_item *items, size_t n);
/* Is the whole file in its place: below local_dir, else in that cache? Hashes what in a folder has
 * no record of ours. */
int sc_fetch_in_place(const struct sc_repo *r, const struct sc_fetch_options *o, size_t root,
                      const struct sc_hub_file *f, bool *yes, struct sc_error *e);
/* Can it be had without the network: from another file of a cache? True: it is in its place. */
int sc_fetch_from_blob(struct sc_fetch_job *j, const struct sc_hub_file *f, bool *yes,
                       struct sc_error *e);
/* Verified content takes its place: a file that may be moved away, or bytes. */
int sc_fetch_place_file(struct sc_fetch_job *j, const struct sc_hub_file *f, const char *data,
                        struct sc_error *e);
int sc_fetch_place_bytes(struct sc_fetch_job *j, const struct sc_hub_file *f, const void *p,
                         size_t n, struct sc_error *e);
/* Are there folders to write to, and is there room? */
int sc_fetch_room(struct sc_fetch_job *j, struct sc_error *e);
/* "DIR: cannot be written: No space left on device (123 MB more are needed) ..." */
int sc_fetch_disk_error(const struct sc_hub_env *env, const char *path, int error, uint64_t need,
                        struct sc_error *e);
/* Notes in the folder what a file of it is, unless that stands there. */
void sc_fetch_record(struct sc_fetch_job *j, const struct sc_hub_file *f);
/* Do the caches hold the content of this file? */
bool sc_fetch_has_blob(const struct sc_hub_env *env, const struct sc_hub_listing *l,
                       const struct sc_hub_file *f);

#endif
