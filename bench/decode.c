/* SPDX-License-Identifier: Apache-2.0 */
/* decode: how fast blocks become floats.
 *
 *   decode [NAME...]
 *
 * One tab-separated line a number format (all, or those that are named): name, bytes of a value,
 * then 10^9 values a second of plain C, AVX2 and AVX-512 (0: the processor lacks it; equal to the
 * level below where a format has no variant) and of ggml (0: not asked, or it does not know the
 * type). The last line is "read" and the GB/s of adding up memory. One thread; pieces that stay in
 * the second cache, as they do when a tensor is streamed; the fastest of many passes, in turns.
 *
 * $GGML_LIB is the path of a libggml-base.so. */
#include "codec/codec.h"

#include "clock.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 32768, PASSES = 25, LEVELS = 4 };

/* ------------------------------------------------------------------------------------- ggml --- */
/* The front of ggml's struct of the same purpose. */
struct ggml_traits {
    const char *name;
    int64_t block, interleave;
    size_t bytes;
    bool quantized;
    void (*to_float)(const void *src, float *dst, int64_t values);
};
typedef const struct ggml_traits *traits_fn(int type);

static traits_fn *load_ggml(void)
{
    union { /* ISO C has no other way from dlsym() to a function */
        void *object;
        traits_fn *function;
    } symbol = {NULL};
    const char *path = getenv("GGML_LIB");
    void *library = path && path[0] ? dlopen(path, RTLD_NOW) : NULL;
    if (library)
        symbol.object = dlsym(library, "ggml_get_type_traits");
    if (path && path[0] && !symbol.object)
        fprintf(stderr, "decode: %s is no library of ggml\n", path);
    return symbol.function;
}

static const struct ggml_traits *traits_of(traits_fn *get, sc_codec_id id)
{
    for (uint32_t type = 0; get && type <= 42; type++)
        if (sc_codec_ggml(type) == id) {
            const struct ggml_traits *t = get((int)type);
            return t->to_float && t->bytes == sc_codec(id)->bytes ? t : NULL;
        }
    return NULL;
}

/* -------------------------------------------------------------------------------- measuring --- */
/* Decodes the piece often enough for the clock; seconds a piece. */
static double time_of(sc_decode_fn *decode, const struct ggml_traits *ggml, const uint8_t *src,
                      float *dst, size_t blocks)
{
    enum { REPEAT = 8 };
    const double start = now();
    for (int i = 0; i < REPEAT; i++)
        if (ggml)
            ggml->to_float(src, dst, (int64_t)blocks * ggml->block);
        else
            decode(src, dst, blocks);
    return (now() - start) / REPEAT;
}

static void measure(sc_codec_id id, const struct ggml_traits *ggml, const uint8_t *src, float *dst)
{
    const struct sc_codec *c = sc_codec(id);
    const size_t per_block = c->block * (size_t)sc_codec_values(id), blocks = VALUES / per_block;
    double best[LEVELS] = {1e9, 1e9, 1e9, 1e9};
    for (int pass = 0; pass < PASSES; pass++)
        for (int l = 0; l < LEVELS; l++) {
            const bool peer = l == LEVELS - 1;
            if (peer ? !ggml : l > (int)sc_cpu_level())
                continue;
            const double s = time_of(peer ? NULL : sc_decoder(id, (enum sc_cpu)l),
                                     peer ? ggml : NULL, src, dst, blocks);
            best[l] = SC_MIN(best[l], s);
        }
    printf("%s\t%.6f", c->name, (double)c->bytes / (double)per_block);
    for (int l = 0; l < LEVELS; l++)
        printf("\t%.3f", best[l] < 1e9 ? (double)(blocks * per_block) / best[l] * 1e-9 : 0.0);
    putchar('\n');
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    traits_fn *ggml = load_ggml();
    static uint8_t src[VALUES * sizeof(float)]; /* no format takes more than a float does */
    static float dst[VALUES];
    uint64_t sum = 0;
    uint32_t state = 1;
    double read = 0;
    for (size_t i = 0; i < sizeof src; i++) {
        state = state * 1664525 + 1013904223;
        src[i] = (uint8_t)(state >> 24 & 0xbb); /* no byte ends the exponent of a scale in ones */
    }
    for (size_t i = 1; i < sc_codec_count(); i++) {
        const sc_codec_id id = (sc_codec_id)i;
        if (!sc_decoder(id, SC_CPU_C) || !is_wanted(sc_codec(id)->name, argc, argv))
            continue;
        measure(id, traits_of(ggml, id), src, dst);
        const double now_read = read_once(&sum);
        read = SC_MAX(read, now_read);
    }
    printf("read\t1\t%.3f\n", read);
    fprintf(stderr, "sum %016llx\n", (unsigned long long)sum); /* so that it is computed */
    return 0;
}
