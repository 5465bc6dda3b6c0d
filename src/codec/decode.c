/* SPDX-License-Identifier: Apache-2.0 */
/* decode: which function decodes which row of the table of number formats.
 *
 * Owns: the look-up over the tables of decode_plain.c, decode_ggml.c, decode_k.c and decode_iq.c,
 * the types that only a double holds, all others as double, and big-endian elements.
 *
 *     F64, I32, U32, I64, U64, C128    sc_decoder64() only
 *     QI8 QU8 QI32 QU4 QU2             none: scale and zero point are not in the bytes
 *     F128, C256                       none: numpy's long double has 80 bits on one processor and
 *                                      128 on another, and the file does not say which
 *     rows of the ik_llama.cpp fork    none yet: their definition is the fork's own (Q6_0, IQ1_BN
 *                                      to IQ1_KT in codecs.c); most have a header in front of rows
 *     opaque                           none
 *     everything else                  sc_decoder() and sc_decoder64() */
#include "codec/decode.h"

#include <string.h>

static const struct sc_decoder_row *const tables[] = {sc_decode_plain, sc_decode_ggml, sc_decode_k,
                                                      sc_decode_iq};

static const struct sc_decoder_row no_row;

static const struct sc_decoder_row *search(sc_codec_id id)
{
    const char *name = sc_codec(id)->name;
    for (size_t i = 0; i < SC_COUNT(tables); i++)
        for (const struct sc_decoder_row *row = tables[i]; row->name; row++)
            if (strcmp(row->name, name) == 0)
                return row;
    return &no_row;
}

/* Searched once for every id; whoever comes at once finds the same row. More ids than there is room
 * for would only cost their searches. */
static const struct sc_decoder_row *row_of(sc_codec_id id)
{
    static const struct sc_decoder_row *_Atomic found[128];
    if (id >= SC_COUNT(found))
        return search(id);
    const struct sc_decoder_row *row = found[id];
    if (!row)
        found[id] = row = search(id);
    return row;
}

sc_decode_fn *sc_decoder(sc_codec_id id, enum sc_cpu level)
{
    const struct sc_decoder_row *row = row_of(id);
    if (level >= SC_CPU_AVX512 && row->avx512)
        return row->avx512;
    if (level >= SC_CPU_AVX2 && row->avx2)
        return row->avx2;
    return row->c;
}

/* torch counts a byte of two F4 as one element. */
unsigned sc_codec_values(sc_codec_id id)
{
    const struct sc_codec *c = sc_codec(id);
    return c->kind == SC_KIND_COMPLEX || strcmp(c->name, "F4_X2") == 0 ? 2 : 1;
}

/* ------------------------------------------------------------------------------ as doubles --- */
static double double_of(uint64_t bits)
{
    const union {
        uint64_t u;
        double d;
    } v = {bits};
    return v.d;
}

#define EACH(name, bytes, value)                                                                   \
    static void decode_##name(const uint8_t *src, double *dst, size_t n)                           \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            const uint8_t *p = src + i * bytes;                                                    \
            dst[i] = value;                                                                        \
        }                                                                                          \
    }
EACH(f64, 8, double_of(sc_le64(p)))
EACH(i32, 4, (double)(int32_t)sc_le32(p))
EACH(u32, 4, (double)sc_le32(p))
EACH(i64, 8, (double)(int64_t)sc_le64(p)) /* to nearest even, as every int to float in C here */
EACH(u64, 8, (double)sc_le64(p))

static void decode_c128(const uint8_t *src, double *dst, size_t n)
{
    decode_f64(src, dst, 2 * n);
}

static const struct {
    const char *name;
    sc_decode64_fn *decode;
} wide_rows[] = {
    {"F64", decode_f64}, {"I32", decode_i32}, {"U32", decode_u32},
    {"I64", decode_i64}, {"U64", decode_u64}, {"C128", decode_c128},
};

/* The floats of any other type, in pieces that stay in the nearest cache. */
static void widen(sc_codec_id id, const uint8_t *src, double *dst, size_t n)
{
    enum { ROOM = 1024 }; /* at least one block: the largest has 256 values */
    float some[ROOM];
    const struct sc_codec *c = sc_codec(id);
    const size_t values = c->block * (size_t)sc_codec_values(id), most = ROOM / values;
    sc_decode_fn *decode = sc_decoder(id, sc_cpu_level());
    while (n) {
        const size_t blocks = SC_MIN(n, most);
        decode(src, some, blocks);
        for (size_t i = 0; i < blocks * values; i++)
            dst[i] = (double)some[i];
        src += blocks * c->bytes;
        dst += blocks * values;
        n -= blocks;
    }
}

/* A function for every id, because a function pointer carries nothing else: widen_107() is that of
 * id 7 (100 in front, so that 08 is no octal number). */
#define WIDEN(digits)                                                                              \
    static void widen_##digits(const uint8_t *src, double *dst, size_t n)                          \
    {                                                                                              \
        widen((digits)-100, src, dst, n);                                                          \
    }
#define NAME(digits) widen_##digits,
/* clang-format off */
#define TEN(X, ten)                                                                                \
    X(1##ten##0) X(1##ten##1) X(1##ten##2) X(1##ten##3) X(1##ten##4)                               \
    X(1##ten##5) X(1##ten##6) X(1##ten##7) X(1##ten##8) X(1##ten##9)
#define HUNDRED(X)                                                                                 \
    TEN(X, 0) TEN(X, 1) TEN(X, 2) TEN(X, 3) TEN(X, 4)                                              \
    TEN(X, 5) TEN(X, 6) TEN(X, 7) TEN(X, 8) TEN(X, 9)
/* clang-format on */
HUNDRED(WIDEN)
static sc_decode64_fn *const wideners[] = {HUNDRED(NAME)};

sc_decode64_fn *sc_decoder64(sc_codec_id id)
{
    if (sc_decoder(id, SC_CPU_C))
        return id < SC_COUNT(wideners) ? wideners[id] : NULL;
    for (size_t i = 0; i < SC_COUNT(wide_rows); i++)
        if (strcmp(wide_rows[i].name, sc_codec(id)->name) == 0)
            return wide_rows[i].decode;
    return NULL;
}

/* ------------------------------------------------------------------------------ byte order --- */
/* Bytes that turn around together: an element, or one part of a complex one; 0: not known. */
static size_t bytes_of_number(sc_codec_id id)
{
    const struct sc_codec *c = sc_codec(id);
    if (c->bytes == 1)
        return 1; /* also codes of less than a byte */
    if (c->block != 1 || c->kind == SC_KIND_OPAQUE || c->kind == SC_KIND_LOGICAL)
        return 0;
    return c->kind == SC_KIND_COMPLEX ? c->bytes / 2U : c->bytes;
}

/* Called with a constant size, so that a compiler makes one instruction of the inner loop. */
static inline void turn(uint8_t *at, uint64_t n, size_t size)
{
    for (; n; n--, at += size)
        for (size_t i = 0; i < size / 2; i++) {
            const uint8_t byte = at[i];
            at[i] = at[size - 1 - i];
            at[size - 1 - i] = byte;
        }
}

bool sc_codec_swap(sc_codec_id id, void *p, uint64_t n_elements)
{
    const size_t size = bytes_of_number(id);
    const uint64_t n = size ? n_elements * (sc_codec(id)->bytes / size) : 0;
    switch (size) {
    case 0:
        return false;
    case 2:
        turn(p, n, 2);
        break;
    case 4:
        turn(p, n, 4);
        break;
    case 8:
        turn(p, n, 8);
        break;
    default:
        turn(p, n, size); /* of one byte: nothing to turn */
    }
    return true;
}
