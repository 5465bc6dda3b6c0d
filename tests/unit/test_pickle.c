/* SPDX-License-Identifier: Apache-2.0 */
/* The pickle machine: every opcode by what it makes, everything it refuses, the verdicts, and the
 * limits. Values are compared as text:
 *
 *   None True 5 big(0x..) 1.5 b'..' '..' (a, b) [a] {k: v} set(a) name(args) ... |state +{..} +[..]
 *
 * The byte strings are what Python's pickle writes, or what it would read. */
#include "test.h"

#include <stdlib.h>

#include "format/pickle.h"
#include "oom.h"

struct run {
    struct sc_catalog *c;
    struct sc_pickle *p;
    struct sc_pk *root;
    struct sc_error e;
    struct sc_open_options options;
    uint64_t used;
    int code;
};

/* Gives `step` bytes at a time, so that opcodes meet the end of the window everywhere. */
struct drip {
    const uint8_t *p;
    size_t n, at, step;
};

static int drip_read(void *ctx, void *dst, size_t want, size_t *got, struct sc_error *e)
{
    struct drip *d = ctx;
    (void)e;
    *got = SC_MIN(SC_MIN(want, d->step), d->n - d->at);
    if (!dst)
        *got = SC_MIN(want, d->n - d->at);
    if (dst && *got)
        memcpy(dst, d->p + d->at, *got);
    d->at += *got;
    return 0;
}

static int run_with(struct run *r, const void *p, size_t n, size_t step, enum sc_pk_ids ids,
                    uint64_t memory)
{
    uint32_t file;
    struct drip d = {p, n, 0, step};
    const struct sc_pickle_input in = {
        .read = drip_read, .ctx = &d, .size = n, .offset = 0, .what = "test.pkl", .ids = ids};
    r->c = calloc(1, sizeof *r->c);
    if (!r->c)
        return r->code = SCRUPLE_EMEMORY;
    r->c->options = &r->options;
    r->code = sc_catalog_add_file(r->c, "test.pkl", n, &file, &r->e);
    if (r->code == 0)
        r->code = sc_pickle_new(r->c, file, memory, &r->p, &r->e);
    if (r->code == 0)
        r->code = sc_pickle_run(r->p, &in, &r->root, &r->used, &r->e);
    return r->code;
}

static int run(struct run *r, const void *p, size_t n)
{
    return run_with(r, p, n, SIZE_MAX, SC_PK_IDS_STREAM, 64 << 20);
}

static void finish(struct run *r)
{
    sc_pickle_free(r->p);
    sc_catalog_close(r->c);
    memset(r, 0, sizeof *r);
}

static void show(struct sc_buf *b, const struct sc_pk *v, int depth);

static void show_items(struct sc_buf *b, const struct sc_pk *v, int depth)
{
    for (uint32_t i = 0; i < v->n; i++) {
        if (i)
            sc_buf_puts(b, v->kind == SC_PK_DICT && i % 2 ? ": " : ", ");
        show(b, v->as.seq.item[i], depth);
    }
}

static void show_text(struct sc_buf *b, const struct sc_pk *v)
{
    if (v->cut)
        sc_buf_puts(b, "...");
    for (size_t i = 0; i < v->as.s.n; i++) {
        const uint8_t c = (uint8_t)v->as.s.p[i];
        if (c < 0x20 || c > 0x7e)
            sc_buf_printf(b, "\\x%02x", c);
        else
            sc_buf_putc(b, (char)c);
    }
}

static void show_object(struct sc_buf *b, const struct sc_pk_object *o, int depth)
{
    show(b, o->func, depth);
    show(b, o->args, depth);
    if (o->state) {
        sc_buf_puts(b, "|");
        show(b, o->state, depth);
    }
    if (o->dict) {
        sc_buf_puts(b, "+");
        show(b, o->dict, depth);
    }
    if (o->list) {
        sc_buf_puts(b, "+");
        show(b, o->list, depth);
    }
}

static void show(struct sc_buf *b, const struct sc_pk *v, int depth)
{
    static const struct {
        const char *open, *close;
    } brackets[] = {[SC_PK_TUPLE] = {"(", ")"},
                    [SC_PK_LIST] = {"[", "]"},
                    [SC_PK_DICT] = {"{", "}"},
                    [SC_PK_SET] = {"set(", ")"}};
    if (++depth > 8) {
        sc_buf_puts(b, "<deep>");
        return;
    }
    switch ((enum sc_pk_kind)v->kind) {
    case SC_PK_NONE:
        sc_buf_puts(b, "None");
        break;
    case SC_PK_BOOL:
        sc_buf_puts(b, v->as.b ? "True" : "False");
        break;
    case SC_PK_INT:
        sc_buf_printf(b, "%lld", (long long)v->as.i);
        break;
    case SC_PK_BIGINT:
        sc_buf_puts(b, "big(");
        show_text(b, v);
        sc_buf_puts(b, ")");
        break;
    case SC_PK_FLOAT:
        sc_buf_printf(b, "%g", v->as.f);
        break;
    case SC_PK_BYTES:
    case SC_PK_STR:
        sc_buf_puts(b, v->kind == SC_PK_BYTES ? "b'" : "'");
        show_text(b, v);
        sc_buf_puts(b, "'");
        break;
    case SC_PK_TUPLE:
    case SC_PK_LIST:
    case SC_PK_DICT:
    case SC_PK_SET:
        sc_buf_puts(b, brackets[v->kind].open);
        show_items(b, v, depth);
        sc_buf_puts(b, brackets[v->kind].close);
        break;
    case SC_PK_GLOBAL:
        sc_buf_puts(b, v->as.global->dotted.p);
        break;
    case SC_PK_OBJECT:
        show_object(b, v->as.object, depth);
        break;
    case SC_PK_PERSISTENT:
        sc_buf_puts(b, "@");
        show(b, v->as.id, depth);
        break;
    }
}

/* The value must be this, however the bytes arrive. */
static void check_value(const void *p, size_t n, const char *want)
{
    static const size_t steps[] = {SIZE_MAX, 1, 3, 7};
    for (size_t i = 0; i < SC_COUNT(steps); i++) {
        struct run r = {0};
        struct sc_buf text = {0};
        CHECK_U64(run_with(&r, p, n, steps[i], SC_PK_IDS_STREAM, 64 << 20), 0);
        CHECK_STR(r.e.text, "");
        if (r.root) {
            show(&text, r.root, 0);
            CHECK_STR(text.p, want);
            CHECK_U64(r.used, n);
        }
        sc_buf_clear(&text);
        finish(&r);
    }
}
#define VALUE(bytes, want) check_value(bytes, sizeof(bytes) - 1, want)

/* Must be refused, and the message must contain this. Lenient: recorded, no value. Cut anywhere it
 * must be refused too. */
static void check_refused(const void *p, size_t n, const char *message)
{
    struct run r = {0};
    CHECK_U64(run(&r, p, n), SCRUPLE_EFORMAT);
    if (!strstr(r.e.text, message))
        CHECK_STR(r.e.text, message);
    CHECK(r.root == NULL);
    finish(&r);
    r.options.lenient = true;
    CHECK_U64(run(&r, p, n), 0);
    CHECK(r.root == NULL && r.c->n_errors == 1);
    finish(&r);
}
#define REFUSED(bytes, message) check_refused(bytes, sizeof(bytes) - 1, message)

TEST(atoms)
{
    VALUE("N.", "None");
    VALUE("\x88.", "True");
    VALUE("\x89.", "False");
    VALUE("I01\n.", "True");
    VALUE("I00\n.", "False");
    VALUE("I1\n.", "1");
    VALUE("I-17\n.", "-17");
    VALUE("K\xff.", "255");
    VALUE("M\xff\xff.", "65535");
    VALUE("J\xfe\xff\xff\xff.", "-2");
    VALUE("\x80\2K\5.", "5");
    VALUE("F1.5\n.", "1.5");
    VALUE("Finf\n.", "inf");
    VALUE("G?\xf8\0\0\0\0\0\0.", "1.5");
}

TEST(long_numbers)
{
    VALUE("L5L\n.", "5");
    VALUE("L5\n.", "5");
    VALUE("L-9223372036854775807L\n.", "-9223372036854775807");
    VALUE("L119547037146038801333356L\n.", "big(119547037146038801333356)");
    VALUE("\x8a\0.", "0");
    VALUE("\x8a\1\xff.", "-1");
    VALUE("\x8a\2\xff\0.", "255");
    VALUE("\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f.", "9223372036854775807");
    VALUE("\x8a\12\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "big(0x1950a86a20f9469cfc6c)");
    VALUE("\x8a\11\0\0\0\0\0\0\0\x80\0.", "big(0x8000000000000000)");
    VALUE("\x8b\2\0\0\0\0\1.", "256");
}

TEST(text)
{
    VALUE("S'a\\'b\\n\\x41\\q'\n.", "b'a'b\\x0aA\\q'");
    VALUE("S\"\"\n.", "b''");
    VALUE("T\2\0\0\0ab.", "b'ab'");
    VALUE("U\2ab.", "b'ab'");
    VALUE("B\2\0\0\0ab.", "b'ab'");
    VALUE("C\2ab.", "b'ab'");
    VALUE("\x8e\2\0\0\0\0\0\0\0ab.", "b'ab'");
    VALUE("\x96\2\0\0\0\0\0\0\0ab.", "b'ab'");
    VALUE("X\2\0\0\0ab.", "'ab'");
    VALUE("\x8c\2ab.", "'ab'");
    VALUE("\x8d\2\0\0\0\0\0\0\0ab.", "'ab'");
    VALUE("Va\\u0041\\U00000042\xe9\n.", "'aAB\\xc3\\xa9'");
}

TEST(containers)
{
    VALUE(").", "()");
    VALUE("(t.", "()");
    VALUE("K\1\x85.", "(1)");
    VALUE("K\1K\2\x86.", "(1, 2)");
    VALUE("K\1K\2K\3\x87.", "(1, 2, 3)");
    VALUE("(K\1K\2K\3K\4t.", "(1, 2, 3, 4)");
    VALUE("].", "[]");
    VALUE("(K\1l.", "[1]");
    VALUE("]K\1a.", "[1]");
    VALUE("](K\1K\2e.", "[1, 2]");
    VALUE("}.", "{}");
    VALUE("(K\1K\2d.", "{1: 2}");
    VALUE("}K\1K\2s.", "{1: 2}");
    VALUE("}(K\1K\2K\3K\4u.", "{1: 2, 3: 4}");
    VALUE("\x8f(K\1\x90.", "set(1)");
    VALUE("(K\1\x91.", "set(1)");
}

TEST(stack_and_memo)
{
    VALUE("K\1K\2"
          "0.",
          "1");
    VALUE("K\1(K\2K\3"
          "1.",
          "1");
    VALUE("K\1(0.", "1"); /* POP takes a MARK away */
    VALUE("K\1"
          "2\x86.",
          "(1, 1)");
    VALUE("K\7p5\n0g5\n.", "7");
    VALUE("K\7q\5"
          "0h\5.",
          "7");
    VALUE("K\7r\xff\xff\xff\xff"
          "0j\xff\xff\xff\xff.",
          "7");
    VALUE("K\7\x94K\x8\x94\x86h\0h\1\x86\x86.", "((7, 8), (7, 8))");
    /* An index out of order is found again, also after the dense ones have reached it. */
    VALUE("K\7q\2"
          "0K\1q\0"
          "0K\2q\1"
          "0h\2.",
          "7");
    VALUE("K\7q\1"
          "0K\1q\0"
          "0h\1.",
          "7");
    VALUE("K\7q\1"
          "0K\1q\0"
          "0K\3q\1"
          "0h\1.",
          "3");
    /* MEMOIZE takes the number of indices that are in use. */
    VALUE("K\7q\0"
          "0K\x8\x94"
          "0h\1.",
          "8");
}

TEST(shared_and_cyclic)
{
    VALUE("]q\0h\0a.", "[[[[[[[[<deep>]]]]]]]]");
    VALUE("]q\0h\0\x86.", "([], [])");
}

TEST(calls)
{
    VALUE("cmod\nname\n.", "mod.name");
    VALUE("\x8c\3mod\x8c\4name\x93.", "mod.name");
    VALUE("cmod\nf\n)R.", "mod.f()");
    VALUE("cmod\nf\n(K\1K\2tR.", "mod.f(1, 2)");
    VALUE("cmod\nf\n)\x81.", "mod.f()");
    VALUE("cmod\nf\n)}\x92.", "mod.f()");
    VALUE("cmod\nf\nK\1\x85}K\2K\3s\x92.", "mod.f(1, {2: 3})");
    VALUE("(K\1imod\nf\n.", "mod.f(1)");
    VALUE("(cmod\nf\nK\1o.", "mod.f(1)");
    VALUE("cmod\nf\n)RK\1b.", "mod.f()|1");
    VALUE("cmod\nf\n)RK\1bK\2b.", "mod.f()|(1, 2)");
    VALUE("cmod\nf\n)RK\1K\2s.", "mod.f()+{1: 2}");
    VALUE("cmod\nf\n)R(K\1K\2e.", "mod.f()+[1, 2]");
    VALUE("cmod\nf\n)R)R.", "mod.f()()");
}

TEST(calls_that_are_understood)
{
    VALUE("ccollections\nOrderedDict\n)R.", "{}");
    VALUE("ccollections\nOrderedDict\n)RK\1K\2s}b.", "{1: 2}");
    VALUE("ccollections\nOrderedDict\n](](](K\1K\2eee\x85R.",
          "collections.OrderedDict([[[1, 2]]])");
    VALUE("ccollections\nOrderedDict\n](](K\1K\2ee\x85R.", "{1: 2}");
    VALUE("c_codecs\nencode\nX\3\0\0\0a\xc3\xa9X\6\0\0\0latin1\x86R.", "b'a\\xe9'");
    VALUE("ccopy_reg\n_reconstructor\ncm\nC\nc__builtin__\nobject\nN\x87R.", "m.C()");
    VALUE("ccopyreg\n__newobj__\ncm\nC\nK\1\x86R.", "m.C(1)");
}

TEST(persistent_ids)
{
    VALUE("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
          "0X\3\0\0\0cpuK\4tQ.",
          "@('storage', torch.FloatStorage, '0', 'cpu', 4)");
    VALUE("(U\7storagectorch\nFloatStorage\nU\1"
          "0U\3cpuK\4NtQ.",
          "@(b'storage', torch.FloatStorage, b'0', b'cpu', 4, None)");
    VALUE("(X\6\0\0\0modulecm\nNet\nNNtQ.", "m.Net");
    REFUSED("K\1Q.", "persistent id");
    REFUSED("P5\n.", "persistent id");
    REFUSED("(X\7\0\0\0storagecos\nsystem\nX\1\0\0\0"
            "0X\3\0\0\0cpuK\4tQ.",
            "persistent id");
    REFUSED("(X\7\0\0\0storagectorch\nFloatStorage\nK\0X\3\0\0\0cpuK\4tQ.", "persistent id");
    REFUSED("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
            "0X\3\0\0\0cpuJ\xff\xff\xff\xfftQ.",
            "persistent id");
    struct run r = {0};
    CHECK_U64(run_with(&r, "P5\n.", 4, SIZE_MAX, SC_PK_IDS_TAR, 1 << 20), 0);
    finish(&r);
    CHECK_U64(run_with(&r, "P5\n.", 4, SIZE_MAX, SC_PK_IDS_NONE, 1 << 20), SCRUPLE_EFORMAT);
    finish(&r);
}

TEST(refused_opcodes)
{
    REFUSED("\x82\1.", "extension registry");
    REFUSED("\x83\1\0.", "extension registry");
    REFUSED("\x84\1\0\0\0.", "extension registry");
    REFUSED("\x97.", "buffer");
    REFUSED("N\x98.", "buffer");
    REFUSED("\xff.", "no opcode");
    REFUSED("\x80\6N.", "protocol 6");
}

TEST(broken_stacks)
{
    REFUSED(".", "stack is empty");
    REFUSED("(.", "stack is empty");
    REFUSED("0.", "stack is empty");
    REFUSED("2.", "stack is empty");
    REFUSED("a.", "stack is empty");
    REFUSED("]K\1(a.", "stack is empty"); /* nobody reaches below a MARK */
    REFUSED("K\1\x86.", "stack is empty");
    REFUSED("t.", "no MARK");
    REFUSED("1.", "no MARK");
    REFUSED("e.", "no MARK");
    REFUSED("o.", "no MARK");
    REFUSED("(e.", "nothing to put them into");
    REFUSED("K\1((K\1e.", "nothing to put them into");
    REFUSED("(o.", "without a class");
    REFUSED("R.", "stack is empty");
    REFUSED("b.", "stack is empty");
    REFUSED("q\0.", "stack is empty");
    REFUSED("(q\0.", "stack is empty");
    REFUSED("h\0.", "memo 0 is empty");
    REFUSED("g-1\n.", "memo index");
    REFUSED("\x93.", "stack is empty");
}

TEST(wrong_operands)
{
    REFUSED("(K\1d.", "no value");
    REFUSED("}(K\1u.", "without a value");
    REFUSED(")K\1a.", "cannot take them");
    REFUSED("}(K\1e.", "cannot take them");
    REFUSED("](K\1K\2u.", "cannot take them");
    REFUSED("K\1(K\1\x90.", "cannot take them");
    REFUSED("](K\1\x90.", "cannot take them");
    REFUSED("cm\nf\nK\1R.", "no tuple");
    REFUSED("K\1)R.", "no function");
    REFUSED("cm\nf\n)K\1\x92.", "no tuple and dict");
    REFUSED("}}b.", "no state");
    REFUSED("cm\nC\n}b.", "no state");
    REFUSED("K\1K\2\x93.", "no text");
    REFUSED("I0x10\n.", "none");
    REFUSED("I\n.", "none");
    REFUSED("F1,5\n.", "none");
    REFUSED("F\n.", "none");
    REFUSED("Sab\n.", "quotes");
    REFUSED("S'\n.", "quotes");
    /* A tensor takes no items: torch would execute them. */
    REFUSED("ctorch._utils\n_rebuild_tensor_v2\n)RK\1K\2s.", "cannot take them");
    REFUSED("ctorch._utils\n_rebuild_tensor_v2\n)RK\1a.", "cannot take them");
}

TEST(lengths_beyond_the_end)
{
    REFUSED("X\xff\xff\xff\xff"
            "abc.",
            "more than are left");
    REFUSED("T\xff\xff\xff\xff"
            "abc.",
            "more than are left");
    REFUSED("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
            "abc.",
            "more than are left");
    REFUSED("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"
            "abc.",
            "more than are left");
    REFUSED("\x96\xff\xff\xff\xff\xff\xff\xff\x7f"
            "abc.",
            "more than are left");
    REFUSED("\x8b\xff\xff\xff\x7f"
            "abc.",
            "more than are left");
    REFUSED("\x8c\5abc", "more than are left");
    REFUSED("\x95\xff\xff\xff\xff\xff\xff\xff\xffN.", "more than are left");
}

TEST(cut_anywhere)
{
    static const char whole[] = "\x80\4\x95\30\0\0\0\0\0\0\0}(X\1\0\0\0aM\1\2F1.5\nccollections\n"
                                "OrderedDict\n)R\x8a\2\1\2u.";
    struct run r = {0};
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        char *copy = malloc(n + 1);
        REQUIRE(copy != NULL);
        memcpy(copy, whole, n);
        CHECK_U64(run(&r, copy, n), SCRUPLE_EFORMAT);
        finish(&r);
        free(copy);
    }
}

TEST(long_text_is_passed_over)
{
    /* 5 bytes in front, 200000 of text, then a tuple of it and what follows. */
    const size_t n = 200000;
    char *p = malloc(n + 16);
    REQUIRE(p != NULL);
    memcpy(p, "X\x40\x0d\x03\0", 5);
    memset(p + 5, 'x', n);
    memcpy(p + 5 + n, "K\1\x86.", 4);
    check_value(p, n + 9, "('...', 1)");
    p[0] = 'B';
    check_value(p, n + 9, "(b'...', 1)");
    struct run r = {0};
    CHECK_U64(run_with(&r, p, n + 9, 100, SC_PK_IDS_NONE, 10000), 0); /* costs nothing */
    finish(&r);
    free(p);
}

TEST(a_line_without_end)
{
    const size_t n = 3 << 20;
    char *p = malloc(n);
    REQUIRE(p != NULL);
    memset(p, '1', n);
    p[0] = 'I';
    check_refused(p, n, "a line of more than");
    free(p);
}

/* -------------------------------------------------------------------------------- verdicts --- */

TEST(verdicts)
{
    static const struct {
        const char *module, *name;
        enum sc_verdict verdict;
    } cases[] = {
        {"torch._utils", "_rebuild_tensor_v2", SC_VERDICT_KNOWN},
        {"torch", "FloatStorage", SC_VERDICT_KNOWN},
        {"torch.storage", "UntypedStorage", SC_VERDICT_KNOWN},
        {"torch", "float32", SC_VERDICT_KNOWN},
        {"torch", "uint4", SC_VERDICT_KNOWN},
        {"torch", "Size", SC_VERDICT_KNOWN},
        {"collections", "OrderedDict", SC_VERDICT_KNOWN},
        {"numpy.core.multiarray", "scalar", SC_VERDICT_KNOWN},
        {"numpy", "float32", SC_VERDICT_KNOWN},
        {"numpy.dtypes", "Float64DType", SC_VERDICT_KNOWN},
        {"__builtin__", "set", SC_VERDICT_KNOWN},
        {"torch.nn.modules.linear", "Linear", SC_VERDICT_KNOWN},
        {"__torch__.models.Net", "Net", SC_VERDICT_KNOWN},
        {"argparse", "Namespace", SC_VERDICT_KNOWN},
        {"my.models", "Net", SC_VERDICT_UNKNOWN},
        {"__main__", "Net", SC_VERDICT_UNKNOWN},
        {"builtins", "print", SC_VERDICT_UNKNOWN},
        {"osmium", "Reader", SC_VERDICT_UNKNOWN},
        {"os", "system", SC_VERDICT_DANGER},
        {"posix", "system", SC_VERDICT_DANGER},
        {"nt", "system", SC_VERDICT_DANGER},
        {"os.path", "join", SC_VERDICT_DANGER},
        {"subprocess", "Popen", SC_VERDICT_DANGER},
        {"builtins", "eval", SC_VERDICT_DANGER},
        {"__builtin__", "exec", SC_VERDICT_DANGER},
        {"builtins", "getattr", SC_VERDICT_DANGER},
        {"builtins", "__import__", SC_VERDICT_DANGER},
        {"runpy", "run_path", SC_VERDICT_DANGER},
        {"pkgutil", "resolve_name", SC_VERDICT_DANGER},
        {"pip", "main", SC_VERDICT_DANGER},
        {"pip._internal.cli.main", "main", SC_VERDICT_DANGER},
        {"webbrowser", "open", SC_VERDICT_DANGER},
        {"torch", "load", SC_VERDICT_DANGER},
        {"torch.hub", "load", SC_VERDICT_DANGER},
        {"torch.storage", "_load_from_bytes", SC_VERDICT_DANGER},
        {"numpy.testing._private.utils", "runstring", SC_VERDICT_DANGER},
        {"functools", "partial", SC_VERDICT_UNKNOWN},
        {"functools", "reduce", SC_VERDICT_DANGER},
        {"builtins", "open", SC_VERDICT_DANGER},
        {"my.files", "open", SC_VERDICT_UNKNOWN},
        {"code.models", "Net", SC_VERDICT_UNKNOWN},
        {"code", "InteractiveConsole", SC_VERDICT_DANGER},
        {"operator", "attrgetter", SC_VERDICT_DANGER},
        {"types", "CodeType", SC_VERDICT_DANGER},
        /* Protocol 4 follows the dots of a name. */
        {"torch", "serialization.os.system", SC_VERDICT_DANGER},
        {"torch.nn.modules.linear", "Linear.__init__.__globals__", SC_VERDICT_DANGER},
        {"torch.nn.modules.linear", "math.os", SC_VERDICT_DANGER},
        {"collections", "OrderedDict.__class__", SC_VERDICT_DANGER},
        {"my.models", "Net.Inner", SC_VERDICT_UNKNOWN},
        {"functools", "partial", SC_VERDICT_UNKNOWN},
        {"__torch__.my.models", "Net", SC_VERDICT_KNOWN},
        {"torch.jit.unsupported_tensor_ops", "execWrapper", SC_VERDICT_DANGER},
        {"torch.ops", "load_library", SC_VERDICT_DANGER},
        {"torch", "classes.load_library", SC_VERDICT_DANGER},
        {"torch", "save", SC_VERDICT_DANGER},
        {"torch", "from_file", SC_VERDICT_DANGER},
        {"_imp", "create_dynamic", SC_VERDICT_DANGER},
        {"itertools", "starmap", SC_VERDICT_DANGER},
        {"uuid", "_get_command_stdout", SC_VERDICT_DANGER},
        {"uuid", "UUID", SC_VERDICT_KNOWN},
        {"pathlib", "Path.unlink", SC_VERDICT_DANGER},
        {"pathlib", "PosixPath", SC_VERDICT_KNOWN},
        {"zipfile", "ZipFile.extractall", SC_VERDICT_DANGER},
        {"tarfile", "open", SC_VERDICT_DANGER},
        {"aifc", "open", SC_VERDICT_DANGER},
        {"cgitb", "lookup", SC_VERDICT_DANGER},
        {"transformers", "pipeline", SC_VERDICT_DANGER},
        {"numpy", "loads", SC_VERDICT_DANGER},
        {"builtins", "type", SC_VERDICT_DANGER},
        /* Lower case beside the classes of torch: functions and imported modules. */
        {"torch.nn.modules.module", "warnings", SC_VERDICT_UNKNOWN},
        {"", "", SC_VERDICT_UNKNOWN},
    };
    for (size_t i = 0; i < SC_COUNT(cases); i++) {
        enum sc_pk_role role;
        const enum sc_verdict got =
            sc_pk_judge(sc_strz(cases[i].module), sc_strz(cases[i].name), &role);
        if (got != cases[i].verdict) {
            fprintf(stderr, "%s %s:\n", cases[i].module, cases[i].name);
            CHECK_U64(got, cases[i].verdict);
        }
    }
}

static const struct sc_import *import(const struct sc_catalog *c, const char *name)
{
    for (size_t i = 0; i < c->n_imports; i++)
        if (strcmp(c->imports[i].name, name) == 0)
            return &c->imports[i];
    return NULL;
}

/* However it is named or called, the table of imports has it, and it is a finding. */
static void check_danger(const void *p, size_t n, const char *name, uint32_t called)
{
    struct run r = {.options = {.lenient = true}};
    run(&r, p, n);
    const struct sc_import *found = import(r.c, name);
    CHECK(found != NULL);
    if (found) {
        CHECK_U64(found->verdict, SC_VERDICT_DANGER);
        CHECK_U64(found->called, called);
    }
    CHECK(r.c->n_findings > 0 && strcmp(r.c->findings[0].id, "pickle.danger") == 0);
    finish(&r);
}
#define DANGER(bytes, name, called) check_danger(bytes, sizeof(bytes) - 1, name, called)

TEST(dangers_are_found_in_every_form)
{
    DANGER("cos\nsystem\n(S'x'\ntR.", "os.system", 1);
    DANGER("cos\nsystem\n(S'x'\ntR0N.", "os.system", 1);               /* result thrown away */
    DANGER("cos\nsystem\n0N.", "os.system", 0);                        /* only named */
    DANGER("(S'x'\nios\nsystem\n.", "os.system", 1);                   /* INST */
    DANGER("(cos\nsystem\nS'x'\no.", "os.system", 1);                  /* OBJ */
    DANGER("cos\nsystem\nS'x'\n\x85\x81.", "os.system", 1);            /* NEWOBJ */
    DANGER("\x8c\2os\x94\x8c\6system\x94h\0h\1\x93.", "os.system", 0); /* from the memo */
    DANGER("cos\nsystem\n(S'x'\ntR\xff\xff\xff", "os.system", 1);      /* then garbage */
    DANGER("ctorch._utils\n_rebuild_tensor\n0cos\nsystem\n(S'x'\ntR", "os.system",
           1); /* then cut */
    DANGER("ccopyreg\n__newobj__\ncos\nsystem\nK\1\x86R.", "os.system", 1);
}

TEST(refusals_tell_what_had_run)
{
    REFUSED("cos\nsystem\n(S'x'\ntR\xff", "up to there it would have run os.system");
}

TEST(names_are_made_safe)
{
    struct run r = {0};
    CHECK_U64(run(&r, "c\x1b[31m\nx\0y\n.", 13), 0);
    REQUIRE(r.c->n_imports == 1);
    CHECK_STR(r.c->imports[0].name, "\\u{1b}[31m.x\\u{00}y");
    finish(&r);
}

/* ---------------------------------------------------------------------------------- limits --- */

static struct sc_buf repeated(const char *head, const char *piece, size_t piece_n, size_t times,
                              const char *tail)
{
    struct sc_buf b = {0};
    sc_buf_puts(&b, head);
    for (size_t i = 0; i < times; i++)
        sc_buf_put(&b, piece, piece_n);
    sc_buf_puts(&b, tail);
    return b;
}

static void check_limit(struct sc_buf b, uint64_t memory)
{
    struct run r = {0};
    CHECK_U64(run_with(&r, b.p, b.n, SIZE_MAX, SC_PK_IDS_NONE, memory), SCRUPLE_ELIMIT);
    CHECK(r.root == NULL);
    finish(&r);
    sc_buf_clear(&b);
}

/* Without tensors even a large file is given little; each tensor brings its share. */
TEST(memory_follows_the_tensors)
{
    static const char empty[] = "](";
    static const char reference[] = "((U\7storagectorch\nFloatStorage\nU\0010NK\4tQ";
    const uint64_t ceiling = sc_pickle_memory(1 << 30);
    struct sc_buf b = {0};
    struct run r = {0};
    sc_buf_puts(&b, empty);
    for (int i = 0; i < 1000000; i++)
        sc_buf_puts(&b, "]");
    sc_buf_puts(&b, "e.");
    CHECK_ERR(SCRUPLE_ELIMIT, run_with(&r, b.p, b.n, SIZE_MAX, SC_PK_IDS_STORAGE, ceiling));
    CHECK(strstr(r.e.text, "24 MiB") != NULL);
    finish(&r);
    b.n = 0;
    sc_buf_puts(&b, empty);
    for (int i = 0; i < 100000; i++)
        sc_buf_put(&b, reference + 1, sizeof reference - 2);
    sc_buf_puts(&b, "e.");
    CHECK_ERR(0, run_with(&r, b.p, b.n, SIZE_MAX, SC_PK_IDS_STORAGE, ceiling));
    CHECK_U64(sc_pickle_tensors(r.p), 100000);
    finish(&r);
    sc_buf_clear(&b);
}

static bool sniffs(const char *p, size_t n)
{
    return sc_pickle_sniff((const uint8_t *)p, n, n);
}
#define SNIFFS(bytes) sniffs(bytes, sizeof(bytes) - 1)

TEST(pickles_without_magic_are_recognised)
{
    CHECK(SNIFFS("cos\nsystem\n(S'id'\ntR."));
    CHECK(SNIFFS("cos\r\nsystem\r\n(S'id'\r\ntR."));
    CHECK(SNIFFS("(S'id'\nios\nsystem\n."));
    CHECK(SNIFFS("(dp0\nVa\np1\nI1\nsVb\np2\nF1.5\ns."));
    CHECK(SNIFFS("(lp0\nI01\naL5L\na."));
    CHECK(SNIFFS("}q\0U\1aK\1s."));
    CHECK(SNIFFS("\x80\2\x80\2cos\nsystem\n)R."));
    CHECK(!SNIFFS("N(.")); /* nothing above the MARK to stop with */
    char deep[400];
    memset(deep, '(', sizeof deep);
    CHECK(sniffs(deep, sizeof deep));
    /* A stream that is longer than the sample. */
    struct sc_buf b = {0};
    sc_buf_puts(&b, "(");
    for (int i = 0; i < 100; i++)
        sc_buf_puts(&b, "I7\n");
    CHECK(sc_pickle_sniff((const uint8_t *)b.p, b.n - 1, 1 << 20));
    CHECK(!sc_pickle_sniff((const uint8_t *)b.p, b.n, b.n)); /* that was all, and no STOP */
    sc_buf_clear(&b);
}

TEST(text_is_no_pickle)
{
    static const char *const texts[] = {
        "# Read me\n\nA model.\n",
        "{\"a\": [1, 2]}",
        "[1, 2]",
        "(a, b).\n",
        "name: x\nitems:\n  - a\n",
        "class Foo(nn.Module):\n    pass\n",
        "import os\nfrom x import y\n",
        "a,b,c\n1,2,3\n",
        "I am a text.\n",
        "Some words.\nMore words.\n",
        "cat\ndog\nhorse\n",
        "could be\n.\n",
        "Nothing.",
        "N.",
        "1.0 2.0\n3.0\n",
        "(c) 2024 The Authors.\n",
        "License:\n.\n",
        "]",
        "",
    };
    for (size_t i = 0; i < SC_COUNT(texts); i++)
        CHECK(!sniffs(texts[i], strlen(texts[i])));
}

TEST(memory_is_bounded)
{
    check_limit(repeated("", "N", 1, 1 << 20, "."), 1 << 20);          /* a stack */
    check_limit(repeated("", "(", 1, 1 << 20, "N."), 1 << 20);         /* marks */
    check_limit(repeated("", "]0", 2, 1 << 20, "N."), 1 << 20);        /* dropped values */
    check_limit(repeated("", "cab\nc\n0", 7, 1 << 20, "N."), 1 << 20); /* mentions of a name */
    check_limit(repeated("N", "\x94", 1, 1 << 20, "."), 1 << 20);      /* a memo */
    check_limit(repeated("](", "K\1", 2, 1 << 20, "e."), 1 << 20);     /* items */
}

TEST(memo_indices_cost_what_they_hold)
{
    struct run r = {0};
    struct sc_buf b = {0};
    sc_buf_putc(&b, 'N');
    for (uint32_t i = 0; i < 1000; i++) {
        const uint32_t key = UINT32_MAX - i * 4000000;
        sc_buf_putc(&b, 'r');
        for (int k = 0; k < 4; k++)
            sc_buf_putc(&b, (char)(key >> 8 * k));
    }
    sc_buf_putc(&b, '.');
    CHECK_U64(run_with(&r, b.p, b.n, SIZE_MAX, SC_PK_IDS_NONE, 1 << 20), 0);
    finish(&r);
    sc_buf_clear(&b);
}

TEST(deep_nesting_is_only_memory)
{
    struct sc_buf b = repeated("N", "\x85", 1, 300000, ".");
    struct run r = {0};
    CHECK_U64(run_with(&r, b.p, b.n, 4096, SC_PK_IDS_NONE, 64 << 20), 0);
    CHECK(r.root != NULL && sc_pickle_nodes(r.p) == 300000);
    finish(&r);
    sc_buf_clear(&b);
}

TEST(doubling_does_not_copy)
{
    /* Ten references to the list before, two hundred times over. */
    struct sc_buf b = {0};
    struct run r = {0};
    sc_buf_put(&b, "]q\0", 3);
    for (int i = 0; i < 200; i++) {
        sc_buf_puts(&b, "](");
        for (int k = 0; k < 10; k++) {
            sc_buf_putc(&b, 'h');
            sc_buf_putc(&b, (char)i);
        }
        sc_buf_puts(&b, "eq");
        sc_buf_putc(&b, (char)(i + 1));
    }
    sc_buf_putc(&b, '.');
    CHECK_U64(run_with(&r, b.p, b.n, SIZE_MAX, SC_PK_IDS_NONE, 1 << 20), 0);
    CHECK(r.p && sc_pickle_nodes(r.p) < 500);
    finish(&r);
    sc_buf_clear(&b);
}

TEST(several_pickles_in_one_machine)
{
    struct run r = {0};
    struct sc_source *s;
    struct sc_pk *second = NULL;
    struct sc_buf text = {0};
    uint64_t used;
    REQUIRE(run(&r, "]K\1a\x94.", 6) == 0);
    REQUIRE(sc_memory_open("xxK\2\x94h\0\x86.yy", 11, "m", &s, &r.e) == 0);
    struct sc_pickle_stretch stretch = {s, 2, 11};
    const struct sc_pickle_input in = {.read = sc_pickle_read_stretch,
                                       .ctx = &stretch,
                                       .size = 9,
                                       .offset = 2,
                                       .what = "test.pkl"};
    CHECK_U64(sc_pickle_run(r.p, &in, &second, &used, &r.e), 0);
    CHECK_U64(used, 7);
    REQUIRE(second != NULL);
    show(&text, second, 0); /* its memo is its own, */
    CHECK_STR(text.p, "(2, 2)");
    text.n = 0;
    show(&text, r.root, 0); /* and the first value is still there */
    CHECK_STR(text.p, "[1]");
    sc_source_close(s);
    sc_buf_clear(&text);
    finish(&r);
}

TEST(every_allocation_may_fail)
{
    static const char all[] =
        "\x80\2}q\0(X\1\0\0\0aq\1cmod\nf\n)R}b(K\1e(K\1K\2uX\1\0\0\0bccollections\nOrderedDict\n"
        "](K\1K\2\x86"
        "e\x85RVxyz\nr\xff\xff\0\0S'abc'\nI1234567\nNu(U\7storagectorch\n"
        "FloatStorage\nU\1"
        "0U\3cpuK\4tQ0.";
    for (uint64_t k = 0;; k++) {
        struct run r = {0};
        sc_oom_fail_at(k);
        const int code = run_with(&r, all, sizeof all - 1, SIZE_MAX, SC_PK_IDS_STREAM, 1 << 20);
        const bool reached = sc_oom_failed() > 0;
        sc_oom_off();
        CHECK_U64(code, reached ? SCRUPLE_EMEMORY : 0);
        finish(&r);
        if (!reached) {
            CHECK(k > 10);
            break;
        }
    }
}
