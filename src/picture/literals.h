/* SPDX-License-Identifier: Apache-2.0 */
/* literals: deflate (RFC 1951) for bytes that look like noise, as weights do.
 *
 * Matches are rare in them, so nothing looks for any: a block is a Huffman code of its own for
 * literals, or runs of one byte, or bytes as they are. For PNG (indexed_png.c) and for the tiles of
 * exports. */
#ifndef SC_LITERALS_H
#define SC_LITERALS_H

#include "base/base.h"

enum { SC_LITERAL_LONGEST = 14 }; /* bits of a code: four of them fit a word beside 7 left */
/* Bits into bytes; `to` has room for 8 more than are asked for. Starts as {to}. */
struct sc_bits {
    uint8_t *to;
    uint64_t held;
    unsigned n;
};
/* One block of n bytes each; `last` ends the stream (then sc_deflate_align()). */
void sc_deflate_literals(struct sc_bits *b, const uint8_t *p, size_t n, bool last);
/* `work` has room for n. */
void sc_deflate_runs(struct sc_bits *b, const uint8_t *p, size_t n, bool last, uint16_t *work);
/* Bytes as they are, in blocks of 65,535: the bits that are held end first. */
void sc_deflate_stored(struct sc_bits *b, const uint8_t *p, size_t n, bool last);
void sc_deflate_align(struct sc_bits *b); /* to a whole byte */
/* Whether runs are worth looking for: a quarter of the bytes, as far as every seventh tells, are
 * equal to the one before. */
bool sc_deflate_has_runs(const uint8_t *p, size_t n);
/* What n bytes take at most in one block of literals or runs: a word has at most 14 bits, and
 * literals are written only where they cost less than 9 each or nearly so; runs take fewer. */
static inline size_t sc_deflate_bound(size_t n)
{
    return n + n * (SC_LITERAL_LONGEST - 8) / 8 + n / 1000 + 1024;
}

#endif
