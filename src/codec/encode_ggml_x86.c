/* SPDX-License-Identifier: Apache-2.0 */
/* encode_ggml_x86: encode_ggml.c with AVX2 and AVX-512, bit for bit. The definitions stand there.
 *
 * A block whose largest |x| lies in the middle of the floats has no case to think of: its scale and
 * the reciprocal are normal numbers, no value is NaN or infinite, no code overflows. The bits of
 * the largest |x| tell (those of a NaN are larger than those of any number). Other blocks, among
 * them those of zeros, are left to the encoder in C. */
#include "codec/decode_ggml_x86.h"
#include "codec/encode_ggml.h"

#if SC_HAVE_X86

/* Largest |x| from 2^-100 to below 2^100. */
static inline bool is_plain(uint32_t amax_bits)
{
    return amax_bits - 0x0d800000 < 0x71800000 - 0x0d800000;
}

static inline uint8_t mxfp4_scale(uint32_t amax_bits)
{
    const bool near = (amax_bits & 0x7fffff) >= 0x7fffc0; /* below the next power of two */
    return near ? sc_mxfp4_scale(amax_bits) : (uint8_t)((amax_bits >> 23) - 2);
}

/* ------------------------------------------------------------------------------------- AVX2 */

#define ABS8(v) _mm256_andnot_ps(_mm256_set1_ps(-0.0F), v)

SC_INLINE_AVX2 uint32_t max8(__m256i v)
{
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}
SC_INLINE_AVX2 __m256i larger(__m256i m, __m256 v)
{
    return _mm256_max_epi32(m, _mm256_castps_si256(ABS8(v)));
}
SC_INLINE_AVX2 uint32_t amax32_avx2(const __m256 v[4])
{
    const __m256i a = larger(_mm256_castps_si256(ABS8(v[0])), v[1]);
    const __m256i b = larger(_mm256_castps_si256(ABS8(v[2])), v[3]);
    return max8(_mm256_max_epi32(a, b));
}
SC_INLINE_AVX2 void load32_avx2(__m256 v[4], const float *x)
{
    for (size_t i = 0; i < 4; i++)
        v[i] = _mm256_loadu_ps(x + 8 * i);
}
/* 32 ints to bytes, in order; those that are no bytes do not occur. */
SC_INLINE_AVX2 __m256i bytes32(__m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i v = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
/* 16 ints below 256. */
SC_INLINE_AVX2 __m128i bytes16(__m256i a, __m256i b)
{
    const __m256i v = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
/* Codes of values 0..7, 8..15, 16..23, 24..31 to 16 bytes of nibbles. */
SC_INLINE_AVX2 void store_nibbles_avx2(uint8_t *dst, const __m256i q[4])
{
    const __m256i a = _mm256_or_si256(q[0], _mm256_slli_epi32(q[2], 4));
    const __m256i b = _mm256_or_si256(q[1], _mm256_slli_epi32(q[3], 4));
    _mm_storeu_si128((__m128i *)(void *)dst, bytes16(a, b));
}

/* The first value whose |x| has these bits. */
SC_INLINE_AVX2 float first_of_avx2(const float *x, const __m256 v[4], uint32_t bits)
{
    const __m256 most = _mm256_castsi256_ps(_mm256_set1_epi32((int)bits));
    uint32_t mask = 0;
    for (unsigned i = 0; i < 4; i++) {
        const __m256 equal = _mm256_cmp_ps(ABS8(v[i]), most, _CMP_EQ_OQ);
        mask |= (uint32_t)_mm256_movemask_ps(equal) << 8 * i;
    }
    return x[__builtin_ctz(mask)];
}

SC_TARGET_AVX2 void sc_encode_q8_0_avx2(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 34) {
        __m256 v[4];
        __m256i q[4];
        load32_avx2(v, x);
        const uint32_t amax = amax32_avx2(v);
        if (!is_plain(amax)) {
            sc_encode_q8_0(x, dst, 1);
            continue;
        }
        const float d = sc_float_of(amax) / 127;
        const __m256 scale = _mm256_set1_ps(1 / d);
        for (size_t i = 0; i < 4; i++) {
            const __m256 y = _mm256_mul_ps(v[i], scale);
            const __m256 sign = _mm256_and_ps(y, _mm256_set1_ps(-0.0F));
            const __m256 half = _mm256_or_ps(sign, _mm256_set1_ps(SC_ALMOST_HALF));
            q[i] = _mm256_cvttps_epi32(_mm256_add_ps(y, half));
        }
        sc_put16(dst, _cvtss_sh(d, 0));
        store32(dst + 2, bytes32(q[0], q[1], q[2], q[3]));
    }
}

/* Codes trunc((x - less) scale + plus), at most `most`. */
SC_INLINE_AVX2 void codes32_avx2(__m256i q[4], const __m256 v[4], __m256 less, float scale,
                                 float plus, int most)
{
    for (size_t i = 0; i < 4; i++) {
        const __m256 y = _mm256_mul_ps(_mm256_sub_ps(v[i], less), _mm256_set1_ps(scale));
        const __m256i code = _mm256_cvttps_epi32(_mm256_add_ps(y, _mm256_set1_ps(plus)));
        q[i] = _mm256_min_epi32(code, _mm256_set1_epi32(most));
    }
}

/* Nibbles and, in front of them, fifth bits. */
SC_INLINE_AVX2 void store_fives_avx2(uint8_t *dst, __m256i q[4])
{
    const __m256i codes = bytes32(q[0], q[1], q[2], q[3]);
    const uint32_t fifths = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(codes, 3));
    memcpy(dst, &fifths, sizeof fifths);
    for (size_t i = 0; i < 4; i++)
        q[i] = _mm256_and_si256(q[i], _mm256_set1_epi32(15));
    store_nibbles_avx2(dst + 4, q);
}

SC_TARGET_AVX2 void sc_encode_q4_0_avx2(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 18) {
        __m256 v[4];
        __m256i q[4];
        load32_avx2(v, x);
        const uint32_t amax = amax32_avx2(v);
        if (!is_plain(amax)) {
            sc_encode_q4_0(x, dst, 1);
            continue;
        }
        const float d = first_of_avx2(x, v, amax) / -8;
        codes32_avx2(q, v, _mm256_setzero_ps(), 1 / d, 8.5F, 15);
        sc_put16(dst, _cvtss_sh(d, 0));
        store_nibbles_avx2(dst + 2, q);
    }
}

SC_TARGET_AVX2 void sc_encode_q5_0_avx2(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 22) {
        __m256 v[4];
        __m256i q[4];
        load32_avx2(v, x);
        const uint32_t amax = amax32_avx2(v);
        if (!is_plain(amax)) {
            sc_encode_q5_0(x, dst, 1);
            continue;
        }
        const float d = first_of_avx2(x, v, amax) / -16;
        codes32_avx2(q, v, _mm256_setzero_ps(), 1 / d, 16.5F, 31);
        sc_put16(dst, _cvtss_sh(d, 0));
        store_fives_avx2(dst + 2, q);
    }
}

SC_INLINE_AVX2 float min8(__m256 v)
{
    __m128 m = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_min_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_min_ss(m, _mm_movehdup_ps(m)));
}
/* Scale of `steps` steps and least value; false: a block for C. A zero is left to it as well, whose
 * sign is that of the first. */
SC_INLINE_AVX2 bool range_avx2(const __m256 v[4], float steps, float *min, float *d)
{
    const __m256 zero = _mm256_setzero_ps();
    const __m256 a = _mm256_min_ps(v[0], v[1]), b = _mm256_min_ps(v[2], v[3]);
    const __m256 c = _mm256_max_ps(v[0], v[1]), e = _mm256_max_ps(v[2], v[3]);
    *min = min8(_mm256_min_ps(a, b));
    const float most = -min8(_mm256_sub_ps(zero, _mm256_max_ps(c, e)));
    *d = (most - *min) / steps;
    return is_plain(amax32_avx2(v)) && *d > 0x1p-100F && *min != 0;
}

/* Q4_1 and Q5_1; all but x, dst and n is constant where this is inlined. */
SC_INLINE_AVX2 void ranged_avx2(const float *x, uint8_t *dst, size_t n, float steps, int most,
                                bool fives)
{
    for (const size_t size = fives ? 24 : 20; n > 0; n--, x += 32, dst += size) {
        __m256 v[4];
        __m256i q[4];
        float min, d;
        load32_avx2(v, x);
        if (!range_avx2(v, steps, &min, &d)) {
            (fives ? sc_encode_q5_1 : sc_encode_q4_1)(x, dst, 1);
            continue;
        }
        codes32_avx2(q, v, _mm256_set1_ps(min), 1 / d, 0.5F, most);
        sc_put16(dst, _cvtss_sh(d, 0));
        sc_put16(dst + 2, _cvtss_sh(min, 0));
        if (fives)
            store_fives_avx2(dst + 4, q);
        else
            store_nibbles_avx2(dst + 4, q);
    }
}

SC_TARGET_AVX2 void sc_encode_q4_1_avx2(const float *x, uint8_t *dst, size_t n)
{
    ranged_avx2(x, dst, n, 15, 15, false);
}

SC_TARGET_AVX2 void sc_encode_q5_1_avx2(const float *x, uint8_t *dst, size_t n)
{
    ranged_avx2(x, dst, n, 31, 255, true);
}

/* E2M1 codes of 8 values: how many decision points, counted in the unit of d, lie below |x|; a tie
 * goes to the smaller level. There is no code for -0. */
SC_INLINE_AVX2 __m256i e2m1_avx2(__m256 x, __m256 d)
{
    static const float points[7] = {0.5F, 1.5F, 2.5F, 3.5F, 5, 7, 10};
    const __m256 a = ABS8(x);
    __m256i code = _mm256_setzero_si256();
    for (size_t i = 0; i < 7; i++) {
        const __m256 point = _mm256_mul_ps(_mm256_set1_ps(points[i]), d);
        const __m256 above = _mm256_cmp_ps(a, point, _CMP_GT_OQ);
        code = _mm256_sub_epi32(code, _mm256_castps_si256(above));
    }
    const __m256i sign =
        _mm256_and_si256(_mm256_srli_epi32(_mm256_castps_si256(x), 28), _mm256_set1_epi32(8));
    return _mm256_or_si256(
        code, _mm256_and_si256(sign, _mm256_cmpgt_epi32(code, _mm256_setzero_si256())));
}

SC_TARGET_AVX2 void sc_encode_mxfp4_avx2(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 17) {
        __m256 v[4];
        __m256i q[4];
        load32_avx2(v, x);
        const uint32_t amax = amax32_avx2(v);
        if (!is_plain(amax)) {
            sc_encode_mxfp4(x, dst, 1);
            continue;
        }
        dst[0] = mxfp4_scale(amax);
        const __m256 d = _mm256_set1_ps(sc_e8m0_half(dst[0]));
        for (size_t i = 0; i < 4; i++)
            q[i] = e2m1_avx2(v[i], d);
        store_nibbles_avx2(dst + 1, q);
    }
}

/* 16 values whose scale is not 0 and not far too small for them, or no codes but 0. */
SC_INLINE_AVX2 bool sub_block_avx2(const float *x, uint8_t *scale, uint8_t *dst)
{
    const __m256 a = _mm256_loadu_ps(x), b = _mm256_loadu_ps(x + 8);
    const uint32_t bits = max8(larger(_mm256_castps_si256(ABS8(a)), b));
    if (bits >= 0x45000000) /* 2048 */
        return false;
    *scale = sc_ue4m3_nearest(sc_float_of(bits) / 6);
    const float half_scale = sc_ue4m3_half[*scale];
    const __m256 d = _mm256_set1_ps(*scale ? half_scale : 0x1p100F);
    const __m256i low = e2m1_avx2(a, d), high = e2m1_avx2(b, d);
    const __m256i both = _mm256_or_si256(low, _mm256_slli_epi32(high, 4));
    _mm_storel_epi64((__m128i *)(void *)dst, bytes16(both, both));
    return true;
}

SC_TARGET_AVX2 void sc_encode_nvfp4_avx2(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 64, dst += 36) {
        bool done = true;
        for (size_t s = 0; done && s < 4; s++)
            done = sub_block_avx2(x + 16 * s, dst + s, dst + 4 + 8 * s);
        if (!done)
            sc_encode_nvfp4(x, dst, 1);
    }
}

/* ---------------------------------------------------------------------------------- AVX-512 */

SC_INLINE_AVX512 uint32_t amax32_avx512(__m512 a, __m512 b)
{
    const __m512i m = _mm512_max_epi32(_mm512_castps_si512(_mm512_abs_ps(a)),
                                       _mm512_castps_si512(_mm512_abs_ps(b)));
    return max8(_mm256_max_epi32(_mm512_castsi512_si256(m), _mm512_extracti64x4_epi64(m, 1)));
}
SC_INLINE_AVX512 float first_of_avx512(const float *x, __m512 a, __m512 b, uint32_t bits)
{
    const __m512i most = _mm512_set1_epi32((int)bits);
    const __mmask16 m = _mm512_cmpeq_epi32_mask(_mm512_castps_si512(_mm512_abs_ps(a)), most);
    const __mmask16 k = _mm512_cmpeq_epi32_mask(_mm512_castps_si512(_mm512_abs_ps(b)), most);
    return x[__builtin_ctz((uint32_t)m | (uint32_t)k << 16)];
}
SC_INLINE_AVX512 void store_bytes_avx512(uint8_t *dst, __m512i v)
{
    _mm_storeu_si128((__m128i *)(void *)dst, _mm512_cvtepi32_epi8(v));
}
SC_INLINE_AVX512 void store_nibbles_avx512(uint8_t *dst, __m512i low, __m512i high)
{
    store_bytes_avx512(dst, _mm512_or_si512(low, _mm512_slli_epi32(high, 4)));
}

SC_INLINE_AVX512 __m512i round_away_avx512(__m512 y)
{
    const __m512i sign = _mm512_and_si512(_mm512_castps_si512(y), _mm512_set1_epi32(INT32_MIN));
    const __m512i half = _mm512_castps_si512(_mm512_set1_ps(SC_ALMOST_HALF));
    return _mm512_cvttps_epi32(_mm512_add_ps(y, _mm512_castsi512_ps(_mm512_or_si512(sign, half))));
}

SC_TARGET_AVX512 void sc_encode_q8_0_avx512(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 34) {
        const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
        const uint32_t amax = amax32_avx512(a, b);
        if (!is_plain(amax)) {
            sc_encode_q8_0(x, dst, 1);
            continue;
        }
        const float d = sc_float_of(amax) / 127;
        const __m512 scale = _mm512_set1_ps(1 / d);
        sc_put16(dst, _cvtss_sh(d, 0));
        store_bytes_avx512(dst + 2, round_away_avx512(_mm512_mul_ps(a, scale)));
        store_bytes_avx512(dst + 18, round_away_avx512(_mm512_mul_ps(b, scale)));
    }
}

SC_INLINE_AVX512 __m512i codes16_avx512(__m512 v, __m512 scale, float plus, int most)
{
    const __m512 y = _mm512_add_ps(_mm512_mul_ps(v, scale), _mm512_set1_ps(plus));
    return _mm512_min_epi32(_mm512_cvttps_epi32(y), _mm512_set1_epi32(most));
}
SC_INLINE_AVX512 void store_fives_avx512(uint8_t *dst, __m512i low, __m512i high)
{
    const __m512i fifth = _mm512_set1_epi32(16), nibble = _mm512_set1_epi32(15);
    const uint32_t fifths = (uint32_t)_mm512_test_epi32_mask(low, fifth) |
                            (uint32_t)_mm512_test_epi32_mask(high, fifth) << 16;
    memcpy(dst, &fifths, sizeof fifths);
    store_nibbles_avx512(dst + 4, _mm512_and_si512(low, nibble), _mm512_and_si512(high, nibble));
}

SC_TARGET_AVX512 void sc_encode_q4_0_avx512(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 18) {
        const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
        const uint32_t amax = amax32_avx512(a, b);
        if (!is_plain(amax)) {
            sc_encode_q4_0(x, dst, 1);
            continue;
        }
        const float d = first_of_avx512(x, a, b, amax) / -8;
        const __m512 scale = _mm512_set1_ps(1 / d);
        sc_put16(dst, _cvtss_sh(d, 0));
        store_nibbles_avx512(dst + 2, codes16_avx512(a, scale, 8.5F, 15),
                             codes16_avx512(b, scale, 8.5F, 15));
    }
}

SC_TARGET_AVX512 void sc_encode_q5_0_avx512(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 22) {
        const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
        const uint32_t amax = amax32_avx512(a, b);
        if (!is_plain(amax)) {
            sc_encode_q5_0(x, dst, 1);
            continue;
        }
        const float d = first_of_avx512(x, a, b, amax) / -16;
        const __m512 scale = _mm512_set1_ps(1 / d);
        sc_put16(dst, _cvtss_sh(d, 0));
        store_fives_avx512(dst + 2, codes16_avx512(a, scale, 16.5F, 31),
                           codes16_avx512(b, scale, 16.5F, 31));
    }
}

SC_INLINE_AVX512 __m512i e2m1_avx512(__m512 x, __m512 d)
{
    static const float points[7] = {0.5F, 1.5F, 2.5F, 3.5F, 5, 7, 10};
    const __m512 a = _mm512_abs_ps(x);
    const __m512i one = _mm512_set1_epi32(1);
    __m512i code = _mm512_setzero_si512();
    for (size_t i = 0; i < 7; i++) {
        const __m512 point = _mm512_mul_ps(_mm512_set1_ps(points[i]), d);
        code = _mm512_mask_add_epi32(code, _mm512_cmp_ps_mask(a, point, _CMP_GT_OQ), code, one);
    }
    const __m512i eight = _mm512_set1_epi32(8);
    const __m512i sign = _mm512_and_si512(_mm512_srli_epi32(_mm512_castps_si512(x), 28), eight);
    return _mm512_mask_or_epi32(code, _mm512_test_epi32_mask(code, code), code, sign);
}

SC_TARGET_AVX512 void sc_encode_mxfp4_avx512(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 32, dst += 17) {
        const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
        const uint32_t amax = amax32_avx512(a, b);
        if (!is_plain(amax)) {
            sc_encode_mxfp4(x, dst, 1);
            continue;
        }
        dst[0] = mxfp4_scale(amax);
        const __m512 d = _mm512_set1_ps(sc_e8m0_half(dst[0]));
        store_nibbles_avx512(dst + 1, e2m1_avx512(a, d), e2m1_avx512(b, d));
    }
}

SC_INLINE_AVX512 bool sub_block_avx512(const float *x, uint8_t *scale, uint8_t *dst)
{
    const __m512 v = _mm512_loadu_ps(x);
    const __m512i a = _mm512_castps_si512(_mm512_abs_ps(v));
    const uint32_t bits =
        max8(_mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1)));
    if (bits >= 0x45000000) /* 2048 */
        return false;
    *scale = sc_ue4m3_nearest(sc_float_of(bits) / 6);
    const float half_scale = sc_ue4m3_half[*scale];
    const __m128i codes =
        _mm512_cvtepi32_epi8(e2m1_avx512(v, _mm512_set1_ps(*scale ? half_scale : 0x1p100F)));
    const __m128i high = _mm_slli_epi16(_mm_srli_si128(codes, 8), 4);
    _mm_storel_epi64((__m128i *)(void *)dst, _mm_or_si128(codes, high));
    return true;
}

SC_TARGET_AVX512 void sc_encode_nvfp4_avx512(const float *x, uint8_t *dst, size_t n)
{
    for (; n > 0; n--, x += 64, dst += 36) {
        bool done = true;
        for (size_t s = 0; done && s < 4; s++)
            done = sub_block_avx512(x + 16 * s, dst + s, dst + 4 + 8 * s);
        if (!done)
            sc_encode_nvfp4(x, dst, 1);
    }
}

#endif /* SC_HAVE_X86 */
