/* SPDX-License-Identifier: Apache-2.0 */
/* quality_cells: the parts of a tensor that may have formats of their own, and their bytes. */
#include "analyze/quality_parts.h"

#include <stdlib.h>

struct holder {
    struct sc_cells cells; /* first: what callers see */
    struct sc_records values, errors;
};

void sc_cells_free(struct sc_cells *c)
{
    struct holder *h = (struct holder *)(void *)c;
    if (!h)
        return;
    sc_records_free(&h->values);
    sc_records_free(&h->errors);
    free(h);
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static void set_shape(struct sc_cells *c, const struct sc_quality_options *o,
                      const struct sc_values *v)
{
    const struct sc_matrices m = sc_quality_matrices(v);
    const bool vector = sc_is_vector(v);
    c->grain = (uint8_t)o->grain;
    c->group = o->grain == SC_GRAIN_GROUP ? o->group : 0;
    c->matrices = m.n;
    c->rows = m.rows;
    c->cols = m.cols;
    c->height = o->grain == SC_GRAIN_TILE && !vector ? SC_TILE : 1;
    c->width = o->grain == SC_GRAIN_TILE    ? (vector ? SC_VECTOR_TILE : SC_TILE)
               : o->grain == SC_GRAIN_GROUP ? o->group
                                            : SC_MAX(m.cols, UINT64_C(1));
    c->down = ceil_div(m.rows, c->height);
    c->across = ceil_div(m.cols, c->width);
}

/* What codes and the scales of blocks of a cell take: without the scales of lines and tensors,
 * which what two matrices take more than one does not show. */
static bool cell_bytes(const struct sc_cells *c, const struct sc_encoding *f, uint64_t height,
                       uint64_t width, uint64_t *out, const char **why)
{
    struct sc_encoding bare = *f;
    uint64_t one, two;
    if (f->scheme == SC_SCHEME_BFP && c->grain == SC_GRAIN_TILE) /* padded, whatever it holds */
        return sc_encoding_bytes(f, 1, SC_TILE, SC_TILE, out, why);
    if (f->scheme == SC_SCHEME_BFP) {
        const uint64_t lines = f->other_axis ? width : height, n = f->other_axis ? height : width;
        *out = lines * ceil_div(n, f->unit) * (1 + f->unit * (uint64_t)f->bits / 8);
        return true;
    }
    if (f->over == SC_OVER_LINE)
        bare.over = SC_OVER_TENSOR;
    if (!sc_encoding_bytes(&bare, 1, height, width, &one, why) ||
        !sc_encoding_bytes(&bare, 2, height, width, &two, why))
        return false;
    *out = two - one;
    return true;
}

/* Bytes of cells by part, and what the tensor adds. */
static int set_bytes(struct sc_cells *c, size_t k, struct sc_error *e)
{
    const struct sc_encoding *f = &c->formats[k];
    const uint64_t line = f->other_axis ? c->height : c->width;
    const uint64_t whole = f->other_axis ? c->rows : c->cols;
    const uint64_t edge[2] = {c->cols % c->width, c->rows % c->height};
    uint64_t sum = 0, total;
    const char *why = NULL;
    if (line < whole && line % f->unit)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "%s takes %u values together, so it cannot be mixed in cells of %llu x %llu",
                       f->name, f->unit, (unsigned long long)c->height,
                       (unsigned long long)c->width);
    for (unsigned part = 0; part < 4; part++) {
        const bool right = part & 1, low = part & 2;
        const uint64_t width = right ? edge[0] : c->width, height = low ? edge[1] : c->height;
        const uint64_t across = right ? edge[0] != 0 : c->cols / c->width;
        const uint64_t down = low ? edge[1] != 0 : c->rows / c->height;
        if (across * down == 0)
            continue;
        if (!cell_bytes(c, f, height, width, &c->bytes[k][part], &why))
            return sc_fail(e, SCRUPLE_EUSAGE, "%s does not fit this tensor: %s", f->name, why);
        sum += c->matrices * across * down * c->bytes[k][part];
    }
    if (f->over != SC_OVER_NOTHING &&
        sc_encoding_bytes(f, c->matrices, c->rows, c->cols, &total, &why))
        c->once[k] = total > sum ? total - sum : 0;
    return 0;
}

int sc_cells_make(const struct sc_quality_options *o, const struct sc_values *v,
                  struct sc_cells **out, struct sc_error *e)
{
    struct holder *h = sc_calloc(1, sizeof *h);
    uint64_t n;
    *out = NULL;
    if (!h)
        return sc_fail_memory(e);
    struct sc_cells *c = &h->cells;
    set_shape(c, o, v);
    int code = 0;
    for (size_t i = 0; code == 0 && i < o->n; i++) {
        if (o->in_mix && !o->in_mix[i])
            continue;
        if (c->n_formats == SC_COUNT(c->formats))
            code = sc_fail(e, SCRUPLE_EUSAGE, "at most %zu formats can be mixed",
                           SC_COUNT(c->formats));
        else {
            c->formats[c->n_formats] = o->formats[i];
            c->formats[c->n_formats].other_axis = o->formats[i].other_axis && !sc_is_vector(v);
            code = set_bytes(c, c->n_formats, e);
            c->n_formats++;
        }
    }
    if (code == 0 && (!sc_mul(c->matrices, c->down, &n) || !sc_mul(n, c->across, &c->n) ||
                      !sc_mul(c->n, SC_MAX(c->n_formats, (size_t)1), &n)))
        code = sc_fail_memory(e);
    if (code == 0)
        code = sc_records_make(&h->values, (size_t)c->n, sizeof *c->values, e);
    if (code == 0)
        code = sc_records_make(&h->errors, (size_t)n, sizeof *c->errors, e);
    c->values = h->values.p;
    c->errors = h->errors.p;
    c->records = h;
    if (code < 0)
        sc_cells_free(c);
    else
        *out = c;
    return code;
}
