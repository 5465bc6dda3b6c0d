/* SPDX-License-Identifier: Apache-2.0 */
/* magnitudes: how often values of each size occur, for the quantile at which colours end. */
#include "picture/pyramid.h"

#include <math.h>

/* Below so many elements all are counted; of larger tensors one run of 64 in 2, 4, ... 32. */
enum { ALL_LOG2 = 18, RUN_LOG2 = 6, RAREST_LOG2 = 5, COUNTER_LOG2 = 31 };

unsigned sc_magnitudes_rate(uint64_t n)
{
    unsigned log2 = 0;
    while (log2 < 63 && n >> (log2 + 1))
        log2++;
    const unsigned rate = log2 > ALL_LOG2 ? SC_MIN(log2 - ALL_LOG2, (unsigned)RAREST_LOG2) : 0;
    return log2 >= COUNTER_LOG2 + rate ? log2 + 1 - COUNTER_LOG2 : rate; /* none overflows */
}

static void take(struct sc_magnitudes *m, const float *x, size_t n)
{
    uint32_t finite = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits = (bits & 0x7fffffff) >> SC_MAGNITUDE_SHIFT;
        m->of[bits]++;
        finite += bits < SC_MAGNITUDES;
    }
    m->n += finite;
}

/* Which of the runs that stand for a group is counted: another one in each, so that no column is
 * left out. */
static uint64_t chosen(uint64_t group, unsigned rate)
{
    const uint64_t mixed = (group + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return rate ? mixed >> (64 - rate) : 0;
}

void sc_magnitudes_take(struct sc_magnitudes *m, unsigned rate, uint64_t first, const float *x,
                        uint64_t n)
{
    const unsigned log2 = RUN_LOG2 + rate;
    const uint64_t end = first + n;
    if (rate == 0) {
        take(m, x, (size_t)n);
        return;
    }
    for (uint64_t group = first >> log2; group << log2 < end; group++) {
        const uint64_t run = (group << log2) + (chosen(group, rate) << RUN_LOG2);
        const uint64_t from = SC_MAX(run, first), to = SC_MIN(run + (1U << RUN_LOG2), end);
        if (from < to)
            take(m, x + (from - first), (size_t)(to - from));
    }
}

void sc_magnitudes_join(struct sc_magnitudes *to, const struct sc_magnitudes *from)
{
    for (size_t i = 0; i < SC_MAGNITUDES; i++)
        to->of[i] += from->of[i];
    to->n += from->n;
}

float sc_magnitudes_robust(const struct sc_magnitudes *m)
{
    const uint64_t most = m->n / 1000;
    uint64_t above = 0;
    float x = 0;
    for (uint32_t i = SC_MAGNITUDES; i-- > 0 && above <= most;) {
        const uint32_t bits = i << SC_MAGNITUDE_SHIFT;
        above += m->of[i];
        memcpy(&x, &bits, sizeof x);
    }
    return above > most ? x : 0;
}
