/* SPDX-License-Identifier: Apache-2.0 */
/* fetch: downloads.
 *
 *   main thread       what is here, room, progress ten times a second, cancelling
 *   file threads      `parallel` of them: one large file each, verified while it arrives
 *   small threads     four, with up to eight small files each on their way
 *
 * Owns: which task is next, locks against other processes, the first error. A file that another
 * process fetches is put back until the others are done, so several processes share the work; what
 * one has put in place the others find there.
 */
#include "hub/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 100, LOCK_MS = 300, PARALLEL = 4 };

/* ------------------------------------------------------------------------------- waiting --- */
int sc_fetch_cond(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    if (pthread_condattr_init(&attr) != 0)
        return SCRUPLE_EMEMORY;
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int code = pthread_cond_init(c, &attr) ? SCRUPLE_EMEMORY : 0;
    (void)pthread_condattr_destroy(&attr);
    return code;
}

void sc_fetch_wait(pthread_cond_t *c, pthread_mutex_t *lock, unsigned ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    (void)pthread_cond_timedwait(c, lock, &t);
}

int sc_fetch_fail(struct sc_fetch_job *j, const struct sc_error *e)
{
    pthread_mutex_lock(&j->lock);
    if (!j->stop) {
        j->error = *e;
        j->stop = e->code;
    }
    int code = j->stop;
    pthread_cond_broadcast(&j->moved);
    pthread_mutex_unlock(&j->lock);
    return code;
}

int sc_fetch_stopped(struct sc_fetch_job *j)
{
    if (!j->stop && j->hub->options.cancel && *j->hub->options.cancel) {
        struct sc_error e = {0};
        sc_fail(&e, SCRUPLE_EINTERRUPTED, "interrupted");
        (void)sc_fetch_fail(j, &e);
    }
    return j->stop;
}

int sc_fetch_http(struct sc_fetch_job *j, struct sc_http **out, struct sc_error *e)
{
    pthread_mutex_lock(&j->lock);
    int code = sc_hub_http(j->hub, out, e);
    pthread_mutex_unlock(&j->lock);
    return code;
}

/* ------------------------------------------------------------------------------ counting --- */
void sc_fetch_count(struct sc_fetch_job *j, struct sc_fetch_task *t, uint64_t here)
{
    here = SC_MIN(here, t->item->want);
    j->done += here - t->counted; /* wraps back when less is here than before */
    t->counted = here;
}

void sc_fetch_received(struct sc_fetch_job *j, struct sc_fetch_task *t, uint64_t n)
{
    j->fetched += n;
    j->file = t->item->file->path;
    sc_fetch_count(j, t, t->counted + n);
}

/* ----------------------------------------------------------------------------- the queue --- */
/* Two paths with the same content are fetched one after the other: the second finds the blob. */
static bool is_busy(const struct sc_fetch_job *j, const char *etag)
{
    for (size_t i = 0; i < j->n_busy; i++)
        if (!strcmp(j->busy[i]->item->file->etag, etag))
            return true;
    return false;
}

/* With the lock held. */
static void note_phase(struct sc_fetch_job *j, struct sc_fetch_task *t, enum sc_fetch_phase phase)
{
    size_t at = 0;

    while (at < j->n_busy && j->busy[at] != t)
        at++;
    if (phase == SC_PHASE_BUSY && at == j->n_busy)
        j->busy[j->n_busy++] = t;
    else if (phase != SC_PHASE_BUSY && at < j->n_busy)
        j->busy[at] = j->busy[--j->n_busy];
    t->phase = (uint8_t)phase;
}

static struct sc_fetch_task *find_task(struct sc_fetch_job *j, enum sc_fetch_kind kind,
                                       enum sc_fetch_phase phase, bool *any)
{
    size_t from = phase == SC_PHASE_TODO ? j->first[kind] : 0;
    bool all_before = true;

    for (size_t i = from; i < j->n; i++) {
        struct sc_fetch_task *t = &j->tasks[i];
        if (t->kind != kind || t->phase != phase) {
            if (all_before && phase == SC_PHASE_TODO)
                j->first[kind] = i + 1;
            continue;
        }
        all_before = false;
        *any = true;
        if (j->n_busy == SC_COUNT(j->busy) || is_busy(j, t->item->file->etag))
            continue;
        note_phase(j, t, SC_PHASE_BUSY);
        return t;
    }
    return NULL;
}

static void set_phase(struct sc_fetch_job *j, struct sc_fetch_task *t, enum sc_fetch_phase phase)
{
    pthread_mutex_lock(&j->lock);
    note_phase(j, t, phase);
    if (phase == SC_PHASE_BUSY)
        j->file = t->item->file->path;
    pthread_cond_broadcast(&j->moved);
    pthread_mutex_unlock(&j->lock);
}

/* -1 with *taken: somebody has it. -1 without: there are no locks here. */
static int try_lock(struct sc_fetch_job *j, const struct sc_fetch_task *t, unsigned ms, bool *taken)
{
    errno = 0;
    int fd = sc_hf_lock(j->env, j->listing, t->item->file->etag, ms, j->hub->options.cancel);
    *taken = fd < 0 && (errno == EWOULDBLOCK || errno == EAGAIN);
    return fd;
}

static int wait_for_lock(struct sc_fetch_job *j, const struct sc_fetch_task *t)
{
    bool taken = true;
    int fd = try_lock(j, t, 0, &taken);

    if (taken) {
        struct sc_quoted q;
        sc_hub_note(j->hub, "%s is being fetched by another process: waiting for it",
                    sc_quote(&q, sc_strz(t->item->file->path)));
    }
    while (taken && !sc_fetch_stopped(j))
        fd = try_lock(j, t, LOCK_MS, &taken);
    return fd;
}

enum sc_fetch_claim sc_fetch_claim(struct sc_fetch_job *j, enum sc_fetch_kind kind, bool wait,
                                   struct sc_fetch_task **out, int *lock)
{
    while (!sc_fetch_stopped(j)) {
        bool any = false, later = false, taken = false;
        pthread_mutex_lock(&j->lock);
        struct sc_fetch_task *t = find_task(j, kind, SC_PHASE_TODO, &any);
        if (!t && (wait || any)) {
            t = wait ? find_task(j, kind, SC_PHASE_LATER, &any) : NULL;
            later = t != NULL;
        } else if (!t) {
            bool left = false;
            for (size_t i = 0; i < j->n && !left; i++)
                left = j->tasks[i].kind == kind && j->tasks[i].phase == SC_PHASE_LATER;
            any = left;
        }
        if (!t && any && wait)
            sc_fetch_wait(&j->moved, &j->lock, TICK_MS); /* for a twin in this process */
        pthread_mutex_unlock(&j->lock);
        if (!t && any && wait)
            continue;
        if (!t)
            return any ? SC_CLAIM_LATER : SC_CLAIM_NONE;
        *lock = later ? wait_for_lock(j, t) : try_lock(j, t, 0, &taken);
        set_phase(j, t, taken ? SC_PHASE_LATER : SC_PHASE_BUSY);
        if (taken)
            continue;
        *out = t;
        return SC_CLAIM_GOT;
    }
    return SC_CLAIM_NONE;
}

void sc_fetch_release(struct sc_fetch_job *j, struct sc_fetch_task *t, int lock, int code,
                      const struct sc_error *e)
{
    if (lock >= 0)
        (void)close(lock);
    if (code < 0)
        (void)sc_fetch_fail(j, e);
    else {
        sc_fetch_count(j, t, t->item->want);
        t->item->state = SC_FETCH_DONE;
    }
    pthread_mutex_lock(&j->lock);
    j->files_done += code >= 0;
    pthread_mutex_unlock(&j->lock);
    set_phase(j, t, SC_PHASE_OVER);
}

/* --------------------------------------------------------------------------------- words --- */
int sc_fetch_explain(struct sc_fetch_job *j, const struct sc_http_reply *r,
                     const struct sc_buf *body, const struct sc_hub_file *file, struct sc_error *e)
{
    const struct sc_name name = {
        .kind = SC_NAME_HUB,
        .type = j->listing->type,
        .id = j->listing->id,
        .revision = j->listing->revision,
    };
    int code = sc_hub_explain(j->hub, r, body->p, &name, file->path, e);
    return code < 0 ? code : SCRUPLE_ENETWORK;
}

bool sc_fetch_expired(const struct sc_http_request *q, const char *url)
{
    const int status = q->reply.status;

    return (status == 400 || status == 401 || status == 403) && q->reply.url &&
           !sc_http_same_origin(q->reply.url, url);
}

int sc_fetch_mismatch(const struct sc_hub_file *file, const char *got, struct sc_error *e)
{
    struct sc_quoted q;

    return sc_fail(e, SCRUPLE_EIO,
                   "%s: checksum mismatch: the Hub says %s, what came has %s, twice; nothing of it "
                   "was kept",
                   sc_quote(&q, sc_strz(file->path)), file->etag, got);
}

/* ------------------------------------------------------------------------------- looking --- */
static uint64_t span_bytes(const struct sc_fetch_item *it)
{
    uint64_t n = 0;

    for (size_t i = 0; i < it->n_spans; i++)
        n = sc_add_up(n, it->spans[i].len);
    return n;
}

uint64_t sc_fetch_kept(struct sc_ranges *r, const struct sc_fetch_item *it)
{
    uint64_t n = 0;

    if (!it->spans)
        return sc_ranges_have(r, 0, it->file->bytes);
    for (size_t i = 0; i < it->n_spans; i++)
        n += sc_ranges_have(r, it->spans[i].off, it->spans[i].len);
    return n;
}

static uint64_t kept(const struct sc_hub_env *env, const struct sc_fetch_item *it)
{
    struct sc_ranges *r = sc_ranges_open(env, it->file->etag, it->file->bytes, false);
    uint64_t n = sc_fetch_kept(r, it);

    sc_ranges_close(r);
    return n;
}

static int look_at(struct sc_repo *r, const struct sc_fetch_options *o, size_t root,
                   struct sc_fetch_item *it, struct sc_error *e)
{
    const struct sc_fetch_options into_cache = {0};
    bool yes = false;

    it->want = it->spans ? span_bytes(it) : it->file->bytes;
    it->here = 0;
    it->state = SC_FETCH_MISSING;
    TRY(sc_fetch_in_place(r, it->spans ? &into_cache : o, root, it->file, &yes, e));
    bool blob = sc_fetch_has_blob(&sc_repo_hub(r)->env, sc_repo_listing(r), it->file);
    if (yes || (blob && (it->spans || !*it->file->etag))) { /* without etag it cannot be moved */
        it->here = it->want;
        it->state = SC_FETCH_HAVE;
        return 0;
    }
    it->here = blob ? it->want : kept(&sc_repo_hub(r)->env, it);
    if (it->here)
        it->state = it->spans && it->here == it->want ? SC_FETCH_HAVE : SC_FETCH_PARTLY;
    return 0;
}

static int need_hub(const struct sc_repo *r, struct sc_error *e)
{
    struct sc_quoted q;

    if (sc_repo_listing(r) && sc_repo_hub(r))
        return 0;
    return sc_fail(e, SCRUPLE_EUSAGE, "%s is not a model on the Hub, so there is nothing to fetch",
                   sc_quote(&q, sc_strz(r->label)));
}

static bool is_cancelled(const struct sc_repo *r)
{
    const _Atomic int *cancel = sc_repo_hub(r)->options.cancel;

    return cancel && *cancel;
}

int sc_fetch_look(struct sc_repo *r, const struct sc_fetch_options *o, struct sc_fetch_item *items,
                  size_t n, struct sc_error *e)
{
    const struct sc_fetch_options none = {0};

    TRY(need_hub(r, e));
    const size_t root = sc_fetch_root(r, items, n);
    for (size_t i = 0; i < n; i++) {
        if (is_cancelled(r))
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        TRY(look_at(r, o ? o : &none, root, &items[i], e));
    }
    return 0;
}

/* ------------------------------------------------------------------------------- running --- */
static int make_tasks(struct sc_fetch_job *j, struct sc_fetch_item *items, size_t n,
                      struct sc_error *e)
{
    enum sc_sha_kind sha;
    struct sc_quoted q;

    j->tasks = sc_calloc(n ? n : 1, sizeof *j->tasks);
    if (!j->tasks)
        return sc_fail_memory(e);
    j->n = n;
    for (size_t i = 0; i < n; i++) {
        struct sc_fetch_task *t = &j->tasks[i];
        t->item = &items[i];
        t->kind = items[i].spans                           ? SC_FETCH_PARTS
                  : items[i].file->bytes <= SC_FETCH_SMALL ? SC_FETCH_SMALLS
                                                           : SC_FETCH_FILES;
        t->counted = items[i].here;
        j->done += items[i].here;
        j->total = sc_add_up(j->total, items[i].want);
        if (items[i].state == SC_FETCH_HAVE) {
            t->phase = SC_PHASE_OVER;
            j->files_done++;
            if (j->o->local_dir && !items[i].spans)
                sc_fetch_record(j, items[i].file);
        } else if (!sc_sha_kind_of(items[i].file->etag, &sha)) {
            return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                           "%s: the Hub tells no checksum of it, so it cannot be fetched safely",
                           sc_quote(&q, sc_strz(items[i].file->path)));
        }
    }
    return 0;
}

static size_t count_tasks(const struct sc_fetch_job *j, enum sc_fetch_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < j->n; i++)
        n += j->tasks[i].kind == kind && j->tasks[i].phase != SC_PHASE_OVER;
    return n;
}

static void tell(struct sc_fetch_job *j)
{
    struct sc_fetch_progress p = {.files = j->n, .fetched = j->fetched, .total = j->total};

    if (!j->o->progress)
        return;
    p.done = SC_MIN(j->done, p.total);
    pthread_mutex_lock(&j->lock);
    p.files_done = j->files_done;
    p.file = j->file;
    pthread_mutex_unlock(&j->lock);
    j->o->progress(j->o->progress_ctx, &p);
}

struct start {
    struct sc_fetch_job *job;
    void *(*run)(void *job);
};

static void *run_thread(void *arg)
{
    struct start *s = arg;
    struct sc_fetch_job *j = s->job;

    (void)s->run(j);
    pthread_mutex_lock(&j->lock);
    if (!--j->running)
        pthread_cond_signal(&j->ended);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static int start_thread(struct sc_fetch_job *j, struct start *s, void *(*run)(void *), pthread_t *t)
{
    *s = (struct start){j, run};
    pthread_mutex_lock(&j->lock);
    j->running++;
    pthread_mutex_unlock(&j->lock);
    if (pthread_create(t, NULL, run_thread, s) == 0)
        return 0;
    pthread_mutex_lock(&j->lock);
    j->running--;
    pthread_mutex_unlock(&j->lock);
    return SCRUPLE_EMEMORY;
}

/* Until all threads have ended. */
static void watch(struct sc_fetch_job *j)
{
    bool running = true;

    while (running) {
        pthread_mutex_lock(&j->lock);
        if (j->running)
            sc_fetch_wait(&j->ended, &j->lock, TICK_MS);
        running = j->running > 0;
        pthread_mutex_unlock(&j->lock);
        (void)sc_fetch_stopped(j);
        if (running)
            tell(j);
    }
}

/* A file on its way needs descriptors: connection, lock, data, log. An eighth of what the process
 * may have leaves enough for the connections. */
static size_t affordable(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return r.rlim_cur > 24 ? (size_t)((r.rlim_cur - 16) / 8) : 1;
}

static void run_all(struct sc_fetch_job *j)
{
    static void *(*const runs[])(void *) = {sc_fetch_files, sc_fetch_smalls, sc_fetch_parts};
    size_t parallel = SC_MIN(j->o->parallel ? j->o->parallel : PARALLEL, SC_FETCH_THREADS), n = 0;
    size_t can = affordable();
    struct start starts[2 * SC_FETCH_THREADS + SC_FETCH_PUMPS];
    pthread_t threads[2 * SC_FETCH_THREADS + SC_FETCH_PUMPS];

    j->at_once = SC_MIN(can / SC_FETCH_PUMPS + 1, SC_FETCH_AT_ONCE);
    for (size_t kind = 0; kind < SC_COUNT(runs); kind++) {
        size_t most = SC_MIN(kind == SC_FETCH_SMALLS ? SC_FETCH_PUMPS : parallel, can);
        size_t want = SC_MIN(count_tasks(j, (enum sc_fetch_kind)kind), most);
        for (size_t i = 0; i < want; i++) {
            if (start_thread(j, &starts[n], runs[kind], &threads[n]) == 0) {
                n++;
            } else if (i == 0) { /* with fewer threads than asked for it only takes longer */
                struct sc_error e = {0};
                sc_fail(&e, SCRUPLE_EMEMORY, "no thread could be started: %s", strerror(EAGAIN));
                (void)sc_fetch_fail(j, &e);
            }
        }
    }
    watch(j);
    for (size_t i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    tell(j);
}

static unsigned new_file_mode(void)
{
    mode_t mask = umask(0);

    umask(mask);
    return 0666U & ~(unsigned)mask;
}

static int run_job(struct sc_fetch_job *j, struct sc_error *e)
{
    size_t left = count_tasks(j, SC_FETCH_FILES) + count_tasks(j, SC_FETCH_SMALLS) +
                  count_tasks(j, SC_FETCH_PARTS);

    if (left) {
        TRY(sc_fetch_room(j, e));
        run_all(j);
    }
    if (j->stop) {
        if (e)
            *e = j->error;
        return j->stop;
    }
    if (!j->o->local_dir && count_tasks(j, SC_FETCH_PARTS) == 0)
        (void)sc_hf_write_ref(j->env, j->listing);
    return 0;
}

int sc_fetch(struct sc_repo *r, const struct sc_fetch_options *o, struct sc_fetch_item *items,
             size_t n, struct sc_error *e)
{
    const struct sc_fetch_options none = {0};

    TRY(need_hub(r, e));
    sc_repo_settle(r); /* downloads have locks of their own, one a file */
    TRY(sc_fetch_look(r, o, items, n, e));
    struct sc_fetch_job j = {
        .repo = r,
        .hub = sc_repo_hub(r),
        .env = &sc_repo_hub(r)->env,
        .listing = sc_repo_listing(r),
        .o = o ? o : &none,
        .mode = new_file_mode(),
    };
    if (pthread_mutex_init(&j.lock, NULL) != 0)
        return sc_fail_memory(e);
    if (pthread_mutex_init(&j.opening, NULL) != 0) {
        pthread_mutex_destroy(&j.lock);
        return sc_fail_memory(e);
    }
    bool moved = sc_fetch_cond(&j.moved) == 0, ended = sc_fetch_cond(&j.ended) == 0;
    int code = moved && ended ? make_tasks(&j, items, n, e) : sc_fail_memory(e);
    if (code == 0)
        code = run_job(&j, e);
    free(j.tasks);
    if (moved)
        pthread_cond_destroy(&j.moved);
    if (ended)
        pthread_cond_destroy(&j.ended);
    pthread_mutex_destroy(&j.opening);
    pthread_mutex_destroy(&j.lock);
    return code;
}

bool sc_fetch_folder(const struct sc_repo *r, const struct sc_fetch_item *items, size_t n,
                     struct sc_buf *path)
{
    return sc_repo_listing(r) &&
           sc_hf_snapshot_path(&sc_repo_hub(r)->env, sc_repo_listing(r), sc_fetch_root(r, items, n),
                               path) &&
           !path->failed;
}
