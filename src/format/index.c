/* SPDX-License-Identifier: Apache-2.0 */
/* index: model.safetensors.index.json and pytorch_model.bin.index.json.
 *
 *   {"metadata": {"total_size": N, ...}, "weight_map": {TENSOR: FILE, ...}}
 *
 * total_size is often wrong or absent in the wild and is not believed. FILE is relative to the
 * folder of the index and may not leave it. */
#include "format/json_stream.h"
#include "format/weights.h"

#include <stdlib.h>
#include <string.h>

void sc_weight_map_clear(struct sc_weight_map *map)
{
    free(map->items);
    free(map->shards);
    free(map->loads);
    free(map->shard_file);
    *map = (struct sc_weight_map){0};
}

uint64_t sc_name_hash(const char *component, struct sc_str name)
{
    return sc_name_hash_in(component, sc_hash(name.p, name.n));
}

uint64_t sc_name_hash_in(const char *component, uint64_t hash)
{
    return component[0] ? sc_hash_mix(hash, sc_hash(component, strlen(component))) : hash;
}

struct sc_str sc_entry_raw_name(const struct sc_catalog *c, const struct sc_entry *en)
{
    const size_t prefix = strlen(c->files[en->file].component);
    const size_t skip = prefix ? prefix + 1 : 0;
    return sc_str(en->name + skip, en->name_len - skip);
}

struct reader {
    struct sc_catalog *c;
    struct sc_weight_map *map;
    struct sc_json_stream st;
    struct sc_arena scratch; /* unescaped strings */
    const char *folder;      /* "" or "unet/" */
    size_t folder_len;
    uint32_t last; /* shard of the item before: neighbours mostly agree */
    bool seen_map;
};

static bool is_shard(const struct reader *r, size_t i, struct sc_str file)
{
    const struct sc_str *s = &r->map->shards[i];
    return s->n - r->folder_len == file.n && memcmp(s->p + r->folder_len, file.p, file.n) == 0;
}

/* Number of a shard in the map, added when new. */
static int shard_number(struct reader *r, struct sc_str file, uint32_t *out, struct sc_error *e)
{
    struct sc_weight_map *m = r->map;
    const size_t skip = r->folder_len;
    for (size_t i = 0; i < m->n_shards; i++)
        if (is_shard(r, i, file)) {
            *out = (uint32_t)i;
            return 0;
        }
    if (m->n_shards >= 65536)
        return sc_fail(e, SCRUPLE_ELIMIT, "%s: more than 65536 shards", m->path);
    char *path = sc_arena_alloc(&r->c->arena, skip + file.n + 1, 1);
    if (!path)
        return sc_fail_memory(e);
    memcpy(path, r->folder, skip);
    memcpy(path + skip, file.p, file.n);
    path[skip + file.n] = '\0';
    TRY(sc_grow(&m->shards, &m->shards_cap, m->n_shards + 1, sizeof m->shards[0], e));
    TRY(sc_grow(&m->loads, &m->loads_cap, m->n_shards + 1, sizeof m->loads[0], e));
    m->loads[m->n_shards] = (struct sc_map_load){0};
    *out = (uint32_t)m->n_shards;
    m->shards[m->n_shards++] = sc_str(path, skip + file.n);
    return 0;
}

static int add_item(struct reader *r, struct sc_str name, struct sc_str file, uint64_t at,
                    struct sc_error *e)
{
    struct sc_weight_map *m = r->map;
    struct sc_quoted q, t;
    uint32_t shard = r->last;
    const bool same = m->n_shards > 0 && is_shard(r, shard, file);
    if (!same && (file.n > 4096 || !sc_path_is_inside(file)))
        return sc_problem(r->c, SC_ERROR, "index.path", UINT32_MAX, name, at, e,
                          "%s: tensor \"%s\" is said to be in \"%s\", which is not a file below "
                          "the model's folder",
                          m->path, sc_quote(&q, name), sc_quote(&t, file));
    if (!same)
        TRY(shard_number(r, file, &shard, e));
    r->last = shard;
    TRY(sc_grow(&m->items, &m->items_cap, m->n_items + 1, sizeof m->items[0], e));
    m->items[m->n_items++] =
        (struct sc_map_item){sc_name_hash(m->component, name), (uint32_t)at, shard};
    m->loads[shard].tensors++;
    m->loads[shard].name_bytes += name.n;
    return 0;
}

static int bad_index(struct reader *r, struct sc_error *e)
{
    const uint64_t at = sc_json_stream_at(&r->st);
    const char *problem = r->st.json.problem ? r->st.json.problem : "malformed";
    if (strcmp(problem, "out of memory") == 0)
        return sc_fail_memory(e);
    return sc_problem(r->c, SC_ERROR, "index.json", UINT32_MAX, SC_NO_TENSOR, at, e,
                      "%s: not a valid index at byte %llu: %s", r->map->path,
                      (unsigned long long)at, problem);
}

/* "name": "file" and what follows it. */
static bool scan_item(struct sc_json *j, struct sc_str *name, struct sc_str *file, bool *last)
{
    char c;
    if (!sc_json_string(j, name) || !sc_json_char(j, ':', "expected ':'") ||
        !sc_json_string(j, file) || !sc_json_peek(j, &c))
        return false;
    *last = c == '}';
    return *last ? sc_json_char(j, '}', "") : sc_json_char(j, ',', "expected ',' or '}'");
}

static int read_items(struct reader *r, struct sc_error *e)
{
    struct sc_json *j = &r->st.json;
    char c;
    bool last = false;
    TRY(sc_json_stream_fill(&r->st, e));
    if (!sc_json_char(j, '{', "\"weight_map\" must be an object") || !sc_json_peek(j, &c))
        return bad_index(r, e);
    if (c == '}') {
        j->p++;
        return 1;
    }
    while (!last) {
        struct sc_str name, file;
        bool ok;
        int again = 0;
        do {
            TRY(sc_json_stream_fill(&r->st, e));
            ok = scan_item(j, &name, &file, &last);
        } while (!ok && (again = sc_json_stream_retry(&r->st, e)) > 0);
        TRY(again);
        if (!ok)
            return bad_index(r, e);
        TRY(add_item(r, name, file, r->st.mark, e));
    }
    return 1;
}

/* A top-level member; *last when the closing brace followed. Returns 1 when it was sound, 0 when a
 * problem was reported and reading has to stop. */
static int read_member(struct reader *r, bool *last, struct sc_error *e)
{
    struct sc_json *j = &r->st.json;
    struct sc_str key = {NULL, 0};
    bool ok, is_map = false;
    int again = 0;
    char c;
    do {
        TRY(sc_json_stream_fill(&r->st, e));
        ok = sc_json_string(j, &key) && sc_json_char(j, ':', "expected ':'");
        is_map = ok && sc_str_is(key, "weight_map");
        ok = ok && (is_map || sc_json_skip(j));
    } while (!ok && (again = sc_json_stream_retry(&r->st, e)) > 0);
    TRY(again);
    if (!ok)
        return bad_index(r, e);
    if (is_map) {
        if (r->seen_map) {
            j->problem = "duplicate \"weight_map\"";
            return bad_index(r, e);
        }
        r->seen_map = true;
        const int status = read_items(r, e);
        if (status <= 0)
            return status;
    }
    do {
        TRY(sc_json_stream_fill(&r->st, e));
        ok = sc_json_peek(j, &c);
    } while (!ok && (again = sc_json_stream_retry(&r->st, e)) > 0);
    TRY(again);
    if (!ok || (c != '}' && c != ',')) {
        j->problem = "expected ',' or '}'";
        return bad_index(r, e);
    }
    j->p++;
    *last = c == '}';
    return 1;
}

static int read_document(struct reader *r, struct sc_error *e)
{
    struct sc_json *j = &r->st.json;
    char c;
    bool last = false;
    TRY(sc_json_stream_fill(&r->st, e));
    if (!sc_json_char(j, '{', "expected '{'") || !sc_json_peek(j, &c))
        return bad_index(r, e);
    while (c != '}' && !last) {
        const int status = read_member(r, &last, e);
        if (status <= 0)
            return status;
    }
    if (!r->seen_map)
        return sc_problem(r->c, SC_ERROR, "index.json", UINT32_MAX, SC_NO_TENSOR, SC_NO_OFFSET, e,
                          "%s: has no \"weight_map\"", r->map->path);
    if (r->map->n_items == 0)
        return sc_problem(r->c, SC_ERROR, "index.empty", UINT32_MAX, SC_NO_TENSOR, SC_NO_OFFSET, e,
                          "%s: names no tensors", r->map->path);
    return 0;
}

int sc_weight_map_read(struct sc_catalog *c, struct sc_repo *repo, const char *path,
                       const char *component, struct sc_weight_map *map, struct sc_error *e)
{
    *map = (struct sc_weight_map){.component = component};
    map->path = sc_arena_copy(&c->arena, path, strlen(path));
    const char *slash = strrchr(path, '/');
    struct reader r = {.c = c, .map = map};
    r.folder_len = slash ? (size_t)(slash + 1 - path) : 0;
    r.folder = sc_arena_copy(&c->arena, path, r.folder_len);
    if (!map->path || !r.folder)
        return sc_fail_memory(e);
    struct sc_source *s = NULL;
    TRY(sc_repo_open_file(repo, path, &s, e));
    int status;
    sc_source_prefetch_head(s, s->size);
    if (s->size > SC_MAX_INDEX_BYTES)
        status = sc_problem(c, SC_ERROR, "index.size", UINT32_MAX, SC_NO_TENSOR, SC_NO_OFFSET, e,
                            "%s: has %llu bytes; %llu are allowed", path,
                            (unsigned long long)s->size, (unsigned long long)SC_MAX_INDEX_BYTES);
    else if ((status = sc_json_stream_start(&r.st, s, 0, s->size, &r.scratch, e)) == 0)
        status = read_document(&r, e);
    sc_json_stream_clear(&r.st);
    sc_arena_clear(&r.scratch);
    sc_source_close(s);
    if (status == 0 && map->n_shards) {
        map->shard_file = sc_alloc(map->n_shards * sizeof map->shard_file[0]);
        if (!map->shard_file)
            return sc_fail_memory(e);
        memset(map->shard_file, 0xff, map->n_shards * sizeof map->shard_file[0]);
    }
    return status;
}

/* Read one key of the index again, to put its name into a message. */
static struct sc_str name_at(struct sc_repo *repo, const struct sc_weight_map *map, uint64_t at,
                             struct sc_arena *arena)
{
    struct sc_source *s = NULL;
    struct sc_json j;
    struct sc_str name = {"?", 1};
    char text[1024];
    if (sc_repo_open_file(repo, map->path, &s, NULL) < 0)
        return name;
    if (at < s->size) {
        const size_t n = (size_t)SC_MIN(s->size - at, (uint64_t)sizeof text);
        if (sc_source_read(s, at, text, n, NULL) == 0) {
            struct sc_str found;
            sc_json_start(&j, text, n, arena);
            if (sc_json_string(&j, &found)) {
                const char *copy = sc_arena_copy(arena, found.p, found.n);
                if (copy)
                    name = sc_str(copy, found.n);
            }
        }
    }
    sc_source_close(s);
    return name;
}

/* The entry of that name in the promised shard, else one of that name elsewhere, else UINT32_MAX.
 * `guess` is looked at first: an index mostly lists tensors as the shards hold them. */
static uint32_t find_entry(const struct sc_catalog *c, const struct sc_names *names,
                           const struct sc_weight_map *map, const struct sc_map_item *item,
                           size_t guess)
{
    const uint32_t file = map->shard_file[item->shard];
    if (guess < c->n_entries && names->hash[guess] == item->name_hash &&
        c->entries[guess].file == file)
        return (uint32_t)guess;
    size_t probe = 0;
    uint32_t other = UINT32_MAX;
    for (uint32_t id; (id = sc_index_next(&names->index, item->name_hash, &probe)) != UINT32_MAX;) {
        if (names->hash[id] != item->name_hash)
            continue;
        if (c->entries[id].file == file)
            return id;
        other = id;
    }
    return other;
}

static int missing_tensor(struct sc_catalog *c, struct sc_repo *repo,
                          const struct sc_weight_map *map, const struct sc_map_item *item,
                          uint32_t elsewhere, struct sc_error *e)
{
    struct sc_arena scratch = {0};
    struct sc_quoted q, t;
    const struct sc_str name = name_at(repo, map, item->at, &scratch);
    int status;
    if (elsewhere != UINT32_MAX)
        status = sc_problem(c, SC_ERROR, "index.wrong-shard", UINT32_MAX, name, item->at, e,
                            "%s: tensor \"%s\" is said to be in \"%s\", but is in \"%s\"",
                            map->path, sc_quote(&q, name), sc_quote(&t, map->shards[item->shard]),
                            c->files[c->entries[elsewhere].file].path);
    else
        status = sc_problem(c, SC_ERROR, "index.missing-tensor", UINT32_MAX, name, item->at, e,
                            "%s: tensor \"%s\" is said to be in \"%s\", but is not there",
                            map->path, sc_quote(&q, name), sc_quote(&t, map->shards[item->shard]));
    sc_arena_clear(&scratch);
    return status;
}

int sc_weight_map_check(struct sc_catalog *c, struct sc_repo *repo, const struct sc_weight_map *map,
                        const struct sc_names *names, struct sc_error *e)
{
    struct sc_quoted q;
    size_t guess = 0;
    uint8_t *listed = sc_calloc(c->n_entries + 1, 1);
    int status = 0;
    if (!listed)
        return sc_fail_memory(e);
    for (size_t i = 0; i < map->n_items && status == 0; i++) {
        const struct sc_map_item *item = &map->items[i];
        if (map->shard_file[item->shard] == UINT32_MAX)
            continue; /* the whole shard is missing and was reported */
        const uint32_t id = find_entry(c, names, map, item, guess);
        guess = (size_t)id + 1;
        if (id == UINT32_MAX || c->entries[id].file != map->shard_file[item->shard])
            status = missing_tensor(c, repo, map, item, id, e);
        else if (listed[id])
            status = sc_problem(c, SC_ERROR, "index.duplicate", UINT32_MAX,
                                sc_entry_name(&c->entries[id]), item->at, e,
                                "%s: tensor \"%s\" is listed twice", map->path,
                                sc_quote(&q, sc_entry_name(&c->entries[id])));
        if (id != UINT32_MAX)
            listed[id] = 1;
    }
    uint8_t *ours = sc_calloc(c->n_files + 1, 1);
    if (!ours)
        status = sc_fail_memory(e);
    for (size_t i = 0; ours && i < map->n_shards; i++)
        if (map->shard_file[i] != UINT32_MAX)
            ours[map->shard_file[i]] = 1;
    for (size_t i = 0; i < c->n_entries && status == 0; i++)
        if (ours[c->entries[i].file] && !listed[i])
            status = sc_problem(c, SC_WARNING, "index.unlisted", c->entries[i].file,
                                sc_entry_name(&c->entries[i]), SC_NO_OFFSET, e,
                                "tensor \"%s\" is in a shard, but not in %s",
                                sc_quote(&q, sc_entry_name(&c->entries[i])), map->path);
    free(ours);
    free(listed);
    return status;
}
