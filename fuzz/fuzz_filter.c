/* SPDX-License-Identifier: Apache-2.0 */
/* filter: words that choose tensors, globs and edit distances, against slow and plain versions of
 * the same rules. The input is lines: words up to an empty line, then names.
 *
 * Expressions after "re:" are compiled by libc and come from the user, not from a file; they are
 * kept short and without counts here, because libc takes memory by the count. */
#include "fuzz.h"

#include "model/model.h"

enum { WORDS_MAX = 16, NAMES_MAX = 32, LINE_MAX = 200 };

static char fold(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* One class: its length in the pattern, 0 when the bracket is never closed. */
static size_t plain_class(struct sc_str p, char c, bool *found)
{
    size_t i = 1, end;
    const bool negated = i < p.n && (p.p[i] == '!' || p.p[i] == '^');

    i += negated;
    for (end = i + 1; end < p.n && p.p[end] != ']';)
        end++;
    if (end >= p.n)
        return 0;
    *found = false;
    while (i < end) {
        const unsigned char from = (unsigned char)p.p[i];
        unsigned char to = from;
        if (i + 2 < end && p.p[i + 1] == '-') {
            to = (unsigned char)p.p[i + 2];
            i += 2;
        }
        i++;
        for (unsigned x = from; x <= to; x++)
            if (fold((char)x) == fold(c))
                *found = true;
    }
    *found = *found != negated;
    return end + 1;
}

/* yes[k]: does p match the last k bytes of s, from the end of the pattern backwards? */
static bool plain_glob(struct sc_str p, struct sc_str s)
{
    bool *now = fuzz_alloc(s.n + 1), *next = fuzz_alloc(s.n + 1);
    bool result;
    size_t at = 0;

    /* Forwards: now[i] tells whether p[0..at) can match s[0..i). */
    memset(now, 0, s.n + 1);
    now[0] = true;
    while (at < p.n) {
        size_t step = 1;
        memset(next, 0, s.n + 1);
        if (p.p[at] == '*') {
            bool any = false;
            for (size_t i = 0; i <= s.n; i++)
                next[i] = any = any || now[i];
        } else {
            for (size_t i = 0; i < s.n; i++) {
                bool hit = p.p[at] == '?' || fold(p.p[at]) == fold(s.p[i]);
                if (p.p[at] == '[') {
                    const size_t n = plain_class(sc_str(p.p + at, p.n - at), s.p[i], &hit);
                    step = n ? n : 1;
                }
                next[i + 1] = now[i] && hit;
            }
            if (p.p[at] == '[' && s.n == 0) {
                bool hit;
                const size_t n = plain_class(sc_str(p.p + at, p.n - at), 'x', &hit);
                step = n ? n : 1;
            }
        }
        at += step;
        bool *swap = now;
        now = next;
        next = swap;
    }
    result = now[s.n];
    free(now);
    free(next);
    return result;
}

static unsigned plain_distance(struct sc_str a, struct sc_str b)
{
    static unsigned d[LINE_MAX + 2][LINE_MAX + 2];

    for (size_t i = 0; i <= a.n; i++)
        for (size_t k = 0; k <= b.n; k++) {
            if (!i || !k) {
                d[i][k] = (unsigned)(i + k);
                continue;
            }
            const unsigned replace = d[i - 1][k - 1] + (a.p[i - 1] != b.p[k - 1]);
            d[i][k] = SC_MIN(SC_MIN(d[i - 1][k], d[i][k - 1]) + 1, replace);
            if (i > 1 && k > 1 && a.p[i - 1] == b.p[k - 2] && a.p[i - 2] == b.p[k - 1])
                d[i][k] = SC_MIN(d[i][k], d[i - 2][k - 2] + 1);
        }
    return d[a.n][b.n];
}

static void check_pair(const char *word, struct sc_str name)
{
    const struct sc_str w = sc_strz(word);
    FUZZ_CHECK(sc_glob(w, name) == plain_glob(w, name));
    const unsigned far = plain_distance(w, name), limit = (unsigned)(w.n % 9);
    FUZZ_CHECK(sc_edit_distance(w, name, limit) == SC_MIN(far, limit + 1));
    FUZZ_CHECK(sc_edit_distance(name, w, limit) == SC_MIN(far, limit + 1));
}

static bool too_dear(const char *word)
{
    return strncmp(word, "re:", 3) == 0 && (strlen(word) > 24 || strpbrk(word, "{}*+"));
}

/* A union: what all words together let through is what any of them lets through. */
static void check_filter(const char *const *words, size_t n_words, const struct sc_str *names,
                         size_t n_names)
{
    struct sc_filter *all = NULL, *one = NULL;
    struct sc_error e = {0};
    const int code = sc_filter_new(words, n_words, &all, &e);

    if (code < 0) {
        fuzz_check_error(code, &e);
        FUZZ_CHECK(!all && code == SCRUPLE_EUSAGE);
        return;
    }
    FUZZ_CHECK(!all == !n_words);
    for (size_t i = 0; i < n_names; i++) {
        bool any = n_words == 0;
        for (size_t k = 0; k < n_words; k++) {
            FUZZ_CHECK(sc_filter_new(&words[k], 1, &one, &e) == 0);
            any = sc_filter_match(one, names[i]) || any;
            sc_filter_free(one);
        }
        FUZZ_CHECK(sc_filter_match(all, names[i]) == any);
    }
    sc_filter_free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_alloc(size + 1);
    const char *words[WORDS_MAX];
    struct sc_str names[NAMES_MAX];
    size_t n_words = 0, n_names = 0;
    bool in_words = true;

    memcpy(text, data, size);
    text[size] = '\0';
    for (char *line = text; line < text + size;) {
        char *end = memchr(line, '\n', (size_t)(text + size - line));
        if (!end)
            end = text + size;
        *end = '\0'; /* names are NUL-terminated, as in a catalog */
        const size_t n = (size_t)(end - line);
        if (n == 0 && in_words)
            in_words = false;
        else if (in_words && n_words < WORDS_MAX && n <= LINE_MAX && !too_dear(line))
            words[n_words++] = line;
        else if (!in_words && n_names < NAMES_MAX && n <= LINE_MAX)
            names[n_names++] = sc_str(line, n);
        line = end + 1;
    }
    for (size_t i = 0; i < n_words; i++)
        for (size_t k = 0; k < n_names; k++)
            check_pair(words[i], names[k]);
    check_filter(words, n_words, names, n_names);
    free(text);
    return 0;
}
