/* SPDX-License-Identifier: Apache-2.0 */
/* view_diff: the differences of two models, planned and ready to be drawn. */
#include "cli/drawing.h"

#include <string.h>

static int plan(struct sc_changes *x, struct sc_desk *d, const struct sc_sides *of, uint64_t memory,
                uint64_t network, struct sc_error *e)
{
    const struct sc_model *a = of->a, *b = of->b;
    const struct sc_settings *set = &d->c->set;
    const char *cache = set->no_cache ? NULL : d->env.cache, *base = NULL;
    const bool said = a && !of->adapter && sc_is_finetune(a, b, &base);
    const bool finetune = !of->adapter && (said || of->declared_finetune || set->finetune);
    const struct sc_differences_options differ = {
        .a = a, .b = b, .adapter = of->adapter, .filter = d->filter, .memory = memory / 4};
    struct sc_scene_options so = {.vertical = set->vertical};
    struct sc_pyramids_options po = {.pool = d->pool,
                                     .cache = cache,
                                     .memory = memory,
                                     .network = network,
                                     .cancel = &sc_cancel};

    /* The pairing has looked at the filter, by the names of both sides. */
    if (of->adapter)
        TRY(sc_diff_settle_adapter(of->adapter, a, e));
    TRY(sc_differences_new(&differ, &x->differences, e));
    TRY(sc_scene_new(sc_differences_model(x->differences), &so, &x->scene, e));
    x->scene->shows = SC_SHOWS_DIFFERENCES;
    po.values = sc_differences_values(x->differences);
    TRY(sc_pyramids_new(x->scene, &po, &x->pyramids, e));
    TRY(sc_scales_new(x->pyramids, &x->scales, e));
    x->view.differences = x->differences;
    x->view.a = a;
    x->view.b = b;
    x->view.adapter = of->adapter;
    x->view.with_files = a && !of->adapter && !d->filter;
    x->view.network = network;
    x->view.of = (struct sc_model_view){.scene = x->scene,
                                        .pyramids = x->pyramids,
                                        .scales = x->scales,
                                        .pool = d->pool,
                                        .cancel = &sc_cancel,
                                        .title = x->title.p};
    x->view.options = (struct sc_diff_options){.methods = SC_METHOD_BASIC,
                                               .filter = d->filter,
                                               .finetune = finetune && !set->no_finetune,
                                               .finetune_base = base,
                                               .pool = d->pool,
                                               .memory = memory,
                                               .cache = cache,
                                               .cancel = &sc_cancel};
    return 0;
}

/* What a model is called where there is little room. */
static struct sc_str short_name(const struct sc_model *m)
{
    const bool local = strcmp(m->origin, "local") == 0;

    return local ? sc_last_part(m->label) : sc_strz(m->label);
}

static bool make_title(struct sc_buf *title, const struct sc_sides *of)
{
    const struct sc_str y = short_name(of->b);

    if (of->a) {
        const struct sc_str x = short_name(of->a);
        sc_buf_put(title, x.p, x.n);
        sc_buf_puts(title, of->adapter ? " + " : " \xe2\x86\x92 ");
    }
    sc_buf_put(title, y.p, y.n);
    sc_buf_putc(title, '\0');
    return !title->failed;
}

int sc_changes_open(struct sc_changes *x, struct sc_desk *d, const struct sc_sides *of,
                    uint64_t memory, uint64_t network)
{
    struct sc_cli *c = d->c;
    struct sc_error e = {0};

    if (!make_title(&x->title, of)) {
        (void)sc_fail_memory(&e);
        return sc_fail_exit(c, &e);
    }
    if (plan(x, d, of, memory, network, &e) < 0)
        return sc_fail_exit(c, &e);
    if (x->scene->n_places)
        return 0;
    if (d->filters.n) {
        sc_say_no_match(c, of->a ? of->a : of->b, d->filters.p, d->filters.n);
        return SC_EXIT_FINDINGS;
    }
    sc_say(c, "error", "neither of the two models holds weights to draw");
    return SC_EXIT_INPUT;
}

void sc_changes_close(struct sc_changes *x)
{
    sc_difference_view_clear(&x->view);
    sc_scales_free(x->scales);
    sc_pyramids_free(x->pyramids);
    sc_scene_free(x->scene);
    sc_differences_free(x->differences);
    sc_buf_clear(&x->title);
}
