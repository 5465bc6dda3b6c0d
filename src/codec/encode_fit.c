/* SPDX-License-Identifier: Apache-2.0 */
/* encode_fit: fits in C, and what all levels share: halves, packing. The idea stands in
 * encode_fit.h, layouts in decode_k.c and decode_iq.c. */
#include <math.h>

#include "codec/encode_fit.h"

/* Finite, and small enough that no sum of squares overflows. */
static float clean(float x)
{
    const float most = 0x1p30F;
    return x != x ? 0 : x > most ? most : x < -most ? -most : x;
}

void sc_fit_transpose(const struct sc_fit_shape *s, const float *x, size_t blocks, float *lines)
{
    const size_t groups = blocks * s->groups, values = s->values;
    if (groups < 16)
        memset(lines, 0, 16 * values * sizeof *lines);
    for (size_t g = 0; g < groups; g++)
        for (size_t e = 0; e < values; e++)
            lines[16 * e + g] = clean(x[g * values + e]);
}

static float as_half(double v)
{
    const float most = 65504, f = (float)v;
    return sc_f16_value(sc_f16_bits(f > most ? most : f < -most ? -most : f));
}

/* The value of the largest size among those of a block becomes the integer `code`. */
void sc_fit_first_halves(float halves[16], const float values[16], size_t groups, float code)
{
    for (size_t b = 0; b < 16; b += groups) {
        float top = 0;
        for (size_t g = b; g < b + groups; g++)
            top = fabsf(values[g]) > fabsf(top) ? values[g] : top;
        const float half = top != 0 ? as_half((double)top / (double)code) : 0;
        for (size_t g = b; g < b + groups; g++)
            halves[g] = half;
    }
}

void sc_fit_better_halves(const struct sc_fit_shape *s, const struct sc_fit_found *f, float d[16])
{
    for (size_t b = 0; b < 16; b += s->groups) {
        double xa = 0, aa = 0;
        for (size_t g = b; g < b + s->groups; g++) {
            xa += (double)f->scale[g] * (double)f->xq[g];
            aa += (double)f->scale[g] * (double)f->scale[g] * (double)f->qq[g];
        }
        const float half = aa > 0 ? as_half(xa / aa) : f->d[b];
        for (size_t g = b; g < b + s->groups; g++)
            d[g] = half;
    }
}

/* x = d a - dmin m, a being the code times its integer, m the integer of the minimum. */
void sc_fit_better_lines(const struct sc_fit_shape *s, const struct sc_fit_found *f, float d[16],
                         float dmin[16])
{
    for (size_t b = 0; b < 16; b += s->groups) {
        double xa = 0, xm = 0, aa = 0, am = 0, mm = 0;
        for (size_t g = b; g < b + s->groups; g++) {
            const double a = (double)f->scale[g], m = (double)f->min[g];
            xa += a * (double)f->xq[g];
            xm += m * (double)f->x[g];
            aa += a * a * (double)f->qq[g];
            am += a * m * (double)f->q[g];
            mm += m * m * (double)s->values;
        }
        const double det = aa * mm - am * am;
        float half = f->d[b], half_min = f->dmin[b];
        if (det > 0 && xa * mm > xm * am && xa * am > xm * aa) {
            half = as_half((xa * mm - xm * am) / det);
            half_min = as_half((xa * am - xm * aa) / det);
        }
        for (size_t g = b; g < b + s->groups; g++) {
            d[g] = half;
            dmin[g] = half_min;
        }
    }
}

void sc_fit_keep_better(const struct sc_fit_shape *s, struct sc_fit_found *f,
                        const struct sc_fit_found *again)
{
    for (size_t b = 0; b < 16; b += s->groups) {
        double was = 0, is = 0;
        for (size_t g = b; g < b + s->groups; g++) {
            was += (double)f->error[g];
            is += (double)again->error[g];
        }
        for (size_t g = b; is < was && g < b + s->groups; g++) {
            f->d[g] = again->d[g];
            f->scale[g] = again->scale[g];
            f->dmin[g] = s->minimum ? again->dmin[g] : 0;
            f->min[g] = s->minimum ? again->min[g] : 0;
        }
    }
}

/* -------------------------------------------------------------------------------------- packing
 * Code e of group g stands at q[16 e + g], codes counted from 0. */

/* 16 bytes of value pairs of 16-value groups; `shift` and `mask` pick bits of a code. Group
 * 8 h + 2 t + k of a block has the bits 2t of the bytes 32 h + 16 k on. */
static void pack_pairs(uint8_t *dst, const uint8_t *q, size_t shift)
{
    memset(dst, 0, 64);
    for (size_t g = 0; g < 16; g++)
        for (size_t e = 0; e < 16; e++)
            dst[g / 8 * 32 + g % 2 * 16 + e] |=
                (uint8_t)((q[16 * e + g] >> shift & 3) << g / 2 % 4 * 2);
}

static void pack_q2_k(uint8_t *dst, const struct sc_fit_found *f, const uint8_t *q)
{
    for (size_t g = 0; g < 16; g++)
        dst[g] = (uint8_t)((unsigned)f->scale[g] | (unsigned)f->min[g] << 4);
    pack_pairs(dst + 16, q, 0);
    sc_put_half(dst + 80, f->d[0]);
    sc_put_half(dst + 82, f->dmin[0]);
}

static void pack_q3_k(uint8_t *dst, const struct sc_fit_found *f, const uint8_t *q)
{
    memset(dst, 0, 110);
    for (size_t g = 0; g < 16; g++) {
        const unsigned scale = (unsigned)((int)f->scale[g] + 32);
        for (size_t e = 0; e < 16; e++)
            dst[g % 2 * 16 + e] |= (uint8_t)((q[16 * e + g] >> 2 & 1) << g / 2);
        dst[96 + g % 8] |= (uint8_t)((scale & 15) << g / 8 * 4);
        dst[104 + g % 4] |= (uint8_t)(scale >> 4 << g / 4 * 2);
    }
    pack_pairs(dst + 32, q, 0);
    sc_put_half(dst + 108, f->d[0]);
}

/* Q4_K and Q5_K: halves, 8 scales and minima of 6 bits; b: which block of the run. */
static void pack_lines(uint8_t *dst, const struct sc_fit_found *f, size_t b)
{
    uint8_t *p = dst + 4;
    sc_put_half(dst, f->d[8 * b]);
    sc_put_half(dst + 2, f->dmin[8 * b]);
    for (size_t i = 0; i < 4; i++) {
        const size_t g = 8 * b + i;
        const unsigned scale = (unsigned)f->scale[g + 4], min = (unsigned)f->min[g + 4];
        p[i] = (uint8_t)((unsigned)f->scale[g] | scale >> 4 << 6);
        p[i + 4] = (uint8_t)((unsigned)f->min[g] | min >> 4 << 6);
        p[i + 8] = (uint8_t)((scale & 15) | (min & 15) << 4);
    }
}

/* 32 bytes for each two of 8 groups: the low 4 bits of the first low. */
static void pack_nibbles(uint8_t *dst, const uint8_t *q)
{
    for (size_t g = 0; g < 8; g += 2)
        for (size_t e = 0; e < 32; e++)
            *dst++ = (uint8_t)((q[16 * e + g] & 15) | (q[16 * e + g + 1] & 15) << 4);
}

static void pack_q4_k(uint8_t *dst, const struct sc_fit_found *f, const uint8_t *q, size_t b)
{
    pack_lines(dst, f, b);
    pack_nibbles(dst + 16, q + 8 * b);
}

static void pack_q5_k(uint8_t *dst, const struct sc_fit_found *f, const uint8_t *q, size_t b)
{
    pack_lines(dst, f, b);
    for (size_t e = 0; e < 32; e++) {
        unsigned byte = 0;
        for (size_t g = 0; g < 8; g++)
            byte |= (q[16 * e + 8 * b + g] >> 4 & 1U) << g;
        dst[16 + e] = (uint8_t)byte;
    }
    pack_nibbles(dst + 48, q + 8 * b);
}

static void pack_q6_k(uint8_t *dst, const struct sc_fit_found *f, const uint8_t *q)
{
    memset(dst, 0, 128);
    for (size_t g = 0; g < 16; g++) {
        for (size_t e = 0; e < 16; e++)
            dst[g / 8 * 64 + g % 4 * 16 + e] |= (uint8_t)((q[16 * e + g] & 15) << g / 4 % 2 * 4);
        dst[192 + g] = (uint8_t)(int)f->scale[g];
    }
    pack_pairs(dst + 128, q, 4);
    sc_put_half(dst + 208, f->d[0]);
}

/* Indices of levels, which come as the level less the least one. */
static void indices(const uint8_t *levels, uint8_t *q)
{
    static const uint8_t index[241] = {
        [0] = 0,    [23] = 1,   [44] = 2,   [62] = 3,  [78] = 4,   [92] = 5,
        [105] = 6,  [117] = 7,  [128] = 8,  [140] = 9, [152] = 10, [165] = 11,
        [180] = 12, [196] = 13, [216] = 14, [240] = 15};
    for (size_t i = 0; i < 512; i++)
        q[i] = index[levels[i]];
}

/* 32 values: 16 bytes, the first half low. */
static void pack_halves(uint8_t *dst, const uint8_t *q)
{
    for (size_t e = 0; e < 16; e++)
        dst[e] = (uint8_t)(q[16 * e] | q[16 * (e + 16)] << 4);
}

static void pack_iq4_nl(uint8_t *dst, const struct sc_fit_found *f, const uint8_t *q, size_t b)
{
    sc_put_half(dst, f->d[b] * f->scale[b]);
    pack_halves(dst + 2, q + b);
}

static void pack_iq4_xs(uint8_t *dst, const struct sc_fit_found *f, const uint8_t *q, size_t b)
{
    memset(dst, 0, 8);
    sc_put_half(dst, f->d[8 * b]);
    for (size_t g = 0; g < 8; g++) {
        const unsigned scale = (unsigned)((int)f->scale[8 * b + g] + 32);
        dst[2 + g / 4] |= (uint8_t)(scale >> 4 << g % 4 * 2);
        dst[4 + g / 2] |= (uint8_t)((scale & 15) << g % 2 * 4);
        pack_halves(dst + 8 + 16 * g, q + 8 * b + g);
    }
}

void sc_fit_pack(enum sc_fit_type type, const struct sc_fit_found *f, const uint8_t *codes,
                 size_t blocks, uint8_t *dst)
{
    uint8_t index[SC_FIT_VALUES] = {0};
    if (sc_fit_shapes[type].levels)
        indices(codes, index);
    for (size_t b = 0; b < blocks; b++, dst += sc_fit_shapes[type].bytes)
        switch (type) {
        case SC_FIT_Q2_K:
            pack_q2_k(dst, f, codes);
            break;
        case SC_FIT_Q3_K:
            pack_q3_k(dst, f, codes);
            break;
        case SC_FIT_Q4_K:
            pack_q4_k(dst, f, codes, b);
            break;
        case SC_FIT_Q5_K:
            pack_q5_k(dst, f, codes, b);
            break;
        case SC_FIT_Q6_K:
            pack_q6_k(dst, f, codes);
            break;
        case SC_FIT_IQ4_NL:
            pack_iq4_nl(dst, f, index, b);
            break;
        case SC_FIT_IQ4_XS:
            pack_iq4_xs(dst, f, index, b);
            break;
        }
}

/* ------------------------------------------------------------------------------ 16 floats in C */

typedef struct {
    float v[16];
} lanes;
typedef struct {
    bool v[16];
} lanes_mask;

#define EACH(name, expression)                                                                     \
    static inline lanes name(lanes a, lanes b)                                                     \
    {                                                                                              \
        for (size_t i = 0; i < 16; i++)                                                            \
            a.v[i] = expression;                                                                   \
        return a;                                                                                  \
    }
EACH(fit_add, a.v[i] + b.v[i])
EACH(fit_sub, a.v[i] - b.v[i])
EACH(fit_mul, a.v[i] * b.v[i])
EACH(fit_div, a.v[i] / b.v[i])
EACH(fit_min, a.v[i] < b.v[i] ? a.v[i] : b.v[i])
EACH(fit_max, a.v[i] > b.v[i] ? a.v[i] : b.v[i])
#undef EACH

static inline lanes fit_set(float v)
{
    lanes r;
    for (size_t i = 0; i < 16; i++)
        r.v[i] = v;
    return r;
}
static inline lanes fit_load(const float *p)
{
    lanes r;
    memcpy(r.v, p, sizeof r.v);
    return r;
}
static inline void fit_store(float *p, lanes a)
{
    memcpy(p, a.v, sizeof a.v);
}
/* To nearest even, of numbers below 2^22: what is added leaves no bits for a fraction. */
static inline lanes fit_round(lanes a)
{
    for (size_t i = 0; i < 16; i++)
        a.v[i] = (a.v[i] + 0x1.8p23F) - 0x1.8p23F;
    return a;
}
static inline lanes_mask fit_less(lanes a, lanes b)
{
    lanes_mask m;
    for (size_t i = 0; i < 16; i++)
        m.v[i] = a.v[i] < b.v[i];
    return m;
}
static inline lanes fit_pick(lanes_mask m, lanes a, lanes b)
{
    for (size_t i = 0; i < 16; i++)
        a.v[i] = m.v[i] ? a.v[i] : b.v[i];
    return a;
}
/* Numbers 0..255 as bytes. */
static inline void fit_bytes(uint8_t *dst, lanes a)
{
    for (size_t i = 0; i < 16; i++)
        dst[i] = (uint8_t)(int)a.v[i];
}
/* Nearest level of IQ4, a tie to the lower. */
static inline lanes fit_iq4(lanes a)
{
    static const float above[15] = {SC_IQ4_ABOVE}, steps[15] = {SC_IQ4_STEPS};
    lanes r = fit_set(-127);
    for (size_t k = 0; k < 15; k++)
        for (size_t i = 0; i < 16; i++)
            r.v[i] += a.v[i] > above[k] ? steps[k] : 0;
    return r;
}

#define FIT_TARGET
#define FIT(name) name##_c
#include "codec/encode_fit_body.h"

#if SC_HAVE_X86
#define ROW(text, id)                                                                              \
    {                                                                                              \
        text, sc_encode_##id##_c, SC_ENCODE_X86(id)                                                \
    }
#else
#define ROW(text, id)                                                                              \
    {                                                                                              \
        text, sc_encode_##id##_c, NULL, NULL                                                       \
    }
#endif
const struct sc_encoder_row sc_encode_fits[] = {
    ROW("Q2_K", q2_k), ROW("Q3_K", q3_k),     ROW("Q4_K", q4_k),     ROW("Q5_K", q5_k),
    ROW("Q6_K", q6_k), ROW("IQ4_NL", iq4_nl), ROW("IQ4_XS", iq4_xs), {NULL, NULL, NULL, NULL},
};
