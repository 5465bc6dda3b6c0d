/* SPDX-License-Identifier: Apache-2.0 */
/* expert_map: layers go down, experts to the right. */
#include "cli/expert_map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 8, MOST_WIDE = SC_MAP_LARGEST, USUAL_COLUMNS = 128 };

static uint8_t entry_of(float v)
{
    const float step = v * (SC_COLOUR_STEPS - 1);

    return isfinite(v) ? (uint8_t)step : (uint8_t)SC_SPECIAL_UNKNOWN;
}

void sc_expert_map_paint(const struct sc_expert_map *m, size_t cell_width, size_t cell_height,
                         uint8_t *to, size_t width, size_t left)
{
    for (size_t y = 0; y < m->layers * cell_height; y++)
        for (size_t x = 0; x < m->experts * cell_width; x++)
            to[y * width + left + x] =
                entry_of(m->values[y / cell_height * m->experts + x / cell_width]);
}

/* The largest of each `group` of neighbours; NaN: none is known. */
static void pool(const struct sc_expert_map *m, size_t group, float *out)
{
    for (size_t l = 0; l < m->layers; l++)
        for (size_t first = 0; first < m->experts; first += group) {
            float most = NAN;
            for (size_t i = first; i < SC_MIN(first + group, m->experts); i++)
                most = fmaxf(most, m->values[l * m->experts + i]);
            *out++ = most;
        }
}

static int draw(struct sc_cli *c, const struct sc_expert_map *m, size_t cell_width,
                size_t cell_height, enum sc_graphics how, struct sc_error *e)
{
    const size_t width = m->experts * cell_width, height = m->layers * cell_height;
    struct sc_palette palette;

    if (height > MOST_WIDE)
        return sc_fail(e, SCRUPLE_ELIMIT, "%zu layers are too many for a picture", m->layers);
    uint8_t *entries = sc_alloc(width * height + 1);
    if (!entries)
        return sc_fail_memory(e);
    sc_palette_make(SC_COLOURS_MAGNITUDE, !c->set.light, &palette);
    sc_expert_map_paint(m, cell_width, cell_height, entries, width, 0);
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
    const size_t columns = screen.columns ? screen.columns : USUAL_COLUMNS;
    const size_t most = pixels ? MOST_WIDE / CELL : columns;
    const size_t group = (m->experts + most - 1) / most;
    const size_t shown = (m->experts + group - 1) / group;
    const size_t cell_width = pixels ? CELL : 2 * shown <= columns ? 2 : 1;
    const size_t cell_height = pixels ? CELL : 2;
    if (group == 1)
        return draw(c, m, cell_width, cell_height, how, e);
    float *pooled = sc_alloc(m->layers * shown * sizeof *pooled);
    if (!pooled)
        return sc_fail_memory(e);
    pool(m, group, pooled);
    sc_buf_printf(&c->out.buf, "(a column is the largest of %zu experts)\n", group);
    sc_out_settle(&c->out);
    const int code =
        draw(c, &(struct sc_expert_map){pooled, m->layers, shown}, cell_width, cell_height, how, e);
    free(pooled);
    return code;
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
