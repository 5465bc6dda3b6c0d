/* SPDX-License-Identifier: Apache-2.0 */
/* deflate_x86: words of literals in AVX-512, bit for bit as in deflate.c. */
#include "picture/deflate.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <string.h>

/* Shifts by a register and counting bits, which every processor with AVX-512 has, too. */
#define SC_TARGET_SHIFTS                                                                           \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi2,popcnt")))

/* The words of symbols beside each other become one, and their lengths are added. */
struct words {
    __m512i word, bits;
};

SC_TARGET_SHIFTS static inline struct words pairs_of(__m512i table)
{
    const __m512i low = _mm512_set1_epi64(255), mid = _mm512_set1_epi64(0xffffff00);
    const __m512i first = _mm512_srli_epi64(_mm512_and_si512(table, mid), 8);
    const __m512i n = _mm512_and_si512(table, low);
    const __m512i m = _mm512_and_si512(_mm512_srli_epi64(table, 32), low);
    return (struct words){
        _mm512_or_si512(first, _mm512_sllv_epi64(_mm512_srli_epi64(table, 40), n)),
        _mm512_add_epi64(n, m)};
}

SC_TARGET_SHIFTS static inline struct words joined(struct words first, struct words second)
{
    return (struct words){_mm512_or_si512(first.word, _mm512_sllv_epi64(second.word, first.bits)),
                          _mm512_add_epi64(first.bits, second.bits)};
}

/* Lanes 0, 2, 4, 6 of two vectors, then 1, 3, 5, 7. */
SC_TARGET_SHIFTS static inline struct words quads_of(struct words a, struct words b)
{
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    return joined((struct words){_mm512_permutex2var_epi64(a.word, even, b.word),
                                 _mm512_permutex2var_epi64(a.bits, even, b.bits)},
                  (struct words){_mm512_permutex2var_epi64(a.word, odd, b.word),
                                 _mm512_permutex2var_epi64(a.bits, odd, b.bits)});
}

/* Words of 56 bits at most go beside 7 that are held. */
SC_TARGET_SHIFTS static inline bool fit(struct words w)
{
    return !_mm512_cmpgt_epu64_mask(w.bits, _mm512_set1_epi64(56));
}

SC_TARGET_SHIFTS static inline void emit(struct sc_deflate *b, const struct words *w, size_t n)
{
    uint64_t word[8], bits[8];
    for (size_t k = 0; k < n; k++) {
        _mm512_storeu_si512(word, w[k].word);
        _mm512_storeu_si512(bits, w[k].bits);
        for (size_t i = 0; i < 8; i++) {
            b->held |= word[i] << b->n;
            b->n += (unsigned)bits[i];
            memcpy(b->to, &b->held, 8);
            b->to += b->n >> 3;
            b->held >>= b->n & 56;
            b->n &= 7;
        }
    }
}

SC_TARGET_SHIFTS size_t sc_deflate_put_avx512(struct sc_deflate *out, const uint32_t table[256],
                                              const uint8_t *p, size_t n)
{
    enum { TOGETHER = 128 };
    struct sc_deflate b = *out;
    size_t i = 0;

    for (; i + TOGETHER <= n; i += TOGETHER) {
        struct words quads[4];
        for (size_t k = 0; k < SC_COUNT(quads); k++) {
            const __m512i s = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(p + i + 32 * k)));
            const __m512i t =
                _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(p + i + 32 * k + 16)));
            quads[k] = quads_of(pairs_of(_mm512_i32gather_epi32(s, table, 4)),
                                pairs_of(_mm512_i32gather_epi32(t, table, 4)));
        }
        const struct words eights[] = {quads_of(quads[0], quads[1]), quads_of(quads[2], quads[3])};
        const struct words sixteens = quads_of(eights[0], eights[1]);
        if (fit(sixteens))
            emit(&b, &sixteens, 1);
        else if (fit(eights[0]) && fit(eights[1]))
            emit(&b, eights, 2);
        else
            emit(&b, quads, 4);
    }
    *out = b;
    return i;
}

/* How many of every seventh byte from 1 on are equal to the one before. */
SC_TARGET_SHIFTS size_t sc_deflate_same_avx512(const uint8_t *p, size_t *n)
{
    uint64_t seventh[7] = {0};
    size_t same = 0, i = 1;

    for (size_t k = 0; k < 7 * 64; k += 7)
        seventh[k / 64] |= UINT64_C(1) << k % 64;
    for (; i + sizeof seventh * 8 <= *n; i += sizeof seventh * 8)
        for (size_t k = 0; k < 7; k++) {
            const __m512i here = _mm512_loadu_si512(p + i + 64 * k);
            const __m512i before = _mm512_loadu_si512(p + i + 64 * k - 1);
            const uint64_t equal = _mm512_cmpeq_epi8_mask(here, before) & seventh[k];
            same += (size_t)__builtin_popcountll(equal);
        }
    *n = i;
    return same;
}

bool sc_deflate_has_avx512(void)
{
    return sc_cpu_level() == SC_CPU_AVX512 && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}
#else
typedef int sc_no_x86; /* a file needs a declaration */
#endif
