/* SPDX-License-Identifier: Apache-2.0 */
/* decode: from tokens to text. Each decoder makes a list of strings of a list of strings; what is
 * left is joined. */
#include "text/parts.h"

#include <stdlib.h>
#include <string.h>

struct list {
    struct sc_buf text;
    size_t *end; /* (n) of each string in the text */
    size_t n, cap;
};

static void clear(struct list *l)
{
    sc_buf_clear(&l->text);
    free(l->end);
    *l = (struct list){0};
}

static struct sc_str item(const struct list *l, size_t i)
{
    const size_t from = i ? l->end[i - 1] : 0;
    return sc_str(l->text.p ? l->text.p + from : "", l->end[i] - from);
}

/* The string that was being written is complete. */
static int close_item(struct list *l, struct sc_error *e)
{
    if (l->text.failed)
        return sc_fail_memory(e);
    if (l->n == l->cap)
        TRY(sc_grow(&l->end, &l->cap, l->n + 1, sizeof *l->end, e));
    l->end[l->n++] = l->text.n;
    return 0;
}

static void put(struct list *l, struct sc_str s)
{
    sc_buf_put(&l->text, s.p, s.n);
}

static void put_point(struct list *l, uint32_t c)
{
    char bytes[4];
    sc_buf_put(&l->text, bytes, sc_utf8_encode(c, bytes));
}

/* Bytes as text, with U+FFFD for what is none. */
static int put_lossy(struct list *l, struct sc_str s, struct sc_error *e)
{
    struct sc_draft d = {0};
    const int code = sc_draft_repair(&d, s, e);
    if (code == 0)
        sc_buf_put(&l->text, d.p, d.n);
    sc_draft_clear(&d);
    return code;
}

/* All tokens as the bytes that their characters stand for; a token that has another character is
 * itself. */
static int bytes(const struct list *in, struct list *out, struct sc_error *e)
{
    struct sc_buf all = {0};
    for (size_t i = 0; i < in->n; i++) {
        const struct sc_str s = item(in, i);
        const size_t before = all.n;
        for (size_t k = 0; k < s.n;) {
            uint32_t c;
            k += sc_uc_next(s.p + k, &c);
            const int byte = sc_point_byte(c);
            if (byte < 0) {
                all.n = before;
                sc_buf_put(&all, s.p, s.n);
                break;
            }
            sc_buf_putc(&all, (char)byte);
        }
    }
    int code =
        all.failed ? sc_fail_memory(e) : put_lossy(out, sc_str(all.p ? all.p : "", all.n), e);
    sc_buf_clear(&all);
    return code < 0 ? code : close_item(out, e);
}

static void put_replaced(struct list *out, struct sc_str s, struct sc_str from, const char *to)
{
    for (size_t i = 0; i < s.n;)
        if (from.n && s.n - i >= from.n && memcmp(s.p + i, from.p, from.n) == 0) {
            sc_buf_puts(&out->text, to);
            i += from.n;
        } else {
            sc_buf_putc(&out->text, s.p[i++]);
        }
}

static int replace(const struct sc_decode_step *step, struct sc_str s, struct list *out,
                   struct sc_error *e)
{
    uint64_t fuel = SC_REGEX_FUEL(s.n);
    size_t at = 0, done = 0, last = SIZE_MAX;
    struct sc_match m;
    while (at <= s.n && sc_regex_next(&step->regex, s, at, &fuel, &m)) {
        if (m.from == m.to && m.to == last) {
            at = m.to + 1;
            continue;
        }
        at = last = m.to;
        put(out, sc_str(s.p + done, m.from - done));
        put(out, step->content);
        done = m.to;
    }
    if (fuel == 0)
        return sc_fail(e, SCRUPLE_ELIMIT,
                       "a regular expression of the decoder takes too long on a token");
    put(out, sc_str(s.p + done, s.n - done));
    return 0;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* "<0x41>" */
static int byte_of(struct sc_str s)
{
    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>')
        return -1;
    const int high = hex(s.p[3]), low = hex(s.p[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Bytes that follow each other: text, or U+FFFD for each of them. */
static int flush_bytes(struct list *out, struct sc_buf *held, struct sc_error *e)
{
    if (!held->n)
        return held->failed ? sc_fail_memory(e) : 0;
    if (sc_utf8_valid(sc_str(held->p, held->n))) {
        put(out, sc_str(held->p, held->n));
        held->n = 0;
        return close_item(out, e);
    }
    for (size_t i = 0; i < held->n; i++) {
        put_point(out, 0xFFFD);
        TRY(close_item(out, e));
    }
    held->n = 0;
    return 0;
}

static int fallback(const struct list *in, struct list *out, struct sc_error *e)
{
    struct sc_buf held = {0};
    int code = 0;
    for (size_t i = 0; code == 0 && i < in->n; i++) {
        const int byte = byte_of(item(in, i));
        if (byte >= 0) {
            sc_buf_putc(&held, (char)byte);
            continue;
        }
        code = flush_bytes(out, &held, e);
        if (code == 0) {
            put(out, item(in, i));
            code = close_item(out, e);
        }
    }
    if (code == 0)
        code = flush_bytes(out, &held, e);
    sc_buf_clear(&held);
    return code;
}

/* Up to so many of a character at either end. */
static void strip(const struct sc_decode_step *step, struct sc_str s, struct list *out)
{
    const struct sc_str c = step->content;
    for (uint64_t i = 0; i < step->left && c.n && s.n >= c.n && memcmp(s.p, c.p, c.n) == 0; i++)
        s = sc_str(s.p + c.n, s.n - c.n);
    for (uint64_t i = 0;
         i < step->right && c.n && s.n >= c.n && memcmp(s.p + s.n - c.n, c.p, c.n) == 0; i++)
        s.n -= c.n;
    put(out, s);
}

static void metaspace(const struct sc_decode_step *step, struct sc_str s, size_t i,
                      struct list *out)
{
    const struct sc_str from = step->content;
    put_replaced(out, s, from, i == 0 && step->prepended ? "" : " ");
}

/* What is English about BERT's decoder. */
static void put_clean(struct list *out, struct sc_str s)
{
    static const char *const pairs[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                           {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                           {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                           {" 've", "'ve"}, {" 're", "'re"}};
    struct list a = {0}, b = {0};
    put(&a, s);
    for (size_t i = 0; i < SC_COUNT(pairs); i++) {
        b.text.n = 0;
        put_replaced(&b, sc_str(a.text.p ? a.text.p : "", a.text.n), sc_strz(pairs[i][0]),
                     pairs[i][1]);
        b.text.failed |= a.text.failed;
        const struct list swap = a;
        a = b;
        b = swap;
    }
    put(out, sc_str(a.text.p ? a.text.p : "", a.text.n));
    out->text.failed |= a.text.failed;
    clear(&a);
    clear(&b);
}

static int wordpiece(const struct sc_decode_step *step, struct sc_str s, size_t i, struct list *out)
{
    struct list one = {0};
    const struct sc_str prefix = step->content;
    if (i && s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0)
        s = sc_str(s.p + prefix.n, s.n - prefix.n);
    else if (i)
        put(&one, SC_STR(" "));
    put(&one, s);
    if (step->cleanup)
        put_clean(out, sc_str(one.text.p ? one.text.p : "", one.text.n));
    else
        put(out, sc_str(one.text.p ? one.text.p : "", one.text.n));
    out->text.failed |= one.text.failed;
    clear(&one);
    return 0;
}

static int run(const struct sc_decode_step *step, const struct list *in, struct list *out,
               struct sc_error *e)
{
    if (step->op == SC_DECODE_BYTES)
        return bytes(in, out, e);
    if (step->op == SC_DECODE_FALLBACK)
        return fallback(in, out, e);
    for (size_t i = 0; i < in->n; i++) {
        const struct sc_str s = item(in, i);
        switch (step->op) {
        case SC_DECODE_REPLACE:
            TRY(replace(step, s, out, e));
            break;
        case SC_DECODE_STRIP:
            strip(step, s, out);
            break;
        case SC_DECODE_METASPACE:
            metaspace(step, s, i, out);
            break;
        case SC_DECODE_WORDPIECE:
            TRY(wordpiece(step, s, i, out));
            break;
        case SC_DECODE_SUFFIX:
            put_replaced(out, s, step->content, i + 1 == in->n ? "" : " ");
            break;
        case SC_DECODE_FUSE:
        case SC_DECODE_BYTES:
        case SC_DECODE_FALLBACK:
            put(out, s);
            break;
        }
        if (step->op != SC_DECODE_FUSE)
            TRY(close_item(out, e));
    }
    return step->op == SC_DECODE_FUSE ? close_item(out, e) : 0;
}

static int gather(const struct sc_tokenizer *t, const uint32_t *ids, size_t n, bool special,
                  struct list *out, struct sc_error *e)
{
    for (size_t i = 0; i < n; i++) {
        const struct sc_str s = sc_tokenizer_piece(t, ids[i]);
        if (!s.p)
            return sc_fail(e, SCRUPLE_EUSAGE, "no token has the id %u", ids[i]);
        if (!special && sc_tokenizer_special(t, ids[i]))
            continue;
        put(out, s);
        TRY(close_item(out, e));
    }
    return 0;
}

int sc_decode(const struct sc_tokenizer *t, const uint32_t *ids, size_t n, bool special,
              struct sc_buf *out, struct sc_error *e)
{
    struct list lists[2] = {{{0}, NULL, 0, 0}, {{0}, NULL, 0, 0}};
    size_t now = 0;
    if (t->no_decoder)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED, "this tokenizer's decoder is not supported: %s",
                       t->no_decoder);
    int code = gather(t, ids, n, special, &lists[0], e);
    for (size_t i = 0; code == 0 && i < t->n_decode; i++) {
        struct list *to = &lists[1 - now];
        to->n = to->text.n = 0;
        code = run(&t->decode[i], &lists[now], to, e);
        now = 1 - now;
    }
    for (size_t i = 0; code == 0 && i < lists[now].n; i++) {
        if (i && !t->has_decoder)
            sc_buf_putc(out, ' ');
        const struct sc_str s = item(&lists[now], i);
        sc_buf_put(out, s.p, s.n);
    }
    clear(&lists[0]);
    clear(&lists[1]);
    return code == 0 && out->failed ? sc_fail_memory(e) : code;
}
