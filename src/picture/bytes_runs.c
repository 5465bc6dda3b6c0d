/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_runs: pixels that are short runs of bytes each, many at once.
 *
 * A word of 32 bits is four bytes, whose classes are told by arithmetic that stays within each: a
 * loop without a table or a branch, which compilers make as wide as the processor is. A run of 4^k
 * bytes is 4^(k - 1) words, and what is counted of four neighbours is added up until one is left.
 */
#include <string.h>

#include "picture/bytes_count.h"

enum {
    WORDS = 1024,   /* at once: all arrays stay in the first cache */
    COUNT_BITS = 10 /* of at most 256 */
};
#define INLINE static inline __attribute__((always_inline)) /* so that each level has its own */
#define EACH   UINT32_C(0x01010101)                         /* a flag of each byte */

/* Of the bytes of a word, or of a run: fields beside each other. What is left are 255. */
struct counts {
    uint32_t few[WORDS];  /* zeros, control, printable */
    uint32_t high[WORDS]; /* how many; above them what they add up to */
    uint32_t sums[WORDS]; /* what control add up to; above it printable */
};

INLINE uint32_t word_at(const uint8_t *p)
{
    uint32_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* The four bytes of x, added up: at most 255. */
INLINE uint32_t sum_small(uint32_t x)
{
    x += x >> 16;
    return (x + (x >> 8)) & 0xff;
}

/* The bytes of w that have a flag, added up. */
INLINE uint32_t sum_flagged(uint32_t w, uint32_t flags)
{
    const uint32_t x = w & ((flags << 8) - flags), pairs = (x & 0xff00ff) + (x >> 8 & 0xff00ff);
    return (pairs + (pairs >> 16)) & 0xffff;
}

INLINE void count_words(const uint8_t *p, size_t n, struct counts *c)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t w = word_at(p + 4 * i), low7 = w & 0x7f * EACH;
        const uint32_t top = w >> 7 & EACH, ones = (low7 + EACH) >> 7 & EACH; /* 127 and 255 */
        const uint32_t zero = (((low7 + 0x7f * EACH) | w) >> 7 & EACH) ^ EACH;
        const uint32_t low = ((((w & 0x60 * EACH) + 0x60 * EACH) | w) >> 7 & EACH) ^ EACH;
        const uint32_t del = ones & ~top, control = (low ^ zero) | del;
        const uint32_t printable = EACH ^ low ^ del ^ top, high = top & ~ones;
        const uint32_t two = sum_small(zero | control << 3),
                       more = sum_small(printable | high << 3);
        c->few[i] = (two & 7) | two >> 3 << COUNT_BITS | (more & 7) << 2 * COUNT_BITS;
        c->high[i] = more >> 3 | sum_flagged(w, high) << COUNT_BITS;
        c->sums[i] = sum_flagged(w, control) | sum_flagged(w, printable) << 16;
    }
}

INLINE void fold(const uint32_t *restrict from, size_t n, uint32_t *restrict to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (from[4 * i] + from[4 * i + 1]) + (from[4 * i + 2] + from[4 * i + 3]);
}

/* If `yes`, else the other: without a branch, which would end a wide loop. */
INLINE uint32_t choose(uint32_t yes, uint32_t a, uint32_t b)
{
    const uint32_t mask = 0 - yes;
    return (a & mask) | (b & ~mask);
}

/* The class that most are of, of several the first, and in it the rounded mean. */
INLINE void main_pixels(const struct counts *c, size_t n, uint32_t bytes, uint32_t *restrict out)
{
    const uint32_t field = (1 << COUNT_BITS) - 1;
    for (size_t i = 0; i < n; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): n were counted */
        const int32_t zero = (int32_t)(c->few[i] & field);
        const int32_t control = (int32_t)(c->few[i] >> COUNT_BITS & field);
        const int32_t printable = (int32_t)(c->few[i] >> 2 * COUNT_BITS);
        const int32_t high = (int32_t)(c->high[i] & field);
        const int32_t full = (int32_t)bytes - zero - control - printable - high;
        int32_t most = zero;
        const uint32_t is_control = control > most;
        uint32_t sum = choose(is_control, c->sums[i] & 0xffff, 0);
        most = SC_MAX(control, most);
        const uint32_t is_text = printable > most;
        sum = choose(is_text, c->sums[i] >> 16, sum);
        most = SC_MAX(printable, most);
        const uint32_t is_high = high > most;
        sum = choose(is_high, c->high[i] >> COUNT_BITS, sum);
        most = SC_MAX(high, most);
        const uint32_t is_full = full > most;
        sum = choose(is_full, 255 * (uint32_t)full, sum);
        most = SC_MAX(full, most);
        /* whole numbers below 2^17: the quotient of floats is never rounded up to the next */
        const int32_t half = most / 2;
        const int32_t mean = (int32_t)((float)((int32_t)sum + half) / (float)most);
        /* the mean of control bytes may fall between 31 and 127 */
        const uint32_t held = choose(mean < 79, (uint32_t)SC_MIN(mean, 31), 127);
        const uint32_t only_control = is_control & ~(is_text | is_high | is_full);
        out[i] = sc_bits_of((float)(int32_t)choose(only_control, held, (uint32_t)mean));
    }
}

/* n << 2 (log4 - 1) is at most WORDS. */
INLINE void main_body(const uint8_t *p, size_t n, unsigned log4, uint32_t *out)
{
    struct counts work[2];
    unsigned at = 0;
    size_t left = n << 2 * (log4 - 1);
    count_words(p, left, &work[0]);
    for (; left > n; at ^= 1) {
        left /= 4;
        fold(work[at].few, left, work[at ^ 1].few);
        fold(work[at].high, left, work[at ^ 1].high);
        fold(work[at].sums, left, work[at ^ 1].sums);
    }
    main_pixels(&work[at], n, UINT32_C(1) << 2 * log4, out);
}

/* Whole numbers, and quotients that are rounded the same everywhere: any level gives the same. */
static void main_of(const uint8_t *p, size_t n, unsigned log4, uint32_t *out)
{
    main_body(p, n, log4, out);
}
#if SC_HAVE_X86
SC_TARGET_AVX2 static void main_of_avx2(const uint8_t *p, size_t n, unsigned log4, uint32_t *out)
{
    main_body(p, n, log4, out);
}
SC_TARGET_AVX512 static void main_of_avx512(const uint8_t *p, size_t n, unsigned log4,
                                            uint32_t *out)
{
    main_body(p, n, log4, out);
}
#endif

static void mean_of(const uint8_t *p, size_t n, unsigned log4, uint32_t *out)
{
    const float each = 1.0F / (float)(1 << 2 * log4); /* exact, and so are the quotients */
    uint32_t sums[2][WORDS];
    unsigned at = 0;
    size_t left = n << 2 * (log4 - 1);
    for (size_t i = 0; i < left; i++)
        sums[0][i] = sum_flagged(word_at(p + 4 * i), EACH);
    for (; left > n; at ^= 1) {
        left /= 4;
        fold(sums[at], left, sums[at ^ 1]);
    }
    for (size_t i = 0; i < n; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): n were added up */
        out[i] = sc_bits_of((float)(int32_t)sums[at][i] * each);
}

static void least(const uint8_t *restrict from, size_t n, uint8_t *restrict to)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = from + 4 * i;
        const uint8_t x = SC_MIN(p[0], p[1]), y = SC_MIN(p[2], p[3]);
        to[i] = SC_MIN(x, y);
    }
}

static void largest(const uint8_t *restrict from, size_t n, uint8_t *restrict to)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = from + 4 * i;
        const uint8_t x = SC_MAX(p[0], p[1]), y = SC_MAX(p[2], p[3]);
        to[i] = SC_MAX(x, y);
    }
}

static void extreme_of(const uint8_t *p, size_t n, unsigned log4, bool min, uint32_t *out)
{
    uint8_t work[2][WORDS];
    size_t left = n << 2 * (log4 - 1);
    (min ? least : largest)(p, left, work[0]);
    unsigned at = 0;
    for (; left > n; at ^= 1) {
        left /= 4;
        (min ? least : largest)(work[at], left, work[at ^ 1]);
    }
    for (size_t i = 0; i < n; i++)
        /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): n are there */
        out[i] = sc_bits_of((float)work[at][i]);
}

void sc_byte_pixels(const uint8_t *p, size_t n, unsigned log4, enum sc_plane plane,
                    enum sc_cpu level, uint32_t *out)
{
    const size_t at_once = WORDS >> 2 * (log4 - 1);
    void (*run)(const uint8_t *, size_t, unsigned, uint32_t *) = main_of;
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX2)
        run = level >= SC_CPU_AVX512 ? main_of_avx512 : main_of_avx2;
#endif
    (void)level;
    for (size_t i = 0; i < n; i += at_once) {
        const size_t some = SC_MIN(n - i, at_once);
        const uint8_t *from = p + (i << 2 * log4);
        if (plane == SC_PLANE_MAIN)
            run(from, some, log4, out + i);
        else if (plane == SC_PLANE_MEAN)
            mean_of(from, some, log4, out + i);
        else
            extreme_of(from, some, log4, plane == SC_PLANE_MIN, out + i);
    }
}
