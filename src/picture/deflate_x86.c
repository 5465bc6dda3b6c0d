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

enum { TOGETHER = 128 };

/* Words of 16 symbols where they are short, else of 8 or 4. */
SC_TARGET_SHIFTS static inline void emit_eights(struct sc_deflate *b, const struct words eights[2],
                                                const struct words quads[4])
{
    const struct words sixteens = quads_of(eights[0], eights[1]);
    if (fit(sixteens))
        emit(b, &sixteens, 1);
    else if (fit(eights[0]) && fit(eights[1]))
        emit(b, eights, 2);
    else
        emit(b, quads, 4);
}

SC_TARGET_SHIFTS static size_t put_gathered(struct sc_deflate *out, const uint32_t table[256],
                                            const uint8_t *p, size_t n)
{
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
        emit_eights(&b, eights, quads);
    }
    *out = b;
    return i;
}

/* ------------------------------------------------------------------------- bytes by permuting ---
 * Where a register can be a table of bytes, 64 symbols are looked up in three steps of as many
 * bytes: the length of a word and its two halves. That takes a quarter of the time of gathers. */
#define SC_TARGET_BYTES                                                                            \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,bmi2,popcnt")))

struct bytes_of {
    __m512i part[4]; /* of symbols 64 * i.. */
};

SC_TARGET_BYTES static inline struct bytes_of table_of(const uint32_t table[256], unsigned shift)
{
    uint8_t bytes[256];
    struct bytes_of out;
    for (size_t k = 0; k < 256; k += 16)
        _mm_storeu_si128((void *)(bytes + k), _mm512_cvtepi32_epi8(_mm512_srli_epi32(
                                                  _mm512_loadu_si512(table + k), shift)));
    for (size_t k = 0; k < 4; k++)
        out.part[k] = _mm512_loadu_si512(bytes + 64 * k);
    return out;
}

SC_TARGET_BYTES static inline __m512i look_up(const struct bytes_of *t, __m512i s)
{
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(s),
                                  _mm512_permutex2var_epi8(t->part[0], s, t->part[1]),
                                  _mm512_permutex2var_epi8(t->part[2], s, t->part[3]));
}

/* Words of 16 bits beside each other, with their lengths, become one of 64 for each four. */
SC_TARGET_BYTES static inline struct words fours_of(__m512i word, __m512i bits)
{
    const __m512i one = _mm512_set1_epi16(1), low = _mm512_set1_epi64(UINT32_MAX);
    const __m512i factor = _mm512_sllv_epi16(one, _mm512_slli_epi32(bits, 16)); /* 1, 2^bits */
    const __m512i pair = _mm512_madd_epi16(word, factor), n = _mm512_madd_epi16(bits, one);
    const struct words first = {_mm512_and_si512(pair, low), _mm512_and_si512(n, low)};
    return joined(first, (struct words){_mm512_srli_epi64(pair, 32), _mm512_srli_epi64(n, 32)});
}

/* 64 symbols. */
SC_TARGET_BYTES static inline struct words eights_of(__m512i low, __m512i high, __m512i bits,
                                                     struct words quads[2])
{
    const __m512i zero = _mm512_setzero_si512();
    const __m512i front = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i back = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    /* Of each 16 symbols the first 8, and the others. */
    const struct words a =
        fours_of(_mm512_unpacklo_epi8(low, high), _mm512_unpacklo_epi8(bits, zero));
    const struct words b =
        fours_of(_mm512_unpackhi_epi8(low, high), _mm512_unpackhi_epi8(bits, zero));
    quads[0] = (struct words){_mm512_permutex2var_epi64(a.word, front, b.word),
                              _mm512_permutex2var_epi64(a.bits, front, b.bits)};
    quads[1] = (struct words){_mm512_permutex2var_epi64(a.word, back, b.word),
                              _mm512_permutex2var_epi64(a.bits, back, b.bits)};
    return joined((struct words){_mm512_unpacklo_epi64(a.word, b.word),
                                 _mm512_unpacklo_epi64(a.bits, b.bits)},
                  (struct words){_mm512_unpackhi_epi64(a.word, b.word),
                                 _mm512_unpackhi_epi64(a.bits, b.bits)});
}
_Static_assert(SC_DEFLATE_LONGEST < 15, "words and powers of two are positive in 16 bits");

SC_TARGET_BYTES static size_t put_permuted(struct sc_deflate *out, const uint32_t table[256],
                                           const uint8_t *p, size_t n)
{
    const struct bytes_of length = table_of(table, 0), low = table_of(table, 8),
                          high = table_of(table, 16);
    struct sc_deflate b = *out;
    size_t i = 0;

    for (; i + TOGETHER <= n; i += TOGETHER) {
        struct words eights[2], quads[4];
        for (size_t k = 0; k < SC_COUNT(eights); k++) {
            const __m512i s = _mm512_loadu_si512(p + i + 64 * k);
            eights[k] =
                eights_of(look_up(&low, s), look_up(&high, s), look_up(&length, s), quads + 2 * k);
        }
        emit_eights(&b, eights, quads);
    }
    *out = b;
    return i;
}

size_t sc_deflate_put_avx512(struct sc_deflate *b, const uint32_t table[256], const uint8_t *p,
                             size_t n)
{
    enum { WORTH = 256 }; /* bytes, to put the table into registers */
    return n >= WORTH && __builtin_cpu_supports("avx512vbmi") ? put_permuted(b, table, p, n)
                                                              : put_gathered(b, table, p, n);
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
