/* SPDX-License-Identifier: Apache-2.0 */
/* microhttpd: loading libmicrohttpd, once. */
#include "web/microhttpd.h"

#include <pthread.h>

static struct sc_microhttpd table;
static struct sc_error problem; /* why there is no table */
static bool usable;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    static const char *const names[] = {"libmicrohttpd.so.12", "libmicrohttpd.12.dylib", NULL};
#define SYMBOL(name) {"MHD_" #name, &table.name},
    static const struct sc_symbol symbols[] = {SC_MICROHTTPD_FUNCTIONS(SYMBOL)};
#undef SYMBOL

    usable = sc_library_load(names, symbols, SC_COUNT(symbols), "look at models in a browser",
                             &problem) == 0;
}

const struct sc_microhttpd *sc_microhttpd(struct sc_error *e)
{
    pthread_once(&once, load);
    if (usable)
        return &table;
    sc_fail(e, SCRUPLE_EUNSUPPORTED, "%s", problem.text);
    return NULL;
}
