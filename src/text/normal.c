/* SPDX-License-Identifier: Apache-2.0 */
/* normal: the normal forms of Unicode (UAX 15), each code point with what it stands for. */
#include "text/unicode.h"

#include <string.h>

#include "text/unicode_look.h"

struct forming {
    struct sc_uc_change **out;
    size_t *cap, n;
    size_t pending; /* where the marks begin that are not in order yet */
    struct sc_error *e;
};

static bool is_hangul(uint32_t c)
{
    return c >= 0xAC00 && c < 0xD7A4;
}

/* Does c come back when its decomposition is composed? */
static bool recomposes(uint32_t c, const uint32_t *to, size_t n)
{
    uint32_t made = to[0];
    for (size_t i = 1; i < n && made; i++)
        made = sc_uc_compose(made, to[i]);
    return made == c;
}

bool sc_uc_is_form(struct sc_str s, enum sc_uc_form form)
{
    const bool compat = form & SC_UC_NFKD, compose = form & SC_UC_NFC;
    const uint32_t least = compat ? 0xA0 : compose ? 0x300 : 0xC0;

    for (size_t i = 0; i < s.n;) {
        const uint32_t *to, *further;
        uint32_t c;
        if ((uint8_t)s.p[i] < 0x80) {
            i++;
            continue;
        }
        i += sc_uc_next(s.p + i, &c);
        if (c < least)
            continue;
        if (is_hangul(c) && compose)
            continue;
        const size_t n = sc_uc_decomposed(c, false, &to);
        if (is_hangul(c) || sc_uc_marks(c) || (n && !(compose && recomposes(c, to, n))))
            return false;
        if (compat && (sc_uc_decomposed(c, true, &further) != n || (n && further != to)))
            return false; /* equal sequences are stored once */
    }
    return true;
}

/* Marks between two starters, in the order of their classes; stable. */
static void order_pending(struct forming *f)
{
    struct sc_uc_change *p = *f->out;
    for (size_t i = f->pending + 1; i < f->n; i++) {
        const struct sc_uc_change item = p[i];
        const unsigned class = sc_uc_marks(item.c) & 255;
        size_t at = i;
        for (; at > f->pending && (sc_uc_marks(p[at - 1].c) & 255) > class; at--)
            p[at] = p[at - 1];
        p[at] = item;
    }
    f->pending = f->n;
}

/* Marks that pile up would make the order above slow: after so many, equal ones stay as they are.
 * No script has more than a few, and Unicode's stream-safe form (UAX 15) allows 30. */
enum { MAX_MARKS = 4096 };

static int push(struct forming *f, uint32_t c, int32_t change)
{
    if ((sc_uc_marks(c) & 255) == 0 || f->n - f->pending >= MAX_MARKS)
        order_pending(f);
    if (f->n == *f->cap)
        TRY(sc_grow(f->out, f->cap, f->n + 1, sizeof **f->out, f->e));
    (*f->out)[f->n++] = (struct sc_uc_change){c, change};
    if ((sc_uc_marks(c) & 255) == 0)
        f->pending = f->n;
    return 0;
}

static int push_decomposed(struct forming *f, uint32_t c, bool compat)
{
    const uint32_t *to;
    if (is_hangul(c)) {
        const uint32_t s = c - 0xAC00;
        TRY(push(f, 0x1100 + s / 588, 0));
        TRY(push(f, 0x1161 + s % 588 / 28, 1));
        return s % 28 ? push(f, 0x11A7 + s % 28, 1) : 0;
    }
    const size_t n = sc_uc_decomposed(c, compat, &to);
    if (!n)
        return push(f, c, 0);
    for (size_t i = 0; i < n; i++)
        TRY(push(f, to[i], i > 0));
    return 0;
}

/* In place: what is composed stands where its starter stood. */
static size_t compose(struct sc_uc_change *p, size_t n)
{
    size_t starter = SIZE_MAX, kept = 0;
    int last = -1; /* class of what stands between the starter and here; -1: nothing */

    for (size_t i = 0; i < n; i++) {
        const int class = (int)(sc_uc_marks(p[i].c) & 255);
        if (starter != SIZE_MAX && last < class) {
            const uint32_t made = sc_uc_compose(p[starter].c, p[i].c);
            if (made) {
                p[starter].c = made;
                p[starter].change += p[i].change - 1;
                continue;
            }
        }
        if (class == 0) {
            starter = kept;
            last = -1;
        } else {
            last = class;
        }
        p[kept++] = p[i];
    }
    return kept;
}

int sc_uc_normalize(struct sc_str s, enum sc_uc_form form, struct sc_uc_change **out, size_t *cap,
                    size_t *n, struct sc_error *e)
{
    struct forming f = {.out = out, .cap = cap, .e = e};
    for (size_t i = 0; i < s.n;) {
        uint32_t c;
        i += sc_uc_next(s.p + i, &c);
        TRY(push_decomposed(&f, c, form & SC_UC_NFKD));
    }
    order_pending(&f);
    *n = form & SC_UC_NFC ? compose(*out, f.n) : f.n;
    return 0;
}
