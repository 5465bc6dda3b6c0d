/* SPDX-License-Identifier: Apache-2.0 */
/* post: what is put around the tokens of a text, and offsets without the white space at their ends.
 */
#include "text/parts.h"

#include <string.h>

static int put_ids(struct sc_tokens *out, size_t at, const uint32_t *ids, size_t n,
                   struct sc_error *e)
{
    if (!n)
        return 0;
    TRY(sc_grow(&out->p, &out->cap, out->n + n, sizeof *out->p, e));
    memmove(out->p + at + n, out->p + at, (out->n - at) * sizeof *out->p);
    for (size_t i = 0; i < n; i++)
        out->p[at + i] = (struct sc_token){.id = ids[i]};
    out->n += n;
    return 0;
}

static bool is_blank(const struct sc_tokenizer *t, uint32_t c)
{
    return c == sc_byte_point(' ') || (c <= 0x10FFFF && (sc_uc_props(c) & SC_UC_SPACE)) ||
           (t->bytes && c == ' ');
}

/* How many characters of white space begin and end the spelling of a token. */
static void blanks(const struct sc_tokenizer *t, struct sc_str s, size_t *leading, size_t *trailing)
{
    bool all = true;
    *leading = *trailing = 0;
    for (size_t i = 0; i < s.n;) {
        uint32_t c;
        i += sc_uc_next(s.p + i, &c);
        if (is_blank(t, c)) {
            *leading += all;
            ++*trailing;
        } else {
            all = false;
            *trailing = 0;
        }
    }
}

/* For texts of many tokens: what is known of each piece beforehand. */
int sc_post_finish(struct sc_tokenizer *t, struct sc_error *e)
{
    bool trims = false;
    for (size_t i = 0; i < t->n_post; i++)
        trims |= t->post[i].op == SC_POST_TRIM;
    if (!trims || !t->vocab.n)
        return 0;
    t->blanks = sc_calloc(t->vocab.n, 1);
    if (!t->blanks)
        return sc_fail_memory(e);
    for (uint32_t id = 0; id < t->vocab.n; id++) {
        size_t leading, trailing;
        blanks(t, t->vocab.pieces[id], &leading, &trailing);
        t->blanks[id] =
            sc_added_of(t, id) ? 15 : (uint8_t)(SC_MIN(leading, 15) | SC_MIN(trailing, 15) << 4);
    }
    return 0;
}

/* So many characters of the text on, or back. */
static uint32_t forward(struct sc_str text, uint32_t at, size_t n)
{
    uint32_t c;
    for (; n && at < text.n; n--) {
        const size_t length = sc_utf8_decode(text.p + at, text.n - at, &c);
        at += (uint32_t)SC_MAX(length, 1);
    }
    return at;
}

static uint32_t back(struct sc_str text, uint32_t at, size_t n)
{
    for (; n && at > 0; n--)
        do
            at--;
        while (at > 0 && ((uint8_t)text.p[at] & 0xC0) == 0x80);
    return at;
}

static bool contains(struct sc_str s, struct sc_str word)
{
    for (size_t i = 0; i + word.n <= s.n; i++)
        if (memcmp(s.p + i, word.p, word.n) == 0)
            return true;
    return false;
}

/* An added token is spelled as it is in the text, with the white space that it took in. */
static void look_closer(const struct sc_tokenizer *t, struct sc_str text, const struct sc_token *k,
                        size_t *leading, size_t *trailing)
{
    const struct sc_str part = sc_str(text.n ? text.p + k->from : "", k->to - k->from);
    const struct sc_added *a = sc_added_of(t, k->id);
    const bool added = a && sc_utf8_valid(part) && contains(part, a->content);
    blanks(t, added ? part : sc_tokenizer_piece(t, k->id), leading, trailing);
}

static void trim(const struct sc_tokenizer *t, struct sc_str text, bool prefix_space, size_t from,
                 struct sc_tokens *out)
{
    for (size_t i = from; i < out->n; i++) {
        struct sc_token *k = &out->p[i];
        const uint8_t known = t->blanks && k->id < t->vocab.n ? t->blanks[k->id] : 15;
        size_t leading = known & 15, trailing = known >> 4;
        if (leading == 15 || trailing == 15)
            look_closer(t, text, k, &leading, &trailing);
        if (leading) {
            if (prefix_space && (i == from || k->from == 0))
                leading--;
            k->from = SC_MIN(forward(text, k->from, leading), k->to);
        }
        if (trailing && k->to >= trailing)
            k->to = SC_MAX(back(text, k->to, trailing), k->from);
    }
}

int sc_postprocess(const struct sc_tokenizer *t, struct sc_str text, bool special, size_t from,
                   struct sc_tokens *out, struct sc_error *e)
{
    for (size_t i = 0; i < t->n_post; i++) {
        const struct sc_post_step *p = &t->post[i];
        if (p->op == SC_POST_TRIM) {
            trim(t, text, p->prefix_space, from, out);
        } else if (special) {
            TRY(put_ids(out, from, p->before, p->n_before, e));
            TRY(put_ids(out, out->n, p->after, p->n_after, e));
        }
    }
    return 0;
}
