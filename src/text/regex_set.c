/* SPDX-License-Identifier: Apache-2.0 */
/* regex_set: sets of code points. */
#include "text/regex.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

enum { LAST = 0x10FFFF };

int sc_set_add(struct regex_set *s, uint32_t from, uint32_t to, struct sc_error *e)
{
    if (s->n && s->p[s->n - 1].to + 1 == from) {
        s->p[s->n - 1].to = to;
        return 0;
    }
    TRY(sc_grow(&s->p, &s->cap, s->n + 1, sizeof *s->p, e));
    s->p[s->n++] = (struct regex_range){from, to};
    return 0;
}

int sc_set_union(struct regex_set *s, const struct regex_set *other, struct sc_error *e)
{
    for (size_t i = 0; i < other->n; i++)
        TRY(sc_set_add(s, other->p[i].from, other->p[i].to, e));
    sc_set_settle(s);
    return 0;
}

static int by_start(const void *a, const void *b)
{
    const struct regex_range *x = a, *y = b;
    return x->from != y->from ? (x->from < y->from ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

void sc_set_settle(struct regex_set *s)
{
    size_t kept = 0;
    if (s->n > 1)
        qsort(s->p, s->n, sizeof *s->p, by_start);
    for (size_t i = 0; i < s->n; i++) {
        if (kept && s->p[i].from <= s->p[kept - 1].to + 1)
            s->p[kept - 1].to = SC_MAX(s->p[kept - 1].to, s->p[i].to);
        else
            s->p[kept++] = s->p[i];
    }
    s->n = kept;
}

int sc_set_negate(struct regex_set *s, struct sc_error *e)
{
    struct regex_set out = {0};
    uint32_t next = 0;
    int code = 0;
    for (size_t i = 0; code == 0 && i < s->n; i++) {
        if (s->p[i].from > next)
            code = sc_set_add(&out, next, s->p[i].from - 1, e);
        next = s->p[i].to + 1;
    }
    if (code == 0 && next <= LAST)
        code = sc_set_add(&out, next, LAST, e);
    free(s->p);
    *s = out;
    return code;
}

int sc_set_intersect(struct regex_set *s, const struct regex_set *other, struct sc_error *e)
{
    struct regex_set b = {0};
    int code = sc_set_union(&b, other, e);
    if (code == 0)
        code = sc_set_negate(&b, e);
    if (code == 0)
        code = sc_set_negate(s, e);
    if (code == 0)
        code = sc_set_union(s, &b, e);
    sc_set_clear(&b);
    return code < 0 ? code : sc_set_negate(s, e);
}

struct folding {
    struct regex_set *set;
    struct sc_error *e;
    int code;
};

static void add_folded(void *ctx, uint32_t other)
{
    struct folding *f = ctx;
    if (f->code == 0)
        f->code = sc_set_add(f->set, other, other, f->e);
}

/* Case closes every range that has letters with case; large ones hold their own partners. */
int sc_set_fold(struct regex_set *s, struct sc_error *e)
{
    struct folding f = {.set = s, .e = e};
    const size_t n = s->n;
    for (size_t i = 0; f.code == 0 && i < n; i++)
        for (uint32_t c = s->p[i].from; f.code == 0 && c <= SC_MIN(s->p[i].to, UINT32_C(0x1E943));
             c++)
            if (SC_UC_CATEGORY(sc_uc_props(c)) != SC_UC_LO &&
                (sc_uc_props(c) & SC_UC_ALPHABETIC || SC_UC_CATEGORY(sc_uc_props(c)) == SC_UC_MN))
                sc_uc_fold_each(c, add_folded, &f);
    sc_set_settle(s);
    return f.code;
}

bool sc_set_equal(const struct regex_set *a, const struct regex_set *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n * sizeof *a->p) == 0);
}

void sc_set_clear(struct regex_set *s)
{
    free(s->p);
    *s = (struct regex_set){0};
}

/* --------------------------------------------------------------------------------- properties ---
 */
struct wanted {
    uint32_t categories; /* bits */
    uint32_t flags;
    unsigned script; /* 0: any */
};

static uint32_t category_bits(struct sc_str name)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < SC_UC_CATEGORIES; i++)
        if ((name.n == 1 || name.n == 2) &&
            sc_str_eq_nocase(name, sc_str(sc_uc_category_names[i], name.n)))
            bits |= UINT32_C(1) << i;
    return bits;
}

#define BIT(category) (UINT32_C(1) << SC_UC_##category)

static bool find_property(struct sc_str name, bool posix, struct wanted *w)
{
    static const struct {
        const char *name, *categories;
        uint32_t flags;
    } words[] = {
        {"Letter", "L", 0},
        {"Mark", "M", 0},
        {"Number", "N", 0},
        {"Punctuation", "P", 0},
        {"Symbol", "S", 0},
        {"Separator", "Z", 0},
        {"Other", "C", 0},
        {"Lowercase_Letter", "Ll", 0},
        {"Uppercase_Letter", "Lu", 0},
        {"Decimal_Number", "Nd", 0},
        {"Punct", "P", 0},
        {"digit", "Nd", 0},
        {"Alphabetic", "", SC_UC_ALPHABETIC},
        {"alpha", "", SC_UC_ALPHABETIC},
        {"space", "", SC_UC_SPACE},
        {"White_Space", "", SC_UC_SPACE},
        {"cntrl", "Cc", 0},
    };
    *w = (struct wanted){0};
    if (posix && sc_str_is(name, "punct")) {
        w->categories = category_bits(SC_STR("P")) | category_bits(SC_STR("S"));
        return true;
    }
    if (posix && sc_str_is(name, "alnum")) {
        w->categories = BIT(ND);
        w->flags = SC_UC_ALPHABETIC;
        return true;
    }
    for (size_t i = 0; i < SC_COUNT(words); i++)
        if (sc_str_eq_nocase(name, sc_strz(words[i].name))) {
            w->categories = category_bits(sc_strz(words[i].categories));
            w->flags = words[i].flags;
            return true;
        }
    if (posix)
        return false;
    for (unsigned i = 1; i < SC_UC_SCRIPTS; i++)
        if (sc_str_eq_nocase(name, sc_strz(sc_uc_script_names[i]))) {
            w->script = i;
            return true;
        }
    w->categories = category_bits(name);
    return w->categories != 0;
}

int sc_set_property(struct regex_set *s, struct sc_str name, bool posix, struct sc_error *e)
{
    struct wanted w;

    if (sc_str_eq_nocase(name, SC_STR("Any"))) {
        TRY(sc_set_add(s, 0, LAST, e));
        return 1;
    }
    if (!find_property(name, posix, &w))
        return 0;
    for (uint32_t c = 0, next; c <= LAST; c = next) {
        uint32_t props;
        next = sc_uc_props_run(c, &props);
        const bool hit = (w.categories >> SC_UC_CATEGORY(props) & 1) || (props & w.flags) ||
                         (w.script && SC_UC_SCRIPT(props) == w.script);
        if (hit)
            TRY(sc_set_add(s, c, next - 1, e));
    }
    return 1;
}
