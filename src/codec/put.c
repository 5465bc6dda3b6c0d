/* SPDX-License-Identifier: Apache-2.0 */
/* put: one element of a block as it lies in a file, while all others keep their values.
 *
 * Floats and integers that have bytes of their own are rounded to them. In a packed block an
 * element has some bits of its own beside scales that it shares with others. Which bits those are
 * is not written down for each type: it is found out, by turning each bit of some random blocks and
 * looking which values change. A bit that changes the same value in all of them, and no other, is
 * that element's. What they can say is then tried. */
#include <math.h>
#include <string.h>

#include "codec/encoding.h"

enum { TRIALS = 32, MOST_BITS = 292 * 8 };

struct plain {
    const char *name;
    uint8_t element;    /* enum sc_element, or */
    double least, most; /* integers */
};
static const struct plain plains[] = {
    {"F16", SC_ELEMENT_F16, 0, 0},
    {"BF16", SC_ELEMENT_BF16, 0, 0},
    {"F8_E4M3", SC_ELEMENT_E4M3, 0, 0},
    {"F8_E5M2", SC_ELEMENT_E5M2, 0, 0},
    {"F8_E4M3FNUZ", SC_ELEMENT_E4M3FNUZ, 0, 0},
    {"F8_E5M2FNUZ", SC_ELEMENT_E5M2FNUZ, 0, 0},
    {"F32", SC_ELEMENT_F32, 0, 0},
    {"F64", SC_ELEMENT_NONE, 0, 0},
    {"BOOL", SC_ELEMENT_INT, 0, 1},
    {"I8", SC_ELEMENT_INT, -0x1p7, 0x1p7 - 1},
    {"U8", SC_ELEMENT_INT, 0, 0x1p8 - 1},
    {"I16", SC_ELEMENT_INT, -0x1p15, 0x1p15 - 1},
    {"U16", SC_ELEMENT_INT, 0, 0x1p16 - 1},
    {"I32", SC_ELEMENT_INT, -0x1p31, 0x1p31 - 1},
    {"U32", SC_ELEMENT_INT, 0, 0x1p32 - 1},
    {"I64", SC_ELEMENT_INT, -0x1p63, 0x1p63 - 1024}, /* the largest double below 2^63 */
    {"U64", SC_ELEMENT_INT, 0, 0x1p64 - 2048},
};

static const struct plain *find_plain(sc_codec_id id)
{
    const char *name = sc_codec(id)->name;

    for (size_t i = 0; i < SC_COUNT(plains); i++)
        if (strcmp(plains[i].name, name) == 0)
            return &plains[i];
    return NULL;
}

/* ---------------------------------------------------------------------------- whose bits --- */

/* Bytes of no meaning, the same every time. */
static void fill(uint8_t *p, size_t n, uint32_t *state)
{
    for (size_t i = 0; i < n; i++) {
        *state = *state * 1664525U + 1013904223U;
        p[i] = (uint8_t)(*state >> 24);
    }
}

/* The one element whose value differs; -1: none, -2: several. */
static int changed(const float *a, const float *b, size_t n)
{
    int which = -1;

    for (size_t i = 0; i < n; i++)
        if (sc_bits_of(a[i]) != sc_bits_of(b[i]))
            which = which == -1 ? (int)i : -2;
    return which;
}

static bool collect(const int16_t *owner, size_t bits, const struct sc_codec *c,
                    struct sc_own_bits *out)
{
    unsigned least = SC_OWN_BITS;

    memset(out, 0, sizeof *out);
    for (size_t bit = 0; bit < bits; bit++) {
        if (owner[bit] < 0)
            continue;
        const size_t i = (size_t)owner[bit];
        if (out->n[i] == SC_OWN_BITS)
            return false;
        out->at[i][out->n[i]++] = (uint16_t)bit;
    }
    for (size_t i = 0; i < c->block; i++)
        least = SC_MIN(least, (unsigned)out->n[i]);
    /* One bit of several is the sign: nothing can be said with it. */
    return least > 1 || (least == 1 && (unsigned)c->bytes * 8 < c->block * 2U);
}

bool sc_own_bits_find(sc_codec_id id, struct sc_own_bits *out)
{
    const struct sc_codec *c = sc_codec(id);
    sc_decode_fn *decode = sc_decoder(id, SC_CPU_C);
    const size_t bits = (size_t)c->bytes * 8;
    int16_t owner[MOST_BITS];
    uint8_t block[MOST_BITS / 8];
    float was[SC_OWN_BLOCK], is[SC_OWN_BLOCK];
    uint32_t state = 1;

    if (!decode || c->row_bytes || c->block > SC_OWN_BLOCK || bits > MOST_BITS ||
        sc_codec_values(id) != 1)
        return false;
    for (size_t bit = 0; bit < bits; bit++)
        owner[bit] = -1;
    for (int trial = 0; trial < TRIALS; trial++) {
        fill(block, c->bytes, &state);
        decode(block, was, 1);
        for (size_t bit = 0; bit < bits; bit++) {
            if (owner[bit] == -2)
                continue;
            block[bit / 8] ^= (uint8_t)(1U << bit % 8);
            decode(block, is, 1);
            block[bit / 8] ^= (uint8_t)(1U << bit % 8);
            const int which = changed(was, is, c->block);
            if (which != -1)
                owner[bit] = (int16_t)(owner[bit] == -1 || owner[bit] == which ? which : -2);
        }
    }
    return collect(owner, bits, c, out);
}

/* ------------------------------------------------------------------------------- putting --- */

bool sc_can_put(sc_codec_id id, const struct sc_own_bits *own)
{
    return find_plain(id) || own;
}

/* As a float whose last bit says that there is more: rounding it again to fewer bits rounds x. */
static float to_odd(double x)
{
    const float f = (float)x;
    uint32_t bits = sc_bits_of(f);

    if (!isfinite(x) || (double)f == x)
        return f;
    if (!isfinite(f))
        return sc_float_of((bits & 0x80000000U) | 0x7f7fffffU);
    if (fabs((double)f) > fabs(x))
        bits--;
    return sc_float_of(bits | 1);
}

static void store(uint8_t *p, uint64_t bits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(bits >> 8 * i);
}

static void put_plain(const struct plain *t, uint8_t *p, size_t bytes, double x)
{
    if (t->element == SC_ELEMENT_NONE) {
        const union {
            double d;
            uint64_t u;
        } v = {x};
        store(p, v.u, bytes);
    } else if (t->element == SC_ELEMENT_INT) {
        const double r = rint(SC_MAX(t->least, SC_MIN(t->most, x)));
        store(p, r < 0 ? (uint64_t)(int64_t)r : (uint64_t)r, bytes);
    } else if (t->element == SC_ELEMENT_F32) {
        const float f = (float)x;
        const bool large = isfinite(x) && !isfinite(f);
        store(p, large ? (sc_bits_of(f) & 0x80000000U) | 0x7f7fffffU : sc_bits_of(f), bytes);
    } else {
        const double most = (double)sc_element_largest((enum sc_element)t->element);
        if (isfinite(x))
            x = SC_MAX(-most, SC_MIN(most, x));
        store(p, sc_element_encode((enum sc_element)t->element, to_odd(x), true), bytes);
    }
}

/* The code nearest to x; of two that are as near the smaller value. */
static void put_bits(sc_codec_id id, const struct sc_own_bits *own, uint8_t *block, unsigned i,
                     double x)
{
    sc_decode_fn *decode = sc_decoder(id, SC_CPU_C);
    float values[SC_OWN_BLOCK];
    uint8_t best[MOST_BITS / 8];
    double nearest = INFINITY, size = INFINITY;
    const size_t bytes = sc_codec(id)->bytes;

    memcpy(best, block, bytes);
    for (unsigned code = 0; code < 1U << own->n[i]; code++) {
        for (unsigned k = 0; k < own->n[i]; k++) {
            const unsigned bit = own->at[i][k];
            block[bit / 8] =
                (uint8_t)((block[bit / 8] & ~(1U << bit % 8)) | (code >> k & 1) << bit % 8);
        }
        decode(block, values, 1);
        const double v = (double)values[i], away = fabs(v - x);
        if (away < nearest || (away <= nearest && fabs(v) < size)) {
            nearest = away;
            size = fabs(v);
            memcpy(best, block, bytes);
        }
    }
    memcpy(block, best, bytes);
}

void sc_put_element(sc_codec_id id, const struct sc_own_bits *own, uint8_t *block, unsigned i,
                    double x)
{
    const struct plain *t = find_plain(id);

    if (t)
        put_plain(t, block, sc_codec(id)->bytes, x);
    else
        put_bits(id, own, block, i, x);
}
