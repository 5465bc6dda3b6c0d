/* SPDX-License-Identifier: Apache-2.0 */
/* markup: is a text what XML calls well-formed, and are all of its coordinates numbers?
 *
 * A reader of its own for tests of pictures: elements nest and end, attributes are quoted, text has
 * no bare < or &, and what places a shape holds digits and path letters only.
 */
#ifndef SC_MARKUP_H
#define SC_MARKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static inline bool markup_entity(const char *p)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(p, known[i], strlen(known[i])) == 0)
            return true;
    return false;
}

static inline bool markup_is_place(const char *name, size_t n)
{
    static const char *const places[] = {"x",     "y",      "x1",      "y1",          "x2",
                                         "y2",    "cx",     "cy",      "r",           "d",
                                         "width", "height", "viewBox", "stroke-width"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (strlen(places[i]) == n && strncmp(places[i], name, n) == 0)
            return true;
    return false;
}

/* NULL: it is. Else where it is not, for at most 60 characters. */
static inline const char *markup_problem(const char *text)
{
    static char where[64];
    char stack[64][16];
    size_t depth = 0;
    const char *p = text;
#define MARKUP_BAD (snprintf(where, sizeof where, "%.60s", p), where)
    while (*p) {
        if (*p == '&') {
            if (!markup_entity(p))
                return MARKUP_BAD;
            p++;
            continue;
        }
        if (*p == '>')
            return MARKUP_BAD;
        if (*p != '<') {
            if (!depth && !strchr(" \n", *p))
                return MARKUP_BAD;
            p++;
            continue;
        }
        bool closing = p[1] == '/';
        const char *name = p + 1 + closing;
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz");
        if (!n || n > 15)
            return MARKUP_BAD;
        const char *at = name + n;
        while (*at && *at != '>' && *at != '/') {
            at += strspn(at, " \n");
            size_t key =
                strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-:");
            if (!key || at[key] != '=' || at[key + 1] != '"')
                return MARKUP_BAD;
            const char *value = at + key + 2, *end = strchr(value, '"');
            if (!end)
                return MARKUP_BAD;
            for (const char *c = value; c < end; c++)
                if (*c == '<' || (*c == '&' && !markup_entity(c)))
                    return MARKUP_BAD;
            if (markup_is_place(at, key) && value + strspn(value, "0123456789.- MLQHVZmh%") != end) {
                p = value;
                return MARKUP_BAD;
            }
            at = end + 1;
        }
        bool empty = *at == '/';
        at += empty;
        if (*at != '>')
            return MARKUP_BAD;
        if (closing) {
            if (!depth || strlen(stack[depth - 1]) != n || strncmp(stack[depth - 1], name, n) != 0)
                return MARKUP_BAD;
            depth--;
        } else if (!empty) {
            if (depth == 64)
                return MARKUP_BAD;
            memcpy(stack[depth], name, n);
            stack[depth++][n] = '\0';
        }
        p = at + 1;
    }
    return depth ? "something does not end" : NULL;
#undef MARKUP_BAD
}

#endif
