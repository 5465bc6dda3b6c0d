/* SPDX-License-Identifier: Apache-2.0 */
/* encode_int: what the levels of integers and of tables of 16 levels share. Private to codec. */
#ifndef SC_CODEC_ENCODE_INT_H
#define SC_CODEC_ENCODE_INT_H

#include "codec/encode.h"

/* Quotients that have a code: integers that a float holds. */
struct sc_int_range {
    float low, high;
};
struct sc_int_range sc_int_range(const struct sc_encoding *f, const struct sc_step *step);

/* One step for all n values. */
sc_round_fn sc_int_round_c;
#if SC_HAVE_X86
sc_round_fn sc_int_round_avx2, sc_int_round_avx512;
#endif

/* 16 levels in rising order; a number above above[i] is nearest to level i + 1 or a higher one. */
struct sc_levels {
    float level[16], above[16]; /* the last of `above` is not looked at */
    uint8_t code[16];           /* of a level */
    uint8_t zero;               /* the level of 0 */
};
extern const struct sc_levels sc_levels_nf4, sc_levels_fp4;

/* The nearest levels of n numbers times their scale: y = level(x by) scale. A NaN becomes 0. */
typedef void sc_levels_fn(const struct sc_levels *t, const float *x, size_t n, float by,
                          float scale, float *y);
sc_levels_fn sc_levels_round_c;
#if SC_HAVE_X86
sc_levels_fn sc_levels_round_avx2, sc_levels_round_avx512;
#endif

#endif
