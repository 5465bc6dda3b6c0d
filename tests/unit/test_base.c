/* SPDX-License-Identifier: Apache-2.0 */
/* base without the JSON scanner: errors, arithmetic, memory, strings, UTF-8, hashing, cursor. */
#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/base.h"

/* ------------------------------------------------------------------------------- errors --- */

TEST(fail_fills_code_and_text)
{
    struct sc_error e = {.has_offset = true, .offset = 9};
    CHECK_ERR(SCRUPLE_EFORMAT, sc_fail(&e, SCRUPLE_EFORMAT, "row %d of %s", 7, "x"));
    CHECK(e.code == SCRUPLE_EFORMAT);
    CHECK_STR(e.text, "row 7 of x");
    CHECK(!e.has_offset);
}

TEST(fail_at_keeps_the_offset)
{
    struct sc_error e = {0};
    CHECK_ERR(SCRUPLE_EIO, sc_fail_at(&e, SCRUPLE_EIO, UINT64_MAX, "gone"));
    CHECK(e.has_offset);
    CHECK_U64(e.offset, UINT64_MAX);
}

TEST(fail_without_a_struct_still_returns_the_code)
{
    CHECK_ERR(SCRUPLE_ELIMIT, sc_fail(NULL, SCRUPLE_ELIMIT, "%s", "unused"));
    CHECK_ERR(SCRUPLE_ELIMIT, sc_fail_at(NULL, SCRUPLE_ELIMIT, 1, "unused"));
    CHECK_ERR(SCRUPLE_EMEMORY, sc_fail_memory(NULL));
    sc_error_prefix(NULL, "unused");
}

TEST(error_prefix_goes_in_front)
{
    struct sc_error e = {0};
    sc_fail_at(&e, SCRUPLE_EFORMAT, 12, "bad");
    sc_error_prefix(&e, "shard %d", 3);
    sc_error_prefix(&e, "%s", "model");
    CHECK_STR(e.text, "model: shard 3: bad");
    CHECK(e.has_offset && e.offset == 12);
}

TEST(long_messages_are_cut_between_characters)
{
    struct sc_error e;
    char text[3000];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 4);
        sc_fail(&e, SCRUPLE_EFORMAT, "%s", text);
        size_t n = strlen(e.text);
        CHECK(n < sizeof e.text && n > sizeof e.text - 8);
        CHECK_STR(e.text + n - 3, "...");
        CHECK(sc_utf8_valid(sc_strz(e.text)));

        for (int i = 0; i < 3; i++) {
            sc_error_prefix(&e, "%s", shift ? text : "\xE2\x82\xAC\xE2\x82\xAC");
            n = strlen(e.text);
            CHECK(n < sizeof e.text);
            CHECK_STR(e.text + n - 3, "...");
            CHECK(sc_utf8_valid(sc_strz(e.text)));
        }
    }
}

TEST(every_code_has_a_text)
{
#define SAME(name, value, text) CHECK_STR(sc_code_text(value), text);
    SCRUPLE_ERRORS(SAME)
#undef SAME
    CHECK_STR(sc_code_text(0), "no error");
    CHECK_STR(sc_code_text(-1000), "unknown error");
    CHECK_STR(sc_code_text(5), "unknown error");
}

static int try_it(int code, int *reached)
{
    TRY(code);
    ++*reached;
    return 0;
}

TEST(try_returns_negative_codes_only)
{
    int reached = 0;
    CHECK_ERR(-3, try_it(-3, &reached));
    CHECK_ERR(0, try_it(5, &reached));
    CHECK(reached == 1);
}

/* --------------------------------------------------------------------------- arithmetic --- */

TEST(checked_add_and_multiply)
{
    uint64_t v;
    CHECK(sc_add(UINT64_MAX, 0, &v) && v == UINT64_MAX);
    CHECK(!sc_add(UINT64_MAX, 1, &v));
    CHECK(sc_mul(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &v));
    CHECK_U64(v, (UINT64_MAX << 32));
    CHECK(!sc_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &v));
    CHECK_U64(sc_align_up(0, 32), 0);
    CHECK_U64(sc_align_up(1, 32), 32);
    CHECK_U64(sc_align_up(32, 32), 32);
    CHECK_U64(sc_align_up(UINT64_C(1) << 63, 1 << 20), UINT64_C(1) << 63);
}

TEST(product_of_dimensions)
{
    uint64_t v = 7;
    CHECK(sc_product(NULL, 0, &v) && v == 1);
    CHECK(sc_product((uint64_t[]){5}, 1, &v) && v == 5);
    CHECK(sc_product((uint64_t[]){7168, 2048, 256}, 3, &v) && v == UINT64_C(7168) * 2048 * 256);
    CHECK(sc_product((uint64_t[]){UINT64_MAX, 1}, 2, &v) && v == UINT64_MAX);
    CHECK(!sc_product((uint64_t[]){UINT64_C(1) << 63, 2}, 2, &v));
    CHECK(!sc_product((uint64_t[]){UINT64_C(1) << 32, UINT64_C(1) << 31, 2}, 3, &v));
}

TEST(product_with_a_zero_is_zero_in_every_order)
{
    const uint64_t big = UINT64_C(1) << 63;
    uint64_t v = 7;
    CHECK(sc_product((uint64_t[]){big, 4, 0}, 3, &v) && v == 0);
    v = 7;
    CHECK(sc_product((uint64_t[]){0, big, 4}, 3, &v) && v == 0);
    v = 7;
    CHECK(sc_product((uint64_t[]){big, 0, 4}, 3, &v) && v == 0);
    v = 7;
    CHECK(sc_product((uint64_t[]){big, big, big, big, 0}, 5, &v) && v == 0);
}

/* ------------------------------------------------------------------------------- memory --- */

TEST(alloc_of_nothing_is_a_pointer)
{
    void *a = sc_alloc(0), *b = sc_calloc(0, 8), *c = sc_calloc(8, 0);
    CHECK(a && b && c);
    free(a);
    free(b);
    free(c);
}

TEST(grow_keeps_content_and_grows_geometrically)
{
    struct item {
        uint64_t a, b, c;
    } *items = NULL;
    size_t cap = 0, moves = 0;
    for (size_t i = 0; i < 100000; i++) {
        size_t before = cap;
        REQUIRE(sc_grow(&items, &cap, i + 1, sizeof *items, NULL) == 0);
        moves += cap != before;
        items[i] = (struct item){i, ~i, i * i};
    }
    CHECK(moves < 30);
    for (size_t i = 0; i < 100000; i++)
        CHECK(items[i].a == i && items[i].b == ~(uint64_t)i && items[i].c == (uint64_t)i * i);
    free(items);
}

TEST(grow_refuses_what_no_machine_has)
{
    struct sc_error e = {0};
    char *p = NULL;
    size_t cap = 0;
    CHECK_ERR(SCRUPLE_EMEMORY, sc_grow(&p, &cap, SIZE_MAX, 1, &e));
    CHECK_ERR(SCRUPLE_EMEMORY, sc_grow(&p, &cap, SIZE_MAX / 2, 8, &e));
    CHECK_ERR(SCRUPLE_EMEMORY, sc_grow(&p, &cap, (size_t)1 << 62, 4, &e));
    CHECK(p == NULL && cap == 0);
    CHECK_STR(e.text, "out of memory");
}

TEST(arena_gives_aligned_distinct_memory)
{
    struct sc_arena a = {0};
    unsigned char *blocks[500];
    for (size_t i = 0; i < SC_COUNT(blocks); i++) {
        size_t align = (size_t)1 << (i % 7), n = i * 37 % 301;
        blocks[i] = sc_arena_alloc(&a, n, align);
        REQUIRE(blocks[i] != NULL);
        CHECK((uintptr_t)blocks[i] % align == 0);
        memset(blocks[i], (int)(i & 255), n);
    }
    for (size_t i = 0; i < SC_COUNT(blocks); i++) {
        for (size_t k = 0; k < i * 37 % 301; k++)
            CHECK(blocks[i][k] == (i & 255));
    }
    sc_arena_clear(&a);
    CHECK(a.head == NULL && a.total == 0);
}

TEST(arena_chunks_start_small_and_end_at_a_mebibyte)
{
    struct sc_arena a = {0};
    REQUIRE(sc_arena_alloc(&a, 1, 1));
    CHECK_U64(a.total, 4096);
    size_t last = a.total, largest = 0;
    for (size_t i = 0; i < 100000; i++) {
        REQUIRE(sc_arena_alloc(&a, 100, 8));
        largest = SC_MAX(largest, a.total - last);
        last = a.total;
    }
    CHECK_U64(largest, 1 << 20);
    CHECK(a.total < 100000 * 120 + (2 << 20)); /* 104 bytes each, and the sanitizer's gaps */
    sc_arena_clear(&a);
}

TEST(arena_large_block_does_not_waste_the_chunk_in_use)
{
    struct sc_arena a = {0};
    char *small = sc_arena_alloc(&a, 16, 16);
    char *large = sc_arena_alloc(&a, 10 << 20, 16);
    REQUIRE(small && large);
    memset(large, 1, 10 << 20);
    size_t total = a.total;
    REQUIRE(sc_arena_alloc(&a, 1000, 16));
    CHECK_U64(a.total, total);
    sc_arena_clear(&a);
}

TEST(arena_respects_its_limit)
{
    struct sc_arena a = {.limit = 64 << 10};
    size_t got = 0;
    while (sc_arena_alloc(&a, 512, 8))
        got += 512;
    CHECK(a.total <= a.limit);
    CHECK(got > (48 << 10)); /* the last chunk shrinks to what may still be taken */
    CHECK(sc_arena_alloc(&a, 1 << 20, 8) == NULL);
    sc_arena_clear(&a);

    struct sc_arena tiny = {.limit = 100};
    CHECK(sc_arena_alloc(&tiny, 100, 1) == NULL);
    CHECK(tiny.total == 0);
    sc_arena_clear(&tiny);
}

TEST(arena_refuses_sizes_that_wrap)
{
    struct sc_arena a = {0};
    CHECK(sc_arena_alloc(&a, SIZE_MAX, 16) == NULL);
    CHECK(sc_arena_alloc(&a, SIZE_MAX - 64, 1) == NULL);
    CHECK(sc_arena_alloc(&a, (size_t)PTRDIFF_MAX, 16) == NULL);
    CHECK(sc_arena_copy(&a, "", SIZE_MAX) == NULL);
    sc_arena_clear(&a);
}

TEST(arena_copy_ends_in_nul)
{
    struct sc_arena a = {0};
    char *s = sc_arena_copy(&a, "a\0b", 3), *empty = sc_arena_copy(&a, NULL, 0);
    REQUIRE(s && empty);
    CHECK_BITS(s, "a\0b", 4);
    CHECK_STR(empty, "");
    sc_arena_clear(&a);
}

TEST(buf_appends)
{
    struct sc_buf b = {0};
    sc_buf_puts(&b, "ab");
    sc_buf_putc(&b, 'c');
    sc_buf_put(&b, "d\0e", 3);
    sc_buf_repeat(&b, '-', 3);
    sc_buf_put(&b, NULL, 0);
    sc_buf_printf(&b, "%d|%s", 42, "x");
    CHECK_U64(b.n, 13);
    CHECK_BITS(b.p, "abcd\0e---42|x", 14);
    CHECK(!b.failed);
    sc_buf_clear(&b);
    CHECK(b.p == NULL && b.n == 0 && b.cap == 0);
}

TEST(buf_printf_of_any_length)
{
    struct sc_buf b = {0};
    char text[5000];
    for (size_t n = 0; n < sizeof text; n += 7) {
        memset(text, 'x', n);
        text[n] = '\0';
        size_t before = b.n;
        sc_buf_printf(&b, "%s", text);
        CHECK_U64(b.n, before + n);
        CHECK(b.p[b.n] == '\0' && strlen(b.p) == b.n);
    }
    sc_buf_clear(&b);
    sc_buf_printf(&b, "%s", "");
    CHECK(!b.failed && b.p);
    CHECK_STR(b.p, "");
    sc_buf_clear(&b);
}

TEST(buf_stops_at_its_ceiling)
{
    struct sc_buf b = {.max = 10};
    sc_buf_puts(&b, "0123456789");
    CHECK(!b.failed && b.n == 10);
    sc_buf_putc(&b, 'x');
    CHECK(b.failed && b.n == 10);
    CHECK_STR(b.p, "0123456789");
    sc_buf_puts(&b, "");
    sc_buf_repeat(&b, 'y', 1);
    sc_buf_printf(&b, "%d", 1);
    CHECK(b.failed && b.n == 10);
    CHECK_STR(b.p, "0123456789");
    sc_buf_clear(&b);
    CHECK(!b.failed && b.max == 10);

    sc_buf_repeat(&b, 'z', SIZE_MAX);
    CHECK(b.failed && b.p == NULL);
    sc_buf_clear(&b);
}

TEST(buf_printf_stops_at_its_ceiling)
{
    struct sc_buf b = {.max = 10};
    sc_buf_puts(&b, "01234567"); /* there is room in memory for more, but it is not allowed */
    sc_buf_repeat(&b, '8', 1);
    sc_buf_printf(&b, "%s", "9a");
    CHECK(b.failed && b.n == 9);
    CHECK_STR(b.p, "012345678");
    sc_buf_clear(&b);
    sc_buf_printf(&b, "%0100d", 1);
    CHECK(b.failed && b.n == 0);
    sc_buf_clear(&b);
}

/* ------------------------------------------------------------------------------ strings --- */

TEST(string_comparisons)
{
    CHECK(sc_str_eq(sc_strz(""), sc_str(NULL, 0)));
    CHECK(sc_str_eq(sc_strz(NULL), SC_STR("")));
    CHECK(sc_str_eq(sc_str("a\0b", 3), SC_STR("a\0b")));
    CHECK(!sc_str_eq(sc_str("a\0b", 3), SC_STR("a\0c")));
    CHECK(sc_str_is(SC_STR("weight"), "weight") && !sc_str_is(SC_STR("weight"), "weigh"));
    CHECK(!sc_str_is(SC_STR("a\0"), "a"));
    CHECK(sc_str_starts(SC_STR("model.x"), "model.") && !sc_str_starts(SC_STR("mod"), "model."));
    CHECK(sc_str_starts(sc_str(NULL, 0), "") && sc_str_ends(sc_str(NULL, 0), ""));
    CHECK(sc_str_ends(SC_STR("a.weight"), ".weight") && !sc_str_ends(SC_STR("t"), "weight"));
    CHECK(sc_str_eq_nocase(SC_STR("LlaMA"), SC_STR("llama")));
    CHECK(!sc_str_eq_nocase(SC_STR("@"), SC_STR("`")) &&
          !sc_str_eq_nocase(SC_STR("["), SC_STR("{")));
    CHECK(!sc_str_eq_nocase(SC_STR("\xC4"), SC_STR("\xE4"))); /* ASCII only */
    CHECK(sc_str_has_nocase(SC_STR("model.Self_Attn.q"), SC_STR("self_attn")));
    CHECK(sc_str_has_nocase(SC_STR("aaab"), SC_STR("AAB")) &&
          sc_str_has_nocase(SC_STR(""), SC_STR("")));
    CHECK(!sc_str_has_nocase(SC_STR("ab"), SC_STR("abc")));
    CHECK(sc_str_cmp(SC_STR("a"), SC_STR("b")) < 0 && sc_str_cmp(SC_STR("a"), SC_STR("a")) == 0);
    CHECK(sc_str_cmp(SC_STR("a"), SC_STR("ab")) < 0 && sc_str_cmp(SC_STR("\xFF"), SC_STR("a")) > 0);
    CHECK(sc_str_cmp(sc_str(NULL, 0), SC_STR("a")) < 0);
}

TEST(decimal_numbers)
{
    uint64_t v = 0;
    CHECK(sc_str_u64(SC_STR("0"), &v) && v == 0);
    CHECK(sc_str_u64(SC_STR("00042"), &v) && v == 42);
    CHECK(sc_str_u64(SC_STR("18446744073709551615"), &v) && v == UINT64_MAX);
    const char *bad[] = {"",
                         "18446744073709551616",
                         "99999999999999999999",
                         "-1",
                         "+1",
                         " 1",
                         "1 ",
                         "1.0",
                         "1e3",
                         "0x1",
                         "\xD9\xA1"};
    for (size_t i = 0; i < SC_COUNT(bad); i++)
        CHECK(!sc_str_u64(sc_strz(bad[i]), &v));
}

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

TEST(natural_order_of_a_list)
{
    /* Strictly ascending; every pair is compared in both directions. */
    /* clang-format off */
    static const char *const order[] = {
        "", "-", ".", "0", "0a", "00", "00a", "000", "1", "1.weight", "01", "01.weight", "001",
        "2", "9", "10", "010", "99", "18446744073709551615", "18446744073709551616",
        "99999999999999999999999", "100000000000000000000000", "A", "a", "a.1.b.1", "a.1.b.2",
        "a.1.b.10", "a.01.b.1", "a.2.b.1", "a.10.b.1", "a0", "a0b", "a00", "a00b", "a1", "a1b",
        "a1b2", "a1b10", "a2", "a11", "ab", "layers.9.mlp.experts.9.w1",
        "layers.9.mlp.experts.10.w1", "layers.10.mlp.experts.9.w1", "\x7F", "\xC3\xA4",
    };
    /* clang-format on */
    for (size_t i = 0; i < SC_COUNT(order); i++) {
        for (size_t j = 0; j < SC_COUNT(order); j++) {
            int got = sc_natural_cmp(sc_strz(order[i]), sc_strz(order[j]));
            if (sign(got) != sign((i > j) - (i < j)))
                fprintf(stderr, "\"%s\" and \"%s\"\n", order[i], order[j]);
            CHECK(sign(got) == sign((i > j) - (i < j)));
        }
    }
}

/* The definition, token by token, to compare the fast version with. */
static int slow_natural(const char *a, const char *b)
{
    while (*a && *b) {
        if (*a >= '0' && *a <= '9' && *b >= '0' && *b <= '9') {
            size_t za = strspn(a, "0"), zb = strspn(b, "0");
            size_t na = strspn(a + za, "0123456789"), nb = strspn(b + zb, "0123456789");
            if (na != nb)
                return na < nb ? -1 : 1;
            int c = memcmp(a + za, b + zb, na);
            if (c)
                return c;
            if (za != zb)
                return za < zb ? -1 : 1;
            a += za + na;
            b += zb + nb;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++;
            b++;
        }
    }
    return (*a != 0) - (*b != 0);
}

static uint64_t random_state = 1;
static unsigned random_below(unsigned n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(random_state >> 33) % n;
}

TEST(natural_order_equals_its_definition)
{
    const char letters[] = "001129a.~";
    char s[3][40];
    for (int round = 0; round < 200000; round++) {
        for (int k = 0; k < 3; k++) {
            size_t shared = k && round % 2 ? random_below(20) : 0, n = shared + random_below(12);
            memcpy(s[k], s[0], shared);
            size_t used = shared;
            while (used < n)
                s[k][used++] = letters[random_below(sizeof letters - 1)];
            s[k][n] = '\0';
            size_t real = strlen(s[k]); /* a shared part may hold the end of s[0] */
            memset(s[k] + real, 0, sizeof s[k] - real);
        }
        int ab = sign(sc_natural_cmp(sc_strz(s[0]), sc_strz(s[1])));
        int ba = sign(sc_natural_cmp(sc_strz(s[1]), sc_strz(s[0])));
        int bc = sign(sc_natural_cmp(sc_strz(s[1]), sc_strz(s[2])));
        int ac = sign(sc_natural_cmp(sc_strz(s[0]), sc_strz(s[2])));
        REQUIRE(ab == sign(slow_natural(s[0], s[1])));
        REQUIRE(ab == -ba);
        REQUIRE((ab == 0) == (strcmp(s[0], s[1]) == 0)); /* total: only equal strings are equal */
        REQUIRE(!(ab < 0 && bc < 0) || ac < 0);
    }
}

TEST(natural_order_may_hold_nul_and_nothing)
{
    CHECK(sc_natural_cmp(sc_str(NULL, 0), sc_str(NULL, 0)) == 0);
    CHECK(sc_natural_cmp(sc_str(NULL, 0), SC_STR("a")) < 0);
    CHECK(sc_natural_cmp(SC_STR("a\0b"), SC_STR("a\0c")) < 0);
    CHECK(sc_natural_cmp(SC_STR("a"), SC_STR("a\0")) < 0);
}

static bool glob(const char *pattern, const char *s)
{
    return sc_glob(sc_strz(pattern), sc_strz(s));
}

TEST(glob_plain_and_stars)
{
    CHECK(glob("", "") && !glob("", "a") && !glob("a", ""));
    CHECK(glob("*", "") && glob("*", "anything.at.all") && glob("**", "a"));
    CHECK(glob("model.layers.*.mlp", "model.layers.3.mlp"));
    CHECK(glob("model.layers.*.mlp", "model.layers.3.x.mlp")); /* dots included */
    CHECK(!glob("model.layers.*.mlp", "model.layers.3.mlp.up"));
    CHECK(glob("*.weight", "a.weight") && !glob("*.weight", "weight"));
    CHECK(glob("a*b*c", "abc") && glob("a*b*c", "aXbXbXc") && !glob("a*b*c", "aXbX"));
    CHECK(glob("*ab", "aab") && glob("*aab*", "aaab") && !glob("a*a", "a"));
    CHECK(glob("??", "ab") && !glob("??", "a") && !glob("?", ""));
    CHECK(glob("Q_Proj", "q_pROJ") && glob("*LAYER*", "my.layer.0"));
}

TEST(glob_classes)
{
    CHECK(glob("layers.[0-3].*", "layers.2.x") && !glob("layers.[0-3].*", "layers.4.x"));
    CHECK(glob("[abc]", "b") && !glob("[abc]", "d") && !glob("[abc]", "") && glob("[ABC]", "b"));
    CHECK(glob("[a-c]", "B") && glob("[A-C]", "b") && !glob("[A-C]", "d"));
    CHECK(glob("[!a-c]", "d") && !glob("[!a-c]", "b") && !glob("[^a-c]", "B") && glob("[^x]", "y"));
    CHECK(glob("[]]", "]") && glob("[]a]", "a") && glob("[!]]", "a") && !glob("[!]]", "]"));
    CHECK(glob("[a-]", "-") && glob("[a-]", "a") && !glob("[a-]", "b") && glob("[-a]", "-"));
    CHECK(glob("[[]x", "[x") && glob("x[*]", "x*") && !glob("x[*]", "xy"));
    CHECK(glob("[z-a]", "z") == false);
    CHECK(glob("*[0-9]*[0-9]", "a1b2") && !glob("*[0-9]*[0-9]", "a1b"));
    CHECK(glob("[\x80-\xFF]", "\xC3") && glob("[]-a]", "^"));
}

TEST(glob_unclosed_classes_are_text)
{
    CHECK(glob("[", "[") && glob("a[", "a[") && glob("[a", "[a") && !glob("[a", "a"));
    CHECK(glob("[]", "[]") && glob("[!", "[!") && glob("[!]", "[!]") && glob("[^]", "[^]"));
    CHECK(glob("[a-", "[a-") && glob("*[", "x[") && glob("]", "]"));
    CHECK(glob("[a]]", "a]") && glob("[a][", "a["));
}

TEST(glob_equals_its_definition_on_random_patterns)
{
    /* A quadratic table, no backtracking: reach[j] after each pattern item. Classes excluded. */
    const char letters[] = "ab*?";
    for (int round = 0; round < 100000; round++) {
        char p[12], s[12];
        size_t np = random_below(sizeof p), ns = random_below(sizeof s);
        for (size_t i = 0; i < np; i++)
            p[i] = letters[random_below(4)];
        for (size_t i = 0; i < ns; i++)
            s[i] = letters[random_below(2)];
        bool reach[13] = {true};
        for (size_t i = 0; i < np; i++) {
            bool next[13] = {false};
            for (size_t j = 0; j <= ns; j++) {
                if (p[i] == '*')
                    next[j] = reach[j] || (j && next[j - 1]);
                else
                    next[j] = j && reach[j - 1] && (p[i] == '?' || p[i] == s[j - 1]);
            }
            memcpy(reach, next, sizeof reach);
        }
        REQUIRE(sc_glob(sc_str(p, np), sc_str(s, ns)) == reach[ns]);
    }
}

TEST(glob_never_reads_beyond_its_pattern)
{
    /* Every short pattern of nasty letters, in a block of its own size: ASan sees a step too far.
     */
    const char letters[] = "[]!-a*";
    for (size_t n = 1; n <= 6; n++) {
        size_t patterns = 1;
        for (size_t i = 0; i < n; i++)
            patterns *= 6;
        char *p = malloc(n);
        REQUIRE(p);
        for (size_t k = 0; k < patterns; k++) {
            size_t rest = k;
            for (size_t i = 0; i < n; i++, rest /= 6)
                p[i] = letters[rest % 6];
            (void)sc_glob(sc_str(p, n), SC_STR("a]-["));
        }
        free(p);
    }
}

TEST(glob_pathological_patterns_take_no_time)
{
    enum { N = 20000 };
    char *s = malloc(N), *p = malloc(N);
    REQUIRE(s && p);
    memset(s, 'a', N);
    clock_t start = clock();

    for (size_t i = 0; i < 60; i += 2)
        memcpy(p + i, "*a", 2);
    p[60] = 'b';
    CHECK(!sc_glob(sc_str(p, 61), sc_str(s, N))); /* exponential when done by recursion */
    memset(p, '*', N);
    CHECK(sc_glob(sc_str(p, N), sc_str(s, N)));
    memset(p, '[', N);
    p[0] = '*';
    CHECK(!sc_glob(sc_str(p, N), sc_str(s, N))); /* no search for the `]` at each position */
    p[N - 1] = ']';
    CHECK(!sc_glob(sc_str(p, N - 1), sc_str(s, N)));
    /* A guard against the wrong complexity, not a measurement. */
    CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 20);
    free(s);
    free(p);
}

static unsigned distance(const char *a, const char *b, unsigned limit)
{
    return sc_edit_distance(sc_strz(a), sc_strz(b), limit);
}

TEST(edit_distance)
{
    CHECK_U64(distance("", "", 3), 0);
    CHECK_U64(distance("tree", "tree", 0), 0);
    CHECK_U64(distance("tree", "tre", 3), 1);
    CHECK_U64(distance("json", "josn", 3), 1); /* a swap is one mistake */
    CHECK_U64(distance("kitten", "sitting", 5), 3);
    CHECK_U64(distance("", "abc", 5), 3);
    CHECK_U64(distance("abc", "", 5), 3);
    CHECK_U64(distance("kitten", "sitting", 2), 3);
    CHECK_U64(distance("abcdef", "uvwxyz", 3), 4);
    CHECK_U64(distance("a", "abcdefgh", 3), 4);
    CHECK_U64(distance("a", "b", 0), 1);
    CHECK_U64(distance("ab", "ba", 1), 1);
    CHECK_U64(distance("a", "b", UINT32_MAX), 1);
}

TEST(edit_distance_equals_its_definition)
{
    for (int round = 0; round < 50000; round++) {
        char a[14], b[14];
        unsigned d[15][15];
        size_t na = random_below(14), nb = random_below(14);
        for (size_t i = 0; i < na; i++)
            a[i] = (char)('a' + random_below(3));
        for (size_t i = 0; i < nb; i++)
            b[i] = (char)('a' + random_below(3));
        for (size_t i = 0; i <= na; i++) {
            for (size_t j = 0; j <= nb; j++) {
                if (!i || !j) {
                    d[i][j] = (unsigned)(i + j);
                    continue;
                }
                d[i][j] = SC_MIN(SC_MIN(d[i - 1][j], d[i][j - 1]) + 1,
                                 d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                    d[i][j] = SC_MIN(d[i][j], d[i - 2][j - 2] + 1);
            }
        }
        unsigned limit = random_below(16);
        REQUIRE(sc_edit_distance(sc_str(a, na), sc_str(b, nb), limit) ==
                SC_MIN(d[na][nb], limit + 1));
    }
}

/* -------------------------------------------------------------------------------- UTF-8 --- */

TEST(utf8_round_trip_of_every_code_point)
{
    for (uint32_t c = 0; c <= 0x110010; c++) {
        char out[4];
        uint32_t back = 0;
        size_t n = sc_utf8_encode(c, out);
        bool legal = c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF);
        REQUIRE((n > 0) == legal);
        if (!legal)
            continue;
        REQUIRE(sc_utf8_decode(out, n, &back) == n && back == c);
        REQUIRE(n == 1 || sc_utf8_decode(out, n - 1, &back) == 0); /* cut short */
    }
}

TEST(utf8_refuses_what_is_not_strict)
{
    static const struct sc_str bad[] = {
        SC_STR("\x80"), /* a continuation alone */
        SC_STR("\xBF"),
        SC_STR("\xC0\x80"), /* overlong NUL */
        SC_STR("\xC1\xBF"),
        SC_STR("\xE0\x80\x80"),
        SC_STR("\xE0\x9F\xBF"),
        SC_STR("\xF0\x80\x80\x80"),
        SC_STR("\xF0\x8F\xBF\xBF"),
        SC_STR("\xED\xA0\x80"), /* surrogates */
        SC_STR("\xED\xBF\xBF"),
        SC_STR("\xF4\x90\x80\x80"), /* above U+10FFFF */
        SC_STR("\xF5\x80\x80\x80"),
        SC_STR("\xF8\x88\x80\x80\x80"),
        SC_STR("\xFE"),
        SC_STR("\xFF"),
        SC_STR("\xC3"),
        SC_STR("\xC3("),
        SC_STR("\xE2\x82"),
        SC_STR("\xE2(\xAC"),
        SC_STR("\xE2\x82("),
        SC_STR("\xF0\x9F\x98"),
        SC_STR("\xF0\x9F\x98("),
        SC_STR("good then \xC0\xAF"),
    };
    for (size_t i = 0; i < SC_COUNT(bad); i++)
        CHECK(!sc_utf8_valid(bad[i]));
    CHECK(sc_utf8_valid(SC_STR("")) && sc_utf8_valid(sc_str(NULL, 0)));
    CHECK(sc_utf8_valid(SC_STR("plain \x1b with controls \0 and \x7f")));
    CHECK(sc_utf8_valid(SC_STR("\xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80")));
    uint32_t c;
    CHECK_U64(sc_utf8_decode("", 0, &c), 0);
}

TEST(columns_of_code_points)
{
    CHECK_U64(sc_utf8_width('a'), 1);
    CHECK_U64(sc_utf8_width(0xE9), 1);
    CHECK_U64(sc_utf8_width(0x301), 0);
    CHECK_U64(sc_utf8_width(0x5D0), 1);
    CHECK_U64(sc_utf8_width(0x1100), 2);
    CHECK_U64(sc_utf8_width(0x1161), 0);
    CHECK_U64(sc_utf8_width(0x2500), 1); /* box drawing: ambiguous, one in the West */
    CHECK_U64(sc_utf8_width(0x4E2D), 2);
    CHECK_U64(sc_utf8_width(0xAC00), 2);
    CHECK_U64(sc_utf8_width(0xFF21), 2);
    CHECK_U64(sc_utf8_width(0xFF71), 1); /* halfwidth kana */
    CHECK_U64(sc_utf8_width(0x1F600), 2);
    CHECK_U64(sc_utf8_width(0x20000), 2);
    CHECK_U64(sc_utf8_width(0x10FFFF), 1);
    CHECK_U64(sc_utf8_width(UINT32_MAX), 1);
}

/* --------------------------------------------------------------------------------- safe --- */

static char safe_text[4096];
static size_t safe_columns;

static const char *safe(struct sc_str s, size_t max)
{
    struct sc_buf b = {0};
    sc_buf_puts(&b, "<");
    safe_columns = sc_put_safe(&b, s, max);
    sc_buf_puts(&b, ">");
    snprintf(safe_text, sizeof safe_text, "%.*s", (int)b.n, b.p);
    sc_buf_clear(&b);
    return safe_text;
}
#define SAFE(literal) safe(SC_STR(literal), 0)

TEST(safe_text_stays_as_it_is)
{
    CHECK_STR(SAFE(""), "<>");
    CHECK_U64(safe_columns, 0);
    CHECK_STR(SAFE("model.layers.0.self_attn.q_proj.weight"),
              "<model.layers.0.self_attn.q_proj.weight>");
    CHECK_U64(safe_columns, 38);
    CHECK_STR(SAFE("na\xC3\xAFve \xE4\xB8\xAD\xE6\x96\x87 \\ \"q\""),
              "<na\xC3\xAFve \xE4\xB8\xAD\xE6\x96\x87 \\ \"q\">");
    CHECK_U64(safe_columns, 16);
    CHECK_STR(SAFE("e\xCC\x81"), "<e\xCC\x81>");
    CHECK_U64(safe_columns, 1);
    CHECK_U64(sc_put_safe(&(struct sc_buf){0}, sc_str(NULL, 0), 5), 0);
}

TEST(safe_escapes_terminal_control)
{
    CHECK_STR(SAFE("\x1b[2J"), "<\\u{1b}[2J>");
    CHECK_U64(safe_columns, 9);
    CHECK_STR(SAFE("\x1b]52;c;ZXZpbA==\x07"), "<\\u{1b}]52;c;ZXZpbA==\\u{07}>");
    CHECK_STR(SAFE("\x1b]0;title\x1b\\"), "<\\u{1b}]0;title\\u{1b}\\>");
    CHECK_STR(SAFE("a\rb\nc\td\be\x7f"), "<a\\u{0d}b\\u{0a}c\\u{09}d\\u{08}e\\u{7f}>");
    CHECK_STR(SAFE("a\0b"), "<a\\u{00}b>");
    CHECK_STR(SAFE("\xC2\x9B"
                   "31m"),
              "<\\u{9b}31m>"); /* CSI as one C1 character */
    CHECK_STR(SAFE("\x9b"
                   "31m"),
              "<\xEF\xBF\xBD"
              "31m>"); /* and as one raw byte */
}

TEST(safe_escapes_what_cannot_be_seen_or_reorders)
{
    static const uint32_t codes[] = {
        0x80,   0x85,   0x9F,   0xAD,   0x34F,  0x61C,   0x115F,  0x180E,  0x200B,
        0x200C, 0x200D, 0x200E, 0x200F, 0x2028, 0x2029,  0x202A,  0x202B,  0x202C,
        0x202D, 0x202E, 0x2060, 0x2064, 0x2066, 0x2067,  0x2068,  0x2069,  0x206F,
        0x3164, 0xFE0F, 0xFEFF, 0xFFA0, 0xFFF9, 0xE0001, 0xE0041, 0xE0100, 0x1D173,
    };
    for (size_t i = 0; i < SC_COUNT(codes); i++) {
        char in[8] = "x", want[32];
        size_t n = 1 + sc_utf8_encode(codes[i], in + 1);
        snprintf(want, sizeof want, "<x\\u{%02x}>", codes[i]);
        CHECK_STR(safe(sc_str(in, n), 0), want);
        CHECK_U64(safe_columns, strlen(want) - 2);
    }
}

TEST(safe_replaces_invalid_utf8)
{
    CHECK_STR(SAFE("a\xFF"
                   "b"),
              "<a\xEF\xBF\xBD"
              "b>");
    CHECK_U64(safe_columns, 3);
    CHECK_STR(SAFE("\xC0\x9B[2J"), "<\xEF\xBF\xBD\xEF\xBF\xBD[2J>"); /* overlong ESC */
    CHECK_STR(SAFE("\xE2\x82"), "<\xEF\xBF\xBD\xEF\xBF\xBD>");
    CHECK_STR(SAFE("\xED\xA0\x80"), "<\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD>");
}

TEST(safe_tames_combining_marks)
{
    /* None may sit on our own character in front, nor on the brace of an escape. */
    CHECK_STR(SAFE("\xCC\x81"
                   "a"),
              "<\\u{301}a>");
    CHECK_STR(SAFE("\n\xCC\x81"), "<\\u{0a}\\u{301}>");

    char tower[1 + 2 * 1000];
    tower[0] = 'a';
    for (size_t i = 0; i < 1000; i++)
        memcpy(tower + 1 + 2 * i, "\xCC\x81", 2);
    safe(sc_str(tower, sizeof tower), 20);
    CHECK(strlen(safe_text) < 60);
    CHECK(safe_columns <= 20);
}

TEST(safe_cuts_at_a_width)
{
    CHECK_STR(safe(SC_STR("abcdefgh"), 8), "<abcdefgh>");
    CHECK_STR(safe(SC_STR("abcdefghi"), 8), "<abcde...>");
    CHECK_U64(safe_columns, 8);
    CHECK_STR(safe(SC_STR("abcdefgh"), 3), "<...>");
    CHECK_STR(safe(SC_STR("abcdefgh"), 2), "<..>");
    CHECK_STR(safe(SC_STR("ab"), 2), "<ab>");
    CHECK_STR(safe(SC_STR("abc"), 1), "<.>");
    CHECK_U64(safe_columns, 1);
    /* Wide characters are not halved: 4 columns of 6 are left for three of two columns. */
    CHECK_STR(safe(SC_STR("\xE4\xB8\xAD\xE4\xB8\xAD\xE4\xB8\xAD\xE4\xB8\xAD"), 6),
              "<\xE4\xB8\xAD...>");
    CHECK_U64(safe_columns, 5);
    CHECK_STR(safe(SC_STR("\xE4\xB8\xAD\xE4\xB8\xAD\xE4\xB8\xAD"), 6),
              "<\xE4\xB8\xAD\xE4\xB8\xAD\xE4\xB8\xAD>");
    /* An escape stays whole or goes. */
    CHECK_STR(safe(SC_STR("ab\x1b"
                          "cdef"),
                   8),
              "<ab...>");
    CHECK_STR(safe(SC_STR("ab\x1b"), 8), "<ab\\u{1b}>");
    /* A mark stays with its letter. */
    CHECK_STR(safe(SC_STR("abe\xCC\x81"
                          "defghi"),
                   6),
              "<abe\xCC\x81...>");
}

TEST(safe_width_agrees_with_put_safe_and_never_leaks)
{
    const struct sc_str pieces[] = {
        SC_STR("a"),        SC_STR("layer"), SC_STR("\x1b"),         SC_STR("\xCC\x81"),
        SC_STR("\xFF"),     SC_STR("\0"),    SC_STR("\xE4\xB8\xAD"), SC_STR("\xE2\x80\xAE"),
        SC_STR("\xC3\xA9"), SC_STR("\xE2"),  SC_STR("0123456789"),
    };
    for (int round = 0; round < 50000; round++) {
        char text[200];
        size_t n = 0, max = random_below(40);
        for (unsigned k = random_below(14); k; k--) {
            struct sc_str p = pieces[random_below(SC_COUNT(pieces))];
            memcpy(text + n, p.p, p.n);
            n += p.n;
        }
        struct sc_buf all = {0}, cut = {0};
        size_t columns = sc_put_safe(&all, sc_str(text, n), 0);
        size_t cut_columns = sc_put_safe(&cut, sc_str(text, n), max);
        REQUIRE(columns == sc_safe_width(sc_str(text, n)));
        REQUIRE(sc_utf8_valid(sc_str(all.p, all.n)));
        REQUIRE(columns == sc_safe_width(sc_str(all.p, all.n))); /* safe text is its own escape */
        REQUIRE(cut_columns == sc_safe_width(sc_str(cut.p, cut.n)));
        REQUIRE(max == 0 || cut_columns <= max);
        if (max == 0 || columns <= max) {
            REQUIRE(sc_str_eq(sc_str(all.p, all.n), sc_str(cut.p, cut.n)));
        } else {
            REQUIRE(sc_str_ends(sc_str(cut.p, cut.n), max < 3 ? "." : "..."));
            REQUIRE(max < 3 || memcmp(cut.p, all.p, cut.n - 3) == 0);
        }
        for (size_t i = 0; i < all.n; i++)
            REQUIRE((unsigned char)all.p[i] >= 0x20 && all.p[i] != 0x7F);

        struct sc_quoted q;
        sc_quote(&q, sc_str(text, n));
        REQUIRE(columns > 120 || sc_str_is(sc_str(all.p, all.n), q.s));
        sc_buf_clear(&all);
        sc_buf_clear(&cut);
    }
}

TEST(quote_is_bounded_in_columns_and_bytes)
{
    struct sc_quoted q;
    char text[5000];
    CHECK_STR(sc_quote(&q, sc_str(NULL, 0)), "");
    CHECK_STR(sc_quote(&q, SC_STR("a\x1b[1m")), "a\\u{1b}[1m");

    memset(text, 'x', sizeof text);
    CHECK_U64(strlen(sc_quote(&q, sc_str(text, 120))), 120);
    CHECK_U64(strlen(sc_quote(&q, sc_str(text, 121))), 120);
    CHECK_STR(q.s + 117, "...");
    sc_quote(&q, sc_str(text, sizeof text));
    CHECK_U64(strlen(q.s), 120);

    memset(text, 0x1b, sizeof text);
    sc_quote(&q, sc_str(text, sizeof text));
    CHECK(strlen(q.s) <= 120 && sc_str_ends(sc_strz(q.s), "}..."));

    /* As many bytes a column as there can be: a letter and its marks. */
    for (size_t i = 0; i + 13 <= sizeof text; i += 13)
        memcpy(text + i, "a\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81\xCC\x81", 13);
    sc_quote(&q, sc_str(text, 4992));
    CHECK(strlen(q.s) < sizeof q.s && sc_str_ends(sc_strz(q.s), "..."));
    CHECK(sc_utf8_valid(sc_strz(q.s)));
}

TEST(safe_text_respects_the_buffers_ceiling)
{
    struct sc_buf b = {.max = 6};
    sc_put_safe(&b, SC_STR("abc\x1b"), 0);
    CHECK(b.failed);
    CHECK_STR(b.p, "abc");
    sc_buf_clear(&b);
}

/* -------------------------------------------------------------------------------- hash --- */

TEST(hash_depends_on_every_byte_and_on_length)
{
    uint8_t p[500] = {0}; /* long ones are hashed in another way */
    for (size_t n = 0; n <= 420; n++) {
        uint64_t h = sc_hash(p, n);
        CHECK_U64(sc_hash(p, n), h);
        CHECK(sc_hash(p, n + 1) != h);
        for (size_t i = 0; i < n; i++) {
            p[i] ^= 0x10;
            CHECK(sc_hash(p, n) != h);
            p[i] ^= 0x10;
        }
    }
    CHECK_U64(sc_hash(NULL, 0), sc_hash("x", 0));
}

TEST(hash_ignores_alignment_and_neighbours)
{
    uint8_t p[512];
    for (size_t n = 0; n <= 400; n++) {
        uint64_t first = 0;
        for (size_t shift = 0; shift < 16; shift++) {
            memset(p, (int)shift, sizeof p);
            for (size_t i = 0; i < n; i++)
                p[shift + i] = (uint8_t)(i * 7);
            uint64_t h = sc_hash(p + shift, n);
            first = shift ? first : h;
            CHECK_U64(h, first);
        }
    }
}

TEST(hash_spreads_names_over_both_halves)
{
    /* 2^16 names into 2^12 bins by the high and by the low bits: 16 a bin, sigma 4. */
    enum { BINS = 4096 };
    static unsigned high[BINS], low[BINS];
    for (unsigned i = 0; i < 65536; i++) {
        char name[80];
        int n = snprintf(name, sizeof name, "model.layers.%u.mlp.experts.%u.up_proj.weight",
                         i / 256, i % 256);
        uint64_t h = sc_hash(name, (size_t)n);
        high[h >> 52]++;
        low[h & (BINS - 1)]++;
    }
    unsigned worst = 0;
    for (unsigned i = 0; i < BINS; i++)
        worst = SC_MAX(worst, SC_MAX(high[i], low[i]));
    CHECK(worst < 60); /* eleven sigma */
}

TEST(hash_flips_half_of_the_bits)
{
    double flipped = 0;
    unsigned trials = 0;
    char name[51] = "model.layers.12.mlp.experts.117.down_proj.weight_s";
    for (size_t n = 1; n <= 50; n++) {
        uint64_t h = sc_hash(name, n);
        for (size_t bit = 0; bit < n * 8; bit++, trials++) {
            name[bit / 8] = (char)(name[bit / 8] ^ (1 << bit % 8));
            flipped += __builtin_popcountll(h ^ sc_hash(name, n));
            name[bit / 8] = (char)(name[bit / 8] ^ (1 << bit % 8));
        }
    }
    CHECK_NEAR(flipped / trials, 32.0, 0.02);
}

TEST(hash_mix_is_ordered_and_spreads)
{
    CHECK(sc_hash_mix(1, 2) == sc_hash_mix(1, 2));
    CHECK(sc_hash_mix(1, 2) != sc_hash_mix(2, 1));
    CHECK(sc_hash_mix(0, 0) != sc_hash_mix(0, 1));
}

static void *hash_in_thread(void *out)
{
    *(uint64_t *)out = sc_hash("the same in every thread", 24);
    return NULL;
}

TEST(hash_key_is_one_for_all_threads)
{
    pthread_t threads[8];
    uint64_t hashes[8];
    for (size_t i = 0; i < 8; i++)
        REQUIRE(pthread_create(&threads[i], NULL, hash_in_thread, &hashes[i]) == 0);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 1; i < 8; i++)
        CHECK_U64(hashes[i], hashes[0]);
}

/* -------------------------------------------------------------------------------- index --- */

static bool index_has(const struct sc_index *ix, uint64_t hash, uint32_t id)
{
    size_t probe = 0;
    for (uint32_t got; (got = sc_index_next(ix, hash, &probe)) != UINT32_MAX;) {
        if (got == id)
            return true;
    }
    return false;
}

TEST(index_finds_what_was_put)
{
    struct sc_index ix = {0};
    size_t probe = 0;
    CHECK(sc_index_next(&ix, 5, &probe) == UINT32_MAX);
    for (uint32_t i = 0; i < 50000; i++)
        REQUIRE(sc_index_put(&ix, sc_hash(&i, sizeof i), i, NULL) == 0);
    CHECK_U64(ix.n, 50000);
    for (uint32_t i = 0; i < 50000; i++)
        CHECK(index_has(&ix, sc_hash(&i, sizeof i), i));
    unsigned false_hits = 0;
    for (uint32_t i = 50000; i < 100000; i++) {
        probe = 0;
        false_hits += sc_index_next(&ix, sc_hash(&i, sizeof i), &probe) != UINT32_MAX;
    }
    CHECK(false_hits < 100); /* 32 bits of the hash are compared: one is a surprise */
    sc_index_clear(&ix);
    CHECK(ix.slot == NULL && ix.cap == 0 && ix.n == 0);
}

TEST(index_keeps_equal_hashes_apart)
{
    struct sc_index ix = {0};
    const uint64_t same = UINT64_C(0xFFFFFFFF00000000);
    for (uint32_t i = 0; i < 300; i++)
        REQUIRE(sc_index_put(&ix, same, i, NULL) == 0);
    REQUIRE(sc_index_put(&ix, same + (UINT64_C(1) << 32), 999, NULL) == 0); /* wraps to place 0 */
    bool seen[300] = {false};
    size_t probe = 0, n = 0;
    for (uint32_t got; (got = sc_index_next(&ix, same, &probe)) != UINT32_MAX; n++) {
        REQUIRE(got < 300 && !seen[got]);
        seen[got] = true;
    }
    CHECK_U64(n, 300);
    CHECK(index_has(&ix, 0, 999));
    sc_index_clear(&ix);
}

TEST(index_reserve_makes_room_once)
{
    struct sc_index ix = {0};
    REQUIRE(sc_index_reserve(&ix, 1000, NULL) == 0);
    size_t cap = ix.cap;
    for (uint32_t i = 0; i < 1000; i++)
        REQUIRE(sc_index_put(&ix, sc_hash(&i, sizeof i), i, NULL) == 0);
    CHECK_U64(ix.cap, cap);
    REQUIRE(sc_index_reserve(&ix, 10, NULL) == 0);
    CHECK_U64(ix.cap, cap);
    sc_index_clear(&ix);
}

TEST(index_has_limits)
{
    struct sc_index ix = {0};
    struct sc_error e;
    CHECK_ERR(SCRUPLE_ELIMIT, sc_index_put(&ix, 1, UINT32_MAX, &e));
    CHECK_ERR(SCRUPLE_ELIMIT, sc_index_reserve(&ix, SIZE_MAX, &e));
    CHECK_ERR(0, sc_index_put(&ix, 1, UINT32_MAX - 1, &e));
    CHECK(index_has(&ix, 1, UINT32_MAX - 1));
    sc_index_clear(&ix);
}

/* ------------------------------------------------------------------------------- cursor --- */

TEST(cursor_reads_both_byte_orders)
{
    const uint8_t p[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8_t a;
    uint16_t b;
    uint32_t c;
    uint64_t d;
    struct sc_cursor little = {.p = p, .end = p + sizeof p, .offset = 100};
    CHECK(sc_cursor_u8(&little, &a) && a == 1);
    CHECK(sc_cursor_u16(&little, &b) && b == 0x0302);
    CHECK(sc_cursor_u32(&little, &c) && c == 0x07060504);
    CHECK(sc_cursor_u64(&little, &d) && d == UINT64_C(0x0F0E0D0C0B0A0908));
    CHECK_U64(little.offset, 115);
    CHECK_U64(sc_cursor_left(&little), 0);

    struct sc_cursor big = {.p = p, .end = p + sizeof p, .big_endian = true};
    CHECK(sc_cursor_u8(&big, &a) && a == 1);
    CHECK(sc_cursor_u16(&big, &b) && b == 0x0203);
    CHECK(sc_cursor_u32(&big, &c) && c == 0x04050607);
    CHECK(sc_cursor_u64(&big, &d) && d == UINT64_C(0x08090A0B0C0D0E0F));
}

TEST(cursor_never_passes_the_end)
{
    const uint8_t p[8] = {0};
    uint8_t a;
    uint16_t b;
    uint32_t c;
    uint64_t d;
    const uint8_t *out = NULL;
    for (size_t left = 0; left < 8; left++) {
        struct sc_cursor cur = {.p = p + 8 - left, .end = p + 8, .offset = 50};
        CHECK(!sc_cursor_u64(&cur, &d));
        CHECK(left >= 4 || !sc_cursor_u32(&cur, &c));
        CHECK(left >= 2 || !sc_cursor_u16(&cur, &b));
        CHECK(left >= 1 || !sc_cursor_u8(&cur, &a));
        CHECK(!sc_cursor_take(&cur, left + 1, &out) && out == NULL);
        CHECK(!sc_cursor_skip(&cur, UINT64_MAX) && !sc_cursor_skip(&cur, UINT64_C(1) << 63));
        CHECK(cur.p == p + 8 - left && cur.offset == 50); /* nothing moved */
        CHECK(sc_cursor_skip(&cur, left) && cur.p == cur.end && cur.offset == 50 + left);
        CHECK(sc_cursor_take(&cur, 0, &out) && out == cur.end);
        out = NULL;
    }
}

TEST(little_endian_loads_need_no_alignment)
{
    const uint8_t p[] = {0xAA, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8};
    CHECK_U64(sc_le16(p + 1), 0xF2F1);
    CHECK_U64(sc_le32(p + 1), 0xF4F3F2F1);
    CHECK_U64(sc_le64(p + 1), UINT64_C(0xF8F7F6F5F4F3F2F1));
}
