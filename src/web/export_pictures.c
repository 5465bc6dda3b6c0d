/* SPDX-License-Identifier: Apache-2.0 */
/* export_pictures: tiles as pictures, at the addresses that maps have: DIR/tiles/Z/X/Y.png (or
 * .avif). Z is 0
 * where everything is in one tile; what is empty, or the tile above magnified, has no file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "hub/cache.h"
#include "picture/avif.h"
#include "web/export.h"

enum { BATCH = 64 /* tiles a thread */, PIXELS = SC_SCENE_TILE * SC_SCENE_TILE };

const char *const sc_picture_formats[] = {"png", "avif", NULL};

struct drawing {
    const struct sc_export_options *o;
    struct sc_render *render;
    const struct sc_palette *palette;
    enum sc_plane plane;
    const struct sc_export_plan *plan;
    int top;
    struct sc_export_at *at;
    struct sc_error *errors; /* of each of a batch */
};

static int write_picture(const struct drawing *d, const struct sc_export_at *at, const void *p,
                         size_t n, struct sc_error *e)
{
    const int zoom = d->top - d->plan->levels[at->level].z;
    struct sc_buf folder = {0}, name = {0};
    int code = 0;
    sc_buf_printf(&folder, "%s/tiles/%d/%lld", d->o->dir, zoom, (long long)at->x);
    sc_buf_printf(&name, "%lld.%s", (long long)at->y, sc_picture_formats[d->o->pictures]);
    const struct sc_buf body = {.p = (char *)(uintptr_t)p, .n = n};
    if (folder.failed || name.failed)
        code = sc_fail_memory(e);
    else if (!sc_make_folders(folder.p))
        code = sc_export_failed(folder.p, e);
    if (code == 0)
        code = sc_export_write(folder.p, name.p, &body, e);
    sc_buf_clear(&folder);
    sc_buf_clear(&name);
    return code;
}

static int encode_picture(const struct drawing *d, const uint8_t *indices, uint8_t **out, size_t *n,
                          struct sc_error *e)
{
    if (d->o->pictures == SC_PICTURES_AVIF)
        return sc_avif_tile(indices, SC_SCENE_TILE, SC_SCENE_TILE, d->palette, out, n, e);
    *out = sc_alloc(sc_indexed_png_bound(SC_SCENE_TILE, SC_SCENE_TILE));
    *n = *out ? sc_indexed_png_tile(indices, SC_SCENE_TILE, SC_SCENE_TILE, d->palette, false, *out)
              : 0;
    return *n ? 0 : sc_fail_memory(e);
}

static void draw(void *ctx, size_t i)
{
    struct drawing *d = ctx;
    const struct sc_export_at *at = &d->at[i];
    struct sc_error *e = &d->errors[i];
    struct sc_tile *t = sc_alloc(sizeof *t);
    uint8_t *indices = sc_alloc(PIXELS);
    uint8_t *picture = NULL;
    size_t n = 0;

    e->code = 0;
    if (!t || !indices) {
        (void)sc_fail_memory(e);
    } else if (!atomic_load(d->o->cancel)) {
        t->z = d->plan->levels[at->level].z;
        t->x = at->x;
        t->y = at->y;
        t->plane = d->plane;
        if (sc_render_tile(d->render, t, indices, e) == 0 &&
            encode_picture(d, indices, &picture, &n, e) == 0)
            (void)write_picture(d, at, picture, n, e);
    }
    free(t);
    free(indices);
    free(picture);
}

static int draw_all(struct drawing *d, size_t most, struct sc_error *e)
{
    struct sc_export_at at;
    bool more = d->plan->n_tiles > 0;
    uint64_t done = 0;
    if (more)
        sc_export_tile_at(d->plan, 0, &at);
    while (more) {
        size_t n = 0;
        for (; more && n < most; more = sc_export_next(d->plan, &at))
            d->at[n++] = at;
        sc_pool_for(d->o->pool, n, draw, d);
        if (atomic_load(d->o->cancel))
            return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
        for (size_t i = 0; i < n; i++)
            if (d->errors[i].code) {
                *e = d->errors[i];
                return e->code;
            }
        done += n;
        if (d->o->progress)
            d->o->progress(d->o->ctx, done, d->plan->n_tiles);
    }
    return 0;
}

int sc_export_pictures(const struct sc_export_options *o, const struct sc_scene *s,
                       struct sc_render *render, const struct sc_palette *palette,
                       enum sc_plane plane, uint64_t *n, struct sc_error *e)
{
    const size_t most = (size_t)BATCH * sc_pool_threads(o->pool);
    struct sc_export_plan plan;
    struct drawing d = {.o = o,
                        .render = render,
                        .palette = palette,
                        .plane = plane,
                        .plan = &plan,
                        .top = s->top,
                        .at = sc_calloc(most, sizeof *d.at),
                        .errors = sc_calloc(most, sizeof *d.errors)};
    int code = sc_export_plan_new(s, 1u << plane, o->max_zoom, SC_EXPORT_PACK, &plan, e);

    if (code == 0 && (!d.at || !d.errors))
        code = sc_fail_memory(e);
    if (code == 0)
        code = draw_all(&d, most, e);
    *n = plan.n_tiles;
    sc_export_plan_clear(&plan);
    free(d.at);
    free(d.errors);
    return code;
}
