/* SPDX-License-Identifier: Apache-2.0 */
/* test: the harness of every tests/unit/test_<module>.c.
 *
 *     #include "test.h"
 *     TEST(product_of_nothing_is_one)
 *     {
 *         uint64_t n = 0;
 *         REQUIRE(sc_product(NULL, 0, &n));
 *         CHECK_U64(n, 1);
 *     }
 *
 * Owns: registration (a TEST at the start of a line becomes one ctest), the CHECK macros, main().
 * A program run without arguments runs all of its tests; `NAME...` runs those; `--list` prints the
 * names. CHECK reports and goes on, REQUIRE reports and leaves the test. Every argument is
 * evaluated once; the value that was computed comes first, the expected one second (CHECK_ERR, as
 * in "expect this code of that call", is the other way round).
 *
 * Does not own: files. Tests make theirs in memory, or read SC_FIXTURES (made by tools/mkmodel)
 * and SC_TESTDATA, both string macros given by the build.
 */
#ifndef SC_TEST_H
#define SC_TEST_H

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct test_case {
    const char *name;
    void (*run)(void);
    struct test_case *next;
};
static struct test_case *test_first, **test_last = &test_first;
static unsigned test_bad; /* failed checks of the running test */

#define TEST(id)                                                                                   \
    static void id(void);                                                                          \
    static struct test_case test_case_##id = {#id, id, NULL};                                      \
    __attribute__((constructor)) static void test_add_##id(void)                                   \
    {                                                                                              \
        *test_last = &test_case_##id;                                                              \
        test_last = &test_case_##id.next;                                                          \
    }                                                                                              \
    static void id(void)

#define CHECK(cond) ((void)test_true(!!(cond), #cond, __FILE__, __LINE__))
#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!test_true(!!(cond), #cond, __FILE__, __LINE__))                                       \
            return;                                                                                \
    } while (0)
/* Unsigned numbers of any width. */
#define CHECK_U64(got, want)                                                                       \
    ((void)test_u64((uint64_t)(got), (uint64_t)(want), #got, __FILE__, __LINE__))
/* NUL-terminated strings; NULL equals NULL only. */
#define CHECK_STR(got, want) ((void)test_str((got), (want), #got, __FILE__, __LINE__))
/* |got - want| <= tolerance * max(1, |want|); NaN equals NaN, an infinity only itself. */
#define CHECK_NEAR(got, want, tolerance)                                                           \
    ((void)test_near((got), (want), (tolerance), #got, __FILE__, __LINE__))
/* Memory, byte for byte; names the first byte that differs. */
#define CHECK_BITS(got, want, bytes)                                                               \
    ((void)test_bits((got), (want), (bytes), #got, __FILE__, __LINE__))
/* The call must return exactly this code: CHECK_ERR(SCRUPLE_EFORMAT, sc_open(...)). */
#define CHECK_ERR(code, call) ((void)test_code((code), (call), #call, __FILE__, __LINE__))

static inline bool test_true(bool ok, const char *what, const char *file, int line)
{
    if (!ok) {
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
        test_bad++;
    }
    return ok;
}

static inline bool test_u64(uint64_t got, uint64_t want, const char *what, const char *file,
                            int line)
{
    if (got == want)
        return true;
    fprintf(stderr,
            "%s:%d: %s is %" PRIu64 " (0x%" PRIx64 "), expected %" PRIu64 " (0x%" PRIx64 ")\n",
            file, line, what, got, got, want, want);
    test_bad++;
    return false;
}

static inline bool test_str(const char *got, const char *want, const char *what, const char *file,
                            int line)
{
    if (got == want || (got && want && strcmp(got, want) == 0))
        return true;
    fprintf(stderr, "%s:%d: %s is\n    \"%s\", expected\n    \"%s\"\n", file, line, what,
            got ? got : "(NULL)", want ? want : "(NULL)");
    test_bad++;
    return false;
}

static inline bool test_near(double got, double want, double tolerance, const char *what,
                             const char *file, int line)
{
    bool ok = isnan(want)   ? isnan(got)
              : isinf(want) ? isinf(got) && signbit(got) == signbit(want)
                            : fabs(got - want) <= tolerance * fmax(1.0, fabs(want));
    if (ok)
        return true;
    fprintf(stderr, "%s:%d: %s is %.17g, expected %.17g within %g\n", file, line, what, got, want,
            tolerance);
    test_bad++;
    return false;
}

static inline bool test_bits(const void *got, const void *want, size_t bytes, const char *what,
                             const char *file, int line)
{
    const unsigned char *a = got, *b = want;
    for (size_t i = 0; i < bytes; i++) {
        if (a[i] != b[i]) {
            fprintf(stderr, "%s:%d: %s differs at byte %zu of %zu: 0x%02x, expected 0x%02x\n", file,
                    line, what, i, bytes, a[i], b[i]);
            test_bad++;
            return false;
        }
    }
    return true;
}

static inline bool test_code(int want, int got, const char *what, const char *file, int line)
{
    if (got == want)
        return true;
    fprintf(stderr, "%s:%d: %s returned %d, expected %d\n", file, line, what, got, want);
    test_bad++;
    return false;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;

    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (const struct test_case *t = test_first; t; t = t->next)
            puts(t->name);
        return 0;
    }
    for (const struct test_case *t = test_first; t; t = t->next) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted = wanted || strcmp(argv[i], t->name) == 0;
        if (!wanted)
            continue;
        test_bad = 0;
        t->run();
        if (test_bad) {
            printf("FAILED %s (%u)\n", t->name, test_bad);
            failed++;
        } else {
            passed++;
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    /* A name that matches nothing is a mistake of the caller, not a success. */
    return failed || passed == 0;
}

#endif
