/* SPDX-License-Identifier: Apache-2.0 */
/* pickle: every opcode of protocols 0 to 5, as data.
 *
 * Owns: what follows an opcode in the stream, which function executes it, the window over the
 * bytes. What the opcodes do: pickle_scalar.c, pickle_stack.c, pickle_object.c. Values and limits:
 * pickle_value.c. Which names are harmless: pickle_globals.c.
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
 * of the stream before anything is allocated. Whether a file is a pickle at all: pickle_sniff.c. */
#include "format/pickle_machine.h"

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
    ['('] = A_NONE,
    ['.'] = A_NONE,
    ['0'] = A_NONE,
    ['1'] = A_NONE,
    ['2'] = A_NONE,
    ['F'] = A_LINE,
    ['I'] = A_LINE,
    ['J'] = A_I4,
    ['K'] = A_U1,
    ['L'] = A_LINE,
    ['M'] = A_U2,
    ['N'] = A_NONE,
    ['P'] = A_LINE,
    ['Q'] = A_NONE,
    ['R'] = A_NONE,
    ['S'] = A_LINE,
    ['T'] = A_TEXT4,
    ['U'] = A_TEXT1,
    ['V'] = A_LINE,
    ['X'] = A_TEXT4,
    ['a'] = A_NONE,
    ['b'] = A_NONE,
    ['c'] = A_LINES,
    ['d'] = A_NONE,
    ['}'] = A_NONE,
    ['e'] = A_NONE,
    ['g'] = A_LINE,
    ['h'] = A_U1,
    ['i'] = A_LINES,
    ['j'] = A_U4,
    ['l'] = A_NONE,
    [']'] = A_NONE,
    ['o'] = A_NONE,
    ['p'] = A_LINE,
    ['q'] = A_U1,
    ['r'] = A_U4,
    ['s'] = A_NONE,
    ['t'] = A_NONE,
    [')'] = A_NONE,
    ['u'] = A_NONE,
    ['G'] = A_F8,
    ['B'] = A_TEXT4,
    ['C'] = A_TEXT1,
    [PROTO] = A_U1,
    [NEWOBJ] = A_NONE,
    [EXT1] = A_U1,
    [EXT2] = A_U2,
    [EXT4] = A_U4,
    [TUPLE1] = A_NONE,
    [TUPLE2] = A_NONE,
    [TUPLE3] = A_NONE,
    [NEWTRUE] = A_NONE,
    [NEWFALSE] = A_NONE,
    [LONG1] = A_TEXT1,
    [LONG4] = A_TEXT4,
    [BINBYTES8] = A_TEXT8,
    [SHORT_BINUNICODE] = A_TEXT1,
    [BINUNICODE8] = A_TEXT8,
    [EMPTY_SET] = A_NONE,
    [ADDITEMS] = A_NONE,
    [FROZENSET] = A_NONE,
    [NEWOBJ_EX] = A_NONE,
    [STACK_GLOBAL] = A_NONE,
    [MEMOIZE] = A_NONE,
    [FRAME] = A_U8,
    [BYTEARRAY8] = A_TEXT8,
    [NEXT_BUFFER] = A_NONE,
    [READONLY_BUFFER] = A_NONE,
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
                       struct sc_pk_operation *op)
{
    if (n < prefix)
        return SC_PK_MORE;
    const uint64_t text = sc_pk_number(q, prefix);
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

static const uint8_t width[] = {[A_U1] = 1, [A_U2] = 2,    [A_I4] = 4,    [A_U4] = 4,   [A_U8] = 8,
                                [A_F8] = 8, [A_TEXT1] = 1, [A_TEXT4] = 4, [A_TEXT8] = 8};

bool sc_pk_shape(uint8_t opcode, struct sc_pk_shape *out)
{
    const enum argument argument = (enum argument)arguments[opcode];
    *out = (struct sc_pk_shape){
        .lines = argument == A_LINES ? 2 : argument == A_LINE,
        .bytes = width[argument],
        .text = argument >= A_TEXT1,
    };
    return argument != A_UNKNOWN;
}

static int decode(struct sc_pickle *p, const uint8_t *q, size_t n, struct sc_pk_operation *op)
{
    if (n == 0)
        return SC_PK_MORE;
    *op = (struct sc_pk_operation){.opcode = q[0], .len = 1};
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
        op->number = sc_pk_number(q, width[argument]);
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

static int execute(struct sc_pickle *p, const struct sc_pk_operation *op)
{
    /* clang-format off: one line an opcode */
    switch (op->opcode) {
    case '(':
        return sc_pk_mark(p);
    case '0':
        return sc_pk_op_pop(p);
    case '1':
        return sc_pk_op_pop_mark(p);
    case '2':
        return sc_pk_op_dup(p);
    case 'N':
        return sc_pk_push(p, &p->none);
    case NEWTRUE:
        return sc_pk_push(p, &p->yes);
    case NEWFALSE:
        return sc_pk_push(p, &p->no);
    case 'I':
        return sc_pk_op_int(p, op->text);
    case 'L':
        return sc_pk_op_long_text(p, op->text);
    case LONG1:
    case LONG4:
        return sc_pk_op_long(p, op);
    case 'J':
        return push_int(p, (int32_t)(uint32_t)op->number);
    case 'K':
    case 'M':
        return push_int(p, (int64_t)op->number);
    case 'F':
        return sc_pk_op_float_text(p, op->text);
    case 'G':
        return sc_pk_op_float(p, op->number);
    case 'S':
        return sc_pk_op_string(p, op->text);
    case 'V':
        return sc_pk_op_unicode(p, op->text);
    case 'X':
    case SHORT_BINUNICODE:
    case BINUNICODE8:
        return sc_pk_op_text(p, SC_PK_STR, op->text, op->cut);
    case 'T':
    case 'U':
    case 'B':
    case 'C':
    case BINBYTES8:
    case BYTEARRAY8:
        return sc_pk_op_text(p, SC_PK_BYTES, op->text, op->cut);
    case ')':
        return sc_pk_op_tuple(p, 0);
    case TUPLE1:
        return sc_pk_op_tuple(p, 1);
    case TUPLE2:
        return sc_pk_op_tuple(p, 2);
    case TUPLE3:
        return sc_pk_op_tuple(p, 3);
    case 't':
        return sc_pk_op_fold_marked(p, SC_PK_TUPLE);
    case 'l':
        return sc_pk_op_fold_marked(p, SC_PK_LIST);
    case 'd':
        return sc_pk_op_fold_marked(p, SC_PK_DICT);
    case FROZENSET:
        return sc_pk_op_fold_marked(p, SC_PK_SET);
    case ']':
        return push_new(p, SC_PK_LIST);
    case '}':
        return push_new(p, SC_PK_DICT);
    case EMPTY_SET:
        return push_new(p, SC_PK_SET);
    case 'a':
        return sc_pk_op_put_one(p, SC_PK_LIST);
    case 's':
        return sc_pk_op_put_one(p, SC_PK_DICT);
    case 'e':
        return sc_pk_op_put_marked(p, SC_PK_LIST);
    case 'u':
        return sc_pk_op_put_marked(p, SC_PK_DICT);
    case ADDITEMS:
        return sc_pk_op_put_marked(p, SC_PK_SET);
    case 'p':
        return sc_pk_op_memo_text(p, op->text, true);
    case 'q':
    case 'r':
        return sc_pk_op_put(p, op->number);
    case MEMOIZE:
        return sc_pk_op_put(p, p->memo_size);
    case 'g':
        return sc_pk_op_memo_text(p, op->text, false);
    case 'h':
    case 'j':
        return sc_pk_op_get(p, op->number);
    case 'c':
        return sc_pk_op_global(p, op->text, op->more);
    case STACK_GLOBAL:
        return sc_pk_op_stack_global(p);
    case 'R':
    case NEWOBJ:
        return sc_pk_op_call(p);
    case NEWOBJ_EX:
        return sc_pk_op_call_keywords(p);
    case 'i':
        return sc_pk_op_inst(p, op);
    case 'o':
        return sc_pk_op_obj(p);
    case 'b':
        return sc_pk_op_build(p);
    case 'P':
        return sc_pk_op_persistent_text(p, op->text);
    case 'Q':
        return sc_pk_op_persistent(p);
    case PROTO:
        return op_proto(p, op->number);
    case FRAME:
        return op_frame(p, op->number);
    case EXT1:
    case EXT2:
    case EXT4:
        return sc_pk_bad(p, "a code of the extension registry, which files cannot rely on");
    case NEXT_BUFFER:
    case READONLY_BUFFER:
        return sc_pk_bad(p, "a buffer that is not in the file");
    case '.':
        SC_PK_NEED(p, 1);
        return SC_PK_DONE;
    default:
        return sc_pk_bad(p, "0x%02x is no opcode", op->opcode);
    }
    /* clang-format on */
}

/* Everything that is whole in the window. SC_PK_MORE when the rest is needed. */
static int run_window(struct sc_pickle *p)
{
    struct sc_pk_operation op = {0};
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
    const size_t wish =
        p->fetched == 0 ? FIRST_FETCH : SC_MIN((size_t)p->fetched, (size_t)FETCH_MAX);
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

int sc_pickle_read_stretch(void *stretch, void *dst, size_t want, size_t *got, struct sc_error *e)
{
    struct sc_pickle_stretch *st = stretch;
    *got = (size_t)SC_MIN((uint64_t)want, st->end - st->pos);
    if (dst && *got > 0)
        TRY(sc_source_read(st->source, st->pos, dst, *got, e));
    st->pos += *got;
    return 0;
}
