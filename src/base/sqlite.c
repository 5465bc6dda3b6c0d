/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite: loading libsqlite3, once, whoever asks first. */
#include <pthread.h>

#include "base/sqlite.h"

static struct sc_sqlite table;
static struct sc_error problem; /* why there is no table */
static bool usable;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    static const char *const names[] = {"libsqlite3.so.0", "libsqlite3.dylib", NULL};
#define SYMBOL(name) {"sqlite3_" #name, &table.name},
    static const struct sc_symbol symbols[] = {SC_SQLITE_FUNCTIONS(SYMBOL)};
#undef SYMBOL

    if (sc_library_load(names, symbols, SC_COUNT(symbols), "keep results", &problem) < 0)
        return;
    if (!table.threadsafe())
        sc_fail(&problem, SCRUPLE_EUNSUPPORTED, "the library libsqlite3 was built without threads");
    else
        usable = true;
}

const struct sc_sqlite *sc_sqlite(struct sc_error *e)
{
    pthread_once(&once, load);
    if (usable)
        return &table;
    sc_fail(e, SCRUPLE_EUNSUPPORTED, "%s", problem.text);
    return NULL;
}
