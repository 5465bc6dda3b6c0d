/* SPDX-License-Identifier: Apache-2.0 */
/* kernel: what loops in SIMD share.
 *
 * Owns: which vector units the processor has, and how a test asks for fewer. Loops of one subject
 * stand with it (decoders in codec), as plain C that is always there and variants that are proven
 * to give the same bits.
 *
 * Does not own: threads, memory.
 */
#ifndef SC_KERNEL_H
#define SC_KERNEL_H

#include "base/base.h"

enum sc_cpu {
    SC_CPU_C,      /* plain C */
    SC_CPU_AVX2,   /* AVX2, FMA and F16C */
    SC_CPU_AVX512, /* AVX-512 F, BW, DQ and VL */
};
/* The best that this processor has; $SCRUPLE_CPU ("c", "avx2", "avx512") asks for less. Asked
 * once. */
enum sc_cpu sc_cpu_level(void);

/* Compile one function for a level: SC_TARGET_AVX2 static void f(...). */
#if defined(__x86_64__) && defined(__GNUC__)
#define SC_HAVE_X86      1
#define SC_TARGET_AVX2   __attribute__((target("avx2,fma,f16c")))
#define SC_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#else
#define SC_HAVE_X86 0
#endif

#endif
