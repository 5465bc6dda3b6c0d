/* SPDX-License-Identifier: Apache-2.0 */
/* losses_body: rounding to block floats, MX, NVFP4 and small floats, and sums of what is lost, in
 * one loop over 16 lanes. Included once a level by losses_x86.c, after encode_body.h and
 * kernel/errors_body.h; empty without LANES.
 *
 * Scales of all groups of a block come first, 16 beside each other. What is rare (exponents near
 * the ends) ends it: somebody else takes the whole block. Signs of zeros are not looked after,
 * since no sum sees them. */

#ifdef LANES
#define INLINE TARGET static inline __attribute__((always_inline))

/* A number for each group of 16, in three ways. */
struct AT(groups) {
    size_t per_row, rows, n;
    float a[SC_LOSS_GROUPS + 16], b[SC_LOSS_GROUPS + 16], c[SC_LOSS_GROUPS + 16];
};

/* false: there are too many. */
INLINE bool AT(groups_of)(const struct sc_error_block *b, struct AT(groups) * g)
{
    g->per_row = b->n / 16;
    g->n = b->rows * g->per_row;
    return g->n <= SC_LOSS_GROUPS && b->x_stride == b->n && b->tail;
}

/* Whether any of the groups has bits of a positive float outside of [least, largest]. */
INLINE bool AT(any_outside)(LANES v, uint32_t least, uint32_t largest)
{
    return count(morei(all(least), v)) || count(morei(v, all(largest)));
}

/* Groups of zeros, and those that do not exist, have any scale: one in the middle. */
INLINE LANES AT(unless_zero)(LANES peak, LANES v, uint32_t otherwise)
{
    return pick(morei(peak, all(0)), v, all(otherwise));
}

#define SUMS(kept, how)                                                                            \
    do {                                                                                           \
        sc_errors_clear(b, out);                                                                   \
        if (b->relative)                                                                           \
            AT(add_block)(b, out, kept, how, true, true, full);                                    \
        else                                                                                       \
            AT(add_block)(b, out, kept, how, true, false, full);                                   \
    } while (0)
#define GROUP(g, r, col) ((r) * (g)->per_row + (col) / 16)

/* ----------------------------------------------------------------------------------- nothing ---
 */
INLINE LANES AT(kept_none)(const void *how, LANES x, size_t r, size_t col, MASK *above)
{
    (void)how, (void)r, (void)col;
    *above = morei(x, x);
    return all(0);
}

TARGET bool AT(sc_losses_zero)(const struct sc_encoding *f, const struct sc_step *step,
                               const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                               struct sc_block_errors *out, uint64_t *full)
{
    (void)f, (void)step, (void)peak, (void)bits;
    SUMS(AT(kept_none), NULL);
    return true;
}

/* ------------------------------------------------------------------------------ block floats ---
 */
INLINE LANES AT(kept_bfp)(const void *how, LANES x, size_t r, size_t col, MASK *above)
{
    const struct AT(groups) *g = how;
    const size_t k = GROUP(g, r, col);
    return AT(bfp_short)(x, all(sc_bits_of(g->a[k])), all(sc_bits_of(g->b[k])), above);
}

/* Values of any length: bits that alignment loses are cut off first. */
INLINE LANES AT(kept_bfp_cut)(const void *how, LANES x, size_t r, size_t col, MASK *above)
{
    const struct AT(groups) *g = how;
    const size_t k = GROUP(g, r, col);
    const LANES top = all(sc_bits_of(g->c[k]));
    const LANES lost = srl(subi(top, andi(x, all(SC_INFINITE))), all(23));
    const LANES aligned = andi(x, sll(all(UINT32_MAX), lost));
    return AT(bfp_short)(aligned, all(sc_bits_of(g->a[k])), all(sc_bits_of(g->b[k])), above);
}

TARGET bool AT(sc_losses_bfp)(const struct sc_encoding *f, const struct sc_step *step,
                              const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                              struct sc_block_errors *out, uint64_t *full)
{
    const uint32_t m = f->bits - 1U, ones = ((1U << (m - 1)) - 1) << (24 - m);
    struct AT(groups) g;
    (void)step;
    if (!AT(groups_of)(b, &g))
        return false;
    for (size_t k = 0; k < g.n; k += 16) {
        const LANES p = load_bits(peak + k);
        const LANES top = AT(unless_zero)(p, andi(p, all(SC_INFINITE)), 127U << 23);
        if (AT(any_outside)(top, 10U << 23, 230U << 23))
            return false;
        store(g.a + k, ori(addi(top, all((24 - m) << 23)), all(1U << 22)));
        store(g.b + k, ori(top, all(ones)));
        store(g.c + k, top);
    }
    if (!(bits & 0x7f))
        SUMS(AT(kept_bfp), &g);
    else
        SUMS(AT(kept_bfp_cut), &g);
    return true;
}

/* -------------------------------------------------------------------- small floats, scaled --- */
/* Steps as `least` has them and above: their place is that of the last bit of 3/2 of a power of
 * two, from where both signs find the same ones. */
INLINE LANES AT(small_at)(LANES x, LANES least, LANES shift, LANES largest, MASK *above)
{
    const LANES far = addi(maxi(andi(x, all(SC_INFINITE)), least), shift);
    const LANES v = subf(addf(x, far), far), inside = boundf(v, largest);
    *above = differf(v, inside);
    return inside;
}

/* An element without scale. */
struct AT(small) {
    LANES least, shift, largest;
};
INLINE struct AT(small) AT(small_of)(const struct sc_small *s)
{
    const struct AT(element) e = AT(element_of)(s);
    return (struct AT(small)){e.least, addi(e.shift, all(1U << 22)), e.largest};
}

INLINE LANES AT(kept_small)(const void *how, LANES x, size_t r, size_t col, MASK *above)
{
    const struct AT(small) *s = how;
    (void)r, (void)col;
    return AT(small_at)(x, s->least, s->shift, s->largest, above);
}

TARGET bool AT(sc_losses_cast)(const struct sc_encoding *f, const struct sc_step *step,
                               const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                               struct sc_block_errors *out, uint64_t *full)
{
    const struct AT(small) s = AT(small_of)(&sc_smalls[f->element]);
    const uint64_t before = *full;
    (void)step, (void)peak, (void)bits;
    SUMS(AT(kept_small), &s);
    if (f->saturate || *full == before)
        return true;
    *full = before;
    return false;
}

struct AT(scaled) {
    struct AT(groups) g;
    LANES shift;
};

INLINE LANES AT(kept_mx)(const void *how, LANES x, size_t r, size_t col, MASK *above)
{
    const struct AT(scaled) *s = how;
    const size_t k = GROUP(&s->g, r, col);
    return AT(small_at)(x, all(sc_bits_of(s->g.a[k])), s->shift, all(sc_bits_of(s->g.b[k])), above);
}

TARGET bool AT(sc_losses_mx)(const struct sc_encoding *f, const struct sc_step *step,
                             const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                             struct sc_block_errors *out, uint64_t *full)
{
    const struct AT(mx) c = AT(mx_of)(f);
    const struct AT(small) e = AT(small_of)(sc_mx_element(f));
    struct AT(scaled) s;
    (void)step, (void)bits;
    if (!AT(groups_of)(b, &s.g))
        return false;
    s.shift = e.shift;
    for (size_t k = 0; k < s.g.n; k += 16) {
        const LANES p = pairs(load_bits(peak + k));
        const LANES field = subi(srl(addi(p, c.more), all(23)), c.emax); /* of the scale */
        const LANES power = AT(unless_zero)(p, field, 127);
        if (AT(any_outside)(power, 40, 200))
            return false;
        const LANES more = sll(subi(power, all(127)), all(23));
        store(s.g.a + k, addi(e.least, more));
        store(s.g.b + k, addi(e.largest, more));
    }
    SUMS(AT(kept_mx), &s);
    return true;
}

/* ------------------------------------------------------------------------------------- NVFP4 ---
 */
struct AT(nvfp4) {
    struct AT(groups) g;
    struct AT(small) e;
};

INLINE LANES AT(kept_nvfp4)(const void *how, LANES x, size_t r, size_t col, MASK *above)
{
    const struct AT(nvfp4) *s = how;
    const size_t k = GROUP(&s->g, r, col);
    const LANES unit = all(sc_bits_of(s->g.a[k])), inverse = all(sc_bits_of(s->g.b[k]));
    const LANES q = AT(quotient)(x, unit, inverse);
    return mulf(AT(small_at)(q, s->e.least, s->e.shift, s->e.largest, above), unit);
}

TARGET bool AT(sc_losses_nvfp4)(const struct sc_encoding *f, const struct sc_step *step,
                                const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                                struct sc_block_errors *out, uint64_t *full)
{
    struct AT(nvfp4) s;
    (void)bits;
    if (!AT(groups_of)(b, &s.g) || !(step->scale > 0))
        return false;
    s.e = AT(small_of)(&sc_smalls[SC_ELEMENT_E2M1]);
    for (size_t k = 0; k < s.g.n; k += 16) {
        const LANES scale = AT(nvfp4_scales)(f, load_bits(peak + k), step->scale);
        const LANES unit = mulf(scale, all(sc_bits_of(step->scale)));
        if (AT(any_outside)(unit, sc_bits_of(0x1p-60F), sc_bits_of(0x1p60F)))
            return false;
        store(s.g.a + k, unit);
        store(s.g.b + k, divf(all(sc_bits_of(1)), unit));
    }
    SUMS(AT(kept_nvfp4), &s);
    return true;
}

/* --------------------------------------------------------------------------------- what is x ---
 */
TARGET uint32_t AT(sc_group_peaks)(const float *x, size_t n, uint32_t *peak)
{
    LANES any = all(0);
    uint32_t lanes[16], bits = 0;
    for (size_t k = 0; k < n; k += 16) {
        const size_t some = SC_MIN(n - k, (size_t)16);
        store_bits(peak + k, peaks(x + 16 * k, some));
        for (size_t i = k; i < k + some; i++)
            any = ori(any, load(x + 16 * i));
    }
    store_bits(lanes, any);
    for (size_t i = 0; i < 16; i++)
        bits |= lanes[i];
    return bits;
}

#undef INLINE
#undef SUMS
#undef GROUP
#endif /* LANES */
