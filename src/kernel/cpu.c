/* SPDX-License-Identifier: Apache-2.0 */
/* cpu: which vector units there are. */
#include "kernel/kernel.h"

#include <stdlib.h>
#include <string.h>

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

static enum sc_cpu allowed(void)
{
    static const char *const names[] = {"c", "avx2", "avx512"};
    const char *asked = getenv("SCRUPLE_CPU");
    const enum sc_cpu most = best();
    for (size_t i = 0; asked && i < SC_COUNT(names); i++)
        if (strcmp(asked, names[i]) == 0)
            return SC_MIN((enum sc_cpu)i, most);
    return most;
}

enum sc_cpu sc_cpu_level(void)
{
    /* Whoever comes at once finds the same answer. */
    static _Atomic int level = -1;
    int now = level;
    if (now < 0)
        level = now = (int)allowed();
    return (enum sc_cpu)now;
}
