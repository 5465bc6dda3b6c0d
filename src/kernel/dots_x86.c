/* SPDX-License-Identifier: Apache-2.0 */
/* dots_x86: dots.c for AVX2 and AVX-512, bit for bit.
 *
 * A tile of W rows of w and X rows of x keeps one accumulator of 16 lanes for each pair, so that
 * every load is used several times; both operands lie along k, so nothing is packed. */
#include "kernel/dots.h"

#if SC_HAVE_X86
#include <immintrin.h>

#define AVX2   SC_TARGET_AVX2 static inline
#define AVX512 SC_TARGET_AVX512 static inline

static inline void put(float *y, float sum, bool add)
{
    *y = add ? *y + sum : sum;
}

/* --------------------------------------------------------------------------------- AVX-512 --- */
AVX512 float sum8(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

AVX512 float sum16(__m512 v)
{
    return sum8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}

AVX512 __mmask16 first16(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffU : (1U << n) - 1);
}

/* 16 weights as floats, those of the mask. */
AVX512 __m512 load_f32(const void *p, __mmask16 m)
{
    return _mm512_maskz_loadu_ps(m, p);
}
AVX512 __m512 load_bf16(const void *p, __mmask16 m)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, p)), 16));
}

#define EACH_X6(do_, r) do_(r, 0) do_(r, 1) do_(r, 2) do_(r, 3) do_(r, 4) do_(r, 5)
#define EACH_X1(do_, r) do_(r, 0)
#define ACC(r, t)       __m512 a##r##t = _mm512_setzero_ps();
#define STEP(r, t)      a##r##t = _mm512_mask3_fmadd_ps(w##r, x##t, a##r##t, m);
#define PUT(r, t)       put(&d->y[(t0 + t) * d->y_stride + r0 + r], sum16(a##r##t), add);
#define LOAD_X(t, i)    const __m512 x##t = _mm512_maskz_loadu_ps(m, x + (t)*d->x_stride + (i));
#define X6(i)           LOAD_X(0, i) LOAD_X(1, i) LOAD_X(2, i) LOAD_X(3, i) LOAD_X(4, i) LOAD_X(5, i)
#define X1(i)           LOAD_X(0, i)
#define LOAD_W(r, load, type, i)                                                                   \
    const __m512 w##r = load((const type *)w + (size_t)(r)*stride + (i), m);
#define W4(load, type, i)                                                                          \
    LOAD_W(0, load, type, i)                                                                       \
    LOAD_W(1, load, type, i) LOAD_W(2, load, type, i) LOAD_W(3, load, type, i)
#define W1(load, type, i) LOAD_W(0, load, type, i)
#define R4(each, do_)     each(do_, 0) each(do_, 1) each(do_, 2) each(do_, 3)
#define R1(each, do_)     each(do_, 0)

/* A tile: NW rows of weights from r0 on, NX rows of x from t0 on. */
#define TILE(name, type, load, NW, NX)                                                             \
    AVX512 void name(const struct sc_dots *d, const type *w, size_t stride, size_t r0, size_t t0,  \
                     bool add)                                                                     \
    {                                                                                              \
        const float *x = d->x + t0 * d->x_stride;                                                  \
        size_t i = 0;                                                                              \
        w += r0 * stride;                                                                          \
        R##NW(EACH_X##NX, ACC) for (; d->n - i >= 16; i += 16)                                     \
        {                                                                                          \
            const __mmask16 m = 0xffff;                                                            \
            X##NX(i) W##NW(load, type, i) R##NW(EACH_X##NX, STEP)                                  \
        }                                                                                          \
        if (i < d->n) {                                                                            \
            const __mmask16 m = first16(d->n - i);                                                 \
            X##NX(i) W##NW(load, type, i) R##NW(EACH_X##NX, STEP)                                  \
        }                                                                                          \
        R##NW(EACH_X##NX, PUT)                                                                     \
    }
/* clang-format off */
TILE(f32_4x6, float, load_f32, 4, 6)
TILE(f32_4x1, float, load_f32, 4, 1)
TILE(f32_1x6, float, load_f32, 1, 6)
TILE(f32_1x1, float, load_f32, 1, 1)
TILE(bf16_4x6, uint16_t, load_bf16, 4, 6)
TILE(bf16_4x1, uint16_t, load_bf16, 4, 1)
TILE(bf16_1x6, uint16_t, load_bf16, 1, 6)
TILE(bf16_1x1, uint16_t, load_bf16, 1, 1)
/* clang-format on */

#define TILES(name, type, tile)                                                                    \
    SC_TARGET_AVX512 static void name(const struct sc_dots *d, const type *w, bool add)            \
    {                                                                                              \
        size_t r = 0;                                                                              \
        for (; d->n_w - r >= 4; r += 4) {                                                          \
            size_t t = 0;                                                                          \
            for (; d->n_x - t >= 6; t += 6)                                                        \
                tile##_4x6(d, w, d->w_stride, r, t, add);                                          \
            for (; t < d->n_x; t++)                                                                \
                tile##_4x1(d, w, d->w_stride, r, t, add);                                          \
        }                                                                                          \
        for (; r < d->n_w; r++) {                                                                  \
            size_t t = 0;                                                                          \
            for (; d->n_x - t >= 6; t += 6)                                                        \
                tile##_1x6(d, w, d->w_stride, r, t, add);                                          \
            for (; t < d->n_x; t++)                                                                \
                tile##_1x1(d, w, d->w_stride, r, t, add);                                          \
        }                                                                                          \
    }
TILES(tiles_f32, float, f32)
TILES(tiles_bf16, uint16_t, bf16)

void sc_dots_block_avx512(const struct sc_dots *d, bool add)
{
    tiles_f32(d, d->w, add);
}

void sc_dots_bf16_block_avx512(const struct sc_dots *d, const uint16_t *w, bool add)
{
    tiles_bf16(d, w, add);
}

SC_TARGET_AVX512 void sc_axpy_avx512(float a, const float *x, size_t n, float *y)
{
    const __m512 factor = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = first16(n - i);
        const __m512 sum = _mm512_fmadd_ps(factor, _mm512_maskz_loadu_ps(m, x + i),
                                           _mm512_maskz_loadu_ps(m, y + i));
        _mm512_mask_storeu_ps(y + i, m, sum);
    }
}

/* ------------------------------------------------------------------------------------ AVX2 ---
 * Two vectors stand for 16 lanes. */
struct lanes2 {
    __m256 low, high;
};

AVX2 float sum_lanes2(struct lanes2 v)
{
    const __m256 both = _mm256_add_ps(v.low, v.high);
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* The lanes that a shorter end does not reach stay as they are. */
AVX2 struct lanes2 add_end(struct lanes2 v, const float *a, const float *b, size_t n)
{
    float lanes[SC_LANES];
    _mm256_storeu_ps(lanes, v.low);
    _mm256_storeu_ps(lanes + 8, v.high);
    for (size_t i = 0; i < n; i++)
        lanes[i] =
            _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a[i]), _mm_set_ss(b[i]), _mm_set_ss(lanes[i])));
    return (struct lanes2){_mm256_loadu_ps(lanes), _mm256_loadu_ps(lanes + 8)};
}

AVX2 struct lanes2 step2(struct lanes2 v, __m256 w_low, __m256 w_high, const float *x)
{
    return (struct lanes2){_mm256_fmadd_ps(w_low, _mm256_loadu_ps(x), v.low),
                           _mm256_fmadd_ps(w_high, _mm256_loadu_ps(x + 8), v.high)};
}

/* One row of weights with up to four of x. */
AVX2 void row_avx2(const struct sc_dots *d, const float *w, size_t r, size_t t0, size_t n_t,
                   bool add)
{
    struct lanes2 sum[4];
    size_t i = 0;
    for (size_t t = 0; t < 4; t++)
        sum[t] = (struct lanes2){_mm256_setzero_ps(), _mm256_setzero_ps()};
    const float *x[4];
    for (size_t t = 0; t < 4; t++)
        x[t] = d->x + (t0 + SC_MIN(t, n_t - 1)) * d->x_stride;
    for (; d->n - i >= 16; i += 16) {
        const __m256 low = _mm256_loadu_ps(w + i), high = _mm256_loadu_ps(w + i + 8);
        sum[0] = step2(sum[0], low, high, x[0] + i);
        sum[1] = step2(sum[1], low, high, x[1] + i);
        sum[2] = step2(sum[2], low, high, x[2] + i);
        sum[3] = step2(sum[3], low, high, x[3] + i);
    }
    for (size_t t = 0; t < n_t; t++)
        put(&d->y[(t0 + t) * d->y_stride + r],
            sum_lanes2(add_end(sum[t], w + i, x[t] + i, d->n - i)), add);
}

SC_TARGET_AVX2 void sc_dots_block_avx2(const struct sc_dots *d, bool add)
{
    for (size_t r = 0; r < d->n_w; r++)
        for (size_t t = 0; t < d->n_x; t += 4)
            row_avx2(d, d->w + r * d->w_stride, r, t, SC_MIN(d->n_x - t, (size_t)4), add);
}

SC_TARGET_AVX2 void sc_dots_bf16_block_avx2(const struct sc_dots *d, const uint16_t *w, bool add)
{
    float row[SC_DOT_BLOCK];

    for (size_t r = 0; r < d->n_w; r++) {
        const uint16_t *from = w + r * d->w_stride;
        size_t k = 0;
        for (; d->n - k >= 8; k += 8)
            _mm256_storeu_ps(
                row + k,
                _mm256_castsi256_ps(_mm256_slli_epi32(
                    _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(from + k))), 16)));
        for (; k < d->n; k++)
            row[k] = sc_float_of((uint32_t)from[k] << 16);
        for (size_t t = 0; t < d->n_x; t += 4)
            row_avx2(d, row, r, t, SC_MIN(d->n_x - t, (size_t)4), add);
    }
}

SC_TARGET_AVX2 void sc_axpy_avx2(float a, const float *x, size_t n, float *y)
{
    const __m256 factor = _mm256_set1_ps(a);
    size_t i = 0;
    for (; n - i >= 8; i += 8)
        _mm256_storeu_ps(y + i,
                         _mm256_fmadd_ps(factor, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    for (; i < n; i++)
        y[i] = _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(x[i]), _mm_set_ss(y[i])));
}
#endif
