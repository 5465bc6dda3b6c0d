/* SPDX-License-Identifier: Apache-2.0 */
/* put: keys and values of the documents that views write. Private to the web layer. `key` comes
 * with everything that stands before the value: ", \"name\": ". */
#ifndef SC_WEB_PUT_H
#define SC_WEB_PUT_H

#include <math.h>

#include "report/report.h"

static inline void sc_put_key_text(struct sc_out *o, const char *key, struct sc_str s)
{
    sc_out_puts(o, key);
    sc_out_json_text(o, s, false);
}

/* NULL: null. */
static inline void sc_put_key_words(struct sc_out *o, const char *key, const char *s)
{
    sc_out_puts(o, key);
    if (s)
        sc_out_json_text(o, sc_strz(s), false);
    else
        sc_out_puts(o, "null");
}

/* What is not finite: null. */
static inline void sc_put_key_real(struct sc_out *o, const char *key, double v)
{
    sc_out_puts(o, key);
    sc_out_json_number(o, v);
}

static inline void sc_put_key_whole(struct sc_out *o, const char *key, uint64_t v)
{
    sc_out_puts(o, key);
    sc_out_u64(o, v);
}

/* UINT64_MAX: null. */
static inline void sc_put_key_count(struct sc_out *o, const char *key, uint64_t n)
{
    if (n == UINT64_MAX)
        sc_put_key_words(o, key, NULL);
    else
        sc_put_key_whole(o, key, n);
}

/* A number, or what is none as a text. */
static inline void sc_put_key_value(struct sc_out *o, const char *key, double v)
{
    char text[40];
    sc_format_double(v, text);
    sc_out_puts(o, key);
    sc_out_puts(o, isfinite(v) ? "" : "\"");
    sc_out_puts(o, text);
    sc_out_puts(o, isfinite(v) ? "" : "\"");
}

/* Hexadecimal bytes; none: null. */
static inline void sc_put_key_bytes(struct sc_out *o, const char *key, const uint8_t *p, unsigned n)
{
    static const char digits[] = "0123456789abcdef";
    sc_out_puts(o, key);
    sc_out_puts(o, n ? "\"" : "null");
    for (unsigned i = 0; i < n; i++) {
        sc_out_putc(o, digits[p[i] >> 4]);
        sc_out_putc(o, digits[p[i] & 15]);
    }
    sc_out_puts(o, n ? "\"" : "");
}

#endif
