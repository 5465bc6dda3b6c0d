/* SPDX-License-Identifier: Apache-2.0 */
/* spot: one weight, as people and the viewer write it. */
#include "picture/spot.h"

#include <string.h>

enum { ENLARGED = 4, RANK = 16 }; /* 2^4 pixels a weight */

bool sc_spot_find(const struct sc_scene *s, uint32_t tensor, uint64_t element, struct sc_spot *out)
{
    const uint32_t first = s->places_of[tensor], n = s->places_of[tensor + 1] - first;

    if (!n)
        return false;
    const struct sc_place *p = &s->places[s->list[first]];
    const uint64_t each = p->rows * p->cols;
    if (element / each >= n)
        return false;
    *out = (struct sc_spot){.tensor = tensor,
                            .slice = (uint32_t)(element / each),
                            .stacked = n > 1,
                            .row = element % each / p->cols,
                            .col = element % p->cols,
                            .zoom = -SC_MAX(p->depth_x, p->depth_y) - ENLARGED};
    return true;
}

static uint32_t find_tensor(const struct sc_scene *s, struct sc_str name)
{
    for (uint32_t i = 0; i < s->model->n_tensors; i++)
        if (sc_str_eq(sc_tensor_name(&s->model->tensors[i]), name))
            return i;
    return SC_NO_NODE;
}

/* "3,4" to numbers; how many, or 0. */
static size_t read_indices(struct sc_str text, uint64_t *out)
{
    size_t n = 0;

    for (size_t at = 0; at <= text.n;) {
        const char *comma = memchr(text.p + at, ',', text.n - at);
        const size_t len = comma ? (size_t)(comma - text.p) - at : text.n - at;
        if (n == RANK || !sc_str_u64(sc_str(text.p + at, len), &out[n]))
            return 0;
        n++;
        at += len + 1;
    }
    return n;
}

/* Which element n indices mean: of all dimensions, of the first and all others, or of them all. */
static bool find_element(const struct sc_tensor *t, const uint64_t *index, size_t n, uint64_t *out)
{
    uint64_t dims[RANK] = {0};

    if (n == t->rank && n <= RANK)
        memcpy(dims, t->shape, n * sizeof *dims);
    else if (n == 1)
        dims[0] = t->parameters;
    else if (n == 2 && t->rank >= 1 && t->shape[0]) {
        dims[0] = t->rank == 1 ? 1 : t->shape[0];
        dims[1] = t->parameters / dims[0];
    } else {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (index[i] >= dims[i])
            return false;
        *out = *out * dims[i] + index[i];
    }
    return true;
}

static int wrong_place(const struct sc_tensor *t, struct sc_str text, struct sc_error *e)
{
    struct sc_quoted q;
    struct sc_buf shape = {0};

    for (size_t i = 0; i < t->rank; i++)
        sc_buf_printf(&shape, "%s%llu", i ? " x " : "", (unsigned long long)t->shape[i]);
    const int code =
        sc_fail(e, SCRUPLE_EUSAGE, "%s is no place in a tensor of %s: it takes [row,column]",
                sc_quote(&q, text), shape.failed || !shape.n ? "one value" : shape.p);
    sc_buf_clear(&shape);
    return code;
}

int sc_spot_parse(const struct sc_scene *s, struct sc_str text, struct sc_spot *out,
                  struct sc_error *e)
{
    struct sc_quoted q;
    struct sc_str name = text;
    uint64_t index[RANK], element = 0;
    size_t n = 0;
    uint32_t tensor = find_tensor(s, text); /* names may end in brackets */

    if (tensor == SC_NO_NODE && text.n && text.p[text.n - 1] == ']') {
        for (name.n = text.n - 1; name.n && text.p[name.n] != '['; name.n--)
            ;
        tensor = find_tensor(s, name);
        n = read_indices(sc_str(text.p + name.n + 1, text.n - name.n - 2), index);
        if (tensor != SC_NO_NODE &&
            (!n || !find_element(&s->model->tensors[tensor], index, n, &element)))
            return wrong_place(&s->model->tensors[tensor], text, e);
    }
    if (tensor == SC_NO_NODE)
        return sc_fail(e, SCRUPLE_EUSAGE, "the model has no tensor %s", sc_quote(&q, name));
    if (!sc_spot_find(s, tensor, element, out))
        return sc_fail(e, SCRUPLE_EUSAGE, "%s is not in the picture", sc_quote(&q, name));
    out->whole = n == 0;
    return 0;
}

/* As encodeURIComponent() has it. */
static void put_encoded(struct sc_buf *b, struct sc_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
            (c && strchr("-_.!~*'()", c)))
            sc_buf_putc(b, (char)c);
        else
            sc_buf_printf(b, "%%%02X", c);
    }
}

bool sc_spot_link(const struct sc_scene *s, const struct sc_spot *spot, struct sc_buf *out)
{
    const struct sc_str name = sc_tensor_name(&s->model->tensors[spot->tensor]);

    if (!sc_utf8_valid(name))
        return false;
    sc_buf_puts(out, "#t=");
    put_encoded(out, name);
    if (spot->stacked && !spot->whole)
        sc_buf_printf(out, "&s=%lu", (unsigned long)spot->slice);
    if (!spot->whole)
        sc_buf_printf(out, "&r=%llu&c=%llu&z=%d", (unsigned long long)spot->row,
                      (unsigned long long)spot->col, spot->zoom);
    return true;
}

void sc_spot_words(const struct sc_scene *s, const struct sc_spot *spot, struct sc_buf *out)
{
    const struct sc_str name = sc_tensor_name(&s->model->tensors[spot->tensor]);

    sc_buf_put(out, name.p, name.n);
    if (spot->whole)
        return;
    sc_buf_putc(out, '[');
    if (spot->stacked)
        sc_buf_printf(out, "%lu,", (unsigned long)spot->slice);
    sc_buf_printf(out, "%llu,%llu]", (unsigned long long)spot->row, (unsigned long long)spot->col);
}
