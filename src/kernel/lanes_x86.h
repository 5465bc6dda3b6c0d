/* SPDX-License-Identifier: Apache-2.0 */
/* lanes_x86: 16 lanes of 32 bits at a time, for loops that are written once for AVX2 and AVX-512:
 * errors_body.h, and in codec encode_body.h, losses_body.h and encode_fit_body.h. Private to the
 * files that include these; lanes_names.h gives the operations short names.
 *
 * With AVX2 these are two registers, with AVX-512 one. Lanes are bits; operations that end in f
 * take them for floats, those that end in i for integers with a sign. A mask is what a comparison
 * gives. */
#ifndef SC_KERNEL_LANES_X86_H
#define SC_KERNEL_LANES_X86_H

#include "kernel/lanes.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <string.h>

/* ------------------------------------------------------------------------------------- AVX2 --- */
#define OP SC_TARGET_AVX2 static inline __attribute__((always_inline))
struct sc_lanes2 {
    __m256i a, b;
};

/* One function of two arguments over both registers. */
#define BOTH(name, f)                                                                              \
    OP struct sc_lanes2 name##_avx2(struct sc_lanes2 x, struct sc_lanes2 y)                        \
    {                                                                                              \
        return (struct sc_lanes2){f(x.a, y.a), f(x.b, y.b)};                                       \
    }
#define PS(x)         _mm256_castsi256_ps(x)
#define SI(x)         _mm256_castps_si256(x)
#define ADD(x, y)     SI(_mm256_add_ps(PS(x), PS(y)))
#define SUB(x, y)     SI(_mm256_sub_ps(PS(x), PS(y)))
#define MUL(x, y)     SI(_mm256_mul_ps(PS(x), PS(y)))
#define DIV(x, y)     SI(_mm256_div_ps(PS(x), PS(y)))
#define MIN(x, y)     SI(_mm256_min_ps(PS(x), PS(y)))
#define MAX(x, y)     SI(_mm256_max_ps(PS(x), PS(y)))
#define MORE(x, y)    SI(_mm256_cmp_ps(PS(x), PS(y), _CMP_GT_OQ))
#define KEEP(mask, x) _mm256_and_si256(mask, x)
#define DIFFER(x, y)  SI(_mm256_cmp_ps(PS(x), PS(y), _CMP_NEQ_UQ))
/* x, or y with the sign of x where |x| is larger; y is not negative. */
#define BOUND(x, y)                                                                                \
    SI(_mm256_min_ps(_mm256_max_ps(PS(x), _mm256_sub_ps(_mm256_setzero_ps(), PS(y))), PS(y)))
BOTH(andi, _mm256_and_si256)
BOTH(ori, _mm256_or_si256)
BOTH(addi, _mm256_add_epi32)
BOTH(subi, _mm256_sub_epi32)
BOTH(maxi, _mm256_max_epi32)
BOTH(mini, _mm256_min_epi32)
BOTH(srl, _mm256_srlv_epi32)
BOTH(sll, _mm256_sllv_epi32)
BOTH(addf, ADD)
BOTH(subf, SUB)
BOTH(mulf, MUL)
BOTH(divf, DIV)
BOTH(minf, MIN)
BOTH(maxf, MAX)
BOTH(moref, MORE)
BOTH(morei, _mm256_cmpgt_epi32)
BOTH(differf, DIFFER)
BOTH(boundf, BOUND)
BOTH(keep, KEEP) /* lanes of the mask, 0 elsewhere */
#undef BOTH
#undef ADD
#undef SUB
#undef MUL
#undef DIV
#undef MIN
#undef MAX
#undef MORE
#undef KEEP
#undef DIFFER
#undef BOUND

OP struct sc_lanes2 both_avx2(struct sc_lanes2 x, struct sc_lanes2 y) /* masks */
{
    return andi_avx2(x, y);
}
OP struct sc_lanes2 pick_avx2(struct sc_lanes2 mask, struct sc_lanes2 yes, struct sc_lanes2 no)
{
    return (struct sc_lanes2){_mm256_blendv_epi8(no.a, yes.a, mask.a),
                              _mm256_blendv_epi8(no.b, yes.b, mask.b)};
}
OP unsigned count_avx2(struct sc_lanes2 mask)
{
    return (unsigned)(__builtin_popcount((unsigned)_mm256_movemask_ps(PS(mask.a))) +
                      __builtin_popcount((unsigned)_mm256_movemask_ps(PS(mask.b))));
}
OP unsigned bits_of_avx2(struct sc_lanes2 mask) /* a bit a lane */
{
    return (unsigned)_mm256_movemask_ps(PS(mask.a)) | (unsigned)_mm256_movemask_ps(PS(mask.b)) << 8;
}
OP struct sc_lanes2 all_avx2(uint32_t bits)
{
    return (struct sc_lanes2){_mm256_set1_epi32((int)bits), _mm256_set1_epi32((int)bits)};
}
OP struct sc_lanes2 load_avx2(const float *p)
{
    return (struct sc_lanes2){SI(_mm256_loadu_ps(p)), SI(_mm256_loadu_ps(p + 8))};
}
/* Two lanes in turns. */
OP struct sc_lanes2 all_wide_avx2(uint64_t two)
{
    const __m256i v = _mm256_set1_epi64x((long long)two);
    return (struct sc_lanes2){v, v};
}
OP struct sc_lanes2 load_bits_avx2(const uint32_t *p)
{
    return (struct sc_lanes2){_mm256_loadu_si256((const void *)p),
                              _mm256_loadu_si256((const void *)(p + 8))};
}
OP void store_avx2(float *p, struct sc_lanes2 x)
{
    _mm256_storeu_ps(p, PS(x.a));
    _mm256_storeu_ps(p + 8, PS(x.b));
}
OP void store_bits_avx2(uint32_t *p, struct sc_lanes2 x)
{
    _mm256_storeu_si256((void *)p, x.a);
    _mm256_storeu_si256((void *)(p + 8), x.b);
}
/* x + y where many are added: with 512 bits by what multiplies, too, which has less to do. */
OP struct sc_lanes2 sumf_avx2(struct sc_lanes2 x, struct sc_lanes2 y)
{
    return addf_avx2(x, y);
}
/* x y + z and z - x y, rounded once. */
OP struct sc_lanes2 fma_avx2(struct sc_lanes2 x, struct sc_lanes2 y, struct sc_lanes2 z)
{
    return (struct sc_lanes2){SI(_mm256_fmadd_ps(PS(x.a), PS(y.a), PS(z.a))),
                              SI(_mm256_fmadd_ps(PS(x.b), PS(y.b), PS(z.b)))};
}
OP struct sc_lanes2 fnma_avx2(struct sc_lanes2 x, struct sc_lanes2 y, struct sc_lanes2 z)
{
    return (struct sc_lanes2){SI(_mm256_fnmadd_ps(PS(x.a), PS(y.a), PS(z.a))),
                              SI(_mm256_fnmadd_ps(PS(x.b), PS(y.b), PS(z.b)))};
}
/* The largest lane, in all lanes. */
OP struct sc_lanes2 most_avx2(struct sc_lanes2 x)
{
    __m256i m = _mm256_max_epi32(x.a, x.b);
    m = _mm256_max_epi32(m, _mm256_permute2x128_si256(m, m, 1));
    m = _mm256_max_epi32(m, _mm256_shuffle_epi32(m, 0x4e));
    m = _mm256_max_epi32(m, _mm256_shuffle_epi32(m, 0xb1));
    return (struct sc_lanes2){m, m};
}
OP uint32_t first_avx2(struct sc_lanes2 x)
{
    return (uint32_t)_mm_cvtsi128_si32(_mm256_castsi256_si128(x.a));
}
/* The largest |x| of each of n <= 16 runs of 16 values as bits; 0 for the others. */
OP struct sc_lanes2 peaks_avx2(const float *x, size_t n)
{
    float peaks[16] = {0};
    for (size_t k = 0; k < n; k++)
        peaks[k] = sc_float_of(
            first_avx2(most_avx2(andi_avx2(load_avx2(x + 16 * k), all_avx2(INT32_MAX)))));
    return load_avx2(peaks);
}
/* Of each lane and its neighbour (0 and 1, 2 and 3, ...) the larger one, in both. */
OP struct sc_lanes2 pairs_avx2(struct sc_lanes2 x)
{
    return (struct sc_lanes2){_mm256_max_epi32(x.a, _mm256_shuffle_epi32(x.a, 0xb1)),
                              _mm256_max_epi32(x.b, _mm256_shuffle_epi32(x.b, 0xb1))};
}
/* 0 or -0. */
OP struct sc_lanes2 zerof_avx2(struct sc_lanes2 x)
{
    return (struct sc_lanes2){SI(_mm256_cmp_ps(PS(x.a), _mm256_setzero_ps(), _CMP_EQ_OQ)),
                              SI(_mm256_cmp_ps(PS(x.b), _mm256_setzero_ps(), _CMP_EQ_OQ))};
}
/* The lanes of the mask one behind the other; how many. `to` has room for 16. */
OP size_t squeeze_avx2(uint32_t *to, struct sc_lanes2 mask, struct sc_lanes2 x)
{
    uint32_t lanes[16];
    size_t n = 0;
    unsigned found =
        (unsigned)_mm256_movemask_ps(PS(mask.a)) | (unsigned)_mm256_movemask_ps(PS(mask.b)) << 8;
    _mm256_storeu_si256((void *)lanes, x.a);
    _mm256_storeu_si256((void *)(lanes + 8), x.b);
    for (; found; found &= found - 1)
        to[n++] = lanes[__builtin_ctz(found)];
    return n;
}
/* Masks of up to 128 vectors, which are counted together: of `n` that stand beside each other from
 * number `at` on; then those of the first `n`, and it begins anew. */
struct sc_marks_avx2 {
    struct sc_lanes2 sum;
};
OP void mark_avx2(struct sc_marks_avx2 *m, size_t at, const struct sc_lanes2 *masks, size_t n)
{
    (void)at;
    for (size_t i = 0; i < n; i++)
        m->sum = subi_avx2(m->sum, masks[i]);
}
OP uint64_t marks_avx2(struct sc_marks_avx2 *m, size_t n)
{
    uint32_t lanes[8];
    uint64_t sum = 0;
    (void)n;
    _mm256_storeu_si256((void *)lanes, _mm256_add_epi32(m->sum.a, m->sum.b));
    for (int i = 0; i < 8; i++)
        sum += lanes[i];
    m->sum = all_avx2(0);
    return sum;
}
/* Lanes i, i + 4, ... as ((i, i + 8), (i + 4, i + 12)). */
OP __m128 quarter_avx2(struct sc_lanes2 x)
{
    const __m256 eight = _mm256_add_ps(PS(x.a), PS(x.b));
    return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}
OP void store_masks_avx2(uint16_t *p, const struct sc_lanes2 *masks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint16_t)bits_of_avx2(masks[i]);
}
/* The lanes of 16 rows, each added up as quarter() and sc_quarter_sum() do. */
OP struct sc_lanes2 sums_of_16_avx2(float rows[][SC_LANES])
{
    float sums[SC_LANES];
    for (size_t i = 0; i < SC_LANES; i++) {
        __m128 v = quarter_avx2(load_avx2(rows[i]));
        v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        sums[i] = _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
    }
    return load_avx2(sums);
}
OP void store_wide_avx2(double *p, struct sc_lanes2 x)
{
    _mm256_storeu_pd(p, _mm256_cvtps_pd(_mm256_castps256_ps128(PS(x.a))));
    _mm256_storeu_pd(p + 4, _mm256_cvtps_pd(_mm256_extractf128_ps(PS(x.a), 1)));
    _mm256_storeu_pd(p + 8, _mm256_cvtps_pd(_mm256_castps256_ps128(PS(x.b))));
    _mm256_storeu_pd(p + 12, _mm256_cvtps_pd(_mm256_extractf128_ps(PS(x.b), 1)));
}
/* These four as ((i, i + 2), (i, i + 1)). */
OP double sc_quarter_sum(__m128 v)
{
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    v = _mm_add_ss(v, _mm_shuffle_ps(v, v, 1));
    return (double)_mm_cvtss_f32(v);
}
OP __m256d square_of_4(__m128i x, __m128i y)
{
    const __m256d d =
        _mm256_sub_pd(_mm256_cvtps_pd(_mm_castsi128_ps(y)), _mm256_cvtps_pd(_mm_castsi128_ps(x)));
    return _mm256_mul_pd(d, d);
}
/* Sum of (y - x)^2, in any order. */
OP double squares_avx2(struct sc_lanes2 x, struct sc_lanes2 y)
{
    const __m256d low =
        _mm256_add_pd(square_of_4(_mm256_castsi256_si128(x.a), _mm256_castsi256_si128(y.a)),
                      square_of_4(_mm256_castsi256_si128(x.b), _mm256_castsi256_si128(y.b)));
    const __m256d high = _mm256_add_pd(
        square_of_4(_mm256_extracti128_si256(x.a, 1), _mm256_extracti128_si256(y.a, 1)),
        square_of_4(_mm256_extracti128_si256(x.b, 1), _mm256_extracti128_si256(y.b, 1)));
    const __m256d four = _mm256_add_pd(low, high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
OP __m256i half_of_8(__m256i x)
{
    return SI(_mm256_cvtph_ps(_mm256_cvtps_ph(PS(x), _MM_FROUND_TO_NEAREST_INT)));
}
OP struct sc_lanes2 halves_avx2(struct sc_lanes2 x) /* to half floats and back */
{
    return (struct sc_lanes2){half_of_8(x.a), half_of_8(x.b)};
}
#undef PS
#undef SI
#undef OP

/* ---------------------------------------------------------------------------------- AVX-512 --- */
#define OP    SC_TARGET_AVX512 static inline __attribute__((always_inline))
#define PS(x) _mm512_castsi512_ps(x)
#define SI(x) _mm512_castps_si512(x)
#define ONE(name, value)                                                                           \
    OP __m512i name##_avx512(__m512i x, __m512i y)                                                 \
    {                                                                                              \
        return value;                                                                              \
    }
ONE(andi, _mm512_and_si512(x, y))
ONE(ori, _mm512_or_si512(x, y))
ONE(addi, _mm512_add_epi32(x, y))
ONE(subi, _mm512_sub_epi32(x, y))
ONE(maxi, _mm512_max_epi32(x, y))
ONE(mini, _mm512_min_epi32(x, y))
ONE(srl, _mm512_srlv_epi32(x, y))
ONE(sll, _mm512_sllv_epi32(x, y))
ONE(addf, SI(_mm512_add_ps(PS(x), PS(y))))
ONE(subf, SI(_mm512_sub_ps(PS(x), PS(y))))
ONE(mulf, SI(_mm512_mul_ps(PS(x), PS(y))))
ONE(divf, SI(_mm512_div_ps(PS(x), PS(y))))
ONE(minf, SI(_mm512_min_ps(PS(x), PS(y))))
ONE(maxf, SI(_mm512_max_ps(PS(x), PS(y))))
ONE(boundf, SI(_mm512_range_ps(PS(x), PS(y), 2))) /* the smaller magnitude, the sign of x */
#undef ONE
OP __mmask16 differf_avx512(__m512i x, __m512i y)
{
    return _mm512_cmp_ps_mask(PS(x), PS(y), _CMP_NEQ_UQ);
}
OP __mmask16 zerof_avx512(__m512i x)
{
    return _mm512_cmp_ps_mask(PS(x), _mm512_setzero_ps(), _CMP_EQ_OQ);
}
/* Without a branch, which would be taken by chance. */
OP size_t squeeze_avx512(uint32_t *to, __mmask16 mask, __m512i x)
{
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(mask, x));
    return (size_t)__builtin_popcount(_cvtmask16_u32(mask));
}
/* Of 1, 2 or 4 vectors at once, where that can be: few units store. */
OP void store_masks_avx512(uint16_t *p, const __mmask16 *masks, size_t n)
{
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        const uint32_t word = _cvtmask32_u32(_mm512_kunpackw(masks[i + 1], masks[i]));
        memcpy(p + i, &word, sizeof word);
    }
    if (i < n)
        p[i] = (uint16_t)_cvtmask16_u32(masks[i]);
}
/* Bits that are counted later: two units do arithmetic, others store. */
struct sc_marks_avx512 {
    _Alignas(64) uint16_t word[128]; /* gcc 12 takes it for aligned in any case */
};
OP void mark_avx512(struct sc_marks_avx512 *m, size_t at, const __mmask16 *masks, size_t n)
{
    store_masks_avx512(m->word + at, masks, n);
}
OP uint64_t marks_avx512(struct sc_marks_avx512 *m, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i += 4) {
        uint64_t four;
        memcpy(&four, m->word + i, sizeof four);
        sum += (uint64_t)__builtin_popcountll(four);
    }
    return sum;
}
OP __m128 quarter_avx512(__m512i x)
{
    const __m256 eight =
        _mm256_add_ps(_mm512_castps512_ps256(PS(x)), _mm512_extractf32x8_ps(PS(x), 1));
    return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
}
/* Two rows become half a register each, then four a quarter each, and so on. */
OP __m512 added_halves(__m512 x, __m512 y)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xee));
}
OP __m512 added_4(float rows[][SC_LANES])
{
    const __m512 x = added_halves(_mm512_loadu_ps(rows[0]), _mm512_loadu_ps(rows[1]));
    const __m512 y = added_halves(_mm512_loadu_ps(rows[2]), _mm512_loadu_ps(rows[3]));
    return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
}
OP __m512 added_8(float rows[][SC_LANES])
{
    const __m512d x = _mm512_castps_pd(added_4(rows)), y = _mm512_castps_pd(added_4(rows + 4));
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
OP __m512i sums_of_16_avx512(float rows[][SC_LANES])
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512 x = added_8(rows), y = added_8(rows + 8);
    return _mm512_permutexvar_epi32(
        order, SI(_mm512_add_ps(_mm512_shuffle_ps(x, y, 0x88), _mm512_shuffle_ps(x, y, 0xdd))));
}
OP void store_wide_avx512(double *p, __m512i x)
{
    _mm512_storeu_pd(p, _mm512_cvtps_pd(_mm512_castps512_ps256(PS(x))));
    _mm512_storeu_pd(p + 8, _mm512_cvtps_pd(_mm512_extractf32x8_ps(PS(x), 1)));
}
OP __mmask16 moref_avx512(__m512i x, __m512i y)
{
    return _mm512_cmp_ps_mask(PS(x), PS(y), _CMP_GT_OQ);
}
OP __mmask16 morei_avx512(__m512i x, __m512i y)
{
    return _mm512_cmpgt_epi32_mask(x, y);
}
OP __m512i keep_avx512(__mmask16 mask, __m512i x)
{
    return _mm512_maskz_mov_epi32(mask, x);
}
OP __mmask16 both_avx512(__mmask16 x, __mmask16 y)
{
    return x & y;
}
OP __m512i pick_avx512(__mmask16 mask, __m512i yes, __m512i no)
{
    return _mm512_mask_blend_epi32(mask, no, yes);
}
OP unsigned count_avx512(__mmask16 mask)
{
    return (unsigned)__builtin_popcount(mask);
}
OP unsigned bits_of_avx512(__mmask16 mask)
{
    return _cvtmask16_u32(mask);
}
OP __m512i all_avx512(uint32_t bits)
{
    return _mm512_set1_epi32((int)bits);
}
OP __m512i load_avx512(const float *p)
{
    return SI(_mm512_loadu_ps(p));
}
OP __m512i all_wide_avx512(uint64_t two)
{
    return _mm512_set1_epi64((long long)two);
}
OP __m512i load_bits_avx512(const uint32_t *p)
{
    return _mm512_loadu_si512(p);
}
OP void store_avx512(float *p, __m512i x)
{
    _mm512_storeu_ps(p, PS(x));
}
OP void store_bits_avx512(uint32_t *p, __m512i x)
{
    _mm512_storeu_si512(p, x);
}
OP __m512i fma_avx512(__m512i x, __m512i y, __m512i z)
{
    return SI(_mm512_fmadd_ps(PS(x), PS(y), PS(z)));
}
OP __m512i sumf_avx512(__m512i x, __m512i y)
{
    return SI(_mm512_fmadd_ps(PS(y), _mm512_set1_ps(1), PS(x)));
}
OP __m512i fnma_avx512(__m512i x, __m512i y, __m512i z)
{
    return SI(_mm512_fnmadd_ps(PS(x), PS(y), PS(z)));
}
OP __m512i most_avx512(__m512i x)
{
    x = _mm512_max_epi32(x, _mm512_shuffle_i32x4(x, x, 0x4e));
    x = _mm512_max_epi32(x, _mm512_shuffle_i32x4(x, x, 0xb1));
    x = _mm512_max_epi32(x, _mm512_shuffle_epi32(x, (_MM_PERM_ENUM)0x4e));
    return _mm512_max_epi32(x, _mm512_shuffle_epi32(x, (_MM_PERM_ENUM)0xb1));
}
OP uint32_t first_avx512(__m512i x)
{
    return (uint32_t)_mm_cvtsi128_si32(_mm512_castsi512_si128(x));
}
/* Two runs become half a register each, then four a quarter each, and so on: at the end the lane
 * 4 k + j belongs to run 4 j + k. */
OP __m512i halved(__m512i x, __m512i y)
{
    return _mm512_max_epi32(_mm512_shuffle_i32x4(x, y, 0x44), _mm512_shuffle_i32x4(x, y, 0xee));
}
OP __m512i quartered(__m512i x, __m512i y)
{
    return _mm512_max_epi32(_mm512_shuffle_i32x4(x, y, 0x88), _mm512_shuffle_i32x4(x, y, 0xdd));
}
OP __m512i magnitude_avx512(const float *x)
{
    return _mm512_and_si512(load_avx512(x), all_avx512(INT32_MAX));
}
OP __m512i four_runs(const float *x)
{
    const __m512i a = magnitude_avx512(x), b = magnitude_avx512(x + 16);
    const __m512i c = magnitude_avx512(x + 32), d = magnitude_avx512(x + 48);
    return quartered(halved(a, b), halved(c, d));
}
OP __m512i eight_runs(const float *x)
{
    const __m512i p = four_runs(x), q = four_runs(x + 64);
    return _mm512_max_epi32(_mm512_unpacklo_epi32(p, q), _mm512_unpackhi_epi32(p, q));
}
OP __m512i peaks_avx512(const float *x, size_t n)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    float peaks[16] = {0};
    if (n == 16) {
        const __m512i r = eight_runs(x), s = eight_runs(x + 128);
        return _mm512_permutexvar_epi32(
            order, _mm512_max_epi32(_mm512_unpacklo_epi64(r, s), _mm512_unpackhi_epi64(r, s)));
    }
    for (size_t k = 0; k < n; k++)
        peaks[k] = sc_float_of(first_avx512(most_avx512(magnitude_avx512(x + 16 * k))));
    return load_avx512(peaks);
}
OP __m512i pairs_avx512(__m512i x)
{
    return _mm512_max_epi32(x, _mm512_shuffle_epi32(x, (_MM_PERM_ENUM)0xb1));
}
OP double squares_avx512(__m512i x, __m512i y)
{
    const __m512d low =
        _mm512_sub_pd(_mm512_cvtps_pd(_mm256_castsi256_ps(_mm512_castsi512_si256(y))),
                      _mm512_cvtps_pd(_mm256_castsi256_ps(_mm512_castsi512_si256(x))));
    const __m512d high =
        _mm512_sub_pd(_mm512_cvtps_pd(_mm256_castsi256_ps(_mm512_extracti64x4_epi64(y, 1))),
                      _mm512_cvtps_pd(_mm256_castsi256_ps(_mm512_extracti64x4_epi64(x, 1))));
    return _mm512_reduce_add_pd(_mm512_add_pd(_mm512_mul_pd(low, low), _mm512_mul_pd(high, high)));
}
OP __m512i halves_avx512(__m512i x)
{
    return SI(_mm512_cvtph_ps(_mm512_cvtps_ph(PS(x), _MM_FROUND_TO_NEAREST_INT)));
}
#undef PS
#undef SI
#undef OP

#endif /* SC_HAVE_X86 */
#endif
