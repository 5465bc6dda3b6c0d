/* SPDX-License-Identifier: Apache-2.0 */
/* layouts: how fast logical weights whose scales are tensors of their own become floats.
 *
 *   layouts [WORD...]
 *
 * One tab-separated line a layout (all, or those whose line has one of the words): name, 10^9
 * values a second of processor time where the file is mapped, and where it is read. One thread; a
 * matrix of 4096 x 4096, or 512 x 28672, in memory, in pieces of up to 65536 values as a sweep
 * reads them; the fastest of several passes. */
#include "stream/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N = 4096, K = 4096, PASSES = 12 };

struct stored {
    const char *name, *type;
    uint64_t dims[3];
};
static const struct layout {
    const char *name;
    unsigned bits, group;
    struct stored parts[5];
} layouts[] = {
    {"fp8 blocks",
     8,
     0,
     {{"a.weight", "F8_E4M3", {N, K}}, {"a.weight_scale_inv", "F32", {32, 32}}}},
    {"fp8 rows", 8, 0, {{"a.weight", "F8_E4M3", {N, K}}, {"a.weight_scale", "BF16", {N, 1}}}},
    {"mxfp8", 8, 0, {{"a.weight", "F8_E4M3", {N, K}}, {"a.weight_scale", "U8", {N, K / 32}}}},
    {"mxfp4", 4, 0, {{"a.weight", "U8", {N, K / 2}}, {"a.weight_scale", "U8", {N, K / 32}}}},
    {"nvfp4",
     4,
     0,
     {{"a.weight", "U8", {N, K / 2}},
      {"a.weight_scale", "F8_E4M3", {N, K / 16}},
      {"a.weight_scale_2", "F32", {1}}}},
    {"ct-int rows", 8, 0, {{"a.weight", "I8", {N, K}}, {"a.weight_scale", "F32", {N, 1}}}},
    {"ct-pack 4",
     4,
     128,
     {{"a.weight_packed", "I32", {N, K / 8}}, {"a.weight_scale", "BF16", {N, K / 128}}}},
    {"ct-pack 4 zeros",
     4,
     32,
     {{"a.weight_packed", "I32", {N, K / 8}},
      {"a.weight_scale", "BF16", {N, K / 32}},
      {"a.weight_zero_point", "I32", {N / 8, K / 32}}}},
    {"ct-pack 4 order",
     4,
     128,
     {{"a.weight_packed", "I32", {N, K / 8}},
      {"a.weight_scale", "BF16", {N, K / 128}},
      {"a.weight_g_idx", "I32", {K}}}},
    {"gptq 4",
     4,
     128,
     {{"a.qweight", "I32", {K / 8, N}},
      {"a.qzeros", "I32", {K / 128, N / 8}},
      {"a.scales", "F16", {K / 128, N}}}},
    {"gptq 4 order",
     4,
     128,
     {{"a.qweight", "I32", {K / 8, N}},
      {"a.qzeros", "I32", {K / 128, N / 8}},
      {"a.scales", "F16", {K / 128, N}},
      {"a.g_idx", "I32", {K}}}},
    {"gptq 3",
     3,
     128,
     {{"a.qweight", "I32", {K / 32 * 3, N}},
      {"a.qzeros", "I32", {K / 128, N / 32 * 3}},
      {"a.scales", "F16", {K / 128, N}}}},
    {"gptq 8",
     8,
     128,
     {{"a.qweight", "I32", {K / 4, N}},
      {"a.qzeros", "I32", {K / 128, N / 4}},
      {"a.scales", "F16", {K / 128, N}}}},
    {"awq 4",
     4,
     128,
     {{"a.qweight", "I32", {K, N / 8}},
      {"a.qzeros", "I32", {K / 128, N / 8}},
      {"a.scales", "F16", {K / 128, N}}}},
    {"gptq 4 long rows",
     4,
     128,
     {{"a.qweight", "I32", {28672 / 8, 512}},
      {"a.qzeros", "I32", {224, 512 / 8}},
      {"a.scales", "F16", {224, 512}}}},
    {"awq 4 long rows",
     4,
     128,
     {{"a.qweight", "I32", {28672, 512 / 8}},
      {"a.qzeros", "I32", {224, 512 / 8}},
      {"a.scales", "F16", {224, 512}}}},
    {"bnb int8", 8, 0, {{"a.weight", "I8", {N, K}}, {"a.SCB", "F32", {N}}}},
    {"bnb nf4",
     4,
     0,
     {{"a.weight", "U8", {N * K / 2, 1}},
      {"a.weight.absmax", "F32", {N * K / 64}},
      {"a.weight.quant_map", "F32", {16}}}},
    {"bnb nf4 nested",
     4,
     0,
     {{"a.weight", "U8", {N * K / 2, 1}},
      {"a.weight.absmax", "U8", {N * K / 64}},
      {"a.weight.quant_map", "F32", {16}},
      {"a.weight.nested_absmax", "F32", {N * K / 64 / 256}},
      {"a.weight.nested_quant_map", "F32", {256}}}},
    {"mlx 2",
     2,
     64,
     {{"a.weight", "U32", {N, K / 16}},
      {"a.scales", "F16", {N, K / 64}},
      {"a.biases", "F16", {N, K / 64}}}},
    {"mlx 3",
     3,
     64,
     {{"a.weight", "U32", {N, K / 32 * 3}},
      {"a.scales", "F16", {N, K / 64}},
      {"a.biases", "F16", {N, K / 64}}}},
    {"mlx 4",
     4,
     64,
     {{"a.weight", "U32", {N, K / 8}},
      {"a.scales", "BF16", {N, K / 64}},
      {"a.biases", "BF16", {N, K / 64}}}},
    {"mlx 6",
     6,
     64,
     {{"a.weight", "U32", {N, K / 32 * 6}},
      {"a.scales", "F16", {N, K / 64}},
      {"a.biases", "F16", {N, K / 64}}}},
    {"mlx 8",
     8,
     64,
     {{"a.weight", "U32", {N, K / 4}},
      {"a.scales", "F16", {N, K / 64}},
      {"a.biases", "F16", {N, K / 64}}}},
    {"bitnet", 2, 0, {{"a.weight", "U8", {N / 4, K}}, {"a.weight_scale", "F32", {1}}}},
};

struct memory {
    uint8_t *data[8];
    bool mapped;
};

static int read_entry(void *ctx, uint32_t entry, uint64_t off, void *dst, size_t len,
                      struct sc_error *e)
{
    const struct memory *m = ctx;
    (void)e;
    memcpy(dst, m->data[entry] + off, len);
    return 0;
}

static const uint8_t *map_entry(void *ctx, uint32_t entry, uint64_t off, size_t len)
{
    const struct memory *m = ctx;
    (void)len;
    return m->mapped ? m->data[entry] + off : NULL;
}

static void fill(uint8_t *p, uint64_t n, const struct stored *s)
{
    uint64_t seed = 88172645463325252U;
    const bool order = strstr(s->name, "g_idx") != NULL;
    const struct sc_codec *c = sc_codec(sc_codec_find(sc_strz(s->type)));
    const size_t width = c->kind == SC_KIND_FLOAT && c->bytes > 1 ? c->bytes : 0;
    for (uint64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        p[i] = (uint8_t)(seed >> 40);
        if (order)
            p[i] = i % 4 ? 0 : p[i] % 32;
        else if (width && i % width == width - 1)
            p[i] = 0x3b; /* normal floats: others are slow to multiply, and not what is stored */
    }
}

static void make(const struct layout *l, struct sc_model *m, struct memory *memory)
{
    struct sc_error e;
    uint32_t file;
    m->catalog = sc_calloc(1, sizeof *m->catalog);
    sc_catalog_add_file(m->catalog, "a", 1, &file, &e);
    m->config.quant_bits = l->bits;
    m->config.quant_group = l->group;
    for (uint32_t i = 0; i < SC_COUNT(l->parts) && l->parts[i].name; i++) {
        const struct stored *s = &l->parts[i];
        struct sc_entry proto = {.dtype = sc_codec_find(sc_strz(s->type)), .view = SC_NO_STORAGE};
        size_t rank = 0;
        while (rank < 3 && s->dims[rank])
            rank++;
        sc_codec_bytes((sc_codec_id)proto.dtype, s->dims, rank, &proto.bytes);
        sc_catalog_add(m->catalog, sc_strz(s->name), s->dims, rank, &proto, NULL, &e);
        memory->data[i] = malloc(proto.bytes);
        fill(memory->data[i], proto.bytes, s);
    }
    if (sc_model_fold(m, &e) < 0 || m->n_tensors != 1)
        fprintf(stderr, "layouts: %s does not fold\n", l->name);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* not what others do meanwhile */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double speed(const struct sc_model *m, struct memory *memory)
{
    enum { CHUNK = 65536 };
    static float values[CHUNK];
    const struct sc_entry_bytes bytes = {read_entry, map_entry, memory};
    const struct sc_tensor *t = &m->tensors[0];
    const uint64_t count = t->parameters, cols = t->shape[t->rank - 1];
    const uint64_t chunk = cols <= CHUNK ? CHUNK / cols * cols : CHUNK;
    struct sc_error e;
    struct sc_unpack *u;
    double best = 1e9;
    if (sc_unpack_open(m, &m->tensors[0], &bytes, &u, &e) < 0) {
        fprintf(stderr, "layouts: %s\n", e.text);
        return 0;
    }
    for (int pass = 0; pass < PASSES; pass++) {
        const double start = now();
        for (uint64_t at = 0; at < count; at += chunk)
            if (sc_unpack_read(u, at, SC_MIN(chunk, count - at), false, values, &e) < 0)
                fprintf(stderr, "layouts: %s\n", e.text);
        best = SC_MIN(best, now() - start);
    }
    sc_unpack_close(u);
    return (double)count / best * 1e-9;
}

static bool wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < SC_COUNT(layouts); i++) {
        struct sc_model m = {.n_tensors = 0};
        struct memory memory = {.mapped = true};
        if (!wanted(layouts[i].name, argc, argv))
            continue;
        make(&layouts[i], &m, &memory);
        const double mapped = speed(&m, &memory);
        memory.mapped = false;
        printf("%s\t%.2f\t%.2f\n", layouts[i].name, mapped, speed(&m, &memory));
        fflush(stdout);
        for (size_t k = 0; k < SC_COUNT(memory.data); k++)
            free(memory.data[k]);
        sc_catalog_close(m.catalog);
        sc_pages_free(m.tensors);
        sc_pages_free(m.parts);
        sc_arena_clear(&m.arena);
    }
    return 0;
}
