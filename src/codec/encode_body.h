/* SPDX-License-Identifier: Apache-2.0 */
/* encode_body: the loops of encode_float.c, encode_int.c, encode_bfp.c, encode_mx.c and
 * encode_nvfp4.c over 16 lanes. Included by encode_x86.c once a level, with LANES, MASK, TARGET and
 * AT(name) as it needs them; without these it is empty.
 *
 * What is rare (infinities, NaN, exponents near the ends) goes to plain C, a block at a time. So
 * do blocks for which two scales are about as good: sums of squares are added here in another
 * order, which decides only what is clear. */

#ifdef LANES
#define INLINE TARGET static inline __attribute__((always_inline))

/* Sums of squares that differ by less than this share may be equal. */
#define CLEAR (1 + 0x1p-40)

/* The constants of an element. */
struct AT(element) {
    LANES least, shift, largest, twice;
};

INLINE struct AT(element) AT(element_of)(const struct sc_small *s)
{
    const float largest = sc_small_largest(s);
    return (struct AT(element)){
        all((uint32_t)(128 - s->bias) << 23),
        all((uint32_t)(23 - s->mantissa) << 23),
        all(sc_bits_of(largest)),
        all(sc_bits_of(2 * largest)),
    };
}

/* sc_small_nearest() of at most twice the largest value. */
INLINE LANES AT(nearest)(const struct AT(element) * e, LANES t)
{
    t = minf(t, e->twice);
    const LANES top = maxi(andi(t, all(SC_INFINITE)), e->least);
    const LANES shift = addi(top, e->shift);
    return subf(addf(t, shift), shift);
}

/* ------------------------------------------------------------------------------- one by one --- */
TARGET static size_t AT(cast_16)(const struct sc_encoding *f, const struct AT(element) * e,
                                 const float *x, float *y)
{
    const struct sc_small *s = &sc_smalls[f->element];
    const LANES bits = load(x), mag = andi(bits, all(~SC_SIGN)), sign = andi(bits, all(SC_SIGN));
    const LANES nan_sign = s->fnuz ? all(0) : sign;
    const LANES infinite =
        s->above == s->nan ? ori(all(SC_NAN), nan_sign) : ori(all(SC_INFINITE), sign);
    const LANES v = AT(nearest)(e, mag);
    const MASK above = moref(v, e->largest);
    const LANES too_large = f->saturate ? ori(e->largest, sign) : infinite;
    const LANES zero_sign = s->fnuz ? keep(moref(v, all(0)), sign) : sign;
    LANES result = pick(above, too_large, ori(v, zero_sign));
    result = pick(morei(mag, all(SC_INFINITE)), ori(all(SC_NAN), nan_sign), result);
    store(y, result);
    return f->saturate ? count(both(above, morei(all(SC_INFINITE), mag))) : 0;
}

TARGET static size_t AT(bf16_16)(const float *x, float *y)
{
    const LANES bits = load(x), mag = andi(bits, all(~SC_SIGN));
    const LANES odd = andi(srl(bits, all(16)), all(1));
    const LANES number = addi(bits, addi(all(0x7fff), odd));
    const LANES nan = ori(bits, all(1U << 22));
    store(y, andi(pick(morei(mag, all(SC_INFINITE)), nan, number), all(0xffff0000)));
    return 0;
}

TARGET static size_t AT(f16_16)(const float *x, float *y)
{
    store(y, halves(load(x)));
    return 0;
}

/* The last few values of a line in their own room; missing ones are 0, of which none saturates. */
#define TAIL(unit, call)                                                                           \
    if (i < n) {                                                                                   \
        float some[unit] = {0}, kept[unit];                                                        \
        memcpy(some, x + i, (n - i) * sizeof *x);                                                  \
        full += call(some, kept);                                                                  \
        memcpy(y + i, kept, (n - i) * sizeof *y);                                                  \
    }
#define LOOP(unit, call)                                                                           \
    size_t full = 0, i = 0;                                                                        \
    for (; i + (unit) <= n; i += (unit))                                                           \
        full += call(x + i, y + i);                                                                \
    TAIL(unit, call)                                                                               \
    return full;

TARGET size_t AT(sc_round_cast)(const struct sc_encoding *f, const struct sc_step *step,
                                const float *x, size_t n, float *y)
{
    const struct AT(element) e = AT(element_of)(&sc_smalls[f->element]);
    (void)step;
#define CALL(from, to) AT(cast_16)(f, &e, from, to)
    LOOP(16, CALL)
#undef CALL
}

TARGET size_t AT(sc_round_bf16)(const struct sc_encoding *f, const struct sc_step *step,
                                const float *x, size_t n, float *y)
{
    (void)f, (void)step;
    LOOP(16, AT(bf16_16))
}

TARGET size_t AT(sc_round_f16)(const struct sc_encoding *f, const struct sc_step *step,
                               const float *x, size_t n, float *y)
{
    (void)f, (void)step;
    LOOP(16, AT(f16_16))
}

/* Integers of one step: the quotient is rounded, and lies between the ends. What is left at the end
 * of a line is done in C. */
TARGET size_t AT(sc_int_round)(const struct sc_encoding *f, const struct sc_step *step,
                               const float *x, size_t n, float *y)
{
    const float limit = 0x1p20F; /* beyond this quotients are not told apart */
    const struct sc_int_range r = sc_int_range(f, step);
    const LANES scale = all(sc_bits_of(step->scale)), magic = all(sc_bits_of(0x1.8p23F));
    const LANES low = all(sc_bits_of(r.low)), high = all(sc_bits_of(r.high));
    const LANES least = all(sc_bits_of(-limit)), largest = all(sc_bits_of(limit));
    const LANES ends[] = {all(sc_bits_of(-FLT_MAX)), all(sc_bits_of(FLT_MAX))};
    size_t i = 0, full = 0;
    for (; step->inverse > 0 && i + 16 <= n; i += 16) {
        const LANES v = load(x + i), q = divf(v, scale);
        const MASK none = morei(andi(q, all(~SC_SIGN)), all(SC_INFINITE)); /* NaN */
        const MASK finite = morei(all(SC_INFINITE), andi(v, all(~SC_SIGN)));
        const LANES whole = subf(addf(maxf(minf(q, largest), least), magic), magic);
        const LANES code = pick(none, all(0), whole), held = maxf(minf(code, high), low);
        full += count(both(finite, differf(held, code)));
        store(y + i, maxf(minf(mulf(held, scale), ends[1]), ends[0]));
    }
    return full + sc_int_round_c(f, step, x + i, n - i, y + i);
}

/* Blocks of one scale are taken 256 values at a time: first the largest |x| of every 16 values,
 * then the scales of all blocks beside each other, then block by block. */
enum { AT(runs) = 16 };

/* ---------------------------------------------------------------------------- block floats --- */
/* A group at a shared exponent, which stands in the field of `top`. Bits that alignment loses are
 * cut off (where more than 23 are lost, what is left of x is less than half a step in any case);
 * then `shift`, whose last bit is worth one step, rounds to nearest even. */
INLINE LANES AT(bfp_at)(LANES bits, LANES top, LANES shift, LANES largest, MASK *above)
{
    const LANES mag = andi(bits, all(~SC_SIGN));
    const LANES lost = srl(subi(top, andi(mag, all(SC_INFINITE))), all(23));
    const LANES aligned = andi(mag, sll(all(UINT32_MAX), lost));
    const LANES v = subf(addf(aligned, shift), shift);
    const LANES sign = keep(moref(v, all(0)), andi(bits, all(SC_SIGN)));
    *above = moref(v, largest);
    return ori(minf(v, largest), sign);
}

/* sse: the exponent below too; what has the exponent above it is too large by itself (lost is
 * negative, so that it is cut to 0, and must be put back). */
INLINE LANES AT(bfp_below)(LANES bits, LANES top, LANES shift, LANES largest, MASK *above)
{
    const LANES mag = andi(bits, all(~SC_SIGN)), one = all(1U << 23);
    const LANES low = subi(top, one), most_low = subi(largest, one);
    const MASK outside = morei(andi(mag, all(SC_INFINITE)), low);
    const LANES v = AT(bfp_at)(bits, low, subi(shift, one), most_low, above);
    const LANES too_large = ori(most_low, andi(bits, all(SC_SIGN)));
    *above = moref(pick(outside, top, keep(*above, top)), all(0));
    return pick(outside, too_large, v);
}

TARGET static size_t AT(bfp_least)(const struct sc_encoding *f, LANES top, LANES shift,
                                   LANES largest, const float *x, float *y)
{
    const LANES bits = load(x);
    MASK above, above_low;
    const LANES v = AT(bfp_at)(bits, top, shift, largest, &above);
    const LANES low = AT(bfp_below)(bits, top, shift, largest, &above_low);
    const double error = squares(bits, v), error_low = squares(bits, low);
    if (error_low < error * CLEAR && error < error_low * CLEAR)
        return sc_bfp_round_group(f, x, 16, y);
    store(y, error_low < error ? low : v);
    return count(error_low < error ? above_low : above);
}

/* Values of at most 17 bits (BF16 has 8): where alignment loses bits, what is left is less than
 * half a step, so that nothing needs to be cut off. From 3/2 of a power of two both signs find the
 * same steps, and what becomes 0 has none. */
INLINE LANES AT(bfp_short)(LANES bits, LANES shift, LANES largest, MASK *above)
{
    const LANES v = subf(addf(bits, shift), shift), inside = boundf(v, largest);
    *above = differf(v, inside);
    return inside;
}

INLINE bool AT(bfp_all_short)(const float *x, size_t n)
{
    LANES any = load(x);
    for (size_t k = 1; k < n; k++)
        any = ori(any, load(x + 16 * k));
    return count(morei(andi(any, all(0x7f)), all(0))) == 0;
}

/* Up to 16 groups. Exponents near the ends, where powers of two are subnormal or infinite, are
 * left to plain C; groups of zeros are not among them. */
TARGET static size_t AT(bfp_256)(const struct sc_encoding *f, const float *x, size_t n, float *y)
{
    enum { LEAST = 10, MOST = 230 };
    const uint32_t m = f->bits - 1U, ones = ((1U << (m - 1)) - 1) << (24 - m);
    const LANES top = andi(peaks(x, n), all(SC_INFINITE));
    uint32_t tops[16];
    float shifts[16], largest[16];
    size_t full = 0;
    store_bits(tops, top);
    store(shifts, addi(top, all((24 - m) << 23)));
    store(largest, ori(top, all(ones)));
    const bool all_short = f->rule != SC_RULE_SSE && AT(bfp_all_short)(x, n);
    for (size_t k = 0; k < n; k++, x += 16, y += 16) {
        MASK above;
        const uint32_t e = tops[k] >> 23;
        if (SC_UNLIKELY(e - LEAST > MOST - LEAST)) {
            full += sc_bfp_round_group(f, x, 16, y);
            continue;
        }
        const LANES t = all(tops[k]), s = all(sc_bits_of(shifts[k]));
        const LANES l = all(sc_bits_of(largest[k]));
        if (all_short) {
            const LANES half_more = all(sc_bits_of(shifts[k]) | 1U << 22);
            store(y, AT(bfp_short)(load(x), half_more, l, &above));
            full += count(above);
            continue;
        }
        if (f->rule == SC_RULE_SSE) {
            full += AT(bfp_least)(f, t, s, l, x, y);
            continue;
        }
        store(y, AT(bfp_at)(load(x), t, s, l, &above));
        full += count(above);
    }
    return full;
}

TARGET size_t AT(sc_round_bfp)(const struct sc_encoding *f, const struct sc_step *step,
                               const float *x, size_t n, float *y)
{
    size_t full = 0, i = 0;
    (void)step;
    while (i + 16 <= n) {
        const size_t groups = SC_MIN((n - i) / 16, AT(runs));
        full += AT(bfp_256)(f, x + i, groups, y + i);
        i += 16 * groups;
    }
    return i < n ? full + sc_bfp_round_group(f, x + i, n - i, y + i) : full;
}

/* ---------------------------------------------------------------------------- microscaling --- */
struct AT(mx) {
    const struct sc_encoding *f;
    struct AT(element) element;
    LANES more; /* what a rule adds to the bits of amax: the exponent steps up where it must */
    LANES emax;
    bool minus_zero;
};

INLINE struct AT(mx) AT(mx_of)(const struct sc_encoding *f)
{
    const struct sc_small *s = sc_mx_element(f);
    const uint32_t largest = sc_bits_of(sc_small_largest(s)), all_ones = 0x7fffff;
    uint32_t more = 0;
    if (f->rule == SC_RULE_RCEIL)
        more = all_ones - (largest & all_ones);
    if (f->rule == SC_RULE_CEIL)
        more = all_ones;
    if (f->rule == SC_RULE_EVEN)
        more = 1U << (22 - s->mantissa);
    return (struct AT(mx)){f, AT(element_of)(s), all(more), all((largest >> 23) - 127), !s->fnuz};
}

/* 2^(e - 127) for e from 0 to 254: normal but at one end. */
INLINE LANES AT(power)(LANES e)
{
    return maxi(sll(e, all(23)), all(1U << 22));
}

/* 16 values in units of `scale`, a power of two. */
INLINE LANES AT(mx_at)(const struct AT(mx) * c, LANES bits, LANES scale, LANES inverse, MASK *above)
{
    const LANES v = AT(nearest)(&c->element, mulf(andi(bits, all(~SC_SIGN)), inverse));
    const LANES sign = andi(bits, all(SC_SIGN));
    *above = moref(v, c->element.largest);
    return ori(mulf(minf(v, c->element.largest), scale),
               c->minus_zero ? sign : keep(moref(v, all(0)), sign));
}

struct AT(block) {
    LANES a, b;
    unsigned full;
};

INLINE struct AT(block)
    AT(mx_block)(const struct AT(mx) * c, LANES a, LANES b, LANES scale, LANES inverse)
{
    struct AT(block) r;
    MASK above_a, above_b;
    r.a = AT(mx_at)(c, a, scale, inverse, &above_a);
    r.b = AT(mx_at)(c, b, scale, inverse, &above_b);
    r.full = count(above_a) + count(above_b);
    return r;
}

/* The best of e, e + 1, e - 1, as scale and inverse; false: none is clearly better. */
TARGET static bool AT(mx_least)(const struct AT(mx) * c, LANES a, LANES b, uint32_t e,
                                struct AT(block) * best)
{
    double least = INFINITY, second = INFINITY;
    for (uint32_t at = e - 1; at <= e + 1; at++) {
        const struct AT(block) r =
            AT(mx_block)(c, a, b, AT(power)(all(at)), AT(power)(all(254 - at)));
        const double error = squares(a, r.a) + squares(b, r.b);
        second = error < least ? least : SC_MIN(second, error);
        if (error < least) {
            least = error;
            *best = r;
        }
    }
    return least * CLEAR < second;
}

/* Up to 8 blocks. */
TARGET static size_t AT(mx_256)(const struct AT(mx) * c, const float *x, size_t n, float *y)
{
    const LANES peak = pairs(peaks(x, 2 * n));
    const LANES unbound = subi(srl(addi(peak, c->more), all(23)), c->emax);
    const LANES e = mini(maxi(unbound, all(0)), all(254));
    uint32_t bits[16], exponents[16];
    float scales[16], inverses[16];
    size_t full = 0;
    store_bits(bits, peak);
    store_bits(exponents, e);
    store(scales, AT(power)(e));
    store(inverses, AT(power)(subi(all(254), e)));
    for (size_t k = 0; k < n; k++, x += 32, y += 32) {
        const LANES a = load(x), b = load(x + 16);
        const uint32_t least = 1U << 23;
        struct AT(block) r = {a, b, 0}; /* zeros */
        bool rare = bits[2 * k] - least >= SC_INFINITE - least;
        if (SC_UNLIKELY(bits[2 * k] == 0)) {
            rare = !c->minus_zero;
        } else if (c->f->rule == SC_RULE_SSE) {
            rare =
                rare || exponents[2 * k] - 1 >= 253 || !AT(mx_least)(c, a, b, exponents[2 * k], &r);
        } else if (!rare) {
            r = AT(mx_block)(c, a, b, all(sc_bits_of(scales[2 * k])),
                             all(sc_bits_of(inverses[2 * k])));
        }
        if (SC_UNLIKELY(rare)) {
            full += sc_mx_round_block(c->f, x, 32, sc_mx_exponent(c->f, x, 32), y);
            continue;
        }
        store(y, r.a);
        store(y + 16, r.b);
        full += r.full;
    }
    return full;
}

TARGET size_t AT(sc_round_mx)(const struct sc_encoding *f, const struct sc_step *step,
                              const float *x, size_t n, float *y)
{
    const struct AT(mx) c = AT(mx_of)(f);
    size_t full = 0, i = 0;
    (void)step;
    while (i + 32 <= n) {
        const size_t blocks = SC_MIN((n - i) / 32, AT(runs) / 2);
        full += AT(mx_256)(&c, x + i, blocks, y + i);
        i += 32 * blocks;
    }
    if (i < n)
        full += sc_mx_round_block(f, x + i, n - i, sc_mx_exponent(f, x + i, n - i), y + i);
    return full;
}

/* ----------------------------------------------------------------------------------- NVFP4 --- */
/* |x| / unit, rounded once. inverse: 1 / unit rounded. Two steps of Newton with exact remainders
 * (Markstein 1990: the first is off by less than a unit in the last place, the second is right),
 * for units from 2^-60 to 2^60; where |x| is so small that remainders are lost, the quotient is far
 * below the first level. */
INLINE LANES AT(quotient)(LANES mag, LANES unit, LANES inverse)
{
    LANES q = mulf(mag, inverse);
    q = fma(fnma(q, unit, mag), inverse, q);
    return fma(fnma(q, unit, mag), inverse, q);
}

INLINE LANES AT(nvfp4_at)(const struct AT(element) * e, LANES bits, LANES unit, LANES inverse,
                          MASK *above)
{
    const LANES q = AT(quotient)(andi(bits, all(~SC_SIGN)), unit, inverse);
    const LANES v = AT(nearest)(e, q);
    *above = moref(v, e->largest);
    return ori(mulf(minf(v, e->largest), unit), andi(bits, all(SC_SIGN)));
}

/* The scales of 16 blocks from their largest |x|, as values of E4M3, whose numbers `e4m3` are. */
INLINE LANES AT(nvfp4_scales)(const struct sc_encoding *f, const struct AT(element) * e4m3,
                              LANES peaks, float g)
{
    const LANES r = divf(divf(peaks, all(sc_bits_of(6))), all(sc_bits_of(g)));
    const LANES inside = maxf(minf(r, e4m3->largest), all(sc_bits_of(f->floor)));
    return minf(AT(nearest)(e4m3, inside), e4m3->largest);
}

/* 16 blocks or fewer: their scales are computed beside each other. */
TARGET static size_t AT(nvfp4_256)(const struct sc_encoding *f, const struct sc_step *step,
                                   const struct AT(element) * e, const struct AT(element) * e4m3,
                                   const float *x, size_t n, float *y)
{
    const LANES peak = peaks(x, n);
    float most_of[16], units[16], inverses[16];
    size_t full = 0;
    const LANES unit =
        mulf(AT(nvfp4_scales)(f, e4m3, peak, step->scale), all(sc_bits_of(step->scale)));
    store(most_of, peak);
    store(units, unit);
    store(inverses, divf(all(sc_bits_of(1)), unit));
    for (size_t k = 0; k < n; k++, x += 16, y += 16) {
        MASK above;
        if (SC_UNLIKELY(!(most_of[k] < INFINITY) ||
                        !(units[k] >= 0x1p-60F && units[k] <= 0x1p60F))) {
            full += sc_nvfp4_round_block(x, 16, sc_nvfp4_scale(f, step, x, 16), step->scale, y);
            continue;
        }
        store(y, AT(nvfp4_at)(e, load(x), all(sc_bits_of(units[k])), all(sc_bits_of(inverses[k])),
                              &above));
        full += count(above);
    }
    return full;
}

/* One block: the scales that are tried, beside each other. */
TARGET static size_t AT(nvfp4_least)(const struct sc_encoding *f, const struct sc_step *step,
                                     const struct AT(element) * e, const float *x, float *y)
{
    const LANES bits = load(x);
    float units[16], inverses[16];
    uint32_t codes[SC_NVFP4_TRIED];
    double least = INFINITY, second = INFINITY;
    size_t full = 0;
    const LANES peak = most(andi(bits, all(~SC_SIGN)));
    const uint32_t special = first(peak);
    if (special == 0 || special >= SC_INFINITE)
        return sc_nvfp4_round_block(x, 16, sc_nvfp4_scale(f, step, x, 16), step->scale, y);
    const size_t n = sc_nvfp4_candidates(f, step, sc_float_of(special), codes);
    for (size_t i = 0; i < 16; i++)
        units[i] = sc_e4m3_scale(codes[SC_MIN(i, n - 1)]) * step->scale;
    store(inverses, divf(all(sc_bits_of(1)), load(units)));
    LANES best = bits;
    for (size_t i = 0; i < n; i++) {
        MASK above;
        if (!(units[i] >= 0x1p-60F && units[i] <= 0x1p60F))
            return sc_nvfp4_round_block(x, 16, sc_nvfp4_scale(f, step, x, 16), step->scale, y);
        const LANES v =
            AT(nvfp4_at)(e, bits, all(sc_bits_of(units[i])), all(sc_bits_of(inverses[i])), &above);
        const double error = squares(bits, v);
        if (error < least) {
            second = least;
            least = error;
            best = v;
            full = count(above);
        } else {
            second = SC_MIN(second, error);
        }
    }
    if (!(least * CLEAR < second))
        return sc_nvfp4_round_block(x, 16, sc_nvfp4_scale(f, step, x, 16), step->scale, y);
    store(y, best);
    return full;
}

TARGET size_t AT(sc_round_nvfp4)(const struct sc_encoding *f, const struct sc_step *step,
                                 const float *x, size_t n, float *y)
{
    const struct AT(element) e = AT(element_of)(&sc_smalls[SC_ELEMENT_E2M1]);
    const struct AT(element) e4m3 = AT(element_of)(&sc_smalls[SC_ELEMENT_E4M3]);
    size_t full = 0, i = 0;
    while (i + 16 <= n) {
        const size_t blocks = SC_MIN((n - i) / 16, AT(runs));
        if (f->rule == SC_RULE_SSE)
            for (size_t k = 0; k < blocks; k++)
                full += AT(nvfp4_least)(f, step, &e, x + i + 16 * k, y + i + 16 * k);
        else
            full += AT(nvfp4_256)(f, step, &e, &e4m3, x + i, blocks, y + i);
        i += 16 * blocks;
    }
    if (i < n)
        full += sc_nvfp4_round_block(x + i, n - i, sc_nvfp4_scale(f, step, x + i, n - i),
                                     step->scale, y + i);
    return full;
}

#undef INLINE
#undef CLEAR
#undef TAIL
#undef LOOP
#endif /* LANES */
