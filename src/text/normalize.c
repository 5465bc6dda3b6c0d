/* SPDX-License-Identifier: Apache-2.0 */
/* normalize: the normalizers of tokenizer.json, one after another. Each reads a slice and leaves it
 * as it is, or writes a draft; the two drafts of an encoder take turns. */
#include "text/parts.h"

#include <string.h>

static bool lies_in(const struct sc_draft *d, const struct sc_slice *s)
{
    const uintptr_t at = (uintptr_t)s->p, first = (uintptr_t)d->p;
    return first && at >= first && at - first <= d->cap;
}

/* The draft that s does not lie in, empty. */
static struct sc_draft *other(struct sc_encoder *en, const struct sc_slice *s)
{
    struct sc_draft *d = &en->drafts[lies_in(&en->drafts[0], s)];
    d->n = 0;
    return d;
}

static int change(struct sc_encoder *en, struct sc_slice *s, size_t n, size_t skip)
{
    struct sc_draft *d = other(en, s);
    TRY(sc_draft_change(d, s, en->changes, n, skip, en->e));
    *s = sc_draft_slice(d);
    return 0;
}

static int push(struct sc_encoder *en, size_t *n, uint32_t c, int32_t how)
{
    if (*n == en->changes_cap)
        TRY(sc_grow(&en->changes, &en->changes_cap, *n + 1, sizeof *en->changes, en->e));
    en->changes[(*n)++] = (struct sc_uc_change){c, how};
    return 0;
}

static struct sc_str text_of(const struct sc_slice *s)
{
    return sc_str(s->p, s->n);
}

static int form(struct sc_encoder *en, struct sc_slice *s, enum sc_uc_form f)
{
    size_t n;
    if (sc_uc_is_form(text_of(s), f))
        return 0;
    TRY(sc_uc_normalize(text_of(s), f, &en->changes, &en->changes_cap, &n, en->e));
    return change(en, s, n, 0);
}

/* ------------------------------------------------------------------ character by character --- */
/* What becomes of one character: how many there are then (0: none is left). */
typedef size_t one_fn(uint32_t c, uint32_t out[3], int32_t how[3]);

static int each(struct sc_encoder *en, struct sc_slice *s, one_fn *f)
{
    size_t first = 0, n = 0, skip = 0;
    uint32_t c, out[3] = {0};
    int32_t how[3] = {0};

    for (;; first += sc_uc_next(s->p + first, &c)) { /* many texts stay as they are */
        if (first >= s->n)
            return 0;
        sc_uc_next(s->p + first, &c);
        if (f(c, out, how) != 1 || out[0] != c)
            break;
    }
    for (size_t i = 0; i < s->n;) {
        i += sc_uc_next(s->p + i, &c);
        const size_t k = f(c, out, how);
        for (size_t m = 0; m < k; m++)
            TRY(push(en, &n, out[m], how[m]));
        if (k == 0) { /* gone: with the character before it, or before all */
            if (n)
                en->changes[n - 1].change--;
            else
                skip++;
        }
    }
    return change(en, s, n, skip);
}

static size_t same(uint32_t c, uint32_t out[3], int32_t how[3])
{
    out[0] = c;
    how[0] = 0;
    return 1;
}

static size_t lower(uint32_t c, uint32_t out[3], int32_t how[3])
{
    const size_t n = sc_uc_lower(c, out);
    how[0] = 0;
    how[1] = 1;
    return n;
}

static size_t strip_mark9(uint32_t c, uint32_t out[3], int32_t how[3])
{
    return sc_uc_props(c) & SC_UC_MARK9 ? 0 : same(c, out, how);
}

static size_t strip_mn8(uint32_t c, uint32_t out[3], int32_t how[3])
{
    return sc_uc_props(c) & SC_UC_MN8 ? 0 : same(c, out, how);
}

static size_t clean_control(uint32_t c, uint32_t out[3], int32_t how[3])
{
    if (c == '\t' || c == '\n' || c == '\r')
        return same(c, out, how);
    return c == 0 || c == 0xFFFD || (sc_uc_props(c) & SC_UC_OTHER8) ? 0 : same(c, out, how);
}

static size_t plain_space(uint32_t c, uint32_t out[3], int32_t how[3])
{
    return same(sc_uc_props(c) & SC_UC_SPACE ? ' ' : c, out, how);
}

static size_t space_ideograph(uint32_t c, uint32_t out[3], int32_t how[3])
{
    const bool chinese = (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
                         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
                         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
                         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
    if (!chinese)
        return same(c, out, how);
    out[0] = out[2] = ' ';
    out[1] = c;
    how[0] = 0;
    how[1] = how[2] = 1;
    return 3;
}

static size_t nmt(uint32_t c, uint32_t out[3], int32_t how[3])
{
    if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
        c == 0x9F)
        return 0;
    if (c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
        c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD)
        c = ' ';
    return same(c, out, how);
}

static int bert(struct sc_encoder *en, struct sc_slice *s, const struct sc_norm_step *step)
{
    if (step->op == SC_NORM_LOWER)
        return each(en, s, lower);
    if (step->clean) {
        TRY(each(en, s, clean_control));
        TRY(each(en, s, plain_space));
    }
    if (step->chinese)
        TRY(each(en, s, space_ideograph));
    if (step->accents) {
        TRY(form(en, s, SC_UC_NFD));
        TRY(each(en, s, strip_mn8));
    }
    return step->lower ? each(en, s, lower) : 0;
}

/* What BERT's normalizer or Lowercase make of one character of ASCII. */
static uint8_t bert_ascii(uint32_t c, const struct sc_norm_step *step)
{
    uint32_t out[3] = {c};
    int32_t how[3];
    if (step->clean && clean_control(c, out, how) == 0)
        return 0;
    if (step->clean)
        plain_space(c, out, how);
    if (step->lower || step->op == SC_NORM_LOWER)
        lower(out[0], out, how);
    return (uint8_t)out[0];
}

void sc_normalize_finish(struct sc_tokenizer *t)
{
    for (size_t i = 0; i < t->n_norm; i++) {
        struct sc_norm_step *step = &t->norm[i];
        for (uint32_t c = 0; c < 128; c++)
            if (step->op == SC_NORM_BERT || step->op == SC_NORM_LOWER)
                step->ascii[c] = bert_ascii(c, step);
    }
}

static size_t plain_end(const struct sc_norm_step *step, const struct sc_slice *s, size_t at,
                        bool plain)
{
    while (at < s->n && ((uint8_t)s->p[at] < 128 && step->ascii[(uint8_t)s->p[at]]) == plain)
        at++;
    return at;
}

/* Stretches of ASCII by a table, and only what is between them with all that Unicode wants. No
 * character of such a stretch acts on another: none composes with, or is moved over, what follows.
 */
static int bert_parts(struct sc_encoder *en, struct sc_slice *s, const struct sc_norm_step *step)
{
    struct sc_draft *d = &en->joined;
    if (lies_in(d, s))
        return bert(en, s, step);
    d->n = 0;
    TRY(sc_draft_reserve(d, s->n, en->e));
    for (size_t at = 0; at < s->n;) {
        const size_t begin = d->n, plain = plain_end(step, s, at, true),
                     end = plain_end(step, s, plain, false);
        TRY(sc_draft_copy(d, s, at, plain, en->e));
        for (size_t i = begin; i < d->n; i++)
            d->p[i] = (char)step->ascii[(uint8_t)d->p[i]];
        if (plain < end) {
            struct sc_slice part = sc_slice_part(s, plain, end);
            TRY(bert(en, &part, step));
            TRY(sc_draft_copy(d, &part, 0, part.n, en->e));
        }
        at = end;
    }
    *s = sc_draft_slice(d);
    return 0;
}

/* --------------------------------------------------------------------------------- pieces of it
 * --- */
static bool is_space_at(const char *p)
{
    uint32_t c;
    sc_uc_next(p, &c);
    return sc_uc_props(c) & SC_UC_SPACE;
}

static void strip(struct sc_slice *s, bool left, bool right)
{
    size_t from = 0, to = s->n;
    uint32_t c;
    while (left && from < to && is_space_at(s->p + from))
        from += sc_uc_next(s->p + from, &c);
    while (right && to > from) {
        size_t at = to - 1;
        while (at > from && ((uint8_t)s->p[at] & 0xC0) == 0x80)
            at--;
        if (!is_space_at(s->p + at))
            break;
        to = at;
    }
    *s = sc_slice_part(s, from, to);
}

/* `then`: what follows replaces one byte, which is not in the content, and is done on the way; or
 * NULL. */
static int prepend(struct sc_encoder *en, struct sc_slice *s, struct sc_str content,
                   const struct sc_norm_step *then)
{
    struct sc_draft *d = other(en, s);
    TRY(sc_draft_put(d, content.p, content.n, sc_slice_align(s, 0), en->e));
    if (then)
        TRY(sc_draft_replace(d, s, then->literal.p[0], then->content, en->e));
    else
        TRY(sc_draft_copy(d, s, 0, s->n, en->e));
    *s = sc_draft_slice(d);
    return 0;
}

static bool replaces_byte(const struct sc_norm_step *step)
{
    return step->op == SC_NORM_REPLACE && step->literal.n == 1 &&
           (uint8_t)step->literal.p[0] < 0x80;
}

/* The next place where a text or a pattern matches. */
static bool find(struct sc_encoder *en, const struct sc_norm_step *step, struct sc_str text,
                 size_t at, struct sc_match *m)
{
    if (!step->literal.p) {
        const bool found = sc_regex_next(&step->regex, text, at, &en->fuel, m);
        en->too_slow |= en->fuel == 0;
        return found;
    }
    for (const struct sc_str want = step->literal; text.n - at >= want.n && want.n;) {
        const char *p = memchr(text.p + at, want.p[0], text.n - at - want.n + 1);
        if (!p)
            return false;
        at = (size_t)(p - text.p);
        if (memcmp(p, want.p, want.n) == 0) {
            *m = (struct sc_match){at, at + want.n};
            return true;
        }
        at++;
    }
    return false;
}

static int replace(struct sc_encoder *en, struct sc_slice *s, const struct sc_norm_step *step)
{
    size_t at = 0, done = 0, last = SIZE_MAX;
    struct sc_draft *d = NULL;
    struct sc_match m;

    if (replaces_byte(step)) {
        if (s->n && memchr(s->p, step->literal.p[0], s->n)) {
            d = other(en, s);
            TRY(sc_draft_replace(d, s, step->literal.p[0], step->content, en->e));
            *s = sc_draft_slice(d);
        }
        return 0;
    }
    en->fuel = SC_REGEX_FUEL(s->n);
    while (find(en, step, text_of(s), at, &m)) {
        if (m.from == m.to && m.to == last) { /* nothing, right behind the last match: go on */
            at = m.to + 1;
            continue;
        }
        at = last = m.to;
        if (!d) {
            d = other(en, s);
            TRY(sc_draft_reserve(d, s->n + s->n / 2, en->e));
        }
        TRY(sc_draft_copy(d, s, done, m.from, en->e));
        const struct sc_align align =
            m.to > 0 ? sc_slice_align(s, m.to - 1) : (struct sc_align){0, 0};
        TRY(sc_draft_put(d, step->content.p, step->content.n, align, en->e));
        done = m.to;
    }
    if (!d)
        return 0;
    TRY(sc_draft_copy(d, s, done, s->n, en->e));
    *s = sc_draft_slice(d);
    return 0;
}

/* ------------------------------------------------------------------------------------ charsmap ---
 */
/* A double array (darts-clone): a unit holds a label, whether a value hangs below it, and where its
 * children begin. Where SentencePiece takes the longest match the Rust tokenizers take the first,
 * and so do we. */
static uint32_t unit_offset(uint32_t unit)
{
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}

static bool charsmap_find(const struct sc_norm_step *step, const char *p, size_t n,
                          struct sc_str *out)
{
    size_t at = 0;
    uint32_t unit;
    if (!step->n_units)
        return false;
    unit = step->units[0];
    at ^= unit_offset(unit);
    for (size_t i = 0; i < n && p[i]; i++) {
        at ^= (uint8_t)p[i];
        if (at >= step->n_units)
            return false;
        unit = step->units[at];
        if ((unit & ((1u << 31) | 0xFF)) != (uint8_t)p[i])
            return false;
        at ^= unit_offset(unit);
        if (!(unit >> 8 & 1))
            continue;
        if (at >= step->n_units)
            return false;
        const uint32_t value = step->units[at] & 0x7FFFFFFF;
        if (value >= step->texts.n || ((uint8_t)step->texts.p[value] & 0xC0) == 0x80)
            return false;
        *out = sc_str(step->texts.p + value, strlen(step->texts.p + value));
        return true;
    }
    return false;
}

static size_t count_points(struct sc_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((uint8_t)s.p[i] & 0xC0) != 0x80;
    return n;
}

static int put_mapped(struct sc_encoder *en, size_t *n, struct sc_str from, struct sc_str to)
{
    const size_t before = count_points(from), after = count_points(to);
    uint32_t c;
    size_t k = 0;
    for (size_t i = 0; i < to.n; k++) {
        i += sc_uc_next(to.p + i, &c);
        TRY(push(en, n, c, after > before && k >= before));
    }
    if (after < before && *n)
        en->changes[*n - 1].change -= (int32_t)(before - after);
    return 0;
}

static int charsmap(struct sc_encoder *en, struct sc_slice *s, const struct sc_norm_step *step)
{
    bool modified = false;
    size_t n = 0;
    for (size_t i = 0; i < s->n;) {
        const size_t cluster = sc_uc_grapheme(sc_str(s->p + i, s->n - i));
        struct sc_str to;
        if (cluster < 6 && charsmap_find(step, s->p + i, cluster, &to)) {
            TRY(put_mapped(en, &n, sc_str(s->p + i, cluster), to));
            modified = true;
            i += cluster;
            continue;
        }
        for (const size_t end = i + cluster; i < end;) {
            uint32_t c;
            const size_t length = sc_uc_next(s->p + i, &c);
            if (charsmap_find(step, s->p + i, length, &to)) {
                TRY(put_mapped(en, &n, sc_str(s->p + i, length), to));
                modified = true;
            } else {
                TRY(push(en, &n, c, 0));
            }
            i += length;
        }
    }
    return modified ? change(en, s, n, 0) : 0;
}

/* SentencePiece's remove_extra_whitespaces, of GGUF: none at the ends, one between words. */
static int single_spaces(struct sc_encoder *en, struct sc_slice *s)
{
    size_t from = 0, to = s->n;
    while (from < to && s->p[from] == ' ')
        from++;
    while (to > from && s->p[to - 1] == ' ')
        to--;
    *s = sc_slice_part(s, from, to);
    struct sc_draft *d = other(en, s);
    size_t done = 0;
    for (size_t i = 1; i < s->n; i++)
        if (s->p[i] == ' ' && s->p[i - 1] == ' ') {
            TRY(sc_draft_copy(d, s, done, i, en->e));
            done = i + 1;
        }
    if (done == 0)
        return 0;
    TRY(sc_draft_copy(d, s, done, s->n, en->e));
    *s = sc_draft_slice(d);
    return 0;
}

static int run(struct sc_encoder *en, struct sc_slice *s, const struct sc_norm_step *step)
{
    switch (step->op) {
    case SC_NORM_FORM:
        return form(en, s, step->form);
    case SC_NORM_ACCENTS:
        return each(en, s, strip_mark9);
    case SC_NORM_LOWER:
    case SC_NORM_BERT:
        return bert_parts(en, s, step);
    case SC_NORM_REPLACE:
        return replace(en, s, step);
    case SC_NORM_PREPEND:
        return s->n && step->content.n ? prepend(en, s, step->content, NULL) : 0;
    case SC_NORM_STRIP:
        strip(s, step->left, step->right);
        return 0;
    case SC_NORM_NMT:
        return each(en, s, nmt);
    case SC_NORM_CHARSMAP:
        return charsmap(en, s, step);
    case SC_NORM_SPACES:
        return single_spaces(en, s);
    }
    return 0;
}

/* "▁" before a text and for its blanks is how most SentencePiece vocabularies begin. */
static bool goes_with_next(const struct sc_tokenizer *t, size_t i, const struct sc_slice *s)
{
    const struct sc_norm_step *step = &t->norm[i];
    return step->op == SC_NORM_PREPEND && s->n && step->content.n && i + 1 < t->n_norm &&
           replaces_byte(&step[1]) &&
           !memchr(step->content.p, step[1].literal.p[0], step->content.n);
}

int sc_normalize(struct sc_encoder *en, struct sc_slice *s)
{
    const struct sc_tokenizer *t = en->t;
    for (size_t i = 0; i < t->n_norm; i++)
        if (goes_with_next(t, i, s)) {
            TRY(prepend(en, s, t->norm[i].content, &t->norm[i + 1]));
            i++;
        } else {
            TRY(run(en, s, &t->norm[i]));
        }
    return 0;
}
