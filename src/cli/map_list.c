/* SPDX-License-Identifier: Apache-2.0 */
/* map_list: maps and their texts. */
#include "cli/map_list.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

char *sc_map_list_text(struct sc_map_list *k, const char *pattern, ...)
{
    va_list args, again;

    va_start(args, pattern);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, pattern, args);
    char *text = n < 0 ? NULL : SC_ARENA_NEW(&k->arena, char, (size_t)n + 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, pattern, again);
    va_end(again);
    va_end(args);
    return text;
}

int sc_map_list_add(struct sc_map_list *k, struct sc_map map, uint32_t column, struct sc_error *e)
{
    if (!map.name || !map.values)
        return sc_fail_memory(e);
    map.x = column;
    map.y = k->next_row;
    TRY(sc_grow(&k->maps, &k->cap, k->n + 1, sizeof *k->maps, e));
    k->maps[k->n++] = map;
    return 0;
}

void sc_map_list_clear(struct sc_map_list *k)
{
    free(k->maps);
    sc_arena_clear(&k->arena);
    *k = (struct sc_map_list){0};
}
