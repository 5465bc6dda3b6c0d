/* SPDX-License-Identifier: Apache-2.0 */
/* map_list: maps for the viewer as they are collected, row by row of their grid. Private to cli. */
#ifndef SC_CLI_MAP_LIST_H
#define SC_CLI_MAP_LIST_H

#include "picture/maps.h"

/* Zero-initialise. Texts and values live in the arena. */
struct sc_map_list {
    struct sc_map *maps;
    size_t n, cap;
    uint32_t next_row; /* of the grid */
    struct sc_arena arena;
};
/* NULL: no memory. */
char *sc_map_list_text(struct sc_map_list *k, const char *pattern, ...) SC_PRINTF(2, 3);
/* Takes the map into grid column `column` of the row at hand. A name or values of NULL: somebody
 * had no memory. */
int sc_map_list_add(struct sc_map_list *k, struct sc_map map, uint32_t column, struct sc_error *e);
void sc_map_list_clear(struct sc_map_list *k);

#endif
