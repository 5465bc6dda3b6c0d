/* SPDX-License-Identifier: Apache-2.0 */
/* levels_x86: the nearest of 16 levels, for many numbers at once. Private to codec.
 *
 * A number above above[i] (15 of 16 are looked at) is nearest to level i + 1 or a higher one, so
 * four comparisons find its level. */
#ifndef SC_CODEC_LEVELS_X86_H
#define SC_CODEC_LEVELS_X86_H

#include "codec/decode_ggml_x86.h"

#if SC_HAVE_X86

/* Entry i of 16. */
SC_INLINE_AVX2 __m256 entry16_avx2(const float *table, __m256i i)
{
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), i);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), i);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(i, 28)));
}
/* i + step where x is above boundary i + step - 1. */
SC_INLINE_AVX2 __m256i climb_avx2(const float *above, __m256 x, __m256i i, int step)
{
    const __m256i at = _mm256_add_epi32(i, _mm256_set1_epi32(step - 1));
    const __m256 yes = _mm256_cmp_ps(x, entry16_avx2(above, at), _CMP_GT_OQ);
    return _mm256_add_epi32(i, _mm256_and_si256(_mm256_castps_si256(yes), _mm256_set1_epi32(step)));
}
SC_INLINE_AVX2 __m256i climb16_avx2(const float *above, __m256 x)
{
    const __m256 upper = _mm256_cmp_ps(x, _mm256_broadcast_ss(above + 7), _CMP_GT_OQ);
    __m256i i = _mm256_and_si256(_mm256_castps_si256(upper), _mm256_set1_epi32(8));
    i = climb_avx2(above, x, i, 4);
    i = climb_avx2(above, x, i, 2);
    return climb_avx2(above, x, i, 1);
}

SC_INLINE_AVX512 __m512 entry16_avx512(const float *table, __m512i i)
{
    return _mm512_permutexvar_ps(i, _mm512_loadu_ps(table));
}
SC_INLINE_AVX512 __m512i climb_avx512(const float *above, __m512 x, __m512i i, int step)
{
    const __m512i at = _mm512_add_epi32(i, _mm512_set1_epi32(step - 1));
    const __mmask16 yes = _mm512_cmp_ps_mask(x, entry16_avx512(above, at), _CMP_GT_OQ);
    return _mm512_mask_add_epi32(i, yes, i, _mm512_set1_epi32(step));
}
SC_INLINE_AVX512 __m512i climb16_avx512(const float *above, __m512 x)
{
    __m512i i = climb_avx512(above, x, _mm512_setzero_si512(), 8);
    i = climb_avx512(above, x, i, 4);
    i = climb_avx512(above, x, i, 2);
    return climb_avx512(above, x, i, 1);
}

#endif /* SC_HAVE_X86 */
#endif
