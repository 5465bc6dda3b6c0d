/* SPDX-License-Identifier: Apache-2.0 */
/* counts: how often each bit pattern occurs.
 *
 * One table: an increment that waits for the store before it costs less than four tables that no
 * longer fit the first cache. Codes come four or eight a load, so that loads are left for the
 * table. */
#include "kernel/kernel.h"

#include <string.h>
#if SC_HAVE_X86
#include <immintrin.h>
#endif

void sc_count_codes8(const void *codes, size_t n, uint32_t table[256])
{
    /* Here equal neighbours are common, and four tables are small. */
    uint32_t part[4][256] = {{0}};
    const uint8_t *p = codes;
    for (; n >= 8; n -= 8, p += 8) {
        const uint64_t v = sc_le64(p);
        part[0][v & 0xff]++;
        part[1][v >> 8 & 0xff]++;
        part[2][v >> 16 & 0xff]++;
        part[3][v >> 24 & 0xff]++;
        part[0][v >> 32 & 0xff]++;
        part[1][v >> 40 & 0xff]++;
        part[2][v >> 48 & 0xff]++;
        part[3][v >> 56]++;
    }
    for (; n; n--)
        part[0][*p++]++;
    for (size_t i = 0; i < 256; i++)
        table[i] += part[0][i] + part[1][i] + part[2][i] + part[3][i];
}

void sc_count_codes16(const void *codes, size_t n, uint32_t table[65536])
{
    const uint8_t *p = codes;
    for (; n >= 8; n -= 8, p += 16) {
        const uint64_t a = sc_le64(p), b = sc_le64(p + 8);
        if (a == b && a == (a & 0xffff) * UINT64_C(0x0001000100010001)) {
            table[a & 0xffff] += 8; /* eight increments of one place would wait for each other */
            continue;
        }
        table[a & 0xffff]++;
        table[a >> 16 & 0xffff]++;
        table[a >> 32 & 0xffff]++;
        table[a >> 48]++;
        table[b & 0xffff]++;
        table[b >> 16 & 0xffff]++;
        table[b >> 32 & 0xffff]++;
        table[b >> 48]++;
    }
    for (; n; n--, p += 2)
        table[p[0] | p[1] << 8]++;
}

/* What lies so far behind the floats that are looked at is fetched meanwhile: a reader of pieces of
 * that size will want it next, and other loops over them leave no gaps for it. A hint; what is
 * behind the end of memory is not fetched, and does no harm. */
enum { FETCH_AHEAD = 256 << 10 };
static inline void fetch_ahead(const float *x)
{
    __builtin_prefetch((const void *)((uintptr_t)x + FETCH_AHEAD), 0, 2);
}

static inline uint32_t bits_of(const float *x)
{
    uint32_t bits;
    memcpy(&bits, x, sizeof bits);
    return bits;
}

void sc_count_tops(const float *x, size_t n, uint32_t table[65536])
{
    for (; n >= 16; n -= 16, x += 16) {
        fetch_ahead(x);
        for (size_t i = 0; i < 16; i++)
            table[bits_of(x + i) >> 16]++;
    }
    for (; n; n--)
        table[bits_of(x++) >> 16]++;
}

static size_t pick_c(const float *x, size_t n, const uint32_t wanted[1024], uint32_t *out)
{
    size_t picked = 0;
    for (size_t i = 0; i < n; i++) { /* a branch would be guessed wrong too often */
        const uint32_t bits = bits_of(x + i);
        if (i % 16 == 0)
            fetch_ahead(x + i);
        out[picked] = bits;
        picked += wanted[bits >> 21 & 1023] >> (bits >> 16 & 31) & 1;
    }
    return picked;
}

#if SC_HAVE_X86
/* Of `out`, in place. */
SC_TARGET_AVX512 static size_t pick_again(size_t n, const uint32_t wanted[1024], uint32_t *out)
{
    size_t picked = 0;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 there = (__mmask16)(n - i >= 16 ? 0xffffU : (1U << (n - i)) - 1);
        const __m512i bits = _mm512_maskz_loadu_epi32(there, out + i);
        const __m512i word = _mm512_and_si512(_mm512_srli_epi32(bits, 21), _mm512_set1_epi32(1023));
        const __m512i set = _mm512_mask_i32gather_epi32(bits, there, word, wanted, 4);
        const __m512i turned = _mm512_rorv_epi32(set, _mm512_srli_epi32(bits, 16));
        const __mmask16 hit = _mm512_mask_test_epi32_mask(there, turned, _mm512_set1_epi32(1));
        _mm512_storeu_si512(out + picked, _mm512_maskz_compress_epi32(hit, bits));
        picked += (size_t)__builtin_popcount(hit);
    }
    return picked;
}

/* A table of all wanted bits is too large for registers: first whatever agrees with one of them in
 * its lower ten bits, which over eight octaves is what is wanted. */
SC_TARGET_AVX512 static size_t pick_avx512(const float *x, size_t n, const uint32_t wanted[1024],
                                           uint32_t *out)
{
    __m512i low = _mm512_setzero_si512(), high = low;
    for (size_t i = 0; i < 1024; i += 32) {
        low = _mm512_or_si512(low, _mm512_loadu_si512(wanted + i));
        high = _mm512_or_si512(high, _mm512_loadu_si512(wanted + i + 16));
    }
    size_t picked = 0;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 there = (__mmask16)(n - i >= 16 ? 0xffffU : (1U << (n - i)) - 1);
        const __m512i bits = _mm512_maskz_loadu_epi32(there, x + i);
        fetch_ahead(x + i);
        /* Both take the lower five bits of what they are given. */
        const __m512i set = _mm512_permutex2var_epi32(low, _mm512_srli_epi32(bits, 21), high);
        const __m512i turned = _mm512_rorv_epi32(set, _mm512_srli_epi32(bits, 16));
        const __mmask16 hit = _mm512_mask_test_epi32_mask(there, turned, _mm512_set1_epi32(1));
        _mm512_storeu_si512(out + picked, _mm512_maskz_compress_epi32(hit, bits));
        picked += (size_t)__builtin_popcount(hit);
    }
    return pick_again(picked, wanted, out);
}
#endif

size_t sc_pick_tops(const float *x, size_t n, const uint32_t wanted[1024], enum sc_cpu level,
                    uint32_t *out)
{
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        return pick_avx512(x, n, wanted, out);
#else
    (void)level;
#endif
    return pick_c(x, n, wanted, out);
}
