/* SPDX-License-Identifier: Apache-2.0 */
/* change_ulps: how many representable numbers lie between two values, over many pairs.
 *
 * Codes without their sign are in the order of magnitudes, so the distance is that of two whole
 * numbers. How many pairs are in a power of two follows from how many are at least as far apart as
 * each power: comparisons without a branch, which compilers make as wide as the processor is. */
#include <string.h>

#include "analyze/change_sums.h"

enum { BLOCK = 1024 };
#define NONE   UINT32_MAX /* a distance that no pair has: one of them is not finite */
#define INLINE static inline __attribute__((always_inline)) /* so that each level has its own */

INLINE uint32_t code_at(const uint8_t *p, unsigned bytes)
{
    return bytes == 1 ? p[0] : bytes == 2 ? sc_le16(p) : sc_le32(p);
}

/* The largest of those that are one. No branch, which would end a wide loop. */
INLINE uint32_t distances(const uint8_t *restrict a, const uint8_t *restrict b, size_t n,
                          unsigned bytes, uint32_t inf, uint32_t *restrict d)
{
    const unsigned top = 8 * bytes - 1;
    const uint32_t sign = UINT32_C(1) << top;
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = code_at(a + i * bytes, bytes), v = code_at(b + i * bytes, bytes);
        const uint32_t x = u & (sign - 1), y = v & (sign - 1);
        const uint32_t large = SC_MAX(x, y), small = SC_MIN(x, y);
        const uint32_t opposite = 0 - ((u ^ v) >> top & 1), finite = 0 - (uint32_t)(large < inf);
        const uint32_t far = ((large + small) & opposite) | ((large - small) & ~opposite);
        d[i] = far | ~finite; /* NONE */
        most = SC_MAX(most, far & finite);
    }
    return most;
}

INLINE void body(const uint8_t *a, const uint8_t *b, size_t n, unsigned bytes, uint32_t inf,
                 struct sc_change_ulps *out)
{
    uint32_t d[BLOCK];
    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t some = SC_MIN(n - at, (size_t)BLOCK);
        const uint32_t most = distances(a + at * bytes, b + at * bytes, some, bytes, inf, d);
        uint32_t last = 0; /* pairs that are in this bin or in a later one */
        for (size_t i = 0; i < some; i++)
            last += d[i] != NONE;
        for (unsigned bin = 0; bin + 1 < SC_ULP_BINS && most >> bin; bin++) {
            const uint32_t least = UINT32_C(1) << bin;
            uint32_t further = 0;
            for (size_t i = 0; i < some; i++)
                further += d[i] >= least && d[i] != NONE;
            out->bin[bin] += last - further;
            last = further;
        }
        unsigned end = 0;
        while (end + 1 < SC_ULP_BINS && most >> end)
            end++;
        out->bin[end] += last;
        out->most = SC_MAX(out->most, (uint64_t)most);
    }
}

INLINE void by_bytes(const uint8_t *a, const uint8_t *b, size_t n, unsigned bytes, uint32_t inf,
                     struct sc_change_ulps *out)
{
    if (bytes == 1)
        body(a, b, n, 1, inf, out);
    else if (bytes == 2)
        body(a, b, n, 2, inf, out);
    else
        body(a, b, n, 4, inf, out);
}

static void ulps(const uint8_t *a, const uint8_t *b, size_t n, unsigned bytes, uint32_t inf,
                 struct sc_change_ulps *out)
{
    by_bytes(a, b, n, bytes, inf, out);
}
#if SC_HAVE_X86
SC_TARGET_AVX2 static void ulps_avx2(const uint8_t *a, const uint8_t *b, size_t n, unsigned bytes,
                                     uint32_t inf, struct sc_change_ulps *out)
{
    by_bytes(a, b, n, bytes, inf, out);
}
SC_TARGET_AVX512 static void ulps_avx512(const uint8_t *a, const uint8_t *b, size_t n,
                                         unsigned bytes, uint32_t inf, struct sc_change_ulps *out)
{
    by_bytes(a, b, n, bytes, inf, out);
}
#endif

void sc_change_ulps(const uint8_t *a, const uint8_t *b, size_t n, unsigned bytes, uint32_t inf,
                    enum sc_cpu level, struct sc_change_ulps *out)
{
    void (*run)(const uint8_t *, const uint8_t *, size_t, unsigned, uint32_t,
                struct sc_change_ulps *) = ulps;
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX2)
        run = level >= SC_CPU_AVX512 ? ulps_avx512 : ulps_avx2;
#endif
    (void)level;
    run(a, b, n, bytes, inf, out);
}
