/* SPDX-License-Identifier: Apache-2.0 */
/* str: strings that carry their length: comparison, natural order, name patterns, edit distance.
 *
 * Names from files may hold any byte; case folding is ASCII only, on purpose: it must not depend
 * on the locale. An empty string may have a NULL pointer. */
#include "base/base.h"

#include <string.h>

static inline unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

struct sc_str sc_strz(const char *s)
{
    return s ? sc_str(s, strlen(s)) : SC_STR("");
}

char *sc_str_copy(struct sc_str s)
{
    char *copy = sc_alloc(s.n + 1);
    if (!copy)
        return NULL;
    if (s.n > 0)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

bool sc_str_eq(struct sc_str a, struct sc_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool sc_str_is(struct sc_str a, const char *s)
{
    return sc_str_eq(a, sc_strz(s));
}

bool sc_str_starts(struct sc_str a, const char *prefix)
{
    size_t n = strlen(prefix);
    return n <= a.n && (n == 0 || memcmp(a.p, prefix, n) == 0);
}

bool sc_str_ends(struct sc_str a, const char *suffix)
{
    size_t n = strlen(suffix);
    return n <= a.n && (n == 0 || memcmp(a.p + (a.n - n), suffix, n) == 0);
}

bool sc_str_eq_nocase(struct sc_str a, struct sc_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    }
    return true;
}

bool sc_str_has_nocase(struct sc_str a, struct sc_str needle)
{
    if (needle.n == 0)
        return true;
    if (needle.n > a.n)
        return false;
    unsigned char first = lower(needle.p[0]);
    for (size_t i = 0; i <= a.n - needle.n; i++) {
        if (lower(a.p[i]) == first && sc_str_eq_nocase(sc_str(a.p + i, needle.n), needle))
            return true;
    }
    return false;
}

bool sc_str_u64(struct sc_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!is_digit(s.p[i]) || !sc_mul(v, 10, &v) || !sc_add(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool sc_str_size(struct sc_str s, uint64_t *out)
{
    static const char letters[] = "kmgtp";
    uint64_t unit = 1, base = 1000, whole, part = 0, scale = 1, scaled;
    size_t digits = 0;

    if (s.n && (s.p[s.n - 1] == 'B' || s.p[s.n - 1] == 'b'))
        s.n--;
    if (s.n && s.p[s.n - 1] == 'i') {
        base = 1024;
        s.n--;
    }
    const char *letter = s.n ? memchr(letters, s.p[s.n - 1] | 0x20, sizeof letters - 1) : NULL;
    if (letter) {
        for (const char *p = letters; p <= letter; p++)
            unit *= base;
        s.n--;
    } else if (base == 1024) {
        return false;
    }
    while (digits < s.n && s.p[digits] != '.')
        digits++;
    if (!sc_str_u64(sc_str(s.p, digits), &whole))
        return false;
    if (digits < s.n) {
        struct sc_str fraction = sc_str(s.p + digits + 1, s.n - digits - 1);
        if (fraction.n > 3 || !sc_str_u64(fraction, &part))
            return false;
        for (size_t i = 0; i < fraction.n; i++)
            scale *= 10;
    }
    /* part < 1000 and unit <= 2^50, so this product fits. */
    return sc_mul(whole, unit, &scaled) && sc_add(scaled, part * unit / scale, out);
}

/* --------------------------------------------------------------------------------- order --- */

/* Length of the common prefix of a and b, both n bytes long. */
static inline size_t common_prefix(const char *a, const char *b, size_t n)
{
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y) {
#if SC_LITTLE_ENDIAN
            return i + (size_t)(__builtin_ctzll(x ^ y) >> 3);
#else
            break;
#endif
        }
    }
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

int sc_str_cmp(struct sc_str a, struct sc_str b)
{
    size_t n = SC_MIN(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* A run of digits split into its zero padding and the digits that count. */
struct number {
    size_t padding, digits;
    const char *p; /* the digits */
};

static struct number number_at(struct sc_str s, size_t start)
{
    size_t zeros_end = start;
    while (zeros_end < s.n && s.p[zeros_end] == '0')
        zeros_end++;
    size_t end = zeros_end;
    while (end < s.n && is_digit(s.p[end]))
        end++;
    return (struct number){zeros_end - start, end - zeros_end, s.p + zeros_end};
}

int sc_natural_cmp(struct sc_str a, struct sc_str b)
{
    /* Equal prefixes have equal tokens, except that a number may begin inside the prefix and end
     * outside. So look for the first difference eight bytes at a time, and step back only there. */
    size_t n = SC_MIN(a.n, b.n);
    size_t at = common_prefix(a.p, b.p, n);
    if (at == n) /* a prefix comes first; its last number cannot be the greater one */
        return (a.n > b.n) - (a.n < b.n);

    bool digit_a = is_digit(a.p[at]), digit_b = is_digit(b.p[at]);
    if (digit_a || digit_b) {
        size_t start = at;
        while (start > 0 && is_digit(a.p[start - 1]))
            start--;
        if (start < at || (digit_a && digit_b)) {
            struct number x = number_at(a, start), y = number_at(b, start);
            if (x.digits != y.digits)
                return x.digits < y.digits ? -1 : 1;
            int c = memcmp(x.p, y.p, x.digits);
            return c ? c : (x.padding > y.padding) - (x.padding < y.padding);
        }
    }
    return (unsigned char)a.p[at] < (unsigned char)b.p[at] ? -1 : 1;
}

/* ------------------------------------------------------------------------------ patterns --- */

/* Does the class that opens at pattern.p[at] hold c? *after is the position behind its `]`.
 * The caller has seen a `]` behind the first member. No step passes the last `]` of the pattern (a
 * range never ends in one), so nothing here reads beyond it. */
static bool class_match(struct sc_str pattern, size_t at, char c, size_t *after)
{
    size_t i = at + 1;
    bool negated = pattern.p[i] == '!' || pattern.p[i] == '^';
    bool found = false;
    unsigned char low = lower(c);
    unsigned char up = (unsigned char)(low >= 'a' && low <= 'z' ? low - ('a' - 'A') : low);

    i += negated;
    for (bool first = true; first || pattern.p[i] != ']'; first = false) {
        unsigned char from = (unsigned char)pattern.p[i], to = from;
        if (pattern.p[i + 1] == '-' && pattern.p[i + 2] != ']') {
            to = (unsigned char)pattern.p[i + 2];
            i += 2;
        }
        found = found || (from <= low && low <= to) || (from <= up && up <= to);
        i++;
    }
    *after = i + 1;
    return found != negated;
}

bool sc_glob(struct sc_str pattern, struct sc_str s)
{
    size_t p = 0, i = 0;
    size_t star = SIZE_MAX, star_i = 0; /* behind the last `*`, and where it stopped eating */
    size_t last_close = 0;              /* no `[` is searched for a `]` that is not there */
    for (size_t k = 0; k < pattern.n; k++) {
        if (pattern.p[k] == ']')
            last_close = k;
    }

    while (i < s.n) {
        bool match = false;
        size_t next = p + 1;
        if (p < pattern.n && pattern.p[p] == '*') {
            star = ++p;
            star_i = i;
            continue;
        }
        if (p < pattern.n) {
            bool negated =
                p + 1 < pattern.n && (pattern.p[p + 1] == '!' || pattern.p[p + 1] == '^');
            if (pattern.p[p] == '?')
                match = true;
            else if (pattern.p[p] == '[' && last_close >= p + 2 + negated)
                match = class_match(pattern, p, s.p[i], &next);
            else
                match = lower(pattern.p[p]) == lower(s.p[i]);
        }
        if (match) {
            p = next;
            i++;
        } else if (star != SIZE_MAX) {
            /* Only the last star needs another try: what stands before it has matched already, and
             * giving an earlier star more can only leave less for this one. */
            p = star;
            i = ++star_i;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

/* ------------------------------------------------------------------------- edit distance --- */

#define EDIT_MAX 63

unsigned sc_edit_distance(struct sc_str a, struct sc_str b, unsigned limit)
{
    /* Only cells within `limit` of the diagonal can hold a distance <= limit. Cell (i, j) lives at
     * index j - i + limit + 1 of its row, so its neighbours are
     *     (i-1, j-1) above[d]   (i-1, j) above[d+1]   (i, j-1) row[d-1]   (i-2, j-2) above2[d]
     * and one cell on either side stays out of reach. */
    enum { WIDTH = 2 * EDIT_MAX + 3 };
    unsigned rows[3][WIDTH];
    limit = SC_MIN(limit, (unsigned)EDIT_MAX);
    unsigned far = limit + 1;
    if ((a.n > b.n ? a.n - b.n : b.n - a.n) > limit)
        return far;

    for (size_t r = 0; r < 3; r++) {
        for (size_t d = 0; d < WIDTH; d++)
            rows[r][d] = far;
    }
    for (size_t j = 0; j <= limit && j <= b.n; j++)
        rows[0][j + limit + 1] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        unsigned best = far;
        for (size_t d = 1; d <= 2 * (size_t)limit + 1; d++) {
            row[d] = far;
            if (i + d < limit + 1 || i + d - limit - 1 > b.n)
                continue;
            size_t j = i + d - limit - 1;
            unsigned v = SC_MIN(above[d + 1], j ? row[d - 1] : far) + 1;
            if (j)
                v = SC_MIN(v, above[d] + (a.p[i - 1] != b.p[j - 1]));
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                v = SC_MIN(v, above2[d] + 1);
            row[d] = SC_MIN(v, far);
            best = SC_MIN(best, row[d]);
        }
        if (best == far) /* a swap skips a row, but costs what the row between costs */
            return far;
    }
    return rows[a.n % 3][b.n - a.n + limit + 1];
}
