/* SPDX-License-Identifier: Apache-2.0 */
/* decode_iq: the blocks of the IQ types, taken apart. Private to decode_iq*.c.
 *
 * Owns: where everything lies in a block. A block has 256 elements (IQ4_NL: 32), handled in groups
 * of 32; i is the number of the group, offsets are in bytes, numbers little-endian:
 *
 *     type     bytes  contents
 *     IQ1_S       50  0 f16 d; 2 low index bytes, 4 a group; 34 u16 a group: three bits a vector of
 *                     8 (index bits 8-10), three of scale, one of shift
 *     IQ1_M       56  0 low index bytes, 4 a group; 32 a nibble a vector: index bits 8-10, shift;
 *                     48 four u16: scales of 3 bits, one for 16 elements, and in the top nibbles d
 *     IQ2_XXS     66  0 f16 d; 2 a group: 4 index bytes, u32 of 4 signs of 7 bits and 4 of scale
 *     IQ2_XS      74  0 f16 d; 2 u16 a vector: index of 9 bits, sign of 7; 66 scale nibbles
 *     IQ2_S       82  0 f16 d; 2 low index bytes; 34 signs, a bit an element; 66 index bits 8 and
 *                     9, a byte a group; 74 scale nibbles
 *     IQ3_XXS     98  0 f16 d; 2 index bytes, 8 a group; 66 u32 a group as in IQ2_XXS
 *     IQ3_S      110  0 f16 d; 2 low index bytes; 66 index bit 8, a byte a group; 74 signs; 106
 *                     scale nibbles
 *     IQ4_NL      18  0 f16 d; 2 nibbles: elements 0-15 low, 16-31 high
 *     IQ4_XS     136  0 f16 d; 2 u16 of high scale bits; 4 low scale nibbles; 8 nibbles as above
 *
 * Signs of 7 bits are for 8 elements: the eighth makes their number even.
 *
 * How the values come about: an index names a vector of the codebook, a digit of it a level.
 * Every product of d, scale and level is exact in a float (at most 11 + 5 + 7 bits), so the
 * variants may multiply in any order; NaN passes with its sign, which signs flip like any other.
 */
#ifndef SC_CODEC_DECODE_IQ_H
#define SC_CODEC_DECODE_IQ_H

#include "codec/decode.h"

/* Inlined always: compiled apart, for the lowest level, they would mix SSE with AVX instructions,
 * which costs hundreds of cycles a call. */
#if defined(__GNUC__)
#define IQ_INLINE static inline __attribute__((always_inline))
#else
#define IQ_INLINE static inline
#endif

extern const uint16_t sc_iq1s_grid[2048], sc_iq2xxs_grid[256], sc_iq2xs_grid[512],
    sc_iq2s_grid[1024], sc_iq3xxs_grid[256], sc_iq3s_grid[512];

/* Levels of IQ1, shift included, times the scale; row 8 * (shift down) + scale. */
extern _Alignas(16) const float sc_iq1_levels[16][4];
/* Levels of IQ2 (the fourth is never named, two copies fill a vector), IQ3_XXS, IQ3_S, IQ4. */
extern const float sc_iq2_levels[8], sc_iq3xxs_levels[8], sc_iq3s_levels[8];
extern const int8_t sc_iq4_levels[16];
/* 0.5 + s, what the four bits of a scale mean in IQ2 and IQ3_XXS, over 4 and 2; 1 + 2 s of IQ3_S.
 */
extern const float sc_iq2_scales[16], sc_iq3xxs_scales[16], sc_iq3s_scales[16];

/* 32 elements of IQ1: four vectors, each with its row of levels. */
struct sc_iq1_group {
    uint16_t vector[4];
    uint8_t level[4];
};
/* Of IQ2: one scale for vectors 0 and 1, one for 2 and 3; bit n of signs is that of element n. */
struct sc_iq2_group {
    uint16_t vector[4];
    const float *scale[2];
    uint32_t signs;
};
/* Of IQ3: two vectors of four in each number, a nibble an element. */
struct sc_iq3_group {
    uint32_t vector[4];
    const float *scale;
    uint32_t signs;
};

IQ_INLINE uint16_t sc_iq1_m_d(const uint8_t *b)
{
    return (uint16_t)(b[49] >> 4 | (b[51] & 0xf0) | (b[53] & 0xf0) << 4 | (b[55] & 0xf0) << 8);
}

IQ_INLINE struct sc_iq1_group sc_iq1_s_group(const uint8_t *b, size_t i)
{
    const uint8_t *low = b + 2 + 4 * i;
    const unsigned w = sc_le16(b + 34 + 2 * i);
    const uint8_t level = (uint8_t)(w >> 12);
    const struct sc_iq1_group g = {
        {sc_iq1s_grid[low[0] | (w << 8 & 0x700)], sc_iq1s_grid[low[1] | (w << 5 & 0x700)],
         sc_iq1s_grid[low[2] | (w << 2 & 0x700)], sc_iq1s_grid[low[3] | (w >> 1 & 0x700)]},
        {level, level, level, level}};
    return g;
}

IQ_INLINE struct sc_iq1_group sc_iq1_m_group(const uint8_t *b, size_t i)
{
    const uint8_t *low = b + 4 * i;
    const unsigned w = sc_le16(b + 32 + 2 * i);
    const unsigned scales = (unsigned)sc_le16(b + 48 + i / 2 * 2) >> 6 * (i % 2);
    const unsigned s0 = scales & 7, s1 = scales >> 3 & 7;
    const struct sc_iq1_group g = {
        {sc_iq1s_grid[low[0] | (w << 8 & 0x700)], sc_iq1s_grid[low[1] | (w << 4 & 0x700)],
         sc_iq1s_grid[low[2] | (w & 0x700)], sc_iq1s_grid[low[3] | (w >> 4 & 0x700)]},
        {(uint8_t)(s0 | (w & 8)), (uint8_t)(s0 | (w >> 4 & 8)), (uint8_t)(s1 | (w >> 8 & 8)),
         (uint8_t)(s1 | (w >> 12 & 8))}};
    return g;
}

/* Four signs of 7 bits, one in each byte, with their eighth bits. */
IQ_INLINE uint32_t sc_iq_even(uint32_t signs)
{
    uint32_t odd = signs ^ signs >> 4; /* in bit 0 of each byte, at last, the parity of 7 bits */

    odd ^= odd >> 2;
    odd ^= odd >> 1;
    return signs | (odd & 0x01010101) << 7;
}
/* The same from one number of 28 bits. */
IQ_INLINE uint32_t sc_iq_signs(uint32_t u)
{
    return sc_iq_even((u & 0x7f) | (u << 1 & 0x7f00) | (u << 2 & 0x7f0000) | (u << 3 & 0x7f000000));
}

IQ_INLINE struct sc_iq2_group sc_iq2_xxs_group(const uint8_t *b, size_t i)
{
    const uint8_t *index = b + 2 + 8 * i;
    const uint32_t u = sc_le32(index + 4);
    const float *scale = sc_iq2_scales + (u >> 28);
    const struct sc_iq2_group g = {{sc_iq2xxs_grid[index[0]], sc_iq2xxs_grid[index[1]],
                                    sc_iq2xxs_grid[index[2]], sc_iq2xxs_grid[index[3]]},
                                   {scale, scale},
                                   sc_iq_signs(u)};
    return g;
}

IQ_INLINE struct sc_iq2_group sc_iq2_xs_group(const uint8_t *b, size_t i)
{
    const uint8_t s = b[66 + i];
    const uint32_t w0 = sc_le16(b + 2 + 8 * i), w1 = sc_le16(b + 4 + 8 * i),
                   w2 = sc_le16(b + 6 + 8 * i), w3 = sc_le16(b + 8 + 8 * i);
    const struct sc_iq2_group g = {
        {sc_iq2xs_grid[w0 & 511], sc_iq2xs_grid[w1 & 511], sc_iq2xs_grid[w2 & 511],
         sc_iq2xs_grid[w3 & 511]},
        {sc_iq2_scales + (s & 15), sc_iq2_scales + (s >> 4)},
        sc_iq_even(w0 >> 9 | w1 >> 9 << 8 | w2 >> 9 << 16 | w3 >> 9 << 24)};
    return g;
}

IQ_INLINE struct sc_iq2_group sc_iq2_s_group(const uint8_t *b, size_t i)
{
    const uint8_t *low = b + 2 + 4 * i;
    const unsigned high = b[66 + i];
    const uint8_t s = b[74 + i];
    const struct sc_iq2_group g = {
        {sc_iq2s_grid[low[0] | (high << 8 & 0x300)], sc_iq2s_grid[low[1] | (high << 6 & 0x300)],
         sc_iq2s_grid[low[2] | (high << 4 & 0x300)], sc_iq2s_grid[low[3] | (high << 2 & 0x300)]},
        {sc_iq2_scales + (s & 15), sc_iq2_scales + (s >> 4)},
        sc_le32(b + 34 + 4 * i)};
    return g;
}

IQ_INLINE uint32_t sc_iq3_pair(uint16_t first, uint16_t second)
{
    return first | (uint32_t)second << 16;
}

IQ_INLINE struct sc_iq3_group sc_iq3_xxs_group(const uint8_t *b, size_t i)
{
    const uint8_t *x = b + 2 + 8 * i;
    const uint32_t u = sc_le32(b + 66 + 4 * i);
    const uint16_t *grid = sc_iq3xxs_grid;
    const struct sc_iq3_group g = {
        {sc_iq3_pair(grid[x[0]], grid[x[1]]), sc_iq3_pair(grid[x[2]], grid[x[3]]),
         sc_iq3_pair(grid[x[4]], grid[x[5]]), sc_iq3_pair(grid[x[6]], grid[x[7]])},
        sc_iq3xxs_scales + (u >> 28),
        sc_iq_signs(u)};
    return g;
}

IQ_INLINE struct sc_iq3_group sc_iq3_s_group(const uint8_t *b, size_t i)
{
    const uint8_t *x = b + 2 + 8 * i;
    const unsigned h = b[66 + i];
    const uint16_t *grid = sc_iq3s_grid;
    const struct sc_iq3_group g = {
        {sc_iq3_pair(grid[x[0] | (h << 8 & 256)], grid[x[1] | (h << 7 & 256)]),
         sc_iq3_pair(grid[x[2] | (h << 6 & 256)], grid[x[3] | (h << 5 & 256)]),
         sc_iq3_pair(grid[x[4] | (h << 4 & 256)], grid[x[5] | (h << 3 & 256)]),
         sc_iq3_pair(grid[x[6] | (h << 2 & 256)], grid[x[7] | (h << 1 & 256)])},
        sc_iq3s_scales + (b[106 + i / 2] >> 4 * (i % 2) & 15),
        sc_le32(b + 74 + 4 * i)};
    return g;
}

/* The scale of 32 elements of IQ4_XS: -32 to 31. */
IQ_INLINE int sc_iq4_xs_scale(const uint8_t *b, size_t i)
{
    const int low = b[4 + i / 2] >> 4 * (i % 2) & 15;
    const int high = sc_le16(b + 2) >> 2 * i & 3;

    return (low | high << 4) - 32;
}

#if SC_HAVE_X86
sc_decode_fn sc_iq1_s_avx2, sc_iq1_m_avx2, sc_iq2_xxs_avx2, sc_iq2_xs_avx2, sc_iq2_s_avx2,
    sc_iq3_xxs_avx2, sc_iq3_s_avx2, sc_iq4_nl_avx2, sc_iq4_xs_avx2;
sc_decode_fn sc_iq1_s_avx512, sc_iq1_m_avx512, sc_iq2_xxs_avx512, sc_iq2_xs_avx512, sc_iq2_s_avx512,
    sc_iq3_xxs_avx512, sc_iq3_s_avx512, sc_iq4_nl_avx512, sc_iq4_xs_avx512;
#endif

#endif
