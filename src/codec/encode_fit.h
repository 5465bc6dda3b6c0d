/* SPDX-License-Identifier: Apache-2.0 */
/* encode_fit: GGML types whose scales are searched: Q2_K to Q6_K, IQ4_NL, IQ4_XS. Private to codec.
 *
 * A group is the values that share a scale: 16 of Q2_K, Q3_K and Q6_K, 32 of the others. A lane is
 * a group: the 16 groups of a block, the 8 groups of two blocks, 16 blocks of IQ4_NL. Values lie
 * transposed, x[16 e + lane] being value e of every group, so that 16 groups are fitted at once and
 * a sum over a group is a plain addition.
 *
 * A group is fitted by least squares, every value weighing the same: codes follow from a trial
 * scale, the best scale (and minimum) for these codes from the normal equations, and of several
 * trials the one stays that leaves the least error. Then the halves of the block are set so that
 * its largest scale and minimum fit, each group looks among the code scales next to its own for the
 * one of the least error with what is stored, the halves are solved for once more from all codes as
 * they are, and the better of the two is kept. ggml's own search weighs values differently and
 * looks elsewhere, so bytes differ; the error is smaller (test_encode_ggml.c).
 *
 * A NaN counts as 0; values beyond 2^30, which no half can hold the scale of, count as that. Groups
 * below 2^-60 become 0, as their half would.
 */
#ifndef SC_CODEC_ENCODE_FIT_H
#define SC_CODEC_ENCODE_FIT_H

#include "codec/encode_ggml.h"

enum sc_fit_type {
    SC_FIT_Q2_K,
    SC_FIT_Q3_K,
    SC_FIT_Q4_K,
    SC_FIT_Q5_K,
    SC_FIT_Q6_K,
    SC_FIT_IQ4_NL,
    SC_FIT_IQ4_XS,
};
enum { SC_FIT_TRIALS = 24, SC_FIT_VALUES = 512 };

/* A value is scale * code, codes being the integers low..high or the levels of IQ4, or, with a
 * minimum, scale * code - minimum, codes 0..high. Scale and minimum are halves times an integer. */
struct sc_fit_shape {
    uint16_t bytes;          /* of a block */
    uint16_t groups, values; /* groups of a block, values of a group */
    bool minimum, levels;
    float low, high;   /* codes */
    float least, most; /* the integers that scales (and minima) are counted in */
    int reach;         /* how far from the nearest such integer a group looks */
    size_t trials;     /* what code, or fraction of one, the largest value, or the range, gets */
    float at[SC_FIT_TRIALS];
};

/* By enum sc_fit_type; static, so that loops of the encoders know their bounds. */
static const struct sc_fit_shape sc_fit_shapes[] = {
    [SC_FIT_Q2_K] = {84,
                     16,
                     16,
                     true,
                     false,
                     0,
                     3,
                     0,
                     15,
                     1,
                     9,
                     {3, 3.3F, 3.6F, 3.9F, 4.3F, 2.8F, 2.6F, 2.4F, 2.2F}},
    [SC_FIT_Q3_K] = {110,
                     16,
                     16,
                     false,
                     false,
                     -4,
                     3,
                     -32,
                     31,
                     1,
                     10,
                     {-4, -3.6F, -3.8F, -4.2F, -4.4F, -4.7F, -5, 3, 3.3F, 3.6F}},
    [SC_FIT_Q4_K] = {144,
                     8,
                     32,
                     true,
                     false,
                     0,
                     15,
                     0,
                     63,
                     1,
                     8,
                     {15, 15.4F, 15.8F, 16.2F, 16.8F, 14.6F, 14.2F, 13.6F}},
    [SC_FIT_Q5_K] =
        {176, 8, 32, true, false, 0, 31, 0, 63, 1, 6, {31, 31.4F, 31.8F, 32.3F, 30.6F, 30.2F}},
    [SC_FIT_Q6_K] = {210,
                     16,
                     16,
                     false,
                     false,
                     -32,
                     31,
                     -128,
                     127,
                     1,
                     6,
                     {-32, -31.7F, -32.4F, -32.8F, -31.3F, 31}},
    [SC_FIT_IQ4_NL] = {18,
                       1,
                       32,
                       false,
                       true,
                       -127,
                       113,
                       1,
                       1,
                       0,
                       10,
                       {-127, -120, -113, -134, -140, -106, 113, 106, 120, 100}},
    [SC_FIT_IQ4_XS] = {136,
                       8,
                       32,
                       false,
                       true,
                       -127,
                       113,
                       -32,
                       31,
                       1,
                       10,
                       {-127, -120, -113, -134, -140, -106, 113, 106, 120, 100}},
};

/* What is stored of a run of blocks, in every lane: the value of its block's halves, its integers;
 * the error it leaves; sums over the group: of x code, code^2, code, x. */
struct sc_fit_found {
    float d[16], dmin[16], scale[16], min[16], error[16];
    float xq[16], qq[16], q[16], x[16];
};

/* Levels of IQ4; halfway between neighbours; the distances. */
#define SC_IQ4_LEVELS -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
#define SC_IQ4_ABOVE                                                                               \
    -115.5F, -93.5F, -74, -57, -42, -28.5F, -16, -4.5F, 7, 19, 31.5F, 45.5F, 61, 79, 101
#define SC_IQ4_STEPS 23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24

/* Scalar, shared by all levels. */
void sc_fit_transpose(const struct sc_fit_shape *s, const float *x, size_t blocks, float *lines);
void sc_fit_first_halves(float halves[16], const float values[16], size_t groups, float code);
void sc_fit_better_halves(const struct sc_fit_shape *s, const struct sc_fit_found *f, float d[16]);
void sc_fit_better_lines(const struct sc_fit_shape *s, const struct sc_fit_found *f, float d[16],
                         float dmin[16]);
void sc_fit_keep_better(const struct sc_fit_shape *s, struct sc_fit_found *f,
                        const struct sc_fit_found *again);
void sc_fit_pack(enum sc_fit_type type, const struct sc_fit_found *f, const uint8_t *codes,
                 size_t blocks, uint8_t *dst);

sc_encode_fn sc_encode_q2_k_c, sc_encode_q3_k_c, sc_encode_q4_k_c, sc_encode_q5_k_c,
    sc_encode_q6_k_c, sc_encode_iq4_nl_c, sc_encode_iq4_xs_c;
#if SC_HAVE_X86
sc_encode_fn SC_ENCODE_X86(q2_k), SC_ENCODE_X86(q3_k), SC_ENCODE_X86(q4_k), SC_ENCODE_X86(q5_k),
    SC_ENCODE_X86(q6_k), SC_ENCODE_X86(iq4_nl), SC_ENCODE_X86(iq4_xs);
#endif

#endif
