/* SPDX-License-Identifier: Apache-2.0 */
/* change_sums: sums over pairs of values, in eight lanes.
 *
 * Values are taken in blocks that stay in the first cache. First their bits are looked at:
 * extremes, what differs, whether all are finite. A block without a difference needs the sums of
 * one side only, which is most of a fine-tuned model; one with a NaN or an infinity goes value by
 * value, and such pairs add nothing to any sum.
 *
 * Squares of floats are exact in double; that of the difference is added by fma(), which rounds
 * once everywhere; and the order of all additions is fixed. So every level gives the same bits.
 *
 * Differences and their magnitudes are added up block by block. That allows to do so with floats
 * where no float is rounded, which is the same as with doubles then. */
#include "analyze/change_sums.h"

#include <math.h>
#include <string.h>

enum { LANES = SC_CHANGE_LANES, BLOCK = 2048 };
#define INF_BITS UINT32_C(0x7f800000)
#define INF_BF16 0x7f80

/* A chunk on its way. */
struct sums {
    struct sc_change_lanes lanes;
    double d[LANES], abs_d[LANES]; /* of the blocks that are done */
    double max_a, max_b;
    uint32_t bits_a, bits_b; /* of the largest magnitudes in blocks that are finite */
    uint64_t compared, changed, flips, nonfinite_a, nonfinite_b, bits;
    enum sc_cpu level;
    uint32_t inf;         /* code of infinity of 16-bit floats; 0: others */
    bool split;           /* of 32 values first the even ones, then the odd ones */
    unsigned pause, wait; /* blocks to go before floats are tried again; after the next failure */
    const struct sc_change_next *next; /* what is looked at after this block */
};

static void start(struct sums *s, enum sc_cpu level)
{
    memset(s, 0, sizeof *s);
    s->level = level;
    s->lanes.min_d = (double)INFINITY;
    s->lanes.max_d = -(double)INFINITY;
}

static inline double larger(double x, double y)
{
    return x > y ? x : y;
}

static inline double smaller(double x, double y)
{
    return x < y ? x : y;
}

static inline void add(struct sc_change_lanes *l, size_t lane, double a, double b)
{
    const double d = b - a, abs_d = fabs(d);

    l->a[lane] += a;
    l->aa[lane] += a * a;
    l->bb[lane] += b * b;
    l->d[lane] += d;
    l->dd[lane] = fma(d, d, l->dd[lane]);
    l->abs_d[lane] += abs_d;
    l->min_d = smaller(d, l->min_d);
    l->max_d = larger(d, l->max_d);
    l->significant += abs_d > 0.01 * (fabs(a) + 1e-10);
}

/* Where lane i is. */
static size_t slot_of(const struct sums *s, size_t i)
{
    return s->split ? LANES / 2 * (i % 2) + i % LANES / 2 : i % LANES;
}

/* Halves onto halves. */
static double sum_of(const struct sums *s, const double x[LANES])
{
    double sum[LANES];

    for (size_t i = 0; i < LANES; i++)
        sum[i] = x[slot_of(s, i)];
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            sum[i] += sum[half + i];
    return sum[0];
}

/* The block is done. */
static void end_block(struct sums *s)
{
    for (size_t i = 0; i < LANES; i++) {
        s->d[i] += s->lanes.d[i];
        s->abs_d[i] += s->lanes.abs_d[i];
        s->lanes.d[i] = s->lanes.abs_d[i] = 0;
    }
}

static void reduce(const struct sums *s, struct sc_change_sums *out)
{
    const struct sc_change_lanes *l = &s->lanes;

    *out = (struct sc_change_sums){
        .a = sum_of(s, l->a),
        .aa = sum_of(s, l->aa),
        .bb = sum_of(s, l->bb),
        .d = sum_of(s, s->d),
        .dd = sum_of(s, l->dd),
        .abs_d = sum_of(s, s->abs_d),
        .min_d = s->compared ? l->min_d + 0.0 : 0, /* no zero has a sign */
        .max_d = s->compared ? l->max_d + 0.0 : 0,
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
static void add_pair(struct sums *s, size_t slot, double a, double b)
{
    if (isfinite(a) && isfinite(b)) {
        add(&s->lanes, slot, a, b);
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

/* Where value i of a block of n goes: those that do not fill all lanes are in their order. */
static size_t place_in(const struct sums *s, size_t i, size_t n)
{
    return i < n - n % LANES ? i % LANES : slot_of(s, i);
}

/* A block. */
static void add_pairs(struct sums *s, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_pair(s, place_in(s, i, n), (double)a[i], (double)b[i]);
    end_block(s);
}

void sc_change_sums64(const double *a, const double *b, size_t n, struct sc_change_sums *out)
{
    struct sums s;

    start(&s, SC_CPU_C);
    for (size_t i = 0; i < n; i++)
        add_pair(&s, i % LANES, a[i], b[i]);
    end_block(&s);
    reduce(&s, out);
}

/* --------------------------------------------------------------------------------- the bits --- */
static const struct sc_change_scan nothing_seen = {.least = UINT16_MAX};

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
        s->least = SC_MIN(s->least, x ? x : UINT16_MAX);
        s->least = SC_MIN(s->least, y ? y : UINT16_MAX);
        s->changed += u != v && (x | y) != 0;
        s->flips += (u ^ v) >> 15 && x && y;
    }
}

/* --------------------------------------------------------------------------------- a block --- */
#if SC_HAVE_X86
/* 2^24 times the last bit of the smallest value, of which all are multiples. */
static float limit_of(uint32_t inf, uint32_t least)
{
    const int mantissa = inf == INF_BF16 ? 7 : 10, bias = inf == INF_BF16 ? 127 : 15;

    return ldexpf(1, 24 + (int)SC_MAX(least >> mantissa, UINT32_C(1)) - bias - mantissa);
}

/* Differences of weights of about one size are floats, and so are sums of a few: then half of the
 * work is done with floats. Where it was in vain it is not tried again soon. */
static bool add_floats(struct sums *s, const float *a, const float *b, size_t n, uint32_t least)
{
    if (!s->inf || s->pause > 0) {
        s->pause -= s->pause > 0;
        return false;
    }
    const bool good = sc_change_floats_avx512(a, b, n, limit_of(s->inf, least), s->next, &s->lanes);
    s->wait = good ? 0 : 2 * s->wait + 1;
    s->pause = s->wait;
    return good;
}
#endif

static void add_all(struct sums *s, const float *a, const float *b, size_t n, uint32_t least)
{
    size_t i = 0;

#if SC_HAVE_X86
    i = s->level == SC_CPU_C ? 0 : n - n % LANES;
    if (s->level >= SC_CPU_AVX512) {
        if (!add_floats(s, a, b, i, least))
            sc_change_lanes_avx512(a, b, i, s->next, &s->lanes);
    } else if (i)
        sc_change_lanes_avx2(a, b, i, &s->lanes);
#endif
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            add(&s->lanes, k, (double)a[i + k], (double)b[i + k]);
    for (; i < n; i++)
        add(&s->lanes, slot_of(s, i), (double)a[i], (double)b[i]);
    end_block(s);
}

static inline void add_one_side(struct sc_change_lanes *l, size_t lane, double x)
{
    l->a[lane] += x;
    l->aa[lane] += x * x;
    l->bb[lane] += x * x;
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
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            add_one_side(l, k, (double)a[i + k]);
    for (; i < n; i++)
        add_one_side(l, slot_of(s, i), (double)a[i]);
    l->min_d = smaller(0, l->min_d);
    l->max_d = larger(0, l->max_d);
}

/* The block is finite; b is NULL where nothing differs. */
static void add_block(struct sums *s, const float *a, const float *b, size_t n,
                      const struct sc_change_scan *seen)
{
    s->bits_a = SC_MAX(s->bits_a, seen->max_a);
    s->bits_b = SC_MAX(s->bits_b, seen->max_b);
    s->compared += n;
    s->changed += seen->changed;
    s->flips += seen->flips;
    if (b)
        add_all(s, a, b, n, seen->least);
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
        struct sc_change_scan seen = nothing_seen;
        s.next = n - at - take >= take ? &next : NULL;
        scan(x, y, take, level, &seen);
        if (seen.max_a < INF_BITS && seen.max_b < INF_BITS)
            add_block(&s, x, seen.changed ? y : NULL, take, &seen);
        else
            add_pairs(&s, x, y, take);
    }
    s.max_a = larger(s.max_a, float_of(s.bits_a));
    s.max_b = larger(s.max_b, float_of(s.bits_b));
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

/* Values of a block. Even and odd ones of BF16 need but be moved or masked where they are. */
static void widen(const struct sc_change_half *h, const struct sums *s, const uint8_t *codes,
                  float *out, size_t n)
{
    size_t i = 0;

#if SC_HAVE_X86
    if (s->split && n >= LANES) {
        i = n - n % LANES;
        sc_change_widen_avx512(codes, out, i);
    }
#endif
    (void)s;
    h->decode(codes + 2 * i, out + i, n - i);
}

/* What the codes of a block tell, and its values: y only where something changed, or is not
 * finite. */
static void look16(const struct sc_change_half *h, const uint8_t *u, const uint8_t *v, size_t n,
                   struct sums *s, struct sc_change_scan *seen, float *x, float *y)
{
    const bool equal = memcmp(u, v, 2 * n) == 0;
    bool counted = false;

    /* of equal codes the other side need not come through the cache again */
    v = equal ? u : v;
#if SC_HAVE_X86
    if (!equal && s->split && n % 256 == 0) {
        s->bits += sc_change_look16_avx512(u, v, n, x, y, seen);
        if (seen->least)
            return;
        *seen = nothing_seen;
        counted = true;
    }
#endif
    scan16(u, v, n, s->level, seen);
    if (counted)
        return;
    if (!equal)
        s->bits += sc_change_bits(u, v, 2 * n, s->level);
    widen(h, s, u, x, n);
    if (seen->changed || seen->max_a >= h->inf || seen->max_b >= h->inf)
        widen(h, s, v, y, n);
}

static double value_of(const struct sc_change_half *h, uint32_t code)
{
    const uint8_t bytes[2] = {(uint8_t)code, (uint8_t)(code >> 8)};
    float x;

    h->decode(bytes, &x, 1);
    return (double)x;
}

void sc_change_sums16(const struct sc_change_half *h, const uint8_t *a, const uint8_t *b, size_t n,
                      enum sc_cpu level, struct sc_change_sums *out)
{
    _Alignas(64) float x[BLOCK], y[BLOCK]; /* a register is a line of the cache */
    struct sums s;

    start(&s, level);
    s.inf = h->inf;
    s.split = SC_HAVE_X86 && level >= SC_CPU_AVX512 && h->inf == INF_BF16;
    for (size_t at = 0; at < n; at += BLOCK) {
        const size_t take = SC_MIN(n - at, (size_t)BLOCK);
        const uint8_t *u = a + 2 * at, *v = b + 2 * at;
        const struct sc_change_next next = {u + 2 * take, v + 2 * take, 2};
        struct sc_change_scan seen = nothing_seen;
        look16(h, u, v, take, &s, &seen, x, y);
        s.next = n - at - take >= take ? &next : NULL;
        if (level < SC_CPU_AVX512 || !seen.changed) /* else it is done between sums */
            fetch_soon(u + 2 * take, v + 2 * take, 2 * SC_MIN(n - at - take, (size_t)BLOCK));
        if (seen.max_a < h->inf && seen.max_b < h->inf)
            add_block(&s, x, seen.changed ? y : NULL, take, &seen);
        else
            add_pairs(&s, x, y, take);
    }
    s.max_a = larger(s.max_a, value_of(h, s.bits_a));
    s.max_b = larger(s.max_b, value_of(h, s.bits_b));
    reduce(&s, out);
}

/* --------------------------------------------------------------------------------- where is it ---
 */
size_t sc_change_find(const float *a, const float *b, size_t n, enum sc_cpu level, double magnitude)
{
    size_t i = 0;

#if SC_HAVE_X86
    if (level >= SC_CPU_AVX512) {
        const size_t whole = n - n % 8;
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
