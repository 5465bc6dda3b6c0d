/* SPDX-License-Identifier: Apache-2.0 */
/* change_sums: the loop of change.c. Private to it. */
#ifndef SC_CHANGE_SUMS_H
#define SC_CHANGE_SUMS_H

#include "kernel/kernel.h"

struct sc_change_sums {
    double a, b, aa, bb, ab;           /* of the values, their squares and products */
    double d, dd, abs_d;               /* of b - a, its square and its magnitude */
    double min_d, max_d, max_a, max_b; /* of b - a, |a| and |b|; 0 when nothing was compared */
    uint64_t compared, changed, significant, flips;
};
/* n pairs of values. What is not finite in both is not compared, and changed unless it is the same
 * (NaN and NaN, or equal infinities). The same bits at every level. */
void sc_change_sums(const float *a, const float *b, size_t n, enum sc_cpu level,
                    struct sc_change_sums *out);
void sc_change_sums64(const double *a, const double *b, size_t n, struct sc_change_sums *out);

/* Between change_sums.c and change_sums_x86.c. Value i goes into lane i mod 8; lanes are added in
 * one order. */
enum { SC_CHANGE_LANES = 8 };
struct sc_change_lanes {
    double a[SC_CHANGE_LANES], b[SC_CHANGE_LANES], aa[SC_CHANGE_LANES], bb[SC_CHANGE_LANES],
        ab[SC_CHANGE_LANES], d[SC_CHANGE_LANES], dd[SC_CHANGE_LANES], abs_d[SC_CHANGE_LANES],
        min_d[SC_CHANGE_LANES], max_d[SC_CHANGE_LANES], max_a[SC_CHANGE_LANES],
        max_b[SC_CHANGE_LANES];
    uint64_t compared, changed, significant, flips;
};
#if SC_HAVE_X86
/* n is a multiple of 8 and every value is finite; l was started. */
void sc_change_lanes_avx2(const float *a, const float *b, size_t n, struct sc_change_lanes *l);
void sc_change_lanes_avx512(const float *a, const float *b, size_t n, struct sc_change_lanes *l);
#endif

#endif
