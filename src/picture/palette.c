/* SPDX-License-Identifier: Apache-2.0 */
/* palette: the colours of the steps.
 *
 * Anchors are mixed in Oklab (Ottosson 2020), in which equal distances look equal, so that equal
 * steps of a scale do. Blue and orange stand for the two signs: they are told apart by all common
 * kinds of colour blindness; lightness alone tells size. */
#include "picture/colour.h"

#include <math.h>
#include <string.h>

struct lab {
    double l, a, b;
};

static double linear_of(unsigned byte)
{
    double c = byte / 255.0;

    return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

static uint8_t byte_of(double c)
{
    c = c <= 0.0031308 ? c * 12.92 : 1.055 * pow(c, 1 / 2.4) - 0.055;
    return (uint8_t)(SC_MAX(0.0, SC_MIN(c, 1.0)) * 255 + 0.5);
}

static struct lab lab_of(uint32_t rgb)
{
    double r = linear_of(rgb >> 16 & 255), g = linear_of(rgb >> 8 & 255), b = linear_of(rgb & 255);
    double l = cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    double m = cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    double s = cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);

    return (struct lab){0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
                        1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
                        0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
}

static void rgb_of(struct lab c, uint8_t rgb[3])
{
    double l = c.l + 0.3963377774 * c.a + 0.2158037573 * c.b;
    double m = c.l - 0.1055613458 * c.a - 0.0638541728 * c.b;
    double s = c.l - 0.0894841775 * c.a - 1.2914855480 * c.b;

    l = l * l * l;
    m = m * m * m;
    s = s * s * s;
    rgb[0] = byte_of(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
    rgb[1] = byte_of(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
    rgb[2] = byte_of(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
}

/* Steps first..last (either may be the larger one) along anchors that are evenly apart. */
static void ramp(struct sc_palette *p, int first, int last, const uint32_t *anchor, int n)
{
    int steps = first < last ? last - first : first - last, by = first < last ? 1 : -1;

    for (int i = 0; i <= steps; i++) {
        double at = steps ? (double)i * (n - 1) / steps : 0;
        int k = SC_MIN((int)at, n - 2);
        struct lab low = lab_of(anchor[k]), high = lab_of(anchor[k + 1]);
        double t = at - k;
        rgb_of((struct lab){low.l + (high.l - low.l) * t, low.a + (high.a - low.a) * t,
                            low.b + (high.b - low.b) * t},
               p->rgb[first + by * i]);
    }
}

static void both_signs(struct sc_palette *p, bool dark)
{
    static const uint32_t less[2][4] = {{0xf3f5f8, 0x8fbdf0, 0x2a72cc, 0x08264d},
                                        {0x1d222b, 0x1f5597, 0x4d98ec, 0xcbe5ff}};
    static const uint32_t more[2][4] = {{0xf9f4ef, 0xf5b48f, 0xd2541f, 0x551a04},
                                        {0x2b211d, 0x97421c, 0xf0823f, 0xffe3bd}};
    ramp(p, SC_COLOUR_STEPS / 2 - 1, 0, less[dark], 4);
    ramp(p, SC_COLOUR_STEPS / 2, SC_COLOUR_STEPS - 1, more[dark], 4);
}

static void sizes(struct sc_palette *p, bool dark)
{
    static const uint32_t anchor[2][6] = {
        {0xfcf9ef, 0xf6cf9a, 0xe8875a, 0xb54169, 0x63287a, 0x170c38},
        {0x0d0f1c, 0x3a2470, 0x8d2a80, 0xd84c66, 0xf59a50, 0xfcf4bd}};
    ramp(p, 0, SC_COLOUR_STEPS - 1, anchor[dark], 6);
}

/* 32 colours, 7 steps each: eight hues, four lightnesses. Neighbours differ in hue. */
static void exponents(struct sc_palette *p)
{
    for (int i = 0; i < SC_COLOUR_STEPS; i++) {
        int k = SC_MIN(i / 7, 31), band = k / 8;
        double hue = 2 * 3.14159265358979323846 * (k % 8) / 8, light = 0.42 + 0.14 * band;
        rgb_of((struct lab){light, 0.11 * cos(hue), 0.11 * sin(hue)}, p->rgb[i]);
    }
}

/* Control bytes are green, text blue, high bytes orange: apart for all common kinds of colour
 * blindness. The steps are those of sc_colour_shares(). */
static void classes(struct sc_palette *p, bool dark)
{
    static const uint32_t control[2][2] = {{0x9fdcc5, 0x0a6a50}, {0x0d5a47, 0x5fe3b8}};
    static const uint32_t text[2][3] = {{0xc3d7f8, 0x5b8fe0, 0x123a8c},
                                        {0x173a86, 0x3f7fe0, 0xb4d3ff}};
    static const uint32_t high[2][3] = {{0xfad9bb, 0xe88b45, 0x8a3406},
                                        {0x62280a, 0xcf6a1f, 0xffcb97}};
    ramp(p, 0, 30, control[dark], 2);
    ramp(p, 31, 125, text[dark], 3);
    memcpy(p->rgb[126], p->rgb[30], sizeof p->rgb[126]); /* 127 is a control byte */
    ramp(p, 127, 238, high[dark], 3);
    ramp(p, 239, 239, (const uint32_t[2]){dark ? 0xffffff : 0x101010, 0}, 2);
}

static void greys(struct sc_palette *p, bool dark)
{
    static const uint32_t anchor[2][2] = {{0xe9e9e6, 0x0c0c0e}, {0x232326, 0xfafaf6}};
    ramp(p, 0, SC_COLOUR_STEPS - 1, anchor[dark], 2);
}

static const uint32_t specials[2][SC_SPECIAL_END - SC_COLOUR_STEPS] = {
    /* outside, zero, NaN, +inf, -inf, subnormal, unknown, waiting, frame, text */
    {0xfcfcfb, 0x86d9b8, 0xff00c8, 0xd8b400, 0x00b4d8, 0xa6b36a, 0x8f8d86, 0xe9e8e2, 0xb9b8af,
     0x0b0b0b},
    {0x121212, 0x0f6b4c, 0xff00c8, 0xffe600, 0x00e5ff, 0x77853a, 0x5c5a55, 0x242423, 0x4a4a46,
     0xffffff},
};

void sc_palette_make(enum sc_colour_mode mode, bool dark, struct sc_palette *out)
{
    *out = (struct sc_palette){0};
    if (mode == SC_COLOURS_MAGNITUDE || mode == SC_COLOURS_BITS || mode == SC_COLOURS_RANGE ||
        mode == SC_COLOURS_ENTROPY)
        sizes(out, dark);
    else if (mode == SC_COLOURS_EXPONENT)
        exponents(out);
    else if (mode == SC_COLOURS_CLASSES)
        classes(out, dark);
    else if (mode == SC_COLOURS_VALUE)
        greys(out, dark);
    else
        both_signs(out, dark);
    for (int i = SC_COLOUR_STEPS; i < SC_SPECIAL_END; i++)
        for (int k = 0; k < 3; k++)
            out->rgb[i][k] = (uint8_t)(specials[dark][i - SC_COLOUR_STEPS] >> (16 - 8 * k));
    /* 0 is a byte, or no bits of entropy: nothing to stand out */
    const uint32_t zero = dark ? 0x32343b : 0xdcdde2;
    if (mode == SC_COLOURS_CLASSES)
        for (int k = 0; k < 3; k++)
            out->rgb[SC_SPECIAL_ZERO][k] = (uint8_t)(zero >> (16 - 8 * k));
    else if (sc_colour_mode_suits(mode, SC_SHOWS_BYTES))
        memcpy(out->rgb[SC_SPECIAL_ZERO], out->rgb[0], sizeof out->rgb[0]);
}
