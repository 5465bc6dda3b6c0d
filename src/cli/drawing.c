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
    x->views[i] = sc_web_view_of_model(&x->models[i]);
    return 0;
}

int sc_display_open(struct sc_display *x, struct sc_cli *c, uint64_t memory, uint64_t network)
{
    struct sc_error e = {0};

    x->desk.c = c;
    int status = sc_desk_open(&x->desk, SC_COUNT(x->drawings));
    for (size_t i = 0; !status && i < x->desk.n; i++) {
        status = sc_drawing_open(&x->drawings[i], &x->desk, x->desk.paths[i], memory / x->desk.n,
                                 network);
        if (!status && add_view(x, i, NULL, &e) < 0)
            status = sc_fail_exit(c, &e);
    }
    return status;
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
    for (size_t i = 0; i < SC_COUNT(x->drawings); i++) {
        sc_scales_free(x->scales[i]);
        if (x->drawings[i].scene == x->maps.scene) /* it is the maps' */
            x->drawings[i].scene = NULL;
        sc_drawing_close(&x->drawings[i]);
    }
    sc_maps_close(&x->maps);
    sc_desk_close(&x->desk);
}
