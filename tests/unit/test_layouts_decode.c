/* SPDX-License-Identifier: Apache-2.0 */
/* layouts_decode: values of logical weights. Models are made in memory from random codes, scales
 * and zero points, packed bit by bit from the definitions; what is read must be the same bits as
 * the formula gives value by value, whole, in random ranges, mapped and not. */
#include "stream/layout.h"
#include "test.h"

#include "oom.h"

#include <pthread.h>
#include <stdlib.h>

struct kit {
    struct sc_model m;
    struct sc_error e;
    uint8_t *data[16]; /* by entry */
    uint64_t size[16];
    bool mapped;
    uint32_t fail_entry; /* reading it fails; UINT32_MAX: none */
    bool tampered;       /* shapes were changed: zeros follow the data */
    uint64_t seed;
};

static void start(struct kit *k)
{
    *k = (struct kit){.fail_entry = UINT32_MAX, .seed = 88172645463325252U, .mapped = true};
    k->m.catalog = sc_calloc(1, sizeof *k->m.catalog);
    uint32_t file;
    sc_catalog_add_file(k->m.catalog, "model.safetensors", 1 << 20, &file, &k->e);
}

static void finish(struct kit *k)
{
    for (size_t i = 0; i < SC_COUNT(k->data); i++)
        free(k->data[i]);
    sc_catalog_close(k->m.catalog);
    sc_pages_free(k->m.tensors);
    sc_pages_free(k->m.parts);
    sc_arena_clear(&k->m.arena);
}

static uint64_t dice(struct kit *k)
{
    k->seed ^= k->seed << 13;
    k->seed ^= k->seed >> 7;
    k->seed ^= k->seed << 17;
    return k->seed * 2685821657736338717U >> 11;
}

/* An entry of zeros; its bytes. */
static uint8_t *add_at(struct kit *k, const char *name, const char *dtype, const uint64_t *dims,
                       size_t rank)
{
    struct sc_entry proto = {.dtype = sc_codec_find(sc_strz(dtype)), .view = SC_NO_STORAGE};
    uint32_t i = 0;
    CHECK(proto.dtype != SC_OPAQUE);
    CHECK(sc_codec_bytes((sc_codec_id)proto.dtype, dims, rank, &proto.bytes));
    sc_catalog_add(k->m.catalog, sc_strz(name), dims, rank, &proto, &i, &k->e);
    k->size[i] = proto.bytes;
    return k->data[i] = sc_calloc(proto.bytes + 1, 1);
}
#define DIMS(...)                  (const uint64_t[]){__VA_ARGS__}, SC_COUNT(((const uint64_t[]){__VA_ARGS__}))
#define ADD(k, name, dtype, ...)   add_at(k, name, dtype, DIMS(__VA_ARGS__))
#define ADD_SCALAR(k, name, dtype) add_at(k, name, dtype, NULL, 0)

static int read_entry(void *ctx, uint32_t entry, uint64_t off, void *dst, size_t len,
                      struct sc_error *e)
{
    const struct kit *k = ctx;
    CHECK(k->tampered || (off <= k->size[entry] && len <= k->size[entry] - off));
    if (off + len > k->size[entry]) {
        memset(dst, 0, len);
        return 0;
    }
    if (entry == k->fail_entry)
        return sc_fail(e, SCRUPLE_EIO, "no such luck");
    memcpy(dst, k->data[entry] + off, len);
    return 0;
}

static const uint8_t *map_entry(void *ctx, uint32_t entry, uint64_t off, size_t len)
{
    const struct kit *k = ctx;
    CHECK(off <= k->size[entry] && len <= k->size[entry] - off);
    return k->mapped && entry != k->fail_entry ? k->data[entry] + off : NULL;
}

static int open_it(struct kit *k, struct sc_unpack **u)
{
    const struct sc_entry_bytes bytes = {read_entry, map_entry, k};
    return sc_unpack_open(&k->m, &k->m.tensors[0], &bytes, u, &k->e);
}

/* Makes one tensor of what was added. */
static void fold(struct kit *k, const char *layout, const char *dtype)
{
    CHECK_ERR(0, sc_model_fold(&k->m, &k->e));
    CHECK_U64(k->m.n_tensors, 1);
    CHECK_STR(sc_layouts[k->m.tensors[0].layout].name, layout);
    CHECK_STR(k->m.tensors[0].dtype, dtype);
}

/* Everything that is read is `want`, however it is read. */
static void check(struct kit *k, const float *want, uint64_t n)
{
    for (int turn = 0; turn < 2; turn++) {
        struct sc_unpack *u = NULL;
        k->mapped = turn == 0;
        CHECK_ERR(0, open_it(k, &u));
        if (!u) {
            fprintf(stderr, "%s\n", k->e.text);
            return;
        }
        CHECK_U64(k->m.tensors[0].parameters, n);
        float *got = sc_alloc((n + 1) * sizeof *got);
        CHECK_ERR(0, sc_unpack_read(u, 0, n, false, got, &k->e));
        CHECK_BITS(got, want, n * sizeof *got);
        for (int i = 0; i < 60; i++) {
            const uint64_t first = dice(k) % n, most = dice(k) % 4 ? 40 : n,
                           len = dice(k) % (SC_MIN(n - first, most) + 1);
            memset(got, 0xee, (n + 1) * sizeof *got);
            CHECK_ERR(0, sc_unpack_read(u, first, len, first % 2 == 1, got, &k->e));
            CHECK_BITS(got, want + first, len * sizeof *got);
            CHECK(memcmp(got + len, "\xee\xee\xee\xee", 4) == 0);
        }
        CHECK_ERR(SCRUPLE_EUSAGE, sc_unpack_read(u, n, 1, false, got, &k->e));
        CHECK_ERR(SCRUPLE_EUSAGE, sc_unpack_read(u, 1, UINT64_MAX, false, got, &k->e));
        CHECK_ERR(0, sc_unpack_read(u, n, 0, false, got, &k->e));
        free(got);
        sc_unpack_close(u);
    }
}

/* The opening is refused with this code and a sentence with these words. */
static void refused(struct kit *k, int code, const char *words)
{
    struct sc_unpack *u = NULL;
    k->tampered = true;
    CHECK_ERR(code, open_it(k, &u));
    CHECK(u == NULL);
    const bool told = strstr(k->e.text, words) != NULL;
    if (!told)
        fprintf(stderr, "expected \"%s\" in: %s\n", words, k->e.text);
    CHECK(told);
    sc_unpack_close(u);
}

/* ---------------------------------------------------------------------------------- bytes --- */
static void put_bits(uint8_t *p, uint64_t bit, unsigned n, uint32_t value)
{
    for (unsigned i = 0; i < n; i++, bit++)
        if (value >> i & 1)
            p[bit / 8] |= (uint8_t)(1U << bit % 8);
}

static float bits_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* A positive or negative float that a bfloat16 holds; its upper half at p. */
static float put_bf16(struct kit *k, uint8_t *p, uint64_t i)
{
    const uint32_t bits = (uint32_t)(dice(k) & 0x80ff) | (uint32_t)(118 + dice(k) % 8) << 7;
    p[2 * i] = (uint8_t)bits;
    p[2 * i + 1] = (uint8_t)(bits >> 8);
    return bits_float(bits << 16);
}

static float put_f32(struct kit *k, uint8_t *p, uint64_t i)
{
    const uint32_t bits = (uint32_t)(dice(k) & 0x807fffff) | (uint32_t)(118 + dice(k) % 8) << 23;
    for (unsigned b = 0; b < 4; b++)
        p[4 * i + b] = (uint8_t)(bits >> 8 * b);
    return bits_float(bits);
}

static void put_f32_value(uint8_t *p, uint64_t i, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (unsigned b = 0; b < 4; b++)
        p[4 * i + b] = (uint8_t)(bits >> 8 * b);
}

/* Half precision: exponents and mantissas that are normal. */
static float put_f16(struct kit *k, uint8_t *p, uint64_t i)
{
    const uint32_t all = (uint32_t)dice(k), m = all & 0x3ff, x = 5 + (all >> 12) % 12,
                   s = all >> 11 & 1;
    const uint32_t bits = s << 15 | x << 10 | m;
    p[2 * i] = (uint8_t)bits;
    p[2 * i + 1] = (uint8_t)(bits >> 8);
    return (s ? -1.0F : 1.0F) * ldexpf(1.0F + (float)m / 1024.0F, (int)x - 15);
}

static void put_i32(uint8_t *p, uint64_t i, int32_t v)
{
    for (unsigned b = 0; b < 4; b++)
        p[4 * i + b] = (uint8_t)((uint32_t)v >> 8 * b);
}

/* OCP 8-bit floats and E2M1 from their definitions. */
static float e4m3(unsigned c)
{
    const unsigned x = c >> 3 & 15, m = c & 7;
    float v = x ? ldexpf(1.0F + (float)m / 8, (int)x - 7) : ldexpf((float)m / 8, -6);
    if ((c & 0x7f) == 0x7f)
        v = bits_float(0x7fc00000);
    return c & 0x80 ? -v : v;
}
static float e5m2(unsigned c)
{
    const unsigned x = c >> 2 & 31, m = c & 3;
    const float v = x ? ldexpf(1.0F + (float)m / 4, (int)x - 15) : ldexpf((float)m / 4, -14);
    return c & 0x80 ? -v : v;
}
static float e4m3fnuz(unsigned c)
{
    const unsigned x = c >> 3 & 15, m = c & 7;
    const float v = x ? ldexpf(1.0F + (float)m / 8, (int)x - 8) : ldexpf((float)m / 8, -7);
    return c & 0x80 ? -v : v;
}
static float e5m2fnuz(unsigned c)
{
    const unsigned x = c >> 2 & 31, m = c & 3;
    const float v = x ? ldexpf(1.0F + (float)m / 4, (int)x - 16) : ldexpf((float)m / 4, -15);
    return c & 0x80 ? -v : v;
}
static float e2m1(unsigned c)
{
    static const float level[] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
    return c & 8 ? -level[c & 7] : level[c & 7];
}

/* ------------------------------------------------------------------------------------ FP8 --- */
/* Which scale belongs to value i of [.., n, k]. */
static void fp8(const char *type, float (*value)(unsigned), const uint64_t *dims, size_t rank,
                const char *name, const char *scale_type, const uint64_t *sdims, size_t srank,
                uint64_t bn, uint64_t bk, bool told)
{
    struct kit k;
    start(&k);
    if (told) {
        k.m.config.quant_block[0] = bn;
        k.m.config.quant_block[1] = bk;
    }
    uint64_t n = 1, ns = 1;
    for (size_t i = 0; i < rank; i++)
        n *= dims[i];
    for (size_t i = 0; i < srank; i++)
        ns *= sdims[i];
    uint8_t *w = add_at(&k, "a.weight", type, dims, rank);
    uint8_t *s = add_at(&k, name, scale_type, sdims, srank);
    float *scales = sc_alloc(ns * sizeof *scales), *want = sc_alloc(n * sizeof *want);
    for (uint64_t i = 0; i < ns; i++) {
        if (strcmp(scale_type, "F32") == 0) {
            scales[i] = put_f32(&k, s, i);
        } else if (strcmp(scale_type, "BF16") == 0) {
            scales[i] = put_bf16(&k, s, i);
        } else {
            s[i] = (uint8_t)(100 + dice(&k) % 60);
            scales[i] = ldexpf(1, s[i] - 127);
        }
    }
    const uint64_t rows = dims[rank - 2], cols = dims[rank - 1];
    const uint64_t high = (rows + bn - 1) / bn, wide = (cols + bk - 1) / bk;
    const bool stacked = ns == n / rows / cols * high * wide && n / rows / cols > 1;
    for (uint64_t i = 0; i < n; i++) {
        do
            w[i] = (uint8_t)dice(&k);
        while ((w[i] & 0x7f) >= 0x7c || w[i] == 0x80); /* no NaN, infinity or FNUZ's NaN */
        const uint64_t m = i / cols / rows, r = i / cols % rows, c = i % cols;
        want[i] = value(w[i]) * scales[((stacked ? m * high : 0) + r / bn) * wide + c / bk];
    }
    fold(&k, "fp8", strcmp(name, "a.weight_scale") == 0 && bk == 32 && bn == 1 ? "MXFP8" : type);
    check(&k, want, n);
    free(scales);
    free(want);
    finish(&k);
}

TEST(fp8_blocks)
{
    fp8("F8_E4M3", e4m3, DIMS(160, 300), "a.weight_scale_inv", "F32", DIMS(2, 3), 128, 128, true);
    fp8("F8_E4M3", e4m3, DIMS(160, 300), "a.weight_scale_inv", "BF16", DIMS(2, 3), 128, 128, false);
    fp8("F8_E5M2", e5m2, DIMS(64, 96), "a.weight_scale_inv", "BF16", DIMS(4, 3), 16, 32, true);
    fp8("F8_E4M3", e4m3, DIMS(64, 96), "a.weight_scale_inv", "BF16", DIMS(4, 3), 16, 32, false);
    fp8("F8_E4M3", e4m3, DIMS(256, 256), "a.scale", "F8_E8M0", DIMS(2, 2), 128, 128, false);
    fp8("F8_E4M3FNUZ", e4m3fnuz, DIMS(130, 129), "a.weight_scale_inv", "F32", DIMS(2, 2), 128, 128,
        true);
    fp8("F8_E5M2FNUZ", e5m2fnuz, DIMS(130, 129), "a.weight_scale_inv", "F32", DIMS(2, 2), 128, 128,
        false);
    fp8("F8_E4M3", e4m3, DIMS(3, 160, 144), "a.weight_scale_inv", "BF16", DIMS(3, 2, 2), 128, 128,
        true);
    fp8("F8_E4M3", e4m3, DIMS(3, 160, 144), "a.weight_scale_inv", "BF16", DIMS(1, 2, 2), 128, 128,
        true);
    fp8("F8_E4M3", e4m3, DIMS(2, 9000), "a.weight_scale_inv", "F32", DIMS(1, 71), 128, 128, true);
}

/* Four MiB of scales: they are read where they are needed. */
TEST(fp8_with_many_scales)
{
    fp8("F8_E4M3", e4m3, DIMS(1100, 1000), "a.weight_scale", "F32", DIMS(1100, 1000), 1, 1, false);
}

TEST(fp8_rows_and_tensors)
{
    const uint64_t all = 1 << 20;
    fp8("F8_E4M3", e4m3, DIMS(7, 33), "a.weight_scale", "F32", NULL, 0, all, all, false);
    fp8("F8_E4M3", e4m3, DIMS(7, 33), "a.weight_scale", "BF16", DIMS(1), all, all, false);
    fp8("F8_E4M3", e4m3, DIMS(7, 33), "a.qscale_weight", "BF16", NULL, 0, all, all, false);
    fp8("F8_E5M2", e5m2, DIMS(7, 33), "a.weight_scale", "F32", DIMS(7), 1, all, false);
    fp8("F8_E4M3", e4m3, DIMS(7, 33), "a.weight_scale", "F32", DIMS(7, 1), 1, all, false);
    fp8("F8_E4M3", e4m3, DIMS(3, 7, 33), "a.weight_scale", "F32", DIMS(3, 7), 1, all, false);
    fp8("F8_E4M3", e4m3, DIMS(3, 7, 33), "a.weight_scale", "F32", DIMS(3, 7, 1), 1, all, false);
    fp8("F8_E4M3", e4m3, DIMS(3, 7, 33), "a.weight_scale", "F32", DIMS(3), all, all, false);
    fp8("F8_E4M3", e4m3, DIMS(5, 96), "a.weight_scale", "U8", DIMS(5, 3), 1, 32, false);
    fp8("F8_E5M2", e5m2, DIMS(5, 100), "a.weight_scale", "F8_E8M0", DIMS(5, 4), 1, 32, false);
}

/* --------------------------------------------------------------------------- MXFP4, NVFP4 --- */
/* [.., n, k] with k / along scales a row; `whole` of them have one more. */
static void fp4(const char *codes, const uint64_t *dims, size_t rank, const char *scale_type,
                const char *second, uint64_t whole)
{
    struct kit k;
    start(&k);
    uint64_t n = 1, packed[4], grouped[4];
    const uint64_t along = second ? 16 : 32, cols = dims[rank - 1];
    for (size_t i = 0; i < rank; i++) {
        n *= dims[i];
        packed[i] = grouped[i] = dims[i];
    }
    const bool counts_values = strcmp(codes, "F4") == 0;
    const bool packs = second && strstr(second, "global");
    packed[rank - 1] = counts_values ? cols : cols / 2;
    grouped[rank - 1] = (cols + along - 1) / along;
    uint8_t *w = add_at(&k, packs ? "a.weight_packed" : "a.weight", codes, packed, rank);
    uint8_t *s = add_at(&k, "a.weight_scale", scale_type, grouped, rank), *s2 = NULL;
    if (second)
        s2 = add_at(&k, second, "F32", &whole, 1);
    float *want = sc_alloc(n * sizeof *want), g[8];
    for (uint64_t i = 0; i < whole; i++)
        g[i] = put_f32(&k, s2, i);
    const uint64_t wide = grouped[rank - 1];
    for (uint64_t i = 0; i < n / cols * wide; i++)
        s[i] = (uint8_t)(second ? dice(&k) % 0x7f : 90 + dice(&k) % 70);
    for (uint64_t i = 0; i < n; i++) {
        const unsigned c = (unsigned)dice(&k) & 15, b = s[i / cols * wide + i % cols / along];
        put_bits(w, 4 * i, 4, c);
        if (second) {
            const float one = g[whole > 1 ? i / (n / whole) : 0];
            const float both = packs ? e4m3(b) / one : e4m3(b) * one;
            want[i] = e2m1(c) * both;
        } else {
            want[i] = e2m1(c) * ldexpf(1, (int)b - 127);
        }
    }
    fold(&k, second ? "nvfp4" : "mxfp4", second ? "NVFP4" : "MXFP4");
    check(&k, want, n);
    free(want);
    finish(&k);
}

TEST(mxfp4)
{
    fp4("U8", DIMS(5, 96), "U8", NULL, 0);
    fp4("I8", DIMS(5, 96), "F8_E8M0", NULL, 0);
    fp4("F4", DIMS(6, 48), "F8_E8M0", NULL, 0);
    fp4("U8", DIMS(3, 4, 64), "U8", NULL, 0);
    fp4("U8", DIMS(2, 8256), "U8", NULL, 0);
    fp4("F4", DIMS(4, 33), "U8", NULL, 0); /* rows that begin inside a byte */
}

TEST(nvfp4)
{
    fp4("U8", DIMS(5, 96), "F8_E4M3", "a.weight_scale_2", 1);
    fp4("U8", DIMS(5, 96), "F8_E4M3", "a.weight_global_scale", 1);
    fp4("U8", DIMS(3, 4, 64), "F8_E4M3", "a.weight_scale_2", 3);
    fp4("U8", DIMS(3, 4, 64), "F8_E4M3", "a.weight_global_scale", 3);
    fp4("F4", DIMS(2, 40), "F8_E4M3", "a.weight_scale_2", 1);
}

TEST(gpt_oss_blocks)
{
    struct kit k;
    start(&k);
    const uint64_t experts = 2, rows = 3, blocks = 2, n = experts * rows * blocks * 32;
    uint8_t *w = ADD(&k, "e.gate_up_proj_blocks", "U8", experts, rows, blocks, 16);
    uint8_t *s = ADD(&k, "e.gate_up_proj_scales", "U8", experts, rows, blocks);
    float *want = sc_alloc(n * sizeof *want);
    for (uint64_t i = 0; i < n / 2; i++)
        w[i] = (uint8_t)dice(&k);
    for (uint64_t i = 0; i < n / 32; i++)
        s[i] = (uint8_t)(118 + i);
    w[0] = 0x1f;
    s[0] = 122;
    for (uint64_t i = 0; i < n; i++)
        want[i] = ldexpf(e2m1(w[i / 2] >> i % 2 * 4 & 15), s[i / 32] - 127);
    CHECK(want[0] == -0.1875F && want[1] == 0.015625F);
    fold(&k, "mxfp4", "MXFP4");
    check(&k, want, n);
    free(want);
    finish(&k);
}

/* The worked example of two NVFP4 blocks with an amax of 0.2151: g = amax / 2688. */
TEST(nvfp4_worked_example)
{
    static const uint8_t codes[32] = {15, 15, 14, 13, 14, 13, 13, 12, 11, 12, 11, 11, 9, 8, 1, 0,
                                      1,  2,  3,  4,  4,  4,  5,  5,  6,  6,  6,  6,  7, 7, 7, 7};
    struct kit k;
    start(&k);
    uint8_t *w = ADD(&k, "a.weight", "U8", 1, 16), *s = ADD(&k, "a.weight_scale", "F8_E4M3", 1, 2);
    const float g = 8.00223206e-05F;
    put_f32_value(ADD_SCALAR(&k, "a.weight_scale_2", "F32"), 0, g);
    s[0] = 0x7d;
    s[1] = 0x7e;
    float want[32];
    for (uint64_t i = 0; i < 32; i++) {
        put_bits(w, 4 * i, 4, codes[i]);
        want[i] = e2m1(codes[i]) * (i < 16 ? 416.0F * g : 448.0F * g);
    }
    CHECK_NEAR(want[0], -6 * 0.0332892854, 2e-8);
    CHECK_NEAR(want[31], 6 * 0.0358499996, 2e-8);
    fold(&k, "nvfp4", "NVFP4");
    check(&k, want, 32);
    finish(&k);
}

/* ----------------------------------------------------------------- compressed-tensors ------- */
enum { CT_SYMMETRIC, CT_ZERO, CT_ZERO_I8 };
/* `per_word`: whole codes in words, as older versions wrote them. */
static void ct_pack(unsigned bits, uint64_t n, uint64_t cols, uint64_t group, int zero, bool order,
                    bool per_word)
{
    struct kit k;
    start(&k);
    const uint64_t groups = group ? (cols + group - 1) / group : 1, per = 32 / bits;
    const uint64_t words = per_word ? (cols + per - 1) / per : (cols * bits + 31) / 32;
    const uint64_t zwords = per_word ? (n + per - 1) / per : (n * bits + 31) / 32;
    k.m.config.quant_bits = bits;
    k.m.config.quant_group = (int64_t)group;
    uint8_t *w = ADD(&k, "a.weight_packed", "I32", n, words);
    uint8_t *s = ADD(&k, "a.weight_scale", "BF16", n, groups), *z = NULL, *o = NULL;
    if (zero == CT_ZERO)
        z = ADD(&k, "a.weight_zero_point", "I32", zwords, groups);
    if (zero == CT_ZERO_I8)
        z = ADD(&k, "a.weight_zero_point", "I8", n, groups);
    if (order)
        o = ADD(&k, "a.weight_g_idx", "I32", cols);
    float *want = sc_alloc(n * cols * sizeof *want), *scale = sc_alloc(n * groups * sizeof *scale);
    int *zp = sc_calloc(n * groups, sizeof *zp);
    uint64_t *group_of = sc_alloc(cols * sizeof *group_of);
    for (uint64_t c = 0; c < cols; c++) {
        group_of[c] = order ? dice(&k) % groups : group ? c / group : 0;
        if (order)
            put_i32(o, c, (int32_t)group_of[c]);
    }
    for (uint64_t r = 0; r < n; r++)
        for (uint64_t g = 0; g < groups; g++) {
            const unsigned all = 1U << bits, v = (unsigned)dice(&k) % all;
            scale[r * groups + g] = put_bf16(&k, s, r * groups + g);
            zp[r * groups + g] = (int)(zero ? v : all / 2);
            if (zero == CT_ZERO_I8)
                z[r * groups + g] = (uint8_t)(v - all / 2);
            for (unsigned b = 0; zero == CT_ZERO && b < bits; b++) { /* bit b of code r */
                const uint64_t bit = per_word ? r % per * bits + b : (r * bits + b) % 32;
                const uint64_t word = per_word ? r / per : (r * bits + b) / 32;
                put_bits(z + (word * groups + g) * 4, bit, 1, v >> b & 1);
            }
        }
    for (uint64_t i = 0; i < n * cols; i++) {
        const uint64_t r = i / cols, c = i % cols, at = r * groups + group_of[c];
        const uint32_t u = (uint32_t)dice(&k) & ((1U << bits) - 1);
        put_bits(w + r * words * 4, per_word ? c / per * 32 + c % per * bits : c * bits, bits, u);
        want[i] = (float)((int)u - zp[at]) * scale[at];
    }
    CHECK_ERR(0, sc_model_fold(&k.m, &k.e));
    CHECK_U64(k.m.n_tensors, 1);
    struct sc_tensor *t = &k.m.tensors[0];
    CHECK_U64(t->layout, SC_LAYOUT_CT_PACK);
    /* What weight_shape would have told, had there been a file to read it from. */
    const uint64_t dims[] = {n, cols};
    t->shape = dims;
    t->parameters = n * cols;
    t->bits = (uint8_t)bits;
    check(&k, want, n * cols);
    free(want);
    free(scale);
    free(zp);
    free(group_of);
    finish(&k);
}

TEST(ct_pack_4_and_8_bits)
{
    ct_pack(4, 20, 256, 128, CT_SYMMETRIC, false, false);
    ct_pack(4, 20, 256, 32, CT_ZERO, false, false);
    ct_pack(4, 9, 256, 0, CT_ZERO, false, false);
    ct_pack(4, 3, 8320, 64, CT_ZERO, false, false);
    ct_pack(4, 7, 128, 32, CT_ZERO_I8, false, false);
    ct_pack(8, 6, 128, 64, CT_SYMMETRIC, false, false);
    ct_pack(8, 6, 128, 64, CT_ZERO, false, false);
}

TEST(ct_pack_is_cropped)
{
    ct_pack(4, 5, 91, 32, CT_SYMMETRIC, false, false);
    ct_pack(4, 5, 91, 0, CT_ZERO, false, false);
    ct_pack(8, 5, 61, 32, CT_ZERO, false, false);
}

TEST(ct_pack_in_order_of_activations)
{
    ct_pack(4, 6, 256, 32, CT_SYMMETRIC, true, false);
    ct_pack(4, 6, 256, 32, CT_ZERO, true, false);
    ct_pack(4, 2, 8256, 32, CT_ZERO, true, false);
}

TEST(ct_pack_odd_bits)
{
    ct_pack(2, 20, 128, 32, CT_ZERO, false, false);
    ct_pack(1, 40, 128, 32, CT_SYMMETRIC, false, false);
    for (unsigned bits = 3; bits < 8; bits += bits == 3 ? 2 : 1)
        for (int per_word = 0; per_word < 2; per_word++) {
            ct_pack(bits, 40, 320, 64, CT_SYMMETRIC, false, per_word);
            ct_pack(bits, 40, 320, 64, CT_ZERO, false, per_word);
            ct_pack(bits, 37, 299, 0, CT_ZERO, false, per_word);
        }
}

/* -1 in g_idx: there is no order yet. */
TEST(ct_pack_order_that_was_not_set)
{
    struct kit k;
    start(&k);
    k.m.config.quant_bits = 4;
    uint8_t *w = ADD(&k, "a.weight_packed", "I32", 1, 8),
            *s = ADD(&k, "a.weight_scale", "F32", 1, 2);
    uint8_t *o = ADD(&k, "a.weight_g_idx", "I32", 64);
    float want[64];
    put_f32_value(s, 0, 0.5F);
    put_f32_value(s, 1, 3);
    for (uint64_t i = 0; i < 64; i++) {
        put_i32(o, i, i < 60 ? -1 : 0);
        put_bits(w, 4 * i, 4, (uint32_t)i & 15);
        want[i] = (float)((int)(i & 15) - 8) * (i < 32 ? 0.5F : 3);
    }
    fold(&k, "ct-pack", "INT4");
    check(&k, want, 64);
    finish(&k);
}

static void ct_int(uint64_t n, uint64_t cols, const uint64_t *sdims, size_t srank, uint64_t bn,
                   uint64_t bk, const char *zero)
{
    struct kit k;
    start(&k);
    uint64_t ns = 1;
    for (size_t i = 0; i < srank; i++)
        ns *= sdims[i];
    uint8_t *w = ADD(&k, "a.weight", "I8", n, cols);
    uint8_t *s = add_at(&k, "a.weight_scale", "F32", sdims, srank), *z = NULL;
    if (zero)
        z = add_at(&k, "a.weight_zero_point", zero, sdims, srank);
    float *scale = sc_alloc(ns * sizeof *scale), *want = sc_alloc(n * cols * sizeof *want);
    int *zp = sc_calloc(ns, sizeof *zp);
    for (uint64_t i = 0; i < ns; i++) {
        scale[i] = put_f32(&k, s, i);
        if (zero) {
            zp[i] = (int)(dice(&k) % 200) - 100;
            if (strcmp(zero, "I8") == 0)
                z[i] = (uint8_t)zp[i];
            else
                put_i32(z, i, zp[i]);
        }
    }
    const uint64_t wide = (cols + bk - 1) / bk;
    for (uint64_t i = 0; i < n * cols; i++) {
        const uint64_t at = i / cols / bn * wide + i % cols / bk;
        w[i] = (uint8_t)dice(&k);
        want[i] = (float)((int8_t)w[i] - zp[at]) * scale[at];
    }
    fold(&k, "int8", "I8");
    check(&k, want, n * cols);
    free(scale);
    free(zp);
    free(want);
    finish(&k);
}

TEST(ct_int_of_rows_groups_and_tensors)
{
    ct_int(9, 70, DIMS(9, 1), 1, 1 << 20, NULL);
    ct_int(9, 70, DIMS(9), 1, 1 << 20, NULL);
    ct_int(9, 70, DIMS(1), 1 << 20, 1 << 20, NULL);
    ct_int(9, 64, DIMS(9, 2), 1, 32, NULL);
    ct_int(9, 70, DIMS(9, 1), 1, 1 << 20, "I8");
    ct_int(9, 64, DIMS(9, 2), 1, 32, "I32");
    ct_int(9, 70, DIMS(1), 1 << 20, 1 << 20, "I8");
}

/* ------------------------------------------------------------------------------------ MLX --- */
static void mlx(unsigned bits, const uint64_t *dims, size_t rank, uint64_t group)
{
    struct kit k;
    start(&k);
    uint64_t n = 1, packed[3], grouped[3];
    const uint64_t cols = dims[rank - 1];
    for (size_t i = 0; i < rank; i++) {
        n *= dims[i];
        packed[i] = grouped[i] = dims[i];
    }
    packed[rank - 1] = cols * bits / 32;
    grouped[rank - 1] = cols / group;
    k.m.config.quant_bits = bits;
    k.m.config.quant_group = (int64_t)group;
    uint8_t *w = add_at(&k, "a.weight", "U32", packed, rank);
    uint8_t *s = add_at(&k, "a.scales", "F16", grouped, rank);
    uint8_t *b = add_at(&k, "a.biases", "F16", grouped, rank);
    float *scale = sc_alloc(n * sizeof *scale), *bias = sc_alloc(n * sizeof *bias);
    float *want = sc_alloc(n * sizeof *want);
    for (uint64_t i = 0; i < n / group; i++) {
        scale[i] = put_f16(&k, s, i);
        bias[i] = put_f16(&k, b, i);
    }
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t q = (uint32_t)dice(&k) & ((1U << bits) - 1);
        put_bits(w, i * bits, bits, q);
        const float product = (float)q * scale[i / group];
        want[i] = product + bias[i / group];
    }
    char label[8];
    snprintf(label, sizeof label, "INT%u", bits);
    fold(&k, "mlx", label);
    check(&k, want, n);
    free(scale);
    free(bias);
    free(want);
    finish(&k);
}

TEST(mlx_affine)
{
    static const uint8_t all[] = {2, 3, 4, 5, 6, 8};
    for (size_t i = 0; i < SC_COUNT(all); i++) {
        mlx(all[i], DIMS(5, 192), 64);
        mlx(all[i], DIMS(3, 4, 128), 32);
        mlx(all[i], DIMS(2, 8320), 128);
    }
}

static void mlx_mode(const char *mode, unsigned bits, uint64_t along)
{
    struct kit k;
    start(&k);
    const uint64_t n = 2 * 3 * 96;
    uint8_t *w = ADD(&k, "a.weight", "U32", 2, 3, 96 * bits / 32);
    uint8_t *s = ADD(&k, "a.scales", "U8", 2, 3, 96 / along);
    float *want = sc_alloc(n * sizeof *want);
    for (uint64_t i = 0; i < n / along; i++)
        s[i] = (uint8_t)(60 + dice(&k) % 60);
    for (uint64_t i = 0; i < n; i++) {
        const unsigned c = (unsigned)dice(&k) & ((1U << bits) - 1) & 0x7e, b = s[i / along];
        put_bits(w, i * bits, bits, c);
        want[i] =
            (bits == 4 ? e2m1(c) : e4m3(c)) * (along == 16 ? e4m3(b) : ldexpf(1, (int)b - 127));
    }
    fold(&k, "mlx", mode);
    check(&k, want, n);
    free(want);
    finish(&k);
}

TEST(mlx_modes)
{
    mlx_mode("MXFP4", 4, 32);
    mlx_mode("MXFP8", 8, 32);
    mlx_mode("NVFP4", 4, 16);
}

/* ---------------------------------------------------------------------------- GPTQ and AWQ --- */
enum { G_V1, G_V2, G_NO_ZEROS };
enum { NO_INDEX, PLAIN_INDEX, ZERO_INDEX, ACT_ORDER };
static void gptq(unsigned bits, uint64_t n, uint64_t cols, int64_t group, int kind, int index)
{
    struct kit k;
    start(&k);
    const uint64_t per = group > 0 ? (uint64_t)group : cols, groups = (cols + per - 1) / per;
    k.m.config.quant_method = "gptq";
    k.m.config.quant_bits = bits;
    k.m.config.quant_group = group;
    k.m.config.quant_format = kind == G_V2 ? "gptq_v2" : "gptq";
    uint8_t *w = ADD(&k, "a.qweight", "I32", cols * bits / 32, n), *o = NULL, *z = NULL;
    const uint64_t zwords = (n * bits + 31) / 32;
    if (kind != G_NO_ZEROS)
        z = ADD(&k, "a.qzeros", "I32", groups, zwords);
    uint8_t *s = ADD(&k, "a.scales", "F16", groups, n);
    if (index != NO_INDEX)
        o = ADD(&k, "a.g_idx", "I32", cols);
    float *want = sc_alloc(n * cols * sizeof *want), *scale = sc_alloc(n * groups * sizeof *scale);
    int *zp = sc_calloc(n * groups, sizeof *zp);
    const unsigned all = 1U << bits;
    for (uint64_t i = 0; i < groups * n; i++) { /* group by group */
        scale[i] = put_f16(&k, s, i);
        zp[i] = (int)(kind == G_NO_ZEROS ? all / 2 : (unsigned)dice(&k) % all);
        const unsigned stored = kind == G_V1 ? ((unsigned)zp[i] - 1) % all : (unsigned)zp[i];
        if (z)
            put_bits(z + i / n * zwords * 4, i % n * bits, bits, stored);
    }
    for (uint64_t c = 0; c < cols; c++) {
        const uint64_t g = index == ACT_ORDER ? dice(&k) % groups : c / per;
        if (o)
            put_i32(o, c, index == ZERO_INDEX ? 0 : (int32_t)g);
        for (uint64_t r = 0; r < n; r++) {
            const unsigned q = (unsigned)dice(&k) % all;
            for (unsigned b = 0; b < bits; b++) { /* bit b of code c of column r */
                const uint64_t bit = c * bits + b;
                put_bits(w + (bit / 32 * n + r) * 4, bit % 32, 1, q >> b & 1);
            }
            want[r * cols + c] = (float)((int)q - zp[g * n + r]) * scale[g * n + r];
        }
    }
    fold(&k, "gptq", (const char *[]){"", "", "INT2", "INT3", "INT4", "", "", "", "INT8"}[bits]);
    check(&k, want, n * cols);
    free(want);
    free(scale);
    free(zp);
    finish(&k);
}

TEST(gptq_all_bits)
{
    static const uint8_t all[] = {2, 3, 4, 8};
    for (size_t i = 0; i < SC_COUNT(all); i++) {
        gptq(all[i], 64, 128, 32, G_V1, NO_INDEX);
        gptq(all[i], 64, 128, 32, G_V2, PLAIN_INDEX);
        gptq(all[i], 32, 256, 64, G_V1, ACT_ORDER);
        gptq(all[i], 96, 96, -1, G_V1, PLAIN_INDEX);
        gptq(all[i], 32, 128, 32, G_NO_ZEROS, PLAIN_INDEX);
        gptq(all[i], 32, 128, 32, G_V1, ZERO_INDEX);
    }
}

TEST(gptq_long_rows_and_odd_sizes)
{
    gptq(4, 8, 8448, 64, G_V1, ACT_ORDER);
    gptq(4, 40, 8448, 128, G_V1, NO_INDEX);
    gptq(4, 37, 160, 128, G_V1, PLAIN_INDEX); /* the last group is short; zeros are padded */
    gptq(3, 32, 4128, 32, G_V2, NO_INDEX);
    gptq(8, 4, 4160, -1, G_V1, NO_INDEX);
    gptq(4, 300, 32, 16, G_V1, NO_INDEX); /* many strips */
}

static void awq(uint64_t n, uint64_t cols, uint64_t group)
{
    static const uint8_t holds[8] = {0, 2, 4, 6, 1, 3, 5, 7}; /* column of nibble i */
    struct kit k;
    start(&k);
    const uint64_t groups = (cols + group - 1) / group;
    k.m.config.quant_method = "awq";
    k.m.config.quant_bits = 4;
    k.m.config.quant_group = (int64_t)group;
    uint8_t *w = ADD(&k, "a.qweight", "I32", cols, n / 8);
    uint8_t *z = ADD(&k, "a.qzeros", "I32", groups, n / 8);
    uint8_t *s = ADD(&k, "a.scales", "F16", groups, n);
    float *want = sc_alloc(n * cols * sizeof *want), *scale = sc_alloc(n * groups * sizeof *scale);
    int *zp = sc_calloc(n * groups, sizeof *zp);
    for (uint64_t i = 0; i < groups * n; i++)
        scale[i] = put_f16(&k, s, i);
    for (uint64_t i = 0; i < groups * n; i++) { /* nibble by nibble */
        const uint64_t column = i % n / 8 * 8 + holds[i % 8];
        zp[i / n * n + column] = (int)dice(&k) & 15;
        put_bits(z, 4 * i, 4, (uint32_t)zp[i / n * n + column]);
    }
    for (uint64_t i = 0; i < cols * n; i++) {
        const uint64_t c = i / n, r = i % n / 8 * 8 + holds[i % 8], g = c / group;
        const uint32_t q = (uint32_t)dice(&k) & 15;
        put_bits(w, 4 * i, 4, q);
        want[r * cols + c] = (float)((int)q - zp[g * n + r]) * scale[g * n + r];
    }
    fold(&k, "awq", "INT4");
    check(&k, want, n * cols);
    free(want);
    free(scale);
    free(zp);
    finish(&k);
}

TEST(awq_sizes)
{
    awq(64, 128, 64);
    awq(8, 4224, 128);
    awq(264, 48, 16);
    awq(24, 96, 96);
}

/* Codes 8 9 0 F 7 1 2 3 in a word: 0x3217F098 of GPTQ (along K), 0x31F92708 of AWQ (along N). */
TEST(packing_check)
{
    static const int codes[8] = {8, 9, 0, 15, 7, 1, 2, 3};
    struct kit k;
    float want[64] = {0};
    start(&k);
    k.m.config.quant_bits = 4;
    put_i32(ADD(&k, "a.qweight", "I32", 1, 1), 0, 0x3217f098);
    put_f32_value(ADD(&k, "a.scales", "F32", 1, 1), 0, 1);
    put_i32(ADD(&k, "a.qzeros", "I32", 1, 1), 0, 6);
    for (int i = 0; i < 8; i++)
        want[i] = (float)(codes[i] - 7);
    fold(&k, "gptq", "INT4");
    check(&k, want, 8);
    finish(&k);

    start(&k);
    k.m.config.quant_bits = 4;
    put_i32(ADD(&k, "a.qweight", "I32", 1, 1), 0, 0x31f92708);
    uint8_t *s = ADD(&k, "a.scales", "F32", 1, 8);
    ADD(&k, "a.qzeros", "I32", 1, 1);
    for (int i = 0; i < 8; i++) {
        put_f32_value(s, (uint64_t)i, 1);
        want[i] = (float)codes[i];
    }
    fold(&k, "awq", "INT4");
    check(&k, want, 8);
    finish(&k);

    /* 3 bits, codes k mod 8: three words for 32 values */
    start(&k);
    k.m.config.quant_bits = 3;
    uint8_t *w = ADD(&k, "a.qweight", "I32", 3, 1);
    put_i32(w, 0, (int32_t)0x88fac688);
    put_i32(w, 1, (int32_t)0xc688fac6);
    put_i32(w, 2, (int32_t)0xfac688fa);
    put_f32_value(ADD(&k, "a.scales", "F32", 1, 1), 0, 1);
    put_i32(ADD(&k, "a.qzeros", "I32", 1, 1), 0, 0);
    ADD(&k, "a.g_idx", "I32", 32);
    for (int i = 0; i < 32; i++)
        want[i] = (float)(i % 8 - 1);
    fold(&k, "gptq", "INT3");
    check(&k, want, 32);
    finish(&k);
}

/* ---------------------------------------------------------------------------- bitsandbytes --- */
TEST(bnb_int8)
{
    struct kit k;
    start(&k);
    const uint64_t n = 7, cols = 5000;
    uint8_t *w = ADD(&k, "a.weight", "I8", n, cols), *s = ADD(&k, "a.SCB", "F32", n);
    ADD_SCALAR(&k, "a.weight_format", "U8");
    float *want = sc_alloc(n * cols * sizeof *want), scale[7];
    for (uint64_t i = 0; i < n; i++)
        scale[i] = put_f32(&k, s, i);
    for (uint64_t i = 0; i < n * cols; i++) {
        w[i] = (uint8_t)dice(&k);
        const float product = (float)(int8_t)w[i] * scale[i / cols];
        want[i] = product * bits_float(0x3c010204);
    }
    fold(&k, "bnb-int8", "I8");
    check(&k, want, n * cols);
    k.data[2][0] = 1;
    refused(&k, SCRUPLE_EUNSUPPORTED, "format 1");
    free(want);
    finish(&k);
}

static const float nf4[16] = {
    -1,         -0.6961928F, -0.5250731F, -0.3949175F, -0.2844414F, -0.1847734F, -0.0910500F, 0,
    0.0795803F, 0.1609302F,  0.2461123F,  0.3379152F,  0.4407098F,  0.5626170F,  0.7229568F,  1};

/* The vector of bitsandbytes 0.49. */
TEST(bnb_nf4_vector)
{
    static const uint8_t bytes[8] = {0x6e, 0x5a, 0x58, 0x2c, 0xe4, 0xa3, 0x09, 0x19};
    static const double published[8] = {-.0028453, .0225924, -.0057742, .0076910,
                                        -.0057742, .0024869, -.0164085, .0137722};
    struct kit k;
    float want[16];
    start(&k);
    memcpy(ADD(&k, "a.weight", "U8", 8, 1), bytes, 8);
    put_f32_value(ADD(&k, "a.weight.absmax", "F32", 1), 0, 0.03125F);
    uint8_t *map = ADD(&k, "a.weight.quant_map", "F32", 16);
    for (uint64_t i = 0; i < 16; i++) {
        put_f32_value(map, i, nf4[i]);
        want[i] = nf4[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4] * 0.03125F;
    }
    for (size_t i = 0; i < 8; i++)
        CHECK_NEAR(want[i], published[i], 1e-7);
    fold(&k, "bnb-4bit", "NF4");
    check(&k, want, 16);
    finish(&k);
}

static void bnb4(uint64_t n, uint64_t cols, uint64_t block, uint64_t nested, const char *type)
{
    struct kit k;
    start(&k);
    const uint64_t count = n * cols, blocks = (count + block - 1) / block;
    const uint64_t outer = nested ? (blocks + nested - 1) / nested : 0;
    char json[300];
    const float offset = 0.0625F * 1.0000001F;
    snprintf(json, sizeof json,
             "{\"quant_type\": \"%s\", \"blocksize\": %d, \"dtype\": \"bfloat16\", \"shape\": "
             "[%d, %d], \"nested_blocksize\": %d, \"nested_dtype\": \"float32\", "
             "\"nested_offset\": %.17g}",
             type, (int)block, (int)n, (int)cols, (int)nested, (double)offset);
    uint8_t *w = ADD(&k, "a.weight", "U8", (count + 1) / 2, 1), *n_abs = NULL, *n_map = NULL;
    uint8_t *a = ADD(&k, "a.weight.absmax", nested ? "U8" : "F32", blocks);
    uint8_t *map = ADD(&k, "a.weight.quant_map", "F32", 16);
    if (nested) {
        n_abs = ADD(&k, "a.weight.nested_absmax", "F32", outer);
        n_map = ADD(&k, "a.weight.nested_quant_map", "F32", 256);
    }
    char name[80];
    snprintf(name, sizeof name, "a.weight.quant_state.bitsandbytes__%s", type);
    memcpy(ADD(&k, name, "U8", strlen(json)), json, strlen(json));
    float table[16], nested_table[256], *scale = sc_alloc(blocks * sizeof *scale);
    float *nested_scale = sc_alloc((outer + 1) * sizeof *scale);
    float *want = sc_alloc(count * sizeof *want);
    for (uint64_t i = 0; i < 16; i++)
        table[i] = put_f32(&k, map, i);
    for (uint64_t i = 0; nested && i < 256; i++)
        nested_table[i] = put_f32(&k, n_map, i);
    for (uint64_t i = 0; i < outer; i++)
        nested_scale[i] = put_f32(&k, n_abs, i);
    for (uint64_t i = 0; i < blocks; i++) {
        if (!nested) {
            scale[i] = put_f32(&k, a, i);
            continue;
        }
        a[i] = (uint8_t)dice(&k);
        const float product = nested_table[a[i]] * nested_scale[i / nested];
        scale[i] = product + offset;
    }
    for (uint64_t i = 0; i < count; i++) {
        const uint32_t c = (uint32_t)dice(&k) & 15;
        put_bits(w, 4 * (i ^ 1), 4, c);
        want[i] = table[c] * scale[i / block];
    }
    CHECK_ERR(0, sc_model_fold(&k.m, &k.e));
    struct sc_tensor *t = &k.m.tensors[0];
    CHECK_U64(t->layout, SC_LAYOUT_BNB_4BIT);
    const uint64_t dims[] = {n,
                             cols}; /* as the state tells, which a fold without files cannot read */
    t->shape = dims;
    t->rank = 2;
    t->parameters = count;
    check(&k, want, count);
    free(want);
    free(scale);
    free(nested_scale);
    finish(&k);
}

TEST(bnb_4bit)
{
    bnb4(16, 128, 64, 0, "nf4");
    bnb4(16, 128, 64, 0, "fp4");
    bnb4(64, 600, 64, 256, "nf4");
    bnb4(5, 77, 64, 256, "nf4"); /* blocks run through the rows; a nibble is left over */
    bnb4(3, 4096, 128, 16, "fp4");
    bnb4(1, 20001, 2048, 4, "nf4");
}

/* ---------------------------------------------------------------------------- BitNet, GGML --- */
static void bitnet(const char *linear)
{
    struct kit k;
    start(&k);
    const uint64_t n = 12, cols = 70;
    k.m.config.quant_method = "bitnet";
    k.m.config.quant_format = linear;
    uint8_t *w = ADD(&k, "a.weight", "U8", n / 4, cols);
    const float scale = put_bf16(&k, ADD(&k, "a.weight_scale", "BF16", 1), 0);
    float *want = sc_alloc(n * cols * sizeof *want);
    for (uint64_t i = 0; i < n * cols; i++) {
        const int v = (int)(dice(&k) % 3) - 1;
        const uint64_t j = i / cols / (n / 4), r = i / cols % (n / 4);
        put_bits(w + r * cols + i % cols, 2 * j, 2, (uint32_t)(v + 1));
        want[i] = linear ? (float)v * scale : (float)v / scale;
    }
    fold(&k, "bitnet", "TERNARY");
    check(&k, want, n * cols);
    free(want);
    finish(&k);
}

TEST(bitnet_divides_or_multiplies)
{
    bitnet(NULL);
    bitnet("autobitlinear");
}

TEST(ggml_with_a_scale)
{
    struct kit k;
    start(&k);
    const uint64_t n = 3 * 2 * 96;
    uint8_t *w = ADD(&k, "blk.0.ffn_up_exps.weight", "Q8_0", 3, 2, 96);
    uint8_t *s = ADD(&k, "blk.0.ffn_up_exps.scale", "F32", 3);
    float want[3 * 2 * 96], scale[3];
    for (uint64_t i = 0; i < 3; i++)
        scale[i] = put_f32(&k, s, i);
    for (uint64_t b = 0; b < n / 32; b++) {
        uint8_t *block = w + b * 34;
        const float d = put_f16(&k, block, 0);
        for (uint64_t i = 0; i < 32; i++) {
            block[2 + i] = (uint8_t)dice(&k);
            const float value = (float)(int8_t)block[2 + i] * d;
            want[b * 32 + i] = value * scale[b * 32 / 192];
        }
    }
    fold(&k, "ggml", "Q8_0");
    check(&k, want, n);
    finish(&k);
}

/* ------------------------------------------------------------------------------- refusals ---
 * What the fold accepts and then turns out to be wrong, or is made wrong behind its back: the
 * sentence names the weight and the part. */
static struct sc_entry *entry(struct kit *k, uint32_t i)
{
    return &k->m.catalog->entries[i];
}

static void set_type(struct kit *k, uint32_t i, const char *type)
{
    entry(k, i)->dtype = sc_codec_find(sc_strz(type));
}

/* Parts of another kind: as if it were not there. */
static void lose(struct kit *k, enum sc_part part)
{
    for (size_t i = 0; i < k->m.n_parts; i++)
        if (k->m.parts[i].part == part)
            k->m.parts[i].part = SC_PART_OTHER;
}

static void fp8_kit(struct kit *k)
{
    start(k);
    ADD(k, "a.weight", "F8_E4M3", 160, 300);
    ADD(k, "a.weight_scale_inv", "F32", 2, 3);
    fold(k, "fp8", "F8_E4M3");
}

TEST(refuses_fp8)
{
    static const uint64_t none[] = {200, 3}, three[] = {3, 3, 3};
    struct kit k;
    fp8_kit(&k);
    lose(&k, SC_PART_SCALE);
    refused(&k, SCRUPLE_EFORMAT, "a.weight: its scale is missing");
    finish(&k);
    fp8_kit(&k);
    set_type(&k, 1, "I32");
    refused(&k, SCRUPLE_EFORMAT, "a.weight: a.weight_scale_inv (I32 [2x3]): scales of this type");
    set_type(&k, 1, "F32");
    entry(&k, 1)->shape = none;
    refused(&k, SCRUPLE_EFORMAT, "do not fit the weight's shape");
    entry(&k, 1)->shape = three;
    entry(&k, 1)->rank = 3;
    refused(&k, SCRUPLE_EFORMAT, "do not fit the weight's shape");
    set_type(&k, 0, "F64");
    refused(&k, SCRUPLE_EUNSUPPORTED, "a.weight (F64 [160x300])");
    finish(&k);
    fp8_kit(&k);
    k.m.tensors[0].parameters = 160 * 301;
    refused(&k, SCRUPLE_EFORMAT, "it does not hold the 48160 values");
    entry(&k, 1)->flags |= SC_ENTRY_BROKEN;
    refused(&k, SCRUPLE_EFORMAT, "not all of its bytes are there");
    finish(&k);
}

/* What cannot be read says why, when the tensor is opened and when it is read. */
TEST(failing_reads_are_passed_on)
{
    struct kit k;
    struct sc_unpack *u = NULL;
    float some[4];
    fp8_kit(&k);
    k.fail_entry = 1;
    refused(&k, SCRUPLE_EIO, "no such luck");
    k.fail_entry = 0;
    CHECK_ERR(0, open_it(&k, &u));
    REQUIRE(u);
    CHECK_ERR(SCRUPLE_EIO, sc_unpack_read(u, 5, 4, false, some, &k.e));
    CHECK_STR(k.e.text, "no such luck");
    k.fail_entry = UINT32_MAX;
    CHECK_ERR(0, sc_unpack_read(u, 5, 4, false, some, &k.e));
    sc_unpack_close(u);
    finish(&k);
}

TEST(refuses_fp4)
{
    static const uint64_t wrong[] = {4, 3}, two[] = {2};
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "U8", 4, 32);
    ADD(&k, "a.weight_scale", "F8_E4M3", 4, 4);
    ADD(&k, "a.weight_scale_2", "F32", 1);
    fold(&k, "nvfp4", "NVFP4");
    entry(&k, 1)->shape = wrong;
    refused(&k, SCRUPLE_EFORMAT, "one scale for each 16 of 64 columns");
    set_type(&k, 1, "U8");
    refused(&k, SCRUPLE_EFORMAT, "F8_E4M3 was expected");
    entry(&k, 2)->shape = two;
    refused(&k, SCRUPLE_EFORMAT, "one value was expected");
    set_type(&k, 2, "U8");
    refused(&k, SCRUPLE_EFORMAT, "F32 was expected");
    lose(&k, SC_PART_SCALE_2);
    refused(&k, SCRUPLE_EFORMAT, "the scale for the whole weight is missing");
    lose(&k, SC_PART_SCALE);
    refused(&k, SCRUPLE_EFORMAT, "its scale is missing");
    set_type(&k, 0, "I32");
    refused(&k, SCRUPLE_EFORMAT, "U8, I8 or F4 was expected");
    finish(&k);
    start(&k);
    ADD(&k, "a.weight", "U8", 4, 32);
    ADD(&k, "a.weight_scale", "U8", 4, 2);
    fold(&k, "mxfp4", "MXFP4");
    set_type(&k, 1, "I8");
    refused(&k, SCRUPLE_EFORMAT, "U8 or F8_E8M0 was expected");
    k.m.tensors[0].parameters--;
    refused(&k, SCRUPLE_EFORMAT, "it does not hold the 255 values");
    finish(&k);
}

static void gptq_kit(struct kit *k)
{
    start(k);
    k->m.config.quant_bits = 4;
    ADD(k, "a.qweight", "I32", 16, 8);
    ADD(k, "a.qzeros", "I32", 4, 1);
    ADD(k, "a.scales", "F16", 4, 8);
    ADD(k, "a.g_idx", "I32", 128);
    fold(k, "gptq", "INT4");
}

TEST(refuses_gptq)
{
    static const uint64_t wrong[] = {3, 8}, empty[] = {0, 8}, twice[] = {4, 2}, many[] = {77, 8};
    struct kit k;
    gptq_kit(&k);
    put_i32(k.data[3], 127, 4);
    refused(&k, SCRUPLE_EFORMAT,
            "a.weight: a.g_idx (I32 [128]): column 127 is of group 4, and there "
            "are 4");
    put_i32(k.data[3], 127, -2);
    refused(&k, SCRUPLE_EFORMAT, "is of group -2");
    entry(&k, 3)->shape = wrong;
    refused(&k, SCRUPLE_EFORMAT, "the weight has 128 columns");
    set_type(&k, 3, "F32");
    refused(&k, SCRUPLE_EFORMAT, "I32 was expected");
    finish(&k);
    gptq_kit(&k);
    entry(&k, 1)->shape = twice;
    refused(&k, SCRUPLE_EFORMAT, "a.qzeros (I32 [4x2]): I32 [4x1] was expected");
    set_type(&k, 1, "F32");
    refused(&k, SCRUPLE_EFORMAT, "I32 [4x1] was expected");
    entry(&k, 2)->shape = empty;
    refused(&k, SCRUPLE_EFORMAT, "floats of 8 columns were expected");
    entry(&k, 0)->shape = wrong;
    refused(&k, SCRUPLE_EFORMAT, "I32 [16x8] was expected");
    k.m.tensors[0].bits = 9;
    refused(&k, SCRUPLE_EUNSUPPORTED, "codes of 9 bits");
    finish(&k);
    gptq_kit(&k);
    lose(&k, SC_PART_SCALE);
    refused(&k, SCRUPLE_EFORMAT, "scales is missing");
    finish(&k);
    /* groups of 2 would be 64, and there are no others of equal length; an order may use all */
    gptq_kit(&k);
    entry(&k, 2)->shape = many;
    entry(&k, 1)->shape = (const uint64_t[]){77, 1};
    refused(&k, SCRUPLE_EFORMAT, "128 columns do not make 77 groups");
    put_i32(k.data[3], 5, 76);
    struct sc_unpack *u = NULL;
    CHECK_ERR(0, open_it(&k, &u));
    sc_unpack_close(u);
    finish(&k);
}

TEST(refuses_awq)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.qweight", "I32", 64, 2);
    ADD(&k, "a.qzeros", "I32", 2, 2);
    ADD(&k, "a.scales", "F16", 2, 16);
    fold(&k, "awq", "INT4");
    k.m.tensors[0].bits = 8;
    refused(&k, SCRUPLE_EUNSUPPORTED, "codes of 8 bits have no order that is known");
    k.m.tensors[0].bits = 4;
    lose(&k, SC_PART_ZERO);
    refused(&k, SCRUPLE_EFORMAT, "qzeros is missing");
    finish(&k);
}

TEST(refuses_compressed_tensors)
{
    static const uint64_t odd[] = {3, 3};
    struct kit k;
    start(&k);
    k.m.config.quant_bits = 4;
    ADD(&k, "a.weight_packed", "I32", 8, 16);
    ADD(&k, "a.weight_scale", "BF16", 8, 4);
    ADD(&k, "a.weight_zero_point", "I32", 1, 4);
    ADD(&k, "a.weight_g_idx", "I32", 128);
    fold(&k, "ct-pack", "INT4");
    put_i32(k.data[3], 0, 9);
    refused(&k, SCRUPLE_EFORMAT, "column 0 is of group 9");
    entry(&k, 2)->shape = odd;
    refused(&k, SCRUPLE_EFORMAT, "one zero point for each of 8x4 scales");
    set_type(&k, 1, "U8");
    refused(&k, SCRUPLE_EFORMAT, "floats were expected");
    lose(&k, SC_PART_SCALE);
    refused(&k, SCRUPLE_EFORMAT, "its scale is missing");
    set_type(&k, 0, "I64");
    refused(&k, SCRUPLE_EFORMAT, "I32 was expected");
    set_type(&k, 0, "I32");
    k.m.tensors[0].bits = 5;
    refused(&k, SCRUPLE_EFORMAT, "8 rows of 128 codes of 5 bits were expected");
    k.m.tensors[0].bits = 0;
    refused(&k, SCRUPLE_EUNSUPPORTED, "codes of 0 bits");
    finish(&k);
}

TEST(refuses_mlx)
{
    static const uint64_t odd[] = {4, 3};
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "U32", 4, 16);
    ADD(&k, "a.scales", "F16", 4, 2);
    ADD(&k, "a.biases", "F16", 4, 2);
    fold(&k, "mlx", "INT4");
    entry(&k, 2)->shape = odd;
    refused(&k, SCRUPLE_EFORMAT, "one float for each of 8 scales");
    entry(&k, 1)->shape = odd;
    refused(&k, SCRUPLE_EFORMAT, "groups of the same length");
    lose(&k, SC_PART_BIAS);
    refused(&k, SCRUPLE_EUNSUPPORTED, "of no mode that is known");
    finish(&k);
}

static void bnb_kit(struct kit *k, const char *json)
{
    start(k);
    ADD(k, "a.weight", "U8", 64, 1);
    ADD(k, "a.weight.absmax", "U8", 2);
    ADD(k, "a.weight.quant_map", "F32", 16);
    ADD(k, "a.weight.nested_absmax", "F32", 1);
    ADD(k, "a.weight.nested_quant_map", "F32", 256);
    memcpy(ADD(k, "a.weight.quant_state.bitsandbytes__nf4", "U8", strlen(json)), json,
           strlen(json));
    fold(k, "bnb-4bit", "NF4");
}

TEST(refuses_bnb_4bit)
{
    static const uint64_t two[] = {2}, fifteen[] = {15};
    struct kit k;
    bnb_kit(&k, "{\"blocksize\": 64, \"nested_offset\": 0.5}");
    struct sc_unpack *u = NULL;
    CHECK_ERR(0, open_it(&k, &u));
    sc_unpack_close(u);
    entry(&k, 3)->shape = two;
    refused(&k, SCRUPLE_EFORMAT, "1 blocks of 256 values were expected");
    lose(&k, SC_PART_SCALE_2);
    refused(&k, SCRUPLE_EFORMAT, "nested_absmax is missing");
    entry(&k, 4)->shape = two;
    refused(&k, SCRUPLE_EFORMAT, "256 values were expected");
    k.m.tensors[0].parameters = 126;
    refused(&k, SCRUPLE_EFORMAT, "bytes of two of the 126 values");
    entry(&k, 2)->shape = fifteen;
    refused(&k, SCRUPLE_EFORMAT, "16 values were expected");
    lose(&k, SC_PART_MAP);
    refused(&k, SCRUPLE_EFORMAT, "quant_map is missing");
    finish(&k);

    static const struct {
        const char *json, *words;
    } bad[] = {
        {"{\"blocksize\": 32}", "blocks of 32 values make another number of them"},
        {"{\"blocksize\": 9223372036854775807}", "make another number of them"},
        {"{\"nested_offset\": \"much\"}", "nested_offset is no number"},
        {"{\"nested_offset\": 1e300}", "nested_offset is no number"},
        {"{\"blocksize\": 64", "it is not valid JSON"},
        {"[[[[", "it is not valid JSON"},
    };
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        bnb_kit(&k, bad[i].json);
        refused(&k, SCRUPLE_EFORMAT, bad[i].words);
        finish(&k);
    }
}

TEST(refuses_the_rest)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "U8", 4, 32);
    ADD(&k, "a.weight_scale", "F32", 1);
    fold(&k, "bitnet", "TERNARY");
    set_type(&k, 1, "U8");
    refused(&k, SCRUPLE_EFORMAT, "one float was expected");
    k.m.tensors[0].layout = SC_LAYOUT_BNB_INT8;
    refused(&k, SCRUPLE_EFORMAT, "I8 were expected");
    for (uint8_t i = SC_LAYOUT_HQQ; i < SC_LAYOUT_COUNT; i++) {
        CHECK(!sc_layouts[i].decodable);
        k.m.tensors[0].layout = i;
        refused(&k, SCRUPLE_EUNSUPPORTED, "are only listed");
    }
    finish(&k);
}

/* ---------------------------------------------------------------------------------- threads --- */
struct reader {
    const struct sc_unpack *u;
    const float *want;
    uint64_t n, from, step;
    unsigned bad;
};

static void *read_all(void *arg)
{
    struct reader *r = arg;
    struct sc_error e;
    float some[3000];
    for (uint64_t at = r->from; at + SC_COUNT(some) <= r->n; at += r->step)
        if (sc_unpack_read(r->u, at, SC_COUNT(some), false, some, &e) < 0 ||
            memcmp(some, r->want + at, sizeof some) != 0)
            r->bad++;
    return NULL;
}

TEST(many_threads_read_at_once)
{
    struct kit k;
    start(&k);
    k.m.config.quant_bits = 4;
    const uint64_t n = 512 * 256;
    uint8_t *w = ADD(&k, "a.qweight", "I32", 32, 512), *s = ADD(&k, "a.scales", "F32", 4, 512);
    uint8_t *z = ADD(&k, "a.qzeros", "I32", 4, 64);
    for (size_t i = 0; i < k.size[0]; i++)
        w[i] = (uint8_t)dice(&k);
    for (size_t i = 0; i < k.size[2]; i++)
        z[i] = (uint8_t)dice(&k);
    for (uint64_t i = 0; i < 4 * 512; i++)
        put_f32(&k, s, i);
    fold(&k, "gptq", "INT4");
    struct sc_unpack *u = NULL;
    CHECK_ERR(0, open_it(&k, &u));
    float *want = sc_alloc(n * sizeof *want);
    CHECK_ERR(0, sc_unpack_read(u, 0, n, false, want, &k.e));
    struct reader readers[4];
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        readers[i] = (struct reader){.u = u, .want = want, .n = n, .from = i * 3000, .step = 12000};
        CHECK(pthread_create(&threads[i], NULL, read_all, &readers[i]) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK_U64(readers[i].bad, 0);
    }
    free(want);
    sc_unpack_close(u);
    finish(&k);
}

/* ---------------------------------------------------------------------------- plain C, memory */
/* ctest runs each test in a process of its own, where nobody has asked for the level yet. */
TEST(plain_c_gives_the_same_bits)
{
    setenv("SCRUPLE_CPU", "c", 1);
    ct_pack(4, 5, 8320, 64, CT_ZERO, false, false);
    ct_pack(4, 6, 256, 32, CT_ZERO, true, false);
    for (unsigned bits = 2; bits <= 8; bits += bits == 6 ? 2 : 1)
        mlx(bits, DIMS(3, 256), 64);
    gptq(4, 64, 128, 32, G_V1, ACT_ORDER);
    gptq(3, 64, 128, 32, G_V1, NO_INDEX);
    awq(24, 96, 32);
}

static int open_and_read(struct kit *k, float *dst)
{
    struct sc_unpack *u;
    const int code = open_it(k, &u);
    if (code < 0) {
        CHECK(!u);
        return code;
    }
    const int read = sc_unpack_read(u, 0, k->m.tensors[0].parameters, false, dst, &k->e);
    sc_unpack_close(u);
    return read;
}

/* Each allocation fails in turn: that is said, and nothing is lost (the sanitizer looks). */
static void without_memory(struct kit *k)
{
    const uint64_t n = k->m.tensors[0].parameters;
    float *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);
    k->mapped = false;
    CHECK_ERR(0, open_and_read(k, want));
    for (uint64_t i = 0; i < 1000; i++) {
        sc_oom_fail_at(i);
        const int code = open_and_read(k, got);
        const bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        if (!reached) {
            CHECK_ERR(0, code);
            CHECK_BITS(got, want, n * sizeof *got);
            break;
        }
        CHECK_ERR(SCRUPLE_EMEMORY, code);
    }
    free(want);
    free(got);
    finish(k);
}

TEST(memory_that_is_not_there)
{
    struct kit k;
    fp8_kit(&k);
    without_memory(&k);
    gptq_kit(&k);
    put_i32(k.data[3], 5, 3);
    without_memory(&k);
    bnb_kit(&k, "{\"blocksize\": 64, \"nested_offset\": 0.5}");
    without_memory(&k);
}
