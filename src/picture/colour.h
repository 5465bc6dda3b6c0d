/* SPDX-License-Identifier: Apache-2.0 */
/* colour: from a value to a pixel, and pixels to PNG.
 *
 * Owns: the colour modes, the palettes, their meaning in numbers, the writer of indexed PNG. The
 * viewer's shader computes the same (a test compares them).
 *
 * A picture has a palette of 256 entries: 240 steps of the scale and 16 fixed colours for what is
 * no number.
 */
#ifndef SC_COLOUR_H
#define SC_COLOUR_H

#include "base/base.h"

enum sc_colour_mode {
    SC_COLOURS_DIVERGING, /* around 0, symmetric logarithm between scale / 1000 and scale */
    SC_COLOURS_LINEAR,    /* around 0, linear in -scale .. scale */
    SC_COLOURS_MAGNITUDE, /* log |x| over SC_DECADES decades below scale */
    SC_COLOURS_SIGN,
    SC_COLOURS_EXPONENT, /* binary exponent, 32 steps repeated */
    SC_COLOURS_BITS,     /* upper 16 bits as three channels' worth of steps */
    SC_COLOURS_RANK,     /* quantile rank in its tensor */
    SC_COLOUR_MODES
};
extern const char *const sc_colour_modes[SC_COLOUR_MODES]; /* "diverging", ... */
enum { SC_COLOUR_STEPS = 240 };
enum sc_special {
    SC_SPECIAL_OUTSIDE = SC_COLOUR_STEPS,
    SC_SPECIAL_ZERO,
    SC_SPECIAL_NAN,
    SC_SPECIAL_POS_INF,
    SC_SPECIAL_NEG_INF,
    SC_SPECIAL_SUBNORMAL,
    SC_SPECIAL_UNKNOWN,
    SC_SPECIAL_WAITING,
    SC_SPECIAL_FRAME,
};
struct sc_palette {
    uint8_t rgb[256][3];
};
void sc_palette_make(enum sc_colour_mode mode, bool dark, struct sc_palette *out);
/* What a scale means: of a tensor, a role, or the whole. `quantile`: 257 of them, for ranks. */
struct sc_colour_scale {
    enum sc_colour_mode mode;
    float scale;    /* the |x| at the end */
    float smallest; /* least normal |x| of the stored type: below is subnormal; 0: none */
    const float *quantile;
};
/* n pixels (bits as in tiles.h) to palette indices. */
void sc_colour_pixels(const struct sc_colour_scale *s, const uint32_t *pixels, size_t n,
                      uint8_t *out);
/* The value in the middle of a step, for legends; NaN where a mode has none. */
double sc_colour_value(const struct sc_colour_scale *s, unsigned step);

/* Indexed PNG, rows added from above; one literal-Huffman block a strip of rows (or stored blocks
 * with `fast`), no filter. O(width) memory. put() gets the bytes in order. */
struct sc_png;
int sc_png_new(uint32_t width, uint32_t height, const struct sc_palette *palette, bool fast,
               int (*put)(void *ctx, const void *p, size_t n), void *ctx, struct sc_png **out,
               struct sc_error *e);
int sc_png_rows(struct sc_png *p, const uint8_t *indices, size_t n_rows, struct sc_error *e);
int sc_png_end(struct sc_png *p, struct sc_error *e); /* and frees it; also after a failure */
/* A whole tile into a buffer that holds sc_png_bound(w, h) bytes; the size. */
size_t sc_png_bound(uint32_t width, uint32_t height);
size_t sc_png_tile(const uint8_t *indices, uint32_t width, uint32_t height,
                   const struct sc_palette *palette, bool fast, uint8_t *out);

#endif
