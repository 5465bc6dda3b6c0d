/* SPDX-License-Identifier: Apache-2.0 */
/* elements_order: counted magnitudes: ranks, thresholds, and which counts are too coarse.
 *
 * Eight- and sixteen-bit types are counted by value, and every question has its exact answer at
 * once. Of wider types the upper 16 bits are counted. A question whose answer lies in a bin makes
 * that bin wanted; the next visit counts its next 16 bits, or keeps its values where they are few,
 * and the question is asked again. Floats are told apart by then, doubles after three visits at
 * most.
 *
 * A key is the bits of a magnitude, 63 bits wide; those of a float stand in the upper half. */
#include "analyze/elements.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    BINS = 32768,      /* upper 15 bits of a key */
    MAX_DETAILS = 128, /* bins that are looked at more closely */
    FEW = 32768,       /* values that are kept rather than counted */
    SUB = 65536,       /* next 16 bits */
    BLOCK = 256,       /* of them, which are also counted together */
    MAX_EXPECTED = 8,  /* bins in which one threshold may lie */
};

/* One bin, or one of the 65536 parts of a bin, ... */
struct detail {
    uint64_t prefix; /* upper bits of its keys */
    unsigned shift;  /* key >> shift == prefix */
    uint64_t n;      /* values in it */
    int next;        /* of the same bin; -1: none */
    bool ready;
    uint32_t (*count)[SC_SIDES]; /* (SUB, and SUB / BLOCK when ready), or: */
    uint64_t *kept;              /* (n) keys: positive ones from the front, the others from the
                                    end; either ascend when ready */
    size_t n_kept[SC_SIDES];
};

struct sc_finer {
    bool wide, no_memory;
    pthread_mutex_t lock;
    int first[BINS]; /* into detail; -1: none */
    uint32_t wanted[BINS / 32];
    int n;
    struct detail detail[MAX_DETAILS];
};

static double key_value(uint64_t key, bool wide)
{
    if (wide) {
        double d;
        memcpy(&d, &key, sizeof d);
        return d;
    }
    const uint32_t bits = (uint32_t)(key >> 32);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The largest key whose value is at most t >= 0; what is not finite is above all. */
static uint64_t key_of(double t, bool wide)
{
    uint64_t key;
    t = fabs(t); /* -0 */
    if (wide) {
        memcpy(&key, &t, sizeof key);
        return key;
    }
    float f = (float)t;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((double)f > t)
        bits--;
    return (uint64_t)bits << 32 | UINT32_MAX;
}

/* ---------------------------------------------------------------------------------- details --- */
int sc_finer_new(bool wide, struct sc_finer **out, struct sc_error *e)
{
    struct sc_finer *f = sc_calloc(1, sizeof *f);
    if (!f)
        return sc_fail_memory(e);
    f->wide = wide;
    pthread_mutex_init(&f->lock, NULL);
    for (size_t i = 0; i < BINS; i++)
        f->first[i] = -1;
    *out = f;
    return 0;
}

void sc_finer_free(struct sc_finer *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->n; i++) {
        free(f->detail[i].count);
        free(f->detail[i].kept);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static struct detail *find(struct sc_finer *f, uint64_t prefix, unsigned shift)
{
    for (int i = f->first[prefix >> (48 - shift)]; i >= 0; i = f->detail[i].next)
        if (f->detail[i].shift == shift && f->detail[i].prefix == prefix)
            return &f->detail[i];
    return NULL;
}

static struct detail *want(struct sc_finer *f, uint64_t prefix, unsigned shift, uint64_t n)
{
    struct detail *d = find(f, prefix, shift);
    if (d || f->n == MAX_DETAILS || n > UINT32_MAX)
        return d;
    const size_t bin = (size_t)(prefix >> (48 - shift));
    d = &f->detail[f->n];
    *d = (struct detail){.prefix = prefix, .shift = shift, .n = n, .next = f->first[bin]};
    if (n <= FEW)
        d->kept = sc_calloc((size_t)n, sizeof *d->kept);
    else
        d->count = sc_calloc(SUB + SUB / BLOCK, sizeof *d->count);
    if (!d->kept && !d->count) {
        f->no_memory = true;
        return NULL;
    }
    f->first[bin] = f->n++;
    f->wanted[bin / 32] |= UINT32_C(1) << bin % 32;
    return d;
}

bool sc_finer_open(const struct sc_finer *f)
{
    for (int i = 0; i < f->n; i++)
        if (!f->detail[i].ready)
            return true;
    return false;
}

bool sc_finer_failed(const struct sc_finer *f)
{
    return f->no_memory;
}

const uint32_t *sc_finer_wanted(const struct sc_finer *f)
{
    return f->wanted;
}

static void add_key(struct sc_finer *f, uint64_t key, unsigned side)
{
    for (int i = f->first[key >> 48]; i >= 0; i = f->detail[i].next) {
        struct detail *d = &f->detail[i];
        if (d->ready || key >> d->shift != d->prefix)
            continue;
        if (d->count)
            d->count[key >> (d->shift - 16) & (SUB - 1)][side]++;
        else if (d->n_kept[0] + d->n_kept[1] < d->n) {
            const size_t at = d->n_kept[side]++;
            d->kept[side == SC_POSITIVE ? at : (size_t)d->n - 1 - at] = key;
        }
    }
}

void sc_finer_add(struct sc_finer *f, const uint32_t *bits, size_t n)
{
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < n; i++)
        add_key(f, (uint64_t)(bits[i] & 0x7fffffff) << 32, bits[i] >> 31);
    pthread_mutex_unlock(&f->lock);
}

void sc_finer_add64(struct sc_finer *f, const uint64_t *bits, size_t n)
{
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < n; i++)
        add_key(f, bits[i] & INT64_MAX, (unsigned)(bits[i] >> 63));
    pthread_mutex_unlock(&f->lock);
}

static uint64_t *negative_kept(const struct detail *d)
{
    return d->kept + (size_t)d->n - d->n_kept[SC_NEGATIVE];
}

static void make_ready(struct detail *d, uint64_t *spare)
{
    for (size_t i = 0; d->count && i < SUB; i++)
        for (unsigned side = 0; side < SC_SIDES; side++)
            d->count[SUB + i / BLOCK][side] += d->count[i][side];
    if (d->kept && spare) {
        sc_sort_bits(d->kept, spare, d->n_kept[SC_POSITIVE], 0);
        sc_sort_bits(negative_kept(d), spare, d->n_kept[SC_NEGATIVE], 0);
    }
    d->ready = true;
}

void sc_finer_close(struct sc_finer *f)
{
    uint64_t *spare = sc_alloc(FEW * sizeof *spare);
    for (int i = 0; i < f->n; i++)
        if (!f->detail[i].ready)
            make_ready(&f->detail[i], spare);
    f->no_memory = f->no_memory || !spare;
    free(spare);
    memset(f->wanted, 0, sizeof f->wanted);
}

/* -------------------------------------------------------------------------------- selection --- */
enum { POSITIVE = 1 << SC_POSITIVE, NEGATIVE = 1 << SC_NEGATIVE, BOTH = POSITIVE | NEGATIVE };

static struct sc_bounds point(double x)
{
    return (struct sc_bounds){x, x};
}

static struct sc_bounds range_of(uint64_t prefix, unsigned shift, bool wide)
{
    return (struct sc_bounds){key_value(prefix << shift, wide),
                              key_value((prefix + 1) << shift, wide)};
}

/* Of two ascending lists as one: the key of rank `rank`, which is below their length. */
static uint64_t key_of_rank(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b,
                            size_t rank)
{
    size_t low = rank > n_b ? rank - n_b : 0, high = SC_MIN(rank, n_a); /* of a, before it */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (a[middle] < b[rank - middle - 1])
            low = middle + 1;
        else
            high = middle;
    }
    const size_t other = rank - low;
    return SC_MIN(low < n_a ? a[low] : UINT64_MAX, other < n_b ? b[other] : UINT64_MAX);
}

static size_t keys_up_to(const uint64_t *keys, size_t n, uint64_t key)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (keys[middle] <= key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint64_t counted(const uint32_t n[SC_SIDES], unsigned sides)
{
    return (sides & POSITIVE ? (uint64_t)n[SC_POSITIVE] : 0) +
           (sides & NEGATIVE ? (uint64_t)n[SC_NEGATIVE] : 0);
}

/* The value of rank `rank` among the magnitudes of these sides in a bin. */
static struct sc_bounds in_bin(struct sc_finer *f, uint64_t prefix, unsigned shift, uint64_t n,
                               unsigned sides, uint64_t rank)
{
    struct detail *d = want(f, prefix, shift, n);
    if (!d || !d->ready)
        return range_of(prefix, shift, f->wide);
    if (d->kept) {
        const size_t positive = sides & POSITIVE ? d->n_kept[SC_POSITIVE] : 0;
        const size_t negative = sides & NEGATIVE ? d->n_kept[SC_NEGATIVE] : 0;
        if (rank < positive + negative)
            return point(key_value(
                key_of_rank(d->kept, positive, negative_kept(d), negative, (size_t)rank), f->wide));
    }
    uint64_t i = 0;
    for (; d->count && i < SUB && rank >= counted(d->count[SUB + i / BLOCK], sides); i += BLOCK)
        rank -= counted(d->count[SUB + i / BLOCK], sides);
    for (; d->count && i < SUB; i++) {
        const uint64_t here = counted(d->count[i], sides), part = prefix << 16 | i;
        const unsigned low = shift - 16;
        if (rank >= here)
            rank -= here;
        else if (!f->wide || low == 0)
            return point(key_value(part << low, f->wide));
        else
            return in_bin(f, part, low, counted(d->count[i], BOTH), sides, rank);
    }
    return range_of(prefix, shift, f->wide); /* not reached */
}

/* How many magnitudes of these sides in a bin have a key up to this one; 0 while not known. */
static uint64_t in_bin_up_to(struct sc_finer *f, uint64_t prefix, unsigned shift, uint64_t n,
                             unsigned sides, uint64_t key)
{
    const struct detail *d = want(f, prefix, shift, n);
    uint64_t sum = 0;
    if (!d || !d->ready)
        return 0;
    if (d->kept)
        return (sides & POSITIVE ? keys_up_to(d->kept, d->n_kept[SC_POSITIVE], key) : 0) +
               (sides & NEGATIVE ? keys_up_to(negative_kept(d), d->n_kept[SC_NEGATIVE], key) : 0);
    const uint64_t last = key >> (shift - 16) & (SUB - 1);
    for (uint64_t i = 0; i < last / BLOCK; i++)
        sum += counted(d->count[SUB + i], sides);
    for (uint64_t i = last / BLOCK * BLOCK; i < last; i++)
        sum += counted(d->count[i], sides);
    return sum + (f->wide && shift > 16 ? in_bin_up_to(f, prefix << 16 | last, shift - 16,
                                                       counted(d->count[last], BOTH), sides, key)
                                        : counted(d->count[last], sides));
}

/* ------------------------------------------------------------------------------------ order --- */
void sc_order_clear(struct sc_order *o)
{
    free(o->low);
    free(o->high);
    free(o->below[SC_POSITIVE]);
    free(o->below[SC_NEGATIVE]);
    free(o->bin);
    memset(o, 0, sizeof *o);
}

static uint64_t before(const struct sc_order *o, unsigned sides, size_t entry)
{
    return (sides & POSITIVE ? o->below[SC_POSITIVE][entry] : 0) +
           (sides & NEGATIVE ? o->below[SC_NEGATIVE][entry] : 0);
}

uint64_t sc_order_count(const struct sc_order *o)
{
    return before(o, BOTH, o->n);
}

static uint64_t both_in(const struct sc_order *o, size_t entry)
{
    return before(o, BOTH, entry + 1) - before(o, BOTH, entry);
}

/* rank is below the number of values of these sides. */
static struct sc_bounds select_magnitude(const struct sc_order *o, unsigned sides, uint64_t rank)
{
    size_t low = 0, high = o->n; /* before(low) <= rank < before(high) */
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (before(o, sides, middle) <= rank)
            low = middle;
        else
            high = middle;
    }
    if (!o->high)
        return point(o->low[low]);
    return in_bin(o->finer, o->bin[low], 48, both_in(o, low), sides, rank - before(o, sides, low));
}

struct sc_bounds sc_order_magnitude(const struct sc_order *o, uint64_t rank)
{
    return select_magnitude(o, BOTH, rank);
}

struct sc_bounds sc_order_value(const struct sc_order *o, uint64_t rank)
{
    const uint64_t negative = before(o, NEGATIVE, o->n);
    if (rank >= negative)
        return select_magnitude(o, POSITIVE, rank - negative);
    const struct sc_bounds b = select_magnitude(o, NEGATIVE, negative - 1 - rank);
    return (struct sc_bounds){0 - b.high, 0 - b.low};
}

/* Entries whose low is at most t. */
static size_t entries_up_to(const struct sc_order *o, double t)
{
    size_t low = 0, high = o->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (o->low[middle] <= t)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Magnitudes of these sides up to t >= 0 (or below t). */
static uint64_t magnitudes(const struct sc_order *o, unsigned sides, double t, bool or_equal)
{
    const size_t end = entries_up_to(o, t);
    if (end == 0)
        return 0;
    const size_t last = end - 1;
    if (!or_equal && o->low[last] == t)
        return before(o, sides, last);
    if (!o->high || t >= o->high[last])
        return before(o, sides, end);
    uint64_t key = key_of(t, o->wide);
    if (!or_equal && key_value(o->wide ? key : key & ~(uint64_t)UINT32_MAX, o->wide) == t)
        key -= o->wide ? 1 : UINT64_C(1) << 32;
    return before(o, sides, last) +
           in_bin_up_to(o->finer, o->bin[last], 48, both_in(o, last), sides, key);
}

uint64_t sc_order_within(const struct sc_order *o, double t)
{
    return t >= 0 ? magnitudes(o, BOTH, t, true) : 0;
}

uint64_t sc_order_above(const struct sc_order *o, double t)
{
    if (isnan(t))
        return 0;
    if (t >= 0)
        return before(o, POSITIVE, o->n) - magnitudes(o, POSITIVE, t, true);
    return before(o, POSITIVE, o->n) + magnitudes(o, NEGATIVE, -t, false);
}

uint64_t sc_order_below(const struct sc_order *o, double t)
{
    if (isnan(t))
        return 0;
    if (t <= 0)
        return before(o, NEGATIVE, o->n) - magnitudes(o, NEGATIVE, -t, true);
    return before(o, NEGATIVE, o->n) + magnitudes(o, POSITIVE, t, false);
}

static void expect_magnitudes(const struct sc_order *o, double low, double high)
{
    const size_t end = entries_up_to(o, high);
    size_t first = entries_up_to(o, low);
    first -= first > 0;
    if (end - first > MAX_EXPECTED)
        return; /* so they will be asked for in the next visit */
    for (size_t i = first; i < end; i++)
        (void)want(o->finer, o->bin[i], 48, both_in(o, i));
}

void sc_order_expect(const struct sc_order *o, struct sc_bounds threshold)
{
    if (!o->high || !(threshold.low < threshold.high))
        return;
    if (threshold.low >= 0)
        expect_magnitudes(o, threshold.low, threshold.high);
    else if (threshold.high <= 0)
        expect_magnitudes(o, -threshold.high, -threshold.low);
}
