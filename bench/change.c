/* SPDX-License-Identifier: Apache-2.0 */
/* change: what the numbers of a diff cost, in one thread, against looking at memory.
 *
 *   change [RUNS]
 *
 * Tab-separated lines: what is compared, then for plain C, AVX2 and AVX-512 the GB/s of both sides
 * together, in seconds of the processor (0: not on this one). The last line: GB/s of adding up
 * memory, in turns with the others. */
#include "analyze/change_sums.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 32 << 20, CHUNK = 1 << 16, LEVELS = 3 };

struct pair {
    const char *what;
    const uint8_t *a, *b;
    size_t bytes; /* of a value */
};

static uint64_t state = 1;

static uint32_t next(void)
{
    state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)(z >> 32);
}

static double compare(const struct pair *p, enum sc_cpu level, double *sink)
{
    const struct sc_change_half half = {sc_decoder(sc_codec_find(sc_strz("BF16")), level), 0x7f80};
    struct sc_change_sums s;
    const double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);

    for (size_t i = 0; i < VALUES; i += CHUNK) {
        const uint8_t *a = p->a + i * p->bytes, *b = p->b + i * p->bytes;
        if (p->bytes == 2)
            sc_change_sums16(&half, a, b, CHUNK, level, &s);
        else
            sc_change_sums((const float *)(const void *)a, (const float *)(const void *)b, CHUNK,
                           level, &s);
        *sink += s.dd;
    }
    return 2e-9 * (double)(VALUES * p->bytes) / (seconds_of(CLOCK_THREAD_CPUTIME_ID) - start);
}

int main(int argc, char **argv)
{
    const int runs = argc > 1 ? atoi(argv[1]) : 5;
    uint16_t *a = malloc(VALUES * sizeof *a), *b = malloc(VALUES * sizeof *b),
             *c = malloc(VALUES * sizeof *c);
    float *f = malloc(VALUES / 2 * 2 * sizeof *f), *g = malloc(VALUES * sizeof *g);
    double sink = 0, read = 0, best[4][LEVELS] = {{0}};
    uint64_t sum = 0;

    if (!a || !b || !c || !f || !g)
        return 1;
    for (size_t i = 0; i < VALUES; i++) {
        const uint32_t x = next();
        a[i] = (uint16_t)(0x3c00 + (x & 0x3ff)) | (uint16_t)(x >> 16 & 0x8000);
        b[i] = (uint16_t)(a[i] + 1 + (x >> 28 & 3));
        c[i] = i / CHUNK % 2 ? a[i] : b[i];
        f[i] = sc_bf16_value(a[i]);
        g[i] = sc_bf16_value(b[i]);
    }
    const struct pair pairs[] = {
        {"BF16, all changed", (const uint8_t *)a, (const uint8_t *)b, 2},
        {"BF16, half changed", (const uint8_t *)a, (const uint8_t *)c, 2},
        {"BF16, the same", (const uint8_t *)a, (const uint8_t *)a, 2},
        {"F32, all changed", (const uint8_t *)f, (const uint8_t *)g, 4},
    };
    for (int run = 0; run < runs; run++)
        for (size_t i = 0; i < SC_COUNT(pairs); i++) {
            for (enum sc_cpu level = SC_CPU_C; level <= sc_cpu_level(); level++) {
                const double speed = compare(&pairs[i], level, &sink);
                best[i][level] = SC_MAX(best[i][level], speed);
            }
            const double speed = read_once(&sum);
            read = SC_MAX(read, speed);
        }
    for (size_t i = 0; i < SC_COUNT(pairs); i++)
        printf("%s\t%.3f\t%.3f\t%.3f\n", pairs[i].what, best[i][0], best[i][1], best[i][2]);
    printf("%.3f\n", read + 0 * (sink + (double)sum));
    free(a);
    free(b);
    free(c);
    free(f);
    free(g);
    return 0;
}
