/* SPDX-License-Identifier: Apache-2.0 */
/* err: filling and extending struct sc_error. No allocation, so that "out of memory" can always be
 * said. Text that comes from a file is the caller's to quote. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

#undef sc_fail /* here are the functions themselves */
#undef sc_fail_at

/* A message that was too long ends in "...", and never in half a UTF-8 sequence. */
static void mark_cut(char *text, size_t size)
{
    size_t end = size - 4;
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
        end--;
    memcpy(text + end, "...", 4);
}

int sc_fail_v(struct sc_error *e, int code, const char *fmt, va_list ap)
{
    if (!e)
        return code;
    e->code = code;
    e->has_offset = false;
    e->offset = 0;
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    if (n < 0)
        snprintf(e->text, sizeof e->text, "%s", sc_code_text(code));
    else if ((size_t)n >= sizeof e->text)
        mark_cut(e->text, sizeof e->text);
    return code;
}

int sc_fail(struct sc_error *e, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sc_fail_v(e, code, fmt, ap);
    va_end(ap);
    return code;
}

int sc_fail_at(struct sc_error *e, int code, uint64_t offset, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sc_fail_v(e, code, fmt, ap);
    va_end(ap);
    if (e) {
        e->has_offset = true;
        e->offset = offset;
    }
    return code;
}

void sc_note_v(void (*note)(void *ctx, const char *sentence), void *ctx, const char *fmt,
               va_list ap)
{
    struct sc_error said;
    if (!note)
        return;
    sc_fail_v(&said, 0, fmt, ap);
    note(ctx, said.text);
}

void sc_say_memory(struct sc_error *e)
{
    sc_fail(e, SCRUPLE_EMEMORY, "out of memory");
}

void sc_error_prefix(struct sc_error *e, const char *fmt, ...)
{
    if (!e)
        return;

    char text[sizeof e->text];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;

    size_t head = SC_MIN((size_t)n, sizeof text - 1);
    int tail = snprintf(text + head, sizeof text - head, ": %s", e->text);
    if (tail < 0 || (size_t)n + (size_t)tail >= sizeof text)
        mark_cut(text, sizeof text);
    memcpy(e->text, text, sizeof text);
}

const char *sc_code_text(int code)
{
    switch (code) {
    case SCRUPLE_OK:
        return "no error";
#define TEXT(name, value, text)                                                                    \
    case name:                                                                                     \
        return text;
        SCRUPLE_ERRORS(TEXT)
#undef TEXT
    default:
        return "unknown error";
    }
}
