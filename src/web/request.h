/* SPDX-License-Identifier: Apache-2.0 */
/* request: what a browser asks for, as docs/viewer-protocol.md says.
 *
 * Owns: the grammar of addresses, numbers in them, and which hosts and origins may ask.
 *
 * Does not own: HTTP (microhttpd.h), answers (server.c). Pure functions: any bytes may come.
 */
#ifndef SC_WEB_REQUEST_H
#define SC_WEB_REQUEST_H

#include "web/web.h"

enum {
    SC_WEB_TOKEN = 32,  /* hexadecimal digits */
    SC_WEB_NAME = 64,   /* bytes of an asset's name, with NUL */
    SC_WEB_WORDS = 512, /* bytes of a search */
};
enum sc_web_route {
    SC_ROUTE_NONE, /* there is no such thing: `problem` may say why */
    SC_ROUTE_PAGE,
    SC_ROUTE_ASSET,
    SC_ROUTE_VIEW,
    SC_ROUTE_COLOURS,
    SC_ROUTE_SCENE,
    SC_ROUTE_SCALES,
    SC_ROUTE_TILE,
    SC_ROUTE_VALUE,
    SC_ROUTE_TENSOR,
    SC_ROUTE_SEARCH,
    SC_ROUTE_EVENTS,
    SC_ROUTE_SHOT,
};
struct sc_web_request {
    enum sc_web_route route;
    const char *problem; /* a sentence: the route is right, but not its words. A constant */
    uint32_t view;
    char name[SC_WEB_NAME];                 /* ASSET */
    int64_t z, x, y, w, h;                  /* TILE (without w and h), SHOT */
    uint64_t plane, mode, scale_of, ground; /* ground 1: light */
    uint64_t tensor, slice, row, col, limit;
    char words[SC_WEB_WORDS];
    size_t n_words;
};
/* `target` is what stands behind GET, up to NUL. */
void sc_web_parse(const char *target, const char token[SC_WEB_TOKEN + 1],
                  struct sc_web_request *out);

/* The address that is served, as browsers write it. */
struct sc_web_place {
    const char *name; /* of --bind; NULL: 127.0.0.1 */
    uint16_t port;
    bool any; /* bound to all addresses: any number of an address is right, too */
};
/* Is this Host ours? Names that somebody else's DNS might give our address are not. */
bool sc_web_host_is_ours(const struct sc_web_place *p, const char *host);
/* May a page of this origin ask? Header values; NULL: not sent. `host` is ours. `is_page`: opening
 * the page itself from elsewhere is allowed, reading it from a script is not. */
bool sc_web_origin_is_ours(const char *host, const char *origin, const char *site, const char *mode,
                           const char *destination, bool is_page);

#endif
