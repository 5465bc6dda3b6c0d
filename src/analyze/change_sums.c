/* SPDX-License-Identifier: Apache-2.0 */
/* change_sums: sums over pairs of values, in eight lanes.
 *
 * Values are taken in blocks that stay in the first cache. First their bits are looked at:
 * extremes, what differs, whether all are finite. A block without a difference needs the sums of
 * one side only, which is most of a fine-tuned model; one with a NaN or an infinity goes value by
 * value, and such pairs add nothing to any sum.
 *
 * Squares of floats are exact in double; that of the difference is added by fma(), which rounds
 * once everywhere; and the order of all additions is fixed. So every level gives the same bits. */
#include "analyze/change_sums.h"

#include <math.h>
#include <string.h>

enum { LANES = SC_CHANGE_LANES, BLOCK = 1024 };
#define INF_BITS UINT32_C(0x7f800000)

/* A chunk on its way. */
struct sums {
    struct sc_change_lanes lanes;
    double max_a, max_b;
    uint64_t compared, changed, flips, nonfinite_a, nonfinite_b, bits;
    enum sc_cpu level;
    const struct sc_change_next *next; /* what is looked at after this block */
};

static void start(struct sums *s, enum sc_cpu level)
{
    memset(s, 0, sizeof *s);
    s->level = level;
    for (size_t i = 0; i < LANES; i++) {
        s->lanes.min_d[i] = (double)INFINITY;
        s->lanes.max_d[i] = -(double)INFINITY;
    }
}

static inline double larger(double x, double y)
{
    return x > y ? x : y;
}

static inline double smaller(double x, double y)
{
    return x < y ? x : y;
}

static inline void add(struct sc_change_lanes *l, size_t i, double a, double b)
{
    const double d = b - a, abs_d = fabs(d);

    l->a[i] += a;
    l->aa[i] += a * a;
    l->bb[i] += b * b;
    l->d[i] += d;
    l->dd[i] = fma(d, d, l->dd[i]);
    l->abs_d[i] += abs_d;
    l->min_d[i] = smaller(d, l->min_d[i]);
    l->max_d[i] = larger(d, l->max_d[i]);
    l->significant += abs_d > 0.01 * (fabs(a) + 1e-10);
}

/* Halves onto halves. */
static double sum_of(const double x[LANES])
{
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

static double largest_of(const double x[LANES])
{
    double most = x[0];

    for (size_t i = 1; i < LANES; i++)
        most = larger(x[i], most);
    return most;
}

static double smallest_of(const double x[LANES])
{
    double least = x[0];

    for (size_t i = 1; i < LANES; i++)
        least = smaller(x[i], least);
    return least;
}

static void reduce(const struct sums *s, struct sc_change_sums *out)
{
    const struct sc_change_lanes *l = &s->lanes;

    *out = (struct sc_change_sums){
        .a = sum_of(l->a),
        .aa = sum_of(l->aa),
        .bb = sum_of(l->bb),
        .d = sum_of(l->d),
        .dd = sum_of(l->dd),
        .abs_d = sum_of(l->abs_d),
        .min_d = s->compared ? smallest_of(l->min_d) : 0,
        .max_d = s->compared ? largest_of(l->max_d) : 0,
        .max_a = s->max_a,
        .max_b = s->max_b,
        .compared = s->compared,
        .changed = s->changed,
        .significant = l->significant,
        .flips = s->flips,
        .nonfinite_a = s->nonfinite_a,
        .nonfinite_b = s->nonfinite_b,
        .bits = s->bits,
    };
    out->b = out->a + out->d;
}

/* ---------------------------------------------------------------------------- value by value ---
 */
static void add_pair(struct sums *s, size_t i, double a, double b)
{
    if (isfinite(a) && isfinite(b)) {
        add(&s->lanes, i % LANES, a, b);
        s->max_a = larger(fabs(a), s->max_a);
        s->max_b = larger(fabs(b), s->max_b);
        s->compared++;
        s->changed += a != b;
        s->flips += (a < 0 && b > 0) || (a > 0 && b < 0);
    } else {
        s->changed += !(isnan(a) && isnan(b)) && a != b;
        s->nonfinite_a += !isfinite(a);
        s->nonfinite_b += !isfinite(b);
    }
}

void sc_change_sums64(const double *a, const double *b, size_t n, struct sc_change_sums *out)
{
    struct sums s;

    start(&s, SC_CPU_C);
    for (size_t i = 0; i < n; i++)
        add_pair(&s, i, a[i], b[i]);
    reduce(&s, out);
}

/* --------------------------------------------------------------------------------- the bits --- */
static void scan(const float *a, const float *b, size_t n, enum sc_cpu level,
                 struct sc_change_scan *s)
{
    size_t i = 0;

#if SC_HAVE_X86
    i = level == SC_CPU_C ? 0 : n - n % 16;
    if (i)
        (level >= SC_CPU_AVX512 ? sc_change_scan_avx512 : sc_change_scan_avx2)(a, b, i, s);
#endif
    (void)level;
    for (; i < n; i++) {
        uint32_t u, v;
        memcpy(&u, &a[i], sizeof u);
        memcpy(&v, &b[i], sizeof v);
        const uint32_t x = u & 0x7fffffff, y = v & 0x7fffffff;
        s->max_a = SC_MAX(s->max_a, x);
        s->max_b = SC_MAX(s->max_b, y);
        s->changed += u != v && (x | y) != 0;
        s->flips += (u ^ v) >> 31 && x && y;
    }
}

static void scan16(const uint8_t *a, const uint8_t *b, size_t n, enum sc_cpu level,
                   struct sc_change_scan *s)
{
    size_t i = 0;

#if SC_HAVE_X86
    i = level == SC_CPU_C ? 0 : n - n % 32;
    if (i)
        (level >= SC_CPU_AVX512 ? sc_change_scan16_avx512 : sc_change_scan16_avx2)(a, b, i, s);
#endif
    (void)level;
    for (; i < n; i++) {
        uint16_t u, v;
        memcpy(&u, a + 2 * i, sizeof u);
        memcpy(&v, b + 2 * i, sizeof v);
        const uint32_t x = u & 0x7fff, y = v & 0x7fff;
        s->max_a = SC_MAX(s->max_a, x);
        s->max_b = SC_MAX(s->max_b, y);
        s->changed += u != v && (x | y) != 0;
        s->flips += (u ^ v) >> 15 && x && y;
    }
}

/* --------------------------------------------------------------------------------- a block --- */
static void add_all(struct sums *s, const float *a, const float *b, size_t n)
{
    size_t i = 0;

#if SC_HAVE_X86
    i = s->level == SC_CPU_C ? 0 : n - n % LANES;
    if (s->level >= SC_CPU_AVX512)
        sc_change_lanes_avx512(a, b, i, s->next, &s->lanes);
    else if (i)
        sc_change_lanes_avx2(a, b, i, &s->lanes);
#endif
    for (; i < n; i++)
        add(&s->lanes, i % LANES, (double)a[i], (double)b[i]);
}

/* Differences are zeros, which change no sum. */
static void add_same(struct sums *s, const float *a, size_t n)
{
    struct sc_change_lanes *l = &s->lanes;
    size_t i = 0;

#if SC_HAVE_X86
    i = s->level == SC_CPU_C ? 0 : n - n % LANES;
    if (i)
        (s->level >= SC_CPU_AVX512 ? sc_change_same_avx512 : sc_change_same_avx2)(a, i, l);
#endif
    for (; i < n; i++) {
        const double x = (double)a[i];
        l->a[i % LANES] += x;
        l->aa[i % LANES] += x * x;
        l->bb[i % LANES] += x * x;
    }
    for (i = 0; i < LANES; i++) {
        l->min_d[i] = smaller(0, l->min_d[i]);
        l->max_d[i] = larger(0, l->max_d[i]);
    }
}

/* The block is finite; b is NULL where nothing differs. */
static void add_block(struct sums *s, const float *a, const float *b, size_t n,
                      const struct sc_change_scan *seen, double max_a, double max_b)
{
    s->max_a = larger(max_a, s->max_a);
    s->max_b = larger(max_b, s->max_b);
    s->compared += n;
    s->changed += seen->changed;
    s->flips += seen->flips;
    if (b)
        add_all(s, a, b, n);
    else
        add_same(s, a, n);
}

static double float_of(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

void sc_change_sums(const float *a, const float *b, size_t n, enum sc_cpu level,
                    struct sc_change_sums *out)
{
    struct sums s;

    start(&s, level);
    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t take = SC_MIN(n - at, (size_t)BLOCK);
        const float *x = a + at, *y = b + at;
        const struct sc_change_next next = {(const uint8_t *)(x + take),
                                            (const uint8_t *)(y + take), sizeof *x};
        struct sc_change_scan seen = {0};
        s.next = n - at - take >= take ? &next : NULL;
        scan(x, y, take, level, &seen);
        if (seen.max_a < INF_BITS && seen.max_b < INF_BITS)
            add_block(&s, x, seen.changed ? y : NULL, take, &seen, float_of(seen.max_a),
                      float_of(seen.max_b));
        else
            for (size_t i = 0; i < take; i++)
                add_pair(&s, i, (double)x[i], (double)y[i]);
    }
    reduce(&s, out);
}

uint64_t sc_change_bits(const uint8_t *a, const uint8_t *b, size_t n, enum sc_cpu level)
{
    uint64_t ones = 0;
    size_t i = 0;

#if SC_HAVE_X86
    i = level == SC_CPU_C ? 0 : n - n % 64;
    if (i)
        ones = (level >= SC_CPU_AVX512 ? sc_change_bits_avx512 : sc_change_bits_avx2)(a, b, i);
#endif
    (void)level;
    for (; i + 8 <= n; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        ones += (uint64_t)__builtin_popcountll(x ^ y);
    }
    for (; i < n; i++)
        ones += (uint64_t)__builtin_popcount((unsigned)(a[i] ^ b[i]));
    return ones;
}

/* n bytes of each side: while a block is added up, memory brings the next. */
static void fetch_soon(const uint8_t *a, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += 64) {
        __builtin_prefetch(a + i);
        __builtin_prefetch(b + i);
    }
}

void sc_change_sums16(const struct sc_change_half *h, const uint8_t *a, const uint8_t *b, size_t n,
                      enum sc_cpu level, struct sc_change_sums *out)
{
    _Alignas(64) float x[BLOCK], y[BLOCK]; /* a register is a line of the cache */
    struct sums s;

    start(&s, level);
    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t take = SC_MIN(n - at, (size_t)BLOCK);
        const uint8_t *u = a + 2 * at, *v = b + 2 * at;
        const struct sc_change_next next = {u + 2 * take, v + 2 * take, 2};
        struct sc_change_scan seen = {0};
        const bool equal = memcmp(u, v, 2 * take) == 0;
        /* of equal codes the other side need not come through the cache again */
        scan16(u, equal ? u : v, take, level, &seen);
        s.next = n - at - take >= take ? &next : NULL;
        if (level < SC_CPU_AVX512 || !seen.changed) /* else it is done between sums */
            fetch_soon(u + 2 * take, v + 2 * take, 2 * SC_MIN(n - at - take, (size_t)BLOCK));
        if (!equal)
            s.bits += sc_change_bits(u, v, 2 * take, level);
        h->decode(u, x, take);
        if (seen.max_a < h->inf && seen.max_b < h->inf) {
            float most[2];
            const uint8_t codes[4] = {(uint8_t)seen.max_a, (uint8_t)(seen.max_a >> 8),
                                      (uint8_t)seen.max_b, (uint8_t)(seen.max_b >> 8)};
            h->decode(codes, most, 2);
            if (seen.changed)
                h->decode(v, y, take);
            add_block(&s, x, seen.changed ? y : NULL, take, &seen, (double)most[0],
                      (double)most[1]);
            continue;
        }
        h->decode(v, y, take);
        for (size_t i = 0; i < take; i++)
            add_pair(&s, i, (double)x[i], (double)y[i]);
    }
    reduce(&s, out);
}

/* --------------------------------------------------------------------------------- where is it ---
 */
size_t sc_change_find(const float *a, const float *b, size_t n, enum sc_cpu level, double magnitude)
{
    size_t i = 0;

#if SC_HAVE_X86
    if (level >= SC_CPU_AVX512) {
        const size_t whole = n - n % LANES;
        i = sc_change_find_avx512(a, b, whole, magnitude);
        if (i < whole)
            return i;
    }
#endif
    (void)level;
    for (; i < n; i++)
        if (fabs((double)b[i] - (double)a[i]) == magnitude)
            break;
    return i;
}

size_t sc_change_find16(const struct sc_change_half *h, const uint8_t *a, const uint8_t *b,
                        size_t n, enum sc_cpu level, double magnitude)
{
    _Alignas(64) float x[BLOCK], y[BLOCK];

    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t take = SC_MIN(n - at, (size_t)BLOCK);
        h->decode(a + 2 * at, x, take);
        h->decode(b + 2 * at, y, take);
        const size_t found = sc_change_find(x, y, take, level, magnitude);
        if (found < take)
            return at + found;
    }
    return n;
}
