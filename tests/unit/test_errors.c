/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of errors: the same bits on every level, and near to sums in double that are written out
 * here. */
#include "kernel/kernel.h"

#include "test.h"

#include <stdlib.h>

enum { MOST = 512, STRIDE = 520 };

static uint64_t state = 1;
static double uniform(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 40) * 0x1p-24;
}

struct sample {
    float x[SC_ERROR_ROWS * STRIDE], y[SC_ERROR_ROWS * STRIDE];
};

/* Kinds: 0 normal-like, 1 rounded to quarters (zeros, ties), 2 all the same, 3 wild scales. */
static void fill(struct sample *s, int kind)
{
    for (size_t i = 0; i < SC_COUNT(s->x); i++) {
        const double v = (uniform() - 0.5) * (kind == 3 ? exp2(floor(uniform() * 60) - 30) : 2);
        s->x[i] = kind == 2 ? 0.0F : (float)v;
        s->y[i] = kind == 1   ? (float)(rint(4 * v) / 4)
                  : kind == 2 ? 0.0F
                              : (float)(v * (1 + (uniform() - 0.5) / 8));
    }
}

struct result {
    struct sc_error_sums sums[MOST / SC_ERROR_COLUMNS + 1];
    struct sc_block_errors e;
    uint32_t tail[SC_ERROR_ROWS * MOST + 16];
    double columns[MOST];
};

static struct sc_error_block block_of(struct sample *s, struct result *r, size_t rows, size_t n,
                                      int flags)
{
    memset(r, 0, sizeof *r);
    r->e.sums = r->sums;
    r->e.columns = flags & 4 ? r->columns : NULL;
    return (struct sc_error_block){.x = flags & 1 ? s->x : NULL,
                                   .y = s->y,
                                   .x_stride = STRIDE,
                                   .y_stride = STRIDE,
                                   .rows = rows,
                                   .n = n,
                                   .above = 0x3d000000,
                                   .common = flags & 16 ? 0x3d100000 : 0,
                                   .tail = flags & 2 ? r->tail : NULL,
                                   .relative = (flags & 8) != 0};
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void check_equal(struct result *a, struct result *b, size_t n)
{
    for (size_t i = 0; i < n / SC_ERROR_COLUMNS; i++) {
        CHECK_BITS(&a->sums[i].d, &b->sums[i].d, sizeof(double));
        CHECK_BITS(&a->sums[i].abs, &b->sums[i].abs, sizeof(double));
        CHECK_BITS(&a->sums[i].square, &b->sums[i].square, sizeof(double));
        CHECK_BITS(&a->sums[i].values, &b->sums[i].values, sizeof(double));
        CHECK_BITS(&a->sums[i].cross, &b->sums[i].cross, sizeof(double));
        CHECK_U64(a->sums[i].most, b->sums[i].most);
    }
    CHECK_BITS(a->e.row_square, b->e.row_square, sizeof a->e.row_square);
    CHECK_BITS(&a->e.relative, &b->e.relative, sizeof a->e.relative);
    CHECK_U64(a->e.most, b->e.most);
    CHECK_U64(a->e.zeros, b->e.zeros);
    CHECK_U64(a->e.tail, b->e.tail);
    CHECK_U64(a->e.common, b->e.common);
    qsort(a->tail, a->e.tail, sizeof *a->tail, compare);
    qsort(b->tail, b->e.tail, sizeof *b->tail, compare);
    CHECK_BITS(a->tail, b->tail, SC_MIN(a->e.tail, b->e.tail) * sizeof *a->tail);
    CHECK_BITS(&a->e.min, &b->e.min, sizeof a->e.min);
    CHECK_BITS(&a->e.max, &b->e.max, sizeof a->e.max);
    CHECK_BITS(a->columns, b->columns, sizeof a->columns);
}

/* What is wanted when nothing but sums is: the bits of the same sums beside all else. */
static void check_only_sums(const struct sc_error_block *whole, const struct result *want,
                            enum sc_cpu level)
{
    static struct result got;
    struct sc_error_block b = *whole;
    memset(&got, 0, sizeof got);
    got.e.sums = got.sums;
    b.only_sums = true;
    b.relative = false;
    b.tail = NULL;
    sc_errors(&b, level, &got.e);
    CHECK_BITS(got.sums, want->sums, sizeof got.sums);
    CHECK_U64(got.e.most, want->e.most);
    CHECK_BITS(&got.e.min, &want->e.min, sizeof got.e.min);
    CHECK_BITS(&got.e.max, &want->e.max, sizeof got.e.max);
}

TEST(all_levels_give_the_same_bits)
{
    static struct sample s;
    static struct result c, simd;
    for (int kind = 0; kind < 4; kind++)
        for (int flags = 0; flags < 32; flags++)
            for (size_t rows = 1; rows <= SC_ERROR_ROWS; rows += rows < 4 ? 1 : 4)
                for (size_t n = 0; n <= MOST; n += n < 96 ? 32 : 416) {
                    fill(&s, kind);
                    struct sc_error_block b = block_of(&s, &c, rows, n, flags);
                    sc_errors(&b, SC_CPU_C, &c.e);
                    for (int level = SC_CPU_AVX2; level <= (int)sc_cpu_level(); level++) {
                        b = block_of(&s, &simd, rows, n, flags);
                        sc_errors(&b, (enum sc_cpu)level, &simd.e);
                        check_equal(&c, &simd, n);
                        check_only_sums(&b, &c, (enum sc_cpu)level);
                    }
                }
}

TEST(sums_of_bf16_values)
{
    static struct sample s;
    static struct result c, simd;
    for (int kind = 0; kind < 5; kind++)
        for (size_t rows = 1; rows <= SC_ERROR_ROWS; rows += rows < 4 ? 1 : 7)
            for (size_t n = 0; n <= MOST; n += n < 96 ? 32 : 416) {
                double sum = 0, square = 0, abs = 0, most = 0;
                fill(&s, kind);
                for (size_t i = 0; i < SC_COUNT(s.y); i++) {
                    uint32_t bits;
                    memcpy(&bits, &s.y[i], sizeof bits);
                    bits &= 0xffff0000;
                    memcpy(&s.y[i], &bits, sizeof bits);
                    s.y[i] = kind == 4 ? 1.0078125F : s.y[i];
                }
                struct sc_error_block b = block_of(&s, &c, rows, n, 4);
                b.brief = true;
                sc_errors(&b, SC_CPU_C, &c.e);
                for (int level = SC_CPU_AVX2; level <= (int)sc_cpu_level(); level++) {
                    b = block_of(&s, &simd, rows, n, 4);
                    b.brief = true;
                    sc_errors(&b, (enum sc_cpu)level, &simd.e);
                    check_equal(&c, &simd, n);
                    check_only_sums(&b, &c, (enum sc_cpu)level);
                }
                double of_sum = 0, of_square = 0, of_rows = 0;
                for (size_t i = 0; i < n / SC_ERROR_COLUMNS; i++) {
                    of_sum += c.sums[i].d;
                    of_square += c.sums[i].square;
                }
                for (size_t r = 0; r < rows; r++) {
                    of_rows += c.e.row_square[r];
                    for (size_t i = 0; i < n; i++) {
                        const double y = s.y[r * STRIDE + i];
                        sum += y;
                        abs += fabs(y);
                        square += y * y;
                        most = fmax(most, fabs(y));
                    }
                }
                const double near = kind == 4 ? 0 : 1e-6; /* nothing is lost of equal ones */
                CHECK(fabs(of_sum - sum) <= near * abs);
                CHECK(fabs(of_square - square) <= near * square);
                CHECK(fabs(of_rows - square) <= near * square);
                float largest;
                memcpy(&largest, &c.e.most, sizeof largest);
                CHECK_NEAR((double)largest, most, 0);
            }
    s.y[3] = NAN;
    struct sc_error_block b = block_of(&s, &c, 2, 32, 0);
    for (int level = SC_CPU_C; level <= (int)sc_cpu_level(); level++) {
        b.brief = true;
        sc_errors(&b, (enum sc_cpu)level, &c.e);
        CHECK(!sc_errors_good(c.e.most));
    }
}

/* Kinds of codes of short errors: 0 normal-like, 1 of one sign, 2 zeros and groups of zeros, 3 wild
 * scales inside of what is allowed, 4 infinitesimal ones among others, 5 a group that is too small,
 * 6 a value that is too large, 7 one that is not finite. */
static uint16_t short_code(size_t i, int kind)
{
    const double v = uniform() - 0.5, scale = exp2(floor(uniform() * 50) - 25);
    float x = (float)(kind == 3 ? v * scale : v);
    uint32_t bits;
    if (kind == 1)
        x = fabsf(x);
    if (kind == 2 && (i % 5 == 0 || i / 16 % 3 == 0))
        x = i % 2 ? 0.0F : -0.0F;
    if (kind == 4 && i % 7 == 3)
        x = (float)ldexp(v, -60 - (int)(i % 90));
    if (kind == 5 && i / 16 == 9)
        x = (float)ldexp(v, -41);
    if (kind == 6 && i == 70)
        x = 0x1p55F;
    if (kind == 7 && i == 100)
        x = NAN;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* Written down once more: which of 32 columns the lanes take, two each. */
static const uint8_t short_order[SC_ERROR_COLUMNS] = {0,  1,  16, 17, 2,  3,  18, 19, 4,  5,  20,
                                                      21, 6,  7,  22, 23, 8,  9,  24, 25, 10, 11,
                                                      26, 27, 12, 13, 28, 29, 14, 15, 30, 31};

TEST(codes_of_short_errors)
{
    enum { GAP = 6, N = SC_SHORT_COLUMNS };
    static uint8_t codes[SC_ERROR_ROWS * (2 * N + GAP)];
    static float x[SC_SHORT_VALUES], wide[SC_SHORT_VALUES];
    static uint16_t of_c[SC_SHORT_VALUES], got_x[SC_SHORT_VALUES];
    static uint32_t peaks[3][SC_SHORT_VALUES / 16];
    static struct result want, got;
    const size_t stride = 2 * N + GAP;
    for (int kind = 0; kind < 8; kind++)
        for (size_t rows = 2; rows <= SC_ERROR_ROWS; rows += rows < 6 ? 2 : 6) {
            double sums[N / SC_ERROR_COLUMNS][3] = {{0}};
            for (size_t i = 0; i < rows * N; i++) {
                const uint16_t code = short_code(i, kind);
                const uint32_t bits = (uint32_t)code << 16;
                double *of = sums[i % N / SC_ERROR_COLUMNS];
                codes[i / N * stride + i % N * 2] = (uint8_t)code;
                codes[i / N * stride + i % N * 2 + 1] = (uint8_t)(code >> 8);
                memcpy(&x[i], &bits, sizeof bits);
                of[0] += (double)x[i];
                of[1] += (double)x[i] * (double)x[i];
                of[2] += fabs((double)x[i]);
            }
            (void)sc_peaks(x, rows * N, 16, SC_CPU_C, peaks[0]);
            memset(&want, 0, sizeof want);
            want.e.sums = want.sums;
            const bool may = sc_errors_short_bf16(
                &(struct sc_short_codes){codes, NULL, stride, rows, of_c, NULL, peaks[1]}, SC_CPU_C,
                &want.e);
            CHECK_U64(may, kind < 5);
            if (!may)
                continue;
            CHECK_BITS(peaks[1], peaks[0], rows * N / 16 * sizeof **peaks);
            for (size_t i = 0; i < rows * N; i++) {
                const size_t tile = i - i % SC_ERROR_COLUMNS;
                CHECK_U64((uint32_t)of_c[i] << 16,
                          sc_bits_of(x[tile + short_order[i % SC_ERROR_COLUMNS]]));
            }
            for (size_t k = 0; k < SC_COUNT(sums); k++) {
                CHECK(fabs(want.sums[k].d - sums[k][0]) <= 4e-6 * sums[k][2]);
                CHECK(fabs(want.sums[k].square - sums[k][1]) <= 4e-6 * sums[k][1]);
                CHECK_BITS(&want.sums[k].values, &want.sums[k].square, sizeof(double));
            }
            float least = INFINITY, largest = -INFINITY;
            for (size_t i = 0; i < rows * N; i++) {
                least = SC_MIN(least, x[i]);
                largest = SC_MAX(largest, x[i]);
            }
            CHECK(want.e.min == least && want.e.max == largest);
            for (int level = SC_CPU_AVX2; level <= (int)sc_cpu_level(); level++) {
                memset(&got, 0, sizeof got);
                got.e.sums = got.sums;
                memset(peaks[2], 1, sizeof peaks[2]);
                CHECK(sc_errors_short_bf16(
                    &(struct sc_short_codes){codes, rows % 4 ? codes : NULL, stride, rows, got_x,
                                             rows % 3 ? wide : NULL, peaks[2]},
                    (enum sc_cpu)level, &got.e));
                if (rows % 3)
                    CHECK_BITS(wide, x, rows * N * sizeof *x);
                CHECK_BITS(got_x, of_c, rows * N * sizeof *got_x);
                CHECK_BITS(peaks[2], peaks[0], rows * N / 16 * sizeof **peaks);
                CHECK_BITS(got.sums, want.sums, sizeof got.sums);
                CHECK_BITS(&got.e.min, &want.e.min, sizeof got.e.min);
                CHECK_BITS(&got.e.max, &want.e.max, sizeof got.e.max);
                CHECK_U64(got.e.most, want.e.most);
            }
        }
    for (int kind = 5; kind < 8; kind++) /* what must not be short is so on all levels */
        for (int level = SC_CPU_AVX2; level <= (int)sc_cpu_level(); level++) {
            for (size_t i = 0; i < SC_SHORT_VALUES; i++) {
                const uint16_t code = short_code(i, kind);
                codes[i / N * stride + i % N * 2] = (uint8_t)code;
                codes[i / N * stride + i % N * 2 + 1] = (uint8_t)(code >> 8);
            }
            CHECK(!sc_errors_short_bf16(
                &(struct sc_short_codes){codes, NULL, stride, SC_ERROR_ROWS, got_x, wide, peaks[2]},
                (enum sc_cpu)level, &got.e));
        }
}

/* Codes as they are stored, with gaps between rows: the same as widening them first. */
TEST(bf16_codes_are_widened_and_added_up)
{
    enum { GAP = 3 };
    static struct sample s;
    static struct result want, got;
    static uint8_t codes[SC_ERROR_ROWS * (2 * MOST + GAP)];
    static float x[SC_ERROR_ROWS * MOST], y[SC_ERROR_ROWS * MOST];
    static uint32_t peaks[2][SC_ERROR_ROWS * MOST / 16 + 16];
    static const size_t widths[] = {32, 96, 128, 160, 512};
    for (int kind = 0; kind < 7; kind++)
        for (size_t k = 0; k < SC_COUNT(widths); k++)
            for (size_t rows = 1; rows <= SC_ERROR_ROWS; rows += rows < 4 ? 1 : 7) {
                const size_t n = widths[k], stride = 2 * n + GAP;
                fill(&s, kind % 4);
                for (size_t i = 0; i < rows * n; i++) {
                    uint32_t bits;
                    const float v = kind == 4              ? fabsf(s.y[i])
                                    : kind == 5            ? -fabsf(s.y[i]) - 1
                                    : kind == 6 && i == 37 ? INFINITY
                                                           : s.y[i];
                    memcpy(&bits, &v, sizeof bits);
                    bits &= 0xffff0000;
                    memcpy(&x[i], &bits, sizeof bits);
                    codes[i / n * stride + i % n * 2] = (uint8_t)(bits >> 16);
                    codes[i / n * stride + i % n * 2 + 1] = (uint8_t)(bits >> 24);
                }
                struct sc_error_block b = block_of(&s, &want, rows, n, 4);
                b.brief = true;
                b.y = x;
                b.y_stride = n;
                sc_errors(&b, SC_CPU_C, &want.e);
                (void)sc_peaks(x, rows * n, 16, SC_CPU_C, peaks[0]);
                for (int level = SC_CPU_C; level <= (int)sc_cpu_level(); level++) {
                    (void)block_of(&s, &got, rows, n, 4);
                    memset(y, 1, sizeof y);
                    memset(peaks[1], 1, sizeof peaks[1]);
                    sc_errors_bf16(codes, stride, rows, n, (enum sc_cpu)level,
                                   rows % 2 ? codes : NULL, false, y, peaks[1], &got.e);
                    CHECK_BITS(y, x, rows * n * sizeof *x);
                    CHECK_BITS(peaks[1], peaks[0], rows * n / 16 * sizeof **peaks);
                    for (size_t i = rows * n / 16; i % 16; i++)
                        CHECK_U64(peaks[1][i], 0);
                    CHECK_U64(sc_errors_good(got.e.most), sc_errors_good(want.e.most));
                    if (sc_errors_good(want.e.most))
                        check_equal(&want, &got, n);
                    (void)block_of(&s, &got, rows, n, 0);
                    memset(y, 1, sizeof y);
                    sc_errors_bf16(codes, stride, rows, n, (enum sc_cpu)level, NULL, true, y,
                                   peaks[1], &got.e);
                    CHECK_BITS(y, x, rows * n * sizeof *x);
                    CHECK_BITS(peaks[1], peaks[0], rows * n / 16 * sizeof **peaks);
                    CHECK_U64(sc_errors_good(got.e.most), sc_errors_good(want.e.most));
                    if (sc_errors_good(want.e.most))
                        CHECK_BITS(got.sums, want.sums, sizeof got.sums);
                }
            }
}

TEST(sums_are_near_to_those_in_double)
{
    static struct sample s;
    static struct result got, exact;
    uint64_t overflowed;
    for (int kind = 0; kind < 4; kind++) {
        double d = 0, abs = 0, square = 0, values = 0, cross = 0, row[SC_ERROR_ROWS] = {0},
               column[MOST] = {0}, most = 0;
        double relative = 0;
        uint64_t zeros = 0, hits = 0;
        fill(&s, kind);
        struct sc_error_block b = block_of(&s, &got, SC_ERROR_ROWS, MOST, 15);
        sc_errors(&b, sc_cpu_level(), &got.e);
        b = block_of(&s, &exact, SC_ERROR_ROWS, MOST, 15);
        sc_errors_exact(&b, &exact.e, &overflowed);
        CHECK_U64(overflowed, 0);
        for (size_t r = 0; r < SC_ERROR_ROWS; r++)
            for (size_t i = 0; i < MOST; i++) {
                const double x = s.x[r * STRIDE + i], y = s.y[r * STRIDE + i], e = y - x;
                d += e;
                abs += fabs(e);
                square += e * e;
                values += y * y;
                cross += x * e;
                row[r] += e * e;
                column[i] += e * e;
                most = fmax(most, fabs(e));
                zeros += y == 0;
                hits += (float)fabs(e) > 0.03125F;
                relative = x != 0 ? fmax(relative, fabs(e / x)) : relative;
            }
        for (int which = 0; which < 2; which++) {
            const struct result *g = which ? &exact : &got;
            const double near = which ? 1e-13 : 1e-6;
            double sums[5] = {0};
            for (size_t i = 0; i < MOST / SC_ERROR_COLUMNS; i++) {
                sums[0] += g->sums[i].d;
                sums[1] += g->sums[i].abs;
                sums[2] += g->sums[i].square;
                sums[3] += g->sums[i].values;
                sums[4] += g->sums[i].cross;
            }
            CHECK(fabs(sums[0] - d) <= near * abs);
            CHECK(fabs(sums[1] - abs) <= near * abs);
            CHECK(fabs(sums[2] - square) <= near * square);
            CHECK(fabs(sums[3] - values) <= near * values);
            CHECK(fabs(sums[4] - cross) <= near * sqrt(square * values) * 2 + near * square);
            for (size_t r = 0; r < SC_ERROR_ROWS; r++)
                CHECK(fabs(g->e.row_square[r] - row[r]) <= 2 * near * row[r]);
            for (size_t i = 0; i < MOST; i++)
                CHECK(fabs(g->columns[i] - column[i]) <= near * column[i]);
            float bound;
            memcpy(&bound, &g->e.most, sizeof bound);
            CHECK_NEAR((double)bound, most, 1e-7 * most);
            CHECK_NEAR((double)g->e.relative, relative, 1e-6);
            CHECK_U64(g->e.zeros, zeros);
            CHECK_U64(g->e.tail, hits);
            for (size_t i = 0; i < g->e.tail; i++)
                CHECK(g->tail[i] > 0x3d000000);
        }
    }
}

TEST(what_is_not_finite_is_left_out)
{
    float x[] = {1, NAN, 2, INFINITY, 0, 3}, y[] = {1.5F, 4, NAN, 5, 0, -INFINITY};
    struct sc_error_sums sums[1];
    struct sc_block_errors e = {.sums = sums};
    struct sc_error_block b = {.x = x, .y = y, .x_stride = 6, .y_stride = 6, .rows = 1, .n = 6};
    uint64_t overflowed;
    sc_errors_exact(&b, &e, &overflowed);
    CHECK_U64(overflowed, 2); /* of 2 and 3, which count as lost */
    CHECK_NEAR(sums[0].d, 0.5 - 2 - 3, 0);
    CHECK_NEAR(sums[0].square, 0.25 + 4 + 9, 0);
    CHECK_U64(e.zeros, 1);
    b.x = NULL;
    b.y = x;
    sc_errors_exact(&b, &e, &overflowed);
    CHECK_NEAR(sums[0].square, 1 + 4 + 9, 0);
    CHECK_U64(overflowed, 0);
    CHECK_NEAR((double)e.min, 0, 0);
    CHECK_NEAR((double)e.max, 3, 0);
}

TEST(sums_are_good_in_the_middle_of_the_range)
{
    const float good[] = {0, 0x1p-40F, 1, 0x1.fffffep54F};
    const float bad[] = {0x1p-41F, 0x1p55F, INFINITY, NAN, 0x1p-149F};
    uint32_t bits;
    for (size_t i = 0; i < SC_COUNT(good); i++) {
        memcpy(&bits, &good[i], sizeof bits);
        CHECK(sc_errors_good(bits));
    }
    for (size_t i = 0; i < SC_COUNT(bad); i++) {
        memcpy(&bits, &bad[i], sizeof bits);
        CHECK(!sc_errors_good(bits & INT32_MAX));
    }
}

TEST(extremes_are_of_what_is_finite)
{
    float x[200], min, max;
    for (int kind = 0; kind < 4; kind++)
        for (size_t n = 0; n <= SC_COUNT(x); n++) {
            float low = INFINITY, high = -INFINITY;
            for (size_t i = 0; i < n; i++) {
                const double u = uniform();
                x[i] = (float)(u - 0.5);
                if (kind & 1 && u < 0.1)
                    x[i] = NAN;
                if (kind & 2 && u > 0.95)
                    x[i] = u > 0.98 ? INFINITY : -INFINITY;
                if (isfinite(x[i])) {
                    low = fminf(low, x[i]);
                    high = fmaxf(high, x[i]);
                }
            }
            for (int level = SC_CPU_C; level <= (int)sc_cpu_level(); level++) {
                sc_extremes(x, n, (enum sc_cpu)level, &min, &max);
                CHECK_BITS(&min, &low, sizeof min);
                CHECK_BITS(&max, &high, sizeof max);
            }
        }
}

/* Of codes: with values of one sign, zeros of both, and what is not finite. */
TEST(extremes_of_bf16_codes)
{
    enum { N = 700 };
    static uint8_t codes[2 * N + 1];
    static float x[N];
    for (int kind = 0; kind < 8; kind++)
        for (size_t n = 0; n <= (size_t)N; n += n < 260 ? 1 : 55) {
            float want_min, want_max;
            for (size_t i = 0; i < n; i++) {
                double v = uniform() - 0.5;
                v = kind == 1 ? fabs(v) : kind == 2 ? -fabs(v) : v;
                v = kind == 3 && i == n / 2 ? (double)NAN : v;
                v = kind == 4 && i == n - 1 ? (double)-INFINITY : v;
                v = kind == 5 && i == 0 ? (double)INFINITY : v;
                v = kind == 6 ? (i % 3 ? 0.0 : -0.0) : v;
                v = kind == 7 ? (double)NAN : v;
                const uint32_t bits = sc_bits_of((float)v);
                codes[2 * i + 1] = (uint8_t)(bits >> 16); /* at an odd address */
                codes[2 * i + 2] = (uint8_t)(bits >> 24);
                x[i] = sc_float_of(bits & 0xffff0000);
            }
            sc_extremes(x, n, SC_CPU_C, &want_min, &want_max);
            for (int level = SC_CPU_C; level <= (int)sc_cpu_level(); level++) {
                float min, max;
                sc_extremes_bf16(codes + 1, n, (enum sc_cpu)level, &min, &max);
                CHECK_BITS(&min, &want_min, sizeof min);
                CHECK_BITS(&max, &want_max, sizeof max);
            }
        }
}
