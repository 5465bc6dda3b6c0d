/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_count: what many bytes are as one pixel. Sums are whole numbers, so their order does not
 * matter. */
#include "picture/bytes_count.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

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

/* Counts and sums of a window lie beside each other in words, so that a byte is one addition of
 * each. */
enum { COUNT_BITS = 12, SUM_BITS = 20, POINT = 20 };
static struct {
    uint64_t counts[256], sums[256];
    uint64_t grown[SC_BYTE_WINDOW];     /* (c + 1) log2(c + 1) - c log2 c */
    uint64_t whole[SC_BYTE_WINDOW + 1]; /* n log2 n */
} table;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint64_t fixed(double x)
{
    return (uint64_t)llround(ldexp(x, POINT));
}

static void make_table(void)
{
    for (unsigned v = 0; v < 256; v++) {
        const enum sc_byte_class c = sc_byte_class_of((uint8_t)v);
        table.counts[v] = UINT64_C(1) << COUNT_BITS * c;
        table.sums[v] = c == SC_BYTE_ZERO || c == SC_BYTE_FULL
                            ? 0
                            : (uint64_t)v << SUM_BITS * ((unsigned)c - SC_BYTE_CONTROL);
    }
    for (unsigned n = 2; n <= SC_BYTE_WINDOW; n++)
        table.whole[n] = fixed(n * log2(n));
    for (unsigned n = 0; n < SC_BYTE_WINDOW; n++)
        table.grown[n] = table.whole[n + 1] - table.whole[n];
}

static uint64_t entropy_of(const uint8_t *p, size_t n)
{
    uint8_t seen[256] = {0}; /* the last of 256 equal bytes may wrap: it is not looked at again */
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += table.grown[seen[p[i]]++];
    return table.whole[n] - sum;
}

float sc_byte_entropy(const uint8_t *p, size_t n)
{
    pthread_once(&once, make_table);
    return (float)(ldexp((double)entropy_of(p, n), -POINT) / (double)n);
}

void sc_byte_sum_add(struct sc_byte_sum *s, const uint8_t *p, size_t n, bool entropy)
{
    uint64_t counts = 0, sums = 0;
    uint8_t min = s->min, max = s->max;
    pthread_once(&once, make_table);
    for (size_t i = 0; i < n; i++) {
        counts += table.counts[p[i]];
        sums += table.sums[p[i]];
    }
    for (size_t i = 0; i < n; i++) {
        min = SC_MIN(min, p[i]);
        max = SC_MAX(max, p[i]);
    }
    s->min = min;
    s->max = max;
    for (unsigned k = 0; k < SC_BYTE_CLASSES; k++)
        s->count[k] += counts >> COUNT_BITS * k & ((1 << COUNT_BITS) - 1);
    for (unsigned k = 0; k < SC_COUNT(s->sum); k++)
        s->sum[k] += sums >> SUM_BITS * k & ((1 << SUM_BITS) - 1);
    if (entropy)
        s->entropy += entropy_of(p, n);
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
    return ldexp((double)s->entropy, -POINT) / (double)sc_byte_sum_bytes(s);
}

static unsigned main_byte(const struct sc_byte_sum *s)
{
    unsigned most = 0;
    for (unsigned k = 1; k < SC_BYTE_CLASSES; k++)
        if (s->count[k] > s->count[most])
            most = k;
    if (most == SC_BYTE_ZERO || most == SC_BYTE_FULL)
        return most == SC_BYTE_ZERO ? 0 : 255;
    const uint64_t n = s->count[most], mean = (s->sum[most - 1] + n / 2) / n;
    /* the mean of control bytes may fall between 31 and 127 */
    if (most == SC_BYTE_CONTROL && mean > 31)
        return mean < 79 ? 31 : 127;
    return (unsigned)mean;
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
