/* SPDX-License-Identifier: Apache-2.0 */
/* pyramids_far: a little of tensors that are elsewhere, so that an overview of them is not empty.
 *
 * Of a tensor two ranges are fetched, of a stack one a slice, first of what somebody looks at,
 * then, when not all will be read, of the others, until a quarter of what the network may bring is
 * used up. Ranges are asked for together and waited for here: nobody who draws a tile waits for
 * them. */
#include "picture/pyramid.h"

#include <stdlib.h>

enum {
    TOGETHER = 32,         /* places whose ranges are on their way at once */
    SLICES = 64,           /* of a stack, at most */
    LEAST_RANGE = 4 << 10, /* bytes */
    MOST_RANGE = 64 << 10,
    MOST_VALUES = MOST_RANGE, /* of a range */
    RANGES = 2
};

struct place {
    uint32_t tensor, slice;
    uint64_t n, stride, first; /* values of a range; from one to the next; where they begin */
    unsigned n_ranges;
};
struct sc_far {
    uint64_t left;  /* bytes */
    uint64_t range; /* bytes */
    uint32_t next;
    bool unasked; /* too: not all will be read anyway */
    struct place places[TOGETHER];
    size_t n;
    float values[2 * MOST_VALUES];
};

bool sc_tensor_is_far(const struct sc_model *m, uint32_t tensor)
{
    struct sc_source *s;
    const uint32_t file = m->catalog->entries[m->tensors[tensor].main].file;
    if (m->repo && !sc_repo_is_remote(m->repo))
        return false;
    if (sc_model_source(m, file, &s, NULL) < 0)
        return false;
    const bool far = s->remote;
    sc_model_release(m, file);
    return far;
}

bool sc_pyramids_is_far(const struct sc_pyramids *p, uint32_t tensor)
{
    const struct sc_drawn_values *v = p->o.values;
    return v ? v->is_far(v->ctx, tensor) : sc_tensor_is_far(p->model, tensor);
}

struct sc_far *sc_far_new(const struct sc_pyramids *p)
{
    struct sc_far *f = sc_calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->left = p->o.network / 4;
    f->unasked = p->o.network - f->left < p->total_bytes;
    const uint64_t share = f->left / RANGES / SC_MAX((uint64_t)p->model->n_tensors, UINT64_C(1));
    f->range = SC_MAX(SC_MIN(share, (uint64_t)MOST_RANGE), (uint64_t)LEAST_RANGE);
    return f;
}

/* ------------------------------------------------------------------------------------ choice ---
 */

/* What is fetched of a slice, at even distances. */
static void plan_place(const struct sc_far *f, const struct sc_pyramids *p, uint32_t tensor,
                       uint32_t slice, struct place *out)
{
    const struct sc_cell_grid *g = &p->entries[tensor].grid;
    const uint64_t count = g->rows * g->cols, all = SC_MAX(count * g->slices, UINT64_C(1));
    const double bytes = (double)p->model->tensors[tensor].bytes / (double)all;
    uint64_t n = (uint64_t)((double)f->range / SC_MAX(bytes, 1.0 / 64));
    n = SC_MAX(SC_MIN(n, (uint64_t)MOST_VALUES), UINT64_C(1));
    *out = (struct place){.tensor = tensor, .slice = slice, .n_ranges = g->slices > 1 ? 1 : RANGES};
    if (count <= n * out->n_ranges)
        out->n_ranges = 1;
    out->n = SC_MIN(n, count);
    out->stride = count / out->n_ranges;
    out->first = slice * count + (out->stride - out->n) / 2;
}

static void add_tensor(struct sc_far *f, const struct sc_pyramids *p, uint32_t tensor)
{
    const struct sc_pyramid_entry *t = &p->entries[tensor];
    const uint64_t slices = SC_MIN(t->grid.slices, (uint64_t)SLICES);
    if (t->state != SC_PYRAMID_NONE || !t->drawn || t->why || p->quick[t->first_top + slices - 1] ||
        !sc_pyramids_is_far(p, tensor))
        return;
    for (uint32_t s = 0; s < slices && f->n < TOGETHER && f->left > 0; s++) {
        if (p->quick[t->first_top + s])
            continue;
        struct place *pl = &f->places[f->n++];
        plan_place(f, p, tensor, s, pl);
        f->left -= SC_MIN(f->left, pl->n_ranges * f->range);
    }
}

static void choose(struct sc_far *f, const struct sc_pyramids *p)
{
    const uint32_t n = (uint32_t)p->model->n_tensors;
    uint64_t below = UINT64_MAX;
    f->n = 0;
    while (f->n < TOGETHER && f->left > 0) {
        uint32_t best = SC_NO_NODE;
        uint64_t when = 0;
        for (uint32_t i = 0; i < n; i++)
            if (p->entries[i].asked > when && p->entries[i].asked < below &&
                p->entries[i].state == SC_PYRAMID_NONE && !p->quick[p->entries[i].first_top]) {
                when = p->entries[i].asked;
                best = i;
            }
        if (best == SC_NO_NODE)
            break;
        below = when;
        add_tensor(f, p, best);
    }
    for (; f->unasked && f->n < TOGETHER && f->left > 0 && f->next < n; f->next++)
        add_tensor(f, p, f->next);
}

/* ------------------------------------------------------------------------------------ values ---
 */

static int ask(struct sc_pyramids *p, const struct place *pl, struct sc_error *e)
{
    struct sc_values *v;
    TRY(sc_pyramids_view(p, pl->tensor, &v, e));
    const unsigned each = sc_values_each(v, &p->entries[pl->tensor].grid);
    (void)sc_values_are_here(v, pl->first * each, pl->stride * each, pl->n_ranges, pl->n * each,
                             true);
    sc_pyramids_release(p, pl->tensor, v);
    return 0;
}

static int look(struct sc_far *f, struct sc_pyramids *p, const struct place *pl, struct sc_error *e)
{
    struct sc_pyramid_entry *t = &p->entries[pl->tensor];
    struct sc_values *v;
    struct sc_cell_sum sum;
    struct sc_cell_stats cell;
    TRY(sc_pyramids_view(p, pl->tensor, &v, e));
    const unsigned each = sc_values_each(v, &t->grid);
    int code = 0;
    sc_cells_clear(&sum, 1);
    for (unsigned k = 0; k < pl->n_ranges && code == 0; k++) {
        code = sc_read_elements(v, each, pl->first + k * pl->stride, pl->n, 1, pl->n, f->values, e);
        if (code == 0)
            sc_cells_add(f->values, (size_t)pl->n, 1, (size_t)pl->n, MOST_VALUES, 0, sc_cpu_level(),
                         &sum);
    }
    sc_pyramids_release(p, pl->tensor, v);
    if (code < 0)
        return code;
    sc_cell_stats(&sum, &cell);
    p->quick[t->first_top + pl->slice] = sc_cell_to_bits(&cell);
    p->ranges++;
    sc_pyramids_grow(p, true);
    return 0;
}

int sc_far_step(struct sc_far *f, struct sc_pyramids *p, bool *more, struct sc_error *e)
{
    if (f->left > 0)
        choose(f, p);
    else
        f->n = 0;
    *more = f->n > 0;
    for (unsigned looks = 0; looks < 2; looks++)
        for (size_t i = 0; i < f->n; i++) {
            struct place *pl = &f->places[i];
            struct sc_error why = {0};
            if (p->o.cancel && *p->o.cancel)
                return 0;
            if (pl->n_ranges == 0)
                continue;
            const int code = looks ? look(f, p, pl, &why) : ask(p, pl, &why);
            if (code == SCRUPLE_EMEMORY || code == SCRUPLE_EINTERRUPTED) {
                *e = why;
                return code;
            }
            if (code < 0) {
                sc_pyramids_failed(p, pl->tensor, &why,
                                   code == SCRUPLE_EUNSUPPORTED || code == SCRUPLE_EFORMAT);
                pl->n_ranges = 0;
            }
        }
    return 0;
}
