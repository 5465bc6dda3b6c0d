/* SPDX-License-Identifier: Apache-2.0 */
/* decode_plain_x86: decode_plain.c for AVX2 and AVX-512, bit for bit.
 *
 * Each type has one function a level, which makes 8 (AVX2) or 16 (AVX-512) values of as many codes;
 * a loop that all share goes over them, and over a copy of the last few.
 *
 * Small floats take one of two ways. Shifted into the fields of an F16, whose conversion the
 * processor has: the value comes out too small by a power of two, the difference of the biases.
 * Or, where the exponents do not fit (E5M2FNUZ uses all 32) and for F6, by the formula of
 * decode_plain.c; subnormals never pass a float multiplication as subnormal floats, which would
 * cost a hundred cycles. */
#include "codec/decode_plain.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <string.h>

#define AVX2   SC_TARGET_AVX2 static inline
#define AVX512 SC_TARGET_AVX512 static inline

/* -------------------------------------------------------------------------- AVX2: 8 values --- */
AVX2 __m128i load128(const uint8_t *p)
{
    return _mm_loadu_si128((const void *)p);
}

AVX2 __m128i load64(const uint8_t *p)
{
    return _mm_loadl_epi64((const void *)p);
}

AVX2 __m256 f16_x8(const uint8_t *p)
{
    return _mm256_cvtph_ps(load128(p));
}

AVX2 __m256 c32_x8(const uint8_t *p)
{
    return f16_x8(p);
}

AVX2 __m256 bf16_x8(const uint8_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(p)), 16));
}

AVX2 __m256 u8_x8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load64(p)));
}

AVX2 __m256 i8_x8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load64(p)));
}

AVX2 __m256 u16_x8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(load128(p)));
}

AVX2 __m256 i16_x8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(load128(p)));
}

AVX2 __m256 bool_x8(const uint8_t *p)
{
    const __m256i zero =
        _mm256_cmpeq_epi32(_mm256_cvtepu8_epi32(load64(p)), _mm256_setzero_si256());
    return _mm256_andnot_ps(_mm256_castsi256_ps(zero), _mm256_set1_ps(1));
}

AVX2 __m256 f8_e5m2_x8(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_slli_epi16(_mm_cvtepu8_epi16(load64(p)), 8));
}

AVX2 __m256 f8_e4m3_x8(const uint8_t *p)
{
    const __m128i all = _mm_set1_epi16(0x7f), code = _mm_cvtepu8_epi16(load64(p));
    const __m128i mag = _mm_and_si128(code, all);
    const __m128i sign = _mm_slli_epi16(_mm_andnot_si128(all, code), 8);
    const __m128i value =
        _mm_blendv_epi8(_mm_slli_epi16(mag, 7), _mm_set1_epi16(0x7e00), _mm_cmpeq_epi16(mag, all));
    return _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(sign, value)), _mm256_set1_ps(0x1p8F));
}

AVX2 __m256 f8_e4m3fnuz_x8(const uint8_t *p)
{
    const __m128i top = _mm_set1_epi16(0x80), code = _mm_cvtepu8_epi16(load64(p));
    const __m128i mag = _mm_slli_epi16(_mm_andnot_si128(top, code), 7);
    const __m128i sign = _mm_slli_epi16(_mm_and_si128(top, code), 8);
    const __m128i value = _mm_blendv_epi8(_mm_or_si128(sign, mag), _mm_set1_epi16(0x7e00),
                                          _mm_cmpeq_epi16(code, top));
    return _mm256_mul_ps(_mm256_cvtph_ps(value), _mm256_set1_ps(0x1p7F));
}

/* magnitude() with the sign at bit `bits` - 1. */
AVX2 __m256 small_x8(__m256i code, int bits, int mantissa_bits, int bias)
{
    const __m256i mag = _mm256_and_si256(code, _mm256_set1_epi32((1 << (bits - 1)) - 1));
    const __m256i normal =
        _mm256_add_epi32(_mm256_sllv_epi32(mag, _mm256_set1_epi32(23 - mantissa_bits)),
                         _mm256_set1_epi32((127 - bias) << 23));
    const __m256i unit = _mm256_set1_epi32((127 + 1 - bias - mantissa_bits) << 23);
    const __m256 below = _mm256_mul_ps(_mm256_cvtepi32_ps(mag), _mm256_castsi256_ps(unit));
    const __m256i is_below = _mm256_cmpgt_epi32(_mm256_set1_epi32(1 << mantissa_bits), mag);
    const __m256i sign = _mm256_and_si256(_mm256_sllv_epi32(code, _mm256_set1_epi32(32 - bits)),
                                          _mm256_set1_epi32(INT32_MIN));
    const __m256 value =
        _mm256_blendv_ps(_mm256_castsi256_ps(normal), below, _mm256_castsi256_ps(is_below));
    return _mm256_or_ps(value, _mm256_castsi256_ps(sign));
}

AVX2 __m256 f8_e5m2fnuz_x8(const uint8_t *p)
{
    const __m256i code = _mm256_cvtepu8_epi32(load64(p));
    const __m256i is_nan = _mm256_cmpeq_epi32(code, _mm256_set1_epi32(0x80));
    return _mm256_blendv_ps(small_x8(code, 8, 2, 16),
                            _mm256_castsi256_ps(_mm256_set1_epi32((int)SC_NAN_BITS)),
                            _mm256_castsi256_ps(is_nan));
}

AVX2 __m256 f8_e8m0_x8(const uint8_t *p)
{
    const __m256i code = _mm256_cvtepu8_epi32(load64(p));
    const __m256i special = _mm256_or_si256(_mm256_cmpeq_epi32(code, _mm256_setzero_si256()),
                                            _mm256_cmpeq_epi32(code, _mm256_set1_epi32(0xff)));
    return _mm256_castsi256_ps(_mm256_or_si256(
        _mm256_slli_epi32(code, 23), _mm256_and_si256(special, _mm256_set1_epi32(1 << 22))));
}

/* Eight codes of six bytes. */
AVX2 __m256i f6_codes_x8(const uint8_t *p)
{
    const uint64_t six = sc_le32(p) | (uint64_t)sc_le16(p + 4) << 32;
    const __m256i shift = _mm256_setr_epi32(0, 6, 12, 18, 0, 6, 12, 18);
    const __m256i halves =
        _mm256_setr_epi32((int)six, (int)six, (int)six, (int)six, (int)(six >> 24),
                          (int)(six >> 24), (int)(six >> 24), (int)(six >> 24));
    return _mm256_srlv_epi32(halves, shift);
}

AVX2 __m256 f6_e2m3_x8(const uint8_t *p)
{
    return small_x8(f6_codes_x8(p), 6, 3, 1);
}

AVX2 __m256 f6_e3m2_x8(const uint8_t *p)
{
    return small_x8(f6_codes_x8(p), 6, 2, 3);
}

/* Every byte in both halves of 64 bits, the upper one 4 bits lower: a code in the low bits of each
 * 32. The lookup sees only the low three, the shift leaves only bit 3. */
AVX2 __m256 f4_x8(const uint8_t *p)
{
    const __m256 magnitudes = _mm256_setr_ps(0, 0.5F, 1, 1.5F, 2, 3, 4, 6);
    const __m256i bytes = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128((int)sc_le32(p)));
    const __m256i code = _mm256_or_si256(bytes, _mm256_slli_epi64(bytes, 28));
    const __m256i sign =
        _mm256_and_si256(_mm256_slli_epi32(code, 28), _mm256_set1_epi32(INT32_MIN));
    return _mm256_or_ps(_mm256_permutevar8x32_ps(magnitudes, code), _mm256_castsi256_ps(sign));
}

/* ---------------------------------------------------------------------- AVX-512: 16 values --- */
AVX512 __m256i load256(const uint8_t *p)
{
    return _mm256_loadu_si256((const void *)p);
}

AVX512 __m512 f16_x16(const uint8_t *p)
{
    return _mm512_cvtph_ps(load256(p));
}

AVX512 __m512 c32_x16(const uint8_t *p)
{
    return f16_x16(p);
}

AVX512 __m512 bf16_x16(const uint8_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load256(p)), 16));
}

AVX512 __m512 u8_x16(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load128(p)));
}

AVX512 __m512 i8_x16(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load128(p)));
}

AVX512 __m512 u16_x16(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(load256(p)));
}

AVX512 __m512 i16_x16(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(load256(p)));
}

AVX512 __m512 bool_x16(const uint8_t *p)
{
    const __m128i bytes = load128(p);
    return _mm512_maskz_mov_ps(_mm_test_epi8_mask(bytes, bytes), _mm512_set1_ps(1));
}

AVX512 __m512 f8_e5m2_x16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(load128(p)), 8));
}

AVX512 __m512 f8_e4m3_x16(const uint8_t *p)
{
    const __m256i all = _mm256_set1_epi16(0x7f), code = _mm256_cvtepu8_epi16(load128(p));
    const __m256i mag = _mm256_and_si256(code, all);
    const __m256i sign = _mm256_slli_epi16(_mm256_andnot_si256(all, code), 8);
    const __m256i value = _mm256_mask_mov_epi16(
        _mm256_slli_epi16(mag, 7), _mm256_cmpeq_epi16_mask(mag, all), _mm256_set1_epi16(0x7e00));
    return _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(sign, value)), _mm512_set1_ps(0x1p8F));
}

AVX512 __m512 f8_e4m3fnuz_x16(const uint8_t *p)
{
    const __m256i top = _mm256_set1_epi16(0x80), code = _mm256_cvtepu8_epi16(load128(p));
    const __m256i mag = _mm256_slli_epi16(_mm256_andnot_si256(top, code), 7);
    const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(top, code), 8);
    const __m256i value = _mm256_mask_mov_epi16(
        _mm256_or_si256(sign, mag), _mm256_cmpeq_epi16_mask(code, top), _mm256_set1_epi16(0x7e00));
    return _mm512_mul_ps(_mm512_cvtph_ps(value), _mm512_set1_ps(0x1p7F));
}

AVX512 __m512 small_x16(__m512i code, int bits, int mantissa_bits, int bias)
{
    const __m512i mag = _mm512_and_si512(code, _mm512_set1_epi32((1 << (bits - 1)) - 1));
    const __m512i normal =
        _mm512_add_epi32(_mm512_sllv_epi32(mag, _mm512_set1_epi32(23 - mantissa_bits)),
                         _mm512_set1_epi32((127 - bias) << 23));
    const __m512i unit = _mm512_set1_epi32((127 + 1 - bias - mantissa_bits) << 23);
    const __m512i sign = _mm512_and_si512(_mm512_sllv_epi32(code, _mm512_set1_epi32(32 - bits)),
                                          _mm512_set1_epi32(INT32_MIN));
    const __m512 value =
        _mm512_mask_mul_ps(_mm512_castsi512_ps(normal),
                           _mm512_cmplt_epi32_mask(mag, _mm512_set1_epi32(1 << mantissa_bits)),
                           _mm512_cvtepi32_ps(mag), _mm512_castsi512_ps(unit));
    return _mm512_or_ps(value, _mm512_castsi512_ps(sign));
}

AVX512 __m512 f8_e5m2fnuz_x16(const uint8_t *p)
{
    const __m512i code = _mm512_cvtepu8_epi32(load128(p));
    return _mm512_mask_mov_ps(small_x16(code, 8, 2, 16),
                              _mm512_cmpeq_epi32_mask(code, _mm512_set1_epi32(0x80)),
                              _mm512_castsi512_ps(_mm512_set1_epi32((int)SC_NAN_BITS)));
}

AVX512 __m512 f8_e8m0_x16(const uint8_t *p)
{
    const __m128i code = load128(p);
    const __mmask16 special = _mm_cmpeq_epi8_mask(code, _mm_setzero_si128()) |
                              _mm_cmpeq_epi8_mask(code, _mm_set1_epi8(-1));
    const __m512i value = _mm512_slli_epi32(_mm512_cvtepu8_epi32(code), 23);
    return _mm512_castsi512_ps(
        _mm512_mask_or_epi32(value, special, value, _mm512_set1_epi32(1 << 22)));
}

/* Sixteen codes of twelve bytes: a quarter of the register gets four codes in three bytes, four
 * times, each time shifted by another multiple of 6. */
AVX512 __m512i f6_codes_x16(const uint8_t *p)
{
    const __m512i spread = _mm512_setr_epi32(
        0x020100, 0x020100, 0x020100, 0x020100, 0x050403, 0x050403, 0x050403, 0x050403, 0x080706,
        0x080706, 0x080706, 0x080706, 0x0b0a09, 0x0b0a09, 0x0b0a09, 0x0b0a09);
    const __m512i shift = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 6, 12, 18));
    const __m512i twelve = _mm512_broadcast_i32x4(_mm_maskz_loadu_epi8(0x0fff, p));
    return _mm512_srlv_epi32(_mm512_shuffle_epi8(twelve, spread), shift);
}

AVX512 __m512 f6_e2m3_x16(const uint8_t *p)
{
    return small_x16(f6_codes_x16(p), 6, 3, 1);
}

AVX512 __m512 f6_e3m2_x16(const uint8_t *p)
{
    return small_x16(f6_codes_x16(p), 6, 2, 3);
}

/* As f4_x8(); the lookup sees the low four bits. */
AVX512 __m512 f4_x16(const uint8_t *p)
{
    const __m512 values =
        _mm512_setr_ps(0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6);
    const __m512i bytes = _mm512_cvtepu8_epi64(load64(p));
    return _mm512_permutexvar_ps(_mm512_or_si512(bytes, _mm512_slli_epi64(bytes, 28)), values);
}

/* ----------------------------------------------------------------------------------- loops ---
 * n blocks of `values` values, `bytes` bytes for every 16 values. What is left in the end is less
 * than a step; blocks are whole, so its bytes are, too. */
#define DECODER_AVX2(name, values, bytes)                                                          \
    SC_TARGET_AVX2 void sc_decode_##name##_avx2(const uint8_t *src, float *dst, size_t n)          \
    {                                                                                              \
        size_t left = n * (values);                                                                \
        for (; left >= 8; left -= 8, src += (bytes) / 2, dst += 8)                                 \
            _mm256_storeu_ps(dst, name##_x8(src));                                                 \
        if (left) {                                                                                \
            uint8_t in[16] = {0};                                                                  \
            float out[8];                                                                          \
            memcpy(in, src, left *(bytes) / 16);                                                   \
            _mm256_storeu_ps(out, name##_x8(in));                                                  \
            memcpy(dst, out, left * sizeof out[0]);                                                \
        }                                                                                          \
    }
SC_PLAIN_X86(DECODER_AVX2)

#define DECODER_AVX512(name, values, bytes)                                                        \
    SC_TARGET_AVX512 void sc_decode_##name##_avx512(const uint8_t *src, float *dst, size_t n)      \
    {                                                                                              \
        size_t left = n * (values);                                                                \
        for (; left >= 16; left -= 16, src += (bytes), dst += 16)                                  \
            _mm512_storeu_ps(dst, name##_x16(src));                                                \
        if (left) {                                                                                \
            uint8_t in[32] = {0};                                                                  \
            memcpy(in, src, left *(bytes) / 16);                                                   \
            _mm512_mask_storeu_ps(dst, (__mmask16)((1U << left) - 1), name##_x16(in));             \
        }                                                                                          \
    }
SC_PLAIN_X86(DECODER_AVX512)

#endif
