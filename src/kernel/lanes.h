/* SPDX-License-Identifier: Apache-2.0 */
/* lanes: what moments.c, rows.c and their variants share. Private to kernel. */
#ifndef SC_KERNEL_LANES_H
#define SC_KERNEL_LANES_H

#include "kernel/kernel.h"

/* A product that is not rounded before the sum gives other bits; see codec/decode.h. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* t + this - this rounds a float below 2^22 to an integer, half to even. */
#define SC_ROUND_MAGIC 12582912.0F
/* Groups whose float sums are added before they become doubles. */
enum { SC_GROUPS_IN_FLOAT = 32 };
/* Squares of a column, and of a row, that are added as floats before they become doubles. */
enum { SC_ROWS_IN_FLOAT = 8, SC_COLUMNS_IN_FLOAT = 32 * SC_LANES };

/* The order in which 16 lanes are added, once. */
static inline double sc_lanes_sum(double v[SC_LANES])
{
    for (size_t half = SC_LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
}
static inline double sc_lanes_sum_float(const float v[SC_LANES])
{
    double wide[SC_LANES];
    for (size_t i = 0; i < SC_LANES; i++)
        wide[i] = v[i];
    return sc_lanes_sum(wide);
}

/* Float sums of sc_steps(), a lane each. */
struct sc_step_lanes {
    float square[SC_LANES], abs[SC_LANES], cross[SC_LANES], most[SC_LANES];
};
void sc_steps_flush(struct sc_step_lanes *lanes, struct sc_steps *out);

#if SC_HAVE_X86
void sc_sums_avx2(const float *x, size_t n, struct sc_sums *out);
void sc_sums_avx512(const float *x, size_t n, struct sc_sums *out);
void sc_central_avx2(const float *x, size_t n, double mean, struct sc_central *out);
void sc_central_avx512(const float *x, size_t n, double mean, struct sc_central *out);
uint32_t sc_peaks_avx2(const float *x, size_t n, size_t group, uint32_t *peaks);
uint32_t sc_peaks_avx512(const float *x, size_t n, size_t group, uint32_t *peaks);
double sc_columns_avx2(const float *x, size_t n, uint32_t *peak, double *square);
double sc_columns_avx512(const float *x, size_t n, uint32_t *peak, double *square);
/* 8, 4 or 2 rows together, summed as floats first. */
void sc_columns_block_avx2(const float *x, size_t rows, size_t n, uint32_t *peak, double *square,
                           double lanes[][SC_LANES]);
void sc_columns_block_avx512(const float *x, size_t rows, size_t n, uint32_t *peak, double *square,
                             double lanes[][SC_LANES]);
void sc_steps_avx2(const float *x, size_t n, size_t group, const float *inverse,
                   const float *weight, size_t stride, struct sc_steps *out);
void sc_steps_avx512(const float *x, size_t n, size_t group, const float *inverse,
                     const float *weight, size_t stride, struct sc_steps *out);
/* Of BF16 codes; n and group are multiples of 32. */
uint32_t sc_peaks_bf16_avx512(const uint8_t *codes, size_t n, size_t group, uint32_t *peaks);
void sc_columns_bf16_avx512(const uint8_t *codes, size_t rows, size_t n, uint32_t *peak,
                            double *square, double lanes[][SC_LANES]);
void sc_steps_bf16_avx512(size_t n, const struct sc_steps_of *how, struct sc_counting *codes,
                          struct sc_steps *groups, struct sc_steps *all);
/* Groups must divide SC_STEPS_TOGETHER and be whole vectors. */
void sc_steps_both_avx512(const float *x, size_t n, const struct sc_steps_of *how,
                          struct sc_counting *counting, struct sc_steps *groups,
                          struct sc_steps *all);
#endif

#endif
