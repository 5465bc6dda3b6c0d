/* SPDX-License-Identifier: Apache-2.0 */
/* sources: the open files of a model, and its deflated storages once unpacked, for all who read
 * tensors.
 *
 * Two locks. `table` guards who holds what and is never kept over a system call. A slot whose
 * source is being made is `busy`: who wants the same waits for it, others go on, so that many
 * storages are unpacked at once. Repositories open and close one file at a time: `opening`.
 *
 * What nobody holds stays open until room is needed: files until there are SC_MODEL_SOURCES,
 * unpacked storages until there are SPARE_STORAGES; what was held last stays longest. */
#include <pthread.h>
#include <stdlib.h>

#include "format/zip.h"
#include "model/model.h"

enum { SPARE_STORAGES = 2 };

struct slot {
    struct sc_source *source; /* NULL: not open */
    uint32_t holders;
    bool busy;     /* somebody is making it */
    uint64_t used; /* when it was let go last, in calls */
};
struct shelf {
    struct slot *slots;
    size_t n, open, most;
};

struct sc_model_sources {
    pthread_mutex_t opening, table;
    pthread_cond_t settled; /* a slot is no longer busy */
    uint64_t clock;
    struct shelf files;
    struct shelf storages; /* slots are made with the first */
};

int sc_model_sources_new(struct sc_model *m, struct sc_error *e)
{
    struct sc_model_sources *s = sc_calloc(1, sizeof *s);
    struct slot *files = sc_calloc(m->catalog->n_files + 1, sizeof *files);
    if (!s || !files) {
        free(s);
        free(files);
        return sc_fail_memory(e);
    }
    s->files = (struct shelf){files, m->catalog->n_files, 0, SC_MODEL_SOURCES};
    s->storages = (struct shelf){NULL, m->catalog->n_storages, 0, SPARE_STORAGES};
    pthread_mutex_init(&s->opening, NULL);
    pthread_mutex_init(&s->table, NULL);
    pthread_cond_init(&s->settled, NULL);
    m->sources = s;
    return 0;
}

void sc_model_sources_free(struct sc_model_sources *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->files.n; i++)
        sc_source_close(s->files.slots[i].source);
    for (size_t i = 0; s->storages.slots && i < s->storages.n; i++)
        sc_source_close(s->storages.slots[i].source);
    free(s->files.slots);
    free(s->storages.slots);
    pthread_mutex_destroy(&s->opening);
    pthread_mutex_destroy(&s->table);
    pthread_cond_destroy(&s->settled);
    free(s);
}

/* What is open already, with one more holder. NULL: it is on the caller to make it, and to settle()
 * the slot. */
static struct sc_source *hold(struct sc_model_sources *s, struct shelf *shelf, uint32_t i)
{
    struct slot *slot = &shelf->slots[i];
    pthread_mutex_lock(&s->table);
    while (slot->busy)
        pthread_cond_wait(&s->settled, &s->table);
    if (slot->source)
        slot->holders++;
    else
        slot->busy = true;
    struct sc_source *source = slot->source;
    pthread_mutex_unlock(&s->table);
    return source;
}

/* The source of a busy slot, with its first holder; NULL: it could not be made. */
static void settle(struct sc_model_sources *s, struct shelf *shelf, uint32_t i,
                   struct sc_source *source)
{
    pthread_mutex_lock(&s->table);
    shelf->slots[i] = (struct slot){.source = source, .holders = source != NULL};
    shelf->open += source != NULL;
    pthread_cond_broadcast(&s->settled);
    pthread_mutex_unlock(&s->table);
}

static void let_go(struct sc_model_sources *s, struct shelf *shelf, uint32_t i)
{
    pthread_mutex_lock(&s->table);
    shelf->slots[i].holders--;
    shelf->slots[i].used = ++s->clock;
    pthread_mutex_unlock(&s->table);
}

/* Takes the one that was let go first off a full shelf; NULL: it is not full, or all are held. */
static struct sc_source *make_room(struct sc_model_sources *s, struct shelf *shelf)
{
    struct sc_source *source = NULL;
    struct slot *oldest = NULL;
    pthread_mutex_lock(&s->table);
    for (size_t i = 0; shelf->open >= shelf->most && i < shelf->n; i++) {
        struct slot *slot = &shelf->slots[i];
        if (slot->source && slot->holders == 0 && (!oldest || slot->used < oldest->used))
            oldest = slot;
    }
    if (oldest) {
        source = oldest->source;
        oldest->source = NULL;
        shelf->open--;
    }
    pthread_mutex_unlock(&s->table);
    return source;
}

/* ---------------------------------------------------------------------------------- files --- */

static int fail_closed(struct sc_error *e)
{
    return sc_fail(e, SCRUPLE_EUSAGE, "the model was opened without keeping its files");
}

static int open_source(const struct sc_model *m, uint32_t file, struct sc_source **out,
                       struct sc_error *e)
{
    const struct sc_file *f = &m->catalog->files[file];
    struct sc_quoted q;
    TRY(sc_repo_open_file(m->repo, f->path, out, e));
    if ((*out)->size == f->bytes)
        return 0;
    const unsigned long long now = (*out)->size;
    sc_source_close(*out);
    *out = NULL;
    return sc_fail(e, SCRUPLE_EIO, "%s: has %llu bytes now, but had %llu when its header was read",
                   sc_quote(&q, sc_strz(f->path)), now, (unsigned long long)f->bytes);
}

int sc_model_source(const struct sc_model *m, uint32_t file, struct sc_source **out,
                    struct sc_error *e)
{
    struct sc_model_sources *s = m->sources;
    *out = NULL;
    if (!s)
        return fail_closed(e);
    *out = hold(s, &s->files, file);
    if (*out)
        return 0;
    pthread_mutex_lock(&s->opening);
    sc_source_close(make_room(s, &s->files));
    const int rc = open_source(m, file, out, e);
    pthread_mutex_unlock(&s->opening);
    settle(s, &s->files, file, *out);
    return rc;
}

void sc_model_release(const struct sc_model *m, uint32_t file)
{
    let_go(m->sources, &m->sources->files, file);
}

bool sc_model_identity(const struct sc_model *m, uint32_t file, struct sc_buf *out)
{
    const char *path = m->catalog->files[file].path;
    const struct sc_hub_file *hub = m->repo ? sc_repo_hub_file(m->repo, path) : NULL;
    struct sc_source *s;
    if (hub && hub->etag[0])
        return sc_hub_identity(hub, out);
    if (sc_model_source(m, file, &s, NULL) < 0)
        return false;
    const bool known = sc_source_identity(s, out);
    sc_model_release(m, file);
    return known;
}

/* -------------------------------------------------------------------------------- storages --- */

/* Few models have deflated storages, and some have a million plain ones. */
static int make_slots(struct sc_model_sources *s, struct sc_error *e)
{
    pthread_mutex_lock(&s->table);
    if (!s->storages.slots)
        s->storages.slots = sc_calloc(s->storages.n + 1, sizeof *s->storages.slots);
    const bool made = s->storages.slots != NULL;
    pthread_mutex_unlock(&s->table);
    return made ? 0 : sc_fail_memory(e);
}

int sc_model_storage(const struct sc_model *m, uint32_t storage, const _Atomic int *cancel,
                     struct sc_source **out, struct sc_error *e)
{
    struct sc_model_sources *s = m->sources;
    const struct sc_storage *st = &m->catalog->storages[storage];
    struct sc_source *packed;
    *out = NULL;
    if (!s)
        return fail_closed(e);
    TRY(make_slots(s, e));
    *out = hold(s, &s->storages, storage);
    if (*out)
        return 0;
    sc_source_close(make_room(s, &s->storages));
    int rc = sc_model_source(m, st->file, &packed, e);
    if (rc == 0) {
        rc = sc_zip_unpack(packed, st, cancel, out, e);
        sc_model_release(m, st->file);
    }
    settle(s, &s->storages, storage, *out);
    return rc;
}

void sc_model_release_storage(const struct sc_model *m, uint32_t storage)
{
    let_go(m->sources, &m->sources->storages, storage);
}
