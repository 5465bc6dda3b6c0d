/* SPDX-License-Identifier: Apache-2.0 */
/* encode_input: what the tests of encoders share: the common input, hashes, formats by name, values
 * that are hard, and the values of small floats as their decoders give them. */
#ifndef SC_ENCODE_INPUT_H
#define SC_ENCODE_INPUT_H

#include "codec/encoding.h"
#include "test.h"

#include <math.h>
#include <string.h>

static inline uint32_t fnv(const void *p, size_t n)
{
    uint32_t hash = 0x811c9dc5;
    for (const uint8_t *b = p; n; n--, b++)
        hash = (hash ^ *b) * 0x01000193;
    return hash;
}

/* 1024 values over seven binades, the same ones in all programs. */
static inline void fill_common(float *x)
{
    uint32_t state = 1;
    for (int i = 0; i < 1024; i++) {
        state = state * 1664525 + 1013904223;
        x[i] = (float)((((double)(state >> 8)) / 16777216 - 0.5) * ldexp(1, i % 7 - 3));
    }
}

static inline struct sc_encoding parsed(const char *name)
{
    struct sc_encoding f;
    struct sc_error e = {0};
    if (sc_encoding_parse(sc_strz(name), &f, &e) < 0)
        test_str(e.text, name, "parse", __FILE__, __LINE__);
    return f;
}

/* The step over all finite ones of n values. */
static inline struct sc_step step_of(const struct sc_encoding *f, const float *x, size_t n)
{
    struct sc_extent of = {INFINITY, -INFINITY};
    struct sc_step step;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) {
            of.min = SC_MIN(of.min, x[i]);
            of.max = SC_MAX(of.max, x[i]);
        }
    sc_encoding_step(f, of, &step);
    return step;
}

static inline float f32_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* ----------------------------------------------------------------------------------- values --- */
/* Random bits, values near the steps of elements, and what is special. */
static inline float some_float(uint32_t *state, size_t i)
{
    static const uint32_t special[] = {0,          0x80000000, 1,          0x80000001, 0x007fffff,
                                       0x00800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
                                       0x7fc00000, 0xffc00001, 0x7f800001, 0xff801000};
    *state = *state * 1664525 + 1013904223;
    const uint32_t a = *state >> 8;
    *state = *state * 1664525 + 1013904223;
    const uint32_t b = *state >> 8;
    if (i % 64 == 63)
        return f32_of(special[a % SC_COUNT(special)]);
    if (i % 8 == 3)
        return f32_of(a << 16 ^ b);
    if (i % 2) /* few bits of mantissa, and perhaps one unit beside */
        return f32_of(((a & 0x800fff) << 8 & 0x800f8000) + ((100 + b % 48) << 23) + (b >> 16) % 3 -
                      1);
    return f32_of((a & 0x800000) << 8 | (105 + b % 40) << 23 | (a & 0x7fffff));
}

/* What happens in weights, and what does not: small and huge, one large beside small ones, zeros.
 */
static inline void fill_some(float *x, size_t n, uint32_t *state, size_t round)
{
    for (size_t i = 0; i < n; i++) {
        const float any = some_float(state, i + round);
        const bool finite = isfinite(any);
        switch (round % 7) {
        case 0:
            x[i] = any;
            break;
        case 1:
            x[i] = finite ? any : 0;
            break;
        case 2: /* like weights */
            x[i] = (float)(ldexp((double)(int32_t)*state, -36) * (i % 16 == round % 16 ? 4 : 1));
            break;
        case 3:
            x[i] = f32_of((bits_of(any) & 0x807fffff) | (uint32_t)(round % 250 + i % 6) << 23);
            break;
        case 4: /* subnormal */
            x[i] = f32_of(bits_of(any) & 0x80ffffff);
            break;
        case 5:
            x[i] = i % 3 ? 0.0F : -0.0F;
            break;
        default: /* multiples of a quarter: many ties */
            x[i] = (float)((int)(*state >> 24) - 128) / 4;
        }
    }
    if (round % 41 == 40)
        x[round % n] = round % 2 ? INFINITY : -INFINITY;
}

/* --------------------------------------------------------------------------------- elements --- */
static const struct element {
    enum sc_element id;
    const char *codec;
    unsigned bits, mantissa;
    double largest;
} elements[] = {
    {SC_ELEMENT_F16, "F16", 16, 10, 65504},
    {SC_ELEMENT_E4M3, "F8_E4M3", 8, 3, 448},
    {SC_ELEMENT_E5M2, "F8_E5M2", 8, 2, 57344},
    {SC_ELEMENT_E4M3FNUZ, "F8_E4M3FNUZ", 8, 3, 240},
    {SC_ELEMENT_E5M2FNUZ, "F8_E5M2FNUZ", 8, 2, 57344},
    {SC_ELEMENT_E3M2, "F6_E3M2", 6, 2, 28},
    {SC_ELEMENT_E2M3, "F6_E2M3", 6, 3, 7.5},
    {SC_ELEMENT_E2M1, "F4", 4, 1, 6},
};

/* Values of the codes 0, 1, ... without sign, by the decoder of their type, until they end. */
static inline size_t values_of(const struct element *t, double *out)
{
    const size_t n = (size_t)1 << (t->bits - 1);
    const sc_codec_id id = sc_codec_find(sc_strz(t->codec));
    const struct sc_codec *c = sc_codec(id);
    static uint8_t bytes[65536];
    static float values[32768];
    size_t kept = 0;
    memset(bytes, 0, sizeof bytes);
    for (size_t i = 0; i < n; i++)
        for (unsigned b = 0; b < t->bits; b++) {
            const size_t bit = i * t->bits + b;
            bytes[bit / 8] |= (uint8_t)((i >> b & 1) << bit % 8);
        }
    sc_decoder(id, SC_CPU_C)(bytes, values, n / c->block);
    while (kept < n && isfinite(values[kept])) {
        out[kept] = (double)values[kept];
        kept++;
    }
    return kept;
}

/* The code of the nearest value; of two as near the even code. */
static inline size_t nearest_code(const double *values, size_t n, double x)
{
    size_t low = 0, high = n - 1;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        *(values[middle] <= x ? &low : &high) = middle;
    }
    const double below = x - values[low], over = values[high] - x;
    return below < over || (below <= over && low % 2 == 0) ? low : high;
}

static inline double too_large_from(const struct element *t)
{
    return t->largest + ldexp(1, ilogb(t->largest) - (int)t->mantissa - 1);
}

#endif
