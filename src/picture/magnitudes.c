/* SPDX-License-Identifier: Apache-2.0 */
/* magnitudes: how often values of each size occur, for the quantile at which colours end.
 *
 * Only the largest thousandth matters. As soon as more than that many of all values that will come
 * are known to be no smaller than some step, nothing below this step is counted any more: what is
 * left of most values is one comparison, and the result is the same. */
#include "picture/pyramid.h"

/* Below 2^20 elements all are counted; of larger tensors one run of 64 in 2, 4, ... 16. */
enum { ALL_LOG2 = 19, RUN_LOG2 = 6, RAREST_LOG2 = 4, COUNTER_LOG2 = 31, TOGETHER = 16 };

unsigned sc_magnitudes_rate(uint64_t n)
{
    unsigned log2 = 0;
    while (log2 < 63 && n >> (log2 + 1))
        log2++;
    const unsigned rate = log2 > ALL_LOG2 ? SC_MIN(log2 - ALL_LOG2, (unsigned)RAREST_LOG2) : 0;
    return log2 >= COUNTER_LOG2 + rate ? log2 + 1 - COUNTER_LOG2 : rate; /* none overflows */
}

void sc_magnitudes_start(struct sc_magnitudes *m, uint64_t n, unsigned rate)
{
    memset(m, 0, sizeof *m);
    m->most = ((n >> rate) + (rate ? UINT64_C(1) << RUN_LOG2 : 0)) / 1000;
}

static uint32_t magnitude(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

static void count(struct sc_magnitudes *m, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (magnitude(x[i]) >= m->least) {
            m->of[magnitude(x[i]) >> SC_MAGNITUDE_SHIFT]++;
            m->fresh++;
        }
}

/* The first group of 16 in which something is to be counted. */
static size_t skip(const float *x, size_t n, uint32_t least, enum sc_cpu level)
{
    size_t i = 0;
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX2)
        return sc_magnitudes_skip_avx2(x, n, least);
#else
    (void)level;
#endif
    for (; i + TOGETHER <= n; i += TOGETHER)
        for (size_t k = 0; k < TOGETHER; k++)
            if (magnitude(x[i + k]) >= least)
                return i;
    return i;
}

static void take(struct sc_magnitudes *m, const float *x, size_t n, enum sc_cpu level)
{
    for (size_t i = 0; i < n; i += TOGETHER) {
        i += skip(x + i, n - i, m->least, level);
        count(m, x + i, SC_MIN(n - i, (size_t)TOGETHER));
    }
    m->n += n;
}

/* The step at which more than `most` values are no smaller. */
static uint32_t step_of(const struct sc_magnitudes *m, uint64_t most)
{
    uint64_t above = 0;
    for (uint32_t i = SC_MAGNITUDES; i-- > 0;) {
        above += m->of[i];
        if (above > most)
            return i;
    }
    return 0;
}

/* Which of the runs that stand for a group is counted: another one in each, so that no column is
 * left out. */
static uint64_t chosen(uint64_t group, unsigned rate)
{
    const uint64_t mixed = (group + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return rate ? mixed >> (64 - rate) : 0;
}

/* Floats, or codes. */
struct source {
    const float *x;
    const uint8_t *codes;
};

/* Values from..to of a source. */
static void take_run(struct sc_magnitudes *m, const struct source *s, uint64_t from, uint64_t to,
                     enum sc_cpu level)
{
    float x[1 << RUN_LOG2];
    if (s->x) {
        take(m, s->x + from, (size_t)(to - from), level);
        return;
    }
    for (size_t n; from < to; from += n) {
        const uint8_t *const p = s->codes + 2 * from;
        n = (size_t)SC_MIN(to - from, (uint64_t)SC_COUNT(x));
        for (size_t i = 0; i < n; i++)
            x[i] = sc_bf16_value(sc_le16(p + 2 * i));
        take(m, x, n, level);
    }
}

static void take_some(struct sc_magnitudes *m, unsigned rate, uint64_t first,
                      const struct source *s, uint64_t n, enum sc_cpu level)
{
    const unsigned log2 = RUN_LOG2 + rate;
    const uint64_t end = first + n;
    if (rate == 0)
        take_run(m, s, 0, n, level);
    for (uint64_t group = first >> log2; rate > 0 && group << log2 < end; group++) {
        const uint64_t run = (group << log2) + (chosen(group, rate) << RUN_LOG2);
        const uint64_t from = SC_MAX(run, first), to = SC_MIN(run + (1U << RUN_LOG2), end);
        if (from < to)
            take_run(m, s, from - first, to - first, level);
    }
    if (m->fresh > m->most / 2 + 64) {
        m->least = SC_MAX(m->least, step_of(m, m->most) << SC_MAGNITUDE_SHIFT);
        m->fresh = 0;
    }
}

void sc_magnitudes_take(struct sc_magnitudes *m, unsigned rate, uint64_t first, const float *x,
                        uint64_t n, enum sc_cpu level)
{
    const struct source s = {.x = x};
    take_some(m, rate, first, &s, n, level);
}

void sc_magnitudes_take_codes(struct sc_magnitudes *m, unsigned rate, uint64_t first,
                              const uint8_t *codes, uint64_t n, enum sc_cpu level)
{
    const struct source s = {.codes = codes};
    take_some(m, rate, first, &s, n, level);
}

void sc_magnitudes_join(struct sc_magnitudes *to, const struct sc_magnitudes *from)
{
    for (size_t i = from->least >> SC_MAGNITUDE_SHIFT; i < SC_COUNT(to->of); i++)
        to->of[i] += from->of[i];
    to->n += from->n;
    to->least = SC_MAX(to->least, from->least);
    to->least = SC_MAX(to->least, step_of(to, to->most) << SC_MAGNITUDE_SHIFT);
}

float sc_magnitudes_robust(const struct sc_magnitudes *m)
{
    uint64_t finite = m->n;
    float x;
    for (size_t i = SC_MAGNITUDES; i < SC_COUNT(m->of); i++)
        finite -= m->of[i];
    const uint32_t bits = step_of(m, finite / 1000) << SC_MAGNITUDE_SHIFT;
    memcpy(&x, &bits, sizeof x);
    return x;
}
