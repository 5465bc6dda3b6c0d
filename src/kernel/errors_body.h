/* SPDX-License-Identifier: Apache-2.0 */
/* errors_body: the sums of errors.c over 16 lanes, wherever y comes from. Included once a level,
 * after lanes_names.h, with LANES, MASK, TARGET and AT(name); without these it is empty. */

#ifdef LANES
#define INLINE TARGET static inline __attribute__((always_inline))

/* 16 elements of row r from column `col` on as they are kept; `above`: what was too large. */
typedef LANES AT(kept_fn)(const void *how, LANES x, size_t r, size_t col, MASK *above);

/* 16 rows of 16 columns while they are added up, and then a tile. */
struct AT(error_group) {
    LANES d, abs, values, cross, square, largest;
};

INLINE struct AT(error_group) AT(no_errors)(void)
{
    const LANES zero = all(0);
    return (struct AT(error_group)){zero, zero, zero, zero, zero, zero};
}

/* What goes beside the sums of a tile: in registers, and in memory. */
struct AT(error_notes) {
    LANES above;
    uint32_t *tail; /* behind the last one; NULL: nobody asks for it */
    float relative;
};
struct AT(error_marks) {
    struct AT(sc_marks) zeros;
    float rows[SC_ERROR_ROWS][SC_LANES];
};

TARGET static __attribute__((noinline)) void AT(see_relative)(LANES x, LANES y, float *relative)
{
    float v[SC_LANES], w[SC_LANES];
    store(v, x);
    store(w, y);
    sc_errors_relative(v, w, relative);
}

/* 16 elements of row r; `at` of 64 in the tile. */
INLINE void AT(add_errors)(struct AT(error_group) * g, struct AT(error_notes) * notes,
                           struct AT(error_marks) * m, LANES x, LANES y, size_t r, size_t at,
                           bool tail, bool relative)
{
    const LANES d = subf(y, x), a = andi(d, all(INT32_MAX));
    g->d = addf(g->d, d);
    g->abs = addf(g->abs, a);
    g->square = fma(d, d, g->square);
    store(m->rows[r], fma(d, d, load(m->rows[r])));
    g->values = fma(y, y, g->values);
    g->cross = fma(x, d, g->cross);
    g->largest = maxi(g->largest, a);
    mark(&m->zeros, at, zerof(y));
    if (tail)
        notes->tail += squeeze(notes->tail, morei(a, notes->above), a);
    if (relative) {
        const LANES bound = mulf(all(sc_bits_of(notes->relative)), andi(x, all(INT32_MAX)));
        if (SC_UNLIKELY(count(moref(a, bound))))
            AT(see_relative)(x, y, &notes->relative);
    }
}

INLINE void AT(add_error_groups)(struct AT(error_group) * to, const struct AT(error_group) * g)
{
    to->d = addf(to->d, g->d);
    to->abs = addf(to->abs, g->abs);
    to->values = addf(to->values, g->values);
    to->cross = addf(to->cross, g->cross);
    to->largest = maxi(to->largest, g->largest);
}

/* The last steps for four sums at once: 4 x 4 lanes become (i, i + 2), then (i, i + 1). */
INLINE void AT(end_errors)(const struct AT(error_group) * g, struct sc_error_sums *s)
{
    const __m128 d = quarter(g->d), abs = quarter(g->abs);
    const __m128 square = quarter(g->square), values = quarter(g->values);
    const __m128 da = _mm_add_ps(_mm_movelh_ps(d, abs), _mm_movehl_ps(abs, d));
    const __m128 sv = _mm_add_ps(_mm_movelh_ps(square, values), _mm_movehl_ps(values, square));
    const __m128 sum = _mm_add_ps(_mm_shuffle_ps(da, sv, 0x88), _mm_shuffle_ps(da, sv, 0xdd));
    float four[4];
    _mm_storeu_ps(four, sum);
    s->d = (double)four[0];
    s->abs = (double)four[1];
    s->square = (double)four[2];
    s->values = (double)four[3];
    s->cross = sc_quarter_sum(quarter(g->cross));
    s->most = first(most(g->largest));
}

/* A block of b->x against what `kept` makes of it. `relative`, `tail` and `kept` are constants
 * where this is inlined. What is too large is not counted: masks take one of the two units that do
 * arithmetic, and there is enough of them. */
INLINE void AT(add_block)(const struct sc_error_block *b, struct sc_block_errors *out,
                          AT(kept_fn) * kept, const void *how, bool tail, bool relative)
{
    enum { HALF = SC_ERROR_TOGETHER };
    const size_t n_rows = b->rows, stride = b->x_stride, n = b->n; /* stores could change them */
    const float *const from = b->x;
    double *const columns = out->columns;
    struct AT(error_notes) notes = {all(b->above), tail ? b->tail : NULL, 0};
    struct AT(error_marks) m;
    memset(&m, 0, sizeof m);
    for (size_t at = 0; at < n; at += SC_ERROR_COLUMNS) {
        struct sc_error_sums *s = &out->sums[at / SC_ERROR_COLUMNS];
        struct AT(error_group) tile = AT(no_errors)();
        LANES square[2];
        for (size_t half = 0; half < 2; half++) {
            const size_t col = at + half * SC_LANES;
            square[half] = all(0);
            for (size_t begin = 0; begin < n_rows; begin += HALF) {
                const size_t end = SC_MIN(begin + HALF, n_rows);
                const float *x = from + begin * stride + col;
                struct AT(error_group) g = AT(no_errors)();
                for (size_t r = begin; r < end; r++, x += stride) {
                    MASK above;
                    const LANES v = load(x), y = kept(how, v, r, col, &above);
                    AT(add_errors)
                    (&g, &notes, &m, v, y, r, half * SC_ERROR_ROWS + r, tail, relative);
                }
                AT(add_error_groups)(&tile, &g);
                square[half] = addf(square[half], g.square);
            }
            if (columns)
                store_wide(columns + col, square[half]);
        }
        tile.square = addf(square[0], square[1]);
        AT(end_errors)(&tile, s);
        out->most = SC_MAX(out->most, s->most);
        out->zeros += marks(&m.zeros);
    }
    for (size_t r = 0; r < n_rows; r++)
        out->row_square[r] = sc_quarter_sum(quarter(load(m.rows[r])));
    out->tail = tail ? (size_t)(notes.tail - b->tail) : 0;
    out->relative = notes.relative;
}

/* Without x, and values are those of BF16. */
TARGET static __attribute__((unused)) void AT(add_short)(const struct sc_error_block *b,
                                                         struct sc_block_errors *out)
{
    enum { HALF = SC_ERROR_TOGETHER };
    const size_t n_rows = b->rows, stride = b->y_stride;
    double *const columns = out->columns;
    struct AT(error_marks) m;
    LANES least = all(sc_bits_of(out->min)), largest = all(sc_bits_of(out->max));
    memset(&m, 0, sizeof m);
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
        AT(end_errors)(&tile, &out->sums[at / SC_ERROR_COLUMNS]);
        out->zeros += marks(&m.zeros);
    }
    for (size_t r = 0; r < n_rows; r++)
        out->row_square[r] = sc_quarter_sum(quarter(load(m.rows[r])));
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
