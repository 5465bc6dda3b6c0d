/* SPDX-License-Identifier: Apache-2.0 */
/* filter: which tensors the user means.
 *
 *   WORD           no dot, no wildcard: anywhere in the name
 *   a.b            a module path from the root, with everything below it
 *   a.*.c  *norm*  a glob over the whole name or over a leading part that ends at a dot; `*` may
 *                  cross dots
 *   layers.3-7     numbers in a range, segment by segment; starts at any depth, because what is
 *                  above the layers differs between models
 *   re:EXPR        POSIX extended regular expression, found anywhere; without back-references and
 *                  within limits, because libc's matcher can be made to hang
 *
 * ASCII case is ignored. Several filters: a tensor that any of them matches. */
#include "model/model.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

enum rule { RULE_SUBSTRING, RULE_PATH, RULE_GLOB, RULE_SEGMENTS, RULE_REGEX };

struct condition {
    enum rule rule;
    struct sc_str text;
    regex_t regex;
};

struct sc_filter {
    struct sc_arena arena;
    size_t n;
    struct condition conditions[];
};

/* "3-7" */
static bool number_range(struct sc_str s, uint64_t *low, uint64_t *high)
{
    const char *dash = s.n ? memchr(s.p, '-', s.n) : NULL;
    return dash && sc_str_u64(sc_str(s.p, (size_t)(dash - s.p)), low) &&
           sc_str_u64(sc_str(dash + 1, s.n - (size_t)(dash + 1 - s.p)), high) && *low <= *high;
}

/* Takes the part before the next dot off s. */
static struct sc_str take_segment(struct sc_str *s)
{
    const char *dot = s->n ? memchr(s->p, '.', s->n) : NULL;
    const size_t n = dot ? (size_t)(dot - s->p) : s->n;
    const struct sc_str part = sc_str(s->p, n);
    const size_t skip = dot ? n + 1 : n;
    *s = sc_str(s->p + skip, s->n - skip);
    return part;
}

static bool segment_matches(struct sc_str pattern, struct sc_str segment)
{
    uint64_t low, high, value;
    if (number_range(pattern, &low, &high))
        return (sc_str_u64(segment, &value) && value >= low && value <= high) ||
               sc_str_eq(pattern, segment);
    return sc_glob(pattern, segment);
}

static bool match_segments_here(struct sc_str pattern, struct sc_str name)
{
    while (pattern.n) {
        if (!name.n || !segment_matches(take_segment(&pattern), take_segment(&name)))
            return false;
    }
    return true;
}

static bool match_segments(struct sc_str pattern, struct sc_str name)
{
    while (name.n) {
        if (match_segments_here(pattern, name))
            return true;
        take_segment(&name);
    }
    return false;
}

static bool match_glob(struct sc_str pattern, struct sc_str name)
{
    if (sc_glob(pattern, name))
        return true;
    for (size_t i = name.n; i > 0; i--)
        if (name.p[i - 1] == '.' && sc_glob(pattern, sc_str(name.p, i - 1)))
            return true;
    return false;
}

static bool match_path(struct sc_str path, struct sc_str name)
{
    return name.n >= path.n && sc_str_eq_nocase(path, sc_str(name.p, path.n)) &&
           (name.n == path.n || name.p[path.n] == '.');
}

/* The first KiB of a name is searched: libc's time grows with the square of the length. */
static bool match_regex(const struct condition *c, struct sc_str name)
{
    enum { SEARCHED = 1024 };
    char start[SEARCHED + 1];
    if (name.n <= SEARCHED)
        return regexec(&c->regex, name.p, 0, NULL, 0) == 0;
    memcpy(start, name.p, SEARCHED);
    start[SEARCHED] = '\0';
    return regexec(&c->regex, start, 0, NULL, 0) == 0;
}

static bool matches(const struct condition *c, struct sc_str name)
{
    switch (c->rule) {
    case RULE_SUBSTRING:
        return sc_str_has_nocase(name, c->text);
    case RULE_PATH:
        return match_path(c->text, name);
    case RULE_GLOB:
        return match_glob(c->text, name);
    case RULE_SEGMENTS:
        return match_segments(c->text, name);
    case RULE_REGEX:
        return match_regex(c, name);
    }
    return false;
}

bool sc_filter_match(const struct sc_filter *f, struct sc_str name)
{
    if (!f)
        return true;
    for (size_t i = 0; i < f->n; i++)
        if (matches(&f->conditions[i], name))
            return true;
    return false;
}

/* Empty parts of a dotted query are dropped: "model." is "model", "a..b" is "a.b". */
static struct sc_str tidy(char *text)
{
    size_t n = 0;
    for (size_t i = 0; text[i]; i++)
        if (text[i] != '.' || (n > 0 && text[n - 1] != '.'))
            text[n++] = text[i];
    while (n > 0 && text[n - 1] == '.')
        n--;
    text[n] = '\0';
    return sc_str(text, n);
}

static bool has_range(struct sc_str s)
{
    uint64_t low, high;
    while (s.n)
        if (number_range(take_segment(&s), &low, &high))
            return true;
    return false;
}

/* What libc's matcher can be made to hang or overflow its stack with. NULL: sound. */
static const char *too_heavy(const char *p)
{
    enum { LONGEST = 1024, DEEPEST = 32, MOST_COPIES = 1000 };
    uint64_t copies = 1; /* product of all {m,n}: what the expression expands to, at most */
    unsigned depth = 0;
    if (strlen(p) > LONGEST)
        return "it is longer than 1024 bytes";
    for (; *p; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            if (*p >= '1' && *p <= '9')
                return "back-references are not allowed";
        } else if (*p == '(' && ++depth > DEEPEST) {
            return "parentheses are nested more than 32 deep";
        } else if (*p == ')' && depth) {
            depth--;
        } else if (*p == '{') {
            uint64_t most = 1, number = 0;
            for (p++; *p && *p != '}'; p++) {
                number = *p >= '0' && *p <= '9' ? number * 10 + (uint64_t)(*p - '0') : 0;
                most = SC_MAX(most, number);
                if (most > MOST_COPIES)
                    break;
            }
            copies *= most;
            if (copies > MOST_COPIES)
                return "its {...} repeat more than 1000 times in all";
            if (!*p)
                break;
        }
    }
    return NULL;
}

static int compile_regex(struct condition *c, const char *word, struct sc_error *e)
{
    struct sc_quoted q;
    const char *expression = word + 3, *heavy = too_heavy(expression);
    char why[120];
    if (heavy)
        return sc_fail(e, SCRUPLE_EUSAGE, "\"%s\" is refused: %s", sc_quote(&q, sc_strz(word)),
                       heavy);
    const int bad = regcomp(&c->regex, expression, REG_EXTENDED | REG_ICASE | REG_NOSUB);
    if (bad) {
        regerror(bad, &c->regex, why, sizeof why);
        return sc_fail(e, SCRUPLE_EUSAGE, "\"%s\" is not a regular expression: %s",
                       sc_quote(&q, sc_strz(word)), why);
    }
    c->rule = RULE_REGEX;
    return 0;
}

static int compile(struct sc_filter *f, struct condition *c, const char *word, struct sc_error *e)
{
    if (strncmp(word, "re:", 3) == 0)
        return compile_regex(c, word, e);
    char *copy = sc_arena_copy(&f->arena, word, strlen(word));
    if (!copy)
        return sc_fail_memory(e);
    const bool dotted = strchr(word, '.') != NULL;
    c->text = dotted ? tidy(copy) : sc_strz(copy);
    if (has_range(c->text) && dotted)
        c->rule = RULE_SEGMENTS;
    else if (strpbrk(word, "*?["))
        c->rule = RULE_GLOB;
    else
        c->rule = dotted && c->text.n ? RULE_PATH : RULE_SUBSTRING;
    return 0;
}

int sc_filter_new(const char *const *words, size_t n, struct sc_filter **out, struct sc_error *e)
{
    *out = NULL;
    if (n == 0)
        return 0;
    struct sc_filter *f = sc_calloc(1, sizeof *f + n * sizeof f->conditions[0]);
    if (!f)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++) {
        const int status = compile(f, &f->conditions[i], words[i], e);
        if (status < 0) {
            sc_filter_free(f);
            return status;
        }
        f->n++;
    }
    *out = f;
    return 0;
}

void sc_filter_free(struct sc_filter *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++)
        if (f->conditions[i].rule == RULE_REGEX)
            regfree(&f->conditions[i].regex);
    sc_arena_clear(&f->arena);
    free(f);
}
