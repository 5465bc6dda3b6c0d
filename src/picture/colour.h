/* SPDX-License-Identifier: Apache-2.0 */
/* colour: from a value to a pixel, and pixels to PNG.
 *
 * Owns: the colour modes and what their steps mean in numbers, the palettes, the writer of indexed
 * PNG. The viewer gets palettes and edges from here, so that both show the same.
 *
 * A picture has a palette of 256 entries: 240 steps of the scale and some fixed colours for what is
 * no step. Steps are told apart by edges, which are floats: which step a value is in does not
 * depend on the processor.
 */
#ifndef SC_COLOUR_H
#define SC_COLOUR_H

#include "base/base.h"

enum sc_colour_mode {
    SC_COLOURS_DIVERGING, /* around 0: log(1 + 1000 |x| / scale), so small values differ, too */
    SC_COLOURS_LINEAR,    /* around 0: -scale .. scale */
    SC_COLOURS_MAGNITUDE, /* log |x|: SC_COLOUR_DECADES decades below scale */
    SC_COLOURS_SIGN,
    SC_COLOURS_EXPONENT, /* the binary exponent, in 32 colours that repeat */
    SC_COLOURS_BITS,     /* last bit of the exponent and first 7 of the fraction */
    SC_COLOURS_RANK,     /* rank in its tensor */
    SC_COLOURS_RANGE,    /* evenly from the low to the high end of a map */
    SC_COLOURS_CLASSES,  /* of bytes: zero, control, printable, high, 255, each a ramp of its own */
    SC_COLOURS_VALUE,    /* 0 .. 256 */
    SC_COLOURS_ENTROPY,  /* bits a byte: 0 .. 8 */
    SC_COLOURS_RMS,      /* of differences: linear up to half the root mean square of A */
    SC_COLOURS_ABS_LOG,  /* of differences: sign, and log |d| from 1e-6 to 0.1, whatever the tensor
                          */
    SC_COLOURS_EXACT,    /* of differences: sign */
    SC_COLOUR_MODES
};
extern const char *const sc_colour_modes[SC_COLOUR_MODES + 1]; /* their names, NULL */
/* What the pixels of a picture are; a mode suits some of them. */
enum sc_shows {
    SC_SHOWS_WEIGHTS,
    SC_SHOWS_DIFFERENCES, /* of two models: B - A */
    SC_SHOWS_BYTES,       /* of files */
    SC_SHOWS_MAPS,        /* figures of layers, experts, checkpoints: a cell each */
    SC_SHOWS_COUNT
};
extern const char *const sc_shows_names[SC_SHOWS_COUNT + 1]; /* "weights", ... , NULL */
bool sc_colour_mode_suits(enum sc_colour_mode mode, enum sc_shows shows);
/* What the steps of a mode end at. */
enum sc_colour_end {
    SC_END_SCALE, /* the scale that is chosen: of the tensor, its role, or all */
    SC_END_RMS,   /* half the root mean square of A's tensor, at least 0.5e-6 */
    SC_END_ONE,   /* 1: steps are the same for all tensors */
};
enum sc_colour_end sc_colour_mode_end(enum sc_colour_mode mode);
extern const char *const sc_colour_ends[]; /* their names: "scale", "rms", "one" */
bool sc_colour_mode_find(struct sc_str name, enum sc_colour_mode *out);

enum { SC_COLOUR_STEPS = 240, SC_COLOUR_DECADES = 4, SC_COLOUR_QUANTILES = 257 };
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
    SC_SPECIAL_TEXT,
    SC_SPECIAL_ONLY_A,
    SC_SPECIAL_ONLY_B,
    SC_SPECIAL_SHAPE,
    SC_SPECIAL_SAME, /* of differences, in the place of ZERO */
    SC_SPECIAL_END
};
/* Pixels are bits of float32. NaNs of these bits are no values; any other NaN is shown as one. */
#define SC_PIXEL_NAN     UINT32_C(0x7fc10000) /* the value is NaN, or the pixel holds one */
#define SC_PIXEL_POS_INF UINT32_C(0x7f800000)
#define SC_PIXEL_NEG_INF UINT32_C(0xff800000)
#define SC_PIXEL_OUTSIDE UINT32_C(0x7fc20000) /* no tensor */
#define SC_PIXEL_UNKNOWN UINT32_C(0x7fc30000) /* of a tensor that cannot be decoded */
#define SC_PIXEL_WAITING UINT32_C(0x7fc40000) /* not read yet */
#define SC_PIXEL_ONLY_A  UINT32_C(0x7fc50000) /* of differences: only A has the tensor, */
#define SC_PIXEL_ONLY_B  UINT32_C(0x7fc60000) /* or only B, */
#define SC_PIXEL_SHAPE   UINT32_C(0x7fc70000) /* or both have, with another shape */

struct sc_palette {
    uint8_t rgb[256][3];
};
void sc_palette_make(enum sc_colour_mode mode, bool dark, struct sc_palette *out);

struct sc_colour_scale {
    enum sc_colour_mode mode;
    enum sc_shows shows;
    float scale;           /* the |x| at the end; not positive or not finite: 1 */
    float smallest;        /* least normal |x| of the stored type: below is subnormal; 0: none */
    const double *shares;  /* what sc_colour_shares() said of the mode; NULL: it is asked */
    const float *quantile; /* (SC_COLOUR_QUANTILES) ascending, for ranks and ranges; NULL: -scale ..
                              scale */
};
/* A scale, ready for many pixels. Making one takes microseconds. */
struct sc_colours {
    uint32_t of[65536];          /* by the upper 16 bits: what colour.c says of entries */
    bool folded;                 /* edges are of |x| */
    unsigned n_edges;            /* 0: a mode whose steps are bits */
    float edge[SC_COLOUR_STEPS]; /* ascending: step k is edge[k - 1] <= x < edge[k] */
    enum sc_colour_mode mode;
    float smallest;
    float end; /* the |x| that steps of a scale end at; 0: none was known, so they end at 1 */
};
/* What stands for quantiles of SC_COLOURS_RANGE: even steps from low to high. */
void sc_colour_range(float low, float high, float out[SC_COLOUR_QUANTILES]);
/* Does a mode colour by quantiles? */
bool sc_colour_mode_ranks(enum sc_colour_mode mode);
extern const char *const sc_colour_labels[SC_COLOUR_MODES]; /* for people */
/* Where steps begin, as shares of the scale (those of bytes have the scale 1): step k from
 * (float)(out[k - 1] * scale) on, k from 1 on. False: the steps of this mode are bits. Those of a
 * rank without quantiles are as LINEAR's. */
bool sc_colour_shares(enum sc_colour_mode mode, double out[SC_COLOUR_STEPS - 1]);
void sc_colours_make(const struct sc_colour_scale *s, struct sc_colours *c);
/* The value in the middle of a step, for legends; NaN where a mode has none. */
double sc_colours_value(const struct sc_colours *c, unsigned step);
/* What the first and the last step stand for, for legends: the ends of the scale, or the outermost
 * edges where a mode has no scale. False: steps are bits, or no scale was known. */
bool sc_colours_ends(const struct sc_colours *c, double *low, double *high);
/* n pixels to palette indices. */
void sc_colours_apply(const struct sc_colours *c, const uint32_t *pixels, size_t n, uint8_t *out);
/* The same of pixels whose lower halves are 0: of their upper halves. */
void sc_colours_apply_halves(const struct sc_colours *c, const uint16_t *halves, size_t n,
                             uint8_t *out);

/* ---------------------------------------------------------------------------- indexed PNG ---
 * Rows from above in any portions; one block of literals and runs a strip, no filter, Adler and CRC
 * by libdeflate; O(width) memory. put() gets the bytes in order; non-zero stops and is returned. */
struct sc_indexed_png;
/* fast: stored blocks, for whoever is near. SCRUPLE_ELIMIT: no PNG has this size. */
int sc_indexed_png_new(uint32_t width, uint32_t height, const struct sc_palette *palette, bool fast,
                       int (*put)(void *ctx, const void *p, size_t n), void *ctx,
                       struct sc_indexed_png **out, struct sc_error *e);
int sc_indexed_png_rows(struct sc_indexed_png *p, const uint8_t *rows, size_t n_rows,
                        struct sc_error *e);
/* Ends the picture, which must be complete. */
int sc_indexed_png_end(struct sc_indexed_png *p, struct sc_error *e);
void sc_indexed_png_free(struct sc_indexed_png *p); /* NULL is allowed */
/* A picture at once: at most sc_indexed_png_bound() bytes at out; their number, 0 without memory.
 */
size_t sc_indexed_png_bound(uint32_t width, uint32_t height);
size_t sc_indexed_png_tile(const uint8_t *indices, uint32_t width, uint32_t height,
                           const struct sc_palette *palette, bool fast, uint8_t *out);

#endif
