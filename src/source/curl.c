/* SPDX-License-Identifier: Apache-2.0 */
/* curl: loading libcurl, once, whoever asks first. */
#include <pthread.h>

#include "source/curl.h"

static struct sc_curl table;
static struct sc_error problem; /* why there is no table */
static bool usable;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.4.dylib",
                                        NULL};
#define SYMBOL(name) {"curl_" #name, &table.name},
    static const struct sc_symbol symbols[] = {SC_CURL_FUNCTIONS(SYMBOL)};
#undef SYMBOL

    if (sc_library_load(names, symbols, SC_COUNT(symbols), "read models over the network",
                        &problem) < 0)
        return;
    if (table.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        sc_fail(&problem, SCRUPLE_EUNSUPPORTED, "the library libcurl cannot be initialised");
    else
        usable = true;
}

const struct sc_curl *sc_curl(struct sc_error *e)
{
    pthread_once(&once, load);
    if (usable)
        return &table;
    sc_fail(e, SCRUPLE_EUNSUPPORTED, "%s", problem.text);
    return NULL;
}
