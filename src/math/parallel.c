/* SPDX-License-Identifier: Apache-2.0 */
/* parallel: somebody else's threads, or none. */
#include "math/math.h"

void sc_parallel_run(const struct sc_parallel *p, size_t n, void (*fn)(void *fn_ctx, size_t i),
                     void *fn_ctx)
{
    if (p && p->run) {
        p->run(p->ctx, n, fn, fn_ctx);
        return;
    }
    for (size_t i = 0; i < n; i++)
        fn(fn_ctx, i);
}
