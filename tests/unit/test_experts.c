/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over a row of an expert: against long double, and the same bits at every level. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/experts_parts.h"
#include "math/math.h"

enum { MOST = 5000 };

/* Values of many sizes, some of them zeros of both signs. */
static float value(uint64_t round, size_t i)
{
    const uint64_t r = sc_random(round, i);
    const double x = ldexp((double)(r >> 40) - 8388608, -34 + (int)(r % 23));

    return r >> 8 & 15 ? (float)x : (r & 128 ? -0.0F : 0.0F);
}

TEST(rows_of_experts_are_summed)
{
    float *x = malloc(MOST * sizeof *x);
    const float eps = 1e-6F;

    REQUIRE(x);
    for (uint64_t round = 0; round < 60; round++) {
        const size_t n = round < 20 ? round : sc_random(99, round) % (MOST + 1);
        long double abs = 0, square = 0;
        uint64_t small = 0, zeros = 0;
        float most = 0;
        struct sc_expert_sums first = {0};
        for (size_t i = 0; i < n; i++) {
            x[i] = value(round, i);
            abs += fabsl((long double)x[i]);
            square += (long double)x[i] * (long double)x[i];
            small += fabsf(x[i]) < eps;
            zeros += x[i] == 0;
            most = fmaxf(most, fabsf(x[i]));
        }
        for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
            struct sc_expert_sums s;
            sc_expert_sums(x, n, sc_bits_of(eps), level, &s);
            CHECK(fabsl((long double)s.abs - abs) <= 1e-14L * abs);
            CHECK(fabsl((long double)s.square - square) <= 1e-14L * square);
            CHECK_U64(s.small, small);
            CHECK_U64(s.zeros, zeros);
            CHECK_U64(s.most, sc_bits_of(most));
            if (level == SC_CPU_C)
                first = s;
            CHECK(memcmp(&s.abs, &first.abs, sizeof s.abs) == 0);
            CHECK(memcmp(&s.square, &first.square, sizeof s.square) == 0);
        }
    }
    free(x);
}

TEST(rows_with_nan_or_infinity_are_noticed)
{
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY};
    float x[67];

    for (size_t k = 0; k < SC_COUNT(odd); k++)
        for (size_t at = 0; at < SC_COUNT(x); at++)
            for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
                struct sc_expert_sums s;
                for (size_t i = 0; i < SC_COUNT(x); i++)
                    x[i] = i == at ? odd[k] : 1;
                sc_expert_sums(x, SC_COUNT(x), UINT32_MAX, level, &s);
                CHECK(s.most >= 0x7f800000);
                CHECK_U64(s.small, SC_COUNT(x));
            }
}
