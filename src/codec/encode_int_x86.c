/* SPDX-License-Identifier: Apache-2.0 */
/* encode_int_x86: integers and levels with AVX2 and AVX-512, bit for bit as encode_int.c and
 * encode_levels.c. What is left at the end of a line is done in C. */
#include <float.h>
#include <math.h>

#include "codec/decode_ggml_x86.h"
#include "codec/encode_int.h"
#include "codec/levels_x86.h"

#if SC_HAVE_X86

/* Beyond this quotients are not told apart: it is far outside of all codes. */
#define LIMIT 0x1p20F
#define MAGIC 0x1.8p23F /* leaves no bits for a fraction */

SC_TARGET_AVX2 size_t sc_int_round_avx2(const struct sc_encoding *f, const struct sc_step *step,
                                        const float *x, size_t n, float *y)
{
    const struct sc_int_range r = sc_int_range(f, step);
    const __m256 scale = _mm256_set1_ps(step->scale), magic = _mm256_set1_ps(MAGIC);
    const __m256 low = _mm256_set1_ps(r.low), high = _mm256_set1_ps(r.high);
    const __m256 infinite = _mm256_set1_ps(INFINITY);
    size_t i = 0, full = 0;
    for (; step->inverse > 0 && i + 8 <= n; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i), q = _mm256_div_ps(v, scale);
        __m256 code = _mm256_min_ps(q, _mm256_set1_ps(LIMIT));
        code = _mm256_max_ps(code, _mm256_set1_ps(-LIMIT));
        code = _mm256_sub_ps(_mm256_add_ps(code, magic), magic);
        code = _mm256_and_ps(code, _mm256_cmp_ps(q, q, _CMP_ORD_Q));
        const __m256 held = _mm256_max_ps(_mm256_min_ps(code, high), low);
        const __m256 finite =
            _mm256_cmp_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0F), v), infinite, _CMP_LT_OQ);
        const __m256 lost = _mm256_and_ps(finite, _mm256_cmp_ps(held, code, _CMP_NEQ_OQ));
        full += (size_t)__builtin_popcount((unsigned)_mm256_movemask_ps(lost));
        const __m256 value = _mm256_min_ps(_mm256_mul_ps(held, scale), _mm256_set1_ps(FLT_MAX));
        _mm256_storeu_ps(y + i, _mm256_max_ps(value, _mm256_set1_ps(-FLT_MAX)));
    }
    return full + sc_int_round_c(f, step, x + i, n - i, y + i);
}

SC_TARGET_AVX512 size_t sc_int_round_avx512(const struct sc_encoding *f, const struct sc_step *step,
                                            const float *x, size_t n, float *y)
{
    const struct sc_int_range r = sc_int_range(f, step);
    const __m512 scale = _mm512_set1_ps(step->scale), magic = _mm512_set1_ps(MAGIC);
    const __m512 low = _mm512_set1_ps(r.low), high = _mm512_set1_ps(r.high);
    const __m512 infinite = _mm512_set1_ps(INFINITY);
    size_t i = 0, full = 0;
    for (; step->inverse > 0 && i + 16 <= n; i += 16) {
        const __m512 v = _mm512_loadu_ps(x + i), q = _mm512_div_ps(v, scale);
        __m512 code = _mm512_min_ps(q, _mm512_set1_ps(LIMIT));
        code = _mm512_max_ps(code, _mm512_set1_ps(-LIMIT));
        code = _mm512_sub_ps(_mm512_add_ps(code, magic), magic);
        code = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(q, q, _CMP_ORD_Q), code);
        const __m512 held = _mm512_max_ps(_mm512_min_ps(code, high), low);
        const __mmask16 finite = _mm512_cmp_ps_mask(_mm512_abs_ps(v), infinite, _CMP_LT_OQ);
        const __mmask16 lost = _mm512_mask_cmp_ps_mask(finite, held, code, _CMP_NEQ_OQ);
        full += (size_t)__builtin_popcount(lost);
        const __m512 value = _mm512_min_ps(_mm512_mul_ps(held, scale), _mm512_set1_ps(FLT_MAX));
        _mm512_storeu_ps(y + i, _mm512_max_ps(value, _mm512_set1_ps(-FLT_MAX)));
    }
    return full + sc_int_round_c(f, step, x + i, n - i, y + i);
}

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
