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

/* A number for each group of 16, in three ways. Groups are neighbours of a row, or of a column:
 * then those of 16 columns stand beside each other, and so do their numbers. */
struct AT(groups) {
    size_t per_row, n;
    bool down;
    float a[SC_LOSS_GROUPS + 16], b[SC_LOSS_GROUPS + 16], c[SC_LOSS_GROUPS + 16];
};

/* false: there are too many. */
INLINE bool AT(groups_of)(const struct sc_error_block *b, bool down, struct AT(groups) * g)
{
    g->down = down;
    g->per_row = down ? b->n : b->n / 16;
    g->n = down ? (b->rows + 15) / 16 * b->n : b->rows * g->per_row;
    return g->n <= SC_LOSS_GROUPS && b->x_stride == b->n && (b->tail || b->only_sums);
}

/* The largest of two groups that share a scale; 16 of them. */
INLINE LANES AT(peaks_of_32)(const struct AT(groups) * g, const uint32_t *peak, size_t k)
{
    if (!g->down)
        return pairs(load_bits(peak + k));
    const size_t at = k % g->per_row, second = g->n > g->per_row ? g->per_row : 0;
    return maxi(load_bits(peak + at), load_bits(peak + second + at));
}

/* Between which bits of positive floats those of groups lie. */
struct AT(extent) {
    LANES least, largest;
};
INLINE struct AT(extent) AT(no_extent)(void)
{
    return (struct AT(extent)){all(INT32_MAX), all(0)};
}
INLINE void AT(extend)(struct AT(extent) * to, LANES v)
{
    to->least = mini(to->least, v);
    to->largest = maxi(to->largest, v);
}
INLINE bool AT(is_inside)(const struct AT(extent) * of, uint32_t least, uint32_t largest)
{
    return !count(morei(all(least), of->least)) && !count(morei(of->largest, all(largest)));
}

/* Groups of zeros, and those that do not exist, have any scale: one in the middle. */
INLINE LANES AT(unless_zero)(LANES peak, LANES v, uint32_t otherwise)
{
    return pick(morei(peak, all(0)), v, all(otherwise));
}

/* 16 values as a format keeps them whose groups have these numbers; *above: what was too large. */
typedef LANES AT(step_fn)(const void *how, LANES x, LANES a, LANES b, LANES c, MASK *above);

/* As errors_body.h asks. `how` begins with the groups. */
#define KEPT(name)                                                                                 \
    INLINE LANES AT(kept_##name)(const void *how, LANES x, size_t r, size_t col, MASK *above)      \
    {                                                                                              \
        const struct AT(groups) *g = how;                                                          \
        const size_t k = r * g->per_row + col / 16;                                                \
        return AT(step_##name)(how, x, all(sc_bits_of(g->a[k])), all(sc_bits_of(g->b[k])),         \
                               all(sc_bits_of(g->c[k])), above);                                   \
    }                                                                                              \
    INLINE LANES AT(down_##name)(const void *how, LANES x, size_t r, size_t col, MASK *above)      \
    {                                                                                              \
        const struct AT(groups) *g = how;                                                          \
        const size_t k = r / 16 * g->per_row + col;                                                \
        return AT(step_##name)(how, x, load(g->a + k), load(g->b + k), load(g->c + k), above);     \
    }

/* Of short errors: a number of each of two groups that stand beside each other, in turns. */
INLINE LANES AT(in_turns)(const float v[2])
{
    uint64_t two;
    memcpy(&two, v, sizeof two);
    return all_wide(two);
}

/* The same of columns, which get the order of short errors: of each 32, even ones first. */
static void AT(order_columns)(struct AT(groups) * g)
{
    float *const of[] = {g->a, g->b};
    for (size_t i = 0; i < SC_COUNT(of); i++)
        for (float *v = of[i]; v < of[i] + g->n; v += SC_ERROR_COLUMNS) {
            float was[SC_ERROR_COLUMNS];
            memcpy(was, v, sizeof was);
            for (size_t k = 0; k < SC_ERROR_COLUMNS; k++)
                v[k % 2 * SC_LANES + k / 2] = was[sc_short_column(k)];
        }
}

/* As errors_short_body.h asks, from two numbers a group. */
#define KEPT_SHORT(name)                                                                           \
    INLINE void AT(kept_short_##name)(const void *how, LANES even, LANES odd, size_t r,            \
                                      size_t col, LANES y[2])                                      \
    {                                                                                              \
        const struct AT(groups) *g = how;                                                          \
        const size_t k = r * (SC_SHORT_COLUMNS / 16) + col / 16;                                   \
        const LANES a = AT(in_turns)(g->a + k), b = AT(in_turns)(g->b + k);                        \
        MASK above;                                                                                \
        y[0] = AT(step_##name)(how, even, a, b, a, &above);                                        \
        y[1] = AT(step_##name)(how, odd, a, b, a, &above);                                         \
    }                                                                                              \
    INLINE void AT(down_short_##name)(const void *how, LANES even, LANES odd, size_t r,            \
                                      size_t col, LANES y[2])                                      \
    {                                                                                              \
        const struct AT(groups) *g = how;                                                          \
        const size_t k = r / 16 * SC_SHORT_COLUMNS + col;                                          \
        MASK above;                                                                                \
        y[0] = AT(step_##name)(how, even, load(g->a + k), load(g->b + k), even, &above);           \
        y[1] = AT(step_##name)(how, odd, load(g->a + k + 16), load(g->b + k + 16), odd, &above);   \
    }
/* Short errors of one kind, by a processor that has this. */
#define SHORT_SUMS(target, level, name)                                                            \
    target static __attribute__((noinline)) void short_##name##_##level(                           \
        const struct sc_error_block *b, const void *how, bool down, struct sc_block_errors *out)   \
    {                                                                                              \
        if (down)                                                                                  \
            short_add_sums_##level(b, out, AT(down_short_##name), how);                            \
        else                                                                                       \
            short_add_sums_##level(b, out, AT(kept_short_##name), how);                            \
    }
#define SHORTS(name)                                                                               \
    KEPT_SHORT(name)                                                                               \
    SHORT_LEVELS(name)                                                                             \
    static void AT(lose_short_##name)(const struct sc_error_block *b, const void *how, bool down,  \
                                      struct sc_block_errors *out)                                 \
    {                                                                                              \
        const unsigned was = sc_tiny_is_zero();                                                    \
        SHORT_BY(name)(b, how, down, out);                                                         \
        sc_tiny_is_back(was);                                                                      \
    }
/* Nobody asks for short errors of these. */
#define NEVER_SHORT(name)                                                                          \
    static void AT(lose_short_##name)(const struct sc_error_block *b, const void *how, bool down,  \
                                      struct sc_block_errors *out)                                 \
    {                                                                                              \
        (void)b, (void)how, (void)down, (void)out;                                                 \
    }

/* The groups of 16 whose largest is too large for its scale: their numbers in order; how many. */
INLINE size_t AT(find_full)(const uint32_t *peak, AT(step_fn) * step, const void *how,
                            uint32_t found[SC_LOSS_GROUPS + 16])
{
    static const uint32_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const struct AT(groups) *g = how;
    const LANES lanes = load_bits(numbers);
    size_t n = 0;
    for (size_t k = 0; k < g->n; k += 16) {
        MASK above;
        (void)step(how, load_bits(peak + k), load(g->a + k), load(g->b + k), load(g->c + k),
                   &above);
        n += squeeze(found + n, above, addi(lanes, all((uint32_t)k)));
    }
    return n;
}

/* How many values are too large for their scale. Where the largest of a group is not, none is. */
INLINE uint64_t AT(count_full)(const struct sc_error_block *b, const uint32_t *peak,
                               AT(step_fn) * step, const void *how)
{
    const struct AT(groups) *g = how;
    uint32_t found[SC_LOSS_GROUPS + 16];
    const size_t n = AT(find_full)(peak, step, how, found);
    uint64_t full = 0;
    for (size_t i = 0; i < n && !g->down; i++) {
        const size_t k = found[i];
        MASK above;
        (void)step(how, load(b->x + 16 * k), all(sc_bits_of(g->a[k])), all(sc_bits_of(g->b[k])),
                   all(sc_bits_of(g->c[k])), &above);
        full += count(above);
    }
    for (size_t i = 0, next = 0; i < n && g->down; i++) { /* of 16 columns at once */
        const size_t at = (size_t)(found[i] / 16) * 16, row = at / g->per_row * 16;
        const size_t col = at % g->per_row;
        for (size_t r = row; at >= next && r < SC_MIN(row + 16, b->rows); r++) {
            MASK above;
            (void)step(how, load(b->x + r * b->n + col), load(g->a + at), load(g->b + at),
                       load(g->c + at), &above);
            full += count(above);
        }
        next = at + 16;
    }
    return full;
}

/* Sums of one kind: a function each, for otherwise all of them pay for the memory that any needs.
 */
#define ALL(name, kind, kept, slowly, with_relative)                                               \
    TARGET static __attribute__((noinline)) void AT(kind##_##name)(                                \
        const struct sc_error_block *b, const void *how, struct sc_block_errors *out)              \
    {                                                                                              \
        AT(add_block)                                                                              \
        (b, out, AT(kept), how,                                                                    \
         (struct AT(error_wants)){.tail = true, .relative = (with_relative), .slow = (slowly)});   \
    }
#define SUMS(name, kind, kept)                                                                     \
    TARGET static __attribute__((noinline)) void AT(kind##_##name)(                                \
        const struct sc_error_block *b, const void *how, struct sc_block_errors *out)              \
    {                                                                                              \
        AT(add_sums)(b, out, AT(kept), how, false);                                                \
    }
#define VARIANTS(name, slowly)                                                                     \
    KEPT(name)                                                                                     \
    SUMS(name, sums, kept_##name)                                                                  \
    SUMS(name, sums_down, down_##name)                                                             \
    ALL(name, all_down, down_##name, slowly, true)                                                 \
    ALL(name, relative, kept_##name, slowly, true)                                                 \
    ALL(name, tail, kept_##name, slowly, false)                                                    \
    TARGET static void AT(lose_##name)(const struct sc_error_block *b, const uint32_t *peak,       \
                                       const void *how, bool down, struct sc_block_errors *out,    \
                                       uint64_t *full)                                             \
    {                                                                                              \
        sc_errors_clear(b, out);                                                                   \
        if (full)                                                                                  \
            *full += AT(count_full)(b, peak, AT(step_##name), how);                                \
        if (b->short_x)                                                                            \
            AT(lose_short_##name)(b, how, down, out);                                              \
        else if (b->only_sums && down)                                                             \
            AT(sums_down_##name)(b, how, out);                                                     \
        else if (b->only_sums)                                                                     \
            AT(sums_##name)(b, how, out);                                                          \
        else if (down)                                                                             \
            AT(all_down_##name)(b, how, out);                                                      \
        else if (b->relative)                                                                      \
            AT(relative_##name)(b, how, out);                                                      \
        else                                                                                       \
            AT(tail_##name)(b, how, out);                                                          \
        if (!b->relative)                                                                          \
            out->relative = 0;                                                                     \
    }

/* ----------------------------------------------------------------------------------- nothing ---
 */
INLINE LANES AT(kept_none)(const void *how, LANES x, size_t r, size_t col, MASK *above)
{
    (void)how, (void)x, (void)r, (void)col, (void)above;
    return all(0);
}

TARGET bool AT(sc_losses_zero)(const struct sc_encoding *f, const struct sc_step *step,
                               const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                               bool down, struct sc_block_errors *out, uint64_t *full)
{
    (void)f, (void)step, (void)peak, (void)bits, (void)down, (void)full;
    sc_errors_clear(b, out);
    if (b->short_x) {
        const unsigned was = sc_tiny_is_zero();
        SHORT_ALL(b, out);
        sc_tiny_is_back(was);
        return true;
    }
    if (b->only_sums) {
        AT(add_sums)(b, out, AT(kept_none), NULL, true);
        return true;
    }
    AT(add_block)
    (b, out, AT(kept_none), NULL,
     (struct AT(error_wants)){.tail = true, .relative = b->relative, .nothing = true});
    return true;
}

/* ------------------------------------------------------------------------------ block floats ---
 */
INLINE LANES AT(step_bfp)(const void *how, LANES x, LANES a, LANES b, LANES c, MASK *above)
{
    (void)how, (void)c;
    return AT(bfp_short)(x, a, b, above);
}
SHORTS(bfp)
VARIANTS(bfp, false)

/* Values of any length: bits that alignment loses are cut off first. */
INLINE LANES AT(step_bfp_cut)(const void *how, LANES x, LANES a, LANES b, LANES c, MASK *above)
{
    const LANES lost = srl(subi(c, andi(x, all(SC_INFINITE))), all(23));
    (void)how;
    return AT(bfp_short)(andi(x, sll(all(UINT32_MAX), lost)), a, b, above);
}
NEVER_SHORT(bfp_cut)
VARIANTS(bfp_cut, false)

TARGET bool AT(sc_losses_bfp)(const struct sc_encoding *f, const struct sc_step *step,
                              const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                              bool down, struct sc_block_errors *out, uint64_t *full)
{
    const uint32_t m = f->bits - 1U, ones = ((1U << (m - 1)) - 1) << (24 - m);
    const bool brief = !(bits & 0x7f); /* values have no bits that alignment loses */
    struct AT(extent) tops = AT(no_extent)();
    struct AT(groups) g;
    (void)step;
    if (!AT(groups_of)(b, down, &g))
        return false;
    for (size_t k = 0; k < g.n; k += 16) {
        const LANES p = load_bits(peak + k);
        const LANES top = AT(unless_zero)(p, andi(p, all(SC_INFINITE)), 127U << 23);
        AT(extend)(&tops, top);
        store(g.a + k, ori(addi(top, all((24 - m) << 23)), all(1U << 22)));
        store(g.b + k, ori(top, all(ones)));
        if (!brief)
            store(g.c + k, top);
    }
    if (!AT(is_inside)(&tops, 10U << 23, 230U << 23))
        return false;
    if (b->short_x && down)
        AT(order_columns)(&g);
    if (brief)
        AT(lose_bfp)(b, peak, &g, down, out, full);
    else
        AT(lose_bfp_cut)(b, peak, &g, down, out, full);
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

/* An element, and its numbers without a scale. */
struct AT(small) {
    struct AT(groups) g;
    LANES least, shift, largest;
};
INLINE void AT(small_of)(const struct sc_small *s, struct AT(small) * out)
{
    const struct AT(element) e = AT(element_of)(s);
    out->least = e.least;
    out->shift = addi(e.shift, all(1U << 22));
    out->largest = e.largest;
}

INLINE LANES AT(step_cast)(const void *how, LANES x, LANES a, LANES b, LANES c, MASK *above)
{
    const struct AT(small) *s = how;
    (void)a, (void)b, (void)c;
    return AT(small_at)(x, s->least, s->shift, s->largest, above);
}
SHORTS(cast)
VARIANTS(cast, false)

TARGET bool AT(sc_losses_cast)(const struct sc_encoding *f, const struct sc_step *step,
                               const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                               bool down, struct sc_block_errors *out, uint64_t *full)
{
    struct AT(small) s;
    uint64_t above = 0;
    (void)step, (void)bits, (void)down; /* it does not matter */
    if (!AT(groups_of)(b, false, &s.g))
        return false;
    AT(small_of)(&sc_smalls[f->element], &s);
    AT(lose_cast)(b, peak, &s, false, out, full || !f->saturate ? &above : NULL);
    if (above && !f->saturate)
        return false;
    if (full)
        *full += above;
    return true;
}

/* A power of two a group: a is the least exponent with steps of its own, b the largest value. */
INLINE LANES AT(step_mx)(const void *how, LANES x, LANES a, LANES b, LANES c, MASK *above)
{
    const struct AT(small) *s = how;
    (void)c;
    return AT(small_at)(x, a, s->shift, b, above);
}
SHORTS(mx)
VARIANTS(mx, false)

TARGET bool AT(sc_losses_mx)(const struct sc_encoding *f, const struct sc_step *step,
                             const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                             bool down, struct sc_block_errors *out, uint64_t *full)
{
    const struct AT(mx) c = AT(mx_of)(f);
    struct AT(extent) powers = AT(no_extent)();
    struct AT(small) s;
    (void)step, (void)bits;
    if (!AT(groups_of)(b, down, &s.g))
        return false;
    AT(small_of)(sc_mx_element(f), &s);
    for (size_t k = 0; k < s.g.n; k += 16) {
        const LANES p = AT(peaks_of_32)(&s.g, peak, k);
        const LANES field = subi(srl(addi(p, c.more), all(23)), c.emax); /* of the scale */
        const LANES power = AT(unless_zero)(p, field, 127);
        AT(extend)(&powers, power);
        const LANES more = sll(subi(power, all(127)), all(23));
        store(s.g.a + k, addi(s.least, more));
        store(s.g.b + k, addi(s.largest, more));
    }
    if (!AT(is_inside)(&powers, 40, 200))
        return false;
    if (b->short_x && down)
        AT(order_columns)(&s.g);
    AT(lose_mx)(b, peak, &s, down, out, full);
    return true;
}

/* ------------------------------------------------------------------------------------- NVFP4 ---
 */
/* The quotient of two floats whose inverse is known to twice as many bits. It is off by 2^-46
 * before it is rounded to a float, which must not cross what lies between two levels: t = 1, 3, 5
 * or 7 times a power of two. With mantissas X of x and U of the unit as whole numbers, quotients
 * begin to be rounded to that at m = t 2^w +- 1, w >= 22, and X 2^s, s >= 23, would have to be
 * within 8 of m U. Modulo 2^22 that says that U is within 8 of 0, which AT(SHORT_AWAY) rules out.
 */
INLINE LANES AT(short_quotient)(LANES x, LANES inverse, LANES rest)
{
    return fma(x, inverse, mulf(x, rest));
}
enum { AT(SHORT_BITS) = (1 << 22) - 1, AT(SHORT_AWAY) = 16 };

/* a is the unit of a group, b its inverse, c what that lacks. */
INLINE LANES AT(step_nvfp4)(const void *how, LANES x, LANES a, LANES b, LANES c, MASK *above)
{
    const struct AT(small) *s = how;
    const LANES q = AT(short_quotient)(x, b, c);
    return mulf(AT(small_at)(q, s->least, s->shift, s->largest, above), a);
}
NEVER_SHORT(nvfp4)
VARIANTS(nvfp4, true)

TARGET bool AT(sc_losses_nvfp4)(const struct sc_encoding *f, const struct sc_step *step,
                                const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                                bool down, struct sc_block_errors *out, uint64_t *full)
{
    struct AT(extent) units = AT(no_extent)(), away = units;
    struct AT(small) s;
    (void)bits;
    if (!AT(groups_of)(b, down, &s.g) || !(step->scale > 0))
        return false;
    const struct AT(element) e4m3 = AT(element_of)(&sc_smalls[SC_ELEMENT_E4M3]);
    AT(small_of)(&sc_smalls[SC_ELEMENT_E2M1], &s);
    for (size_t k = 0; k < s.g.n; k += 16) {
        const LANES scale = AT(nvfp4_scales)(f, &e4m3, load_bits(peak + k), step->scale);
        const LANES unit = mulf(scale, all(sc_bits_of(step->scale)));
        AT(extend)(&units, unit);
        AT(extend)(&away, andi(addi(unit, all(AT(SHORT_AWAY))), all(AT(SHORT_BITS))));
        const LANES inverse = divf(all(sc_bits_of(1)), unit);
        store(s.g.a + k, unit);
        store(s.g.b + k, inverse);
        store(s.g.c + k, mulf(fnma(unit, inverse, all(sc_bits_of(1))), inverse));
    }
    if (!AT(is_inside)(&units, sc_bits_of(0x1p-60F), sc_bits_of(0x1p60F)) ||
        !AT(is_inside)(&away, 2 * AT(SHORT_AWAY), AT(SHORT_BITS)))
        return false;
    AT(lose_nvfp4)(b, peak, &s, down, out, full);
    return true;
}

/* ---------------------------------------------------------------------------------- integers ---
 * Without a zero point: the largest of a group is then too large if any is. */
struct AT(integers) {
    struct AT(groups) g;
    LANES low, high, magic, limits[2];
};

/* a is the step of a group, b its inverse. */
INLINE LANES AT(step_int)(const void *how, LANES x, LANES a, LANES b, LANES c, MASK *above)
{
    const struct AT(integers) *s = how;
    const LANES q = AT(quotient)(x, a, b), inside = maxf(minf(q, s->high), s->low);
    const LANES far = maxf(minf(q, s->limits[1]), s->limits[0]);
    const LANES code = subf(addf(inside, s->magic), s->magic);
    (void)c;
    *above = differf(code, subf(addf(far, s->magic), s->magic));
    return mulf(code, a);
}
NEVER_SHORT(int)
VARIANTS(int, true)

/* The step of a group that begins with 16 values number k. */
INLINE struct sc_step AT(int_step)(const struct sc_encoding *f, const struct sc_step *step,
                                   const uint32_t *peak, size_t per_row, size_t k)
{
    struct sc_step own;
    uint32_t most_of = 0;
    if (f->over == SC_OVER_TENSOR)
        return *step;
    if (f->over == SC_OVER_LINE)
        return step[k / per_row];
    for (size_t i = 0; i < f->unit / 16; i++)
        most_of = SC_MAX(most_of, peak[k + i]);
    const float amax = sc_float_of(most_of);
    sc_encoding_step(f, (struct sc_extent){-amax, amax}, &own);
    if (most_of == 0)
        own.scale = own.inverse = 1;
    return own;
}

TARGET bool AT(sc_losses_int)(const struct sc_encoding *f, const struct sc_step *step,
                              const struct sc_error_block *b, const uint32_t *peak, uint32_t bits,
                              bool down, struct sc_block_errors *out, uint64_t *full)
{
    const struct sc_int_range range = sc_int_range(f, step);
    const float limit = 0x1p20F;
    struct AT(integers) s = {.low = all(sc_bits_of(range.low)),
                             .high = all(sc_bits_of(range.high)),
                             .magic = all(sc_bits_of(0x1.8p23F)),
                             .limits = {all(sc_bits_of(-limit)), all(sc_bits_of(limit))}};
    const size_t some = f->over == SC_OVER_NOTHING ? f->unit / 16 : b->n / 16;
    (void)bits;
    if (down || !AT(groups_of)(b, false, &s.g) || s.g.per_row % some)
        return false;
    for (size_t k = 0; k < s.g.n; k += some) {
        const struct sc_step own = AT(int_step)(f, step, peak, s.g.per_row, k);
        if (!(own.scale >= 0x1p-60F && own.scale <= 0x1p60F))
            return false;
        for (size_t i = k; i < k + some; i++) {
            s.g.a[i] = own.scale;
            s.g.b[i] = 1 / own.scale;
        }
    }
    store(s.g.a + s.g.n, all(sc_bits_of(1))); /* 16 are looked at together */
    store(s.g.b + s.g.n, all(sc_bits_of(1)));
    AT(lose_int)(b, peak, &s, false, out, full);
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

/* The same of columns: of 16 rows each. */
TARGET void AT(sc_column_peaks)(const float *x, size_t rows, size_t n, uint32_t *peak)
{
    for (size_t row = 0; row < rows; row += 16)
        for (size_t col = 0; col < n; col += 16) {
            LANES most_of = all(0);
            for (size_t r = row; r < SC_MIN(row + 16, rows); r++)
                most_of = maxi(most_of, andi(load(x + r * n + col), all(INT32_MAX)));
            store_bits(peak + row / 16 * n + col, most_of);
        }
}

#undef INLINE
#undef ALL
#undef SUMS
#undef VARIANTS
#undef KEPT
#undef KEPT_SHORT
#undef SHORT_SUMS
#undef SHORTS
#undef NEVER_SHORT
#endif /* LANES */
