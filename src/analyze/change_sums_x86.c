/* SPDX-License-Identifier: Apache-2.0 */
/* change_sums_x86: the loops of change_sums.c for AVX2 and AVX-512, bit for bit. */
#include "analyze/change_sums.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <math.h>
#include <string.h>

/* Sums of one register of lanes: four of them (AVX2) or eight. */
#define FIELDS(X) X(a) X(aa) X(bb) X(dd) X(d) X(abs_d)
#define MEMBER(x) vector x;

/* ------------------------------------------------------------------------------- AVX-512 --- */
#define vector __m512d
struct wide {
    FIELDS(MEMBER)
};
struct extremes {
    vector min_d, max_d;
};
#undef vector

SC_TARGET_AVX512 static inline unsigned add_512(struct wide *s, struct extremes *x, __m512d a,
                                                __m512d b)
{
    const __m512d d = _mm512_sub_pd(b, a), abs_d = _mm512_abs_pd(d);

    s->a = _mm512_add_pd(s->a, a);
    s->aa = _mm512_fmadd_pd(a, a, s->aa);
    s->bb = _mm512_fmadd_pd(b, b, s->bb);
    s->d = _mm512_add_pd(s->d, d);
    s->dd = _mm512_fmadd_pd(d, d, s->dd);
    s->abs_d = _mm512_add_pd(s->abs_d, abs_d);
    x->min_d = _mm512_min_pd(d, x->min_d);
    x->max_d = _mm512_max_pd(d, x->max_d);
    const __m512d limit =
        _mm512_mul_pd(_mm512_set1_pd(0.01), _mm512_add_pd(_mm512_abs_pd(a), _mm512_set1_pd(1e-10)));
    return _cvtmask8_u32(_mm512_cmp_pd_mask(abs_d, limit, _CMP_GT_OQ));
}

static void note_extremes(struct sc_change_lanes *l, double least, double most)
{
    l->min_d = least < l->min_d ? least : l->min_d;
    l->max_d = most > l->max_d ? most : l->max_d;
}

/* A line of the cache (of floats every other one: its neighbour comes along). One at a time between
 * sums: asked for at once, more than the processor has on their way would keep it waiting. */
static inline void fetch_soon(const struct sc_change_next *next, size_t i)
{
    __builtin_prefetch(next->a + next->bytes * i);
    __builtin_prefetch(next->b + next->bytes * i);
}

/* Two registers of lanes, from `first` on. */
SC_TARGET_AVX512 static void lanes_512(const float *a, const float *b, size_t n, size_t first,
                                       const struct sc_change_next *next, struct sc_change_lanes *l)
{
    struct wide s[2];
    struct extremes x = {_mm512_set1_pd(INFINITY), _mm512_set1_pd(-INFINITY)};
    uint64_t significant = 0;

#define LOAD(x)  s[k].x = _mm512_loadu_pd(l->x + first + 8 * k);
#define STORE(x) _mm512_storeu_pd(l->x + first + 8 * k, s[k].x);
    for (size_t k = 0; k < 2; k++) {
        FIELDS(LOAD)
    }
    for (size_t i = 0; i < n; i += SC_CHANGE_LANES) {
        unsigned ones = 0; /* bits of two at once are cheaper to count */
        if (i % 64 == 0)
            fetch_soon(next, (first ? n / 2 : 0) + i / 2);
        for (size_t k = 0; k < 2; k++)
            ones |= add_512(&s[k], &x, _mm512_cvtps_pd(_mm256_loadu_ps(a + i + first + 8 * k)),
                            _mm512_cvtps_pd(_mm256_loadu_ps(b + i + first + 8 * k)))
                    << 8 * k;
        significant += (unsigned)__builtin_popcount(ones);
    }
    for (size_t k = 0; k < 2; k++) {
        FIELDS(STORE)
    }
#undef LOAD
#undef STORE
    note_extremes(l, _mm512_reduce_min_pd(x.min_d), _mm512_reduce_max_pd(x.max_d));
    l->significant += significant;
}

SC_TARGET_AVX512 void sc_change_lanes_avx512(const float *a, const float *b, size_t n,
                                             const struct sc_change_next *next,
                                             struct sc_change_lanes *l)
{
    const struct sc_change_next here = {(const uint8_t *)a, (const uint8_t *)b, sizeof *a};

    for (size_t first = 0; first < SC_CHANGE_LANES; first += 16)
        lanes_512(a, b, n, first, next ? next : &here, l);
}

/* ------------------------------------------------------------ differences that are floats --- */
enum { DOUBLES = SC_CHANGE_LANES / 8, FLOATS = SC_CHANGE_LANES / 16 };
struct floats {
    __m512d a[DOUBLES], aa[DOUBLES], bb[DOUBLES], dd[DOUBLES];
    __m512 d[FLOATS], abs_d[FLOATS], min_d, max_d;
    __m512i significant;
};

SC_TARGET_AVX512 static inline void add_double(struct floats *s, size_t k, __m512d a, __m512d b)
{
    const __m512d d = _mm512_sub_pd(b, a);

    s->a[k] = _mm512_add_pd(s->a[k], a);
    s->aa[k] = _mm512_fmadd_pd(a, a, s->aa[k]);
    s->bb[k] = _mm512_fmadd_pd(b, b, s->bb[k]);
    s->dd[k] = _mm512_fmadd_pd(d, d, s->dd[k]);
}

/* 16 pairs, register k of the floats. No difference of two 16-bit floats lies between this limit of
 * what is significant and that of doubles. */
SC_TARGET_AVX512 static inline void add_float(struct floats *s, size_t k, const float *a,
                                              const float *b)
{
    const __m512 x = _mm512_loadu_ps(a), d = _mm512_sub_ps(_mm512_loadu_ps(b), x);
    const __m512 abs_d = _mm512_abs_ps(d);
    const __m512 limit =
        _mm512_fmadd_ps(_mm512_set1_ps(0.01F), _mm512_abs_ps(x), _mm512_set1_ps(1e-12F));

    s->d[k] = _mm512_add_ps(s->d[k], d);
    s->abs_d[k] = _mm512_add_ps(s->abs_d[k], abs_d);
    s->min_d = _mm512_min_ps(d, s->min_d);
    s->max_d = _mm512_max_ps(d, s->max_d);
    s->significant =
        _mm512_mask_sub_epi32(s->significant, _mm512_cmp_ps_mask(abs_d, limit, _CMP_GT_OQ),
                              s->significant, _mm512_set1_epi32(-1));
    for (size_t i = 0; i < 2; i++)
        add_double(s, 2 * k + i, _mm512_cvtps_pd(_mm256_loadu_ps(a + 8 * i)),
                   _mm512_cvtps_pd(_mm256_loadu_ps(b + 8 * i)));
}

SC_TARGET_AVX512 static inline void add_halves(double *to, __m512 x)
{
    const __m256 low = _mm512_castps512_ps256(x), high = _mm512_extractf32x8_ps(x, 1);

    _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), _mm512_cvtps_pd(low)));
    _mm512_storeu_pd(to + 8, _mm512_add_pd(_mm512_loadu_pd(to + 8), _mm512_cvtps_pd(high)));
}

SC_TARGET_AVX512 static inline void load_floats(struct floats *s, const struct sc_change_lanes *l)
{
    for (size_t k = 0; k < DOUBLES; k++) {
        s->a[k] = _mm512_loadu_pd(l->a + 8 * k);
        s->aa[k] = _mm512_loadu_pd(l->aa + 8 * k);
        s->bb[k] = _mm512_loadu_pd(l->bb + 8 * k);
        s->dd[k] = _mm512_loadu_pd(l->dd + 8 * k);
    }
    for (size_t k = 0; k < FLOATS; k++)
        s->d[k] = s->abs_d[k] = _mm512_setzero_ps();
    s->min_d = _mm512_set1_ps((float)INFINITY);
    s->max_d = _mm512_set1_ps(-(float)INFINITY);
    s->significant = _mm512_setzero_si512();
}

SC_TARGET_AVX512 static inline void store_floats(const struct floats *s, struct sc_change_lanes *l)
{
    for (size_t k = 0; k < DOUBLES; k++) {
        _mm512_storeu_pd(l->a + 8 * k, s->a[k]);
        _mm512_storeu_pd(l->aa + 8 * k, s->aa[k]);
        _mm512_storeu_pd(l->bb + 8 * k, s->bb[k]);
        _mm512_storeu_pd(l->dd + 8 * k, s->dd[k]);
    }
    for (size_t k = 0; k < FLOATS; k++) {
        add_halves(l->d + 16 * k, s->d[k]);
        add_halves(l->abs_d + 16 * k, s->abs_d[k]);
    }
    note_extremes(l, (double)_mm512_reduce_min_ps(s->min_d),
                  (double)_mm512_reduce_max_ps(s->max_d));
    l->significant += (unsigned)_mm512_reduce_add_epi32(s->significant);
}

SC_TARGET_AVX512 bool sc_change_floats_avx512(const float *a, const float *b, size_t n, float limit,
                                              const struct sc_change_next *next,
                                              struct sc_change_lanes *l)
{
    const struct sc_change_next here = {(const uint8_t *)a, (const uint8_t *)b, sizeof *a};
    struct floats s;

    next = next ? next : &here;
    load_floats(&s, l);
    for (size_t i = 0; i < n; i += SC_CHANGE_LANES) {
        fetch_soon(next, i);
        for (size_t k = 0; k < FLOATS; k++)
            add_float(&s, k, a + i + 16 * k, b + i + 16 * k);
    }
    /* Sums of magnitudes only grow: had one been rounded, it would have been at the limit. */
    if (!(_mm512_reduce_max_ps(_mm512_max_ps(s.abs_d[0], s.abs_d[1])) < limit))
        return false;
    store_floats(&s, l);
    return true;
}

SC_TARGET_AVX512 void sc_change_same_avx512(const float *a, size_t n, struct sc_change_lanes *l)
{
    __m512d sum[DOUBLES], aa[DOUBLES], bb[DOUBLES];

    for (size_t k = 0; k < DOUBLES; k++) {
        sum[k] = _mm512_loadu_pd(l->a + 8 * k);
        aa[k] = _mm512_loadu_pd(l->aa + 8 * k);
        bb[k] = _mm512_loadu_pd(l->bb + 8 * k);
    }
    for (size_t i = 0; i < n; i += SC_CHANGE_LANES)
        for (size_t k = 0; k < DOUBLES; k++) {
            const __m512d x = _mm512_cvtps_pd(_mm256_loadu_ps(a + i + 8 * k));
            sum[k] = _mm512_add_pd(sum[k], x);
            aa[k] = _mm512_fmadd_pd(x, x, aa[k]);
            bb[k] = _mm512_fmadd_pd(x, x, bb[k]);
        }
    for (size_t k = 0; k < DOUBLES; k++) {
        _mm512_storeu_pd(l->a + 8 * k, sum[k]);
        _mm512_storeu_pd(l->aa + 8 * k, aa[k]);
        _mm512_storeu_pd(l->bb + 8 * k, bb[k]);
    }
}

SC_TARGET_AVX512 void sc_change_widen_avx512(const uint8_t *codes, float *out, size_t n)
{
    const __m512i odd = _mm512_set1_epi32(-65536);

    for (size_t i = 0; i < n; i += 32) {
        const __m512i u = _mm512_loadu_si512(codes + 2 * i);
        _mm512_storeu_si512(out + i, _mm512_slli_epi32(u, 16));
        _mm512_storeu_si512(out + i + 16, _mm512_and_si512(u, odd));
    }
}

SC_TARGET_AVX512 void sc_change_scan_avx512(const float *a, const float *b, size_t n,
                                            struct sc_change_scan *s)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i max_a = _mm512_setzero_si512(), max_b = _mm512_setzero_si512();

    for (size_t i = 0; i < n; i += 16) {
        const __m512i u = _mm512_loadu_si512(a + i), v = _mm512_loadu_si512(b + i);
        const __m512i x = _mm512_and_si512(u, magnitude), y = _mm512_and_si512(v, magnitude);
        const __mmask16 differ = _mm512_cmpneq_epi32_mask(u, v);
        max_a = _mm512_max_epu32(max_a, x);
        max_b = _mm512_max_epu32(max_b, y);
        if (!differ)
            continue;
        const __mmask16 is_x = _mm512_test_epi32_mask(x, x), is_y = _mm512_test_epi32_mask(y, y);
        const __mmask16 signs = _mm512_movepi32_mask(_mm512_xor_si512(u, v));
        s->changed += (unsigned)__builtin_popcount(differ & (is_x | is_y));
        s->flips += (unsigned)__builtin_popcount(signs & is_x & is_y);
    }
    s->max_a = SC_MAX(s->max_a, _mm512_reduce_max_epu32(max_a));
    s->max_b = SC_MAX(s->max_b, _mm512_reduce_max_epu32(max_b));
}

SC_TARGET_AVX512 static uint32_t smallest_512(__m512i x)
{
    uint16_t lane[32];
    uint32_t least = UINT16_MAX;

    _mm512_storeu_si512(lane, x);
    for (size_t i = 0; i < 32; i++)
        least = SC_MIN(least, (uint32_t)lane[i]);
    return least;
}

SC_TARGET_AVX512 static uint32_t largest_512(__m512i x)
{
    uint16_t lane[32];
    uint32_t most = 0;

    _mm512_storeu_si512(lane, x);
    for (size_t i = 0; i < 32; i++)
        most = SC_MAX(most, (uint32_t)lane[i]);
    return most;
}

SC_TARGET_AVX512 void sc_change_scan16_avx512(const uint8_t *a, const uint8_t *b, size_t n,
                                              struct sc_change_scan *s)
{
    const __m512i magnitude = _mm512_set1_epi16(0x7fff);
    const __m512i one = _mm512_set1_epi16(1);
    __m512i max_a = _mm512_setzero_si512(), max_b = max_a, least = _mm512_set1_epi16(-1);
    uint64_t changed = 0, flips = 0;

    for (size_t i = 0; i < n; i += 32) {
        const __m512i u = _mm512_loadu_si512(a + 2 * i), v = _mm512_loadu_si512(b + 2 * i);
        const __m512i x = _mm512_and_si512(u, magnitude), y = _mm512_and_si512(v, magnitude);
        const __mmask32 differ = _mm512_cmpneq_epi16_mask(u, v);
        max_a = _mm512_max_epu16(max_a, x);
        max_b = _mm512_max_epu16(max_b, y);
        least = _mm512_min_epu16(least, _mm512_sub_epi16(x, one)); /* zero is the largest then */
        least = _mm512_min_epu16(least, _mm512_sub_epi16(y, one));
        if (!differ)
            continue;
        const __m512i either = _mm512_or_si512(x, y);
        const __mmask32 signs = _mm512_movepi16_mask(_mm512_xor_si512(u, v));
        changed +=
            (unsigned)__builtin_popcount(_mm512_mask_test_epi16_mask(differ, either, either));
        if (signs) /* few values change theirs */
            flips += (unsigned)__builtin_popcount(
                _mm512_mask_test_epi16_mask(_mm512_mask_test_epi16_mask(signs, x, x), y, y));
    }
    s->changed += changed;
    s->flips += flips;
    s->least = SC_MIN(s->least, smallest_512(least) + 1);
    s->max_a = SC_MAX(s->max_a, largest_512(max_a));
    s->max_b = SC_MAX(s->max_b, largest_512(max_b));
}

SC_TARGET_AVX512 static inline __m512i ones_of_bytes(__m512i x)
{
    const __m512i ones =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i low = _mm512_set1_epi8(15);

    return _mm512_add_epi8(
        _mm512_shuffle_epi8(ones, _mm512_and_si512(x, low)),
        _mm512_shuffle_epi8(ones, _mm512_and_si512(_mm512_srli_epi16(x, 4), low)));
}

SC_TARGET_AVX512 static uint64_t ones_of(__m512i x)
{
    return (uint64_t)_mm512_reduce_add_epi64(
        _mm512_sad_epu8(ones_of_bytes(x), _mm512_setzero_si512()));
}

/* Three bits are a sum of two: *sum keeps the lower, what is returned is the upper. */
SC_TARGET_AVX512 static inline __m512i carry(__m512i *sum, __m512i x, __m512i y)
{
    enum { MAJORITY = 0xe8, PARITY = 0x96 };
    const __m512i upper = _mm512_ternarylogic_epi64(*sum, x, y, MAJORITY);

    *sum = _mm512_ternarylogic_epi64(*sum, x, y, PARITY);
    return upper;
}

/* Of 16-bit codes. */
struct looked {
    __m512i max_a, max_b, least;
    uint64_t changed, flips;
};

/* 32 pairs of codes: their differing bits. */
SC_TARGET_AVX512 static inline __m512i look_512(struct looked *s, const uint8_t *a,
                                                const uint8_t *b, float *x, float *y)
{
    const __m512i magnitude = _mm512_set1_epi16(0x7fff), odd = _mm512_set1_epi32(-65536);
    const __m512i u = _mm512_loadu_si512(a), v = _mm512_loadu_si512(b);
    const __m512i m = _mm512_and_si512(u, magnitude), k = _mm512_and_si512(v, magnitude);
    const __m512i diff = _mm512_xor_si512(u, v);

    s->max_a = _mm512_max_epu16(s->max_a, m);
    s->max_b = _mm512_max_epu16(s->max_b, k);
    s->least = _mm512_min_epu16(s->least, _mm512_min_epu16(m, k));
    s->changed += (unsigned)__builtin_popcount(_mm512_test_epi16_mask(diff, diff));
    s->flips += (unsigned)__builtin_popcount(_mm512_movepi16_mask(diff));
    _mm512_storeu_si512(x, _mm512_slli_epi32(u, 16));
    _mm512_storeu_si512(x + 16, _mm512_and_si512(u, odd));
    _mm512_storeu_si512(y, _mm512_slli_epi32(v, 16));
    _mm512_storeu_si512(y + 16, _mm512_and_si512(v, odd));
    return diff;
}

SC_TARGET_AVX512 uint64_t sc_change_look16_avx512(const uint8_t *a, const uint8_t *b, size_t n,
                                                  float *x, float *y, struct sc_change_scan *s)
{
    const __m512i zero = _mm512_setzero_si512();
    struct looked seen = {zero, zero, _mm512_set1_epi16(-1), 0, 0};
    __m512i ones = zero, twos = zero, fours = zero, eights = zero;

    /* Ones of eight registers are added up bit by bit before any are counted. */
    for (size_t i = 0; i < n; i += 256) {
        __m512i d[8], two[4], four[2];
        for (size_t k = 0; k < 8; k++)
            d[k] = look_512(&seen, a + 2 * i + 64 * k, b + 2 * i + 64 * k, x + i + 32 * k,
                            y + i + 32 * k);
        for (size_t k = 0; k < 4; k++)
            two[k] = carry(&ones, d[2 * k], d[2 * k + 1]);
        for (size_t k = 0; k < 2; k++)
            four[k] = carry(&twos, two[2 * k], two[2 * k + 1]);
        eights = _mm512_add_epi64(
            eights, _mm512_sad_epu8(ones_of_bytes(carry(&fours, four[0], four[1])), zero));
    }
    s->changed += seen.changed;
    s->flips += seen.flips;
    s->max_a = SC_MAX(s->max_a, largest_512(seen.max_a));
    s->max_b = SC_MAX(s->max_b, largest_512(seen.max_b));
    s->least = SC_MIN(s->least, smallest_512(seen.least));
    return 8 * (uint64_t)_mm512_reduce_add_epi64(eights) + 4 * ones_of(fours) + 2 * ones_of(twos) +
           ones_of(ones);
}

SC_TARGET_AVX512 uint64_t sc_change_bits_avx512(const uint8_t *a, const uint8_t *b, size_t n)
{
    enum { STEP = 64, MOST = 31 * STEP };
    const __m512i zero = _mm512_setzero_si512();
    __m512i sum = zero;

    for (size_t at = 0; at < n; at += MOST) {
        const size_t end = SC_MIN(n, at + MOST);
        __m512i bytes = zero;
        for (size_t i = at; i < end; i += STEP)
            bytes =
                _mm512_add_epi8(bytes, ones_of_bytes(_mm512_xor_si512(_mm512_loadu_si512(a + i),
                                                                      _mm512_loadu_si512(b + i))));
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(bytes, zero));
    }
    return (uint64_t)_mm512_reduce_add_epi64(sum);
}

SC_TARGET_AVX512 size_t sc_change_find_avx512(const float *a, const float *b, size_t n,
                                              double magnitude)
{
    for (size_t i = 0; i < n; i += 8) {
        const __m512d d = _mm512_sub_pd(_mm512_cvtps_pd(_mm256_loadu_ps(b + i)),
                                        _mm512_cvtps_pd(_mm256_loadu_ps(a + i)));
        const unsigned hit =
            _mm512_cmp_pd_mask(_mm512_abs_pd(d), _mm512_set1_pd(magnitude), _CMP_EQ_OQ);
        if (hit)
            return i + (size_t)__builtin_ctz(hit);
    }
    return n;
}

/* ---------------------------------------------------------------------------------- AVX2 --- */
#define vector __m256d
struct narrow {
    FIELDS(MEMBER)
    vector min_d, max_d;
};
#undef vector

SC_TARGET_AVX2 static inline unsigned add_256(struct narrow *s, __m256d a, __m256d b)
{
    const __m256d sign = _mm256_set1_pd(-0.0);
    const __m256d d = _mm256_sub_pd(b, a), abs_d = _mm256_andnot_pd(sign, d);

    s->a = _mm256_add_pd(s->a, a);
    s->aa = _mm256_fmadd_pd(a, a, s->aa);
    s->bb = _mm256_fmadd_pd(b, b, s->bb);
    s->d = _mm256_add_pd(s->d, d);
    s->dd = _mm256_fmadd_pd(d, d, s->dd);
    s->abs_d = _mm256_add_pd(s->abs_d, abs_d);
    s->min_d = _mm256_min_pd(d, s->min_d);
    s->max_d = _mm256_max_pd(d, s->max_d);
    const __m256d limit = _mm256_mul_pd(
        _mm256_set1_pd(0.01), _mm256_add_pd(_mm256_andnot_pd(sign, a), _mm256_set1_pd(1e-10)));
    return (unsigned)__builtin_popcount(
        (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(abs_d, limit, _CMP_GT_OQ)));
}

/* Lanes first..first+4. */
SC_TARGET_AVX2 static void lanes_256(const float *a, const float *b, size_t n, size_t first,
                                     struct sc_change_lanes *l)
{
    struct narrow s = {.min_d = _mm256_set1_pd(INFINITY), .max_d = _mm256_set1_pd(-INFINITY)};
    uint64_t significant = 0;
    double least[4], most[4];

#define LOAD(x)  s.x = _mm256_loadu_pd(l->x + first);
#define STORE(x) _mm256_storeu_pd(l->x + first, s.x);
    FIELDS(LOAD)
    for (size_t i = first; i < n; i += SC_CHANGE_LANES)
        significant +=
            add_256(&s, _mm256_cvtps_pd(_mm_loadu_ps(a + i)), _mm256_cvtps_pd(_mm_loadu_ps(b + i)));
    FIELDS(STORE)
#undef LOAD
#undef STORE
    _mm256_storeu_pd(least, s.min_d);
    _mm256_storeu_pd(most, s.max_d);
    for (size_t i = 0; i < 4; i++)
        note_extremes(l, least[i], most[i]);
    l->significant += significant;
}

SC_TARGET_AVX2 void sc_change_lanes_avx2(const float *a, const float *b, size_t n,
                                         struct sc_change_lanes *l)
{
    for (size_t first = 0; first < SC_CHANGE_LANES; first += 4)
        lanes_256(a, b, n, first, l);
}

SC_TARGET_AVX2 void sc_change_same_avx2(const float *a, size_t n, struct sc_change_lanes *l)
{
    for (size_t first = 0; first < SC_CHANGE_LANES; first += 4) {
        __m256d sum = _mm256_loadu_pd(l->a + first), aa = _mm256_loadu_pd(l->aa + first),
                bb = _mm256_loadu_pd(l->bb + first);
        for (size_t i = first; i < n; i += SC_CHANGE_LANES) {
            const __m256d x = _mm256_cvtps_pd(_mm_loadu_ps(a + i));
            sum = _mm256_add_pd(sum, x);
            aa = _mm256_fmadd_pd(x, x, aa);
            bb = _mm256_fmadd_pd(x, x, bb);
        }
        _mm256_storeu_pd(l->a + first, sum);
        _mm256_storeu_pd(l->aa + first, aa);
        _mm256_storeu_pd(l->bb + first, bb);
    }
}

SC_TARGET_AVX2 static unsigned ones_256(__m256i mask)
{
    return (unsigned)__builtin_popcount((unsigned)_mm256_movemask_epi8(mask));
}

SC_TARGET_AVX2 static __m256i load_256(const void *p)
{
    return _mm256_loadu_si256(p);
}

/* Ones of four bits are looked up; sums of bytes are added before they overflow. */
SC_TARGET_AVX2 uint64_t sc_change_bits_avx2(const uint8_t *a, const uint8_t *b, size_t n)
{
    enum { STEP = 32, MOST = 31 * STEP }; /* at most 8 ones a byte */
    const __m256i ones =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i low = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    __m256i sum = zero;
    uint64_t lane[4];

    for (size_t at = 0; at < n; at += MOST) {
        const size_t end = SC_MIN(n, at + MOST);
        __m256i bytes = zero;
        for (size_t i = at; i < end; i += STEP) {
            const __m256i x = _mm256_xor_si256(load_256(a + i), load_256(b + i));
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
            bytes = _mm256_add_epi8(bytes, _mm256_shuffle_epi8(ones, _mm256_and_si256(x, low)));
            bytes = _mm256_add_epi8(bytes, _mm256_shuffle_epi8(ones, high));
        }
        sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, zero));
    }
    _mm256_storeu_si256((void *)lane, sum);
    return lane[0] + lane[1] + lane[2] + lane[3];
}

SC_TARGET_AVX2 void sc_change_scan_avx2(const float *a, const float *b, size_t n,
                                        struct sc_change_scan *s)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), zero = _mm256_setzero_si256();
    __m256i max_a = zero, max_b = zero;
    uint32_t lane[16];

    for (size_t i = 0; i < n; i += 8) {
        const __m256i u = load_256(a + i), v = load_256(b + i), diff = _mm256_xor_si256(u, v);
        const __m256i x = _mm256_and_si256(u, magnitude), y = _mm256_and_si256(v, magnitude);
        max_a = _mm256_max_epu32(max_a, x);
        max_b = _mm256_max_epu32(max_b, y);
        if (_mm256_testz_si256(diff, diff))
            continue;
        const __m256i same = _mm256_cmpeq_epi32(u, v);
        const __m256i none = _mm256_cmpeq_epi32(_mm256_or_si256(x, y), zero);
        const __m256i either =
            _mm256_or_si256(_mm256_cmpeq_epi32(x, zero), _mm256_cmpeq_epi32(y, zero));
        s->changed += 8 - ones_256(_mm256_or_si256(same, none)) / 4;
        s->flips += ones_256(_mm256_andnot_si256(either, _mm256_srai_epi32(diff, 31))) / 4;
    }
    _mm256_storeu_si256((__m256i *)(void *)lane, max_a);
    _mm256_storeu_si256((__m256i *)(void *)(lane + 8), max_b);
    for (size_t i = 0; i < 8; i++) {
        s->max_a = SC_MAX(s->max_a, lane[i]);
        s->max_b = SC_MAX(s->max_b, lane[8 + i]);
    }
}

SC_TARGET_AVX2 void sc_change_scan16_avx2(const uint8_t *a, const uint8_t *b, size_t n,
                                          struct sc_change_scan *s)
{
    const __m256i magnitude = _mm256_set1_epi16(0x7fff), zero = _mm256_setzero_si256();
    __m256i max_a = zero, max_b = zero;
    uint16_t lane[32];

    for (size_t i = 0; i < n; i += 16) {
        const __m256i u = load_256(a + 2 * i), v = load_256(b + 2 * i);
        const __m256i diff = _mm256_xor_si256(u, v);
        const __m256i x = _mm256_and_si256(u, magnitude), y = _mm256_and_si256(v, magnitude);
        max_a = _mm256_max_epu16(max_a, x);
        max_b = _mm256_max_epu16(max_b, y);
        if (_mm256_testz_si256(diff, diff))
            continue;
        const __m256i same = _mm256_cmpeq_epi16(u, v);
        const __m256i none = _mm256_cmpeq_epi16(_mm256_or_si256(x, y), zero);
        const __m256i either =
            _mm256_or_si256(_mm256_cmpeq_epi16(x, zero), _mm256_cmpeq_epi16(y, zero));
        s->changed += 16 - ones_256(_mm256_or_si256(same, none)) / 2;
        s->flips += ones_256(_mm256_andnot_si256(either, _mm256_srai_epi16(diff, 15))) / 2;
    }
    _mm256_storeu_si256((__m256i *)(void *)lane, max_a);
    _mm256_storeu_si256((__m256i *)(void *)(lane + 16), max_b);
    for (size_t i = 0; i < 16; i++) {
        s->max_a = SC_MAX(s->max_a, (uint32_t)lane[i]);
        s->max_b = SC_MAX(s->max_b, (uint32_t)lane[16 + i]);
    }
}
#endif
