/* SPDX-License-Identifier: Apache-2.0 */
/* evolution_drift: how kinds of weights and layers drift over checkpoints, step by step and from
 * the first on: ||difference|| / ||where it started|| over all tensors of a kind that were
 * compared. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/diff.h"

/* A tensor of one step. */
struct member {
    uint32_t kind; /* tower and role; or tower and layer */
    uint32_t pair;
};

struct drift {
    uint32_t kind;
    double *step, *first; /* (n_steps) */
};

struct drifts {
    struct sc_document *doc;
    const struct sc_evolution *v;
    bool layers;
    struct drift *of;
    size_t n, cap;
    struct member *work;
    struct sc_error *e;
};

static int by_kind(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->pair < y->pair ? -1 : x->pair > y->pair;
}

static int by_its_kind(const void *a, const void *b)
{
    const struct drift *x = a, *y = b;

    return (x->kind > y->kind) - (x->kind < y->kind);
}

static int find(struct drifts *w, uint32_t kind, struct drift **out)
{
    const size_t n = w->v->n_steps;

    for (size_t i = 0; i < w->n; i++)
        if (w->of[i].kind == kind) {
            *out = &w->of[i];
            return 0;
        }
    TRY(sc_grow(&w->of, &w->cap, w->n + 1, sizeof *w->of, w->e));
    double *figures = sc_analyze_alloc(w->doc, 2 * n * sizeof *figures, w->e);
    if (!figures)
        return SCRUPLE_EMEMORY;
    for (size_t i = 0; i < 2 * n; i++)
        figures[i] = (double)NAN;
    *out = &w->of[w->n++];
    **out = (struct drift){kind, figures, figures + n};
    return 0;
}

static int add_step(struct drifts *w, const struct sc_diff *d, size_t step, bool first)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n; i++) {
        const struct sc_diff_pair *p = &d->pairs[i];
        const struct sc_tensor *t = sc_diff_tensor(d, p);
        if (!p->change || p->same != SC_NO_NODE ||
            (w->layers && (t->layer < 0 || t->layer > 0xffff)))
            continue;
        w->work[n++] = (struct member){
            (uint32_t)t->tower << 16 | (w->layers ? (uint32_t)t->layer : t->role), (uint32_t)i};
    }
    if (n)
        qsort(w->work, n, sizeof *w->work, by_kind);
    for (size_t i = 0, end; i < n; i = end) {
        struct sc_diff_sums sums = {0};
        struct drift *drift;
        for (end = i; end < n && w->work[end].kind == w->work[i].kind; end++)
            sc_diff_add(&sums, &d->pairs[w->work[end].pair]);
        TRY(find(w, w->work[i].kind, &drift));
        *(first ? &drift->first[step] : &drift->step[step]) = sc_diff_relative(&sums);
    }
    return 0;
}

static void add_figures(struct sc_document *doc, struct sc_field *into, const char *key,
                        const double *x, size_t n)
{
    struct sc_field *list = sc_add_list(doc, into, key);

    for (size_t i = 0; i < n; i++)
        sc_add_figure(doc, list, NULL, x[i]);
}

static int add_kinds(struct drifts *w, struct sc_field *into)
{
    const size_t n = w->v->n_steps;
    struct sc_field *list = sc_add_list(w->doc, into, w->layers ? "layers" : "roles");

    for (size_t i = 0; i < n; i++) {
        TRY(add_step(w, w->v->steps[i], i, false));
        TRY(add_step(w, w->v->firsts[i], i, true));
    }
    if (w->n)
        qsort(w->of, w->n, sizeof *w->of, by_its_kind);
    for (size_t i = 0; i < w->n; i++) {
        struct sc_field *f = sc_add_object(w->doc, list, NULL);
        if (w->layers)
            sc_add_uint(w->doc, f, "layer", w->of[i].kind & 0xffff, SC_COL_COUNT);
        else
            sc_add_textz(w->doc, f, "role", sc_role_names[w->of[i].kind & 0xffff]);
        sc_add_textz(w->doc, f, "tower", sc_tower_names[w->of[i].kind >> 16]);
        add_figures(w->doc, f, "relative_l2", w->of[i].step, n);
        add_figures(w->doc, f, "from_first", w->of[i].first, n);
    }
    return 0;
}

int sc_evolution_add_drift(struct sc_document *doc, struct sc_field *into,
                           const struct sc_evolution *v, struct sc_error *e)
{
    size_t most = 1;
    int code = 0;

    for (size_t i = 0; i < v->n_steps; i++)
        most = SC_MAX(most, SC_MAX(v->steps[i]->n, v->firsts[i]->n));
    struct member *work = sc_alloc(most * sizeof *work);
    if (!work)
        return sc_fail_memory(e);
    for (int layers = 0; code == 0 && layers < 2; layers++) {
        struct drifts w = {.doc = doc, .v = v, .layers = layers, .work = work, .e = e};
        code = add_kinds(&w, into);
        free(w.of);
    }
    free(work);
    return code;
}
