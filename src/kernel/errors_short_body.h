/* SPDX-License-Identifier: Apache-2.0 */
/* errors_short_body: sums of short errors over 16 lanes of two BF16 values each, wherever y comes
 * from. Included once a level, after errors_body.h, with LANES, TARGET and AT(name) as there, and
 * SHORT(name); without SHORT it is empty. SHORT_BF16: the processor adds products of two values
 * itself, and SHORT_TARGET has that; else these are taken apart.
 *
 * Whoever calls it has sc_tiny_is_zero(). */

#ifdef SHORT
#define INLINE SHORT_TARGET static inline __attribute__((always_inline))

/* 16 lanes of two values: as floats, `odd` being the second one, and together. */
struct SHORT(two) {
#ifdef SHORT_BF16
    LANES both;
#endif
    LANES even, odd;
};

/* What is kept of 32 values of row r from column `col` on; even ones first. */
typedef void SHORT(kept_fn)(const void *how, LANES even, LANES odd, size_t r, size_t col,
                            LANES y[2]);

INLINE struct SHORT(two) SHORT(two_at)(const uint16_t *codes)
{
    const LANES v = load_bits((const void *)codes);
    struct SHORT(two) t;
#ifdef SHORT_BF16
    t.both = v;
    t.even = _mm512_slli_epi32(v, 16);
#else
    t.even = sll(v, all(16));
#endif
    t.odd = andi(v, all(0xffff0000));
    return t;
}

INLINE struct SHORT(two) SHORT(two_of)(LANES even, LANES odd)
{
    struct SHORT(two) t;
#ifdef SHORT_BF16 /* the upper half of each `even` below that of `odd` */
    t.both = _mm512_mask_alignr_epi8(odd, UINT64_C(0x3333333333333333), even, even, 2);
#endif
    t.even = even;
    t.odd = odd;
    return t;
}

INLINE struct SHORT(two) SHORT(magnitudes)(struct SHORT(two) x)
{
#ifdef SHORT_BF16
    x.both = andi(x.both, all(0x7fff7fff));
#else
    x.even = andi(x.even, all(INT32_MAX));
    x.odd = andi(x.odd, all(INT32_MAX));
#endif
    return x;
}

/* The largest of magnitudes, as these stand; and as floats. */
INLINE LANES SHORT(larger)(LANES most_of, struct SHORT(two) a)
{
#ifdef SHORT_BF16
    return _mm512_max_epu16(most_of, a.both);
#else
    return maxi(most_of, maxi(a.even, a.odd));
#endif
}
INLINE LANES SHORT(largest)(LANES most_of)
{
#ifdef SHORT_BF16
    return maxi(andi(most_of, all(0xffff0000)), _mm512_slli_epi32(most_of, 16));
#else
    return most_of;
#endif
}

/* A sum of 16 lanes. Where it is a register of floats it stays one: compilers copy what changes its
 * type in a loop. */
#ifdef SHORT_BF16
#define SUM              __m512
#define NO_SUM           _mm512_setzero_ps()
#define LANES_OF_SUM(of) _mm512_castps_si512(of)
#else
#define SUM              LANES
#define NO_SUM           all(0)
#define LANES_OF_SUM(of) (of)
#endif
struct SHORT(sums) {
    SUM of[5]; /* y^2, d, |d|, d^2, x d */
};
INLINE struct SHORT(sums) SHORT(no_sums)(void)
{
    return (struct SHORT(sums)){{NO_SUM, NO_SUM, NO_SUM, NO_SUM, NO_SUM}};
}

/* Sums of all tiles while they are lanes. */
struct SHORT(tiles) {
    float lanes[5][SC_SHORT_TILES][SC_LANES];
    uint32_t most[SC_SHORT_TILES];
};

/* Those of a tile: of its first rows and of the others. */
INLINE void SHORT(end_tile)(struct SHORT(tiles) * t, size_t tile, const struct SHORT(sums) parts[2])
{
    for (size_t i = 0; i < 5; i++)
        /* cppcheck-suppress uninitvar ; it is written */
        store(t->lanes[i][tile],
              addf(addf(all(0), LANES_OF_SUM(parts[0].of[i])), LANES_OF_SUM(parts[1].of[i])));
}

/* 16 sums together, twice: the four in the middle come out of both. */
INLINE void SHORT(end_tiles)(struct SHORT(tiles) * t, struct sc_block_errors *out)
{
    float of[8][SC_SHORT_TILES];
    _Static_assert(4 * SC_SHORT_TILES == SC_LANES, "16 at once are those of four kinds");
    store(of[0], sums_of_16(t->lanes[0]));
    store(of[1], sums_of_16(t->lanes[1]));
    for (size_t i = 0; i < SC_SHORT_TILES; i++) {
        out->sums[i] = (struct sc_error_sums){.values = (double)of[0][i],
                                              .d = (double)of[1][i],
                                              .abs = (double)of[2][i],
                                              .square = (double)of[3][i],
                                              .cross = (double)of[4][i],
                                              .most = t->most[i]};
        out->most = SC_MAX(out->most, t->most[i]);
    }
}

/* to + both products, the odd one first. */
INLINE SUM SHORT(dot)(SUM to, struct SHORT(two) x, struct SHORT(two) y)
{
#ifdef SHORT_BF16
    return _mm512_dpbf16_ps(to, (__m512bh)x.both, (__m512bh)y.both);
#else
    return fma(x.even, y.even, fma(x.odd, y.odd, to));
#endif
}
INLINE SUM SHORT(sum)(SUM to, struct SHORT(two) x)
{
#ifdef SHORT_BF16
    const struct SHORT(two) one = {.both = all(0x3f803f80)};
    return SHORT(dot)(to, x, one);
#else
    return addf(sumf(to, x.odd), x.even); /* on both units that add */
#endif
}

INLINE void SHORT(add_values)(const struct sc_error_block *b, struct SHORT(sums) * g,
                              LANES *most_of, SHORT(kept_fn) * kept, const void *how, size_t r,
                              size_t col)
{
    const struct SHORT(two) x = SHORT(two_at)(b->short_x + r * SC_SHORT_COLUMNS + col);
    LANES of[2];
    kept(how, x.even, x.odd, r, col, of);
    const struct SHORT(two) y = SHORT(two_of)(of[0], of[1]);
    const struct SHORT(two) d = SHORT(two_of)(subf(of[0], x.even), subf(of[1], x.odd));
    const struct SHORT(two) a = SHORT(magnitudes)(d);
    g->of[0] = SHORT(dot)(g->of[0], y, y);
    g->of[1] = SHORT(sum)(g->of[1], d);
    g->of[2] = SHORT(sum)(g->of[2], a);
    g->of[3] = SHORT(dot)(g->of[3], d, d);
    g->of[4] = SHORT(dot)(g->of[4], x, d);
    *most_of = SHORT(larger)(*most_of, a);
}

/* A block of n_rows rows, mostly a constant; b->ahead comes nearer as it lies, not in the order of
 * tiles. */
INLINE void SHORT(add_rows)(const struct sc_error_block *b, size_t n_rows,
                            struct sc_block_errors *out, SHORT(kept_fn) * kept, const void *how)
{
    enum { TOGETHER = SC_ERROR_TOGETHER, PARTS = SC_ERROR_ROWS / TOGETHER };
    enum { LINES = SC_SHORT_COLUMNS * sizeof(uint16_t) / 64 }; /* of the cache, a row */
    const size_t many = SC_MIN((size_t)AT(BESIDE), (size_t)PARTS);
    const size_t step = b->ahead.codes ? b->ahead.stride : 0, line = b->ahead.codes ? 64 : 0;
    const uintptr_t ahead = b->ahead.codes ? (uintptr_t)b->ahead.codes : (uintptr_t)b->short_x;
    size_t met = 0;
    struct SHORT(tiles) tiles;
    for (size_t tile = 0; tile < SC_SHORT_TILES; tile++) {
        const size_t at = tile * SC_ERROR_COLUMNS;
        struct SHORT(sums) own[PARTS];
        LANES most_of = all(0);
        for (size_t k = 0; k < PARTS; k++)
            own[k] = SHORT(no_sums)();
        for (size_t first = 0; first < PARTS; first += many) {
            const size_t begin = first * TOGETHER, last = begin + (many - 1) * TOGETHER;
            const size_t in_all = n_rows > last ? SC_MIN(n_rows - last, (size_t)TOGETHER) : 0;
            const size_t in_first = n_rows > begin ? SC_MIN(n_rows - begin, (size_t)TOGETHER) : 0;
            for (size_t r = 0; r < in_all; r++)
                for (size_t k = 0; k < many; k++, met++) {
                    __builtin_prefetch(
                        (const void *)(ahead + met / LINES * step + met % LINES * line), 0, 2);
                    SHORT(add_values)
                    (b, &own[first + k], &most_of, kept, how, begin + k * TOGETHER + r, at);
                }
            for (size_t r = in_all; r < in_first; r++)
                SHORT(add_values)(b, &own[first], &most_of, kept, how, begin + r, at);
        }
        SHORT(end_tile)(&tiles, tile, own);
        tiles.most[tile] = first(most(SHORT(largest)(most_of)));
    }
    SHORT(end_tiles)(&tiles, out);
    out->tail = 0;
    out->relative = 0;
}

INLINE void SHORT(add_sums)(const struct sc_error_block *b, struct sc_block_errors *out,
                            SHORT(kept_fn) * kept, const void *how)
{
    if (b->rows == SC_ERROR_ROWS)
        SHORT(add_rows)(b, SC_ERROR_ROWS, out, kept, how);
    else
        SHORT(add_rows)(b, b->rows, out, kept, how);
}

/* x as what is lost, but for its sign. */
INLINE void SHORT(lose_all)(const uint16_t *codes, struct SHORT(sums) * g, LANES *most_of)
{
    const struct SHORT(two) x = SHORT(two_at)(codes), a = SHORT(magnitudes)(x);
    g->of[1] = SHORT(sum)(g->of[1], x);
    g->of[2] = SHORT(sum)(g->of[2], a);
    g->of[3] = SHORT(dot)(g->of[3], x, x);
    *most_of = SHORT(larger)(*most_of, a);
}

/* Where nothing is kept. */
SHORT_TARGET static __attribute__((unused)) void SHORT(add_all)(const struct sc_error_block *b,
                                                                struct sc_block_errors *out)
{
    const size_t together = SC_ERROR_TOGETHER, half = together * SC_SHORT_COLUMNS;
    const size_t both = b->rows > together ? b->rows - together : 0;
    struct SHORT(tiles) tiles;
    for (size_t tile = 0; tile < SC_SHORT_TILES; tile++) {
        const uint16_t *at = b->short_x + tile * SC_ERROR_COLUMNS;
        struct SHORT(sums) own[2] = {SHORT(no_sums)(), SHORT(no_sums)()};
        LANES most_of = all(0);
        size_t r = 0;
        for (; r < both; r++, at += SC_SHORT_COLUMNS) {
            SHORT(lose_all)(at, &own[0], &most_of);
            SHORT(lose_all)(at + half, &own[1], &most_of);
        }
        for (; r < b->rows - both; r++, at += SC_SHORT_COLUMNS)
            SHORT(lose_all)(at, &own[0], &most_of);
        for (size_t k = 0; k < 2; k++)
            own[k].of[4] = own[k].of[3];
        SHORT(end_tile)(&tiles, tile, own);
        tiles.most[tile] = first(most(SHORT(largest)(most_of)));
    }
    SHORT(end_tiles)(&tiles, out);
    for (size_t tile = 0; tile < SC_SHORT_TILES; tile++) {
        out->sums[tile].d = 0 - out->sums[tile].d;
        out->sums[tile].cross = 0 - out->sums[tile].cross;
    }
}

#ifndef SHORT_BF16
/* Sums of x. */
SHORT_TARGET static __attribute__((unused)) void SHORT(add_x)(const struct sc_error_block *b,
                                                              struct sc_block_errors *out)
{
    SHORT(add_all)(b, out);
    for (size_t tile = 0; tile < SC_SHORT_TILES; tile++) {
        struct sc_error_sums *s = &out->sums[tile];
        *s = (struct sc_error_sums){.d = 0 - s->d, .square = s->square, .values = s->square};
    }
    out->most = 0;
}
#endif

#undef INLINE
#undef SUM
#undef NO_SUM
#undef LANES_OF_SUM
#endif /* SHORT */
