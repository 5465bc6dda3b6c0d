/* SPDX-License-Identifier: Apache-2.0 */
/* decode_plain: element types without scales, in plain C, which is the definition.
 *
 * Owns: every float, integer and boolean that a float can hold. Those that only a double holds
 * stand in decode.c, the variants in SIMD in decode_plain_x86.c.
 *
 *     type           sign exponent mantissa  bias  not a number, infinite
 *     F16            1    5        10        15    IEEE 754 binary16
 *     BF16           1    8        7         127   the upper half of a float, NaNs as they are
 *     F8_E4M3        1    4        3         7     NaN 7F FF; no infinity; up to 448
 *     F8_E5M2        1    5        2         15    the upper half of an F16
 *     F8_E4M3FNUZ    1    4        3         8     NaN 80; no infinity, no -0; up to 240
 *     F8_E5M2FNUZ    1    5        2         16    NaN 80; no infinity, no -0; up to 57344
 *     F8_E8M0        0    8        0         127   NaN FF; 00 is 2^-127
 *     F6_E3M2        1    3        2         3     none; up to 28
 *     F6_E2M3        1    2        3         1     none; up to 7.5
 *     F4             1    2        1         1     none; up to 6
 *
 * Exponent 0 stands for subnormal values m * 2^(1 - bias - mantissa bits), as in IEEE 754. F8, F6,
 * F4 and E8M0: OCP 8-bit Floating Point Specification 1.0 and OCP Microscaling Formats 1.0, chapter
 * 5.3; the FNUZ kinds: arXiv 2206.02915. A signalling NaN of F16 becomes a quiet one with the same
 * payload, as processors and ggml convert it.
 *
 * Types of less than 8 bits are packed from the lowest bits of the first byte upward. So torch
 * defines its pair of F4 (headeronly/util/Float4_e2m1fn_x2.h: "val1 : val0" from bit 7 to 0), which
 * safetensors stores as F4. For F6 no order is prescribed by anyone; it follows the same rule:
 *
 *     F4    byte 0: 1111 0000                                      value number at each bit
 *     F6    byte 0: 11 000000   byte 1: 2222 1111   byte 2: 333333 22     (bit 7 first)
 *
 * BOOL is 0 or 1: any byte but 0 is true, as in torch and numpy. */
#include "codec/decode_plain.h"

#include <string.h>

/* Both sides of a choice are computed, and the choice is among integers: so a compiler needs no
 * branch, which random weights would make expensive, and may work on several values at once. */
static inline uint32_t either(bool first, uint32_t a, uint32_t b)
{
    const uint32_t mask = 0 - (uint32_t)first;
    return (a & mask) | (b & ~mask);
}

/* The magnitude of a float of few bits: `mag` is exponent and mantissa. All values are exact. */
static inline uint32_t magnitude(uint32_t mag, int mantissa_bits, int bias)
{
    const uint32_t normal = (mag << (23 - mantissa_bits)) + ((uint32_t)(127 - bias) << 23);
    const float unit = sc_float_of((uint32_t)(127 + 1 - bias - mantissa_bits) << 23);
    const uint32_t below = sc_bits_of((float)(int32_t)mag * unit);
    return either(mag < 1U << mantissa_bits, below, normal);
}

/* `sign` is the bit of the code that holds it. */
static inline float small(uint32_t code, uint32_t sign, int mantissa_bits, int bias)
{
    const uint32_t negative = code & sign ? UINT32_C(1) << 31 : 0;
    return sc_float_of(magnitude(code & (sign - 1), mantissa_bits, bias) | negative);
}

/* The same, but for one magnitude, or one code, that is NaN. */
static inline float small_fn(uint32_t code, int mantissa_bits, int bias)
{
    const uint32_t mag = code & 0x7f, sign = (code & 0x80) << 24;
    return sc_float_of(either(mag == 0x7f, SC_NAN_BITS, magnitude(mag, mantissa_bits, bias)) |
                       sign);
}

static inline float small_fnuz(uint32_t code, int mantissa_bits, int bias)
{
    const uint32_t mag = code & 0x7f, sign = (code & 0x80) << 24;
    return sc_float_of(
        either(code == 0x80, SC_NAN_BITS, magnitude(mag, mantissa_bits, bias) | sign));
}

static inline float f16(uint32_t code)
{
    const uint32_t mag = code & 0x7fff, sign = (code & 0x8000) << 16;
    /* The top bit of the mantissa makes a NaN quiet. */
    const uint32_t special = 0x7f800000 | mag << 13 | (uint32_t)(mag > 0x7c00) << 22;
    return sc_float_of(either(mag >= 0x7c00, special, magnitude(mag, 10, 15)) | sign);
}

float sc_f16_value(uint16_t bits)
{
    return f16(bits);
}

/* One bit tells both special codes from their neighbours: 00 is 2^-127, a subnormal float, and FF
 * is NaN, not infinity. */
static inline float f8_e8m0(uint32_t code)
{
    return sc_float_of(code << 23 | (uint32_t)(code == 0 || code == 0xff) << 22);
}

/* -------------------------------------------------------------------------------- decoders --- */
static void decode_f32(const uint8_t *src, float *dst, size_t n)
{
    if (n) /* memcpy() allows no NULL */
        memcpy(dst, src, n * 4);
}

static void decode_c64(const uint8_t *src, float *dst, size_t n)
{
    decode_f32(src, dst, 2 * n);
}

#define EACH(name, bytes, value)                                                                   \
    static void decode_##name(const uint8_t *src, float *dst, size_t n)                            \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            const uint8_t *p = src + i * bytes;                                                    \
            dst[i] = value;                                                                        \
        }                                                                                          \
    }
EACH(f16, 2, f16(sc_le16(p)))
EACH(bf16, 2, sc_bf16_value(sc_le16(p)))
EACH(u8, 1, (float)*p)
EACH(i8, 1, (float)(int8_t)*p)
EACH(u16, 2, (float)sc_le16(p))
EACH(i16, 2, (float)(int16_t)sc_le16(p))
EACH(bool, 1, (float)(*p != 0))
EACH(f8_e4m3, 1, small_fn(*p, 3, 7))
EACH(f8_e5m2, 1, f16((uint32_t)*p << 8))
EACH(f8_e4m3fnuz, 1, small_fnuz(*p, 3, 8))
EACH(f8_e5m2fnuz, 1, small_fnuz(*p, 2, 16))
EACH(f8_e8m0, 1, f8_e8m0(*p))

static void decode_c32(const uint8_t *src, float *dst, size_t n)
{
    decode_f16(src, dst, 2 * n);
}

/* Four values in three bytes. */
#define EACH_F6(name, mantissa_bits, bias)                                                         \
    static void decode_##name(const uint8_t *src, float *dst, size_t n)                            \
    {                                                                                              \
        for (size_t i = 0; i < n; i++, src += 3, dst += 4) {                                       \
            const uint32_t four = sc_le16(src) | (uint32_t)src[2] << 16;                           \
            for (unsigned k = 0; k < 4; k++)                                                       \
                dst[k] = small(four >> 6 * k & 0x3f, 0x20, mantissa_bits, bias);                   \
        }                                                                                          \
    }
EACH_F6(f6_e2m3, 3, 1)
EACH_F6(f6_e3m2, 2, 3)

static void decode_f4(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dst[2 * i] = small(src[i] & 15, 8, 1, 1);
        dst[2 * i + 1] = small(src[i] >> 4, 8, 1, 1);
    }
}

#if SC_HAVE_X86
#define LEVELS(name) decode_##name, sc_decode_##name##_avx2, sc_decode_##name##_avx512
#else
#define LEVELS(name) decode_##name, NULL, NULL
#endif

const struct sc_decoder_row sc_decode_plain[] = {
    {"F32", decode_f32, NULL, NULL}, /* nothing is faster than memcpy() */
    {"C64", decode_c64, NULL, NULL},
    {"F16", LEVELS(f16)},
    {"C32", LEVELS(c32)},
    {"BF16", LEVELS(bf16)},
    {"U8", LEVELS(u8)},
    {"I8", LEVELS(i8)},
    {"U16", LEVELS(u16)},
    {"I16", LEVELS(i16)},
    {"BOOL", LEVELS(bool)},
    {"F8_E4M3", LEVELS(f8_e4m3)},
    {"F8_E5M2", LEVELS(f8_e5m2)},
    {"F8_E4M3FNUZ", LEVELS(f8_e4m3fnuz)},
    {"F8_E5M2FNUZ", LEVELS(f8_e5m2fnuz)},
    {"F8_E8M0", LEVELS(f8_e8m0)},
    {"F6_E2M3", LEVELS(f6_e2m3)},
    {"F6_E3M2", LEVELS(f6_e3m2)},
    {"F4", LEVELS(f4)},
    {"F4_X2", LEVELS(f4)},
    {NULL, NULL, NULL, NULL},
};
