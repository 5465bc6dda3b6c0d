/* SPDX-License-Identifier: Apache-2.0 */
/* errors: what errors.c and its variants share, in kernel and among the encoders of codec. Private
 * to these. */
#ifndef SC_KERNEL_ERRORS_H
#define SC_KERNEL_ERRORS_H

#include "kernel/lanes.h"
#if SC_HAVE_X86
#include <immintrin.h>
#endif

/* Rows of a column that are added up as floats by themselves. */
enum { SC_ERROR_TOGETHER = 16 };
/* Vectors of columns that are added up beside each other: as many as there are registers for. */
enum { BESIDE_avx2 = 1, BESIDE_avx512 = 2 };

/* *most becomes at least the largest |y - x| / |x| of 16 elements, x not 0. */
void sc_errors_relative(const float *x, const float *y, float *most);
/* All of *out but where sums and columns are; and the sums. */
void sc_errors_clear(const struct sc_error_block *b, struct sc_block_errors *out);
enum { SC_SHORT_TILES = SC_SHORT_COLUMNS / SC_ERROR_COLUMNS };
/* The order of short errors: of 32 columns that which stands in place i. */
static inline size_t sc_short_column(size_t i)
{
    const size_t lane = i / 2;
    return 2 * (lane / 2 + lane % 2 * (SC_LANES / 2)) + i % 2;
}
#if SC_HAVE_X86
/* From here on floats below 2^-126 are 0, as results and where they are taken from: as products of
 * two BF16 values always have it. Returns what sc_tiny_is_back() is given. Floats do not move from
 * where this is called into functions that are not inlined, or back. */
static inline unsigned sc_tiny_is_zero(void)
{
    const unsigned was = _mm_getcsr(), flush = 0x8000, denormals_are_zero = 0x40;
    _mm_setcsr(was | flush | denormals_are_zero);
    return was;
}
static inline void sc_tiny_is_back(unsigned was)
{
    _mm_setcsr(was);
}
/* All that sc_errors_short_bf16() does but sums and `most`; these are the next two's. */
bool sc_lay_short_avx2(const struct sc_short_codes *from, struct sc_block_errors *out);
bool sc_lay_short_avx512(const struct sc_short_codes *from, struct sc_block_errors *out);
void sc_errors_short_x_avx2(const struct sc_error_block *b, struct sc_block_errors *out);
void sc_errors_short_x_avx512(const struct sc_error_block *b, struct sc_block_errors *out);
/* Both at once. Wants AVX512-BF16. */
bool sc_read_short_bf16(const struct sc_short_codes *from, struct sc_block_errors *out);
void sc_errors_avx2(const struct sc_error_block *b, struct sc_block_errors *out);
void sc_errors_avx512(const struct sc_error_block *b, struct sc_block_errors *out);
/* Without `most`; rows are even in number, with SC_BF16_COLUMNS columns. */
enum { SC_BF16_COLUMNS = 128 };
void sc_errors_bf16_avx512(const uint8_t *codes, size_t stride, size_t rows, const uint8_t *ahead,
                           bool only_sums, float *x, uint32_t *peaks, struct sc_block_errors *out);
/* The first of n, as many as are returned; infinities count. */
size_t sc_extremes_avx2(const float *x, size_t n, float *min, float *max);
size_t sc_extremes_avx512(const float *x, size_t n, float *min, float *max);
/* Of the first of n BF16 codes, as many as are returned: the largest as integers with a sign, which
 * is the largest value unless all have one; and without one, the least value unless none has. */
size_t sc_code_extremes_avx2(const uint8_t *codes, size_t n, int16_t *high, uint16_t *far);
size_t sc_code_extremes_avx512(const uint8_t *codes, size_t n, int16_t *high, uint16_t *far);
#endif

#endif
