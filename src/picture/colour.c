/* SPDX-License-Identifier: Apache-2.0 */
/* colour: which step of a scale a value is in.
 *
 * A step is what lies between two edges, and edges are floats that are computed once. As the upper
 * 16 bits of a float mostly tell the step, a table of these is enough for most pixels: an entry
 * with an edge inside says where, and only where there are several the edges are asked. */
#include "picture/colour_parts.h"

#include <math.h>
#include <string.h>

#define HALF    120                                  /* steps on one side of zero */
#define FOREVER (UINT32_C(0xffff) << SC_COLOUR_LAST) /* an entry without edges */
#define A_STEP  0x1000                               /* of special_entry(): not special */

/* Upper bits of a float, and what is not its sign. */
enum { SIGN = 0x8000, INFINITE = 0x7f80, SIZE = 0x7fffffff };

const char *const sc_colour_modes[SC_COLOUR_MODES + 1] = {
    "diverging", "linear", "magnitude", "sign", "exponent", "bits",  "rank", "range",
    "classes",   "value",  "entropy",   "rms",  "abs-log",  "exact", NULL};

const char *const sc_colour_labels[SC_COLOUR_MODES] = {
    "sign and size (logarithmic)",
    "sign and size (linear)",
    "size (logarithmic)",
    "sign",
    "exponent",
    "raw bits (last of the exponent, first of the fraction)",
    "rank in the tensor",
    "low to high end of the map",
    "kind of byte",
    "value of the byte",
    "entropy",
    "by the root mean square of A",
    "absolute (logarithmic, 1e-6 to 0.1)",
    "exact: any change, by its sign"};

const char *const sc_colour_ends[] = {
    [SC_END_SCALE] = "scale", [SC_END_RMS] = "rms", [SC_END_ONE] = "one"};

enum sc_colour_end sc_colour_mode_end(enum sc_colour_mode mode)
{
    return mode == SC_COLOURS_RMS       ? SC_END_RMS
           : mode == SC_COLOURS_ABS_LOG ? SC_END_ONE
                                        : SC_END_SCALE;
}

const char *const sc_shows_names[SC_SHOWS_COUNT + 1] = {"weights", "differences", "bytes", "maps",
                                                        NULL};

bool sc_colour_mode_suits(enum sc_colour_mode mode, enum sc_shows shows)
{
    enum {
        WEIGHTS = 1 << SC_SHOWS_WEIGHTS,
        CHANGES = 1 << SC_SHOWS_DIFFERENCES,
        BYTES = 1 << SC_SHOWS_BYTES,
        MAPS = 1 << SC_SHOWS_MAPS
    };
    static const unsigned suits[SC_COLOUR_MODES] = {
        [SC_COLOURS_DIVERGING] = WEIGHTS | CHANGES | MAPS,
        [SC_COLOURS_LINEAR] = WEIGHTS | CHANGES | MAPS,
        [SC_COLOURS_MAGNITUDE] = WEIGHTS | CHANGES | MAPS,
        [SC_COLOURS_SIGN] = WEIGHTS,
        [SC_COLOURS_EXPONENT] = WEIGHTS,
        [SC_COLOURS_BITS] = WEIGHTS,
        [SC_COLOURS_RANK] = WEIGHTS | MAPS,
        [SC_COLOURS_RANGE] = MAPS,
        [SC_COLOURS_CLASSES] = BYTES,
        [SC_COLOURS_VALUE] = BYTES,
        [SC_COLOURS_ENTROPY] = BYTES,
        [SC_COLOURS_RMS] = CHANGES,
        [SC_COLOURS_ABS_LOG] = CHANGES,
        [SC_COLOURS_EXACT] = CHANGES,
    };
    return (suits[mode] >> shows & 1) != 0;
}

bool sc_colour_mode_find(struct sc_str name, enum sc_colour_mode *out)
{
    for (int i = 0; i < SC_COLOUR_MODES; i++)
        if (sc_str_eq(name, sc_strz(sc_colour_modes[i]))) {
            *out = (enum sc_colour_mode)i;
            return true;
        }
    return false;
}

/* ----------------------------------------------------------------------------------- edges --- */

/* Where step k of n begins on one side of zero, as a share of the scale. */
static double share_at(enum sc_colour_mode mode, double k, double n)
{
    if (mode == SC_COLOURS_DIVERGING)
        return expm1(k / n * log(1001.0)) / 1000;
    if (mode == SC_COLOURS_MAGNITUDE)
        return pow(10, (k / n - 1) * SC_COLOUR_DECADES);
    if (mode == SC_COLOURS_ABS_LOG) /* the inverse of (log10 |d| + 6) / 5 */
        return pow(10, k / n * 5 - 6);
    return k / n;
}

static bool is_plain(enum sc_colour_mode mode)
{
    return mode == SC_COLOURS_SIGN || mode == SC_COLOURS_EXPONENT || mode == SC_COLOURS_BITS ||
           mode == SC_COLOURS_EXACT;
}

/* Where step k of bytes begins. Classes: 1 to 31, 32 to 126 and 127 have a step each, 128 to 254
 * share 112 steps, 255 has the last one. */
static double byte_at(enum sc_colour_mode mode, unsigned k)
{
    enum { FIRST_HIGH = 127, LAST_HIGH = 239 };
    if (mode != SC_COLOURS_CLASSES)
        return k * (mode == SC_COLOURS_VALUE ? 256.0 : 8.0) / SC_COLOUR_STEPS;
    if (k < FIRST_HIGH)
        return k + 1;
    return k == LAST_HIGH ? 255 : 128 + (k - FIRST_HIGH) * 127.0 / (LAST_HIGH - FIRST_HIGH);
}

bool sc_colour_shares(enum sc_colour_mode mode, double out[SC_COLOUR_STEPS - 1])
{
    if (is_plain(mode))
        return false;
    if (sc_colour_mode_suits(mode, SC_SHOWS_BYTES)) {
        for (unsigned k = 1; k < SC_COLOUR_STEPS; k++)
            out[k - 1] = byte_at(mode, k);
        return true;
    }
    if (mode == SC_COLOURS_MAGNITUDE) {
        for (unsigned k = 1; k < SC_COLOUR_STEPS; k++)
            out[k - 1] = share_at(mode, k, SC_COLOUR_STEPS);
        return true;
    }
    out[HALF - 1] = 0;
    for (unsigned k = 1; k < HALF; k++) {
        out[HALF - 1 + k] = share_at(mode, k, HALF);
        out[HALF - 1 - k] = -out[HALF - 1 + k];
    }
    return true;
}

static void edges_of_scale(enum sc_colour_mode mode, const double *share, float scale,
                           struct sc_colours *c)
{
    double own[SC_COLOUR_STEPS - 1];

    if (!share && !sc_colour_shares(mode, own))
        return;
    share = share ? share : own;
    c->folded = mode == SC_COLOURS_MAGNITUDE;
    c->n_edges = SC_COLOUR_STEPS - 1;
    for (unsigned k = 0; k < c->n_edges; k++)
        c->edge[k] = (float)(share[k] * (double)scale);
}

bool sc_colour_mode_ranks(enum sc_colour_mode mode)
{
    return mode == SC_COLOURS_RANK || mode == SC_COLOURS_RANGE;
}

void sc_colour_range(float low, float high, float out[SC_COLOUR_QUANTILES])
{
    const double wide = (double)high - (double)low;

    for (unsigned i = 0; i < SC_COLOUR_QUANTILES; i++)
        out[i] = (float)((double)low + wide * i / (SC_COLOUR_QUANTILES - 1));
}

/* Step k begins at quantile k / 240, which lies between two that are given. */
static void edges_of_rank(const float *quantile, struct sc_colours *c)
{
    c->n_edges = SC_COLOUR_STEPS - 1;
    for (unsigned k = 1; k < SC_COLOUR_STEPS; k++) {
        double at = (double)k * (SC_COLOUR_QUANTILES - 1) / SC_COLOUR_STEPS;
        unsigned i = (unsigned)at;
        double low = (double)quantile[i], high = (double)quantile[i + 1];
        float edge = (float)(low + (high - low) * (at - i));
        /* what is not a number or out of order must not break the search */
        float before = k > 1 ? c->edge[k - 2] : -INFINITY;
        c->edge[k - 1] = edge >= before ? edge : before;
    }
}

/* How many edges are at or below x. */
static unsigned step_of(const struct sc_colours *c, float x)
{
    unsigned low = 0, high = c->n_edges;

    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (c->edge[mid] <= x)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* ----------------------------------------------------------------------------------- table --- */

static unsigned special_of(uint32_t bits)
{
    switch (bits) {
    case SC_PIXEL_POS_INF:
        return SC_SPECIAL_POS_INF;
    case SC_PIXEL_NEG_INF:
        return SC_SPECIAL_NEG_INF;
    case SC_PIXEL_OUTSIDE:
        return SC_SPECIAL_OUTSIDE;
    case SC_PIXEL_UNKNOWN:
        return SC_SPECIAL_UNKNOWN;
    case SC_PIXEL_WAITING:
        return SC_SPECIAL_WAITING;
    case SC_PIXEL_ONLY_A:
        return SC_SPECIAL_ONLY_A;
    case SC_PIXEL_ONLY_B:
        return SC_SPECIAL_ONLY_B;
    case SC_PIXEL_SHAPE:
        return SC_SPECIAL_SHAPE;
    default:
        return SC_SPECIAL_NAN;
    }
}

/* The entry of what is no step of the scale. */
static unsigned special_entry(uint32_t upper, float smallest, enum sc_shows shows)
{
    uint32_t bits = upper << 16, size = bits & 0x7fffffff;

    if (size == 0)
        return (shows == SC_SHOWS_DIFFERENCES ? SC_SPECIAL_SAME : SC_SPECIAL_ZERO) | SC_COLOUR_ASK;
    if (size >= 0x7f800000)
        return special_of(bits) | (size == 0x7f800000 ? SC_COLOUR_ASK : 0);
    if (sc_float_of(size) >= smallest)
        return A_STEP;
    return SC_SPECIAL_SUBNORMAL | (sc_float_of(size | 0xffff) < smallest ? 0 : SC_COLOUR_ASK);
}

static unsigned plain_step(enum sc_colour_mode mode, uint32_t upper)
{
    if (mode == SC_COLOURS_SIGN || mode == SC_COLOURS_EXACT)
        return upper & 0x8000 ? HALF / 2 : HALF + HALF / 2;
    if (mode == SC_COLOURS_EXPONENT)
        return (upper >> 7 & 31) * 7 + 3;
    return (upper & 0xff) * SC_COLOUR_STEPS / 256;
}

/* Entries from..to - 1 of values without a sign, or with one. */
static void fill_entries(struct sc_colours *c, uint32_t sign, uint32_t from, uint32_t to,
                         unsigned entry)
{
    for (uint32_t u = from; u < to; u++)
        c->of[sign | u] = entry | FOREVER;
}

/* An entry with n edges inside: `step` up to the first of them, at these lower bits. */
static void split_entry(struct sc_colours *c, uint32_t u, unsigned step, unsigned n, uint32_t lower)
{
    c->of[u] = n > 1 ? step | SC_COLOUR_ASK | FOREVER
                     : step | (u & SIGN ? SC_COLOUR_FALLS : 0) | (lower - 1) << SC_COLOUR_LAST;
}

/* How many edges are below 0, and at most 0. */
static unsigned edges_below(const struct sc_colours *c, bool or_at)
{
    unsigned k = 0;
    while (k < c->n_edges && (c->edge[k] < 0 || (or_at && c->edge[k] == 0)))
        k++;
    return k;
}

/* Steps of values without a sign: they rise from entry to entry. */
static void fill_positive(struct sc_colours *c)
{
    unsigned k = edges_below(c, true);
    uint32_t u = 0;
    while (k < c->n_edges) {
        const uint32_t bits = sc_bits_of(c->edge[k]), at = bits >> 16;
        unsigned inside = 0;
        fill_entries(c, 0, u, at, k);
        u = SC_MAX(u, at);
        if (!(bits & 0xffff)) {
            k++;
            continue;
        }
        while (k + inside < c->n_edges && sc_bits_of(c->edge[k + inside]) >> 16 == at)
            inside++;
        split_entry(c, u++, k, inside, bits & 0xffff);
        k += inside;
    }
    fill_entries(c, 0, u, INFINITE, k);
}

/* Of values with one: they fall. An edge belongs to the step above it. */
static void fill_negative(struct sc_colours *c)
{
    unsigned k = edges_below(c, false);
    uint32_t u = 0;
    while (k > 0) {
        const uint32_t bits = sc_bits_of(c->edge[k - 1]) & SIZE, at = bits >> 16;
        unsigned all = 0, inside = 0; /* edges of the entry; and those before its last value */
        fill_entries(c, SIGN, u, at, k);
        for (; all < k && (sc_bits_of(c->edge[k - 1 - all]) & SIZE) >> 16 == at; all++)
            inside += (sc_bits_of(c->edge[k - 1 - all]) & 0xffff) != 0xffff;
        if (inside)
            split_entry(c, SIGN | at, k, inside, (bits & 0xffff) + 1);
        else
            c->of[SIGN | at] = k | FOREVER;
        k -= all;
        u = at + 1;
    }
    fill_entries(c, SIGN, u, INFINITE, k);
}

static void fill_steps(struct sc_colours *c)
{
    fill_positive(c);
    if (!c->folded)
        fill_negative(c);
    for (uint32_t u = 0; c->folded && u < INFINITE; u++)
        c->of[SIGN | u] = c->of[u];
}

void sc_colours_make(const struct sc_colour_scale *s, struct sc_colours *c)
{
    const bool known = s->scale > 0 && s->scale < INFINITY;
    const float scale = known ? s->scale : 1;
    const bool plain = is_plain(s->mode);

    c->folded = false;
    c->n_edges = 0;
    if (sc_colour_mode_ranks(s->mode) && s->quantile)
        edges_of_rank(s->quantile, c);
    else
        edges_of_scale(s->mode, s->shares, scale, c);
    c->mode = s->mode;
    c->end = known ? scale : 0;
    c->smallest = s->smallest;
    for (uint32_t u = 0; plain && u < INFINITE; u++) {
        c->of[u] = plain_step(s->mode, u) | FOREVER;
        c->of[SIGN | u] = plain_step(s->mode, SIGN | u) | FOREVER;
    }
    if (!plain)
        fill_steps(c);
    for (uint32_t u = 0; u < SIGN; u++) {
        const unsigned entry = special_entry(u, s->smallest, s->shows);
        if (entry == A_STEP) { /* and so are all others that are finite */
            u = INFINITE - 1;
            continue;
        }
        c->of[u] = entry | FOREVER;
        c->of[SIGN | u] = special_entry(SIGN | u, s->smallest, s->shows) | FOREVER;
    }
}

/* Of a pixel whose lower bits are not zero. */
static unsigned look_closer(const struct sc_colours *c, uint32_t bits)
{
    float x = sc_float_of(bits);

    if ((bits & 0x7fffffff) >= 0x7f800000)
        return special_of(bits);
    if (fabsf(x) < c->smallest)
        return SC_SPECIAL_SUBNORMAL;
    if (!c->n_edges)
        return plain_step(c->mode, bits >> 16);
    return step_of(c, c->folded ? fabsf(x) : x);
}

static uint8_t index_of(const struct sc_colours *c, uint32_t bits)
{
    const uint32_t lower = bits & 0xffff, entry = c->of[bits >> 16];
    if (SC_UNLIKELY((entry & SC_COLOUR_ASK) && lower))
        return (uint8_t)look_closer(c, bits);
    /* Nobody can guess on which side of an edge it is: nothing branches. */
    const unsigned behind = lower > entry >> SC_COLOUR_LAST, down = (entry & SC_COLOUR_FALLS) != 0;
    return (uint8_t)(entry + behind - 2 * (behind & down));
}

void sc_colours_apply(const struct sc_colours *c, const uint32_t *pixels, size_t n, uint8_t *out)
{
    size_t i = 0;
#if SC_HAVE_X86
    const bool fast = sc_cpu_level() == SC_CPU_AVX512;
    while (fast && n - i >= 16) {
        i += sc_colours_apply_avx512(c, pixels + i, n - i, out + i);
        for (size_t k = 0; k < 16 && i < n; k++, i++)
            out[i] = index_of(c, pixels[i]);
    }
#endif
    for (; i < n; i++)
        out[i] = index_of(c, pixels[i]);
}

void sc_colours_apply_halves(const struct sc_colours *c, const uint16_t *halves, size_t n,
                             uint8_t *out)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4) { /* one store of four */
        uint8_t four[4];
        for (size_t k = 0; k < 4; k++)
            four[k] = (uint8_t)c->of[halves[i + k]];
        memcpy(out + i, four, sizeof four);
    }
    for (; i < n; i++)
        out[i] = (uint8_t)c->of[halves[i]];
}

double sc_colours_value(const struct sc_colours *c, unsigned step)
{
    if (c->n_edges < 1 || step > c->n_edges)
        return (double)NAN;
    if (step == 0)
        return (double)c->edge[0];
    if (step == c->n_edges)
        return (double)c->edge[step - 1];
    return ((double)c->edge[step - 1] + (double)c->edge[step]) / 2;
}

bool sc_colours_ends(const struct sc_colours *c, double *low, double *high)
{
    const double end = (double)c->end;

    if (c->n_edges < 1)
        return false;
    if (c->mode == SC_COLOURS_DIVERGING || c->mode == SC_COLOURS_LINEAR ||
        c->mode == SC_COLOURS_RMS || c->mode == SC_COLOURS_MAGNITUDE) {
        *low = c->folded ? end * pow(10, -SC_COLOUR_DECADES) : -end;
        *high = end;
        return end > 0;
    }
    *low = sc_colours_value(c, 0);
    *high = sc_colours_value(c, c->n_edges);
    return true;
}
