/* SPDX-License-Identifier: Apache-2.0 */
/* deflate: blocks of colours (RFC 1951) without matches but runs of one byte. Private to the
 * picture layer. */
#ifndef SC_PICTURE_DEFLATE_H
#define SC_PICTURE_DEFLATE_H

#include "kernel/kernel.h"

enum {
    SC_DEFLATE_LONGEST = 14
}; /* bits of a code: four of them fit a word beside 7 that are left */

/* Bits into bytes; `to` has room for 8 more than are asked for. Starts with zeros, but for `to`. */
struct sc_deflate {
    uint8_t *to;
    uint64_t held;
    unsigned n;
};
/* Would runs make a block of n bytes smaller? */
bool sc_deflate_has_runs(const uint8_t *p, size_t n);
/* One block of n bytes; `last`: of the stream. Literals with a code of their own; with runs, which
 * needs n numbers of work; as they are. */
void sc_deflate_literals(struct sc_deflate *b, const uint8_t *p, size_t n, bool last);
void sc_deflate_runs(struct sc_deflate *b, const uint8_t *p, size_t n, bool last, uint16_t *work);
/* Literals with a code that fits a part of them, at twice the speed: some tenths of a percent more
 * bytes. */
void sc_deflate_nearly(struct sc_deflate *b, const uint8_t *p, size_t n, bool last);
/* Literals and long runs only, at nearly the speed of literals; n is at most SC_DEFLATE_SPARSE. */
#define SC_DEFLATE_SPARSE ((size_t)257 << 8) /* a tile, with a byte before each row */
void sc_deflate_sparse(struct sc_deflate *b, const uint8_t *p, size_t n, bool last);
/* Would that take nearly as few bytes as all runs? n likewise. */
bool sc_deflate_has_long_runs(const uint8_t *p, size_t n);
void sc_deflate_stored(struct sc_deflate *b, const uint8_t *p, size_t n, bool last);
#if SC_HAVE_X86
/* The words of as many of n bytes as it likes to; how many. table: words from bit 8 on, lengths
 * below; at most 7 bits are held before and after. */
size_t sc_deflate_put_avx512(struct sc_deflate *b, const uint32_t table[256], const uint8_t *p,
                             size_t n);
/* For sc_deflate_has_runs(): of the first of *n bytes; *n: where to go on. */
size_t sc_deflate_same_avx512(const uint8_t *p, size_t *n);
bool sc_deflate_has_avx512(void);
#endif
/* To the end of a byte. */
void sc_deflate_align(struct sc_deflate *b);

#endif
