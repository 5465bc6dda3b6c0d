/* SPDX-License-Identifier: Apache-2.0 */
/* scenes: places put by hand, where a test wants them. Include after test.h and st_maker.h. */
#ifndef SC_TEST_SCENES_H
#define SC_TEST_SCENES_H

#include "picture/scene_parts.h"

#include <stdlib.h>

#include "support.h"

static inline uint32_t scene_units(uint64_t n, int depth)
{
    return (uint32_t)(depth <= 0 ? n << -depth
                                 : (n + (UINT64_C(1) << depth) - 1) >> (unsigned)depth);
}

static inline struct sc_scene *scene_new(const struct sc_model *m)
{
    struct sc_scene *s = calloc(1, sizeof *s);
    s->model = m;
    s->places = calloc(1000, sizeof *s->places);
    return s;
}

static inline void scene_add(struct sc_scene *s, uint32_t tensor, uint32_t slice, uint64_t rows,
                             uint64_t cols, int depth_y, int depth_x, int64_t x, int64_t y)
{
    struct sc_place *p = &s->places[s->n_places++];
    *p = (struct sc_place){.tensor = tensor,
                           .x = x,
                           .y = y,
                           .rows = rows,
                           .cols = cols,
                           .w = scene_units(cols, depth_x),
                           .h = scene_units(rows, depth_y),
                           .depth_x = (int8_t)depth_x,
                           .depth_y = (int8_t)depth_y,
                           .slice = slice};
    s->w = x + p->w > s->w ? x + p->w : s->w;
    s->h = y + p->h > s->h ? y + p->h : s->h;
    s->deepest = depth_x > s->deepest ? depth_x : s->deepest;
    while ((256LL << s->top) < s->w || (256LL << s->top) < s->h)
        s->top++;
}

/* After the last place: now it can be looked at. */
static inline void scene_finish(struct sc_scene *s)
{
    struct sc_error e = {0};
    if (sc_scene_index(s, &e) < 0)
        support_fail(e.text);
}

#endif
