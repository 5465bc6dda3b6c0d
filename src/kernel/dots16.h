/* SPDX-License-Identifier: Apache-2.0 */
/* dots16: inner products of bfloat16 with bfloat16, as the matrix units of processors add them.
 *
 * Owns: the order, which is that of TDPBF16PS (Intel, Software Developer's Manual, volume 2): 32
 * elements are a block, the last one is filled up with zeros. Of a block elements 0, 2, ..., 30 are
 * added up from zero with fused multiply-add, elements 1, 3, ..., 31 likewise, then both sums, and
 * their sum is added to that of the blocks before it, which begins with 0. Each operation rounds to
 * nearest even, in float, and takes numbers that are smaller than 2^-126 for zeros, as does its
 * result. What is not a number comes out as 0x7fc00000. So the result is the same for one row or a
 * thousand, any split into tasks, with a matrix unit or without.
 *
 * Does not own: where rows come from, threads.
 */
#ifndef SC_KERNEL_DOTS16_H
#define SC_KERNEL_DOTS16_H

#include "kernel/kernel.h"

enum sc_dots16_unit { SC_DOTS16_C, SC_DOTS16_AVX2, SC_DOTS16_AVX512, SC_DOTS16_AMX };
/* The best that this processor has, of what $SCRUPLE_CPU allows. */
enum sc_dots16_unit sc_dots16_unit(void);

enum {
    SC_DOTS16_GROUP = 16,        /* rows of x that are packed together */
    SC_DOTS16_SCRATCH = 48 << 10 /* floats */
};
/* to[i] = x[i] as bfloat16, to nearest even; NaN stays one. */
void sc_dots16_round(const float *x, size_t n, uint16_t *to);
/* Rows of x have to be packed, once for all rows of w: floats that it takes. */
size_t sc_dots16_packed(size_t n_x, size_t n);
/* Rounds and packs group 0, 1, ... of n_x rows; groups may be packed by many threads. */
void sc_dots16_pack(const float *x, size_t x_stride, size_t n_x, size_t n, size_t group, void *to,
                    enum sc_dots16_unit unit);

/* y[t * y_stride + r] = sum of w[r * w_stride + k] * x[t][k] over k below n. n of 0 gives zeros. */
struct sc_dots16 {
    const uint16_t *w;  /* n_w rows, any alignment that uint16_t has */
    const void *packed; /* n_x rows of x; begins at a multiple of 64 */
    float *y;           /* n_x rows of at least n_w */
    void *scratch;      /* SC_DOTS16_SCRATCH floats, of this thread alone; at a multiple of 64 */
    size_t w_stride, y_stride;
    size_t n_w, n_x, n;
};
void sc_dots16(const struct sc_dots16 *d, enum sc_dots16_unit unit);

/* Variants. A tile of x: 16 pairs of elements, each of 16 rows. */
enum { SC_DOTS16_TILE = 16 * 32, SC_DOTS16_SUMS = 16 * 16 };
/* 32 rows of w (w_stride elements apart) with 16 or, when n_x is 2, twice 16 rows of x, which are
 * packed; n_k blocks of elements; x_step elements are between a tile of x and that beside it. sums:
 * [n_x][2][16 rows of w][16 rows of x]; `add`: to what is there. */
struct sc_dots16_tiles {
    const uint16_t *w, *x;
    size_t w_stride, n_k, x_step, n_x;
    float *sums;
    bool add;
};
#if SC_HAVE_X86
void sc_dots16_tiles_avx2(const struct sc_dots16_tiles *t);
void sc_dots16_tiles_avx512(const struct sc_dots16_tiles *t);
void sc_dots16_tiles_amx(const struct sc_dots16_tiles *t);
/* A thread asks for the registers of the matrix unit, and gives them back. */
void sc_dots16_begin_amx(void);
void sc_dots16_end_amx(void);
#endif

#endif
