/* SPDX-License-Identifier: Apache-2.0 */
/* encode_fit_x86: the fits of encode_fit.h with AVX2 and AVX-512. */
#include "codec/encode_fit.h"
#include "codec/levels_x86.h"

#if SC_HAVE_X86

static const float iq4_levels[16] = {SC_IQ4_LEVELS};
/* What lies above above[i] is nearest to level i + 1 or higher. */
static const float iq4_above[16] = {SC_IQ4_ABOVE, 0};

/* ------------------------------------------------------------------------------------- AVX2 */

struct lanes_avx2 {
    __m256 a, b;
};
#define OP SC_INLINE_AVX2 struct lanes_avx2
#define TWO(name, f)                                                                               \
    OP name##_avx2(struct lanes_avx2 x, struct lanes_avx2 y)                                       \
    {                                                                                              \
        return (struct lanes_avx2){f(x.a, y.a), f(x.b, y.b)};                                      \
    }
TWO(fit_add, _mm256_add_ps)
TWO(fit_sub, _mm256_sub_ps)
TWO(fit_mul, _mm256_mul_ps)
TWO(fit_div, _mm256_div_ps)
TWO(fit_min, _mm256_min_ps)
TWO(fit_max, _mm256_max_ps)
#define LESS(a, b) _mm256_cmp_ps(a, b, _CMP_LT_OQ)
TWO(fit_less, LESS)
#undef TWO
#undef LESS

OP fit_set_avx2(float v)
{
    return (struct lanes_avx2){_mm256_set1_ps(v), _mm256_set1_ps(v)};
}
OP fit_load_avx2(const float *p)
{
    return (struct lanes_avx2){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
SC_INLINE_AVX2 void fit_store_avx2(float *p, struct lanes_avx2 x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
OP fit_round_avx2(struct lanes_avx2 x)
{
    const struct lanes_avx2 far = fit_set_avx2(0x1.8p23F);
    return fit_sub_avx2(fit_add_avx2(x, far), far);
}
OP fit_pick_avx2(struct lanes_avx2 m, struct lanes_avx2 x, struct lanes_avx2 y)
{
    return (struct lanes_avx2){_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)};
}
SC_INLINE_AVX2 void fit_bytes_avx2(uint8_t *dst, struct lanes_avx2 x)
{
    const __m256i v = _mm256_packs_epi32(_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b));
    const __m256i w = _mm256_permute4x64_epi64(v, 0xd8);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
    _mm_storeu_si128((__m128i *)(void *)dst, bytes);
}

SC_INLINE_AVX2 __m256 nearest_iq4(__m256 x)
{
    return entry16_avx2(iq4_levels, climb16_avx2(iq4_above, x));
}
OP fit_iq4_avx2(struct lanes_avx2 x)
{
    return (struct lanes_avx2){nearest_iq4(x.a), nearest_iq4(x.b)};
}
#undef OP

/* ---------------------------------------------------------------------------------- AVX-512 */

#define OP SC_INLINE_AVX512 __m512
#define TWO(name, f)                                                                               \
    OP name##_avx512(__m512 x, __m512 y)                                                           \
    {                                                                                              \
        return f(x, y);                                                                            \
    }
TWO(fit_add, _mm512_add_ps)
TWO(fit_sub, _mm512_sub_ps)
TWO(fit_mul, _mm512_mul_ps)
TWO(fit_div, _mm512_div_ps)
TWO(fit_min, _mm512_min_ps)
TWO(fit_max, _mm512_max_ps)
#undef TWO

OP fit_set_avx512(float v)
{
    return _mm512_set1_ps(v);
}
OP fit_load_avx512(const float *p)
{
    return _mm512_loadu_ps(p);
}
SC_INLINE_AVX512 void fit_store_avx512(float *p, __m512 x)
{
    _mm512_storeu_ps(p, x);
}
OP fit_round_avx512(__m512 x)
{
    const __m512 far = _mm512_set1_ps(0x1.8p23F);
    return _mm512_sub_ps(_mm512_add_ps(x, far), far);
}
SC_INLINE_AVX512 __mmask16 fit_less_avx512(__m512 x, __m512 y)
{
    return _mm512_cmp_ps_mask(x, y, _CMP_LT_OQ);
}
OP fit_pick_avx512(__mmask16 m, __m512 x, __m512 y)
{
    return _mm512_mask_blend_ps(m, y, x);
}
SC_INLINE_AVX512 void fit_bytes_avx512(uint8_t *dst, __m512 x)
{
    _mm_storeu_si128((__m128i *)(void *)dst, _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(x)));
}
OP fit_iq4_avx512(__m512 x)
{
    return entry16_avx512(iq4_levels, climb16_avx512(iq4_above, x));
}
#undef OP

/* The body, with the functions of a level under the names that it knows. */
#define fit_add   FIT(fit_add)
#define fit_sub   FIT(fit_sub)
#define fit_mul   FIT(fit_mul)
#define fit_div   FIT(fit_div)
#define fit_min   FIT(fit_min)
#define fit_max   FIT(fit_max)
#define fit_set   FIT(fit_set)
#define fit_load  FIT(fit_load)
#define fit_store FIT(fit_store)
#define fit_round FIT(fit_round)
#define fit_less  FIT(fit_less)
#define fit_pick  FIT(fit_pick)
#define fit_bytes FIT(fit_bytes)
#define fit_iq4   FIT(fit_iq4)

#define lanes      struct lanes_avx2
#define lanes_mask struct lanes_avx2
#define FIT_TARGET SC_TARGET_AVX2
#define FIT(name)  name##_avx2
#include "codec/encode_fit_body.h"
#undef lanes
#undef lanes_mask
#undef FIT_TARGET
#undef FIT

#define lanes      __m512
#define lanes_mask __mmask16
#define FIT_TARGET SC_TARGET_AVX512
#define FIT(name)  name##_avx512
#include "codec/encode_fit_body.h"

#endif /* SC_HAVE_X86 */
