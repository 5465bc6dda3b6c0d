/* SPDX-License-Identifier: Apache-2.0 */
/* pickle_scalar: the opcodes that push numbers and text, and how protocol 0 spells these.
 *
 *   INT LONG FLOAT          decimal, to the end of the line; LONG may end in L
 *   LONG1 LONG4             little-endian, two's complement, any length
 *   BINFLOAT                IEEE double, big-endian
 *   STRING                  a Python 2 literal in quotes, with escapes
 *   UNICODE                 Latin-1 with \uXXXX and \UXXXXXXXX */
#include "format/pickle_machine.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* [+-]digits; *fits: the value is in *out. false: something else. */
static bool parse_decimal(struct sc_str s, int64_t *out, bool *fits)
{
    const bool minus = s.n > 0 && s.p[0] == '-';
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = sc_str(s.p + 1, s.n - 1);
    if (s.n == 0)
        return false;
    uint64_t v = 0;
    *fits = true;
    for (size_t i = 0; i < s.n; i++) {
        if (!isdigit((unsigned char)s.p[i]))
            return false;
        *fits = *fits && sc_mul(v, 10, &v) && sc_add(v, (uint64_t)(s.p[i] - '0'), &v);
    }
    *fits = *fits && v <= (uint64_t)INT64_MAX; /* -2^63 stays text: no one needs it */
    *out = *fits ? (minus ? -(int64_t)v : (int64_t)v) : 0;
    return true;
}

static int push_decimal(struct sc_pickle *p, struct sc_str s)
{
    struct sc_pk *v;
    int64_t i;
    bool fits;
    if (!parse_decimal(s, &i, &fits))
        return sc_pk_bad(p, "what should be a number is none");
    TRY(fits ? sc_pk_new_int(p, i, &v) : sc_pk_new_text(p, SC_PK_BIGINT, s, false, &v));
    return sc_pk_push(p, v);
}

/* INT: a number, or the booleans of protocol 0. */
int sc_pk_op_int(struct sc_pickle *p, struct sc_str s)
{
    if (sc_str_is(s, "00") || sc_str_is(s, "01"))
        return sc_pk_push(p, s.p[1] == '1' ? &p->yes : &p->no);
    return push_decimal(p, s);
}

int sc_pk_op_long_text(struct sc_pickle *p, struct sc_str s)
{
    if (s.n > 0 && s.p[s.n - 1] == 'L')
        s.n--;
    return push_decimal(p, s);
}

/* LONG1, LONG4: little-endian, two's complement. */
int sc_pk_op_long(struct sc_pickle *p, const struct sc_pk_operation *op)
{
    const struct sc_str s = op->text;
    const uint8_t *q = (const uint8_t *)s.p;
    const bool minus = s.n > 0 && q[s.n - 1] & 0x80;
    struct sc_pk *v;
    if (!op->cut && s.n <= 8) {
        uint64_t bits = s.n ? sc_pk_number(q, s.n) : 0;
        if (minus && s.n < 8)
            bits |= UINT64_MAX << 8 * s.n;
        TRY(sc_pk_new_int(p, (int64_t)bits, &v));
        return sc_pk_push(p, v);
    }
    char hex[2 + 2 * 64 + 1] = "0x";
    const size_t n = op->cut ? 0 : s.n;
    const bool cut = op->cut || n > 64 || minus; /* negative giants are not worth their digits */
    size_t at = 2;
    for (size_t i = cut ? 0 : n; i > 0; i--) {
        if (at == 2 && i > 1 && q[i - 1] == 0)
            continue; /* the sign byte */
        snprintf(hex + at, sizeof hex - at, "%02x", q[i - 1]);
        at += 2;
    }
    TRY(sc_pk_new_text(p, SC_PK_BIGINT, sc_str(hex, at), cut, &v));
    return sc_pk_push(p, v);
}

static int push_float(struct sc_pickle *p, double f)
{
    struct sc_pk *v;
    TRY(sc_pk_new(p, SC_PK_FLOAT, &v));
    v->as.f = f;
    return sc_pk_push(p, v);
}

int sc_pk_op_float_text(struct sc_pickle *p, struct sc_str s)
{
    char text[64];
    if (s.n == 0 || s.n >= sizeof text)
        return sc_pk_bad(p, "what should be a number is none");
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("0123456789+-.eEinfa", s.p[i]) || s.p[i] == '\0')
            return sc_pk_bad(p, "what should be a number is none");
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return push_float(p, strtod(text, NULL));
}

int sc_pk_op_float(struct sc_pickle *p, uint64_t little)
{
    uint64_t bits = 0;
    double f;
    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | (little >> 8 * i & 0xff);
    memcpy(&f, &bits, sizeof f);
    return push_float(p, f);
}

int sc_pk_op_text(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_str s, bool cut)
{
    struct sc_pk *v;
    TRY(sc_pk_new_text(p, kind, s, cut, &v));
    return sc_pk_push(p, v);
}

static int hex_value(struct sc_str s, size_t at, size_t digits, uint32_t *out)
{
    *out = 0;
    if (digits > s.n - at)
        return -1;
    for (size_t i = at; i < at + digits; i++) {
        const int c = tolower((unsigned char)s.p[i]);
        if (!isxdigit(c))
            return -1;
        *out = *out << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return 0;
}

/* The inside of a Python 2 string literal: \n \t \r \\ \' \" and \xNN; others stay as they are. */
static void unescape_literal(struct sc_buf *b, struct sc_str s)
{
    static const char from[] = "ntr\\'\"", to[] = "\n\t\r\\'\"";
    for (size_t i = 0; i < s.n; i++) {
        uint32_t value;
        const char *simple;
        if (s.p[i] != '\\' || i + 1 == s.n) {
            sc_buf_putc(b, s.p[i]);
        } else if (s.p[i + 1] == 'x' && hex_value(s, i + 2, 2, &value) == 0) {
            sc_buf_putc(b, (char)value);
            i += 3;
        } else if (s.p[i + 1] && (simple = strchr(from, s.p[i + 1])) != NULL) {
            sc_buf_putc(b, to[simple - from]);
            i++;
        } else {
            sc_buf_putc(b, s.p[i]);
        }
    }
}

/* Raw-unicode-escape: only \uXXXX and \UXXXXXXXX mean something, other bytes are Latin-1. */
static void unescape_unicode(struct sc_buf *b, struct sc_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint32_t value = (uint8_t)s.p[i];
        const int kind = s.p[i] == '\\' && i + 1 < s.n ? s.p[i + 1] : 0;
        if (kind == 'u' && hex_value(s, i + 2, 4, &value) == 0)
            i += 5;
        else if (kind == 'U' && hex_value(s, i + 2, 8, &value) == 0)
            i += 9;
        else
            value = (uint8_t)s.p[i];
        char utf8[4];
        sc_buf_put(b, utf8, sc_utf8_encode(value, utf8));
    }
}

static int push_unescaped(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_str s,
                          void (*unescape)(struct sc_buf *, struct sc_str))
{
    struct sc_buf b = {0};
    if (s.n <= 4 * (size_t)SC_MAX_NAME)
        unescape(&b, s);
    const int code = b.failed ? sc_fail_memory(p->e)
                              : sc_pk_op_text(p, kind, sc_str(b.p ? b.p : "", b.n),
                                              s.n > 4 * (size_t)SC_MAX_NAME);
    sc_buf_clear(&b);
    return code;
}

/* STRING: a literal of Python 2 with its quotes. */
int sc_pk_op_string(struct sc_pickle *p, struct sc_str s)
{
    if (s.n < 2 || (s.p[0] != '\'' && s.p[0] != '"') || s.p[s.n - 1] != s.p[0])
        return sc_pk_bad(p, "a string without quotes");
    return push_unescaped(p, SC_PK_BYTES, sc_str(s.p + 1, s.n - 2), unescape_literal);
}

/* UNICODE: a line of text. */
int sc_pk_op_unicode(struct sc_pickle *p, struct sc_str s)
{
    return push_unescaped(p, SC_PK_STR, s, unescape_unicode);
}
