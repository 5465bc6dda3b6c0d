/* SPDX-License-Identifier: Apache-2.0 */
/* scene_plan: how large everything is, and where slots, experts, blocks and towers stand.
 *
 * Slots fill columns from above, columns a shelf from the left, shelves a block from above; what
 * stands in a grid has cells of one size. docs/layout.md shows it. */
#include <math.h>

#include "picture/scene_parts.h"

/* A column may be this much higher than the highest slot: a bias stands below its matrix. */
enum { COLUMN_SLACK = 64 };

/* ---------------------------------------------------------------------------- one tensor --- */
/* ceil(n / 2^depth), or n * 2^-depth. */
static uint64_t units_of(uint64_t n, int depth)
{
    if (depth <= 0)
        return n << -depth;
    return (n >> depth) + ((n & ((UINT64_C(1) << depth) - 1)) != 0);
}

/* The largest depth up to `most` that leaves an axis of n elements thick enough. */
static int depth_of(uint64_t n, int most)
{
    int depth = most;
    while (units_of(n, depth) < SC_SCENE_THIN)
        depth--;
    return depth;
}

const struct sc_place *sc_scene_measure(struct scene_slot *s, const struct sc_tensor *t)
{
    struct sc_place *p = &s->like;
    uint64_t rows, cols;
    sc_scene_matrix(t, s->stacked, &rows, &cols);
    if (rows == p->rows && cols == p->cols)
        return p;
    p->rows = rows;
    p->cols = cols;
    int depth = 0;
    while (units_of(SC_MAX(rows, cols), depth) > SC_SCENE_LONG)
        depth++;
    p->depth_x = (int8_t)depth_of(cols, depth);
    p->depth_y = (int8_t)depth_of(rows, depth);
    p->w = (uint32_t)units_of(cols, p->depth_x);
    p->h = (uint32_t)units_of(rows, p->depth_y);
    return p;
}

/* --------------------------------------------------------------------------------- limits --- */
static int too_large(const struct scene_parts *p, struct sc_error *e)
{
    return sc_fail(e, SCRUPLE_ELIMIT,
                   "a picture of these %zu tensors would be more than 2^52 units wide or high",
                   p->model->n_tensors);
}

/* n things of `size` in a row; false: more than SC_SCENE_MOST. Every size passes here or add(), so
 * that sums of a few cannot overflow. */
static bool row_of(uint64_t n, int64_t size, int64_t gap, int64_t *out)
{
    uint64_t all;
    *out = 0;
    if (n == 0)
        return true;
    if (!sc_mul(n - 1, (uint64_t)sc_scene_behind(size, gap), &all) ||
        !sc_add(all, (uint64_t)size, &all) || all > SC_SCENE_MOST)
        return false;
    *out = (int64_t)all;
    return true;
}

/* ---------------------------------------------------------------------------------- slots --- */
/* Puts n slots into shelves of at most `limit` units. */
static bool fill_shelves(struct scene_slot *slots, uint32_t n, int64_t limit, int64_t *w,
                         int64_t *h)
{
    int64_t most = 0, x = 0, y = 0, column_w = 0, column_h = 0, shelf_h = 0;
    for (uint32_t i = 0; i < n; i++)
        most = SC_MAX(most, (int64_t)slots[i].h);
    *w = *h = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct scene_slot *s = &slots[i];
        int64_t at = column_h ? sc_scene_behind(column_h, SC_SCENE_GAP) : 0;
        const int64_t wide = SC_MAX(column_w, (int64_t)s->w);
        if (column_h && (at + s->h > most + COLUMN_SLACK || x + wide > limit)) {
            x = sc_scene_behind(x + column_w, SC_SCENE_GAP);
            column_w = at = 0;
            if (x + s->w > limit) {
                y = sc_scene_behind(y + shelf_h, SC_SCENE_GAP);
                x = shelf_h = 0;
            }
        }
        s->x = x;
        s->y = y + at;
        column_h = at + s->h;
        column_w = SC_MAX(column_w, (int64_t)s->w);
        shelf_h = SC_MAX(shelf_h, column_h);
        *w = SC_MAX(*w, x + column_w);
        *h = SC_MAX(*h, y + shelf_h);
        if (*h > SC_SCENE_MOST)
            return false;
    }
    return true;
}

/* About the side of a square that holds the slots, and at least `least`. */
static int64_t square_limit(const struct scene_slot *slots, uint32_t n, int64_t least)
{
    double area = 0;
    for (uint32_t i = 0; i < n; i++)
        area += ((double)slots[i].w + SC_SCENE_ALIGN) * ((double)slots[i].h + SC_SCENE_ALIGN);
    return SC_MAX(least, (int64_t)sqrt(area));
}

/* ---------------------------------------------------------------------------------- grids --- */
/* The number of columns that makes a grid of n cells most like a square; of several the least. The
 * longer side by the shorter is compared: |log2| of the aspect without a logarithm. */
static uint32_t square_columns(uint32_t n, int64_t w, int64_t h, int64_t gap)
{
    const double step_w = (double)sc_scene_behind(w, gap), step_h = (double)sc_scene_behind(h, gap);
    double least = INFINITY;
    uint32_t best = 1;
    if (w <= 0 || h <= 0)
        return 1;
    for (uint32_t c = 1; c <= n; c++) {
        const uint32_t rows = (n + c - 1) / c;
        const double all_w = (c - 1) * step_w + (double)w;
        const double all_h = (rows - 1) * step_h + (double)h;
        const double aspect = all_w > all_h ? all_w / all_h : all_h / all_w;
        if (aspect < least) {
            least = aspect;
            best = c;
        } else if (all_w > all_h) {
            break; /* from here on it gets wider and lower */
        }
    }
    return best;
}

static bool grid_size(uint32_t n, uint32_t columns, int64_t cell_w, int64_t cell_h, int64_t gap,
                      int64_t *w, int64_t *h)
{
    return row_of(SC_MIN(n, columns), cell_w, gap, w) &&
           row_of((n + columns - 1) / columns, cell_h, gap, h);
}

/* ---------------------------------------------------------------------- blocks and towers --- */
static bool plan_group(struct scene_parts *p, struct scene_group *g)
{
    if (!fill_shelves(&p->slots[g->first_slot], g->n_slots, SC_SCENE_SHELF, &g->expert_w,
                      &g->expert_h))
        return false;
    g->columns = square_columns(g->n_experts, g->expert_w, g->expert_h, SC_SCENE_EXPERT_GAP);
    return grid_size(g->n_experts, g->columns, g->expert_w, g->expert_h, SC_SCENE_EXPERT_GAP, &g->w,
                     &g->h);
}

static bool plan_block(struct scene_parts *p, struct scene_section *s)
{
    const uint32_t first = s->first_slot[ZONE_BLOCK];
    if (!fill_shelves(&p->slots[first], s->first_slot[ZONE_EXPERTS] - first, SC_SCENE_SHELF,
                      &s->zone_w[ZONE_BLOCK], &s->zone_h[ZONE_BLOCK]))
        return false;
    s->block_w = s->zone_w[ZONE_BLOCK];
    s->block_h = s->zone_h[ZONE_BLOCK];
    for (uint32_t i = 0; i < s->n_groups; i++) {
        struct scene_group *g = &p->groups[s->first_group + i];
        if (!plan_group(p, g))
            return false;
        g->y = s->block_h ? sc_scene_behind(s->block_h, SC_SCENE_EXPERT_GAP) : 0;
        s->block_w = SC_MAX(s->block_w, g->w);
        s->block_h = g->y + g->h;
        if (s->block_h > SC_SCENE_MOST)
            return false;
    }
    return true;
}

static bool plan_section(struct scene_parts *p, struct scene_section *s)
{
    int64_t grid_w, grid_h;
    if (!plan_block(p, s))
        return false;
    s->columns = p->options->vertical
                     ? 1
                     : square_columns(s->n_blocks, s->block_w, s->block_h, SC_SCENE_BLOCK_GAP);
    if (!grid_size(s->n_blocks, s->columns, s->block_w, s->block_h, SC_SCENE_BLOCK_GAP, &grid_w,
                   &grid_h))
        return false;
    for (int zone = ZONE_ABOVE; zone <= ZONE_BELOW; zone += ZONE_BELOW - ZONE_ABOVE) {
        struct scene_slot *slots = &p->slots[s->first_slot[zone]];
        const uint32_t n = s->first_slot[zone + 1] - s->first_slot[zone];
        if (!fill_shelves(slots, n, square_limit(slots, n, grid_w), &s->zone_w[zone],
                          &s->zone_h[zone]))
            return false;
    }
    s->w = SC_MAX(grid_w, SC_MAX(s->zone_w[ZONE_ABOVE], s->zone_w[ZONE_BELOW]));
    s->h = s->zone_h[ZONE_ABOVE];
    s->grid_y = s->h && grid_h ? sc_scene_behind(s->h, SC_SCENE_BLOCK_GAP) : s->h;
    s->h = s->grid_y + grid_h;
    const bool below = s->zone_h[ZONE_BELOW] > 0;
    s->below_y = s->h && below ? sc_scene_behind(s->h, SC_SCENE_BLOCK_GAP) : s->h;
    s->h = s->below_y + s->zone_h[ZONE_BELOW];
    return s->h <= SC_SCENE_MOST;
}

/* Towers stand beside each other while the whole is not wider than a square of their area; stacks
 * of blocks always do. */
static bool place_sections(struct scene_parts *p, int64_t *w, int64_t *h)
{
    double area = 0;
    int64_t limit = 0, x = 0, y = 0, shelf_h = 0;
    for (size_t i = 0; i < p->n_sections; i++) {
        const struct scene_section *s = &p->sections[i];
        area += (double)s->w * (double)s->h;
        limit = SC_MAX(limit, s->w);
    }
    limit = p->options->vertical ? SC_SCENE_MOST : SC_MAX(limit, (int64_t)sqrt(area));
    *w = *h = 0;
    for (size_t i = 0; i < p->n_sections; i++) {
        struct scene_section *s = &p->sections[i];
        if (x && x + s->w > limit) {
            y = sc_scene_behind(y + shelf_h, SC_SCENE_TOWER_GAP);
            x = shelf_h = 0;
        }
        s->x = x;
        s->y = y;
        *w = SC_MAX(*w, x + s->w);
        shelf_h = SC_MAX(shelf_h, s->h);
        *h = SC_MAX(*h, y + shelf_h);
        if (*w > SC_SCENE_MOST || *h > SC_SCENE_MOST)
            return false;
        x = sc_scene_behind(x + s->w, SC_SCENE_TOWER_GAP);
    }
    return true;
}

int sc_scene_plan(struct scene_parts *p, int64_t *w, int64_t *h, struct sc_error *e)
{
    for (size_t i = 0; i < p->n_items; i++) {
        struct scene_slot *s = &p->slots[p->items[i].slot];
        const struct sc_place *like = sc_scene_measure(s, &p->model->tensors[p->items[i].tensor]);
        s->w = SC_MAX(s->w, like->w);
        s->h = SC_MAX(s->h, like->h);
    }
    for (size_t i = 0; i < p->n_sections; i++)
        if (!plan_section(p, &p->sections[i]))
            return too_large(p, e);
    return place_sections(p, w, h) ? 0 : too_large(p, e);
}
