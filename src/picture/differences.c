/* SPDX-License-Identifier: Apache-2.0 */
/* differences: the union of two models, and the values of its tensors.
 *
 * The union is a model whose tables are those of A followed by those of B, so that whatever reads
 * names, shapes, roles and positions of files finds them. */
#include "picture/differences.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff.h"

struct sc_differences {
    const struct sc_model *a, *b;     /* of an adapter: what it changes */
    const struct sc_model *stored_b;  /* whose files side B lies in */
    const struct sc_adapter *adapter; /* NULL: two models */
    bool has_base;                    /* false: an adapter by itself; a is the same as b */
    uint64_t memory;                  /* for the factors of an update */
    uint32_t *figures;                /* (n) pair of a diff; SC_NO_NODE: it has none */
    uint32_t *tensors;                /* of a pair of a diff */
    struct sc_pairs pairs;
    struct sc_model whole;
    struct sc_catalog catalog;
    struct sc_drawn_values values;
    struct sc_arena arena; /* shapes and names of parts of both */
};

/* ----------------------------------------------------------------------------------- tables --- */

/* Those of A, then those of B. */
static void *join(const void *a, size_t n_a, const void *b, size_t n_b, size_t size)
{
    char *both = sc_calloc(SC_MAX(n_a + n_b, (size_t)1), size);
    if (both && n_a)
        memcpy(both, a, n_a * size);
    if (both && n_b)
        memcpy(both + n_a * size, b, n_b * size);
    return both;
}

static int join_tables(struct sc_differences *d, struct sc_error *e)
{
    const struct sc_model *second = d->stored_b;
    const struct sc_catalog *a = d->a->catalog, *b = second->catalog;
    struct sc_catalog *c = &d->catalog;
    if (a->n_entries + b->n_entries >= SC_NO_NODE || d->a->n_parts + second->n_parts >= SC_NO_NODE)
        return sc_fail(e, SCRUPLE_ELIMIT, "the two models have too many tensors for one picture");
    c->weight_set = a->weight_set;
    c->files = join(a->files, a->n_files, b->files, b->n_files, sizeof *a->files);
    c->entries = join(a->entries, a->n_entries, b->entries, b->n_entries, sizeof *a->entries);
    d->whole.parts =
        join(d->a->parts, d->a->n_parts, second->parts, second->n_parts, sizeof *d->a->parts);
    if (!c->files || !c->entries || !d->whole.parts)
        return sc_fail_memory(e);
    c->n_files = a->n_files + b->n_files;
    c->n_entries = a->n_entries + b->n_entries;
    /* Views of storages are of no use here: values come from the models themselves. */
    for (size_t i = 0; i < c->n_entries; i++) {
        c->entries[i].view = SC_NO_STORAGE;
        c->entries[i].file += i < a->n_entries ? 0 : (uint32_t)a->n_files;
    }
    d->whole.n_parts = d->a->n_parts + second->n_parts;
    for (size_t i = d->a->n_parts; i < d->whole.n_parts; i++)
        d->whole.parts[i].entry += (uint32_t)a->n_entries;
    return 0;
}

static struct sc_tensor tensor_of_a(const struct sc_differences *d, uint32_t i)
{
    return d->a->tensors[i];
}

static struct sc_tensor tensor_of_b(const struct sc_differences *d, uint32_t i)
{
    struct sc_tensor t = d->b->tensors[i];
    t.main += (uint32_t)d->a->catalog->n_entries;
    t.first_part += (uint32_t)d->a->n_parts;
    return t;
}

/* Values that an arrangement of a tensor leaves. */
static uint64_t count_of(const struct sc_tensor *t, const struct sc_arrangement *how)
{
    uint64_t n = t->parameters;
    for (size_t i = 0; how && i < how->n; i++) {
        const struct sc_arrange_step *s = &how->step[i];
        const uint64_t sides[] = {s->n[0], s->n[1], s->n[2], s->cols};
        uint64_t rows;
        if (s->kind == SC_STEP_ROWS && sc_product(sides, SC_COUNT(sides), &rows))
            n = rows;
    }
    return n;
}

static bool turns(const struct sc_arrangement *how)
{
    for (size_t i = 0; how && i < how->n; i++)
        if (how->step[i].kind == SC_STEP_TURN)
            return true;
    return false;
}

/* Is its own shape that of the pair? */
static bool keeps_shape(const struct sc_tensor *t, const struct sc_arrangement *how)
{
    return !turns(how) && count_of(t, how) == t->parameters;
}

/* A part of both: rows of one matrix of A, named after what was taken. */
static int name_part(struct sc_differences *d, const struct sc_pair *p, struct sc_tensor *t,
                     struct sc_error *e)
{
    const struct sc_arrange_step *s = &p->how_a->step[p->how_a->n - 1];
    const uint64_t n = count_of(t, p->how_a);
    uint64_t *shape = SC_ARENA_NEW(&d->arena, uint64_t, 2);
    struct sc_buf name = {0};
    sc_buf_put(&name, t->name, t->name_len);
    sc_buf_printf(&name, " (%s)", p->transform ? p->transform : "part");
    t->name = name.failed ? NULL : sc_arena_copy(&d->arena, name.p, name.n);
    t->name_len = (uint32_t)name.n;
    sc_buf_clear(&name);
    if (!shape || !t->name)
        return sc_fail_memory(e);
    shape[1] = SC_MAX(s->kind == SC_STEP_TURN ? s->height : s->cols, UINT64_C(1));
    shape[0] = n / shape[1];
    t->shape = shape;
    t->rank = 2;
    t->parameters = n;
    return 0;
}

/* The tensor that a pair is drawn as. */
static int draw_pair(struct sc_differences *d, const struct sc_pair *p, struct sc_tensor *out,
                     struct sc_error *e)
{
    if (p->a == SC_NO_NODE || p->b == SC_NO_NODE) {
        *out = p->a == SC_NO_NODE ? tensor_of_b(d, p->b) : tensor_of_a(d, p->a);
        return 0;
    }
    const struct sc_tensor *a = &d->a->tensors[p->a], *b = &d->b->tensors[p->b];
    *out = tensor_of_a(d, p->a);
    if (p->status != SC_PAIR_BOTH)
        return 0;
    if (keeps_shape(a, p->how_a)) {
        if (sc_diff_stands_in(d->a, p, p->a)) { /* an embedding of A, for the output matrix of B */
            out->name = b->name;
            out->name_len = b->name_len;
            out->role = b->role;
            out->tower = b->tower;
            out->layer = b->layer;
        }
        return 0;
    }
    if (!keeps_shape(b, p->how_b))
        return name_part(d, p, out, e);
    /* A's values in B's shape; A's name, unless it is a part of it. */
    const struct sc_tensor own = *out;
    *out = tensor_of_b(d, p->b);
    if (count_of(a, p->how_a) == a->parameters) {
        out->name = own.name;
        out->name_len = own.name_len;
    }
    out->main = own.main; /* in the order of A's file */
    out->dtype = own.dtype;
    out->bytes = (uint64_t)((double)own.bytes * ((double)out->parameters /
                                                 (double)SC_MAX(own.parameters, UINT64_C(1))));
    return 0;
}

static int make_model(struct sc_differences *d, struct sc_error *e)
{
    const struct sc_model *a = d->a;
    const size_t n = d->pairs.n;
    d->whole.catalog = &d->catalog;
    d->whole.label = a->label;
    d->whole.origin = a->origin;
    d->whole.config = a->config;
    TRY(join_tables(d, e));
    d->whole.tensors = sc_calloc(SC_MAX(n, (size_t)1), sizeof *d->whole.tensors);
    if (!d->whole.tensors)
        return sc_fail_memory(e);
    for (size_t i = 0; i < n; i++) {
        struct sc_tensor *t = &d->whole.tensors[i];
        TRY(draw_pair(d, &d->pairs.p[i], t, e));
        d->whole.bytes = sc_add_up(d->whole.bytes, t->bytes);
        d->whole.parameters = sc_add_up(d->whole.parameters, t->parameters);
    }
    d->whole.n_tensors = n;
    return 0;
}

/* ----------------------------------------------------------------------------------- values --- */

/* What an adapter leaves alone: B is A there. */
static bool is_untouched(const struct sc_differences *d, const struct sc_pair *p)
{
    return d->adapter && p->status == SC_PAIR_ONLY_A;
}

static bool is_update(const struct sc_differences *d, const struct sc_pair *p)
{
    return d->adapter && p->b != SC_NO_NODE && p->b < d->adapter->n_updates;
}

/* As it is stored, in the files of B; not of updates. */
static uint32_t stored_in_b(const struct sc_differences *d, const struct sc_pair *p)
{
    return d->adapter ? d->adapter->whole[p->b - d->adapter->n_updates] : p->b;
}

static uint32_t instead(void *ctx, uint32_t tensor)
{
    static const uint32_t pixels[] = {
        [SC_PAIR_BOTH] = 0,
        [SC_PAIR_SHAPE] = SC_PIXEL_SHAPE,
        [SC_PAIR_ONLY_A] = SC_PIXEL_ONLY_A,
        [SC_PAIR_ONLY_B] = SC_PIXEL_ONLY_B,
    };
    const struct sc_differences *d = ctx;
    const struct sc_pair *p = &d->pairs.p[tensor];
    return is_untouched(d, p) ? 0 : pixels[p->status];
}

static int open_zeros(const struct sc_model *m, uint32_t tensor, struct sc_values **out,
                      struct sc_error *e)
{
    struct sc_values *like;
    TRY(sc_values_open(m, tensor, &like, e));
    const int code = sc_values_open_zeros(like, out, e);
    sc_values_close(like);
    return code;
}

static int open_both(const struct sc_differences *d, const struct sc_pair *p, struct sc_values **a,
                     struct sc_values **b, struct sc_error *e)
{
    struct sc_pair stored = *p;
    stored.b = stored_in_b(d, p);
    return sc_values_open_pair(d->a, d->stored_b, &stored, a, b, e);
}

static int open_values(void *ctx, uint32_t tensor, struct sc_values **out, struct sc_error *e)
{
    const struct sc_differences *d = ctx;
    const struct sc_pair *p = &d->pairs.p[tensor];
    struct sc_values *a, *b;
    struct sc_quoted q;
    *out = NULL;
    if (is_untouched(d, p))
        return open_zeros(d->a, p->a, out, e);
    if (is_update(d, p) && p->status == SC_PAIR_BOTH) /* B - A is the update itself */
        return sc_diff_open_update(d->adapter, p->b, d->memory, out, e);
    if (p->status != SC_PAIR_BOTH)
        return sc_fail(e, SCRUPLE_EUNSUPPORTED, "tensor \"%s\" %s",
                       sc_quote(&q, sc_tensor_name(&d->whole.tensors[tensor])),
                       p->status == SC_PAIR_ONLY_A   ? "is in A only"
                       : p->status == SC_PAIR_ONLY_B ? "is in B only"
                                                     : "has another shape in B");
    TRY(open_both(d, p, &a, &b, e));
    return sc_values_open_difference(a, b, out, e);
}

static bool is_far(void *ctx, uint32_t tensor)
{
    const struct sc_differences *d = ctx;
    const struct sc_pair *p = &d->pairs.p[tensor];
    if (is_untouched(d, p))
        return false;
    if (is_update(d, p))
        return sc_tensor_is_far(d->stored_b, d->adapter->updates[p->b].up);
    return (p->a != SC_NO_NODE && sc_tensor_is_far(d->a, p->a)) ||
           (p->b != SC_NO_NODE && sc_tensor_is_far(d->stored_b, stored_in_b(d, p)));
}

static void put_arrangement(const struct sc_arrangement *how, struct sc_buf *b)
{
    for (size_t i = 0; how && i < how->n; i++) {
        const struct sc_arrange_step *s = &how->step[i];
        sc_buf_printf(b, " %u %d %llu %llu %llu", s->kind, s->half, (unsigned long long)s->cols,
                      (unsigned long long)s->height, (unsigned long long)s->first);
        for (size_t k = 0; k < 3; k++)
            sc_buf_printf(b, " %llu*%llu", (unsigned long long)s->n[k],
                          (unsigned long long)s->stride[k]);
    }
}

static bool identify(void *ctx, struct sc_buf *b)
{
    const struct sc_differences *d = ctx;
    sc_buf_puts(b, "difference\n");
    if (!sc_pyramids_identify(d->a, b))
        return false;
    sc_buf_puts(b, "of\n");
    if (!sc_pyramids_identify(d->stored_b, b))
        return false;
    for (size_t i = 0; d->adapter && i < d->adapter->n_updates; i++)
        sc_buf_printf(b, "%a ", d->adapter->updates[i].scale);
    for (size_t i = 0; i < d->pairs.n; i++) {
        const struct sc_pair *p = &d->pairs.p[i];
        sc_buf_printf(b, "%u", p->status);
        if (p->b != SC_NO_NODE)
            sc_buf_put(b, d->b->tensors[p->b].name, d->b->tensors[p->b].name_len);
        put_arrangement(p->how_a, b);
        sc_buf_putc(b, '|');
        put_arrangement(p->how_b, b);
        sc_buf_putc(b, '\n');
    }
    return !b->failed;
}

/* --------------------------------------------------------------------------------- elements --- */

/* What is stored: its value, too, as long as nobody has arranged it. */
static int read_side(const struct sc_model *m, uint32_t tensor, const struct sc_arrangement *how,
                     uint64_t at, struct sc_element_facts *out, const char **file,
                     struct sc_error *e)
{
    struct sc_values *v;
    *file = m->catalog->files[m->catalog->entries[m->tensors[tensor].main].file].path;
    TRY(sc_values_open(m, tensor, &v, e));
    const uint64_t stored = sc_arranged_at(how, at);
    const unsigned each = v->count == 2 * m->tensors[tensor].parameters ? 2 : 1;
    const int code = stored < v->count / each
                         ? sc_element_read(v, each, stored, out, e)
                         : sc_fail(e, SCRUPLE_EFORMAT, "a tensor has fewer values than its pair");
    sc_values_close(v);
    return code;
}

/* An update: nothing is stored of B, which is A and the update. */
static int read_update(const struct sc_differences *d, const struct sc_pair *p, uint64_t at,
                       struct sc_two_elements *out, struct sc_error *e)
{
    struct sc_values *v;
    TRY(sc_diff_open_update(d->adapter, p->b, d->memory, &v, e));
    const int code = at < v->count ? sc_values_read64(v, at, 1, &out->difference, e)
                                   : sc_fail(e, SCRUPLE_EFORMAT, "an update has fewer values");
    sc_values_close(v);
    out->b.value = out->has_a ? out->a.value + out->difference : out->difference;
    return code;
}

static int read_two(const struct sc_differences *d, const struct sc_pair *p, uint64_t at,
                    struct sc_two_elements *out, struct sc_error *e)
{
    struct sc_values *a, *b;
    double x[2] = {0}, y[2] = {0};
    TRY(open_both(d, p, &a, &b, e));
    const unsigned each = a->count == 2 * d->a->tensors[p->a].parameters ? 2 : 1;
    int code = a->count == b->count && at < a->count / each
                   ? 0
                   : sc_fail(e, SCRUPLE_EFORMAT, "the two sides have another number of values");
    if (code == 0)
        code = sc_values_read64(a, at * each, each, x, e);
    if (code == 0)
        code = sc_values_read64(b, at * each, each, y, e);
    sc_values_close(a);
    sc_values_close(b);
    if (code < 0)
        return code;
    out->a.value = each == 2 ? hypot(x[0], x[1]) : x[0];
    out->b.value = each == 2 ? hypot(y[0], y[1]) : y[0];
    out->difference = each == 2 ? hypot(y[0] - x[0], y[1] - x[1]) : y[0] - x[0];
    if (out->a.raw_bytes && out->a.raw_bytes == out->b.raw_bytes)
        out->ulp = sc_ulp_between(&d->a->tensors[p->a], &d->stored_b->tensors[stored_in_b(d, p)],
                                  out->a.raw, out->b.raw, out->a.raw_bytes);
    return 0;
}

int sc_differences_at(const struct sc_differences *d, uint32_t tensor, uint64_t at,
                      struct sc_two_elements *out, struct sc_error *e)
{
    const struct sc_pair *p = &d->pairs.p[tensor];
    const struct sc_element_facts none = {.value = (double)NAN, .offset = UINT64_MAX};
    *out = (struct sc_two_elements){
        .a = none, .b = none, .difference = (double)NAN, .ulp = UINT64_MAX};
    /* Of another shape there is A's, which is the one that is drawn. */
    out->has_a = p->a != SC_NO_NODE && d->has_base;
    out->has_b = (p->b != SC_NO_NODE && p->status != SC_PAIR_SHAPE) || is_untouched(d, p);
    if (out->has_a)
        TRY(read_side(d->a, p->a, p->how_a, at, &out->a, &out->file_a, e));
    if (is_untouched(d, p)) {
        out->b = out->a;
        out->file_b = out->file_a;
        out->difference = isfinite(out->a.value) ? 0 : (double)NAN;
        return 0;
    }
    if (is_update(d, p))
        return p->status == SC_PAIR_SHAPE ? 0 : read_update(d, p, at, out, e);
    if (out->has_b)
        TRY(read_side(d->stored_b, stored_in_b(d, p), p->how_b, at, &out->b, &out->file_b, e));
    return p->status == SC_PAIR_BOTH ? read_two(d, p, at, out, e) : 0;
}

/* ------------------------------------------------------------------------- making, freeing --- */

/* A diff leaves out what an adapter does not touch. */
static int count_figures(struct sc_differences *d, struct sc_error *e)
{
    uint32_t n = 0;
    d->figures = sc_alloc(SC_MAX(d->pairs.n, (size_t)1) * sizeof *d->figures);
    d->tensors = sc_alloc(SC_MAX(d->pairs.n, (size_t)1) * sizeof *d->tensors);
    if (!d->figures || !d->tensors)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < d->pairs.n; i++) {
        const bool has = !is_untouched(d, &d->pairs.p[i]);
        d->figures[i] = has ? n : SC_NO_NODE;
        if (has)
            d->tensors[n++] = i;
    }
    return 0;
}

static int make(struct sc_differences *d, const struct sc_filter *filter, struct sc_error *e)
{
    if (d->adapter)
        TRY(sc_adapter_pair(d->adapter, d->has_base ? d->a : NULL, filter, &d->pairs, e));
    else
        TRY(sc_models_match(d->a, d->b, filter, &d->pairs, e));
    TRY(count_figures(d, e));
    return make_model(d, e);
}

int sc_differences_new(const struct sc_differences_options *o, struct sc_differences **out,
                       struct sc_error *e)
{
    struct sc_differences *d = sc_calloc(1, sizeof *d);
    *out = NULL;
    if (!d)
        return sc_fail_memory(e);
    d->adapter = o->adapter;
    d->b = o->adapter ? &o->adapter->target : o->b;
    d->stored_b = o->adapter ? o->adapter->model : o->b;
    d->has_base = o->a != NULL;
    d->a = o->a ? o->a : d->b;
    d->memory = o->memory;
    d->values = (struct sc_drawn_values){instead, open_values, is_far, identify, d};
    const int code = make(d, o->filter, e);
    if (code < 0)
        sc_differences_free(d);
    else
        *out = d;
    return code;
}

void sc_differences_free(struct sc_differences *d)
{
    if (!d)
        return;
    sc_pairs_clear(&d->pairs);
    free(d->catalog.files);
    free(d->catalog.entries);
    free(d->whole.parts);
    free(d->whole.tensors);
    free(d->figures);
    free(d->tensors);
    sc_arena_clear(&d->arena);
    free(d);
}

const struct sc_model *sc_differences_model(const struct sc_differences *d)
{
    return &d->whole;
}

const struct sc_pair *sc_differences_pair(const struct sc_differences *d, uint32_t tensor)
{
    return &d->pairs.p[tensor];
}

uint32_t sc_differences_figures(const struct sc_differences *d, uint32_t tensor)
{
    return d->figures[tensor];
}

uint32_t sc_differences_tensor(const struct sc_differences *d, uint32_t pair)
{
    return d->tensors[pair];
}

const struct sc_drawn_values *sc_differences_values(const struct sc_differences *d)
{
    return &d->values;
}
