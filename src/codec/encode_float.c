/* SPDX-License-Identifier: Apache-2.0 */
/* encode_float: floats of few bits, and formats that are nothing else.
 *
 *     element     sign exponent mantissa bias  largest  too large, unless saturated
 *     F32         1    8        23       127
 *     BF16        1    8        7        127   3.39e38  Infinity
 *     F16         1    5        10       15    65504    Infinity
 *     E4M3        1    4        3        7     448      NaN (7F); there is no infinity
 *     E5M2        1    5        2        15    57344    Infinity (7C)
 *     E4M3FNUZ    1    4        3        8     240      NaN (80, the only one; no -0)
 *     E5M2FNUZ    1    5        2        16    57344    NaN (80, the only one; no -0)
 *     E3M2        1    3        2        3     28       always saturated; NaN becomes 0
 *     E2M3        1    2        3        1     7.5      likewise
 *     E2M1        1    2        1        1     6        likewise
 *
 * Rounding is to nearest, ties to even. A value is too large when the nearest one, had exponents no
 * end, lies above the largest. OCP 8-bit Floating Point Specification 1.0 (5.2: saturating and
 * non-saturating conversion), OCP Microscaling Formats 1.0 (5.3), arXiv 2206.02915 (FNUZ); BF16 as
 * ggml and processors convert it: a NaN keeps its upper bits and becomes quiet. */
#include "codec/encode.h"

#include <math.h>

const struct sc_small sc_smalls[SC_ELEMENT_COUNT] = {
    [SC_ELEMENT_BF16] = {16, 7, 127, 0x7f7f, 0x7f80, 0x7fc0, false},
    [SC_ELEMENT_F16] = {16, 10, 15, 0x7bff, 0x7c00, 0x7e00, false},
    [SC_ELEMENT_E4M3] = {8, 3, 7, 0x7e, 0x7f, 0x7f, false},
    [SC_ELEMENT_E5M2] = {8, 2, 15, 0x7b, 0x7c, 0x7e, false},
    [SC_ELEMENT_E4M3FNUZ] = {8, 3, 8, 0x7f, 0x80, 0x80, true},
    [SC_ELEMENT_E5M2FNUZ] = {8, 2, 16, 0x7f, 0x80, 0x80, true},
    [SC_ELEMENT_E3M2] = {6, 2, 3, 0x1f, 0, 0, false},
    [SC_ELEMENT_E2M3] = {6, 3, 1, 0x1f, 0, 0, false},
    [SC_ELEMENT_E2M1] = {4, 1, 1, 0x7, 0, 0, false},
};

/* A code without its sign, which is no special one. */
static float magnitude_of(const struct sc_small *s, uint32_t code)
{
    const uint32_t fraction = code & ((1U << s->mantissa) - 1);
    const int exponent = (int)(code >> s->mantissa);
    const int unit = SC_MAX(exponent, 1) - s->bias - s->mantissa; /* 2^unit: the last bit */
    const uint32_t whole = fraction | (uint32_t)(exponent > 0) << s->mantissa;
    return (float)whole * sc_power(unit);
}

float sc_small_largest(const struct sc_small *s)
{
    return magnitude_of(s, s->largest);
}

uint32_t sc_small_code(const struct sc_small *s, float magnitude)
{
    const uint32_t bits = sc_bits_of(magnitude);
    if ((int)(bits >> 23) - 127 < 1 - s->bias) /* whole steps below the normal values */
        return (uint32_t)(magnitude * sc_power(s->bias + s->mantissa - 1));
    return (bits >> (23 - s->mantissa)) - ((uint32_t)(127 - s->bias) << s->mantissa);
}

/* ------------------------------------------------------------------------------ one value --- */
/* What a NaN becomes. Those with room for it keep the upper bits, and are quiet. */
static uint32_t nan_of(const struct sc_encoding *f, uint32_t bits)
{
    const struct sc_small *s = &sc_smalls[f->element];
    if (f->element == SC_ELEMENT_F32)
        return bits;
    if (s->bits == 16)
        return (bits | 1U << 22) & ~((1U << (23 - s->mantissa)) - 1);
    return s->fnuz ? SC_NAN : (bits & SC_SIGN) | SC_NAN;
}

/* |x| is above the largest value, and rounds to more. */
static uint32_t above(const struct sc_small *s, uint32_t sign, bool saturate)
{
    if (saturate)
        return sign | sc_bits_of(magnitude_of(s, s->largest));
    if (s->fnuz)
        return SC_NAN;
    return sign | (s->above == s->nan ? SC_NAN : SC_INFINITE);
}

static uint32_t round_bf16(uint32_t bits)
{
    return (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
}

/* The bits that f keeps of x's; *full: it was finite, and became the largest value. */
static uint32_t round_one(const struct sc_encoding *f, float x, size_t *full)
{
    const struct sc_small *s = &sc_smalls[f->element];
    const uint32_t bits = sc_bits_of(x), sign = bits & SC_SIGN, mag = bits & ~SC_SIGN;
    if (mag > SC_INFINITE)
        return nan_of(f, bits);
    if (f->element == SC_ELEMENT_BF16)
        return round_bf16(bits);
    const float largest = magnitude_of(s, s->largest);
    const float y = sc_small_nearest(s, SC_MIN(sc_float_of(mag), 2 * largest));
    if (y > largest) {
        *full += f->saturate && mag < SC_INFINITE;
        return above(s, sign, f->saturate);
    }
    return sc_bits_of(y) | (s->fnuz && !(y > 0) ? 0 : sign);
}

/* The code of a value that round_one() gave. */
static uint32_t code_of(const struct sc_small *s, uint32_t bits)
{
    if (s == &sc_smalls[SC_ELEMENT_BF16])
        return bits >> 16;
    const uint32_t mag = bits & ~SC_SIGN, sign = bits >> 31 << (s->bits - 1);
    if (mag > SC_INFINITE && s->bits == 16)
        return sign | (((1U << (s->bits - 1)) - 1) & (mag >> (23 - s->mantissa))) | s->nan;
    if (mag > SC_INFINITE)
        return s->fnuz ? s->nan : sign | s->nan;
    if (mag == SC_INFINITE)
        return sign | s->above;
    return sign | sc_small_code(s, sc_float_of(mag));
}

uint32_t sc_element_encode(enum sc_element t, float x, bool saturate)
{
    const struct sc_encoding f = {.element = (uint8_t)t,
                                  .saturate = saturate || (sc_smalls[t].bits < 8)};
    size_t full = 0;
    if (t == SC_ELEMENT_F32)
        return sc_bits_of(x);
    if (sc_smalls[t].bits < 8 && isnan(x)) /* no NaN among so few codes */
        return 0;
    return code_of(&sc_smalls[t], round_one(&f, x, &full));
}

float sc_element_value(enum sc_element t, uint32_t code)
{
    const struct sc_small *s = &sc_smalls[t];
    if (t == SC_ELEMENT_F32)
        return sc_float_of(code);
    if (t == SC_ELEMENT_BF16)
        return sc_bf16_value((uint16_t)code);
    if (t == SC_ELEMENT_F16)
        return sc_f16_value((uint16_t)code);
    if (t == SC_ELEMENT_E5M2)
        return sc_f16_value((uint16_t)(code << 8));
    const uint32_t sign = code >> (s->bits - 1) & 1, mag = code & ((1U << (s->bits - 1)) - 1);
    if (s->nan && code == (s->fnuz ? s->nan : s->nan | sign << 7))
        return sc_float_of(SC_NAN | (s->fnuz ? 0 : sign << 31));
    return sc_float_of(sc_bits_of(magnitude_of(s, mag)) | sign << 31);
}

float sc_element_largest(enum sc_element t)
{
    if (t == SC_ELEMENT_F32)
        return sc_float_of(SC_INFINITE - 1);
    if (t == SC_ELEMENT_BF16)
        return sc_bf16_value(0x7f7f);
    return magnitude_of(&sc_smalls[t], sc_smalls[t].largest);
}

/* ----------------------------------------------------------------------------- the schemes --- */
static size_t round_zero(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                         size_t n, float *y)
{
    (void)f, (void)step, (void)x;
    for (size_t i = 0; i < n; i++)
        y[i] = 0;
    return 0;
}

static size_t round_f32(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                        size_t n, float *y)
{
    (void)f, (void)step;
    if (n && y != x)
        memcpy(y, x, n * sizeof *x);
    return 0;
}

static size_t round_small(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                          size_t n, float *y)
{
    size_t full = 0;
    (void)step;
    for (size_t i = 0; i < n; i++)
        y[i] = sc_float_of(round_one(f, x[i], &full));
    return full;
}

static sc_round_fn *zero_rounder(const struct sc_encoding *f, enum sc_cpu level)
{
    (void)f, (void)level;
    return round_zero;
}

static sc_round_fn *cast_rounder(const struct sc_encoding *f, enum sc_cpu level)
{
    sc_round_fn *fast = f->element == SC_ELEMENT_BF16  ? SC_AT_LEVEL(level, sc_round_bf16)
                        : f->element == SC_ELEMENT_F16 ? SC_AT_LEVEL(level, sc_round_f16)
                                                       : SC_AT_LEVEL(level, sc_round_cast);
    (void)level;
    if (f->element == SC_ELEMENT_F32) /* nothing is faster than memcpy() */
        return round_f32;
    return fast ? fast : round_small;
}

static size_t pack_zero(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                        size_t n, uint8_t *dst)
{
    (void)f, (void)step, (void)x, (void)n, (void)dst;
    return 0;
}

static size_t pack_cast(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                        size_t n, uint8_t *dst)
{
    const size_t bytes = f->bits / 8U;
    (void)step;
    for (size_t i = 0; i < n; i++) {
        const uint32_t code = sc_element_encode((enum sc_element)f->element, x[i], f->saturate);
        for (size_t k = 0; k < bytes; k++)
            *dst++ = (uint8_t)(code >> 8 * k);
    }
    return n * bytes;
}

const struct sc_scheme_row sc_scheme_zero = {zero_rounder, pack_zero, NULL};
const struct sc_scheme_row sc_scheme_cast = {cast_rounder, pack_cast, NULL};
