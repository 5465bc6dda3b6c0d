/* SPDX-License-Identifier: Apache-2.0 */
/* change_sums: the loop of change.c. Private to it. */
#ifndef SC_CHANGE_SUMS_H
#define SC_CHANGE_SUMS_H

#include "analyze/diff.h"
#include "codec/codec.h"

struct sc_change_sums {
    double a, b, aa, bb;               /* of the values and their squares */
    double d, dd, abs_d;               /* of b - a, its square and its magnitude */
    double min_d, max_d, max_a, max_b; /* of b - a, |a| and |b|; 0 when nothing was compared */
    uint64_t compared, changed, significant, flips;
    uint64_t nonfinite_a, nonfinite_b;
    uint64_t bits; /* that differ: of codes only, else 0 */
};
/* n pairs of values. What is not finite in both is not compared, and changed unless it is the same
 * (NaN and NaN, or equal infinities). The same bits at every level. */
void sc_change_sums(const float *a, const float *b, size_t n, enum sc_cpu level,
                    struct sc_change_sums *out);
void sc_change_sums64(const double *a, const double *b, size_t n, struct sc_change_sums *out);
/* The same of 16-bit floats as they are stored, at any alignment: nothing is decoded but what lies
 * in the first cache. `inf`: the code of infinity. */
struct sc_change_half {
    sc_decode_fn *decode;
    uint16_t inf;
};
void sc_change_sums16(const struct sc_change_half *h, const uint8_t *a, const uint8_t *b, size_t n,
                      enum sc_cpu level, struct sc_change_sums *out);
/* Bits that differ, of n bytes. */
uint64_t sc_change_bits(const uint8_t *a, const uint8_t *b, size_t n, enum sc_cpu level);
/* The first of n pairs whose |b - a| is `magnitude`; n: none is. */
size_t sc_change_find(const float *a, const float *b, size_t n, enum sc_cpu level,
                      double magnitude);
size_t sc_change_find16(const struct sc_change_half *h, const uint8_t *a, const uint8_t *b,
                        size_t n, enum sc_cpu level, double magnitude);

/* change_ulps.c: adds n pairs of codes of one float type (1, 2 or 4 bytes; `inf`: the code of
 * infinity, or the first that is no number) to what is there. A pair in which one is not finite is
 * in no bin. The same at every level. */
struct sc_change_ulps {
    uint64_t bin[SC_ULP_BINS], most; /* as sc_change has them */
};
void sc_change_ulps(const uint8_t *a, const uint8_t *b, size_t n, unsigned bytes, uint32_t inf,
                    enum sc_cpu level, struct sc_change_ulps *out);

/* ------------------------------------------------ between change_sums.c and change_sums_x86.c ---
 * Value i goes into lane i mod 32; lanes are added in one order. Where values of a block are not in
 * their order, neither are the lanes. */
enum { SC_CHANGE_LANES = 32 };
struct sc_change_lanes {
    double a[SC_CHANGE_LANES], aa[SC_CHANGE_LANES], bb[SC_CHANGE_LANES], dd[SC_CHANGE_LANES];
    double d[SC_CHANGE_LANES], abs_d[SC_CHANGE_LANES]; /* of one block */
    double min_d, max_d;
    uint64_t significant;
};
/* What the bits alone tell of n pairs, added to what is there. */
struct sc_change_scan {
    uint32_t max_a, max_b;   /* largest magnitude, as bits */
    uint32_t least;          /* of 16-bit codes with AVX-512: the smallest that is not zero */
    uint64_t changed, flips; /* where all are finite */
};
/* What will be looked at next, n values of each side: memory may bring it while others are added
 * up. NULL: nothing. */
struct sc_change_next {
    const uint8_t *a, *b;
    size_t bytes; /* of a value, 2 or 4 */
};
#if SC_HAVE_X86
/* n is a multiple of 32 and every value is finite; l was started. */
void sc_change_lanes_avx2(const float *a, const float *b, size_t n, struct sc_change_lanes *l);
void sc_change_lanes_avx512(const float *a, const float *b, size_t n,
                            const struct sc_change_next *next, struct sc_change_lanes *l);
/* The same sums of values that are 16-bit floats, with differences as floats. Values are multiples
 * of a power of two; limit: 2^24 of those, up to which floats hold all of them. False: a sum comes
 * to that, and may have been rounded; then nothing was added. */
bool sc_change_floats_avx512(const float *a, const float *b, size_t n, float limit,
                             const struct sc_change_next *next, struct sc_change_lanes *l);
/* Likewise, where b is a. */
void sc_change_same_avx2(const float *a, size_t n, struct sc_change_lanes *l);
void sc_change_same_avx512(const float *a, size_t n, struct sc_change_lanes *l);
/* n is a multiple of 16, of 16-bit codes of 32. */
void sc_change_scan_avx2(const float *a, const float *b, size_t n, struct sc_change_scan *s);
void sc_change_scan_avx512(const float *a, const float *b, size_t n, struct sc_change_scan *s);
void sc_change_scan16_avx2(const uint8_t *a, const uint8_t *b, size_t n, struct sc_change_scan *s);
void sc_change_scan16_avx512(const uint8_t *a, const uint8_t *b, size_t n,
                             struct sc_change_scan *s);
/* Bits that differ between n pairs of BF16 codes, n a multiple of 256, and their values in the
 * order of sc_change_widen_avx512(). With a zero on either side s->least is 0, and s counts what is
 * not to be counted. */
uint64_t sc_change_look16_avx512(const uint8_t *a, const uint8_t *b, size_t n, float *x, float *y,
                                 struct sc_change_scan *s);
/* Values of n BF16 codes, n a multiple of 32, in that order. */
void sc_change_widen_avx512(const uint8_t *codes, float *out, size_t n);
/* n is a multiple of 64. */
uint64_t sc_change_bits_avx2(const uint8_t *a, const uint8_t *b, size_t n);
uint64_t sc_change_bits_avx512(const uint8_t *a, const uint8_t *b, size_t n);
/* n is a multiple of 8; where among them, or n. */
size_t sc_change_find_avx512(const float *a, const float *b, size_t n, double magnitude);
#endif

#endif
