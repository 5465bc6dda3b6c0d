/* SPDX-License-Identifier: Apache-2.0 */
/* decode_k_x86: decode_k.c with AVX2 and AVX-512. The layouts stand there. */
#include "codec/decode_ggml_x86.h"

#if SC_HAVE_X86

/* ------------------------------------------- codes and scales in order, for both levels */

/* 16 scales of 6 bits less 32, and what they are times the half. */
SC_INLINE_AVX2 void scales_of_16(const uint8_t *p, float half, float *scales)
{
    const uint64_t low = load_u64(p), top = load_u32(p + 8);
    const uint64_t nibbles = 0x0f0f0f0f0f0f0f0f, pairs = 0x3030303030303030;
    const uint64_t first = (low & nibbles) | ((top << 4 | top << 34) & pairs);
    const uint64_t last = (low >> 4 & nibbles) | ((top | top << 30) & pairs);
    const __m128i v = _mm_set_epi64x((int64_t)last, (int64_t)first);
    int8_t codes[16];
    _mm_storeu_si128((__m128i *)codes, _mm_sub_epi8(v, _mm_set1_epi8(32)));
    put16_avx2(scales, codes, &half);
}

/* 8 scales and 8 minima of 6 bits, times their halves. */
SC_INLINE_AVX2 void scales_of_8(const uint8_t *block, float *scales, float *minima)
{
    const uint64_t low_scale = load_u32(block + 4), low_least = load_u32(block + 8);
    const uint64_t both = load_u32(block + 12), nibbles = 0x0f0f0f0f, bits6 = 0x3f3f3f3f;
    const uint64_t high_scale = (both & nibbles) | (low_scale >> 2 & 0x30303030);
    const uint64_t high_least = (both >> 4 & nibbles) | (low_least >> 2 & 0x30303030);
    const uint64_t codes[2] = {(low_scale & bits6) | high_scale << 32,
                               (low_least & bits6) | high_least << 32};
    const __m256 d = _mm256_set1_ps(half_at(block)), dmin = _mm256_set1_ps(half_at(block + 2));
    _mm256_storeu_ps(scales, _mm256_mul_ps(floats8(&codes[0]), d));
    _mm256_storeu_ps(minima, _mm256_mul_ps(floats8(&codes[1]), dmin));
}

/* 128 codes of 3 bits from a half block; its third bits are `bit` to `bit` + 3 of each byte. */
SC_INLINE_AVX2 void q3_codes(__m256i v, __m256i high, int8_t *codes)
{
    const __m256i h0 = SC_UP(high, 2, 4), h1 = SC_UP(high, 1, 4);
    const __m256i h2 = keep(high, 4), h3 = SC_DOWN(high, 1, 4);
    store32(codes, sub8(_mm256_or_si256(keep(v, 3), h0), 4));
    store32(codes + 32, sub8(_mm256_or_si256(SC_DOWN(v, 2, 3), h1), 4));
    store32(codes + 64, sub8(_mm256_or_si256(SC_DOWN(v, 4, 3), h2), 4));
    store32(codes + 96, sub8(_mm256_or_si256(SC_DOWN(v, 6, 3), h3), 4));
}

/* 128 codes of 6 bits from a half block. */
SC_INLINE_AVX2 void q6_codes(const uint8_t *low, const uint8_t *high, int8_t *codes)
{
    const __m256i a = load32(low), b = load32(low + 32), h = load32(high);
    store32(codes, sub8(_mm256_or_si256(keep(a, 15), SC_UP(h, 4, 0x30)), 32));
    store32(codes + 32, sub8(_mm256_or_si256(keep(b, 15), SC_UP(h, 2, 0x30)), 32));
    store32(codes + 64, sub8(_mm256_or_si256(SC_DOWN(a, 4, 15), keep(h, 0x30)), 32));
    store32(codes + 96, sub8(_mm256_or_si256(SC_DOWN(b, 4, 15), SC_DOWN(h, 2, 0x30)), 32));
}

/* 64 codes of 5 bits; the fifth bits are bits 0 and 1 of each byte of `high`. */
SC_INLINE_AVX2 void q5_codes(const uint8_t *low, __m256i high, int8_t *codes)
{
    const __m256i v = load32(low);
    store32(codes, _mm256_or_si256(keep(v, 15), SC_UP(high, 4, 16)));
    store32(codes + 32, _mm256_or_si256(SC_DOWN(v, 4, 15), SC_UP(high, 3, 16)));
}

/* The first digit of 32 bytes less 1: carry of a product with 3 is 1 from 86 on, 2 from 171 on. */
SC_INLINE_AVX2 __m256i first_trits(__m256i v)
{
    const __m256i one = _mm256_set1_epi8(86), two = _mm256_set1_epi8((char)171);
    const __m256i from_one = _mm256_cmpeq_epi8(_mm256_max_epu8(v, one), v);
    const __m256i from_two = _mm256_cmpeq_epi8(_mm256_max_epu8(v, two), v);
    return _mm256_sub_epi8(_mm256_set1_epi8(-1), _mm256_add_epi8(from_one, from_two));
}
SC_INLINE_AVX2 __m256i times3(__m256i v)
{
    return _mm256_add_epi8(_mm256_add_epi8(v, v), v);
}

/* 256 codes of a block of TQ1_0. */
SC_INLINE_AVX2 void tq1_codes(const uint8_t *block, int8_t *codes)
{
    __m256i v = load32(block);
    for (size_t t = 0; t < 5; t++, v = times3(v))
        store32(codes + 32 * t, first_trits(v));
    /* 16 bytes: two digits at a time, in the halves of a register. The fifth goes with the 16 of
     * the last 4 bytes, of which each quarter of a half has had one product more. */
    const __m256i middle = _mm256_broadcastsi128_si256(load16(block + 32));
    v = _mm256_blend_epi32(middle, times3(middle), 0xf0);
    store32(codes + 160, first_trits(v));
    v = times3(times3(v));
    store32(codes + 192, first_trits(v));
    v = times3(times3(v));
    const __m256i last = _mm256_set1_epi32((int)load_u32(block + 48));
    __m256i w = _mm256_blend_epi32(last, times3(last), 0xe0);
    w = _mm256_blend_epi32(w, times3(w), 0xc0);
    w = _mm256_blend_epi32(w, times3(w), 0x80);
    store32(codes + 224, first_trits(_mm256_blend_epi32(v, w, 0xf0)));
}

/* ----------------------------------------- loops that differ in the width of their stores only */

#define Q3_K(target, level)                                                                        \
    target void sc_decode_q3_k_##level(const uint8_t *src, float *dst, size_t n)                   \
    {                                                                                              \
        for (; n > 0; n--, src += 110, dst += 256) {                                               \
            const __m256i high = load32(src);                                                      \
            int8_t codes[256];                                                                     \
            float scales[16];                                                                      \
            scales_of_16(src + 96, half_at(src + 108), scales);                                    \
            q3_codes(load32(src + 32), high, codes);                                               \
            q3_codes(load32(src + 64), _mm256_srli_epi16(high, 4), codes + 128);                   \
            for (size_t i = 0; i < 16; i++)                                                        \
                put16_##level(dst + 16 * i, codes + 16 * i, scales + i);                           \
        }                                                                                          \
    }
Q3_K(SC_TARGET_AVX2, avx2)
Q3_K(SC_TARGET_AVX512, avx512)

#define Q5_K(target, level)                                                                        \
    target void sc_decode_q5_k_##level(const uint8_t *src, float *dst, size_t n)                   \
    {                                                                                              \
        for (; n > 0; n--, src += 176, dst += 256) {                                               \
            const __m256i high = load32(src + 16);                                                 \
            int8_t codes[256];                                                                     \
            float scales[8], minima[8];                                                            \
            scales_of_8(src, scales, minima);                                                      \
            q5_codes(src + 48, high, codes);                                                       \
            q5_codes(src + 80, _mm256_srli_epi16(high, 2), codes + 64);                            \
            q5_codes(src + 112, _mm256_srli_epi16(high, 4), codes + 128);                          \
            q5_codes(src + 144, _mm256_srli_epi16(high, 6), codes + 192);                          \
            for (size_t i = 0; i < 16; i++)                                                        \
                put16_less_##level(dst + 16 * i, codes + 16 * i, scales + i / 2, minima + i / 2);  \
        }                                                                                          \
    }
Q5_K(SC_TARGET_AVX2, avx2)
Q5_K(SC_TARGET_AVX512, avx512)

#define Q6_K(target, level)                                                                        \
    target void sc_decode_q6_k_##level(const uint8_t *src, float *dst, size_t n)                   \
    {                                                                                              \
        for (; n > 0; n--, src += 210, dst += 256) {                                               \
            const float d = half_at(src + 208);                                                    \
            int8_t codes[256];                                                                     \
            float scales[16];                                                                      \
            put16_##level(scales, src + 192, &d);                                                  \
            q6_codes(src, src + 128, codes);                                                       \
            q6_codes(src + 64, src + 160, codes + 128);                                            \
            for (size_t i = 0; i < 16; i++)                                                        \
                put16_##level(dst + 16 * i, codes + 16 * i, scales + i);                           \
        }                                                                                          \
    }
Q6_K(SC_TARGET_AVX2, avx2)
Q6_K(SC_TARGET_AVX512, avx512)

#define Q8_K(target, level)                                                                        \
    target void sc_decode_q8_k_##level(const uint8_t *src, float *dst, size_t n)                   \
    {                                                                                              \
        for (; n > 0; n--, src += 292, dst += 256) {                                               \
            float d;                                                                               \
            memcpy(&d, src, sizeof d);                                                             \
            for (size_t i = 0; i < 16; i++)                                                        \
                put16_##level(dst + 16 * i, src + 4 + 16 * i, &d);                                 \
        }                                                                                          \
    }
Q8_K(SC_TARGET_AVX2, avx2)
Q8_K(SC_TARGET_AVX512, avx512)

#define TQ1_0(target, level)                                                                       \
    target void sc_decode_tq1_0_##level(const uint8_t *src, float *dst, size_t n)                  \
    {                                                                                              \
        for (; n > 0; n--, src += 54, dst += 256) {                                                \
            const float d = half_at(src + 52);                                                     \
            int8_t codes[256];                                                                     \
            tq1_codes(src, codes);                                                                 \
            for (size_t i = 0; i < 16; i++)                                                        \
                put16_##level(dst + 16 * i, codes + 16 * i, &d);                                   \
        }                                                                                          \
    }
TQ1_0(SC_TARGET_AVX2, avx2)
TQ1_0(SC_TARGET_AVX512, avx512)

/* ------------------------------------------------------------------------------------- AVX2 */

SC_TARGET_AVX2 void sc_decode_q4_k_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 144) {
        float scales[8], minima[8];
        scales_of_8(src, scales, minima);
        for (size_t i = 0; i < 8; i += 2, dst += 64) {
            const __m256i v = load32(src + 16 + 16 * i);
            put32_less_avx2(dst, keep(v, 15), scales + i, minima + i);
            put32_less_avx2(dst + 32, SC_DOWN(v, 4, 15), scales + i + 1, minima + i + 1);
        }
    }
}

/* Values 8 apart in 32 come from 8 bytes, whose 4 codes serve values 32 apart. A lookup in half a
 * register takes the low 2 bits of each index. */
SC_INLINE_AVX2 void put_pairs_avx2(float *dst, const uint8_t *p, const __m256 *tables)
{
    const __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    _mm256_storeu_ps(dst, _mm256_permutevar_ps(tables[0], v));
    _mm256_storeu_ps(dst + 32, _mm256_permutevar_ps(tables[1], _mm256_srli_epi32(v, 2)));
    _mm256_storeu_ps(dst + 64, _mm256_permutevar_ps(tables[2], _mm256_srli_epi32(v, 4)));
    _mm256_storeu_ps(dst + 96, _mm256_permutevar_ps(tables[3], _mm256_srli_epi32(v, 6)));
}

SC_TARGET_AVX2 void sc_decode_q2_k_avx2(const uint8_t *src, float *dst, size_t n)
{
    const __m256 codes = _mm256_setr_ps(0, 1, 2, 3, 0, 1, 2, 3);
    for (; n > 0; n--, src += 84, dst += 256) {
        const float d = half_at(src + 80), dmin = half_at(src + 82);
        const __m256i both = nibbles16(src);
        int8_t nibbles[32];
        float scales[16], minima[16];
        store32(nibbles, both);
        put16_avx2(scales, nibbles, &d);
        put16_avx2(minima, nibbles + 16, &dmin);
        for (size_t i = 0; i < 4; i++) { /* 64 values of 16 bytes: half i / 2, groups of i % 2 */
            const size_t first = i / 2 * 8 + i % 2;
            float *out = dst + 16 * first;
            __m256 tables[4];
            for (size_t t = 0; t < 4; t++) {
                const __m256 s = _mm256_broadcast_ss(scales + first + 2 * t);
                const __m256 less = _mm256_broadcast_ss(minima + first + 2 * t);
                tables[t] = _mm256_sub_ps(_mm256_mul_ps(codes, s), less);
            }
            put_pairs_avx2(out, src + 16 + 16 * i, tables);
            put_pairs_avx2(out + 8, src + 24 + 16 * i, tables);
        }
    }
}

SC_TARGET_AVX2 void sc_decode_tq2_0_avx2(const uint8_t *src, float *dst, size_t n)
{
    const __m256 codes = _mm256_setr_ps(-1, 0, 1, 2, -1, 0, 1, 2);
    for (; n > 0; n--, src += 66, dst += 256) {
        const __m256 table = _mm256_mul_ps(codes, _mm256_set1_ps(half_at(src + 64)));
        const __m256 tables[4] = {table, table, table, table};
        for (size_t i = 0; i < 8; i++)
            put_pairs_avx2(dst + i / 4 * 128 + i % 4 * 8, src + 8 * i, tables);
    }
}

/* ---------------------------------------------------------------------------------- AVX-512 */

SC_TARGET_AVX512 void sc_decode_q4_k_avx512(const uint8_t *src, float *dst, size_t n)
{
    const __m512 codes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (; n > 0; n--, src += 144) {
        float scales[8], minima[8];
        scales_of_8(src, scales, minima);
        for (size_t i = 0; i < 8; i += 2, dst += 64) {
            const __m512i a = indices16(src + 16 + 16 * i), b = indices16(src + 32 + 16 * i);
            const __m512 low = _mm512_sub_ps(_mm512_mul_ps(codes, _mm512_set1_ps(scales[i])),
                                             _mm512_set1_ps(minima[i]));
            const __m512 high = _mm512_sub_ps(_mm512_mul_ps(codes, _mm512_set1_ps(scales[i + 1])),
                                              _mm512_set1_ps(minima[i + 1]));
            lookup_avx512(dst, a, low);
            lookup_avx512(dst + 16, b, low);
            lookup_avx512(dst + 32, _mm512_srli_epi32(a, 4), high);
            lookup_avx512(dst + 48, _mm512_srli_epi32(b, 4), high);
        }
    }
}

SC_INLINE_AVX512 __m512 pairs_table(const float *scale, const float *less)
{
    const __m512 codes = _mm512_setr_ps(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
    return _mm512_sub_ps(_mm512_mul_ps(codes, _mm512_set1_ps(*scale)), _mm512_set1_ps(*less));
}

SC_TARGET_AVX512 void sc_decode_q2_k_avx512(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 84, dst += 256) {
        const float d = half_at(src + 80), dmin = half_at(src + 82);
        int8_t nibbles[32];
        float scales[16], minima[16];
        store32(nibbles, nibbles16(src));
        put16_avx512(scales, nibbles, &d);
        put16_avx512(minima, nibbles + 16, &dmin);
        for (size_t i = 0; i < 4; i++) { /* 64 values of 16 bytes: half i / 2, groups of i % 2 */
            const size_t first = i / 2 * 8 + i % 2;
            const float *s = scales + first, *less = minima + first;
            const __m512i v = indices16(src + 16 + 16 * i);
            float *out = dst + 16 * first;
            lookup_avx512(out, v, pairs_table(s, less));
            lookup_avx512(out + 32, _mm512_srli_epi32(v, 2), pairs_table(s + 2, less + 2));
            lookup_avx512(out + 64, _mm512_srli_epi32(v, 4), pairs_table(s + 4, less + 4));
            lookup_avx512(out + 96, _mm512_srli_epi32(v, 6), pairs_table(s + 6, less + 6));
        }
    }
}

SC_TARGET_AVX512 void sc_decode_tq2_0_avx512(const uint8_t *src, float *dst, size_t n)
{
    const __m512 codes = _mm512_setr_ps(-1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2);
    for (; n > 0; n--, src += 66, dst += 256) {
        const __m512 table = _mm512_mul_ps(codes, halves_at(src + 64));
        for (size_t i = 0; i < 4; i++) {
            const __m512i v = indices16(src + 16 * i);
            float *out = dst + i / 2 * 128 + i % 2 * 16;
            lookup_avx512(out, v, table);
            lookup_avx512(out + 32, _mm512_srli_epi32(v, 2), table);
            lookup_avx512(out + 64, _mm512_srli_epi32(v, 4), table);
            lookup_avx512(out + 96, _mm512_srli_epi32(v, 6), table);
        }
    }
}

#endif /* SC_HAVE_X86 */
