/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdlib.h>

#include "base/base.h"

static bool skips(const char *text, size_t n)
{
    struct sc_arena arena = {0};
    struct sc_json j;
    /* A heap block of the exact size, so that a sanitizer sees a read beyond it. */
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    sc_json_start(&j, copy, n, &arena);
    const bool ok = sc_json_skip(&j) && sc_json_end(&j);
    CHECK(ok == !j.problem);
    sc_arena_clear(&arena);
    free(copy);
    return ok;
}
#define SKIPS(literal) skips(literal, sizeof(literal) - 1)

TEST(values_of_rfc_8259_are_accepted)
{
    CHECK(SKIPS("0"));
    CHECK(SKIPS("-0.5e+10"));
    CHECK(SKIPS(" [ ] "));
    CHECK(SKIPS("{}"));
    CHECK(SKIPS("{\"a\":[1,2,{\"b\":null}],\"c\":true,\"d\":\"x\"}"));
    CHECK(SKIPS("\"\\u00e9 \\ud83d\\ude00 \\n \xc3\xa9\""));
    CHECK(SKIPS("18446744073709551616"));
    CHECK(SKIPS("\t\r\n 1E5 "));
}

TEST(what_is_not_json_is_refused)
{
    static const char *const bad[] = {
        "",
        "[",
        "]",
        "{",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{,}",
        "[1 2]",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "NaN",
        "Infinity",
        "tru",
        "nul",
        "'a'",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\x01\"",
        "\"\x1f\"",
        "\"\x80\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "{\"a\":1,}",
        "[1]]",
        "1 1",
        "\xef\xbb\xbf{}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "[1}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (skips(bad[i], strlen(bad[i]))) {
            fprintf(stderr, "accepted: %s\n", bad[i]);
            CHECK(false);
        }
    CHECK(!skips("\"a\0b\"", 5)); /* a raw NUL is a control character */
}

TEST(nesting_has_a_limit_and_no_recursion)
{
    char deep[200000];
    for (size_t n = 60; n <= 70; n++) {
        memset(deep, '[', n);
        memset(deep + n, ']', n);
        CHECK(skips(deep, 2 * n) == (n <= 65)); /* 64 open levels around one value */
    }
    memset(deep, '[', sizeof deep);
    CHECK(!skips(deep, sizeof deep));
}

TEST(strings_are_borrowed_or_unescaped)
{
    static const char text[] =
        "\"plain\" \"\\u0061\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"";
    struct sc_arena arena = {0};
    struct sc_json j;
    struct sc_str s;
    sc_json_start(&j, text, sizeof text - 1, &arena);
    REQUIRE(sc_json_string(&j, &s));
    CHECK(s.p == text + 1 && s.n == 5);
    REQUIRE(sc_json_string(&j, &s));
    CHECK(sc_str_is(s, "a\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80"));
    CHECK(sc_json_end(&j));
    sc_arena_clear(&arena);
}

/* The fast scan looks at eight bytes at once: every special byte at every distance must be seen. */
TEST(special_bytes_are_found_at_every_position)
{
    for (size_t len = 0; len < 40; len++)
        for (size_t at = 0; at <= len; at++)
            for (int c = 0; c < 256; c++) {
                char text[64] = "\"";
                struct sc_arena arena = {0};
                struct sc_json j;
                struct sc_str s;
                memset(text + 1, 'x', len + 1);
                text[1 + at] = (char)c;
                text[1 + len + 1] = '"';
                sc_json_start(&j, text, len + 3, &arena);
                const bool ok = sc_json_string(&j, &s);
                const bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
                if (plain)
                    CHECK(ok && s.n == len + 1);
                else if (c == '"')
                    CHECK(ok && s.n == at);
                else
                    CHECK(!ok || c == '\\'); /* \x is wrong, but \" or \\ may follow */
                sc_arena_clear(&arena);
            }
}

TEST(numbers_keep_64_bits)
{
    struct sc_json j;
    uint64_t v;
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } rows[] = {
        {"0", true, 0},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"18446744073709551620", false, 0},
        {"99999999999999999999999", false, 0},
        {"9007199254740993", true, UINT64_C(9007199254740993)},
        {"-1", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"00", false, 0},
        {"", false, 0},
        {"\"1\"", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sc_json_start(&j, rows[i].text, strlen(rows[i].text), NULL);
        CHECK(sc_json_u64(&j, &v) == rows[i].ok);
        if (rows[i].ok)
            CHECK_U64(v, rows[i].value);
    }
}
