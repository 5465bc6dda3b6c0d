/* SPDX-License-Identifier: Apache-2.0 */
/* assets: the files of the page, as tools/embed.sh makes them of src/web/assets. */
#ifndef SC_WEB_ASSETS_H
#define SC_WEB_ASSETS_H

#include <stddef.h>

struct sc_web_asset {
    const char *name; /* "main.mjs" */
    const unsigned char *p;
    size_t n;
};
extern const struct sc_web_asset sc_web_assets[]; /* ends with a name of NULL */

#endif
