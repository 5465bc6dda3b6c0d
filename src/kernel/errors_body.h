/* SPDX-License-Identifier: Apache-2.0 */
/* errors_body: the sums of errors.c over 16 lanes, wherever y comes from. Included once a level,
 * after lanes_names.h, with LANES, MASK, TARGET and AT(name); without these it is empty. */

#ifdef LANES
#define INLINE TARGET static inline __attribute__((always_inline))

/* 16 elements of row r from column `col` on as they are kept; `above`: what was too large. */
typedef LANES AT(kept_fn)(const void *how, LANES x, size_t r, size_t col, MASK *above);

/* Where each vector takes long, more of them stand beside each other. A span is as many, but a tile
 * at least. */
enum {
    AT(MANY) = AT(BESIDE) * AT(BESIDE),
    AT(TILE) = SC_ERROR_COLUMNS / SC_LANES,
    AT(SPAN) = SC_MAX(AT(MANY), AT(TILE)),
    AT(SPAN_VECTORS) = AT(SPAN) * SC_ERROR_ROWS,
};

/* 16 rows of 16 columns while they are added up, and then a tile. */
struct AT(error_group) {
    LANES d, abs, values, cross, square, largest;
};

INLINE struct AT(error_group) AT(no_errors)(void)
{
    const LANES zero = all(0);
    return (struct AT(error_group)){zero, zero, zero, zero, zero, zero};
}

/* What is known, and wanted, of errors. Constants where this is inlined. */
struct AT(error_wants) {
    bool tail, relative;
    bool nothing; /* y is 0: what follows from other sums then is not added up */
    bool slow;    /* y is long in the making */
};

/* What goes beside the sums of a span: in registers, and in memory. The tail is taken out of its
 * |d| afterwards: there are few of them, and a bit each costs less than moving them. Vectors lie
 * there in the order in which they are met. */
struct AT(error_notes) {
    LANES above, common;
    float relative;
};
struct AT(error_marks) {
    struct AT(sc_marks) zeros;
    uint16_t tail[AT(SPAN_VECTORS)];    /* of 16 |d|: which are above both */
    uint16_t counted[AT(SPAN_VECTORS)]; /* which are above `above`: the others are only counted */
    float rows[SC_ERROR_ROWS][SC_LANES];
    float abs[AT(SPAN_VECTORS) * SC_LANES];
};
/* The same of vectors that stand beside each other. */
struct AT(error_masks) {
    MASK zeros[AT(SPAN)], tail[AT(SPAN)], counted[AT(SPAN)];
};

TARGET static __attribute__((noinline)) void AT(see_relative)(LANES x, LANES y, float *relative)
{
    float v[SC_LANES], w[SC_LANES];
    store(v, x);
    store(w, y);
    sc_errors_relative(v, w, relative);
}

/* Sums of 16 elements; d and |d|. */
INLINE LANES AT(add_to_group)(struct AT(error_group) * g, LANES *largest, LANES x, LANES y,
                              bool nothing, LANES *abs)
{
    const LANES d = nothing ? x : subf(y, x), a = andi(d, all(INT32_MAX));
    g->d = nothing ? subf(g->d, d) : sumf(g->d, d);
    g->abs = sumf(g->abs, a);
    g->square = fma(d, d, g->square);
    *largest = maxi(*largest, a);
    if (!nothing) {
        g->values = fma(y, y, g->values);
        g->cross = fma(x, d, g->cross);
    }
    *abs = a;
    return d;
}

/* 16 elements, vector `k` of those beside each other, whose |d| go to `abs`; `row`: squares of its
 * row, which are returned. */
INLINE LANES AT(add_errors)(struct AT(error_group) * g, LANES *largest,
                            struct AT(error_notes) * notes, struct AT(error_masks) * masks,
                            float *abs, LANES x, LANES y, LANES row, size_t k,
                            struct AT(error_wants) wants)
{
    LANES a;
    const LANES d = AT(add_to_group)(g, largest, x, y, wants.nothing, &a);
    if (!wants.nothing)
        masks->zeros[k] = zerof(y);
    if (wants.tail) {
        store(abs + k * SC_LANES, a);
        masks->tail[k] = morei(a, notes->common);
        masks->counted[k] = morei(a, notes->above);
    }
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

INLINE void AT(begin_tiles)(struct AT(error_tiles) * t, const struct sc_block_errors *out)
{
    t->n = 0;
    t->of = out->sums;
}

INLINE void AT(end_tiles)(struct AT(error_tiles) * t)
{
    if (t->n == 0)
        return;
    for (size_t i = t->n * AT(SUMS); i < SC_LANES;
         i++) /* that no tile uses, but all are added up */
        store(t->lanes[i], all(0));
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

INLINE void AT(end_errors)(const struct AT(error_group) * g, struct AT(error_tiles) * t,
                           struct sc_block_errors *out)
{
    float(*const to)[SC_LANES] = t->lanes + t->n * AT(SUMS);
    store(to[0], g->d);
    store(to[1], g->abs);
    store(to[2], g->square);
    store(to[3], g->values);
    store(to[4], g->cross);
    t->of[t->n].most = first(most(g->largest));
    out->most = SC_MAX(out->most, t->of[t->n].most);
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

/* Words of bits of which some are taken, and where the first of each stands. */
struct AT(error_words) {
    size_t n;
    uint64_t bits[AT(SPAN_VECTORS) / 4];
    uint32_t place[AT(SPAN_VECTORS) / 4];
};

/* |d| of the first bit, if there is one, behind `to`; what has more bits goes into w. */
INLINE uint32_t *AT(take_bit)(const float *abs, uint64_t bits, uint32_t place, uint32_t *to,
                              struct AT(error_words) * w)
{
    const uint64_t rest = bits & (bits - 1);
    *to = sc_bits_of(abs[place + (uint32_t)__builtin_ctzll(bits | UINT64_C(1) << 63)]);
    w->bits[w->n] = rest;
    w->place[w->n] = place;
    w->n += rest != 0;
    return to + (bits != 0);
}

/* The |d| of n vectors that are marked, being larger than `above`, behind `to`; *common: how many
 * more are only counted.
 *
 * Nobody can guess which words have bits, so nothing branches on it: a round takes one bit of every
 * word, and what has more stands in front of the next. Full words, which are rare, go by vectors.
 */
TARGET static __attribute__((noinline)) uint32_t *AT(take_tail)(const struct AT(error_marks) * m,
                                                                size_t n_vectors, LANES above,
                                                                size_t *common, uint32_t *to)
{
    enum { WORD = 64 / SC_LANES, FULL = 12 };
    const uint32_t *const begin = to;
    struct AT(error_words) w;
    uint64_t marked = 0;
    w.n = 0;
    for (size_t at = 0; at < n_vectors; at += WORD) {
        uint64_t bits, counted;
        memcpy(&bits, &m->tail[at], sizeof bits);
        memcpy(&counted, &m->counted[at], sizeof counted);
        marked += (uint64_t)__builtin_popcountll(counted);
        if (SC_UNLIKELY(__builtin_popcountll(bits) > FULL)) {
            for (size_t i = at; i < SC_MIN(at + WORD, n_vectors); i++) {
                const LANES a = load(m->abs + i * SC_LANES);
                to += squeeze(to, morei(a, above), a);
            }
            continue;
        }
        to = AT(take_bit)(m->abs, bits, (uint32_t)(at * SC_LANES), to, &w);
    }
    for (size_t n = w.n; n > 0; n = w.n) {
        w.n = 0;
        for (size_t i = 0; i < n; i++)
            to = AT(take_bit)(m->abs, w.bits[i], w.place[i], to, &w);
    }
    *common += marked - (size_t)(to - begin);
    return to;
}

/* 16 rows of a span from row `begin` on, and `beside` vectors of its columns from number `first`
 * on, into g[first] and behind it. */
INLINE void AT(add_rows)(const struct sc_error_block *b, struct AT(error_notes) * notes,
                         struct AT(error_marks) * m, struct AT(error_group) * g, AT(kept_fn) * kept,
                         const void *how, size_t at, size_t first, size_t beside, size_t begin,
                         size_t end, struct AT(error_wants) wants)
{
    enum { A_LINE = 64 / sizeof(uint16_t) / SC_LANES }; /* vectors whose codes are a line */
    const size_t stride = b->x_stride, col = at + first * SC_LANES; /* stores could change it */
    const float *x = b->x + begin * stride + col;
    const uintptr_t ahead_step = b->ahead.codes ? b->ahead.stride : 0;
    uintptr_t ahead = b->ahead.codes
                          ? (uintptr_t)b->ahead.codes + begin * ahead_step + at * sizeof(uint16_t)
                          : (uintptr_t)x;
    struct AT(error_group) own[AT(SPAN)];
    for (size_t k = 0; k < beside; k++)
        own[k] = AT(no_errors)();
    for (size_t r = begin; r < end; r++, x += stride) {
        const size_t place = first * SC_ERROR_ROWS + r * beside;
        struct AT(error_masks) masks;
        LANES row = load(m->rows[r]);
        /* Into the second cache: often rows have the same few places in the first. Where nothing
         * comes, what is here already: a place that does not exist would be looked for. */
        for (size_t k = 0; k < beside; k += A_LINE)
            __builtin_prefetch((const void *)(ahead + k / A_LINE * 64), 0, 2);
        ahead += ahead_step;
        for (size_t k = 0; k < beside; k++) {
            MASK above;
            const LANES v = load(x + k * SC_LANES);
            const LANES y = kept(how, v, r, col + k * SC_LANES, &above);
            row = AT(add_errors)(&own[k], &own[k / AT(TILE) * AT(TILE)].largest, notes, &masks,
                                 m->abs + place * SC_LANES, v, y, row, k, wants);
        }
        store(m->rows[r], row);
        if (!wants.nothing)
            mark(&m->zeros, place, masks.zeros, beside);
        if (wants.tail) {
            store_masks(m->tail + place, masks.tail, beside);
            store_masks(m->counted + place, masks.counted, beside);
        }
    }
    for (size_t k = 0; k < beside; k++)
        g[first + k] = own[k];
}

/* The sums that follow from others where y is 0. */
INLINE void AT(add_nothing)(struct AT(error_group) * g)
{
    g->cross = subf(all(0), g->square);
}

/* What a span of `vectors` columns of vectors adds to a block. */
INLINE void AT(add_span)(const struct sc_error_block *b, struct sc_block_errors *out,
                         struct AT(error_notes) * notes, struct AT(error_marks) * m,
                         struct AT(error_tiles) * tiles, AT(kept_fn) * kept, const void *how,
                         size_t at, size_t vectors, size_t beside, uint32_t **behind,
                         struct AT(error_wants) wants)
{
    enum { TOGETHER = SC_ERROR_TOGETHER, PARTS = SC_ERROR_ROWS / TOGETHER };
    const size_t n_rows = b->rows, parts = (n_rows + TOGETHER - 1) / TOGETHER;
    const size_t met = vectors == beside ? n_rows * vectors : SC_ERROR_ROWS * vectors;
    struct AT(error_group) g[PARTS][AT(SPAN)];
    for (size_t k = 0; k < vectors; k += beside)
        for (size_t part = 0; part < parts; part++)
            AT(add_rows)
    (b, notes, m, g[part], kept, how, at, k, beside, part * TOGETHER,
     SC_MIN((part + 1) * TOGETHER, n_rows), wants);
    for (size_t first = 0; first < vectors; first += AT(TILE)) {
        struct AT(error_group) tile = AT(no_errors)();
        LANES square[AT(TILE)];
        for (size_t half = 0; half < AT(TILE); half++) {
            const size_t k = first + half;
            square[half] = all(0);
            for (size_t part = 0; part < parts; part++) {
                if (wants.nothing)
                    AT(add_nothing)(&g[part][k]);
                AT(add_error_groups)(&tile, &g[part][k]);
                square[half] = addf(square[half], g[part][k].square);
            }
            if (out->columns)
                store_wide(out->columns + at + k * SC_LANES, square[half]);
        }
        tile.square = addf(square[0], square[1]);
        AT(end_errors)(&tile, tiles, out);
    }
    out->zeros += wants.nothing ? vectors * SC_LANES * n_rows : marks(&m->zeros, met);
    if (wants.tail)
        *behind = AT(take_tail)(m, met, notes->common, &out->common, *behind);
}

/* None of any vector, and so none of rows that are missing. */
INLINE void AT(clear_masks)(struct AT(error_marks) * m)
{
    memset(&m->zeros, 0, sizeof m->zeros);
    memset(m->tail, 0, sizeof m->tail);
    memset(m->counted, 0, sizeof m->counted);
}

/* A block of b->x against what `kept` makes of it, which is a constant where this is inlined. What
 * is too large is not counted: masks take one of the two units that do
 * arithmetic, and there is enough of them. */
INLINE void AT(add_block)(const struct sc_error_block *b, struct sc_block_errors *out,
                          AT(kept_fn) * kept, const void *how, struct AT(error_wants) wants)
{
    const size_t n_rows = b->rows, beside = wants.slow ? AT(MANY) : AT(BESIDE);
    const size_t vectors = SC_MAX(beside, (size_t)AT(TILE)), wide = vectors * SC_LANES;
    struct AT(error_notes) notes = {all(b->above), all(SC_MAX(b->above, b->common)), 0};
    struct AT(error_tiles) tiles;
    struct AT(error_marks) m;
    uint32_t *behind = b->tail;
    size_t at = 0;
    AT(begin_tiles)(&tiles, out);
    AT(clear_masks)(&m);
    memset(m.rows, 0, n_rows * sizeof m.rows[0]);
    if (wants.tail && n_rows < SC_ERROR_ROWS)
        memset(m.abs, 0, sizeof m.abs);
    for (; b->n - at >= wide; at += wide)
        AT(add_span)
    (b, out, &notes, &m, &tiles, kept, how, at, vectors, beside, &behind, wants);
    if (vectors > AT(TILE) && at < b->n) { /* a tile is left */
        AT(clear_masks)(&m);
        AT(add_span)
        (b, out, &notes, &m, &tiles, kept, how, at, AT(TILE), SC_MIN(beside, (size_t)AT(TILE)),
         &behind, wants);
    }
    AT(end_tiles)(&tiles);
    AT(end_rows)(m.rows, n_rows, out->row_square);
    out->tail = wants.tail ? (size_t)(behind - b->tail) : 0;
    out->relative = notes.relative;
}

/* The same where nothing but sums is wanted (b->only_sums): 16 rows and the next 16 of the same
 * columns stand beside each other, so that all of a tile stays in registers. */
INLINE void AT(add_sums)(const struct sc_error_block *b, struct sc_block_errors *out,
                         AT(kept_fn) * kept, const void *how, bool nothing)
{
    enum { TOGETHER = SC_ERROR_TOGETHER, PARTS = SC_ERROR_ROWS / TOGETHER };
    const size_t n_rows = b->rows, stride = b->x_stride,
                 many = SC_MIN((size_t)AT(BESIDE), (size_t)PARTS);
    const uintptr_t ahead_step = b->ahead.codes ? b->ahead.stride : 0;
    struct AT(error_tiles) tiles;
    AT(begin_tiles)(&tiles, out);
    for (size_t at = 0; at < b->n; at += SC_ERROR_COLUMNS) {
        struct AT(error_group) tile = AT(no_errors)();
        for (size_t half = 0; half < 2; half++) {
            const size_t col = at + half * SC_LANES;
            uintptr_t ahead = b->ahead.codes ? (uintptr_t)b->ahead.codes + at * sizeof(uint16_t)
                                             : (uintptr_t)(b->x + col);
            LANES square = all(0);
            ahead += half * TOGETHER * ahead_step;
            for (size_t first = 0; first < PARTS; first += many) {
                const float *x = b->x + first * TOGETHER * stride + col;
                const size_t begin = first * TOGETHER, last = begin + (many - 1) * TOGETHER;
                const size_t in_all = n_rows > last ? SC_MIN(n_rows - last, (size_t)TOGETHER) : 0;
                const size_t in_first =
                    n_rows > begin ? SC_MIN(n_rows - begin, (size_t)TOGETHER) : 0;
                struct AT(error_group) own[PARTS];
                LANES unused;
                for (size_t k = 0; k < many; k++)
                    own[k] = AT(no_errors)();
                for (size_t r = 0; r < in_all; r++, x += stride) {
                    __builtin_prefetch((const void *)ahead, 0, 2);
                    ahead += ahead_step;
                    for (size_t k = 0; k < many; k++) {
                        MASK above;
                        const LANES v = load(x + k * TOGETHER * stride);
                        const LANES y = kept(how, v, begin + k * TOGETHER + r, col, &above);
                        (void)AT(add_to_group)(&own[k], &tile.largest, v, y, nothing, &unused);
                    }
                }
                for (size_t r = in_all; r < in_first; r++, x += stride) {
                    MASK above;
                    const LANES v = load(x), y = kept(how, v, begin + r, col, &above);
                    (void)AT(add_to_group)(&own[0], &tile.largest, v, y, nothing, &unused);
                }
                for (size_t k = 0; k < many; k++) {
                    if (nothing)
                        AT(add_nothing)(&own[k]);
                    AT(add_error_groups)(&tile, &own[k]);
                    square = addf(square, own[k].square);
                }
            }
            tile.square = half ? addf(tile.square, square) : square;
        }
        AT(end_errors)(&tile, &tiles, out);
    }
    AT(end_tiles)(&tiles);
    out->tail = 0;
    out->relative = 0;
}

/* Without x, and values are those of BF16. */
INLINE void AT(add_short_of)(const struct sc_error_block *b, bool only_sums,
                             struct sc_block_errors *out)
{
    enum { HALF = SC_ERROR_TOGETHER };
    const size_t n_rows = b->rows, stride = b->y_stride;
    double *const columns = out->columns;
    struct AT(error_tiles) tiles;
    struct AT(error_marks) m;
    LANES least = all(sc_bits_of(out->min)), largest = all(sc_bits_of(out->max));
    AT(begin_tiles)(&tiles, out);
    if (!only_sums) {
        memset(&m.zeros, 0, sizeof m.zeros);
        memset(m.rows, 0, n_rows * sizeof m.rows[0]);
    }
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
                    least = minf(v, least);
                    largest = maxf(v, largest);
                    if (only_sums)
                        continue;
                    store(m.rows[r], fma(v, v, load(m.rows[r])));
                    const MASK zero = zerof(v);
                    mark(&m.zeros, half * SC_ERROR_ROWS + r, &zero, 1);
                }
                tile.d = addf(tile.d, sum);
                square[half] = addf(square[half], of);
            }
            if (columns)
                store_wide(columns + col, square[half]);
        }
        tile.square = tile.values = addf(square[0], square[1]);
        AT(end_errors)(&tile, &tiles, out);
        if (!only_sums)
            out->zeros += marks(&m.zeros, (size_t)AT(TILE) * SC_ERROR_ROWS);
    }
    AT(end_tiles)(&tiles);
    if (!only_sums)
        AT(end_rows)(m.rows, n_rows, out->row_square);
    float lanes[SC_LANES];
    store(lanes, least);
    for (size_t i = 0; i < SC_LANES; i++)
        out->min = lanes[i] < out->min ? lanes[i] : out->min;
    store(lanes, largest);
    for (size_t i = 0; i < SC_LANES; i++)
        out->max = lanes[i] > out->max ? lanes[i] : out->max;
}

TARGET static __attribute__((unused)) void AT(add_short)(const struct sc_error_block *b,
                                                         struct sc_block_errors *out)
{
    if (b->only_sums)
        AT(add_short_of)(b, true, out);
    else
        AT(add_short_of)(b, false, out);
}

#undef INLINE
#endif /* LANES */
