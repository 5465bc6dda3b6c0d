/* SPDX-License-Identifier: Apache-2.0 */
/* page: what a server and an export have in common: the page around the modules, and documents that
 * are the same for every model. */
#ifndef SC_WEB_PAGE_H
#define SC_WEB_PAGE_H

#include "web/assets.h"
#include "web/web.h"

/* index.html, and the policy that goes with it (a header's value). SCRUPLE_EUNSUPPORTED: no
 * libcrypto for the hash of the import map. */
int sc_web_page(const char *title, struct sc_buf *page, struct sc_buf *policy, struct sc_error *e);
/* view.json. `mode`: "live" or "static". */
void sc_web_views(struct sc_out *o, const char *mode, const char *title, const char *start,
                  const struct sc_web_view *views, size_t n_views);
/* An asset by its name, or NULL; and its type for a browser. */
const struct sc_web_asset *sc_web_asset_find(const char *name);
const char *sc_web_type_of(const char *name);

#endif
