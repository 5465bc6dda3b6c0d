/* SPDX-License-Identifier: Apache-2.0 */
/* diff_json: what differs between two JSON texts, by path.
 *
 *     objects   by key
 *     arrays    the longest common subsequence of equal elements stays (Myers 1986); what lies
 * between two of them is compared by position, what is left over was added or removed lines
 * likewise, each line a text of its own
 *
 * Arrays that differ in more than APART elements, or very long ones in fewer, are compared by
 * position alone. Nesting beyond SC_MAX_JSON_DEPTH and more than NODES comparisons are not
 * followed: the file is then only compared as bytes. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff_files.h"

enum { NODES = 4 << 20, VALUE_BYTES = 160, PATH_BYTES = 400, APART = 1000 };
#define WORK ((size_t)100 << 20)

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

    if (b->n <= VALUE_BYTES) /* one more than is shown, so that it is seen that there is more */
        sc_buf_put(b, text, SC_MIN(n, (size_t)VALUE_BYTES + 1 - b->n));
    return b->n <= VALUE_BYTES ? 0 : -1; /* -1 ends it */
}

/* The fewest digits that are read as the same number; a fraction stays one. */
static void put_real(struct sc_buf *b, double v)
{
    char text[40];

    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    sc_buf_puts(b, text);
    if (!strpbrk(text, ".en"))
        sc_buf_puts(b, ".0");
}

/* The text of a value, until it is too long: each level writes something, so the depth has an end.
 */
static void put_value(struct sc_buf *b, const json_t *v)
{
    const char open = json_is_object(v) ? '{' : '[';

    if (json_is_real(v)) {
        put_real(b, json_real_value(v));
    } else if (!json_is_object(v) && !json_is_array(v)) {
        (void)json_dump_callback(v, take_some, b,
                                 JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    } else {
        sc_buf_putc(b, open);
        for (size_t i = 0; json_is_array(v) && i < json_array_size(v) && b->n < VALUE_BYTES; i++) {
            sc_buf_puts(b, i ? "," : "");
            put_value(b, json_array_get(v, i));
        }
        void *at = json_is_object(v) ? json_object_iter((json_t *)(uintptr_t)v) : NULL;
        for (size_t i = 0; at && b->n < VALUE_BYTES; i++) {
            json_t *key = json_string_nocheck(json_object_iter_key(at));
            sc_buf_puts(b, i ? "," : "");
            b->failed = b->failed || !key;
            if (key)
                put_value(b, key);
            json_decref(key);
            sc_buf_putc(b, ':');
            put_value(b, json_object_iter_value(at));
            at = json_object_iter_next((json_t *)(uintptr_t)v, at);
        }
        sc_buf_putc(b, json_is_object(v) ? '}' : ']');
    }
}

static const char *value_text(struct comparing *c, const json_t *v)
{
    struct sc_buf b = {0};

    if (!v)
        return NULL;
    put_value(&b, v);
    if (b.n > VALUE_BYTES) {
        b.n = VALUE_BYTES;
        sc_buf_puts(&b, "...");
    }
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

/* -------------------------------------------------------------------------------- aligning --- */
/* Equal elements have equal hashes, whatever the order of keys. */
static uint64_t hash_value(struct comparing *c, const json_t *v, unsigned depth)
{
    uint64_t h = (uint64_t)json_typeof(v);

    if (is_over(c, depth))
        return h;
    if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++)
            h = sc_hash_mix(h, hash_value(c, json_array_get(v, i), depth + 1));
    } else if (json_is_object(v)) {
        void *at = json_object_iter((json_t *)(uintptr_t)v);
        for (; at; at = json_object_iter_next((json_t *)(uintptr_t)v, at)) {
            const char *key = json_object_iter_key(at);
            h += sc_hash_mix(sc_hash(key, strlen(key)),
                             hash_value(c, json_object_iter_value(at), depth + 1));
        }
    } else if (json_is_string(v)) {
        h = sc_hash_mix(h, sc_hash(json_string_value(v), json_string_length(v)));
    } else if (json_is_integer(v)) {
        const json_int_t i = json_integer_value(v);
        h = sc_hash_mix(h, sc_hash(&i, sizeof i));
    } else if (json_is_real(v)) {
        const double d = json_real_value(v) + 0.0; /* -0 is 0 */
        h = sc_hash_mix(h, sc_hash(&d, sizeof d));
    }
    return h;
}

/* Elements first..first+n as hashes; NULL: too many, or no memory. */
static uint64_t *hash_rows(struct comparing *c, const struct row *r, size_t first, size_t n,
                           unsigned depth)
{
    uint64_t *h = n < SIZE_MAX / sizeof *h - 1 ? sc_alloc((n + 1) * sizeof *h) : NULL;

    for (size_t i = 0; h && i < n; i++)
        h[i] = r->array ? hash_value(c, json_array_get(r->array, first + i), depth + 1)
                        : sc_hash(r->line[first + i].p, r->line[first + i].n);
    c->failed = c->failed || !h;
    return h;
}

/* The way with fewest removed and added elements: step d goes from the furthest points of d - 1, on
 * the diagonals -d, 2 - d ... d, and the points of every step are kept. */
struct ways {
    const uint64_t *a, *b;
    size_t n_a, n_b;
    size_t most;   /* steps */
    size_t *reach; /* step d: d + 1 values of i from d (d + 1) / 2 on */
};

static size_t *points(const struct ways *w, size_t d)
{
    return w->reach + d * (d + 1) / 2;
}

/* From step d - 1 to its diagonal k of d + 1: where it comes out before equal elements. `down`: by
 * an element of b. */
static size_t step_to(const struct ways *w, size_t d, size_t k, bool *down)
{
    const size_t *before = d ? points(w, d - 1) : NULL;

    *down = k == 0 || (k < d && before[k - 1] < before[k]);
    return !d ? 0 : *down ? before[k] : before[k - 1] + 1;
}

/* The number of steps, or SIZE_MAX: they are too many. A diagonal k of step d is i - j = 2 k - d.
 */
static size_t find_way(const struct ways *w)
{
    for (size_t d = 0; d <= w->most; d++)
        for (size_t k = 0; k <= d; k++) {
            bool down;
            size_t i = step_to(w, d, k, &down);
            const bool off = i > w->n_a || i + d < 2 * k || i + d - 2 * k > w->n_b;
            size_t j = off ? 0 : i + d - 2 * k;
            while (!off && i < w->n_a && j < w->n_b && w->a[i] == w->b[j])
                i++, j++;
            points(w, d)[k] = i;
            if (!off && i == w->n_a && j == w->n_b)
                return d;
        }
    return SIZE_MAX;
}

/* mate[i]: the element of b that element i of a stays as; SIZE_MAX: none. */
static void follow(const struct ways *w, size_t steps, size_t *mate)
{
    size_t d = steps, k = (w->n_a + steps - w->n_b) / 2;

    for (size_t i = 0; i < w->n_a; i++)
        mate[i] = SIZE_MAX;
    for (;; d--) {
        bool down;
        const size_t from = step_to(w, d, k, &down);
        for (size_t i = from; i < points(w, d)[k]; i++)
            mate[i] = i + d - 2 * k;
        if (d == 0)
            return;
        k -= !down;
    }
}

/* By element of a from `first` on; NULL: by position. */
static size_t *align(struct comparing *c, const struct row *a, const struct row *b, size_t first,
                     unsigned depth)
{
    struct ways w = {.n_a = a->n - first, .n_b = b->n - first};
    uint64_t *x = NULL, *y = NULL;
    size_t *mate = NULL;

    if (!w.n_a || !w.n_b || (w.n_a == 1 && w.n_b == 1))
        return NULL;
    w.a = x = hash_rows(c, a, first, w.n_a, depth);
    w.b = y = hash_rows(c, b, first, w.n_b, depth);
    /* Each step may look at all elements. */
    w.most = SC_MIN(SC_MIN((size_t)APART, w.n_a + w.n_b), WORK / (w.n_a + w.n_b));
    w.reach = sc_alloc((w.most + 1) * (w.most + 2) / 2 * sizeof *w.reach);
    c->failed = c->failed || !w.reach;
    const size_t steps = c->failed || c->problem ? SIZE_MAX : find_way(&w);
    if (steps != SIZE_MAX) {
        mate = sc_alloc(w.n_a * sizeof *mate);
        c->failed = c->failed || !mate;
    }
    if (mate)
        follow(&w, steps, mate);
    free(x);
    free(y);
    free(w.reach);
    return mate;
}

/* Elements i..i_end of a against k..k_end of b, by position; indices are those of the side that has
 * the element. */
static void compare_run(struct comparing *c, const struct row *a, size_t i, size_t i_end,
                        const struct row *b, size_t k, size_t k_end, size_t from, unsigned depth)
{
    const struct row x = {i_end, a->array, a->line}, y = {k_end, b->array, b->line};

    for (; (i < i_end || k < k_end) && !c->problem && !c->failed; i++, k++) {
        const size_t before = push_index(c, (i < i_end ? i : k) + from);
        compare_at(c, &x, i, &y, k, depth);
        c->path.n = before;
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
    size_t *mate = align(c, &x, &y, first, depth), i = first, k = first;
    for (size_t at = first; mate && at < x.n; at++) {
        if (mate[at - first] == SIZE_MAX)
            continue;
        compare_run(c, &x, i, at, &y, k, mate[at - first] + first, from, depth);
        i = at + 1;
        k = mate[at - first] + first + 1;
    }
    compare_run(c, &x, i, x.n, &y, k, y.n, from, depth);
    free(mate);
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
