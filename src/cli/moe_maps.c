/* SPDX-License-Identifier: Apache-2.0 */
/* moe_maps: a row of maps for each figure of experts, a column for each matrix of an expert. */
#include "cli/moe_maps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Maps as they are collected; texts live in the arena. */
struct collection {
    struct sc_map *maps;
    size_t n, cap;
    uint32_t next_row; /* of the grid */
    struct sc_arena arena;
};

static char *text_of(struct collection *k, const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    char *t = SC_ARENA_NEW(&k->arena, char, n + m + 1);

    if (t) {
        memcpy(t, a, n);
        memcpy(t + n, b, m + 1);
    }
    return t;
}

/* "7", and where there are other towers than the main one "vision 7". */
static const char *const *name_layers(struct collection *k, const struct sc_experts *x)
{
    const char **labels = SC_ARENA_NEW(&k->arena, const char *, x->n_layers);

    for (size_t i = 0; labels && i < x->n_layers; i++) {
        const struct sc_expert_layer *l = &x->layers[i];
        char number[16];
        snprintf(number, sizeof number, "%s%d", l->tower ? " " : "", (int)l->layer);
        labels[i] = text_of(k, l->tower ? sc_tower_names[l->tower] : "", number);
        if (!labels[i])
            return NULL;
    }
    return labels;
}

static bool is_known(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i]))
            return true;
    return false;
}

static int add_statistics(struct collection *k, const struct sc_experts *x, struct sc_error *e)
{
    static const char *const about[SC_EXPERT_STATS] = {
        "root mean square of the expert's weights", "root of the sum of squares of its weights",
        "mean size of its weights", "share of its weights that are as good as zero"};
    const size_t n = x->n_layers * x->n_experts;
    const char *const *layers = name_layers(k, x);

    if (!layers)
        return sc_fail_memory(e);
    for (unsigned stat = 0; stat < SC_EXPERT_STATS; stat++) {
        uint32_t column = 0;
        for (unsigned part = 0; part < SC_EXPERT_PARTS; part++) {
            float *values = SC_ARENA_NEW(&k->arena, float, n);
            char *name = text_of(k, sc_expert_parts[part], " ");
            name = name ? text_of(k, name, sc_expert_stats[stat]) : NULL;
            if (!values || !name)
                return sc_fail_memory(e);
            sc_experts_map(x, (enum sc_expert_part)part, (enum sc_expert_stat)stat, values);
            if (!is_known(values, n)) /* the model has no such matrices */
                continue;
            TRY(sc_grow(&k->maps, &k->cap, k->n + 1, sizeof *k->maps, e));
            k->maps[k->n++] = (struct sc_map){.name = name,
                                              .about = about[stat],
                                              .rows = (uint32_t)x->n_layers,
                                              .cols = x->n_experts,
                                              .values = values,
                                              .down = {"layer", layers},
                                              .across = {"expert", NULL},
                                              .low = NAN,
                                              .high = NAN,
                                              .x = column++,
                                              .y = k->next_row};
        }
        k->next_row += column > 0;
    }
    return 0;
}

static int collect(struct collection *k, const struct sc_moe_figures *f, struct sc_error *e)
{
    return f->experts ? add_statistics(k, f->experts, e) : 0;
}

int sc_moe_view(struct sc_cli *c, const struct sc_moe_figures *f)
{
    struct collection k = {0};
    struct sc_error e = {0};
    struct sc_buf title = {0};

    sc_buf_puts(&title, "Experts of ");
    sc_buf_puts(&title, f->model->label);
    int status = title.failed || collect(&k, f, &e) < 0 ? sc_fail_exit(c, &e) : 0;
    if (!status)
        status = sc_view_maps(c, k.maps, k.n, c->set.title ? c->set.title : title.p);
    free(k.maps);
    sc_arena_clear(&k.arena);
    sc_buf_clear(&title);
    return status;
}
