/* SPDX-License-Identifier: Apache-2.0 */
/* cpu: which vector units there are. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* syscall(); NOLINT(bugprone-reserved-identifier,cert-dcl51-cpp) */
#endif
#include "kernel/kernel.h"

#include <stdlib.h>
#include <string.h>

#if SC_HAVE_X86 && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static enum sc_cpu best(void)
{
#if SC_HAVE_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return SC_CPU_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return SC_CPU_AVX2; /* F16C came before AVX2, with every processor that has it */
#endif
    return SC_CPU_C;
}

enum { SHORT = SC_CPU_AVX512 + 1, TILES }; /* what "bf16" and "amx" ask for */

static int asked(void)
{
    static const char *const names[] = {"c", "avx2", "avx512", "bf16", "amx"};
    const char *word = getenv("SCRUPLE_CPU");
    for (size_t i = 0; word && i < SC_COUNT(names); i++)
        if (strcmp(word, names[i]) == 0)
            return (int)i;
    return TILES;
}

enum sc_cpu sc_cpu_level(void)
{
    /* Whoever comes at once finds the same answer. */
    static _Atomic int level = -1;
    int now = level;
    if (now < 0)
        level = now = SC_MIN(asked(), (int)best());
    return (enum sc_cpu)now;
}

/* Tile registers are 8 KiB that the system keeps for a thread, so it wants to be asked. */
static bool granted(void)
{
#if SC_HAVE_X86 && defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQUEST = 0x1023, TILE_DATA = 18, HAS_BF16 = 1 << 22, HAS_TILES = 1 << 24 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & HAS_BF16) && (d & HAS_TILES) &&
           syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
    return false;
#endif
}

bool sc_cpu_has_tiles(void)
{
    static _Atomic int answer = -1;
    int now = answer;
    if (now < 0)
        answer = now = asked() == TILES && best() == SC_CPU_AVX512 && granted();
    return now != 0;
}

static bool multiplies_bf16(void)
{
#if SC_HAVE_X86
    return best() == SC_CPU_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

bool sc_cpu_has_bf16(void)
{
    static _Atomic int answer = -1;
    int now = answer;
    if (now < 0)
        answer = now = asked() >= SHORT && multiplies_bf16();
    return now != 0;
}
