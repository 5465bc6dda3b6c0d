/* SPDX-License-Identifier: Apache-2.0 */
/* dots_many_x86: dots.c for many rows of x at once, bit for bit.
 *
 * dots_x86.c keeps the 16 lanes of one product in a vector, which has to be added up across for
 * each product. Here a vector holds one lane of as many products: rows of x are packed so that they
 * lie side by side, a weight is broadcast to them, and lanes are added vector by vector.
 *
 * Packed x: blocks of SC_DOT_BLOCK elements; of a block groups of SC_DOTS_GROUP rows; of a group
 * lanes; of a lane its elements, each of all rows of the group (16, 32, 48 or 64, padded). A lane
 * of a group stays in the first cache while all rows of w in a chunk are multiplied with it. Rows
 * of w are brought into the order of lanes, too. */
#include "kernel/dots.h"

#if SC_HAVE_X86
#include <immintrin.h>
#include <string.h>

enum {
    ROWS = 6,                    /* of w that a tile has */
    PIECE_W = 4 * ROWS,          /* rows of w for which a lane of x stays in the first cache */
    CHUNK_W = 4 * PIECE_W,       /* rows of w and of x whose sums are kept together: */
    CHUNK_X = 4 * SC_DOTS_GROUP, /* a block of so many rows of x stays in the second cache */
    ROW_STRIDE = SC_DOT_BLOCK + SC_LANES, /* rows do not fall upon each other in the first cache */
    LEVELS = 4                            /* of sums that wait for their other half */
};

/* What a chunk needs beside its operands. */
struct scratch {
    float rows[PIECE_W * ROW_STRIDE];
    float waiting[PIECE_W * LEVELS * SC_DOTS_GROUP];
    float sums[CHUNK_W * CHUNK_X];
    float tile[ROWS * SC_DOTS_GROUP];
    float row[SC_DOT_BLOCK];
};
_Static_assert(sizeof(struct scratch) <= SC_DOTS_SCRATCH * sizeof(float), "dots.h says too little");

/* Lanes in the order in which their sums can be added as they come: i and i + 8, then ... */
static const uint8_t lane_of[SC_LANES] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};

static inline size_t padded(size_t n)
{
    return (n + SC_LANES - 1) / SC_LANES * SC_LANES;
}

/* Elements of a lane among the first n of a block. */
static inline size_t steps_of(size_t lane, size_t n)
{
    return n > lane ? (n - lane + SC_LANES - 1) / SC_LANES : 0;
}

/* Where a group of a block begins. `n`: elements of the whole rows; `at`: the block's first. */
static size_t place_of(size_t n_x, size_t n, size_t at, size_t group)
{
    return at * padded(n_x) + group * SC_DOTS_GROUP * padded(SC_MIN(n - at, (size_t)SC_DOT_BLOCK));
}

/* ----------------------------------------------------------------------------------- tiles ---
 * One lane of NR rows of w and NV vectors of rows of x. `step`: floats from one element of packed x
 * to the next. Sums wait in `waiting` for those of the lanes that they are added to; the last lane
 * of all completes `sums`. */
#define R6(each, NV) each(0, NV) each(1, NV) each(2, NV) each(3, NV) each(4, NV) each(5, NV)
#define R1(each, NV) each(0, NV)
#define V4(do_, r)   do_(r, 0) do_(r, 1) do_(r, 2) do_(r, 3)
#define V3(do_, r)   do_(r, 0) do_(r, 1) do_(r, 2)
#define V2(do_, r)   do_(r, 0) do_(r, 1)
#define V1(do_, r)   do_(r, 0)

#define ACC(r, v)      vector a##r##v = ZERO();
#define LOAD(r, v)     const vector x##v = LOAD_X(x + (v)*LANES);
#define STEP(r, v)     a##r##v = FMA(w##r, x##v, a##r##v);
#define JOIN(r, v)     a##r##v = ADD(LOAD_X(to + ((r)*many + (v)) * LANES), a##r##v);
#define KEEP(r, v)     STORE(to + ((r)*many + (v)) * LANES, a##r##v);
#define ROW_ACC(r, NV) V##NV(ACC, r)
#define ROW_STEP(r, NV)                                                                            \
    const vector w##r = BROADCAST(w + (r)*ROW_STRIDE);                                             \
    V##NV(STEP, r)
#define ROW_JOIN(r, NV) V##NV(JOIN, r)
#define ROW_KEEP(r, NV) V##NV(KEEP, r)

#define TILE(name, target, NR, NV)                                                                 \
    target static void name(const float *w, const float *x, size_t step, size_t steps,             \
                            unsigned turn, float *waiting, float *sums)                            \
    {                                                                                              \
        enum { many = NV, room = NR * NV * LANES };                                                \
        R##NR(ROW_ACC, NV);                                                                        \
        for (size_t k = 0; k < steps; k++, x += step, w++) {                                       \
            V##NV(LOAD, 0);                                                                        \
            R##NR(ROW_STEP, NV);                                                                   \
        }                                                                                          \
        unsigned level = 0;                                                                        \
        float *to = waiting;                                                                       \
        for (unsigned bits = turn; bits & 1; bits >>= 1) {                                         \
            R##NR(ROW_JOIN, NV);                                                                   \
            to = ++level == LEVELS ? sums : waiting + level * room;                                \
        }                                                                                          \
        R##NR(ROW_KEEP, NV);                                                                       \
    }

typedef void tile_fn(const float *w, const float *x, size_t step, size_t steps, unsigned turn,
                     float *waiting, float *sums);

/* clang-format off */
#define vector       __m512
#define LANES        16
#define ZERO         _mm512_setzero_ps
#define LOAD_X       _mm512_loadu_ps
#define STORE        _mm512_storeu_ps
#define BROADCAST(p) _mm512_set1_ps(*(p))
#define FMA          _mm512_fmadd_ps
#define ADD          _mm512_add_ps
TILE(tile_6x4, SC_TARGET_AVX512, 6, 4)
TILE(tile_6x3, SC_TARGET_AVX512, 6, 3)
TILE(tile_6x2, SC_TARGET_AVX512, 6, 2)
TILE(tile_6x1, SC_TARGET_AVX512, 6, 1)
TILE(tile_1x4, SC_TARGET_AVX512, 1, 4)
TILE(tile_1x3, SC_TARGET_AVX512, 1, 3)
TILE(tile_1x2, SC_TARGET_AVX512, 1, 2)
TILE(tile_1x1, SC_TARGET_AVX512, 1, 1)
#undef vector
#undef LANES
#undef ZERO
#undef LOAD_X
#undef STORE
#undef BROADCAST
#undef FMA
#undef ADD
#define vector       __m256
#define LANES        8
#define ZERO         _mm256_setzero_ps
#define LOAD_X       _mm256_loadu_ps
#define STORE        _mm256_storeu_ps
#define BROADCAST(p) _mm256_set1_ps(*(p))
#define FMA          _mm256_fmadd_ps
#define ADD          _mm256_add_ps
TILE(tile_6x2_avx2, SC_TARGET_AVX2, 6, 2)
TILE(tile_1x2_avx2, SC_TARGET_AVX2, 1, 2)
/* clang-format on */

/* ------------------------------------------------------------------------- order of lanes --- */

/* Loads gather quarters, so that only two rounds of
 * shuffles are left. */
SC_TARGET_AVX512 void sc_turn16_avx512(const float *from, size_t stride, float *to,
                                       size_t to_stride)
{
    for (size_t q = 0; q < 4; q++) { /* columns 4 q to 4 q + 3 */
        __m512 row[4];
        for (size_t i = 0; i < 4; i++) { /* of rows i, i + 4, i + 8, i + 12 */
            const float *p = from + i * stride + 4 * q;
            row[i] = _mm512_castps128_ps512(_mm_loadu_ps(p));
            row[i] = _mm512_insertf32x4(row[i], _mm_loadu_ps(p + 4 * stride), 1);
            row[i] = _mm512_insertf32x4(row[i], _mm_loadu_ps(p + 8 * stride), 2);
            row[i] = _mm512_insertf32x4(row[i], _mm_loadu_ps(p + 12 * stride), 3);
        }
        const __m512 a = _mm512_unpacklo_ps(row[0], row[1]), b = _mm512_unpackhi_ps(row[0], row[1]);
        const __m512 c = _mm512_unpacklo_ps(row[2], row[3]), d = _mm512_unpackhi_ps(row[2], row[3]);
        float *p = to + 4 * q * to_stride;
        _mm512_storeu_ps(p, _mm512_shuffle_ps(a, c, 0x44));
        _mm512_storeu_ps(p + to_stride, _mm512_shuffle_ps(a, c, 0xee));
        _mm512_storeu_ps(p + 2 * to_stride, _mm512_shuffle_ps(b, d, 0x44));
        _mm512_storeu_ps(p + 3 * to_stride, _mm512_shuffle_ps(b, d, 0xee));
    }
}

SC_TARGET_AVX2 void sc_turn16_avx2(const float *from, size_t stride, float *to, size_t to_stride)
{
    for (size_t half = 0; half < 16; half += 8)
        for (size_t q = 0; q < 4; q++) {
            __m256 row[4];
            for (size_t i = 0; i < 4; i++) {
                const float *p = from + (half + i) * stride + 4 * q;
                row[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)),
                                              _mm_loadu_ps(p + 4 * stride), 1);
            }
            const __m256 a = _mm256_unpacklo_ps(row[0], row[1]);
            const __m256 b = _mm256_unpackhi_ps(row[0], row[1]);
            const __m256 c = _mm256_unpacklo_ps(row[2], row[3]);
            const __m256 d = _mm256_unpackhi_ps(row[2], row[3]);
            float *p = to + 4 * q * to_stride + half;
            _mm256_storeu_ps(p, _mm256_shuffle_ps(a, c, 0x44));
            _mm256_storeu_ps(p + to_stride, _mm256_shuffle_ps(a, c, 0xee));
            _mm256_storeu_ps(p + 2 * to_stride, _mm256_shuffle_ps(b, d, 0x44));
            _mm256_storeu_ps(p + 3 * to_stride, _mm256_shuffle_ps(b, d, 0xee));
        }
}

/* What is not 16 x 16: n_to <= 16 rows of `to`, of n_from numbers. Others stay as they are. */
static void turn_some(const float *from, size_t stride, size_t n_from, size_t n_to, float *to,
                      size_t to_stride)
{
    for (size_t i = 0; i < n_to; i++)
        for (size_t j = 0; j < n_from; j++)
            to[i * to_stride + j] = from[j * stride + i];
}

/* n elements of a row of w: lane after lane. */
#define ORDER_ROW(name, target, turn)                                                              \
    target static void name(const float *from, size_t n, float *to)                                \
    {                                                                                              \
        const size_t each = padded(n) / SC_LANES;                                                  \
        size_t k = 0;                                                                              \
        for (; each - k >= SC_LANES && n - k * SC_LANES >= SC_LANES * SC_LANES; k += SC_LANES)     \
            turn(from + k * SC_LANES, SC_LANES, to + k, each);                                     \
        for (; k < each; k++)                                                                      \
            turn_some(from + k * SC_LANES, 0, 1, SC_MIN(n - k * SC_LANES, (size_t)SC_LANES),       \
                      to + k, each);                                                               \
    }
/* n elements of n_t rows of x (64 at most): lane after lane, side by side. What pads is zero. */
#define ORDER_GROUP(name, target, turn)                                                            \
    target static void name(const float *from, size_t stride, size_t n_t, size_t n, float *to)     \
    {                                                                                              \
        const size_t width = padded(n_t), lane = padded(n) / SC_LANES * width;                     \
        for (size_t t = 0; t < n_t; t += SC_LANES)                                                 \
            for (size_t k = 0; k < n; k += SC_LANES) {                                             \
                const float *x = from + t * stride + k;                                            \
                float *at = to + k / SC_LANES * width + t;                                         \
                const size_t here = SC_MIN(n - k, (size_t)SC_LANES);                               \
                if (n_t - t >= SC_LANES && here == SC_LANES) {                                     \
                    turn(x, stride, at, lane);                                                     \
                    continue;                                                                      \
                }                                                                                  \
                for (size_t i = 0; i < here; i++)                                                  \
                    memset(at + i * lane, 0, SC_LANES * sizeof *at);                               \
                turn_some(x, stride, SC_MIN(n_t - t, (size_t)SC_LANES), here, at, lane);           \
            }                                                                                      \
    }
ORDER_ROW(order_row, SC_TARGET_AVX512, sc_turn16_avx512)
ORDER_ROW(order_row_avx2, SC_TARGET_AVX2, sc_turn16_avx2)
ORDER_GROUP(order_group, SC_TARGET_AVX512, sc_turn16_avx512)
ORDER_GROUP(order_group_avx2, SC_TARGET_AVX2, sc_turn16_avx2)

SC_TARGET_AVX2 static const float *expand(const uint16_t *from, size_t n, float *to)
{
    size_t k = 0;
    for (; n - k >= 8; k += 8)
        _mm256_storeu_ps(
            to + k, _mm256_castsi256_ps(_mm256_slli_epi32(
                        _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(from + k))), 16)));
    for (; k < n; k++)
        to[k] = sc_float_of((uint32_t)from[k] << 16);
    return to;
}

/* ---------------------------------------------------------------------------------- levels --- */

struct level {
    size_t width;             /* rows of x that a tile has at most */
    tile_fn *six[4], *one[4]; /* of 16, 32, ... rows of x */
    void (*order_row)(const float *from, size_t n, float *to);
    void (*turn)(const float *from, size_t stride, float *to, size_t to_stride);
};
static const struct level avx512 = {SC_DOTS_GROUP,
                                    {tile_6x1, tile_6x2, tile_6x3, tile_6x4},
                                    {tile_1x1, tile_1x2, tile_1x3, tile_1x4},
                                    order_row,
                                    sc_turn16_avx512};
static const struct level avx2 = {
    SC_LANES, {tile_6x2_avx2}, {tile_1x2_avx2}, order_row_avx2, sc_turn16_avx2};

/* Rows r0..r0+n_w (at most PIECE_W) of w with rows t0..t0+n_t of x. */
struct chunk {
    const struct sc_dots *d;
    const uint16_t *codes; /* NULL: floats */
    const struct level *level;
    struct scratch *s;
    size_t r0, n_w, t0, n_t;
    float *sums;      /* [n_w][CHUNK_X] */
    const char *soon; /* what will be looked at next: lines of rows of w, asked for meanwhile */
    size_t soon_rows, soon_stride, soon_bytes;
};

/* Elements at..at+n of the rows of w. */
static void order_rows(const struct chunk *c, size_t at, size_t n)
{
    const struct sc_dots *d = c->d;
    for (size_t r = 0; r < c->n_w; r++) {
        const size_t from = (c->r0 + r) * d->w_stride + at;
        c->level->order_row(c->codes ? expand(c->codes + from, n, c->s->row) : d->w + from, n,
                            c->s->rows + r * ROW_STRIDE);
    }
}

static void add_tile(float *to, const float *sums, size_t rows, size_t width, bool add)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < width; t++)
            to[r * CHUNK_X + t] =
                add ? to[r * CHUNK_X + t] + sums[r * width + t] : sums[r * width + t];
}

enum { LINE = 64 };

/* Asks for some lines of what comes next: by lane and tile, so that all of it is asked for. */
static inline void ask(const struct chunk *c, size_t row, unsigned turn)
{
    if (row >= c->soon_rows)
        return;
    const char *p = c->soon + row * c->soon_stride;
    for (size_t i = turn * LINE; i < c->soon_bytes; i += SC_LANES * LINE)
        __builtin_prefetch(p + i, 0, 2);
}

/* All rows of w with `width` rows of x, which lie `step` apart: x is the first of the first lane.
 */
static void tiles(const struct chunk *c, const float *x, size_t step, size_t width, size_t n,
                  float *sums, bool add)
{
    const size_t each = padded(n) / SC_LANES, kind = width / SC_LANES - 1;
    struct scratch *s = c->s;
    for (unsigned turn = 0; turn < SC_LANES; turn++) {
        const size_t lane = lane_of[turn], steps = steps_of(lane, n);
        for (size_t r = 0, rows; r < c->n_w; r += rows) {
            const bool six = c->n_w - r >= ROWS;
            rows = six ? ROWS : 1;
            for (size_t i = 0; i < rows; i++)
                ask(c, r + i, turn);
            (six ? c->level->six : c->level->one)[kind](s->rows + r * ROW_STRIDE + lane * each,
                                                        x + lane * each * step, step, steps, turn,
                                                        s->waiting + r * LEVELS * width, s->tile);
            if (turn == SC_LANES - 1)
                add_tile(sums + r * CHUNK_X, s->tile, rows, width, add);
        }
    }
}

static void block(const struct chunk *c, size_t at, size_t n)
{
    const struct sc_dots *d = c->d;
    order_rows(c, at, n);
    for (size_t g = 0; g < c->n_t; g += SC_DOTS_GROUP) {
        const size_t step = padded(SC_MIN(c->n_t - g, (size_t)SC_DOTS_GROUP));
        const float *x = d->packed + place_of(d->n_x, d->n, at, (c->t0 + g) / SC_DOTS_GROUP);
        for (size_t t = 0; t < step; t += c->level->width)
            tiles(c, x + t, step, SC_MIN(step - t, c->level->width), n, c->sums + g + t, at > 0);
    }
}

/* The piece behind this one: rows r.. of a chunk, block `at`. */
static void look_ahead(struct chunk *c, const struct chunk *all, size_t r, size_t at)
{
    const struct sc_dots *d = c->d;
    const size_t unit = c->codes ? sizeof *c->codes : sizeof *d->w;
    const char *w = c->codes ? (const void *)c->codes : (const void *)d->w;
    const bool down = r + PIECE_W < all->n_w;
    const size_t next = down ? r + PIECE_W : 0, block = down ? at : at + SC_DOT_BLOCK;
    c->soon_rows = block < d->n ? SC_MIN(all->n_w - next, (size_t)PIECE_W) : 0;
    c->soon_stride = d->w_stride * unit;
    if (c->soon_rows == 0)
        return;
    c->soon_bytes = SC_MIN(d->n - block, (size_t)SC_DOT_BLOCK) * unit;
    c->soon = w + ((all->r0 + next) * d->w_stride + block) * unit;
}

/* Rows r0..r0+n_w of w with rows t0..t0+n_t of x: block by block, so that one of x stays in the
 * second cache. */
static void chunk(const struct chunk *all)
{
    const struct sc_dots *d = all->d;
    for (size_t at = 0; at < d->n; at += SC_DOT_BLOCK)
        for (size_t r = 0; r < all->n_w; r += PIECE_W) {
            struct chunk c = *all;
            c.r0 += r;
            c.n_w = SC_MIN(all->n_w - r, (size_t)PIECE_W);
            c.sums += r * CHUNK_X;
            look_ahead(&c, all, r, at);
            block(&c, at, SC_MIN(d->n - at, (size_t)SC_DOT_BLOCK));
        }
    for (size_t t = 0; t < all->n_t; t += SC_LANES)
        for (size_t r = 0; r < all->n_w; r += SC_LANES) {
            const size_t n_t = SC_MIN(all->n_t - t, (size_t)SC_LANES);
            const size_t n_r = SC_MIN(all->n_w - r, (size_t)SC_LANES);
            const float *from = all->sums + r * CHUNK_X + t;
            float *to = d->y + (all->t0 + t) * d->y_stride + all->r0 + r;
            if (n_t == SC_LANES && n_r == SC_LANES)
                all->level->turn(from, CHUNK_X, to, d->y_stride);
            else
                turn_some(from, CHUNK_X, n_r, n_t, to, d->y_stride);
        }
}

static void run(const struct sc_dots *d, const uint16_t *codes, const struct level *level)
{
    struct scratch *s = (void *)d->scratch;
    struct chunk c = {.d = d, .codes = codes, .level = level, .s = s, .sums = s->sums};
    for (c.r0 = 0; c.r0 < d->n_w; c.r0 += c.n_w) {
        c.n_w = SC_MIN(d->n_w - c.r0, (size_t)CHUNK_W);
        for (c.t0 = 0; c.t0 < d->n_x; c.t0 += c.n_t) {
            c.n_t = SC_MIN(d->n_x - c.t0, (size_t)CHUNK_X);
            chunk(&c);
        }
    }
}

void sc_dots_many_avx512(const struct sc_dots *d, const uint16_t *codes)
{
    run(d, codes, &avx512);
}

void sc_dots_many_avx2(const struct sc_dots *d, const uint16_t *codes)
{
    run(d, codes, &avx2);
}

/* --------------------------------------------------------------------------------- packing --- */

size_t sc_dots_packed_x86(size_t n_x, size_t n)
{
    return padded(n_x) * padded(n);
}

void sc_dots_pack_x86(const float *x, size_t stride, size_t n_x, size_t n, size_t group, float *to,
                      enum sc_cpu level)
{
    const size_t t = group * SC_DOTS_GROUP, n_t = SC_MIN(n_x - t, (size_t)SC_DOTS_GROUP);
    for (size_t at = 0; at < n; at += SC_DOT_BLOCK)
        (level == SC_CPU_AVX512 ? order_group : order_group_avx2)(
            x + t * stride + at, stride, n_t, SC_MIN(n - at, (size_t)SC_DOT_BLOCK),
            to + place_of(n_x, n, at, group));
}
#endif
