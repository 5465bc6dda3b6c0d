/* SPDX-License-Identifier: Apache-2.0 */
/* rows: extremes and squares of rows and columns, and what integers of few bits make of a row. */
#include "kernel/lanes.h"
#include "kernel/tops.h"

#include <math.h>
#include <string.h>

static inline uint32_t magnitude_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

static uint32_t peaks_c(const float *x, size_t n, size_t group, uint32_t *peaks)
{
    uint32_t all = 0;
    for (size_t first = 0; first < n; first += group) {
        uint32_t most = 0;
        const size_t end = SC_MIN(n, first + group);
        for (size_t i = first; i < end; i++) {
            const uint32_t bits = magnitude_bits(x[i]);
            most = SC_MAX(most, bits);
        }
        *peaks++ = most;
        all = SC_MAX(all, most);
    }
    return all;
}

uint32_t sc_peaks(const float *x, size_t n, size_t group, enum sc_cpu level, uint32_t *peaks)
{
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        return sc_peaks_avx512(x, n, group, peaks);
    if (level == SC_CPU_AVX2)
        return sc_peaks_avx2(x, n, group, peaks);
#else
    (void)level;
#endif
    return peaks_c(x, n, group, peaks);
}

static double columns_c(const float *x, size_t n, uint32_t *peak, double *square)
{
    double lanes[SC_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = magnitude_bits(x[i]);
        const double v = x[i];
        peak[i] = SC_MAX(peak[i], bits);
        square[i] += v * v;
        lanes[i % SC_LANES] += v * v;
    }
    return sc_lanes_sum(lanes);
}

static double one_row(const float *x, size_t n, enum sc_cpu level, uint32_t *peak, double *square)
{
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        return sc_columns_avx512(x, n, peak, square);
    if (level == SC_CPU_AVX2)
        return sc_columns_avx2(x, n, peak, square);
#else
    (void)level;
#endif
    return columns_c(x, n, peak, square);
}

static void block_c(const float *x, size_t rows, size_t n, uint32_t *peak, double *square,
                    double lanes[][SC_LANES])
{
    for (size_t from = 0; from < n; from += SC_COLUMNS_IN_FLOAT) {
        const size_t end = SC_MIN(n, from + SC_COLUMNS_IN_FLOAT);
        float part[SC_ROWS_IN_FLOAT][SC_LANES] = {{0}};
        for (size_t i = from; i < end; i++) {
            float sum = 0;
            for (size_t k = 0; k < rows; k++) {
                const float v = x[k * n + i], s = v * v;
                const uint32_t bits = magnitude_bits(v);
                peak[i] = SC_MAX(peak[i], bits);
                sum += s;
                part[k][i % SC_LANES] += s;
            }
            square[i] += sum;
        }
        for (size_t k = 0; k < rows; k++)
            for (size_t i = 0; i < SC_LANES; i++)
                lanes[k][i] += part[k][i];
    }
}

static void block(const float *x, size_t rows, size_t n, enum sc_cpu level, uint32_t *peak,
                  double *square, double *row_square)
{
    double lanes[SC_ROWS_IN_FLOAT][SC_LANES] = {{0}};
#if SC_HAVE_X86
    if (level == SC_CPU_AVX512)
        sc_columns_block_avx512(x, rows, n, peak, square, lanes);
    else if (level == SC_CPU_AVX2)
        sc_columns_block_avx2(x, rows, n, peak, square, lanes);
    else
#else
    (void)level;
#endif
        block_c(x, rows, n, peak, square, lanes);
    for (size_t k = 0; k < rows; k++)
        row_square[k] = sc_lanes_sum(lanes[k]);
}

void sc_columns(const float *x, size_t rows, size_t n, enum sc_cpu level, uint32_t *peak,
                double *square, double *row_square)
{
    for (size_t together = SC_ROWS_IN_FLOAT; together > 1; together /= 2)
        for (; rows >= together; rows -= together) {
            block(x, together, n, level, peak, square, row_square);
            x += together * n;
            row_square += together;
        }
    if (rows)
        *row_square = one_row(x, n, level, peak, square);
}

void sc_steps_flush(struct sc_step_lanes *lanes, struct sc_steps *out)
{
    out->square += sc_lanes_sum_float(lanes->square);
    out->abs += sc_lanes_sum_float(lanes->abs);
    out->cross += sc_lanes_sum_float(lanes->cross);
    for (size_t i = 0; i < SC_LANES; i++)
        out->most = SC_MAX(out->most, (double)lanes->most[i]);
    memset(lanes, 0, sizeof *lanes);
}

static void group_c(const float *x, size_t n, float inverse, float weight, struct sc_step_lanes *to)
{
    struct sc_step_lanes sums;
    const float weight2 = weight * weight;
    memset(&sums, 0, sizeof sums);
    for (size_t i = 0; i < n; i++) {
        const size_t lane = i % SC_LANES;
        const float t = x[i] * inverse;
        const float r = t - ((t + SC_ROUND_MAGIC) - SC_ROUND_MAGIC), a = fabsf(r);
        sums.square[lane] += r * r;
        sums.abs[lane] += a;
        sums.cross[lane] += t * r;
        sums.most[lane] = a > sums.most[lane] ? a : sums.most[lane];
    }
    for (size_t lane = 0; lane < SC_LANES; lane++) {
        const float most = weight * sums.most[lane];
        to->square[lane] += weight2 * sums.square[lane];
        to->abs[lane] += weight * sums.abs[lane];
        to->cross[lane] += weight2 * sums.cross[lane];
        to->most[lane] = most > to->most[lane] ? most : to->most[lane];
    }
}

static void steps_c(const float *x, size_t n, size_t group, const float *inverse,
                    const float *weight, size_t stride, struct sc_steps *out)
{
    struct sc_step_lanes lanes;
    unsigned groups = 0;
    memset(&lanes, 0, sizeof lanes);
    for (; n; inverse += stride, weight += stride) {
        const size_t now = SC_MIN(n, group);
        group_c(x, now, *inverse, *weight, &lanes);
        x += now;
        n -= now;
        if (++groups % SC_GROUPS_IN_FLOAT == 0 || n == 0)
            sc_steps_flush(&lanes, out);
    }
}

void sc_steps(const float *x, size_t n, size_t group, const float *inverse, const float *weight,
              size_t stride, enum sc_cpu level, struct sc_steps *out)
{
    *out = (struct sc_steps){0, 0, 0, 0};
    switch (level) {
#if SC_HAVE_X86
    case SC_CPU_AVX512:
        sc_steps_avx512(x, n, group, inverse, weight, stride, out);
        return;
    case SC_CPU_AVX2:
        sc_steps_avx2(x, n, group, inverse, weight, stride, out);
        return;
#else
    case SC_CPU_AVX512:
    case SC_CPU_AVX2:
#endif
    case SC_CPU_C:
        steps_c(x, n, group, inverse, weight, stride, out);
        return;
    }
}

#if SC_HAVE_X86
static bool has_both(const struct sc_steps_of *how, enum sc_cpu level)
{
    return level == SC_CPU_AVX512 && how->group % SC_LANES == 0 &&
           SC_STEPS_TOGETHER % how->group == 0;
}
#endif

void sc_steps_both(const float *x, size_t n, const struct sc_steps_of *how, enum sc_cpu level,
                   struct sc_counting *counting, struct sc_steps *groups, struct sc_steps *all)
{
    static const float one = 1;
#if SC_HAVE_X86
    if (has_both(how, level)) {
        sc_steps_both_avx512(x, n, how, counting, groups, all);
        return;
    }
#endif
    (void)counting;
    sc_steps(x, n, how->group, how->inverse, how->weight, 1, level, groups);
    sc_steps(x, n, SC_STEPS_TOGETHER, &how->inverse_of_all, &one, 0, level, all);
}

void sc_steps_tops(const float *x, size_t n, const struct sc_steps_of *how, enum sc_cpu level,
                   struct sc_counting *tops, struct sc_steps *groups, struct sc_steps *all)
{
#if SC_HAVE_X86
    if (has_both(how, level)) {
        sc_steps_tops_avx512(x, n, how, tops, groups, all);
        return;
    }
#endif
    (void)tops;
    sc_steps_both(x, n, how, level, NULL, groups, all);
}

/* ------------------------------------------------------------------------------------ BF16 --- */
bool sc_bf16_in_place(size_t n, size_t group, enum sc_cpu level)
{
    return SC_HAVE_X86 && level == SC_CPU_AVX512 && n % 32 == 0 && group % 32 == 0 &&
           SC_STEPS_TOGETHER % group == 0;
}

#if SC_HAVE_X86
uint32_t sc_peaks_bf16(const void *codes, size_t n, size_t group, uint32_t *peaks)
{
    return sc_peaks_bf16_avx512(codes, n, group, peaks);
}

void sc_columns_bf16(const void *codes, size_t rows, size_t n, uint32_t *peak, double *square,
                     double *row_square)
{
    const uint8_t *at = codes;
    for (size_t together = SC_ROWS_IN_FLOAT; together > 1; together /= 2)
        for (; rows >= together; rows -= together) {
            double lanes[SC_ROWS_IN_FLOAT][SC_LANES] = {{0}};
            sc_columns_bf16_avx512(at, together, n, peak, square, lanes);
            for (size_t k = 0; k < together; k++)
                *row_square++ = sc_lanes_sum(lanes[k]);
            at += 2 * together * n;
        }
}

void sc_steps_bf16(size_t n, const struct sc_steps_of *how, struct sc_counting *codes,
                   struct sc_steps *groups, struct sc_steps *all)
{
    sc_steps_bf16_avx512(n, how, codes, groups, all);
}
#endif
