/* SPDX-License-Identifier: Apache-2.0 */
/* change_sums_x86: the loop of change_sums.c for AVX2 and AVX-512, bit for bit. */
#include "analyze/change_sums.h"

#if SC_HAVE_X86
#include <immintrin.h>

/* Sums of one register of lanes: four of them (AVX2) or all eight. */
#define FIELDS(X)                                                                                  \
    X(a) X(b) X(aa) X(bb) X(ab) X(d) X(dd) X(abs_d) X(min_d) X(max_d) X(max_a) X(max_b)
#define MEMBER(x) vector x;

/* ------------------------------------------------------------------------------- AVX-512 --- */
#define vector __m512d
struct wide {
    FIELDS(MEMBER)
};
#undef vector

SC_TARGET_AVX512 static inline void add_512(struct wide *s, __m512d a, __m512d b,
                                            struct sc_change_lanes *l)
{
    const __m512d d = _mm512_sub_pd(b, a), abs_d = _mm512_abs_pd(d), abs_a = _mm512_abs_pd(a),
                  ab = _mm512_mul_pd(a, b);

    s->a = _mm512_add_pd(s->a, a);
    s->b = _mm512_add_pd(s->b, b);
    s->aa = _mm512_add_pd(s->aa, _mm512_mul_pd(a, a));
    s->bb = _mm512_add_pd(s->bb, _mm512_mul_pd(b, b));
    s->ab = _mm512_add_pd(s->ab, ab);
    s->d = _mm512_add_pd(s->d, d);
    s->dd = _mm512_add_pd(s->dd, _mm512_mul_pd(d, d));
    s->abs_d = _mm512_add_pd(s->abs_d, abs_d);
    s->min_d = _mm512_min_pd(d, s->min_d);
    s->max_d = _mm512_max_pd(d, s->max_d);
    s->max_a = _mm512_max_pd(abs_a, s->max_a);
    s->max_b = _mm512_max_pd(_mm512_abs_pd(b), s->max_b);
    const __m512d limit =
        _mm512_mul_pd(_mm512_set1_pd(0.01), _mm512_add_pd(abs_a, _mm512_set1_pd(1e-10)));
    l->changed += (unsigned)__builtin_popcount(_mm512_cmp_pd_mask(a, b, _CMP_NEQ_UQ));
    l->significant += (unsigned)__builtin_popcount(_mm512_cmp_pd_mask(abs_d, limit, _CMP_GT_OQ));
    l->flips +=
        (unsigned)__builtin_popcount(_mm512_cmp_pd_mask(ab, _mm512_setzero_pd(), _CMP_LT_OQ));
}

SC_TARGET_AVX512 void sc_change_lanes_avx512(const float *a, const float *b, size_t n,
                                             struct sc_change_lanes *l)
{
    struct wide s;

#define LOAD(x)  s.x = _mm512_loadu_pd(l->x);
#define STORE(x) _mm512_storeu_pd(l->x, s.x);
    FIELDS(LOAD)
    for (size_t i = 0; i < n; i += 8)
        add_512(&s, _mm512_cvtps_pd(_mm256_loadu_ps(a + i)),
                _mm512_cvtps_pd(_mm256_loadu_ps(b + i)), l);
    FIELDS(STORE)
#undef LOAD
#undef STORE
    l->compared += n;
}

/* ---------------------------------------------------------------------------------- AVX2 --- */
#define vector __m256d
struct narrow {
    FIELDS(MEMBER)
};
#undef vector

SC_TARGET_AVX2 static inline unsigned ones(__m256d mask)
{
    return (unsigned)__builtin_popcount((unsigned)_mm256_movemask_pd(mask));
}

SC_TARGET_AVX2 static inline void add_256(struct narrow *s, __m256d a, __m256d b,
                                          struct sc_change_lanes *l)
{
    const __m256d sign = _mm256_set1_pd(-0.0);
    const __m256d d = _mm256_sub_pd(b, a), abs_d = _mm256_andnot_pd(sign, d),
                  abs_a = _mm256_andnot_pd(sign, a), ab = _mm256_mul_pd(a, b);

    s->a = _mm256_add_pd(s->a, a);
    s->b = _mm256_add_pd(s->b, b);
    s->aa = _mm256_add_pd(s->aa, _mm256_mul_pd(a, a));
    s->bb = _mm256_add_pd(s->bb, _mm256_mul_pd(b, b));
    s->ab = _mm256_add_pd(s->ab, ab);
    s->d = _mm256_add_pd(s->d, d);
    s->dd = _mm256_add_pd(s->dd, _mm256_mul_pd(d, d));
    s->abs_d = _mm256_add_pd(s->abs_d, abs_d);
    s->min_d = _mm256_min_pd(d, s->min_d);
    s->max_d = _mm256_max_pd(d, s->max_d);
    s->max_a = _mm256_max_pd(abs_a, s->max_a);
    s->max_b = _mm256_max_pd(_mm256_andnot_pd(sign, b), s->max_b);
    const __m256d limit =
        _mm256_mul_pd(_mm256_set1_pd(0.01), _mm256_add_pd(abs_a, _mm256_set1_pd(1e-10)));
    l->changed += ones(_mm256_cmp_pd(a, b, _CMP_NEQ_UQ));
    l->significant += ones(_mm256_cmp_pd(abs_d, limit, _CMP_GT_OQ));
    l->flips += ones(_mm256_cmp_pd(ab, _mm256_setzero_pd(), _CMP_LT_OQ));
}

/* Lanes first..first+4 of every eight values. */
SC_TARGET_AVX2 static void half_avx2(const float *a, const float *b, size_t n, size_t first,
                                     struct sc_change_lanes *l)
{
    struct narrow s;

#define LOAD(x)  s.x = _mm256_loadu_pd(l->x + first);
#define STORE(x) _mm256_storeu_pd(l->x + first, s.x);
    FIELDS(LOAD)
    for (size_t i = first; i < n; i += 8)
        add_256(&s, _mm256_cvtps_pd(_mm_loadu_ps(a + i)), _mm256_cvtps_pd(_mm_loadu_ps(b + i)), l);
    FIELDS(STORE)
#undef LOAD
#undef STORE
}

SC_TARGET_AVX2 void sc_change_lanes_avx2(const float *a, const float *b, size_t n,
                                         struct sc_change_lanes *l)
{
    half_avx2(a, b, n, 0, l);
    half_avx2(a, b, n, 4, l);
    l->compared += n;
}
#endif
