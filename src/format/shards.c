/* SPDX-License-Identifier: Apache-2.0 */
/* shards: see the header.
 *
 *   file     0     1     2     3     4     5     6     7 ...
 *          taken sound begun sound begun free  free  free
 *                  ^ the caller is here        ^ whoever has time begins here
 */
#include "format/shards.h"
#include "format/weights.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WORTH_IT = 8,        /* files */
    MOST_THREADS = 4,    /* the caller included; putting together is done by one */
    ANNOUNCED = 16,      /* files whose headers are on their way from the disk */
    MOST_BYTES = 1 << 20 /* of entries that nobody has taken, where memory is short */
};

enum state { FREE, BEGUN, SOUND, LEFT /* to the caller */ };

struct sc_shards {
    struct sc_repo *repo;
    struct sc_open_options options;
    size_t n_files;
    unsigned n_threads; /* that were started */
    struct worker {
        struct sc_shards *a;
        pthread_t thread;
        struct sc_arena arena; /* names that it found: one for all of its files wastes least */
    } workers[MOST_THREADS];   /* [0] is the caller */
    pthread_mutex_t lock;      /* of what follows */
    pthread_cond_t changed;
    size_t n_begun;   /* files below are not FREE */
    size_t n_asked;   /* the caller is here, or soon */
    uint64_t waiting; /* bytes of entries that nobody has taken */
    bool over;        /* no more files are begun */
    struct job {
        struct sc_shard file;
        enum state state;
        struct sc_parsed parsed; /* SOUND */
    } jobs[];                    /* (n_files) */
};

void sc_parsed_clear(struct sc_parsed *p)
{
    sc_catalog_close(p->c); /* without names */
    free(p->hash);
    *p = (struct sc_parsed){0};
}

/* Nothing in it but tensors and words of a file of safetensors. */
static bool is_sound(const struct sc_catalog *c)
{
    return c->n_findings == 0 && c->findings_dropped == 0 && c->n_views == 0 &&
           c->n_storages == 0 && c->n_quantizers == 0 && c->n_imports == 0 &&
           c->n_foreign_types == 0;
}

static bool hash_names(struct sc_parsed *p)
{
    const struct sc_catalog *c = p->c;
    p->hash = sc_alloc(c->n_entries * sizeof p->hash[0]);
    for (size_t i = 0; p->hash && i < c->n_entries; i++)
        p->hash[i] = sc_name_hash("", sc_entry_name(&c->entries[i]));
    return p->hash != NULL;
}

/* Whatever goes wrong is said by the caller, who meets it again. */
static bool parse(struct worker *w, const struct sc_shard *f, struct sc_parsed *out)
{
    const struct sc_shards *a = w->a;
    struct sc_source *s = NULL;
    struct sc_io io = {0};
    const char *stranger;
    uint32_t file;
    struct sc_catalog *c = sc_calloc(1, sizeof *c);
    *out = (struct sc_parsed){.c = c};
    if (!c)
        return false;
    c->options = &a->options;
    c->arena = w->arena;
    const bool sound = sc_repo_open_counted(a->repo, f->path, &io, &s, NULL) == 0 &&
                       sc_catalog_add_file(c, f->path, s->size, &file, NULL) == 0 &&
                       sc_format_probe(s, &c->files[file].format, &stranger, NULL) == 0 &&
                       c->files[file].format == &sc_format_safetensors &&
                       c->files[file].format->open(c, file, s, NULL) == 0 && is_sound(c) &&
                       hash_names(out);
    sc_source_close(s);
    w->arena = c->arena;
    c->arena = (struct sc_arena){0};
    out->bytes_read = io.bytes_read;
    out->requests = io.requests;
    if (!sound)
        sc_parsed_clear(out);
    return sound;
}

static uint64_t weight(const struct sc_parsed *p)
{
    return p->c ? p->c->n_entries * sizeof p->c->entries[0] : 0;
}

static bool has_room(const struct sc_shards *a)
{
    return a->options.quick || a->waiting < MOST_BYTES;
}

/* With the lock held, which is let go meanwhile. */
static void parse_next(struct worker *w)
{
    struct sc_shards *a = w->a;
    struct job *job = &a->jobs[a->n_begun++];
    const size_t later = (size_t)(job - a->jobs) + ANNOUNCED;
    struct sc_parsed parsed;
    job->state = BEGUN;
    pthread_mutex_unlock(&a->lock);
    if (later < a->n_files)
        sc_repo_expect(a->repo, a->jobs[later].file.path, a->jobs[later].file.head, 0);
    const bool sound = parse(w, &job->file, &parsed);
    pthread_mutex_lock(&a->lock);
    job->parsed = parsed;
    job->state = sound ? SOUND : LEFT;
    a->waiting += weight(&parsed);
    pthread_cond_broadcast(&a->changed);
}

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct sc_shards *a = w->a;
    pthread_mutex_lock(&a->lock);
    while (a->n_begun < a->n_files && !a->over) {
        if (has_room(a))
            parse_next(w);
        else
            pthread_cond_wait(&a->changed, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void start_threads(struct sc_shards *a, unsigned n)
{
    for (struct worker *w = &a->workers[1];
         a->n_threads < n && sc_thread_start(&w->thread, NULL, work, w) == 0; w++)
        a->n_threads++;
}

struct sc_shards *sc_shards_start(struct sc_repo *repo, const struct sc_open_options *options,
                                  const struct sc_shard *files, size_t n)
{
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    const unsigned threads = options ? SC_MIN(options->threads, (unsigned)MOST_THREADS) : 0;
    const unsigned started = (unsigned)SC_MIN((long)threads, cpus) - 1;
    /* Who watches reads, or lets some fail, wants to know which. */
    if (threads < 2 || cpus < 2 || n < WORTH_IT || n > SIZE_MAX / sizeof(struct job) / 2 ||
        sc_repo_is_remote(repo) || repo->fault || (repo->io && repo->io->log))
        return NULL;
    struct sc_shards *a = sc_calloc(1, sizeof *a + n * sizeof a->jobs[0]);
    if (!a)
        return NULL;
    a->repo = repo;
    a->options = *options;
    a->n_files = n;
    for (size_t i = 0; i < n; i++)
        a->jobs[i].file = files[i];
    for (size_t i = 0; i < MOST_THREADS; i++)
        a->workers[i].a = a;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    for (size_t i = 0; i < SC_MIN(n, (size_t)ANNOUNCED); i++)
        sc_repo_expect(repo, files[i].path, files[i].head, 0);
    start_threads(a, started);
    if (a->n_threads > 0)
        return a;
    sc_shards_end(a);
    return NULL;
}

/* Where the file stands, which is mostly behind the one before; n_files: nowhere. */
static size_t find(const struct sc_shards *a, const char *path)
{
    for (size_t k = 0; k < a->n_files; k++) {
        const size_t i = (a->n_asked + k) % a->n_files;
        if (strcmp(a->jobs[i].file.path, path) == 0)
            return i;
    }
    return a->n_files;
}

bool sc_shards_take(struct sc_shards *a, const char *path, struct sc_parsed *out)
{
    *out = (struct sc_parsed){0};
    const size_t i = a ? find(a, path) : 0;
    if (!a || i == a->n_files)
        return false;
    pthread_mutex_lock(&a->lock);
    struct job *job = &a->jobs[i];
    a->n_asked = i + 1;
    if (i == a->n_begun) { /* it is the caller's, who would only wait */
        job->state = LEFT;
        a->n_begun++;
    }
    while (job->state == BEGUN) {
        if (a->n_begun < a->n_files && has_room(a))
            parse_next(&a->workers[0]);
        else
            pthread_cond_wait(&a->changed, &a->lock);
    }
    const bool sound = job->state == SOUND;
    if (sound) {
        *out = job->parsed;
        job->parsed = (struct sc_parsed){0};
        job->state = LEFT;
        a->waiting -= weight(out);
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
    return sound;
}

/* No more files are begun, and those that were are finished. */
static void stop(struct sc_shards *a)
{
    pthread_mutex_lock(&a->lock);
    a->over = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    for (unsigned i = 0; i < a->n_threads; i++)
        pthread_join(a->workers[1 + i].thread, NULL);
    a->n_threads = 0;
}

void sc_shards_keep_names(struct sc_shards *a, struct sc_arena *arena)
{
    if (!a)
        return;
    stop(a);
    for (size_t i = 0; i < MOST_THREADS; i++)
        sc_arena_join(arena, &a->workers[i].arena);
}

void sc_shards_end(struct sc_shards *a)
{
    if (!a)
        return;
    stop(a);
    for (size_t i = 0; i < MOST_THREADS; i++)
        sc_arena_clear(&a->workers[i].arena);
    for (size_t i = 0; i < a->n_files; i++)
        sc_parsed_clear(&a->jobs[i].parsed);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
