/* SPDX-License-Identifier: Apache-2.0 */
/* weights: which files of a repository make up the model, and what an index file promises.
 * Private to format. */
#ifndef SC_WEIGHTS_H
#define SC_WEIGHTS_H

#include "format/shards.h"

/* One weight_map. Names are kept as keyed 64-bit hashes: an index of 92,000 tensors is read once,
 * in a sliding window, and costs 16 bytes a tensor. */
struct sc_weight_map {
    const char *path;      /* of the index file */
    const char *component; /* of its shards */
    struct sc_map_item {
        uint64_t name_hash; /* sc_name_hash(component, name) */
        uint32_t at;        /* byte position in the index file, to name it in a message */
        uint32_t shard;     /* into shards */
    } * items;
    struct sc_str *shards; /* relative to the repository root; catalog arena */
    struct sc_map_load {
        uint32_t tensors;
        uint64_t name_bytes;
    } * loads;            /* (n_shards) what each has to list, to guess how long its header is */
    uint32_t *shard_file; /* (n_shards) index into catalog->files, UINT32_MAX: missing */
    size_t n_items, items_cap, n_shards, shards_cap, loads_cap;
};

struct sc_plan_file {
    const char *path;
    const char *component; /* "" or a prefix for names */
    uint32_t map;          /* into maps, or UINT32_MAX */
    uint32_t shard;        /* in that map */
    uint64_t head, tail;   /* bytes that listing it takes, by a guess: what a remote repository
                              should fetch at once; 0: it has been told already */
};
struct sc_plan {
    struct sc_plan_file *files;
    struct sc_weight_map *maps;
    size_t n_files, files_cap, n_maps, maps_cap;
    const char *weight_set;
    struct sc_shards *shards; /* optional: the shards of the first index, while others are read */
};

/* Decide what to open; reads index files only. Says what it left out through options->note and as
 * findings. */
int sc_plan_make(struct sc_catalog *c, struct sc_repo *repo, struct sc_plan *plan,
                 struct sc_error *e);
void sc_plan_clear(struct sc_plan *plan);

/* Reads the index at `path`; shards are relative to its folder. */
int sc_weight_map_read(struct sc_catalog *c, struct sc_repo *repo, const char *path,
                       const char *component, struct sc_weight_map *map, struct sc_error *e);
/* The names of all entries, while opening: found by hash, told apart by the hash's 64 bits. */
struct sc_names {
    struct sc_index index; /* hash -> entry */
    uint64_t *hash;        /* (n_entries) sc_name_hash() of each */
    size_t hash_cap;
};
/* Every promise against what the shards hold: tensors missing, in another shard, unlisted. */
int sc_weight_map_check(struct sc_catalog *c, struct sc_repo *repo, const struct sc_weight_map *map,
                        const struct sc_names *names, struct sc_error *e);
void sc_weight_map_clear(struct sc_weight_map *map);

uint64_t sc_name_hash(const char *component, struct sc_str name);
/* The same from sc_name_hash("", name). */
uint64_t sc_name_hash_in(const char *component, uint64_t hash);
/* The name as the file has it, without the component in front. */
struct sc_str sc_entry_raw_name(const struct sc_catalog *c, const struct sc_entry *en);

#endif
