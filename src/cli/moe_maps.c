/* SPDX-License-Identifier: Apache-2.0 */
/* moe_maps: a row of maps for each figure of experts, a column for each matrix of an expert. */
#include "cli/moe_maps.h"

#include <math.h>

#include "cli/map_list.h"
#include "cli/spots.h"

/* "7", and where it is not in the main tower "vision 7". */
static char *layer_name(struct sc_map_list *k, unsigned tower, int32_t layer)
{
    return sc_map_list_text(k, "%s%s%d", tower ? sc_tower_names[tower] : "", tower ? " " : "",
                            (int)layer);
}

static bool is_known(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i]))
            return true;
    return false;
}

/* Square maps would be coloured for their diagonals, which are always the largest. */
static void leave_out_diagonal(struct sc_map *m, float *values)
{
    float low = INFINITY, high = -INFINITY;

    for (size_t i = 0; i < (size_t)m->rows * m->cols; i++)
        if (i / m->cols != i % m->cols && isfinite(values[i])) {
            low = SC_MIN(low, values[i]);
            high = SC_MAX(high, values[i]);
        }
    m->low = low <= high ? low : 0;
    m->high = low <= high ? high : 0;
}

/* ------------------------------------------------------------------------------- weights --- */

static const char *const *name_layers(struct sc_map_list *k, const struct sc_experts *x)
{
    const char **labels = SC_ARENA_NEW(&k->arena, const char *, x->n_layers);

    for (size_t i = 0; labels && i < x->n_layers; i++) {
        labels[i] = layer_name(k, x->layers[i].tower, x->layers[i].layer);
        if (!labels[i])
            return NULL;
    }
    return labels;
}

/* Where the weights of each expert are: "NAME", of stacks "NAME[expert,row,column]". */
static const struct sc_map_spots *find_spots(struct sc_map_list *k, const struct sc_experts *x,
                                             const struct sc_model *m, struct sc_spots *s,
                                             const char *command, unsigned part, struct sc_error *e)
{
    struct sc_map_spots *out = SC_ARENA_NEW(&k->arena, struct sc_map_spots, 1);
    const char **at = SC_ARENA_NEW(&k->arena, const char *, x->n_layers * x->n_experts + 1);

    if (!out || !at) {
        (void)sc_fail_memory(e);
        return NULL;
    }
    for (size_t i = 0; i < x->n_layers * x->n_experts; i++) {
        const struct sc_expert_figures *f =
            &x->layers[i / x->n_experts].cells[(size_t)part * x->n_experts + i % x->n_experts];
        struct sc_spot spot;
        at[i] = NULL;
        if (!f->known || !sc_spot_find(s->scene, f->tensor, f->first, &spot))
            continue;
        spot.whole = m->tensors[f->tensor].parameters == f->count; /* all of it is the expert's */
        s->text.n = 0;
        sc_spot_words(s->scene, &spot, &s->text);
        at[i] = s->text.failed ? NULL : sc_arena_copy(&k->arena, s->text.p, s->text.n);
        if (!at[i]) {
            (void)sc_fail_memory(e);
            return NULL;
        }
    }
    *out = (struct sc_map_spots){command, at};
    return out;
}

static int find_all_spots(struct sc_map_list *k, const struct sc_experts *x,
                          const struct sc_model *m, const struct sc_map_spots *out[SC_EXPERT_PARTS],
                          struct sc_error *e)
{
    struct sc_spots s = {0};
    struct sc_buf command = {0};
    int code = sc_spots_open(&s, m, e);

    sc_spots_command(m, &command);
    const char *kept = command.failed ? NULL : sc_arena_copy(&k->arena, command.p, command.n);
    if (code == 0 && !kept)
        code = sc_fail_memory(e);
    for (unsigned part = 0; part < SC_EXPERT_PARTS && code == 0; part++) {
        out[part] = find_spots(k, x, m, &s, kept, part, e);
        code = out[part] ? 0 : SCRUPLE_EMEMORY;
    }
    sc_buf_clear(&command);
    sc_spots_close(&s);
    return code;
}

static int add_statistics(struct sc_map_list *k, const struct sc_experts *x,
                          const struct sc_model *m, struct sc_error *e)
{
    const struct sc_map_spots *spots[SC_EXPERT_PARTS] = {NULL};
    static const char *const about[SC_EXPERT_STATS] = {
        "root mean square of the expert's weights", "root of the sum of squares of its weights",
        "mean size of its weights", "share of its weights that are as good as zero"};
    const size_t n = x->n_layers * x->n_experts;
    const char *const *layers = name_layers(k, x);

    if (!layers)
        return sc_fail_memory(e);
    TRY(find_all_spots(k, x, m, spots, e));
    for (unsigned stat = 0; stat < SC_EXPERT_STATS; stat++) {
        uint32_t column = 0;
        for (unsigned part = 0; part < SC_EXPERT_PARTS; part++) {
            float *values = SC_ARENA_NEW(&k->arena, float, n);
            if (!values)
                return sc_fail_memory(e);
            sc_experts_map(x, (enum sc_expert_part)part, (enum sc_expert_stat)stat, values);
            if (!is_known(values, n)) /* the model has no such matrices */
                continue;
            const struct sc_map map = {
                .name = sc_map_list_text(k, "%s %s", sc_expert_parts[part], sc_expert_stats[stat]),
                .about = about[stat],
                .rows = (uint32_t)x->n_layers,
                .cols = x->n_experts,
                .values = values,
                .down = {"layer", layers},
                .across = {"expert", NULL},
                .low = NAN,
                .high = NAN,
                .spots = spots[part]};
            TRY(sc_map_list_add(k, map, column++, e));
        }
        k->next_row += column > 0;
    }
    return 0;
}

/* ------------------------------------------------------------------------------- routing --- */

static int add_choices(struct sc_map_list *k, const struct sc_routing *r, struct sc_error *e)
{
    static const struct {
        const char *name, *about;
    } stats[] = {{"routed tokens", "share of the tokens for which it is chosen"},
                 {"routed weight", "its share of the weights of its layer"},
                 {"routed output", "size of its largest output"}};
    const size_t n = r->n_layers * r->n_experts;
    const char **labels = SC_ARENA_NEW(&k->arena, const char *, r->n_layers);

    for (size_t i = 0; labels && i < r->n_layers; i++)
        labels[i] = sc_map_list_text(k, "%u", (unsigned)r->layers[i].layer);
    for (unsigned stat = 0; stat < SC_COUNT(stats); stat++) {
        float *values = SC_ARENA_NEW(&k->arena, float, n);
        if (!labels || !values)
            return sc_fail_memory(e);
        sc_routing_map(r, (enum sc_routing_stat)stat, values);
        const struct sc_map map = {.name = stats[stat].name,
                                   .about = stats[stat].about,
                                   .rows = (uint32_t)r->n_layers,
                                   .cols = r->n_experts,
                                   .values = values,
                                   .down = {"layer", labels},
                                   .across = {"expert", NULL},
                                   .low = NAN,
                                   .high = NAN};
        TRY(sc_map_list_add(k, map, stat, e));
    }
    k->next_row++;
    return 0;
}

/* Two maps of a layer: how often both of a pair are chosen, and how that compares with chance. */
static int add_pairs(struct sc_map_list *k, const struct sc_routing *r, size_t at, uint32_t column,
                     struct sc_error *e)
{
    const struct sc_routing_layer *l = &r->layers[at];
    const uint32_t n = r->n_experts;
    float *both = SC_ARENA_NEW(&k->arena, float, (size_t)n *n);
    float *lift = SC_ARENA_NEW(&k->arena, float, (size_t)n *n);

    if (!both || !lift)
        return sc_fail_memory(e);
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < n; b++) {
            const size_t i = (size_t)a * n + b;
            both[i] = (float)((double)l->together[i] / (double)r->n_tokens);
            lift[i] = a == b ? NAN : (float)sc_routing_lift(r, at, a, b);
        }
    struct sc_map map = {.name = sc_map_list_text(k, "together %u", (unsigned)l->layer),
                         .about = "share of the tokens for which both are chosen",
                         .rows = n,
                         .cols = n,
                         .values = both,
                         .down = {"expert", NULL},
                         .across = {"expert", NULL}};
    leave_out_diagonal(&map, both);
    TRY(sc_map_list_add(k, map, column, e));
    map.name = sc_map_list_text(k, "lift %u", (unsigned)l->layer);
    map.about = "how often both are chosen, over what independent choices would give";
    map.values = lift;
    leave_out_diagonal(&map, lift);
    return sc_map_list_add(k, map, column + 1, e);
}

static int add_routing(struct sc_map_list *k, const struct sc_routing *r, struct sc_error *e)
{
    enum { ACROSS = 8 };
    uint32_t column = 0;

    if (r->n_layers == 0 || r->n_experts == 0)
        return 0;
    TRY(add_choices(k, r, e));
    for (size_t i = 0; i < r->n_layers; i++) {
        if (!r->layers[i].together || r->n_tokens == 0)
            continue;
        TRY(add_pairs(k, r, i, column, e));
        column = (column + 2) % ACROSS;
        k->next_row += column == 0;
    }
    k->next_row += column != 0;
    return 0;
}

/* ---------------------------------------------------------------------------- similarity --- */

static int add_likeness(struct sc_map_list *k, const struct sc_similarity *s, size_t at,
                        unsigned part, const char *const *experts, uint32_t column,
                        struct sc_error *e)
{
    const struct sc_similarity_layer *l = &s->layers[at];
    const uint32_t n = s->n;
    float *values = SC_ARENA_NEW(&k->arena, float, (size_t)n *n);

    if (!values)
        return sc_fail_memory(e);
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < n; b++)
            values[(size_t)a * n + b] = s->original
                                            ? l->part[part].score[(size_t)a * n + b]
                                            : (float)sc_similarity_corrected(s, at, part, a, b);
    struct sc_map map = {.about = s->original
                                      ? "likeness by modelweightvis' definition"
                                      : "likeness of two experts: 0 is chance, 1 are copies",
                         .rows = n,
                         .cols = n,
                         .values = values,
                         .down = {"expert", experts},
                         .across = {"expert", experts},
                         .high = 1};
    const char *layer = layer_name(k, l->tower, l->layer);
    map.name = layer ? sc_map_list_text(k, "%s %s", sc_similarity_parts[part], layer) : NULL;
    return sc_map_list_add(k, map, column, e);
}

static int add_similarity(struct sc_map_list *k, const struct sc_similarity *s, struct sc_error *e)
{
    const char **experts = SC_ARENA_NEW(&k->arena, const char *, s->n);

    if (!experts)
        return sc_fail_memory(e);
    for (uint32_t i = 0; i < s->n; i++) {
        char text[16];
        const struct sc_str name = sc_similarity_name(s, i, text);
        experts[i] = sc_map_list_text(k, "%.*s", (int)name.n, name.p);
        if (!experts[i])
            return sc_fail_memory(e);
    }
    for (size_t at = 0; at < s->n_layers; at++) {
        uint32_t column = 0;
        for (unsigned part = 0; part < SC_SIMILARITY_PARTS; part++)
            if (s->layers[at].part[part].method != SC_SIMILARITY_NONE)
                TRY(add_likeness(k, s, at, part, experts, column++, e));
        k->next_row += column > 0;
    }
    return 0;
}

static int collect(struct sc_map_list *k, const struct sc_moe_figures *f, struct sc_error *e)
{
    if (f->experts && f->experts->n_layers)
        TRY(add_statistics(k, f->experts, f->model, e));
    if (f->routing)
        TRY(add_routing(k, f->routing, e));
    return f->similarity ? add_similarity(k, f->similarity, e) : 0;
}

int sc_moe_view(struct sc_cli *c, const struct sc_moe_figures *f)
{
    struct sc_map_list k = {0};
    struct sc_error e = {0};
    struct sc_buf title = {0};

    sc_buf_puts(&title, "Experts of ");
    sc_buf_puts(&title, f->model->label);
    const int code = title.failed ? sc_fail_memory(&e) : collect(&k, f, &e);
    const int status = code < 0
                           ? sc_fail_exit(c, &e)
                           : sc_view_maps(c, k.maps, k.n, c->set.title ? c->set.title : title.p,
                                          f->experts ? f->model : NULL);
    sc_map_list_clear(&k);
    sc_buf_clear(&title);
    return status;
}
