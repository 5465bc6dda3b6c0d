/* SPDX-License-Identifier: Apache-2.0 */
/* encode_nvfp4: NVIDIA's NVFP4 as checkpoints hold it. 16 neighbours of a line share a scale s
 * (E4M3, not negative), a tensor a float g; a code is E2M1 and stands for code (s g). In floats, in
 * this order, each step rounded:
 *
 *     g = amax of the tensor / 2688                        2688 = 6 * 448, the largest of both
 *     r = (amax of the block / 6) / g
 *     s = r, at least `floor` (2^-9) and at most 448, to the nearest E4M3
 *     code = (x / (s g)) to the nearest E2M1, saturated at 6;  value = code (s g)
 *
 * `sse` tries the codes of s from 3 below to 5 above (6 of the element on 1.5 amax and on 3/4 of
 * it) and takes the one of the least squared error (double, in order), of equals the first of: s,
 * those above upward, those below downward.
 *
 * A NaN makes the block NaN (s = 7F). Infinities saturate and do not count for amax; where there is
 * nothing else but zeros, s is 448. Where g or s g is 0, so is everything. */
#include "codec/encode.h"

enum { BLOCK = 16, DOWN = 3, UP = 5, MOST_SCALE = 0x7e, NAN_SCALE = 0x7f };
static const float most_scale = 448, most_element = 6;

static uint32_t code_of_scale(const struct sc_encoding *f, float r)
{
    const float most = SC_MIN(r, most_scale);
    return sc_element_encode(SC_ELEMENT_E4M3, SC_MAX(most, f->floor), true);
}

/* The value of an element in units of `unit`, which is not 0. */
static inline float nearest(float x, float unit, bool *above)
{
    const float t = sc_float_of(sc_bits_of(x) & ~SC_SIGN) / unit;
    const float y = sc_small_nearest(&sc_smalls[SC_ELEMENT_E2M1], SC_MIN(t, 2 * most_element));
    *above = y > most_element;
    return *above ? most_element : y;
}

static float unit_of(uint32_t scale, float g)
{
    return scale == NAN_SCALE ? sc_float_of(SC_NAN) : sc_e4m3_scale(scale) * g;
}

static double error_of(const float *x, size_t n, float unit)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        bool above;
        const uint32_t mag = sc_bits_of(x[i]) & ~SC_SIGN;
        if (mag >= SC_INFINITE)
            continue;
        const float y = unit > 0 ? nearest(x[i], unit, &above) * unit : 0;
        const double d = (double)y - (double)sc_float_of(mag);
        sum += d * d;
    }
    return sum;
}

size_t sc_nvfp4_candidates(const struct sc_encoding *f, const struct sc_step *step, float amax,
                           uint32_t codes[SC_NVFP4_TRIED])
{
    const uint32_t scale = code_of_scale(f, amax / most_element / step->scale);
    const uint32_t lowest = SC_MAX(1, code_of_scale(f, 0));
    size_t n = 0;
    codes[n++] = scale;
    if (f->rule != SC_RULE_SSE)
        return n;
    for (uint32_t i = 1; i <= UP && scale + i <= MOST_SCALE; i++)
        codes[n++] = scale + i;
    for (uint32_t i = 1; i <= DOWN && scale >= lowest + i; i++)
        codes[n++] = scale - i;
    return n;
}

uint32_t sc_nvfp4_scale(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                        size_t n)
{
    unsigned special;
    uint32_t codes[SC_NVFP4_TRIED];
    const float peak = sc_float_of(sc_peak_of(x, n, &special));
    if (special & 2)
        return NAN_SCALE;
    if (!(step->scale > 0))
        return 0;
    if (special && !(peak > 0))
        return MOST_SCALE;
    const size_t tried = sc_nvfp4_candidates(f, step, peak, codes);
    if (tried == 1 || !(peak > 0))
        return codes[0];
    double least = error_of(x, n, unit_of(codes[0], step->scale));
    uint32_t best = codes[0];
    for (size_t i = 1; i < tried; i++) {
        const double error = error_of(x, n, unit_of(codes[i], step->scale));
        if (error < least) {
            least = error;
            best = codes[i];
        }
    }
    return best;
}

size_t sc_nvfp4_round_block(const float *x, size_t n, uint32_t scale, float g, float *y)
{
    const float unit = unit_of(scale, g);
    size_t full = 0;
    for (size_t i = 0; i < n; i++) {
        bool above;
        const uint32_t bits = sc_bits_of(x[i]);
        if (scale == NAN_SCALE || !(unit > 0)) {
            y[i] = scale == NAN_SCALE ? sc_float_of(SC_NAN) : 0;
            continue;
        }
        const float v = nearest(x[i], unit, &above);
        full += above && (bits & ~SC_SIGN) < SC_INFINITE;
        y[i] = sc_float_of(sc_bits_of(v * unit) | (bits & SC_SIGN));
    }
    return full;
}

static size_t round_nvfp4(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                          size_t n, float *y)
{
    size_t full = 0;
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t some = SC_MIN(n - i, BLOCK);
        full += sc_nvfp4_round_block(x + i, some, sc_nvfp4_scale(f, step, x + i, some), step->scale,
                                     y + i);
    }
    return full;
}

static sc_round_fn *rounder(const struct sc_encoding *f, enum sc_cpu level)
{
    sc_round_fn *fast = SC_AT_LEVEL(level, sc_round_nvfp4);
    (void)f, (void)level;
    return fast ? fast : round_nvfp4;
}

static size_t pack(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                   size_t n, uint8_t *dst)
{
    const struct sc_small *s = &sc_smalls[SC_ELEMENT_E2M1];
    const uint8_t *start = dst;
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t some = SC_MIN(n - i, BLOCK);
        const uint32_t scale = sc_nvfp4_scale(f, step, x + i, some);
        const float unit = unit_of(scale, step->scale);
        uint8_t codes[BLOCK] = {0};
        for (size_t k = 0; k < some && unit > 0; k++) {
            bool above;
            const uint32_t mag = sc_small_code(s, nearest(x[i + k], unit, &above));
            codes[k] = (uint8_t)(mag | sc_bits_of(x[i + k]) >> 31 << 3);
        }
        *dst++ = (uint8_t)scale;
        sc_pack_bits(codes, BLOCK, f->bits, dst);
        dst += BLOCK * f->bits / 8;
    }
    return (size_t)(dst - start);
}

static void step_of(const struct sc_encoding *f, struct sc_extent of, struct sc_step *out)
{
    const float peak = SC_MAX(-of.min, of.max);
    (void)f;
    out->scale = of.min <= of.max && peak > 0 ? peak / (most_element * most_scale) : 0;
    out->inverse = out->scale > 0 ? 1 / out->scale : 0;
}

const struct sc_scheme_row sc_scheme_nvfp4 = {rounder, pack, step_of};
