/* SPDX-License-Identifier: Apache-2.0 */
/* ggml_inputs: values for the tests of encoders, the same ones in all programs: made of integers
 * and exact products, of no library function. */
#ifndef SC_TEST_GGML_INPUTS_H
#define SC_TEST_GGML_INPUTS_H

#include <stddef.h>
#include <stdint.h>

enum { INPUT_VALUES = 65536 };
enum input {
    INPUT_BELL,     /* sums of eight uniform numbers: near normal, of the size of weights */
    INPUT_UNIFORM,  /* -1/16 to 1/16 */
    INPUT_HEAVY,    /* products of three bell numbers: heavy tails */
    INPUT_SPARSE,   /* 15 of 16 are 0, of either sign */
    INPUT_OUTLIERS, /* bells whose blocks differ in size, some values 16 times as large */
    INPUT_SHIFTED,  /* bells around a value that is not 0 */
    INPUT_TIES,     /* few small integers times a power of two: everything ties */
    INPUT_SMALL,    /* subnormal numbers, and normal ones next to them */
    INPUT_LARGE,    /* up to the largest float */
    INPUT_POWERS, /* the largest of each block of 32 is one of the last floats below a power of 2 */
    INPUT_ODD,    /* bells with NaN, infinities and other extremes among them */
    INPUT_BITS,   /* any bits */
    INPUT_COUNT
};

static inline uint32_t input_next(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 32);
}
static inline float input_bits(uint32_t bits)
{
    const union {
        uint32_t u;
        float f;
    } v = {bits};
    return v.f;
}
/* -1/2 to 1/2, 24 bits */
static inline float input_uniform(uint64_t *state)
{
    return (float)((int32_t)(input_next(state) >> 8) - (1 << 23)) * 0x1p-24F;
}
static inline float input_bell(uint64_t *state)
{
    int32_t sum = 0; /* exact in a float: 24 bits */
    for (int i = 0; i < 8; i++)
        sum += (int32_t)(input_next(state) >> 11) - (1 << 20);
    return (float)sum * 0x1p-21F;
}

static inline float input_value(enum input kind, size_t i, uint64_t *state)
{
    static const uint32_t odd[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001,
                                   0xffbfffff, 0x7f7fffff, 0xff7fffff, 0x00000001, 0x80000001,
                                   0x00800000, 0x80000000, 0x47800000, 0x4f000000};
    const uint32_t block = (uint32_t)(i / 32), any = input_next(state);
    const float bell = input_bell(state);
    switch (kind) {
    case INPUT_BELL:
        return bell * 0x1p-6F;
    case INPUT_UNIFORM:
        return input_uniform(state) * 0x1p-3F;
    case INPUT_HEAVY:
        return bell * input_bell(state) * input_bell(state);
    case INPUT_SPARSE:
        return any % 16 ? (any >> 8 & 1 ? 0.0F : -0.0F) : bell;
    case INPUT_OUTLIERS:
        return bell * (any % 331 ? 1 : 16) * (float)(1 + block * 7 % 5) * 0x1p-6F;
    case INPUT_SHIFTED:
        return bell * 0x1p-5F + 0x1p-5F;
    case INPUT_TIES:
        return (float)((int)(any % 33) - 16) * (block % 2 ? 0.125F : 0x1p-7F);
    case INPUT_SMALL:
        return input_bits((any & 0x807fffff) | (uint32_t)(block % 3) << 23);
    case INPUT_LARGE:
        return input_bits((any & 0x83ffffff) | 0x7c000000) * (block % 2 ? 1.0F : 0x1p-9F);
    case INPUT_POWERS:
        if (i % 32 == 5)
            return input_bits(((1 + block * 5 % 253) << 23) - 1 - any % 60);
        return input_bits((any & 0x807fffff) | (block * 5 % 253 / 2 << 23));
    case INPUT_ODD:
        return any % 47 ? bell : input_bits(odd[(any >> 8) % (sizeof odd / sizeof odd[0])]);
    case INPUT_BITS:
    case INPUT_COUNT:
        break;
    }
    return input_bits(any);
}

static inline void input_fill(enum input kind, float x[INPUT_VALUES])
{
    uint64_t state = 1 + (uint64_t)kind;
    for (size_t i = 0; i < INPUT_VALUES; i++)
        x[i] = input_value(kind, i, &state);
}

#endif
