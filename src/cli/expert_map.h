/* SPDX-License-Identifier: Apache-2.0 */
/* expert_map: maps of layers and experts on the terminal and in pictures. Private to cli. */
#ifndef SC_CLI_EXPERT_MAP_H
#define SC_CLI_EXPERT_MAP_H

#include "cli/cli.h"
#include "picture/colour.h"

/* Numbers from 0 to 1, NaN: not known; row by row. */
struct sc_expert_map {
    const float *values; /* (layers x experts) */
    size_t layers, experts;
};
/* Draws it as palette entries of cells of so many pixels, from column `left` on of rows that are
 * `width` long. */
void sc_expert_map_paint(const struct sc_expert_map *m, size_t cell_width, size_t cell_height,
                         uint8_t *to, size_t width, size_t left);
/* On the terminal. Where the screen is too narrow a column is the largest of some neighbours, which
 * a line above the map says. */
int sc_expert_map_put(struct sc_cli *c, const struct sc_expert_map *m, enum sc_graphics how,
                      struct sc_error *e);

/* Palette entries, free(p). */
struct sc_map_picture {
    uint8_t *p;
    size_t width, height;
    struct sc_palette palette;
};
enum { SC_MAP_LARGEST = 1 << 15 }; /* side of a picture */
/* All of it SC_SPECIAL_OUTSIDE; SCRUPLE_ELIMIT: too large. */
int sc_map_picture_new(const struct sc_cli *c, size_t width, size_t height,
                       struct sc_map_picture *out, struct sc_error *e);
/* To --png FILE, and a note of its size. */
int sc_map_picture_write(const struct sc_cli *c, const struct sc_map_picture *from,
                         struct sc_error *e);

#endif
