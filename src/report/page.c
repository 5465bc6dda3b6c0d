/* SPDX-License-Identifier: Apache-2.0 */
/* page: what all pages share: their frame with its policy, and data for their scripts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/cache.h"
#include "report/html.h"

/* ------------------------------------------------------------------------------------ frame --- */
void sc_put_base64(struct sc_buf *b, const void *bytes, size_t n)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    const uint8_t *p = bytes;

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? p[i + 2] : 0u);
        const char four[4] = {digits[v >> 18], digits[v >> 12 & 63],
                              digits[i + 1 < n ? v >> 6 & 63 : 64],
                              digits[i + 2 < n ? v & 63 : 64]};
        sc_buf_put(b, four, sizeof four);
    }
}

int sc_page_hash(const void *p, size_t n, struct sc_buf *b, struct sc_error *e)
{
    char hex[65];
    uint8_t bytes[32];

    TRY(sc_sha_of(SC_SHA256, p, n, hex, e));
    for (size_t i = 0; i < 32; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    sc_buf_puts(b, " 'sha256-");
    sc_put_base64(b, bytes, sizeof bytes);
    sc_buf_puts(b, "'");
    return 0;
}

int sc_page_head(const struct sc_page_frame *f, struct sc_str title, struct sc_buf *b,
                 struct sc_error *e)
{
    sc_buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                   "script-src");
    for (size_t i = 0; i < f->n_scripts; i++)
        TRY(sc_page_hash(f->scripts[i].p, *f->scripts[i].n, b, e));
    sc_buf_puts(b, "; style-src");
    for (size_t i = 0; i < f->n_styles; i++)
        TRY(sc_page_hash(f->styles[i].p, *f->styles[i].n, b, e));
    sc_buf_puts(b, "; base-uri 'none'; form-action 'none'\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<meta name=\"referrer\" content=\"no-referrer\">\n"
                   "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    sc_put_markup(b, title);
    sc_buf_printf(b, " – scruple %s</title>\n", f->what);
    for (size_t i = 0; i < f->n_styles; i++) {
        sc_buf_puts(b, "<style>");
        sc_buf_put(b, f->styles[i].p, *f->styles[i].n);
        sc_buf_puts(b, "</style>\n");
    }
    sc_buf_puts(b, "</head>\n<body>\n");
    return 0;
}

void sc_page_tail(const struct sc_page_frame *f, struct sc_buf *b)
{
    for (size_t i = 0; i < f->n_scripts; i++) {
        sc_buf_puts(b, "<script>");
        sc_buf_put(b, f->scripts[i].p, *f->scripts[i].n);
        sc_buf_puts(b, "</script>\n");
    }
    sc_buf_puts(b, "</body>\n</html>\n");
}

/* ------------------------------------------------------------------------------------- data --- */
void sc_put_script_text(struct sc_buf *b, struct sc_str text)
{
    struct sc_buf safe = {0};

    sc_put_safe(&safe, text, 0);
    b->failed = b->failed || safe.failed;
    sc_buf_putc(b, '"');
    for (size_t i = 0; i < safe.n; i++) {
        if (strchr("\"\\<>&", safe.p[i]))
            sc_buf_printf(b, "\\u%04x", (unsigned)safe.p[i]);
        else
            sc_buf_putc(b, safe.p[i]);
    }
    sc_buf_putc(b, '"');
    sc_buf_clear(&safe);
}

void sc_put_script_number(struct sc_buf *b, double v, int digits)
{
    char text[48];

    if (isnan(v)) {
        sc_buf_puts(b, "null");
        return;
    }
    if (isinf(v)) {
        sc_buf_puts(b, v < 0 ? "\"-Infinity\"" : "\"Infinity\"");
        return;
    }
    snprintf(text, sizeof text, "%.*g", digits, v);
    for (char *p = text; *p; p++) /* whatever the locale has for a point */
        if (!strchr("0123456789+-e", *p))
            *p = '.';
    sc_buf_puts(b, text);
}
