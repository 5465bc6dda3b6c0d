/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_count: what many bytes are as one pixel. Private to the picture of bytes. */
#ifndef SC_BYTES_COUNT_H
#define SC_BYTES_COUNT_H

#include "kernel/kernel.h"
#include "picture/bytes.h"

/* Entropy is that of windows of 256 bytes, at positions that are multiples of it, and of many
 * windows the mean, each weighing as many bytes as it has: so it looks the same from near and far.
 */
enum { SC_BYTE_WINDOW = 256, SC_BYTE_POINT = 20 };

struct sc_byte_sum {
    uint64_t count[SC_BYTE_CLASSES];
    uint64_t sum[3];  /* of control, printable, high */
    uint64_t entropy; /* bits of all bytes, in 2^-SC_BYTE_POINT */
    uint8_t min, max; /* min > max: no byte */
};
static inline struct sc_byte_sum sc_byte_sum_of_none(void)
{
    return (struct sc_byte_sum){.min = 255, .max = 0};
}
/* Bytes from the beginning of a window on, fewer than 2^32; `entropy`: count that, too. The same at
 * every level, as all here. */
void sc_byte_sum_add(struct sc_byte_sum *s, const uint8_t *p, size_t n, bool entropy,
                     enum sc_cpu level);
/* Of each window of n bytes (the last may have fewer): bits of all its bytes, in 2^-SC_BYTE_POINT,
 * which are whole numbers: n log2 n less the sum of c log2 c, rounded each, over what occurs c
 * times. */
void sc_byte_entropies(const uint8_t *p, size_t n, enum sc_cpu level, uint64_t *bits);
/* Those of a window of n > 0 bytes as bits a byte. */
static inline float sc_byte_entropy(uint64_t bits, size_t n)
{
    return (float)((double)bits * 0x1p-20 / (double)n);
}
void sc_byte_sum_join(struct sc_byte_sum *s, const struct sc_byte_sum *other);
uint64_t sc_byte_sum_bytes(const struct sc_byte_sum *s);
/* The pixel; SC_PIXEL_UNKNOWN without a byte. Main: the class that most bytes are of (of several
 * the first), and in it the rounded mean of its bytes. */
uint32_t sc_byte_pixel(const struct sc_byte_sum *s, enum sc_plane plane);
/* bytes_runs.c: that of n <= SC_BYTE_RUNS runs of 4^log4 bytes each, log4 from 1 to 4, in any plane
 * but entropy. */
enum { SC_BYTE_RUNS = 256 };
void sc_byte_pixels(const uint8_t *p, size_t n, unsigned log4, enum sc_plane plane,
                    enum sc_cpu level, uint32_t *out);
double sc_byte_sum_mean(const struct sc_byte_sum *s);
double sc_byte_sum_entropy(const struct sc_byte_sum *s);

#endif
