/* SPDX-License-Identifier: Apache-2.0 */
/* bytes_view: files of any kind as a view of a page. */
#ifndef SC_BYTES_VIEW_H
#define SC_BYTES_VIEW_H

#include "picture/bytes.h"
#include "web/web.h"

/* Borrows everything. */
struct sc_bytes_view {
    struct sc_bytes *bytes;
    struct sc_pool *pool;
    const _Atomic int *cancel;
    const char *title;
};
struct sc_web_view sc_web_view_of_bytes(struct sc_bytes_view *v);
/* For pictures of it: mode and plane are the caller's to choose. */
struct sc_render_options sc_bytes_render(const struct sc_bytes_view *v);

#endif
