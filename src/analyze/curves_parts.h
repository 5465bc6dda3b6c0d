/* SPDX-License-Identifier: Apache-2.0 */
/* curves_parts: what the files of curves share. Private to analyze. */
#ifndef SC_CURVES_PARTS_H
#define SC_CURVES_PARTS_H

#include "analyze/curves.h"

/* Room for n curves of n_points each, without cells and tiles. */
int sc_curves_start(struct sc_curves *c, size_t n_points, size_t n, struct sc_error *e);

struct sc_curve_sums {
    uint64_t n, exact;
    double xx, d, dd, abs, most;
};
void sc_curve_add(struct sc_curve_sums *s, double x, double d);
void sc_curve_merge(struct sc_curve_sums *into, const struct sc_curve_sums *s);
void sc_curve_finish(const struct sc_curve_sums *s, struct sc_curve *c);
/* floor(4 log2 |d|), from the bits: the same on every machine. d is not 0. */
int sc_quarter(double d);
/* Sets the bins of |d|: quarters of octaves up to the power of two above `most`. */
void sc_magnitudes_below(struct sc_curves *c, double most);
size_t sc_magnitude_bin(int top, double d); /* d is not 0 */
size_t sc_error_bin(double edge, double d);

#endif
