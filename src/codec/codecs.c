/* SPDX-License-Identifier: Apache-2.0 */
/* codecs: the table of number formats, and how each container spells them.
 *
 * Owns: one row a format (name and geometry) and the five maps from safetensors, GGML, torch
 * storages, torch dtypes and numpy descriptors to a row.
 *
 * Does not own: types that are known by name only (numpy strings and records, removed GGML ids):
 * the parsers list those as foreign types.
 *
 * One list makes the enumeration and the table, so that they cannot drift apart. Its columns:
 *
 *     elements in a block | bytes of a block | bytes in front of every row | kind | whole rows
 *
 * The safetensors names come first, grouped by length: the lookup of a safetensors header, called
 * once a tensor, relies on that (and a test checks it). */
#include "codec/codec.h"

#include <string.h>

#define SAFETENSORS_ROWS(X)                                                                        \
    X(U8, 1, 1, 0, UINT, false)                                                                    \
    X(I8, 1, 1, 0, INT, false)                                                                     \
    X(F4, 2, 1, 0, FLOAT, false)                                                                   \
    X(F32, 1, 4, 0, FLOAT, false)                                                                  \
    X(F16, 1, 2, 0, FLOAT, false)                                                                  \
    X(I64, 1, 8, 0, INT, false)                                                                    \
    X(I32, 1, 4, 0, INT, false)                                                                    \
    X(F64, 1, 8, 0, FLOAT, false)                                                                  \
    X(U32, 1, 4, 0, UINT, false)                                                                   \
    X(U16, 1, 2, 0, UINT, false)                                                                   \
    X(I16, 1, 2, 0, INT, false)                                                                    \
    X(U64, 1, 8, 0, UINT, false)                                                                   \
    X(C64, 1, 8, 0, COMPLEX, false)                                                                \
    X(BF16, 1, 2, 0, FLOAT, false)                                                                 \
    X(BOOL, 1, 1, 0, BOOL, false)                                                                  \
    X(F8_E4M3, 1, 1, 0, FLOAT, false)                                                              \
    X(F8_E5M2, 1, 1, 0, FLOAT, false)                                                              \
    X(F8_E8M0, 1, 1, 0, SCALE, false)                                                              \
    X(F6_E2M3, 4, 3, 0, FLOAT, false)                                                              \
    X(F6_E3M2, 4, 3, 0, FLOAT, false)                                                              \
    X(F8_E4M3FNUZ, 1, 1, 0, FLOAT, false)                                                          \
    X(F8_E5M2FNUZ, 1, 1, 0, FLOAT, false)

/* Only torch and numpy write these. F4_X2 is torch's float4_e2m1fn_x2, whose shape counts bytes;
 * QU4 and QU2 are quint4x2 and quint2x4, whose shape counts values. F128 and C256 are numpy's long
 * double in its 16-byte form. */
#define TORCH_NUMPY_ROWS(X)                                                                        \
    X(C32, 1, 4, 0, COMPLEX, false)                                                                \
    X(C128, 1, 16, 0, COMPLEX, false)                                                              \
    X(C256, 1, 32, 0, COMPLEX, false)                                                              \
    X(F128, 1, 16, 0, FLOAT, false)                                                                \
    X(F4_X2, 1, 1, 0, FLOAT, false)                                                                \
    X(QI8, 1, 1, 0, QINT, false)                                                                   \
    X(QU8, 1, 1, 0, QINT, false)                                                                   \
    X(QI32, 1, 4, 0, QINT, false)                                                                  \
    X(QU4, 2, 1, 0, QINT, false)                                                                   \
    X(QU2, 4, 1, 0, QINT, false)

/* GGML blocks, after the type table of ggml, and below those of the ik_llama.cpp fork. MXFP4 and
 * NVFP4 are the GGML blocks of these names. */
#define GGML_ROWS(X)                                                                               \
    X(Q4_0, 32, 18, 0, BLOCK, true)                                                                \
    X(Q4_1, 32, 20, 0, BLOCK, true)                                                                \
    X(Q5_0, 32, 22, 0, BLOCK, true)                                                                \
    X(Q5_1, 32, 24, 0, BLOCK, true)                                                                \
    X(Q8_0, 32, 34, 0, BLOCK, true)                                                                \
    X(Q8_1, 32, 36, 0, BLOCK, true)                                                                \
    X(Q2_K, 256, 84, 0, BLOCK, true)                                                               \
    X(Q3_K, 256, 110, 0, BLOCK, true)                                                              \
    X(Q4_K, 256, 144, 0, BLOCK, true)                                                              \
    X(Q5_K, 256, 176, 0, BLOCK, true)                                                              \
    X(Q6_K, 256, 210, 0, BLOCK, true)                                                              \
    X(Q8_K, 256, 292, 0, BLOCK, true)                                                              \
    X(IQ2_XXS, 256, 66, 0, BLOCK, true)                                                            \
    X(IQ2_XS, 256, 74, 0, BLOCK, true)                                                             \
    X(IQ3_XXS, 256, 98, 0, BLOCK, true)                                                            \
    X(IQ1_S, 256, 50, 0, BLOCK, true)                                                              \
    X(IQ4_NL, 32, 18, 0, BLOCK, true)                                                              \
    X(IQ3_S, 256, 110, 0, BLOCK, true)                                                             \
    X(IQ2_S, 256, 82, 0, BLOCK, true)                                                              \
    X(IQ4_XS, 256, 136, 0, BLOCK, true)                                                            \
    X(IQ1_M, 256, 56, 0, BLOCK, true)                                                              \
    X(TQ1_0, 256, 54, 0, BLOCK, true)                                                              \
    X(TQ2_0, 256, 66, 0, BLOCK, true)                                                              \
    X(MXFP4, 32, 17, 0, BLOCK, true)                                                               \
    X(NVFP4, 64, 36, 0, BLOCK, true)                                                               \
    X(Q1_0, 128, 18, 0, BLOCK, true)                                                               \
    X(Q2_0, 64, 18, 0, BLOCK, true)                                                                \
    X(Q6_0, 32, 26, 0, BLOCK, true)                                                                \
    X(IQ1_BN, 64, 13, 2, BLOCK, true)                                                              \
    X(IQ2_BN, 64, 16, 4, BLOCK, true)                                                              \
    X(IQ2_K, 256, 76, 0, BLOCK, true)                                                              \
    X(IQ3_K, 256, 110, 0, BLOCK, true)                                                             \
    X(IQ4_K, 256, 144, 0, BLOCK, true)                                                             \
    X(IQ5_K, 256, 176, 0, BLOCK, true)                                                             \
    X(IQ6_K, 256, 212, 0, BLOCK, true)                                                             \
    X(IQ4_KS, 256, 136, 4, BLOCK, true)                                                            \
    X(IQ2_KS, 256, 70, 2, BLOCK, true)                                                             \
    X(IQ4_KSS, 256, 128, 4, BLOCK, true)                                                           \
    X(Q8_KV, 32, 32, 8, BLOCK, true)                                                               \
    X(IQ5_KS, 256, 168, 4, BLOCK, true)                                                            \
    X(IQ2_KT, 256, 68, 4, BLOCK, true)                                                             \
    X(IQ3_KT, 256, 100, 4, BLOCK, true)                                                            \
    X(IQ4_KT, 256, 128, 4, BLOCK, true)                                                            \
    X(IQ3_KS, 256, 102, 2, BLOCK, true)                                                            \
    X(IQ2_KL, 256, 86, 2, BLOCK, true)                                                             \
    X(IQ1_KT, 256, 56, 4, BLOCK, true)

#define ALL_ROWS(X) SAFETENSORS_ROWS(X) TORCH_NUMPY_ROWS(X) GGML_ROWS(X)

#define ID(name, block, bytes, row_bytes, kind, whole_rows) ID_##name,
#define ROW(name, block, bytes, row_bytes, kind, whole_rows)                                       \
    {#name, block, bytes, row_bytes, SC_KIND_##kind, whole_rows},

enum { ID_OPAQUE, ALL_ROWS(ID) ID_COUNT };

#define OPAQUE_ROW {"opaque", 1, 0, 0, SC_KIND_OPAQUE, false},
static const struct sc_codec codecs[ID_COUNT] = {OPAQUE_ROW ALL_ROWS(ROW)};

/* Ids that are missing here were removed from ggml (4, 5, 31-33, 36-38), are internal to the fork
 * (97-99, 136, 147-150) or are its row-interleaved repacks (202-399). */
static const uint8_t ggml_types[] = {
    [0] = ID_F32,       [1] = ID_F16,      [2] = ID_Q4_0,     [3] = ID_Q4_1,     [6] = ID_Q5_0,
    [7] = ID_Q5_1,      [8] = ID_Q8_0,     [9] = ID_Q8_1,     [10] = ID_Q2_K,    [11] = ID_Q3_K,
    [12] = ID_Q4_K,     [13] = ID_Q5_K,    [14] = ID_Q6_K,    [15] = ID_Q8_K,    [16] = ID_IQ2_XXS,
    [17] = ID_IQ2_XS,   [18] = ID_IQ3_XXS, [19] = ID_IQ1_S,   [20] = ID_IQ4_NL,  [21] = ID_IQ3_S,
    [22] = ID_IQ2_S,    [23] = ID_IQ4_XS,  [24] = ID_I8,      [25] = ID_I16,     [26] = ID_I32,
    [27] = ID_I64,      [28] = ID_F64,     [29] = ID_IQ1_M,   [30] = ID_BF16,    [34] = ID_TQ1_0,
    [35] = ID_TQ2_0,    [39] = ID_MXFP4,   [40] = ID_NVFP4,   [41] = ID_Q1_0,    [42] = ID_Q2_0,
    [133] = ID_Q6_0,    [134] = ID_IQ1_BN, [135] = ID_IQ2_BN, [137] = ID_IQ2_K,  [138] = ID_IQ3_K,
    [139] = ID_IQ4_K,   [140] = ID_IQ5_K,  [141] = ID_IQ6_K,  [144] = ID_IQ4_KS, [145] = ID_IQ2_KS,
    [146] = ID_IQ4_KSS, [151] = ID_Q8_KV,  [152] = ID_IQ5_KS, [153] = ID_IQ2_KT, [154] = ID_IQ3_KT,
    [155] = ID_IQ4_KT,  [156] = ID_IQ3_KS, [157] = ID_IQ2_KL, [158] = ID_IQ1_KT,
};
_Static_assert(ID_COUNT <= UINT8_MAX, "ggml_types holds ids in bytes");

struct spelling {
    const char *name;
    uint8_t id;
};

static const struct spelling torch_storages[] = {
    {"BFloat16Storage", ID_BF16},
    {"FloatStorage", ID_F32},
    {"HalfStorage", ID_F16},
    {"UntypedStorage", ID_U8},
    {"LongStorage", ID_I64},
    {"IntStorage", ID_I32},
    {"ByteStorage", ID_U8},
    {"BoolStorage", ID_BOOL},
    {"CharStorage", ID_I8},
    {"ShortStorage", ID_I16},
    {"DoubleStorage", ID_F64},
    {"ComplexFloatStorage", ID_C64},
    {"ComplexDoubleStorage", ID_C128},
    {"QInt8Storage", ID_QI8},
    {"QUInt8Storage", ID_QU8},
    {"QInt32Storage", ID_QI32},
    {"QUInt4x2Storage", ID_QU4},
    {"QUInt2x4Storage", ID_QU2},
};

static const struct spelling torch_dtypes[] = {
    {"bfloat16", ID_BF16},
    {"float32", ID_F32},
    {"float16", ID_F16},
    {"float", ID_F32},
    {"half", ID_F16},
    {"float64", ID_F64},
    {"double", ID_F64},
    {"int64", ID_I64},
    {"long", ID_I64},
    {"int32", ID_I32},
    {"int", ID_I32},
    {"int16", ID_I16},
    {"short", ID_I16},
    {"int8", ID_I8},
    {"uint8", ID_U8},
    {"uint16", ID_U16},
    {"uint32", ID_U32},
    {"uint64", ID_U64},
    {"bool", ID_BOOL},
    {"complex32", ID_C32},
    {"chalf", ID_C32},
    {"complex64", ID_C64},
    {"cfloat", ID_C64},
    {"complex128", ID_C128},
    {"cdouble", ID_C128},
    {"float8_e4m3fn", ID_F8_E4M3},
    {"float8_e5m2", ID_F8_E5M2},
    {"float8_e4m3fnuz", ID_F8_E4M3FNUZ},
    {"float8_e5m2fnuz", ID_F8_E5M2FNUZ},
    {"float8_e8m0fnu", ID_F8_E8M0},
    {"float4_e2m1fn_x2", ID_F4_X2},
    {"qint8", ID_QI8},
    {"quint8", ID_QU8},
    {"qint32", ID_QI32},
    {"quint4x2", ID_QU4},
    {"quint2x4", ID_QU2},
};

/* Kind letter and bytes of one value, as in "<f4". */
static const struct spelling numpy_types[] = {
    {"f4", ID_F32}, {"f2", ID_F16},   {"f8", ID_F64},   {"i8", ID_I64},
    {"i4", ID_I32}, {"i2", ID_I16},   {"i1", ID_I8},    {"u1", ID_U8},
    {"u2", ID_U16}, {"u4", ID_U32},   {"u8", ID_U64},   {"b1", ID_BOOL},
    {"c8", ID_C64}, {"c16", ID_C128}, {"f16", ID_F128}, {"c32", ID_C256},
};

size_t sc_codec_count(void)
{
    return ID_COUNT;
}

const struct sc_codec *sc_codec(sc_codec_id id)
{
    return &codecs[id < ID_COUNT ? id : ID_OPAQUE];
}

static sc_codec_id find_between(struct sc_str name, sc_codec_id first, sc_codec_id last)
{
    for (sc_codec_id id = first; id <= last; id++)
        if (sc_str_is(name, codecs[id].name))
            return id;
    return SC_OPAQUE;
}

sc_codec_id sc_codec_find(struct sc_str name)
{
    return find_between(name, ID_OPAQUE + 1, ID_COUNT - 1);
}

/* Rows of one length are neighbours, so a comparison never needs the length of the row's name. */
static sc_codec_id find_same_length(struct sc_str name, sc_codec_id first, sc_codec_id last)
{
    for (sc_codec_id id = first; id <= last; id++)
        if (memcmp(name.p, codecs[id].name, name.n) == 0)
            return id;
    return SC_OPAQUE;
}

sc_codec_id sc_codec_safetensors(struct sc_str dtype)
{
    switch (dtype.n) {
    case 2:
        return find_same_length(dtype, ID_U8, ID_F4);
    case 3:
        return find_same_length(dtype, ID_F32, ID_C64);
    case 4:
        return find_same_length(dtype, ID_BF16, ID_BOOL);
    case 7:
        return find_same_length(dtype, ID_F8_E4M3, ID_F6_E3M2);
    case 11:
        return find_same_length(dtype, ID_F8_E4M3FNUZ, ID_F8_E5M2FNUZ);
    default:
        return SC_OPAQUE;
    }
}

sc_codec_id sc_codec_ggml(uint32_t type_id)
{
    return type_id < SC_COUNT(ggml_types) ? ggml_types[type_id] : SC_OPAQUE;
}

static sc_codec_id find_spelling(const struct spelling *rows, size_t n, struct sc_str name)
{
    for (size_t i = 0; i < n; i++)
        if (sc_str_is(name, rows[i].name))
            return rows[i].id;
    return SC_OPAQUE;
}

sc_codec_id sc_codec_torch_storage(struct sc_str storage_class)
{
    return find_spelling(torch_storages, SC_COUNT(torch_storages), storage_class);
}

sc_codec_id sc_codec_torch_dtype(struct sc_str dtype)
{
    return find_spelling(torch_dtypes, SC_COUNT(torch_dtypes), dtype);
}

static bool is_byte_order(char c)
{
    return c == '<' || c == '>' || c == '|' || c == '=';
}

sc_codec_id sc_codec_numpy(struct sc_str descr, bool *big_endian)
{
    const bool ordered = descr.n > 0 && is_byte_order(descr.p[0]);
    const sc_codec_id id = find_spelling(numpy_types, SC_COUNT(numpy_types),
                                         sc_str(descr.p + ordered, descr.n - ordered));
    /* A byte has no order, whatever the file says. */
    *big_endian = ordered && descr.p[0] == '>' && id != SC_OPAQUE && codecs[id].bytes > 1;
    return id;
}

double sc_codec_bits(sc_codec_id id)
{
    const struct sc_codec *c = sc_codec(id);

    return 8.0 * c->bytes / c->block;
}

double sc_codec_least_normal(sc_codec_id id)
{
    static const struct {
        const char *name;
        double least;
    } known[] = {{"F16", 0x1p-14},        {"BF16", 0x1p-126},      {"F32", 0x1p-126},
                 {"F64", 0x1p-1022},      {"C32", 0x1p-14},        {"C64", 0x1p-126},
                 {"C128", 0x1p-1022},     {"F8_E4M3", 0x1p-6},     {"F8_E5M2", 0x1p-14},
                 {"F8_E4M3FNUZ", 0x1p-7}, {"F8_E5M2FNUZ", 0x1p-15}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(sc_codec(id)->name, known[i].name) == 0)
            return known[i].least;
    return 0;
}

/* Rows of whole blocks, each behind its header. */
static bool bytes_of_rows(const struct sc_codec *c, const uint64_t *shape, size_t rank,
                          uint64_t elements, uint64_t *out)
{
    uint64_t row;

    if (rank == 0 || shape[rank - 1] % c->block != 0)
        return false;
    if (elements == 0) {
        *out = 0;
        return true;
    }
    return sc_mul(shape[rank - 1] / c->block, c->bytes, &row) && sc_add(row, c->row_bytes, &row) &&
           sc_mul(elements / shape[rank - 1], row, out);
}

bool sc_codec_bytes(sc_codec_id id, const uint64_t *shape, size_t rank, uint64_t *out)
{
    const struct sc_codec *c = sc_codec(id);
    uint64_t elements;

    if (c->kind == SC_KIND_OPAQUE || !sc_product(shape, rank, &elements))
        return false;
    if (c->whole_rows)
        return bytes_of_rows(c, shape, rank, elements, out);
    return elements % c->block == 0 && sc_mul(elements / c->block, c->bytes, out);
}
