/* SPDX-License-Identifier: Apache-2.0 */
/* rows_x86: rows.c for AVX2 and AVX-512, bit for bit. */
#include "kernel/lanes.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <string.h>

#define AVX2   SC_TARGET_AVX2 static inline
#define AVX512 SC_TARGET_AVX512 static inline

AVX512 __mmask16 first_of(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffU : (1U << n) - 1);
}

/* n < 8: what exists, then zeros. */
AVX2 __m256i mask8(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

AVX2 __m256 load_up_to_8(const float *x, size_t n)
{
    return n >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, mask8(n));
}

/* ----------------------------------------------------------------------------------- peaks --- */
AVX2 uint32_t largest8(__m256i v)
{
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(m);
}

AVX2 uint32_t peak_avx2(const float *x, size_t n)
{
    const __m256i positive = _mm256_set1_epi32(INT32_MAX);
    __m256i a = _mm256_setzero_si256(), b = a;
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        a = _mm256_max_epu32(a,
                             _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i)), positive));
        b = _mm256_max_epu32(
            b, _mm256_and_si256(_mm256_loadu_si256((const void *)(x + i + 8)), positive));
    }
    for (; i < n; i += SC_MIN(n - i, (size_t)8))
        a = _mm256_max_epu32(
            a, _mm256_and_si256(_mm256_castps_si256(load_up_to_8(x + i, n - i)), positive));
    return largest8(_mm256_max_epu32(a, b));
}

SC_TARGET_AVX2 uint32_t sc_peaks_avx2(const float *x, size_t n, size_t group, uint32_t *peaks)
{
    uint32_t all = 0;
    for (size_t i = 0; i < n; i += SC_MIN(group, n - i)) {
        const uint32_t peak = peak_avx2(x + i, SC_MIN(group, n - i));
        *peaks++ = peak;
        all = SC_MAX(all, peak);
    }
    return all;
}

AVX512 uint32_t peak_avx512(const float *x, size_t n)
{
    const __m512i positive = _mm512_set1_epi32(INT32_MAX);
    __m512i a = _mm512_setzero_si512(), b = a;
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        a = _mm512_max_epu32(a, _mm512_and_si512(_mm512_loadu_si512(x + i), positive));
        b = _mm512_max_epu32(b, _mm512_and_si512(_mm512_loadu_si512(x + i + 16), positive));
    }
    for (; i < n; i += SC_MIN(n - i, (size_t)16))
        a = _mm512_max_epu32(
            a, _mm512_and_si512(_mm512_maskz_loadu_epi32(first_of(n - i), x + i), positive));
    a = _mm512_max_epu32(a, b);
    return largest8(_mm256_max_epu32(_mm512_castsi512_si256(a), _mm512_extracti32x8_epi32(a, 1)));
}

SC_TARGET_AVX512 uint32_t sc_peaks_avx512(const float *x, size_t n, size_t group, uint32_t *peaks)
{
    uint32_t all = 0;
    for (size_t i = 0; i < n; i += SC_MIN(group, n - i)) {
        const uint32_t peak = peak_avx512(x + i, SC_MIN(group, n - i));
        *peaks++ = peak;
        all = SC_MAX(all, peak);
    }
    return all;
}

/* --------------------------------------------------------------------------------- columns --- */
SC_TARGET_AVX2 double sc_columns_avx2(const float *x, size_t n, uint32_t *peak, double *square)
{
    const __m256i positive = _mm256_set1_epi32(INT32_MAX);
    __m256d row[4];
    for (int i = 0; i < 4; i++)
        row[i] = _mm256_setzero_pd();
    size_t i = 0;
    for (; n - i >= SC_LANES; i += SC_LANES) {
        for (size_t j = i; j < i + SC_LANES; j += 8) {
            const __m256i v = _mm256_and_si256(_mm256_loadu_si256((const void *)(x + j)), positive);
            __m256i *to = (void *)(peak + j);
            _mm256_storeu_si256(to, _mm256_max_epu32(_mm256_loadu_si256(to), v));
        }
        for (int j = 0; j < 4; j++) {
            const size_t at = i + 4 * (size_t)j;
            const __m256d v = _mm256_cvtps_pd(_mm_loadu_ps(x + at)), s = _mm256_mul_pd(v, v);
            _mm256_storeu_pd(square + at, _mm256_add_pd(_mm256_loadu_pd(square + at), s));
            row[j] = _mm256_add_pd(row[j], s);
        }
    }
    double lanes[SC_LANES];
    for (int j = 0; j < 4; j++)
        _mm256_storeu_pd(lanes + 4 * j, row[j]);
    for (size_t j = 0; i < n; i++, j++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= INT32_MAX;
        const double v = x[i];
        peak[i] = SC_MAX(peak[i], bits);
        square[i] += v * v;
        lanes[j] += v * v;
    }
    return sc_lanes_sum(lanes);
}

SC_TARGET_AVX512 double sc_columns_avx512(const float *x, size_t n, uint32_t *peak, double *square)
{
    const __m512i positive = _mm512_set1_epi32(INT32_MAX);
    __m512d row[2] = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (size_t i = 0; i < n; i += SC_LANES) {
        const __mmask16 mask = first_of(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        const __m512i bits = _mm512_and_si512(_mm512_castps_si512(v), positive);
        _mm512_mask_storeu_epi32(peak + i, mask,
                                 _mm512_max_epu32(_mm512_maskz_loadu_epi32(mask, peak + i), bits));
        const __m512d half[2] = {_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                                 _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))};
        for (int j = 0; j < 2; j++) {
            const __mmask8 there = (__mmask8)(mask >> 8 * j);
            double *to = square + i + 8 * j;
            const __m512d s = _mm512_mul_pd(half[j], half[j]);
            _mm512_mask_storeu_pd(to, there, _mm512_add_pd(_mm512_maskz_loadu_pd(there, to), s));
            row[j] = _mm512_add_pd(row[j], s);
        }
    }
    double lanes[SC_LANES];
    _mm512_storeu_pd(lanes, row[0]);
    _mm512_storeu_pd(lanes + 8, row[1]);
    return sc_lanes_sum(lanes);
}

/* Rows one after the other, a strip of columns at a time, so that their float sums stay in cache.
 */
AVX2 __m256 strip_of_8(const float *x, size_t n, float *sum, uint32_t *peak, bool first)
{
    const __m256 v = load_up_to_8(x, n);
    const __m256 s = _mm256_mul_ps(v, v);
    const __m256i bits = _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(INT32_MAX));
    _mm256_storeu_ps(sum, first ? s : _mm256_add_ps(_mm256_loadu_ps(sum), s));
    if (n >= 8) {
        const __m256i old = _mm256_loadu_si256((const void *)peak);
        _mm256_storeu_si256((void *)peak, _mm256_max_epu32(old, bits));
    } else {
        const __m256i old = _mm256_maskload_epi32((const void *)peak, mask8(n));
        _mm256_maskstore_epi32((void *)peak, mask8(n), _mm256_max_epu32(old, bits));
    }
    return s;
}

SC_TARGET_AVX2 void sc_columns_block_avx2(const float *x, size_t rows, size_t n, uint32_t *peak,
                                          double *square, double lanes[][SC_LANES])
{
    float sum[SC_COLUMNS_IN_FLOAT];
    for (size_t from = 0; from < n; from += SC_COLUMNS_IN_FLOAT) {
        const size_t now = SC_MIN(n - from, (size_t)SC_COLUMNS_IN_FLOAT);
        for (size_t k = 0; k < rows; k++) {
            const float *row = x + k * n + from;
            __m256 half[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
            for (size_t i = 0, j = 0; i < now; i += 8, j ^= 1)
                half[j] = _mm256_add_ps(
                    half[j], strip_of_8(row + i, now - i, sum + i, peak + from + i, k == 0));
            float part[SC_LANES];
            _mm256_storeu_ps(part, half[0]);
            _mm256_storeu_ps(part + 8, half[1]);
            for (size_t i = 0; i < SC_LANES; i++)
                lanes[k][i] += part[i];
        }
        size_t i = 0;
        for (; now - i >= 4; i += 4) {
            const __m256d s = _mm256_cvtps_pd(_mm_loadu_ps(sum + i));
            double *to = square + from + i;
            _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), s));
        }
        for (; i < now; i++)
            square[from + i] += sum[i];
    }
}

AVX512 void add_wide(__m512 v, double *to, __mmask16 there)
{
    const __mmask8 low = (__mmask8)there, high = (__mmask8)(there >> 8);
    const __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    const __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    _mm512_mask_storeu_pd(to, low, _mm512_add_pd(_mm512_maskz_loadu_pd(low, to), a));
    _mm512_mask_storeu_pd(to + 8, high, _mm512_add_pd(_mm512_maskz_loadu_pd(high, to + 8), b));
}

/* 16 columns of all rows; their sums of this strip are in `part`. */
AVX512 void block_x16(const float *x, size_t rows, size_t stride, __mmask16 there, uint32_t *peak,
                      double *square, __m512 *part)
{
    const __m512i positive = _mm512_set1_epi32(INT32_MAX);
    __m512i most = _mm512_maskz_loadu_epi32(there, peak);
    __m512 sum = _mm512_setzero_ps();
    for (size_t k = 0; k < rows; k++) {
        const __m512 v = _mm512_maskz_loadu_ps(there, x + k * stride);
        const __m512 s = _mm512_mul_ps(v, v);
        most = _mm512_max_epu32(most, _mm512_and_si512(_mm512_castps_si512(v), positive));
        sum = _mm512_add_ps(sum, s);
        part[k] = _mm512_add_ps(part[k], s);
    }
    _mm512_mask_storeu_epi32(peak, there, most);
    add_wide(sum, square, there);
}

/* Called with a constant number of rows, whose sums then are registers. */
AVX512 void block_avx512(const float *x, size_t rows, size_t n, uint32_t *peak, double *square,
                         double lanes[][SC_LANES])
{
    for (size_t from = 0; from < n; from += SC_COLUMNS_IN_FLOAT) {
        const size_t end = SC_MIN(n, from + SC_COLUMNS_IN_FLOAT);
        __m512 part[SC_ROWS_IN_FLOAT];
        for (size_t k = 0; k < rows; k++)
            part[k] = _mm512_setzero_ps();
        size_t i = from;
        for (; end - i >= SC_LANES; i += SC_LANES)
            block_x16(x + i, rows, n, 0xffff, peak + i, square + i, part);
        if (i < end)
            block_x16(x + i, rows, n, first_of(end - i), peak + i, square + i, part);
        for (size_t k = 0; k < rows; k++)
            add_wide(part[k], lanes[k], 0xffff);
    }
}

SC_TARGET_AVX512 void sc_columns_block_avx512(const float *x, size_t rows, size_t n, uint32_t *peak,
                                              double *square, double lanes[][SC_LANES])
{
    if (rows == 8)
        block_avx512(x, 8, n, peak, square, lanes);
    else if (rows == 4)
        block_avx512(x, 4, n, peak, square, lanes);
    else
        block_avx512(x, 2, n, peak, square, lanes);
}

/* ------------------------------------------------------------------------------------ BF16 --- */
/* 32 codes, then 16 floats. */
SC_TARGET_AVX512 uint32_t sc_peaks_bf16_avx512(const uint8_t *codes, size_t n, size_t group,
                                               uint32_t *peaks)
{
    const __m512i positive = _mm512_set1_epi16(INT16_MAX);
    uint32_t all = 0;
    for (size_t end = 0, i = 0; i < n;) {
        end = SC_MIN(n, i + group);
        __m512i most = _mm512_setzero_si512();
        for (; i < end; i += 32)
            most = _mm512_max_epu16(most,
                                    _mm512_and_si512(_mm512_loadu_si512(codes + 2 * i), positive));
        const __m256i half =
            _mm256_max_epu16(_mm512_castsi512_si256(most), _mm512_extracti64x4_epi64(most, 1));
        const __m128i m =
            _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
        /* The smallest of what is missing, for which there is an instruction. */
        const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi32(-1)));
        const uint32_t peak = (~(uint32_t)_mm_cvtsi128_si32(least) & 0xffff) << 16;
        *peaks++ = peak;
        all = SC_MAX(all, peak);
    }
    return all;
}

AVX512 __m512 sixteen(__m256i codes)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(codes), 16));
}

AVX512 void larger(uint32_t *peak, __m256i codes)
{
    const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(codes), 16);
    _mm512_storeu_si512(peak, _mm512_max_epu32(_mm512_loadu_si512(peak), bits));
}

/* block_avx512() of codes. Their squares have 16 bits: a product that is not rounded before it is
 * added gives the same. */
AVX512 void block_bf16(const uint8_t *codes, size_t rows, size_t n, uint32_t *peak, double *square,
                       double lanes[][SC_LANES])
{
    const __m512i positive = _mm512_set1_epi16(INT16_MAX);
    for (size_t from = 0; from < n; from += SC_COLUMNS_IN_FLOAT) {
        const size_t end = SC_MIN(n, from + SC_COLUMNS_IN_FLOAT);
        __m512 part[SC_ROWS_IN_FLOAT];
        for (size_t k = 0; k < rows; k++)
            part[k] = _mm512_setzero_ps();
        for (size_t i = from; i < end; i += 32) {
            __m512i most = _mm512_setzero_si512();
            __m512 low = _mm512_setzero_ps(), high = low;
            for (size_t k = 0; k < rows; k++) {
                const uint8_t *at = codes + 2 * (k * n + i);
                const __m512 v = sixteen(_mm256_loadu_si256((const void *)at));
                const __m512 w = sixteen(_mm256_loadu_si256((const void *)(at + 32)));
                most = _mm512_max_epu16(most, _mm512_and_si512(_mm512_loadu_si512(at), positive));
                low = _mm512_fmadd_ps(v, v, low);
                high = _mm512_fmadd_ps(w, w, high);
                part[k] = _mm512_fmadd_ps(w, w, _mm512_fmadd_ps(v, v, part[k]));
            }
            larger(peak + i, _mm512_castsi512_si256(most));
            larger(peak + i + 16, _mm512_extracti64x4_epi64(most, 1));
            add_wide(low, square + i, 0xffff);
            add_wide(high, square + i + 16, 0xffff);
        }
        for (size_t k = 0; k < rows; k++)
            add_wide(part[k], lanes[k], 0xffff);
    }
}

SC_TARGET_AVX512 void sc_columns_bf16_avx512(const uint8_t *codes, size_t rows, size_t n,
                                             uint32_t *peak, double *square,
                                             double lanes[][SC_LANES])
{
    if (rows == 8)
        block_bf16(codes, 8, n, peak, square, lanes);
    else if (rows == 4)
        block_bf16(codes, 4, n, peak, square, lanes);
    else
        block_bf16(codes, 2, n, peak, square, lanes);
}
#endif
