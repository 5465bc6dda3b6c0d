/* SPDX-License-Identifier: Apache-2.0 */
/* tops: floats whose upper halves are counted while the same or others are rounded. */
#ifndef SC_KERNEL_TOPS_H
#define SC_KERNEL_TOPS_H

#include "kernel/kernel.h"

/* sc_steps_both() that counts the upper 16 bits of some of the floats that wait in `tops`, whose
 * `codes` points at the next one. */
void sc_steps_tops(const float *x, size_t n, const struct sc_steps_of *how, enum sc_cpu level,
                   struct sc_counting *tops, struct sc_steps *groups, struct sc_steps *all);
/* All that are left. */
static inline void sc_tops_finish(struct sc_counting *tops)
{
    sc_count_tops((const void *)tops->codes, tops->n, tops->table);
    tops->n = 0;
}

#if SC_HAVE_X86
void sc_steps_tops_avx512(const float *x, size_t n, const struct sc_steps_of *how,
                          struct sc_counting *tops, struct sc_steps *groups, struct sc_steps *all);
#endif

#endif
