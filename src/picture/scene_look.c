/* SPDX-License-Identifier: Apache-2.0 */
/* scene_look: from a point or a rectangle to places, and from pixels to elements.
 *
 * Places are listed as one reads the picture, so neighbours in the list are neighbours in it. Each
 * 16 of them have a frame, each 16 frames another, and so on to one frame; a look walks over what
 * it touches, in the order of the list. */
#include <math.h>

#include "picture/scene_parts.h"

enum { FAN = 16, LEVELS = 9 }; /* 16^8 places are more than a uint32_t counts */

struct frame {
    int64_t x0, y0, x1, y1;
};
struct sc_scene_tree {
    struct frame *level[LEVELS]; /* [0]: a frame for each FAN places */
    size_t n[LEVELS];
    int top;
};

static struct frame place_frame(const struct sc_place *p)
{
    return (struct frame){p->x, p->y, p->x + p->w, p->y + p->h};
}

static void include(struct frame *f, struct frame other)
{
    f->x0 = SC_MIN(f->x0, other.x0);
    f->y0 = SC_MIN(f->y0, other.y0);
    f->x1 = SC_MAX(f->x1, other.x1);
    f->y1 = SC_MAX(f->y1, other.y1);
}

static bool touch(const struct frame *a, const struct frame *b)
{
    return a->x0 < b->x1 && b->x0 < a->x1 && a->y0 < b->y1 && b->y0 < a->y1;
}

int sc_scene_index(struct sc_scene *s, struct sc_error *e)
{
    struct sc_scene_tree *t = SC_ARENA_NEW(&s->arena, struct sc_scene_tree, 1);
    if (!t)
        return sc_fail_memory(e);
    *t = (struct sc_scene_tree){.top = -1};
    size_t below = s->n_places;
    for (int k = 0; k == 0 ? below > 0 : below > 1; k++) {
        t->n[k] = (below + FAN - 1) / FAN;
        t->level[k] = SC_ARENA_NEW(&s->arena, struct frame, t->n[k]);
        if (!t->level[k])
            return sc_fail_memory(e);
        for (size_t i = 0; i < below; i++) {
            const struct frame f = k == 0 ? place_frame(&s->places[i]) : t->level[k - 1][i];
            if (i % FAN == 0)
                t->level[k][i / FAN] = f;
            else
                include(&t->level[k][i / FAN], f);
        }
        below = t->n[k];
        t->top = k;
    }
    s->tree = t;
    return 0;
}

static int look_at_places(const struct sc_scene *s, size_t first, const struct frame *sight,
                          int (*fn)(void *ctx, const struct sc_place *p), void *ctx)
{
    const size_t end = SC_MIN(first + FAN, s->n_places);
    for (size_t i = first; i < end; i++) {
        const struct frame f = place_frame(&s->places[i]);
        const int status = touch(&f, sight) ? fn(ctx, &s->places[i]) : 0;
        if (status)
            return status;
    }
    return 0;
}

/* `from` + `size`, where that may be more than there is. */
static int64_t end_of(int64_t from, int64_t size)
{
    int64_t end;
    return __builtin_add_overflow(from, size, &end) ? INT64_MAX : end;
}

int sc_scene_look(const struct sc_scene *s, int64_t x, int64_t y, int64_t w, int64_t h,
                  int (*fn)(void *ctx, const struct sc_place *p), void *ctx)
{
    const struct sc_scene_tree *t = s->tree;
    if (t->top < 0 || w <= 0 || h <= 0)
        return 0;
    const struct frame sight = {x, y, end_of(x, w), end_of(y, h)};
    int level = t->top;
    size_t i = 0;
    for (;;) {
        if (touch(&t->level[level][i], &sight)) {
            if (level > 0) {
                level--;
                i *= FAN;
                continue;
            }
            const int status = look_at_places(s, i * FAN, &sight, fn, ctx);
            if (status)
                return status;
        }
        for (i++; level < t->top && (i % FAN == 0 || i == t->n[level]); level++)
            i = (i + FAN - 1) / FAN;
        if (i == t->n[level])
            return 0;
    }
}

static int keep_first(void *ctx, const struct sc_place *p)
{
    *(const struct sc_place **)ctx = p;
    return 1;
}

const struct sc_place *sc_scene_at(const struct sc_scene *s, double x, double y)
{
    const struct sc_place *found = NULL;
    if (x >= 0 && y >= 0 && x < (double)s->w && y < (double)s->h)
        sc_scene_look(s, (int64_t)x, (int64_t)y, 1, 1, keep_first, &found);
    return found;
}

/* ------------------------------------------------------------------------------- elements --- */
/* Element under `units` of an axis that begins at 0. ldexp() is exact here. */
static uint64_t element_under(double units, int depth, uint64_t n)
{
    const double at = floor(ldexp(units, depth));
    if (!(at > 0))
        return 0;
    if (at >= 0x1p64 || (uint64_t)at >= n)
        return n - 1;
    return (uint64_t)at;
}

void sc_place_element(const struct sc_place *p, double x, double y, uint64_t *row, uint64_t *col)
{
    *row = element_under(y - (double)p->y, p->depth_y, p->rows);
    *col = element_under(x - (double)p->x, p->depth_x, p->cols);
}

void sc_place_point(const struct sc_place *p, uint64_t row, uint64_t col, double *x, double *y,
                    double *w, double *h)
{
    *x = (double)p->x + ldexp((double)col, -p->depth_x);
    *y = (double)p->y + ldexp((double)row, -p->depth_y);
    *w = ldexp(1, -p->depth_x);
    *h = ldexp(1, -p->depth_y);
}
