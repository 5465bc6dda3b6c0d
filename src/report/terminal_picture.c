/* SPDX-License-Identifier: Apache-2.0 */
/* terminal_picture: indices of a palette on a terminal.
 *
 * Four ways: the graphics protocol of kitty (a PNG in base64), sixels (DEC's, six rows at a time),
 * half blocks (two pixels a character, in 24-bit colours), and shades of ASCII. */
#include <stdlib.h>
#include <string.h>

#include "report/html.h"
#include "report/report.h"

const char *const sc_graphics_names[] = {"auto", "kitty", "sixel", "blocks", "ascii", NULL};

/* ---------------------------------------------------------------------------------- kitty --- */

static int put_kitty(struct sc_out *o, const struct sc_term_picture *p, struct sc_error *e)
{
    enum { PIECE = 3072 }; /* 4096 characters of base64, as the protocol wants */
    uint8_t *png = sc_alloc(sc_indexed_png_bound(p->width, p->height));
    size_t n =
        png ? sc_indexed_png_tile(p->indices, p->width, p->height, p->palette, false, png) : 0;

    for (size_t i = 0; i < n; i += PIECE) {
        sc_out_puts(o, i ? "\033_G" : "\033_Ga=T,f=100,");
        sc_out_puts(o, i + PIECE < n ? "m=1;" : "m=0;");
        sc_put_base64(&o->buf, png + i, SC_MIN(n - i, (size_t)PIECE));
        sc_out_puts(o, "\033\\");
        sc_out_settle(o);
    }
    sc_out_putc(o, '\n');
    free(png);
    return n ? 0 : sc_fail_memory(e);
}

/* ---------------------------------------------------------------------------------- sixel --- */

/* One colour of six rows, runs put together. */
static void put_band_colour(struct sc_out *o, const struct sc_term_picture *p, uint32_t y,
                            uint8_t index)
{
    uint32_t run = 0;
    char last = 0;

    for (uint32_t x = 0; x <= p->width; x++) {
        unsigned bits = 0;
        for (uint32_t k = 0; x < p->width && k < 6 && y + k < p->height; k++)
            bits |= (unsigned)(p->indices[(size_t)(y + k) * p->width + x] == index) << k;
        char c = '\0';
        if (x < p->width)
            c = (char)('?' + bits);
        if (c == last) {
            run++;
            continue;
        }
        if (run > 3) {
            sc_out_putc(o, '!');
            sc_out_u64(o, run);
            sc_out_putc(o, last);
        } else {
            sc_out_repeat(o, last, run);
        }
        last = c;
        run = 1;
    }
}

static void put_sixels(struct sc_out *o, const struct sc_term_picture *p)
{
    bool used[256] = {false};

    for (size_t i = 0; i < (size_t)p->width * p->height; i++)
        used[p->indices[i]] = true;
    sc_out_puts(o, "\033P0;1q\"1;1;");
    sc_out_u64(o, p->width);
    sc_out_putc(o, ';');
    sc_out_u64(o, p->height);
    for (unsigned k = 0; k < 256; k++)
        if (used[k]) {
            const uint8_t *c = p->palette->rgb[k];
            sc_buf_printf(&o->buf, "#%u;2;%u;%u;%u", k, (c[0] * 100u + 127) / 255,
                          (c[1] * 100u + 127) / 255, (c[2] * 100u + 127) / 255);
        }
    for (uint32_t y = 0; y < p->height; y += 6) {
        bool here[256] = {false};
        for (size_t i = (size_t)y * p->width; i < (size_t)SC_MIN(y + 6, p->height) * p->width; i++)
            here[p->indices[i]] = true;
        for (unsigned k = 0; k < 256; k++)
            if (here[k]) {
                sc_out_putc(o, '#');
                sc_out_u64(o, k);
                put_band_colour(o, p, y, (uint8_t)k);
                sc_out_putc(o, '$');
            }
        sc_out_putc(o, '-');
        sc_out_settle(o);
    }
    sc_out_puts(o, "\033\\\n");
}

/* -------------------------------------------------------------------------- blocks, ASCII --- */

static void put_rgb(struct sc_out *o, int what, const uint8_t c[3])
{
    sc_buf_printf(&o->buf, "\033[%d;2;%u;%u;%um", what, c[0], c[1], c[2]);
}

/* Upper half blocks: the upper pixel in front, the lower one behind. */
static void put_blocks(struct sc_out *o, const struct sc_term_picture *p)
{
    for (uint32_t y = 0; y < p->height; y += 2) {
        int front = -1, behind = -1;
        for (uint32_t x = 0; x < p->width; x++) {
            uint8_t up = p->indices[(size_t)y * p->width + x];
            uint8_t low = y + 1 < p->height ? p->indices[(size_t)(y + 1) * p->width + x]
                                            : (uint8_t)SC_SPECIAL_OUTSIDE;
            if (front != up)
                put_rgb(o, 38, p->palette->rgb[up]);
            if (behind != low)
                put_rgb(o, 48, p->palette->rgb[low]);
            front = up;
            behind = low;
            sc_out_puts(o, "\xe2\x96\x80");
        }
        sc_out_puts(o, "\033[0m\n");
        sc_out_settle(o);
    }
}

static unsigned brightness(const uint8_t c[3])
{
    return (299u * c[0] + 587u * c[1] + 114u * c[2]) / 1000;
}

/* Two rows a line; the darker the colour, the darker the letter, on a dark screen. */
static void put_ascii(struct sc_out *o, const struct sc_term_picture *p)
{
    static const char shades[] = " .:-=+*#%@";

    for (uint32_t y = 0; y < p->height; y += 2) {
        for (uint32_t x = 0; x < p->width; x++) {
            uint8_t up = p->indices[(size_t)y * p->width + x];
            uint8_t low = y + 1 < p->height ? p->indices[(size_t)(y + 1) * p->width + x] : up;
            unsigned light =
                (brightness(p->palette->rgb[up]) + brightness(p->palette->rgb[low])) / 2;
            bool nothing = up == SC_SPECIAL_OUTSIDE && low == SC_SPECIAL_OUTSIDE;
            char shade = shades[light * (sizeof shades - 2) / 255];
            if (nothing)
                shade = ' ';
            sc_out_putc(o, shade);
        }
        sc_out_putc(o, '\n');
        sc_out_settle(o);
    }
}

int sc_report_term_picture(struct sc_out *o, const struct sc_term_picture *p, enum sc_graphics how,
                           struct sc_error *e)
{
    switch (how) {
    case SC_GRAPHICS_KITTY:
        return put_kitty(o, p, e);
    case SC_GRAPHICS_SIXEL:
        put_sixels(o, p);
        return 0;
    case SC_GRAPHICS_BLOCKS:
        put_blocks(o, p);
        return 0;
    case SC_GRAPHICS_AUTO:
    case SC_GRAPHICS_ASCII:
        break;
    }
    put_ascii(o, p);
    return 0;
}

/* --------------------------------------------------------------------------------- legend --- */

void sc_report_legend(struct sc_out *o, const struct sc_colours *c,
                      const struct sc_palette *palette, enum sc_graphics how)
{
    enum { CELLS = 24 };
    static const struct {
        unsigned index;
        const char *name;
    } specials[] = {{SC_SPECIAL_ZERO, "zero"},           {SC_SPECIAL_NAN, "NaN"},
                    {SC_SPECIAL_POS_INF, "+inf"},        {SC_SPECIAL_NEG_INF, "-inf"},
                    {SC_SPECIAL_SUBNORMAL, "subnormal"}, {SC_SPECIAL_UNKNOWN, "unknown"}};
    uint8_t indices[CELLS];
    double low = sc_colours_value(c, 0), high = sc_colours_value(c, SC_COLOUR_STEPS - 1);

    if (how == SC_GRAPHICS_ASCII) {
        if (c->n_edges)
            sc_buf_printf(&o->buf, "%.3g to %.3g\n", low, high);
        return;
    }
    if (c->n_edges)
        sc_buf_printf(&o->buf, "%.3g ", low);
    for (unsigned i = 0; i < CELLS; i++) {
        indices[i] = (uint8_t)(i * (SC_COLOUR_STEPS - 1) / (CELLS - 1));
        put_rgb(o, 48, palette->rgb[indices[i]]);
        sc_out_putc(o, ' ');
    }
    sc_out_puts(o, "\033[0m");
    if (c->n_edges)
        sc_buf_printf(&o->buf, " %.3g", high);
    for (size_t i = 0; i < SC_COUNT(specials); i++) {
        sc_out_puts(o, "  ");
        put_rgb(o, 48, palette->rgb[specials[i].index]);
        sc_out_puts(o, "  \033[0m ");
        sc_out_puts(o, specials[i].name);
    }
    sc_out_putc(o, '\n');
    sc_out_settle(o);
}
