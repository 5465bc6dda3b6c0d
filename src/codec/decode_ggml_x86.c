/* SPDX-License-Identifier: Apache-2.0 */
/* decode_ggml_x86: decode_ggml.c with AVX2 and AVX-512. The layouts stand there. */
#include "codec/decode_ggml_x86.h"

#if SC_HAVE_X86

/* ------------------------------------------------------------- codes in order, for both levels */

SC_INLINE_AVX2 __m256i codes5(const uint8_t *fifth)
{
    return _mm256_or_si256(nibbles16(fifth + 4), keep(spread_bits(load_u32(fifth)), 16));
}

SC_INLINE_AVX2 __m256i e2m1_of(__m256i nibbles)
{
    const __m256i table = _mm256_setr_epi8(SC_E2M1_TWICE, SC_E2M1_TWICE);
    return _mm256_shuffle_epi8(table, nibbles);
}

/* ------------------------------------------------------------------------------------- AVX2 */

SC_TARGET_AVX2 void sc_decode_q4_0_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 18, dst += 32) {
        const float d = half_at(src);
        put32_avx2(dst, sub8(nibbles16(src + 2), 8), &d);
    }
}

SC_TARGET_AVX2 void sc_decode_q4_1_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 20, dst += 32) {
        const float d = half_at(src), less = sc_minus(half_at(src + 2));
        put32_less_avx2(dst, nibbles16(src + 4), &d, &less);
    }
}

SC_TARGET_AVX2 void sc_decode_q5_0_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 22, dst += 32) {
        const float d = half_at(src);
        put32_avx2(dst, sub8(codes5(src + 2), 16), &d);
    }
}

SC_TARGET_AVX2 void sc_decode_q5_1_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 24, dst += 32) {
        const float d = half_at(src), less = sc_minus(half_at(src + 2));
        put32_less_avx2(dst, codes5(src + 4), &d, &less);
    }
}

SC_TARGET_AVX2 void sc_decode_q8_0_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 34, dst += 32) {
        const float d = half_at(src);
        put16_avx2(dst, src + 2, &d);
        put16_avx2(dst + 16, src + 18, &d);
    }
}

SC_TARGET_AVX2 void sc_decode_q8_1_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 36, dst += 32) {
        const float d = half_at(src);
        put16_avx2(dst, src + 4, &d);
        put16_avx2(dst + 16, src + 20, &d);
    }
}

SC_TARGET_AVX2 void sc_decode_mxfp4_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 17, dst += 32) {
        const float d = sc_e8m0_half(src[0]);
        put32_avx2(dst, e2m1_of(nibbles16(src + 1)), &d);
    }
}

SC_TARGET_AVX2 void sc_decode_nvfp4_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 36, dst += 64) {
        const __m256i v = load32(src + 4);
        const __m256i low = e2m1_of(keep(v, 15)), high = e2m1_of(SC_DOWN(v, 4, 15));
        int8_t c[64]; /* values of scales 0, 2, 1, 3: unpacking works on halves of a register */
        store32(c, _mm256_unpacklo_epi64(low, high));
        store32(c + 32, _mm256_unpackhi_epi64(low, high));
        put16_avx2(dst, c, &sc_ue4m3_half[src[0]]);
        put16_avx2(dst + 16, c + 32, &sc_ue4m3_half[src[1]]);
        put16_avx2(dst + 32, c + 16, &sc_ue4m3_half[src[2]]);
        put16_avx2(dst + 48, c + 48, &sc_ue4m3_half[src[3]]);
    }
}

/* 8 values of the bits from `bit` on: the bit goes where the sign is, and turns it if set. */
SC_INLINE_AVX2 void put_signs(float *dst, __m256i bits, int bit, __m256 minus_d)
{
    const __m256i up =
        _mm256_sub_epi32(_mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24), _mm256_set1_epi32(bit));
    const __m256 sign = _mm256_castsi256_ps(_mm256_sllv_epi32(bits, up));
    _mm256_storeu_ps(dst, _mm256_xor_ps(_mm256_and_ps(sign, _mm256_set1_ps(-0.0f)), minus_d));
}

SC_TARGET_AVX2 void sc_decode_q1_0_avx2(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 18) {
        const __m256 minus_d = _mm256_xor_ps(_mm256_set1_ps(half_at(src)), _mm256_set1_ps(-0.0f));
        for (size_t i = 0; i < 4; i++, dst += 32) {
            const __m256i bits = _mm256_set1_epi32((int)load_u32(src + 2 + 4 * i));
            put_signs(dst, bits, 0, minus_d);
            put_signs(dst + 8, bits, 8, minus_d);
            put_signs(dst + 16, bits, 16, minus_d);
            put_signs(dst + 24, bits, 24, minus_d);
        }
    }
}

SC_TARGET_AVX2 void sc_decode_q2_0_avx2(const uint8_t *src, float *dst, size_t n)
{
    const __m256 codes = _mm256_setr_ps(-1, 0, 1, 2, -1, 0, 1, 2);
    const __m256i low = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i high = _mm256_setr_epi32(16, 18, 20, 22, 24, 26, 28, 30);
    for (; n > 0; n--, src += 18) {
        const __m256 table = _mm256_mul_ps(codes, _mm256_set1_ps(half_at(src)));
        for (size_t i = 0; i < 4; i++, dst += 16) {
            const __m256i v = _mm256_set1_epi32((int)load_u32(src + 2 + 4 * i));
            _mm256_storeu_ps(dst, _mm256_permutevar_ps(table, _mm256_srlv_epi32(v, low)));
            _mm256_storeu_ps(dst + 8, _mm256_permutevar_ps(table, _mm256_srlv_epi32(v, high)));
        }
    }
}

/* ---------------------------------------------------------------------------------- AVX-512 */

static const float e2m1[16] = {SC_E2M1_TWICE};

/* The codes 0 to 15 times a scale. */
SC_INLINE_AVX512 __m512 times_codes(__m512 d)
{
    const __m512 codes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_mul_ps(codes, d);
}

/* 32 values in order from 4 bytes of fifth bits and 16 of nibbles: where the bit is set the code is
 * in the second table. */
SC_INLINE_AVX512 void put_fives_avx512(float *dst, const uint8_t *p, __m512 below16, __m512 from16)
{
    const uint32_t fifth = load_u32(p);
    const __m512i v = indices16(p + 4), sixteen = _mm512_set1_epi32(16);
    const __m512i a = _mm512_and_epi32(v, _mm512_set1_epi32(15)), b = _mm512_srli_epi32(v, 4);
    const __m512i low = _mm512_mask_or_epi32(a, (__mmask16)fifth, a, sixteen);
    const __m512i high = _mm512_mask_or_epi32(b, (__mmask16)(fifth >> 16), b, sixteen);
    _mm512_storeu_ps(dst, _mm512_permutex2var_ps(below16, low, from16));
    _mm512_storeu_ps(dst + 16, _mm512_permutex2var_ps(below16, high, from16));
}

SC_TARGET_AVX512 void sc_decode_q4_0_avx512(const uint8_t *src, float *dst, size_t n)
{
    const __m512 codes = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    for (; n > 0; n--, src += 18, dst += 32)
        put_nibbles_avx512(dst, src + 2, _mm512_mul_ps(codes, halves_at(src)));
}

SC_TARGET_AVX512 void sc_decode_q4_1_avx512(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 20, dst += 32) {
        const __m512 less = _mm512_set1_ps(sc_minus(half_at(src + 2)));
        const __m512 table = _mm512_sub_ps(times_codes(halves_at(src)), less);
        put_nibbles_avx512(dst, src + 4, table);
    }
}

SC_TARGET_AVX512 void sc_decode_q5_0_avx512(const uint8_t *src, float *dst, size_t n)
{
    const __m512 below =
        _mm512_setr_ps(-16, -15, -14, -13, -12, -11, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1);
    for (; n > 0; n--, src += 22, dst += 32) {
        const __m512 d = halves_at(src);
        put_fives_avx512(dst, src + 2, _mm512_mul_ps(below, d), times_codes(d));
    }
}

SC_TARGET_AVX512 void sc_decode_q5_1_avx512(const uint8_t *src, float *dst, size_t n)
{
    const __m512 above =
        _mm512_setr_ps(16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    for (; n > 0; n--, src += 24, dst += 32) {
        const __m512 d = halves_at(src), less = _mm512_set1_ps(sc_minus(half_at(src + 2)));
        put_fives_avx512(dst, src + 4, _mm512_sub_ps(times_codes(d), less),
                         _mm512_sub_ps(_mm512_mul_ps(above, d), less));
    }
}

SC_TARGET_AVX512 void sc_decode_q8_0_avx512(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 34, dst += 32) {
        const __m512 d = halves_at(src);
        _mm512_storeu_ps(dst, _mm512_mul_ps(floats16(src + 2), d));
        _mm512_storeu_ps(dst + 16, _mm512_mul_ps(floats16(src + 18), d));
    }
}

SC_TARGET_AVX512 void sc_decode_q8_1_avx512(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 36, dst += 32) {
        const __m512 d = halves_at(src);
        _mm512_storeu_ps(dst, _mm512_mul_ps(floats16(src + 4), d));
        _mm512_storeu_ps(dst + 16, _mm512_mul_ps(floats16(src + 20), d));
    }
}

SC_TARGET_AVX512 void sc_decode_mxfp4_avx512(const uint8_t *src, float *dst, size_t n)
{
    const __m512 codes = _mm512_loadu_ps(e2m1);
    for (; n > 0; n--, src += 17, dst += 32) {
        const __m512 d = _mm512_set1_ps(sc_e8m0_half(src[0]));
        put_nibbles_avx512(dst, src + 1, _mm512_mul_ps(codes, d));
    }
}

SC_TARGET_AVX512 void sc_decode_nvfp4_avx512(const uint8_t *src, float *dst, size_t n)
{
    const __m512 codes = _mm512_loadu_ps(e2m1);
    const __m512i shift = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4);
    for (; n > 0; n--, src += 36) {
        for (size_t s = 0; s < 4; s++, dst += 16) {
            const __m512 d = _mm512_set1_ps(sc_ue4m3_half[src[s]]);
            const __m128i twice = _mm_set1_epi64x((int64_t)load_u64(src + 4 + 8 * s));
            const __m512i index = _mm512_srlv_epi32(_mm512_cvtepu8_epi32(twice), shift);
            lookup_avx512(dst, index, _mm512_mul_ps(codes, d));
        }
    }
}

SC_TARGET_AVX512 void sc_decode_q1_0_avx512(const uint8_t *src, float *dst, size_t n)
{
    for (; n > 0; n--, src += 18) {
        const __m512 d = halves_at(src);
        const __m512 minus_d = _mm512_xor_ps(d, _mm512_set1_ps(-0.0f));
        for (size_t i = 0; i < 4; i++, dst += 32) {
            const uint32_t bits = load_u32(src + 2 + 4 * i);
            _mm512_storeu_ps(dst, _mm512_mask_blend_ps((__mmask16)bits, minus_d, d));
            _mm512_storeu_ps(dst + 16, _mm512_mask_blend_ps((__mmask16)(bits >> 16), minus_d, d));
        }
    }
}

SC_TARGET_AVX512 void sc_decode_q2_0_avx512(const uint8_t *src, float *dst, size_t n)
{
    const __m512 codes = _mm512_setr_ps(-1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2);
    const __m512i shift =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    for (; n > 0; n--, src += 18) {
        const __m512 table = _mm512_mul_ps(codes, halves_at(src));
        for (size_t i = 0; i < 4; i++, dst += 16) {
            const __m512i v = _mm512_set1_epi32((int)load_u32(src + 2 + 4 * i));
            lookup_avx512(dst, _mm512_srlv_epi32(v, shift), table);
        }
    }
}

#endif /* SC_HAVE_X86 */
