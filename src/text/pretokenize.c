/* SPDX-License-Identifier: Apache-2.0 */
/* pretokenize: the pre-tokenizers of tokenizer.json. Each cuts a slice and hands the pieces to the
 * next as it finds them, so that no list of pieces is ever kept; the depth is the number of
 * pre-tokenizers, at most SC_MAX_STAGES. Those that change the text (a space before it, "▁" for
 * spaces) keep it in a draft of their stage. */
#include "text/parts.h"

#include <string.h>

static int stage(struct sc_encoder *en, size_t number, const struct sc_slice *s);

/* ------------------------------------------------------------------------------------- cutting ---
 */
/* Matches and gaps of one slice, in order, on their way to the next stage. What may yet be merged
 * with its neighbour waits: held from `from` to `to`. */
struct cutter {
    struct sc_encoder *en;
    size_t number;
    const struct sc_slice *s;
    enum sc_behaviour behaviour;
    bool invert;
    bool held, held_match;
    size_t from, to;
};

static int emit(struct cutter *k, size_t from, size_t to)
{
    if (from == to)
        return 0;
    const size_t next = k->number + 1;
    if (next == k->en->t->n_pre)
        return sc_word(k->en, k->s, from, to);
    const struct sc_slice part = sc_slice_part(k->s, from, to);
    return stage(k->en, next, &part);
}

static int flush(struct cutter *k)
{
    const bool held = k->held;
    k->held = false;
    return held ? emit(k, k->from, k->to) : 0;
}

static int hold(struct cutter *k, size_t from, size_t to, bool match)
{
    TRY(flush(k));
    k->held = true;
    k->held_match = match;
    k->from = from;
    k->to = to;
    return 0;
}

static int segment(struct cutter *k, size_t from, size_t to, bool match)
{
    match ^= k->invert;
    switch (k->behaviour) {
    case SC_ISOLATED:
        return emit(k, from, to);
    case SC_REMOVED:
        return match ? 0 : emit(k, from, to);
    case SC_CONTIGUOUS:
        if (k->held && k->held_match == match) {
            k->to = to;
            return 0;
        }
        return hold(k, from, to, match);
    case SC_MERGED_PREVIOUS:
        if (k->held && match && !k->held_match) {
            k->to = to;
            k->held_match = true; /* the next match stands alone */
            return 0;
        }
        return hold(k, from, to, match);
    case SC_MERGED_NEXT:
        if (k->held && k->held_match && !match) {
            k->to = to;
            k->held_match = false;
            return 0;
        }
        return hold(k, from, to, match);
    }
    return 0;
}

static int cut_regex(struct cutter *k, const struct sc_regex *r)
{
    const struct sc_str text = sc_str(k->s->p, k->s->n);
    uint64_t fuel = SC_REGEX_FUEL(text.n);
    size_t at = 0, done = 0, last = SIZE_MAX;
    struct sc_match m;

    while (at <= text.n && sc_regex_next(r, text, at, &fuel, &m)) {
        if (m.from == m.to && m.to == last) {
            at = m.to + 1;
            continue;
        }
        at = last = m.to;
        if (m.from > done)
            TRY(segment(k, done, m.from, false));
        TRY(segment(k, m.from, m.to, true));
        done = m.to;
    }
    k->en->too_slow |= fuel == 0;
    if (done < text.n)
        TRY(segment(k, done, text.n, false));
    return flush(k);
}

static bool is_one(const struct sc_pre_step *step, uint32_t c)
{
    switch (step->chars) {
    case SC_CHARS_SPACE:
        return c < 0x80 ? c == ' ' || (c >= 9 && c <= 13) : sc_uc_props(c) & SC_UC_SPACE;
    case SC_CHARS_NUMBER: {
        const unsigned category = SC_UC_CATEGORY(sc_uc_props(c));
        return category == SC_UC_ND || category == SC_UC_NL || category == SC_UC_NO;
    }
    case SC_CHARS_PUNCT:
        return c < 0x80 ? (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
                              (c >= 123 && c <= 126)
                        : sc_uc_props(c) & SC_UC_PUNCT8;
    case SC_CHARS_ONE:
        return c == step->one;
    }
    return false;
}

void sc_pre_finish(struct sc_tokenizer *t)
{
    for (size_t i = 0; i < t->n_pre; i++)
        for (uint32_t c = 0; c < 128; c++)
            t->pre[i].ascii[c] = is_one(&t->pre[i], c);
}

static int cut_chars(struct cutter *k, const struct sc_pre_step *step)
{
    size_t done = 0;
    for (size_t i = 0; i < k->s->n;) {
        uint32_t c = (uint8_t)k->s->p[i];
        const size_t length = c < 128 ? 1 : sc_uc_next(k->s->p + i, &c);
        if (c < 128 ? step->ascii[c] : is_one(step, c)) {
            if (i > done)
                TRY(segment(k, done, i, false));
            TRY(segment(k, i, i + length, true));
            done = i + length;
        }
        i += length;
    }
    if (done < k->s->n)
        TRY(segment(k, done, k->s->n, false));
    return flush(k);
}

/* ------------------------------------------------------------------------------------ metaspace
 * --- */
static bool starts_with(const struct sc_slice *s, struct sc_str word)
{
    return s->n >= word.n && memcmp(s->p, word.p, word.n) == 0;
}

static int metaspace(struct sc_encoder *en, size_t number, const struct sc_slice *s,
                     const struct sc_pre_step *step)
{
    struct sc_draft *d = &en->stage[number];
    const struct sc_align first = s->n ? sc_slice_align(s, 0) : (struct sc_align){1, 1};
    const bool begins = starts_with(s, step->replacement) || starts_with(s, SC_STR(" "));
    const bool prepend = !begins && s->n &&
                         (step->prepend == SC_PREPEND_ALWAYS ||
                          (step->prepend == SC_PREPEND_FIRST && first.from == 0));
    TRY(sc_word_flush(en));
    d->n = 0;
    if (prepend)
        TRY(sc_draft_put(d, step->replacement.p, step->replacement.n, first, en->e));
    TRY(sc_draft_replace(d, s, ' ', step->replacement, en->e));
    const struct sc_slice made = sc_draft_slice(d);
    if (!step->split)
        return stage(en, number + 1, &made);
    struct cutter k = {.en = en, .number = number, .s = &made, .behaviour = SC_MERGED_NEXT};
    return cut_chars(&k, step);
}

/* A space before a text that has none, then GPT-2's expression (when the step has one). */
static int bytes(struct sc_encoder *en, size_t number, const struct sc_slice *s,
                 const struct sc_pre_step *step)
{
    struct sc_slice made = *s;
    if (step->prefix_space && s->n && s->p[0] != ' ') {
        struct sc_draft *d = &en->stage[number];
        TRY(sc_word_flush(en));
        d->n = 0;
        TRY(sc_draft_put(d, " ", 1, sc_slice_align(s, 0), en->e));
        TRY(sc_draft_copy(d, s, 0, s->n, en->e));
        made = sc_draft_slice(d);
    }
    if (!step->split)
        return stage(en, number + 1, &made);
    struct cutter k = {.en = en, .number = number, .s = &made, .behaviour = SC_ISOLATED};
    return cut_regex(&k, &step->regex);
}

/* Bytes as the characters that stand for them, where pre-tokenizers follow that are to see these.
 */
static int spell(struct sc_encoder *en, size_t number, const struct sc_slice *s)
{
    struct sc_draft *d = &en->stage[number];
    TRY(sc_word_flush(en));
    d->n = 0;
    for (size_t i = 0; i < s->n; i++)
        TRY(sc_draft_point(d, sc_byte_point((uint8_t)s->p[i]), sc_slice_align(s, i), en->e));
    const struct sc_slice made = sc_draft_slice(d);
    return stage(en, number + 1, &made);
}

static int stage(struct sc_encoder *en, size_t number, const struct sc_slice *s)
{
    if (number == en->t->n_pre)
        return s->n ? sc_word(en, s, 0, s->n) : 0;
    const struct sc_pre_step *step = &en->t->pre[number];
    struct cutter k = {
        .en = en, .number = number, .s = s, .behaviour = step->behaviour, .invert = step->invert};
    switch (step->op) {
    case SC_PRE_REGEX:
        return cut_regex(&k, &step->regex);
    case SC_PRE_CHARS:
        return cut_chars(&k, step);
    case SC_PRE_METASPACE:
        return metaspace(en, number, s, step);
    case SC_PRE_BYTES:
        return bytes(en, number, s, step);
    case SC_PRE_SPELL:
        return spell(en, number, s);
    }
    return 0;
}

int sc_pretokenize(struct sc_encoder *en, const struct sc_slice *s)
{
    TRY(stage(en, 0, s));
    return sc_word_flush(en);
}

/* ------------------------------------------------------------------------------- byte alphabet ---
 */
/* GPT-2's: bytes that are printable in Latin-1 are themselves, the other 68 are U+0100 and on. */
uint32_t sc_byte_point(uint8_t byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174)
        return byte;
    return byte <= 32 ? 0x100u + byte : byte <= 160 ? 0x100u + byte - 94 : 0x143;
}

int sc_point_byte(uint32_t c)
{
    if ((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255))
        return (int)c;
    if (c >= 0x100 && c <= 0x120)
        return (int)(c - 0x100);
    if (c >= 0x121 && c <= 0x142)
        return (int)(c - 0x121 + 127);
    return c == 0x143 ? 173 : -1;
}
