/* SPDX-License-Identifier: Apache-2.0 */
/* format: numbers as words, the same in every locale.
 *
 * Owns: sizes, percentages, counts and doubles as text. Does not own: alignment and colour (term).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"

size_t sc_format_u64(uint64_t n, char out[24])
{
    char digits[20];
    size_t used = 0;

    do {
        digits[used++] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    for (size_t i = 0; i < used; i++)
        out[i] = digits[used - 1 - i];
    out[used] = '\0';
    return used;
}

void sc_format_count(uint64_t n, char out[32])
{
    char digits[24];
    size_t left = sc_format_u64(n, digits);
    char *to = out;

    for (const char *p = digits; *p; p++) {
        *to++ = *p;
        if (--left && left % 3 == 0)
            *to++ = ',';
    }
    *to = '\0';
}

/* printf obeys the locale of the program that uses the library; what is neither digit, sign nor
 * exponent can only be its decimal point, which may take several bytes. */
static void plain_point(char *s)
{
    char *to = s;
    bool in_point = false;

    for (; *s; s++) {
        if (strchr("0123456789+-e", *s)) {
            *to++ = *s;
            in_point = false;
        } else if (!in_point) {
            *to++ = '.';
            in_point = true;
        }
    }
    *to = '\0';
}

/* What printf would print, for numbers of everyday size that do not lie near the middle between two
 * results: a tree has a million of them, and printf is exact at any price. */
static bool fixed_by_integers(double v, unsigned digits, char out[64])
{
    static const double scales[] = {1, 10, 100, 1000, 10000};
    static const unsigned units[] = {1, 10, 100, 1000, 10000};

    if (digits >= SC_COUNT(scales) || !(fabs(v) < 1e5))
        return false;
    double scaled = fabs(v) * scales[digits], whole = floor(scaled), part = scaled - whole;
    if (fabs(part - 0.5) < 1e-5)
        return false;
    uint64_t n = (uint64_t)whole + (part > 0.5);
    char *to = out;
    if (v < 0 && n)
        *to++ = '-';
    to += sc_format_u64(n / units[digits], to);
    if (digits) {
        *to++ = '.';
        for (unsigned unit = units[digits] / 10; unit; unit /= 10)
            *to++ = (char)('0' + n / unit % 10);
    }
    *to = '\0';
    return true;
}

void sc_format_fixed(double v, unsigned digits, char out[64])
{
    if (!isfinite(v)) {
        memcpy(out, "-", 2);
        return;
    }
    if (fixed_by_integers(v, digits, out))
        return;
    /* Beyond this the fixed form is longer than it is useful, and than the buffer. */
    snprintf(out, 64, fabs(v) < 1e30 ? "%.*f" : "%.*e", (int)SC_MIN(digits, 17), v);
    plain_point(out);
}

/* The unit is chosen before rounding, as `we` does: 999,950 is "1000.0 KB". */
void sc_format_bytes(uint64_t bytes, char out[32])
{
    static const char units[][4] = {"KB", "MB", "GB", "TB", "PB", "EB"};
    size_t unit = 0;

    if (bytes < 1000) {
        size_t n = sc_format_u64(bytes, out);
        memcpy(out + n, " B", 3);
        return;
    }
    double v = (double)bytes / 1000;
    for (; v >= 1000 && unit + 1 < SC_COUNT(units); unit++)
        v /= 1000;
    char number[64];
    sc_format_fixed(v, 1, number);
    size_t n = strlen(number);
    memcpy(out, number, n + 1);
    out[n] = ' ';
    memcpy(out + n + 1, units[unit], 3);
}

void sc_format_percent(double percent, char out[32])
{
    char text[64];

    sc_format_fixed(isnan(percent) ? percent : SC_MIN(SC_MAX(percent, -1e9), 1e9), 1, text);
    memcpy(out, text, strlen(text) + 1);
}

void sc_format_parameters(uint64_t n, char out[32])
{
    static const char units[] = "KMBTQ";
    uint64_t tenth = 100; /* a tenth of the unit */
    size_t unit = 0;

    if (n < 1000) {
        sc_format_u64(n, out);
        return;
    }
    /* Rounded to tenths the number must stay below 1000.0 of its unit. */
    while (unit + 2 < sizeof units && n / tenth + (n % tenth >= tenth / 2) >= 10000) {
        tenth *= 1000;
        unit++;
    }
    uint64_t tenths = n / tenth + (n % tenth >= tenth / 2);
    size_t used = sc_format_u64(tenths / 10, out);
    if (tenths % 10) {
        out[used++] = '.';
        out[used++] = (char)('0' + tenths % 10);
    }
    out[used++] = units[unit];
    out[used] = '\0';
}

void sc_format_real(double v, char out[40])
{
    float single = fabs(v) < 3e38 ? (float)v : 0;

    if ((double)single != v || v == 0) {
        sc_format_double(v, out);
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(out, 40, "%.*g", digits, v);
        if ((float)strtod(out, NULL) == single)
            break;
    }
    plain_point(out);
}

void sc_format_double(double v, char out[40])
{
    if (isnan(v)) {
        memcpy(out, "NaN", 4);
        return;
    }
    if (isinf(v)) {
        memcpy(out, v < 0 ? "-Infinity" : "Infinity", v < 0 ? 10 : 9);
        return;
    }
    /* Whole numbers below 2^53 are exact and by far the most frequent. */
    if (fabs(v) < 9007199254740992.0 && v == floor(v) && !(v == 0 && signbit(v))) {
        size_t sign = v < 0;
        out[0] = '-';
        sc_format_u64((uint64_t)fabs(v), out + sign);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, v);
        if (digits == 17 || strtod(out, NULL) == v)
            break;
    }
    plain_point(out);
}
