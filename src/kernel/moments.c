/* SPDX-License-Identifier: Apache-2.0 */
/* moments: sums of powers over floats, in double. Squares of floats are exact in double. */
#include "kernel/lanes.h"

#include <math.h>
#include <string.h>

/* One round of lanes; `left` of them exist, the others count as zero. */
struct sum_lanes {
    double sum[SC_LANES], abs[SC_LANES], square[SC_LANES];
};

static void sums_c(const float *x, size_t n, struct sc_sums *out)
{
    struct sum_lanes lanes;
    struct sc_sums s = {.min = INFINITY, .max = -INFINITY, .least = UINT32_MAX};
    memset(&lanes, 0, sizeof lanes);
    for (size_t i = 0; i < n; i++) {
        const size_t lane = i % SC_LANES;
        const double v = x[i];
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const uint32_t magnitude = bits & 0x7fffffff;
        lanes.sum[lane] += v;
        lanes.abs[lane] += fabs(v);
        lanes.square[lane] += v * v;
        s.min = x[i] < s.min ? x[i] : s.min;
        s.max = x[i] > s.max ? x[i] : s.max;
        s.most = SC_MAX(s.most, magnitude);
        s.least = SC_MIN(s.least, magnitude - 1); /* zero becomes the largest */
        s.any |= bits;
    }
    s.sum = sc_lanes_sum(lanes.sum);
    s.abs = sc_lanes_sum(lanes.abs);
    s.square = sc_lanes_sum(lanes.square);
    *out = s;
}

void sc_sums(const float *x, size_t n, enum sc_cpu level, struct sc_sums *out)
{
    switch (level) {
#if SC_HAVE_X86
    case SC_CPU_AVX512:
        sc_sums_avx512(x, n, out);
        break;
    case SC_CPU_AVX2:
        sc_sums_avx2(x, n, out);
        break;
#else
    case SC_CPU_AVX512:
    case SC_CPU_AVX2:
#endif
    case SC_CPU_C:
        sums_c(x, n, out);
        break;
    }
    /* -0 and 0 are the same extreme, whichever came first. */
    out->min += 0.0F;
    out->max += 0.0F;
    if (out->least != UINT32_MAX)
        out->least++;
}

static void central_c(const float *x, size_t n, double mean, struct sc_central *out)
{
    struct {
        double square[SC_LANES], third[SC_LANES], fourth[SC_LANES];
    } lanes;
    memset(&lanes, 0, sizeof lanes);
    for (size_t i = 0; i < n; i++) {
        const size_t lane = i % SC_LANES;
        const double d = (double)x[i] - mean, square = d * d;
        lanes.square[lane] += square;
        lanes.third[lane] += square * d;
        lanes.fourth[lane] += square * square;
    }
    out->square = sc_lanes_sum(lanes.square);
    out->third = sc_lanes_sum(lanes.third);
    out->fourth = sc_lanes_sum(lanes.fourth);
}

void sc_central(const float *x, size_t n, double mean, enum sc_cpu level, struct sc_central *out)
{
    switch (level) {
#if SC_HAVE_X86
    case SC_CPU_AVX512:
        sc_central_avx512(x, n, mean, out);
        return;
    case SC_CPU_AVX2:
        sc_central_avx2(x, n, mean, out);
        return;
#else
    case SC_CPU_AVX512:
    case SC_CPU_AVX2:
#endif
    case SC_CPU_C:
        central_c(x, n, mean, out);
        return;
    }
}
