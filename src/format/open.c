/* SPDX-License-Identifier: Apache-2.0 */
/* open: from a repository to a finished catalog.
 *
 *   plan (weights.c) -> each file: probe, parse -> names unique? -> index promises -> sums */
#include "format/gguf.h"
#include "format/weights.h"

#include <stdlib.h>
#include <string.h>

struct opener {
    struct sc_catalog *c;
    struct sc_repo *repo;
    struct sc_names names;
    bool keep_hashes;
};

/* Put "component." in front of the names of a file's entries. */
static int prefix_names(struct sc_catalog *c, size_t first, const char *component,
                        struct sc_error *e)
{
    const size_t skip = strlen(component) + 1;
    for (size_t i = first; i < c->n_entries; i++) {
        struct sc_entry *en = &c->entries[i];
        char *name = sc_arena_alloc(&c->arena, skip + en->name_len + 1, 1);
        if (!name)
            return sc_fail_memory(e);
        memcpy(name, component, skip - 1);
        name[skip - 1] = '.';
        memcpy(name + skip, en->name, en->name_len + 1);
        en->name = name;
        en->name_len += (uint32_t)skip;
    }
    return 0;
}

/* The name must be new in the model. */
static int check_name(struct opener *o, uint32_t i, uint64_t hash, struct sc_error *e)
{
    struct sc_catalog *c = o->c;
    const struct sc_entry *en = &c->entries[i];
    const struct sc_str name = sc_entry_name(en);
    size_t probe = 0;
    for (uint32_t id; (id = sc_index_next(&o->names.index, hash, &probe)) != UINT32_MAX;) {
        const struct sc_entry *other = &c->entries[id];
        if (!sc_str_eq(sc_entry_name(other), name))
            continue;
        struct sc_quoted q;
        if (other->file == en->file)
            return sc_problem(c, SC_ERROR, "tensor.duplicate", en->file, name, SC_NO_OFFSET, e,
                              "the tensor name \"%s\" stands there twice", sc_quote(&q, name));
        return sc_problem(c, SC_ERROR, "tensor.duplicate", en->file, name, SC_NO_OFFSET, e,
                          "tensor \"%s\" is also in \"%s\"", sc_quote(&q, name),
                          c->files[other->file].path);
    }
    return sc_index_put(&o->names.index, hash, i, e);
}

/* In batches, so that the table's memory arrives while the next names are hashed. The hashes are
 * kept only when an index file will ask for them. `known`, if any: sc_name_hash("", name) of each.
 */
static int check_names(struct opener *o, uint32_t file, size_t first, const uint64_t *known,
                       struct sc_error *e)
{
    enum { BATCH = 64 };
    struct sc_catalog *c = o->c;
    const char *component = c->files[file].component;
    uint64_t hash[BATCH];
    if (first == c->n_entries)
        return 0;
    TRY(sc_index_reserve(&o->names.index, c->n_entries, e));
    if (o->keep_hashes)
        TRY(sc_pages_grow(c->filed, &o->names.hash, &o->names.hash_cap, c->n_entries,
                          sizeof hash[0], e));
    for (size_t i = first; i < c->n_entries;) {
        const size_t n = SC_MIN((size_t)BATCH, c->n_entries - i);
        for (size_t k = 0; k < n; k++) {
            hash[k] = known ? sc_name_hash_in(component, known[i + k - first])
                            : sc_name_hash(component, sc_entry_raw_name(c, &c->entries[i + k]));
            sc_index_prefetch(&o->names.index, hash[k]);
        }
        if (o->keep_hashes)
            memcpy(o->names.hash + i, hash, n * sizeof hash[0]);
        for (size_t k = 0; k < n; k++)
            TRY(check_name(o, (uint32_t)(i + k), hash[k], e));
        i += n;
    }
    return 0;
}

/* What the file's rows add up to, and what is left. */
static int sum_file(struct opener *o, uint32_t file, size_t first, struct sc_error *e)
{
    struct sc_file *f = &o->c->files[file];
    for (size_t i = first; i < o->c->n_entries; i++)
        f->tensor_bytes = sc_add_up(f->tensor_bytes, o->c->entries[i].bytes);
    uint64_t known;
    if (!sc_add(f->tensor_bytes, f->header_bytes, &known) || known > f->bytes) {
        f->other_bytes = 0;
        return sc_problem(o->c, SC_ERROR, "file.sum", file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                          "header and tensors need %llu bytes, but the file has %llu",
                          (unsigned long long)known, (unsigned long long)f->bytes);
    }
    f->other_bytes = f->bytes - known;
    return 0;
}

/* Once its entries are there. */
static int finish_file(struct opener *o, uint32_t file, size_t first, const uint64_t *known,
                       struct sc_error *e)
{
    if (o->c->files[file].component[0])
        TRY(prefix_names(o->c, first, o->c->files[file].component, e));
    TRY(check_names(o, file, first, known, e));
    return sum_file(o, file, first, e);
}

static int parse_file(struct opener *o, uint32_t file, struct sc_source *s, struct sc_error *e)
{
    struct sc_catalog *c = o->c;
    const size_t first = c->n_entries;
    const char *stranger;
    struct sc_quoted q;
    TRY(sc_format_probe(s, &c->files[file].format, &stranger, e));
    if (!c->files[file].format)
        return sc_problem(c, SC_ERROR, "file.stranger", file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                          "not a weight file, but %s",
                          stranger ? stranger : "of a kind that is not known here");
    const int status = c->files[file].format->open(c, file, s, e);
    if (status < 0) {
        /* Parsers name the file in what they refuse; a failing read names its source. */
        if (e && status == SCRUPLE_EMEMORY)
            sc_error_prefix(e, "%s", sc_quote(&q, sc_strz(c->files[file].path)));
        return status;
    }
    return finish_file(o, file, first, NULL, e);
}

/* A file whose header was parsed already. */
static int adopt_one(struct opener *o, const struct sc_plan_file *pf, struct sc_weight_map *map,
                     struct sc_parsed *parsed, struct sc_error *e)
{
    struct sc_catalog *c = o->c;
    const size_t first = c->n_entries;
    uint32_t file;
    if (o->repo->io) {
        o->repo->io->bytes_read += parsed->bytes_read;
        o->repo->io->requests += parsed->requests;
    }
    TRY(sc_catalog_add_file(c, pf->path, parsed->c->files[0].bytes, &file, e));
    c->files[file].component = pf->component;
    if (map)
        map->shard_file[pf->shard] = file;
    TRY(sc_catalog_adopt(c, file, parsed->c, e));
    return finish_file(o, file, first, parsed->hash, e);
}

static int open_one(struct opener *o, const struct sc_plan_file *pf, struct sc_weight_map *map,
                    struct sc_error *e)
{
    struct sc_catalog *c = o->c;
    struct sc_source *s = NULL;
    uint32_t file;
    struct sc_error why;
    int status = sc_repo_open_file(o->repo, pf->path, &s, &why);
    const int added = sc_catalog_add_file(c, pf->path, s ? s->size : 0, &file, e);
    if (added < 0) {
        sc_source_close(s);
        return added;
    }
    c->files[file].component = pf->component;
    if (map)
        map->shard_file[pf->shard] = file;
    if (status < 0) {
        if (e)
            *e = why;
        if (status == SCRUPLE_EMEMORY || !c->options || !c->options->lenient)
            return status;
        return sc_problem(c, SC_ERROR, "file.unreadable", file, SC_NO_TENSOR, SC_NO_OFFSET, e, "%s",
                          why.text);
    }
    status = parse_file(o, file, s, e);
    if (status == SCRUPLE_EFORMAT || status == SCRUPLE_ELIMIT)
        sc_source_reject(s);
    sc_source_close(s);
    if (status == SCRUPLE_EIO && c->options && c->options->lenient && e) {
        why = *e;
        status = sc_problem(c, SC_ERROR, "file.unreadable", file, SC_NO_TENSOR, SC_NO_OFFSET, e,
                            "%s", why.text);
    }
    return status;
}

static int open_or_adopt(struct opener *o, struct sc_plan *plan, const struct sc_plan_file *pf,
                         struct sc_error *e)
{
    struct sc_weight_map *map = pf->map == UINT32_MAX ? NULL : &plan->maps[pf->map];
    struct sc_parsed parsed;
    if (sc_cancelled(o->c))
        return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    if (!sc_shards_take(plan->shards, pf->path, &parsed))
        return open_one(o, pf, map, e);
    const int status = adopt_one(o, pf, map, &parsed, e);
    sc_parsed_clear(&parsed);
    return status;
}

/* Tells a remote repository which files come next, so that their headers are on the way while
 * others are read. `next` is the first that was not announced; `ahead` the bytes announced for
 * those that are not read yet. */
struct lookahead {
    size_t next;
    uint64_t ahead;
};

static void look_ahead(struct opener *o, const struct sc_plan *plan, struct lookahead *l)
{
    enum { MOST_BYTES = 48 << 20 };
    while (l->next < plan->n_files && l->ahead < MOST_BYTES) {
        const struct sc_plan_file *f = &plan->files[l->next++];
        if (f->head + f->tail > 0)
            sc_repo_expect(o->repo, f->path, f->head, f->tail);
        l->ahead += f->head + f->tail;
    }
}

static int open_all(struct opener *o, struct sc_plan *plan, struct sc_error *e)
{
    const bool remote = sc_repo_is_remote(o->repo);
    struct lookahead ahead = {0};
    bool split = false;
    size_t promised = 0;
    for (size_t i = 0; i < plan->n_maps; i++)
        promised += plan->maps[i].n_items;
    TRY(sc_index_reserve(&o->names.index, promised, e));
    o->keep_hashes = plan->n_maps > 0;
    for (size_t i = 0; i < plan->n_files; i++) {
        const struct sc_plan_file *pf = &plan->files[i];
        if (remote)
            look_ahead(o, plan, &ahead);
        TRY(open_or_adopt(o, plan, pf, e));
        ahead.ahead -= remote ? pf->head + pf->tail : 0;
        split |= o->c->files[o->c->n_files - 1].format == &sc_format_gguf;
    }
    sc_shards_keep_names(plan->shards, &o->c->arena);
    if (split)
        TRY(sc_gguf_check_split(o->c, e));
    for (size_t i = 0; i < plan->n_maps; i++)
        TRY(sc_weight_map_check(o->c, o->repo, &plan->maps[i], &o->names, e));
    if (!plan->weight_set && plan->n_files > 0 && o->c->files[0].format)
        plan->weight_set = o->c->files[0].format->name;
    o->c->weight_set = plan->weight_set;
    return 0;
}

int sc_catalog_open(struct sc_repo *repo, const struct sc_open_options *options,
                    struct sc_catalog **out, struct sc_error *e)
{
    struct sc_plan plan = {0};
    *out = NULL;
    struct opener o = {.repo = repo, .c = sc_calloc(1, sizeof(struct sc_catalog))};
    if (!o.c)
        return sc_fail_memory(e);
    o.c->options = options;
    o.c->filed = options && options->keep_repo && !options->quick;
    o.c->arena.filed = o.names.index.filed = o.c->filed;
    int status = sc_plan_make(o.c, repo, &plan, e);
    if (status == 0)
        status = open_all(&o, &plan, e);
    sc_plan_clear(&plan);
    sc_index_clear(&o.names.index);
    sc_pages_free(o.names.hash);
    if (status < 0) {
        sc_catalog_close(o.c);
        return status;
    }
    *out = o.c;
    return 0;
}
