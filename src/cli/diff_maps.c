/* SPDX-License-Identifier: Apache-2.0 */
/* diff_maps: checkpoints in order as strips: a map for each kind of weights, its tensors from above
 * to below, the steps from left to right; below them the same from the first checkpoint on. */
#include "cli/diff_maps.h"

#include <math.h>
#include <string.h>

#include "cli/drawing.h"
#include "cli/map_list.h"

/* Tensors of a kind, in the order of the checkpoint. */
struct kind {
    unsigned tower, role;
    bool in_layers;
    uint32_t n;
};

static bool is_of(const struct sc_track *t, const struct kind *k)
{
    return t->tower == k->tower && t->role == k->role && (t->layer >= 0) == k->in_layers;
}

/* "q_proj", "vision q_proj"; what stands in no layer is put together with its like. */
static char *name_kind(struct sc_map_list *l, const struct kind *k, const char *what)
{
    return sc_map_list_text(l, "%s%s%s%s%s", k->tower ? sc_tower_names[k->tower] : "",
                            k->tower ? " " : "", sc_role_names[k->role],
                            k->in_layers ? "" : " (in no layer)", what);
}

static int add_kind(struct sc_map_list *l, const struct sc_evolution *v, const struct kind *k,
                    const char *const *steps, bool first, uint32_t column, struct sc_error *e)
{
    const char **names = SC_ARENA_NEW(&l->arena, const char *, k->n);
    float *values = SC_ARENA_NEW(&l->arena, float, (size_t)k->n * v->n_steps);
    uint32_t row = 0;

    if (!names || !values)
        return sc_fail_memory(e);
    for (size_t i = 0; i < v->n; i++) {
        const struct sc_track *t = &v->tracks[i];
        if (!is_of(t, k))
            continue;
        names[row] = sc_map_list_text(l, "%.*s", (int)t->name.n, t->name.p);
        if (!names[row])
            return sc_fail_memory(e);
        for (size_t s = 0; s < v->n_steps; s++)
            values[(size_t)row * v->n_steps + s] = (float)(first ? t->first[s] : t->relative[s]);
        row++;
    }
    const struct sc_map map = {.name = name_kind(l, k, first ? " from the first" : " step by step"),
                               .about = first ? "||B - A|| / ||A||, A the first checkpoint"
                                              : "||B - A|| / ||A||, A the checkpoint before",
                               .rows = k->n,
                               .cols = (uint32_t)v->n_steps,
                               .values = values,
                               .down = {"tensor", names},
                               .across = {"checkpoint", steps},
                               .low = NAN,
                               .high = NAN};
    return sc_map_list_add(l, map, column, e);
}

static size_t find_kinds(const struct sc_evolution *v, struct kind *kinds)
{
    size_t n = 0;

    for (size_t i = 0; i < v->n; i++) {
        size_t k = 0;
        while (k < n && !is_of(&v->tracks[i], &kinds[k]))
            k++;
        if (k == n)
            kinds[n++] =
                (struct kind){v->tracks[i].tower, v->tracks[i].role, v->tracks[i].layer >= 0, 0};
        kinds[k].n++;
    }
    return n;
}

/* What follows the last slash: names of checkpoints are alike up to there. */
static const char *short_label(const char *label)
{
    const char *slash = strrchr(label, '/');

    return slash && slash[1] ? slash + 1 : label;
}

static int collect(struct sc_map_list *l, const struct sc_evolution *v, struct sc_error *e)
{
    struct kind kinds[2 * SC_ROLE_COUNT * SC_TOWER_COUNT];
    const char **steps = SC_ARENA_NEW(&l->arena, const char *, v->n_steps);
    const size_t n = find_kinds(v, kinds);

    if (!steps)
        return sc_fail_memory(e);
    for (size_t i = 0; i < v->n_steps; i++) {
        steps[i] = sc_map_list_text(l, "%s", short_label(v->models[i + 1]->label));
        if (!steps[i])
            return sc_fail_memory(e);
    }
    for (int first = 0; first < 2; first++) {
        for (uint32_t k = 0; k < n; k++)
            TRY(add_kind(l, v, &kinds[k], steps, first, k, e));
        l->next_row++;
    }
    return 0;
}

int sc_view_evolution(struct sc_cli *c, const struct sc_evolution *v)
{
    struct sc_map_list l = {0};
    struct sc_error e = {0};
    struct sc_buf title = {0};

    sc_buf_printf(&title, "%s, %zu checkpoints", v->models[0]->label, v->n_steps + 1);
    const int code = title.failed ? sc_fail_memory(&e) : collect(&l, v, &e);
    const int status =
        code < 0 ? sc_fail_exit(c, &e)
                 : sc_view_maps(c, l.maps, l.n, c->set.title ? c->set.title : title.p, NULL);
    sc_map_list_clear(&l);
    sc_buf_clear(&title);
    return status;
}
