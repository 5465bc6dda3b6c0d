/* SPDX-License-Identifier: Apache-2.0 */
/* encode_bfp: TTNN's block floats BFP8, BFP4 and BFP2 (with m = 7, 3, 1 bits of magnitude).
 *
 * 16 neighbours of a line share an exponent E, the largest exponent field among them. A code is a
 * sign and m bits of k; the value is k 2^(E - 127 - (m - 1)). From x to k, as tt-metal's packer
 * (tt_metal/impl/data_format) does it:
 *
 *     1.  field 0 (zero, subnormal): k = 0
 *     2.  G = 2^23 | mantissa, shifted down by E - field: bits that fall out are lost, so what
 *         follows is not always the nearest value
 *     3.  to m bits, to nearest, ties to even; at most 2^m - 1
 *     4.  the sign stays only if k is not 0
 *
 * Decoding builds a float: k is shifted up to its leading bit, the exponent lowered by as much. So
 * where an infinity or a NaN makes E = 255, codes with the leading bit are infinities and NaNs
 * themselves (of BFP2, which has no other bit, infinities).
 *
 * `sse` tries E - 1 too, where what lies above saturates, and takes it if the sum of squared errors
 * (double, in order) is smaller; not for E <= m nor 255: bfp_exponent_search.hpp.
 *
 * A tile is 32 x 32 values: 64 exponents, then codes, both face by face (16 x 16: upper left, upper
 * right, lower left, lower right), rows of 16 one after the other; low bits first. */
#include "codec/encode.h"

enum { GROUP = 16, FACE = 16, FACES = 4, MANTISSA = 23 };

static unsigned magnitude_bits(const struct sc_encoding *f)
{
    return f->bits - 1U;
}

/* k before it is cut to the largest; the largest and one more stand for fields above `shared`. */
static inline uint32_t magnitude_of(uint32_t bits, uint32_t shared, unsigned m)
{
    const uint32_t field = bits >> MANTISSA & 0xff, largest = (1U << m) - 1;
    if (field == 0)
        return 0;
    if (field > shared)
        return largest + 1;
    const uint32_t hidden = 1U << MANTISSA, down = shared - field;
    const uint32_t whole = down < 32 ? (hidden | (bits & (hidden - 1))) >> down : 0;
    const unsigned shift = 24 - m;
    const uint32_t k = whole >> shift, rest = whole & ((1U << shift) - 1), half = 1U << (shift - 1);
    return k + (rest > half || (rest == half && k & 1));
}

/* The float that a code stands for, as the unpackers of tt-metal build it. */
static inline float value_of(uint32_t k, uint32_t shared, unsigned m, uint32_t sign)
{
    if (k == 0)
        return 0;
    while (!(k >> (m - 1))) {
        k <<= 1;
        if (shared-- == 0)
            return 0; /* no packer writes this */
    }
    return sc_float_of(sign | shared << MANTISSA | (k << (24 - m) & ((1U << MANTISSA) - 1)));
}

static double error_of(const uint32_t *bits, size_t n, uint32_t shared, unsigned m)
{
    const uint32_t largest = (1U << m) - 1;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t k = magnitude_of(bits[i], shared, m);
        const double d = (double)sc_float_of(bits[i]) -
                         (double)value_of(SC_MIN(k, largest), shared, m, bits[i] & SC_SIGN);
        sum += d * d;
    }
    return sum;
}

/* The shared exponent of up to 16 values. */
static uint32_t exponent_of(const struct sc_encoding *f, const uint32_t *bits, size_t n)
{
    const unsigned m = magnitude_bits(f);
    uint32_t shared = 0;
    for (size_t i = 0; i < n; i++)
        shared = SC_MAX(shared, bits[i] >> MANTISSA & 0xff);
    if (f->rule != SC_RULE_SSE || shared <= m || shared == 255)
        return shared;
    return shared - (error_of(bits, n, shared - 1, m) < error_of(bits, n, shared, m));
}

size_t sc_bfp_round_group(const struct sc_encoding *f, const float *x, size_t n, float *y)
{
    const unsigned m = magnitude_bits(f);
    const uint32_t largest = (1U << m) - 1;
    uint32_t bits[GROUP] = {0};
    size_t full = 0;
    for (size_t i = 0; i < n; i++)
        bits[i] = sc_bits_of(x[i]);
    const uint32_t shared = exponent_of(f, bits, n);
    for (size_t i = 0; i < n; i++) {
        const uint32_t k = magnitude_of(bits[i], shared, m);
        full += k > largest && (bits[i] & ~SC_SIGN) < SC_INFINITE;
        y[i] = value_of(SC_MIN(k, largest), shared, m, bits[i] & SC_SIGN);
    }
    return full;
}

static size_t round_bfp(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                        size_t n, float *y)
{
    size_t full = 0;
    (void)step;
    for (size_t i = 0; i < n; i += GROUP)
        full += sc_bfp_round_group(f, x + i, SC_MIN(n - i, GROUP), y + i);
    return full;
}

static sc_round_fn *rounder(const struct sc_encoding *f, enum sc_cpu level)
{
    sc_round_fn *fast = SC_AT_LEVEL(level, sc_round_bfp);
    (void)f, (void)level;
    return fast ? fast : round_bfp;
}

/* --------------------------------------------------------------------------------- packing --- */
/* The exponent and the codes of up to 16 values; missing ones are 0. */
static uint8_t pack_group(const struct sc_encoding *f, const float *x, size_t n, uint8_t *dst)
{
    const unsigned m = magnitude_bits(f);
    uint32_t bits[GROUP] = {0};
    uint8_t codes[GROUP];
    for (size_t i = 0; i < n; i++)
        bits[i] = sc_bits_of(x[i]);
    const uint32_t shared = exponent_of(f, bits, n);
    for (size_t i = 0; i < GROUP; i++) {
        const uint32_t k = SC_MIN(magnitude_of(bits[i], shared, m), (1U << m) - 1);
        codes[i] = (uint8_t)(k ? bits[i] >> 31 << m | k : 0);
    }
    sc_pack_bits(codes, GROUP, f->bits, dst);
    return (uint8_t)shared;
}

static size_t pack(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                   size_t n, uint8_t *dst)
{
    const uint8_t *start = dst;
    (void)step;
    for (size_t i = 0; i < n; i += GROUP) {
        dst[0] = pack_group(f, x + i, SC_MIN(n - i, GROUP), dst + 1);
        dst += 1 + GROUP * f->bits / 8;
    }
    return (size_t)(dst - start);
}

/* Where row r of a face begins in the tile. */
static size_t place_of(size_t face, size_t r, size_t stride)
{
    return ((face >> 1) * FACE + r) * stride + (face & 1) * FACE;
}

size_t sc_bfp_pack_tile(const struct sc_encoding *f, const float *x, size_t stride, uint8_t *dst)
{
    uint8_t *exponents = dst, *codes = dst + (size_t)FACES * FACE;
    for (size_t face = 0; face < FACES; face++)
        for (size_t r = 0; r < FACE; r++) {
            *exponents++ = pack_group(f, x + place_of(face, r, stride), GROUP, codes);
            codes += GROUP * f->bits / 8;
        }
    return (size_t)(codes - dst);
}

void sc_bfp_unpack_tile(const struct sc_encoding *f, const uint8_t *src, float *x, size_t stride)
{
    const unsigned m = magnitude_bits(f), per_byte = 8U / f->bits;
    const uint8_t *exponents = src, *codes = src + (size_t)FACES * FACE;
    for (size_t face = 0; face < FACES; face++)
        for (size_t r = 0; r < FACE; r++, exponents++, codes += GROUP * f->bits / 8)
            for (unsigned i = 0; i < GROUP; i++) {
                const uint32_t code = codes[i / per_byte] >> i % per_byte * f->bits;
                x[place_of(face, r, stride) + i] =
                    value_of(code & ((1U << m) - 1), *exponents, m, (code >> m & 1) << 31);
            }
}

const struct sc_scheme_row sc_scheme_bfp = {rounder, pack, NULL};
