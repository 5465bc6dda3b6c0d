/* SPDX-License-Identifier: Apache-2.0 */
/* test_kernel: which vector units are used. The answer is given once, so every question is asked in
 * a process of its own. */
#include "kernel/kernel.h"
#include "test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a process with $SCRUPLE_CPU = asked says; NULL: it is not set. */
static int level_of(const char *asked)
{
    int status = -1;
    const pid_t pid = fork();
    if (pid == 0) {
        if (asked)
            setenv("SCRUPLE_CPU", asked, 1);
        else
            unsetenv("SCRUPLE_CPU");
        const enum sc_cpu first = sc_cpu_level();
        setenv("SCRUPLE_CPU", "c", 1); /* too late */
        _exit(sc_cpu_level() == first ? (int)first : 99);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

TEST(environment_asks_for_less)
{
    const int best = level_of(NULL);
    CHECK(best >= SC_CPU_C && best <= SC_CPU_AVX512);
    CHECK_U64(level_of("c"), SC_CPU_C);
    CHECK_U64(level_of("avx2"), SC_MIN(best, SC_CPU_AVX2));
    CHECK_U64(level_of("avx512"), best);
    CHECK_U64(level_of("amx"), best);
}

/* Whether a process with $SCRUPLE_CPU = asked uses a matrix unit; NULL: it is not set. */
static int tiles_with(const char *asked)
{
    int status = -1;
    const pid_t pid = fork();
    if (pid == 0) {
        if (asked)
            setenv("SCRUPLE_CPU", asked, 1);
        else
            unsetenv("SCRUPLE_CPU");
        const bool first = sc_cpu_has_tiles();
        setenv("SCRUPLE_CPU", first ? "c" : "amx", 1); /* too late */
        _exit(sc_cpu_has_tiles() == first ? first : 99);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

TEST(the_matrix_unit_is_more_than_vectors)
{
    static const char *const less[] = {"c", "avx2", "avx512"};
    const int best = tiles_with(NULL);
    CHECK(best == 0 || (best == 1 && level_of(NULL) == SC_CPU_AVX512));
    CHECK_U64(tiles_with("amx"), best);
    CHECK_U64(tiles_with("other"), best);
    for (size_t i = 0; i < SC_COUNT(less); i++)
        CHECK_U64(tiles_with(less[i]), 0);
}

TEST(other_words_ask_for_nothing)
{
    static const char *const words[] = {"", "C", "sse", "avx", "avx5120", "avx2 "};
    const int best = level_of(NULL);
    for (size_t i = 0; i < SC_COUNT(words); i++)
        CHECK_U64(level_of(words[i]), best);
}

TEST(no_level_without_its_vector_units)
{
    const int best = level_of(NULL);
#if SC_HAVE_X86
    if (best >= SC_CPU_AVX2)
        CHECK(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    if (best >= SC_CPU_AVX512)
        CHECK(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"));
#else
    CHECK_U64(best, SC_CPU_C);
#endif
}
