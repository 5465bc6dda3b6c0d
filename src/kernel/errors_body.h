/* SPDX-License-Identifier: Apache-2.0 */
/* errors_body: the sums of errors.c over 16 lanes, wherever y comes from. Included once a level,
 * after lanes_names.h, with LANES, MASK, TARGET and AT(name); without these it is empty. */

#ifdef LANES
#define INLINE TARGET static inline __attribute__((always_inline))

/* 16 elements of row r from column `col` on as they are kept; `above`: what was too large. */
typedef LANES AT(kept_fn)(const void *how, LANES x, size_t r, size_t col, MASK *above);

/* Vectors of columns that are added up beside each other: as many as there are registers for. */
enum { AT(BESIDE) = SC_VECTORS_BESIDE };

/* 16 rows of 16 columns while they are added up, and then a tile. */
struct AT(error_group) {
    LANES d, abs, values, cross, square, largest;
};

INLINE struct AT(error_group) AT(no_errors)(void)
{
    const LANES zero = all(0);
    return (struct AT(error_group)){zero, zero, zero, zero, zero, zero};
}

/* What is known, and wanted, of errors. Constants where this is inlined, but for `counted`. */
struct AT(error_wants) {
    bool tail, relative;
    bool nothing; /* y is 0: what follows from other sums then is not added up */
    bool counted; /* what belongs to the tail, but is only counted */
};

/* What goes beside the sums of a tile: in registers, and in memory. The tail of a tile is taken out
 * of its |d| afterwards: there are few of them, and a bit each costs less than moving them. */
struct AT(error_notes) {
    LANES above, common;
    float relative;
};
struct AT(error_marks) {
    struct AT(sc_marks) zeros;
    uint16_t tail[2 * SC_ERROR_ROWS];    /* of 16 |d|: which are above both */
    uint16_t counted[2 * SC_ERROR_ROWS]; /* which are above `above`, where some are only counted */
    float rows[SC_ERROR_ROWS][SC_LANES];
    float abs[2 * SC_ERROR_ROWS * SC_LANES];
};

TARGET static __attribute__((noinline)) void AT(see_relative)(LANES x, LANES y, float *relative)
{
    float v[SC_LANES], w[SC_LANES];
    store(v, x);
    store(w, y);
    sc_errors_relative(v, w, relative);
}

/* 16 elements, number `at` of 64 in the tile; `row`: squares of its row, which are returned. */
INLINE LANES AT(add_errors)(struct AT(error_group) * g, struct AT(error_notes) * notes,
                            struct AT(error_marks) * m, LANES x, LANES y, LANES row, size_t at,
                            struct AT(error_wants) wants)
{
    const LANES d = wants.nothing ? x : subf(y, x), a = andi(d, all(INT32_MAX));
    g->d = wants.nothing ? subf(g->d, d) : addf(g->d, d);
    g->abs = addf(g->abs, a);
    g->square = fma(d, d, g->square);
    g->largest = maxi(g->largest, a);
    if (!wants.nothing) {
        g->values = fma(y, y, g->values);
        g->cross = fma(x, d, g->cross);
        mark(&m->zeros, at, zerof(y));
    }
    if (wants.tail) {
        store(m->abs + at * SC_LANES, a);
        store_mask(&m->tail[at], morei(a, notes->common));
    }
    if (wants.counted)
        store_mask(&m->counted[at], morei(a, notes->above));
    if (wants.relative) {
        const LANES bound = mulf(all(sc_bits_of(notes->relative)), andi(x, all(INT32_MAX)));
        if (SC_UNLIKELY(count(moref(a, bound))))
            AT(see_relative)(x, y, &notes->relative);
    }
    return fma(d, d, row);
}

INLINE void AT(add_error_groups)(struct AT(error_group) * to, const struct AT(error_group) * g)
{
    to->d = addf(to->d, g->d);
    to->abs = addf(to->abs, g->abs);
    to->values = addf(to->values, g->values);
    to->cross = addf(to->cross, g->cross);
    to->largest = maxi(to->largest, g->largest);
}

/* Sums of tiles while they are lanes: some tiles end together. */
enum { AT(SUMS) = 5, AT(TILES) = SC_LANES / AT(SUMS) };
struct AT(error_tiles) {
    size_t n;
    struct sc_error_sums *of; /* the first of them */
    float lanes[SC_LANES][SC_LANES];
};

INLINE void AT(end_tiles)(struct AT(error_tiles) * t)
{
    if (t->n == 0)
        return;
    store(t->lanes[0], sums_of_16(t->lanes));
    for (size_t i = 0; i < t->n; i++) {
        const float *const from = t->lanes[0] + i * AT(SUMS);
        t->of[i].d = (double)from[0];
        t->of[i].abs = (double)from[1];
        t->of[i].square = (double)from[2];
        t->of[i].values = (double)from[3];
        t->of[i].cross = (double)from[4];
    }
    t->of += t->n;
    t->n = 0;
}

INLINE void AT(end_errors)(const struct AT(error_group) * g, struct AT(error_tiles) * t)
{
    float(*const to)[SC_LANES] = t->lanes + t->n * AT(SUMS);
    store(to[0], g->d);
    store(to[1], g->abs);
    store(to[2], g->square);
    store(to[3], g->values);
    store(to[4], g->cross);
    t->of[t->n].most = first(most(g->largest));
    if (++t->n == AT(TILES))
        AT(end_tiles)(t);
}

/* Sums of the lanes of every row; rows that are missing may hold anything. */
INLINE void AT(end_rows)(float rows[][SC_LANES], size_t n_rows, double *out)
{
    size_t r = 0;
    for (; r + SC_LANES <= n_rows; r += SC_LANES) {
        store_wide(out + r, sums_of_16(rows + r));
    }
    for (; r < n_rows; r++)
        out[r] = sc_quarter_sum(quarter(load(rows[r])));
}

/* How many of the tail of a tile are only counted. */
INLINE size_t AT(count_common)(const struct AT(error_marks) * m)
{
    enum { WORD = 64 / SC_LANES };
    size_t n = 0;
    for (size_t at = 0; at < 2 * SC_ERROR_ROWS; at += WORD) {
        uint64_t all_of_them, listed;
        memcpy(&all_of_them, &m->counted[at], sizeof all_of_them);
        memcpy(&listed, &m->tail[at], sizeof listed);
        n += (size_t)__builtin_popcountll(all_of_them ^ listed);
    }
    return n;
}

/* The |d| of a tile that are marked, behind `to`. */
INLINE uint32_t *AT(take_tail)(const struct AT(error_marks) * m, LANES above, uint32_t *to)
{
    enum { FEW = 4, WORD = 64 / SC_LANES };
    for (size_t at = 0; at < 2 * SC_ERROR_ROWS; at += WORD) {
        const float *const abs = m->abs + at * SC_LANES;
        uint64_t found;
        memcpy(&found, &m->tail[at], sizeof found);
        const size_t n = (size_t)__builtin_popcountll(found);
        if (SC_UNLIKELY(n > FEW)) {
            for (size_t i = 0; i < WORD; i++) {
                const LANES a = load(abs + i * SC_LANES);
                to += squeeze(to, morei(a, above), a);
            }
            continue;
        }
        for (size_t i = 0; i < FEW; i++) { /* those behind the last one are overwritten */
            to[i] = sc_bits_of(abs[__builtin_ctzll(found | UINT64_C(1) << 63)]);
            found &= found - 1;
        }
        to += n;
    }
    return to;
}

/* 16 rows of a tile from row `begin` on, and AT(BESIDE) vectors of its columns from number `half`
 * on, into g[half] and behind it. */
INLINE void AT(add_rows)(const struct sc_error_block *b, struct AT(error_notes) * notes,
                         struct AT(error_marks) * m, struct AT(error_group) * g, AT(kept_fn) * kept,
                         const void *how, size_t at, size_t half, size_t begin, size_t end,
                         struct AT(error_wants) wants)
{
    const size_t stride = b->x_stride, col = at + half * SC_LANES; /* stores could change it */
    const float *x = b->x + begin * stride + col;
    const uintptr_t ahead_step = b->ahead.codes ? b->ahead.stride : 0;
    uintptr_t ahead = b->ahead.codes
                          ? (uintptr_t)b->ahead.codes + begin * ahead_step + at * sizeof(uint16_t)
                          : (uintptr_t)x;
    struct AT(error_group) own[AT(BESIDE)];
    for (size_t k = 0; k < AT(BESIDE); k++)
        own[k] = AT(no_errors)();
    for (size_t r = begin; r < end; r++, x += stride) {
        LANES row = load(m->rows[r]);
        /* Into the second cache: often rows have the same few places in the first. Where nothing
         * comes, what is here already: a place that does not exist would be looked for. */
        __builtin_prefetch((const void *)ahead, 0, 2);
        ahead += ahead_step;
        for (size_t k = 0; k < AT(BESIDE); k++) {
            MASK above;
            const LANES v = load(x + k * SC_LANES);
            const LANES y = kept(how, v, r, col + k * SC_LANES, &above);
            row =
                AT(add_errors)(&own[k], notes, m, v, y, row, (half + k) * SC_ERROR_ROWS + r, wants);
        }
        store(m->rows[r], row);
    }
    for (size_t k = 0; k < AT(BESIDE); k++)
        g[half + k] = own[k];
}

/* The sums that follow from others where y is 0. */
INLINE void AT(add_nothing)(struct AT(error_group) * g)
{
    g->cross = subf(all(0), g->square);
}

/* A block of b->x against what `kept` makes of it, which is a constant where this is inlined. What
 * is too large is not counted: masks take one of the two units that do
 * arithmetic, and there is enough of them. */
INLINE void AT(add_block)(const struct sc_error_block *b, struct sc_block_errors *out,
                          AT(kept_fn) * kept, const void *how, struct AT(error_wants) wants)
{
    enum { TOGETHER = SC_ERROR_TOGETHER, PARTS = SC_ERROR_ROWS / TOGETHER };
    const size_t n_rows = b->rows, n = b->n, parts = (n_rows + TOGETHER - 1) / TOGETHER;
    double *const columns = out->columns;
    struct AT(error_notes) notes = {all(b->above), all(SC_MAX(b->above, b->common)), 0};
    struct AT(error_tiles) tiles = {.n = 0, .of = out->sums, .lanes = {{0}}};
    struct AT(error_marks) m;
    uint32_t *behind = b->tail;
    memset(&m.zeros, 0, sizeof m.zeros);
    memset(m.tail, 0, sizeof m.tail);
    memset(m.counted, 0, sizeof m.counted);
    wants.counted = wants.tail && b->common > b->above;
    memset(m.rows, 0, n_rows * sizeof m.rows[0]);
    if (wants.tail && n_rows < SC_ERROR_ROWS)
        memset(m.abs, 0, sizeof m.abs);
    for (size_t at = 0; at < n; at += SC_ERROR_COLUMNS) {
        const struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        struct AT(error_group) tile = AT(no_errors)(), g[PARTS][2];
        LANES square[2];
        for (size_t half = 0; half < 2; half += AT(BESIDE))
            for (size_t part = 0; part < parts; part++)
                AT(add_rows)
        (b, &notes, &m, g[part], kept, how, at, half, part * TOGETHER,
         SC_MIN((part + 1) * TOGETHER, n_rows), wants);
        for (size_t half = 0; half < 2; half++) {
            square[half] = all(0);
            for (size_t part = 0; part < parts; part++) {
                if (wants.nothing)
                    AT(add_nothing)(&g[part][half]);
                AT(add_error_groups)(&tile, &g[part][half]);
                square[half] = addf(square[half], g[part][half].square);
            }
            if (columns)
                store_wide(columns + at + half * SC_LANES, square[half]);
        }
        tile.square = addf(square[0], square[1]);
        AT(end_errors)(&tile, &tiles);
        out->most = SC_MAX(out->most, s->most);
        out->zeros += wants.nothing ? SC_ERROR_COLUMNS * n_rows : marks(&m.zeros);
        if (wants.counted)
            out->common += AT(count_common)(&m);
        if (wants.tail)
            behind = AT(take_tail)(&m, notes.common, behind);
    }
    AT(end_tiles)(&tiles);
    AT(end_rows)(m.rows, n_rows, out->row_square);
    out->tail = wants.tail ? (size_t)(behind - b->tail) : 0;
    out->relative = notes.relative;
}

/* Without x, and values are those of BF16. */
TARGET static __attribute__((unused)) void AT(add_short)(const struct sc_error_block *b,
                                                         struct sc_block_errors *out)
{
    enum { HALF = SC_ERROR_TOGETHER };
    const size_t n_rows = b->rows, stride = b->y_stride;
    double *const columns = out->columns;
    struct AT(error_tiles) tiles = {.n = 0, .of = out->sums, .lanes = {{0}}};
    struct AT(error_marks) m;
    LANES least = all(sc_bits_of(out->min)), largest = all(sc_bits_of(out->max));
    memset(&m.zeros, 0, sizeof m.zeros);
    memset(m.rows, 0, n_rows * sizeof m.rows[0]);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct AT(error_group) tile = AT(no_errors)();
        LANES square[2];
        for (size_t half = 0; half < 2; half++) {
            const size_t col = at + half * SC_LANES;
            square[half] = all(0);
            for (size_t begin = 0; begin < n_rows; begin += HALF) {
                const size_t end = SC_MIN(begin + HALF, n_rows);
                const float *y = b->y + begin * stride + col;
                LANES sum = all(0), of = all(0);
                for (size_t r = begin; r < end; r++, y += stride) {
                    const LANES v = load(y);
                    sum = addf(sum, v);
                    of = fma(v, v, of);
                    store(m.rows[r], fma(v, v, load(m.rows[r])));
                    least = minf(v, least);
                    largest = maxf(v, largest);
                    mark(&m.zeros, half * SC_ERROR_ROWS + r, zerof(v));
                }
                tile.d = addf(tile.d, sum);
                square[half] = addf(square[half], of);
            }
            if (columns)
                store_wide(columns + col, square[half]);
        }
        tile.square = tile.values = addf(square[0], square[1]);
        AT(end_errors)(&tile, &tiles);
        out->zeros += marks(&m.zeros);
    }
    AT(end_tiles)(&tiles);
    AT(end_rows)(m.rows, n_rows, out->row_square);
    float lanes[SC_LANES];
    store(lanes, least);
    for (size_t i = 0; i < SC_LANES; i++)
        out->min = lanes[i] < out->min ? lanes[i] : out->min;
    store(lanes, largest);
    for (size_t i = 0; i < SC_LANES; i++)
        out->max = lanes[i] > out->max ? lanes[i] : out->max;
}

#undef INLINE
#endif /* LANES */
