/* SPDX-License-Identifier: Apache-2.0 */
/* Inner products: against long double, the same bits on every level and for every cut. */
#include <stdlib.h>

#include "kernel/dots.h"
#include "math/math.h"
#include "test.h"

enum { W_ROWS = 9, X_ROWS = 15, MOST = 2500 };
static const size_t lengths[] = {1, 7, 15, 16, 17, 33, 1023, 1024, 1025, 2048 + 19, MOST};

static float number(uint64_t seed, uint64_t i)
{
    const int64_t v = (int64_t)(sc_random(seed, i) >> 40) - (1 << 23);
    return (float)v / (1 << 20);
}

static float w[W_ROWS * MOST], x[X_ROWS * MOST];
static uint16_t codes[W_ROWS * MOST];
static float y[3][W_ROWS * X_ROWS];

static void fill(void)
{
    for (size_t i = 0; i < W_ROWS * MOST; i++) {
        codes[i] = (uint16_t)(sc_bits_of(number(1, i)) >> 16);
        w[i] = sc_float_of((uint32_t)codes[i] << 16);
    }
    for (size_t i = 0; i < X_ROWS * MOST; i++)
        x[i] = number(2, i);
}

static struct sc_dots dots(size_t n, float *out)
{
    return (struct sc_dots){.w = w,
                            .x = x,
                            .y = out,
                            .w_stride = MOST,
                            .x_stride = MOST,
                            .y_stride = W_ROWS,
                            .n_w = W_ROWS,
                            .n_x = X_ROWS,
                            .n = n};
}

TEST(they_are_inner_products)
{
    fill();
    for (size_t l = 0; l < SC_COUNT(lengths); l++) {
        const size_t n = lengths[l];
        struct sc_dots d = dots(n, y[0]);
        sc_dots(&d, SC_CPU_C);
        for (size_t t = 0; t < X_ROWS; t++)
            for (size_t r = 0; r < W_ROWS; r++) {
                long double sum = 0, size = 0;
                for (size_t k = 0; k < n; k++) {
                    sum += (long double)w[r * MOST + k] * (long double)x[t * MOST + k];
                    size += fabsl((long double)w[r * MOST + k] * (long double)x[t * MOST + k]);
                }
                CHECK(fabsl((long double)y[0][t * W_ROWS + r] - sum) <= 1e-6L * size);
            }
    }
}

TEST(every_level_gives_the_same_bits)
{
    fill();
    for (size_t l = 0; l < SC_COUNT(lengths); l++)
        for (int level = SC_CPU_C; level <= (int)sc_cpu_level(); level++) {
            struct sc_dots d = dots(lengths[l], y[0]);
            sc_dots(&d, SC_CPU_C);
            d.y = y[1];
            sc_dots(&d, (enum sc_cpu)level);
            CHECK(memcmp(y[0], y[1], sizeof y[0]) == 0);
            d.y = y[2];
            sc_dots_bf16(&d, codes, (enum sc_cpu)level);
            CHECK(memcmp(y[0], y[2], sizeof y[0]) == 0);
        }
}

/* Rows that are packed, on every level that packs them, for every number of rows that makes another
 * kind of tile. */
TEST(packed_rows_give_the_same_bits)
{
    enum { MOST_X = 300, LONG = 1024 + 45 };
    static const size_t counts[] = {1, 16, 17, 33, 63, 64, 65, 90, 100, 257, MOST_X};
    static const size_t long_[] = {1, 5, 16, 31, 1024, LONG};
    float *many = malloc(MOST_X * LONG * sizeof *many),
          *packed = malloc(320 * 1088 * sizeof *packed);
    float *out[2] = {calloc(MOST_X * 55, sizeof(float)), calloc(MOST_X * 55, sizeof(float))};
    uint16_t *bits = malloc(55 * LONG * sizeof *bits);
    float *scratch = malloc(SC_DOTS_SCRATCH * sizeof *scratch);
    float *floats = malloc(55 * LONG * sizeof *floats);

    for (size_t i = 0; i < MOST_X * LONG; i++)
        many[i] = number(3, i);
    for (size_t i = 0; i < 55 * LONG; i++) {
        bits[i] = (uint16_t)(sc_bits_of(number(4, i)) >> 16);
        floats[i] = sc_float_of((uint32_t)bits[i] << 16);
    }
    for (int level = SC_CPU_C; level <= (int)sc_cpu_level(); level++)
        for (size_t c = 0; c < SC_COUNT(counts); c++)
            for (size_t l = 0; l < SC_COUNT(long_); l++) {
                struct sc_dots d = {.w = floats,
                                    .x = many,
                                    .y = out[0],
                                    .w_stride = LONG,
                                    .x_stride = LONG,
                                    .y_stride = 55,
                                    .n_w = c % 2 ? 55 : 7,
                                    .n_x = counts[c],
                                    .n = long_[l]};
                const size_t room = sc_dots_packed(d.n_x, d.n, (enum sc_cpu)level);
                CHECK(room <= 320 * 1088);
                CHECK(level == SC_CPU_C || d.n_x == 1 ? room == 0 : d.n_x < 64 || room > 0);
                if (!room)
                    continue;
                sc_dots(&d, (enum sc_cpu)level); /* proven above to be those of C */
                for (size_t i = 0; i < room; i++)
                    packed[i] = NAN; /* padding must not matter */
                for (size_t g = 0; g * SC_DOTS_GROUP < d.n_x; g++)
                    sc_dots_pack(many, LONG, d.n_x, d.n, g, packed, (enum sc_cpu)level);
                d.packed = packed;
                d.scratch = scratch;
                d.y = out[1];
                sc_dots(&d, (enum sc_cpu)level);
                CHECK(memcmp(out[0], out[1], MOST_X * 55 * sizeof(float)) == 0);
                memset(out[1], 0, MOST_X * 55 * sizeof(float));
                sc_dots_bf16(&d, bits, (enum sc_cpu)level);
                CHECK(memcmp(out[0], out[1], MOST_X * 55 * sizeof(float)) == 0);
                memset(out[0], 0, MOST_X * 55 * sizeof(float));
                memset(out[1], 0, MOST_X * 55 * sizeof(float));
            }
    free(many);
    free(packed);
    free(scratch);
    free(out[0]);
    free(out[1]);
    free(bits);
    free(floats);
}

TEST(one_row_alone_has_the_bits_of_many)
{
    fill();
    for (size_t l = 0; l < SC_COUNT(lengths); l++) {
        struct sc_dots d = dots(lengths[l], y[0]);
        sc_dots(&d, sc_cpu_level());
        for (size_t t = 0; t < X_ROWS; t++)
            for (size_t r = 0; r < W_ROWS; r++) {
                const float one = sc_dot(w + r * MOST, x + t * MOST, lengths[l], sc_cpu_level());
                CHECK_U64(sc_bits_of(one), sc_bits_of(y[0][t * W_ROWS + r]));
            }
    }
}

TEST(nothing_gives_zero)
{
    struct sc_dots d = dots(0, y[0]);
    y[0][3] = 5;
    sc_dots(&d, sc_cpu_level());
    CHECK(y[0][3] == 0);
}

TEST(a_row_times_a_number_is_added)
{
    fill();
    for (int level = SC_CPU_C; level <= (int)sc_cpu_level(); level++)
        for (size_t n = 0; n < 40; n++) {
            float a[40], b[40];
            memcpy(a, w, sizeof a);
            memcpy(b, w, sizeof b);
            for (size_t i = 0; i < n; i++)
                a[i] = fmaf(0.3F, x[i], a[i]);
            sc_axpy(0.3F, x, n, b, (enum sc_cpu)level);
            CHECK(memcmp(a, b, sizeof a) == 0);
        }
}
