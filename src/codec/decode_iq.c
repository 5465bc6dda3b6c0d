/* SPDX-License-Identifier: Apache-2.0 */
/* decode_iq: IQ1 to IQ4 of GGML.
 *
 * Owns: the table of these decoders, their plain C, which defines the values, and the levels and
 * scales. decode_iq.h says what a block holds.
 *
 * Does not own: the codebooks (iq_tables.h), the same for AVX2 and AVX-512 (decode_iq_x86.c).
 */
#include "codec/decode_iq.h"

#include "codec/iq_tables.h"

/* (2 s + 1) (level + shift), level -1, 0 or 1, shift 1/8 or -1/8. */
#define IQ1_ROW(s, shift)                                                                          \
    {                                                                                              \
        (2 * (s) + 1) * (-1 + (shift)), (2 * (s) + 1) * (shift), (2 * (s) + 1) * (1 + (shift)), 0  \
    }
#define IQ1_ROWS(shift)                                                                            \
    IQ1_ROW(0, shift), IQ1_ROW(1, shift), IQ1_ROW(2, shift), IQ1_ROW(3, shift), IQ1_ROW(4, shift), \
        IQ1_ROW(5, shift), IQ1_ROW(6, shift), IQ1_ROW(7, shift)
_Alignas(16) const float sc_iq1_levels[16][4] = {IQ1_ROWS(0.125F), IQ1_ROWS(-0.125F)};

const float sc_iq2_levels[8] = {8, 25, 43, 0, 8, 25, 43, 0};
const float sc_iq3xxs_levels[8] = {4, 12, 20, 28, 36, 44, 52, 62};
const float sc_iq3s_levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};
const int8_t sc_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};

/* first + step * s for s = 0 ... 15 */
#define SCALES(first, step)                                                                        \
    {                                                                                              \
        (first), (first) + (step), (first) + 2 * (step), (first) + 3 * (step),                     \
            (first) + 4 * (step), (first) + 5 * (step), (first) + 6 * (step),                      \
            (first) + 7 * (step), (first) + 8 * (step), (first) + 9 * (step),                      \
            (first) + 10 * (step), (first) + 11 * (step), (first) + 12 * (step),                   \
            (first) + 13 * (step), (first) + 14 * (step), (first) + 15 * (step)                    \
    }
const float sc_iq2_scales[16] = SCALES(0.125F, 0.25F);
const float sc_iq3xxs_scales[16] = SCALES(0.25F, 0.5F);
const float sc_iq3s_scales[16] = SCALES(1.0F, 2.0F);

/* Element j of a vector: its digit, in bits j * bits and up of v, chooses a value, bit j of signs
 * negates it (NaN, too). */
#define ELEMENT(j, bits, mask) with_sign(values[v >> (j) * (bits) & (mask)], signs >> (j))
/* Written out, since compilers do not unroll such a loop unless they are asked to optimise more. */
#define VECTOR(bits, mask)                                                                         \
    do {                                                                                           \
        y[0] = ELEMENT(0, bits, mask);                                                             \
        y[1] = ELEMENT(1, bits, mask);                                                             \
        y[2] = ELEMENT(2, bits, mask);                                                             \
        y[3] = ELEMENT(3, bits, mask);                                                             \
        y[4] = ELEMENT(4, bits, mask);                                                             \
        y[5] = ELEMENT(5, bits, mask);                                                             \
        y[6] = ELEMENT(6, bits, mask);                                                             \
        y[7] = ELEMENT(7, bits, mask);                                                             \
    } while (0)

IQ_INLINE float with_sign(float x, uint32_t sign)
{
    union {
        float f;
        uint32_t u;
    } v = {x};

    v.u ^= sign << 31;
    return v.f;
}

IQ_INLINE void choose_4(float *y, const float values[4], uint32_t v, uint32_t signs)
{
    VECTOR(2, 3U);
}

IQ_INLINE void choose_8(float *y, const float values[8], uint32_t v, uint32_t signs)
{
    VECTOR(4, 7U);
}

IQ_INLINE void iq1_values(float *y, float d, struct sc_iq1_group g)
{
    for (size_t l = 0; l < 4; l++) {
        const float *const levels = sc_iq1_levels[g.level[l]];
        const float values[4] = {d * levels[0], d * levels[1], d * levels[2], 0};
        choose_4(y + 8 * l, values, g.vector[l], 0);
    }
}

IQ_INLINE void iq2_values(float *y, float d, struct sc_iq2_group g)
{
    for (size_t l = 0; l < 4; l++) {
        const float scale = d * *g.scale[l / 2];
        const float values[4] = {scale * sc_iq2_levels[0], scale * sc_iq2_levels[1],
                                 scale * sc_iq2_levels[2], 0};
        choose_4(y + 8 * l, values, g.vector[l], g.signs >> 8 * l);
    }
}

IQ_INLINE void iq3_values(float *y, float scale, struct sc_iq3_group g, const float levels[8])
{
    float values[8];

    for (unsigned i = 0; i < 8; i++)
        values[i] = scale * levels[i];
    for (size_t l = 0; l < 4; l++)
        choose_8(y + 8 * l, values, g.vector[l], g.signs >> 8 * l);
}

IQ_INLINE void iq3_xxs_values(float *y, float d, struct sc_iq3_group g)
{
    iq3_values(y, d * *g.scale, g, sc_iq3xxs_levels);
}

IQ_INLINE void iq3_s_values(float *y, float d, struct sc_iq3_group g)
{
    iq3_values(y, d * *g.scale, g, sc_iq3s_levels);
}

IQ_INLINE void iq4_values(float *y, float scale, const uint8_t nibbles[16])
{
    for (unsigned j = 0; j < 16; j++) {
        y[j] = scale * (float)sc_iq4_levels[nibbles[j] & 15];
        y[j + 16] = scale * (float)sc_iq4_levels[nibbles[j] >> 4];
    }
}

/* A type whose groups one of the functions above turns into values. */
#define GROUPS(type, block_bytes, f16_bits, values)                                                \
    static void type(const uint8_t *b, float *y, size_t n)                                         \
    {                                                                                              \
        for (; n > 0; n--, b += (block_bytes), y += 256) {                                         \
            const float d = sc_f16_value(f16_bits);                                                \
            for (size_t i = 0; i < 8; i++)                                                         \
                values(y + 32 * i, d, sc_##type##_group(b, i));                                    \
        }                                                                                          \
    }
GROUPS(iq1_s, 50, sc_le16(b), iq1_values)
GROUPS(iq1_m, 56, sc_iq1_m_d(b), iq1_values)
GROUPS(iq2_xxs, 66, sc_le16(b), iq2_values)
GROUPS(iq2_xs, 74, sc_le16(b), iq2_values)
GROUPS(iq2_s, 82, sc_le16(b), iq2_values)
GROUPS(iq3_xxs, 98, sc_le16(b), iq3_xxs_values)
GROUPS(iq3_s, 110, sc_le16(b), iq3_s_values)

static void iq4_nl(const uint8_t *b, float *y, size_t n)
{
    for (; n > 0; n--, b += 18, y += 32)
        iq4_values(y, sc_f16_value(sc_le16(b)), b + 2);
}

static void iq4_xs(const uint8_t *b, float *y, size_t n)
{
    for (; n > 0; n--, b += 136, y += 256) {
        const float d = sc_f16_value(sc_le16(b));
        for (size_t i = 0; i < 8; i++)
            iq4_values(y + 32 * i, d * (float)sc_iq4_xs_scale(b, i), b + 8 + 16 * i);
    }
}

#if SC_HAVE_X86
#define ROW(name, f)                                                                               \
    {                                                                                              \
        name, f, sc_##f##_avx2, sc_##f##_avx512                                                    \
    }
#else
#define ROW(name, f)                                                                               \
    {                                                                                              \
        name, f, NULL, NULL                                                                        \
    }
#endif
const struct sc_decoder_row sc_decode_iq[] = {
    ROW("IQ1_S", iq1_s),   ROW("IQ1_M", iq1_m),      ROW("IQ2_XXS", iq2_xxs), ROW("IQ2_XS", iq2_xs),
    ROW("IQ2_S", iq2_s),   ROW("IQ3_XXS", iq3_xxs),  ROW("IQ3_S", iq3_s),     ROW("IQ4_NL", iq4_nl),
    ROW("IQ4_XS", iq4_xs), {NULL, NULL, NULL, NULL},
};
