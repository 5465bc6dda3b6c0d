/* SPDX-License-Identifier: Apache-2.0 */
/* lapack: loading OpenBLAS, once, whoever asks first. */
#include <pthread.h>

#include "math/lapack.h"

static struct sc_lapack table;
static void (*set_num_threads)(int n);
static struct sc_error problem; /* why there is no table */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.0.dylib", NULL};
    static const struct sc_symbol symbols[] = {{"openblas_set_num_threads", &set_num_threads},
#define SYMBOL(name, arguments) {#name "_", &table.name},
                                               SC_LAPACK_FUNCTIONS(SYMBOL)
#undef SYMBOL
    };
    if (sc_library_load(names, symbols, SC_COUNT(symbols), "compute singular values", &problem) ==
        0)
        set_num_threads(1);
}

const struct sc_lapack *sc_lapack(struct sc_error *e)
{
    pthread_once(&once, load);
    if (problem.code == 0)
        return &table;
    sc_fail(e, SCRUPLE_EUNSUPPORTED, "%s", problem.text);
    return NULL;
}
