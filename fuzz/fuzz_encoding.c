/* SPDX-License-Identifier: Apache-2.0 */
/* encoding: the first line as the name of a format, the rest as numbers. Names that are taken lead
 * to themselves; sizes never wrap; all levels of the processor round alike, in the room that was
 * given; packing writes what it says; any bytes are a tile. */
#include "fuzz.h"

#include "codec/encoding.h"

enum { NAME_MAX_BYTES = 300, VALUES_MAX = 2048 };

static void check_name(const struct sc_encoding *f)
{
    struct sc_encoding again;
    struct sc_error e = {0};
    FUZZ_CHECK(sc_encoding_parse(sc_strz(f->name), &again, &e) == 0);
    FUZZ_CHECK(strcmp(again.name, f->name) == 0 && again.unit == f->unit && again.rule == f->rule);
    FUZZ_CHECK(memcmp(&again.floor, &f->floor, sizeof f->floor) == 0);
    FUZZ_CHECK(again.over == f->over && again.affine == f->affine && again.clip == f->clip);
    FUZZ_CHECK(sc_encoding_info(f) == sc_encoding_info(&again) && f->unit > 0);
}

static void check_bytes(const struct sc_encoding *f, const uint8_t *p, size_t size)
{
    uint64_t shape[3] = {0}, n, fewer;
    const char *why;
    memcpy(shape, p, SC_MIN(size, sizeof shape));
    if (!sc_encoding_bytes(f, shape[0], shape[1], shape[2], &n, &why)) {
        FUZZ_CHECK(why && *why);
        return;
    }
    if (shape[0] > 1 && sc_encoding_bytes(f, shape[0] / 2, shape[1], shape[2], &fewer, NULL))
        FUZZ_CHECK(fewer <= n);
}

/* The formats of this file; others have targets of their own. */
static bool is_float_scheme(const struct sc_encoding *f)
{
    return f->scheme <= SC_SCHEME_NVFP4;
}

static void check_rounding(const struct sc_encoding *f, const uint8_t *p, size_t size)
{
    const size_t n = SC_MIN(size / 4, VALUES_MAX), room = (n + 32) * 5;
    float *x = fuzz_alloc(n * sizeof *x), *y = fuzz_alloc(n * sizeof *y);
    float *z = fuzz_alloc(n * sizeof *z);
    uint8_t *packed = fuzz_alloc(room);
    struct sc_extent of = {1, -1};
    struct sc_step step;
    if (n)
        memcpy(x, p, n * sizeof *x);
    if (n && x[0] > 0 && x[0] <= 3e38F)
        of = (struct sc_extent){-x[0], x[0]}; /* any extent will do */
    sc_encoding_step(f, of, &step);
    const size_t full = sc_rounder(f, SC_CPU_C)(f, &step, x, n, y);
    FUZZ_CHECK(full <= n);
    for (int level = SC_CPU_C + 1; level <= (int)sc_cpu_level(); level++) {
        FUZZ_CHECK(sc_rounder(f, (enum sc_cpu)level)(f, &step, x, n, z) == full);
        FUZZ_CHECK(n == 0 || memcmp(y, z, n * sizeof *y) == 0);
    }
    FUZZ_CHECK(sc_encoding_pack(f, &step, x, n, packed) <= room);
    free(x);
    free(y);
    free(z);
    free(packed);
}

static void check_tile(const struct sc_encoding *f, const uint8_t *p, size_t size)
{
    const size_t bytes = 64 + 128U * f->bits;
    uint8_t *tile = fuzz_alloc(bytes);
    float *x = fuzz_alloc(1024 * sizeof *x);
    memset(tile, 0, bytes);
    memcpy(tile, p, SC_MIN(size, bytes));
    sc_bfp_unpack_tile(f, tile, x, 32);
    FUZZ_CHECK(sc_bfp_pack_tile(f, x, 32, tile) == bytes);
    free(tile);
    free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    const size_t n = SC_MIN(line ? (size_t)(line - data) : size, NAME_MAX_BYTES);
    const size_t start = line ? (size_t)(line - data) + 1 : size;
    char *name = fuzz_alloc(n);
    struct sc_encoding f;
    struct sc_error e = {0};
    if (n)
        memcpy(name, data, n);
    const int code = sc_encoding_parse(sc_str(name, n), &f, &e);
    if (code < 0) {
        fuzz_check_error(code, &e);
        FUZZ_CHECK(code == SCRUPLE_EUSAGE);
    } else {
        check_name(&f);
        check_bytes(&f, data + start, size - start);
        if (is_float_scheme(&f))
            check_rounding(&f, data + start, size - start);
        if (f.scheme == SC_SCHEME_BFP)
            check_tile(&f, data + start, size - start);
    }
    free(name);
    return 0;
}
