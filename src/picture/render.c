/* SPDX-License-Identifier: Apache-2.0 */
/* render: strips of tiles, each pixel in the scale of the tensor that it is of.
 *
 * A strip is one row of tiles. Its tiles are filled and coloured at once by the threads of the pool
 * and stand in it where they belong, so nothing depends on their order. */
#include "picture/render.h"

#include <stdlib.h>
#include <string.h>

#include "picture/maps.h"
#include "stream/line.h"

const char *const sc_scale_names[SC_SCALES + 1] = {"tensor", "role", "model", NULL};

enum { PIXELS = SC_SCENE_TILE * SC_SCENE_TILE };

/* What a thread draws with. Neighbours of a tensor are mostly the same few, whose numbers are near.
 */
enum { KEPT = 16 };
struct work {
    struct sc_spare spare;
    uint32_t tensor[KEPT]; /* whose colours these are, by its last bits; UINT32_MAX: nobody's */
    struct sc_colours colours[KEPT];
    struct sc_tile tile;
    uint16_t halves[PIXELS]; /* or these, the upper halves of its pixels */
};

struct sc_render {
    struct sc_render_options o;
    struct sc_spares works;
    struct sc_scales *own; /* when none were given */
    float roles[SC_ROLE_COUNT], whole;
    struct sc_colours colours; /* of the whole */
    double shares[SC_COLOUR_STEPS - 1];
    bool has_shares;
    /* (n_tensors) 257 quantiles each, of tensors that were drawn by rank; NULL: no ranks */
    float *_Atomic *quantiles;
};

/* --------------------------------------------------------------------------------- scales --- */

/* Below it a value is subnormal. 0: the type has none, or values are made of codes and scales. */
static float smallest_normal(const struct sc_scene *s, const struct sc_tensor *t)
{
    return s->shows != SC_SHOWS_WEIGHTS ? 0
           : t->layout == SC_LAYOUT_PLAIN
               ? (float)sc_codec_least_normal(sc_codec_find(sc_strz(t->dtype)))
               : 0;
}

static float scale_of(const struct sc_render *r, const struct sc_scale_range *range)
{
    const bool extremes = r->o.plane != SC_PLANE_MEAN && r->o.plane != SC_PLANE_RMS;
    return range->robust > 0 && !extremes ? range->robust : range->abs;
}

_Static_assert((int)SC_TENSOR_QUANTILES == (int)SC_COLOUR_QUANTILES, "ranks are by these");

/* Of a tensor, measured when it is drawn first; NULL without ranks, or where it cannot be read: it
 * is shown as unknown then. */
static int quantiles_of(const struct sc_render *r, uint32_t tensor, const float **out,
                        struct sc_error *e)
{
    struct sc_error why = {0};
    float *known = r->quantiles ? r->quantiles[tensor] : NULL;
    *out = known;
    if (!r->quantiles || known)
        return 0;
    const struct sc_map *map = r->o.scene->maps ? &r->o.scene->maps[tensor] : NULL;
    struct sc_tensor_facts *facts = sc_alloc(sizeof *facts);
    float *mine = sc_calloc(SC_COLOUR_QUANTILES, sizeof *mine);
    int code = facts && mine ? 0 : sc_fail_memory(e);
    if (code == 0 && map && r->o.mode == SC_COLOURS_RANGE)
        sc_colour_range(map->low, map->high, mine);
    else if (code == 0 && sc_tensor_quantiles(r->o.pyramids, tensor, facts, &why) == 0)
        memcpy(mine, facts->quantile, sizeof facts->quantile);
    if (code == 0 && atomic_compare_exchange_strong(&r->quantiles[tensor], &known, mine)) {
        known = mine;
        mine = NULL;
    }
    *out = known; /* another thread may have been faster */
    free(facts);
    free(mine);
    return code;
}

static int colours_of(const struct sc_render *r, uint32_t tensor, struct sc_colours *out,
                      struct sc_error *e)
{
    const struct sc_tensor *t = &r->o.scene->model->tensors[tensor];
    struct sc_colour_scale s = {.mode = r->o.mode,
                                .shows = r->o.scene->shows,
                                .shares = r->has_shares ? r->shares : NULL,
                                .scale = r->whole,
                                .smallest = smallest_normal(r->o.scene, t)};
    struct sc_scale_range range;
    bool final;

    if (r->o.fill) {
        sc_colours_make(&s, out);
        return 0;
    }
    TRY(quantiles_of(r, tensor, &s.quantile, e));
    if (sc_colour_mode_end(s.mode) == SC_END_RMS)
        s.scale = sc_scales_end(r->o.scales, tensor);
    else if (sc_colour_mode_end(s.mode) == SC_END_ONE)
        s.scale = 1;
    else if (r->o.scale_of == SC_SCALE_ROLE)
        s.scale = r->roles[t->role];
    else if (r->o.scale_of == SC_SCALE_TENSOR && sc_scales_of(r->o.scales, tensor, &range, &final))
        s.scale = scale_of(r, &range);
    else if (r->o.scale_of == SC_SCALE_TENSOR)
        s.scale = 0;
    sc_colours_make(&s, out);
    return 0;
}

static int measure(struct sc_render *r, struct sc_error *e)
{
    struct sc_scale_range roles[SC_ROLE_COUNT], model;

    if (!r->o.scales) {
        TRY(sc_scales_new(r->o.pyramids, &r->own, e));
        r->o.scales = r->own;
    }
    if (sc_colour_mode_ranks(r->o.mode)) {
        r->quantiles = sc_calloc(r->o.scene->model->n_tensors, sizeof *r->quantiles);
        if (!r->quantiles)
            return sc_fail_memory(e);
    }
    TRY(sc_scales_sample(r->o.scales, r->o.pool, NULL, 0, r->o.cancel, e));
    sc_scales_all(r->o.scales, roles, &model);
    for (unsigned i = 0; i < SC_ROLE_COUNT; i++)
        r->roles[i] = scale_of(r, &roles[i]);
    const enum sc_colour_end end = sc_colour_mode_end(r->o.mode);
    r->whole = end == SC_END_RMS   ? sc_scales_end(r->o.scales, SC_NO_NODE)
               : end == SC_END_ONE ? 1
                                   : scale_of(r, &model);
    return 0;
}

int sc_render_new(const struct sc_render_options *o, struct sc_render **out, struct sc_error *e)
{
    struct sc_render *r = sc_calloc(1, sizeof *r);

    *out = NULL;
    if (!r || !sc_spares_begin(&r->works)) {
        free(r);
        return sc_fail_memory(e);
    }
    r->o = *o;
    r->whole = 1;
    r->has_shares = sc_colour_shares(o->mode, r->shares);
    const int code = o->fill ? 0 : measure(r, e);
    if (code < 0) {
        sc_render_free(r);
        return code;
    }
    const struct sc_colour_scale whole = {
        .mode = o->mode, .shows = o->scene->shows, .scale = r->whole};
    sc_colours_make(&whole, &r->colours);
    *out = r;
    return 0;
}

void sc_render_free(struct sc_render *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->quantiles && i < r->o.scene->model->n_tensors; i++)
        free(r->quantiles[i]);
    free((void *)(uintptr_t)r->quantiles);
    sc_scales_free(r->own);
    sc_spares_end(&r->works, NULL);
    free(r);
}

const struct sc_colours *sc_render_colours(const struct sc_render *r)
{
    return &r->colours;
}

/* ----------------------------------------------------------------------------------- zoom --- */

/* floor(v / 2^z) and v * 2^-z: from units to pixels. */
static int64_t pixel_at(int64_t units, int z)
{
    return z > 0 ? units >> z : (int64_t)((uint64_t)units << -z);
}

static int64_t pixel_behind(int64_t units, int z)
{
    return z > 0 ? -((-units) >> z) : pixel_at(units, z);
}

static int64_t unit_at(int64_t pixel, int z)
{
    return z > 0 ? (int64_t)((uint64_t)pixel << z) : pixel >> -z;
}

static int64_t unit_behind(int64_t pixel, int z)
{
    return z > 0 ? unit_at(pixel, z) : -((-pixel) >> -z);
}

void sc_render_size(const struct sc_render_area *a, uint64_t *width, uint64_t *height)
{
    *width = (uint64_t)(pixel_behind(a->x + a->w, a->z) - pixel_at(a->x, a->z));
    *height = (uint64_t)(pixel_behind(a->y + a->h, a->z) - pixel_at(a->y, a->z));
}

struct sc_render_area sc_render_fit(const struct sc_scene *s, uint64_t width, uint64_t height)
{
    struct sc_render_area a = {.w = s->w, .h = s->h, .z = -s->deepest};
    uint64_t w, h;

    for (;; a.z++) {
        sc_render_size(&a, &w, &h);
        if ((!width || w <= width) && (!height || h <= height))
            return a;
        if (a.z >= 62)
            return a;
    }
}

/* ---------------------------------------------------------------------------------- tiles --- */

/* A rectangle of pixels inside of a tile. */
struct window {
    int64_t x0, y0, x1, y1;
};

/* Which tile. */
struct spot {
    int z;
    int64_t x, y;
};

static struct window window_of(const struct spot *t, int64_t x, int64_t y, int64_t w, int64_t h)
{
    const int64_t left = t->x * SC_SCENE_TILE, top = t->y * SC_SCENE_TILE;

    return (struct window){SC_MAX(pixel_at(x, t->z) - left, INT64_C(0)),
                           SC_MAX(pixel_at(y, t->z) - top, INT64_C(0)),
                           SC_MIN(pixel_behind(x + w, t->z) - left, (int64_t)SC_SCENE_TILE),
                           SC_MIN(pixel_behind(y + h, t->z) - top, (int64_t)SC_SCENE_TILE)};
}

struct painting {
    const struct sc_render *r;
    struct work *w;
    const struct spot *spot;
    bool halves; /* pixels are w->halves */
    uint8_t *to;
    struct sc_error *e;
};

/* Pixels from number `at` on. */
static void paint(const struct painting *p, const struct sc_colours *c, size_t at, size_t n)
{
    if (p->halves)
        sc_colours_apply_halves(c, p->w->halves + at, n, p->to + at);
    else
        sc_colours_apply(c, p->w->tile.pixels + at, n, p->to + at);
}

/* What is hardly a pixel stays in the scale of the whole. */
static bool has_own_scale(const struct window *w)
{
    return w->x1 - w->x0 >= 2 || w->y1 - w->y0 >= 2;
}

/* Non-zero: all pixels of a tile are of this place. */
static int covers(void *ctx, const struct sc_place *p)
{
    const struct window w = window_of(ctx, p->x, p->y, p->w, p->h);
    return w.x0 == 0 && w.y0 == 0 && w.x1 == SC_SCENE_TILE && w.y1 == SC_SCENE_TILE;
}

/* The pixels of a place in its own scale. */
static int paint_place(void *ctx, const struct sc_place *p)
{
    const struct painting *at = ctx;
    struct work *work = at->w;
    const struct window w = window_of(at->spot, p->x, p->y, p->w, p->h);
    const size_t k = p->tensor % KEPT;

    if (!has_own_scale(&w))
        return 0;
    if (work->tensor[k] != p->tensor) {
        work->tensor[k] = UINT32_MAX;
        TRY(colours_of(at->r, p->tensor, &work->colours[k], at->e));
        work->tensor[k] = p->tensor;
    }
    for (int64_t y = w.y0; y < w.y1 && w.x0 < w.x1; y++)
        paint(at, &work->colours[k], (size_t)(y * SC_SCENE_TILE + w.x0), (size_t)(w.x1 - w.x0));
    return 0;
}

static void paint_line(uint8_t *to, const struct window *w, int64_t x0, int64_t y0, int64_t x1,
                       int64_t y1)
{
    for (int64_t y = SC_MAX(y0, w->y0); y < SC_MIN(y1, w->y1); y++)
        for (int64_t x = SC_MAX(x0, w->x0); x < SC_MIN(x1, w->x1); x++)
            if (to[y * SC_SCENE_TILE + x] == SC_SPECIAL_OUTSIDE)
                to[y * SC_SCENE_TILE + x] = SC_SPECIAL_FRAME;
}

/* Frames around layers, where there is room between the tensors. */
static void paint_frames(const struct sc_render *r, const struct sc_tile *t, uint8_t *to)
{
    const struct sc_scene *s = r->o.scene;
    const int64_t around = SC_SCENE_GAP / 2, left = t->x * SC_SCENE_TILE,
                  top = t->y * SC_SCENE_TILE;
    const struct window all = {0, 0, SC_SCENE_TILE, SC_SCENE_TILE};

    for (size_t i = 0; i < s->n_boxes; i++) {
        const struct sc_scene_box *b = &s->boxes[i];
        int64_t x0 = pixel_at(b->x - around, t->z) - left, y0 = pixel_at(b->y - around, t->z) - top;
        int64_t x1 = pixel_behind(b->x + b->w + around, t->z) - left;
        int64_t y1 = pixel_behind(b->y + b->h + around, t->z) - top;
        if ((b->kind != SC_BOX_BLOCK && !b->empty) || x1 - x0 < 8 || x1 < 0 || y1 < 0 ||
            x0 >= SC_SCENE_TILE || y0 >= SC_SCENE_TILE)
            continue;
        paint_line(to, &all, x0, y0, x1, y0 + 1);
        paint_line(to, &all, x0, y1 - 1, x1, y1);
        paint_line(to, &all, x0, y0, x0 + 1, y1);
        paint_line(to, &all, x1 - 1, y0, x1, y1);
    }
}

/* Values of the tile: stored bfloat16 as they are, where there is nothing else. */
static int fill_values(const struct sc_render *r, struct work *w, bool *halves, struct sc_error *e)
{
    enum { PATIENCE = 60000 }; /* a file of a picture waits for the network */
    *halves = !r->o.fill && sc_tile_fill_halves(r->o.pyramids, &w->tile, w->halves);
    if (*halves)
        return 0;
    return r->o.fill ? r->o.fill(r->o.fill_ctx, &w->tile, PATIENCE, e)
                     : sc_tile_fill(r->o.pyramids, &w->tile, PATIENCE, e);
}

/* Calls fn for what stands in a tile, as sc_scene_look(). */
static int look_at_tile(const struct sc_render *r, const struct spot *t,
                        int (*fn)(void *ctx, const struct sc_place *p), void *ctx)
{
    const int64_t x = unit_at(t->x * SC_SCENE_TILE, t->z);
    const int64_t y = unit_at(t->y * SC_SCENE_TILE, t->z);
    const int64_t x1 = unit_behind((t->x + 1) * SC_SCENE_TILE, t->z);
    const int64_t y1 = unit_behind((t->y + 1) * SC_SCENE_TILE, t->z);
    return sc_scene_look(r->o.scene, x, y, x1 - x, y1 - y, fn, ctx);
}

static int draw_tile(const struct sc_render *r, struct work *w, uint8_t *to, struct sc_error *e)
{
    struct spot spot = {w->tile.z, w->tile.x, w->tile.y};
    struct painting at = {.r = r, .w = w, .spot = &spot, .to = to, .e = e};

    TRY(fill_values(r, w, &at.halves, e));
    if (!look_at_tile(r, &spot, covers, &spot))
        paint(&at, &r->colours, 0, PIXELS);
    const int code = look_at_tile(r, &spot, paint_place, &at);
    paint_frames(r, &w->tile, to);
    return code;
}

static struct work *take_work(struct sc_render *r)
{
    struct work *w = sc_spares_take(&r->works);
    if (!w && (w = sc_alloc(sizeof *w)))
        memset(w->tensor, 0xff, sizeof w->tensor);
    return w;
}

int sc_render_tile(struct sc_render *r, int z, int64_t x, int64_t y, uint8_t *to,
                   struct sc_error *e)
{
    struct work *w = take_work(r);
    if (!w)
        return sc_fail_memory(e);
    w->tile.z = z;
    w->tile.x = x;
    w->tile.y = y;
    w->tile.plane = r->o.plane;
    const int code = draw_tile(r, w, to, e);
    sc_spares_leave(&r->works, w);
    return code;
}

int sc_render_check(const struct sc_render *r, struct sc_error *e)
{
    return r->o.fill ? 0 : sc_pyramids_check(r->o.pyramids, e);
}

bool sc_render_is_covered(const struct sc_render *r, int z, int64_t x, int64_t y)
{
    struct spot spot = {z, x, y};
    return look_at_tile(r, &spot, covers, &spot) != 0;
}

/* --------------------------------------------------------------------------------- strips --- */

struct strip {
    struct sc_render *r;
    int z;
    int64_t first_tile, row_of_tiles;
    int64_t x0, x1; /* pixels of the picture: its left and behind its right side */
    uint8_t *indices;
    struct sc_error *errors; /* of each tile */
};

static void fill_tile(void *ctx, size_t i)
{
    struct strip *s = ctx;
    struct sc_error *e = &s->errors[i];
    const int64_t number = s->first_tile + (int64_t)i, x = number * SC_SCENE_TILE;
    const int64_t from = SC_MAX(x, s->x0), until = SC_MIN(x + SC_SCENE_TILE, s->x1);

    e->code = 0;
    if (atomic_load(s->r->o.cancel))
        return;
    uint8_t *to = sc_alloc(PIXELS);
    if (!to)
        (void)sc_fail_memory(e);
    else if (sc_render_tile(s->r, s->z, number, s->row_of_tiles, to, e) == 0)
        for (int64_t y = 0; y < SC_SCENE_TILE; y++)
            memcpy(s->indices + y * (s->x1 - s->x0) + (from - s->x0),
                   to + y * SC_SCENE_TILE + (from - x), (size_t)(until - from));
    free(to);
}

static int fill_strip(struct strip *s, size_t n_tiles, struct sc_error *e)
{
    sc_pool_for(s->r->o.pool, n_tiles, fill_tile, s);
    if (atomic_load(s->r->o.cancel))
        return sc_fail(e, SCRUPLE_EINTERRUPTED, "interrupted");
    for (size_t i = 0; i < n_tiles; i++)
        if (s->errors[i].code) {
            *e = s->errors[i];
            return e->code;
        }
    return 0;
}

int sc_render_rows(struct sc_render *r, const struct sc_render_area *a,
                   int (*rows)(void *ctx, const uint8_t *indices, size_t n_rows,
                               struct sc_error *e),
                   void *ctx, struct sc_error *e)
{
    const int64_t y0 = pixel_at(a->y, a->z), y1 = pixel_behind(a->y + a->h, a->z);
    struct strip s = {
        .r = r, .z = a->z, .x0 = pixel_at(a->x, a->z), .x1 = pixel_behind(a->x + a->w, a->z)};
    uint64_t width, height, bytes;
    int code = 0;

    sc_render_size(a, &width, &height);
    s.first_tile =
        s.x0 >= 0 ? s.x0 / SC_SCENE_TILE : -((-s.x0 + SC_SCENE_TILE - 1) / SC_SCENE_TILE);
    size_t n_tiles = (size_t)((s.x1 - 1) / SC_SCENE_TILE - s.first_tile + 1);
    if (!width || !height)
        return 0;
    if (!sc_mul(width, SC_SCENE_TILE, &bytes) || bytes > SIZE_MAX / 2)
        return sc_fail(e, SCRUPLE_ELIMIT, "a picture %llu pixels wide is too large",
                       (unsigned long long)width);
    s.indices = sc_alloc((size_t)bytes);
    s.errors = sc_calloc(n_tiles, sizeof *s.errors);
    if (!s.indices || !s.errors)
        code = sc_fail_memory(e);
    for (int64_t y = y0; y < y1 && code == 0;) {
        s.row_of_tiles = y >= 0 ? y / SC_SCENE_TILE : -((-y + SC_SCENE_TILE - 1) / SC_SCENE_TILE);
        int64_t inside = y - s.row_of_tiles * SC_SCENE_TILE;
        int64_t n = SC_MIN(SC_SCENE_TILE - inside, y1 - y);
        code = fill_strip(&s, n_tiles, e);
        if (code == 0)
            code = rows(ctx, s.indices + inside * (int64_t)width, (size_t)n, e);
        y += n;
    }
    free(s.indices);
    free(s.errors);
    return code;
}
