/* SPDX-License-Identifier: Apache-2.0 */
/* quality_desk: what the files that look at one panel share.
 *
 *   quality_look.c    blocks, tiles, the panel
 *   quality_lines.c   cells that are lines
 *   quality_round.c   lines of a panel in their format
 */
#ifndef SC_QUALITY_DESK_H
#define SC_QUALITY_DESK_H

#include "analyze/quality_parts.h"

/* Sums of a tile: of x (d, square), or of the errors of a format. */
struct sc_tile {
    double d, abs, square, values, cross;
    uint32_t most, nonfinite; /* nonfinite: of x */
};

/* A line of cells inside a block: its sums of x. */
struct sc_piece {
    double x, xx;
    uint32_t finite;
};

/* What formats want to know of x in a block. */
struct sc_seen {
    uint32_t most;  /* bits of the largest |x| */
    uint64_t zeros; /* values that are 0, and padding */
};

/* Up to 32 rows of a segment, copied so that they lie behind each other: in a cache, rows of a
 * matrix often have the same place. */
struct sc_block {
    size_t row, col, rows, n; /* inside the panel; n: columns that there are */
    size_t whole;             /* in whole groups: what is behind the last column is 0 */
    const float *x;           /* (rows * whole); where errors are short, when somebody wants it */
    bool is_short, has_x;     /* errors may be short; x is there */
    uint32_t bits;            /* of all values, or-ed */
    struct sc_seen *seen;
    struct sc_ahead ahead; /* the block that comes next, until somebody brings it nearer */
};

/* Where sc_look() works. */
struct sc_desk {
    struct sc_quality_pass *q;
    const struct sc_rectangle *at;
    struct sc_book *book;
    struct sc_look_sums part;
    size_t across;     /* tiles of the panel */
    struct sc_tile *x; /* (tiles of the panel) */
    struct sc_tile *d; /* (n * across) of the tiles of 32 rows */
    struct sc_error_sums *sums;
    struct sc_step *steps; /* (n * 32) */
    float *block, *y;      /* (32 * stride) */
    uint16_t *short_x;     /* (SC_SHORT_VALUES); NULL unless the report is brief */
    size_t stride;         /* of these: a segment, in whole groups */
    uint32_t *tail;
    uint32_t *peaks; /* (32 * stride / 16, up to whole 16) largest |x| of groups as bits */
    uint32_t *down;  /* (the same) of groups of columns, where a format asks */
    double *columns; /* (stride) of a block */
    float *turned, *back, *full; /* (panel) */
    struct sc_piece *pieces;     /* of cells that are lines */
    struct sc_seen *seen;        /* of x in every block of the panel */
    size_t segments;             /* of a row */
};

static inline bool sc_cells_are_lines(const struct sc_desk *d)
{
    return d->q->look == SC_LOOK_ALL && d->q->cells && d->q->cells->grain != SC_GRAIN_TILE;
}
void sc_tile_add(struct sc_tile *t, const struct sc_error_sums *s);

/* lines: sums of x, `keep`: into the cells too; then of a format, y NULL: it is x */
void sc_lines_of_x(struct sc_desk *d, const struct sc_block *b, bool keep);
void sc_lines_of_y(struct sc_desk *d, const struct sc_block *b, int mix, const float *y);

/* round */
/* The step of one line, whose number counts all lines of the tensor; x: the whole line, where
 * p->lines is NULL. */
void sc_round_step(const struct sc_planned *p, uint64_t line, const float *x, size_t n,
                   struct sc_step *out);
/* GGML wants whole units, and there are none left over: shapes that do not fit are not measured. */
static inline uint64_t sc_round_line(const struct sc_planned *p, const struct sc_step *step,
                                     const float *x, size_t n, float *y)
{
    return p->round(p->f, p->f->over == SC_OVER_NOTHING ? NULL : step, x, n, y);
}

#endif
