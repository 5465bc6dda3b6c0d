/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite: SQLite as a table of functions, loaded when it is first asked for.
 *
 * Owns: which of its functions are used, loading it once. Does not own: what is kept in databases
 * (analyze/results.c, report/sqlite.c). The program is not linked with it, see library.c. */
#ifndef SC_SQLITE_H
#define SC_SQLITE_H

#include <sqlite3.h>

#include "base/base.h"

#define SC_SQLITE_FUNCTIONS(X)                                                                     \
    X(open_v2)                                                                                     \
    X(close_v2)                                                                                    \
    X(busy_timeout)                                                                                \
    X(exec)                                                                                        \
    X(prepare_v2)                                                                                  \
    X(step)                                                                                        \
    X(reset)                                                                                       \
    X(finalize)                                                                                    \
    X(clear_bindings)                                                                              \
    X(bind_blob)                                                                                   \
    X(bind_double)                                                                                 \
    X(bind_int64)                                                                                  \
    X(bind_null)                                                                                   \
    X(bind_text)                                                                                   \
    X(column_blob)                                                                                 \
    X(column_bytes)                                                                                \
    X(column_int64)                                                                                \
    X(column_text)                                                                                 \
    X(errmsg)                                                                                      \
    X(errstr)                                                                                      \
    X(threadsafe)

struct sc_sqlite {
#define SC_SQLITE_MEMBER(name) __typeof__(sqlite3_##name) *name;
    SC_SQLITE_FUNCTIONS(SC_SQLITE_MEMBER)
#undef SC_SQLITE_MEMBER
};

/* From any thread. NULL: it is not there, and e says what to install. */
const struct sc_sqlite *sc_sqlite(struct sc_error *e);

#endif
