/* SPDX-License-Identifier: Apache-2.0 */
/* curve: the Hilbert curve through a square of 2^k x 2^k points.
 *
 * Of each square of four the curve visits (0,0), (0,1), (1,1), (1,0) as (x, y), y downwards; the
 * first of them is transposed, the last one transposed along the other diagonal (Hilbert 1891). It
 * begins at the upper left corner and ends at the upper right one, so that squares side by side are
 * one curve. An aligned square of 2^j points a side is a run of 4^j points.
 */
#ifndef SC_CURVE_H
#define SC_CURVE_H

#include "base/base.h"

/* How a square lies: bit 0 transposed, bit 1 along the other diagonal; both: turned around. */
enum { SC_CURVE_STATES = 4 };

/* Point d of a square of 2^levels a side that lies as *state; *state becomes that of the point. */
static inline void sc_curve_point(unsigned levels, uint64_t d, uint64_t *x, uint64_t *y,
                                  unsigned *state)
{
    static const uint8_t xs[4] = {0, 0, 1, 1}, ys[4] = {0, 1, 1, 0}, turn[4] = {1, 0, 0, 2};
    *x = *y = 0;
    while (levels-- > 0) {
        const unsigned q = (unsigned)(d >> 2 * levels) & 3;
        const unsigned flip = *state >> 1, a = xs[q] ^ flip, b = ys[q] ^ flip;
        const bool swap = *state == 1 || *state == 2;
        *x = *x << 1 | (swap ? b : a);
        *y = *y << 1 | (swap ? a : b);
        *state ^= turn[q];
    }
}

/* The other way around. */
static inline uint64_t sc_curve_index(unsigned levels, uint64_t x, uint64_t y, unsigned *state)
{
    static const uint8_t which[2][2] = {{0, 1}, {3, 2}}, turn[4] = {1, 0, 0, 2};
    uint64_t d = 0;
    while (levels-- > 0) {
        const unsigned flip = *state >> 1;
        const unsigned a = ((unsigned)(x >> levels) & 1) ^ flip;
        const unsigned b = ((unsigned)(y >> levels) & 1) ^ flip;
        const bool swap = *state == 1 || *state == 2;
        const unsigned q = swap ? which[b][a] : which[a][b];
        d = d << 2 | q;
        *state ^= turn[q];
    }
    return d;
}

#endif
