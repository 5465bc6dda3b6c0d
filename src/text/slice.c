/* SPDX-License-Identifier: Apache-2.0 */
/* slice: text together with where it comes from. */
#include "text/parts.h"

#include <stdlib.h>
#include <string.h>

/* A byte stands for the whole character that it is in. */
struct sc_align sc_slice_align(const struct sc_slice *s, size_t at)
{
    if (s->align)
        return s->align[at];
    size_t from = at, to = at + 1;
    while (from > 0 && ((uint8_t)s->p[from] & 0xC0) == 0x80)
        from--;
    while (to < s->n && ((uint8_t)s->p[to] & 0xC0) == 0x80)
        to++;
    return (struct sc_align){(uint32_t)(s->base + from), (uint32_t)(s->base + to)};
}

void sc_draft_clear(struct sc_draft *d)
{
    free(d->p);
    free(d->align);
    *d = (struct sc_draft){0};
}

struct sc_slice sc_draft_slice(const struct sc_draft *d)
{
    return (struct sc_slice){.p = d->n ? d->p : "", .n = d->n, .align = d->align, .room = d->n};
}

int sc_draft_reserve(struct sc_draft *d, size_t n, struct sc_error *e)
{
    if (d->n + n > UINT32_MAX)
        return sc_fail(e, SCRUPLE_ELIMIT, "a normalized text of more than 4 GiB");
    if (d->n + n < d->cap && d->n + n < d->align_cap)
        return 0;
    TRY(sc_grow(&d->p, &d->cap, d->n + n + 1, 1, e));
    return sc_grow(&d->align, &d->align_cap, d->n + n + 1, sizeof *d->align, e);
}

int sc_draft_put(struct sc_draft *d, const char *p, size_t n, struct sc_align align,
                 struct sc_error *e)
{
    TRY(sc_draft_reserve(d, n, e));
    memcpy(d->p + d->n, p, n);
    for (size_t i = 0; i < n; i++)
        d->align[d->n + i] = align;
    d->n += n;
    return 0;
}

int sc_draft_copy(struct sc_draft *d, const struct sc_slice *s, size_t from, size_t to,
                  struct sc_error *e)
{
    TRY(sc_draft_reserve(d, to - from, e));
    memcpy(d->p + d->n, s->p + from, to - from);
    if (s->align) {
        memcpy(d->align + d->n, s->align + from, (to - from) * sizeof *d->align);
    } else {
        for (size_t i = from; i < to;) {
            for (; i + 8 <= to &&
                   !(sc_le64((const uint8_t *)s->p + i) & UINT64_C(0x8080808080808080));
                 i += 8)
                for (size_t k = 0; k < 8; k++)
                    d->align[d->n + i + k - from] = (struct sc_align){
                        (uint32_t)(s->base + i + k), (uint32_t)(s->base + i + k + 1)};
            for (; i < to && (uint8_t)s->p[i] < 0x80; i++)
                d->align[d->n + i - from] =
                    (struct sc_align){(uint32_t)(s->base + i), (uint32_t)(s->base + i + 1)};
            if (i == to)
                break;
            const struct sc_align align = sc_slice_align(s, i);
            const size_t end = align.to - s->base;
            for (; i < SC_MIN(end, to); i++)
                d->align[d->n + i - from] = align;
        }
    }
    d->n += to - from;
    return 0;
}

/* Where the content has at most 4 bytes each byte writes as much as the longest would and only goes
 * on by what counts, so that no branch depends on where the bytes are that are replaced. From i on,
 * up to a byte whose origin is not simply known: how far it came. There is room for 4 more than are
 * made. */
static size_t replace_short(struct sc_draft *d, const struct sc_slice *s, size_t i, char byte,
                            struct sc_str content)
{
    const char *const text = s->p;
    const struct sc_align *const align = s->align;
    const size_t end = s->n, base = s->base, length = content.n;
    char *p = d->p + d->n, wide[4] = {0};
    struct sc_align *to = d->align + d->n;

    memcpy(wide, content.p, length);
    for (; i < end && (align || (uint8_t)text[i] < 0x80); i++) {
        const bool replaced = text[i] == byte;
        const char one[4] = {text[i], 0, 0, 0};
        memcpy(p, replaced ? wide : one, 4);
        to[0] = to[1] = to[2] = to[3] =
            align ? align[i] : (struct sc_align){(uint32_t)(base + i), (uint32_t)(base + i + 1)};
        const size_t n = replaced ? length : 1;
        p += n;
        to += n;
    }
    d->n = (size_t)(p - d->p);
    return i;
}

int sc_draft_replace(struct sc_draft *d, const struct sc_slice *s, char byte, struct sc_str content,
                     struct sc_error *e)
{
    size_t found = 0;
    for (size_t i = 0; i < s->n; i++)
        found += s->p[i] == byte;
    TRY(sc_draft_reserve(d, s->n + found * content.n + 4, e));
    for (size_t i = 0; i < s->n; i++) {
        if (content.n <= 4)
            i = replace_short(d, s, i, byte, content);
        if (i == s->n)
            break;
        const bool replaced = s->p[i] == byte;
        TRY(sc_draft_put(d, replaced ? content.p : s->p + i, replaced ? content.n : 1,
                         sc_slice_align(s, i), e));
    }
    return 0;
}

int sc_draft_point(struct sc_draft *d, uint32_t c, struct sc_align align, struct sc_error *e)
{
    char bytes[4];
    const size_t n = sc_utf8_encode(c, bytes);
    return sc_draft_put(d, bytes, n, align, e);
}

/* What is added stands for what the character before it stands for, as in the Rust tokenizers. */
int sc_draft_change(struct sc_draft *d, const struct sc_slice *s,
                    const struct sc_uc_change *changes, size_t n, size_t skip, struct sc_error *e)
{
    size_t at = 0;
    uint32_t c;
    while (skip-- && at < s->n)
        at += sc_uc_next(s->p + at, &c);
    for (size_t i = 0; i < n; i++) {
        struct sc_align align = {0, 0};
        if (changes[i].change > 0) {
            if (at > 0)
                align = sc_slice_align(s, at - 1);
        } else if (at < s->n) {
            align = sc_slice_align(s, at);
            for (int32_t k = changes[i].change; k <= 0 && at < s->n; k++)
                at += sc_uc_next(s->p + at, &c);
        }
        TRY(sc_draft_point(d, changes[i].c, align, e));
    }
    return 0;
}

/* How many bytes at p begin a character that is not finished or wrong: at least 1 (Unicode 16, 3.9:
 * maximal subparts). */
static size_t bad_part(const uint8_t *p, size_t n)
{
    uint8_t low = 0x80, high = 0xBF;
    size_t want = p[0] >= 0xF0 ? 3 : p[0] >= 0xE0 ? 2 : 1, i = 1;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 1;
    if (p[0] == 0xE0)
        low = 0xA0;
    if (p[0] == 0xED)
        high = 0x9F;
    if (p[0] == 0xF0)
        low = 0x90;
    if (p[0] == 0xF4)
        high = 0x8F;
    for (; i <= want && i < n && p[i] >= low && p[i] <= high; i++) {
        low = 0x80;
        high = 0xBF;
    }
    return i;
}

int sc_draft_repair(struct sc_draft *d, struct sc_str text, struct sc_error *e)
{
    d->n = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t c;
        size_t n = sc_utf8_decode(text.p + i, text.n - i, &c);
        if (!n) {
            n = bad_part((const uint8_t *)text.p + i, text.n - i);
            c = 0xFFFD;
        }
        TRY(sc_draft_point(d, c, (struct sc_align){(uint32_t)i, (uint32_t)(i + n)}, e));
        i += n;
    }
    return 0;
}
