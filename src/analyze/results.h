/* SPDX-License-Identifier: Apache-2.0 */
/* results: figures that were computed once, kept for every later run.
 *
 * A SQLite file in our cache (results.db), from keys that name content and method to blobs. Several
 * processes share it; a missing, read-only, full or broken one only costs time: nothing here fails
 * a scan. A blob carries a checksum of its own; one that does not fit is as if it were not there.
 * May be used from many threads.
 */
#ifndef SC_RESULTS_H
#define SC_RESULTS_H

#include "base/base.h"

struct sc_results;
/* In the folder `cache` (which is made when needed). Never fails visibly: without a usable file
 * every get misses and every put is dropped; `note` (may be NULL) says once why. NULL: no memory,
 * which is allowed below. libsqlite3 is loaded on first need. */
struct sc_results *sc_results_open(const char *cache, void (*note)(void *ctx, const char *sentence),
                                   void *note_ctx);
/* Flushes what is waiting. NULL is allowed. */
void sc_results_close(struct sc_results *r);
/* key: any bytes. true: n bytes were found and are at dst; a blob of another size is a miss. */
bool sc_results_get(struct sc_results *r, struct sc_str key, void *dst, size_t n);
/* Kept in memory for a moment and written in batches (at the latest after a second, or 64 of
 * them, on the caller's thread), so that a killed scan loses little. */
void sc_results_put(struct sc_results *r, struct sc_str key, const void *blob, size_t n);
/* Entries and bytes, for `cache ls`; and removal of everything, for `cache rm`. 0 or an error. */
int sc_results_size(const char *cache, uint64_t *entries, uint64_t *bytes, struct sc_error *e);
uint64_t sc_results_used(const char *cache); /* Unix time of the last write; 0: there is none */
int sc_results_remove(const char *cache, struct sc_error *e);

#endif
