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

enum { POINT = 20, HALF = SC_BYTE_WINDOW / 2 };
static uint32_t whole[SC_BYTE_WINDOW + 1]; /* n log2 n, in 2^-20 */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (unsigned n = 2; n <= SC_BYTE_WINDOW; n++)
        whole[n] = (uint32_t)llround(ldexp(n * log2(n), POINT));
}

/* Equal bytes are often neighbours, and a processor waits for a counter that it has just written:
 * so four tables take turns. */
static uint64_t entropy_of(const uint8_t *p, size_t n)
{
    enum { TURNS = 4 };
    uint8_t seen[TURNS][256] = {{0}}; /* at most 64 each */
    uint64_t sum = 0, more = 0;
    size_t i = 0;
    for (; i + TURNS <= n; i += TURNS)
        for (size_t k = 0; k < TURNS; k++)
            seen[k][p[i + k]]++;
    for (; i < n; i++)
        seen[i % TURNS][p[i]]++;
    if (seen[0][p[0]] + seen[1][p[0]] + seen[2][p[0]] + seen[3][p[0]] == SC_BYTE_WINDOW)
        return 0; /* all the same: the one sum that a byte cannot hold */
    for (size_t v = 0; v < 256; v++)
        seen[0][v] = (uint8_t)(seen[0][v] + seen[1][v] + seen[2][v] + seen[3][v]);
    for (size_t v = 0; v < 256; v += 8) {
        uint64_t eight;
        memcpy(&eight, seen[0] + v, sizeof eight);
        for (unsigned k = 0; k < 64; k += 16) {
            sum += whole[eight >> k & 0xff];
            more += whole[eight >> (k + 8) & 0xff];
        }
    }
    return whole[n] - sum - more;
}

float sc_byte_entropy(const uint8_t *p, size_t n)
{
    pthread_once(&once, make_table);
    return (float)(ldexp((double)entropy_of(p, n), -POINT) / (double)n);
}

/* Small enough sums that a processor adds 16 or 8 at once: n is at most HALF. */
static void add_half(struct sc_byte_sum *s, const uint8_t *p, size_t n)
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

void sc_byte_sum_add(struct sc_byte_sum *s, const uint8_t *p, size_t n, bool entropy)
{
    const size_t half = SC_MIN(n, (size_t)HALF);
    add_half(s, p, half);
    if (n > half)
        add_half(s, p + half, n - half);
    if (!entropy)
        return;
    pthread_once(&once, make_table);
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
