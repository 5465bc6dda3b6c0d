/* SPDX-License-Identifier: Apache-2.0 */
/* shards: headers of many shards, parsed by threads while the caller does what comes before them
 * and then goes through them in order. Private to the format layer.
 *
 * Each file is parsed into a catalog of its own, and the caller puts these together in order. Only
 * what is sound is kept: a file of which there is anything to say is parsed again when its turn
 * comes, so that findings, errors and counts are what they are without threads. */
#ifndef SC_FORMAT_SHARDS_H
#define SC_FORMAT_SHARDS_H

#include "format/format.h"

struct sc_shard {
    const char *path; /* in the repository; borrowed as long as they are read */
    uint64_t head;    /* bytes of its header, by a guess */
};

/* What a thread made of a file. */
struct sc_parsed {
    struct sc_catalog *c; /* with this one file; nothing in it but entries and metadata. Their
                             words belong to sc_shards */
    uint64_t *hash;       /* (c->n_entries) sc_name_hash("", name) */
    uint64_t bytes_read, requests;
};
void sc_parsed_clear(struct sc_parsed *p);

struct sc_shards;
/* Begins with `files` in their order, at once. NULL: it is not worth it, options->threads does not
 * allow it, or the system has no thread; then the caller does everything. The repository, the paths
 * and what the options point to must outlive it. */
struct sc_shards *sc_shards_start(struct sc_repo *repo, const struct sc_open_options *options,
                                  const struct sc_shard *files, size_t n);
/* `path` is next: what was made of it, which is the caller's to clear; or false, and it is the
 * caller's to parse. While others work on it, this call takes part in what comes later. Best asked
 * for each file once and in their order; NULL is allowed. */
bool sc_shards_take(struct sc_shards *a, const char *path, struct sc_parsed *out);
/* Puts the words of all that was taken into `arena`, at the end: no file is taken any more. */
void sc_shards_keep_names(struct sc_shards *a, struct sc_arena *arena); /* NULL is allowed */
void sc_shards_end(struct sc_shards *a);                                /* NULL is allowed */

#endif
