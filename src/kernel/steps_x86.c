/* SPDX-License-Identifier: Apache-2.0 */
/* steps_x86: what integers of few bits make of a row, for AVX2 and AVX-512, bit for bit as rows.c
 * has it. */
#include "kernel/lanes.h"
#include "kernel/tops.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <string.h>

#define AVX2   SC_TARGET_AVX2 static inline
#define AVX512 SC_TARGET_AVX512 static inline
#define INLINE SC_TARGET_AVX512 static inline __attribute__((always_inline))

AVX512 __mmask16 first_of(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffU : (1U << n) - 1);
}

/* n < 8: what exists, then zeros. */
AVX2 __m256 load_up_to_8(const float *x, size_t n)
{
    const __m256i there =
        _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return n >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, there);
}

struct steps8 {
    __m256 square, abs, cross, most;
};

AVX2 void step_avx2(__m256 x, __m256 inverse, struct steps8 *s)
{
    const __m256 magic = _mm256_set1_ps(SC_ROUND_MAGIC);
    const __m256 t = _mm256_mul_ps(x, inverse);
    const __m256 r = _mm256_sub_ps(t, _mm256_sub_ps(_mm256_add_ps(t, magic), magic));
    const __m256 a = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), r);
    s->square = _mm256_add_ps(s->square, _mm256_mul_ps(r, r));
    s->abs = _mm256_add_ps(s->abs, a);
    s->cross = _mm256_add_ps(s->cross, _mm256_mul_ps(t, r));
    s->most = _mm256_max_ps(a, s->most);
}

AVX2 void weigh_avx2(const struct steps8 *s, float weight, struct steps8 *to)
{
    const __m256 w = _mm256_set1_ps(weight), w2 = _mm256_mul_ps(w, w);
    to->square = _mm256_add_ps(to->square, _mm256_mul_ps(w2, s->square));
    to->abs = _mm256_add_ps(to->abs, _mm256_mul_ps(w, s->abs));
    to->cross = _mm256_add_ps(to->cross, _mm256_mul_ps(w2, s->cross));
    to->most = _mm256_max_ps(_mm256_mul_ps(w, s->most), to->most);
}

AVX2 void flush_avx2(struct steps8 to[2], struct sc_steps *out)
{
    struct sc_step_lanes lanes;
    for (int i = 0; i < 2; i++) {
        _mm256_storeu_ps(lanes.square + 8 * i, to[i].square);
        _mm256_storeu_ps(lanes.abs + 8 * i, to[i].abs);
        _mm256_storeu_ps(lanes.cross + 8 * i, to[i].cross);
        _mm256_storeu_ps(lanes.most + 8 * i, to[i].most);
    }
    sc_steps_flush(&lanes, out);
    memset(to, 0, 2 * sizeof *to);
}

SC_TARGET_AVX2 void sc_steps_avx2(const float *x, size_t n, size_t group, const float *inverse,
                                  const float *weight, size_t stride, struct sc_steps *out)
{
    struct steps8 to[2];
    unsigned groups = 0;
    memset(to, 0, sizeof to);
    for (; n; inverse += stride, weight += stride) {
        const size_t now = SC_MIN(n, group);
        const __m256 inv = _mm256_set1_ps(*inverse);
        struct steps8 s[2];
        memset(s, 0, sizeof s);
        size_t i = 0;
        for (; now - i >= 16; i += 16) {
            step_avx2(_mm256_loadu_ps(x + i), inv, s);
            step_avx2(_mm256_loadu_ps(x + i + 8), inv, s + 1);
        }
        for (struct steps8 *half = s; i < now; i += SC_MIN(now - i, (size_t)8))
            step_avx2(load_up_to_8(x + i, now - i), inv, half++);
        weigh_avx2(s, *weight, to);
        weigh_avx2(s + 1, *weight, to + 1);
        x += now;
        n -= now;
        if (++groups % SC_GROUPS_IN_FLOAT == 0 || n == 0)
            flush_avx2(to, out);
    }
}

struct steps16 {
    __m512 square, abs, cross, most;
};

AVX512 void step_avx512(__m512 x, __m512 inverse, struct steps16 *s)
{
    const __m512 magic = _mm512_set1_ps(SC_ROUND_MAGIC);
    const __m512 t = _mm512_mul_ps(x, inverse);
    /* Three plain operations beside counting are faster than one _mm512_reduce_ps(). */
    const __m512 r = _mm512_sub_ps(t, _mm512_sub_ps(_mm512_add_ps(t, magic), magic));
    const __m512 a = _mm512_abs_ps(r);
    s->square = _mm512_add_ps(s->square, _mm512_mul_ps(r, r));
    s->abs = _mm512_add_ps(s->abs, a);
    s->cross = _mm512_add_ps(s->cross, _mm512_mul_ps(t, r));
    s->most = _mm512_max_ps(a, s->most);
}

/* sc_lanes_sum_float() in its order. */
AVX512 double lanes_avx512(__m512 v)
{
    const __m512d a = _mm512_add_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                                    _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)));
    const __m256d b = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    const __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
    return _mm_cvtsd_f64(c) + _mm_cvtsd_f64(_mm_unpackhi_pd(c, c));
}

AVX512 void flush_avx512(struct steps16 *to, struct sc_steps *out)
{
    out->square += lanes_avx512(to->square);
    out->abs += lanes_avx512(to->abs);
    out->cross += lanes_avx512(to->cross);
    out->most = SC_MAX(out->most, (double)_mm512_reduce_max_ps(to->most));
    to->square = to->abs = to->cross = to->most = _mm512_setzero_ps();
}

AVX512 void weigh_avx512(const struct steps16 *s, float weight, struct steps16 *to)
{
    const __m512 w = _mm512_set1_ps(weight), w2 = _mm512_mul_ps(w, w);
    to->square = _mm512_add_ps(to->square, _mm512_mul_ps(w2, s->square));
    to->abs = _mm512_add_ps(to->abs, _mm512_mul_ps(w, s->abs));
    to->cross = _mm512_add_ps(to->cross, _mm512_mul_ps(w2, s->cross));
    to->most = _mm512_max_ps(_mm512_mul_ps(w, s->most), to->most);
}

AVX512 struct steps16 no_steps(void)
{
    const __m512 zero = _mm512_setzero_ps();
    return (struct steps16){zero, zero, zero, zero};
}

SC_TARGET_AVX512 void sc_steps_avx512(const float *x, size_t n, size_t group, const float *inverse,
                                      const float *weight, size_t stride, struct sc_steps *out)
{
    struct steps16 to = no_steps();
    unsigned groups = 0;
    for (; n; inverse += stride, weight += stride) {
        const size_t now = SC_MIN(n, group);
        const __m512 inv = _mm512_set1_ps(*inverse);
        struct steps16 s = no_steps();
        size_t i = 0;
        for (; now - i >= 16; i += 16)
            step_avx512(_mm512_loadu_ps(x + i), inv, &s);
        if (i < now)
            step_avx512(_mm512_maskz_loadu_ps(first_of(now - i), x + i), inv, &s);
        weigh_avx512(&s, *weight, &to);
        x += now;
        n -= now;
        if (++groups % SC_GROUPS_IN_FLOAT == 0 || n == 0)
            flush_avx512(&to, out);
    }
}

/* A load each: the loops around it have loads to spare, but no shifts. */
INLINE void count_8(const uint8_t *codes, size_t stride, uint32_t *table)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        uint16_t code;
        memcpy(&code, codes + stride * i + (stride - 2), sizeof code);
        table[code]++;
    }
}

/* A group, for its own step and for that of all. Scalar and vector units share the work. stride:
 * bytes from one code to the next, the upper two of which are counted. */
INLINE void step_group(const float *x, size_t n, float inverse, __m512 inverse_of_all,
                       struct sc_counting *c, size_t stride, struct steps16 *own,
                       struct steps16 *all)
{
    const __m512 inv = _mm512_set1_ps(inverse);
    const uint8_t *codes = c ? c->codes : NULL;
    const size_t counted = c ? SC_MIN(n, c->n) / 16 * 16 : 0;
    size_t i = 0;
    for (; i < counted; i += 16) {
        const __m512 v = _mm512_loadu_ps(x + i);
        _mm_prefetch((const void *)((uintptr_t)(codes + stride * i) + c->ahead), _MM_HINT_T1);
        step_avx512(v, inv, own);
        count_8(codes + stride * i, stride, c->table);
        step_avx512(v, inverse_of_all, all);
        count_8(codes + stride * (i + 8), stride, c->table);
    }
    if (c) {
        c->codes += stride * counted;
        c->n -= counted;
    }
    for (; i < n; i += SC_MIN(n - i, (size_t)16)) {
        const __m512 v = _mm512_maskz_loadu_ps(first_of(n - i), x + i);
        step_avx512(v, inv, own);
        step_avx512(v, inverse_of_all, all);
    }
}

/* A group of BF16 codes, likewise, which are those that are counted. */
INLINE void step_group_bf16(const uint8_t *codes, size_t n, float inverse, __m512 inverse_of_all,
                            struct sc_counting *c, struct steps16 *own, struct steps16 *all)
{
    const __m512 inv = _mm512_set1_ps(inverse);
    for (size_t i = 0; i < n; i += 16) {
        const uint8_t *at = codes + 2 * i;
        const __m256i sixteen = _mm256_loadu_si256((const void *)at);
        const __m512 v = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(sixteen), 16));
        _mm_prefetch((const void *)((uintptr_t)at + c->ahead), _MM_HINT_T1);
        step_avx512(v, inv, own);
        count_8(at, 2, c->table);
        step_avx512(v, inverse_of_all, all);
        count_8(at + 16, 2, c->table);
    }
    c->codes += 2 * n;
    c->n -= n;
}

/* Of x, or (NULL) of the codes that are counted. */
INLINE void steps_both(const float *x, size_t n, const struct sc_steps_of *how,
                       struct sc_counting *counting, size_t stride, struct sc_steps *groups,
                       struct sc_steps *all)
{
    const __m512 inverse_of_all = _mm512_set1_ps(how->inverse_of_all);
    const size_t per_block = SC_STEPS_TOGETHER / how->group;
    struct steps16 of_groups = no_steps(), of_all = no_steps(), block = no_steps();
    *groups = *all = (struct sc_steps){0, 0, 0, 0};
    for (size_t i = 0; n; i++) {
        const size_t now = SC_MIN(n, how->group);
        struct steps16 own = no_steps();
        if (x)
            step_group(x, now, how->inverse[i], inverse_of_all, counting, stride, &own, &block);
        else
            step_group_bf16(counting->codes, now, how->inverse[i], inverse_of_all, counting, &own,
                            &block);
        weigh_avx512(&own, how->weight[i], &of_groups);
        x = x ? x + now : NULL;
        n -= now;
        if ((i + 1) % SC_GROUPS_IN_FLOAT == 0 || n == 0)
            flush_avx512(&of_groups, groups);
        if ((i + 1) % per_block && n)
            continue;
        weigh_avx512(&block, 1, &of_all);
        block = no_steps();
        if ((i + 1) / per_block % SC_GROUPS_IN_FLOAT == 0 || n == 0)
            flush_avx512(&of_all, all);
    }
}

SC_TARGET_AVX512 void sc_steps_both_avx512(const float *x, size_t n, const struct sc_steps_of *how,
                                           struct sc_counting *counting, struct sc_steps *groups,
                                           struct sc_steps *all)
{
    steps_both(x, n, how, counting, 2, groups, all);
}

SC_TARGET_AVX512 void sc_steps_tops_avx512(const float *x, size_t n, const struct sc_steps_of *how,
                                           struct sc_counting *tops, struct sc_steps *groups,
                                           struct sc_steps *all)
{
    steps_both(x, n, how, tops, 4, groups, all);
}

SC_TARGET_AVX512 void sc_steps_bf16_avx512(size_t n, const struct sc_steps_of *how,
                                           struct sc_counting *codes, struct sc_steps *groups,
                                           struct sc_steps *all)
{
    steps_both(NULL, n, how, codes, 2, groups, all);
}
#endif
