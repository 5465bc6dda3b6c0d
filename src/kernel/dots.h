/* SPDX-License-Identifier: Apache-2.0 */
/* dots: inner products of many rows with many rows, as a layer of a network wants them.
 *
 * Owns: the order in which products are added: blocks of SC_DOT_BLOCK elements; within a block
 * lane i of 16 takes elements i, i + 16, ... with fused multiply-add (one rounding), lanes are
 * added as ((i, i + 8), (i, i + 4), ...) in float, and blocks in their order, in float. So the
 * result is the same for one row or a thousand, any split into tasks, and every level.
 *
 * Does not own: where rows come from, threads.
 */
#ifndef SC_KERNEL_DOTS_H
#define SC_KERNEL_DOTS_H

#include "kernel/kernel.h"

enum { SC_DOT_BLOCK = 1024 };

/* y[t * y_stride + r] = sum of w[r * w_stride + k] * x[t * x_stride + k] over k below n. Strides
 * count floats. w: n_w rows, x: n_x rows, y: n_x rows of at least n_w. n of 0 gives zeros. */
struct sc_dots {
    const float *w, *x;
    float *y;
    const float *packed; /* the same rows of x, packed (below); NULL: they are not */
    float *scratch;      /* with packed: SC_DOTS_SCRATCH floats, of this thread alone */
    size_t w_stride, x_stride, y_stride;
    size_t n_w, n_x, n;
};
void sc_dots(const struct sc_dots *d, enum sc_cpu level);
/* The same of bfloat16 rows w (bits << 16 are floats), without expanding them in memory: for few
 * rows of x. w_stride counts codes; the w of `d` is not used. */
void sc_dots_bf16(const struct sc_dots *d, const uint16_t *w, enum sc_cpu level);
/* Many rows of x are multiplied faster when they are packed first, once for all rows
 * of w. The same bits. Floats that takes; 0: it would not help (few rows, or this level). */
size_t sc_dots_packed(size_t n_x, size_t n, enum sc_cpu level);
/* Packs SC_DOTS_GROUP rows, those of group 0, 1, ... of n_x; groups may be packed by many threads.
 * `to`: sc_dots_packed() floats, for all groups. */
enum { SC_DOTS_GROUP = 64, SC_DOTS_SCRATCH = 60 << 10 };
void sc_dots_pack(const float *x, size_t x_stride, size_t n_x, size_t n, size_t group, float *to,
                  enum sc_cpu level);
/* One such product. */
float sc_dot(const float *a, const float *b, size_t n, enum sc_cpu level);
/* y[i] = fma(a, x[i], y[i]). */
void sc_axpy(float a, const float *x, size_t n, float *y, enum sc_cpu level);

/* Variants: one block of at most SC_DOT_BLOCK elements; `add`: to what y holds. */
#if SC_HAVE_X86
void sc_dots_block_avx2(const struct sc_dots *d, bool add);
void sc_dots_block_avx512(const struct sc_dots *d, bool add);
void sc_dots_bf16_block_avx2(const struct sc_dots *d, const uint16_t *w, bool add);
void sc_dots_bf16_block_avx512(const struct sc_dots *d, const uint16_t *w, bool add);
void sc_dots_many_avx2(const struct sc_dots *d, const uint16_t *codes); /* codes NULL: d->w */
void sc_dots_many_avx512(const struct sc_dots *d, const uint16_t *codes);
size_t sc_dots_packed_x86(size_t n_x, size_t n);
void sc_dots_pack_x86(const float *x, size_t stride, size_t n_x, size_t n, size_t group, float *to,
                      enum sc_cpu level);
/* 16 rows of 16 floats (any bits) become their columns. */
void sc_turn16_avx2(const float *from, size_t stride, float *to, size_t to_stride);
void sc_turn16_avx512(const float *from, size_t stride, float *to, size_t to_stride);
void sc_axpy_avx2(float a, const float *x, size_t n, float *y);
void sc_axpy_avx512(float a, const float *x, size_t n, float *y);
#endif

#endif
