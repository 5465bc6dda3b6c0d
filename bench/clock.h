/* SPDX-License-Identifier: Apache-2.0 */
/* clock: what the programs that measure share. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* Seconds of a clock. */
static inline double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double now(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

/* What reaches the processor when a program only looks at memory: one pass over 256 MB in GB/s, 0
 * without memory. The sum makes the compiler compute it. */
static inline double read_once(uint64_t *sum)
{
    static uint64_t *p;
    const size_t n = (size_t)32 << 20;
    uint64_t s[8] = {0};
    if (!p) {
        p = malloc(n * sizeof *p);
        for (size_t i = 0; p && i < n; i++)
            p[i] = i;
    }
    if (!p)
        return 0;
    const double start = now();
    for (size_t i = 0; i < n; i += 8)
        for (size_t k = 0; k < 8; k++)
            s[k] += p[i + k];
    const double seconds = now() - start;
    for (size_t k = 0; k < 8; k++)
        *sum += s[k];
    return (double)(n * sizeof *p) / seconds * 1e-9;
}

#endif
