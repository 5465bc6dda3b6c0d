/* SPDX-License-Identifier: Apache-2.0 */
/* request: addresses, strictly: what is not in the table does not exist.
 *
 * Paths have no escapes at all, so nothing is decoded twice and there is nothing to walk out of;
 * only the words of a search may have some. */
#include "web/request.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* --------------------------------------------------------------------------------- numbers --- */

static bool read_u64(struct sc_str s, uint64_t *out)
{
    if (s.n > 1 && s.p[0] == '0')
        return false; /* one spelling for each number */
    return sc_str_u64(s, out);
}

static bool read_i64(struct sc_str s, int64_t *out)
{
    uint64_t size;
    const bool below = s.n > 0 && s.p[0] == '-';
    if (!read_u64(below ? sc_str(s.p + 1, s.n - 1) : s, &size) || size > INT64_MAX ||
        (below && size == 0))
        return false;
    *out = below ? -(int64_t)size : (int64_t)size;
    return true;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Text of a query: %XX and + decoded, once; no NUL. */
static bool read_text(struct sc_str s, char *out, size_t room, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int c = (unsigned char)s.p[i];
        if (c == '%') {
            if (s.n - i < 3 || digit_of(s.p[i + 1]) < 0 || digit_of(s.p[i + 2]) < 0)
                return false;
            c = digit_of(s.p[i + 1]) * 16 + digit_of(s.p[i + 2]);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (c == 0 || *n + 1 >= room)
            return false;
        out[(*n)++] = (char)c;
    }
    out[*n] = '\0';
    return true;
}

static bool read_word(struct sc_str s, const char *const *words, uint64_t *out)
{
    for (*out = 0; words[*out]; ++*out)
        if (sc_str_is(s, words[*out]))
            return true;
    return false;
}

/* --------------------------------------------------------------------------------- queries --- */

enum kind { UNSIGNED, SIGNED, TEXT, MODE, PLANE, SCALE, GROUND };
struct key {
    const char *name;
    enum kind kind;
    bool needed;
    size_t field; /* of sc_web_request; of a TEXT: none */
};
#define FIELD(name) offsetof(struct sc_web_request, name)
static const struct key value_keys[] = {{"tensor", UNSIGNED, true, FIELD(tensor)},
                                        {"slice", UNSIGNED, false, FIELD(slice)},
                                        {"row", UNSIGNED, true, FIELD(row)},
                                        {"col", UNSIGNED, true, FIELD(col)},
                                        {NULL, UNSIGNED, false, 0}};
static const struct key tensor_keys[] = {{"i", UNSIGNED, true, FIELD(tensor)},
                                         {NULL, UNSIGNED, false, 0}};
static const struct key search_keys[] = {
    {"q", TEXT, true, 0}, {"limit", UNSIGNED, false, FIELD(limit)}, {NULL, UNSIGNED, false, 0}};
static const struct key shot_keys[] = {{"x", SIGNED, true, FIELD(x)},
                                       {"y", SIGNED, true, FIELD(y)},
                                       {"w", SIGNED, true, FIELD(w)},
                                       {"h", SIGNED, true, FIELD(h)},
                                       {"z", SIGNED, true, FIELD(z)},
                                       {"m", MODE, false, FIELD(mode)},
                                       {"p", PLANE, false, FIELD(plane)},
                                       {"s", SCALE, false, FIELD(scale_of)},
                                       {"ground", GROUND, false, FIELD(ground)},
                                       {NULL, UNSIGNED, false, 0}};
static const struct key no_keys[] = {{NULL, UNSIGNED, false, 0}};

static bool read_value(struct sc_web_request *r, const struct key *k, struct sc_str s)
{
    static const char *const grounds[] = {"dark", "light", NULL};
    void *at = (char *)r + k->field;
    switch (k->kind) {
    case UNSIGNED:
        return read_u64(s, at);
    case SIGNED:
        return read_i64(s, at);
    case TEXT:
        return read_text(s, r->words, sizeof r->words, &r->n_words);
    case MODE:
        return read_word(s, sc_colour_modes, at);
    case PLANE:
        return read_word(s, sc_plane_names, at);
    case SCALE:
        return read_word(s, sc_scale_names, at);
    case GROUND:
        return read_word(s, grounds, at);
    }
    return false;
}

/* Up to the next `c`, which is taken away, too. */
static struct sc_str cut(struct sc_str *s, char c)
{
    const char *end = s->n ? memchr(s->p, c, s->n) : NULL;
    const struct sc_str part = sc_str(s->p, end ? (size_t)(end - s->p) : s->n);
    s->p += part.n + (end ? 1 : 0);
    s->n -= part.n + (end ? 1 : 0);
    return part;
}

/* Every key at most once, and none that is unknown. NULL, or what is wrong. */
static const char *read_query(struct sc_web_request *r, const struct key *keys, struct sc_str query)
{
    unsigned seen = 0;
    while (query.n) {
        struct sc_str value = cut(&query, '&');
        const struct sc_str name = cut(&value, '=');
        size_t i = 0;
        while (keys[i].name && !sc_str_is(name, keys[i].name))
            i++;
        if (!keys[i].name)
            return "the address has a key that is not known here";
        if (seen & 1U << i)
            return "the address has a key twice";
        seen |= 1U << i;
        if (!read_value(r, &keys[i], value))
            return "the address has a value that is not allowed";
    }
    for (size_t i = 0; keys[i].name; i++)
        if (keys[i].needed && !(seen & 1U << i))
            return "the address lacks a key";
    return NULL;
}

/* ----------------------------------------------------------------------------------- paths --- */

/* Takes the same time for every wrong token. */
static bool is_token(struct sc_str s, const char token[SC_WEB_TOKEN + 1])
{
    unsigned char differ = s.n != SC_WEB_TOKEN;
    for (size_t i = 0; i < SC_WEB_TOKEN && i < s.n; i++)
        differ |= (unsigned char)(s.p[i] ^ token[i]);
    return differ == 0;
}

static bool is_asset_name(struct sc_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!plain && (c != '.' || i == 0))
            return false;
    }
    return s.n > 0 && s.n < SC_WEB_NAME;
}

static void parse_tile(struct sc_web_request *r, struct sc_str path)
{
    const struct sc_str z = cut(&path, '/'), x = cut(&path, '/');
    struct sc_str y = cut(&path, '.');
    if (read_i64(z, &r->z) && read_i64(x, &r->x) && read_i64(y, &r->y) &&
        read_word(path, sc_plane_names, &r->plane) && r->z >= -64 && r->z <= 64)
        r->route = SC_ROUTE_TILE;
}

static const struct {
    const char *name;
    enum sc_web_route route;
    const struct key *keys;
} of_views[] = {
    {"scene.json", SC_ROUTE_SCENE, no_keys},  {"scales.json", SC_ROUTE_SCALES, no_keys},
    {"value", SC_ROUTE_VALUE, value_keys},    {"tensor", SC_ROUTE_TENSOR, tensor_keys},
    {"search", SC_ROUTE_SEARCH, search_keys}, {"events", SC_ROUTE_EVENTS, no_keys},
    {"shot.png", SC_ROUTE_SHOT, shot_keys},
};

static void parse_view(struct sc_web_request *r, struct sc_str path, struct sc_str query)
{
    uint64_t view;
    if (!read_u64(cut(&path, '/'), &view) || view > UINT32_MAX)
        return;
    r->view = (uint32_t)view;
    if (sc_str_starts(path, "t/")) {
        parse_tile(r, sc_str(path.p + 2, path.n - 2));
        if (query.n && r->route)
            r->problem = "a tile has no keys";
        return;
    }
    for (size_t i = 0; i < SC_COUNT(of_views); i++)
        if (sc_str_is(path, of_views[i].name)) {
            r->route = of_views[i].route;
            r->problem = read_query(r, of_views[i].keys, query);
        }
}

static void parse_file(struct sc_web_request *r, struct sc_str path, struct sc_str query)
{
    if (path.n == 0)
        r->route = SC_ROUTE_PAGE;
    else if (sc_str_is(path, "view.json"))
        r->route = SC_ROUTE_VIEW;
    else if (sc_str_is(path, "colours.json"))
        r->route = SC_ROUTE_COLOURS;
    else if (is_asset_name(path)) {
        r->route = SC_ROUTE_ASSET;
        memcpy(r->name, path.p, path.n);
        r->name[path.n] = '\0';
    }
    if (r->route && query.n)
        r->problem = read_query(r, no_keys, query);
}

void sc_web_parse(const char *target, const char token[SC_WEB_TOKEN + 1],
                  struct sc_web_request *out)
{
    struct sc_str query = sc_strz(target), path;
    memset(out, 0, sizeof *out);
    out->limit = 50;
    path = cut(&query, '?');
    if (path.n == 0 || path.p[0] != '/')
        return;
    (void)cut(&path, '/');
    /* "/TOKEN" without a slash behind it is another folder. */
    if (memchr(path.p, '/', path.n) == NULL || !is_token(cut(&path, '/'), token))
        return;
    if (memchr(path.p, '/', path.n))
        parse_view(out, path, query);
    else
        parse_file(out, path, query);
}

/* ----------------------------------------------------------------------------------- hosts --- */

static bool is_host(const char *host, const char *name, uint16_t port)
{
    char text[320];
    const bool colons = strchr(name, ':') != NULL; /* a number of IPv6 */
    int n = snprintf(text, sizeof text, "%s%s%s:%u", colons ? "[" : "", name, colons ? "]" : "",
                     (unsigned)port);
    if (n < 0 || (size_t)n >= sizeof text)
        return false;
    if (strcasecmp(host, text) == 0)
        return true;
    if (port != 80)
        return false;
    *strrchr(text, ':') = '\0';
    return strcasecmp(host, text) == 0;
}

/* A number of an address, which no DNS can give to anybody else. */
static bool is_number(const char *host, uint16_t port)
{
    char name[80], address[16];
    const char *colon = strrchr(host, ':'), *from = host;
    size_t n = colon ? (size_t)(colon - host) : 0;
    if (n == 0 || n >= sizeof name)
        return false;
    if (host[0] == '[' && host[n - 1] == ']' && n > 2) {
        from = host + 1;
        n -= 2;
    }
    memcpy(name, from, n);
    name[n] = '\0';
    return (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) &&
           is_host(host, name, port);
}

bool sc_web_host_is_ours(const struct sc_web_place *p, const char *host)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "::1"};
    for (size_t i = 0; i < SC_COUNT(names); i++)
        if (is_host(host, names[i], p->port))
            return true;
    return (p->name && is_host(host, p->name, p->port)) || (p->any && is_number(host, p->port));
}

bool sc_web_origin_is_ours(const char *host, const char *origin, const char *site, const char *mode,
                           const char *destination, bool is_page)
{
    if (origin && (strncmp(origin, "http://", 7) != 0 || strcasecmp(origin + 7, host) != 0))
        return false;
    if (!site || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0)
        return true;
    return is_page && mode && destination && strcmp(mode, "navigate") == 0 &&
           strcmp(destination, "document") == 0;
}
