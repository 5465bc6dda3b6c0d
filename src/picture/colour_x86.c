/* SPDX-License-Identifier: Apache-2.0 */
/* colour_x86: sc_colours_apply() with AVX-512, pixel by pixel as in colour.c. */
#include "picture/colour_parts.h"

#if SC_HAVE_X86
#include <immintrin.h>

SC_TARGET_AVX512 size_t sc_colours_apply_avx512(const struct sc_colours *c, const uint32_t *pixels,
                                                size_t n, uint8_t *out)
{
    const __m512i half = _mm512_set1_epi32(0xffff), one = _mm512_set1_epi32(1);
    const __m512i ask = _mm512_set1_epi32(SC_COLOUR_ASK),
                  falls = _mm512_set1_epi32(SC_COLOUR_FALLS);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512i p = _mm512_loadu_si512(pixels + i);
        const __m512i lower = _mm512_and_si512(p, half);
        __m512i entry = _mm512_i32gather_epi32(_mm512_srli_epi32(p, 16), c->of, 4);
        const __mmask16 behind =
            _mm512_cmpgt_epu32_mask(lower, _mm512_srli_epi32(entry, SC_COLOUR_LAST));
        const __mmask16 down = _mm512_test_epi32_mask(entry, falls);
        if (_mm512_mask_test_epi32_mask(_mm512_test_epi32_mask(entry, ask), lower, lower))
            break;
        entry = _mm512_mask_add_epi32(entry, behind & (__mmask16)~down, entry, one);
        entry = _mm512_mask_sub_epi32(entry, behind & down, entry, one);
        _mm_storeu_si128((void *)(out + i), _mm512_cvtepi32_epi8(entry));
    }
    return i;
}
#else
typedef int sc_no_x86; /* a file needs a declaration */
#endif
