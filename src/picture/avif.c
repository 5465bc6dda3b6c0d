/* SPDX-License-Identifier: Apache-2.0 */
/* avif: libavif as a table of functions, loaded once, and one picture through it. */
#include "picture/avif.h"

#ifndef SC_HAVE_AVIF

int sc_avif_check(struct sc_error *e)
{
    return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                   "this build writes no AVIF: it was made without libavif (Debian: libavif-dev)");
}

int sc_avif_tile(const uint8_t *indices, uint32_t width, uint32_t height,
                 const struct sc_palette *palette, uint8_t **out, size_t *n, struct sc_error *e)
{
    (void)indices, (void)width, (void)height, (void)palette;
    *out = NULL;
    *n = 0;
    return sc_avif_check(e);
}

#else

#include <avif/avif.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SIDE = 65536 };

/* Structures of libavif are ours to fill, and change with the number in its name. */
#if AVIF_VERSION_MAJOR >= 1
#define SONAME "16"
#elif AVIF_VERSION_MINOR >= 11
#define SONAME "15"
#else
#error "libavif 0.11 or newer is needed; configure with -DSCRUPLE_AVIF=OFF"
#endif

#define FUNCTIONS(X)                                                                               \
    X(ImageCreate)                                                                                 \
    X(ImageDestroy)                                                                                \
    X(ImageAllocatePlanes)                                                                         \
    X(EncoderCreate)                                                                               \
    X(EncoderWrite)                                                                                \
    X(EncoderDestroy)                                                                              \
    X(RWDataFree)                                                                                  \
    X(ResultToString)

static struct {
#define MEMBER(name) __typeof__(avif##name) *name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} table;
static struct sc_error problem; /* why there is no table */
static bool usable;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    static const char *const names[] = {"libavif.so." SONAME, "libavif." SONAME ".dylib", NULL};
#define SYMBOL(name) {"avif" #name, &table.name},
    static const struct sc_symbol symbols[] = {FUNCTIONS(SYMBOL)};
#undef SYMBOL

    usable =
        sc_library_load(names, symbols, SC_COUNT(symbols), "write AVIF pictures", &problem) == 0;
}

int sc_avif_check(struct sc_error *e)
{
    pthread_once(&once, load);
    return usable ? 0 : sc_fail(e, SCRUPLE_EUNSUPPORTED, "%s", problem.text);
}

/* Planes of green, blue and red, in this order: "identity" has them in the place of Y, U and V. */
static void put_planes(const uint8_t *indices, const struct sc_palette *palette, avifImage *image)
{
    static const unsigned channel[] = {1, 2, 0};
    for (unsigned k = 0; k < SC_COUNT(channel); k++)
        for (uint32_t y = 0; y < image->height; y++) {
            const uint8_t *from = indices + (size_t)y * image->width;
            uint8_t *to = image->yuvPlanes[k] + (size_t)y * image->yuvRowBytes[k];
            for (uint32_t x = 0; x < image->width; x++)
                to[x] = palette->rgb[from[x]][channel[k]];
        }
}

static int encode(avifEncoder *encoder, avifImage *image, uint8_t **out, size_t *n,
                  struct sc_error *e)
{
    avifRWData data = AVIF_DATA_EMPTY;
    int code = 0;
    encoder->maxThreads = 1; /* tiles are made in threads of ours */
    encoder->speed = AVIF_SPEED_FASTEST;
    encoder->minQuantizer = encoder->maxQuantizer = AVIF_QUANTIZER_LOSSLESS;
#if AVIF_VERSION_MAJOR >= 1
    encoder->quality = AVIF_QUALITY_LOSSLESS;
#endif
    const avifResult result = table.EncoderWrite(encoder, image, &data);
    if (result != AVIF_RESULT_OK)
        code = sc_fail(e, SCRUPLE_EUNSUPPORTED, "libavif cannot write a picture: %s",
                       table.ResultToString(result));
    else if (!(*out = sc_alloc(data.size)))
        code = sc_fail_memory(e);
    if (code == 0) {
        memcpy(*out, data.data, data.size);
        *n = data.size;
    }
    table.RWDataFree(&data);
    return code;
}

int sc_avif_tile(const uint8_t *indices, uint32_t width, uint32_t height,
                 const struct sc_palette *palette, uint8_t **out, size_t *n, struct sc_error *e)
{
    *out = NULL;
    *n = 0;
    TRY(sc_avif_check(e));
    if (!width || !height || width > MOST_SIDE || height > MOST_SIDE)
        return sc_fail(e, SCRUPLE_ELIMIT, "an AVIF picture has 1 to %d pixels a side, not %u x %u",
                       MOST_SIDE, (unsigned)width, (unsigned)height);
    avifImage *image = table.ImageCreate(width, height, 8, AVIF_PIXEL_FORMAT_YUV444);
    avifEncoder *encoder = table.EncoderCreate();
    int code = image && encoder ? 0 : sc_fail_memory(e);
    if (code == 0) {
        image->yuvRange = AVIF_RANGE_FULL;
        image->colorPrimaries = AVIF_COLOR_PRIMARIES_BT709;
        image->transferCharacteristics = AVIF_TRANSFER_CHARACTERISTICS_SRGB;
        image->matrixCoefficients = AVIF_MATRIX_COEFFICIENTS_IDENTITY;
        (void)table.ImageAllocatePlanes(image, AVIF_PLANES_YUV);
        code = image->yuvPlanes[0] && image->yuvPlanes[1] && image->yuvPlanes[2]
                   ? 0
                   : sc_fail_memory(e);
    }
    if (code == 0) {
        put_planes(indices, palette, image);
        code = encode(encoder, image, out, n, e);
    }
    if (encoder)
        table.EncoderDestroy(encoder);
    if (image)
        table.ImageDestroy(image);
    return code;
}

#endif
