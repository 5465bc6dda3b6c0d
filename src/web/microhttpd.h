/* SPDX-License-Identifier: Apache-2.0 */
/* microhttpd: libmicrohttpd as a table of functions, loaded when it is first asked for, like
 * libcurl (source/curl.h): it needs GnuTLS, which nobody else does. */
#ifndef SC_MICROHTTPD_H
#define SC_MICROHTTPD_H

#include <microhttpd.h>

#include "base/base.h"

#define SC_MICROHTTPD_FUNCTIONS(X)                                                                 \
    X(start_daemon)                                                                                \
    X(stop_daemon)                                                                                 \
    X(get_connection_info)                                                                         \
    X(get_connection_values)                                                                       \
    X(queue_response)                                                                              \
    X(create_response_from_buffer_with_free_callback_cls)                                          \
    X(create_response_from_callback)                                                               \
    X(add_response_header)                                                                         \
    X(destroy_response)

struct sc_microhttpd {
#define SC_MICROHTTPD_MEMBER(name) __typeof__(MHD_##name) *name;
    SC_MICROHTTPD_FUNCTIONS(SC_MICROHTTPD_MEMBER)
#undef SC_MICROHTTPD_MEMBER
};

/* From any thread. NULL: it is not there, and e says what to install. */
const struct sc_microhttpd *sc_microhttpd(struct sc_error *e);

#endif
