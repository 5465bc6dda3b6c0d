/* SPDX-License-Identifier: Apache-2.0 */
/* json: the strict one-pass scanner for headers and index files (RFC 8259).
 *
 * It pulls: the caller says what must come next and gets strings that point into the document, so
 * a header of 100 MB costs no memory beyond itself. What it refuses: invalid UTF-8, raw control
 * characters, lone surrogates, nesting beyond SC_MAX_JSON_DEPTH, numbers that are no JSON.
 *
 * Values of fixed meaning are read with sc_json_string / sc_json_u64; anything else is passed over
 * with sc_json_skip, which checks it just as strictly, without recursion. */
#include "base/base.h"

#include <string.h>

void sc_json_start(struct sc_json *j, const char *p, size_t n, struct sc_arena *arena)
{
    *j = (struct sc_json){.p = p, .end = p + n, .start = p, .arena = arena};
}

static bool wrong(struct sc_json *j, const char *at, const char *problem)
{
    if (!j->problem) {
        j->problem = problem;
        j->problem_at = at;
    }
    return false;
}

static inline const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

bool sc_json_peek(struct sc_json *j, char *out)
{
    j->p = skip_space(j->p, j->end);
    if (j->p >= j->end)
        return wrong(j, j->p, "the JSON ends too early");
    *out = *j->p;
    return true;
}

bool sc_json_char(struct sc_json *j, char c, const char *problem)
{
    j->p = skip_space(j->p, j->end);
    if (SC_UNLIKELY(j->p >= j->end || *j->p != c))
        return wrong(j, j->p, j->p >= j->end ? "the JSON ends too early" : problem);
    j->p++;
    return true;
}

bool sc_json_end(struct sc_json *j)
{
    j->p = skip_space(j->p, j->end);
    return j->p == j->end || wrong(j, j->p, "there is more after the end of the JSON");
}

/* Bytes of w that end a run of plain string characters have their top bit set in the result:
 * '"', '\\', below 0x20, and anything above 0x7F. */
static inline uint64_t special_bytes(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
    const uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
    return ((quote - ones) | (slash - ones) | (w - ones * 0x20) | w) & tops;
}

/* The first special byte at or after p. The SWAR test can flag a plain byte that follows a special
 * one (borrow), never miss one, so a flagged word is looked at byte by byte. */
static inline const char *plain_run(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        if (special_bytes(w))
            break;
        p += 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\')
        p++;
    return p;
}

static bool hex4(const char *p, const char *end, uint32_t *out)
{
    if (end - p < 4)
        return false;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        const char c = p[i];
        uint32_t d;
        if (c >= '0' && c <= '9')
            d = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            d = (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            d = (uint32_t)(c - 'A' + 10);
        else
            return false;
        v = v << 4 | d;
    }
    *out = v;
    return true;
}

/* p is after "\u". Returns the bytes consumed, 0 when wrong. */
static size_t unicode_escape(const char *p, const char *end, uint32_t *out)
{
    uint32_t hi, lo;
    if (!hex4(p, end, &hi) || (hi >= 0xDC00 && hi <= 0xDFFF))
        return 0;
    if (hi < 0xD800 || hi > 0xDBFF) {
        *out = hi;
        return 4;
    }
    if (end - p < 10 || p[4] != '\\' || p[5] != 'u' || !hex4(p + 6, end, &lo) || lo < 0xDC00 ||
        lo > 0xDFFF)
        return 0;
    *out = 0x10000 + ((hi - 0xD800) << 10) + (lo - 0xDC00);
    return 10;
}

/* One escape; *p is after the backslash. Writes to *w. */
static bool escape(struct sc_json *j, const char **p, char **w)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = *p - 1;
    if (*p >= j->end)
        return wrong(j, at, "a string is not closed");
    if (**p == 'u') {
        uint32_t code;
        const size_t n = unicode_escape(*p + 1, j->end, &code);
        if (!n)
            return wrong(j, at, "a \\u escape is malformed or half of a surrogate pair");
        *p += 1 + n;
        *w += sc_utf8_encode(code, *w);
        return true;
    }
    const char *k = memchr(from, **p, sizeof from - 1);
    if (!k)
        return wrong(j, at, "an unknown escape in a string");
    *(*w)++ = to[k - from];
    (*p)++;
    return true;
}

/* The slow path: a string with at least one escape. p is at its first character. */
static bool unescape(struct sc_json *j, const char *first, struct sc_str *out)
{
    const char *close = first;
    while (close < j->end && *close != '"')
        close += *close == '\\' ? 2 : 1;
    if (close >= j->end)
        return wrong(j, first - 1, "a string is not closed");
    /* No escape is shorter than what it stands for. */
    char *text = sc_arena_alloc(j->arena, (size_t)(close - first) + 1, 1);
    if (!text)
        return wrong(j, first, "out of memory");
    char *w = text;
    for (const char *p = first; p < close;) {
        const char *q = plain_run(p, close);
        memcpy(w, p, (size_t)(q - p));
        w += q - p;
        p = q;
        if (p == close)
            break;
        uint32_t code;
        size_t n;
        if (*p == '\\') {
            p++;
            if (!escape(j, &p, &w))
                return false;
        } else if ((unsigned char)*p < 0x20) {
            return wrong(j, p, "a raw control character in a string");
        } else if ((n = sc_utf8_decode(p, (size_t)(close - p), &code)) == 0) {
            return wrong(j, p, "invalid UTF-8 in a string");
        } else {
            memcpy(w, p, n);
            w += n;
            p += n;
        }
    }
    *w = '\0';
    *out = sc_str(text, (size_t)(w - text));
    j->p = close + 1;
    return true;
}

bool sc_json_string(struct sc_json *j, struct sc_str *out)
{
    if (!sc_json_char(j, '"', "expected a string"))
        return false;
    const char *first = j->p;
    for (const char *p = first;;) {
        p = plain_run(p, j->end);
        if (p >= j->end)
            return wrong(j, first - 1, "a string is not closed");
        if (*p == '"') {
            *out = sc_str(first, (size_t)(p - first));
            j->p = p + 1;
            return true;
        }
        if (*p == '\\')
            return unescape(j, first, out);
        uint32_t code;
        size_t n;
        if ((unsigned char)*p < 0x20)
            return wrong(j, p, "a raw control character in a string");
        if ((n = sc_utf8_decode(p, (size_t)(j->end - p), &code)) == 0)
            return wrong(j, p, "invalid UTF-8 in a string");
        p += n;
    }
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool sc_json_u64(struct sc_json *j, uint64_t *out)
{
    const char *p = skip_space(j->p, j->end), *first = p;
    uint64_t v = 0;
    for (; p < j->end && is_digit(*p); p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (SC_LIKELY(v < UINT64_MAX / 10))
            v = v * 10 + digit;
        else if (!sc_mul(v, 10, &v) || !sc_add(v, digit, &v))
            return wrong(j, first, "a number does not fit in 64 bits");
    }
    if (p == first || (*first == '0' && p - first > 1))
        return wrong(j, first, "expected a whole number of 0 or more");
    if (p < j->end && (*p == '.' || *p == 'e' || *p == 'E'))
        return wrong(j, first, "expected a whole number, not a fraction or an exponent");
    *out = v;
    j->p = p;
    return true;
}

bool sc_json_literal(struct sc_json *j, const char *word)
{
    const size_t n = strlen(word);
    const char *p = skip_space(j->p, j->end);
    if ((size_t)(j->end - p) < n || memcmp(p, word, n) != 0)
        return wrong(j, p, "an unknown word (true, false and null are known)");
    j->p = p + n;
    return true;
}

static bool skip_number(struct sc_json *j)
{
    const char *p = j->p, *at = p;
    if (p < j->end && *p == '-')
        p++;
    if (p < j->end && *p == '0') {
        p++;
    } else {
        if (p >= j->end || !is_digit(*p))
            return wrong(j, at, "not a JSON value");
        while (p < j->end && is_digit(*p))
            p++;
    }
    if (p < j->end && *p == '.') {
        p++;
        if (p >= j->end || !is_digit(*p))
            return wrong(j, p, "a number without digits after the point");
        while (p < j->end && is_digit(*p))
            p++;
    }
    if (p < j->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < j->end && (*p == '+' || *p == '-'))
            p++;
        if (p >= j->end || !is_digit(*p))
            return wrong(j, p, "a number without digits in its exponent");
        while (p < j->end && is_digit(*p))
            p++;
    }
    j->p = p;
    return true;
}

static bool skip_scalar(struct sc_json *j, char c)
{
    struct sc_str s;
    switch (c) {
    case '"':
        return sc_json_string(j, &s);
    case 't':
        return sc_json_literal(j, "true");
    case 'f':
        return sc_json_literal(j, "false");
    case 'n':
        return sc_json_literal(j, "null");
    default:
        return skip_number(j);
    }
}

bool sc_json_skip(struct sc_json *j)
{
    char open[SC_MAX_JSON_DEPTH]; /* the closers that are still due */
    int depth = 0;
    struct sc_str key;
    char c;
    for (;;) {
        /* At the start of a value. */
        if (!sc_json_peek(j, &c))
            return false;
        if (c == '{' || c == '[') {
            const char closer = c == '{' ? '}' : ']';
            j->p++;
            if (!sc_json_peek(j, &c))
                return false;
            if (c != closer) {
                if (depth == SC_MAX_JSON_DEPTH)
                    return wrong(j, j->p, "nested more than 64 deep");
                open[depth++] = closer;
                if (closer == '}' &&
                    (!sc_json_string(j, &key) || !sc_json_char(j, ':', "expected ':'")))
                    return false;
                continue;
            }
            j->p++; /* empty: a finished value */
        } else if (!skip_scalar(j, c)) {
            return false;
        }
        /* After a value: close what ends here. */
        for (;;) {
            if (depth == 0)
                return true;
            if (!sc_json_peek(j, &c))
                return false;
            j->p++;
            if (c == ',')
                break;
            if (c != open[depth - 1])
                return wrong(j, j->p - 1, "expected ',' or the end of the object or list");
            depth--;
        }
        if (open[depth - 1] == '}' &&
            (!sc_json_string(j, &key) || !sc_json_char(j, ':', "expected ':'")))
            return false;
    }
}

bool sc_json_into(struct sc_json *j, struct sc_json_walk *w, char opener)
{
    *w = (struct sc_json_walk){.closer = opener == '{' ? '}' : ']'};
    return sc_json_char(j, opener, opener == '{' ? "expected an object" : "expected a list");
}

bool sc_json_on(struct sc_json *j, struct sc_json_walk *w, struct sc_str *key)
{
    char c;
    if (!sc_json_peek(j, &c))
        return false;
    if (c == w->closer) {
        sc_json_char(j, c, "");
        return false;
    }
    if (w->begun && !sc_json_char(j, ',', "expected ',' or the end of the object or list"))
        return false;
    w->begun = true;
    return w->closer == ']' || (sc_json_string(j, key) && sc_json_char(j, ':', "expected ':'"));
}
