/* SPDX-License-Identifier: Apache-2.0 */
/* expert_map: layers go down, experts to the right. */
#include "cli/expert_map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 8, MOST_WIDE = SC_MAP_LARGEST, MOST_COLUMNS = 128 };

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

/* -------------------------------------------------------------------------------- pictures --- */
int sc_map_picture_new(const struct sc_cli *c, size_t width, size_t height,
                       struct sc_map_picture *out, struct sc_error *e)
{
    *out = (struct sc_map_picture){.width = width, .height = height};
    if (width > SC_MAP_LARGEST || height > SC_MAP_LARGEST)
        return sc_fail(e, SCRUPLE_ELIMIT, "a picture of %zu x %zu pixels is too large (%d)", width,
                       height, SC_MAP_LARGEST);
    out->p = sc_alloc(width * height + 1);
    if (!out->p)
        return sc_fail_memory(e);
    memset(out->p, SC_SPECIAL_OUTSIDE, width * height);
    sc_palette_make(SC_COLOURS_MAGNITUDE, !c->set.light, &out->palette);
    return 0;
}

static int put_file(void *sink, const void *p, size_t n)
{
    return sc_sink_write(sink, p, n);
}

static int encode(const struct sc_map_picture *from, struct sc_sink *sink, struct sc_error *e)
{
    struct sc_indexed_png *png = NULL;

    TRY(sc_indexed_png_new((uint32_t)from->width, (uint32_t)from->height, &from->palette, false,
                           put_file, sink, &png, e));
    int code = sc_indexed_png_rows(png, from->p, from->height, e);
    if (code == 0)
        code = sc_indexed_png_end(png, e);
    sc_indexed_png_free(png);
    return code;
}

int sc_map_picture_write(const struct sc_cli *c, const struct sc_map_picture *from,
                         struct sc_error *e)
{
    struct sc_sink sink = {0};
    struct sc_error of_sink = {0};

    TRY(sc_sink_open(&sink, c->set.picture, false, 0, e));
    int code = encode(from, &sink, e);
    const int closed = sc_sink_close(&sink, code == 0, &of_sink);
    if (closed < 0 && (code == 0 || code == SCRUPLE_EWRITE)) {
        code = closed;
        *e = of_sink;
    }
    if (code == 0 && !c->set.quiet)
        sc_say(c, "note", "%s: %zu x %zu pixels", c->set.picture, from->width, from->height);
    return code;
}
