/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_count: what many bytes are as one pixel. Sums are whole numbers, so their order does not
 * matter. */
#include "picture/bytes_count.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#if SC_HAVE_X86
#include <immintrin.h>
#endif

const char *const sc_byte_class_names[SC_BYTE_CLASSES + 1] = {"zero", "control", "printable",
                                                              "high", "full",    NULL};

enum sc_byte_class sc_byte_class_of(uint8_t byte)
{
    if (byte == 0)
        return SC_BYTE_ZERO;
    if (byte == 255)
        return SC_BYTE_FULL;
    if (byte < 32 || byte == 127)
        return SC_BYTE_CONTROL;
    return byte < 127 ? SC_BYTE_PRINTABLE : SC_BYTE_HIGH;
}

enum { HALF = SC_BYTE_WINDOW / 2, TURNS = 4 };
static uint32_t whole[SC_BYTE_WINDOW + 1]; /* n log2 n, in 2^-20 */
static uint32_t step[SC_BYTE_WINDOW];      /* from n to n + 1 */
/* the first of `whole`, halves of 16 bits */
enum { SMALL = 64 };
static _Alignas(64) uint16_t lower[SMALL], upper[SMALL];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (unsigned n = 2; n <= SC_BYTE_WINDOW; n++)
        whole[n] = (uint32_t)llround(ldexp(n * log2(n), SC_BYTE_POINT));
    for (unsigned n = 0; n < SC_BYTE_WINDOW; n++)
        step[n] = whole[n + 1] - whole[n];
    for (unsigned n = 0; n < SMALL; n++) {
        lower[n] = (uint16_t)whole[n];
        upper[n] = (uint16_t)(whole[n] >> 16);
    }
}

/* Windows of n bytes each, one behind the other. What n log2 n grows by is added when a byte is
 * counted, so nothing goes over the table of counts afterwards. Equal bytes are often neighbours,
 * and a processor waits for a counter that it has just written: so windows take turns. */
static inline __attribute__((always_inline)) void count_windows(const uint8_t *p, size_t n,
                                                                size_t windows, uint64_t *bits)
{
    uint8_t seen[TURNS][256]; /* before the last step, so at most 255 */
    uint32_t sum[TURNS] = {0};
    memset(seen, 0, windows * sizeof seen[0]);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < windows; k++) {
            uint8_t *count = &seen[k][p[k * n + i]];
            sum[k] += step[*count];
            *count = (uint8_t)(*count + 1);
        }
    for (size_t k = 0; k < windows; k++)
        bits[k] = (uint64_t)(whole[n] - sum[k]);
}

#if SC_HAVE_X86
/* One number at a time costs more to look up than to count. Here the table of counts is looked
 * through afterwards, 64 at a time: small ones by shuffles, whose sums of upper halves stay below
 * 2^16 since all of `whole` that is added up is at most whole[256]. Four at most are not small. */
SC_TARGET_AVX512 static uint32_t look_up(const uint8_t seen[256])
{
    const __m512i l0 = _mm512_load_si512(lower), l1 = _mm512_load_si512(lower + SMALL / 2);
    const __m512i u0 = _mm512_load_si512(upper), u1 = _mm512_load_si512(upper + SMALL / 2);
    const __m512i mask = _mm512_set1_epi32(0xffff);
    __m512i low = _mm512_setzero_si512(), high = low;
    uint32_t large = 0;
    for (size_t at = 0; at < 256; at += SMALL) {
        __m512i count = _mm512_load_si512(seen + at);
        __mmask64 more = _mm512_cmpge_epu8_mask(count, _mm512_set1_epi8(SMALL));
        if (more) {
            count = _mm512_maskz_mov_epi8(~more, count);
            for (; more; more &= more - 1)
                large += whole[seen[at + (size_t)__builtin_ctzll(more)]];
        }
        const __m512i even = _mm512_and_si512(count, _mm512_set1_epi16(0xff));
        const __m512i odd = _mm512_srli_epi16(count, 8);
        __m512i x = _mm512_permutex2var_epi16(u0, even, u1);
        __m512i y = _mm512_permutex2var_epi16(u0, odd, u1);
        high = _mm512_add_epi16(high, _mm512_add_epi16(x, y));
        x = _mm512_permutex2var_epi16(l0, even, l1);
        y = _mm512_permutex2var_epi16(l0, odd, l1);
        low = _mm512_add_epi32(
            low, _mm512_add_epi32(_mm512_and_si512(x, mask), _mm512_and_si512(y, mask)));
        low = _mm512_add_epi32(
            low, _mm512_add_epi32(_mm512_srli_epi32(x, 16), _mm512_srli_epi32(y, 16)));
    }
    high = _mm512_add_epi32(_mm512_and_si512(high, mask), _mm512_srli_epi32(high, 16));
    low = _mm512_add_epi32(low, _mm512_slli_epi32(high, 16));
    return large + (uint32_t)_mm512_reduce_add_epi32(low);
}

/* Whole windows, at most MANY. */
enum { MANY = 8, FEW = 4 };
SC_TARGET_AVX512 static inline __attribute__((always_inline)) void
count_whole(const uint8_t *p, size_t windows, uint64_t *bits)
{
    _Alignas(64) uint8_t seen[MANY][256];
    memset(seen, 0, windows * sizeof seen[0]);
    for (size_t i = 0; i < SC_BYTE_WINDOW; i++)
        for (size_t k = 0; k < windows; k++) {
            uint8_t *count = &seen[k][p[k * SC_BYTE_WINDOW + i]];
            *count = (uint8_t)(*count + 1);
        }
    for (size_t k = 0; k < windows; k++) /* all the same: the one number that a byte cannot hold */
        bits[k] =
            seen[k][p[k * SC_BYTE_WINDOW]] == 0 ? 0 : whole[SC_BYTE_WINDOW] - look_up(seen[k]);
}
SC_TARGET_AVX512 static void count_many_avx512(const uint8_t *p, uint64_t *bits)
{
    count_whole(p, MANY, bits);
}
SC_TARGET_AVX512 static void count_few_avx512(const uint8_t *p, uint64_t *bits)
{
    count_whole(p, FEW, bits);
}
#endif

void sc_byte_entropies(const uint8_t *p, size_t n, enum sc_cpu level, uint64_t *bits)
{
    enum { ALL = TURNS * SC_BYTE_WINDOW };
    pthread_once(&once, make_tables);
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX512)
        while (n >= (size_t)FEW * SC_BYTE_WINDOW) {
            const size_t some = n >= (size_t)MANY * SC_BYTE_WINDOW ? MANY : FEW;
            (some == MANY ? count_many_avx512 : count_few_avx512)(p, bits);
            n -= some * SC_BYTE_WINDOW;
            p += some * SC_BYTE_WINDOW;
            bits += some;
        }
#endif
    (void)level;
    for (; n >= ALL; n -= ALL, p += ALL, bits += TURNS)
        count_windows(p, SC_BYTE_WINDOW, TURNS, bits);
    for (size_t some; n; n -= some, p += some, bits++) {
        some = SC_MIN(n, (size_t)SC_BYTE_WINDOW);
        count_windows(p, some, 1, bits);
    }
}

/* Small enough sums that a processor adds 16 or 8 at once: n is at most HALF. */
static inline __attribute__((always_inline)) void add_half(struct sc_byte_sum *s, const uint8_t *p,
                                                           size_t n)
{
    uint8_t zero = 0, low = 0, del = 0, high = 0, full = 0, min = s->min, max = s->max;
    uint16_t sum = 0, sum_low = 0, sum_high = 0;
    for (size_t i = 0; i < n; i++) {
        zero = (uint8_t)(zero + (p[i] == 0));
        low = (uint8_t)(low + (p[i] < 32));
        del = (uint8_t)(del + (p[i] == 127));
        high = (uint8_t)(high + (p[i] > 127));
        full = (uint8_t)(full + (p[i] == 255));
    }
    for (size_t i = 0; i < n; i++) {
        sum = (uint16_t)(sum + p[i]);
        sum_low = (uint16_t)(sum_low + (p[i] < 32 ? p[i] : 0));
        sum_high = (uint16_t)(sum_high + (p[i] > 127 ? p[i] : 0));
    }
    for (size_t i = 0; i < n; i++) {
        min = SC_MIN(min, p[i]);
        max = SC_MAX(max, p[i]);
    }
    s->min = min;
    s->max = max;
    s->count[SC_BYTE_ZERO] += zero;
    s->count[SC_BYTE_CONTROL] += (unsigned)(low - zero + del);
    s->count[SC_BYTE_PRINTABLE] += n - low - del - high;
    s->count[SC_BYTE_HIGH] += (unsigned)(high - full);
    s->count[SC_BYTE_FULL] += full;
    s->sum[0] += sum_low + 127u * del;
    s->sum[1] += sum - sum_low - 127u * del - sum_high;
    s->sum[2] += sum_high - 255u * full;
}

static inline __attribute__((always_inline)) void add_halves(struct sc_byte_sum *s,
                                                             const uint8_t *p, size_t n)
{
    for (; n >= HALF; n -= HALF, p += HALF)
        add_half(s, p, HALF);
    if (n)
        add_half(s, p, n);
}

static void add(struct sc_byte_sum *s, const uint8_t *p, size_t n)
{
    add_halves(s, p, n);
}
#if SC_HAVE_X86
SC_TARGET_AVX2 static void add_avx2(struct sc_byte_sum *s, const uint8_t *p, size_t n)
{
    add_halves(s, p, n);
}
SC_TARGET_AVX512 static void add_avx512(struct sc_byte_sum *s, const uint8_t *p, size_t n)
{
    add_halves(s, p, n);
}
#endif

void sc_byte_sum_add(struct sc_byte_sum *s, const uint8_t *p, size_t n, bool entropy,
                     enum sc_cpu level)
{
    void (*run)(struct sc_byte_sum *, const uint8_t *, size_t) = add;
    uint64_t bits[16];
#if SC_HAVE_X86
    if (level >= SC_CPU_AVX2)
        run = level >= SC_CPU_AVX512 ? add_avx512 : add_avx2;
#endif
    run(s, p, n);
    for (size_t some; entropy && n; n -= some, p += some) {
        some = SC_MIN(n, SC_COUNT(bits) * SC_BYTE_WINDOW);
        sc_byte_entropies(p, some, level, bits);
        for (size_t at = 0; at < some; at += SC_BYTE_WINDOW)
            s->entropy += bits[at / SC_BYTE_WINDOW];
    }
}

void sc_byte_sum_join(struct sc_byte_sum *s, const struct sc_byte_sum *other)
{
    for (unsigned k = 0; k < SC_BYTE_CLASSES; k++)
        s->count[k] += other->count[k];
    for (unsigned k = 0; k < SC_COUNT(s->sum); k++)
        s->sum[k] += other->sum[k];
    s->entropy += other->entropy;
    s->min = SC_MIN(s->min, other->min);
    s->max = SC_MAX(s->max, other->max);
}

uint64_t sc_byte_sum_bytes(const struct sc_byte_sum *s)
{
    uint64_t n = 0;
    for (unsigned k = 0; k < SC_BYTE_CLASSES; k++)
        n += s->count[k];
    return n;
}

double sc_byte_sum_mean(const struct sc_byte_sum *s)
{
    const uint64_t sum = s->sum[0] + s->sum[1] + s->sum[2] + 255 * s->count[SC_BYTE_FULL];
    return (double)sum / (double)sc_byte_sum_bytes(s);
}

double sc_byte_sum_entropy(const struct sc_byte_sum *s)
{
    return ldexp((double)s->entropy, -SC_BYTE_POINT) / (double)sc_byte_sum_bytes(s);
}

/* What n bytes of a class, which add up to `sum`, are as one. */
static unsigned mean_of_class(unsigned class, uint64_t sum, uint64_t n)
{
    if (class == SC_BYTE_ZERO || class == SC_BYTE_FULL)
        return class == SC_BYTE_ZERO ? 0 : 255;
    const uint64_t mean = (sum + n / 2) / n;
    /* the mean of control bytes may fall between 31 and 127 */
    if (class == SC_BYTE_CONTROL && mean > 31)
        return mean < 79 ? 31 : 127;
    return (unsigned)mean;
}

static unsigned main_byte(const struct sc_byte_sum *s)
{
    unsigned most = 0;
    for (unsigned k = 1; k < SC_BYTE_CLASSES; k++)
        if (s->count[k] > s->count[most])
            most = k;
    const bool summed = most != SC_BYTE_ZERO && most != SC_BYTE_FULL;
    return mean_of_class(most, summed ? s->sum[most - SC_BYTE_CONTROL] : 0, s->count[most]);
}

uint32_t sc_byte_pixel(const struct sc_byte_sum *s, enum sc_plane plane)
{
    if (s->min > s->max)
        return SC_PIXEL_UNKNOWN;
    double x = sc_byte_sum_mean(s);
    if (plane == SC_PLANE_MIN)
        x = s->min;
    else if (plane == SC_PLANE_MAX)
        x = s->max;
    else if (plane == SC_PLANE_MAIN)
        x = main_byte(s);
    else if (plane == SC_PLANE_ENTROPY)
        x = sc_byte_sum_entropy(s);
    return sc_bits_of((float)x);
}
