/* SPDX-License-Identifier: Apache-2.0 */
/* pickle_sniff: is a file without any magic a pickle? Protocols 0 and 1 have no PROTO in front, and
 * Python loads a stream of any protocol without one.
 *
 * Owns: a dry walk over the opcodes of the first bytes, with stack heights in place of values. Does
 * not own: values, names, errors (pickle.c and its neighbours).
 *
 * Text must not look like a pickle, so an opcode counts only when its line is what Python writes
 * (digits, a quoted string, a dotted name) and when the stack holds what it takes. */
#include "format/pickle_machine.h"

#include <string.h>

enum {
    MARKS = 256,     /* nested deeper than any text is */
    CONVINCING = 32, /* opcodes after which the end of the sample is no objection */
};

struct sniffer {
    uint64_t n;     /* height of the stack */
    uint64_t marks; /* MARKs on it */
    uint64_t at[MARKS];
    uint64_t opcodes;
    bool structure; /* something that data and calls are made of */
};

static bool only(struct sc_str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\0' || !strchr(set, s.p[i]))
            return false;
    return s.n > 0;
}

/* The part of a module or class name that every language agrees on; others are UTF-8. */
static bool is_name(struct sc_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((uint8_t)s.p[i] <= ' ' || strchr("\"'()[]{}<>,;:=#\\/", s.p[i]))
            return false;
    return s.n > 0;
}

static bool is_line_of(uint8_t opcode, struct sc_str s)
{
    switch (opcode) {
    case 'c':
    case 'i':
        return is_name(s);
    case 'g':
    case 'p':
        return only(s, "0123456789");
    case 'I':
    case 'L':
        return only(s, "0123456789-+L");
    case 'F':
        return only(s, "0123456789-+.eEinfa");
    case 'S':
        return s.n >= 2 && (s.p[0] == '\'' || s.p[0] == '"') && s.p[s.n - 1] == s.p[0];
    default:
        return true; /* V and P take any text */
    }
}

/* Stack effects of the opcodes that find their values above the last MARK. */
static bool fold_marked(struct sniffer *w, uint64_t below, uint64_t pushed)
{
    if (w->marks == 0 || w->at[w->marks - 1] < below)
        return false;
    w->n = w->at[--w->marks] + pushed;
    return true;
}

/* Takes `popped` values and pushes `pushed`. */
static bool swap(struct sniffer *w, uint64_t popped, uint64_t pushed)
{
    const uint64_t above = w->n - (w->marks ? w->at[w->marks - 1] : 0);
    if (above < popped)
        return false;
    w->n = w->n - popped + pushed;
    return true;
}

static bool apply(struct sniffer *w, uint8_t opcode)
{
    w->structure |= memchr("(ci)]}\x8f\x93", opcode, 8) != NULL;
    switch (opcode) {
    case '(':
        w->at[w->marks++] = w->n;
        return true;
    case '0': /* of a MARK too */
        if (w->marks && w->at[w->marks - 1] == w->n)
            return fold_marked(w, 0, 0);
        return swap(w, 1, 0);
    case '1':
        return fold_marked(w, 0, 0);
    case '2':
        return swap(w, 1, 2);
    case 't':
    case 'l':
    case 'd':
    case 'i':
    case 'o':
    case 0x91: /* FROZENSET */
        return fold_marked(w, 0, 1);
    case 'e':
    case 'u':
    case 0x90: /* ADDITEMS */
        return fold_marked(w, 1, 0);
    case 'a':
    case 'R':
    case 'b':
    case 0x81: /* NEWOBJ */
    case 0x86: /* TUPLE2 */
    case 0x93: /* STACK_GLOBAL */
        return swap(w, 2, 1);
    case 's':
    case 0x87: /* TUPLE3 */
    case 0x92: /* NEWOBJ_EX */
        return swap(w, 3, 1);
    case 'p':
    case 'q':
    case 'r':
    case 'Q':
    case 0x85: /* TUPLE1 */
    case 0x94: /* MEMOIZE */
    case 0x98: /* READONLY_BUFFER */
        return swap(w, 1, 1);
    case 0x80: /* PROTO; 5 is the last */
    case 0x95: /* FRAME */
        return true;
    default:
        return swap(w, 0, 1);
    }
}

/* Bytes that the opcode at q takes, of n in the sample; 0: none that Python would write, or not
 * whole; *whole tells which. */
static uint64_t span(const uint8_t *q, size_t n, bool *whole)
{
    struct sc_pk_shape shape;
    *whole = true;
    if (!sc_pk_shape(q[0], &shape))
        return 0;
    size_t at = 1;
    for (unsigned i = 0; i < shape.lines; i++) {
        const uint8_t *end = at < n ? memchr(q + at, '\n', n - at) : NULL;
        *whole = end != NULL;
        if (!end)
            return 0;
        struct sc_str line = sc_str((const char *)q + at, (size_t)(end - q) - at);
        at += line.n + 1;
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (!is_line_of(q[0], line))
            return 0;
    }
    *whole = n - at >= shape.bytes;
    if (!*whole)
        return 0;
    const uint64_t text = shape.text ? sc_pk_number(q + at, shape.bytes) : 0;
    uint64_t all;
    return sc_add(text, at + shape.bytes, &all) ? all : 0;
}

bool sc_pickle_sniff(const uint8_t *sample, size_t n, uint64_t size)
{
    struct sniffer w = {0};
    bool whole = true;
    for (uint64_t at = 0; at < n;) {
        const uint8_t opcode = sample[at];
        const uint64_t len = span(sample + at, n - (size_t)at, &whole);
        if (len == 0 || len > size - at) {
            if (len > 0 || whole)
                return false;
            break;
        }
        if (opcode == '.')
            return w.structure && w.n > 0 && !(w.marks && w.at[w.marks - 1] == w.n);
        if (!apply(&w, opcode) || (opcode == 0x80 && sample[at + 1] > 5))
            return false;
        w.opcodes++;
        if (w.marks == MARKS)
            return true;
        at += len;
    }
    return n < size && w.structure && w.opcodes >= CONVINCING;
}
