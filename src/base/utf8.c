/* SPDX-License-Identifier: Apache-2.0 */
/* utf8: strict decoding, columns on a terminal, and the one door through which foreign text gets
 * out (sc_put_safe, sc_quote).
 *
 *     code points       bytes                              first   second
 *     0000..007F        0xxxxxxx                           00..7F
 *     0080..07FF        110xxxxx 10xxxxxx                  C2..DF  80..BF
 *     0800..FFFF        1110xxxx 10xxxxxx 10xxxxxx         E0      A0..BF   (else overlong)
 *                                                          ED      80..9F   (else a surrogate)
 *                                                          E1..EF  80..BF
 *     10000..10FFFF     11110xxx 10xxxxxx 10xxxxxx 10xx..  F0      90..BF   (else overlong)
 *                                                          F4      80..8F   (else > 10FFFF)
 *                                                          F1..F3  80..BF
 *
 * What foreign text could do to a terminal, and what stops it here: control sequences and
 * overprinting (ESC, C1, CR, BS): escaped; text that reads in another order than it is stored
 * (bidirectional controls): escaped; lines that break a log (LF, U+2028): escaped; look-alike names
 * that differ in what cannot be seen (zero width): escaped; towers of combining marks, or a mark
 * that changes our own character in front of it: escaped beyond MARKS_MAX and at the start.
 */
#include "base/base.h"

#include <string.h>

#include "base/width_tables.h"

#define MARKS_MAX 6 /* Vietnamese needs 2, Hebrew and Thai 3, Hangul 2 */

static bool in_ranges(const struct code_range *r, size_t n, uint32_t c)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (c > r[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && r[lo].first <= c;
}

/* How many of the n bytes at p, from the first on, are printable ASCII. */
static size_t plain_run(const char *p, size_t n)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t x;
        memcpy(&x, p + i, 8);
        /* Per byte, with all top bits clear so that no carry crosses bytes: below 0x20 the sum
         * with 0x60 leaves the top bit clear; 0x7F is the only value whose sum with 1 sets it. */
        if ((x & tops) || (~(x + ones * 0x60) & tops) || ((x + ones) & tops))
            break;
    }
    while (i < n && (unsigned char)p[i] >= 0x20 && (unsigned char)p[i] < 0x7F)
        i++;
    return i;
}

size_t sc_utf8_decode(const char *p, size_t n, uint32_t *out)
{
    static const uint8_t first_min[4] = {0, 0xC2, 0xE0, 0xF0};
    const uint8_t *b = (const uint8_t *)p;
    if (n == 0)
        return 0;
    if (b[0] < 0x80) {
        *out = b[0];
        return 1;
    }

    size_t len = b[0] >= 0xF0 ? 4 : b[0] >= 0xE0 ? 3 : 2;
    if (b[0] < first_min[len - 1] || b[0] > 0xF4 || len > n)
        return 0;
    uint8_t low = b[0] == 0xE0 ? 0xA0 : b[0] == 0xF0 ? 0x90 : 0x80;
    uint8_t high = b[0] == 0xED ? 0x9F : b[0] == 0xF4 ? 0x8F : 0xBF;
    if (b[1] < low || b[1] > high)
        return 0;
    uint32_t c = b[0] & (0x7Fu >> len);
    c = c << 6 | (b[1] & 0x3Fu);
    for (size_t i = 2; i < len; i++) {
        if ((b[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (b[i] & 0x3Fu);
    }
    *out = c;
    return len;
}

bool sc_utf8_valid(struct sc_str s)
{
    size_t i = 0;
    while (i < s.n) {
        uint32_t c;
        size_t len = plain_run(s.p + i, s.n - i);
        if (len == 0)
            len = sc_utf8_decode(s.p + i, s.n - i, &c);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

size_t sc_utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        if (c >= 0xD800 && c <= 0xDFFF)
            return 0;
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    if (c > 0x10FFFF)
        return 0;
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

unsigned sc_utf8_width(uint32_t c)
{
    if (c < 0x300)
        return 1;
    if (in_ranges(zero_ranges, SC_COUNT(zero_ranges), c))
        return 0;
    return in_ranges(wide_ranges, SC_COUNT(wide_ranges), c) ? 2 : 1;
}

/* ------------------------------------------------------------------------------- the door --- */

static bool must_escape(uint32_t c)
{
    if (c < 0x300)
        return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xAD;
    return in_ranges(hidden_ranges, SC_COUNT(hidden_ranges), c);
}

/* Foreign text, piece by piece: each call takes one code point and says how it looks. */
struct safe {
    const char *p, *end;
    unsigned marks; /* combining marks since the last character with a width */
    /* the piece: */
    char text[16];
    size_t n, columns;
};

static void escape(struct safe *s, uint32_t c)
{
    size_t digits = 2;
    while (digits < 6 && c >> (4 * digits))
        digits++;
    memcpy(s->text, "\\u{", 3);
    for (size_t i = 0; i < digits; i++)
        s->text[3 + i] = "0123456789abcdef"[c >> (4 * (digits - 1 - i)) & 15];
    s->text[3 + digits] = '}';
    s->n = s->columns = digits + 4;
}

/* p < end on entry. */
static void next_piece(struct safe *s)
{
    uint32_t c;
    size_t len = sc_utf8_decode(s->p, (size_t)(s->end - s->p), &c);
    if (len == 0) {
        memcpy(s->text, "\xEF\xBF\xBD", 3);
        s->n = 3;
        s->columns = 1;
        s->marks = 0;
        s->p++;
        return;
    }
    if (must_escape(c)) {
        escape(s, c);
        s->marks = MARKS_MAX; /* a mark behind an escape would sit on our brace */
    } else {
        unsigned width = sc_utf8_width(c);
        if (width == 0 && s->marks >= MARKS_MAX) {
            escape(s, c);
        } else {
            memcpy(s->text, s->p, len);
            s->n = len;
            s->columns = width;
            s->marks = width ? 0 : s->marks + 1;
        }
    }
    s->p += len;
}

static struct safe safe_start(struct sc_str s)
{
    return (struct safe){.p = s.p, .end = s.p + s.n, .marks = MARKS_MAX};
}

/* Marks that follow belong to the piece before them, so text is cut in front of a piece that has
 * columns. `keep` follows the last place where "..." still fits. */
size_t sc_put_safe(struct sc_buf *b, struct sc_str str, size_t max_columns)
{
    if (str.n == 0)
        return 0;

    struct safe s = safe_start(str);
    size_t limit = max_columns ? max_columns : SIZE_MAX;
    size_t keep_limit = limit >= 3 ? limit - 3 : 0;
    size_t columns = 0, keep = b->n, keep_columns = 0;
    while (s.p < s.end && columns <= limit && !b->failed) {
        size_t run = plain_run(s.p, (size_t)(s.end - s.p));
        if (run) {
            run = SC_MIN(run, limit - columns + (limit != SIZE_MAX)); /* one too many is enough */
            if (columns < keep_limit) {
                size_t more = SC_MIN(run, keep_limit - columns);
                keep = b->n + more;
                keep_columns = columns + more;
            }
            sc_buf_put(b, s.p, run);
            columns += run;
            s.p += run;
            s.marks = 0;
            continue;
        }
        next_piece(&s);
        sc_buf_put(b, s.text, s.n);
        columns += s.columns;
        if (columns <= keep_limit) {
            keep = b->n;
            keep_columns = columns;
        }
    }
    if (columns <= limit || b->failed)
        return columns;
    b->n = keep;
    sc_buf_repeat(b, '.', SC_MIN(limit, (size_t)3));
    return keep_columns + SC_MIN(limit, (size_t)3);
}

size_t sc_safe_width(struct sc_str str)
{
    if (str.n == 0)
        return 0;

    struct safe s = safe_start(str);
    size_t columns = 0;
    while (s.p < s.end) {
        size_t run = plain_run(s.p, (size_t)(s.end - s.p));
        if (run) {
            columns += run;
            s.p += run;
            s.marks = 0;
            continue;
        }
        next_piece(&s);
        columns += s.columns;
    }
    return columns;
}

const char *sc_quote(struct sc_quoted *q, struct sc_str str)
{
    enum { COLUMNS = 120, BYTES = sizeof q->s - 1 };
    size_t n = 0, columns = 0, keep = 0;
    struct safe s = {0};
    if (str.n)
        s = safe_start(str);
    while (s.p < s.end) {
        next_piece(&s);
        if (columns + s.columns > COLUMNS || n + s.n > BYTES) {
            memcpy(q->s + keep, "...", 3);
            n = keep + 3;
            break;
        }
        memcpy(q->s + n, s.text, s.n);
        n += s.n;
        columns += s.columns;
        if (columns <= COLUMNS - 3 && n <= BYTES - 3)
            keep = n;
    }
    q->s[n] = '\0';
    return q->s;
}
