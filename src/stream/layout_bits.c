/* SPDX-License-Identifier: Apache-2.0 */
/* layout_bits: packed integers to floats, and scales over runs of them. Pure.
 *
 * Loops have constant lengths wherever they can, because a compiler then makes vectors of them
 * without asking; all of them exist twice, for any processor and for AVX2, from the same source. */
#include <string.h>

#include "stream/layout_parts.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#if defined(__GNUC__)
#define ALWAYS static inline __attribute__((always_inline))
#else
#define ALWAYS static inline
#endif

/* ---------------------------------------------------------------------------------- codes --- */
/* n codes, at most 32 bits in all, from the lowest bit upward; a processor with a shift for each
 * lane makes one vector of them. */
ALWAYS void lanes(uint32_t all, unsigned bits, unsigned n, float *dst)
{
    const uint32_t mask = (1U << bits) - 1;
    for (unsigned i = 0; i < n; i++)
        dst[i] = (float)(int32_t)(all >> i * bits & mask);
}

/* Eights of codes; `bits` is a constant where this is called. */
ALWAYS void many(const uint8_t *src, unsigned bits, size_t eights, float *dst)
{
    for (; eights; eights--, src += bits, dst += 8) {
        uint8_t bytes[8] = {0};
        memcpy(bytes, src, bits);
        if (bits <= 4) {
            lanes(sc_le32(bytes), bits, 8, dst);
        } else {
            const uint64_t all = sc_le64(bytes);
            lanes((uint32_t)all, bits, 4, dst);
            lanes((uint32_t)(all >> 4 * bits), bits, 4, dst + 4);
        }
    }
}

/* n is a multiple of 8. */
ALWAYS void unpack(const uint8_t *src, unsigned bits, size_t n, float *dst)
{
    switch (bits) {
    case 1:
        many(src, 1, n / 8, dst);
        break;
    case 2:
        many(src, 2, n / 8, dst);
        break;
    case 3:
        many(src, 3, n / 8, dst);
        break;
    case 4:
        many(src, 4, n / 8, dst);
        break;
    case 5:
        many(src, 5, n / 8, dst);
        break;
    case 6:
        many(src, 6, n / 8, dst);
        break;
    case 7:
        many(src, 7, n / 8, dst);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            dst[i] = (float)src[i];
    }
}

/* The same bits of every word; they are little-endian, as in every file. */
ALWAYS void column(const uint32_t *words, unsigned shift, uint32_t mask, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)(int32_t)(sc_le32((const uint8_t *)(words + i)) >> shift & mask);
}

/* ---------------------------------------------------------------------------------- scales --- */
ALWAYS float one(enum sc_apply how, float v, float a, float b)
{
    switch (how) {
    case SC_APPLY_SCALE:
        break;
    case SC_APPLY_ZERO_SCALE:
        return (v - b) * a;
    case SC_APPLY_SCALE_BIAS:
        return v * a + b;
    }
    return v * a;
}

ALWAYS void run(enum sc_apply how, float *dst, size_t n, float a, float b)
{
    for (; n >= 16; n -= 16, dst += 16)
        for (size_t i = 0; i < 16; i++)
            dst[i] = one(how, dst[i], a, b);
    for (size_t i = 0; i < n; i++)
        dst[i] = one(how, dst[i], a, b);
}

ALWAYS void runs(enum sc_apply how, float *dst, size_t n, uint64_t col, uint64_t along,
                 const float *a, const float *b)
{
    const uint64_t into = col % along;
    for (uint64_t left = along - into; n; left = along) {
        const size_t take = (size_t)SC_MIN(left, (uint64_t)n);
        run(how, dst, take, *a++, how == SC_APPLY_SCALE ? 0 : *b++);
        dst += take;
        n -= take;
    }
}

ALWAYS void apply(enum sc_apply how, float *dst, size_t n, uint64_t col, uint64_t along,
                  const float *a, const float *b)
{
    switch (how) {
    case SC_APPLY_SCALE:
        runs(SC_APPLY_SCALE, dst, n, col, along, a, b);
        break;
    case SC_APPLY_ZERO_SCALE:
        runs(SC_APPLY_ZERO_SCALE, dst, n, col, along, a, b);
        break;
    case SC_APPLY_SCALE_BIAS:
        runs(SC_APPLY_SCALE_BIAS, dst, n, col, along, a, b);
        break;
    }
}

ALWAYS void order(enum sc_apply how, float *dst, size_t n, const uint32_t *group, const float *a,
                  const float *b)
{
    if (how == SC_APPLY_SCALE)
        for (size_t i = 0; i < n; i++)
            dst[i] *= a[group[i]];
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = (dst[i] - b[group[i]]) * a[group[i]];
}

/* --------------------------------------------------------------------------------- levels --- */
#if SC_HAVE_X86
#define LEVELS(X)                                                                                  \
    X(static, c)                                                                                   \
    X(SC_TARGET_AVX2 static, avx2)
#define LEVEL(name) (sc_cpu_level() >= SC_CPU_AVX2 ? name##_avx2 : name##_c)
#else
#define LEVELS(X)   X(static, c)
#define LEVEL(name) name##_c
#endif
#define FUNCTIONS(kind, level)                                                                     \
    kind void unpack_##level(const uint8_t *src, unsigned bits, size_t n, float *dst)              \
    {                                                                                              \
        unpack(src, bits, n, dst);                                                                 \
    }                                                                                              \
    kind void column_##level(const uint32_t *words, unsigned shift, uint32_t mask, size_t n,       \
                             float *dst)                                                           \
    {                                                                                              \
        column(words, shift, mask, n, dst);                                                        \
    }                                                                                              \
    kind void apply_##level(enum sc_apply how, float *dst, size_t n, uint64_t col, uint64_t along, \
                            const float *a, const float *b)                                        \
    {                                                                                              \
        apply(how, dst, n, col, along, a, b);                                                      \
    }                                                                                              \
    kind void order_##level(enum sc_apply how, float *dst, size_t n, const uint32_t *group,        \
                            const float *a, const float *b)                                        \
    {                                                                                              \
        order(how, dst, n, group, a, b);                                                           \
    }
LEVELS(FUNCTIONS)

/* A group of eight codes of which only some are there or wanted. */
static void some(const uint8_t *src, unsigned bits, size_t skip, size_t n, float *dst)
{
    uint8_t copy[8] = {0};
    float values[8];
    memcpy(copy, src, ((skip + n) * bits + 7) / 8);
    unpack_c(copy, bits, 8, values);
    memcpy(dst, values + skip, n * sizeof dst[0]);
}

void sc_bits_unpack(const uint8_t *src, unsigned bits, uint64_t first, size_t n, float *dst)
{
    const size_t skip = (size_t)(first % 8);
    if (skip && n) {
        const size_t head = SC_MIN(8 - skip, n);
        some(src, bits, skip, head, dst);
        src += bits;
        dst += head;
        n -= head;
    }
    const size_t body = n & ~(size_t)7;
    if (body)
        LEVEL(unpack)(src, bits, body, dst);
    if (n > body)
        some(src + body / 8 * bits, bits, 0, n - body, dst + body);
}

void sc_words_unpack(const uint8_t *src, unsigned bits, uint64_t first, size_t n, float *dst)
{
    const unsigned per = 32 / bits;
    const uint32_t mask = (1U << bits) - 1;
    for (unsigned at = (unsigned)(first % per); n; src += 4, at = 0) {
        const uint32_t word = sc_le32(src);
        for (; at < per && n; at++, n--)
            *dst++ = (float)(word >> at * bits & mask);
    }
}

void sc_apply_runs(enum sc_apply how, float *dst, size_t n, uint64_t col, uint64_t along,
                   const float *a, const float *b)
{
    LEVEL(apply)(how, dst, n, col, along, a, b);
}

void sc_apply_order(enum sc_apply how, float *dst, size_t n, const uint32_t *group, const float *a,
                    const float *b)
{
    LEVEL(order)(how, dst, n, group, a, b);
}

void sc_column_unpack(const uint32_t *words, unsigned shift, uint32_t mask, size_t n, float *dst)
{
    LEVEL(column)(words, shift, mask, n, dst);
}
