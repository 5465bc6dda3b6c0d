/* SPDX-License-Identifier: Apache-2.0 */
/* tiles_halves: tiles whose pixels are bfloat16 as it is stored.
 *
 * At 1:1 most tiles of most models are such. They are copied, where others become floats, pixels
 * and halves of pixels one after the other. */
#include "picture/tiles_fill.h"

enum { OUTSIDE = SC_PIXEL_OUTSIDE >> 16, NOT_A_NUMBER = SC_PIXEL_NAN >> 16, INFINITE = 0x7f80 };
_Static_assert((SC_PIXEL_OUTSIDE & 0xffff) == 0 && (SC_PIXEL_NAN & 0xffff) == 0, "halves are all");

struct copy {
    struct sc_fill f;
    struct sc_shown shown;
    uint16_t *halves;
    bool any;
};

static bool is_plain(const struct sc_shown *sh)
{
    return sh->each == 1 && sc_values_are_bf16(sh->view);
}

static int copy_elements(const struct sc_shown *sh, uint16_t *halves)
{
    const struct sc_axis *ax = &sh->x, *ay = &sh->y;
    const size_t n_rows = ay->end - ay->first, n = ax->end - ax->first;
    uint16_t *to = halves + (size_t)ay->first * SC_SCENE_TILE + ax->first;
    struct sc_error e;
    TRY(sc_values_read_codes(sh->view,
                             sh->first + ay->from[ay->first] * sh->cols + ax->from[ax->first],
                             sh->cols, n_rows, n, to, SC_SCENE_TILE * sizeof *to, &e));
    for (size_t r = 0; r < n_rows; r++, to += SC_SCENE_TILE)
        for (size_t i = 0; i < n; i++) {
#if !SC_LITTLE_ENDIAN
            to[i] = (uint16_t)(to[i] >> 8 | to[i] << 8);
#endif
            to[i] = (to[i] & 0x7fff) > INFINITE ? NOT_A_NUMBER : to[i];
        }
    return 0;
}

/* Non-zero: the tile is none of these. */
static int copy_place(void *ctx, const struct sc_place *pl)
{
    struct copy *c = ctx;
    struct sc_shown *sh = &c->shown;
    const bool first = !c->any;
    struct sc_error e;
    if (!sc_tile_shown(&c->f, pl, sh))
        return 0;
    if (sh->x.log2 != 0 || sh->y.log2 != 0 || !sh->entry->drawn || sh->entry->instead ||
        sc_pyramids_is_far(c->f.p, sh->tensor) ||
        sc_pyramids_view(c->f.p, sh->tensor, &sh->view, &e) < 0)
        return 1;
    sh->each = sc_values_each(sh->view, &sh->entry->grid);
    c->any = true;
    if (first &&
        (sh->x.end - sh->x.first < SC_SCENE_TILE || sh->y.end - sh->y.first < SC_SCENE_TILE))
        for (size_t i = 0; i < SC_COUNT(c->f.t->pixels); i++)
            c->halves[i] = OUTSIDE;
    const int code = is_plain(sh) ? copy_elements(sh, c->halves) : 1;
    sc_pyramids_release(c->f.p, sh->tensor, sh->view);
    return code;
}

bool sc_tile_fill_halves(struct sc_pyramids *p, struct sc_tile *t,
                         uint16_t halves[SC_SCENE_TILE * SC_SCENE_TILE])
{
    struct copy c = {.f = {.p = p, .t = t, .n = 1}, .halves = halves};
    int64_t x, y, w, h;
    if (t->z > 0 || !sc_tile_area(&c.f, &x, &y, &w, &h) ||
        sc_scene_look(p->scene, x, y, w, h, copy_place, &c) != 0 || !c.any)
        return false;
    t->flags = SC_TILE_EXACT;
    t->bf16 = true;
    return true;
}
