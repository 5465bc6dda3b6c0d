/* SPDX-License-Identifier: Apache-2.0 */
/* pickle: every opcode of protocols 0 to 5, as data.
 *
 * Owns: what follows an opcode in the stream, what it does to stack and memo, the window over the
 * bytes. Values and limits: pickle_value.c. Which names are harmless: pickle_globals.c.
 *
 *   argument in the stream           opcodes
 *   nothing                          ( . 0 1 2 N R b a e d } l ] o s t ) u  80.. see the table
 *   1, 2, 4, 8 bytes, little-endian  K M J h j q r  PROTO FRAME EXT1 EXT2 EXT4
 *   8 bytes, big-endian float        G
 *   a line of text                   F I L P S V g p
 *   two lines of text                c i
 *   length (1, 4, 8 bytes) and text  U T X B C  SHORT_BINUNICODE BINUNICODE8 BINBYTES8 LONG1 ...
 *
 * An opcode is executed only when its argument is whole in the window, so nothing is ever half
 * done; text that is too long to be a name is passed over. Lengths are compared with what is left
 * of the stream before anything is allocated. */
#include "format/pickle_machine.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_FETCH = 1 << 10,
    FETCH_MAX = 256 << 10,
    LINE_MAX_BYTES = 1 << 20, /* the longest line of the text opcodes */
};

enum argument {
    A_UNKNOWN,
    A_NONE,
    A_U1,
    A_U2,
    A_I4,
    A_U4,
    A_U8,
    A_F8,
    A_LINE,
    A_LINES,
    A_TEXT1,
    A_TEXT4,
    A_TEXT8,
};

/* Opcodes that Python's pickletools gives a letter are written as that letter. */
enum {
    PROTO = 0x80,
    NEWOBJ,
    EXT1,
    EXT2,
    EXT4,
    TUPLE1,
    TUPLE2,
    TUPLE3,
    NEWTRUE,
    NEWFALSE,
    LONG1,
    LONG4,
    SHORT_BINUNICODE,
    BINUNICODE8,
    BINBYTES8,
    EMPTY_SET,
    ADDITEMS,
    FROZENSET,
    NEWOBJ_EX,
    STACK_GLOBAL,
    MEMOIZE,
    FRAME,
    BYTEARRAY8,
    NEXT_BUFFER,
    READONLY_BUFFER,
};

static const uint8_t arguments[256] = {
    ['('] = A_NONE,           ['.'] = A_NONE,        ['0'] = A_NONE,      ['1'] = A_NONE,
    ['2'] = A_NONE,           ['F'] = A_LINE,        ['I'] = A_LINE,      ['J'] = A_I4,
    ['K'] = A_U1,             ['L'] = A_LINE,        ['M'] = A_U2,        ['N'] = A_NONE,
    ['P'] = A_LINE,           ['Q'] = A_NONE,        ['R'] = A_NONE,      ['S'] = A_LINE,
    ['T'] = A_TEXT4,          ['U'] = A_TEXT1,       ['V'] = A_LINE,      ['X'] = A_TEXT4,
    ['a'] = A_NONE,           ['b'] = A_NONE,        ['c'] = A_LINES,     ['d'] = A_NONE,
    ['}'] = A_NONE,           ['e'] = A_NONE,        ['g'] = A_LINE,      ['h'] = A_U1,
    ['i'] = A_LINES,          ['j'] = A_U4,          ['l'] = A_NONE,      [']'] = A_NONE,
    ['o'] = A_NONE,           ['p'] = A_LINE,        ['q'] = A_U1,        ['r'] = A_U4,
    ['s'] = A_NONE,           ['t'] = A_NONE,        [')'] = A_NONE,      ['u'] = A_NONE,
    ['G'] = A_F8,             ['B'] = A_TEXT4,       ['C'] = A_TEXT1,     [PROTO] = A_U1,
    [NEWOBJ] = A_NONE,        [EXT1] = A_U1,         [EXT2] = A_U2,       [EXT4] = A_U4,
    [TUPLE1] = A_NONE,        [TUPLE2] = A_NONE,     [TUPLE3] = A_NONE,   [NEWTRUE] = A_NONE,
    [NEWFALSE] = A_NONE,      [LONG1] = A_TEXT1,     [LONG4] = A_TEXT4,   [BINBYTES8] = A_TEXT8,
    [SHORT_BINUNICODE] = A_TEXT1, [BINUNICODE8] = A_TEXT8, [EMPTY_SET] = A_NONE,
    [ADDITEMS] = A_NONE,      [FROZENSET] = A_NONE,  [NEWOBJ_EX] = A_NONE,
    [STACK_GLOBAL] = A_NONE,  [MEMOIZE] = A_NONE,    [FRAME] = A_U8,      [BYTEARRAY8] = A_TEXT8,
    [NEXT_BUFFER] = A_NONE,   [READONLY_BUFFER] = A_NONE,
};

struct operation {
    uint8_t opcode;
    bool cut;                 /* the text is too long to keep: `skip` bytes follow */
    uint64_t number;          /* A_U*, and A_I4 by its bits */
    struct sc_str text, more; /* A_LINE, A_TEXT*; the second line of A_LINES */
    size_t len;               /* bytes of the window that it takes */
    uint64_t skip;            /* bytes after these that it takes too */
};

int sc_pk_bad(struct sc_pickle *p, const char *fmt, ...)
{
    struct sc_error said;
    va_list ap;
    va_start(ap, fmt);
    sc_fail_v(&said, SCRUPLE_EFORMAT, fmt, ap);
    va_end(ap);
    const uint64_t at = p->in->offset == SC_NO_OFFSET ? SC_NO_OFFSET : p->in->offset + p->pos;
    /* Code that has run by then has run, even if what follows cannot be read. */
    const int code =
        p->danger
            ? sc_problem(p->c, SC_ERROR, "pickle.invalid", p->file, SC_NO_TENSOR, at, p->e,
                         "%s is no valid pickle: %s at byte %llu of it; up to there it would have "
                         "run %s",
                         p->in->what, said.text, (unsigned long long)p->pos, p->danger)
            : sc_problem(p->c, SC_ERROR, "pickle.invalid", p->file, SC_NO_TENSOR, at, p->e,
                         "%s is no valid pickle: %s at byte %llu of it", p->in->what, said.text,
                         (unsigned long long)p->pos);
    return code < 0 ? code : SC_PK_BROKEN;
}

/* -------------------------------------------------------------------------------- decoding --- */

static uint64_t read_number(const uint8_t *q, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)q[i] << 8 * i;
    return v;
}

/* One line without its end at q; *len counts the end. */
static int decode_line(struct sc_pickle *p, const uint8_t *q, size_t n, struct sc_str *line,
                       size_t *len)
{
    const uint8_t *end = n ? memchr(q, '\n', n) : NULL;
    if (!end)
        return n > LINE_MAX_BYTES ? sc_pk_bad(p, "a line of more than %d bytes", LINE_MAX_BYTES)
                                  : SC_PK_MORE;
    *line = sc_str((const char *)q, (size_t)(end - q));
    *len += line->n + 1;
    return SC_PK_GO;
}

static int decode_text(struct sc_pickle *p, const uint8_t *q, size_t n, size_t prefix,
                       struct operation *op)
{
    if (n < prefix)
        return SC_PK_MORE;
    const uint64_t text = read_number(q, prefix);
    const uint64_t left = p->in->size - p->pos; /* opcode and length, which are there, included */
    if (text > left - 1 - prefix)
        return sc_pk_bad(p, "opcode 0x%02x announces %llu bytes, more than are left", op->opcode,
                         (unsigned long long)text);
    op->len += prefix;
    if (text > SC_MAX_NAME) {
        op->cut = true;
        op->skip = text;
        return SC_PK_GO;
    }
    if (n - prefix < text)
        return SC_PK_MORE;
    op->text = sc_str((const char *)q + prefix, (size_t)text);
    op->len += (size_t)text;
    return SC_PK_GO;
}

static int decode(struct sc_pickle *p, const uint8_t *q, size_t n, struct operation *op)
{
    static const uint8_t width[] = {[A_U1] = 1, [A_U2] = 2, [A_I4] = 4,    [A_U4] = 4,   [A_U8] = 8,
                                    [A_F8] = 8, [A_TEXT1] = 1, [A_TEXT4] = 4, [A_TEXT8] = 8};
    if (n == 0)
        return SC_PK_MORE;
    *op = (struct operation){.opcode = q[0], .len = 1};
    const enum argument argument = (enum argument)arguments[q[0]];
    q++;
    n--;
    switch (argument) {
    case A_UNKNOWN:
        return sc_pk_bad(p, "0x%02x is no opcode", op->opcode);
    case A_NONE:
        return SC_PK_GO;
    case A_U1:
    case A_U2:
    case A_I4:
    case A_U4:
    case A_U8:
    case A_F8:
        if (n < width[argument])
            return SC_PK_MORE;
        op->number = read_number(q, width[argument]);
        op->len += width[argument];
        return SC_PK_GO;
    case A_LINE:
        return decode_line(p, q, n, &op->text, &op->len);
    case A_LINES: {
        const int code = decode_line(p, q, n, &op->text, &op->len);
        if (code != SC_PK_GO)
            return code;
        return decode_line(p, q + op->text.n + 1, n - op->text.n - 1, &op->more, &op->len);
    }
    case A_TEXT1:
    case A_TEXT4:
    case A_TEXT8:
        return decode_text(p, q, n, width[argument], op);
    }
    return SC_PK_GO;
}

/* ------------------------------------------------------------------------ numbers and text --- */

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
static int op_int(struct sc_pickle *p, struct sc_str s)
{
    if (sc_str_is(s, "00") || sc_str_is(s, "01"))
        return sc_pk_push(p, s.p[1] == '1' ? &p->yes : &p->no);
    return push_decimal(p, s);
}

static int op_long_text(struct sc_pickle *p, struct sc_str s)
{
    if (s.n > 0 && s.p[s.n - 1] == 'L')
        s.n--;
    return push_decimal(p, s);
}

/* LONG1, LONG4: little-endian, two's complement. */
static int op_long(struct sc_pickle *p, const struct operation *op)
{
    const struct sc_str s = op->text;
    const uint8_t *q = (const uint8_t *)s.p;
    const bool minus = s.n > 0 && q[s.n - 1] & 0x80;
    struct sc_pk *v;
    if (!op->cut && s.n <= 8) {
        uint64_t bits = s.n ? read_number(q, s.n) : 0;
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

static int op_float_text(struct sc_pickle *p, struct sc_str s)
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

static int op_float(struct sc_pickle *p, uint64_t little)
{
    uint64_t bits = 0;
    double f;
    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | (little >> 8 * i & 0xff);
    memcpy(&f, &bits, sizeof f);
    return push_float(p, f);
}

static int push_text(struct sc_pickle *p, enum sc_pk_kind kind, struct sc_str s, bool cut)
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
        const char kind = s.p[i] == '\\' && i + 1 < s.n ? s.p[i + 1] : '\0';
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
                              : push_text(p, kind, sc_str(b.p ? b.p : "", b.n),
                                          s.n > 4 * (size_t)SC_MAX_NAME);
    sc_buf_clear(&b);
    return code;
}

/* STRING: a literal of Python 2 with its quotes. */
static int op_string(struct sc_pickle *p, struct sc_str s)
{
    if (s.n < 2 || (s.p[0] != '\'' && s.p[0] != '"') || s.p[s.n - 1] != s.p[0])
        return sc_pk_bad(p, "a string without quotes");
    return push_unescaped(p, SC_PK_BYTES, sc_str(s.p + 1, s.n - 2), unescape_literal);
}

/* ----------------------------------------------------------------------------------- stack --- */

/* Values above the last MARK. */
static size_t above_mark(const struct sc_pickle *p)
{
    return p->n - (p->n_marks ? p->marks[p->n_marks - 1] : 0);
}

/* n values must be there to be taken. */
#define NEED(p, count)                                                                             \
    do {                                                                                           \
        if (above_mark(p) < (count))                                                               \
            return sc_pk_bad(p, "the stack is empty");                                             \
    } while (0)

/* Takes the last MARK away; *first is where its values begin. */
#define TAKE_MARK(p, first)                                                                        \
    do {                                                                                           \
        if ((p)->n_marks == 0)                                                                     \
            return sc_pk_bad(p, "there is no MARK");                                               \
        (first) = (p)->marks[--(p)->n_marks];                                                      \
    } while (0)

static int op_pop(struct sc_pickle *p)
{
    if (above_mark(p) == 0 && p->n_marks > 0) {
        p->n_marks--;
        return SC_PK_GO;
    }
    NEED(p, 1);
    p->n--;
    return SC_PK_GO;
}

static int op_dup(struct sc_pickle *p)
{
    NEED(p, 1);
    return sc_pk_push(p, p->stack[p->n - 1]);
}

/* The values from `first` to the top become one. */
static int fold(struct sc_pickle *p, enum sc_pk_kind kind, size_t first)
{
    struct sc_pk *v;
    if (kind == SC_PK_DICT && (p->n - first) % 2 != 0)
        return sc_pk_bad(p, "a dict with a key that has no value");
    TRY(sc_pk_new_sequence(p, kind, p->stack + first, p->n - first, &v));
    p->n = first;
    return sc_pk_push(p, v);
}

static int op_fold_marked(struct sc_pickle *p, enum sc_pk_kind kind)
{
    size_t first;
    TAKE_MARK(p, first);
    return fold(p, kind, first);
}

static int op_tuple(struct sc_pickle *p, size_t n)
{
    NEED(p, n);
    return fold(p, SC_PK_TUPLE, p->n - n);
}

static bool takes_items(const struct sc_pk *v)
{
    return v->kind == SC_PK_OBJECT && sc_pk_made_by(v) < SC_PK_ROLE_BUILDER;
}

/* The values from `first` on go into the container below them. A class that we do not know may be
 * a list or a dict; a tensor is neither. */
static int put_items(struct sc_pickle *p, size_t first, enum sc_pk_kind kind)
{
    if (first == 0 || (p->n_marks > 0 && first - 1 < p->marks[p->n_marks - 1]))
        return sc_pk_bad(p, "items, but nothing to put them into");
    if (kind == SC_PK_DICT && (p->n - first) % 2 != 0)
        return sc_pk_bad(p, "a key without a value");
    struct sc_pk *into = p->stack[first - 1];
    if (takes_items(into)) {
        struct sc_pk_object *object = into->as.object;
        struct sc_pk **part = kind == SC_PK_DICT ? &object->dict : &object->list;
        if (!*part)
            TRY(sc_pk_new(p, kind == SC_PK_DICT ? SC_PK_DICT : SC_PK_LIST, part));
        into = *part;
    } else if (into->kind != kind) {
        return sc_pk_bad(p, "items for something that cannot take them");
    }
    TRY(sc_pk_append(p, into, p->stack + first, p->n - first));
    p->n = first;
    return SC_PK_GO;
}

static int op_put_one(struct sc_pickle *p, enum sc_pk_kind kind)
{
    const size_t n = kind == SC_PK_DICT ? 2 : 1;
    NEED(p, n + 1);
    return put_items(p, p->n - n, kind);
}

static int op_put_marked(struct sc_pickle *p, enum sc_pk_kind kind)
{
    size_t first;
    TAKE_MARK(p, first);
    return put_items(p, first, kind);
}

/* ------------------------------------------------------------------------------------ memo --- */

static int op_put(struct sc_pickle *p, uint64_t key)
{
    NEED(p, 1);
    return sc_pk_memo_put(p, key, p->stack[p->n - 1]);
}

static int op_get(struct sc_pickle *p, uint64_t key)
{
    struct sc_pk *v = sc_pk_memo_get(p, key);
    if (!v)
        return sc_pk_bad(p, "memo %llu is empty", (unsigned long long)key);
    return sc_pk_push(p, v);
}

static int op_memo_text(struct sc_pickle *p, struct sc_str s, bool put)
{
    uint64_t key;
    if (!sc_str_u64(s, &key))
        return sc_pk_bad(p, "a memo index that is no number");
    return put ? op_put(p, key) : op_get(p, key);
}

/* ------------------------------------------------------------------------ names and objects --- */

static int push_global(struct sc_pickle *p, struct sc_str module, struct sc_str name)
{
    struct sc_pk *v;
    TRY(sc_pk_new_global(p, module, name, &v));
    return sc_pk_push(p, v);
}

static int op_stack_global(struct sc_pickle *p)
{
    struct sc_str module, name;
    NEED(p, 2);
    if (!sc_pk_text(p->stack[p->n - 2], &module) || !sc_pk_text(p->stack[p->n - 1], &name))
        return sc_pk_bad(p, "a global whose name is no text");
    p->n -= 2;
    return push_global(p, module, name);
}

/* OrderedDict([(key, value), ...]) or OrderedDict(): an ordinary dict from here on. false in *made:
 * the arguments are something else. */
static int make_ordered_dict(struct sc_pickle *p, const struct sc_pk *args, struct sc_pk **out,
                             bool *made)
{
    const struct sc_pk *pairs = sc_pk_item(args, 0);
    *made = args->n == 0 || (args->n == 1 && sc_pk_is_sequence(pairs));
    if (!*made)
        return 0;
    TRY(sc_pk_new(p, SC_PK_DICT, out));
    (*out)->ordered = true;
    /* One pass that is paid for: the same list may be passed to a million calls. */
    for (size_t i = 0; *made && pairs && i < pairs->n; i++) {
        const struct sc_pk *pair = pairs->as.seq.item[i];
        *made = sc_pk_is_sequence(pair) && pair->n == 2;
        if (*made)
            TRY(sc_pk_append(p, *out, pair->as.seq.item, 2));
    }
    return 0;
}

/* _codecs.encode(text, "latin1"): how protocol 2 writes bytes. */
static int make_encoded(struct sc_pickle *p, const struct sc_pk *args, struct sc_pk **out,
                        bool *made)
{
    const struct sc_pk *text = sc_pk_item(args, 0);
    *made = text && text->kind == SC_PK_STR;
    if (!*made)
        return 0;
    TRY(sc_pk_new_text(p, SC_PK_BYTES, text->as.s, text->cut, out));
    const struct sc_str s = (*out)->as.s;
    char *to = NULL; /* the copy is ours, and Latin-1 is never longer than UTF-8 */
    size_t n = 0;
    int code;
    if (s.n == 0 || !(to = sc_pk_alloc(p, s.n, 1, &code)))
        return s.n == 0 ? 0 : code;
    for (size_t i = 0; i < s.n;) {
        uint32_t point;
        const size_t used = sc_utf8_decode(s.p + i, s.n - i, &point);
        if (used == 0 || point > 0xff)
            return 0; /* not Latin-1 after all: keep the text */
        to[n++] = (char)point;
        i += used;
    }
    (*out)->as.s = sc_str(to, n);
    return 0;
}

/* The call of `func` with `args`: what it makes, as data. */
static int make_call(struct sc_pickle *p, const struct sc_pk *func, struct sc_pk *args,
                     struct sc_pk **out)
{
    struct sc_pk *rest;
    bool made = false;
    if (args->kind != SC_PK_TUPLE)
        return sc_pk_bad(p, "a call whose arguments are no tuple");
    if (func->kind != SC_PK_GLOBAL && func->kind != SC_PK_OBJECT)
        return sc_pk_bad(p, "a call of something that is no function");
    TRY(sc_pk_count_call(p, func));
    const enum sc_pk_role role = sc_pk_role(func);
    if (role == SC_PK_ROLE_ORDERED_DICT)
        TRY(make_ordered_dict(p, args, out, &made));
    else if (role == SC_PK_ROLE_ENCODE)
        TRY(make_encoded(p, args, out, &made));
    if (made)
        return SC_PK_GO;
    /* Two helpers of copyreg stand for the class that they are given. */
    const struct sc_pk *class = sc_pk_item(args, 0);
    if (role == SC_PK_ROLE_NEWOBJ && class && class->kind == SC_PK_GLOBAL) {
        TRY(sc_pk_new_sequence(p, SC_PK_TUPLE, args->as.seq.item + 1, args->n - 1, &rest));
        TRY(sc_pk_count_call(p, class));
        return sc_pk_new_object(p, class, rest, out);
    }
    if (role == SC_PK_ROLE_RECONSTRUCTOR && class && class->kind == SC_PK_GLOBAL) {
        const struct sc_pk *state = sc_pk_item(args, 2);
        const bool has_state = state && state->kind != SC_PK_NONE;
        TRY(sc_pk_new_sequence(p, SC_PK_TUPLE, has_state ? args->as.seq.item + 2 : NULL,
                               has_state, &rest));
        TRY(sc_pk_count_call(p, class));
        return sc_pk_new_object(p, class, rest, out);
    }
    return sc_pk_new_object(p, func, args, out);
}

/* REDUCE and NEWOBJ: function and argument tuple are the two topmost values. */
static int op_call(struct sc_pickle *p)
{
    struct sc_pk *v;
    NEED(p, 2);
    const int code = make_call(p, p->stack[p->n - 2], p->stack[p->n - 1], &v);
    if (code != SC_PK_GO)
        return code;
    p->n -= 2;
    return sc_pk_push(p, v);
}

/* NEWOBJ_EX: keyword arguments, if any, become one more argument. */
static int op_call_keywords(struct sc_pickle *p)
{
    NEED(p, 3);
    struct sc_pk **top = p->stack + p->n - 3;
    if (top[1]->kind != SC_PK_TUPLE || top[2]->kind != SC_PK_DICT)
        return sc_pk_bad(p, "a call whose arguments are no tuple and dict");
    if (top[2]->n > 0) {
        struct sc_pk *all;
        TRY(sc_pk_new(p, SC_PK_TUPLE, &all));
        TRY(sc_pk_append(p, all, top[1]->as.seq.item, top[1]->n));
        TRY(sc_pk_append(p, all, &top[2], 1));
        top[1] = all;
    }
    p->n--;
    return op_call(p);
}

/* INST (the class is named by the opcode) and OBJ (it is the first value after the MARK). */
static int call_marked(struct sc_pickle *p, struct sc_pk *func, size_t base, size_t first)
{
    struct sc_pk *args, *v;
    TRY(sc_pk_new_sequence(p, SC_PK_TUPLE, p->stack + first, p->n - first, &args));
    const int code = make_call(p, func, args, &v);
    if (code != SC_PK_GO)
        return code;
    p->n = base;
    return sc_pk_push(p, v);
}

static int op_inst(struct sc_pickle *p, const struct operation *op)
{
    struct sc_pk *func;
    size_t first;
    TAKE_MARK(p, first);
    TRY(sc_pk_new_global(p, op->text, op->more, &func));
    return call_marked(p, func, first, first);
}

static int op_obj(struct sc_pickle *p)
{
    size_t first;
    TAKE_MARK(p, first);
    if (p->n == first)
        return sc_pk_bad(p, "an object without a class");
    return call_marked(p, p->stack[first], first, first + 1);
}

static int op_build(struct sc_pickle *p)
{
    NEED(p, 2);
    struct sc_pk *state = p->stack[p->n - 1], *v = p->stack[p->n - 2];
    if (v->kind == SC_PK_OBJECT) {
        struct sc_pk_object *object = v->as.object;
        TRY(sc_pk_count_call(p, object->func));
        if (object->state) { /* the first stays reachable: nothing is lost from sight */
            struct sc_pk *const both[] = {object->state, state};
            TRY(sc_pk_new_sequence(p, SC_PK_TUPLE, both, 2, &state));
        }
        object->state = state;
    } else if (v->kind != SC_PK_DICT || !v->ordered) {
        return sc_pk_bad(p, "BUILD on something that has no state");
    }
    p->n--;
    return SC_PK_GO;
}

/* -------------------------------------------------------------------------- persistent ids --- */

static bool is_text(const struct sc_pk *v)
{
    struct sc_str s;
    return sc_pk_text(v, &s);
}

static bool is_count(const struct sc_pk *v)
{
    return v && v->kind == SC_PK_INT && v->as.i >= 0;
}

static bool is_storage_id(const struct sc_pk *id)
{
    struct sc_str word;
    const struct sc_pk *location = sc_pk_item(id, 3);
    return id->kind == SC_PK_TUPLE && (id->n == 5 || id->n == 6) &&
           sc_pk_text(sc_pk_item(id, 0), &word) && sc_str_is(word, "storage") &&
           sc_pk_role(sc_pk_item(id, 1)) == SC_PK_ROLE_STORAGE && is_text(sc_pk_item(id, 2)) &&
           (is_text(location) || location->kind == SC_PK_NONE) && is_count(sc_pk_item(id, 4));
}

/* ("module", class, file, source) in a stream, (class, file, source) in a tar. */
static struct sc_pk *class_of_id(const struct sc_pk *id, enum sc_pk_ids ids)
{
    struct sc_str word;
    if (id->kind != SC_PK_TUPLE)
        return NULL;
    if (ids == SC_PK_IDS_STREAM && id->n == 4 && sc_pk_text(sc_pk_item(id, 0), &word) &&
        sc_str_is(word, "module") && id->as.seq.item[1]->kind == SC_PK_GLOBAL)
        return id->as.seq.item[1];
    if (ids == SC_PK_IDS_TAR && id->n == 3 && id->as.seq.item[0]->kind == SC_PK_GLOBAL)
        return id->as.seq.item[0];
    return NULL;
}

static int push_persistent(struct sc_pickle *p, struct sc_pk *id)
{
    const enum sc_pk_ids ids = p->in->ids;
    struct sc_pk *v = class_of_id(id, ids);
    if (v)
        return sc_pk_push(p, v);
    const bool storage = ids == SC_PK_IDS_STORAGE || ids == SC_PK_IDS_STREAM;
    if (!(storage && is_storage_id(id)) &&
        !(ids == SC_PK_IDS_TAR && (is_count(id) || is_text(id))))
        return sc_pk_bad(p, "a persistent id that is no storage");
    TRY(sc_pk_new_persistent(p, id, &v));
    return sc_pk_push(p, v);
}

static int op_persistent_text(struct sc_pickle *p, struct sc_str s)
{
    struct sc_pk *id;
    TRY(sc_pk_new_text(p, SC_PK_STR, s, false, &id));
    return push_persistent(p, id);
}

static int op_persistent(struct sc_pickle *p)
{
    NEED(p, 1);
    return push_persistent(p, p->stack[--p->n]);
}

/* ------------------------------------------------------------------------------- execution --- */

static int op_frame(struct sc_pickle *p, uint64_t n)
{
    if (n > p->in->size - p->pos)
        return sc_pk_bad(p, "a frame of %llu bytes, more than are left", (unsigned long long)n);
    return SC_PK_GO;
}

static int op_proto(struct sc_pickle *p, uint64_t version)
{
    if (version > 5)
        return sc_pk_bad(p, "protocol %llu; 5 is the last that is known",
                         (unsigned long long)version);
    return SC_PK_GO;
}

static int push_int(struct sc_pickle *p, int64_t i)
{
    struct sc_pk *v;
    TRY(sc_pk_new_int(p, i, &v));
    return sc_pk_push(p, v);
}

static int push_new(struct sc_pickle *p, enum sc_pk_kind kind)
{
    struct sc_pk *v;
    TRY(sc_pk_new(p, kind, &v));
    return sc_pk_push(p, v);
}

static int execute(struct sc_pickle *p, const struct operation *op)
{
    size_t first;
    switch (op->opcode) {
    case '(': return sc_pk_mark(p);
    case '0': return op_pop(p);
    case '1': TAKE_MARK(p, first); p->n = first; return SC_PK_GO;
    case '2': return op_dup(p);
    case 'N': return sc_pk_push(p, &p->none);
    case NEWTRUE: return sc_pk_push(p, &p->yes);
    case NEWFALSE: return sc_pk_push(p, &p->no);
    case 'I': return op_int(p, op->text);
    case 'L': return op_long_text(p, op->text);
    case LONG1:
    case LONG4: return op_long(p, op);
    case 'J': return push_int(p, (int32_t)(uint32_t)op->number);
    case 'K':
    case 'M': return push_int(p, (int64_t)op->number);
    case 'F': return op_float_text(p, op->text);
    case 'G': return op_float(p, op->number);
    case 'S': return op_string(p, op->text);
    case 'V': return push_unescaped(p, SC_PK_STR, op->text, unescape_unicode);
    case 'X':
    case SHORT_BINUNICODE:
    case BINUNICODE8: return push_text(p, SC_PK_STR, op->text, op->cut);
    case 'T':
    case 'U':
    case 'B':
    case 'C':
    case BINBYTES8:
    case BYTEARRAY8: return push_text(p, SC_PK_BYTES, op->text, op->cut);
    case ')': return op_tuple(p, 0);
    case TUPLE1: return op_tuple(p, 1);
    case TUPLE2: return op_tuple(p, 2);
    case TUPLE3: return op_tuple(p, 3);
    case 't': return op_fold_marked(p, SC_PK_TUPLE);
    case 'l': return op_fold_marked(p, SC_PK_LIST);
    case 'd': return op_fold_marked(p, SC_PK_DICT);
    case FROZENSET: return op_fold_marked(p, SC_PK_SET);
    case ']': return push_new(p, SC_PK_LIST);
    case '}': return push_new(p, SC_PK_DICT);
    case EMPTY_SET: return push_new(p, SC_PK_SET);
    case 'a': return op_put_one(p, SC_PK_LIST);
    case 's': return op_put_one(p, SC_PK_DICT);
    case 'e': return op_put_marked(p, SC_PK_LIST);
    case 'u': return op_put_marked(p, SC_PK_DICT);
    case ADDITEMS: return op_put_marked(p, SC_PK_SET);
    case 'p': return op_memo_text(p, op->text, true);
    case 'q':
    case 'r': return op_put(p, op->number);
    case MEMOIZE: return op_put(p, p->memo_size);
    case 'g': return op_memo_text(p, op->text, false);
    case 'h':
    case 'j': return op_get(p, op->number);
    case 'c': return push_global(p, op->text, op->more);
    case STACK_GLOBAL: return op_stack_global(p);
    case 'R':
    case NEWOBJ: return op_call(p);
    case NEWOBJ_EX: return op_call_keywords(p);
    case 'i': return op_inst(p, op);
    case 'o': return op_obj(p);
    case 'b': return op_build(p);
    case 'P': return op_persistent_text(p, op->text);
    case 'Q': return op_persistent(p);
    case PROTO: return op_proto(p, op->number);
    case FRAME: return op_frame(p, op->number);
    case EXT1:
    case EXT2:
    case EXT4: return sc_pk_bad(p, "a code of the extension registry, which files cannot rely on");
    case NEXT_BUFFER:
    case READONLY_BUFFER: return sc_pk_bad(p, "a buffer that is not in the file");
    case '.': NEED(p, 1); return SC_PK_DONE;
    default: return sc_pk_bad(p, "0x%02x is no opcode", op->opcode);
    }
}

/* Everything that is whole in the window. SC_PK_MORE when the rest is needed. */
static int run_window(struct sc_pickle *p)
{
    struct operation op = {0};
    size_t at = 0;
    int code = SC_PK_GO;
    while (code == SC_PK_GO) {
        code = decode(p, p->window + at, p->window_len - at, &op);
        if (code != SC_PK_GO)
            break;
        code = execute(p, &op);
        at += op.len;
        p->pos += op.len + op.skip;
        if (op.skip > 0) { /* rarely: drop what of it is in the window, fetch past the rest */
            const size_t here = (size_t)SC_MIN(op.skip, (uint64_t)(p->window_len - at));
            at += here;
            p->skip = op.skip - here;
        }
    }
    if (at > 0)
        memmove(p->window, p->window + at, p->window_len - at);
    p->window_len -= at;
    return code;
}

static int fetch(struct sc_pickle *p)
{
    size_t got;
    while (p->skip > 0) {
        const size_t n = (size_t)SC_MIN(p->skip, (uint64_t)SIZE_MAX);
        TRY(p->in->read(p->in->ctx, NULL, n, &got, p->e));
        p->fetched += got;
        p->skip -= got;
        if (got < n)
            return sc_pk_bad(p, "the data end inside a text");
    }
    const uint64_t left = p->in->size - p->fetched;
    const size_t wish = p->fetched == 0 ? FIRST_FETCH : SC_MIN((size_t)p->fetched, (size_t)FETCH_MAX);
    const size_t want = (size_t)SC_MIN((uint64_t)wish, left);
    TRY(sc_grow(&p->window, &p->window_cap, p->window_len + want + 1, 1, p->e));
    TRY(p->in->read(p->in->ctx, p->window + p->window_len, want, &got, p->e));
    p->window_len += got;
    p->fetched += got;
    p->kept += got;
    if (got == 0)
        return sc_pk_bad(p, "the data end before STOP");
    return SC_PK_GO;
}

int sc_pickle_run(struct sc_pickle *p, const struct sc_pickle_input *in, struct sc_pk **result,
                  uint64_t *used, struct sc_error *e)
{
    sc_pk_reset(p);
    p->e = e;
    p->in = in;
    *result = NULL;
    int code = SC_PK_MORE;
    while (code == SC_PK_MORE) {
        if (sc_cancelled(p->c)) {
            code = sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
            break;
        }
        code = fetch(p);
        if (code != SC_PK_GO)
            break;
        if (p->kept > SC_MAX_PICKLE_BYTES) {
            code = sc_fail(e, SCRUPLE_ELIMIT, "%s is longer than %llu MiB", in->what,
                           (unsigned long long)(SC_MAX_PICKLE_BYTES >> 20));
            break;
        }
        code = run_window(p);
    }
    if (code == SC_PK_DONE)
        *result = p->stack[p->n - 1];
    *used = p->pos;
    p->in = NULL;
    p->e = NULL;
    return SC_MIN(code, 0);
}

int sc_pickle_read_stretch(void *stretch, void *dst, size_t want, size_t *got,
                           struct sc_error *e)
{
    struct sc_pickle_stretch *st = stretch;
    *got = (size_t)SC_MIN((uint64_t)want, st->end - st->pos);
    if (dst && *got > 0)
        TRY(sc_source_read(st->source, st->pos, dst, *got, e));
    st->pos += *got;
    return 0;
}
