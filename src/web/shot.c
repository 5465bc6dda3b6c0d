/* SPDX-License-Identifier: Apache-2.0 */
/* shot: a picture of a part of a view as PNG. */
#include "web/shot.h"

struct shot {
    struct sc_indexed_png *png;
    struct sc_out *o;
};

static int put_png(void *ctx, const void *p, size_t n)
{
    struct sc_out *o = ctx;
    sc_out_put(o, p, n);
    return o->status;
}

static int put_rows(void *ctx, const uint8_t *indices, size_t n_rows, struct sc_error *e)
{
    const struct shot *s = ctx;
    return sc_indexed_png_rows(s->png, indices, n_rows, e);
}

static int draw(const struct sc_render_options *ro, const struct sc_web_shot *shot,
                struct sc_out *o, struct sc_error *e)
{
    struct sc_palette palette;
    struct sc_render *render = NULL;
    struct shot s = {.o = o};
    uint64_t width, height;
    sc_render_size(&shot->area, &width, &height);
    sc_palette_make(shot->mode, !shot->light, &palette);
    TRY(sc_render_new(ro, &render, e));
    int code = sc_indexed_png_new((uint32_t)width, (uint32_t)height, &palette, false, put_png, o,
                                  &s.png, e);
    if (code == 0)
        code = sc_render_rows(render, &shot->area, put_rows, &s, e);
    if (code == 0)
        code = sc_indexed_png_end(s.png, e);
    sc_indexed_png_free(s.png);
    sc_render_free(render);
    return code;
}

int sc_web_shot_draw(const struct sc_render_options *ro, const struct sc_web_shot *shot,
                     struct sc_out *o, struct sc_error *e)
{
    enum { LONGEST = 8192 };
    const struct sc_render_area *a = &shot->area;
    uint64_t width = 0, height = 0;
    const int64_t most = SC_SCENE_MOST;
    const bool sound = a->w > 0 && a->h > 0 && a->w <= most && a->h <= most && a->x >= -most &&
                       a->x <= most && a->y >= -most && a->y <= most &&
                       a->z >= -ro->scene->deepest && a->z <= ro->scene->top &&
                       (a->z >= 0 || (a->w <= LONGEST >> -a->z && a->h <= LONGEST >> -a->z));
    if (sound)
        sc_render_size(a, &width, &height);
    if (!sound || width > LONGEST || height > LONGEST)
        return sc_fail(e, SCRUPLE_EUSAGE,
                       "a picture has 1 to %d pixels a side, at zooms from %d to %d", LONGEST,
                       -ro->scene->deepest, ro->scene->top);
    return draw(ro, shot, o, e);
}
