/* SPDX-License-Identifier: Apache-2.0 */
/* figures: what the commands that measure tensors share. */
#include "analyze/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------- records --- */
int sc_records_make(struct sc_records *r, size_t n, size_t size, struct sc_error *e)
{
    *r = (struct sc_records){.n = n, .size = size, .p = sc_pages_new(true, n, size)};
    return r->p ? 0 : sc_fail_memory(e);
}

void sc_records_free(struct sc_records *r)
{
    sc_pages_free(r->p);
    *r = (struct sc_records){0};
}

/* --------------------------------------------------------------------------------- twins --- */
/* Integers of PyTorch: the same bytes may stand for other values. Only per tensor: a tensor with
 * scales of its own has more than one part. */
static bool same_meaning(const struct sc_catalog *c, const struct sc_entry *x,
                         const struct sc_entry *y)
{
    const struct sc_quantizer *p = sc_entry_quantizer(c, x), *q = sc_entry_quantizer(c, y);

    return p == q || (p && q && p->per_channel == q->per_channel && p->scale == q->scale &&
                      p->zero_point == q->zero_point);
}

static bool same_bytes(const struct sc_model *m, const struct sc_tensor *a,
                       const struct sc_tensor *b)
{
    const struct sc_entry *x = &m->catalog->entries[a->main], *y = &m->catalog->entries[b->main];

    if (a->n_parts != 1 || b->n_parts != 1 || x->file != y->file || x->dtype != y->dtype ||
        a->rank != b->rank || (a->rank && memcmp(a->shape, b->shape, a->rank * sizeof *a->shape)))
        return false;
    if ((x->view == SC_NO_STORAGE) != (y->view == SC_NO_STORAGE))
        return false;
    if (x->view == SC_NO_STORAGE)
        return x->offset == y->offset;
    const struct sc_view *v = &m->catalog->views[x->view], *w = &m->catalog->views[y->view];
    return v->storage == w->storage && v->first == w->first &&
           (!a->rank || memcmp(v->strides, w->strides, a->rank * sizeof *v->strides) == 0) &&
           same_meaning(m->catalog, x, y);
}

static uint64_t place_hash(const struct sc_catalog *c, const struct sc_entry *en)
{
    bool plain = en->view == SC_NO_STORAGE;
    const uint64_t place[] = {en->file, en->dtype, plain ? en->offset : c->views[en->view].storage,
                              plain ? UINT64_MAX : c->views[en->view].first};

    return sc_hash(place, sizeof place);
}

/* A file says which entries share their bytes with an earlier one; in the order of names that one
 * may come later. */
int sc_find_twins(const struct sc_model *m, const uint32_t *tensors, size_t n, uint32_t *twin,
                  struct sc_error *e)
{
    const struct sc_catalog *c = m->catalog;
    struct sc_index index = {.filed = true};
    bool any = false;
    int code = 0;

    for (size_t i = 0; i < n; i++) {
        twin[i] = SC_NO_NODE;
        any = any || (c->entries[m->tensors[tensors[i]].main].flags & SC_ENTRY_TIED);
    }
    for (size_t i = 0; i < n && any && code >= 0; i++) {
        const struct sc_tensor *t = &m->tensors[tensors[i]];
        uint64_t hash = place_hash(c, &c->entries[t->main]);
        size_t probe = 0;
        uint32_t k;
        while ((k = sc_index_next(&index, hash, &probe)) != UINT32_MAX)
            if (same_bytes(m, t, &m->tensors[tensors[k]]))
                break;
        twin[i] = k;
        if (k == UINT32_MAX)
            code = sc_index_put(&index, hash, (uint32_t)i, e);
    }
    sc_index_clear(&index);
    return code;
}

/* -------------------------------------------------------------------------------- metrics --- */
static const void *at(const struct sc_metric *m, const void *figures)
{
    return (const char *)figures + m->offset;
}

bool sc_metric_is_list(const struct sc_metric *m)
{
    return m->kind >= SC_METRIC_DOUBLES && m->kind <= SC_METRIC_UINT32S;
}

void sc_add_figure(struct sc_document *d, struct sc_field *into, const char *key, double v)
{
    if (isnan(v))
        sc_add_null(d, into, key);
    else
        sc_add_number(d, into, key, v);
}

static void add_list(struct sc_document *d, struct sc_field *into, const char *key,
                     const void *figures, const struct sc_metric *m)
{
    struct sc_field *list = sc_add_list(d, into, key);

    for (size_t i = 0; i < m->count; i++) {
        if (m->kind == SC_METRIC_UINTS)
            sc_add_uint(d, list, NULL, ((const uint64_t *)at(m, figures))[i], SC_COL_COUNT);
        else if (m->kind == SC_METRIC_UINT32S)
            sc_add_uint(d, list, NULL, ((const uint32_t *)at(m, figures))[i], SC_COL_COUNT);
        else
            sc_add_figure(d, list, NULL,
                          m->kind == SC_METRIC_FLOATS ? (double)((const float *)at(m, figures))[i]
                                                      : ((const double *)at(m, figures))[i]);
    }
}

void sc_metric_cell(const struct sc_metric *m, const void *figures, struct sc_cell *out)
{
    switch ((enum sc_metric_kind)m->kind) {
    case SC_METRIC_DOUBLE:
        memcpy(&out->f, at(m, figures), sizeof out->f);
        out->null = isnan(out->f);
        break;
    case SC_METRIC_UINT:
        memcpy(&out->u, at(m, figures), sizeof out->u);
        out->null = out->u == UINT64_MAX;
        break;
    case SC_METRIC_UINT32:
        out->u = *(const uint32_t *)at(m, figures);
        break;
    case SC_METRIC_TEXT:
        out->text = sc_strz(at(m, figures));
        out->null = !out->text.n;
        break;
    case SC_METRIC_METHOD:
        out->text = sc_strz(sc_spectrum_method_names[*(const uint32_t *)at(m, figures)]);
        break;
    case SC_METRIC_DOUBLES:
    case SC_METRIC_FLOATS:
    case SC_METRIC_UINTS:
    case SC_METRIC_UINT32S:
        out->null = true;
        break;
    }
}

static void add_scalar(struct sc_document *d, struct sc_field *into, const char *key,
                       const void *figures, const struct sc_metric *m)
{
    struct sc_cell cell = {0};

    sc_metric_cell(m, figures, &cell);
    if (cell.null)
        sc_add_null(d, into, key);
    else if (m->kind == SC_METRIC_DOUBLE)
        sc_add_number(d, into, key, cell.f);
    else if (m->kind == SC_METRIC_TEXT || m->kind == SC_METRIC_METHOD)
        sc_add_text(d, into, key, cell.text);
    else
        sc_add_uint(d, into, key, cell.u, SC_COL_COUNT);
}

void sc_metrics_add(struct sc_document *d, struct sc_field *into, const struct sc_metric_group *g,
                    const void *figures, bool full)
{
    struct sc_field *inner = NULL;
    struct sc_str open = {0};

    for (size_t i = 0; i < g->n; i++) {
        const struct sc_metric *m = &g->metrics[i];
        const char *dot = strchr(m->key, '.');
        if ((m->flags & SC_METRIC_PLOT) && !full)
            continue;
        struct sc_str outer = sc_str(m->key, dot ? (size_t)(dot - m->key) : 0);
        if (dot && (!inner || !sc_str_eq(outer, open))) {
            char name[64] = "";
            memcpy(name, outer.p, SC_MIN(outer.n, sizeof name - 1));
            inner = sc_add_object(d, into, name);
            open = outer;
        }
        struct sc_field *where = dot ? inner : into;
        const char *key = dot ? dot + 1 : m->key;
        if (!dot)
            inner = NULL;
        if (sc_metric_is_list(m))
            add_list(d, where, key, figures, m);
        else
            add_scalar(d, where, key, figures, m);
    }
}

int sc_metric_columns(struct sc_document *d, const struct sc_metric_group *g,
                      struct sc_column *columns, const struct sc_metric **metrics, size_t *k,
                      struct sc_error *e)
{
    for (size_t i = 0; i < g->n; i++) {
        const struct sc_metric *m = &g->metrics[i];
        struct sc_buf key = {0};
        if (sc_metric_is_list(m))
            continue;
        sc_buf_printf(&key, "%s.%s", g->key, m->key);
        char *text = key.failed ? NULL : sc_arena_copy(&d->arena, key.p, key.n);
        sc_buf_clear(&key);
        if (!text)
            return sc_fail_memory(e);
        bool words = m->kind == SC_METRIC_TEXT || m->kind == SC_METRIC_METHOD;
        uint8_t kind = words                         ? SC_COL_TEXT
                       : m->kind == SC_METRIC_DOUBLE ? SC_COL_NUMBER
                                                     : SC_COL_COUNT;
        columns[*k] = (struct sc_column){text, NULL, m->unit, kind, SC_COL_JSON_ONLY, 0};
        metrics[(*k)++] = m;
    }
    return 0;
}

/* ----------------------------------------------------------------------------- for people --- */
double sc_figures_median(double *v, size_t n)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++)
        if (!isnan(v[i]))
            v[used++] = v[i];
    if (!used)
        return (double)NAN;
    const double upper = sc_select(v, used, used / 2);
    if (used % 2)
        return upper;
    double lower = v[0];
    for (size_t i = 1; i < used / 2; i++)
        lower = fmax(lower, v[i]);
    return lower >= upper ? upper : (lower + upper) / 2;
}

struct sc_str sc_short_number(double v, char *text)
{
    if (isnan(v))
        return sc_str("", 0);
    snprintf(text, 64, "%.4g", v);
    return sc_strz(text);
}

const char *sc_bars(struct sc_document *d, double *v, size_t n, size_t most, bool ascii)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const plain[] = {"1", "2", "3", "4", "5", "6", "7", "8"};
    size_t bars = SC_MIN(n, most);
    double low = (double)INFINITY, high = -(double)INFINITY;
    struct sc_buf b = {0};

    for (size_t i = 0; i < bars; i++) {
        size_t from = i * n / bars, to = (i + 1) * n / bars;
        v[i] = sc_figures_median(v + from, to - from);
        if (isfinite(v[i])) {
            low = fmin(low, v[i]);
            high = fmax(high, v[i]);
        }
    }
    if (!(high > 0))
        return NULL;
    /* What differs by less than a tenth is flat, not a mountain range. */
    double span = fmax(high - low, 0.1 * high);
    for (size_t i = 0; i < bars; i++) {
        double level = (v[i] - low) / span * 7 + 0.5;
        if (isfinite(level))
            sc_buf_puts(&b, (ascii ? plain : blocks)[SC_MIN((size_t)level, 7)]);
        else
            sc_buf_putc(&b, '?');
    }
    const char *text = b.failed || !b.n ? NULL : sc_arena_copy(&d->arena, b.p, b.n);
    d->failed = d->failed || (b.n && !text);
    sc_buf_clear(&b);
    return text;
}

void sc_spotter_cell(const struct sc_spotter *s, uint32_t tensor, uint64_t element, bool link,
                     struct sc_cell *out)
{
    out->text = s ? s->text(s->ctx, tensor, element, link) : sc_str(NULL, 0);
    out->null = !out->text.p;
}
