/* SPDX-License-Identifier: Apache-2.0 */
/* largest_parts: what the files of largest share. Private to analyze. */
#ifndef SC_LARGEST_PARTS_H
#define SC_LARGEST_PARTS_H

#include <pthread.h>

#include "analyze/largest.h"
#include "kernel/kernel.h"

/* ---------------------------------------------------------------- largest_select.c: rankings ---
 * A ranking keeps at most twice as many as it is asked for: what comes in is put behind what is
 * there, and when the room is full, all but the largest are dropped. */
struct sc_large_item {
    uint32_t bits; /* of the float */
    uint32_t matrix;
    uint64_t place; /* row * columns + column of the product */
};
static inline uint32_t sc_large_size(const struct sc_large_item *i)
{
    return i->bits & UINT32_C(0x7fffffff);
}
/* From an element of a tensor to a place in the product. */
static inline uint64_t sc_large_place(const struct sc_large_shape *s, uint64_t element)
{
    const uint64_t at = element % (s->rows * s->cols);

    return s->transposed ? at % s->width * s->cols + at / s->width : at;
}
/* Below 0: a counts as larger. Matrices are numbered in the order of the model. */
static inline int sc_large_order(const struct sc_large_item *a, const struct sc_large_item *b)
{
    if (sc_large_size(a) != sc_large_size(b))
        return sc_large_size(a) > sc_large_size(b) ? -1 : 1;
    if (a->matrix != b->matrix)
        return a->matrix < b->matrix ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}
struct sc_large_ranking {
    struct sc_large_item *p;
    size_t n, cap;
    uint64_t most;              /* kept */
    bool full;                  /* something was dropped: nothing after `floor` is wanted */
    struct sc_large_item floor; /* the last of the `most` largest so far */
    uint64_t ties;              /* dropped ones of its size */
};
/* Adds what is not after the floor, in any order. `dropped` have been left out by the caller, as
 * large as `size` and after the floor. */
int sc_large_add(struct sc_large_ranking *r, const struct sc_large_item *items, size_t n,
                 uint32_t size, uint64_t dropped, struct sc_error *e);
/* Sorts: the largest first, no more than `most`. */
void sc_large_finish(struct sc_large_ranking *r);

/* ------------------------------------------------------------------------ largest_pass.c --- */
enum { SC_LARGE_INFINITE = 0x7f800000 }; /* sizes from here on are no numbers to rank */
/* A tensor that is read. */
struct sc_large_source {
    uint32_t first; /* of its matrices */
    uint32_t parts; /* SC_LARGE_KIND() of fused parts that are wanted; 0: all of it */
    bool begun, failed;
};
struct sc_large_finding {
    const struct sc_model *m;
    const struct sc_largest_options *o;
    struct sc_largest *out;
    struct sc_large_source *sources; /* by item */
    struct sc_item *items;
    size_t n_items, items_cap, sources_cap, matrices_cap, groups_cap;
    uint32_t *group_of; /* by matrix */
    size_t group_of_cap;
    struct sc_large_ranking *rankings; /* by group */
    pthread_mutex_t lock;              /* around these */
    uint32_t least;                    /* smaller sizes are not wanted */
    uint64_t ceiling;
    enum sc_cpu level;
    bool again; /* something failed after some of it was ranked */
};
extern const struct sc_pass sc_large_pass; /* of a struct sc_large_finding */

/* -------------------------------------------------------------------- largest_lines.c --- */
/* Fills in_row, in_col, rows, cols, lines and alone. */
int sc_large_find_lines(struct sc_largest *l, struct sc_error *e);

#endif
