/* SPDX-License-Identifier: Apache-2.0 */
/* diff_maps: a strip for layers, one for kinds of weights: rows by columns of steps. */
#include "cli/diff_maps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/drawing.h"

/* A row of a strip: a layer of a tower, or a kind of weight (layer -1). */
struct row {
    uint32_t tower, role;
    int32_t layer;
};
struct strips {
    const struct sc_evolution *v;
    struct sc_map maps[2];
    size_t n;
    const char **steps; /* (n_steps) labels of columns */
    struct sc_arena arena;
};

static int by_place(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->tower != y->tower)
        return x->tower < y->tower ? -1 : 1;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return (x->role > y->role) - (x->role < y->role);
}

static struct row row_of(const struct sc_tensor *t, bool layers)
{
    return layers ? (struct row){t->tower, 0, t->layer} : (struct row){t->tower, t->role, -1};
}

/* Every layer, or kind, that a step has compared, once. Room for all pairs is at `rows`. */
static size_t find_rows(const struct sc_evolution *v, bool layers, struct row *rows)
{
    size_t n = 0, kept = 0;

    for (size_t s = 0; s < v->n_steps; s++)
        for (size_t i = 0; i < v->steps[s]->n; i++) {
            const struct sc_diff_pair *p = &v->steps[s]->pairs[i];
            const struct sc_tensor *t = sc_diff_tensor(v->steps[s], p);
            if (p->change && p->same == SC_NO_NODE && (!layers || t->layer >= 0))
                rows[n++] = row_of(t, layers);
        }
    if (n)
        qsort(rows, n, sizeof *rows, by_place);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || by_place(&rows[kept - 1], &rows[i]) != 0)
            rows[kept++] = rows[i];
    return kept;
}

/* ||B - A|| / ||A|| of what belongs to a row. */
static float change_of(const struct sc_diff *d, const struct row *row, bool layers)
{
    struct sc_diff_sums sums = {0};

    for (size_t i = 0; i < d->n; i++) {
        const struct row here = row_of(sc_diff_tensor(d, &d->pairs[i]), layers);
        if (d->pairs[i].same == SC_NO_NODE && by_place(&here, row) == 0)
            sc_diff_add(&sums, &d->pairs[i]);
    }
    return (float)sc_diff_relative(&sums);
}

static const char *label_of(struct strips *x, const struct row *row)
{
    char text[96];
    const char *tower = row->tower ? sc_tower_names[row->tower] : "", *gap = row->tower ? " " : "";

    if (row->layer >= 0)
        snprintf(text, sizeof text, "%s%s%d", tower, gap, (int)row->layer);
    else
        snprintf(text, sizeof text, "%s%s%s", tower, gap, sc_role_names[row->role]);
    return sc_arena_copy(&x->arena, text, strlen(text));
}

static int add_strip(struct strips *x, bool layers, struct row *rows, struct sc_error *e)
{
    const size_t n = find_rows(x->v, layers, rows), steps = x->v->n_steps;
    const char **labels = SC_ARENA_NEW(&x->arena, const char *, SC_MAX(n, (size_t)1));
    float *values = SC_ARENA_NEW(&x->arena, float, SC_MAX(n * steps, (size_t)1));

    if (!labels || !values)
        return sc_fail_memory(e);
    for (size_t r = 0; r < n; r++) {
        if (!(labels[r] = label_of(x, &rows[r])))
            return sc_fail_memory(e);
        for (size_t s = 0; s < steps; s++)
            values[r * steps + s] = change_of(x->v->steps[s], &rows[r], layers);
    }
    if (n)
        x->maps[x->n++] = (struct sc_map){.name = layers ? "layers" : "kinds",
                                          .about = "||B - A|| / ||A|| of each step",
                                          .rows = (uint32_t)n,
                                          .cols = (uint32_t)steps,
                                          .values = values,
                                          .down = {layers ? "layer" : "kind", labels},
                                          .across = {"step", x->steps},
                                          .low = (float)NAN,
                                          .high = (float)NAN,
                                          .x = layers ? 0 : 1};
    return 0;
}

/* "a to b" of each step. */
static int name_steps(struct strips *x, struct sc_error *e)
{
    x->steps = SC_ARENA_NEW(&x->arena, const char *, x->v->n_steps);
    for (size_t s = 0; x->steps && s < x->v->n_steps; s++) {
        const struct sc_str a = sc_last_part(x->v->models[s]->label),
                            b = sc_last_part(x->v->models[s + 1]->label);
        struct sc_buf text = {0};
        (void)sc_put_safe(&text, a, 0);
        sc_buf_puts(&text, " to ");
        (void)sc_put_safe(&text, b, 0);
        x->steps[s] = text.failed ? NULL : sc_arena_copy(&x->arena, text.p, text.n);
        sc_buf_clear(&text);
        if (!x->steps[s])
            return sc_fail_memory(e);
    }
    return x->steps ? 0 : sc_fail_memory(e);
}

int sc_write_steps(struct sc_cli *c, const struct sc_evolution *v)
{
    struct strips x = {.v = v};
    struct sc_error e = {0};
    size_t pairs = 1;
    int status = 0;

    for (size_t s = 0; s < v->n_steps; s++)
        pairs += v->steps[s]->n;
    struct row *rows = sc_calloc(pairs, sizeof *rows);
    int code = rows ? name_steps(&x, &e) : sc_fail_memory(&e);
    if (code == 0)
        code = add_strip(&x, true, rows, &e);
    if (code == 0)
        code = add_strip(&x, false, rows, &e);
    if (code < 0)
        status = sc_fail_exit(c, &e);
    else if (x.n)
        status = sc_view_maps(c, x.maps, x.n, c->set.title ? c->set.title : "Change by step");
    free(rows);
    sc_arena_clear(&x.arena);
    return status;
}
