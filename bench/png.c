/* SPDX-License-Identifier: Apache-2.0 */
/* png: how fast tiles of weights become colours and PNG.
 *
 *   png
 *
 * One tab-separated line a writer: name, 10^6 pixels a second, bytes a pixel, entropy of single
 * pixels in bytes. Ours, and libdeflate and zlib (as libpng uses it) at level 1 over the same rows
 * with the same palette. One thread; 64 tiles of 256 x 256 normal weights with outliers; the
 * fastest of some passes, in turns. */
#include "math/math.h"
#include "picture/colour.h"

#include "clock.h"

#include <libdeflate.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { SIDE = 256, PIXELS = SIDE * SIDE, TILES = 64, PASSES = 7 };

static uint32_t pixels[TILES][PIXELS];
static uint8_t indices[TILES][PIXELS], rows[TILES][PIXELS + SIDE], out[4 * PIXELS];
static struct sc_colours colours;
static struct sc_palette palette;

static double cpu_now(void)
{
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

static void make_tiles(void)
{
    for (size_t t = 0; t < TILES; t++)
        for (size_t i = 0; i < PIXELS; i++) {
            double p = ((double)(sc_random(t, i) >> 11) + 0.5) * 0x1p-53;
            float x = (float)(0.02 * sc_normal_quantile(p) * (i % 997 ? 1 : 8));
            memcpy(&pixels[t][i], &x, sizeof x);
            pixels[t][i] &= 0xffff0000; /* as bfloat16 has them */
        }
}

static size_t colour_tile(size_t t)
{
    sc_colours_apply(&colours, pixels[t], PIXELS, indices[t]);
    return PIXELS;
}

static size_t ours(size_t t)
{
    return sc_indexed_png_tile(indices[t], SIDE, SIDE, &palette, false, out);
}

static size_t ours_stored(size_t t)
{
    return sc_indexed_png_tile(indices[t], SIDE, SIDE, &palette, true, out);
}

static size_t by_libdeflate(size_t t)
{
    static struct libdeflate_compressor *c;

    if (!c)
        c = libdeflate_alloc_compressor(1);
    return libdeflate_zlib_compress(c, rows[t], sizeof rows[t], out, sizeof out);
}

static size_t by_zlib(size_t t)
{
    uLongf n = sizeof out;

    compress2(out, &n, rows[t], sizeof rows[t], 1);
    return n;
}

static double entropy(void)
{
    double count[256] = {0}, bits = 0;

    for (size_t t = 0; t < TILES; t++)
        for (size_t i = 0; i < PIXELS; i++)
            count[indices[t][i]]++;
    for (int k = 0; k < 256; k++)
        if (count[k] > 0)
            bits += count[k] * log2((double)TILES * PIXELS / count[k]);
    return bits / 8 / TILES / PIXELS;
}

int main(void)
{
    static const struct {
        const char *name;
        size_t (*write)(size_t tile);
    } writers[] = {{"colours", colour_tile},
                   {"ours", ours},
                   {"stored", ours_stored},
                   {"libdeflate", by_libdeflate},
                   {"zlib", by_zlib}};
    double best[5] = {0}, bytes[5] = {0};
    const struct sc_colour_scale scale = {.mode = SC_COLOURS_DIVERGING, .scale = 0.1f};

    make_tiles();
    sc_colours_make(&scale, &colours);
    sc_palette_make(SC_COLOURS_DIVERGING, true, &palette);
    for (size_t t = 0; t < TILES; t++) {
        colour_tile(t);
        for (size_t y = 0; y < SIDE; y++)
            memcpy(rows[t] + y * (SIDE + 1) + 1, indices[t] + y * SIDE, SIDE);
    }
    for (int pass = 0; pass < PASSES; pass++)
        for (size_t k = 0; k < SC_COUNT(writers); k++) {
            double start = cpu_now(), sum = 0;
            for (size_t t = 0; t < TILES; t++)
                sum += (double)writers[k].write(t);
            double rate = (double)TILES * PIXELS / (cpu_now() - start) / 1e6;
            best[k] = SC_MAX(best[k], rate);
            bytes[k] = sum / TILES / PIXELS;
        }
    for (size_t k = 0; k < SC_COUNT(writers); k++)
        printf("%s\t%.1f\t%.4f\t%.4f\n", writers[k].name, best[k], bytes[k], entropy());
    return 0;
}
