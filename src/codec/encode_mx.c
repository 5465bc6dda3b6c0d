/* SPDX-License-Identifier: Apache-2.0 */
/* encode_mx: microscaling formats. 32 neighbours of a line share X = 2^E, stored as the byte E +
 * 127 (E8M0); a code stands for a small float, or for an integer / 64, times X. OCP Microscaling
 * Formats 1.0, 5 and 6.3.
 *
 * With a = floor(log2 amax) of the largest finite |x|, and emax the exponent of the largest
 * element:
 *
 *     floor    E = a - emax                                  OCP's; what lies above saturates
 *     rceil    the least E with amax <= largest 2^E          NVIDIA's; nothing saturates
 *     ceil     a - emax, and one more unless amax is a power of two
 *     even     as floor, of amax rounded to the mantissa of the element
 *     sse      of floor's E, E + 1 and E - 1 that of the least squared error (double, in order), of
 *              equals the first
 *
 * E is at least -127 and at most 127. A NaN makes the block NaN (FF). Infinities saturate and do
 * not count for amax; where there is nothing else but zeros, E is 127. A block of zeros has byte 0.
 * x / X is exact, or so small that it becomes 0. Integers have no -0. */
#include "codec/encode.h"

enum { BLOCK = 32, E_NAN = 255 - 127, E_MOST = 127, E_LEAST = -127 };

/* An integer / 64 up to 127 is a float whose steps are 1/64 everywhere below 2. */
static const struct sc_small int8 = {8, 6, 1, 0x7f, 0, 0, true};

const struct sc_small *sc_mx_element(const struct sc_encoding *f)
{
    return f->element == SC_ELEMENT_INT ? &int8 : &sc_smalls[f->element];
}

/* The shared exponent by every rule but sse. peak: bits of amax, not 0. */
static int exponent_of_peak(const struct sc_encoding *f, const struct sc_small *s, uint32_t peak)
{
    const uint32_t fraction_mask = (1U << 23) - 1;
    const uint32_t largest = sc_bits_of(sc_small_largest(s));
    const int a = sc_log2_floor(peak);
    const int e = a - sc_log2_floor(largest);
    const uint32_t normal = peak >> 23 ? peak : sc_bits_of(sc_float_of(peak) * 0x1p24F);
    const uint32_t fraction = normal & fraction_mask;
    bool more = false;
    switch ((enum sc_scale_rule)f->rule) {
    case SC_RULE_FLOOR:
    case SC_RULE_SSE:
    case SC_RULE_COUNT:
        break;
    case SC_RULE_RCEIL:
        more = fraction > (largest & fraction_mask);
        break;
    case SC_RULE_CEIL:
        more = fraction > 0;
        break;
    case SC_RULE_EVEN: /* from half a step below the next power of two on; a tie goes up */
        more = fraction + (1U << (22 - s->mantissa)) > fraction_mask;
        break;
    }
    return SC_MAX(E_LEAST, SC_MIN(E_MOST, e + more));
}

/* A value in units of X, as the element keeps it; *above: it is too large. */
static inline float nearest(const struct sc_small *s, float largest, float x, float inverse,
                            bool *above)
{
    const float t = sc_float_of(sc_bits_of(x) & ~SC_SIGN) * inverse;
    const float y = sc_small_nearest(s, SC_MIN(t, 2 * largest));
    *above = y > largest;
    return *above ? largest : y;
}

static double error_of(const struct sc_small *s, const float *x, size_t n, int e)
{
    const float largest = sc_small_largest(s), scale = sc_power(e), inverse = sc_power(-e);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        bool above;
        const uint32_t mag = sc_bits_of(x[i]) & ~SC_SIGN;
        if (mag >= SC_INFINITE)
            continue;
        const double d =
            (double)(nearest(s, largest, x[i], inverse, &above) * scale) - (double)sc_float_of(mag);
        sum += d * d;
    }
    return sum;
}

static int least_error(const struct sc_encoding *f, const float *x, size_t n, int e)
{
    static const int steps[] = {1, -1};
    const struct sc_small *s = sc_mx_element(f);
    double least = error_of(s, x, n, e);
    int best = e;
    for (size_t i = 0; i < SC_COUNT(steps); i++) {
        const int other = e + steps[i];
        const double error = other >= E_LEAST && other <= E_MOST ? error_of(s, x, n, other) : least;
        if (error < least) {
            least = error;
            best = other;
        }
    }
    return best;
}

int sc_mx_exponent(const struct sc_encoding *f, const float *x, size_t n)
{
    unsigned special;
    const uint32_t peak = sc_peak_of(x, n, &special);
    if (special & 2)
        return E_NAN;
    if (peak == 0)
        return special ? E_MOST : E_LEAST;
    const int e = exponent_of_peak(f, sc_mx_element(f), peak);
    return f->rule == SC_RULE_SSE ? least_error(f, x, n, e) : e;
}

size_t sc_mx_round_block(const struct sc_encoding *f, const float *x, size_t n, int e, float *y)
{
    const struct sc_small *s = sc_mx_element(f);
    const float largest = sc_small_largest(s);
    size_t full = 0;
    for (size_t i = 0; i < n; i++) {
        bool above;
        const uint32_t bits = sc_bits_of(x[i]);
        if (e == E_NAN) {
            y[i] = sc_float_of(SC_NAN);
            continue;
        }
        const float v = nearest(s, largest, x[i], sc_power(-e), &above);
        full += above && (bits & ~SC_SIGN) < SC_INFINITE;
        const uint32_t sign = s->fnuz && !(v > 0) ? 0 : bits & SC_SIGN;
        y[i] = sc_float_of(sc_bits_of(v * sc_power(e)) | sign);
    }
    return full;
}

static size_t round_mx(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                       size_t n, float *y)
{
    size_t full = 0;
    (void)step;
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t some = SC_MIN(n - i, BLOCK);
        full += sc_mx_round_block(f, x + i, some, sc_mx_exponent(f, x + i, some), y + i);
    }
    return full;
}

static sc_round_fn *rounder(const struct sc_encoding *f, enum sc_cpu level)
{
    sc_round_fn *fast = SC_AT_LEVEL(level, sc_round_mx);
    (void)f, (void)level;
    return fast ? fast : round_mx;
}

static uint8_t code_of(const struct sc_encoding *f, float x, int e)
{
    const struct sc_small *s = sc_mx_element(f);
    bool above;
    const uint32_t mag = sc_small_code(s, nearest(s, sc_small_largest(s), x, sc_power(-e), &above));
    const bool negative = sc_bits_of(x) & SC_SIGN;
    if (f->element == SC_ELEMENT_INT)
        return (uint8_t)(negative ? 0 - mag : mag);
    return (uint8_t)(mag | (uint32_t)negative << (s->bits - 1));
}

static size_t pack(const struct sc_encoding *f, const struct sc_step *step, const float *x,
                   size_t n, uint8_t *dst)
{
    const uint8_t *start = dst;
    (void)step;
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t some = SC_MIN(n - i, BLOCK);
        const int e = sc_mx_exponent(f, x + i, some);
        uint8_t codes[BLOCK] = {0};
        for (size_t k = 0; k < some && e != E_NAN; k++)
            codes[k] = code_of(f, x[i + k], e);
        *dst++ = (uint8_t)(e + 127);
        sc_pack_bits(codes, BLOCK, f->bits, dst);
        dst += BLOCK * f->bits / 8;
    }
    return (size_t)(dst - start);
}

const struct sc_scheme_row sc_scheme_mx = {rounder, pack, NULL};
