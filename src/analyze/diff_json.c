/* SPDX-License-Identifier: Apache-2.0 */
/* diff_json: what differs between two JSON texts, by path.
 *
 *     objects   by key
 *     arrays    what both begin with and what both end with is left out, the rest by position
 *     lines     likewise, each line a text of its own
 *
 * Nesting beyond SC_MAX_JSON_DEPTH and more than NODES comparisons are not followed: the file is
 * then only compared as bytes. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff_files.h"

enum { NODES = 4 << 20, VALUE_BYTES = 160, PATH_BYTES = 400 };

const char *const sc_node_change_names[SC_NODE_CHANGES] = {
    [SC_NODE_ADDED] = "added", [SC_NODE_REMOVED] = "removed", [SC_NODE_CHANGED] = "changed"};

struct comparing {
    struct sc_arena *arena;
    struct sc_file_diff *out;
    size_t cap;
    struct sc_buf path;
    uint64_t nodes; /* that may still be looked at */
    const char *problem;
    bool failed;
};

static bool is_over(struct comparing *c, unsigned depth)
{
    if (!c->problem && depth > SC_MAX_JSON_DEPTH)
        c->problem = "nested too deeply for a comparison by structure";
    if (!c->problem && c->nodes == 0)
        c->problem = "too large for a comparison by structure";
    c->nodes -= c->nodes > 0;
    return c->problem || c->failed;
}

/* Equal; false also when it is not known. */
static bool equal(struct comparing *c, const json_t *a, const json_t *b, unsigned depth)
{
    const char *key;
    const json_t *value;

    if (is_over(c, depth) || json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_object(a)) {
        if (json_object_size(a) != json_object_size(b))
            return false;
        void *at = json_object_iter((json_t *)(uintptr_t)a);
        for (; at; at = json_object_iter_next((json_t *)(uintptr_t)a, at)) {
            key = json_object_iter_key(at);
            value = json_object_get(b, key);
            if (!value || !equal(c, json_object_iter_value(at), value, depth + 1))
                return false;
        }
        return true;
    }
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b))
            return false;
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!equal(c, json_array_get(a, i), json_array_get(b, i), depth + 1))
                return false;
        return true;
    }
    return json_equal(a, b); /* scalars: nothing below */
}

/* ------------------------------------------------------------------------------------ words --- */
static int take_some(const char *text, size_t n, void *ctx)
{
    struct sc_buf *b = ctx;

    if (b->n < VALUE_BYTES)
        sc_buf_put(b, text, SC_MIN(n, (size_t)VALUE_BYTES - b->n));
    return b->n < VALUE_BYTES ? 0 : -1; /* -1 ends it */
}

static const char *value_text(struct comparing *c, const json_t *v)
{
    struct sc_buf b = {0};

    if (!v)
        return NULL;
    const bool cut = json_dump_callback(v, take_some, &b,
                                        JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII) < 0;
    if (cut)
        sc_buf_puts(&b, "...");
    const char *copy = b.failed ? NULL : sc_arena_copy(c->arena, b.p ? b.p : "", b.n);
    c->failed = c->failed || !copy;
    sc_buf_clear(&b);
    return copy;
}

static void report(struct comparing *c, enum sc_node_change kind, const json_t *a, const json_t *b)
{
    struct sc_file_diff *f = c->out;

    f->n[kind]++;
    if (f->n_changes == SC_DIFF_FILES_CHANGES || c->failed)
        return;
    if (!f->changes)
        f->changes = SC_ARENA_NEW(c->arena, struct sc_json_change, SC_DIFF_FILES_CHANGES);
    const char *path =
        f->changes && !c->path.failed
            ? sc_arena_copy(c->arena, c->path.p, SC_MIN(c->path.n, (size_t)PATH_BYTES))
            : NULL;
    const char *old = value_text(c, a), *new = value_text(c, b);
    if (!path || c->failed) {
        c->failed = true;
        return;
    }
    f->changes[f->n_changes++] = (struct sc_json_change){path, old, new, (uint8_t)kind};
}

/* Returns the length before. */
static size_t push_key(struct comparing *c, const char *key)
{
    const size_t before = c->path.n;
    bool plain = *key != '\0';

    for (const char *p = key; *p; p++)
        plain = plain && (*p == '_' || (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
                          (*p >= 'A' && *p <= 'Z'));
    if (c->path.n > PATH_BYTES)
        return before;
    if (plain)
        sc_buf_printf(&c->path, ".%s", key);
    else
        sc_buf_printf(&c->path, "[\"%.*s\"]", PATH_BYTES, key);
    return before;
}

static size_t push_index(struct comparing *c, size_t i)
{
    const size_t before = c->path.n;

    if (c->path.n <= PATH_BYTES)
        sc_buf_printf(&c->path, "[%zu]", i);
    return before;
}

/* ------------------------------------------------------------------------------ comparing --- */
static void compare(struct comparing *c, const json_t *a, const json_t *b, unsigned depth);

static void compare_objects(struct comparing *c, const json_t *a, const json_t *b, unsigned depth)
{
    const json_t *sides[] = {a, b};

    for (size_t side = 0; side < 2; side++) {
        json_t *here = (json_t *)(uintptr_t)sides[side];
        for (void *at = json_object_iter(here); at; at = json_object_iter_next(here, at)) {
            const char *key = json_object_iter_key(at);
            const json_t *own = json_object_iter_value(at),
                         *other = json_object_get(sides[!side], key);
            if (side == 1 && other)
                continue;
            const size_t before = push_key(c, key);
            if (other)
                compare(c, own, other, depth + 1);
            else
                report(c, side ? SC_NODE_ADDED : SC_NODE_REMOVED, side ? NULL : own,
                       side ? own : NULL);
            c->path.n = before;
            if (c->problem || c->failed)
                return;
        }
    }
}

/* Something with elements: an array, or lines. */
struct row {
    size_t n;
    const json_t *array;
    const struct sc_str *line;
};

static bool equal_at(struct comparing *c, const struct row *a, size_t i, const struct row *b,
                     size_t k, unsigned depth)
{
    if (a->line)
        return sc_str_eq(a->line[i], b->line[k]);
    return equal(c, json_array_get(a->array, i), json_array_get(b->array, k), depth + 1);
}

static json_t *element(const struct row *r, size_t i, bool *owned)
{
    *owned = r->line != NULL;
    if (r->line)
        return json_loadb(r->line[i].p, r->line[i].n, JSON_DECODE_ANY, NULL);
    return json_array_get(r->array, i);
}

static void compare_at(struct comparing *c, const struct row *a, size_t i, const struct row *b,
                       size_t k, unsigned depth)
{
    bool owned = false;
    json_t *x = i < a->n ? element(a, i, &owned) : NULL,
           *y = k < b->n ? element(b, k, &owned) : NULL;

    if ((i < a->n && !x) || (k < b->n && !y))
        c->problem = "a line that is no JSON";
    else if (x && y)
        compare(c, x, y, depth + 1);
    else
        report(c, x ? SC_NODE_REMOVED : SC_NODE_ADDED, x, y);
    if (owned) {
        json_decref(x);
        json_decref(y);
    }
}

static void compare_rows(struct comparing *c, const struct row *a, const struct row *b, size_t from,
                         unsigned depth)
{
    const size_t most = SC_MIN(a->n, b->n);
    size_t first = 0, last = 0;

    while (first < most && equal_at(c, a, first, b, first, depth))
        first++;
    while (last < most - first && equal_at(c, a, a->n - 1 - last, b, b->n - 1 - last, depth))
        last++;
    const struct row x = {a->n - last, a->array, a->line}, y = {b->n - last, b->array, b->line};
    for (size_t i = first; i < SC_MAX(x.n, y.n) && !c->problem && !c->failed; i++) {
        const size_t before = push_index(c, i + from);
        compare_at(c, &x, i, &y, i, depth);
        c->path.n = before;
    }
}

static void compare(struct comparing *c, const json_t *a, const json_t *b, unsigned depth)
{
    if (is_over(c, depth))
        return;
    if (json_is_object(a) && json_is_object(b))
        compare_objects(c, a, b, depth);
    else if (json_is_array(a) && json_is_array(b))
        compare_rows(c, &(struct row){json_array_size(a), a, NULL},
                     &(struct row){json_array_size(b), b, NULL}, 0, depth);
    else if (json_typeof(a) != json_typeof(b) || !equal(c, a, b, depth))
        report(c, SC_NODE_CHANGED, a, b);
}

/* ------------------------------------------------------------------------------------ whole --- */
static int split_lines(const char *text, size_t n, struct row *out, struct sc_error *e)
{
    size_t lines = 0, at = 0;

    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    struct sc_str *line = sc_alloc((lines + 1) * sizeof *line);
    if (!line)
        return sc_fail_memory(e);
    *out = (struct row){0, NULL, line};
    while (at < n) {
        const char *end = memchr(text + at, '\n', n - at);
        const size_t take = end ? (size_t)(end - text) - at : n - at;
        if (take > 0)
            line[out->n++] = sc_str(text + at, take);
        at += take + 1;
    }
    return 0;
}

static int compare_lines(struct comparing *c, const char *a, size_t n_a, const char *b, size_t n_b,
                         struct sc_error *e)
{
    struct row x = {0}, y = {0};
    int code = split_lines(a, n_a, &x, e);

    if (code == 0)
        code = split_lines(b, n_b, &y, e);
    if (code == 0)
        compare_rows(c, &x, &y, 1, 0);
    free((void *)(uintptr_t)x.line);
    free((void *)(uintptr_t)y.line);
    return code;
}

static void compare_texts(struct comparing *c, const char *a, size_t n_a, const char *b, size_t n_b)
{
    json_t *x = json_loadb(a, n_a, JSON_DECODE_ANY, NULL);
    json_t *y = x ? json_loadb(b, n_b, JSON_DECODE_ANY, NULL) : NULL;

    if (!x || !y)
        c->problem = x ? "the second file is no JSON" : "the first file is no JSON";
    else
        compare(c, x, y, 0);
    json_decref(x);
    json_decref(y);
}

int sc_json_diff(struct sc_arena *arena, const char *a, size_t n_a, const char *b, size_t n_b,
                 bool lines, struct sc_file_diff *out, struct sc_error *e)
{
    struct comparing c = {.arena = arena, .out = out, .nodes = NODES};
    int code = 0;

    sc_buf_puts(&c.path, lines ? "" : "$");
    if (lines)
        code = compare_lines(&c, a, n_a, b, n_b, e);
    else
        compare_texts(&c, a, n_a, b, n_b);
    if (code == 0 && (c.failed || c.path.failed))
        code = sc_fail_memory(e);
    sc_buf_clear(&c.path);
    out->structure = lines ? "jsonl" : "json";
    if (c.problem) {
        out->why = c.problem;
        out->structure = NULL;
        out->n_changes = 0;
        memset(out->n, 0, sizeof out->n);
    }
    return code;
}
