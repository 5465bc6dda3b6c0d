/* SPDX-License-Identifier: Apache-2.0 */
/* encode_fit_x86: the fits of encode_fit.h with AVX2 and AVX-512: encode_fit_body.h over the
 * operations of kernel/lanes_x86.h. */
#include "codec/encode_fit.h"
#include "codec/levels_x86.h"
#include "kernel/lanes_x86.h"

#if SC_HAVE_X86

static const float iq4_levels[16] = {SC_IQ4_LEVELS};
static const float iq4_above[16] = {SC_IQ4_ABOVE};

/* To nearest even, of numbers below 2^22: what is added leaves no bits for a fraction. */
#define FAR FIT(all)(sc_bits_of(0x1.8p23F))

SC_INLINE_AVX2 void fit_bytes_avx2(uint8_t *dst, struct sc_lanes2 x)
{
    const __m256i a = _mm256_cvttps_epi32(_mm256_castsi256_ps(x.a));
    const __m256i b = _mm256_cvttps_epi32(_mm256_castsi256_ps(x.b));
    const __m256i v = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    _mm_storeu_si128((__m128i *)(void *)dst,
                     _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
}
SC_INLINE_AVX2 __m256i nearest_iq4(__m256i x)
{
    const __m256i i = climb16_avx2(iq4_above, _mm256_castsi256_ps(x));
    return _mm256_castps_si256(entry16_avx2(iq4_levels, i));
}
SC_INLINE_AVX2 struct sc_lanes2 fit_iq4_avx2(struct sc_lanes2 x)
{
    return (struct sc_lanes2){nearest_iq4(x.a), nearest_iq4(x.b)};
}

SC_INLINE_AVX512 void fit_bytes_avx512(uint8_t *dst, __m512i x)
{
    const __m512i v = _mm512_cvttps_epi32(_mm512_castsi512_ps(x));
    _mm_storeu_si128((__m128i *)(void *)dst, _mm512_cvtepi32_epi8(v));
}
SC_INLINE_AVX512 __m512i fit_iq4_avx512(__m512i x)
{
    const __m512i i = climb16_avx512(iq4_above, _mm512_castsi512_ps(x));
    return _mm512_castps_si512(entry16_avx512(iq4_levels, i));
}

/* The operations of a level under the names that the body knows. */
#define fit_add        FIT(addf)
#define fit_sub        FIT(subf)
#define fit_mul        FIT(mulf)
#define fit_div        FIT(divf)
#define fit_min        FIT(minf)
#define fit_max        FIT(maxf)
#define fit_set(v)     FIT(all)(sc_bits_of(v))
#define fit_load       FIT(load)
#define fit_store      FIT(store)
#define fit_round(x)   fit_sub(fit_add(x, FAR), FAR)
#define fit_less(x, y) FIT(moref)(y, x)
#define fit_pick       FIT(pick)
#define fit_bytes      FIT(fit_bytes)
#define fit_iq4        FIT(fit_iq4)

#define lanes      struct sc_lanes2
#define lanes_mask struct sc_lanes2
#define FIT_TARGET SC_TARGET_AVX2
#define FIT(name)  name##_avx2
#include "codec/encode_fit_body.h"
#undef lanes
#undef lanes_mask
#undef FIT_TARGET
#undef FIT

#define lanes      __m512i
#define lanes_mask __mmask16
#define FIT_TARGET SC_TARGET_AVX512
#define FIT(name)  name##_avx512
#include "codec/encode_fit_body.h"

#endif /* SC_HAVE_X86 */
