/* SPDX-License-Identifier: Apache-2.0 */
/* encode_levels_x86: levels with AVX2 and AVX-512, bit for bit as encode_levels.c. What is left at
 * the end of a line is done in C. */
#include <math.h>

#include "codec/decode_ggml_x86.h"
#include "codec/encode_int.h"
#include "codec/levels_x86.h"

#if SC_HAVE_X86

SC_TARGET_AVX2 void sc_levels_round_avx2(const struct sc_levels *t, const float *x, size_t n,
                                         float by, float scale, float *y)
{
    const __m256 zero = _mm256_set1_ps(t->level[t->zero]);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(by));
        const __m256 level = entry16_avx2(t->level, climb16_avx2(t->above, v));
        const __m256 number = _mm256_cmp_ps(v, v, _CMP_ORD_Q);
        const __m256 held = _mm256_blendv_ps(zero, level, number);
        _mm256_storeu_ps(y + i, _mm256_mul_ps(held, _mm256_set1_ps(scale)));
    }
    sc_levels_round_c(t, x + i, n - i, by, scale, y + i);
}

SC_TARGET_AVX512 void sc_levels_round_avx512(const struct sc_levels *t, const float *x, size_t n,
                                             float by, float scale, float *y)
{
    const __m512 zero = _mm512_set1_ps(t->level[t->zero]);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(by));
        const __m512 level = entry16_avx512(t->level, climb16_avx512(t->above, v));
        const __mmask16 number = _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q);
        const __m512 held = _mm512_mask_mov_ps(zero, number, level);
        _mm512_storeu_ps(y + i, _mm512_mul_ps(held, _mm512_set1_ps(scale)));
    }
    sc_levels_round_c(t, x + i, n - i, by, scale, y + i);
}

#endif /* SC_HAVE_X86 */
