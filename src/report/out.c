/* SPDX-License-Identifier: Apache-2.0 */
/* out: gather small pieces of text and hand them on in 64 KiB blocks.
 *
 * Owns: the buffer and the first failure. Does not own: the descriptor behind `write`.
 */
#include <string.h>

#include "report/report.h"

#define BLOCK ((size_t)64 * 1024)

void sc_out_flush(struct sc_out *o)
{
    if (o->buf.failed && !o->status)
        o->status = SCRUPLE_EMEMORY;
    if (o->buf.n && !o->status)
        o->status = o->write(o->ctx, o->buf.p, o->buf.n);
    o->buf.n = 0;
}

void sc_out_settle(struct sc_out *o)
{
    if (o->buf.n >= BLOCK || o->buf.failed)
        sc_out_flush(o);
}

void sc_out_put(struct sc_out *o, const char *p, size_t n)
{
    if (o->status)
        return;
    while (n > BLOCK - SC_MIN(o->buf.n, BLOCK)) {
        size_t piece = BLOCK - SC_MIN(o->buf.n, BLOCK);
        sc_buf_put(&o->buf, p, piece);
        sc_out_flush(o);
        if (o->status)
            return;
        p += piece;
        n -= piece;
    }
    sc_buf_put(&o->buf, p, n);
}

void sc_out_puts(struct sc_out *o, const char *s)
{
    sc_out_put(o, s, strlen(s));
}

void sc_out_putc(struct sc_out *o, char c)
{
    sc_out_put(o, &c, 1);
}

void sc_out_repeat(struct sc_out *o, char c, size_t n)
{
    char piece[64];

    memset(piece, c, sizeof piece);
    for (; n > sizeof piece; n -= sizeof piece)
        sc_out_put(o, piece, sizeof piece);
    sc_out_put(o, piece, n);
}

void sc_out_u64(struct sc_out *o, uint64_t v)
{
    char digits[24];

    sc_out_put(o, digits, sc_format_u64(v, digits));
}

int sc_out_finish(struct sc_out *o)
{
    sc_out_flush(o);
    sc_buf_clear(&o->buf);
    return o->status;
}
