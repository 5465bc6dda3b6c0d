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

enum { FEW = 32 };

/* Room for a few bytes, as most pieces are; NULL: not just here. */
static inline char *room_for_few(struct sc_out *o)
{
    const struct sc_buf *b = &o->buf;
    const bool has = b->cap > FEW && b->n < SC_MIN(b->cap, BLOCK) - FEW;
    return has && !o->status && !b->failed ? b->p + b->n : NULL;
}

static inline void took(struct sc_out *o, size_t n)
{
    o->buf.n += n;
    o->buf.p[o->buf.n] = '\0';
}

void sc_out_put(struct sc_out *o, const char *p, size_t n)
{
    char *few = n <= FEW ? room_for_few(o) : NULL;

    if (few) {
        memcpy(few, p, n);
        took(o, n);
        return;
    }
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
    char *to = room_for_few(o);

    if (!to) {
        sc_out_put(o, &c, 1);
        return;
    }
    *to = c;
    took(o, 1);
}

void sc_out_repeat(struct sc_out *o, char c, size_t n)
{
    char piece[64];

    memset(piece, c, sizeof piece);
    for (; n > sizeof piece; n -= sizeof piece)
        sc_out_put(o, piece, sizeof piece);
    sc_out_put(o, piece, n);
}

/* Decimal digits: 1233 / 4096 is a little more than log10(2). */
static size_t digits_of(uint64_t v)
{
    static const uint64_t powers[] = {
        0,
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    const unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1), t = bits * 1233 >> 12;
    return t + (v >= powers[t]);
}

/* Written where it stands in the end, from the last digit on. */
void sc_out_u64(struct sc_out *o, uint64_t v)
{
    char digits[FEW], *const room = room_for_few(o), *const to = room ? room : digits;
    const size_t n = digits_of(v);
    char *p = to + n;

    for (; v >> 32; v /= 10) /* the larger half of a number takes the longer division */
        *--p = (char)('0' + v % 10);
    for (uint32_t rest = (uint32_t)v; p > to; rest /= 10)
        *--p = (char)('0' + rest % 10);
    if (room)
        took(o, n);
    else
        sc_out_put(o, digits, n);
}

int sc_out_finish(struct sc_out *o)
{
    sc_out_flush(o);
    sc_buf_clear(&o->buf);
    return o->status;
}
