/* SPDX-License-Identifier: Apache-2.0 */
/* tiles_axis: pixels and what they show, along one axis.
 *
 * Positions are counted in 2^-fine elements, so that edges and centres of pixels, units and items
 * are whole numbers. */
#include "picture/tiles_axis.h"

/* Position of the edge before a pixel. */
static int64_t edge(const struct sc_axis_place *p, int64_t pixel, int fine)
{
    const int64_t one = 1;
    if (p->z >= 0)
        return (pixel * (one << p->z) - p->at) * (one << (p->depth + fine));
    return (pixel - p->at * (one << -p->z)) * (one << (p->z + p->depth + fine));
}

/* The first item whose centre is at or behind a position. */
static uint64_t first_item(const struct sc_axis_place *p, unsigned bits, int fine, int64_t at)
{
    const uint64_t n_items = p->n ? ((p->n - 1) >> bits) + 1 : 0;
    const unsigned shift = bits + (unsigned)fine;
    const uint64_t half = UINT64_C(1) << (shift - 1), full = half * 2;
    if (at <= 0)
        return 0;
    uint64_t i = (uint64_t)at <= half ? 0 : ((uint64_t)at - half + full - 1) >> shift;
    i = SC_MIN(i, n_items);
    if (n_items && i == n_items - 1) { /* the last one may be cut: its centre is nearer */
        const uint64_t start = i << bits;
        const uint64_t centre = (start + p->n) << (unsigned)(fine - 1);
        i += centre < (uint64_t)at;
    }
    return i;
}

void sc_axis_make(const struct sc_axis_place *p, unsigned bits, struct sc_axis *out)
{
    const int per_pixel = p->z + p->depth;
    const int fine = 1 + SC_MAX(0, SC_MAX(-p->depth, -per_pixel));
    out->first = out->end = 0;
    out->log2 = per_pixel;
    out->bits = bits;
    out->scatter = per_pixel >= 0 && (unsigned)per_pixel >= bits;
    const int64_t start = p->z >= 0 ? p->at >> p->z : p->at * ((int64_t)1 << -p->z);
    if (start - p->pixel >= SC_SCENE_TILE)
        return;
    uint64_t next_item = 0;
    bool known = false;
    for (unsigned i = (unsigned)SC_MAX(start - p->pixel, INT64_C(0)); i < SC_SCENE_TILE; i++) {
        const int64_t here = edge(p, p->pixel + i, fine), next = edge(p, p->pixel + i + 1, fine);
        out->from[i] = out->to[i] = 0;
        if (next <= 0)
            continue;
        if (here > 0 && (uint64_t)here >> (unsigned)fine >= p->n)
            return; /* behind its end */
        if (out->scatter) {
            out->from[i] = known ? next_item : first_item(p, bits, fine, here);
            out->to[i] = next_item = first_item(p, bits, fine, next);
            known = true;
        } else {
            const int64_t centre = here + (next - here) / 2;
            const uint64_t element = centre < 0 ? p->n : (uint64_t)centre >> (unsigned)fine;
            out->from[i] = SC_MIN(element, p->n) >> bits;
            out->to[i] = out->from[i] + (element < p->n);
        }
        if (out->from[i] < out->to[i]) {
            out->first = out->end ? out->first : i;
            out->end = i + 1;
        } else if (out->end) {
            return;
        }
    }
}
