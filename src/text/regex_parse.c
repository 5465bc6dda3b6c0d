/* SPDX-License-Identifier: Apache-2.0 */
/* regex_parse: from a pattern to a program of a few instructions, whose jumps are relative so that
 * pieces of it can be moved and copied. Groups are on a stack of ours, not on that of C. */
#include "text/regex.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

enum group { PLAIN, LOOK_AHEAD, NOT_AHEAD, LOOK_BEHIND, NOT_BEHIND };
struct frame {
    size_t start;     /* of its code */
    size_t alt;       /* of the alternative that is being read */
    size_t exits[64]; /* jumps to its end */
    size_t n_exits;
    enum group kind;
    bool fold_before; /* what (?i) was outside */
};

struct parser {
    struct sc_str s;
    size_t at;
    bool fold, dot_all;
    struct regex_program *out;
    struct frame *stack;
    size_t depth;
    size_t atom; /* where the last atom begins; SIZE_MAX: nothing to repeat */
    struct sc_error *e;
};

static int refuse(struct parser *p, const char *why)
{
    struct sc_quoted q;
    return sc_fail(p->e, SCRUPLE_EUNSUPPORTED, "regular expression \"%s\": %s (at byte %zu)",
                   sc_quote(&q, p->s), why, p->at);
}

static bool more(const struct parser *p)
{
    return p->at < p->s.n;
}

static bool looking_at(const struct parser *p, const char *word)
{
    const size_t n = strlen(word);
    return p->s.n - p->at >= n && memcmp(p->s.p + p->at, word, n) == 0;
}

static bool take(struct parser *p, const char *word)
{
    if (!looking_at(p, word))
        return false;
    p->at += strlen(word);
    return true;
}

static uint32_t take_point(struct parser *p)
{
    uint32_t c;
    p->at += sc_uc_next(p->s.p + p->at, &c);
    return c;
}

/* ---------------------------------------------------------------------------------------- code ---
 */
static int emit(struct parser *p, enum regex_op op, unsigned set, int32_t x, int32_t y)
{
    struct regex_program *g = p->out;
    if (g->n >= REGEX_CODE)
        return refuse(p, "it is too long");
    TRY(sc_grow(&g->code, &g->cap, g->n + 1, sizeof *g->code, p->e));
    g->code[g->n++] = (struct regex_inst){(uint8_t)op, (uint8_t)set, x, y};
    return 0;
}

/* Room for one instruction at `at`. Jumps are relative and stay inside the piece that moves. */
static int insert(struct parser *p, size_t at, struct regex_inst inst)
{
    struct regex_program *g = p->out;
    TRY(emit(p, REGEX_JUMP, 0, 1, 0));
    memmove(g->code + at + 1, g->code + at, (g->n - 1 - at) * sizeof *g->code);
    g->code[at] = inst;
    return 0;
}

/* Takes the set over. */
static int keep_set(struct parser *p, struct regex_set *s, unsigned *number)
{
    struct regex_program *g = p->out;
    for (size_t i = 0; i < g->n_sets; i++)
        if (sc_set_equal(&g->sets[i], s)) {
            sc_set_clear(s);
            *number = (unsigned)i;
            return 0;
        }
    if (g->n_sets == REGEX_SETS) {
        sc_set_clear(s);
        return refuse(p, "it has too many classes of characters");
    }
    *number = (unsigned)g->n_sets;
    g->sets[g->n_sets++] = *s;
    *s = (struct regex_set){0};
    return 0;
}

/* One instruction about a set, which is taken over. */
static int emit_set(struct parser *p, enum regex_op op, struct regex_set *s, bool fold)
{
    unsigned number = 0;
    int code = fold ? sc_set_fold(s, p->e) : 0;
    if (code == 0)
        code = keep_set(p, s, &number);
    sc_set_clear(s);
    return code < 0 ? code : emit(p, op, number, 0, 0);
}

static int emit_range(struct parser *p, enum regex_op op, uint32_t from, uint32_t to, bool negate,
                      bool fold)
{
    struct regex_set s = {0};
    int code = sc_set_add(&s, from, to, p->e);
    if (code == 0 && negate)
        code = sc_set_negate(&s, p->e);
    if (code < 0)
        sc_set_clear(&s);
    return code < 0 ? code : emit_set(p, op, &s, fold);
}

/* ------------------------------------------------------------------------------------- escapes ---
 */
static int hex_digits(struct parser *p, size_t least, size_t most, uint32_t *out)
{
    size_t n = 0;
    *out = 0;
    for (; more(p) && n < most; n++, p->at++) {
        const char c = p->s.p[p->at];
        const int digit = c >= '0' && c <= '9'                 ? c - '0'
                          : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                               : -1;
        if (digit < 0)
            break;
        *out = *out << 4 | (uint32_t)digit;
    }
    return n < least || *out > 0x10FFFF ? refuse(p, "a number of a character is malformed") : 0;
}

static int add_word(struct regex_set *s, struct sc_error *e)
{
    /* Alphabetic, marks, decimal digits and connectors, and what Oniguruma has beside them. */
    static const char *const names[] = {"Alphabetic", "M", "Nd", "Pc"};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        TRY(sc_set_property(s, sc_strz(names[i]), false, e));
    TRY(sc_set_add(s, 0xB2, 0xB3, e));
    TRY(sc_set_add(s, 0xB9, 0xB9, e));
    TRY(sc_set_add(s, 0xBC, 0xBE, e));
    sc_set_settle(s);
    return 0;
}

static int property_escape(struct parser *p, bool negate, struct regex_set *s)
{
    if (!take(p, "{"))
        return refuse(p, "\\p without {..}");
    if (take(p, "^"))
        negate = !negate;
    const size_t from = p->at;
    const char *end = memchr(p->s.p + from, '}', p->s.n - from);
    if (!end)
        return refuse(p, "\\p{ is not closed");
    const struct sc_str name = sc_str(p->s.p + from, (size_t)(end - p->s.p) - from);
    const int found = sc_str_eq_nocase(name, SC_STR("Word"))
                          ? (add_word(s, p->e) < 0 ? SCRUPLE_EMEMORY : 1)
                          : sc_set_property(s, name, false, p->e);
    if (found < 0)
        return found;
    if (!found)
        return refuse(p, "an unknown property of characters");
    p->at = from + name.n + 1;
    return negate ? sc_set_negate(s, p->e) : 0;
}

/* After a backslash: a class into s (returns 1), or one character into *c (returns 0). */
static int escape(struct parser *p, struct regex_set *s, uint32_t *c)
{
    static const char from[] = "nrtfvae", to[] = "\n\r\t\f\v\a\033";
    if (!more(p))
        return refuse(p, "it ends in a backslash");
    const uint32_t k = take_point(p);
    const bool negate = k == 'S' || k == 'D' || k == 'W' || k == 'H' || k == 'P';
    if (k == 'p' || k == 'P') {
        TRY(property_escape(p, negate, s));
        return 1;
    }
    if (k == 's' || k == 'S')
        TRY(sc_set_property(s, SC_STR("space"), true, p->e));
    else if (k == 'd' || k == 'D')
        TRY(sc_set_property(s, SC_STR("Nd"), false, p->e));
    else if (k == 'w' || k == 'W')
        TRY(add_word(s, p->e));
    else if (k == 'h' || k == 'H') {
        TRY(sc_set_add(s, '0', '9', p->e));
        TRY(sc_set_add(s, 'A', 'F', p->e));
        TRY(sc_set_add(s, 'a', 'f', p->e));
    } else {
        const char *at = k < 128 && k ? memchr(from, (int)k, sizeof from - 1) : NULL;
        *c = at ? (uint32_t)to[at - from] : k;
        if (at)
            return 0;
        if (k == 'x')
            return take(p, "{") ? (hex_digits(p, 1, 8, c) < 0 || !take(p, "}")
                                       ? refuse(p, "\\x{ is not closed")
                                       : 0)
                                : hex_digits(p, 1, 2, c);
        if (k == 'u')
            return hex_digits(p, 4, 4, c);
        if ((k >= '0' && k <= '9') || ((k | 32) >= 'a' && (k | 32) <= 'z'))
            return refuse(p, "an escape that is not supported");
        return 0;
    }
    if (negate)
        TRY(sc_set_negate(s, p->e));
    return 1;
}

/* ------------------------------------------------------------------------------------- classes ---
 */
/* One level of [...]; classes inside it are on a small stack. */
struct class_level {
    struct regex_set now;  /* since the last && */
    struct regex_set both; /* what stands before it */
    bool has_both, negate;
};

static int class_and(struct parser *p, struct class_level *l)
{
    sc_set_settle(&l->now);
    if (!l->has_both) {
        l->both = l->now;
        l->now = (struct regex_set){0};
        l->has_both = true;
        return 0;
    }
    const int code = sc_set_intersect(&l->both, &l->now, p->e);
    sc_set_clear(&l->now);
    return code;
}

/* Leaves the set of the level in l->now. */
static int class_close(struct parser *p, struct class_level *l)
{
    sc_set_settle(&l->now);
    if (l->has_both) {
        TRY(class_and(p, l));
        l->now = l->both;
        l->both = (struct regex_set){0};
        l->has_both = false;
    }
    if (p->fold)
        TRY(sc_set_fold(&l->now, p->e));
    return l->negate ? sc_set_negate(&l->now, p->e) : 0;
}

static int class_posix(struct parser *p, struct class_level *l)
{
    struct regex_set s = {0};
    const bool negate = take(p, "^");
    const size_t from = p->at;
    while (more(p) && !looking_at(p, ":]"))
        p->at++;
    int found = sc_set_property(&s, sc_str(p->s.p + from, p->at - from), true, p->e);
    if (found == 0)
        found = refuse(p, "an unknown name in [: :]");
    if (found > 0 && negate)
        found = sc_set_negate(&s, p->e);
    if (found >= 0)
        found = sc_set_union(&l->now, &s, p->e);
    sc_set_clear(&s);
    if (found < 0)
        return found;
    return take(p, ":]") ? 0 : refuse(p, "[: is not closed");
}

/* A character, a range or an escape. */
static int class_item(struct parser *p, struct class_level *l)
{
    struct regex_set s = {0};
    uint32_t from = take_point(p), to;
    if (from == '\\') {
        const int kind = escape(p, &s, &from);
        const int code = kind == 1 ? sc_set_union(&l->now, &s, p->e) : kind;
        sc_set_clear(&s);
        if (kind != 0)
            return code;
    }
    to = from;
    if (p->s.n - p->at >= 2 && p->s.p[p->at] == '-' && p->s.p[p->at + 1] != ']') {
        p->at++;
        to = take_point(p);
        if (to == '[' || (to == '\\' && escape(p, &s, &to) != 0)) {
            sc_set_clear(&s);
            return refuse(p, "a range that ends in a class");
        }
        if (to < from)
            return refuse(p, "a range that goes backwards");
    }
    TRY(sc_set_add(&l->now, from, to, p->e));
    return 0;
}

static int class_items(struct parser *p, struct class_level *levels, size_t *depth)
{
    bool first = true; /* a `]` that comes first is itself */
    while (more(p)) {
        struct class_level *l = &levels[*depth];
        if (take(p, "[:")) {
            TRY(class_posix(p, l));
        } else if (take(p, "[")) {
            if (*depth + 1 == REGEX_DEPTH)
                return refuse(p, "classes are nested too deeply");
            levels[++*depth] = (struct class_level){.negate = take(p, "^")};
            first = true;
            continue;
        } else if (!first && take(p, "]")) {
            TRY(class_close(p, l));
            if (*depth == 0)
                return 0;
            --*depth;
            TRY(sc_set_union(&levels[*depth].now, &l->now, p->e));
            sc_set_clear(&l->now);
        } else if (take(p, "&&")) {
            TRY(class_and(p, l));
        } else {
            TRY(class_item(p, l));
        }
        first = false;
    }
    return refuse(p, "[ is not closed");
}

static int class(struct parser *p)
{
    struct class_level *levels = sc_calloc(REGEX_DEPTH, sizeof *levels);
    size_t depth = 0;
    if (!levels)
        return sc_fail_memory(p->e);
    levels[0].negate = take(p, "^");
    int code = class_items(p, levels, &depth);
    if (code == 0)
        code = emit_set(p, REGEX_CHAR, &levels[0].now, false);
    for (size_t i = 0; i < REGEX_DEPTH; i++) {
        sc_set_clear(&levels[i].now);
        sc_set_clear(&levels[i].both);
    }
    free(levels);
    return code;
}

/* ---------------------------------------------------------------------------------- repetition ---
 */
static int copy_atom(struct parser *p, size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct regex_inst c = p->out->code[from + i];
        TRY(emit(p, (enum regex_op)c.op, c.set, c.x, c.y));
    }
    return 0;
}

/* x{0,1}, x{0,} or x{1,} of the code from `at` on. */
static int loop_at(struct parser *p, size_t at, char kind, bool lazy)
{
    const int32_t n = (int32_t)(p->out->n - at);
    struct regex_inst split = {REGEX_SPLIT, 0, 1, n + (kind == '*' ? 2 : 1)};
    if (kind == '+')
        return emit(p, REGEX_SPLIT, 0, lazy ? 1 : -n, lazy ? -n : 1);
    if (lazy)
        split = (struct regex_inst){REGEX_SPLIT, 0, split.y, split.x};
    TRY(insert(p, at, split));
    return kind == '*' ? emit(p, REGEX_JUMP, 0, -(n + 1), 0) : 0;
}

/* A possessive loop over one class takes all there is, so no more of it may follow. */
static int possess(struct parser *p, size_t at, char kind)
{
    const struct regex_inst atom = p->out->code[at];
    if (p->out->n - at != 1 || atom.op != REGEX_CHAR)
        return refuse(p, "a possessive repetition of more than one class");
    if (kind == '?') { /* x, or else no x here */
        TRY(insert(p, at, (struct regex_inst){REGEX_SPLIT, 0, 1, 3}));
        TRY(emit(p, REGEX_JUMP, 0, 2, 0));
        return emit(p, REGEX_NOT_AHEAD, atom.set, 0, 0);
    }
    TRY(loop_at(p, at, kind, false));
    return emit(p, REGEX_NOT_AHEAD, atom.set, 0, 0);
}

/* {n}, {n,}, {,m}, {n,m}; false: it is none, and stands for itself. */
static bool interval(struct parser *p, uint64_t *least, uint64_t *most)
{
    const char *q = p->s.p + p->at + 1, *end = p->s.p + p->s.n;
    const char *digits = q;
    *least = 0;
    while (q < end && *q >= '0' && *q <= '9' && *least < 100000)
        *least = *least * 10 + (uint64_t)(*q++ - '0');
    const bool has_least = q > digits;
    *most = *least;
    if (q < end && *q == ',') {
        digits = ++q;
        *most = 0;
        while (q < end && *q >= '0' && *q <= '9' && *most < 100000)
            *most = *most * 10 + (uint64_t)(*q++ - '0');
        if (q == digits)
            *most = UINT64_MAX;
        if (!has_least && q == digits)
            return false;
    } else if (!has_least) {
        return false;
    }
    if (q >= end || *q != '}')
        return false;
    p->at = (size_t)(q - p->s.p) + 1;
    return true;
}

static int repeat_interval(struct parser *p, size_t at, uint64_t least, uint64_t most, bool lazy)
{
    const size_t n = p->out->n - at;
    if ((most != UINT64_MAX && (most < least || most > 1000)) || least > 1000)
        return refuse(p, "an interval that is reversed or above 1000");
    if (most == 0) {
        p->out->n = at;
        return 0;
    }
    for (uint64_t i = 1; i < least; i++)
        TRY(copy_atom(p, at, n));
    if (most == UINT64_MAX)
        return least ? loop_at(p, p->out->n - n, '+', lazy) : loop_at(p, at, '*', lazy);
    /* (x(x(x)?)?)?: all of what may be missing ends at the same place */
    const size_t optional = (size_t)(most - least), first = least ? p->out->n : at;
    if (optional * (n + 1) > REGEX_CODE)
        return refuse(p, "it is too long");
    for (size_t i = 0; i < optional; i++) {
        const int32_t past = (int32_t)((optional - i) * (n + 1));
        if (least || i > 0) {
            TRY(emit(p, REGEX_SPLIT, 0, lazy ? past : 1, lazy ? 1 : past));
            TRY(copy_atom(p, least ? at : first + 1, n));
        } else {
            TRY(insert(p, at,
                       (struct regex_inst){REGEX_SPLIT, 0, lazy ? past : 1, lazy ? 1 : past}));
        }
    }
    return 0;
}

static int repetition(struct parser *p)
{
    const size_t at = p->atom;
    uint64_t least, most;
    if (at == SIZE_MAX)
        return refuse(p, "there is nothing to repeat");
    const char kind = p->s.p[p->at];
    if (kind == '{') {
        if (!interval(p, &least, &most)) {
            p->atom = p->out->n;
            return emit_range(p, REGEX_CHAR, take_point(p), '{', false, false);
        }
        return repeat_interval(p, at, least, most, take(p, "?"));
    }
    p->at++;
    if (take(p, "+"))
        return possess(p, at, kind);
    return loop_at(p, at, kind, take(p, "?"));
}

/* -------------------------------------------------------------------------------------- groups ---
 */
static int open_group(struct parser *p, enum group kind, bool fold)
{
    if (p->depth == REGEX_DEPTH)
        return refuse(p, "groups are nested too deeply");
    p->stack[p->depth++] =
        (struct frame){.start = p->out->n, .alt = p->out->n, .kind = kind, .fold_before = p->fold};
    p->fold = fold;
    p->atom = SIZE_MAX;
    return 0;
}

/* (?i), (?m), (?-i:..), what is left of it after "(?". */
static int options(struct parser *p)
{
    bool on = true, fold = p->fold;
    for (; more(p); p->at++) {
        const char c = p->s.p[p->at];
        if (c == '-')
            on = false;
        else if (c == 'i')
            fold = on;
        else if (c == 'm')
            p->dot_all = on;
        else
            break;
    }
    if (take(p, ":"))
        return open_group(p, PLAIN, fold);
    if (!take(p, ")"))
        return refuse(p, "a kind of group that is not supported");
    p->fold = fold; /* until the group ends that this stands in */
    p->atom = SIZE_MAX;
    return 0;
}

static int group(struct parser *p)
{
    if (!take(p, "?"))
        return open_group(p, PLAIN, p->fold);
    if (take(p, ":"))
        return open_group(p, PLAIN, p->fold);
    if (take(p, "="))
        return open_group(p, LOOK_AHEAD, p->fold);
    if (take(p, "!"))
        return open_group(p, NOT_AHEAD, p->fold);
    if (take(p, "<="))
        return open_group(p, LOOK_BEHIND, p->fold);
    if (take(p, "<!"))
        return open_group(p, NOT_BEHIND, p->fold);
    return options(p);
}

static void close_alternatives(struct parser *p, const struct frame *f)
{
    for (size_t i = 0; i < f->n_exits; i++)
        p->out->code[f->exits[i]].x = (int32_t)(p->out->n - f->exits[i]);
}

static int alternative(struct parser *p)
{
    struct frame *f = &p->stack[p->depth - 1];
    const int32_t n = (int32_t)(p->out->n - f->alt);
    if (f->n_exits == SC_COUNT(f->exits))
        return refuse(p, "too many alternatives");
    TRY(insert(p, f->alt, (struct regex_inst){REGEX_SPLIT, 0, 1, n + 2}));
    f->exits[f->n_exits++] = p->out->n;
    TRY(emit(p, REGEX_JUMP, 0, 1, 0));
    f->alt = p->out->n;
    p->atom = SIZE_MAX;
    return 0;
}

/* The body of a look must be one character of a class, or alternatives of such. */
static int close_look(struct parser *p, const struct frame *f)
{
    static const enum regex_op ops[] = {[LOOK_AHEAD] = REGEX_AHEAD,
                                        [NOT_AHEAD] = REGEX_NOT_AHEAD,
                                        [LOOK_BEHIND] = REGEX_BEHIND,
                                        [NOT_BEHIND] = REGEX_NOT_BEHIND};
    struct regex_set s = {0};
    const struct regex_program *g = p->out;
    int code = g->n == f->start ? refuse(p, "a look at nothing") : 0;

    for (size_t i = f->start; code == 0 && i < g->n; i++) {
        size_t to = i + 1;
        while (to < g->n && g->code[to].op == REGEX_JUMP)
            to += (size_t)g->code[to].x;
        if (g->code[i].op == REGEX_CHAR && to == g->n)
            code = sc_set_union(&s, &g->sets[g->code[i].set], p->e);
        else if (g->code[i].op == REGEX_CHAR ||
                 (g->code[i].op != REGEX_SPLIT && g->code[i].op != REGEX_JUMP) ||
                 g->code[i].x < 0 || g->code[i].y < 0)
            code = refuse(p, "a look at more than one character");
        else if (g->code[i].op == REGEX_SPLIT &&
                 (i + (size_t)g->code[i].y >= g->n || i + (size_t)g->code[i].x >= g->n))
            code = refuse(p, "a look at more than one character");
    }
    if (code == 0) {
        p->out->n = f->start;
        code = emit_set(p, ops[f->kind], &s, false);
    }
    sc_set_clear(&s);
    return code;
}

static int close_group(struct parser *p)
{
    if (p->depth == 1)
        return refuse(p, "a ) too many");
    const struct frame *f = &p->stack[--p->depth];
    close_alternatives(p, f);
    p->fold = f->fold_before;
    p->atom = f->start;
    return f->kind == PLAIN ? 0 : close_look(p, f);
}

/* --------------------------------------------------------------------------------------- atoms ---
 */
/* \b and \B: of the two sides one is a word's, or both or none are. */
static int boundary(struct parser *p, bool negate)
{
    struct regex_set s = {0};
    unsigned word = 0;
    int code = add_word(&s, p->e);
    if (code == 0)
        code = keep_set(p, &s, &word);
    sc_set_clear(&s);
    TRY(code);
    TRY(emit(p, REGEX_SPLIT, 0, 1, 4));
    TRY(emit(p, REGEX_BEHIND, word, 0, 0));
    TRY(emit(p, negate ? REGEX_AHEAD : REGEX_NOT_AHEAD, word, 0, 0));
    TRY(emit(p, REGEX_JUMP, 0, 3, 0));
    TRY(emit(p, REGEX_NOT_BEHIND, word, 0, 0));
    return emit(p, negate ? REGEX_NOT_AHEAD : REGEX_AHEAD, word, 0, 0);
}

static int atom(struct parser *p)
{
    struct regex_set s = {0};
    p->atom = p->out->n;
    if (take(p, "["))
        return class(p);
    if (take(p, "."))
        return p->dot_all ? emit_range(p, REGEX_CHAR, 0, 0x10FFFF, false, false)
                          : emit_range(p, REGEX_CHAR, '\n', '\n', true, false);
    if (take(p, "^")) /* the begin of a line */
        return emit_range(p, REGEX_NOT_BEHIND, '\n', '\n', true, false);
    if (take(p, "$")) /* the end of a line */
        return emit_range(p, REGEX_NOT_AHEAD, '\n', '\n', true, false);
    if (take(p, "\\A"))
        return emit_range(p, REGEX_NOT_BEHIND, 0, 0x10FFFF, false, false);
    if (take(p, "\\z"))
        return emit_range(p, REGEX_NOT_AHEAD, 0, 0x10FFFF, false, false);
    if (looking_at(p, "\\b") || looking_at(p, "\\B")) {
        p->at += 2;
        return boundary(p, p->s.p[p->at - 1] == 'B');
    }
    uint32_t c = take_point(p);
    if (c == '\\') {
        const int kind = escape(p, &s, &c);
        if (kind == 1)
            return emit_set(p, REGEX_CHAR, &s, p->fold);
        sc_set_clear(&s);
        TRY(kind);
    }
    return emit_range(p, REGEX_CHAR, c, c, false, p->fold);
}

static int parse_all(struct parser *p)
{
    TRY(open_group(p, PLAIN, false));
    while (more(p)) {
        const char c = p->s.p[p->at];
        if (c == '|' || c == '(' || c == ')') {
            p->at++;
            TRY(c == '|' ? alternative(p) : c == '(' ? group(p) : close_group(p));
        } else if (c == '*' || c == '+' || c == '?' || (c == '{' && p->atom != SIZE_MAX)) {
            TRY(repetition(p));
        } else {
            TRY(atom(p));
        }
    }
    if (p->depth != 1)
        return refuse(p, "a ( is not closed");
    close_alternatives(p, &p->stack[0]);
    return emit(p, REGEX_MATCH, 0, 0, 0);
}

int sc_regex_parse(struct sc_str pattern, struct regex_program *out, struct sc_error *e)
{
    struct parser p = {.s = pattern, .out = out, .atom = SIZE_MAX, .e = e};
    *out = (struct regex_program){0};
    if (pattern.n > REGEX_PATTERN || !sc_utf8_valid(pattern))
        return refuse(&p, "it is longer than 65,536 bytes or no valid UTF-8");
    p.stack = sc_calloc(REGEX_DEPTH, sizeof *p.stack);
    const int code = p.stack ? parse_all(&p) : sc_fail_memory(e);
    free(p.stack);
    if (code < 0)
        sc_regex_program_clear(out);
    return code;
}

void sc_regex_program_clear(struct regex_program *p)
{
    for (size_t i = 0; i < p->n_sets; i++)
        sc_set_clear(&p->sets[i]);
    free(p->code);
    *p = (struct regex_program){0};
}
