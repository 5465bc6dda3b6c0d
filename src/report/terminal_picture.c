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

/* What is no step of a scale: its letter in ASCII, from what must not be missed on, and its name.
 */
static const struct special {
    unsigned index;
    char letter;
    const char *name;
} specials[] = {{SC_SPECIAL_NAN, 'N', "NaN"},
                {SC_SPECIAL_POS_INF, 'I', "+inf"},
                {SC_SPECIAL_NEG_INF, 'i', "-inf"},
                {SC_SPECIAL_UNKNOWN, '?', "unknown"},
                {SC_SPECIAL_WAITING, '~', "not read yet"},
                {SC_SPECIAL_SHAPE, 'S', "other shape"},
                {SC_SPECIAL_ONLY_A, 'A', "only A"},
                {SC_SPECIAL_ONLY_B, 'B', "only B"},
                {SC_SPECIAL_SUBNORMAL, 's', "subnormal"},
                {SC_SPECIAL_SAME, '0', "same"},
                {SC_SPECIAL_ZERO, '0', "zero"},
                {SC_SPECIAL_OUTSIDE, ' ', NULL}};
enum { LOUD = 8 /* of them: shown beside anything else */ };

static const struct special *special_of(uint8_t index)
{
    for (size_t i = 0; i < SC_COUNT(specials); i++)
        if (specials[i].index == index)
            return &specials[i];
    return NULL;
}

/* How much of a letter's place is not background, of ten. */
static char shade_of(const struct sc_palette *p, uint8_t up, uint8_t low)
{
    static const char shades[] = " .:-=+*#%@";
    const bool light = brightness(p->rgb[SC_SPECIAL_OUTSIDE]) > 127;
    const unsigned mean = (brightness(p->rgb[up]) + brightness(p->rgb[low])) / 2;

    return shades[(light ? 255 - mean : mean) * (sizeof shades - 2) / 255];
}

/* Of two pixels, one above the other. */
static char letter_of(const struct sc_palette *p, uint8_t up, uint8_t low)
{
    const struct special *a = special_of(up), *b = special_of(low);
    const struct special *first = !b || (a && a < b) ? a : b;

    if (first && first < specials + LOUD)
        return first->letter;
    if (a && b)
        return first->letter;
    if (a || b) /* a value says more */
        return shade_of(p, a ? low : up, a ? low : up);
    return shade_of(p, up, low);
}

/* Two rows a line; what stands out from the ground has the fuller letter. */
static void put_ascii(struct sc_out *o, const struct sc_term_picture *p)
{
    for (uint32_t y = 0; y < p->height; y += 2) {
        const uint8_t *up = p->indices + (size_t)y * p->width;
        const uint8_t *low = y + 1 < p->height ? up + p->width : up;
        for (uint32_t x = 0; x < p->width; x++)
            sc_out_putc(o, letter_of(p->palette, up[x], low[x]));
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

static void put_bar(struct sc_out *o, const struct sc_palette *palette, enum sc_graphics how)
{
    enum { CELLS = 24 };

    for (unsigned i = 0; i < CELLS; i++) {
        const uint8_t step = (uint8_t)(i * (SC_COLOUR_STEPS - 1) / (CELLS - 1));
        if (how == SC_GRAPHICS_ASCII) {
            sc_out_putc(o, shade_of(palette, step, step));
            continue;
        }
        put_rgb(o, 48, palette->rgb[step]);
        sc_out_putc(o, ' ');
    }
    if (how != SC_GRAPHICS_ASCII)
        sc_out_puts(o, "\033[0m");
}

void sc_report_legend(struct sc_out *o, const struct sc_colours *c, const struct sc_term_picture *p,
                      enum sc_graphics how)
{
    bool used[256] = {false}, steps = false;
    const char *before = "";
    double low = 0, high = 0;

    for (size_t i = 0; i < (size_t)p->width * p->height; i++)
        used[p->indices[i]] = true;
    for (unsigned i = 0; i < SC_COLOUR_STEPS; i++)
        steps = steps || used[i];
    const bool ranks = c->mode == SC_COLOURS_RANK;
    const bool ends = !ranks && sc_colours_ends(c, &low, &high);
    if (steps) {
        if (ranks)
            sc_out_puts(o, "lowest ");
        else if (ends)
            sc_buf_printf(&o->buf, "%.3g ", low);
        put_bar(o, p->palette, how);
        if (ranks)
            sc_out_puts(o, " highest");
        else if (ends)
            sc_buf_printf(&o->buf, " %.3g", high);
        before = "  ";
    }
    for (size_t i = 0; i < SC_COUNT(specials); i++) {
        if (!used[specials[i].index] || !specials[i].name)
            continue;
        sc_out_puts(o, before);
        if (how == SC_GRAPHICS_ASCII) {
            sc_out_putc(o, specials[i].letter);
        } else {
            put_rgb(o, 48, p->palette->rgb[specials[i].index]);
            sc_out_puts(o, "  \033[0m");
        }
        sc_out_putc(o, ' ');
        sc_out_puts(o, specials[i].name);
        before = "  ";
    }
    sc_out_putc(o, '\n');
    sc_out_settle(o);
}
