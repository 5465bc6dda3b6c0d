/* SPDX-License-Identifier: Apache-2.0 */
/* expert_map: layers go down, experts to the right. */
#include "cli/expert_map.h"

#include <math.h>
#include <stdlib.h>

#include "picture/colour.h"

enum { CELL = 8, MOST_WIDE = 1 << 15, MOST_COLUMNS = 128 };

static uint8_t entry_of(float v)
{
    const float step = v * (SC_COLOUR_STEPS - 1);

    return isfinite(v) ? (uint8_t)step : (uint8_t)SC_SPECIAL_UNKNOWN;
}

/* Some of its experts. */
static void paint_part(const struct sc_expert_map *m, size_t first, size_t n, size_t cell_width,
                       size_t cell_height, uint8_t *to, size_t width)
{
    for (size_t y = 0; y < m->layers * cell_height; y++)
        for (size_t x = 0; x < n * cell_width; x++)
            to[y * width + x] =
                entry_of(m->values[y / cell_height * m->experts + first + x / cell_width]);
}

void sc_expert_map_paint(const struct sc_expert_map *m, size_t cell_width, size_t cell_height,
                         uint8_t *to, size_t width, size_t left)
{
    paint_part(m, 0, m->experts, cell_width, cell_height, to + left, width);
}

static int put_part(struct sc_cli *c, const struct sc_expert_map *m, size_t first, size_t n,
                    size_t cell_width, size_t cell_height, enum sc_graphics how, struct sc_error *e)
{
    const size_t width = n * cell_width, height = m->layers * cell_height;
    struct sc_palette palette;

    if (height > MOST_WIDE)
        return sc_fail(e, SCRUPLE_ELIMIT, "%zu layers are too many for a picture", m->layers);
    uint8_t *entries = sc_alloc(width * height + 1);
    if (!entries)
        return sc_fail_memory(e);
    sc_palette_make(SC_COLOURS_MAGNITUDE, !c->set.light, &palette);
    paint_part(m, first, n, cell_width, cell_height, entries, width);
    const struct sc_term_picture picture = {(uint32_t)width, (uint32_t)height, entries, &palette};
    const int code = sc_report_term_picture(&c->out, &picture, how, e);
    free(entries);
    return code;
}

int sc_expert_map_put(struct sc_cli *c, const struct sc_expert_map *m, enum sc_graphics how,
                      struct sc_error *e)
{
    const bool pixels = how <= SC_GRAPHICS_SIXEL;
    struct sc_screen screen;

    sc_screen_look(&screen);
    /* characters stand for two pixels, one above the other */
    const size_t columns = screen.columns ? screen.columns : MOST_COLUMNS;
    const size_t cell_width = pixels ? CELL : 2 * m->experts <= columns ? 2 : 1;
    const size_t cell_height = pixels ? CELL : 2;
    const size_t most = pixels ? MOST_WIDE / CELL : columns;
    for (size_t first = 0; first < m->experts; first += most) {
        const size_t n = SC_MIN(most, m->experts - first);
        if (n < m->experts) {
            sc_buf_printf(&c->out.buf, "experts %zu to %zu\n", first, first + n - 1);
            sc_out_settle(&c->out);
        }
        TRY(put_part(c, m, first, n, cell_width, cell_height, how, e));
    }
    return 0;
}
