/* SPDX-License-Identifier: Apache-2.0 */
/* curl: libcurl as a table of functions, loaded when it is first asked for.
 *
 * Owns: which of its functions are used, loading and initialising it once.
 *
 * Does not own: anything about HTTP (http_*.c). The program is not linked with libcurl, see
 * base/library.c. */
#ifndef SC_CURL_H
#define SC_CURL_H

/* Its macros would call the functions by name, not through the table. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "base/base.h"

#define SC_CURL_FUNCTIONS(X)                                                                       \
    X(easy_init)                                                                                   \
    X(easy_cleanup)                                                                                \
    X(easy_setopt)                                                                                 \
    X(easy_getinfo)                                                                                \
    X(easy_strerror)                                                                               \
    X(multi_init)                                                                                  \
    X(multi_cleanup)                                                                               \
    X(multi_setopt)                                                                                \
    X(multi_add_handle)                                                                            \
    X(multi_remove_handle)                                                                         \
    X(multi_perform)                                                                               \
    X(multi_poll)                                                                                  \
    X(multi_wakeup)                                                                                \
    X(multi_info_read)                                                                             \
    X(slist_append)                                                                                \
    X(slist_free_all)                                                                              \
    X(url)                                                                                         \
    X(url_cleanup)                                                                                 \
    X(url_get)                                                                                     \
    X(url_set)                                                                                     \
    X(free)                                                                                        \
    X(global_init)

struct sc_curl {
#define SC_CURL_MEMBER(name) __typeof__(curl_##name) *name;
    SC_CURL_FUNCTIONS(SC_CURL_MEMBER)
#undef SC_CURL_MEMBER
};

/* From any thread. NULL: it is not there, and e says what to install. */
const struct sc_curl *sc_curl(struct sc_error *e);

#endif
