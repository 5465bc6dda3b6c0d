/* SPDX-License-Identifier: Apache-2.0 */
/* drawing: opening what is to be drawn. */
#include "cli/drawing.h"

int sc_desk_open(struct sc_desk *d, size_t most)
{
    struct sc_cli *c = d->c;
    struct sc_error e = {0};
    const struct sc_open_options oo = sc_cli_open_options(c);

    if (sc_cli_operands(c, &d->paths, &d->n, &d->filters, &e) < 0)
        return sc_fail_exit(c, &e);
    if (d->n < 1 || d->n > most)
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

static int plan(struct sc_drawing *x, const struct sc_desk *d, uint64_t memory, uint64_t network,
                struct sc_error *e)
{
    const struct sc_settings *set = &d->c->set;
    const struct sc_scene_options so = {.filter = d->filter, .vertical = set->vertical};
    const struct sc_pyramids_options po = {.pool = d->pool,
                                           .cache = set->no_cache ? NULL : d->env.cache,
                                           .memory = memory,
                                           .network = network,
                                           .cancel = &sc_cancel};

    TRY(sc_scene_new(x->model, &so, &x->scene, e));
    return sc_pyramids_new(x->scene, &po, &x->pyramids, e);
}

int sc_drawing_open(struct sc_drawing *x, struct sc_desk *d, const char *path, uint64_t memory,
                    uint64_t network)
{
    struct sc_cli *c = d->c;
    struct sc_open_options oo = sc_cli_open_options(c);
    struct sc_error e = {0};

    oo.keep_repo = oo.quick = true;
    oo.facts = d->facts;
    int status = sc_cli_open_with(c, path, &oo, &x->model);
    if (status == SC_EXIT_INPUT && c->command == &sc_cmd_view && sc_path_exists(path))
        sc_say(c, "note", "the bytes of any file can be looked at, too: --layout hilbert");
    if (status)
        return status;
    if (plan(x, d, memory, network, &e) < 0)
        return sc_fail_exit(c, &e);
    if (x->scene->n_places)
        return 0;
    if (d->filters.n) {
        sc_say_no_match(c, x->model, d->filters.p, d->filters.n);
        return SC_EXIT_FINDINGS;
    }
    sc_say(c, "error", "%s holds no weights to draw", path);
    return SC_EXIT_INPUT;
}

void sc_drawing_close(struct sc_drawing *x)
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

static int open_models(struct sc_display *x, uint64_t memory, uint64_t network)
{
    int status = 0;

    for (size_t i = 0; !status && i < x->desk.n; i++) {
        x->desk.facts = x->desk.c->set.changes && i == 1; /* its card names the base */
        status = sc_drawing_open(&x->drawings[i], &x->desk, x->desk.paths[i], memory, network);
    }
    return status;
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

    for (size_t i = 0; i < x->desk.n; i++) {
        if (add_view(x, i, NULL, &e) < 0)
            return sc_fail_exit(x->desk.c, &e);
    }
    return 0;
}

/* Adapters are no models that have values of their own in the same places. */
static int refuse_adapters(const struct sc_display *x)
{
    struct sc_cli *c = x->desk.c;
    struct sc_quoted q;

    for (size_t i = 0; i < x->desk.n; i++) {
        struct sc_adapter *adapter = NULL;
        struct sc_error e = {0};
        if (sc_adapter_open(x->drawings[i].model, &adapter, &e) < 0)
            return sc_fail_exit(c, &e);
        sc_adapter_free(adapter);
        if (adapter)
            return sc_wrong_use(c,
                                "%s is an adapter, of which there are no pictures: scruple diff "
                                "says what it changes",
                                sc_quote(&q, sc_strz(x->desk.paths[i])));
    }
    return 0;
}

static int show_changes(struct sc_display *x, uint64_t memory, uint64_t network)
{
    int status = refuse_adapters(x);

    if (!status)
        status = sc_changes_open(&x->changes, &x->desk, x->drawings[0].model, x->drawings[1].model,
                                 memory, network);

    if (!status)
        x->views[x->n_views++] = sc_web_view_of_differences(&x->changes.view);
    return status;
}

int sc_display_open(struct sc_display *x, struct sc_cli *c, bool sides, uint64_t memory,
                    uint64_t network)
{
    const bool changes = c->set.changes;

    x->desk.c = c;
    int status = sc_desk_open(&x->desk, SC_COUNT(x->drawings));
    if (!status && changes && x->desk.n != 2)
        status = sc_wrong_use(c, "--diff takes two MODELs, but %zu are given", x->desk.n);
    if (!status && changes && c->set.finetune && c->set.no_finetune)
        status = sc_wrong_use(c, "--finetune and --no-finetune cannot both be given");
    if (!status)
        status = sc_check_mode(c, changes ? SC_SHOWS_DIFFERENCES : SC_SHOWS_WEIGHTS);
    const uint64_t share = memory / SC_MAX(x->desk.n + changes, (size_t)1);
    if (!status)
        status = open_models(x, share, network);
    if (!status)
        status = changes && !sides ? 0 : show_models(x);
    if (!status && changes)
        status = show_changes(x, share, network);
    return status;
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

int sc_view_maps(struct sc_cli *c, const struct sc_map *maps, size_t n, const char *title)
{
    struct sc_display x = {0};
    int status = sc_display_open_maps(&x, c, maps, n, title);

    if (!status)
        status = c->set.out_dir ? sc_display_export(&x)
                                : sc_display_serve(&x, sc_memory_budget(c->set.memory) / 4);
    sc_display_close(&x);
    return status;
}

void sc_display_close(struct sc_display *x)
{
    sc_changes_close(&x->changes);
    for (size_t i = 0; i < SC_COUNT(x->drawings); i++) {
        sc_scales_free(x->scales[i]);
        if (x->drawings[i].scene == x->maps.scene) /* it is the maps' */
            x->drawings[i].scene = NULL;
        sc_drawing_close(&x->drawings[i]);
    }
    sc_maps_close(&x->maps);
    sc_desk_close(&x->desk);
}
