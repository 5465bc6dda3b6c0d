/* SPDX-License-Identifier: Apache-2.0 */
/* library: a shared library that is loaded when it is first needed.
 *
 * libcurl and what hangs on it cost 4 ms at the start of every program that is linked with it,
 * ten times what it takes to list a model on disk; so nothing is linked with it. */
#include <dlfcn.h>
#include <string.h>

#include "base/base.h"

int sc_library_load(const char *const *names, const struct sc_symbol *symbols, size_t n,
                    const char *to_do_what, struct sc_error *e)
{
    void *handle = NULL;
    for (size_t i = 0; names[i] && !handle; i++)
        handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED,
                       "the library %s cannot be loaded; install it to %s", names[0], to_do_what);
    for (size_t i = 0; i < n; i++) {
        void *at = dlsym(handle, symbols[i].name);
        if (!at) {
            dlclose(handle);
            return sc_fail(e, SCRUPLE_EUNSUPPORTED, "the library %s is too old: it has no %s",
                           names[0], symbols[i].name);
        }
        memcpy(symbols[i].slot, &at, sizeof at); /* as POSIX says for functions */
    }
    return 0; /* stays loaded */
}
