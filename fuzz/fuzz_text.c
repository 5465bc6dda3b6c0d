/* SPDX-License-Identifier: Apache-2.0 */
/* text: the door to the terminal, UTF-8, and the orders of names. Three texts, split at the first
 * two bytes 0xFF of the input (which no UTF-8 contains): no order may contradict itself. */
#include "fuzz.h"

static void check_utf8(struct sc_str s)
{
    bool valid = true;

    for (size_t i = 0; i < s.n;) {
        uint32_t c;
        char back[4];
        const size_t n = sc_utf8_decode(s.p + i, s.n - i, &c);
        valid = valid && n;
        if (n) {
            FUZZ_CHECK(n <= s.n - i && sc_utf8_encode(c, back) == n);
            FUZZ_CHECK(memcmp(back, s.p + i, n) == 0);
            FUZZ_CHECK(sc_utf8_width(c) <= 2);
        }
        i += n ? n : 1;
    }
    FUZZ_CHECK(sc_utf8_valid(s) == valid);
}

static void check_door(struct sc_str s, size_t columns)
{
    struct sc_buf all = {0}, cut = {0}, again = {0};
    struct sc_quoted q;
    const size_t width = sc_safe_width(s);

    sc_buf_putc(&cut, '<');
    FUZZ_CHECK(sc_put_safe(&all, s, 0) == width);
    const size_t used = sc_put_safe(&cut, s, columns);
    FUZZ_CHECK(!all.failed && !cut.failed && cut.p[0] == '<');
    fuzz_check_safe(sc_str(all.p, all.n), "");
    fuzz_check_safe(sc_str(cut.p, cut.n), "");
    FUZZ_CHECK(columns == 0 ? used == width : used <= columns);
    FUZZ_CHECK(sc_safe_width(sc_str(cut.p + 1, cut.n - 1)) == used);
    if (width <= columns)
        FUZZ_CHECK(all.n == cut.n - 1 && (all.n == 0 || !memcmp(all.p, cut.p + 1, all.n)));
    /* What is safe already passes unchanged. */
    FUZZ_CHECK(sc_put_safe(&again, sc_str(all.p, all.n), 0) == width);
    FUZZ_CHECK(again.n == all.n && (all.n == 0 || !memcmp(again.p, all.p, all.n)));

    FUZZ_CHECK(sc_quote(&q, s) == q.s);
    const size_t n = strlen(q.s);
    FUZZ_CHECK(n < sizeof q.s);
    fuzz_check_safe(sc_str(q.s, n), "");
    FUZZ_CHECK(sc_safe_width(sc_str(q.s, n)) <= 120);
    if (width <= 120 && all.n < sizeof q.s)
        FUZZ_CHECK(n == all.n && (n == 0 || !memcmp(q.s, all.p, n)));
    sc_buf_clear(&all);
    sc_buf_clear(&cut);
    sc_buf_clear(&again);
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The definition, token by token: a number against a number by value, then by zero padding; else
 * byte by byte. A number is a whole run of digits. */
static int plain_natural(struct sc_str a, struct sc_str b)
{
    size_t i = 0, k = 0;

    while (i < a.n && k < b.n) {
        if (!digit(a.p[i]) || !digit(b.p[k])) {
            if (a.p[i] != b.p[k])
                return (unsigned char)a.p[i] < (unsigned char)b.p[k] ? -1 : 1;
            i++;
            k++;
            continue;
        }
        size_t zeros_a = 0, zeros_b = 0, n = 0, m = 0;
        while (i < a.n && a.p[i] == '0')
            i++, zeros_a++;
        while (k < b.n && b.p[k] == '0')
            k++, zeros_b++;
        while (i + n < a.n && digit(a.p[i + n]))
            n++;
        while (k + m < b.n && digit(b.p[k + m]))
            m++;
        if (n != m)
            return n < m ? -1 : 1;
        const int c = n ? memcmp(a.p + i, b.p + k, n) : 0;
        if (c || zeros_a != zeros_b)
            return c ? sign(c) : zeros_a < zeros_b ? -1 : 1;
        i += n;
        k += m;
    }
    return (i < a.n) - (k < b.n);
}

static void check_order(int (*cmp)(struct sc_str, struct sc_str), const struct sc_str s[3])
{
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            FUZZ_CHECK(sign(cmp(s[i], s[k])) == -sign(cmp(s[k], s[i])));
            FUZZ_CHECK((cmp(s[i], s[k]) == 0) == sc_str_eq(s[i], s[k]));
            for (int m = 0; m < 3; m++)
                if (cmp(s[i], s[k]) <= 0 && cmp(s[k], s[m]) <= 0)
                    FUZZ_CHECK(cmp(s[i], s[m]) <= 0);
        }
}

static void check_numbers(struct sc_str s)
{
    uint64_t v;
    char text[32];

    if (!sc_str_u64(s, &v))
        return;
    while (s.n > 1 && s.p[0] == '0')
        s = sc_str(s.p + 1, s.n - 1);
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    FUZZ_CHECK(sc_str_is(s, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sc_str s[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    const char *p = (const char *)data, *end = p + size;

    for (int i = 0; i < 3; i++) {
        const char *cut = i < 2 && p < end ? memchr(p, 0xff, (size_t)(end - p)) : NULL;
        s[i] = sc_str(p, (size_t)((cut ? cut : end) - p));
        p = cut ? cut + 1 : end;
    }
    for (int i = 0; i < 3; i++) {
        check_utf8(s[i]);
        check_door(s[i], fuzz_choice(data, size) % 40);
        check_numbers(s[i]);
        FUZZ_CHECK(sign(sc_natural_cmp(s[0], s[i])) == plain_natural(s[0], s[i]));
        FUZZ_CHECK(sc_str_has_nocase(s[i], s[i]) && sc_str_eq_nocase(s[i], s[i]));
    }
    check_door(sc_str((const char *)data, size), 120);
    check_order(sc_str_cmp, s);
    check_order(sc_natural_cmp, s);
    return 0;
}
