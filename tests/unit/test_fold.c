/* SPDX-License-Identifier: Apache-2.0 */
/* fold: stored tensors to logical ones, layout by layout, on catalogs made in memory. After every
 * fold it is checked that each entry is part of exactly one tensor and that no byte is lost. */
#include "model/model.h"
#include "test.h"

#include <stdlib.h>

struct kit {
    struct sc_model m;
    struct sc_error e;
};

static void start(struct kit *k)
{
    *k = (struct kit){.e = {.code = 0}};
    k->m.catalog = sc_calloc(1, sizeof *k->m.catalog);
    uint32_t file;
    sc_catalog_add_file(k->m.catalog, "model.safetensors", 1 << 20, &file, &k->e);
}

static void finish(struct kit *k)
{
    sc_catalog_close(k->m.catalog);
    sc_pages_free(k->m.tensors);
    sc_pages_free(k->m.parts);
    sc_arena_clear(&k->m.arena);
}

static struct sc_entry *add_at(struct kit *k, const char *name, const char *dtype,
                               const uint64_t *dims, size_t rank)
{
    struct sc_entry proto = {.dtype = sc_codec_find(sc_strz(dtype)), .view = SC_NO_STORAGE};
    if (!sc_codec_bytes((sc_codec_id)proto.dtype, dims, rank, &proto.bytes))
        proto.bytes = 7;
    uint32_t i = 0;
    sc_catalog_add(k->m.catalog, sc_strz(name), dims, rank, &proto, &i, &k->e);
    return &k->m.catalog->entries[i];
}
#define DIMS(...)                  (const uint64_t[]){__VA_ARGS__}, SC_COUNT(((const uint64_t[]){__VA_ARGS__}))
#define ADD(k, name, dtype, ...)   add_at(k, name, dtype, DIMS(__VA_ARGS__))
#define ADD_SCALAR(k, name, dtype) add_at(k, name, dtype, NULL, 0)

/* Every entry once, bytes preserved, main first. */
static void check_sound(const struct sc_model *m)
{
    const struct sc_catalog *c = m->catalog;
    uint64_t stored = 0, logical = 0;
    size_t parts = 0;
    uint8_t *seen = sc_calloc(c->n_entries + 1, 1);
    for (size_t i = 0; i < c->n_entries; i++)
        stored += c->entries[i].bytes;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct sc_tensor *t = &m->tensors[i];
        logical += t->bytes;
        parts += t->n_parts;
        CHECK(t->first_part + t->n_parts <= m->n_parts);
        CHECK(m->parts[t->first_part].entry == t->main);
        CHECK(strlen(t->name) == t->name_len || memchr(t->name, 0, t->name_len));
        CHECK(t->name[t->name_len] == '\0' && t->dtype && t->layout < SC_LAYOUT_COUNT);
        for (size_t p = 0; p < t->n_parts; p++)
            CHECK_U64(seen[m->parts[t->first_part + p].entry]++, 0);
    }
    CHECK_U64(parts, c->n_entries);
    CHECK_U64(m->n_parts, c->n_entries);
    CHECK_U64(logical, stored);
    free(seen);
}

static void fold(struct kit *k)
{
    CHECK_ERR(0, sc_model_fold(&k->m, &k->e));
    check_sound(&k->m);
}

/* "64x128 F8_E4M3 fp8 8 128: x.weight x.weight_scale_inv" of tensor i */
static const char *tell(const struct kit *k, size_t i, struct sc_buf *b)
{
    const struct sc_tensor *t = &k->m.tensors[i];
    b->n = 0;
    sc_buf_printf(b, "%s ", t->name);
    for (size_t d = 0; d < t->rank; d++)
        sc_buf_printf(b, d ? "x%llu" : "%llu", (unsigned long long)t->shape[d]);
    sc_buf_printf(b, " %s %s %u %u:", t->dtype, sc_layouts[t->layout].name, t->bits, t->group);
    for (size_t p = 0; p < t->n_parts; p++) {
        const struct sc_str name =
            sc_entry_name(&k->m.catalog->entries[k->m.parts[t->first_part + p].entry]);
        const char *dot = strrchr(name.p, '.');
        sc_buf_printf(b, " %s", dot ? dot + 1 : name.p);
    }
    return b->p;
}

#define CHECK_TENSOR(k, i, want)                                                                   \
    do {                                                                                           \
        struct sc_buf buf_ = {.max = 4096};                                                        \
        CHECK_STR(tell(k, i, &buf_), want);                                                        \
        sc_buf_clear(&buf_);                                                                       \
    } while (0)

/* The usual test: everything that was added is one tensor. */
static void one(struct kit *k, const char *want)
{
    fold(k);
    CHECK_U64(k->m.n_tensors, 1);
    CHECK_TENSOR(k, 0, want);
    finish(k);
}

/* Or nothing is folded. */
static void none(struct kit *k)
{
    fold(k);
    CHECK_U64(k->m.n_tensors, k->m.catalog->n_entries);
    for (size_t i = 0; i < k->m.n_tensors; i++)
        CHECK_U64(k->m.tensors[i].n_parts, 1);
    finish(k);
}

/* ----------------------------------------------------------------------------------- FP8 --- */
TEST(fold_fp8_blocks)
{
    struct kit k;
    start(&k);
    k.m.config.quant_block[0] = k.m.config.quant_block[1] = 128;
    ADD(&k, "a.weight", "F8_E4M3", 160, 300);
    ADD(&k, "a.weight_scale_inv", "F32", 2, 3);
    one(&k, "a.weight 160x300 F8_E4M3 fp8 8 128: weight weight_scale_inv");
    start(&k);
    ADD(&k, "f.0.weight_scale_inv", "BF16", 1, 1);
    ADD(&k, "f.0.weight", "F8_E5M2", 4, 5);
    one(&k, "f.0.weight 4x5 F8_E5M2 fp8 8 0: weight weight_scale_inv");
    start(&k);
    ADD(&k, "x.experts.gate_up_proj", "F8_E4M3", 3, 96, 144);
    ADD(&k, "x.experts.gate_up_proj_scale_inv", "BF16", 3, 1, 2);
    one(&k, "x.experts.gate_up_proj 3x96x144 F8_E4M3 fp8 8 128: gate_up_proj "
            "gate_up_proj_scale_inv");
    start(&k);
    ADD(&k, "weight", "F8_E4M3", 256, 256);
    ADD(&k, "weight_scale_inv", "F32", 2, 2);
    one(&k, "weight 256x256 F8_E4M3 fp8 8 128: weight weight_scale_inv");
}

TEST(scales_that_cannot_be_are_told)
{
    static const char *const codes[] = {"F8_E4M3", "F8_E5M2", "I8"};
    for (size_t i = 0; i < SC_COUNT(codes); i++) {
        struct kit k;
        start(&k);
        ADD(&k, "a.weight", codes[i], 16, 32);
        ADD(&k, "a.weight_scale", "F32", 7, 5);
        ADD(&k, "b.weight", codes[i], 16, 32); /* has none, which is no matter */
        fold(&k);
        CHECK_U64(k.m.n_tensors, 3);
        CHECK_U64(k.m.catalog->n_findings, 1);
        CHECK_STR(k.m.catalog->findings[0].id, "fold.scale");
        CHECK(strstr(k.m.catalog->findings[0].message, "a.weight_scale"));
        finish(&k);
    }
}

TEST(fold_fp8_rows_and_tensors)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 16, 32);
    ADD(&k, "a.weight_scale", "BF16", 16, 1);
    one(&k, "a.weight 16x32 F8_E4M3 fp8 8 65535: weight weight_scale");
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 16, 32);
    ADD(&k, "a.weight_scale", "F32", 16);
    one(&k, "a.weight 16x32 F8_E4M3 fp8 8 65535: weight weight_scale");
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 16, 32);
    ADD_SCALAR(&k, "a.weight_scale", "F32");
    one(&k, "a.weight 16x32 F8_E4M3 fp8 8 0: weight weight_scale");
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 16, 32);
    ADD_SCALAR(&k, "a.qscale_weight", "BF16");
    one(&k, "a.weight 16x32 F8_E4M3 fp8 8 0: weight qscale_weight");
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 160, 300);
    ADD(&k, "a.scale", "F8_E8M0", 2, 3);
    one(&k, "a.weight 160x300 F8_E4M3 fp8 8 128: weight scale");
    start(&k);
    ADD(&k, "e.down", "F8_E4M3", 4, 16, 32);
    ADD(&k, "e.down_scale", "F32", 4);
    one(&k, "e.down 4x16x32 F8_E4M3 fp8 8 0: down down_scale");
    start(&k);
    ADD(&k, "e.down", "F8_E4M3", 4, 16, 32);
    ADD(&k, "e.down_scale", "F32", 4, 1, 32);
    one(&k, "e.down 4x16x32 F8_E4M3 fp8 8 1: down down_scale");
}

TEST(fold_fp8_leaves_activation_scales)
{
    struct kit k;
    start(&k);
    ADD_SCALAR(&k, "a.input_scale", "F32");
    ADD(&k, "a.weight", "F8_E4M3", 16, 32);
    ADD_SCALAR(&k, "a.weight_scale", "F32");
    ADD_SCALAR(&k, "a.k_scale", "F32");
    ADD_SCALAR(&k, "a.v_scale", "F32");
    ADD_SCALAR(&k, "a.qscale_act", "F32");
    fold(&k);
    CHECK_U64(k.m.n_tensors, 5);
    CHECK_TENSOR(&k, 1, "a.weight 16x32 F8_E4M3 fp8 8 0: weight weight_scale");
    finish(&k);
}

TEST(fold_fp8_refuses_what_does_not_fit)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 16, 32);
    ADD(&k, "a.weight_scale_inv", "F32", 17, 1); /* more rows than the weight */
    none(&k);
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 10, 32);
    ADD(&k, "a.weight_scale_inv", "F32", 6, 1); /* 10 rows never make 6 blocks */
    none(&k);
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 16, 32);
    ADD(&k, "a.weight_scale_inv", "I64", 1, 1); /* no type of a scale */
    none(&k);
    start(&k);
    ADD(&k, "a.weight", "BF16", 16, 32);
    ADD(&k, "a.weight_scale", "F32", 16, 1); /* LoRA-like factor of a plain weight */
    none(&k);
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 0, 32);
    ADD(&k, "a.weight_scale", "F32", 3, 1);
    none(&k);
    start(&k);
    ADD(&k, "a.weight_scale_inv", "F32", 1, 1); /* alone */
    none(&k);
}

/* ----------------------------------------------------------------------------------- FP4 --- */
TEST(fold_mx_and_nvfp4)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "U8", 8, 32);
    ADD(&k, "a.weight_scale", "F8_E4M3", 8, 4);
    ADD_SCALAR(&k, "a.weight_scale_2", "F32");
    one(&k, "a.weight 8x64 NVFP4 nvfp4 4 16: weight weight_scale weight_scale_2");
    start(&k);
    ADD(&k, "e.up", "U8", 3, 8, 32);
    ADD(&k, "e.up_weight_scale", "F8_E4M3", 3, 8, 4);
    ADD(&k, "e.up_weight_scale_2", "F32", 3);
    one(&k, "e.up 3x8x64 NVFP4 nvfp4 4 16: up up_weight_scale up_weight_scale_2");
    start(&k);
    ADD(&k, "a.weight_packed", "U8", 8, 32);
    ADD(&k, "a.weight_scale", "F8_E4M3", 8, 4);
    ADD(&k, "a.weight_global_scale", "F32", 1);
    one(&k, "a.weight 8x64 NVFP4 nvfp4 4 16: weight_packed weight_scale weight_global_scale");
    start(&k);
    ADD(&k, "a.weight_packed", "U8", 8, 32);
    ADD(&k, "a.weight_scale", "U8", 8, 2);
    one(&k, "a.weight 8x64 MXFP4 mxfp4 4 32: weight_packed weight_scale");
    start(&k);
    ADD(&k, "a.weight", "I8", 8, 32);
    ADD(&k, "a.scale", "F8_E8M0", 8, 2);
    one(&k, "a.weight 8x64 MXFP4 mxfp4 4 32: weight scale");
    start(&k);
    ADD(&k, "a.weight", "F4", 8, 64); /* shape counts values */
    ADD(&k, "a.weight_scale", "F8_E8M0", 8, 2);
    one(&k, "a.weight 8x64 MXFP4 mxfp4 4 32: weight weight_scale");
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 8, 64);
    ADD(&k, "a.weight_scale", "U8", 8, 2);
    one(&k, "a.weight 8x64 MXFP8 fp8 8 32: weight weight_scale");
    start(&k);
    ADD(&k, "a.weight", "U8", 8, 32);
    ADD(&k, "a.weight_scale", "F8_E4M3", 8, 5); /* not K / 16 */
    ADD_SCALAR(&k, "a.weight_scale_2", "F32");
    none(&k);
    start(&k);
    ADD(&k, "a.weight", "U8", 8, 32);
    ADD(&k, "a.weight_scale", "F8_E4M3", 8, 4); /* no scale for the tensor */
    none(&k);
}

TEST(fold_gpt_oss)
{
    struct kit k;
    start(&k);
    ADD(&k, "e.gate_up_proj_bias", "BF16", 4, 96);
    ADD(&k, "e.gate_up_proj_blocks", "U8", 4, 96, 2, 16);
    ADD(&k, "e.gate_up_proj_scales", "U8", 4, 96, 2);
    fold(&k);
    CHECK_U64(k.m.n_tensors, 2);
    CHECK_TENSOR(&k, 1,
                 "e.gate_up_proj 4x96x64 MXFP4 mxfp4 4 32: gate_up_proj_blocks "
                 "gate_up_proj_scales");
    finish(&k);
    start(&k);
    ADD(&k, "e.gate_up_proj_blocks", "U8", 4, 96, 2, 8);
    ADD(&k, "e.gate_up_proj_scales", "U8", 4, 96, 2);
    none(&k);
    start(&k); /* the name that it would get is taken */
    ADD(&k, "e.up_blocks", "U8", 4, 96, 2, 16);
    ADD(&k, "e.up_scales", "U8", 4, 96, 2);
    ADD(&k, "e.up", "BF16", 2);
    none(&k);
}

TEST(fold_bitnet)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "U8", 16, 64);
    ADD(&k, "a.weight_scale", "BF16", 1);
    one(&k, "a.weight 64x64 TERNARY bitnet 2 0: weight weight_scale");
    start(&k);
    k.m.config.quant_method = "other";
    ADD(&k, "a.weight", "U8", 16, 64);
    ADD(&k, "a.weight_scale", "BF16", 1);
    none(&k);
}

TEST(fold_ggml_scale)
{
    struct kit k;
    start(&k);
    ADD(&k, "blk.0.ffn_up.weight", "NVFP4", 2, 64);
    ADD(&k, "blk.0.ffn_up.scale", "F32", 1);
    ADD(&k, "blk.0.ffn_down.weight", "Q4_K", 2, 256);
    fold(&k);
    CHECK_U64(k.m.n_tensors, 2);
    CHECK_TENSOR(&k, 0, "blk.0.ffn_up.weight 2x64 NVFP4 ggml 0 0: weight scale");
    CHECK_TENSOR(&k, 1, "blk.0.ffn_down.weight 2x256 Q4_K ggml 0 0: weight");
    finish(&k);
}

/* ------------------------------------------------------------------------------ GPTQ, AWQ --- */
static void add_gptq(struct kit *k, uint64_t n, uint64_t in, uint64_t bits, uint64_t groups)
{
    ADD(k, "a.qweight", "I32", in * bits / 32, n);
    ADD(k, "a.qzeros", "I32", groups, (n * bits + 31) / 32);
    ADD(k, "a.scales", "F16", groups, n);
}

TEST(fold_gptq)
{
    struct kit k;
    start(&k);
    add_gptq(&k, 64, 128, 4, 4);
    ADD(&k, "a.g_idx", "I32", 128);
    one(&k, "a.weight 64x128 INT4 gptq 4 32: qweight scales qzeros g_idx");
    start(&k);
    add_gptq(&k, 96, 128, 3, 4);
    one(&k, "a.weight 96x128 INT3 gptq 3 32: qweight scales qzeros");
    start(&k);
    add_gptq(&k, 64, 128, 2, 8);
    one(&k, "a.weight 64x128 INT2 gptq 2 16: qweight scales qzeros");
    start(&k);
    add_gptq(&k, 64, 128, 8, 1);
    one(&k, "a.weight 64x128 INT8 gptq 8 65535: qweight scales qzeros");
    start(&k);
    add_gptq(&k, 64, 128, 4, 4);
    ADD(&k, "a.g_idx", "I32", 127); /* not one for each input */
    none(&k);
    start(&k);
    add_gptq(&k, 64, 128, 4, 4);
    ADD(&k, "a.weight", "F16", 64, 128); /* both: keep them apart */
    none(&k);
    start(&k); /* without zeros only the configuration can tell the bits */
    k.m.config.quant_bits = 8;
    ADD(&k, "a.qweight", "I32", 32, 64);
    ADD(&k, "a.scales", "F16", 4, 64);
    one(&k, "a.weight 64x128 INT8 gptq 8 32: qweight scales");
    start(&k);
    ADD(&k, "a.qweight", "I32", 32, 64);
    ADD(&k, "a.scales", "F16", 4, 64);
    none(&k);
}

TEST(fold_awq)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.qweight", "I32", 128, 8);
    ADD(&k, "a.qzeros", "I32", 4, 8);
    ADD(&k, "a.scales", "F16", 4, 64);
    one(&k, "a.weight 64x128 INT4 awq 4 32: qweight scales qzeros");
    start(&k);
    ADD(&k, "a.qweight", "I32", 128, 8);
    ADD(&k, "a.qzeros", "I32", 4, 8);
    ADD(&k, "a.scales", "F16", 4, 63);
    none(&k);
}

/* --------------------------------------------------------------------- compressed-tensors --- */
/* A repository of one file that holds `n` bytes at the entry's offset. */
static struct sc_repo *holding(struct kit *k, struct sc_entry *en, const void *p, size_t n)
{
    struct sc_repo *repo = NULL;
    en->offset = 0;
    CHECK_ERR(0, sc_repo_open_memory(p, n, "model.safetensors", &repo, &k->e));
    k->m.repo = repo;
    return repo;
}

static void add_ct(struct kit *k)
{
    ADD(k, "a.weight_packed", "I32", 30, 8);
    ADD(k, "a.weight_scale", "BF16", 30, 3);
    ADD(k, "a.weight_zero_point", "I32", 4, 3);
}

TEST(fold_ct_pack_reads_the_shape)
{
    static const uint8_t shape[16] = {30, 0, 0, 0, 0, 0, 0, 0, 60};
    struct kit k;
    start(&k);
    add_ct(&k);
    struct sc_repo *repo = holding(&k, ADD(&k, "a.weight_shape", "I64", 2), shape, 16);
    one(&k, "a.weight 30x60 INT4 ct-pack 4 20: weight_packed weight_scale weight_zero_point "
            "weight_shape");
    sc_repo_close(repo);
}

TEST(fold_ct_pack_of_32_bit_shape_big_endian)
{
    static const uint8_t shape[8] = {0, 0, 0, 30, 0, 0, 0, 60};
    struct kit k;
    start(&k);
    add_ct(&k);
    struct sc_entry *en = ADD(&k, "a.weight_shape", "I32", 2);
    en->flags = SC_ENTRY_BIG_ENDIAN;
    struct sc_repo *repo = holding(&k, en, shape, 8);
    one(&k, "a.weight 30x60 INT4 ct-pack 4 20: weight_packed weight_scale weight_zero_point "
            "weight_shape");
    sc_repo_close(repo);
}

TEST(fold_ct_pack_without_a_readable_shape)
{
    static const uint8_t negative[16] = {30, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0x80};
    struct kit k;
    start(&k); /* no repository: nothing is read and nothing is said */
    add_ct(&k);
    ADD(&k, "a.weight_shape", "I64", 2);
    fold(&k);
    CHECK_TENSOR(&k, 0,
                 "a.weight 30x64 INT4 ct-pack 4 22: weight_packed weight_scale "
                 "weight_zero_point weight_shape");
    CHECK_U64(k.m.catalog->n_findings, 0);
    finish(&k);
    start(&k); /* the configuration knows the groups */
    k.m.config.quant_bits = 4;
    k.m.config.quant_group = 20;
    add_ct(&k);
    ADD(&k, "a.weight_shape", "I64", 2);
    one(&k, "a.weight 30x60 INT4 ct-pack 4 20: weight_packed weight_scale weight_zero_point "
            "weight_shape");
    start(&k); /* a shape that cannot be */
    add_ct(&k);
    struct sc_repo *repo = holding(&k, ADD(&k, "a.weight_shape", "I64", 2), negative, 16);
    fold(&k);
    CHECK_TENSOR(&k, 0,
                 "a.weight 30x64 INT4 ct-pack 4 22: weight_packed weight_scale "
                 "weight_zero_point weight_shape");
    CHECK_U64(k.m.catalog->n_warnings, 1);
    finish(&k);
    sc_repo_close(repo);
    start(&k); /* a file that ends before it */
    add_ct(&k);
    struct sc_entry *en = ADD(&k, "a.weight_shape", "I64", 2);
    repo = holding(&k, en, negative, 16);
    en->offset = 8;
    fold(&k);
    CHECK_U64(k.m.n_tensors, 1);
    CHECK_U64(k.m.catalog->n_warnings, 1);
    CHECK_STR(k.m.catalog->findings[0].id, "fold.shape");
    finish(&k);
    sc_repo_close(repo);
}

TEST(fold_ct_pack_doubts_a_shape_that_cannot_be)
{
    static const uint8_t bad[][16] = {
        {0, 0xca, 0x9a, 0x3b, 0, 0, 0, 0, 0, 0xca, 0x9a, 0x3b}, /* 10^9 x 10^9 */
        {30, 0, 0, 0, 0, 0, 0, 0, 0, 0xca, 0x9a, 0x3b},         /* too many columns */
        {30},                                                   /* none */
        {31, 0, 0, 0, 0, 0, 0, 0, 60},                          /* a row too many */
    };
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        struct kit k;
        start(&k);
        add_ct(&k);
        struct sc_repo *repo = holding(&k, ADD(&k, "a.weight_shape", "I64", 2), bad[i], 16);
        fold(&k);
        CHECK_TENSOR(&k, 0,
                     "a.weight 30x64 INT4 ct-pack 4 22: weight_packed weight_scale "
                     "weight_zero_point weight_shape");
        CHECK_U64(k.m.catalog->n_warnings, 1);
        CHECK_STR(k.m.catalog->findings[0].id, "fold.shape");
        finish(&k);
        sc_repo_close(repo);
    }
}

TEST(fold_int8)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "I8", 16, 32);
    ADD(&k, "a.weight_scale", "BF16", 16, 1);
    one(&k, "a.weight 16x32 I8 int8 8 65535: weight weight_scale");
    start(&k);
    ADD(&k, "a.weight", "I8", 16, 32);
    ADD(&k, "a.weight_scale", "F32", 16, 1);
    ADD(&k, "a.weight_zero_point", "I8", 16, 1);
    one(&k, "a.weight 16x32 I8 int8 8 65535: weight weight_scale weight_zero_point");
    start(&k);
    ADD(&k, "a.SCB", "F32", 16);
    ADD(&k, "a.weight", "I8", 16, 32);
    ADD_SCALAR(&k, "a.weight_format", "U8");
    one(&k, "a.weight 16x32 I8 bnb-int8 8 65535: weight SCB weight_format");
    start(&k);
    ADD(&k, "a.SCB", "F32", 15);
    ADD(&k, "a.weight", "I8", 16, 32);
    none(&k);
}

/* ----------------------------------------------------------------------------- bnb 4-bit --- */
static struct sc_entry *add_bnb(struct kit *k, const char *kind, size_t state)
{
    ADD(k, "a.weight", "U8", 1024, 1);
    ADD(k, "a.weight.absmax", "U8", 32);
    ADD(k, "a.weight.quant_map", "F32", 16);
    ADD(k, "a.weight.nested_absmax", "F32", 1);
    ADD(k, "a.weight.nested_quant_map", "F32", 256);
    char name[80];
    snprintf(name, sizeof name, "a.weight.quant_state.bitsandbytes__%s", kind);
    return ADD(k, name, "U8", state);
}

TEST(fold_bnb4)
{
    static const char good[] = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [32, 64]}";
    static const char *const bad[] = {
        "{\"shape\": [32, 65]}",
        "{\"shape\": []}",
        "{\"shape\": [-1]}",
        "{\"shape\": 7}",
        "[1, 2]",
        "{\"shape\": [1, 2",
        "\xff",
        "{\"shape\": [4294967296, 4294967296]}",
    };
    struct kit k;
    start(&k);
    struct sc_repo *repo = holding(&k, add_bnb(&k, "nf4", sizeof good - 1), good, sizeof good - 1);
    one(&k, "a.weight 32x64 NF4 bnb-4bit 4 64: weight absmax nested_absmax quant_map "
            "nested_quant_map bitsandbytes__nf4");
    sc_repo_close(repo);
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        start(&k);
        repo = holding(&k, add_bnb(&k, "fp4", strlen(bad[i])), bad[i], strlen(bad[i]));
        one(&k, "a.weight 2048 FP4 bnb-4bit 4 64: weight absmax nested_absmax quant_map "
                "nested_quant_map bitsandbytes__fp4");
        sc_repo_close(repo);
    }
    start(&k); /* longer than any state: not read */
    repo = holding(&k, add_bnb(&k, "nf4", 5000), good, sizeof good - 1);
    fold(&k);
    CHECK_U64(k.m.n_tensors, 1);
    CHECK_U64(k.m.catalog->n_warnings, 1);
    finish(&k);
    sc_repo_close(repo);
    start(&k);
    ADD(&k, "a.weight.absmax", "F32", 32); /* side tensors without a weight */
    ADD(&k, "a.weight.quant_map", "F32", 16);
    none(&k);
    start(&k);
    ADD(&k, "x.weight", "F32", 4, 1); /* only looks like it */
    ADD(&k, "x.weight.absmax_like", "F32", 4, 2);
    none(&k);
}

/* ----------------------------------------------------------------------------------- MLX --- */
static void add_mlx(struct kit *k, const char *module, uint64_t words, uint64_t groups, bool u8)
{
    char name[80];
    snprintf(name, sizeof name, "%s.weight", module);
    ADD(k, name, "U32", 8, words);
    snprintf(name, sizeof name, "%s.scales", module);
    ADD(k, name, u8 ? "U8" : "BF16", 8, groups);
    snprintf(name, sizeof name, "%s.biases", module);
    if (!u8)
        ADD(k, name, "BF16", 8, groups);
}

TEST(fold_mlx)
{
    struct kit k;
    start(&k);
    k.m.config.quant_bits = 3;
    k.m.config.quant_group = 32;
    add_mlx(&k, "a", 6, 2, false);
    one(&k, "a.weight 8x64 INT3 mlx 3 32: weight scales biases");
    start(&k); /* nothing said: groups of 64 are usual */
    add_mlx(&k, "a", 16, 2, false);
    one(&k, "a.weight 8x128 INT4 mlx 4 64: weight scales biases");
    start(&k);
    add_mlx(&k, "a", 8, 2, true);
    one(&k, "a.weight 8x64 MXFP4 mlx 4 32: weight scales");
    start(&k);
    add_mlx(&k, "a", 16, 2, true);
    one(&k, "a.weight 8x64 MXFP8 mlx 8 32: weight scales");
    start(&k);
    add_mlx(&k, "a", 8, 4, true);
    one(&k, "a.weight 8x64 NVFP4 mlx 4 16: weight scales");
    start(&k);
    ADD(&k, "e.weight", "U32", 3, 8, 16); /* stacked experts */
    ADD(&k, "e.scales", "BF16", 3, 8, 2);
    ADD(&k, "e.biases", "BF16", 3, 8, 2);
    one(&k, "e.weight 3x8x128 INT4 mlx 4 64: weight scales biases");
}

TEST(fold_mlx_modules_that_differ)
{
    static const struct sc_quant_module modules[] = {{"a.gate", 8, 32}, {"a.up", 2, 0}};
    struct kit k;
    start(&k);
    k.m.config.quant_bits = 4;
    k.m.config.quant_group = 64;
    k.m.config.quant_modules = modules;
    k.m.config.n_quant_modules = SC_COUNT(modules);
    add_mlx(&k, "a.gate", 16, 2, false);
    add_mlx(&k, "a.up", 8, 2, false);
    add_mlx(&k, "a.down", 16, 2, false);
    fold(&k);
    CHECK_TENSOR(&k, 0, "a.gate.weight 8x64 INT8 mlx 8 32: weight scales biases");
    CHECK_TENSOR(&k, 1, "a.up.weight 8x128 INT2 mlx 2 64: weight scales biases");
    CHECK_TENSOR(&k, 2, "a.down.weight 8x128 INT4 mlx 4 64: weight scales biases");
    finish(&k);
}

TEST(fold_mlx_refuses_other_scales)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "F32", 8, 16); /* "scales" of some other model */
    ADD(&k, "a.scales", "F32", 8, 2);
    ADD(&k, "a.biases", "F32", 8, 2);
    none(&k);
    start(&k);
    ADD(&k, "a.weight", "U32", 8, 16);
    ADD(&k, "a.scales", "BF16", 8, 2); /* float scales need biases */
    none(&k);
    start(&k);
    add_mlx(&k, "a", 5, 3, false); /* words are no multiple of groups */
    none(&k);
    start(&k);
    ADD(&k, "a.weight", "U32", 8, 16);
    ADD(&k, "a.scales", "BF16", 8, 0);
    ADD(&k, "a.biases", "BF16", 8, 0);
    none(&k);
}

/* ----------------------------------------------------------------------------- recognised --- */
TEST(fold_opaque)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.codes", "I16", 64, 8, 1);
    ADD(&k, "a.codebooks", "F16", 1, 64, 1, 8);
    ADD(&k, "a.scales", "F16", 64, 1, 1, 1);
    one(&k, "a.weight 64x64 AQLM aqlm 0 0: codes scales codebooks");
    start(&k);
    ADD(&k, "a.Qidxs", "I64", 64, 2);
    ADD(&k, "a.SU", "F16", 48);
    ADD(&k, "a.SV", "F16", 64);
    ADD_SCALAR(&k, "a.Wscale", "F32");
    one(&k, "a.weight 64x48 QUIP# quip 0 0: Qidxs SU SV Wscale");
    start(&k);
    ADD(&k, "a.q_weight", "I32", 8, 96);
    ADD(&k, "a.q_scale", "I32", 2, 12);
    ADD(&k, "a.q_scale_max", "F16", 2);
    ADD(&k, "a.q_groups", "I16", 4);
    ADD(&k, "a.q_invperm", "I32", 64);
    one(&k, "a.weight 96x64 EXL2 exl2 0 0: q_weight q_scale q_scale_max q_groups q_invperm");
    start(&k);
    ADD(&k, "a.trellis", "I16", 4, 6, 48);
    ADD(&k, "a.suh", "F16", 64);
    ADD(&k, "a.svh", "F16", 96);
    one(&k, "a.weight 96x64 EXL3 exl3 3 0: trellis suh svh");
    start(&k);
    ADD(&k, "a.indices", "I32", 1, 64, 12);
    ADD(&k, "a.centroids.weight", "F16", 1, 2048);
    ADD(&k, "a.res_centroids.weight", "F16", 1, 512);
    ADD(&k, "a.weight_scale", "F16", 64);
    ADD(&k, "a.weight_bias", "F16", 64);
    one(&k, "a.weight 1x64x12 VPTQ vptq 0 0: indices weight_scale weight weight weight_bias");
    start(&k);
    ADD(&k, "a.dense_weights", "I64", 64, 2);
    ADD(&k, "a.row_offsets", "I32", 65);
    ADD(&k, "a.col_vals", "I32", 10);
    one(&k, "a.weight 64x2 SPQR spqr 0 0: dense_weights row_offsets col_vals");
    start(&k);
    ADD(&k, "a._weight_qdata", "F8_E4M3", 64, 32);
    ADD(&k, "a._weight_scale", "F32", 64, 1);
    one(&k, "a.weight 64x32 TORCHAO torchao 0 0: _weight_qdata _weight_scale");
}

TEST(fold_hqq_in_both_spellings)
{
    static const uint8_t shape[8] = {64, 0, 0, 0, 32};
    struct kit k;
    start(&k);
    ADD(&k, "a.W_q", "U8", 32, 32);
    ADD(&k, "a.meta.scale", "F16", 1, 32);
    ADD(&k, "a.meta.zero", "F16", 1, 32);
    one(&k, "a.weight 32x32 HQQ hqq 0 0: W_q scale zero");
    start(&k);
    ADD(&k, "a.W_q", "U8", 32, 32);
    ADD(&k, "a.scale", "F16", 1, 32);
    ADD(&k, "a.zero", "F16", 1, 32);
    ADD_SCALAR(&k, "a.nbits", "I32");
    struct sc_repo *repo = holding(&k, ADD(&k, "a.shape", "I32", 2), shape, 8);
    one(&k, "a.weight 64x32 HQQ hqq 0 0: W_q scale zero shape nbits");
    sc_repo_close(repo);
    start(&k);
    ADD(&k, "a.W_q", "U8", 32, 32);
    ADD(&k, "a.bias", "F16", 64);
    none(&k);
}

/* ------------------------------------------------------------------------------- in general --- */
TEST(fold_nothing)
{
    struct kit k;
    start(&k);
    none(&k);
    start(&k);
    ADD(&k, "", "F32", 4);
    ADD(&k, ".", "F32", 4);
    ADD(&k, ".weight", "F32", 4);
    ADD(&k, "_scale", "F32", 4);
    ADD(&k, "._scale", "F32", 4);
    ADD(&k, "absmax", "F32", 4);
    ADD(&k, ".absmax", "F32", 4);
    ADD(&k, "quant_state.bitsandbytes__nf4", "U8", 4);
    ADD(&k, "meta.scale", "F32", 4);
    ADD(&k, "scale", "F32", 4);
    ADD(&k, "centroids.weight", "F32", 4);
    none(&k);
}

TEST(fold_keeps_the_order_of_entries)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "F32", 4);
    ADD(&k, "b.weight_scale_inv", "F32", 1, 1);
    ADD(&k, "c.weight", "F32", 4);
    ADD(&k, "b.weight", "F8_E4M3", 4, 4);
    ADD(&k, "d.weight", "F32", 4);
    fold(&k);
    CHECK_U64(k.m.n_tensors, 4);
    CHECK_STR(k.m.tensors[0].name, "a.weight");
    CHECK_STR(k.m.tensors[1].name, "b.weight");
    CHECK_STR(k.m.tensors[2].name, "c.weight");
    CHECK_STR(k.m.tensors[3].name, "d.weight");
    finish(&k);
}

TEST(fold_takes_the_first_of_twins)
{
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "F8_E4M3", 4, 4);
    ADD(&k, "a.weight_scale_inv", "F32", 1, 1);
    ADD(&k, "a.weight", "F8_E4M3", 4, 4);
    ADD(&k, "a.weight_scale_inv", "F32", 1, 1);
    fold(&k);
    CHECK_U64(k.m.n_tensors, 3);
    CHECK_U64(k.m.tensors[0].n_parts, 2);
    CHECK_U64(k.m.tensors[0].main, 0);
    CHECK_U64(k.m.tensors[1].n_parts, 1);
    finish(&k);
}

TEST(fold_of_huge_shapes_is_safe)
{
    const uint64_t huge = UINT64_C(1) << 62, odd = UINT64_C(0x7fffffffffffffff);
    struct kit k;
    start(&k);
    ADD(&k, "a.weight", "U8", 1, huge * 2);
    ADD(&k, "a.weight_scale", "U8", 1, huge / 8);
    ADD(&k, "b.qweight", "I32", huge, 1);
    ADD(&k, "b.qzeros", "I32", 1, 1);
    ADD(&k, "b.scales", "F16", 1, 1);
    ADD(&k, "c.weight", "U32", 1, odd);
    ADD(&k, "c.scales", "BF16", 1, odd);
    ADD(&k, "c.biases", "BF16", 1, odd);
    ADD(&k, "d.weight_packed", "I32", 1, huge);
    ADD(&k, "d.weight_scale", "F32", 1, 1);
    ADD(&k, "e_blocks", "U8", 1, huge, 16);
    ADD(&k, "e_scales", "U8", 1, huge);
    ADD(&k, "f.trellis", "I16", huge, 1, 1);
    ADD(&k, "f.suh", "F16", 1);
    ADD(&k, "f.svh", "F16", 1);
    ADD(&k, "g.weight", "U8", huge, 1);
    ADD(&k, "g.weight_scale", "BF16", 1);
    ADD(&k, "h.weight", "F8_E4M3", 1, odd);
    ADD(&k, "h.weight_scale_inv", "F32", 1, 3);
    fold(&k);
    finish(&k);
}

static uint32_t draw(uint32_t *state, size_t n)
{
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % (uint32_t)n;
}

TEST(fold_of_any_mixture_is_sound)
{
    static const char *const suffixes[] = {
        ".weight",
        ".weight_scale_inv",
        ".weight_scale",
        ".weight_scale_2",
        ".weight_packed",
        ".weight_shape",
        ".weight_zero_point",
        ".weight_global_scale",
        ".qweight",
        ".qzeros",
        ".scales",
        ".g_idx",
        ".biases",
        ".SCB",
        ".weight_format",
        ".weight.absmax",
        ".weight.quant_map",
        ".weight.quant_state.bitsandbytes__nf4",
        "",
        "_blocks",
        "_scales",
        "_scale",
        "_scale_inv",
        ".scale",
        ".qscale_weight",
        ".W_q",
        ".zero",
        ".shape",
        ".codes",
        ".codebooks",
        ".Qidxs",
        ".SU",
        ".SV",
        ".trellis",
        ".suh",
        ".svh",
        ".indices",
        ".centroids.weight",
        "._weight_qdata",
        "._weight_scale",
        ".meta.scale",
        ".q_weight",
        ".q_scale",
        ".q_groups",
    };
    static const char *const types[] = {"F8_E4M3", "U8",      "I8",  "I32", "U32",  "F32",
                                        "BF16",    "F8_E8M0", "I64", "F4",  "Q8_0", "I16"};
    static const uint64_t dims[] = {0, 1, 2, 3, 4, 8, 16, 32, 64, 96};
    static const uint8_t bytes[4096] = {16, 0, 0, 0, 0, 0, 0, 0, 8};
    uint32_t s = 12345;
    for (int round = 0; round < 2000; round++) {
        struct kit k;
        start(&k);
        k.m.config.quant_bits = draw(&s, 9);
        k.m.config.quant_group = draw(&s, 65);
        struct sc_repo *repo = NULL;
        if (round % 2) {
            CHECK_ERR(0,
                      sc_repo_open_memory(bytes, sizeof bytes, "model.safetensors", &repo, &k.e));
            k.m.repo = repo;
        }
        const size_t n = 1 + draw(&s, 40);
        for (size_t i = 0; i < n; i++) {
            char name[80];
            uint64_t shape[4];
            const size_t rank = draw(&s, 5);
            snprintf(name, sizeof name, "m.%u%s", draw(&s, 3),
                     suffixes[draw(&s, SC_COUNT(suffixes))]);
            for (size_t d = 0; d < rank; d++)
                shape[d] = dims[draw(&s, SC_COUNT(dims))];
            add_at(&k, name, types[draw(&s, SC_COUNT(types))], shape, rank);
        }
        fold(&k);
        finish(&k);
        sc_repo_close(repo);
    }
}
