/* SPDX-License-Identifier: Apache-2.0 */
/* encode: how fast values are rounded to what a format keeps of them.
 *
 *   encode [FORMAT...]
 *
 * One tab-separated line a format (all without settings, or those that are named, with settings):
 * name, bits of a value, 10^9 values a second of plain C, AVX2 and AVX-512 (0: the processor lacks
 * it; equal to the level below where a format has no variant), and the share of the last that
 * reading floats from memory would allow. Then a line for every block of GGML that there is an
 * encoder for (not when formats are named): "blocks" and its name, bits of a value, 10^9 values a
 * second of the three levels as above, and of ggml (0: not asked). The last line is "read" and the
 * GB/s of adding up memory. One thread; pieces that stay in the second cache; the fastest of many
 * passes, in turns.
 *
 * $GGML_LIB is the path of a libggml-base.so. */
#include "codec/encoding.h"

#include "clock.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 32768, PASSES = 60, LEVELS = 3 };

/* Like weights: close to normal, of deviation 0.02. */
static void fill(float *x)
{
    uint32_t state = 1;
    for (size_t i = 0; i < VALUES; i++) {
        double sum = 0;
        for (int k = 0; k < 6; k++) {
            state = state * 1664525 + 1013904223;
            sum += (double)(state >> 8) / 16777216 - 0.5;
        }
        x[i] = (float)(sum * 0.02 / sqrt(0.5));
    }
}

/* Seconds a piece, of lines of 4096 values: short, so that others on the machine do not come in
 * between every time. */
static double time_of(const struct sc_encoding *f, const struct sc_step *step, sc_round_fn *round,
                      const float *x, float *y)
{
    enum { LINE = 4096 };
    const double start = now();
    for (size_t k = 0; k < VALUES; k += LINE)
        round(f, step, x + k, LINE, y + k);
    return now() - start;
}

static void measure(const struct sc_encoding *f, const float *x, float *y, double read)
{
    double best[LEVELS] = {1e9, 1e9, 1e9};
    struct sc_extent of = {INFINITY, -INFINITY};
    struct sc_step step;
    for (size_t i = 0; i < VALUES; i++) {
        of.min = SC_MIN(of.min, x[i]);
        of.max = SC_MAX(of.max, x[i]);
    }
    sc_encoding_step(f, of, &step);
    for (int pass = 0; pass < PASSES; pass++)
        for (int l = 0; l <= (int)sc_cpu_level(); l++) {
            const double s = time_of(f, &step, sc_rounder(f, (enum sc_cpu)l), x, y);
            best[l] = SC_MIN(best[l], s);
        }
    const double fastest = VALUES / best[sc_cpu_level()] * 1e-9;
    printf("%s\t%.4f", f->name, sc_encoding_bits(f));
    for (int l = 0; l < LEVELS; l++)
        printf("\t%.3f", best[l] < 1e9 ? VALUES / best[l] * 1e-9 : 0.0);
    printf("\t%.2f\n", read > 0 ? fastest * sizeof(float) / read : 0.0);
}

/* ---------------------------------------------------------------------------------- blocks --- */
typedef size_t quantize_fn(int type, const float *x, void *dst, int64_t start, int64_t rows,
                           int64_t cols, const float *importance);

static quantize_fn *load_ggml(void)
{
    union { /* ISO C has no other way from dlsym() to a function */
        void *object;
        quantize_fn *function;
    } symbol = {NULL};
    const char *path = getenv("GGML_LIB");
    void *library = path && path[0] ? dlopen(path, RTLD_NOW) : NULL;
    if (library)
        symbol.object = dlsym(library, "ggml_quantize_chunk");
    if (path && path[0] && !symbol.object)
        fprintf(stderr, "encode: %s is no library of ggml\n", path);
    return symbol.function;
}

static int ggml_type(sc_codec_id id)
{
    for (uint32_t type = 0; type <= 42; type++)
        if (sc_codec_ggml(type) == id)
            return (int)type;
    return -1;
}

static void measure_blocks(sc_codec_id id, quantize_fn *ggml, const float *x, uint8_t *dst)
{
    enum { COLS = 256, RUNS = 10, PEER = LEVELS };
    const struct sc_codec *c = sc_codec(id);
    const int type = ggml_type(id);
    double best[LEVELS + 1] = {1e9, 1e9, 1e9, 1e9};
    for (int run = 0; run < RUNS; run++)
        for (int l = 0; l <= PEER; l++) {
            if (l == PEER ? !ggml || type < 0 : l > (int)sc_cpu_level())
                continue;
            const double start = now();
            if (l == PEER)
                ggml(type, x, dst, 0, VALUES / COLS, COLS, NULL);
            else
                sc_encoder(id, (enum sc_cpu)l)(x, dst, VALUES / c->block);
            best[l] = SC_MIN(best[l], now() - start);
        }
    printf("blocks %s\t%.4f", c->name, sc_codec_bits(id));
    for (int l = 0; l <= PEER; l++)
        printf("\t%.4f", best[l] < 1e9 ? VALUES / best[l] * 1e-9 : 0.0);
    putchar('\n');
}

int main(int argc, char **argv)
{
    static float x[VALUES], y[VALUES];
    const size_t n = argc > 1 ? (size_t)argc - 1 : sc_n_encodings;
    uint64_t sum = 0;
    double read = 0;
    fill(x);
    for (int i = 0; i < 4; i++) {
        const double once = read_once(&sum);
        read = SC_MAX(read, once);
    }
    for (size_t i = 0; i < n; i++) {
        const char *name = argc > 1 ? argv[i + 1] : sc_encodings[i].name;
        struct sc_encoding f;
        struct sc_error e;
        if (sc_encoding_parse(sc_strz(name), &f, &e) < 0) {
            fprintf(stderr, "encode: %s\n", e.text);
            return 2;
        }
        measure(&f, x, y, read);
    }
    quantize_fn *ggml = load_ggml();
    static uint8_t bytes[VALUES * sizeof(float)];
    for (sc_codec_id id = 1; argc < 2 && id < sc_codec_count(); id++)
        if (sc_codec(id)->kind == SC_KIND_BLOCK && sc_encoder(id, SC_CPU_C))
            measure_blocks(id, ggml, x, bytes);
    printf("read\t0\t%.3f\n", read);
    fprintf(stderr, "sum %016llx\n", (unsigned long long)sum); /* so that it is computed */
    return 0;
}
