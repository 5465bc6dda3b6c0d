/* SPDX-License-Identifier: Apache-2.0 */
/* edit_place: from words to boxes of tensors. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/edit.h"
#include "hub/cache.h"

const char *const sc_edit_ops[SC_EDIT_OPS + 1] = {"zero", "scale", "mean", "set", NULL};

/* -------------------------------------------------------------------------------- tensors --- */

static int fail_name(const struct sc_model *m, struct sc_str name, size_t n, struct sc_error *e)
{
    struct sc_quoted q;

    if (n == 0)
        return sc_fail(e, SCRUPLE_ENOTFOUND, "no tensor is called \"%s\"", sc_quote(&q, name));
    return sc_fail(e, SCRUPLE_EUSAGE, "\"%s\" matches %zu tensors of %zu: name one of them",
                   sc_quote(&q, name), n, m->n_tensors);
}

/* Whole words at the end of a name: "layers.2.mlp.down_proj" of
 * "model.layers.2.mlp.down_proj.weight".
 */
static bool ends_in(struct sc_str name, struct sc_str words)
{
    static const char weight[] = ".weight";

    for (int k = 0; k < 2; k++) {
        const size_t at = name.n - words.n;
        if (name.n >= words.n && memcmp(name.p + at, words.p, words.n) == 0 &&
            (at == 0 || name.p[at - 1] == '.'))
            return true;
        if (!sc_str_ends(name, weight))
            return false;
        name.n -= sizeof weight - 1;
    }
    return false;
}

/* How many the words mean, and one of them: by ending, or as a filter. */
static int count_matches(const struct sc_model *m, struct sc_str words,
                         const struct sc_filter *filter, uint32_t *out)
{
    size_t n = 0;

    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct sc_str name = sc_tensor_name(&m->tensors[i]);
        if (filter ? sc_filter_match(filter, name) : ends_in(name, words)) {
            *out = i;
            n++;
        }
    }
    return n > INT32_MAX ? INT32_MAX : (int)n;
}

static int find_tensor(const struct sc_model *m, struct sc_str name, uint32_t *out,
                       struct sc_error *e)
{
    struct sc_filter *filter = NULL;

    for (uint32_t i = 0; i < m->n_tensors; i++)
        if (sc_str_eq(sc_tensor_name(&m->tensors[i]), name)) {
            *out = i;
            return 0;
        }
    if (name.n && count_matches(m, name, NULL, out) == 1)
        return 0;
    char *word = sc_str_copy(name);
    if (!word)
        return sc_fail_memory(e);
    int code = sc_filter_new((const char *const *)&word, 1, &filter, e);
    const int n = code == 0 ? count_matches(m, name, filter, out) : 0;
    sc_filter_free(filter);
    free(word);
    return code < 0 ? code : n == 1 ? 0 : fail_name(m, name, (size_t)n, e);
}

/* ---------------------------------------------------------------------------------- places --- */

static struct sc_str trim(struct sc_str s)
{
    while (s.n && (*s.p == ' ' || *s.p == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* "7", "3-7", "*" */
static int read_index(struct sc_str s, uint64_t size, uint64_t *from, uint64_t *n,
                      struct sc_error *e)
{
    struct sc_quoted q;
    uint64_t first, last;

    s = trim(s);
    *from = 0;
    *n = size;
    if (sc_str_is(s, "*"))
        return 0;
    const char *dash = s.n ? memchr(s.p, '-', s.n) : NULL;
    const struct sc_str a = dash ? sc_str(s.p, (size_t)(dash - s.p)) : s;
    const struct sc_str b = dash ? sc_str(dash + 1, s.n - a.n - 1) : s;
    if (!sc_str_u64(a, &first) || !sc_str_u64(b, &last) || last < first)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "\"%s\" is no index: a number, a range a-b, or * is allowed",
                       sc_quote(&q, s));
    if (last >= size)
        return sc_fail(e, SCRUPLE_EUSAGE, "index %llu is outside: this dimension has %llu",
                       (unsigned long long)last, (unsigned long long)size);
    *from = first;
    *n = last - first + 1;
    return 0;
}

static size_t count_indices(struct sc_str s)
{
    size_t n = 1;

    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == ',';
    return n;
}

/* The text between brackets. */
static int read_box(const struct sc_tensor *t, struct sc_str box, struct sc_edit_wish *w,
                    struct sc_error *e)
{
    const size_t n = count_indices(box);
    uint64_t dims[SC_MAX_RANK];

    if (t->rank > SC_MAX_RANK || (n != t->rank && !(n == 2 && t->rank > 2)))
        return sc_fail(e, SCRUPLE_EUSAGE, "%zu %s given, but the tensor has %u dimension%s", n,
                       n == 1 ? "index is" : "indices are", (unsigned)t->rank,
                       t->rank == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++)
        dims[i] = t->shape[i];
    if (n != t->rank && !sc_product(t->shape + 1, t->rank - 1U, &dims[1]))
        return sc_fail(e, SCRUPLE_ELIMIT, "the tensor is too large");
    w->rank = n;
    for (size_t i = 0; i < n; i++) {
        const char *comma = memchr(box.p, ',', box.n);
        const size_t part = comma ? (size_t)(comma - box.p) : box.n;
        TRY(read_index(sc_str(box.p, part), dims[i], &w->from[i], &w->n[i], e));
        box = sc_str(box.p + part + (comma != NULL), box.n - part - (comma != NULL));
    }
    return 0;
}

static int read_place(const struct sc_model *m, struct sc_str text, struct sc_edit_wish *w,
                      struct sc_error *e)
{
    const char *open = NULL;
    struct sc_error none = {0};
    struct sc_quoted q;

    /* Names and filters may have brackets of their own. */
    for (size_t i = 0; i < text.n && text.p[text.n - 1] == ']'; i++)
        if (text.p[i] == '[')
            open = text.p + i;
    if (open && find_tensor(m, text, &w->tensor, &none) == 0)
        open = NULL;
    const struct sc_str name = open ? sc_str(text.p, (size_t)(open - text.p)) : text;
    TRY(find_tensor(m, trim(name), &w->tensor, e));
    const struct sc_tensor *t = &m->tensors[w->tensor];
    w->rank = SC_MIN(t->rank, (size_t)SC_MAX_RANK);
    for (size_t i = 0; i < w->rank; i++)
        w->n[i] = t->shape[i];
    int code = 0;
    if (open)
        code = read_box(t, sc_str(open + 1, text.n - name.n - 2), w, e);
    if (code == 0 && !sc_product(w->n, w->rank, &w->elements))
        code = sc_fail(e, SCRUPLE_ELIMIT, "too many elements");
    if (code == 0 && !w->elements)
        code = sc_fail(e, SCRUPLE_EUSAGE, "there is no element");
    if (code < 0)
        sc_error_prefix(e, "%s", sc_quote(&q, text));
    return code;
}

/* The place in full, whatever the words were. */
static int name_place(const struct sc_model *m, struct sc_edit_wish *w, struct sc_error *e)
{
    struct sc_buf b = {0};
    const struct sc_tensor *t = &m->tensors[w->tensor];

    sc_buf_put(&b, t->name, t->name_len);
    for (size_t i = 0; i < w->rank; i++) {
        sc_buf_printf(&b, "%s%llu", i ? "," : "[", (unsigned long long)w->from[i]);
        if (w->n[i] > 1)
            sc_buf_printf(&b, "-%llu", (unsigned long long)(w->from[i] + w->n[i] - 1));
    }
    sc_buf_puts(&b, w->rank ? "]" : "");
    if (b.failed) {
        sc_buf_clear(&b);
        return sc_fail_memory(e);
    }
    w->place = b.p;
    return 0;
}

static int add(struct sc_edit_wishes *out, const struct sc_model *m, enum sc_edit_op op, double x,
               struct sc_str place, struct sc_error *e)
{
    TRY(sc_grow(&out->p, &out->cap, out->n + 1, sizeof *out->p, e));
    struct sc_edit_wish *w = &out->p[out->n];
    *w = (struct sc_edit_wish){.op = (uint8_t)op, .x = x};
    TRY(read_place(m, place, w, e));
    TRY(name_place(m, w, e));
    out->n++;
    return 0;
}

/* ---------------------------------------------------------------------------- super --json --- */

static int add_weight(struct sc_edit_wishes *out, const struct sc_model *m, enum sc_edit_op op,
                      double x, const json_t *weight, struct sc_error *e)
{
    const json_t *name = json_object_get(weight, "tensor"),
                 *row = json_object_get(weight, "stored_row"),
                 *col = json_object_get(weight, "stored_column");
    struct sc_buf b = {0};

    if (!json_is_string(name) || !json_is_integer(row) || !json_is_integer(col) ||
        json_integer_value(row) < 0 || json_integer_value(col) < 0)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "a weight has no \"tensor\", \"stored_row\" and \"stored_column\"");
    sc_buf_put(&b, json_string_value(name), json_string_length(name));
    sc_buf_printf(&b, "[%lld,%lld]", (long long)json_integer_value(row),
                  (long long)json_integer_value(col));
    const int code = b.failed ? sc_fail_memory(e) : add(out, m, op, x, sc_str(b.p, b.n), e);
    sc_buf_clear(&b);
    return code;
}

/* "-" is standard input. To be freed. */
static int read_list(struct sc_str path, char **text, size_t *n, struct sc_error *e)
{
    struct sc_quoted q;

    *text = NULL;
    if (!sc_str_is(path, "-")) {
        char *name = sc_str_copy(path);
        if (!name)
            return sc_fail_memory(e);
        *text = sc_read_file(name, SC_MAX_CONFIG_BYTES, n);
        free(name);
        return *text ? 0 : sc_fail(e, SCRUPLE_ENOTFOUND, "%s: cannot be read", sc_quote(&q, path));
    }
    struct sc_source *in = NULL;
    TRY(sc_stdin_open(&in, e));
    int code = 0;
    if (in->size > SC_MAX_CONFIG_BYTES)
        code = sc_fail(e, SCRUPLE_ELIMIT, "%s has more than %" PRIu64 " bytes", in->name,
                       SC_MAX_CONFIG_BYTES);
    *n = (size_t)in->size;
    if (code == 0) {
        *text = sc_alloc(*n + 1);
        code = *text ? sc_source_read(in, 0, *text, *n, e) : sc_fail_memory(e);
    }
    sc_source_close(in);
    return code;
}

static int add_listed(struct sc_edit_wishes *out, const struct sc_model *m, enum sc_edit_op op,
                      double x, struct sc_str path, struct sc_error *e)
{
    char *text = NULL;
    json_error_t at;
    struct sc_quoted q;
    size_t n = 0, i;
    json_t *weight;
    int code = read_list(path, &text, &n, e);

    if (code < 0) {
        free(text);
        return code;
    }
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &at);
    json_t *list = json_object_get(root, "weights");
    if (!json_is_array(list) || !json_array_size(list))
        code = sc_fail(e, SCRUPLE_EUSAGE, "no list \"weights\" with something in it");
    else
        json_array_foreach(list, i, weight) if (code == 0) code =
            add_weight(out, m, op, x, weight, e);
    if (code < 0)
        sc_error_prefix(e, "%s", sc_quote(&q, path));
    json_decref(root);
    free(text);
    return code;
}

/* -------------------------------------------------------------------------------- outside --- */

int sc_edit_wish_add(struct sc_edit_wishes *w, const struct sc_model *m, enum sc_edit_op op,
                     const char *text, struct sc_error *e)
{
    struct sc_str place = sc_strz(text);
    struct sc_quoted q;
    double x = 0;

    if (op == SC_EDIT_SCALE || op == SC_EDIT_SET) {
        const char *equals = strrchr(text, '=');
        char *end = NULL;
        if (equals)
            x = strtod(equals + 1, &end);
        if (!equals || !equals[1] || *end || !isfinite(x))
            return sc_fail(e, SCRUPLE_EUSAGE, "--%s takes PLACE=X with a number, not \"%s\"",
                           sc_edit_ops[op], sc_quote(&q, place));
        place.n = (size_t)(equals - text);
    }
    place = trim(place);
    if (sc_str_starts(place, "@"))
        return add_listed(w, m, op, x, sc_str(place.p + 1, place.n - 1), e);
    return add(w, m, op, x, place, e);
}

void sc_edit_wishes_clear(struct sc_edit_wishes *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->p[i].place);
    free(w->p);
    *w = (struct sc_edit_wishes){0};
}
