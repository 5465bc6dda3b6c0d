/* SPDX-License-Identifier: Apache-2.0 */
/* pages and sort: tables beside little memory, and order without any. */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* setenv; NOLINT(bugprone-reserved-identifier,cert-dcl51-cpp) */
#endif
#include <stdlib.h>

#include "base/base.h"
#include "test.h"

/* Bytes of this process that are no file pages; 0: the system does not tell. */
static size_t own_memory(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    size_t kilobytes = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "RssAnon:", 8) == 0)
            kilobytes = strtoull(line + 8, NULL, 10);
    if (f)
        fclose(f);
    return kilobytes << 10;
}

/* Grows to n numbers one by one, and looks at them. */
static uint64_t *grown(bool filed, size_t n)
{
    uint64_t *all = NULL;
    size_t cap = 0, wrong = 0;
    struct sc_error e = {0};
    for (size_t i = 0; i < n; i++) {
        if (sc_pages_grow(filed, &all, &cap, i + 1, sizeof *all, &e) < 0) {
            sc_pages_free(all);
            return NULL;
        }
        all[i] = i * i;
    }
    for (size_t i = 0; i < n; i++)
        wrong += all[i] != i * i;
    CHECK_U64(wrong, 0);
    CHECK(cap >= n);
    return all;
}

TEST(a_table_grows_and_keeps_what_it_holds)
{
    for (int filed = 0; filed < 2; filed++) {
        uint64_t *all = grown(filed, 300000);
        REQUIRE(all != NULL);
        sc_pages_free(all);
    }
}

TEST(a_large_table_takes_no_memory_of_its_own)
{
    enum { N = 4 << 20 };
    const size_t before = own_memory();
    if (!before)
        return;
    uint64_t *all = grown(true, N);
    REQUIRE(all != NULL);
    const size_t after = own_memory();
    CHECK(after < before + ((size_t)N * sizeof *all) / 4);
    sc_pages_free(all);
}

TEST(a_new_table_is_zeroed_and_aligned)
{
    const size_t sizes[] = {0, 1, 1000, SC_PAGES_FROM - 1, SC_PAGES_FROM, SC_PAGES_FROM + 1};
    for (size_t i = 0; i < SC_COUNT(sizes); i++) {
        unsigned char *p = sc_pages_new(true, sizes[i], 1);
        size_t wrong = 0;
        REQUIRE(p != NULL);
        for (size_t k = 0; k < sizes[i]; k++)
            wrong += p[k] != 0;
        CHECK_U64(wrong, 0);
        CHECK_U64((uintptr_t)p % 64 % _Alignof(max_align_t), 0);
        memset(p, 1, sizes[i]);
        sc_pages_free(p);
    }
    sc_pages_free(NULL);
}

TEST(sizes_that_wrap_are_refused)
{
    uint64_t *all = NULL;
    size_t cap = 0;
    struct sc_error e = {0};
    CHECK(sc_pages_new(true, SIZE_MAX, 2) == NULL);
    CHECK(sc_pages_new(false, (size_t)PTRDIFF_MAX, 1) == NULL);
    for (int filed = 0; filed < 2; filed++)
        CHECK(sc_pages_grow(filed, &all, &cap, SIZE_MAX / 4, sizeof *all, &e) == SCRUPLE_EMEMORY);
    CHECK(all == NULL && cap == 0);
}

TEST(without_a_place_for_files_tables_are_in_memory)
{
    const char *was = getenv("TMPDIR");
    char *folder = was ? strdup(was) : NULL;
    setenv("TMPDIR", "/no/such/folder", 1);
    CHECK(sc_open_unnamed() < 0);
    uint64_t *all = grown(true, 300000);
    CHECK(all != NULL);
    sc_pages_free(all);
    if (folder)
        setenv("TMPDIR", folder, 1);
    else
        unsetenv("TMPDIR");
    free(folder);
}

TEST(an_arena_of_many_names_takes_no_memory_of_its_own)
{
    struct sc_arena a = {.filed = true};
    const size_t before = own_memory();
    char *first = sc_arena_copy(&a, "first", 5), name[64] = "";
    for (unsigned i = 0; i < 400000; i++) {
        const int n = snprintf(name, sizeof name, "model.layers.%u.mlp.up_proj.weight", i);
        REQUIRE(sc_arena_copy(&a, name, (size_t)n) != NULL);
    }
    CHECK_STR(first, "first");
    CHECK(a.total > (size_t)12 << 20);
#ifndef __SANITIZE_ADDRESS__ /* which has a byte of its own for every eight */
    CHECK(!before || own_memory() < before + ((size_t)3 << 20));
#else
    (void)before;
#endif
    sc_arena_clear(&a);
}

TEST(an_index_in_a_file_finds_what_was_put)
{
    struct sc_index ix = {.filed = true};
    for (uint32_t i = 0; i < 200000; i++)
        REQUIRE(sc_index_put(&ix, sc_hash(&i, sizeof i), i, NULL) == 0);
    size_t found = 0;
    for (uint32_t i = 0; i < 200000; i++) {
        size_t probe = 0;
        uint32_t id;
        while ((id = sc_index_next(&ix, sc_hash(&i, sizeof i), &probe)) != UINT32_MAX && id != i)
            ;
        found += id == i;
    }
    CHECK_U64(found, 200000);
    sc_index_clear(&ix);
}

/* ----------------------------------------------------------------------------------- order --- */
struct item {
    uint32_t key;
    char rest[84]; /* longer than what is swapped at once */
};

static int by_key(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

TEST(items_come_in_order)
{
    const size_t lengths[] = {0, 1, 2, 3, 4, 5, 6, 7, 31, 32, 33, 1000};
    static struct item all[1000];
    uint64_t state = 1;
    for (int kind = 0; kind < 4; kind++) /* random, ascending, descending, few different */
        for (size_t l = 0; l < SC_COUNT(lengths); l++) {
            const size_t n = lengths[l];
            uint64_t sum = 0, after = 0, wrong = 0;
            for (size_t i = 0; i < n; i++) {
                state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
                all[i].key = kind == 0   ? (uint32_t)(state >> 32)
                             : kind == 1 ? (uint32_t)i
                             : kind == 2 ? (uint32_t)(n - i)
                                         : (uint32_t)(state >> 62);
                memset(all[i].rest, (int)(all[i].key & 0x7f), sizeof all[i].rest);
                sum += all[i].key;
            }
            sc_sort(all, n, sizeof all[0], by_key);
            for (size_t i = 0; i < n; i++) {
                after += all[i].key;
                wrong += i && all[i - 1].key > all[i].key;
                for (size_t k = 0; k < sizeof all[i].rest; k++)
                    wrong += all[i].rest[k] != (char)(all[i].key & 0x7f);
            }
            CHECK_U64(wrong, 0);
            CHECK_U64(after, sum);
        }
}

static int by_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

TEST(the_k_th_smallest_is_that_of_a_sorted_list)
{
    double v[257], sorted[257];
    uint64_t state = 7;
    for (size_t n = 1; n <= SC_COUNT(v); n += n < 8 ? 1 : 83) {
        for (size_t i = 0; i < n; i++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            sorted[i] = i % 9 == 8 ? INFINITY : (double)(int64_t)(state >> 56) - 100;
        }
        for (size_t k = 0; k < n; k++) {
            memcpy(v, sorted, sizeof v);
            const double got = sc_select(v, n, k);
            size_t below = 0, above = 0;
            for (size_t i = 0; i < n; i++) {
                below += i < k && v[i] > got;
                above += i > k && v[i] < got;
            }
            CHECK_U64(below + above, 0);
            qsort(v, n, sizeof v[0], by_double);
            CHECK(v[k] <= got && v[k] >= got);
        }
    }
}
