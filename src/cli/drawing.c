/* SPDX-License-Identifier: Apache-2.0 */
/* drawing: opening what is to be drawn. */
#include "cli/drawing.h"

#include "cli/declared_base.h"
#include "model/adapter.h"

int sc_desk_open(struct sc_desk *d, size_t most)
{
    struct sc_cli *c = d->c;
    struct sc_error e = {0};
    const struct sc_open_options oo = sc_cli_open_options(c);

    if (sc_cli_operands(c, &d->paths, &d->n, &d->filters, &e) < 0)
        return sc_fail_exit(c, &e);
    if (d->n < 1)
        return sc_wrong_use(c, "%s: MODEL is missing", c->command->name);
    if (d->n > most)
        return sc_wrong_use(c, "%s takes one MODEL%s, but %zu are given", c->command->name,
                            most > 1 ? " or two" : "", d->n);
    c->several = d->n > 1;
    if (d->filters.n && sc_filter_new(d->filters.p, d->filters.n, &d->filter, &e) < 0)
        return sc_usage_exit(c, &e);
    if (sc_pool_new((unsigned)SC_MIN(c->set.threads, 4096), &d->pool, &e) < 0 ||
        sc_hub_env_read(&d->env, oo.hub, &e) < 0)
        return sc_fail_exit(c, &e);
    return 0;
}

void sc_desk_close(struct sc_desk *d)
{
    sc_pool_free(d->pool);
    sc_filter_free(d->filter);
    sc_hub_env_clear(&d->env);
    sc_words_clear(&d->filters);
}

static int plan(struct sc_drawing *x, const struct sc_model *m, const struct sc_desk *d,
                uint64_t memory, uint64_t network, struct sc_error *e)
{
    const struct sc_settings *set = &d->c->set;
    const struct sc_scene_options so = {.filter = d->filter, .vertical = set->vertical};
    const struct sc_pyramids_options po = {.pool = d->pool,
                                           .cache = set->no_cache ? NULL : d->env.cache,
                                           .memory = memory,
                                           .network = network,
                                           .cancel = &sc_cancel};

    TRY(sc_scene_new(m, &so, &x->scene, e));
    return sc_pyramids_new(x->scene, &po, &x->pyramids, e);
}

static int open_model(struct sc_drawing *x, struct sc_desk *d, const char *path)
{
    struct sc_cli *c = d->c;
    struct sc_open_options oo = sc_cli_open_options(c);

    oo.keep_repo = oo.quick = true;
    oo.facts = d->facts;
    const int status = sc_cli_open_with(c, path, &oo, &x->model);
    if (status == SC_EXIT_INPUT && c->command == &sc_cmd_view && sc_path_exists(path))
        sc_say(c, "note", "the bytes of any file can be looked at, too: --layout hilbert");
    return status;
}

/* Of a model that is open. */
static int plan_drawing(struct sc_drawing *x, const struct sc_desk *d, uint64_t memory,
                        uint64_t network)
{
    struct sc_cli *c = d->c;
    struct sc_error e = {0};
    struct sc_quoted q;

    if (plan(x, x->model, d, memory, network, &e) < 0)
        return sc_fail_exit(c, &e);
    if (x->scene->n_places)
        return 0;
    if (d->filters.n) {
        sc_say_no_match(c, x->model, d->filters.p, d->filters.n);
        return SC_EXIT_FINDINGS;
    }
    sc_say(c, "error", "%s holds no weights to draw", sc_quote(&q, sc_strz(x->model->label)));
    return SC_EXIT_INPUT;
}

static void close_drawing(struct sc_drawing *x)
{
    sc_pyramids_free(x->pyramids);
    sc_scene_free(x->scene);
    sc_model_close(x->model);
}

/* -------------------------------------------------------------------------------- display --- */

int sc_check_mode(struct sc_cli *c, enum sc_shows shows)
{
    if (sc_colour_mode_suits((enum sc_colour_mode)c->set.mode, shows))
        return 0;
    return sc_wrong_use(c, "--mode %s: there is no such thing of %s", sc_colour_modes[c->set.mode],
                        sc_shows_names[shows]);
}

static int open_models(struct sc_display *x)
{
    struct sc_desk *d = &x->desk;
    const bool changes = d->c->set.changes;
    const size_t first = changes && d->n == 1; /* it is B then */
    int status = 0;

    for (size_t i = 0; !status && i < d->n; i++) {
        d->facts = changes && i + first == 1; /* its card names the base */
        status = open_model(&x->drawings[i + first], d, d->paths[i]);
    }
    return status;
}

static int plan_models(struct sc_display *x, uint64_t memory, uint64_t network)
{
    int status = 0;

    for (size_t i = 0; !status && i < SC_COUNT(x->drawings); i++)
        if (x->drawings[i].model)
            status = plan_drawing(&x->drawings[i], &x->desk, memory, network);
    return status;
}

/* What is compared: an adapter with what it changes, one model with the base that its card names.
 */
static int settle_sides(struct sc_display *x)
{
    struct sc_cli *c = x->desk.c;
    struct sc_drawing *a = &x->drawings[0];
    const struct sc_drawing *b = &x->drawings[1];
    struct sc_adapter *first = NULL;
    struct sc_error e = {0};
    struct sc_quoted q;

    if (sc_adapter_open(b->model, &x->adapter, &e) < 0 ||
        (a->model && sc_adapter_open(a->model, &first, &e) < 0))
        return sc_fail_exit(c, &e);
    if (!a->model) {
        struct sc_declared_base base;
        const int status =
            sc_declared_base_open(c, b->model, x->adapter != NULL, &x->desk.filters, &base);
        a->model = base.model;
        x->declared_finetune = base.finetune;
        return status;
    }
    const bool alone = first && !x->adapter;
    if (first && x->adapter) { /* two adapters are compared as they are stored */
        sc_adapter_free(x->adapter);
        x->adapter = NULL;
    }
    sc_adapter_free(first);
    return alone ? sc_wrong_use(c, "%s is an adapter: name the model that it changes before it",
                                sc_quote(&q, sc_strz(a->model->label)))
                 : 0;
}

/* The view of a drawing that is open. */
static int add_view(struct sc_display *x, size_t i, const char *title, struct sc_error *e)
{
    const struct sc_drawing *d = &x->drawings[i];

    TRY(sc_scales_new(d->pyramids, &x->scales[i], e));
    x->models[i] = (struct sc_model_view){.scene = d->scene,
                                          .pyramids = d->pyramids,
                                          .scales = x->scales[i],
                                          .pool = x->desk.pool,
                                          .cancel = &sc_cancel,
                                          .title = title};
    x->views[x->n_views++] = sc_web_view_of_model(&x->models[i]);
    return 0;
}

/* Views of the models by themselves. */
static int show_models(struct sc_display *x)
{
    struct sc_error e = {0};

    for (size_t i = 0; i < SC_COUNT(x->drawings); i++)
        if (x->drawings[i].scene && add_view(x, i, NULL, &e) < 0)
            return sc_fail_exit(x->desk.c, &e);
    return 0;
}

static int show_changes(struct sc_display *x, uint64_t memory, uint64_t network)
{
    const struct sc_sides of = {.a = x->drawings[0].model,
                                .b = x->drawings[1].model,
                                .adapter = x->adapter,
                                .declared_finetune = x->declared_finetune};
    const int status = sc_changes_open(&x->changes, &x->desk, &of, memory, network);

    if (!status)
        x->views[x->n_views++] = sc_web_view_of_differences(&x->changes.view);
    return status;
}

/* Two models, and what lies between them. What an adapter makes of a model is no model that is
 * stored anywhere: there the differences stand by themselves. */
static int open_changes(struct sc_display *x, bool sides, uint64_t memory, uint64_t network)
{
    int status = settle_sides(x);

    if (!status && x->desk.c->set.sides && x->adapter)
        return sc_wrong_use(x->desk.c,
                            "--sides: what an adapter makes of a model is stored nowhere, "
                            "so there is no second side to write");
    if (!status && sides && !x->adapter)
        status = plan_models(x, memory, network);
    if (!status && sides && !x->adapter)
        status = show_models(x);
    return status ? status : show_changes(x, memory, network);
}

static int check_words(struct sc_display *x)
{
    struct sc_cli *c = x->desk.c;

    if (c->set.changes && x->desk.n > 2)
        return sc_wrong_use(c,
                            "--diff takes two MODELs, but %zu are given (of checkpoints in order, "
                            "scruple diff --out makes maps)",
                            x->desk.n);
    if (c->set.changes && c->set.finetune && c->set.no_finetune)
        return sc_wrong_use(c, "--finetune and --no-finetune cannot both be given");
    return sc_check_mode(c, c->set.changes ? SC_SHOWS_DIFFERENCES : SC_SHOWS_WEIGHTS);
}

int sc_display_open(struct sc_display *x, struct sc_cli *c, bool sides, uint64_t memory,
                    uint64_t network)
{
    const bool changes = c->set.changes;

    x->desk.c = c;
    int status = sc_desk_open(&x->desk, changes ? SIZE_MAX : SC_COUNT(x->drawings));
    if (!status)
        status = check_words(x);
    if (!status)
        status = open_models(x);
    if (!status && changes)
        return open_changes(x, sides, memory / (sides ? 3 : 1), network);
    const uint64_t share = memory / SC_MAX(x->desk.n, (size_t)1);
    if (!status)
        status = plan_models(x, share, network);
    return status ? status : show_models(x);
}

struct sc_render_options sc_display_render(const struct sc_display *x)
{
    const struct sc_settings *set = &x->desk.c->set;
    const bool changes = x->changes.scene != NULL;
    const enum sc_plane plane = set->plane < SC_PLANES ? (enum sc_plane)set->plane
                                : changes              ? SC_PLANE_ABS
                                                       : SC_PLANE_MEAN;

    return (struct sc_render_options){.scene = changes ? x->changes.scene : x->drawings[0].scene,
                                      .pyramids =
                                          changes ? x->changes.pyramids : x->drawings[0].pyramids,
                                      .scales = changes ? x->changes.scales : x->scales[0],
                                      .pool = x->desk.pool,
                                      .mode = (enum sc_colour_mode)set->mode,
                                      .plane = plane,
                                      .scale_of = (enum sc_scale_of)set->scale_of,
                                      .cancel = &sc_cancel};
}

static int open_maps(struct sc_display *x, const struct sc_map *maps, size_t n, const char *title,
                     struct sc_error *e)
{
    struct sc_drawing *d = &x->drawings[0];
    struct sc_pyramids_options po = {.memory = sc_memory_budget(x->desk.c->set.memory) / 2,
                                     .cancel = &sc_cancel};

    TRY(sc_pool_new((unsigned)SC_MIN(x->desk.c->set.threads, 4096), &x->desk.pool, e));
    po.pool = x->desk.pool;
    TRY(sc_maps_open(maps, n, title, &x->maps, e));
    TRY(sc_pyramids_new(x->maps.scene, &po, &d->pyramids, e));
    d->scene = x->maps.scene;
    return add_view(x, 0, title, e);
}

int sc_display_open_maps(struct sc_display *x, struct sc_cli *c, const struct sc_map *maps,
                         size_t n, const char *title)
{
    struct sc_error e = {0};

    x->desk.c = c;
    x->desk.n = 1;
    return open_maps(x, maps, n, title, &e) < 0 ? sc_fail_exit(c, &e) : 0;
}

/* The model that maps tell of, as a page beside theirs; without weights to draw there is none. */
static int add_weights(struct sc_display *x, const struct sc_model *m)
{
    struct sc_cli *c = x->desk.c;
    struct sc_drawing *d = &x->drawings[1];
    struct sc_error e = {0};
    const struct sc_open_options oo = sc_cli_open_options(c);
    const uint64_t network = UINT64_C(1) << 30; /* as view has it, when nothing is said */

    if (sc_hub_env_read(&x->desk.env, oo.hub, &e) < 0 ||
        plan(d, m, &x->desk, sc_memory_budget(c->set.memory) / 4, network, &e) < 0)
        return sc_fail_exit(c, &e);
    if (!d->scene->n_places)
        return 0;
    if (add_view(x, 1, NULL, &e) < 0)
        return sc_fail_exit(c, &e);
    x->views[x->n_views - 1].apart = true;
    return 0;
}

int sc_view_maps(struct sc_cli *c, const struct sc_map *maps, size_t n, const char *title,
                 const struct sc_model *of)
{
    struct sc_display x = {0};
    int status = sc_display_open_maps(&x, c, maps, n, title);

    if (!status && of && !c->set.out_dir)
        status = add_weights(&x, of);
    if (!status)
        status = c->set.out_dir ? sc_display_export(&x)
                                : sc_display_serve(&x, sc_memory_budget(c->set.memory) / 4);
    sc_display_close(&x);
    return status;
}

void sc_display_close(struct sc_display *x)
{
    sc_changes_close(&x->changes);
    sc_adapter_free(x->adapter);
    for (size_t i = 0; i < SC_COUNT(x->drawings); i++) {
        sc_scales_free(x->scales[i]);
        if (x->drawings[i].scene == x->maps.scene) /* it is the maps' */
            x->drawings[i].scene = NULL;
        close_drawing(&x->drawings[i]);
    }
    sc_maps_close(&x->maps);
    sc_desk_close(&x->desk);
}
