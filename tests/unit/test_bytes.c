/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of bytes: the curve, what many bytes are as one, positions, and what happens without
 * memory. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "math/math.h"
#include "picture/bytes.h"
#include "picture/bytes_parts.h"
#include "picture/curve.h"
#include "source/source.h"

#define CHECK_OK(call) CHECK((call) == 0)

TEST(the_curve_visits_neighbours_and_comes_back)
{
    enum { LEVELS = 7, SIDE = 1 << LEVELS };
    for (unsigned first = 0; first < SC_CURVE_STATES; first++) {
        uint64_t px = 0, py = 0;
        size_t wrong = 0;
        for (uint64_t d = 0; d < (uint64_t)SIDE * SIDE; d++) {
            uint64_t x, y;
            unsigned state = first, back = first;
            sc_curve_point(LEVELS, d, &x, &y, &state);
            wrong += x >= SIDE || y >= SIDE;
            wrong += d && (x > px ? x - px : px - x) + (y > py ? y - py : py - y) != 1;
            wrong += sc_curve_index(LEVELS, x, y, &back) != d || back != state;
            px = x;
            py = y;
        }
        CHECK_U64(wrong, 0);
    }
    uint64_t x, y;
    unsigned state = 0;
    sc_curve_point(26, (UINT64_C(1) << 52) - 1, &x, &y, &state);
    CHECK_U64(x, (1 << 26) - 1);
    CHECK_U64(y, 0);
}

TEST(classes_hold_all_bytes)
{
    size_t n[SC_BYTE_CLASSES] = {0};
    for (unsigned v = 0; v < 256; v++)
        n[sc_byte_class_of((uint8_t)v)]++;
    CHECK_U64(n[SC_BYTE_ZERO], 1);
    CHECK_U64(n[SC_BYTE_CONTROL], 32);
    CHECK_U64(n[SC_BYTE_PRINTABLE], 95);
    CHECK_U64(n[SC_BYTE_HIGH], 127);
    CHECK_U64(n[SC_BYTE_FULL], 1);
}

/* One at a time, as the header says it. */
static struct sc_byte_sum slowly(const uint8_t *p, size_t n)
{
    struct sc_byte_sum s = sc_byte_sum_of_none();
    for (size_t i = 0; i < n; i++) {
        const enum sc_byte_class c = sc_byte_class_of(p[i]);
        s.count[c]++;
        if (c != SC_BYTE_ZERO && c != SC_BYTE_FULL)
            s.sum[c - SC_BYTE_CONTROL] += p[i];
        s.min = SC_MIN(s.min, p[i]);
        s.max = SC_MAX(s.max, p[i]);
    }
    return s;
}

static double entropy(const uint8_t *p, size_t n)
{
    size_t seen[256] = {0};
    double h = 0;
    for (size_t i = 0; i < n; i++)
        seen[p[i]]++;
    for (unsigned v = 0; v < 256; v++)
        if (seen[v])
            h -= (double)seen[v] / (double)n * log2((double)seen[v] / (double)n);
    return h;
}

/* Bytes of six kinds: equal ones, any, few, nearly all of one class. */
static void fill(uint64_t round, uint8_t *p, size_t n)
{
    const uint64_t kind = round % 6, fixed = sc_random(2, round);
    for (size_t i = 0; i < n; i++) {
        const uint64_t r = sc_random(3 + round, i);
        p[i] = (uint8_t)(kind == 0   ? fixed
                         : kind == 1 ? r
                         : kind == 2 ? r % 3 * 127
                         : kind == 3 ? 255 - r % 2
                         : kind == 4 ? 32 + r % 95
                                     : (r & 1 ? 127 : 5));
    }
}

TEST(windows_are_counted_exactly)
{
    for (uint64_t round = 0; round < 3000; round++) {
        uint8_t p[SC_BYTE_WINDOW];
        uint64_t bits = 0;
        const size_t n = round < 600 ? SC_BYTE_WINDOW : 1 + sc_random(1, round) % SC_BYTE_WINDOW;
        fill(round, p, n);
        const struct sc_byte_sum want = slowly(p, n);
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
            struct sc_byte_sum s = sc_byte_sum_of_none();
            sc_byte_sum_add(&s, p, n, true, level);
            CHECK(memcmp(s.count, want.count, sizeof s.count) == 0);
            CHECK(memcmp(s.sum, want.sum, sizeof s.sum) == 0);
            CHECK(s.min == want.min && s.max == want.max);
            CHECK(fabs(sc_byte_sum_entropy(&s) - entropy(p, n)) < 4e-6);
            sc_byte_entropies(p, n, level, &bits);
            CHECK_U64(bits, s.entropy);
            CHECK((double)sc_byte_entropy(bits, n) == (double)(float)sc_byte_sum_entropy(&s));
        }
    }
}

/* n log2 n in 2^-20, rounded, as the header says it. */
static uint64_t entropy_slowly(const uint8_t *p, size_t n)
{
    size_t seen[256] = {0};
    uint64_t sum = n > 1 ? (uint64_t)llround(ldexp((double)n * log2((double)n), 20)) : 0;
    for (size_t i = 0; i < n; i++)
        seen[p[i]]++;
    for (unsigned v = 0; v < 256; v++)
        if (seen[v] > 1)
            sum -= (uint64_t)llround(ldexp((double)seen[v] * log2((double)seen[v]), 20));
    return sum;
}

/* Windows of all kinds beside each other, of a number that is not that of any level; and every
 * number of equal bytes, small and large ones. */
TEST(many_windows_have_the_entropy_of_each_at_every_level)
{
    enum { WINDOWS = 8 + 4 + 3, MOST = WINDOWS * SC_BYTE_WINDOW };
    uint8_t p[MOST + 1];
    for (uint64_t round = 0; round < 600; round++) {
        const size_t n = MOST - (round % 3 ? sc_random(7, round) % MOST : 0), at = round % 2;
        for (size_t w = 0; w < WINDOWS; w++) {
            uint8_t *window = p + at + w * SC_BYTE_WINDOW;
            fill(round + w, window, SC_BYTE_WINDOW);
            if (w % 4 == 3) /* so many of one */
                memset(window, (int)(sc_random(8, round) & 0xff), (round * 4 + w / 4) % 257);
        }
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
            uint64_t got[WINDOWS];
            struct sc_byte_sum s = sc_byte_sum_of_none();
            const struct sc_byte_sum want = slowly(p + at, n);
            uint64_t all = 0;
            sc_byte_entropies(p + at, n, level, got);
            for (size_t k = 0; k * SC_BYTE_WINDOW < n; k++) {
                const size_t from = k * SC_BYTE_WINDOW;
                const size_t some = SC_MIN(n - from, (size_t)SC_BYTE_WINDOW);
                CHECK_U64(got[k], entropy_slowly(p + at + from, some));
                all += got[k];
            }
            sc_byte_sum_add(&s, p + at, n, true, level);
            CHECK_U64(s.entropy, all);
            CHECK(memcmp(s.count, want.count, sizeof s.count) == 0);
            CHECK(memcmp(s.sum, want.sum, sizeof s.sum) == 0);
            CHECK(s.min == want.min && s.max == want.max);
        }
    }
}

/* A square of 16 x 16 pixels of a tile is what the curve says, and nothing beside it is written. */
TEST(squares_of_pixels_follow_the_curve_at_every_level)
{
    enum { SIDE = 16, COLUMN = 7, ROWS = SIDE + 2 };
    const size_t corner = SC_SCENE_TILE + COLUMN;
    uint32_t *got = malloc(3 * sizeof *got * ROWS * SC_SCENE_TILE), v[SC_BYTE_GROUP];
    uint8_t p[SC_BYTE_GROUP + 1];
    CHECK(got);
    for (uint64_t round = 0; got && round < 64; round++)
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
            const unsigned first = (unsigned)round % SC_CURVE_STATES;
            const uint8_t *bytes = p + round % 2;
            uint32_t *words = got + ROWS * SC_SCENE_TILE, *same = words + ROWS * SC_SCENE_TILE;
            size_t wrong = 0;
            memset(got, 0xee, 3 * sizeof *got * ROWS * SC_SCENE_TILE);
            for (size_t i = 0; i <= SC_BYTE_GROUP; i++)
                p[i] = (uint8_t)sc_random(20 + round, i);
            for (size_t i = 0; i < SC_BYTE_GROUP; i++)
                v[i] = (uint32_t)sc_random(120 + round, i);
            sc_bytes_put_bytes(first, bytes, level, got + corner);
            sc_bytes_put_words(first, v, level, words + corner);
            sc_bytes_put_same(v[0], level, same + corner);
            for (uint64_t d = 0; d < SC_BYTE_GROUP; d++) {
                uint64_t x, y, px, py;
                unsigned state = first, point = first;
                sc_curve_point(4, d, &x, &y, &state);
                sc_bytes_point(d, &px, &py, &point);
                wrong += px != x || py != y || point != state;
                const size_t at = corner + y * SC_SCENE_TILE + x;
                wrong +=
                    got[at] != sc_bits_of((float)bytes[d]) || words[at] != v[d] || same[at] != v[0];
                got[at] = words[at] = same[at] = UINT32_C(0xeeeeeeee);
            }
            for (size_t i = 0; i < 3 * (size_t)ROWS * SC_SCENE_TILE; i++)
                wrong += got[i] != UINT32_C(0xeeeeeeee);
            CHECK_U64(wrong, 0);
        }
    free(got);
}

/* Plane main by its definition: the first class that most are of, the rounded mean of its bytes. */
static uint32_t main_slowly(const struct sc_byte_sum *s)
{
    unsigned best = 0;
    for (unsigned k = 1; k < SC_BYTE_CLASSES; k++)
        best = s->count[k] > s->count[best] ? k : best;
    if (best == SC_BYTE_ZERO || best == SC_BYTE_FULL)
        return sc_bits_of(best == SC_BYTE_ZERO ? 0.0F : 255.0F);
    uint64_t mean = 0; /* the whole number nearest to the mean, the larger of two */
    while (2 * s->sum[best - SC_BYTE_CONTROL] >= (2 * mean + 1) * s->count[best])
        mean++;
    if (best == SC_BYTE_CONTROL && mean > 31)
        mean = mean - 31 < 127 - mean ? 31 : 127;
    return sc_bits_of((float)mean);
}

TEST(runs_are_counted_as_single_bytes_are)
{
    enum { MOST = SC_BYTE_RUNS * 256 };
    uint8_t *p = malloc(MOST + 1);
    uint32_t got[SC_BYTE_RUNS];
    CHECK(p);
    for (uint64_t round = 0; p && round < 96; round++) {
        const unsigned log4 = 1 + (unsigned)(round / 6 % 4);
        const size_t each = (size_t)1 << 2 * log4;
        const size_t n = round % 5 ? SC_BYTE_RUNS : sc_random(9, round) % SC_BYTE_RUNS;
        uint8_t *at = p + round % 2;
        for (size_t i = 0; i < n; i++)
            fill(round % 7 ? round : round + i, at + i * each, each);
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++)
            for (enum sc_plane plane = 0; plane < SC_PLANES_ALL; plane++) {
                if (!sc_plane_suits(plane, SC_SHOWS_BYTES) || plane == SC_PLANE_ENTROPY)
                    continue;
                size_t wrong = 0;
                sc_byte_pixels(at, n, log4, plane, level, got);
                for (size_t i = 0; i < n; i++) {
                    const struct sc_byte_sum s = slowly(at + i * each, each);
                    wrong += got[i] != sc_byte_pixel(&s, plane);
                    wrong += plane == SC_PLANE_MAIN && got[i] != main_slowly(&s);
                }
                CHECK_U64(wrong, 0);
            }
    }
    free(p);
}

/* ----------------------------------------------------------------------------------- pictures */

static const _Atomic int never;

static struct sc_source *memory_of(const uint8_t *p, size_t n)
{
    struct sc_source *s = NULL;
    CHECK_OK(sc_memory_open(p, n, "memory", &s, NULL));
    return s;
}

TEST(positions_files_and_parts)
{
    enum { N = 3000 };
    static uint8_t p[N];
    for (size_t i = 0; i < N; i++)
        p[i] = (uint8_t)sc_random(9, i);
    struct sc_source *s = memory_of(p, N);
    const uint64_t shape = 10;
    const struct sc_byte_file files[] = {{"a", 1000, s}, {"empty", 0, s}, {"b", 2000, s}};
    const struct sc_byte_part parts[] = {{"x", "U8", &shape, 10, 20, 0, 1, 1},
                                         {"none", "U8", &shape, 40, 0, 0, 1, 1},
                                         {"y", "U8", &shape, 40, 5, 2, 1, 1}};
    struct sc_pool *pool;
    struct sc_bytes *b = NULL;
    CHECK_OK(sc_pool_new(2, &pool, NULL));
    const struct sc_bytes_options o = {.pool = pool, .memory = 1 << 20, .cancel = &never};
    CHECK_OK(sc_bytes_new("three", files, 3, parts, 3, &o, &b, NULL));
    CHECK_U64(sc_bytes_total(b), 3000);
    CHECK_U64(sc_bytes_order(b), 6); /* one square of 64 x 64, as two of 32 hold 2048 */
    CHECK_U64(sc_bytes_scene(b)->n_places, 1);
    CHECK_U64(sc_bytes_file_at(b, 999), 0);
    CHECK_U64(sc_bytes_file_at(b, 1000), 2);
    CHECK_U64(sc_bytes_part_at(b, 9), SIZE_MAX);
    CHECK_U64(sc_bytes_part_at(b, 10), 0);
    CHECK_U64(sc_bytes_part_at(b, 29), 0);
    CHECK_U64(sc_bytes_part_at(b, 30), SIZE_MAX);
    CHECK_U64(sc_bytes_part_at(b, 1044), 2);
    CHECK_U64(sc_bytes_at(b, 0, 1, 1), 2);
    CHECK_OK(sc_bytes_build(b, NULL));
    struct sc_byte_counts c;
    sc_bytes_count(b, 0, 3000, &c);
    CHECK_U64(c.bytes, 3000);
    uint64_t epoch;
    CHECK(sc_bytes_progress(b, &epoch) >= 1);
    sc_bytes_free(b);
    sc_pool_free(pool);
    sc_source_close(s);
}

TEST(what_is_too_much_or_nothing)
{
    struct sc_pool *pool;
    struct sc_bytes *b = NULL;
    CHECK_OK(sc_pool_new(1, &pool, NULL));
    const struct sc_bytes_options o = {.pool = pool, .memory = 1 << 20, .cancel = &never};
    const struct sc_byte_file large[] = {{"a", SC_BYTES_MOST, NULL}, {"b", 1, NULL}};
    CHECK(sc_bytes_new("l", large, 2, NULL, 0, &o, &b, NULL) == SCRUPLE_ELIMIT);
    const struct sc_byte_file none[] = {{"a", 0, NULL}};
    CHECK(sc_bytes_new("n", none, 1, NULL, 0, &o, &b, NULL) == SCRUPLE_EFORMAT);
    /* as large as can be: nothing is read, nothing large is allocated */
    CHECK_OK(sc_bytes_new("l", large, 1, NULL, 0, &o, &b, NULL));
    struct sc_tile *t = malloc(sizeof *t);
    *t = (struct sc_tile){.z = sc_bytes_scene(b)->top, .plane = SC_PLANE_MAIN};
    CHECK_OK(sc_bytes_tiles(b, t, 1, 0, NULL));
    CHECK(t->flags & SC_TILE_MISSING);
    CHECK_U64(t->pixels[0], SC_PIXEL_UNKNOWN);
    t->plane = SC_PLANE_RMS;
    CHECK(sc_bytes_tiles(b, t, 1, 0, NULL) == SCRUPLE_EUSAGE);
    free(t);
    sc_bytes_free(b);
    sc_pool_free(pool);
}
