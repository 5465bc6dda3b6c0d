/* SPDX-License-Identifier: Apache-2.0 */
/* The regular expressions of tokenizers: what Oniguruma (Ruby syntax) finds. */
#include "test.h"

#include "text/regex.h"
#include "text/unicode.h"

/* The matches of a text, "[a][b]". */
static const char *matches(const char *pattern, const char *text)
{
    static char out[500];
    struct sc_regex r;
    struct sc_error e = {0};
    struct sc_match m;
    const struct sc_str s = sc_strz(text);
    uint64_t fuel = SC_REGEX_FUEL(s.n);
    size_t n = 0;
    if (sc_regex_compile(sc_strz(pattern), &r, &e) < 0) {
        snprintf(out, sizeof out, "refused");
        return e.text[0] ? out : "refused without a word";
    }
    out[0] = 0;
    for (size_t at = 0; at <= s.n && sc_regex_next(&r, s, at, &fuel, &m);
         at = m.to > m.from ? m.to : m.to + 1)
        n += (size_t)snprintf(out + n, sizeof out - n, "[%.*s]", (int)(m.to - m.from),
                              text + m.from);
    sc_regex_clear(&r);
    return out;
}

TEST(the_first_way_that_matches_wins)
{
    CHECK_STR(matches("a|ab", "ab ab"), "[a][a]");
    CHECK_STR(matches("ab|a", "ab a"), "[ab][a]");
    CHECK_STR(matches("(?:a|ab)(?:c|bcd)", "abcd"), "[abcd]");
    CHECK_STR(matches("x*?y", "xxy"), "[xxy]");
    CHECK_STR(matches("x{2,4}?", "xxxxx"), "[xx][xx]");
    CHECK_STR(matches("x{2,4}", "xxxxxxx"), "[xxxx][xxx]");
    CHECK_STR(matches("x{,2}y", "xxxy"), "[xxy]");
    CHECK_STR(matches("(?:ab){2,3}", "abababab"), "[ababab]");
    CHECK_STR(matches("x{a}", "x{a}"), "[x{a}]");
    CHECK_STR(matches("(a*)*b", "aaab"), "[aaab]");
}

TEST(possessive_loops_give_nothing_back)
{
    CHECK_STR(matches("a++a", "aaa"), "");
    CHECK_STR(matches("a?+ab", "ab aab"), "[aab]");
    CHECK_STR(matches("a*+b", "aab"), "[aab]");
    CHECK_STR(matches("\\p{N}{1,2}+x", "12345x"),
              "[12345x]"); /* Ruby: of an interval it is one more loop */
    CHECK_STR(matches("(?:ab)++", "abab"), "refused");
}

TEST(looks_are_one_character_long)
{
    CHECK_STR(matches("\\s+(?!\\S)|\\s+", "a   b "), "[  ][ ][ ]");
    CHECK_STR(matches("(?<=a)b", "ab bb"), "[b]");
    CHECK_STR(matches("(?<![ab])b", "ab b"), "[b]");
    CHECK_STR(matches("x(?=y|[z])", "xy xz xa"), "[x][x]");
    CHECK_STR(matches("x(?=yz)", "xyz"), "refused");
    CHECK_STR(matches("\\bab\\b", "ab abc ab"), "[ab][ab]");
    CHECK_STR(matches("a\\Bb", "ab"), "[ab]");
    CHECK_STR(matches("^a$", "a\nb\na"), "[a][a]");
    CHECK_STR(matches("\\Aa|a\\z", "aba"), "[a][a]");
}

TEST(classes_nest_negate_and_intersect)
{
    CHECK_STR(matches("[a-c&&[^b]]+", "abcab"), "[a][ca]");
    CHECK_STR(matches("[^a-c]+", "abxyc"), "[xy]");
    CHECK_STR(matches("[]a]+", "]a"), "[]a]");
    CHECK_STR(matches("[a\\-z]+", "a-z"), "[a-z]");
    CHECK_STR(matches("[[:punct:]]+", "a+!b"), "[+!]");
    CHECK_STR(matches("[\\p{L}&&\\p{Lu}]", "aB"), "[B]");
    CHECK_STR(matches("\\p{^L}\\P{L}", "1a12"), "[12]");
    CHECK_STR(matches("\\p{Han}+", "a\xe6\xbc\xa2\xe5\xad\x97"), "[\xe6\xbc\xa2\xe5\xad\x97]");
    CHECK_STR(matches("[\\x{e4}\\u00f6]", "\xc3\xa4\xc3\xb6"), "[\xc3\xa4][\xc3\xb6]");
    CHECK_STR(matches("[z-a]", "a"), "refused");
    CHECK_STR(matches("[a", "a"), "refused");
}

TEST(ignoring_case_folds_simply)
{
    CHECK_STR(matches("(?i:'s)", "'S '\xc5\xbf"), "['S]['\xc5\xbf]");
    CHECK_STR(matches("(?i)k", "K\xe2\x84\xaa"), "[K][\xe2\x84\xaa]");
    CHECK_STR(matches("(?i)[^a]", "Ab"), "[b]");
    CHECK_STR(matches("(?i:a)b", "AB Ab"), "[Ab]");
    CHECK_STR(matches("a(?i)b|c", "aB C"), "[aB][C]");
}

TEST(what_is_not_supported_is_refused)
{
    static const char *const bad[] = {
        "(",       ")",      "a)",      "*",        "(?>a)",        "(a)\\1", "\\R",
        "\\X",     "\\Z",    "(?<n>a)", "[[:no:]]", "\\p{No Such}", "\\",     "a{2,1}",
        "a{5000}", "\\k<n>", "(?=)",    "(?=a*)",   "\\p",          "\\xZ",   "[a-\\d]"};
    for (size_t i = 0; i < SC_COUNT(bad); i++)
        CHECK_STR(matches(bad[i], "a"), "refused");
    CHECK_STR(matches("(((a{30}){30}){30})", "a"), "refused");
    CHECK_STR(matches("(a|b)*a(a|b){16}", "a"), "refused"); /* 2^17 states */
}

/* Each of these takes a backtracking matcher time without end. */
TEST(hostile_patterns_take_little_time)
{
    static char text[20001];
    struct sc_regex r;
    struct sc_error e;
    struct sc_match m;
    static const char *const patterns[] = {"(a*)*b", "(a+)+$", "(a|aa)+b", "(a|a?)+b",
                                           "(.*a){10}b"};
    memset(text, 'a', sizeof text - 1);
    for (size_t i = 0; i < SC_COUNT(patterns); i++) {
        uint64_t fuel = SC_REGEX_FUEL(sizeof text - 1);
        if (sc_regex_compile(sc_strz(patterns[i]), &r, &e) < 0)
            continue;
        while (sc_regex_next(&r, sc_strz(text), 0, &fuel, &m) && m.to < sizeof text - 1)
            ;
        sc_regex_clear(&r);
    }
}

struct fold_count {
    size_t n;
};
static void count_fold(void *ctx, uint32_t other)
{
    (void)other;
    ((struct fold_count *)ctx)->n++;
}

/* Numbers of code points as Oniguruma with Unicode 16 has them. */
TEST(classes_have_the_members_of_unicode_16)
{
    static const struct {
        const char *name;
        bool posix;
        uint32_t n;
    } want[] = {{"L", false, 141028},  {"N", false, 1911},
                {"P", false, 855},     {"S", false, 8514},
                {"M", false, 2501},    {"Lu", false, 1858},
                {"Lo", false, 136477}, {"Nd", false, 760},
                {"Han", false, 99030}, {"Alphabetic", false, 142759},
                {"punct", true, 9369}, {"space", true, 25}};
    struct sc_error e;
    for (size_t i = 0; i < SC_COUNT(want); i++) {
        struct regex_set s = {0};
        uint32_t n = 0;
        CHECK(sc_set_property(&s, sc_strz(want[i].name), want[i].posix, &e) == 1);
        for (size_t k = 0; k < s.n; k++)
            n += s.p[k].to - s.p[k].from + 1;
        CHECK_U64(n, want[i].n);
        sc_set_clear(&s);
    }
    for (uint32_t c = 0, next; c < 0x110000; c = next) {
        uint32_t props;
        next = sc_uc_props_run(c, &props);
        CHECK(next > c);
        for (uint32_t k = c; k < next; k++)
            if (sc_uc_props(k) != props)
                CHECK_U64(k, next);
    }
    struct fold_count f = {0};
    sc_uc_fold_each('k', count_fold, &f);
    CHECK_U64(f.n, 2);
}
