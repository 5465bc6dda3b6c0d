/* SPDX-License-Identifier: Apache-2.0 */
/* unicode: looking up properties, case, grapheme clusters. Normal forms are normal.c. */
#include "text/unicode.h"

#include <string.h>

#include "text/unicode_tables.h"
#include "text/unicode_look.h"

const char sc_uc_category_names[SC_UC_CATEGORIES][3] = {
    "Cn", "Cc", "Cf", "Co", "Cs", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl",
    "No", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs",
};
const char *const sc_uc_script_names[SC_UC_SCRIPTS] = {
    "",         "Han",   "Hiragana", "Katakana", "Hangul",     "Latin",
    "Cyrillic", "Greek", "Arabic",   "Hebrew",   "Devanagari", "Thai",
};

uint32_t sc_uc_props(uint32_t c)
{
    return props_palette[props_cell[(uint32_t)props_block[c >> 7] << 7 | (c & 127)]];
}

uint32_t sc_uc_props_run(uint32_t c, uint32_t *props)
{
    const uint8_t *cell = props_cell + ((size_t)props_block[c >> 7] << 7);
    const uint8_t own = cell[c & 127];
    *props = props_palette[own];
    for (;;) {
        if (++c > 0x10FFFF)
            return c;
        if ((c & 127) == 0) {
            const uint8_t *next = props_cell + ((size_t)props_block[c >> 7] << 7);
            while (next == cell && memcmp(cell, cell + 1, 127) == 0 && cell[0] == own &&
                   (c += 128) <= 0x10FFFF)
                next = props_cell + ((size_t)props_block[c >> 7] << 7);
            if (c > 0x10FFFF)
                return c;
            cell = next;
        }
        if (cell[c & 127] != own)
            return c;
    }
}

static const struct norm_record *record_of(uint32_t c)
{
    return &norm_records[norm_cell[(uint32_t)norm_block[c >> 6] << 6 | (c & 63)]];
}

unsigned sc_uc_marks(uint32_t c)
{
    return record_of(c)->ccc;
}

size_t sc_uc_decomposed(uint32_t c, bool compat, const uint32_t **to)
{
    const struct norm_record *r = record_of(c);
    *to = norm_pool + (compat ? r->compat : r->canonical);
    return compat ? r->n_compat : r->n_canonical;
}

uint32_t sc_uc_compose(uint32_t a, uint32_t b)
{
    size_t low = 0, high = SC_COUNT(norm_pairs);
    if (a >= 0x1100 && a < 0x1113 && b >= 0x1161 && b < 0x1176)
        return 0xAC00 + ((a - 0x1100) * 21 + (b - 0x1161)) * 28;
    if (a >= 0xAC00 && a < 0xD7A4 && (a - 0xAC00) % 28 == 0 && b > 0x11A7 && b < 0x11C3)
        return a + (b - 0x11A7);
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const struct norm_pair *p = &norm_pairs[middle];
        if (p->first == a && p->second == b)
            return p->composed;
        if (p->first < a || (p->first == a && p->second < b))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

static const struct case_pair *find_case(const struct case_pair *pairs, size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (pairs[middle].from < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && pairs[low].from == c ? &pairs[low] : NULL;
}

size_t sc_uc_lower(uint32_t c, uint32_t out[2])
{
    out[0] = c;
    if (c < 0x80) {
        out[0] += c >= 'A' && c <= 'Z' ? 32 : 0;
        return 1;
    }
    if (c == 0x130) { /* the only one of two code points, in SpecialCasing.txt */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    const struct case_pair *p = find_case(lower_pairs, SC_COUNT(lower_pairs), c);
    if (p)
        out[0] = p->to;
    return 1;
}

void sc_uc_fold_each(uint32_t c, void (*f)(void *ctx, uint32_t other), void *ctx)
{
    const struct case_pair *own = find_case(fold_pairs, SC_COUNT(fold_pairs), c);
    const uint32_t folded = own ? own->to : c;
    if (folded != c)
        f(ctx, folded);
    for (size_t i = 0; i < SC_COUNT(fold_pairs); i++)
        if (fold_pairs[i].to == folded && fold_pairs[i].from != c)
            f(ctx, fold_pairs[i].from);
}

/* ------------------------------------------------------------------------- grapheme clusters ---
 */
enum brk { OTHER, CR, LF, CONTROL, EXTEND, ZWJ, REGIONAL, PREPEND, SPACING, L, V, T, LV, LVT };

/* No boundary between two code points of these classes (UAX 29, GB3 to GB9b). */
static bool stick(enum brk a, enum brk b)
{
    if (a == CR && b == LF)
        return true;
    if (a == CR || a == LF || a == CONTROL || b == CR || b == LF || b == CONTROL)
        return false;
    if (a == L && (b == L || b == V || b == LV || b == LVT))
        return true;
    if ((a == LV || a == V) && (b == V || b == T))
        return true;
    if ((a == LVT || a == T) && b == T)
        return true;
    return b == EXTEND || b == ZWJ || b == SPACING || a == PREPEND;
}

size_t sc_uc_grapheme(struct sc_str s)
{
    uint32_t c;
    size_t at = sc_uc_next(s.p, &c);
    uint32_t props = sc_uc_props(c);
    enum brk last = (enum brk)SC_UC_BREAK(props);
    bool picture = props & SC_UC_PICTURE; /* pictograph, extenders */
    unsigned flags = last == REGIONAL;

    while (at < s.n) {
        const size_t length = sc_uc_next(s.p + at, &c);
        props = sc_uc_props(c);
        const enum brk next = (enum brk)SC_UC_BREAK(props);
        bool together = stick(last, next);
        if (!together && last == ZWJ && picture && (props & SC_UC_PICTURE))
            together = true;
        if (!together && last == REGIONAL && next == REGIONAL && flags % 2 == 1)
            together = true;
        if (!together)
            break;
        picture = (props & SC_UC_PICTURE) || (picture && (next == EXTEND || next == ZWJ));
        flags = next == REGIONAL ? flags + 1 : 0;
        last = next;
        at += length;
    }
    return at;
}
