/* SPDX-License-Identifier: Apache-2.0 */
/* extents: which bytes of an object are kept, and by which unit.
 *
 * Disjoint extents in order. Each is the visible part of one unit; newer units cover older ones.
 * Not thread-safe. All functions that return bool say false when there is no memory, and then
 * nothing has changed. */
#ifndef SCRUPLE_HUB_EXTENTS_H
#define SCRUPLE_HUB_EXTENTS_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes [off, end) of the object, which were written at once. */
struct sc_unit {
    uint64_t off, end;
    uint32_t crc; /* of all its bytes */
    uint64_t at;  /* where the log has its bytes; 0: they are in `data` */
};
struct sc_extent {
    uint64_t off, end; /* what is visible of ... */
    struct sc_unit unit;
    bool sound; /* its bytes were held against the checksum, or written by us */
};
/* {0} is an empty one; free(p) ends it. */
struct sc_extents {
    struct sc_extent *p;
    size_t n, cap;
};

bool sc_unit_is(const struct sc_unit *a, const struct sc_unit *b);
/* The number of the first extent that ends behind off; n when there is none. */
size_t sc_extents_at(const struct sc_extents *e, uint64_t off);
/* A new unit covers what older ones say of the same bytes. */
bool sc_extents_add(struct sc_extents *e, struct sc_unit u, bool sound);
/* n units, older ones first, in n log n. */
bool sc_extents_add_all(struct sc_extents *e, const struct sc_extent *units, size_t n);
/* After a checksum that does not fit: no part of the unit is there. */
void sc_extents_drop(struct sc_extents *e, const struct sc_unit *u);
/* The unit was held against its checksum. */
void sc_extents_sound(struct sc_extents *e, const struct sc_unit *u);

#endif
