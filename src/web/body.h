/* SPDX-License-Identifier: Apache-2.0 */
/* body: bytes that are sent, and those of tiles that are kept.
 *
 * A body is shared: by the connections that send it and by what keeps it. */
#ifndef SC_WEB_BODY_H
#define SC_WEB_BODY_H

#include "web/web.h"

struct sc_body {
    _Atomic size_t users;
    size_t n;
    uint8_t *p;
};
/* Takes p, which free() can free, over; on failure, too. One user. */
struct sc_body *sc_body_new(void *p, size_t n);
struct sc_body *sc_body_use(struct sc_body *b);
void sc_body_leave(void *body); /* NULL is allowed */

/* Some pixels have not come yet. */
bool sc_tile_waits(const struct sc_tile *t);

/* Exact tiles that were asked for last, within a budget. Any thread. */
struct sc_tile_key {
    uint32_t view;
    int32_t z;
    int64_t x, y;
    uint32_t plane;
};
struct sc_tile_cache;
struct sc_tile_cache *sc_tile_cache_new(uint64_t memory); /* NULL: no memory */
void sc_tile_cache_free(struct sc_tile_cache *k);         /* NULL is allowed */
/* The caller becomes a user; NULL: it is not there. */
struct sc_body *sc_tile_cache_get(struct sc_tile_cache *k, const struct sc_tile_key *key);
/* Becomes a user itself, or not when there is no room. */
void sc_tile_cache_put(struct sc_tile_cache *k, const struct sc_tile_key *key, struct sc_body *b);

#endif
