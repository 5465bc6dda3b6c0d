/* SPDX-License-Identifier: Apache-2.0 */
/* decode_ggml_x86: what the SIMD variants of GGML decoders are made of.
 *
 * A block is decoded in two steps. Its codes become signed bytes in the order of the values, in 32
 * bytes at a time, which is the same for both levels; then bytes become floats, 8 or 16 at a time
 * (put16...). The bytes go through memory as that costs fewer shuffles than taking a register
 * apart. AVX-512 has a shorter way for codes of up to 4 bits: it looks the products up in a
 * register of 16 floats (nibbles...).
 */
#ifndef SC_CODEC_DECODE_GGML_X86_H
#define SC_CODEC_DECODE_GGML_X86_H

#include "codec/decode_ggml.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <string.h>

#define SC_INLINE_AVX2   SC_TARGET_AVX2 static inline __attribute__((always_inline))
#define SC_INLINE_AVX512 SC_TARGET_AVX512 static inline __attribute__((always_inline))

/* -------------------------------------------------------------------- both: bytes and scales */

SC_INLINE_AVX2 __m128i load16(const void *p)
{
    return _mm_loadu_si128(p);
}
SC_INLINE_AVX2 __m256i load32(const void *p)
{
    return _mm256_loadu_si256(p);
}
SC_INLINE_AVX2 void store32(void *p, __m256i v)
{
    _mm256_storeu_si256(p, v);
}
SC_INLINE_AVX2 uint32_t load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
SC_INLINE_AVX2 uint64_t load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

SC_INLINE_AVX2 float half_at(const uint8_t *p)
{
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return _cvtsh_ss(bits);
}

/* Bits of every byte that `mask` keeps, moved by a constant: those that cross into the next byte
 * must not be kept. */
SC_INLINE_AVX2 __m256i keep(__m256i v, uint8_t mask)
{
    return _mm256_and_si256(v, _mm256_set1_epi8((char)mask));
}
#define SC_UP(v, bits, mask)   keep(_mm256_slli_epi16(v, bits), mask)
#define SC_DOWN(v, bits, mask) keep(_mm256_srli_epi16(v, bits), mask)

SC_INLINE_AVX2 __m256i sub8(__m256i v, int8_t less)
{
    return _mm256_sub_epi8(v, _mm256_set1_epi8(less));
}

/* 16 bytes of nibbles to codes in order: low halves, then high halves. */
SC_INLINE_AVX2 __m256i nibbles16(const uint8_t *p)
{
    const __m128i v = load16(p);
    return keep(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), 15);
}

/* All bits of byte i are bit i of `bits`. */
SC_INLINE_AVX2 __m256i spread_bits(uint32_t bits)
{
    const __m256i byte =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte);
    return _mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit);
}

/* ------------------------------------------------------------------------------------- AVX2 */

SC_INLINE_AVX2 __m256 floats8(const void *codes)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(codes)));
}
SC_INLINE_AVX2 void put16_avx2(float *dst, const void *codes, const float *d)
{
    const int8_t *c = codes;
    const __m256 scale = _mm256_broadcast_ss(d);
    _mm256_storeu_ps(dst, _mm256_mul_ps(floats8(c), scale));
    _mm256_storeu_ps(dst + 8, _mm256_mul_ps(floats8(c + 8), scale));
}
SC_INLINE_AVX2 void put16_less_avx2(float *dst, const void *codes, const float *d,
                                    const float *less)
{
    const int8_t *c = codes;
    const __m256 scale = _mm256_broadcast_ss(d), m = _mm256_broadcast_ss(less);
    _mm256_storeu_ps(dst, _mm256_sub_ps(_mm256_mul_ps(floats8(c), scale), m));
    _mm256_storeu_ps(dst + 8, _mm256_sub_ps(_mm256_mul_ps(floats8(c + 8), scale), m));
}
SC_INLINE_AVX2 void put32_avx2(float *dst, __m256i codes, const float *d)
{
    int8_t c[32];
    store32(c, codes);
    put16_avx2(dst, c, d);
    put16_avx2(dst + 16, c + 16, d);
}
SC_INLINE_AVX2 void put32_less_avx2(float *dst, __m256i codes, const float *d, const float *less)
{
    int8_t c[32];
    store32(c, codes);
    put16_less_avx2(dst, c, d, less);
    put16_less_avx2(dst + 16, c + 16, d, less);
}

/* ---------------------------------------------------------------------------------- AVX-512 */

SC_INLINE_AVX512 __m512 floats16(const void *codes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load16(codes)));
}
SC_INLINE_AVX512 void put16_avx512(float *dst, const void *codes, const float *d)
{
    _mm512_storeu_ps(dst, _mm512_mul_ps(floats16(codes), _mm512_set1_ps(*d)));
}
SC_INLINE_AVX512 void put16_less_avx512(float *dst, const void *codes, const float *d,
                                        const float *less)
{
    const __m512 product = _mm512_mul_ps(floats16(codes), _mm512_set1_ps(*d));
    _mm512_storeu_ps(dst, _mm512_sub_ps(product, _mm512_set1_ps(*less)));
}

/* The half at p in all lanes. */
SC_INLINE_AVX512 __m512 halves_at(const uint8_t *p)
{
    int16_t bits;
    memcpy(&bits, p, sizeof bits);
    return _mm512_cvtph_ps(_mm256_set1_epi16(bits));
}
/* 16 bytes as indices; a lookup takes the low 4 bits of each. */
SC_INLINE_AVX512 __m512i indices16(const uint8_t *p)
{
    return _mm512_cvtepu8_epi32(load16(p));
}
SC_INLINE_AVX512 void lookup_avx512(float *dst, __m512i index, __m512 table)
{
    _mm512_storeu_ps(dst, _mm512_permutexvar_ps(index, table));
}
/* 32 values in order from 16 bytes of nibbles. */
SC_INLINE_AVX512 void put_nibbles_avx512(float *dst, const uint8_t *p, __m512 table)
{
    const __m512i v = indices16(p);
    lookup_avx512(dst, v, table);
    lookup_avx512(dst + 16, _mm512_srli_epi32(v, 4), table);
}

#endif /* SC_HAVE_X86 */
#endif
