/* SPDX-License-Identifier: Apache-2.0 */
/* test_codec: the table of number formats against sizes that are derived independently: blocks as
 * the sum of their fields, plain types from the bits in their names. */
#include "test.h"

#include "codec/codec.h"

static sc_codec_id named(const char *name)
{
    return sc_codec_find(sc_strz(name));
}

static bool bytes_of(const char *name, const uint64_t *shape, size_t rank, uint64_t *out)
{
    return sc_codec_bytes(named(name), shape, rank, out);
}

TEST(row_zero_is_opaque)
{
    uint64_t n;

    CHECK_U64(sc_codec(SC_OPAQUE)->kind, SC_KIND_OPAQUE);
    CHECK_NEAR(sc_codec_bits(SC_OPAQUE), 0, 0);
    CHECK(!sc_codec_bytes(SC_OPAQUE, NULL, 0, &n));
    CHECK(sc_codec(UINT16_MAX) == sc_codec(SC_OPAQUE));
    CHECK_U64(named("opaque"), SC_OPAQUE);
    CHECK_U64(named(""), SC_OPAQUE);
    CHECK_U64(named("F3"), SC_OPAQUE);
}

TEST(names_are_unique_and_found)
{
    for (size_t i = 1; i < sc_codec_count(); i++) {
        const struct sc_codec *c = sc_codec((sc_codec_id)i);
        CHECK_U64(sc_codec_find(sc_strz(c->name)), i);
        CHECK(c->block > 0 && c->bytes > 0);
        CHECK(c->kind != SC_KIND_OPAQUE);
        CHECK(c->whole_rows == (c->kind == SC_KIND_BLOCK));
        CHECK(c->row_bytes == 0 || c->whole_rows);
    }
}

/* The digits behind the letters of a plain name are its bits. */
TEST(plain_names_tell_their_bits)
{
    for (size_t i = 1; i < sc_codec_count(); i++) {
        const struct sc_codec *c = sc_codec((sc_codec_id)i);
        double bits = 0;
        if (c->kind == SC_KIND_BLOCK || strcmp(c->name, "BOOL") == 0 ||
            strcmp(c->name, "F4_X2") == 0)
            continue;
        for (const char *p = c->name + strcspn(c->name, "0123456789"); *p >= '0' && *p <= '9'; p++)
            bits = bits * 10 + (*p - '0');
        CHECK_NEAR(sc_codec_bits((sc_codec_id)i), bits, 0);
    }
}

TEST(safetensors_knows_every_dtype_and_nothing_else)
{
    static const char *const dtypes[] = {
        "BOOL",        "U8",          "I8",  "F8_E5M2", "F8_E4M3", "F8_E8M0", "F4",   "F6_E2M3",
        "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16",     "F6_E3M2", "F16",     "BF16", "I32",
        "U32",         "F32",         "C64", "F64",     "I64",     "U64",
    };
    static const char *const others[] = {
        "",     "F",   "f32",  "F32 ",     "F3",          "BF1",         "Q4_0",         "Q8_0",
        "C128", "QI8", "F128", "F8_E4M3F", "F8_E4M3FNUX", "F8_E9M9FNUZ", "F8_E4M3FNUZZ", "NVFP4",
    };

    for (size_t i = 0; i < SC_COUNT(dtypes); i++)
        CHECK_STR(sc_codec(sc_codec_safetensors(sc_strz(dtypes[i])))->name, dtypes[i]);
    for (size_t i = 0; i < SC_COUNT(others); i++)
        CHECK_U64(sc_codec_safetensors(sc_strz(others[i])), SC_OPAQUE);
    CHECK_U64(sc_codec_safetensors(sc_str("F\0002", 3)), SC_OPAQUE);
}

/* (type id, name, elements, sum of the fields of a block, bytes in front of a row) */
static const struct {
    uint32_t id;
    const char *name;
    unsigned block, bytes, row_bytes;
    double bits; /* published bits per weight, without row headers; 0: not known */
} ggml[] = {
    {0, "F32", 1, 4, 0, 32},
    {1, "F16", 1, 2, 0, 16},
    {2, "Q4_0", 32, 2 + 16, 0, 4.5},
    {3, "Q4_1", 32, 2 + 2 + 16, 0, 5},
    {6, "Q5_0", 32, 2 + 4 + 16, 0, 5.5},
    {7, "Q5_1", 32, 2 + 2 + 4 + 16, 0, 6},
    {8, "Q8_0", 32, 2 + 32, 0, 8.5},
    {9, "Q8_1", 32, 2 + 2 + 32, 0, 9},
    {10, "Q2_K", 256, 16 + 64 + 2 + 2, 0, 2.625},
    {11, "Q3_K", 256, 32 + 64 + 12 + 2, 0, 3.4375},
    {12, "Q4_K", 256, 2 + 2 + 12 + 128, 0, 4.5},
    {13, "Q5_K", 256, 2 + 2 + 12 + 32 + 128, 0, 5.5},
    {14, "Q6_K", 256, 128 + 64 + 16 + 2, 0, 6.5625},
    {15, "Q8_K", 256, 4 + 256 + 16 * 2, 0, 9.125},
    {16, "IQ2_XXS", 256, 2 + 8 * (4 + 4), 0, 2.0625},
    {17, "IQ2_XS", 256, 2 + 32 * 2 + 8, 0, 2.3125},
    {18, "IQ3_XXS", 256, 2 + 64 + 8 * 4, 0, 3.0625},
    {19, "IQ1_S", 256, 2 + 32 + 8 * 2, 0, 1.5625},
    {20, "IQ4_NL", 32, 2 + 16, 0, 4.5},
    {21, "IQ3_S", 256, 2 + 64 + 8 + 32 + 4, 0, 3.4375},
    {22, "IQ2_S", 256, 2 + 32 + 32 + 8 + 8, 0, 2.5625},
    {23, "IQ4_XS", 256, 2 + 2 + 4 + 128, 0, 4.25},
    {24, "I8", 1, 1, 0, 8},
    {25, "I16", 1, 2, 0, 16},
    {26, "I32", 1, 4, 0, 32},
    {27, "I64", 1, 8, 0, 64},
    {28, "F64", 1, 8, 0, 64},
    {29, "IQ1_M", 256, 32 + 16 + 4 * 2, 0, 1.75},
    {30, "BF16", 1, 2, 0, 16},
    {34, "TQ1_0", 256, 48 + 4 + 2, 0, 1.6875},
    {35, "TQ2_0", 256, 64 + 2, 0, 2.0625},
    {39, "MXFP4", 32, 1 + 16, 0, 4.25},
    {40, "NVFP4", 64, 4 + 32, 0, 4.5},
    {41, "Q1_0", 128, 2 + 16, 0, 1.125},
    {42, "Q2_0", 64, 2 + 16, 0, 2.25},
    {133, "Q6_0", 32, 2 + 8 + 16, 0, 6.5},
    {134, "IQ1_BN", 64, 12 + 1, 2, 1.625},
    {135, "IQ2_BN", 64, 16, 4, 2},
    {137, "IQ2_K", 256, 2 + 2 + 8 + 64, 0, 2.375},
    {138, "IQ3_K", 256, 2 + 2 + 2 + 8 + 64 + 32, 0, 3.4375},
    {139, "IQ4_K", 256, 2 + 2 + 4 + 8 + 128, 0, 4.5},
    {140, "IQ5_K", 256, 2 + 2 + 4 + 8 + 128 + 32, 0, 5.5},
    {141, "IQ6_K", 256, 2 + 2 + 16 + 128 + 64, 0, 6.625},
    {144, "IQ4_KS", 256, 8 + 128, 4, 4.25},
    {145, "IQ2_KS", 256, 2 + 4 + 64, 2, 2.1875},
    {146, "IQ4_KSS", 256, 32 * 4, 4, 4},
    {151, "Q8_KV", 32, 32, 8, 8},
    {152, "IQ5_KS", 256, 8 + 128 + 32, 4, 5.25},
    {153, "IQ2_KT", 256, 4 + 64, 4, 2.125},
    {154, "IQ3_KT", 256, 4 + 64 + 32, 4, 3.125},
    {155, "IQ4_KT", 256, 128, 4, 4},
    {156, "IQ3_KS", 256, 2 + 4 + 64 + 32, 2, 3.1875},
    {157, "IQ2_KL", 256, 2 + 4 + 64 + 16, 2, 2.6875},
    {158, "IQ1_KT", 256, 8 + 32 + 16, 4, 1.75},
};

TEST(ggml_blocks_are_the_sum_of_their_fields)
{
    for (size_t i = 0; i < SC_COUNT(ggml); i++) {
        const struct sc_codec *c = sc_codec(sc_codec_ggml(ggml[i].id));
        CHECK_STR(c->name, ggml[i].name);
        CHECK_U64(c->block, ggml[i].block);
        CHECK_U64(c->bytes, ggml[i].bytes);
        CHECK_U64(c->row_bytes, ggml[i].row_bytes);
        CHECK_NEAR(sc_codec_bits(sc_codec_ggml(ggml[i].id)), ggml[i].bits, 0);
    }
}

TEST(ggml_has_no_other_ids)
{
    size_t known = 0;

    for (uint32_t id = 0; id < 1000; id++)
        known += sc_codec_ggml(id) != SC_OPAQUE;
    CHECK_U64(known, SC_COUNT(ggml));
    CHECK_U64(sc_codec_ggml(UINT32_MAX), SC_OPAQUE);
}

TEST(torch_names)
{
    static const struct {
        const char *storage, *dtype, *codec;
    } rows[] = {
        {"FloatStorage", "float32", "F32"},
        {"DoubleStorage", "float64", "F64"},
        {"HalfStorage", "float16", "F16"},
        {"BFloat16Storage", "bfloat16", "BF16"},
        {"LongStorage", "int64", "I64"},
        {"IntStorage", "int32", "I32"},
        {"ShortStorage", "int16", "I16"},
        {"CharStorage", "int8", "I8"},
        {"ByteStorage", "uint8", "U8"},
        {"BoolStorage", "bool", "BOOL"},
        {"ComplexFloatStorage", "complex64", "C64"},
        {"ComplexDoubleStorage", "complex128", "C128"},
        {"QInt8Storage", "qint8", "QI8"},
        {"QUInt8Storage", "quint8", "QU8"},
        {"QInt32Storage", "qint32", "QI32"},
        {"QUInt4x2Storage", "quint4x2", "QU4"},
        {"QUInt2x4Storage", "quint2x4", "QU2"},
        {NULL, "complex32", "C32"},
        {NULL, "uint16", "U16"},
        {NULL, "uint32", "U32"},
        {NULL, "uint64", "U64"},
        {NULL, "float8_e4m3fn", "F8_E4M3"},
        {NULL, "float8_e5m2", "F8_E5M2"},
        {NULL, "float8_e4m3fnuz", "F8_E4M3FNUZ"},
        {NULL, "float8_e5m2fnuz", "F8_E5M2FNUZ"},
        {NULL, "float8_e8m0fnu", "F8_E8M0"},
        {NULL, "float4_e2m1fn_x2", "F4_X2"},
        {"UntypedStorage", NULL, "U8"},
    };

    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        if (rows[i].storage)
            CHECK_STR(sc_codec(sc_codec_torch_storage(sc_strz(rows[i].storage)))->name,
                      rows[i].codec);
        if (rows[i].dtype)
            CHECK_STR(sc_codec(sc_codec_torch_dtype(sc_strz(rows[i].dtype)))->name, rows[i].codec);
    }
    CHECK_U64(sc_codec_torch_storage(SC_STR("floatStorage")), SC_OPAQUE);
    CHECK_U64(sc_codec_torch_dtype(SC_STR("float128")), SC_OPAQUE);
}

TEST(numpy_descriptors)
{
    static const struct {
        const char *descr, *codec;
        bool big;
    } rows[] = {
        {"<f4", "F32", false},     {">f4", "F32", true},     {"=f4", "F32", false},
        {"f4", "F32", false},      {"<f2", "F16", false},    {"<f8", "F64", false},
        {"<f16", "F128", false},   {"|b1", "BOOL", false},   {"|i1", "I8", false},
        {">i1", "I8", false},      {"<i2", "I16", false},    {">i4", "I32", true},
        {"<i8", "I64", false},     {"|u1", "U8", false},     {"<u2", "U16", false},
        {"<u4", "U32", false},     {">u8", "U64", true},     {"<c8", "C64", false},
        {"<c16", "C128", false},   {"<c32", "C256", false},  {"|S5", "opaque", false},
        {"<f12", "opaque", false}, {">f3", "opaque", false}, {"|O", "opaque", false},
        {"<", "opaque", false},    {"", "opaque", false},
    };

    for (size_t i = 0; i < SC_COUNT(rows); i++) {
        bool big = !rows[i].big;
        CHECK_STR(sc_codec(sc_codec_numpy(sc_strz(rows[i].descr), &big))->name, rows[i].codec);
        CHECK(big == rows[i].big);
    }
}

TEST(bytes_of_plain_types)
{
    const uint64_t big = UINT64_C(1) << 63;
    uint64_t n = 1;

    CHECK(bytes_of("F32", NULL, 0, &n) && n == 4);
    CHECK(bytes_of("BF16", (uint64_t[]){3, 5}, 2, &n) && n == 30);
    CHECK(bytes_of("F64", (uint64_t[]){3, 0, 5}, 3, &n) && n == 0);
    CHECK(bytes_of("U8", (uint64_t[]){UINT64_MAX}, 1, &n) && n == UINT64_MAX);
    CHECK(!bytes_of("U16", (uint64_t[]){big}, 1, &n));
    CHECK(!bytes_of("U8", (uint64_t[]){big, 2}, 2, &n));
    /* The order of the dimensions does not matter when one of them is zero. */
    CHECK(bytes_of("U8", (uint64_t[]){big, 4, 0}, 3, &n) && n == 0);
    CHECK(bytes_of("U8", (uint64_t[]){0, big, 4}, 3, &n) && n == 0);
}

TEST(bytes_of_packed_types)
{
    uint64_t n = 0;

    CHECK(bytes_of("F4", (uint64_t[]){3, 2}, 2, &n) && n == 3);
    CHECK(bytes_of("F4", (uint64_t[]){2, 3}, 2, &n) && n == 3);
    CHECK(!bytes_of("F4", (uint64_t[]){3, 3}, 2, &n));
    CHECK(bytes_of("F6_E2M3", (uint64_t[]){4}, 1, &n) && n == 3);
    CHECK(!bytes_of("F6_E3M2", (uint64_t[]){6}, 1, &n));
    CHECK(!bytes_of("F6_E3M2", NULL, 0, &n));
    CHECK(bytes_of("QU2", (uint64_t[]){8}, 1, &n) && n == 2);
    CHECK(bytes_of("F4", (uint64_t[]){UINT64_MAX - 1}, 1, &n) && n == UINT64_MAX / 2);
}

TEST(bytes_of_blocks_are_counted_by_row)
{
    uint64_t n = 0;

    CHECK(bytes_of("Q4_K", (uint64_t[]){3, 512}, 2, &n) && n == UINT64_C(3) * 2 * 144);
    CHECK(!bytes_of("Q4_K", (uint64_t[]){2, 128}, 2, &n)); /* 256 elements, but half rows */
    CHECK(!bytes_of("Q4_0", NULL, 0, &n));
    CHECK(bytes_of("Q4_0", (uint64_t[]){0, 32}, 2, &n) && n == 0);
    CHECK(bytes_of("Q4_0", (uint64_t[]){5, 0}, 2, &n) && n == 0);
    CHECK(!bytes_of("Q4_0", (uint64_t[]){0, 31}, 2, &n));
    CHECK(bytes_of("IQ2_KS", (uint64_t[]){4, 3, 512}, 3, &n) && n == UINT64_C(12) * (2 + 2 * 70));
    CHECK(bytes_of("Q8_KV", (uint64_t[]){64}, 1, &n) && n == 72);
    CHECK(bytes_of("IQ2_BN", (uint64_t[]){3, 0}, 2, &n) && n == 0);
    CHECK(!bytes_of("Q8_0", (uint64_t[]){UINT64_C(1) << 58, 64}, 2, &n));
    CHECK(!bytes_of("Q4_0", (uint64_t[]){UINT64_C(1) << 60, 32}, 2, &n));
    CHECK(bytes_of("Q4_0", (uint64_t[]){UINT64_C(1) << 58, 32}, 2, &n) && n == UINT64_C(18) << 58);
}
