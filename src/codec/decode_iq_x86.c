/* SPDX-License-Identifier: Apache-2.0 */
/* decode_iq_x86: the decoders of decode_iq.c for AVX2 and AVX-512, with the same bits.
 *
 * A codebook vector is a number whose digits choose levels: it is copied to every lane, each lane
 * shifts its digit down, and one permutation of the levels, already times d and scale, gives the
 * values (the permutations look at the low bits only). A sign is shifted to the top of its lane.
 */
#include "codec/decode_iq.h"

#if SC_HAVE_X86
#include <immintrin.h>

#define AVX2   SC_TARGET_AVX2 static inline
#define AVX512 SC_TARGET_AVX512 static inline

/* ------------------------------------------------------------------------------------- AVX2 */

AVX2 __m256 f16_avx2(uint16_t bits)
{
    return _mm256_set1_ps(_cvtsh_ss(bits));
}

/* Eight digits of two bits choose among the four levels in either half of t. */
AVX2 __m256 choose_4(__m256 t, uint16_t vector)
{
    const __m256i down = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);

    return _mm256_permutevar_ps(t, _mm256_srlv_epi32(_mm256_set1_epi16((short)vector), down));
}

/* Eight digits of four bits choose among the eight levels in t. */
AVX2 __m256 choose_8(__m256 t, uint32_t vector)
{
    const __m256i down = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);

    return _mm256_permutevar8x32_ps(t, _mm256_srlv_epi32(_mm256_set1_epi32((int)vector), down));
}

/* Stores vector l of a group: v with signs 8 l ... 8 l + 7, the top lane's 24 - 8 l below bit 31.
 */
AVX2 void store_signed(float *y, __m256 v, __m256i signs, int l)
{
    const int top = 24 - 8 * l;
    const __m256i up =
        _mm256_setr_epi32(top + 7, top + 6, top + 5, top + 4, top + 3, top + 2, top + 1, top);
    const __m256i sign =
        _mm256_and_si256(_mm256_sllv_epi32(signs, up), _mm256_set1_epi32(INT32_MIN));

    _mm256_storeu_ps(y, _mm256_xor_ps(v, _mm256_castsi256_ps(sign)));
}

AVX2 void iq1_avx2(float *y, __m256 d, struct sc_iq1_group g)
{
    for (size_t l = 0; l < 4; l++) {
        const __m256 levels = _mm256_broadcast_ps((const __m128 *)sc_iq1_levels[g.level[l]]);
        _mm256_storeu_ps(y + 8 * l, choose_4(_mm256_mul_ps(d, levels), g.vector[l]));
    }
}

AVX2 void iq2_avx2(float *y, __m256 levels, struct sc_iq2_group g)
{
    const __m256i signs = _mm256_set1_epi32((int)g.signs);
    const __m256 t0 = _mm256_mul_ps(levels, _mm256_broadcast_ss(g.scale[0]));
    const __m256 t1 = _mm256_mul_ps(levels, _mm256_broadcast_ss(g.scale[1]));

    store_signed(y, choose_4(t0, g.vector[0]), signs, 0);
    store_signed(y + 8, choose_4(t0, g.vector[1]), signs, 1);
    store_signed(y + 16, choose_4(t1, g.vector[2]), signs, 2);
    store_signed(y + 24, choose_4(t1, g.vector[3]), signs, 3);
}

AVX2 void iq3_avx2(float *y, __m256 levels, struct sc_iq3_group g)
{
    const __m256i signs = _mm256_set1_epi32((int)g.signs);
    const __m256 t = _mm256_mul_ps(levels, _mm256_broadcast_ss(g.scale));

    store_signed(y, choose_8(t, g.vector[0]), signs, 0);
    store_signed(y + 8, choose_8(t, g.vector[1]), signs, 1);
    store_signed(y + 16, choose_8(t, g.vector[2]), signs, 2);
    store_signed(y + 24, choose_8(t, g.vector[3]), signs, 3);
}

/* 16 nibbles, one a byte. */
AVX2 void iq4_half_avx2(float *y, __m256 scale, __m128i nibbles)
{
    const __m128i levels = _mm_loadu_si128((const __m128i *)sc_iq4_levels);
    const __m128i q = _mm_shuffle_epi8(levels, nibbles);
    const __m256 a = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
    const __m256 b = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(q, 8)));

    _mm256_storeu_ps(y, _mm256_mul_ps(scale, a));
    _mm256_storeu_ps(y + 8, _mm256_mul_ps(scale, b));
}

AVX2 void iq4_avx2(float *y, __m256 scale, const uint8_t *nibbles)
{
    const __m128i x = _mm_loadu_si128((const __m128i *)nibbles), low = _mm_set1_epi8(15);

    iq4_half_avx2(y, scale, _mm_and_si128(x, low));
    iq4_half_avx2(y + 16, scale, _mm_and_si128(_mm_srli_epi16(x, 4), low));
}

#define IQ1_AVX2(type, block_bytes, f16_bits)                                                      \
    SC_TARGET_AVX2 void sc_##type##_avx2(const uint8_t *b, float *y, size_t n)                     \
    {                                                                                              \
        for (; n > 0; n--, b += (block_bytes), y += 256) {                                         \
            const __m256 d = f16_avx2(f16_bits);                                                   \
            for (size_t i = 0; i < 8; i++)                                                         \
                iq1_avx2(y + 32 * i, d, sc_##type##_group(b, i));                                  \
        }                                                                                          \
    }
IQ1_AVX2(iq1_s, 50, sc_le16(b))
IQ1_AVX2(iq1_m, 56, sc_iq1_m_d(b))

#define IQ23_AVX2(type, block_bytes, group, all_levels)                                            \
    SC_TARGET_AVX2 void sc_##type##_avx2(const uint8_t *b, float *y, size_t n)                     \
    {                                                                                              \
        for (; n > 0; n--, b += (block_bytes), y += 256) {                                         \
            const __m256 levels =                                                                  \
                _mm256_mul_ps(f16_avx2(sc_le16(b)), _mm256_loadu_ps(all_levels));                  \
            for (size_t i = 0; i < 8; i++)                                                         \
                group(y + 32 * i, levels, sc_##type##_group(b, i));                                \
        }                                                                                          \
    }
IQ23_AVX2(iq2_xxs, 66, iq2_avx2, sc_iq2_levels)
IQ23_AVX2(iq2_xs, 74, iq2_avx2, sc_iq2_levels)
IQ23_AVX2(iq2_s, 82, iq2_avx2, sc_iq2_levels)
IQ23_AVX2(iq3_xxs, 98, iq3_avx2, sc_iq3xxs_levels)
IQ23_AVX2(iq3_s, 110, iq3_avx2, sc_iq3s_levels)

SC_TARGET_AVX2 void sc_iq4_nl_avx2(const uint8_t *b, float *y, size_t n)
{
    for (; n > 0; n--, b += 18, y += 32)
        iq4_avx2(y, f16_avx2(sc_le16(b)), b + 2);
}

SC_TARGET_AVX2 void sc_iq4_xs_avx2(const uint8_t *b, float *y, size_t n)
{
    for (; n > 0; n--, b += 136, y += 256) {
        const __m256 d = f16_avx2(sc_le16(b));
        for (size_t i = 0; i < 8; i++) {
            const __m256 scale = _mm256_set1_ps((float)sc_iq4_xs_scale(b, i));
            iq4_avx2(y + 32 * i, _mm256_mul_ps(d, scale), b + 8 + 16 * i);
        }
    }
}

/* ---------------------------------------------------------------------------------- AVX-512 */

AVX512 __m512 f16_avx512(uint16_t bits)
{
    return _mm512_set1_ps(_cvtsh_ss(bits));
}

/* 16 digits of two bits choose among the four levels in each quarter of t. */
AVX512 __m512 choose_4_avx512(__m512 t, uint16_t first, uint16_t second)
{
    const __m512i down =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const uint32_t both = first | (uint32_t)second << 16;

    return _mm512_permutevar_ps(t, _mm512_srlv_epi32(_mm512_set1_epi32((int)both), down));
}

/* 16 digits of four bits choose among 16 levels. */
AVX512 __m512 choose_8_avx512(__m512 t, uint32_t first, uint32_t second)
{
    const __m512i down =
        _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    const __m512i both = _mm512_mask_set1_epi32(_mm512_set1_epi32((int)first), 0xff00, (int)second);

    return _mm512_permutexvar_ps(_mm512_srlv_epi32(both, down), t);
}

AVX512 void store_signed_avx512(float *y, __m512 v, uint32_t signs)
{
    const __m512i u = _mm512_castps_si512(v);

    _mm512_storeu_si512(
        y, _mm512_mask_xor_epi32(u, (__mmask16)signs, u, _mm512_set1_epi32(INT32_MIN)));
}

AVX512 __m512 iq1_levels_avx512(unsigned first, unsigned second)
{
    const __m256 a = _mm256_broadcast_ps((const __m128 *)sc_iq1_levels[first]);
    const __m256 b = _mm256_broadcast_ps((const __m128 *)sc_iq1_levels[second]);

    return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
}

AVX512 void iq1_avx512(float *y, __m512 d, struct sc_iq1_group g)
{
    for (size_t l = 0; l < 4; l += 2) {
        const __m512 t = _mm512_mul_ps(d, iq1_levels_avx512(g.level[l], g.level[l + 1]));
        _mm512_storeu_ps(y + 8 * l, choose_4_avx512(t, g.vector[l], g.vector[l + 1]));
    }
}

AVX512 void iq2_avx512(float *y, __m512 levels, struct sc_iq2_group g)
{
    const __m512 t0 = _mm512_mul_ps(levels, _mm512_set1_ps(*g.scale[0]));
    const __m512 t1 = _mm512_mul_ps(levels, _mm512_set1_ps(*g.scale[1]));

    store_signed_avx512(y, choose_4_avx512(t0, g.vector[0], g.vector[1]), g.signs);
    store_signed_avx512(y + 16, choose_4_avx512(t1, g.vector[2], g.vector[3]), g.signs >> 16);
}

AVX512 void iq3_avx512(float *y, __m512 levels, struct sc_iq3_group g)
{
    const __m512 t = _mm512_mul_ps(levels, _mm512_set1_ps(*g.scale));

    store_signed_avx512(y, choose_8_avx512(t, g.vector[0], g.vector[1]), g.signs);
    store_signed_avx512(y + 16, choose_8_avx512(t, g.vector[2], g.vector[3]), g.signs >> 16);
}

AVX512 void iq4_avx512(float *y, __m512 t, const uint8_t *nibbles)
{
    const __m512i x = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)nibbles));

    _mm512_storeu_ps(y, _mm512_permutexvar_ps(x, t));
    _mm512_storeu_ps(y + 16, _mm512_permutexvar_ps(_mm512_srli_epi32(x, 4), t));
}

AVX512 __m512 iq4_levels_avx512(void)
{
    const __m128i levels = _mm_loadu_si128((const __m128i *)sc_iq4_levels);

    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(levels));
}

#define IQ1_AVX512(type, block_bytes, f16_bits)                                                    \
    SC_TARGET_AVX512 void sc_##type##_avx512(const uint8_t *b, float *y, size_t n)                 \
    {                                                                                              \
        for (; n > 0; n--, b += (block_bytes), y += 256) {                                         \
            const __m512 d = f16_avx512(f16_bits);                                                 \
            for (size_t i = 0; i < 8; i++)                                                         \
                iq1_avx512(y + 32 * i, d, sc_##type##_group(b, i));                                \
        }                                                                                          \
    }
IQ1_AVX512(iq1_s, 50, sc_le16(b))
IQ1_AVX512(iq1_m, 56, sc_iq1_m_d(b))

#define IQ23_AVX512(type, block_bytes, group, all_levels)                                          \
    SC_TARGET_AVX512 void sc_##type##_avx512(const uint8_t *b, float *y, size_t n)                 \
    {                                                                                              \
        const __m512 plain = _mm512_broadcast_f32x8(_mm256_loadu_ps(all_levels));                  \
        for (; n > 0; n--, b += (block_bytes), y += 256) {                                         \
            const __m512 levels = _mm512_mul_ps(f16_avx512(sc_le16(b)), plain);                    \
            for (size_t i = 0; i < 8; i++)                                                         \
                group(y + 32 * i, levels, sc_##type##_group(b, i));                                \
        }                                                                                          \
    }
IQ23_AVX512(iq2_xxs, 66, iq2_avx512, sc_iq2_levels)
IQ23_AVX512(iq2_xs, 74, iq2_avx512, sc_iq2_levels)
IQ23_AVX512(iq2_s, 82, iq2_avx512, sc_iq2_levels)
IQ23_AVX512(iq3_xxs, 98, iq3_avx512, sc_iq3xxs_levels)
IQ23_AVX512(iq3_s, 110, iq3_avx512, sc_iq3s_levels)

SC_TARGET_AVX512 void sc_iq4_nl_avx512(const uint8_t *b, float *y, size_t n)
{
    const __m512 levels = iq4_levels_avx512();

    for (; n > 0; n--, b += 18, y += 32)
        iq4_avx512(y, _mm512_mul_ps(f16_avx512(sc_le16(b)), levels), b + 2);
}

SC_TARGET_AVX512 void sc_iq4_xs_avx512(const uint8_t *b, float *y, size_t n)
{
    const __m512 plain = iq4_levels_avx512();

    for (; n > 0; n--, b += 136, y += 256) {
        const __m512 levels = _mm512_mul_ps(f16_avx512(sc_le16(b)), plain);
        for (size_t i = 0; i < 8; i++) {
            const __m512 scale = _mm512_set1_ps((float)sc_iq4_xs_scale(b, i));
            iq4_avx512(y + 32 * i, _mm512_mul_ps(levels, scale), b + 8 + 16 * i);
        }
    }
}
#else
typedef int sc_decode_iq_x86_is_empty;
#endif
